// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Threads under make's jobserver: each one beyond the first needs a token, as each job does.
//!
//! A token is a byte in a pipe, which make names in MAKEFLAGS (GNU make's manual, "POSIX Jobserver"):
//! `--jobserver-auth=R,W` are inherited descriptors, `--jobserver-auth=fifo:PATH` (make 4.4) is a named
//! pipe. We take what is there without waiting, so this never deadlocks, and put it back at the end.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

/// `O_NONBLOCK` of every Linux architecture but those below (asm/fcntl.h).
const O_NONBLOCK: i32 = if cfg!(any(target_arch = "mips", target_arch = "mips64")) {
    0o200
} else if cfg!(target_arch = "sparc64") {
    0o40000
} else {
    0o4000
};

/// The right to run some threads, until it is dropped.
pub struct Share {
    /// Where tokens go back to.
    pipe: Option<File>,
    tokens: Vec<u8>,
    threads: usize,
}

impl Share {
    /// At most `wanted` threads (0: one for each processor), fewer if make has no tokens to spare.
    /// Without a jobserver, as many as wanted; with one that cannot be reached, one.
    pub fn take(wanted: usize) -> Share {
        let flags = std::env::var("MAKEFLAGS").unwrap_or_default();
        Share::take_from(&flags, wanted)
    }

    fn take_from(makeflags: &str, wanted: usize) -> Share {
        let wanted = match wanted {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        let Some(auth) = jobserver(makeflags) else {
            return Share {
                pipe: None,
                tokens: Vec::new(),
                threads: wanted,
            };
        };
        let mut share = Share {
            pipe: None,
            tokens: vec![0; wanted - 1],
            threads: 1,
        };
        let mut got = 0;
        if let Some((mut read, write)) = open(auth) {
            // Byte by byte, because their number may change at any time.
            while got < share.tokens.len()
                && matches!(read.read(&mut share.tokens[got..=got]), Ok(1))
            {
                got += 1;
            }
            share.pipe = Some(write);
        }
        share.tokens.truncate(got);
        share.threads += got;
        share
    }

    pub fn threads(&self) -> usize {
        self.threads
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(pipe) = &mut self.pipe {
            // make counts them when it ends and says if some are lost; nothing else can be done.
            let _ = pipe.write_all(&self.tokens);
        }
    }
}

/// What follows `--jobserver-auth=` (`--jobserver-fds=` before make 4.2). The last one counts.
fn jobserver(makeflags: &str) -> Option<&str> {
    let last = makeflags.split_whitespace().rfind(|flag| {
        flag.starts_with("--jobserver-auth=") || flag.starts_with("--jobserver-fds=")
    })?;
    last.split_once('=').map(|(_, auth)| auth)
}

/// Both ends. Opened anew, through /proc for inherited descriptors: not to wait is a property of the
/// open file, and make's own must go on waiting. None if make did not hand them on to us (a recipe
/// without `+`), when the numbers mean nothing or another file.
fn open(auth: &str) -> Option<(File, File)> {
    let (read, write) = match auth.strip_prefix("fifo:") {
        Some(path) => (path.to_owned(), path.to_owned()),
        None => {
            let (read, write) = auth.split_once(',')?;
            let path =
                |number: &str| Some(format!("/proc/self/fd/{}", number.parse::<u32>().ok()?));
            (path(read)?, path(write)?)
        }
    };
    let pipe = |path: &str| fs::metadata(path).is_ok_and(|m| m.file_type().is_fifo());
    if !pipe(&read) || !pipe(&write) {
        return None;
    }
    let mut options = File::options();
    options.custom_flags(O_NONBLOCK);
    // A named pipe cannot be opened for writing alone without waiting for a reader; for both it can.
    let read = options.read(true).open(read).ok()?;
    let write = File::options().read(true).write(true).open(write).ok()?;
    Some((read, write))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_jobserver_in_makes_flags() {
        assert_eq!(jobserver(" -j8 --jobserver-auth=3,4 -- V=1"), Some("3,4"));
        assert_eq!(
            jobserver("kw -j --jobserver-fds=5,6 --jobserver-auth=fifo:/tmp/GMfifo1"),
            Some("fifo:/tmp/GMfifo1")
        );
        assert_eq!(jobserver("rR --no-print-directory"), None);
    }

    #[test]
    fn without_a_jobserver_it_is_as_wanted() {
        assert_eq!(Share::take_from("rR", 5).threads(), 5);
        assert!(Share::take_from("", 0).threads() >= 1);
    }

    #[test]
    fn a_jobserver_out_of_reach_leaves_one_thread() {
        for auth in ["-2,-2", "0,", "fifo:/nowhere", "998,999", "x"] {
            let flags = format!("-j8 --jobserver-auth={auth}");
            assert_eq!(Share::take_from(&flags, 4).threads(), 1, "{auth}");
        }
    }

    #[test]
    fn takes_what_is_there_and_puts_it_back() {
        let path =
            std::env::temp_dir().join(format!("kbuild-btf-test-fifo.{}", std::process::id()));
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.is_ok_and(|status| status.success()));
        let flags = format!("-j4 --jobserver-auth=fifo:{}", path.display());
        let (mut pipe, mut other) = open(jobserver(&flags).expect("named")).expect("a named pipe");
        other.write_all(b"ab").expect("room");
        let first = Share::take_from(&flags, 2);
        let second = Share::take_from(&flags, 9);
        assert_eq!((first.threads(), second.threads()), (2, 2));
        assert_eq!(Share::take_from(&flags, 9).threads(), 1, "all are taken");
        drop((first, second));
        let mut back = [0; 9];
        assert!(matches!(pipe.read(&mut back), Ok(2)));
        back.sort_unstable();
        assert_eq!(&back[7..], b"ab");
        let _ = fs::remove_file(&path);
    }
}
