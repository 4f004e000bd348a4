// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Objects that the hook writes anew: their debug information is taken out when their types are stored
//! (`KBUILD_BTF_DEBUG=drop`), their types are put in (`KBUILD_BTF_STORE=section`), or both.
//! docs/sidecar.md describes the files beside them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::elf::strip;
use crate::elf::Elf;
use crate::store::cache::Cache;
use crate::store::carried::{self, is_dropped, Load};
use crate::store::container::{restamp, Stamp};
use crate::store::sidecar::{self, Sidecar};
use crate::support::error::{io, Error, Result};
use crate::support::files::{Mapped, Unnamed};
use crate::support::timings::Clock;

/// A file beside an object that makefile-snippets/kbuild-btf.mk looks for.
fn beside(object: &Path, suffix: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(".tmp_");
    name.push(object.file_name().unwrap_or_default());
    name.push(suffix);
    object.with_file_name(name)
}

/// There while the object is without its debug information, and its types are elsewhere.
fn note_of(object: &Path) -> PathBuf {
    beside(object, ".nodebug")
}

/// There while the object is without its debug information, and has its types in itself.
fn carries_note_of(object: &Path) -> PathBuf {
    beside(object, ".carries")
}

/// There once the link could not do without it.
fn wish_of(object: &Path) -> PathBuf {
    beside(object, ".keepdebug")
}

/// The object is to keep its debug information, as it has it now.
pub fn keep(object: &Path) {
    // Most often there is none.
    let _ = fs::remove_file(note_of(object));
    let _ = fs::remove_file(carries_note_of(object));
}

/// What is to become of an object whose sidecar was just written.
#[derive(Clone, Copy, Default)]
pub struct Change {
    /// Take out its debug information.
    pub drop: bool,
    /// Put the content of the sidecar into it, in place of the sidecar.
    pub carry: bool,
}

/// Change an object, when what is stored of it can be read back. It is replaced at once or not at all,
/// so other names of the file keep it as it was.
pub fn change(object: &Path, how: Change, clock: &mut Clock) -> Result<()> {
    let drop = how.drop && !wish_of(object).exists();
    if !drop {
        keep(object);
    }
    if !drop && !how.carry {
        return Ok(());
    }
    let stays = |why: &str| stays(object, drop, why);
    let old = fs::symlink_metadata(object).map_err(io("read", object))?;
    if !old.is_file() {
        return Err(stays("it is not a regular file"));
    }
    let stamp = Stamp::of(&old);
    // What keeps its debug information is read whole, to be written again.
    let mapped = match drop {
        true => Mapped::open(object)?,
        false => Mapped::open_whole(object)?,
    };
    let elf = Elf::parse(&mapped)?;
    let path = sidecar::path_of(object);
    if carried::is_marked(&elf) {
        // It was done before, but perhaps not to its end.
        let left = [path, note_of(object)];
        if how.carry && left.iter().any(|file| file.exists()) && carried::has_content(&elf) {
            for file in left {
                let _ = fs::remove_file(file);
            }
        }
        return Ok(());
    }
    let stored = Mapped::open_whole(&path).ok().and_then(Sidecar::check);
    let stored = match stored {
        Some(sidecar) if sidecar.stamp() == stamp => sidecar,
        // Another hook was faster.
        _ if is_done(object) => return Ok(()),
        _ => return Err(stays("its types cannot be read back")),
    };
    clock.lap("read back", 0, stored.bytes().len() as u64);
    let content = how.carry.then_some(stored.bytes());
    let load = Load::of(&elf, stored.key(), drop, content);
    let new = strip::with_section(mapped.bytes(), &load.section(), drop);
    let new = new.map_err(|e| stays(e.what()))?;
    let Some(new) = new.filter(|_| !stored.is_empty()) else {
        keep(object);
        return Ok(());
    };
    clock.lap("take out", 0, mapped.bytes().len() as u64);
    let write = || {
        if drop && how.carry {
            File::create(carries_note_of(object))?;
        } else if drop {
            File::create(note_of(object))?;
        }
        let file = Unnamed::write(object, &new.slices())?;
        file.date(old.modified()?)?;
        file.permit(old.permissions())?;
        // Somebody else may have compiled it again, or have done this.
        match Stamp::of(&fs::symlink_metadata(object)?) == stamp {
            true => file.name(object),
            false if is_done(object) => Ok(()),
            false => Err(std::io::Error::other("it was changed meanwhile")),
        }
    };
    write().map_err(|cause| stays(&cause.to_string()))?;
    if how.carry {
        let _ = fs::remove_file(&path);
        let _ = fs::remove_file(note_of(object));
    } else {
        let _ = fs::remove_file(carries_note_of(object));
        let stamp = Stamp::of(&fs::symlink_metadata(object).map_err(io("read", object))?);
        // Without it the mark tells that they belong together, which costs a look into the object.
        let _ = restamp(&path, stamp);
    }
    clock.lap("write object", 0, new.len() as u64);
    Ok(())
}

fn is_done(object: &Path) -> bool {
    let Ok(mapped) = Mapped::open(object) else {
        return false;
    };
    Elf::parse(&mapped).is_ok_and(|elf| carried::is_marked(&elf))
}

fn stays(object: &Path, drop: bool, why: &str) -> Error {
    let what = match drop {
        true => "its debug information stays in it",
        false => "its types stay beside it",
    };
    Error::new(format!("{what}: {why}")).at(object.display())
}

/// The types of an object are gone with its debug information.
pub fn lost(object: &Path) -> Error {
    Error::new(
        "its debug information was taken out (KBUILD_BTF_DEBUG=drop), and its types are lost: they \
         are neither in it, nor beside it, nor in the cache",
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
        let elf = Elf::parse(&mapped);
        let carried = elf.as_ref().map(carried::of);
        let Ok(Ok(Some(carried))) = carried else {
            return false;
        };
        let stored = Mapped::open(&sidecar::path_of(object)).ok();
        let stored = stored.and_then(Sidecar::check);
        carried.is_all
            && carried.content().is_ok_and(|content| content.is_none())
            && stored.is_none_or(|s| s.key() != carried.key)
            && cache.and_then(|c| c.get(carried.key)).is_none()
    };
    let lost: Vec<PathBuf> = objects.iter().filter(is_lost).cloned().collect();
    for object in &lost {
        let _ = fs::remove_file(sidecar::path_of(object));
        let _ = fs::remove_file(carries_note_of(object));
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
