// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The Python face: `kbuild_btf._native`, whose types `_native.pyi` tells. What people call is
//! documented where it is public, in the package.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use kbuild_btf_native as native;
use kbuild_btf_native::{
    guarded, languages, Cache, Clock, Elf, Error, Event, Features, Mapped, Request, Rules,
};

/// The exception of the package: errors of both halves are one class.
fn exception(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import("kbuild_btf.errors")?.getattr("Error")
}

fn raised(error: Error) -> PyErr {
    Python::attach(|py| {
        let parts = (error.what(), error.place(), error.hint_text());
        match exception(py).and_then(|class| class.call1(parts)) {
            Ok(value) => PyErr::from_value(value),
            Err(cause) => cause,
        }
    })
}

/// What a function of this module fails with: an error of ours or one of Python's, raised alike.
struct Failure(PyErr);

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure(raised(error))
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Failure {
        Failure(error)
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> PyErr {
        failure.0
    }
}

type Result<T> = std::result::Result<T, Failure>;

/// Finished BTF and how it came about.
#[pyclass(frozen, module = "kbuild_btf")]
struct Output {
    /// Raw BTF (bytes) in the byte order of the target, already checked by the kernel's rules.
    #[pyo3(get)]
    btf: Py<PyBytes>,
    /// With feature `distilled_base`: the distilled base (bytes) that `btf` is split against; else
    /// None.
    #[pyo3(get)]
    base: Option<Py<PyBytes>>,
    /// Counts by name: `linked`, `reused`, `encoded`, `without_dwarf` (objects; from `link`), `units`
    /// (from `encode`), `types`, `functions`, `variables`, `settled_by_dwarf` (static functions and
    /// variables that only the linked debug information tells apart), `skipped_*` (functions that
    /// are left out, by reason), `modules_fit` (1 or 0, with `stable_ids`), and one for each kind by
    /// its name (`STRUCT`, ...).
    #[pyo3(get)]
    report: Py<PyDict>,
    /// A line for each unit that should be in a module's BTF and is left out.
    #[pyo3(get)]
    notes: Vec<String>,
    /// The stages in order: name, seconds, how many things it worked on, and the bytes that it had to
    /// read or write (0: says nothing).
    #[pyo3(get)]
    timings: Vec<(String, f64, u64, u64)>,
}

impl Output {
    fn new(py: Python<'_>, output: native::Output) -> PyResult<Output> {
        let report = PyDict::new(py);
        for (name, count) in &output.report {
            report.set_item(name, count)?;
        }
        Ok(Output {
            btf: PyBytes::new(py, &output.btf).unbind(),
            base: output.base.map(|base| PyBytes::new(py, &base).unbind()),
            report: report.unbind(),
            notes: output.notes,
            timings: output
                .timings
                .iter()
                .map(|lap| (lap.stage.to_owned(), lap.seconds, lap.count, lap.bytes))
                .collect(),
        })
    }
}

/// A number of threads; 0 for one each processor.
fn threads(jobs: i64) -> native::Result<usize> {
    usize::try_from(jobs).map_err(|_| {
        Error::new(format!("jobs={jobs}: a number of threads is wanted"))
            .hint("0 means one per processor")
    })
}

/// Without cache and trace, which not every function has.
fn request<'a>(
    elf: &'a Path,
    features: Option<&str>,
    lang_exclude: &[String],
    jobs: i64,
    base: Option<PathBuf>,
    stable_ids: Option<PathBuf>,
) -> native::Result<Request<'a>> {
    let features = match features {
        None => Features::STANDARD,
        Some(list) => {
            let mut features = Features::NONE;
            if let Some(name) = features.turn_on(list).first() {
                return Err(Error::new(format!("BTF feature {name} is not known"))
                    .hint(format!("known are: {}", Features::NAMES.join(", "))));
            }
            features
        }
    };
    let language = |name: &String| {
        languages::number(name).ok_or_else(|| {
            Error::new(format!("language {name} is not known"))
                .hint("such as rust, c11, c++14, asm")
        })
    };
    Ok(Request {
        elf,
        features,
        excluded_languages: lang_exclude
            .iter()
            .map(language)
            .collect::<native::Result<_>>()?,
        jobs: threads(jobs)?,
        base,
        stable_ids,
        keep_sidecars: false,
        cache: None,
        trace: None,
    })
}

/// See kbuild_btf.encode.
// One argument for each keyword of the Python function.
#[allow(clippy::too_many_arguments)]
#[pyfunction]
#[pyo3(signature = (elf, *, features=None, lang_exclude=Vec::new(), jobs=0, base=None, stable_ids=None, trace=None))]
fn encode(
    py: Python<'_>,
    elf: PathBuf,
    features: Option<&str>,
    lang_exclude: Vec<String>,
    jobs: i64,
    base: Option<PathBuf>,
    stable_ids: Option<PathBuf>,
    trace: Option<PathBuf>,
) -> Result<Output> {
    let request = Request {
        trace,
        ..request(&elf, features, &lang_exclude, jobs, base, stable_ids)?
    };
    let output = py.detach(|| guarded(|| native::encode(&request)))?;
    Ok(Output::new(py, output)?)
}

/// See kbuild_btf.link.
#[allow(clippy::too_many_arguments)]
#[pyfunction]
#[pyo3(name = "link", signature = (elf, *, objects=None, features=None, lang_exclude=Vec::new(), jobs=0, base=None, stable_ids=None, cache=None, trace=None))]
fn link_objects(
    py: Python<'_>,
    elf: PathBuf,
    objects: Option<Vec<PathBuf>>,
    features: Option<&str>,
    lang_exclude: Vec<String>,
    jobs: i64,
    base: Option<PathBuf>,
    stable_ids: Option<PathBuf>,
    cache: Option<PathBuf>,
    trace: Option<PathBuf>,
) -> Result<Output> {
    let request = Request {
        cache: cache.as_deref().map(Cache::at),
        trace,
        ..request(&elf, features, &lang_exclude, jobs, base, stable_ids)?
    };
    let output = py.detach(|| guarded(|| native::link(&request, objects.as_deref())))?;
    Ok(Output::new(py, output)?)
}

/// See kbuild_btf.explain, which makes records of these dictionaries and lists.
#[allow(clippy::too_many_arguments)]
#[pyfunction]
#[pyo3(signature = (elf, name, *, objects=None, features=None, lang_exclude=Vec::new(), jobs=0, cache=None))]
fn explain<'py>(
    py: Python<'py>,
    elf: PathBuf,
    name: String,
    objects: Option<Vec<PathBuf>>,
    features: Option<&str>,
    lang_exclude: Vec<String>,
    jobs: i64,
    cache: Option<PathBuf>,
) -> Result<Bound<'py, PyDict>> {
    let request = Request {
        cache: cache.as_deref().map(Cache::at),
        ..request(&elf, features, &lang_exclude, jobs, None, None)?
    };
    let told = py.detach(|| guarded(|| native::explain(request, objects.as_deref(), &name)))?;
    let result = PyDict::new(py);
    let function = match told.function {
        None => None,
        Some(verdict) => {
            let entry = PyDict::new(py);
            entry.set_item("reason", verdict.reason)?;
            entry.set_item("clone", verdict.clone)?;
            entry.set_item("symbols", verdict.symbols)?;
            let candidates = PyList::empty(py);
            for c in verdict.candidates {
                let candidate = PyDict::new(py);
                candidate.set_item("object", c.object)?;
                candidate.set_item("die", c.die)?;
                candidate.set_item("prototype", c.prototype)?;
                candidate.set_item("passed", c.passed)?;
                candidate.set_item("facts", c.facts)?;
                candidate.set_item("address", c.address)?;
                candidate.set_item("chosen", c.chosen)?;
                candidates.append(candidate)?;
            }
            entry.set_item("candidates", candidates)?;
            let sites = PyList::empty(py);
            for s in verdict.sites {
                let site = PyDict::new(py);
                site.set_item("object", s.object)?;
                site.set_item("section", s.section)?;
                site.set_item("address", s.address)?;
                site.set_item("function", s.function)?;
                site.set_item("offset", s.offset)?;
                site.set_item("places", s.places)?;
                sites.append(site)?;
            }
            entry.set_item("sites", sites)?;
            Some(entry)
        }
    };
    result.set_item("function", function)?;
    let definitions = PyList::empty(py);
    for d in told.definitions {
        let definition = PyDict::new(py);
        definition.set_item("type", d.class)?;
        definition.set_item("objects", d.objects)?;
        definitions.append(definition)?;
    }
    result.set_item("definitions", definitions)?;
    result.set_item("types", PyBytes::new(py, &told.types))?;
    Ok(result)
}

/// See kbuild_btf.report.link, which makes records of these dictionaries and lists.
#[allow(clippy::too_many_arguments)]
#[pyfunction]
#[pyo3(signature = (elf, *, objects=None, features=None, lang_exclude=Vec::new(), jobs=0, cache=None))]
fn survey<'py>(
    py: Python<'py>,
    elf: PathBuf,
    objects: Option<Vec<PathBuf>>,
    features: Option<&str>,
    lang_exclude: Vec<String>,
    jobs: i64,
    cache: Option<PathBuf>,
) -> Result<Bound<'py, PyDict>> {
    let request = Request {
        cache: cache.as_deref().map(Cache::at),
        ..request(&elf, features, &lang_exclude, jobs, None, None)?
    };
    let told = py.detach(|| guarded(|| native::survey(&request, objects.as_deref())))?;
    let left_out = PyList::empty(py);
    for one in told.left_out {
        let candidates = PyList::empty(py);
        for t in one.told {
            let candidate = PyDict::new(py);
            candidate.set_item("prototype", t.prototype)?;
            candidate.set_item("passed", t.passed)?;
            candidate.set_item("facts", t.facts)?;
            candidate.set_item("decides", t.decides)?;
            candidate.set_item("count", t.objects.count)?;
            candidate.set_item("objects", t.objects.first)?;
            candidates.append(candidate)?;
        }
        let function = PyDict::new(py);
        function.set_item("name", one.name)?;
        function.set_item("reason", one.reason)?;
        function.set_item("symbols", one.symbols)?;
        function.set_item("candidates", candidates)?;
        left_out.append(function)?;
    }
    let definitions = PyList::empty(py);
    for named in told.definitions {
        let own = PyList::empty(py);
        for (class, objects) in named.definitions {
            let definition = PyDict::new(py);
            definition.set_item("type", class)?;
            definition.set_item("count", objects.count)?;
            definition.set_item("objects", objects.first)?;
            own.append(definition)?;
        }
        definitions.append((named.name, own))?;
    }
    let directories = told.directories.into_iter();
    let directories: Vec<_> = directories.map(|d| (d.path, d.types, d.bytes)).collect();
    let result = PyDict::new(py);
    result.set_item("left_out", left_out)?;
    result.set_item("definitions", definitions)?;
    result.set_item("directories", directories)?;
    result.set_item("types", PyBytes::new(py, &told.types))?;
    Ok(result)
}

/// See kbuild_btf.check.
#[pyfunction]
#[pyo3(signature = (btf, base=None, *, pointer_size=None, kernel=false))]
fn check(
    py: Python<'_>,
    btf: &[u8],
    base: Option<&[u8]>,
    pointer_size: Option<u64>,
    kernel: bool,
) -> Result<()> {
    let rules = if kernel { Rules::Kernel } else { Rules::Load };
    let check = || native::check_raw(btf, base, pointer_size, rules);
    Ok(py.detach(|| guarded(check))?)
}

/// Check the BTF of each module against raw BTF of a vmlinux, by the kernel's rules for modules.
///
/// One dictionary for each, in their order. `pointer_size` of the base in bytes (None: that of
/// `long`); modules say their own. Raises Error when the base itself is not sound.
#[pyfunction]
#[pyo3(signature = (base, modules, *, pointer_size=None, jobs=0))]
fn check_modules<'py>(
    py: Python<'py>,
    base: &[u8],
    modules: Vec<PathBuf>,
    pointer_size: Option<u64>,
    jobs: i64,
) -> Result<Bound<'py, PyList>> {
    let jobs = threads(jobs)?;
    let check = || native::check_modules(base, pointer_size, &modules, jobs);
    let verdicts = py.detach(|| guarded(check))?;
    let result = PyList::empty(py);
    for verdict in verdicts {
        let entry = PyDict::new(py);
        let (found, error) = match verdict {
            Ok(found) => (Some(found), None),
            Err(error) => (None, Some(error)),
        };
        let text = |error: &Option<Error>| error.as_ref().map(|e| e.to_string());
        entry.set_item("error", error.map(raised))?;
        entry.set_item("refused", found.as_ref().and_then(|f| text(&f.refused)))?;
        entry.set_item("misread", found.as_ref().and_then(|f| text(&f.misread)))?;
        entry.set_item("base_strings", found.as_ref().and_then(|f| f.base_strings))?;
        result.append(entry)?;
    }
    Ok(result)
}

/// See kbuild_btf.read_section.
#[pyfunction]
fn read_section<'py>(
    py: Python<'py>,
    elf: PathBuf,
    name: &str,
) -> Result<Option<Bound<'py, PyBytes>>> {
    let found = guarded(|| {
        let mapped = Mapped::open(&elf)?;
        Ok(Elf::parse(&mapped)?
            .raw_section(name)?
            .map(|data| data.into_owned()))
    })?;
    Ok(found.map(|data| PyBytes::new(py, &data)))
}

/// See kbuild_btf.embed.
#[pyfunction]
fn embed(py: Python<'_>, elf: PathBuf, sections: Vec<(String, Vec<u8>)>) -> Result<()> {
    let sections: Vec<(&str, &[u8])> = sections
        .iter()
        .map(|(name, data)| (name.as_str(), data.as_slice()))
        .collect();
    Ok(py.detach(|| guarded(|| native::embed(&elf, &sections)))?)
}

/// See kbuild_btf.linked_objects.
#[pyfunction]
fn linked_objects(elf: PathBuf) -> Result<Vec<PathBuf>> {
    Ok(guarded(|| native::linked_objects(&elf))?)
}

/// See kbuild_btf.sidecar_path.
#[pyfunction]
fn sidecar_path(object: PathBuf) -> PathBuf {
    native::sidecar_path(&object)
}

/// See kbuild_btf.write_sidecar.
#[pyfunction]
#[pyo3(signature = (object, *, inline=false, cache=None))]
fn write_sidecar(
    py: Python<'_>,
    object: PathBuf,
    inline: bool,
    cache: Option<PathBuf>,
) -> Result<Option<&'static str>> {
    let cache = cache.as_deref().map(Cache::at);
    let write = || native::write_sidecar(&object, inline, cache.as_ref(), &mut Clock::start());
    let event = py.detach(|| guarded(write))?;
    Ok(event.map(|e| e.name()))
}

/// Where the cache is by these environment variables; None for no cache.
#[pyfunction]
fn cache_directory(environ: HashMap<String, OsString>) -> Option<PathBuf> {
    Cache::directory(|name| environ.get(name).cloned())
}

/// How far `encode`, `link` or `explain` is in another thread: the stage, how much is done, of how
/// much. With a total of 0 the stage is a word for what is being done, else for what counts.
#[pyfunction]
fn progress() -> (&'static str, usize, usize) {
    native::progress::now()
}

/// The native half: loops that run per DIE, per type or per symbol.
///
/// All functions raise Error for what is wrong with their input, and release the GIL while they work.
/// Paths are relative to the working directory.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("Error", exception(module.py())?)?;
    module.add("ENCODER_VERSION", native::ENCODER_VERSION)?;
    module.add("FEATURES", Features::NAMES.to_vec())?;
    module.add("LANGUAGES", languages::all().collect::<HashMap<_, _>>())?;
    module.add("EVENTS", HashMap::from(Event::COUNTED))?;
    module.add_class::<Output>()?;
    module.add_function(wrap_pyfunction!(encode, module)?)?;
    module.add_function(wrap_pyfunction!(link_objects, module)?)?;
    module.add_function(wrap_pyfunction!(explain, module)?)?;
    module.add_function(wrap_pyfunction!(survey, module)?)?;
    module.add_function(wrap_pyfunction!(cache_directory, module)?)?;
    module.add_function(wrap_pyfunction!(check, module)?)?;
    module.add_function(wrap_pyfunction!(check_modules, module)?)?;
    module.add_function(wrap_pyfunction!(read_section, module)?)?;
    module.add_function(wrap_pyfunction!(embed, module)?)?;
    module.add_function(wrap_pyfunction!(linked_objects, module)?)?;
    module.add_function(wrap_pyfunction!(sidecar_path, module)?)?;
    module.add_function(wrap_pyfunction!(write_sidecar, module)?)?;
    module.add_function(wrap_pyfunction!(progress, module)?)?;
    Ok(())
}
