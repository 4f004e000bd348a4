// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Types that an encoder has met in earlier units of the same file: nearly all of them, since units
//! include the same headers. Such a type is found again by its words; its names are not rendered and
//! hashed once more, and combine need not look at it.
//!
//! A type's **key** is its words, in which a reference is replaced by what it says to an identity
//! (see `identity`): of a nominal type its **mention** (space and name), of any other its number
//! here. Names stay offsets, as all units share their strings. So equal keys are equal identities.
//! (A text that stands at two offsets makes two keys, which costs a little and changes nothing.)
//!
//! What it is for: without it, each unit's types are written, rendered and hashed, and then met by
//! identity, as in modules. A small 6.12, one thread: 1.35 s of CPU with it, 1.64 s without, the same
//! bytes (medians of five).

use hashbrown::hash_table::HashTable;

use super::records::Type;
use super::words::{Choice, Item, Layout, Reference, Words};
use crate::btf::{Kind, Space};
use crate::object::identity::{self, Meaning, Render};
use crate::object::numbering::{Numbered, Sifted};
use crate::object::{push_text, Id, Short};
use crate::support::error::{Error, Result};
use crate::support::limits::NESTED;

/// Number of a key; 0 is void.
type Number = u32;

/// How a reference stands in a key: the two lowest bits are 0 before a number, else the space before
/// the offset of a name. Here: it has not been asked for.
const NEW: u32 = u32::MAX;
/// The key of what it refers to is being made.
const OPEN: u32 = u32::MAX - 1;

/// No place in the keys.
const NOWHERE: usize = usize::MAX;

/// Longer strings leave no room for the space.
pub const MAX_STRINGS: usize = 1 << 29;

fn mention(t: &Type) -> Option<u32> {
    let space = match t.kind? {
        _ if t.name == 0 => return None,
        Kind::Struct => 1,
        Kind::Union => 2,
        Kind::Fwd if t.extra != 0 => 2,
        Kind::Fwd => 1,
        Kind::Enum => 3,
        _ => return None,
    };
    Some(t.name << 2 | space)
}

pub struct Known {
    /// The keys, one after the other, and for each number where its key ends.
    keys: Vec<u32>,
    ends: Vec<u32>,
    table: HashTable<(Short, Number)>,
    pub numbered: Numbered,
    /// Of a number that is not told: has the combiner its words all the same?
    has_words: Vec<bool>,
    /// Of the units at hand: how a reference to each raw type stands in a key.
    references: Vec<u32>,
    index: u32,
    key: Vec<u32>,
    rendered: Vec<u8>,
    /// The last type that had this hint (see `hint`), or 0.
    hinted: Vec<Number>,
}

const HINT_BITS: u32 = 16;

/// Where to look for a type of which these words are known.
fn hint(words: [u32; 3]) -> usize {
    let mixed = words.iter().fold(0u64, |hash, &word| {
        (hash ^ u64::from(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    });
    (mixed >> (64 - HINT_BITS)) as usize
}

impl Default for Known {
    fn default() -> Self {
        Known {
            keys: Vec::new(),
            ends: vec![0],
            table: HashTable::new(),
            numbered: Numbered::default(),
            has_words: vec![true],
            references: Vec::new(),
            index: 0,
            key: Vec::new(),
            rendered: Vec::new(),
            hinted: vec![0; 1 << HINT_BITS],
        }
    }
}

impl Known {
    fn key(&self, number: Number) -> &[u32] {
        let i = number as usize;
        &self.keys[self.ends[i - 1] as usize..self.ends[i] as usize]
    }

    /// Does the key start with these words? A type has no number 0.
    #[inline(always)]
    fn starts_with<const N: usize>(&self, number: Number, words: [u32; N]) -> bool {
        let start = self.ends[(number as usize).wrapping_sub(1).min(number as usize)] as usize;
        number != 0 && self.keys.get(start..start + N) == Some(&words)
    }

    /// The number of `self.key`.
    fn number_of_key(&mut self, strings: &[u8]) -> Number {
        let hash = Short::of(bytemuck::cast_slice(&self.key));
        let is = |&(own, number): &(Short, Number)| own == hash && self.key(number) == self.key;
        if let Some(&(_, known)) = self.table.find(hash.spread(), is) {
            return known;
        }
        let mut to = Rendering {
            numbered: &self.numbered,
            strings,
            out: std::mem::take(&mut self.rendered),
        };
        to.out.clear();
        identity::render(&self.key, &mut to);
        self.rendered = to.out;
        let number = self.numbered.add(Id::of(&self.rendered));
        self.keys.extend_from_slice(&self.key);
        self.ends.push(self.keys.len() as u32);
        self.has_words.push(false);
        let entry = (hash, number);
        self.table
            .insert_unique(hash.spread(), entry, |(hash, _)| hash.spread());
        number
    }
}

/// Some units come to what is known.
pub struct Meeting<'k> {
    known: &'k mut Known,
    /// `DW_LANG_*` of units that count as if they had no types.
    left_out: &'k [u32],
    counts: bool,
    last: Number,
    depth: usize,
    failure: Option<Error>,
    /// What is found.
    pub sifted: Sifted,
}

impl<'k> Meeting<'k> {
    pub fn new(known: &'k mut Known, left_out: &'k [u32]) -> Self {
        Meeting {
            known,
            left_out,
            counts: true,
            last: 0,
            depth: 0,
            failure: None,
            sifted: Sifted::default(),
        }
    }

    pub fn leaves_out(&self, language: u32) -> bool {
        self.left_out.contains(&language)
    }

    /// `guess`: what it may be, or 0.
    fn number(&mut self, layout: &Layout<'_>, item: &Item<'_>, guess: Number) -> Result<Number> {
        if self.depth > NESTED {
            return Err(identity::too_deep());
        }
        self.depth += 1;
        let number = match layout.only_reference(item) {
            Some((name, info, to)) => self.number_of_three(layout, name, info, to, guess),
            None => self.number_of_any(layout, item, guess)?,
        };
        self.depth -= 1;
        self.failure.take().map_or(Ok(number), Err)
    }

    /// Of a type of three words.
    #[inline]
    fn number_of_three(
        &mut self,
        layout: &Layout<'_>,
        name: u32,
        info: u32,
        to: Reference,
        guess: Number,
    ) -> Number {
        let at = if self.known.starts_with(guess, [name, info]) {
            self.known.ends[guess as usize - 1] as usize + 2
        } else {
            NOWHERE
        };
        let reference = self.reference(layout, to, at);
        if self.known.keys.get(at) == Some(&reference) {
            return guess;
        }
        let key = [name, info, reference];
        let hint = hint(key);
        let hinted = self.known.hinted[hint];
        if self.known.starts_with(hinted, key) {
            return hinted;
        }
        self.known.key.clear();
        self.known.key.extend_from_slice(&key);
        let number = self.known.number_of_key(layout.strings);
        self.known.hinted[hint] = number;
        number
    }

    fn number_of_any(
        &mut self,
        layout: &Layout<'_>,
        item: &Item<'_>,
        guess: Number,
    ) -> Result<Number> {
        let (mut guess, mut hint_at) = (guess, None);
        if let Some((name, kind)) = layout.name_of(item) {
            let follows = kind != Kind::FuncProto && self.known.starts_with(guess, [name]);
            if !follows {
                let at = hint([name, kind as u32, 0]);
                guess = self.known.hinted[at];
                hint_at = Some(at);
            }
        }
        let ends = &self.known.ends;
        let (at, end) = match guess as usize {
            0 => (NOWHERE, 0),
            guess => (ends[guess - 1] as usize, ends[guess] as usize),
        };
        let mut compare = Compare {
            meeting: self,
            layout: *layout,
            at,
        };
        layout.write(item, &mut compare)?;
        if compare.at == end {
            return Ok(guess);
        }
        let mut key = std::mem::take(&mut self.known.key);
        key.clear();
        let mut make = Make {
            meeting: self,
            layout: *layout,
            key,
        };
        layout.write(item, &mut make)?;
        self.known.key = make.key;
        let number = self.known.number_of_key(layout.strings);
        if let Some(at) = hint_at {
            self.known.hinted[at] = number;
        }
        Ok(number)
    }

    /// How a reference stands in a key; it may be as `at` that place of the keys.
    #[inline(always)]
    fn reference(&mut self, layout: &Layout<'_>, to: Reference, at: usize) -> u32 {
        match to {
            Reference::Die(die) => self.reference_to(layout, die, at),
            Reference::TypeTag(i, tag) => self.tag_reference(layout, i, tag),
            Reference::Index => self.known.index,
        }
    }

    #[inline(always)]
    fn reference_to(&mut self, layout: &Layout<'_>, die: u32, at: usize) -> u32 {
        let Some(i) = layout.types.index.find(die) else {
            return 0;
        };
        match self.known.references[i as usize] {
            OPEN.. => self.expected_reference(layout, i, at),
            known => known,
        }
    }

    #[inline(never)]
    fn expected_reference(&mut self, layout: &Layout<'_>, i: u32, at: usize) -> u32 {
        let expected = self.known.keys.get(at).copied().unwrap_or(0);
        self.first_reference(layout, i, expected)
    }

    /// To a type that nothing has referred to yet.
    #[inline(never)]
    fn first_reference(&mut self, layout: &Layout<'_>, i: u32, expected: u32) -> u32 {
        if self.known.references[i as usize] == OPEN {
            self.failure.get_or_insert_with(identity::endless);
            return 0;
        }
        self.known.references[i as usize] = OPEN;
        let number = match layout.raw.types[i as usize].kind {
            Some(_) => {
                let guess = if expected & 3 == 0 { expected >> 2 } else { 0 };
                self.number(layout, &Item::Type(i), guess)
            }
            // Another name of what it refers to.
            None => {
                let die = layout.raw.types[i as usize].die;
                let known = match layout.types.find(die) {
                    Some(meant) if self.known.references[meant] < OPEN => {
                        self.known.references[meant]
                    }
                    Some(meant) => self.first_reference(layout, meant as u32, expected),
                    None => 0,
                };
                self.known.references[i as usize] = known;
                return known;
            }
        };
        let reference = match number {
            Ok(number) => number << 2,
            Err(error) => {
                self.failure.get_or_insert(error);
                0
            }
        };
        self.known.references[i as usize] = reference;
        reference
    }

    #[inline(never)]
    fn tag_reference(&mut self, layout: &Layout<'_>, i: u32, tag: u32) -> u32 {
        match self.number(layout, &Item::TypeTag(i, tag), 0) {
            Ok(number) => number << 2,
            Err(error) => {
                self.failure.get_or_insert(error);
                0
            }
        }
    }
}

impl Choice for Meeting<'_> {
    fn begin(&mut self, layout: &Layout<'_>, int: Option<u32>) -> Result<()> {
        let references = &mut self.known.references;
        references.clear();
        references.extend(layout.raw.types.iter().map(|t| mention(t).unwrap_or(NEW)));
        let count = layout.raw.types.len() + layout.raw.functions.len();
        self.sifted = Sifted::with_capacity(count);
        // Arrays refer to it wherever they stand.
        let index = match int {
            Some(int) => self.first_reference(layout, int, 0),
            None if layout.int_name != 0 => self.number(layout, &Item::OwnInt, 0)? << 2,
            None => 0,
        };
        self.known.index = index;
        self.failure.take().map_or(Ok(()), Err)
    }

    fn unit(&mut self, language: u32) {
        self.counts = !self.left_out.contains(&language);
    }

    #[inline]
    fn wants(&mut self, layout: &Layout<'_>, item: &Item<'_>, proper: bool) -> Result<bool> {
        let reference = match *item {
            Item::Type(i) => self.known.references[i as usize],
            _ => NEW,
        };
        let number = if reference & 3 == 0 {
            reference >> 2
        } else {
            // Units include headers in about the same order.
            let guess = self.known.numbered.follower(self.last);
            if let (NEW, Item::Type(i)) = (reference, *item) {
                self.first_reference(layout, i, guess << 2) >> 2
            } else {
                self.number(layout, item, guess)?
            }
        };
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        self.known.numbered.follow(self.last, number);
        self.last = number;
        self.sifted.numbers.push(number);
        let mut is_fresh = false;
        if self.counts {
            let has_words = std::mem::replace(&mut self.known.has_words[number as usize], true);
            is_fresh = !has_words;
            if proper && self.known.numbered.tell(number) {
                self.sifted.add_fresh();
            }
        }
        // Of units that refer to each other, one may mean a type by the copy that another has.
        Ok(is_fresh || layout.raw.units.len() > 1)
    }
}

/// Compares a type with a key on the way, and numbers what it refers to.
struct Compare<'m, 'k, 'r> {
    meeting: &'m mut Meeting<'k>,
    layout: Layout<'r>,
    /// Place in the keys; `NOWHERE`: they differ.
    at: usize,
}

impl Compare<'_, '_, '_> {
    /// Are these the next words? They are not, from the first ones on that are not.
    #[inline(always)]
    fn next<const N: usize>(&mut self, words: [u32; N]) {
        let end = self.at.saturating_add(N);
        match self.meeting.known.keys.get(self.at..end) {
            Some(known) if known == words => self.at = end,
            _ => self.at = NOWHERE,
        }
    }
}

impl Words for Compare<'_, '_, '_> {
    #[inline(always)]
    fn word(&mut self, word: u32) {
        self.next([word]);
    }

    #[inline(always)]
    fn three(&mut self, name: u32, info: u32, size: u32) {
        self.next([name, info, size]);
    }

    #[inline(always)]
    fn reference(&mut self, to: Reference) {
        let reference = self.meeting.reference(&self.layout, to, self.at);
        self.next([reference]);
    }

    #[inline(always)]
    fn member(&mut self, name: u32, to: u32, offset: u32) {
        let at = self.at.saturating_add(1);
        let reference = self.meeting.reference_to(&self.layout, to, at);
        self.next([name, reference, offset]);
    }

    #[inline(always)]
    fn parameter(&mut self, name: u32, to: u32) {
        let at = self.at.saturating_add(1);
        let reference = self.meeting.reference_to(&self.layout, to, at);
        self.next([name, reference]);
    }
}

/// Makes the key of a type.
struct Make<'m, 'k, 'r> {
    meeting: &'m mut Meeting<'k>,
    layout: Layout<'r>,
    key: Vec<u32>,
}

impl Words for Make<'_, '_, '_> {
    fn word(&mut self, word: u32) {
        self.key.push(word);
    }

    fn reference(&mut self, to: Reference) {
        let reference = self.meeting.reference(&self.layout, to, NOWHERE);
        self.key.push(reference);
    }

    fn member(&mut self, name: u32, to: u32, offset: u32) {
        self.parameter(name, to);
        self.word(offset);
    }

    fn parameter(&mut self, name: u32, to: u32) {
        self.word(name);
        self.reference(Reference::Die(to));
    }
}

/// Renders a type by its key.
struct Rendering<'k> {
    numbered: &'k Numbered,
    strings: &'k [u8],
    out: Vec<u8>,
}

impl Render for Rendering<'_> {
    fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    fn name(&mut self, offset: u32) {
        push_text(&mut self.out, self.strings, offset);
    }

    fn reference(&mut self, reference: u32) {
        let meaning = match (reference & 3, reference >> 2) {
            (0, 0) => Meaning::Void,
            (0, number) => Meaning::Type(self.numbered.id(number)),
            (1, name) => Meaning::Nominal(Space::Struct, name),
            (2, name) => Meaning::Nominal(Space::Union, name),
            (_, name) => Meaning::Nominal(Space::Enum, name),
        };
        meaning.write(self.strings, &mut self.out);
    }
}
