# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Check BTF against DWARF, or modules against their vmlinux.

Exit status 0: no problem, 1: problems, 2: trouble.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..errors import Error
from ..progress import percent, watched
from ..terminal import styled, wrapped

if TYPE_CHECKING:
    from ..verification import Verdict


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``kbuild-btf verify``."""
    parser.add_argument(
        "elf", nargs="+", metavar="ELF", help="with DWARF debug information; with --base: modules"
    )
    parser.add_argument(
        "--base",
        metavar="FILE",
        help="the vmlinux of the modules, or its BTF: check whether that kernel takes them",
    )
    parser.add_argument(
        "--dwarf", action="store_true", help="with --base: compare modules with their DWARF"
    )
    parser.add_argument("--btf", metavar="FILE", help="BTF to check (default: that of ELF)")
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
    parser.add_argument("--json", action="store_true", help="print one JSON object, without limit")
    parser.add_argument(
        "--no-kernel", action="store_true", help="do not try to load it into the running kernel"
    )


def run(args: argparse.Namespace) -> int:
    """Print the problems and what was compared."""
    for option in ("jobs", "sample", "limit"):
        if getattr(args, option) < 0:
            raise Error(f"--{option} {getattr(args, option)}: 0 or more is wanted")
    if args.base and not args.dwarf:
        for option in ("btf", "features", "lang_exclude", "sample"):
            if getattr(args, option):
                name = option.replace("_", "-")
                raise Error(f"--{name} is for the comparison with DWARF", hint="add --dwarf")
        return _modules(args)
    if len(args.elf) > 1:
        raise Error(
            "only one file at a time is compared with its DWARF",
            hint="to check whether a kernel takes modules, give its vmlinux with --base",
        )
    return _dwarf(args, args.elf[0])


def _modules(args: argparse.Namespace) -> int:
    from ..verification import verify_modules

    base, failures = watched("verify", lambda: verify_modules(args.base, args.elf, jobs=args.jobs))
    if args.json:
        failed = [failure._asdict() for failure in failures]
        head = {"base": base.path, "fingerprint": base.fingerprint, "modules": args.elf}
        print(json.dumps({**head, "failures": failed}, indent=2))
        return 1 if failures else 0
    _show(failures, args.limit)
    count = len(args.elf)
    checked = f"{count} module{'s' if count != 1 else ''}"
    found = f"{len(failures)} of {checked} fail" if failures else f"{checked}, no problem"
    print(f"{base.path}: BTF {base.fingerprint}; {found}")
    return 1 if failures else 0


def _show(problems: Sequence[object], limit: int) -> None:
    for problem in problems[:limit] if limit else problems:
        print(problem)
    if limit and len(problems) > limit:
        print(f"... {len(problems) - limit} more (--limit 0 shows all)")


def _dwarf(args: argparse.Namespace, elf: str) -> int:
    from ..verification import verify

    with percent(f"{elf}: reading DWARF") as progress:
        verdict = verify(
            elf,
            btf=args.btf,
            base=args.base,
            features=args.features,
            lang_exclude=[name for name in args.lang_exclude.split(",") if name],
            jobs=args.jobs,
            sample=args.sample,
            kernel=not args.no_kernel,
            progress=progress,
        )
    if args.json:
        print(json.dumps(_as_dict(elf, args.btf or elf, verdict), indent=2))
        return 1 if verdict.problems else 0
    _show(verdict.problems, args.limit)
    print("\n".join(_summary(args.btf or elf, verdict)))
    return 1 if verdict.problems else 0


def _as_dict(elf: str, btf: str, verdict: Verdict) -> dict[str, object]:
    keys = ("kind", "btf", "dwarf", "distinct")
    return {
        "elf": elf,
        "btf": btf,
        "problems": [problem._asdict() for problem in verdict.problems],
        "compared": [dict(zip(keys, row, strict=True)) for row in verdict.compared],
        "units": verdict.units,
        "all_units": verdict.all_units,
        "left_out": verdict.left_out,
        "dies": verdict.dies,
        "functions_without_btf": verdict.functions_without_btf,
        "notes": verdict.notes,
    }


def _summary(name: str, verdict: Verdict) -> Iterator[str]:
    yield styled(f"{'':15} {'in BTF':>9} {'in DWARF':>9} {'distinct':>9}", "bold")
    for kind, own, seen, distinct in verdict.compared:
        yield f"{kind:15} {own:9} {seen:9} {distinct:9}"
    if verdict.functions_without_btf:
        yield wrapped(
            f"{verdict.functions_without_btf} functions of the DWARF that have a symbol are not in"
            " the BTF: left out by rules on registers and clones, not checked here",
            0,
        )
    yield from (wrapped(note, 0) for note in verdict.notes)
    read = f"{verdict.units} units, {verdict.dies} DIEs"
    if verdict.left_out:
        read += f", {verdict.left_out} units left out by language"
    if verdict.sampled:
        read = f"a sample: {verdict.units} of {verdict.all_units} units, {verdict.dies} DIEs"
    count = len(verdict.problems)
    found = f"{count} problem{'s' if count != 1 else ''}" if count else "no problem"
    yield f"{name}: {styled(found, 'red' if count else 'green')}; {read}"
