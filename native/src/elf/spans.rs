// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Which of several sections an address lies in. They may overlap: the first one counts.

use std::collections::BTreeSet;

/// Spans of addresses, by number.
#[derive(Default)]
pub struct Spans {
    /// From this address on it is that one.
    starts: Vec<(u64, Option<u32>)>,
}

impl Spans {
    /// Numbers, first addresses and sizes.
    pub fn new(spans: impl Iterator<Item = (u32, u64, u64)>) -> Spans {
        let mut events: Vec<(u64, bool, u32)> = Vec::new();
        for (number, start, size) in spans.filter(|&(_, _, size)| size != 0) {
            events.push((start, true, number));
            // One that reaches to the end of all addresses has none.
            if let Some(end) = start.checked_add(size) {
                events.push((end, false, number));
            }
        }
        events.sort_unstable();
        let mut open = BTreeSet::new();
        let mut starts: Vec<(u64, Option<u32>)> = Vec::new();
        for (address, opens, number) in events {
            if opens {
                open.insert(number);
            } else {
                open.remove(&number);
            }
            let first = open.first().copied();
            match starts.last_mut() {
                Some(last) if last.0 == address => last.1 = first,
                _ => starts.push((address, first)),
            }
        }
        Spans { starts }
    }

    /// The number of the first span that an address lies in.
    pub fn first(&self, address: u64) -> Option<u32> {
        let behind = self.starts.partition_point(|&(start, _)| start <= address);
        self.starts[behind.checked_sub(1)?].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_counts() {
        let end = u64::MAX;
        let spans = [
            (7, 10, 20),
            (2, 15, 5),
            (3, 18, 30),
            (4, 50, 0),
            (5, end - 2, 9),
        ];
        let found = Spans::new(spans.into_iter());
        let addresses = (0..60).chain(end - 5..=end);
        for address in addresses {
            let holds =
                |&&(_, start, size): &&(u32, u64, u64)| address >= start && address - start < size;
            let expected = spans
                .iter()
                .filter(holds)
                .map(|&(number, _, _)| number)
                .min();
            assert_eq!(found.first(address), expected, "{address}");
        }
    }
}
