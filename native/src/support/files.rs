// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Files: mapped to be read, written as a whole or not at all.

use std::fs::{self, File, Metadata};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{ErrorKind, IoSlice, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use memmap2::{Mmap, MmapOptions};

use crate::support::error::{io, Error, Result};

/// Bytes below which it costs more to give pages back than it saves.
pub const WORTH_FORGETTING: usize = 1 << 20;

/// A file mapped read-only. make never rewrites an object that a later step of the same build is reading;
/// where somebody else makes it shorter, see `start::end_where_files_shrink`.
pub struct Mapped {
    pub path: PathBuf,
    content: Memory,
}

/// A file of more bytes than this has no more than so many times those that the disk has of it.
const HUGE: u64 = 1 << 28;
const MANIFOLD: u64 = 64;

/// Bytes of a file that is mapped with all its pages.
const WHOLE: usize = 64 << 20;

enum Memory {
    Map(Mmap),
    Copy(Vec<u8>),
}

impl Mapped {
    pub fn open(path: &Path) -> Result<Mapped> {
        Self::map(path, false)
    }

    /// For a small file that will be read whole: its pages are mapped at once, not one fault after
    /// the other.
    pub fn open_whole(path: &Path) -> Result<Mapped> {
        Self::map(path, true)
    }

    /// For one of many small files that several threads read: memory is used again, while each
    /// unmapping would interrupt the other threads.
    pub fn read(path: &Path) -> Result<Mapped> {
        Ok(Mapped {
            path: path.to_owned(),
            content: Memory::Copy(read(path)?),
        })
    }

    /// For a large file of which a few scattered pages will be read: none is mapped beside them.
    pub fn open_scattered(path: &Path) -> Result<Mapped> {
        let mapped = Self::open(path)?;
        if let Memory::Map(map) = &mapped.content {
            // It is only advice.
            let _ = map.advise(memmap2::Advice::Random);
        }
        Ok(mapped)
    }

    fn map(path: &Path, whole: bool) -> Result<Mapped> {
        let (file, len) = open(path)?;
        let mut options = MmapOptions::new();
        // A large file may be of holes alone; they would be filled.
        if whole && len <= WHOLE {
            options.populate();
        }
        // An empty file cannot be mapped.
        let content = if len == 0 {
            Memory::Copy(Vec::new())
        } else {
            // SAFETY: the map is private to this process and only read.
            let map = unsafe { options.len(len).map(&file) };
            Memory::Map(map.map_err(io("map", path))?)
        };
        Ok(Mapped {
            path: path.to_owned(),
            content,
        })
    }

    /// As if a file had these bytes.
    #[cfg(test)]
    pub fn of(bytes: Vec<u8>) -> Mapped {
        Mapped {
            path: PathBuf::from("sample"),
            content: Memory::Copy(bytes),
        }
    }

    pub fn bytes(&self) -> &[u8] {
        match &self.content {
            Memory::Map(map) => map,
            Memory::Copy(bytes) => bytes,
        }
    }

    /// A part that nobody will read soon: its pages leave this process. They are there again, from the
    /// file, when somebody does. A part of anything else, like a copy of these bytes, stays.
    pub fn forget(&self, part: &[u8]) {
        let Memory::Map(map) = &self.content else {
            return;
        };
        let start = (part.as_ptr() as usize).wrapping_sub(map.as_ptr() as usize);
        if part.len() < WORTH_FORGETTING || start > map.len() || part.len() > map.len() - start {
            return;
        }
        // SAFETY: the pages are read-only and those of a file, so that nothing is lost with them.
        let advised = unsafe {
            map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, part.len())
        };
        // It is only advice.
        let _ = advised;
    }
}

fn open(path: &Path) -> Result<(File, usize)> {
    let (file, meta) = open_regular(path).map_err(not_opened("open", path))?;
    Ok((file, meta.len() as usize))
}

fn not_opened(action: &str, path: &Path) -> impl Fn(std::io::Error) -> Error {
    let (other, path) = (io(action, path), path.to_owned());
    move |cause| match cause.kind() {
        ErrorKind::InvalidInput => Error::new("not a regular file").at(path.display()),
        _ => other(cause),
    }
}

/// A regular file and what is known of it; `InvalidInput` if it is something else. A pipe would wait
/// for somebody to write into it.
pub fn open_regular(path: &Path) -> std::io::Result<(File, Metadata)> {
    let mut options = File::options();
    let file = options
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    let meta = file.metadata()?;
    match meta.is_file() {
        true => Ok((file, meta)),
        false => Err(ErrorKind::InvalidInput.into()),
    }
}

/// Does it belong to this user, or to root, who may do anything anyway?
pub fn is_ours(meta: &Metadata) -> bool {
    // SAFETY: it has no conditions and cannot fail.
    let user = unsafe { libc::geteuid() };
    meta.uid() == user || meta.uid() == 0
}

/// The first bytes of a file, as many as it had when it was opened.
pub fn read_start(mut file: &File, meta: &Metadata) -> std::io::Result<Vec<u8>> {
    let len = meta.len();
    // What a file says of its length need not be there: it may have holes. (Small files may be written
    // to no block yet.)
    if len > HUGE && meta.blocks().saturating_mul(512 * MANIFOLD) < len {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or(usize::MAX));
    Read::by_ref(&mut file).take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A regular file whole.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let (file, meta) = open_regular(path).map_err(not_opened("read", path))?;
    read_start(&file, &meta).map_err(io("read", path))
}

/// The same of a text.
pub fn read_text(path: &Path) -> Result<String> {
    String::from_utf8(read(path)?)
        .map_err(|_| Error::new("cannot read: it is no text").at(path.display()))
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

/// Write a file so that readers see the old content or the new, never a part.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    write_parts_atomically(path, &[bytes])
}

/// Put a file in the place of another; no reader sees it with other permissions than these. Holes stay
/// holes: a third of a vmlinux is space between its segments.
pub fn replace(path: &Path, parts: &[&[u8]], permissions: fs::Permissions) -> Result<()> {
    Unnamed::filled(path, |file| write_with_holes(file, parts))
        .and_then(|file| {
            file.permit(permissions)?;
            file.name(path)
        })
        .map_err(io("write", path))
}

/// `write_atomically` for content in parts.
pub fn write_parts_atomically(path: &Path, parts: &[&[u8]]) -> Result<()> {
    Unnamed::write(path, parts)
        .and_then(|file| file.name(path))
        .map_err(io("write", path))
}

/// A finished file that has no name yet but one for the time being, in the directory of that which
/// it will get. Without one it is removed.
pub struct Unnamed {
    temporary: PathBuf,
}

impl Unnamed {
    pub fn write(path: &Path, parts: &[&[u8]]) -> std::io::Result<Unnamed> {
        Unnamed::filled(path, |file| write_parts(file, parts))
    }

    fn filled(
        path: &Path,
        fill: impl FnOnce(&mut File) -> std::io::Result<()>,
    ) -> std::io::Result<Unnamed> {
        let temporary = beside(path);
        let mut file = File::create_new(&temporary)?;
        let unnamed = Unnamed { temporary };
        fill(&mut file)?;
        Ok(unnamed)
    }

    pub fn permit(&self, permissions: fs::Permissions) -> std::io::Result<()> {
        fs::set_permissions(&self.temporary, permissions)
    }

    /// As if it had been written when another file was: make must not see a difference.
    pub fn date(&self, modified: SystemTime) -> std::io::Result<()> {
        let file = File::options().write(true).open(&self.temporary)?;
        file.set_modified(modified)
    }

    /// Put it in the place of what has this name. The last name that it gets.
    pub fn name(self, path: &Path) -> std::io::Result<()> {
        fs::rename(&self.temporary, path)?;
        std::mem::forget(self);
        Ok(())
    }

    /// Put it in the place of what has this name, which may be in another directory of the file
    /// system, if that knows several names of one file.
    pub fn also_name(&self, path: &Path) -> std::io::Result<()> {
        match fs::hard_link(&self.temporary, path) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                let temporary = beside(path);
                fs::hard_link(&self.temporary, &temporary)?;
                Unnamed { temporary }.name(path)
            }
            done => done,
        }
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        // Best effort: why it got no name is what matters.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// A name of its own in the same directory: by chance, since machines and containers that share a cache
/// do not share numbers of processes.
pub fn beside(path: &Path) -> PathBuf {
    let chance = RandomState::new().build_hasher().finish();
    let mut name = std::ffi::OsString::from(".tmp_");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{chance:016x}"));
    path.with_file_name(name)
}

fn write_parts(file: &mut File, parts: &[&[u8]]) -> std::io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let mut left = &mut slices[..];
    // Leave out what is empty from the start: no write is told from a full disk by its length.
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match file.write_vectored(left) {
            Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Pieces of this size that are nothing but zeros are not written: small against the space between segments,
/// and few to write.
const HOLE: usize = 1 << 16;

fn write_with_holes(file: &mut File, parts: &[&[u8]]) -> std::io::Result<()> {
    let mut at = 0;
    for part in parts {
        let mut rest = *part;
        while !rest.is_empty() {
            // Each ends where a block of the file does.
            let piece;
            (piece, rest) = rest.split_at(rest.len().min(HOLE - at % HOLE));
            at += piece.len();
            if piece.iter().all(|&byte| byte == 0) {
                file.seek_relative(piece.len() as i64)?;
            } else {
                file.write_all(piece)?;
            }
        }
    }
    file.set_len(at as u64)
}

/// `write_atomically`, but a file that has this content already stays as it is, with its time stamp, so that
/// make does nothing again because of it.
pub fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    match Mapped::open(path) {
        Ok(old) if old.bytes() == bytes => Ok(()),
        _ => write_atomically(path, bytes),
    }
}

/// A file that lives as long as this.
pub struct Temporary(pub PathBuf);

impl Temporary {
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_for_the_time_being_are_never_the_same() {
        let name = || beside(Path::new("dir/a.o"));
        let (one, other) = (name(), name());
        assert_ne!(one, other);
        assert_eq!(one.parent(), Some(Path::new("dir")));
    }

    #[test]
    fn holes_are_read_as_what_they_were_and_take_no_space() {
        let path = beside(&std::env::temp_dir().join("holes"));
        let mut content = vec![0u8; 64 * HOLE + 3];
        for at in [0, 5 * HOLE - 1, 9 * HOLE] {
            content[at] = 1;
        }
        // Where the file system knows no holes, it takes as much as an empty one of this length.
        let empty = File::create_new(&path).expect("created");
        empty.set_len(content.len() as u64).expect("longer");
        let empty = empty.metadata().expect("there");
        let (start, rest) = content.split_at(100);
        replace(&path, &[start, rest], empty.permissions()).expect("written");
        let (read, meta) = (fs::read(&path), fs::metadata(&path));
        fs::remove_file(&path).expect("removed");
        assert!(read.expect("readable") == content);
        assert!(
            (meta.expect("there").blocks().saturating_sub(empty.blocks())) * 512 < 8 * HOLE as u64
        );
    }

    #[test]
    fn what_is_forgotten_is_there_again() {
        let path = beside(&std::env::temp_dir().join("forgotten"));
        let content: Vec<u8> = (0..=u8::MAX).cycle().take(3 * WORTH_FORGETTING).collect();
        fs::write(&path, &content).expect("written");
        let mapped = Mapped::open(&path).expect("mapped");
        fs::remove_file(&path).expect("removed");
        assert_eq!(mapped.bytes(), content);
        mapped.forget(mapped.bytes());
        mapped.forget(&mapped.bytes()[5..][..WORTH_FORGETTING]);
        assert_eq!(mapped.bytes(), content);
        // Memory of its own would be zeros afterwards.
        let copy = content.clone();
        mapped.forget(&copy);
        assert_eq!(copy, content);
    }
}
