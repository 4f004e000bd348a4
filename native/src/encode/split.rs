// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Split DWARF (`-gsplit-dwarf`): a unit of the file with the code is a skeleton, which names the .dwo file
//! with the DIEs and says what they need of this file: where their addresses stand (DWARF 5, sections
//! 3.1.2 and 7.3.2; before it an extension of GNU with attributes of its own). A number tells that both are
//! of one compile.
//!
//! `-gsplit-dwarf=single` leaves the sections of the .dwo file in the object.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use gimli::{UnitHeader, UnitType};

use super::records::{self, Code, UnitFacts};
use super::{Encoder, Source};
use crate::dwarf::cursor::Cursor;
use crate::dwarf::{Attr, Attrs, Decoder, Dwarf, Reader, Tables};
use crate::elf::Elf;
use crate::object::Encoded;
use crate::support::error::{Error, Result};
use crate::support::files::Mapped;
use crate::support::hash::Fast;

pub use crate::dwarf::is_skeleton;

const COMPILE_AGAIN: &str = "compile the object again; its .dwo file belongs beside it";

/// What the DIEs of a .dwo file need of the file with the code.
pub struct Skeleton<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) dwo: &'a Elf<'a>,
    facts: UnitFacts,
}

impl Skeleton<'_> {
    /// Tell the unit of the .dwo file what its header and its own DIE do not say.
    pub fn tell(&self, unit: &mut UnitFacts) {
        unit.addr_base = self.facts.addr_base;
        unit.ranges_base = self.facts.ranges_base;
        unit.code = self.facts.code;
        if unit.shape.version >= 5 {
            // The tables of lists are where the headers of their sections end: of the length, the
            // version, sizes of addresses and selectors, and the number of lists.
            let header = if unit.shape.offset_size == 8 { 20 } else { 12 };
            unit.loclists_base = header;
            unit.rnglists_base = header;
        }
    }
}

/// What a skeleton says.
struct Said {
    /// Of the .dwo file, from the directory of the compile.
    name: PathBuf,
    directory: PathBuf,
    id: u64,
    facts: UnitFacts,
}

/// Encode units of which some are skeletons.
pub fn encode(source: &Source<'_>, units: &[UnitHeader<Reader<'_>>]) -> Result<Encoded> {
    look_at(source.elf, source.dwarf, units.iter()).map_err(|e| e.at(source.elf.path.display()))?;
    let is_split = |unit: &&UnitHeader<Reader<'_>>| is_skeleton(source.dwarf, unit);
    let (split, whole): (Vec<_>, Vec<_>) = units.iter().partition(is_split);
    let mut encoded = None;
    if !whole.is_empty() {
        let whole: Vec<_> = whole.into_iter().copied().collect();
        encoded = Some(super::encode_units(source, &whole)?);
    }
    for unit in split {
        let own = encode_split(source, unit)?;
        match &mut encoded {
            None => encoded = Some(own),
            Some(encoded) => encoded.append(&own.view())?,
        }
    }
    Ok(encoded.unwrap_or_else(|| Encoded::new(source.target)))
}

/// How many skeletons may have one number: equal compiles have it, and each is read by itself.
const ALIKE: usize = 16;

/// Look at the skeletons of a file before any is encoded: are the .dwo files there? Returned: some units are
/// skeletons.
pub fn look_at<'u, 'd: 'u>(
    elf: &Elf<'_>,
    dwarf: &Dwarf<'_>,
    units: impl Iterator<Item = &'u UnitHeader<Reader<'d>>>,
) -> Result<bool> {
    let mut met: HashMap<u64, usize, Fast> = HashMap::default();
    let (mut skeletons, mut first, mut absent) = (0usize, None, 0usize);
    for unit in units.filter(|unit| is_skeleton(dwarf, unit)) {
        let said = said_by(dwarf, unit)?;
        skeletons += 1;
        let alike = met.entry(said.id).or_default();
        *alike += 1;
        if *alike > ALIKE {
            return Err(Error::new(format!(
                "damaged: more than {ALIKE} skeletons of split DWARF have the number {:#018x}",
                said.id
            )));
        }
        let is_inside = is_alone(elf, dwarf) && elf.has_section(".debug_info.dwo");
        if !is_inside && !places(elf.path, &said).iter().any(|path| path.exists()) {
            absent += 1;
            first.get_or_insert(said);
        }
    }
    match first {
        None => Ok(skeletons != 0),
        Some(said) => Err(missing(elf.path, &said, absent - 1)),
    }
}

/// Is there one unit in the file?
fn is_alone(elf: &Elf<'_>, dwarf: &Dwarf<'_>) -> bool {
    let mut units = gimli::DebugInfo::new(&dwarf.info.data, dwarf.endian).units();
    let first = units.next().ok().flatten();
    elf.is_relocatable()
        && first.is_some_and(|unit| unit.length_including_self() == dwarf.info.data.len())
}

fn encode_split(source: &Source<'_>, unit: &UnitHeader<Reader<'_>>) -> Result<Encoded> {
    let place = |e: Error| e.at(source.elf.path.display());
    let said = said_by(source.dwarf, unit).map_err(place)?;
    in_dwo(source.elf, source.dwarf, &said, |dwo, dwarf| {
        let unit = unit_of(dwarf, said.id)?.ok_or_else(other_id)?;
        if unit.version() != said.facts.shape.version
            || unit.address_size() != said.facts.shape.address_size
        {
            return Err(Error::new("its unit is of another kind than the object's"));
        }
        let skeleton = Skeleton {
            source,
            dwo,
            facts: said.facts,
        };
        let own = Source::of_dwo(skeleton, dwarf)?;
        let mut encoder = Encoder::new(&own);
        let mut encoded = encoder.encode_unplaced(&[unit])?;
        encoded.strings = encoder.into_strings();
        Ok(encoded)
    })
    .map_err(place)
}

/// Visit each .dwo file of an object, for what it has.
pub fn with_dwo_files(elf: &Elf<'_>, mut visit: impl FnMut(&Elf<'_>) -> Result<()>) -> Result<()> {
    let dwarf = Dwarf::load(elf)?;
    let place = |e: Error| e.at(elf.path.display());
    let units = dwarf.units().map_err(place)?;
    look_at(elf, &dwarf, units.iter()).map_err(place)?;
    for unit in units.iter().filter(|unit| is_skeleton(&dwarf, unit)) {
        let said = said_by(&dwarf, unit).map_err(place)?;
        in_dwo(elf, &dwarf, &said, |dwo, _| visit(dwo)).map_err(place)?;
    }
    Ok(())
}

/// The first DIE of a unit, and what its header tells.
fn root<T>(
    dwarf: &Dwarf<'_>,
    header: &UnitHeader<Reader<'_>>,
    read: impl FnOnce(&Attrs<'_>, UnitFacts) -> Result<T>,
) -> Result<T> {
    let facts = UnitFacts::new(header);
    let place = |e: Error| e.at(format!("unit {:#x}", facts.dies.unit));
    let bad = |what: String| place(Error::new(what));
    if !matches!(header.address_size(), 4 | 8) {
        return Err(bad(format!("address size {}", header.address_size())));
    }
    let mut tables = Tables::new(facts.shape);
    let abbrevs = tables
        .get(dwarf, facts.dies.table, facts.shape)
        .map_err(|e| bad(e.to_string()))?;
    let decoder = Decoder {
        shape: facts.shape,
        unit: facts.dies.unit as u64,
    };
    let section = Cursor::new(&dwarf.info.data, facts.dies.start, dwarf.big());
    let mut at = section.until(facts.dies.end);
    let code = at.uleb().ok();
    let abbrev = code
        .and_then(|code| abbrevs.get(code))
        .ok_or_else(|| bad("it has no DIE".to_owned()))?;
    let mut pieces = Vec::new();
    let attrs = decoder
        .read(abbrevs, abbrev, &mut at, &mut pieces)
        .map_err(|e| bad(e.to_string()))?;
    read(&attrs, facts).map_err(place)
}

fn said_by(dwarf: &Dwarf<'_>, header: &UnitHeader<Reader<'_>>) -> Result<Said> {
    root(dwarf, header, |attrs, mut facts| {
        let number = |attr| attrs.get(attr).map(|v| v.bits);
        let either = |attr, gnu| number(attr).or_else(|| number(gnu));
        facts.str_offsets_base = number(Attr::StrOffsetsBase).unwrap_or(facts.str_offsets_base);
        facts.addr_base = either(Attr::AddrBase, Attr::GnuAddrBase).unwrap_or(facts.addr_base);
        facts.ranges_base = number(Attr::GnuRangesBase).unwrap_or(0);
        let low = attrs.get(Attr::LowPc);
        facts.code = Code {
            low: low
                .and_then(|v| records::address(&dwarf.info, &dwarf.addr, &facts, v, dwarf.big())),
            high: attrs.get(Attr::HighPc),
            ranges: attrs.get(Attr::Ranges),
            lists_base: number(Attr::RnglistsBase).unwrap_or(0),
        };
        let text = |attr| match attrs.get(attr) {
            Some(value) => records::text(dwarf, &facts, value).map(Some),
            None => Ok(None),
        };
        let name = match text(Attr::DwoName)? {
            Some(name) => Some(name),
            None => text(Attr::GnuDwoName)?,
        };
        let id = match header.type_() {
            UnitType::Skeleton(id) => Some(id.0),
            _ => number(Attr::GnuDwoId),
        };
        let (Some(name), Some(id)) = (name.filter(|name| !name.is_empty()), id) else {
            return Err(
                Error::new("damaged: a skeleton without name or number of its .dwo file")
                    .hint("compile it again, or without -gsplit-dwarf"),
            );
        };
        Ok(Said {
            name: path(name),
            directory: path(text(Attr::CompDir)?.unwrap_or(b"")),
            id,
            facts,
        })
    })
}

fn path(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

/// The unit of a .dwo file, beside units of single types, if it has this number.
fn unit_of<'d>(dwarf: &'d Dwarf<'_>, id: u64) -> Result<Option<UnitHeader<Reader<'d>>>> {
    for unit in dwarf.units()? {
        if matches!(unit.type_(), UnitType::SplitType { .. }) {
            continue;
        }
        let own = match unit.type_() {
            UnitType::SplitCompilation(own) => Some(own.0),
            UnitType::Compilation if unit.version() < 5 => root(dwarf, &unit, |attrs, _| {
                Ok(attrs.get(Attr::GnuDwoId).map(|v| v.bits))
            })?,
            _ => None,
        };
        return Ok((own == Some(id)).then_some(unit));
    }
    Ok(None)
}

fn other_id() -> Error {
    Error::new("it is of another compile: its number is not the one in the object")
        .hint(COMPILE_AGAIN)
}

/// Read what a skeleton stands for, where it is: its sections in the object itself, else the named file. A
/// tree may have been moved since; what it has counts then if it has the right number.
fn in_dwo<T>(
    elf: &Elf<'_>,
    dwarf: &Dwarf<'_>,
    said: &Said,
    read: impl FnOnce(&Elf<'_>, &Dwarf<'_>) -> Result<T>,
) -> Result<T> {
    // A linker puts those of several objects behind each other, and then none can be read.
    if is_alone(elf, dwarf) && elf.has_section(".debug_info.dwo") {
        let dwarf = Dwarf::load_dwo(elf)?;
        return read(elf, &dwarf);
    }
    let mut problem = None;
    for path in places(elf.path, said) {
        // A device may do something when it is opened.
        match std::fs::metadata(&path) {
            Ok(meta) if meta.is_file() => {}
            Ok(_) => {
                let error = Error::new("not a regular file").hint(COMPILE_AGAIN);
                problem.get_or_insert(error.at(path.display()));
                continue;
            }
            Err(_) => continue,
        }
        let opened = Mapped::open(&path);
        let fits = opened.and_then(|mapped| {
            let dwo = Elf::parse(&mapped)?;
            let fits = check(elf, &dwo, said).map_err(|e| e.at(path.display()));
            fits.map(|()| mapped)
        });
        match fits {
            Ok(mapped) => {
                let dwo = Elf::parse(&mapped)?;
                let dwarf = Dwarf::load_dwo(&dwo)?;
                return read(&dwo, &dwarf).map_err(|e| e.at(path.display()));
            }
            Err(error) => _ = problem.get_or_insert(error.hint(COMPILE_AGAIN)),
        }
    }
    Err(problem.unwrap_or_else(|| missing(elf.path, said, 0)))
}

/// Is it the file that belongs to the object?
fn check(elf: &Elf<'_>, dwo: &Elf<'_>, said: &Said) -> Result<()> {
    if dwo.has_section(".debug_cu_index") {
        return Err(
            Error::new("a package of .dwo files (dwp), which is not read")
                .hint("keep the .dwo files"),
        );
    }
    if (dwo.machine(), dwo.is_64(), dwo.big_endian())
        != (elf.machine(), elf.is_64(), elf.big_endian())
    {
        return Err(Error::new("it is for another machine than the object"));
    }
    let dwarf = Dwarf::load_dwo(dwo)?;
    match unit_of(&dwarf, said.id)? {
        Some(_) => Ok(()),
        None if dwarf.info.data.is_empty() => Err(Error::new("it has no .debug_info.dwo")),
        None => Err(other_id()),
    }
}

/// Where the file may be: where the compiler put it; beside the object; as the tree has it, beside the linked
/// file.
fn places(object: &Path, said: &Said) -> Vec<PathBuf> {
    let beside = object.parent().unwrap_or(Path::new(""));
    let mut places = vec![said.directory.join(&said.name)];
    places.extend(said.name.file_name().map(|name| beside.join(name)));
    if said.name.is_relative() {
        places.push(beside.join(&said.name));
    }
    places
}

fn missing(object: &Path, said: &Said, others: usize) -> Error {
    let mut package = object.as_os_str().to_owned();
    package.push(".dwp");
    let more = match others {
        0 => ", which is not there".to_owned(),
        1 => " and one more .dwo file, which are not there".to_owned(),
        several => format!(" and {several} more .dwo files, which are not there"),
    };
    let error = Error::new(format!(
        "split DWARF: types are in {}{more}",
        said.directory.join(&said.name).display()
    ));
    match Path::new(&package).exists() {
        true => error.hint("packages of .dwo files (.dwp) are not read: keep the .dwo files"),
        false => error.hint(
            "keep the .dwo files with the objects (not every distributed compile brings them back), \
             or build without -gsplit-dwarf",
        ),
    }
}
