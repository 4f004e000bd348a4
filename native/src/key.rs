// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The key of a sidecar: a hash over exactly what can change it. Code, line tables and unwind data
//! are not in it.

use object::elf;
use xxhash_rust::xxh3::Xxh3;

use crate::elf::Elf;
use crate::encoded::Id;
use crate::error::Result;
use crate::sidecar::ENCODER_VERSION;

/// Sections that the encoder reads.
const SECTIONS: [&[u8]; 9] = [
    b".debug_info",
    b".debug_types",
    b".debug_abbrev",
    b".debug_str",
    b".debug_line_str",
    b".debug_str_offsets",
    b".debug_addr",
    b".debug_loc",
    b".debug_loclists",
];

pub fn of(elf: &Elf<'_>) -> Result<Id> {
    let mut hash = Xxh3::new();
    let mut part = |name: &[u8], data: &[u8]| {
        hash.update(&(name.len() as u64).to_le_bytes());
        hash.update(name);
        hash.update(&(data.len() as u64).to_le_bytes());
        hash.update(data);
    };
    part(b"encoder", ENCODER_VERSION.as_bytes());
    part(b"target", bytemuck::bytes_of(&crate::encode::target(elf)));
    let sections = elf.stored_sections(|name| SECTIONS.contains(&name))?;
    let has_debug = !sections.is_empty();
    for (name, data) in sections {
        part(name, data);
    }
    if has_debug {
        let names: std::collections::HashMap<u32, &[u8]> = elf
            .sections()
            .into_iter()
            .map(|s| (s.index, s.name))
            .collect();
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
            part(
                symbol.name,
                names.get(&symbol.section).copied().unwrap_or(b""),
            );
            let numbers = [
                symbol.value,
                symbol.size,
                u64::from(symbol.kind),
                u64::from(symbol.binding),
            ];
            part(b"", bytemuck::cast_slice(&numbers));
        }
    }
    let digest = hash.digest128();
    Ok(Id {
        high: (digest >> 64) as u64,
        low: digest as u64,
    })
}

/// As file name: 32 hexadecimal digits.
pub fn name(key: Id) -> String {
    format!("{:016x}{:016x}", key.high, key.low)
}
