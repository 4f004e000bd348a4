// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! DWARF as a stream of DIEs. Abbreviations are compiled once into short programs (read these
//! attributes, step over those bytes), because a kernel has ten million DIEs and few attributes of
//! each matter. Section 7.5 of the DWARF 5 standard defines the encodings.

mod abbrev;
mod attr;
pub mod cursor;
mod decode;
pub mod unit;

use std::borrow::Cow;

use gimli::{EndianSlice, RunTimeEndian};

use crate::elf::{Elf, Section};
use crate::support::error::Error;

pub use abbrev::{is_skeleton, number_of, refers_across_units, survey, Abbrevs, Role, Tables};
pub use attr::{Attr, Shape, Value, TAG_GNU_ANNOTATION, TAG_LLVM_ANNOTATION};
pub use decode::{Attrs, Decoder, Malformed};

pub type Reader<'a> = EndianSlice<'a, RunTimeEndian>;

/// The debug sections of one file.
pub struct Dwarf<'a> {
    pub info: Section<'a>,
    pub abbrev: Cow<'a, [u8]>,
    pub str: Cow<'a, [u8]>,
    pub line_str: Cow<'a, [u8]>,
    pub str_offsets: Cow<'a, [u8]>,
    pub addr: Section<'a>,
    pub loc: Section<'a>,
    pub loclists: Section<'a>,
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
            loc: elf.section(".debug_loc")?,
            loclists: elf.section(".debug_loclists")?,
            endian: elf.endian(),
        })
    }

    /// The sections that `-gsplit-dwarf` puts aside, into a .dwo file or beside the others. Addresses are
    /// in those of the object.
    pub fn load_dwo(elf: &Elf<'a>) -> Result<Dwarf<'a>, Error> {
        if elf.has_section(".debug_types.dwo") {
            return Err(
                Error::new("DWARF 4 type units (.debug_types.dwo) are not supported")
                    .at(elf.path.display())
                    .hint("build without -fdebug-types-section"),
            );
        }
        Ok(Dwarf {
            info: elf.section(".debug_info.dwo")?,
            abbrev: elf.section(".debug_abbrev.dwo")?.data,
            str: elf.section(".debug_str.dwo")?.data,
            line_str: Cow::Borrowed(&[]),
            str_offsets: elf.section(".debug_str_offsets.dwo")?.data,
            addr: Section::default(),
            loc: elf.section(".debug_loc.dwo")?,
            loclists: elf.section(".debug_loclists.dwo")?,
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
