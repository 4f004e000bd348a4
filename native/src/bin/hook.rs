// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! `kbuild-btf-hook [--echo] [--timings] OBJECT…`: runs right after an object is compiled and brings
//! its sidecar up to date.
//!
//! It never fails: make would delete the good object. What is missing, the link encodes, and
//! reports.
//!
//! make starts it once for each object, so its start counts. It has no `main` of Rust: the runtime
//! before that looks for the end of the stack in `/proc` and sets up handlers, for a tenth of a
//! millisecond.

#![no_main]

use std::ffi::{c_char, c_int, CStr, OsStr};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use kbuild_btf_native::guard::guarded;
use kbuild_btf_native::timings::{self, Clock};
use kbuild_btf_native::{objects, sidecar};

#[derive(Default)]
struct Options {
    echo: bool,
    timings: bool,
}

/// What the C library calls.
///
/// # Safety
///
/// `arguments` are `count` pointers to strings that end in NUL and stay.
#[no_mangle]
pub unsafe extern "C" fn main(count: c_int, arguments: *const *const c_char) -> c_int {
    // As Rust's runtime does: a reader who left is no reason to be killed.
    // SAFETY: no handler of ours runs.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    let mut options = Options::default();
    for i in 1..usize::try_from(count).unwrap_or(0) {
        // SAFETY: as above.
        let argument = unsafe { CStr::from_ptr(*arguments.add(i)) };
        match argument.to_bytes() {
            b"--echo" => options.echo = true,
            b"--timings" => options.timings = true,
            b"--version" => say(sidecar::ENCODER_VERSION),
            name => update(Path::new(OsStr::from_bytes(name)), &options),
        }
    }
    0
}

/// One line on standard output; whether somebody reads it must not matter.
fn say(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn update(object: &Path, options: &Options) {
    let mut clock = Clock::start();
    let done = guarded(|| objects::write_sidecar(object, &mut clock));
    let name = object.display();
    if let Ok(None) = done {
        return;
    }
    if options.echo {
        say(format_args!("  BTF     {name}"));
    }
    if let Err(error) = &done {
        let _ = writeln!(std::io::stderr(), "kbuild-btf-hook: warning: {error}");
    }
    timings::trace(&format!("hook {name}"), &clock.laps);
    if let (true, Ok(Some(event))) = (options.timings, &done) {
        say(format_args!("{name}: {}", event.name()));
        for lap in &clock.laps {
            say(format_args!("  {lap}"));
        }
    }
}
