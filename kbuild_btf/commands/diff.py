# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Compare BTF by meaning, and say whom the differences break.

Exit status 0: nothing that counts differs, 1: something does, 2: trouble.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import Error
from ..gate import formats, judge, text
from ..gate.page import as_html
from ..gate.verdict import Verdict
from ..output import replace
from ..rules import Severity

_FORMATS = ("text", "json", "sarif", "junit", "markdown", "html")
_LEVELS = {severity.word: severity for severity in sorted(Severity, reverse=True)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``kbuild-btf diff``."""
    parser.add_argument(
        "a",
        metavar="A",
        help="raw BTF, an ELF file with a .BTF section, or a directory with vmlinux and modules:"
        " a build, an unpacked package, /sys/kernel/btf",
    )
    parser.add_argument("b", metavar="B", help="what to compare it with")
    parser.add_argument("--base", metavar="FILE", help="base of A and B when they are split BTF")
    parser.add_argument("--base-b", metavar="FILE", help="base of B when it is another one")
    parser.add_argument(
        "--fail-on",
        metavar="LEVEL",
        choices=_LEVELS,
        default=Severity.NONE.word,
        help="exit status 1 for differences that break this, or worse: modules, programs, addition,"
        " none (default: none, which is any)",
    )
    parser.add_argument(
        "--suppress", metavar="FILE", help="differences that were agreed to (docs/ci.md)"
    )
    parser.add_argument(
        "--limit",
        metavar="N",
        type=int,
        default=20,
        help="types shown of each severity (default: 20, 0: all)",
    )
    parser.add_argument(
        "--format",
        metavar="FORMAT[=FILE]",
        action="append",
        default=[],
        help=f"{', '.join(_FORMATS)} (default: text), all but text and markdown without limit;"
        " may be given several times: to files, and one to standard output",
    )
    parser.add_argument("--json", action="store_true", help="the same as --format json")


def run(args: argparse.Namespace) -> int:
    """Write the verdict."""
    wanted = _outputs(args)
    verdict = judge(args.a, args.b, base=args.base, base_b=args.base_b, suppress=args.suppress)
    level = _LEVELS[args.fail_on]
    for file, name in wanted.items():
        report = _rendered(verdict, name, level, args.limit)
        if file:
            replace(Path(file), report.encode() + b"\n")
        else:
            print(report)
    return 1 if verdict.fails(level) else 0


def _outputs(args: argparse.Namespace) -> dict[str, str]:
    """The formats, by the files that they go to; the empty one is standard output."""
    wanted: dict[str, str] = {}
    for given in [*args.format, *(["json"] if args.json else [])]:
        name, _, file = given.partition("=")
        if name not in _FORMATS:
            raise Error(f"no format is called {name}", "--format", f"one of {', '.join(_FORMATS)}")
        if file and not Path(file).parent.is_dir():
            raise Error("there is no such directory", str(Path(file).parent), "make it first")
        if file in wanted:
            where = file or "standard output"
            raise Error(f"{wanted[file]} and {name}", where, "name a file: --format html=FILE")
        wanted[file] = name
    # Standard output last: who reads it knows that the files are there.
    return {**{file: name for file, name in wanted.items() if file}, "": wanted.get("", "text")}


def _rendered(verdict: Verdict, name: str, level: Severity, limit: int) -> str:
    match name:
        case "json":
            return formats.as_json(verdict, verdict.fails(level))
        case "sarif":
            return formats.as_sarif(verdict)
        case "junit":
            return formats.as_junit(verdict, level)
        case "markdown":
            return formats.as_markdown(verdict)
        case "html":
            return as_html(verdict)
    return "\n".join(text.lines(verdict, limit))
