# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Show BTF: the raw listing, C declarations, or the layout of single types."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from ..btf import Btf, Composite, Enumeration, Type, Typedef
from ..errors import Error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``kbuild-btf dump``."""
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="raw BTF, or an ELF file with a .BTF section; with --format c also several: a kernel"
        " and its modules, or modules and --base",
    )
    parser.add_argument("--base", metavar="FILE", help="what split BTF (a module's) builds on")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--format",
        choices=("raw", "c"),
        default="raw",
        help="raw: one block per type, as bpftool lists them; c: declarations that compile",
    )
    what.add_argument(
        "-C",
        "--class-name",
        metavar="NAME[,NAME]",
        help="only these structs, unions, enums or typedefs, with offsets, sizes and holes",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--cacheline", metavar="BYTES", type=_power_of_two, default=64, help="with -C (default: 64)"
    )


def run(args: argparse.Namespace) -> int:
    """Print what was asked for; all of it or, after an error, nothing."""
    if args.json and args.format == "c":
        raise Error("--json and --format c are two forms", hint="choose one")
    file, *more = args.files
    if more and args.format != "c":
        raise Error("several files", more[0], "--format c makes one header of all; else name one")
    base = Btf.load(args.base) if args.base else None
    if args.class_name is None and args.format == "raw" and not args.json:
        return _list(Btf.load_all(file, base))
    btf = Btf.load(file, base)
    if args.class_name is not None:
        found = _named(btf, args.class_name.split(","))
        show = _layouts if args.json else _outlines
        text = show(btf, found, args.cacheline)
    elif args.format == "c":
        text = _header(btf, more)
    else:
        from ..btf.raw import record

        # A line for each, since a kernel has too many for one.
        records = ",\n".join(json.dumps(record(found)) for found in btf)
        text = f'{{"types": [\n{records}\n]}}'
    if text:
        print(text)
    return 0


def _header(first: Btf, more: Sequence[str]) -> str:
    """C declarations of one file, or of several together. Without a base the first is that of the
    others."""
    from ..btf.header import render
    from ..btf.joined import join

    if not more:
        return render(first)
    base = first.base or first
    modules = [Btf.load(path, base) for path in more]
    return render(join([first, *modules] if first.base else modules), with_base=base is first)


def _list(found: list[Btf]) -> int:
    """The raw listing; of several BTFs behind each other one after the other."""
    from ..btf.raw import lines

    out: list[str] = []
    for number, btf in enumerate(found, 1):
        if len(found) > 1:
            out.append(f"# BTF {number} of {len(found)}")
        out.extend(lines(btf))
    if out:
        print("\n".join(out))
    return 0


def _named(btf: Btf, names: list[str]) -> list[Type]:
    """The types of these names, in this order. Raises Error."""
    wanted = {name.strip(): None for name in names}
    found: dict[str, Type] = {}
    for type_id in range(1, len(btf)):
        candidate = btf[type_id]
        if (
            isinstance(candidate, (Composite, Enumeration, Typedef))
            and candidate.name in wanted
            and candidate.name not in found
        ):
            found[candidate.name] = candidate
    missing = [name for name in wanted if name not in found]
    if missing:
        raise Error(
            f"no struct, union, enum or typedef {', '.join(map(repr, missing))}",
            btf.where,
            "names are without 'struct'; kbuild-btf dump lists all",
        )
    return [found[name] for name in wanted]


def _outlines(btf: Btf, found: list[Type], cacheline: int) -> str:
    from ..btf.outline import outline

    return "\n\n".join(outline(btf, one, cacheline) for one in found)


def _layouts(btf: Btf, found: list[Type], cacheline: int) -> str:
    from ..btf.layout import Layouts, as_dict

    known = Layouts(btf, cacheline)
    return json.dumps({"types": [as_dict(known, one) for one in found]}, indent=2)


def _power_of_two(text: str) -> int:
    value = int(text)
    if value < 1 or value & (value - 1):
        raise argparse.ArgumentTypeError(f"{text} is not a power of two")
    return value
