// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The sidecar file: what encode made of one object, ready to be mapped. docs/sidecar.md describes
//! the format.
//!
//! A sidecar is an accelerator, never a source of truth: whatever is wrong with it, the answer is
//! to encode the object again.

use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use bytemuck::{Pod, Zeroable};
use xxhash_rust::xxh3::{xxh3_64, Xxh3};

use crate::object::{DeclTag, Encoded, Function, Id, Symbol, Target, Unit, Variable, View};
use crate::support::error::{io, Result};

/// Version of the product and hash of the encoder's source.
pub const ENCODER_VERSION: &str = concat!(
    env!("KBUILD_BTF_VERSION"),
    "-",
    env!("KBUILD_BTF_SOURCE_HASH")
);

/// Also tells the byte order: a machine of the other one reads another number.
const MAGIC: u64 = u64::from_ne_bytes(*b"kbtf\r\n\x1a\x01");

/// Number of arrays of a `View`.
const ARRAYS: usize = 9;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Header {
    magic: u64,
    /// XXH3-64 of everything from `key` to the end of the file.
    checksum: u64,
    stamp: Stamp,
    key: Id,
    encoder: [u8; 64],
    target: Target,
    /// 1: the object has no DWARF.
    empty: u64,
    /// Position and length in bytes of each array.
    arrays: [[u64; 2]; ARRAYS],
}

const CHECKED_FROM: usize = 16 + std::mem::size_of::<Stamp>();

/// The object file that the sidecar was last found to belong to. Same stamp: no need to hash it.
/// Not part of the checked content, since equal objects have equal sidecars.
///
/// The time is that of the last change of the inode, which is no one's to choose: the time of
/// modification may stay as it was when a file is overwritten (`rsync --inplace -t`, `cp -p`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Stamp {
    size: u64,
    inode: u64,
    seconds: i64,
    nanoseconds: i64,
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

/// The same, padded, for headers of files.
pub fn encoder() -> [u8; 64] {
    let mut name = [0; 64];
    for (to, from) in name.iter_mut().zip(ENCODER_VERSION.bytes()) {
        *to = from;
    }
    name
}

/// `dir/foo.o` -> `dir/.tmp_foo.o.kbtf`: a name that `make clean` removes and git ignores.
pub fn path_of(object: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".tmp_");
    name.push(object.file_name().unwrap_or_default());
    name.push(".kbtf");
    object.with_file_name(name)
}

/// A sidecar in memory: mapped, or just made.
pub struct Sidecar<B> {
    bytes: B,
}

impl<B: AsRef<[u8]>> Sidecar<B> {
    /// Check magic, encoder, arrays, alignment and checksum. `None`: not usable, whatever the reason.
    pub fn check(bytes: B) -> Option<Sidecar<B>> {
        let sidecar = Sidecar { bytes };
        let all = sidecar.bytes.as_ref();
        let header = sidecar.header()?;
        let sound = header.magic == MAGIC
            && header.encoder == encoder()
            && header.checksum == xxh3_64(&all[CHECKED_FROM..])
            && header.arrays.iter().all(|&[start, len]| {
                start % 8 == 0
                    && start
                        .checked_add(len)
                        .is_some_and(|end| end <= all.len() as u64)
            });
        (sound && sidecar.view().is_some()).then_some(sidecar)
    }

    fn header(&self) -> Option<Header> {
        let raw = self.bytes.as_ref().get(..std::mem::size_of::<Header>())?;
        Some(bytemuck::pod_read_unaligned(raw))
    }

    pub fn key(&self) -> Id {
        self.header().map_or(Id::default(), |h| h.key)
    }

    pub fn stamp(&self) -> Stamp {
        self.header().map_or(Stamp::default(), |h| h.stamp)
    }

    /// Does the object have DWARF at all?
    pub fn is_empty(&self) -> bool {
        self.header().is_none_or(|h| h.empty != 0)
    }

    /// The content. `None` if memory is not aligned, which `check` rules out.
    pub fn view(&self) -> Option<View<'_>> {
        let header = self.header()?;
        let array = |i: usize| -> &[u8] {
            let [start, len] = header.arrays[i];
            &self.bytes.as_ref()[start as usize..(start + len) as usize]
        };
        fn cast<T: Pod>(bytes: &[u8]) -> Option<&[T]> {
            bytemuck::try_cast_slice(bytes).ok()
        }
        Some(View {
            target: header.target,
            words: cast(array(0))?,
            starts: cast(array(1))?,
            ids: cast::<Id>(array(2))?,
            strings: array(3),
            units: cast::<Unit>(array(4))?,
            functions: cast::<Function>(array(5))?,
            variables: cast::<Variable>(array(6))?,
            tags: cast::<DeclTag>(array(7))?,
            symbols: cast::<Symbol>(array(8))?,
        })
    }

    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

impl Sidecar<Vec<u8>> {
    /// The same content for another object file.
    pub fn with_stamp(mut self, stamp: Stamp) -> Self {
        self.bytes[16..CHECKED_FROM].copy_from_slice(bytemuck::bytes_of(&stamp));
        self
    }
}

/// What the head of a sidecar says of its object, without reading the rest. It may be damaged: then
/// it says something that fits no object.
pub fn stamp_and_key(path: &Path) -> Option<(Stamp, Id)> {
    let mut raw = [0; std::mem::size_of::<Header>()];
    File::open(path).ok()?.read_exact_at(&mut raw, 0).ok()?;
    let header: Header = bytemuck::pod_read_unaligned(&raw);
    let own = header.magic == MAGIC && header.encoder == encoder();
    own.then_some((header.stamp, header.key))
}

/// A sidecar that was just made. Its arrays stay where they are: they are large, and are written
/// from there.
pub struct Made {
    header: Header,
    /// `None`: an object without DWARF.
    pub encoded: Option<Encoded>,
}

impl Made {
    pub fn new(encoded: Option<Encoded>, key: Id, stamp: Stamp) -> Made {
        let mut made = Made {
            header: Header {
                magic: MAGIC,
                checksum: 0,
                stamp,
                key,
                encoder: encoder(),
                target: encoded.as_ref().map(|e| e.target).unwrap_or_default(),
                empty: u64::from(encoded.is_none()),
                arrays: [[0; 2]; ARRAYS],
            },
            encoded,
        };
        let mut arrays = [[0; 2]; ARRAYS];
        let mut end = std::mem::size_of::<Header>();
        for (array, part) in arrays.iter_mut().zip(made.arrays()) {
            *array = [end as u64, part.len() as u64];
            end += part.len().next_multiple_of(8);
        }
        made.header.arrays = arrays;
        let mut hash = Xxh3::new();
        let mut skip = CHECKED_FROM;
        for part in made.parts() {
            hash.update(&part[skip..]);
            skip = 0;
        }
        made.header.checksum = hash.digest();
        made
    }

    fn arrays(&self) -> [&[u8]; ARRAYS] {
        let Some(e) = &self.encoded else {
            return [&[]; ARRAYS];
        };
        [
            bytemuck::cast_slice(&e.words),
            bytemuck::cast_slice(&e.starts),
            bytemuck::cast_slice(&e.ids),
            &e.strings,
            bytemuck::cast_slice(&e.units),
            bytemuck::cast_slice(&e.functions),
            bytemuck::cast_slice(&e.variables),
            bytemuck::cast_slice(&e.tags),
            bytemuck::cast_slice(&e.symbols),
        ]
    }

    /// The content of the file, in parts: the header, then each array, aligned.
    pub fn parts(&self) -> Vec<&[u8]> {
        let mut parts = vec![bytemuck::bytes_of(&self.header)];
        for array in self.arrays() {
            let padding = array.len().next_multiple_of(8) - array.len();
            parts.extend([array, &[0; 8][..padding]]);
        }
        parts
    }

    pub fn key(&self) -> Id {
        self.header.key
    }

    pub fn size(&self) -> usize {
        self.parts().iter().map(|part| part.len()).sum()
    }
}

/// Note in a sidecar that was found to belong to an object which object file that is. Its time stamp
/// goes on telling when it was encoded.
pub fn restamp(path: &Path, stamp: Stamp) -> Result<()> {
    let file = File::options()
        .write(true)
        .open(path)
        .map_err(io("open", path))?;
    let encoded = file.metadata().and_then(|m| m.modified());
    file.write_all_at(bytemuck::bytes_of(&stamp), 16)
        .and_then(|()| file.set_modified(encoded?))
        .map_err(io("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Encoded, Id, Stamp) {
        let mut encoded = Encoded::new(Target::default());
        encoded.words = vec![1, 2, 3];
        encoded.starts.push(3);
        encoded.ids.push(Id { high: 1, low: 2 });
        encoded.strings = b"\0a name\0".to_vec();
        (
            encoded,
            Id { high: 3, low: 4 },
            Stamp {
                size: 5,
                ..Stamp::default()
            },
        )
    }

    fn serialised(encoded: Encoded, key: Id, stamp: Stamp) -> Vec<u8> {
        Made::new(Some(encoded), key, stamp).parts().concat()
    }

    #[test]
    fn comes_back_as_it_went() {
        let (encoded, key, stamp) = sample();
        let sidecar = Sidecar::check(serialised(encoded, key, stamp)).expect("sound");
        assert_eq!(
            (sidecar.key(), sidecar.stamp(), sidecar.is_empty()),
            (key, stamp, false)
        );
        let view = sidecar.view().expect("aligned");
        assert_eq!(
            (view.words, view.starts, view.string(1)),
            (&[1, 2, 3][..], &[0, 3][..], &b"a name"[..])
        );
    }

    #[test]
    fn another_stamp_is_no_damage() {
        let (encoded, key, stamp) = sample();
        let other = Stamp { size: 6, ..stamp };
        let sidecar = Sidecar::check(serialised(encoded, key, stamp)).expect("sound");
        let bytes = sidecar.with_stamp(other).bytes;
        assert_eq!(Sidecar::check(bytes).map(|s| s.stamp()), Some(other));
    }

    #[test]
    fn no_damaged_byte_goes_unnoticed() {
        let (encoded, key, stamp) = sample();
        let bytes = serialised(encoded, key, stamp);
        for i in (0..16).chain(CHECKED_FROM..bytes.len()) {
            let mut damaged = bytes.clone();
            damaged[i] ^= 0x10;
            assert!(Sidecar::check(damaged).is_none(), "byte {i}");
        }
        for len in 0..bytes.len() {
            assert!(
                Sidecar::check(bytes[..len].to_vec()).is_none(),
                "length {len}"
            );
        }
    }

    #[test]
    fn lies_beside_its_object() {
        assert_eq!(
            path_of(Path::new("kernel/fork.o")),
            Path::new("kernel/.tmp_fork.o.kbtf")
        );
    }
}
