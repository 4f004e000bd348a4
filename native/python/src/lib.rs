// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! The Python face: `kbuild_btf._native`. Documented for Python in `_native.pyi`.

use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use kbuild_btf_native as native;
use kbuild_btf_native::{guarded, languages, Clock, Elf, Error, Features, Mapped, Request, Rules};

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

#[pyclass(frozen, module = "kbuild_btf._native")]
struct Output {
    #[pyo3(get)]
    btf: Py<PyBytes>,
    #[pyo3(get)]
    base: Option<Py<PyBytes>>,
    #[pyo3(get)]
    report: Py<PyDict>,
    #[pyo3(get)]
    notes: Vec<String>,
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

fn request<'a>(
    elf: &'a Path,
    features: Option<&str>,
    lang_exclude: &[String],
    jobs: usize,
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
        languages::number(name).ok_or_else(|| Error::new(format!("language {name} is not known")))
    };
    Ok(Request {
        elf,
        features,
        excluded_languages: lang_exclude
            .iter()
            .map(language)
            .collect::<native::Result<_>>()?,
        jobs,
        base,
        stable_ids,
        keep_sidecars: false,
    })
}

#[pyfunction]
#[pyo3(signature = (elf, *, features=None, lang_exclude=Vec::new(), jobs=0, base=None, stable_ids=None))]
fn encode(
    py: Python<'_>,
    elf: PathBuf,
    features: Option<&str>,
    lang_exclude: Vec<String>,
    jobs: usize,
    base: Option<PathBuf>,
    stable_ids: Option<PathBuf>,
) -> Result<Output> {
    let request = request(&elf, features, &lang_exclude, jobs, base, stable_ids)?;
    let output = py.detach(|| guarded(|| native::encode(&request)))?;
    Ok(Output::new(py, output)?)
}

// One argument for each keyword of the Python function.
#[allow(clippy::too_many_arguments)]
#[pyfunction]
#[pyo3(name = "link", signature = (elf, *, objects=None, features=None, lang_exclude=Vec::new(), jobs=0, base=None, stable_ids=None))]
fn link_objects(
    py: Python<'_>,
    elf: PathBuf,
    objects: Option<Vec<PathBuf>>,
    features: Option<&str>,
    lang_exclude: Vec<String>,
    jobs: usize,
    base: Option<PathBuf>,
    stable_ids: Option<PathBuf>,
) -> Result<Output> {
    let request = request(&elf, features, &lang_exclude, jobs, base, stable_ids)?;
    let output = py.detach(|| guarded(|| native::link(&request, objects.as_deref())))?;
    Ok(Output::new(py, output)?)
}

/// Plain dictionaries and lists: the caller only shows them.
#[pyfunction]
#[pyo3(signature = (elf, name, *, objects=None, features=None, lang_exclude=Vec::new(), jobs=0))]
fn explain<'py>(
    py: Python<'py>,
    elf: PathBuf,
    name: String,
    objects: Option<Vec<PathBuf>>,
    features: Option<&str>,
    lang_exclude: Vec<String>,
    jobs: usize,
) -> Result<Bound<'py, PyDict>> {
    let request = request(&elf, features, &lang_exclude, jobs, None, None)?;
    let told = py.detach(|| guarded(|| native::explain(&request, objects.as_deref(), &name)))?;
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
            Some(entry)
        }
    };
    result.set_item("function", function)?;
    let definitions = PyList::empty(py);
    for d in told.definitions {
        let definition = PyDict::new(py);
        definition.set_item("kind", d.kind)?;
        definition.set_item("size", d.size)?;
        definition.set_item("objects", d.objects)?;
        definition.set_item("difference", d.difference)?;
        definitions.append(definition)?;
    }
    result.set_item("definitions", definitions)?;
    Ok(result)
}

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

/// One dictionary for each module, in their order.
#[pyfunction]
#[pyo3(signature = (base, modules, *, pointer_size=None, jobs=0))]
fn check_modules<'py>(
    py: Python<'py>,
    base: &[u8],
    modules: Vec<PathBuf>,
    pointer_size: Option<u64>,
    jobs: usize,
) -> Result<Bound<'py, PyList>> {
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

#[pyfunction]
fn embed(py: Python<'_>, elf: PathBuf, sections: Vec<(String, Vec<u8>)>) -> Result<()> {
    let sections: Vec<(&str, &[u8])> = sections
        .iter()
        .map(|(name, data)| (name.as_str(), data.as_slice()))
        .collect();
    Ok(py.detach(|| guarded(|| native::embed(&elf, &sections)))?)
}

#[pyfunction]
fn linked_objects(elf: PathBuf) -> Result<Vec<PathBuf>> {
    Ok(guarded(|| native::linked_objects(&elf))?)
}

#[pyfunction]
fn sidecar_path(object: PathBuf) -> PathBuf {
    native::sidecar_path(&object)
}

#[pyfunction]
fn write_sidecar(py: Python<'_>, object: PathBuf) -> Result<Option<&'static str>> {
    let mut clock = Clock::start();
    let event = py.detach(|| guarded(|| native::write_sidecar(&object, &mut clock)))?;
    Ok(event.map(|e| e.name()))
}

#[pyfunction]
fn progress() -> (&'static str, usize, usize) {
    native::progress::now()
}

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("Error", exception(module.py())?)?;
    module.add("ENCODER_VERSION", native::ENCODER_VERSION)?;
    module.add("FEATURES", Features::NAMES.to_vec())?;
    module.add_class::<Output>()?;
    module.add_function(wrap_pyfunction!(encode, module)?)?;
    module.add_function(wrap_pyfunction!(link_objects, module)?)?;
    module.add_function(wrap_pyfunction!(explain, module)?)?;
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
