// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Where functions were inlined: for each section of code of the linked file a LOCSEC, with the functions
//! and the places of their parameters.
//!
//! Code counts that belongs to a function of the linked file. A weak one that was overridden is there, too,
//! but nobody calls it, and it has no symbol.

use std::collections::BTreeMap;

use object::elf;

use super::functions::id_of_func;
use super::{id_of, Outcome};
use crate::btf::{self, Kind};
use crate::combine::{Combiner, PlacedSite};
use crate::elf::image::Image;
use crate::fixup::origins::Resolution;
use crate::object::numbering::Class;
use crate::object::sites::{places, Place};
use crate::support::error::{Error, Result};

pub(super) fn add(
    combiner: &mut Combiner<'_>,
    image: &Image<'_>,
    resolution: &Resolution,
    outcome: &mut Outcome,
) -> Result<()> {
    let of_objects = combiner.target.is_some_and(|t| t.relocatable != 0);
    if image.relaxes && !image.relocatable && of_objects {
        let why = "where functions were inlined is not told: the linker of this architecture shortens code, \
                   and only the linked debug information says where (KBUILD_BTF_KEEP_DEBUG=1)";
        outcome.notes.push(why.to_owned());
        return Ok(());
    }
    let unsure = resolution.unsure_symbols();
    if unsure != 0 {
        outcome.notes.push(format!(
            "where functions were inlined is not told of {unsure} static functions whose objects cannot be told \
             apart: files and symbols have equal names and sizes"
        ));
    }
    // By section: function class, number of places, offset.
    let mut sections: BTreeMap<u32, Vec<(u32, u32, u32)>> = BTreeMap::new();
    let code = Code::of(image);
    for site in &combiner.sites {
        if let Some((section, offset)) = code.locate(combiner, resolution, site) {
            let own = sections.entry(section).or_default();
            own.push((site.function, site.places, offset));
        }
    }
    let mut classes = vec![(0, false); combiner.places.len()];
    for (section, mut sites) in sections {
        sites.sort_unstable();
        sites.dedup();
        let mut entries = Vec::with_capacity(3 * sites.len());
        for &(function, list, offset) in &sites {
            let known = &mut classes[list as usize];
            if known.0 == 0 {
                *known = add_places(combiner, list);
            }
            let (class, is_complete) = *known;
            entries.extend([add_function(combiner, function), class, offset]);
            outcome.sites += 1;
            outcome.sites_complete += u64::from(is_complete);
        }
        if sites.len() > btf::MAX_VLEN as usize {
            return Err(Error::new(format!(
                "{} inlined calls in one section, BTF can hold {}",
                sites.len(),
                btf::MAX_VLEN
            ))
            .hint("leave inline out of the features"));
        }
        let text = image.sections[section as usize].name;
        let id = id_of(Kind::Locsec, &[text, &section.to_le_bytes()]);
        let name = combiner.strings.add(text);
        let info = btf::info(Kind::Locsec, sites.len() as u32, false);
        // The order is that of the ids, which are not there yet.
        combiner.push(id, &[&[name, info, 0], &entries[..]].concat());
    }
    Ok(())
}

/// The code of a linked file that belongs to its functions.
pub struct Code<'i> {
    image: &'i Image<'i>,
    /// Section, first address, and the one behind the last; ascending, apart from each other.
    spans: Vec<(u32, u64, u64)>,
}

impl<'i> Code<'i> {
    pub fn of(image: &'i Image<'i>) -> Self {
        let functions = image.symbols.iter().filter(|s| s.kind == elf::STT_FUNC.0);
        let mut all: Vec<(u32, u64, u64)> = functions
            .map(|s| (s.section, s.value, s.value.saturating_add(s.size)))
            .collect();
        all.sort_unstable();
        let mut spans: Vec<(u32, u64, u64)> = Vec::with_capacity(all.len());
        for (section, start, end) in all {
            match spans.last_mut() {
                Some(last) if last.0 == section && start <= last.2 => last.2 = last.2.max(end),
                _ => spans.push((section, start, end)),
            }
        }
        Code { image, spans }
    }

    /// The section of the linked file in which functions were inlined there, and the offset in it.
    pub fn locate(
        &self,
        combiner: &Combiner<'_>,
        resolution: &Resolution,
        site: &PlacedSite,
    ) -> Option<(u32, u32)> {
        let image = self.image;
        let at = resolution.locate_code(combiner, image, site.place)?;
        let section = match at.section {
            0 => image.section_of(at.value)?,
            known => known,
        };
        let info = image.sections.get(section as usize)?;
        let spans = &self.spans;
        let before = spans.partition_point(|&(s, start, _)| (s, start) <= (section, at.value));
        let &(own, _, end) = spans.get(before.checked_sub(1)?)?;
        if !info.alloc || !info.holds_code || own != section || at.value >= end {
            return None;
        }
        let start = if image.relocatable { 0 } else { info.address };
        let offset = at.value.checked_sub(start)?;
        Some((section, u32::try_from(offset).ok()?))
    }
}

/// FUNC; it may be there already.
fn add_function(combiner: &mut Combiner<'_>, function: u32) -> Class {
    let function = &combiner.functions[function as usize];
    let (name, proto) = (function.name, function.proto);
    let id = id_of_func(combiner, combiner.strings.get(name), proto);
    combiner.push(id, &[name, btf::info(Kind::Func, 0, false), proto])
}

/// LOC_PROTO, and whether it has a place for each parameter.
fn add_places(combiner: &mut Combiner<'_>, list: u32) -> (Class, bool) {
    let list = combiner.places[list as usize].clone();
    let mut words = vec![0, 0, 0];
    for place in places(&list) {
        words.push(place.map_or(0, |place| add_place(combiner, &place)));
    }
    words[1] = btf::info(Kind::LocProto, words.len() as u32 - 3, false);
    let id = id_of(Kind::LocProto, &[bytemuck::cast_slice(&list)]);
    let is_complete = words[3..].iter().all(|&place| place != 0);
    (combiner.push(id, &words), is_complete)
}

fn add_place(combiner: &mut Combiner<'_>, place: &Place<'_>) -> Class {
    let info = btf::info(Kind::LocParam, place.values.len() as u32, false);
    let words = [&[0, info, place.size, place.flags], place.values].concat();
    let id = id_of(Kind::LocParam, &[bytemuck::cast_slice(&words)]);
    combiner.push(id, &words)
}
