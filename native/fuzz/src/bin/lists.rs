// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! What says which objects were linked: a linker's trace, make's list of a module, an archive.
#![no_main]

use kbuild_btf_fuzz::{directory, expect_a_message, file};
use kbuild_btf_native::{guarded, linked_objects};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    let (list, image) = match kind % 3 {
        0 => (".tmp_kbuild-btf.vmlinux.trace", "vmlinux"),
        1 => ("m.mod", "m.ko"),
        _ => ("vmlinux.a", "vmlinux"),
    };
    file(image, b"");
    let list = file(list, data);
    if let Err(error) = guarded(|| linked_objects(&directory().join(image))) {
        expect_a_message(&error);
    }
    let _ = std::fs::remove_file(list);
});
