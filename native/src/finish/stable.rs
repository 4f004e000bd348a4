// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Stable ids: BTF of a new build in the numbers of an earlier one, its reference, so that split
//! BTF made against that one stays right.
//!
//! Types that stay keep their id, and all strings their offset. Structs, unions, enums, functions,
//! variables and sections stay as long as one of their name does: their content is that of the
//! new build, in the old place. All others stay when they say the same. A type that is gone keeps
//! its place as it was, since modules may refer to it; the places of functions, variables,
//! sections and tags, to which none can refer, become free.
//!
//! A module's own ids start behind the last one of its base, and its strings behind the base's. So
//! neither number may change: what is new takes free places, of which the first such build
//! reserves some. Only when they do not suffice does the BTF grow.

use std::collections::HashMap;

use crate::btf::{self, load, write, Field, Kind};
use crate::object::{identity, Encoded, Id, Target, View};
use crate::support::error::{Error, Result};
use crate::support::limits::NESTED;

/// Name of the declarations that keep places free.
const FREE: &[u8] = b"__kbuild_btf_free";

/// When the BTF grows, then to a multiple of this many types, or bytes of strings.
const TYPES: usize = 4096;
const STRINGS: usize = 1 << 16;

pub struct Renumbered {
    pub bytes: Vec<u8>,
    /// Number of types and size of the strings are the reference's: split BTF that was made
    /// against it fits.
    pub fits: bool,
}

/// Renumber raw BTF by a reference, raw as well. Neither may be split.
pub fn renumber(new: &[u8], reference: &[u8], layout: bool, target: Target) -> Result<Renumbered> {
    let (old, new) = (parse(reference, target)?, parse(new, target)?);
    let (old, new) = (old.view(), new.view());
    let mut places = Places::new(&old, &new);
    places.by_name();
    places.by_content()?;
    write(&old, &new, places.of_new, layout)
}

fn parse(raw: &[u8], target: Target) -> Result<Encoded> {
    let mut parsed = load::parse(raw, target)?;
    identity::of_types(&mut parsed)?;
    Ok(parsed)
}

fn kind(words: &[u32]) -> Kind {
    // Parsed BTF has no others.
    btf::kind_of(words).unwrap_or(Kind::Ptr)
}

/// What a type is known by from build to build; `None` for those that are what they say.
fn name_of<'v>(view: &View<'v>, id: u32) -> Option<(u8, &'v [u8])> {
    let words = view.type_words(id);
    let space = match (btf::nominal(words), kind(words)) {
        (Some((space, _)), _) => space as u8,
        (None, kind @ (Kind::Func | Kind::Var | Kind::Datasec | Kind::Locsec)) => kind as u8,
        _ => return None,
    };
    Some((space, view.string(words[0])))
}

fn is_declaration(words: &[u32]) -> bool {
    matches!(btf::nominal(words), Some((_, true)))
}

struct Places<'v> {
    old: &'v View<'v>,
    new: &'v View<'v>,
    /// Id in the reference for each new id, 0 for none; position 0 is void.
    of_new: Vec<u32>,
    taken: Vec<bool>,
}

impl<'v> Places<'v> {
    fn new(old: &'v View<'v>, new: &'v View<'v>) -> Self {
        Places {
            old,
            new,
            of_new: vec![0; new.type_count() + 1],
            taken: vec![false; old.type_count() + 1],
        }
    }

    fn take(&mut self, new: u32, old: u32) {
        self.of_new[new as usize] = old;
        self.taken[old as usize] = true;
    }

    /// Names that are unique on both sides; of the others those with the same identity.
    fn by_name(&mut self) {
        let group = |view: &View<'v>| {
            let mut groups: HashMap<(u8, &'v [u8]), Vec<u32>> = HashMap::new();
            for id in 1..=view.type_count() as u32 {
                if let Some(name) = name_of(view, id) {
                    groups.entry(name).or_default().push(id);
                }
            }
            groups
        };
        let olds = group(self.old);
        for (name, new) in group(self.new) {
            match (olds.get(&name).map(Vec::as_slice), new.as_slice()) {
                (Some(&[old]), &[new]) => self.take(new, old),
                (Some(olds), news) => {
                    for &new in news {
                        let id = self.new.ids[new as usize - 1];
                        let same = |&&old: &&u32| {
                            !self.taken[old as usize] && self.old.ids[old as usize - 1] == id
                        };
                        if let Some(&old) = olds.iter().find(same) {
                            self.take(new, old);
                        }
                    }
                }
                (None, _) => {}
            }
        }
    }

    /// Types without such a name: equal when they say the same of the same places.
    fn by_content(&mut self) -> Result<()> {
        let mut known: HashMap<Id, Vec<u32>> = HashMap::new();
        for id in (1..=self.old.type_count() as u32).rev() {
            if name_of(self.old, id).is_none() {
                if let Some(content) = content(self.old, id, Some) {
                    known.entry(content).or_default().push(id);
                }
            }
        }
        let mut done = vec![false; self.new.type_count() + 1];
        for id in 1..=self.new.type_count() as u32 {
            self.place(id, &mut known, &mut done, 0)?;
        }
        Ok(())
    }

    fn place(
        &mut self,
        id: u32,
        known: &mut HashMap<Id, Vec<u32>>,
        done: &mut [bool],
        depth: usize,
    ) -> Result<()> {
        if std::mem::replace(&mut done[id as usize], true) || name_of(self.new, id).is_some() {
            return Ok(());
        }
        if depth > NESTED {
            return Err(Error::new("types nested too deeply"));
        }
        let words = self.new.type_words(id);
        let mut targets = Vec::new();
        btf::for_each_field(kind(words), words, |i, field| {
            if field == Field::Type && words[i] != 0 {
                targets.push(words[i]);
            }
        });
        for target in targets {
            self.place(target, known, done, depth + 1)?;
        }
        // What refers to a new type is new.
        let placed = |target: u32| Some(self.of_new[target as usize]).filter(|&old| old != 0);
        let old = content(self.new, id, placed)
            .and_then(|content| known.get_mut(&content))
            .and_then(Vec::pop);
        if let Some(old) = old {
            self.take(id, old);
        }
        Ok(())
    }
}

/// A hash of a type, with ids of the reference for what it refers to; `None` where one has none.
fn content(view: &View<'_>, id: u32, place: impl Fn(u32) -> Option<u32>) -> Option<Id> {
    let mut content = Content {
        view,
        place,
        out: Vec::new(),
        complete: true,
    };
    identity::render(view.type_words(id), &mut content);
    content.complete.then(|| Id::of(&content.out))
}

struct Content<'v, P> {
    view: &'v View<'v>,
    place: P,
    out: Vec<u8>,
    complete: bool,
}

impl<P: Fn(u32) -> Option<u32>> identity::Render for Content<'_, P> {
    fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    fn name(&mut self, offset: u32) {
        self.out.extend_from_slice(self.view.string(offset));
        self.out.push(0);
    }

    fn reference(&mut self, target: u32) {
        match (target, (self.place)(target)) {
            (0, _) => self.out.extend_from_slice(&[0; 4]),
            (_, Some(old)) => self.out.extend_from_slice(&old.to_le_bytes()),
            (_, None) => self.complete = false,
        }
    }
}

fn write(old: &View<'_>, new: &View<'_>, of_new: Vec<u32>, layout: bool) -> Result<Renumbered> {
    let mut ids = of_new;
    let mut sources = vec![0; old.type_count() + 1];
    for (id, &place) in (0..).zip(&ids) {
        sources[place as usize] = id;
    }
    sources[0] = 0;
    let mut free = (1..=old.type_count() as u32)
        .filter(|&id| sources[id as usize] == 0 && is_free(old, id))
        .collect::<Vec<_>>()
        .into_iter();
    for id in 1..=new.type_count() as u32 {
        if ids[id as usize] == 0 {
            let place = free.next().unwrap_or_else(|| {
                sources.push(0);
                sources.len() as u32 - 1
            });
            ids[id as usize] = place;
            sources[place as usize] = id;
        }
    }
    let mut count = sources.len() - 1;
    if count > old.type_count() {
        count = count.next_multiple_of(TYPES);
    }
    sources.resize(count + 1, 0);
    let mut strings = Strings::new(old.strings);
    let mut words = Vec::new();
    for (id, &source) in (0..).zip(&sources).skip(1) {
        let was = (id <= old.type_count() as u32).then(|| old.type_words(id));
        let now = (source != 0).then(|| new.type_words(source));
        match (was, now) {
            // Only declared now, but defined before: what refers to it may need to know its size.
            (Some(was), Some(now)) if is_declaration(now) && !is_declaration(was) => {
                words.extend(of_gone(old, new, &sources, was));
            }
            (_, Some(now)) => {
                let at = words.len();
                words.extend_from_slice(now);
                btf::for_each_field(kind(now), now, |i, field| {
                    words[at + i] = match field {
                        Field::Name => strings.place(new.string(now[i])),
                        Field::Type => ids[now[i] as usize],
                    };
                });
                if kind(now) == Kind::Locsec {
                    btf::sort_sites(&mut words[at + 3..]);
                }
            }
            (Some(was), None) if !is_free(old, id) => {
                words.extend(of_gone(old, new, &sources, was));
            }
            _ => words.extend([strings.place(FREE), btf::info(Kind::Fwd, 0, false), 0]),
        }
    }
    let big = old.target.big_endian != 0;
    let types: Vec<u8> = words
        .iter()
        .flat_map(|word| match big {
            true => word.to_be_bytes(),
            false => word.to_le_bytes(),
        })
        .collect();
    let is_site = |id| kind(new.type_words(id)) == Kind::Locsec;
    let has_sites = (1..=new.type_count() as u32).any(is_site);
    let layout = match layout {
        true => write::layout_section(has_sites),
        false => Vec::new(),
    };
    let strings = strings.padded(old.strings.len());
    Ok(Renumbered {
        bytes: write::file(&types, &layout, &strings, big)?,
        fits: (count, strings.len()) == (old.type_count(), old.strings.len()),
    })
}

/// May a place that no type of the new build has be given to another one?
fn is_free(old: &View<'_>, id: u32) -> bool {
    let words = old.type_words(id);
    match kind(words) {
        Kind::Func | Kind::Var | Kind::Datasec | Kind::DeclTag | Kind::Locsec => true,
        Kind::Fwd => old.string(words[0]) == FREE,
        _ => false,
    }
}

/// What stays of a type that is gone. A struct keeps its members unless one of them has another
/// size now.
fn of_gone(old: &View<'_>, new: &View<'_>, sources: &[u32], was: &[u32]) -> Vec<u32> {
    match kind(was) {
        kind @ (Kind::Struct | Kind::Union) => {
            let resized = |member: &[u32]| has_other_size(old, new, sources, member[1]);
            if was[3..].chunks_exact(3).any(resized) {
                vec![was[0], btf::info(kind, 0, false), was[2]]
            } else {
                was.to_vec()
            }
        }
        _ => was.to_vec(),
    }
}

fn has_other_size(old: &View<'_>, new: &View<'_>, sources: &[u32], id: u32) -> bool {
    let mut id = id;
    while id != 0 {
        let words = old.type_words(id);
        id = match kind(words) {
            Kind::Typedef | Kind::Const | Kind::Volatile | Kind::Restrict | Kind::TypeTag => {
                words[2]
            }
            Kind::Array => words[3],
            Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 => {
                let source = sources[id as usize];
                return source != 0 && {
                    let now = new.type_words(source);
                    !is_declaration(now) && now[2] != words[2]
                };
            }
            _ => return false,
        };
    }
    false
}

/// The strings of the reference, and new ones behind them.
struct Strings<'o> {
    bytes: Vec<u8>,
    known: HashMap<&'o [u8], u32>,
    added: HashMap<Vec<u8>, u32>,
}

impl<'o> Strings<'o> {
    fn new(old: &'o [u8]) -> Self {
        let mut known = HashMap::new();
        let mut at = 0;
        for text in old.split(|&b| b == 0) {
            known.entry(text).or_insert(at);
            at += text.len() as u32 + 1;
        }
        // Zeros behind the last string are free.
        let used = old.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
        Strings {
            bytes: old[..(used + 1).min(old.len())].to_vec(),
            known,
            added: HashMap::new(),
        }
    }

    fn place(&mut self, text: &[u8]) -> u32 {
        if let Some(&at) = self.known.get(text).or_else(|| self.added.get(text)) {
            return at;
        }
        let at = self.bytes.len() as u32;
        self.bytes.extend_from_slice(text);
        self.bytes.push(0);
        self.added.insert(text.to_vec(), at);
        at
    }

    fn padded(self, len: usize) -> Vec<u8> {
        let mut bytes = self.bytes;
        let len = match bytes.len() <= len {
            true => len,
            false => bytes.len().next_multiple_of(STRINGS),
        };
        bytes.resize(len, 0);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::sample::{int, lines, of, raw, structure, A, B, S};

    fn renumbered(new: &[Vec<u32>], reference: &[Vec<u32>]) -> (Vec<String>, bool) {
        let done = renumber(&raw(new), &raw(reference), false, Target::default()).expect("sound");
        (lines(&done.bytes, (0, &[])), done.fits)
    }

    #[test]
    fn what_stays_keeps_its_id_in_any_order() {
        let old = [
            int(),
            of(Kind::Ptr, 0, 1),
            structure(S, &[(A, 2)]),
            of(Kind::Const, 0, 1),
        ];
        let new = [
            structure(S, &[(A, 4)]),
            of(Kind::Const, 0, 3),
            int(),
            of(Kind::Ptr, 0, 3),
        ];
        assert_eq!(renumbered(&old, &old), (lines(&raw(&old), (0, &[])), true));
        assert_eq!(renumbered(&new, &old), (lines(&raw(&old), (0, &[])), true));
    }

    #[test]
    fn a_struct_keeps_its_id_when_its_members_change() {
        let old = [structure(S, &[(A, 2)]), int()];
        let new = [int(), structure(S, &[(A, 1), (B, 1)])];
        assert_eq!(
            renumbered(&new, &old),
            (vec!["STRUCT s a #2 b #2".into(), "INT int".into()], true)
        );
    }

    #[test]
    fn what_is_gone_keeps_its_place_but_for_what_none_can_refer_to() {
        let proto = vec![0, btf::info(Kind::FuncProto, 0, false), 0];
        let function = |name| vec![name, btf::info(Kind::Func, 0, false), 1];
        let old = [proto.clone(), structure(A, &[]), function(S), int()];
        let (lines, fits) = renumbered(&[proto, function(B), int()], &old);
        assert_eq!(lines, ["FUNC_PROTO #0", "STRUCT a", "FUNC b #1", "INT int"]);
        assert!(fits);
    }

    #[test]
    fn where_places_do_not_suffice_it_grows_by_many() {
        let (lines, fits) = renumbered(&[int(), of(Kind::Typedef, A, 1)], &[int()]);
        assert_eq!(
            lines[..3],
            ["INT int", "TYPEDEF a #1", "FWD __kbuild_btf_free"]
        );
        assert_eq!((lines.len(), fits), (TYPES, false));
    }

    #[test]
    fn a_struct_that_is_gone_loses_members_of_another_size() {
        let old = [int(), structure(A, &[(S, 1)]), structure(B, &[(A, 2)])];
        let grown = [int(), structure(A, &[(S, 1), (B, 1)])];
        let (lines, _) = renumbered(&grown, &old);
        assert_eq!(lines, ["INT int", "STRUCT a s #1 b #1", "STRUCT b"]);
        let (lines, _) = renumbered(&old[..2], &old);
        assert_eq!(lines[2], "STRUCT b a #2");
    }

    #[test]
    fn of_names_that_are_there_twice_what_says_the_same_stays() {
        let old = [structure(S, &[(A, 3)]), structure(S, &[(B, 3)]), int()];
        let new = [int(), structure(S, &[(B, 1)]), structure(S, &[(A, 1)])];
        assert_eq!(renumbered(&new, &old), (lines(&raw(&old), (0, &[])), true));
    }
}
