// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! What split BTF tells of its base. It does not name the base, and counts ids and strings on where
//! that one ends; read against another base most of it still passes the kernel's rules, and then
//! means other types. So this looks for what only the right base makes whole.

use super::{fail, place, Types};
use crate::btf::{for_each_field, Field, Kind, KIND_FLAG};
use crate::support::error::Result;

/// Size of the strings of the base that it was made against: the highest name is the last string of
/// its own, since encoders write no string that nothing names. `None` where that does not explain
/// all names.
pub(super) fn base_strings(types: &Types<'_>) -> Option<u32> {
    let own = types.own.strings;
    let last = own.strip_suffix(b"\0")?;
    let last = last.iter().rposition(|&b| b == 0).map_or(0, |end| end + 1) as u32;
    let mut names = Vec::new();
    for id in types.first..=types.last() {
        for_each_name(types, id, |offset| names.push(offset));
    }
    let base = names.iter().max()?.checked_sub(last)?;
    let starts = |&&offset: &&u32| starts_at(own, (offset - base) as usize);
    let mut of_its_own = names.iter().filter(|&&offset| offset >= base);
    of_its_own.all(|offset| starts(&offset)).then_some(base)
}

/// Each name is a whole string, and members lie one behind the other.
pub(super) fn check(types: &Types<'_>) -> Result<()> {
    let strings = types.base.map_or(&[][..], |base| base.strings);
    for id in types.first..=types.last() {
        let mut torn = None;
        for_each_name(types, id, |offset| {
            let whole = match (offset as usize).checked_sub(strings.len()) {
                Some(own) => starts_at(types.own.strings, own),
                None => starts_at(strings, offset as usize),
            };
            if !whole {
                torn = Some(offset);
            }
        });
        let result = match torn {
            Some(offset) => {
                let name = types.text(offset).unwrap_or(b"").escape_ascii();
                fail(format!("the name {name} starts inside another string"))
            }
            None => check_members(types, id),
        };
        result.map_err(|e| e.at(types.describe(id)))?;
    }
    Ok(())
}

fn starts_at(strings: &[u8], at: usize) -> bool {
    at == 0 || strings.get(at - 1) == Some(&0)
}

fn for_each_name(types: &Types<'_>, id: u32, mut visit: impl FnMut(u32)) {
    if let (Some(words), Some(kind)) = (types.get(id), types.kind(id)) {
        for_each_field(kind, words, |i, field| {
            if field == Field::Name && words[i] != 0 {
                visit(words[i]);
            }
        });
    }
}

fn check_members(types: &Types<'_>, id: u32) -> Result<()> {
    let Some(words) = types
        .get(id)
        .filter(|_| types.kind(id) == Some(Kind::Struct))
    else {
        return Ok(());
    };
    let mut end = 0;
    for member in words[3..].chunks_exact(3) {
        let (offset, bits) = place(words[1], member[2]);
        let (start, width) = match bits {
            0 => place_of_whole(types, member[1], words[1] & KIND_FLAG != 0),
            bits => (0, u64::from(bits)),
        };
        let start = start + u64::from(offset);
        if start < end {
            let name = types.text(member[0]).unwrap_or(b"").escape_ascii();
            return fail(format!("member {name} lies inside the one before it"));
        }
        end = start + width;
    }
    Ok(())
}

/// Bits that a member takes that is not a bit-field by `kind_flag`. Old encoders say by the integer
/// which of its bits are meant.
fn place_of_whole(types: &Types<'_>, id: u32, flagged: bool) -> (u64, u64) {
    let integer = types.get(types.stripped(id)).filter(|_| !flagged);
    match integer.map(|w| (Kind::from_info(w[1]), w)) {
        Some((Some(Kind::Int), w)) if w[3] & 0xff != w[2] * 8 => {
            (u64::from(w[3] >> 16 & 0xff), u64::from(w[3] & 0xff))
        }
        _ => (0, types.size(id).unwrap_or(0).saturating_mul(8)),
    }
}
