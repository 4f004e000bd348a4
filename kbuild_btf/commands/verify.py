# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Check BTF against DWARF; exit status 0: no problem, 1: problems, 2: trouble."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..errors import Error

if TYPE_CHECKING:
    from ..verify import Verdict


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``kbuild-btf verify``."""
    parser.add_argument("elf", metavar="ELF", help="an ELF file with DWARF debug information")
    parser.add_argument("--btf", metavar="FILE", help="BTF to check (default: that of ELF)")
    parser.add_argument("--base", metavar="FILE", help="what split BTF (a module's) builds on")
    parser.add_argument(
        "--features", metavar="LIST", help="those that it was encoded with (default: the default)"
    )
    parser.add_argument(
        "--lang-exclude", metavar="LIST", default="", help="languages that it was encoded without"
    )
    parser.add_argument("-j", "--jobs", metavar="N", type=int, default=0, help="processes")
    parser.add_argument(
        "--sample", metavar="N", type=int, default=0, help="only N units, evenly spread"
    )
    parser.add_argument(
        "--limit",
        metavar="N",
        type=int,
        default=100,
        help="problems shown (default: 100, 0: all)",
    )
    parser.add_argument(
        "--no-kernel", action="store_true", help="do not try to load it into the running kernel"
    )


def run(args: argparse.Namespace) -> int:
    """Print the problems and what was compared."""
    from ..verify import verify

    for option in ("jobs", "sample", "limit"):
        if getattr(args, option) < 0:
            raise Error(f"--{option} {getattr(args, option)}: 0 or more is wanted")
    verdict = verify(
        args.elf,
        btf=args.btf,
        base=args.base,
        features=args.features,
        lang_exclude=[name for name in args.lang_exclude.split(",") if name],
        jobs=args.jobs,
        sample=args.sample,
        kernel=not args.no_kernel,
    )
    shown = verdict.problems[: args.limit] if args.limit else verdict.problems
    for problem in shown:
        print(problem)
    if hidden := len(verdict.problems) - len(shown):
        print(f"... {hidden} more (--limit 0 shows all)")
    print("\n".join(_summary(args.btf or args.elf, verdict)))
    return 1 if verdict.problems else 0


def _summary(name: str, verdict: Verdict) -> Iterator[str]:
    yield f"{'':15} {'in BTF':>9} {'in DWARF':>9} {'different':>9}"
    for kind, own, seen, different in verdict.compared:
        yield f"{kind:15} {own:9} {seen:9} {different:9}"
    if verdict.functions_without_btf:
        yield (
            f"{verdict.functions_without_btf} functions of the DWARF that have a symbol are not in"
            " the BTF: left out by rules on registers and clones, not checked here"
        )
    yield from verdict.notes
    read = f"{verdict.units} units, {verdict.dies} DIEs"
    if verdict.left_out:
        read += f", {verdict.left_out} units left out by language"
    if verdict.sampled:
        read = f"a sample: {verdict.units} of {verdict.all_units} units, {verdict.dies} DIEs"
    count = len(verdict.problems)
    found = f"{count} problem{'s' if count != 1 else ''}" if count else "no problem"
    yield f"{name}: {found}; {read}"
