# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Write what is known of a kernel's BTF as one page that needs no network."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from .. import cache
from ..errors import Error
from ..output import replace


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``kbuild-btf report``."""
    parser.add_argument(
        "kernel",
        metavar="KERNEL",
        help="a directory with vmlinux and modules (a build, an unpacked package), a vmlinux, or"
        " raw BTF",
    )
    parser.add_argument(
        "older", metavar="OLDER", nargs="?", help="what to compare it with, of the same kind"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        required=True,
        help="write index.html and report.json there; it is made if it is not there",
    )
    parser.add_argument(
        "--trace",
        metavar="FILE",
        help="the trace of the build (default: what KBUILD_BTF_TRACE names, if it is there)",
    )


def run(args: argparse.Namespace) -> int:
    """Write the files: both of them or, after an error, none."""
    directory = Path(args.output)
    if directory.exists() and not directory.is_dir():
        raise Error("a directory is wanted, this is a file", args.output, "name another with -o")
    if not directory.parent.is_dir():
        raise Error("there is no such directory", str(directory.parent), "make it first")
    from ..report import facts, page

    gathered = facts.gather(args.kernel, args.older, args.trace or _traced(), cache.directory())
    # What is no UTF-8 in a name becomes a question mark.
    texts = {"index.html": page.as_html(gathered), "report.json": facts.as_json(gathered)}
    written = {name: f"{text}\n".encode(errors="replace") for name, text in texts.items()}
    directory.mkdir(exist_ok=True)
    # The page last: who sees it knows that the rest is there.
    for name in ("report.json", "index.html"):
        replace(directory / name, written[name])
    print(f"{directory / 'index.html'}: {len(written['index.html'])} bytes")
    return 0


def _traced() -> str | None:
    named = os.environ.get("KBUILD_BTF_TRACE")
    return named if named and Path(named).is_file() else None
