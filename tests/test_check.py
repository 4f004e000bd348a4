# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The offline rules against the running kernel: damaged BTF, and both have to say the same.

The kernel is asked with BPF_BTF_LOAD, which takes root. It knows no base there; so a split BTF is
put behind its base as one BTF, which has the same ids and the same offsets of names.
"""

from __future__ import annotations

import platform
import random
import re
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import btfwriter
import pytest
from btfwriter import EVERY_KIND
from hypothesis import given
from support import SOURCES, compiled, missing

from kbuild_btf import _native
from kbuild_btf.btf import (
    Array,
    Const,
    Datasec,
    DeclTag,
    Enum,
    Enumerator,
    Float,
    Func,
    FuncProto,
    Fwd,
    Int,
    Member,
    Param,
    Ptr,
    SecInfo,
    Struct,
    Type,
    Typedef,
    TypeTag,
    Union,
    Var,
    Volatile,
)
from kbuild_btf.verification import running, verify

HEADER = 24

# What the kernel's rules look at closest: circles, rows of qualifiers, odd integers, bit-fields,
# places of members, sizes of variables.
INTRICATE: list[Type] = [
    Int(1, "int", 4, Int.SIGNED, 0, 32),
    Int(2, "long int", 8, Int.SIGNED, 0, 64),
    Int(3, "odd", 4, 0, 3, 17),
    Int(4, "wide", 16, 0, 0, 128),
    Float(5, "double", 8),
    Ptr(6, "", 7),
    Struct(7, "list", 16, (Member("next", 6, 0, 0), Member("owner", 8, 64, 0)), False),
    Ptr(8, "", 9),
    TypeTag(9, "rcu", 10, False),
    TypeTag(10, "user", 11, False),
    Const(11, "", 12),
    Volatile(12, "", 13),
    Typedef(13, "list_t", 7),
    Array(14, "", 13, 1, 3),
    Array(15, "", 14, 1, 2),
    Enum(16, "small", 1, False, (Enumerator("A", 0), Enumerator("B", 200))),
    Struct(
        17,
        "packed",
        120,
        (
            Member("rows", 15, 0, 0),
            Member("d", 5, 768, 0),
            Member("i", 1, 832, 0),
            Member("s", 16, 864, 0),
            Member("old", 3, 877, 0),
        ),
        False,
    ),
    Struct(
        18,
        "fields",
        32,
        (
            Member("a", 1, 3, 7),
            Member("e", 16, 10, 4),
            Member("p", 6, 64, 0),
            Member("w", 4, 135, 120),
        ),
        True,
    ),
    Union(19, "", 24, (Member("list", 7, 0, 0), Member("list_two", 13, 0, 0)), False),
    Struct(20, "", 24, (Member("", 19, 0, 0),), False),
    Fwd(21, "later", False),
    Ptr(22, "", 21),
    Typedef(23, "callback", 24),
    Ptr(24, "", 25),
    FuncProto(25, "", 22, (Param("list", 13), Param("next", 6), Param("", 23), Param("", 0))),
    FuncProto(26, "", 0, (Param("cb", 23), Param("big", 19))),
    Func(27, "run", 26, 1),
    DeclTag(28, "tag", 27, 1, False),
    DeclTag(29, "tag", 18, 2, False),
    Var(30, "head", 13, 1),
    Var(31, "table", 15, 0),
    Typedef(32, "pointer", 6),
    Var(33, "cursor", 32, 0),
    Datasec(
        34, ".data..percpu", 200, (SecInfo(30, 0, 16), SecInfo(31, 16, 96), SecInfo(33, 120, 8))
    ),
    DeclTag(35, "tag", 13, -1, False),
]


def sections(blob: bytes) -> tuple[bytes, bytes]:
    """(types, strings) of BTF with a plain header."""
    types, type_len, strings, string_len = struct.unpack_from("<4I", blob, 8)
    body = blob[HEADER:]
    return body[types : types + type_len], body[strings : strings + string_len]


def flat(base: bytes, split: bytes) -> bytes:
    """Base and split BTF as one."""
    types, strings = (a + b for a, b in zip(sections(base), sections(split), strict=True))
    head = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, HEADER, 0, len(types), len(types), len(strings))
    return head + types + strings


def mutations(blob: bytes, seed: int, count: int, header: bool = True) -> Iterator[bytes]:
    """Copies of ``blob`` with one word changed, now and then two, or one byte of the strings."""
    rng = random.Random(seed)
    types, strings = sections(blob)
    words = struct.unpack(f"<{len(types) // 4}I", types)
    for _ in range(count):
        data = bytearray(blob)
        for _ in range(rng.choice((1, 1, 1, 2))):
            what = rng.random()
            if what < 0.08 and strings:
                at = HEADER + len(types) + rng.randrange(len(strings))
                data[at] = rng.choice((0, 0x20, 0x2E, 0x41, 0x80, 0xD7, 0xE9, rng.randrange(256)))
                continue
            if header and what < 0.12:
                at = rng.randrange(0, HEADER, 4)
            else:
                at = HEADER + 4 * rng.randrange(len(words))
            (old,) = struct.unpack_from("<I", data, at)
            new = rng.choice(
                (
                    old ^ 1 << rng.randrange(32),
                    old + rng.choice((-8, -1, 1, 8)),
                    rng.choice(words),
                    rng.randrange(len(words) // 3),
                    rng.randrange(256),
                    old & 0xE0FFFFFF | rng.randrange(1, 21) << 24,
                    old & 0xFFFF0000 | rng.randrange(4),
                    rng.choice((0, 0xFFFFFFFF, 0x80000000, 0xFFFF)),
                )
            )
            struct.pack_into("<I", data, at, new & 0xFFFFFFFF)
        yield bytes(data)


@dataclass
class Verdicts:
    """How often both agreed, and where they did not."""

    agreed: Counter[bool] = field(default_factory=Counter)
    # Taken here, refused by the kernel: (the kernel's words, the BTF).
    lax: list[tuple[str, bytes]] = field(default_factory=list)
    # Refused here, taken by the kernel: (our words, the BTF).
    strict: list[tuple[str, bytes]] = field(default_factory=list)


def ask(blob: bytes, base: bytes | None = None) -> tuple[str, running.Outcome]:
    """(our refusal or nothing, what the kernel says)."""
    ours = ""
    try:
        _native.check(blob, base)
    except _native.Error as failed:
        ours = str(failed)
    return ours, running.load(blob if base is None else flat(base, blob))


def compare(blob: bytes, seed: int, count: int, base: bytes | None = None) -> Verdicts:
    verdicts = Verdicts()
    for damaged in mutations(blob, seed, count, header=base is None):
        if damaged[:2] != blob[:2]:
            continue  # another byte order, of which no kernel is asked
        ours, kernel = ask(damaged, base)
        if "were inlined" in kernel.why:
            continue  # damage made it a kind of which no kernel is asked
        assert kernel.accepted is not None, kernel.why
        if kernel.accepted == (not ours):
            verdicts.agreed[kernel.accepted] += 1
        elif ours:
            verdicts.strict.append((ours, damaged))
        else:
            verdicts.lax.append((kernel.why, damaged))
    return verdicts


def asked_kernel() -> None:
    """Go on only where the running kernel says what it thinks, by rules as new as ours."""
    major, minor = (int(number) for number in re.findall(r"\d+", platform.release())[:2])
    if (major, minor) < (6, 15):
        missing(f"Linux {platform.release()} refuses attributes, which 6.15 brought")
    outcome = running.load(btfwriter.write(INTRICATE))
    if outcome.accepted is None:
        missing(outcome.why)
    assert outcome == (True, "")


# Where we say no and the kernel yes. All but the first are gaps of its own, which depend on the
# order in which it comes to the types.
STRICTER = (
    r"refers to type \d+, a FUNC$",
    r"elements have no size$",
    r"contains itself",
    r"bytes for a variable whose type has",
)


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    into = tmp_path_factory.mktemp("check")
    return [
        compiled(SOURCES / f"{name}.c", into / f"{name}.o", "-O2")
        for name in ("types", "bitfields", "functions")
    ]


def corpus(objects: list[Path], into: Path) -> Iterator[tuple[bytes, bytes | None]]:
    """(BTF, its base)."""
    fits = [replace(t, size=32) if isinstance(t, Union) else t for t in EVERY_KIND]
    yield btfwriter.write(fits), None
    yield btfwriter.write(INTRICATE), None
    for elf in objects:
        yield _native.encode(str(elf), features="+global_var").btf, None
    base = into / "base.btf"
    base.write_bytes(_native.encode(str(objects[0])).btf)
    for elf in objects[1:]:
        split = _native.encode(str(elf), features="+global_var", base=str(base)).btf
        yield split, base.read_bytes()


def test_the_running_kernel_agrees(objects: list[Path], tmp_path: Path) -> None:
    """About what is good, and about every damage but for the gaps above."""
    asked_kernel()
    total: Counter[bool] = Counter()
    for blob, base in corpus(objects, tmp_path):
        assert ask(blob, base) == ("", (True, ""))
        verdicts = compare(blob, seed=20, count=400, base=base)
        assert [why for why, _ in verdicts.lax] == []
        unknown = [
            ours for ours, _ in verdicts.strict if not any(re.search(p, ours) for p in STRICTER)
        ]
        assert unknown == []
        total += verdicts.agreed
    # Not all damage is one, and not all of it kills.
    assert min(total[True], total[False]) > 500


@given(btfwriter.models(14))
def test_the_running_kernel_agrees_about_any_types(types: list[Type]) -> None:
    asked_kernel()
    ours, kernel = ask(btfwriter.write(types))
    if kernel.accepted:
        assert not ours or any(re.search(pattern, ours) for pattern in STRICTER)
    else:
        assert ours, kernel.why


# What C allows, and the kernel takes as its own; programs cannot load it.
ALLOWED = {
    "a packed enumeration behind a bit-field": """
        enum __attribute__((packed)) small { A };
        struct s { unsigned char bits : 3; enum small last; } s;
    """,
    "a wide enumeration in a bit-field": """
        enum wide { WIDE = 1ull << 40 };
        struct s { enum wide bits : 41; } s;
    """,
    "a number that is not aligned": """
        struct __attribute__((packed)) s { char c; double d; } s;
    """,
    "a parameter of a type that is not known": """
        struct unknown;
        void (*call)(struct unknown);
    """,
    "structs in structs": "struct s0 { int i; };"
    + "".join(f"struct s{i} {{ struct s{i - 1} inner; }};" for i in range(1, 60))
    + "struct s59 s;",
}


@pytest.mark.parametrize("what", ALLOWED)
def test_what_c_allows_is_no_error(what: str, tmp_path: Path) -> None:
    """It is encoded, and `verify` finds no fault with it but tells of it."""
    source = tmp_path / "a.c"
    source.write_text(ALLOWED[what])
    elf = compiled(source, tmp_path / "a.o")
    raw = _native.encode(str(elf), features="+global_var").btf
    _native.check(raw, kernel=True)
    with pytest.raises(_native.Error):
        _native.check(raw)
    outcome = running.load(raw)
    assert not outcome.accepted
    (tmp_path / "a.btf").write_bytes(raw)
    verdict = verify(elf, btf=tmp_path / "a.btf", features="+global_var", kernel=True)
    assert [str(problem) for problem in verdict.problems] == []
    assert any("BPF_BTF_LOAD" in note for note in verdict.notes)


@pytest.mark.parametrize("kernel", [False, True])
def test_circles_are_refused_by_all_rules(kernel: bool) -> None:
    circles: list[list[Type]] = [
        [Ptr(1, "", 1)],
        [Const(1, "", 2), Typedef(2, "t", 1)],
        [Struct(1, "s", 8, (Member("s", 2, 0, 0),), False), Typedef(2, "t", 1)],
        [Ptr(1, "", 2), Const(2, "", 1)],
    ]
    for types in circles:
        with pytest.raises(_native.Error, match=r"BTF type \d"):
            _native.check(btfwriter.write(types), kernel=kernel)
    through_both = [Struct(1, "s", 8, (Member("s", 2, 0, 0),), False), Ptr(2, "", 1)]
    _native.check(btfwriter.write(through_both), kernel=kernel)
