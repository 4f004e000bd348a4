# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The link of small programs: what only it can know, and that order and grouping do not matter."""

from __future__ import annotations

import random
from itertools import permutations
from pathlib import Path

import pytest
from dwarfwriter import ATE, DIE, Unit, Value, at, write_dwarf
from elfwriter import (
    ET_EXEC,
    SHF_ALLOC,
    SHF_WRITE,
    STB_WEAK,
    STT_OBJECT,
    Section,
    Symbol,
    write_elf,
)
from hypothesis import given
from hypothesis import strategies as st
from support import SCRIPTS, compiled, kbuild_btf, run

from kbuild_btf import Btf, _native
from kbuild_btf.btf import Datasec, DeclTag, Func, FuncProto, Fwd, Ptr, Struct

# Each part is one file; they agree on some types, contradict each other on others.
PARTS = [
    "struct known { int a; struct known *next; };"
    " struct known one(void) { struct known k = {0}; return k; }",
    "struct known; struct holder { struct known *k; };"
    " int two(struct holder *h) { return h != 0; }",
    "struct known { int a; struct known *next; }; struct holder { struct known *k; };"
    " int three(struct holder *h) { return h->k->a; }",
    "struct private { long x; }; struct outer { struct private *p; };"
    " long four(struct outer *o) { return o->p->x; }",
    "struct private { char y[3]; }; struct outer { struct private *p; };"
    " int five(struct outer *o) { return o->p->y[0]; }",
    "struct private; struct outer { struct private *p; };"
    " int six(struct outer *o) { return o != 0; }",
    "enum mood; struct m { enum mood *mood; }; int seven(struct m *m) { return m != 0; }",
    "enum mood { GOOD, BAD }; struct m { enum mood *mood; };"
    " int eight(struct m *m) { return *m->mood == BAD; }",
    "union u { int i; struct { short a, b; } s; }; int nine(union u *u) { return u->s.a; }",
    "typedef struct { int (*call)(const char *, ...); } ops_t;"
    " int ten(ops_t *o) { return o != 0; }",
    "__attribute__((weak)) int shared(int weak) { return weak; }"
    " int eleven(void) { return shared(1); }",
    "int shared(int strong) { return strong + 1; }",
    "static int same(int a) { return a; } int (*twelve)(int) = same;",
    "static int same(int a) { return a + 1; } int (*thirteen)(int) = same;",
    "enum wide { HUGE = 1ull << 40 } wide; double number; long double longer;",
]


# Per-CPU data in a section of its own at address 0, as x86 had it before 6.15.
SCRIPT = """SECTIONS {
    .data..percpu 0 : { *(.data..percpu) }
    . = 0x10000;
    .text : { *(.text*) }
    .data : { *(.data*) }
}
"""


def linked(directory: Path, objects: list[str]) -> str:
    """An image of these objects, by the script above."""
    script = directory / "image.lds"
    script.write_text(SCRIPT)
    image = str(directory / "image")
    done = run("ld", "-e", "0", "-T", script, "-o", image, *objects)
    assert done.returncode == 0, done.stderr
    return image


class Program:
    """The parts, compiled, and a file linked from them."""

    def __init__(self, directory: Path, parts: list[str], *flags: str) -> None:
        self.objects = []
        for i, text in enumerate(parts):
            source = directory / f"part{i}.c"
            source.write_text(text + "\n")
            self.objects.append(str(source.with_suffix(".o")))
            done = run("gcc", "-g", "-O1", "-c", *flags, source, "-o", self.objects[-1])
            assert done.returncode == 0, done.stderr
        self.image = linked(directory, self.objects)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return Program(tmp_path_factory.mktemp("link"), PARTS)


@pytest.fixture(scope="module")
def btf(program: Program) -> bytes:
    return _native.link(program.image, objects=program.objects).btf


def test_objects_and_linked_debug_information_give_the_same(program: Program, btf: bytes) -> None:
    assert _native.encode(program.image).btf == btf
    assert _native.encode(program.image, jobs=1).btf == btf


@pytest.mark.parametrize("features", ["encode_force,var", "var,type_tag", "global_var", "+layout"])
def test_features_are_served_alike(program: Program, features: str) -> None:
    """From sidecars, which hold everything, and from the debug information."""
    linked = _native.link(program.image, objects=program.objects, features=features).btf
    assert _native.encode(program.image, features=features).btf == linked


@given(order=st.permutations(range(len(PARTS))))
def test_any_order(program: Program, btf: bytes, order: list[int]) -> None:
    objects = [program.objects[i] for i in order]
    assert _native.link(program.image, objects=objects).btf == btf


def test_any_grouping(program: Program, btf: bytes, tmp_path: Path) -> None:
    """Several units in one object, as `ld -r` makes them."""
    choose = random.Random(1)
    for round_number in range(6):
        groups: list[list[str]] = [[], [], []]
        for path in program.objects:
            choose.choice(groups).append(path)
        merged = []
        for i, group in enumerate(filter(None, groups)):
            merged.append(str(tmp_path / f"group{round_number}-{i}.o"))
            assert run("ld", "-r", "-o", merged[-1], *group).returncode == 0
        assert _native.link(program.image, objects=merged).btf == btf


def test_an_object_twice_is_as_once(program: Program, btf: bytes) -> None:
    assert _native.link(program.image, objects=program.objects * 2).btf == btf


def test_what_the_link_decides(btf: bytes) -> None:
    made = Btf.from_bytes(btf)
    functions = {found.name for found in made if isinstance(found, Func)}
    assert {"one", "ten", "shared"} <= functions
    assert "same" not in functions, "two functions share the name"
    (shared,) = made.find(Func, "shared")
    prototype = made[shared.type_id]
    assert isinstance(prototype, FuncProto)
    assert [p.name for p in prototype.params] == ["strong"]


def test_a_long_way_to_another_definition(tmp_path: Path) -> None:
    """20,000 structs, each of which mentions the one before; the last mentions a private one. Where
    each step looks at all others again, this takes minutes."""
    length = 20_000
    chain = "struct s0 { struct private *p; };\n" + "".join(
        f"struct s{i} {{ struct s{i - 1} *p; }};\n" for i in range(1, length)
    )
    objects = []
    for name, own in (("a", ""), ("b", ""), ("c", "int y;")):
        source = tmp_path / f"{name}.c"
        source.write_text(
            f"struct private {{ int x; {own} }};\n{chain}struct s{length - 1} {name};"
        )
        objects.append(str(compiled(source, tmp_path / f"{name}.o")))
    whole = tmp_path / "whole.o"
    assert run("ld", "-r", "-o", whole, *objects).returncode == 0
    made = _native.link(str(whole), objects=objects)
    names = [t.name for t in Btf.from_bytes(made.btf) if isinstance(t, Struct)]
    assert names.count("private") == names.count(f"s{length - 1}") == 2
    assert len(names) == 2 * (length + 1)
    assert made.btf == _native.encode(str(whole)).btf


def test_forward_declarations(btf: bytes) -> None:
    """One definition: the declaration is it. Two: it is the default of them."""
    made = Btf.from_bytes(btf)
    assert not [f.name for f in made if isinstance(f, Fwd)]
    assert len(made.find(Struct, "known")) == 1
    assert len(made.find(Struct, "holder")) == 1
    assert len(made.find(Struct, "private")) == 2
    pointers = [made[outer.members[0].type_id] for outer in made.find(Struct, "outer")]
    pointees = {pointer.type_id for pointer in pointers if isinstance(pointer, Ptr)}
    assert pointees == {found.id for found in made.find(Struct, "private")}


def test_weak_variables_that_only_a_tag_tells_apart(tmp_path: Path) -> None:
    """All stand at one place and one stays, whichever object comes first."""
    number = DIE("base_type", {"name": "int", "byte_size": 4, "encoding": ATE.signed})
    section = Section(".data..percpu", bytes(8), flags=SHF_ALLOC | SHF_WRITE, addr=0x2000)
    symbol = Symbol("v", ".data..percpu", 4, 4, STT_OBJECT, STB_WEAK)
    objects = []
    for tag in ("one", "two", "three"):
        told = DIE("LLVM_annotation", {"name": "btf_decl_tag", "const_value": tag})
        attrs: dict[str, Value] = {
            "name": "v",
            "type": number,
            "external": True,
            "location": at("v"),
        }
        units = [Unit([number, DIE("variable", attrs, [told])])]
        objects.append(str(tmp_path / f"{tag}.o"))
        Path(objects[-1]).write_bytes(write_dwarf(units, [section], [symbol]))
    image = tmp_path / "image"
    image.write_bytes(write_elf([section], [symbol], type=ET_EXEC))
    made = {_native.link(image, objects=list(order)).btf for order in permutations(objects)}
    assert len(made) == 1
    assert [t.name for t in Btf.from_bytes(made.pop()) if isinstance(t, DeclTag)] == ["one"]


def test_a_file_that_was_not_linked_from_these(program: Program, tmp_path: Path) -> None:
    other = Program(tmp_path, [f"int f{i}(void) {{ return {i}; }}" for i in range(9)])
    done = kbuild_btf("link", program.image, *other.objects, "-o", tmp_path / "out.btf")
    assert done.returncode == 1
    assert "of the 9 functions that the objects define" in done.stderr
    assert not (tmp_path / "out.btf").exists()


def test_command_in_place(program: Program, btf: bytes) -> None:
    done = kbuild_btf("link", program.image, *program.objects, "--in-place")
    assert done.returncode == 0, done.stderr
    assert f"{len(PARTS)} objects linked" in done.stdout
    assert _native.read_section(program.image, ".BTF") == btf
    done = kbuild_btf("encode", program.image, "--in-place", "--timings")
    assert done.returncode == 0, done.stderr
    assert _native.read_section(program.image, ".BTF") == btf
    assert list(Path(program.image).parent.glob(".tmp_*")) == []


def test_reuses_sidecars_and_says_so(program: Program, btf: bytes, tmp_path: Path) -> None:
    for path in program.objects[:5]:
        assert run(SCRIPTS / "kbuild-btf-hook", path).returncode == 0
    made = _native.link(program.image, objects=program.objects)
    assert (made.btf, made.report["reused"]) == (btf, 5)
    assert made.report["linked"] == made.report["reused"] + made.report["encoded"]
    for path in program.objects[:5]:
        _native.sidecar_path(path).unlink()


def test_btf_that_is_there_already_changes_nothing(tmp_path: Path) -> None:
    """Linker scripts reserve room for .BTF; filled, it reaches over the data behind it."""
    source = tmp_path / "a.c"
    source.write_text(
        'asm(".section .BTF, \\"a\\"; .long 0; .text");\n'
        "int first = 1, second = 2;\nint main(void) { return first + second; }\n"
    )
    elf = tmp_path / "a"
    done = run("gcc", "-g", "-nostdlib", "-static", "-Wl,-N,-e,main", "-o", elf, source)
    assert done.returncode == 0, done.stderr
    written = []
    for _ in range(2):
        out = tmp_path / "a.btf"
        done = kbuild_btf("encode", elf, "-o", out, "--features", "default,global_var")
        assert done.returncode == 0, done.stderr
        written.append(out.read_bytes())
        done = kbuild_btf("encode", elf, "--in-place", "--features", "default,global_var")
        assert done.returncode == 0, done.stderr
    (section,) = Btf.from_bytes(written[0]).find(Datasec, ".data")
    assert len(section.entries) == 2
    assert written[1] == written[0]
