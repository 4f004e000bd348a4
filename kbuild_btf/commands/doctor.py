# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Say what is missing on this machine and how to get it; exit status 1 when it is needed.

Each check is a function that yields findings; `run` prints them. Nothing is changed, apart from
a file that is made and removed at once to see whether the cache can be written.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from .. import cache, kbuild, paths
from ..errors import Error
from ..terminal import styled, wrapped

OK, NOTE, MISSING = "ok", "note", "missing"
_COLOURS = {OK: "green", NOTE: "yellow", MISSING: "red"}

_PYTHON_PACKAGES = {"filelock": "filelock", "elftools": "pyelftools", "xxhash": "xxhash"}

# Package names where they differ from that of what is needed: apt, dnf, pacman, zypper.
_PACKAGES = {
    "libelf": ("libelf-dev", "elfutils-libelf-devel", "libelf", "libelf-devel"),
    "libssl": ("libssl-dev", "openssl-devel", "openssl", "libopenssl-devel"),
    "zlib": ("zlib1g-dev", "zlib-devel", "zlib", "zlib-devel"),
    "depmod": ("kmod",) * 4,
    "xz": ("xz-utils", "xz", "xz", "xz"),
    "ld.lld": ("lld",) * 4,
    "ld": ("binutils",) * 4,
    "objcopy": ("binutils",) * 4,
    "nm": ("binutils",) * 4,
    "ar": ("binutils",) * 4,
    "pahole": ("pahole", "dwarves", "pahole", "dwarves"),
    "bpftool": ("bpftool", "bpftool", "bpf", "bpftool"),
}
_MANAGERS = {"apt-get": "apt install", "dnf": "dnf install", "pacman": "pacman -S"}
_MANAGERS["zypper"] = "zypper install"

# Older kernels were not tried; in 6.1 the two ways of the Kbuild glue were.
_OLDEST_TRIED = (6, 1)


class Finding(NamedTuple):
    """One line: OK, NOTE (works without it) or MISSING, about what, and what to know or do."""

    state: str
    what: str
    text: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kbuild-btf doctor`."""
    parser.add_argument(
        "tree", nargs="?", metavar="TREE", help="a kernel tree, or its O= directory, to look at"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON array")


def introduce(found: kbuild.Tree) -> str:
    """What `kbuild-btf make` says of a tree: what it will do there, and what is to be known."""
    # Not `tree`: an O= directory knows its sources only when make has been there. And not the
    # last build, which takes a look at each object.
    noted = list(_of_tree(found))
    lines = [
        f.text if f.what in ("way", "makefiles", "debug") else f"{f.what}: {f.text}"
        for f in noted
        if f.state != OK or f.what == "way" or (f.what == "debug" and kbuild.debug_mode() != "keep")
    ]
    release = f"Linux {found.version}" if found.version else str(found.source)
    return "".join(f"kbuild-btf: {release}: {line}\n" for line in lines)


def run(args: argparse.Namespace) -> int:
    """Look at everything and print it."""
    found = kbuild.find_tree(Path(args.tree)) if args.tree else None
    findings = [
        *machine(),
        *(build(found) if found else ()),
        *cache_directory(),
        *(tree(Path(args.tree)) if args.tree else ()),
    ]
    missing = sum(finding.state == MISSING for finding in findings)
    if args.json:
        print(json.dumps([finding._asdict() for finding in findings], indent=2))
    else:
        width = max(len(finding.what) for finding in findings)
        for finding in findings:
            state = styled(f"{finding.state:<7}", _COLOURS[finding.state])
            text = wrapped(finding.text, width + 11)
            print(f"{state}  {finding.what:<{width}}  {text}".rstrip())
        things = f"{missing} thing{'' if missing == 1 else 's'} missing"
        print(things if missing else "all that is needed is there")
    return 1 if missing else 0


def machine() -> Iterator[Finding]:
    """What is installed here."""
    yield from python()
    yield from native()
    yield from programs()


def python() -> Iterator[Finding]:
    """The interpreter and the libraries of the package."""
    from importlib import metadata  # slow to import, and `kbuild-btf make` does without

    version = ".".join(map(str, sys.version_info[:3]))
    if sys.platform != "linux":
        yield Finding(MISSING, "Linux", f"kernels are built on Linux, this is {sys.platform}")
    yield Finding(OK, "Python", version)
    for module, name in _PYTHON_PACKAGES.items():
        try:
            import_module(module)
            yield Finding(OK, name, metadata.version(name))
        except (ImportError, metadata.PackageNotFoundError):
            yield Finding(MISSING, name, f"{sys.executable} -m pip install {name}")


def native() -> Iterator[Finding]:
    """The extension module and the programs that make starts."""
    again = "install kbuild-btf again (pip install .); building it takes Rust from rustup.rs"
    try:
        encoder = import_module("kbuild_btf._native").ENCODER_VERSION
        yield Finding(OK, "encoder", str(encoder))
    except ImportError as failed:
        yield Finding(MISSING, "encoder", f"{failed}; {again}")
    try:
        directory = paths.executables()
    except Error as failed:
        yield Finding(MISSING, "programs for make", str(failed))
        return
    for name in paths.EXECUTABLES:
        path = directory / name
        # Only the front of pahole has something to say; the hook without an object does nothing.
        said = _said([str(path), "--version"])
        state = OK if said is not None else MISSING
        yield Finding(state, name, str(path) if said is not None else f"{path} fails; {again}")


def programs() -> Iterator[Finding]:
    """What a build starts, and what is good to have."""
    for name in ("make", "gcc", "ld", "ar", "nm", "objcopy"):
        if name == "gcc" and not shutil.which("gcc") and shutil.which("clang"):
            yield _program("clang", MISSING, "")
            continue
        yield _program(name, MISSING, "")
    yield _program("bpftool", NOTE, "looks at BTF and makes vmlinux.h; ")
    yield _program("pahole", NOTE, "not needed, only to compare with; ")


# Programs that the build of some configurations starts: any of these options is on.
_PROGRAMS = {
    "perl": ("OID_REGISTRY", "IKHEADERS", "HEADERS_INSTALL"),
    "cpio": ("IKHEADERS",),
    "rsync": ("HEADERS_INSTALL",),
    "openssl": ("MODULE_SIG",),
    "gawk": ("BUILTIN_MODULE_RANGES",),
    "gzip": ("KERNEL_GZIP",),
    "bzip2": ("KERNEL_BZIP2",),
    "xz": ("KERNEL_XZ", "KERNEL_LZMA", "IKHEADERS"),
    "lzop": ("KERNEL_LZO",),
    "lz4": ("KERNEL_LZ4",),
    "zstd": ("KERNEL_ZSTD",),
    "rustc": ("RUST",),
    "bindgen": ("RUST",),
    "ld.lld": ("LD_IS_LLD",),
}
# Libraries that programs are linked with which the build makes for itself, and a header of each.
_LIBRARIES = {
    # objtool, resolve_btfids
    "libelf": ("gelf.h", "-lelf", ("OBJTOOL", "STACK_VALIDATION", "DEBUG_INFO_BTF")),
    # resolve_btfids, by libbpf
    "zlib": ("zlib.h", "-lz", ("DEBUG_INFO_BTF",)),
    # sign-file, extract-cert
    "libssl": (
        "openssl/evp.h",
        "-lcrypto",
        ("MODULE_SIG_FORMAT", "SYSTEM_TRUSTED_KEYRING", "SYSTEM_REVOCATION_LIST"),
    ),
}


def build(found: kbuild.Tree) -> Iterator[Finding]:
    """What the build of this tree needs, by its configuration."""

    def asking(options: Sequence[str]) -> list[str]:
        return [f"CONFIG_{o}" for o in options if found.config.get(f"CONFIG_{o}") in ("y", "m")]

    for name in ("flex", "bison", "bc"):
        yield _program(name, MISSING, "")
    for name, options in _PROGRAMS.items():
        if name == "cpio" and not _mentions(found.source / "kernel/gen_kheaders.sh", name):
            continue
        if asked := asking(options):
            yield _program(name, MISSING, f"{', '.join(asked)}: ")
    for name, (header, library, options) in _LIBRARIES.items():
        if asked := asking(options):
            yield _library(name, header, library, f"{', '.join(asked)}: ")
    if asking(("MODULES",)):
        yield _program("depmod", NOTE, "for make modules_install; ")


def _mentions(file: Path, word: str) -> bool:
    """Does a script of the tree start this program? Later kernels do without some."""
    try:
        return word in file.read_text(errors="replace")
    except OSError:
        return True


def _library(name: str, header: str, library: str, why: str) -> Finding:
    """Can programs for this machine be compiled with it? Asks the compiler that Kbuild takes."""
    import tempfile

    compiler = os.environ.get("HOSTCC") or next(filter(shutil.which, ("gcc", "clang")), "cc")
    source = f"#include <{header}>\nint main(void) {{ return 0; }}\n"
    try:
        # Not /dev/null: a linker that root starts may put a file in its place.
        with tempfile.TemporaryDirectory() as scratch:
            command = [*compiler.split(), "-x", "c", "-", "-o", f"{scratch}/a.out", library]
            subprocess.run(command, input=source, capture_output=True, text=True, check=True)
    except (OSError, subprocess.SubprocessError):
        return Finding(MISSING, name, f"{why}{header} or {library} is missing; {_how_to_get(name)}")
    return Finding(OK, name, f"{header}, {library}")


def _program(name: str, otherwise: str, why: str) -> Finding:
    path = shutil.which(name)
    # Debian keeps bpftool where only root's PATH looks.
    path = path or shutil.which(name, path="/usr/sbin:/sbin")
    if path is None:
        return Finding(otherwise, name, why + _how_to_get(name))
    said = _said([path, "--version"])
    if said is None:
        return Finding(otherwise, name, f"{path} does not start; {_how_to_get(name)}")
    return Finding(OK, name, said)


def _how_to_get(program: str) -> str:
    for i, (manager, install) in enumerate(_MANAGERS.items()):
        if shutil.which(manager):
            return f"{install} {_PACKAGES.get(program, (program,) * 4)[i]}"
    return "install it with the packages of your system"


def _said(argv: list[str]) -> str | None:
    """The first line that a program prints; None when it does not start or fails."""
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, errors="replace", timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(done.stdout.splitlines()), "")


def cache_directory(environ: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Whether the cache can be written, and how full it is."""
    import tempfile

    root = cache.directory(environ)
    if root is None:
        yield Finding(NOTE, "cache", "off: KBUILD_BTF_CACHE is empty")
        return
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass
        size = cache.limit(environ)
    except OSError as failed:
        yield Finding(
            MISSING, "cache", f"{root}: {failed.strerror}; name another in KBUILD_BTF_CACHE"
        )
        return
    except Error as failed:
        yield Finding(MISSING, "cache", str(failed))
        return
    s = cache.Cache(root).statistics(size)
    text = f"{root}, {cache.show_size(s.size)} of {cache.show_size(s.limit)}"
    yield Finding(OK, "cache", text)
    owner = root.stat().st_uid
    if owner != os.geteuid() and environ.get("KBUILD_BTF_CACHE_SHARED") != "1":
        text = f"{root} belongs to user {owner}, whose entries do not count for this one"
        yield Finding(NOTE, "cache", f"{text}; docs/security.md says why, and how they would")
    free = shutil.disk_usage(root).free + s.size
    if free < size:
        short = f"the disk has room for {cache.show_size(free)} of it; set KBUILD_BTF_CACHE_SIZE"
        yield Finding(NOTE, "cache", short)


def tree(directory: Path) -> Iterator[Finding]:
    """A kernel tree: what it is, which way its types go and why, and what the last build did."""
    found = kbuild.find_tree(directory)
    if found is None:
        text = f"{directory} is no kernel tree: it has no scripts/Kbuild.include"
        yield Finding(MISSING, "kernel tree", text)
        return
    yield from _of_tree(found)
    yield from _last_build(found)


def _of_tree(found: kbuild.Tree) -> Iterator[Finding]:
    yield _version(found)
    try:
        known = kbuild.takeover(found.source)
    except Error as failed:
        yield Finding(MISSING, "makefiles", str(failed))
        return
    yield Finding(NOTE if known.problem else OK, "makefiles", known.problem or "known")
    if not found.configured:
        advice = "run make defconfig, or copy a .config"
        yield Finding(MISSING, "configuration", f"no .config in {found.objects}; {advice}")
        return
    if found.compiler:
        yield Finding(OK, "compiler", found.compiler)
    yield _configuration(found)
    if _has_btf(found):
        yield _way(found, known)
        yield _debug(found, known)
        yield _store()


def _has_btf(found: kbuild.Tree) -> bool:
    return found.config.get("CONFIG_DEBUG_INFO_BTF") in ("y", "m")


def _version(found: kbuild.Tree) -> Finding:
    version = found.version
    numbers = re.match(r"(\d+)\.(\d+)", version or "")
    if version is None or not numbers:
        return Finding(NOTE, "kernel tree", f"{found.source}, of no version that can be read")
    if (int(numbers[1]), int(numbers[2])) < _OLDEST_TRIED:
        oldest = ".".join(map(str, _OLDEST_TRIED))
        return Finding(NOTE, "kernel tree", f"Linux {version}: older than {oldest}, not tried")
    return Finding(OK, "kernel tree", f"Linux {version}")


def _configuration(found: kbuild.Tree) -> Finding:
    option = "CONFIG_DEBUG_INFO_BTF"
    if (value := found.config.get(option)) in ("y", "m"):
        modules = found.config.get("CONFIG_DEBUG_INFO_BTF_MODULES") == "y"
        return Finding(OK, option, value + (", modules too" if modules else ""))
    reduced = "CONFIG_DEBUG_INFO_REDUCED"
    off = f"off, as {reduced}=y wants it" if found.config.get(reduced) == "y" else "off"
    return Finding(
        MISSING,
        option,
        f"{off}; scripts/config -e BPF_SYSCALL -d DEBUG_INFO_NONE -e DEBUG_INFO_DWARF5"
        " -d DEBUG_INFO_REDUCED -e DEBUG_INFO_BTF && kbuild-btf make olddefconfig",
    )


_LTO = ("CONFIG_LTO_CLANG", "CONFIG_LTO_GCC")


def _way(found: kbuild.Tree, known: kbuild.Takeover) -> Finding:
    """Where the types of vmlinux will come from, and why."""
    for option in _LTO:
        if found.config.get(option) == "y":
            why = f"{option}: objects have no types of their own before the link"
            return Finding(NOTE, "way", f"the whole vmlinux is encoded at the link ({why})")
    if not known.hook:
        return Finding(NOTE, "way", "every object is encoded at the link (see makefiles)")
    if os.environ.get("KBUILD_BTF_HOOK") == "0":
        return Finding(NOTE, "way", "every object is encoded at the link (KBUILD_BTF_HOOK=0)")
    early = f"objects are encoded as they are compiled; vmlinux is linked from {found.link_input}"
    option = "CONFIG_LD_DEAD_CODE_DATA_ELIMINATION"
    if found.config.get(option) == "y":
        why = f"{option}: when the linker removes whole objects, vmlinux itself is encoded"
        return Finding(NOTE, "way", f"{early} ({why})")
    return Finding(
        OK, "way", early + ("" if known.link else ", the first time with debug sections")
    )


def _debug(found: kbuild.Tree, known: kbuild.Takeover) -> Finding:
    """Whether the debug information stays in the objects, and who reads it there."""
    try:
        mode = kbuild.debug_mode()
    except Error as failed:
        return Finding(MISSING, "debug", str(failed))
    stands = kbuild.debug_readers("drop" if mode == "keep" else mode)
    readers = [name for name in stands if found.config.get(name) == "y"]
    named = f"{', '.join(readers)} need{'s' if len(readers) == 1 else ''} it"
    if mode == "keep":
        text = (
            named if readers else "KBUILD_BTF_DEBUG=drop takes it out, where nobody else needs it"
        )
        return Finding(OK, "debug", f"debug information stays in the objects; {text}")
    if readers:
        text = "switch it off, or set KBUILD_BTF_DEBUG=keep"
        return Finding(MISSING, "debug", f"KBUILD_BTF_DEBUG={mode}: {named}; {text}")
    lto = any(found.config.get(option) == "y" for option in _LTO)
    if mode == "split" and lto:
        text = "KBUILD_BTF_DEBUG=split: not with LTO, so debug information stays in the objects"
        return Finding(NOTE, "debug", text)
    if mode == "split":
        text = (
            "debug information is in a .dwo file beside each object (KBUILD_BTF_DEBUG=split); "
            "objects that were compiled in another mode are compiled again"
        )
        return Finding(OK, "debug", text)
    if not known.hook or os.environ.get("KBUILD_BTF_HOOK") == "0" or lto:
        text = f"KBUILD_BTF_DEBUG={mode}: no hook runs, so debug information stays in the objects"
        return Finding(NOTE, "debug", text)
    text = (
        f"debug information leaves each object when its types are stored (KBUILD_BTF_DEBUG={mode})"
    )
    if mode == "lean":
        text += "; objects that were compiled in another mode are compiled again"
    return Finding(OK, "debug", text)


def _store() -> Finding:
    """Where hooks leave types."""
    try:
        section = kbuild.carries_types()
    except Error as failed:
        return Finding(MISSING, "store", str(failed))
    if section:
        return Finding(
            OK, "store", "types are in the objects themselves (KBUILD_BTF_STORE=section)"
        )
    return Finding(OK, "store", "types are in a file beside each object, and in the cache")


# No hook runs for what the link compiles itself, and for what objcopy and `ld -r` make of objects.
_WITHOUT_HOOK = re.compile(
    r"(\.vmlinux\.export|version-timestamp|\.tmp_vmlinux\d?\.kallsyms\d?|.+\.pi|.+\.stub|kvm_nvhe)\.o"
)


def _last_build(found: kbuild.Tree) -> Iterator[Finding]:
    """Did a hook run for every object of the last link?

    One that ran left a sidecar before the objects were put into vmlinux.a; what the link itself
    had to encode is newer. With LTO there are no hooks.
    """
    if not _has_btf(found) or any(found.config.get(option) == "y" for option in _LTO):
        return
    try:
        collected = (found.objects / "vmlinux.a").stat().st_mtime_ns
        image = next(p for n in kbuild.IMAGES if (p := found.objects / n).exists())
    except (OSError, StopIteration):
        return
    from ..objects import linked_objects, sidecar_path

    try:
        objects = [str(path) for path in linked_objects(image)]
    except Error as failed:
        yield Finding(NOTE, "last build", str(failed))
        return
    late, lost = [], []
    for path in objects:
        try:
            written = sidecar_path(path).stat().st_mtime_ns
        except FileNotFoundError:
            lost.append(path)
        else:
            if written > collected:
                late.append(path)
    if len(lost) == len(objects):
        yield Finding(NOTE, "last build", "vmlinux was built without kbuild-btf")
        return
    others = [p for p in objects if _WITHOUT_HOOK.fullmatch(Path(p).name)]
    without = [p for p in late + lost if p not in others]
    if not without:
        rest = f"; the link encodes the other {len(others)}" if others else ""
        text = f"a hook ran for all {len(objects) - len(others)} objects of vmlinux{rest}"
        yield Finding(OK, "last build", text)
        return
    named = ", ".join(os.path.relpath(path, found.objects) for path in without[:3])
    more = f" and {len(without) - 3} more" if len(without) > 3 else ""
    text = f"no hook ran for {len(without)} of {len(objects)} objects ({named}{more})"
    why = "made by other rules, without the variables, or before kbuild-btf was updated"
    yield Finding(NOTE, "last build", f"{text}; the link encoded them: {why}")
