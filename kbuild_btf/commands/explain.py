# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Say why a function is in the BTF or not, and how the definitions of a type name differ."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..errors import Error
from ..progress import watched

if TYPE_CHECKING:
    from .. import _native


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
    from .. import _native

    objects = args.objects or None
    # No name of C has a dot: what follows it the compiler has added to the symbol (pick.isra.0).
    name = args.name.partition(".")[0]
    told = watched(
        "explain",
        lambda: _native.explain(args.elf, name, objects=objects, features=args.features),
    )
    verdict, definitions = told["function"], told["definitions"]
    if name != args.name:
        # A symbol was named, so no type is meant.
        definitions = []
        if verdict and args.name not in (symbol for symbol, _ in verdict["symbols"]):
            verdict = None
    if not verdict and not definitions:
        raise Error(f"no function and no type is named {args.name}", args.elf)
    if args.json:
        symbols = [{"name": s, "address": a} for s, a in verdict["symbols"]] if verdict else []
        function = {**verdict, "symbols": symbols} if verdict else None
        shown = {"elf": args.elf, "name": name, "function": function, "definitions": definitions}
        print(json.dumps(shown, indent=2))
    else:
        function_lines = _function(name, verdict, args.limit)
        print("\n".join([*function_lines, *_definitions(name, definitions, args.limit)]))
    return 0


def _function(name: str, verdict: _native.FunctionVerdict | None, limit: int) -> Iterator[str]:
    if verdict is None:
        return
    reason = verdict["reason"]
    name_told = f" as {verdict['clone']}" if verdict["clone"] else ""
    verdict_told = f"left out, {reason}" if reason else f"in the BTF{name_told}"
    yield f"function {name}: {verdict_told}"
    yield from (f"  symbol {full} at {address:#x}" for full, address in verdict["symbols"])
    # What was chosen first, then what has code: the rest is the same inline function many times.
    ranked = sorted(
        verdict["candidates"], key=lambda c: (not c["chosen"], c["address"] is None, c["object"])
    )
    for candidate in ranked[:limit] if limit else ranked:
        address = candidate["address"]
        place = f" at {address:#x}" if address is not None else ""
        facts = ["its prototype is in the BTF"] * candidate["chosen"] + candidate["facts"]
        yield f"  {candidate['object']}, DIE {candidate['die']:#x}{place}"
        yield f"      {candidate['prototype']}"
        if candidate["passed"]:
            yield f"      passed: {candidate['passed']}"
        if facts:
            yield f"      ({'; '.join(facts)})"
    yield from _more(len(ranked), limit, "candidates")


def _definitions(name: str, found: list[_native.Definition], limit: int) -> Iterator[str]:
    if not found:
        return
    kinds = {"FWD": "declared", "STRUCT": "struct", "UNION": "union"}
    full = [d for d in found if d["kind"] != "FWD"]
    yield f"type {name}: {len(full)} definition{'' if len(full) == 1 else 's'}"
    for definition in found:
        kind = kinds.get(definition["kind"], definition["kind"].lower())
        sized = definition["kind"] not in ("FWD", "TYPEDEF")
        size = f" of {definition['size']} bytes" if sized else ""
        objects = definition["objects"]
        yield f"  {kind}{size}, in {len(objects)} object{'' if len(objects) == 1 else 's'}:"
        if definition["difference"]:
            yield f"    parts from the first: {definition['difference']}"
        yield from (f"    {path}" for path in (objects[:limit] if limit else objects))
        yield from _more(len(objects), limit, "objects")


def _more(count: int, limit: int, what: str) -> Iterator[str]:
    if limit and count > limit:
        yield f"    ... {count - limit} more {what} (--limit 0 shows all)"
