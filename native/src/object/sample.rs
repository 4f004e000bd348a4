// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Objects of a few types, for the tests of the stages.

use super::{identity, Encoded, Target, Unit};
use crate::btf::{self, Kind};
use crate::support::error::Result;

/// The strings of all samples, and where some stand in them.
const STRINGS: &[u8] = b"\0int\0s\0a\0b\0";
pub const INT: u32 = 1;
pub const S: u32 = 5;
pub const A: u32 = 7;
pub const B: u32 = 9;

/// One unit of these types, with their identities.
pub fn object(types: &[Vec<u32>]) -> Result<Encoded> {
    let mut encoded = Encoded::new(Target::default());
    encoded.strings = STRINGS.to_vec();
    for words in types {
        encoded.words.extend(words);
        encoded.starts.push(encoded.words.len() as u32);
    }
    encoded.units.push(Unit {
        types_end: types.len() as u32,
        protos_end: types.len() as u32,
        ..Unit::default()
    });
    identity::of_types(&mut encoded)?;
    Ok(encoded)
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
