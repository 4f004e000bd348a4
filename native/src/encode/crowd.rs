// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Symbols that begin at one place, of which one is looked for by name. There is one most often, and a
//! few where functions have aliases; thousands only where somebody wants them to be there.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::elf::image::base_name;
use crate::elf::Symbol;
use crate::support::hash::Fast;

/// Section, value, index of a symbol.
type Place = (u32, u64, u32);

/// So many are looked at one after the other.
pub const FEW: usize = 16;

/// Larger groups that were asked for, by kind and index of their first symbol.
#[derive(Default)]
pub struct Crowds(Mutex<HashMap<u32, Crowd, Fast>>);

impl Crowds {
    /// Of the symbols `here`, which all begin at one place, the one that reaches farther than
    /// `distance` bytes and has this name, else this base name, else any; of several the first.
    pub fn best(
        &self,
        symbols: &[Symbol<'_>],
        here: &[Place],
        distance: u64,
        name: &[u8],
    ) -> Option<u32> {
        if here.len() <= FEW {
            let rank = |i: &u32| {
                let own = symbols[*i as usize].name;
                (own != name, base_name(own) != name, *i)
            };
            let all = here.iter().map(|&(_, _, i)| i);
            return all
                .filter(|&i| distance < reach(&symbols[i as usize]))
                .min_by_key(rank);
        }
        let mut crowds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let crowd = crowds
            .entry(here[0].2)
            .or_insert_with(|| Crowd::of(symbols, here));
        let named = [&crowd.named, &crowd.based];
        let mut named = named.into_iter().filter_map(|names| names.get(name));
        named
            .find_map(|steps| steps.first(distance))
            .or_else(|| crowd.all.first(distance))
    }
}

fn reach(symbol: &Symbol<'_>) -> u64 {
    symbol.size.max(1)
}

#[derive(Default)]
struct Crowd {
    all: Steps,
    named: HashMap<Box<[u8]>, Steps>,
    based: HashMap<Box<[u8]>, Steps>,
}

impl Crowd {
    fn of(symbols: &[Symbol<'_>], here: &[Place]) -> Self {
        let mut sorted: Vec<u32> = here.iter().map(|&(_, _, i)| i).collect();
        sorted.sort_by_key(|&i| std::cmp::Reverse(reach(&symbols[i as usize])));
        let mut crowd = Crowd::default();
        for i in sorted {
            let symbol = &symbols[i as usize];
            let of_name = crowd.named.entry(symbol.name.into()).or_default();
            of_name.add(reach(symbol), i);
            let of_base = crowd
                .based
                .entry(base_name(symbol.name).into())
                .or_default();
            of_base.add(reach(symbol), i);
            crowd.all.add(reach(symbol), i);
        }
        crowd
    }
}

/// Symbols by how far they reach, farthest first, each with the first of all up to it.
#[derive(Default)]
struct Steps(Vec<(u64, u32)>);

impl Steps {
    fn add(&mut self, reach: u64, symbol: u32) {
        let first = self
            .0
            .last()
            .map_or(symbol, |&(_, first)| first.min(symbol));
        self.0.push((reach, first));
    }

    /// The first symbol that reaches farther.
    fn first(&self, distance: u64) -> Option<u32> {
        let farther = self.0.partition_point(|&(reach, _)| reach > distance);
        Some(self.0[farther.checked_sub(1)?].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(name: &'static str, size: u64) -> Symbol<'static> {
        Symbol {
            name: name.as_bytes(),
            value: 0,
            size,
            section: 1,
            kind: 2,
            binding: 1,
        }
    }

    #[test]
    fn a_crowd_answers_as_a_few_do() {
        let names = ["f", "g.part.0", "h", "f.cold", "h.isra.0", "g"];
        let symbols: Vec<Symbol<'_>> = (0..300)
            .map(|i| symbol(names[i * 7 % 6], (i as u64 * 13) % 40))
            .collect();
        let here: Vec<Place> = (0..300).map(|i| (1, 0, i)).collect();
        for few in 1..300 / FEW {
            for (i, part) in here.chunks(few * FEW).enumerate() {
                for distance in 0..41 {
                    for name in ["f", "g", "h", "f.cold", "no"] {
                        let name = name.as_bytes();
                        let rank = |i: &u32| {
                            let own = symbols[*i as usize].name;
                            (own != name, base_name(own) != name, *i)
                        };
                        let slow = part
                            .iter()
                            .map(|&(_, _, i)| i)
                            .filter(|&i| distance < reach(&symbols[i as usize]))
                            .min_by_key(rank);
                        let found = Crowds::default().best(&symbols, part, distance, name);
                        assert_eq!(found, slow, "{few} {i} {distance}");
                    }
                }
            }
        }
    }
}
