// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The loops of kbuild-btf that run per DIE, per type or per symbol.

pub mod abridge;
pub mod base;
pub mod btf;
pub mod cache;
pub mod combine;
pub mod dwarf;
pub mod elf;
pub mod embed;
pub mod encode;
pub mod encoded;
pub mod endian;
pub mod error;
pub mod explain;
pub mod features;
pub mod finish;
pub mod fit;
pub mod fixup;
pub mod guard;
pub mod identity;
pub mod image;
pub mod intake;
pub mod jobserver;
pub mod kbuild;
pub mod key;
pub mod languages;
pub mod link;
pub mod linked_dwarf;
pub mod modules;
pub mod names;
pub mod objects;
pub mod progress;
pub mod reduce;
pub mod refine;
pub mod resolve;
pub mod sidecar;
pub mod sieve;
pub mod spelling;
pub mod stable;
pub mod start;
pub mod threads;
pub mod timings;
pub mod trace;
pub mod units;

#[cfg(feature = "python")]
mod python;
