// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Objects with debug information, for the tests of this stage.

use gimli::constants as dw;
use gimli::write::{AttributeValue, DwarfUnit, EndianVec, Sections, UnitEntryId};
use gimli::{DwAt, DwTag, Encoding, Format, LittleEndian, SectionId};
use object::{write, Architecture, BinaryFormat, Endianness, SectionKind};

use super::encode_object;
use crate::elf::Elf;
use crate::object::Encoded;
use crate::support::error::Result;
use crate::support::files::Mapped;

/// The only unit of an object.
pub struct Program(DwarfUnit);

pub fn number(value: u64) -> AttributeValue {
    AttributeValue::Udata(value)
}

pub fn of(die: UnitEntryId) -> AttributeValue {
    AttributeValue::UnitRef(die)
}

impl Program {
    pub fn new(language: gimli::DwLang) -> Program {
        let mut dwarf = DwarfUnit::new(Encoding {
            format: Format::Dwarf32,
            version: 5,
            address_size: 8,
        });
        let root = dwarf.unit.root();
        let unit = dwarf.unit.get_mut(root);
        unit.set(dw::DW_AT_language, AttributeValue::Language(language));
        Program(dwarf)
    }

    pub fn c() -> Program {
        Program::new(dw::DW_LANG_C11)
    }

    pub fn root(&self) -> UnitEntryId {
        self.0.unit.root()
    }

    /// A DIE below another one; without a name where that is empty.
    pub fn below(
        &mut self,
        parent: UnitEntryId,
        tag: DwTag,
        name: &str,
        attributes: &[(DwAt, AttributeValue)],
    ) -> UnitEntryId {
        let id = self.0.unit.add(parent, tag);
        if !name.is_empty() {
            self.set(id, dw::DW_AT_name, AttributeValue::String(name.into()));
        }
        for (attribute, value) in attributes {
            self.set(id, *attribute, value.clone());
        }
        id
    }

    /// A DIE of the unit.
    pub fn add(
        &mut self,
        tag: DwTag,
        name: &str,
        attributes: &[(DwAt, AttributeValue)],
    ) -> UnitEntryId {
        self.below(self.root(), tag, name, attributes)
    }

    pub fn set(&mut self, die: UnitEntryId, attribute: DwAt, value: AttributeValue) {
        self.0.unit.get_mut(die).set(attribute, value);
    }

    pub fn base(&mut self, name: &str, encoding: gimli::DwAte, size: u64) -> UnitEntryId {
        let encoding = AttributeValue::Encoding(encoding);
        let attributes = [
            (dw::DW_AT_encoding, encoding),
            (dw::DW_AT_byte_size, number(size)),
        ];
        self.add(dw::DW_TAG_base_type, name, &attributes)
    }

    pub fn int(&mut self) -> UnitEntryId {
        self.base("int", dw::DW_ATE_signed, 4)
    }

    pub fn structure(&mut self, name: &str, size: u64) -> UnitEntryId {
        self.add(
            dw::DW_TAG_structure_type,
            name,
            &[(dw::DW_AT_byte_size, number(size))],
        )
    }

    /// A member at so many bytes.
    pub fn member(
        &mut self,
        parent: UnitEntryId,
        name: &str,
        is: UnitEntryId,
        at: u64,
    ) -> UnitEntryId {
        let attributes = [
            (dw::DW_AT_type, of(is)),
            (dw::DW_AT_data_member_location, number(at)),
        ];
        self.below(parent, dw::DW_TAG_member, name, &attributes)
    }

    pub fn elf(self) -> Vec<u8> {
        self.elf_of(|_, data| data)
    }

    /// With what is left of the bytes of each section.
    pub fn elf_of(mut self, left: impl Fn(SectionId, &[u8]) -> &[u8]) -> Vec<u8> {
        let mut sections = Sections::new(EndianVec::new(LittleEndian));
        self.0.write(&mut sections).expect("sound");
        let (elf, x86) = (BinaryFormat::Elf, Architecture::X86_64);
        let mut file = write::Object::new(elf, x86, Endianness::Little);
        let add = |id: SectionId, data: &EndianVec<LittleEndian>| -> gimli::write::Result<()> {
            if !data.slice().is_empty() {
                let name = id.name().as_bytes().to_vec();
                let section = file.add_section(Vec::new(), name, SectionKind::Debug);
                file.append_section_data(section, left(id, data.slice()), 1);
            }
            Ok(())
        };
        sections.for_each(add).expect("sound");
        file.write().expect("sound")
    }

    pub fn encoded(self) -> Result<Encoded> {
        let mapped = Mapped::of(self.elf());
        let encoded = encode_object(&Elf::parse(&mapped)?, false)?;
        Ok(encoded.expect("it has debug information"))
    }
}
