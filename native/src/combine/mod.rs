// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Stage 2, combine: the types of many objects become one set, a **class** for each identity.
//!
//! Objects may come in any order and from several threads: a class is what its identity says, no
//! matter which object brought it first. A type's words are read only then; later objects cost
//! one look-up per type.

pub mod base;
pub mod declarations;
pub mod graph;
pub mod intake;
pub mod leaf;
pub mod objects;
pub mod reduce;
pub mod refine;
#[cfg(test)]
pub mod sample;
pub mod sieve;
pub mod units;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use hashbrown::hash_table::{Entry, HashTable};

use crate::btf::{self, Field, Kind, Space};
use crate::object::features::Features;
use crate::object::function_flags as flag;
use crate::object::identity;
use crate::object::numbering::{Class, Numbered, Sifted};
use crate::object::sites::Site;
use crate::object::{text_at, Function, Id, Short, Target, Variable, View, NONE};
use crate::support::error::{Error, Result};
use crate::support::hash::Fast;

/// Number of an object of the link, in the caller's count.
pub type ObjectIndex = u32;

/// Identities of some local types of an object that replace those in it (see `refine`).
pub type Overrides = HashMap<u32, Id>;

/// A set of strings, each once, at fixed offsets.
pub struct Strings {
    pub bytes: Vec<u8>,
    /// Hash and offset of each.
    table: HashTable<(Short, u32)>,
}

impl Strings {
    fn new() -> Self {
        Strings {
            bytes: vec![0],
            table: HashTable::new(),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.table.len()
    }

    pub fn get(&self, offset: u32) -> &[u8] {
        text_at(&self.bytes, offset)
    }

    pub fn add(&mut self, text: &[u8]) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let bytes = &mut self.bytes;
        let hash = Short::of(text);
        let entry = self.table.entry(
            hash.spread(),
            |&(own, at)| own == hash && text_at(bytes, at) == text,
            |(own, _)| own.spread(),
        );
        match entry {
            Entry::Occupied(known) => known.get().1,
            Entry::Vacant(new) => {
                let at = bytes.len() as u32;
                new.insert((hash, at));
                bytes.extend_from_slice(text);
                bytes.push(0);
                at
            }
        }
    }

    pub fn find(&self, text: &[u8]) -> Option<u32> {
        if text.is_empty() {
            return Some(0);
        }
        let hash = Short::of(text);
        let is = |&(own, at): &(Short, u32)| own == hash && self.get(at) == text;
        self.table.find(hash.spread(), is).map(|&(_, at)| at)
    }
}

/// A name in its space.
pub type Name = (Space, u32);

/// Classes that define names, by name.
pub struct Definitions {
    all: Vec<(Name, Class)>,
}

impl Definitions {
    /// Those of one name, each with it.
    pub fn of(&self, name: Name) -> &[(Name, Class)] {
        let start = self.all.partition_point(|&(other, _)| other < name);
        let rest = &self.all[start..];
        &rest[..rest.iter().take_while(|&&(other, _)| other == name).count()]
    }

    /// Those of each name.
    pub fn names(&self) -> impl Iterator<Item = &[(Name, Class)]> {
        self.all.chunk_by(|a, b| a.0 == b.0)
    }
}

/// What is known of a class besides its words.
#[derive(Clone, Copy)]
pub struct ClassFacts {
    pub id: Id,
    /// Belongs to the result by itself; the others only when something refers to them.
    pub required: bool,
    /// Nobody has it any more: `Combiner::stands_for` says what stands for it.
    pub dead: bool,
    /// Id in the base BTF, or 0.
    pub base_id: u32,
    /// How many types of units that count are it; prototypes of candidates are not counted.
    pub holders: u32,
    /// Told apart from the class of its words by what it leads to (see `refine`).
    pub variant: bool,
}

/// Function candidates of one identity.
pub struct FunctionClass {
    pub name: u32,
    /// As written, and as passed: the same where the compiler changed nothing.
    pub proto: Class,
    pub passed_proto: Class,
    pub flags: u32,
    /// (value, component)
    pub tags: Vec<(u32, i32)>,
    pub id: Id,
    /// How many DIEs are it.
    pub holders: u32,
    pub dead: bool,
}

/// How a function is called: the prototype that counts, and the facts that go with it.
#[derive(Clone, Copy)]
pub struct Signature {
    pub proto: Class,
    pub flags: u32,
}

impl FunctionClass {
    /// With true signatures parameters count as they are passed, else as they are written.
    pub fn signature(&self, features: &Features) -> Signature {
        let (mut proto, mut flags) = (self.proto, self.flags);
        if features.true_signature && flags & flag::SIGNATURE_CHANGED != 0 {
            proto = self.passed_proto;
            flags &= !flag::UNEXPECTED_REG;
            if flags & flag::PASSED_UNEXPECTED != 0 {
                flags |= flag::UNEXPECTED_REG;
            }
        }
        Signature { proto, flags }
    }
}

/// Where a candidate stands, by its own object's account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Address in the linked file.
    Address(u64),
    /// A symbol of the object, index in `Combiner::symbols`, and an offset to it.
    Symbol(u32, u64),
    Unknown,
}

/// One DIE of a function class that has code.
pub struct PlacedFunction {
    pub class: u32,
    pub place: Place,
    pub object: ObjectIndex,
    pub die: u64,
}

pub struct PlacedVariable {
    pub name: u32,
    pub class: Class,
    pub flags: u32,
    pub size: u64,
    pub tags: Vec<(u32, i32)>,
    pub place: Place,
    pub object: ObjectIndex,
    pub die: u64,
}

/// A place where a function was inlined.
#[derive(Clone, Copy)]
pub struct PlacedSite {
    /// Function class.
    pub function: u32,
    pub place: Place,
    pub object: ObjectIndex,
    /// Of the function, by which it is taken out with it.
    pub die: u64,
    /// Where its parameters are: a number of `Combiner::places`.
    pub places: u32,
}

/// A symbol at which some candidate stands; names are in `Combiner::strings`.
#[derive(Clone, Copy)]
pub struct ObjectSymbol {
    pub object: ObjectIndex,
    pub name: u32,
    pub section: u32,
    pub file: u32,
    pub kind: u8,
    pub binding: u8,
    /// Its section moves as a whole, and the object has no other of that name.
    pub moves_whole: bool,
    pub value: u64,
    pub size: u64,
}

/// What somebody wants to see each time that it is met.
#[derive(Clone, PartialEq, Eq)]
pub enum Watch {
    /// Functions and types of this name.
    Name(Vec<u8>),
    Everything,
}

impl Watch {
    fn covers(&self, name: &[u8]) -> bool {
        match self {
            Watch::Name(watched) => watched == name,
            Watch::Everything => true,
        }
    }
}

/// Which candidates the link can use at all: the rest need not be collected.
pub struct Wanted<'a> {
    pub variable: &'a (dyn Fn(&View<'_>, &Variable) -> bool + Sync),
    /// `DW_LANG_*` of units to leave out.
    pub excluded_languages: &'a [u32],
    /// Where functions were inlined.
    pub sites: bool,
}

/// What is to be taken out of the combiner: candidates by object and DIE, and how many types of a
/// class that an object was noted with.
#[derive(Default)]
pub struct Retired {
    functions: HashSet<(ObjectIndex, u64)>,
    variables: HashSet<(ObjectIndex, u64)>,
    types: HashMap<(Class, ObjectIndex), u32>,
}

pub struct Combiner<'a> {
    wanted: &'a Wanted<'a>,
    pub target: Option<Target>,
    pub strings: Strings,
    table: HashTable<Class>,
    pub words: Vec<u32>,
    pub starts: Vec<u32>,
    pub classes: Vec<ClassFacts>,
    /// What stands for a class that is dead.
    pub stands_for: HashMap<Class, Class, Fast>,
    /// Of names with several definitions the one that a declaration means.
    pub defaults: HashMap<Name, Class>,
    function_table: HashTable<u32>,
    pub functions: Vec<FunctionClass>,
    pub placed_functions: Vec<PlacedFunction>,
    pub variables: Vec<PlacedVariable>,
    pub sites: Vec<PlacedSite>,
    /// Lists as `object::sites` has them, each once.
    pub places: Vec<Box<[u32]>>,
    places_table: HashTable<u32>,
    pub symbols: Vec<ObjectSymbol>,
    /// What is asked for, and where it was met: function class, object and DIE; class and object.
    pub watch: Option<Watch>,
    pub watched_functions: Vec<(u32, ObjectIndex, u64)>,
    pub watched_types: Vec<(Class, ObjectIndex)>,
}

impl<'a> Combiner<'a> {
    pub fn new(wanted: &'a Wanted<'a>) -> Self {
        Combiner {
            wanted,
            target: None,
            strings: Strings::new(),
            table: HashTable::new(),
            words: Vec::new(),
            starts: vec![0],
            classes: Vec::new(),
            stands_for: HashMap::default(),
            defaults: HashMap::new(),
            function_table: HashTable::new(),
            functions: Vec::new(),
            placed_functions: Vec::new(),
            variables: Vec::new(),
            sites: Vec::new(),
            places: Vec::new(),
            places_table: HashTable::new(),
            symbols: Vec::new(),
            watch: None,
            watched_functions: Vec::new(),
            watched_types: Vec::new(),
        }
    }

    /// Note where it is met. A name counts as one that candidates have.
    pub fn watch(&mut self, watch: Option<Watch>) {
        if let Some(Watch::Name(name)) = &watch {
            self.strings.add(name);
        }
        self.watch = watch;
    }

    pub fn wanted(&self) -> &'a Wanted<'a> {
        self.wanted
    }

    pub fn class_words(&self, class: Class) -> &[u32] {
        let i = class as usize;
        &self.words[self.starts[i - 1] as usize..self.starts[i] as usize]
    }

    pub fn facts(&self, class: Class) -> &ClassFacts {
        &self.classes[class as usize - 1]
    }

    pub fn kind(&self, class: Class) -> Option<Kind> {
        btf::kind_of(self.class_words(class))
    }

    /// The kind of a class; `None` for void.
    pub fn kind_or_void(&self, class: Class) -> Option<Kind> {
        if class == 0 {
            None
        } else {
            self.kind(class)
        }
    }

    pub fn numbers(&self) -> std::ops::RangeInclusive<Class> {
        1..=self.classes.len() as u32
    }

    /// The classes that define a name; declarations are not among them.
    pub fn definitions(&self) -> Definitions {
        let definition = |class: Class| match btf::nominal(self.class_words(class)) {
            Some((space, false)) if !self.facts(class).dead => {
                Some(((space, self.class_words(class)[0]), class))
            }
            _ => None,
        };
        let mut all: Vec<(Name, Class)> = self.numbers().filter_map(definition).collect();
        all.sort_unstable();
        Definitions { all }
    }

    pub fn find(&self, id: Id) -> Option<Class> {
        let is = |&class: &Class| self.classes[class as usize - 1].id == id;
        self.table.find(id.low, is).copied()
    }

    /// So many types are about to be added.
    pub fn reserve(&mut self, count: usize) {
        let classes = &self.classes;
        self.table
            .reserve(count, |&class| classes[class as usize - 1].id.low);
        self.classes.reserve(count);
    }

    /// Add a type that no object has (FUNC, VAR, DATASEC and their tags). Same identity, same class.
    pub fn push(&mut self, id: Id, words: &[u32]) -> Class {
        let (class, new) = self.class_of(id);
        if new {
            self.words.extend_from_slice(words);
            self.starts.push(self.words.len() as u32);
        }
        self.classes[class as usize - 1].required = true;
        class
    }

    #[inline]
    fn class_of(&mut self, id: Id) -> (Class, bool) {
        // Nearly all are known.
        match self.find(id) {
            Some(known) => (known, false),
            None => (self.new_class(id), true),
        }
    }

    fn new_class(&mut self, id: Id) -> Class {
        self.classes.push(ClassFacts {
            id,
            required: false,
            dead: false,
            base_id: 0,
            holders: 0,
            variant: false,
        });
        let class = self.classes.len() as u32;
        let classes = &self.classes;
        self.table
            .insert_unique(id.low, class, |&class| classes[class as usize - 1].id.low);
        class
    }

    /// Take in types of the base of a split BTF (see `base`): what equals one of them is not the
    /// result's own. `base_ids`: their ids there, ascending.
    pub fn add_base(
        &mut self,
        view: &View<'_>,
        base_ids: &[u32],
        is_variant: impl Fn(u32) -> bool,
    ) -> Result<()> {
        let mut local = Local::new(0, view, None, None);
        local.is_base = true;
        let all: Vec<u32> = (1..=view.type_count() as u32).collect();
        self.add_units(&mut local, &all)?;
        for (&class, &base_id) in local.classes[1..].iter().zip(base_ids) {
            let facts = &mut self.classes[class as usize - 1];
            if facts.base_id == 0 {
                facts.base_id = base_id;
                facts.variant = is_variant(base_id);
            }
        }
        self.complete_what_is_declared();
        Ok(())
    }

    /// A typedef of what the base only declares has a size where this is defined, and may be needed
    /// with it. So it is the result's own, as the definition is, if something of the result refers
    /// to it; likewise qualified types.
    fn complete_what_is_declared(&mut self) {
        let definitions = self.definitions();
        let name = |class: Class| {
            let words = self.class_words(class);
            btf::nominal(words).map(|(space, declared)| ((space, words[0]), declared))
        };
        let of_base = |class: Class| self.facts(class).base_id != 0;
        // Declared there, and defined here.
        let declared: HashSet<Name> = self
            .numbers()
            .filter(|&class| of_base(class))
            .filter_map(name)
            .filter(|(_, declared)| *declared)
            .map(|(name, _)| name)
            .filter(|&name| {
                let all = definitions.of(name);
                !all.is_empty() && !all.iter().any(|&(_, class)| of_base(class))
            })
            .collect();
        if declared.is_empty() {
            return;
        }
        let leads_to_declared = |mut class: Class| {
            while class != 0 {
                use Kind::{Array, Const, Restrict, TypeTag, Typedef, Volatile};
                let words = self.class_words(class);
                class = match btf::kind_of(words) {
                    Some(Array) => words[3],
                    Some(Typedef | Const | Volatile | Restrict | TypeTag) => words[2],
                    _ => return name(class).is_some_and(|(name, _)| declared.contains(&name)),
                };
            }
            false
        };
        let is_such =
            |&class: &Class| of_base(class) && name(class).is_none() && leads_to_declared(class);
        let such: Vec<Class> = self.numbers().filter(is_such).collect();
        for class in such {
            let facts = &mut self.classes[class as usize - 1];
            facts.base_id = 0;
            facts.required = false;
        }
    }

    /// What a thread has met: how often each type came.
    pub fn count(&mut self, numbered: &Numbered) {
        for (class, count) in numbered.told() {
            self.classes[class as usize - 1].holders += count;
        }
    }

    /// Take in one object. With `overrides`, take in only what those concern.
    pub fn add(
        &mut self,
        object: ObjectIndex,
        view: &View<'_>,
        overrides: Option<&Overrides>,
    ) -> Result<()> {
        let mut local = Local::new(object, view, overrides, None);
        let of_units: Vec<u32> = match overrides {
            None => (1..=view.type_count() as u32).collect(),
            Some(overrides) => {
                let mut ids: Vec<u32> = overrides.keys().copied().collect();
                ids.sort_unstable();
                ids
            }
        };
        self.add_units(&mut local, &of_units)
    }

    /// Take in one object of whose types only the fresh ones are not known yet; `numbered`, which has
    /// numbered them, learns the classes of these.
    pub fn add_sifted(
        &mut self,
        object: ObjectIndex,
        view: &View<'_>,
        Sifted { numbers, fresh }: &Sifted,
        numbered: &mut Numbered,
    ) -> Result<()> {
        let mut local = Local::new(object, view, None, Some((numbered, numbers)));
        self.add_units(&mut local, fresh)?;
        let classes = local.classes;
        for &id in fresh {
            numbered.learn(numbers[id as usize - 1], classes[id as usize]);
        }
        Ok(())
    }

    /// `types`: the local types to look at, ascending. Prototypes of candidates are among them or
    /// not; they come with those.
    fn add_units(&mut self, local: &mut Local<'_>, types: &[u32]) -> Result<()> {
        let view = local.view;
        if !self.target.get_or_insert(view.target).is_like(&view.target) {
            return Err(Error::new(
                "built for another architecture than the rest of the link",
            ));
        }
        let (mut start, mut rest) = (crate::object::Unit::default(), types);
        for unit in view.units {
            let (own, others) = rest.split_at(rest.partition_point(|&id| id <= unit.protos_end));
            rest = others;
            if !self.wanted.excluded_languages.contains(&unit.language) {
                let proper = own.partition_point(|&id| id <= unit.types_end);
                self.add_unit(local, &own[..proper], &start, unit);
            }
            start = *unit;
        }
        Ok(())
    }

    /// `types`: those of the unit proper to look at.
    fn add_unit(
        &mut self,
        local: &mut Local<'_>,
        types: &[u32],
        start: &crate::object::Unit,
        unit: &crate::object::Unit,
    ) {
        for &id in types {
            let class = self.local_class(local, id);
            let facts = &mut self.classes[class as usize - 1];
            facts.required = true;
            // Whoever has numbered them has counted them, too.
            facts.holders += u32::from(local.met.is_none() && !local.is_base);
        }
        self.copy_fresh(local);
        if self.watch.is_some() {
            self.note_types(local, start.protos_end + 1..=unit.types_end);
        }
        let overrides = local.overrides;
        let concerned = |id: u32| overrides.is_none_or(|o| o.contains_key(&id));
        let view = local.view;
        let functions = &view.functions[start.functions_end as usize..unit.functions_end as usize];
        for function in functions
            .iter()
            .filter(|f| concerned(f.proto) || concerned(f.passed_proto()))
        {
            let class = self.add_function(local, function);
            if self.wanted.sites {
                self.add_sites(local, function, class);
            }
        }
        let variables = &view.variables[start.variables_end as usize..unit.variables_end as usize];
        for variable in variables {
            if concerned(variable.type_id)
                && variable.type_id != 0
                && (self.wanted.variable)(view, variable)
            {
                self.add_variable(local, variable);
            }
        }
    }

    #[inline]
    fn local_class(&mut self, local: &mut Local<'_>, id: u32) -> Class {
        let known = local.classes[id as usize];
        if known != 0 {
            return known;
        }
        let (class, new) = match local.met_as(id) {
            0 => self.class_of(local.identity(id)),
            class => (class, false),
        };
        local.classes[id as usize] = class;
        if new {
            local.fresh.push(id);
            // Its words follow in the order of `fresh`.
        }
        class
    }

    /// Copy the words of types met for the first time; what they refer to may be new as well.
    fn copy_fresh(&mut self, local: &mut Local<'_>) {
        let mut done = 0;
        while done < local.fresh.len() {
            let id = local.fresh[done];
            done += 1;
            let words = local.view.type_words(id);
            let at = self.words.len();
            self.words.extend_from_slice(words);
            if let Some(kind) = btf::kind_of(words) {
                btf::for_each_field(kind, words, |i, field| {
                    self.words[at + i] = match (field, words[i]) {
                        (_, 0) => 0,
                        (Field::Name, name) => self.strings.add(local.view.string(name)),
                        (Field::Type, target) => self.local_class(local, target),
                    };
                });
            }
            self.starts.push(self.words.len() as u32);
        }
        local.fresh.clear();
    }

    fn add_function(&mut self, local: &mut Local<'_>, function: &Function) -> u32 {
        let view = local.view;
        let id = match local.overrides {
            Some(overrides) => {
                let own = |id: u32| view.ids[id as usize - 1];
                let proto = |id: u32| overrides.get(&id).copied().unwrap_or_else(|| own(id));
                identity::of_function(view, function, proto, &mut Vec::new())
            }
            None => function.id,
        };
        let functions = &self.functions;
        let known = self
            .function_table
            .find(id.low, |&i| functions[i as usize].id == id)
            .copied();
        let class = match known {
            Some(class) => class,
            None => {
                let proto = self.local_class(local, function.proto);
                let passed_proto = self.local_class(local, function.passed_proto());
                self.copy_fresh(local);
                let class = FunctionClass {
                    name: self.strings.add(view.string(function.name)),
                    proto,
                    passed_proto,
                    flags: function.flags,
                    tags: self.tags(view, function.tags_start, function.tags_len),
                    id,
                    holders: 0,
                    dead: false,
                };
                self.functions.push(class);
                let number = self.functions.len() as u32 - 1;
                let functions = &self.functions;
                self.function_table
                    .insert_unique(id.low, number, |&i| functions[i as usize].id.low);
                number
            }
        };
        self.functions[class as usize].holders += 1;
        let name = view.string(function.name);
        if self.watch.as_ref().is_some_and(|watch| watch.covers(name)) {
            self.watched_functions
                .push((class, local.object, function.die));
        }
        let place = if view.target.relocatable == 0 {
            match function.low_pc {
                0 => Place::Unknown,
                address => Place::Address(address),
            }
        } else {
            match function.symbol {
                NONE => Place::Unknown,
                symbol => Place::Symbol(self.symbol(local, symbol), 0),
            }
        };
        if place != Place::Unknown {
            self.placed_functions.push(PlacedFunction {
                class,
                place,
                object: local.object,
                die: function.die,
            });
        }
        class
    }

    /// The sites of one function of an object.
    fn add_sites(&mut self, local: &mut Local<'_>, function: &Function, class: u32) {
        let view = local.view;
        let die = function.die;
        let Ok(index) = view.functions.binary_search_by_key(&die, |f| f.die) else {
            return;
        };
        let all = view.sites.unwrap_or_default();
        let is_before = |site: &Site| (site.function as usize) < index;
        let own = all[all.partition_point(is_before)..].iter();
        for site in own.take_while(|site| site.function as usize == index) {
            let place = match (view.target.relocatable, site.symbol) {
                (0, _) => Place::Address(site.address),
                (_, NONE) => continue,
                (_, symbol) => Place::Symbol(self.symbol(local, symbol), site.address),
            };
            let range = site.places_start as usize..(site.places_start + site.places_len) as usize;
            let placed = PlacedSite {
                function: class,
                place,
                object: local.object,
                die,
                places: self.places(&view.places[range]),
            };
            self.sites.push(placed);
        }
    }

    /// The number of a list of places.
    fn places(&mut self, list: &[u32]) -> u32 {
        let hash = |list: &[u32]| xxhash_rust::xxh3::xxh3_64(bytemuck::cast_slice(list));
        let all = &mut self.places;
        let entry = self.places_table.entry(
            hash(list),
            |&known| *all[known as usize] == *list,
            |&known| hash(&all[known as usize]),
        );
        match entry {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let number = all.len() as u32;
                new.insert(number);
                all.push(list.into());
                number
            }
        }
    }

    /// Note where the watched name is defined or declared as a type, or where any type is met.
    fn note_types(&mut self, local: &Local<'_>, ids: std::ops::RangeInclusive<u32>) {
        let Some(watch) = &self.watch else { return };
        for id in ids {
            let words = local.view.type_words(id);
            let concerned = local.overrides.is_none_or(|o| o.contains_key(&id));
            let is_typedef = btf::kind_of(words) == Some(Kind::Typedef);
            let named = is_typedef || btf::nominal(words).is_some();
            let watched = match watch {
                Watch::Everything => true,
                Watch::Name(_) => named && watch.covers(local.view.string(words[0])),
            };
            if concerned && watched {
                // Of what was told with another object, the class may not be known here.
                if let Some(class) = self.find(local.identity(id)) {
                    self.watched_types.push((class, local.object));
                }
            }
        }
    }

    fn add_variable(&mut self, local: &mut Local<'_>, variable: &Variable) {
        let view = local.view;
        let class = self.local_class(local, variable.type_id);
        self.copy_fresh(local);
        let place = match (view.target.relocatable, variable.symbol) {
            (0, _) => Place::Address(variable.address),
            (_, NONE) => Place::Unknown,
            (_, symbol) => Place::Symbol(self.symbol(local, symbol), variable.address),
        };
        let placed = PlacedVariable {
            name: self.strings.add(view.string(variable.name)),
            class,
            flags: variable.flags,
            size: variable.size,
            tags: self.tags(view, variable.tags_start, variable.tags_len),
            place,
            object: local.object,
            die: variable.die,
        };
        self.variables.push(placed);
    }

    fn tags(&mut self, view: &View<'_>, start: u32, len: u32) -> Vec<(u32, i32)> {
        let tags = &view.tags[start as usize..(start + len) as usize];
        tags.iter()
            .map(|t| (self.strings.add(view.string(t.value)), t.component))
            .collect()
    }

    fn symbol(&mut self, local: &mut Local<'_>, index: u32) -> u32 {
        let known = &mut local.symbols[index as usize];
        if *known == NONE {
            let symbol = &local.view.symbols[index as usize];
            let mut add = |name| self.strings.add(local.view.string(name));
            let copy = ObjectSymbol {
                object: local.object,
                name: add(symbol.name),
                section: add(symbol.section),
                file: add(symbol.file),
                kind: symbol.kind as u8,
                binding: symbol.binding(),
                moves_whole: symbol.moves_whole(),
                value: symbol.value,
                size: symbol.size,
            };
            *known = self.symbols.len() as u32;
            self.symbols.push(copy);
        }
        *known
    }

    /// What an object brought is to be taken out, as far as it has a type that is now another one;
    /// `classes` are those of its types.
    pub fn retire(
        &mut self,
        object: ObjectIndex,
        view: &View<'_>,
        classes: &[Class],
        overrides: &Overrides,
        retired: &mut Retired,
    ) {
        let is_other = |id: u32| overrides.contains_key(&id);
        for function in view.functions {
            if !is_other(function.proto) && !is_other(function.passed_proto()) {
                continue;
            }
            let functions = &self.functions;
            let known = self
                .function_table
                .find(function.id.low, |&i| {
                    functions[i as usize].id == function.id
                })
                .copied();
            if let Some(known) = known {
                let class = &mut self.functions[known as usize];
                class.holders = class.holders.saturating_sub(1);
                class.dead = class.holders == 0;
                retired.functions.insert((object, function.die));
            }
        }
        let variables = view.variables.iter().filter(|v| is_other(v.type_id));
        retired.variables.extend(variables.map(|v| (object, v.die)));
        if self.watch.is_some() {
            for &local in overrides.keys() {
                let types = &mut retired.types;
                *types.entry((classes[local as usize], object)).or_default() += 1;
            }
        }
    }

    /// Take it out.
    pub fn sweep(&mut self, retired: Retired) {
        let Retired {
            functions,
            variables,
            mut types,
        } = retired;
        self.placed_functions
            .retain(|f| !functions.contains(&(f.object, f.die)));
        self.watched_functions
            .retain(|&(_, object, die)| !functions.contains(&(object, die)));
        self.sites
            .retain(|s| !functions.contains(&(s.object, s.die)));
        self.variables
            .retain(|v| !variables.contains(&(v.object, v.die)));
        self.watched_types.retain(|met| match types.get_mut(met) {
            Some(count) if *count > 0 => {
                *count -= 1;
                false
            }
            _ => true,
        });
    }

    /// So many types of each class are now others. Returned are the classes that nobody has any more.
    pub fn leave(&mut self, left: &HashMap<Class, u32>) -> Vec<Class> {
        let mut dead = Vec::new();
        // Prototypes of candidates are not counted.
        let functions = self.functions.iter().filter(|f| !f.dead);
        let prototypes: HashSet<Class, Fast> =
            functions.flat_map(|f| [f.proto, f.passed_proto]).collect();
        for (&class, &count) in left {
            let facts = &mut self.classes[class as usize - 1];
            facts.holders = facts.holders.saturating_sub(count);
            if facts.holders == 0 && facts.base_id == 0 {
                facts.required = false;
                if !prototypes.contains(&class) {
                    facts.dead = true;
                    dead.push(class);
                }
            }
        }
        dead
    }

    /// References to what is dead, and to declarations of names with several definitions, lead to what
    /// is meant, whichever object brought them: the fix-up compares what prototypes lead to.
    pub fn mean_the_defaults(&mut self) {
        let meant: HashMap<Class, Class, Fast> = self
            .numbers()
            .filter_map(|class| {
                let words = self.class_words(class);
                let instead = match btf::nominal(words) {
                    _ if self.stands_for.contains_key(&class) => self.stands_for.get(&class),
                    Some((space, true)) => self.defaults.get(&(space, words[0])),
                    _ => None,
                };
                Some((class, *instead?))
            })
            .collect();
        for class in self.numbers() {
            let at = self.starts[class as usize - 1] as usize;
            let words = self.words[at..self.starts[class as usize] as usize].to_vec();
            if let Some(kind) = btf::kind_of(&words) {
                btf::for_each_field(kind, &words, |i, field| {
                    if let (Field::Type, Some(&instead)) = (field, meant.get(&words[i])) {
                        self.words[at + i] = instead;
                    }
                });
            }
        }
    }

    /// What is kept of each object stands in the order of the objects, whichever came in first.
    pub fn sort_by_object(&mut self) {
        let symbols = &self.symbols;
        let mut order: Vec<u32> = (0..symbols.len() as u32).collect();
        order.sort_by_key(|&i| symbols[i as usize].object);
        let mut moved = vec![0; order.len()];
        for (to, &from) in (0..).zip(&order) {
            moved[from as usize] = to;
        }
        self.symbols = order.iter().map(|&i| symbols[i as usize]).collect();
        let functions = self.placed_functions.iter_mut().map(|f| &mut f.place);
        let variables = self.variables.iter_mut().map(|v| &mut v.place);
        let sites = self.sites.iter_mut().map(|s| &mut s.place);
        for place in functions.chain(variables).chain(sites) {
            if let Place::Symbol(symbol, _) = place {
                *symbol = moved[*symbol as usize];
            }
        }
        self.placed_functions.sort_by_key(|f| f.object);
        self.variables.sort_by_key(|v| v.object);
        self.sites.sort_by_key(|s| s.object);
        self.watched_functions
            .sort_by_key(|&(_, object, die)| (object, die));
        self.watched_types.sort_by_key(|&(_, object)| object);
    }
}

struct Local<'v> {
    view: &'v View<'v>,
    overrides: Option<&'v Overrides>,
    /// Who has numbered the types, and their numbers.
    met: Option<(&'v Numbered, &'v [u32])>,
    /// Class of each local id, once known.
    classes: Vec<Class>,
    fresh: Vec<u32>,
    symbols: Vec<u32>,
    object: ObjectIndex,
    /// A part of the base, which counts for nobody.
    is_base: bool,
}

impl<'v> Local<'v> {
    fn new(
        object: ObjectIndex,
        view: &'v View<'v>,
        overrides: Option<&'v Overrides>,
        met: Option<(&'v Numbered, &'v [u32])>,
    ) -> Self {
        Local {
            view,
            overrides,
            met,
            classes: vec![0; view.type_count() + 1],
            fresh: Vec::new(),
            symbols: vec![NONE; view.symbols.len()],
            object,
            is_base: false,
        }
    }

    /// The class of a local type that was taken in with another object, or 0.
    #[inline]
    fn met_as(&self, id: u32) -> Class {
        let number = |numbers: &[u32]| numbers[id as usize - 1];
        self.met
            .map_or(0, |(numbered, numbers)| numbered.class(number(numbers)))
    }

    /// The identity of a local type.
    #[inline]
    fn identity(&self, id: u32) -> Id {
        let i = id as usize - 1;
        if let Some((numbered, numbers)) = self.met {
            return numbered.id(numbers[i]);
        }
        let own = self.view.ids[i];
        self.overrides.map_or(own, |o| *o.get(&id).unwrap_or(&own))
    }
}

/// A string for a person, on one line.
pub fn printable(text: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(text) {
        Ok(plain) if !plain.contains(char::is_control) => Cow::Borrowed(plain),
        _ => Cow::Owned(text.escape_ascii().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::sample::{added, WANTED};
    use super::*;
    use crate::object::sample::{
        add_function, declared, int, object, object_with, of, prototype, structure, A, B, S,
        STRINGS,
    };
    use crate::object::{Encoded, Symbol};

    #[test]
    fn a_string_has_one_place() {
        let mut strings = Strings::new();
        let (one, other) = (strings.add(b"one"), strings.add(b"other"));
        assert_eq!((strings.add(b"one"), strings.add(b"")), (one, 0));
        assert_eq!(
            (strings.get(one), strings.get(other)),
            (&b"one"[..], &b"other"[..])
        );
        assert_eq!(
            (strings.find(b"other"), strings.find(b"on")),
            (Some(other), None)
        );
        assert_eq!((strings.find(b""), strings.count()), (Some(0), 2));
    }

    #[test]
    fn what_is_equal_is_one_class_whoever_comes_first() {
        let a = object(&[int(), structure(S, &[(A, 1)]), of(Kind::Ptr, 0, 2)]).expect("sound");
        let b = object(&[of(Kind::Ptr, 0, 2), declared(S), int()]).expect("sound");
        for objects in [[&a, &a, &b], [&b, &a, &a], [&a, &b, &a]] {
            let combiner = added(&objects);
            let held = |id: Id| combiner.find(id).map(|class| combiner.facts(class).holders);
            assert_eq!(combiner.classes.len(), 4);
            assert_eq!(
                [held(a.ids[0]), held(a.ids[1]), held(a.ids[2])],
                [Some(3), Some(2), Some(3)]
            );
            assert_eq!(held(b.ids[1]), Some(1));
        }
    }

    #[test]
    fn prototypes_come_with_their_functions_and_do_not_count_by_themselves() {
        let plain = object_with(STRINGS, &[int(), prototype(&[1])], 1).expect("sound");
        let mut with = object_with(STRINGS, &[int(), prototype(&[1])], 1).expect("sound");
        add_function(&mut with, S, 2);
        let proto = plain.ids[1];
        assert_eq!(added(&[&plain]).find(proto), None);
        let combiner = added(&[&with, &plain, &with]);
        let class = combiner.find(proto).expect("came with the function");
        assert!(!combiner.facts(class).required);
        let [function] = &combiner.functions[..] else {
            panic!("one function class");
        };
        assert_eq!((function.proto, function.holders), (class, 2));
    }

    #[test]
    fn units_of_a_language_that_is_left_out_bring_nothing() {
        let mut rust = object(&[int()]).expect("sound");
        rust.units[0].language = 0x1c;
        let wanted = Wanted {
            excluded_languages: &[0x1c],
            ..WANTED
        };
        let mut combiner = Combiner::new(&wanted);
        combiner.add(0, &rust.view(), None).expect("sound");
        assert!(combiner.classes.is_empty());
    }

    #[test]
    fn objects_of_two_architectures_are_refused() {
        let here = object(&[int()]).expect("sound");
        let mut elsewhere = object(&[int()]).expect("sound");
        elsewhere.target.big_endian = 1;
        let mut combiner = added(&[&here]);
        assert!(combiner.add(1, &elsewhere.view(), None).is_err());
    }

    /// A variable of type 1 at the only symbol; both have this name.
    fn with_variable(name: u32) -> Encoded {
        let mut encoded = object(&[int()]).expect("sound");
        encoded.target.relocatable = 1;
        encoded.symbols.push(Symbol {
            name,
            section: 0,
            file: 0,
            kind: 0,
            value: 0,
            size: 4,
        });
        encoded.variables.push(Variable {
            name,
            type_id: 1,
            flags: 0,
            tags_start: 0,
            tags_len: 0,
            symbol: 0,
            size: 4,
            address: 0,
            die: 0,
        });
        encoded.units[0].variables_end = 1;
        encoded
    }

    #[test]
    fn candidates_keep_their_symbols_when_they_are_put_in_order() {
        let (first, second) = (with_variable(A), with_variable(B));
        let mut combiner = Combiner::new(&WANTED);
        combiner.add(1, &second.view(), None).expect("sound");
        combiner.add(0, &first.view(), None).expect("sound");
        combiner.sort_by_object();
        let named: Vec<_> = combiner
            .variables
            .iter()
            .map(|v| (v.object, combiner.strings.get(v.name)))
            .collect();
        assert_eq!(named, [(0, &b"a"[..]), (1, &b"b"[..])]);
        for variable in &combiner.variables {
            let Place::Symbol(symbol, 0) = variable.place else {
                panic!("at a symbol");
            };
            let symbol = &combiner.symbols[symbol as usize];
            assert_eq!(
                (symbol.object, symbol.name),
                (variable.object, variable.name)
            );
        }
    }

    /// Id in the base of a typedef of `struct s`, which the base only declares, beside this object.
    fn base_id_of_typedef(object: &Encoded) -> u32 {
        let mut combiner = added(&[object]);
        let part = object_of_base();
        combiner
            .add_base(&part.view(), &[7, 8], |_| false)
            .expect("sound");
        let typedef = combiner.find(part.ids[1]).expect("of the base");
        combiner.facts(typedef).base_id
    }

    fn object_of_base() -> Encoded {
        object(&[declared(S), of(Kind::Typedef, A, 1)]).expect("sound")
    }

    #[test]
    fn a_typedef_of_what_the_base_only_declares_is_needed_with_its_definition() {
        let defines = object(&[int(), structure(S, &[(A, 1)])]).expect("sound");
        assert_eq!(base_id_of_typedef(&defines), 0);
        assert_eq!(base_id_of_typedef(&object_of_base()), 8);
    }
}
