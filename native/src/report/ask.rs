// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! `kbuild-btf explain` and `report`: the road as far as the fix-up, and then the verdicts.

use std::path::PathBuf;

use super::functions;
use crate::combine::Watch;
use crate::fixup::names::Names;
use crate::fixup::origins::Resolution;
use crate::kbuild;
use crate::link::request::Request;
use crate::link::stages::Combined;
use crate::link::{combine_objects, combine_units};
use crate::report::explain::{self, Explanation};
use crate::report::survey::{self, Survey};
use crate::support::error::Result;

/// Why a function is in the BTF or not, how definitions of a type differ.
pub fn explain(
    mut request: Request<'_>,
    objects: Option<&[PathBuf]>,
    name: &str,
) -> Result<Explanation> {
    let watch = Watch::Name(name.as_bytes().to_vec());
    // Where it was inlined is told also where the BTF does not tell it.
    request.features.inline = true;
    let request = &request;
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
            function: functions::explain(
                &combiner,
                image,
                &symbols,
                &resolution,
                &request.features,
                names,
                name.as_bytes(),
            )?,
            definitions: explain::definitions(&combiner, names),
            types: explain::types(&combiner)?,
        })
    };
    combined(request, objects, watch, tell)
}

/// The same for everything at once, in short: what is left out, names with several definitions, and
/// which directories bring the types.
pub fn survey(request: &Request<'_>, objects: Option<&[PathBuf]>) -> Result<Survey> {
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
        let left_out = survey::left_out(
            &combiner,
            image,
            &symbols,
            &resolution,
            &request.features,
            names,
            threads,
        )?;
        Ok(Survey {
            left_out,
            definitions: survey::definitions(&combiner, names),
            directories: survey::directories(&combiner, names),
            types: explain::types(&combiner)?,
        })
    };
    combined(request, objects, Watch::Everything, tell)
}

/// From the objects of the link where they are known, else from the debug information of the file itself.
fn combined<T>(
    request: &Request<'_>,
    objects: Option<&[PathBuf]>,
    watch: Watch,
    tell: impl FnOnce(Combined<'_, '_>) -> Result<T>,
) -> Result<T> {
    if objects.is_none() && kbuild::linked_objects(request.elf).is_err() {
        return combine_units(request, Some(watch), tell);
    }
    combine_objects(request, objects, Some(watch), tell)
}
