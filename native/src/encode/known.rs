// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Types that an encoder has met in earlier units of the same file: nearly all of them, since units
//! include the same headers. Such a type is found again by its words; its names are not rendered and
//! hashed once more, and combine need not look at it.
//!
//! A type's **key** is its words, in which a reference is replaced by what it says to an identity
//! (see `identity`): of a nominal type its **mention** (space and name), of any other its number
//! here. Names stay offsets, as all units share their strings. So equal keys are equal identities.
//! (A text that stands at two offsets makes two keys, which costs a little and changes nothing.)

use hashbrown::hash_table::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use crate::btf::{self, Field};
use crate::encoded::{push_text, Id, View};
use crate::error::Result;
use crate::identity::{self, Meaning, Render, Space, DEPTH};

/// Number of a key; 0 is void.
type Number = u32;

/// A local type that has no number yet.
const NEW: u32 = u32::MAX;
/// One whose key is being made: it refers to the type at hand.
const OPEN: u32 = u32::MAX - 1;

/// How a reference stands in a key: the two lowest bits are 0 before a number, else the space before
/// the offset of a name. Longer strings leave no room for them.
const STRINGS: usize = 1 << 29;

fn mention(space: Space, name: u32) -> u32 {
    let space = match space {
        Space::Struct => 1,
        Space::Union => 2,
        Space::Enum => 3,
    };
    name << 2 | space
}

pub struct Known {
    /// The keys, one after the other, and for each number where its key ends.
    keys: Vec<u32>,
    ends: Vec<u32>,
    table: HashTable<Number>,
    ids: Vec<Id>,
    /// Was it a type of some unit, not only the prototype of a function?
    is_unit_type: Vec<bool>,
    /// For each number the one that came after it, the last time.
    followers: Vec<Number>,
    last: Number,
    /// Of the units at hand: each local type's number, and how a reference to it stands in a key.
    numbers: Vec<Number>,
    references: Vec<u32>,
    /// Keys in the making, each behind that of the type that refers to it.
    making: Vec<u32>,
    rendered: Vec<u8>,
}

/// What is known of the types of some units.
pub struct Met {
    /// The identity of each.
    pub ids: Vec<Id>,
    /// Local ids of those that are types of a unit for the first time, ascending.
    pub first: Vec<u32>,
}

impl Default for Known {
    fn default() -> Self {
        Known {
            keys: Vec::new(),
            ends: vec![0],
            table: HashTable::new(),
            ids: vec![Id::default()],
            is_unit_type: vec![false],
            followers: vec![0],
            last: 0,
            numbers: Vec::new(),
            references: Vec::new(),
            making: Vec::new(),
            rendered: Vec::new(),
        }
    }
}

impl Known {
    /// Find the types of some units, and remember those that are new. Units of the languages
    /// `left_out` count as if they had no types.
    pub fn meet(&mut self, view: &View<'_>, left_out: &[u32]) -> Result<Met> {
        let count = view.starts.len() as u32 - 1;
        if view.strings.len() > STRINGS {
            return Ok(Met {
                ids: identity::of_view(view)?,
                first: (1..=count).collect(),
            });
        }
        self.references.clear();
        self.references.extend((1..=count).map(|id| {
            let words = view.type_words(id);
            identity::nominal(words).map_or(NEW, |(space, _)| mention(space, words[0]))
        }));
        self.numbers.clear();
        self.numbers.resize(count as usize, NEW);
        self.making.clear();
        for id in 1..=count {
            if self.numbers[id as usize - 1] == NEW {
                self.number(view, id, 0)?;
            }
        }
        let mut first = Vec::new();
        let mut start = 0;
        for unit in view.units {
            if !left_out.contains(&unit.language) {
                for id in start + 1..=unit.types_end {
                    let number = self.numbers[id as usize - 1] as usize;
                    if !std::mem::replace(&mut self.is_unit_type[number], true) {
                        first.push(id);
                    }
                }
            }
            start = unit.protos_end;
        }
        let ids = self.numbers.iter().map(|&n| self.ids[n as usize]).collect();
        Ok(Met { ids, first })
    }

    fn number(&mut self, view: &View<'_>, id: u32, depth: usize) -> Result<Number> {
        if depth > DEPTH {
            return Err(identity::too_deep());
        }
        let i = id as usize - 1;
        let is_nominal = self.references[i] != NEW;
        if !is_nominal {
            self.references[i] = OPEN;
        }
        let words = view.type_words(id);
        let start = self.making.len();
        self.making.extend_from_slice(words);
        self.make_references(view, words, start, depth)?;
        let number = match self.find(&self.making[start..]) {
            Some(known) => known,
            None => self.add(view, words, start),
        };
        self.making.truncate(start);
        self.followers[self.last as usize] = number;
        self.last = number;
        self.numbers[i] = number;
        if !is_nominal {
            self.references[i] = number << 2;
        }
        Ok(number)
    }

    /// Replace the references in the key that starts there.
    fn make_references(
        &mut self,
        view: &View<'_>,
        words: &[u32],
        start: usize,
        depth: usize,
    ) -> Result<()> {
        let Some(kind) = identity::kind_of(words) else {
            return Ok(());
        };
        let mut result = Ok(());
        btf::for_each_field(kind, words, |i, field| {
            if field == Field::Type && words[i] != 0 {
                let mut reference = self.references[words[i] as usize - 1];
                if reference >= OPEN {
                    match self.number_referred(view, words[i], depth) {
                        Ok(number) => reference = number << 2,
                        Err(error) => result = Err(error),
                    }
                }
                self.making[start + i] = reference;
            }
        });
        result
    }

    /// The number of a type that something refers to before it was met.
    #[inline(never)]
    fn number_referred(&mut self, view: &View<'_>, id: u32, depth: usize) -> Result<Number> {
        match self.references[id as usize - 1] {
            NEW => self.number(view, id, depth + 1),
            _ => Err(identity::endless()),
        }
    }

    fn key(&self, number: Number) -> &[u32] {
        let i = number as usize;
        &self.keys[self.ends[i - 1] as usize..self.ends[i] as usize]
    }

    #[inline]
    fn find(&self, key: &[u32]) -> Option<Number> {
        // Units include headers in about the same order.
        let guess = self.followers[self.last as usize];
        if guess != 0 && self.key(guess) == key {
            return Some(guess);
        }
        let is = |&n: &Number| self.key(n) == key;
        self.table.find(hash(key), is).copied()
    }

    /// Give the key that starts there in `making` a number.
    fn add(&mut self, view: &View<'_>, words: &[u32], start: usize) -> Number {
        let mut out = std::mem::take(&mut self.rendered);
        out.clear();
        let mut to = Rendering {
            known: self,
            view,
            out,
        };
        identity::render(words, &mut to);
        self.rendered = to.out;
        self.ids.push(Id::of(&self.rendered));
        let key = &self.making[start..];
        self.keys.extend_from_slice(key);
        self.ends.push(self.keys.len() as u32);
        self.is_unit_type.push(false);
        self.followers.push(0);
        let number = self.ids.len() as Number - 1;
        let (keys, ends) = (&self.keys, &self.ends);
        self.table.insert_unique(hash(key), number, |&n| {
            let i = n as usize;
            hash(&keys[ends[i - 1] as usize..ends[i] as usize])
        });
        number
    }
}

fn hash(key: &[u32]) -> u64 {
    xxh3_64(bytemuck::cast_slice(key))
}

/// Renders a type whose references all have a number.
struct Rendering<'k, 'v> {
    known: &'k Known,
    view: &'k View<'v>,
    out: Vec<u8>,
}

impl Render for Rendering<'_, '_> {
    fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    fn name(&mut self, offset: u32) {
        push_text(&mut self.out, self.view.strings, offset);
    }

    fn reference(&mut self, target: u32) {
        let meaning = match target.checked_sub(1).map(|i| i as usize) {
            None => Meaning::Void,
            Some(i) => match identity::nominal(self.view.type_words(target)) {
                Some((space, _)) => Meaning::Nominal(space, self.view.type_words(target)[0]),
                None => Meaning::Type(self.known.ids[self.known.numbers[i] as usize]),
            },
        };
        meaning.write(self.view.strings, &mut self.out);
    }
}
