# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""kbuild-btf diff: finds what differs in meaning, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from btfwriter import EVERY_KIND, WITH_SITES, btf, models, renumbered, strings_size, write
from hypothesis import assume, given
from hypothesis import strategies as st
from support import SOURCES, compiled, pahole

from kbuild_btf.btf import (
    Array,
    Btf,
    Const,
    Datasec,
    DeclTag,
    Enum,
    Enum64,
    Enumerator,
    Float,
    Func,
    FuncProto,
    Fwd,
    Int,
    Kind,
    Member,
    Param,
    Ptr,
    SecInfo,
    Struct,
    Type,
    Typedef,
    Union,
    Var,
)
from kbuild_btf.cli import main
from kbuild_btf.compare import Aspect, Item, KindDiff, diff

INT = Int(1, "int", 4, Int.SIGNED, 0, 32)
LONG = Int(2, "long", 8, Int.SIGNED, 0, 64)


def differences(a: Sequence[Type], b: Sequence[Type]) -> dict[Kind, KindDiff]:
    """Only the kinds that differ."""
    return {found.kind: found for found in diff(btf(a), btf(b)).kinds if found.differs}


def texts(found: Iterable[Aspect | Item]) -> list[str]:
    return [one.text for one in found]


def changes(a: Sequence[Type], b: Sequence[Type]) -> dict[str, list[str]]:
    """What changed under which name; nothing else may differ."""
    found = differences(a, b)
    for kind in found.values():
        assert [*kind.only_a, *kind.only_b, *kind.follows_a, *kind.follows_b] == []
    changed = [change for kind in found.values() for change in kind.changed]
    return {change.name: texts(change.what) for change in changed}


# --- the same ---------------------------------------------------------------------------------


def test_counts_of_every_kind() -> None:
    found = diff(btf(WITH_SITES), btf(WITH_SITES)).kinds
    assert not any(diff.differs for diff in found)
    assert {diff.kind for diff in found} == set(Kind) - {Kind.VOID, Kind.UNKNOWN}
    assert {diff.kind.name: (diff.a, diff.b) for diff in found}["FWD"] == (2, 2)


@given(models(), st.data())
def test_order_has_no_meaning(types: list[Type], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(types))))
    assert not differences(types, renumbered(types, order))


@given(models())
def test_byte_order_has_no_meaning(types: list[Type]) -> None:
    swapped = Btf.from_bytes(write(types, order=">"))
    assert diff(btf(types), swapped).same


@given(models(), st.data())
def test_one_type_more_is_one_difference(types: list[Type], data: st.DataObject) -> None:
    """And it is on the side that has it, from whichever side one looks."""
    name = data.draw(st.sampled_from(["", "a", "new"]))
    more = [*types, Struct(len(types) + 1, name, 12345678, (), False)]
    for left, right, b in ((types, more, True), (more, types, False)):
        found = differences(left, right)
        sizes = {
            kind: (len(diff.only_a), len(diff.only_b), len(diff.changed))
            for kind, diff in found.items()
        }
        if len(found) == 1 and name != "a":
            assert sizes == {Kind.STRUCT: (0, 1, 0) if b else (1, 0, 0)}
        assert Kind.STRUCT in found


@given(models(), st.data())
def test_another_word_in_one_type_is_found(types: list[Type], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(types) - 1))
    found = types[place]
    changed: Type
    match found:
        case Array():
            changed = replace(found, nelems=found.nelems ^ 1)
        case Struct() | Union() | Float() | Datasec():
            changed = replace(found, size=found.size ^ 1)
        case Int():
            changed = replace(found, bits=found.bits ^ 1)
        case Enum() | Enum64():
            changed = replace(found, size=found.size ^ 1)
        case Fwd():
            changed = replace(found, is_union=not found.is_union)
        case Func() | Var():
            changed = replace(found, linkage=found.linkage ^ 1)
        case DeclTag():
            changed = replace(found, component=found.component + 1)
        case _:
            assume(False)
    assert differences(types, [*types[:place], changed, *types[place + 1 :]])


def test_forward_declaration_and_definition_are_the_same_to_what_points_there() -> None:
    before: list[Type] = [Fwd(1, "s", False), Ptr(2, "", 1), Typedef(3, "p", 2)]
    after = [Struct(1, "s", 8, (), False), *before[1:]]
    assert changes(before, after) == {
        "struct s": ["forward declaration in A, defined in B (size 8)"]
    }
    assert changes(after, before) == {
        "struct s": ["defined in A (size 8), forward declaration in B"]
    }


# --- changes ----------------------------------------------------------------------------------


def struct(*members: Member, size: int = 16) -> list[Type]:
    used: list[Type] = [INT, LONG, Struct(3, "s", size, members, False)]
    return [*used, Ptr(4, "", 3), Struct(5, "user", 8, (Member("s", 4, 0, 0),), False)]


A, B, C = Member("a", 1, 0, 0), Member("b", 1, 32, 0), Member("c", 2, 64, 0)


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        (struct(A, B, C), struct(A, C), ["b only in A: int"]),
        (struct(A, C), struct(A, B, C), ["b only in B: int"]),
        (struct(A, B), struct(A, replace(B, bit_offset=64)), ["b: offset 4 -> 8"]),
        (struct(A, B), struct(A, replace(B, type_id=2)), ["b: type int -> long"]),
        (struct(A, B), struct(A, replace(B, name="z")), ["b only in A: int", "z only in B: int"]),
        (struct(A), struct(A, size=24), ["size 16 -> 24"]),
        (
            struct(A, B, C, replace(C, name="d")),
            struct(*(replace(m, bit_offset=m.bit_offset + 8) for m in (A, B, C)),
                   replace(C, name="d", bit_offset=80)),
            ["a: offset 0 -> 1", "b: offset 4 -> 5", "c: offset 8 -> 9", "d: offset 8 -> 10"],
        ),
        (struct(replace(A, name=""), B), struct(replace(C, name=""), B),
         ["unnamed member at 0 only in A: int", "unnamed member at 8 only in B: long"]),
        (struct(A, replace(A, name="x")), struct(replace(A, name="x"), A), ["order of members"]),
    ],
    ids=["removed", "added", "moved", "type", "renamed", "size", "many", "unnamed", "order"],
)  # fmt: skip
def test_a_struct_that_changed_is_reported_once(
    before: list[Type], after: list[Type], what: list[str]
) -> None:
    assert changes(before, after) == {"struct s": what}


def test_bitfields() -> None:
    before, after = (
        [INT, Struct(2, "s", 4, (Member("a", 1, offset, bits),), True)]
        for offset, bits in ((3, 2), (4, 7))
    )
    assert changes(before, after) == {"struct s": ["a: bits 2 -> 7", "a: offset 0:3 -> 0:4"]}


def test_how_bitfields_are_stored_has_no_meaning() -> None:
    members = (Member("a", 1, 0, 0),)
    before, after = ([INT, Struct(2, "s", 4, members, flag)] for flag in (False, True))
    assert not changes(before, after)


def test_unnamed_types_are_part_of_what_holds_them() -> None:
    def holder(size: int) -> list[Type]:
        inner = Struct(2, "", size, (Member("x", 1, 0, 0),), False)
        return [INT, inner, Struct(3, "s", 16, (Member("u", 2, 0, 0),), False), Ptr(4, "", 3)]

    found = differences(holder(4), holder(8))
    assert set(found) == {Kind.STRUCT}
    (change,) = found[Kind.STRUCT].changed
    assert change.name == "struct s"
    assert texts(change.what) == ["u: size 4 -> 8"]
    assert texts(found[Kind.STRUCT].only_a) == ["struct {x} (size 4, 1 members)"]


def test_named_kinds_say_what_changed() -> None:
    before: list[Type] = [
        INT,
        LONG,
        Enum(3, "e", 4, False, (Enumerator("ONE", 1), Enumerator("TWO", 2))),
        Typedef(4, "t", 1),
        Float(5, "double", 8),
        FuncProto(6, "", 1, (Param("x", 1),)),
        FuncProto(7, "", 1, (Param("x", 2), Param("", 0))),
        Func(8, "f", 6, 0),
        Func(9, "g", 7, 1),
        Func(10, "h", 6, 0),
        Var(11, "v", 1, 1),
        Datasec(12, ".data..percpu", 64, (SecInfo(11, 0, 4),)),
    ]
    after = list(before)
    after[0] = replace(INT, encoding=0)
    after[2] = Enum64(3, "e", 8, True, (Enumerator("ONE", 1), Enumerator("THREE", 3)))
    after[3] = Typedef(4, "t", 2)
    after[4] = Float(5, "double", 16)
    after[7] = Func(8, "f", 7, 1)
    after[10] = Var(11, "v", 2, 1)
    after[11] = Datasec(12, ".data..percpu", 80, (SecInfo(11, 16, 8),))
    assert changes(before, after) == {
        "int": ["encoding 1 -> 0"],
        "enum e": [
            "kind ENUM -> ENUM64",
            "size 4 -> 8",
            "signed False -> True",
            "TWO only in A",
            "THREE only in B",
        ],
        "t": ["type int -> long"],
        "double": ["size 8 -> 16"],
        "f": ["linkage static -> global", "int f(int x) -> int f(long x, ...)"],
        "v": ["type int -> long", "offset 0 -> 16", "size in the section 4 -> 8"],
        ".data..percpu": ["size 64 -> 80", "1 entry only in A", "1 entry only in B"],
    }


def test_variable_that_left_its_section() -> None:
    variable = Var(2, "v", 1, 0)
    before: list[Type] = [INT, variable, Datasec(3, ".data", 64, (SecInfo(2, 8, 4),))]
    found = differences(before, [INT, variable])
    assert [texts(change.what) for change in found[Kind.VAR].changed] == [
        ["section .data -> None", "offset 8 -> None", "size in the section 4 -> None"]
    ]
    assert texts(found[Kind.DATASEC].only_a) == [".data (size 64, 1 entries)"]


# --- several definitions of a name ------------------------------------------------------------

TWO: list[Type] = [
    INT,
    Struct(2, "x", 4, (Member("a", 1, 0, 0),), False),
    Struct(3, "x", 8, (Member("b", 1, 32, 0),), False),
]


def test_a_pointer_to_the_other_definition_is_a_difference() -> None:
    before, after = (
        [*TWO, Ptr(4, "", which), Struct(5, "user", 8, (Member("x", 4, 0, 0),), False)]
        for which in (2, 3)
    )
    found = differences(before, after)
    assert set(found) == {Kind.STRUCT, Kind.PTR}
    (change,) = found[Kind.STRUCT].changed
    assert change.name == "struct user"
    assert texts(found[Kind.PTR].only_a) == texts(found[Kind.PTR].only_b) == ["struct x *"]


def test_definitions_that_differ_only_in_what_they_point_to() -> None:
    """y points to one x or the other, z to one y or the other: three steps apart."""

    def chain(first: int, second: int) -> list[Type]:
        return [
            *TWO,
            Ptr(4, "", first),
            Struct(5, "y", 8, (Member("x", 4, 0, 0),), False),
            Ptr(6, "", second),
            Struct(7, "y", 8, (Member("x", 6, 0, 0),), False),
            Ptr(8, "", 5),
            Struct(9, "z", 8, (Member("y", 8, 0, 0),), False),
        ]

    found = differences(chain(2, 3), chain(3, 2))
    assert {change.name for change in found[Kind.STRUCT].changed} == {"struct z"}
    assert not found[Kind.STRUCT].only_a
    assert not differences(chain(2, 3), chain(2, 3))


def test_one_definition_less() -> None:
    found = differences(TWO, TWO[:2])
    assert texts(found[Kind.STRUCT].only_a) == ["struct x (size 8, 1 members)"]
    assert not found[Kind.STRUCT].changed


def test_how_often_an_unnamed_type_is_there_counts() -> None:
    found = differences([INT, Ptr(2, "", 1)], [INT, Ptr(2, "", 1), Ptr(3, "", 1)])
    assert texts(found[Kind.PTR].only_b) == ["int *"]
    assert not found[Kind.PTR].only_a


# --- what follows from functions and variables ------------------------------------------------


def test_types_of_a_missing_function_follow_from_it() -> None:
    common: list[Type] = [INT, Ptr(2, "", 1), Struct(3, "s", 8, (Member("p", 2, 0, 0),), False)]
    more: list[Type] = [
        *common,
        Const(4, "", 3),
        Ptr(5, "", 4),
        FuncProto(6, "", 2, (Param("x", 5),)),
        Func(7, "f", 6, 0),
        DeclTag(8, "bpf_kfunc", 7, -1, False),
        Array(9, "", 1, 1, 4),
        Var(10, "v", 9, 1),
        Ptr(11, "", 9),
        Typedef(12, "t", 11),
    ]
    found = differences(more, common)
    assert texts(found[Kind.FUNC].only_a) == ["static int * f(const struct s *x)"]
    assert texts(found[Kind.VAR].only_a) == ["global int v[4]"]
    follows = {k.name: texts(diff.follows_a) for k, diff in found.items() if diff.follows_a}
    assert follows == {
        "CONST": ["const struct s"],
        "PTR": ["const struct s *"],
        "FUNC_PROTO": ["int *(const struct s *x)"],
        "DECL_TAG": ["bpf_kfunc on FUNC f"],
    }
    # The array has another user.
    assert texts(found[Kind.ARRAY].only_a) == ["int [4]"]


def test_prototype_of_a_changed_function_follows_from_it() -> None:
    before: list[Type] = [INT, LONG, FuncProto(3, "", 1, ()), Func(4, "f", 3, 0)]
    after: list[Type] = [INT, LONG, FuncProto(3, "", 2, ()), Func(4, "f", 3, 0)]
    found = differences(before, after)
    assert [texts(c.what) for c in found[Kind.FUNC].changed] == [["int f(void) -> long f(void)"]]
    assert texts(found[Kind.FUNC_PROTO].follows_a) == ["int (void)"]
    assert texts(found[Kind.FUNC_PROTO].follows_b) == ["long (void)"]
    assert not found[Kind.FUNC_PROTO].only_a


# --- split BTF, command line ------------------------------------------------------------------


def test_split_btf_over_bases_numbered_differently(tmp_path: Path) -> None:
    order = list(range(len(EVERY_KIND)))[::-1]
    files = []
    for number, types in enumerate((EVERY_KIND, renumbered(EVERY_KIND, order))):
        blob = write(types)
        base = Btf.from_bytes(blob)
        node = base.find(Struct, "node")[0].id
        own: list[Type] = [
            Struct(23, "own", 32, (Member("node", node, 0, 0),), False),
            Ptr(24, "", 23),
        ]
        files += [tmp_path / f"base{number}", tmp_path / f"split{number}"]
        files[-2].write_bytes(blob)
        files[-1].write_bytes(write(own, base=base, base_strings=strings_size(blob)))
    base_a, a, base_b, b = map(str, files)
    assert main(["diff", a, b, "--base", base_a, "--base-b", base_b]) == 0
    assert main(["diff", a, b, "--base", base_a]) == 1


def test_what_split_btf_repeats_of_its_base_is_no_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blob = write([INT, *struct(A)[1:], Ptr(6, "", 1)])
    base = Btf.from_bytes(blob)
    (known,) = base.find(Struct, "s")
    first = len(base)
    own: list[Type] = [Typedef(first, "own", known.id)]
    again = replace(known, id=first + 1)
    longer = replace(known, id=first + 1, size=known.size + 8)
    paths = [tmp_path / name for name in ("base", "own", "again", "longer")]
    paths[0].write_bytes(blob)
    for path, types in zip(paths[1:], (own, [*own, again], [*own, longer]), strict=True):
        path.write_bytes(write(types, base=base, base_strings=strings_size(blob)))
    base_path, *rest = map(str, paths)
    assert main(["diff", rest[0], rest[1], "--base", base_path]) == 0
    assert "repeat the base, no difference: 0 of A, 1 of B" in capsys.readouterr().out
    assert main(["diff", rest[0], rest[2], "--base", base_path]) == 1
    assert "repeat the base" not in capsys.readouterr().out


@pytest.fixture
def two_files(tmp_path: Path) -> tuple[str, str]:
    """struct s with a member more, and 25 typedefs more."""
    typedefs = [Typedef(n, f"t{n}", 1) for n in range(6, 31)]
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(write(struct(A)))
    b.write_bytes(write([*struct(A, B), *typedefs]))
    return str(a), str(b)


def test_exit_status_says_whether_they_differ(
    two_files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = two_files
    assert main(["diff", a, a]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("no difference")
    assert main(["diff", a, b]) == 1
    assert capsys.readouterr().err == ""
    assert main(["diff", a, b + "x"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"kbuild-btf: {b}x: No such file or directory\n"


def test_output_is_limited_per_kind(
    two_files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["diff", *two_files])
    text = capsys.readouterr().out
    assert "      member-added: b only in B: int: nothing that was there knows it\n" in text
    assert "addition: 26\n" in text
    assert text.count("+ TYPEDEF typedef int t") == 19
    assert "... 6 more" in text
    main(["diff", *two_files, "--limit", "0"])
    assert capsys.readouterr().out.count("+ TYPEDEF typedef int t") == 25


def test_json(two_files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", *two_files, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["a"], found["b"], found["same"]) == (*two_files, False)
    assert found["kinds"]["STRUCT"] == {
        "a": 2,
        "b": 2,
        "only_a": [],
        "only_b": [],
        "changed": [{"name": "struct s", "what": ["b only in B: int"]}],
        "follows_a": [],
        "follows_b": [],
        "repeated_a": 0,
        "repeated_b": 0,
    }
    assert len(found["kinds"]["TYPEDEF"]["only_b"]) == 25


def test_compiled_code(tmp_path: Path) -> None:
    """The same source twice is the same; one more member is one change."""
    source = SOURCES / "layouts.c"
    other = tmp_path / "other.c"
    text = source.read_text()
    other.write_text(text.replace("struct plain v_plain;", "") + "struct plain v_plain;\n")
    changed = tmp_path / "changed.c"
    changed.write_text(text.replace("struct holes {", "struct holes {\n\tu64 first, second;"))
    first, second, third = (
        Btf.load(pahole(compiled(path, tmp_path / f"{n}.o"), tmp_path / f"{n}.btf"))
        for n, path in enumerate((source, other, changed))
    )
    assert diff(first, second).same
    found = {one.kind: one for one in diff(first, third).kinds if one.differs}
    assert set(found) == {Kind.STRUCT}
    names = [change.name for change in found[Kind.STRUCT].changed]
    # What contains it by value becomes larger.
    assert names == ["struct holes", "struct inside", "struct packed"]
