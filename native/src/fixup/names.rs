// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The symbols of the linked file by the numbers that the combiner gave to their names, so that
//! they are compared and looked up as numbers from here on.

use object::elf;

use crate::combine::Strings;
use crate::elf::image::{base_name, Image, ImageSymbol};
use crate::object::NONE;
use crate::support::error::Result;
use crate::support::threads::Threads;

pub struct Names {
    /// For each symbol the number of its name, and of its base name if it is a function; `NONE` for
    /// names that no candidate has.
    numbers: Vec<(u32, u32)>,
}

impl Names {
    pub fn new(image: &Image<'_>, strings: &Strings, threads: &Threads) -> Result<Names> {
        let number = |name: &[u8]| match name {
            b"" => NONE,
            _ => strings.find(name).unwrap_or(NONE),
        };
        let numbers = |_: &mut (), symbol: &ImageSymbol<'_>| {
            if symbol.section == 0 {
                return Ok((NONE, NONE));
            }
            let full = number(symbol.name);
            let base = match base_name(symbol.name) {
                _ if symbol.kind != elf::STT_FUNC.0 => NONE,
                base if base.len() == symbol.name.len() => full,
                base => number(base),
            };
            Ok((full, base))
        };
        Ok(Names {
            numbers: threads.map(&image.symbols, || (), numbers)?,
        })
    }

    pub fn of(&self, symbol: u32) -> Option<u32> {
        Some(self.numbers[symbol as usize].0).filter(|&name| name != NONE)
    }

    pub fn base_of(&self, symbol: usize) -> Option<u32> {
        Some(self.numbers[symbol].1).filter(|&name| name != NONE)
    }
}
