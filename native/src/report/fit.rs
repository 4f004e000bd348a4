// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Whether a kernel takes its modules' BTF, and reads it right: many modules against one base.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::btf::check::{self, BaseTypes, Fit, Part, Rules};
use crate::btf::read::parts;
use crate::btf::relocate::Names;
use crate::elf::Elf;
use crate::support::error::{Error, Result};
use crate::support::files::Mapped;
use crate::support::progress;
use crate::support::threads::Threads;

/// How files of xz, zstd and gzip begin: kernels load modules from such, too.
const COMPRESSED: [&[u8]; 3] = [b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"\x1f\x8b"];

/// Check modules against the raw BTF of a vmlinux. An error of one module is that it cannot be
/// judged: not readable, without BTF, damaged.
/// `pointer_size` in bytes, where the file says it that the base comes from.
pub fn check(
    raw: &[u8],
    pointer_size: Option<u64>,
    modules: &[PathBuf],
    jobs: usize,
) -> Result<Vec<Result<Fit>>> {
    check::check_raw(raw, None, pointer_size, Rules::Kernel)?;
    let parts = parts(raw)?;
    let part = Part::new(&parts)?;
    let base = Base {
        types: part.as_base(),
        big: parts.big,
        names: OnceLock::new(),
    };
    progress::begin("modules", modules.len());
    let work = |_: &mut (), path: &PathBuf| {
        let verdict = base.check(path);
        progress::add(1);
        Ok(verdict)
    };
    Threads::new(jobs, modules.len())?.map(modules, || (), work)
}

struct Base<'b> {
    types: BaseTypes<'b>,
    big: bool,
    /// Only modules with a distilled base ask for them.
    names: OnceLock<Names<'b>>,
}

impl Base<'_> {
    fn check(&self, path: &Path) -> Result<Fit> {
        let mapped = Mapped::open(path)?;
        if COMPRESSED
            .iter()
            .any(|magic| mapped.bytes().starts_with(magic))
        {
            return Err(Error::new("compressed").hint("unpack it first (xz -d, zstd -d, gunzip)"));
        }
        let elf = Elf::parse(&mapped)?;
        let raw = elf.raw_section(".BTF")?.ok_or_else(|| {
            Error::new("no .BTF section").hint("build it again, with vmlinux there")
        })?;
        let pointer_size = if elf.is_64() { 8 } else { 4 };
        if parts(&raw)?.big != self.big {
            return Err(Error::new("BTF in another byte order than the base")
                .hint("give the vmlinux of the same machine"));
        }
        match elf.raw_section(".BTF.base")? {
            None => check::fit(&raw, self.types, pointer_size),
            Some(distilled) => self.relocate(&raw, &distilled, pointer_size),
        }
    }

    /// The kernel checks the distilled base, then the split BTF on top of that, and then looks for
    /// the types of the former in its own BTF.
    fn relocate(&self, raw: &[u8], distilled: &[u8], pointer_size: u64) -> Result<Fit> {
        check::check(
            distilled,
            None,
            Some(pointer_size),
            Rules::Kernel,
            &Threads::ONE,
        )
        .map_err(|e| e.at(".BTF.base"))?;
        let below = Part::new(&parts(distilled)?)?;
        let own = check::fit(raw, below.as_base(), pointer_size)?;
        if let Some(damage) = own.refused.or(own.misread) {
            return Err(damage);
        }
        let split = Part::new(&parts(raw)?)?;
        let names = self.names.get_or_init(|| Names::of(self.types));
        Ok(Fit {
            refused: names.check(below.as_base(), split.as_base()).err(),
            misread: None,
            base_strings: None,
        })
    }
}
