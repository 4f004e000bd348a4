// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Which sections hold variables that count.

use crate::elf::image::Image;
use crate::object::features::Features;
use crate::object::{Variable, View, NONE};

pub const PERCPU: &[u8] = b".data..percpu";

/// Does the section of the linked file count? Linker scripts fold the sub-sections of per-CPU
/// data into one.
pub fn is_included(section: &[u8], features: &Features) -> bool {
    features.global_var || (features.var && section == PERCPU)
}

/// Before the link: may the candidate end in a section that counts?
pub fn is_wanted(
    features: &Features,
    image: &Image<'_>,
    view: &View<'_>,
    variable: &Variable,
) -> bool {
    if features.global_var {
        return true;
    }
    if !features.var {
        return false;
    }
    if view.target.relocatable == 0 {
        return image
            .section_of(variable.address)
            .is_some_and(|s| image.sections[s as usize].name == PERCPU);
    }
    if variable.symbol == NONE {
        return false;
    }
    let section = view.string(view.symbols[variable.symbol as usize].section);
    // Defined elsewhere: the link decides.
    section.is_empty() || section.starts_with(PERCPU)
}
