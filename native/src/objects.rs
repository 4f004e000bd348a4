// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! One object of a link, by whatever way is cheapest: its sidecar, the cache, its DWARF.

use std::path::Path;

use crate::cache::{Cache, Event};
use crate::elf::{Elf, Mapped};
use crate::encode;
use crate::encoded::{Encoded, View};
use crate::error::{io, Error, Result};
use crate::key;
use crate::sidecar::{self, Sidecar, Stamp};

/// Bring the sidecar of an object up to date: what the hook does.
pub fn write_sidecar(object: &Path) -> Result<Event> {
    let cache = Cache::from_env();
    let event = update(object, cache.as_ref());
    if let Some(cache) = &cache {
        cache.count(*event.as_ref().unwrap_or(&Event::Error));
    }
    event
}

fn update(object: &Path, cache: Option<&Cache>) -> Result<Event> {
    let found = find(object, cache)?;
    let path = sidecar::path_of(object);
    match &found {
        Found::Beside(_) => {}
        Found::Moved { stamp, .. } => sidecar::restamp(&path, *stamp)?,
        Found::Cached(bytes) | Found::Encoded { bytes, .. } => {
            sidecar::write_atomically(&path, bytes)?
        }
    }
    Ok(found.event())
}

/// Is there anything to encode before the link? Not in LLVM bitcode, and not in what gcc or clang
/// compile for LTO.
pub fn waits_for_the_link(object: &Path) -> bool {
    let Ok(mapped) = Mapped::open(object) else {
        return false;
    };
    if mapped.bytes().starts_with(b"BC\xc0\xde") {
        return true;
    }
    Elf::parse(&mapped).is_ok_and(|elf| elf.holds_lto_code())
}

/// The content of an object's sidecar, and where it comes from.
enum Found {
    /// The sidecar that lies beside the object.
    Beside(Sidecar<Mapped>),
    /// The same, but the object is another file with the same content.
    Moved {
        sidecar: Sidecar<Mapped>,
        stamp: Stamp,
    },
    /// A copy of a cache entry, stamped for this object.
    Cached(Vec<u8>),
    Encoded {
        bytes: Vec<u8>,
        encoded: Option<Encoded>,
    },
}

impl Found {
    fn event(&self) -> Event {
        match self {
            Found::Beside(_) | Found::Moved { .. } => Event::Unchanged,
            Found::Cached(_) => Event::Hit,
            Found::Encoded { .. } => Event::Miss,
        }
    }
}

fn find(object: &Path, cache: Option<&Cache>) -> Result<Found> {
    let stamp = Stamp::of(&std::fs::metadata(object).map_err(io("read", object))?);
    let old = Mapped::open(&sidecar::path_of(object))
        .ok()
        .and_then(Sidecar::check);
    let old = match old {
        Some(sidecar) if sidecar.stamp() == stamp => return Ok(Found::Beside(sidecar)),
        other => other,
    };
    let mapped = Mapped::open(object)?;
    let elf = Elf::parse(&mapped)?;
    if elf.holds_lto_code() {
        return Err(
            Error::new("compiled for LTO: the code that it will become is not there yet")
                .at(object.display())
                .hint("encode the linked file instead, with its debug information"),
        );
    }
    let key = key::of(&elf)?;
    if let Some(sidecar) = old.filter(|s| s.key() == key) {
        return Ok(Found::Moved { sidecar, stamp });
    }
    if let Some(entry) = cache.and_then(|c| c.get(key)) {
        return Ok(Found::Cached(sidecar::with_stamp(entry.bytes(), stamp)));
    }
    let encoded = encode::encode_object(&elf)?;
    let bytes = sidecar::serialise(encoded.as_ref(), key, stamp);
    if let Some(cache) = cache {
        cache.put(key, &bytes);
    }
    Ok(Found::Encoded { bytes, encoded })
}

/// What the link gets of an object.
pub enum Loaded {
    Reused(Sidecar<Mapped>),
    /// From the cache; its buffer is not a map, and so may have to be read by copy.
    Cached(Sidecar<Vec<u8>>),
    Encoded(Encoded),
    /// No DWARF.
    Empty {
        reused: bool,
    },
}

impl Loaded {
    pub fn view(&self) -> Option<View<'_>> {
        match self {
            Loaded::Reused(sidecar) => sidecar.view(),
            Loaded::Cached(sidecar) => sidecar.view(),
            Loaded::Encoded(encoded) => Some(encoded.view()),
            Loaded::Empty { .. } => None,
        }
    }

    pub fn is_reused(&self) -> bool {
        !matches!(self, Loaded::Encoded(_) | Loaded::Empty { reused: false })
    }
}

/// Load an object for the link. With `keep`, a sidecar that is missing or does not belong to it is
/// replaced, so that the next link finds it; a directory that cannot be written is no reason to
/// fail.
pub fn load(object: &Path, keep: bool) -> Result<Loaded> {
    let cache = Cache::from_env();
    let found = find(object, cache.as_ref())?;
    if let (Some(cache), false) = (&cache, matches!(found, Found::Beside(_))) {
        cache.count(found.event());
    }
    let path = sidecar::path_of(object);
    Ok(match found {
        Found::Beside(sidecar) => reuse(sidecar, Loaded::Reused),
        Found::Moved { sidecar, stamp } => {
            if keep {
                let _ = sidecar::restamp(&path, stamp);
            }
            reuse(sidecar, Loaded::Reused)
        }
        Found::Cached(bytes) => {
            if keep {
                let _ = sidecar::write_atomically(&path, &bytes);
            }
            // It was checked when it was read; the copy differs in the stamp alone.
            match Sidecar::check(bytes) {
                Some(sidecar) => reuse(sidecar, Loaded::Cached),
                None => return Err(Error::new("memory changed under us").at(object.display())),
            }
        }
        Found::Encoded { bytes, encoded } => {
            if keep {
                let _ = sidecar::write_atomically(&path, &bytes);
            }
            match encoded {
                Some(encoded) => Loaded::Encoded(encoded),
                None => Loaded::Empty { reused: false },
            }
        }
    })
}

fn reuse<B: AsRef<[u8]>>(sidecar: Sidecar<B>, wrap: fn(Sidecar<B>) -> Loaded) -> Loaded {
    if sidecar.is_empty() {
        Loaded::Empty { reused: true }
    } else {
        wrap(sidecar)
    }
}
