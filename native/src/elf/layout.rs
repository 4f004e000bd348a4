// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Where the fields of ELF's headers are, for what writes them.

use std::mem::{offset_of, size_of};

use object::{elf, Endianness};

use crate::support::endian;
use crate::support::error::{Error, Result};
use crate::support::parts::Parts;

/// Layout of the headers, by class: offsets and sizes in bytes.
pub struct Class {
    pub word: usize,
    pub file_header: usize,
    pub e_phoff: usize,
    pub e_phentsize: usize,
    pub e_shoff: usize,
    pub e_shentsize: usize,
    pub header: usize,
    pub sh_flags: usize,
    pub sh_offset: usize,
    pub sh_size: usize,
    pub sh_link: usize,
    pub sh_info: usize,
    pub sh_addralign: usize,
    /// Size of a symbol, and where its `st_shndx` is.
    pub symbol: usize,
    pub st_shndx: usize,
}

macro_rules! class {
    ($file:ident, $section:ident, $symbol:ident, $word:ty) => {
        Class {
            word: size_of::<$word>(),
            file_header: size_of::<elf::$file<Endianness>>(),
            e_phoff: offset_of!(elf::$file<Endianness>, e_phoff),
            e_phentsize: offset_of!(elf::$file<Endianness>, e_phentsize),
            e_shoff: offset_of!(elf::$file<Endianness>, e_shoff),
            e_shentsize: offset_of!(elf::$file<Endianness>, e_shentsize),
            header: size_of::<elf::$section<Endianness>>(),
            sh_flags: offset_of!(elf::$section<Endianness>, sh_flags),
            sh_offset: offset_of!(elf::$section<Endianness>, sh_offset),
            sh_size: offset_of!(elf::$section<Endianness>, sh_size),
            sh_link: offset_of!(elf::$section<Endianness>, sh_link),
            sh_info: offset_of!(elf::$section<Endianness>, sh_info),
            sh_addralign: offset_of!(elf::$section<Endianness>, sh_addralign),
            symbol: size_of::<elf::$symbol<Endianness>>(),
            st_shndx: offset_of!(elf::$symbol<Endianness>, st_shndx),
        }
    };
}

const ELF64: Class = class!(FileHeader64, SectionHeader64, Sym64, u64);
const ELF32: Class = class!(FileHeader32, SectionHeader32, Sym32, u32);

pub const SHT_NULL: u64 = elf::SHT_NULL.0 as u64;
pub const SHT_PROGBITS: u64 = elf::SHT_PROGBITS.0 as u64;
pub const SHT_SYMTAB: u64 = elf::SHT_SYMTAB.0 as u64;
pub const SHT_RELA: u64 = elf::SHT_RELA.0 as u64;
pub const SHT_NOBITS: u64 = elf::SHT_NOBITS.0 as u64;
pub const SHT_REL: u64 = elf::SHT_REL.0 as u64;
pub const SHT_GROUP: u64 = elf::SHT_GROUP.0 as u64;
pub const SHF_ALLOC: u64 = elf::SHF_ALLOC.0;
pub const SHF_COMPRESSED: u64 = elf::SHF_COMPRESSED.0;
pub const SHF_EXCLUDE: u64 = elf::SHF_EXCLUDE.0;
pub const SHN_XINDEX: u64 = elf::SHN_XINDEX.0 as u64;
/// Section counts from here on do not fit the ELF header.
const SHN_LORESERVE: usize = elf::SHN_LORESERVE as usize;

pub struct Editor<'a> {
    pub class: &'static Class,
    pub big: bool,
    pub bytes: &'a [u8],
}

impl<'a> Editor<'a> {
    pub fn new(bytes: &'a [u8]) -> Result<Editor<'a>> {
        match bytes.get(..6) {
            Some([0x7f, b'E', b'L', b'F', class, data]) => Ok(Editor {
                class: if *class == 2 { &ELF64 } else { &ELF32 },
                big: *data == 2,
                bytes,
            }),
            _ => Err(Error::new("not an ELF file")),
        }
    }

    pub fn get(&self, from: &[u8], at: usize, size: usize) -> Result<u64> {
        let field = from
            .get(at..at + size)
            .ok_or_else(|| Error::new("damaged ELF: the section headers lie outside"))?;
        Ok(endian::get(field, self.big))
    }

    pub fn put(&self, into: &mut [u8], at: usize, size: usize, value: u64) {
        endian::put(&mut into[at..at + size], value, self.big);
    }

    /// A copy of the section headers, and which one is that of the section names.
    pub fn section_headers(&self) -> Result<(Vec<u8>, usize)> {
        let Editor { class, bytes, .. } = *self;
        let table = self.get(bytes, class.e_shoff, class.word)? as usize;
        let entry = self.get(bytes, class.e_shentsize, 2)? as usize;
        if table == 0 || entry != class.header {
            return Err(Error::new("no section headers"));
        }
        let mut count = self.get(bytes, class.e_shentsize + 2, 2)? as usize;
        if count == 0 {
            count = self.get(bytes, table + class.sh_size, class.word)? as usize;
        }
        let mut names = self.get(bytes, class.e_shentsize + 4, 2)?;
        if names == SHN_XINDEX {
            names = self.get(bytes, table + class.sh_link, 4)?;
        }
        let end = count
            .checked_mul(entry)
            .and_then(|size| table.checked_add(size));
        let headers = end
            .and_then(|end| bytes.get(table..end))
            .ok_or_else(|| Error::new("damaged ELF: the section headers lie outside"))?;
        if names as usize >= count {
            return Err(Error::new("damaged ELF: no section names"));
        }
        Ok((headers.to_vec(), names as usize))
    }

    /// Write the section headers at the end of a file that starts with the ELF header.
    pub fn put_section_headers(&self, out: &mut Parts<'_>, headers: &mut [u8]) {
        let class = self.class;
        let count = headers.len() / class.header;
        let table = out.len() as u64;
        let start = out.start();
        self.put(start, class.e_shoff, class.word, table);
        if count >= SHN_LORESERVE {
            self.put(start, class.e_shentsize + 2, 2, 0);
            self.put(headers, class.sh_size, class.word, count as u64);
        } else {
            self.put(start, class.e_shentsize + 2, 2, count as u64);
        }
        out.copy(headers);
    }

    /// Offset and size in the file of a section's content.
    pub fn place(&self, headers: &[u8], i: usize) -> Result<(usize, usize)> {
        let Class {
            header,
            sh_offset,
            sh_size,
            word,
            ..
        } = *self.class;
        // It is nowhere in the file; its offset may lie behind the end.
        if self.get(headers, i * header + 4, 4)? == SHT_NOBITS {
            return Ok((0, 0));
        }
        let offset = self.get(headers, i * header + sh_offset, word)? as usize;
        let size = self.get(headers, i * header + sh_size, word)? as usize;
        Ok((offset, size))
    }

    /// The content of a section.
    pub fn content(&self, headers: &[u8], i: usize) -> Result<&'a [u8]> {
        let (offset, size) = self.place(headers, i)?;
        offset
            .checked_add(size)
            .and_then(|end| self.bytes.get(offset..end))
            .ok_or_else(|| Error::new("damaged ELF: a section lies outside"))
    }

    /// Where the contents of the section lie whose header starts at `at`.
    pub fn put_place(&self, headers: &mut [u8], at: usize, offset: usize, size: usize) {
        let class = self.class;
        self.put(headers, at + class.sh_offset, class.word, offset as u64);
        self.put(headers, at + class.sh_size, class.word, size as u64);
    }
}

/// The string at an offset of a string section.
pub fn name_at(names: &[u8], at: usize) -> &[u8] {
    let rest = names.get(at..).unwrap_or(&[]);
    rest.split(|&b| b == 0).next().unwrap_or(rest)
}
