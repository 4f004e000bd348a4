// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Objects that have no debug information but a `.BTF` of their own: `gcc -gbtf`, `clang -gbtf`,
//! `pahole -J`, `encode --in-place`.
//!
//! Their types are there already. Which functions and variables they define, and where, the symbols
//! say. What BTF does not say is how a function was compiled: whether it still has all its parameters.
//!
//! A file that was linked from such objects has their BTFs behind each other; then `whose` tells which
//! symbols are of which.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use object::elf;

use super::whose::{self, Named, What, Wish};
use super::SymbolIndex;
use crate::btf::{self, load, read, Field, Kind};
use crate::elf::image::base_name;
use crate::elf::Elf;
use crate::object::{
    function_flags, identity, sparse, variable_flags, DeclTag, Encoded, Function, Id, Target, Unit,
    Variable, NONE,
};
use crate::support::endian;
use crate::support::error::Result;

/// `DW_LANG_C11`: BTF tells no language, and is for C.
const LANG_C: u32 = 0x1d;
/// `BTF_INT_CHAR`, among the encodings of an INT.
const INT_CHAR: u32 = 2 << 24;
const LINKAGE_STATIC: u32 = 0;
const LINKAGE_EXTERN: u32 = 2;

/// Does the object bring BTF for the linker to pass on? What is loaded is the BTF of the whole kernel,
/// in the object that carries it into vmlinux.
pub fn has_btf(elf: &Elf<'_>) -> bool {
    elf.is_relocatable() && has_unloaded_btf(elf) || has_several(elf)
}

/// Was it linked from objects with BTF, by a linker that put them behind each other?
pub fn has_several(elf: &Elf<'_>) -> bool {
    let several = |raw: Cow<'_, [u8]>| read::behind_each_other(&raw).is_ok_and(|all| all.len() > 1);
    has_unloaded_btf(elf)
        && elf
            .raw_section(".BTF")
            .is_ok_and(|raw| raw.is_some_and(several))
}

fn has_unloaded_btf(elf: &Elf<'_>) -> bool {
    let is = |s: crate::elf::SectionInfo<'_>| s.name == b".BTF" && !s.alloc;
    elf.sections().into_iter().any(is)
}

pub fn encode(elf: &Elf<'_>) -> Result<Option<Encoded>> {
    if !has_btf(elf) {
        return Ok(None);
    }
    let Some(raw) = elf.raw_section(".BTF")? else {
        return Ok(None);
    };
    let index = SymbolIndex::new(elf);
    let encoded = encode_all(elf, &index, &raw);
    let mut encoded = encoded.map_err(|e| e.at(format!("{}: .BTF", elf.path.display())))?;
    encoded.add_source_files(&elf.source_files());
    Ok(Some(encoded))
}

/// Each of the BTFs as the object that it is of.
fn encode_all<'b>(elf: &'b Elf<'b>, index: &'b SymbolIndex<'b>, raw: &[u8]) -> Result<Encoded> {
    let parts = read::behind_each_other(raw)?;
    // Places are those of symbols, as in an object, whatever the file is.
    let target = Target {
        relocatable: 1,
        ..super::target(elf)
    };
    let one = |raw: &[u8], named: &Named<'_>| {
        let completed = completed(raw)?;
        let read = load::parse(&completed.raw, target)?;
        Builder::new(index, &read, &completed, named).build()
    };
    if let [only] = parts[..] {
        return one(only, &all_symbols(index));
    }
    let wishes: Vec<Vec<Wish<'_>>> = parts.iter().map(|raw| wishes(raw)).collect::<Result<_>>()?;
    let mut all = Encoded::new(target);
    for (raw, named) in parts.iter().zip(whose::share(index, &wishes)?) {
        all.append(&one(raw, &named)?.view())?;
    }
    Ok(all)
}

/// Functions and objects that are defined here, by name; functions also by what stands before the
/// first dot, which compilers append to.
fn all_symbols<'b>(index: &'b SymbolIndex<'b>) -> Named<'b> {
    let mut named = Named::new();
    for (i, symbol) in (0..).zip(&index.symbols) {
        let kinds = [elf::STT_FUNC.0, elf::STT_OBJECT.0];
        if symbol.section != 0 && kinds.contains(&symbol.kind) {
            named.entry((symbol.name, symbol.kind)).or_insert(i);
        }
    }
    for (i, symbol) in (0..).zip(&index.symbols) {
        if symbol.section != 0 && symbol.kind == elf::STT_FUNC.0 {
            named
                .entry((base_name(symbol.name), symbol.kind))
                .or_insert(i);
        }
    }
    named
}

/// The functions and variables that a BTF says to be defined where it comes from.
fn wishes(raw: &[u8]) -> Result<Vec<Wish<'_>>> {
    let parts = read::parts(raw)?;
    let (words, _) = read::words(&parts);
    let starts = read::starts(&words)?;
    let types = starts
        .windows(2)
        .map(|at| &words[at[0] as usize..at[1] as usize]);
    let mut sizes: HashMap<u32, u32> = HashMap::new();
    for words in types.clone() {
        if Kind::from_info(words[1]) == Some(Kind::Datasec) {
            sizes.extend(entry_sizes(words));
        }
    }
    let mut found = Vec::new();
    for (id, words) in (1..).zip(types) {
        let what = match Kind::from_info(words[1]) {
            Some(Kind::Func) if !is_extern(words[1]) => What::Function,
            Some(Kind::Var) if words[3] == LINKAGE_STATIC => What::StaticVariable,
            Some(Kind::Var) if words[3] != LINKAGE_EXTERN => What::Variable,
            _ => continue,
        };
        let name = parts.strings.get(words[0] as usize..).unwrap_or_default();
        found.push(Wish {
            name: name.split(|&b| b == 0).next().unwrap_or_default(),
            what,
            size: sizes.get(&id).copied().unwrap_or_default(),
        });
    }
    Ok(found)
}

/// BTF of a compiler as that of a linker would be.
struct Completed {
    raw: Vec<u8>,
    /// What was a function that is not defined here, has no name, or no names of parameters: pointers now,
    /// since the kernel's rules do not let them be.
    undefined: HashSet<u32>,
    /// Variables without a size, which no section may have.
    empty: HashSet<u32>,
}

/// Variables lie behind each other in their sections, whose sizes are known. gcc writes of a `char` that it
/// is one, where debug information knows a sign alone; of declarations what type it had in mind; and 12
/// writes functions without a name.
fn completed(raw: &[u8]) -> Result<Completed> {
    let parts = read::parts(raw)?;
    let (mut words, _) = read::words(&parts);
    let starts = read::starts(&words)?;
    let (mut undefined, mut empty) = (HashSet::new(), HashSet::new());
    // Prototypes with a parameter that has no name.
    let unnamed: HashSet<u32> = (1..)
        .zip(starts.windows(2))
        .filter(|(_, at)| {
            let words = &words[at[0] as usize..at[1] as usize];
            Kind::from_info(words[1]) == Some(Kind::FuncProto)
                && words[3..].chunks_exact(2).any(|p| p[0] == 0 && p[1] != 0)
        })
        .map(|(id, _)| id)
        .collect();
    for (id, start) in (1..).zip(&starts[..starts.len() - 1]) {
        let at = *start as usize;
        let info = words[at + 1];
        match Kind::from_info(info) {
            Some(Kind::Func)
                if words[at] == 0 || is_extern(info) || unnamed.contains(&words[at + 2]) =>
            {
                (words[at], words[at + 1]) = (0, btf::info(Kind::Ptr, 0, false));
                undefined.insert(id);
            }
            Some(Kind::Int) => words[at + 3] &= !INT_CHAR,
            Some(Kind::Fwd) => words[at + 2] = 0,
            Some(Kind::Datasec) => {
                let mut end = 0u32;
                for entry in words[at + 3..][..3 * btf::vlen(info)].chunks_exact_mut(3) {
                    if entry[2] == 0 {
                        empty.insert(entry[0]);
                        entry[2] = 1;
                    }
                    entry[1] = end;
                    end = end.saturating_add(entry[2]);
                }
                words[at + 2] = end;
            }
            _ => {}
        }
    }
    let start = parts.types.as_ptr() as usize - raw.as_ptr() as usize;
    let mut raw = raw.to_vec();
    let fields = raw[start..][..parts.types.len()].chunks_exact_mut(4);
    for (field, word) in fields.zip(words) {
        endian::put(field, word.into(), parts.big);
    }
    Ok(Completed {
        raw,
        undefined,
        empty,
    })
}

/// The variables of a DATASEC, and their sizes in bytes.
fn entry_sizes(words: &[u32]) -> impl Iterator<Item = (u32, u32)> + '_ {
    words[3..].chunks_exact(3).map(|entry| (entry[0], entry[2]))
}

/// The linkage of a FUNC.
fn is_extern(info: u32) -> bool {
    info & btf::MAX_VLEN == LINKAGE_EXTERN
}

struct Builder<'b> {
    read: &'b Encoded,
    completed: &'b Completed,
    index: &'b SymbolIndex<'b>,
    named: &'b Named<'b>,
    /// New ids by old ones; 0 for what is no type.
    ids: Vec<u32>,
    out: Encoded,
    strings: HashMap<&'b [u8], u32>,
}

impl<'b> Builder<'b> {
    fn new(
        index: &'b SymbolIndex<'b>,
        read: &'b Encoded,
        completed: &'b Completed,
        named: &'b Named<'b>,
    ) -> Self {
        Builder {
            read,
            completed,
            index,
            named,
            ids: vec![0; read.starts.len()],
            out: Encoded {
                strings: read.strings.clone(),
                ..Encoded::new(read.target)
            },
            strings: HashMap::new(),
        }
    }

    fn words(&self, id: u32) -> &'b [u32] {
        let starts = &self.read.starts;
        &self.read.words[starts[id as usize - 1] as usize..starts[id as usize] as usize]
    }

    fn kind(&self, id: u32) -> Option<Kind> {
        (id != 0)
            .then(|| Kind::from_info(self.words(id)[1]))
            .flatten()
    }

    fn all(&self) -> std::ops::Range<u32> {
        1..self.read.starts.len() as u32
    }

    fn build(mut self) -> Result<Encoded> {
        let types = self.types();
        for (&id, new) in types.iter().zip(1..) {
            self.ids[id as usize] = new;
        }
        for id in types {
            self.copy(id);
        }
        let mut unit = Unit {
            language: LANG_C,
            types_end: self.out.starts.len() as u32 - 1,
            ..Unit::default()
        };
        let mut tags: HashMap<u32, Vec<DeclTag>> = HashMap::new();
        let mut sizes: HashMap<u32, u32> = HashMap::new();
        for id in self.all() {
            let words = self.words(id);
            match self.kind(id) {
                Some(Kind::DeclTag) => tags.entry(words[2]).or_default().push(DeclTag {
                    value: words[0],
                    component: words[3] as i32,
                }),
                Some(Kind::Datasec) => {
                    let own = entry_sizes(words);
                    sizes.extend(own.filter(|(id, _)| !self.completed.empty.contains(id)));
                }
                _ => {}
            }
        }
        for id in self.all() {
            match self.kind(id) {
                Some(Kind::Func) => self.function(id, tags.get(&id)),
                Some(Kind::Var) => self.variable(id, tags.get(&id), sizes.get(&id)),
                _ => {}
            }
        }
        unit.protos_end = self.out.starts.len() as u32 - 1;
        unit.functions_end = self.out.functions.len() as u32;
        unit.variables_end = self.out.variables.len() as u32;
        if unit.functions_end != 0 {
            unit.sparse = sparse::PLAIN;
        }
        self.out.units.push(unit);
        let mut out = self.out;
        identity::of_types(&mut out)?;
        let proto = |id: u32| out.ids[id as usize - 1];
        let ids: Vec<Id> = identity::of_functions(&out.view(), proto);
        for (function, id) in out.functions.iter_mut().zip(ids) {
            function.id = id;
        }
        Ok(out)
    }

    /// The types proper, in their order: not functions, variables, sections and what is said of those;
    /// nor prototypes that only functions have, which come with these.
    fn types(&self) -> Vec<u32> {
        // Where functions were inlined is told from the start of a section of this object.
        let is_candidate = |id: u32| {
            let kind = self.kind(id);
            let is_site = kind.is_some_and(|kind| kind >= Kind::LocParam);
            is_site || matches!(kind, Some(Kind::Func | Kind::Var | Kind::Datasec))
        };
        let counts = |id: u32| match self.kind(id) {
            Some(Kind::DeclTag) => !is_candidate(self.words(id)[2]),
            _ => !is_candidate(id) && !self.completed.undefined.contains(&id),
        };
        let mut referred: HashSet<u32> = HashSet::new();
        let mut of_functions: HashSet<u32> = HashSet::new();
        for id in self.all() {
            let words = self.words(id);
            match self.kind(id) {
                _ if self.completed.undefined.contains(&id) => {
                    of_functions.insert(words[2]);
                }
                Some(Kind::Func) => {
                    of_functions.insert(words[2]);
                }
                Some(kind) => btf::for_each_field(kind, words, |i, field| {
                    if matches!(field, Field::Type) {
                        referred.insert(words[i]);
                    }
                }),
                None => {}
            }
        }
        self.all()
            .filter(|id| counts(*id) && (referred.contains(id) || !of_functions.contains(id)))
            .collect()
    }

    /// Append a type with the new ids.
    fn copy(&mut self, id: u32) {
        let words = self.words(id);
        let start = self.out.words.len();
        self.out.words.extend_from_slice(words);
        if let Some(kind) = self.kind(id) {
            btf::for_each_field(kind, words, |i, field| {
                if matches!(field, Field::Type) {
                    self.out.words[start + i] = self.ids[words[i] as usize];
                }
            });
        }
        self.out.starts.push(self.out.words.len() as u32);
    }

    fn tags(&mut self, tags: Option<&Vec<DeclTag>>) -> (u32, u32) {
        let start = self.out.tags.len() as u32;
        self.out.tags.extend(tags.into_iter().flatten());
        (start, self.out.tags.len() as u32 - start)
    }

    fn function(&mut self, id: u32, tags: Option<&Vec<DeclTag>>) {
        let words = self.words(id);
        self.copy(words[2]);
        let proto = self.out.starts.len() as u32 - 1;
        let (tags_start, tags_len) = self.tags(tags);
        let found = self.named.get(&(self.text(words[0]), elf::STT_FUNC.0));
        let symbol = found.copied().map_or(NONE, |i| self.symbol(i));
        let has_code = symbol != NONE;
        self.out.functions.push(Function {
            id: Id::default(),
            name: words[0],
            proto,
            flags: if has_code {
                function_flags::HAS_CODE
            } else {
                0
            },
            tags_start,
            tags_len,
            symbol,
            low_pc: 0,
            die: u64::from(id),
        });
    }

    fn variable(&mut self, id: u32, tags: Option<&Vec<DeclTag>>, size: Option<&u32>) {
        let words = self.words(id);
        let found = self.named.get(&(self.text(words[0]), elf::STT_OBJECT.0));
        let Some(&i) = found.filter(|_| words[3] != LINKAGE_EXTERN) else {
            return;
        };
        let (tags_start, tags_len) = self.tags(tags);
        let symbol = self.symbol(i);
        let own = self.out.symbols[symbol as usize].size;
        let external = words[3] != 0;
        self.out.variables.push(Variable {
            name: words[0],
            type_id: self.ids[words[2] as usize],
            flags: if external {
                variable_flags::EXTERNAL
            } else {
                0
            },
            tags_start,
            tags_len,
            symbol,
            size: size.map_or(own, |&size| u64::from(size)),
            address: 0,
            die: u64::from(id),
        });
    }

    fn text(&self, offset: u32) -> &'b [u8] {
        crate::object::text_at(&self.read.strings, offset)
    }

    fn symbol(&mut self, i: u32) -> u32 {
        let (strings, known) = (&mut self.out.strings, &mut self.strings);
        let kept = self.index.kept(i, |text| match text {
            b"" => 0,
            _ => *known.entry(text).or_insert_with(|| {
                let offset = strings.len() as u32;
                strings.extend_from_slice(text);
                strings.push(0);
                offset
            }),
        });
        self.out.symbols.push(kept);
        self.out.symbols.len() as u32 - 1
    }
}
