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
use super::{Kind, KIND_FLAG, MAX_VLEN, OLD_MAX_VLEN};
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

    /// How many members the kernel takes that this is for: its own headers say it, where it is new
    /// enough to take more than others (include/uapi/linux/btf.h).
    fn max_vlen(&self) -> u32 {
        let said = (1..=self.last()).find_map(|id| {
            let words = self.get(id)?;
            let step = match Kind::from_info(words[1])? {
                Kind::Enum => 2,
                Kind::Enum64 => 3,
                _ => return None,
            };
            if self.text(words[0])? != b"btf_max" {
                return None;
            }
            let mut values = words[3..].chunks_exact(step);
            let value = values.find(|value| self.text(value[0]) == Some(b"BTF_MAX_VLEN"))?;
            Some(value[1].min(MAX_VLEN))
        });
        said.unwrap_or(OLD_MAX_VLEN)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::btf::{info, write, HEADER_LEN};
    use crate::object::sample::{
        declared, enumeration, int, object, of, prototype, raw, raw_with, structure, A, B, INT, S,
    };

    /// Why it is refused.
    fn refused(types: &[Vec<u32>], rules: Rules) -> Option<String> {
        let error = check(&raw(types), None, Some(8), rules, &Threads::ONE).err();
        error.map(|e| e.to_string())
    }

    fn array(of: u32, count: u32) -> Vec<u32> {
        vec![0, info(Kind::Array, 0, false), 0, of, 1, count]
    }

    /// A struct of so many bytes with these members, as name, type and place.
    fn placed(size: u32, flagged: bool, members: &[[u32; 3]]) -> Vec<u32> {
        let info = info(Kind::Struct, members.len() as u32, flagged);
        [&[S, info, size], members.as_flattened()].concat()
    }

    fn function(name: u32, linkage: u32, proto: u32) -> Vec<u32> {
        vec![name, info(Kind::Func, linkage, false), proto]
    }

    fn section(size: u32, entries: &[[u32; 3]]) -> Vec<u32> {
        let info = info(Kind::Datasec, entries.len() as u32, false);
        [&[S, info, size], entries.as_flattened()].concat()
    }

    fn variable(of: u32) -> Vec<u32> {
        vec![A, info(Kind::Var, 0, false), of, 1]
    }

    fn tag(of: u32, component: u32) -> Vec<u32> {
        vec![A, info(Kind::DeclTag, 0, false), of, component]
    }

    #[test]
    fn what_any_kernel_takes_is_taken() {
        let types = [
            int(),
            structure(S, &[(A, 1), (B, 1)]),
            of(Kind::Ptr, 0, 2),
            array(3, 7),
            enumeration(B, 4, &[(A, 1)]),
            prototype(&[1, 3]),
            function(A, 1, 6),
            variable(2),
            section(16, &[[8, 8, 8]]),
            tag(7, 1),
            declared(B),
            of(Kind::Typedef, A, 11),
        ];
        for rules in [Rules::Kernel, Rules::Load] {
            assert_eq!(refused(&types, rules), None);
        }
    }

    #[test]
    fn each_type_by_itself() {
        let bad_int = |data: u32| vec![INT, info(Kind::Int, 0, false), 4, data];
        let cases: [(&str, &[Vec<u32>]); 23] = [
            ("kind_flag", &[vec![INT, info(Kind::Int, 0, true), 4, 32]]),
            ("vlen", &[vec![INT, info(Kind::Int, 1, false), 4, 32]]),
            ("bits do not fit", &[bad_int(33)]),
            ("bits do not fit", &[bad_int(8 << 16 | 32)]),
            ("unknown encoding", &[bad_int(3 << 24 | 32)]),
            ("has a name", &[int(), of(Kind::Ptr, A, 1)]),
            ("without a name", &[int(), of(Kind::Typedef, 0, 1)]),
            ("lies outside the strings", &[of(Kind::Typedef, 1000, 0)]),
            ("refers to type 2, there are only 1", &[of(Kind::Ptr, 0, 2)]),
            (
                "a type tag behind",
                &[int(), of(Kind::TypeTag, A, 1), of(Kind::Const, 0, 2)],
            ),
            ("is void", &[int(), array(0, 1)]),
            ("a member is void", &[structure(S, &[(A, 0)])]),
            (
                "not in order",
                &[int(), placed(8, false, &[[A, 1, 32], [B, 1, 0]])],
            ),
            ("behind the end", &[int(), placed(4, false, &[[A, 1, 64]])]),
            ("size 3", &[vec![A, info(Kind::Float, 0, false), 3]]),
            (
                "a FUNC",
                &[
                    int(),
                    prototype(&[]),
                    function(A, 0, 2),
                    of(Kind::Ptr, 0, 3),
                ],
            ),
            ("size 0", &[int(), variable(1), section(0, &[])]),
            ("not a variable", &[int(), section(4, &[[1, 0, 4]])]),
            (
                "overlap",
                &[int(), variable(1), section(8, &[[2, 0, 4], [2, 2, 4]])],
            ),
            ("of size 0", &[int(), variable(1), section(8, &[[2, 0, 0]])]),
            (
                "behind the end",
                &[int(), variable(1), section(8, &[[2, 6, 4]])],
            ),
            (
                "component 1 of 1",
                &[int(), structure(S, &[(A, 1)]), tag(2, 1)],
            ),
            ("cannot be tagged", &[int(), tag(1, u32::MAX)]),
        ];
        for (what, types) in cases {
            let why = refused(types, Rules::Kernel).unwrap_or_default();
            assert!(why.contains(what), "{what}: {why}");
        }
    }

    #[test]
    fn what_types_are_to_each_other() {
        let cases: [(&str, &[Vec<u32>]); 7] = [
            ("contains itself", &[structure(S, &[(A, 1)])]),
            (
                "points to itself",
                &[of(Kind::Ptr, 0, 2), of(Kind::Const, 0, 1)],
            ),
            (
                "a member has no size",
                &[declared(B), structure(S, &[(A, 1)])],
            ),
            ("elements have no size", &[int(), declared(B), array(2, 1)]),
            ("larger than 4 GiB", &[int(), array(1, u32::MAX)]),
            (
                "a member at bit 4",
                &[of(Kind::Ptr, 0, 0), placed(16, false, &[[A, 1, 4]])],
            ),
            ("allows 32", &[int(), placed(8, true, &[[A, 1, 33 << 24]])]),
        ];
        for (what, types) in cases {
            let why = refused(types, Rules::Kernel).unwrap_or_default();
            assert!(why.contains(what), "{what}: {why}");
        }
        // Lists are how C makes circles.
        let list = [placed(8, false, &[[A, 2, 0]]), of(Kind::Ptr, 0, 1)];
        assert_eq!(refused(&list, Rules::Load), None);
    }

    #[test]
    fn what_only_programs_are_refused() {
        let double = vec![B, info(Kind::Float, 0, false), 8];
        let chain = (2..41).map(|next| structure(S, &[(A, next)]));
        let deep: Vec<Vec<u32>> = chain.chain([int()]).collect();
        let cases: [(&str, &[Vec<u32>]); 3] = [
            ("not aligned", &[double, placed(12, false, &[[A, 1, 32]])]),
            ("has no size", &[declared(S), prototype(&[1])]),
            ("more than 32 types deep", &deep),
        ];
        for (what, types) in cases {
            assert_eq!(refused(types, Rules::Kernel), None);
            let why = refused(types, Rules::Load).unwrap_or_default();
            assert!(why.contains(what), "{what}: {why}");
        }
    }

    #[test]
    fn sections_that_do_not_lie_one_behind_the_other_are_damaged() {
        let sound = raw(&[int()]);
        // Header length, offsets and lengths of types and strings, one by one.
        for at in [4, 8, 12, 16, 20] {
            for change in [1u8, 4, 8] {
                let mut damaged = sound.clone();
                damaged[at] = damaged[at].wrapping_add(change);
                assert!(
                    check(&damaged, None, None, Rules::Kernel, &Threads::ONE).is_err(),
                    "{at}"
                );
            }
        }
        let mut flags = sound.clone();
        flags[3] = 1;
        assert!(check(&flags, None, None, Rules::Kernel, &Threads::ONE).is_err());
        let types_end = HEADER_LEN as usize + sound[12] as usize;
        let mut gap = sound.clone();
        gap.splice(types_end..types_end, [0; 4]);
        gap[16] += 4;
        assert!(check(&gap, None, None, Rules::Kernel, &Threads::ONE).is_err());
        let unended = raw_with(b"\0int", &[int()]);
        assert!(check(&unended, None, None, Rules::Kernel, &Threads::ONE).is_err());
    }

    #[test]
    fn split_btf_fits_the_base_that_it_was_made_against() {
        let base = object(&[int(), structure(S, &[(A, 1)])]).expect("sound");
        let below = BaseTypes {
            words: &base.words,
            starts: &base.starts,
            strings: &base.strings,
        };
        let length = base.strings.len() as u32;
        let mut own = of(Kind::Ptr, 0, 2);
        own.extend([length, info(Kind::Struct, 2, false), 16]);
        own.extend([length + 4, 3, 0, S, 1, 64]);
        let own: Vec<u8> = own.into_iter().flat_map(u32::to_le_bytes).collect();
        let split = write::file(&own, &[], b"own\0member\0", false).expect("small");
        let right = fit(&split, below, 8).expect("sound");
        assert_eq!(
            (
                right.base_strings,
                right.refused.is_some(),
                right.misread.is_some()
            ),
            (Some(length), false, false)
        );
        let longer = [&base.strings[..], b"x\0"].concat();
        let other = BaseTypes {
            strings: &longer,
            ..below
        };
        let wrong = fit(&split, other, 8).expect("sound");
        assert_eq!(
            (wrong.base_strings, wrong.misread.is_some()),
            (Some(length), true)
        );
    }

    #[test]
    fn more_members_are_for_kernels_that_say_so() {
        let strings = b"\0btf_max\0BTF_MAX_VLEN\0large\0a\0int\0";
        let max = |limit| enumeration(1, 4, &[(9, limit)]);
        let large =
            |count: u32| enumeration(22, 4, &(0..count).map(|i| (28, i)).collect::<Vec<_>>());
        let refused = |types: &[Vec<u32>]| {
            let raw = raw_with(strings, types);
            let error = check(&raw, None, Some(8), Rules::Load, &Threads::ONE).err();
            error.map(|e| e.to_string()).unwrap_or_default()
        };
        assert_eq!(refused(&[large(65_535)]), "");
        assert!(refused(&[large(65_536)]).contains("(ENUM large): 65536 enumerators"));
        assert!(refused(&[max(0xffff), large(65_536)]).contains("takes 65535"));
        assert_eq!(refused(&[large(70_000), max(MAX_VLEN)]), "");
        assert!(refused(&[large(70_000), max(69_999)]).contains("takes 69999"));
    }

    #[test]
    fn long_tells_the_architecture() {
        let long = |size: u32| {
            let words = vec![1, info(Kind::Int, 0, false), size, size * 8];
            crate::object::sample::object_with(b"\0long\0", &[words], 0).expect("sound")
        };
        assert!(long_is(&long(8).view(), 8).is_ok());
        assert!(long_is(&long(4).view(), 8).is_err());
    }
}
