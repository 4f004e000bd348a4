# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Print shell commands that switch kbuild-btf on: eval "$(kbuild-btf env)"."""

from __future__ import annotations

import argparse
import os

from .. import kbuild, paths


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kbuild-btf env`."""
    parser.add_argument(
        "--off", action="store_true", help="print the commands that switch it off again"
    )


def run(args: argparse.Namespace) -> int:
    """Print one command per line for a POSIX shell."""
    if args.off:
        print(_off(), end="")
    else:
        print(kbuild.shell_assignments(kbuild.build_environment()), end="")
    return 0


def _off() -> str:
    """Unset ours; MAKEFILES of others is kept."""
    ours = str(paths.snippet())
    others = [name for name in os.environ.get("MAKEFILES", "").split() if name != ours]
    kept = kbuild.shell_assignments({"MAKEFILES": " ".join(others)}) if others else ""
    names = ["KBUILD_BTF", "KBUILD_BTF_BIN", *([] if others else ["MAKEFILES"])]
    return kept + f"unset {' '.join(names)}\n"
