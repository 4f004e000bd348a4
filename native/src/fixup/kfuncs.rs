// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Kernel functions that BPF programs may call: the sets in `.BTF_ids` that are marked as such
//! (include/linux/btf_ids.h, Documentation/bpf/kfuncs.rst).

use std::collections::HashMap;

use super::id_of;
use crate::btf::{self, Kind};
use crate::combine::Combiner;
use crate::elf::image::Image;
use crate::object::numbering::Class;
use crate::support::endian;

const SET: &[u8] = b"__BTF_ID__set8__";
const FUNC: &[u8] = b"__BTF_ID__func__";
/// Flag of a set: its members are kfuncs.
const SET_OF_KFUNCS: u32 = 1 << 0;
/// Flag of a member: the verifier knows a fast call of it (`KF_FASTCALL`).
const FASTCALL: u32 = 1 << 12;
/// Flags of a member: result, first, second parameter point into a BPF arena (`KF_ARENA_*`), each
/// with its place in the words of a prototype.
const ARENA: [(u32, usize); 3] = [(1 << 13, 2), (1 << 14, 4), (1 << 15, 6)];
const ARENA_TAG: &[u8] = b"address_space(1)";

/// Names of kfuncs with their flags. Where a kfunc is in several sets, the last one counts.
pub fn find(image: &Image<'_>) -> HashMap<Vec<u8>, u32> {
    let Some(section) = image.sections.iter().position(|s| s.name == b".BTF_ids") else {
        return HashMap::new();
    };
    let base = image.sections[section].address;
    let word = |at: u64| -> Option<u32> {
        let at = usize::try_from(at).ok()?;
        let field = image.btf_ids.get(at..at.checked_add(4)?)?;
        Some(endian::get(field, image.big_endian) as u32)
    };
    let inside = || {
        image
            .symbols
            .iter()
            .filter(move |s| s.section as usize == section)
            .map(move |s| (s, s.value.wrapping_sub(base)))
    };
    // A set is: number of members, flags, then a pair (id, flags) for each member.
    let sets: Vec<(u64, u64)> = inside()
        .filter(|(s, _)| s.name.starts_with(SET))
        .filter(|&(_, at)| word(at + 4).is_some_and(|flags| flags & SET_OF_KFUNCS != 0))
        .map(|(s, at)| (at, at.saturating_add(s.size)))
        .collect();
    let mut found = HashMap::new();
    for (symbol, at) in inside() {
        let Some(rest) = symbol.name.strip_prefix(FUNC) else {
            continue;
        };
        if !sets.iter().any(|&(start, end)| at >= start && at < end) {
            continue;
        }
        // The name is followed by two underscores and a number that makes it unique.
        let Some(cut) = rest.windows(2).rposition(|w| w == b"__") else {
            continue;
        };
        if let Some(flags) = word(at + 4) {
            found.insert(rest[..cut].to_vec(), flags);
        }
    }
    found
}

pub(super) fn tags(flags: u32) -> impl Iterator<Item = &'static [u8]> {
    let fastcall = (flags & FASTCALL != 0).then_some(&b"bpf_fastcall"[..]);
    std::iter::once(&b"bpf_kfunc"[..]).chain(fastcall)
}

/// The prototype of a kfunc with its pointers into an arena marked: such a pointer gets a type tag
/// with kind_flag, which means an attribute of the pointee.
pub(super) fn in_arena(combiner: &mut Combiner<'_>, proto: Class, flags: u32) -> Class {
    let mut words = combiner.class_words(proto).to_vec();
    let mut identity = combiner.facts(proto).id.bytes().to_vec();
    for (flag, place) in ARENA {
        let Some(&pointer) = words.get(place) else {
            continue;
        };
        // A pointer that hides behind a typedef cannot be marked.
        if flags & flag == 0 || combiner.kind_or_void(pointer) != Some(Kind::Ptr) {
            continue;
        }
        let pointee = combiner.class_words(pointer)[2];
        let target = match pointee {
            0 => [0; 16],
            class => combiner.facts(class).id.bytes(),
        };
        let name = combiner.strings.add(ARENA_TAG);
        let tag = combiner.push(
            id_of(Kind::TypeTag, &[ARENA_TAG, &target]),
            &[name, btf::info(Kind::TypeTag, 0, true), pointee],
        );
        words[place] = combiner.push(
            id_of(Kind::Ptr, &[ARENA_TAG, &target]),
            &[0, btf::info(Kind::Ptr, 0, false), tag],
        );
        identity.extend_from_slice(&flag.to_le_bytes());
    }
    if words == combiner.class_words(proto) {
        return proto;
    }
    combiner.push(id_of(Kind::FuncProto, &[&identity]), &words)
}
