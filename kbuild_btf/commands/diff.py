# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Compare two BTFs by meaning; exit status 0: the same, 1: they differ, 2: trouble."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator

from ..btf import Btf
from ..compare import KindDiff, compare
from ..terminal import styled, wrapped


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``kbuild-btf diff``."""
    parser.add_argument("a", metavar="A", help="raw BTF, or an ELF file with a .BTF section")
    parser.add_argument("b", metavar="B", help="what to compare it with")
    parser.add_argument("--base", metavar="FILE", help="base of A and B when they are split BTF")
    parser.add_argument("--base-b", metavar="FILE", help="base of B when it is another one")
    parser.add_argument(
        "--limit",
        metavar="N",
        type=int,
        default=20,
        help="differences shown per kind (default: 20, 0: all)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, without limit")


def run(args: argparse.Namespace) -> int:
    """Print the table and the differences."""
    base = Btf.load(args.base) if args.base else None
    base_b = Btf.load(args.base_b) if args.base_b else base
    kinds = compare(Btf.load(args.a, base), Btf.load(args.b, base_b))
    same = not any(diff.differs for diff in kinds)
    if args.json:
        print(json.dumps(_as_dict(args.a, args.b, same, kinds), indent=2))
    else:
        print("\n".join([*_table(kinds), *_repeated(kinds), *_details(kinds, args.limit)]))
        print(f"{'no difference' if same else 'they differ'}: A {args.a}, B {args.b}")
    return 0 if same else 1


def _as_dict(a: str, b: str, same: bool, kinds: list[KindDiff]) -> dict[str, object]:
    rows = {}
    for diff in kinds:
        row = dataclasses.asdict(diff)
        del row["kind"]
        rows[diff.kind.name] = row
    return {"a": a, "b": b, "same": same, "kinds": rows}


def _table(kinds: list[KindDiff]) -> Iterator[str]:
    """ "follows": on one side only, because of functions or variables."""
    heads = ("only A", "only B", "changed", "follows A", "follows B")
    titles = " ".join(f"{head:>9}" for head in heads)
    yield styled(f"{'kind':10} {'A':>8} {'B':>8} {titles}", "bold")
    for diff in kinds:
        lists = (diff.only_a, diff.only_b, diff.changed, diff.follows_a, diff.follows_b)
        columns = " ".join(f"{len(found) or '-':>9}" for found in lists)
        yield f"{diff.kind.name:10} {diff.a:8} {diff.b:8} {columns}"
    yield ""


def _repeated(kinds: list[KindDiff]) -> Iterator[str]:
    a, b = sum(diff.repeated_a for diff in kinds), sum(diff.repeated_b for diff in kinds)
    if a or b:
        yield f"types that repeat the base, no difference: {a} of A, {b} of B"
        yield ""


def _details(kinds: list[KindDiff], limit: int) -> Iterator[str]:
    for diff in kinds:
        if not diff.differs:
            continue
        yield styled(diff.kind.name, "bold")
        changed = [f"{change.name}: {'; '.join(change.what)}" for change in diff.changed]
        follows = "follows from functions and variables"
        for mark, colour, what, found in (
            ("~", "yellow", "changed", changed),
            ("-", "red", "only in A", diff.only_a),
            ("+", "green", "only in B", diff.only_b),
            ("-", "red", f"only in A, {follows}", diff.follows_a),
            ("+", "green", f"only in B, {follows}", diff.follows_b),
        ):
            if not found:
                continue
            yield f"  {what}: {len(found)}"
            shown = found[:limit] if limit else found
            yield from (f"    {styled(mark, colour)} {wrapped(line, 6)}" for line in shown)
            if len(found) > len(shown):
                yield f"    ... {len(found) - len(shown)} more (--limit 0 shows all)"
        yield ""
