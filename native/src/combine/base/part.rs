// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! What of a base becomes an object of the link.

use std::collections::HashMap;

use super::Base;
use crate::btf::{self, Field};
use crate::combine::leaf::make_leaf;
use crate::object::{Encoded, Id, Target, Unit, View};
use crate::support::hash::Fast;

/// Types of the base as one object: those that some object has, too, and what these refer to. A
/// named type that no object has in this form, or of which they have left only that, is a **leaf**:
/// it is there for its name, with one member that no type of C has instead of its own.
pub struct Part<'b> {
    encoded: Encoded,
    strings: &'b [u8],
    /// Ids in the base, ascending; position i is local id i + 1.
    pub base_ids: Vec<u32>,
}

/// How a type of the base is met.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    Named,
    /// By its identity, of which objects have left nothing but the name.
    Leaf,
    Whole,
}

impl<'b> Part<'b> {
    pub(super) fn new(base: &'b Base, target: Target, met: &HashMap<u32, Met, Fast>) -> Part<'b> {
        let mut base_ids: Vec<u32> = met.keys().copied().collect();
        base_ids.sort_unstable();
        let local = |id: u32| base_ids.binary_search(&id).map_or(0, |i| i as u32 + 1);
        let mut encoded = Encoded::new(target);
        let (types, ids) = (base.types(), base.index.ids());
        for &id in &base_ids {
            let source = types.type_words(id);
            let mut identity = ids[id as usize - 1];
            let at = encoded.words.len();
            encoded.words.extend_from_slice(source);
            if met[&id] == Met::Whole {
                if let Some(kind) = btf::kind_of(source) {
                    btf::for_each_field(kind, source, |i, field| {
                        if field == Field::Type {
                            encoded.words[at + i] = local(source[i]);
                        }
                    });
                }
            } else if base.defines(id) {
                make_leaf(&mut encoded.words, at, id);
                if met[&id] == Met::Named {
                    identity = Id::of(bytemuck::cast_slice(&encoded.words[at..]));
                }
            }
            encoded.ids.push(identity);
            encoded.starts.push(encoded.words.len() as u32);
        }
        let count = base_ids.len() as u32;
        encoded.units.push(Unit {
            types_end: count,
            protos_end: count,
            ..Unit::default()
        });
        Part {
            encoded,
            strings: base.strings(),
            base_ids,
        }
    }

    pub fn view(&self) -> View<'_> {
        View {
            strings: self.strings,
            ..self.encoded.view()
        }
    }
}
