// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The units of one file, as they come in: they are encoded then and there.

use std::path::Path;

use gimli::UnitHeader;

use crate::combine::intake::Supply;
use crate::combine::sieve::Sieve;
use crate::combine::ObjectIndex;
use crate::dwarf::Reader;
use crate::encode::{encode_units, Encoder, Known, Source, MAX_STRINGS};
use crate::object::numbering::{Numbered, Sifted};
use crate::object::refused::{self, Counted, Policy};
use crate::object::{Encoded, View};
use crate::support::error::Result;
use crate::support::files::WORTH_FORGETTING;
use crate::support::progress;

/// What all threads are told.
pub struct Asked<'a> {
    pub policy: Policy<'a>,
    pub elf: &'a Path,
    /// Somebody wants to see a name each time that it is met.
    pub is_watched: bool,
    /// Some units are skeletons: the DIEs are in .dwo files.
    pub is_split: bool,
}

/// How a thread tells whether it has met a type.
enum Met {
    ByWords(Known),
    ByIdentity(Sieve),
}

impl Met {
    fn numbered_mut(&mut self) -> &mut Numbered {
        match self {
            Met::ByWords(known) => &mut known.numbered,
            Met::ByIdentity(sieve) => &mut sieve.numbered,
        }
    }
}

/// The units of one thread.
pub struct Units<'a, 's> {
    asked: &'a Asked<'a>,
    encoder: Encoder<'s>,
    met: Met,
    pub counted: Counted,
    /// Where in `.debug_info` that begins which this thread has not given back.
    forgotten: usize,
}

impl<'a, 's> Units<'a, 's> {
    /// In a relocatable file each object has brought strings of its own, and a .dwo file has its own, so
    /// that the words are like no other's.
    pub fn new(asked: &'a Asked<'a>, source: &'s Source<'s>) -> Self {
        let dwarf = source.dwarf;
        let strings = dwarf.str.len() + dwarf.line_str.len() + dwarf.info.data.len();
        let is_relocatable = source.elf.is_relocatable();
        let own_words = is_relocatable || asked.is_split;
        let met = if asked.is_watched || own_words || strings > MAX_STRINGS {
            Met::ByIdentity(Sieve::default())
        } else {
            Met::ByWords(Known::default())
        };
        Units {
            asked,
            encoder: Encoder::new(source),
            met,
            counted: Counted::default(),
            forgotten: 0,
        }
    }

    /// Threads take units in order: what lies before one has been read, or is being read by another.
    fn forget_before(&mut self, unit: &UnitHeader<Reader<'_>>) {
        let start = unit.debug_info_offset().map_or(0, |offset| offset.0);
        if start >= self.forgotten + WORTH_FORGETTING {
            self.encoder.forget(self.forgotten..start);
            self.forgotten = start;
        }
    }
}

fn encode(
    encoder: &mut Encoder<'_>,
    is_split: bool,
    units: &[UnitHeader<Reader<'_>>],
) -> Result<Encoded> {
    match is_split {
        true => encode_units(encoder.source(), units),
        false => encoder.encode(units),
    }
}

impl<'s> Supply for Units<'_, 's> {
    /// Units that are encoded together.
    type Item = Vec<UnitHeader<Reader<'s>>>;
    type Brought = Encoded;

    fn bring(&mut self, _: ObjectIndex, units: &Self::Item) -> Result<(Encoded, Option<Sifted>)> {
        let Policy {
            excluded_languages, ..
        } = self.asked.policy;
        let (encoded, sifted) = match &mut self.met {
            Met::ByWords(known) => self.encoder.encode_more(units, known, excluded_languages)?,
            Met::ByIdentity(sieve) => {
                let encoded = encode(&mut self.encoder, self.asked.is_split, units)?;
                let counts = |language| !excluded_languages.contains(&language);
                let sifted = sieve.sift(&self.encoder.view(&encoded), counts);
                (encoded, sifted)
            }
        };
        if let Some(unit) = units.first() {
            self.forget_before(unit);
        }
        let view = self.encoder.view(&encoded);
        let counted = refused::count(&view, self.asked.elf, self.asked.policy)?;
        self.counted.add(&counted);
        progress::add(units.len());
        Ok((encoded, Some(sifted)))
    }

    fn bring_again(&mut self, _: ObjectIndex, units: &Self::Item) -> Result<Encoded> {
        encode(&mut self.encoder, self.asked.is_split, units)
    }

    fn must_be_kept(_: &Encoded) -> bool {
        false
    }

    fn view<'v>(&'v self, encoded: &'v Encoded) -> Option<View<'v>> {
        Some(self.encoder.view(encoded))
    }

    fn numbered(&self) -> &Numbered {
        match &self.met {
            Met::ByWords(known) => &known.numbered,
            Met::ByIdentity(sieve) => &sieve.numbered,
        }
    }

    fn view_and_numbered<'v>(
        &'v mut self,
        encoded: &'v Encoded,
    ) -> (Option<View<'v>>, &'v mut Numbered) {
        (Some(self.encoder.view(encoded)), self.met.numbered_mut())
    }
}
