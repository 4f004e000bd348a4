// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Objects of a few types, for the tests of the stages, and raw BTF as lines.

use super::{identity, Encoded, Function, Id, Target, Unit, View, NONE};
use crate::btf::{self, for_each_field, read, write, Field, Kind};
use crate::support::error::Result;

/// The strings of all samples, and where some stand in them.
pub const STRINGS: &[u8] = b"\0int\0s\0a\0b\0module\0";
pub const INT: u32 = 1;
pub const S: u32 = 5;
pub const A: u32 = 7;
pub const B: u32 = 9;
pub const MODULE: u32 = 11;

/// One unit of these types, with their identities.
pub fn object(types: &[Vec<u32>]) -> Result<Encoded> {
    object_with(STRINGS, types, 0)
}

/// The same with other strings; the last types are prototypes of candidates.
pub fn object_with(strings: &[u8], types: &[Vec<u32>], prototypes: usize) -> Result<Encoded> {
    let mut encoded = Encoded::new(Target::default());
    encoded.strings = strings.to_vec();
    for words in types {
        encoded.words.extend(words);
        encoded.starts.push(encoded.words.len() as u32);
    }
    encoded.units.push(Unit {
        types_end: (types.len() - prototypes) as u32,
        protos_end: types.len() as u32,
        ..Unit::default()
    });
    identity::of_types(&mut encoded)?;
    Ok(encoded)
}

/// A function candidate of the only unit.
pub fn add_function(encoded: &mut Encoded, name: u32, proto: u32) {
    encoded.functions.push(Function {
        id: Id::default(),
        name,
        proto,
        flags: 0,
        tags_start: 0,
        tags_len: 0,
        symbol: NONE,
        low_pc: 0,
        die: u64::from(name),
    });
    encoded.units[0].functions_end += 1;
    let view = encoded.view();
    let ids = identity::of_functions(&view, |id| view.ids[id as usize - 1]);
    for (function, id) in encoded.functions.iter_mut().zip(ids) {
        function.id = id;
    }
}

/// These types as raw BTF.
pub fn raw(types: &[Vec<u32>]) -> Vec<u8> {
    raw_with(STRINGS, types)
}

pub fn raw_with(strings: &[u8], types: &[Vec<u32>]) -> Vec<u8> {
    let words = types.iter().flatten();
    let types: Vec<u8> = words.flat_map(|word| word.to_le_bytes()).collect();
    write::file(&types, &[], strings, false).expect("small")
}

/// Each type of raw BTF as a line: kind, and its names and references in order. `below`: number of
/// types and strings of what it is split against.
pub fn lines(raw: &[u8], below: (u32, &[u8])) -> Vec<String> {
    let parts = read::parts(raw).expect("sound");
    let (words, _) = read::words(&parts);
    let starts = read::starts(&words).expect("sound");
    let strings = [below.1, parts.strings].concat();
    let encoded = Encoded {
        words,
        starts,
        strings,
        ..Encoded::default()
    };
    lines_of(&encoded.view())
}

/// The same of an object's types.
pub fn lines_of(view: &View<'_>) -> Vec<String> {
    let all = 1..=view.type_count() as u32;
    all.map(|id| line(view, id)).collect()
}

fn line(view: &View<'_>, id: u32) -> String {
    let words = view.type_words(id);
    let kind = btf::kind_of(words).expect("sound");
    let mut line = kind.name().to_owned();
    for_each_field(kind, words, |i, field| match field {
        Field::Name if words[i] == 0 => {}
        Field::Name => {
            line += " ";
            line += &String::from_utf8_lossy(view.string(words[i]));
        }
        Field::Type => line += &format!(" #{}", words[i]),
    });
    line
}

pub fn int() -> Vec<u32> {
    btf::int(INT).to_vec()
}

/// A type of another: pointer, qualifier, typedef.
pub fn of(kind: Kind, name: u32, target: u32) -> Vec<u32> {
    vec![name, btf::info(kind, 0, false), target]
}

pub fn declared(name: u32) -> Vec<u32> {
    vec![name, btf::info(Kind::Fwd, 0, false), 0]
}

/// A struct of some words, each a member of this name and type.
pub fn structure(name: u32, members: &[(u32, u32)]) -> Vec<u32> {
    let count = members.len() as u32;
    let mut words = vec![name, btf::info(Kind::Struct, count, false), 4 * count];
    for (i, &(name, of)) in (0..).zip(members) {
        words.extend([name, of, 32 * i]);
    }
    words
}

/// An enumeration of so many bytes; without values a declaration.
pub fn enumeration(name: u32, size: u32, values: &[(u32, u32)]) -> Vec<u32> {
    let mut words = vec![
        name,
        btf::info(Kind::Enum, values.len() as u32, false),
        size,
    ];
    words.extend(values.iter().flat_map(|&(name, value)| [name, value]));
    words
}

/// A function that takes these types and gives nothing.
pub fn prototype(params: &[u32]) -> Vec<u32> {
    let mut words = vec![0, btf::info(Kind::FuncProto, params.len() as u32, false), 0];
    words.extend(params.iter().flat_map(|&of| [A, of]));
    words
}
