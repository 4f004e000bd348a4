// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The symbols of the linked file by the numbers that the combiner gave to their names, so that
//! they are compared and looked up as numbers from here on.

use object::elf;

use crate::combine::Strings;
use crate::encoded::NONE;
use crate::image::{base_name, Image};

pub struct Names {
    /// For each symbol the number of its name; `NONE` for a name that no candidate has.
    full: Vec<u32>,
    /// The same for base names of functions; `NONE` for all other symbols.
    base: Vec<u32>,
}

impl Names {
    pub fn new(image: &Image<'_>, strings: &Strings) -> Names {
        let number = |name: &[u8]| match name {
            b"" => NONE,
            _ => strings.find(name).unwrap_or(NONE),
        };
        let mut names = Names {
            full: Vec::with_capacity(image.symbols.len()),
            base: Vec::with_capacity(image.symbols.len()),
        };
        for symbol in &image.symbols {
            let full = match symbol.section {
                0 => NONE,
                _ => number(symbol.name),
            };
            let base = match base_name(symbol.name) {
                _ if symbol.section == 0 || symbol.kind != elf::STT_FUNC.0 => NONE,
                base if base.len() == symbol.name.len() => full,
                base => number(base),
            };
            names.full.push(full);
            names.base.push(base);
        }
        names
    }

    pub fn of(&self, symbol: u32) -> Option<u32> {
        Some(self.full[symbol as usize]).filter(|&name| name != NONE)
    }

    pub fn base_of(&self, symbol: usize) -> Option<u32> {
        Some(self.base[symbol]).filter(|&name| name != NONE)
    }
}
