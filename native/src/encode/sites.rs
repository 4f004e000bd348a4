// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Where functions were inlined (`DW_TAG_inlined_subroutine`): the first address of each such block of
//! code, and where the parameters are there. Read in a pass of its own, since it is seldom asked for.
//!
//! The code begins at `DW_AT_entry_pc`, else where the first of its ranges does (DWARF 5, section 2.18).

use std::collections::HashMap;
use std::ops::{ControlFlow, Range};

use gimli::constants as dw;

use super::functions::Judgement;
use super::places::{self, Shape};
use super::ranges;
use super::records::{Address, Raw, UnitFacts};
use super::strings::Strings;
use super::types::Types;
use crate::dwarf::cursor::Cursor;
use crate::dwarf::{Attr, Attrs, Decoder, Tables, Value};
use crate::object::sites::{push, Place, Site};
use crate::object::{Encoded, NONE};
use crate::support::error::{Error, Result};
use crate::support::hash::Fast;
use crate::support::limits::{ORIGINS, PARAMETERS};

/// Append the sites of all units to what was encoded of them. `tables`: those that units have used.
pub fn add(
    raw: &Raw<'_>,
    types: &Types<'_>,
    judgement: &Judgement,
    strings: &mut Strings,
    tables: &mut Option<Tables>,
    out: &mut Encoded,
) -> Result<()> {
    let mut params: Vec<(u32, u32)> = (0..).zip(&raw.params).map(|(i, p)| (p.die, i)).collect();
    params.sort_unstable();
    let mut finder = Finder {
        raw,
        types,
        judgement,
        params,
        strings,
        sites: Vec::new(),
        lists: HashMap::default(),
        anchors: HashMap::default(),
        symbols: HashMap::default(),
        out,
    };
    for unit in raw.units.iter().filter(|unit| unit.refused == 0) {
        finder.walk(unit, tables)?;
    }
    let mut sites = finder.sites;
    sites.sort_by_key(|site| site.function);
    out.sites = Some(sites);
    Ok(())
}

/// An open DIE.
#[derive(Clone, Copy)]
enum Frame {
    /// An inlined function: its place among those that are open.
    Inlined(usize),
    Other,
}

/// An inlined function whose parameters are being read.
struct Inlined {
    /// Of the function in what was encoded.
    function: u32,
    /// Among the raw functions.
    of: usize,
    at: Address,
    /// What its parameters say: DIE of the parameter, where it is, its value.
    params: Vec<(u32, Option<Value>, Option<Value>)>,
}

struct Finder<'f, 's> {
    raw: &'f Raw<'s>,
    types: &'f Types<'f>,
    judgement: &'f Judgement,
    /// All raw parameters by DIE.
    params: Vec<(u32, u32)>,
    strings: &'f mut Strings,
    sites: Vec<Site>,
    /// Lists of places that are there already, and where.
    lists: HashMap<Vec<u32>, u32, Fast>,
    /// By section, the symbol that all its places are told by.
    anchors: HashMap<u32, Option<u32>, Fast>,
    /// Symbols that are kept already.
    symbols: HashMap<u32, u32, Fast>,
    out: &'f mut Encoded,
}

impl Finder<'_, '_> {
    fn walk(&mut self, unit: &UnitFacts, tables: &mut Option<Tables>) -> Result<()> {
        // The walk over all DIEs has gone through, so that these are sound.
        let damaged = || Error::new("the unit ends inside a DIE");
        let dwarf = self.raw.source.dwarf;
        let dies = unit.dies;
        let tables = tables.get_or_insert_with(|| Tables::new(unit.shape));
        let abbrevs = tables
            .get(dwarf, dies.table, unit.shape)
            .map_err(|e| Error::new(e.to_string()))?;
        let decoder = Decoder {
            shape: unit.shape,
            unit: dies.unit as u64,
        };
        let mut at = Cursor::new(&dwarf.info.data, dies.start, dwarf.big()).until(dies.end);
        let mut pieces = Vec::new();
        let mut stack: Vec<Frame> = Vec::new();
        let mut open: Vec<Inlined> = Vec::new();
        while !at.at_end() {
            let code = at.uleb().map_err(|_| damaged())?;
            if code == 0 {
                if let Some(Frame::Inlined(_)) = stack.pop() {
                    if let Some(inlined) = open.pop() {
                        self.finish(unit, &inlined);
                    }
                }
                if stack.is_empty() {
                    break;
                }
                continue;
            }
            let abbrev = abbrevs.get(code).ok_or_else(damaged)?;
            let mut frame = Frame::Other;
            match (abbrev.tag, stack.last()) {
                (dw::DW_TAG_inlined_subroutine, _) => {
                    let attrs = decoder
                        .read(abbrevs, abbrev, &mut at, &mut pieces)
                        .map_err(|_| damaged())?;
                    if let Some(inlined) = self.inlined(unit, &attrs) {
                        if abbrev.has_children {
                            frame = Frame::Inlined(open.len());
                            open.push(inlined);
                        } else {
                            self.finish(unit, &inlined);
                        }
                    }
                }
                (dw::DW_TAG_formal_parameter, Some(&Frame::Inlined(of))) => {
                    let attrs = decoder
                        .read(abbrevs, abbrev, &mut at, &mut pieces)
                        .map_err(|_| damaged())?;
                    if let Some(origin) = origin(&attrs) {
                        let (location, value) =
                            (attrs.get(Attr::Location), attrs.get(Attr::ConstValue));
                        open[of].params.push((origin, location, value));
                    }
                }
                _ => decoder
                    .skip(abbrevs, abbrev, &mut at)
                    .map_err(|_| damaged())?,
            }
            if abbrev.has_children {
                stack.push(frame);
            } else if stack.is_empty() {
                break;
            }
        }
        // A unit may end without the closing null entries.
        while let Some(inlined) = open.pop() {
            self.finish(unit, &inlined);
        }
        Ok(())
    }

    /// `None`: it has no code, or no function that BTF can tell of.
    fn inlined(&self, unit: &UnitFacts, attrs: &Attrs<'_>) -> Option<Inlined> {
        let origin = origin(attrs)?;
        let raw = self.raw;
        let of = raw
            .functions
            .binary_search_by_key(&origin, |f| f.die)
            .ok()?;
        let encoded = &self.out.functions;
        let function = encoded
            .binary_search_by_key(&u64::from(origin), |f| f.die)
            .ok()?;
        if self.judgement.functions[of].len as usize > PARAMETERS {
            return None;
        }
        let at = self.entry(unit, attrs)?;
        // What a linker has discarded is at 0 in the linked file.
        (at.target.is_some() || raw.source.target.relocatable == 0 && at.value != 0).then_some(
            Inlined {
                function: function as u32,
                of,
                at,
                params: Vec::new(),
            },
        )
    }

    fn entry(&self, unit: &UnitFacts, attrs: &Attrs<'_>) -> Option<Address> {
        let raw = self.raw;
        let low = attrs
            .get(Attr::LowPc)
            .and_then(|value| raw.address(unit, value));
        let base = || {
            low.or_else(|| {
                let mut first = None;
                ranges::each(raw, unit, attrs.get(Attr::Ranges)?, |part| {
                    first = Some(part.begin);
                    ControlFlow::Break(())
                })?;
                first
            })
        };
        match attrs.get(Attr::EntryPc) {
            Some(value) if value.is_constant() => Some(ranges::behind(base()?, value.bits)),
            Some(value) => raw.address(unit, value),
            None => base(),
        }
    }

    fn finish(&mut self, unit: &UnitFacts, inlined: &Inlined) {
        let judged = &self.judgement.functions[inlined.of];
        let start = judged.start as usize;
        let mut said = vec![None; judged.len as usize];
        for &(die, location, value) in &inlined.params {
            let of = self.param(die, start..start + said.len());
            if let Some(of) = of.filter(|&of| said[of - start].is_none()) {
                said[of - start] = Some((location, value));
            }
        }
        let mut list = Vec::new();
        for p in self.judgement.written(judged) {
            let own = said[p - start];
            let words = own.and_then(|(location, value)| {
                let reference = self.judgement.parameters[p].reference;
                let shape = Shape {
                    size: self.types.size(reference, unit.shape.address_size),
                    is_signed: self.types.is_signed(reference),
                };
                let words = match (value, location) {
                    (Some(value), _) => places::of_value(self.raw, value, shape),
                    (None, Some(location)) => {
                        places::of_location(self.raw, unit, location, &inlined.at, shape)
                    }
                    (None, None) => None,
                };
                words.map(|words| (shape.size as u32, words))
            });
            let place = words.as_ref().map(|(size, words)| Place {
                size: *size,
                flags: words.flags,
                values: &words.values,
            });
            push(&mut list, place);
        }
        let Some((symbol, address)) = self.place(&inlined.at) else {
            return;
        };
        let places_len = list.len() as u32;
        let places = &mut self.out.places;
        let places_start = *self.lists.entry(list).or_insert_with_key(|list| {
            places.extend_from_slice(list);
            (places.len() - list.len()) as u32
        });
        self.sites.push(Site {
            function: inlined.function,
            symbol,
            address,
            places_start,
            places_len,
        });
    }

    /// Which of these parameters the DIE is, or is an instance of.
    fn param(&self, die: u32, of: Range<usize>) -> Option<usize> {
        let mut die = die;
        for _ in 0..ORIGINS {
            let i = self
                .params
                .binary_search_by_key(&die, |&(own, _)| own)
                .ok()?;
            let found = self.params[i].1 as usize;
            if of.contains(&found) {
                return Some(found);
            }
            die = self.raw.params[found].origin;
        }
        None
    }

    /// How the place is found again in a linked file. `None`: no symbol tells.
    fn place(&mut self, at: &Address) -> Option<(u32, u64)> {
        let source = self.raw.source;
        if source.target.relocatable == 0 {
            return Some((NONE, at.value));
        }
        let target = at.target?;
        let all = source.symbols();
        let anchor = self.anchors.entry(target.section);
        let anchor = *anchor.or_insert_with(|| all.anchor(target.section));
        let index = anchor.or_else(|| all.function_near(target))?;
        let (strings, out) = (&mut *self.strings, &mut *self.out);
        let kept = *self.symbols.entry(index).or_insert_with(|| {
            let kept = all.kept(index, |text| strings.add(text));
            out.symbols.push(kept);
            out.symbols.len() as u32 - 1
        });
        let start = all.symbols[index as usize].value;
        Some((kept, target.offset.wrapping_sub(start)))
    }
}

/// The DIE that one is an instance of.
fn origin(attrs: &Attrs<'_>) -> Option<u32> {
    let bits = attrs.get(Attr::Origin)?.bits;
    u32::try_from(bits).ok()
}
