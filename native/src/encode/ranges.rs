// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Code in several parts: a function or unit has a list of ranges then, in place of `DW_AT_low_pc`
//! (DWARF 5, section 2.17.3; of DWARF 4, the same section there).

use std::ops::ControlFlow;

use gimli::constants as dw;

use super::records::{Address, Raw, UnitFacts};
use crate::dwarf::cursor::{Cursor, Truncated};
use crate::dwarf::Value;
use crate::elf::Section;

/// Where a function in several parts begins: its base address is the first address of the first range
/// (DWARF 5, section 2.17). But clang, which splits functions only when it is told to
/// (`-fbasic-block-sections`), writes the part that is entered last. `None`: there is none, or it cannot
/// be told.
pub fn base_address(raw: &Raw<'_>, unit: &UnitFacts, list: Value) -> Option<Address> {
    let mut found = None;
    each(raw, unit, list, |part| {
        found = Some(part.begin);
        match unit.clang {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    })?;
    found
}

/// So many bytes of code from an address on.
pub struct Part {
    pub begin: Address,
    pub len: u64,
}

/// The parts in a list, in its order, until one of them is enough. `None`: the list cannot be read to the
/// end.
pub fn each(
    raw: &Raw<'_>,
    unit: &UnitFacts,
    list: Value,
    visit: impl FnMut(Part) -> ControlFlow<()>,
) -> Option<()> {
    let source = raw.source;
    match unit.shape.version >= 5 {
        true => read(
            raw,
            unit,
            (source.ranges(true), unit.rnglists_base),
            list,
            visit,
        ),
        // A .dwo file has none of these.
        false => {
            let list = Value {
                bits: list.bits.wrapping_add(unit.ranges_base),
                ..list
            };
            read(
                raw,
                unit,
                (source.of_skeleton().ranges(false), 0),
                list,
                visit,
            )
        }
    }
}

/// The same of the list of the unit itself, which its skeleton has if there is one.
pub fn each_of_unit(
    raw: &Raw<'_>,
    unit: &UnitFacts,
    list: Value,
    visit: impl FnMut(Part) -> ControlFlow<()>,
) -> Option<()> {
    let section = raw.source.of_skeleton().ranges(unit.shape.version >= 5);
    read(raw, unit, (section, unit.code.lists_base), list, visit)
}

/// `from`: the section that the list is in, and where its table of lists is.
fn read(
    raw: &Raw<'_>,
    unit: &UnitFacts,
    (section, table): (&Section<'_>, u64),
    list: Value,
    visit: impl FnMut(Part) -> ControlFlow<()>,
) -> Option<()> {
    let start = match list.form() {
        dw::DW_FORM_sec_offset | dw::DW_FORM_data4 | dw::DW_FORM_data8 => list.bits,
        dw::DW_FORM_rnglistx => by_index(raw, unit, section, table, list.bits)?,
        _ => return None,
    };
    let start = usize::try_from(start).ok()?;
    let cursor = Cursor::new(&section.data, start, raw.source.dwarf.big());
    let list = List {
        raw,
        unit,
        section,
        size: u32::from(unit.shape.address_size),
        // Ranges are told from the start of the unit, if it has one.
        base: unit
            .code
            .low
            .filter(|at| at.value != 0 || at.target.is_some()),
    };
    let done = match unit.shape.version >= 5 {
        true => list.in_rnglists(cursor, visit),
        false => list.in_ranges(cursor, visit),
    };
    done.ok()
}

/// Where a list lies that is named by its index: the table has offsets from its own start (DWARF 5,
/// section 7.28).
fn by_index(
    raw: &Raw<'_>,
    unit: &UnitFacts,
    section: &Section<'_>,
    table: u64,
    index: u64,
) -> Option<u64> {
    let size = u64::from(unit.shape.offset_size);
    let at = table.checked_add(index.checked_mul(size)?)?;
    let mut entry = Cursor::new(
        &section.data,
        usize::try_from(at).ok()?,
        raw.source.dwarf.big(),
    );
    table.checked_add(entry.uint(size as u32).ok()?)
}

pub(super) fn address(
    section: &Section<'_>,
    cursor: &mut Cursor<'_>,
    size: u32,
) -> Result<Address, Truncated> {
    let target = section.target(cursor.pos as u64);
    let value = cursor.uint(size)?;
    Ok(Address { value, target })
}

/// The address so many bytes behind another.
pub(super) fn behind(base: Address, offset: u64) -> Address {
    let mut at = base;
    at.value = at.value.wrapping_add(offset);
    if let Some(target) = &mut at.target {
        target.offset = target.offset.wrapping_add(offset);
    }
    at
}

struct List<'r, 's> {
    raw: &'r Raw<'s>,
    unit: &'r UnitFacts,
    section: &'r Section<'r>,
    /// Bytes of an address.
    size: u32,
    base: Option<Address>,
}

impl List<'_, '_> {
    fn in_ranges(
        mut self,
        mut cursor: Cursor<'_>,
        mut visit: impl FnMut(Part) -> ControlFlow<()>,
    ) -> Result<(), Truncated> {
        let selects_base = u64::MAX >> (64 - 8 * self.size);
        loop {
            if !self.raw.may_read_list(2 * self.size as usize) {
                return Err(Truncated);
            }
            let begin = address(self.section, &mut cursor, self.size)?;
            let end = address(self.section, &mut cursor, self.size)?;
            if begin.value == selects_base {
                self.base = Some(end);
                continue;
            }
            if begin.value == 0 && end.value == 0 && begin.target.is_none() {
                return Ok(());
            }
            let part = Part {
                begin: match self.base {
                    Some(base) if begin.target.is_none() => behind(base, begin.value),
                    _ => begin,
                },
                len: begin.to(&end),
            };
            if visit(part).is_break() {
                return Ok(());
            }
        }
    }

    fn in_rnglists(
        mut self,
        mut cursor: Cursor<'_>,
        mut visit: impl FnMut(Part) -> ControlFlow<()>,
    ) -> Result<(), Truncated> {
        let indexed = |index| self.raw.indexed_address(self.unit, index);
        loop {
            if !self.raw.may_read_list(2) {
                return Err(Truncated);
            }
            let entry = dw::DwRle(cursor.uint(1)? as u8);
            let (begin, len) = match entry {
                dw::DW_RLE_base_addressx => {
                    self.base = indexed(cursor.uleb()?);
                    continue;
                }
                dw::DW_RLE_base_address => {
                    self.base = Some(address(self.section, &mut cursor, self.size)?);
                    continue;
                }
                dw::DW_RLE_startx_endx => {
                    let begin = indexed(cursor.uleb()?);
                    let end = indexed(cursor.uleb()?);
                    let len = begin.zip(end).map_or(0, |(begin, end)| begin.to(&end));
                    (begin, len)
                }
                dw::DW_RLE_startx_length => (indexed(cursor.uleb()?), cursor.uleb()?),
                dw::DW_RLE_start_end => {
                    let begin = address(self.section, &mut cursor, self.size)?;
                    let end = address(self.section, &mut cursor, self.size)?;
                    (Some(begin), begin.to(&end))
                }
                dw::DW_RLE_start_length => {
                    let begin = address(self.section, &mut cursor, self.size)?;
                    (Some(begin), cursor.uleb()?)
                }
                dw::DW_RLE_offset_pair => {
                    let (begin, end) = (cursor.uleb()?, cursor.uleb()?);
                    let at = self.base.map(|base| behind(base, begin));
                    (at, end.wrapping_sub(begin))
                }
                _ => return Ok(()),
            };
            let Some(begin) = begin else { continue };
            if visit(Part { begin, len }).is_break() {
                return Ok(());
            }
        }
    }
}
