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
import tempfile
from collections.abc import Iterator, Mapping
from importlib import import_module, metadata
from pathlib import Path
from typing import NamedTuple

from .. import cache, kbuild, paths
from ..errors import Error

OK, NOTE, MISSING = "ok", "note", "missing"

_PYTHON_PACKAGES = {"filelock": "filelock", "elftools": "pyelftools", "xxhash": "xxhash"}

# Package names where they differ from the program's: apt, dnf, pacman, zypper.
_PACKAGES = {
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


def run(args: argparse.Namespace) -> int:
    """Look at everything and print it."""
    findings = [
        *python(),
        *native(),
        *programs(args.tree is not None),
        *cache_directory(),
        *(tree(Path(args.tree)) if args.tree else ()),
    ]
    missing = sum(finding.state == MISSING for finding in findings)
    if args.json:
        print(json.dumps([finding._asdict() for finding in findings], indent=2))
    else:
        width = max(len(finding.what) for finding in findings)
        for finding in findings:
            print(f"{finding.state:<7}  {finding.what:<{width}}  {finding.text}")
        things = f"{missing} thing{'' if missing == 1 else 's'} missing"
        print(things if missing else "all that is needed is there")
    return 1 if missing else 0


def python() -> Iterator[Finding]:
    """The interpreter and the libraries of the package."""
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


def programs(for_kernel: bool) -> Iterator[Finding]:
    """What a build starts, and what is good to have."""
    needed = ["make", "gcc", "ld", "ar", "nm", "objcopy"]
    if for_kernel:
        needed += ["flex", "bison", "bc"]
    for name in needed:
        if name == "gcc" and not shutil.which("gcc") and shutil.which("clang"):
            yield _program("clang", MISSING, "")
            continue
        yield _program(name, MISSING, "")
    yield _program("bpftool", NOTE, "looks at BTF and makes vmlinux.h; ")
    yield _program("pahole", NOTE, "only to compare with; ")


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
    free = shutil.disk_usage(root).free + s.size
    if free < size:
        short = f"the disk has room for {cache.show_size(free)} of it; set KBUILD_BTF_CACHE_SIZE"
        yield Finding(NOTE, "cache", short)


def tree(directory: Path) -> Iterator[Finding]:
    """A kernel tree: its version, its configuration, and whether its makefiles are known."""
    found = kbuild.find_tree(directory)
    if found is None:
        text = f"{directory} is no kernel tree: it has no scripts/Kbuild.include"
        yield Finding(MISSING, "kernel tree", text)
        return
    yield _version(found)
    try:
        problem = kbuild.takeover(found.source).problem
        yield Finding(NOTE if problem else OK, "makefiles", problem or "known")
    except Error as failed:
        yield Finding(MISSING, "makefiles", str(failed))
    yield from _configuration(found)


def _version(found: kbuild.Tree) -> Finding:
    version = found.version
    numbers = re.match(r"(\d+)\.(\d+)", version or "")
    if version is None or not numbers:
        return Finding(NOTE, "kernel tree", f"{found.source}, of no version that can be read")
    if (int(numbers[1]), int(numbers[2])) < _OLDEST_TRIED:
        oldest = ".".join(map(str, _OLDEST_TRIED))
        return Finding(NOTE, "kernel tree", f"Linux {version}: older than {oldest}, not tried")
    return Finding(OK, "kernel tree", f"Linux {version}")


def _configuration(found: kbuild.Tree) -> Iterator[Finding]:
    try:
        text = (found.objects / ".config").read_text()
    except OSError:
        advice = "run make defconfig, or copy a .config"
        yield Finding(MISSING, "configuration", f"no .config in {found.objects}; {advice}")
        return
    config = dict(re.findall(r"^(CONFIG_\w+)=(.*)$", text, re.M))
    if config.get("CONFIG_DEBUG_INFO_BTF") == "y":
        modules = config.get("CONFIG_DEBUG_INFO_BTF_MODULES") == "y"
        yield Finding(OK, "CONFIG_DEBUG_INFO_BTF", "y" + (", modules too" if modules else ""))
    else:
        yield Finding(
            MISSING,
            "CONFIG_DEBUG_INFO_BTF",
            "off; scripts/config -e BPF_SYSCALL -d DEBUG_INFO_NONE -e DEBUG_INFO_DWARF5"
            " -d DEBUG_INFO_REDUCED -e DEBUG_INFO_BTF && kbuild-btf make olddefconfig",
        )
    for option in ("CONFIG_LTO_CLANG", "CONFIG_LTO_GCC"):
        if config.get(option) == "y":
            late = "objects have no DWARF of their own: the whole vmlinux is encoded at the link"
            yield Finding(NOTE, option, late)
