// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Stage 3, fix up: what only the link can decide. Candidates and the linked file's symbols and
//! sections say which functions and variables exist, under which name and at which offset.
//!
//! Each rule is a function that reads evidence and returns a verdict.

pub mod functions;
pub mod kfuncs;
mod linked_dwarf;
pub mod names;
pub mod origins;
mod prototypes;
pub mod sections;
pub mod sites;
pub mod variables;

use self::linked_dwarf::Relink;
use crate::btf::{self, Kind};
use crate::combine::Combiner;
use crate::elf::image::Image;
use crate::fixup::names::Names;
use crate::fixup::origins::Resolution;
use crate::object::features::Features;
use crate::object::numbering::Class;
use crate::object::Id;
use crate::support::error::Result;
use crate::support::threads::Threads;

/// What the fix-up did, for the report.
#[derive(Default, Debug, Clone)]
pub struct Outcome {
    pub functions: u64,
    pub variables: u64,
    /// Functions left out, by reason.
    pub skipped: Vec<(&'static str, u64)>,
    /// The same by name.
    pub left_out: Vec<(String, functions::Reason)>,
    /// Where functions were inlined; of how many of these all parameters are told.
    pub sites: u64,
    pub sites_complete: u64,
    /// Names that only the linked debug information could tell apart.
    pub settled_by_dwarf: u64,
    /// What should be told, and is not.
    pub notes: Vec<String>,
}

pub fn fix_up(
    combiner: &mut Combiner<'_>,
    image: &Image<'_>,
    objects: &[String],
    features: &Features,
    threads: &Threads,
    relink: Relink,
) -> Result<Outcome> {
    let names = Names::new(image, &combiner.strings, threads)?;
    let (resolution, named) = threads.join(
        || Resolution::new(image, &names, combiner, objects, features),
        || functions::by_base_name(image, &names),
    );
    let mut resolution = resolution?;
    let mut outcome = Outcome {
        settled_by_dwarf: resolution.open_names(),
        ..Outcome::default()
    };
    resolution.settle(image, combiner, objects, relink)?;
    let named = functions::gather(combiner, image, named, &resolution, features, threads)?;
    functions::add(combiner, image, &named, features, threads, &mut outcome)?;
    variables::add(combiner, image, &resolution, features, &mut outcome)?;
    if features.inline {
        sites::add(combiner, image, &resolution, &mut outcome)?;
    }
    Ok(outcome)
}

/// Identity of a type that only the link makes: its kind, its words and what those refer to.
fn id_of(kind: Kind, parts: &[&[u8]]) -> Id {
    let length = |part: &&[u8]| part.len() + 8;
    let mut bytes = Vec::with_capacity(2 + parts.iter().map(length).sum::<usize>());
    bytes.extend([b'!', kind as u8]);
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    Id::of(&bytes)
}

fn add_decl_tag(combiner: &mut Combiner<'_>, on: Class, value: u32, component: i32) {
    let id = id_of(
        Kind::DeclTag,
        &[
            combiner.strings.get(value),
            &component.to_le_bytes(),
            &combiner.facts(on).id.bytes(),
        ],
    );
    let words = [
        value,
        btf::info(Kind::DeclTag, 0, false),
        on,
        component as u32,
    ];
    combiner.push(id, &words);
}
