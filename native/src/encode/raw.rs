// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Records as the walk leaves them: references are DIE offsets, 0 for none.

use std::collections::hash_map::Entry;
use std::collections::HashMap;
use std::ffi::CStr;
use std::hash::{BuildHasherDefault, Hasher};

use super::Source;
use crate::btf::Kind;
use crate::dwarf::{Reader, Shape, Value};
use crate::elf::Target;
use crate::error::{Error, Result};
use gimli::constants as dw;

/// A record that names a type: `kind` `None` is no type of its own but another name of `reference`
/// (0: void), as `_Atomic` and `DW_TAG_unspecified_type` are.
#[derive(Clone, Copy)]
pub struct Type {
    pub kind: Option<Kind>,
    /// INT, FLOAT: `DW_ATE_*`. ARRAY: number of elements. FWD, FUNC_PROTO: 1 for union, variadic.
    pub extra: u32,
    pub name: u32,
    pub size: u64,
    pub reference: u32,
    /// Members, enumerators, parameters or type tags in their pool.
    pub start: u32,
    pub len: u32,
    pub die: u32,
}

#[derive(Clone, Copy)]
pub struct Member {
    pub name: u32,
    pub reference: u32,
    pub bits: BitPlace,
    pub bit_size: u32,
    pub die: u32,
}

/// Where a member starts, before the size of its type is known.
#[derive(Clone, Copy)]
pub enum BitPlace {
    /// From the start of the aggregate.
    Bit(u64),
    /// DWARF 2 to 4: counted from the most significant end of a storage unit at `byte`.
    Storage {
        byte: u64,
        storage: u64,
        offset: i64,
    },
}

#[derive(Clone, Copy)]
pub struct Enumerator {
    pub name: u32,
    pub value: i64,
}

#[derive(Clone, Copy)]
pub struct Param {
    pub name: u32,
    pub reference: u32,
    pub origin: u32,
    pub location: Option<Value>,
    pub has_const_value: bool,
    pub die: u32,
}

pub struct Function {
    pub die: u32,
    pub unit: u32,
    pub name: u32,
    pub reference: u32,
    pub origin: u32,
    pub specification: u32,
    pub low_pc: Option<Address>,
    pub has_ranges: bool,
    pub declaration: bool,
    pub inline: bool,
    pub nocall: bool,
    pub variadic: bool,
    pub params_start: u32,
    pub params_len: u32,
}

pub struct Variable {
    pub die: u32,
    pub name: u32,
    pub reference: u32,
    pub specification: u32,
    pub address: Option<Address>,
    pub external: bool,
    pub declaration: bool,
    pub artificial: bool,
}

/// An address field: its value, and in an object what it is relocated against.
#[derive(Clone, Copy)]
pub struct Address {
    pub value: u64,
    pub target: Option<Target>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tagged {
    Type(u32),
    Function(u32),
    Variable(u32),
}

#[derive(Clone, Copy)]
pub struct Tag {
    pub on: Tagged,
    pub component: i32,
    pub value: u32,
}

/// A GNU annotation DIE; they are chained by reference.
#[derive(Clone, Copy)]
pub struct Annotation {
    pub is_type_tag: bool,
    pub is_decl_tag: bool,
    pub value: u32,
    pub next: u32,
}

/// What the DIEs of one unit share.
#[derive(Clone, Copy)]
pub struct UnitFacts {
    pub shape: Shape,
    pub encoding: gimli::Encoding,
    pub language: u32,
    pub clang: bool,
    pub str_offsets_base: u64,
    pub addr_base: u64,
    pub loclists_base: u64,
    /// Ends of this unit's share in `Raw::types`, `functions` and `variables`.
    pub types_end: u32,
    pub functions_end: u32,
    pub variables_end: u32,
    pub tags_end: u32,
}

pub struct Raw<'s> {
    pub source: &'s Source<'s>,
    pub types: Vec<Type>,
    pub members: Vec<Member>,
    pub enumerators: Vec<Enumerator>,
    pub params: Vec<Param>,
    /// Values of type tags, in the order PTR -> first -> … -> pointee.
    pub type_tags: Vec<u32>,
    pub functions: Vec<Function>,
    pub variables: Vec<Variable>,
    pub tags: Vec<Tag>,
    /// (what, component, first annotation DIE), resolved when all DIEs are known.
    pub gnu_tags: Vec<(Tagged, i32, u32)>,
    pub annotations: HashMap<u32, Annotation>,
    pub units: Vec<UnitFacts>,
    pub strings: Strings,
}

impl<'s> Raw<'s> {
    pub fn new(source: &'s Source<'s>) -> Self {
        Raw {
            source,
            types: Vec::new(),
            members: Vec::new(),
            enumerators: Vec::new(),
            params: Vec::new(),
            type_tags: Vec::new(),
            functions: Vec::new(),
            variables: Vec::new(),
            tags: Vec::new(),
            gnu_tags: Vec::new(),
            annotations: HashMap::new(),
            units: Vec::new(),
            strings: Strings::new(),
        }
    }

    /// The text of a string attribute.
    pub fn text(&self, unit: &UnitFacts, value: Value) -> Result<&'s [u8]> {
        let (section, name, offset) = self.text_place(unit, value)?;
        text_at(section, name, offset)
    }

    fn text_place(&self, unit: &UnitFacts, value: Value) -> Result<(&'s [u8], &'static str, u64)> {
        let dwarf = self.source.dwarf;
        match value.form() {
            dw::DW_FORM_string => Ok((&dwarf.info.data, ".debug_info", value.bits)),
            dw::DW_FORM_strp => Ok((&dwarf.str, ".debug_str", value.bits)),
            dw::DW_FORM_line_strp => Ok((&dwarf.line_str, ".debug_line_str", value.bits)),
            dw::DW_FORM_strx
            | dw::DW_FORM_strx1
            | dw::DW_FORM_strx2
            | dw::DW_FORM_strx3
            | dw::DW_FORM_strx4
            | dw::DW_FORM_GNU_str_index => {
                let size = u64::from(unit.shape.offset_size);
                let at = unit
                    .str_offsets_base
                    .wrapping_add(value.bits.wrapping_mul(size));
                let offset =
                    read_at(&dwarf.str_offsets, at, size as u32, dwarf.big()).ok_or_else(|| {
                        Error::new(format!(
                            "string index {} lies outside .debug_str_offsets",
                            value.bits
                        ))
                    })?;
                Ok((&dwarf.str, ".debug_str", offset))
            }
            dw::DW_FORM_strp_sup | dw::DW_FORM_GNU_strp_alt => Err(Error::new(
                "strings in a supplementary file (dwz) are not supported",
            )
            .hint("use the file before dwz")),
            form => Err(Error::new(format!("a string of form {form}"))),
        }
    }

    /// The string attribute as offset into the sidecar's strings.
    pub fn string(&mut self, unit: &UnitFacts, value: Option<Value>) -> Result<u32> {
        let Some(value) = value else { return Ok(0) };
        if value.form() == dw::DW_FORM_string {
            let text = self.text(unit, value)?;
            return Ok(self.strings.add(text));
        }
        let (section, name, offset) = self.text_place(unit, value)?;
        // Two string sections share one map: `.debug_line_str` is counted from the other end.
        let key = if name == ".debug_line_str" {
            !offset
        } else {
            offset
        };
        if let Some(&known) = self.strings.by_offset.get(&key) {
            return Ok(known);
        }
        let text = text_at(section, name, offset)?;
        let at = self.strings.append(text);
        self.strings.by_offset.insert(key, at);
        Ok(at)
    }

    pub fn address(&self, unit: &UnitFacts, value: Value) -> Option<Address> {
        let dwarf = self.source.dwarf;
        match value.form() {
            dw::DW_FORM_addr => Some(Address {
                value: value.bits,
                target: dwarf.info.target(u64::from(value.len)),
            }),
            dw::DW_FORM_addrx
            | dw::DW_FORM_addrx1
            | dw::DW_FORM_addrx2
            | dw::DW_FORM_addrx3
            | dw::DW_FORM_addrx4
            | dw::DW_FORM_GNU_addr_index => self.indexed_address(unit, value.bits),
            _ => None,
        }
    }

    pub fn indexed_address(&self, unit: &UnitFacts, index: u64) -> Option<Address> {
        let section = &self.source.dwarf.addr;
        let size = u32::from(unit.shape.address_size);
        let at = unit
            .addr_base
            .checked_add(index.checked_mul(u64::from(size))?)?;
        Some(Address {
            value: read_at(&section.data, at, size, self.source.dwarf.big())?,
            target: section.target(at),
        })
    }

    pub fn reader(&self, start: u64, len: u64) -> Option<Reader<'s>> {
        let dwarf = self.source.dwarf;
        let start = usize::try_from(start).ok()?;
        let end = start.checked_add(usize::try_from(len).ok()?)?;
        let bytes: &'s [u8] = &dwarf.info.data;
        Some(Reader::new(bytes.get(start..end)?, dwarf.endian))
    }
}

fn text_at<'d>(section: &'d [u8], name: &str, offset: u64) -> Result<&'d [u8]> {
    let rest = usize::try_from(offset).ok().and_then(|o| section.get(o..));
    rest.and_then(|r| CStr::from_bytes_until_nul(r).ok())
        .map(CStr::to_bytes)
        .ok_or_else(|| Error::new(format!("string offset {offset:#x} lies outside {name}")))
}

fn read_at(data: &[u8], at: u64, size: u32, big: bool) -> Option<u64> {
    crate::dwarf::cursor::Cursor::new(data, usize::try_from(at).ok()?, big)
        .uint(size)
        .ok()
}

/// The strings of one object, each once.
pub struct Strings {
    pub bytes: Vec<u8>,
    by_offset: HashMap<u64, u32, Fast>,
    by_text: HashMap<Box<[u8]>, u32>,
}

impl Strings {
    fn new() -> Self {
        Strings {
            bytes: vec![0],
            by_offset: HashMap::default(),
            by_text: HashMap::new(),
        }
    }

    fn append(&mut self, text: &[u8]) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let at = self.bytes.len() as u32;
        self.bytes.extend_from_slice(text);
        self.bytes.push(0);
        at
    }

    pub fn add(&mut self, text: &[u8]) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let next = self.bytes.len() as u32;
        match self.by_text.entry(text.into()) {
            Entry::Occupied(known) => return *known.get(),
            Entry::Vacant(new) => new.insert(next),
        };
        self.append(text)
    }

    pub fn get(&self, offset: u32) -> &[u8] {
        crate::encoded::text_at(&self.bytes, offset)
    }
}

/// A hash for keys that are offsets: a multiplication spreads them, and no one chooses them to
/// collide.
pub type Fast = BuildHasherDefault<FastHasher>;

#[derive(Default)]
pub struct FastHasher(u64);

impl Hasher for FastHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        let mixed = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }
}

/// Finds records by DIE offset. The walk meets DIEs in ascending order, so the offsets are sorted;
/// a table of first entries per 64 bytes makes a look-up a few comparisons.
pub struct DieIndex {
    base: u32,
    firsts: Vec<u32>,
    dies: Vec<u32>,
}

impl DieIndex {
    pub fn new(dies: Vec<u32>) -> Self {
        let base = dies.first().copied().unwrap_or(0);
        let last = dies.last().copied().unwrap_or(0);
        let mut firsts = vec![0; ((last - base) >> 6) as usize + 2];
        let mut bucket = 0;
        for (i, &die) in dies.iter().enumerate() {
            let of = ((die - base) >> 6) as usize;
            while bucket < of {
                bucket += 1;
                firsts[bucket] = i as u32;
            }
        }
        DieIndex { base, firsts, dies }
    }

    pub fn find(&self, die: u32) -> Option<u32> {
        let bucket = (die.checked_sub(self.base)? >> 6) as usize;
        let mut i = *self.firsts.get(bucket)? as usize;
        while *self.dies.get(i)? < die {
            i += 1;
        }
        (self.dies[i] == die).then_some(i as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_each_die_and_no_other_offset() {
        let dies = vec![0x0b, 0x0c, 0x4a, 0x4b, 0x200, 0x23f, 0x240, 0x9000];
        let index = DieIndex::new(dies.clone());
        for offset in 0..0x9100 {
            let expected = dies.iter().position(|&d| d == offset).map(|i| i as u32);
            assert_eq!(index.find(offset), expected, "{offset:#x}");
        }
        assert_eq!(DieIndex::new(Vec::new()).find(1), None);
    }
}
