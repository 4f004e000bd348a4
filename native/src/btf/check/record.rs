// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Each type by itself: its fields, its names, and that what it refers to is there.

use super::{fail, is_modifier, place, Types, MAX_NAME_OFFSET};
use crate::btf::{int_encoding, loc_flags, vlen, Kind, KIND_FLAG, OLD_MAX_VLEN};
use crate::support::error::{Error, Result};
use crate::support::limits::RESOLVED;

/// `KSYM_NAME_LEN` since Linux 6.1.
const NAME_LEN: usize = 512;

pub(super) fn check(types: &Types<'_>, id: u32) -> Result<()> {
    let Some(w) = types.get(id) else {
        return fail("is not there");
    };
    let info = w[1];
    let Some(kind) = Kind::from_info(info) else {
        return fail("unknown kind");
    };
    let flag_allowed = matches!(
        kind,
        Kind::Struct
            | Kind::Union
            | Kind::Fwd
            | Kind::Enum
            | Kind::Enum64
            | Kind::DeclTag
            | Kind::TypeTag
    );
    if info & KIND_FLAG != 0 && !flag_allowed {
        return fail("kind_flag is set");
    }
    let vlen_allowed = matches!(
        kind,
        Kind::Struct
            | Kind::Union
            | Kind::Enum
            | Kind::Enum64
            | Kind::FuncProto
            | Kind::Datasec
            | Kind::Func
            | Kind::LocParam
            | Kind::LocProto
            | Kind::Locsec
    );
    if vlen(info) != 0 && !vlen_allowed {
        return fail("vlen is not 0");
    }
    check_count(types, kind, vlen(info) as u32)?;
    let record = Record { types, w };
    record.check_offset(w[0], "type")?;
    match kind {
        Kind::Int => record.int(),
        Kind::Ptr | Kind::Const | Kind::Volatile | Kind::Restrict => {
            record.check_no_name()?;
            record.check_chain(id, kind)
        }
        Kind::Typedef => {
            record.check_name(w[0], "typedef")?;
            record.check_chain(id, kind)
        }
        Kind::TypeTag => {
            record.check_value("type tag")?;
            record.check_chain(id, kind)
        }
        Kind::Fwd => {
            record.check_name(w[0], "declaration")?;
            if w[2] != 0 {
                return fail("type is not 0");
            }
            Ok(())
        }
        Kind::Array => record.array(),
        Kind::Struct | Kind::Union => record.aggregate(kind),
        Kind::Enum | Kind::Enum64 => record.enumeration(kind),
        Kind::Func => record.function(),
        Kind::FuncProto => record.prototype(),
        Kind::Var => record.variable(),
        Kind::Datasec => record.section(),
        Kind::Float => {
            if !matches!(w[2], 2 | 4 | 8 | 12 | 16) {
                return fail(format!("size {}", w[2]));
            }
            Ok(())
        }
        Kind::DeclTag => record.decl_tag(),
        Kind::LocParam => record.place(),
        Kind::LocProto => record.places(),
        Kind::Locsec => record.sites(),
    }
}

/// More members than kernels up to 7.1 read are for those only whose own types say that they read more.
fn check_count(types: &Types<'_>, kind: Kind, count: u32) -> Result<()> {
    // Kernels that know sections of sites know that many.
    if count <= OLD_MAX_VLEN || kind == Kind::Locsec {
        return Ok(());
    }
    let limit = types.max_vlen();
    if count <= limit {
        return Ok(());
    }
    let error = Error::new(format!(
        "{count} {}, the kernel that this is for takes {limit}",
        match kind {
            Kind::Enum | Kind::Enum64 => "enumerators",
            Kind::FuncProto => "parameters",
            Kind::Datasec => "variables",
            _ => "members",
        }
    ));
    Err(match kind {
        Kind::Datasec => {
            error.hint("leave global_var (of per-CPU variables: var) out of the features")
        }
        _ => error.hint("kernels that take more have BTF_MAX_VLEN in their enum btf_max"),
    })
}

/// The kernel's `isalpha`: of ASCII and of Latin-1.
fn is_letter(b: u8) -> bool {
    b.is_ascii_alphabetic() || (b >= 0xc0 && b != 0xd7 && b != 0xf7)
}

struct Record<'t> {
    types: &'t Types<'t>,
    w: &'t [u32],
}

impl Record<'_> {
    fn check_offset(&self, offset: u32, what: &str) -> Result<()> {
        let base_len = self.types.base.as_ref().map_or(0, |b| b.strings.len());
        let len = base_len + self.types.own.strings.len();
        // In a split BTF without strings, 0 stays the empty one.
        if (offset as usize >= len && offset != 0) || offset > MAX_NAME_OFFSET {
            return fail(format!(
                "{what}: name offset {offset:#x} lies outside the strings"
            ));
        }
        Ok(())
    }

    fn check_no_name(&self) -> Result<()> {
        if self.w[0] != 0 {
            return fail("has a name");
        }
        Ok(())
    }

    /// A name as the kernel accepts it: letters, digits, underscores and, since compilers append
    /// them, dots; no longer than `KSYM_NAME_LEN`.
    fn check_name(&self, offset: u32, what: &str) -> Result<()> {
        self.check_offset(offset, what)?;
        let first = |b: u8| is_letter(b) || b == b'_' || b == b'.';
        match self.types.text(offset) {
            None | Some([]) => fail(format!("{what} without a name")),
            Some(name) => {
                let ok = first(name[0])
                    && name.iter().all(|&b| first(b) || b.is_ascii_digit())
                    && name.len() <= NAME_LEN;
                if ok {
                    Ok(())
                } else {
                    Err(Error::new(format!(
                        "{what}: the kernel refuses the name {}",
                        String::from_utf8_lossy(name)
                    ))
                    .hint("it takes letters of ASCII, digits and _ . only: rename it, or leave out its language (--lang_exclude=rust)"))
                }
            }
        }
    }

    fn check_optional_name(&self, offset: u32, what: &str) -> Result<()> {
        if offset == 0 {
            Ok(())
        } else {
            self.check_name(offset, what)
        }
    }

    /// The text of a tag: anything.
    fn check_value(&self, what: &str) -> Result<()> {
        match self.types.text(self.w[0]) {
            Some(name) if !name.is_empty() => Ok(()),
            _ => fail(format!("{what} without a name")),
        }
    }

    /// A reference to a type in the proper sense: not to a function, variable, section or tag.
    fn check_reference(&self, id: u32, what: &str) -> Result<()> {
        let last = self.types.last();
        if id > last {
            return fail(format!("{what} refers to type {id}, there are only {last}"));
        }
        match self.types.kind(id) {
            Some(
                kind @ (Kind::Func
                | Kind::Var
                | Kind::Datasec
                | Kind::DeclTag
                | Kind::LocParam
                | Kind::LocProto
                | Kind::Locsec),
            ) => fail(format!("{what} refers to type {id}, a {}", kind.name())),
            _ => Ok(()),
        }
    }

    /// Tags stand before qualifiers and typedefs, and the row of all of them is short. Those of
    /// lower ids were followed before: the row is counted up to the first of these.
    fn check_chain(&self, id: u32, kind: Kind) -> Result<()> {
        self.check_reference(self.w[2], "it")?;
        if !is_modifier(kind) {
            return Ok(());
        }
        if kind != Kind::TypeTag && self.types.kind(self.w[2]) == Some(Kind::TypeTag) {
            return fail("a type tag behind a qualifier or typedef");
        }
        let mut next = self.w[2];
        for _ in 0..RESOLVED {
            match self.types.get(next) {
                Some(w) if next >= id && Kind::from_info(w[1]).is_some_and(is_modifier) => {
                    next = w[2];
                }
                _ => return Ok(()),
            }
        }
        fail(format!(
            "more than {RESOLVED} typedefs and qualifiers in a row"
        ))
    }

    fn int(&self) -> Result<()> {
        let data = self.w[3];
        let (encoding, offset, bits) = (data >> 24, data >> 16 & 0xff, data & 0xff);
        if data & !0x0fff_ffff != 0
            || bits + offset > 128
            || (bits + offset).div_ceil(8) > self.w[2]
        {
            return fail("bits do not fit the size");
        }
        if !matches!(encoding, 0 | int_encoding::SIGNED | 2 | int_encoding::BOOL) {
            return fail("unknown encoding");
        }
        Ok(())
    }

    fn array(&self) -> Result<()> {
        self.check_no_name()?;
        if self.w[2] != 0 {
            return fail("has a size");
        }
        if self.w[3] == 0 || self.w[4] == 0 {
            return fail("element or index type is void");
        }
        self.check_reference(self.w[3], "element")?;
        self.check_reference(self.w[4], "index")
    }

    fn aggregate(&self, kind: Kind) -> Result<()> {
        let w = self.w;
        self.check_optional_name(w[0], "type")?;
        let mut last = 0;
        for m in w[3..].chunks_exact(3) {
            self.check_optional_name(m[0], "member")?;
            if m[1] == 0 {
                return fail("a member is void");
            }
            self.check_reference(m[1], "member")?;
            let (offset, _) = place(w[1], m[2]);
            if kind == Kind::Union && offset != 0 {
                return fail("a member of a union is not at offset 0");
            }
            if offset < last {
                return fail("members are not in order of offset");
            }
            last = offset;
            if offset.div_ceil(8) > w[2] {
                return fail(format!("a member at bit {offset} lies behind the end"));
            }
        }
        Ok(())
    }

    fn enumeration(&self, kind: Kind) -> Result<()> {
        let w = self.w;
        self.check_optional_name(w[0], "enumeration")?;
        if !matches!(w[2], 1 | 2 | 4 | 8) {
            return fail(format!("size {}", w[2]));
        }
        let step = if kind == Kind::Enum { 2 } else { 3 };
        w[3..]
            .chunks_exact(step)
            .try_for_each(|e| self.check_name(e[0], "enumerator"))
    }

    fn prototype(&self) -> Result<()> {
        let w = self.w;
        self.check_no_name()?;
        self.check_reference(w[2], "result")?;
        let params = vlen(w[1]);
        for (i, p) in w[3..].chunks_exact(2).enumerate() {
            self.check_reference(p[1], "parameter")?;
            if p[1] == 0 {
                if i + 1 != params || p[0] != 0 {
                    return fail("a parameter is void");
                }
            } else {
                self.check_optional_name(p[0], "parameter")?;
            }
        }
        Ok(())
    }

    fn function(&self) -> Result<()> {
        self.check_name(self.w[0], "function")?;
        if vlen(self.w[1]) > 1 {
            return fail("unknown linkage");
        }
        let proto = self.types.get(self.w[2]);
        let Some(proto) = proto.filter(|p| Kind::from_info(p[1]) == Some(Kind::FuncProto)) else {
            return fail("its type is not a FUNC_PROTO");
        };
        let unnamed = |p: &[u32]| p[0] == 0 && p[1] != 0;
        if proto[3..].chunks_exact(2).any(unnamed) {
            return fail("a parameter has no name");
        }
        Ok(())
    }

    fn variable(&self) -> Result<()> {
        self.check_name(self.w[0], "variable")?;
        if self.w[2] == 0 {
            return fail("type is void");
        }
        self.check_reference(self.w[2], "it")?;
        if self.w[3] > 1 {
            return fail("unknown linkage");
        }
        Ok(())
    }

    fn check_section_name(&self) -> Result<()> {
        let printable = |&b: &u8| (b' '..=b'~').contains(&b) || b >= 0xa0;
        match self.types.text(self.w[0]) {
            Some(name @ [_, ..]) if name.len() <= NAME_LEN && name.iter().all(printable) => Ok(()),
            _ => fail("section without a name, or one that the kernel refuses"),
        }
    }

    fn section(&self) -> Result<()> {
        let w = self.w;
        self.check_section_name()?;
        if w[2] == 0 {
            return fail("size 0");
        }
        let mut end = 0u64;
        for v in w[3..].chunks_exact(3) {
            if self.types.kind(v[0]) != Some(Kind::Var) {
                return fail("an entry is not a variable");
            }
            if u64::from(v[1]) < end {
                return fail(format!("variables overlap at offset {}", v[1]));
            }
            if v[2] == 0 {
                return fail("a variable of size 0");
            }
            end = u64::from(v[1]) + u64::from(v[2]);
            if end > u64::from(w[2]) {
                return fail("a variable lies behind the end");
            }
        }
        Ok(())
    }

    fn decl_tag(&self) -> Result<()> {
        self.check_value("declaration tag")?;
        let component = self.w[3] as i32;
        let Some(target) = self.types.get(self.w[2]) else {
            return fail("tags nothing");
        };
        let parts = match Kind::from_info(target[1]) {
            Some(Kind::Struct | Kind::Union) => vlen(target[1]),
            Some(Kind::Func) => self.types.get(target[2]).map_or(0, |p| vlen(p[1])),
            Some(Kind::Var | Kind::Typedef) => 0,
            _ => return fail("tags a type that cannot be tagged"),
        };
        if component < -1 || component >= parts as i32 {
            return fail(format!("component {component} of {parts}"));
        }
        Ok(())
    }
    /// Where a parameter is: a value, or a register and what is to be done with it.
    fn place(&self) -> Result<()> {
        self.check_no_name()?;
        let (flags, count) = (self.w[3], vlen(self.w[1]));
        let has = |flag: u32| flags & flag != 0;
        if flags & !loc_flags::ALL != 0 {
            return fail(format!("unknown flags {flags:#x}"));
        }
        if has(loc_flags::CONST) == has(loc_flags::REG) {
            return fail("it is either a value or in a register");
        }
        if has(loc_flags::CONST) && has(loc_flags::DEREF | loc_flags::OFFSET)
            || has(loc_flags::REG) && has(loc_flags::ADDR)
        {
            return fail(format!("flags {flags:#x} contradict each other"));
        }
        let right = match (has(loc_flags::CONST), has(loc_flags::OFFSET)) {
            (true, _) if self.w[2] > 4 => count == 2,
            (true, _) => count == 1,
            (false, true) => matches!(count, 2 | 3),
            (false, false) if has(loc_flags::DEREF) => count == 1,
            (false, false) => matches!(count, 1 | 2),
        };
        match right && self.w[2] != 0 {
            true => Ok(()),
            false => fail(format!(
                "{count} words for {} bytes with flags {flags:#x}",
                self.w[2]
            )),
        }
    }

    /// A list of those; 0 for a parameter that is nowhere.
    fn places(&self) -> Result<()> {
        self.check_no_name()?;
        let is_place = |&&id: &&u32| id == 0 || self.types.kind(id) == Some(Kind::LocParam);
        match self.w[3..].iter().find(|id| !is_place(id)) {
            None => Ok(()),
            Some(id) => fail(format!("type {id} is no LOC_PARAM")),
        }
    }

    fn sites(&self) -> Result<()> {
        self.check_section_name()?;
        for site in self.w[3..].chunks_exact(3) {
            let of_kind = |id: u32, kind: Kind| {
                let words = self.types.get(id);
                words.filter(|w| Kind::from_info(w[1]) == Some(kind))
            };
            let Some(function) = of_kind(site[0], Kind::Func) else {
                return fail(format!("type {} is no FUNC", site[0]));
            };
            let Some(places) = of_kind(site[1], Kind::LocProto) else {
                return fail(format!("type {} is no LOC_PROTO", site[1]));
            };
            let parameters = self.types.get(function[2]).map_or(0, |p| vlen(p[1]));
            if vlen(places[1]) > parameters {
                return fail(format!(
                    "places of {} parameters, the function has {parameters}",
                    vlen(places[1])
                ));
            }
        }
        Ok(())
    }
}
