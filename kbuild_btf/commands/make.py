# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Run make with kbuild-btf switched on; everything after `make` is make's."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from pathlib import Path

from .. import cache, kbuild
from ..errors import Error
from . import doctor

_CLEAN_EVERY_SECONDS = 3600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """All arguments are make's, also those that begin with a dash, and --help."""
    # With no character that begins an option, argparse leaves every word alone.
    parser.prefix_chars = "\0"
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGUMENT")


def run(args: argparse.Namespace) -> int:
    """Become make. Returns only by an Error."""
    variables = kbuild.build_environment()
    tree = kbuild.tree_of_command(args.arguments, Path.cwd())
    kbuild.carries_types()  # a value that is none is an error now, not at the first object
    mode = kbuild.debug_mode()
    if tree:
        kbuild.refuse_debug_mode(mode, tree, args.arguments)
        _introduce(tree)
    _keep_cache_small()
    try:
        os.execvpe("make", ["make", *args.arguments], {**os.environ, **variables})
    except OSError as failed:
        raise kbuild.no_make(failed) from failed


def _introduce(tree: kbuild.Tree) -> None:
    """Say what the doctor knows about a tree, once, and again when it has become something else.

    A tree without configuration is not to be built yet.
    """
    if not (tree.objects / ".config").is_file():
        if problem := kbuild.takeover(tree.source).problem:
            print(f"kbuild-btf: {tree.source}: {problem}", file=sys.stderr)
        return
    said = tree.objects / ".tmp_kbuild-btf.doctor"  # a name that make clean removes
    text = doctor.introduce(tree)
    with contextlib.suppress(OSError):
        if said.read_text() == text:
            return
    print(text, end="", file=sys.stderr, flush=True)
    with contextlib.suppress(OSError):
        said.write_text(text)


def _keep_cache_small() -> None:
    """Bring the cache to its limit, at most once an hour.

    Before the build, because afterwards this process is make. A cache that cannot be cleaned
    (read only, or being cleaned) is no reason not to build; `kbuild-btf cache` names the reason.
    """
    size = cache.limit()  # a limit that cannot be understood is an error now, not after an hour
    root = cache.directory()
    if root is None:
        return
    store = cache.Cache(root)
    stamp = store.store / "cleaned"
    with contextlib.suppress(Error, OSError):
        if not store.store.is_dir():
            return
        if not stamp.exists() or time.time() - stamp.stat().st_mtime > _CLEAN_EVERY_SECONDS:
            stamp.touch()
            store.clean(size)
