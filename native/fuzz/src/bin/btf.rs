// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! BTF, whole, and split: behind a first part of so many bytes, its base.
#![no_main]

use kbuild_btf_fuzz::{expect_a_message, parts};
use kbuild_btf_native::{check_raw, guarded, Rules};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [base, own] = parts(data);
    for base in [None, Some(base)] {
        if let Err(error) = guarded(|| check_raw(own, base, Some(8), Rules::Load)) {
            expect_a_message(&error);
        }
    }
});
