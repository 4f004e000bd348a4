// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! What gcc was told, as it writes that down in `DW_AT_producer` (`-grecord-gcc-switches`).

use crate::object::sparse;

/// What it left out; the last option of a kind counts.
pub fn sparse(producer: &[u8]) -> u32 {
    let mut level = 2;
    let mut few_structs = false;
    for word in producer.split(|&b| b == b' ') {
        if let Some(extent) = word.strip_prefix(b"-femit-struct-debug-") {
            few_structs = matches!(extent, b"baseonly" | b"reduced");
        } else if let Some(rest) = word.strip_prefix(b"-g") {
            match rest.strip_prefix(b"gdb").unwrap_or(rest) {
                [] => level = 2,
                [digit @ b'0'..=b'9'] => level = digit - b'0',
                _ => {}
            }
        }
    }
    match level {
        1 => sparse::NO_TYPES,
        _ if few_structs => sparse::FEW_STRUCTS,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_option_counts() {
        for (told, expected) in [
            ("GNU C17 12.2.0 -mtune=generic -g -O2", 0),
            ("GNU C17 12.2.0 -g1 -O2", sparse::NO_TYPES),
            ("GNU C17 12.2.0 -g -ggdb1", sparse::NO_TYPES),
            ("GNU C17 12.2.0 -g1 -gdwarf-4", sparse::NO_TYPES),
            ("GNU C17 12.2.0 -g1 -g", 0),
            ("GNU C17 12.2.0 -g -gno-record-gcc-switches -g3", 0),
            (
                "GNU C11 -g -femit-struct-debug-baseonly",
                sparse::FEW_STRUCTS,
            ),
            (
                "GNU C11 -g -femit-struct-debug-baseonly -femit-struct-debug-detailed=any",
                0,
            ),
        ] {
            assert_eq!(sparse(told.as_bytes()), expected, "{told}");
        }
    }
}
