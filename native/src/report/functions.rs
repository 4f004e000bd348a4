// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The verdict on one function, with what it rests on.

use crate::combine::{printable, Combiner};
use crate::elf::image::Image;
use crate::fixup::functions::{by_base_name, decide, gather, Reason};
use crate::fixup::names::Names;
use crate::fixup::origins::Resolution;
use crate::object::features::Features;
use crate::report::explain::{facts, Candidate, FunctionVerdict};
use crate::report::sites;
use crate::support::error::Result;
use crate::support::threads::Threads;

/// The verdict on one name with all its evidence. `None`: nothing is known of it.
pub fn explain(
    combiner: &Combiner<'_>,
    image: &Image<'_>,
    names: &Names,
    resolution: &Resolution,
    features: &Features,
    objects: &[String],
    name: &[u8],
) -> Result<Option<FunctionVerdict>> {
    let by_base_name = by_base_name(image, names);
    let named = gather(
        combiner,
        image,
        by_base_name,
        resolution,
        features,
        &Threads::ONE,
    )?;
    let place = named.iter().position(|(n, _)| *n == name);
    if place.is_none() && combiner.watched_functions.is_empty() {
        return Ok(None);
    }
    let decision = match place.map(|i| &named[i].1) {
        None => Err("the linked file has no function symbol of this name"),
        Some(named) if !named.is_described() => Err("no object describes it"),
        Some(named) => decide(combiner, image, features, named).map_err(Reason::text),
    };
    let at = |class: u32, object, die| {
        let placed = combiner
            .placed_functions
            .iter()
            .find(|p| (p.class, p.object, p.die) == (class, object, die))?;
        resolution.locate(image, placed.place).map(|l| l.value)
    };
    let candidate = |&(class, object, die): &(u32, u32, u64)| {
        let function = &combiner.functions[class as usize];
        let passed = function.passed_proto;
        Candidate {
            object: objects.get(object as usize).cloned().unwrap_or_default(),
            die,
            prototype: function.proto,
            passed: (passed != function.proto).then_some(passed),
            facts: facts(function.flags),
            address: at(class, object, die),
            chosen: matches!(&decision, Ok(chosen) if chosen.class == class as usize),
        }
    };
    let symbol = |i: usize| printable(image.symbols[i].name).into_owned();
    let symbols = place.map_or(&[][..], |i| &named[i].1.symbols);
    let clone = decision.as_ref().ok().and_then(|chosen| chosen.clone);
    Ok(Some(FunctionVerdict {
        symbols: symbols.iter().map(|&(i, l)| (symbol(i), l.value)).collect(),
        clone: clone.map(symbol).unwrap_or_default(),
        candidates: combiner.watched_functions.iter().map(candidate).collect(),
        reason: decision.err().unwrap_or(""),
        sites: sites::of(combiner, image, resolution, objects, name),
    }))
}
