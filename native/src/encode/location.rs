// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Where a parameter is at the entry of its function, as far as its location tells.
//!
//! The first entry of a location list describes the entry of the function; later ones count only
//! when they say what the entry value was (DWARF 5, sections 2.5 and 2.6).

use gimli::constants as dw;
use gimli::{LocationLists, Operation, RawLocListEntry};

use super::records::{Raw, UnitFacts};
use crate::dwarf::{Reader, Value};

/// What a location says of a parameter when the function is entered.
#[derive(Clone, Copy, Default)]
pub struct Entry {
    /// DWARF number of the register that holds it, or its first part.
    pub register: Option<u16>,
    /// It is no place but a value that the compiler knows.
    pub is_constant: bool,
    /// Of a value in several pieces, the offset in bytes of the only one that has a place.
    pub only_piece: Option<u64>,
}

impl Entry {
    /// Only registers with an operation of their own count: those of floating point have numbers
    /// above on most machines, and no place in the order of arguments.
    fn first_wins(&mut self, register: u16) {
        if register < 32 {
            self.register.get_or_insert(register);
        }
    }
}

/// The pieces that some entry of a location gives a place.
#[derive(Clone, Copy)]
enum Pieces {
    None,
    One(u64),
    Several,
}

impl Pieces {
    fn add(&mut self, at: u64) {
        *self = match *self {
            Pieces::None => Pieces::One(at),
            Pieces::One(known) if known == at => Pieces::One(known),
            _ => Pieces::Several,
        };
    }

    /// Those of one expression (DWARF 5, section 2.6.1.2): operations up to each `DW_OP_piece` say
    /// where it is; without any, it is nowhere.
    fn read(&mut self, operations: &[Operation<Reader<'_>>]) {
        let mut bits = 0;
        let mut has_place = false;
        for operation in operations {
            match operation {
                Operation::Piece { size_in_bits, .. } => {
                    if has_place {
                        self.add(bits / 8);
                    }
                    bits += size_in_bits;
                    has_place = false;
                }
                Operation::StackValue => {}
                known => has_place |= !is_constant(known),
            }
        }
    }

    fn only(self) -> Option<u64> {
        match self {
            Pieces::One(at) => Some(at),
            _ => None,
        }
    }
}

fn is_constant(operation: &Operation<Reader<'_>>) -> bool {
    matches!(
        operation,
        Operation::UnsignedConstant { .. } | Operation::SignedConstant { .. }
    )
}

/// Does an operation take something from the machine?
fn reads(operation: &Operation<Reader<'_>>) -> bool {
    matches!(
        operation,
        Operation::Register { .. }
            | Operation::RegisterOffset { .. }
            | Operation::FrameOffset { .. }
            | Operation::EntryValue { .. }
            | Operation::CallFrameCFA
            | Operation::Deref { .. }
    )
}

/// `wide`: the value needs more than one register.
pub fn at_entry(raw: &Raw<'_>, unit: &UnitFacts, location: Value, wide: bool) -> Entry {
    let mut entry = Entry::default();
    let mut pieces = Pieces::None;
    if location.is_block() {
        if let Some(expression) = raw.reader(location.bits, u64::from(location.len)) {
            read_expression(&mut entry, &mut pieces, unit, expression, true, wide);
        }
        entry.only_piece = pieces.only();
        return entry;
    }
    let dwarf = raw.source.dwarf;
    let lists = LocationLists::new(
        gimli::DebugLoc::new(&dwarf.loc, dwarf.endian),
        gimli::DebugLocLists::new(&dwarf.loclists, dwarf.endian),
    );
    let offset = if location.form() == dw::DW_FORM_loclistx {
        let base = gimli::DebugLocListsBase(unit.loclists_base as usize);
        let index = gimli::DebugLocListsIndex(location.bits as usize);
        lists.get_offset(unit.encoding, base, index)
    } else {
        Ok(gimli::LocationListsOffset(location.bits as usize))
    };
    let Ok(mut entries) = offset.and_then(|o| lists.raw_locations(o, unit.encoding)) else {
        return entry;
    };
    let mut first = true;
    while let Ok(Some(item)) = entries.next() {
        let data = match item {
            RawLocListEntry::AddressOrOffsetPair { data, .. }
            | RawLocListEntry::StartEnd { data, .. }
            | RawLocListEntry::StartLength { data, .. }
            | RawLocListEntry::OffsetPair { data, .. }
            | RawLocListEntry::StartxEndx { data, .. }
            | RawLocListEntry::StartxLength { data, .. }
            | RawLocListEntry::DefaultLocation { data } => data,
            RawLocListEntry::BaseAddress { .. } | RawLocListEntry::BaseAddressx { .. } => continue,
        };
        read_expression(&mut entry, &mut pieces, unit, data.0, first, wide);
        first = false;
    }
    entry.only_piece = pieces.only();
    entry
}

fn read_expression(
    entry: &mut Entry,
    pieces: &mut Pieces,
    unit: &UnitFacts,
    mut reader: Reader<'_>,
    first: bool,
    wide: bool,
) {
    let mut operations = Vec::new();
    while !gimli::Reader::is_empty(&reader) {
        match Operation::parse(&mut reader, unit.encoding) {
            Ok(operation) => operations.push(operation),
            Err(_) => return,
        }
    }
    let computed = matches!(operations.last(), Some(Operation::StackValue));
    if operations.len() == 2 && computed {
        operations.pop();
    }
    if first {
        entry.is_constant =
            operations.first().is_some_and(is_constant) && !operations.iter().any(reads);
    }
    if wide {
        pieces.read(&operations);
    }
    match operations.as_slice() {
        [Operation::Register { register }] if first => entry.first_wins(register.0),
        [Operation::RegisterOffset { register, .. }] if first && computed => {
            entry.first_wins(register.0)
        }
        [Operation::EntryValue { expression }] => {
            let mut inner = *expression;
            if let Ok(Operation::Register { register }) =
                Operation::parse(&mut inner, unit.encoding)
            {
                if gimli::Reader::is_empty(&inner) {
                    entry.first_wins(register.0);
                }
            }
        }
        [_] | [] => {}
        [Operation::Register { register }, ..] if first && !wide => entry.first_wins(register.0),
        [Operation::RegisterOffset { register, .. }, rest @ ..]
            if first && !wide && rest.iter().any(|o| matches!(o, Operation::StackValue)) =>
        {
            entry.first_wins(register.0);
        }
        pieces if wide => {
            if let Some(Operation::Register { register }) = pieces
                .iter()
                .find(|o| matches!(o, Operation::Register { .. }))
            {
                entry.first_wins(register.0);
            }
        }
        _ => {}
    }
}
