// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! How parameters are passed, by the psABI documents: the argument registers of each machine, and
//! what a value takes of them.

use object::elf;

/// How a value of some size is passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Passing {
    /// In this many consecutive argument registers.
    Registers(usize),
    /// By a pointer to a copy, in one argument register.
    Reference,
    /// On the stack.
    Memory,
}

/// The part of a calling convention that integers, pointers and small structs go by.
pub struct Convention {
    /// How many argument registers there are.
    pub count: usize,
    /// Their DWARF numbers in order; empty where they are not known here.
    registers: &'static [u16],
    /// Bytes of a register.
    word: u64,
    /// A value of so many words takes as many registers; a larger one goes by memory.
    words: u64,
    /// What is larger is copied, and the copy's address takes a register.
    by_reference: bool,
}

impl Convention {
    pub fn of(machine: u32, address_size: u8) -> Convention {
        let machine = elf::Machine(machine as u16);
        let (count, registers): (usize, &[u16]) = match machine {
            elf::EM_X86_64 => (6, &[5, 4, 1, 2, 8, 9]),
            elf::EM_AARCH64 | elf::EM_ARM => (8, &[0, 1, 2, 3, 4, 5, 6, 7]),
            elf::EM_S390 => (5, &[2, 3, 4, 5, 6]),
            elf::EM_SPARC | elf::EM_SPARCV9 => (6, &[]),
            elf::EM_ARC | elf::EM_MIPS | elf::EM_PPC | elf::EM_PPC64 | elf::EM_RISCV => (8, &[]),
            _ => (0, &[]),
        };
        Convention {
            count,
            registers,
            word: u64::from(address_size).max(1),
            words: if machine == elf::EM_S390 { 1 } else { 2 },
            by_reference: matches!(machine, elf::EM_S390 | elf::EM_AARCH64),
        }
    }

    pub fn passing(&self, size: u64) -> Passing {
        match size.div_ceil(self.word).max(1) {
            words if words <= self.words => Passing::Registers(words as usize),
            _ if self.by_reference => Passing::Reference,
            _ => Passing::Memory,
        }
    }

    /// May a value of this size be spread over several registers?
    pub fn splits(&self, size: u64) -> bool {
        self.words > 1 && size > self.word
    }

    /// Are the numbers of the argument registers known? Without them no register is wrong.
    pub fn knows_registers(&self) -> bool {
        !self.registers.is_empty()
    }

    /// The register of a slot, counted from 0.
    pub fn register(&self, slot: usize) -> Option<u16> {
        self.registers.get(slot).copied()
    }

    /// The registers of some consecutive slots, as far as there are any.
    pub fn registers(&self, slot: usize, count: usize) -> &'static [u16] {
        let from = self.registers.get(slot..).unwrap_or(&[]);
        &from[..count.min(from.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_two_words_takes_two_registers_but_on_s390() {
        let of = |machine: elf::Machine, address_size, size| {
            Convention::of(u32::from(machine.0), address_size).passing(size)
        };
        assert_eq!(of(elf::EM_X86_64, 8, 0), Passing::Registers(1));
        assert_eq!(of(elf::EM_X86_64, 8, 8), Passing::Registers(1));
        assert_eq!(of(elf::EM_X86_64, 8, 9), Passing::Registers(2));
        assert_eq!(of(elf::EM_X86_64, 8, 17), Passing::Memory);
        assert_eq!(of(elf::EM_ARM, 4, 8), Passing::Registers(2));
        assert_eq!(of(elf::EM_AARCH64, 8, 16), Passing::Registers(2));
        assert_eq!(of(elf::EM_AARCH64, 8, 17), Passing::Reference);
        assert_eq!(of(elf::EM_S390, 8, 16), Passing::Reference);
    }
}
