// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! As many threads as there is work for: most modules have a few objects, and starting threads
//! would take longer than reading these.

use std::cmp::Ordering;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rayon::prelude::*;

use crate::support::error::{Error, Result};

/// `None`: everything is done here.
pub struct Threads(Option<rayon::ThreadPool>);

impl Threads {
    /// No other than the one that is there.
    pub const ONE: Threads = Threads(None);

    /// At most `jobs` (0: one for each processor), at most `useful`.
    pub fn new(jobs: usize, useful: usize) -> Result<Threads> {
        let jobs = match jobs {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            given => given,
        };
        if jobs.min(useful) <= 1 {
            return Ok(Threads(None));
        }
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(jobs.min(useful))
            .build()
            .map_err(|e| Error::new(format!("cannot start threads: {e}")))?;
        Ok(Threads(Some(pool)))
    }

    /// Two things at once.
    pub fn join<A: Send, B: Send>(
        &self,
        one: impl FnOnce() -> A + Send,
        other: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        match &self.0 {
            None => (one(), other()),
            Some(pool) => pool.install(|| rayon::join(one, other)),
        }
    }

    /// Sort. Items that compare as equal may change places.
    pub fn sort<T: Send>(&self, items: &mut [T], order: impl Fn(&T, &T) -> Ordering + Sync + Send) {
        match &self.0 {
            None => items.sort_unstable_by(order),
            Some(pool) => pool.install(|| items.par_sort_unstable_by(order)),
        }
    }

    /// Do something with each item.
    pub fn each<I: Send>(
        &self,
        items: &mut [I],
        work: impl Fn(&mut I) -> Result<()> + Sync + Send,
    ) -> Result<()> {
        match &self.0 {
            None => items.iter_mut().try_for_each(work),
            Some(pool) => pool.install(|| items.par_iter_mut().try_for_each(work)),
        }
    }

    /// Do something with each item; each thread has a state of its own.
    pub fn map<I: Sync, S, T: Send>(
        &self,
        items: &[I],
        state: impl Fn() -> S + Sync + Send,
        work: impl Fn(&mut S, &I) -> Result<T> + Sync + Send,
    ) -> Result<Vec<T>> {
        match &self.0 {
            None => {
                let mut state = state();
                items.iter().map(|item| work(&mut state, item)).collect()
            }
            Some(pool) => pool.install(|| items.par_iter().map_init(state, work).collect()),
        }
    }

    /// Do something with each item and its number; each thread has a state of its own, which is what
    /// comes back when it is finished. Of several failures that of the first item is told.
    pub fn share<I: Sync, S: Send>(
        &self,
        items: &[I],
        state: impl Fn() -> S + Sync,
        work: impl Fn(&mut S, usize, &I) -> Result<()> + Sync,
        finish: impl Fn(&mut S) -> Result<()> + Sync,
    ) -> Result<Vec<S>> {
        let next = AtomicUsize::new(0);
        let run = || {
            let mut own = state();
            loop {
                let i = next.fetch_add(1, Relaxed);
                let Some(item) = items.get(i) else {
                    return finish(&mut own).map(|()| own).map_err(|error| (i, error));
                };
                if let Err(error) = work(&mut own, i, item) {
                    // Nobody takes another one; items before this one are all in hand.
                    next.store(items.len(), Relaxed);
                    return Err((i, error));
                }
            }
        };
        let done = match &self.0 {
            None => vec![run()],
            Some(pool) => pool.broadcast(|_| run()),
        };
        let mut states = Vec::with_capacity(done.len());
        let mut first: Option<(usize, Error)> = None;
        for result in done {
            match result {
                Ok(own) => states.push(own),
                Err((i, _)) if first.as_ref().is_some_and(|(known, _)| *known < i) => {}
                Err(failure) => first = Some(failure),
            }
        }
        match first {
            None => Ok(states),
            Some((_, error)) => Err(error),
        }
    }
}
