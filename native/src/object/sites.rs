// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Where functions were inlined, and where their parameters are when such code begins.

use bytemuck::{Pod, Zeroable};

/// A place where a function was inlined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Site {
    /// Index of the function in the object. Sites stand in the order of their functions.
    pub function: u32,
    /// Index of a symbol in its section, in an object; else `NONE`.
    pub symbol: u32,
    /// Address in a linked file; offset to `symbol` in an object.
    pub address: u64,
    /// Where each parameter is: `places[places_start..places_start + places_len]`, as `places` reads.
    pub places_start: u32,
    pub places_len: u32,
}

/// Where a parameter is; the words of a LOC_PARAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'w> {
    /// In bytes.
    pub size: u32,
    /// `btf::loc_flags`
    pub flags: u32,
    pub values: &'w [u32],
}

/// Append a place to a list; `None`: it is nowhere, or cannot be said.
pub fn push(list: &mut Vec<u32>, place: Option<Place<'_>>) {
    let Some(place) = place else {
        list.push(0);
        return;
    };
    list.push(place.size << 16 | place.flags << 8 | place.values.len() as u32);
    list.extend_from_slice(place.values);
}

/// The places of a list, in the order of the parameters.
pub fn places(list: &[u32]) -> impl Iterator<Item = Option<Place<'_>>> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let (&head, values) = rest.split_first()?;
        let count = ((head & 0xff) as usize).min(values.len());
        let (values, others) = values.split_at(count);
        rest = others;
        Some((head != 0).then_some(Place {
            size: head >> 16,
            flags: head >> 8 & 0xff,
            values,
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_as_they_went() {
        let all = [
            Some(Place {
                size: 16,
                flags: 8,
                values: &[0, u32::MAX],
            }),
            None,
            Some(Place {
                size: 1,
                flags: 2,
                values: &[7],
            }),
        ];
        let mut list = Vec::new();
        all.into_iter().for_each(|place| push(&mut list, place));
        assert_eq!(places(&list).collect::<Vec<_>>(), all);
        // A list that is cut off ends early, and no more.
        for len in 0..list.len() {
            assert!(places(&list[..len]).count() <= 3);
        }
    }
}
