// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! What a linker says that it took (`--trace`), one file per line.
//!
//! Objects are named by their path. A member of an archive is named in the linker's own way:
//!
//! | linker | thin archive `lib/lib.a` of `lib/l.o` | other archive |
//! |---|---|---|
//! | GNU ld | `lib/lib.a`, then `lib/l.o` | `lib/lib.a`, then `(lib/lib.a)l.o` |
//! | gold | `lib/lib.a(lib/l.o)` | `lib/lib.a(l.o)` |
//! | lld | `lib/lib.a(l.o)` | `lib/lib.a(l.o)` |
//! | mold | `trace: lib/lib.a(lib/l.o)` | `trace: lib/lib.a(l.o)` |
//!
//! (mold, which links no kernel, also names the members that it leaves.)
//! So a path within an archive may start at the working directory or at the archive, and the archive
//! itself says which file it means. An archive that is not thin holds a copy of the object, of which
//! no more than the last part of the name is left; the object is the file that has these bytes.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use object::read::archive::ArchiveFile;

use crate::support::error::{Error, Result};
use crate::support::files::Mapped;

/// A line of a trace.
#[derive(Debug, PartialEq, Eq)]
enum Taken<'t> {
    Object(&'t str),
    /// Whose members that were taken are on lines of their own.
    Archive,
    /// (archive, member)
    Member(&'t str, &'t str),
    /// An object, which is on a line of its own, and what it was linked from (the LD wrapper says so).
    PartOf(&'t str, &'t str),
}

fn parse(line: &str) -> Taken<'_> {
    let line = line.strip_prefix("trace: ").unwrap_or(line);
    if let Some((archive, member)) = line.strip_prefix('(').and_then(|l| l.split_once(')')) {
        return Taken::Member(archive, member);
    }
    if let Some(inner) = line.strip_suffix(')') {
        if let Some((whole, part)) = inner.split_once(".o(") {
            let whole = &line[..whole.len() + 2];
            return Taken::PartOf(whole, part);
        }
        if let Some((archive, member)) = inner.split_once(".a(") {
            return Taken::Member(&line[..archive.len() + 2], member);
        }
    }
    match line.ends_with(".a") {
        true => Taken::Archive,
        false => Taken::Object(line),
    }
}

/// The objects that a trace names, in its order. `directory`: where the linker ran.
pub fn objects(text: &str, directory: &Path) -> Result<Vec<PathBuf>> {
    let mut archives: HashMap<&str, Archive> = HashMap::new();
    // To find a member may take a look into the archive and into what it could be.
    let mut members: HashMap<(&str, &str), PathBuf> = HashMap::new();
    let mut objects: Vec<PathBuf> = Vec::new();
    let mut expanded: HashSet<&str> = HashSet::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let mut taken = parse(line);
        while let Taken::PartOf(whole, part) = taken {
            expanded.insert(whole);
            taken = parse(part);
        }
        match taken {
            Taken::Object(path) => objects.push(directory.join(path)),
            Taken::Member(name, member) => {
                let known = match members.entry((name, member)) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(new) => {
                        let archive = match archives.entry(name) {
                            Entry::Occupied(known) => known.into_mut(),
                            Entry::Vacant(new) => new.insert(Archive::open(name, directory)?),
                        };
                        new.insert(archive.object(member, directory)?)
                    }
                };
                objects.push(known.clone());
            }
            Taken::Archive | Taken::PartOf(..) => {}
        }
    }
    let expanded: HashSet<PathBuf> = expanded.iter().map(|name| directory.join(name)).collect();
    objects.retain(|object| !expanded.contains(object));
    match objects.iter().find(|path| !path.exists()) {
        Some(lost) => Err(Error::new(format!("object {} is gone", lost.display()))),
        None => Ok(objects),
    }
}

/// An archive, and where its members are in it.
struct Archive {
    file: Mapped,
    thin: bool,
    /// By the name that it stores; of one that is not thin the bytes, of which there may be several.
    members: HashMap<Vec<u8>, Vec<std::ops::Range<usize>>>,
}

impl Archive {
    fn open(name: &str, directory: &Path) -> Result<Archive> {
        let path = directory.join(name);
        let file = Mapped::open(&path)?;
        let bad = |what: &str| Error::new(format!("damaged archive: {what}")).at(path.display());
        let parsed = ArchiveFile::parse(file.bytes()).map_err(|e| bad(&e.to_string()))?;
        let mut members: HashMap<Vec<u8>, Vec<_>> = HashMap::new();
        for member in super::members(&parsed) {
            let member = member.map_err(|what| bad(&what))?;
            let (start, size) = member.file_range();
            let range = start as usize..start.saturating_add(size) as usize;
            members
                .entry(member.name().to_vec())
                .or_default()
                .push(range);
        }
        let thin = parsed.is_thin();
        Ok(Archive {
            file,
            thin,
            members,
        })
    }

    /// The object that a member of a trace is.
    fn object(&self, member: &str, directory: &Path) -> Result<PathBuf> {
        let beside = self.file.path.parent().unwrap_or(Path::new(""));
        // From the archive, and from where the linker ran.
        let mut places = vec![beside.join(member), directory.join(member)];
        places.dedup();
        places.retain(|place| self.holds(place, beside, member));
        match places.as_slice() {
            [only] => Ok(only.clone()),
            [] => Err(
                Error::new(format!("object {member} of the archive is gone"))
                    .at(self.file.path.display()),
            ),
            [one, other, ..] => Err(Error::new(format!(
                "{member} may be {} or {}",
                one.display(),
                other.display()
            ))
            .at(self.file.path.display())),
        }
    }

    fn holds(&self, object: &Path, beside: &Path, member: &str) -> bool {
        if self.thin {
            let stored = match object.strip_prefix(beside) {
                Ok(rest) => rest,
                Err(_) if object.is_absolute() => object,
                Err(_) => return false,
            };
            return self
                .members
                .contains_key(stored.as_os_str().as_encoded_bytes());
        }
        let copies = self.members.get(member.as_bytes());
        let Ok(own) = Mapped::open(object) else {
            return false;
        };
        let is = |range: &std::ops::Range<usize>| {
            self.file.bytes().get(range.clone()) == Some(own.bytes())
        };
        copies.is_some_and(|copies| copies.iter().any(is))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_linkers_way_to_name_a_file_is_known() {
        let part = |inner| Taken::PartOf("vmlinux.o", inner);
        let cases = [
            ("a b/c.o", Taken::Object("a b/c.o")),
            ("trace: a.o", Taken::Object("a.o")),
            ("lib/lib.a", Taken::Archive),
            ("(lib/lib.a)l.o", Taken::Member("lib/lib.a", "l.o")),
            ("lib/lib.a(lib/l.o)", Taken::Member("lib/lib.a", "lib/l.o")),
            ("/a(1)/lib.a(l.o)", Taken::Member("/a(1)/lib.a", "l.o")),
            ("trace: lib.a(l.o)", Taken::Member("lib.a", "l.o")),
            ("a(1).o", Taken::Object("a(1).o")),
            ("vmlinux.o(a/b.o)", part("a/b.o")),
            ("vmlinux.o(lib.a)", part("lib.a")),
            ("vmlinux.o(lib.a(l.o))", part("lib.a(l.o)")),
            ("vmlinux.o((lib.a)l.o)", part("(lib.a)l.o")),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line), expected, "{line}");
        }
    }
}
