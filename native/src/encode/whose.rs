// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Whose the symbols are, in a file that was linked from several objects of which each has left a BTF.
//!
//! A linker keeps the local symbols of an object together, a **group** behind an `STT_FILE` symbol. As in
//! the fix-up nothing is inferred from order. A name that only one BTF has, and only one group, says
//! whose that group is; then the other symbols of the group are its, too, and not of anybody else.

use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::HashMap;

use object::elf;

use super::SymbolIndex;
use crate::elf::image::base_name;
use crate::support::error::{Error, Result};
use crate::support::hash::Fast;

/// A function or variable that one BTF tells of.
pub struct Wish<'w> {
    pub name: &'w [u8],
    pub what: What,
    /// Of a variable, in bytes.
    pub size: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    /// BTF does not tell static functions from others.
    Function,
    StaticVariable,
    Variable,
}

/// By name and `STT_*` the symbol that is meant.
pub type Named<'w> = HashMap<(&'w [u8], u8), u32>;

/// Index into the BTFs; of an `STT_FILE` symbol, counted from 1.
type Part = usize;
type Group = u32;

/// Symbols of no source file, of whatever object: hidden ones, which were global there.
const NOBODYS: Group = 0;

/// All that have one name.
#[derive(Default)]
struct Contest {
    /// The BTFs that want a symbol of it, in their order, with its size.
    open: BTreeMap<Part, u32>,
    /// What is there for them: the symbol of each group.
    local: BTreeMap<Group, u32>,
    global: Option<u32>,
}

impl Contest {
    /// When one is left for one.
    fn last(&self) -> Option<(Part, Group)> {
        match (self.open.len(), self.local.len(), self.global) {
            (1, 1, None) => {
                let (&part, _) = self.open.first_key_value()?;
                let (&group, _) = self.local.first_key_value()?;
                (group != NOBODYS).then_some((part, group))
            }
            _ => None,
        }
    }
}

struct Search<'w> {
    contests: Vec<((&'w [u8], What), Contest)>,
    /// The contests in which a group has a symbol.
    of_group: HashMap<Group, Vec<usize>, Fast>,
    owners: HashMap<Group, Part, Fast>,
    named: Vec<Named<'w>>,
}

/// For each BTF its symbols; what is not there was discarded.
pub fn share<'w>(index: &SymbolIndex<'_>, wishes: &[Vec<Wish<'w>>]) -> Result<Vec<Named<'w>>> {
    let mut search = Search {
        contests: Vec::new(),
        of_group: HashMap::default(),
        owners: HashMap::default(),
        named: vec![Named::new(); wishes.len()],
    };
    let mut numbers: HashMap<(&'w [u8], What), usize> = HashMap::new();
    for (part, wishes) in wishes.iter().enumerate() {
        for wish in wishes {
            let key = (wish.name, wish.what);
            let number = *numbers.entry(key).or_insert_with(|| {
                search.contests.push((key, Contest::default()));
                search.contests.len() - 1
            });
            let open = &mut search.contests[number].1.open;
            open.entry(part).or_insert(wish.size);
        }
    }
    search.offer(index, &numbers);
    for number in 0..search.contests.len() {
        search.narrow(number);
    }
    search.finish(index)
}

impl<'w> Search<'w> {
    /// Put each symbol where it is wanted: under its name, and under what compilers append to.
    fn offer(&mut self, index: &SymbolIndex<'_>, numbers: &HashMap<(&'w [u8], What), usize>) {
        for by_base in [false, true] {
            let (mut files, mut group) = (0, NOBODYS);
            for (i, symbol) in (0..).zip(&index.symbols) {
                if symbol.kind == elf::STT_FILE.0 {
                    files += 1;
                    group = if symbol.name.is_empty() {
                        NOBODYS
                    } else {
                        files
                    };
                }
                let name = match by_base {
                    false => symbol.name,
                    true => base_name(symbol.name),
                };
                let whats: &[What] = match symbol.kind {
                    _ if symbol.section == 0 => &[],
                    k if k == elf::STT_FUNC.0 => &[What::Function],
                    k if k == elf::STT_OBJECT.0 && !by_base => {
                        &[What::StaticVariable, What::Variable]
                    }
                    _ => &[],
                };
                for &what in whats {
                    let Some(&number) = numbers.get(&(name, what)) else {
                        continue;
                    };
                    let contest = &mut self.contests[number].1;
                    if symbol.binding == elf::STB_LOCAL.0 {
                        if let Entry::Vacant(place) = contest.local.entry(group) {
                            place.insert(i);
                            self.of_group.entry(group).or_default().push(number);
                        }
                    } else if what != What::StaticVariable {
                        contest.global.get_or_insert(i);
                    }
                }
            }
        }
    }

    /// Settle a contest in which one is left for one, and all that follows from it.
    fn narrow(&mut self, number: usize) {
        let mut found: Vec<(Part, Group)> = self.contests[number].1.last().into_iter().collect();
        while let Some((part, group)) = found.pop() {
            if self.owners.contains_key(&group) {
                continue;
            }
            self.owners.insert(group, part);
            for number in self.of_group.remove(&group).unwrap_or_default() {
                let ((name, what), contest) = &mut self.contests[number];
                if let Some(symbol) = contest.local.remove(&group) {
                    // Nobody else's, even if its own BTF does not tell of it.
                    if contest.open.remove(&part).is_some() {
                        self.named[part].insert((*name, kind_of(*what)), symbol);
                    }
                }
                found.extend(self.contests[number].1.last());
            }
        }
    }

    /// What stays open is the symbol of its size, or the global one, if there is just one. Functions at
    /// several places may stay open: BTF tells of none of them.
    fn finish(mut self, index: &SymbolIndex<'_>) -> Result<Vec<Named<'w>>> {
        for number in 0..self.contests.len() {
            let ((name, what), contest) = &self.contests[number];
            let only = match contest.local.len() {
                1 => contest.local.values().next().copied(),
                _ => None,
            };
            // Of each size: how many want it, how many are there, and the last of these.
            let mut sizes: HashMap<u64, (usize, usize, u32)> = HashMap::new();
            for &size in contest.open.values() {
                sizes.entry(size.into()).or_default().0 += 1;
            }
            for &symbol in contest.local.values() {
                let size = index.symbols[symbol as usize].size;
                let of_size = sizes.entry(size).or_default();
                (of_size.1, of_size.2) = (of_size.1 + 1, symbol);
            }
            let count = contest.open.len();
            for (&part, &size) in &contest.open {
                let found = match (contest.global, only, sizes[&size.into()]) {
                    (Some(global), ..) => global,
                    _ if contest.local.is_empty() || *what == What::Function => continue,
                    (_, Some(only), _) if count == 1 => only,
                    (_, _, (1, 1, own)) => own,
                    _ => return Err(not_told(name)),
                };
                self.named[part].insert((name, kind_of(*what)), found);
            }
        }
        Ok(self.named)
    }
}

fn kind_of(what: What) -> u8 {
    match what {
        What::Function => elf::STT_FUNC.0,
        What::StaticVariable | What::Variable => elf::STT_OBJECT.0,
    }
}

fn not_told(name: &[u8]) -> Error {
    Error::new(format!(
        "its symbols do not tell in which of its BTFs the variable {} is which",
        String::from_utf8_lossy(name)
    ))
    .hint("name the objects that it was linked from")
}
