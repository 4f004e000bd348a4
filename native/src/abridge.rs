// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! What a module's BTF needs of its objects. Nearly all of their types are in the base, under
//! identities that say all. So each object is cut down, before it is combined, to the types that
//! the base does not have, to what these refer to, and to the candidates that can count. Of a struct
//! that the base has, name and identity stay: a leaf, as `base` makes them.
//!
//! Where a name has several definitions, in the base or because the module has another one, an
//! identity does not say all. What reaches such a name stays whole, for `refine` to tell apart.

use std::collections::{HashMap, HashSet};

use object::elf;
use xxhash_rust::xxh3::xxh3_64;

use crate::base::{self, Base};
use crate::btf::{self, Field};
use crate::combine::Wanted;
use crate::encode::Fast;
use crate::encoded::{Encoded, Function, Unit, Variable, View, NONE};
use crate::identity::{self, Space};
use crate::image::{base_name, Image};

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
    let mut sorted = Vec::new();
    for (i, view) in objects {
        match view.units.iter().filter(|unit| excluded(unit)).count() {
            0 => {
                numbers.push(*i);
                sorted.push(Object::sort(*view, base));
            }
            all if all == view.units.len() => {}
            _ => return None,
        }
    }
    if sorted.is_empty() {
        return None;
    }
    keep_what_is_ambiguous(&mut sorted);
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
    /// The base does not have it.
    Own,
    /// The base has it, under this id.
    InBase(u32),
    /// A declaration of what the base defines.
    Declared,
    /// It reaches a name with several definitions.
    Ambiguous,
}

struct Object<'v> {
    view: View<'v>,
    /// By local id; 0 is void.
    standings: Vec<Standing>,
}

impl<'v> Object<'v> {
    fn sort(view: View<'v>, base: &Base) -> Object<'v> {
        let mut standings = vec![Standing::Needed; view.type_count() + 1];
        let mut start = Unit::default();
        for unit in view.units {
            for local in start.protos_end + 1..=unit.types_end {
                standings[local as usize] = standing(&view, local, base);
            }
            start = *unit;
        }
        Object { view, standings }
    }

    fn locals(&self) -> std::ops::Range<u32> {
        1..self.standings.len() as u32
    }

    fn name(&self, local: u32) -> Option<(Space, &'v [u8])> {
        let words = self.view.type_words(local);
        identity::nominal(words).map(|(space, _)| (space, self.view.string(words[0])))
    }
}

fn standing(view: &View<'_>, local: u32, base: &Base) -> Standing {
    match base.find(view.ids[local as usize - 1]) {
        Some((id, true)) => return Standing::InBase(id),
        Some((_, false)) => return Standing::Ambiguous,
        None => {}
    }
    let words = view.type_words(local);
    let Some((space, declared)) = identity::nominal(words) else {
        return Standing::Own;
    };
    let mut known = base.of_name(space, view.string(words[0]));
    match (known.next(), known.next(), declared) {
        (None, ..) => Standing::Own,
        (Some(id), None, true) if base.defines(id) => Standing::Declared,
        _ => Standing::Ambiguous,
    }
}

/// What reaches a name with several definitions, in any object: nothing of it is cut.
fn keep_what_is_ambiguous(objects: &mut [Object<'_>]) {
    let mut queue = Vec::new();
    for (i, object) in objects.iter().enumerate() {
        let ambiguous = |&local: &u32| object.standings[local as usize] == Standing::Ambiguous;
        queue.extend(object.locals().filter(ambiguous).map(|local| (i, local)));
    }
    if queue.is_empty() {
        return;
    }
    let users: Vec<Users> = objects.iter().map(|o| Users::of(&o.view)).collect();
    let mut of_name: HashMap<_, Vec<(usize, u32)>> = HashMap::new();
    for (i, object) in objects.iter().enumerate() {
        for local in object.locals() {
            if let Some(name) = object.name(local) {
                of_name.entry(name).or_default().push((i, local));
            }
        }
    }
    while let Some((i, local)) = queue.pop() {
        let name = objects[i].name(local);
        let same_name = name
            .and_then(|name| of_name.remove(&name))
            .unwrap_or_default();
        let users = users[i].of_type(local).iter().map(|&user| (i, user));
        for (i, local) in users.chain(same_name) {
            let standing = &mut objects[i].standings[local as usize];
            if !matches!(standing, Standing::Ambiguous | Standing::Needed) {
                *standing = Standing::Ambiguous;
                queue.push((i, local));
            }
        }
    }
}

/// Which types of an object refer to a type.
struct Users {
    starts: Vec<u32>,
    users: Vec<u32>,
}

impl Users {
    fn of(view: &View<'_>) -> Users {
        let count = view.type_count();
        let for_each = |visit: &mut dyn FnMut(u32, u32)| {
            for local in 1..=count as u32 {
                let words = view.type_words(local);
                let Some(kind) = identity::kind_of(words) else {
                    continue;
                };
                btf::for_each_field(kind, words, |i, field| {
                    if field == Field::Type && words[i] != 0 {
                        visit(local, words[i]);
                    }
                });
            }
        };
        // Sorted by what is referred to: first how many, then who.
        let mut starts = vec![0u32; count + 2];
        for_each(&mut |_, target| starts[target as usize + 1] += 1);
        for i in 1..starts.len() {
            starts[i] += starts[i - 1];
        }
        let mut free = starts.clone();
        let mut users = vec![0; starts[count + 1] as usize];
        for_each(&mut |local, target| {
            let place = &mut free[target as usize];
            users[*place as usize] = local;
            *place += 1;
        });
        Users { starts, users }
    }

    fn of_type(&self, local: u32) -> &[u32] {
        let i = local as usize;
        &self.users[self.starts[i] as usize..self.starts[i + 1] as usize]
    }
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
        for local in copy.object.locals() {
            let standing = copy.object.standings[local as usize];
            if matches!(standing, Standing::Own | Standing::Ambiguous) {
                copy.number(local);
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
        match (
            self.object.standings[local as usize],
            identity::nominal(words),
        ) {
            (Standing::InBase(id), Some((_, false))) => {
                base::make_leaf(&mut self.encoded.words, at, id);
            }
            _ => {
                if let Some(kind) = identity::kind_of(words) {
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
