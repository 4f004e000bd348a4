// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Type identity: the hash that says that two types from different objects are one.
//!
//! A type is rendered to bytes: its own words and, for each type that it refers to,
//!  - a **nominal** type (named struct, union or enum, complete or only declared): kind and name;
//!  - any other type: that type's own identity.
//!
//! So recursion ends at named aggregates, and a pointer to a declared struct is the same pointer
//! as one to the defined struct. Where one name has several definitions, `refine` says more.

use crate::btf::{self, Field, Kind};
use crate::encoded::{Encoded, Function, Id, View};
use crate::error::{Error, Result};

/// Longest chain of types that no named aggregate interrupts; C stays far below it.
pub const DEPTH: usize = 1000;

pub fn kind_of(words: &[u32]) -> Option<Kind> {
    Kind::from_info(*words.get(1)?)
}

/// The space in which a nominal type's name is looked up, as in C: struct, union, enum.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Space {
    Struct = b's',
    Union = b'u',
    Enum = b'e',
}

/// The space of a nominal type and whether it is only declared; `None` for all other types.
pub fn nominal(words: &[u32]) -> Option<(Space, bool)> {
    if words[0] == 0 {
        return None;
    }
    match kind_of(words)? {
        Kind::Struct => Some((Space::Struct, false)),
        Kind::Union => Some((Space::Union, false)),
        Kind::Fwd if words[1] & btf::KIND_FLAG != 0 => Some((Space::Union, true)),
        Kind::Fwd => Some((Space::Struct, true)),
        Kind::Enum | Kind::Enum64 => Some((Space::Enum, btf::vlen(words[1]) == 0)),
        _ => None,
    }
}

/// Render a type: `name` writes a string, `reference` what stands for a type that it refers to.
pub fn render(
    words: &[u32],
    out: &mut Vec<u8>,
    name: impl Fn(u32, &mut Vec<u8>),
    mut reference: impl FnMut(u32, &mut Vec<u8>),
) {
    let Some(kind) = kind_of(words) else { return };
    let mut plain_from = 0;
    btf::for_each_field(kind, words, |i, field| {
        out.extend_from_slice(bytemuck::cast_slice(&words[plain_from..i]));
        plain_from = i + 1;
        match field {
            Field::Name => name(words[i], out),
            Field::Type => reference(words[i], out),
        }
    });
    out.extend_from_slice(bytemuck::cast_slice(&words[plain_from..]));
}

fn write_name(view: &View<'_>, offset: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(view.string(offset));
    out.push(0);
}

/// Give every type of the object its identity.
pub fn of_types(encoded: &mut Encoded) -> Result<()> {
    let count = encoded.starts.len() - 1;
    let mut ids = vec![Id::default(); count];
    {
        let view = encoded.view();
        let mut walk = Walk {
            view,
            ids: &mut ids,
            state: vec![State::New; count],
            scratch: Vec::with_capacity(4096),
        };
        for id in 1..=count as u32 {
            walk.visit(id, 0)?;
        }
    }
    encoded.ids = ids;
    Ok(())
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    New,
    Open,
    Done,
}

struct Walk<'a> {
    view: View<'a>,
    ids: &'a mut [Id],
    state: Vec<State>,
    scratch: Vec<u8>,
}

impl Walk<'_> {
    fn visit(&mut self, id: u32, depth: usize) -> Result<()> {
        let i = id as usize - 1;
        match self.state[i] {
            State::Done => return Ok(()),
            State::Open => {
                return Err(Error::new(
                    "types that contain each other without a named struct or union",
                ))
            }
            State::New if depth > DEPTH => {
                return Err(Error::new(format!("types nested deeper than {DEPTH}")))
            }
            State::New => self.state[i] = State::Open,
        }
        let words = self.view.type_words(id);
        if let Some(kind) = kind_of(words) {
            let mut failure = None;
            btf::for_each_field(kind, words, |at, field| {
                let target = words[at];
                if field == Field::Type
                    && target != 0
                    && failure.is_none()
                    && nominal(self.view.type_words(target)).is_none()
                    && self.state[target as usize - 1] != State::Done
                {
                    failure = self.visit(target, depth + 1).err();
                }
            });
            if let Some(error) = failure {
                return Err(error);
            }
        }
        let (view, ids) = (self.view, &*self.ids);
        self.scratch.clear();
        render(
            words,
            &mut self.scratch,
            |offset, out| write_name(&view, offset, out),
            |target, out| {
                if target == 0 {
                    out.push(b'v');
                    return;
                }
                let words = view.type_words(target);
                match nominal(words) {
                    Some((space, _)) => {
                        out.push(space as u8);
                        write_name(&view, words[0], out);
                    }
                    None => {
                        out.push(b'#');
                        out.extend_from_slice(&ids[target as usize - 1].bytes());
                    }
                }
            },
        );
        self.ids[i] = Id::of(&self.scratch);
        self.state[i] = State::Done;
        Ok(())
    }
}

/// Identity of a function candidate: name, prototype, facts and tags; not where it stands.
pub fn of_function(view: &View<'_>, function: &Function, proto: Id, scratch: &mut Vec<u8>) -> Id {
    scratch.clear();
    write_name(view, function.name, scratch);
    scratch.extend_from_slice(&proto.bytes());
    scratch.extend_from_slice(&function.flags.to_le_bytes());
    let tags = function.tags_start as usize..(function.tags_start + function.tags_len) as usize;
    for tag in &view.tags[tags] {
        scratch.extend_from_slice(&tag.component.to_le_bytes());
        write_name(view, tag.value, scratch);
    }
    Id::of(scratch)
}

pub fn of_functions(encoded: &mut Encoded) {
    let mut scratch = Vec::new();
    let view = encoded.view();
    let id = |f: &Function| of_function(&view, f, view.ids[f.proto as usize - 1], &mut scratch);
    let ids: Vec<Id> = view.functions.iter().map(id).collect();
    for (function, id) in encoded.functions.iter_mut().zip(ids) {
        function.id = id;
    }
}
