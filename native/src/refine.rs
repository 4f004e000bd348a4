// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Names with several definitions ("ambiguous names").
//!
//! For those, "struct NAME" says too little. Each object means one definition (or only declares
//! the name), so types that reach an ambiguous name are rendered again, with what that object
//! means in its place, and again, until no class splits any more. Types that became different
//! may make further names ambiguous: two objects whose `struct outer` embeds two `struct inner`.
//!
//! A declaration of an ambiguous name stays a declaration of its own: which definition it would
//! mean, nobody can tell.

use std::collections::{HashMap, HashSet};

use crate::base::Part;
use crate::btf::{self, Field};
use crate::combine::{self, Class, Combiner, ObjectIndex, Overrides};
use crate::encode::Fast;
use crate::encoded::{Id, View};
use crate::error::{Error, Result};
use crate::identity::{self, Render, Space};

type Name = (Space, Vec<u8>);

/// The classes that reach a name with several definitions.
#[derive(Default)]
pub struct Affected {
    /// For each class whether it does; empty when none does.
    pub classes: Vec<bool>,
    /// Their identities: few, so that nearly all types of the link are passed over quickly.
    ids: HashSet<Id, Fast>,
}

impl Affected {
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    pub fn len(&self) -> u64 {
        self.ids.len() as u64
    }

    pub fn has(&self, id: &Id) -> bool {
        self.ids.contains(id)
    }

    /// The local types of an object, given by their identities, that are affected.
    pub fn locals(&self, ids: &[Id]) -> Vec<u32> {
        (1..)
            .zip(ids)
            .filter(|(_, id)| self.has(id))
            .map(|(local, _)| local)
            .collect()
    }
}

pub fn affected(combiner: &Combiner<'_>) -> Affected {
    let classes = reaching(combiner);
    let ids = combiner
        .numbers()
        .zip(&classes)
        .filter(|(_, &is)| is)
        .map(|(class, _)| combiner.facts(class).id)
        .collect();
    Affected { classes, ids }
}

fn reaching(combiner: &Combiner<'_>) -> Vec<bool> {
    let definitions = combiner.definitions();
    let ambiguous: Vec<combine::Name> = definitions
        .names()
        .filter(|classes| is_ambiguous(combiner, classes))
        .map(|classes| classes[0].0)
        .collect();
    if ambiguous.is_empty() {
        return Vec::new();
    }
    // A declaration stands for all definitions of its name.
    let each_reference = |class: Class, to: &mut dyn FnMut(Class)| {
        let words = combiner.class_words(class);
        if let Some((space, true)) = identity::nominal(words) {
            let of_name = definitions.of((space, words[0]));
            of_name.iter().for_each(|&(_, definition)| to(definition));
        }
        if let Some(kind) = identity::kind_of(words) {
            btf::for_each_field(kind, words, |i, field| {
                if field == Field::Type && words[i] != 0 {
                    to(words[i]);
                }
            });
        }
    };
    let users = Users::new(combiner.classes.len(), each_reference);
    let has_such_name = |class: &Class| {
        let words = combiner.class_words(*class);
        let name = identity::nominal(words).map(|(space, _)| (space, words[0]));
        name.is_some_and(|name| ambiguous.binary_search(&name).is_ok())
    };
    users.reach(combiner.numbers().filter(has_such_name).collect())
}

/// Who refers to a type, of types that are numbered from 1 on.
pub struct Users {
    /// Where the users of each type end; those of the next one follow.
    ends: Vec<usize>,
    users: Vec<u32>,
}

impl Users {
    /// Of so many types; `each_reference` tells what one of them refers to, and never void.
    pub fn new(count: usize, each_reference: impl Fn(u32, &mut dyn FnMut(u32))) -> Self {
        let all = 1..=count as u32;
        let mut ends = vec![0; count + 1];
        for class in all.clone() {
            each_reference(class, &mut |target| ends[target as usize] += 1);
        }
        for i in 1..ends.len() {
            ends[i] += ends[i - 1];
        }
        let mut users = vec![0; ends[count]];
        let mut next = ends.clone();
        for class in all {
            each_reference(class, &mut |target| {
                let at = &mut next[target as usize - 1];
                users[*at] = class;
                *at += 1;
            });
        }
        Users { ends, users }
    }

    fn of(&self, number: u32) -> &[u32] {
        &self.users[self.ends[number as usize - 1]..self.ends[number as usize]]
    }

    /// For each type, without void, whether it reaches one of these.
    pub fn reach(&self, from: Vec<u32>) -> Vec<bool> {
        let mut queue = from;
        let mut reached = vec![false; self.ends.len() - 1];
        for &number in &queue {
            reached[number as usize - 1] = true;
        }
        while let Some(number) = queue.pop() {
            for &user in self.of(number) {
                if !std::mem::replace(&mut reached[user as usize - 1], true) {
                    queue.push(user);
                }
            }
        }
        reached
    }
}

/// Several definitions; or one that the base BTF of a module knows only as a declaration, which
/// cannot be changed any more.
fn is_ambiguous(combiner: &Combiner<'_>, classes: &[(combine::Name, Class)]) -> bool {
    let ((space, name), first) = classes[0];
    if classes.len() > 1 {
        return true;
    }
    let own = combiner.facts(first).base_id == 0;
    own && combiner.base_declares(space, name)
}

/// One object that holds affected types.
pub struct Object<'v> {
    pub index: ObjectIndex,
    pub view: View<'v>,
    /// Its affected local types, ascending.
    pub locals: Vec<u32>,
}

impl Object<'_> {
    /// The local types that units of these languages bring. What only they mean makes no name
    /// ambiguous for the others.
    fn is_left_out<'a>(&'a self, languages: &'a [u32]) -> impl Fn(u32) -> bool + 'a {
        let units = self.view.units;
        move |local| {
            let unit = units.partition_point(|unit| unit.protos_end < local);
            units
                .get(unit)
                .is_some_and(|unit| languages.contains(&unit.language))
        }
    }
}

/// The number of the base among the objects; larger than any object's.
const BASE: ObjectIndex = ObjectIndex::MAX;

/// Refine the affected types of the objects and of the part of the base that they meet, and put
/// what they became in place of what they were. Returned are the new identities, by object.
pub fn settle(
    combiner: &mut Combiner<'_>,
    affected: &Affected,
    objects: Vec<Object<'_>>,
    joined: Option<&Part<'_>>,
) -> Result<Vec<Overrides>> {
    let mut objects = objects;
    if let Some(part) = joined {
        let view = part.view();
        objects.push(Object {
            index: BASE,
            view,
            locals: affected.locals(view.ids),
        });
    }
    let mut overrides = refine(
        &objects,
        joined.map(|_| BASE),
        combiner.wanted().excluded_languages,
    )?;
    combiner.remove(&affected.classes);
    if let Some(part) = joined {
        let own = overrides.pop().unwrap_or_default();
        combiner.add_base(&part.view(), &part.base_ids, Some(&own))?;
    }
    for (object, overrides) in objects.iter().zip(&overrides) {
        combiner.add(object.index, &object.view, Some(overrides))?;
    }
    Ok(overrides)
}

/// New identities for the affected types of each object. `excluded`: languages of the units that
/// do not count.
pub fn refine(
    objects: &[Object<'_>],
    base: Option<ObjectIndex>,
    excluded: &[u32],
) -> Result<Vec<Overrides>> {
    // What each nominal type is labelled with; at first the identity that it has.
    let mut labels: Vec<Overrides> = objects
        .iter()
        .map(|o| {
            o.locals
                .iter()
                .map(|&l| (l, o.view.ids[l as usize - 1]))
                .collect()
        })
        .collect();
    let mut classes = 0;
    loop {
        let ambiguous = ambiguous_names(objects, &labels, base, excluded);
        let mut next = Vec::with_capacity(objects.len());
        for (object, labels) in objects.iter().zip(&labels) {
            next.push(relabel(object, labels, &ambiguous)?);
        }
        let distinct: HashSet<Id> = next.iter().flat_map(|o| o.values().copied()).collect();
        labels = next;
        if distinct.len() <= classes {
            return Ok(labels);
        }
        classes = distinct.len();
    }
}

fn ambiguous_names(
    objects: &[Object<'_>],
    labels: &[Overrides],
    base: Option<ObjectIndex>,
    excluded: &[u32],
) -> HashSet<Name> {
    let mut definitions: HashMap<Name, HashSet<Id>> = HashMap::new();
    let mut declared_in_base: HashSet<Name> = HashSet::new();
    for (object, labels) in objects.iter().zip(labels) {
        let is_left_out = object.is_left_out(excluded);
        for &local in &object.locals {
            if is_left_out(local) {
                continue;
            }
            let words = object.view.type_words(local);
            let Some((space, declared)) = identity::nominal(words) else {
                continue;
            };
            let name = (space, object.view.string(words[0]).to_vec());
            if !declared {
                definitions.entry(name).or_default().insert(labels[&local]);
            } else if Some(object.index) == base {
                declared_in_base.insert(name);
            }
        }
    }
    definitions
        .into_iter()
        .filter(|(name, ids)| ids.len() > 1 || declared_in_base.contains(name))
        .map(|(name, _)| name)
        .collect()
}

fn relabel(
    object: &Object<'_>,
    labels: &Overrides,
    ambiguous: &HashSet<Name>,
) -> Result<Overrides> {
    let mut relabel = Relabel {
        view: object.view,
        labels,
        ambiguous,
        done: Overrides::with_capacity(object.locals.len()),
    };
    for &local in &object.locals {
        relabel.visit(local, 0)?;
    }
    Ok(relabel.done)
}

struct Relabel<'a> {
    view: View<'a>,
    labels: &'a Overrides,
    ambiguous: &'a HashSet<Name>,
    done: Overrides,
}

impl Relabel<'_> {
    fn visit(&mut self, local: u32, depth: usize) -> Result<Id> {
        if let Some(&id) = self.done.get(&local) {
            return Ok(id);
        }
        if depth > 1000 {
            return Err(Error::new("types nested too deeply"));
        }
        let view = self.view;
        let words = view.type_words(local);
        let mut rendering = Rendering {
            relabel: self,
            depth,
            out: Vec::new(),
            failure: None,
        };
        identity::render(words, &mut rendering);
        let Rendering { out, failure, .. } = rendering;
        if let Some(error) = failure {
            return Err(error);
        }
        // A declaration has nothing that could tell it from others of its name.
        let id = match identity::nominal(words) {
            Some((_, true)) => view.ids[local as usize - 1],
            _ => Id::of(&out),
        };
        self.done.insert(local, id);
        Ok(id)
    }

    fn reference(&mut self, target: u32, depth: usize, out: &mut Vec<u8>) -> Result<()> {
        if target == 0 {
            out.push(b'v');
            return Ok(());
        }
        let words = self.view.type_words(target);
        if let Some((space, declared)) = identity::nominal(words) {
            let name = self.view.string(words[0]);
            out.push(space as u8);
            out.extend_from_slice(name);
            out.push(0);
            if self.ambiguous.contains(&(space, name.to_vec())) {
                match self.labels.get(&target) {
                    Some(label) if !declared => out.extend_from_slice(&label.bytes()),
                    _ => out.push(b'?'),
                }
            }
            return Ok(());
        }
        let id = if self.labels.contains_key(&target) {
            self.visit(target, depth + 1)?
        } else {
            self.view.ids[target as usize - 1]
        };
        out.push(b'#');
        out.extend_from_slice(&id.bytes());
        Ok(())
    }
}

/// One type on its way to a new identity.
struct Rendering<'r, 'a> {
    relabel: &'r mut Relabel<'a>,
    depth: usize,
    out: Vec<u8>,
    failure: Option<Error>,
}

impl Render for Rendering<'_, '_> {
    fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    fn name(&mut self, offset: u32) {
        self.out.extend_from_slice(self.relabel.view.string(offset));
        self.out.push(0);
    }

    fn reference(&mut self, target: u32) {
        if let Err(error) = self.relabel.reference(target, self.depth, &mut self.out) {
            self.failure = Some(error);
        }
    }
}
