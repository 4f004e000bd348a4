// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Function candidates: what one object can say about each function DIE.
//!
//! The interesting question is whether callers can rely on the prototype: a compiler may drop,
//! reorder or move parameters of a function whose callers it all knows, and then the prototype in
//! the DWARF is not how the function is called.

use super::convention::Convention;
use super::location;
use super::records::{Function, Param, Raw, UnitFacts};
use super::signature::{self, Arrival, Evidence, Finding};
use super::strings::Strings;
use super::types::Types;
use super::SymbolIndex;
use crate::btf::Kind;
use crate::elf::Target;
use crate::object::function_flags as flag;
use crate::support::limits::ORIGINS;

/// A parameter of a function DIE, judged.
#[derive(Clone, Copy, Default)]
pub struct Parameter {
    pub name: u32,
    pub reference: u32,
    /// It has no place when the function is entered.
    lost: bool,
    /// It is elsewhere than the convention says.
    moved: bool,
    pub arrival: Arrival,
}

/// A function DIE, judged.
pub struct Judged {
    pub name: u32,
    pub reference: u32,
    pub flags: u32,
    /// May stand for a function of the image: it is no declaration and everything has a name.
    pub candidate: bool,
    /// Its parameters in `Judgement::parameters`.
    pub start: u32,
    pub len: u32,
}

impl Judged {
    /// How many prototypes stand for it.
    pub fn prototypes(&self) -> u32 {
        u32::from(self.candidate) * (1 + u32::from(self.flags & flag::SIGNATURE_CHANGED != 0))
    }
}

pub struct Judgement {
    pub functions: Vec<Judged>,
    pub parameters: Vec<Parameter>,
}

/// `strings`: those of the raw records.
pub fn judge(raw: &Raw<'_>, types: &Types<'_>, strings: &Strings) -> Judgement {
    let by_die = {
        let mut sorted: Vec<(u32, u32)> =
            (0..).zip(&raw.functions).map(|(i, f)| (f.die, i)).collect();
        sorted.sort_unstable();
        sorted
    };
    let function_at = |die: u32| {
        let i = by_die.binary_search_by_key(&die, |&(d, _)| d).ok()?;
        Some(by_die[i].1 as usize)
    };
    // Parameters of functions: DIE, index, place in the list of its function.
    let mut places: Vec<(u32, u32, u32)> = Vec::new();
    for function in &raw.functions {
        for i in 0..function.params_len {
            let p = function.params_start + i;
            places.push((raw.params[p as usize].die, p, i));
        }
    }
    places.sort_unstable();
    let param_at = |die: u32| {
        let i = places.binary_search_by_key(&die, |&(d, _, _)| d).ok()?;
        Some((places[i].1 as usize, places[i].2))
    };

    let mut parameters: Vec<Parameter> = vec![Parameter::default(); raw.params.len()];
    let mut evidence: Vec<Evidence> = vec![Evidence::default(); raw.params.len()];
    for function in &raw.functions {
        let unit = &raw.units[function.unit as usize];
        let convention = convention_of(raw, unit);
        for p in params_of(function) {
            let own = &raw.params[p];
            let (name, reference) = name_and_type_of_param(raw, own, &param_at);
            parameters[p] = Parameter {
                name,
                reference,
                ..Parameter::default()
            };
            evidence[p] = own_evidence(raw, types, unit, &convention, own, reference);
        }
    }
    let reordered = share_evidence(raw, &mut evidence, &param_at);

    let functions = raw
        .functions
        .iter()
        .enumerate()
        .map(|(f, function)| {
            let unit = &raw.units[function.unit as usize];
            let convention = convention_of(raw, unit);
            let origin = (function.origin != 0)
                .then(|| function_at(function.origin))
                .flatten();
            let changed = signature_changed(raw, function, origin);
            let range = params_of(function);
            let own = &mut parameters[range.clone()];
            find(
                own,
                &evidence[range.clone()],
                &convention,
                unit.clang,
                changed,
            );
            let mut flags = 0;
            if own.iter().any(|p| p.lost) {
                flags |= flag::OPTIMIZED_PARMS;
            }
            if own.iter().any(|p| p.moved) && !takes_struct(own, types) {
                flags |= flag::UNEXPECTED_REG;
            }
            if changed {
                flags |= flag::SIGNATURE_CHANGED;
                if is_unexplained(own, &convention, types, strings) {
                    flags |= flag::PASSED_UNEXPECTED;
                }
            }
            if has_uncertain_place(own, &convention, types) {
                flags |= flag::UNCERTAIN_PARM_LOC;
            }
            if reordered[f] {
                flags |= flag::REORDERED_PARM;
            }
            if function.low_pc.is_some() || function.has_ranges {
                flags |= flag::HAS_CODE;
            }
            let (name, reference) = name_and_type(raw, function, &function_at);
            let named = parameters[range.clone()].iter().all(|p| p.name != 0);
            let candidate = !function.declaration && name != 0 && named;
            Judged {
                name,
                reference,
                flags,
                candidate,
                start: range.start as u32,
                len: range.len() as u32,
            }
        })
        .collect();
    Judgement {
        functions,
        parameters,
    }
}

impl Judgement {
    fn parameters_of(&self, function: &Judged) -> &[Parameter] {
        &self.parameters[function.start as usize..(function.start + function.len) as usize]
    }

    /// Which of the raw parameters the prototype as written has.
    pub fn written(&self, function: &Judged) -> impl Iterator<Item = usize> + '_ {
        let reordered = function.flags & flag::REORDERED_PARM != 0;
        let own = function.start as usize..(function.start + function.len) as usize;
        own.filter(move |&p| !(reordered && self.parameters[p].lost))
    }

    /// The parameters of the prototype as written. Where the compiler reordered them, those that
    /// it removed show by having no place.
    pub fn as_written<'a>(
        &'a self,
        function: &'a Judged,
    ) -> impl Iterator<Item = &'a Parameter> + 'a {
        self.written(function).map(|p| &self.parameters[p])
    }

    /// The parameters of the prototype as passed, of a function whose signature was changed.
    pub fn as_passed<'a>(
        &'a self,
        function: &'a Judged,
    ) -> impl Iterator<Item = &'a Parameter> + 'a {
        let own = self.parameters_of(function).iter();
        own.filter(|p| p.arrival != Arrival::Not)
    }
}

fn convention_of(raw: &Raw<'_>, unit: &UnitFacts) -> Convention {
    Convention::of(raw.source.target.machine, unit.shape.address_size)
}

fn params_of(function: &Function) -> std::ops::Range<usize> {
    let start = function.params_start as usize;
    start..start + function.params_len as usize
}

/// Name and return type: a DIE that lacks them takes them from what it is an instance of. A
/// definition that completes a declaration has its own return type or returns nothing.
fn name_and_type(
    raw: &Raw<'_>,
    function: &Function,
    at: &impl Fn(u32) -> Option<usize>,
) -> (u32, u32) {
    let (mut name, mut reference) = (function.name, function.reference);
    let mut this = function;
    for _ in 0..ORIGINS {
        if name != 0 && (reference != 0 || this.origin == 0) {
            break;
        }
        let next = if this.origin != 0 {
            this.origin
        } else {
            this.specification
        };
        let Some(next) = at(next) else { break };
        let next = &raw.functions[next];
        if name == 0 {
            name = next.name;
        }
        if reference == 0 && this.origin != 0 {
            reference = next.reference;
        }
        this = next;
    }
    (name, reference)
}

/// Name and type: an instance of an abstract parameter may leave both to that.
fn name_and_type_of_param(
    raw: &Raw<'_>,
    param: &Param,
    at: &impl Fn(u32) -> Option<(usize, u32)>,
) -> (u32, u32) {
    let mut this = param;
    for _ in 0..ORIGINS {
        if this.reference != 0 || this.origin == 0 {
            break;
        }
        let Some((origin, _)) = at(this.origin) else {
            break;
        };
        this = &raw.params[origin];
    }
    (this.name, this.reference)
}

/// What a parameter's own DIE and its type say.
fn own_evidence(
    raw: &Raw<'_>,
    types: &Types<'_>,
    unit: &UnitFacts,
    convention: &Convention,
    param: &Param,
    reference: u32,
) -> Evidence {
    let (size, kind) = types.parameter_shape(reference, unit.shape.address_size);
    let wide = convention.splits(size);
    Evidence {
        size,
        is_struct: kind == Some(Kind::Struct),
        has_location: param.location.is_some(),
        has_const_value: param.has_const_value,
        entry: param
            .location
            .map(|l| location::at_entry(raw, unit, l, wide))
            .unwrap_or_default(),
    }
}

/// An abstract parameter counts with what is known of its instances. Returned: of which functions
/// the parameters stand in another order than in the abstract instance.
fn share_evidence(
    raw: &Raw<'_>,
    evidence: &mut [Evidence],
    at: &impl Fn(u32) -> Option<(usize, u32)>,
) -> Vec<bool> {
    let mut reordered = vec![false; raw.functions.len()];
    for (f, function) in raw.functions.iter().enumerate() {
        for (i, p) in params_of(function).enumerate() {
            let param = &raw.params[p];
            if param.reference != 0 || param.origin == 0 {
                continue;
            }
            let Some((origin, place)) = at(param.origin) else {
                continue;
            };
            reordered[f] |= place as usize != i;
            let (own, abstract_one) = (evidence[p], &mut evidence[origin]);
            abstract_one.has_location |= own.has_location;
            abstract_one.has_const_value |= own.has_const_value;
            abstract_one.entry.register = own.entry.register.or(abstract_one.entry.register);
        }
    }
    reordered
}

/// clang says of a function that it does not follow the convention, on its DIE or on that of which
/// it is an instance. (gcc marks other things with it; what was inlined is not called at all.)
fn signature_changed(raw: &Raw<'_>, function: &Function, origin: Option<usize>) -> bool {
    let clang = raw.units[function.unit as usize].clang;
    let says = origin.map_or(function, |o| &raw.functions[o]);
    clang && !function.inline && says.nocall
}

/// Apply the rules of `signature` that hold for the compiler.
fn find(
    own: &mut [Parameter],
    evidence: &[Evidence],
    convention: &Convention,
    clang: bool,
    changed: bool,
) {
    let mut note = |i: usize, finding: Finding| {
        own[i].lost = finding == Finding::Lost || !evidence[i].has_location;
        own[i].moved = finding == Finding::Moved;
    };
    if clang && !changed {
        let findings = signature::in_place(evidence, convention);
        findings
            .enumerate()
            .for_each(|(i, finding)| note(i, finding));
    } else {
        let findings = signature::in_order(evidence, convention, clang);
        findings
            .enumerate()
            .for_each(|(i, finding)| note(i, finding));
    }
    if changed {
        let arrivals = signature::what_arrives(evidence, convention);
        for (param, arrival) in own.iter_mut().zip(arrivals) {
            param.arrival = arrival;
        }
    }
}

/// A struct may be spread over registers and memory in ways that the rules do not model, so where
/// one is passed by value no register is called wrong.
fn takes_struct(params: &[Parameter], types: &Types<'_>) -> bool {
    params.iter().any(|p| types.is_struct(p.reference))
}

/// Do the places of the parameters leave open what is passed? They do where one of them is not
/// explained, where what is left of a struct is no member of it, and on machines whose argument
/// registers are not known: nothing then tells an unused parameter from a removed one.
fn is_unexplained(
    params: &[Parameter],
    convention: &Convention,
    types: &Types<'_>,
    strings: &Strings,
) -> bool {
    let open = |p: &Parameter| match p.arrival {
        Arrival::Whole | Arrival::Not => false,
        Arrival::Part(at) => types.member_at(strings, p.reference, at).is_none(),
        Arrival::Elsewhere => true,
    };
    !convention.knows_registers() || params.iter().any(open)
}

/// A packed struct passed on the stack may lie at any alignment there.
fn has_uncertain_place(params: &[Parameter], convention: &Convention, types: &Types<'_>) -> bool {
    params.len() >= convention.count
        && params
            .iter()
            .skip(convention.count)
            .any(|p| types.is_packed_struct(p.reference))
}

/// The symbol that a function named `name` belongs to, whose code begins at the target: one of that
/// base name if there is.
pub fn symbol(index: &SymbolIndex<'_>, target: Target, name: &[u8]) -> Option<u32> {
    index.function_around(target, name)
}
