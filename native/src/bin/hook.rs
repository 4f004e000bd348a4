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
    if is_bitcode(object) {
        return;
    }
    if echo {
        println!("  BTF     {}", object.display());
    }
    if let Err(error) = guarded(|| objects::write_sidecar(object)) {
        eprintln!("kbuild-btf-hook: warning: {error}");
    }
}

/// Compiled for LTO: the debug information comes into being at the link.
fn is_bitcode(object: &Path) -> bool {
    use std::io::Read;
    let mut magic = [0; 4];
    std::fs::File::open(object)
        .and_then(|mut f| f.read_exact(&mut magic))
        .is_ok_and(|()| &magic == b"BC\xc0\xde")
}
