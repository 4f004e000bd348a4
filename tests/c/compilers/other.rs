// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! A unit in Rust that C calls, with types that C does not have.
#![no_std]

pub struct Fields {
    pub small: u8,
    pub large: u64,
    pub medium: u16,
}

pub enum Choice {
    Nothing,
    Number(u32),
    Both(Fields),
}

#[repr(C)]
pub struct Shared {
    pub a: i32,
    pub next: *mut Shared,
}

#[no_mangle]
pub static mut rust_counter: u32 = 1;

#[no_mangle]
pub extern "C" fn rust_add(shared: &Shared, b: i32) -> i32 {
    shared.a.wrapping_add(b)
}

#[no_mangle]
pub fn rust_choice(choice: &Choice) -> u64 {
    match choice {
        Choice::Nothing => 0,
        Choice::Number(n) => u64::from(*n),
        Choice::Both(fields) => fields.large + u64::from(fields.small) + u64::from(fields.medium),
    }
}
