// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The rules by which the kernel takes BTF (kernel/bpf/btf.c), so that what it would refuse is
//! refused before it is written.
//!
//! Like the kernel, first each type by itself (`record`), then what the types are to each other
//! (`resolve`). Beyond the kernel: whether split BTF is read against the base that it was made
//! against (`split`).

mod record;
mod resolve;
mod split;

use std::ops::Range;

use super::read::{parts, starts, words, Parts};
use super::{Kind, KIND_FLAG};
use crate::object::View;
use crate::support::error::{Error, Result};
use crate::support::limits::NESTED;
use crate::support::threads::Threads;

/// Highest id, void included, and highest offset of a name (include/uapi/linux/btf.h).
const MAX_TYPES: usize = 0xf_ffff;
const MAX_NAME_OFFSET: u32 = 0xff_ffff;

/// Whose rules count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rules {
    /// What the kernel asks of its own BTF and that of its modules, and besides only what holds for
    /// any C program.
    Kernel,
    /// All that `bpf(BPF_BTF_LOAD)` asks. It refuses some things that C allows: a packed
    /// enumeration behind a bit-field, an unaligned `double`, a prototype with an incomplete
    /// struct.
    Load,
}

/// The types of a base, in host byte order, and where each one's words start; the end of the last
/// one follows.
#[derive(Clone, Copy)]
pub struct BaseTypes<'a> {
    pub words: &'a [u32],
    pub starts: &'a [u32],
    pub strings: &'a [u8],
}

impl<'a> BaseTypes<'a> {
    pub fn type_words(&self, id: u32) -> &'a [u32] {
        let i = id as usize;
        &self.words[self.starts[i - 1] as usize..self.starts[i] as usize]
    }
}

/// `check` with a raw base.
pub fn check_raw(
    raw: &[u8],
    base: Option<&[u8]>,
    pointer_size: Option<u64>,
    rules: Rules,
) -> Result<()> {
    let base = base.map(|raw| Part::new(&parts(raw)?)).transpose()?;
    let below = base.as_ref().map(Part::as_base);
    check(raw, below, pointer_size, rules, &Threads::ONE)
}

/// How split BTF fits a base.
pub struct Fit {
    /// Why the kernel refuses it with this base.
    pub refused: Option<Error>,
    /// What shows that it was made against another one, and would be misread.
    pub misread: Option<Error>,
    /// Size of the strings of the base that it was made against, where it tells that.
    pub base_strings: Option<u32>,
}

/// Fit split BTF to a base. An error is what has nothing to do with that one.
pub fn fit(raw: &[u8], base: BaseTypes<'_>, pointer_size: u64) -> Result<Fit> {
    let own = parts(raw)?;
    check_sections(raw, &own)?;
    check_strings(&own, true)?;
    let pointer_size = Some(pointer_size);
    let types = Types::new(&own, Some(base), pointer_size)?;
    let rules = Rules::Kernel;
    Ok(Fit {
        refused: check(raw, Some(base), pointer_size, rules, &Threads::ONE).err(),
        misread: split::check(&types).err(),
        base_strings: split::base_strings(&types),
    })
}

/// Check whole BTF; for a split one with its base, whose own types are trusted. `pointer_size` in
/// bytes, where it is known: BTF itself tells it only by the size of `long`.
pub fn check(
    raw: &[u8],
    base: Option<BaseTypes<'_>>,
    pointer_size: Option<u64>,
    rules: Rules,
    threads: &Threads,
) -> Result<()> {
    let own = parts(raw)?;
    check_sections(raw, &own)?;
    check_strings(&own, base.is_some())?;
    if own.types.is_empty() && base.is_none() {
        return Err(Error::new("there are no types")
            .hint("the debug information has none: build with -g, not -g1 or -gmlt"));
    }
    let types = Types::new(&own, base, pointer_size)?;
    let check_each = |mut ids: Range<u32>| {
        ids.try_for_each(|id| record::check(&types, id).map_err(|e| e.at(types.describe(id))))
    };
    let end = types.last() + 1;
    let middle = types.first.midpoint(end);
    let (first, second) = threads.join(
        || check_each(types.first..middle),
        || check_each(middle..end),
    );
    first.and(second)?;
    resolve::check(&types, rules)
}

/// The sections lie one behind the other, the strings last, and nothing else is in the file.
fn check_sections(raw: &[u8], parts: &Parts<'_>) -> Result<()> {
    let damaged = |what: &str| Err(Error::new(format!("damaged BTF: {what}")));
    let word = |at: usize| -> usize {
        let field = raw.get(at..at + 4).unwrap_or(&[0; 4]);
        let field: [u8; 4] = field.try_into().unwrap_or_default();
        if parts.big {
            u32::from_be_bytes(field) as usize
        } else {
            u32::from_le_bytes(field) as usize
        }
    };
    if raw[3] != 0 {
        return damaged("unknown flags");
    }
    let header = word(4);
    let known = if header >= 32 { 32 } else { 24 };
    if raw[known..header].iter().any(|&b| b != 0) {
        return damaged("the header has fields that nobody knows");
    }
    if !word(8).is_multiple_of(4) {
        return damaged("the types are not aligned");
    }
    let mut sections = vec![(word(8), word(12)), (word(16), word(20))];
    if known == 32 && word(28) != 0 {
        sections.push((word(24), word(28)));
    }
    sections.sort_unstable();
    let mut end = 0;
    for (offset, len) in sections {
        if offset != end {
            return damaged("a gap between sections, or sections that overlap");
        }
        end = offset + len;
    }
    if header + end != raw.len() || word(16) + word(20) != end {
        return damaged("the strings are not at the end");
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
    if parts.strings.len() > MAX_NAME_OFFSET as usize + 1 {
        return Err(Error::new("more than 16 MiB of strings"));
    }
    Ok(())
}

fn fail(what: impl Into<String>) -> Result<()> {
    Err(Error::new(what))
}

/// Names of the type that is as wide as a pointer in every kernel; BTF does not say otherwise how
/// wide that is.
const LONG: [&[u8]; 4] = [b"long int", b"long unsigned int", b"unsigned long", b"long"];

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

/// The types of one BTF.
pub struct Part<'a> {
    words: Vec<u32>,
    starts: Vec<u32>,
    strings: &'a [u8],
}

impl<'a> Part<'a> {
    pub fn new(parts: &Parts<'a>) -> Result<Self> {
        let (words, whole) = words(parts);
        if !whole {
            return Err(Error::new("damaged BTF: the types end inside a word"));
        }
        Ok(Part {
            starts: starts(&words)?,
            words,
            strings: parts.strings,
        })
    }

    pub fn as_base(&self) -> BaseTypes<'_> {
        BaseTypes {
            words: &self.words,
            starts: &self.starts,
            strings: self.strings,
        }
    }
}

impl<'a> BaseTypes<'a> {
    /// Number of types, without void.
    pub fn count(&self) -> u32 {
        self.starts.len() as u32 - 1
    }

    /// The words of a type; `None` for void and for ids that are not there.
    pub fn get(&self, id: u32) -> Option<&'a [u32]> {
        nth(self.words, self.starts, (id as usize).checked_sub(1)?)
    }
}

fn nth<'a>(words: &'a [u32], starts: &[u32], i: usize) -> Option<&'a [u32]> {
    let (start, end) = (*starts.get(i)?, *starts.get(i + 1)?);
    words.get(start as usize..end as usize)
}

/// The types of a BTF, behind those of its base.
struct Types<'a> {
    /// The first id that is not the base's.
    first: u32,
    own: Part<'a>,
    base: Option<BaseTypes<'a>>,
    pointer_size: u64,
}

impl<'a> Types<'a> {
    fn new(
        own: &Parts<'a>,
        base: Option<BaseTypes<'a>>,
        pointer_size: Option<u64>,
    ) -> Result<Self> {
        let mut types = Types {
            first: base.map_or(1, |b| b.starts.len() as u32),
            own: Part::new(own)?,
            base,
            pointer_size: 0,
        };
        types.pointer_size = pointer_size.or_else(|| types.size_of_long()).unwrap_or(8);
        if types.last() as usize >= MAX_TYPES {
            return Err(Error::new(format!(
                "{} types: no kernel takes more than {}",
                types.last(),
                MAX_TYPES - 1
            )));
        }
        Ok(types)
    }

    fn last(&self) -> u32 {
        self.first + self.own.starts.len() as u32 - 2
    }

    /// The words of a type; `None` for void and for ids that are not there.
    fn get(&self, id: u32) -> Option<&[u32]> {
        match id.checked_sub(self.first) {
            Some(i) => nth(&self.own.words, &self.own.starts, i as usize),
            None => self.base.as_ref()?.get(id),
        }
    }

    fn kind(&self, id: u32) -> Option<Kind> {
        Kind::from_info(self.get(id)?[1])
    }

    fn text(&self, offset: u32) -> Option<&[u8]> {
        let base_len = self.base.as_ref().map_or(0, |b| b.strings.len());
        let rest = match (offset as usize).checked_sub(base_len) {
            Some(own) => self.own.strings.get(own..)?,
            None => self.base.as_ref()?.strings.get(offset as usize..)?,
        };
        rest.iter().position(|&b| b == 0).map(|end| &rest[..end])
    }

    fn describe(&self, id: u32) -> String {
        let kind = self.kind(id).map_or("type", Kind::name);
        let name = self.get(id).and_then(|w| self.text(w[0])).unwrap_or(b"");
        format!("BTF type {id} ({kind} {})", name.escape_ascii())
    }

    fn size_of_long(&self) -> Option<u64> {
        (1..=self.last()).find_map(|id| {
            let words = self.get(id)?;
            let fits = Kind::from_info(words[1]) == Some(Kind::Int)
                && matches!(words[2], 4 | 8)
                && self.text(words[0]).is_some_and(|name| LONG.contains(&name));
            fits.then(|| u64::from(words[2]))
        })
    }

    /// What is behind typedefs, qualifiers and tags; 0 for void.
    fn stripped(&self, id: u32) -> u32 {
        let mut id = id;
        // Chains of a type that was checked end; the base's were not.
        for _ in 0..NESTED {
            match self.get(id) {
                Some(w) if Kind::from_info(w[1]).is_some_and(is_modifier) => id = w[2],
                _ => return id,
            }
        }
        0
    }

    /// Bytes; `None` for what has no size.
    fn size(&self, id: u32) -> Option<u64> {
        let (mut id, mut count) = (id, 1u64);
        for _ in 0..NESTED {
            id = self.stripped(id);
            let w = self.get(id)?;
            let one = match Kind::from_info(w[1])? {
                Kind::Array => {
                    count = count.saturating_mul(u64::from(w[5]));
                    id = w[3];
                    continue;
                }
                Kind::Ptr => self.pointer_size,
                Kind::Int
                | Kind::Struct
                | Kind::Union
                | Kind::Enum
                | Kind::Enum64
                | Kind::Float => u64::from(w[2]),
                _ => return None,
            };
            return Some(one.saturating_mul(count));
        }
        None
    }
}

/// Bit offset of a member and, where it is a bit-field by kind_flag, its width.
fn place(info: u32, offset: u32) -> (u32, u32) {
    if info & KIND_FLAG != 0 {
        (offset & 0xff_ffff, offset >> 24)
    } else {
        (offset, 0)
    }
}

fn is_modifier(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Typedef | Kind::Const | Kind::Volatile | Kind::Restrict | Kind::TypeTag
    )
}
