// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Units with something that BTF cannot hold. They matter only where the unit counts: not in a language
//! that is left out, and in a module not in another language than C, which BTF is for.

use std::path::Path;

use crate::object::{languages, View};
use crate::support::error::{Error, Result};

/// Who asks: what is left out, and whether a module is made.
#[derive(Clone, Copy)]
pub struct Policy<'a> {
    pub excluded_languages: &'a [u32],
    pub is_module: bool,
}

/// What became of units.
#[derive(Default)]
pub struct Counted {
    /// Units that count.
    pub units: usize,
    /// One line for each that should, and is left out.
    pub left_out: Vec<String>,
}

impl Counted {
    pub fn add(&mut self, other: &Counted) {
        self.units += other.units;
        self.left_out.extend_from_slice(&other.left_out);
    }
}

/// Which units of a file count. One that counts and cannot be held is an error.
pub fn count(view: &View<'_>, file: &Path, policy: Policy<'_>) -> Result<Counted> {
    let mut counted = Counted::default();
    for unit in view.units {
        if policy.excluded_languages.contains(&unit.language) {
            continue;
        }
        if unit.refused == 0 {
            counted.units += 1;
            continue;
        }
        let why = String::from_utf8_lossy(view.string(unit.refused));
        if !policy.is_module || languages::is_c(unit.language) {
            return Err(Error::new(why).at(file.display()));
        }
        let language = languages::name(unit.language).unwrap_or("another language than C");
        counted.left_out.push(format!(
            "{}: a unit in {language} is left out: {why}",
            file.display()
        ));
    }
    Ok(counted)
}
