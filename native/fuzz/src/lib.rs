// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! What the targets share: files in memory, and an ELF file around sections.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use kbuild_btf_native::{Error, Features, Request};

/// A directory of this process in memory.
pub fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let path = PathBuf::from(format!("/dev/shm/kbuild-btf-fuzz.{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a file system in memory");
        path
    })
}

/// A file with these bytes.
pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory().join(name);
    std::fs::write(&path, bytes).expect("room in memory");
    path
}

pub fn request(elf: &Path) -> Request<'_> {
    let mut features = Features::LEGACY;
    features.turn_on("+global_var,true_signature,inline");
    Request {
        elf,
        features,
        excluded_languages: Vec::new(),
        jobs: 1,
        base: None,
        stable_ids: None,
        keep_sidecars: false,
        cache: None,
        trace: None,
    }
}

/// An error is one line that says something, and no bug. Said here, since panics are quiet.
pub fn expect_a_message(error: &Error) {
    let text = error.to_string();
    // It may have three parts, each as long as a path.
    let is_short = text.chars().count() < 4 * 4096;
    let is_one = !text.contains("internal error") && !text.contains('\n') && is_short;
    if !is_one {
        eprintln!("ERROR: no message: {text}");
        std::process::abort();
    }
}

/// For what an ELF file is.
pub struct Machine {
    pub number: u16,
    pub wide: bool,
    pub big: bool,
}

pub const MACHINES: [Machine; 4] = [
    Machine {
        number: 62,
        wide: true,
        big: false,
    },
    Machine {
        number: 40,
        wide: false,
        big: false,
    },
    Machine {
        number: 22,
        wide: true,
        big: true,
    },
    Machine {
        number: 8,
        wide: false,
        big: true,
    },
];

impl Machine {
    fn put(&self, out: &mut Vec<u8>, value: u64, size: usize) {
        match self.big {
            true => out.extend_from_slice(&value.to_be_bytes()[8 - size..]),
            false => out.extend_from_slice(&value.to_le_bytes()[..size]),
        }
    }

    fn word(&self) -> usize {
        if self.wide {
            8
        } else {
            4
        }
    }

    /// An ELF file with sections of these names, behind code with one function.
    pub fn elf(&self, relocatable: bool, sections: &[(&str, &[u8])]) -> Vec<u8> {
        let word = self.word();
        let mut symbols = vec![0; if self.wide { 24 } else { 16 }];
        for value in [0u64, 8] {
            self.put(&mut symbols, 1, 4);
            if self.wide {
                symbols.extend_from_slice(&[0x12, 0]);
                self.put(&mut symbols, 1, 2);
                self.put(&mut symbols, value, 8);
                self.put(&mut symbols, 8, 8);
            } else {
                self.put(&mut symbols, value, 4);
                self.put(&mut symbols, 8, 4);
                symbols.extend_from_slice(&[0x12, 0]);
                self.put(&mut symbols, 1, 2);
            }
        }
        let count = sections.len() as u64;
        let mut all: Vec<(&str, &[u8], u64, u64, u64, u64)> = vec![(".text", &[0; 64], 1, 6, 0, 0)];
        all.extend(
            sections
                .iter()
                .map(|&(name, data)| (name, data, 1, 0, 0, 0)),
        );
        let entry = if self.wide { 24 } else { 16 };
        all.push((".symtab", &symbols, 2, 0, count + 3, entry));
        all.push((".strtab", b"\0f\0", 3, 0, 0, 0));
        let mut names = vec![0];
        let mut starts = Vec::new();
        for (name, ..) in all
            .iter()
            .copied()
            .chain([(".shstrtab", &[][..], 0, 0, 0, 0)])
        {
            starts.push(names.len() as u64);
            names.extend_from_slice(name.as_bytes());
            names.push(0);
        }
        let names_again = names.clone();
        all.push((".shstrtab", &names_again, 3, 0, 0, 0));
        let head = if self.wide { 64 } else { 52 };
        let mut body = Vec::new();
        let mut headers = vec![0; if self.wide { 64 } else { 40 }];
        for ((_, data, kind, flags, link, entry), name) in all.iter().zip(starts) {
            while body.len() % 8 != 0 {
                body.push(0);
            }
            self.put(&mut headers, name, 4);
            self.put(&mut headers, *kind, 4);
            self.put(&mut headers, *flags, word);
            self.put(&mut headers, 0, word);
            self.put(&mut headers, head + body.len() as u64, word);
            self.put(&mut headers, data.len() as u64, word);
            self.put(&mut headers, *link, 4);
            self.put(&mut headers, u64::from(*kind == 2), 4);
            self.put(&mut headers, 1, word);
            self.put(&mut headers, *entry, word);
            body.extend_from_slice(data);
        }
        while body.len() % 8 != 0 {
            body.push(0);
        }
        let mut out = vec![
            0x7f,
            b'E',
            b'L',
            b'F',
            1 + u8::from(self.wide),
            1 + u8::from(self.big),
            1,
        ];
        out.resize(16, 0);
        self.put(&mut out, if relocatable { 1 } else { 2 }, 2);
        self.put(&mut out, self.number.into(), 2);
        self.put(&mut out, 1, 4);
        self.put(&mut out, 0, word);
        self.put(&mut out, 0, word);
        self.put(&mut out, head + body.len() as u64, word);
        self.put(&mut out, 0, 4);
        self.put(&mut out, head, 2);
        self.put(&mut out, 0, 4);
        self.put(&mut out, if self.wide { 64 } else { 40 }, 2);
        self.put(&mut out, all.len() as u64 + 1, 2);
        self.put(&mut out, all.len() as u64, 2);
        out.extend_from_slice(&body);
        out.extend_from_slice(&headers);
        out
    }
}

/// Parts of an input: each starts with its length in two bytes.
pub fn parts<const N: usize>(mut data: &[u8]) -> [&[u8]; N] {
    std::array::from_fn(|i| {
        let Some((length, rest)) = data.split_first_chunk::<2>() else {
            return &[][..];
        };
        let length = if i + 1 == N {
            rest.len()
        } else {
            usize::from(u16::from_le_bytes(*length))
        };
        let (part, rest) = rest.split_at(length.min(rest.len()));
        data = rest;
        part
    })
}
