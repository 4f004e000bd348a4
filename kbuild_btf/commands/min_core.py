# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Write the smallest BTF that given BPF programs need of a kernel."""

from __future__ import annotations

import argparse
import sys

from .. import output
from ..errors import Error
from ..progress import watched


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``kbuild-btf min-core``."""
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="object files of BPF programs (clang -target bpf), and one kernel: vmlinux or its BTF,"
        " followed by modules of it",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        required=True,
        help="write raw BTF there (-: standard output)",
    )


def run(args: argparse.Namespace) -> int:
    """Read, write, and say what came out."""
    from ..programs.kernels import sorted_out
    from ..programs.minimum import minimum

    programs, kernels = sorted_out(args.files)
    if len(kernels) > 1:
        second = kernels[1].path
        raise Error("a second kernel", second, "each takes a file of its own: call this for each")
    destination = output.to_file(args.output)
    made = watched("min-core", lambda: minimum(programs, kernels[0].target))
    output.write(made.btf, destination)
    answers = ", ".join(f"{count} {verdict}" for verdict, count in made.verdicts.items())
    print(
        f"in {destination}: {made.types} types, {len(made.btf)} bytes, for"
        f" {made.verdicts.total()} relocations{answers and f': {answers}'}",
        file=sys.stderr if destination.standard_output else sys.stdout,
    )
    return 0
