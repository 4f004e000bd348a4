// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! What a module's BTF needs of its objects. Nearly all of their types are in the base, under
//! identities that say all. So each object is cut down, before it is combined, to the types that
//! the base does not have, to what these refer to, and to the candidates that can count. Of a struct
//! that the base has, name and identity stay: a leaf, as `base` makes them.
//!
//! Where the module has another definition of a name than the base, what leads to that is not cut, so
//! that `refine` can tell it apart.

use std::collections::{HashMap, HashSet};

use object::elf;
use xxhash_rust::xxh3::xxh3_64;

use crate::btf::{self, for_each_target, Field, Space};
use crate::combine::base::Base;
use crate::combine::graph::Graph;
use crate::combine::{leaf, Wanted};
use crate::elf::image::{base_name, Image};
use crate::object::{Encoded, Function, Id, Unit, Variable, View, NONE};
use crate::support::hash::Fast;

/// One object, cut down; strings, tags and symbols are those of the whole one.
pub struct Abridged<'v> {
    whole: View<'v>,
    encoded: Encoded,
}

impl Abridged<'_> {
    pub fn view(&self) -> View<'_> {
        View {
            strings: self.whole.strings,
            tags: self.whole.tags,
            symbols: self.whole.symbols,
            ..self.encoded.view()
        }
    }
}

/// Without the objects that are left out by their language. `None` where that concerns a part of one.
pub fn objects<'v>(
    base: &Base,
    objects: &[(u32, View<'v>)],
    image: &Image<'_>,
    wanted: &Wanted<'_>,
) -> Option<Vec<(u32, Abridged<'v>)>> {
    let excluded = |unit: &Unit| wanted.excluded_languages.contains(&unit.language);
    let mut numbers = Vec::new();
    let mut sorted: Vec<Object<'v>> = Vec::new();
    let mut names = Names::default();
    for (i, view) in objects {
        match view.units.iter().filter(|unit| excluded(unit)).count() {
            0 => {
                numbers.push(*i);
                sorted.push(Object::sort(*view, base, &mut names));
            }
            all if all == view.units.len() => {}
            _ => return None,
        }
    }
    if sorted.is_empty() {
        return None;
    }
    for object in &mut sorted {
        object.keep_whole(&names.ambiguous);
    }
    let functions = image.symbols.iter().filter(|s| s.kind == elf::STT_FUNC.0);
    let functions = functions.map(|s| xxh3_64(base_name(s.name))).collect();
    let cut = |object| Shortener::new(object).candidates(&functions, wanted);
    Some(
        numbers
            .into_iter()
            .zip(sorted.into_iter().map(cut))
            .collect(),
    )
}

/// What a type of an object is to the base.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Copied when something refers to it: prototypes of candidates.
    Needed,
    /// The base does not have it, or its identity does not say whether.
    Own,
    /// The base has it, under this id.
    InBase(u32),
    /// A declaration of what the base defines.
    Declared,
}

type Name<'v> = (Space, &'v [u8]);

/// What the objects' own names are.
#[derive(Default)]
struct Names<'v> {
    /// The definitions that the base does not have.
    own: HashMap<Name<'v>, Id>,
    /// Those that have several definitions, here or with the base.
    ambiguous: HashSet<Name<'v>>,
}

struct Object<'v> {
    view: View<'v>,
    /// By local id; 0 is void.
    standings: Vec<Standing>,
}

impl<'v> Object<'v> {
    fn sort(view: View<'v>, base: &Base, names: &mut Names<'v>) -> Object<'v> {
        let mut standings = vec![Standing::Needed; view.type_count() + 1];
        let mut start = Unit::default();
        for unit in view.units {
            for local in start.protos_end + 1..=unit.types_end {
                standings[local as usize] = standing(&view, local, base, names);
            }
            start = *unit;
        }
        Object { view, standings }
    }

    /// What leads to another definition of one of these names than that of the base is another type
    /// than what the base has, or may be: it stays as it is.
    fn keep_whole(&mut self, ambiguous: &HashSet<Name<'v>>) {
        let view = self.view;
        let is_other = |&local: &u32| {
            self.standings[local as usize] == Standing::Own
                && name_of(&view, local)
                    .is_some_and(|(name, declared)| !declared && ambiguous.contains(&name))
        };
        let from: Vec<u32> = (1..self.standings.len() as u32).filter(is_other).collect();
        if from.is_empty() {
            return;
        }
        let graph = Graph::new(view.type_count(), |local, visit| {
            for_each_target(view.type_words(local), visit);
        });
        for (standing, reached) in self.standings[1..]
            .iter_mut()
            .zip(graph.reversed().reach(from))
        {
            if reached && *standing != Standing::Needed {
                *standing = Standing::Own;
            }
        }
    }
}

/// The name of a nominal type, and whether it is only declared.
fn name_of<'v>(view: &View<'v>, local: u32) -> Option<(Name<'v>, bool)> {
    let words = view.type_words(local);
    let (space, declared) = btf::nominal(words)?;
    Some(((space, view.string(words[0])), declared))
}

fn standing<'v>(view: &View<'v>, local: u32, base: &Base, names: &mut Names<'v>) -> Standing {
    let identity = view.ids[local as usize - 1];
    if let Some(id) = base.index.find(identity) {
        return Standing::InBase(id);
    }
    let Some((name, declared)) = name_of(view, local) else {
        return Standing::Own;
    };
    let is_defined = base.of_name(name.0, name.1).any(|id| base.defines(id));
    match (declared, is_defined) {
        (true, true) => return Standing::Declared,
        (true, false) => {}
        (false, false) if *names.own.entry(name).or_insert(identity) == identity => {}
        (false, _) => {
            names.ambiguous.insert(name);
        }
    }
    Standing::Own
}

/// The object that is being made.
struct Shortener<'v> {
    object: Object<'v>,
    /// The new number of each type, once it has one.
    numbers: Vec<u32>,
    count: u32,
    /// Types that have a number, but no words yet; in the order of their numbers.
    fresh: Vec<u32>,
    encoded: Encoded,
}

impl<'v> Shortener<'v> {
    /// With the types that belong to the result by themselves.
    fn new(object: Object<'v>) -> Shortener<'v> {
        let mut copy = Shortener {
            numbers: vec![0; object.standings.len()],
            count: 0,
            fresh: Vec::new(),
            encoded: Encoded::new(object.view.target),
            object,
        };
        for local in 1..copy.numbers.len() {
            if copy.object.standings[local] == Standing::Own {
                copy.number(local as u32);
            }
        }
        copy.finish();
        copy
    }

    /// The candidates that can count, and what is left of the types for them. All is one unit.
    fn candidates(mut self, names: &HashSet<u64, Fast>, wanted: &Wanted<'_>) -> Abridged<'v> {
        let types_end = self.encoded.ids.len() as u32;
        let view = self.object.view;
        let named = |f: &Function| names.contains(&xxh3_64(view.string(f.name)));
        for function in view.functions {
            if function.symbol != NONE || named(function) {
                self.function(function);
            }
        }
        for variable in view.variables {
            if variable.type_id != 0 && (wanted.variable)(&view, variable) {
                let type_id = self.number(variable.type_id);
                let variable = Variable {
                    type_id,
                    ..*variable
                };
                self.encoded.variables.push(variable);
            }
        }
        self.finish();
        let mut encoded = self.encoded;
        encoded.units.push(Unit {
            types_end,
            protos_end: encoded.ids.len() as u32,
            functions_end: encoded.functions.len() as u32,
            variables_end: encoded.variables.len() as u32,
            ..Unit::default()
        });
        Abridged {
            whole: view,
            encoded,
        }
    }

    fn number(&mut self, local: u32) -> u32 {
        match self.numbers[local as usize] {
            0 if local == 0 => 0,
            0 => self.new_number(local),
            known => known,
        }
    }

    fn new_number(&mut self, local: u32) -> u32 {
        self.fresh.push(local);
        self.count += 1;
        self.numbers[local as usize] = self.count;
        self.count
    }

    /// Its two prototypes stay neighbours.
    fn function(&mut self, function: &Function) {
        let proto = if function.passed_proto() == function.proto {
            self.number(function.proto)
        } else {
            let proto = self.new_number(function.proto);
            self.new_number(function.passed_proto());
            proto
        };
        self.encoded.functions.push(Function { proto, ..*function });
    }

    /// Copy the words of the types that were given numbers, and of all that they lead to.
    fn finish(&mut self) {
        let mut done = 0;
        while done < self.fresh.len() {
            let local = self.fresh[done];
            done += 1;
            self.copy(local);
        }
        self.fresh.clear();
    }

    fn copy(&mut self, local: u32) {
        let view = self.object.view;
        let words = view.type_words(local);
        let at = self.encoded.words.len();
        self.encoded.words.extend_from_slice(words);
        match (self.object.standings[local as usize], btf::nominal(words)) {
            (Standing::InBase(id), Some((_, false))) => {
                leaf::make_leaf(&mut self.encoded.words, at, id);
            }
            _ => {
                if let Some(kind) = btf::kind_of(words) {
                    btf::for_each_field(kind, words, |i, field| {
                        if field == Field::Type {
                            self.encoded.words[at + i] = self.number(words[i]);
                        }
                    });
                }
            }
        }
        self.encoded.ids.push(view.ids[local as usize - 1]);
        self.encoded.starts.push(self.encoded.words.len() as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::btf::Kind;
    use crate::combine::base::sample;
    use crate::combine::sample::WANTED;
    use crate::elf::image::ImageSymbol;
    use crate::object::sample::{
        add_function, declared, int, object, object_with, of, prototype, raw, structure, A, B, S,
        STRINGS,
    };

    /// A linked file with a function of this name.
    fn image(function: &'static [u8]) -> Image<'static> {
        Image {
            path: std::path::Path::new("sample.ko"),
            relocatable: true,
            spans: crate::elf::spans::Spans::default(),
            sections: Vec::new(),
            symbols: vec![ImageSymbol {
                name: function,
                section: 1,
                value: 0,
                size: 1,
                kind: elf::STT_FUNC.0,
                binding: 0,
            }],
            btf_ids: Vec::new(),
            big_endian: false,
            relaxes: false,
            groups: vec![0],
            group_names: vec![b""],
        }
    }

    fn base() -> Base {
        sample(raw(&[int(), structure(S, &[(A, 1)]), of(Kind::Ptr, 0, 2)]))
    }

    /// The only object cut down: the words of its types, and whether each is a leaf.
    fn cut(whole: &Encoded, function: &'static [u8]) -> Vec<(Option<Kind>, bool)> {
        let all = [(0, whole.view())];
        let cut = objects(&base(), &all, &image(function), &WANTED).expect("nothing is left out");
        let view = cut[0].1.view();
        let types = (1..=view.type_count() as u32).map(|id| view.type_words(id));
        types
            .map(|words| (btf::kind_of(words), leaf::is_leaf(words)))
            .collect()
    }

    #[test]
    fn of_what_the_base_has_names_stay_where_they_are_needed() {
        let types = [
            int(),
            structure(S, &[(A, 1)]),
            of(Kind::Ptr, 0, 2),
            structure(B, &[(A, 3)]),
        ];
        let whole = object(&types).expect("sound");
        let expected = [
            (Some(Kind::Struct), false),
            (Some(Kind::Ptr), false),
            (Some(Kind::Struct), true),
        ];
        assert_eq!(cut(&whole, b""), expected);
        let nothing = object(&types[..3]).expect("sound");
        assert_eq!(cut(&nothing, b""), []);
    }

    #[test]
    fn what_leads_to_another_definition_than_that_of_the_base_stays_whole() {
        let types = [
            int(),
            structure(S, &[(B, 1)]),
            of(Kind::Ptr, 0, 2),
            of(Kind::Const, 0, 3),
        ];
        let whole = object(&types).expect("sound");
        let kinds: Vec<_> = cut(&whole, b"").into_iter().map(|(kind, _)| kind).collect();
        let expected = [Kind::Struct, Kind::Ptr, Kind::Const, Kind::Int].map(Some);
        assert_eq!(kinds, expected);
    }

    #[test]
    fn functions_that_the_linked_file_does_not_name_go_with_their_prototypes() {
        let mut whole = object_with(STRINGS, &[int(), prototype(&[1])], 1).expect("sound");
        add_function(&mut whole, S, 2);
        assert_eq!(cut(&whole, b"other"), []);
        let expected = [(Some(Kind::FuncProto), false), (Some(Kind::Int), false)];
        assert_eq!(cut(&whole, b"s"), expected);
        // gcc names what it made of a function after it.
        assert_eq!(cut(&whole, b"s.isra.0"), expected);
    }

    #[test]
    fn a_declaration_of_what_the_base_defines_is_left_out() {
        let whole = object(&[declared(S), declared(B)]).expect("sound");
        assert_eq!(cut(&whole, b""), [(Some(Kind::Fwd), false)]);
    }

    #[test]
    fn an_object_of_a_language_that_is_left_out_is_not_there() {
        let mut rust = object(&[int()]).expect("sound");
        rust.units[0].language = 0x1c;
        let c = object(&[declared(B)]).expect("sound");
        let wanted = Wanted {
            excluded_languages: &[0x1c],
            ..WANTED
        };
        let cut = |all: &[(u32, View<'_>)]| {
            let cut = objects(&base(), all, &image(b""), &wanted)?;
            Some(cut.iter().map(|(i, _)| *i).collect::<Vec<_>>())
        };
        assert_eq!(cut(&[(0, rust.view()), (1, c.view())]), Some(vec![1]));
        assert_eq!(cut(&[(0, rust.view())]), None);
        let mut both = c;
        both.units.insert(0, rust.units[0]);
        assert_eq!(cut(&[(0, both.view())]), None);
    }
}
