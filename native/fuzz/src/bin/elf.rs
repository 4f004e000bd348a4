// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Any bytes as an object: headers, sections, symbols, relocations, and what they hold.
#![no_main]

use kbuild_btf_fuzz::{expect_a_message, file, request};
use kbuild_btf_native::{encode, guarded};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let path = file("a.o", data);
    if let Err(error) = guarded(|| encode(&request(&path))) {
        expect_a_message(&error);
    }
});
