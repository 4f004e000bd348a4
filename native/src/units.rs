// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! How the units of one file come in: threads encode them one by one, pass over the types that they
//! have met before, and hand the rest to the one combiner. The few units that refinement concerns are
//! encoded once more.

use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;

use gimli::UnitHeader;

use crate::combine::{Combiner, ObjectIndex};
use crate::dwarf::Reader;
use crate::encode::{Encoder, Known, Source, MAX_STRINGS};
use crate::encoded::Encoded;
use crate::error::Result;
use crate::refine::{self, Affected};
use crate::refused::{self, Counted, Policy};
use crate::sieve::{Numbered, Sieve, Sifted};

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
    fn numbered(&mut self) -> &mut Numbered {
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
    /// Batches to be encoded again, by index, and their local types that are affected.
    affected: Vec<(ObjectIndex, Vec<u32>)>,
    again: Vec<Encoded>,
    pub counted: Counted,
}

/// Batches that a thread may have waiting. While another thread is at the combiner, encoding the
/// next one is better than sleeping.
const WAITING: usize = 16;

impl<'s> Intake<'s> {
    /// `is_watched`: somebody wants to see a name each time that it is met.
    pub fn new(source: &'s Source<'s>, is_watched: bool) -> Self {
        let dwarf = source.dwarf;
        let strings = dwarf.str.len() + dwarf.line_str.len() + dwarf.info.data.len();
        let met = if is_watched || strings > MAX_STRINGS {
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
            affected: Vec::new(),
            again: Vec::new(),
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

    fn hand_over(&mut self, combiner: &mut Combiner<'_>) -> Result<()> {
        for (encoded, sifted, place) in self.waiting.drain(..) {
            let index = self.taken[place].0;
            let view = self.encoder.view(&encoded);
            combiner.add_sifted(index, &view, &sifted, self.met.numbered())?;
        }
        Ok(())
    }

    /// The batches that hold affected types, and which of their local types those are.
    fn concerned(&mut self, affected: &Affected) -> Vec<(ObjectIndex, Vec<u32>)> {
        let marks = self.met.numbered().mark(|id| affected.has(id));
        let taken = self.taken.iter().map(|(index, range)| {
            let numbered = (1..).zip(&self.numbers[range.clone()]);
            let marked = numbered.filter(|(_, &number)| marks[number as usize]);
            (*index, marked.map(|(local, _)| local).collect())
        });
        taken
            .filter(|(_, locals): &(_, Vec<u32>)| !locals.is_empty())
            .collect()
    }

    /// Encode the batches whose affected types `share` gave to this thread.
    pub fn encode_again(&mut self, batches: &[&[UnitHeader<Reader<'_>>]]) -> Result<()> {
        for (index, _) in &self.affected {
            let encoded = self.encoder.encode(batches[*index as usize])?;
            self.again.push(encoded);
        }
        Ok(())
    }

    /// What refinement sees of what was encoded again.
    pub fn objects(&self) -> impl Iterator<Item = refine::Object<'_>> {
        let pairs = self.again.iter().zip(&self.affected);
        pairs.map(|(encoded, (index, locals))| refine::Object {
            index: *index,
            view: self.encoder.view(encoded),
            locals: locals.clone(),
        })
    }
}

/// Give each thread its share of the batches that must be encoded again, in their order.
pub fn share(intakes: &mut [Intake<'_>], affected: &Affected) {
    let concerned = intakes.iter_mut().map(|intake| intake.concerned(affected));
    let mut all: Vec<(ObjectIndex, Vec<u32>)> = concerned.flatten().collect();
    all.sort_unstable_by_key(|(index, _)| *index);
    let share = all.len().div_ceil(intakes.len()).max(1);
    for (intake, share) in intakes.iter_mut().zip(all.chunks(share)) {
        intake.affected = share.to_vec();
    }
}
