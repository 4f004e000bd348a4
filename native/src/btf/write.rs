// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Raw BTF of its sections, in the byte order of the target.

use super::{type_len, Kind, HEADER_LEN, MAGIC};
use crate::support::error::{Error, Result};

/// Header and sections. `types` and `layout` are in the byte order of the target.
pub fn file(types: &[u8], layout: &[u8], strings: &[u8], big: bool) -> Result<Vec<u8>> {
    let header_len = if layout.is_empty() {
        HEADER_LEN
    } else {
        HEADER_LEN + 8
    };
    let length =
        |bytes: usize| u32::try_from(bytes).map_err(|_| Error::new("more than 4 GiB of BTF"));
    let (types_len, layout_len) = (length(types.len())?, length(layout.len())?);
    let mut out = Vec::with_capacity(types.len() + strings.len() + 64);
    let magic = MAGIC;
    out.extend_from_slice(&if big {
        magic.to_be_bytes()
    } else {
        magic.to_le_bytes()
    });
    out.extend_from_slice(&[1, 0]);
    put(&mut out, big, header_len);
    put(&mut out, big, 0);
    put(&mut out, big, types_len);
    put(&mut out, big, types_len + layout_len);
    put(&mut out, big, length(strings.len())?);
    if !layout.is_empty() {
        put(&mut out, big, types_len);
        put(&mut out, big, layout_len);
    }
    out.extend_from_slice(types);
    out.extend_from_slice(layout);
    out.extend_from_slice(strings);
    Ok(out)
}

/// Sizes of each kind's data, so that readers can step over kinds that they do not know: for each
/// kind bytes once, bytes per element, flags (two bytes). `inline`: also of the kinds of inline sites.
pub fn layout_section(inline: bool) -> Vec<u8> {
    let sizes = |kind: Kind| {
        let one = type_len(kind, 1) - 3;
        let none = type_len(kind, 0) - 3;
        [(none * 4) as u8, ((one - none) * 4) as u8, 0, 0]
    };
    let last = if inline { Kind::Locsec } else { Kind::Enum64 };
    let kinds = Kind::ALL.into_iter().filter(|&kind| kind <= last);
    std::iter::once([0; 4])
        .chain(kinds.map(sizes))
        .flatten()
        .collect()
}

pub fn put(out: &mut Vec<u8>, big: bool, word: u32) {
    out.extend_from_slice(&if big {
        word.to_be_bytes()
    } else {
        word.to_le_bytes()
    });
}
