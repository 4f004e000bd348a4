// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Questions about raw types: what a reference means, how large a type is, how a struct is laid out.

use std::cell::RefCell;
use std::collections::HashMap;

use super::records::{end_of_storage, DieIndex, Member, Raw, Type};
use super::strings::Strings;
use crate::btf::Kind;

/// The types of an object by DIE, for questions about layout.
pub struct Types<'r> {
    raw: &'r Raw<'r>,
    pub index: DieIndex,
    /// Alignment of the aggregates that were asked for: structs within structs are met often.
    alignments: RefCell<HashMap<u32, u64>>,
}

/// How many typedefs, qualifiers and arrays may stand before a type.
pub const CHAIN: usize = 64;

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
        for _ in 0..CHAIN {
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
        for _ in 0..CHAIN {
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

    /// Size of a whole object of this type; arrays count their elements.
    pub fn size(&self, reference: u32, word: u8) -> u64 {
        let mut count = 1u64;
        let mut at = reference;
        for _ in 0..CHAIN {
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

    fn alignment(&self, reference: u32, depth: usize) -> u64 {
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
            Some(Kind::Struct | Kind::Union) if depth < CHAIN => {
                if let Some(&known) = self.alignments.borrow().get(&t.die) {
                    return known;
                }
                let widest = self
                    .members(t)
                    .iter()
                    .map(|m| self.alignment(m.reference, depth + 1))
                    .max()
                    .unwrap_or(1);
                self.alignments.borrow_mut().insert(t.die, widest);
                widest
            }
            Some(Kind::Int | Kind::Float | Kind::Enum) => u64::from(t.size).max(1),
            _ => 1,
        }
    }

    pub fn members(&self, t: &Type) -> &[Member] {
        &self.raw.members[t.start as usize..(t.start + t.len) as usize]
    }

    /// Is a named struct packed, as far as its layout shows: no holes and no padding, and a
    /// member or the whole size that its alignment does not divide.
    pub fn is_packed_struct(&self, reference: u32) -> bool {
        let Some(t) = self.get(reference) else {
            return false;
        };
        if t.kind != Some(Kind::Struct) || t.name == 0 {
            return false;
        }
        let word = self.raw.source.target.address_size as u8;
        let mut end = 0;
        let mut widest = 1;
        let mut misaligned = false;
        for m in self.members(t) {
            let bit = u64::from(self.bit_offset(m));
            let bits = match m.bit_size {
                0 => self.size(m.reference, word).saturating_mul(8),
                bits => u64::from(bits),
            };
            if bit > end {
                return false;
            }
            end = end.max(bit.saturating_add(bits));
            let alignment = self.alignment(m.reference, 0);
            widest = widest.max(alignment);
            misaligned |= m.bit_size == 0 && !(bit / 8).is_multiple_of(alignment);
        }
        let size = u64::from(t.size);
        end == size * 8 && (misaligned || size % widest != 0)
    }

    /// Offset of a member in bits. Before DWARF 5 a bit-field counts from the most significant
    /// end of its storage unit (DWARF 4, section 5.5.6), which lies last on little endian.
    #[inline]
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
