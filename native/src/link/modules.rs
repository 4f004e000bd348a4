// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The BTF of a module in a build. make asks for it again whenever vmlinux is newer, although most
//! often neither the module nor the types of vmlinux have changed. So the finished BTF is kept in
//! the cache, under a key of all that it follows from, and is found there without reading what the
//! objects hold. docs/sidecar.md describes the entry.

use bytemuck::{Pod, Zeroable};
use xxhash_rust::xxh3::Xxh3;

use crate::combine::base;
use crate::elf::image::Image;
use crate::elf::Elf;
use crate::encode;
use crate::fixup::kfuncs;
use crate::kbuild;
use crate::link::request::{Output, Request};
use crate::object::Id;
use crate::store::cache::Event;
use crate::store::container::{self, Stamp};
use crate::store::objects;
use crate::support::error::{Error, Result};
use crate::support::files::Mapped;
use crate::support::timings::{self, Clock};

/// Count in the report of BTF that came out of the cache.
pub const FROM_CACHE: &str = "from_cache";

/// From the objects of the module, or what was made of the same before.
pub fn link(request: &Request<'_>) -> Result<Output> {
    let mut clock = Clock::start();
    let Some(cache) = &request.cache else {
        return super::link(request, None);
    };
    // What is wrong with an object or the base, the long way says.
    let Ok(key) = key_of(request) else {
        return super::link(request, None);
    };
    clock.lap("key", 0, 0);
    let made = cache.load(key, |bytes| Made::parse(&bytes, key));
    if let Some(made) = made {
        cache.count(Event::ModuleReused);
        let size = made.btf.len() + made.base.as_ref().map_or(0, Vec::len);
        clock.lap("read cache", made.types, size as u64);
        let what = format!("BTF {}", request.elf.display());
        timings::trace(request.trace.as_deref(), &what, &clock.laps);
        return Ok(made.into_output(clock));
    }
    let output = super::link(request, None)?;
    cache.count(Event::ModuleEncoded);
    // What the linked debug information said is not in the key; what is to be told, not in the entry.
    if output.count("settled_by_dwarf") == 0 && output.notes.is_empty() {
        cache.put(key, &[&serialise(key, &output)], None);
    }
    Ok(output)
}

/// Everything that the BTF of a module follows from: the content of its objects, the types of the
/// base, what is asked for, and what the fix-up reads in the module. That BTF lies in it already, or
/// that resolve_btfids has filled in its numbers, changes nothing.
fn key_of(request: &Request<'_>) -> Result<Id> {
    let base = request.base.as_deref();
    let base = base.ok_or_else(|| Error::new("no base").at(request.elf.display()))?;
    let mapped = Mapped::open(request.elf)?;
    let elf = Elf::parse(&mapped)?;
    let image = Image::read(&elf)?;
    let target = encode::target(&elf);
    let mut hash = Xxh3::new();
    let mut part = |bytes: &[u8]| {
        hash.update(&(bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(b"module");
    part(container::ENCODER_VERSION.as_bytes());
    part(format!("{:?}", request.features).as_bytes());
    part(bytemuck::cast_slice(&request.excluded_languages));
    part(bytemuck::bytes_of(&target));
    part(&base::fingerprint(base, target)?.bytes());
    for object in kbuild::linked_objects(request.elf)? {
        part(&objects::key_of(&object, false)?.bytes());
    }
    for section in &image.sections {
        if section.name.starts_with(b".BTF") && section.name != b".BTF_ids" {
            continue;
        }
        part(section.name);
        if section.alloc {
            let data = u64::from(section.holds_data);
            part(bytemuck::cast_slice(&[section.address, section.size, data]));
        }
    }
    for symbol in &image.symbols {
        part(symbol.name);
        let kinds = [
            symbol.section.into(),
            symbol.kind.into(),
            symbol.binding.into(),
        ];
        part(bytemuck::cast_slice::<u64, _>(&kinds));
        part(bytemuck::cast_slice(&[symbol.value, symbol.size]));
    }
    let mut kfuncs: Vec<(Vec<u8>, u32)> = kfuncs::find(&image).into_iter().collect();
    kfuncs.sort_unstable();
    for (name, flags) in &kfuncs {
        part(name);
        part(&flags.to_le_bytes());
    }
    Ok(hash.digest128().into())
}

const KIND: [u8; 4] = *b"kbtm";

/// Its arrays are the BTF and the distilled base, which is empty where there is none. The stamp is always
/// zero.
type Header = container::Header<Own, 2>;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Own {
    key: Id,
    types: u64,
}

struct Made {
    types: u64,
    btf: Vec<u8>,
    base: Option<Vec<u8>>,
}

impl Made {
    /// `None`: damaged, or of another key.
    fn parse(bytes: &[u8], key: Id) -> Option<Made> {
        let header = Header::read(KIND, bytes)?;
        let sound = header.own.key == key && header.is_sound(bytes);
        let array = |i| header.array(bytes, i).to_vec();
        sound.then(|| Made {
            types: header.own.types,
            btf: array(0),
            base: Some(array(1)).filter(|base| !base.is_empty()),
        })
    }

    fn into_output(self, clock: Clock) -> Output {
        Output {
            btf: self.btf,
            base: self.base,
            report: vec![(FROM_CACHE.to_owned(), 1), ("types".to_owned(), self.types)],
            left_out: Vec::new(),
            notes: Vec::new(),
            timings: clock.laps,
        }
    }
}

fn serialise(key: Id, output: &Output) -> Vec<u8> {
    let content = [&output.btf, output.base.as_deref().unwrap_or_default()];
    let own = Own {
        key,
        types: output.count("types"),
    };
    let mut out = Header::new(KIND, Stamp::default(), own, &content).bytes();
    out.extend(container::padded(content).flatten());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_it_went() {
        let key = Id { high: 1, low: 2 };
        let output = Output {
            btf: b"the BTF".to_vec(),
            base: Some(b"its base".to_vec()),
            report: Vec::new(),
            left_out: Vec::new(),
            notes: Vec::new(),
            timings: Vec::new(),
        };
        let bytes = serialise(key, &output);
        let made = Made::parse(&bytes, key).expect("sound");
        assert_eq!((made.btf, made.base), (output.btf, output.base));
        assert!(Made::parse(&bytes, Id::default()).is_none());
    }
}
