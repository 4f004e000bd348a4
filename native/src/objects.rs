// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! One object of a link, by whatever way is cheapest: its sidecar, the cache, its DWARF.

use std::path::Path;

use crate::cache::{Cache, Event};
use crate::elf::{Elf, Mapped};
use crate::encode;
use crate::encoded::{Encoded, View};
use crate::error::{io, Result};
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
    let stamp = Stamp::of(&std::fs::metadata(object).map_err(io("read", object))?);
    let path = sidecar::path_of(object);
    let old = Mapped::open(&path).ok().and_then(Sidecar::check);
    if old.as_ref().is_some_and(|s| s.stamp() == stamp) {
        return Ok(Event::Unchanged);
    }
    let mapped = Mapped::open(object)?;
    let elf = Elf::parse(&mapped)?;
    let key = key::of(&elf)?;
    if old.is_some_and(|s| s.key() == key) {
        sidecar::restamp(&path, stamp)?;
        return Ok(Event::Unchanged);
    }
    if let Some(entry) = cache.and_then(|c| c.get(key)) {
        sidecar::write_atomically(&path, &sidecar::with_stamp(entry.bytes(), stamp))?;
        return Ok(Event::Hit);
    }
    let encoded = encode::encode_object(&elf)?;
    let bytes = sidecar::serialise(encoded.as_ref(), key, stamp);
    sidecar::write_atomically(&path, &bytes)?;
    if let Some(cache) = cache {
        cache.put(key, &bytes);
    }
    Ok(Event::Miss)
}

/// What the link gets of an object.
pub enum Loaded {
    Reused(Sidecar<Mapped>),
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
            Loaded::Encoded(encoded) => Some(encoded.view()),
            Loaded::Empty { .. } => None,
        }
    }
}

/// Load an object for the link; a sidecar that does not belong to it is not used.
pub fn load(object: &Path) -> Result<Loaded> {
    let stamp = Stamp::of(&std::fs::metadata(object).map_err(io("read", object))?);
    let old = Mapped::open(&sidecar::path_of(object))
        .ok()
        .and_then(Sidecar::check);
    let reuse = |sidecar: Sidecar<Mapped>| match sidecar.is_empty() {
        true => Loaded::Empty { reused: true },
        false => Loaded::Reused(sidecar),
    };
    let old = match old {
        Some(sidecar) if sidecar.stamp() == stamp => return Ok(reuse(sidecar)),
        other => other,
    };
    let mapped = Mapped::open(object)?;
    let elf = Elf::parse(&mapped)?;
    if let Some(sidecar) = old {
        if sidecar.key() == key::of(&elf)? {
            return Ok(reuse(sidecar));
        }
    }
    Ok(match encode::encode_object(&elf)? {
        Some(encoded) => Loaded::Encoded(encoded),
        None => Loaded::Empty { reused: false },
    })
}
