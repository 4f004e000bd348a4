// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! What an object itself says of its types: a section with the key of its sidecar, which can no longer be
//! computed without debug information, and, with `KBUILD_BTF_STORE=section`, what the sidecar would hold.
//! docs/sidecar.md describes it.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;

use bytemuck::{Pod, Zeroable};
use xxhash_rust::xxh3::Xxh3;

use crate::elf::layout::SHF_EXCLUDE;
use crate::elf::strip::Added;
use crate::elf::Elf;
use crate::object::{sound, Encoded, Id, View};
use crate::store::container::{stamp_bytes, Stamp, CHECKED_FROM};
use crate::store::key;
use crate::store::sidecar::Sidecar;
use crate::support::error::{Error, Result};
use crate::support::files::Mapped;

/// Kernels discard `.discard.*` when they link vmlinux and modules, modpost and objtool pass over it,
/// and other links leave out what has the flag `SHF_EXCLUDE`.
const SECTION: &str = ".discard.kbuild_btf";

/// Also tells the byte order: a machine of the other one reads another number.
const MAGIC: u64 = u64::from_ne_bytes(*b"kbtd\r\n\x1a\x02");

/// `Mark::debug` of an object whose debug information was taken out.
const TAKEN_OUT: u64 = 1;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Mark {
    magic: u64,
    key: Id,
    /// The hash of its symbols, so that another object cannot have it.
    symbols: Id,
    debug: u64,
    /// Bytes of the sidecar that follows; 0: it is elsewhere.
    size: u64,
}

/// The content of the section of one object.
pub struct Load<'a> {
    /// The mark, and the part of a sidecar that is another in it.
    start: Vec<u8>,
    rest: &'a [u8],
}

impl<'a> Load<'a> {
    /// `content`: a sidecar, if the object is to have it in itself.
    pub fn of(elf: &Elf<'_>, key: Id, taken_out: bool, content: Option<&'a [u8]>) -> Load<'a> {
        let content = content.unwrap_or_default();
        let mark = Mark {
            magic: MAGIC,
            key,
            symbols: key::of_symbols(elf),
            debug: if taken_out { TAKEN_OUT } else { 0 },
            size: content.len() as u64,
        };
        let (lead, rest) = content.split_at(content.len().min(CHECKED_FROM));
        let mut start = [bytemuck::bytes_of(&mark), lead].concat();
        if !content.is_empty() {
            // An object cannot say when it was written itself.
            stamp_bytes(&mut start[size_of::<Mark>()..], Stamp::default());
        }
        Load { start, rest }
    }

    pub fn section(&self) -> Added<'_> {
        Added {
            name: SECTION,
            flags: SHF_EXCLUDE,
            content: [&self.start, self.rest],
        }
    }
}

/// What was found in an object.
pub struct Carried<'a> {
    /// Of what its types were made of.
    pub key: Id,
    /// Its debug information is gone.
    pub is_all: bool,
    /// Sidecars, not yet checked: one, or more if a linker made it of several objects.
    contents: Vec<&'a [u8]>,
}

impl Carried<'_> {
    /// The types, if they are there and of this version.
    pub fn content(&self) -> Result<Option<Content>> {
        let mut parts = Vec::new();
        for content in &self.contents {
            // To put several together follows what each of them says.
            let is_sound = |part: &Sidecar<_>| {
                let view = part.view();
                self.contents.len() < 2 || view.is_some_and(|view| sound::is_sound(&view))
            };
            let Some(part) = Sidecar::check(content.to_vec()).filter(is_sound) else {
                return Ok(None);
            };
            parts.push(part);
        }
        if parts.len() < 2 {
            let part = parts.pop().filter(|part| part.key() == self.key);
            return Ok(part.map(Content::One));
        }
        let mut all: Option<Encoded> = None;
        for view in parts.iter().filter_map(|part| part.view()) {
            let empty = || Encoded {
                sites: Some(Vec::new()),
                ..Encoded::new(view.target)
            };
            all.get_or_insert_with(empty).append(&view)?;
        }
        Ok(all.map(|all| Content::Several(Box::new(all))))
    }
}

pub enum Content {
    One(Sidecar<Vec<u8>>),
    Several(Box<Encoded>),
}

/// `None`: nothing, or nothing that is needed.
pub fn of<'a>(elf: &Elf<'a>) -> Result<Option<Carried<'a>>> {
    let Some(section) = elf.raw_section(SECTION)? else {
        return Ok(None);
    };
    let is_whole = elf.has_section(".debug_info");
    let Cow::Borrowed(section) = section else {
        return Err(not_its_own(elf));
    };
    let marks = parse(section).ok_or_else(|| {
        Error::new(format!("damaged: its section {SECTION}"))
            .at(elf.path.display())
            .hint("compile it again")
    })?;
    if let [(mark, content)] = marks[..] {
        if mark.symbols == key::of_symbols(elf) {
            return Ok(Some(Carried {
                key: mark.key,
                is_all: mark.debug == TAKEN_OUT || !is_whole,
                contents: Some(content)
                    .filter(|c| !c.is_empty())
                    .into_iter()
                    .collect(),
            }));
        }
    }
    if is_whole && marks.iter().all(|(mark, _)| mark.debug != TAKEN_OUT) {
        return Ok(None);
    }
    let is_joined = !is_whole && marks.len() > 1 && have_their_symbols(elf, &marks);
    if !is_joined {
        return Err(not_its_own(elf));
    }
    let mut hash = Xxh3::new();
    hash.update(b"several");
    for (mark, _) in &marks {
        hash.update(&mark.key.bytes());
    }
    hash.update(&key::of_symbols(elf).bytes());
    Ok(Some(Carried {
        key: hash.digest128().into(),
        is_all: true,
        contents: marks.iter().map(|&(_, content)| content).collect(),
    }))
}

/// The marks and what follows each; `None`: damaged.
fn parse(section: &[u8]) -> Option<Vec<(Mark, &[u8])>> {
    let mut marks = Vec::new();
    let mut rest = section;
    while !rest.is_empty() {
        let (mark, behind) = rest.split_at_checked(size_of::<Mark>())?;
        let mark: Mark = bytemuck::pod_read_unaligned(mark);
        let content = behind.get(..usize::try_from(mark.size).ok()?)?;
        if mark.magic != MAGIC {
            return None;
        }
        marks.push((mark, content));
        rest = &behind[content.len()..];
    }
    Some(marks)
}

/// A linker moves symbols, but neither renames nor removes them: what the objects had is there.
fn have_their_symbols(elf: &Elf<'_>, marks: &[(Mark, &[u8])]) -> bool {
    let symbols = elf.symbols();
    let there: HashSet<&[u8]> = symbols.iter().map(|s| s.name).collect();
    marks.iter().all(|(_, content)| {
        let part = Sidecar::check(content.to_vec());
        // What is wrong with it is told where it is read.
        part.map_or(!content.is_empty(), |part| {
            let all = |view: View<'_>| {
                let mut names = view.symbols.iter().map(|s| view.string(s.name));
                names.all(|name| there.contains(name))
            };
            part.view().is_some_and(all)
        })
    })
}

fn not_its_own(elf: &Elf<'_>) -> Error {
    Error::new("made of objects whose debug information was taken out (KBUILD_BTF_DEBUG=drop)")
        .at(elf.path.display())
        .hint("compile these with KBUILD_BTF_DEBUG=keep")
}

/// Does the object have such a section?
pub fn is_marked(elf: &Elf<'_>) -> bool {
    elf.has_section(SECTION)
}

/// Does the object have its types in itself?
pub fn has_content(elf: &Elf<'_>) -> bool {
    let content = of(elf).and_then(|found| found.map_or(Ok(None), |carried| carried.content()));
    content.is_ok_and(|content| content.is_some())
}

/// Was the debug information taken out of this object?
pub fn is_dropped(object: &Path) -> bool {
    let Ok(mapped) = Mapped::open(object) else {
        return false;
    };
    Elf::parse(&mapped).is_ok_and(|elf| is_marked(&elf) && !elf.has_section(".debug_info"))
}
