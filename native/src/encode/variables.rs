// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Variable candidates: definitions directly below a unit that have an address.

use gimli::constants as dw;
use object::elf;

use super::records::{Address, Raw, UnitFacts};
use super::SymbolIndex;
use crate::dwarf::Value;
use crate::elf::Target;

/// The address that a location is, if it is one: `DW_OP_addr` or its indexed forms, perhaps with
/// a constant added. Anything else (registers, thread-local, lists) is no variable of the image.
pub fn address(raw: &Raw<'_>, unit: &UnitFacts, location: Value) -> Option<Address> {
    if !location.is_block() || location.len == 0 {
        return None;
    }
    let dwarf = raw.source.dwarf;
    let start = usize::try_from(location.bits).ok()?;
    let end = start + location.len as usize;
    let mut at = crate::dwarf::cursor::Cursor::new(&dwarf.info.data, start, dwarf.big()).until(end);
    let first = gimli::DwOp(at.u8().ok()?);
    let mut address = match first {
        dw::DW_OP_addr => {
            let place = at.pos as u64;
            Address {
                value: at.uint(u32::from(unit.shape.address_size)).ok()?,
                target: dwarf.info.target(place),
            }
        }
        dw::DW_OP_addrx | dw::DW_OP_GNU_addr_index => raw.indexed_address(unit, at.uleb().ok()?)?,
        _ => return None,
    };
    if !at.at_end() {
        if gimli::DwOp(at.u8().ok()?) != dw::DW_OP_plus_uconst {
            return None;
        }
        let constant = at.uleb().ok()?;
        address.value = address.value.wrapping_add(constant);
        if let Some(target) = &mut address.target {
            target.offset = target.offset.wrapping_add(constant);
        }
    }
    Some(address)
}

/// The symbol that a variable named `name` stands at, and its offset to it. Assemblers refer to a
/// local variable through its section, to a global one through its own symbol.
pub fn symbol(index: &SymbolIndex<'_>, target: Target, name: &[u8]) -> Option<(u32, u64)> {
    let own = target.symbol.checked_sub(1)?;
    let symbol = index.symbols.get(own as usize)?;
    if symbol.kind != elf::STT_SECTION.0
        && !symbol.name.is_empty()
        && !symbol.name.starts_with(b".L")
    {
        return Some((own, target.offset.wrapping_sub(symbol.value)));
    }
    Some((index.object_at(target, name)?, 0))
}
