// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The linked file as the fix-up sees it: sections, and symbols by name, by file and by address.

use object::elf;

use super::spans::Spans;
use crate::elf::Elf;
use crate::support::error::{Error, Result};

pub struct ImageSection<'a> {
    pub name: &'a [u8],
    pub address: u64,
    pub size: u64,
    pub alloc: bool,
    pub holds_data: bool,
    /// It is executed.
    pub holds_code: bool,
}

pub struct ImageSymbol<'a> {
    pub name: &'a [u8],
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

pub struct Image<'a> {
    pub path: &'a std::path::Path,
    pub relocatable: bool,
    pub sections: Vec<ImageSection<'a>>,
    /// Those that an address of data may lie in.
    pub spans: Spans,
    pub symbols: Vec<ImageSymbol<'a>>,
    pub btf_ids: Vec<u8>,
    pub big_endian: bool,
    /// Does the linker of this architecture shorten code?
    pub relaxes: bool,
    /// For each symbol the group of local symbols that it belongs to, one group per `STT_FILE`.
    pub groups: Vec<u32>,
    pub group_names: Vec<&'a [u8]>,
}

impl<'a> Image<'a> {
    /// A relocatable file with these symbols and no sections.
    #[cfg(test)]
    pub fn sample(symbols: Vec<ImageSymbol<'a>>) -> Image<'a> {
        Image {
            path: std::path::Path::new("sample.ko"),
            relocatable: true,
            sections: Vec::new(),
            spans: Spans::new(std::iter::empty()),
            groups: vec![0; symbols.len()],
            symbols,
            btf_ids: Vec::new(),
            big_endian: false,
            relaxes: false,
            group_names: vec![b""],
        }
    }

    pub fn read(elf: &'a Elf<'_>) -> Result<Image<'a>> {
        let mut sections = Vec::new();
        for info in elf.sections() {
            let i = info.index as usize;
            while sections.len() <= i {
                sections.push(ImageSection {
                    name: b"",
                    address: 0,
                    size: 0,
                    alloc: false,
                    holds_data: false,
                    holds_code: false,
                });
            }
            sections[i] = ImageSection {
                name: info.name,
                address: info.address,
                size: info.size,
                alloc: info.alloc,
                holds_data: info.holds_data,
                holds_code: info.holds_code,
            };
        }
        let mut symbols = Vec::new();
        let mut groups = Vec::new();
        let mut group_names = vec![&b""[..]];
        for symbol in elf.symbols() {
            if symbol.kind == elf::STT_FILE.0 {
                group_names.push(symbol.name);
            }
            groups.push(group_names.len() as u32 - 1);
            symbols.push(ImageSymbol {
                name: symbol.name,
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
            path: elf.path,
            relocatable: elf.is_relocatable(),
            spans: spans_of(&sections),
            sections,
            symbols,
            btf_ids: elf
                .raw_section(".BTF_ids")?
                .unwrap_or_default()
                .into_owned(),
            big_endian: elf.big_endian(),
            relaxes: [elf::EM_RISCV.0, elf::EM_LOONGARCH.0].contains(&elf.machine()),
            groups,
            group_names,
        })
    }

    /// The section that an address lies in: the first one by index that holds data.
    pub fn section_of(&self, address: u64) -> Option<u32> {
        self.spans.first(address)
    }

    /// The same symbols at the same places, as when one file is linked twice.
    pub fn has_symbols_of(&self, other: &Image<'_>) -> bool {
        let key = |s: &ImageSymbol<'_>| (s.value, s.size, s.kind, s.binding, s.section == 0);
        self.symbols.len() == other.symbols.len()
            && self
                .symbols
                .iter()
                .zip(&other.symbols)
                .all(|(a, b)| a.name == b.name && key(a) == key(b))
    }

    /// Does a place belong to a symbol? What lies in its extent does: code may begin, for the debug
    /// information, some bytes behind the symbol (`-fpatchable-function-entry`, BTI).
    pub fn has_within(&self, symbol: usize, place: &Location) -> bool {
        let own = self.location(symbol);
        let inside = place.value.wrapping_sub(own.value) < self.symbols[symbol].size.max(1);
        let start = Location {
            value: own.value,
            ..*place
        };
        inside && own.same(&start)
    }

    pub fn location(&self, symbol: usize) -> Location {
        let symbol = &self.symbols[symbol];
        Location {
            section: symbol.section,
            value: symbol.value,
        }
    }
}

/// `.BTF` holds no data, and where it was filled after the link, it reaches over the sections behind it.
fn spans_of(sections: &[ImageSection<'_>]) -> Spans {
    let numbered = (0..).zip(sections);
    let holding = numbered.filter(|(_, s)| s.alloc && s.holds_data && s.name != b".BTF");
    Spans::new(holding.map(|(i, s)| (i, s.address, s.size)))
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
