// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The road from one end to the other, for a link with its objects and for any ELF with DWARF:
//! encode (or reuse), combine, fix up, finish, check.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use rayon::prelude::*;

use crate::btf;
use crate::combine::{Combiner, Wanted};
use crate::dwarf::Dwarf;
use crate::elf::{Elf, Mapped};
use crate::encode::{self, Source};
use crate::encoded::{Encoded, Id, Variable, View};
use crate::error::{Error, Result};
use crate::explain::{self, Explanation};
use crate::features::Features;
use crate::finish::{self, Base};
use crate::fixup;
use crate::image::Image;
use crate::kbuild;
use crate::objects::{self, Loaded};
use crate::resolve::Resolution;
use crate::{reduce, refine};

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
    /// Leave sidecars beside objects that had none, as a build does.
    pub keep_sidecars: bool,
}

pub struct Output {
    pub btf: Vec<u8>,
    /// Counts by name.
    pub report: Vec<(String, u64)>,
    /// Seconds by stage, in order.
    pub timings: Vec<(&'static str, f64)>,
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

struct Clock {
    last: Instant,
    laps: Vec<(&'static str, f64)>,
}

impl Clock {
    fn start() -> Self {
        Clock {
            last: Instant::now(),
            laps: Vec::new(),
        }
    }

    fn lap(&mut self, stage: &'static str) {
        let now = Instant::now();
        self.laps.push((stage, (now - self.last).as_secs_f64()));
        self.last = now;
    }
}

fn pool(jobs: usize) -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(jobs)
        .build()
        .map_err(|e| Error::new(format!("cannot start threads: {e}")))
}

/// From the objects of a link; `None`: find out which ones the linker took.
pub fn link(request: &Request<'_>, objects: Option<&[PathBuf]>) -> Result<Output> {
    combine_objects(request, objects, None, |combined| {
        complete(request, combined)
    })
}

/// From the DWARF of one file, its units in parallel.
pub fn encode(request: &Request<'_>) -> Result<Output> {
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
            ..
        } = combined;
        let resolution = Resolution::new(image, &combiner, names)?;
        Ok(Explanation {
            function: fixup::functions::explain(
                &combiner,
                image,
                &resolution,
                &request.features,
                names,
                name.as_bytes(),
            ),
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
    image: &'c Image,
    /// Paths of the objects, by number.
    names: &'c [String],
    base: Option<&'c BaseFile>,
    report: Vec<(String, u64)>,
    clock: Clock,
}

fn combine_objects<T>(
    request: &Request<'_>,
    objects: Option<&[PathBuf]>,
    watch: Option<&[u8]>,
    then: impl FnOnce(Combined<'_, '_>) -> Result<T>,
) -> Result<T> {
    let mut clock = Clock::start();
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
    let mapped = Mapped::open(request.elf)?;
    let elf = Elf::parse(&mapped)?;
    let image = Image::read(&elf)?;
    clock.lap("read image");
    let pool = pool(request.jobs)?;
    let loaded: Vec<Loaded> = pool.install(|| {
        objects
            .par_iter()
            .map(|path| objects::load(path, request.keep_sidecars))
            .collect::<Result<_>>()
    })?;
    clock.lap("load objects");
    if found_by_kbuild {
        kbuild::cross_check(&image, objects, &loaded)?;
        clock.lap("cross-check objects");
    }
    let count = |is: fn(&Loaded) -> bool| loaded.iter().filter(|l| is(l)).count() as u64;
    let report = vec![
        ("linked".to_owned(), loaded.len() as u64),
        ("reused".to_owned(), count(Loaded::is_reused)),
        ("encoded".to_owned(), count(|l| !l.is_reused())),
        (
            "without_dwarf".to_owned(),
            count(|l| matches!(l, Loaded::Empty { .. })),
        ),
    ];
    let names: Vec<String> = objects.iter().map(|p| p.display().to_string()).collect();
    let parts: Vec<(u32, View<'_>)> = (0..)
        .zip(&loaded)
        .filter_map(|(i, l)| Some((i, l.view()?)))
        .collect();
    if parts.is_empty() {
        return Err(no_dwarf(request.elf));
    }
    let target = encode::target(&elf);
    for (i, view) in &parts {
        let same = (target.machine, target.address_size, target.big_endian)
            == (
                view.target.machine,
                view.target.address_size,
                view.target.big_endian,
            );
        if !same {
            return Err(
                Error::new("built for another architecture than the linked file")
                    .at(&names[*i as usize])
                    .hint(format!("the linked file is {}", request.elf.display())),
            );
        }
    }
    let base = request
        .base
        .as_deref()
        .map(|p| BaseFile::read(p, target))
        .transpose()?;
    let wanted_variable = |view: &View<'_>, v: &Variable| {
        fixup::variables::is_wanted(&request.features, &image, view, v)
    };
    let wanted = Wanted {
        variable: &wanted_variable,
        excluded_languages: &request.excluded_languages,
    };
    let mut combiner = Combiner::new(&wanted);
    combiner.watch = watch.map(<[u8]>::to_vec);
    if let Some(base) = &base {
        combiner.add_base(&base.encoded.view(), None)?;
    }
    for (i, view) in &parts {
        combiner
            .add(*i, view, None)
            .map_err(|e| e.at(&names[*i as usize]))?;
    }
    clock.lap("combine");
    let affected = refine::affected(&combiner);
    if !affected.is_empty() {
        let concerned = parts
            .iter()
            .map(|(i, view)| refine::Object {
                index: *i,
                view: *view,
                locals: refine::affected_locals(&combiner, &affected, view.ids),
            })
            .filter(|o| !o.locals.is_empty())
            .collect();
        refine_all(&mut combiner, &affected, concerned, base.as_ref())?;
    }
    clock.lap("refine");
    then(Combined {
        combiner,
        image: &image,
        names: &names,
        base: base.as_ref(),
        report,
        clock,
    })
}

fn no_dwarf(elf: &Path) -> Error {
    Error::new("no DWARF debug information")
        .at(elf.display())
        .hint("build with CONFIG_DEBUG_INFO_DWARF_TOOLCHAIN_DEFAULT=y (gcc -g), before strip")
}

/// The number of the base among the objects, for refinement; larger than any object's.
const BASE_OBJECT: u32 = u32::MAX;

fn refine_all(
    combiner: &mut Combiner<'_>,
    affected: &[bool],
    concerned: Vec<refine::Object<'_>>,
    base: Option<&BaseFile>,
) -> Result<()> {
    let mut concerned = concerned;
    let base_view = base.map(|b| b.encoded.view());
    if let Some(view) = base_view {
        concerned.push(refine::Object {
            index: BASE_OBJECT,
            view,
            locals: refine::affected_locals(combiner, affected, view.ids),
        });
    }
    let overrides = refine::refine(&concerned, base.map(|_| BASE_OBJECT))?;
    combiner.remove(affected);
    let (base_part, object_parts): (Vec<_>, Vec<_>) = concerned
        .iter()
        .zip(&overrides)
        .partition(|(o, _)| o.index == BASE_OBJECT);
    for (object, overrides) in base_part {
        combiner.add_base(&object.view, Some(overrides))?;
    }
    for (object, overrides) in object_parts {
        combiner.add(object.index, &object.view, Some(overrides))?;
    }
    Ok(())
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
    let image = Image::read(&elf)?;
    let units = dwarf.units().map_err(|e| e.at(request.elf.display()))?;
    let source = Source::new(&elf, &dwarf)?;
    clock.lap("read image");
    let target = source.target;
    let base = request
        .base
        .as_deref()
        .map(|p| BaseFile::read(p, target))
        .transpose()?;
    let wanted_variable = |view: &View<'_>, v: &Variable| {
        fixup::variables::is_wanted(&request.features, &image, view, v)
    };
    let wanted = Wanted {
        variable: &wanted_variable,
        excluded_languages: &request.excluded_languages,
    };
    // Units that refer to each other go together; otherwise batches small enough to balance.
    let batch = if encode::has_cross_references(&dwarf, &units) {
        units.len().max(1)
    } else {
        4
    };
    let batches: Vec<_> = units.chunks(batch).collect();
    let mut combiner = Combiner::new(&wanted);
    combiner.watch = watch.map(<[u8]>::to_vec);
    if let Some(base) = &base {
        combiner.add_base(&base.encoded.view(), None)?;
    }
    let shared = Mutex::new(combiner);
    let pool = pool(request.jobs)?;
    // Identities are kept: they tell which units must be read again for refinement.
    let identities: Vec<Vec<Id>> = pool.install(|| {
        (0..batches.len() as u32)
            .into_par_iter()
            .map(|i| {
                let mut encoded = encode::encode_units(&source, batches[i as usize])?;
                let mut combiner = shared.lock().unwrap_or_else(|e| e.into_inner());
                combiner.add(i, &encoded.view(), None)?;
                Ok(std::mem::take(&mut encoded.ids))
            })
            .collect::<Result<_>>()
    })?;
    let mut combiner = shared.into_inner().unwrap_or_else(|e| e.into_inner());
    clock.lap("encode and combine");
    let affected = refine::affected(&combiner);
    if !affected.is_empty() {
        let locals: Vec<(u32, Vec<u32>)> = (0..)
            .zip(&identities)
            .map(|(i, ids)| (i, refine::affected_locals(&combiner, &affected, ids)))
            .filter(|(_, locals)| !locals.is_empty())
            .collect();
        let again: Vec<(u32, Encoded, Vec<u32>)> = pool.install(|| {
            locals
                .into_par_iter()
                .map(|(i, locals)| {
                    Ok((
                        i,
                        encode::encode_units(&source, batches[i as usize])?,
                        locals,
                    ))
                })
                .collect::<Result<_>>()
        })?;
        let concerned = again
            .iter()
            .map(|(i, encoded, locals)| refine::Object {
                index: *i,
                view: encoded.view(),
                locals: locals.clone(),
            })
            .collect();
        refine_all(&mut combiner, &affected, concerned, base.as_ref())?;
    }
    clock.lap("refine");
    let report = vec![("units".to_owned(), units.len() as u64)];
    let names = vec![request.elf.display().to_string(); batches.len()];
    then(Combined {
        combiner,
        image: &image,
        names: &names,
        base: base.as_ref(),
        report,
        clock,
    })
}

/// The stages that both roads share.
fn complete(request: &Request<'_>, combined: Combined<'_, '_>) -> Result<Output> {
    let Combined {
        mut combiner,
        image,
        names: objects,
        base,
        mut report,
        mut clock,
    } = combined;
    if reduce::is_needed(&request.features) {
        combiner = reduce::reduce(combiner, &request.features)?;
        clock.lap("reduce");
    }
    let outcome = fixup::fix_up(&mut combiner, image, objects, &request.features)
        .map_err(|e| e.at(request.elf.display()))?;
    clock.lap("fix up");
    let finish_base = base.map(BaseFile::as_base);
    let finished = finish::finish(&combiner, &request.features, finish_base.as_ref())?;
    clock.lap("finish");
    let pointer_size = combiner.target.map(|t| u64::from(t.address_size));
    let base = base.map(|b| b.raw.as_slice());
    btf::check::check(&finished.bytes, base, pointer_size)
        .map_err(|e| e.at(request.elf.display()))?;
    clock.lap("check");
    report.push(("types".to_owned(), finished.types));
    report.push(("functions".to_owned(), outcome.functions));
    report.push(("variables".to_owned(), outcome.variables));
    for (name, count) in outcome.skipped {
        report.push((name.to_owned(), count));
    }
    for kind in btf::Kind::ALL {
        report.push((kind.name().to_owned(), finished.kinds[kind as usize]));
    }
    Ok(Output {
        btf: finished.bytes,
        report,
        timings: clock.laps,
    })
}

/// BTF that a result is split against.
struct BaseFile {
    raw: Vec<u8>,
    encoded: Encoded,
}

impl BaseFile {
    fn read(path: &Path, target: crate::encoded::Target) -> Result<BaseFile> {
        let raw = btf::read::load(path)?;
        let mut encoded = btf::read::parse(&raw, target).map_err(|e| e.at(path.display()))?;
        crate::identity::of_types(&mut encoded).map_err(|e| e.at(path.display()))?;
        Ok(BaseFile { raw, encoded })
    }

    fn as_base(&self) -> Base<'_> {
        Base {
            types: self.encoded.ids.len() as u32,
            strings: &self.encoded.strings,
        }
    }
}
