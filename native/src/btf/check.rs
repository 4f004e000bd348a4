// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The rules that the kernel checks when it loads BTF (kernel/bpf/btf.c), so that what it would
//! refuse is refused before it is written.

use super::read::{parts, starts, words, Parts};
use super::{int_encoding, vlen, Kind, KIND_FLAG};
use crate::encoded::View;
use crate::error::{Error, Result};

/// Deepest nesting of types that the kernel resolves (`MAX_RESOLVE_DEPTH`).
const RESOLVE_DEPTH: usize = 32;

/// `KSYM_NAME_LEN` since Linux 6.1.
const NAME_LEN: usize = 512;

/// The types of a base, in host byte order, and where each one's words start; the end of the last
/// one follows.
#[derive(Clone, Copy)]
pub struct Types<'a> {
    pub words: &'a [u32],
    pub starts: &'a [u32],
    pub strings: &'a [u8],
}

/// Check BTF; with `base`, raw as well, as split BTF on it.
pub fn check_raw(raw: &[u8], base: Option<&[u8]>) -> Result<()> {
    let Some(base) = base else {
        return check(raw, None, None);
    };
    let parts = parts(base)?;
    let words = words(&parts).0;
    let types = Types {
        starts: &starts(&words)?,
        words: &words,
        strings: parts.strings,
    };
    check(raw, Some(types), None)
}

/// Refuse BTF whose `long` is not as wide as an address of the target.
pub fn long_is(view: &View<'_>, address_size: u32) -> Result<()> {
    let is_long = |words: &[u32]| {
        Kind::from_info(words[1]) == Some(Kind::Int) && LONG.contains(&view.string(words[0]))
    };
    let all = (1..=view.type_count() as u32).map(|id| view.type_words(id));
    match all
        .filter(|words| is_long(words))
        .find(|words| words[2] != address_size)
    {
        None => Ok(()),
        Some(words) => fail(format!(
            "BTF of another architecture: long has {} bytes",
            words[2]
        )),
    }
}

/// Check whole BTF; for a split one with its base, whose own types are trusted. `pointer_size` in
/// bytes, where it is known: BTF itself tells it only by the size of `long`.
pub fn check(raw: &[u8], base: Option<Types<'_>>, pointer_size: Option<u64>) -> Result<()> {
    let own = parts(raw)?;
    let (all, whole) = words(&own);
    if !whole {
        return Err(Error::new("damaged BTF: the types end inside a word"));
    }
    let mut checker = Checker {
        first: base.map_or(1, |b| b.starts.len() as u32),
        base,
        starts: starts(&all)?,
        words: all,
        strings: own.strings,
        sizes: Vec::new(),
        pointer_size: 8,
    };
    if own.types.is_empty() && base.is_none() {
        return Err(Error::new("there are no types")
            .hint("the debug information has none: build with -g, not -g1 or -gmlt"));
    }
    check_strings(&own, base.is_some())?;
    checker.pointer_size = pointer_size.or_else(|| checker.size_of_long()).unwrap_or(8);
    checker.sizes = vec![Size::New; checker.starts.len() - 1];
    for id in checker.first..=checker.last() {
        checker.check_type(id).map_err(|e| {
            let kind = checker.kind(id).map_or("type", Kind::name);
            let name = checker
                .get(id)
                .map(|w| checker.text(w[0]))
                .unwrap_or_default();
            let name = name.unwrap_or(b"").escape_ascii().to_string();
            e.at(format!("BTF type {id} ({kind} {name})"))
        })?;
    }
    for id in checker.first..=checker.last() {
        checker.resolve(id)?;
    }
    Ok(())
}

fn check_strings(parts: &Parts<'_>, split: bool) -> Result<()> {
    let ends_right = parts.strings.last().map_or(split, |&b| b == 0);
    let starts_right = split || parts.strings.first() == Some(&0);
    if !ends_right || !starts_right {
        return Err(Error::new(
            "damaged BTF: the strings do not start and end with NUL",
        ));
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Size {
    New,
    Open,
    /// Bytes; `None` for types that have no size.
    Known(Option<u64>),
}

struct Checker<'a> {
    first: u32,
    base: Option<Types<'a>>,
    words: Vec<u32>,
    starts: Vec<u32>,
    strings: &'a [u8],
    sizes: Vec<Size>,
    pointer_size: u64,
}

/// Names of the type that is as wide as a pointer in every kernel; BTF does not say otherwise how
/// wide that is.
const LONG: [&[u8]; 4] = [b"long int", b"long unsigned int", b"unsigned long", b"long"];

fn fail(what: impl Into<String>) -> Result<()> {
    Err(Error::new(what))
}

impl Checker<'_> {
    fn last(&self) -> u32 {
        self.first + self.starts.len() as u32 - 2
    }

    fn get(&self, id: u32) -> Option<&[u32]> {
        let slice = |words: &'_ [u32], starts: &[u32], i: usize| -> Option<(usize, usize)> {
            let (start, end) = (*starts.get(i)? as usize, *starts.get(i + 1)? as usize);
            (end <= words.len()).then_some((start, end))
        };
        if id == 0 {
            return None;
        }
        match (&self.base, id.checked_sub(self.first)) {
            (_, Some(i)) => {
                slice(&self.words, &self.starts, i as usize).map(|(s, e)| &self.words[s..e])
            }
            (Some(base), None) => {
                slice(base.words, base.starts, id as usize - 1).map(|(s, e)| &base.words[s..e])
            }
            (None, None) => None,
        }
    }

    fn size_of_long(&self) -> Option<u64> {
        (1..=self.last()).find_map(|id| {
            let words = self.get(id)?;
            let named = Kind::from_info(words[1]) == Some(Kind::Int)
                && self.text(words[0]).is_some_and(|name| LONG.contains(&name));
            named.then(|| u64::from(words[2]))
        })
    }

    fn kind(&self, id: u32) -> Option<Kind> {
        Kind::from_info(self.get(id)?[1])
    }

    fn text(&self, offset: u32) -> Option<&[u8]> {
        let base_len = self.base.as_ref().map_or(0, |b| b.strings.len());
        let rest = match (offset as usize).checked_sub(base_len) {
            Some(own) => self.strings.get(own..)?,
            None => self.base.as_ref()?.strings.get(offset as usize..)?,
        };
        // In a base, offset 0 of an empty string section stays the empty string.
        Some(&rest[..rest.iter().position(|&b| b == 0)?])
    }

    /// A name as the kernel accepts it: letters, digits, underscores and, since compilers append
    /// them, dots; shorter than `KSYM_NAME_LEN`.
    fn check_name(&self, offset: u32, what: &str) -> Result<()> {
        let letter = |b: u8| b.is_ascii_alphabetic() || b == b'_' || b == b'.';
        match self.text(offset) {
            None => fail(format!(
                "{what}: name offset {offset:#x} lies outside the strings"
            )),
            Some([]) => fail(format!("{what} without a name")),
            Some(name) => {
                let ok = letter(name[0])
                    && name.iter().all(|&b| letter(b) || b.is_ascii_digit())
                    && name.len() < NAME_LEN;
                if ok {
                    Ok(())
                } else {
                    fail(format!(
                        "{what}: the kernel refuses the name {}",
                        name.escape_ascii()
                    ))
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

    fn check_any_name(&self, offset: u32, what: &str) -> Result<()> {
        match self.text(offset) {
            Some(name) if !name.is_empty() => Ok(()),
            _ => fail(format!("{what} without a name")),
        }
    }

    /// A reference to a type in the proper sense: not to a function, variable, section or tag.
    fn check_reference(&self, id: u32, what: &str) -> Result<()> {
        if id > self.last() {
            return fail(format!(
                "{what} refers to type {id}, there are only {}",
                self.last()
            ));
        }
        match self.kind(id) {
            Some(kind @ (Kind::Func | Kind::Var | Kind::Datasec | Kind::DeclTag)) => {
                fail(format!("{what} refers to type {id}, a {}", kind.name()))
            }
            _ => Ok(()),
        }
    }

    fn check_type(&self, id: u32) -> Result<()> {
        let Some(w) = self.get(id) else {
            return fail("is not there");
        };
        let info = w[1];
        let Some(kind) = Kind::from_info(info) else {
            return fail("unknown kind");
        };
        if info & !(KIND_FLAG | 0x1f00_ffff) != 0 {
            return fail("reserved bits of info are set");
        }
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
        );
        if vlen(info) != 0 && !vlen_allowed {
            return fail("vlen is not 0");
        }
        match kind {
            Kind::Int => self.check_int(w),
            Kind::Ptr | Kind::Const | Kind::Volatile | Kind::Restrict => {
                if w[0] != 0 {
                    return fail("has a name");
                }
                self.check_reference(w[2], "it")
            }
            Kind::Typedef => {
                self.check_name(w[0], "typedef")?;
                self.check_reference(w[2], "it")
            }
            Kind::TypeTag => {
                self.check_any_name(w[0], "type tag")?;
                self.check_reference(w[2], "it")
            }
            Kind::Fwd => {
                self.check_name(w[0], "declaration")?;
                if w[2] != 0 {
                    return fail("type is not 0");
                }
                Ok(())
            }
            Kind::Array => {
                if w[0] != 0 || w[2] != 0 {
                    return fail("has a name or a size");
                }
                if w[3] == 0 || w[4] == 0 {
                    return fail("element or index type is void");
                }
                self.check_reference(w[3], "element")?;
                self.check_reference(w[4], "index")
            }
            Kind::Struct | Kind::Union => self.check_aggregate(w, kind),
            Kind::Enum | Kind::Enum64 => self.check_enum(w, kind),
            Kind::Func => self.check_function(w),
            Kind::FuncProto => self.check_proto(w),
            Kind::Var => {
                self.check_name(w[0], "variable")?;
                if w[2] == 0 {
                    return fail("type is void");
                }
                self.check_reference(w[2], "it")?;
                if w[3] > 1 {
                    return fail("unknown linkage");
                }
                Ok(())
            }
            Kind::Datasec => self.check_section(w),
            Kind::Float => {
                self.check_any_name(w[0], "floating point type")?;
                if !matches!(w[2], 2 | 4 | 8 | 12 | 16) {
                    return fail(format!("size {}", w[2]));
                }
                Ok(())
            }
            Kind::DeclTag => self.check_decl_tag(w),
        }
    }

    fn check_int(&self, w: &[u32]) -> Result<()> {
        let data = w[3];
        let (encoding, offset, bits) = (data >> 24, data >> 16 & 0xff, data & 0xff);
        self.check_any_name(w[0], "integer")?;
        if data & !0x0fff_00ff & !0x00ff_0000 != 0
            || bits + offset > w[2].saturating_mul(8)
            || bits > 128
        {
            return fail("bits do not fit the size");
        }
        if !matches!(encoding, 0 | int_encoding::SIGNED | 2 | int_encoding::BOOL) {
            return fail("unknown encoding");
        }
        if !w[2].is_power_of_two() || w[2] > 16 {
            return fail(format!("size {}", w[2]));
        }
        Ok(())
    }

    fn check_aggregate(&self, w: &[u32], kind: Kind) -> Result<()> {
        self.check_optional_name(w[0], "type")?;
        let (size, flagged) = (u64::from(w[2]), w[1] & KIND_FLAG != 0);
        let mut last = 0;
        for m in w[3..].chunks_exact(3) {
            self.check_optional_name(m[0], "member")?;
            if m[1] == 0 {
                return fail("a member is void");
            }
            self.check_reference(m[1], "member")?;
            let (offset, bits) = if flagged {
                (m[2] & 0xff_ffff, m[2] >> 24)
            } else {
                (m[2], 0)
            };
            if kind == Kind::Union && offset != 0 {
                return fail("a member of a union is not at offset 0");
            }
            if offset < last {
                return fail("members are not in order of offset");
            }
            last = offset;
            if (u64::from(offset) + u64::from(bits)).div_ceil(8) > size {
                return fail(format!("a member at bit {offset} lies behind the end"));
            }
        }
        Ok(())
    }

    fn check_enum(&self, w: &[u32], kind: Kind) -> Result<()> {
        self.check_optional_name(w[0], "enumeration")?;
        if !matches!(w[2], 1 | 2 | 4 | 8) {
            return fail(format!("size {}", w[2]));
        }
        let step = if kind == Kind::Enum { 2 } else { 3 };
        w[3..]
            .chunks_exact(step)
            .try_for_each(|e| self.check_name(e[0], "enumerator"))
    }

    fn check_proto(&self, w: &[u32]) -> Result<()> {
        if w[0] != 0 {
            return fail("has a name");
        }
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

    fn check_function(&self, w: &[u32]) -> Result<()> {
        self.check_name(w[0], "function")?;
        if vlen(w[1]) > 1 {
            return fail("unknown linkage");
        }
        match self.kind(w[2]) {
            Some(Kind::FuncProto) => {}
            _ => return fail("its type is not a FUNC_PROTO"),
        }
        let Some(proto) = self.get(w[2]) else {
            return fail("its type is not there");
        };
        let unnamed = |p: &&[u32]| p[0] == 0 && p[1] != 0;
        if proto[3..].chunks_exact(2).any(|p| unnamed(&p)) {
            return fail("a parameter has no name");
        }
        Ok(())
    }

    fn check_section(&self, w: &[u32]) -> Result<()> {
        self.check_any_name(w[0], "section")?;
        if w[2] == 0 {
            return fail("size 0");
        }
        let mut end = 0u64;
        for v in w[3..].chunks_exact(3) {
            if self.kind(v[0]) != Some(Kind::Var) {
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

    fn check_decl_tag(&self, w: &[u32]) -> Result<()> {
        self.check_any_name(w[0], "declaration tag")?;
        let component = w[3] as i32;
        let Some(target) = self.get(w[2]) else {
            return fail("tags nothing");
        };
        let parts = match self.kind(w[2]) {
            Some(Kind::Struct | Kind::Union) => vlen(target[1]),
            Some(Kind::Func) => self.get(target[2]).map_or(0, |p| vlen(p[1])),
            Some(Kind::Var | Kind::Typedef) => 0,
            _ => return fail("tags a type that cannot be tagged"),
        };
        if component < -1 || component >= parts as i32 {
            return fail(format!("component {component} of {parts}"));
        }
        Ok(())
    }

    /// Sizes must be finite: a type may not contain itself, and members, elements and variables
    /// must have a size.
    fn resolve(&mut self, id: u32) -> Result<()> {
        self.size(id, 0)
            .map(|_| ())
            .map_err(|e| e.at(format!("BTF type {id}")))
    }

    fn size(&mut self, id: u32, depth: usize) -> Result<Option<u64>> {
        if id == 0 {
            return Ok(None);
        }
        // The kernel follows modifiers and members with a stack of its own.
        if depth > RESOLVE_DEPTH * 8 {
            return Err(Error::new("nested too deeply"));
        }
        let own = id.checked_sub(self.first).map(|i| i as usize);
        match own.and_then(|i| self.sizes.get(i)) {
            Some(Size::Known(size)) => return Ok(*size),
            Some(Size::Open) => return Err(Error::new("contains itself")),
            Some(Size::New) | None => {}
        }
        let slot = own.filter(|&i| i < self.sizes.len());
        if let Some(i) = slot {
            self.sizes[i] = Size::Open;
        }
        let size = self.compute_size(id, depth)?;
        if let Some(i) = slot {
            self.sizes[i] = Size::Known(size);
        }
        Ok(size)
    }

    /// Where a member may lie, by its type: integers and enumerations at any bit, if the bit-field
    /// fits them; all others at whole bytes, floating point aligned.
    fn check_place(&self, id: u32, offset: u32, bits: u32, size: u64) -> Result<()> {
        match self.stripped_kind(id) {
            Some(Kind::Int | Kind::Enum | Kind::Enum64) => {
                if u64::from(bits) > size.saturating_mul(8) {
                    return fail(format!(
                        "a bit-field of {bits} bits in a type of {size} bytes"
                    ));
                }
                if bits == 0 && !offset.is_multiple_of(8) {
                    return fail(format!("a member at bit {offset}"));
                }
            }
            _ if bits != 0 => {
                return fail(format!(
                    "a bit-field of {bits} bits whose type is no integer"
                ));
            }
            _ if !offset.is_multiple_of(8) => return fail(format!("a member at bit {offset}")),
            Some(Kind::Float) => {
                let alignment = size.min(self.pointer_size).max(1);
                if !u64::from(offset / 8).is_multiple_of(alignment) {
                    return fail(format!(
                        "a floating point member at bit {offset}, not aligned"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The kind of a type without typedefs, qualifiers and tags.
    fn stripped_kind(&self, id: u32) -> Option<Kind> {
        let mut id = id;
        for _ in 0..RESOLVE_DEPTH * 8 {
            match self.kind(id)? {
                Kind::Typedef | Kind::Const | Kind::Volatile | Kind::Restrict | Kind::TypeTag => {
                    id = self.get(id)?[2];
                }
                kind => return Some(kind),
            }
        }
        None
    }

    fn compute_size(&mut self, id: u32, depth: usize) -> Result<Option<u64>> {
        let Some(w) = self.get(id) else {
            return Ok(None);
        };
        let w = w.to_vec();
        let Some(kind) = Kind::from_info(w[1]) else {
            return Ok(None);
        };
        match kind {
            // The members of the base's were checked with it.
            Kind::Struct | Kind::Union if id < self.first => Ok(Some(u64::from(w[2]))),
            Kind::Int | Kind::Enum | Kind::Enum64 | Kind::Float | Kind::Datasec => {
                Ok(Some(u64::from(w[2])))
            }
            Kind::Ptr => Ok(Some(self.pointer_size)),
            Kind::Typedef | Kind::Const | Kind::Volatile | Kind::Restrict | Kind::TypeTag => {
                self.size(w[2], depth + 1)
            }
            Kind::Array => {
                let element = self.size(w[3], depth + 1)?;
                let size = element.ok_or_else(|| Error::new("elements have no size"))?;
                match size.checked_mul(u64::from(w[5])) {
                    Some(whole) if whole <= u64::from(u32::MAX) => Ok(Some(whole)),
                    _ => Err(Error::new(format!(
                        "an array of {} elements of {size} bytes is larger than 4 GiB",
                        w[5]
                    ))),
                }
            }
            Kind::Struct | Kind::Union => {
                let flagged = w[1] & KIND_FLAG != 0;
                for m in w[3..].chunks_exact(3) {
                    let size = self.size(m[1], depth + 1)?;
                    let Some(size) = size else {
                        return Err(Error::new("a member has no size"));
                    };
                    let (offset, bits) = if flagged {
                        (m[2] & 0xff_ffff, m[2] >> 24)
                    } else {
                        (m[2], 0)
                    };
                    self.check_place(m[1], offset, bits, size)?;
                    if bits == 0 && u64::from(offset / 8).saturating_add(size) > u64::from(w[2]) {
                        return Err(Error::new(format!(
                            "a member at bit {offset} lies behind the end"
                        )));
                    }
                }
                Ok(Some(u64::from(w[2])))
            }
            Kind::Var => {
                if self.size(w[2], depth + 1)?.is_none() {
                    return Err(Error::new("a variable has no size"));
                }
                Ok(None)
            }
            Kind::Fwd | Kind::Func | Kind::FuncProto | Kind::DeclTag => Ok(None),
        }
    }
}
