# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What pytest sets up for every test."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings
from kernel import Kernel
from kernel import directory as kernel_directory
from minitree import MiniTree, mini_kernel
from support import CI, PAHOLE, require

# The same examples in every run of CI; new ones on people's machines.
settings.register_profile("ci", derandomize=True, deadline=None, database=None)
settings.register_profile("here", deadline=None)
settings.load_profile("ci" if CI else "here")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or fills the cache of the person who runs it."""
    path = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("KBUILD_BTF_CACHE", str(path))
    for name in [name for name in os.environ if name.startswith("KBUILD_BTF_")]:
        if name not in ("KBUILD_BTF_CACHE", "KBUILD_BTF_TEST_DIR"):
            monkeypatch.delenv(name)
    return path


@pytest.fixture(scope="session")
def kernel(pytestconfig: pytest.Config) -> Kernel:
    """A real Linux 6.12 with the small configuration, built with the hook and the link step.

    It lies in `kernel.directory()`, and is used again by the next run. When our programs have
    changed since, the encoding and the links are done again, not the compiling.
    """
    for tool in ("make", "gcc", "ld", "flex", "bison", "bc", PAHOLE):
        require(tool)
    directory = kernel_directory()
    directory.mkdir(parents=True, exist_ok=True)
    tree = Kernel(directory)
    tree.forget_what_other_programs_made()
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        if not tree.build.exists():
            print(f"\nbuilding Linux in {directory}, once (about 8 minutes on 2 cores)")
        elif not (tree.build / "vmlinux").exists():
            print(f"\nlinking Linux again in {directory}")
        tree.prepare()
    return tree


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> MiniTree:
    """Built once with -j4; tests that use it only look."""
    tree = mini_kernel(tmp_path_factory.mktemp("mini"))
    tree.make("-j4")
    return tree


@pytest.fixture
def tree(tmp_path: Path, built: MiniTree) -> MiniTree:
    """A built tree to change: a copy of `built`, times of files and all, with its own cache."""
    shutil.copytree(built.directory, tmp_path / "tree", copy_function=shutil.copy2)
    shutil.copytree(built.directory.parent / "cache", tmp_path / "cache")
    copy = MiniTree(tmp_path / "tree", dict(built.environ))
    copy.environ["KBUILD_BTF_CACHE"] = str(tmp_path / "cache")
    return copy
