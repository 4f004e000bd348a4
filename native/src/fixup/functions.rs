// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Which functions get a FUNC, and with which prototype.
//!
//! A function of BTF is a promise: at this name there is one function, and it is called like
//! this. Where names are shared, prototypes differ between objects, or the compiler changed how
//! parameters arrive, the promise cannot be made.

use std::collections::HashMap;

use object::elf;

use super::{add_decl_tag, id_of, kfuncs, Outcome};
use crate::btf::{self, Kind};
use crate::combine::{printable, Class, Combiner};
use crate::encode::Fast;
use crate::encoded::function_flags as flag;
use crate::error::Result;
use crate::explain::{facts, Candidate, FunctionVerdict};
use crate::features::Features;
use crate::image::{base_name, Image, Location};
use crate::resolve::Resolution;
use crate::spelling::declaration;

/// The symbols of one base name, and the candidates that describe them.
#[derive(Default)]
struct Named {
    symbols: Vec<(usize, Location)>,
    states: Vec<State>,
}

impl Named {
    /// Several functions share the name, at different addresses. (Not at address 0: where a linker
    /// puts what it discarded.)
    fn is_ambiguous(&self) -> bool {
        let mut last: Option<Location> = None;
        for (_, location) in &self.symbols {
            if last.is_some_and(|l| !l.same(location)) {
                return true;
            }
            if location.value != 0 || location.section != 0 {
                last = Some(*location);
            }
        }
        false
    }
}

/// Why a function is not in the BTF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    UnexpectedRegister,
    Inconsistent,
    UncertainLocation,
    Reordered,
    Optimized,
    Ambiguous,
}

impl Reason {
    pub fn name(self) -> &'static str {
        match self {
            Reason::UnexpectedRegister => "skipped_unexpected_register",
            Reason::Inconsistent => "skipped_inconsistent",
            Reason::UncertainLocation => "skipped_uncertain_location",
            Reason::Reordered => "skipped_reordered",
            Reason::Optimized => "skipped_optimized",
            Reason::Ambiguous => "skipped_ambiguous",
        }
    }
}

impl Reason {
    pub fn text(self) -> &'static str {
        match self {
            Reason::UnexpectedRegister => {
                "a parameter is not in the register that the ABI gives it"
            }
            Reason::Inconsistent => "objects disagree about its parameters or result",
            Reason::UncertainLocation => {
                "a packed struct is passed on the stack, at an unknown place"
            }
            Reason::Reordered => "the compiler reordered its parameters",
            Reason::Optimized => "the compiler removed parameters",
            Reason::Ambiguous => "several functions have this name, at different addresses",
        }
    }

    pub fn as_pahole_says(self) -> &'static str {
        match self {
            Reason::UnexpectedRegister => "unexpected register usage for parameter",
            Reason::Inconsistent => "inconsistent prototype",
            Reason::UncertainLocation => "uncertain parameter location",
            Reason::Reordered => "reordered parameters",
            Reason::Optimized => "optimized parameters",
            Reason::Ambiguous => "ambiguous address",
        }
    }
}

/// One candidate of a name, with where it stands if that is known.
struct State {
    class: usize,
    location: Option<Location>,
}

/// Functions of the image by base name. Parts that the compiler split off are no functions.
fn by_base_name(image: &Image) -> Vec<(&[u8], Named)> {
    let mut places: HashMap<&[u8], usize> = HashMap::with_capacity(image.symbols.len());
    let mut named: Vec<(&[u8], Named)> = Vec::new();
    for (i, symbol) in image.symbols.iter().enumerate() {
        if symbol.kind != elf::STT_FUNC.0 || symbol.section == 0 {
            continue;
        }
        let base = base_name(&symbol.name);
        let suffix = &symbol.name[base.len()..];
        if contains(suffix, b".cold") || contains(suffix, b".part") {
            continue;
        }
        let place = *places.entry(base).or_insert_with(|| {
            named.push((base, Named::default()));
            named.len() - 1
        });
        named[place].1.symbols.push((i, image.location(i)));
    }
    named
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|w| w == part)
}

/// Functions of the image by base name, and for each its candidates in an order that follows from
/// what they are.
fn gather<'i>(
    combiner: &Combiner<'_>,
    image: &'i Image,
    resolution: &Resolution,
) -> Vec<(&'i [u8], Named)> {
    let mut named = by_base_name(image);
    let places: HashMap<u32, usize, Fast> = named
        .iter()
        .enumerate()
        .filter_map(|(i, (name, _))| Some((combiner.strings.find(name)?, i)))
        .collect();
    let mut stands = vec![false; combiner.functions.len()];
    for placed in &combiner.placed_functions {
        let class = placed.class as usize;
        let Some(&place) = places.get(&combiner.functions[class].name) else {
            continue;
        };
        if let Some(location) = resolution.locate(image, placed.place) {
            stands[class] = true;
            named[place].1.states.push(State {
                class,
                location: Some(location),
            });
        }
    }
    for (class, function) in combiner.functions.iter().enumerate() {
        if function.dead || stands[class] {
            continue;
        }
        if let Some(&place) = places.get(&function.name) {
            named[place].1.states.push(State {
                class,
                location: None,
            });
        }
    }
    for (_, name) in &mut named {
        name.states.sort_by_key(|s| {
            let location = s.location.map(|l| (l.section, l.value));
            (combiner.functions[s.class].id, location)
        });
    }
    named
}

/// The verdict on one name with all its evidence. `None`: nothing is known of it.
pub fn explain(
    combiner: &Combiner<'_>,
    image: &Image,
    resolution: &Resolution,
    features: &Features,
    objects: &[String],
    name: &[u8],
) -> Option<FunctionVerdict> {
    let named = gather(combiner, image, resolution);
    let place = named.iter().position(|(n, _)| *n == name);
    let verdict = place.map(|i| match named[i].1.states.as_slice() {
        [] => Err("no object describes it"),
        own => judge(combiner, image, &named[i].1, own, features).map_err(Reason::text),
    });
    if place.is_none() && combiner.watched_functions.is_empty() {
        return None;
    }
    let verdict = verdict.unwrap_or(Err("the linked file has no function symbol of this name"));
    let at = |class: u32, object, die| {
        let placed = combiner
            .placed_functions
            .iter()
            .find(|p| (p.class, p.object, p.die) == (class, object, die))?;
        resolution.locate(image, placed.place).map(|l| l.value)
    };
    let candidates = combiner
        .watched_functions
        .iter()
        .map(|&(class, object, die)| {
            let function = &combiner.functions[class as usize];
            Candidate {
                object: objects.get(object as usize).cloned().unwrap_or_default(),
                die,
                prototype: declaration(combiner, function.proto, &printable(name)),
                facts: facts(function.flags),
                address: at(class, object, die),
                chosen: verdict == Ok(class as usize),
            }
        });
    let symbols = place.map_or(&[][..], |i| &named[i].1.symbols);
    Some(FunctionVerdict {
        symbols: symbols
            .iter()
            .map(|&(i, l)| (printable(&image.symbols[i].name).into_owned(), l.value))
            .collect(),
        reason: verdict.err().unwrap_or(""),
        candidates: candidates.collect(),
    })
}

pub(super) fn add(
    combiner: &mut Combiner<'_>,
    image: &Image,
    resolution: &Resolution,
    features: &Features,
    outcome: &mut Outcome,
) -> Result<()> {
    let named = gather(combiner, image, resolution);
    let kfuncs = if features.decl_tag_kfuncs && features.decl_tag {
        kfuncs::find(image)
    } else {
        HashMap::new()
    };
    let mut skipped: HashMap<Reason, u64> = HashMap::new();
    for (name, symbols) in &named {
        let own = symbols.states.as_slice();
        if own.is_empty() {
            continue;
        }
        if features.true_signature {
            if let Some((class, symbol)) = changed_signature(combiner, image, symbols, own) {
                let full_name = combiner.strings.add(&image.symbols[symbol].name);
                emit(combiner, class, full_name, features);
                outcome.functions += 1;
                continue;
            }
        }
        match judge(combiner, image, symbols, own, features) {
            Ok(class) => {
                let base_name = combiner.functions[class].name;
                let flags = kfuncs.get(*name);
                if let (Some(flags), true) = (flags, features.attributes) {
                    let proto = combiner.functions[class].proto;
                    combiner.functions[class].proto = kfuncs::in_arena(combiner, proto, *flags);
                }
                let func = emit(combiner, class, base_name, features);
                if let Some(flags) = flags {
                    for tag in kfuncs::tags(*flags) {
                        let value = combiner.strings.add(tag);
                        add_decl_tag(combiner, func, value, -1);
                    }
                }
                outcome.functions += 1;
            }
            Err(reason) => {
                *skipped.entry(reason).or_default() += 1;
                let name = printable(name).into_owned();
                outcome.left_out.push((name, reason));
            }
        }
    }
    let mut skipped: Vec<_> = skipped.into_iter().collect();
    skipped.sort();
    outcome.skipped = skipped.into_iter().map(|(r, n)| (r.name(), n)).collect();
    Ok(())
}

/// The verdict on one name: the candidate whose prototype counts, or why there is none.
fn judge(
    combiner: &Combiner<'_>,
    image: &Image,
    symbols: &Named,
    states: &[State],
    features: &Features,
) -> std::result::Result<usize, Reason> {
    let all_flags = states
        .iter()
        .fold(0, |flags, s| flags | combiner.functions[s.class].flags);
    if all_flags & flag::UNEXPECTED_REG != 0 {
        return Err(Reason::UnexpectedRegister);
    }
    if features.consistent_func && !is_consistent(combiner, states) {
        return Err(Reason::Inconsistent);
    }
    if all_flags & flag::UNCERTAIN_PARM_LOC != 0 {
        return Err(Reason::UncertainLocation);
    }
    if all_flags & flag::REORDERED_PARM != 0 {
        return Err(Reason::Reordered);
    }
    let canonical = canonical(combiner, image, symbols, states);
    if !features.true_signature && is_optimized(combiner, image, symbols, &states[canonical]) {
        return Err(Reason::Optimized);
    }
    if symbols.is_ambiguous() {
        return Err(Reason::Ambiguous);
    }
    Ok(states[canonical].class)
}

/// All candidates, those that were only inlined included, tell of the same parameters and result.
fn is_consistent(combiner: &Combiner<'_>, states: &[State]) -> bool {
    let proto = |s: &State| combiner.functions[s.class].proto;
    let mut protos: Vec<Class> = states.iter().map(proto).collect();
    protos.sort_unstable();
    protos.dedup();
    let matches = |(&a, &b)| protos_match(combiner, a, b, 0);
    (1..protos.len()).all(|i| protos.iter().zip(&protos[i..]).all(matches))
}

/// The compiler dropped or moved parameters: it says so, or a clone of another convention
/// (`.isra`, `.constprop`) is what stands at this address.
fn is_optimized(combiner: &Combiner<'_>, image: &Image, symbols: &Named, state: &State) -> bool {
    let flags = combiner.functions[state.class].flags;
    if flags & flag::OPTIMIZED_PARMS == 0 {
        return false;
    }
    if flags & flag::SIGNATURE_CHANGED != 0 {
        return true;
    }
    let Some(location) = state.location else {
        return false;
    };
    symbols
        .symbols
        .iter()
        .filter(|(_, l)| l.same(&location))
        .any(|&(i, _)| {
            let name = &image.symbols[i].name;
            let suffix = &name[base_name(name).len()..];
            contains(suffix, b".isra") || contains(suffix, b".constprop")
        })
}

/// The candidate that describes the function in the image: one whose code stands at a symbol of
/// the name, rather not optimised (a weak definition that lost stands elsewhere). Without such,
/// one with code goes before one that was only inlined; among equals the smallest identity, which
/// no order of objects changes.
fn canonical(combiner: &Combiner<'_>, image: &Image, symbols: &Named, states: &[State]) -> usize {
    let rank = |&i: &usize| {
        let state = &states[i];
        let here = state
            .location
            .is_some_and(|at| symbols.symbols.iter().any(|(_, l)| l.same(&at)));
        let has_code = combiner.functions[state.class].flags & flag::HAS_CODE != 0;
        (
            !here,
            here && is_optimized(combiner, image, symbols, state),
            !has_code,
        )
    };
    (0..states.len()).min_by_key(rank).unwrap_or(0)
}

/// With true signatures: a function that the compiler changed is told of under its full symbol
/// name (`foo.isra.0`), with the parameters that it really takes. Nothing else is told of the
/// base name then. Of several clones the one whose name sorts first; not one whose full name, too,
/// stands at several addresses. Where the parameters of any candidate cannot be trusted, `None`.
fn changed_signature(
    combiner: &Combiner<'_>,
    image: &Image,
    symbols: &Named,
    states: &[State],
) -> Option<(usize, usize)> {
    let untrusted = flag::UNEXPECTED_REG | flag::UNCERTAIN_PARM_LOC;
    if states
        .iter()
        .any(|s| combiner.functions[s.class].flags & untrusted != 0)
    {
        return None;
    }
    let name = |symbol: usize| image.symbols[symbol].name.as_slice();
    let is_unique = |symbol: usize, location: Location| {
        let equal = symbols
            .symbols
            .iter()
            .filter(|(i, _)| name(*i) == name(symbol));
        equal.map(|(_, at)| at).all(|at| at.same(&location))
    };
    states
        .iter()
        .filter_map(|state| {
            let location = state.location?;
            let clone =
                |&&(i, at): &&(usize, Location)| at.same(&location) && name(i).contains(&b'.');
            let (symbol, _) = symbols.symbols.iter().find(clone)?;
            is_unique(*symbol, location).then_some((state.class, *symbol))
        })
        .min_by(|a, b| name(a.1).cmp(name(b.1)))
}

fn emit(combiner: &mut Combiner<'_>, class: usize, name: u32, features: &Features) -> Class {
    let function = &combiner.functions[class];
    let (proto, tags) = (function.proto, function.tags.clone());
    let id = id_of(
        Kind::Func,
        &[
            combiner.strings.get(name),
            &combiner.facts(proto).id.bytes(),
        ],
    );
    // BTF of kernels gives every function static linkage.
    let func = combiner.push(id, &[name, btf::info(Kind::Func, 0, false), proto]);
    if features.decl_tag {
        for (value, component) in tags {
            add_decl_tag(combiner, func, value, component);
        }
    }
    func
}

/// Deepest nesting that the comparison of prototypes follows.
const DEPTH: usize = 64;

/// Same number of parameters, each of matching type, and matching results. Names of parameters do
/// not count.
fn protos_match(combiner: &Combiner<'_>, a: Class, b: Class, depth: usize) -> bool {
    let (a, b) = (combiner.class_words(a), combiner.class_words(b));
    btf::vlen(a[1]) == btf::vlen(b[1])
        && types_match(combiner, a[2], b[2], depth)
        && a[3..]
            .chunks_exact(2)
            .zip(b[3..].chunks_exact(2))
            .all(|(p, q)| types_match(combiner, p[1], q[1], depth))
}

/// Would a caller that was told one type work with the other? Named types match by name alone,
/// and a const more or less is no difference.
fn types_match(combiner: &Combiner<'_>, a: Class, b: Class, depth: usize) -> bool {
    let (mut a, mut b) = (a, b);
    for _ in 0..DEPTH {
        if a == b {
            return true;
        }
        if a == 0 || b == 0 || depth > DEPTH {
            return false;
        }
        let (x, y) = (combiner.class_words(a), combiner.class_words(b));
        let (Some(k), Some(l)) = (kind_for_match(x), kind_for_match(y)) else {
            return false;
        };
        if k != l {
            match (k, l) {
                // A declaration does not know how wide it will be.
                (Kind::Enum, Kind::Enum64) | (Kind::Enum64, Kind::Enum) => {
                    let declared = btf::vlen(x[1]) == 0 || btf::vlen(y[1]) == 0;
                    return declared && x[0] == y[0];
                }
                (Kind::Const, _) => a = x[2],
                (_, Kind::Const) => b = y[2],
                _ => return false,
            }
            continue;
        }
        match k {
            Kind::Int => return x[0] == y[0] && x[2..] == y[2..],
            Kind::Float => return x[0] == y[0] && x[2] == y[2],
            Kind::Typedef | Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 => {
                return x[0] == y[0]
            }
            Kind::Array => {
                if x[5] != y[5] {
                    return false;
                }
                (a, b) = (x[3], y[3]);
            }
            Kind::FuncProto => return protos_match(combiner, a, b, depth + 1),
            _ => (a, b) = (x[2], y[2]),
        }
    }
    false
}

/// A declaration counts as what it declares.
fn kind_for_match(words: &[u32]) -> Option<Kind> {
    match crate::identity::kind_of(words)? {
        Kind::Fwd if words[1] & btf::KIND_FLAG != 0 => Some(Kind::Union),
        Kind::Fwd => Some(Kind::Struct),
        kind => Some(kind),
    }
}
