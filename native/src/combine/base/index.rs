// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The index of a base: where an identity, a name or a string stands in it.
//!
//! It lies beside the base as `.tmp_<name>.btf-index`, is written by the first module that finds none,
//! and is mapped by the others. It is an accelerator, never a source of truth: it names the bytes that it
//! was made of by their hash, and one that does not fit them is made again. docs/sidecar.md
//! describes the file.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use bytemuck::{Pod, Zeroable};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::btf::{self, check, load, Space};
use crate::combine::Overrides;
use crate::object::identity;
use crate::object::{Id, Target, View};
use crate::store::container::{self, Stamp};
use crate::support::error::Result;
use crate::support::files::Mapped;
use crate::support::hash::Fast;

/// `dir/vmlinux` -> `dir/.tmp_vmlinux.btf-index`: a name that `make clean` removes and git ignores.
pub(super) fn index_path(base: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".tmp_");
    name.push(base.file_name().unwrap_or_default());
    name.push(".btf-index");
    base.with_file_name(name)
}

const KIND: [u8; 4] = *b"kbti";
const ARRAYS: usize = 5;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Own {
    /// XXH3-128 of the BTF.
    fingerprint: Id,
    address_size: u64,
}

type Header = container::Header<Own, ARRAYS>;

/// For a target: of which file the index that lies there was made, or was found to have the same BTF, and
/// the hash of that. It may be damaged.
pub(super) fn stamp_and_fingerprint(path: &Path, target: Target) -> Option<(Stamp, Id)> {
    let header = Header::of_file(KIND, path).filter(|header| is_for(header, target))?;
    Some((header.stamp(), header.own.fingerprint))
}

fn is_for(header: &Header, target: Target) -> bool {
    header.own.address_size == u64::from(target.address_size)
}

/// Open hash tables of 32-bit values, 0 for an empty slot; a value stands in the first free slot
/// from its hash on.
#[derive(Clone, Copy)]
enum Table {
    Identities = 2,
    Names = 3,
    Strings = 4,
}

/// In the table of names, beside a type's id: it is told apart from others of its name (see `refine`).
const VARIANT: u32 = 1 << 31;

/// The slots of a hash in a table of this length, from the one that is its place on.
fn slots(len: usize, hash: u64) -> impl Iterator<Item = usize> {
    let place = ((u128::from(hash) * len as u128) >> 64) as usize;
    (place..len).chain(0..place)
}

/// The values of a table that may belong to a hash.
fn probe(table: &[u32], hash: u64) -> impl Iterator<Item = u32> + '_ {
    slots(table.len(), hash)
        .map(|slot| table[slot])
        .take_while(|&value| value != 0)
}

/// A table half full: it is mapped whole by each module, so it is no larger.
fn table_for(values: &[(u64, u32)]) -> Vec<u32> {
    let mut table = vec![0; values.len() * 2 + 1];
    for &(hash, value) in values {
        let free = slots(table.len(), hash).find(|&slot| table[slot] == 0);
        table[free.unwrap_or(0)] = value;
    }
    table
}

fn hash_of_string(text: &[u8]) -> u64 {
    xxh3_64(text)
}

fn hash_of_name(space: Space, name: &[u8]) -> u64 {
    xxh3_64_with_seed(name, space as u64)
}

pub struct Index {
    store: Store,
    header: Header,
}

enum Store {
    Mapped(Mapped),
    /// As 64-bit words, so that the arrays are aligned.
    Made(Vec<u64>),
}

impl Store {
    fn bytes(&self) -> &[u8] {
        match self {
            Store::Mapped(mapped) => mapped.bytes(),
            Store::Made(words) => bytemuck::cast_slice(words),
        }
    }
}

impl Index {
    /// `None`: not there, not of these bytes, not sound.
    pub(super) fn load(path: &Path, fingerprint: Id, target: Target) -> Option<Index> {
        let store = Store::Mapped(Mapped::open_whole(path).ok()?);
        let all = store.bytes();
        let header = Header::read(KIND, all)?;
        let sound = is_for(&header, target)
            && header.own.fingerprint == fingerprint
            && header.is_sound(all);
        let index = sound.then_some(Index { store, header })?;
        index.has_sound_arrays().then_some(index)
    }

    /// Do the arrays fit each other? What stands in them is not looked at.
    fn has_sound_arrays(&self) -> bool {
        let len = |i: usize| self.header.array(self.store.bytes(), i).len();
        let types = len(1) / size_of::<Id>();
        let are_words = [0, 2, 3, 4].iter().all(|&i| len(i).is_multiple_of(4));
        are_words
            && len(1).is_multiple_of(size_of::<Id>())
            && len(0) / 4 == types + 1
            && [2, 3, 4].iter().all(|&i| len(i) != 0)
    }

    /// Is it of so many words of types?
    pub(super) fn ends_at(&self, words: usize) -> bool {
        self.starts().last().map(|&end| end as usize) == Some(words)
    }

    fn array<T: Pod>(&self, i: usize) -> &[T] {
        bytemuck::cast_slice(self.header.array(self.store.bytes(), i))
    }

    /// Where each type's words start; the end of the last one follows.
    pub(super) fn starts(&self) -> &[u32] {
        self.array(0)
    }

    pub(super) fn ids(&self) -> &[Id] {
        self.array(1)
    }

    fn table(&self, which: Table) -> &[u32] {
        self.array(which as usize)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.store.bytes()
    }

    /// A type by its identity.
    pub fn find(&self, id: Id) -> Option<u32> {
        let ids = self.ids();
        probe(self.table(Table::Identities), id.low).find(|&i| ids[i as usize - 1] == id)
    }

    /// The identity of a type.
    pub fn identity(&self, id: u32) -> Id {
        self.ids()[id as usize - 1]
    }

    /// Offsets of strings with the hash of this one.
    pub(super) fn strings(&self, text: &[u8]) -> impl Iterator<Item = u32> + '_ {
        probe(self.table(Table::Strings), hash_of_string(text))
    }

    /// Nominal types of names with the hash of this one, and whether each is told apart from others of
    /// its name (see `refine`).
    pub(super) fn names(
        &self,
        space: Space,
        name: &[u8],
    ) -> impl Iterator<Item = (u32, bool)> + '_ {
        let marked = probe(self.table(Table::Names), hash_of_name(space, name));
        marked.map(|marked| (marked & !VARIANT, marked & VARIANT != 0))
    }

    /// Check the BTF, and index it. `variants` gives the identities of types that are told apart.
    pub(super) fn make(
        raw: &[u8],
        stamp: Stamp,
        target: Target,
        variants: impl FnOnce(&View<'_>) -> Result<Overrides>,
    ) -> Result<Index> {
        let mut encoded = load::parse(raw, target)?;
        identity::of_types(&mut encoded)?;
        check::long_is(&encoded.view(), target.address_size)?;
        let variants = variants(&encoded.view())?;
        for (&local, &id) in &variants {
            encoded.ids[local as usize - 1] = id;
        }
        let view = encoded.view();
        // Of types that say the same, all the way down, only the first: dedup of other encoders may
        // leave such.
        let mut seen: HashSet<Id, Fast> = HashSet::default();
        let firsts: Vec<u32> = (1..)
            .zip(view.ids)
            .filter(|(_, id)| seen.insert(**id))
            .map(|(i, _)| i)
            .collect();
        let names: Vec<_> = firsts
            .iter()
            .filter_map(|&i| {
                let words = view.type_words(i);
                let (space, _) = btf::nominal(words)?;
                let mark = if variants.contains_key(&i) {
                    VARIANT
                } else {
                    0
                };
                Some((hash_of_name(space, view.string(words[0])), i | mark))
            })
            .collect();
        let identities: Vec<_> = firsts
            .iter()
            .map(|&i| (view.ids[i as usize - 1].low, i))
            .collect();
        let strings: Vec<_> = offsets(view.strings)
            .map(|at| (hash_of_string(view.string(at)), at))
            .collect();
        let tables = [&identities, &names, &strings].map(|values| table_for(values));
        let parts: [&[u8]; ARRAYS] = [
            bytemuck::cast_slice(view.starts),
            bytemuck::cast_slice(view.ids),
            bytemuck::cast_slice(&tables[0]),
            bytemuck::cast_slice(&tables[1]),
            bytemuck::cast_slice(&tables[2]),
        ];
        let own = Own {
            fingerprint: Id::of(raw),
            address_size: u64::from(target.address_size),
        };
        let header = Header::new(KIND, stamp, own, &parts);
        let start = header.bytes();
        let parts = || std::iter::once(start.as_slice()).chain(container::padded(parts));
        let mut words = vec![0u64; parts().map(<[u8]>::len).sum::<usize>() / 8];
        let mut out: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        for part in parts() {
            let (own, rest) = out.split_at_mut(part.len());
            own.copy_from_slice(part);
            out = rest;
        }
        Ok(Index {
            store: Store::Made(words),
            header,
        })
    }
}

/// Offsets of the strings, without the empty one.
fn offsets(strings: &[u8]) -> impl Iterator<Item = u32> + '_ {
    let mut at = 0;
    strings
        .split(|&b| b == 0)
        .map(move |text| {
            let here = at;
            at += text.len() as u32 + 1;
            (here, text.len())
        })
        .filter(|&(_, len)| len != 0)
        .map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::btf::Kind;
    use crate::object::sample::{declared, int, of, raw, raw_with, structure, A, B, S, STRINGS};

    fn target() -> Target {
        Target {
            address_size: 8,
            ..Target::default()
        }
    }

    fn made(raw: &[u8], variants: &[(u32, Id)]) -> Result<Index> {
        let variants = variants.iter().copied().collect();
        Index::make(raw, Stamp::default(), target(), |_| Ok(variants))
    }

    #[test]
    fn each_identity_and_each_string_is_found() {
        let types: Vec<Vec<u32>> = (0..200)
            .map(|i| match i {
                0 => int(),
                i => of(Kind::Ptr, 0, i),
            })
            .collect();
        let index = made(&raw(&types), &[]).expect("sound");
        for id in 1..=200 {
            assert_eq!(index.find(index.identity(id)), Some(id));
        }
        assert_eq!(index.find(Id::of(b"no type")), None);
        for at in offsets(STRINGS) {
            let text = crate::object::text_at(STRINGS, at);
            assert!(index.strings(text).any(|found| found == at));
        }
    }

    #[test]
    fn a_name_has_its_definitions_and_declarations_and_whether_they_are_variants() {
        let types = [
            int(),
            structure(S, &[(A, 1)]),
            structure(S, &[(B, 1)]),
            declared(A),
        ];
        let index = made(&raw(&types), &[(3, Id::of(b"variant"))]).expect("sound");
        // Those of other names may be among them.
        let found = |name| index.names(Space::Struct, name).collect::<Vec<_>>();
        assert!(found(b"s").contains(&(2, false)) && found(b"s").contains(&(3, true)));
        assert!(found(b"a").contains(&(4, false)));
        assert_eq!(index.find(Id::of(b"variant")), Some(3));
    }

    #[test]
    fn of_equal_types_only_the_first_is_found() {
        let index = made(
            &raw(&[int(), of(Kind::Ptr, 0, 1), of(Kind::Ptr, 0, 1)]),
            &[],
        )
        .expect("sound");
        assert_eq!(index.identity(2), index.identity(3));
        assert_eq!(index.find(index.identity(3)), Some(2));
        let twice = structure(S, &[(A, 1)]);
        let index = made(&raw(&[int(), twice.clone(), twice]), &[]).expect("sound");
        let found: Vec<_> = index.names(Space::Struct, b"s").collect();
        assert_eq!(found, [(2, false)]);
    }

    #[test]
    fn what_the_kernel_would_refuse_is_no_base() {
        assert!(made(&raw(&[of(Kind::Ptr, 0, 2)]), &[]).is_err());
        let narrow = vec![1, crate::btf::info(Kind::Int, 0, false), 4, 32];
        assert!(made(&raw_with(b"\0long\0", &[narrow]), &[]).is_err());
    }
}
