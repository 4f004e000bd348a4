// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The linked file as the fix-up sees it: sections, and symbols by name, by file and by address.

use std::collections::HashMap;

use object::elf;

use crate::combine::{Combiner, ObjectSymbol, Place};
use crate::elf::Elf;
use crate::error::{Error, Result};

pub struct ImageSection {
    pub name: Vec<u8>,
    pub address: u64,
    pub size: u64,
    pub alloc: bool,
    pub holds_data: bool,
}

pub struct ImageSymbol {
    pub name: Vec<u8>,
    pub section: u32,
    pub value: u64,
    pub size: u64,
    pub kind: u8,
    pub binding: u8,
}

/// A place in the linked file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Location {
    /// Section index; 0 when only the address is known.
    pub section: u32,
    pub value: u64,
}

impl Location {
    /// In a linked file an address says all; in a relocatable one the section counts.
    pub fn same(&self, other: &Location) -> bool {
        self.value == other.value
            && (self.section == 0 || other.section == 0 || self.section == other.section)
    }
}

pub struct Image {
    pub path: std::path::PathBuf,
    pub relocatable: bool,
    pub sections: Vec<ImageSection>,
    pub symbols: Vec<ImageSymbol>,
    pub btf_ids: Vec<u8>,
    pub big_endian: bool,
    /// For each symbol the group of local symbols that it belongs to, one group per `STT_FILE`.
    groups: Vec<u32>,
    group_names: Vec<Vec<u8>>,
}

impl Image {
    pub fn read(elf: &Elf<'_>) -> Result<Image> {
        let mut sections = Vec::new();
        for info in elf.sections() {
            let i = info.index as usize;
            while sections.len() <= i {
                sections.push(ImageSection {
                    name: Vec::new(),
                    address: 0,
                    size: 0,
                    alloc: false,
                    holds_data: false,
                });
            }
            sections[i] = ImageSection {
                name: info.name.to_vec(),
                address: info.address,
                size: info.size,
                alloc: info.alloc,
                holds_data: info.holds_data,
            };
        }
        let mut symbols = Vec::new();
        let mut groups = Vec::new();
        let mut group_names = vec![Vec::new()];
        for symbol in elf.symbols() {
            if symbol.kind == elf::STT_FILE.0 {
                group_names.push(symbol.name.to_vec());
            }
            groups.push(group_names.len() as u32 - 1);
            symbols.push(ImageSymbol {
                name: symbol.name.to_vec(),
                section: symbol.section,
                value: symbol.value,
                size: symbol.size,
                kind: symbol.kind,
                binding: symbol.binding,
            });
        }
        if symbols.is_empty() {
            return Err(Error::new("no symbol table")
                .at(elf.path.display())
                .hint("use the file before it is stripped"));
        }
        Ok(Image {
            path: elf.path.to_owned(),
            relocatable: elf.is_relocatable(),
            sections,
            symbols,
            btf_ids: elf
                .raw_section(".BTF_ids")?
                .unwrap_or_default()
                .into_owned(),
            big_endian: elf.big_endian(),
            groups,
            group_names,
        })
    }

    /// The section that an address lies in: the first one by index that holds data.
    pub fn section_of(&self, address: u64) -> Option<u32> {
        let holds = |s: &ImageSection| {
            s.alloc && s.holds_data && address >= s.address && address - s.address < s.size
        };
        self.sections.iter().position(holds).map(|i| i as u32)
    }

    pub fn location(&self, symbol: usize) -> Location {
        let symbol = &self.symbols[symbol];
        Location {
            section: symbol.section,
            value: symbol.value,
        }
    }
}

/// What became of each object's symbols in the linked file.
pub struct Resolution {
    /// For each of `Combiner::symbols` the index of the linked symbol.
    linked: Vec<Option<u32>>,
}

impl Resolution {
    /// `objects`: path of each object, by its number.
    pub fn new(image: &Image, combiner: &Combiner<'_>, objects: &[String]) -> Result<Resolution> {
        let mut linked = vec![None; combiner.symbols.len()];
        let mut globals: HashMap<&[u8], u32> = HashMap::new();
        let mut locals: HashMap<(u32, &[u8]), Vec<u32>> = HashMap::new();
        let mut local_names: HashMap<&[u8], Vec<u32>> = HashMap::new();
        for (i, symbol) in (0..).zip(&image.symbols) {
            if symbol.section == 0 || symbol.name.is_empty() {
                continue;
            }
            if symbol.binding == elf::STB_LOCAL.0 {
                let group = image.groups[i as usize];
                locals.entry((group, &symbol.name)).or_default().push(i);
                local_names.entry(&symbol.name).or_default().push(i);
            } else {
                globals.insert(&symbol.name, i);
            }
        }
        let mut strong: HashMap<u32, u32> = HashMap::new();
        for symbol in &combiner.symbols {
            if symbol.binding == elf::STB_GLOBAL.0 && symbol.section != 0 {
                strong.insert(symbol.name, symbol.object);
            }
        }
        // Locals are grouped by the source file that their object was made of.
        let mut by_file: Vec<((u32, u32), Vec<usize>)> = Vec::new();
        let mut file_slots: HashMap<(u32, u32), usize> = HashMap::new();
        for (i, symbol) in combiner.symbols.iter().enumerate() {
            if symbol.binding == elf::STB_LOCAL.0 {
                let slot = *file_slots
                    .entry((symbol.object, symbol.file))
                    .or_insert_with(|| {
                        by_file.push(((symbol.object, symbol.file), Vec::new()));
                        by_file.len() - 1
                    });
                by_file[slot].1.push(i);
                continue;
            }
            let name = combiner.strings.get(symbol.name);
            let found = match (globals.get(name), local_names.get(name)) {
                (Some(&i), _) => Some(i),
                // A hidden symbol becomes local when it is linked.
                (None, Some(only)) if only.len() == 1 => Some(only[0]),
                _ => None,
            };
            linked[i] = found.filter(|&f| is_winner(image, &strong, symbol, f));
        }
        let mut groups_of: HashMap<&[u8], Vec<u32>> = HashMap::new();
        for (i, name) in (0..).zip(&image.group_names) {
            groups_of.entry(name).or_default().push(i);
        }
        // Objects in their order, so that equal candidates pair up as the linker took them.
        by_file.sort_by_key(|((object, file), _)| (*object, *file));
        let mut taken: Vec<bool> = vec![false; image.group_names.len()];
        for ((object, file), own) in by_file {
            // An assembler object has no file symbol; the linker makes one of the object's name.
            let path = objects
                .get(object as usize)
                .map(String::as_str)
                .unwrap_or("");
            let object_name = path.rsplit('/').next().unwrap_or(path).as_bytes();
            let name = combiner.strings.get(file);
            let candidates = if file == 0 {
                let named = groups_of.get(object_name);
                named.or_else(|| groups_of.get(&b""[..]))
            } else {
                groups_of.get(name)
            };
            let Some(candidates) = candidates else {
                continue;
            };
            let match_in = |group: u32, i: usize| -> Option<u32> {
                let symbol = &combiner.symbols[i];
                let name = combiner.strings.get(symbol.name);
                let all = locals.get(&(group, name))?;
                let fits = |&&l: &&u32| {
                    let l = &image.symbols[l as usize];
                    l.size == symbol.size && l.kind == symbol.kind
                };
                let mut fitting = all.iter().filter(fits);
                let first = fitting.next().copied();
                // Two equal names in one file: nothing tells them apart.
                if fitting.next().is_some() {
                    None
                } else {
                    first
                }
            };
            let score = |group: u32| {
                own.iter()
                    .filter(|&&i| match_in(group, i).is_some())
                    .count()
            };
            let best = candidates
                .iter()
                .map(|&group| {
                    (
                        score(group),
                        std::cmp::Reverse((taken[group as usize], group)),
                    )
                })
                .max();
            let Some((score, std::cmp::Reverse((_, group)))) = best else {
                continue;
            };
            if score == 0 {
                continue;
            }
            taken[group as usize] = true;
            for &i in &own {
                linked[i] = match_in(group, i);
            }
        }
        let resolution = Resolution { linked };
        resolution.check(image, combiner)?;
        Ok(resolution)
    }

    /// Refuse a file that plainly is not made of these objects.
    fn check(&self, image: &Image, combiner: &Combiner<'_>) -> Result<()> {
        let functions = combiner
            .symbols
            .iter()
            .zip(&self.linked)
            .filter(|(s, _)| s.kind == elf::STT_FUNC.0);
        let (all, found) = functions.fold((0, 0), |(all, found), (_, l)| {
            (all + 1, found + usize::from(l.is_some()))
        });
        if all >= 8 && found * 2 < all {
            return Err(Error::new(format!(
                "of the {all} functions that the objects define, only {found} are in this file"
            ))
            .at(image.path.display())
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
}

/// Is the linked symbol the one that this object defines? A weak definition loses to a strong one
/// of another object.
fn is_winner(
    image: &Image,
    strong: &HashMap<u32, u32>,
    symbol: &ObjectSymbol,
    linked: u32,
) -> bool {
    if symbol.kind != elf::STT_FUNC.0 || symbol.binding != elf::STB_WEAK.0 {
        return true;
    }
    let same_size = image.symbols[linked as usize].size == symbol.size;

    same_size
        && strong
            .get(&symbol.name)
            .is_none_or(|&object| object == symbol.object)
}

/// Base name of a function symbol, up to the first dot (compilers append `.isra.0`, `.cold`, …).
pub fn base_name(name: &[u8]) -> &[u8] {
    name.split(|&b| b == b'.').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compilers_suffixes_are_no_part_of_the_name() {
        assert_eq!(base_name(b"foo.constprop.0.isra.1"), b"foo");
        assert_eq!(base_name(b"foo"), b"foo");
        assert_eq!(base_name(b".hidden"), b"");
    }
}
