# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What pytest sets up for every test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings
from kernel import DIRECTORY, Kernel
from minitree import MiniTree, mini_kernel
from support import CI, PAHOLE, missing, require

# The marker, and what its tests are called together.
KERNEL = "kernel"

# The same examples in every run of CI; new ones on people's machines.
settings.register_profile("ci", derandomize=True, deadline=None, database=None)
settings.register_profile("here", deadline=None)
settings.load_profile("ci" if CI else "here")


@pytest.hookimpl(tryfirst=True)  # the workers ask for groups in this hook, too
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several workers a file's tests share one, as they share what was made for them; all that
    need the kernel do, since they make in its tree. These take longest, and so come first."""
    for item in items:
        group = KERNEL if item.get_closest_marker(KERNEL) else item.path.stem
        item.add_marker(pytest.mark.xdist_group(group))
    long = (KERNEL, "test_worlds")

    def place(item: pytest.Item) -> int:
        group = item.get_closest_marker("xdist_group")
        assert group
        return long.index(group.args[0]) if group.args[0] in long else len(long)

    items.sort(key=place)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests have counted."""
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{report.nodeid}: {name}: {value}")


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
def kernel(pytestconfig: pytest.Config) -> Iterator[Kernel]:
    """A real Linux 6.12 with the small configuration, built with the hook and the link step.

    `make kernel` builds it. When our programs have changed since, the encoding and the links are
    done again here, not the compiling. Tests change the tree, so that another pytest waits for it.
    """
    for tool in ("make", "gcc", "ld", "flex", "bison", "bc", PAHOLE):
        require(tool)
    tree = Kernel(DIRECTORY)
    if not tree.built:
        missing(f"no kernel in {DIRECTORY}: make kernel builds it")
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with FileLock(DIRECTORY / "lock"):
        with capture.global_and_fixture_disabled():
            tree.prepare()
        yield tree


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
