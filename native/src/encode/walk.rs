// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! One pass over the DIEs of a unit.
//!
//! Types count wherever they stand, also inside functions and blocks; parameters count below
//! their function or function type only, variables directly below the unit only.

use std::ops::Range;

use gimli::constants as dw;
use gimli::DwTag;

use super::producer;
use super::ranges;
use super::records::{
    end_of_storage, Annotation, Code, Dies, Enumerator, Frame, Function, Member, Open, Param, Raw,
    Tag, Tagged, Type, UnitFacts, Unplaced, Variable, What,
};
use crate::btf::{is_width_of_int, Kind};
use crate::dwarf::cursor::Cursor;
use crate::dwarf::{
    number_of, Abbrevs, Attr, Attrs, Decoder, Malformed, Reader, Role, Shape, Tables, Value,
    TAG_GNU_ANNOTATION, TAG_LLVM_ANNOTATION,
};
use crate::object::{languages, sparse, LANG_ASM};
use crate::support::error::{Error, Result};

struct Walk<'r, 's> {
    raw: &'r mut Raw<'s>,
    unit: UnitFacts,
    open: Open,
    /// Name of the unit.
    name: Option<Value>,
    /// Some function says where it is declared, which line tables alone do without.
    declared: bool,
    /// Where the unit is.
    span: Range<u32>,
    die: u32,
}

/// What a DIE says: three attributes that most have, and the others, if there are any.
struct Die<'a> {
    name: u32,
    /// `DW_AT_type`
    reference: u32,
    /// See `dwarf::number_of`.
    number: Option<u64>,
    others: Option<&'a Attrs<'a>>,
}

impl Die<'_> {
    #[inline]
    fn get(&self, attr: Attr) -> Option<Value> {
        self.others.and_then(|attrs| attrs.get(attr))
    }

    #[inline]
    fn constant(&self, attr: Attr) -> Option<u64> {
        self.others.and_then(|attrs| attrs.constant(attr))
    }

    #[inline]
    fn flag(&self, attr: Attr) -> bool {
        self.others.is_some_and(|attrs| attrs.flag(attr))
    }
}

/// Read a unit. `refused`: it is known already that BTF cannot hold it, and why. Where that is no
/// failure, by the language, the unit has nothing then but the reason.
pub fn walk(
    raw: &mut Raw<'_>,
    header: &gimli::UnitHeader<Reader<'_>>,
    refused: Option<&Error>,
    may_be_refused: impl Fn(u32) -> bool,
) -> Result<()> {
    let dwarf = raw.source.dwarf;
    let offset = header
        .debug_info_offset()
        .map_or(0, |o: gimli::DebugInfoOffset<usize>| o.0);
    let at_unit = |what: &str| Error::new(what.to_owned()).at(format!("unit {offset:#x}"));
    if !matches!(header.address_size(), 4 | 8) {
        return Err(at_unit(&format!("address size {}", header.address_size())));
    }
    let shape = Shape::of(header);
    let table = header.debug_abbrev_offset().0 as u64;
    let mut tables = raw.tables.take().unwrap_or_else(|| Tables::new(shape));
    let abbrevs = tables
        .get(dwarf, table, shape)
        .map_err(|e| at_unit(&e.to_string()))?;
    let decoder = Decoder {
        shape,
        unit: offset as u64,
    };
    let mut unit = UnitFacts::new(header);
    let Dies { start, end, .. } = unit.dies;
    if let Some(skeleton) = &raw.source.skeleton {
        skeleton.tell(&mut unit);
    }
    let mark = raw.mark();
    let types = raw.types.len();
    let mut walk = Walk {
        unit,
        open: std::mem::take(&mut raw.open),
        name: None,
        declared: false,
        span: offset as u32..end as u32,
        raw,
        die: 0,
    };
    let cursor = Cursor::new(&dwarf.info.data, start, dwarf.big()).until(end);
    let done = walk.run(cursor, decoder, abbrevs);
    let done = done.map_err(|e| e.at(format!("DIE {:#x}", walk.die)));
    let code = walk.unit.code;
    let lines_only = (code.low.is_some() || code.ranges.is_some()) && !walk.declared;
    let (mut facts, mut open, name) = (walk.unit, walk.open, walk.name);
    // clang does not say in the unit what it was told, but it shows.
    if facts.clang && lines_only && raw.types.len() == types && is_compiled_c(facts.language) {
        facts.sparse = sparse::NO_TYPES;
    }
    if facts.sparse != 0 {
        facts.name = raw.string(&facts, name)?;
    }
    if let Some(error) = refused.or(done.as_ref().err()) {
        if !may_be_refused(facts.language) {
            return done;
        }
        open = Open::default();
        raw.back_to(&mark);
        facts.refused = raw.refuse(&facts, name, error);
    }
    raw.open = open;
    raw.tables = Some(tables);
    facts.types_end = raw.types.len() as u32;
    facts.functions_end = raw.functions.len() as u32;
    facts.variables_end = raw.variables.len() as u32;
    facts.tags_end = raw.tags.len() as u32;
    raw.units.push(facts);
    Ok(())
}

fn is_compiled_c(language: u32) -> bool {
    languages::is_c(language) && language != LANG_ASM
}

fn die_offset(bits: u64) -> Result<u32> {
    u32::try_from(bits)
        .map_err(|_| Error::new(format!("reference to {bits:#x} outside .debug_info")))
}

fn truncated() -> Error {
    Error::new("the unit ends inside a DIE")
}

/// A reference as offset into `.debug_info`; 0 for none.
fn reference(value: Option<Value>) -> Result<u32> {
    let Some(value) = value else {
        return Ok(0);
    };
    match value.form() {
        dw::DW_FORM_ref_sig8 => {
            Err(Error::new("type units are not supported")
                .hint("build without -fdebug-types-section"))
        }
        dw::DW_FORM_ref_sup4 | dw::DW_FORM_ref_sup8 | dw::DW_FORM_GNU_ref_alt => {
            Err(Error::new("reference into a supplementary file (dwz)")
                .hint("use the file before dwz"))
        }
        _ => die_offset(value.bits),
    }
}

impl Walk<'_, '_> {
    fn run(&mut self, mut at: Cursor<'_>, decoder: Decoder, abbrevs: &Abbrevs) -> Result<()> {
        let mut pieces = Vec::new();
        let malformed = |e: Malformed| Error::new(e.to_string());
        while !at.at_end() {
            self.die = at.pos as u32;
            let code = at.uleb().map_err(|_| truncated())?;
            if code == 0 {
                self.close()?;
                if self.open.stack.is_empty() {
                    break;
                }
                continue;
            }
            let abbrev = abbrevs
                .get(code)
                .ok_or_else(|| Error::new(format!("abbreviation {code} is not in the table")))?;
            let tag = abbrev.tag;
            let parent = self.open.stack.last().copied();
            let wanted = match (abbrev.role, parent.map(|p| p.what)) {
                (_, None) => true,
                (Role::Anywhere, Some(what)) => what != What::Nothing,
                (Role::Variable, Some(what)) => what == What::Unit,
                (Role::Parameter, Some(what)) => {
                    matches!(what, What::Function | What::FunctionType)
                }
                (Role::Scope | Role::Nothing, _) => false,
            };
            let frame = if let (true, true, Some(parent)) = (wanted, abbrev.is_plain, parent) {
                let plain = decoder
                    .read_plain(&abbrev.plain, &mut at)
                    .map_err(|_| truncated())?;
                let die = Die {
                    name: self.raw.string(&self.unit, plain.name)?,
                    reference: die_offset(plain.reference)?,
                    number: plain.number,
                    others: None,
                };
                self.die(tag, parent, &die)?
            } else if wanted {
                let attrs = decoder
                    .read(abbrevs, abbrev, &mut at, &mut pieces)
                    .map_err(malformed)?;
                match parent {
                    None => self.root(tag, &attrs)?,
                    Some(parent) => {
                        let name = match tag {
                            TAG_LLVM_ANNOTATION | TAG_GNU_ANNOTATION => None,
                            _ => attrs.get(Attr::Name),
                        };
                        let die = Die {
                            name: self.raw.string(&self.unit, name)?,
                            reference: reference(attrs.get(Attr::Type))?,
                            number: attrs.constant(number_of(tag)),
                            others: Some(&attrs),
                        };
                        self.die(tag, parent, &die)?
                    }
                }
            } else {
                decoder.skip(abbrevs, abbrev, &mut at).map_err(malformed)?;
                let what = match abbrev.role {
                    Role::Scope => What::Scope,
                    _ => What::Nothing,
                };
                Frame {
                    what,
                    index: 0,
                    start: 0,
                }
            };
            if abbrev.has_children {
                self.open.stack.push(frame);
                if frame.what == What::Aggregate {
                    self.plain_members(&mut at, decoder, abbrevs)?;
                }
            } else {
                if frame.what.collects() {
                    self.finish(frame);
                }
                if parent.is_none() {
                    break;
                }
            }
        }
        // A unit may end without the closing null entries.
        while !self.open.stack.is_empty() {
            self.close()?;
        }
        Ok(())
    }

    fn root(&mut self, tag: DwTag, attrs: &Attrs<'_>) -> Result<Frame> {
        self.unit.language = attrs.constant(Attr::Language).unwrap_or(0) as u32;
        if self.unit.language == u32::from(dw::DW_LANG_Mips_Assembler.0) {
            self.unit.language = LANG_ASM;
        }
        // Before DWARF 5 a skeleton looked like any other unit. What it stands for may name the file, too.
        let skeleton = self.raw.source.skeleton.is_none()
            && attrs
                .get(Attr::GnuDwoName)
                .or(attrs.get(Attr::DwoName))
                .is_some();
        match tag {
            dw::DW_TAG_compile_unit | dw::DW_TAG_type_unit if !skeleton => {}
            dw::DW_TAG_compile_unit | dw::DW_TAG_skeleton_unit => {
                return Err(Error::new(
                    "a skeleton of split DWARF where it should not be",
                ))
            }
            dw::DW_TAG_partial_unit => {
                return Err(Error::new("partial unit (dwz)").hint("use the file before dwz"))
            }
            _ => return Err(Error::new(format!("a unit starts with {tag}"))),
        }
        self.name = attrs.get(Attr::Name);
        if let Some(v) = attrs.get(Attr::StrOffsetsBase) {
            self.unit.str_offsets_base = v.bits;
        }
        if let Some(v) = attrs.get(Attr::AddrBase) {
            self.unit.addr_base = v.bits;
        }
        if let Some(v) = attrs.get(Attr::LoclistsBase) {
            self.unit.loclists_base = v.bits;
        }
        if let Some(v) = attrs.get(Attr::RnglistsBase) {
            self.unit.rnglists_base = v.bits;
        }
        if let Some(v) = attrs.get(Attr::Producer) {
            let text = self.raw.text(&self.unit, v)?;
            self.unit.clang = text.windows(5).any(|w| w == b"clang");
            if !self.unit.clang && is_compiled_c(self.unit.language) {
                self.unit.sparse = producer::sparse(text);
            }
        }
        if self.raw.source.skeleton.is_none() {
            let low = attrs.get(Attr::LowPc);
            self.unit.code = Code {
                low: low.and_then(|v| self.raw.address(&self.unit, v)),
                high: attrs.get(Attr::HighPc),
                ranges: attrs.get(Attr::Ranges),
                lists_base: self.unit.rnglists_base,
            };
        }
        Ok(Frame {
            what: What::Unit,
            index: 0,
            start: 0,
        })
    }

    /// Record a type; its DIE gets the next index.
    fn add(&mut self, kind: Option<Kind>, die: &Die<'_>) -> u32 {
        self.raw.types.push(Type {
            kind,
            extra: 0,
            name: die.name,
            size: u32::try_from(die.number.unwrap_or(0)).unwrap_or(u32::MAX),
            reference: die.reference,
            start: 0,
            len: 0,
            die: self.die,
        });
        self.raw.types.len() as u32 - 1
    }

    fn die(&mut self, tag: DwTag, parent: Frame, die: &Die<'_>) -> Result<Frame> {
        let leaf = |index| Frame {
            what: What::Nothing,
            index,
            start: 0,
        };
        Ok(match tag {
            dw::DW_TAG_base_type => {
                let index = self.add(Some(Kind::Int), die);
                let encoding = die.constant(Attr::Encoding).unwrap_or(0) as u32;
                let this = &mut self.raw.types[index as usize];
                this.extra = encoding;
                if encoding == u32::from(dw::DW_ATE_float.0) {
                    this.kind = Some(Kind::Float);
                } else if !is_width_of_int(this.size) {
                    self.raw.placeholder_name = self.raw.strings.add(b"__SANITIZED_FAKE_INT__");
                }
                leaf(index)
            }
            dw::DW_TAG_pointer_type => {
                let index = self.add(Some(Kind::Ptr), die);
                self.gnu_annotation(Tagged::Type(index), -1, die)?;
                Frame {
                    what: What::Pointer,
                    index,
                    start: self.open.type_tags.len() as u32,
                }
            }
            dw::DW_TAG_const_type => leaf(self.add(Some(Kind::Const), die)),
            dw::DW_TAG_volatile_type => leaf(self.add(Some(Kind::Volatile), die)),
            dw::DW_TAG_restrict_type => leaf(self.add(Some(Kind::Restrict), die)),
            // BTF has no word for _Atomic; the value is laid out as its type.
            dw::DW_TAG_atomic_type => leaf(self.add(None, die)),
            dw::DW_TAG_unspecified_type => {
                let index = self.add(None, die);
                self.raw.types[index as usize].reference = 0;
                leaf(index)
            }
            dw::DW_TAG_typedef => {
                let index = self.add(Some(Kind::Typedef), die);
                self.gnu_annotation(Tagged::Type(index), -1, die)?;
                Frame {
                    what: What::Typedef,
                    index,
                    start: 0,
                }
            }
            dw::DW_TAG_structure_type | dw::DW_TAG_class_type | dw::DW_TAG_union_type => {
                let union = tag == dw::DW_TAG_union_type;
                let declared = die.flag(Attr::Declaration);
                let kind = match (declared, union) {
                    (true, _) => Kind::Fwd,
                    (false, true) => Kind::Union,
                    (false, false) => Kind::Struct,
                };
                let index = self.add(Some(kind), die);
                self.raw.types[index as usize].extra = u32::from(union);
                self.gnu_annotation(Tagged::Type(index), -1, die)?;
                Frame {
                    what: What::Aggregate,
                    index,
                    start: self.open.members.len() as u32,
                }
            }
            dw::DW_TAG_enumeration_type => {
                let index = self.add(Some(Kind::Enum), die);
                if die.number.is_none() {
                    self.raw.types[index as usize].size = 4;
                }
                Frame {
                    what: What::Enum,
                    index,
                    start: self.open.enumerators.len() as u32,
                }
            }
            dw::DW_TAG_array_type => Frame {
                what: What::Array,
                index: self.add(Some(Kind::Array), die),
                start: self.open.dimensions.len() as u32,
            },
            dw::DW_TAG_subroutine_type => Frame {
                what: What::FunctionType,
                index: self.add(Some(Kind::FuncProto), die),
                start: self.open.type_params.len() as u32,
            },
            dw::DW_TAG_subrange_type => {
                if parent.what == What::Array {
                    self.open.dimensions.push(dimension(die));
                }
                leaf(0)
            }
            dw::DW_TAG_enumerator => {
                if parent.what == What::Enum {
                    self.open.enumerators.push(Enumerator {
                        name: die.name,
                        value: die.number.unwrap_or(0) as i64,
                    });
                }
                leaf(0)
            }
            dw::DW_TAG_member => {
                if parent.what != What::Aggregate {
                    return Ok(leaf(0));
                }
                let member = self.member(die)?;
                self.open.members.push(member);
                let component = (self.open.members.len() as u32 - parent.start - 1) as i32;
                self.gnu_annotation(Tagged::Type(parent.index), component, die)?;
                Frame {
                    what: What::Member,
                    index: parent.index,
                    start: component as u32,
                }
            }
            dw::DW_TAG_formal_parameter if parent.what == What::FunctionType => {
                self.open.type_params.push((die.name, die.reference));
                leaf(0)
            }
            dw::DW_TAG_formal_parameter => {
                self.open.params.push(Param {
                    name: die.name,
                    reference: die.reference,
                    origin: reference(die.get(Attr::Origin))?,
                    location: die.get(Attr::Location),
                    has_const_value: die.get(Attr::ConstValue).is_some(),
                    die: self.die,
                });
                let component = self.open.params.len() as u32 - parent.start - 1;
                self.gnu_annotation(Tagged::Function(parent.index), component as i32, die)?;
                Frame {
                    what: What::Param,
                    index: parent.index,
                    start: component,
                }
            }
            dw::DW_TAG_unspecified_parameters => {
                if parent.what == What::Function {
                    self.raw.functions[parent.index as usize].variadic = true;
                } else {
                    self.raw.types[parent.index as usize].extra = 1;
                }
                leaf(0)
            }
            dw::DW_TAG_subprogram => self.subprogram(die)?,
            dw::DW_TAG_variable => self.variable(die)?,
            TAG_LLVM_ANNOTATION => {
                self.llvm_annotation(parent, die)?;
                leaf(0)
            }
            TAG_GNU_ANNOTATION => {
                self.gnu_annotation_die(die)?;
                leaf(0)
            }
            dw::DW_TAG_imported_unit => {
                return Err(Error::new("imported unit (dwz)").hint("use the file before dwz"))
            }
            dw::DW_TAG_reference_type
            | dw::DW_TAG_rvalue_reference_type
            | dw::DW_TAG_ptr_to_member_type
            | dw::DW_TAG_string_type
            | dw::DW_TAG_interface_type => {
                let language = languages::name(self.unit.language).unwrap_or("LANGUAGE");
                return Err(
                    Error::new(format!("BTF has no kind for {tag}")).hint(format!(
                        "leave such units out with --lang_exclude={language}"
                    )),
                );
            }
            // Whatever else there is: not a type, but types may stand below.
            _ => Frame {
                what: What::Scope,
                index: 0,
                start: 0,
            },
        })
    }

    /// Read members that are no bit-fields and have nothing below them: two fifths of all DIEs, so
    /// there is no detour for them. Ends before the first other DIE.
    #[inline]
    fn plain_members(
        &mut self,
        at: &mut Cursor<'_>,
        decoder: Decoder,
        abbrevs: &Abbrevs,
    ) -> Result<()> {
        loop {
            let here = at.pos;
            let member = at.uleb().ok().and_then(|code| abbrevs.get(code));
            let Some(abbrev) = member.filter(|a| a.is_plain_member) else {
                at.pos = here;
                return Ok(());
            };
            self.die = here as u32;
            let plain = decoder
                .read_plain(&abbrev.plain, at)
                .map_err(|_| truncated())?;
            let name = self.raw.member_name(&self.unit, plain.name)?;
            let place = plain.number.unwrap_or(0).wrapping_mul(8);
            let reference = die_offset(plain.reference)?;
            let member = Member::new(name, reference, Some(place), 0, self.die);
            self.open.members.push(member);
        }
    }

    fn member(&mut self, die: &Die<'_>) -> Result<Member> {
        let bit_size = die.constant(Attr::BitSize).unwrap_or(0);
        let byte = match (die.number, die.get(Attr::MemberLocation)) {
            (Some(constant), _) => constant,
            (None, Some(location)) => self.location_offset(location)?,
            (None, None) => 0,
        };
        let place = match die.constant(Attr::DataBitOffset) {
            None if bit_size != 0 => self.bit_field(die, byte, bit_size),
            None => Some(byte.wrapping_mul(8)),
            place => place,
        };
        let bit_size = bit_size.min(u64::from(u32::MAX)) as u32;
        Ok(Member::new(
            die.name,
            die.reference,
            place,
            bit_size,
            self.die,
        ))
    }

    /// Place of a bit-field as DWARF 2 to 4 tell it, if that needs no type.
    fn bit_field(&mut self, die: &Die<'_>, byte: u64, bit_size: u64) -> Option<u64> {
        let offset = die.constant(Attr::BitOffset).unwrap_or(0) as i64;
        if self.raw.source.target.big_endian != 0 {
            return Some(byte.wrapping_mul(8).wrapping_add(offset as u64));
        }
        let Some(storage) = die.constant(Attr::ByteSize).filter(|&size| size != 0) else {
            self.raw.unplaced.push(Unplaced {
                die: self.die,
                byte,
                offset,
            });
            return None;
        };
        let end = end_of_storage(byte, storage);
        Some(end.wrapping_sub(offset as u64).wrapping_sub(bit_size))
    }

    /// A member's place as a location expression: only the constant that it starts with counts.
    fn location_offset(&self, value: Value) -> Result<u64> {
        let bad = || Error::new("member location is not a constant offset");
        if !value.is_block() {
            return Err(bad());
        }
        let mut reader = self
            .raw
            .reader(value.bits, u64::from(value.len))
            .ok_or_else(bad)?;
        match gimli::Operation::parse(&mut reader, self.unit.encoding) {
            Ok(
                gimli::Operation::PlusConstant { value }
                | gimli::Operation::UnsignedConstant { value },
            ) => Ok(value),
            _ => Err(bad()),
        }
    }

    fn subprogram(&mut self, die: &Die<'_>) -> Result<Frame> {
        let low_pc = die
            .get(Attr::LowPc)
            .and_then(|v| self.raw.address(&self.unit, v))
            .or_else(|| ranges::base_address(self.raw, &self.unit, die.get(Attr::Ranges)?));
        let origin = reference(die.get(Attr::Origin))?;
        // Link-time optimisation may leave what is said of a function in another unit.
        self.declared |=
            die.get(Attr::DeclLine).is_some() || origin != 0 && !self.span.contains(&origin);
        let function = Function {
            die: self.die,
            unit: self.raw.units.len() as u32,
            name: die.name,
            reference: die.reference,
            origin,
            specification: reference(die.get(Attr::Specification))?,
            low_pc,
            has_ranges: die.get(Attr::Ranges).is_some(),
            declaration: die.flag(Attr::Declaration),
            external: die.flag(Attr::External),
            inline: die.flag(Attr::Inline),
            declared_inline: die.constant(Attr::Inline)
                == Some(u64::from(dw::DW_INL_declared_inlined.0)),
            nocall: die.constant(Attr::CallingConvention) == Some(u64::from(dw::DW_CC_nocall.0)),
            variadic: false,
            params_start: 0,
            params_len: 0,
        };
        self.raw.functions.push(function);
        let index = self.raw.functions.len() as u32 - 1;
        self.gnu_annotation(Tagged::Function(index), -1, die)?;
        Ok(Frame {
            what: What::Function,
            index,
            start: self.open.params.len() as u32,
        })
    }

    fn variable(&mut self, die: &Die<'_>) -> Result<Frame> {
        let address = die
            .get(Attr::Location)
            .and_then(|v| super::variables::address(self.raw, &self.unit, v));
        self.raw.variables.push(Variable {
            die: self.die,
            name: die.name,
            reference: die.reference,
            specification: reference(die.get(Attr::Specification))?,
            address,
            external: die.flag(Attr::External),
            declaration: die.flag(Attr::Declaration),
            artificial: die.flag(Attr::Artificial),
        });
        let index = self.raw.variables.len() as u32 - 1;
        self.gnu_annotation(Tagged::Variable(index), -1, die)?;
        Ok(Frame {
            what: What::Variable,
            index,
            start: 0,
        })
    }

    /// clang: an annotation is a child of what it annotates.
    fn llvm_annotation(&mut self, parent: Frame, die: &Die<'_>) -> Result<()> {
        let (Some(name), Some(value)) = (die.get(Attr::Name), die.get(Attr::ConstValue)) else {
            return Ok(());
        };
        let name = self.raw.text(&self.unit, name)?;
        let (on, component) = match parent.what {
            What::Pointer if name == b"btf_type_tag" => {
                let tag = self.raw.string(&self.unit, Some(value))?;
                self.open.type_tags.push(tag);
                return Ok(());
            }
            What::Aggregate | What::Typedef => (Tagged::Type(parent.index), -1),
            What::Member => (Tagged::Type(parent.index), parent.start as i32),
            What::Function => (Tagged::Function(parent.index), -1),
            What::Param => (Tagged::Function(parent.index), parent.start as i32),
            What::Variable => (Tagged::Variable(parent.index), -1),
            _ => return Ok(()),
        };
        if name == b"btf_decl_tag" {
            let value = self.raw.string(&self.unit, Some(value))?;
            self.raw.tags.push(Tag {
                on,
                component,
                value,
            });
        }
        Ok(())
    }

    /// gcc: what is annotated refers to a chain of annotation DIEs.
    #[inline]
    fn gnu_annotation(&mut self, on: Tagged, component: i32, die: &Die<'_>) -> Result<()> {
        if let Some(first) = die.get(Attr::GnuAnnotation) {
            let first = reference(Some(first))?;
            self.raw.gnu_tags.push((on, component, first));
        }
        Ok(())
    }

    fn gnu_annotation_die(&mut self, die: &Die<'_>) -> Result<()> {
        let (Some(name), Some(value)) = (die.get(Attr::Name), die.get(Attr::ConstValue)) else {
            return Ok(());
        };
        let name = self.raw.text(&self.unit, name)?;
        let annotation = Annotation {
            is_type_tag: name == b"btf_type_tag",
            is_decl_tag: name == b"btf_decl_tag",
            value: self.raw.string(&self.unit, Some(value))?,
            next: reference(die.get(Attr::GnuAnnotation))?,
        };
        self.raw.annotations.insert(self.die, annotation);
        Ok(())
    }

    /// Leave the innermost open DIE.
    fn close(&mut self) -> Result<()> {
        let Some(frame) = self.open.stack.pop() else {
            return Err(Error::new("a null entry where a DIE should be"));
        };
        self.finish(frame);
        Ok(())
    }

    /// A DIE ends; what its children collected becomes its own.
    fn finish(&mut self, frame: Frame) {
        let start = frame.start as usize;
        match frame.what {
            What::Aggregate => {
                if self.unit.language == u32::from(dw::DW_LANG_Rust.0) {
                    // rustc lists fields in order of source, BTF wants them by offset.
                    self.open.members[start..].sort_by_key(Member::place);
                }
                settle(
                    &mut self.open.members,
                    start,
                    &mut self.raw.members,
                    &mut self.raw.types[frame.index as usize],
                );
            }
            What::Enum => settle(
                &mut self.open.enumerators,
                start,
                &mut self.raw.enumerators,
                &mut self.raw.types[frame.index as usize],
            ),
            What::FunctionType => settle(
                &mut self.open.type_params,
                start,
                &mut self.raw.type_params,
                &mut self.raw.types[frame.index as usize],
            ),
            What::Pointer => {
                // In order of source; the last one written is the one next to the pointer.
                self.open.type_tags[start..].reverse();
                settle(
                    &mut self.open.type_tags,
                    start,
                    &mut self.raw.type_tags,
                    &mut self.raw.types[frame.index as usize],
                );
            }
            What::Array => {
                let product = self
                    .open
                    .dimensions
                    .drain(start..)
                    .fold(1u32, u32::wrapping_mul);
                self.raw.types[frame.index as usize].extra = product;
            }
            What::Function => {
                let function = &mut self.raw.functions[frame.index as usize];
                function.params_start = self.raw.params.len() as u32;
                function.params_len = (self.open.params.len() - start) as u32;
                self.raw.params.extend(self.open.params.drain(start..));
            }
            _ => {}
        }
    }
}

fn settle<T: Copy>(pending: &mut Vec<T>, start: usize, pool: &mut Vec<T>, owner: &mut Type) {
    owner.start = pool.len() as u32;
    owner.len = (pending.len() - start) as u32;
    pool.extend_from_slice(&pending[start..]);
    pending.truncate(start);
}

/// Elements in one dimension: `DW_AT_upper_bound` + 1 (0 when it is not a constant, as in a VLA),
/// else `DW_AT_count`, else 0. All in 32 bits, so that an upper bound of -1 is no element.
fn dimension(die: &Die<'_>) -> u32 {
    match (die.number, die.get(Attr::UpperBound)) {
        (Some(bound), _) => (bound as u32).wrapping_add(1),
        (None, Some(_)) => 0,
        (None, None) => die.constant(Attr::Count).unwrap_or(0) as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    use gimli::write::AttributeValue;
    use gimli::SectionId;

    use crate::btf::KIND_FLAG;
    use crate::elf::Elf;
    use crate::encode::encode_object;
    use crate::encode::sample::{number, of, Program};
    use crate::object::sample::lines_of;
    use crate::object::Encoded;
    use crate::support::files::Mapped;

    fn encoded(program: Program) -> Encoded {
        program.encoded().expect("sound")
    }

    #[test]
    fn types_count_wherever_they_stand_variables_at_the_top_only() {
        let mut p = Program::c();
        let int = p.int();
        let typed = [(dw::DW_AT_type, of(int))];
        let function = p.add(dw::DW_TAG_subprogram, "f", &[]);
        let block = p.below(function, dw::DW_TAG_lexical_block, "", &[]);
        p.below(block, dw::DW_TAG_typedef, "inner", &typed);
        let placed = [
            (dw::DW_AT_type, of(int)),
            (dw::DW_AT_external, AttributeValue::FlagPresent),
        ];
        p.below(block, dw::DW_TAG_variable, "local", &placed);
        p.below(function, dw::DW_TAG_formal_parameter, "x", &typed);
        let inlined = p.below(block, dw::DW_TAG_inlined_subroutine, "", &[]);
        p.below(inlined, dw::DW_TAG_formal_parameter, "y", &typed);
        let encoded = encoded(p);
        let expected = ["INT int", "TYPEDEF inner #1", "FUNC_PROTO #0 x #1"];
        assert_eq!(lines_of(&encoded.view()), expected);
        assert_eq!(
            (encoded.variables.len(), encoded.units[0].types_end),
            (0, 2)
        );
    }

    #[test]
    fn what_comes_later_may_be_referred_to() {
        let mut p = Program::c();
        let list = p.structure("list", 8);
        let pointer = p.add(dw::DW_TAG_pointer_type, "", &[(dw::DW_AT_type, of(list))]);
        p.member(list, "next", pointer, 0);
        let name = p.add(dw::DW_TAG_typedef, "list_t", &[]);
        let constant = p.add(dw::DW_TAG_const_type, "", &[(dw::DW_AT_type, of(list))]);
        p.set(name, dw::DW_AT_type, of(constant));
        let expected = [
            "STRUCT list next #2",
            "PTR #1",
            "TYPEDEF list_t #4",
            "CONST #1",
        ];
        assert_eq!(lines_of(&encoded(p).view()), expected);
    }

    #[test]
    fn children_of_one_die_are_no_other_ones() {
        let mut p = Program::c();
        let int = p.int();
        let outer = p.structure("outer", 12);
        p.member(outer, "a", int, 0);
        let inner = p.below(
            outer,
            dw::DW_TAG_union_type,
            "",
            &[(dw::DW_AT_byte_size, number(4))],
        );
        p.member(inner, "b", int, 0);
        p.member(outer, "", inner, 4);
        p.below(outer, dw::DW_TAG_variant_part, "no child of C", &[]);
        p.member(outer, "c", int, 8);
        let expected = ["INT int", "STRUCT outer a #1 #3 c #1", "UNION b #1"];
        assert_eq!(lines_of(&encoded(p).view()), expected);
    }

    #[test]
    fn bit_fields_of_both_ways_of_counting_lie_at_the_same_bit() {
        for old in [false, true] {
            let mut p = Program::c();
            let int = p.int();
            let whole = p.structure("s", 4);
            let bits = match old {
                // From the most significant end of an int.
                true => (dw::DW_AT_bit_offset, number(32 - 5 - 3)),
                false => (dw::DW_AT_data_bit_offset, number(5)),
            };
            let at = (dw::DW_AT_data_member_location, number(0));
            let all = [
                (dw::DW_AT_type, of(int)),
                (dw::DW_AT_bit_size, number(3)),
                bits,
                at,
            ];
            p.below(
                whole,
                dw::DW_TAG_member,
                "m",
                &all[..if old { 4 } else { 3 }],
            );
            let encoded = encoded(p);
            let words = encoded.view().type_words(2).to_vec();
            assert_eq!(
                (words[1] & KIND_FLAG, words[5]),
                (KIND_FLAG, 3 << 24 | 5),
                "{old}"
            );
        }
    }

    #[test]
    fn arrays_of_arrays_are_one_type_for_each_dimension() {
        let mut p = Program::c();
        let int = p.int();
        let array = p.add(dw::DW_TAG_array_type, "", &[(dw::DW_AT_type, of(int))]);
        for bound in [1, 2] {
            p.below(
                array,
                dw::DW_TAG_subrange_type,
                "",
                &[(dw::DW_AT_upper_bound, number(bound))],
            );
        }
        let encoded = encoded(p);
        let words = encoded.view().type_words(2).to_vec();
        // BTF has one, whose elements are counted together: 2 * 3.
        assert_eq!(
            (lines_of(&encoded.view()).len(), words[3..].to_vec()),
            (2, vec![1, 1, 6])
        );
    }

    #[test]
    fn what_btf_cannot_hold_is_refused_in_c_and_left_out_elsewhere() {
        let program = |language| {
            let mut p = Program::new(language);
            let int = p.int();
            let large = p.structure("large", 1 << 30);
            p.member(large, "far", int, 1 << 29);
            p
        };
        assert!(program(dw::DW_LANG_C11).encoded().is_err());
        let rust = encoded(program(dw::DW_LANG_Rust));
        assert_eq!((rust.starts.len(), rust.units[0].types_end), (1, 0));
        assert_ne!(rust.units[0].refused, 0);
    }

    #[test]
    fn debug_information_that_is_cut_off_is_an_error_at_every_length() {
        let cut = |section: SectionId, len: usize| {
            let mut p = Program::c();
            let int = p.int();
            let s = p.structure("s", 4);
            p.member(s, "m", int, 0);
            let whole = Cell::new(0);
            let elf = p.elf_of(|id, data| {
                if id != section {
                    return data;
                }
                whole.set(data.len());
                &data[..len.min(data.len())]
            });
            let mapped = Mapped::of(elf);
            let elf = Elf::parse(&mapped).expect("sound");
            (whole.get(), encode_object(&elf, false).is_ok())
        };
        for section in [SectionId::DebugInfo, SectionId::DebugAbbrev] {
            let (whole, sound) = cut(section, usize::MAX);
            assert!(sound && whole > 20);
            // Without a byte of it, there is no debug information.
            for len in 1..whole {
                assert_eq!(cut(section, len), (whole, false), "{section:?} {len}");
            }
        }
    }
}
