// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Abbreviations (DWARF 5, section 7.5.3), compiled.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use gimli::{constants as dw, DwAt, DwForm, DwTag};
use hashbrown::hash_table::HashTable;

use super::attr::{form_size, is_constant, Attr, Shape, Value, ATTRS};
use super::cursor::{Cursor, Truncated};
use super::{Dwarf, Reader};

/// What the bytes of a DIE are, a piece at a time.
#[derive(Clone, Copy)]
pub(super) enum Piece {
    /// Attributes of so many bytes in all.
    Fixed(u32),
    /// One attribute whose size its bytes tell.
    Varying(DwForm),
}

/// An attribute that is asked for.
#[derive(Clone, Copy)]
pub(super) struct Field {
    pub(super) form: DwForm,
    /// Which piece of the DIE it is in, and where in that.
    pub(super) piece: u32,
    pub(super) at: u32,
    /// If its size is fixed, it is read as eight bytes, of which some are not its own: the same for
    /// all sizes, so that no branch depends on it. How far its bits must be moved, in the byte order
    /// of the file, and which they are.
    pub(super) is_fixed: bool,
    pub(super) shift: u8,
    pub(super) mask: u64,
    /// To be added: what the abbreviation says; and the offset of the unit's header, if all ones.
    pub(super) constant: u64,
    pub(super) of_unit: u64,
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
    pub(super) fn read(&self, data: &Cursor<'_>, piece: usize, unit: u64) -> Value {
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
    pub(super) name_mask: u32,
    pub(super) reference_mask: u32,
    pub(super) number_mask: u64,
    /// What the abbreviation says.
    pub(super) number: u64,
    /// Places of the fields, and how far their bits must be moved.
    pub(super) name_at: u16,
    pub(super) reference_at: u16,
    pub(super) number_at: u16,
    pub(super) name_shift: u8,
    pub(super) reference_shift: u8,
    pub(super) number_shift: u8,
    /// A reference counts from the unit.
    pub(super) is_of_unit: bool,
    pub(super) starts_with_name: bool,
    pub(super) has_name: bool,
    pub(super) has_number: bool,
    /// Bytes behind the code, or behind the name that stands in the DIE.
    pub(super) size: u16,
    pub(super) name_form: u16,
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
pub(super) struct Details {
    /// For each attribute its field, counted from 1; 0 where there is none.
    pub(super) slots: [u8; ATTRS],
    /// Where its fields and its pieces start, and where these end.
    pub(super) fields: u32,
    pub(super) pieces: u32,
    pub(super) pieces_end: u32,
}

/// The abbreviations of one table.
pub struct Abbrevs {
    /// Of the units that it is compiled for.
    pub(super) shape: Shape,
    /// Where it is; `None`: nothing is compiled.
    pub(super) offset: Option<u64>,
    pub(super) pieces: Vec<Piece>,
    pub(super) fields: Vec<Field>,
    pub(super) details: Vec<Details>,
    /// By code; compilers count from 1. Codes that leave too much room are in the other.
    pub(super) dense: Vec<Abbrev>,
    pub(super) sparse: HashMap<u64, Abbrev>,
    /// What was compiled for this shape, by the bytes of the declaration behind its code: where they
    /// are. Units of one compiler have the same declarations, but other codes for them.
    pub(super) compiled: HashTable<(Range<usize>, Abbrev)>,
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

/// Codes that have been left out so far when one is looked up in a map, beside as many as are there.
const GAP: usize = 64;

/// How often all tables may be read, in all, and bytes in any file: units share whole tables, but tables
/// share nothing.
const AGAIN: usize = 16;
const LITTLE: usize = 1 << 20;

/// May so many bytes of tables have been read of this section?
fn is_bearable(read: usize, section: usize) -> bool {
    read <= LITTLE + AGAIN * section
}

/// Why the abbreviations of a unit cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    Endless,
    /// Tables that lie in each other.
    Overlapping,
}

impl From<Truncated> for Unusable {
    fn from(_: Truncated) -> Unusable {
        Unusable::Endless
    }
}

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Unusable::Endless => "damaged abbreviations: the table has no end",
            Unusable::Overlapping => "damaged abbreviations: the tables overlap",
        })
    }
}

/// The abbreviations of units that come one after the other. Most have a table of their own, or that of
/// the one before.
pub struct Tables {
    last: Abbrevs,
    /// Tables that a unit came back to when others had been used: these take turns.
    kept: HashMap<(u64, Shape), Abbrevs>,
    met: HashSet<(u64, Shape)>,
    /// In bytes.
    read: usize,
}

impl Tables {
    pub fn new(shape: Shape) -> Tables {
        Tables {
            last: Abbrevs::new(shape),
            kept: HashMap::new(),
            met: HashSet::new(),
            read: 0,
        }
    }

    /// The table at an offset of `.debug_abbrev`, for units of the shape.
    pub fn get(
        &mut self,
        dwarf: &Dwarf<'_>,
        offset: u64,
        shape: Shape,
    ) -> Result<&Abbrevs, Unusable> {
        let last = &self.last;
        if last.offset == Some(offset) && last.shape == shape {
            return Ok(&self.last);
        }
        let table = match self.met.insert((offset, shape)) {
            true => &mut self.last,
            false => self
                .kept
                .entry((offset, shape))
                .or_insert_with(|| Abbrevs::new(shape)),
        };
        self.read += table.compile(dwarf, offset, shape)?;
        match is_bearable(self.read, dwarf.abbrev.len()) {
            true => Ok(table),
            false => Err(Unusable::Overlapping),
        }
    }
}

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
    /// shape, if it is another than the last one. Returned: how many bytes were read.
    fn compile(
        &mut self,
        dwarf: &Dwarf<'_>,
        offset: u64,
        shape: Shape,
    ) -> Result<usize, Truncated> {
        if shape != self.shape {
            *self = Abbrevs::new(shape);
        }
        if self.offset == Some(offset) {
            return Ok(0);
        }
        self.offset = None;
        let mut declared = 0;
        self.dense.clear();
        self.sparse.clear();
        let start = usize::try_from(offset).map_err(|_| Truncated)?;
        let mut at = Cursor::new(&dwarf.abbrev, start, dwarf.big());
        loop {
            let code = at.uleb()?;
            if code == 0 {
                self.offset = Some(offset);
                return Ok(at.pos - start);
            }
            let abbrev = self.declaration(dwarf, &mut at)?;
            declared += 1;
            // Of two with one code the first counts.
            if self.get(code).is_some() {
                continue;
            }
            match usize::try_from(code) {
                Ok(i) if i <= 2 * declared + GAP => {
                    if self.dense.len() <= i {
                        self.dense.resize(i + 1, UNUSED);
                    }
                    self.dense[i] = abbrev;
                }
                _ => _ = self.sparse.insert(code, abbrev),
            }
        }
    }

    /// Read a declaration behind its code.
    fn declaration(&mut self, dwarf: &Dwarf<'_>, at: &mut Cursor<'_>) -> Result<Abbrev, Truncated> {
        let all = &dwarf.abbrev;
        let mut end = *at;
        end.skip_leb()?;
        end.skip(1)?;
        skip_specifications(&mut end)?;
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
        let tag = tag(at)?;
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
    pub(super) fn pieces_of(&self, details: &Details) -> &[Piece] {
        &self.pieces[details.pieces as usize..details.pieces_end as usize]
    }

    #[inline]
    pub(super) fn details(&self, abbrev: &Abbrev) -> &Details {
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
        match self.dense.get(code as usize) {
            Some(abbrev) if abbrev.details != NONE => Some(abbrev),
            _ if self.sparse.is_empty() => None,
            _ => self.sparse.get(&code),
        }
    }
}

/// May DIEs that use one of the tables at these offsets of `.debug_abbrev` refer to another unit? It counts
/// as so, too, where tables that overlap would take too long.
pub fn refers_across_units(dwarf: &Dwarf<'_>, offsets: impl Iterator<Item = u64>) -> bool {
    let (mut met, mut read) = (HashSet::new(), 0);
    for offset in offsets {
        if !met.insert(offset) {
            continue;
        }
        let mut at = Cursor::new(&dwarf.abbrev, offset as usize, dwarf.big());
        let start = at.pos;
        if has(&mut at, &mut |_, _, form| form == dw::DW_FORM_ref_addr).unwrap_or(false) {
            return true;
        }
        read += at.pos - start;
        if !is_bearable(read, dwarf.abbrev.len()) {
            return true;
        }
    }
    false
}

/// What the tables of a whole section tell.
#[derive(Default)]
pub struct Survey {
    /// A DIE other than the unit itself has a string in `.debug_line_str`. Tables that cannot be read
    /// count as if one had.
    pub line_strings: bool,
    /// A DIE names a .dwo file: the unit is there.
    pub names_dwo: bool,
}

pub fn survey(abbrev: &[u8], big: bool) -> Survey {
    let mut at = Cursor::new(abbrev, 0, big);
    let mut found = Survey::default();
    while !at.at_end() {
        let names_dwo = &mut found.names_dwo;
        let line_strings = has(&mut at, &mut |tag, name, form| {
            *names_dwo |= is_dwo_name(name);
            let is_unit = matches!(tag, dw::DW_TAG_compile_unit | dw::DW_TAG_skeleton_unit);
            form == dw::DW_FORM_line_strp && !is_unit
        });
        if line_strings.unwrap_or(true) {
            found.line_strings = true;
            break;
        }
    }
    found
}

fn is_dwo_name(name: DwAt) -> bool {
    matches!(name, dw::DW_AT_dwo_name | dw::DW_AT_GNU_dwo_name)
}

/// Are the DIEs of a unit in a .dwo file? Since DWARF 5 the header says so, before that an attribute.
pub fn is_skeleton(dwarf: &Dwarf<'_>, unit: &gimli::UnitHeader<Reader<'_>>) -> bool {
    if unit.version() >= 5 {
        return matches!(unit.type_(), gimli::UnitType::Skeleton(_));
    }
    let offset = unit
        .debug_info_offset()
        .map_or(0, |o: gimli::DebugInfoOffset<usize>| o.0);
    let mut die = Cursor::new(
        &dwarf.info.data,
        offset + unit.size_of_header(),
        dwarf.big(),
    );
    let mut at = Cursor::new(&dwarf.abbrev, unit.debug_abbrev_offset().0, dwarf.big());
    let mut read = || -> Result<bool, Truncated> {
        let code = die.uleb()?;
        loop {
            let declared = at.uleb()?;
            if declared == 0 {
                return Ok(false);
            }
            tag(&mut at)?;
            at.skip(1)?;
            if declared != code {
                skip_specifications(&mut at)?;
                continue;
            }
            while let Some((name, _, _)) = specification(&mut at)? {
                if is_dwo_name(name) {
                    return Ok(true);
                }
            }
            return Ok(false);
        }
    };
    read().unwrap_or(false)
}

/// Has a table such an attribute? It is read to its end, or to the first one.
fn has(
    at: &mut Cursor<'_>,
    is: &mut impl FnMut(DwTag, DwAt, DwForm) -> bool,
) -> Result<bool, Truncated> {
    while at.uleb()? != 0 {
        let tag = tag(at)?;
        at.u8()?;
        while let Some((name, form, _)) = specification(at)? {
            if is(tag, name, form) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn tag(at: &mut Cursor<'_>) -> Result<DwTag, Truncated> {
    Ok(DwTag(u16::try_from(at.uleb()?).unwrap_or(0)))
}

/// Go behind the end of the list.
fn skip_specifications(at: &mut Cursor<'_>) -> Result<(), Truncated> {
    loop {
        // Nearly all are two bytes.
        let start = *at;
        let (name, form) = (at.u8()?, at.u8()?);
        if name < 0x80 && form < 0x80 && DwForm(form.into()) != dw::DW_FORM_implicit_const {
            if (name, form) == (0, 0) {
                return Ok(());
            }
            continue;
        }
        *at = start;
        if specification(at)?.is_none() {
            return Ok(());
        }
    }
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
