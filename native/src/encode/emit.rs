// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! From raw records to BTF words: resolve references, give local ids.

use std::cell::RefCell;
use std::collections::HashMap;

use super::functions::{self, Judged, Judgement, Parameter};
use super::raw::{BitPlace, DieIndex, Member, Raw, Strings, Tagged, Type};
use super::signature::Arrival;
use super::{variables, SymbolIndex};
use crate::btf::{self, Kind};
use crate::encoded::{
    function_flags, variable_flags, DeclTag, Encoded, Function, Id, Symbol, Unit, Variable, NONE,
};
use crate::error::{Error, Result};
use gimli::constants as dw;

/// The types of an object by DIE, for questions about layout.
pub struct Types<'r> {
    raw: &'r Raw<'r>,
    index: DieIndex,
    /// Alignment of the aggregates that were asked for: structs within structs are met often.
    alignments: RefCell<HashMap<u32, u64>>,
}

/// How many typedefs, qualifiers and arrays may stand before a type.
const CHAIN: usize = 64;

impl<'r> Types<'r> {
    fn new(raw: &'r Raw<'r>) -> Self {
        Types {
            raw,
            index: DieIndex::new(raw.types.iter().map(|t| t.die)),
            alignments: RefCell::default(),
        }
    }

    /// The record that a reference means; `None` for void and for DIEs that are no type.
    fn find(&self, reference: u32) -> Option<usize> {
        let mut reference = reference;
        for _ in 0..CHAIN {
            if reference == 0 {
                return None;
            }
            let i = self.index.find(reference)? as usize;
            match self.raw.types[i].kind {
                Some(_) => return Some(i),
                None => reference = self.raw.types[i].reference,
            }
        }
        None
    }

    fn get(&self, reference: u32) -> Option<&Type> {
        self.find(reference).map(|i| &self.raw.types[i])
    }

    fn strip(&self, reference: u32, through: impl Fn(Option<Kind>) -> bool) -> Option<&Type> {
        let mut at = self.get(reference)?;
        for _ in 0..CHAIN {
            if !through(at.kind) {
                return Some(at);
            }
            at = self.get(at.reference)?;
        }
        None
    }

    /// A struct, perhaps behind a typedef or const: passed by value.
    pub fn is_struct(&self, reference: u32) -> bool {
        self.strip(reference, functions::strips_to_struct)
            .is_some_and(|t| t.kind == Some(Kind::Struct))
    }

    /// Name and type of the member of a struct, perhaps behind a typedef or const, at an offset in
    /// bytes; `None` for a member without a name.
    pub fn member_at(&self, reference: u32, offset: u64) -> Option<(u32, u32)> {
        let t = self.strip(reference, functions::strips_to_struct)?;
        let found = |m: &&Member| m.name != 0 && self.bit_offset(m) == offset * 8;
        let member = self.members(t).iter().find(found)?;
        Some((member.name, member.reference))
    }

    /// Kind of a parameter's type behind typedefs and qualifiers, and its size: of a pointer the
    /// word, of nothing 0.
    pub fn parameter_shape(&self, reference: u32, word: u8) -> (u64, Option<Kind>) {
        let through = |k| {
            matches!(
                k,
                Some(Kind::Typedef | Kind::Const | Kind::Volatile | Kind::Restrict)
            )
        };
        match self.strip(reference, through) {
            Some(t) if t.kind == Some(Kind::Ptr) => (u64::from(word), t.kind),
            Some(t) => (t.size, t.kind),
            None => (0, None),
        }
    }

    /// Size of a whole object of this type; arrays count their elements.
    pub fn size(&self, reference: u32, word: u8) -> u64 {
        let mut count = 1u64;
        let mut at = reference;
        for _ in 0..CHAIN {
            let Some(t) = self.get(at) else { return 0 };
            match t.kind {
                Some(Kind::Ptr) => return count.saturating_mul(u64::from(word)),
                Some(Kind::Array) => {
                    count = count.saturating_mul(u64::from(t.extra));
                    at = t.reference;
                }
                Some(Kind::Typedef | Kind::Const | Kind::Volatile | Kind::Restrict) => {
                    at = t.reference
                }
                Some(Kind::FuncProto | Kind::Fwd) => return 0,
                _ => return count.saturating_mul(t.size),
            }
        }
        0
    }

    fn alignment(&self, reference: u32, depth: usize) -> u64 {
        let through = |k| {
            matches!(
                k,
                Some(Kind::Typedef | Kind::Const | Kind::Volatile | Kind::Restrict | Kind::Array)
            )
        };
        let Some(t) = self.strip(reference, through) else {
            return 1;
        };
        match t.kind {
            Some(Kind::Ptr) => u64::from(self.raw.source.target.address_size),
            Some(Kind::Struct | Kind::Union) if depth < CHAIN => {
                if let Some(&known) = self.alignments.borrow().get(&t.die) {
                    return known;
                }
                let widest = self
                    .members(t)
                    .iter()
                    .map(|m| self.alignment(m.reference, depth + 1))
                    .max()
                    .unwrap_or(1);
                self.alignments.borrow_mut().insert(t.die, widest);
                widest
            }
            Some(Kind::Int | Kind::Float | Kind::Enum) => t.size.max(1),
            _ => 1,
        }
    }

    fn members(&self, t: &Type) -> &[Member] {
        &self.raw.members[t.start as usize..(t.start + t.len) as usize]
    }

    /// Is a named struct packed, as far as its layout shows: no holes and no padding, and a
    /// member or the whole size that its alignment does not divide.
    pub fn is_packed_struct(&self, reference: u32) -> bool {
        let Some(t) = self.get(reference) else {
            return false;
        };
        if t.kind != Some(Kind::Struct) || t.name == 0 {
            return false;
        }
        let word = self.raw.source.target.address_size as u8;
        let mut end = 0;
        let mut widest = 1;
        let mut misaligned = false;
        for m in self.members(t) {
            let bit = self.bit_offset(m);
            let bits = match m.bit_size {
                0 => self.size(m.reference, word).saturating_mul(8),
                bits => u64::from(bits),
            };
            if bit > end {
                return false;
            }
            end = end.max(bit.saturating_add(bits));
            let alignment = self.alignment(m.reference, 0);
            widest = widest.max(alignment);
            misaligned |= m.bit_size == 0 && !(bit / 8).is_multiple_of(alignment);
        }
        end == t.size.saturating_mul(8) && (misaligned || t.size % widest != 0)
    }

    /// Offset of a member in bits. Before DWARF 5 a bit-field counts from the most significant
    /// end of its storage unit (DWARF 4, section 5.5.6), which lies last on little endian.
    fn bit_offset(&self, member: &Member) -> u64 {
        match member.bits {
            BitPlace::Bit(bit) => bit,
            BitPlace::Storage {
                byte,
                storage,
                offset,
            } => {
                let start = u64::from(byte) * 8;
                if self.raw.source.target.big_endian != 0 {
                    return start.wrapping_add(i64::from(offset) as u64);
                }
                let word = self.raw.source.target.address_size as u8;
                let storage = match storage {
                    0 => self.size(member.reference, word),
                    given => u64::from(given),
                };
                start
                    .wrapping_add(storage.wrapping_mul(8))
                    .wrapping_sub(i64::from(offset) as u64)
                    .wrapping_sub(u64::from(member.bit_size))
            }
        }
    }
}

struct Emit<'r> {
    raw: &'r Raw<'r>,
    types: Types<'r>,
    /// Local id of each raw type.
    ids: Vec<u32>,
    /// Local id of an `int` that no unit has, or 0.
    own_int: u32,
    strings: &'r mut Strings,
    out: Encoded,
}

/// The result is without strings, which are in `raw.strings`, and without identities.
pub fn emit(raw: &mut Raw<'_>) -> Result<Encoded> {
    resolve_gnu_annotations(raw);
    let mut strings = std::mem::take(&mut raw.strings);
    let result = emit_with(raw, &mut strings);
    raw.strings = strings;
    result
}

fn emit_with(raw: &Raw<'_>, strings: &mut Strings) -> Result<Encoded> {
    let types = Types::new(raw);
    let judgement = functions::judge(raw, &types);
    let mut emit = Emit {
        ids: vec![0; raw.types.len()],
        own_int: 0,
        strings,
        out: Encoded::new(raw.source.target),
        types,
        raw,
    };
    emit.reserve();
    emit.number(&judgement);
    emit.write(&judgement)?;
    Ok(emit.out)
}

/// Follow the chains of GNU annotations: tags on pointers are type tags in order of the chain,
/// all others are declaration tags.
fn resolve_gnu_annotations(raw: &mut Raw<'_>) {
    for (on, component, first) in std::mem::take(&mut raw.gnu_tags) {
        let mut next = first;
        let start = raw.type_tags.len() as u32;
        for _ in 0..CHAIN {
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
                _ if annotation.is_decl_tag => raw.tags.push(super::raw::Tag {
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
    /// Room for about what will be written.
    fn reserve(&mut self) {
        let raw = self.raw;
        let types = raw.types.len() + raw.functions.len();
        let details = 3 * (raw.members.len() + raw.enumerators.len()) + 2 * raw.params.len();
        self.out.words.reserve(3 * types + details);
        self.out.starts.reserve(types);
        self.out.functions.reserve(raw.functions.len());
    }

    /// Local ids: of each unit its types (a pointer is followed by its type tags), the
    /// declaration tags on them, then the prototypes of its function candidates. An `int` that no
    /// unit mentions comes with the prototypes of the first: it counts where an array refers to it.
    fn number(&mut self, judgement: &Judgement) {
        let mut next = 1;
        let mut starts = (0, 0);
        let needs_int = self.needs_own_int();
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
            if needs_int && u == 0 {
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
    fn type_tags_of(&self, unit: usize) -> impl Iterator<Item = (u32, &super::raw::Tag)> + '_ {
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

    fn int_type(&self) -> Option<u32> {
        let named_int = |t: &Type| t.kind == Some(Kind::Int) && self.strings.get(t.name) == b"int";
        let i = self.raw.types.iter().position(named_int)?;
        Some(self.ids[i])
    }

    /// Arrays need an index type; BTF always takes `int`, which an object may not mention.
    fn needs_own_int(&self) -> bool {
        let types = &self.raw.types;
        types.iter().any(|t| t.kind == Some(Kind::Array))
            && !types
                .iter()
                .any(|t| t.kind == Some(Kind::Int) && self.strings.get(t.name) == b"int")
    }

    #[inline]
    fn id(&self, reference: u32) -> u32 {
        let found = self.types.index.find(reference);
        found.map_or(0, |i| self.ids[i as usize])
    }

    fn push(&mut self, words: &[u32]) {
        self.out.words.extend_from_slice(words);
        self.out.starts.push(self.out.words.len() as u32);
    }

    fn next_id(&self) -> u32 {
        self.out.starts.len() as u32
    }

    fn write(&mut self, judgement: &Judgement) -> Result<()> {
        let index_type = match self.own_int {
            0 => self.int_type().unwrap_or(0),
            own => own,
        };
        let mut starts = (0u32, 0u32, 0u32);
        for u in 0..self.raw.units.len() {
            let facts = self.raw.units[u];
            for i in starts.0..facts.types_end {
                self.write_type(i as usize, index_type)
                    .map_err(|e| e.at(format!("DIE {:#x}", self.raw.types[i as usize].die)))?;
            }
            let tags: Vec<[u32; 4]> = self
                .type_tags_of(u)
                .map(|(i, tag)| {
                    [
                        tag.value,
                        btf::info(Kind::DeclTag, 0, false),
                        self.ids[i as usize],
                        tag.component as u32,
                    ]
                })
                .collect();
            for words in tags {
                self.push(&words);
            }
            let types_end = self.next_id() - 1;
            if self.own_int == self.next_id() {
                let int = self.strings.add(b"int");
                self.push(&[
                    int,
                    btf::info(Kind::Int, 0, false),
                    4,
                    btf::int_encoding::SIGNED << 24 | 32,
                ]);
            }
            for f in starts.1..facts.functions_end {
                self.write_function(f as usize, &judgement.functions[f as usize], judgement)?;
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
            });
            starts = (facts.types_end, facts.functions_end, facts.variables_end);
        }
        Ok(())
    }

    fn write_type(&mut self, i: usize, index_type: u32) -> Result<()> {
        let t = self.raw.types[i];
        let Some(kind) = t.kind else { return Ok(()) };
        debug_assert_eq!(self.ids[i], self.next_id());
        let size =
            u32::try_from(t.size).map_err(|_| Error::new(format!("type of {} bytes", t.size)))?;
        let plain = |kind, vlen| btf::info(kind, vlen, false);
        match kind {
            Kind::Int => self.write_int(&t, size)?,
            Kind::Float => self.write_float(&t, size)?,
            Kind::Ptr => self.write_pointer(&t),
            Kind::Typedef if t.name == 0 => return Err(Error::new("typedef without a name")),
            Kind::Const | Kind::Volatile | Kind::Restrict => {
                let words = [0, plain(kind, 0), self.id(t.reference)];
                self.push(&words);
            }
            Kind::Typedef => {
                let words = [t.name, plain(kind, 0), self.id(t.reference)];
                self.push(&words);
            }
            Kind::Fwd => {
                if t.name == 0 {
                    return Err(Error::new(
                        "declaration of a struct or union without a name",
                    ));
                }
                self.push(&[t.name, btf::info(Kind::Fwd, 0, t.extra != 0), 0]);
            }
            Kind::Array => {
                let words = [
                    0,
                    plain(kind, 0),
                    0,
                    self.id(t.reference),
                    index_type,
                    t.extra,
                ];
                self.push(&words);
            }
            Kind::Struct | Kind::Union => self.write_aggregate(&t, kind, size)?,
            Kind::Enum => self.write_enum(&t, size)?,
            _ => {
                let vlen = t.len + t.extra;
                check_vlen(vlen)?;
                self.out
                    .words
                    .extend([0, plain(Kind::FuncProto, vlen), self.id(t.reference)]);
                for p in t.start..t.start + t.len {
                    let param = self.raw.params[p as usize];
                    self.out
                        .words
                        .extend([param.name, self.id(param.reference)]);
                }
                if t.extra != 0 {
                    self.out.words.extend([0, 0]);
                }
                self.push(&[]);
            }
        }
        Ok(())
    }

    /// INT: CHAR is never set, as in all BTF of kernels. Widths that BTF cannot have (24 bits of
    /// clang, 80-bit numbers) become a placeholder of four bytes.
    fn write_int(&mut self, t: &Type, size: u32) -> Result<()> {
        if t.name == 0 {
            return Err(Error::new("base type without a name"));
        }
        let encoding = match gimli::DwAte(t.extra as u8) {
            dw::DW_ATE_signed | dw::DW_ATE_signed_char => btf::int_encoding::SIGNED,
            dw::DW_ATE_boolean => btf::int_encoding::BOOL,
            _ => 0,
        };
        let (name, size) = if size.is_power_of_two() && size <= 16 {
            (t.name, size)
        } else {
            (self.strings.add(b"__SANITIZED_FAKE_INT__"), 4)
        };
        self.push(&[
            name,
            btf::info(Kind::Int, 0, false),
            size,
            (encoding << 24) | (size * 8),
        ]);
        Ok(())
    }

    fn write_float(&mut self, t: &Type, size: u32) -> Result<()> {
        if t.name == 0 {
            return Err(Error::new("base type without a name"));
        }
        if !matches!(size, 2 | 4 | 8 | 12 | 16) {
            return Err(Error::new(format!("floating point type of {size} bytes")));
        }
        self.push(&[t.name, btf::info(Kind::Float, 0, false), size]);
        Ok(())
    }

    /// PTR, followed by its type tags; each refers to the next, the last to the pointee.
    fn write_pointer(&mut self, t: &Type) {
        let pointee = self.id(t.reference);
        let first = self.next_id() + 1;
        let link = |i: u32| if i == t.len { pointee } else { first + i };
        let start = t.start as usize;
        self.push(&[0, btf::info(Kind::Ptr, 0, false), link(0)]);
        for (i, &tag) in (1..).zip(&self.raw.type_tags[start..start + t.len as usize]) {
            self.push(&[tag, btf::info(Kind::TypeTag, 0, false), link(i)]);
        }
    }

    fn write_aggregate(&mut self, t: &Type, kind: Kind, size: u32) -> Result<()> {
        check_vlen(t.len)?;
        let members = t.start as usize..(t.start + t.len) as usize;
        let members = &self.raw.members[members];
        let mut kind_flag = false;
        let start = self.out.words.len();
        self.out
            .words
            .extend([t.name, btf::info(kind, t.len, false), size]);
        for m in members {
            let bit = self.types.bit_offset(m);
            let offset = u32::try_from(bit).map_err(|_| {
                Error::new(format!("member at bit {bit}")).at(format!("DIE {:#x}", m.die))
            })?;
            kind_flag |= m.bit_size != 0 || offset % 8 != 0;
            let words = [m.name, self.id(m.reference), offset];
            self.out.words.extend_from_slice(&words);
        }
        if kind_flag {
            let words = &mut self.out.words[start..];
            words[1] |= btf::KIND_FLAG;
            for (m, words) in members.iter().zip(words[3..].chunks_exact_mut(3)) {
                if words[2] > 0xff_ffff || m.bit_size > 255 {
                    return Err(Error::new(
                        "BTF cannot place this member: 24 bits of offset, 8 bits of size in a struct with bit-fields",
                    )
                    .at(format!("DIE {:#x}", m.die)));
                }
                words[2] |= m.bit_size << 24;
            }
        }
        self.push(&[]);
        Ok(())
    }

    /// ENUM up to four bytes: signed when a value is negative. ENUM64: signed when its type is.
    fn write_enum(&mut self, t: &Type, size: u32) -> Result<()> {
        check_vlen(t.len)?;
        if !size.is_power_of_two() || size > 8 {
            return Err(Error::new(format!("enumeration of {size} bytes")));
        }
        let range = t.start as usize..(t.start + t.len) as usize;
        let enumerators = &self.raw.enumerators[range];
        if enumerators.iter().any(|e| e.name == 0) {
            return Err(Error::new("enumerator without a name"));
        }
        if size <= 4 {
            let signed = enumerators.iter().any(|e| e.value < 0);
            self.out
                .words
                .extend([t.name, btf::info(Kind::Enum, t.len, signed), size]);
            for e in enumerators {
                if e.value < i64::from(i32::MIN) || e.value > i64::from(u32::MAX) {
                    return Err(Error::new(format!(
                        "enumerator of {} in {size} bytes",
                        e.value
                    )));
                }
                self.out.words.extend([e.name, e.value as u32]);
            }
        } else {
            let signed = self.types.get(t.reference).is_some_and(|base| {
                base.kind == Some(Kind::Int)
                    && matches!(
                        gimli::DwAte(base.extra as u8),
                        dw::DW_ATE_signed | dw::DW_ATE_signed_char
                    )
            });
            self.out
                .words
                .extend([t.name, btf::info(Kind::Enum64, t.len, signed), size]);
            for e in enumerators {
                self.out
                    .words
                    .extend([e.name, e.value as u32, (e.value >> 32) as u32]);
            }
        }
        self.push(&[]);
        Ok(())
    }

    fn write_function(&mut self, f: usize, judged: &Judged, judgement: &Judgement) -> Result<()> {
        if !judged.candidate {
            return Ok(());
        }
        let function = &self.raw.functions[f];
        let at_die = |e: Error| e.at(format!("DIE {:#x}", function.die));
        let proto = self.next_id();
        let written: Vec<(u32, u32)> = judgement
            .as_written(judged)
            .map(|p| (p.name, p.reference))
            .collect();
        self.write_prototype(function.variadic, judged.reference, &written)
            .map_err(at_die)?;
        if judged.flags & function_flags::SIGNATURE_CHANGED != 0 {
            let passed: Vec<(u32, u32)> = judgement
                .as_passed(judged)
                .map(|p| self.passed_parameter(p))
                .collect();
            self.write_prototype(function.variadic, judged.reference, &passed)
                .map_err(at_die)?;
        }
        let (tags_start, tags_len) = self.tags(Tagged::Function(f as u32));
        let symbols = &self.raw.source.symbols;
        let symbol = function.low_pc.and_then(|a| a.target).and_then(|target| {
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
            low_pc: function.low_pc.map_or(0, |a| a.value),
            die: u64::from(function.die),
        });
        Ok(())
    }

    /// FUNC_PROTO of some parameters, each a name and a reference.
    fn write_prototype(
        &mut self,
        variadic: bool,
        result: u32,
        params: &[(u32, u32)],
    ) -> Result<()> {
        let vlen = params.len() as u32 + u32::from(variadic);
        check_vlen(vlen)?;
        self.out
            .words
            .extend([0, btf::info(Kind::FuncProto, vlen, false), self.id(result)]);
        for &(name, reference) in params {
            self.out.words.extend([name, self.id(reference)]);
        }
        if variadic {
            self.out.words.extend([0, 0]);
        }
        self.push(&[]);
        Ok(())
    }

    /// Name and type of a parameter as it is passed: that of the member when only this is.
    fn passed_parameter(&mut self, param: &Parameter) -> (u32, u32) {
        let Arrival::Part(at) = param.arrival else {
            return (param.name, param.reference);
        };
        let Some((name, reference)) = self.types.member_at(param.reference, at) else {
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
        let symbols: &SymbolIndex<'_> = &self.raw.source.symbols;
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
        let all = &self.raw.source.symbols;
        let symbol = &all.symbols[index as usize];
        let section = all
            .sections
            .get(symbol.section as usize)
            .copied()
            .unwrap_or(b"");
        let whole = all.moves_whole.get(symbol.section as usize);
        let whole = whole.copied().unwrap_or(true);
        let kept = Symbol {
            name: self.strings.add(symbol.name),
            section: self.strings.add(section),
            file: self.strings.add(all.files[index as usize]),
            kind: Symbol::kind_word(symbol.kind, symbol.binding, whole),
            value: symbol.value,
            size: symbol.size,
        };
        self.out.symbols.push(kept);
        self.out.symbols.len() as u32 - 1
    }
}

fn check_vlen(vlen: u32) -> Result<()> {
    if vlen as usize > btf::MAX_VLEN {
        return Err(Error::new(format!(
            "{vlen} members, BTF can hold {}",
            btf::MAX_VLEN
        )));
    }
    Ok(())
}
