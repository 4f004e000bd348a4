# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""64 hooks and links at once, on two trees with one cache, which is cleaned meanwhile.

On each file system that can be had here: renames, links and times of change are its own.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from minitree import BUILTIN, LIBRARY, MODULE, MiniTree, sidecar, sidecars
from support import SCRIPTS, require

from kbuild_btf import cache as module
from kbuild_btf.cache import Cache

OBJECTS = BUILTIN + LIBRARY + MODULE
# Of each tree: the hooks of all objects twice, as two makes would run them, and as many links as
# make 32 of it.
HOOKS, LINKS = 2 * OBJECTS, 32 - 2 * len(OBJECTS)
ROUNDS = 30


@contextmanager
def where_tests_are(directory: Path) -> Iterator[Path]:
    yield directory


@contextmanager
def in_memory(directory: Path) -> Iterator[Path]:
    memory = Path("/dev/shm")
    if not memory.is_dir():
        pytest.skip("no /dev/shm")
    with tempfile.TemporaryDirectory(dir=memory) as place:
        yield Path(place)


@contextmanager
def overlay(directory: Path) -> Iterator[Path]:
    """What is in the directory, and all that is written beside it: as a container sees it. Mounted
    in a name space of its own, into which /proc leads."""
    require("unshare")
    mount = f"""
    mount -t tmpfs kbuild-btf /mnt && mkdir /mnt/upper /mnt/work /mnt/all &&
    mount -t overlay -o userxattr,lowerdir='{directory}',upperdir=/mnt/upper,workdir=/mnt/work \
        kbuild-btf /mnt/all && echo mounted && exec cat
    """
    namespace = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount]
    with subprocess.Popen(
        namespace, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        assert holder.stderr
        if holder.stdout.readline() != "mounted\n":
            pytest.skip(f"no overlay can be mounted: {holder.stderr.read().strip()}")
        # It ends when nobody holds its input.
        yield Path(f"/proc/{holder.pid}/root/mnt/all")


def started(tree: MiniTree, number: int) -> list[subprocess.Popen[str]]:
    """All hooks and links of one tree."""

    def start(*argv: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(word) for word in argv],
            cwd=tree.directory,
            env=tree.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    hooks = [start(SCRIPTS / "kbuild-btf-hook", name) for name in HOOKS]
    front = (SCRIPTS / "kbuild-btf-pahole", "-J", "-j1")
    links = []
    for i in range(LINKS):
        output = f"--btf_encode_detached={number}.{i}.btf"
        what = ("--btf_base", "vmlinux", "drivers/mini.ko") if i % 2 else (".tmp_vmlinux1",)
        links.append(start(*front, output, *what))
    return hooks + links


def all_at_once(trees: list[MiniTree], number: int) -> None:
    """Run all, from objects beside which nothing lies; each ends well and says nothing wrong."""
    for tree in trees:
        for name in OBJECTS:
            (tree.directory / sidecar(name)).unlink(missing_ok=True)
        (tree.directory / ".tmp_vmlinux.btf-index").unlink(missing_ok=True)
    running = [process for tree in trees for process in started(tree, number)]
    assert len(running) == 64
    for process in running:
        _, said = process.communicate(timeout=120)
        assert (process.returncode, said) == (0, ""), process.args


def keys(cache: Cache) -> set[str]:
    return {entry.path.name for entry in cache.entries()}


@pytest.mark.parametrize("system", [where_tests_are, in_memory, overlay], ids=lambda s: s.__name__)
def test_the_same_bytes_and_no_entry_is_lost(
    system: Callable[[Path], AbstractContextManager[Path]],
    built: MiniTree,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    expected = {n: c for n, c in sidecars(built).items() if "mini.mod.o" not in n}
    # Below an overlay the trees are there before.
    beneath = tmp_path / "beneath"
    for name in ("one", "two"):
        shutil.copytree(built.directory, beneath / name, copy_function=shutil.copy2)
    evicted: set[str] = set()
    real = module._removed

    def removed(path: Path) -> bool:
        evicted.add(path.name)
        return real(path)

    monkeypatch.setattr(module, "_removed", removed)
    with system(beneath) as place:
        if place != beneath and not (place / "one").exists():
            shutil.copytree(beneath, place, copy_function=shutil.copy2, dirs_exist_ok=True)
        environ = {**built.environ, "KBUILD_BTF_CACHE": str(place / "cache")}
        trees = [MiniTree(place / name, dict(environ)) for name in ("one", "two")]
        cache = Cache(place / "cache")
        all_at_once(trees, 0)
        full = keys(cache)
        assert len(full) >= len(expected)
        assert not evicted
        links = {path.read_bytes() for tree in trees for path in tree.directory.glob("0.*.btf")}
        assert len(links) == 2, "vmlinux and the module"

        ended = threading.Event()
        cleaned = 0

        def clean() -> None:
            nonlocal cleaned
            while not ended.is_set():
                cache.clean(20_000 if cleaned % 2 else 0)
                cache.verify()
                cleaned += 1
                time.sleep(0.01)

        cleaner = threading.Thread(target=clean)
        cleaner.start()
        try:
            for number in range(1, ROUNDS):
                all_at_once(trees, number)
        finally:
            ended.set()
            cleaner.join()
        assert cleaned > ROUNDS
        for tree in trees:
            found = sidecars(tree)
            assert {name: found.get(name) for name in expected} == expected
            made = list(tree.directory.glob("*.btf"))
            assert len(made) >= ROUNDS * LINKS
            assert {path.read_bytes() for path in made if path.name[0].isdigit()} == links
            left = [path.name for path in tree.directory.rglob(".tmp_*.kbtf.*")]
            assert left == []
        assert full - keys(cache) <= evicted
        assert cache.verify().entries == 0

        all_at_once(trees, ROUNDS)
        assert keys(cache) == full, "what was evicted is there again"
        asked = cache.statistics(0)
        assert (asked.damaged, asked.errors) == (0, 0)
    record_property("runs", 64 * (ROUNDS + 1))
    record_property("clean-ups", cleaned)
    record_property("entries evicted", len(evicted & full))
