# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What a kernel tree is, and how kbuild-btf is switched on in a make of it."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

from . import paths
from .errors import Error

# What make, the shell and a makefile's target names all take as it is.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_./+,@~-]+")


# A line of kbuild-btf.mk that names an option, and what it does with debug information.
_DEBUG_READER = re.compile(r"^kbuild-btf-readers \+= (\w+) # (.+)$", re.M)
_SPLIT_READERS = re.compile(r"^kbuild-btf-split-readers := (.+)$", re.M)

# With `split` it is in .dwo files, with `drop` and `lean` it leaves the objects.
DEBUG_MODES = ("keep", "split", "drop", "lean")

# Goals of the tree that make a package of it.
_DEBUG_PACKAGES = ("deb-pkg", "bindeb-pkg")

# Names of the first link, from which BTF is made; up to 6.1 and after.
IMAGES = (".tmp_vmlinux1", ".tmp_vmlinux.btf")


class _Place(NamedTuple):
    source: Path
    objects: Path


# Two classes, since a named tuple itself has no room for cached properties; to import dataclasses
# takes 9 ms before each make.
class Tree(_Place):
    """A kernel tree: its sources, and the directory of its objects (the same without O=)."""

    @cached_property
    def config(self) -> Mapping[str, str]:
        """CONFIG_ names and values, strings without quotes; {} if there is no configuration."""
        for name in (".config", "include/config/auto.conf"):
            with contextlib.suppress(OSError):
                text = (self.objects / name).read_text()
                found = re.findall(r"^(CONFIG_\w+)=(.*)$", text, re.M)
                return {option: value.strip('"') for option, value in found}
        return {}

    @cached_property
    def configured(self) -> bool:
        """Is there a configuration (.config, or what was made of it)?"""
        names = (".config", "include/config/auto.conf")
        return any((self.objects / name).is_file() for name in names)

    @cached_property
    def version(self) -> str | None:
        """The kernel's version, such as "6.12.117": of the last build, else of the sources."""
        try:
            return (self.objects / "include/config/kernel.release").read_text().strip()
        except OSError:
            pass
        try:
            top = (self.source / "Makefile").read_text()
        except OSError:
            return None
        words = r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION) *= *(.*)$"
        found: dict[str, str] = dict(re.findall(words, top, re.M))
        if not found.get("VERSION"):
            return None
        numbers = [found.get(name, "0") for name in ("VERSION", "PATCHLEVEL", "SUBLEVEL")]
        return ".".join(number or "0" for number in numbers) + found.get("EXTRAVERSION", "")

    @cached_property
    def compiler(self) -> str | None:
        """The compiler's own words (CONFIG_CC_VERSION_TEXT), or None if not configured."""
        return self.config.get("CONFIG_CC_VERSION_TEXT")

    @cached_property
    def link_input(self) -> str:
        """What the links of vmlinux take: "vmlinux.o" or "vmlinux.a" (scripts/link-vmlinux.sh)."""
        relinked = ("CONFIG_LTO_CLANG", "CONFIG_X86_KERNEL_IBT", "CONFIG_KLP_BUILD")
        return "vmlinux.o" if any(self.config.get(n) == "y" for n in relinked) else "vmlinux.a"


def find_tree(directory: Path) -> Tree | None:
    """The kernel tree of a directory that holds its sources or is its O= directory, or None."""
    if (directory / "scripts/Kbuild.include").is_file():
        return Tree(directory, directory)
    # In an O= directory Kbuild writes a Makefile that includes that of the sources.
    try:
        head = (directory / "Makefile").read_text()[:4096]
    except (OSError, UnicodeDecodeError):
        return None
    for named in re.findall(r"^include (\S+)/Makefile$", head, re.M):
        source = directory / named
        if (source / "scripts/Kbuild.include").is_file():
            return Tree(source, directory)
    return None


def tree_of_command(
    arguments: Sequence[str], directory: Path, environ: Mapping[str, str] = os.environ
) -> Tree | None:
    """The tree that `make arguments...`, started in `directory`, would build, or None.

    Looks at -C, O= and KBUILD_OUTPUT as Kbuild does; M= does not change the tree.
    """
    output = environ.get("KBUILD_OUTPUT")
    rest = iter(arguments)
    for argument in rest:
        if argument in ("-C", "--directory"):
            directory = directory / next(rest, "")
        elif argument.startswith("-C"):
            directory = directory / argument[2:]
        elif argument.startswith("--directory="):
            directory = directory / argument.partition("=")[2]
        elif argument.startswith("O="):
            output = argument[2:]
    tree = find_tree(directory)
    if tree and output:
        return Tree(tree.source, directory / output)
    return tree


def build_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that switch kbuild-btf on in a make that is started with `environ`.

    An existing MAKEFILES is kept, ours is added once. Raises Error when something is not
    installed or lies where make could not find it.
    """
    snippet, programs = paths.snippet(), paths.executables(environ)
    for path in (snippet, programs):
        if not _PLAIN_PATH.fullmatch(str(path)):
            raise Error(
                "make cannot use a path with spaces or special characters",
                str(path),
                "install kbuild-btf in a directory of letters, digits and . _ + , @ ~ - only",
            )
    others = [name for name in environ.get("MAKEFILES", "").split() if name != str(snippet)]
    variables = {
        "MAKEFILES": " ".join([*others, str(snippet)]),
        "KBUILD_BTF": "1",
        "KBUILD_BTF_BIN": str(programs),
    }
    cache = environ.get("KBUILD_BTF_CACHE")
    if cache and not Path(cache).is_absolute():
        # The processes of a build run in several directories.
        variables["KBUILD_BTF_CACHE"] = str(Path(cache).absolute())
    return variables


def debug_mode(environ: Mapping[str, str] = os.environ) -> str:
    """What becomes of debug information (KBUILD_BTF_DEBUG): one of DEBUG_MODES. Raises Error."""
    mode = environ.get("KBUILD_BTF_DEBUG") or "keep"
    if mode not in DEBUG_MODES:
        modes = f"{', '.join(DEBUG_MODES[:-1])} or {DEBUG_MODES[-1]}"
        raise Error(f"{mode!r} is not a mode", "KBUILD_BTF_DEBUG", f"set it to {modes}")
    return mode


def carries_types(environ: Mapping[str, str] = os.environ) -> bool:
    """Are types stored in the objects themselves, by KBUILD_BTF_STORE? Raises Error."""
    store = environ.get("KBUILD_BTF_STORE") or "sidecar"
    if store not in ("sidecar", "section"):
        raise Error(f"{store!r} is no place", "KBUILD_BTF_STORE", "set it to sidecar or section")
    return store == "section"


@cache
def debug_readers(mode: str = "drop") -> Mapping[str, str]:
    """Options that read the debug information of objects, vmlinux or modules, and what for: those
    that a mode of KBUILD_BTF_DEBUG takes it away from.

    The list is that of kbuild-btf.mk. Raises Error.
    """
    if mode == "keep":
        return {}
    text = paths.snippet().read_text()
    split = _SPLIT_READERS.search(text)
    known = split[1].split() if split else []
    found = _DEBUG_READER.findall(text)
    counts = (one for one in found if mode != "split" or one[0] in known)
    return {f"CONFIG_{option}": what for option, what in counts}


def refuse_debug_mode(mode: str, tree: Tree, goals: Sequence[str] = ()) -> None:
    """Raise Error when this configuration, or a goal of make, needs the debug information.

    ``mode`` is that of KBUILD_BTF_DEBUG, which takes it out of the objects.
    """
    if mode == "keep":
        return
    for option, what in debug_readers(mode).items():
        if tree.config.get(option) == "y":
            raise Error(
                f"{option} {what}",
                f"KBUILD_BTF_DEBUG={mode}",
                "switch it off, or set KBUILD_BTF_DEBUG=keep",
            )
    for goal in goals:
        if goal in _DEBUG_PACKAGES:
            raise Error(
                f"{goal} makes a package of the debug information",
                f"KBUILD_BTF_DEBUG={mode}",
                "set KBUILD_BTF_DEBUG=keep",
            )


class Takeover(NamedTuple):
    """What of a tree's makefiles the snippet recognises and takes over."""

    hook: bool
    """Objects are encoded as they are compiled."""
    link: bool
    """The temporary image is linked without debug sections, and its objects are recorded."""
    readable: bool = True
    """make can read files by itself (4.2 or newer), which looking needs."""

    @property
    def problem(self) -> str | None:
        """What does not work here and what happens instead; None when all does."""
        if not self.readable:
            return (
                "make is older than 4.2: objects are encoded at the link, not as they are compiled"
            )
        if not self.hook:
            return (
                "scripts/Kbuild.include has another text than kbuild-btf knows: "
                "objects are encoded at the link, not as they are compiled"
            )
        if not self.link:
            return (
                "scripts/Makefile.vmlinux has another text than kbuild-btf knows: "
                "the temporary image keeps its debug sections"
            )
        return None


def takeover(source: Path, environ: Mapping[str, str] = os.environ) -> Takeover:
    """Ask the snippet itself, in a make of its own, about the tree with these sources.

    What is switched off in `environ` (KBUILD_BTF_HOOK=0) is not a problem of the tree, so it is
    left out of the question. Raises Error when make cannot be started.
    """
    if not _PLAIN_PATH.fullmatch(str(source.absolute())):
        raise Error(
            "make cannot use a path with spaces or special characters",
            str(source.absolute()),
            "move the tree to a directory of letters, digits and . _ + , @ ~ - only",
        )
    asked = {**environ, **build_environment(environ), "srctree": str(source.absolute())}
    for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "GNUMAKEFLAGS", "KBUILD_BTF_HOOK"):
        asked.pop(name, None)
    facts = (
        "$(kbuild-btf-has-hook)",
        "$(kbuild-btf-has-link)",
        f"$(if $(file <{paths.snippet()}),1)",
    )
    # make says it by itself, without a process.
    question = "$(info " + " ".join(f"$(or {fact},0)" for fact in facts) + ")\nall: ;\n"
    try:
        done = subprocess.run(
            ["make", "-rRs", "--no-print-directory", "-f", "-"],
            input=question,
            capture_output=True,
            text=True,
            env=asked,
        )
    except OSError as failed:
        raise no_make(failed) from failed
    answer = done.stdout.split()
    if done.returncode or len(answer) != len(facts):
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise Error(f"make could not be asked about the tree: {last}", str(source))
    return Takeover(*(answer[place : place + 1] == ["1"] for place in range(3)))


def no_make(failed: OSError) -> Error:
    """The error to raise when make could not be started."""
    return Error(f"make cannot be started: {failed.strerror}", hint="install GNU make 4.2 or newer")


def shell_assignments(variables: Mapping[str, str]) -> str:
    """Lines for a POSIX shell that set and export the variables."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
