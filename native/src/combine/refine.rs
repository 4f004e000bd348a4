// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Names with several definitions ("ambiguous names"), for which "struct NAME" says too little.
//!
//! One definition of such a name is its **default**: the one that most units have (in a split BTF
//! that of the base, which cannot be changed any more); of equally common ones that of the smallest
//! identity. Who only declares the name means the default, and so does, at first, everybody who
//! refers to it. Nearly all objects know no other definition: nothing is done about them.
//!
//! The others **deviate**. In these few objects, what leads to another definition is told apart, step
//! by step from the definition upwards, and only as long as there is somebody to be told apart from:
//! when all who have a type, and know what a name in it means, mean the same, then it is one type, and
//! those who do not know do not count. What is told apart is a **variant** of its class, named by the
//! class and the definitions that it leads to.
//!
//! So the cost follows what differs: only objects that deviate are looked at again, and one object
//! for each type that deviates, as a witness that others mean the default.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::btf::{self, for_each_target, Field, Space};
use crate::combine::base::index::Index;
use crate::combine::graph::Graph;
use crate::combine::{Combiner, Definitions, Name, ObjectIndex, Overrides, Retired};
use crate::object::numbering::Class;
use crate::object::{Id, Unit, View};
use crate::support::error::Result;
use crate::support::hash::Fast;

/// The objects of a link, which can be looked at again.
pub trait Objects {
    /// Show each object that has types of these identities, and which of them, until it is enough. They
    /// come in any order.
    fn holding(&self, ids: &HashSet<Id, Fast>, show: &mut Show<'_>);
    /// Have these at hand.
    fn load(&mut self, which: &[ObjectIndex]) -> Result<()>;
    /// One that is at hand.
    fn view(&self, which: ObjectIndex) -> Option<View<'_>>;
    fn release(&mut self, which: &[ObjectIndex]);
}

/// Looks at some types of an object; `false`: it is enough.
pub type Show<'s> = dyn FnMut(ObjectIndex, &[Id]) -> bool + 's;

/// Objects that are in memory anyway, ascending.
impl Objects for Vec<(ObjectIndex, View<'_>)> {
    fn holding(&self, ids: &HashSet<Id, Fast>, show: &mut Show<'_>) {
        for (index, view) in self {
            let all = view.ids.iter().copied();
            let held: Vec<Id> = all.filter(|id| ids.contains(id)).collect();
            if !held.is_empty() && !show(*index, &held) {
                return;
            }
        }
    }

    fn load(&mut self, _: &[ObjectIndex]) -> Result<()> {
        Ok(())
    }

    fn view(&self, which: ObjectIndex) -> Option<View<'_>> {
        let found = self.binary_search_by_key(&which, |(index, _)| *index);
        found.ok().map(|i| self[i].1)
    }

    fn release(&mut self, _: &[ObjectIndex]) {}
}

/// What refinement has found.
#[derive(Default)]
pub struct Refined {
    /// The identities of types that became variants, by object.
    pub overrides: Vec<(ObjectIndex, Overrides)>,
    /// How many variants there are.
    pub variants: u64,
}

/// Tell apart what must be, and put the variants into the combiner.
pub fn refine(
    combiner: &mut Combiner<'_>,
    objects: &mut impl Objects,
    base: Option<&Index>,
) -> Result<Refined> {
    let names = Ambiguous::of(combiner);
    if names.others.is_empty() {
        return Ok(Refined::default());
    }
    let others: HashSet<Id, Fast> = names.others.iter().map(|&c| combiner.facts(c).id).collect();
    let mut deviating: Vec<ObjectIndex> = Vec::new();
    objects.holding(&others, &mut |object, _| {
        deviating.push(object);
        true
    });
    deviating.sort_unstable();
    objects.load(&deviating)?;
    let mut holders = Vec::new();
    for &index in &deviating {
        if let Some(view) = objects.view(index) {
            holders.extend(Holder::new(index, &view, combiner, &names));
        }
    }
    let mut state = State::new(&names, &holders);
    let mut witnesses = Witnesses {
        base,
        definitions: combiner.definitions(),
        elsewhere: elsewhere(combiner, &holders, objects),
        asked: 0,
        found: HashSet::new(),
        sought: HashSet::new(),
    };
    state.settle(combiner, &holders, objects, &mut witnesses)?;
    apply(combiner, &names, &holders, &state, objects, base)
}

/// The names that have several definitions.
struct Ambiguous {
    /// Their definitions, the default first.
    definitions: HashMap<Name, Vec<Class>>,
    /// The definitions that are not the default of their names.
    others: HashSet<Class, Fast>,
}

impl Ambiguous {
    fn of(combiner: &Combiner<'_>) -> Ambiguous {
        let mut names = Ambiguous {
            definitions: HashMap::new(),
            others: HashSet::default(),
        };
        for definitions in combiner.definitions().names().filter(|all| all.len() > 1) {
            let mut classes: Vec<Class> = definitions.iter().map(|&(_, class)| class).collect();
            classes.sort_by_key(|&class| {
                let facts = combiner.facts(class);
                let of_base = match (facts.base_id, facts.variant) {
                    (0, _) => 2,
                    (_, is_variant) => u8::from(is_variant),
                };
                (of_base, std::cmp::Reverse(facts.holders), facts.id)
            });
            names.others.extend(&classes[1..]);
            names.definitions.insert(definitions[0].0, classes);
        }
        names
    }
}

/// The name of a nominal class, and whether it is only declared.
fn name_of(combiner: &Combiner<'_>, class: Class) -> Option<(Name, bool)> {
    if class == 0 {
        return None;
    }
    let words = combiner.class_words(class);
    let (space, declared) = btf::nominal(words)?;
    Some(((space, words[0]), declared))
}

/// For each local type, 0 being void: does it belong to a unit that counts?
fn that_count(view: &View<'_>, combiner: &Combiner<'_>) -> Vec<Counts> {
    let mut counts = vec![Counts::No; view.type_count() + 1];
    let mut start = Unit::default();
    for unit in view.units {
        if !combiner
            .wanted()
            .excluded_languages
            .contains(&unit.language)
        {
            let end = unit.protos_end as usize;
            counts[start.protos_end as usize + 1..=end].fill(Counts::Prototype);
            counts[start.protos_end as usize + 1..=unit.types_end as usize].fill(Counts::Type);
        }
        start = *unit;
    }
    counts
}

#[derive(Clone, Copy, PartialEq)]
enum Counts {
    No,
    /// Only when a function is told with it.
    Prototype,
    Type,
}

fn targets(view: &View<'_>) -> Graph {
    Graph::new(view.type_count(), |local, visit| {
        for_each_target(view.type_words(local), visit);
    })
}

/// The nominal types that a type refers to by name: itself or through types without a name. `is`
/// tells which types are nominal.
fn mentioned(graph: &Graph, local: u32, is_nominal: impl Fn(u32) -> bool) -> Vec<u32> {
    let mut found = Vec::new();
    let mut seen: HashSet<u32, Fast> = HashSet::default();
    let mut queue: Vec<u32> = graph.of(local).to_vec();
    while let Some(target) = queue.pop() {
        if !seen.insert(target) {
            continue;
        }
        if is_nominal(target) {
            found.push(target);
        } else {
            queue.extend(graph.of(target));
        }
    }
    found
}

/// An object that deviates.
struct Holder {
    index: ObjectIndex,
    /// Of each local type; 0 for what does not count.
    classes: Vec<Class>,
    counts: Vec<Counts>,
    graph: Graph,
    /// Which nominal types each refers to by name, of those that lead to another definition.
    mentions: Graph,
    mentioning: Graph,
    /// Local types that are other definitions than the default.
    others: Vec<u32>,
    /// Does it lead to one of these?
    leads: Vec<bool>,
    of_class: HashMap<Class, Vec<u32>, Fast>,
}

impl Holder {
    fn new(
        index: ObjectIndex,
        view: &View<'_>,
        combiner: &Combiner<'_>,
        names: &Ambiguous,
    ) -> Option<Holder> {
        let counts = that_count(view, combiner);
        let class = |local: usize| match counts[local] {
            Counts::No => 0,
            _ => combiner.find(view.ids[local - 1]).unwrap_or(0),
        };
        let classes: Vec<Class> = std::iter::once(0)
            .chain((1..counts.len()).map(class))
            .collect();
        let locals = 1..classes.len() as u32;
        let others: Vec<u32> = locals
            .filter(|&local| names.others.contains(&classes[local as usize]))
            .collect();
        if others.is_empty() {
            return None;
        }
        let graph = targets(view);
        let mut leads = graph.reversed().reach(others.clone());
        leads.insert(0, false);
        let is_nominal: Vec<bool> = classes
            .iter()
            .map(|&class| name_of(combiner, class).is_some())
            .collect();
        let mentions = Graph::new(classes.len() - 1, |local, visit| {
            if classes[local as usize] != 0 && leads[local as usize] {
                let all = mentioned(&graph, local, |target| is_nominal[target as usize]);
                all.into_iter().for_each(visit);
            }
        });
        let mentioning = mentions.reversed();
        let mut of_class: HashMap<Class, Vec<u32>, Fast> = HashMap::default();
        for (local, &class) in (0..).zip(&classes) {
            if class != 0 && leads[local as usize] {
                of_class.entry(class).or_default().push(local);
            }
        }
        Some(Holder {
            index,
            classes,
            counts,
            graph,
            mentions,
            mentioning,
            others,
            leads,
            of_class,
        })
    }

    fn class(&self, local: u32) -> Class {
        self.classes[local as usize]
    }

    /// What mentions one of these nominal types.
    fn mentioning(&self, named: &[u32]) -> BTreeSet<u32> {
        let users = named.iter().flat_map(|&n| self.mentioning.of(n));
        users.copied().collect()
    }
}

/// A type of a holder: which holder, and its local id.
type Place = (usize, u32);

/// A class, and a name that it mentions.
type Pair = (Class, Name);

/// Definitions that are not defaults, as the number of a set of them; 0: none.
type Leads = u32;

/// Sets of classes, ascending, each once: most types of an object lead to the same ones.
struct Sets {
    all: Vec<Vec<Class>>,
    numbers: HashMap<Vec<Class>, Leads>,
    unions: HashMap<(Leads, Leads), Leads, Fast>,
}

impl Sets {
    fn new() -> Sets {
        Sets {
            all: vec![Vec::new()],
            numbers: HashMap::from([(Vec::new(), 0)]),
            unions: HashMap::default(),
        }
    }

    fn get(&self, number: Leads) -> &[Class] {
        &self.all[number as usize]
    }

    fn number(&mut self, set: Vec<Class>) -> Leads {
        let next = self.all.len() as Leads;
        let number = *self.numbers.entry(set.clone()).or_insert(next);
        if number == next {
            self.all.push(set);
        }
        number
    }

    fn union(&mut self, one: Leads, other: Leads) -> Leads {
        let key = (one.min(other), one.max(other));
        if key.0 == 0 || key.0 == key.1 {
            return key.1;
        }
        if let Some(&known) = self.unions.get(&key) {
            return known;
        }
        let mut both = [self.get(one), self.get(other)].concat();
        both.sort_unstable();
        both.dedup();
        let number = self.number(both);
        self.unions.insert(key, number);
        number
    }
}

struct State {
    /// Of each local type of each holder its variant, from 1 on; 0: that of its class.
    variants: Vec<Vec<u32>>,
    /// A class as those have it that mean these definitions.
    all: Vec<(Class, Leads)>,
    numbers: HashMap<(Class, Leads), u32, Fast>,
    sets: Sets,
    /// Types in which a name means several things.
    split: HashSet<Pair>,
}

impl State {
    fn new(names: &Ambiguous, holders: &[Holder]) -> State {
        let mut state = State {
            variants: holders.iter().map(|h| vec![0; h.classes.len()]).collect(),
            all: Vec::new(),
            numbers: HashMap::default(),
            sets: Sets::new(),
            split: HashSet::new(),
        };
        for (i, holder) in holders.iter().enumerate() {
            for &local in &holder.others {
                let class = holder.class(local);
                debug_assert!(names.others.contains(&class));
                state.variants[i][local as usize] = state.number(class, 0);
            }
        }
        state
    }

    fn number(&mut self, class: Class, leads: Leads) -> u32 {
        let next = self.all.len() as u32 + 1;
        let known = *self.numbers.entry((class, leads)).or_insert(next);
        if known == next {
            self.all.push((class, leads));
        }
        known
    }

    fn variant(&self, number: u32) -> (Class, Leads) {
        self.all[number as usize - 1]
    }

    /// Tell apart upwards until nothing changes. All holders take each step together, so that their
    /// order does not count. At first only what a name's definition is counts; when that has led
    /// as far as it does, also what the definition leads to, and where an object that deviates
    /// means the default all the same. A step looks only at what the one before has changed.
    fn settle(
        &mut self,
        combiner: &Combiner<'_>,
        holders: &[Holder],
        objects: &mut impl Objects,
        witnesses: &mut Witnesses<'_>,
    ) -> Result<()> {
        let mut said: HashMap<Place, Vec<(Name, u32)>> = HashMap::new();
        let mut members: BTreeMap<Pair, BTreeSet<Place>> = BTreeMap::new();
        let mut fresh: Vec<Vec<u32>> = holders.iter().map(|h| h.others.clone()).collect();
        let mut deep = false;
        loop {
            let mut pairs: BTreeSet<Pair> = BTreeSet::new();
            let mut changed: BTreeSet<Place> = BTreeSet::new();
            for (i, holder) in holders.iter().enumerate() {
                for local in holder.mentioning(&fresh[i]) {
                    let named = self.named(combiner, holder, i, local);
                    for &(name, _) in &named {
                        let pair = (holder.class(local), name);
                        members.entry(pair).or_default().insert((i, local));
                        pairs.insert(pair);
                    }
                    said.insert((i, local), named);
                    changed.insert((i, local));
                }
            }
            if fresh.iter().all(Vec::is_empty) {
                if deep {
                    return Ok(());
                }
                deep = true;
                fresh = self.lead(combiner, holders);
                continue;
            }
            pairs.retain(|pair| !self.split.contains(pair));
            let mut open = Vec::new();
            for pair in pairs {
                let means = |place: &Place| {
                    let named = said[place].iter().filter(|(name, _)| *name == pair.1);
                    named.map(|&(_, v)| if deep { v } else { self.variant(v).0 })
                };
                let meant: BTreeSet<u32> = members[&pair].iter().flat_map(means).collect();
                let is_default_here = || deep && self.means_default_here(combiner, holders, pair);
                // In a base all is told apart that leads to another definition than its default, whoever
                // knows it: what is made against it may know the default.
                let of_base =
                    combiner.facts(pair.0).base_id != 0 || witnesses.in_base(combiner, pair.1);
                if meant.len() > 1 || of_base || is_default_here() {
                    self.split.insert(pair);
                    changed.extend(&members[&pair]);
                } else {
                    open.push(pair);
                }
            }
            witnesses.ask(combiner, holders, &open, objects)?;
            for pair in open.into_iter().filter(|p| witnesses.found.contains(p)) {
                self.split.insert(pair);
                changed.extend(&members[&pair]);
            }
            fresh.iter_mut().for_each(Vec::clear);
            for (i, local) in changed {
                let class = holders[i].class(local);
                let mut apart = holders[i].others.binary_search(&local).is_ok();
                let mut leads = match apart {
                    true => self.sets.number(vec![class]),
                    false => 0,
                };
                for &(name, variant) in &said[&(i, local)] {
                    if self.split.contains(&(class, name)) {
                        apart = true;
                        leads = self.sets.union(leads, self.variant(variant).1);
                    }
                }
                let number = match (apart, deep) {
                    (false, _) => 0,
                    // To what it leads is found out for all at once.
                    (true, false) => self.number(class, 0),
                    (true, true) => self.number(class, leads),
                };
                let before = std::mem::replace(&mut self.variants[i][local as usize], number);
                if before != number && name_of(combiner, class).is_some() {
                    fresh[i].push(local);
                }
            }
        }
    }

    /// Find out to which definitions each type leads that is told apart. Returned are those of
    /// each holder that have a name.
    fn lead(&mut self, combiner: &Combiner<'_>, holders: &[Holder]) -> Vec<Vec<u32>> {
        self.all.clear();
        self.numbers.clear();
        let mut named = Vec::new();
        for (i, holder) in holders.iter().enumerate() {
            let apart = |local: u32| self.variants[i][local as usize] != 0;
            let mentions = Graph::new(holder.classes.len() - 1, |local, visit| {
                let class = holder.class(local);
                for &target in holder.mentions.of(local) {
                    let name = name_of(combiner, holder.class(target)).map(|(name, _)| name);
                    let is_split = |name| self.split.contains(&(class, name));
                    if apart(local) && apart(target) && name.is_some_and(is_split) {
                        visit(target);
                    }
                }
            });
            let mut leads = vec![0; holder.classes.len()];
            for group in mentions.groups() {
                let mut of_group = 0;
                for &local in &group {
                    if holder.others.binary_search(&local).is_ok() {
                        let own = self.sets.number(vec![holder.class(local)]);
                        of_group = self.sets.union(of_group, own);
                    }
                    for &target in mentions.of(local) {
                        of_group = self.sets.union(of_group, leads[target as usize]);
                    }
                }
                for local in group {
                    leads[local as usize] = of_group;
                }
            }
            named.push(Vec::new());
            for (local, leads) in (0..).zip(leads) {
                if leads != 0 {
                    let class = holder.class(local);
                    self.variants[i][local as usize] = self.number(class, leads);
                    if name_of(combiner, class).is_some() {
                        named[i].push(local);
                    }
                }
            }
        }
        named
    }

    /// The variants that a type mentions, with their names.
    fn named(
        &self,
        combiner: &Combiner<'_>,
        holder: &Holder,
        i: usize,
        local: u32,
    ) -> Vec<(Name, u32)> {
        let variant = |target: u32| self.variants[i][target as usize];
        let mentioned = holder.mentions.of(local).iter();
        mentioned
            .filter(|&&target| variant(target) != 0)
            .filter_map(|&target| {
                let (name, _) = name_of(combiner, holder.class(target))?;
                Some((name, variant(target)))
            })
            .collect()
    }

    /// Does a type of an object that deviates mean the default by this name, though that leads to
    /// another definition?
    fn means_default_here(
        &self,
        combiner: &Combiner<'_>,
        holders: &[Holder],
        (class, name): (Class, Name),
    ) -> bool {
        holders
            .iter()
            .zip(&self.variants)
            .any(|(holder, variants)| {
                let locals = holder.of_class.get(&class).into_iter().flatten();
                locals
                    .flat_map(|&local| holder.mentions.of(local))
                    .any(|&target| {
                        variants[target as usize] == 0
                            && name_of(combiner, holder.class(target)) == Some((name, false))
                    })
            })
    }
}

/// Who proves that some type means the default by a name: an object in which it refers to a
/// definition that leads nowhere else.
struct Witnesses<'b> {
    base: Option<&'b Index>,
    definitions: Definitions,
    /// Of the types that may be told apart those that objects have which do not deviate.
    elsewhere: HashSet<Id, Fast>,
    /// How often.
    asked: usize,
    found: HashSet<Pair>,
    sought: HashSet<Pair>,
}

impl Witnesses<'_> {
    /// Does the base define this name?
    fn in_base(&self, combiner: &Combiner<'_>, name: Name) -> bool {
        let mut definitions = self.definitions.of(name).iter();
        definitions.any(|&(_, class)| combiner.facts(class).base_id != 0)
    }

    fn ask(
        &mut self,
        combiner: &Combiner<'_>,
        holders: &[Holder],
        pairs: &[Pair],
        objects: &mut impl Objects,
    ) -> Result<()> {
        let mut open: Vec<Pair> = Vec::new();
        for &pair in pairs {
            if self.sought.insert(pair) {
                open.push(pair);
            }
        }
        if open.is_empty() {
            return Ok(());
        }
        self.asked += 1;
        if self.asked > STEPS {
            open.extend(all_pairs(combiner, holders).filter(|&pair| self.sought.insert(pair)));
        }
        let definitions = &self.definitions;
        let id = |class: Class| combiner.facts(class).id;
        // What an object that is cut down mentions of the base need not have come to the combiner.
        let base = self.base;
        let of_base = |class: Class| match (base, combiner.facts(class).base_id) {
            (None, _) | (_, 0) => id(class),
            (Some(base), in_base) => base.identity(in_base),
        };
        let defining = |name: Name| {
            let classes = definitions.of(name).iter().map(|&(_, class)| class);
            classes.flat_map(|class| [id(class), of_base(class)])
        };
        let deviating: HashMap<ObjectIndex, &Holder> = holders
            .iter()
            .map(|holder| (holder.index, holder))
            .collect();
        let is_elsewhere = |&(class, _): &Pair| self.elsewhere.contains(&id(class));
        let (mut open, only_here): (Vec<Pair>, Vec<Pair>) =
            open.into_iter().partition(is_elsewhere);
        for holder in holders.iter().filter(|_| !only_here.is_empty()) {
            if let Some(view) = objects.view(holder.index) {
                self.found
                    .extend(known_by(combiner, &view, Some(holder), &only_here));
            }
        }
        let mut asked: BTreeSet<ObjectIndex> = BTreeSet::new();
        while !open.is_empty() {
            let ask = may_know(&open, id, defining, |ids, show| {
                objects.holding(ids, &mut |object, held| {
                    asked.contains(&object) || show(object, deviating.contains_key(&object), held)
                });
            });
            if ask.is_empty() {
                break;
            }
            asked.extend(&ask);
            let unknown: Vec<ObjectIndex> = ask
                .iter()
                .copied()
                .filter(|object| !deviating.contains_key(object))
                .collect();
            objects.load(&unknown)?;
            for object in &ask {
                if let Some(view) = objects.view(*object) {
                    let holder = deviating.get(object).copied();
                    self.found.extend(known_by(combiner, &view, holder, &open));
                }
            }
            objects.release(&unknown);
            open.retain(|pair| !self.found.contains(pair));
        }
        Ok(())
    }
}

fn elsewhere(
    combiner: &Combiner<'_>,
    holders: &[Holder],
    objects: &impl Objects,
) -> HashSet<Id, Fast> {
    let classes = holders.iter().flat_map(|holder| holder.of_class.keys());
    let ids: HashSet<Id, Fast> = classes.map(|&class| combiner.facts(class).id).collect();
    let deviating: HashSet<ObjectIndex> = holders.iter().map(|holder| holder.index).collect();
    let mut elsewhere: HashSet<Id, Fast> = HashSet::default();
    objects.holding(&ids, &mut |object, held| {
        if !deviating.contains(&object) {
            elsewhere.extend(held);
        }
        true
    });
    elsewhere
}

/// For each pair an object that has the type and a definition of the name. One that does not deviate
/// knows, so that the search ends when each pair has one.
fn may_know<I: Iterator<Item = Id>>(
    pairs: &[Pair],
    id: impl Fn(Class) -> Id,
    defining: impl Fn(Name) -> I,
    search: impl FnOnce(&HashSet<Id, Fast>, &mut dyn FnMut(ObjectIndex, bool, &[Id]) -> bool),
) -> BTreeSet<ObjectIndex> {
    let mut names: HashMap<Name, usize> = HashMap::new();
    let mut of_definition: HashMap<Id, Vec<usize>, Fast> = HashMap::default();
    let mut of_class: HashMap<Id, Vec<usize>, Fast> = HashMap::default();
    let mut name_of_pair = Vec::new();
    for (i, &(class, name)) in pairs.iter().enumerate() {
        let next = names.len();
        let number = *names.entry(name).or_insert(next);
        if number == next {
            for definition in defining(name) {
                of_definition.entry(definition).or_default().push(number);
            }
        }
        of_class.entry(id(class)).or_default().push(i);
        name_of_pair.push(number);
    }
    let sought = of_class.keys().chain(of_definition.keys()).copied();
    let mut found: Vec<Option<(bool, ObjectIndex)>> = vec![None; pairs.len()];
    let mut missing = pairs.len();
    let mut defined = vec![false; names.len()];
    search(&sought.collect(), &mut |object, deviates, held| {
        let definitions = || held.iter().filter_map(|id| of_definition.get(id)).flatten();
        definitions().for_each(|&name| defined[name] = true);
        for &i in held.iter().filter_map(|id| of_class.get(id)).flatten() {
            let is_better = found[i].is_none_or(|(other, _)| !deviates && other);
            if is_better && defined[name_of_pair[i]] {
                found[i] = Some((deviates, object));
                missing -= usize::from(!deviates);
            }
        }
        definitions().for_each(|&name| defined[name] = false);
        missing > 0
    });
    found
        .into_iter()
        .flatten()
        .map(|(_, object)| object)
        .collect()
}

/// All that could still be asked for.
fn all_pairs<'h>(
    combiner: &'h Combiner<'_>,
    holders: &'h [Holder],
) -> impl Iterator<Item = Pair> + 'h {
    holders.iter().flat_map(move |holder| {
        let leading = (1..holder.classes.len() as u32).filter(|&l| holder.leads[l as usize]);
        leading.flat_map(move |local| {
            let class = holder.class(local);
            let mentioned = holder.mentions.of(local).iter();
            let names = mentioned
                .filter(move |&&target| class != 0 && holder.leads[target as usize])
                .filter_map(|&target| Some(name_of(combiner, holder.class(target))?.0));
            names.map(move |name| (class, name))
        })
    })
}

/// Steps for which witnesses are sought one by one: most often only these types need any. Behind them
/// all are, since each search goes through all objects.
const STEPS: usize = 32;

/// Which of these types refer, in this object, to a definition of the name that leads to no other
/// than defaults.
fn known_by(
    combiner: &Combiner<'_>,
    view: &View<'_>,
    holder: Option<&Holder>,
    pairs: &[Pair],
) -> Vec<Pair> {
    let mut wanted: HashMap<Id, Vec<Pair>, Fast> = HashMap::default();
    for &(class, name) in pairs {
        let of_class = wanted.entry(combiner.facts(class).id).or_default();
        of_class.push((class, name));
    }
    let counts = that_count(view, combiner);
    let own;
    let graph = match holder {
        Some(holder) => &holder.graph,
        None => {
            own = targets(view);
            &own
        }
    };
    let nominal = |local: u32| btf::nominal(view.type_words(local));
    let mut found = Vec::new();
    for (local, id) in (1..).zip(view.ids) {
        let Some(pairs) = wanted
            .get(id)
            .filter(|_| counts[local as usize] != Counts::No)
        else {
            continue;
        };
        let leads = |target: u32| holder.is_some_and(|holder| holder.leads[target as usize]);
        let known: HashSet<(Space, &[u8])> = mentioned(graph, local, |t| nominal(t).is_some())
            .into_iter()
            .filter(|&target| !leads(target))
            .filter_map(|target| match nominal(target) {
                Some((space, false)) => Some((space, view.string(view.type_words(target)[0]))),
                _ => None,
            })
            .collect();
        let is_known = |&&(_, (space, name)): &&(_, Name)| {
            known.contains(&(space, combiner.strings.get(name)))
        };
        found.extend(pairs.iter().filter(is_known));
    }
    found
}

/// Put the variants into the combiner, in place of what they were.
fn apply(
    combiner: &mut Combiner<'_>,
    names: &Ambiguous,
    holders: &[Holder],
    state: &State,
    objects: &impl Objects,
    base: Option<&Index>,
) -> Result<Refined> {
    let leads = |leads: Leads| state.sets.get(leads);
    let ids: Vec<Id> = state
        .all
        .iter()
        .map(|&(class, set)| identity_of(combiner, class, leads(set)))
        .collect();
    let mut refined = Refined::default();
    let mut left = HashMap::new();
    let mut retired = Retired::default();
    for (holder, variants) in holders.iter().zip(&state.variants) {
        let mut overrides = Overrides::new();
        for (local, &variant) in (0..).zip(variants) {
            if variant != 0 {
                overrides.insert(local, ids[variant as usize - 1]);
                if holder.counts[local as usize] == Counts::Type {
                    *left.entry(holder.class(local)).or_default() += 1;
                }
            }
        }
        if let Some(view) = objects.view(holder.index) {
            combiner.retire(
                holder.index,
                &view,
                &holder.classes,
                &overrides,
                &mut retired,
            );
        }
        refined.overrides.push((holder.index, overrides));
    }
    combiner.sweep(retired);
    let dead = combiner.leave(&left);
    for (index, overrides) in &refined.overrides {
        if let Some(view) = objects.view(*index) {
            combiner.add(*index, &view, Some(overrides))?;
        }
    }
    let mut of_class: HashMap<Class, Vec<Class>> = HashMap::new();
    let mut rank: HashMap<Class, (usize, std::cmp::Reverse<Id>)> = HashMap::new();
    for (&(class, set), &id) in state.all.iter().zip(&ids) {
        let Some(variant) = combiner.find(id) else {
            continue;
        };
        let facts = &mut combiner.classes[variant as usize - 1];
        facts.variant = true;
        facts.base_id = base.and_then(|base| base.find(id)).unwrap_or(0);
        of_class.entry(class).or_default().push(variant);
        rank.insert(variant, (leads(set).len(), std::cmp::Reverse(id)));
        refined.variants += 1;
    }
    for ((holder, variants), (_, overrides)) in
        holders.iter().zip(&state.variants).zip(&refined.overrides)
    {
        if let Some(view) = objects.view(holder.index) {
            say_what_is_known(combiner, holder, &view, variants, overrides, &rank);
        }
    }
    choose_defaults(combiner, names, &dead, &of_class);
    Ok(refined)
}

/// The class, and the definitions that it leads to.
fn identity_of(combiner: &Combiner<'_>, class: Class, leads: &[Class]) -> Id {
    let id = |class: Class| combiner.facts(class).id;
    let mut leads: Vec<Id> = leads.iter().map(|&class| id(class)).collect();
    leads.sort_unstable();
    let all = std::iter::once(id(class)).chain(leads);
    Id::of(&all.flat_map(|id| id.bytes()).collect::<Vec<u8>>())
}

/// A class refers, at each place, to what those that have it know best: to a variant, rather to one
/// that leads to more; but to itself only through a pointer. (Names of inner scopes hide those of outer
/// ones, so that a struct may well contain another of its name.)
fn say_what_is_known(
    combiner: &mut Combiner<'_>,
    holder: &Holder,
    view: &View<'_>,
    variants: &[u32],
    overrides: &Overrides,
    rank: &HashMap<Class, (usize, std::cmp::Reverse<Id>)>,
) {
    for local in 1..variants.len() as u32 {
        if !holder.leads[local as usize] || holder.class(local) == 0 {
            continue;
        }
        let own = view.ids[local as usize - 1];
        let class = combiner.find(*overrides.get(&local).unwrap_or(&own));
        let words = view.type_words(local);
        let (Some(class), Some(kind)) = (class, btf::kind_of(words)) else {
            continue;
        };
        let start = combiner.starts[class as usize - 1] as usize;
        btf::for_each_field(kind, words, |i, field| {
            if field != Field::Type || words[i] == 0 {
                return;
            }
            let known = match overrides.get(&words[i]) {
                Some(&id) => combiner.find(id).unwrap_or(0),
                None => holder.class(words[i]),
            };
            let said = &mut combiner.words[start + i];
            let order = |target: Class| (target != class, rank.get(&target));
            if known != 0 && order(*said) < order(known) {
                *said = known;
            }
        });
    }
}

/// Decide what stands for the classes that nobody has any more, and for the declarations of names
/// that have several definitions.
fn choose_defaults(
    combiner: &mut Combiner<'_>,
    names: &Ambiguous,
    dead: &[Class],
    of_class: &HashMap<Class, Vec<Class>>,
) {
    let mut stands_for: HashMap<Class, Class, Fast> = HashMap::default();
    let best = |combiner: &Combiner<'_>, class: Class| {
        let variants = of_class.get(&class).into_iter().flatten().copied();
        variants.min_by_key(|&v| {
            let facts = combiner.facts(v);
            (std::cmp::Reverse(facts.holders), facts.id)
        })
    };
    let is_dead: HashSet<Class, Fast> = dead.iter().copied().collect();
    let alive = |combiner: &Combiner<'_>, class: Class| match is_dead.contains(&class) {
        true => best(combiner, class),
        false => Some(class),
    };
    for &class in dead {
        let default = name_of(combiner, class)
            .filter(|_| names.others.contains(&class))
            .and_then(|(name, _)| alive(combiner, names.definitions[&name][0]));
        if let Some(instead) = default.or_else(|| best(combiner, class)) {
            stands_for.insert(class, instead);
        }
    }
    let mut defaults: HashMap<Name, Class> = HashMap::new();
    for definitions in combiner.definitions().names().filter(|all| all.len() > 1) {
        let name = definitions[0].0;
        let plain = definitions
            .iter()
            .find(|(_, c)| !combiner.facts(*c).variant);
        let default = match names.definitions.get(&name) {
            Some(classes) => alive(combiner, classes[0]),
            None => plain.map(|&(_, class)| class).or_else(|| {
                let variants = definitions.iter().map(|&(_, class)| class);
                variants.min_by_key(|&v| {
                    let facts = combiner.facts(v);
                    (std::cmp::Reverse(facts.holders), facts.id)
                })
            }),
        };
        defaults.extend(default.map(|class| (name, class)));
    }
    combiner.stands_for = stands_for;
    combiner.defaults = defaults;
    combiner.mean_the_defaults();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::btf::Kind;
    use crate::combine::sample::combined;
    use crate::object::sample::{declared, int, object, of, structure, A, B, S};
    use crate::object::Encoded;

    /// `struct s` with a member of this name, and a pointer to it.
    fn defining(member: u32) -> Encoded {
        object(&[int(), structure(S, &[(member, 1)]), of(Kind::Ptr, 0, 2)]).expect("sound")
    }

    /// The member's name of the default of `struct s`, and how many pointers there are.
    fn outcome(objects: &[&Encoded]) -> (String, usize) {
        let combiner = combined(objects);
        let alive = |class: &Class| !combiner.facts(*class).dead;
        let pointers = combiner.numbers().filter(alive);
        let pointers = pointers.filter(|&c| combiner.kind(c) == Some(Kind::Ptr));
        let name = |class: Class| combiner.strings.get(combiner.class_words(class)[3]);
        let default = combiner.defaults.values().next();
        let member = default.map_or(&b""[..], |&class| name(class));
        let count = pointers.count();
        (String::from_utf8_lossy(member).into_owned(), count)
    }

    #[test]
    fn the_default_is_what_most_have_in_any_order() {
        let (a, b) = (defining(A), defining(B));
        for (objects, default) in [
            ([&a, &a, &b], "a"),
            ([&b, &a, &a], "a"),
            ([&b, &a, &b], "b"),
        ] {
            assert_eq!(outcome(&objects), (default.to_owned(), 2));
        }
    }

    #[test]
    fn of_equally_common_ones_it_is_that_of_the_smallest_identity() {
        let (a, b) = (defining(A), defining(B));
        let smallest = if a.ids[1] < b.ids[1] { "a" } else { "b" };
        for objects in [[&a, &b], [&b, &a]] {
            assert_eq!(outcome(&objects), (smallest.to_owned(), 2));
        }
    }

    #[test]
    fn who_only_declares_tells_nothing_apart() {
        let declares = object(&[declared(S), of(Kind::Ptr, 0, 1)]).expect("sound");
        assert_eq!(outcome(&[&defining(A), &declares]), (String::new(), 1));
    }
}
