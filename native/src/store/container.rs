// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! What all files that are kept have in common (docs/sidecar.md): a magic number, a checksum, the stamp of
//! the file that it was made of, the version of the encoder, then what a kind of file says of itself, and
//! arrays that can be used where they lie.
//!
//! Such a file is an accelerator, never a source of truth: one in which anything is wrong is made again.

use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use bytemuck::{Pod, Zeroable};
use xxhash_rust::xxh3::{xxh3_64, Xxh3};

use crate::support::error::{io, Result};
use crate::support::files::open_regular;

/// Version of the product and hash of the encoder's source.
pub const ENCODER_VERSION: &str = concat!(
    env!("KBUILD_BTF_VERSION"),
    "-",
    env!("KBUILD_BTF_SOURCE_HASH")
);

/// The file that it was last found to belong to. Same stamp: no need to hash it. Not part of the checked
/// content, since equal files have equal ones.
///
/// The time is that of the last change of the inode, which is no one's to choose: the time of
/// modification may stay as it was when a file is overwritten (`rsync --inplace -t`, `cp -p`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Stamp {
    pub size: u64,
    pub inode: u64,
    pub seconds: i64,
    pub nanoseconds: i64,
}

impl Stamp {
    pub fn of(meta: &Metadata) -> Stamp {
        Stamp {
            size: meta.size(),
            inode: meta.ino(),
            seconds: meta.ctime(),
            nanoseconds: meta.ctime_nsec(),
        }
    }
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Lead {
    magic: [u8; 8],
    /// XXH3-64 of everything behind the stamp.
    checksum: u64,
    stamp: Stamp,
    /// `ENCODER_VERSION`, padded with NUL.
    encoder: [u8; 64],
}

const STAMP: usize = 16;
/// Where the checked content starts.
pub const CHECKED_FROM: usize = STAMP + size_of::<Stamp>();

/// What stands before the arrays. `kind` are four letters; `own` is what a kind of file says of itself.
#[derive(Clone, Copy)]
pub struct Header<Own, const ARRAYS: usize> {
    lead: Lead,
    pub own: Own,
    /// Position and length in bytes of each array.
    arrays: [[u64; 2]; ARRAYS],
}

/// The number of the version also tells the byte order: a machine of the other one reads another.
fn magic(kind: [u8; 4]) -> [u8; 8] {
    let [a, b, c, d] = kind;
    let order = if cfg!(target_endian = "big") { 0x80 } else { 0 };
    [a, b, c, d, b'\r', b'\n', 0x1a, 1 | order]
}

fn encoder() -> [u8; 64] {
    let mut name = [0; 64];
    for (to, from) in name.iter_mut().zip(ENCODER_VERSION.bytes()) {
        *to = from;
    }
    name
}

impl<Own: Pod, const ARRAYS: usize> Header<Own, ARRAYS> {
    const OWN: usize = size_of::<Lead>();
    const PLACES: usize = Self::OWN + size_of::<Own>();
    pub const SIZE: usize = Self::PLACES + ARRAYS * 16;

    /// Of a file with these arrays.
    pub fn new(kind: [u8; 4], stamp: Stamp, own: Own, content: &[&[u8]; ARRAYS]) -> Self {
        const { assert!(size_of::<Own>().is_multiple_of(8)) };
        let mut header = Header {
            lead: Lead {
                magic: magic(kind),
                checksum: 0,
                stamp,
                encoder: encoder(),
            },
            own,
            arrays: [[0; 2]; ARRAYS],
        };
        let mut end = Self::SIZE;
        for (array, part) in header.arrays.iter_mut().zip(content) {
            *array = [end as u64, part.len() as u64];
            end += part.len().next_multiple_of(8);
        }
        let mut hash = Xxh3::new();
        hash.update(&header.bytes()[CHECKED_FROM..]);
        for part in padded(*content) {
            hash.update(part);
        }
        header.lead.checksum = hash.digest();
        header
    }

    /// As it stands in the file.
    pub fn bytes(&self) -> Vec<u8> {
        let own = bytemuck::bytes_of(&self.own);
        let arrays = bytemuck::cast_slice(self.arrays.as_flattened());
        [bytemuck::bytes_of(&self.lead), own, arrays].concat()
    }

    /// Of a file that starts so, if it is one of this kind and version. What it says may be damaged.
    pub fn read(kind: [u8; 4], start: &[u8]) -> Option<Self> {
        let raw = start.get(..Self::SIZE)?;
        let lead: Lead = bytemuck::pod_read_unaligned(&raw[..Self::OWN]);
        let mut arrays = [[0; 2]; ARRAYS];
        for (array, raw) in arrays.iter_mut().zip(raw[Self::PLACES..].chunks_exact(16)) {
            *array = bytemuck::pod_read_unaligned(raw);
        }
        let is_one = lead.magic == magic(kind) && lead.encoder == encoder();
        is_one.then(|| Header {
            lead,
            own: bytemuck::pod_read_unaligned(&raw[Self::OWN..Self::PLACES]),
            arrays,
        })
    }

    /// The same of a file of which nothing else is read.
    pub fn of_file(kind: [u8; 4], path: &Path) -> Option<Self> {
        let mut raw = vec![0; Self::SIZE];
        let (file, _) = open_regular(path).ok()?;
        file.read_exact_at(&mut raw, 0).ok()?;
        Self::read(kind, &raw)
    }

    /// Is the whole file as it was written?
    pub fn is_sound(&self, all: &[u8]) -> bool {
        let lies_inside = |&[start, len]: &[u64; 2]| {
            let end = start.checked_add(len);
            start % 8 == 0 && end.is_some_and(|end| end <= all.len() as u64)
        };
        // First, since a file may go on and on in holes.
        let mut lengths = self
            .arrays
            .iter()
            .map(|[_, len]| len.checked_next_multiple_of(8));
        let end = lengths.try_fold(Self::SIZE as u64, |end, len| end.checked_add(len?));
        end == Some(all.len() as u64)
            && self.arrays.iter().all(lies_inside)
            && self.lead.checksum == xxh3_64(&all[CHECKED_FROM..])
    }

    pub fn stamp(&self) -> Stamp {
        self.lead.stamp
    }

    /// Of a sound file.
    pub fn array<'f>(&self, all: &'f [u8], i: usize) -> &'f [u8] {
        let [start, len] = self.arrays[i];
        &all[start as usize..(start + len) as usize]
    }
}

/// The arrays as they follow the header, each from a multiple of eight bytes on.
pub fn padded<const ARRAYS: usize>(content: [&[u8]; ARRAYS]) -> impl Iterator<Item = &[u8]> {
    content.into_iter().flat_map(|part| {
        let padding = part.len().next_multiple_of(8) - part.len();
        [part, &[0; 8][..padding]]
    })
}

/// The same file for another that it belongs to.
pub fn stamp_bytes(file: &mut [u8], stamp: Stamp) {
    file[STAMP..CHECKED_FROM].copy_from_slice(bytemuck::bytes_of(&stamp));
}

/// Note in a file that was found to belong to another which one that is. Its time stamp goes on telling
/// when it was made.
pub fn restamp(path: &Path, stamp: Stamp) -> Result<()> {
    let file = File::options()
        .write(true)
        .open(path)
        .map_err(io("open", path))?;
    let made = file.metadata().and_then(|m| m.modified());
    file.write_all_at(bytemuck::bytes_of(&stamp), STAMP as u64)
        .and_then(|()| file.set_modified(made?))
        .map_err(io("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Some = Header<u64, 2>;

    #[test]
    fn arrays_come_back_and_no_damage_goes_unnoticed() {
        let content: [&[u8]; 2] = [b"eleven byte", b""];
        let header = Some::new(*b"test", Stamp::default(), 7, &content);
        let mut file = header.bytes();
        file.extend(padded(content).flatten());
        let sound = |file: &[u8]| Some::read(*b"test", file).filter(|h| h.is_sound(file));
        let read = sound(&file).expect("sound");
        assert_eq!((read.own, read.array(&file, 0)), (7, content[0]));
        assert!(read.array(&file, 1).is_empty());
        assert!(Some::read(*b"tent", &file).is_none());
        for i in (0..STAMP).chain(CHECKED_FROM..file.len()) {
            let mut damaged = file.clone();
            damaged[i] ^= 0x10;
            assert!(sound(&damaged).is_none(), "byte {i}");
        }
        for len in 0..file.len() {
            assert!(sound(&file[..len]).is_none(), "length {len}");
        }
    }
}
