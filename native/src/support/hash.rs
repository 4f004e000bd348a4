// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Hashing in tables that live as long as one run.

/// For keys that are offsets, numbers or hashes, which nobody chooses to collide.
pub type Fast = rustc_hash::FxBuildHasher;
