// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! DWARF as a stream of DIEs. Abbreviations are compiled once per table into short programs
//! (read these attributes, step over those bytes), because a kernel has ten million DIEs and few
//! attributes of each matter. Section 7.5 of the DWARF 5 standard defines the encodings.

pub mod cursor;

use std::borrow::Cow;
use std::ops::Range;

use gimli::{constants as dw, DwAt, DwForm, DwTag, EndianSlice, RunTimeEndian};
use hashbrown::hash_table::HashTable;
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
    /// Length of a block or string; of a field of fixed size its place in `.debug_info`.
    pub len: u32,
    pub form: u16,
}

impl Value {
    pub fn form(&self) -> DwForm {
        DwForm(self.form)
    }

    pub fn is_constant(&self) -> bool {
        is_constant(self.form())
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

const _: () = assert!(ATTRS < u8::MAX as usize);

/// The attributes of one DIE. Each is decoded when it is asked for: most never are.
pub struct Attrs<'d> {
    decoder: Decoder,
    /// Of the abbreviation.
    slots: &'d [u8; ATTRS],
    fields: &'d [Field],
    /// Over the unit.
    data: Cursor<'d>,
    /// Where the pieces of the DIE start.
    pieces: &'d [usize],
}

impl Attrs<'_> {
    #[inline]
    fn field(&self, attr: Attr) -> Option<&Field> {
        let slot = self.slots[attr as usize];
        self.fields.get(usize::from(slot).wrapping_sub(1))
    }

    fn decode(&self, field: &Field) -> Value {
        let piece = self.pieces[field.piece as usize];
        if field.is_fixed {
            return field.read(&self.data, piece, self.decoder.unit);
        }
        let mut at = self.data;
        at.pos = piece;
        // What cannot be read was refused when it was stepped over.
        let value = self.decoder.value(field.form, 0, &mut at);
        value.unwrap_or_default()
    }

    #[inline]
    pub fn get(&self, attr: Attr) -> Option<Value> {
        self.field(attr).map(|field| self.decode(field))
    }

    /// A constant; absent or of another class: `None`.
    #[inline]
    pub fn constant(&self, attr: Attr) -> Option<u64> {
        self.get(attr).filter(Value::is_constant).map(|v| v.bits)
    }

    #[inline]
    pub fn flag(&self, attr: Attr) -> bool {
        self.get(attr).is_some_and(|v| v.bits != 0)
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

fn is_constant(form: DwForm) -> bool {
    matches!(
        form,
        dw::DW_FORM_data1
            | dw::DW_FORM_data2
            | dw::DW_FORM_data4
            | dw::DW_FORM_data8
            | dw::DW_FORM_sdata
            | dw::DW_FORM_udata
            | dw::DW_FORM_implicit_const
    )
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

/// What the bytes of a DIE are, a piece at a time.
#[derive(Clone, Copy)]
enum Piece {
    /// Attributes of so many bytes in all.
    Fixed(u32),
    /// One attribute whose size its bytes tell.
    Varying(DwForm),
}

/// An attribute that is asked for.
#[derive(Clone, Copy)]
struct Field {
    form: DwForm,
    /// Which piece of the DIE it is in, and where in that.
    piece: u32,
    at: u32,
    /// If its size is fixed, it is read as eight bytes, of which some are not its own: the same for
    /// all sizes, so that no branch depends on it. How far its bits must be moved, in the byte order
    /// of the file, and which they are.
    is_fixed: bool,
    shift: u8,
    mask: u64,
    /// To be added: what the abbreviation says; and the offset of the unit's header, if all ones.
    constant: u64,
    of_unit: u64,
}

impl Field {
    /// `size`: `None` for one of varying size. `implicit`: what the abbreviation says.
    fn new(form: DwForm, size: Option<u32>, implicit: i64, big: bool) -> Field {
        // No field that BTF has can hold 16 bytes: such a value is 0.
        let others = match size {
            Some(size @ 1..=8) => 64 - 8 * size,
            _ => 64,
        };
        Field {
            form,
            piece: 0,
            at: 0,
            is_fixed: size.is_some(),
            shift: if big { others as u8 % 64 } else { 0 },
            mask: u64::MAX.checked_shr(others).unwrap_or(0),
            constant: match form {
                dw::DW_FORM_flag_present => 1,
                _ => implicit as u64,
            },
            of_unit: match form {
                dw::DW_FORM_ref1 | dw::DW_FORM_ref2 | dw::DW_FORM_ref4 | dw::DW_FORM_ref8 => {
                    u64::MAX
                }
                _ => 0,
            },
        }
    }

    /// One of fixed size, of a DIE whose piece starts there.
    #[inline]
    fn read(&self, data: &Cursor<'_>, piece: usize, unit: u64) -> Value {
        let place = piece + self.at as usize;
        let own = (data.eight_bytes(place) >> self.shift) & self.mask;
        Value {
            bits: own
                .wrapping_add(self.constant)
                .wrapping_add(unit & self.of_unit),
            len: place as u32,
            form: self.form.0,
        }
    }
}

/// What a DIE may be to the encoder, by its tag.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It counts wherever it stands.
    Anywhere,
    /// It counts directly below the unit.
    Variable,
    /// It counts directly below a function or function type.
    Parameter,
    /// It does not count, but types may stand below it.
    Scope,
    /// Neither it nor anything below it counts.
    Nothing,
}

impl Role {
    fn of(tag: DwTag) -> Role {
        match tag {
            dw::DW_TAG_variable => Role::Variable,
            dw::DW_TAG_formal_parameter | dw::DW_TAG_unspecified_parameters => Role::Parameter,
            dw::DW_TAG_lexical_block | dw::DW_TAG_inlined_subroutine => Role::Scope,
            dw::DW_TAG_label
            | dw::DW_TAG_call_site
            | dw::DW_TAG_call_site_parameter
            | dw::DW_TAG_GNU_call_site
            | dw::DW_TAG_GNU_call_site_parameter => Role::Nothing,
            _ => Role::Anywhere,
        }
    }
}

/// The constant that matters of a DIE: the place of a member, the value of an enumerator, the upper
/// bound of an array, else a size.
pub fn number_of(tag: DwTag) -> Attr {
    match tag {
        dw::DW_TAG_member => Attr::MemberLocation,
        dw::DW_TAG_enumerator => Attr::ConstValue,
        dw::DW_TAG_subrange_type => Attr::UpperBound,
        _ => Attr::ByteSize,
    }
}

/// A DIE of fixed size (but for a name that it may start with) that has no attributes which are
/// asked for, except a name, a type and a number. Most are. Its fields are read without a branch;
/// one that is not there reads as 0.
#[derive(Clone, Copy)]
pub struct Plain {
    name_mask: u32,
    reference_mask: u32,
    number_mask: u64,
    /// What the abbreviation says.
    number: u64,
    /// Places of the fields, and how far their bits must be moved.
    name_at: u16,
    reference_at: u16,
    number_at: u16,
    name_shift: u8,
    reference_shift: u8,
    number_shift: u8,
    /// A reference counts from the unit.
    is_of_unit: bool,
    starts_with_name: bool,
    has_name: bool,
    has_number: bool,
    /// Bytes behind the code, or behind the name that stands in the DIE.
    size: u16,
    name_form: u16,
}

/// What a plain DIE says. `reference` is 0 for none.
pub struct PlainDie {
    pub name: Option<Value>,
    pub reference: u64,
    pub number: Option<u64>,
}

impl Plain {
    const EMPTY: Plain = Plain {
        name_mask: 0,
        reference_mask: 0,
        number_mask: 0,
        number: 0,
        name_at: 0,
        reference_at: 0,
        number_at: 0,
        name_shift: 0,
        reference_shift: 0,
        number_shift: 0,
        is_of_unit: false,
        starts_with_name: false,
        has_name: false,
        has_number: false,
        size: 0,
        name_form: 0,
    };

    /// `tag` has `pieces`; `field` finds an attribute that is asked for, of `wanted` in all.
    fn of(
        tag: DwTag,
        pieces: &[Piece],
        wanted: usize,
        field: impl Fn(Attr) -> Option<Field>,
    ) -> Option<Plain> {
        let (starts_with_name, size) = match *pieces {
            [] => (false, 0),
            [Piece::Fixed(size)] => (false, size),
            [Piece::Varying(dw::DW_FORM_string)] => (true, 0),
            [Piece::Varying(dw::DW_FORM_string), Piece::Fixed(size)] => (true, size),
            _ => return None,
        };
        let fields = [Attr::Name, Attr::Type, number_of(tag)].map(field);
        if fields.iter().flatten().count() != wanted {
            return None;
        }
        let [name, reference, number] = fields;
        let mut plain = Plain {
            size: u16::try_from(size).ok()?,
            starts_with_name,
            ..Plain::EMPTY
        };
        if let Some(name) = name {
            plain.has_name = true;
            plain.name_form = name.form.0;
            if (name.form == dw::DW_FORM_string) != starts_with_name {
                return None;
            }
            if !starts_with_name {
                plain.name_mask = u32::try_from(name.mask).ok()?;
                (plain.name_at, plain.name_shift) = (name.at as u16, name.shift);
            }
        } else if starts_with_name {
            return None;
        }
        if let Some(reference) = reference {
            if !is_reference(reference.form) {
                return None;
            }
            plain.reference_mask = u32::try_from(reference.mask).ok()?;
            plain.is_of_unit = reference.of_unit != 0;
            (plain.reference_at, plain.reference_shift) = (reference.at as u16, reference.shift);
        }
        if let Some(number) = number {
            if !is_constant(number.form) {
                return None;
            }
            plain.has_number = true;
            (plain.number_mask, plain.number) = (number.mask, number.constant);
            (plain.number_at, plain.number_shift) = (number.at as u16, number.shift);
        }
        Some(plain)
    }
}

fn is_reference(form: DwForm) -> bool {
    matches!(
        form,
        dw::DW_FORM_ref1
            | dw::DW_FORM_ref2
            | dw::DW_FORM_ref4
            | dw::DW_FORM_ref8
            | dw::DW_FORM_ref_addr
    )
}

/// One abbreviation, compiled: what is needed of every DIE.
#[derive(Clone, Copy)]
pub struct Abbrev {
    pub plain: Plain,
    pub is_plain: bool,
    /// It is plain, too, and nothing is below it.
    pub is_plain_member: bool,
    pub has_children: bool,
    pub role: Role,
    pub tag: DwTag,
    /// The rest, by index; `NONE`: the code is not used.
    details: u32,
}

/// What is needed of a DIE that is not plain.
struct Details {
    /// For each attribute its field, counted from 1; 0 where there is none.
    slots: [u8; ATTRS],
    /// Where its fields and its pieces start, and where these end.
    fields: u32,
    pieces: u32,
    pieces_end: u32,
}

/// The abbreviations of one table.
pub struct Abbrevs {
    /// Of the units that it is compiled for.
    shape: Shape,
    /// Where it is; `None`: nothing is compiled.
    offset: Option<u64>,
    pieces: Vec<Piece>,
    fields: Vec<Field>,
    details: Vec<Details>,
    /// By code; compilers count from 1.
    dense: Vec<Abbrev>,
    sparse: HashMap<u64, Abbrev>,
    /// What was compiled for this shape, by the bytes of the declaration behind its code: where they
    /// are. Units of one compiler have the same declarations, but other codes for them.
    compiled: HashTable<(Range<usize>, Abbrev)>,
}

const UNUSED: Abbrev = Abbrev {
    plain: Plain::EMPTY,
    is_plain: false,
    is_plain_member: false,
    has_children: false,
    role: Role::Nothing,
    tag: DwTag(0),
    details: NONE,
};

const NONE: u32 = u32::MAX;

/// Codes from here on are looked up in a map.
const DENSE: u64 = 1 << 16;

impl Abbrevs {
    pub fn new(shape: Shape) -> Self {
        Abbrevs {
            shape,
            offset: None,
            pieces: Vec::new(),
            fields: Vec::new(),
            details: Vec::new(),
            dense: Vec::new(),
            sparse: HashMap::new(),
            compiled: HashTable::new(),
        }
    }

    /// Compile the table at an offset of `.debug_abbrev` (DWARF 5, section 7.5.3), for units of the
    /// shape.
    pub fn compile(
        &mut self,
        dwarf: &Dwarf<'_>,
        offset: u64,
        shape: Shape,
    ) -> Result<(), Truncated> {
        if shape != self.shape {
            *self = Abbrevs::new(shape);
        }
        // Units of one file may share a table.
        if self.offset == Some(offset) {
            return Ok(());
        }
        self.offset = None;
        self.dense.clear();
        self.sparse.clear();
        let start = usize::try_from(offset).map_err(|_| Truncated)?;
        let mut at = Cursor::new(&dwarf.abbrev, start, dwarf.big());
        loop {
            let code = at.uleb()?;
            if code == 0 {
                self.offset = Some(offset);
                return Ok(());
            }
            let abbrev = self.declaration(dwarf, &mut at)?;
            // Of two with one code the first counts.
            if code < DENSE {
                let i = code as usize;
                if self.dense.len() <= i {
                    self.dense.resize(i + 1, UNUSED);
                }
                if self.dense[i].details == NONE {
                    self.dense[i] = abbrev;
                }
            } else {
                self.sparse.entry(code).or_insert(abbrev);
            }
        }
    }

    /// Read a declaration behind its code.
    fn declaration(&mut self, dwarf: &Dwarf<'_>, at: &mut Cursor<'_>) -> Result<Abbrev, Truncated> {
        let all = &dwarf.abbrev;
        let mut end = *at;
        end.skip_leb()?;
        end.skip(1)?;
        while specification(&mut end)?.is_some() {}
        let place = at.pos..end.pos;
        let hash = |place: &Range<usize>| xxhash_rust::xxh3::xxh3_64(&all[place.clone()]);
        let own = hash(&place);
        let is = |(known, _): &(Range<usize>, Abbrev)| all[known.clone()] == all[place.clone()];
        if let Some((_, known)) = self.compiled.find(own, is) {
            at.pos = end.pos;
            return Ok(*known);
        }
        let abbrev = self.compile_declaration(dwarf, at)?;
        self.compiled
            .insert_unique(own, (place, abbrev), |(known, _)| hash(known));
        Ok(abbrev)
    }

    fn compile_declaration(
        &mut self,
        dwarf: &Dwarf<'_>,
        at: &mut Cursor<'_>,
    ) -> Result<Abbrev, Truncated> {
        let tag = DwTag(u16::try_from(at.uleb()?).unwrap_or(0));
        let has_children = at.u8()? != 0;
        let mut details = Details {
            slots: [0; ATTRS],
            fields: self.fields.len() as u32,
            pieces: self.pieces.len() as u32,
            pieces_end: 0,
        };
        while let Some((name, form, implicit)) = specification(at)? {
            let size = form_size(form, self.shape);
            let (piece, place) = self.add_piece(details.pieces, form, size);
            if let Some(attr) = Attr::of(name) {
                let slot = &mut details.slots[attr as usize];
                let field = Field {
                    piece,
                    at: place,
                    ..Field::new(form, size, implicit, dwarf.big())
                };
                // Twice the same attribute: the last one counts.
                match slot.checked_sub(1) {
                    Some(i) => self.fields[details.fields as usize + usize::from(i)] = field,
                    None => {
                        self.fields.push(field);
                        *slot = (self.fields.len() - details.fields as usize) as u8;
                    }
                }
            }
        }
        details.pieces_end = self.pieces.len() as u32;
        let fields = &self.fields[details.fields as usize..];
        let plain = Plain::of(tag, self.pieces_of(&details), fields.len(), |attr| {
            let slot = usize::from(details.slots[attr as usize]);
            fields.get(slot.wrapping_sub(1)).copied()
        });
        let abbrev = Abbrev {
            plain: plain.unwrap_or(Plain::EMPTY),
            is_plain: plain.is_some(),
            is_plain_member: plain.is_some() && tag == dw::DW_TAG_member && !has_children,
            has_children,
            role: Role::of(tag),
            tag,
            details: self.details.len() as u32,
        };
        self.details.push(details);
        Ok(abbrev)
    }

    #[inline]
    fn pieces_of(&self, details: &Details) -> &[Piece] {
        &self.pieces[details.pieces as usize..details.pieces_end as usize]
    }

    #[inline]
    fn details(&self, abbrev: &Abbrev) -> &Details {
        &self.details[abbrev.details as usize]
    }

    /// Add an attribute to the pieces from `first` on; returns in which of them it is, and where.
    fn add_piece(&mut self, first: u32, form: DwForm, size: Option<u32>) -> (u32, u32) {
        let own = self.pieces.len() as u32 - first;
        match (size, self.pieces[first as usize..].last_mut()) {
            (None, _) => self.pieces.push(Piece::Varying(form)),
            (Some(more), Some(Piece::Fixed(size))) => {
                let place = *size;
                *size = size.saturating_add(more);
                return (own - 1, place);
            }
            (Some(size), _) => self.pieces.push(Piece::Fixed(size)),
        }
        (own, 0)
    }

    #[inline]
    pub fn get(&self, code: u64) -> Option<&Abbrev> {
        let abbrev = if code < DENSE {
            self.dense.get(code as usize)
        } else {
            self.sparse.get(&code)
        };
        abbrev.filter(|a| a.details != NONE)
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
    #[inline(always)]
    pub fn read_plain(&self, plain: &Plain, at: &mut Cursor<'_>) -> Result<PlainDie, Truncated> {
        let start = at.pos;
        if plain.starts_with_name {
            at.cstr()?;
        }
        let piece = at.pos;
        at.skip(usize::from(plain.size))?;
        let field = |place: u16, shift: u8| at.eight_bytes(piece + usize::from(place)) >> shift;
        let name = if plain.starts_with_name {
            Value {
                bits: start as u64,
                len: (piece - start - 1) as u32,
                form: dw::DW_FORM_string.0,
            }
        } else {
            Value {
                bits: field(plain.name_at, plain.name_shift) & u64::from(plain.name_mask),
                len: (piece + usize::from(plain.name_at)) as u32,
                form: plain.name_form,
            }
        };
        let reference = field(plain.reference_at, plain.reference_shift);
        let unit = if plain.is_of_unit { self.unit } else { 0 };
        let number = field(plain.number_at, plain.number_shift) & plain.number_mask;
        Ok(PlainDie {
            name: plain.has_name.then_some(name),
            reference: unit.wrapping_add(reference & u64::from(plain.reference_mask)),
            number: plain
                .has_number
                .then_some(number.wrapping_add(plain.number)),
        })
    }

    /// The attributes of the DIE at a position, which moves behind it. `pieces` is scratch.
    #[inline]
    pub fn read<'a, 'd: 'a>(
        &self,
        abbrevs: &'a Abbrevs,
        abbrev: &'a Abbrev,
        at: &mut Cursor<'d>,
        pieces: &'a mut Vec<usize>,
    ) -> Result<Attrs<'a>, Malformed> {
        pieces.clear();
        let details = abbrevs.details(abbrev);
        for piece in abbrevs.pieces_of(details) {
            pieces.push(at.pos);
            self.skip_piece(piece, at)?;
        }
        Ok(Attrs {
            decoder: *self,
            slots: &details.slots,
            fields: &abbrevs.fields[details.fields as usize..],
            data: *at,
            pieces,
        })
    }

    #[inline]
    pub fn skip(
        &self,
        abbrevs: &Abbrevs,
        abbrev: &Abbrev,
        at: &mut Cursor<'_>,
    ) -> Result<(), Malformed> {
        let mut pieces = abbrevs.pieces_of(abbrevs.details(abbrev)).iter();
        pieces.try_for_each(|piece| self.skip_piece(piece, at))
    }

    #[inline]
    fn skip_piece(&self, piece: &Piece, at: &mut Cursor<'_>) -> Result<(), Malformed> {
        match *piece {
            Piece::Fixed(size) => Ok(at.skip(size as usize)?),
            Piece::Varying(form) => self.skip_form(form, at),
        }
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
