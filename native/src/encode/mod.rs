// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Stage 1, encode: one object's DWARF becomes its types and its function and variable
//! candidates. Nothing here needs another object or an address that only the link knows.
//!
//! `walk` reads the DIEs once and leaves raw records whose references are DIE offsets; `functions`
//! and `variables` judge what one object can judge; `emit` numbers everything and writes the words.

mod convention;
mod crowd;
mod emit;
mod functions;
mod known;
mod location;
mod merged;
mod places;
mod plain;
mod producer;
mod ranges;
mod records;
#[cfg(test)]
mod sample;
mod signature;
mod sites;
mod split;
mod strings;
mod types;
mod variables;
mod walk;
mod whose;
mod words;

use crowd::Crowds;
use known::Meeting;
use split::Skeleton;

pub use known::{Known, MAX_STRINGS};
pub use plain::{has_btf, has_several};
pub use split::{is_skeleton, look_at as look_at_skeletons, with_dwo_files};

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::OnceLock;

use object::elf;

use crate::dwarf::{refers_across_units, Dwarf, Reader};
use crate::elf::{Elf, GlobalFunctions, Section};
use crate::object::numbering::Sifted;
use crate::object::{identity, languages, Encoded, Id, Symbol, Target, View};
use crate::support::error::{Error, Result};
use crate::support::hash::Fast;

/// What the units of one file have in common, loaded once and shared by threads.
pub struct Source<'a> {
    pub elf: &'a Elf<'a>,
    pub dwarf: &'a Dwarf<'a>,
    pub target: Target,
    symbols: SymbolIndex<'a>,
    /// Where this is a .dwo file: the unit that stands for it, elsewhere.
    skeleton: Option<Skeleton<'a>>,
    /// It is asked where functions were inlined.
    sites: bool,
    ranges: OnceLock<Section<'static>>,
    rnglists: OnceLock<Section<'static>>,
    globals: OnceLock<GlobalFunctions>,
}

impl<'a> Source<'a> {
    pub fn new(elf: &'a Elf<'a>, dwarf: &'a Dwarf<'a>) -> Result<Source<'a>> {
        let symbols = match elf.is_relocatable() {
            true => SymbolIndex::new(elf),
            false => SymbolIndex::default(),
        };
        Source::of(elf, dwarf, symbols)
    }

    /// Of a .dwo file: symbols and addresses are those of the file with the code.
    fn of_dwo(skeleton: Skeleton<'a>, dwarf: &'a Dwarf<'a>) -> Result<Source<'a>> {
        let whole = skeleton.source;
        let own = Source::of(whole.elf, dwarf, SymbolIndex::default())?;
        Ok(Source {
            sites: whole.sites,
            skeleton: Some(skeleton),
            ..own
        })
    }

    fn of(elf: &'a Elf<'a>, dwarf: &'a Dwarf<'a>, symbols: SymbolIndex<'a>) -> Result<Source<'a>> {
        if dwarf.info.data.len() > u32::MAX as usize {
            return Err(Error::new(".debug_info is larger than 4 GiB").at(elf.path.display()));
        }
        // What is added to it must be in reach, too.
        if dwarf.str.len() > (u32::MAX / 2) as usize {
            return Err(Error::new(".debug_str is larger than 2 GiB").at(elf.path.display()));
        }
        Ok(Source {
            elf,
            dwarf,
            target: target(elf),
            symbols,
            skeleton: None,
            sites: false,
            ranges: OnceLock::new(),
            rnglists: OnceLock::new(),
            globals: OnceLock::new(),
        })
    }

    /// The same, to be asked also where functions were inlined, or not.
    pub fn with_sites(self, sites: bool) -> Self {
        Source { sites, ..self }
    }

    /// Of the file with the code; a .dwo file has none.
    fn of_skeleton(&self) -> &Source<'a> {
        self.skeleton
            .as_ref()
            .map_or(self, |skeleton| skeleton.source)
    }

    fn symbols(&self) -> &SymbolIndex<'a> {
        &self.of_skeleton().symbols
    }

    /// Those that are named by index.
    fn addresses(&self) -> &Section<'a> {
        &self.of_skeleton().dwarf.addr
    }

    fn file_size(&self) -> usize {
        let dwo = self.skeleton.as_ref().map(|skeleton| skeleton.dwo);
        self.elf.size() + dwo.map_or(0, Elf::size)
    }

    /// Asked for only where a function may have been merged with another.
    fn globals(&self) -> &GlobalFunctions {
        let source = self.of_skeleton();
        source.globals.get_or_init(|| source.elf.global_functions())
    }

    /// The range lists, which are read only where a function has one. Damaged ones are as none. (A
    /// copy: to lend what is filled in later would tie all that borrows from here together.)
    fn ranges(&self, lists: bool) -> &Section<'static> {
        let (known, name) = match lists {
            true if self.skeleton.is_some() => (&self.rnglists, ".debug_rnglists.dwo"),
            true => (&self.rnglists, ".debug_rnglists"),
            false => (&self.ranges, ".debug_ranges"),
        };
        known.get_or_init(|| {
            let elf = self
                .skeleton
                .as_ref()
                .map_or(self.elf, |skeleton| skeleton.dwo);
            let Section { data, targets } = elf.section(name).unwrap_or_default();
            Section {
                data: Cow::Owned(data.into_owned()),
                targets,
            }
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

/// Encode one object file whole, also where functions were inlined if that is asked. `None`: it has
/// neither DWARF nor BTF.
pub fn encode_object(elf: &Elf<'_>, sites: bool) -> Result<Option<Encoded>> {
    let dwarf = Dwarf::load(elf)?;
    if dwarf.info.data.is_empty() {
        let mut encoded = plain::encode(elf)?;
        if let Some(encoded) = &mut encoded {
            // BTF of an object tells it of sections that become parts of others.
            encoded.sites = sites.then(Vec::new);
        }
        return Ok(encoded);
    }
    let units = dwarf.units().map_err(|e| e.at(elf.path.display()))?;
    let source = Source::new(elf, &dwarf)?.with_sites(sites);
    let mut encoded = encode_units(&source, &units)?;
    encoded.add_source_files(&elf.source_files());
    Ok(Some(encoded))
}

/// Encode some units of a file together, with strings of their own.
pub fn encode_units(
    source: &Source<'_>,
    units: &[gimli::UnitHeader<Reader<'_>>],
) -> Result<Encoded> {
    if units.iter().any(|unit| is_skeleton(source.dwarf, unit)) {
        return split::encode(source, units);
    }
    let mut encoder = Encoder::new(source);
    let mut encoded = encoder.encode(units)?;
    encoded.strings = encoder.into_strings();
    Ok(encoded)
}

/// Encodes a file batch by batch. The batches share one set of strings, and what was allocated.
pub struct Encoder<'s> {
    raw: records::Raw<'s>,
}

impl<'s> Encoder<'s> {
    pub fn new(source: &'s Source<'s>) -> Self {
        Encoder {
            raw: records::Raw::new(source),
        }
    }

    /// Encode some units together: units that refer to each other must be in one call. The result
    /// has no strings of its own; see `view`.
    pub fn encode(&mut self, units: &[gimli::UnitHeader<Reader<'_>>]) -> Result<Encoded> {
        self.encode_unplaced(units).map_err(|e| self.place(e))
    }

    /// The same; an error does not name the file.
    fn encode_unplaced(&mut self, units: &[gimli::UnitHeader<Reader<'_>>]) -> Result<Encoded> {
        let mut encoded = self.encode_types(units, None)?;
        encoded.ids = identity::of_view(&self.view(&encoded))?;
        let ids = std::mem::take(&mut encoded.ids);
        self.identify_functions(&mut encoded, |id| ids[id as usize - 1]);
        encoded.ids = ids;
        Ok(encoded)
    }

    /// The same for an encoder that goes through a whole file: `known` has met the types of earlier
    /// units, and has the identities; only types that are fresh have words. Units of the languages
    /// `left_out` bring none.
    pub fn encode_more(
        &mut self,
        units: &[gimli::UnitHeader<Reader<'_>>],
        known: &mut Known,
        left_out: &[u32],
    ) -> Result<(Encoded, Sifted)> {
        let mut meeting = Meeting::new(known, left_out);
        let encoded = self.encode_types(units, Some(&mut meeting));
        let mut encoded = encoded.map_err(|e| self.place(e))?;
        let sifted = meeting.sifted;
        let number = |id: u32| sifted.numbers[id as usize - 1];
        self.identify_functions(&mut encoded, |id| known.numbered.id(number(id)));
        Ok((encoded, sifted))
    }

    fn encode_types(
        &mut self,
        units: &[gimli::UnitHeader<Reader<'_>>],
        meeting: Option<&mut Meeting<'_>>,
    ) -> Result<Encoded> {
        let encoded = self
            .read(units, meeting.as_deref())
            .and_then(|()| emit::emit(&mut self.raw, meeting));
        match self.raw.reads_lists_again() {
            true => Err(Error::new(
                "damaged: many DIEs share lists of ranges or locations",
            )),
            false => encoded,
        }
    }

    /// Read units. One that BTF cannot hold has nothing then but the reason, if it is not C: whether it
    /// counts is not known here.
    fn read(
        &mut self,
        units: &[gimli::UnitHeader<Reader<'_>>],
        meeting: Option<&Meeting<'_>>,
    ) -> Result<()> {
        let may_be_refused = |language| {
            !languages::is_c(language)
                || meeting.is_some_and(|meeting| meeting.leaves_out(language))
        };
        let mut refused: Vec<Option<Error>> = vec![None; units.len()];
        loop {
            self.raw.clear();
            for (unit, refused) in units.iter().zip(&refused) {
                walk::walk(&mut self.raw, unit, refused.as_ref(), may_be_refused)?;
            }
            let mut found = emit::refused(&self.raw, may_be_refused);
            found.extend(self.refer_to_refused(units));
            if found.is_empty() {
                return Ok(());
            }
            for (u, error) in found {
                if !may_be_refused(self.raw.units[u].language) {
                    return Err(error);
                }
                refused[u] = Some(error);
            }
        }
    }

    /// Units that mean types of one that is refused, or of one that does: without it they would mean
    /// nothing.
    fn refer_to_refused(&self, units: &[gimli::UnitHeader<Reader<'_>>]) -> Vec<(usize, Error)> {
        let all = &self.raw.units;
        if all.len() < 2 || all.iter().all(|unit| unit.refused == 0) {
            return Vec::new();
        }
        let start = |u: &gimli::UnitHeader<Reader<'_>>| {
            u.debug_info_offset().map_or(0, |offset| offset.0 as u32)
        };
        let mut referring: Vec<Vec<usize>> = vec![Vec::new(); all.len()];
        for u in 0..all.len() {
            for die in self.raw.references(u) {
                let of = units.partition_point(|unit| start(unit) <= die);
                if let Some(of) = of.checked_sub(1).filter(|&of| of != u) {
                    referring[of].push(u);
                }
            }
        }
        let mut refused: Vec<bool> = all.iter().map(|unit| unit.refused != 0).collect();
        let mut reached: Vec<usize> = (0..all.len()).filter(|&u| refused[u]).collect();
        let mut found = Vec::new();
        while let Some(of) = reached.pop() {
            for &u in &referring[of] {
                if !std::mem::replace(&mut refused[u], true) {
                    reached.push(u);
                    let error = Error::new(format!(
                        "it refers to the unit {:#x}, which BTF cannot hold",
                        start(&units[of])
                    ));
                    found.push((u, error));
                }
            }
        }
        found
    }

    /// `proto` gives the identity of a prototype.
    fn identify_functions(&self, encoded: &mut Encoded, proto: impl Fn(u32) -> Id) {
        let ids = identity::of_functions(&self.view(encoded), proto);
        for (function, id) in encoded.functions.iter_mut().zip(ids) {
            function.id = id;
        }
    }

    fn place(&self, error: Error) -> Error {
        error.at(self.raw.source.elf.path.display())
    }

    pub fn source(&self) -> &'s Source<'s> {
        self.raw.source
    }

    /// A part of `.debug_info` that has been encoded.
    pub fn forget(&self, part: Range<usize>) {
        let Source { elf, dwarf, .. } = self.raw.source;
        elf.forget(dwarf.info.data.get(part).unwrap_or(&[]));
    }

    /// What was made of this file, now or earlier. Split units have strings of their own.
    pub fn view<'e>(&'e self, encoded: &'e Encoded) -> View<'e> {
        let own = encoded.view();
        View {
            strings: match own.strings {
                [] => &self.raw.strings.bytes,
                strings => strings,
            },
            ..own
        }
    }

    fn into_strings(self) -> Vec<u8> {
        self.raw.strings.bytes
    }
}

/// Units that must be encoded together: all, where they refer to each other's DIEs (LTO, dwz). Others go
/// one by one, which the processor's cache can hold.
pub fn batches<'d>(dwarf: &'d Dwarf<'_>) -> Result<Vec<Vec<gimli::UnitHeader<Reader<'d>>>>> {
    let units = dwarf.units()?;
    Ok(match has_cross_references(dwarf, &units) {
        true => vec![units],
        false => units.into_iter().map(|unit| vec![unit]).collect(),
    })
}

fn has_cross_references(dwarf: &Dwarf<'_>, units: &[gimli::UnitHeader<Reader<'_>>]) -> bool {
    let tables = units.iter().map(|unit| unit.debug_abbrev_offset().0 as u64);
    refers_across_units(dwarf, tables)
}

/// Symbols of an object by the place they stand at.
#[derive(Default)]
pub(crate) struct SymbolIndex<'a> {
    pub symbols: Vec<crate::elf::Symbol<'a>>,
    /// Names of the sections, by index.
    pub sections: Vec<&'a [u8]>,
    /// Whether a linker moves a section as a whole and its name tells which one it is.
    pub moves_whole: Vec<bool>,
    /// (section, value, index into `symbols`), sorted.
    functions: Vec<(u32, u64, u32)>,
    objects: Vec<(u32, u64, u32)>,
    crowds: Crowds,
    /// For each symbol the name of the `STT_FILE` symbol before it.
    pub files: Vec<&'a [u8]>,
}

impl<'a> SymbolIndex<'a> {
    fn new(elf: &'a Elf<'a>) -> Self {
        let symbols = elf.symbols();
        let infos = elf.sections();
        let mut of_name: HashMap<&[u8], u32, Fast> = HashMap::default();
        for info in &infos {
            *of_name.entry(info.name).or_default() += 1;
        }
        let count = infos.iter().map(|i| i.index as usize + 1).max();
        let mut sections = vec![&b""[..]; count.unwrap_or(0)];
        let mut moves_whole = vec![true; sections.len()];
        for info in &infos {
            sections[info.index as usize] = info.name;
            moves_whole[info.index as usize] = !info.merges && of_name[info.name] == 1;
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
        let of_kind = |kind: elf::SymbolType| {
            let is = |&&(_, _, i): &&(u32, u64, u32)| symbols[i as usize].kind == kind.0;
            places.iter().filter(is).copied().collect()
        };
        SymbolIndex {
            functions: of_kind(elf::STT_FUNC),
            objects: of_kind(elf::STT_OBJECT),
            crowds: Crowds::default(),
            symbols,
            sections,
            moves_whole,
            files,
        }
    }

    /// The function that a place belongs to, of those that begin there, else of the last ones before it
    /// in whose extent it lies: one of that name if there is, else one of that base name.
    pub fn function_around(&self, at: crate::elf::Target, name: &[u8]) -> Option<u32> {
        let end = self
            .functions
            .partition_point(|&(s, v, _)| (s, v) <= (at.section, at.offset));
        let &(section, value, _) = self.functions.get(end.checked_sub(1)?)?;
        if section != at.section {
            return None;
        }
        let start = self.functions[..end].partition_point(|&(s, v, _)| (s, v) < (section, value));
        let here = &self.functions[start..end];
        self.crowds
            .best(&self.symbols, here, at.offset - value, name)
    }

    /// A function of a section that moves as a whole by which all places in it are found again: one whose
    /// name no other function has, and that none can override.
    pub fn anchor(&self, section: u32) -> Option<u32> {
        let whole = self.moves_whole.get(section as usize) == Some(&true);
        let start = self.functions.partition_point(|&(s, _, _)| s < section);
        let mut own = self.functions[start..]
            .iter()
            .take_while(|&&(s, _, _)| whole && s == section);
        let is_global = |i: u32| self.symbols[i as usize].binding == elf::STB_GLOBAL.0;
        own.find(|&&(_, _, i)| is_global(i)).map(|&(_, _, i)| i)
    }

    /// The function of the section nearest to a place, rather one before it that is not weak.
    pub fn function_near(&self, at: crate::elf::Target) -> Option<u32> {
        let end = self
            .functions
            .partition_point(|&(s, v, _)| (s, v) <= (at.section, at.offset));
        let before = self.functions[..end].iter().rev().take(crowd::FEW);
        let mut before = before.take_while(|&&(s, _, _)| s == at.section);
        let nearest = before.clone().next();
        let is_weak = |i: u32| self.symbols[i as usize].binding == elf::STB_WEAK.0;
        let found = before.find(|&&(_, _, i)| !is_weak(i)).or(nearest);
        let behind = self
            .functions
            .get(end)
            .filter(|&&(s, _, _)| s == at.section);
        found.or(behind).map(|&(_, _, i)| i)
    }

    /// The object at a place, one of that name if there is.
    pub fn object_at(&self, at: crate::elf::Target, name: &[u8]) -> Option<u32> {
        let is_before = |&(s, v, _): &(u32, u64, u32)| (s, v) < (at.section, at.offset);
        let is_here = |&(s, v, _): &(u32, u64, u32)| (s, v) <= (at.section, at.offset);
        let start = self.objects.partition_point(is_before);
        let end = self.objects.partition_point(is_here);
        self.crowds
            .best(&self.symbols, &self.objects[start..end], 0, name)
    }

    /// A symbol as it is kept with what stands there; `string` keeps a text.
    pub fn kept(&self, index: u32, mut string: impl FnMut(&'a [u8]) -> u32) -> Symbol {
        let symbol = &self.symbols[index as usize];
        let at = symbol.section as usize;
        let section = self.sections.get(at).copied().unwrap_or(b"");
        let whole = self.moves_whole.get(at).copied().unwrap_or(true);
        Symbol {
            name: string(symbol.name),
            section: string(section),
            file: string(self.files[index as usize]),
            kind: Symbol::kind_word(symbol.kind, symbol.binding, whole),
            value: symbol.value,
            size: symbol.size,
        }
    }
}
