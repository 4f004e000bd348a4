// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! A file to be, in parts: what is large stays where it lies until it is written.

use std::borrow::Cow;

/// Below this a copy costs less than one part more to write.
const WORTH_BORROWING: usize = 1 << 14;

pub struct Parts<'a> {
    parts: Vec<Cow<'a, [u8]>>,
    len: usize,
}

impl<'a> Parts<'a> {
    /// `start`: what may still change.
    pub fn new(start: &[u8]) -> Parts<'a> {
        Parts {
            parts: vec![Cow::Owned(start.to_vec())],
            len: start.len(),
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// The first part: what this was made with, at least.
    pub fn start(&mut self) -> &mut [u8] {
        self.parts[0].to_mut()
    }

    pub fn push(&mut self, bytes: &'a [u8]) {
        if bytes.len() < WORTH_BORROWING {
            return self.copy(bytes);
        }
        self.parts.push(Cow::Borrowed(bytes));
        self.len += bytes.len();
    }

    pub fn copy(&mut self, bytes: &[u8]) {
        self.owned().extend_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Zeros up to the next multiple.
    pub fn align(&mut self, alignment: usize) {
        let more = self.len.next_multiple_of(alignment) - self.len;
        let owned = self.owned();
        owned.resize(owned.len() + more, 0);
        self.len += more;
    }

    fn owned(&mut self) -> &mut Vec<u8> {
        if !matches!(self.parts.last(), Some(Cow::Owned(_))) {
            self.parts.push(Cow::Owned(Vec::new()));
        }
        let last = self.parts.len() - 1;
        self.parts[last].to_mut()
    }

    pub fn slices(&self) -> Vec<&[u8]> {
        self.parts.iter().map(AsRef::as_ref).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_was_put_in_and_the_large_is_not_copied() {
        let large = vec![7; WORTH_BORROWING];
        let mut parts = Parts::new(b"start");
        parts.push(b"a");
        parts.align(8);
        parts.push(&large);
        parts.align(1);
        parts.push(&large);
        parts.copy(b"end");
        parts.align(1 << 15);
        parts.start()[0] = b'S';
        let whole = parts.slices().concat();
        assert_eq!(whole.len(), parts.len());
        let (head, rest) = whole.split_at(8);
        assert_eq!(head, b"Starta\0\0");
        let (own, rest) = rest.split_at(2 * WORTH_BORROWING);
        assert!(own.iter().all(|&b| b == 7));
        let (end, zeros) = rest.split_at(3);
        assert_eq!(end, b"end");
        assert_eq!(zeros.len(), (1 << 15) - 11);
        assert!(zeros.iter().all(|&b| b == 0));
        let borrowed = parts.slices();
        assert_eq!(
            borrowed
                .iter()
                .filter(|s| s.as_ptr() == large.as_ptr())
                .count(),
            2
        );
    }
}
