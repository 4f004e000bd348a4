// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! A sidecar in which some words are others, and whose checksum is right. Each word is six bytes: where
//! it is, and what it is then.
#![no_main]

use std::sync::OnceLock;

use kbuild_btf_fuzz::{expect_a_message, file, request};
use kbuild_btf_native::{link, sidecar_path, write_sidecar, Clock};
use xxhash_rust::xxh3::xxh3_64;

const CHECKED_FROM: usize = 48;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    static WHOLE: OnceLock<Vec<u8>> = OnceLock::new();
    let object = kbuild_btf_fuzz::directory().join("kept.o");
    let whole = WHOLE.get_or_init(|| {
        let path = std::env::var_os("KBUILD_BTF_FUZZ_OBJECT").expect("an object");
        file("kept.o", &std::fs::read(path).expect("an object"));
        write_sidecar(&object, true, None, &mut Clock::start()).expect("debug information");
        std::fs::read(sidecar_path(&object)).expect("its sidecar")
    });
    let mut changed = whole.clone();
    for change in data.chunks_exact(6).take(8) {
        let words = (changed.len() - CHECKED_FROM) / 4;
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % words;
        let at = CHECKED_FROM + 4 * at;
        changed[at..at + 4].copy_from_slice(&change[2..]);
    }
    let checksum = xxh3_64(&changed[CHECKED_FROM..]);
    changed[8..16].copy_from_slice(&checksum.to_le_bytes());
    std::fs::write(sidecar_path(&object), changed).expect("room in memory");
    // A panic is caught there, and the link begins again.
    if let Err(error) = link(&request(&object), Some(std::slice::from_ref(&object))) {
        expect_a_message(&error);
    }
});
