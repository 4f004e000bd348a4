// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Objects that have no debug information but a `.BTF` of their own: `gcc -gbtf`, `clang -gbtf`,
//! `pahole -J`, `encode --in-place`.
//!
//! Their types are there already. Which functions and variables they define, and where, the symbols
//! say. What BTF does not say is how a function was compiled: whether it still has all its parameters.

use std::collections::{HashMap, HashSet};

use object::elf;

use super::SymbolIndex;
use crate::btf::{self, load, read, Field, Kind};
use crate::elf::image::base_name;
use crate::elf::Elf;
use crate::object::{
    function_flags, identity, sparse, variable_flags, DeclTag, Encoded, Function, Id, Unit,
    Variable, NONE,
};
use crate::support::endian;
use crate::support::error::Result;

/// `DW_LANG_C11`: BTF tells no language, and is for C.
const LANG_C: u32 = 0x1d;
const LINKAGE_EXTERN: u32 = 2;

/// Does the object bring BTF for the linker to pass on? What is loaded is the BTF of the whole kernel,
/// in the object that carries it into vmlinux.
pub fn has_btf(elf: &Elf<'_>) -> bool {
    let is = |s: crate::elf::SectionInfo<'_>| s.name == b".BTF" && !s.alloc;
    elf.is_relocatable() && elf.sections().into_iter().any(is)
}

pub fn encode(elf: &Elf<'_>) -> Result<Option<Encoded>> {
    if !has_btf(elf) {
        return Ok(None);
    }
    let Some(raw) = elf.raw_section(".BTF")? else {
        return Ok(None);
    };
    let read = || {
        let (raw, nameless) = completed(&raw)?;
        Ok((load::parse(&raw, super::target(elf))?, nameless))
    };
    let read: Result<(Encoded, HashSet<u32>)> = read();
    let (read, nameless) = read.map_err(|e| e.at(format!("{}: .BTF", elf.path.display())))?;
    Builder::new(elf, &read, &nameless).build().map(Some)
}

/// BTF of a compiler as that of a linker would be: variables lie behind each other in their sections,
/// whose sizes are known. gcc 12 writes functions without a name, which become anything that needs
/// none: which types these are is told.
fn completed(raw: &[u8]) -> Result<(Vec<u8>, HashSet<u32>)> {
    let parts = read::parts(raw)?;
    let (mut words, _) = read::words(&parts);
    let starts = read::starts(&words)?;
    let mut nameless = HashSet::new();
    for (id, start) in (1..).zip(&starts[..starts.len() - 1]) {
        let at = *start as usize;
        let info = words[at + 1];
        match Kind::from_info(info) {
            Some(Kind::Func) if words[at] == 0 => {
                words[at + 1] = btf::info(Kind::Ptr, 0, false);
                nameless.insert(id);
            }
            Some(Kind::Datasec) => {
                let mut end = 0u32;
                for entry in words[at + 3..][..3 * btf::vlen(info)].chunks_exact_mut(3) {
                    entry[1] = end;
                    end = end.saturating_add(entry[2]);
                }
                words[at + 2] = end;
            }
            _ => {}
        }
    }
    let start = parts.types.as_ptr() as usize - raw.as_ptr() as usize;
    let mut out = raw.to_vec();
    let fields = out[start..][..parts.types.len()].chunks_exact_mut(4);
    for (field, word) in fields.zip(words) {
        endian::put(field, word.into(), parts.big);
    }
    Ok((out, nameless))
}

struct Builder<'b> {
    elf: &'b Elf<'b>,
    read: &'b Encoded,
    nameless: &'b HashSet<u32>,
    index: SymbolIndex<'b>,
    /// Functions and objects that are defined here, by name; functions also by what stands before the
    /// first dot, which compilers append to.
    named: HashMap<(&'b [u8], u8), u32>,
    /// New ids by old ones; 0 for what is no type.
    ids: Vec<u32>,
    out: Encoded,
    strings: HashMap<&'b [u8], u32>,
}

impl<'b> Builder<'b> {
    fn new(elf: &'b Elf<'b>, read: &'b Encoded, nameless: &'b HashSet<u32>) -> Self {
        Builder {
            elf,
            read,
            nameless,
            index: SymbolIndex::new(elf),
            named: HashMap::new(),
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
        self.name_symbols();
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
                    let entries = words[3..].chunks_exact(3);
                    sizes.extend(entries.map(|entry| (entry[0], entry[2])));
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
        identity::of_types(&mut out).map_err(|e| e.at(self.elf.path.display()))?;
        let proto = |id: u32| out.ids[id as usize - 1];
        let ids: Vec<Id> = identity::of_functions(&out.view(), proto);
        for (function, id) in out.functions.iter_mut().zip(ids) {
            function.id = id;
        }
        out.add_source_files(&self.elf.source_files());
        Ok(out)
    }

    fn name_symbols(&mut self) {
        let mut named: HashMap<(&'b [u8], u8), u32> = HashMap::new();
        for (i, symbol) in (0..).zip(&self.index.symbols) {
            let kinds = [elf::STT_FUNC.0, elf::STT_OBJECT.0];
            if symbol.section != 0 && kinds.contains(&symbol.kind) {
                named.entry((symbol.name, symbol.kind)).or_insert(i);
            }
        }
        for (i, symbol) in (0..).zip(&self.index.symbols) {
            if symbol.section != 0 && symbol.kind == elf::STT_FUNC.0 {
                named
                    .entry((base_name(symbol.name), symbol.kind))
                    .or_insert(i);
            }
        }
        self.named = named;
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
            _ => !is_candidate(id) && !self.nameless.contains(&id),
        };
        let mut referred: HashSet<u32> = HashSet::new();
        let mut of_functions: HashSet<u32> = HashSet::new();
        for id in self.all() {
            let words = self.words(id);
            match self.kind(id) {
                _ if self.nameless.contains(&id) => {
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
        if words[1] & btf::MAX_VLEN == LINKAGE_EXTERN {
            return;
        }
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
