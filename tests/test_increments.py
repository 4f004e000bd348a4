# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What a developer does between two makes of the mini-kernel: the BTF is that of a build from
scratch, and only what has changed is encoded. docs/kbuild.md has the same table for Linux."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from minitree import HEAD, MiniTree, mini_kernel, products, sidecars

from kbuild_btf.cache import Cache

SCHED = "kernel/sched.c"
HEADER = "include/mini/task.h"


def nothing(tree: MiniTree) -> None:
    """The row of a build that has nothing to do."""


def touch(tree: MiniTree) -> None:
    (tree.directory / SCHED).touch()


def append(name: str, text: str) -> Callable[[MiniTree], None]:
    """Something more at the end of a file."""

    def edit(tree: MiniTree) -> None:
        path = tree.directory / name
        path.write_text(path.read_text() + text)

    return edit


def prepend(name: str, text: str) -> Callable[[MiniTree], None]:
    """Something before all, which moves every line."""

    def edit(tree: MiniTree) -> None:
        path = tree.directory / name
        path.write_text(text + path.read_text())

    return edit


# What is done, how many objects are encoded by it, and whether the BTF becomes another one.
ROWS = [
    pytest.param(nothing, 0, False, id="nothing"),
    pytest.param(touch, 0, False, id="touch"),
    pytest.param(append(SCHED, "/* The end. */\n"), 0, False, id="comment"),
    pytest.param(prepend(SCHED, "/* More. */\n\n\n"), 1, False, id="lines move"),
    pytest.param(
        append(SCHED, "int sched_new(int x);\nint sched_new(int x) { return x; }\n"),
        1,
        True,
        id="new function",
    ),
    pytest.param(
        append(SCHED, "struct sched_new { int x; } sched_new;\n"), 1, True, id="new struct"
    ),
    pytest.param(
        append("drivers/mini_main.c", "struct in_module { int x; } m;\n"), 1, True, id="module"
    ),
    pytest.param(append(HEADER, "/* The end. */\n"), 0, False, id="comment in a header"),
]


@pytest.mark.parametrize(("edit", "encoded", "changes"), ROWS)
def test_an_increment(
    tree: MiniTree,
    tmp_path: Path,
    built: MiniTree,
    edit: Callable[[MiniTree], None],
    encoded: int,
    changes: bool,
) -> None:
    # The copy is in another directory; what that changes is done with here.
    touch_all(tree)
    tree.make("-j4")
    cache = Cache(tmp_path / "cache")
    before = cache.statistics(0).misses
    edit(tree)
    tree.make("-j4")
    assert cache.statistics(0).misses - before == encoded
    fresh = mini_kernel(tmp_path / "fresh")
    edit(fresh)
    fresh.make("-j4")
    assert products(tree) == products(fresh)
    assert (products(tree) != products(built)) == changes


def touch_all(tree: MiniTree) -> None:
    for path in tree.directory.rglob("*.c"):
        path.touch()


def test_a_struct_of_a_header_that_all_use(tree: MiniTree, tmp_path: Path) -> None:
    """Its users have new sidecars, and nobody who does not include it."""
    touch_all(tree)
    tree.make("-j4")
    before = sidecars(tree)
    tree.replace(HEADER, "struct task {\n", "struct task {\n\tint first;\n")
    tree.make("-j4")
    after = sidecars(tree)
    changed = {name for name in after if after[name] != before[name]}
    # The compiler leaves out what an object includes and does not use; but lines have moved.
    users = {name for name in after if b"\0task\0" in after[name]}
    assert 3 < len(users) <= len(changed) < len(after)
    assert users <= changed
    fresh = mini_kernel(tmp_path / "fresh")
    fresh.replace(HEADER, "struct task {\n", "struct task {\n\tint first;\n")
    fresh.make("-j4")
    assert products(tree) == products(fresh)


def test_another_branch_and_back(tree: MiniTree, tmp_path: Path) -> None:
    """What was built before comes out of the cache, although every object is compiled again."""
    touch_all(tree)
    tree.make("-j4")
    first = products(tree)
    path = tree.directory / SCHED
    text = path.read_text()
    path.write_text(text + "struct other_branch { int x; } other_branch;\n")
    tree.make("-j4")
    assert products(tree) != first
    path.write_text(text)
    cache = Cache(tmp_path / "cache")
    before = cache.statistics(0)
    tree.make("-j4")
    after = cache.statistics(0)
    assert (after.hits - before.hits, after.misses - before.misses) == (1, 0)
    assert products(tree) == first


def test_a_build_without_the_hook_in_between(tree: MiniTree, tmp_path: Path) -> None:
    """Its objects have sidecars of their former selves; the link sees that."""
    edit = append(SCHED, "struct sched_new { int x; } sched_new;\n")
    edit(tree)
    plain = shutil.which("true") or "true"
    tree.make("-j4", "kernel", KBUILD_BTF="0", PAHOLE=plain)
    stale = (tree.directory / "kernel/.tmp_sched.o.kbtf").read_bytes()[HEAD:]
    tree.make("-j4")
    assert (tree.directory / "kernel/.tmp_sched.o.kbtf").read_bytes()[HEAD:] != stale
    fresh = mini_kernel(tmp_path / "fresh")
    edit(fresh)
    fresh.make("-j4")
    assert products(tree) == products(fresh)
