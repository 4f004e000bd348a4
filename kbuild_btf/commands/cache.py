# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Show the cache of encoded objects, keep it to its limit, or empty it."""

from __future__ import annotations

import argparse

from ..cache import Cache, Statistics, as_json, directory, limit, parse_size, show_size
from ..errors import Error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kbuild-btf cache`."""
    parser.add_argument(
        "--limit",
        metavar="SIZE",
        help="the size to keep to, such as 500M or 5G (default: $KBUILD_BTF_CACHE_SIZE or 5G)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--clean",
        action="store_true",
        help="remove what was not used for the longest time, down to the limit",
    )
    what.add_argument("--verify", action="store_true", help="read all, remove what is damaged")
    what.add_argument("--clear", action="store_true", help="remove everything, counts as well")


def run(args: argparse.Namespace) -> int:
    """Do what was asked, then show what is there."""
    root = directory()
    if root is None:
        raise Error(
            "there is no cache: KBUILD_BTF_CACHE is empty",
            hint="unset it for the default directory, or name one",
        )
    cache = Cache(root)
    size = parse_size(args.limit) if args.limit else limit()
    removed = None
    if args.clean:
        removed = cache.clean(size)
    elif args.verify:
        removed = cache.verify()
    elif args.clear:
        removed = cache.clear()
    statistics = cache.statistics(size)
    if args.json:
        print(as_json(statistics))
        return 0
    if removed is not None:
        print(f"removed {removed.entries} entries, {show_size(removed.size)}")
    print(_table(statistics))
    if statistics.size > size:
        print("above its limit; --clean brings it down, as kbuild-btf make does once an hour")
    return 0


def _table(s: Statistics) -> str:
    asked = s.hits + s.misses
    share = f" ({100 * s.hits / asked:.1f} %)" if asked else ""
    rows = [
        ("directory", s.directory),
        ("size", f"{show_size(s.size)} of {show_size(s.limit)}"),
        ("entries", f"{s.entries}"),
        ("hits", f"{s.hits}{share}"),
        ("misses", f"{s.misses}"),
        ("not asked", f"{s.unchanged} (the file beside the object was still right)"),
        ("damaged", f"{s.damaged}"),
        ("errors", f"{s.errors}"),
        ("modules", f"{s.modules_reused} reused, {s.modules_encoded} made"),
    ]
    return "\n".join(f"{name:<10} {value}" for name, value in rows)
