// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! From raw records to what encode makes of an object: the order of types, functions and variables.

use super::functions::{self, Judged, Judgement, Parameter};
use super::known::Meeting;
use super::merged::{self, UnitCode};
use super::records::{Address, Raw, Tagged, Type};
use super::signature::Arrival;
use super::strings::Strings;
use super::types::Types;
use super::words::{Choice, Item, Layout, Prototype, Reference, Words};
use super::{sites, variables, SymbolIndex};
use crate::btf::Kind;
use crate::dwarf::Tables;
use crate::object::{
    function_flags, variable_flags, DeclTag, Encoded, Function, Id, Unit, Variable, NONE,
};
use crate::support::error::{Error, Result};
use crate::support::limits::ANNOTATIONS;

struct Emit<'r> {
    raw: &'r Raw<'r>,
    types: &'r Types<'r>,
    int_name: u32,
    /// Local id of each raw type.
    ids: Vec<u32>,
    /// Local id of an `int` that no unit has, or 0.
    own_int: u32,
    /// Raw type of the `int` that the units have.
    int: Option<u32>,
    strings: &'r mut Strings,
    out: Encoded,
}

/// The result is without strings, which are in `raw.strings`, and without identities. With a
/// `meeting` only types that it calls fresh have words.
pub fn emit(raw: &mut Raw<'_>, meeting: Option<&mut Meeting<'_>>) -> Result<Encoded> {
    resolve_gnu_annotations(raw);
    let mut strings = std::mem::take(&mut raw.strings);
    let mut tables = raw.tables.take();
    let result = emit_with(raw, &mut strings, &mut tables, meeting);
    (raw.strings, raw.tables) = (strings, tables);
    result
}

fn emit_with(
    raw: &Raw<'_>,
    strings: &mut Strings,
    tables: &mut Option<Tables>,
    meeting: Option<&mut Meeting<'_>>,
) -> Result<Encoded> {
    let types = Types::new(raw);
    let judgement = functions::judge(raw, &types, strings);
    let is_int = |t: &Type| t.kind == Some(Kind::Int) && strings.get(t.name) == b"int";
    let int = raw.types.iter().position(is_int).map(|i| i as u32);
    // Arrays need an index type; BTF always takes `int`, which an object may not mention.
    let is_array = |t: &Type| t.kind == Some(Kind::Array);
    let needs_own_int = int.is_none() && raw.types.iter().any(is_array);
    let int_name = if needs_own_int {
        strings.add(b"int")
    } else {
        0
    };
    let mut emit = Emit {
        ids: vec![0; raw.types.len()],
        own_int: 0,
        int,
        strings,
        out: Encoded {
            strings: Vec::new(),
            ..Encoded::new(raw.source.target)
        },
        types: &types,
        int_name,
        raw,
    };
    emit.number(&judgement, needs_own_int);
    match meeting {
        None => emit.write(&judgement, &mut All)?,
        Some(meeting) => emit.write(&judgement, meeting)?,
    }
    let Emit {
        mut out, strings, ..
    } = emit;
    if raw.source.sites {
        sites::add(raw, &types, &judgement, strings, tables, &mut out)?;
    }
    Ok(out)
}

/// Units with a type that BTF cannot hold, by their place, and why; of languages that `asked` says.
pub fn refused(raw: &Raw<'_>, asked: impl Fn(u32) -> bool) -> Vec<(usize, Error)> {
    if !raw.units.iter().any(|unit| asked(unit.language)) {
        return Vec::new();
    }
    let types = Types::new(raw);
    let layout = Layout {
        raw,
        types: &types,
        strings: &raw.strings.bytes,
        int_name: 0,
    };
    let mut start = 0;
    let mut found = Vec::new();
    for (u, unit) in raw.units.iter().enumerate() {
        let own = std::mem::replace(&mut start, unit.types_end)..unit.types_end;
        let mut own = own.filter(|_| asked(unit.language));
        let written = own.try_for_each(|i| {
            let at_die = |e: Error| e.at(format!("DIE {:#x}", raw.types[i as usize].die));
            layout.write(&Item::Type(i), &mut Nowhere).map_err(at_die)
        });
        found.extend(written.err().map(|error| (u, error)));
    }
    found
}

/// Only whether there are words counts.
struct Nowhere;

impl Words for Nowhere {
    fn word(&mut self, _: u32) {}
    fn reference(&mut self, _: Reference) {}
    fn member(&mut self, _: u32, _: u32, _: u32) {}
    fn parameter(&mut self, _: u32, _: u32) {}
}

/// Each object's whole content.
struct All;

impl Choice for All {
    fn begin(&mut self, _: &Layout<'_>, _: Option<u32>) -> Result<()> {
        Ok(())
    }

    fn unit(&mut self, _: u32) {}
    #[inline(always)]
    fn wants(&mut self, _: &Layout<'_>, _: &Item<'_>, _: bool) -> Result<bool> {
        Ok(true)
    }
}

/// Words as they are written: references are local ids.
struct Written<'e> {
    types: &'e Types<'e>,
    ids: &'e [u32],
    index: u32,
    strings: &'e Strings,
    words: &'e mut Vec<u32>,
}

impl Words for Written<'_> {
    #[inline(always)]
    fn word(&mut self, word: u32) {
        self.words.push(word);
    }

    #[inline(always)]
    fn reference(&mut self, to: Reference) {
        self.words.push(match to {
            Reference::Die(die) => {
                let found = self.types.index.find(die);
                found.map_or(0, |i| self.ids[i as usize])
            }
            // They follow their pointer.
            Reference::TypeTag(i, tag) => self.ids[i as usize] + 1 + tag,
            Reference::Index => self.index,
        });
    }

    #[inline(always)]
    fn member(&mut self, name: u32, to: u32, offset: u32) {
        let is_empty = self.strings.bytes[name as usize] == 0;
        self.parameter(if is_empty { 0 } else { name }, to);
        self.word(offset);
    }

    #[inline(always)]
    fn parameter(&mut self, name: u32, to: u32) {
        self.word(name);
        self.reference(Reference::Die(to));
    }
}

/// Follow the chains of GNU annotations: tags on pointers are type tags in order of the chain,
/// all others are declaration tags.
fn resolve_gnu_annotations(raw: &mut Raw<'_>) {
    for (on, component, first) in std::mem::take(&mut raw.gnu_tags) {
        let mut next = first;
        let start = raw.type_tags.len() as u32;
        for _ in 0..ANNOTATIONS {
            let Some(annotation) = raw.annotations.get(&next) else {
                break;
            };
            match on {
                Tagged::Type(i) if raw.types[i as usize].kind == Some(Kind::Ptr) => {
                    if !annotation.is_type_tag {
                        break;
                    }
                    raw.type_tags.push(annotation.value);
                }
                _ if annotation.is_decl_tag => raw.tags.push(super::records::Tag {
                    on,
                    component,
                    value: annotation.value,
                }),
                _ => {}
            }
            next = annotation.next;
        }
        if let Tagged::Type(i) = on {
            let t = &mut raw.types[i as usize];
            if t.kind == Some(Kind::Ptr) && t.len == 0 {
                t.start = start;
                t.len = raw.type_tags.len() as u32 - start;
            }
        }
    }
}

impl Emit<'_> {
    /// Local ids: of each unit its types (a pointer is followed by its type tags), the
    /// declaration tags on them, then the prototypes of its function candidates. An `int` that no
    /// unit mentions comes with the prototypes of the first: it counts where an array refers to it.
    fn number(&mut self, judgement: &Judgement, needs_own_int: bool) {
        let mut next = 1;
        let mut starts = (0, 0);
        for (u, unit) in self.raw.units.iter().enumerate() {
            for i in starts.0..unit.types_end {
                let t = &self.raw.types[i as usize];
                let Some(kind) = t.kind else { continue };
                self.ids[i as usize] = next;
                next += 1;
                if kind == Kind::Ptr {
                    next += t.len;
                }
            }
            next += self.type_tags_of(u).count() as u32;
            if needs_own_int && u == 0 {
                self.own_int = next;
                next += 1;
            }
            let functions = &judgement.functions[starts.1 as usize..unit.functions_end as usize];
            next += functions.iter().map(Judged::prototypes).sum::<u32>();
            starts = (unit.types_end, unit.functions_end);
        }
        for i in 0..self.raw.types.len() {
            let t = &self.raw.types[i];
            if t.kind.is_none() {
                self.ids[i] = self.types.find(t.die).map_or(0, |found| self.ids[found]);
            }
        }
    }

    /// Declaration tags on the types of a unit.
    fn type_tags_of(&self, unit: usize) -> impl Iterator<Item = (u32, &super::records::Tag)> + '_ {
        let before = |u: usize| match u.checked_sub(1) {
            Some(last) => self.raw.units[last].types_end,
            None => 0,
        };
        let range = before(unit)..self.raw.units[unit].types_end;
        self.raw.tags.iter().filter_map(move |tag| match tag.on {
            Tagged::Type(i) if range.contains(&i) && self.raw.types[i as usize].kind.is_some() => {
                Some((i, tag))
            }
            _ => None,
        })
    }

    /// Local id of what a reference means.
    #[inline]
    fn id(&self, reference: u32) -> u32 {
        let found = self.types.index.find(reference);
        found.map_or(0, |i| self.ids[i as usize])
    }

    fn next_id(&self) -> u32 {
        self.out.starts.len() as u32
    }

    /// The next type.
    #[inline(always)]
    fn put(&mut self, choice: &mut impl Choice, item: &Item<'_>, proper: bool) -> Result<()> {
        let layout = Layout {
            raw: self.raw,
            types: self.types,
            strings: &self.strings.bytes,
            int_name: self.int_name,
        };
        if choice.wants(&layout, item, proper)? {
            let mut words = Written {
                types: self.types,
                ids: &self.ids,
                index: match self.own_int {
                    0 => self.int.map_or(0, |int| self.ids[int as usize]),
                    own => own,
                },
                strings: self.strings,
                words: &mut self.out.words,
            };
            layout.write(item, &mut words)?;
        }
        self.out.starts.push(self.out.words.len() as u32);
        Ok(())
    }

    fn write(&mut self, judgement: &Judgement, choice: &mut impl Choice) -> Result<()> {
        let raw = self.raw;
        let layout = Layout {
            raw,
            types: self.types,
            strings: &self.strings.bytes,
            int_name: self.int_name,
        };
        choice.begin(&layout, self.int)?;
        self.out
            .starts
            .reserve(raw.types.len() + raw.functions.len());
        self.out.functions.reserve(raw.functions.len());
        let mut merged = merged::candidates(raw, judgement).into_iter().peekable();
        let mut starts = (0u32, 0u32, 0u32);
        for u in 0..raw.units.len() {
            let facts = raw.units[u];
            choice.unit(facts.language);
            for i in starts.0..facts.types_end {
                let t = &raw.types[i as usize];
                let Some(kind) = t.kind else { continue };
                debug_assert_eq!(self.ids[i as usize], self.next_id());
                self.put(choice, &Item::Type(i), true)
                    .map_err(|e| e.at(format!("DIE {:#x}", t.die)))?;
                if kind == Kind::Ptr {
                    for tag in 0..t.len {
                        self.put(choice, &Item::TypeTag(i, tag), true)?;
                    }
                }
            }
            let tags: Vec<Item<'_>> = self
                .type_tags_of(u)
                .map(|(i, tag)| Item::DeclTag {
                    value: tag.value,
                    on: raw.types[i as usize].die,
                    component: tag.component,
                })
                .collect();
            for tag in &tags {
                self.put(choice, tag, true)?;
            }
            let types_end = self.next_id() - 1;
            if self.own_int == self.next_id() {
                self.put(choice, &Item::OwnInt, false)?;
            }
            let mut code = None;
            for f in starts.1..facts.functions_end {
                let function = &raw.functions[f as usize];
                let at = match merged.next_if_eq(&f) {
                    None => function.low_pc,
                    Some(_) => {
                        let code = code.get_or_insert_with(|| UnitCode::of(raw, &facts));
                        let name = judgement.functions[f as usize].name;
                        code.symbol(raw.source, self.strings.get(name))
                    }
                };
                self.write_function(f as usize, at, judgement, choice)?;
            }
            let protos_end = self.next_id() - 1;
            for v in starts.2..facts.variables_end {
                self.write_variable(v as usize, facts.shape.address_size);
            }
            self.out.units.push(Unit {
                language: facts.language,
                types_end,
                protos_end,
                functions_end: self.out.functions.len() as u32,
                variables_end: self.out.variables.len() as u32,
                refused: facts.refused,
                name: facts.name,
                sparse: facts.sparse,
            });
            starts = (facts.types_end, facts.functions_end, facts.variables_end);
        }
        Ok(())
    }

    fn write_function(
        &mut self,
        f: usize,
        at: Option<Address>,
        judgement: &Judgement,
        choice: &mut impl Choice,
    ) -> Result<()> {
        let judged = &judgement.functions[f];
        if !judged.candidate {
            return Ok(());
        }
        let function = &self.raw.functions[f];
        let at_die = |e: Error| e.at(format!("DIE {:#x}", function.die));
        let proto = self.next_id();
        let mut params: Vec<(u32, u32)> = judgement
            .as_written(judged)
            .map(|p| (p.name, p.reference))
            .collect();
        let (variadic, result) = (function.variadic, judged.reference);
        let written = Prototype {
            function: judged.name,
            variadic,
            result,
            params: &params,
        };
        self.put(choice, &Item::Prototype(written), false)
            .map_err(at_die)?;
        if judged.flags & function_flags::SIGNATURE_CHANGED != 0 {
            params.clear();
            for parameter in judgement.as_passed(judged) {
                params.push(self.passed_parameter(parameter));
            }
            let passed = Prototype {
                function: judged.name,
                variadic,
                result,
                params: &params,
            };
            self.put(choice, &Item::Prototype(passed), false)
                .map_err(at_die)?;
        }
        let (tags_start, tags_len) = self.tags(Tagged::Function(f as u32));
        let symbols = self.raw.source.symbols();
        let symbol = at.and_then(|a| a.target).and_then(|target| {
            let found = functions::symbol(symbols, target, self.strings.get(judged.name))?;
            Some(self.symbol(found))
        });
        self.out.functions.push(Function {
            id: Id::default(),
            name: judged.name,
            proto,
            flags: judged.flags,
            tags_start,
            tags_len,
            symbol: symbol.unwrap_or(NONE),
            low_pc: at.map_or(0, |a| a.value),
            die: u64::from(function.die),
        });
        Ok(())
    }

    /// Name and type of a parameter as it is passed: that of the member when only this is.
    fn passed_parameter(&mut self, param: &Parameter) -> (u32, u32) {
        let Arrival::Part(at) = param.arrival else {
            return (param.name, param.reference);
        };
        let Some((name, reference)) = self.types.member_at(self.strings, param.reference, at)
        else {
            return (param.name, param.reference);
        };
        let full = [self.strings.get(param.name), self.strings.get(name)].join(&b"__"[..]);
        (self.strings.add(&full), reference)
    }

    /// A variable candidate: a definition with an address. Where it completes a declaration, the
    /// declaration has the name, and the type unless the definition gives a more complete one.
    fn write_variable(&mut self, v: usize, word: u8) {
        let variable = &self.raw.variables[v];
        let Some(address) = variable.address else {
            return;
        };
        let declared = match variable.specification {
            0 => None,
            die => self
                .raw
                .variables
                .binary_search_by_key(&die, |d| d.die)
                .ok()
                .map(|i| &self.raw.variables[i]),
        };
        if (variable.declaration && declared.is_none()) || variable.artificial {
            return;
        }
        let source = declared.unwrap_or(variable);
        let reference = match variable.reference {
            0 => source.reference,
            own => own,
        };
        let name = if source.name != 0 {
            source.name
        } else {
            variable.name
        };
        let external = source.external;
        let tags_of = match declared {
            Some(_) => self
                .raw
                .variables
                .binary_search_by_key(&variable.specification, |d| d.die)
                .unwrap_or(v),
            None => v,
        };
        let (tags_start, tags_len) = self.tags(Tagged::Variable(tags_of as u32));
        let symbols: &SymbolIndex<'_> = self.raw.source.symbols();
        let placed = address.target.and_then(|target| {
            let (found, offset) = variables::symbol(symbols, target, self.strings.get(name))?;
            Some((self.symbol(found), offset))
        });
        let (symbol, address) = placed.unwrap_or((NONE, address.value));
        self.out.variables.push(Variable {
            name,
            type_id: self.id(reference),
            flags: if external {
                variable_flags::EXTERNAL
            } else {
                0
            },
            tags_start,
            tags_len,
            symbol,
            size: self.types.size(reference, word),
            address,
            die: u64::from(variable.die),
        });
    }

    fn tags(&mut self, on: Tagged) -> (u32, u32) {
        let start = self.out.tags.len() as u32;
        let own = self.raw.tags.iter().filter(|t| t.on == on);
        self.out.tags.extend(own.map(|t| DeclTag {
            value: t.value,
            component: t.component,
        }));
        (start, self.out.tags.len() as u32 - start)
    }

    /// Keep a symbol of the object; its index among those kept.
    fn symbol(&mut self, index: u32) -> u32 {
        let all = self.raw.source.symbols();
        let kept = all.kept(index, |text| self.strings.add(text));
        self.out.symbols.push(kept);
        self.out.symbols.len() as u32 - 1
    }
}

#[cfg(test)]
mod tests {
    use gimli::constants as dw;
    use gimli::write::{AttributeValue, UnitEntryId};

    use crate::encode::sample::{number, of, Program};
    use crate::encode::{encode_object, Encoder, Known, Source};
    use crate::object::sample::lines_of;
    use crate::support::files::Mapped;

    fn array(p: &mut Program, element: UnitEntryId) -> UnitEntryId {
        let array = p.add(dw::DW_TAG_array_type, "", &[(dw::DW_AT_type, of(element))]);
        p.below(
            array,
            dw::DW_TAG_subrange_type,
            "",
            &[(dw::DW_AT_upper_bound, number(3))],
        );
        array
    }

    #[test]
    fn an_array_without_an_int_gets_one_that_counts_for_it_alone() {
        let mut p = Program::c();
        let char = p.base("char", dw::DW_ATE_signed_char, 1);
        array(&mut p, char);
        let encoded = p.encoded().expect("sound");
        assert_eq!(
            lines_of(&encoded.view()),
            ["INT char", "ARRAY #1 #3", "INT int"]
        );
        assert_eq!(
            (encoded.units[0].types_end, encoded.units[0].protos_end),
            (2, 3)
        );
        let mut p = Program::c();
        let int = p.int();
        array(&mut p, int);
        let lines = lines_of(&p.encoded().expect("sound").view());
        assert_eq!(lines, ["INT int", "ARRAY #1 #1"]);
    }

    #[test]
    fn what_is_no_type_of_btf_is_what_it_leads_to() {
        let mut p = Program::c();
        let int = p.int();
        let atomic = p.add(dw::DW_TAG_atomic_type, "", &[(dw::DW_AT_type, of(int))]);
        p.add(dw::DW_TAG_pointer_type, "", &[(dw::DW_AT_type, of(atomic))]);
        let nothing = p.add(dw::DW_TAG_unspecified_type, "decltype(nullptr)", &[]);
        p.add(dw::DW_TAG_const_type, "", &[(dw::DW_AT_type, of(nothing))]);
        let lines = lines_of(&p.encoded().expect("sound").view());
        assert_eq!(lines, ["INT int", "PTR #1", "CONST #0"]);
    }

    #[test]
    fn enumerations_are_as_wide_as_their_values_need() {
        let mut p = Program::c();
        for (name, size, value) in [("narrow", 4, -1), ("wide", 8, i64::MAX)] {
            let all = p.add(
                dw::DW_TAG_enumeration_type,
                name,
                &[(dw::DW_AT_byte_size, number(size))],
            );
            let value = (dw::DW_AT_const_value, AttributeValue::Sdata(value));
            p.below(all, dw::DW_TAG_enumerator, "one", &[value]);
        }
        let encoded = p.encoded().expect("sound");
        let view = encoded.view();
        assert_eq!(lines_of(&view), ["ENUM narrow one", "ENUM64 wide one"]);
        assert_eq!(view.type_words(1)[4], u32::MAX);
        assert_eq!(view.type_words(2)[4..], [u32::MAX, i32::MAX as u32]);
    }

    #[test]
    fn a_function_that_is_only_declared_is_no_candidate() {
        let mut p = Program::c();
        let int = p.int();
        let declared = [(dw::DW_AT_declaration, AttributeValue::FlagPresent)];
        p.add(dw::DW_TAG_subprogram, "declared", &declared);
        let f = p.add(
            dw::DW_TAG_subprogram,
            "defined",
            &[(dw::DW_AT_type, of(int))],
        );
        p.below(f, dw::DW_TAG_unspecified_parameters, "", &[]);
        let encoded = p.encoded().expect("sound");
        let view = encoded.view();
        let names: Vec<_> = view.functions.iter().map(|f| view.string(f.name)).collect();
        assert_eq!(names, [b"defined"]);
        assert_eq!(lines_of(&view), ["INT int", "FUNC_PROTO #1 #0"]);
    }

    #[test]
    fn a_unit_that_comes_again_has_nothing_fresh_and_the_same_identities() {
        let mut p = Program::c();
        let int = p.int();
        let s = p.structure("s", 16);
        let elements = array(&mut p, int);
        p.member(s, "m", elements, 0);
        let f = p.add(dw::DW_TAG_subprogram, "f", &[(dw::DW_AT_type, of(int))]);
        let pointer = p.add(dw::DW_TAG_pointer_type, "", &[(dw::DW_AT_type, of(s))]);
        p.below(
            f,
            dw::DW_TAG_formal_parameter,
            "x",
            &[(dw::DW_AT_type, of(pointer))],
        );
        let mapped = Mapped::of(p.elf());
        let elf = crate::elf::Elf::parse(&mapped).expect("sound");
        let alone = encode_object(&elf, false)
            .expect("sound")
            .expect("has types");
        let dwarf = crate::dwarf::Dwarf::load(&elf).expect("sound");
        let source = Source::new(&elf, &dwarf).expect("sound");
        let units = dwarf.units().expect("sound");
        let (mut encoder, mut known) = (Encoder::new(&source), Known::default());
        for fresh in [4, 0] {
            let (encoded, sifted) = encoder.encode_more(&units, &mut known, &[]).expect("sound");
            let ids: Vec<_> = sifted
                .numbers
                .iter()
                .map(|&n| known.numbered.id(n))
                .collect();
            assert_eq!((ids, sifted.fresh.len()), (alone.ids.clone(), fresh));
            assert_eq!(encoded.functions[0].id, alone.functions[0].id);
        }
    }
}
