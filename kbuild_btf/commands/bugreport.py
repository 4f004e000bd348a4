# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Pack what a maintainer needs to see again how `encode` or `link` fails, without source text.

Write `bugreport DIR` before the command that fails: `kbuild-btf bugreport DIR encode a.o`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..bugreport import ONLY_BTF, Packed, new_directory
from ..errors import Error
from . import doctor

_VERBS = ("encode", "link")


class Seen(NamedTuple):
    """What a run of the command showed."""

    status: int
    said: str
    btf: bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `kbuild-btf bugreport`."""
    parser.add_argument("directory", metavar="DIR", help="the directory to make and fill")
    parser.add_argument(
        "command",
        metavar="COMMAND",
        nargs=argparse.REMAINDER,
        help="encode or link, with its arguments",
    )


def run(args: argparse.Namespace) -> int:
    """Pack, see whether the pack shows the same, and say so."""
    from ..objects import linked_objects

    verb, given = _parsed(args.command)
    elf, objects = Path(given.elf), [Path(name) for name in getattr(given, "objects", [])]
    cause = ""
    if verb == "link" and not objects:
        try:
            objects = linked_objects(elf)
        except Error as failed:
            cause = str(failed)
    bases = {
        option: Path(name)
        for option, name in (("--base", given.base), ("--stable-ids", given.stable_ids))
        if name
    }
    directory = Path(args.directory)
    with new_directory(directory):
        packed = Packed([elf, *objects, *bases.values()], directory / "files")
        for path in (elf, *objects):
            packed.add(path)
            packed.add_beside(path)
        for path in bases.values():
            packed.add(path, ONLY_BTF)

    command = [verb]
    command += [f"--features={given.features}"] if given.features else []
    command += [f"--lang-exclude={given.lang_exclude}"] if given.lang_exclude else []
    command += [f"{option}={packed.name(path)}" for option, path in bases.items()]
    command += ["--", packed.name(elf), *map(packed.name, objects)]
    here, there = _seen(command, packed.root), _seen(command, packed.into)
    result = here.said.strip() or f"{len(here.btf)} bytes of BTF"
    lines = [
        f"kbuild-btf {' '.join(command)}",
        f"exit status {here.status}: {result}",
        *([cause] if cause else []),
        *([] if here == there else [f"the packed files show another: {there.said.strip()}"]),
        *packed.notes,
        "",
        *(f"{finding.state:<8} {finding.what}: {finding.text}" for finding in doctor.machine()),
    ]
    (directory / "report.txt").write_text("\n".join(lines) + "\n")
    print(f"{directory}: to be seen in files/: {lines[0]}")
    print(lines[1])
    for note in packed.notes:
        print(f"note: {note}")
    if here != there:
        what = "the packed files do not show the same, since they have neither code nor data"
        raise Error(what, str(directory), "send the files themselves if you may")
    return 0


def _parsed(command: Sequence[str]) -> tuple[str, argparse.Namespace]:
    from ..cli import parsers

    verb = command[0] if command else ""
    if verb not in _VERBS:
        what = f"{verb} cannot be packed" if verb else "no command"
        raise Error(what, hint="write kbuild-btf bugreport DIR encode ELF, or link ELF OBJECT...")
    _, by_verb = parsers(verb)
    return verb, by_verb[verb].parse_args(command[1:])


def _seen(command: Sequence[str], where: Path) -> Seen:
    """Run it there, in a process of its own: whatever happens to that is what is to be seen."""
    # Modules come from where ours do, not from that directory.
    path = [entry for entry in sys.path if entry]
    start = f"import sys; sys.path[:] = {path!r}; from kbuild_btf.cli import main; sys.exit(main())"
    with tempfile.TemporaryDirectory() as directory:
        made = Path(directory) / "btf"
        done = subprocess.run(
            [sys.executable, "-c", start, command[0], f"--output={made}", *command[1:]],
            cwd=where,
            # Only what is there counts.
            env={**os.environ, "KBUILD_BTF_CACHE": ""},
            capture_output=True,
            text=True,
            errors="replace",
        )
        btf = made.read_bytes() if made.exists() else b""
    return Seen(done.returncode, done.stderr, btf)
