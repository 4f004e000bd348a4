// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Stage 1, encode: one object's DWARF becomes its types and its function and variable
//! candidates. Nothing here needs another object or an address that only the link knows.
//!
//! `walk` reads the DIEs once and leaves raw records whose references are DIE offsets; `functions`
//! and `variables` judge what one object can judge; `emit` numbers everything and writes the words.

mod emit;
mod functions;
mod location;
mod raw;
mod variables;
mod walk;

pub use raw::Fast;

use gimli::constants as dw;
use object::elf;

use crate::dwarf::{Dwarf, Reader};
use crate::elf::Elf;
use crate::encoded::{Encoded, Target};
use crate::error::{Error, Result};

/// What the units of one file have in common, loaded once and shared by threads.
pub struct Source<'a> {
    pub elf: &'a Elf<'a>,
    pub dwarf: &'a Dwarf<'a>,
    pub target: Target,
    pub(crate) symbols: SymbolIndex<'a>,
}

impl<'a> Source<'a> {
    pub fn new(elf: &'a Elf<'a>, dwarf: &'a Dwarf<'a>) -> Result<Source<'a>> {
        let relocatable = elf.is_relocatable();
        if dwarf.info.data.len() > u32::MAX as usize {
            return Err(Error::new(".debug_info is larger than 4 GiB").at(elf.path.display()));
        }
        Ok(Source {
            elf,
            dwarf,
            target: target(elf),
            symbols: if relocatable {
                SymbolIndex::new(elf)
            } else {
                SymbolIndex::default()
            },
        })
    }
}

pub fn target(elf: &Elf<'_>) -> Target {
    Target {
        machine: u32::from(elf.machine()),
        address_size: if elf.is_64() { 8 } else { 4 },
        big_endian: u32::from(elf.big_endian()),
        relocatable: u32::from(elf.is_relocatable()),
    }
}

/// Encode one object file whole. `None`: it has no DWARF.
pub fn encode_object(elf: &Elf<'_>) -> Result<Option<Encoded>> {
    let dwarf = Dwarf::load(elf)?;
    if dwarf.info.data.is_empty() {
        return Ok(None);
    }
    let units = dwarf.units().map_err(|e| e.at(elf.path.display()))?;
    let source = Source::new(elf, &dwarf)?;
    let mut encoded = encode_units(&source, &units)?;
    encoded.add_source_files(&elf.source_files());
    Ok(Some(encoded))
}

/// Encode some units of one file together: units that refer to each other must be in one call.
pub fn encode_units(
    source: &Source<'_>,
    units: &[gimli::UnitHeader<Reader<'_>>],
) -> Result<Encoded> {
    let mut raw = raw::Raw::new(source);
    for unit in units {
        walk::walk(&mut raw, unit).map_err(|e| e.at(source.elf.path.display()))?;
    }
    emit::emit(raw).map_err(|e| e.at(source.elf.path.display()))
}

/// Do units of this file refer to each other's DIEs (LTO, dwz)? Then they must be encoded together.
pub fn has_cross_references(dwarf: &Dwarf<'_>, units: &[gimli::UnitHeader<Reader<'_>>]) -> bool {
    let section = gimli::DebugAbbrev::new(&dwarf.abbrev, dwarf.endian);
    let mut last = None;
    units.iter().any(|unit| {
        let offset = unit.debug_abbrev_offset();
        if last.replace(offset) == Some(offset) {
            return false;
        }
        section.abbreviations(offset).is_ok_and(|table| {
            (1..)
                .map_while(|code| table.get(code))
                .flat_map(|abbrev| abbrev.attributes())
                .any(|spec| spec.form() == dw::DW_FORM_ref_addr)
        })
    })
}

/// Symbols of an object by the place they stand at.
#[derive(Default)]
pub(crate) struct SymbolIndex<'a> {
    pub symbols: Vec<crate::elf::Symbol<'a>>,
    /// Names of the sections, by index.
    pub sections: Vec<&'a [u8]>,
    /// (section, value, index into `symbols`), sorted; functions and objects only.
    places: Vec<(u32, u64, u32)>,
    /// For each symbol the name of the `STT_FILE` symbol before it.
    pub files: Vec<&'a [u8]>,
}

impl<'a> SymbolIndex<'a> {
    fn new(elf: &'a Elf<'a>) -> Self {
        let symbols = elf.symbols();
        let mut sections = Vec::new();
        for info in elf.sections() {
            let i = info.index as usize;
            if sections.len() <= i {
                sections.resize(i + 1, &b""[..]);
            }
            sections[i] = info.name;
        }
        let mut places = Vec::new();
        let mut files = Vec::with_capacity(symbols.len());
        let mut file: &[u8] = b"";
        for (i, symbol) in symbols.iter().enumerate() {
            match symbol.kind {
                k if k == elf::STT_FILE.0 => file = symbol.name,
                k if k == elf::STT_SECTION.0 => {}
                _ if symbol.section != 0 && !symbol.name.is_empty() => {
                    places.push((symbol.section, symbol.value, i as u32));
                }
                _ => {}
            }
            let local = symbol.binding == elf::STB_LOCAL.0;
            files.push(if local { file } else { b"" });
        }
        places.sort_unstable();
        SymbolIndex {
            symbols,
            sections,
            places,
            files,
        }
    }

    /// All symbols at a place.
    pub fn at(&self, section: u32, value: u64) -> impl Iterator<Item = u32> + '_ {
        let from = self
            .places
            .partition_point(|&(s, v, _)| (s, v) < (section, value));
        self.places[from..]
            .iter()
            .take_while(move |&&(s, v, _)| (s, v) == (section, value))
            .map(|&(_, _, i)| i)
    }
}
