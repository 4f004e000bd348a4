// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Where the code of a function in several parts begins: such a function has a list of ranges in place
//! of `DW_AT_low_pc` (compilers put unlikely code elsewhere). Its base address is the first address of
//! the first range (DWARF 5, section 2.17; the lists: section 2.17.3 and, of DWARF 4, 2.17.3 there). But
//! clang, which splits functions only when it is told to (`-fbasic-block-sections`), writes the part that
//! is entered last.

use gimli::constants as dw;

use super::records::{Address, Raw, UnitFacts};
use crate::dwarf::cursor::{Cursor, Truncated};
use crate::dwarf::Value;
use crate::elf::Section;

/// `None`: there is none, or it cannot be told.
pub fn base_address(raw: &Raw<'_>, unit: &UnitFacts, list: Value) -> Option<Address> {
    let section = raw.source.ranges(unit.shape.version >= 5);
    let start = match list.form() {
        dw::DW_FORM_sec_offset | dw::DW_FORM_data4 | dw::DW_FORM_data8 => list.bits,
        dw::DW_FORM_rnglistx => by_index(raw, unit, section, list.bits)?,
        _ => return None,
    };
    let start = usize::try_from(start).ok()?;
    let cursor = Cursor::new(&section.data, start, raw.source.dwarf.big());
    let size = u32::from(unit.shape.address_size);
    let found = match unit.shape.version >= 5 {
        true => in_rnglists(raw, unit, section, cursor, size),
        false => in_ranges(section, cursor, size, unit.clang),
    };
    found.ok().flatten()
}

/// Where a list lies that is named by its index: the table at the unit's base has offsets from there
/// (DWARF 5, section 7.28).
fn by_index(raw: &Raw<'_>, unit: &UnitFacts, section: &Section<'_>, index: u64) -> Option<u64> {
    let size = u64::from(unit.shape.offset_size);
    let at = unit.rnglists_base.checked_add(index.checked_mul(size)?)?;
    let mut table = Cursor::new(
        &section.data,
        usize::try_from(at).ok()?,
        raw.source.dwarf.big(),
    );
    unit.rnglists_base
        .checked_add(table.uint(size as u32).ok()?)
}

fn address(
    section: &Section<'_>,
    cursor: &mut Cursor<'_>,
    size: u32,
) -> Result<Address, Truncated> {
    let target = section.target(cursor.pos as u64);
    let value = cursor.uint(size)?;
    Ok(Address { value, target })
}

/// The address so many bytes behind another.
fn behind(base: Address, offset: u64) -> Address {
    let mut at = base;
    at.value = at.value.wrapping_add(offset);
    if let Some(target) = &mut at.target {
        target.offset = target.offset.wrapping_add(offset);
    }
    at
}

fn in_ranges(
    section: &Section<'_>,
    mut cursor: Cursor<'_>,
    size: u32,
    to_the_last: bool,
) -> Result<Option<Address>, Truncated> {
    let selects_base = u64::MAX >> (64 - 8 * size);
    let mut base: Option<Address> = None;
    let mut found = None;
    while found.is_none() || to_the_last {
        let begin = address(section, &mut cursor, size)?;
        let end = address(section, &mut cursor, size)?;
        if begin.value == selects_base {
            base = Some(end);
        } else if begin.value == 0 && end.value == 0 && begin.target.is_none() {
            break;
        } else {
            found = Some(base.map_or(begin, |base| behind(base, begin.value)));
        }
    }
    Ok(found)
}

fn in_rnglists(
    raw: &Raw<'_>,
    unit: &UnitFacts,
    section: &Section<'_>,
    mut cursor: Cursor<'_>,
    size: u32,
) -> Result<Option<Address>, Truncated> {
    let mut base: Option<Address> = None;
    let mut found = None;
    while found.is_none() || unit.clang {
        let entry = dw::DwRle(cursor.uint(1)? as u8);
        match entry {
            dw::DW_RLE_base_addressx => base = raw.indexed_address(unit, cursor.uleb()?),
            dw::DW_RLE_base_address => base = Some(address(section, &mut cursor, size)?),
            dw::DW_RLE_startx_endx | dw::DW_RLE_startx_length => {
                found = raw.indexed_address(unit, cursor.uleb()?);
                cursor.uleb()?;
            }
            dw::DW_RLE_start_end => {
                found = Some(address(section, &mut cursor, size)?);
                cursor.uint(size)?;
            }
            dw::DW_RLE_start_length => {
                found = Some(address(section, &mut cursor, size)?);
                cursor.uleb()?;
            }
            dw::DW_RLE_offset_pair => {
                let offset = cursor.uleb()?;
                cursor.uleb()?;
                found = base.map(|base| behind(base, offset));
            }
            _ => break,
        }
    }
    Ok(found)
}
