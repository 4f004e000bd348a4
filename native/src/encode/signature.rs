// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Does a function take its parameters as its source says, and if not, which does it take?
//!
//! The psABI hands the argument registers out one after the other; DWARF says where a parameter is
//! when the function is entered. Each rule here walks the parameters with both and notes where
//! they part. Which rule holds depends on the compiler:
//!
//! | | prototype as written | as passed |
//! |---|---|---|
//! | gcc | `in_order` | the same |
//! | clang | `in_place`: it keeps the convention | the same |
//! | clang, signature changed (`DW_CC_nocall`) | `in_order` | `what_arrives` |

use super::convention::{Convention, Passing};
use super::location::Entry;

/// What is known of a parameter: of its type, and of its own DIE, or for an abstract one of those
/// that are its instances.
#[derive(Clone, Copy, Default)]
pub struct Evidence {
    /// Size of its type in bytes; 0 when it states none.
    pub size: u64,
    /// It is a struct, perhaps behind typedefs and const.
    pub is_struct: bool,
    pub has_location: bool,
    pub has_const_value: bool,
    pub entry: Entry,
}

/// A parameter against the prototype as written.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum Finding {
    /// Nothing speaks against it.
    #[default]
    AsWritten,
    /// It does not arrive: the compiler removed it or knows its value.
    Lost,
    /// It arrives elsewhere than the convention says.
    Moved,
}

/// A parameter in the prototype as passed.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum Arrival {
    #[default]
    Whole,
    /// Of a struct in two registers only the one with the member at this byte.
    Part(u64),
    /// Not at all.
    Not,
    /// Somewhere that these rules do not explain.
    Elsewhere,
}

/// gcc, and clang where it changed the signature: each parameter in the register of its slot. One
/// with a place that is no register was optimised, and so was one whose value gcc states instead
/// of a place. (Evidence: size, location, `DW_AT_const_value`.)
pub fn in_order<'e>(
    params: &'e [Evidence],
    convention: &'e Convention,
    clang: bool,
) -> impl Iterator<Item = Finding> + 'e {
    let mut slot = 0;
    params.iter().map(move |p| {
        let own = slot;
        slot += match convention.passing(p.size) {
            Passing::Registers(count) => count,
            Passing::Reference | Passing::Memory => 1,
        };
        if !p.has_location {
            return if p.has_const_value && !clang {
                Finding::Lost
            } else {
                Finding::AsWritten
            };
        }
        if own >= convention.count {
            return Finding::AsWritten;
        }
        match (p.entry.register, convention.register(own)) {
            (None, _) => Finding::Lost,
            (Some(is), Some(should)) if is != should => Finding::Moved,
            _ => Finding::AsWritten,
        }
    })
}

/// clang keeps the convention unless it says otherwise: a parameter without a place is just
/// unused, and one in some register must be in one of its own. What goes through memory says
/// nothing. (Evidence: size, location.)
pub fn in_place<'e>(
    params: &'e [Evidence],
    convention: &'e Convention,
) -> impl Iterator<Item = Finding> + 'e {
    let mut slot = 0;
    params.iter().map(move |p| {
        let Passing::Registers(count) = convention.passing(p.size) else {
            return Finding::AsWritten;
        };
        let own = convention.registers(slot, count);
        slot += count;
        match p.entry.register {
            Some(is) if !own.is_empty() && !own.contains(&is) => Finding::Moved,
            _ => Finding::AsWritten,
        }
    })
}

/// What arrives in a function whose signature clang changed: it removes parameters that nothing
/// reads, and of a struct in two registers the half that nothing reads; those after them move up.
/// Where a struct is says little when its members went separate ways, but those after it tell.
/// (Evidence: size, location, and that of the next parameter.)
pub fn what_arrives<'e>(
    params: &'e [Evidence],
    convention: &'e Convention,
) -> impl Iterator<Item = Arrival> + 'e {
    let mut slot = 0;
    params.iter().enumerate().map(move |(i, p)| {
        let next = params.get(i + 1).and_then(|next| next.entry.register);
        let passing = convention.passing(p.size);
        let count = match passing {
            Passing::Registers(count) => count,
            Passing::Reference => 1,
            Passing::Memory => 0,
        };
        let (arrival, taken) = if p.entry.is_constant {
            (Arrival::Not, 0)
        } else if !p.has_location {
            match count > 0 && stands_at(next, convention, slot + count) {
                true => (Arrival::Whole, count),
                false => (Arrival::Not, 0),
            }
        } else if !matches!(passing, Passing::Registers(_)) || slot >= convention.count {
            (Arrival::Whole, count)
        } else if stands_at(p.entry.register, convention, slot) {
            match p.entry.only_piece {
                Some(at) if p.is_struct && count == 2 => half(at, next, convention, slot),
                _ => (Arrival::Whole, count),
            }
        } else if p.is_struct {
            (Arrival::Whole, count)
        } else {
            (Arrival::Elsewhere, count)
        };
        slot += taken;
        arrival
    })
}

/// Only one half of a struct has a place. The other is passed all the same when the next parameter
/// stands behind both.
fn half(at: u64, next: Option<u16>, convention: &Convention, slot: usize) -> (Arrival, usize) {
    if stands_at(next, convention, slot + 2) {
        (Arrival::Whole, 2)
    } else {
        (Arrival::Part(at), 1)
    }
}

/// Is this the register of the slot?
fn stands_at(register: Option<u16>, convention: &Convention, slot: usize) -> bool {
    register.is_some() && register == convention.register(slot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::elf;

    /// rdi, rsi, rdx
    const REGISTERS: [u16; 3] = [5, 4, 1];

    fn x86_64() -> Convention {
        Convention::of(u32::from(elf::EM_X86_64.0), 8)
    }

    fn number(register: Option<u16>) -> Evidence {
        Evidence {
            size: 4,
            has_location: register.is_some(),
            entry: Entry {
                register,
                ..Entry::default()
            },
            ..Evidence::default()
        }
    }

    fn arrivals(registers: &[Option<usize>]) -> Vec<Arrival> {
        let params: Vec<Evidence> = registers
            .iter()
            .map(|r| number(r.map(|r| REGISTERS[r])))
            .collect();
        what_arrives(&params, &x86_64()).collect()
    }

    #[test]
    fn the_next_parameter_tells_whether_an_unused_one_is_passed() {
        use Arrival::{Elsewhere, Not, Whole};
        assert_eq!(arrivals(&[None, Some(0)]), [Not, Whole]);
        assert_eq!(arrivals(&[None, Some(1)]), [Whole, Whole]);
        assert_eq!(
            arrivals(&[Some(0), None, None, Some(2)]),
            [Whole, Not, Whole, Whole]
        );
        assert_eq!(arrivals(&[None, None, Some(2)]), [Not, Not, Elsewhere]);
        assert_eq!(arrivals(&[Some(0), None]), [Whole, Not]);
    }

    #[test]
    fn half_a_struct_moves_the_rest_up() {
        let mut pair = number(Some(REGISTERS[0]));
        (pair.size, pair.is_struct) = (16, true);
        pair.entry.only_piece = Some(8);
        let passed = |next: usize| -> Vec<Arrival> {
            what_arrives(&[pair, number(Some(REGISTERS[next]))], &x86_64()).collect()
        };
        assert_eq!(passed(1), [Arrival::Part(8), Arrival::Whole]);
        assert_eq!(passed(2), [Arrival::Whole, Arrival::Whole]);
    }

    #[test]
    fn a_value_that_is_known_takes_no_register() {
        let mut known = number(None);
        (known.has_location, known.entry.is_constant) = (true, true);
        let second = number(Some(REGISTERS[0]));
        let arrived: Vec<_> = what_arrives(&[known, second], &x86_64()).collect();
        assert_eq!(arrived, [Arrival::Not, Arrival::Whole]);
    }
}
