# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""`explain`: verdicts, and the objects and DIEs that they rest on."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest
from support import compiled, kbuild_btf, run
from test_link import Program

from kbuild_btf import explain
from kbuild_btf.explanation import FunctionVerdict

PARTS = [
    "int plain(int a) { return a; }",
    "static int twice(int a) { return a; } int (*one)(int) = twice;",
    "static int twice(int a) { return a + 1; } int (*two)(int) = twice;",
    "int disputed(int a) { return a; }",
    "static inline long disputed(char *b) { return *b; } long caller(char *b)"
    " { return disputed(b); }",
    "struct task { int pid; long state; }; int has(struct task *t) { return t->pid; }",
    "struct task { int pid; char state; }; int as(struct task *t) { return t->pid; }",
    "struct task; int knows(struct task *t) { return t != 0; }",
    "enum level { LOW = 1, HIGH = 2 } level_one;",
    "enum level { LOW = 1, HIGH = 3 } level_two;",
    "typedef struct { int count; int owner : 3; } lock_t; lock_t lock_one;",
    "typedef struct { int count; int owner : 4; } lock_t; lock_t lock_two;",
    "typedef long lock_t; lock_t lock_three;",
    "enum wide { TOP = 1ll << 40 } wide_one;",
    "enum wide { TOP = 1ll << 41 } wide_two;",
    "enum wide; enum wide *wide_three;",
]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return Program(tmp_path_factory.mktemp("explain"), PARTS)


def verdict(program: Program, name: str) -> FunctionVerdict:
    function = explain(program.image, name, program.objects).function
    assert function is not None
    return function


def test_a_function_that_is_in(program: Program) -> None:
    told = verdict(program, "plain")
    ((symbol, address),) = told.symbols
    (candidate,) = told.candidates
    assert (told.reason, symbol) == ("", "plain")
    assert (candidate.object, candidate.address) == (program.objects[0], address)
    assert candidate.prototype == "int plain(int a)"
    assert candidate.chosen


def test_two_functions_of_one_name(program: Program) -> None:
    told = verdict(program, "twice")
    assert "several functions have this name" in told.reason
    assert len({address for _, address in told.symbols}) == 2
    where = {candidate.object: candidate.address for candidate in told.candidates}
    assert set(where) == set(program.objects[1:3])
    assert sorted(where.values(), key=str) == sorted((a for _, a in told.symbols), key=str)


def test_an_inline_function_that_contradicts(program: Program) -> None:
    told = verdict(program, "disputed")
    assert told.reason == "objects disagree about its parameters or result"
    prototypes = {c.object: c.prototype for c in told.candidates}
    assert prototypes[program.objects[3]] == "int disputed(int a)"
    assert prototypes[program.objects[4]] == "long int disputed(char *b)"


def test_the_definitions_of_a_type(program: Program) -> None:
    told = explain(program.image, "task", program.objects).definitions
    assert sorted((d.kind, d.objects) for d in told) == [
        ("FWD", (program.objects[7],)),
        ("STRUCT", (program.objects[5],)),
        ("STRUCT", (program.objects[6],)),
    ]
    (difference,) = filter(None, (d.difference for d in told))
    assert difference in (
        "member 1: long int state or char state",
        "member 1: char state or long int state",
    )


def test_the_definitions_of_an_enumeration(program: Program) -> None:
    told = explain(program.image, "level", program.objects).definitions
    assert [len(d.objects) for d in told] == [1, 1]
    assert "HIGH = 2" in told[1].difference
    assert "HIGH = 3" in told[1].difference


def test_the_definitions_of_a_typedef(program: Program) -> None:
    """Behind one of an unnamed struct stands the struct."""
    told = explain(program.image, "lock_t", program.objects).definitions
    assert {d.kind for d in told} == {"TYPEDEF"}
    assert sorted(d.objects for d in told) == sorted((path,) for path in program.objects[10:13])
    structs = program.objects[10:12]
    told = explain(program.image, "lock_t", structs).definitions
    assert {told[0].difference, told[1].difference} <= {
        "",
        "member 1: int owner : 3 or int owner : 4",
        "member 1: int owner : 4 or int owner : 3",
    }
    assert told[1].difference


def test_the_definitions_of_a_wide_enumeration(program: Program) -> None:
    told = explain(program.image, "wide", program.objects).definitions
    assert sorted((d.kind, d.objects) for d in told) == [
        ("ENUM64", (program.objects[13],)),
        ("ENUM64", (program.objects[14],)),
        ("FWD", (program.objects[15],)),
    ]
    (difference,) = filter(None, (d.difference for d in told))
    assert sorted(re.findall(r"TOP = (\d+)", difference)) == sorted([str(1 << 40), str(1 << 41)])


def test_from_linked_debug_information_alone(program: Program, tmp_path: Path) -> None:
    """Somewhere where nothing tells which objects there were."""
    image = tmp_path / "image"
    image.write_bytes(Path(program.image).read_bytes())
    told = explain(str(image), "disputed").function
    assert told is not None
    assert told.reason == verdict(program, "disputed").reason


def test_command(program: Program) -> None:
    done = kbuild_btf("explain", "twice", program.image, *program.objects, "--limit", "1")
    assert done.returncode == 0
    assert done.stdout.startswith("function twice: left out, several functions have this name")
    assert "1 more candidates (--limit 0 shows all)" in done.stdout
    done = kbuild_btf("explain", "task", program.image, *program.objects)
    assert "type task: 2 definitions" in done.stdout
    assert "parts from the first: member 1" in done.stdout


def test_command_for_a_name_that_nobody_knows(program: Program) -> None:
    done = kbuild_btf("explain", "nobody", program.image, *program.objects)
    assert done.returncode == 1
    assert "no function and no type is named nobody" in done.stderr


def test_a_symbol_is_a_name_of_its_function(program: Program, tmp_path: Path) -> None:
    """As nm shows it; what the compiler has added is no part of the name."""
    source = tmp_path / "a.c"
    source.write_text(
        "static __attribute__((noinline)) int pick(int a, int b) { return a * 7 - b * 0; }\n"
        "int caller(int a) { return pick(a, 7) + pick(a + 1, 7); }\nstruct pick { int a; } x;\n"
    )
    elf = compiled(source, tmp_path / "a.o", "-O2")
    symbols = [name for name in run("nm", elf).stdout.split() if name.startswith("pick.")]
    assert symbols, "the compiler has made no clone"
    done = kbuild_btf("explain", symbols[0], elf, elf)
    assert done.returncode == 0
    assert done.stdout.startswith("function pick: left out, ")
    assert f"  symbol {symbols[0]} at " in done.stdout
    assert "type pick" not in done.stdout
    done = kbuild_btf("explain", "pick.absent.0", elf, elf)
    assert done.returncode == 1
    assert "no function and no type is named pick.absent.0" in done.stderr


def test_command_says_which_prototype_was_taken(program: Program) -> None:
    said = kbuild_btf("explain", "plain", program.image, *program.objects).stdout
    assert "(its prototype is in the BTF; has code)" in said
    assert "*" not in said


def test_json(program: Program) -> None:
    done = kbuild_btf("explain", "twice", program.image, *program.objects, "--json")
    shown = json.loads(done.stdout)
    told = verdict(program, "twice")
    symbols = [{"name": name, "address": address} for name, address in told.symbols]
    assert shown["name"] == "twice"
    candidates = [{**asdict(one), "facts": list(one.facts)} for one in told.candidates]
    sites = [{**asdict(one), "places": list(one.places)} for one in told.sites]
    lists = {"symbols": symbols, "candidates": candidates, "sites": sites}
    assert shown["function"] == {**asdict(told), **lists}
    done = kbuild_btf("explain", "task", program.image, *program.objects, "--json")
    shown = json.loads(done.stdout)
    assert shown["function"] is None
    assert sorted(d["kind"] for d in shown["definitions"]) == ["FWD", "STRUCT", "STRUCT"]


@pytest.mark.parametrize("wide", [8, 16, 32])
def test_a_prototype_of_prototypes_is_not_spelled_to_its_end(wide: int, tmp_path: Path) -> None:
    """Each mentions the one before many times; the text would grow with the power of that."""
    lines = ["int f0(int);"]
    for i in range(1, 6):
        types = ", ".join(f"__typeof__(f{i - 1}) *p{j}" for j in range(wide))
        lines.append(f"int f{i}({types});")
    source = tmp_path / "a.c"
    source.write_text("\n".join([*lines, f"int f5({types}) {{ return p0 != 0; }}"]))
    elf = compiled(source, tmp_path / "a.o")
    function = explain(elf, "f5", objects=[elf]).function
    assert function is not None
    (candidate,) = function.candidates
    assert "(*p0)" in candidate.prototype
    assert len(candidate.prototype) < 8192
