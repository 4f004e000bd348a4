// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Reading ELF: sections (decompressed, relocated), symbols, and where an address field points.

pub mod embed;
pub mod image;
pub mod layout;
pub mod spans;
pub mod strip;

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use object::elf;
use object::read::{
    Object, ObjectKind, ObjectSection, ObjectSymbol, ReadRef, RelocationTarget, SectionIndex,
    SymbolIndex,
};
use object::{RelocationFlags, RelocationKind, SectionFlags, SymbolFlags};
use xxhash_rust::xxh3::xxh3_64;

use self::spans::Spans;
use crate::support::endian;
use crate::support::error::{Error, Result};
use crate::support::files::Mapped;
use crate::support::limits::NAME;

/// Bytes that compressed sections may have in any file, and how many times its size in addition.
const LITTLE: u64 = 64 << 20;
const MANIFOLD: u64 = 8;

/// Where a relocated address field points: into a section of this file, or at a named symbol that
/// only the link resolves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    pub symbol: u32,
    pub section: u32,
    pub offset: u64,
}

/// A section as the encoder reads it: bytes with relocations applied. `targets` keeps, in order of
/// offset, the relocations that point at code or data, whose section would otherwise be lost.
#[derive(Default)]
pub struct Section<'a> {
    pub data: Cow<'a, [u8]>,
    pub targets: Vec<(u64, Target)>,
}

impl Section<'_> {
    /// The relocation target of the field at `offset`.
    pub fn target(&self, offset: u64) -> Option<Target> {
        let i = self
            .targets
            .binary_search_by_key(&offset, |&(at, _)| at)
            .ok()?;
        Some(self.targets[i].1)
    }
}

pub struct Symbol<'a> {
    pub name: &'a [u8],
    pub value: u64,
    pub size: u64,
    /// Section index, or 0 for undefined, absolute and common symbols.
    pub section: u32,
    /// `STT_*`
    pub kind: u8,
    /// `STB_*`
    pub binding: u8,
}

impl Symbol<'_> {
    fn is_global_function(&self) -> bool {
        let (kind, binding) = (self.kind, self.binding);
        kind == elf::STT_FUNC.0 && binding != elf::STB_LOCAL.0 && self.section != 0
    }
}

/// How `object` reads a file; a longer name than `NAME` is none. Its own way for slices of bytes looks for the end of each name with the
/// crate memchr, which first asks the processor what it can: eight questions, which in a virtual
/// machine each go to the host. The C library has asked already.
#[derive(Clone, Copy)]
struct Content<'a>(&'a [u8]);

impl<'a> ReadRef<'a> for Content<'a> {
    fn len(self) -> std::result::Result<u64, ()> {
        ReadRef::len(self.0)
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> std::result::Result<&'a [u8], ()> {
        self.0.read_bytes_at(offset, size)
    }

    fn read_bytes_at_until(
        self,
        range: Range<u64>,
        delimiter: u8,
    ) -> std::result::Result<&'a [u8], ()> {
        let size = range.end.checked_sub(range.start).ok_or(())?;
        let size = size.min(NAME as u64 + 1);
        let bytes = self.0.read_bytes_at(range.start, size)?;
        // SAFETY: it reads no more than the bytes.
        let end = unsafe { libc::memchr(bytes.as_ptr().cast(), delimiter.into(), bytes.len()) };
        let len = (end as usize)
            .checked_sub(bytes.as_ptr() as usize)
            .ok_or(())?;
        bytes.get(..len).ok_or(())
    }
}

pub struct Elf<'a> {
    file: object::File<'a, Content<'a>>,
    mapped: &'a Mapped,
    bytes: &'a [u8],
    pub path: &'a Path,
}

impl<'a> Elf<'a> {
    pub fn parse(mapped: &'a Mapped) -> Result<Elf<'a>> {
        let bytes = mapped.bytes();
        let path = mapped.path.as_path();
        if bytes.starts_with(b"BC\xc0\xde") {
            return Err(Error::new("LLVM bitcode, not an ELF object (LTO)")
                .at(path.display())
                .hint("encode the linked file instead"));
        }
        if !bytes.starts_with(b"\x7fELF") {
            return Err(Error::new("not an ELF file").at(path.display()));
        }
        let file = object::File::parse(Content(bytes))
            .map_err(|e| Error::new(format!("damaged ELF: {e}")).at(path.display()))?;
        Ok(Elf {
            file,
            mapped,
            bytes,
            path,
        })
    }

    pub fn is_relocatable(&self) -> bool {
        self.file.kind() == ObjectKind::Relocatable
    }

    /// Bytes of the file.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    pub fn big_endian(&self) -> bool {
        !self.file.is_little_endian()
    }

    pub fn endian(&self) -> gimli::RunTimeEndian {
        if self.big_endian() {
            gimli::RunTimeEndian::Big
        } else {
            gimli::RunTimeEndian::Little
        }
    }

    pub fn is_64(&self) -> bool {
        self.file.is_64()
    }

    /// `e_machine`
    pub fn machine(&self) -> u16 {
        let field = self.bytes.get(18..20).unwrap_or(&[]);
        endian::get(field, self.big_endian()) as u16
    }

    fn damaged(&self, section: &[u8], cause: impl std::fmt::Display) -> Error {
        Error::new(format!(
            "damaged section {}: {cause}",
            String::from_utf8_lossy(section)
        ))
        .at(self.path.display())
    }

    /// Every section: (index, name, address, size, is it allocated, is it PROGBITS or NOBITS).
    pub fn sections(&self) -> Vec<SectionInfo<'_>> {
        self.file
            .sections()
            .map(|s| {
                let (sh_type, sh_flags) = match s.flags() {
                    SectionFlags::Elf {
                        sh_type, sh_flags, ..
                    } => (sh_type.0, sh_flags.0),
                    _ => (0, 0),
                };
                SectionInfo {
                    index: s.index().0 as u32,
                    name: s.name_bytes().unwrap_or(b""),
                    address: s.address(),
                    size: s.size(),
                    alloc: sh_flags & elf::SHF_ALLOC.0 != 0,
                    merges: sh_flags & elf::SHF_MERGE.0 != 0,
                    holds_code: sh_flags & elf::SHF_EXECINSTR.0 != 0,
                    holds_data: sh_type == elf::SHT_PROGBITS.0 || sh_type == elf::SHT_NOBITS.0,
                }
            })
            .collect()
    }

    pub fn has_section(&self, name: &str) -> bool {
        self.file.sections().any(|s| is_named(&s, name))
    }

    /// Does the object hold code that is compiled only at the link (gcc or clang LTO)? What debug
    /// information it has then describes code that is not linked.
    pub fn holds_lto_code(&self) -> bool {
        self.file.sections().any(|s| {
            s.name_bytes()
                .is_ok_and(|n| n.starts_with(b".gnu.lto_") || n == b".llvm.lto")
        })
    }

    /// The bytes of a section as they stand in the file, decompressed; `None` when it is absent, as
    /// it is, too, in a file of nothing but debug information that has kept its header.
    pub fn raw_section(&self, name: &str) -> Result<Option<Cow<'a, [u8]>>> {
        let mut named = self.file.sections().filter(|s| is_named(s, name));
        match named.next().filter(|s| !is_without_content(s)) {
            None => Ok(None),
            Some(s) => self.content(&s).map(Some),
        }
    }

    /// Decompressed. What headers say of the sizes is not believed beyond what debug information can
    /// be, which is compressed three- to fivefold.
    fn content(&self, section: &impl ObjectSection<'a>) -> Result<Cow<'a, [u8]>> {
        let name = section.name_bytes().unwrap_or(b"");
        let stored = section
            .compressed_data()
            .map_err(|e| self.damaged(name, e))?;
        if stored.format != object::CompressionFormat::None {
            let said = self.file.sections().filter_map(|s| {
                let range = s.compressed_file_range().ok()?;
                (range.format != object::CompressionFormat::None).then_some(range.uncompressed_size)
            });
            let said = said.fold(0u64, u64::saturating_add);
            let size = self.bytes.len() as u64;
            if said > LITTLE + MANIFOLD * size {
                return Err(Error::new(format!(
                    "damaged: its compressed sections would be {said} bytes, of a file of {size}"
                ))
                .at(self.path.display())
                .hint("compile it again"));
            }
        }
        stored.decompress().map_err(|e| self.damaged(name, e))
    }

    /// Where the bytes of a section lie in the file; `None` also when they are compressed.
    pub fn range_of(&self, name: &str) -> Option<Range<usize>> {
        let section = self.file.section_by_name(name)?;
        if is_without_content(&section) {
            return None;
        }
        let (start, len) = section.compressed_file_range().ok().and_then(|range| {
            (range.format == object::CompressionFormat::None)
                .then_some((range.offset as usize, range.uncompressed_size as usize))
        })?;
        let range = start..start.checked_add(len)?;
        self.bytes.get(range.clone()).map(|_| range)
    }

    /// Name and bytes, as stored, of every section whose name passes; and of debug sections with
    /// the old names of compressed ones.
    pub fn stored_sections(
        &self,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<(&[u8], &'a [u8])>> {
        let mut found = Vec::new();
        for section in self.file.sections() {
            let name = section.name_bytes().unwrap_or(b"");
            if wanted(name) || name.starts_with(b".zdebug_") {
                found.push((name, section.data().map_err(|e| self.damaged(name, e))?));
            }
        }
        Ok(found)
    }

    /// The relocations of a section, as numbers: place, type, symbol, addend. Those against
    /// sections that `ignored` names are left out.
    pub fn for_each_relocation(
        &self,
        name: &[u8],
        ignored: &[u8],
        mut visit: impl FnMut([u64; 4]),
    ) {
        let mut sections = self.file.sections();
        let Some(section) = sections.find(|s| s.name_bytes() == Ok(name)) else {
            return;
        };
        let skipped: Vec<usize> = self
            .file
            .sections()
            .filter(|s| s.name_bytes() == Ok(ignored))
            .map(|s| s.index().0)
            .collect();
        let places = self.symbol_places();
        for (offset, relocation) in section.relocations() {
            let RelocationTarget::Symbol(index) = relocation.target() else {
                continue;
            };
            if places
                .get(index.0)
                .is_some_and(|&(_, section)| skipped.contains(&section))
            {
                continue;
            }
            let kind = match relocation.flags() {
                RelocationFlags::Elf { r_type } => u64::from(r_type.0),
                _ => 0,
            };
            visit([offset, kind, index.0 as u64, relocation.addend() as u64]);
        }
    }

    /// Like `raw_section`, with relocations applied when this is a relocatable object.
    pub fn section(&self, name: &str) -> Result<Section<'a>> {
        let mut named = self.file.sections().filter(|s| is_named(s, name));
        let Some(section) = named.next() else {
            return Ok(Section::default());
        };
        if named.next().is_some() {
            return Err(Error::new(format!(
                "several {name} sections (COMDAT groups are not supported)"
            ))
            .at(self.path.display())
            .hint("build without -fdebug-types-section"));
        }
        let data = self.content(&section)?;
        if !self.is_relocatable() {
            return Ok(Section {
                data,
                targets: Vec::new(),
            });
        }
        self.relocate(name, data, section.relocations())
    }

    /// See `Mapped::forget`.
    pub fn forget(&self, part: &[u8]) {
        self.mapped.forget(part);
    }

    fn relocate(
        &self,
        name: &str,
        data: Cow<'a, [u8]>,
        relocations: impl Iterator<Item = (u64, object::Relocation)>,
    ) -> Result<Section<'a>> {
        let big = self.big_endian();
        let mut targets = Vec::new();
        let machine = self.machine();
        let mut relocations = relocations.peekable();
        if relocations.peek().is_none() {
            return Ok(Section { data, targets });
        }
        if !is_tried(machine) {
            return Err(Error::new(format!(
                "relocations of this machine (e_machine {machine}) have never been tried"
            ))
            .at(self.path.display())
            .hint("encode the linked file, which has none"));
        }
        let debug = self.debug_sections();
        let places = self.symbol_places();
        let stored = match data {
            Cow::Borrowed(stored) => stored,
            Cow::Owned(_) => &[],
        };
        let mut bytes = data.into_owned();
        for (offset, relocation) in relocations {
            let RelocationTarget::Symbol(index) = relocation.target() else {
                continue;
            };
            let &(address, section) = places
                .get(index.0)
                .ok_or_else(|| self.damaged(name.as_bytes(), "symbol index out of range"))?;
            let apply = Apply::of(&relocation, machine).map_err(|r| {
                Error::new(format!(
                    "relocation type {r} of this machine (e_machine {machine}) is not known"
                ))
                .at(format!("{}: {name} at {offset:#x}", self.path.display()))
                .hint("encode the linked file, which has none, and please report it")
            })?;
            let at = usize::try_from(offset).unwrap_or(usize::MAX);
            let Some(field) = at
                .checked_add(apply.size)
                .and_then(|end| bytes.get_mut(at..end))
            else {
                return Err(self.damaged(
                    name.as_bytes(),
                    format!("relocation at {offset:#x} lies outside"),
                ));
            };
            let old = |field: &[u8]| endian::get(field, big);
            let addend = if relocation.has_implicit_addend() && apply.how == How::Set {
                old(field) as i64
            } else {
                relocation.addend()
            };
            let value = address.wrapping_add(addend as u64);
            let new = match apply.how {
                How::Set => value,
                How::Add => old(field).wrapping_add(value),
                How::Sub => old(field).wrapping_sub(value),
                How::Ignore => continue,
            };
            endian::put(field, new, big);
            if apply.how == How::Set && !debug.get(section).copied().unwrap_or(false) {
                targets.push((
                    offset,
                    Target {
                        symbol: index.0 as u32,
                        section: section as u32,
                        offset: value,
                    },
                ));
            }
        }
        self.forget(stored);
        for prefix in [".rela", ".rel"] {
            let range = self.range_of(&format!("{prefix}{name}"));
            self.forget(range.map_or(&[], |range| &self.bytes[range]));
        }
        // Assemblers emit relocations in order; a sort of sorted input is cheap.
        targets.sort_by_key(|&(at, _)| at);
        Ok(Section {
            data: bytes.into(),
            targets,
        })
    }

    /// Address and section of each symbol by its index (section 0: none). An object has ten times
    /// as many relocations as symbols.
    fn symbol_places(&self) -> Vec<(u64, usize)> {
        let mut places = vec![(0, 0)];
        for symbol in self.file.symbols() {
            let section = symbol.section_index().map_or(0, |SectionIndex(i)| i);
            places.resize(symbol.index().0, (0, 0));
            places.push((symbol.address(), section));
        }
        places
    }

    fn debug_sections(&self) -> Vec<bool> {
        let mut flags = Vec::new();
        for s in self.file.sections() {
            let i = s.index().0;
            if flags.len() <= i {
                flags.resize(i + 1, false);
            }
            flags[i] = s
                .name_bytes()
                .is_ok_and(|n| n.starts_with(b".debug_") || n.starts_with(b".zdebug_"));
        }
        flags
    }

    /// Names of the source files that the symbols come from (`STT_FILE`), in order. An object of one
    /// source names one; one that `ld -r` made of several names them all; assembler names none.
    pub fn source_files(&self) -> Vec<&'a [u8]> {
        self.file
            .symbols()
            .filter(|s| matches!(s.flags(), SymbolFlags::Elf { st_info, .. } if st_info.st_type() == elf::STT_FILE))
            .filter_map(|s| s.name_bytes().ok())
            .collect()
    }

    /// Where the code of each function descriptor is, by the descriptor's own section and address: in
    /// the first version of the 64-bit PowerPC ABI a function's symbol stands at a descriptor in
    /// `.opd`, whose first word is the address of the code, while its size is that of the code.
    fn function_descriptors(&self) -> Descriptors {
        let mut found = HashMap::new();
        if self.machine() != elf::EM_PPC64.0 {
            return found;
        }
        let Some(opd) = self.file.sections().find(|s| is_named(s, ".opd")) else {
            return found;
        };
        let number = opd.index().0 as u32;
        if self.is_relocatable() {
            let places = self.symbol_places();
            for (offset, relocation) in opd.relocations() {
                let RelocationTarget::Symbol(index) = relocation.target() else {
                    continue;
                };
                if let Some(&(address, section)) = places.get(index.0) {
                    let entry = address.wrapping_add(relocation.addend() as u64);
                    found.insert((number, offset), (section as u32, entry));
                }
            }
            return found;
        }
        let Ok(bytes) = opd.data() else {
            return found;
        };
        let sections = self.sections();
        let allocated = (0..).zip(&sections).filter(|(_, s)| s.alloc);
        let spans = Spans::new(allocated.map(|(i, s)| (i, s.address, s.size)));
        for (i, word) in (0..).zip(bytes.chunks_exact(8)) {
            let entry = endian::get(word, self.big_endian());
            if let Some(section) = spans.first(entry).map(|i| &sections[i as usize]) {
                found.insert((number, opd.address() + 8 * i), (section.index, entry));
            }
        }
        found
    }

    /// `.symtab` without the null entry; position i is symbol index i + 1.
    pub fn symbols(&self) -> Vec<Symbol<'_>> {
        self.each_symbol().collect()
    }

    /// The same, one after the other.
    pub fn each_symbol(&self) -> impl Iterator<Item = Symbol<'_>> {
        let descriptors = self.function_descriptors();
        let symbols = self.file.symbols();
        symbols.filter_map(move |s| self.as_symbol(&s, &descriptors))
    }

    fn as_symbol<'s>(
        &self,
        s: &impl ObjectSymbol<'s>,
        descriptors: &Descriptors,
    ) -> Option<Symbol<'s>> {
        let SymbolFlags::Elf { st_info: info, .. } = s.flags() else {
            return None;
        };
        // On ARM bit 0 says that the function is Thumb code; it is no part of the address.
        let arm = self.machine() == elf::EM_ARM.0;
        let thumb = u64::from(arm && info.st_type() == elf::STT_FUNC);
        let mut section = s.section_index().map_or(0, |i| i.0 as u32);
        let mut value = s.address() & !thumb;
        if let Some(entry) = descriptors.get(&(section, value)) {
            (section, value) = *entry;
        }
        Some(Symbol {
            name: s.name_bytes().unwrap_or(b""),
            value,
            size: s.size(),
            section,
            kind: info.st_type().0,
            binding: info.st_bind().0,
        })
    }

    /// The global functions, to be asked by name.
    pub fn global_functions(&self) -> GlobalFunctions {
        let descriptors = self.function_descriptors();
        let mut by_hash: Vec<(u64, SymbolIndex)> = Vec::new();
        for s in self.file.symbols() {
            let symbol = self.as_symbol(&s, &descriptors);
            if let Some(name) = symbol.filter(Symbol::is_global_function).map(|s| s.name) {
                by_hash.push((xxh3_64(name), s.index()));
            }
        }
        by_hash.sort_unstable_by_key(|&(hash, index)| (hash, index.0));
        GlobalFunctions {
            by_hash,
            descriptors,
        }
    }

    pub fn global_function(&self, all: &GlobalFunctions, name: &[u8]) -> Option<Symbol<'_>> {
        let hash = xxh3_64(name);
        let from = all.by_hash.partition_point(|&(h, _)| h < hash);
        let same = all.by_hash[from..].iter().take_while(|&&(h, _)| h == hash);
        let mut symbols = same.filter_map(|&(_, index)| {
            let symbol = self.file.symbol_by_index(index).ok()?;
            self.as_symbol(&symbol, &all.descriptors)
        });
        symbols.find(|symbol| symbol.name == name)
    }
}

/// Code of function descriptors, by section and address.
type Descriptors = HashMap<(u32, u64), (u32, u64)>;

/// Hashes of their names, ascending: names themselves would take megabytes of a kernel.
pub struct GlobalFunctions {
    by_hash: Vec<(u64, SymbolIndex)>,
    descriptors: Descriptors,
}

pub struct SectionInfo<'a> {
    pub index: u32,
    pub name: &'a [u8],
    pub address: u64,
    pub size: u64,
    pub alloc: bool,
    pub holds_data: bool,
    pub holds_code: bool,
    /// Linkers put equal parts of such sections together.
    pub merges: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Set,
    Add,
    Sub,
    Ignore,
}

struct Apply {
    how: How,
    size: usize,
}

impl Apply {
    /// How a relocation changes its field. The generic absolute kinds cover all but the
    /// pairwise differences that RISC-V and LoongArch emit because their linkers relax.
    fn of(relocation: &object::Relocation, machine: u16) -> std::result::Result<Apply, u32> {
        let size = usize::from(relocation.size() / 8);
        match relocation.kind() {
            RelocationKind::Absolute | RelocationKind::SectionOffset if size != 0 => {
                return Ok(Apply {
                    how: How::Set,
                    size,
                })
            }
            RelocationKind::None => {
                return Ok(Apply {
                    how: How::Ignore,
                    size: 0,
                })
            }
            _ => {}
        }
        let RelocationFlags::Elf { r_type } = relocation.flags() else {
            return Err(0);
        };
        let r_type = r_type.0;
        if is_thread_local(machine, r_type) {
            return Ok(Apply {
                how: How::Ignore,
                size: 0,
            });
        }
        let riscv = machine == elf::EM_RISCV.0;
        let loongarch = machine == elf::EM_LOONGARCH.0;
        let bpf = machine == elf::EM_BPF.0;
        // Documents of the machines: BPF absolute addresses in data; RISC-V 33..40 add/sub, 52..57 set/sub6; LoongArch 47..56 add/sub.
        let (how, size) = match r_type {
            33..=36 if riscv => (How::Add, 1 << (r_type - 33)),
            37..=40 if riscv => (How::Sub, 1 << (r_type - 37)),
            54..=56 if riscv => (How::Set, 1 << (r_type - 54)),
            51 | 52 | 53 | 60 | 61 if riscv => (How::Ignore, 0),
            2 if bpf => (How::Set, 8),
            3 | 4 if bpf => (How::Set, 4),
            47 if loongarch => (How::Add, 1),
            48 if loongarch => (How::Add, 2),
            50 if loongarch => (How::Add, 4),
            51 if loongarch => (How::Add, 8),
            52 if loongarch => (How::Sub, 1),
            53 if loongarch => (How::Sub, 2),
            55 if loongarch => (How::Sub, 4),
            56 if loongarch => (How::Sub, 8),
            105..=110 if loongarch => (How::Ignore, 0),
            _ => return Err(r_type),
        };
        Ok(Apply { how, size })
    }
}

/// `SHT_NOBITS`
fn is_without_content<'d>(section: &impl ObjectSection<'d>) -> bool {
    matches!(section.flags(), SectionFlags::Elf { sh_type, .. } if sh_type == elf::SHT_NOBITS)
}

/// Compressed debug sections had names of their own before ELF had a flag for it.
fn is_named<'d>(section: &impl ObjectSection<'d>, name: &str) -> bool {
    let Ok(own) = section.name_bytes() else {
        return false;
    };
    own == name.as_bytes()
        || own
            .strip_prefix(b".z")
            .is_some_and(|rest| name.as_bytes().strip_prefix(b".") == Some(rest))
}

/// Machines of which a compiler's objects were tried (`tests/test_machines.py`). What the library says
/// of others may be wrong: those of SH have addends in the section, although their kind says otherwise.
fn is_tried(machine: u16) -> bool {
    matches!(
        elf::Machine(machine),
        elf::EM_X86_64
            | elf::EM_386
            | elf::EM_AARCH64
            | elf::EM_ARM
            | elf::EM_S390
            | elf::EM_RISCV
            | elf::EM_LOONGARCH
            | elf::EM_PPC
            | elf::EM_PPC64
            | elf::EM_MIPS
            | elf::EM_68K
            | elf::EM_SPARC
            | elf::EM_SPARC32PLUS
            | elf::EM_SPARCV9
            | elf::EM_HEXAGON
            | elf::EM_BPF
    )
}

/// Offsets of thread-local variables, which have no address that BTF could tell of.
fn is_thread_local(machine: u16, r_type: u32) -> bool {
    match elf::Machine(machine) {
        elf::EM_X86_64 => matches!(r_type, 17 | 21),
        elf::EM_386 => r_type == 32,
        elf::EM_AARCH64 => r_type == 1029,
        elf::EM_ARM => r_type == 106,
        elf::EM_S390 => matches!(r_type, 52 | 53),
        elf::EM_RISCV | elf::EM_LOONGARCH => matches!(r_type, 8 | 9),
        elf::EM_PPC => r_type == 78,
        elf::EM_PPC64 => matches!(r_type, 68 | 78),
        elf::EM_MIPS => matches!(r_type, 39 | 41),
        elf::EM_68K => r_type == 31,
        elf::EM_SPARC | elf::EM_SPARC32PLUS | elf::EM_SPARCV9 => matches!(r_type, 76 | 77),
        _ => false,
    }
}
