// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! How the objects of a link come in: threads load them one by one, pass over what they have met
//! before, and hand the rest to the one combiner. What lies in a file is forgotten then; the few
//! objects that refinement concerns are loaded once more.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::combine::sieve::Sieve;
use crate::combine::{refine, Combiner, ObjectIndex};
use crate::object::numbering::Sifted;
use crate::object::refused::{self, Counted, Policy};
use crate::object::{Id, Target, View};
use crate::store::cache::Cache;
use crate::store::objects::{self, Loaded};
use crate::support::error::{Error, Result};
use crate::support::files::Mapped;
use crate::support::hash::Fast;
use crate::support::threads::Threads;

/// What one thread has taken in.
#[derive(Default)]
pub struct Intake {
    sieve: Sieve,
    pub members: Vec<Member>,
    /// What is sifted and waits for the combiner, and its place among the members.
    waiting: Vec<(Loaded, Sifted, usize)>,
}

/// Objects that a thread may have waiting. While another thread is at the combiner, loading the next
/// object is better than sleeping.
const WAITING: usize = 16;

/// What is known of one object of the link.
pub struct Member {
    pub index: ObjectIndex,
    pub reused: bool,
    /// Bytes that had to be read.
    pub size: u64,
    pub types: u64,
    /// The source files that its symbols name; `None` for an object without DWARF.
    pub source_files: Option<Vec<Vec<u8>>>,
    pub counted: Counted,
    /// Its types by their numbers in the sieve.
    numbers: Vec<u32>,
    key: Option<Id>,
    /// The object itself, where no file has what encode made of it.
    kept: Option<Loaded>,
}

/// What all threads of the intake share.
pub struct Gate<'g, 'w> {
    pub combiner: &'g Mutex<Combiner<'w>>,
    pub policy: Policy<'g>,
    /// Of the linked file.
    pub target: Target,
    pub elf: &'g Path,
    pub keep_sidecars: bool,
    pub cache: Option<&'g Cache>,
}

/// Load one object; `open`: how to read its sidecar.
fn load(
    gate: &Gate<'_, '_>,
    index: usize,
    path: &Path,
    open: fn(&Path) -> Result<Mapped>,
) -> Result<(Member, Loaded)> {
    let loaded = objects::load(path, gate.cache, gate.keep_sidecars, open)?;
    let view = loaded.view();
    if view.is_some_and(|view| !view.target.is_like(&gate.target)) {
        return Err(
            Error::new("built for another architecture than the linked file")
                .at(path.display())
                .hint(format!("the linked file is {}", gate.elf.display())),
        );
    }
    let counted = view.map(|view| refused::count(&view, path, gate.policy));
    let names = |view: View<'_>| view.source_files().map(<[u8]>::to_vec).collect();
    let member = Member {
        index: index as ObjectIndex,
        reused: loaded.is_reused(),
        size: loaded.size(),
        types: view.map_or(0, |view| view.type_count() as u64),
        source_files: view.map(names),
        counted: counted.transpose()?.unwrap_or_default(),
        numbers: Vec::new(),
        key: loaded.key(),
        kept: None,
    };
    Ok((member, loaded))
}

impl Intake {
    pub fn take(&mut self, gate: &Gate<'_, '_>, index: usize, path: &Path) -> Result<()> {
        let (member, loaded) = load(gate, index, path, Mapped::read)?;
        if let Some(view) = loaded.view() {
            let counts = |language| !gate.policy.excluded_languages.contains(&language);
            let sifted = self.sieve.sift(&view, counts);
            self.waiting.push((loaded, sifted, self.members.len()));
        }
        self.members.push(member);
        match gate.combiner.try_lock() {
            Ok(mut combiner) => self.hand_over(&mut combiner),
            Err(_) if self.waiting.len() < WAITING => Ok(()),
            Err(_) => self.finish(gate),
        }
    }

    /// Load an object that will be looked at whole, together with others.
    pub fn keep(&mut self, gate: &Gate<'_, '_>, index: usize, path: &Path) -> Result<()> {
        let (mut member, loaded) = load(gate, index, path, Mapped::open_whole)?;
        member.kept = Some(loaded);
        self.members.push(member);
        Ok(())
    }

    /// Hand over what still waits.
    pub fn finish(&mut self, gate: &Gate<'_, '_>) -> Result<()> {
        let mut combiner = gate.combiner.lock().unwrap_or_else(|e| e.into_inner());
        self.hand_over(&mut combiner)
    }

    /// All objects are taken: how often each type was met.
    pub fn close(&mut self, gate: &Gate<'_, '_>) -> Result<()> {
        let mut combiner = gate.combiner.lock().unwrap_or_else(|e| e.into_inner());
        self.hand_over(&mut combiner)?;
        combiner.count(&self.sieve.numbered);
        Ok(())
    }

    fn hand_over(&mut self, combiner: &mut Combiner<'_>) -> Result<()> {
        for (loaded, sifted, place) in self.waiting.drain(..) {
            let member = &mut self.members[place];
            if let Some(view) = loaded.view() {
                combiner.add_sifted(member.index, &view, &sifted, &mut self.sieve.numbered)?;
            }
            member.numbers = sifted.numbers;
            member.kept = (!loaded.is_in_file()).then_some(loaded);
        }
        Ok(())
    }
}

impl Member {
    /// The object, where it was kept.
    pub fn view(&self) -> Option<View<'_>> {
        self.kept.as_ref()?.view()
    }
}

/// All that was taken in, to be looked at again.
pub struct Members<'i> {
    intakes: &'i [Intake],
    /// Their paths, by index.
    objects: &'i [PathBuf],
    threads: &'i Threads,
    cache: Option<&'i Cache>,
    /// By index: whose member it is, and which of these.
    places: BTreeMap<ObjectIndex, (usize, usize)>,
    loaded: BTreeMap<ObjectIndex, Loaded>,
}

impl<'i> Members<'i> {
    pub fn new(
        intakes: &'i [Intake],
        objects: &'i [PathBuf],
        threads: &'i Threads,
        cache: Option<&'i Cache>,
    ) -> Self {
        let of_intake = |(i, intake): (usize, &'i Intake)| {
            let members = intake.members.iter().enumerate();
            members.map(move |(place, member)| (member.index, (i, place)))
        };
        Members {
            intakes,
            objects,
            threads,
            cache,
            places: intakes.iter().enumerate().flat_map(of_intake).collect(),
            loaded: BTreeMap::new(),
        }
    }

    fn member(&self, which: ObjectIndex) -> Option<&'i Member> {
        let &(intake, place) = self.places.get(&which)?;
        self.intakes[intake].members.get(place)
    }
}

impl refine::Objects for Members<'_> {
    fn holding(&self, ids: &HashSet<Id, Fast>, show: &mut refine::Show<'_>) {
        let marks: Vec<Vec<bool>> = self
            .intakes
            .iter()
            .map(|intake| intake.sieve.numbered.mark(|id| ids.contains(id)))
            .collect();
        for (&index, &(intake, place)) in &self.places {
            let (intake, marks) = (&self.intakes[intake], &marks[intake]);
            let numbers = intake.members[place].numbers.iter();
            let marked = numbers.filter(|&&number| marks[number as usize]);
            let held: Vec<Id> = marked.map(|&n| intake.sieve.numbered.id(n)).collect();
            if !held.is_empty() && !show(index, &held) {
                return;
            }
        }
    }

    fn load(&mut self, which: &[ObjectIndex]) -> Result<()> {
        let load = |_: &mut (), &index: &ObjectIndex| {
            let Some(member) = self.member(index).filter(|m| m.kept.is_none()) else {
                return Ok(None);
            };
            let path = &self.objects[index as usize];
            let loaded = objects::load(path, self.cache, false, Mapped::read)?;
            if loaded.key() != member.key {
                return Err(Error::new("the object was changed while it was linked")
                    .at(path.display())
                    .hint("run make again"));
            }
            Ok(Some((index, loaded)))
        };
        let loaded = self.threads.map(which, || (), load)?;
        self.loaded.extend(loaded.into_iter().flatten());
        Ok(())
    }

    fn view(&self, which: ObjectIndex) -> Option<View<'_>> {
        let kept = self.member(which)?.kept.as_ref();
        kept.or_else(|| self.loaded.get(&which))?.view()
    }

    fn release(&mut self, which: &[ObjectIndex]) {
        for index in which {
            self.loaded.remove(index);
        }
    }
}
