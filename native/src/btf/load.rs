// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Finished BTF as one object, when it has passed the check.

use super::check::{check, Rules};
use super::read::{parts, starts, words};
use crate::object::{Encoded, Target, Unit};
use crate::support::error::Result;
use crate::support::threads::Threads;

/// As one object whose types are all there already.
pub fn parse(raw: &[u8], target: Target) -> Result<Encoded> {
    let pointer_size = Some(u64::from(target.address_size));
    check(raw, None, pointer_size, Rules::Kernel, &Threads::ONE)?;
    let parts = parts(raw)?;
    let (words, _) = words(&parts);
    let starts = starts(&words)?;
    let count = starts.len() as u32 - 1;
    Ok(Encoded {
        words,
        starts,
        strings: parts.strings.to_vec(),
        units: vec![Unit {
            types_end: count,
            protos_end: count,
            ..Unit::default()
        }],
        ..Encoded::new(target)
    })
}
