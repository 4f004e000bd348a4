# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Tables of all types: what a compiler says of the sizes that they promise, and who has a type."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import compiled, kbuild_btf, run

from kbuild_btf import _native
from kbuild_btf.btf import Btf, Composite, Struct
from kbuild_btf.btf.layout import Layouts
from kbuild_btf.btf.tables import containing, reorganised, using

SOURCE = """
typedef unsigned int u32;
struct leaf { u32 number; };
struct inner { char c; struct leaf leaf; };
struct outer { struct inner list[3]; struct { long x; struct inner in; } unnamed; };
union either { struct outer outer; long other; };
struct pointing { struct leaf *leaf; struct leaf *(*call)(const struct leaf *); };
typedef struct leaf *leaf_pointer;
struct by_typedef { leaf_pointer p; };
struct holes { char a; long b; char c; long d; u32 e; };
struct full { long a, b; };
struct fixed { char first; long b; char c; u32 flexible[]; };
struct bits { u32 a : 3, b : 7; long c; char d; u32 e : 4; };
struct tight { char a; long b; char c; } __attribute__((packed));
struct lined { char a; long b __attribute__((aligned(64))); char c; };
typedef struct { char a; long b; char c; } only_by_typedef;
struct leaf variable;
int takes(struct leaf **leaf) { return leaf != 0; }
int other(long x) { return x; }
union either either; struct pointing pointing; struct by_typedef by; struct holes holes;
struct full full; struct fixed *fixed; struct bits bits; struct tight tight; struct lined lined;
only_by_typedef of_typedef;
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tables")
    source = directory / "a.c"
    source.write_text(SOURCE)
    made = directory / "a.btf"
    made.write_bytes(_native.encode(compiled(source, directory / "a.o", "-O1")).btf)
    return made


@pytest.fixture(scope="module")
def btf(file: Path) -> Btf:
    return Btf.load(file)


def test_who_contains_a_type(btf: Btf) -> None:
    found = {user.name: (user.members, user.offset) for user in containing(btf, btf["leaf"])}
    assert found == {
        "struct inner": (("leaf",), 4),
        "struct outer": (("list", "unnamed"), 0),
        "union either": (("outer",), 0),
    }


def test_who_uses_a_type(btf: Btf) -> None:
    found = {(user.kind, user.name): user.members for user in using(btf, btf["leaf"])}
    assert found == {
        ("STRUCT", "struct inner"): ("leaf",),
        ("STRUCT", "struct pointing"): ("leaf", "call"),
        ("TYPEDEF", "leaf_pointer"): (),
        ("FUNC", "takes"): (),
    }


def table(file: Path, name: str) -> dict[str, dict[str, int]]:
    done = kbuild_btf("dump", f"--{name}", "--json", file)
    assert (done.returncode, done.stderr) == (0, "")
    return {row["name"]: row for row in json.loads(done.stdout)["types"]}


def test_tables(file: Path) -> None:
    sizes, holes, packable = (table(file, name) for name in ("sizes", "holes", "packable"))
    found = sizes["struct holes"]
    kept = ("size", "holes", "hole_bytes", "tail", "best", "saved")
    # c: 1 + 7 free, 8, 1 + 7 free, 8, 4 + 4 free; best: two chars beside the u32.
    assert [found[key] for key in kept] == [40, 2, 14, 4, 24, 16]
    assert [sizes["struct full"][key] for key in kept] == [16, 0, 0, 0, 16, 0]
    assert "struct full" not in holes
    assert {"struct holes", "only_by_typedef", "struct bits"} <= packable.keys()
    # First and last stay, and so do the packed and what has a cache line of its own.
    assert packable.keys() & {"struct full", "struct tight", "struct lined"} == set()
    assert list(sizes) == sorted(sizes, key=lambda name: (-sizes[name]["size"], name))
    lines = kbuild_btf("dump", "--holes", file).stdout.splitlines()
    assert lines[0].split() == ["size", "holes", "bytes", "tail", "best", "saved", "name"]
    assert len(lines) == 1 + len(holes)


def test_a_proposal_is_shown_as_any_struct(file: Path) -> None:
    done = kbuild_btf("dump", "-C", "holes", "--reorganize", file)
    assert "/* size: 24," in done.stdout
    assert done.stdout.index(" a;") < done.stdout.index(" c;") < done.stdout.index(" b;")
    nothing = kbuild_btf("dump", "-C", "full", "--reorganize", file)
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "no other order of members makes full smaller" in nothing.stderr
    alone = kbuild_btf("dump", "--reorganize", file)
    assert (alone.returncode, alone.stderr) == (
        1,
        "kbuild-btf: --reorganize without a struct; name one with -C\n",
    )


MEMBERS = st.lists(
    st.one_of(
        st.sampled_from(["char {0};", "short {0};", "int {0};", "long {0};", "char {0}[3];",
                         "struct small {0};", "long {0}[0];", "void *{0};"]),
        st.integers(1, 30).map(lambda width: f"int {{0}} : {width};"),
        st.integers(1, 60).map(lambda width: f"long {{0}} : {width};"),
        st.sampled_from([8, 16, 64]).map(lambda n: f"int {{0}} __attribute__((aligned({n})));"),
    ),
    min_size=2,
    max_size=9,
)  # fmt: skip


@settings(max_examples=30)
@given(st.lists(MEMBERS, min_size=12, max_size=12))
def test_the_compiler_gives_the_proposal_its_size(
    tmp_path_factory: pytest.TempPathFactory, many: list[list[str]]
) -> None:
    directory = tmp_path_factory.mktemp("proposals")
    source, check = directory / "a.c", directory / "b.c"
    small = "struct small { short a; char b; };\n"
    text = [small]
    for number, members in enumerate(many):
        body = " ".join(member.format(f"m{i}") for i, member in enumerate(members))
        text.append(f"struct s{number} {{ {body} }} v{number};")
    source.write_text("\n".join(text))
    made = _native.encode(compiled(source, directory / "a.o", "-w"))
    found = Btf.from_bytes(made.btf)
    layouts = Layouts(found)
    lines = [small]
    for struct in found.find(Struct):
        better = reorganised(layouts, struct)
        if better is None or not struct.name.startswith("s") or struct.name == "small":
            continue
        assert better.size < struct.size
        assert sorted(m.name for m in better.members) == sorted(m.name for m in struct.members)
        assert better.members[0] == struct.members[0]
        lines += [in_c(better, layouts, struct), size_of(better)]
        for member in better.members:
            if not member.bit_size:
                where = f"__builtin_offsetof(struct {better.name}, {member.name})"
                lines.append(f'_Static_assert({where} == {member.bit_offset // 8}, "");')
    check.write_text("\n".join(lines) + "\n")
    done = run("gcc", "-c", "-w", "-o", directory / "b.o", check)
    assert done.returncode == 0, done.stderr + check.read_text()


def in_c(better: Composite, layouts: Layouts, before: Composite) -> str:
    """The proposal as somebody would write it, who keeps the attributes."""
    aligned = {place.member.name: place.aligned for place in layouts.of(before).places}
    body = []
    for member in better.members:
        attribute = f" __attribute__((aligned({aligned[member.name]})))"
        body.append(f"{member}{attribute if aligned[member.name] else ''};")
    whole = layouts.of(before).aligned
    attribute = f" __attribute__((aligned({whole})))" if whole else ""
    return f"struct {better.name} {{ {' '.join(body)} }}{attribute};"


def size_of(better: Composite) -> str:
    return f'_Static_assert(sizeof(struct {better.name}) == {better.size}, "");'
