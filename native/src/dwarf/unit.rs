// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! What a unit is called.

use std::path::Path;

use gimli::{constants as dw, AttributeValue, UnitHeader};

use super::{Dwarf, Reader};

/// `DW_AT_name` and `DW_AT_comp_dir` of a unit; empty where it has none. A skeleton is called as its .dwo file.
pub fn names(dwarf: &Dwarf<'_>, unit: &UnitHeader<Reader<'_>>) -> (Vec<u8>, Vec<u8>) {
    let read = || {
        let section = gimli::DebugAbbrev::new(&dwarf.abbrev, dwarf.endian);
        let abbreviations = unit.abbreviations(&section)?;
        let mut cursor = unit.entries(&abbreviations);
        let root = cursor.next_dfs()?;
        let bases = root.and_then(|r| match r.attr_value(dw::DW_AT_str_offsets_base) {
            Some(AttributeValue::DebugStrOffsetsBase(base)) => Some(base),
            _ => None,
        });
        let text = |at| match root.and_then(|r| r.attr_value(at)) {
            Some(AttributeValue::String(text)) => Ok(text),
            Some(AttributeValue::DebugStrRef(offset)) => {
                gimli::DebugStr::new(&dwarf.str, dwarf.endian).get_str(offset)
            }
            Some(AttributeValue::DebugLineStrRef(offset)) => {
                gimli::DebugLineStr::new(&dwarf.line_str, dwarf.endian).get_str(offset)
            }
            Some(AttributeValue::DebugStrOffsetsIndex(index)) => {
                let offset =
                    gimli::DebugStrOffsets::from(Reader::new(&dwarf.str_offsets, dwarf.endian))
                        .get_str_offset(
                            unit.encoding().format,
                            bases.unwrap_or(gimli::DebugStrOffsetsBase(0)),
                            index,
                        )?;
                gimli::DebugStr::new(&dwarf.str, dwarf.endian).get_str(offset)
            }
            _ => Ok(Reader::default()),
        };
        Ok::<_, gimli::Error>((
            [dw::DW_AT_name, dw::DW_AT_dwo_name, dw::DW_AT_GNU_dwo_name]
                .into_iter()
                .map(|at| Ok(text(at)?.slice().to_vec()))
                .collect::<gimli::Result<Vec<_>>>()?
                .concat(),
            text(dw::DW_AT_comp_dir)?.slice().to_vec(),
        ))
    };
    read().unwrap_or_default()
}

/// The source file of the first of these units, as seen from where the compiler ran.
pub fn source(dwarf: &Dwarf<'_>, units: &[UnitHeader<Reader<'_>>]) -> String {
    let (name, directory) = units
        .first()
        .map(|unit| names(dwarf, unit))
        .unwrap_or_default();
    let (name, directory) = (text(&name), text(&directory));
    let path = Path::new(&name);
    let inside = path.strip_prefix(&directory).unwrap_or(path);
    inside.display().to_string()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
