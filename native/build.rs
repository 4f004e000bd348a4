// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Names this encoder by its own source, so that a sidecar made by any other is never taken for
//! one of ours: a version number would have to be raised by hand at each change.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    own_unwinder();
    let mut files = vec![PathBuf::from("Cargo.lock")];
    collect(Path::new("src"), &mut files);
    files.sort();
    // FNV-1a, 64 bits: this is a name, not a defence.
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for file in &files {
        println!("cargo::rerun-if-changed={}", file.display());
        for byte in std::fs::read(file).unwrap_or_default() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
    println!("cargo::rustc-env=KBUILD_BTF_SOURCE_HASH={hash:016x}");
    println!("cargo::rustc-env=KBUILD_BTF_VERSION={}", version());
}

/// The version of the product, from the one place that has it.
fn version() -> String {
    const PLACE: &str = "../pyproject.toml";
    println!("cargo::rerun-if-changed={PLACE}");
    let text = std::fs::read_to_string(PLACE).expect(PLACE);
    let line = text.lines().find_map(|l| l.strip_prefix("version = \""));
    line.and_then(|l| l.strip_suffix('"'))
        .expect("a version in pyproject.toml")
        .to_owned()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    println!("cargo::rerun-if-changed={}", directory.display());
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

/// Link the executables with gcc's unwinder itself where the compiler has it: to load it as a shared
/// library takes a tenth of a millisecond, at each of the thousands of starts in a build. Where
/// there is a static glibc they are linked with that (setup.py), and it comes along; a linker that was
/// chosen by name may have an unwinder of its own.
fn own_unwinder() {
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|v| v == value);
    if !is("CARGO_CFG_TARGET_ENV", "gnu")
        || std::env::var("HOST") != std::env::var("TARGET")
        || std::env::var_os("RUSTC_LINKER").is_some()
        || archive("libc.a").is_some()
    {
        return;
    }
    if let Some(archive) = archive("libgcc_eh.a") {
        let archive = archive.display();
        println!(
            "cargo::rustc-link-arg-bins=-Wl,--push-state,--whole-archive,{archive},--pop-state"
        );
    }
}

/// Where the C compiler has this archive.
fn archive(name: &str) -> Option<PathBuf> {
    let asked = Command::new("cc")
        .arg(format!("-print-file-name={name}"))
        .output()
        .ok()?;
    let path = PathBuf::from(String::from_utf8_lossy(&asked.stdout).trim());
    // Of a file that it does not have, a compiler prints the name alone.
    (path.is_absolute() && path.exists()).then_some(path)
}
