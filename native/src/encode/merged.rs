// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Functions that gcc merged with equal ones (`-fipa-icf`): the symbol is there, as another name of the
//! other's code or as a jump to it, but for the DWARF such a function has no code. It stands at the
//! symbol of its name if that lies in the code of its own unit; else another unit's is the definition
//! that was linked.

use std::collections::HashSet;
use std::ops::ControlFlow;

use super::functions::Judgement;
use super::ranges::{self, Part};
use super::records::{Address, Raw, UnitFacts};
use super::Source;
use crate::dwarf::Value;
use crate::elf::Target;
use crate::object::function_flags as flag;
use crate::support::hash::Fast;
use gimli::constants as dw;

/// Section (0 in a linked file), first address and the one behind.
type Extent = (u32, u64, u64);

/// Which functions may have been merged, by their index: defined for other objects, and neither they nor
/// an instance of them has code.
pub fn candidates(raw: &Raw<'_>, judgement: &Judgement) -> Vec<u32> {
    let defined = |f: usize| {
        let (function, judged) = (&raw.functions[f], &judgement.functions[f]);
        function.external
            && !function.declared_inline
            && judged.candidate
            && judged.flags & flag::HAS_CODE == 0
    };
    let mut found: Vec<u32> = (0..raw.functions.len())
        .filter(|&f| defined(f))
        .map(|f| f as u32)
        .collect();
    if found.is_empty() {
        return found;
    }
    let instances = raw.functions.iter().zip(&judgement.functions);
    let with_code =
        instances.filter(|(f, judged)| f.origin != 0 && judged.flags & flag::HAS_CODE != 0);
    let origins: HashSet<u32, Fast> = with_code.map(|(f, _)| f.origin).collect();
    found.retain(|&f| !origins.contains(&raw.functions[f as usize].die));
    found
}

/// The code of one unit, ascending.
pub struct UnitCode(Vec<Extent>);

impl UnitCode {
    pub fn of(raw: &Raw<'_>, unit: &UnitFacts) -> UnitCode {
        let mut parts = Vec::new();
        let mut add = |part: Part| {
            let (section, start) = place(&part.begin);
            parts.push((section, start, start.saturating_add(part.len)));
            ControlFlow::Continue(())
        };
        match (unit.code.low, unit.code.high, unit.code.ranges) {
            (_, _, Some(list)) => _ = ranges::each_of_unit(raw, unit, list, add),
            (Some(begin), Some(high), _) => {
                if let Some(len) = length(raw, unit, begin, high) {
                    _ = add(Part { begin, len });
                }
            }
            _ => {}
        }
        parts.sort_unstable();
        UnitCode(parts)
    }

    /// Where a function of this name stands, if the file has its symbol and the code there is the unit's.
    pub fn symbol(&self, source: &Source<'_>, name: &[u8]) -> Option<Address> {
        let relocatable = source.elf.is_relocatable();
        let symbol = source.elf.global_function(source.globals(), name)?;
        let section = if relocatable { symbol.section } else { 0 };
        let (begin, end) = (
            symbol.value,
            symbol.value.saturating_add(symbol.size.max(1)),
        );
        let before = self
            .0
            .partition_point(|&(s, start, _)| (s, start) < (section, end));
        let &(within, _, last) = self.0.get(before.checked_sub(1)?)?;
        let at = Target {
            symbol: 0,
            section,
            offset: begin,
        };
        (within == section && last > begin).then_some(Address {
            value: begin,
            target: relocatable.then_some(at),
        })
    }
}

fn place(at: &Address) -> (u32, u64) {
    at.target
        .map_or((0, at.value), |target| (target.section, target.offset))
}

/// Since DWARF 4 a constant is the length (section 2.17.2).
fn length(raw: &Raw<'_>, unit: &UnitFacts, begin: Address, high: Value) -> Option<u64> {
    match high.form() {
        _ if high.is_constant() => Some(high.bits),
        dw::DW_FORM_addr | dw::DW_FORM_addrx => Some(begin.to(&raw.address(unit, high)?)),
        _ => None,
    }
}
