// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Which prototypes are the same to a caller.
//!
//! A type has a **loose identity**, which forgets what does not count. Two prototypes match when theirs
//! are equal, so each type is looked at once, however often the types of parameters refer to it. What
//! counts was found by trials with pahole, which are tests/test_consistent.py:
//!
//! | type | its loose identity |
//! |---|---|
//! | integer, float | all that it is |
//! | typedef | its name |
//! | struct, union, declaration of one; enumeration | that it is one, and its name, if any |
//! | `const` | that of its type; of `const void`, which is another than `void`, a `const` of it |
//! | pointer, `volatile`, `restrict`, type tag of any name | kind, and what it leads to |
//! | array | number of elements, and their type |
//! | function | the types of its result and parameters, whatever their names |

use std::collections::{HashMap, HashSet};

use crate::btf::{self, Kind, Space};
use crate::combine::Combiner;
use crate::object::numbering::Class;
use crate::object::Id;
use crate::support::hash::Fast;

/// The loose identities that one thread has met.
pub struct Prototypes<'a, 'c> {
    combiner: &'a Combiner<'c>,
    widths: &'a Widths,
    known: HashMap<Class, Id, Fast>,
    /// What is said of the types that are being looked at, each behind the one that refers to it.
    text: Vec<u8>,
}

/// Names of enumerations that are defined in both widths, as numbers of the combiner. Only there does
/// the width count: a declaration does not know it.
pub struct Widths(HashSet<u32, Fast>);

impl Widths {
    pub fn new(combiner: &Combiner<'_>) -> Widths {
        let defined = |kind: Kind| {
            let all = combiner.numbers().map(|class| combiner.class_words(class));
            all.filter(move |words| btf::kind_of(words) == Some(kind) && btf::vlen(words[1]) != 0)
                .map(|words| words[0])
        };
        let mut names: HashSet<u32, Fast> = defined(Kind::Enum64).collect();
        if !names.is_empty() {
            let narrow: HashSet<u32, Fast> = defined(Kind::Enum).collect();
            names.retain(|name| narrow.contains(name));
        }
        Widths(names)
    }
}

impl<'a, 'c> Prototypes<'a, 'c> {
    pub fn new(combiner: &'a Combiner<'c>, widths: &'a Widths) -> Self {
        Prototypes {
            combiner,
            widths,
            known: HashMap::default(),
            text: Vec::new(),
        }
    }

    /// Do all these prototypes match?
    pub fn match_all(&mut self, mut prototypes: impl Iterator<Item = Class>) -> bool {
        let Some(first) = prototypes.next() else {
            return true;
        };
        prototypes.all(|other| other == first || self.loose(other) == self.loose(first))
    }

    /// The loose identity of a class. (No circle leads through it without a name.)
    fn loose(&mut self, class: Class) -> Id {
        if class == 0 {
            return Id::default();
        }
        if let Some(&known) = self.known.get(&class) {
            return known;
        }
        let found = self.look(class);
        self.known.insert(class, found);
        found
    }

    fn look(&mut self, class: Class) -> Id {
        let words = self.combiner.class_words(class);
        let name = words[0];
        let Some(kind) = btf::kind_of(words) else {
            return self.combiner.facts(class).id;
        };
        match kind {
            Kind::Const if words[2] != 0 => self.loose(words[2]),
            Kind::Ptr | Kind::Const | Kind::Volatile | Kind::Restrict | Kind::TypeTag => {
                self.made_of(kind as u8, 0, [words[2]])
            }
            Kind::Typedef => self.made_of(kind as u8, name, []),
            Kind::Struct => self.made_of(Space::Struct as u8, name, []),
            Kind::Union => self.made_of(Space::Union as u8, name, []),
            Kind::Fwd => match words[1] & btf::KIND_FLAG {
                0 => self.made_of(Space::Struct as u8, name, []),
                _ => self.made_of(Space::Union as u8, name, []),
            },
            Kind::Enum64 if self.widths.0.contains(&name) => self.made_of(kind as u8, name, []),
            Kind::Enum | Kind::Enum64 => self.made_of(Space::Enum as u8, name, []),
            Kind::Array => self.made_of(kind as u8, words[5], [words[3]]),
            Kind::FuncProto => {
                let params = words[3..].chunks_exact(2).map(|param| param[1]);
                self.made_of(kind as u8, 0, std::iter::once(words[2]).chain(params))
            }
            Kind::Int
            | Kind::Float
            | Kind::Func
            | Kind::Var
            | Kind::Datasec
            | Kind::DeclTag
            | Kind::LocParam
            | Kind::LocProto
            | Kind::Locsec => self.combiner.facts(class).id,
        }
    }

    /// The identity of what is of this sort and consists of these types.
    fn made_of(&mut self, sort: u8, number: u32, types: impl IntoIterator<Item = Class>) -> Id {
        let start = self.text.len();
        self.text.push(sort);
        self.text.extend_from_slice(&number.to_le_bytes());
        for class in types {
            let bytes = self.loose(class).bytes();
            self.text.extend_from_slice(&bytes);
        }
        let id = Id::of(&self.text[start..]);
        self.text.truncate(start);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::combine::sample::combined;
    use crate::object::sample::{int, object, of, prototype, A, B};

    /// Do prototypes of one parameter match, of types 1 and 2?
    fn match_each_other(types: &[Vec<u32>]) -> bool {
        let both = [prototype(&[1]), prototype(&[2])];
        let one = object(&[types, &both].concat()).expect("sound");
        let combiner = combined(&[&one]);
        let widths = Widths::new(&combiner);
        let class = |i: usize| combiner.find(one.ids[i]).expect("it has it");
        let both = [types.len(), types.len() + 1].map(class);
        Prototypes::new(&combiner, &widths).match_all(both.into_iter())
    }

    #[test]
    fn what_a_caller_does_not_see_does_not_count() {
        assert!(match_each_other(&[of(Kind::Const, 0, 2), int()]));
        let pointers = [
            of(Kind::Ptr, 0, 3),
            of(Kind::Ptr, 0, 4),
            of(Kind::Const, 0, 4),
            int(),
        ];
        assert!(match_each_other(&pointers));
        let tags = [of(Kind::TypeTag, A, 3), of(Kind::TypeTag, B, 3), int()];
        assert!(match_each_other(&tags));
    }

    #[test]
    fn what_a_caller_sees_counts() {
        assert!(!match_each_other(&[of(Kind::Volatile, 0, 2), int()]));
        assert!(!match_each_other(&[
            of(Kind::Ptr, 0, 0),
            of(Kind::Ptr, 0, 3),
            of(Kind::Const, 0, 0)
        ]));
        let arrays = [1, 2].map(|count| vec![0, btf::info(Kind::Array, 0, false), 0, 3, 3, count]);
        assert!(!match_each_other(&[&arrays[..], &[int()]].concat()));
        assert!(!match_each_other(&[
            of(Kind::Typedef, A, 3),
            of(Kind::Typedef, B, 3),
            int()
        ]));
    }
}
