// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Why a function is in the BTF or not, and which definitions a type name has: the verdicts of the
//! fix-up and of refinement with the evidence that they rest on. Types are told as BTF; how they are
//! spelled, and where they differ, is said in Python (`kbuild_btf/explanation.py`).

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::btf::write;
use crate::combine::Combiner;
use crate::object::function_flags as flag;
use crate::object::numbering::Class;
use crate::report::sites::Site;
use crate::support::error::Result;

/// One DIE that has a say.
pub struct Candidate {
    pub object: String,
    pub die: u64,
    /// As written in the source.
    pub prototype: Class,
    /// With the parameters that are really passed, where the compiler changed that.
    pub passed: Option<Class>,
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
    /// Where it was inlined.
    pub sites: Vec<Site>,
}

/// One definition of a type name, or its declaration.
pub struct Definition {
    pub class: Class,
    pub objects: Vec<String>,
}

pub struct Explanation {
    /// `None`: no object and no symbol knows a function of the name.
    pub function: Option<FunctionVerdict>,
    pub definitions: Vec<Definition>,
    /// What `types` made.
    pub types: Vec<u8>,
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
        holders.entry(class).or_default().push(path);
    }
    let mut found: Vec<Definition> = holders
        .into_iter()
        .map(|(class, mut objects)| {
            objects.sort();
            objects.dedup();
            Definition { class, objects }
        })
        .collect();
    // Most common first: that is the one that people mean.
    found.sort_by_key(|d| (Reverse(d.objects.len()), combiner.facts(d.class).id));
    found
}

/// All classes as BTF in little-endian order, each with its number as id.
pub fn types(combiner: &Combiner<'_>) -> Result<Vec<u8>> {
    let words = combiner.numbers().map(|class| combiner.class_words(class));
    let types: Vec<u8> = words
        .flatten()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    write::file(&types, &[], &combiner.strings.bytes, false)
}
