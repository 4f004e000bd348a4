# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""`true_signature`: functions with the parameters that are really passed.

The registers are those of the x86-64 psABI: rdi, rsi, rdx, rcx, r8, r9. What is expected follows
from them: a caller can only have put a parameter into the register where the function finds it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import btftext
import pytest
from dwarfwriter import ATE, DIE, LANG_C11, LocList, OP_reg0, Unit, Value, sleb, uleb, write_dwarf
from elfwriter import RISCV64, X86_64, Address, Section, Symbol, Target
from support import kbuild_btf, recent_pahole
from toolchains import CLANGS, COMPILERS, GCC, Toolchain, pahole_says

from kbuild_btf import Btf, _native, explain

TRUE = "default,true_signature"
CC_NOCALL = 3
START, SIZE = 0x10000, 16

Location: TypeAlias = "bytes | list[bytes] | None"
Param: TypeAlias = "tuple[str, Location]"


def reg(number: int) -> bytes:
    return bytes([OP_reg0 + number])


RDI, RSI, RDX, RCX, R8, R9 = ARGUMENTS = [reg(number) for number in (5, 4, 1, 2, 8, 9)]
RBX = reg(3)
STACK_VALUE = b"\x9f"
CONSTANT = b"\x33" + STACK_VALUE  # DW_OP_lit3
FRAME = b"\x91" + sleb(8)  # DW_OP_fbreg
ENTRY_RDI = b"\xa3\x01" + RDI + STACK_VALUE  # DW_OP_entry_value
MANY = [("int", place) for place in ARGUMENTS]


def low(place: bytes) -> bytes:
    """The first eight bytes of a struct of two words; the rest is nowhere."""
    return place + b"\x93" + uleb(8)  # DW_OP_piece


def high(place: bytes) -> bytes:
    return b"\x93" + uleb(8) + low(place)


class Case(NamedTuple):
    """A function that clang says it changed: what it finds where, and how it is called.
    `pahole`: what that says when it differs (docs/differences.md)."""

    params: Sequence[Param]
    passed: str | None
    pahole: str | None = ""


AS_PASSED = [
    # Nothing reads a: whether it is passed, the next one tells.
    Case([("int", None), ("int", RDI)], "(int b)"),
    Case([("int", None), ("int", RSI)], "(int a, int b)"),
    Case([("int", RDI), ("int", None)], "(int a)"),
    Case([("int", RDI), ("int", None), ("int", None), ("int", RDX)], "(int a, int c, int d)"),
    Case([("int", None), ("int", None)], "()"),
    Case(
        [*MANY, ("int", None), ("int", FRAME)], "(int a, int b, int c, int d, int e, int f, int h)"
    ),
    # Nothing explains these.
    Case([("int", None), ("int", RDX)], None),
    Case([("int", RSI), ("int", RDI)], None),
    Case([("int", RBX)], None),
    # A value that is known is not passed.
    Case([("int", CONSTANT), ("int", RDI)], "(int b)"),
    Case([("int", [CONSTANT, RDI]), ("int", RDI)], "(int b)"),
    Case([("int", [ENTRY_RDI]), ("int", RSI)], "(int a, int b)"),
    # In the frame from the start.
    Case([("int", FRAME), ("int", RDI)], None),
    Case([("int", FRAME), ("int", RSI)], "(int a, int b)", None),
    # Two registers, or one of them.
    Case([("__int128", RDI), ("int", RDX)], "(__int128 a, int b)"),
    Case([("__int128", None), ("int", RDX)], "(__int128 a, int b)"),
    Case([("pair", low(RDI) + low(RSI)), ("int", RDX)], "(struct pair a, int b)"),
    Case([("pair", low(RDI)), ("int", RSI)], "(int a__first, int b)"),
    Case([("pair", high(RDI)), ("int", RSI)], "(long a__second, int b)"),
    Case([("pair", high(RDI)), ("int", RDX)], "(struct pair a, int b)"),
    Case([("typedef", high(RDI)), ("int", RSI)], "(long a__second, int b)"),
    Case([("pair", low(RDI)), ("pair", high(RSI))], "(int a__first, long b__second)"),
    Case(
        [("pair", low(CONSTANT) + low(RDI)), ("int", RSI)],
        "(long a__second, int b)",
        "(int b)",
    ),
    Case([("array", high(RDI)), ("int", RSI)], None, "(struct array a, int b)"),
    # In memory, beside the registers.
    Case([("big", FRAME), ("int", RDI)], "(struct big a, int b)"),
    Case([("big", None), ("int", RDI)], "(int b)"),
    # A struct, and registers that do not fit.
    Case([("pair", None), ("int", RSI)], None, "(int b)"),
    Case([("big", FRAME), ("int", RSI)], None, "(struct big a, int b)"),
]


def types() -> dict[str, DIE]:
    def base(name: str, size: int) -> DIE:
        return DIE("base_type", {"name": name, "byte_size": size, "encoding": ATE.signed})

    def struct(name: str, size: int, members: dict[str, tuple[DIE, int]]) -> DIE:
        children = [
            DIE("member", {"name": m, "type": of, "data_member_location": at})
            for m, (of, at) in members.items()
        ]
        return DIE("structure_type", {"name": name, "byte_size": size}, children)

    number, long = base("int", 4), base("long", 8)
    two = DIE("array_type", {"type": long}, [DIE("subrange_type", {"count": 2})])
    pair = struct("pair", 16, {"first": (number, 0), "second": (long, 8)})
    return {
        "int": number,
        "long": long,
        "__int128": base("__int128", 16),
        "pair": pair,
        "typedef": DIE("typedef", {"name": "pair_t", "type": pair}),
        "array": struct("array", 16, {"two": (two, 0)}),
        "big": struct("big", 24, {"a": (long, 0), "b": (long, 8), "c": (long, 16)}),
    }


CLANG = "clang version 19.1.7"


def image(
    cases: Sequence[Sequence[Param]],
    path: Path,
    target: Target = X86_64,
    producer: str = CLANG,
    *,
    changed: bool = True,
) -> Path:
    """A linked file with a function f0, f1, … of each case; `changed`: the compiler says so."""
    known = types()
    functions = []
    for i, params in enumerate(cases):
        children = []
        for name, (of, place) in zip("abcdefgh", params, strict=False):
            attrs: dict[str, Value] = {"name": name, "type": known[of]}
            if isinstance(place, bytes):
                attrs["location"] = place
            elif place:
                parts = ((Address(".text", i * SIZE + 4 * k), 4, e) for k, e in enumerate(place))
                attrs["location"] = LocList(tuple(parts))
            children.append(DIE("formal_parameter", attrs))
        attrs = {"name": f"f{i}", "low_pc": Address(".text", i * SIZE), "high_pc": SIZE}
        if changed:
            attrs["calling_convention"] = CC_NOCALL
        functions.append(DIE("subprogram", attrs, children))
    unit = Unit(
        [*known.values(), *functions],
        {"name": "a.c", "language": LANG_C11, "producer": producer},
    )
    text = Section(".text", bytes(SIZE * len(cases)), flags=6, addr=START)
    symbols = [Symbol(f"f{i}", ".text", i * SIZE, SIZE, type=2) for i in range(len(cases))]
    path.write_bytes(write_dwarf([unit], [text], symbols, target=target, type=2))
    return path


def functions(btf: Btf) -> dict[str, str]:
    """Prototypes by name, without the result."""
    told = [line.split(" ", 3) for line in btftext.lines(btf) if line.startswith("FUNC ")]
    return {name: prototype.rsplit(" -> ", 1)[0] for _, name, _, prototype in told}


def ours(elf: Path, features: str = TRUE) -> dict[str, str]:
    return functions(Btf.from_bytes(_native.encode(str(elf), features=features).btf))


def theirs(elf: Path, *options: str) -> dict[str, str]:
    options = options or ("--btf_features=+true_signature",)
    _, output = pahole_says(elf, elf.with_suffix(".pahole"), *options)
    assert output
    return functions(Btf.load(output))


def test_what_is_passed(tmp_path: Path) -> None:
    elf = image([case.params for case in AS_PASSED], tmp_path / "image")
    said = ours(elf)
    assert {i: said.get(f"f{i}") for i in range(len(AS_PASSED))} == {
        i: case.passed for i, case in enumerate(AS_PASSED)
    }
    if recent_pahole():
        said = theirs(elf)
        assert {i: said.get(f"f{i}") for i in range(len(AS_PASSED))} == {
            i: case.passed if case.pahole == "" else case.pahole for i, case in enumerate(AS_PASSED)
        }


def test_as_written_nothing_is_told_of_them(tmp_path: Path) -> None:
    """Without the feature a function stays only when every parameter is where it should be."""
    elf = image([[("int", RDI)], [("int", None)], [("int", None), ("int", RDI)]], tmp_path / "a")
    assert ours(elf, "default") == {"f0": "(int a)"}


def test_machines_whose_registers_are_not_known(tmp_path: Path) -> None:
    """a0 is register 10. That a was removed, nothing shows."""
    elf = image([[("int", None), ("int", reg(11))]], tmp_path / "image", RISCV64)
    assert ours(elf) == {}
    if recent_pahole():
        assert theirs(elf) == {"f0": "(int b)"}


CHANGED = {
    "both": "(*struct big p, long x)",
    "constprop": "(int a, int b)",
    "unused_first": "(int a, int b)",
    "unused_middle": "(int a, int b)",
    "unused_last": "(int a, int b)",
}


@pytest.mark.parametrize("optimise", ["-O1", "-O2"])
@pytest.mark.parametrize("chain", CLANGS[1:], ids=lambda chain: chain.name)
def test_what_clang_changes(chain: Toolchain, optimise: str, tmp_path: Path) -> None:
    parts = ["clones", "parameters", "strong"]
    sources = [COMPILERS / f"{part}.c" for part in parts]
    objects = [chain.compile(s, tmp_path / f"{s.stem}.o", optimise) for s in sources]
    elf = chain.link(objects, tmp_path / "image", "--unresolved-symbols=ignore-all")
    said = ours(elf)
    assert {name: said.get(name) for name in CHANGED} == CHANGED
    assert not CHANGED.keys() & ours(elf, "default").keys()
    encoded = _native.encode(str(elf), features=TRUE).btf
    for order in itertools.permutations(str(path) for path in objects):
        assert _native.link(str(elf), objects=list(order), features=TRUE).btf == encoded
    if recent_pahole():
        # i comes in rsi: of p only the first register is passed, with two members in it.
        wrong = {"pair_by_value": "(struct point p, int i)"}
        assert {**said, **wrong} == theirs(elf)
        assert "pair_by_value" not in said


LOCAL = "static __attribute__((noinline))"


def clones(directory: Path, *values: int) -> tuple[list[str], Path]:
    """Files that each have a clone for one constant, of equal names."""
    objects = []
    for i, value in enumerate(values):
        source = directory / f"part{i}.c"
        calls = f"changed(p, n, {value}) + changed(p + 1, n, {value})"
        source.write_text(
            f"{LOCAL} int changed(int *p, int n, int k)\n"
            "{ int i, s = 0; for (i = 0; i < n; i++) s += p[i] * k + (s ^ k); return s; }\n"
            f"int use{i}(int *p, int n) {{ return {calls}; }}\n"
        )
        objects.append(GCC.compile(source, source.with_suffix(".o"), "-O2", "-fno-inline"))
    return [str(path) for path in objects], GCC.link(objects, directory / "image")


def test_a_clone_goes_by_its_full_name(tmp_path: Path) -> None:
    objects, elf = clones(tmp_path, 7)
    assert "changed.constprop.0" in ours(elf)
    assert "changed" not in ours(elf)
    if recent_pahole():
        assert ours(elf) == theirs(elf)
    told = explain(elf, "changed", objects, features=TRUE).function
    assert told and (told.clone, told.reason) == ("changed.constprop.0", "")
    done = kbuild_btf("explain", "changed", elf, *objects, "--features", TRUE)
    assert done.stdout.startswith("function changed: in the BTF as changed.constprop.0\n")


def test_clones_whose_full_names_are_equal(tmp_path: Path) -> None:
    objects, elf = clones(tmp_path, 7, 9)
    assert not [name for name in ours(elf) if name.startswith("changed")]
    if recent_pahole():
        assert "changed.constprop.0" in theirs(elf)
    encoded = _native.encode(str(elf), features=TRUE).btf
    for order in (objects, objects[::-1]):
        assert _native.link(str(elf), objects=order, features=TRUE).btf == encoded
    told = explain(elf, "changed", objects, features=TRUE).function
    assert told and "several functions" in told.reason


def test_of_several_clones_the_first_in_the_image(tmp_path: Path) -> None:
    """Its name sorts last."""
    functions = [
        ("changed.isra.0", [("int", RDI)]),
        ("changed.constprop.0", [("int", RDI), ("int", RSI)]),
    ]
    known = types()
    dies = []
    for i, (_, params) in enumerate(functions):
        children = [
            DIE("formal_parameter", {"name": name, "type": known[of], "location": where})
            for name, (of, where) in zip("ab", params, strict=False)
        ]
        attrs: dict[str, Value] = {
            "name": "changed",
            "low_pc": Address(".text", i * SIZE),
            "high_pc": SIZE,
        }
        dies.append(DIE("subprogram", attrs, children))
    symbols = [Symbol(n, ".text", i * SIZE, SIZE, type=2) for i, (n, _) in enumerate(functions)]
    text = Section(".text", bytes(2 * SIZE), flags=6, addr=START)
    elf = tmp_path / "image"
    elf.write_bytes(write_dwarf([Unit([known["int"], *dies])], [text], symbols, type=2))
    assert ours(elf) == {"changed.isra.0": "(int a)"}
    if recent_pahole():
        assert theirs(elf) == {"changed.isra.0": "(int a)"}


def test_explain_tells_of_both_prototypes(tmp_path: Path) -> None:
    elf = image([[("int", None), ("int", RDI)], [("int", None), ("int", RDX)]], tmp_path / "image")
    told = explain(elf, "f0", features=TRUE).function
    assert told and told.reason == ""
    (candidate,) = told.candidates
    assert candidate.prototype == "void f0(int a, int b)"
    assert candidate.passed == "void f0(int b)"
    assert "the compiler changed the signature" in candidate.facts
    assert candidate.address == START and candidate.die
    done = kbuild_btf("explain", "f0", elf, "--features", "default")
    assert "left out, a parameter is not in the register that the ABI gives it" in done.stdout
    assert "passed: void f0(int b)" in done.stdout
    done = kbuild_btf("explain", "f1", elf, "--features", TRUE)
    assert "left out, a parameter is not in the register that the ABI gives it" in done.stdout
    assert "the places of its parameters do not tell which are passed" in done.stdout
