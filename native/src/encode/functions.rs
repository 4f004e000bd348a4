// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Function candidates: what one object can say about each function DIE.
//!
//! The interesting question is whether callers can rely on the prototype: a compiler may drop,
//! reorder or move parameters of a function whose callers it all knows, and then the prototype in
//! the DWARF is not how the function is called.

use object::elf;

use super::emit::Types;
use super::location;
use super::raw::{Function, Param, Raw, UnitFacts};
use super::SymbolIndex;
use crate::btf::Kind;
use crate::elf::Target;
use crate::encoded::function_flags as flag;

/// Registers that pass the first integer arguments (DWARF numbers), by the psABI documents.
pub struct Convention {
    count: usize,
    registers: &'static [u16],
    /// A value of two words takes two registers (elsewhere it goes by reference).
    pairs: bool,
}

impl Convention {
    pub fn of(machine: u32) -> Convention {
        let machine = elf::Machine(machine as u16);
        let (count, registers): (usize, &[u16]) = match machine {
            elf::EM_X86_64 => (6, &[5, 4, 1, 2, 8, 9]),
            elf::EM_AARCH64 | elf::EM_ARM => (8, &[0, 1, 2, 3, 4, 5, 6, 7]),
            elf::EM_S390 => (5, &[2, 3, 4, 5, 6]),
            elf::EM_SPARC | elf::EM_SPARCV9 => (6, &[]),
            elf::EM_ARC | elf::EM_MIPS | elf::EM_PPC | elf::EM_PPC64 | elf::EM_RISCV => (8, &[]),
            _ => (0, &[]),
        };
        Convention {
            count,
            registers,
            pairs: machine != elf::EM_S390,
        }
    }
}

/// A parameter with what its own DIE, its abstract DIE and the concrete DIEs of the latter say.
#[derive(Clone, Copy, Default)]
pub struct Parameter {
    pub name: u32,
    pub reference: u32,
    has_location: bool,
    has_const_value: bool,
    register: Option<u16>,
    size: u64,
    optimized: bool,
    unexpected: bool,
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

pub struct Judgement {
    pub functions: Vec<Judged>,
    pub parameters: Vec<Parameter>,
}

/// How often an origin may itself have an origin.
const ORIGINS: usize = 8;

pub fn judge(raw: &Raw<'_>, types: &Types<'_>) -> Judgement {
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

    let convention = Convention::of(raw.source.target.machine);
    let mut parameters: Vec<Parameter> = vec![Parameter::default(); raw.params.len()];
    let mut reordered = vec![false; raw.functions.len()];
    for function in &raw.functions {
        let unit = &raw.units[function.unit as usize];
        for p in params_of(function) {
            parameters[p] = own_evidence(raw, types, unit, &raw.params[p], &param_at);
        }
    }
    for (f, function) in raw.functions.iter().enumerate() {
        for (i, p) in params_of(function).enumerate() {
            let param = &raw.params[p];
            if param.reference != 0 || param.origin == 0 {
                continue;
            }
            let Some((origin, place)) = param_at(param.origin) else {
                continue;
            };
            reordered[f] |= place as usize != i;
            let (own, abstract_one) = (parameters[p], &mut parameters[origin]);
            abstract_one.has_location |= own.has_location;
            abstract_one.has_const_value |= own.has_const_value;
            abstract_one.register = own.register.or(abstract_one.register);
        }
    }

    let functions = raw
        .functions
        .iter()
        .enumerate()
        .map(|(f, function)| {
            let unit = &raw.units[function.unit as usize];
            let origin = (function.origin != 0)
                .then(|| function_at(function.origin))
                .flatten();
            let nocall = match origin {
                _ if function.inline => false,
                None => function.nocall,
                Some(o) => raw.functions[o].nocall,
            };
            let changed = unit.clang && nocall;
            let range = params_of(function);
            analyse(&mut parameters[range.clone()], &convention, unit, changed);
            let own = &parameters[range.clone()];
            let mut flags = 0;
            if own.iter().any(|p| p.optimized || !p.has_location) {
                flags |= flag::OPTIMIZED_PARMS;
            }
            // A struct may be spread over registers in ways that the analysis does not model.
            if own.iter().any(|p| p.unexpected) && !own.iter().any(|p| types.is_struct(p.reference))
            {
                flags |= flag::UNEXPECTED_REG;
            }
            if has_uncertain_place(own, &convention, types) {
                flags |= flag::UNCERTAIN_PARM_LOC;
            }
            if reordered[f] {
                flags |= flag::REORDERED_PARM;
            }
            if changed {
                flags |= flag::SIGNATURE_CHANGED;
            }
            if function.low_pc.is_some() || function.has_ranges {
                flags |= flag::HAS_CODE;
            }
            let (name, reference) = name_and_type(raw, function, &function_at);
            let candidate = !function.declaration && name != 0 && own.iter().all(|p| p.name != 0);
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
    /// The parameters that the function really takes: where the compiler reordered them, those
    /// that it removed show by having no place.
    pub fn kept<'a>(&'a self, function: &'a Judged) -> impl Iterator<Item = &'a Parameter> + 'a {
        let own =
            &self.parameters[function.start as usize..(function.start + function.len) as usize];
        let reordered = function.flags & flag::REORDERED_PARM != 0;
        own.iter()
            .filter(move |p| !reordered || (p.has_location && !p.optimized))
    }
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

fn own_evidence(
    raw: &Raw<'_>,
    types: &Types<'_>,
    unit: &UnitFacts,
    param: &Param,
    at: &impl Fn(u32) -> Option<(usize, u32)>,
) -> Parameter {
    let (mut name, mut reference) = (param.name, param.reference);
    let mut origin = param.origin;
    for _ in 0..ORIGINS {
        if reference != 0 || origin == 0 {
            break;
        }
        let Some((o, _)) = at(origin) else { break };
        reference = raw.params[o].reference;
        name = raw.params[o].name;
        origin = raw.params[o].origin;
    }
    let size = types.parameter_size(reference, unit.shape.address_size);
    let wide = size > u64::from(unit.shape.address_size)
        && Convention::of(raw.source.target.machine).pairs;
    Parameter {
        name,
        reference,
        has_location: param.location.is_some(),
        has_const_value: param.has_const_value,
        register: param
            .location
            .and_then(|l| location::at_entry(raw, unit, l, wide).register),
        size,
        optimized: false,
        unexpected: false,
    }
}

/// Compare each parameter's register with the one that the calling convention gives it.
fn analyse(params: &mut [Parameter], convention: &Convention, unit: &UnitFacts, changed: bool) {
    let word = u64::from(unit.shape.address_size);
    let slots = |p: &Parameter| {
        if convention.pairs && p.size > word {
            p.size.div_ceil(word) as usize
        } else {
            1
        }
    };
    let in_memory = |p: &Parameter| p.size > if convention.pairs { 2 * word } else { word };
    let mut next = 0;
    if unit.clang && !changed {
        // clang keeps the convention unless it says otherwise; a parameter without a location is
        // just unused.
        for p in params {
            if in_memory(p) {
                continue;
            }
            if next >= convention.count {
                break;
            }
            let window = convention.registers.get(next..).unwrap_or(&[]);
            let window = &window[..slots(p).min(window.len())];
            // Of some machines the registers are not known: no verdict then.
            let elsewhere = p.register.is_some_and(|r| !window.contains(&r));
            p.unexpected |= elsewhere && !window.is_empty();
            next += slots(p);
        }
        return;
    }
    for p in params {
        let taken = if in_memory(p) { 1 } else { slots(p) };
        if p.has_location {
            if next >= convention.count {
                continue;
            }
            match (p.register, convention.registers.get(next)) {
                (None, _) => p.optimized = true,
                (Some(is), Some(&should)) if is != should => p.unexpected = true,
                _ => {}
            }
        } else if p.has_const_value && !unit.clang {
            p.optimized = true;
        }
        next += taken;
    }
}

/// A packed struct passed on the stack may lie at any alignment there.
fn has_uncertain_place(params: &[Parameter], convention: &Convention, types: &Types<'_>) -> bool {
    params.len() >= convention.count
        && params
            .iter()
            .skip(convention.count)
            .any(|p| types.is_packed_struct(p.reference))
}

/// The symbol at the first byte of a function named `name`: one of that base name if there is.
pub fn symbol(index: &SymbolIndex<'_>, target: Target, name: &[u8]) -> Option<u32> {
    let functions = |i: &u32| index.symbols[*i as usize].kind == elf::STT_FUNC.0;
    let rank = |i: &u32| {
        let own = index.symbols[*i as usize].name;
        let base = own.split(|&b| b == b'.').next().unwrap_or(own);
        (own != name, base != name)
    };
    index
        .at(target.section, target.offset)
        .filter(functions)
        .min_by_key(rank)
}

/// Kinds that a by-value struct parameter may hide behind.
pub fn strips_to_struct(kind: Option<Kind>) -> bool {
    matches!(kind, None | Some(Kind::Const | Kind::Typedef))
}
