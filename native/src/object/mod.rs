// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! What encode makes of one object: its types in the layout of BTF, the identity of each, and its
//! function and variable *candidates* with all evidence, undecided. It is what a sidecar stores.

mod append;
pub mod features;
pub mod identity;
pub mod languages;
pub mod numbering;
pub mod refused;
#[cfg(test)]
pub mod sample;
pub mod sites;
pub mod sound;

use bytemuck::{Pod, Zeroable};

use sites::Site;

/// The identity of a type or candidate: XXH3-128 of its rendering (see `identity`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Id {
    pub high: u64,
    pub low: u64,
}

impl Id {
    pub fn of(bytes: &[u8]) -> Id {
        xxhash_rust::xxh3::xxh3_128(bytes).into()
    }

    pub fn bytes(&self) -> [u8; 16] {
        (u128::from(self.high) << 64 | u128::from(self.low)).to_le_bytes()
    }
}

impl From<u128> for Id {
    fn from(hash: u128) -> Id {
        Id {
            high: (hash >> 64) as u64,
            low: hash as u64,
        }
    }
}

/// A hash that is kept in a table with what it is of: to move that, or to pass over it, needs no look
/// at it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Short(u32);

impl Short {
    #[inline]
    pub fn of(bytes: &[u8]) -> Short {
        Short(xxhash_rust::xxh3::xxh3_64(bytes) as u32)
    }

    /// As the tables want it, which look at the lowest and the highest bits.
    #[inline]
    pub fn spread(self) -> u64 {
        u64::from(self.0) << 32 | u64::from(self.0)
    }
}

/// "Not there", for fields that hold an index.
pub const NONE: u32 = u32::MAX;

/// One DWARF unit's share of each array: all of the unit before it ends where this one starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Unit {
    /// `DW_LANG_*`, `LANG_ASM` for assembler.
    pub language: u32,
    /// Types of the unit proper end here; they are always part of the result.
    pub types_end: u32,
    /// FUNC_PROTOs of function candidates end here; only those that a chosen function needs count.
    pub protos_end: u32,
    pub functions_end: u32,
    pub variables_end: u32,
    /// Why it has nothing of all that, although it should: what BTF cannot hold, and where. 0: it has.
    pub refused: u32,
    /// Its name, where it is `sparse`; else 0.
    pub name: u32,
    /// What the compiler was told to leave out of its debug information: `sparse::*`, 0 for nothing.
    pub sparse: u32,
}

/// Debug information in which something is missing that BTF tells.
pub mod sparse {
    /// No types, and functions without parameters: `-g1`.
    pub const NO_TYPES: u32 = 1;
    /// Of most structs only the name: `-femit-struct-debug-baseonly`, `-femit-struct-debug-reduced`.
    pub const FEW_STRUCTS: u32 = 2;
    /// No debug information but BTF, and functions in it.
    pub const PLAIN: u32 = 3;
}

/// `DW_LANG_Mips_Assembler`, what gas writes.
pub const LANG_ASM: u32 = 0x8001;

/// Facts about one function DIE that rules of the fix-up read.
pub mod function_flags {
    /// Some parameter has no location, or one that shows that it was optimised out.
    pub const OPTIMIZED_PARMS: u32 = 1 << 0;
    /// Some parameter lies in another register than the ABI says.
    pub const UNEXPECTED_REG: u32 = 1 << 1;
    /// A packed struct passed by value on the stack: its place cannot be computed.
    pub const UNCERTAIN_PARM_LOC: u32 = 1 << 2;
    /// Parameters stand in another order than in the abstract instance.
    pub const REORDERED_PARM: u32 = 1 << 3;
    /// The compiler says that the calling convention is not the standard one. Then there are two
    /// prototypes: as written, and as passed.
    pub const SIGNATURE_CHANGED: u32 = 1 << 4;
    /// The DIE has code: `DW_AT_low_pc`, or `DW_AT_ranges` when it is split hot and cold.
    pub const HAS_CODE: u32 = 1 << 5;
    /// With `SIGNATURE_CHANGED`: where the parameters are does not tell which are passed.
    pub const PASSED_UNEXPECTED: u32 = 1 << 6;
}

/// A function DIE. Functions that were only inlined are candidates, too: they take part in the
/// check of consistency.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Function {
    pub id: Id,
    pub name: u32,
    /// Local id of its FUNC_PROTO as written. With `SIGNATURE_CHANGED`, the one as passed is next.
    pub proto: u32,
    pub flags: u32,
    /// Its declaration tags: `tags[tags_start..tags_start + tags_len]`.
    pub tags_start: u32,
    pub tags_len: u32,
    /// Index of the symbol at the function's first byte, in an object; else `NONE`.
    pub symbol: u32,
    /// `DW_AT_low_pc`: an address in a linked file, an offset into the section in an object.
    pub low_pc: u64,
    pub die: u64,
}

impl Function {
    /// Local id of the FUNC_PROTO with the parameters as they are passed.
    pub fn passed_proto(&self) -> u32 {
        self.proto + u32::from(self.flags & function_flags::SIGNATURE_CHANGED != 0)
    }
}

/// A DECL_TAG on a function or variable (on types they are types).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct DeclTag {
    pub value: u32,
    /// -1 for the whole, else the index of the parameter.
    pub component: i32,
}

pub mod variable_flags {
    pub const EXTERNAL: u32 = 1 << 0;
}

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Variable {
    pub name: u32,
    /// Local id of its type.
    pub type_id: u32,
    pub flags: u32,
    pub tags_start: u32,
    pub tags_len: u32,
    /// Index of the symbol that stands for it, in an object; else `NONE`.
    pub symbol: u32,
    /// Size of the type in bytes; 0 when it has none.
    pub size: u64,
    /// Address in a linked file; offset to `symbol` in an object.
    pub address: u64,
    pub die: u64,
}

/// A symbol of the object at which some candidate stands; and, behind those, each `STT_FILE` symbol,
/// of which only name and kind are set.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Symbol {
    pub name: u32,
    /// Name of the input section; 0 for a symbol that another object defines.
    pub section: u32,
    /// Name of the `STT_FILE` symbol that governs it, if it is local.
    pub file: u32,
    /// `STT_*`, `STB_*` << 8, and `PART` where the section moves in parts.
    pub kind: u32,
    pub value: u64,
    pub size: u64,
}

/// `Symbol::kind` of a symbol that names a source file (`STB_LOCAL`, `STT_FILE`).
const STT_FILE: u32 = object::elf::STT_FILE.0 as u32;

/// In `Symbol::kind`: that another symbol of a section of this name was moved so and so far tells
/// nothing of this one.
const PART: u32 = 1 << 16;

impl Symbol {
    pub fn kind_word(kind: u8, binding: u8, moves_whole: bool) -> u32 {
        let part = if moves_whole { 0 } else { PART };
        part | u32::from(binding) << 8 | u32::from(kind)
    }

    pub fn moves_whole(&self) -> bool {
        self.kind & PART == 0
    }

    pub fn binding(&self) -> u8 {
        (self.kind >> 8) as u8
    }
}

/// Facts of the target that two objects of one link must share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Target {
    pub machine: u32,
    /// 4 or 8
    pub address_size: u32,
    /// 1 for big endian
    pub big_endian: u32,
    /// 1 when read from a relocatable object: candidates stand at symbols, not at addresses.
    pub relocatable: u32,
}

impl Target {
    /// Can the two be linked with each other?
    pub fn is_like(&self, other: &Target) -> bool {
        let machine = |t: &Target| (t.machine, t.address_size, t.big_endian);
        machine(self) == machine(other)
    }
}

/// Borrowed arrays: of an `Encoded`, or of a mapped sidecar.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub target: Target,
    /// Types in BTF's layout, host byte order; type names, member names are offsets into
    /// `strings`, types are local ids (1 is the first, 0 is void).
    pub words: &'a [u32],
    /// `starts[i]..starts[i + 1]` are the words of local id i + 1.
    pub starts: &'a [u32],
    pub ids: &'a [Id],
    pub strings: &'a [u8],
    pub units: &'a [Unit],
    pub functions: &'a [Function],
    pub variables: &'a [Variable],
    pub tags: &'a [DeclTag],
    pub symbols: &'a [Symbol],
    /// `None`: it was not asked where functions were inlined.
    pub sites: Option<&'a [Site]>,
    /// See `Site::places_start`.
    pub places: &'a [u32],
}

impl<'a> View<'a> {
    /// The words of a local id.
    pub fn type_words(&self, id: u32) -> &'a [u32] {
        let i = id as usize;
        &self.words[self.starts[i - 1] as usize..self.starts[i] as usize]
    }

    pub fn string(&self, offset: u32) -> &'a [u8] {
        text_at(self.strings, offset)
    }

    /// Names of the object's `STT_FILE` symbols.
    pub fn source_files(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let view = *self;
        let all = view.symbols.iter().filter(|s| s.kind == STT_FILE);
        all.map(move |s| view.string(s.name))
    }

    pub fn type_count(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }
}

/// The string at an offset of a string section, without its NUL.
#[inline]
pub fn text_at(strings: &[u8], offset: u32) -> &[u8] {
    let rest = &strings[offset as usize..];
    &rest[..text_len(rest)]
}

/// Bytes before the first NUL. Names are short: a call to the library costs more than the search.
#[inline]
fn text_len(rest: &[u8]) -> usize {
    let mut len = 0;
    while let Some(bytes) = rest[len..].first_chunk() {
        if let Some(nul) = first_nul(bytes) {
            return len + nul;
        }
        len += bytes.len();
    }
    let nul = rest[len..].iter().position(|&b| b == 0);
    nul.map_or(rest.len(), |nul| len + nul)
}

/// Append the string at an offset, with its NUL.
#[inline]
pub fn push_text(out: &mut Vec<u8>, strings: &[u8], offset: u32) {
    let rest = &strings[offset as usize..];
    let start = out.len();
    let mut len = 0;
    while let Some(bytes) = rest[len..].first_chunk() {
        out.extend_from_slice(bytes);
        if let Some(nul) = first_nul(bytes) {
            out.truncate(start + len + nul + 1);
            return;
        }
        len += bytes.len();
    }
    let tail = &rest[len..];
    out.extend_from_slice(&tail[..text_len(tail)]);
    out.push(0);
}

/// Which of up to eight bytes are NUL, as bits: adding carries into a byte's highest bit unless it is
/// zero, and multiplying brings these bits together.
#[inline]
pub fn nuls_among(bytes: &[u8]) -> u64 {
    const LOW: u64 = u64::from_ne_bytes([0x7f; 8]);
    let mut eight = [1; 8];
    eight[..bytes.len()].copy_from_slice(bytes);
    let word = u64::from_le_bytes(eight);
    let nuls = !((word & LOW).wrapping_add(LOW) | word | LOW);
    (nuls >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

/// Position of the first NUL of eight bytes: subtracting one from each borrows first at the first
/// zero.
#[inline]
fn first_nul(bytes: &[u8; 8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    let word = u64::from_le_bytes(*bytes);
    let zeros = word.wrapping_sub(ONES) & !word & (ONES << 7);
    (zeros != 0).then_some(zeros.trailing_zeros() as usize / 8)
}

#[derive(Default)]
pub struct Encoded {
    pub target: Target,
    pub words: Vec<u32>,
    pub starts: Vec<u32>,
    pub ids: Vec<Id>,
    pub strings: Vec<u8>,
    pub units: Vec<Unit>,
    pub functions: Vec<Function>,
    pub variables: Vec<Variable>,
    pub tags: Vec<DeclTag>,
    pub symbols: Vec<Symbol>,
    pub sites: Option<Vec<Site>>,
    pub places: Vec<u32>,
}

impl Encoded {
    pub fn new(target: Target) -> Self {
        Encoded {
            target,
            starts: vec![0],
            strings: vec![0],
            ..Encoded::default()
        }
    }

    /// Remember which source files the object's symbols name: the link compares them with its own.
    pub fn add_source_files(&mut self, names: &[&[u8]]) {
        for name in names {
            let offset = self.strings.len() as u32;
            self.strings.extend_from_slice(name);
            self.strings.push(0);
            self.symbols.push(Symbol {
                name: offset,
                section: 0,
                file: 0,
                kind: STT_FILE,
                value: 0,
                size: 0,
            });
        }
    }

    pub fn view(&self) -> View<'_> {
        View {
            target: self.target,
            words: &self.words,
            starts: &self.starts,
            ids: &self.ids,
            strings: &self.strings,
            units: &self.units,
            functions: &self.functions,
            variables: &self.variables,
            tags: &self.tags,
            symbols: &self.symbols,
            sites: self.sites.as_deref(),
            places: &self.places,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_nul_is_a_bit() {
        for nuls in 0..=255u64 {
            for other in [1, 0x7f, 0x80, 0xff] {
                let bytes: Vec<u8> = (0..8)
                    .map(|i| if nuls >> i & 1 == 1 { 0 } else { other })
                    .collect();
                assert_eq!(nuls_among(&bytes), nuls);
                assert_eq!(nuls_among(&bytes[..3]), nuls & 7);
            }
        }
    }

    #[test]
    fn a_string_ends_at_its_first_nul() {
        let strings = b"\0a\0seven..\0eight...\0\x01\x80\xff\0longer than a word\0end without";
        let mut start = 0;
        for text in strings.split(|&b| b == 0) {
            assert_eq!(text_at(strings, start), text);
            let mut out = vec![7];
            push_text(&mut out, strings, start);
            assert_eq!(out, [&[7], text, &[0]].concat());
            start += text.len() as u32 + 1;
        }
    }
}
