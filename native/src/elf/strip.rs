// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Taking the debug sections out of an object, and putting a section of ours in.
//!
//! Their headers stay, as `SHT_NULL`, so that sections and symbols keep their numbers and nothing
//! that refers to them must be written anew: relocations, groups, tables of the compiler. Linkers
//! pass over such headers, and over the section symbols that they had.

use object::elf;

use crate::elf::layout::{
    name_at, Editor, SHF_ALLOC, SHN_XINDEX, SHT_GROUP, SHT_NOBITS, SHT_NULL, SHT_PROGBITS, SHT_REL,
    SHT_RELA, SHT_SYMTAB,
};
use crate::support::endian;
use crate::support::error::{Error, Result};
use crate::support::parts::Parts;

const ET_REL: u64 = elf::ET_REL.0 as u64;
const EM_MIPS: u64 = elf::EM_MIPS.0 as u64;
/// Debug sections of MIPS have a type of their own.
const SHT_MIPS_DWARF: u64 = elf::SHT_MIPS_DWARF.0 as u64;

/// Bytes that a longer table of names and alignment may add.
const SLACK: usize = 1 << 16;

/// A section that the object gets.
pub struct Added<'a> {
    pub name: &'a str,
    pub flags: u64,
    /// In parts, one behind the other.
    pub content: [&'a [u8]; 2],
}

/// The object with this section and, with `drop`, without its debug sections; `None` when it has none of
/// these. An object in which something else refers to what would go is refused.
pub fn with_section<'a>(
    bytes: &'a [u8],
    added: &Added<'a>,
    drop: bool,
) -> Result<Option<Parts<'a>>> {
    let elf = Editor::new(bytes)?;
    let class = elf.class;
    if elf.get(bytes, 16, 2)? != ET_REL {
        return Err(Error::new("not an object"));
    }
    let (mut headers, names_index) = elf.section_headers()?;
    let count = headers.len() / class.header;
    let names = elf.content(&headers, names_index)?;
    let field = |i: usize, at: usize, size: usize| elf.get(&headers, i * class.header + at, size);

    let mut gone = vec![false; count];
    for (i, gone) in gone.iter_mut().enumerate() {
        let name = name_at(names, field(i, 0, 4)? as usize);
        let is_debug = name.starts_with(b".debug_") || name.starts_with(b".zdebug_");
        let loaded = field(i, class.sh_flags, class.word)? & SHF_ALLOC != 0;
        let kind = field(i, 4, 4)?;
        *gone = is_debug && !loaded && [SHT_PROGBITS, SHT_MIPS_DWARF].contains(&kind);
    }
    if !gone.contains(&true) {
        return Ok(None);
    }
    if !drop {
        gone.fill(false);
    }
    for i in 0..count {
        let relocates = [SHT_RELA, SHT_REL].contains(&field(i, 4, 4)?);
        let which = field(i, class.sh_info, 4)? as usize;
        gone[i] |= relocates && gone.get(which).copied().unwrap_or(false);
    }
    for i in 0..count {
        if field(i, 4, 4)? == SHT_GROUP {
            // The first word is a flag.
            let members = elf.content(&headers, i)?.chunks_exact(4).skip(1);
            let is_gone = |m: &[u8]| gone.get(endian::get(m, elf.big) as usize) == Some(&true);
            let (lost, left): (Vec<&[u8]>, Vec<&[u8]>) = members.partition(|m| is_gone(m));
            if !lost.is_empty() && !left.is_empty() {
                return Err(Error::new("a group has debug sections and others"));
            }
            gone[i] = !lost.is_empty();
        }
    }
    refuse_references(&elf, &headers, &gone)?;

    let mut out = Parts::new(&bytes[..class.file_header]);
    let mut order: Vec<(usize, usize)> = Vec::with_capacity(count);
    for i in (1..count).filter(|&i| !gone[i]) {
        order.push((field(i, class.sh_offset, class.word)? as usize, i));
    }
    order.sort_unstable();
    let mut new_names = names.to_vec();
    let name = new_names.len() as u64;
    new_names.extend_from_slice(added.name.as_bytes());
    new_names.push(0);
    let mut places = Vec::with_capacity(count);
    for (_, i) in order {
        let kind = field(i, 4, 4)?;
        let alignment = field(i, class.sh_addralign, class.word)?.max(1) as usize;
        if kind == SHT_NULL {
            continue;
        }
        if alignment <= bytes.len() {
            out.align(alignment);
        }
        let at = out.len();
        let size = if i == names_index {
            out.copy(&new_names);
            new_names.len()
        } else {
            out.push(elf.content(&headers, i)?);
            match kind {
                SHT_NOBITS => field(i, class.sh_size, class.word)? as usize,
                _ => out.len() - at,
            }
        };
        places.push((i, at, size));
        // In the same order none lies much farther behind than it did, if none lies in another.
        if out.len() > 2 * bytes.len() + SLACK {
            return Err(Error::new("damaged ELF: sections lie in each other"));
        }
    }
    for (i, offset, size) in places {
        elf.put_place(&mut headers, i * class.header, offset, size);
    }
    for i in (0..count).filter(|&i| gone[i]) {
        headers[i * class.header..(i + 1) * class.header].fill(0);
    }
    let at = headers.len();
    headers.resize(at + class.header, 0);
    elf.put(&mut headers, at, 4, name);
    elf.put(&mut headers, at + 4, 4, SHT_PROGBITS);
    elf.put(&mut headers, at + class.sh_flags, class.word, added.flags);
    elf.put(&mut headers, at + class.sh_addralign, class.word, 8);
    out.align(8);
    let size = added.content.iter().map(|part| part.len()).sum();
    elf.put_place(&mut headers, at, out.len(), size);
    for part in added.content {
        out.push(part);
    }
    out.align(8);
    elf.put_section_headers(&mut out, &mut headers);
    Ok(Some(out))
}

/// What stays must not refer to what goes: a linker would read it as the address 0.
fn refuse_references(elf: &Editor<'_>, headers: &[u8], gone: &[bool]) -> Result<()> {
    let class = elf.class;
    let field = |i: usize, at: usize, size: usize| elf.get(headers, i * class.header + at, size);
    let is_gone = |section: u64| gone.get(section as usize) == Some(&true);
    let damaged = || Error::new("damaged ELF: a symbol lies outside");
    let mut table = Vec::new();
    for i in 0..gone.len() {
        if field(i, 4, 4)? == SHT_SYMTAB {
            for symbol in elf.content(headers, i)?.chunks_exact(class.symbol) {
                let section = elf.get(symbol, class.st_shndx, 2)?;
                if section == SHN_XINDEX {
                    return Err(Error::new("it has too many sections"));
                }
                table.push(is_gone(section));
            }
        }
    }
    // The high half of `r_info`; of MIPS the first half, in either byte order.
    let first = elf.big || elf.get(elf.bytes, 18, 2)? == EM_MIPS;
    let symbol_at = if first { 8 } else { 12 };
    for i in (0..gone.len()).filter(|&i| !gone[i]) {
        if is_gone(field(i, class.sh_link, 4)?) {
            return Err(Error::new(
                "a section that stays belongs to a debug section",
            ));
        }
        let entry = match field(i, 4, 4)? {
            SHT_RELA => 3 * class.word,
            SHT_REL => 2 * class.word,
            _ => continue,
        };
        for relocation in elf.content(headers, i)?.chunks_exact(entry) {
            let symbol = match class.word {
                8 => elf.get(relocation, symbol_at, 4)?,
                _ => elf.get(relocation, 4, 4)? >> 8,
            };
            if *table.get(symbol as usize).ok_or_else(damaged)? {
                return Err(Error::new("what stays refers to its debug sections"));
            }
        }
    }
    Ok(())
}
