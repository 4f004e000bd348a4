// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Units that the BTF has less of than it should, or nothing: their debug information has less, or it has
//! something that BTF cannot hold. That matters only where the unit counts: not in a language
//! that is left out; and what cannot be held, in a module, not in another language than C, which BTF is
//! for.

use std::collections::BTreeMap;
use std::path::Path;

use crate::object::{languages, sparse, Unit, View};
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
    /// Where the compiler was told to leave out what BTF tells: how many units, and the place of the
    /// first.
    sparse: BTreeMap<u32, (usize, String)>,
}

impl Counted {
    pub fn add(&mut self, other: &Counted) {
        self.units += other.units;
        self.left_out.extend_from_slice(&other.left_out);
        for (&what, (units, place)) in &other.sparse {
            self.note_sparse(what, *units, place.clone());
        }
    }

    fn note_sparse(&mut self, what: u32, units: usize, place: String) {
        let known = self.sparse.entry(what).or_insert((0, place.clone()));
        known.0 += units;
        // The objects come in any order.
        if place < known.1 {
            known.1 = place;
        }
    }

    /// What people should be told.
    pub fn notes(self) -> Vec<String> {
        let mut notes = self.left_out;
        notes.sort_unstable();
        notes.extend(self.sparse.into_iter().map(|(what, (units, place))| {
            let more = match units - 1 {
                0 => String::new(),
                1 => ", as is one more unit".to_owned(),
                more => format!(", as are {more} more units"),
            };
            match what {
                sparse::NO_TYPES => format!(
                    "{place}: compiled with -g1 (or -gline-tables-only){more}: in the BTF \
                     functions of it have no parameters and return nothing; compile it with -g"
                ),
                sparse::PLAIN => format!(
                    "{place}: only BTF tells its types{more}: whether the optimiser removed \
                     parameters of its functions is not known; compile it with -g"
                ),
                _ => format!(
                    "{place}: compiled with -femit-struct-debug-baseonly{more}: in the BTF \
                     most structs of it have no members; build without CONFIG_DEBUG_INFO_REDUCED"
                ),
            }
        }));
        notes
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
            if unit.sparse != 0 {
                counted.note_sparse(unit.sparse, 1, place(view, unit, file));
            }
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

/// The object that a unit came from, or what the unit is called in a linked file.
fn place(view: &View<'_>, unit: &Unit, file: &Path) -> String {
    let name = String::from_utf8_lossy(view.string(unit.name));
    match view.target.relocatable != 0 || name.is_empty() {
        true => file.display().to_string(),
        false => format!("{}: {name}", file.display()),
    }
}
