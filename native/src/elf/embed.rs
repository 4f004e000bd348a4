// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Adding sections to a finished ELF: their bytes, the section names and the section headers go
//! to the end of the file, everything else stays where it is.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use crate::elf::layout::{name_at, Class, Editor, SHF_COMPRESSED, SHT_PROGBITS};
use crate::elf::Elf;
use crate::support::error::{io, Error, Result};
use crate::support::files::{self, Mapped};
use crate::support::parts::Parts;

/// Add sections, or replace those that are there. The file is replaced at once or not at all. Where
/// it holds them already it only becomes newer, since make asks whether it is.
pub fn embed(path: &Path, sections: &[(&str, &[u8])]) -> Result<()> {
    let mapped = Mapped::open(path)?;
    if holds(&mapped, sections) {
        let file = fs::File::options().write(true).open(path);
        if file.is_ok_and(|file| file.set_modified(SystemTime::now()).is_ok()) {
            return Ok(());
        }
    }
    let new = edit(mapped.bytes(), sections).map_err(|e| e.at(path.display()))?;
    let old = fs::metadata(path).map_err(io("read", path))?;
    files::replace(path, &new.slices(), old.permissions())
}

fn holds(mapped: &Mapped, sections: &[(&str, &[u8])]) -> bool {
    Elf::parse(mapped).is_ok_and(|elf| {
        sections.iter().all(|(name, content)| {
            let found = elf.range_of(name).map(|range| &mapped.bytes()[range]);
            found == Some(*content)
        })
    })
}

fn edit<'a>(bytes: &'a [u8], sections: &[(&str, &'a [u8])]) -> Result<Parts<'a>> {
    let elf = Editor::new(bytes)?;
    let class = elf.class;
    let entry = class.header;
    let (mut headers, names_index) = elf.section_headers()?;
    let mut count = headers.len() / entry;
    let mut names = elf.content(&headers, names_index)?.to_vec();
    let mut existing = Vec::new();
    for (name, _) in sections {
        let mut found = None;
        for i in (1..count).rev() {
            let at = elf.get(&headers, i * entry, 4)? as usize;
            if name_at(&names, at) == name.as_bytes() {
                found = Some(i);
            }
        }
        existing.push(found);
    }
    // What stays ends where the last section ends that is not written anew.
    let mut keep = elf.class.header.max(64);
    let program_headers_end = program_headers_end(&elf)?;
    keep = keep.max(program_headers_end);
    for i in 0..count {
        if i != names_index && !existing.contains(&Some(i)) {
            let (offset, size) = elf.place(&headers, i)?;
            keep = keep.max(offset.saturating_add(size));
        }
    }
    let (start, rest) = bytes
        .get(..keep)
        .and_then(|kept| kept.split_at_checked(class.file_header))
        .ok_or_else(|| Error::new("damaged ELF: a section lies outside"))?;
    let mut out = Parts::new(start);
    out.push(rest);
    for ((name, data), found) in sections.iter().zip(existing) {
        out.align(8);
        let at = match found {
            Some(i) => i * entry,
            None => {
                let at = count * entry;
                headers.resize(headers.len() + entry, 0);
                elf.put(&mut headers, at, 4, names.len() as u64);
                names.extend_from_slice(name.as_bytes());
                names.push(0);
                elf.put(&mut headers, at + class.sh_addralign, class.word, 1);
                count += 1;
                at
            }
        };
        // What was there may have been without content, or compressed.
        elf.put(&mut headers, at + 4, 4, SHT_PROGBITS);
        let flags = elf.get(&headers, at + class.sh_flags, class.word)?;
        elf.put(
            &mut headers,
            at + class.sh_flags,
            class.word,
            flags & !SHF_COMPRESSED,
        );
        elf.put_place(&mut headers, at, out.len(), data.len());
        out.push(data);
    }
    elf.put_place(&mut headers, names_index * entry, out.len(), names.len());
    out.copy(&names);
    out.align(8);
    elf.put_section_headers(&mut out, &mut headers);
    Ok(out)
}

fn program_headers_end(elf: &Editor<'_>) -> Result<usize> {
    let Class {
        e_phoff,
        e_phentsize,
        ..
    } = *elf.class;
    let offset = elf.get(elf.bytes, e_phoff, elf.class.word)? as usize;
    let size = elf.get(elf.bytes, e_phentsize, 2)? as usize;
    let count = elf.get(elf.bytes, e_phentsize + 2, 2)? as usize;
    Ok(offset.saturating_add(size.saturating_mul(count)))
}
