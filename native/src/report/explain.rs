// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Why a function is in the BTF or not, and how definitions of one type name differ: the verdicts
//! of the fix-up and of refinement with the evidence that they rest on.

use std::collections::BTreeMap;

use crate::btf::{self, Kind};
use crate::combine::{printable, Combiner};
use crate::object::function_flags as flag;
use crate::object::numbering::Class;
use crate::report::spelling::declaration;

/// One DIE that has a say.
pub struct Candidate {
    pub object: String,
    pub die: u64,
    /// As written in the source.
    pub prototype: String,
    /// With the parameters that are really passed, where the compiler changed that.
    pub passed: Option<String>,
    /// What its object says of it, in words.
    pub facts: Vec<&'static str>,
    /// Where it stands in the linked file, if it does.
    pub address: Option<u64>,
    pub chosen: bool,
}

pub struct FunctionVerdict {
    /// Symbols of the base name, with their addresses.
    pub symbols: Vec<(String, u64)>,
    /// Why it is left out; empty: it is in.
    pub reason: &'static str,
    /// The full name of the clone that it is told of by; empty: its own name.
    pub clone: String,
    pub candidates: Vec<Candidate>,
}

/// One definition of a type name, or its declaration (kind FWD).
pub struct Definition {
    pub kind: &'static str,
    pub size: u64,
    pub objects: Vec<String>,
    /// Where it first parts from the first definition of its space (struct, union, enum, typedef);
    /// empty for that one.
    pub difference: String,
}

pub struct Explanation {
    /// `None`: no object and no symbol knows a function of the name.
    pub function: Option<FunctionVerdict>,
    pub definitions: Vec<Definition>,
}

/// The facts of a function candidate in words.
pub fn facts(flags: u32) -> Vec<&'static str> {
    let all = [
        (flag::HAS_CODE, "has code"),
        (flag::OPTIMIZED_PARMS, "a parameter has no place at entry"),
        (
            flag::UNEXPECTED_REG,
            "a parameter is in an unexpected register",
        ),
        (
            flag::UNCERTAIN_PARM_LOC,
            "a packed struct is passed on the stack",
        ),
        (flag::REORDERED_PARM, "parameters were reordered"),
        (
            flag::SIGNATURE_CHANGED,
            "the compiler changed the signature",
        ),
        (
            flag::PASSED_UNEXPECTED,
            "the places of its parameters do not tell which are passed",
        ),
    ];
    all.into_iter()
        .filter(|(bit, _)| flags & bit != 0)
        .map(|(_, text)| text)
        .collect()
}

/// All definitions of the watched name, with the objects that hold each.
pub fn definitions(combiner: &Combiner<'_>, objects: &[String]) -> Vec<Definition> {
    let mut holders: BTreeMap<Class, Vec<String>> = BTreeMap::new();
    for &(class, object) in &combiner.watched_types {
        let path = objects.get(object as usize).cloned().unwrap_or_default();
        let list = holders.entry(class).or_default();
        if list.last() != Some(&path) {
            list.push(path);
        }
    }
    let mut firsts: BTreeMap<u8, Class> = BTreeMap::new();
    let mut found = Vec::new();
    // Most common first: that is the one that people mean.
    let mut classes: Vec<(Class, Vec<String>)> = holders.into_iter().collect();
    for (_, paths) in &mut classes {
        paths.sort();
        paths.dedup();
    }
    classes
        .sort_by_key(|(class, paths)| (std::cmp::Reverse(paths.len()), combiner.facts(*class).id));
    for (class, paths) in classes {
        let words = combiner.class_words(class);
        let Some(kind) = btf::kind_of(words) else {
            continue;
        };
        let mut definition = Definition {
            kind: kind.name(),
            size: 0,
            objects: paths,
            difference: String::new(),
        };
        let space = match btf::nominal(words) {
            Some((_, true)) => None,
            Some((space, false)) => Some(space as u8),
            None => Some(b't'),
        };
        match space {
            None => definition.kind = Kind::Fwd.name(),
            Some(space) => {
                let first = *firsts.entry(space).or_insert(class);
                if kind != Kind::Typedef {
                    definition.size = u64::from(words[2]);
                }
                if first != class {
                    definition.difference =
                        difference(combiner, first, class, &text(combiner, words[0]));
                }
            }
        }
        found.push(definition);
    }
    found
}

fn text(combiner: &Combiner<'_>, offset: u32) -> String {
    printable(combiner.strings.get(offset)).into_owned()
}

/// The first place where two types of one name and space part.
fn difference(combiner: &Combiner<'_>, a: Class, b: Class, name: &str) -> String {
    let (x, y) = (combiner.class_words(a), combiner.class_words(b));
    match (btf::kind_of(x), btf::kind_of(y)) {
        (Some(Kind::Typedef), Some(Kind::Typedef)) => {
            let (left, right) = (
                declaration(combiner, x[2], name),
                declaration(combiner, y[2], name),
            );
            if left != right {
                return format!("{left} or {right}");
            }
            match (is_anonymous(combiner, x[2]), is_anonymous(combiner, y[2])) {
                (true, true) => difference(combiner, x[2], y[2], ""),
                _ => format!("{left}, whose type differs in turn"),
            }
        }
        (Some(Kind::Enum | Kind::Enum64), Some(Kind::Enum | Kind::Enum64)) => {
            in_enumerators(combiner, x, y)
        }
        _ => in_members(combiner, x, y),
    }
}

/// Spelled out by its members or enumerators where it is used.
fn is_anonymous(combiner: &Combiner<'_>, class: Class) -> bool {
    use Kind::{Enum, Enum64, Struct, Union};
    matches!(
        combiner.kind_or_void(class),
        Some(Struct | Union | Enum | Enum64)
    ) && combiner.class_words(class)[0] == 0
}

fn in_enumerators(combiner: &Combiner<'_>, x: &[u32], y: &[u32]) -> String {
    let enumerators = |words: &[u32]| -> Vec<(u32, i128)> {
        let signed = words[1] & btf::KIND_FLAG != 0;
        match (btf::kind_of(words), signed) {
            (Some(Kind::Enum64), _) => words[3..]
                .chunks_exact(3)
                .map(|e| (e[0], u64::from(e[2]) << 32 | u64::from(e[1])))
                .map(|(n, v)| (n, if signed { v as i64 as i128 } else { v.into() }))
                .collect(),
            (_, true) => words[3..]
                .chunks_exact(2)
                .map(|e| (e[0], (e[1] as i32).into()))
                .collect(),
            _ => words[3..]
                .chunks_exact(2)
                .map(|e| (e[0], e[1].into()))
                .collect(),
        }
    };
    let (left, right) = (enumerators(x), enumerators(y));
    for (i, (m, n)) in left.iter().zip(&right).enumerate() {
        if m != n {
            let (p, q) = (text(combiner, m.0), text(combiner, n.0));
            return format!("enumerator {i}: {p} = {} or {q} = {}", m.1, n.1);
        }
    }
    if left.len() != right.len() {
        return format!("{} or {} enumerators", left.len(), right.len());
    }
    format!("size {} or {}", x[2], y[2])
}

fn in_members(combiner: &Combiner<'_>, x: &[u32], y: &[u32]) -> String {
    let place = |words: &[u32], offset: u32| match words[1] & btf::KIND_FLAG {
        0 => (offset, 0),
        _ => (offset & 0xff_ffff, offset >> 24),
    };
    let spelled = |words: &[u32], m: &[u32]| {
        let mut text = declaration(combiner, m[1], &text(combiner, m[0]));
        let (_, bits) = place(words, m[2]);
        if bits != 0 {
            text += &format!(":{bits}");
        }
        text
    };
    let pairs = x[3..].chunks_exact(3).zip(y[3..].chunks_exact(3));
    for (i, (m, n)) in pairs.enumerate() {
        let (at, there) = (place(x, m[2]), place(y, n[2]));
        if m[..2] == n[..2] && at == there {
            continue;
        }
        let (left, right) = (spelled(x, m), spelled(y, n));
        return if left != right {
            format!("member {i}: {left} or {right}")
        } else if at != there {
            format!("member {i}: {left} at bit {} or {}", at.0, there.0)
        } else {
            format!("member {i}: {left}, whose type differs in turn")
        };
    }
    if x.len() != y.len() {
        return format!("{} or {} members", btf::vlen(x[1]), btf::vlen(y[1]));
    }
    format!("size {} or {}", x[2], y[2])
}
