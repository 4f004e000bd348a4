// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The road from one end to the other, for a link with its objects and for any ELF with DWARF:
//! encode (or reuse), combine, fix up, finish, check.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::base::{self, Base};
use crate::btf;
use crate::btf::check::{self, Rules};
use crate::combine::{Combiner, Wanted};
use crate::dwarf::Dwarf;
use crate::elf::{Elf, Mapped};
use crate::encode::{self, Source};
use crate::encoded::{Variable, View};
use crate::error::{Error, Result};
use crate::explain::{self, Explanation};
use crate::features::Features;
use crate::finish::{self, Finished};
use crate::fixup;
use crate::image::Image;
use crate::intake::{Gate, Intake, Member, Members};
use crate::kbuild;
use crate::languages;
use crate::names::Names;
use crate::refused::{Counted, Policy};
use crate::resolve::Resolution;
use crate::threads::Threads;
use crate::timings::{self, Clock, Lap};
use crate::{abridge, progress, reduce, refine, stable, units};

pub struct Request<'a> {
    /// The linked file; `encode` reads its DWARF, `link` only its symbols and sections.
    pub elf: &'a Path,
    pub features: Features,
    /// `DW_LANG_*` of units to leave out.
    pub excluded_languages: Vec<u32>,
    /// Threads; 0 for one each processor.
    pub jobs: usize,
    /// ELF with `.BTF`, or raw BTF, that the result is split against.
    pub base: Option<PathBuf>,
    /// BTF of an earlier build, whose ids and string offsets are kept.
    pub stable_ids: Option<PathBuf>,
    /// Leave sidecars beside objects that had none, as a build does.
    pub keep_sidecars: bool,
}

impl Request<'_> {
    fn policy(&self) -> Policy<'_> {
        Policy {
            excluded_languages: &self.excluded_languages,
            is_module: self.base.is_some(),
        }
    }
}

pub struct Output {
    pub btf: Vec<u8>,
    /// The distilled base that `btf` is split against, where it was asked for.
    pub base: Option<Vec<u8>>,
    /// Counts by name.
    pub report: Vec<(String, u64)>,
    /// Functions that are not in the BTF.
    pub left_out: Vec<(String, fixup::functions::Reason)>,
    /// What should be in it, and is not: a line for each unit.
    pub notes: Vec<String>,
    /// The stages, in order.
    pub timings: Vec<Lap>,
}

impl Output {
    /// A count of the report; 0 for one that is not in it.
    pub fn count(&self, name: &str) -> u64 {
        let found = self.report.iter().find(|(n, _)| n == name);
        found.map_or(0, |&(_, count)| count)
    }
}

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

fn check_request(request: &Request<'_>) -> Result<()> {
    if request.stable_ids.is_some() && request.base.is_some() {
        return Err(
            Error::new("stable ids are for the BTF of a kernel, not of a module")
                .at(request.elf.display())
                .hint("nothing refers to the types of a module"),
        );
    }
    if request.features.distilled_base && request.base.is_none() {
        return Err(
            Error::new("a distilled base is asked for, but no base is given")
                .at(request.elf.display())
                .hint("name the vmlinux that it belongs to"),
        );
    }
    Ok(())
}

/// From the DWARF of one file, its units in parallel.
pub fn encode(request: &Request<'_>) -> Result<Output> {
    check_request(request)?;
    combine_units(request, None, |combined| complete(request, combined))
}

/// Why a function is in the BTF or not, how definitions of a type differ. Reads the objects of the
/// link where they are known, else the debug information of the file itself.
pub fn explain(
    request: &Request<'_>,
    objects: Option<&[PathBuf]>,
    name: &str,
) -> Result<Explanation> {
    let watch = Some(name.as_bytes());
    let tell = |combined: Combined<'_, '_>| {
        let Combined {
            combiner,
            image,
            names,
            threads,
            ..
        } = combined;
        let symbols = Names::new(image, &combiner.strings, threads)?;
        let resolution = Resolution::new(image, &symbols, &combiner, names, &request.features)?;
        Ok(Explanation {
            function: fixup::functions::explain(
                &combiner,
                image,
                &symbols,
                &resolution,
                &request.features,
                names,
                name.as_bytes(),
            )?,
            definitions: explain::definitions(&combiner, names),
        })
    };
    if objects.is_none() && kbuild::linked_objects(request.elf).is_err() {
        return combine_units(request, watch, tell);
    }
    combine_objects(request, objects, watch, tell)
}

/// What both roads have made before the fix-up.
struct Combined<'c, 'w> {
    combiner: Combiner<'w>,
    image: &'c Image<'c>,
    /// Paths of the objects, by number.
    names: &'c [String],
    base: Option<&'c Base>,
    threads: &'c Threads,
    report: Vec<(String, u64)>,
    notes: Vec<String>,
    clock: Clock,
}

fn combine_objects<T>(
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
    let wanted_variable = |view: &View<'_>, v: &Variable| {
        fixup::variables::is_wanted(&request.features, &image, view, v)
    };
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
        kbuild::cross_check(&image, objects, &members)?;
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
            abridge::objects(base, &whole, &image, &wanted)
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
            let mut again = Members::new(&intakes, objects, &threads);
            refine::refine(&mut combiner, &mut again, None)?
        }
        Some(_) => refine::refine(&mut combiner, &mut parts, base.as_ref())?,
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

fn combine_units<T>(
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
    let wanted_variable = |view: &View<'_>, v: &Variable| {
        fixup::variables::is_wanted(&request.features, &image, view, v)
    };
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
    let refined = refine::refine(&mut combiner, &mut again, base.as_ref())?;
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
    let outcome = fixup::fix_up(&mut combiner, image, objects, &request.features, threads)
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
    timings::trace(&format!("BTF {}", request.elf.display()), &clock.laps);
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
