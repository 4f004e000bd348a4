# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Show BTF: the raw listing, C declarations, the layout of single types, or tables of all."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from ..btf import Btf, Composite, Enumeration, Type, Typedef
from ..errors import Error
from ..terminal import styled, wrapped

if TYPE_CHECKING:
    from ..btf.tables import Row


_TABLES: dict[str, tuple[str, Callable[[Row], int]]] = {
    "sizes": ("all structs and unions, the largest first", lambda row: row.size),
    "holes": ("those with holes, by the bytes in them", lambda row: row.hole_bytes),
    "packable": ("those that another order of members makes smaller", lambda row: row.saved),
}


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
    for name, (text, _) in _TABLES.items():
        what.add_argument(f"--{name}", action="store_const", const=name, dest="table", help=text)
    what.add_argument(
        "--contains", metavar="TYPE", help="structs and unions in which this type lies, also deep"
    )
    what.add_argument(
        "--uses",
        metavar="TYPE",
        help="what has this type, or a pointer to it, array or function of it",
    )
    parser.add_argument(
        "--reorganize",
        action="store_true",
        help="with -C: members in an order in which the struct is smaller, as a proposal",
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
    if args.reorganize and args.class_name is None:
        raise Error("--reorganize without a struct", hint="name one with -C")
    of_all = args.table or args.contains or args.uses
    if args.class_name is None and args.format == "raw" and not args.json and not of_all:
        return _list(Btf.load_all(file, base))
    btf = Btf.load(file, base)
    if args.table:
        text = _table(btf, args.table, args.json)
    elif of_all:
        text = _users(btf, args.contains, args.uses, args.json)
    elif args.class_name is not None:
        found = _named(btf, args.class_name.split(","))
        if args.reorganize:
            found = [_smaller(btf, one, args.cacheline) for one in found]
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


def _table(btf: Btf, table: str, as_json: bool) -> str:
    from ..btf import tables

    _, of = _TABLES[table]
    found = sorted(tables.rows(btf), key=lambda row: (-of(row), row.name))
    if table != "sizes":
        found = [row for row in found if of(row)]
    if as_json:
        return json.dumps({"types": [tables.as_dict(row) for row in found]}, indent=2)
    head = f"{'size':>8} {'holes':>6} {'bytes':>6} {'tail':>5} {'best':>8} {'saved':>6}  name"
    return "\n".join(
        [
            styled(head, "bold"),
            *(
                f"{row.size:8} {row.holes:6} {row.hole_bytes:6} {row.tail:5} {row.best:8}"
                f" {row.saved:6}  {row.name}"
                for row in found
            ),
        ]
    )


def _users(btf: Btf, contained: str | None, used: str | None, as_json: bool) -> str:
    from ..btf import tables

    if contained:
        found = tables.containing(btf, btf[contained])
    else:
        assert used
        found = tables.using(btf, btf[used])
    if as_json:
        return json.dumps({"types": [asdict(user) for user in found]}, indent=2)
    lines = []
    for user in found:
        at = "" if user.offset is None else f" at {user.offset}"
        members = f": {', '.join(user.members)}{at}" if user.members else ""
        lines.append(f"{user.kind:8} {wrapped(f'{user.name}{members}', 9)}")
    return "\n".join(lines)


def _smaller(btf: Btf, found: Type, cacheline: int) -> Type:
    """The struct in another order. Raises Error where none makes it smaller."""
    from ..btf.layout import Layouts
    from ..btf.tables import reorganised

    better = reorganised(Layouts(btf, cacheline), found) if isinstance(found, Composite) else None
    if better is None:
        raise Error(
            f"no other order of members makes {found.name} smaller",
            btf.where,
            "dump --packable lists what is",
        )
    return better


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
