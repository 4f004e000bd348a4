// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The words of BTF (Documentation/bpf/btf.rst, include/uapi/linux/btf.h): kinds and the layout
//! of a type, shared by encoder, combiner, writer and checker.

pub mod check;
pub mod load;
pub mod read;
pub mod relocate;
pub mod write;

pub const MAGIC: u16 = 0xeb9f;
pub const HEADER_LEN: u32 = 24;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Kind {
    Int = 1,
    Ptr = 2,
    Array = 3,
    Struct = 4,
    Union = 5,
    Enum = 6,
    Fwd = 7,
    Typedef = 8,
    Volatile = 9,
    Const = 10,
    Restrict = 11,
    Func = 12,
    FuncProto = 13,
    Var = 14,
    Datasec = 15,
    Float = 16,
    DeclTag = 17,
    TypeTag = 18,
    Enum64 = 19,
    /// Where a parameter of an inlined function is.
    LocParam = 20,
    /// Where each of its parameters is.
    LocProto = 21,
    /// Where functions were inlined, in one section.
    Locsec = 22,
}

impl Kind {
    /// Numbers of kinds are smaller; 0 is none.
    pub const END: usize = Kind::ALL.len() + 1;

    pub const ALL: [Kind; 22] = [
        Kind::Int,
        Kind::Ptr,
        Kind::Array,
        Kind::Struct,
        Kind::Union,
        Kind::Enum,
        Kind::Fwd,
        Kind::Typedef,
        Kind::Volatile,
        Kind::Const,
        Kind::Restrict,
        Kind::Func,
        Kind::FuncProto,
        Kind::Var,
        Kind::Datasec,
        Kind::Float,
        Kind::DeclTag,
        Kind::TypeTag,
        Kind::Enum64,
        Kind::LocParam,
        Kind::LocProto,
        Kind::Locsec,
    ];

    pub fn from_info(info: u32) -> Option<Kind> {
        Kind::ALL
            .get(((info >> 24 & 0x7f) as usize).wrapping_sub(1))
            .copied()
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::Int => "INT",
            Kind::Ptr => "PTR",
            Kind::Array => "ARRAY",
            Kind::Struct => "STRUCT",
            Kind::Union => "UNION",
            Kind::Enum => "ENUM",
            Kind::Fwd => "FWD",
            Kind::Typedef => "TYPEDEF",
            Kind::Volatile => "VOLATILE",
            Kind::Const => "CONST",
            Kind::Restrict => "RESTRICT",
            Kind::Func => "FUNC",
            Kind::FuncProto => "FUNC_PROTO",
            Kind::Var => "VAR",
            Kind::Datasec => "DATASEC",
            Kind::Float => "FLOAT",
            Kind::DeclTag => "DECL_TAG",
            Kind::TypeTag => "TYPE_TAG",
            Kind::Enum64 => "ENUM64",
            Kind::LocParam => "LOC_PARAM",
            Kind::LocProto => "LOC_PROTO",
            Kind::Locsec => "LOCSEC",
        }
    }
}

/// `vlen` and `kind_flag` fields of the info word. Of 24 bits for vlen kernels up to 7.1 read 16.
pub const MAX_VLEN: u32 = 0xff_ffff;
pub const OLD_MAX_VLEN: u32 = 0xffff;
pub const KIND_FLAG: u32 = 1 << 31;

/// The words of the `int` of C.
pub fn int(name: u32) -> [u32; 4] {
    let data = int_encoding::SIGNED << 24 | 32;
    [name, info(Kind::Int, 0, false), 4, data]
}

pub fn info(kind: Kind, vlen: u32, kind_flag: bool) -> u32 {
    (kind as u32) << 24 | vlen | if kind_flag { KIND_FLAG } else { 0 }
}

pub fn vlen(info: u32) -> usize {
    (info & MAX_VLEN) as usize
}

/// Words of a whole type: name, info, size or type, and what follows.
pub fn type_len(kind: Kind, vlen: usize) -> usize {
    3 + match kind {
        Kind::Int | Kind::Var | Kind::DeclTag => 1,
        Kind::Array => 3,
        Kind::Struct | Kind::Union | Kind::Datasec | Kind::Enum64 | Kind::Locsec => 3 * vlen,
        Kind::Enum | Kind::FuncProto => 2 * vlen,
        Kind::LocParam => 1 + vlen,
        Kind::LocProto => vlen,
        _ => 0,
    }
}

/// A word of a type that is not plain data.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Name,
    Type,
}

/// Visit every word that names a string or a type, by its position in the type.
#[inline]
pub fn for_each_field(kind: Kind, words: &[u32], mut visit: impl FnMut(usize, Field)) {
    visit(0, Field::Name);
    let members = |step: usize| (3..words.len()).step_by(step);
    match kind {
        Kind::Ptr
        | Kind::Typedef
        | Kind::Volatile
        | Kind::Const
        | Kind::Restrict
        | Kind::Func
        | Kind::Var
        | Kind::DeclTag
        | Kind::TypeTag => visit(2, Field::Type),
        Kind::Array => {
            visit(3, Field::Type);
            visit(4, Field::Type);
        }
        Kind::Struct | Kind::Union => members(3).for_each(|i| {
            visit(i, Field::Name);
            visit(i + 1, Field::Type);
        }),
        Kind::Enum => members(2).for_each(|i| visit(i, Field::Name)),
        Kind::Enum64 => members(3).for_each(|i| visit(i, Field::Name)),
        Kind::FuncProto => {
            visit(2, Field::Type);
            members(2).for_each(|i| {
                visit(i, Field::Name);
                visit(i + 1, Field::Type);
            });
        }
        Kind::Datasec => members(3).for_each(|i| visit(i, Field::Type)),
        Kind::LocProto => members(1).for_each(|i| visit(i, Field::Type)),
        Kind::Locsec => members(3).for_each(|i| {
            visit(i, Field::Type);
            visit(i + 1, Field::Type);
        }),
        Kind::Int | Kind::Fwd | Kind::Float | Kind::LocParam => {}
    }
}

/// The flags of a LOC_PARAM: what the words behind them are.
pub mod loc_flags {
    pub const SIGNED: u32 = 1 << 0;
    /// A value.
    pub const CONST: u32 = 1 << 1;
    /// A value that is an address.
    pub const ADDR: u32 = 1 << 2;
    /// The DWARF number of a register, or of two that hold one value together.
    pub const REG: u32 = 1 << 3;
    /// What is meant lies in memory, there.
    pub const DEREF: u32 = 1 << 4;
    /// An offset to the register follows it.
    pub const OFFSET: u32 = 1 << 5;
    pub const ALL: u32 = (1 << 6) - 1;
    /// In place of a register: the base of the function's frame (`DW_OP_fbreg`).
    pub const FRAME_BASE: u32 = u32::MAX;
}

pub mod int_encoding {
    pub const SIGNED: u32 = 1 << 0;
    pub const BOOL: u32 = 1 << 2;
}

pub fn kind_of(words: &[u32]) -> Option<Kind> {
    Kind::from_info(*words.get(1)?)
}

/// The space in which a nominal type's name is looked up, as in C: struct, union, enum.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Space {
    Struct = b's',
    Union = b'u',
    Enum = b'e',
}

/// The space of a nominal type and whether it is only declared; `None` for all other types.
pub fn nominal(words: &[u32]) -> Option<(Space, bool)> {
    if words[0] == 0 {
        return None;
    }
    match kind_of(words)? {
        Kind::Struct => Some((Space::Struct, false)),
        Kind::Union => Some((Space::Union, false)),
        Kind::Fwd if words[1] & KIND_FLAG != 0 => Some((Space::Union, true)),
        Kind::Fwd => Some((Space::Struct, true)),
        Kind::Enum | Kind::Enum64 => Some((Space::Enum, vlen(words[1]) == 0)),
        _ => None,
    }
}

/// Visit each type that a type refers to.
pub fn for_each_target(words: &[u32], mut visit: impl FnMut(u32)) {
    if let Some(kind) = kind_of(words) {
        for_each_field(kind, words, |i, field| {
            if field == Field::Type && words[i] != 0 {
                visit(words[i]);
            }
        });
    }
}

/// Put the sites of a LOCSEC, each of three words, in order: by function, offset, places.
pub fn sort_sites(words: &mut [u32]) {
    let (sites, _) = words.as_chunks_mut::<3>();
    sites.sort_unstable_by_key(|&[function, places, offset]| (function, offset, places));
}

/// Can BTF have an INT of so many bytes?
pub fn is_width_of_int(bytes: u32) -> bool {
    bytes.is_power_of_two() && bytes <= 16
}
