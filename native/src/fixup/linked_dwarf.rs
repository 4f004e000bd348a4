// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The debug information of the linked file, of single units: where a function or variable of one
//! object went, when the symbols of the linked file fit several.
//!
//! A linker copies a unit of `.debug_info` and changes only its relocated fields. So a unit of the
//! linked file is an object's when name, directory, length and content are equal, and a DIE is at
//! the same distance from the start of both.

use std::collections::HashMap;
use std::path::Path;

use gimli::UnitHeader;

use crate::dwarf::unit::names;
use crate::dwarf::{Dwarf, Reader};
use crate::elf::image::{Image, Location};
use crate::elf::Elf;
use crate::encode::{self, Source};
use crate::object::{Encoded, Id, NONE};
use crate::store::dropped;
use crate::support::error::{Error, Result};
use crate::support::files::{Mapped, Temporary};

/// Where is what this DIE of an object describes?
pub struct Question<'a> {
    pub object: &'a str,
    pub die: u64,
}

#[derive(Clone, Copy)]
pub enum Answer {
    At(Location),
    /// The linked unit gives it no place.
    Gone,
    /// No unit, or several, can be the one asked about.
    Unknown,
}

/// Name and directory of a unit, its length, and the hash of what it encodes to.
type Likeness = (Vec<u8>, Vec<u8>, usize, Id);

/// Links an image once more, with debug information, where its link was recorded; why it takes that
/// goes before.
pub type Relink = fn(&Path, &str) -> Result<Option<Temporary>>;

/// Answers in the order of the questions. `None`: there is no debug information, and it cannot be
/// had. `why` is said to the user when it takes another link.
pub fn ask(
    image: &Image<'_>,
    questions: &[Question<'_>],
    why: &str,
    relink: Relink,
) -> Result<Option<Vec<Answer>>> {
    // An object may have nothing but BTF.
    for question in questions {
        let mapped = Mapped::open(Path::new(question.object))?;
        let elf = Elf::parse(&mapped)?;
        if encode::has_btf(&elf) && !elf.has_section(".debug_info") {
            return Ok(None);
        }
    }
    let missing = dropped::wish_for(questions.iter().map(|q| Path::new(q.object)));
    if let Some(first) = missing.first() {
        return Err(Error::new(format!(
            "{why}, and the debug information that could tell was taken out of {} \
             (KBUILD_BTF_DEBUG=drop)",
            first.display()
        ))
        .hint("run make again: it compiles the object, and leaves its debug information in it"));
    }
    // For each question the unit, its turn among those that are alike, and the DIE from its start.
    let mut asked: Vec<(Likeness, usize, u64)> = Vec::with_capacity(questions.len());
    let mut expected: HashMap<Likeness, Vec<(&str, usize)>> = HashMap::new();
    for question in questions {
        let (start, likeness) = unit_of(Path::new(question.object), question.die)?;
        let alike = expected.entry(likeness.clone()).or_default();
        let unit = (question.object, start);
        let turn = alike.iter().position(|&u| u == unit).unwrap_or_else(|| {
            alike.push(unit);
            alike.len() - 1
        });
        asked.push((likeness, turn, question.die - start as u64));
    }
    let again;
    let mut mapped = Mapped::open(image.path)?;
    if !Elf::parse(&mapped)?.has_section(".debug_info") {
        again = relink(image.path, why)?;
        let Some(again) = &again else {
            return Ok(None);
        };
        mapped = Mapped::open(again.path())?;
        if !Image::read(&Elf::parse(&mapped)?)?.has_symbols_of(image) {
            return Err(Error::new(format!(
                "{why}; linked once more with debug information it has other addresses"
            ))
            .hint("set KBUILD_BTF_KEEP_DEBUG=1"));
        }
    }
    let elf = Elf::parse(&mapped)?;
    let dwarf = Dwarf::load(&elf)?;
    let source = Source::new(&elf, &dwarf)?;
    let mut found: HashMap<Likeness, Vec<(usize, Encoded)>> = HashMap::new();
    for unit in dwarf.units()? {
        let (name, directory) = names(&dwarf, &unit);
        let length = unit.length_including_self();
        let is = |l: &Likeness| (&l.0, &l.1, l.2) == (&name, &directory, length);
        if !expected.keys().any(is) {
            continue;
        }
        let (start, encoded) = (
            dies_of(&dwarf, &unit),
            encode::encode_units(&source, &[unit])?,
        );
        let likeness = (name, directory, length, content(&encoded));
        found.entry(likeness).or_default().push((start, encoded));
    }
    // Of several equal units the one in the same turn: as their contents are equal, it does not
    // matter which is which, but there must be as many.
    let answer = |(likeness, turn, die): &(Likeness, usize, u64)| match found.get(likeness) {
        Some(linked) if linked.len() == expected[likeness].len() => {
            let (start, encoded) = &linked[*turn];
            place(image, encoded, *start as u64 + die)
        }
        _ => Answer::Unknown,
    };
    Ok(Some(asked.iter().map(answer).collect()))
}

/// The unit of an object that a DIE is in: where it starts, and what it is like.
fn unit_of(object: &Path, die: u64) -> Result<(usize, Likeness)> {
    let mapped = Mapped::open(object)?;
    let elf = Elf::parse(&mapped)?;
    let dwarf = Dwarf::load(&elf)?;
    let source = Source::new(&elf, &dwarf)?;
    let mut units = dwarf.units()?;
    let before = units.partition_point(|u| start_of(u) as u64 <= die);
    if before == 0 {
        return Err(Error::new(format!("no unit holds DIE {die:#x}"))
            .at(object.display())
            .hint("the object changed meanwhile: run make again"));
    }
    let unit = units.swap_remove(before - 1);
    let (name, directory) = names(&dwarf, &unit);
    if units.iter().any(|unit| encode::is_skeleton(&dwarf, unit)) {
        return Err(
            Error::new("it is made of several objects with split DWARF").at(object.display())
        );
    }
    let (start, length) = (dies_of(&dwarf, &unit), unit.length_including_self());
    let encoded = encode::encode_units(&source, &[unit])?;
    Ok((start, (name, directory, length, content(&encoded))))
}

fn start_of(unit: &UnitHeader<Reader<'_>>) -> usize {
    unit.debug_info_offset().map_or(0, |offset| offset.0)
}

/// Where its DIEs count from: those of a skeleton are in a file of their own.
fn dies_of(dwarf: &Dwarf<'_>, unit: &UnitHeader<Reader<'_>>) -> usize {
    match encode::is_skeleton(dwarf, unit) {
        true => 0,
        false => start_of(unit),
    }
}

/// What a unit encodes to, whatever the file: its types, functions and variables.
fn content(encoded: &Encoded) -> Id {
    let view = encoded.view();
    let mut bytes: Vec<u8> = encoded.ids.iter().flat_map(Id::bytes).collect();
    bytes.extend(encoded.functions.iter().flat_map(|f| f.id.bytes()));
    for variable in &encoded.variables {
        bytes.extend_from_slice(view.string(variable.name));
        for word in [0, variable.type_id, variable.flags] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(variable.size.to_le_bytes());
    }
    Id::of(&bytes)
}

/// The place that a linked unit gives to the function or variable at a DIE.
fn place(image: &Image<'_>, encoded: &Encoded, die: u64) -> Answer {
    let function = encoded.functions.iter().find(|f| f.die == die);
    let variable = encoded.variables.iter().find(|v| v.die == die);
    let (symbol, address) = match (function, variable) {
        (Some(f), _) => (f.symbol, if image.relocatable { 0 } else { f.low_pc }),
        (_, Some(v)) => (v.symbol, v.address),
        _ => return Answer::Gone,
    };
    if !image.relocatable {
        return Answer::At(Location {
            section: 0,
            value: address,
        });
    }
    if symbol == NONE {
        return Answer::Gone;
    }
    let view = encoded.view();
    let symbol = &encoded.symbols[symbol as usize];
    let name = view.string(symbol.section);
    let mut named = (0..)
        .zip(&image.sections)
        .filter(|(_, section)| section.name == name);
    match (named.next(), named.next()) {
        (Some((section, _)), None) => Answer::At(Location {
            section,
            value: symbol.value.wrapping_add(address),
        }),
        _ => Answer::Unknown,
    }
}
