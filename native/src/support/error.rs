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

/// Characters of a part of a message. Paths are no longer, and names of damaged input are no use.
const MOST: usize = 4096;

/// On one line, whatever the names in it have in them.
fn line(text: String) -> String {
    if text.len() <= MOST && !text.contains(char::is_control) {
        return text;
    }
    let mut shown = String::new();
    let mut room = MOST;
    for character in text.chars() {
        let escaped = character.escape_default();
        let len = if character.is_control() {
            escaped.len()
        } else {
            1
        };
        if len > room {
            shown.push_str("...");
            break;
        }
        room -= len;
        match character.is_control() {
            true => shown.extend(escaped),
            false => shown.push(character),
        }
    }
    shown
}

impl Error {
    pub fn new(what: impl Into<String>) -> Self {
        Error(Box::new(Parts {
            what: line(what.into()),
            ..Parts::default()
        }))
    }

    /// Name the place (file, section, DIE). An inner place that is already known is kept behind it.
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        let place = line(place.to_string());
        self.0.place = if self.0.place.is_empty() {
            place
        } else {
            format!("{place}: {}", self.0.place)
        };
        self
    }

    /// Say what to do; the first hint given is the nearest to the cause and stays.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        if self.0.hint.is_empty() {
            self.0.hint = line(hint.into());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_whatever_is_named() {
        let error = Error::new("no f\n\x1b[1m").at("a\tb").hint("é\r");
        assert_eq!(error.to_string(), r"a\tb: no f\n\u{1b}[1m; é\r");
        let long = Error::new("é".repeat(10_000)).to_string();
        assert_eq!(long.chars().count(), MOST + 3);
        let control = Error::new("\0".repeat(10_000)).to_string();
        assert_eq!(control.len(), MOST / 5 * 5 + 3);
    }
}
