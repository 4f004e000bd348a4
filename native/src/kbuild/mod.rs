// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Which objects the linker took, in a kernel tree.
//!
//! In order of trust: the trace that the LD wrapper kept of this very link; for a module the list
//! in its `.mod` file; the archive `vmlinux.a` with the objects that Kbuild adds to it. Whichever it
//! is, the symbols of the linked file must name the same source files as those of the objects.

pub mod relink;
mod trace;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use object::read::archive::{ArchiveFile, ArchiveMember};

use crate::elf::image::Image;
use crate::elf::Elf;
use crate::support::error::{Error, Result};
use crate::support::files::{read, read_text, Mapped};

/// The objects of a linked file. Paths are relative to the working directory, as make's are.
pub fn linked_objects(elf: &Path) -> Result<Vec<PathBuf>> {
    let directory = elf.parent().unwrap_or(Path::new(""));
    let name = elf.file_name().unwrap_or_default().to_string_lossy();
    // The final image takes what its first link took, and what only names symbols.
    let images: &[&str] = match name.starts_with("vmlinux") {
        true => &[&name, ".tmp_vmlinux1", ".tmp_vmlinux.btf"],
        false => &[&name],
    };
    for image in images {
        let path = trace_of(directory, image);
        if belongs(&path, &directory.join(image)) {
            let text = read_text(&path)?;
            return trace::objects(&text, directory)
                .map_err(|e| e.at(path.display()).hint("run make again"));
        }
    }
    if let Some(module) = name.strip_suffix(".ko") {
        return module_objects(directory, module);
    }
    let archive = directory.join("vmlinux.a");
    if archive.exists() {
        let mut objects = archive_members(&archive)?;
        for extra in [".vmlinux.export.o", "init/version-timestamp.o"] {
            let path = directory.join(extra);
            if path.exists() {
                objects.push(path);
            }
        }
        return Ok(objects);
    }
    Err(
        Error::new("cannot tell which objects this file was linked from")
            .at(elf.display())
            .hint("name the objects, or encode the file itself: kbuild-btf encode"),
    )
}

/// Refuse a list of objects that is not what the file was linked from: linkers copy the symbols that
/// name source files (`STT_FILE`), one for each source, and `--strip-debug` leaves them. A file
/// without any was linked with other options, and then there is nothing to compare.
///
/// `objects`: the path of each, and the source files that its symbols name as far as they are known.
pub fn cross_check(image: &Image<'_>, objects: &[(&PathBuf, Option<&[Vec<u8>]>)]) -> Result<()> {
    let mut balance: BTreeMap<&[u8], i64> = BTreeMap::new();
    for name in image.group_names.iter().filter(|n| names_source(n)) {
        *balance.entry(name).or_default() += 1;
    }
    if balance.is_empty() {
        return Ok(());
    }
    // A sidecar of an object without DWARF knows nothing; there are few.
    let unread = objects.iter().filter(|(_, sources)| sources.is_none());
    let unread: Vec<(&PathBuf, Mapped)> = unread
        .map(|&(path, _)| Ok((path, Mapped::open(path)?)))
        .collect::<Result<_>>()?;
    let mut files: Vec<(&PathBuf, &[u8])> = Vec::new();
    for (path, mapped) in &unread {
        let elf = Elf::parse(mapped)?;
        files.extend(elf.source_files().into_iter().map(|name| (*path, name)));
    }
    for &(path, sources) in objects {
        let names = sources.into_iter().flatten();
        files.extend(names.map(|name| (path, name.as_slice())));
    }
    files.retain(|(_, name)| names_source(name));
    for (_, name) in &files {
        *balance.entry(name).or_default() -= 1;
    }
    balance.retain(|_, count| *count != 0);
    let Some((&name, &count)) = balance.iter().next() else {
        return Ok(());
    };
    let shown = String::from_utf8_lossy(name);
    let what = match files.iter().rfind(|(_, n)| *n == name) {
        Some((path, _)) if count < 0 => format!(
            "{} is in the list of its objects, but {shown} is not in it as often as in them",
            path.display()
        ),
        _ => format!("an object of {shown} was linked that is not in the list of its objects"),
    };
    let more = match balance.len() {
        1 => String::new(),
        n => format!(" (and {} other sources differ)", n - 1),
    };
    Err(Error::new(format!("{what}{more}"))
        .at(image.path.display())
        .hint("run make again, or name the objects"))
}

/// Is this the name of a source file? Linkers invent one, from the object's own, for what has none;
/// compilers that read a pipe, as for the wrapper of the finished BTF, write `<stdin>` or `-`.
fn names_source(name: &[u8]) -> bool {
    !(name.is_empty() || name.ends_with(b".o") || name == b"<stdin>" || name == b"-")
}

fn trace_of(directory: &Path, image: &str) -> PathBuf {
    directory.join(format!(".tmp_kbuild-btf.{image}.trace"))
}

/// Is this the record of the link that made the image? The wrapper writes it when the image is done.
/// An older one is of another link, and this one ran without the wrapper.
fn belongs(trace: &Path, image: &Path) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|m| m.modified()).ok();
    match (changed(trace), changed(image)) {
        (Some(trace), Some(image)) => trace >= image,
        (trace, None) => trace.is_some(),
        (None, _) => false,
    }
}

/// Keep the trace of an image that was changed after its link, by a section that was added.
pub fn keep_trace(elf: &Path) {
    let name = elf.file_name().unwrap_or_default().to_string_lossy();
    let trace = trace_of(elf.parent().unwrap_or(Path::new("")), &name);
    if let Ok(file) = fs::File::options().write(true).open(trace) {
        // Only a later `link` by hand reads it again.
        let _ = file.set_modified(std::time::SystemTime::now());
    }
}

/// Members of a thin archive: paths beside the archive.
fn archive_members(archive: &Path) -> Result<Vec<PathBuf>> {
    let bytes = read(archive)?;
    let bad = |what: &str| Error::new(format!("damaged archive: {what}")).at(archive.display());
    let parsed = ArchiveFile::parse(bytes.as_slice()).map_err(|e| bad(&e.to_string()))?;
    if !parsed.is_thin() {
        return Err(
            Error::new("not a thin archive: its members cannot have sidecars")
                .at(archive.display()),
        );
    }
    let directory = archive.parent().unwrap_or(Path::new(""));
    members(&parsed)
        .map(|member| {
            let member = member.map_err(|what| bad(&what))?;
            Ok(directory.join(String::from_utf8_lossy(member.name()).as_ref()))
        })
        .collect()
}

/// Bytes of a path, at most, as Linux takes it.
const LONGEST_PATH: usize = 4096;

/// The members of an archive, or what is wrong with one. Names may be the ends of one long string.
fn members<'a>(
    archive: &ArchiveFile<'a>,
) -> impl Iterator<Item = std::result::Result<ArchiveMember<'a>, String>> {
    archive.members().map(|member| {
        let member = member.map_err(|e| e.to_string())?;
        match member.name().len() {
            0..LONGEST_PATH => Ok(member),
            long => Err(format!("a name of {long} bytes")),
        }
    })
}

/// The objects of a module: those that its `.mod` file lists, and what modpost adds.
fn module_objects(directory: &Path, module: &str) -> Result<Vec<PathBuf>> {
    let list = directory.join(format!("{module}.mod"));
    let text = read_text(&list)
        .map_err(|e| e.hint("name the objects, or encode the module itself: kbuild-btf encode"))?;
    let mut objects = Vec::new();
    for path in text.split_whitespace() {
        objects.push(in_tree(directory, Path::new(path)).ok_or_else(|| {
            Error::new(format!("object {path} is gone"))
                .at(list.display())
                .hint("run make again")
        })?);
    }
    objects.push(directory.join(format!("{module}.mod.o")));
    // Since 6.12 what all modules have in common is an object of its own, at the top.
    objects.extend(in_tree(directory, Path::new(".module-common.o")));
    objects.retain(|path| path.exists());
    Ok(objects)
}

/// A path as Kbuild writes it, relative to the top of the object tree, seen from the working
/// directory: that is the top in a build, but a person may stand elsewhere.
fn in_tree(directory: &Path, path: &Path) -> Option<PathBuf> {
    // From the module upwards first: an external module has its own top.
    directory
        .ancestors()
        .chain(std::iter::once(Path::new("")))
        .map(|top| top.join(path))
        .find(|candidate| candidate.exists())
}
