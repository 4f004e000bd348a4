// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Type identity: the hash that says that two types from different objects are one.
//!
//! A type is rendered to bytes: its own words and, for each type that it refers to,
//!  - a **nominal** type (named struct, union or enum, complete or only declared): kind and name;
//!  - any other type: that type's own identity.
//!
//! So recursion ends at named aggregates, and a pointer to a declared struct is the same pointer
//! as one to the defined struct. Where one name has several definitions, `refine` says more.

use crate::btf::{self, kind_of, nominal, Field, Space};
use crate::object::{push_text, Encoded, Function, Id, View};
use crate::support::error::{Error, Result};
use crate::support::limits::NESTED;

/// Where a type is rendered to, and what stands for the strings and types that it refers to.
pub trait Render {
    fn out(&mut self) -> &mut Vec<u8>;
    fn name(&mut self, offset: u32);
    fn reference(&mut self, target: u32);
}

/// Render a type: its words in order, names and references as `to` writes them.
pub fn render(words: &[u32], to: &mut impl Render) {
    let Some(kind) = kind_of(words) else { return };
    // Plain words come one or two at a time: no call to copy them.
    let plain = |to: &mut Vec<u8>, words: &[u32]| {
        for word in words {
            to.extend_from_slice(&word.to_ne_bytes());
        }
    };
    let mut plain_from = 0;
    btf::for_each_field(kind, words, |i, field| {
        plain(to.out(), &words[plain_from..i]);
        plain_from = i + 1;
        match field {
            Field::Name => to.name(words[i]),
            Field::Type => to.reference(words[i]),
        }
    });
    plain(to.out(), &words[plain_from..]);
}

fn write_name(view: &View<'_>, offset: u32, out: &mut Vec<u8>) {
    push_text(out, view.strings, offset);
}

/// What a reference says of the type that it means.
pub enum Meaning {
    Void,
    /// Its space and name.
    Nominal(Space, u32),
    Type(Id),
}

impl Meaning {
    #[inline]
    pub fn write(self, strings: &[u8], out: &mut Vec<u8>) {
        match self {
            Meaning::Void => out.push(b'v'),
            Meaning::Nominal(space, name) => {
                out.push(space as u8);
                push_text(out, strings, name);
            }
            Meaning::Type(id) => {
                out.push(b'#');
                out.extend_from_slice(&id.bytes());
            }
        }
    }
}

/// Types that contain each other, with nothing in between that is known by name.
pub fn endless() -> Error {
    Error::new("types that contain each other without a named struct or union")
}

pub fn too_deep() -> Error {
    Error::new(format!("types nested deeper than {NESTED}"))
}

/// Give every type of the object its identity.
pub fn of_types(encoded: &mut Encoded) -> Result<()> {
    encoded.ids = of_view(&encoded.view())?;
    Ok(())
}

/// The identity of every type.
pub fn of_view(view: &View<'_>) -> Result<Vec<Id>> {
    let types = view.starts.len() - 1;
    let mut walk = Walk {
        view: *view,
        nominals: (1..=types as u32)
            .map(|id| {
                let words = view.type_words(id);
                nominal(words).map(|(space, _)| (space, words[0]))
            })
            .collect(),
        ids: vec![Id::default(); types],
        state: vec![State::New; types],
        out: Vec::with_capacity(4096),
        depth: 0,
        failure: None,
    };
    for id in 1..=types as u32 {
        walk.visit(id);
        if let Some(error) = walk.failure {
            return Err(error);
        }
    }
    Ok(walk.ids)
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    New,
    Open,
    Done,
}

struct Walk<'a> {
    view: View<'a>,
    /// Space and name of the types that are known by name.
    nominals: Vec<Option<(Space, u32)>>,
    ids: Vec<Id>,
    state: Vec<State>,
    /// The types that are open, each behind the one that refers to it.
    out: Vec<u8>,
    depth: usize,
    failure: Option<Error>,
}

impl Walk<'_> {
    fn visit(&mut self, id: u32) {
        let i = id as usize - 1;
        match self.state[i] {
            State::Done => return,
            State::Open => {
                self.failure = Some(endless());
                return;
            }
            State::New if self.depth > NESTED => {
                self.failure = Some(too_deep());
                return;
            }
            State::New => self.state[i] = State::Open,
        }
        let start = self.out.len();
        self.depth += 1;
        render(self.view.type_words(id), self);
        self.depth -= 1;
        self.ids[i] = Id::of(&self.out[start..]);
        self.out.truncate(start);
        self.state[i] = State::Done;
    }
}

impl Render for Walk<'_> {
    #[inline]
    fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    #[inline]
    fn name(&mut self, offset: u32) {
        push_text(&mut self.out, self.view.strings, offset);
    }

    #[inline]
    fn reference(&mut self, target: u32) {
        let meaning = if target == 0 {
            Meaning::Void
        } else {
            let i = target as usize - 1;
            match self.nominals[i] {
                Some((space, name)) => Meaning::Nominal(space, name),
                None => {
                    if self.state[i] != State::Done {
                        self.visit(target);
                    }
                    Meaning::Type(self.ids[i])
                }
            }
        };
        meaning.write(self.view.strings, &mut self.out);
    }
}

/// Identity of a function candidate: name, prototypes, facts and tags; not where it stands. `proto`
/// gives the identity of a prototype.
pub fn of_function(
    view: &View<'_>,
    function: &Function,
    proto: impl Fn(u32) -> Id,
    scratch: &mut Vec<u8>,
) -> Id {
    scratch.clear();
    write_name(view, function.name, scratch);
    for id in function.proto..=function.passed_proto() {
        scratch.extend_from_slice(&proto(id).bytes());
    }
    scratch.extend_from_slice(&function.flags.to_le_bytes());
    let tags = function.tags_start as usize..(function.tags_start + function.tags_len) as usize;
    for tag in &view.tags[tags] {
        scratch.extend_from_slice(&tag.component.to_le_bytes());
        write_name(view, tag.value, scratch);
    }
    Id::of(scratch)
}

/// The identity of every function candidate; `proto` as in `of_function`.
pub fn of_functions(view: &View<'_>, proto: impl Fn(u32) -> Id) -> Vec<Id> {
    let mut scratch = Vec::new();
    let id = |f: &Function| of_function(view, f, &proto, &mut scratch);
    view.functions.iter().map(id).collect()
}

#[cfg(test)]
mod tests {
    use crate::btf::Kind;
    use crate::object::sample::{declared, int, object, of, structure, A, B, S};
    use crate::support::limits::NESTED;

    #[test]
    fn a_pointer_to_what_is_only_declared_is_one_to_what_is_defined() {
        let declares = object(&[declared(S), of(Kind::Ptr, 0, 1)]).expect("sound");
        let defines =
            object(&[int(), structure(S, &[(A, 1)]), of(Kind::Ptr, 0, 2)]).expect("sound");
        assert_eq!(declares.ids[1], defines.ids[2]);
        assert_ne!(declares.ids[0], defines.ids[1]);
    }

    #[test]
    fn local_ids_do_not_count_but_names_do() {
        let one = object(&[int(), structure(0, &[(A, 1)])]).expect("sound");
        let other = object(&[structure(0, &[(A, 2)]), int()]).expect("sound");
        assert_eq!([one.ids[0], one.ids[1]], [other.ids[1], other.ids[0]]);
        let renamed = object(&[int(), structure(0, &[(B, 1)])]).expect("sound");
        assert_ne!(one.ids[1], renamed.ids[1]);
    }

    #[test]
    fn circles_end_at_a_name_and_are_refused_without_one() {
        let list = |name| object(&[structure(name, &[(A, 2)]), of(Kind::Ptr, 0, 1)]);
        assert!(list(S).is_ok());
        assert!(list(0).is_err());
        assert!(object(&[of(Kind::Const, 0, 1)]).is_err());
    }

    #[test]
    fn what_is_nested_too_deep_is_refused() {
        let chain = |len: usize| {
            let pointers = (2..=len as u32).map(|to| of(Kind::Ptr, 0, to));
            object(&pointers.chain([int()]).collect::<Vec<_>>())
        };
        assert!(chain(NESTED).is_ok());
        assert!(chain(NESTED + 2).is_err());
    }
}
