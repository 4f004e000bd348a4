// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! What became of each object's symbols in the linked file.
//!
//! Global symbols are found by name. A local one is found among the local symbols that the linked
//! file has of the same source file: linkers keep them together behind an `STT_FILE` symbol, but
//! not in link order, and base names repeat. So the group is the one that holds the object's
//! symbols, by name, kind and size.

use std::collections::{HashMap, HashSet};

use object::elf;

use crate::combine::{printable, Combiner, ObjectSymbol, Place};
use crate::encode::Fast;
use crate::error::{Error, Result};
use crate::image::{Image, ImageSymbol, Location};

pub struct Resolution {
    /// For each of `Combiner::symbols` the index of the linked symbol.
    linked: Vec<Option<u32>>,
    /// Symbols whose group could as well be another one.
    uncertain: HashSet<u32, Fast>,
}

/// The symbols of the linked file by the numbers that the combiner gave to their names. Names that
/// no candidate has are not in it.
struct Linked<'i> {
    image: &'i Image,
    globals: HashMap<u32, u32, Fast>,
    /// By group and name.
    locals: HashMap<u64, Vec<u32>, Fast>,
    local_names: HashMap<u32, Vec<u32>, Fast>,
    /// Groups by the name of their file.
    groups: HashMap<&'i [u8], Vec<u32>>,
}

fn group_and_name(group: u32, name: u32) -> u64 {
    u64::from(group) << 32 | u64::from(name)
}

impl<'i> Linked<'i> {
    fn new(image: &'i Image, combiner: &Combiner<'_>) -> Self {
        let mut linked = Linked {
            image,
            globals: HashMap::default(),
            locals: HashMap::default(),
            local_names: HashMap::default(),
            groups: HashMap::new(),
        };
        for (i, symbol) in (0..).zip(&image.symbols) {
            if symbol.section == 0 || symbol.name.is_empty() {
                continue;
            }
            let Some(name) = combiner.strings.find(&symbol.name) else {
                continue;
            };
            if symbol.binding == elf::STB_LOCAL.0 {
                let key = group_and_name(image.groups[i as usize], name);
                linked.locals.entry(key).or_default().push(i);
                linked.local_names.entry(name).or_default().push(i);
            } else {
                linked.globals.insert(name, i);
            }
        }
        for (i, name) in (0..).zip(&image.group_names) {
            linked.groups.entry(name).or_default().push(i);
        }
        linked
    }

    fn global(&self, name: u32) -> Option<u32> {
        match (self.globals.get(&name), self.local_names.get(&name)) {
            (Some(&i), _) => Some(i),
            // A hidden symbol becomes local when it is linked.
            (None, Some(only)) if only.len() == 1 => Some(only[0]),
            _ => None,
        }
    }

    /// The symbol of a group that an object's local symbol became. Of two that fit, nothing tells
    /// which.
    fn local(&self, group: u32, symbol: &ObjectSymbol) -> Option<u32> {
        let all = self.locals.get(&group_and_name(group, symbol.name))?;
        let mut fitting = all.iter().filter(|&&i| {
            let linked = &self.image.symbols[i as usize];
            linked.kind == symbol.kind && self.same_size(linked, symbol)
        });
        match (fitting.next(), fitting.next()) {
            (Some(&only), None) => Some(only),
            _ => None,
        }
    }

    /// Linkers that relax make code shorter than the assembler could; data stay as they are.
    fn same_size(&self, linked: &ImageSymbol, symbol: &ObjectSymbol) -> bool {
        linked.size == symbol.size
            || (self.image.relaxes && symbol.kind == elf::STT_FUNC.0 && linked.size < symbol.size)
    }

    /// The groups that may be an object's: those of its source file. An assembler object names
    /// none; the linker takes the object's own name, or none.
    fn candidates(&self, file: &[u8], object: &str) -> &[u32] {
        let of = |name: &[u8]| self.groups.get(name).map(Vec::as_slice);
        let found = if file.is_empty() {
            let name = object.rsplit('/').next().unwrap_or(object);
            of(name.as_bytes()).or_else(|| of(b""))
        } else {
            of(file)
        };
        found.unwrap_or(&[])
    }
}

impl Linked<'_> {
    /// Is the linked symbol the one that this object defines? A weak definition loses to a strong
    /// one of another object.
    fn is_winner(
        &self,
        strong: &HashMap<u32, u32, Fast>,
        symbol: &ObjectSymbol,
        linked: u32,
    ) -> bool {
        if symbol.kind != elf::STT_FUNC.0 || symbol.binding != elf::STB_WEAK.0 {
            return true;
        }
        let elsewhere = strong
            .get(&symbol.name)
            .is_some_and(|&object| object != symbol.object);
        !elsewhere && self.same_size(&self.image.symbols[linked as usize], symbol)
    }
}

impl Resolution {
    /// `objects`: path of each object, by its number.
    pub fn new(image: &Image, combiner: &Combiner<'_>, objects: &[String]) -> Result<Resolution> {
        let known = Linked::new(image, combiner);
        let mut resolution = Resolution {
            linked: vec![None; combiner.symbols.len()],
            uncertain: HashSet::default(),
        };
        let mut strong: HashMap<u32, u32, Fast> = HashMap::default();
        for symbol in &combiner.symbols {
            if symbol.binding == elf::STB_GLOBAL.0 && symbol.section != 0 {
                strong.insert(symbol.name, symbol.object);
            }
        }
        // Local symbols by object and source file, objects in their order.
        let mut by_file: HashMap<u64, Vec<u32>, Fast> = HashMap::default();
        for (i, symbol) in (0..).zip(&combiner.symbols) {
            if symbol.binding == elf::STB_LOCAL.0 {
                let key = group_and_name(symbol.object, symbol.file);
                by_file.entry(key).or_default().push(i);
            } else {
                let found = known.global(symbol.name);
                let won = |&f: &u32| known.is_winner(&strong, symbol, f);
                resolution.linked[i as usize] = found.filter(won);
            }
        }
        let mut by_file: Vec<(u64, Vec<u32>)> = by_file.into_iter().collect();
        by_file.sort_unstable();
        let mut taken = vec![false; image.group_names.len()];
        for (_, own) in by_file {
            resolution.pair(&known, combiner, objects, &own, &mut taken);
        }
        resolution.check(combiner)?;
        Ok(resolution)
    }

    /// Find the group of one object's local symbols of one source file: the one that holds most of
    /// them; of equal ones the first that no other object took.
    fn pair(
        &mut self,
        known: &Linked<'_>,
        combiner: &Combiner<'_>,
        objects: &[String],
        own: &[u32],
        taken: &mut [bool],
    ) {
        let symbol = |i: u32| &combiner.symbols[i as usize];
        let first = symbol(own[0]);
        let object = objects
            .get(first.object as usize)
            .map_or("", String::as_str);
        let candidates = known.candidates(combiner.strings.get(first.file), object);
        let score = |group: u32| {
            own.iter()
                .filter(|&&i| known.local(group, symbol(i)).is_some())
                .count()
        };
        let scored: Vec<(usize, u32)> = candidates.iter().map(|&g| (score(g), g)).collect();
        let best = scored.iter().map(|&(score, _)| score).max().unwrap_or(0);
        if best == 0 {
            return;
        }
        let equal: Vec<u32> = scored.iter().filter(|s| s.0 == best).map(|s| s.1).collect();
        let free = equal.iter().copied().find(|&g| !taken[g as usize]);
        let group = free.unwrap_or(equal[0]);
        taken[group as usize] = true;
        for &i in own {
            self.linked[i as usize] = known.local(group, symbol(i));
        }
        if equal.len() > 1 {
            self.uncertain.extend(own);
        }
    }

    /// Refuse a file that plainly is not made of these objects.
    fn check(&self, combiner: &Combiner<'_>) -> Result<()> {
        let functions = combiner
            .symbols
            .iter()
            .zip(&self.linked)
            // A weak one may have lost, which says nothing.
            .filter(|(s, _)| s.kind == elf::STT_FUNC.0 && s.binding != elf::STB_WEAK.0);
        let (all, found) = functions.fold((0, 0), |(all, found), (_, l)| {
            (all + 1, found + usize::from(l.is_some()))
        });
        if all >= 8 && found * 2 < all {
            return Err(Error::new(format!(
                "of the {all} functions that the objects define, only {found} are in this file"
            ))
            .hint("give the objects that it was linked from"));
        }
        Ok(())
    }

    pub fn locate(&self, image: &Image, place: Place) -> Option<Location> {
        match place {
            Place::Unknown => None,
            Place::Address(value) => Some(Location { section: 0, value }),
            Place::Symbol(symbol, offset) => {
                let linked = self.linked[symbol as usize]?;
                let mut location = image.location(linked as usize);
                location.value = location.value.wrapping_add(offset);
                Some(location)
            }
        }
    }

    /// Could the place be that of an equally named symbol of another object?
    pub fn is_uncertain(&self, place: Place) -> bool {
        matches!(place, Place::Symbol(symbol, _) if self.uncertain.contains(&symbol))
    }
}

/// Refuse to guess: static variables that could be one another's, and are not of one type.
pub fn check_uncertain(
    combiner: &Combiner<'_>,
    resolution: &Resolution,
    objects: &[String],
) -> Result<()> {
    let mut seen: HashMap<(u32, u32), usize> = HashMap::new();
    for (i, variable) in combiner.variables.iter().enumerate() {
        let Place::Symbol(symbol, _) = variable.place else {
            continue;
        };
        if !resolution.is_uncertain(variable.place) {
            continue;
        }
        let key = (combiner.symbols[symbol as usize].file, variable.name);
        let other = &combiner.variables[*seen.entry(key).or_insert(i)];
        if (other.class, other.flags) != (variable.class, variable.flags) {
            let path = |v: &crate::combine::PlacedVariable| {
                objects.get(v.object as usize).cloned().unwrap_or_default()
            };
            return Err(Error::new(format!(
                "cannot tell the static variables {} of {} and {} apart: files and symbols have equal names and sizes",
                printable(combiner.strings.get(variable.name)),
                path(other),
                path(variable),
            ))
            .hint("encode the linked file with its debug information instead: KBUILD_BTF_KEEP_DEBUG=1"));
        }
    }
    Ok(())
}
