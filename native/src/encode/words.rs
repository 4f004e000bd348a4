// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The words of a type in BTF's layout, from its raw record.

use gimli::constants as dw;

use super::records::{Member, Raw, Type};
use super::types::Types;
use crate::btf::{self, is_width_of_int, Kind};
use crate::support::error::{Error, Result};

/// A type that becomes one of BTF.
#[derive(Clone, Copy)]
pub enum Item<'e> {
    /// A raw type, by its index.
    Type(u32),
    /// Of a pointer, by its index, the type tag of this number.
    TypeTag(u32, u32),
    DeclTag {
        value: u32,
        /// DIE of the type that it is on.
        on: u32,
        component: i32,
    },
    /// An `int` that no unit has.
    OwnInt,
    /// What a function candidate is called with.
    Prototype(Prototype<'e>),
}

#[derive(Clone, Copy)]
pub struct Prototype<'e> {
    /// Name of the function.
    pub function: u32,
    pub variadic: bool,
    pub result: u32,
    /// Name and reference of each.
    pub params: &'e [(u32, u32)],
}

/// A type that another one refers to.
#[derive(Clone, Copy)]
pub enum Reference {
    /// By its DIE; 0 is void.
    Die(u32),
    /// See `Item::TypeTag`.
    TypeTag(u32, u32),
    /// That of indexes of arrays, which is always `int`.
    Index,
}

/// Takes the words of one type, in order.
pub trait Words {
    fn word(&mut self, word: u32);

    fn reference(&mut self, to: Reference);

    /// `name`: see `Raw::member_name`; `to`: the DIE of its type.
    fn member(&mut self, name: u32, to: u32, offset: u32);

    fn parameter(&mut self, name: u32, to: u32);

    #[inline(always)]
    fn three(&mut self, name: u32, info: u32, size: u32) {
        self.word(name);
        self.word(info);
        self.word(size);
    }
}

/// What all raw types of an object have in common.
#[derive(Clone, Copy)]
pub struct Layout<'r> {
    pub raw: &'r Raw<'r>,
    pub types: &'r Types<'r>,
    pub strings: &'r [u8],
    /// Name of an `int` that no unit has.
    pub int_name: u32,
}

impl Layout<'_> {
    /// Name, info and reference of a type of three words that refers to another one.
    #[inline(always)]
    pub fn only_reference(self, item: &Item<'_>) -> Option<(u32, u32, Reference)> {
        let Item::Type(i) = *item else { return None };
        let t = &self.raw.types[i as usize];
        let kind = t.kind?;
        let name = match kind {
            Kind::Ptr if t.len != 0 => return None,
            Kind::Ptr | Kind::Const | Kind::Volatile | Kind::Restrict => 0,
            Kind::Typedef => t.name,
            _ => return None,
        };
        Some((name, plain(kind), Reference::Die(t.reference)))
    }

    /// The name by which an item is likely to be found again, and its kind: its own, or that of the
    /// function.
    #[inline(always)]
    pub fn name_of(self, item: &Item<'_>) -> Option<(u32, Kind)> {
        match *item {
            Item::Type(i) => {
                let t = &self.raw.types[i as usize];
                (t.name != 0).then_some(t.name).zip(t.kind)
            }
            Item::Prototype(Prototype { function, .. }) => Some((function, Kind::FuncProto)),
            _ => None,
        }
    }

    /// Tell `to` the words of a type that BTF can hold.
    #[inline(always)]
    pub fn write(self, item: &Item<'_>, to: &mut impl Words) -> Result<()> {
        match *item {
            Item::Type(i) => self.write_type(i, to),
            Item::TypeTag(i, tag) => {
                let t = &self.raw.types[i as usize];
                to.word(self.raw.type_tags[(t.start + tag) as usize]);
                to.word(plain(Kind::TypeTag));
                to.reference(match tag + 1 {
                    next if next == t.len => Reference::Die(t.reference),
                    next => Reference::TypeTag(i, next),
                });
                Ok(())
            }
            Item::DeclTag {
                value,
                on,
                component,
            } => {
                to.word(value);
                to.word(plain(Kind::DeclTag));
                to.reference(Reference::Die(on));
                to.word(component as u32);
                Ok(())
            }
            Item::OwnInt => {
                btf::int(self.int_name)
                    .iter()
                    .for_each(|&word| to.word(word));
                Ok(())
            }
            Item::Prototype(Prototype {
                variadic,
                result,
                params,
                ..
            }) => write_prototype(variadic, result, params, to),
        }
    }

    #[inline(always)]
    fn write_type(self, i: u32, to: &mut impl Words) -> Result<()> {
        let t = &self.raw.types[i as usize];
        // Without one it is another name of what it refers to.
        let Some(kind) = t.kind else { return Ok(()) };
        let size = t.size;
        if size == u32::MAX {
            return Err(Error::new("type of 4 GiB or more"));
        }
        match kind {
            Kind::Struct | Kind::Union => return self.write_aggregate(t, kind, size, to),
            Kind::Ptr => {
                to.word(0);
                to.word(plain(Kind::Ptr));
                to.reference(match t.len {
                    0 => Reference::Die(t.reference),
                    _ => Reference::TypeTag(i, 0),
                });
            }
            Kind::Typedef if t.name == 0 => return Err(Error::new("typedef without a name")),
            Kind::Const | Kind::Volatile | Kind::Restrict => {
                to.word(0);
                to.word(plain(kind));
                to.reference(Reference::Die(t.reference));
            }
            Kind::Typedef => {
                to.word(t.name);
                to.word(plain(kind));
                to.reference(Reference::Die(t.reference));
            }
            Kind::Fwd if t.name == 0 => {
                return Err(Error::new(
                    "declaration of a struct or union without a name",
                ));
            }
            Kind::Fwd => to.three(t.name, btf::info(Kind::Fwd, 0, t.extra != 0), 0),
            Kind::Array => {
                to.three(0, plain(kind), 0);
                to.reference(Reference::Die(t.reference));
                to.reference(Reference::Index);
                to.word(t.extra);
            }
            Kind::Enum => return self.write_enum(t, size, to),
            Kind::Int => return self.write_int(t, size, to),
            Kind::Float => return write_float(t, size, to),
            _ => {
                let params = &self.raw.type_params[t.start as usize..(t.start + t.len) as usize];
                return write_prototype(t.extra != 0, t.reference, params, to);
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn write_aggregate(self, t: &Type, kind: Kind, size: u32, to: &mut impl Words) -> Result<()> {
        check_vlen(t.len)?;
        let members = self.types.members(t);
        let kind_flag = members.iter().any(|m| m.is_within_bytes());
        to.three(t.name, btf::info(kind, t.len, kind_flag), size);
        for m in members {
            let mut offset = self.types.bit_offset(m);
            if offset == Member::TOO_FAR {
                return Err(Error::new(
                    "BTF cannot place this member: it lies 512 MiB or more into its struct, and offsets have 32 bits",
                )
                .at(format!("DIE {:#x}", m.die)));
            }
            if kind_flag {
                if offset > 0xff_ffff || m.bit_size > 255 {
                    return Err(Error::new(
                        "BTF cannot place this member: 24 bits of offset, 8 bits of size in a struct with bit-fields",
                    )
                    .at(format!("DIE {:#x}", m.die)));
                }
                offset |= m.bit_size << 24;
            }
            to.member(m.name, m.reference, offset);
        }
        Ok(())
    }

    /// INT: CHAR is never set, as in all BTF of kernels. Widths that BTF cannot have (24 bits of
    /// clang, 80-bit numbers) become a placeholder of four bytes.
    #[inline(always)]
    fn write_int(self, t: &Type, size: u32, to: &mut impl Words) -> Result<()> {
        if t.name == 0 {
            return Err(Error::new("base type without a name"));
        }
        let encoding = match gimli::DwAte(t.extra as u8) {
            dw::DW_ATE_signed | dw::DW_ATE_signed_char => btf::int_encoding::SIGNED,
            dw::DW_ATE_boolean => btf::int_encoding::BOOL,
            _ => 0,
        };
        let (name, size) = if is_width_of_int(t.size) {
            (t.name, size)
        } else {
            (self.raw.placeholder_name, 4)
        };
        to.three(name, plain(Kind::Int), size);
        to.word((encoding << 24) | (size * 8));
        Ok(())
    }

    /// ENUM up to four bytes: signed when a value is negative. ENUM64: signed when its type is.
    #[inline(always)]
    fn write_enum(self, t: &Type, size: u32, to: &mut impl Words) -> Result<()> {
        check_vlen(t.len)?;
        if !size.is_power_of_two() || size > 8 {
            return Err(Error::new(format!("enumeration of {size} bytes")));
        }
        let range = t.start as usize..(t.start + t.len) as usize;
        let enumerators = &self.raw.enumerators[range];
        if enumerators.iter().any(|e| e.name == 0) {
            return Err(Error::new("enumerator without a name"));
        }
        if size <= 4 {
            let signed = enumerators.iter().any(|e| e.value < 0);
            to.three(t.name, btf::info(Kind::Enum, t.len, signed), size);
            for e in enumerators {
                if e.value < i64::from(i32::MIN) || e.value > i64::from(u32::MAX) {
                    return Err(Error::new(format!(
                        "enumerator of {} in {size} bytes",
                        e.value
                    )));
                }
                to.word(e.name);
                to.word(e.value as u32);
            }
        } else {
            let signed = self.types.get(t.reference).is_some_and(|base| {
                base.kind == Some(Kind::Int)
                    && matches!(
                        gimli::DwAte(base.extra as u8),
                        dw::DW_ATE_signed | dw::DW_ATE_signed_char
                    )
            });
            to.three(t.name, btf::info(Kind::Enum64, t.len, signed), size);
            for e in enumerators {
                to.three(e.name, e.value as u32, (e.value >> 32) as u32);
            }
        }
        Ok(())
    }
}

fn plain(kind: Kind) -> u32 {
    btf::info(kind, 0, false)
}

#[inline(always)]
fn write_float(t: &Type, size: u32, to: &mut impl Words) -> Result<()> {
    if t.name == 0 {
        return Err(Error::new("base type without a name"));
    }
    if !matches!(size, 2 | 4 | 8 | 12 | 16) {
        return Err(Error::new(format!("floating point type of {size} bytes")));
    }
    to.three(t.name, plain(Kind::Float), size);
    Ok(())
}

/// `params`: name and reference of each.
#[inline(always)]
fn write_prototype(
    variadic: bool,
    result: u32,
    params: &[(u32, u32)],
    to: &mut impl Words,
) -> Result<()> {
    let vlen = params.len() as u32 + u32::from(variadic);
    check_vlen(vlen)?;
    to.word(0);
    to.word(btf::info(Kind::FuncProto, vlen, false));
    to.reference(Reference::Die(result));
    for &(name, reference) in params {
        to.parameter(name, reference);
    }
    if variadic {
        to.parameter(0, 0);
    }
    Ok(())
}

fn check_vlen(vlen: u32) -> Result<()> {
    if vlen > btf::MAX_VLEN {
        return Err(Error::new(format!(
            "{vlen} members, BTF can hold {}",
            btf::MAX_VLEN
        )));
    }
    Ok(())
}

/// Which types are wanted in words.
pub trait Choice {
    /// Types are about to come, of these raw records.
    fn begin(&mut self, layout: &Layout<'_>, int: Option<u32>) -> Result<()>;
    /// A unit is about to come, of the language.
    fn unit(&mut self, language: u32);
    /// Is the next type wanted? `proper`: it is one of the unit itself.
    fn wants(&mut self, layout: &Layout<'_>, item: &Item<'_>, proper: bool) -> Result<bool>;
}
