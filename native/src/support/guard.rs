// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The last line of defence: a bug of ours is one message, too.

use std::panic::{self, AssertUnwindSafe};

use crate::support::error::{Error, Result};

/// Run `work`; a panic in it becomes an error.
pub fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    static QUIET: std::sync::Once = std::sync::Once::new();
    QUIET.call_once(|| panic::set_hook(Box::new(|_| {})));
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|cause| {
        let text = cause
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| cause.downcast_ref::<&str>().copied())
            .unwrap_or("unknown cause");
        Err(Error::new(format!("internal error: {text}"))
            .hint("the input is damaged in a way that was not foreseen, or this is a bug: please report it"))
    })
}
