# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What ``encode`` and ``link`` share: their options, where the result goes, what is said of it."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from .errors import Error

if TYPE_CHECKING:
    from .encoder import Output


_STANDARD_OUTPUT = Path("-")


class Options(TypedDict):
    """The keyword arguments that ``encode`` and ``link`` share."""

    features: str | None
    lang_exclude: list[str]
    jobs: int
    base: str | None
    stable_ids: str | None
    trace: str | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write raw BTF there (default: ELF.btf; -: standard output)",
    )
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
    parser.add_argument("--json", action="store_true", help="report as one JSON object")
    parser.add_argument(
        "--timings", action="store_true", help="show time, count and bytes of each stage"
    )
    parser.add_argument(
        "--trace", metavar="FILE", help="append the stages to a trace (chrome://tracing, Perfetto)"
    )


def options(args: argparse.Namespace) -> Options:
    """What these functions want of the command line and the environment."""
    if args.jobs < 0:
        raise Error(f"-j {args.jobs}: a number of threads is wanted")
    return {
        "features": args.features,
        "lang_exclude": [name for name in args.lang_exclude.split(",") if name],
        "jobs": args.jobs,
        "base": args.base,
        "stable_ids": args.stable_ids,
        "trace": args.trace or os.environ.get("KBUILD_BTF_TRACE") or None,
    }


class Destination:
    """Where the result goes; tried before the work starts, so that the work is not lost."""

    def __init__(self, elf: str, file: Path | None, direct: bool = False) -> None:
        self.elf = elf
        self.file = file
        """None: a section of the ELF file."""
        self.direct = direct
        """The file is a pipe or a device, which is written to and not replaced."""

    @property
    def standard_output(self) -> bool:
        """Does the BTF go where a report would go?"""
        if not self.direct or self.file is None:
            return False
        if self.file is _STANDARD_OUTPUT:
            return True
        with contextlib.suppress(OSError):
            return os.path.samestat(self.file.stat(), os.fstat(1))
        return False

    def __str__(self) -> str:
        if self.file is _STANDARD_OUTPUT:
            return "standard output"
        return f"section .BTF of {self.elf}" if self.file is None else str(self.file)


def destination(args: argparse.Namespace, elf: str) -> Destination:
    """``-o``, ``--in-place``, or beside the input with ``.btf`` appended. Raises Error."""
    if args.in_place:
        return Destination(elf, None)
    return to_file(args.output or f"{elf}.btf", elf)


def to_file(name: str, elf: str = "") -> Destination:
    """A file, or standard output for ``-``. Raises Error where it cannot be written."""
    if name == "-":
        if sys.stdout.isatty():
            raise Error("BTF is no text for a terminal", "-o -", "name a file, or pipe it on")
        return Destination(elf, _STANDARD_OUTPUT, direct=True)
    file = Path(name)
    if name.endswith("/") or file.is_dir():
        raise Error("a file is wanted, this is a directory", name, "name a file in it with -o")
    # /dev/stdout and its kind may lead to a regular file, which the shell has opened.
    opened = file.is_symlink() and str(file).startswith(("/dev/", "/proc/"))
    if opened or (file.exists() and not file.is_file()):
        return Destination(elf, file, direct=True)
    directory = Path(os.path.realpath(file)).parent
    if not directory.is_dir():
        what = "is not a directory" if directory.exists() else "there is no such directory"
        raise Error(what, str(file.parent), "make it, or name a file elsewhere with -o")
    if not os.access(directory, os.W_OK):
        hint = "name a file elsewhere with -o"
        raise Error("the directory cannot be written", str(file.parent), hint)
    return Destination(elf, file)


def write(btf: bytes, to: Destination, base: bytes | None = None) -> None:
    """Write the result; the old file stays whole until the new one is.

    A distilled base goes beside it, with ``.base`` appended, or into section ``.BTF.base``.
    A file with this content already is left alone, with its time stamp: what make has made of it
    need not be made again.
    """
    if to.file is None:
        from .sections import embed

        sections = [(".BTF", btf)]
        if base is not None:
            sections.append((".BTF.base", base))
        embed(to.elf, sections)
        return
    if to.direct:
        if base is not None:
            raise Error("a distilled base needs a file of its own", str(to), "name a file with -o")
        _pass_on(to.file, btf)
        return
    # What a symbolic link leads to is replaced, not the link.
    file = Path(os.path.realpath(to.file))
    if base is not None:
        replace(file.with_name(f"{file.name}.base"), base)
    replace(file, btf)


def _pass_on(file: Path, content: bytes) -> None:
    if file is _STANDARD_OUTPUT:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()  # before anything is said of it
        return
    try:
        with file.open("wb") as stream:
            stream.write(content)
    except OSError as failed:
        if isinstance(failed, BrokenPipeError):
            raise
        raise Error(failed.strerror or "cannot be written", str(file)) from failed


def replace(file: Path, content: bytes) -> None:
    """Write a whole file, or none; one with this content already is left alone. Raises OSError."""
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


def report(made: Output, args: argparse.Namespace, to: Destination) -> None:
    """Where the types come from, how many there are and where they went: a line, or JSON.

    It goes to standard error when the BTF itself goes to standard output.
    """
    for note in made.notes:
        print(f"kbuild-btf: warning: {note}", file=sys.stderr)
    stream = sys.stderr if to.standard_output else sys.stdout
    if args.json:
        print(json.dumps(_as_dict(made, args, to), indent=2), file=stream)
    else:
        print("\n".join(_as_lines(made, args, to)), file=stream)


def _as_dict(made: Output, args: argparse.Namespace, to: Destination) -> dict[str, object]:
    keys = ("stage", "seconds", "count", "bytes")
    # The native half reports kinds among the rest, by their names in capitals.
    return {
        "elf": args.elf,
        "output": None if to.file is None else str(to.file),
        "bytes": len(made.btf),
        **{name: count for name, count in made.report.items() if not name.isupper()},
        "kinds": {name: count for name, count in made.report.items() if name.isupper()},
        "timings": [dict(zip(keys, stage, strict=True)) for stage in made.timings],
    }


def _as_lines(made: Output, args: argparse.Namespace, to: Destination) -> Iterator[str]:
    count = made.report
    if "linked" in count:
        origin = (
            f"{count['linked']} objects linked, {count['reused']} reused, "
            f"{count['encoded']} encoded now, {count['without_dwarf']} without DWARF"
        )
    else:
        origin = f"{count['units']} unit{'' if count['units'] == 1 else 's'}"
    yield f"{args.elf}: {origin}"
    yield (
        f"in {to}: {count['types']} types, {count['functions']} functions, "
        f"{count['variables']} variables, {len(made.btf)} bytes"
    )
    if not count.get("modules_fit", 1):
        yield (
            f"{args.elf}: grew beyond {args.stable_ids}: modules that were built against that must"
            " be built again; room was made for the next time"
        )
    if args.timings:
        yield f"  {'stage':20} {'ms':>9} {'count':>9} {'bytes':>11}"
        for stage, seconds, items, size in made.timings:
            yield f"  {stage:20} {seconds * 1000:9.2f} {items or '-':>9} {size or '-':>11}"
