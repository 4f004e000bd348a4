// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! How long each stage took and how much it had to do, for `--timings`; and the same as events of a
//! trace of the whole build, in the format of chrome://tracing and Perfetto.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::support::files::beside;

/// One stage.
#[derive(Clone, Debug)]
pub struct Lap {
    pub stage: &'static str,
    /// Microseconds since 1970: processes of one build share one axis.
    pub start: f64,
    pub seconds: f64,
    /// What the stage worked on: objects, types, …
    pub count: u64,
    /// Bytes that it had to read or write; 0 where that says nothing.
    pub bytes: u64,
}

impl fmt::Display for Lap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:20} {:9.2} ms", self.stage, self.seconds * 1e3)?;
        if self.count != 0 {
            write!(f, " {:9}", self.count)?;
        }
        if self.bytes != 0 {
            write!(f, " {:9} bytes", self.bytes)?;
        }
        Ok(())
    }
}

pub struct Clock {
    last: Instant,
    start: f64,
    pub laps: Vec<Lap>,
}

impl Clock {
    pub fn start() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Clock {
            last: Instant::now(),
            start: now.map_or(0.0, |d| d.as_secs_f64() * 1e6),
            laps: Vec::new(),
        }
    }

    /// A stage has ended, and the next one begins.
    pub fn lap(&mut self, stage: &'static str, count: u64, bytes: u64) {
        let now = Instant::now();
        let seconds = (now - self.last).as_secs_f64();
        self.laps.push(Lap {
            stage,
            start: self.start,
            seconds,
            count,
            bytes,
        });
        self.last = now;
        self.start += seconds * 1e6;
    }
}

/// The file of the trace that a program's environment asks for.
pub fn trace_file() -> Option<PathBuf> {
    let name = std::env::var_os("KBUILD_BTF_TRACE")?;
    (!name.is_empty()).then(|| name.into())
}

/// Append what this process did to the trace, if there is one. One write, so that processes of
/// `make -j` do not mix. No trace is no reason to fail.
pub fn trace(file: Option<&Path>, what: &str, laps: &[Lap]) {
    if let Some(path) = file {
        let _ = append(path, &events(what, std::process::id(), laps));
    }
}

fn append(path: &Path, events: &str) -> std::io::Result<()> {
    if !path.exists() {
        // The opening bracket of the array; the format lets the closing one be left out. Of several
        // processes that come here at once, one makes the file.
        let own = beside(path);
        File::create_new(&own)?.write_all(b"[\n")?;
        let _ = std::fs::hard_link(&own, path);
        std::fs::remove_file(&own)?;
    }
    let mut file = File::options().append(true).open(path)?;
    file.write_all(events.as_bytes())
}

fn events(what: &str, process: u32, laps: &[Lap]) -> String {
    let mut name = String::new();
    for c in what.chars() {
        match c {
            '"' | '\\' => name.extend(['\\', c]),
            c if c.is_control() => name.push('?'),
            c => name.push(c),
        }
    }
    let mut out = String::new();
    let mut event = |name: &str, start: f64, seconds: f64, count: u64, bytes: u64| {
        let _ = writeln!(
            out,
            "{{\"name\":\"{name}\",\"ph\":\"X\",\"ts\":{start:.1},\"dur\":{:.1},\"pid\":{process},\"tid\":{process},\"args\":{{\"count\":{count},\"bytes\":{bytes}}}}},",
            seconds * 1e6
        );
    };
    if let Some(first) = laps.first() {
        let all = laps.iter().map(|l| l.seconds).sum();
        event(&name, first.start, all, 0, 0);
    }
    for lap in laps {
        event(lap.stage, lap.start, lap.seconds, lap.count, lap.bytes);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_nest_and_names_are_quoted() {
        let mut clock = Clock::start();
        clock.lap("first", 3, 0);
        clock.lap("second", 0, 7);
        let text = events("hook a\"b\n", 5, &clock.laps);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("{\"name\":\"hook a\\\"b?\",\"ph\":\"X\",\"ts\":"));
        assert!(lines[2].ends_with("\"args\":{\"count\":0,\"bytes\":7}},"));
    }
}
