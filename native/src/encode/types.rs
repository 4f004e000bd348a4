// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Questions about raw types: what a reference means, how large a type is, how a struct is laid out.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;

use gimli::constants as dw;

use super::records::{end_of_storage, DieIndex, Member, Raw, Type};
use super::strings::Strings;
use crate::btf::Kind;
use crate::support::limits::IN_A_ROW;

/// The types of an object by DIE, for questions about layout.
pub struct Types<'r> {
    raw: &'r Raw<'r>,
    pub index: DieIndex,
    /// Alignment of the aggregates that were asked for: structs within structs are met often.
    alignments: RefCell<HashMap<u32, u64>>,
}

impl<'r> Types<'r> {
    pub fn new(raw: &'r Raw<'r>) -> Self {
        Types {
            raw,
            index: DieIndex::new(raw.types.iter().map(|t| t.die)),
            alignments: RefCell::default(),
        }
    }

    /// The record that a reference means; `None` for void and for DIEs that are no type.
    pub fn find(&self, reference: u32) -> Option<usize> {
        let mut reference = reference;
        for _ in 0..IN_A_ROW {
            if reference == 0 {
                return None;
            }
            let i = self.index.find(reference)? as usize;
            match self.raw.types[i].kind {
                Some(_) => return Some(i),
                None => reference = self.raw.types[i].reference,
            }
        }
        None
    }

    pub fn get(&self, reference: u32) -> Option<&Type> {
        self.find(reference).map(|i| &self.raw.types[i])
    }

    fn strip(&self, reference: u32, through: impl Fn(Option<Kind>) -> bool) -> Option<&Type> {
        let mut at = self.get(reference)?;
        for _ in 0..IN_A_ROW {
            if !through(at.kind) {
                return Some(at);
            }
            at = self.get(at.reference)?;
        }
        None
    }

    /// A struct, perhaps behind a typedef or const: passed by value.
    pub fn is_struct(&self, reference: u32) -> bool {
        self.strip(reference, strips_to_struct)
            .is_some_and(|t| t.kind == Some(Kind::Struct))
    }

    /// Name and type of the member of a struct, perhaps behind a typedef or const, at an offset in
    /// bytes; `None` for a member without a name.
    pub fn member_at(&self, strings: &Strings, reference: u32, offset: u64) -> Option<(u32, u32)> {
        let t = self.strip(reference, strips_to_struct)?;
        let named = |m: &Member| !strings.get(m.name).is_empty();
        let found = |m: &&Member| named(m) && u64::from(self.bit_offset(m)) == offset * 8;
        let member = self.members(t).iter().find(found)?;
        Some((member.name, member.reference))
    }

    /// Kind of a parameter's type behind typedefs and qualifiers, and its size: of a pointer the
    /// word, of nothing 0.
    pub fn parameter_shape(&self, reference: u32, word: u8) -> (u64, Option<Kind>) {
        let through = |k| {
            matches!(
                k,
                Some(Kind::Typedef | Kind::Const | Kind::Volatile | Kind::Restrict)
            )
        };
        match self.strip(reference, through) {
            Some(t) if t.kind == Some(Kind::Ptr) => (u64::from(word), t.kind),
            Some(t) => (u64::from(t.size), t.kind),
            None => (0, None),
        }
    }

    /// Is it a signed integer, behind typedefs and qualifiers?
    pub fn is_signed(&self, reference: u32) -> bool {
        let through = |k| {
            matches!(
                k,
                Some(Kind::Typedef | Kind::Const | Kind::Volatile | Kind::Restrict)
            )
        };
        let found = self.strip(reference, through);
        let signed = [dw::DW_ATE_signed, dw::DW_ATE_signed_char].map(|e| u32::from(e.0));
        found.is_some_and(|t| t.kind == Some(Kind::Int) && signed.contains(&t.extra))
    }

    /// Size of a whole object of this type; arrays count their elements.
    pub fn size(&self, reference: u32, word: u8) -> u64 {
        let mut count = 1u64;
        let mut at = reference;
        for _ in 0..IN_A_ROW {
            let Some(t) = self.get(at) else { return 0 };
            match t.kind {
                Some(Kind::Ptr) => return count.saturating_mul(u64::from(word)),
                Some(Kind::Array) => {
                    count = count.saturating_mul(u64::from(t.extra));
                    at = t.reference;
                }
                Some(Kind::Typedef | Kind::Const | Kind::Volatile | Kind::Restrict) => {
                    at = t.reference
                }
                Some(Kind::FuncProto | Kind::Fwd) => return 0,
                _ => return count.saturating_mul(u64::from(t.size)),
            }
        }
        0
    }

    /// What the natural place of a type is a multiple of: of a basic type or pointer its size, of an
    /// array that of its elements, of a struct or union the largest of its members. (Some psABIs ask
    /// less of the largest basic types. A struct with one is then called packed without need.)
    fn natural_alignment(&self, reference: u32, depth: usize) -> u64 {
        let through = |k| {
            matches!(
                k,
                Some(Kind::Typedef | Kind::Const | Kind::Volatile | Kind::Restrict | Kind::Array)
            )
        };
        let Some(t) = self.strip(reference, through) else {
            return 1;
        };
        match t.kind {
            Some(Kind::Ptr) => u64::from(self.raw.source.target.address_size),
            Some(Kind::Struct | Kind::Union) => self.alignment_of_members(t, depth),
            Some(Kind::Int | Kind::Float | Kind::Enum) => u64::from(t.size).max(1),
            _ => 1,
        }
    }

    /// Structs within structs are met often, so it is remembered. One that would contain itself,
    /// or lies too deep, counts as bytes.
    fn alignment_of_members(&self, t: &Type, depth: usize) -> u64 {
        if depth == IN_A_ROW {
            return 1;
        }
        if let Some(&known) = self.alignments.borrow().get(&t.die) {
            return known;
        }
        let of_members = self.members(t).iter();
        let largest = of_members
            .map(|m| self.natural_alignment(m.reference, depth + 1))
            .fold(1, u64::max);
        self.alignments.borrow_mut().insert(t.die, largest);
        largest
    }

    pub fn members(&self, t: &Type) -> &[Member] {
        &self.raw.members[t.start as usize..(t.start + t.len) as usize]
    }

    /// Is this a struct with a name, and packed? DWARF does not say so, the layout does: it is not the
    /// natural one, and it is the one without holes. A struct with holes that is not natural had its
    /// members placed by hand.
    pub fn is_packed_struct(&self, reference: u32) -> bool {
        let is_struct = |t: &&Type| t.kind == Some(Kind::Struct) && t.name != 0;
        let t = self.get(reference).filter(is_struct);
        t.is_some_and(|t| !self.is_natural(t) && self.is_without_holes(t))
    }

    /// Each member stands at a multiple of its alignment, and the whole can follow itself. A
    /// bit-field may stand anywhere; for the whole its declared type counts.
    fn is_natural(&self, t: &Type) -> bool {
        let stands_well = |m: &Member| {
            let alignment = self.natural_alignment(m.reference, 0);
            m.bit_size != 0 || u64::from(self.bit_offset(m)).is_multiple_of(8 * alignment)
        };
        let whole = self.alignment_of_members(t, 0);
        u64::from(t.size).is_multiple_of(whole) && self.members(t).iter().all(stands_well)
    }

    /// Each member's storage reaches to that of the next, the last one's to the end. Of bit-fields in
    /// a row, which may share storage, it is the furthest that counts.
    fn is_without_holes(&self, t: &Type) -> bool {
        let (mut end, mut in_row) = (0, false);
        let follows = |m: &Member| {
            let storage = self.storage(m);
            let follows = storage.start <= end;
            let shares = in_row && m.bit_size != 0;
            end = if shares {
                end.max(storage.end)
            } else {
                storage.end
            };
            in_row = m.bit_size != 0;
            follows
        };
        self.members(t).iter().all(follows) && u64::from(t.size) <= end
    }

    /// The bytes of a member; of a bit-field, the units of its declared type in which it has bits.
    fn storage(&self, m: &Member) -> Range<u64> {
        let size = self.size(m.reference, self.raw.source.target.address_size as u8);
        let bit = u64::from(self.bit_offset(m));
        if m.bit_size == 0 {
            return bit / 8..(bit / 8).saturating_add(size);
        }
        let unit = size.saturating_mul(8).max(8);
        let last = (bit + u64::from(m.bit_size)).div_ceil(unit);
        bit / unit * unit / 8..last.saturating_mul(unit) / 8
    }

    pub fn bit_offset(&self, member: &Member) -> u32 {
        member
            .place()
            .unwrap_or_else(|| self.offset_by_type(member))
    }

    #[inline(never)]
    fn offset_by_type(&self, member: &Member) -> u32 {
        let all = &self.raw.unplaced;
        let Ok(i) = all.binary_search_by_key(&member.die, |u| u.die) else {
            return 0;
        };
        let word = self.raw.source.target.address_size as u8;
        let storage = self.size(member.reference, word);
        let bit = end_of_storage(all[i].byte, storage)
            .wrapping_sub(all[i].offset as u64)
            .wrapping_sub(u64::from(member.bit_size));
        u32::try_from(bit).unwrap_or(u32::MAX)
    }
}

/// Kinds that a by-value struct parameter may hide behind.
pub fn strips_to_struct(kind: Option<Kind>) -> bool {
    matches!(kind, None | Some(Kind::Const | Kind::Typedef))
}
