// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The road from one end to the other, for a link with its objects and for any ELF with DWARF:
//! encode (or reuse), combine, fix up, finish, check.

pub mod modules;
pub mod request;
pub mod stages;

use std::path::{Path, PathBuf};

use self::request::{check_request, Output, Request};
use self::stages::{Combined, Road};
use crate::combine::base;
use crate::combine::intake::Intake;
use crate::combine::objects::{self, Objects};
use crate::combine::units::{self, Units};
use crate::combine::Watch;
use crate::dwarf::{unit, Dwarf};
use crate::elf::image::Image;
use crate::elf::Elf;
use crate::encode::{self, Source};
use crate::kbuild;
use crate::store::objects as store;
use crate::support::error::{Error, Result};
use crate::support::files::Mapped;
use crate::support::guard::guarded;
use crate::support::progress;
use crate::support::threads::Threads;
use crate::support::timings::Clock;

/// Could `encode` read this file?
pub fn has_dwarf(path: &Path) -> bool {
    let Ok(mapped) = Mapped::open(path) else {
        return false;
    };
    Elf::parse(&mapped).is_ok_and(|elf| elf.has_section(".debug_info"))
}

/// Is there no debug information at all, neither in the file nor in an object that it was linked from?
pub fn lacks_dwarf(path: &Path) -> bool {
    let lacks = |path: &Path| {
        Mapped::open(path).is_ok_and(|mapped| {
            Elf::parse(&mapped)
                .is_ok_and(|elf| !elf.has_section(".debug_info") && !elf.holds_lto_code())
        })
    };
    let objects = kbuild::linked_objects(path).unwrap_or_default();
    lacks(path) && objects.iter().all(|object| lacks(object))
}

/// Objects, and bytes of `.debug_info`, that are worth a thread of their own.
const OBJECTS_PER_THREAD: usize = 16;
const DWARF_PER_THREAD: usize = 1 << 18;

/// From the objects of a link; `None`: find out which ones the linker took.
pub fn link(request: &Request<'_>, objects: Option<&[PathBuf]>) -> Result<Output> {
    check_request(request)?;
    without_unsound(request, objects, || {
        combine_objects(request, objects, None, |combined| {
            complete(request, combined)
        })
    })
}

/// What fails may have read what could not be: numbers in what is kept that lead to nothing. To look at
/// them all each time would take longer than a link does; so they are looked at now, and it is done again
/// without those that are damaged.
fn without_unsound(
    request: &Request<'_>,
    objects: Option<&[PathBuf]>,
    attempt: impl Fn() -> Result<Output>,
) -> Result<Output> {
    guarded(&attempt).or_else(|error| {
        let damaged = forget_unsound(request, objects);
        match damaged.is_empty() {
            true => Err(error),
            false => guarded(&attempt).map(|mut output| {
                output.notes.extend(damaged);
                output
            }),
        }
    })
}

/// Returned: a line for each file that was removed.
fn forget_unsound(request: &Request<'_>, objects: Option<&[PathBuf]>) -> Vec<String> {
    let found = match objects {
        Some(_) => Ok(Vec::new()),
        None => kbuild::linked_objects(request.elf),
    };
    let mut removed = Vec::new();
    let Ok(found) = found else {
        // It has not come as far as to read any: a module without its objects, which is encoded then.
        return removed;
    };
    for object in objects.unwrap_or(&found) {
        let unsound = guarded(|| Ok(store::forget_unsound(object, request.cache.as_ref())));
        if unsound.is_ok_and(|unsound| unsound) {
            removed.push(format!(
                "{}: what was kept of it was damaged, and is made again",
                object.display()
            ));
        }
    }
    if let Some(base) = request.base.as_deref() {
        let unsound = guarded(|| {
            let mapped = Mapped::open(request.elf)?;
            base::forget_unsound_index(base, encode::target(&Elf::parse(&mapped)?))
        });
        if unsound.is_ok_and(|unsound| unsound) {
            removed.push(format!(
                "{}: its index was damaged, and is made again",
                base.display()
            ));
        }
    }
    removed
}

/// From the DWARF of one file, its units in parallel.
pub fn encode(request: &Request<'_>) -> Result<Output> {
    check_request(request)?;
    without_unsound(request, Some(&[]), || {
        combine_units(request, None, |combined| complete(request, combined))
    })
}

/// The stages that both roads share.
fn complete(request: &Request<'_>, combined: Combined<'_, '_>) -> Result<Output> {
    progress::begin("finishing", 0);
    let mut combined = combined.reduce(request)?;
    let outcome = combined.fix_up(request)?;
    let finished = combined.finish(request)?;
    combined.check(request, &finished)?;
    Ok(combined.report(request, outcome, finished))
}

/// The objects of a link as far as the fix-up.
pub fn combine_objects<T>(
    request: &Request<'_>,
    objects: Option<&[PathBuf]>,
    watch: Option<Watch>,
    then: impl FnOnce(Combined<'_, '_>) -> Result<T>,
) -> Result<T> {
    let mut clock = Clock::start();
    // First: what is wrong with the file itself is not to be told as trouble with its objects.
    let mapped = Mapped::open(request.elf)?;
    let elf = Elf::parse(&mapped)?;
    let found = match objects {
        Some(_) => None,
        None => Some(objects_of(request.elf, &elf)?),
    };
    let objects = objects.or(found.as_deref()).unwrap_or_default();
    if objects.is_empty() {
        return Err(Error::new("no objects to link").at(request.elf.display()));
    }
    let threads = Threads::new(request.jobs, objects.len().div_ceil(OBJECTS_PER_THREAD))?;
    clock.lap("start", objects.len() as u64, 0);
    let image = Image::read(&elf)?;
    clock.lap("read image", image.symbols.len() as u64, 0);
    let target = encode::target(&elf);
    let base = stages::open_base(request, target, &mut clock)?;
    let asked = objects::Asked {
        policy: request.policy(),
        target,
        elf: request.elf,
        keep_sidecars: request.keep_sidecars,
        cache: request.cache.as_ref(),
        sites: request.features.inline,
        whole: base.is_some(),
    };
    let names: Vec<String> = objects.iter().map(|p| p.display().to_string()).collect();
    let road = Road {
        request,
        image: &image,
        base: base.as_ref(),
        threads: &threads,
        names: &names,
        watch,
        clock,
    };
    progress::begin("objects", objects.len());
    let supply = || Objects::new(&asked);
    let report = |road: &mut Road<'_>, taken: &[Intake<Objects<'_>>]| {
        road.report_objects(taken, objects, found.is_some())
    };
    road.combine(objects, supply, report, then)
}

/// What the linker took; where nothing tells, but it has left the BTFs of all objects, the file itself.
fn objects_of(path: &Path, elf: &Elf<'_>) -> Result<Vec<PathBuf>> {
    kbuild::linked_objects(path).or_else(|error| match encode::has_several(elf) {
        true => Ok(vec![path.to_path_buf()]),
        false => Err(error),
    })
}

/// The units of one file as far as the fix-up.
pub fn combine_units<T>(
    request: &Request<'_>,
    watch: Option<Watch>,
    then: impl FnOnce(Combined<'_, '_>) -> Result<T>,
) -> Result<T> {
    let mut clock = Clock::start();
    let mapped = Mapped::open(request.elf)?;
    let elf = Elf::parse(&mapped)?;
    let dwarf = Dwarf::load(&elf)?;
    let bytes = dwarf.info.data.len();
    if bytes == 0 {
        return Err(stages::no_dwarf(request.elf));
    }
    let threads = Threads::new(request.jobs, bytes.div_ceil(DWARF_PER_THREAD))?;
    let (image, batches) = threads.join(
        || Image::read(&elf),
        || encode::batches(&dwarf).map_err(|e| e.at(request.elf.display())),
    );
    let (image, batches) = (image?, batches?);
    let is_split = encode::look_at_skeletons(&elf, &dwarf, batches.iter().flatten())
        .map_err(|e| e.at(request.elf.display()))?;
    let source = Source::new(&elf, &dwarf)?.with_sites(request.features.inline);
    clock.lap("read image", image.symbols.len() as u64, 0);
    let base = stages::open_base(request, source.target, &mut clock)?;
    let asked = units::Asked {
        policy: request.policy(),
        elf: request.elf,
        is_watched: watch.is_some(),
        is_split,
    };
    // Who asks for everything wants to know where it comes from.
    let names = match &watch {
        Some(Watch::Everything) => batches
            .iter()
            .map(|own| unit::source(&dwarf, own))
            .collect(),
        _ => vec![request.elf.display().to_string(); batches.len()],
    };
    let road = Road {
        request,
        image: &image,
        base: base.as_ref(),
        threads: &threads,
        names: &names,
        watch,
        clock,
    };
    let count = batches.iter().map(Vec::len).sum();
    progress::begin("units", count);
    let supply = || Units::new(&asked, &source);
    let report = |road: &mut Road<'_>, taken: &[Intake<Units<'_, '_>>]| {
        road.report_units(taken, count, bytes)
    };
    road.combine(&batches, supply, report, then)
}
