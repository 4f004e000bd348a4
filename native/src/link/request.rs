// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! What is asked for, and what comes of it.

use std::path::{Path, PathBuf};

use crate::fixup;
use crate::object::features::Features;
use crate::object::refused::Policy;
use crate::store::cache::Cache;
use crate::support::error::{Error, Result};
use crate::support::timings::Lap;

pub struct Request<'a> {
    /// The linked file; `encode` reads its DWARF, `link` only its symbols and sections.
    pub elf: &'a Path,
    pub features: Features,
    /// `DW_LANG_*` of units to leave out.
    pub excluded_languages: Vec<u32>,
    /// Threads; 0 for one each processor.
    pub jobs: usize,
    /// ELF with `.BTF`, or raw BTF, that the result is split against.
    pub base: Option<PathBuf>,
    /// BTF of an earlier build, whose ids and string offsets are kept.
    pub stable_ids: Option<PathBuf>,
    /// Leave sidecars beside objects that had none, as a build does.
    pub keep_sidecars: bool,
    /// Where encoded objects are kept, and looked for.
    pub cache: Option<Cache>,
    /// The file that the stages are appended to.
    pub trace: Option<PathBuf>,
}

impl Request<'_> {
    pub fn policy(&self) -> Policy<'_> {
        Policy {
            excluded_languages: &self.excluded_languages,
            is_module: self.base.is_some(),
        }
    }
}

pub fn check_request(request: &Request<'_>) -> Result<()> {
    if request.stable_ids.is_some() && request.base.is_some() {
        return Err(
            Error::new("stable ids are for the BTF of a kernel, not of a module")
                .at(request.elf.display())
                .hint("nothing refers to the types of a module"),
        );
    }
    if request.features.distilled_base && request.base.is_none() {
        return Err(
            Error::new("a distilled base is asked for, but no base is given")
                .at(request.elf.display())
                .hint("name the vmlinux that it belongs to"),
        );
    }
    Ok(())
}

pub struct Output {
    pub btf: Vec<u8>,
    /// The distilled base that `btf` is split against, where it was asked for.
    pub base: Option<Vec<u8>>,
    /// Counts by name.
    pub report: Vec<(String, u64)>,
    /// Functions that are not in the BTF.
    pub left_out: Vec<(String, fixup::functions::Reason)>,
    /// What should be in it, and is not: a line for each unit.
    pub notes: Vec<String>,
    /// The stages, in order.
    pub timings: Vec<Lap>,
}

impl Output {
    /// A count of the report; 0 for one that is not in it.
    pub fn count(&self, name: &str) -> u64 {
        let found = self.report.iter().find(|(n, _)| n == name);
        found.map_or(0, |&(_, count)| count)
    }
}
