// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The sidecar file: what encode made of one object, ready to be mapped. docs/sidecar.md describes
//! the format.
//!
//! A sidecar is an accelerator, never a source of truth: whatever is wrong with it, the answer is
//! to encode the object again.

use std::path::{Path, PathBuf};

use bytemuck::{Pod, Zeroable};

use crate::object::sites::Site;
use crate::object::sound;
use crate::object::{DeclTag, Encoded, Function, Id, Symbol, Target, Unit, Variable, View};
use crate::store::container::{self, Stamp};

const KIND: [u8; 4] = *b"kbtf";

/// Number of arrays of a `View`.
const ARRAYS: usize = 11;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Own {
    key: Id,
    target: Target,
    /// 1: the object has no DWARF.
    empty: u64,
    /// 1: it says where functions were inlined.
    sites: u64,
}

type Header = container::Header<Own, ARRAYS>;

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
    /// `None`: not usable, whatever the reason.
    pub fn check(bytes: B) -> Option<Sidecar<B>> {
        let sidecar = Sidecar { bytes };
        if !sidecar.header()?.is_sound(sidecar.bytes()) {
            return None;
        }
        let view = sidecar.view()?;
        (sidecar.is_empty() || sound::has_sound_arrays(&view)).then_some(sidecar)
    }

    fn header(&self) -> Option<Header> {
        Header::read(KIND, self.bytes())
    }

    pub fn key(&self) -> Id {
        self.header().map_or(Id::default(), |h| h.own.key)
    }

    pub fn stamp(&self) -> Stamp {
        self.header().map_or(Stamp::default(), |h| h.stamp())
    }

    /// Is all in it that is asked for? `sites`: where functions were inlined.
    pub fn serves(&self, sites: bool) -> bool {
        !sites || self.header().is_some_and(|h| h.own.sites != 0)
    }

    /// Does the object have DWARF at all?
    pub fn is_empty(&self) -> bool {
        self.header().is_none_or(|h| h.own.empty != 0)
    }

    /// The content. `None` if memory is not aligned, which `check` rules out.
    pub fn view(&self) -> Option<View<'_>> {
        let header = self.header()?;
        let array = |i: usize| header.array(self.bytes(), i);
        fn cast<T: Pod>(bytes: &[u8]) -> Option<&[T]> {
            bytemuck::try_cast_slice(bytes).ok()
        }
        Some(View {
            target: header.own.target,
            words: cast(array(0))?,
            starts: cast(array(1))?,
            ids: cast::<Id>(array(2))?,
            strings: array(3),
            units: cast::<Unit>(array(4))?,
            functions: cast::<Function>(array(5))?,
            variables: cast::<Variable>(array(6))?,
            tags: cast::<DeclTag>(array(7))?,
            symbols: cast::<Symbol>(array(8))?,
            sites: match header.own.sites {
                0 => None,
                _ => Some(cast::<Site>(array(9))?),
            },
            places: cast(array(10))?,
        })
    }

    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

impl Sidecar<Vec<u8>> {
    /// The same content for another object file.
    pub fn with_stamp(mut self, stamp: Stamp) -> Self {
        container::stamp_bytes(&mut self.bytes, stamp);
        self
    }
}

/// What the head of a sidecar says of its object, without reading the rest. It may be damaged: then
/// it says something that fits no object.
pub fn stamp_and_key(path: &Path) -> Option<(Stamp, Id)> {
    let header = Header::of_file(KIND, path)?;
    Some((header.stamp(), header.own.key))
}

/// A sidecar that was just made. Its arrays stay where they are: they are large, and are written
/// from there.
pub struct Made {
    key: Id,
    header: Vec<u8>,
    /// `None`: an object without DWARF.
    pub encoded: Option<Encoded>,
}

impl Made {
    pub fn new(encoded: Option<Encoded>, key: Id, stamp: Stamp) -> Made {
        let own = Own {
            key,
            target: encoded.as_ref().map(|e| e.target).unwrap_or_default(),
            empty: u64::from(encoded.is_none()),
            sites: u64::from(encoded.as_ref().is_none_or(|e| e.sites.is_some())),
        };
        let header = Header::new(KIND, stamp, own, &arrays(encoded.as_ref())).bytes();
        Made {
            key,
            header,
            encoded,
        }
    }

    /// The content of the file, in parts: the header, then each array, aligned.
    pub fn parts(&self) -> Vec<&[u8]> {
        let arrays = arrays(self.encoded.as_ref());
        let mut parts = vec![self.header.as_slice()];
        parts.extend(container::padded(arrays));
        parts
    }

    pub fn key(&self) -> Id {
        self.key
    }

    pub fn size(&self) -> usize {
        self.parts().iter().map(|part| part.len()).sum()
    }
}

fn arrays(encoded: Option<&Encoded>) -> [&[u8]; ARRAYS] {
    let Some(e) = encoded else {
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
        bytemuck::cast_slice(e.sites.as_deref().unwrap_or_default()),
        bytemuck::cast_slice(&e.places),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPEDEF: [u32; 3] = [1, 8 << 24, 0];

    fn sample() -> (Encoded, Id, Stamp) {
        let mut encoded = Encoded::new(Target::default());
        encoded.words = TYPEDEF.to_vec();
        encoded.starts.push(3);
        encoded.ids.push(Id { high: 1, low: 2 });
        encoded.units.push(Unit {
            types_end: 1,
            protos_end: 1,
            ..Unit::default()
        });
        encoded.strings = b"\0a name\0".to_vec();
        encoded.units = vec![Unit {
            types_end: 1,
            protos_end: 1,
            ..Unit::default()
        }];
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
            (&TYPEDEF[..], &[0, 3][..], &b"a name"[..])
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
    fn lies_beside_its_object() {
        assert_eq!(
            path_of(Path::new("kernel/fork.o")),
            Path::new("kernel/.tmp_fork.o.kbtf")
        );
    }
}
