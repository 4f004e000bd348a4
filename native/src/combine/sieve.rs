// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! What one thread has met, so that a type that comes again costs one comparison and asks no other
//! thread: 23 of 24 types of a kernel do.

use hashbrown::hash_table::HashTable;

use crate::object::numbering::Numbered;
use crate::object::numbering::Sifted;
use crate::object::{Id, Unit, View};

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
        if guess != 0 && self.numbered.id(guess) == id {
            return guess;
        }
        let numbered = &self.numbered;
        let known = self.table.find(id.low, |&n| numbered.id(n) == id);
        let number = known.copied().unwrap_or_else(|| self.add(id));
        self.numbered.follow(last, number);
        number
    }

    fn add(&mut self, id: Id) -> u32 {
        let number = self.numbered.add(id);
        let numbered = &self.numbered;
        self.table
            .insert_unique(id.low, number, |&n| numbered.id(n).low);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Encoded, Target};

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
