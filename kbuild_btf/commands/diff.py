# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Compare two BTFs by meaning; exit status 0: the same, 1: they differ, 2: trouble."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator, Sequence

from ..btf import Btf
from ..compare import KindDiff, diff
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
    found = diff(Btf.load(args.a, base), Btf.load(args.b, base_b))
    same, kinds = found.same, found.kinds
    if args.json:
        print(json.dumps(_as_dict(args.a, args.b, same, kinds), indent=2))
    else:
        print("\n".join([*_table(kinds), *_repeated(kinds), *_details(kinds, args.limit)]))
        print(f"{'no difference' if same else 'they differ'}: A {args.a}, B {args.b}")
    return 0 if same else 1


def _as_dict(a: str, b: str, same: bool, kinds: Sequence[KindDiff]) -> dict[str, object]:
    rows = {}
    for kind in kinds:
        row = dataclasses.asdict(kind)
        del row["kind"]
        rows[kind.kind.name] = row
    return {"a": a, "b": b, "same": same, "kinds": rows}


def _table(kinds: Sequence[KindDiff]) -> Iterator[str]:
    """ "follows": on one side only, because of functions or variables."""
    heads = ("only A", "only B", "changed", "follows A", "follows B")
    titles = " ".join(f"{head:>9}" for head in heads)
    yield styled(f"{'kind':10} {'A':>8} {'B':>8} {titles}", "bold")
    for kind in kinds:
        lists = (kind.only_a, kind.only_b, kind.changed, kind.follows_a, kind.follows_b)
        columns = " ".join(f"{len(found) or '-':>9}" for found in lists)
        yield f"{kind.kind.name:10} {kind.a:8} {kind.b:8} {columns}"
    yield ""


def _repeated(kinds: Sequence[KindDiff]) -> Iterator[str]:
    a, b = sum(kind.repeated_a for kind in kinds), sum(kind.repeated_b for kind in kinds)
    if a or b:
        yield f"types that repeat the base, no difference: {a} of A, {b} of B"
        yield ""


def _details(kinds: Sequence[KindDiff], limit: int) -> Iterator[str]:
    for kind in kinds:
        if not kind.differs:
            continue
        yield styled(kind.kind.name, "bold")
        changed = [f"{change.name}: {'; '.join(change.what)}" for change in kind.changed]
        follows = "follows from functions and variables"
        for mark, colour, what, found in (
            ("~", "yellow", "changed", changed),
            ("-", "red", "only in A", kind.only_a),
            ("+", "green", "only in B", kind.only_b),
            ("-", "red", f"only in A, {follows}", kind.follows_a),
            ("+", "green", f"only in B, {follows}", kind.follows_b),
        ):
            if not found:
                continue
            yield f"  {what}: {len(found)}"
            shown = found[:limit] if limit else found
            yield from (f"    {styled(mark, colour)} {wrapped(line, 6)}" for line in shown)
            if len(found) > len(shown):
                yield f"    ... {len(found) - len(shown)} more (--limit 0 shows all)"
        yield ""
