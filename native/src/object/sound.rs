// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Does what was read say what encode could have said? A right checksum tells of no damage on the way, but
//! of nothing that was wrong before.

use super::{identity, sparse, Unit, View, NONE};
use crate::btf::{for_each_field, kind_of, type_len, vlen, Field};

/// Do the arrays fit each other? So cheap that each reader asks.
pub fn has_sound_arrays(view: &View<'_>) -> bool {
    view.starts.len() == view.ids.len() + 1
        && view.starts.first() == Some(&0)
        && view.starts.last().map(|&end| end as usize) == Some(view.words.len())
        && view.strings.first() == Some(&0)
        && view.strings.last() == Some(&0)
        && have_sound_ends(view)
}

/// Are all offsets and indexes in range?
fn has_sound_indexes(view: &View<'_>) -> bool {
    let strings = view.strings.len();
    let is_string = |offset: u32| (offset as usize) < strings;
    let is_type = |id: u32| (id as usize) <= view.ids.len();
    let are_tags = |start: u32, len: u32| {
        let end = u64::from(start) + u64::from(len);
        end <= view.tags.len() as u64
    };
    let is_symbol = |index: u32| index == NONE || (index as usize) < view.symbols.len();
    let are_units = view.units.iter().all(|unit| {
        is_string(unit.refused) && is_string(unit.name) && unit.sparse <= sparse::PLAIN
    });
    let are_functions = view.functions.iter().all(|function| {
        is_string(function.name)
            && !matches!(function.proto, 0 | u32::MAX)
            && is_type(function.passed_proto())
            && are_tags(function.tags_start, function.tags_len)
            && is_symbol(function.symbol)
    });
    let are_variables = view.variables.iter().all(|variable| {
        is_string(variable.name)
            && is_type(variable.type_id)
            && are_tags(variable.tags_start, variable.tags_len)
            && is_symbol(variable.symbol)
    });
    let are_symbols = view.symbols.iter().all(|symbol| {
        is_string(symbol.name) && is_string(symbol.section) && is_string(symbol.file)
    });
    let is_place = |start: u32, len: u32| {
        let end = u64::from(start) + u64::from(len);
        end <= view.places.len() as u64
    };
    let sites = view.sites.unwrap_or_default();
    let are_sites = sites.is_sorted_by_key(|site| site.function)
        && sites.iter().all(|site| {
            (site.function as usize) < view.functions.len()
                && is_symbol(site.symbol)
                && is_place(site.places_start, site.places_len)
        });
    let are_values = view.tags.iter().all(|tag| is_string(tag.value));
    are_units && are_functions && are_variables && are_symbols && are_values && are_sites
}

/// The units share all there is, in order.
fn have_sound_ends(view: &View<'_>) -> bool {
    let mut start = Unit::default();
    for unit in view.units {
        let is_in_order = start.protos_end <= unit.types_end
            && unit.types_end <= unit.protos_end
            && start.functions_end <= unit.functions_end
            && start.variables_end <= unit.variables_end;
        if !is_in_order {
            return false;
        }
        start = *unit;
    }
    start.protos_end as usize == view.ids.len()
        && start.functions_end as usize == view.functions.len()
        && start.variables_end as usize == view.variables.len()
}

/// Does it lead nowhere outside, and have the types the identities that are said? That takes longer than a
/// link does.
pub fn is_sound(view: &View<'_>) -> bool {
    has_sound_arrays(view)
        && has_sound_indexes(view)
        && view.starts.is_sorted()
        && (1..=view.type_count() as u32).all(|id| is_sound_type(view, id))
        && identity::of_view(view).is_ok_and(|ids| ids == view.ids)
        && {
            let ids = identity::of_functions(view, |id| view.ids[id as usize - 1]);
            view.functions.iter().zip(ids).all(|(f, id)| f.id == id)
        }
}

fn is_sound_type(view: &View<'_>, id: u32) -> bool {
    let words = view.type_words(id);
    let Some(kind) = kind_of(words) else {
        return false;
    };
    if words.len() != type_len(kind, vlen(words[1])) {
        return false;
    }
    let mut sound = true;
    for_each_field(kind, words, |i, field| {
        sound &= match field {
            Field::Name => (words[i] as usize) < view.strings.len(),
            Field::Type => (words[i] as usize) <= view.ids.len(),
        };
    });
    sound
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::sample::{int, object, structure, A, S};
    use crate::object::Encoded;

    /// All that a mutation of one word can be told by.
    fn sample() -> Encoded {
        let mut encoded = object(&[int(), structure(S, &[(A, 1)])]).expect("sound");
        encoded.units = vec![Unit {
            types_end: 2,
            protos_end: 2,
            ..Unit::default()
        }];
        encoded
    }

    #[test]
    fn what_encode_made_is_sound() {
        assert!(is_sound(&sample().view()));
    }

    #[test]
    fn each_number_that_leads_too_far_is_told() {
        type Change = fn(&mut Encoded);
        let changes: [Change; 8] = [
            |e| _ = e.starts.pop(),
            |e| e.starts[0] = 1,
            |e| e.strings.push(b'x'),
            |e| e.units[0].protos_end = 3,
            |e| e.units[0].types_end = 3,
            |e| _ = e.ids.pop(),
            |e| _ = e.words.pop(),
            |e| e.units.clear(),
        ];
        for (i, change) in changes.iter().enumerate() {
            let mut changed = sample();
            change(&mut changed);
            assert!(!has_sound_arrays(&changed.view()), "{i}");
        }
    }

    #[test]
    fn each_word_of_a_type_is_told() {
        for i in 0..sample().words.len() {
            for bit in 0..32 {
                let mut changed = sample();
                changed.words[i] ^= 1 << bit;
                assert!(!is_sound(&changed.view()), "word {i} bit {bit}");
            }
        }
    }

    #[test]
    fn starts_that_go_back_are_told() {
        let mut changed = sample();
        changed.starts[1] = changed.starts[2] + 1;
        assert!(!is_sound(&changed.view()));
    }
}
