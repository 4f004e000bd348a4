// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! How the units of one file come in: threads encode them one by one, pass over the types that they
//! have met before, and hand the rest to the one combiner. The few units that refinement concerns are
//! encoded once more.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;

use gimli::UnitHeader;

use crate::combine::sieve::Sieve;
use crate::combine::{refine, Combiner, ObjectIndex};
use crate::dwarf::Reader;
use crate::encode::{Encoder, Known, Source, MAX_STRINGS};
use crate::object::numbering::{Numbered, Sifted};
use crate::object::refused::{self, Counted, Policy};
use crate::object::{Encoded, Id, View};
use crate::support::error::Result;
use crate::support::hash::Fast;
use crate::support::threads::Threads;

/// What all threads share.
pub struct Gate<'g, 'w> {
    pub combiner: &'g Mutex<Combiner<'w>>,
    pub policy: Policy<'g>,
    pub elf: &'g Path,
}

/// How a thread tells whether it has met a type.
enum Met {
    ByWords(Known),
    ByIdentity(Sieve),
}

impl Met {
    fn numbered(&self) -> &Numbered {
        match self {
            Met::ByWords(known) => &known.numbered,
            Met::ByIdentity(sieve) => &sieve.numbered,
        }
    }

    fn numbered_mut(&mut self) -> &mut Numbered {
        match self {
            Met::ByWords(known) => &mut known.numbered,
            Met::ByIdentity(sieve) => &mut sieve.numbered,
        }
    }
}

/// What one thread has taken in.
pub struct Intake<'s> {
    encoder: Encoder<'s>,
    met: Met,
    /// The batches by their index, and where their types are in `numbers`.
    taken: Vec<(ObjectIndex, Range<usize>)>,
    /// The types of all batches.
    numbers: Vec<u32>,
    /// What is encoded and waits for the combiner, and its place among those taken.
    waiting: Vec<(Encoded, Sifted, usize)>,
    pub counted: Counted,
}

/// Batches that a thread may have waiting. While another thread is at the combiner, encoding the
/// next one is better than sleeping.
const WAITING: usize = 16;

impl<'s> Intake<'s> {
    /// `is_watched`: somebody wants to see a name each time that it is met. In a relocatable file each
    /// object has brought strings of its own, so that its words are like no other's.
    pub fn new(source: &'s Source<'s>, is_watched: bool) -> Self {
        let dwarf = source.dwarf;
        let strings = dwarf.str.len() + dwarf.line_str.len() + dwarf.info.data.len();
        let is_relocatable = source.elf.is_relocatable();
        let met = if is_watched || is_relocatable || strings > MAX_STRINGS {
            Met::ByIdentity(Sieve::default())
        } else {
            Met::ByWords(Known::default())
        };
        Intake {
            encoder: Encoder::new(source),
            met,
            taken: Vec::new(),
            numbers: Vec::new(),
            waiting: Vec::new(),
            counted: Counted::default(),
        }
    }

    /// Take in units that are encoded together.
    pub fn take(
        &mut self,
        gate: &Gate<'_, '_>,
        index: usize,
        units: &[UnitHeader<Reader<'_>>],
    ) -> Result<()> {
        let left_out = gate.policy.excluded_languages;
        let (encoded, sifted) = match &mut self.met {
            Met::ByWords(known) => self.encoder.encode_more(units, known, left_out)?,
            Met::ByIdentity(sieve) => {
                let encoded = self.encoder.encode(units)?;
                let counts = |language| !left_out.contains(&language);
                let sifted = sieve.sift(&self.encoder.view(&encoded), counts);
                (encoded, sifted)
            }
        };
        let view = self.encoder.view(&encoded);
        self.counted
            .add(&refused::count(&view, gate.elf, gate.policy)?);
        let start = self.numbers.len();
        self.numbers.extend_from_slice(&sifted.numbers);
        self.waiting.push((encoded, sifted, self.taken.len()));
        self.taken
            .push((index as ObjectIndex, start..self.numbers.len()));
        match gate.combiner.try_lock() {
            Ok(mut combiner) => self.hand_over(&mut combiner),
            Err(_) if self.waiting.len() < WAITING => Ok(()),
            Err(_) => self.finish(gate),
        }
    }

    /// Hand over what still waits.
    pub fn finish(&mut self, gate: &Gate<'_, '_>) -> Result<()> {
        let mut combiner = gate.combiner.lock().unwrap_or_else(|e| e.into_inner());
        self.hand_over(&mut combiner)
    }

    /// All units are taken: how often each type was met.
    pub fn close(&mut self, gate: &Gate<'_, '_>) -> Result<()> {
        let mut combiner = gate.combiner.lock().unwrap_or_else(|e| e.into_inner());
        self.hand_over(&mut combiner)?;
        combiner.count(self.met.numbered());
        Ok(())
    }

    fn hand_over(&mut self, combiner: &mut Combiner<'_>) -> Result<()> {
        for (encoded, sifted, place) in self.waiting.drain(..) {
            let index = self.taken[place].0;
            let view = self.encoder.view(&encoded);
            combiner.add_sifted(index, &view, &sifted, self.met.numbered_mut())?;
        }
        Ok(())
    }
}

/// All that was taken in, to be looked at again.
pub struct Batches<'i, 's> {
    intakes: &'i mut [Intake<'s>],
    batches: &'i [&'i [UnitHeader<Reader<'s>>]],
    threads: &'i Threads,
    /// Encoded once more, by index, and by whose encoder.
    again: BTreeMap<ObjectIndex, (usize, Encoded)>,
}

impl<'i, 's> Batches<'i, 's> {
    pub fn new(
        intakes: &'i mut [Intake<'s>],
        batches: &'i [&'i [UnitHeader<Reader<'s>>]],
        threads: &'i Threads,
    ) -> Self {
        Batches {
            intakes,
            batches,
            threads,
            again: BTreeMap::new(),
        }
    }
}

impl refine::Objects for Batches<'_, '_> {
    fn holding(&self, ids: &HashSet<Id, Fast>, show: &mut refine::Show<'_>) {
        for intake in self.intakes.iter() {
            let numbered = intake.met.numbered();
            let marks = numbered.mark(|id| ids.contains(id));
            for (index, range) in &intake.taken {
                let numbers = intake.numbers[range.clone()].iter();
                let marked = numbers.filter(|&&number| marks[number as usize]);
                let held: Vec<Id> = marked.map(|&number| numbered.id(number)).collect();
                if !held.is_empty() && !show(*index, &held) {
                    return;
                }
            }
        }
    }

    fn load(&mut self, which: &[ObjectIndex]) -> Result<()> {
        let share = which.len().div_ceil(self.intakes.len()).max(1);
        let mut work: Vec<_> = self
            .intakes
            .iter_mut()
            .zip(which.chunks(share))
            .map(|(intake, share)| (intake, share, Vec::new()))
            .collect();
        let batches = self.batches;
        self.threads.each(&mut work, |(intake, share, made)| {
            for &index in *share {
                made.push((index, intake.encoder.encode(batches[index as usize])?));
            }
            Ok(())
        })?;
        for (i, (_, _, made)) in work.into_iter().enumerate() {
            let made = made.into_iter();
            self.again
                .extend(made.map(|(index, encoded)| (index, (i, encoded))));
        }
        Ok(())
    }

    fn view(&self, which: ObjectIndex) -> Option<View<'_>> {
        let (intake, encoded) = self.again.get(&which)?;
        Some(self.intakes[*intake].encoder.view(encoded))
    }

    fn release(&mut self, which: &[ObjectIndex]) {
        for index in which {
            self.again.remove(index);
        }
    }
}
