// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! How the objects of a link, or the units of one file, come in: threads bring them one by one, pass
//! over the types that they have met before, and hand the rest to the one combiner. What can be brought
//! again is forgotten then; the few that refinement concerns are brought once more.

use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;

use crate::combine::{refine, Combiner, ObjectIndex};
use crate::object::numbering::{Numbered, Sifted};
use crate::object::{Id, View};
use crate::support::error::Result;
use crate::support::hash::Fast;
use crate::support::threads::Threads;

/// Where one thread gets objects, or units, and what it has met in them.
pub trait Supply: Send {
    /// What names one.
    type Item: Sync;
    /// One that is at hand.
    type Brought: Send;

    /// Bring one, and number its types; without numbers it is kept, to be looked at whole.
    fn bring(
        &mut self,
        index: ObjectIndex,
        item: &Self::Item,
    ) -> Result<(Self::Brought, Option<Sifted>)>;

    /// Bring one once more.
    fn bring_again(&mut self, index: ObjectIndex, item: &Self::Item) -> Result<Self::Brought>;

    /// Must it be kept, because it could not be brought again for less?
    fn must_be_kept(brought: &Self::Brought) -> bool;

    /// `None`: there is nothing in it.
    fn view<'v>(&'v self, brought: &'v Self::Brought) -> Option<View<'v>>;

    fn numbered(&self) -> &Numbered;

    /// Both, to learn from one what becomes of the other.
    fn view_and_numbered<'v>(
        &'v mut self,
        brought: &'v Self::Brought,
    ) -> (Option<View<'v>>, &'v mut Numbered);
}

/// How many a thread may have waiting. While another thread is at the combiner, bringing the next
/// one is better than sleeping.
const WAITING: usize = 16;

/// What one thread has taken in.
pub struct Intake<S: Supply> {
    pub supply: S,
    taken: Vec<Taken<S::Brought>>,
    /// What waits for the combiner, and its place among those taken.
    waiting: Vec<(S::Brought, Sifted, usize)>,
}

struct Taken<B> {
    index: ObjectIndex,
    /// Its types by their numbers.
    numbers: Vec<u32>,
    kept: Option<B>,
}

/// Take in all items, each with the index that it has among them.
pub fn take_in<'w, S: Supply>(
    combiner: Combiner<'w>,
    items: &[S::Item],
    supply: impl Fn() -> S + Sync,
    threads: &Threads,
) -> Result<(Combiner<'w>, Vec<Intake<S>>)> {
    let combiner = Mutex::new(combiner);
    let intakes = threads.share(
        items,
        || Intake {
            supply: supply(),
            taken: Vec::new(),
            waiting: Vec::new(),
        },
        |intake, index, item| intake.take(&combiner, index as ObjectIndex, item),
        |intake| intake.close(&combiner),
    )?;
    let mut combiner = combiner.into_inner().unwrap_or_else(|e| e.into_inner());
    combiner.sort_by_object();
    Ok((combiner, intakes))
}

impl<S: Supply> Intake<S> {
    fn take(
        &mut self,
        combiner: &Mutex<Combiner<'_>>,
        index: ObjectIndex,
        item: &S::Item,
    ) -> Result<()> {
        let (brought, sifted) = self.supply.bring(index, item)?;
        let mut taken = Taken {
            index,
            numbers: Vec::new(),
            kept: None,
        };
        match sifted {
            Some(sifted) => self.waiting.push((brought, sifted, self.taken.len())),
            None => taken.kept = Some(brought),
        }
        self.taken.push(taken);
        let mut combiner = match combiner.try_lock() {
            Ok(free) => free,
            Err(_) if self.waiting.len() < WAITING => return Ok(()),
            Err(_) => combiner.lock().unwrap_or_else(|e| e.into_inner()),
        };
        self.hand_over(&mut combiner)
    }

    /// All are taken: how often each type was met.
    fn close(&mut self, combiner: &Mutex<Combiner<'_>>) -> Result<()> {
        let mut combiner = combiner.lock().unwrap_or_else(|e| e.into_inner());
        self.hand_over(&mut combiner)?;
        combiner.count(self.supply.numbered());
        Ok(())
    }

    fn hand_over(&mut self, combiner: &mut Combiner<'_>) -> Result<()> {
        for (brought, sifted, place) in self.waiting.drain(..) {
            let taken = &mut self.taken[place];
            if let (Some(view), numbered) = self.supply.view_and_numbered(&brought) {
                combiner.add_sifted(taken.index, &view, &sifted, numbered)?;
            }
            taken.numbers = sifted.numbers;
            taken.kept = S::must_be_kept(&brought).then_some(brought);
        }
        Ok(())
    }
}

/// Those that were kept and have something in them, by index.
pub fn kept<S: Supply>(intakes: &[Intake<S>]) -> Vec<(ObjectIndex, View<'_>)> {
    let mut all = Vec::new();
    for Intake { supply, taken, .. } in intakes {
        all.extend(taken.iter().filter_map(|taken| {
            let view = supply.view(taken.kept.as_ref()?)?;
            Some((taken.index, view))
        }));
    }
    all.sort_unstable_by_key(|&(index, _)| index);
    all
}

/// All that was taken in, to be looked at again.
pub struct Again<'i, S: Supply> {
    intakes: &'i mut [Intake<S>],
    items: &'i [S::Item],
    threads: &'i Threads,
    /// By index: whose it is, and its place there.
    places: BTreeMap<ObjectIndex, (usize, usize)>,
    /// Brought once more.
    brought: BTreeMap<ObjectIndex, S::Brought>,
}

impl<'i, S: Supply> Again<'i, S> {
    pub fn new(intakes: &'i mut [Intake<S>], items: &'i [S::Item], threads: &'i Threads) -> Self {
        let mut places = BTreeMap::new();
        for (i, intake) in intakes.iter().enumerate() {
            let indices = intake.taken.iter().map(|taken| taken.index).enumerate();
            places.extend(indices.map(|(place, index)| (index, (i, place))));
        }
        Again {
            intakes,
            items,
            threads,
            places,
            brought: BTreeMap::new(),
        }
    }
}

impl<S: Supply> refine::Objects for Again<'_, S> {
    fn holding(&self, ids: &HashSet<Id, Fast>, show: &mut refine::Show<'_>) {
        for intake in self.intakes.iter() {
            let numbered = intake.supply.numbered();
            let marks = numbered.mark(|id| ids.contains(id));
            for taken in &intake.taken {
                let marked = taken.numbers.iter().filter(|&&n| marks[n as usize]);
                let held: Vec<Id> = marked.map(|&number| numbered.id(number)).collect();
                if !held.is_empty() && !show(taken.index, &held) {
                    return;
                }
            }
        }
    }

    /// Each by who took it.
    fn load(&mut self, which: &[ObjectIndex]) -> Result<()> {
        let none = |intake| (intake, Vec::new(), Vec::new());
        let mut work: Vec<_> = self.intakes.iter_mut().map(none).collect();
        for index in which {
            let Some(&(i, place)) = self.places.get(index) else {
                continue;
            };
            let (intake, own, _) = &mut work[i];
            if intake.taken[place].kept.is_none() {
                own.push(*index);
            }
        }
        let items = self.items;
        self.threads.each(&mut work, |(intake, own, brought)| {
            for &index in own.iter() {
                brought.push(intake.supply.bring_again(index, &items[index as usize])?);
            }
            Ok(())
        })?;
        let brought = work
            .into_iter()
            .flat_map(|(_, own, brought)| own.into_iter().zip(brought));
        self.brought.extend(brought);
        Ok(())
    }

    fn view(&self, which: ObjectIndex) -> Option<View<'_>> {
        let &(i, place) = self.places.get(&which)?;
        let intake = &self.intakes[i];
        let kept = intake.taken[place].kept.as_ref();
        intake
            .supply
            .view(kept.or_else(|| self.brought.get(&which))?)
    }

    fn release(&mut self, which: &[ObjectIndex]) {
        for index in which {
            self.brought.remove(index);
        }
    }
}
