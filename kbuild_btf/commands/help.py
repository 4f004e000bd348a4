# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Show what a verb does, and its options: also of `make`, whose --help is make's own."""

from __future__ import annotations

import argparse

from .. import cli


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The argument of ``kbuild-btf help``."""
    parser.add_argument("verb", nargs="?", metavar="VERB", help="one of those that help lists")


def run(args: argparse.Namespace) -> int:
    """Print it; without a verb the list of verbs."""
    verb = args.verb or ""
    top, by_verb = cli.parsers(verb)
    if verb and verb not in by_verb:
        top.error(cli.no_verb(verb))
    by_verb.get(verb, top).print_help()
    return 0
