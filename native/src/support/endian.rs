// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Numbers of up to eight bytes in either byte order. Most are of four, as in 32-bit DWARF.

/// The number in all of `field`.
#[inline]
pub fn get(field: &[u8], big: bool) -> u64 {
    let fold = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
    match (<[u8; 4]>::try_from(field), big) {
        (Ok(four), true) => u32::from_be_bytes(four).into(),
        (Ok(four), false) => u32::from_le_bytes(four).into(),
        (Err(_), true) => field.iter().fold(0, fold),
        (Err(_), false) => field.iter().rev().fold(0, fold),
    }
}

/// Fill `field` with the low bytes of `value`.
#[inline]
pub fn put(field: &mut [u8], value: u64, big: bool) {
    let size = field.len();
    match (<&mut [u8; 4]>::try_from(&mut *field), big) {
        (Ok(four), true) => *four = (value as u32).to_be_bytes(),
        (Ok(four), false) => *four = (value as u32).to_le_bytes(),
        (Err(_), _) => {
            for (i, byte) in field.iter_mut().enumerate() {
                let shift = if big { size - 1 - i } else { i } * 8;
                *byte = (value >> shift) as u8;
            }
        }
    }
}
