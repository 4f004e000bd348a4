# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The finished BTF of a module is kept by what it follows from, and changes nothing but time."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from minitree import HEAD, MiniTree, mini_kernel, products
from support import SCRIPTS, run

from kbuild_btf import _native
from kbuild_btf.cache import Cache

SCHED = "kernel/sched.c"
MODULE = "drivers/mini.ko"
MAGIC = b"kbtm\r\n\x1a\x01"
FEATURES = "--btf_features=default"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> MiniTree:
    """The mini-kernel, built once with a cache of its own."""
    tree = mini_kernel(tmp_path_factory.mktemp("mini"))
    tree.make("-j4")
    return tree


@pytest.fixture
def tree(built: MiniTree, tmp_path: Path) -> MiniTree:
    """A copy of it, and of its cache. Other inodes: every object is looked at once more."""
    copy = tmp_path / "tree"
    shutil.copytree(built.directory, copy, symlinks=True)
    shutil.copytree(built.environ["KBUILD_BTF_CACHE"], tmp_path / "cache")
    environ = {**built.environ, "KBUILD_BTF_CACHE": str(tmp_path / "cache")}
    return MiniTree(copy, environ)


def counts(tree: MiniTree) -> tuple[int, int]:
    """Modules that were made so far, and modules that were taken from the cache."""
    found = Cache(Path(tree.environ["KBUILD_BTF_CACHE"])).statistics(0)
    return found.modules_encoded, found.modules_reused


def by(before: tuple[int, int], after: tuple[int, int]) -> tuple[int, int]:
    return after[0] - before[0], after[1] - before[1]


def entries(tree: MiniTree) -> list[Path]:
    """The entries of modules."""
    cache = Cache(Path(tree.environ["KBUILD_BTF_CACHE"]))
    return [e.path for e in cache.entries() if e.path.read_bytes().startswith(MAGIC)]


def front(tree: MiniTree, *options: str, status: int = 0, **environ: str) -> str:
    """What make runs for the module; its standard output and error."""
    done = run(
        SCRIPTS / "kbuild-btf-pahole",
        *("-J", *(options or (FEATURES,)), "--btf_base", "vmlinux", MODULE),
        cwd=tree.directory,
        env={**tree.environ, **environ},
    )
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


def touch(tree: MiniTree) -> None:
    (tree.directory / SCHED).touch()


def body(tree: MiniTree) -> None:
    """Of a function in vmlinux. Its BTF stays."""
    tree.replace(SCHED, "{\n\treturn ", "{\n\treturn 0 * 7 + ")


def new_type(tree: MiniTree) -> None:
    path = tree.directory / SCHED
    path.write_text(path.read_text() + "struct aaa_new { int x; } aaa_new;\n")


def of_module(tree: MiniTree) -> None:
    path = tree.directory / "drivers/mini_main.c"
    path.write_text(path.read_text() + "struct in_module { int x; } in_module;\n")


# What is done, and how many modules are made again for it, or taken from the cache.
ROWS = [
    pytest.param(touch, (0, 1), id="touch"),
    pytest.param(body, (0, 1), id="body of a function of vmlinux"),
    pytest.param(new_type, (1, 0), id="new type in vmlinux"),
    pytest.param(of_module, (1, 0), id="source of the module"),
]


@pytest.mark.parametrize(("edit", "made"), ROWS)
def test_what_is_made_again(
    tree: MiniTree, tmp_path: Path, edit: Callable[[MiniTree], None], made: tuple[int, int]
) -> None:
    before = counts(tree)
    edit(tree)
    tree.make("-j4")
    assert by(before, counts(tree)) == made
    times = tree.times("vmlinux", MODULE)
    assert times[MODULE] > times["vmlinux"]
    tree.make("-j4")
    assert tree.times("vmlinux", MODULE) == times, "nothing is left to do"
    fresh = mini_kernel(tmp_path / "fresh")
    edit(fresh)
    fresh.make("-j4", KBUILD_BTF_CACHE="")
    assert products(tree) == products(fresh)


def test_a_build_from_scratch_takes_the_module_from_the_cache(
    tree: MiniTree, built: MiniTree
) -> None:
    tree.make("clean")
    before = counts(tree)
    tree.make("-j4")
    assert by(before, counts(tree)) == (0, 1)
    assert products(tree) == products(built)


def test_a_module_that_has_its_btf_only_becomes_newer(tree: MiniTree) -> None:
    """As in a kernel that does not link a module again when vmlinux is newer."""
    path = tree.directory / MODULE
    front(tree)
    content, before = path.read_bytes(), path.stat()
    counted = counts(tree)
    front(tree)
    after = path.stat()
    assert path.read_bytes() == content
    assert after.st_mtime_ns > before.st_mtime_ns
    assert after.st_ino == before.st_ino, "it was not written again"
    assert by(counted, counts(tree)) == (0, 1)


def test_one_line_for_who_wants_to_see_all(tree: MiniTree) -> None:
    front(tree)
    assert front(tree) == ""
    said = front(tree, KBUILD_VERBOSE="1").splitlines()
    assert said[0].startswith(f"  BTF     {MODULE}: from the cache, ")
    # It cannot tell of functions that are left out, so that asks for the long way.
    before = counts(tree)
    front(tree, FEATURES, "--verbose")
    assert counts(tree) == before


def test_what_is_asked_for_is_in_the_key(tree: MiniTree) -> None:
    made: list[list[bytes | None]] = []
    for options in (
        (FEATURES,),
        ("--btf_features=var,float,type_tag,enum64",),
        (FEATURES, "--btf_features=distilled_base"),
        (FEATURES, "--lang_exclude=c11,c99"),
    ):
        found: list[list[bytes | None]] = []
        for cache in ("", tree.environ["KBUILD_BTF_CACHE"], tree.environ["KBUILD_BTF_CACHE"]):
            front(tree, *options, KBUILD_BTF_CACHE=cache)
            module = str(tree.directory / MODULE)
            found.append([_native.read_section(module, name) for name in (".BTF", ".BTF.base")])
        assert found[0] == found[1] == found[2], "made, made and kept, from the cache"
        made.append(found[0])
    assert made[0] != made[2]
    assert made[0] != made[3]


def test_damaged_entries_are_not_used(tree: MiniTree, built: MiniTree) -> None:
    front(tree)
    expected = _native.read_section(str(tree.directory / MODULE), ".BTF")
    foreign = tree.directory / "kernel/.tmp_sched.o.kbtf"
    sound = {path: path.read_bytes() for path in entries(tree)}
    assert sound
    for damage in range(6):
        for path, content in sound.items():
            broken = bytearray(content)
            match damage:
                case 0:
                    broken[-1] ^= 1
                case 1:
                    broken[HEAD + 20] ^= 1
                case 2:
                    del broken[len(broken) // 2 :]
                case 3:
                    broken.clear()
                case 4:
                    broken[:] = foreign.read_bytes()
                case 5:
                    broken[8] ^= 1
            path.write_bytes(broken)
        before = counts(tree)
        front(tree)
        assert by(before, counts(tree)) == (1, 0)
        assert _native.read_section(str(tree.directory / MODULE), ".BTF") == expected
        front(tree)
        assert by(before, counts(tree)) == (1, 1), "it was replaced"


def test_verify_knows_these_entries(tree: MiniTree) -> None:
    front(tree)
    cache = Cache(Path(tree.environ["KBUILD_BTF_CACHE"]))
    assert cache.verify().entries == 0
    (path, *_) = entries(tree)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert cache.verify().entries == 1
    assert path not in entries(tree)


def test_a_wrong_base_is_refused_although_the_cache_knows_the_module(tree: MiniTree) -> None:
    front(tree)
    image = tree.directory / "vmlinux"
    content = image.read_bytes()
    image.unlink()
    assert "vmlinux" in front(tree, status=1)
    image.write_bytes(content[: len(content) // 2])
    assert "vmlinux" in front(tree, status=1)
