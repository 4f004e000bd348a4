// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Linking an image once more, as it was linked.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::{Command, Stdio};

use super::belongs;
use crate::support::error::{io, Error, Result};
use crate::support::files::{beside, is_ours, open_regular, read_start, Temporary};
use crate::support::say::note;

/// Link an image again as the LD wrapper recorded it, this time with debug information. `None`:
/// there is no record. `why` goes before, because it takes its time.
pub fn link_again(image: &Path, why: &str) -> Result<Option<Temporary>> {
    let directory = image.parent().unwrap_or(Path::new(""));
    let name = image.file_name().unwrap_or_default().to_string_lossy();
    let record = directory.join(format!(".tmp_kbuild-btf.{name}.link"));
    if !belongs(&record, image) {
        return Ok(None);
    }
    let (file, meta) = open_regular(&record).map_err(io("read", &record))?;
    if !is_ours(&meta) {
        return Err(
            Error::new("a command that another user recorded is not run")
                .at(record.display())
                .hint("link as the user who built it, or set KBUILD_BTF_KEEP_DEBUG=1"),
        );
    }
    let text = read_start(&file, &meta).map_err(io("read", &record))?;
    let mut words: Vec<OsString> = text
        .split(|&b| b == 0)
        .map(|word| OsString::from_vec(word.to_vec()))
        .collect();
    // Each word ends with a NUL.
    words.pop();
    let temporary = Temporary(beside(&directory.join(format!("kbuild-btf.{name}.debug"))));
    let Some(place) = words.iter().position(|word| word == "-o") else {
        return Ok(None);
    };
    if place == 0 || place + 1 >= words.len() {
        return Ok(None);
    }
    words[place + 1] = temporary.path().file_name().unwrap_or_default().to_owned();
    // A map that the first link wrote stays as it is.
    if words.iter().any(|w| w.as_bytes().starts_with(b"-Map")) {
        words.push("-Map=/dev/null".into());
    }
    note(
        "kbuild-btf",
        format_args!("{name}: {why}; linking it once more, with debug information"),
    );
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::null());
    if directory != Path::new("") {
        command.current_dir(directory);
    }
    let done = command.output().map_err(|e| {
        Error::new(format!("cannot run {}: {e}", words[0].to_string_lossy())).at(image.display())
    })?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        let first = said.lines().next().unwrap_or("the linker says nothing");
        return Err(Error::new(format!(
            "{why}; linking it once more with debug information failed: {first}"
        ))
        .hint("set KBUILD_BTF_KEEP_DEBUG=1"));
    }
    Ok(Some(temporary))
}
