# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Time and memory follow the size of what is read, whatever it says."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from btfwriter import btf, write
from families import FAMILIES, LISTS
from support import SCRIPTS, compiled

from kbuild_btf.btf import (
    Array,
    Const,
    FuncProto,
    Int,
    Member,
    Param,
    Ptr,
    Struct,
    Type,
    Typedef,
    Union,
)
from kbuild_btf.errors import Error

# Objects of the two sizes that are compared.
SMALL, LARGE = 1500, 6000


def cost(memory: int, *argv: str | Path, cwd: Path | None = None) -> float:
    """Processor seconds of a program that may take so many bytes, and must not crash."""
    command = shlex.join(map(str, argv))
    limited = f"ulimit -d {memory // 1024}; ulimit -t 100; exec {command}"
    environ = {**os.environ, "KBUILD_BTF_CACHE": ""}
    started = subprocess.Popen(
        ["sh", "-c", limited],
        cwd=cwd,
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert started.stderr
    said = started.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(started.pid, 0)
    started.stderr.close()
    started.returncode = status
    assert os.WIFEXITED(status), said
    assert os.WEXITSTATUS(status) in (0, 1, 2), said
    assert said.count("\n") <= 2, said
    assert "internal error" not in said
    assert "memory" not in said
    assert len(said) < 3000
    return usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize("name", FAMILIES)
def test_objects_that_grow(name: str, tmp_path: Path) -> None:
    """Four times the size takes far less than sixteen times as long."""
    path, output = tmp_path / "a.o", tmp_path / "a.btf"
    took: list[list[float]] = []
    for number in (SMALL, LARGE):
        path.write_bytes(FAMILIES[name](number))
        memory = (64 << 20) + 8 * path.stat().st_size
        took.append(
            [
                cost(memory, SCRIPTS / "kbuild-btf-hook", "--inline", path),
                cost(
                    memory,
                    SCRIPTS / "kbuild-btf-pahole",
                    "-J",
                    "-j1",
                    "--btf_features=default,inline",
                    f"--btf_encode_detached={output}",
                    path,
                ),
            ]
        )
        path.with_name(".tmp_a.o.kbtf").unlink(missing_ok=True)
    for small, large in zip(*took, strict=True):
        assert large < 8 * small + 0.3, took


# Verifying reads DWARF in Python: with objects of a fourth.
@pytest.mark.parametrize("name", FAMILIES)
def test_objects_that_grow_are_asked_about(name: str, tmp_path: Path) -> None:
    path, known = tmp_path / "a.o", tmp_path / "a.btf"
    known.write_bytes(write([Int(1, "int", 4, Int.SIGNED, 0, 32)]))
    program = SCRIPTS / "kbuild-btf"
    took: list[list[float]] = []
    for number in (SMALL // 4, LARGE // 4):
        path.write_bytes(FAMILIES[name](number))
        memory = (128 << 20) + 8 * path.stat().st_size
        took.append(
            [
                cost(memory, program, "explain", "f", path, path),
                cost(memory, program, "verify", "--no-kernel", f"--btf={known}", path),
            ]
        )
    for small, large in zip(*took, strict=True):
        assert large < 8 * small + 0.3, took


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_objects_that_grow(name: str, tmp_path: Path) -> None:
    """What they name is there, but is not what the image says."""
    for other in ("a", "b"):
        source = tmp_path / f"{other}.c"
        source.write_text(f"int {other};")
        compiled(source, source.with_suffix(".o"))
    for linked in (".tmp_vmlinux1", "m.ko"):
        shutil.copy(tmp_path / "a.o", tmp_path / linked)
    took = []
    for number in (SMALL, LARGE):
        size = 0
        for file, content in LISTS[name](number).items():
            (tmp_path / file).write_bytes(content)
            size += len(content)
        linked = "m.ko" if (tmp_path / "m.mod").exists() else ".tmp_vmlinux1"
        # An object that is named is read as often as it is.
        memory = (64 << 20) + 8 * size + 4096 * number
        argv = ("-J", "-j1", "--btf_encode_detached=out", linked)
        took.append(cost(memory, SCRIPTS / "kbuild-btf-pahole", *argv, cwd=tmp_path))
    small, large = took
    assert large < 8 * small + 0.3, took


# --- what is written out of BTF -------------------------------------------------------------------


def twice(number: int, make: Callable[[int, int], Type]) -> list[Type]:
    """Types from 2 on, each of which mentions the one before it as often as it likes."""
    types: list[Type] = [Int(1, "int", 4, Int.SIGNED, 0, 32)]
    types += [make(i, i - 1) for i in range(2, number + 2)]
    return types


def unnamed_structs(number: int) -> list[Type]:
    def make(this: int, last: int) -> Type:
        members = (Member("a", last, 0, 0), Member("b", last, 0, 0))
        return Union(this, "s" if this > number else "", 4, members, False)

    return twice(number, make)


def named_structs(number: int) -> list[Type]:
    def make(this: int, last: int) -> Type:
        members = (Member("a", last, 0, 0), Member("b", last, 0, 0))
        return Struct(this, "s" if this > number else f"s{this}", 4, members, False)

    return twice(number, make)


def prototypes(number: int) -> list[Type]:
    """Pointers to functions that take two of the pointers before."""

    def make(this: int, last: int) -> Type:
        if this % 2:
            return Ptr(this, "", last)
        return FuncProto(this, "", 0, (Param("a", last), Param("b", last)))

    types = twice(2 * number, make)
    return [*types, Typedef(len(types) + 1, "s", len(types))]


def chain_of_typedefs(number: int) -> list[Type]:
    types = twice(500 * number, lambda this, last: Typedef(this, f"t{this}", last))
    return [*types, Typedef(len(types) + 1, "s", len(types))]


def chain_of_pointers(number: int) -> list[Type]:
    types = twice(500 * number, lambda this, last: Ptr(this, "", last))
    return [*types, Typedef(len(types) + 1, "s", len(types))]


def chain_of_arrays(number: int) -> list[Type]:
    types = twice(500 * number, lambda this, last: Array(this, "", last, 1, 3))
    return [*types, Typedef(len(types) + 1, "s", len(types))]


def circle_of_pointers(number: int) -> list[Type]:
    types: list[Type] = [Ptr(i, "", i % number + 1) for i in range(1, number + 1)]
    return [*types, Typedef(number + 1, "s", 1)]


def circle_of_constants(number: int) -> list[Type]:
    types: list[Type] = [Const(i, "", i % number + 1) for i in range(1, number + 1)]
    return [*types, Typedef(number + 1, "s", 1)]


def a_prototype_of_itself(number: int) -> list[Type]:
    params = tuple(Param("", 2) for _ in range(number))
    return [FuncProto(1, "", 0, params), Ptr(2, "", 1), Typedef(3, "s", 2)]


def a_struct_in_itself(number: int) -> list[Type]:
    members = tuple(Member(f"m{i}", 1, 0, 0) for i in range(number))
    return [Struct(1, "s", 4, members, False)]


def a_hole_of_gigabytes(number: int) -> list[Type]:
    byte = Int(1, "char", 1, Int.SIGNED, 0, 8)
    return [byte, Struct(2, "s", 0xFFFFFFFF, (Member("m", 1, 0xFFFFFF00, 0),), False)]


EXPLOSIONS = [
    unnamed_structs,
    named_structs,
    prototypes,
    chain_of_typedefs,
    chain_of_pointers,
    chain_of_arrays,
    circle_of_pointers,
    circle_of_constants,
    a_prototype_of_itself,
    a_struct_in_itself,
    a_hole_of_gigabytes,
]


@pytest.mark.parametrize(
    "verb", ["dump", "dump --format c", "dump -C s", "dump -C s --json", "diff"]
)
@pytest.mark.parametrize("make", EXPLOSIONS, ids=lambda make: make.__name__)
def test_what_is_written_of_small_btf(
    make: Callable[[int], list[Type]], verb: str, tmp_path: Path
) -> None:
    """Forty types of which each mentions the last twice: a terabyte, if all were written."""
    path, other = tmp_path / "a.btf", tmp_path / "b.btf"
    path.write_bytes(write(make(40)))
    other.write_bytes(write([*make(39), Int(1, "more", 4, 0, 0, 32)]))
    files = [path, other] if verb == "diff" else [path]
    command = [SCRIPTS / "kbuild-btf", *verb.split(), *files]
    limited = "ulimit -d 1000000; ulimit -t 30; exec " + shlex.join(map(str, command))
    done = subprocess.run(["sh", "-c", limited], capture_output=True, text=True, timeout=300)
    assert done.returncode in (0, 1, 2), done.stderr[-300:]
    assert "Traceback" not in done.stderr
    assert len(done.stderr) < 2000
    assert len(done.stdout) < 100_000_000


@pytest.mark.parametrize("make", EXPLOSIONS, ids=lambda make: make.__name__)
def test_str_of_small_btf(make: Callable[[int], list[Type]]) -> None:
    for found in list(btf(make(40)))[-3:]:
        with suppress(Error):
            assert len(str(found)) < 100_000_000
