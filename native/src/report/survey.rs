// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! A whole link at a glance: every function that is left out with those who decided it, every type name
//! with several definitions, and the directories whose objects bring the types.

use std::collections::{BTreeMap, HashMap};

use crate::btf::{self, Kind, Space};
use crate::combine::{printable, Combiner};
use crate::elf::image::Image;
use crate::fixup::functions::{by_base_name, decide_all, deciding, gather};
use crate::fixup::names::Names;
use crate::fixup::origins::Resolution;
use crate::object::features::Features;
use crate::object::numbering::Class;
use crate::report::explain::facts;
use crate::support::error::Result;
use crate::support::hash::Fast;
use crate::support::threads::Threads;

/// Objects that are named of many.
const SHOWN: usize = 8;

/// Objects, of which only the first are named.
pub struct Holders {
    pub count: usize,
    pub first: Vec<String>,
}

impl Holders {
    /// `objects`: ascending, each once.
    fn new(objects: &[u32], names: &[String]) -> Holders {
        let mut first: Vec<String> = objects
            .iter()
            .filter_map(|&object| names.get(object as usize).cloned())
            .collect();
        first.sort();
        first.truncate(SHOWN);
        Holders {
            count: objects.len(),
            first,
        }
    }
}

/// One way in which a function that is left out is described.
pub struct Told {
    pub prototype: Class,
    /// With the parameters that are really passed, where the compiler changed that.
    pub passed: Option<Class>,
    pub facts: Vec<&'static str>,
    /// This is what keeps the function out.
    pub decides: bool,
    pub objects: Holders,
}

pub struct LeftOut {
    pub name: String,
    pub reason: &'static str,
    pub symbols: Vec<(String, u64)>,
    pub told: Vec<Told>,
}

/// A type name with several definitions, the most common one first.
pub struct Named {
    pub name: String,
    pub definitions: Vec<(Class, Holders)>,
}

/// What only objects below a directory bring; what is empty belongs to no single one.
pub struct Directory {
    pub path: String,
    pub types: u64,
    /// Of their records in the BTF, without names.
    pub bytes: u64,
}

pub struct Survey {
    pub left_out: Vec<LeftOut>,
    pub definitions: Vec<Named>,
    pub directories: Vec<Directory>,
    /// What `explain::types` made.
    pub types: Vec<u8>,
}

/// By name.
pub fn left_out(
    combiner: &Combiner<'_>,
    image: &Image<'_>,
    symbols: &Names,
    resolution: &Resolution,
    features: &Features,
    objects: &[String],
    threads: &Threads,
) -> Result<Vec<LeftOut>> {
    let named = by_base_name(image, symbols);
    let named = gather(combiner, image, named, resolution, features, threads)?;
    let decisions = decide_all(combiner, image, features, &named, threads)?;
    // Function class: who has it.
    let mut holders: HashMap<u32, Vec<u32>, Fast> = HashMap::default();
    // Name: its function classes.
    let mut classes: HashMap<u32, Vec<u32>, Fast> = HashMap::default();
    let mut met = combiner.watched_functions.clone();
    met.sort_unstable();
    for (class, object, _) in met {
        let own = holders.entry(class).or_default();
        if own.last() != Some(&object) {
            own.push(object);
        }
    }
    for (class, function) in (0..).zip(&combiner.functions) {
        if !function.dead {
            classes.entry(function.name).or_default().push(class);
        }
    }
    let mut found = Vec::new();
    for ((name, named), decision) in named.iter().zip(decisions) {
        let Some(Err(reason)) = decision else {
            continue;
        };
        let decides = deciding(combiner, image, features, named, reason);
        let number = combiner.strings.find(name).unwrap_or(0);
        let mut told: Vec<Told> = classes
            .get(&number)
            .into_iter()
            .flatten()
            .map(|&class| {
                let function = &combiner.functions[class as usize];
                let passed = function.passed_proto;
                Told {
                    prototype: function.proto,
                    passed: (passed != function.proto).then_some(passed),
                    facts: facts(function.flags),
                    decides: decides.contains(&(class as usize)),
                    objects: Holders::new(holders.get(&class).map_or(&[], Vec::as_slice), objects),
                }
            })
            .collect();
        told.sort_by_key(|t| (!t.decides, std::cmp::Reverse(t.objects.count)));
        let symbol = |i: usize| printable(image.symbols[i].name).into_owned();
        let symbols = named.symbols.iter();
        found.push(LeftOut {
            name: printable(name).into_owned(),
            reason: reason.text(),
            symbols: symbols.map(|&(i, at)| (symbol(i), at.value)).collect(),
            told,
        });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// By name.
pub fn definitions(combiner: &Combiner<'_>, objects: &[String]) -> Vec<Named> {
    // Typedefs have a space of their own.
    let mut by_name: BTreeMap<(&[u8], Option<Space>), Vec<Class>> = BTreeMap::new();
    for class in combiner.numbers() {
        if combiner.facts(class).dead {
            continue;
        }
        let words = combiner.class_words(class);
        let space = match btf::nominal(words) {
            Some((space, false)) => Some(space),
            None if btf::kind_of(words) == Some(Kind::Typedef) => None,
            _ => continue,
        };
        let name = combiner.strings.get(words[0]);
        by_name.entry((name, space)).or_default().push(class);
    }
    by_name.retain(|_, classes| classes.len() > 1);
    let mut holders: HashMap<Class, Vec<u32>, Fast> = by_name
        .values()
        .flatten()
        .map(|&class| (class, Vec::new()))
        .collect();
    for (class, object) in &combiner.watched_types {
        if let Some(own) = holders.get_mut(class) {
            own.push(*object);
        }
    }
    for own in holders.values_mut() {
        own.sort_unstable();
        own.dedup();
    }
    let named = by_name.into_iter().filter_map(|((name, _), classes)| {
        let mut held: Vec<_> = classes
            .into_iter()
            .filter(|class| !holders[class].is_empty())
            .map(|class| (class, Holders::new(&holders[&class], objects)))
            .collect();
        held.sort_by_key(|(class, own)| (std::cmp::Reverse(own.count), combiner.facts(*class).id));
        (held.len() > 1).then(|| Named {
            name: printable(name).into_owned(),
            definitions: held,
        })
    });
    named.collect()
}

/// Each type belongs to the deepest directory in which all lie who bring it.
pub fn directories(combiner: &Combiner<'_>, objects: &[String]) -> Vec<Directory> {
    let paths: Vec<Vec<&str>> = objects.iter().map(|path| parts(path)).collect();
    // Of each class an object, and how many parts of its path all have who bring it.
    let mut common: Vec<Option<(u32, usize)>> = vec![None; combiner.classes.len() + 1];
    for &(class, object) in &combiner.watched_types {
        let own = &paths[object as usize];
        let shared = match common[class as usize] {
            None => (object, own.len()),
            Some((first, depth)) => {
                let same = paths[first as usize][..depth].iter().zip(own);
                (first, same.take_while(|(a, b)| a == b).count())
            }
        };
        common[class as usize] = Some(shared);
    }
    let mut sums: BTreeMap<&[&str], (u64, u64)> = BTreeMap::new();
    for class in combiner.numbers() {
        if let Some((object, depth)) = common[class as usize] {
            let sum = sums.entry(&paths[object as usize][..depth]).or_default();
            sum.0 += 1;
            sum.1 += 4 * combiner.class_words(class).len() as u64;
        }
    }
    let directory = |(path, (types, bytes)): (&[&str], (u64, u64))| Directory {
        path: path.join("/"),
        types,
        bytes,
    };
    sums.into_iter().map(directory).collect()
}

/// The directories of a path.
fn parts(path: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = path.split('/').filter(|part| *part != ".").collect();
    parts.pop();
    parts
}
