// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! What one thread has met, so that a type that comes again costs one comparison and asks no other
//! thread: 23 of 24 types of a kernel do.

use hashbrown::hash_table::HashTable;

use crate::combine::Class;
use crate::encoded::{Id, Unit, View};

/// A type that this thread has met.
struct Met {
    id: Id,
    /// Its class, once the combiner has told it.
    class: Class,
    /// The number of the type that followed it in some object, or 0. Objects include the same
    /// headers, so most often it is the one that follows again: no search, and neighbours in memory.
    follower: u32,
    /// How often it was met as a type of a unit proper; the combiner was told the first time.
    told: u32,
}

/// Types by number, from 1 on, in the order in which they were met.
pub struct Numbered {
    met: Vec<Met>,
}

impl Default for Numbered {
    fn default() -> Self {
        let mut numbered = Numbered { met: Vec::new() };
        numbered.add(Id::default());
        numbered
    }
}

impl Numbered {
    /// The number of a type that was not met before.
    pub fn add(&mut self, id: Id) -> u32 {
        self.met.push(Met {
            id,
            class: 0,
            follower: 0,
            told: 0,
        });
        self.met.len() as u32 - 1
    }

    #[inline]
    fn met(&self, number: u32) -> &Met {
        &self.met[number as usize]
    }

    pub fn id(&self, number: u32) -> Id {
        self.met(number).id
    }

    /// The class, or 0.
    #[inline]
    pub fn class(&self, number: u32) -> Class {
        self.met(number).class
    }

    /// What came after it the last time, or 0.
    #[inline]
    pub fn follower(&self, number: u32) -> u32 {
        self.met(number).follower
    }

    #[inline]
    pub fn follow(&mut self, number: u32, follower: u32) {
        self.met[number as usize].follower = follower;
    }

    /// It is met as a type that the combiner must know; is it for the first time?
    #[inline]
    pub fn tell(&mut self, number: u32) -> bool {
        let told = &mut self.met[number as usize].told;
        *told += 1;
        *told == 1
    }

    /// The classes that were told, and how often each was met.
    pub fn told(&self) -> impl Iterator<Item = (Class, u32)> + '_ {
        let told = self.met.iter().filter(|met| met.told != 0);
        told.map(|met| (met.class, met.told))
    }

    /// Remember what the combiner made of it.
    pub fn learn(&mut self, number: u32, class: Class) {
        self.met[number as usize].class = class;
    }

    /// For each number whether the identity is one of those asked for.
    pub fn mark(&self, is: impl Fn(&Id) -> bool) -> Vec<bool> {
        self.met.iter().map(|met| is(&met.id)).collect()
    }
}

/// The types of one object, sifted.
#[derive(Default)]
pub struct Sifted {
    /// For each local type its number.
    pub numbers: Vec<u32>,
    /// Local types of units proper that the combiner has to see, ascending.
    pub fresh: Vec<u32>,
}

impl Sifted {
    pub fn with_capacity(types: usize) -> Self {
        Sifted {
            numbers: Vec::with_capacity(types),
            fresh: Vec::new(),
        }
    }

    /// The last type that got a number is fresh.
    #[inline]
    pub fn add_fresh(&mut self) {
        self.fresh.push(self.numbers.len() as u32);
    }
}

/// Numbers types by their identities.
#[derive(Default)]
pub struct Sieve {
    pub numbered: Numbered,
    table: HashTable<u32>,
}

impl Sieve {
    /// Number the types of an object, whose fresh types then have to be told to the combiner.
    /// `counts`: does a unit of this language?
    pub fn sift(&mut self, view: &View<'_>, counts: impl Fn(u32) -> bool) -> Sifted {
        let mut sifted = Sifted::with_capacity(view.type_count());
        let (mut start, mut last) = (Unit::default(), 0);
        for unit in view.units {
            let counts = counts(unit.language);
            for local in start.protos_end..unit.protos_end {
                last = self.number(view.ids[local as usize], last);
                sifted.numbers.push(last);
                if counts && local < unit.types_end && self.numbered.tell(last) {
                    sifted.add_fresh();
                }
            }
            start = *unit;
        }
        sifted
    }

    #[inline]
    fn number(&mut self, id: Id, last: u32) -> u32 {
        let guess = self.numbered.follower(last);
        if guess != 0 && self.numbered.met(guess).id == id {
            return guess;
        }
        let met = &self.numbered.met;
        let known = self.table.find(id.low, |&n| met[n as usize].id == id);
        let number = known.copied().unwrap_or_else(|| self.add(id));
        self.numbered.follow(last, number);
        number
    }

    fn add(&mut self, id: Id) -> u32 {
        let number = self.numbered.add(id);
        let met = &self.numbered.met;
        self.table
            .insert_unique(id.low, number, |&n| met[n as usize].id.low);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoded::{Encoded, Target};

    fn object(ids: &[u64], units: &[Unit]) -> Encoded {
        let mut encoded = Encoded::new(Target::default());
        encoded.ids = ids.iter().map(|&low| Id { high: 7, low }).collect();
        encoded.units = units.to_vec();
        encoded
    }

    fn unit(language: u32, types_end: u32, protos_end: u32) -> Unit {
        Unit {
            language,
            types_end,
            protos_end,
            ..Unit::default()
        }
    }

    #[test]
    fn a_type_is_told_once_and_known_then() {
        let mut sieve = Sieve::default();
        let first = object(&[5, 6, 5], &[unit(1, 3, 3)]);
        let sifted = sieve.sift(&first.view(), |_| true);
        assert_eq!(
            (sifted.fresh.as_slice(), sifted.numbers[2]),
            (&[1, 2][..], sifted.numbers[0])
        );
        sieve.numbered.learn(sifted.numbers[1], 11);
        let second = object(&[8, 6, 5], &[unit(1, 3, 3)]);
        let again = sieve.sift(&second.view(), |_| true);
        let classes = again.numbers.iter().map(|&n| sieve.numbered.class(n));
        assert_eq!(classes.collect::<Vec<_>>(), [0, 11, 0]);
        assert_eq!(again.fresh, [1]);
    }

    #[test]
    fn prototypes_and_units_that_do_not_count_are_not_told() {
        let mut sieve = Sieve::default();
        let one = object(&[1, 2, 3, 4], &[unit(9, 1, 1), unit(1, 3, 4)]);
        let sifted = sieve.sift(&one.view(), |language| language != 9);
        assert_eq!(sifted.fresh, [2, 3]);
        // Where they count they are, though they were met before.
        let other = object(&[1, 4], &[unit(1, 2, 2)]);
        assert_eq!(sieve.sift(&other.view(), |_| true).fresh, [1, 2]);
        let marks = sieve.numbered.mark(|id| id.low == 4);
        assert_eq!(marks.iter().filter(|&&is| is).count(), 1);
    }
}
