// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Reads the DIEs of a unit by their abbreviations.

use gimli::{constants as dw, DwForm};

use super::abbrev::{Abbrev, Abbrevs, Field, Piece, Plain};
use super::attr::{form_size, Attr, Shape, Value, ATTRS};
use super::cursor::{Cursor, Truncated};

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

/// What a plain DIE says. `reference` is 0 for none.
pub struct PlainDie {
    pub name: Option<Value>,
    pub reference: u64,
    pub number: Option<u64>,
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
