// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The content-addressed cache of sidecars and of finished modules: a directory, no daemon, no lock.
//! Entries never change, but for the stamps of sidecars; writers of one entry write the same bytes.
//! Size and statistics are kept by the Python side.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, FileTimes};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::object::Id;
use crate::store::key;
use crate::store::sidecar::Sidecar;
use crate::support::files::{is_ours, open_regular, read_start, Unnamed};

#[derive(Clone)]
pub struct Cache {
    root: PathBuf,
    /// Entries of any owner count; else only those of this user and of root, since whoever writes an
    /// entry says what the BTF is.
    shared: bool,
}

/// What happened to one object; counted as one byte appended to a file, which needs no lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The sidecar beside the object was right already.
    Unchanged,
    Hit,
    Miss,
    /// An entry was damaged; it is replaced. Counted besides the miss.
    Damaged,
    Error,
    /// The finished BTF of a module was there.
    ModuleReused,
    ModuleEncoded,
}

impl Event {
    /// Each by its letter, and what its count is called.
    pub const COUNTED: [(char, &'static str); 7] = [
        (Event::Hit.letter(), "hits"),
        (Event::Miss.letter(), "misses"),
        (Event::Unchanged.letter(), "unchanged"),
        (Event::Damaged.letter(), "damaged"),
        (Event::Error.letter(), "errors"),
        (Event::ModuleReused.letter(), "modules_reused"),
        (Event::ModuleEncoded.letter(), "modules_encoded"),
    ];

    const fn letter(self) -> char {
        match self {
            Event::Unchanged => 'u',
            Event::Hit => 'h',
            Event::Miss => 'm',
            Event::Damaged => 'd',
            Event::Error => 'e',
            Event::ModuleReused => 'r',
            Event::ModuleEncoded => 'n',
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Event::Unchanged => "unchanged",
            Event::Hit => "hit",
            Event::Miss => "miss",
            Event::Damaged => "damaged",
            Event::Error => "error",
            Event::ModuleReused => "module reused",
            Event::ModuleEncoded => "module encoded",
        }
    }
}

impl Cache {
    /// In this directory, which need not exist yet.
    pub fn at(directory: &Path) -> Cache {
        Cache {
            root: directory.join("v1"),
            shared: false,
        }
    }

    pub fn from_env() -> Option<Cache> {
        let directory = Cache::directory(|name| std::env::var_os(name));
        let shared = std::env::var_os("KBUILD_BTF_CACHE_SHARED").is_some_and(|v| v == "1");
        directory.map(|directory| Cache {
            shared,
            ..Cache::at(&directory)
        })
    }

    /// Where an environment has it: `$KBUILD_BTF_CACHE`, else below `$XDG_CACHE_HOME` (a relative one does
    /// not count, by the rule of XDG) or `~/.cache`. Set but empty: no cache.
    pub fn directory(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
        let path = |name| variable(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        if variable("KBUILD_BTF_CACHE").is_some() {
            // Processes of one build run in several directories.
            let path = path("KBUILD_BTF_CACHE")?;
            return Some(std::path::absolute(&path).unwrap_or(path));
        }
        let base = match path("XDG_CACHE_HOME").filter(|base| base.is_absolute()) {
            Some(base) => base,
            None => path("HOME")?.join(".cache"),
        };
        Some(base.join("kbuild-btf"))
    }

    fn make(&self, directory: &Path) -> std::io::Result<()> {
        let mode = if self.shared { 0o777 } else { 0o700 };
        DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(directory)
    }

    fn entry(&self, key: Id) -> PathBuf {
        let name = key::name(key);
        self.root.join(&name[..2]).join(format!("{name}.kbtf"))
    }

    /// The sidecar of a key.
    pub fn get(&self, key: Id) -> Option<Sidecar<Vec<u8>>> {
        self.load(key, |bytes| {
            Sidecar::check(bytes).filter(|s| s.key() == key)
        })
    }

    /// The entry of a key, as `check` takes it. One that it does not take is damaged, and removed.
    pub fn load<T>(&self, key: Id, check: impl FnOnce(Vec<u8>) -> Option<T>) -> Option<T> {
        let path = self.entry(key);
        let (file, meta) = open_regular(&path).ok()?;
        if !self.shared && !is_ours(&meta) {
            return None;
        }
        let sound = read_start(&file, &meta).ok().and_then(check);
        match &sound {
            Some(_) => {
                // The time of access orders entries by last use: that of modification tells of the
                // sidecar, which may be the same file. A read-only cache stays as it is.
                let now = FileTimes::new().set_accessed(SystemTime::now());
                let _ = file.set_times(now);
            }
            None => {
                let _ = fs::remove_file(&path);
                self.count(Event::Damaged);
            }
        }
        sound
    }

    /// Forget the entry of a key, which was found to be damaged.
    pub fn forget(&self, key: Id) {
        let _ = fs::remove_file(self.entry(key));
        self.count(Event::Damaged);
    }

    /// Keep an entry; a file of another name as well, if it can be the same. Could it? A cache that
    /// cannot be written is no reason to fail.
    pub fn put(&self, key: Id, parts: &[&[u8]], also: Option<&Path>) -> bool {
        let path = self.entry(key);
        let write = || Unnamed::write(&path, parts);
        let written = write().or_else(|error| match path.parent() {
            // Most likely the first entry of its directory.
            Some(directory) => self.make(directory).and_then(|()| write()),
            None => Err(error),
        });
        let Ok(file) = written else { return false };
        // First, so that it is this very file: another writer may replace the entry at any time.
        let both = also.is_some_and(|also| file.also_name(also).is_ok());
        let _ = file.name(&path);
        both
    }

    pub fn count(&self, event: Event) {
        let path = self.root.join("events");
        // Nothing that stands there for another file, or waits for a reader.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let open = || {
            let mut options = File::options();
            options.append(true).create(true).custom_flags(flags);
            options.open(&path)
        };
        let file = open().or_else(|_| self.make(&self.root).and_then(|()| open()));
        if let Ok(mut file) = file {
            let _ = file.write_all(&[event.letter() as u8]);
        }
    }
}
