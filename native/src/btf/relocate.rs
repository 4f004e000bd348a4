// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! A distilled base (`.BTF.base`) holds names and sizes of those types of vmlinux that a module
//! refers to. The kernel that loads the module finds each in its own BTF; this says whether it will.

use std::collections::HashMap;

use super::check::BaseTypes;
use super::{for_each_field, vlen, Field, Kind, KIND_FLAG};
use crate::btf::kind_of;
use crate::object::text_at;
use crate::support::error::{Error, Result};

/// The types of a kernel by name, as far as a distilled base can mean them.
pub struct Names<'b> {
    base: BaseTypes<'b>,
    ids: HashMap<&'b [u8], Vec<u32>>,
}

fn is_composite(kind: Kind) -> bool {
    matches!(kind, Kind::Struct | Kind::Union)
}

impl<'b> Names<'b> {
    pub fn of(base: BaseTypes<'b>) -> Self {
        let mut ids: HashMap<&[u8], Vec<u32>> = HashMap::new();
        for id in 1..=base.count() {
            let Some(words) = base.get(id).filter(|words| words[0] != 0) else {
                continue;
            };
            if matches!(
                kind_of(words),
                Some(
                    Kind::Int
                        | Kind::Float
                        | Kind::Enum
                        | Kind::Enum64
                        | Kind::Fwd
                        | Kind::Struct
                        | Kind::Union
                )
            ) {
                let name = text_at(base.strings, words[0]);
                ids.entry(name).or_default().push(id);
            }
        }
        Names { base, ids }
    }

    /// Does the kernel find all types of a distilled base, and all names of the split BTF on top?
    pub fn check(&self, distilled: BaseTypes<'_>, split: BaseTypes<'_>) -> Result<()> {
        let embedded = embedded(distilled, split);
        let mut names = vec![0];
        for id in 1..=distilled.count() {
            let words = distilled.get(id).unwrap_or(&[0; 3]);
            let name = text_at(distilled.strings, words[0]);
            self.find(words, name, embedded[id as usize])?;
            names.push(words[0]);
        }
        names.sort_unstable();
        let mut foreign = None;
        for i in 1..=split.count() {
            let Some((words, kind)) = split.get(i).and_then(|w| Some((w, kind_of(w)?))) else {
                continue;
            };
            for_each_field(kind, words, |i, field| {
                let own = words[i] as usize >= distilled.strings.len();
                if field == Field::Name && !own && names.binary_search(&words[i]).is_err() {
                    foreign = Some(words[i]);
                }
            });
        }
        match foreign {
            None => Ok(()),
            Some(offset) => Err(Error::new(format!(
                "the name {} is a string of .BTF.base, but none of its types has it",
                text_at(distilled.strings, offset).escape_ascii()
            ))),
        }
    }

    /// The one type that the kernel takes for this one.
    fn find(&self, words: &[u32], name: &[u8], embedded: bool) -> Result<()> {
        let kind = kind_of(words).filter(|_| words[0] != 0);
        let Some(word) = kind.and_then(word_of) else {
            return Err(Error::new(
                "a type in .BTF.base that has no name or cannot be there",
            ));
        };
        let of_name = self.ids.get(name).map_or(&[][..], Vec::as_slice);
        let types = || of_name.iter().filter_map(|&id| self.base.get(id));
        let composites = types().filter(|t| kind_of(t).is_some_and(is_composite));
        let several = composites.count() > 1;
        let found = types()
            .filter(|t| is_taken_for(words, t, several, embedded))
            .count();
        let name = name.escape_ascii();
        match (found, types().next()) {
            (1, _) => Ok(()),
            (0, None) => Err(Error::new(format!("the kernel has no {word} {name}"))),
            (0, Some(other)) => Err(Error::new(match (kind_of(other), kind) {
                (Some(a), Some(b)) if a == b && other[2] != words[2] => format!(
                    "the kernel's {word} {name} has {} bytes, the module was made for {}",
                    other[2], words[2]
                ),
                _ => format!(
                    "{name} is another type in the kernel, the module was made for {word} {name}"
                ),
            })),
            _ => Err(Error::new(format!(
                "the kernel has several {word} {name} of {} bytes",
                words[2]
            ))),
        }
    }
}

fn word_of(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Int => Some("integer"),
        Kind::Float => Some("floating point type"),
        Kind::Enum => Some("enum"),
        Kind::Fwd => Some("declaration of"),
        Kind::Struct => Some("struct"),
        Kind::Union => Some("union"),
        _ => None,
    }
}

/// The kernel's rules (tools/lib/bpf/btf_relocate.c), odd ones included: a declaration is taken for
/// a struct only if that has no bit-fields, and for a union only if that has some. `several`: more
/// than one struct or union of the kernel has the name.
fn is_taken_for(distilled: &[u32], types: &[u32], several: bool, embedded: bool) -> bool {
    let (Some(kind), Some(other)) = (kind_of(distilled), kind_of(types)) else {
        return false;
    };
    let flag = |words: &[u32]| words[1] & KIND_FLAG != 0;
    let sized = match other {
        Kind::Fwd => false,
        Kind::Struct | Kind::Union => several,
        _ => true,
    };
    if sized && types[2] != distilled[2] {
        return false;
    }
    match (kind, other) {
        (Kind::Fwd, Kind::Fwd) => flag(distilled) == flag(types),
        (Kind::Fwd, Kind::Struct) => !flag(types),
        (Kind::Fwd, Kind::Union) => flag(types),
        (Kind::Int, Kind::Int) => distilled[3] >> 24 == types[3] >> 24,
        (Kind::Float, Kind::Float) => true,
        (Kind::Enum, Kind::Enum | Kind::Enum64) => true,
        (Kind::Struct | Kind::Union, _) if kind == other => !embedded || types[2] == distilled[2],
        _ => false,
    }
}

/// Which types of the distilled base are parts of the module's own structs and unions: these must
/// have the same size.
fn embedded(distilled: BaseTypes<'_>, split: BaseTypes<'_>) -> Vec<bool> {
    let last = distilled.count();
    let get = |id: u32| match id.checked_sub(last) {
        Some(own) if own > 0 => split.get(own),
        _ => distilled.get(id),
    };
    let mut embedded = vec![false; last as usize + 1];
    let aggregates = (1..=split.count())
        .filter_map(|i| split.get(i))
        .filter(|words| kind_of(words).is_some_and(is_composite));
    for member in aggregates.flat_map(|words| words[3..][..3 * vlen(words[1])].chunks_exact(3)) {
        let mut id = member[1];
        // As many steps as there are types: what leads in a circle ends, too.
        for _ in 0..last + split.count() {
            let Some((words, kind)) = get(id).and_then(|w| Some((w, kind_of(w)?))) else {
                break;
            };
            id = match kind {
                Kind::Const | Kind::Restrict | Kind::Volatile | Kind::Typedef | Kind::TypeTag => {
                    words[2]
                }
                Kind::Array => words[3],
                _ => {
                    if is_composite(kind) && id <= last {
                        embedded[id as usize] = true;
                    }
                    break;
                }
            };
        }
    }
    embedded
}
