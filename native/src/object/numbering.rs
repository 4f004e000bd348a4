// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Numbers that one thread gives to the types that it meets, so that each is told to the combiner once.

use crate::object::Id;

/// Number of a class; 0 is void.
pub type Class = u32;

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
