// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Objects whose debug information was taken out when their types were stored
//! (`KBUILD_BTF_DEBUG=drop`).
//!
//! Such an object has a mark: the key of its sidecar, which can no longer be computed. So it is never
//! taken for one that never had types. docs/sidecar.md describes the mark and the files beside it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use bytemuck::{Pod, Zeroable};

use crate::elf::layout::SHF_EXCLUDE;
use crate::elf::strip::{self, Added};
use crate::elf::Elf;
use crate::object::Id;
use crate::store::cache::Cache;
use crate::store::container::{restamp, Stamp};
use crate::store::key;
use crate::store::sidecar::{self, Sidecar};
use crate::support::error::{io, Error, Result};
use crate::support::files::{Mapped, Unnamed};
use crate::support::timings::Clock;

/// Kernels discard `.discard.*` when they link vmlinux and modules, modpost and objtool pass over it,
/// and other links leave out what has the flag `SHF_EXCLUDE`.
const SECTION: &str = ".discard.kbuild_btf";

/// Also tells the byte order: a machine of the other one reads another number.
const MAGIC: u64 = u64::from_ne_bytes(*b"kbtd\r\n\x1a\x01");

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Mark {
    magic: u64,
    key: Id,
    /// The hash of its symbols, so that another object cannot have it.
    symbols: Id,
}

/// The key that an object had with its debug information; `None`: it was not taken out here.
pub fn key_of(elf: &Elf<'_>) -> Result<Option<Id>> {
    let Some(content) = elf.raw_section(SECTION)? else {
        return Ok(None);
    };
    let mark = match content.len() == std::mem::size_of::<Mark>() {
        true => bytemuck::pod_read_unaligned::<Mark>(&content),
        false => Mark::zeroed(),
    };
    if mark.magic != MAGIC || mark.symbols != key::of_symbols(elf) {
        return Err(Error::new(
            "made of objects whose debug information was taken out (KBUILD_BTF_DEBUG=drop)",
        )
        .at(elf.path.display())
        .hint("compile these with KBUILD_BTF_DEBUG=keep"));
    }
    Ok(Some(mark.key))
}

/// Was the debug information taken out of this object?
pub fn is_dropped(object: &Path) -> bool {
    let Ok(mapped) = Mapped::open(object) else {
        return false;
    };
    Elf::parse(&mapped).is_ok_and(|elf| elf.has_section(SECTION))
}

/// A file beside an object that makefile-snippets/kbuild-btf.mk looks for.
fn beside(object: &Path, suffix: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(".tmp_");
    name.push(object.file_name().unwrap_or_default());
    name.push(suffix);
    object.with_file_name(name)
}

/// There while the object is without its debug information.
fn note_of(object: &Path) -> PathBuf {
    beside(object, ".nodebug")
}

/// There once the link could not do without it.
fn wish_of(object: &Path) -> PathBuf {
    beside(object, ".keepdebug")
}

/// The object is to keep its debug information, as it has it now.
pub fn keep(object: &Path) {
    // Most often there is none.
    let _ = fs::remove_file(note_of(object));
}

/// Take the debug information out of an object whose sidecar was just written, when that can be read
/// back. The object is replaced at once or not at all, so other names of the file keep it as it was.
pub fn drop_debug(object: &Path, clock: &mut Clock) -> Result<()> {
    if wish_of(object).exists() {
        keep(object);
        return Ok(());
    }
    let old = fs::symlink_metadata(object).map_err(io("read", object))?;
    if !old.is_file() {
        return Err(stays(object, "it is not a regular file"));
    }
    let stamp = Stamp::of(&old);
    let mapped = Mapped::open(object)?;
    let elf = Elf::parse(&mapped)?;
    if elf.has_section(SECTION) {
        return Ok(());
    }
    let stored = sidecar::path_of(object);
    let stored = Mapped::open_whole(&stored).ok().and_then(Sidecar::check);
    let stored = match stored {
        Some(sidecar) if sidecar.stamp() == stamp => sidecar,
        // Another hook was faster.
        Some(_) if is_dropped(object) => return Ok(()),
        _ => return Err(stays(object, "its types cannot be read back")),
    };
    clock.lap("read back", 0, stored.bytes().len() as u64);
    let mark = Mark {
        magic: MAGIC,
        key: stored.key(),
        symbols: key::of_symbols(&elf),
    };
    let added = Added {
        name: SECTION,
        flags: SHF_EXCLUDE,
        content: bytemuck::bytes_of(&mark),
    };
    let new = strip::without_debug(mapped.bytes(), &added).map_err(|e| stays(object, e.what()))?;
    let Some(new) = new.filter(|_| !stored.is_empty()) else {
        keep(object);
        return Ok(());
    };
    clock.lap("take out", 0, mapped.bytes().len() as u64);
    let write = || {
        File::create(note_of(object))?;
        let file = Unnamed::write(object, &[&new])?;
        file.date(old.modified()?)?;
        file.permit(old.permissions())?;
        // Somebody else may have compiled it again, or have done this.
        match Stamp::of(&fs::symlink_metadata(object)?) == stamp {
            true => file.name(object),
            false if is_dropped(object) => Ok(()),
            false => Err(std::io::Error::other("it was changed meanwhile")),
        }
    };
    write().map_err(|cause| stays(object, &cause.to_string()))?;
    let stamp = Stamp::of(&fs::symlink_metadata(object).map_err(io("read", object))?);
    // Without it the mark tells that they belong together, which costs a look into the object.
    let _ = restamp(&sidecar::path_of(object), stamp);
    clock.lap("write object", 0, new.len() as u64);
    Ok(())
}

fn stays(object: &Path, why: &str) -> Error {
    Error::new(format!("its debug information stays in it: {why}")).at(object.display())
}

/// The types of an object are gone with its debug information.
pub fn lost(object: &Path) -> Error {
    Error::new(
        "its debug information was taken out (KBUILD_BTF_DEBUG=drop), and its types are lost: they \
         are neither beside it nor in the cache",
    )
    .at(object.display())
    .hint("run make again, which compiles it")
}

/// Those of these objects whose types are lost. The next make compiles them again: it looks for their
/// sidecars.
pub fn forget_lost(objects: &[PathBuf], cache: Option<&Cache>) -> Vec<PathBuf> {
    let is_lost = |object: &&PathBuf| {
        let Ok(mapped) = Mapped::open(object) else {
            return false;
        };
        let key = Elf::parse(&mapped).and_then(|elf| key_of(&elf));
        let Ok(Some(key)) = key else { return false };
        let stored = Mapped::open(&sidecar::path_of(object)).ok();
        let stored = stored.and_then(Sidecar::check);
        stored.is_none_or(|s| s.key() != key) && cache.and_then(|c| c.get(key)).is_none()
    };
    let lost: Vec<PathBuf> = objects.iter().filter(is_lost).cloned().collect();
    for object in &lost {
        let _ = fs::remove_file(sidecar::path_of(object));
        let _ = File::create(note_of(object));
    }
    lost
}

/// Objects of which a link wants to know what only their debug information says: those that are
/// without it. The next make compiles them again and leaves it in them.
pub fn wish_for<'o>(objects: impl Iterator<Item = &'o Path>) -> Vec<&'o Path> {
    let mut missing: Vec<&Path> = objects.filter(|object| is_dropped(object)).collect();
    missing.sort_unstable();
    missing.dedup();
    for object in &missing {
        let _ = File::create(wish_of(object));
        let _ = File::create(note_of(object));
    }
    missing
}
