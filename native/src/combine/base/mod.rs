// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The base of a split BTF: vmlinux's BTF, which every module's refers to.
//!
//! It has tens of thousands of types, of which a module meets a few hundred. So what a module asks
//! of it (a type by identity, a name, a string) is answered from an **index**, which lies beside
//! the base as `.tmp_<name>.btf-index`, is written by the first module that finds none, and is
//! mapped by the others. It is an accelerator, never a source of truth: it names the bytes that it
//! was made of by their hash, and one that does not fit them is made again. docs/sidecar.md
//! describes the file.

pub mod trim;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytemuck::{Pod, Zeroable};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::btf::check::{self, BaseTypes};
use crate::btf::{self, for_each_target, load, read, Field};
use crate::combine::graph::Graph;
use crate::combine::leaf::{is_leaf, make_leaf};
use crate::combine::{refine, Combiner, Overrides, Wanted};
use crate::elf::Elf;
use crate::object::identity::{self, Space};
use crate::object::numbering::Class;
use crate::object::{text_at, Encoded, Id, Target, Unit, View};
use crate::store::sidecar::{self, Stamp};
use crate::support::error::{io, Error, Result};
use crate::support::files::{self, Mapped};
use crate::support::hash::Fast;

pub struct Base {
    path: PathBuf,
    file: Bytes,
    /// The words in host order, where those of the file cannot be used as they are.
    converted: Option<Vec<u32>>,
    types: Range<usize>,
    strings: Range<usize>,
    index: Index,
}

enum Bytes {
    Mapped(Mapped),
    Read(Vec<u8>),
}

impl Bytes {
    /// A file that cannot be mapped is read: `/sys/kernel/btf/vmlinux` before Linux 6.16.
    fn open(path: &Path, map: fn(&Path) -> Result<Mapped>) -> Result<Bytes> {
        match map(path) {
            Ok(mapped) => Ok(Bytes::Mapped(mapped)),
            Err(cause) if path.is_file() => match std::fs::read(path) {
                Ok(bytes) => Ok(Bytes::Read(bytes)),
                Err(_) => Err(cause),
            },
            Err(cause) => Err(cause),
        }
    }

    fn get(&self) -> &[u8] {
        match self {
            Bytes::Mapped(mapped) => mapped.bytes(),
            Bytes::Read(bytes) => bytes,
        }
    }
}

impl Base {
    /// Open an ELF with `.BTF`, or raw BTF, as the base of a file for this target.
    pub fn open(path: &Path, target: Target) -> Result<Base> {
        let stamp = stamp_of(path)?;
        let fingerprint = fingerprint(path, target)?;
        let file = Bytes::open(path, Mapped::open_scattered)?;
        let raw = raw_btf(path, &file, target)?;
        let of = || Base::of(path, file, raw, stamp, fingerprint, target);
        of().map_err(|e| e.at(path.display()))
    }

    fn of(
        path: &Path,
        file: Bytes,
        raw: Range<usize>,
        stamp: Stamp,
        fingerprint: Id,
        target: Target,
    ) -> Result<Base> {
        let bytes = &file.get()[raw];
        let parts = read::parts(bytes)?;
        if parts.big != (target.big_endian != 0) {
            return Err(another_architecture());
        }
        let within = |part: &[u8]| {
            let start = part.as_ptr() as usize - file.get().as_ptr() as usize;
            start..start + part.len()
        };
        let (types, strings) = (within(parts.types), within(parts.strings));
        let in_place = parts.big == cfg!(target_endian = "big")
            && bytemuck::try_cast_slice::<u8, u32>(parts.types).is_ok();
        let beside = index_path(path);
        let index = match Index::load(&beside, fingerprint, target) {
            Some(index) => index,
            None => {
                let index = Index::make(bytes, stamp, target)?;
                // A directory that cannot be written is no reason to fail.
                let _ = files::write_atomically(&beside, index.store.bytes());
                index
            }
        };
        let converted = (!in_place).then(|| read::words(&parts).0);
        Ok(Base {
            path: path.to_owned(),
            converted,
            types,
            strings,
            index,
            file,
        })
    }

    /// Number of types, without void.
    pub fn count(&self) -> u32 {
        self.index.ids().len() as u32
    }

    pub fn strings(&self) -> &[u8] {
        &self.file.get()[self.strings.clone()]
    }

    pub fn types(&self) -> BaseTypes<'_> {
        let words = match &self.converted {
            Some(words) => words,
            None => bytemuck::cast_slice(&self.file.get()[self.types.clone()]),
        };
        BaseTypes {
            words,
            starts: self.index.starts(),
            strings: self.strings(),
        }
    }

    pub fn type_words(&self, id: u32) -> &[u32] {
        self.types().type_words(id)
    }

    /// Offset of a string.
    pub fn find_string(&self, text: &[u8]) -> Option<u32> {
        let strings = self.strings();
        probe(self.index.table(Table::Strings), hash_of_string(text))
            .find(|&at| text_at(strings, at) == text)
    }

    /// A type by its identity.
    pub fn find(&self, id: Id) -> Option<u32> {
        let ids = self.index.ids();
        probe(self.index.table(Table::Identities), id.low).find(|&i| ids[i as usize - 1] == id)
    }

    /// The identity of a type.
    pub fn identity(&self, id: u32) -> Id {
        self.index.ids()[id as usize - 1]
    }

    pub fn defines(&self, id: u32) -> bool {
        matches!(identity::nominal(self.type_words(id)), Some((_, false)))
    }

    /// The definitions and declarations of a name.
    pub fn of_name<'b>(&'b self, space: Space, name: &'b [u8]) -> impl Iterator<Item = u32> + 'b {
        let marked = probe(self.index.table(Table::Names), hash_of_name(space, name));
        let types = self.types();
        marked.map(|marked| marked & !VARIANT).filter(move |&id| {
            let words = types.type_words(id);
            identity::nominal(words).is_some_and(|(own, _)| own == space)
                && text_at(types.strings, words[0]) == name
        })
    }

    /// Is this nominal type another than the default of its name, or does it lead to one?
    fn is_variant(&self, id: u32) -> bool {
        let words = self.type_words(id);
        let named = identity::nominal(words)
            .map(|(space, _)| hash_of_name(space, text_at(self.strings(), words[0])));
        named.is_some_and(|hash| {
            probe(self.index.table(Table::Names), hash).any(|marked| marked == id | VARIANT)
        })
    }

    /// Bring in the types that what is combined so far can meet.
    pub fn join(&self, combiner: &mut Combiner<'_>) -> Result<()> {
        let part = self.part(combiner)?;
        combiner.add_base(&part.view(), &part.base_ids, |id| self.is_variant(id))
    }

    fn part(&self, combiner: &Combiner<'_>) -> Result<Part<'_>> {
        self.check_kernel(combiner)?;
        let mut met: HashMap<u32, Met, Fast> = HashMap::default();
        let mut queue = Vec::new();
        for class in combiner.numbers() {
            let facts = combiner.facts(class);
            if facts.dead {
                continue;
            }
            let words = combiner.class_words(class);
            if let Some(id) = self.find(facts.id) {
                if is_leaf(words) {
                    met.insert(id, Met::Leaf);
                } else {
                    met.insert(id, Met::Whole);
                    queue.push(id);
                }
            }
            if let Some((space, _)) = identity::nominal(words) {
                for id in self.of_name(space, combiner.strings.get(words[0])) {
                    met.entry(id).or_insert(Met::Named);
                }
            }
        }
        let types = self.types();
        while let Some(id) = queue.pop() {
            for_each_target(types.type_words(id), |target| {
                let Entry::Vacant(new) = met.entry(target) else {
                    return;
                };
                if identity::nominal(types.type_words(target)).is_some() {
                    new.insert(Met::Named);
                } else {
                    new.insert(Met::Whole);
                    queue.push(target);
                }
            });
        }
        let target = combiner.target.unwrap_or_default();
        Ok(Part::new(self, target, &met))
    }

    /// Refuse the base of another kernel, as far as types tell: every module has a `struct module`,
    /// which differs between versions and configurations.
    fn check_kernel(&self, combiner: &Combiner<'_>) -> Result<()> {
        const NAME: &[u8] = b"module";
        let defines = |words: &[u32]| identity::nominal(words) == Some((Space::Struct, false));
        let shape = |words: &[u32], strings: &[u8]| -> Vec<Vec<u8>> {
            let member = |m: &[u32]| [text_at(strings, m[0]), &m[2].to_le_bytes()].concat();
            let size = words[2].to_le_bytes().to_vec();
            std::iter::once(size)
                .chain(words[3..].chunks_exact(3).map(member))
                .collect()
        };
        let known: Vec<_> = self
            .of_name(Space::Struct, NAME)
            .map(|id| self.type_words(id))
            .filter(|words| defines(words))
            .map(|words| shape(words, self.strings()))
            .collect();
        let Some(name) = combiner.strings.find(NAME) else {
            return Ok(());
        };
        let mut own = combiner
            .numbers()
            .map(|class| combiner.class_words(class))
            .filter(|words| words[0] == name && defines(words) && !is_leaf(words))
            .map(|words| shape(words, &combiner.strings.bytes))
            .peekable();
        if known.is_empty() || own.peek().is_none() || own.any(|own| known.contains(&own)) {
            return Ok(());
        }
        Err(
            Error::new("BTF of another kernel: its struct module is not the module's")
                .at(self.path.display())
                .hint("give the vmlinux that the module was compiled for, or make both again"),
        )
    }
}

/// The raw BTF of such a file.
pub fn raw(path: &Path, target: Target) -> Result<Vec<u8>> {
    let file = Bytes::open(path, Mapped::open)?;
    let range = raw_btf(path, &file, target)?;
    Ok(file.get()[range].to_vec())
}

fn another_architecture() -> Error {
    Error::new("BTF of another architecture").hint("give the vmlinux that the module is for")
}

/// Hash of the BTF of a base. Where the index beside it was made of this very file, it says so, and
/// the BTF need not be read.
pub fn fingerprint(path: &Path, target: Target) -> Result<Id> {
    let (stamp, beside) = (stamp_of(path)?, index_path(path));
    let known = Header::read(&beside).filter(|header| header.is_for(target));
    if let Some(header) = known.filter(|header| header.stamp == stamp) {
        return Ok(header.fingerprint);
    }
    let file = Bytes::open(path, Mapped::open)?;
    let fingerprint = Id::of(&file.get()[raw_btf(path, &file, target)?]);
    if known.is_some_and(|header| header.fingerprint == fingerprint) {
        // Linked again, with the same types. If it cannot be noted, the next one hashes again.
        let _ = sidecar::restamp(&beside, stamp);
    }
    Ok(fingerprint)
}

fn stamp_of(path: &Path) -> Result<Stamp> {
    let meta = std::fs::metadata(path).map_err(io("open", path))?;
    Ok(Stamp::of(&meta))
}

/// Where the BTF lies in the file.
fn raw_btf(path: &Path, file: &Bytes, target: Target) -> Result<Range<usize>> {
    let Bytes::Mapped(mapped) = file else {
        return Ok(0..file.get().len());
    };
    if !mapped.bytes().starts_with(b"\x7fELF") {
        return Ok(0..mapped.bytes().len());
    }
    let elf = Elf::parse(mapped)?;
    if u32::from(elf.machine()) != target.machine {
        return Err(another_architecture().at(path.display()));
    }
    elf.range_of(".BTF").ok_or_else(|| {
        Error::new("no .BTF section")
            .at(path.display())
            .hint("give a vmlinux with BTF, or raw BTF such as /sys/kernel/btf/vmlinux")
    })
}

/// `dir/vmlinux` -> `dir/.tmp_vmlinux.btf-index`: a name that `make clean` removes and git ignores.
fn index_path(base: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".tmp_");
    name.push(base.file_name().unwrap_or_default());
    name.push(".btf-index");
    base.with_file_name(name)
}

/// Types of the base as one object: those that some object has, too, and what these refer to. A
/// named type that no object has in this form, or of which they have left only that, is a **leaf**:
/// it is there for its name, with one member that no type of C has instead of its own.
pub struct Part<'b> {
    encoded: Encoded,
    strings: &'b [u8],
    /// Ids in the base, ascending; position i is local id i + 1.
    pub base_ids: Vec<u32>,
}

/// How a type of the base is met.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Met {
    Named,
    /// By its identity, of which objects have left nothing but the name.
    Leaf,
    Whole,
}

impl<'b> Part<'b> {
    fn new(base: &'b Base, target: Target, met: &HashMap<u32, Met, Fast>) -> Part<'b> {
        let mut base_ids: Vec<u32> = met.keys().copied().collect();
        base_ids.sort_unstable();
        let local = |id: u32| base_ids.binary_search(&id).map_or(0, |i| i as u32 + 1);
        let mut encoded = Encoded::new(target);
        let (types, ids) = (base.types(), base.index.ids());
        for &id in &base_ids {
            let source = types.type_words(id);
            let mut identity = ids[id as usize - 1];
            let at = encoded.words.len();
            encoded.words.extend_from_slice(source);
            if met[&id] == Met::Whole {
                if let Some(kind) = identity::kind_of(source) {
                    btf::for_each_field(kind, source, |i, field| {
                        if field == Field::Type {
                            encoded.words[at + i] = local(source[i]);
                        }
                    });
                }
            } else if base.defines(id) {
                make_leaf(&mut encoded.words, at, id);
                if met[&id] == Met::Named {
                    identity = Id::of(bytemuck::cast_slice(&encoded.words[at..]));
                }
            }
            encoded.ids.push(identity);
            encoded.starts.push(encoded.words.len() as u32);
        }
        let count = base_ids.len() as u32;
        encoded.units.push(Unit {
            types_end: count,
            protos_end: count,
            ..Unit::default()
        });
        Part {
            encoded,
            strings: base.strings(),
            base_ids,
        }
    }

    pub fn view(&self) -> View<'_> {
        View {
            strings: self.strings,
            ..self.encoded.view()
        }
    }
}

/// Also tells the byte order: a machine of the other one reads another number.
const MAGIC: u64 = u64::from_ne_bytes(*b"kbti\r\n\x1a\x01");

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Header {
    magic: u64,
    /// XXH3-64 of everything behind the stamp.
    checksum: u64,
    /// The file that it was made of, or that was found to have the same BTF.
    stamp: Stamp,
    /// XXH3-128 of the BTF.
    fingerprint: Id,
    /// Identities are what this version of the encoder makes of the types.
    encoder: [u8; 64],
    address_size: u64,
    /// Position and length in bytes of each array.
    arrays: [[u64; 2]; ARRAYS],
}

const ARRAYS: usize = 5;
/// As in a sidecar.
const CHECKED_FROM: usize = 16 + std::mem::size_of::<Stamp>();

impl Header {
    /// Of the file, if it is one. What it says may be damaged.
    fn read(path: &Path) -> Option<Header> {
        let mut raw = [0; std::mem::size_of::<Header>()];
        std::fs::File::open(path).ok()?.read_exact(&mut raw).ok()?;
        Some(bytemuck::pod_read_unaligned(&raw))
    }

    fn is_for(&self, target: Target) -> bool {
        self.magic == MAGIC
            && self.encoder == sidecar::encoder()
            && self.address_size == u64::from(target.address_size)
    }
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

struct Index {
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
    fn load(path: &Path, fingerprint: Id, target: Target) -> Option<Index> {
        let store = Store::Mapped(Mapped::open_whole(path).ok()?);
        let all = store.bytes();
        let raw = all.get(..std::mem::size_of::<Header>())?;
        let header: Header = bytemuck::pod_read_unaligned(raw);
        let sound = header.is_for(target)
            && header.fingerprint == fingerprint
            && header.checksum == xxh3_64(&all[CHECKED_FROM..])
            && header.arrays.iter().all(|&[start, len]| {
                start % 8 == 0
                    && start
                        .checked_add(len)
                        .is_some_and(|end| end <= all.len() as u64)
            });
        sound.then_some(Index { store, header })
    }

    fn array<T: Pod>(&self, i: usize) -> &[T] {
        let [start, len] = self.header.arrays[i];
        bytemuck::cast_slice(&self.store.bytes()[start as usize..(start + len) as usize])
    }

    /// Where each type's words start; the end of the last one follows.
    fn starts(&self) -> &[u32] {
        self.array(0)
    }

    fn ids(&self) -> &[Id] {
        self.array(1)
    }

    fn table(&self, which: Table) -> &[u32] {
        self.array(which as usize)
    }

    /// Check the BTF, and index it.
    fn make(raw: &[u8], stamp: Stamp, target: Target) -> Result<Index> {
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
                let (space, _) = identity::nominal(words)?;
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
        let mut header = Header {
            magic: MAGIC,
            checksum: 0,
            stamp,
            fingerprint: Id::of(raw),
            encoder: sidecar::encoder(),
            address_size: u64::from(target.address_size),
            arrays: [[0; 2]; ARRAYS],
        };
        let mut end = std::mem::size_of::<Header>();
        for (array, part) in header.arrays.iter_mut().zip(parts) {
            *array = [end as u64, part.len() as u64];
            end += part.len().next_multiple_of(8);
        }
        let mut words = vec![0u64; end / 8];
        let out: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        for (&[start, _], part) in header.arrays.iter().zip(parts) {
            out[start as usize..start as usize + part.len()].copy_from_slice(part);
        }
        let size = std::mem::size_of::<Header>();
        out[..size].copy_from_slice(bytemuck::bytes_of(&header));
        header.checksum = xxh3_64(&out[CHECKED_FROM..]);
        out[..size].copy_from_slice(bytemuck::bytes_of(&header));
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

/// The identities of the types that lead to another definition of a name than the default, which
/// here is the one that most types lead to.
fn variants(view: &View<'_>) -> Result<Overrides> {
    let wanted = Wanted {
        variable: &|_, _| false,
        excluded_languages: &[],
    };
    let mut combiner = Combiner::new(&wanted);
    combiner.add(0, view, None)?;
    let several = combiner.definitions();
    let several = several.names().filter(|all| all.len() > 1).flatten();
    let several: HashSet<Class, Fast> = several.map(|&(_, class)| class).collect();
    if several.is_empty() {
        return Ok(Overrides::new());
    }
    let users = Graph::new(view.type_count(), |local, visit| {
        for_each_target(view.type_words(local), visit);
    })
    .reversed();
    for (local, &id) in (1..).zip(view.ids) {
        let class = combiner.find(id).filter(|class| several.contains(class));
        if let Some(class) = class {
            let leading = users.reach(vec![local]).into_iter().filter(|&leads| leads);
            combiner.classes[class as usize - 1].holders = leading.count() as u32;
        }
    }
    let refined = refine::refine(&mut combiner, &mut vec![(0, *view)], None)?;
    let only = refined.overrides.into_iter().next();
    Ok(only.map(|(_, overrides)| overrides).unwrap_or_default())
}
