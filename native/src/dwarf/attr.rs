// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Attributes, and the forms in which their values stand.

use gimli::{constants as dw, DwAt, DwForm, DwTag};

use super::Reader;

macro_rules! attributes {
    ($($name:ident = $at:expr,)*) => {
        /// The attributes that some rule of the encoder reads.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub enum Attr { $($name,)* }

        pub(super) const ATTRS: usize = [$(Attr::$name,)*].len();

        impl Attr {
            #[inline]
            pub(super) fn of(at: DwAt) -> Option<Attr> {
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
    HighPc = dw::DW_AT_high_pc,
    Ranges = dw::DW_AT_ranges,
    EntryPc = dw::DW_AT_entry_pc,
    Inline = dw::DW_AT_inline,
    DeclLine = dw::DW_AT_decl_line,
    Location = dw::DW_AT_location,
    Artificial = dw::DW_AT_artificial,
    External = dw::DW_AT_external,
    CallingConvention = dw::DW_AT_calling_convention,
    Language = dw::DW_AT_language,
    Producer = dw::DW_AT_producer,
    StrOffsetsBase = dw::DW_AT_str_offsets_base,
    AddrBase = dw::DW_AT_addr_base,
    LoclistsBase = dw::DW_AT_loclists_base,
    RnglistsBase = dw::DW_AT_rnglists_base,
    Signature = dw::DW_AT_signature,
    DwoName = dw::DW_AT_dwo_name,
    GnuDwoName = dw::DW_AT_GNU_dwo_name,
    GnuDwoId = dw::DW_AT_GNU_dwo_id,
    GnuAddrBase = dw::DW_AT_GNU_addr_base,
    GnuRangesBase = dw::DW_AT_GNU_ranges_base,
    CompDir = dw::DW_AT_comp_dir,
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

/// What the meaning of a form depends on.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
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

pub(super) fn is_constant(form: DwForm) -> bool {
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

pub(super) fn form_size(form: DwForm, shape: Shape) -> Option<u32> {
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
