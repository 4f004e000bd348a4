// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The stages of the road, each with its line of the timings.

use std::path::{Path, PathBuf};

use super::request::{Output, Request};
use crate::btf;
use crate::btf::check::{self, Rules};
use crate::combine::base::{self, trim, Base};
use crate::combine::intake::{self, Again, Intake, Supply};
use crate::combine::objects::{Member, Objects};
use crate::combine::units::Units;
use crate::combine::{reduce, refine, Combiner, Wanted, Watch};
use crate::elf::image::Image;
use crate::finish::{self, stable, Finished};
use crate::fixup::{self, sections, Outcome};
use crate::kbuild;
use crate::object::refused::Counted;
use crate::object::{languages, Target, Variable, View};
use crate::store::carried;
use crate::support::error::{Error, Result};
use crate::support::progress;
use crate::support::threads::Threads;
use crate::support::timings::{self, Clock};

/// What a road brings to the driver that both share.
pub struct Road<'r> {
    pub request: &'r Request<'r>,
    pub image: &'r Image<'r>,
    pub base: Option<&'r Base>,
    pub threads: &'r Threads,
    /// Paths of the objects, by number.
    pub names: &'r [String],
    /// What somebody asks for.
    pub watch: Option<Watch>,
    pub clock: Clock,
}

/// What is made before the fix-up.
pub struct Combined<'c, 'w> {
    pub combiner: Combiner<'w>,
    pub image: &'c Image<'c>,
    /// Paths of the objects, by number.
    pub names: &'c [String],
    base: Option<&'c Base>,
    pub threads: &'c Threads,
    report: Report,
    clock: Clock,
}

/// What is told of the objects or units.
pub struct Report {
    counts: Vec<(String, u64)>,
    notes: Vec<String>,
}

pub fn open_base(request: &Request<'_>, target: Target, clock: &mut Clock) -> Result<Option<Base>> {
    let base = request.base.as_deref();
    let base = base.map(|path| Base::open(path, target)).transpose()?;
    clock.lap("open base", count_of(base.as_ref()), 0);
    Ok(base)
}

fn count_of(base: Option<&Base>) -> u64 {
    base.map_or(0, |base| base.count().into())
}

impl<'r> Road<'r> {
    /// Take in objects or units, and combine them. What was kept whole is cut down to what the base has
    /// not, before it comes to the combiner.
    pub fn combine<S: Supply, T>(
        mut self,
        items: &[S::Item],
        supply: impl Fn() -> S + Sync,
        report: impl FnOnce(&mut Self, &[Intake<S>]) -> Result<Report>,
        then: impl FnOnce(Combined<'_, '_>) -> Result<T>,
    ) -> Result<T> {
        let Road {
            request,
            image,
            base,
            threads,
            names,
            ..
        } = self;
        let is_wanted =
            |view: &View<'_>, v: &Variable| sections::is_wanted(&request.features, image, view, v);
        let wanted = Wanted {
            variable: &is_wanted,
            excluded_languages: &request.excluded_languages,
            sites: request.features.inline,
        };
        let mut combiner = Combiner::new(&wanted);
        combiner.watch(self.watch.clone());
        let (mut combiner, mut taken) = intake::take_in(combiner, items, supply, threads)?;
        let report = report(&mut self, &taken)?;
        let variants = match base.map(|base| (base, intake::kept(&taken))) {
            Some((base, whole)) if !whole.is_empty() => {
                let cut = self.cut_down(base, &whole, &wanted);
                let mut parts: Vec<_> = match &cut {
                    Some(cut) => cut.iter().map(|(i, part)| (*i, part.view())).collect(),
                    None => whole,
                };
                for (i, view) in &parts {
                    let added = combiner.add(*i, view, None);
                    added.map_err(|e| e.at(&names[*i as usize]))?;
                }
                self.join_base(&mut combiner)?;
                refine::refine(&mut combiner, &mut parts, Some(&base.index))?.variants
            }
            _ => {
                self.join_base(&mut combiner)?;
                let mut again = Again::new(&mut taken, items, threads);
                let index = base.map(|base| &base.index);
                refine::refine(&mut combiner, &mut again, index)?.variants
            }
        };
        self.clock.lap("refine", variants, 0);
        then(Combined {
            combiner,
            image,
            names,
            base,
            threads,
            report,
            clock: self.clock,
        })
    }

    /// What `explain` is asked for may be in the base; reduced kinds have other identities there; functions
    /// that are only inlined are no symbols of the module.
    fn cut_down<'v>(
        &mut self,
        base: &Base,
        whole: &[(u32, View<'v>)],
        wanted: &Wanted<'_>,
    ) -> Option<Vec<(u32, trim::Abridged<'v>)>> {
        let features = &self.request.features;
        if self.watch.is_some() || features.inline || reduce::is_needed(features) {
            return None;
        }
        let cut = trim::objects(base, whole, self.image, wanted)?;
        self.clock.lap("abridge", cut.len() as u64, 0);
        Some(cut)
    }

    fn join_base(&mut self, combiner: &mut Combiner<'_>) -> Result<()> {
        progress::begin("refining", 0);
        self.base.map(|base| base.join(combiner)).transpose()?;
        self.clock.lap("look up in base", count_of(self.base), 0);
        Ok(())
    }

    /// `found_by_kbuild`: it was found out which objects the linker took, so that this is checked.
    pub fn report_objects(
        &mut self,
        taken: &[Intake<Objects<'_>>],
        objects: &[PathBuf],
        found_by_kbuild: bool,
    ) -> Result<Report> {
        let all = taken.iter().flat_map(|intake| &intake.supply.members);
        let mut members: Vec<&Member> = all.collect();
        members.sort_unstable_by_key(|m| m.index);
        let types = members.iter().map(|m| m.types).sum();
        let bytes = members.iter().map(|m| m.size).sum();
        self.clock.lap("load and combine", types, bytes);
        if found_by_kbuild {
            let named: Vec<_> = members
                .iter()
                .map(|m| (&objects[m.index as usize], m.source_files.as_deref()))
                .collect();
            kbuild::cross_check(self.image, &named)?;
            self.clock
                .lap("cross-check objects", members.len() as u64, 0);
        }
        let linked = members.len() as u64;
        let count = |is: fn(&Member) -> bool| members.iter().filter(|m| is(m)).count() as u64;
        let without_dwarf = count(|m| m.source_files.is_none());
        if without_dwarf == linked {
            return Err(no_dwarf(self.request.elf));
        }
        let mut notes = counted(self.request, members.iter().map(|m| &m.counted))?;
        let without_sites = count(|m| m.lacks_sites);
        if self.request.features.inline && without_sites != 0 {
            let objects = match without_sites {
                1 => "1 object does".to_owned(),
                several => format!("{several} objects do"),
            };
            notes.push(format!(
                "{objects} not say where functions were inlined: the debug information was taken out before \
                 that was asked for (KBUILD_BTF_DEBUG=drop)"
            ));
        }
        Ok(Report {
            counts: vec![
                ("linked".to_owned(), linked),
                ("reused".to_owned(), count(|m| m.reused)),
                ("encoded".to_owned(), count(|m| !m.reused)),
                ("without_dwarf".to_owned(), without_dwarf),
            ],
            notes,
        })
    }

    /// `bytes`: of their debug information.
    pub fn report_units(
        &mut self,
        taken: &[Intake<Units<'_, '_>>],
        count: usize,
        bytes: usize,
    ) -> Result<Report> {
        self.clock
            .lap("encode and combine", count as u64, bytes as u64);
        let all = taken.iter().map(|intake| &intake.supply.counted);
        Ok(Report {
            counts: vec![("units".to_owned(), count as u64)],
            notes: counted(self.request, all)?,
        })
    }
}

pub fn no_dwarf(elf: &Path) -> Error {
    if carried::is_dropped(elf) {
        return Error::new("its debug information was taken out (KBUILD_BTF_DEBUG=drop)")
            .at(elf.display())
            .hint("kbuild-btf link reads what was stored of it; a make with KBUILD_BTF_DEBUG=keep compiles it again");
    }
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

impl Combined<'_, '_> {
    /// Leave out the kinds that are not asked for.
    pub fn reduce(mut self, request: &Request<'_>) -> Result<Self> {
        if reduce::is_needed(&request.features) {
            self.combiner = reduce::reduce(self.combiner, &request.features, self.base)?;
            self.clock
                .lap("reduce", self.combiner.classes.len() as u64, 0);
        }
        Ok(self)
    }

    pub fn fix_up(&mut self, request: &Request<'_>) -> Result<Outcome> {
        let outcome = fixup::fix_up(
            &mut self.combiner,
            self.image,
            self.names,
            &request.features,
            self.threads,
            kbuild::relink::link_again,
        );
        let outcome = outcome.map_err(|e| e.at(request.elf.display()))?;
        self.clock.lap("fix up", self.image.symbols.len() as u64, 0);
        Ok(outcome)
    }

    pub fn finish(&mut self, request: &Request<'_>) -> Result<Finished> {
        let (combiner, features) = (&self.combiner, &request.features);
        let mut finished = finish::finish(combiner, features, self.base, self.threads)?;
        if let Some(reference) = &request.stable_ids {
            finished.bytes = self.keep_ids(request, reference, &finished.bytes)?;
        }
        let bytes = finished.bytes.len() as u64;
        self.clock.lap("finish", finished.types, bytes);
        Ok(finished)
    }

    fn keep_ids(
        &mut self,
        request: &Request<'_>,
        reference: &Path,
        made: &[u8],
    ) -> Result<Vec<u8>> {
        let target = self.combiner.target.unwrap_or_default();
        let old = base::raw(reference, target)?;
        let renumbered = stable::renumber(made, &old, request.features.layout, target)
            .map_err(|e| e.at(reference.display()))?;
        let fits = ("modules_fit".to_owned(), u64::from(renumbered.fits));
        self.report.counts.push(fits);
        Ok(renumbered.bytes)
    }

    pub fn check(&mut self, request: &Request<'_>, finished: &Finished) -> Result<()> {
        let pointer_size = self.combiner.target.map(|t| u64::from(t.address_size));
        let base = self.base.map(Base::types);
        let check =
            |bytes, base| check::check(bytes, base, pointer_size, Rules::Kernel, self.threads);
        let checked = match &finished.base {
            None => check(&finished.bytes, base),
            Some(distilled) => check(distilled, None).and_then(|()| {
                let below = Some(distilled.as_slice());
                check::check_raw(&finished.bytes, below, pointer_size, Rules::Kernel)
            }),
        };
        checked.map_err(|e| e.at(request.elf.display()))?;
        let bytes = finished.bytes.len() as u64;
        self.clock.lap("check", finished.types, bytes);
        Ok(())
    }

    /// All that is told of the work.
    pub fn report(self, request: &Request<'_>, outcome: Outcome, finished: Finished) -> Output {
        let timings = self.clock.laps;
        let what = format!("BTF {}", request.elf.display());
        timings::trace(request.trace.as_deref(), &what, &timings);
        let own = [
            ("types", finished.types),
            ("functions", outcome.functions),
            ("variables", outcome.variables),
            ("settled_by_dwarf", outcome.settled_by_dwarf),
            ("sites", outcome.sites),
            ("sites_complete", outcome.sites_complete),
        ];
        let mut notes = self.report.notes;
        notes.extend(outcome.notes);
        let kinds = btf::Kind::ALL.map(|kind| (kind.name(), finished.kinds[kind as usize]));
        let mut report = self.report.counts;
        let more = own.into_iter().chain(outcome.skipped).chain(kinds);
        report.extend(more.map(|(name, count)| (name.to_owned(), count)));
        Output {
            btf: finished.bytes,
            base: finished.base,
            report,
            left_out: outcome.left_out,
            notes,
            timings,
        }
    }
}
