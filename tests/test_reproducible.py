# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The same bytes every time (docs/reproducible.md): the mini-kernel, built in many ways."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path
from random import Random

import pytest
from minitree import BUILTIN, LIBRARY, MODULE, MiniTree, mini_kernel, products, sidecars
from support import kbuild_btf

from kbuild_btf.btf.elf import section

JOBS = ("-j1", "-j2", "-j16")
CACHES = ("cold", "warm", "half")
PATHS = ("a", "another/of/more/letters")
# What the surroundings of a build are, two at a time: each build has one of the two.
AROUND = (
    {"LANG": "C", "TZ": "UTC", "PYTHONHASHSEED": "0"},
    {
        "LANG": "tr_TR.UTF-8",
        "LC_ALL": "tr_TR.UTF-8",
        "TZ": "Asia/Kathmandu",
        "PYTHONHASHSEED": "4711",
        "SOURCE_DATE_EPOCH": "1",
    },
)
UMASKS = (0o022, 0o077)


def compiled_from_c(tree: MiniTree) -> dict[str, bytes]:
    """Sidecars of the hook, but for that of the assembler's object: gas puts the directory among
    the names. (That of the module's last object is there only where its link had to read it.)"""
    others = ("entry.o.kbtf", "mini.mod.o.kbtf")
    return {name: what for name, what in sidecars(tree).items() if not name.endswith(others)}


def fill(cache: Path, of: Path, how: str) -> None:
    """Nothing, all that the first build left, or every second entry."""
    if how != "cold":
        shutil.copytree(of, cache)
    entries = sorted(cache.rglob("*.kbtf"))
    for entry in entries[::2] if how == "half" else ():
        entry.unlink()


def test_the_matrix(tmp_path: Path, built: MiniTree) -> None:
    """Jobs, state of the cache and path in every combination; surroundings and the order of the
    objects along with them."""
    expected, kept = products(built), compiled_from_c(built)
    table = []
    for i, (jobs, how, path) in enumerate(itertools.product(JOBS, CACHES, PATHS)):
        around, umask = AROUND[i // 2 % 2], UMASKS[i // 3 % 2]
        directory = tmp_path / str(i) / path
        directory.mkdir(parents=True)
        before = os.umask(umask)
        try:
            tree = mini_kernel(directory)
            fill(directory / "cache", built.directory.parent / "cache", how)
            tree.environ |= around
            tree.make(jobs)
        finally:
            os.umask(before)
        same = {
            "BTF": products(tree) == expected,
            "sidecars": compiled_from_c(tree) == kept,
            "any order": in_another_order(tree, Random(i)),
        }
        table.append(f"{jobs:5}{how:6}{path:25}{around['TZ']:16}{umask:03o}  {same}")
        assert all(same.values()), "\n".join(table)
    print("\n".join(table))
    assert len(table) == len(JOBS) * len(CACHES) * len(PATHS)
    assert len(kept) == len(BUILTIN + LIBRARY + MODULE) - 1


def in_another_order(tree: MiniTree, random: Random) -> bool:
    """Are the types the same when the objects are named in another order?"""
    objects = [line for line in tree.trace.read_text().splitlines() if line.endswith(".o")]
    random.shuffle(objects)
    output = tree.directory / "shuffled.btf"
    features = "--features=" + features_of(tree)
    done = kbuild_btf("link", ".tmp_vmlinux1", *objects, "-o", output, features, cwd=tree.directory)
    assert done.returncode == 0, done.stderr
    image = (tree.directory / ".tmp_vmlinux1").read_bytes()
    made = section(memoryview(image), ".BTF", ".tmp_vmlinux1")
    return made is not None and bytes(made) == output.read_bytes()


def features_of(tree: MiniTree) -> str:
    """What the tree asks for."""
    flags = (tree.directory / "scripts/pahole-flags.sh").read_text()
    return flags.split("--btf_features=")[1].split()[0].strip("\"'")


@pytest.mark.parametrize(("version", "same"), [("5", True), ("4", False)])
def test_what_the_path_is_in(tmp_path: Path, version: str, same: bool) -> None:
    """DWARF 4 has the directory among the names, so that the key is another. The BTF is not."""
    found = []
    for path in PATHS:
        (tmp_path / path).mkdir(parents=True)
        tree = mini_kernel(tmp_path / path)
        tree.replace("Makefile", " -g -Wall", f" -gdwarf-{version} -Wall")
        tree.make("-j2")
        found.append((products(tree), compiled_from_c(tree)))
    (one, kept), (other, again) = found
    assert one == other
    assert (kept == again) is same
