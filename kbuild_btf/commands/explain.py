# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Say why a function is in the BTF or not, and how the definitions of a type name differ."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from .. import cache
from ..progress import watched

if TYPE_CHECKING:
    from ..explanation import Explanation, FunctionVerdict


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``kbuild-btf explain``."""
    parser.add_argument("name", metavar="NAME", help="a function, a symbol of one, or a type")
    parser.add_argument("elf", metavar="ELF", help="the linked file")
    parser.add_argument(
        "objects",
        metavar="OBJECT",
        nargs="*",
        default=[],
        help="what it was linked from (default: what the tree says that the linker took)",
    )
    parser.add_argument("--features", metavar="LIST", help="as pahole's --btf_features")
    parser.add_argument("--json", action="store_true", help="print one JSON object, without limit")
    parser.add_argument(
        "--limit", metavar="N", type=int, default=10, help="objects shown of each (0: all)"
    )


def run(args: argparse.Namespace) -> int:
    """Print the verdicts; exit status 1 when nobody knows the name."""
    from ..explanation import explain

    objects, store = args.objects or None, cache.directory()
    told = watched(
        "explain",
        lambda: explain(args.elf, args.name, objects, features=args.features, cache=store),
    )
    if args.json:
        print(json.dumps({"elf": args.elf, **_as_dict(told)}, indent=2))
    else:
        function_lines = _function(told.name, told.function, args.limit)
        print("\n".join([*function_lines, *_definitions(told, args.limit)]))
    return 0


def _as_dict(told: Explanation) -> dict[str, object]:
    function = None
    if told.function:
        symbols = [symbol._asdict() for symbol in told.function.symbols]
        function = {**asdict(told.function), "symbols": symbols}
    definitions = [asdict(definition) for definition in told.definitions]
    return {"name": told.name, "function": function, "definitions": definitions}


def _function(name: str, verdict: FunctionVerdict | None, limit: int) -> Iterator[str]:
    if verdict is None:
        return
    name_told = f" as {verdict.clone}" if verdict.clone else ""
    verdict_told = f"left out, {verdict.reason}" if verdict.reason else f"in the BTF{name_told}"
    yield f"function {name}: {verdict_told}"
    yield from (f"  symbol {full} at {address:#x}" for full, address in verdict.symbols)
    # What was chosen first, then what has code: the rest is the same inline function many times.
    ranked = sorted(verdict.candidates, key=lambda c: (not c.chosen, c.address is None, c.object))
    for candidate in ranked[:limit] if limit else ranked:
        place = f" at {candidate.address:#x}" if candidate.address is not None else ""
        facts = ["its prototype is in the BTF"] * candidate.chosen + list(candidate.facts)
        yield f"  {candidate.object}, DIE {candidate.die:#x}{place}"
        yield f"      {candidate.prototype}"
        if candidate.passed:
            yield f"      passed: {candidate.passed}"
        if facts:
            yield f"      ({'; '.join(facts)})"
    yield from _more(len(ranked), limit, "candidates")
    yield from _sites(verdict, limit)


def _sites(verdict: FunctionVerdict, limit: int) -> Iterator[str]:
    """A probe on the function does not see these calls."""
    sites = verdict.sites
    if not sites:
        return
    yield f"  inlined in {len(sites)} place{'' if len(sites) == 1 else 's'}:"
    for site in sites[:limit] if limit else sites:
        inside = f"{site.function}+{site.offset:#x}" if site.function else site.section
        places = ", ".join(place or "?" for place in site.places)
        yield f"    {inside} at {site.address:#x}, in {site.object} ({places})"
    yield from _more(len(sites), limit, "places")


def _definitions(told: Explanation, limit: int) -> Iterator[str]:
    if not told.definitions:
        return
    kinds = {"FWD": "declared", "STRUCT": "struct", "UNION": "union"}
    full = [d for d in told.definitions if d.kind != "FWD"]
    yield f"type {told.name}: {len(full)} definition{'' if len(full) == 1 else 's'}"
    for definition in told.definitions:
        kind = kinds.get(definition.kind, definition.kind.lower())
        sized = definition.kind not in ("FWD", "TYPEDEF")
        size = f" of {definition.size} bytes" if sized else ""
        objects = definition.objects
        yield f"  {kind}{size}, in {len(objects)} object{'' if len(objects) == 1 else 's'}:"
        if definition.difference:
            yield f"    parts from the first: {definition.difference}"
        yield from (f"    {path}" for path in (objects[:limit] if limit else objects))
        yield from _more(len(objects), limit, "objects")


def _more(count: int, limit: int, what: str) -> Iterator[str]:
    if limit and count > limit:
        yield f"    ... {count - limit} more {what} (--limit 0 shows all)"
