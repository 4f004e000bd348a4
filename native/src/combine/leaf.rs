// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! A **leaf**: a named type of the base that is there for its name alone.

use crate::btf::{self, Kind};

/// Members give way to one that has neither name nor type, and the id for a value.
pub fn make_leaf(words: &mut Vec<u32>, at: usize, id: u32) {
    let info = words[at + 1];
    words.truncate(at + 3);
    words[at + 1] = info & !btf::MAX_VLEN | 1;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::sample::{declared, enumeration, structure, A, B, S};

    #[test]
    fn of_a_leaf_only_the_name_is_left() {
        for (words, id) in [
            (structure(S, &[(A, 1), (B, 1)]), 7),
            (structure(S, &[]), 8),
            (enumeration(S, 4, &[(A, 1), (B, 2)]), 9),
        ] {
            assert!(!is_leaf(&words));
            let mut all = vec![5, 5];
            all.extend_from_slice(&words);
            make_leaf(&mut all, 2, id);
            let leaf = &all[2..];
            assert!(is_leaf(leaf));
            assert_eq!(btf::nominal(leaf), btf::nominal(&words));
            assert_eq!((leaf[0], leaf.last(), all[..2].len()), (S, Some(&id), 2));
        }
    }

    #[test]
    fn a_declaration_or_one_real_member_is_none() {
        assert!(!is_leaf(&declared(S)));
        assert!(!is_leaf(&structure(S, &[(A, 1)])));
        assert!(!is_leaf(&structure(S, &[(0, 1)])));
        assert!(!is_leaf(&enumeration(S, 4, &[(A, 0)])));
        assert!(!is_leaf(&structure(0, &[(0, 0)])));
    }
}
