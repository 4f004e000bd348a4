// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! One object of a link, by whatever way is cheapest: its sidecar, what it carries itself, the cache, its
//! DWARF or BTF.

use std::path::Path;

use crate::elf::Elf;
use crate::encode;
use crate::object::{sound, Encoded, Id, View};
use crate::store::cache::{Cache, Event};
use crate::store::carried::{self, Content};
use crate::store::container::{restamp, Stamp};
use crate::store::dropped;
use crate::store::key;
use crate::store::sidecar::{self, Made, Sidecar};
use crate::support::error::{io, Error, Result};
use crate::support::files::{self, Mapped};
use crate::support::timings::Clock;

/// What LLVM bitcode starts with.
const BITCODE: &[u8] = b"BC\xc0\xde";

/// Bring the sidecar of an object up to date: what the hook does. `None`: there is nothing to encode
/// before the link.
pub fn write_sidecar(
    object: &Path,
    sites: bool,
    cache: Option<&Cache>,
    clock: &mut Clock,
) -> Result<Option<Event>> {
    let event = update(object, sites, cache, clock);
    let counted = match &event {
        Ok(None) => None,
        Ok(Some(event)) => Some(*event),
        Err(_) => Some(Event::Error),
    };
    if let (Some(cache), Some(event)) = (cache, counted) {
        cache.count(event);
    }
    event
}

fn update(
    object: &Path,
    sites: bool,
    cache: Option<&Cache>,
    clock: &mut Clock,
) -> Result<Option<Event>> {
    let found = find(object, sites, cache, Mapped::open_whole, clock)?;
    let path = sidecar::path_of(object);
    let mut written = 0;
    match &found {
        Found::Beside(_) | Found::Inside(_) => {}
        Found::Moved { stamp, .. } => restamp(&path, *stamp)?,
        Found::Cached(sidecar) => {
            files::write_atomically(&path, sidecar.bytes())?;
            written = sidecar.bytes().len();
        }
        Found::Encoded(made) => {
            keep(made, &path, cache)?;
            written = made.size();
        }
        Found::WaitsForTheLink(_) => return Ok(None),
    }
    clock.lap("write sidecar", 0, written as u64);
    Ok(Some(found.event()))
}

/// Put what was made beside the object and into the cache, as one file where that can be: to write it
/// is a good part of the hook's work. What the sidecar says of its object is of no meaning in the cache,
/// and others take copies from there, so that it stays theirs.
fn keep(made: &Made, path: &Path, cache: Option<&Cache>) -> Result<()> {
    let parts = made.parts();
    if cache.is_some_and(|cache| cache.put(made.key(), &parts, Some(path))) {
        return Ok(());
    }
    files::write_parts_atomically(path, &parts)
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
    /// A section of the object itself.
    Inside(Sidecar<Vec<u8>>),
    /// A copy of a cache entry, stamped for this object.
    Cached(Sidecar<Vec<u8>>),
    Encoded(Box<Made>),
    /// Compiled for LTO: the code is not there yet, and what debug information there is describes
    /// code that is not linked. The error says so.
    WaitsForTheLink(Error),
}

impl Found {
    fn event(&self) -> Event {
        match self {
            Found::Beside(_) | Found::Inside(_) | Found::Moved { .. } => Event::Unchanged,
            Found::Cached(_) => Event::Hit,
            Found::Encoded(_) => Event::Miss,
            Found::WaitsForTheLink(_) => Event::Error,
        }
    }
}

/// `open`: how to read what lies beside the object.
fn find(
    object: &Path,
    sites: bool,
    cache: Option<&Cache>,
    open: fn(&Path) -> Result<Mapped>,
    clock: &mut Clock,
) -> Result<Found> {
    let stamp = Stamp::of(&std::fs::metadata(object).map_err(io("read", object))?);
    let old = open(&sidecar::path_of(object))
        .ok()
        .and_then(Sidecar::check);
    let size = old.as_ref().map_or(0, |s| s.bytes().len() as u64);
    clock.lap("look at sidecar", 0, size);
    let old = match old {
        Some(sidecar) if sidecar.stamp() == stamp && sidecar.serves(sites) => {
            return Ok(Found::Beside(sidecar))
        }
        other => other,
    };
    let mapped = Mapped::open_whole(object)?;
    let elf = match Elf::parse(&mapped) {
        Err(error) if mapped.bytes().starts_with(BITCODE) => {
            return Ok(Found::WaitsForTheLink(error))
        }
        parsed => parsed?,
    };
    if elf.holds_lto_code() {
        let error = Error::new("compiled for LTO: the code that it will become is not there yet")
            .at(object.display())
            .hint("encode the linked file instead, with its debug information");
        return Ok(Found::WaitsForTheLink(error));
    }
    let carried = carried::of(&elf)?;
    let is_all = carried.as_ref().is_some_and(|carried| carried.is_all);
    let key = match &carried {
        Some(carried) if carried.is_all => carried.key,
        _ => key::of(&elf, sites)?,
    };
    clock.lap("key", 0, mapped.bytes().len() as u64);
    if let Some(sidecar) = old.filter(|s| s.key() == key) {
        return Ok(Found::Moved { sidecar, stamp });
    }
    let inside = carried.filter(|carried| carried.key == key);
    match inside.as_ref().map(|inside| inside.content()).transpose()? {
        Some(Some(Content::One(sidecar))) => return Ok(Found::Inside(sidecar)),
        Some(Some(Content::Several(encoded))) => {
            let made = Made::new(Some(*encoded), key, stamp);
            return Ok(Found::Encoded(Box::new(made)));
        }
        _ => {}
    }
    if let Some(entry) = cache.and_then(|c| c.get(key)) {
        clock.lap("read cache", 0, entry.bytes().len() as u64);
        return Ok(Found::Cached(entry.with_stamp(stamp)));
    }
    if is_all {
        return Err(dropped::lost(object));
    }
    let encoded = encode::encode_object(&elf, sites)?;
    let types = encoded.as_ref().map_or(0, |e| e.ids.len() as u64);
    let made = Made::new(encoded, key, stamp);
    clock.lap("encode", types, made.size() as u64);
    Ok(Found::Encoded(Box::new(made)))
}

/// The key of an object, without encoding it. A sidecar that belongs to it is told so.
pub fn key_of(object: &Path, sites: bool) -> Result<Id> {
    let stamp = Stamp::of(&std::fs::metadata(object).map_err(io("read", object))?);
    let path = sidecar::path_of(object);
    let beside = sidecar::stamp_and_key(&path);
    if let Some((_, key)) = beside.filter(|(own, _)| *own == stamp) {
        return Ok(key);
    }
    let mapped = Mapped::open_whole(object)?;
    let elf = Elf::parse(&mapped)?;
    let key = match carried::of(&elf)? {
        Some(carried) if carried.is_all => carried.key,
        _ => key::of(&elf, sites)?,
    };
    if beside.is_some_and(|(_, own)| own == key) {
        // A directory that cannot be written is no reason to fail.
        let _ = restamp(&path, stamp);
    }
    Ok(key)
}

/// What the link gets of an object.
pub enum Loaded {
    Reused(Sidecar<Mapped>),
    /// From the cache or the object itself; its buffer is not a map, and so may have to be read by copy.
    Cached(Sidecar<Vec<u8>>),
    Encoded(Box<Encoded>, Id),
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
            Loaded::Encoded(encoded, _) => Some(encoded.view()),
            Loaded::Empty { .. } => None,
        }
    }

    /// Bytes that had to be read.
    pub fn size(&self) -> u64 {
        match self {
            Loaded::Reused(sidecar) => sidecar.bytes().len() as u64,
            Loaded::Cached(sidecar) => sidecar.bytes().len() as u64,
            Loaded::Encoded(..) | Loaded::Empty { .. } => 0,
        }
    }

    /// What names the content.
    pub fn key(&self) -> Option<Id> {
        match self {
            Loaded::Reused(sidecar) => Some(sidecar.key()),
            Loaded::Cached(sidecar) => Some(sidecar.key()),
            Loaded::Encoded(_, key) => Some(*key),
            Loaded::Empty { .. } => None,
        }
    }

    /// May it be forgotten, since a file has it?
    pub fn is_in_file(&self) -> bool {
        matches!(self, Loaded::Reused(_) | Loaded::Cached(_))
    }

    pub fn is_reused(&self) -> bool {
        !matches!(self, Loaded::Encoded(..) | Loaded::Empty { reused: false })
    }
}

/// Load an object for the link. A sidecar that is missing or does not belong to it is replaced where
/// `may_leave` allows it, so that the next link finds it; a directory that cannot be written is no reason
/// to fail. `open`: how to read one that is right.
pub fn load(
    object: &Path,
    sites: bool,
    cache: Option<&Cache>,
    may_leave: impl Fn() -> bool,
    open: fn(&Path) -> Result<Mapped>,
) -> Result<Loaded> {
    let found = find(object, sites, cache, open, &mut Clock::start())?;
    let uncounted = matches!(
        found,
        Found::Beside(_) | Found::Inside(_) | Found::WaitsForTheLink(_)
    );
    if let (Some(cache), false) = (cache, uncounted) {
        cache.count(found.event());
    }
    let path = sidecar::path_of(object);
    Ok(match found {
        Found::Beside(sidecar) => reuse(sidecar, Loaded::Reused),
        Found::Moved { sidecar, stamp } => {
            if may_leave() {
                let _ = restamp(&path, stamp);
            }
            reuse(sidecar, Loaded::Reused)
        }
        Found::Inside(sidecar) => reuse(sidecar, Loaded::Cached),
        Found::Cached(sidecar) => {
            if may_leave() {
                let _ = files::write_atomically(&path, sidecar.bytes());
            }
            reuse(sidecar, Loaded::Cached)
        }
        Found::WaitsForTheLink(error) => return Err(error),
        Found::Encoded(made) => {
            if may_leave() {
                let _ = keep(&made, &path, cache);
            } else if let Some(cache) = cache {
                cache.put(made.key(), &made.parts(), None);
            }
            let key = made.key();
            match made.encoded {
                Some(encoded) => Loaded::Encoded(Box::new(encoded), key),
                None => Loaded::Empty { reused: false },
            }
        }
    })
}

/// Look at what is kept of an object in all that it says, and remove it where that cannot be. Returned: it
/// was removed.
pub fn forget_unsound(object: &Path, cache: Option<&Cache>) -> bool {
    let is_unsound = |view: Option<View<'_>>| view.is_some_and(|view| !sound::is_sound(&view));
    let path = sidecar::path_of(object);
    let beside = Mapped::read(&path).ok().and_then(Sidecar::check);
    let beside = beside.filter(|sidecar| !sidecar.is_empty());
    let keys: Vec<Id> = match &beside {
        Some(sidecar) => vec![sidecar.key()],
        None => [false, true]
            .into_iter()
            .filter_map(|sites| key_of(object, sites).ok())
            .collect(),
    };
    let mut removed = false;
    if beside.is_some_and(|sidecar| is_unsound(sidecar.view())) {
        removed |= std::fs::remove_file(&path).is_ok();
    }
    for (cache, key) in keys.iter().filter_map(|&key| Some((cache?, key))) {
        let entry = cache.get(key).filter(|entry| !entry.is_empty());
        if entry.is_some_and(|entry| is_unsound(entry.view())) {
            cache.forget(key);
            removed = true;
        }
    }
    removed
}

fn reuse<B: AsRef<[u8]>>(sidecar: Sidecar<B>, wrap: fn(Sidecar<B>) -> Loaded) -> Loaded {
    if sidecar.is_empty() {
        Loaded::Empty { reused: true }
    } else {
        wrap(sidecar)
    }
}
