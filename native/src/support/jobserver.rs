// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Threads under make's jobserver (GNU make's manual, "POSIX Jobserver"): each one beyond the first needs
//! a token, as each job does. We take what is there without waiting, so this never deadlocks.

use jobserver::{Acquired, Client, FromEnvErrorKind};

/// The right to run some threads, until it is dropped.
pub struct Share {
    /// They go back by themselves.
    _tokens: Vec<Acquired>,
    threads: usize,
}

impl Share {
    /// At most `wanted` threads (0: one for each processor), fewer if make has no tokens to spare.
    /// Without a jobserver, as many as wanted; with one that cannot be reached (a recipe without `+`,
    /// when the descriptors that MAKEFLAGS names mean nothing or another file), one.
    pub fn take(wanted: usize) -> Share {
        let wanted = match wanted {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        // SAFETY: what make names is opened anew or copied, never closed for others.
        let found = unsafe { Client::from_env_ext(true) };
        let client = match found.client {
            Ok(client) => client,
            Err(error) => {
                use FromEnvErrorKind::{NoEnvVar, NoJobserver};
                let threads = match error.kind() {
                    NoEnvVar | NoJobserver => wanted,
                    _ => 1,
                };
                return Share {
                    _tokens: Vec::new(),
                    threads,
                };
            }
        };
        // One by one, because their number may change at any time.
        let next = || client.try_acquire().ok().flatten();
        let tokens: Vec<Acquired> = std::iter::from_fn(next).take(wanted - 1).collect();
        Share {
            threads: 1 + tokens.len(),
            _tokens: tokens,
        }
    }

    pub fn threads(&self) -> usize {
        self.threads
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::{Read, Write};

    use super::*;

    /// With these flags of make. (The crate asks for cargo's first; no other test does.)
    fn take(makeflags: &str, wanted: usize) -> Share {
        std::env::set_var("CARGO_MAKEFLAGS", makeflags);
        Share::take(wanted)
    }

    #[test]
    fn takes_what_is_there_and_puts_it_back() {
        assert_eq!(take("rR --no-print-directory", 5).threads(), 5);
        assert!(take("", 0).threads() >= 1);
        for auth in ["-2,-2", "0,", "fifo:/nowhere", "998,999", "x"] {
            let flags = format!("-j8 --jobserver-auth={auth}");
            assert_eq!(take(&flags, 4).threads(), 1, "{auth}");
        }
        let path =
            std::env::temp_dir().join(format!("kbuild-btf-test-fifo.{}", std::process::id()));
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.is_ok_and(|status| status.success()));
        let mut pipe = File::options()
            .read(true)
            .write(true)
            .open(&path)
            .expect("a named pipe");
        pipe.write_all(b"ab").expect("room");
        let flags = format!("-j4 --jobserver-auth=fifo:{} -- V=1", path.display());
        let (first, second) = (take(&flags, 2), take(&flags, 9));
        assert_eq!((first.threads(), second.threads()), (2, 2));
        assert_eq!(take(&flags, 9).threads(), 1, "all are taken");
        drop((first, second));
        let mut back = [0; 2];
        pipe.read_exact(&mut back).expect("both");
        back.sort_unstable();
        assert_eq!(&back, b"ab");
        let _ = fs::remove_file(&path);
    }
}
