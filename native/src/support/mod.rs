// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! What any stage may need, and what knows of none.

pub mod endian;
pub mod error;
pub mod files;
pub mod guard;
pub mod hash;
pub mod jobserver;
pub mod limits;
pub mod parts;
pub mod progress;
pub mod say;
pub mod start;
pub mod threads;
pub mod timings;
