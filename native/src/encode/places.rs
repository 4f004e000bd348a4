// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Where a parameter of an inlined function is when its code begins, in the words that BTF has for it.
//!
//! A location is one expression, or a list of them of which one holds for an address (DWARF 5, sections
//! 2.6.2 and 7.7.3; for the list of DWARF 4, section 2.6.2 there). BTF can say: a constant; a value in a
//! register, or in two; an address from a register or the frame's base on, or what lies there. Where an
//! expression computes more, or a value is not all there, nothing is said.

use gimli::constants as dw;
use gimli::Operation;

use super::ranges::{address, behind};
use super::records::{Address, Raw, UnitFacts};
use crate::btf::loc_flags::{CONST, DEREF, FRAME_BASE, OFFSET, REG, SIGNED};
use crate::dwarf::cursor::{Cursor, Truncated};
use crate::dwarf::{Reader, Value};
use crate::elf::Section;
use crate::support::endian;

/// What a parameter is.
#[derive(Clone, Copy)]
pub struct Shape {
    /// In bytes.
    pub size: u64,
    pub is_signed: bool,
}

/// The words of a LOC_PARAM behind its size.
#[derive(Debug, PartialEq, Eq)]
pub struct Words {
    pub flags: u32,
    pub values: Vec<u32>,
}

/// The place of a parameter with this location at an address. `None`: nowhere, or not to be said.
pub fn of_location(
    raw: &Raw<'_>,
    unit: &UnitFacts,
    location: Value,
    at: &Address,
    shape: Shape,
) -> Option<Words> {
    let expression = match location.is_block() {
        true => raw.reader(location.bits, u64::from(location.len))?,
        false => in_list(raw, unit, location, at)?,
    };
    of_expression(expression, unit, shape)
}

/// The same of one with a value (`DW_AT_const_value`).
pub fn of_value(raw: &Raw<'_>, value: Value, shape: Shape) -> Option<Words> {
    if value.is_constant() {
        return constant(value.bits, shape);
    }
    if !value.is_block() {
        return None;
    }
    let bytes = raw.reader(value.bits, u64::from(value.len))?;
    implicit(bytes, raw.source.dwarf.big(), shape)
}

fn of_expression(expression: Reader<'_>, unit: &UnitFacts, shape: Shape) -> Option<Words> {
    use Operation::{
        FrameOffset, ImplicitValue, Piece, Register, RegisterOffset, SignedConstant, StackValue,
        UnsignedConstant,
    };
    let big = gimli::Reader::endian(&expression) == gimli::RunTimeEndian::Big;
    let mut operations = Vec::new();
    let mut rest = expression;
    while !gimli::Reader::is_empty(&rest) {
        operations.push(Operation::parse(&mut rest, unit.encoding).ok()?);
    }
    let word = u64::from(unit.shape.address_size);
    let is_whole = is_said(shape.size);
    let plain = |base_type: gimli::UnitOffset| base_type.0 == 0;
    match operations[..] {
        [Register { register }] if is_whole && shape.size <= word => Some(Words {
            flags: REG,
            values: vec![register.0.into()],
        }),
        [Register { register: first }, Piece {
            size_in_bits: a, ..
        }, Register { register: second }, Piece {
            size_in_bits: b, ..
        }] if a == 8 * word && b == a && shape.size == 2 * word => Some(Words {
            flags: REG,
            values: vec![first.0.into(), second.0.into()],
        }),
        [RegisterOffset {
            register,
            offset,
            base_type,
        }] if is_whole && plain(base_type) => from(register.0.into(), offset, DEREF),
        [RegisterOffset {
            register,
            offset,
            base_type,
        }, StackValue]
            if is_whole && plain(base_type) =>
        {
            from(register.0.into(), offset, 0)
        }
        [FrameOffset { offset }] if is_whole => from(FRAME_BASE, offset, DEREF),
        [FrameOffset { offset }, StackValue] if is_whole => from(FRAME_BASE, offset, 0),
        [UnsignedConstant { value }, StackValue] => constant(value, shape),
        [SignedConstant { value }, StackValue] => constant(value as u64, shape),
        [ImplicitValue { data }] => implicit(data, big, shape),
        _ => None,
    }
}

/// The kernel's readers know values of these sizes.
fn is_said(size: u64) -> bool {
    matches!(size, 1 | 2 | 4 | 8)
}

/// So many bytes from what a register holds; `deref`: what lies there.
fn from(register: u32, offset: i64, deref: u32) -> Option<Words> {
    let offset = i32::try_from(offset).ok()?;
    let flags = REG | deref;
    Some(match offset {
        0 => Words {
            flags,
            values: vec![register],
        },
        _ => Words {
            flags: flags | OFFSET | if offset < 0 { SIGNED } else { 0 },
            values: vec![register, offset as u32],
        },
    })
}

fn constant(value: u64, shape: Shape) -> Option<Words> {
    if !is_said(shape.size) {
        return None;
    }
    let others = 64 - 8 * shape.size as u32;
    let value = match shape.is_signed {
        true => (value << others) as i64 >> others,
        false => (value << others >> others) as i64,
    };
    let mut values = vec![value as u32];
    if shape.size > 4 {
        values.push((value >> 32) as u32);
    }
    Some(Words {
        flags: CONST | if shape.is_signed { SIGNED } else { 0 },
        values,
    })
}

/// A value whose bytes are there, as in memory.
fn implicit(bytes: Reader<'_>, big: bool, shape: Shape) -> Option<Words> {
    let bytes = bytes.slice();
    let is_value = matches!(bytes.len(), 1 | 2 | 4 | 8) && bytes.len() as u64 == shape.size;
    is_value.then(|| constant(endian::get(bytes, big), shape))?
}

/// The expression of a list that holds for an address.
fn in_list<'s>(raw: &Raw<'s>, unit: &UnitFacts, list: Value, at: &Address) -> Option<Reader<'s>> {
    let dwarf = raw.source.dwarf;
    let lists = unit.shape.version >= 5;
    let section = if lists { &dwarf.loclists } else { &dwarf.loc };
    let start = match list.form() {
        dw::DW_FORM_sec_offset | dw::DW_FORM_data4 | dw::DW_FORM_data8 => list.bits,
        // The table at the unit's base has offsets from there (DWARF 5, section 7.29).
        dw::DW_FORM_loclistx => {
            let size = u64::from(unit.shape.offset_size);
            let place = unit
                .loclists_base
                .checked_add(list.bits.checked_mul(size)?)?;
            let mut table = Cursor::new(&section.data, usize::try_from(place).ok()?, dwarf.big());
            unit.loclists_base
                .checked_add(table.uint(size as u32).ok()?)?
        }
        _ => return None,
    };
    let cursor = Cursor::new(&section.data, usize::try_from(start).ok()?, dwarf.big());
    let list = List {
        raw,
        unit,
        section,
        size: unit.shape.address_size.into(),
        base: unit
            .code
            .low
            .filter(|at| at.value != 0 || at.target.is_some()),
        at,
    };
    // Those of DWARF 4 in a .dwo file are much like those of DWARF 5.
    let found = match lists || raw.source.skeleton.is_some() {
        true => list.in_loclists(cursor),
        false => list.in_loc(cursor),
    };
    let bytes = found.ok().flatten()?;
    Some(Reader::new(bytes, dwarf.endian))
}

struct List<'r, 's> {
    raw: &'r Raw<'s>,
    unit: &'r UnitFacts,
    section: &'s Section<'s>,
    /// Bytes of an address.
    size: u32,
    base: Option<Address>,
    /// What is looked for.
    at: &'r Address,
}

/// Does an address lie in the range of so many bytes from another on? gcc has ranges without bytes, which
/// lie between two steps of the program that one instruction begins (`DW_AT_GNU_locviews`): what is true
/// there is true before the instruction.
fn covers(begin: &Address, len: u64, at: &Address) -> bool {
    let section = |at: &Address| at.target.map(|target| target.section);
    section(begin) == section(at) && begin.to(at) < len.max(1)
}

impl<'s> List<'_, 's> {
    /// An expression.
    fn bytes(&self, cursor: &mut Cursor<'s>, len: usize) -> Result<&'s [u8], Truncated> {
        match self.raw.may_read_list(len) {
            true => cursor.bytes(len),
            false => Err(Truncated),
        }
    }

    fn in_loc(mut self, mut cursor: Cursor<'s>) -> Result<Option<&'s [u8]>, Truncated> {
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
                return Ok(None);
            }
            let len = cursor.u16()?;
            let bytes = self.bytes(&mut cursor, len.into())?;
            let length = begin.to(&end);
            let begin = match self.base {
                Some(base) if begin.target.is_none() => behind(base, begin.value),
                _ => begin,
            };
            if covers(&begin, length, self.at) {
                return Ok(Some(bytes));
            }
        }
    }

    fn in_loclists(mut self, mut cursor: Cursor<'s>) -> Result<Option<&'s [u8]>, Truncated> {
        let indexed = |index| self.raw.indexed_address(self.unit, index);
        let gnu = self.unit.shape.version < 5;
        let mut default = None;
        loop {
            if !self.raw.may_read_list(2) {
                return Err(Truncated);
            }
            let entry = dw::DwLle(cursor.uint(1)? as u8);
            let (begin, len) = match entry {
                dw::DW_LLE_end_of_list => return Ok(default),
                dw::DW_LLE_base_addressx => {
                    self.base = indexed(cursor.uleb()?);
                    continue;
                }
                dw::DW_LLE_base_address => {
                    self.base = Some(address(self.section, &mut cursor, self.size)?);
                    continue;
                }
                dw::DW_LLE_GNU_view_pair => {
                    cursor.skip_leb()?;
                    cursor.skip_leb()?;
                    continue;
                }
                dw::DW_LLE_startx_endx => {
                    let begin = indexed(cursor.uleb()?);
                    let end = indexed(cursor.uleb()?);
                    let len = begin.zip(end).map_or(0, |(begin, end)| begin.to(&end));
                    (begin, len)
                }
                dw::DW_LLE_startx_length if gnu => (indexed(cursor.uleb()?), cursor.u32()?.into()),
                dw::DW_LLE_startx_length => (indexed(cursor.uleb()?), cursor.uleb()?),
                dw::DW_LLE_offset_pair => {
                    let (begin, end) = (cursor.uleb()?, cursor.uleb()?);
                    let at = self.base.map(|base| behind(base, begin));
                    (at, end.wrapping_sub(begin))
                }
                dw::DW_LLE_start_end => {
                    let begin = address(self.section, &mut cursor, self.size)?;
                    let end = address(self.section, &mut cursor, self.size)?;
                    (Some(begin), begin.to(&end))
                }
                dw::DW_LLE_start_length => {
                    let begin = address(self.section, &mut cursor, self.size)?;
                    (Some(begin), cursor.uleb()?)
                }
                dw::DW_LLE_default_location => (None, 0),
                _ => return Ok(None),
            };
            let length = match gnu {
                true => cursor.u16()?.into(),
                false => usize::try_from(cursor.uleb()?).map_err(|_| Truncated)?,
            };
            let bytes = self.bytes(&mut cursor, length)?;
            if entry == dw::DW_LLE_default_location {
                default = Some(bytes);
            }
            if begin.is_some_and(|begin| covers(&begin, len, self.at)) {
                return Ok(Some(bytes));
            }
        }
    }
}
