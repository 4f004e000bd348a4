// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The one error type: what failed, where, and what to do about it.

use std::fmt;

/// A failure as a person should read it. Boxed, so that a `Result` in a hot loop stays small.
#[derive(Debug, Clone)]
pub struct Error(Box<Parts>);

#[derive(Debug, Clone, Default)]
struct Parts {
    what: String,
    place: String,
    hint: String,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn new(what: impl Into<String>) -> Self {
        Error(Box::new(Parts {
            what: what.into(),
            ..Parts::default()
        }))
    }

    /// Name the place (file, section, DIE). An inner place that is already known is kept behind it.
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.0.place = if self.0.place.is_empty() {
            place.to_string()
        } else {
            format!("{place}: {}", self.0.place)
        };
        self
    }

    /// Say what to do; the first hint given is the nearest to the cause and stays.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        if self.0.hint.is_empty() {
            self.0.hint = hint.into();
        }
        self
    }

    pub fn what(&self) -> &str {
        &self.0.what
    }

    pub fn place(&self) -> &str {
        &self.0.place
    }

    pub fn hint_text(&self) -> &str {
        &self.0.hint
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.place.is_empty() {
            write!(f, "{}: ", self.0.place)?;
        }
        f.write_str(&self.0.what)?;
        if !self.0.hint.is_empty() {
            write!(f, "; {}", self.0.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// Turn an I/O failure on `path` into an error that names both the file and what was tried.
pub fn io(action: &str, path: &std::path::Path) -> impl Fn(std::io::Error) -> Error {
    let (action, path) = (action.to_owned(), path.to_owned());
    move |cause| Error::new(format!("cannot {action}: {cause}")).at(path.display())
}
