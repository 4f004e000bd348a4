// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Numbers of up to eight bytes in either byte order.

/// The number in all of `field`.
#[inline]
pub fn get(field: &[u8], big: bool) -> u64 {
    let fold = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
    if big {
        field.iter().fold(0, fold)
    } else {
        field.iter().rev().fold(0, fold)
    }
}

/// Fill `field` with the low bytes of `value`.
pub fn put(field: &mut [u8], value: u64, big: bool) {
    let size = field.len();
    for (i, byte) in field.iter_mut().enumerate() {
        let shift = if big { size - 1 - i } else { i } * 8;
        *byte = (value >> shift) as u8;
    }
}
