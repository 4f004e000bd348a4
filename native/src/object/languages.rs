// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Languages by the names that `--lang_exclude` takes (DWARF 5, table 7.17).

use crate::object::LANG_ASM;

const NAMES: [(&str, u32); 23] = [
    ("c89", 0x01),
    ("c", 0x02),
    ("ada83", 0x03),
    ("c++", 0x04),
    ("fortran77", 0x07),
    ("fortran90", 0x08),
    ("java", 0x0b),
    ("c99", 0x0c),
    ("ada95", 0x0d),
    ("fortran95", 0x0e),
    ("objc", 0x10),
    ("d", 0x13),
    ("python", 0x14),
    ("go", 0x16),
    ("c++03", 0x19),
    ("c++11", 0x1a),
    ("rust", 0x1c),
    ("c11", 0x1d),
    ("c++14", 0x21),
    ("c++17", 0x2a),
    ("c++20", 0x2b),
    ("c17", 0x2c),
    ("asm", LANG_ASM),
];

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
