// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Adding sections to a finished ELF: their bytes, the section names and the section headers go
//! to the end of the file, everything else stays where it is.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use crate::elf::Elf;
use crate::support::endian;
use crate::support::error::{io, Error, Result};
use crate::support::files::{self, Mapped};

/// Layout of the headers, by class: offsets and sizes in bytes (System V ABI, chapter 4).
struct Class {
    word: usize,
    e_shoff: usize,
    e_shentsize: usize,
    header: usize,
    sh_flags: usize,
    sh_offset: usize,
    sh_size: usize,
    sh_link: usize,
    sh_addralign: usize,
}

const ELF64: Class = Class {
    word: 8,
    e_shoff: 40,
    e_shentsize: 58,
    header: 64,
    sh_flags: 8,
    sh_offset: 24,
    sh_size: 32,
    sh_link: 40,
    sh_addralign: 48,
};

const ELF32: Class = Class {
    word: 4,
    e_shoff: 32,
    e_shentsize: 46,
    header: 40,
    sh_flags: 8,
    sh_offset: 16,
    sh_size: 20,
    sh_link: 24,
    sh_addralign: 32,
};

const SHT_PROGBITS: u64 = 1;
const SHT_NOBITS: u64 = 8;
const SHF_COMPRESSED: u64 = 1 << 11;
/// Section counts from here on do not fit the ELF header.
const SHN_LORESERVE: usize = 0xff00;
const SHN_XINDEX: u64 = 0xffff;

struct Editor<'a> {
    class: &'static Class,
    big: bool,
    bytes: &'a [u8],
}

impl Editor<'_> {
    fn get(&self, from: &[u8], at: usize, size: usize) -> Result<u64> {
        let field = from
            .get(at..at + size)
            .ok_or_else(|| Error::new("damaged ELF: the section headers lie outside"))?;
        Ok(endian::get(field, self.big))
    }

    fn put(&self, into: &mut [u8], at: usize, size: usize, value: u64) {
        endian::put(&mut into[at..at + size], value, self.big);
    }

    /// Where the contents of the section lie whose header starts at `at`.
    fn put_place(&self, headers: &mut [u8], at: usize, offset: usize, size: usize) {
        let class = self.class;
        self.put(headers, at + class.sh_offset, class.word, offset as u64);
        self.put(headers, at + class.sh_size, class.word, size as u64);
    }
}

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
    files::replace(path, &new, old.permissions())
}

fn holds(mapped: &Mapped, sections: &[(&str, &[u8])]) -> bool {
    Elf::parse(mapped).is_ok_and(|elf| {
        sections.iter().all(|(name, content)| {
            let found = elf.range_of(name).map(|range| &mapped.bytes()[range]);
            found == Some(*content)
        })
    })
}

fn edit(bytes: &[u8], sections: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let (class, big) = match bytes.get(..6) {
        Some([0x7f, b'E', b'L', b'F', class, data]) => {
            (if *class == 2 { &ELF64 } else { &ELF32 }, *data == 2)
        }
        _ => return Err(Error::new("not an ELF file")),
    };
    let elf = Editor { class, big, bytes };
    let table = elf.get(bytes, class.e_shoff, class.word)? as usize;
    let entry = elf.get(bytes, class.e_shentsize, 2)? as usize;
    if table == 0 || entry != class.header {
        return Err(Error::new("no section headers"));
    }
    let mut count = elf.get(bytes, class.e_shentsize + 2, 2)? as usize;
    if count == 0 {
        count = elf.get(bytes, table + class.sh_size, class.word)? as usize;
    }
    let mut names_index = elf.get(bytes, class.e_shentsize + 4, 2)?;
    if names_index == SHN_XINDEX {
        names_index = elf.get(bytes, table + class.sh_link, 4)?;
    }
    let names_index = names_index as usize;
    let end = count
        .checked_mul(entry)
        .and_then(|size| table.checked_add(size));
    let mut headers = end
        .and_then(|end| bytes.get(table..end))
        .ok_or_else(|| Error::new("damaged ELF: the section headers lie outside"))?
        .to_vec();
    if names_index >= count {
        return Err(Error::new("damaged ELF: no section names"));
    }
    let place = |headers: &[u8], i: usize| -> Result<(usize, usize)> {
        let at = i * entry;
        // It is nowhere in the file; its offset may lie behind the end.
        if elf.get(headers, at + 4, 4)? == SHT_NOBITS {
            return Ok((0, 0));
        }
        let offset = elf.get(headers, at + class.sh_offset, class.word)? as usize;
        let size = elf.get(headers, at + class.sh_size, class.word)? as usize;
        Ok((offset, size))
    };
    let (names_at, names_len) = place(&headers, names_index)?;
    let mut names = names_at
        .checked_add(names_len)
        .and_then(|end| bytes.get(names_at..end))
        .ok_or_else(|| Error::new("damaged ELF: no section names"))?
        .to_vec();
    let name_of = |headers: &[u8], i: usize| -> Result<Vec<u8>> {
        let at = elf.get(headers, i * entry, 4)? as usize;
        let rest = names.get(at..).unwrap_or(&[]);
        Ok(rest.iter().take_while(|&&b| b != 0).copied().collect())
    };
    let mut existing = Vec::new();
    for (name, _) in sections {
        let found = (1..count)
            .map(|i| Ok((i, name_of(&headers, i)?)))
            .collect::<Result<Vec<_>>>()?
            .into_iter()
            .find(|(_, n)| n == name.as_bytes())
            .map(|(i, _)| i);
        existing.push(found);
    }
    // What stays ends where the last section ends that is not written anew.
    let mut keep = elf.class.header.max(64);
    let program_headers_end = program_headers_end(&elf)?;
    keep = keep.max(program_headers_end);
    for i in 0..count {
        if i != names_index && !existing.contains(&Some(i)) {
            let (offset, size) = place(&headers, i)?;
            keep = keep.max(offset.saturating_add(size));
        }
    }
    let mut out = bytes
        .get(..keep)
        .ok_or_else(|| Error::new("damaged ELF: a section lies outside"))?
        .to_vec();
    let align = |out: &mut Vec<u8>| out.resize(out.len().next_multiple_of(8), 0);
    for ((name, data), found) in sections.iter().zip(existing) {
        align(&mut out);
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
        out.extend_from_slice(data);
    }
    elf.put_place(&mut headers, names_index * entry, out.len(), names.len());
    out.extend_from_slice(&names);
    align(&mut out);
    let table = out.len() as u64;
    elf.put(&mut out, class.e_shoff, class.word, table);
    if count >= SHN_LORESERVE {
        elf.put(&mut out, class.e_shentsize + 2, 2, 0);
        elf.put(&mut headers, class.sh_size, class.word, count as u64);
    } else {
        elf.put(&mut out, class.e_shentsize + 2, 2, count as u64);
    }
    out.extend_from_slice(&headers);
    Ok(out)
}

fn program_headers_end(elf: &Editor<'_>) -> Result<usize> {
    let (e_phoff, e_phentsize) = if elf.class.word == 8 {
        (32, 54)
    } else {
        (28, 42)
    };
    let offset = elf.get(elf.bytes, e_phoff, elf.class.word)? as usize;
    let size = elf.get(elf.bytes, e_phentsize, 2)? as usize;
    let count = elf.get(elf.bytes, e_phentsize + 2, 2)? as usize;
    Ok(offset.saturating_add(size.saturating_mul(count)))
}
