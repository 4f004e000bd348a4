// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! `kbuild-btf-pahole`: takes pahole's place in a kernel build, and its command line.
//!
//! Kernel builds ask for the version dozens of times and run this once for vmlinux and once for
//! each module, so it is native. It starts nothing but, when symbols do not tell static variables
//! apart, the linker.

#![no_main]

use std::ffi::{c_char, c_int, OsString};
use std::path::{Path, PathBuf};

use kbuild_btf_native::say::{answer, note, tell};
use kbuild_btf_native::start::Memory;
use kbuild_btf_native::{
    embed, forget_lost, guarded, has_dwarf, is_dropped, keep_trace, lacks_dwarf, languages, link,
    linked_objects, modules, start, trace_file, write_if_changed, Cache, Error, Features, Output,
    Request, Result, Share,
};

#[global_allocator]
static MEMORY: Memory = Memory {
    message: "kbuild-btf: error: out of memory; run fewer jobs at once (make -j), or raise the limit (ulimit -v)\n",
    exit_status: 1,
};

/// The version whose features and flags this understands; kernels choose their flags by it.
const VERSION: &str = "v1.31";

#[derive(Default)]
struct Options {
    /// Threads; `-j` alone: all processors.
    jobs: Option<usize>,
    features: Option<Features>,
    legacy: Vec<(&'static str, bool)>,
    strict: bool,
    excluded: Vec<u32>,
    base: Option<PathBuf>,
    detached: Option<PathBuf>,
    verbose: bool,
    files: Vec<PathBuf>,
}

/// Older options and the feature that each one turns on or off.
const LEGACY: [(&str, &str, bool); 10] = [
    ("--btf_gen_floats", "float", true),
    ("--btf_gen_optimized", "optimized_func", true),
    ("--btf_encode_force", "encode_force", true),
    ("--skip_encoding_btf_vars", "var", false),
    ("--skip_encoding_btf_decl_tag", "decl_tag", false),
    ("--skip_encoding_btf_type_tag", "type_tag", false),
    ("--skip_encoding_btf_enum64", "enum64", false),
    (
        "--skip_encoding_btf_inconsistent_proto",
        "consistent_func",
        true,
    ),
    ("--reproducible_build", "reproducible_build", true),
    ("--btf_attributes", "attributes", true),
];

/// What the C library calls.
///
/// # Safety
///
/// As `start::begin`.
#[no_mangle]
pub unsafe extern "C" fn main(count: c_int, arguments: *const *const c_char) -> c_int {
    // SAFETY: the C library's promise.
    let arguments = unsafe { start::begin(count, arguments, MEMORY.exit_status) };
    match guarded(|| run(&arguments)) {
        Ok(()) => 0,
        Err(error) => {
            note("kbuild-btf", format_args!("error: {error}"));
            1
        }
    }
}

fn run(arguments: &[OsString]) -> Result<()> {
    if arguments.iter().any(|a| a == "--version") {
        answer(VERSION)?;
        return Ok(());
    }
    if arguments.iter().any(|a| a == "--numeric_version") {
        answer(VERSION.replace(['v', '.'], ""))?;
        return Ok(());
    }
    if arguments.iter().any(|a| a == "--supported_btf_features") {
        answer(Features::NAMES.join(","))?;
        return Ok(());
    }
    if !arguments.iter().any(asks_to_encode) {
        return run_real_pahole(arguments, "only -J (encode BTF) is done here");
    }
    let options = parse(arguments)?;
    for file in &options.files {
        encode(&options, file)?;
    }
    if options.files.is_empty() {
        return Err(Error::new("no file to encode"));
    }
    Ok(())
}

fn asks_to_encode(argument: &OsString) -> bool {
    let text = argument.to_string_lossy();
    let name = text.split('=').next().unwrap_or_default();
    matches!(name, "-J" | "--btf_encode" | "--btf_encode_detached")
}

fn parse(arguments: &[OsString]) -> Result<Options> {
    let mut options = Options::default();
    if let Some(list) = std::env::var_os("PAHOLE_LANG_EXCLUDE") {
        exclude(&mut options, &list.to_string_lossy());
    }
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let text = argument.to_string_lossy();
        let (name, value) = match text.split_once('=') {
            Some((name, value)) if name.starts_with("--") => {
                (name.to_owned(), Some(OsString::from(value)))
            }
            _ => (text.clone().into_owned(), None),
        };
        let mut needed = || {
            value
                .clone()
                .or_else(|| rest.next().cloned())
                .ok_or_else(|| Error::new(format!("option {name} wants a value")))
        };
        match name.as_str() {
            "-J" | "--btf_encode" => {}
            "-j" | "--jobs" => {
                options.jobs = Some(match &value {
                    Some(count) => number(count)?,
                    None => 0,
                })
            }
            "--btf_features" => turn_on(&mut options, &needed()?.to_string_lossy())?,
            "--btf_features_strict" => {
                options.strict = true;
                turn_on(&mut options, &needed()?.to_string_lossy())?;
            }
            "--lang_exclude" => {
                let list = needed()?;
                exclude(&mut options, &list.to_string_lossy());
            }
            "--btf_base" => options.base = Some(needed()?.into()),
            "--btf_encode_detached" => options.detached = Some(needed()?.into()),
            "-V" | "--verbose" => options.verbose = true,
            _ if !text.starts_with('-') => options.files.push(argument.into()),
            short if short.len() > 2 && short.starts_with("-j") => {
                options.jobs = Some(number(&OsString::from(&short[2..]))?);
            }
            other => match LEGACY.iter().find(|(option, _, _)| *option == other) {
                Some((_, feature, on)) => options.legacy.push((feature, *on)),
                None => {
                    return Err(Error::new(format!("option {text} is not known")).hint(
                        "with -J, kbuild-btf-pahole takes the options that kernel builds use",
                    ))
                }
            },
        }
    }
    Ok(options)
}

fn number(text: &OsString) -> Result<usize> {
    let text = text.to_string_lossy();
    text.parse()
        .map_err(|_| Error::new(format!("-j wants a number of threads, not {text}")))
}

fn turn_on(options: &mut Options, list: &str) -> Result<()> {
    let mut features = options.features.unwrap_or(Features::NONE);
    let unknown = features.turn_on(list);
    options.features = Some(features);
    if options.strict {
        if let Some(name) = unknown.first() {
            return Err(Error::new(format!("BTF feature {name} is not known"))
                .hint("kbuild-btf-pahole --supported_btf_features lists them"));
        }
    }
    Ok(())
}

fn exclude(options: &mut Options, list: &str) {
    for name in list.split(',').filter(|n| !n.is_empty()) {
        match languages::number(name) {
            Some(language) => options.excluded.push(language),
            None => note(
                "kbuild-btf",
                format_args!("warning: language {name} is not known, ignored"),
            ),
        }
    }
}

impl Options {
    fn features(&self) -> Features {
        let mut features = self.features.unwrap_or(Features::LEGACY);
        for (name, on) in &self.legacy {
            features.set(name, *on);
        }
        features
    }
}

fn encode(options: &Options, file: &Path) -> Result<()> {
    let features = options.features();
    let share = Share::take(options.jobs.unwrap_or(1));
    let request = Request {
        elf: file,
        features,
        excluded_languages: options.excluded.clone(),
        jobs: share.threads(),
        base: options.base.clone(),
        stable_ids: match options.base {
            None => std::env::var_os("KBUILD_BTF_STABLE_IDS")
                .filter(|path| !path.is_empty())
                .map(PathBuf::from),
            Some(_) => None,
        },
        keep_sidecars: true,
        cache: Cache::from_env(),
        trace: trace_file(),
    };
    let output = match make(&request, options.verbose) {
        // A module may be one without (`ccflags-y := -g0`, a vendor's objects); the kernel loads it.
        Err(_) if options.base.is_some() && lacks_dwarf(file) && !lacks_some_dwarf(file) => {
            let name = file.display();
            note(
                "kbuild-btf",
                format_args!("{name}: no debug information in its objects, so it gets no BTF"),
            );
            return Ok(());
        }
        made => made?,
    };
    if let Some(path) = &options.detached {
        if let Some(base) = &output.base {
            let mut beside = path.clone().into_os_string();
            beside.push(".base");
            write_if_changed(Path::new(&beside), base)?;
        }
        write_if_changed(path, &output.btf)?;
    } else {
        let mut sections = vec![(".BTF", output.btf.as_slice())];
        sections.extend(output.base.as_deref().map(|base| (".BTF.base", base)));
        embed(file, &sections)?;
        keep_trace(file);
    }
    report(&request, &output);
    if options.verbose {
        // The words of pahole, which scripts look for.
        for (function, reason) in &output.left_out {
            tell(format_args!(
                "{function} : skipping BTF encoding of function due to {}",
                reason.as_pahole_says()
            ));
        }
    }
    Ok(())
}

/// From the objects where they are known, else from the file's own DWARF. To say what is left out,
/// a module must be made again.
fn make(request: &Request<'_>, verbose: bool) -> Result<Output> {
    let name = request
        .elf
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let by_kbuild =
        name.ends_with(".ko") || name.starts_with("vmlinux") || name.starts_with(".tmp_vmlinux");
    if !by_kbuild {
        return kbuild_btf_native::encode(request);
    }
    let linked = match request.base {
        Some(_) if !verbose => modules::link(request),
        _ => link(request, None),
    };
    let cause = match linked {
        Ok(output) => return Ok(output),
        Err(cause) => cause,
    };
    if let Some(lost) = types_lost(request) {
        return Err(lost);
    }
    if !has_dwarf(request.elf) || lacks_some_dwarf(request.elf) {
        return Err(cause);
    }
    note(
        "kbuild-btf",
        format_args!("{name}: reading its own debug information, because: {cause}"),
    );
    kbuild_btf_native::encode(request)
}

/// Is there an object whose debug information was taken out? Then that of the linked file is not all
/// that it should be. Where the objects are not known, what the build is told counts.
fn lacks_some_dwarf(elf: &Path) -> bool {
    match linked_objects(elf) {
        Ok(objects) => objects.iter().any(|object| is_dropped(object)),
        Err(_) => std::env::var_os("KBUILD_BTF_DEBUG").is_some_and(|mode| mode == "drop"),
    }
}

/// All objects at once whose types are lost, so that one more make compiles all of them.
fn types_lost(request: &Request<'_>) -> Option<Error> {
    let objects = linked_objects(request.elf).ok()?;
    let lost = forget_lost(&objects, request.cache.as_ref());
    let first = lost.first()?.display();
    let what = match lost.len() {
        1 => format!("the debug information of {first} was taken out"),
        n => format!("the debug information of {n} objects was taken out, as of {first}"),
    };
    let what = format!(
        "{what} (KBUILD_BTF_DEBUG=drop), and what was encoded of it is gone, or of another version \
         of kbuild-btf"
    );
    let hint = "run make again: it compiles what is missing";
    Some(Error::new(what).at(request.elf.display()).hint(hint))
}

const NO_FIT: &str = "there was no room for all new types or names between those of \
    KBUILD_BTF_STABLE_IDS: modules that were built before must be built again";

/// One line about vmlinux as Kbuild would say it; about modules only when it is told to say all.
fn report(request: &Request<'_>, output: &Output) {
    for line in &output.notes {
        note("kbuild-btf", format_args!("warning: {line}"));
    }
    let set = |name: &str, value: &str| std::env::var(name).is_ok_and(|v| v == value);
    let all = set("KBUILD_VERBOSE", "1");
    if set("quiet", "silent_") || (request.base.is_some() && !all) {
        return;
    }
    let count = |name: &str| output.count(name);
    if request.stable_ids.is_some() && count("modules_fit") == 0 {
        note("kbuild-btf", format_args!("warning: {}", NO_FIT));
    }
    let types = count("types");
    let name = request.elf.display();
    if count(modules::FROM_CACHE) != 0 {
        tell(format_args!(
            "  BTF     {name}: from the cache, {types} types"
        ));
    } else if count("linked") == 0 {
        tell(format_args!(
            "  BTF     {name}: {} units, {types} types",
            count("units")
        ));
    } else {
        tell(format_args!(
            "  BTF     {name}: {} objects linked, {} reused, {} encoded now, {} without DWARF, {types} types",
            count("linked"),
            count("reused"),
            count("encoded"),
            count("without_dwarf"),
        ));
    }
    if all {
        for lap in &output.timings {
            tell(format_args!("          {lap}"));
        }
    }
}

/// Anything but encoding is left to the real pahole, if there is one.
fn run_real_pahole(arguments: &[OsString], why: &str) -> Result<()> {
    let own = std::env::current_exe().ok();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let real = std::env::split_paths(&path)
        .map(|directory| directory.join("pahole"))
        .find(|candidate| candidate.is_file() && candidate.canonicalize().ok() != own)
        .ok_or_else(|| {
            Error::new(format!("{why}, and pahole is not installed")).hint("install pahole")
        })?;
    let cause =
        std::os::unix::process::CommandExt::exec(std::process::Command::new(&real).args(arguments));
    Err(Error::new(format!(
        "cannot run {}: {cause}",
        real.display()
    )))
}
