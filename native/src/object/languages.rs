// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Languages by the names that `--lang_exclude` takes (DWARF 5, table 7.17).

use crate::object::LANG_ASM;

/// Up to `bliss` those of the standard, then those that were assigned since.
const NAMES: [(&str, u32); 47] = [
    ("c89", 0x01),
    ("c", 0x02),
    ("ada83", 0x03),
    ("c++", 0x04),
    ("cobol74", 0x05),
    ("cobol85", 0x06),
    ("fortran77", 0x07),
    ("fortran90", 0x08),
    ("pascal83", 0x09),
    ("modula2", 0x0a),
    ("java", 0x0b),
    ("c99", 0x0c),
    ("ada95", 0x0d),
    ("fortran95", 0x0e),
    ("pli", 0x0f),
    ("objc", 0x10),
    ("objc++", 0x11),
    ("upc", 0x12),
    ("d", 0x13),
    ("python", 0x14),
    ("opencl", 0x15),
    ("go", 0x16),
    ("modula3", 0x17),
    ("haskell", 0x18),
    ("c++03", 0x19),
    ("c++11", 0x1a),
    ("ocaml", 0x1b),
    ("rust", 0x1c),
    ("c11", 0x1d),
    ("swift", 0x1e),
    ("julia", 0x1f),
    ("dylan", 0x20),
    ("c++14", 0x21),
    ("fortran03", 0x22),
    ("fortran08", 0x23),
    ("renderscript", 0x24),
    ("bliss", 0x25),
    ("kotlin", 0x26),
    ("zig", 0x27),
    ("crystal", 0x28),
    ("c++17", 0x2a),
    ("c++20", 0x2b),
    ("c17", 0x2c),
    ("fortran18", 0x2d),
    ("ada2005", 0x2e),
    ("ada2012", 0x2f),
    ("asm", LANG_ASM),
];

/// Names and `DW_LANG_*` numbers.
pub fn all() -> impl Iterator<Item = (&'static str, u32)> {
    NAMES.into_iter()
}

/// Is it C, or does it have no types of its own? A unit that does not say counts as C.
pub fn is_c(language: u32) -> bool {
    matches!(language, 0 | 0x01 | 0x02 | 0x0c | 0x1d | 0x2c | LANG_ASM)
}

/// The name of a `DW_LANG_*` number.
pub fn name(language: u32) -> Option<&'static str> {
    let found = NAMES.iter().find(|&&(_, number)| number == language);
    found.map(|&(name, _)| name)
}

/// The `DW_LANG_*` number of a name.
pub fn number(name: &str) -> Option<u32> {
    let wanted = name.to_ascii_lowercase();
    NAMES
        .iter()
        .find(|(n, _)| *n == wanted)
        .map(|&(_, number)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_standard_in_any_case() {
        assert_eq!(
            number("rust"),
            Some(u32::from(gimli::constants::DW_LANG_Rust.0))
        );
        assert_eq!(
            number("C11"),
            Some(u32::from(gimli::constants::DW_LANG_C11.0))
        );
        assert_eq!(number("klingon"), None);
    }
}
