# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Encode the DWARF of one ELF file: an object, a module, a whole kernel."""

from __future__ import annotations

import argparse

from .. import output
from ..progress import watched


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``kbuild-btf encode``."""
    parser.add_argument("elf", metavar="ELF", help="an ELF file with DWARF debug information")
    output.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Encode, write, and say what came out."""
    from ..encoder import encode

    destination = output.destination(args, args.elf)
    options = output.options(args)
    made = watched("encode", lambda: encode(args.elf, **options))
    output.write(made.btf, destination, made.base)
    output.report(made, args, destination)
    return 0
