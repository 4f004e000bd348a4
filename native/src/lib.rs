// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The loops of kbuild-btf that run per DIE, per type or per symbol. A room for each stage; what the
//! programs and the Python module use is named here.

mod btf;
mod combine;
mod dwarf;
mod elf;
mod encode;
mod finish;
mod fixup;
mod kbuild;
mod link;
mod object;
mod report;
mod store;
mod support;

pub use btf::check::{check_raw, Rules};
pub use elf::embed::embed;
pub use elf::Elf;
pub use kbuild::{keep_trace, linked_objects};
pub use link::request::{Output, Request};
pub use link::{encode, has_dwarf, lacks_dwarf, link, modules};
pub use object::features::Features;
pub use object::languages;
pub use report::ask::{explain, survey};
pub use report::fit::check as check_modules;
pub use store::cache::{Cache, Event};
pub use store::carried::is_dropped;
pub use store::container::ENCODER_VERSION;
pub use store::dropped::{change, forget_lost, keep as keep_debug, Change};
pub use store::objects::write_sidecar;
pub use store::sidecar::path_of as sidecar_path;
pub use support::error::{Error, Result};
pub use support::files::{write_if_changed, Mapped};
pub use support::guard::guarded;
pub use support::jobserver::Share;
pub use support::timings::{trace, trace_file, Clock};
pub use support::{progress, say, start};
