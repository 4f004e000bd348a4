// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! A **leaf**: a named type of the base that is there for its name alone.

use crate::btf::{self, Kind};

/// Members give way to one that has neither name nor type, and the id for a value.
pub fn make_leaf(words: &mut Vec<u32>, at: usize, id: u32) {
    let info = words[at + 1];
    words.truncate(at + 3);
    words[at + 1] = info & !0xffff | 1;
    match Kind::from_info(info) {
        Some(Kind::Enum) => words.extend([0, id]),
        _ => words.extend([0, 0, id]),
    }
}

pub fn is_leaf(words: &[u32]) -> bool {
    btf::vlen(words[1]) == 1
        && match (btf::nominal(words), btf::kind_of(words)) {
            (Some((_, false)), Some(Kind::Enum | Kind::Enum64)) => words[3] == 0,
            (Some((_, false)), _) => words[3..5] == [0, 0],
            _ => false,
        }
}
