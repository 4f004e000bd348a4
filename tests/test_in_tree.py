# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""makefile-snippets/in-tree.mk: a tree that has kbuild-btf in its own makefiles."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from minitree import BUILTIN, LIBRARY, MODULE, MiniTree, Stubs, products, sidecar, sidecars
from support import SCRIPTS, require

from kbuild_btf import paths

HOOKED = sorted(BUILTIN + LIBRARY + MODULE)


def own(directory: Path, environ: dict[str, str]) -> MiniTree:
    """The mini-kernel after the two commands that the snippet names."""
    tree = MiniTree.copy(directory / "tree", environ)
    for name in ("kbuild-btf.mk", "kbuild-btf-ld"):
        shutil.copy(paths.snippet().with_name(name), tree.directory / "scripts")
    with (tree.directory / "scripts/Kbuild.include").open("a") as file:
        file.write(paths.snippet().with_name("in-tree.mk").read_text())
    # Linux reads it in the top Makefile, too, before PAHOLE is assigned.
    tree.replace(
        "Makefile", "CC = gcc\n", "srctree := .\ninclude scripts/Kbuild.include\nCC = gcc\n"
    )
    tree.replace("Makefile", "MAKEFLAGS +=", ".PHONY: all\nall:\nMAKEFLAGS +=")
    return tree


def test_a_plain_make_uses_it(tmp_path: Path, built: MiniTree) -> None:
    cache = {"KBUILD_BTF_CACHE": str(tmp_path / "cache")}
    tree = own(tmp_path, {**cache, "PATH": f"{SCRIPTS}:/usr/bin:/bin"})
    assert "MAKEFILES" not in tree.environ
    tree.make("-j4")
    assert products(tree) == products(built)
    assert tree.trace.exists()
    assert set(map(sidecar, HOOKED)) <= set(sidecars(tree))
    times = tree.times("vmlinux", "drivers/mini.ko")
    tree.make("-j4")
    assert tree.times("vmlinux", "drivers/mini.ko") == times


def test_where_it_is_not_installed_the_tree_builds_as_before(tmp_path: Path) -> None:
    require("pahole")
    tree = own(tmp_path, {"PATH": "/usr/bin:/bin"})
    tree.make("-j4")
    assert sidecars(tree) == {}
    assert not tree.trace.exists()


@pytest.mark.parametrize(("switch", "hooked"), [("1", HOOKED), ("0", [])])
def test_the_switch(tmp_path: Path, switch: str, hooked: list[str]) -> None:
    require("pahole")
    stubs = Stubs.create(tmp_path / "bin")
    environ = {name: value for name, value in stubs.environ.items() if name != "MAKEFILES"}
    tree = own(tmp_path, environ)
    tree.make("-j4", KBUILD_BTF=switch)
    assert sorted(call.removeprefix("--echo ") for call in stubs.calls("hook")) == hooked
    assert (len(stubs.calls("pahole")) == 2) == bool(hooked)
