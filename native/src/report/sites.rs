// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Where a function was inlined, as a person looks for it: in which other function, and how far behind
//! its start.

use object::elf;

use crate::combine::{printable, Combiner};
use crate::elf::image::Image;
use crate::fixup::origins::Resolution;
use crate::fixup::sites::Code;
use crate::object::sites::places;

/// Size, flags and values of a LOC_PARAM.
pub type Place = (u32, u32, Vec<u32>);

/// One place where it was inlined.
pub struct Site {
    pub object: String,
    pub section: String,
    /// Address; in a relocatable file the offset in the section.
    pub address: u64,
    /// The symbol of the function in whose code it is, and the offset in that; empty where none is.
    pub function: String,
    pub offset: u64,
    /// Of each parameter of the prototype; `None`: nowhere, or it cannot be said.
    pub places: Vec<Option<Place>>,
}

/// The sites of one function, by section and address.
pub fn of(
    combiner: &Combiner<'_>,
    image: &Image<'_>,
    resolution: &Resolution,
    objects: &[String],
    name: &[u8],
) -> Vec<Site> {
    let is_it = |function: u32| {
        let function = &combiner.functions[function as usize];
        combiner.strings.get(function.name) == name
    };
    let own = combiner.sites.iter().filter(|site| is_it(site.function));
    let code = Code::of(image);
    let mut found: Vec<_> = own
        .filter_map(|site| Some((code.locate(combiner, resolution, site)?, site)))
        .collect();
    if found.is_empty() {
        return Vec::new();
    }
    found.sort_by_key(|(place, site)| (*place, site.object));
    found.dedup_by_key(|(place, site)| (*place, site.function, site.places));
    let mut symbols: Vec<(u32, u64, usize)> = (0..)
        .zip(&image.symbols)
        .filter(|(_, s)| s.kind == elf::STT_FUNC.0 && s.size != 0)
        .map(|(i, s)| (s.section, s.value, i))
        .collect();
    symbols.sort_unstable();
    let around = |section: u32, address: u64| {
        let end = symbols.partition_point(|&(s, value, _)| (s, value) <= (section, address));
        let mut before = symbols[..end].iter().rev();
        let &(own, value, symbol) = before.next()?;
        let symbol = &image.symbols[symbol];
        let is_inside = own == section && address - value < symbol.size;
        is_inside.then(|| (printable(symbol.name).into_owned(), address - value))
    };
    let told = found.into_iter().map(|((section, offset), site)| {
        let info = &image.sections[section as usize];
        let start = if image.relocatable { 0 } else { info.address };
        let address = start + u64::from(offset);
        let (function, offset) = around(section, address).unwrap_or_default();
        let list = &combiner.places[site.places as usize];
        let object = objects.get(site.object as usize);
        Site {
            object: object.cloned().unwrap_or_default(),
            section: printable(info.name).into_owned(),
            address,
            function,
            offset,
            places: places(list)
                .map(|place| place.map(|p| (p.size, p.flags, p.values.to_vec())))
                .collect(),
        }
    });
    told.collect()
}
