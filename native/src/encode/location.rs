// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Where a parameter is when its function is entered: which register holds it, and which of its
//! pieces have a place.
//!
//! A location is one expression or a list of them, each for a range of code (DWARF 5, section 2.6.2);
//! the first of a list is that of the entry. An expression describes one place or, with pieces, several
//! (2.6.1.2). A value of one register is where its first place is. One of several registers may be
//! described piece by piece, and pieces without a place may stand before the first register.
//!
//! What follows when this is not plain was found by trials with pahole (tests/test_parameters.py). To be
//! in a register is also to be a value computed from what it holds; and a later expression counts when
//! it says which register held the value at the entry, or has pieces in registers.

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

/// `wide`: the value needs more than one register.
pub fn at_entry(raw: &Raw<'_>, unit: &UnitFacts, location: Value, wide: bool) -> Entry {
    let mut reading = Reading::new(wide);
    if location.is_block() {
        if let Some(expression) = raw.reader(location.bits, u64::from(location.len)) {
            reading.add(unit, expression);
        }
    } else {
        // What cannot be read ends the list.
        let _ = read_list(raw, unit, location, &mut reading);
    }
    Entry {
        only_piece: reading.pieces.only(),
        ..reading.entry
    }
}

fn read_list(
    raw: &Raw<'_>,
    unit: &UnitFacts,
    location: Value,
    reading: &mut Reading,
) -> gimli::Result<()> {
    let dwarf = raw.source.dwarf;
    let lists = LocationLists::new(
        gimli::DebugLoc::new(&dwarf.loc.data, dwarf.endian),
        gimli::DebugLocLists::new(&dwarf.loclists.data, dwarf.endian),
    );
    let at = match location.form() {
        dw::DW_FORM_loclistx => lists.get_offset(
            unit.encoding,
            gimli::DebugLocListsBase(unit.loclists_base as usize),
            gimli::DebugLocListsIndex(location.bits as usize),
        )?,
        _ => gimli::LocationListsOffset(location.bits as usize),
    };
    let mut list = match raw.source.skeleton {
        None => lists.raw_locations(at, unit.encoding)?,
        Some(_) => lists.raw_locations_dwo(at, unit.encoding)?,
    };
    while let Some(entry) = list.next()? {
        let expression = match entry {
            RawLocListEntry::BaseAddress { .. } | RawLocListEntry::BaseAddressx { .. } => continue,
            RawLocListEntry::AddressOrOffsetPair { data, .. }
            | RawLocListEntry::StartxEndx { data, .. }
            | RawLocListEntry::StartxLength { data, .. }
            | RawLocListEntry::OffsetPair { data, .. }
            | RawLocListEntry::DefaultLocation { data }
            | RawLocListEntry::StartEnd { data, .. }
            | RawLocListEntry::StartLength { data, .. } => data,
        };
        let bytes = expression.0.len() + 2;
        if !raw.may_read_list(bytes) || !reading.add(unit, expression.0) {
            break;
        }
    }
    Ok(())
}

/// One place: what the operations up to a piece, or all of an expression, describe.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Optimised away.
    Nowhere,
    Register(u16),
    /// No place of its own any more; the register held it at the entry.
    HeldAtEntry(u16),
    /// A value that is computed from what the register holds; `plain`: with no more than an offset.
    Computed {
        from: u16,
        plain: bool,
    },
    /// A value that the compiler knows.
    Constant,
    Elsewhere,
}

impl Place {
    fn of(operations: &[Operation<Reader<'_>>], unit: &UnitFacts) -> Place {
        use Operation::{EntryValue, RegisterOffset, StackValue};
        match operations {
            [] => Place::Nowhere,
            [first, ..] if argument_register(first).is_some() => {
                argument_register(first).map_or(Place::Elsewhere, Place::Register)
            }
            [EntryValue { expression }] | [EntryValue { expression }, StackValue] => {
                match parse(*expression, unit).as_deref() {
                    Some([only]) => {
                        argument_register(only).map_or(Place::Elsewhere, Place::HeldAtEntry)
                    }
                    _ => Place::Elsewhere,
                }
            }
            [RegisterOffset { register, .. }, rest @ ..]
                if register.0 < OWN_OPERATION && rest.contains(&StackValue) =>
            {
                Place::Computed {
                    from: register.0,
                    plain: rest.len() == 1,
                }
            }
            _ if operations.iter().any(reads) => Place::Elsewhere,
            _ => Place::Constant,
        }
    }

    /// A constant is none.
    fn is_place(self) -> bool {
        !matches!(self, Place::Nowhere | Place::Constant)
    }
}

/// Only registers with an operation of their own count: those of floating point have numbers
/// above on most machines, and no place in the order of arguments.
const OWN_OPERATION: u16 = 32;

fn argument_register(operation: &Operation<Reader<'_>>) -> Option<u16> {
    match operation {
        Operation::Register { register } if register.0 < OWN_OPERATION => Some(register.0),
        _ => None,
    }
}

/// Does what it gives depend on the machine's state, or on where things are put?
fn reads(operation: &Operation<Reader<'_>>) -> bool {
    matches!(
        operation,
        Operation::Register { .. }
            | Operation::RegisterOffset { .. }
            | Operation::FrameOffset { .. }
            | Operation::CallFrameCFA
            | Operation::EntryValue { .. }
            | Operation::Deref { .. }
            | Operation::Address { .. }
            | Operation::AddressIndex { .. }
            | Operation::ConstantIndex { .. }
            | Operation::ImplicitPointer { .. }
            | Operation::PushObjectAddress
            | Operation::TLS
            | Operation::Call { .. }
            | Operation::ParameterRef { .. }
            | Operation::VariableValue { .. }
    )
}

/// `None`: it cannot be read.
fn parse<'d>(mut expression: Reader<'d>, unit: &UnitFacts) -> Option<Vec<Operation<Reader<'d>>>> {
    let mut operations = Vec::new();
    while !gimli::Reader::is_empty(&expression) {
        operations.push(Operation::parse(&mut expression, unit.encoding).ok()?);
    }
    Some(operations)
}

/// The expressions of a location, one after the other.
struct Reading {
    wide: bool,
    first: bool,
    entry: Entry,
    pieces: Pieces,
}

impl Reading {
    fn new(wide: bool) -> Self {
        Reading {
            wide,
            first: true,
            entry: Entry::default(),
            pieces: Pieces::None,
        }
    }

    /// Is there sense in going on?
    fn add(&mut self, unit: &UnitFacts, expression: Reader<'_>) -> bool {
        let Some(operations) = parse(expression, unit) else {
            return false;
        };
        let is_piece = |o: &Operation<Reader<'_>>| matches!(o, Operation::Piece { .. });
        let in_pieces = operations.iter().any(is_piece);
        let (mut found, mut has_place, mut has_constant) = (None, false, false);
        let mut bit = 0;
        for (i, part) in operations.split_inclusive(is_piece).enumerate() {
            let (own, size) = match part {
                [own @ .., Operation::Piece { size_in_bits, .. }] => (own, *size_in_bits),
                whole => (whole, 0),
            };
            let place = Place::of(own, unit);
            if place.is_place() {
                has_place = true;
                self.pieces.add(in_pieces.then_some(bit / 8));
            }
            has_constant |= place == Place::Constant;
            if i == 0 || self.wide {
                found = found.or(self.register(place, i == 0, in_pieces));
            }
            bit = bit.saturating_add(size);
        }
        if self.first {
            self.entry.is_constant = has_constant && !has_place;
        }
        self.entry.register = self.entry.register.or(found);
        self.first = false;
        true
    }

    /// The register that a place of an expression tells of; `leads`: it is the first one.
    fn register(&self, place: Place, leads: bool, in_pieces: bool) -> Option<u16> {
        match place {
            Place::Register(register) => {
                let counts = self.wide && in_pieces || self.first && leads;
                counts.then_some(register)
            }
            Place::HeldAtEntry(register) => (!in_pieces).then_some(register),
            Place::Computed { from, plain } => {
                let counts = self.first && leads && (!self.wide || plain && !in_pieces);
                counts.then_some(from)
            }
            Place::Nowhere | Place::Constant | Place::Elsewhere => None,
        }
    }
}

/// The pieces that have a place in any expression.
enum Pieces {
    None,
    /// At this offset in bytes.
    One(u64),
    Several,
}

impl Pieces {
    /// A piece at this offset; `None`: the whole.
    fn add(&mut self, at: Option<u64>) {
        *self = match (&self, at) {
            (Pieces::None, Some(at)) => Pieces::One(at),
            (Pieces::One(known), Some(at)) if *known == at => return,
            _ => Pieces::Several,
        };
    }

    fn only(&self) -> Option<u64> {
        match self {
            Pieces::One(at) => Some(*at),
            Pieces::None | Pieces::Several => None,
        }
    }
}
