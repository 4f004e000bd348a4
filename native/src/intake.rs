// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! How the objects of a link come in: threads load them one by one, pass over what they have met
//! before, and hand the rest to the one combiner. What lies in a file is forgotten then; the few
//! objects that refinement concerns are loaded once more.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::combine::{Combiner, ObjectIndex};
use crate::encoded::{Id, Target};
use crate::error::{Error, Result};
use crate::objects::{self, Loaded};
use crate::refine::{self, Affected};
use crate::sieve::Sieve;

/// What one thread has taken in.
#[derive(Default)]
pub struct Intake {
    sieve: Sieve,
    pub members: Vec<Member>,
}

/// What is known of one object of the link.
pub struct Member {
    pub index: ObjectIndex,
    pub reused: bool,
    /// Bytes that had to be read.
    pub size: u64,
    /// The source files that its symbols name; `None` for an object without DWARF.
    pub source_files: Option<Vec<Vec<u8>>>,
    /// Its types by their numbers in the sieve.
    numbers: Vec<u32>,
    key: Option<Id>,
    /// The object itself, where no file has what encode made of it.
    kept: Option<Loaded>,
}

impl Member {
    pub fn type_count(&self) -> u64 {
        self.numbers.len() as u64
    }
}

/// What all threads of the intake share.
pub struct Gate<'g, 'w> {
    pub combiner: &'g Mutex<Combiner<'w>>,
    pub excluded_languages: &'g [u32],
    /// Of the linked file.
    pub target: Target,
    pub elf: &'g Path,
    pub keep_sidecars: bool,
}

impl Intake {
    pub fn take(&mut self, gate: &Gate<'_, '_>, index: usize, path: &Path) -> Result<()> {
        let loaded = objects::load(path, gate.keep_sidecars)?;
        let mut member = Member {
            index: index as ObjectIndex,
            reused: loaded.is_reused(),
            size: loaded.size(),
            source_files: None,
            numbers: Vec::new(),
            key: loaded.key(),
            kept: None,
        };
        if let Some(view) = loaded.view() {
            let own = view.target;
            if (own.machine, own.address_size, own.big_endian)
                != (
                    gate.target.machine,
                    gate.target.address_size,
                    gate.target.big_endian,
                )
            {
                return Err(
                    Error::new("built for another architecture than the linked file")
                        .at(path.display())
                        .hint(format!("the linked file is {}", gate.elf.display())),
                );
            }
            let counts = |language| !gate.excluded_languages.contains(&language);
            let mut sifted = self.sieve.sift(&view, counts);
            gate.combiner
                .lock()
                .unwrap_or_else(|e| e.into_inner())
                .add_sifted(member.index, &view, &mut sifted)
                .map_err(|e| e.at(path.display()))?;
            self.sieve.learn(&sifted);
            member.source_files = Some(view.source_files().map(<[u8]>::to_vec).collect());
            member.numbers = sifted.numbers;
        }
        member.kept = (!loaded.is_in_file()).then_some(loaded);
        self.members.push(member);
        Ok(())
    }

    /// The members that hold affected types, and which of their local types those are.
    pub fn concerned<'i>(&'i self, affected: &Affected) -> Vec<(&'i Member, Vec<u32>)> {
        let marks = self.sieve.mark(|id| affected.has(id));
        let locals = |member: &Member| {
            let numbered = (1..).zip(&member.numbers);
            let is = |(_, &number): &(u32, &u32)| marks[number as usize];
            numbered.filter(is).map(|(local, _)| local).collect()
        };
        let all = self.members.iter().map(|m| (m, locals(m)));
        all.filter(|(_, locals): &(_, Vec<u32>)| !locals.is_empty())
            .collect()
    }
}

impl Member {
    /// Load the object once more, unless it is at hand.
    pub fn load_again(&self, objects: &[PathBuf]) -> Result<Option<Loaded>> {
        if self.kept.is_some() {
            return Ok(None);
        }
        let path = &objects[self.index as usize];
        let loaded = objects::load(path, false)?;
        if loaded.key() != self.key {
            return Err(Error::new("the object was changed while it was linked")
                .at(path.display())
                .hint("run make again"));
        }
        Ok(Some(loaded))
    }

    /// What refinement sees of it; `again` is what `load_again` gave.
    pub fn object<'v>(
        &'v self,
        again: &'v Option<Loaded>,
        locals: Vec<u32>,
    ) -> Option<refine::Object<'v>> {
        let loaded = self.kept.as_ref().or(again.as_ref())?;
        Some(refine::Object {
            index: self.index,
            view: loaded.view()?,
            locals,
        })
    }
}
