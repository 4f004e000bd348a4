// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Which variables get a VAR, and where each lies in its DATASEC.

use std::collections::{BTreeMap, HashMap};

use object::elf;

use super::{add_decl_tag, id_of, Outcome};
use crate::btf::{self, Kind};
use crate::combine::{printable, Combiner, PlacedVariable};
use crate::elf::image::Image;
use crate::fixup::origins::Resolution;
use crate::fixup::sections::{is_included, PERCPU};
use crate::object::features::Features;
use crate::object::numbering::Class;
use crate::object::variable_flags;
use crate::support::error::{Error, Result};

/// Variables that only serve the build: nobody looks for them, and there are thousands.
const SERVICE: [&[u8]; 5] = [
    b"__UNIQUE_ID",
    b"__tpstrtab_",
    b"__exitcall_",
    b"__gendwarfksyms_ptr_",
    b"__func_stack_frame_non_standard_",
];

/// Longest name that kernels of all versions accept (`KSYM_NAME_LEN` before 6.1).
const NAME_LEN: usize = 128;

fn is_service(name: &[u8]) -> bool {
    SERVICE.iter().any(|prefix| name.starts_with(prefix))
}

/// The kernel's rule for names of variables (kernel/bpf/btf.c).
fn is_valid_name(name: &[u8]) -> bool {
    let letter = |b: u8| b.is_ascii_alphabetic() || b == b'_' || b == b'.';
    name.len() <= NAME_LEN
        && name.first().is_some_and(|&b| letter(b))
        && name.iter().all(|&b| letter(b) || b.is_ascii_digit())
}

struct Chosen {
    offset: u64,
    size: u32,
    /// Smaller is better, among variables at one offset.
    rank: (bool, crate::object::Id),
    variable: usize,
}

pub(super) fn add(
    combiner: &mut Combiner<'_>,
    image: &Image<'_>,
    resolution: &Resolution,
    features: &Features,
    outcome: &mut Outcome,
) -> Result<()> {
    let mut symbols_at: HashMap<(u32, u64), Vec<usize>> = HashMap::new();
    for (i, symbol) in image.symbols.iter().enumerate() {
        if symbol.kind == elf::STT_OBJECT.0 {
            symbols_at
                .entry((symbol.section, symbol.value))
                .or_default()
                .push(i);
        }
    }
    let key = |&s: &usize| (image.symbols[s].name, image.symbols[s].size);
    for here in symbols_at.values_mut() {
        here.sort_unstable_by_key(key);
    }
    let mut sections: BTreeMap<u32, Vec<Chosen>> = BTreeMap::new();
    for (i, variable) in combiner.variables.iter().enumerate() {
        let Some(location) = resolution.locate(image, variable.place) else {
            continue;
        };
        let section = match location.section {
            0 => image.section_of(location.value),
            known => Some(known),
        };
        let Some(section) = section else { continue };
        let Some(info) = image.sections.get(section as usize) else {
            continue;
        };
        if !info.alloc || !info.holds_data || !is_included(info.name, features) {
            continue;
        }
        let name = combiner.strings.get(variable.name);
        if name.is_empty() || is_service(name) {
            continue;
        }
        let here = symbols_at
            .get(&(section, location.value))
            .map(Vec::as_slice)
            .unwrap_or(&[]);
        // A constant that clang has put among the strings: linkers merge these, and the objects
        // cannot tell what became of it.
        if here.is_empty() {
            continue;
        }
        let offset = location
            .value
            .wrapping_sub(if image.relocatable { 0 } else { info.address });
        // What the linker discarded has address 0, which looks like the start of a section there.
        let named = here.get(here.partition_point(|s| key(s) < (name, 0)));
        if offset == 0 && named.is_none_or(|&s| image.symbols[s].name != name) {
            continue;
        }
        if !is_valid_name(name) {
            if features.encode_force {
                continue;
            }
            return Err(Error::new(format!(
                "variable {} has a name that the kernel refuses",
                printable(name)
            ))
            .hint("add encode_force to the features to leave such variables out"));
        }
        let (Ok(size), Ok(_)) = (u32::try_from(variable.size), u32::try_from(offset)) else {
            continue;
        };
        if size == 0 {
            continue;
        }
        let right_size = here
            .binary_search_by_key(&(name, variable.size), key)
            .is_ok();
        sections.entry(section).or_default().push(Chosen {
            offset,
            size,
            rank: (!right_size, combiner.facts(variable.class).id),
            variable: i,
        });
    }
    for (section, mut chosen) in sections {
        keep_one_each(combiner, &mut chosen);
        add_section(
            combiner,
            image.sections[section as usize].name,
            &chosen,
            features,
            outcome,
        )?;
    }
    Ok(())
}

/// A definition and the weak one that it overrides stand at one place; the kernel refuses
/// variables that overlap. The one whose size the symbol confirms stays.
fn keep_one_each(combiner: &Combiner<'_>, chosen: &mut Vec<Chosen>) {
    let text = |name: u32| combiner.strings.get(name).to_vec();
    let facts = |c: &Chosen| {
        let v = &combiner.variables[c.variable];
        let tags: Vec<_> = v.tags.iter().map(|t| (t.1, text(t.0))).collect();
        (text(v.name), v.flags, tags)
    };
    chosen.sort_by_cached_key(|c| (c.offset, c.rank, facts(c)));
    let mut end = 0;
    let mut first = true;
    chosen.retain(|c| {
        let free = first || c.offset >= end;
        if free {
            first = false;
            end = c.offset + u64::from(c.size);
        }
        free
    });
}

fn add_section(
    combiner: &mut Combiner<'_>,
    section: &[u8],
    chosen: &[Chosen],
    features: &Features,
    outcome: &mut Outcome,
) -> Result<()> {
    if chosen.len() > btf::MAX_VLEN as usize {
        return Err(Error::new(format!(
            "{} variables in section {}, BTF can hold {}",
            chosen.len(),
            printable(section),
            btf::MAX_VLEN
        ))
        .hint(match section == PERCPU {
            true => "leave var out of the features",
            false => "leave global_var out of the features",
        }));
    }
    let name = combiner.strings.add(section);
    let mut entries = Vec::with_capacity(chosen.len() * 3);
    let mut identity = Vec::new();
    for c in chosen {
        let var = add_variable(combiner, section, c, features);
        entries.extend([var, c.offset as u32, c.size]);
        identity.extend_from_slice(&combiner.facts(var).id.bytes());
        outcome.variables += 1;
    }
    let size = chosen.last().map_or(0, |c| c.offset as u32 + c.size);
    let mut words = vec![
        name,
        btf::info(Kind::Datasec, chosen.len() as u32, false),
        size,
    ];
    words.extend(entries);
    combiner.push(id_of(Kind::Datasec, &[section, &identity]), &words);
    Ok(())
}

fn add_variable(
    combiner: &mut Combiner<'_>,
    section: &[u8],
    chosen: &Chosen,
    features: &Features,
) -> Class {
    let PlacedVariable {
        name, class, flags, ..
    } = combiner.variables[chosen.variable];
    let tags = combiner.variables[chosen.variable].tags.clone();
    let linkage = u32::from(flags & variable_flags::EXTERNAL != 0);
    let id = id_of(
        Kind::Var,
        &[
            combiner.strings.get(name),
            &combiner.facts(class).id.bytes(),
            &linkage.to_le_bytes(),
            section,
            &chosen.offset.to_le_bytes(),
        ],
    );
    let var = combiner.push(id, &[name, btf::info(Kind::Var, 0, false), class, linkage]);
    if features.decl_tag {
        for (value, component) in tags {
            add_decl_tag(combiner, var, value, component);
        }
    }
    var
}
