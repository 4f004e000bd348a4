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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::btf::Kind;
    use crate::combine::sample::combined;
    use crate::object::sample::{declared, enumeration, int, object, of, structure, A, B, S};
    use crate::object::{Encoded, Id};

    /// The identity of what stands for this type.
    fn meant(objects: &[&Encoded], id: Id) -> Option<Id> {
        let combiner = combined(objects);
        let class = combiner.find(id).expect("some object has it");
        match resolve_declarations(&combiner)[class as usize] {
            0 => None,
            instead => Some(combiner.facts(instead).id),
        }
    }

    #[test]
    fn a_declaration_is_the_only_definition_of_its_name() {
        let declares = object(&[declared(S)]).expect("sound");
        let defines = object(&[int(), structure(S, &[(A, 1)])]).expect("sound");
        let of_other_name = object(&[int(), structure(B, &[(A, 1)])]).expect("sound");
        let mut union = structure(S, &[(A, 1)]);
        union[1] = btf::info(Kind::Union, 1, false);
        let union = object(&[int(), union]).expect("sound");
        let declaration = declares.ids[0];
        assert_eq!(
            meant(&[&declares, &defines], declaration),
            Some(defines.ids[1])
        );
        assert_eq!(meant(&[&declares, &of_other_name], declaration), None);
        assert_eq!(meant(&[&union, &declares], declaration), None);
    }

    #[test]
    fn of_several_definitions_it_is_the_default() {
        let declares = object(&[declared(S)]).expect("sound");
        let common = object(&[int(), structure(S, &[(A, 1)])]).expect("sound");
        let rare = object(&[int(), structure(S, &[(B, 1)])]).expect("sound");
        for objects in [
            [&rare, &common, &declares, &common],
            [&common, &common, &declares, &rare],
        ] {
            assert_eq!(meant(&objects, declares.ids[0]), Some(common.ids[1]));
        }
    }

    #[test]
    fn of_declarations_of_an_enumeration_the_smallest_identity_stands_for_all() {
        let (narrow, wide) = (enumeration(S, 4, &[]), enumeration(S, 8, &[]));
        let both = object(&[narrow, wide]).expect("sound");
        let (smallest, other) = (both.ids[0].min(both.ids[1]), both.ids[0].max(both.ids[1]));
        assert_eq!(meant(&[&both], other), Some(smallest));
        assert_eq!(meant(&[&both], smallest), None);
    }

    #[test]
    fn who_defines_stands_for_itself() {
        let list = object(&[structure(S, &[(A, 2)]), of(Kind::Ptr, 0, 1)]).expect("sound");
        assert_eq!(meant(&[&list], list.ids[0]), None);
    }
}
