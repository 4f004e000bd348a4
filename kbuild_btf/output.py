# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What ``encode`` and ``link`` share: their options, where the result goes, what is said of it."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
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
    stable_ids: str | None


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
        "--lang-exclude",
        "--lang_exclude",
        metavar="LIST",
        default="",
        help="leave out units of these languages",
    )
    parser.add_argument("--base", metavar="FILE", help="make split BTF against this one")
    parser.add_argument(
        "--stable-ids", metavar="FILE", help="keep the ids of an earlier build: its ELF or raw BTF"
    )
    parser.add_argument(
        "--timings", action="store_true", help="show time, count and bytes of each stage"
    )
    parser.add_argument(
        "--trace", metavar="FILE", help="append the stages to a trace (chrome://tracing, Perfetto)"
    )


def options(args: argparse.Namespace) -> Options:
    """What the native functions want of the command line."""
    if args.jobs < 0:
        raise Error(f"-j {args.jobs}: a number of threads is wanted")
    if args.trace:
        # The native half reads it, as the programs that make starts do.
        os.environ["KBUILD_BTF_TRACE"] = args.trace
    return {
        "features": args.features,
        "lang_exclude": [name for name in args.lang_exclude.split(",") if name],
        "jobs": args.jobs,
        "base": args.base,
        "stable_ids": args.stable_ids,
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

    A distilled base goes beside it, with ``.base`` appended, or into section ``.BTF.base``.
    A file with this content already is left alone, with its time stamp: what make has made of it
    need not be made again.
    """
    if to.file is None:
        from . import _native

        sections = [(".BTF", made.btf)]
        if made.base is not None:
            sections.append((".BTF.base", made.base))
        _native.embed(to.elf, sections)
        return
    if made.base is not None:
        _replace(to.file.with_name(f"{to.file.name}.base"), made.base)
    _replace(to.file, made.btf)


def _replace(file: Path, content: bytes) -> None:
    if file.is_file() and file.read_bytes() == content:
        return
    import tempfile  # here, because it takes longer to import than the rest of the command

    # In the same directory, since only there a rename replaces at once.
    handle, temporary = tempfile.mkstemp(prefix=".tmp_", dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


def report(made: Output, args: argparse.Namespace) -> None:
    """One line: where the types come from and how many there are."""
    for note in made.notes:
        print(f"kbuild-btf: warning: {note}", file=sys.stderr)
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
    if not count.get("modules_fit", 1):
        print(
            f"{args.elf}: grew beyond {args.stable_ids}: modules that were built against that must"
            " be built again; room was made for the next time"
        )
    if args.timings:
        print(f"  {'stage':20} {'ms':>9} {'count':>9} {'bytes':>11}")
        for stage, seconds, items, size in made.timings:
            print(f"  {stage:20} {seconds * 1000:9.2f} {items or '-':>9} {size or '-':>11}")
