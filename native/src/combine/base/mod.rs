// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The base of a split BTF: vmlinux's BTF, which every module's refers to.
//!
//! It has tens of thousands of types, of which a module meets a few hundred. So what a module asks
//! of it (a type by identity, a name, a string) is answered from an **index**; what it meets becomes a
//! **part**, one more object of the link; and its own objects are **trimmed** to what the base has not.

pub mod index;
mod part;
pub mod trim;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use self::index::{index_path, stamp_and_fingerprint, Index};
use self::part::{Met, Part};
use crate::btf::check::BaseTypes;
use crate::btf::{self, for_each_target, read, Space};
use crate::combine::graph::Graph;
use crate::combine::leaf::is_leaf;
use crate::combine::{refine, Combiner, Overrides, Wanted};
use crate::elf::Elf;
use crate::object::numbering::Class;
use crate::object::{text_at, Id, Target, View};
use crate::store::container::{restamp, Stamp, CHECKED_FROM};
use crate::support::error::{io, Error, Result};
use crate::support::files::{self, Mapped};
use crate::support::hash::Fast;

pub struct Base {
    path: PathBuf,
    file: Mapped,
    /// The words in host order, where those of the file cannot be used as they are.
    converted: Option<Vec<u32>>,
    types: Range<usize>,
    strings: Range<usize>,
    pub index: Index,
}

/// A file that cannot be mapped is read: `/sys/kernel/btf/vmlinux` before Linux 6.16.
fn open(path: &Path, map: fn(&Path) -> Result<Mapped>) -> Result<Mapped> {
    map(path).or_else(|cause| Mapped::read(path).map_err(|_| cause))
}

/// Remove the index beside a base if it is another than the one that is made now. Returned: it was
/// removed.
pub fn forget_unsound_index(path: &Path, target: Target) -> Result<bool> {
    let beside = index_path(path);
    let Some(known) = Index::load(&beside, fingerprint(path, target)?, target) else {
        return Ok(false);
    };
    let file = open(path, Mapped::open)?;
    let raw = raw_btf(path, &file, target)?;
    let made = Index::make(&file.bytes()[raw], Stamp::default(), target, variants)?;
    let is_same = known.bytes().get(CHECKED_FROM..) == made.bytes().get(CHECKED_FROM..);
    Ok(!is_same && std::fs::remove_file(&beside).is_ok())
}

impl Base {
    /// Open an ELF with `.BTF`, or raw BTF, as the base of a file for this target.
    pub fn open(path: &Path, target: Target) -> Result<Base> {
        let stamp = stamp_of(path)?;
        let fingerprint = fingerprint(path, target)?;
        let file = open(path, Mapped::open_scattered)?;
        let raw = raw_btf(path, &file, target)?;
        let of = || Base::of(path, file, raw, stamp, fingerprint, target);
        of().map_err(|e| e.at(path.display()))
    }

    fn of(
        path: &Path,
        file: Mapped,
        raw: Range<usize>,
        stamp: Stamp,
        fingerprint: Id,
        target: Target,
    ) -> Result<Base> {
        let bytes = &file.bytes()[raw];
        let parts = read::parts(bytes)?;
        if parts.big != (target.big_endian != 0) {
            return Err(another_architecture());
        }
        let within = |part: &[u8]| {
            let start = part.as_ptr() as usize - file.bytes().as_ptr() as usize;
            start..start + part.len()
        };
        let (types, strings) = (within(parts.types), within(parts.strings));
        let in_place = parts.big == cfg!(target_endian = "big")
            && bytemuck::try_cast_slice::<u8, u32>(parts.types).is_ok();
        let beside = index_path(path);
        let known = Index::load(&beside, fingerprint, target);
        let words = parts.types.len() / 4;
        let index = match known.filter(|index| index.ends_at(words)) {
            Some(index) => index,
            None => {
                let index = Index::make(bytes, stamp, target, variants)?;
                // A directory that cannot be written is no reason to fail.
                let _ = files::write_atomically(&beside, index.bytes());
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
        &self.file.bytes()[self.strings.clone()]
    }

    pub fn types(&self) -> BaseTypes<'_> {
        let words = match &self.converted {
            Some(words) => words,
            None => bytemuck::cast_slice(&self.file.bytes()[self.types.clone()]),
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
        let mut marked = self.index.strings(text);
        marked.find(|&at| text_at(strings, at) == text)
    }

    pub fn defines(&self, id: u32) -> bool {
        matches!(btf::nominal(self.type_words(id)), Some((_, false)))
    }

    /// The definitions and declarations of a name.
    pub fn of_name<'b>(&'b self, space: Space, name: &'b [u8]) -> impl Iterator<Item = u32> + 'b {
        let types = self.types();
        self.index
            .names(space, name)
            .map(|(id, _)| id)
            .filter(move |&id| {
                let words = types.type_words(id);
                btf::nominal(words).is_some_and(|(own, _)| own == space)
                    && text_at(types.strings, words[0]) == name
            })
    }

    /// Is this nominal type another than the default of its name, or does it lead to one?
    fn is_variant(&self, id: u32) -> bool {
        let words = self.type_words(id);
        let name = text_at(self.strings(), words[0]);
        btf::nominal(words).is_some_and(|(space, _)| {
            self.index
                .names(space, name)
                .any(|found| found == (id, true))
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
            if let Some(id) = self.index.find(facts.id) {
                if is_leaf(words) {
                    met.insert(id, Met::Leaf);
                } else {
                    met.insert(id, Met::Whole);
                    queue.push(id);
                }
            }
            if let Some((space, _)) = btf::nominal(words) {
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
                if btf::nominal(types.type_words(target)).is_some() {
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
        let defines = |words: &[u32]| btf::nominal(words) == Some((Space::Struct, false));
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
    let file = open(path, Mapped::open)?;
    let range = raw_btf(path, &file, target)?;
    Ok(file.bytes()[range].to_vec())
}

fn another_architecture() -> Error {
    Error::new("BTF of another architecture").hint("give the vmlinux that the module is for")
}

/// Hash of the BTF of a base. Where the index beside it was made of this very file, it says so, and
/// the BTF need not be read.
pub fn fingerprint(path: &Path, target: Target) -> Result<Id> {
    let (stamp, beside) = (stamp_of(path)?, index_path(path));
    let known = stamp_and_fingerprint(&beside, target);
    if let Some((_, fingerprint)) = known.filter(|(of, _)| *of == stamp) {
        return Ok(fingerprint);
    }
    let file = open(path, Mapped::open)?;
    let fingerprint = Id::of(&file.bytes()[raw_btf(path, &file, target)?]);
    if known.is_some_and(|(_, known)| known == fingerprint) {
        // Linked again, with the same types. If it cannot be noted, the next one hashes again.
        let _ = restamp(&beside, stamp);
    }
    Ok(fingerprint)
}

fn stamp_of(path: &Path) -> Result<Stamp> {
    let meta = std::fs::metadata(path).map_err(io("open", path))?;
    Ok(Stamp::of(&meta))
}

/// Where the BTF lies in the file.
fn raw_btf(path: &Path, file: &Mapped, target: Target) -> Result<Range<usize>> {
    if !file.bytes().starts_with(b"\x7fELF") {
        return Ok(0..file.bytes().len());
    }
    let elf = Elf::parse(file)?;
    if u32::from(elf.machine()) != target.machine {
        return Err(another_architecture().at(path.display()));
    }
    elf.range_of(".BTF").ok_or_else(|| {
        Error::new("no .BTF section")
            .at(path.display())
            .hint("give a vmlinux with BTF, or raw BTF such as /sys/kernel/btf/vmlinux")
    })
}

/// The identities of the types that lead to another definition of a name than the default, which
/// here is the one that most types lead to.
fn variants(view: &View<'_>) -> Result<Overrides> {
    let wanted = Wanted {
        variable: &|_, _| false,
        excluded_languages: &[],
        sites: false,
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
    // All are of a base, for refinement: what leads to another definition is told apart, even where
    // everybody here means that one.
    for (class, facts) in (1..).zip(&mut combiner.classes) {
        facts.base_id = class;
    }
    let refined = refine::refine(&mut combiner, &mut vec![(0, *view)], None)?;
    let only = refined.overrides.into_iter().next();
    Ok(only.map(|(_, overrides)| overrides).unwrap_or_default())
}

/// The base that raw BTF is.
#[cfg(test)]
pub fn sample(raw: Vec<u8>) -> Base {
    let (all, id) = (0..raw.len(), Id::of(&raw));
    // An index cannot be written there.
    let path = Path::new("/nonexistent/vmlinux");
    let (stamp, target) = (Stamp::default(), Target::default());
    Base::of(path, Mapped::of(raw), all, stamp, id, target).expect("sound")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::btf::Kind;
    use crate::combine::sample::added;
    use crate::object::sample::{declared, int, object, of, raw, structure, A, B, MODULE, S};
    use crate::object::Encoded;

    fn base() -> Base {
        sample(raw(&[
            int(),
            structure(S, &[(A, 3)]),
            of(Kind::Ptr, 0, 2),
            of(Kind::Const, 0, 3),
            structure(MODULE, &[(A, 1)]),
        ]))
    }

    /// Ids in the base of the types of an object, 0 for its own.
    fn base_ids(object: &Encoded, base: &Base) -> Result<Vec<u32>> {
        let mut combiner = added(&[object]);
        base.join(&mut combiner)?;
        let class = |id: &Id| combiner.find(*id).expect("it has it");
        Ok(object
            .ids
            .iter()
            .map(|id| combiner.facts(class(id)).base_id)
            .collect())
    }

    #[test]
    fn what_equals_a_type_of_the_base_is_it() {
        let types = [
            of(Kind::Const, 0, 2),
            of(Kind::Ptr, 0, 3),
            structure(S, &[(A, 2)]),
            int(),
        ];
        let module = object(&types).expect("sound");
        assert_eq!(base_ids(&module, &base()).expect("fits"), [4, 3, 2, 1]);
    }

    #[test]
    fn what_the_base_has_not_is_its_own_but_a_pointer_to_a_name_is_not() {
        let types = [
            int(),
            structure(S, &[(B, 1)]),
            of(Kind::Ptr, 0, 2),
            of(Kind::Volatile, 0, 1),
        ];
        let module = object(&types).expect("sound");
        // What tells the pointers apart is refinement.
        assert_eq!(base_ids(&module, &base()).expect("fits"), [1, 0, 3, 0]);
        let declares = object(&[declared(S), of(Kind::Ptr, 0, 1)]).expect("sound");
        assert_eq!(base_ids(&declares, &base()).expect("fits"), [0, 3]);
    }

    #[test]
    fn the_base_of_another_kernel_is_told_by_its_struct_module() {
        let types = [int(), structure(MODULE, &[(B, 1)])];
        let module = object(&types).expect("sound");
        assert!(base_ids(&module, &base()).is_err());
        let with = |types: &[Vec<u32>]| base_ids(&module, &sample(raw(types)));
        assert!(with(&types).is_ok());
        assert!(with(&[int()]).is_ok());
    }

    #[test]
    fn a_leaf_stands_for_a_struct_of_which_only_the_name_is_met() {
        let base = base();
        let module = object(&[declared(S), of(Kind::Ptr, 0, 1)]).expect("sound");
        let part = base.part(&added(&[&module])).expect("fits");
        let view = part.view();
        assert_eq!(part.base_ids, [2, 3]);
        assert!(is_leaf(view.type_words(1)));
        assert_eq!(view.type_words(2)[2], 1);
        assert_eq!(view.ids[1], base.index.identity(3));
        assert_ne!(view.ids[0], base.index.identity(2));
    }

    #[test]
    fn strings_of_the_base_are_found_whole() {
        let base = base();
        assert_eq!(
            (base.find_string(b"int"), base.find_string(b"module")),
            (Some(1), Some(MODULE))
        );
        assert_eq!(base.find_string(b"modul"), None);
    }

    #[test]
    fn another_byte_order_is_another_architecture() {
        let raw = raw(&[int()]);
        let (all, path) = (0..raw.len(), Path::new("/nonexistent/vmlinux"));
        let big = Target {
            big_endian: 1,
            ..Target::default()
        };
        let opened = Base::of(
            path,
            Mapped::of(raw),
            all,
            Stamp::default(),
            Id::default(),
            big,
        );
        assert!(opened.is_err());
    }
}
