// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! `kbuild-btf-hook [--echo] [--inline] [--drop] [--section] [--timings] [--] OBJECT…`: runs right after an
//! object is compiled and brings its sidecar up to date, with `--inline` also by where functions were
//! inlined; then, with `--section`, it puts the sidecar's content
//! into the object in its place, and with `--drop` it takes the debug information out.
//!
//! It never fails: make would delete the good object. What is missing, the link encodes, and
//! reports.

#![no_main]

use std::ffi::{c_char, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use kbuild_btf_native::say::{note, tell};
use kbuild_btf_native::start::Memory;
use kbuild_btf_native::{
    change, guarded, keep_debug, start, trace, trace_file, write_sidecar, Cache, Change, Clock,
    ENCODER_VERSION,
};

#[global_allocator]
static MEMORY: Memory = Memory {
    message: "kbuild-btf-hook: warning: out of memory; the link encodes the object\n",
    exit_status: 0,
};

#[derive(Default)]
struct Options {
    echo: bool,
    inline: bool,
    change: Change,
    timings: bool,
}

/// What the C library calls.
///
/// # Safety
///
/// As `start::begin`.
#[no_mangle]
pub unsafe extern "C" fn main(count: c_int, arguments: *const *const c_char) -> c_int {
    let mut options = Options::default();
    // SAFETY: the C library's promise.
    let arguments = unsafe { start::begin(count, arguments, MEMORY.exit_status) };
    let mut objects_only = false;
    for argument in arguments {
        match argument.as_bytes() {
            _ if objects_only => update(Path::new(&argument), &options),
            b"--" => objects_only = true,
            b"--echo" => options.echo = true,
            b"--inline" => options.inline = true,
            b"--drop" => options.change.drop = true,
            b"--section" => options.change.carry = true,
            b"--timings" => options.timings = true,
            b"--version" => tell(ENCODER_VERSION),
            _ => update(Path::new(&argument), &options),
        }
    }
    0
}

fn update(object: &Path, options: &Options) {
    let mut clock = Clock::start();
    let done = guarded(|| {
        let cache = Cache::from_env();
        let done = write_sidecar(object, options.inline, cache.as_ref(), &mut clock)?;
        match done {
            Some(_) => change(object, options.change, &mut clock)?,
            None => keep_debug(object),
        }
        Ok(done)
    });
    let name = object.display();
    if let Ok(None) = done {
        return;
    }
    if options.echo {
        tell(format_args!("  BTF     {name}"));
    }
    if let Err(error) = &done {
        note("kbuild-btf-hook", format_args!("warning: {error}"));
    }
    trace(
        trace_file().as_deref(),
        &format!("hook {name}"),
        &clock.laps,
    );
    if let (true, Ok(Some(event))) = (options.timings, &done) {
        tell(format_args!("{name}: {}", event.name()));
        for lap in &clock.laps {
            tell(format_args!("  {lap}"));
        }
    }
}
