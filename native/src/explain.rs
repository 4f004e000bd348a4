// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Why a function is in the BTF or not, and how definitions of one type name differ: the verdicts
//! of the fix-up and of refinement with the evidence that they rest on.

use std::collections::BTreeMap;

use crate::btf::{self, Kind};
use crate::combine::{Class, Combiner};
use crate::encoded::function_flags as flag;
use crate::identity;
use crate::spelling::declaration;

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

/// One definition (or declaration) of a type name.
pub struct Definition {
    pub kind: &'static str,
    pub size: u64,
    pub objects: Vec<String>,
    /// Where it first parts from the first definition of its kind; empty for that one.
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
    classes
        .sort_by_key(|(class, paths)| (std::cmp::Reverse(paths.len()), combiner.facts(*class).id));
    for (class, mut paths) in classes {
        paths.sort();
        paths.dedup();
        let words = combiner.class_words(class);
        let Some(kind) = identity::kind_of(words) else {
            continue;
        };
        let first = *firsts.entry(kind as u8).or_insert(class);
        found.push(Definition {
            kind: kind.name(),
            size: if kind == Kind::Fwd {
                0
            } else {
                u64::from(words[2])
            },
            objects: paths,
            difference: if first == class {
                String::new()
            } else {
                difference(combiner, first, class)
            },
        });
    }
    found
}

/// The first place where two definitions of one name part.
fn difference(combiner: &Combiner<'_>, a: Class, b: Class) -> String {
    let (x, y) = (combiner.class_words(a), combiner.class_words(b));
    let step = match identity::kind_of(x) {
        Some(Kind::Enum) => 2,
        Some(Kind::Struct | Kind::Union | Kind::Enum64) => 3,
        _ => return "they differ in what they refer to".to_owned(),
    };
    let name = |offset: u32| String::from_utf8_lossy(combiner.strings.get(offset)).into_owned();
    let is_enum = step == 2 || identity::kind_of(x) == Some(Kind::Enum64);
    let pairs = x[3..].chunks_exact(step).zip(y[3..].chunks_exact(step));
    for (i, (m, n)) in pairs.enumerate() {
        if m == n {
            continue;
        }
        let (p, q) = (name(m[0]), name(n[0]));
        if is_enum {
            return format!(
                "enumerator {i}: {p} = {} or {q} = {}",
                m[1] as i32, n[1] as i32
            );
        }
        let (left, right) = (
            declaration(combiner, m[1], &p),
            declaration(combiner, n[1], &q),
        );
        if left != right {
            return format!("member {i}: {left} or {right}");
        }
        if m[2] != n[2] {
            return format!(
                "member {i}: {left} at bit {} or {}",
                place(x, m[2]),
                place(y, n[2])
            );
        }
        return format!("member {i}: {left}, whose type differs in turn");
    }
    if x.len() != y.len() {
        return format!("{} or {} members", btf::vlen(x[1]), btf::vlen(y[1]));
    }
    format!("size {} or {}", x[2], y[2])
}

fn place(words: &[u32], offset: u32) -> u32 {
    if words[1] & btf::KIND_FLAG != 0 {
        offset & 0xff_ffff
    } else {
        offset
    }
}
