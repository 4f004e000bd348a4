# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What ``encode`` and ``link`` share: their options, where the result goes, what is said of it."""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from .errors import Error

if TYPE_CHECKING:
    from ._native import Output


class Options(TypedDict):
    """The keyword arguments that both native functions take."""

    features: str | None
    lang_exclude: list[str]
    jobs: int
    base: str | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    place = parser.add_mutually_exclusive_group()
    place.add_argument("-o", "--output", metavar="FILE", help="write raw BTF there")
    place.add_argument(
        "--in-place", action="store_true", help="put it into the ELF file, as section .BTF"
    )
    parser.add_argument("-j", "--jobs", metavar="N", type=int, default=0, help="threads")
    parser.add_argument(
        "--features", metavar="LIST", help="as pahole's --btf_features (default: its default)"
    )
    parser.add_argument(
        "--lang-exclude", metavar="LIST", default="", help="leave out units of these languages"
    )
    parser.add_argument("--base", metavar="FILE", help="make split BTF against this one")
    parser.add_argument("--timings", action="store_true", help="show the time of each stage")


def options(args: argparse.Namespace) -> Options:
    """What the native functions want of the command line."""
    if args.jobs < 0:
        raise Error(f"-j {args.jobs}: a number of threads is wanted")
    return {
        "features": args.features,
        "lang_exclude": [name for name in args.lang_exclude.split(",") if name],
        "jobs": args.jobs,
        "base": args.base,
    }


class Destination:
    """Where the result goes; tried before the work starts, so that the work is not lost."""

    def __init__(self, file: Path | None, elf: str) -> None:
        self.file = file
        self.elf = elf


def destination(args: argparse.Namespace, elf: str) -> Destination:
    """``-o``, ``--in-place``, or beside the input with ``.btf`` appended."""
    if args.in_place:
        return Destination(None, elf)
    file = Path(args.output or f"{elf}.btf")
    if file.is_dir():
        raise Error("is a directory", str(file), "name a file with -o")
    if not os.access(file.parent, os.W_OK):
        raise Error("the directory cannot be written", str(file.parent), "name a file with -o")
    return Destination(file, elf)


def write(made: Output, to: Destination) -> None:
    """Write the result; the old file stays whole until the new one is.

    A file with this content already is left alone, with its time stamp: what make has made of it
    need not be made again.
    """
    if to.file is None:
        from . import _native

        _native.embed(to.elf, [(".BTF", made.btf)])
        return
    if to.file.is_file() and to.file.read_bytes() == made.btf:
        return
    # In the same directory, since only there a rename replaces at once.
    handle, temporary = tempfile.mkstemp(prefix=".tmp_", dir=to.file.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(made.btf)
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(to.file)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


def report(made: Output, args: argparse.Namespace) -> None:
    """One line: where the types come from and how many there are."""
    count = made.report
    if "linked" in count:
        origin = (
            f"{count['linked']} objects linked, {count['reused']} reused, "
            f"{count['encoded']} encoded now, {count['without_dwarf']} without DWARF"
        )
    else:
        origin = f"{count['units']} units"
    print(
        f"{args.elf}: {origin}; {count['types']} types, {count['functions']} functions, "
        f"{count['variables']} variables, {len(made.btf)} bytes"
    )
    if args.timings:
        for stage, seconds in made.timings:
            print(f"  {stage:20} {seconds * 1000:8.1f} ms")
