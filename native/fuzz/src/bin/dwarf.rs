// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Debug sections in an ELF file that is in order, of four machines. The first byte says of which, and
//! whether it is linked.
#![no_main]

use kbuild_btf_fuzz::{expect_a_message, file, parts, request, MACHINES};
use kbuild_btf_native::{encode, guarded, write_sidecar, Clock};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    let machine = &MACHINES[usize::from(kind % 4)];
    let [abbrev, strings, lists, ranges, info] = parts(data);
    let elf = machine.elf(
        kind & 4 != 0,
        &[
            (".debug_abbrev", abbrev),
            (".debug_str", strings),
            (".debug_loclists", lists),
            (".debug_loc", lists),
            (".debug_rnglists", ranges),
            (".debug_ranges", ranges),
            (".debug_str_offsets", ranges),
            (".debug_addr", ranges),
            (".debug_info", info),
        ],
    );
    let path = file("a.o", &elf);
    if let Err(error) = guarded(|| encode(&request(&path))) {
        expect_a_message(&error);
    }
    let _ = std::fs::remove_file(kbuild_btf_native::sidecar_path(&path));
    if let Err(error) = guarded(|| write_sidecar(&path, true, None, &mut Clock::start())) {
        expect_a_message(&error);
    }
});
