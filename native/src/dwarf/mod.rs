// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! DWARF as a stream of DIEs. Abbreviations are compiled once per table into short programs
//! (read these attributes, step over those bytes), because a kernel has ten million DIEs and few
//! attributes of each matter. Section 7.5 of the DWARF 5 standard defines the encodings.

pub mod cursor;

use std::borrow::Cow;

use gimli::{constants as dw, DwAt, DwForm, DwTag, EndianSlice, RunTimeEndian};
use std::collections::HashMap;

use crate::elf::{Elf, Section};
use crate::error::Error;
use cursor::{Cursor, Truncated};

pub type Reader<'a> = EndianSlice<'a, RunTimeEndian>;

/// The debug sections of one file.
pub struct Dwarf<'a> {
    pub info: Section<'a>,
    pub abbrev: Cow<'a, [u8]>,
    pub str: Cow<'a, [u8]>,
    pub line_str: Cow<'a, [u8]>,
    pub str_offsets: Cow<'a, [u8]>,
    pub addr: Section<'a>,
    pub loc: Cow<'a, [u8]>,
    pub loclists: Cow<'a, [u8]>,
    pub endian: RunTimeEndian,
}

impl<'a> Dwarf<'a> {
    pub fn load(elf: &Elf<'a>) -> Result<Dwarf<'a>, Error> {
        if elf.has_section(".debug_types") {
            return Err(
                Error::new("DWARF 4 type units (.debug_types) are not supported")
                    .at(elf.path.display())
                    .hint("build without -fdebug-types-section"),
            );
        }
        Ok(Dwarf {
            info: elf.section(".debug_info")?,
            abbrev: elf.section(".debug_abbrev")?.data,
            str: elf.section(".debug_str")?.data,
            line_str: elf.section(".debug_line_str")?.data,
            str_offsets: elf.section(".debug_str_offsets")?.data,
            addr: elf.section(".debug_addr")?,
            loc: elf.section(".debug_loc")?.data,
            loclists: elf.section(".debug_loclists")?.data,
            endian: elf.endian(),
        })
    }

    pub fn big(&self) -> bool {
        self.endian == RunTimeEndian::Big
    }

    /// The headers of all units of `.debug_info`, in order.
    pub fn units(&self) -> Result<Vec<gimli::UnitHeader<Reader<'_>>>, Error> {
        let mut iter = gimli::DebugInfo::new(&self.info.data, self.endian).units();
        let mut units = Vec::new();
        while let Some(unit) = iter
            .next()
            .map_err(|e| Error::new(format!("damaged unit header: {e}")).at(".debug_info"))?
        {
            units.push(unit);
        }
        Ok(units)
    }
}

macro_rules! attributes {
    ($($name:ident = $at:expr,)*) => {
        /// The attributes that some rule of the encoder reads.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub enum Attr { $($name,)* }

        const ATTRS: usize = [$(Attr::$name,)*].len();

        impl Attr {
            #[inline]
            fn of(at: DwAt) -> Option<Attr> {
                match Self::BY_NUMBER.get(usize::from(at.0)) {
                    Some(&known) => known,
                    None => Self::of_vendor(at),
                }
            }

            /// The numbers of the standard, which are small.
            const BY_NUMBER: [Option<Attr>; 0x90] = {
                let mut table = [None; 0x90];
                $(if ($at.0 as usize) < table.len() {
                    table[$at.0 as usize] = Some(Attr::$name);
                })*
                table
            };

            fn of_vendor(at: DwAt) -> Option<Attr> {
                $(if at == $at { return Some(Attr::$name); })*
                None
            }
        }
    };
}

attributes! {
    Name = dw::DW_AT_name,
    Type = dw::DW_AT_type,
    ByteSize = dw::DW_AT_byte_size,
    BitSize = dw::DW_AT_bit_size,
    DataBitOffset = dw::DW_AT_data_bit_offset,
    BitOffset = dw::DW_AT_bit_offset,
    MemberLocation = dw::DW_AT_data_member_location,
    Encoding = dw::DW_AT_encoding,
    Declaration = dw::DW_AT_declaration,
    UpperBound = dw::DW_AT_upper_bound,
    Count = dw::DW_AT_count,
    ConstValue = dw::DW_AT_const_value,
    Origin = dw::DW_AT_abstract_origin,
    Specification = dw::DW_AT_specification,
    LowPc = dw::DW_AT_low_pc,
    Ranges = dw::DW_AT_ranges,
    Inline = dw::DW_AT_inline,
    Location = dw::DW_AT_location,
    Artificial = dw::DW_AT_artificial,
    External = dw::DW_AT_external,
    CallingConvention = dw::DW_AT_calling_convention,
    Language = dw::DW_AT_language,
    Producer = dw::DW_AT_producer,
    StrOffsetsBase = dw::DW_AT_str_offsets_base,
    AddrBase = dw::DW_AT_addr_base,
    LoclistsBase = dw::DW_AT_loclists_base,
    Signature = dw::DW_AT_signature,
    DwoName = dw::DW_AT_dwo_name,
    GnuDwoName = dw::DW_AT_GNU_dwo_name,
    GnuAnnotation = AT_GNU_ANNOTATION,
}

/// Vendor constants that gimli does not have: annotations as clang (children) and gcc (a chain
/// of references) write them.
pub const TAG_LLVM_ANNOTATION: DwTag = DwTag(0x6000);
pub const TAG_GNU_ANNOTATION: DwTag = DwTag(0x6001);
const AT_GNU_ANNOTATION: DwAt = DwAt(0x2139);

#[derive(Clone, Copy, Default)]
pub struct Value {
    /// A constant, an offset into the section that the form names, or for blocks the position of
    /// the bytes in `.debug_info`. References are offsets into `.debug_info`.
    pub bits: u64,
    /// Length of a block or string; the place of an address field in `.debug_info`.
    pub len: u32,
    pub form: u16,
}

impl Value {
    pub fn form(&self) -> DwForm {
        DwForm(self.form)
    }

    pub fn is_constant(&self) -> bool {
        matches!(
            self.form(),
            dw::DW_FORM_data1
                | dw::DW_FORM_data2
                | dw::DW_FORM_data4
                | dw::DW_FORM_data8
                | dw::DW_FORM_sdata
                | dw::DW_FORM_udata
                | dw::DW_FORM_implicit_const
        )
    }

    pub fn is_block(&self) -> bool {
        matches!(
            self.form(),
            dw::DW_FORM_exprloc
                | dw::DW_FORM_block
                | dw::DW_FORM_block1
                | dw::DW_FORM_block2
                | dw::DW_FORM_block4
        )
    }
}

/// The attributes of the DIE that was read last.
pub struct Attrs {
    present: u32,
    values: [Value; ATTRS],
}

const _: () = assert!(ATTRS <= 32);

impl Default for Attrs {
    fn default() -> Self {
        Self::new()
    }
}

impl Attrs {
    pub fn new() -> Self {
        Attrs {
            present: 0,
            values: [Value::default(); ATTRS],
        }
    }

    #[inline]
    pub fn get(&self, attr: Attr) -> Option<Value> {
        (self.present & (1 << attr as u32) != 0).then(|| self.values[attr as usize])
    }

    /// A constant; absent or of another class: `None`.
    pub fn constant(&self, attr: Attr) -> Option<u64> {
        self.get(attr).filter(Value::is_constant).map(|v| v.bits)
    }

    pub fn flag(&self, attr: Attr) -> bool {
        self.get(attr).is_some_and(|v| v.bits != 0)
    }

    /// A reference as offset into `.debug_info`; 0 when absent (no DIE is at offset 0).
    pub fn reference(&self, attr: Attr) -> u64 {
        self.get(attr).map_or(0, |v| v.bits)
    }
}

/// What the meaning of a form depends on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub address_size: u8,
    pub offset_size: u8,
    pub version: u16,
}

impl Shape {
    pub fn of(header: &gimli::UnitHeader<Reader<'_>>) -> Shape {
        let encoding = header.encoding();
        Shape {
            address_size: encoding.address_size,
            offset_size: encoding.format.word_size(),
            version: encoding.version,
        }
    }
}

fn form_size(form: DwForm, shape: Shape) -> Option<u32> {
    Some(match form {
        dw::DW_FORM_flag_present | dw::DW_FORM_implicit_const => 0,
        dw::DW_FORM_data1
        | dw::DW_FORM_ref1
        | dw::DW_FORM_flag
        | dw::DW_FORM_strx1
        | dw::DW_FORM_addrx1 => 1,
        dw::DW_FORM_data2 | dw::DW_FORM_ref2 | dw::DW_FORM_strx2 | dw::DW_FORM_addrx2 => 2,
        dw::DW_FORM_strx3 | dw::DW_FORM_addrx3 => 3,
        dw::DW_FORM_data4
        | dw::DW_FORM_ref4
        | dw::DW_FORM_strx4
        | dw::DW_FORM_addrx4
        | dw::DW_FORM_ref_sup4 => 4,
        dw::DW_FORM_data8 | dw::DW_FORM_ref8 | dw::DW_FORM_ref_sig8 | dw::DW_FORM_ref_sup8 => 8,
        dw::DW_FORM_data16 => 16,
        dw::DW_FORM_strp
        | dw::DW_FORM_line_strp
        | dw::DW_FORM_sec_offset
        | dw::DW_FORM_strp_sup
        | dw::DW_FORM_GNU_ref_alt
        | dw::DW_FORM_GNU_strp_alt => u32::from(shape.offset_size),
        dw::DW_FORM_ref_addr if shape.version <= 2 => u32::from(shape.address_size),
        dw::DW_FORM_ref_addr => u32::from(shape.offset_size),
        dw::DW_FORM_addr => u32::from(shape.address_size),
        _ => return None,
    })
}

/// How the bytes of one attribute are read: its form, with all that depends on the unit decided.
#[derive(Clone, Copy, PartialEq)]
enum Read {
    /// `arg` bytes that nobody asked for.
    Skip,
    /// One attribute of varying length that nobody asked for.
    SkipForm,
    /// No bytes: the value is `arg`.
    Constant,
    U8,
    U16,
    U32,
    U64,
    /// Four bytes, counted from the unit's header.
    Reference,
    /// Any other form.
    Form,
}

impl Read {
    fn of(form: DwForm, shape: Shape) -> Read {
        match form {
            dw::DW_FORM_flag_present | dw::DW_FORM_implicit_const => Read::Constant,
            dw::DW_FORM_ref4 => Read::Reference,
            // The place of the field matters, or the unit's header.
            dw::DW_FORM_addr
            | dw::DW_FORM_ref1
            | dw::DW_FORM_ref2
            | dw::DW_FORM_ref8
            | dw::DW_FORM_data16 => Read::Form,
            _ => match form_size(form, shape) {
                Some(1) => Read::U8,
                Some(2) => Read::U16,
                Some(4) => Read::U32,
                Some(8) => Read::U64,
                _ => Read::Form,
            },
        }
    }
}

#[derive(Clone, Copy)]
struct Step {
    read: Read,
    attr: Attr,
    form: DwForm,
    arg: i64,
}

impl Step {
    /// Step over an attribute, together with those before it if the sizes of all are known.
    fn over(steps: &mut Vec<Step>, from: usize, form: DwForm, shape: Shape) {
        let step = |read, arg| Step {
            read,
            attr: Attr::Name,
            form,
            arg,
        };
        match (form_size(form, shape), steps[from..].last_mut()) {
            (Some(0), _) => {}
            (Some(size), Some(run)) if run.read == Read::Skip => run.arg += i64::from(size),
            (Some(size), _) => steps.push(step(Read::Skip, i64::from(size))),
            (None, _) => steps.push(step(Read::SkipForm, 0)),
        }
    }
}

/// One abbreviation, compiled: a list of steps that reads what is asked for, and one that steps
/// over the whole DIE.
#[derive(Clone, Copy)]
pub struct Abbrev {
    pub tag: DwTag,
    pub has_children: bool,
    /// The attributes that `read` sets, as bits.
    present: u32,
    /// Where its steps start, where those to step over it start, and where these end.
    steps: [u32; 3],
}

/// The abbreviations of one table.
pub struct Abbrevs {
    /// Of the unit that it was compiled for.
    shape: Shape,
    offset: u64,
    steps: Vec<Step>,
    /// By code; compilers count from 1.
    dense: Vec<Option<Abbrev>>,
    sparse: HashMap<u64, Abbrev>,
}

/// Codes from here on are looked up in a map.
const DENSE: u64 = 1 << 16;

impl Abbrevs {
    /// Compile the table at an offset of `.debug_abbrev` (DWARF 5, section 7.5.3).
    pub fn compile(dwarf: &Dwarf<'_>, offset: u64, shape: Shape) -> Result<Abbrevs, Truncated> {
        let start = usize::try_from(offset).map_err(|_| Truncated)?;
        let mut at = Cursor::new(&dwarf.abbrev, start, dwarf.big());
        let mut table = Abbrevs {
            shape,
            offset,
            steps: Vec::new(),
            dense: Vec::new(),
            sparse: HashMap::new(),
        };
        let mut over = Vec::new();
        loop {
            let code = at.uleb()?;
            if code == 0 {
                return Ok(table);
            }
            let tag = DwTag(u16::try_from(at.uleb()?).unwrap_or(0));
            let has_children = at.u8()? != 0;
            let first = table.steps.len();
            let mut present = 0;
            over.clear();
            while let Some((name, form, implicit)) = specification(&mut at)? {
                Step::over(&mut over, 0, form, shape);
                let Some(attr) = Attr::of(name) else {
                    Step::over(&mut table.steps, first, form, shape);
                    continue;
                };
                present |= 1 << attr as u32;
                table.steps.push(Step {
                    read: Read::of(form, shape),
                    attr,
                    form,
                    arg: match form {
                        dw::DW_FORM_flag_present => 1,
                        _ => implicit,
                    },
                });
            }
            let middle = table.steps.len();
            table.steps.extend_from_slice(&over);
            let abbrev = Abbrev {
                tag,
                has_children,
                present,
                steps: [first, middle, table.steps.len()].map(|i| i as u32),
            };
            if code < DENSE {
                let i = code as usize;
                if table.dense.len() <= i {
                    table.dense.resize(i + 1, None);
                }
                table.dense[i].get_or_insert(abbrev);
            } else {
                table.sparse.entry(code).or_insert(abbrev);
            }
        }
    }

    /// Units of one file may share a table.
    pub fn is_for(&self, offset: u64, shape: Shape) -> bool {
        (self.offset, self.shape) == (offset, shape)
    }

    #[inline]
    pub fn get(&self, code: u64) -> Option<Abbrev> {
        if code < DENSE {
            *self.dense.get(code as usize)?
        } else {
            self.sparse.get(&code).copied()
        }
    }
}

/// May DIEs that use the table at this offset of `.debug_abbrev` refer to another unit?
pub fn refers_across_units(dwarf: &Dwarf<'_>, offset: u64) -> bool {
    let mut at = Cursor::new(&dwarf.abbrev, offset as usize, dwarf.big());
    let mut scan = || -> Result<bool, Truncated> {
        while at.uleb()? != 0 {
            at.uleb()?;
            at.u8()?;
            while let Some((_, form, _)) = specification(&mut at)? {
                if form == dw::DW_FORM_ref_addr {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    };
    scan().unwrap_or(false)
}

/// Name, form and implicit value of the next attribute; `None` at the end of the list.
fn specification(at: &mut Cursor<'_>) -> Result<Option<(DwAt, DwForm, i64)>, Truncated> {
    let (name, form) = (at.uleb()?, at.uleb()?);
    if (name, form) == (0, 0) {
        return Ok(None);
    }
    // No form that could be read has so high a number.
    let form = DwForm(u16::try_from(form).unwrap_or(u16::MAX));
    let implicit = match form {
        dw::DW_FORM_implicit_const => at.sleb()?,
        _ => 0,
    };
    Ok(Some((
        DwAt(u16::try_from(name).unwrap_or(0)),
        form,
        implicit,
    )))
}

/// Why a DIE cannot be read.
pub enum Malformed {
    Truncated,
    Form(DwForm),
}

impl From<Truncated> for Malformed {
    fn from(_: Truncated) -> Self {
        Malformed::Truncated
    }
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Malformed::Truncated => f.write_str("the unit ends inside a DIE"),
            Malformed::Form(form) => write!(f, "form {form} is not known"),
        }
    }
}

/// Reads the attributes of DIEs of one unit.
#[derive(Clone, Copy)]
pub struct Decoder {
    pub shape: Shape,
    /// Offset of the unit's header in `.debug_info`, where unit-relative references count from.
    pub unit: u64,
}

impl Decoder {
    #[inline]
    pub fn read(
        &self,
        abbrevs: &Abbrevs,
        abbrev: Abbrev,
        at: &mut Cursor<'_>,
        attrs: &mut Attrs,
    ) -> Result<(), Malformed> {
        let [start, end, _] = abbrev.steps.map(|i| i as usize);
        attrs.present = abbrev.present;
        for step in &abbrevs.steps[start..end] {
            let bits = match step.read {
                Read::Skip => {
                    at.skip(step.arg as usize)?;
                    continue;
                }
                Read::SkipForm => {
                    self.skip_form(step.form, at)?;
                    continue;
                }
                Read::Constant => step.arg as u64,
                Read::U8 => u64::from(at.u8()?),
                Read::U16 => u64::from(at.u16()?),
                Read::U32 => u64::from(at.u32()?),
                Read::U64 => at.u64()?,
                Read::Reference => self.unit.wrapping_add(u64::from(at.u32()?)),
                Read::Form => {
                    attrs.values[step.attr as usize] = self.value(step.form, step.arg, at)?;
                    continue;
                }
            };
            attrs.values[step.attr as usize] = Value {
                bits,
                len: 0,
                form: step.form.0,
            };
        }
        Ok(())
    }

    #[inline]
    pub fn skip(
        &self,
        abbrevs: &Abbrevs,
        abbrev: Abbrev,
        at: &mut Cursor<'_>,
    ) -> Result<(), Malformed> {
        let [_, start, end] = abbrev.steps.map(|i| i as usize);
        for step in &abbrevs.steps[start..end] {
            match step.read {
                Read::Skip => at.skip(step.arg as usize)?,
                _ => self.skip_form(step.form, at)?,
            }
        }
        Ok(())
    }

    fn skip_form(&self, form: DwForm, at: &mut Cursor<'_>) -> Result<(), Malformed> {
        match form {
            dw::DW_FORM_exprloc | dw::DW_FORM_block => {
                let len = at.uleb()?;
                at.skip(usize::try_from(len).map_err(|_| Truncated)?)?;
            }
            dw::DW_FORM_udata
            | dw::DW_FORM_sdata
            | dw::DW_FORM_ref_udata
            | dw::DW_FORM_strx
            | dw::DW_FORM_addrx
            | dw::DW_FORM_loclistx
            | dw::DW_FORM_rnglistx
            | dw::DW_FORM_GNU_str_index
            | dw::DW_FORM_GNU_addr_index => at.skip_leb()?,
            dw::DW_FORM_string => {
                at.cstr()?;
            }
            _ => {
                self.value(form, 0, at)?;
            }
        }
        Ok(())
    }

    fn value(&self, form: DwForm, implicit: i64, at: &mut Cursor<'_>) -> Result<Value, Malformed> {
        let mut len = 0;
        let bits = match form {
            dw::DW_FORM_flag_present => 1,
            dw::DW_FORM_implicit_const => implicit as u64,
            dw::DW_FORM_sdata => at.sleb()? as u64,
            dw::DW_FORM_udata
            | dw::DW_FORM_strx
            | dw::DW_FORM_addrx
            | dw::DW_FORM_loclistx
            | dw::DW_FORM_rnglistx
            | dw::DW_FORM_GNU_str_index
            | dw::DW_FORM_GNU_addr_index => at.uleb()?,
            dw::DW_FORM_ref1 | dw::DW_FORM_ref2 | dw::DW_FORM_ref4 | dw::DW_FORM_ref8 => {
                let size = form_size(form, self.shape).unwrap_or(0);
                self.unit.wrapping_add(at.uint(size)?)
            }
            dw::DW_FORM_ref_udata => self.unit.wrapping_add(at.uleb()?),
            // No field that BTF has can hold 16 bytes.
            dw::DW_FORM_data16 => {
                at.skip(16)?;
                0
            }
            dw::DW_FORM_string => {
                let start = at.pos;
                len = at.cstr()?.len() as u32;
                start as u64
            }
            // The place of the field is where its relocation is found.
            dw::DW_FORM_addr => {
                len = u32::try_from(at.pos).map_err(|_| Truncated)?;
                at.uint(u32::from(self.shape.address_size))?
            }
            dw::DW_FORM_exprloc
            | dw::DW_FORM_block
            | dw::DW_FORM_block1
            | dw::DW_FORM_block2
            | dw::DW_FORM_block4 => {
                let size = match form {
                    dw::DW_FORM_block1 => u64::from(at.u8()?),
                    dw::DW_FORM_block2 => u64::from(at.u16()?),
                    dw::DW_FORM_block4 => u64::from(at.u32()?),
                    _ => at.uleb()?,
                };
                len = u32::try_from(size).map_err(|_| Truncated)?;
                let start = at.pos;
                at.skip(len as usize)?;
                start as u64
            }
            dw::DW_FORM_indirect => {
                let inner = at.uleb()?;
                let inner = DwForm(u16::try_from(inner).map_err(|_| Malformed::Form(form))?);
                let implicit = match inner {
                    dw::DW_FORM_indirect => return Err(Malformed::Form(form)),
                    dw::DW_FORM_implicit_const => at.sleb()?,
                    _ => 0,
                };
                return self.value(inner, implicit, at);
            }
            _ => match form_size(form, self.shape) {
                Some(size) => at.uint(size)?,
                None => return Err(Malformed::Form(form)),
            },
        };
        Ok(Value {
            bits,
            len,
            form: form.0,
        })
    }
}
