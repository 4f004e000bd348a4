// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! `kbuild-btf-hook [--echo] OBJECT…`: runs right after an object is compiled and brings its
//! sidecar up to date.
//!
//! It never fails: make would delete the good object. What is missing, the link encodes, and
//! reports.

use std::path::Path;

use kbuild_btf_native::guard::guarded;
use kbuild_btf_native::{objects, sidecar};

fn main() {
    let mut echo = false;
    for argument in std::env::args_os().skip(1) {
        match argument.to_str() {
            Some("--echo") => echo = true,
            Some("--version") => println!("{}", sidecar::ENCODER_VERSION),
            _ => update(Path::new(&argument), echo),
        }
    }
}

fn update(object: &Path, echo: bool) {
    if guarded(|| Ok(objects::waits_for_the_link(object))).unwrap_or(false) {
        return;
    }
    if echo {
        println!("  BTF     {}", object.display());
    }
    if let Err(error) = guarded(|| objects::write_sidecar(object)) {
        eprintln!("kbuild-btf-hook: warning: {error}");
    }
}
