// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! What types are to each other: none contains itself, what is contained has a size, and members
//! lie where their types may.

use super::{fail, is_modifier, place, Rules, Types};
use crate::btf::{Kind, KIND_FLAG};
use crate::support::error::Result;
use crate::support::limits::{NESTED, RESOLVED};

/// Check all types in the order of their ids, as the kernel does: how deep it has to go depends on
/// what it has seen before.
pub(super) fn check(types: &Types<'_>, rules: Rules) -> Result<()> {
    let count = (types.last() + 1 - types.first) as usize;
    let mut resolver = Resolver {
        types,
        rules,
        states: vec![State::New; count],
        current: 0,
    };
    for id in types.first..=types.last() {
        let result = match types.kind(id) {
            Some(Kind::FuncProto) => resolver.check_prototype(id),
            _ => resolver.follow(id, Way::Any, 0),
        };
        result.map_err(|e| e.at(types.describe(resolver.current)))?;
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Open,
    Done,
}

/// What is followed. A circle of pointers alone means nothing, one of members and elements alone
/// has no size; circles of both are how C makes lists.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Any,
    Pointers,
    Members,
}

impl Way {
    fn leads_through(self, kind: Kind) -> bool {
        is_modifier(kind)
            || match kind {
                Kind::Ptr => self != Way::Members,
                Kind::Struct | Kind::Union | Kind::Array => self != Way::Pointers,
                Kind::Var | Kind::Datasec | Kind::DeclTag | Kind::Func => self == Way::Any,
                _ => false,
            }
    }
}

struct Resolver<'t> {
    types: &'t Types<'t>,
    rules: Rules,
    states: Vec<State>,
    /// The type in hand, for messages.
    current: u32,
}

impl<'t> Resolver<'t> {
    fn state(&mut self, id: u32) -> Option<&mut State> {
        self.states
            .get_mut(id.checked_sub(self.types.first)? as usize)
    }

    /// Resolve a type, unless it is the base's, was resolved before, or ends the way.
    fn follow(&mut self, id: u32, way: Way, depth: usize) -> Result<()> {
        let types = self.types;
        let (Some(w), Some(kind)) = (types.get(id), types.kind(id)) else {
            return Ok(());
        };
        if !way.leads_through(kind) {
            return Ok(());
        }
        let limit = match self.rules {
            Rules::Kernel => NESTED,
            Rules::Load => RESOLVED,
        };
        match self.state(id) {
            None | Some(State::Done) => return Ok(()),
            Some(_) if depth == limit => return fail(format!("more than {limit} types deep")),
            Some(State::Open) => return fail("contains itself, or points to itself only"),
            Some(state) => *state = State::Open,
        }
        let before = std::mem::replace(&mut self.current, id);
        let way = match (way, kind) {
            (Way::Any, Kind::Ptr) => Way::Pointers,
            (Way::Any, Kind::Struct | Kind::Union | Kind::Array) => Way::Members,
            _ => way,
        };
        let depth = depth + 1;
        match kind {
            Kind::Ptr | Kind::Var => {
                self.follow(w[2], way, depth)?;
                // A typedef that was met among members is resolved up to a pointer, not beyond.
                let end = types.stripped(w[2]);
                if types.kind(end) == Some(Kind::Ptr) {
                    self.follow(end, way, depth)?;
                }
                if kind == Kind::Var && types.size(w[2]).is_none() {
                    return fail("a variable has no size");
                }
            }
            Kind::Array => {
                self.follow(w[4], way, depth)?;
                self.follow(w[3], way, depth)?;
                self.check_array(w)?;
            }
            Kind::Struct | Kind::Union => {
                for m in w[3..].chunks_exact(3) {
                    self.follow(m[1], way, depth)?;
                    self.check_member(w, m)?;
                }
            }
            Kind::Datasec => {
                for v in w[3..].chunks_exact(3) {
                    self.follow(v[0], Way::Any, depth)?;
                    self.check_entry(v)?;
                }
            }
            Kind::Func => {}
            _ => self.follow(w[2], way, depth)?,
        }
        if let Some(state) = self.state(id) {
            *state = State::Done;
        }
        self.current = before;
        Ok(())
    }

    fn check_prototype(&mut self, id: u32) -> Result<()> {
        let types = self.types;
        let w = types.get(id).unwrap_or(&[0; 3]);
        let passed = w[3..].chunks_exact(2).map(|p| p[1]);
        for passed in std::iter::once(w[2]).chain(passed).filter(|&t| t != 0) {
            self.follow(passed, Way::Any, 0)?;
            self.current = id;
            if self.rules == Rules::Load && types.size(passed).is_none() {
                return fail("a parameter or the result has no size");
            }
        }
        Ok(())
    }

    /// An INT whose value is whole bytes, and nothing around it.
    fn is_regular(&self, id: u32) -> bool {
        let data = self.types.get(id).map_or(0, |w| w[3]);
        data >> 16 & 0xff == 0 && matches!(data & 0xff, 8 | 16 | 32 | 64 | 128)
    }

    fn check_array(&self, w: &[u32]) -> Result<()> {
        let types = self.types;
        if self.rules == Rules::Load {
            let index = types.stripped(w[4]);
            if types.kind(index) != Some(Kind::Int) || !self.is_regular(index) {
                return fail("its index is no integer of whole bytes");
            }
            let element = types.stripped(w[3]);
            if types.kind(element) == Some(Kind::Int) && !self.is_regular(element) {
                return fail("its elements are integers that are not whole bytes");
            }
        }
        match types.size(w[3]) {
            None => fail("elements have no size"),
            Some(size) if size.saturating_mul(u64::from(w[5])) > u64::from(u32::MAX) => {
                fail(format!(
                    "an array of {} elements of {size} bytes is larger than 4 GiB",
                    w[5]
                ))
            }
            _ => Ok(()),
        }
    }

    fn check_entry(&self, v: &[u32]) -> Result<()> {
        let variable = self.types.get(v[0]).map_or(0, |w| w[2]);
        let size = self.types.size(variable).unwrap_or(0);
        if self.rules == Rules::Load && u64::from(v[2]) < size {
            return fail(format!(
                "{} bytes for a variable whose type has {size}",
                v[2]
            ));
        }
        Ok(())
    }

    /// Where a member may lie, by its type: integers and enumerations at any bit, if the bit-field
    /// fits them; all others at whole bytes, floating point aligned.
    fn check_member(&self, aggregate: &[u32], member: &[u32]) -> Result<()> {
        let types = self.types;
        let flagged = aggregate[1] & KIND_FLAG != 0;
        let (offset, bits) = place(aggregate[1], member[2]);
        let Some(size) = types.size(member[1]) else {
            return fail("a member has no size");
        };
        let id = types.stripped(member[1]);
        let load = self.rules == Rules::Load;
        let whole = size.saturating_mul(8);
        let (mut start, mut width) = (u64::from(offset), whole);
        let mut widest = 0;
        match types.kind(id) {
            Some(Kind::Int) => {
                let data = types.get(id).map_or(0, |w| w[3]);
                if load && flagged && !self.is_regular(id) {
                    return fail("its integer is not whole bytes");
                }
                if !flagged {
                    start += u64::from(data >> 16 & 0xff);
                }
                width = u64::from(data & 0xff);
                widest = width;
            }
            // The kernel takes all for as large as an int when bit-fields are near.
            Some(Kind::Enum | Kind::Enum64) if flagged && load => {
                width = 32;
                widest = width;
            }
            Some(Kind::Enum | Kind::Enum64) => widest = whole,
            Some(Kind::Float) if load => {
                let alignment = size.min(types.pointer_size) * 8;
                if !start.is_multiple_of(alignment) {
                    return fail(format!(
                        "a floating point member at bit {offset}, not aligned"
                    ));
                }
            }
            _ => {}
        }
        let is_int = types.kind(id) == Some(Kind::Int);
        if u64::from(bits) > widest {
            return fail(format!(
                "a bit-field of {bits} bits in a type of {size} bytes that allows {widest}"
            ));
        }
        if bits != 0 {
            width = u64::from(bits);
        } else if !offset.is_multiple_of(8) && (flagged || !is_int) {
            return fail(format!("a member at bit {offset}"));
        }
        if load && is_int && width + start % 8 > 128 {
            return fail("a bit-field over more than 16 bytes");
        }
        if start.saturating_add(width).div_ceil(8) > u64::from(aggregate[2]) {
            return fail(format!("a member at bit {offset} lies behind the end"));
        }
        Ok(())
    }
}
