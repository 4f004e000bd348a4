// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! `kbuild-btf-hook [--echo] [--timings] OBJECT…`: runs right after an object is compiled and brings
//! its sidecar up to date.
//!
//! It never fails: make would delete the good object. What is missing, the link encodes, and
//! reports.

use std::path::Path;

use kbuild_btf_native::guard::guarded;
use kbuild_btf_native::timings::{self, Clock};
use kbuild_btf_native::{objects, sidecar};

#[derive(Default)]
struct Options {
    echo: bool,
    timings: bool,
}

fn main() {
    let mut options = Options::default();
    for argument in std::env::args_os().skip(1) {
        match argument.to_str() {
            Some("--echo") => options.echo = true,
            Some("--timings") => options.timings = true,
            Some("--version") => println!("{}", sidecar::ENCODER_VERSION),
            _ => update(Path::new(&argument), &options),
        }
    }
}

fn update(object: &Path, options: &Options) {
    let mut clock = Clock::start();
    let done = guarded(|| objects::write_sidecar(object, &mut clock));
    let name = object.display();
    if let Ok(None) = done {
        return;
    }
    if options.echo {
        println!("  BTF     {name}");
    }
    if let Err(error) = &done {
        eprintln!("kbuild-btf-hook: warning: {error}");
    }
    timings::trace(&format!("hook {name}"), &clock.laps);
    if let (true, Ok(Some(event))) = (options.timings, &done) {
        println!("{name}: {}", event.name());
        for lap in &clock.laps {
            println!("  {lap}");
        }
    }
}
