// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Serving a feature list that leaves kinds out: type tags, floating point, 64-bit enums.
//!
//! Objects are encoded with everything, since one sidecar serves every list. Where a kind is not
//! wanted, its types are replaced in the combined set, which may make others equal; so the set is
//! combined once more, as if it were one object.

use crate::btf::{self, Field, Kind};
use crate::combine::base::Base;
use crate::combine::{declarations, leaf, refine, Combiner};
use crate::object::features::Features;
use crate::object::numbering::Class;
use crate::object::{identity, Encoded, Unit};
use crate::support::error::Result;
use crate::support::limits::IN_A_ROW;

pub fn is_needed(features: &Features) -> bool {
    !(features.type_tag && features.float && features.enum64)
}

pub fn reduce<'a>(
    combiner: Combiner<'a>,
    features: &Features,
    base: Option<&Base>,
) -> Result<Combiner<'a>> {
    let forward = declarations::resolve_declarations(&combiner);
    let one = as_object(&combiner, &forward, features)?;
    let view = one.view();
    let mut reduced = Combiner::new(combiner.wanted());
    reduced.add(0, &view, None)?;
    // Which definition is the default was decided by all objects, not by this one.
    for facts in &mut reduced.classes {
        facts.holders = 0;
    }
    for (facts, id) in combiner.classes.iter().zip(view.ids) {
        if let Some(class) = reduced.find(*id) {
            reduced.classes[class as usize - 1].holders += facts.holders;
        }
    }
    base.map(|base| base.join(&mut reduced)).transpose()?;
    let refined = refine::refine(
        &mut reduced,
        &mut vec![(0, view)],
        base.map(|base| &base.index),
    )?;
    let overrides = refined.overrides.into_iter().next().map(|(_, o)| o);
    // Where each class went, and what of it is remembered there.
    let mut moved: Vec<Class> = vec![0; combiner.classes.len() + 1];
    for facts in &mut reduced.classes {
        facts.required = false;
    }
    for class in combiner.numbers() {
        let source = resolve(&combiner, &forward, class, features);
        if source == 0 {
            continue;
        }
        let id = overrides
            .as_ref()
            .and_then(|o| o.get(&source).copied())
            .unwrap_or(view.ids[source as usize - 1]);
        let Some(target) = reduced.find(id) else {
            continue;
        };
        moved[class as usize] = target;
        let (old, new) = (
            combiner.facts(class),
            &mut reduced.classes[target as usize - 1],
        );
        new.required |= old.required && !old.dead && source == class && old.base_id == 0;
        if new.base_id == 0 && !old.dead && !leaf::is_leaf(combiner.class_words(class)) {
            new.base_id = old.base_id;
        }
    }
    carry_candidates(combiner, &mut reduced, &moved);
    Ok(reduced)
}

/// The class that stands for this one: itself, what it declares, or what a type tag is on.
fn resolve(combiner: &Combiner<'_>, forward: &[Class], class: Class, features: &Features) -> Class {
    let meant = |class: Class| match forward[class as usize] {
        0 => class,
        instead => instead,
    };
    let mut class = meant(class);
    for _ in 0..IN_A_ROW {
        if features.type_tag || class == 0 || combiner.kind(class) != Some(Kind::TypeTag) {
            break;
        }
        class = meant(combiner.class_words(class)[2]);
    }
    class
}

fn as_object(combiner: &Combiner<'_>, forward: &[Class], features: &Features) -> Result<Encoded> {
    let mut one = Encoded::new(combiner.target.unwrap_or_default());
    one.strings = combiner.strings.bytes.clone();
    let placeholder = one.strings.len() as u32;
    one.strings.extend_from_slice(b"__SANITIZED_FAKE_INT__\0");
    for class in combiner.numbers() {
        let source = combiner.class_words(class);
        let in_base = combiner.facts(class).base_id != 0;
        let words = match btf::kind_of(source) {
            _ if combiner.facts(class).dead => vec![0, btf::info(Kind::Ptr, 0, false), 0],
            Some(Kind::Float) if !features.float && !in_base => {
                let (name, size) = match source[2] {
                    size if size.is_power_of_two() && size <= 16 => (source[0], size),
                    _ => (placeholder, 4),
                };
                vec![name, btf::info(Kind::Int, 0, false), size, size * 8]
            }
            Some(Kind::Enum64) if !features.enum64 && !in_base => {
                let vlen = btf::vlen(source[1]) as u32;
                let mut words = vec![source[0], btf::info(Kind::Enum, vlen, false), source[2]];
                words.extend(source[3..].chunks_exact(3).flat_map(|e| [e[0], e[1]]));
                words
            }
            Some(Kind::Enum) if !features.enum64 && !in_base => {
                let mut words = source.to_vec();
                words[1] &= !btf::KIND_FLAG;
                words
            }
            // Of what is only a name here, the base has the definition.
            Some(kind) if leaf::is_leaf(source) => {
                let of_union = kind == Kind::Union;
                match kind {
                    Kind::Enum | Kind::Enum64 => {
                        vec![source[0], btf::info(Kind::Enum, 0, false), 4]
                    }
                    _ => vec![source[0], btf::info(Kind::Fwd, 0, of_union), 0],
                }
            }
            Some(kind) => {
                let mut words = source.to_vec();
                btf::for_each_field(kind, source, |i, field| {
                    if field == Field::Type {
                        words[i] = resolve(combiner, forward, source[i], features);
                    }
                });
                words
            }
            None => source.to_vec(),
        };
        one.words.extend_from_slice(&words);
        one.starts.push(one.words.len() as u32);
    }
    let count = combiner.classes.len() as u32;
    one.units.push(Unit {
        types_end: count,
        protos_end: count,
        ..Unit::default()
    });
    identity::of_types(&mut one)?;
    Ok(one)
}

fn carry_candidates(from: Combiner<'_>, to: &mut Combiner<'_>, moved: &[Class]) {
    let strings = from.strings;
    let carry = |to: &mut Combiner<'_>, name: u32| to.strings.add(strings.get(name));
    for mut function in from.functions {
        function.proto = moved[function.proto as usize];
        function.passed_proto = moved[function.passed_proto as usize];
        function.dead |= function.proto == 0 || function.passed_proto == 0;
        function.name = carry(to, function.name);
        for tag in &mut function.tags {
            tag.0 = carry(to, tag.0);
        }
        to.functions.push(function);
    }
    to.placed_functions = from.placed_functions;
    to.sites = from.sites;
    to.places = from.places;
    for mut variable in from.variables {
        variable.class = moved[variable.class as usize];
        variable.name = carry(to, variable.name);
        for tag in &mut variable.tags {
            tag.0 = carry(to, tag.0);
        }
        to.variables.push(variable);
    }
    for mut symbol in from.symbols {
        symbol.name = carry(to, symbol.name);
        symbol.section = carry(to, symbol.section);
        symbol.file = carry(to, symbol.file);
        to.symbols.push(symbol);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::combine::sample::combined;
    use crate::finish::finish;
    use crate::object::sample::{int, lines, object, of, structure, A, B, S};
    use crate::support::threads::Threads;

    /// The result with these features.
    fn reduced(types: &[Vec<u32>], features: Features) -> Vec<String> {
        let one = object(types).expect("sound");
        let combiner = reduce(combined(&[&one]), &features, None).expect("sound");
        let finished = finish(&combiner, &features, None, &Threads::ONE).expect("sound");
        lines(&finished.bytes, (0, &[]))
    }

    fn float(name: u32, size: u32) -> Vec<u32> {
        vec![name, btf::info(Kind::Float, 0, false), size]
    }

    #[test]
    fn is_needed_for_what_a_list_leaves_out() {
        assert!(!is_needed(&Features::STANDARD));
        for name in ["type_tag", "float", "enum64"] {
            let mut features = Features::STANDARD;
            features.set(name, false);
            assert!(is_needed(&features), "{name}");
        }
    }

    #[test]
    fn without_type_tags_what_differed_by_them_is_one() {
        let features = Features {
            type_tag: false,
            ..Features::STANDARD
        };
        let types = [
            int(),
            of(Kind::Ptr, 0, 1),
            of(Kind::Ptr, 0, 4),
            of(Kind::TypeTag, A, 5),
            of(Kind::TypeTag, B, 1),
            structure(S, &[(A, 2), (B, 3)]),
        ];
        let expected = ["PTR #2", "INT int", "STRUCT s a #1 b #1"];
        assert_eq!(reduced(&types, features), expected);
    }

    #[test]
    fn without_floating_point_it_is_an_integer_of_its_size_or_a_placeholder() {
        let features = Features {
            float: false,
            ..Features::STANDARD
        };
        let expected = ["INT __SANITIZED_FAKE_INT__", "INT a", "INT int"];
        assert_eq!(
            reduced(&[float(A, 8), float(B, 12), int()], features),
            expected
        );
    }

    #[test]
    fn without_64_bit_enumerations_the_low_halves_stay() {
        let features = Features {
            enum64: false,
            ..Features::STANDARD
        };
        let wide = vec![S, btf::info(Kind::Enum64, 2, true), 8, A, 7, 1, B, 8, 2];
        let one = object(&[wide]).expect("sound");
        let combiner = reduce(combined(&[&one]), &features, None).expect("sound");
        let words = combiner.class_words(1);
        assert_eq!(&words[1..3], [btf::info(Kind::Enum, 2, false), 8]);
        assert_eq!((words[4], words[6]), (7, 8));
        assert_eq!(combiner.strings.get(words[0]), b"s");
    }

    #[test]
    fn what_nothing_concerns_stays() {
        let types = [int(), of(Kind::Typedef, A, 1), of(Kind::Const, 0, 2)];
        let without = reduced(
            &types,
            Features {
                float: false,
                ..Features::STANDARD
            },
        );
        assert_eq!(without, ["CONST #2", "TYPEDEF a #3", "INT int"]);
    }
}
