// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The objects of a link, as they come in.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::combine::intake::Supply;
use crate::combine::sieve::Sieve;
use crate::combine::ObjectIndex;
use crate::object::numbering::{Numbered, Sifted};
use crate::object::refused::{self, Counted, Policy};
use crate::object::{Id, Target, View};
use crate::store::cache::Cache;
use crate::store::objects::{self, Loaded};
use crate::support::error::{Error, Result};
use crate::support::files::Mapped;
use crate::support::hash::Fast;
use crate::support::progress;

/// What all threads are told.
pub struct Asked<'a> {
    pub policy: Policy<'a>,
    /// Of the linked file.
    pub target: Target,
    pub elf: &'a Path,
    /// Where sidecars may be left: of objects below the current directory, or below that of the linked
    /// file.
    pub keep_sidecars: bool,
    pub cache: Option<&'a Cache>,
    /// It is asked where functions were inlined.
    pub sites: bool,
    /// They will be looked at whole, together.
    pub whole: bool,
}

impl Asked<'_> {
    /// A list of objects may name some of other trees, which are not ours to write into.
    fn may_leave(&self, object: &Path) -> bool {
        let directory = |path: &Path| match path.parent() {
            Some(parent) if parent != Path::new("") => parent.canonicalize().ok(),
            _ => Path::new(".").canonicalize().ok(),
        };
        let trees = [directory(Path::new("")), directory(self.elf)];
        let own = directory(object);
        self.keep_sidecars
            && own.is_some_and(|own| trees.iter().flatten().any(|tree| own.starts_with(tree)))
    }
}

/// The objects of one thread.
pub struct Objects<'a> {
    asked: &'a Asked<'a>,
    sieve: Sieve,
    pub members: Vec<Member>,
    keys: HashMap<ObjectIndex, Option<Id>, Fast>,
}

/// What is known of one object of the link.
pub struct Member {
    pub index: ObjectIndex,
    pub reused: bool,
    /// Bytes that had to be read.
    pub size: u64,
    pub types: u64,
    /// The source files that its symbols name; `None` for an object without DWARF.
    pub source_files: Option<Vec<Vec<u8>>>,
    pub counted: Counted,
    /// It is not known where functions were inlined.
    pub lacks_sites: bool,
}

impl<'a> Objects<'a> {
    pub fn new(asked: &'a Asked<'a>) -> Self {
        Objects {
            asked,
            sieve: Sieve::default(),
            members: Vec::new(),
            keys: HashMap::default(),
        }
    }

    fn member(&self, index: ObjectIndex, path: &Path, loaded: &Loaded) -> Result<Member> {
        let asked = self.asked;
        let view = loaded.view();
        if view.is_some_and(|view| !view.target.is_like(&asked.target)) {
            return Err(
                Error::new("built for another architecture than the linked file")
                    .at(path.display())
                    .hint(format!("the linked file is {}", asked.elf.display())),
            );
        }
        let counted = view.map(|view| refused::count(&view, path, asked.policy));
        let names = |view: View<'_>| view.source_files().map(<[u8]>::to_vec).collect();
        Ok(Member {
            index,
            reused: loaded.is_reused(),
            size: loaded.size(),
            types: view.map_or(0, |view| view.type_count() as u64),
            source_files: view.map(names),
            counted: counted.transpose()?.unwrap_or_default(),
            lacks_sites: view.is_some_and(|view| view.sites.is_none()),
        })
    }
}

impl Supply for Objects<'_> {
    type Item = PathBuf;
    type Brought = Loaded;

    fn bring(&mut self, index: ObjectIndex, path: &PathBuf) -> Result<(Loaded, Option<Sifted>)> {
        progress::add(1);
        let asked = self.asked;
        let open = match asked.whole {
            true => Mapped::open_whole,
            false => Mapped::read,
        };
        let may_leave = || asked.may_leave(path);
        let loaded = objects::load(path, asked.sites, asked.cache, may_leave, open)?;
        let member = self.member(index, path, &loaded)?;
        self.members.push(member);
        self.keys.insert(index, loaded.key());
        let sifted = loaded.view().filter(|_| !asked.whole).map(|view| {
            let counts = |language| !asked.policy.excluded_languages.contains(&language);
            self.sieve.sift(&view, counts)
        });
        Ok((loaded, sifted))
    }

    fn bring_again(&mut self, index: ObjectIndex, path: &PathBuf) -> Result<Loaded> {
        let asked = self.asked;
        let loaded = objects::load(path, asked.sites, asked.cache, || false, Mapped::read)?;
        if self.keys.get(&index) != Some(&loaded.key()) {
            return Err(Error::new("the object was changed while it was linked")
                .at(path.display())
                .hint("run make again"));
        }
        Ok(loaded)
    }

    /// No file has what encode made of it.
    fn must_be_kept(loaded: &Loaded) -> bool {
        !loaded.is_in_file()
    }

    fn view<'v>(&'v self, loaded: &'v Loaded) -> Option<View<'v>> {
        loaded.view()
    }

    fn numbered(&self) -> &Numbered {
        &self.sieve.numbered
    }

    fn view_and_numbered<'v>(
        &'v mut self,
        loaded: &'v Loaded,
    ) -> (Option<View<'v>>, &'v mut Numbered) {
        (loaded.view(), &mut self.sieve.numbered)
    }
}
