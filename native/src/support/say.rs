// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! What a program says.

use std::fmt::Display;
use std::io::Write;

use super::error::{Error, Result};

/// A line on standard error; whether it can be written must not matter.
pub fn note(program: &str, line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{program}: {line}");
}

/// A line on standard output about work that is done, as little.
pub fn tell(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// What was asked for. One that nobody gets is an error.
pub fn answer(line: impl Display) -> Result<()> {
    writeln!(std::io::stdout(), "{line}")
        .map_err(|cause| Error::new(cause.to_string()).at("standard output"))
}
