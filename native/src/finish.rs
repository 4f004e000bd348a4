// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Stage 4, finish: resolve declarations, choose the types that belong to the result, put them in
//! canonical order, number them, lay out the strings, serialise.
//!
//! Canonical order: types without a name first, then by name, as newer kernels want it for their
//! binary search; equal names by kind, equal kinds by identity.

use std::collections::HashMap;

use crate::btf::{self, Field, Kind};
use crate::combine::{Class, Combiner};
use crate::error::{Error, Result};
use crate::features::Features;
use crate::identity::{self, Space};

/// The base of a split BTF: how far its ids and strings go.
pub struct Base<'a> {
    pub types: u32,
    pub strings: &'a [u8],
}

pub struct Finished {
    pub bytes: Vec<u8>,
    /// Number of types, without void.
    pub types: u64,
    /// How many of each kind, by `Kind as usize`.
    pub kinds: [u64; 20],
}

pub fn finish(
    combiner: &Combiner<'_>,
    features: &Features,
    base: Option<&Base<'_>>,
) -> Result<Finished> {
    let forward = resolve_declarations(combiner);
    let order = choose_and_order(combiner, &forward, features);
    let first = base.map_or(1, |b| b.types + 1);
    let mut ids = vec![0u32; combiner.classes.len() + 1];
    for class in combiner.numbers() {
        ids[class as usize] = combiner.facts(class).base_id;
    }
    for (i, &class) in order.iter().enumerate() {
        ids[class as usize] = first + i as u32;
    }
    for class in combiner.numbers() {
        let target = forward[class as usize];
        if target != 0 {
            ids[class as usize] = ids[target as usize];
        }
    }
    serialise(combiner, &order, &ids, features, base)
}

/// What stands for each declaration: the one definition of its name. Of an enumeration without
/// one, whose declarations may differ in size, that of the base or else of the smallest identity.
/// 0 where a declaration stands for itself.
fn resolve_declarations(combiner: &Combiner<'_>) -> Vec<Class> {
    let definitions = combiner.definitions();
    let declared = |class: Class| {
        let words = combiner.class_words(class);
        match identity::nominal(words) {
            Some((space, true)) if !combiner.facts(class).dead => Some((space, words[0])),
            _ => None,
        }
    };
    let rank = |class: Class| {
        let facts = combiner.facts(class);
        (facts.base_id == 0, facts.id)
    };
    let mut enums: HashMap<u32, Class> = HashMap::new();
    for class in combiner.numbers() {
        if let Some((Space::Enum, name)) = declared(class) {
            let first = enums.entry(name).or_insert(class);
            if rank(class) < rank(*first) {
                *first = class;
            }
        }
    }
    let mut forward = vec![0; combiner.classes.len() + 1];
    for class in combiner.numbers() {
        let Some((space, name)) = declared(class) else {
            continue;
        };
        if combiner.facts(class).base_id != 0 {
            continue;
        }
        let definition = match definitions.get(&(space, name)).map(Vec::as_slice) {
            Some([only]) => Some(only),
            _ if space == Space::Enum => enums.get(&name),
            _ => None,
        };
        forward[class as usize] = definition.copied().filter(|&d| d != class).unwrap_or(0);
    }
    forward
}

fn choose_and_order(combiner: &Combiner<'_>, forward: &[Class], features: &Features) -> Vec<Class> {
    let mut chosen = vec![false; combiner.classes.len() + 1];
    let mut queue: Vec<Class> = combiner
        .numbers()
        .filter(|&class| {
            let facts = combiner.facts(class);
            facts.required
                && !facts.dead
                && (features.decl_tag || combiner.kind(class) != Some(Kind::DeclTag))
        })
        .collect();
    while let Some(class) = queue.pop() {
        let class = match forward[class as usize] {
            0 => class,
            definition => definition,
        };
        if combiner.facts(class).base_id != 0
            || std::mem::replace(&mut chosen[class as usize], true)
        {
            continue;
        }
        let words = combiner.class_words(class);
        if let Some(kind) = identity::kind_of(words) {
            btf::for_each_field(kind, words, |i, field| {
                if field == Field::Type && words[i] != 0 {
                    queue.push(words[i]);
                }
            });
        }
    }
    // The first bytes of the name decide nearly always.
    let prefix = |class: Class| {
        let name = combiner.strings.get(combiner.class_words(class)[0]);
        let mut bytes = [0; 8];
        let len = name.len().min(8);
        bytes[..len].copy_from_slice(&name[..len]);
        u64::from_be_bytes(bytes)
    };
    let mut order: Vec<(u64, Class)> = combiner
        .numbers()
        .filter(|&c| chosen[c as usize])
        .map(|c| (prefix(c), c))
        .collect();
    order.sort_unstable_by(|&(p, a), &(q, b)| {
        let (x, y) = (combiner.class_words(a), combiner.class_words(b));
        let name = |words: &[u32]| combiner.strings.get(words[0]);
        p.cmp(&q)
            .then_with(|| name(x).cmp(name(y)))
            .then_with(|| identity::kind_of(x).cmp(&identity::kind_of(y)))
            .then_with(|| combiner.facts(a).id.cmp(&combiner.facts(b).id))
    });
    order.into_iter().map(|(_, class)| class).collect()
}

/// The string section of the result; strings that the base has are not repeated.
struct Strings<'b> {
    bytes: Vec<u8>,
    placed: HashMap<u32, u32, crate::encode::Fast>,
    base: HashMap<&'b [u8], u32>,
    start: u32,
}

impl<'b> Strings<'b> {
    fn new(base: Option<&Base<'b>>) -> Self {
        let mut known = HashMap::new();
        let mut start = 0;
        if let Some(base) = base {
            start = base.strings.len() as u32;
            let mut at = 0;
            for text in base.strings.split(|&b| b == 0) {
                known.entry(text).or_insert(at);
                at += text.len() as u32 + 1;
            }
        }
        Strings {
            // Offset 0 is the empty string; a split BTF takes it from its base.
            bytes: if start == 0 { vec![0] } else { Vec::new() },
            placed: HashMap::default(),
            base: known,
            start,
        }
    }

    fn place(&mut self, combiner: &Combiner<'_>, name: u32) -> u32 {
        if name == 0 {
            return 0;
        }
        if let Some(&at) = self.placed.get(&name) {
            return at;
        }
        let text = combiner.strings.get(name);
        let at = match self.base.get(text) {
            Some(&at) => at,
            None => {
                let at = self.start + self.bytes.len() as u32;
                self.bytes.extend_from_slice(text);
                self.bytes.push(0);
                at
            }
        };
        self.placed.insert(name, at);
        at
    }
}

fn serialise(
    combiner: &Combiner<'_>,
    order: &[Class],
    ids: &[u32],
    features: &Features,
    base: Option<&Base<'_>>,
) -> Result<Finished> {
    let big = combiner.target.is_some_and(|t| t.big_endian != 0);
    let put = |out: &mut Vec<u8>, word: u32| {
        out.extend_from_slice(&if big {
            word.to_be_bytes()
        } else {
            word.to_le_bytes()
        });
    };
    let mut strings = Strings::new(base);
    let mut types = Vec::new();
    let mut kinds = [0; 20];
    let mut words = Vec::new();
    for &class in order {
        let source = combiner.class_words(class);
        let Some(kind) = identity::kind_of(source) else {
            return Err(Error::new("type of unknown kind"));
        };
        words.clear();
        words.extend_from_slice(source);
        btf::for_each_field(kind, source, |i, field| {
            words[i] = match field {
                Field::Name => strings.place(combiner, source[i]),
                Field::Type => ids[source[i] as usize],
            };
        });
        kinds[kind as usize] += 1;
        words.iter().for_each(|&word| put(&mut types, word));
    }
    let layout = if features.layout && base.is_none() {
        layout_section()
    } else {
        Vec::new()
    };
    let header_len = if layout.is_empty() {
        btf::HEADER_LEN
    } else {
        btf::HEADER_LEN + 8
    };
    let length =
        |bytes: usize| u32::try_from(bytes).map_err(|_| Error::new("more than 4 GiB of BTF"));
    let (types_len, layout_len) = (length(types.len())?, length(layout.len())?);
    let mut out = Vec::with_capacity(types.len() + strings.bytes.len() + 64);
    let magic = btf::MAGIC;
    out.extend_from_slice(&if big {
        magic.to_be_bytes()
    } else {
        magic.to_le_bytes()
    });
    out.extend_from_slice(&[1, 0]);
    put(&mut out, header_len);
    put(&mut out, 0);
    put(&mut out, types_len);
    put(&mut out, types_len + layout_len);
    put(&mut out, length(strings.bytes.len())?);
    if !layout.is_empty() {
        put(&mut out, types_len);
        put(&mut out, layout_len);
    }
    out.extend_from_slice(&types);
    out.extend_from_slice(&layout);
    out.extend_from_slice(&strings.bytes);
    Ok(Finished {
        bytes: out,
        types: order.len() as u64,
        kinds,
    })
}

/// Sizes of each kind's data, so that readers can step over kinds that they do not know: for each
/// kind bytes once, bytes per element, flags (two bytes).
fn layout_section() -> Vec<u8> {
    let sizes = |kind: Kind| {
        let one = btf::type_len(kind, 1) - 3;
        let none = btf::type_len(kind, 0) - 3;
        [(none * 4) as u8, ((one - none) * 4) as u8, 0, 0]
    };
    std::iter::once([0; 4])
        .chain(Kind::ALL.map(sizes))
        .flatten()
        .collect()
}
