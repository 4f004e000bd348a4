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
/// A parameter without a register at entry, unused or at once put into the frame, is passed when
/// the next one stands behind it. Where a struct is says little when its members went separate
/// ways, but those after it tell. (Evidence: size, kind, location, and that of the next.)
pub fn what_arrives<'e>(
    params: &'e [Evidence],
    convention: &'e Convention,
) -> impl Iterator<Item = Arrival> + 'e {
    let mut slot = 0;
    params.iter().enumerate().map(move |(i, p)| {
        let own = slot;
        let passing = convention.passing(p.size);
        let count = match passing {
            Passing::Registers(count) => count,
            Passing::Reference => 1,
            Passing::Memory => 0,
        };
        let next = params.get(i + 1).and_then(|next| next.entry.register);
        let next_behind = |slots| stands_at(next, convention, own + slots);
        let in_register = matches!(passing, Passing::Registers(_)) && own < convention.count;
        let arrival = match p.entry {
            entry if entry.is_constant => Arrival::Not,
            _ if !p.has_location => match count > 0 && next_behind(count) {
                true => Arrival::Whole,
                false => Arrival::Not,
            },
            _ if !in_register => Arrival::Whole,
            entry if stands_at(entry.register, convention, own) => match entry.only_piece {
                Some(at) if p.is_struct && count == 2 && !next_behind(2) => Arrival::Part(at),
                _ => Arrival::Whole,
            },
            entry if entry.register.is_none() && next_behind(count) => Arrival::Whole,
            _ if p.is_struct => Arrival::Whole,
            _ => Arrival::Elsewhere,
        };
        slot += match arrival {
            Arrival::Whole | Arrival::Elsewhere => count,
            Arrival::Part(_) => 1,
            Arrival::Not => 0,
        };
        arrival
    })
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
