// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The key of a sidecar: a hash over exactly what can change it. Code, line tables and unwind data
//! are not in it.

use std::collections::HashMap;

use object::elf;
use xxhash_rust::xxh3::Xxh3;

use crate::dwarf::survey;
use crate::elf::{Elf, Symbol};
use crate::encode::with_dwo_files;
use crate::object::Id;
use crate::store::container::ENCODER_VERSION;

/// Sections that the encoder reads.
const SECTIONS: [&[u8]; 11] = [
    b".debug_info",
    b".debug_types",
    b".debug_abbrev",
    b".debug_str",
    b".debug_line_str",
    b".debug_str_offsets",
    b".debug_addr",
    b".debug_loc",
    b".debug_loclists",
    b".debug_ranges",
    b".debug_rnglists",
];

/// Of split DWARF, in a .dwo file or in the object.
const SPLIT_SECTIONS: [&[u8]; 8] = [
    b".debug_info.dwo",
    b".debug_types.dwo",
    b".debug_abbrev.dwo",
    b".debug_str.dwo",
    b".debug_str_offsets.dwo",
    b".debug_loc.dwo",
    b".debug_loclists.dwo",
    b".debug_rnglists.dwo",
];

/// Compilers put the names of files and directories there. Nothing else: then it does not count,
/// and the same source built in another directory has the same key.
const LINE_STRINGS: &[u8] = b".debug_line_str";

fn add(hash: &mut Xxh3, name: &[u8], data: &[u8]) {
    hash.update(&(name.len() as u64).to_le_bytes());
    hash.update(name);
    hash.update(&(data.len() as u64).to_le_bytes());
    hash.update(data);
}

/// A few at a time: an object has more relocations than anything else.
fn add_relocations(hash: &mut Xxh3, elf: &Elf<'_>, name: &[u8], ignored: &[u8]) {
    let mut some = [[0u64; 4]; 128];
    let mut filled = 0;
    elf.for_each_relocation(name, ignored, |relocation| {
        some[filled] = relocation;
        filled += 1;
        if filled == some.len() {
            add(hash, b"relocations", bytemuck::cast_slice(&some));
            filled = 0;
        }
    });
    add(hash, b"relocations", bytemuck::cast_slice(&some[..filled]));
}

/// `sites`: it says where functions were inlined, too.
pub fn of(elf: &Elf<'_>, sites: bool) -> crate::support::error::Result<Id> {
    let mut hash = Xxh3::new();
    add(&mut hash, b"encoder", ENCODER_VERSION.as_bytes());
    if sites {
        add(&mut hash, b"sites", b"");
    }
    let target = crate::encode::target(elf);
    add(&mut hash, b"target", bytemuck::bytes_of(&target));
    let sections = elf.stored_sections(|name| SECTIONS.contains(&name))?;
    let has_debug = !sections.is_empty();
    let abbrevs = match has_debug {
        true => elf.raw_section(".debug_abbrev")?,
        false => None,
    };
    let told = survey(&abbrevs.unwrap_or_default(), elf.big_endian());
    for (name, data) in sections {
        let ignored: &[u8] = if told.line_strings { b"" } else { LINE_STRINGS };
        if name == ignored {
            continue;
        }
        add(&mut hash, name, data);
        if elf.is_relocatable() {
            add_relocations(&mut hash, elf, name, ignored);
        }
    }
    if told.names_dwo {
        with_dwo_files(elf, |dwo| {
            for (name, data) in dwo.stored_sections(|name| SPLIT_SECTIONS.contains(&name))? {
                add(&mut hash, name, data);
            }
            Ok(())
        })?;
    }
    let plain = match has_debug {
        false if crate::encode::has_btf(elf) => elf.raw_section(".BTF")?,
        _ => None,
    };
    if let Some(btf) = &plain {
        add(&mut hash, b".BTF", btf);
    }
    if has_debug || plain.is_some() {
        let names = section_names(elf);
        for symbol in elf.symbols() {
            if ![
                elf::STT_FUNC.0,
                elf::STT_OBJECT.0,
                elf::STT_FILE.0,
                elf::STT_SECTION.0,
                elf::STT_NOTYPE.0,
            ]
            .contains(&symbol.kind)
            {
                continue;
            }
            add_symbol(&mut hash, &symbol, &names);
        }
    }
    Ok(hash.digest128().into())
}

/// What of that is still there when the debug information is gone: the symbols at which functions
/// and variables stand.
pub fn of_symbols(elf: &Elf<'_>) -> Id {
    let mut hash = Xxh3::new();
    let names = section_names(elf);
    for symbol in elf.symbols() {
        let kinds = [elf::STT_FUNC.0, elf::STT_OBJECT.0, elf::STT_FILE.0];
        if kinds.contains(&symbol.kind) {
            add_symbol(&mut hash, &symbol, &names);
        }
    }
    hash.digest128().into()
}

fn section_names<'e>(elf: &'e Elf<'_>) -> HashMap<u32, &'e [u8]> {
    elf.sections()
        .into_iter()
        .map(|s| (s.index, s.name))
        .collect()
}

fn add_symbol(hash: &mut Xxh3, symbol: &Symbol<'_>, sections: &HashMap<u32, &[u8]>) {
    let section = sections.get(&symbol.section).copied().unwrap_or(b"");
    add(hash, symbol.name, section);
    let numbers = [
        symbol.value,
        symbol.size,
        u64::from(symbol.kind),
        u64::from(symbol.binding),
    ];
    add(hash, b"", bytemuck::cast_slice(&numbers));
}

/// As file name: 32 hexadecimal digits.
pub fn name(key: Id) -> String {
    format!("{:016x}{:016x}", key.high, key.low)
}
