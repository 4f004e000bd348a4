// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Objects combined, for the tests of the stages.

use super::{refine, Combiner, Wanted};
use crate::object::Encoded;

pub static WANTED: Wanted<'static> = Wanted {
    variable: &|_, _| true,
    excluded_languages: &[],
    sites: false,
};

pub fn added(objects: &[&Encoded]) -> Combiner<'static> {
    let mut combiner = Combiner::new(&WANTED);
    for (i, object) in (0..).zip(objects) {
        combiner.add(i, &object.view(), None).expect("sound");
    }
    combiner
}

pub fn combined(objects: &[&Encoded]) -> Combiner<'static> {
    let mut combiner = added(objects);
    let mut views: Vec<_> = (0..).zip(objects.iter().map(|o| o.view())).collect();
    refine::refine(&mut combiner, &mut views, None).expect("sound");
    combiner
}
