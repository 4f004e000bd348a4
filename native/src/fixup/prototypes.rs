// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Which prototypes are the same to a caller.
//!
//! A type has a **loose identity**, which forgets what does not count: `const` (but that of `const
//! void`), names of parameters, what a typedef, struct, union or enum of a name is, and the name of
//! a type tag. Two prototypes match when theirs are equal. So each type is looked at once, however
//! often the types of parameters refer to it. What counts was found by trials with pahole; they are
//! tests/test_consistent.py.

use std::collections::{HashMap, HashSet};

use crate::btf::{self, Kind};
use crate::combine::Combiner;
use crate::object::numbering::Class;
use crate::object::Id;
use crate::support::hash::Fast;

/// The loose identities that one thread has met.
pub struct Prototypes<'a, 'c> {
    combiner: &'a Combiner<'c>,
    widths: &'a Widths,
    known: HashMap<Class, Id, Fast>,
}

/// Names of enumerations that are defined in both widths, as numbers of the combiner. Only there does
/// the width count: a declaration does not know it.
pub struct Widths(HashSet<u32, Fast>);

impl Widths {
    pub fn new(combiner: &Combiner<'_>) -> Widths {
        let defined = |kind: Kind| {
            let classes = combiner.numbers().map(|class| combiner.class_words(class));
            let names = classes
                .filter(move |words| btf::kind_of(words) == Some(kind) && btf::vlen(words[1]) != 0);
            names.map(|words| words[0])
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
        }
    }

    /// Do all these prototypes match?
    pub fn match_all(&mut self, mut prototypes: impl Iterator<Item = Class>) -> bool {
        let Some(first) = prototypes.next() else {
            return true;
        };
        prototypes.all(|other| other == first || self.identity(other) == self.identity(first))
    }

    /// The loose identity of a class. (The depth is that of a chain of types without names, which
    /// `identity::DEPTH` bounds.)
    fn identity(&mut self, class: Class) -> Id {
        if class == 0 {
            return Id::default();
        }
        if let Some(&known) = self.known.get(&class) {
            return known;
        }
        let id = self.of_words(class);
        self.known.insert(class, id);
        id
    }

    fn of_words(&mut self, class: Class) -> Id {
        let words = self.combiner.class_words(class);
        let Some(kind) = btf::kind_of(words) else {
            return Id::default();
        };
        let named = |kind: Kind| loose(kind, &[words[0]], &[]);
        match kind {
            Kind::Const if words[2] != 0 => self.identity(words[2]),
            Kind::Fwd if words[1] & btf::KIND_FLAG != 0 => named(Kind::Union),
            Kind::Fwd => named(Kind::Struct),
            Kind::Enum | Kind::Enum64 if !self.widths.0.contains(&words[0]) => named(Kind::Enum),
            Kind::Struct | Kind::Union | Kind::Typedef | Kind::Enum | Kind::Enum64 => named(kind),
            Kind::Int => loose(kind, &[words[0], words[2], words[3]], &[]),
            Kind::Float => loose(kind, &[words[0], words[2]], &[]),
            Kind::Array => loose(kind, &[words[5]], &[self.identity(words[3])]),
            Kind::FuncProto => {
                let parameters = words[3..].chunks_exact(2).map(|p| p[1]);
                let types = std::iter::once(words[2]).chain(parameters);
                let types: Vec<Id> = types.map(|class| self.identity(class)).collect();
                loose(kind, &[], &types)
            }
            _ => loose(kind, &[], &[self.identity(words[2])]),
        }
    }
}

/// Identity of what a type is by itself, and of the types that it refers to.
fn loose(kind: Kind, words: &[u32], types: &[Id]) -> Id {
    let mut bytes = Vec::with_capacity(1 + 4 * words.len() + 16 * types.len());
    bytes.push(kind as u8);
    bytes.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
    bytes.extend(types.iter().flat_map(Id::bytes));
    Id::of(&bytes)
}
