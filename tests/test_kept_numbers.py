# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What is kept, with numbers that nobody wrote there and a checksum that is right."""

from __future__ import annotations

import random
import shutil
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
import xxhash
from support import SCRIPTS, compiled, require, run

from kbuild_btf import _native
from kbuild_btf.btf import Btf

CHECKED_FROM = 48
"""Magic number, checksum and stamp (docs/sidecar.md)."""
LEAD = 112
SIDECAR_OWN, SIDECAR_ARRAYS = 48, 11

SOURCES = {
    "a.c": """
        struct list { struct list *next; int state : 3; };
        union either { long number; struct list *list; };
        enum colour { RED, GREEN = 7 };
        typedef int (*callback)(struct list *, union either, ...);
        int __attribute__((section(".data..percpu"))) counter = 3;
        static inline int state(struct list *l, int more) { return l->state + more; }
        int take(struct list *l, callback c, enum colour e) { return state(l, e) + state(l, 3); }
    """,
    "b.c": """
        struct list { struct list *next; int state : 3; };
        struct own { struct list inside; const char *name[4]; double d; };
        static int __attribute__((noinline)) hidden(struct own *o) { return o->inside.state; }
        static inline int member(struct list *l, int by) { return l->state * by; }
        int other(struct own *o) { return hidden(o) + member(&o->inside, 7); }
    """,
}


@dataclass
class Kept:
    """A file that is kept: its arrays, to be changed."""

    data: bytearray
    own: int
    arrays: int

    def array(self, number: int) -> tuple[int, int]:
        """Start and length in bytes."""
        start, length = struct.unpack_from("<2Q", self.data, LEAD + self.own + 16 * number)
        return start, length

    def changed(self, number: int, word: int, value: int) -> bytes:
        """With another 32-bit word in an array, and the right checksum."""
        start, _ = self.array(number)
        data = bytearray(self.data)
        struct.pack_into("<I", data, start + 4 * word, value & 0xFFFFFFFF)
        struct.pack_into("<Q", data, 8, xxhash.xxh3_64_intdigest(data[CHECKED_FROM:]))
        return bytes(data)

    def mutations(self, chance: random.Random, count: int) -> list[tuple[int, bytes]]:
        """(number of the array, the file), so many of each array."""
        found = []
        for number in range(self.arrays):
            start, length = self.array(number)
            for _ in range(count if length >= 4 else 0):
                word = chance.randrange(length // 4)
                (was,) = struct.unpack_from("<I", self.data, start + 4 * word)
                values = [0, 1, was + 1, was - 1, was ^ 1 << chance.randrange(32), 0xFFFFFFFF]
                value = chance.choice([*values, chance.randrange(1 << 32), chance.randrange(100)])
                if value & 0xFFFFFFFF != was:
                    found.append((number, self.changed(number, word, value)))
        return found


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two objects, what they are linked to, and a module."""
    require("gcc", "ld")
    directory = tmp_path_factory.mktemp("kept")
    for name, text in SOURCES.items():
        (directory / name).write_text(text)
        compiled(directory / name, directory / name.replace(".c", ".o"), "-O2")
    done = run("ld", "-r", "-o", "image", "a.o", "b.o", cwd=directory)
    assert done.returncode == 0, done.stderr
    return directory


FEATURES = "default,inline"


def link(tree: Path, cache: Path | None = None) -> bytes:
    objects = [tree / "a.o", tree / "b.o"]
    return _native.link(tree / "image", objects=objects, features=FEATURES, cache=cache).btf


# Whatever stands there decides what the BTF says: who may write it is trusted (docs/security.md).
MEANINGS = {0, 2, 3, 4, 5, 6, 7, 8, 9, 10}


def outcome(tree: Path, right: bytes) -> str:
    try:
        made = link(tree)
    except _native.Error as error:
        text = str(error)
        assert "internal error" not in text, text
        assert "\n" not in text
        assert len(text) < 2000
        return "message"
    if made == right:
        return "same"
    assert all(found.id for found in Btf.from_bytes(made))
    return "another"


@pytest.fixture
def copied(tree: Path, tmp_path: Path) -> Path:
    shutil.copytree(tree, tmp_path, dirs_exist_ok=True)
    for name in ("a.o", "b.o"):
        assert _native.write_sidecar(tmp_path / name, inline=True) == "miss"
    return tmp_path


def kept_of_a(tree: Path) -> Kept:
    data = (tree / ".tmp_a.o.kbtf").read_bytes()
    return Kept(bytearray(data), SIDECAR_OWN, SIDECAR_ARRAYS)


def test_numbers_of_a_sidecar(copied: Path) -> None:
    chance = random.Random(17)
    right = link(copied)
    kept = kept_of_a(copied)
    found: Counter[tuple[int, str]] = Counter()
    for number, data in kept.mutations(chance, 300):
        (copied / ".tmp_a.o.kbtf").write_bytes(data)
        how = outcome(copied, right)
        found[number, how] += 1
        assert how != "another" or number in MEANINGS, number
    assert sum(found.values()) > 1500
    assert sum(n for (_, how), n in found.items() if how == "same") > 500


# The first name of a type, the first start, the end of the unit, the name of a function.
DAMAGES = [(0, 0), (1, 1), (4, 2), (5, 4)]


@pytest.mark.parametrize(("number", "word"), DAMAGES)
def test_numbers_of_an_entry(number: int, word: int, copied: Path, own_cache: Path) -> None:
    """Those that lead nowhere are a miss, which is counted and replaced."""
    right = link(copied)
    (copied / ".tmp_b.o.kbtf").unlink()
    (copied / ".tmp_a.o.kbtf").unlink()
    assert link(copied, own_cache) == right
    sizes = {path: path.read_bytes() for path in (own_cache / "v1").rglob("*.kbtf")}
    assert len(sizes) == 2
    for path, data in sizes.items():
        kept = Kept(bytearray(data), SIDECAR_OWN, SIDECAR_ARRAYS)
        path.write_bytes(kept.changed(number, word, 0x7FFFFFFF))
    assert link(copied, own_cache) == right
    assert {path: path.read_bytes() for path in sizes} == sizes
    assert "d" in (own_cache / "v1/events").read_text()


@pytest.fixture
def module(tmp_path: Path) -> tuple[Path, Path]:
    """A module without its objects, as a package of debug information has it, and its base."""
    for name, text in SOURCES.items():
        (tmp_path / name).write_text(text)
        compiled(tmp_path / name, tmp_path / f"{name[0]}.o", "-O1")
    base = tmp_path / "vmlinux.btf"
    base.write_bytes(_native.encode(tmp_path / "a.o").btf)
    return (tmp_path / "b.o").rename(tmp_path / "b.ko"), base


def of_module(module: tuple[Path, Path], *before: str) -> str:
    """What `kbuild-btf-pahole` says, started by `before`; its BTF is b.btf."""
    path, base = module
    front = SCRIPTS / "kbuild-btf-pahole"
    output = f"--btf_encode_detached={path.with_suffix('.btf')}"
    done = run(*before, front, "-J", "--btf_base", base, output, path)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_numbers_of_an_index_when_a_module_is_encoded(module: tuple[Path, Path]) -> None:
    of_module(module)
    right = module[0].with_suffix(".btf").read_bytes()
    index = module[1].with_name(".tmp_vmlinux.btf.btf-index")
    whole = index.read_bytes()
    data = bytearray(whole)
    # The last array's last words: they lead to types and strings of the base.
    for at in range(len(data) - 400, len(data), 4):
        struct.pack_into("<I", data, at, 0x7FFFFFFF)
    struct.pack_into("<Q", data, 8, xxhash.xxh3_64_intdigest(data[CHECKED_FROM:]))
    index.write_bytes(data)
    said = of_module(module)
    assert "internal error" not in said
    assert module[0].with_suffix(".btf").read_bytes() == right


def test_a_module_without_its_objects_does_not_cost_a_look_at_the_whole_index(
    module: tuple[Path, Path], tmp_path: Path
) -> None:
    require("strace")
    of_module(module)
    log = tmp_path / "calls"
    of_module(module, "strace", "-f", "-e", "trace=openat", "-o", str(log))
    # That takes the base, too, which is opened once for what it is.
    assert log.read_text().count('/vmlinux.btf"') == 1
