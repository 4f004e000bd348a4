// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Which functions get a FUNC, and with which prototype.
//!
//! A function of BTF is a promise: at this name there is one function, and it is called like
//! this. Where names are shared, prototypes differ between objects, or the compiler changed how
//! parameters arrive, the promise cannot be made.

use std::collections::HashMap;

use super::prototypes::{Prototypes, Widths};
use super::{add_decl_tag, id_of, kfuncs, Outcome};
use crate::btf::{self, Kind};
use crate::combine::{printable, Combiner, Signature};
use crate::elf::image::{base_name, Image, Location};
use crate::fixup::names::Names;
use crate::fixup::origins::Resolution;
use crate::object::features::Features;
use crate::object::function_flags as flag;
use crate::object::numbering::Class;
use crate::object::Id;
use crate::support::error::Result;
use crate::support::hash::Fast;
use crate::support::threads::Threads;

/// The symbols of one base name, and the candidates that describe them.
#[derive(Default)]
pub struct Named {
    pub symbols: Vec<(usize, Location)>,
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

    /// Does any object describe it?
    pub fn is_described(&self) -> bool {
        !self.states.is_empty()
    }

    fn is_consistent(&self, prototypes: &mut Prototypes<'_, '_>) -> bool {
        prototypes.match_all(self.states.iter().map(|s| s.signature.proto))
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

/// One candidate of a name: how it is called, and where it stands if that is known.
struct State {
    class: usize,
    signature: Signature,
    location: Option<Location>,
}

impl State {
    fn has(&self, flags: u32) -> bool {
        self.signature.flags & flags != 0
    }
}

/// What the BTF tells of a name.
#[derive(Clone, Copy)]
pub struct Chosen {
    pub class: usize,
    proto: Class,
    /// Identity of the FUNC.
    id: Id,
    /// The symbol whose full name it goes by; `None`: the base name.
    pub clone: Option<usize>,
}

/// Identity of a FUNC of this name.
pub(super) fn id_of_func(combiner: &Combiner<'_>, name: &[u8], proto: Class) -> Id {
    id_of(Kind::Func, &[name, &combiner.facts(proto).id.bytes()])
}

type Rule = fn(&Case<'_, '_>) -> bool;

/// What keeps a function out, in the order in which it is told.
const RULES: [(Reason, Rule); 6] = [
    (Reason::UnexpectedRegister, |case| {
        case.has_unexpected_register()
    }),
    (Reason::Inconsistent, |case| case.is_inconsistent()),
    (Reason::UncertainLocation, |case| {
        case.has_uncertain_location()
    }),
    (Reason::Reordered, |case| case.is_reordered()),
    (Reason::Optimized, |case| case.canonical_is_optimized()),
    (Reason::Ambiguous, |case| case.is_ambiguous()),
];

/// All evidence on one name, which the rules read.
struct Case<'a, 'c> {
    combiner: &'a Combiner<'c>,
    image: &'a Image<'a>,
    features: &'a Features,
    named: &'a Named,
    /// Do the prototypes of all candidates match?
    consistent: bool,
}

/// Functions of the image by base name, and where each name is among them by its number.
pub struct ByBaseName<'i> {
    named: Vec<(&'i [u8], Named)>,
    places: HashMap<u32, usize, Fast>,
}

/// Only names that candidates have. Parts that the compiler split off are no functions.
pub fn by_base_name<'i>(image: &Image<'i>, names: &Names) -> ByBaseName<'i> {
    let mut places: HashMap<u32, usize, Fast> = HashMap::default();
    let mut named: Vec<(&[u8], Named)> = Vec::new();
    for (i, symbol) in image.symbols.iter().enumerate() {
        let Some(number) = names.base_of(i) else {
            continue;
        };
        let base = base_name(symbol.name);
        let suffix = &symbol.name[base.len()..];
        if contains(suffix, b".cold") || contains(suffix, b".part") {
            continue;
        }
        let place = *places.entry(number).or_insert_with(|| {
            named.push((base, Named::default()));
            named.len() - 1
        });
        named[place].1.symbols.push((i, image.location(i)));
    }
    ByBaseName { named, places }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|w| w == part)
}

/// Functions of the image by base name, and for each its candidates in an order that follows from
/// what they are.
pub fn gather<'i>(
    combiner: &Combiner<'_>,
    image: &Image<'i>,
    by_base_name: ByBaseName<'i>,
    resolution: &Resolution,
    features: &Features,
    threads: &Threads,
) -> Result<Vec<(&'i [u8], Named)>> {
    let ByBaseName { mut named, places } = by_base_name;
    let mut stands = vec![false; combiner.functions.len()];
    let state = |class: usize, location| State {
        class,
        signature: combiner.functions[class].signature(features),
        location,
    };
    for placed in &combiner.placed_functions {
        let class = placed.class as usize;
        let Some(&place) = places.get(&combiner.functions[class].name) else {
            continue;
        };
        if let Some(location) = resolution.locate(image, placed.place) {
            stands[class] = true;
            named[place].1.states.push(state(class, Some(location)));
        }
    }
    for (class, function) in combiner.functions.iter().enumerate() {
        if function.dead || stands[class] {
            continue;
        }
        if let Some(&place) = places.get(&function.name) {
            named[place].1.states.push(state(class, None));
        }
    }
    threads.each(&mut named, |(_, name)| {
        name.states.sort_by_key(|s| {
            let location = s.location.map(|l| (l.section, l.value));
            (combiner.functions[s.class].id, location)
        });
        Ok(())
    })?;
    Ok(named)
}

/// The verdict on one name: how it is told of, or why it is left out.
pub fn decide(
    combiner: &Combiner<'_>,
    image: &Image<'_>,
    features: &Features,
    named: &Named,
) -> std::result::Result<Chosen, Reason> {
    let widths = Widths::new(combiner);
    let case = Case {
        combiner,
        image,
        features,
        named,
        consistent: named.is_consistent(&mut Prototypes::new(combiner, &widths)),
    };
    case.decide()
}

/// The verdicts on all names, in their order; `None`: no object describes it.
pub fn decide_all(
    combiner: &Combiner<'_>,
    image: &Image<'_>,
    features: &Features,
    named: &[(&[u8], Named)],
    threads: &Threads,
) -> Result<Vec<Option<std::result::Result<Chosen, Reason>>>> {
    let widths = Widths::new(combiner);
    let prototypes = || Prototypes::new(combiner, &widths);
    let decide = |prototypes: &mut Prototypes<'_, '_>, (_, named): &(&[u8], Named)| {
        let case = Case {
            combiner,
            image,
            features,
            named,
            consistent: named.is_consistent(prototypes),
        };
        Ok((!named.states.is_empty()).then(|| case.decide()))
    };
    threads.map(named, prototypes, decide)
}

/// The function classes that keep a name out, for that reason.
pub fn deciding(
    combiner: &Combiner<'_>,
    image: &Image<'_>,
    features: &Features,
    named: &Named,
    reason: Reason,
) -> Vec<usize> {
    let case = Case {
        combiner,
        image,
        features,
        named,
        consistent: false,
    };
    let canonical = case.canonical().class;
    let decides = |state: &&State| match reason {
        Reason::UnexpectedRegister => state.has(flag::UNEXPECTED_REG),
        Reason::UncertainLocation => state.has(flag::UNCERTAIN_PARM_LOC),
        Reason::Reordered => state.has(flag::REORDERED_PARM),
        Reason::Optimized => state.class == canonical,
        Reason::Inconsistent => true,
        Reason::Ambiguous => state.location.is_some(),
    };
    named
        .states
        .iter()
        .filter(decides)
        .map(|s| s.class)
        .collect()
}

pub(super) fn add(
    combiner: &mut Combiner<'_>,
    image: &Image<'_>,
    named: &[(&[u8], Named)],
    features: &Features,
    threads: &Threads,
    outcome: &mut Outcome,
) -> Result<()> {
    // By the numbers of their names.
    let mut kfuncs: HashMap<u32, u32, Fast> = HashMap::default();
    if features.decl_tag_kfuncs && features.decl_tag {
        for (name, flags) in kfuncs::find(image) {
            kfuncs.extend(combiner.strings.find(&name).map(|name| (name, flags)));
        }
    }
    let mut skipped: HashMap<Reason, u64> = HashMap::new();
    let decisions = decide_all(combiner, image, features, named, threads)?;
    combiner.reserve(named.len());
    for ((name, _), decision) in named.iter().zip(decisions) {
        let Some(decision) = decision else { continue };
        match decision {
            Ok(chosen) => {
                let base_name = combiner.functions[chosen.class].name;
                tell(combiner, image, features, &chosen, kfuncs.get(&base_name));
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

impl Case<'_, '_> {
    fn states(&self) -> &[State] {
        &self.named.states
    }

    fn chosen(&self, state: &State, clone: Option<usize>) -> Chosen {
        let (class, proto) = (state.class, state.signature.proto);
        let name = match clone {
            Some(symbol) => self.image.symbols[symbol].name,
            None => {
                let strings = &self.combiner.strings;
                strings.get(self.combiner.functions[class].name)
            }
        };
        Chosen {
            class,
            proto,
            id: id_of_func(self.combiner, name, proto),
            clone,
        }
    }

    /// What to tell of the name, or why nothing.
    fn decide(&self) -> std::result::Result<Chosen, Reason> {
        if let Some(clone) = self.changed_clone() {
            return Ok(clone);
        }
        match RULES.iter().find(|(_, holds)| holds(self)) {
            Some(&(reason, _)) => Err(reason),
            None => Ok(self.chosen(self.canonical(), None)),
        }
    }

    /// Of any candidate a parameter arrives in another register than the ABI gives it. (Evidence:
    /// what each object found, those included that only inlined the function.)
    fn has_unexpected_register(&self) -> bool {
        self.states().iter().any(|s| s.has(flag::UNEXPECTED_REG))
    }

    /// Candidates, those that were only inlined included, differ in parameters or result.
    /// (Evidence: their prototypes.)
    fn is_inconsistent(&self) -> bool {
        self.features.consistent_func && !self.consistent
    }

    /// Of any candidate a packed struct goes by the stack. (Evidence: what each object found.)
    fn has_uncertain_location(&self) -> bool {
        let uncertain = |s: &State| s.has(flag::UNCERTAIN_PARM_LOC);
        self.states().iter().any(uncertain)
    }

    /// Of any candidate the parameters stand in another order than in the source. (Evidence: what
    /// each object found.)
    fn is_reordered(&self) -> bool {
        self.states().iter().any(|s| s.has(flag::REORDERED_PARM))
    }

    /// The compiler changed how the candidate that would count is called. (Evidence: below.)
    fn canonical_is_optimized(&self) -> bool {
        self.is_optimized(self.canonical())
    }

    /// Several functions have the name. (Evidence: symbols.)
    fn is_ambiguous(&self) -> bool {
        self.named.is_ambiguous()
    }

    /// The compiler dropped or moved parameters: it says so, or a clone of another convention
    /// (`.isra`, `.constprop`) is what stands at this address. With true signatures that is no
    /// reason to leave it out. (Evidence: the candidate's facts, the symbols at its address.)
    fn is_optimized(&self, state: &State) -> bool {
        if self.features.true_signature || !state.has(flag::OPTIMIZED_PARMS) {
            return false;
        }
        let is_clone = |name: &[u8]| {
            let suffix = &name[base_name(name).len()..];
            contains(suffix, b".isra") || contains(suffix, b".constprop")
        };
        state.has(flag::SIGNATURE_CHANGED) || self.symbols_at(state).any(|(_, name)| is_clone(name))
    }

    /// The candidate that describes the function in the image: one whose code stands at a symbol
    /// of the name, rather not optimised (a weak definition that lost stands elsewhere). Without
    /// such, one with code goes before one that was only inlined; among equals the smallest
    /// identity, which no order of objects changes. (Evidence: addresses, facts.)
    fn canonical(&self) -> &State {
        let rank = |state: &&State| {
            let here = self.symbols_at(state).next().is_some();
            (
                !here,
                here && self.is_optimized(state),
                !state.has(flag::HAS_CODE),
            )
        };
        let first = &self.states()[0];
        self.states().iter().min_by_key(rank).unwrap_or(first)
    }

    /// With true signatures: a function that the compiler cloned is told of under its full symbol
    /// name (`foo.isra.0`), with the parameters that it really takes. Nothing else is told of the
    /// base name then. Of several clones the one that lies first in the image; where its full name,
    /// too, stands at several addresses, or the parameters of any candidate cannot be trusted,
    /// `None`. (Evidence: the candidates' facts, the symbols at their addresses.)
    fn changed_clone(&self) -> Option<Chosen> {
        if !self.features.true_signature
            || self.has_unexpected_register()
            || self.has_uncertain_location()
        {
            return None;
        }
        let clone_at = |state: &'_ State| {
            let (symbol, name) = self.symbols_at(state).find(|(_, n)| n.contains(&b'.'))?;
            let place = state.location.map(|at| (at.section, at.value));
            Some((place, name, self.chosen(state, Some(symbol))))
        };
        let clones = self.states().iter().filter_map(clone_at);
        let (_, name, first) = clones.min_by_key(|&(place, _, _)| place)?;
        self.is_unique(name).then_some(first)
    }

    /// Does a full symbol name stand at one address only?
    fn is_unique(&self, name: &[u8]) -> bool {
        let of_name = |&&(i, _): &&(usize, Location)| self.image.symbols[i].name == name;
        let mut places = self.named.symbols.iter().filter(of_name).map(|(_, at)| at);
        let first = places.next();
        first.is_some_and(|first| places.all(|at| at.same(first)))
    }

    /// The symbols of the name in whose extent a candidate's code begins, and their full names.
    fn symbols_at(&self, state: &State) -> impl Iterator<Item = (usize, &[u8])> {
        let here = state.location;
        let symbols = self.named.symbols.iter().map(|&(i, _)| i);
        symbols
            .filter(move |&i| here.is_some_and(|here| self.image.has_within(i, &here)))
            .map(|i| (i, self.image.symbols[i].name))
    }
}

/// FUNC, and what goes with it. A clone is no kfunc.
fn tell(
    combiner: &mut Combiner<'_>,
    image: &Image<'_>,
    features: &Features,
    chosen: &Chosen,
    kfunc: Option<&u32>,
) {
    if let Some(symbol) = chosen.clone {
        let full_name = combiner.strings.add(image.symbols[symbol].name);
        emit(combiner, chosen, full_name, features);
        return;
    }
    let mut chosen = *chosen;
    let base_name = combiner.functions[chosen.class].name;
    if let (Some(flags), true) = (kfunc, features.attributes) {
        chosen.proto = kfuncs::in_arena(combiner, chosen.proto, *flags);
        chosen.id = id_of_func(combiner, combiner.strings.get(base_name), chosen.proto);
    }
    let func = emit(combiner, &chosen, base_name, features);
    for tag in kfunc.iter().flat_map(|flags| kfuncs::tags(**flags)) {
        let value = combiner.strings.add(tag);
        add_decl_tag(combiner, func, value, -1);
    }
}

/// FUNC, with the tags of its source.
fn emit(combiner: &mut Combiner<'_>, chosen: &Chosen, name: u32, features: &Features) -> Class {
    let tags = combiner.functions[chosen.class].tags.clone();
    // BTF of kernels gives every function static linkage.
    let words = [name, btf::info(Kind::Func, 0, false), chosen.proto];
    let func = combiner.push(chosen.id, &words);
    if features.decl_tag {
        for (value, component) in tags {
            add_decl_tag(combiner, func, value, component);
        }
    }
    func
}
