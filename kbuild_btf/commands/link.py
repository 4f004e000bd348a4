# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Combine the BTF of the objects of a linked kernel or module.

The four stages of the road (docs/architecture.md) run in ``kbuild_btf.link``: each object's sidecar
is reused, or the object encoded; types are combined; symbols of the linked file decide on
functions and variables; the result is finished and checked.
"""

from __future__ import annotations

import argparse

from .. import cache, output
from ..progress import watched


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``kbuild-btf link``."""
    parser.add_argument("elf", metavar="ELF", help="the linked file; its symbols are read")
    parser.add_argument(
        "objects",
        metavar="OBJECT",
        nargs="*",
        default=[],
        help="what it was linked from (default: what the tree says that the linker took, else the"
        " BTFs that the linker put behind each other in ELF)",
    )
    output.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Link, write, and say what was reused."""
    from ..encoder import link

    destination = output.destination(args, args.elf)
    objects, options, store = args.objects or None, output.options(args), cache.directory()
    made = watched("link", lambda: link(args.elf, objects, cache=store, **options))
    output.write(made.btf, destination, made.base)
    output.report(made, args, destination)
    return 0
