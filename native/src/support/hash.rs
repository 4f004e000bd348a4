// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Hashing of numbers that nobody chooses, in tables that live as long as one run.

use std::hash::{BuildHasherDefault, Hasher};

/// A hash for keys that are offsets: a multiplication spreads them, and no one chooses them to
/// collide.
pub type Fast = BuildHasherDefault<FastHasher>;

#[derive(Default)]
pub struct FastHasher(u64);

impl Hasher for FastHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        let mixed = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }
}
