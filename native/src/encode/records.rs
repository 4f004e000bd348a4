// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Records as the walk leaves them: references are DIE offsets, 0 for none.

use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::CStr;

use super::strings::Strings;
use super::Source;
use crate::btf::Kind;
use crate::dwarf::{Dwarf, Reader, Shape, Tables, Value};
use crate::elf::{Section, Target};
use crate::support::error::{Error, Result};
use crate::support::limits::NAME;
use gimli::constants as dw;

/// A record that names a type: `kind` `None` is no type of its own but another name of `reference`
/// (0: void), as `_Atomic` and `DW_TAG_unspecified_type` are.
#[derive(Clone, Copy)]
pub struct Type {
    pub kind: Option<Kind>,
    /// INT, FLOAT: `DW_ATE_*`. ARRAY: number of elements. FWD, FUNC_PROTO: 1 for union, variadic.
    pub extra: u32,
    pub name: u32,
    /// In bytes; `u32::MAX` stands for all that is larger, too.
    pub size: u32,
    pub reference: u32,
    /// Members, enumerators, parameters or type tags in their pool.
    pub start: u32,
    pub len: u32,
    pub die: u32,
}

#[derive(Clone, Copy)]
pub struct Member {
    /// See `Raw::member_name`.
    pub name: u32,
    pub reference: u32,
    /// Where it starts in the aggregate; see `Member::place`.
    bit: u32,
    /// 0 for one that is no bit-field.
    pub bit_size: u32,
    pub die: u32,
}

impl Member {
    /// Stands for all places that are too far away for BTF.
    pub const TOO_FAR: u32 = u32::MAX;
    /// The place depends on the size of its type; see `Raw::unplaced`.
    const UNPLACED: u32 = u32::MAX - 1;

    /// A member at a place in bits; `None`: it is not known yet.
    #[inline]
    pub fn new(name: u32, reference: u32, place: Option<u64>, bit_size: u32, die: u32) -> Self {
        let bit = match place {
            Some(bit) if bit < u64::from(Member::UNPLACED) => bit as u32,
            Some(_) => Member::TOO_FAR,
            None => Member::UNPLACED,
        };
        Member {
            name,
            reference,
            bit,
            bit_size,
            die,
        }
    }

    /// Bits from the start of the aggregate, if that is known.
    #[inline]
    pub fn place(&self) -> Option<u32> {
        (self.bit != Member::UNPLACED).then_some(self.bit)
    }

    /// Does it not consist of whole bytes?
    #[inline]
    pub fn is_within_bytes(&self) -> bool {
        self.bit_size != 0 || !self.bit.is_multiple_of(8) && self.bit != Member::TOO_FAR
    }
}

/// DWARF 2 to 4 count a bit-field from the most significant end of a storage unit, whose size may
/// be only that of its type.
#[derive(Clone, Copy)]
pub struct Unplaced {
    pub die: u32,
    /// Where the storage unit starts.
    pub byte: u64,
    pub offset: i64,
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
    pub external: bool,
    pub inline: bool,
    /// The source says `inline`, too.
    pub declared_inline: bool,
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

impl Address {
    /// From here to another address in bytes; in an object both point into one section.
    pub fn to(&self, end: &Address) -> u64 {
        let place = |at: &Address| at.target.map_or(at.value, |target| target.offset);
        place(end).wrapping_sub(place(self))
    }
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

/// Where the code of a unit lies, as its DIE says.
#[derive(Clone, Copy, Default)]
pub struct Code {
    pub low: Option<Address>,
    /// The address behind it, or as a constant the length.
    pub high: Option<Value>,
    /// Or a list of parts.
    pub ranges: Option<Value>,
    /// Where the table is that an index of such a list counts in.
    pub lists_base: u64,
}

/// Where the DIEs of a unit are.
#[derive(Clone, Copy)]
pub struct Dies {
    pub unit: usize,
    pub start: usize,
    pub end: usize,
    pub table: u64,
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
    pub rnglists_base: u64,
    /// What is added to range lists of DWARF 4 in a .dwo file.
    pub ranges_base: u64,
    pub code: Code,
    /// Where it starts, its DIEs start and end, and its abbreviations start.
    pub dies: Dies,
    /// Ends of this unit's share in `Raw::types`, `functions` and `variables`.
    pub types_end: u32,
    pub functions_end: u32,
    pub variables_end: u32,
    pub tags_end: u32,
    /// See `encoded::Unit`.
    pub refused: u32,
    pub name: u32,
    pub sparse: u32,
}

impl UnitFacts {
    /// What a unit's header tells.
    pub fn new(header: &gimli::UnitHeader<Reader<'_>>) -> UnitFacts {
        let offset = header
            .debug_info_offset()
            .map_or(0, |o: gimli::DebugInfoOffset<usize>| o.0);
        let shape = Shape::of(header);
        UnitFacts {
            shape,
            encoding: header.encoding(),
            language: 0,
            clang: false,
            // Past the section's header, where a unit without the attribute starts.
            str_offsets_base: if shape.version >= 5 {
                u64::from(shape.offset_size) * 2
            } else {
                0
            },
            addr_base: if shape.version >= 5 { 8 } else { 0 },
            loclists_base: 0,
            rnglists_base: 0,
            ranges_base: 0,
            code: Code::default(),
            dies: Dies {
                unit: offset,
                start: offset + header.size_of_header(),
                end: offset + header.length_including_self(),
                table: header.debug_abbrev_offset().0 as u64,
            },
            types_end: 0,
            functions_end: 0,
            variables_end: 0,
            tags_end: 0,
            refused: 0,
            name: 0,
            sparse: 0,
        }
    }
}

/// How much there is in a `Raw`.
pub struct Mark([usize; 11]);

pub struct Raw<'s> {
    pub source: &'s Source<'s>,
    pub types: Vec<Type>,
    pub members: Vec<Member>,
    /// By DIE, ascending.
    pub unplaced: Vec<Unplaced>,
    pub enumerators: Vec<Enumerator>,
    /// Of functions.
    pub params: Vec<Param>,
    /// Of function types: name and reference of each.
    pub type_params: Vec<(u32, u32)>,
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
    /// Name of the INT that stands for those that BTF cannot have.
    pub placeholder_name: u32,
    /// Bytes of range lists and location lists that were read; see `may_read_list`.
    lists: Cell<usize>,
    /// The abbreviations that units have used.
    pub tables: Option<Tables>,
    /// Of use in a walk only; what was allocated stays.
    pub open: Open,
}

impl<'s> Raw<'s> {
    pub fn new(source: &'s Source<'s>) -> Self {
        // About as many as a unit of a kernel has for its size. Room that is not used costs nothing,
        // growing does.
        let size = source.dwarf.info.data.len().min(1 << 20);
        let strings = Strings::new(&source.dwarf.str);
        source.elf.forget(&source.dwarf.str);
        Raw {
            source,
            types: Vec::with_capacity(size / 32),
            members: Vec::with_capacity(size / 16),
            unplaced: Vec::new(),
            enumerators: Vec::new(),
            params: Vec::new(),
            type_params: Vec::new(),
            type_tags: Vec::new(),
            functions: Vec::new(),
            variables: Vec::new(),
            tags: Vec::new(),
            gnu_tags: Vec::new(),
            annotations: HashMap::new(),
            units: Vec::new(),
            strings,
            placeholder_name: 0,
            lists: Cell::new(0),
            tables: None,
            open: Open::default(),
        }
    }

    /// Ready for other units; what was allocated stays.
    pub fn clear(&mut self) {
        self.types.clear();
        self.members.clear();
        self.unplaced.clear();
        self.enumerators.clear();
        self.params.clear();
        self.type_params.clear();
        self.type_tags.clear();
        self.functions.clear();
        self.variables.clear();
        self.tags.clear();
        self.gnu_tags.clear();
        self.annotations.clear();
        self.units.clear();
    }

    pub fn mark(&self) -> Mark {
        Mark([
            self.types.len(),
            self.members.len(),
            self.unplaced.len(),
            self.enumerators.len(),
            self.params.len(),
            self.type_params.len(),
            self.type_tags.len(),
            self.functions.len(),
            self.variables.len(),
            self.tags.len(),
            self.gnu_tags.len(),
        ])
    }

    /// Forget what came behind a mark.
    pub fn back_to(&mut self, mark: &Mark) {
        let [types, members, unplaced, enumerators, params, type_params, type_tags, functions, variables, tags, gnu_tags] =
            mark.0;
        self.types.truncate(types);
        self.members.truncate(members);
        self.unplaced.truncate(unplaced);
        self.enumerators.truncate(enumerators);
        self.params.truncate(params);
        self.type_params.truncate(type_params);
        self.type_tags.truncate(type_tags);
        self.functions.truncate(functions);
        self.variables.truncate(variables);
        self.tags.truncate(tags);
        self.gnu_tags.truncate(gnu_tags);
    }

    /// The DIEs that a unit refers to.
    pub fn references(&self, unit: usize) -> impl Iterator<Item = u32> + '_ {
        let end = unit.checked_sub(1).map(|last| &self.units[last]);
        let from = end.map_or((0, 0, 0), |u| {
            (u.types_end, u.functions_end, u.variables_end)
        });
        let own = &self.units[unit];
        let types = &self.types[from.0 as usize..own.types_end as usize];
        let of_types = types.iter().flat_map(|t| {
            let pool = t.start as usize..(t.start + t.len) as usize;
            let members = match t.kind {
                Some(Kind::Struct | Kind::Union) => &self.members[pool.clone()],
                _ => &[],
            };
            let params = match t.kind {
                Some(Kind::FuncProto) => &self.type_params[pool],
                _ => &[],
            };
            let members = members.iter().map(|m| m.reference);
            let params = params.iter().map(|&(_, reference)| reference);
            std::iter::once(t.reference).chain(members).chain(params)
        });
        let functions = &self.functions[from.1 as usize..own.functions_end as usize];
        let of_functions = functions.iter().flat_map(|f| {
            let params = &self.params[f.params_start as usize..][..f.params_len as usize];
            let params = params.iter().flat_map(|p| [p.reference, p.origin]);
            [f.reference, f.origin, f.specification]
                .into_iter()
                .chain(params)
        });
        let variables = &self.variables[from.2 as usize..own.variables_end as usize];
        let of_variables = variables
            .iter()
            .flat_map(|v| [v.reference, v.specification]);
        of_types.chain(of_functions).chain(of_variables)
    }

    /// Note why a unit is refused; `name`: that of the unit.
    pub fn refuse(&mut self, unit: &UnitFacts, name: Option<Value>, error: &Error) -> u32 {
        let name = name.and_then(|v| self.text(unit, v).ok()).unwrap_or(b"");
        let error = match String::from_utf8_lossy(name) {
            name if name.is_empty() => error.clone(),
            name => error.clone().at(name),
        };
        self.strings
            .add(error.to_string().replace('\0', "").as_bytes())
    }

    /// See `text`.
    pub fn text(&self, unit: &UnitFacts, value: Value) -> Result<&'s [u8]> {
        text(self.source.dwarf, unit, value)
    }

    /// The string attribute as offset into `strings`; 0 for none and for an empty one.
    #[inline(always)]
    pub fn string(&mut self, unit: &UnitFacts, value: Option<Value>) -> Result<u32> {
        let Some(value) = value else { return Ok(0) };
        if value.form() == dw::DW_FORM_strp {
            if let Some(at) = self.strings.at(value.bits) {
                return Ok(at);
            }
        }
        self.other_string(unit, value)
    }

    /// The same without a look at it: what is not 0 may be empty, too. There are as many members as
    /// other names together, and most are compared only.
    #[inline(always)]
    pub fn member_name(&mut self, unit: &UnitFacts, value: Option<Value>) -> Result<u32> {
        match value {
            Some(value) if value.form() == dw::DW_FORM_strp && self.strings.holds(value.bits) => {
                Ok(value.bits as u32 + 1)
            }
            _ => self.string(unit, value),
        }
    }

    #[inline(never)]
    fn other_string(&mut self, unit: &UnitFacts, value: Value) -> Result<u32> {
        if value.form() == dw::DW_FORM_string {
            let text = self.text(unit, value)?;
            return Ok(self.strings.add(text));
        }
        let (section, name, offset) = text_place(self.source.dwarf, unit, value)?;
        let too_long = || Error::new(format!("a name of more than {NAME} bytes"));
        if name == ".debug_str" {
            if let Some(at) = self.strings.any_at(offset).map_err(|_| too_long())? {
                return Ok(at);
            }
        }
        let text = text_in(section, name, offset)?;
        match text.len() > NAME {
            true => Err(too_long()),
            false => Ok(self.strings.add(text)),
        }
    }

    pub fn address(&self, unit: &UnitFacts, value: Value) -> Option<Address> {
        let source = self.source;
        address(
            &source.dwarf.info,
            source.addresses(),
            unit,
            value,
            source.dwarf.big(),
        )
    }

    pub fn indexed_address(&self, unit: &UnitFacts, index: u64) -> Option<Address> {
        let source = self.source;
        indexed_address(source.addresses(), unit, index, source.dwarf.big())
    }

    /// May so many more bytes of a list be read? Each list is of one DIE, so that all together are read
    /// about as often as they are long.
    pub fn may_read_list(&self, bytes: usize) -> bool {
        self.lists.set(self.lists.get().saturating_add(bytes));
        !self.reads_lists_again()
    }

    /// Have lists been read far more often than that?
    pub fn reads_lists_again(&self) -> bool {
        self.lists.get() > LITTLE + AGAIN * self.source.file_size()
    }

    pub fn reader(&self, start: u64, len: u64) -> Option<Reader<'s>> {
        let dwarf = self.source.dwarf;
        let start = usize::try_from(start).ok()?;
        let end = start.checked_add(usize::try_from(len).ok()?)?;
        let bytes: &'s [u8] = &dwarf.info.data;
        Some(Reader::new(bytes.get(start..end)?, dwarf.endian))
    }
}

/// The text of a string attribute. Of a longer one than anybody asks for, the start.
pub fn text<'s>(dwarf: &'s Dwarf<'_>, unit: &UnitFacts, value: Value) -> Result<&'s [u8]> {
    if value.form() == dw::DW_FORM_string {
        // The decoder has found its end.
        let start = value.bits as usize;
        return Ok(&dwarf.info.data[start..start + value.len as usize]);
    }
    let (section, name, offset) = text_place(dwarf, unit, value)?;
    text_in(section, name, offset)
}

fn text_place<'s>(
    dwarf: &'s Dwarf<'_>,
    unit: &UnitFacts,
    value: Value,
) -> Result<(&'s [u8], &'static str, u64)> {
    match value.form() {
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

/// `info`: the section that the attribute is in; `table`: that of indexed addresses.
pub fn address(
    info: &Section<'_>,
    table: &Section<'_>,
    unit: &UnitFacts,
    value: Value,
    big: bool,
) -> Option<Address> {
    match value.form() {
        dw::DW_FORM_addr => Some(Address {
            value: value.bits,
            target: info.target(u64::from(value.len)),
        }),
        dw::DW_FORM_addrx
        | dw::DW_FORM_addrx1
        | dw::DW_FORM_addrx2
        | dw::DW_FORM_addrx3
        | dw::DW_FORM_addrx4
        | dw::DW_FORM_GNU_addr_index => indexed_address(table, unit, value.bits, big),
        _ => None,
    }
}

fn indexed_address(
    table: &Section<'_>,
    unit: &UnitFacts,
    index: u64,
    big: bool,
) -> Option<Address> {
    let size = u32::from(unit.shape.address_size);
    let at = unit
        .addr_base
        .checked_add(index.checked_mul(u64::from(size))?)?;
    Some(Address {
        value: read_at(&table.data, at, size, big)?,
        target: table.target(at),
    })
}

/// How often the bytes of a file may be read as parts of lists, and bytes in any file.
const AGAIN: usize = 8;
const LITTLE: usize = 1 << 20;

/// The longest text that is read: what a compiler was told.
const TEXT: usize = 8192;

fn text_in<'d>(section: &'d [u8], name: &str, offset: u64) -> Result<&'d [u8]> {
    let rest = usize::try_from(offset).ok().and_then(|o| section.get(o..));
    let start = rest.map(|rest| &rest[..rest.len().min(TEXT)]);
    let text = start.map(|start| match CStr::from_bytes_until_nul(start) {
        Ok(text) => Some(text.to_bytes()),
        Err(_) => (start.len() == TEXT).then_some(start),
    });
    text.flatten()
        .ok_or_else(|| Error::new(format!("string offset {offset:#x} lies outside {name}")))
}

fn read_at(data: &[u8], at: u64, size: u32, big: bool) -> Option<u64> {
    crate::dwarf::cursor::Cursor::new(data, usize::try_from(at).ok()?, big)
        .uint(size)
        .ok()
}

/// Finds records by DIE offset. The walk meets DIEs in ascending order, so a record's number is how
/// many DIEs stand before it: for each 64 bytes one bit for each DIE, and the count up to there.
pub struct DieIndex {
    base: u32,
    blocks: Vec<Block>,
}

#[derive(Clone, Copy, Default)]
struct Block {
    dies: u64,
    before: u32,
}

impl DieIndex {
    /// `dies`: offsets, ascending.
    pub fn new(dies: impl Iterator<Item = u32> + Clone) -> Self {
        let base = dies.clone().next().unwrap_or(0);
        let mut blocks = Vec::new();
        for (i, die) in (0..).zip(dies) {
            let at = die - base;
            let of = (at / 64) as usize;
            if of >= blocks.len() {
                blocks.resize(of, Block { dies: 0, before: i });
                blocks.push(Block { dies: 0, before: i });
            }
            blocks[of].dies |= 1 << (at % 64);
        }
        DieIndex { base, blocks }
    }

    #[inline]
    pub fn find(&self, die: u32) -> Option<u32> {
        let at = die.checked_sub(self.base)?;
        let block = self.blocks.get((at / 64) as usize)?;
        let bit = 1 << (at % 64);
        (block.dies & bit != 0).then(|| block.before + (block.dies & (bit - 1)).count_ones())
    }
}

/// The DIEs that are open, and what was met of their children. An inner DIE is closed before its
/// outer one goes on, so each pool is a stack, too, and the share of a DIE is contiguous when it
/// closes.
#[derive(Default)]
pub struct Open {
    pub stack: Vec<Frame>,
    pub members: Vec<Member>,
    pub enumerators: Vec<Enumerator>,
    pub params: Vec<Param>,
    pub type_params: Vec<(u32, u32)>,
    pub dimensions: Vec<u32>,
    pub type_tags: Vec<u32>,
}

/// A DIE whose children are being read.
#[derive(Clone, Copy)]
pub struct Frame {
    pub what: What,
    /// Index of the record that the children belong to.
    pub index: u32,
    /// Length of the pending pool when the frame was opened.
    pub start: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum What {
    Unit,
    Aggregate,
    Enum,
    Array,
    FunctionType,
    Function,
    Pointer,
    /// Child of an aggregate; `index` is the aggregate, the component is the last member.
    Member,
    Param,
    Typedef,
    Variable,
    /// Children are read for the types they may hold.
    Scope,
    /// Children hold nothing.
    Nothing,
}

impl What {
    /// Do children become part of its record?
    #[inline]
    pub fn collects(self) -> bool {
        !matches!(
            self,
            What::Nothing | What::Scope | What::Member | What::Param
        )
    }
}

/// Of a storage unit of so many bytes, in bits.
pub fn end_of_storage(byte: u64, storage: u64) -> u64 {
    byte.wrapping_add(storage).wrapping_mul(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_each_die_and_no_other_offset() {
        let dies = [0x0b, 0x0c, 0x4a, 0x4b, 0x200, 0x23f, 0x240, 0x9000];
        let index = DieIndex::new(dies.iter().copied());
        for offset in 0..0x9100 {
            let expected = dies.iter().position(|&d| d == offset).map(|i| i as u32);
            assert_eq!(index.find(offset), expected, "{offset:#x}");
        }
        assert_eq!(DieIndex::new(std::iter::empty()).find(1), None);
    }
}
