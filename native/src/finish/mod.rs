// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Stage 4, finish: resolve declarations, choose the types that belong to the result, put them in
//! canonical order, number them, lay out the strings, serialise.
//!
//! Canonical order: types without a name first, then by name, as newer kernels want it for their
//! binary search; equal names by kind, equal kinds by identity.

pub mod stable;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;

use crate::btf::write::{file, layout_section, put};
use crate::btf::{self, Field, Kind};
use crate::combine::base::Base;
use crate::combine::declarations::resolve_declarations;
use crate::combine::Combiner;
use crate::object::features::Features;
use crate::object::numbering::Class;
use crate::object::Id;
use crate::support::error::{Error, Result};
use crate::support::hash::Fast;
use crate::support::threads::Threads;

pub struct Finished {
    pub bytes: Vec<u8>,
    /// The distilled base that `bytes` are split against, where it was asked for.
    pub base: Option<Vec<u8>>,
    /// Number of types, without void; those of a distilled base are not counted.
    pub types: u64,
    /// How many of each kind, by `Kind as usize`.
    pub kinds: [u64; Kind::END],
}

pub fn finish(
    combiner: &Combiner<'_>,
    features: &Features,
    base: Option<&Base>,
    threads: &Threads,
) -> Result<Finished> {
    let forward = resolve_declarations(combiner);
    let distilled = base.filter(|_| features.distilled_base);
    let (own, of_base) = choose(combiner, &forward, features, distilled);
    let own = in_order(combiner, &own, threads)?;
    let mut ids = vec![0u32; combiner.classes.len() + 1];
    if distilled.is_none() {
        for class in combiner.numbers() {
            ids[class as usize] = combiner.facts(class).base_id;
        }
    }
    let of_base = in_order(combiner, &of_base, threads)?;
    let first = match base {
        None => 1,
        Some(base) if distilled.is_none() => base.count() + 1,
        Some(_) => of_base.len().max(1) as u32 + 1,
    };
    for (id, &class) in (1..).zip(&of_base).chain((first..).zip(&own)) {
        ids[class as usize] = id;
    }
    for class in combiner.numbers() {
        let target = forward[class as usize];
        if target != 0 {
            ids[class as usize] = ids[target as usize];
        }
    }
    let writer = Writer {
        combiner,
        ids: &ids,
        big: combiner.target.is_some_and(|t| t.big_endian != 0),
    };
    let Some(whole) = distilled else {
        let below = base.map(|base| Below {
            length: base.strings().len() as u32,
            find: Box::new(|text| base.find_string(text)),
        });
        let layout = match features.layout && base.is_none() {
            true => layout_section(features.inline),
            false => Vec::new(),
        };
        return writer.whole(&own, below, &layout);
    };
    let shown = |class: Class| shown_of_base(combiner, class, whole);
    let mut strings = Strings::new(combiner, None);
    let (mut types, _) = writer.types(of_base.iter().map(|&class| shown(class)), &mut strings)?;
    if of_base.is_empty() {
        // Linux 6.12 takes a base without types, but does not count void then, and moves each id of
        // the module to its neighbour. `int` is in every kernel.
        let name = strings.bytes.len() as u32;
        strings.bytes.extend_from_slice(b"int\0");
        btf::int(name)
            .iter()
            .for_each(|&word| put(&mut types, writer.big, word));
    }
    let below = Below {
        length: strings.bytes.len() as u32,
        find: Box::new(|text| {
            let name = combiner.strings.find(text)?;
            strings.placed.get(&name).copied()
        }),
    };
    let finished = writer.whole(&own, Some(below), &[])?;
    Ok(Finished {
        base: Some(file(&types, &[], &strings.bytes, writer.big)?),
        ..finished
    })
}

/// Does a type of the base stay in a distilled one? Those that a kernel can find again by name.
fn stays_in_base(words: &[u32]) -> bool {
    let by_name = matches!(
        btf::kind_of(words),
        Some(
            Kind::Int
                | Kind::Float
                | Kind::Fwd
                | Kind::Struct
                | Kind::Union
                | Kind::Enum
                | Kind::Enum64
        )
    );
    by_name && words[0] != 0
}

/// What a distilled base says of a type: of structs, unions and enums name and size alone.
fn shown_of_base<'c>(combiner: &'c Combiner<'_>, class: Class, base: &Base) -> Cow<'c, [u32]> {
    let words = combiner.class_words(class);
    let kind = match btf::kind_of(words) {
        Some(Kind::Enum64) => Kind::Enum,
        Some(kind @ (Kind::Struct | Kind::Union | Kind::Enum)) => kind,
        _ => return Cow::Borrowed(words),
    };
    let size = base.type_words(combiner.facts(class).base_id)[2];
    Cow::Owned(vec![words[0], btf::info(kind, 0, false), size])
}

/// The classes of the result, and those of a distilled base.
fn choose(
    combiner: &Combiner<'_>,
    forward: &[Class],
    features: &Features,
    distilled: Option<&Base>,
) -> (Vec<Class>, Vec<Class>) {
    let mut seen = vec![false; combiner.classes.len() + 1];
    let (mut own, mut of_base) = (Vec::new(), Vec::new());
    let in_base = |class: Class| {
        let meant = match forward[class as usize] {
            0 => class,
            definition => definition,
        };
        combiner.facts(meant).base_id != 0
    };
    let mut queue: Vec<Class> = combiner
        .numbers()
        .filter(|&class| {
            let facts = combiner.facts(class);
            facts.required
                && !facts.dead
                && !in_base(class)
                && (features.decl_tag || combiner.kind(class) != Some(Kind::DeclTag))
        })
        .collect();
    while let Some(class) = queue.pop() {
        let class = match forward[class as usize] {
            0 => class,
            definition => definition,
        };
        let in_base = in_base(class);
        if (in_base && distilled.is_none()) || std::mem::replace(&mut seen[class as usize], true) {
            continue;
        }
        let words = combiner.class_words(class);
        if in_base && stays_in_base(words) {
            of_base.push(class);
            continue;
        }
        own.push(class);
        if let Some(kind) = btf::kind_of(words) {
            btf::for_each_field(kind, words, |i, field| {
                if field == Field::Type && words[i] != 0 {
                    queue.push(words[i]);
                }
            });
        }
    }
    (own, of_base)
}

/// What comes first in the canonical order. Compared as it stands, it decides but for long names that
/// start alike.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// The first bytes of the name, as a number; the rest is looked at where these are equal.
    name: u128,
    kind: Option<Kind>,
    id: Id,
    class: Class,
}

fn in_order(combiner: &Combiner<'_>, classes: &[Class], threads: &Threads) -> Result<Vec<Class>> {
    let name = |class: Class| combiner.strings.get(combiner.class_words(class)[0]);
    let rank = |class: Class| {
        let mut first = [0; 16];
        for (to, from) in first.iter_mut().zip(name(class)) {
            *to = *from;
        }
        Rank {
            name: u128::from_be_bytes(first),
            kind: combiner.kind(class),
            id: combiner.facts(class).id,
            class,
        }
    };
    let mut order: Vec<Rank> = threads.map(classes, || (), |_, &class| Ok(rank(class)))?;
    threads.sort(&mut order, |a, b| {
        a.name.cmp(&b.name).then_with(|| {
            let is_long = a.name & 0xff != 0;
            let names = is_long.then(|| name(a.class).cmp(name(b.class)));
            names.unwrap_or(Ordering::Equal).then_with(|| a.cmp(b))
        })
    });
    Ok(order.into_iter().map(|rank| rank.class).collect())
}

/// Where a string is, if it is there.
type Find<'b> = dyn Fn(&[u8]) -> Option<u32> + 'b;

/// The strings of what a split BTF is based on.
struct Below<'b> {
    length: u32,
    find: Box<Find<'b>>,
}

/// The string section of the result; strings that the base has are not repeated.
struct Strings<'b> {
    combiner: &'b Combiner<'b>,
    bytes: Vec<u8>,
    placed: HashMap<u32, u32, Fast>,
    below: Option<Below<'b>>,
}

impl<'b> Strings<'b> {
    fn new(combiner: &'b Combiner<'b>, below: Option<Below<'b>>) -> Self {
        Strings {
            combiner,
            // Offset 0 is the empty string; a split BTF takes it from its base.
            bytes: if below.is_none() { vec![0] } else { Vec::new() },
            placed: HashMap::with_capacity_and_hasher(combiner.strings.count(), Fast::default()),
            below,
        }
    }

    fn place(&mut self, name: u32) -> u32 {
        if name == 0 {
            return 0;
        }
        if let Some(&at) = self.placed.get(&name) {
            return at;
        }
        let text = self.combiner.strings.get(name);
        let below = self.below.as_ref();
        let at = match below.and_then(|below| (below.find)(text)) {
            Some(at) => at,
            None => {
                let at = below.map_or(0, |below| below.length) + self.bytes.len() as u32;
                self.bytes.extend_from_slice(text);
                self.bytes.push(0);
                at
            }
        };
        self.placed.insert(name, at);
        at
    }
}

struct Writer<'c> {
    combiner: &'c Combiner<'c>,
    ids: &'c [u32],
    big: bool,
}

impl Writer<'_> {
    /// The types given by their words, and how many there are of each kind.
    fn types<'w>(
        &self,
        all: impl Iterator<Item = Cow<'w, [u32]>>,
        strings: &mut Strings<'_>,
    ) -> Result<(Vec<u8>, [u64; Kind::END])> {
        let mut types = Vec::with_capacity(4 * self.combiner.words.len());
        let mut kinds = [0; Kind::END];
        let mut words = Vec::new();
        for source in all {
            let Some(kind) = btf::kind_of(&source) else {
                return Err(Error::new("type of unknown kind"));
            };
            words.clear();
            words.extend_from_slice(&source);
            btf::for_each_field(kind, &source, |i, field| {
                words[i] = match field {
                    Field::Name => strings.place(source[i]),
                    Field::Type => self.ids[source[i] as usize],
                };
            });
            if kind == Kind::Locsec {
                btf::sort_sites(&mut words[3..]);
            }
            kinds[kind as usize] += 1;
            words
                .iter()
                .for_each(|&word| put(&mut types, self.big, word));
        }
        Ok((types, kinds))
    }

    fn whole(&self, own: &[Class], below: Option<Below<'_>>, layout: &[u8]) -> Result<Finished> {
        let mut strings = Strings::new(self.combiner, below);
        let all = own
            .iter()
            .map(|&c| Cow::Borrowed(self.combiner.class_words(c)));
        let (types, kinds) = self.types(all, &mut strings)?;
        Ok(Finished {
            bytes: file(&types, layout, &strings.bytes, self.big)?,
            base: None,
            types: own.len() as u64,
            kinds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::combine::sample::combined;
    use crate::object::sample::{
        add_function, declared, enumeration, int, lines, object, object_with, of, prototype,
        structure, A, B, S, STRINGS,
    };
    use crate::object::Encoded;

    fn finished(objects: &[&Encoded]) -> Vec<String> {
        let combiner = combined(objects);
        let done = finish(&combiner, &Features::STANDARD, None, &Threads::ONE).expect("sound");
        let lines = lines(&done.bytes, (0, &[]));
        assert_eq!(
            (done.types, done.kinds.iter().sum()),
            (lines.len() as u64, done.types)
        );
        lines
    }

    #[test]
    fn without_a_name_first_then_by_name_then_by_kind() {
        let types = [
            enumeration(A, 4, &[(S, 1)]),
            structure(B, &[(A, 4)]),
            of(Kind::Typedef, A, 4),
            int(),
            of(Kind::Ptr, 0, 2),
            structure(A, &[(B, 5)]),
        ];
        let one = object(&types).expect("sound");
        assert_eq!(
            finished(&[&one]),
            [
                "PTR #5",
                "STRUCT a b #1",
                "ENUM a s",
                "TYPEDEF a #6",
                "STRUCT b a #6",
                "INT int"
            ]
        );
    }

    #[test]
    fn long_names_are_compared_to_their_end() {
        let ends = ["", "_", "_a", "_b", "_ba", "_c", "_d", "_e", "_f"];
        let names = ends.map(|end| format!("sixteen_letters{end}"));
        for backwards in [false, true] {
            let mut strings = vec![0];
            let mut types = Vec::new();
            for name in &names {
                types.push(of(Kind::Typedef, strings.len() as u32, 0));
                strings.extend_from_slice(name.as_bytes());
                strings.push(0);
            }
            if backwards {
                types.reverse();
            }
            let one = object_with(&strings, &types, 0).expect("sound");
            assert_eq!(
                finished(&[&one]),
                names.each_ref().map(|name| format!("TYPEDEF {name} #0"))
            );
        }
    }

    #[test]
    fn what_only_a_candidate_has_that_does_not_count_is_not_there() {
        let mut one =
            object_with(STRINGS, &[int(), prototype(&[3]), of(Kind::Ptr, 0, 1)], 2).expect("sound");
        add_function(&mut one, S, 2);
        assert_eq!(finished(&[&one]), ["INT int"]);
    }

    #[test]
    fn a_definition_stands_in_every_place_of_its_declarations() {
        let declares = object(&[declared(S), of(Kind::Ptr, 0, 1)]).expect("sound");
        let defines = object(&[int(), structure(S, &[(A, 1)])]).expect("sound");
        for objects in [[&declares, &defines], [&defines, &declares]] {
            assert_eq!(finished(&objects), ["PTR #3", "INT int", "STRUCT s a #2"]);
        }
        assert_eq!(finished(&[&declares]), ["PTR #2", "FWD s"]);
    }

    #[test]
    fn strings_stand_in_the_order_in_which_types_need_them() {
        let one =
            object(&[structure(B, &[(S, 2)]), int(), of(Kind::Typedef, A, 2)]).expect("sound");
        let combiner = combined(&[&one]);
        let done = finish(&combiner, &Features::STANDARD, None, &Threads::ONE).expect("sound");
        assert!(done.bytes.ends_with(b"\0a\0b\0s\0int\0"));
    }

    #[test]
    fn words_are_in_the_byte_order_of_the_target() {
        let mut one = object(&[int()]).expect("sound");
        let little = combined(&[&one]);
        one.target.big_endian = 1;
        let big = combined(&[&one]);
        let bytes = |c: &Combiner<'_>| {
            finish(c, &Features::STANDARD, None, &Threads::ONE)
                .expect("sound")
                .bytes
        };
        let (little, big) = (bytes(&little), bytes(&big));
        assert_eq!(
            (&little[..2], &big[..2]),
            (&[0x9f, 0xeb][..], &[0xeb, 0x9f][..])
        );
        let types = |bytes: &[u8]| bytes[24..40].to_vec();
        let mut swapped = types(&big);
        swapped.chunks_exact_mut(4).for_each(<[u8]>::reverse);
        assert_eq!(types(&little), swapped);
    }

    #[test]
    fn declaration_tags_go_with_their_feature() {
        let tag = vec![A, btf::info(Kind::DeclTag, 0, false), 2, u32::MAX];
        let one = object(&[int(), structure(S, &[(B, 1)]), tag]).expect("sound");
        let combiner = combined(&[&one]);
        let without = Features {
            decl_tag: false,
            ..Features::STANDARD
        };
        let count = |features: &Features| {
            finish(&combiner, features, None, &Threads::ONE)
                .expect("sound")
                .types
        };
        assert_eq!((count(&Features::STANDARD), count(&without)), (3, 2));
    }
}
