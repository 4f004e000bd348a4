// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Reading finished BTF: its sections, and the words of its types.

use super::{type_len, vlen, Kind};
use crate::support::error::{Error, Result};

/// The parts of a BTF file.
pub struct Parts<'a> {
    pub types: &'a [u8],
    pub strings: &'a [u8],
    pub big: bool,
}

pub fn parts(raw: &[u8]) -> Result<Parts<'_>> {
    let bad = |what: &str| Error::new(format!("damaged BTF: {what}"));
    let big = match raw.get(..2) {
        Some([0x9f, 0xeb]) => false,
        Some([0xeb, 0x9f]) => true,
        _ => return Err(Error::new("not BTF")),
    };
    let word = |at: usize| -> Result<usize> {
        let field = raw.get(at..at + 4).ok_or_else(|| bad("short header"))?;
        Ok(crate::support::endian::get(field, big) as usize)
    };
    let header = word(4)?;
    let section = |offset: usize, len: usize, name: &str| {
        let start = header.checked_add(offset);
        let end = start.and_then(|s| s.checked_add(len));
        match (start, end) {
            (Some(start), Some(end)) => raw.get(start..end),
            _ => None,
        }
        .ok_or_else(|| bad(&format!("{name} lie outside")))
    };
    if raw[2] != 1 || header < super::HEADER_LEN as usize {
        return Err(bad("unknown version or header"));
    }
    if next(raw)?.is_some() {
        return Err(Error::new(
            "several BTFs behind each other, as ld leaves those of several objects",
        )
        .hint("kbuild-btf link makes one of them, kbuild-btf dump lists them all"));
    }
    Ok(Parts {
        types: section(word(8)?, word(12)?, "types")?,
        strings: section(word(16)?, word(20)?, "strings")?,
        big,
    })
}

/// The BTFs that stand behind each other, as linkers leave those of several objects in one section.
/// At least one; what each of them holds is not looked at.
pub fn behind_each_other(raw: &[u8]) -> Result<Vec<&[u8]>> {
    let mut all = Vec::new();
    let mut rest = raw;
    while let Some(at) = next(rest)? {
        let (one, more) = rest.split_at(at);
        all.push(one);
        rest = more;
    }
    all.push(rest);
    Ok(all)
}

/// Where the next BTF begins, if another one stands behind the first. Linkers align them.
fn next(raw: &[u8]) -> Result<Option<usize>> {
    let magic = raw.get(..2).unwrap_or(&[]);
    let big = magic == [0xeb, 0x9f];
    let word = |at: usize| -> Result<usize> {
        let field = raw.get(at..at + 4);
        let field = field.ok_or_else(|| Error::new("damaged BTF: short header"))?;
        Ok(crate::support::endian::get(field, big) as usize)
    };
    let header = word(4)?;
    if header < super::HEADER_LEN as usize {
        // It would be its own next one.
        return Ok(None);
    }
    let mut end = (word(8)? + word(12)?).max(word(16)? + word(20)?);
    if header >= 32 {
        end = end.max(word(24)? + word(28)?);
    }
    let end = header.saturating_add(end).min(raw.len());
    let behind = &raw[end..];
    let at = behind.iter().position(|&b| b != 0);
    Ok(at
        .filter(|&at| behind[at..].starts_with(magic))
        .map(|at| end + at))
}

/// The words of each type, in host byte order.
pub fn words(parts: &Parts<'_>) -> (Vec<u32>, bool) {
    let chunks = parts.types.chunks_exact(4);
    let whole = chunks.remainder().is_empty();
    let words = chunks
        .map(|word| crate::support::endian::get(word, parts.big) as u32)
        .collect();
    (words, whole)
}

/// Where each type's words start; the end of the last one follows.
pub fn starts(words: &[u32]) -> Result<Vec<u32>> {
    let mut starts = vec![0];
    let mut at = 0;
    while at < words.len() {
        let id = starts.len();
        let cut_off = || Error::new(format!("damaged BTF: type {id} is cut off"));
        let info = *words.get(at + 1).ok_or_else(cut_off)?;
        let kind = Kind::from_info(info).ok_or_else(|| {
            let number = info >> 24 & 0x7f;
            Error::new(format!("BTF type {id}: unknown kind {number}"))
                .hint("it is of a newer format than this version reads, or damaged")
        })?;
        at += type_len(kind, vlen(info));
        if at > words.len() {
            return Err(cut_off());
        }
        starts.push(at as u32);
    }
    Ok(starts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::btf::{info, write};
    use crate::object::sample::{int, of, raw};

    #[test]
    fn what_is_written_is_read_in_both_byte_orders() {
        let [one, strings] = [[1u8, 2, 3, 4], *b"\0ab\0"];
        for big in [false, true] {
            let raw = write::file(&one, &[], &strings, big).expect("small");
            let parts = parts(&raw).expect("sound");
            assert_eq!(
                (parts.types, parts.strings, parts.big),
                (&one[..], &strings[..], big)
            );
            let word = if big { 0x0102_0304 } else { 0x0403_0201 };
            assert_eq!(words(&parts), (vec![word], true));
        }
    }

    #[test]
    fn several_behind_each_other_are_told() {
        let one = raw(&[int()]);
        for padding in [0, 3] {
            let both = [&one[..], &vec![0; padding], &one].concat();
            let error = parts(&both).err().expect("refused").to_string();
            assert!(error.contains("several BTFs"), "{error}");
            let all = behind_each_other(&both).expect("two");
            assert_eq!(all.len(), 2);
            assert!(all.iter().all(|part| parts(part).is_ok()));
        }
    }

    #[test]
    fn one_that_ends_before_it_begins_is_alone() {
        let raw = [&[0x9f, 0xeb, 1, 0][..], &[0; 28]].concat();
        assert_eq!(behind_each_other(&raw).expect("one").len(), 1);
    }

    #[test]
    fn what_is_cut_off_is_damaged_at_every_length() {
        let whole = raw(&[int(), of(Kind::Ptr, 0, 1)]);
        for len in 0..whole.len() {
            assert!(parts(&whole[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn types_that_end_early_or_are_of_no_kind_are_damaged() {
        let starts = |words: &[u32]| starts(words).ok();
        assert_eq!(starts(&int()), Some(vec![0, 4]));
        assert_eq!(starts(&int()[..3]), None);
        assert_eq!(starts(&[0, 0, 0]), None);
        assert_eq!(starts(&[0, 31 << 24, 0]), None);
        assert_eq!(starts(&[0, info(Kind::Struct, 2, false), 0, 0, 0, 0]), None);
    }
}
