// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The road from one end to the other, for a link with its objects and for any ELF with DWARF:
//! encode (or reuse), combine, fix up, finish, check.

pub mod modules;
pub mod request;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use self::request::{check_request, Output, Request};
use crate::btf;
use crate::btf::check::{self, Rules};
use crate::combine::base::{self, trim, Base};
use crate::combine::objects::{Gate, Intake, Member, Members};
use crate::combine::{reduce, refine, units, Combiner, Wanted};
use crate::dwarf::Dwarf;
use crate::elf::image::Image;
use crate::elf::Elf;
use crate::encode::{self, Source};
use crate::finish::{self, stable, Finished};
use crate::fixup::{self, sections};
use crate::kbuild;
use crate::object::features::Features;
use crate::object::refused::Counted;
use crate::object::{languages, Variable, View};
use crate::support::error::{Error, Result};
use crate::support::files::Mapped;
use crate::support::progress;
use crate::support::threads::Threads;
use crate::support::timings::{self, Clock};

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
    combine_objects(request, objects, None, |combined| {
        complete(request, combined)
    })
}

/// From the DWARF of one file, its units in parallel.
pub fn encode(request: &Request<'_>) -> Result<Output> {
    check_request(request)?;
    combine_units(request, None, |combined| complete(request, combined))
}

/// What both roads have made before the fix-up.
pub struct Combined<'c, 'w> {
    pub combiner: Combiner<'w>,
    pub image: &'c Image<'c>,
    /// Paths of the objects, by number.
    pub names: &'c [String],
    pub base: Option<&'c Base>,
    pub threads: &'c Threads,
    pub report: Vec<(String, u64)>,
    pub notes: Vec<String>,
    pub clock: Clock,
}

pub fn combine_objects<T>(
    request: &Request<'_>,
    objects: Option<&[PathBuf]>,
    watch: Option<&[u8]>,
    then: impl FnOnce(Combined<'_, '_>) -> Result<T>,
) -> Result<T> {
    let mut clock = Clock::start();
    // First: what is wrong with the file itself is not to be told as trouble with its objects.
    let mapped = Mapped::open(request.elf)?;
    let elf = Elf::parse(&mapped)?;
    let found_by_kbuild = objects.is_none();
    let found;
    let objects = match objects {
        Some(given) => given,
        None => {
            found = kbuild::linked_objects(request.elf)?;
            &found
        }
    };
    if objects.is_empty() {
        return Err(Error::new("no objects to link").at(request.elf.display()));
    }
    let threads = Threads::new(request.jobs, objects.len().div_ceil(OBJECTS_PER_THREAD))?;
    clock.lap("start", objects.len() as u64, 0);
    let image = Image::read(&elf)?;
    clock.lap("read image", image.symbols.len() as u64, 0);
    let target = encode::target(&elf);
    let base = request
        .base
        .as_deref()
        .map(|p| Base::open(p, target))
        .transpose()?;
    clock.lap(
        "open base",
        base.as_ref().map_or(0, |b| b.count().into()),
        0,
    );
    let wanted_variable =
        |view: &View<'_>, v: &Variable| sections::is_wanted(&request.features, &image, view, v);
    let wanted = Wanted {
        variable: &wanted_variable,
        excluded_languages: &request.excluded_languages,
    };
    let mut combiner = Combiner::new(&wanted);
    combiner.watch(watch);
    let combiner = Mutex::new(combiner);
    let gate = Gate {
        combiner: &combiner,
        policy: request.policy(),
        target,
        elf: request.elf,
        keep_sidecars: request.keep_sidecars,
        cache: request.cache.as_ref(),
    };
    progress::begin("objects", objects.len());
    let take = |intake: &mut Intake, i: usize, path: &PathBuf| {
        progress::add(1);
        match base {
            None => intake.take(&gate, i, path),
            Some(_) => intake.keep(&gate, i, path),
        }
    };
    let finish = |intake: &mut Intake| intake.close(&gate);
    let intakes = threads.share(objects, Intake::default, take, finish)?;
    let mut combiner = combiner.into_inner().unwrap_or_else(|e| e.into_inner());
    combiner.sort_by_object();
    let mut members: Vec<&Member> = intakes.iter().flat_map(|i| &i.members).collect();
    members.sort_unstable_by_key(|m| m.index);
    let types = members.iter().map(|m| m.types).sum();
    let bytes = members.iter().map(|m| m.size).sum();
    clock.lap("load and combine", types, bytes);
    if found_by_kbuild {
        let named: Vec<_> = members
            .iter()
            .map(|m| (&objects[m.index as usize], m.source_files.as_deref()))
            .collect();
        kbuild::cross_check(&image, &named)?;
        clock.lap("cross-check objects", members.len() as u64, 0);
    }
    let count = |is: fn(&Member) -> bool| members.iter().filter(|m| is(m)).count() as u64;
    let without_dwarf = count(|m| m.source_files.is_none());
    let report = vec![
        ("linked".to_owned(), members.len() as u64),
        ("reused".to_owned(), count(|m| m.reused)),
        ("encoded".to_owned(), count(|m| !m.reused)),
        ("without_dwarf".to_owned(), without_dwarf),
    ];
    if without_dwarf == members.len() as u64 {
        return Err(no_dwarf(request.elf));
    }
    let notes = counted(request, members.iter().map(|m| &m.counted))?;
    let names: Vec<String> = objects.iter().map(|p| p.display().to_string()).collect();
    let whole: Vec<(u32, View<'_>)> = match base {
        None => Vec::new(),
        Some(_) => members
            .iter()
            .filter_map(|m| Some((m.index, m.view()?)))
            .collect(),
    };
    // What `explain` is asked for may be in the base; reduced kinds have other identities there.
    let abridged = match &base {
        Some(base) if watch.is_none() && !reduce::is_needed(&request.features) => {
            trim::objects(base, &whole, &image, &wanted)
        }
        _ => None,
    };
    let mut parts: Vec<(u32, View<'_>)> = match &abridged {
        Some(abridged) => abridged.iter().map(|(i, a)| (*i, a.view())).collect(),
        None => whole,
    };
    if let Some(abridged) = &abridged {
        clock.lap("abridge", abridged.len() as u64, 0);
    }
    for (i, view) in &parts {
        combiner
            .add(*i, view, None)
            .map_err(|e| e.at(&names[*i as usize]))?;
    }
    progress::begin("refining", 0);
    base.as_ref()
        .map(|base| base.join(&mut combiner))
        .transpose()?;
    clock.lap(
        "look up in base",
        base.as_ref().map_or(0, |b| b.count().into()),
        0,
    );
    let refined = match &base {
        None => {
            let mut again = Members::new(&intakes, objects, &threads, request.cache.as_ref());
            refine::refine(&mut combiner, &mut again, None)?
        }
        Some(_) => refine::refine(
            &mut combiner,
            &mut parts,
            base.as_ref().map(|base| &base.index),
        )?,
    };
    clock.lap("refine", refined.variants, 0);
    then(Combined {
        combiner,
        image: &image,
        names: &names,
        base: base.as_ref(),
        threads: &threads,
        report,
        notes,
        clock,
    })
}

fn no_dwarf(elf: &Path) -> Error {
    Error::new("no DWARF debug information")
        .at(elf.display())
        .hint("build with CONFIG_DEBUG_INFO_DWARF_TOOLCHAIN_DEFAULT=y (gcc -g), before strip")
}

/// What is to be told of units of which the BTF has less than it should. Of a kernel not all may be left out.
fn counted<'c>(
    request: &Request<'_>,
    all: impl Iterator<Item = &'c Counted>,
) -> Result<Vec<String>> {
    let mut sum = Counted::default();
    all.for_each(|counted| sum.add(counted));
    if sum.units == 0 && request.base.is_none() {
        let names = request.excluded_languages.iter();
        let names: Vec<_> = names
            .filter_map(|&number| languages::name(number))
            .collect();
        return Err(Error::new(format!(
            "all of its units are in languages that are left out ({})",
            names.join(", ")
        ))
        .at(request.elf.display())
        .hint("name fewer with --lang_exclude"));
    }
    Ok(sum.notes())
}

pub fn combine_units<T>(
    request: &Request<'_>,
    watch: Option<&[u8]>,
    then: impl FnOnce(Combined<'_, '_>) -> Result<T>,
) -> Result<T> {
    let mut clock = Clock::start();
    let mapped = Mapped::open(request.elf)?;
    let elf = Elf::parse(&mapped)?;
    let dwarf = Dwarf::load(&elf)?;
    if dwarf.info.data.is_empty() {
        return Err(no_dwarf(request.elf));
    }
    let useful = dwarf.info.data.len().div_ceil(DWARF_PER_THREAD);
    let threads = Threads::new(request.jobs, useful)?;
    let (image, all) = threads.join(
        || Image::read(&elf),
        || {
            let units = dwarf.units().map_err(|e| e.at(request.elf.display()))?;
            let refer = encode::has_cross_references(&dwarf, &units);
            Ok((units, refer))
        },
    );
    let image = image?;
    let (all, refer_to_each_other) = all?;
    let source = Source::new(&elf, &dwarf)?;
    clock.lap("read image", image.symbols.len() as u64, 0);
    let target = source.target;
    let base = request
        .base
        .as_deref()
        .map(|p| Base::open(p, target))
        .transpose()?;
    let wanted_variable =
        |view: &View<'_>, v: &Variable| sections::is_wanted(&request.features, &image, view, v);
    let wanted = Wanted {
        variable: &wanted_variable,
        excluded_languages: &request.excluded_languages,
    };
    // Units that refer to each other go together; others one by one, which the processor's cache
    // can hold.
    let batch = if refer_to_each_other {
        all.len().max(1)
    } else {
        1
    };
    let batches: Vec<_> = all.chunks(batch).collect();
    let mut combiner = Combiner::new(&wanted);
    combiner.watch(watch);
    let combiner = Mutex::new(combiner);
    let gate = units::Gate {
        combiner: &combiner,
        policy: request.policy(),
        elf: request.elf,
    };
    progress::begin("units", all.len());
    let mut intakes = threads.share(
        &batches,
        || units::Intake::new(&source, watch.is_some()),
        |intake, i, units| {
            intake.take(&gate, i, units)?;
            progress::add(units.len());
            Ok(())
        },
        |intake| intake.close(&gate),
    )?;
    let mut combiner = combiner.into_inner().unwrap_or_else(|e| e.into_inner());
    let bytes = dwarf.info.data.len() as u64;
    clock.lap("encode and combine", all.len() as u64, bytes);
    progress::begin("refining", 0);
    base.as_ref()
        .map(|base| base.join(&mut combiner))
        .transpose()?;
    clock.lap(
        "look up in base",
        base.as_ref().map_or(0, |b| b.count().into()),
        0,
    );
    let mut again = units::Batches::new(&mut intakes, &batches, &threads);
    let refined = refine::refine(
        &mut combiner,
        &mut again,
        base.as_ref().map(|base| &base.index),
    )?;
    clock.lap("refine", refined.variants, 0);
    let notes = counted(request, intakes.iter().map(|intake| &intake.counted))?;
    let report = vec![("units".to_owned(), all.len() as u64)];
    let names = vec![request.elf.display().to_string(); batches.len()];
    then(Combined {
        combiner,
        image: &image,
        names: &names,
        base: base.as_ref(),
        threads: &threads,
        report,
        notes,
        clock,
    })
}

fn keep_ids(
    combiner: &Combiner<'_>,
    features: &Features,
    reference: &Path,
    made: Finished,
) -> Result<(Finished, bool)> {
    let target = combiner.target.unwrap_or_default();
    let old = base::raw(reference, target)?;
    let renumbered = stable::renumber(&made.bytes, &old, features.layout, target)
        .map_err(|e| e.at(reference.display()))?;
    let bytes = renumbered.bytes;
    Ok((Finished { bytes, ..made }, renumbered.fits))
}

/// The stages that both roads share.
fn complete(request: &Request<'_>, combined: Combined<'_, '_>) -> Result<Output> {
    let Combined {
        mut combiner,
        image,
        names: objects,
        base,
        threads,
        mut report,
        notes,
        mut clock,
    } = combined;
    progress::begin("finishing", 0);
    if reduce::is_needed(&request.features) {
        combiner = reduce::reduce(combiner, &request.features, base)?;
        clock.lap("reduce", combiner.classes.len() as u64, 0);
    }
    let relink = kbuild::relink::link_again;
    let outcome = fixup::fix_up(
        &mut combiner,
        image,
        objects,
        &request.features,
        threads,
        relink,
    )
    .map_err(|e| e.at(request.elf.display()))?;
    clock.lap("fix up", image.symbols.len() as u64, 0);
    let finished = finish::finish(&combiner, &request.features, base, threads)?;
    let finished = match &request.stable_ids {
        Some(reference) => {
            let (kept, fits) = keep_ids(&combiner, &request.features, reference, finished)?;
            report.push(("modules_fit".to_owned(), u64::from(fits)));
            kept
        }
        None => finished,
    };
    let bytes = finished.bytes.len() as u64;
    clock.lap("finish", finished.types, bytes);
    let pointer_size = combiner.target.map(|t| u64::from(t.address_size));
    let base = base.map(Base::types);
    let checked = match &finished.base {
        None => check::check(&finished.bytes, base, pointer_size, Rules::Kernel, threads),
        Some(distilled) => check::check(distilled, None, pointer_size, Rules::Kernel, threads)
            .and_then(|()| {
                let (raw, below) = (&finished.bytes, Some(distilled.as_slice()));
                check::check_raw(raw, below, pointer_size, Rules::Kernel)
            }),
    };
    checked.map_err(|e| e.at(request.elf.display()))?;
    clock.lap("check", finished.types, bytes);
    let what = format!("BTF {}", request.elf.display());
    timings::trace(request.trace.as_deref(), &what, &clock.laps);
    report.push(("types".to_owned(), finished.types));
    report.push(("functions".to_owned(), outcome.functions));
    report.push(("variables".to_owned(), outcome.variables));
    report.push(("settled_by_dwarf".to_owned(), outcome.settled_by_dwarf));
    for (name, count) in outcome.skipped {
        report.push((name.to_owned(), count));
    }
    for kind in btf::Kind::ALL {
        report.push((kind.name().to_owned(), finished.kinds[kind as usize]));
    }
    Ok(Output {
        btf: finished.bytes,
        base: finished.base,
        report,
        left_out: outcome.left_out,
        notes,
        timings: clock.laps,
    })
}
