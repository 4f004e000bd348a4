// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! How far the work is, for a thread that looks on: one count for the whole process, since it is
//! only shown.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::Mutex;

static STAGE: Mutex<&str> = Mutex::new("");
static DONE: AtomicUsize = AtomicUsize::new(0);
static TOTAL: AtomicUsize = AtomicUsize::new(0);

/// A stage starts; `stage` says what is counted ("units"), or with a `total` of 0 what is done.
pub fn begin(stage: &'static str, total: usize) {
    *STAGE.lock().unwrap_or_else(|e| e.into_inner()) = stage;
    DONE.store(0, Relaxed);
    TOTAL.store(total, Relaxed);
}

/// So much more of the stage is done.
pub fn add(count: usize) {
    DONE.fetch_add(count, Relaxed);
}

/// The stage, how much is done, and of how much.
pub fn now() -> (&'static str, usize, usize) {
    let stage = *STAGE.lock().unwrap_or_else(|e| e.into_inner());
    (stage, DONE.load(Relaxed), TOTAL.load(Relaxed))
}
