// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The strings of an object, each once.

use hashbrown::hash_table::{Entry, HashTable};

use crate::object::{nuls_among, text_at};
use crate::support::limits::NAME;

const RECENT_BITS: u32 = 10;

/// So many bytes of strings stay in the second level cache.
const NEAR: usize = 1 << 18;

/// The strings of a file: the empty one, those of `.debug_str` where they stand there, and behind
/// them others, each once. Nearly all of `.debug_str` is names of types and members, and it holds
/// each once; so there is nothing to look up.
#[derive(Default)]
pub struct Strings {
    pub bytes: Vec<u8>,
    /// How much of `.debug_str` is strings: up to its last NUL; and up to the first that is too long for
    /// a name.
    debug_str: usize,
    short: usize,
    /// Where its NULs are, a bit for each byte: an empty string is no name. Of a file the strings lie
    /// too far apart for a look at each; those of an object are at hand, and it is empty.
    nuls: Vec<u64>,
    added: HashTable<u32>,
    /// Short strings that were added lately, by their text: compilers write those into each DIE.
    recent: Vec<(u32, u32)>,
}

/// It is longer than `NAME`.
pub struct TooLong;

/// Where the first string starts that is longer than `NAME`. The search looks at one byte of each string
/// that is passed, and of short ones at few.
fn start_of_long(strings: &[u8]) -> Option<usize> {
    let mut start = 0;
    while start + NAME < strings.len() {
        match strings[start..=start + NAME].iter().rposition(|&b| b == 0) {
            Some(end) => start += end + 1,
            None => return Some(start),
        }
    }
    None
}

/// A text of up to three bytes as a number that is not 0.
#[inline]
fn short(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 3 {
        return None;
    }
    Some(text.iter().fold(1, |n, &b| n << 8 | u32::from(b)))
}

impl Strings {
    pub fn new(debug_str: &[u8]) -> Self {
        let strings = debug_str.iter().rposition(|&b| b == 0).map_or(0, |i| i + 1);
        let mut bytes = Vec::with_capacity(1 + strings + 4096);
        bytes.push(0);
        bytes.extend_from_slice(&debug_str[..strings]);
        let mut nuls = Vec::new();
        let short = start_of_long(&debug_str[..strings]).unwrap_or(strings);
        if strings > NEAR {
            let eight = |(i, bytes): (usize, &[u8])| nuls_among(bytes) << (8 * i);
            let word = |bytes: &[u8]| bytes.chunks(8).enumerate().map(eight).sum::<u64>();
            nuls.extend(debug_str[..strings].chunks(64).map(word));
        }
        Strings {
            bytes,
            debug_str: strings,
            short,
            nuls,
            added: HashTable::new(),
            recent: vec![(0, 0); 1 << RECENT_BITS],
        }
    }

    /// Is there a string at this offset of `.debug_str` that nobody needs to look at?
    #[inline(always)]
    pub fn holds(&self, offset: u64) -> bool {
        offset < self.short as u64
    }

    /// The string at an offset of `.debug_str` that `holds`.
    #[inline]
    pub fn at(&self, offset: u64) -> Option<u32> {
        self.holds(offset).then(|| self.offset(offset))
    }

    /// Any string of `.debug_str`; `None`: there is none. One that is too long for a name is an error.
    pub fn any_at(&self, offset: u64) -> Result<Option<u32>, TooLong> {
        if offset >= self.debug_str as u64 {
            return Ok(None);
        }
        let text = &self.bytes[offset as usize + 1..];
        match text.iter().take(NAME + 1).any(|&b| b == 0) {
            true => Ok(Some(self.offset(offset))),
            false => Err(TooLong),
        }
    }

    fn offset(&self, offset: u64) -> u32 {
        let at = offset as usize;
        let empty = match self.nuls.get(at / 64) {
            Some(bits) => bits >> (at % 64) & 1 != 0,
            None => self.bytes[at + 1] == 0,
        };
        if empty {
            0
        } else {
            at as u32 + 1
        }
    }

    pub fn add(&mut self, text: &[u8]) -> u32 {
        let Some(key) = short(text) else {
            return self.add_any(text);
        };
        let slot = (key.wrapping_mul(0x9e37_79b9) >> (32 - RECENT_BITS)) as usize;
        if self.recent[slot].0 != key {
            self.recent[slot] = (key, self.add_any(text));
        }
        self.recent[slot].1
    }

    fn add_any(&mut self, text: &[u8]) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let bytes = &self.bytes;
        let hash = xxhash_rust::xxh3::xxh3_64;
        let entry = self.added.entry(
            hash(text),
            |&at| text_at(bytes, at) == text,
            |&at| hash(text_at(bytes, at)),
        );
        let new = match entry {
            Entry::Occupied(known) => return *known.get(),
            Entry::Vacant(new) => new,
        };
        let at = self.bytes.len() as u32;
        new.insert(at);
        self.bytes.extend_from_slice(text);
        self.bytes.push(0);
        at
    }

    pub fn get(&self, offset: u32) -> &[u8] {
        text_at(&self.bytes, offset)
    }
}
