// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! What stands for declarations when all objects are known.

use std::collections::HashMap;

use crate::btf::{self, Space};
use crate::combine::Combiner;
use crate::object::numbering::Class;

/// What stands for each declaration: the one definition of its name, or the default of several. Of an
/// enumeration without one, whose declarations may differ in size, that of the base or else of the
/// smallest identity. What stands for each class that is dead. 0 where a class stands for itself.
pub fn resolve_declarations(combiner: &Combiner<'_>) -> Vec<Class> {
    let definitions = combiner.definitions();
    let declared = |class: Class| {
        let words = combiner.class_words(class);
        match btf::nominal(words) {
            Some((space, true)) if !combiner.facts(class).dead => Some((space, words[0])),
            _ => None,
        }
    };
    let rank = |class: Class| {
        let facts = combiner.facts(class);
        (facts.base_id == 0, facts.id)
    };
    let mut enums: HashMap<u32, Class> = HashMap::new();
    for class in combiner.numbers() {
        if let Some((Space::Enum, name)) = declared(class) {
            let first = enums.entry(name).or_insert(class);
            if rank(class) < rank(*first) {
                *first = class;
            }
        }
    }
    let mut forward = vec![0; combiner.classes.len() + 1];
    for class in combiner.numbers() {
        let Some((space, name)) = declared(class) else {
            continue;
        };
        let is_base = combiner.facts(class).base_id != 0;
        let definition = match definitions.of((space, name)) {
            [(_, only)] => Some(*only),
            [] if space == Space::Enum && !is_base => enums.get(&name).copied(),
            [] => None,
            _ => combiner.defaults.get(&(space, name)).copied(),
        };
        forward[class as usize] = definition.filter(|&d| d != class).unwrap_or(0);
    }
    for (&class, &instead) in &combiner.stands_for {
        forward[class as usize] = instead;
    }
    forward
}
