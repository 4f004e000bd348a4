// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The BTF of a module in a build. make asks for it again whenever vmlinux is newer, although most
//! often neither the module nor the types of vmlinux have changed. So the finished BTF is kept in
//! the cache, under a key of all that it follows from, and is found there without reading what the
//! objects hold. docs/sidecar.md describes the entry.

use bytemuck::{Pod, Zeroable};
use xxhash_rust::xxh3::{xxh3_64, Xxh3};

use crate::combine::base;
use crate::elf::image::Image;
use crate::elf::Elf;
use crate::encode;
use crate::fixup::kfuncs;
use crate::kbuild;
use crate::link::request::{Output, Request};
use crate::object::Id;
use crate::store::cache::Event;
use crate::store::objects;
use crate::store::sidecar::{self, Stamp};
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
    part(&sidecar::encoder());
    part(format!("{:?}", request.features).as_bytes());
    part(bytemuck::cast_slice(&request.excluded_languages));
    part(bytemuck::bytes_of(&target));
    part(&base::fingerprint(base, target)?.bytes());
    for object in kbuild::linked_objects(request.elf)? {
        part(&objects::key_of(&object)?.bytes());
    }
    for section in &image.sections {
        if section.name.starts_with(b".BTF") && section.name != b".BTF_ids" {
            continue;
        }
        part(&section.name);
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

/// Also tells the byte order: a machine of the other one reads another number.
const MAGIC: u64 = u64::from_ne_bytes(*b"kbtm\r\n\x1a\x01");

/// Like that of a sidecar up to the key. The BTF follows, and then the distilled base.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Header {
    magic: u64,
    /// XXH3-64 of everything from `key` to the end of the file.
    checksum: u64,
    /// Always zero.
    stamp: Stamp,
    key: Id,
    types: u64,
    /// Bytes; 0 for no base.
    btf_len: u64,
    base_len: u64,
}

const CHECKED_FROM: usize = 16 + std::mem::size_of::<Stamp>();
const HEADER: usize = std::mem::size_of::<Header>();

struct Made {
    types: u64,
    btf: Vec<u8>,
    base: Option<Vec<u8>>,
}

impl Made {
    /// `None`: damaged, or of another key.
    fn parse(bytes: &[u8], key: Id) -> Option<Made> {
        let header: Header = bytemuck::pod_read_unaligned(bytes.get(..HEADER)?);
        let sound = header.magic == MAGIC
            && header.key == key
            && header.checksum == xxh3_64(&bytes[CHECKED_FROM..]);
        let (btf, base) = bytes[HEADER..].split_at_checked(header.btf_len as usize)?;
        (sound && base.len() as u64 == header.base_len).then(|| Made {
            types: header.types,
            btf: btf.to_vec(),
            base: (!base.is_empty()).then(|| base.to_vec()),
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
    let base = output.base.as_deref().unwrap_or(&[]);
    let mut header = Header {
        magic: MAGIC,
        checksum: 0,
        stamp: Stamp::default(),
        key,
        types: output.count("types"),
        btf_len: output.btf.len() as u64,
        base_len: base.len() as u64,
    };
    let mut out = [bytemuck::bytes_of(&header), &output.btf, base].concat();
    header.checksum = xxh3_64(&out[CHECKED_FROM..]);
    out[..HEADER].copy_from_slice(bytemuck::bytes_of(&header));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_damaged_byte_goes_unnoticed() {
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
        for i in (0..16).chain(CHECKED_FROM..bytes.len()) {
            let mut damaged = bytes.clone();
            damaged[i] ^= 0x10;
            assert!(Made::parse(&damaged, key).is_none(), "byte {i}");
        }
        for len in 0..bytes.len() {
            assert!(Made::parse(&bytes[..len], key).is_none(), "length {len}");
        }
    }
}
