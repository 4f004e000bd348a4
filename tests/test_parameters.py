# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Odd parameters: which structs count as packed, and what a location says of the entry.

What is expected was found by trial with pahole, and is tried again where a recent one is installed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from dwarfwriter import sleb, uleb
from support import recent_pahole
from test_signatures import (
    CONSTANT,
    FRAME,
    RBX,
    RDI,
    RSI,
    STACK_VALUE,
    Location,
    Param,
    high,
    image,
    low,
    ours,
    theirs,
)
from toolchains import CLANGS, GCC, Toolchain, pahole_says

from kbuild_btf import Btf, _native
from kbuild_btf.btf import Func

# Members of a struct that goes by the stack. A struct that is not laid out as its members'
# alignment asks, but has no holes, is packed, and then the function has no FUNC.
PACKED = """
char a; long b; long c;
long a; long b; char c;
int a; char b;
char a; int b;
char a; int b[3];
int a[3][2]; char b;
char a; void *b;
void (*a)(void); char b;
_Bool a; short b;
double a; char b;
long double a; long b;
__int128 a; char b;
long a; __int128 b; long c;
const int a; char b;
int a; char b; int c[];
char a; int b[0];
char a; struct { int b; } c;
char a; union { int b; } c;
struct { int a; long b; } c; char d;
struct { struct { int a; long b; } c; } d; char e;
int a:24;
int a:5;
long a:33; int b;
int a:5; int b:11; char c;
int a:5; int b:30; char c;
int a:24; int b;
int a; long b:40; char c, d, e;
int a:4; int :12; char b; short c;
int a:8; int :24; char b; int c;
int a:20; int b:20; int :24; char c; short d;
char a; int b:30; int c:30; int :16;
int a:4; char b:8; char :8; char c; short d; char e;
long a:4; char b; int c:8; char d:8; short e; int f;
"""

NOT_PACKED = """
long a; long b; long c;
char a[20];
char a;
int a;
struct { char a[5]; } b; char c;
union { char a[5]; } b; char c;
int __attribute__((vector_size(16))) a; int b;
int a; char b; int :0;
char a; int b:24;
int a:24; int b:24; int c:16;
int a; long b:32;
long a:4; short :12; short b; int :8; char c; char d; int e;
int a:8; int :32; char b; int c;
char a:4; int :12; char b; short c;
int a:20; int b:20; int :32; char c; short d;
char a; int b:30; int c:30; int :32; char d; short e;
char a:6; char b:6; char :8; char c; short d;
int a:4; int :12; char b; char :8; short c;
char a; long :40; int b:8; short c;
"""

PLACED_BY_HAND = """
char a; int b __attribute__((aligned(2)));
char a; long b __attribute__((aligned(4))); char c;
"""

MEMBERS = ["char", "short", "int", "long", "void *", "double", "_Bool"]


def generated(chance: random.Random, depth: int = 0) -> str:
    """Members of a struct, of any kind."""

    def member(name: str) -> str:
        of, form = chance.choice(MEMBERS), chance.randrange(6 if depth < 2 else 4)
        if form < 2:
            return f"{of} {name};"
        if form == 2:
            return f"{of} {name}[{chance.randrange(5)}];"
        if form == 3:
            unit = chance.choice(MEMBERS[:4])
            return f"{unit} {chance.choice([name, ''])}:{chance.randint(1, 8)};"
        kind = chance.choice(["struct", "union"])
        packed = attribute(chance.random() < 0.5)
        return f"{kind} {packed} {{ {generated(chance, depth + 1)} }} {name};"

    names = (f"m{depth}{i}" for i in range(chance.randint(1, 5)))
    return "char first; " * (depth > 0) + " ".join(map(member, names))


def attribute(packed: bool) -> str:
    return "__attribute__((packed))" * packed


def told_with(
    structs: Sequence[str], toolchain: Toolchain, directory: Path
) -> tuple[Path, set[int]]:
    """A file with a function for each, which takes it by the stack, and which have a FUNC."""
    source = directory / "structs.c"
    functions = (
        f"{struct.replace('@', str(i))};\n"
        f"int f{i}(long a, long b, long c, long d, long e, long f, struct s{i} s)\n"
        "{ return *(char *)&s; }\n"
        for i, struct in enumerate(structs)
    )
    source.write_text("".join(functions))
    elf = toolchain.compile(source, source.with_suffix(".o"), "-O2", "-w")
    return elf, told(Btf.from_bytes(_native.encode(str(elf)).btf))


def told(btf: Btf) -> set[int]:
    return {int(t.name[1:]) for t in btf if isinstance(t, Func)}


def told_by_pahole(elf: Path) -> set[int]:
    _, output = pahole_says(elf, elf.with_suffix(".pahole"))
    assert output
    return told(Btf.load(output))


def lines(table: str, packed: bool = True) -> list[str]:
    return [f"struct {attribute(packed)} s@ {{ {line} }}" for line in table.strip().splitlines()]


@pytest.mark.parametrize("toolchain", [GCC, CLANGS[-1]], ids=lambda t: t.name)
def test_packed_structs(toolchain: Toolchain, tmp_path: Path) -> None:
    kept = [
        *lines(NOT_PACKED),
        *lines(PLACED_BY_HAND),
        *lines(PACKED, packed=False)[:8],
        # Has a hole, before c.
        "struct s@ { struct __attribute__((packed)) { int a; char b; } a, b; long c; }",
    ]
    structs = kept + lines(PACKED)
    elf, found = told_with(structs, toolchain, tmp_path)
    expected = set(range(len(kept)))
    assert found == expected, [structs[i] for i in found ^ expected]
    if recent_pahole():
        assert told_by_pahole(elf) == expected


@pytest.mark.parametrize("toolchain", [GCC, CLANGS[-1]], ids=lambda t: t.name)
def test_generated_structs(toolchain: Toolchain, tmp_path: Path) -> None:
    if not recent_pahole():
        pytest.skip("no recent pahole to compare with")
    chance = random.Random(3)
    structs = [
        f"struct {attribute(i % 3 != 0)} s@ {{ char first; {generated(chance)} }}"
        for i in range(300)
    ]
    elf, found = told_with(structs, toolchain, tmp_path)
    assert 50 < len(found) < 250
    by_pahole = told_by_pahole(elf)
    assert found == by_pahole, [structs[i] for i in found ^ by_pahole]


def entry_value(place: bytes) -> bytes:
    return b"\xa3" + uleb(len(place)) + place


def computed(register: int, *more: bytes) -> bytes:
    """DW_OP_breg<n>, …, DW_OP_stack_value."""
    return bytes([0x70 + register]) + sleb(0) + b"".join(more) + STACK_VALUE


MASK = b"\x08\xff\x1a"  # DW_OP_const1u 255, DW_OP_and
PLUS_1 = b"\x23\x01"
MEMORY = bytes([0x75]) + sleb(0)  # where rdi points to
UNREADABLE = b"\xff"

# Where the first parameter is, and whether that tells of rdi, another register, or none. The second
# column is for a parameter of two registers.
AT_ENTRY: list[tuple[Location, str, str]] = [
    (RDI, "rdi", "rdi"),
    (RSI, "other", "other"),
    (RBX, "other", "other"),
    (FRAME, "none", "none"),
    (MEMORY, "none", "none"),
    (CONSTANT, "none", "none"),
    (UNREADABLE, "none", "none"),
    (RDI + UNREADABLE, "none", "none"),
    # Values that are computed from a register.
    (computed(5), "rdi", "rdi"),
    (computed(4), "other", "other"),
    (computed(5, MASK), "rdi", "none"),
    (computed(4, MASK), "other", "none"),
    (b"\x31" + computed(5, b"\x22"), "none", "none"),
    # What a register held.
    (entry_value(RDI), "rdi", "rdi"),
    (entry_value(RDI) + STACK_VALUE, "rdi", "rdi"),
    (entry_value(RSI) + STACK_VALUE, "other", "other"),
    (entry_value(RSI) + PLUS_1 + STACK_VALUE, "none", "none"),
    (entry_value(MEMORY) + STACK_VALUE, "none", "none"),
    # Pieces.
    (low(RDI), "rdi", "rdi"),
    (low(RSI), "other", "other"),
    (low(RDI) + low(RSI), "rdi", "rdi"),
    (low(RSI) + low(RDI), "other", "other"),
    (high(RDI), "none", "rdi"),
    (high(RSI), "none", "other"),
    (low(FRAME) + low(RDI), "none", "rdi"),
    (low(FRAME) + low(RSI), "none", "other"),
    (low(computed(5)), "rdi", "none"),
    (low(entry_value(RDI) + STACK_VALUE), "none", "none"),
    (low(RDI) + low(CONSTANT), "rdi", "rdi"),
    # Lists: the first counts, later ones when they say what was at the entry, or have pieces.
    ([RDI, RSI], "rdi", "rdi"),
    ([RSI, RDI], "other", "other"),
    ([RDI, entry_value(RSI) + STACK_VALUE], "rdi", "rdi"),
    ([RBX, entry_value(RDI) + STACK_VALUE], "other", "other"),
    ([RDI, UNREADABLE], "rdi", "rdi"),
    ([UNREADABLE, entry_value(RSI) + STACK_VALUE], "none", "none"),
    ([FRAME, RDI], "none", "none"),
    ([FRAME, RSI], "none", "none"),
    ([FRAME, computed(4)], "none", "none"),
    ([FRAME, entry_value(RDI) + STACK_VALUE], "rdi", "rdi"),
    ([FRAME, entry_value(RSI) + STACK_VALUE], "other", "other"),
    ([FRAME, entry_value(RSI) + PLUS_1 + STACK_VALUE], "none", "none"),
    ([FRAME, RBX, entry_value(RSI) + STACK_VALUE], "other", "other"),
    ([FRAME, high(RDI)], "none", "rdi"),
    ([FRAME, high(RSI)], "none", "other"),
    ([FRAME, low(RDI) + low(RSI)], "none", "rdi"),
    ([FRAME, high(RDI), entry_value(RSI) + STACK_VALUE], "other", "rdi"),
]


@pytest.mark.parametrize(("of", "column"), [("int", 1), ("__int128", 2)])
def test_where_a_parameter_is_at_the_entry(of: str, column: int, tmp_path: Path) -> None:
    """gcc's functions are left out when a parameter is in another register, those of which clang
    says that it changed them unless it is in its own."""
    params: list[list[Param]] = [[(of, row[0])] for row in AT_ENTRY]
    told = [row[column] for row in AT_ENTRY]
    by_gcc = image(params, tmp_path / "gcc", producer="GNU C11", changed=False)
    by_clang = image(params, tmp_path / "clang")
    for elf, kept in [(by_gcc, {"rdi", "none"}), (by_clang, {"rdi"})]:
        expected = {f"f{i}" for i, place in enumerate(told) if place in kept}
        assert set(ours(elf, "default")) == expected
        if recent_pahole():
            assert set(theirs(elf, "--btf_features=default")) == expected
