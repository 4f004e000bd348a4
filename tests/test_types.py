# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What a reader of types expects of them: by name, followed, measured and spelled."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import btfwriter
import pytest
from support import compiled

from kbuild_btf import Btf, Error, encode
from kbuild_btf.btf import (
    Array,
    Composite,
    Const,
    Enum,
    Enumeration,
    Func,
    FuncProto,
    Fwd,
    Int,
    Member,
    Ptr,
    Struct,
    Type,
    Typedef,
    TypeTag,
    Union,
    Var,
    Void,
)
from kbuild_btf.errors import NotFoundError

SOURCE = """
typedef unsigned int u32;
typedef struct { u32 low, high; } pair_t;
enum state { RUNNING, STOPPED = 5 };
struct missing;
struct entity {
	unsigned long weight;
	struct { int depth; union { u32 hash; unsigned char bytes[4]; }; };
	struct entity *next;
};
struct task {
	int pid;
	u32 on_cpu : 1, queued : 3;
	char comm[16];
	struct entity se;
	pair_t pairs[3][2];
	const struct missing *missing;
	int (*handler)(struct task *task, const char *format, ...);
	enum state state;
	_Bool dead;
	__extension__ struct { short a; } deep[2];
};
typedef struct task task;
union either { int i; float f; };
static union either either;
task *current;
int sum(struct task *t, union either *e) { return t->pid + e->i + (int)sizeof(task); }
int sum2(void) { return either.i; }
"""


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("types")
    source = directory / "a.c"
    source.write_text(SOURCE)
    return compiled(source, directory / "a.o", "-O0", "-w")


@pytest.fixture(scope="module")
def btf(elf: Path) -> Btf:
    return Btf.from_bytes(encode(elf, features="+global_var").btf)


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("struct task", Struct),
        ("  struct   task ", Struct),
        ("task", Typedef),
        ("union either", Union),
        ("enum state", Enum),
        ("struct missing", Fwd),
        ("u32", Typedef),
        ("unsigned long", Int),
        ("long unsigned int", Int),
        ("unsigned", Int),
        ("int", Int),
        ("signed", Int),
        ("char", Int),
        ("_Bool", Int),
        ("void", Void),
    ],
)
def test_names_as_c_has_them(btf: Btf, name: str, cls: type) -> None:
    found = btf.type(name)
    assert isinstance(found, cls)
    assert name not in ("unsigned long", "long unsigned int") or found.name == "long unsigned int"


@pytest.mark.parametrize(
    "name", ["entity", "struct state", "union task", "struct nothing", "sum", "", "struct", "a b c"]
)
def test_names_that_c_does_not_have(btf: Btf, name: str) -> None:
    with pytest.raises(NotFoundError, match="no type"):
        btf.type(name)


def test_a_name_without_its_keyword_gets_a_hint(btf: Btf) -> None:
    with pytest.raises(NotFoundError, match="struct task_struct"):
        btf.type("entity")
    with pytest.raises(NotFoundError) as caught:
        btf.type("nobody")
    assert caught.value.hint == ""


def test_a_name_in_brackets_is_anything_of_that_name(btf: Btf) -> None:
    kinds = {"entity": Struct, "task": Typedef, "sum": Func, "missing": Fwd, "struct task": Struct}
    for name, cls in kinds.items():
        assert type(btf[name]) is cls
        assert name in btf
    assert type(btf["current"]) is Var
    for error in (KeyError, Error):
        with pytest.raises(error, match="nobody"):
            btf["nobody"]
    assert "nobody" not in btf
    assert "" not in btf
    assert btf["entity"] in btf and btf[0] in btf and len(btf) not in btf
    assert Struct(1, "entity", 0, (), False) not in btf


def test_a_definition_comes_before_a_declaration_whatever_the_ids() -> None:
    types: list[Type] = [
        Fwd(1, "s", False),
        Fwd(2, "s", True),
        Struct(3, "s", 8, (), False),
        Enum(4, "e", 4, False, ()),
        Struct(5, "s", 16, (), False),
        Int(6, "int", 4, Int.SIGNED, 0, 32),
    ]
    read = btfwriter.btf(types)
    assert [read["s"].id, read.type("struct s").id, read.type("union s").id] == [3, 3, 2]
    assert read.type("enum e").id == 4
    with pytest.raises(NotFoundError):
        read.type("enum s")
    assert [found.id for found in read.find(Type, "s")] == [1, 2, 3, 5]


def test_find_over_kinds(btf: Btf) -> None:
    assert {type(t) for t in btf.find(Type, "task")} == {Struct, Typedef}
    assert {t.name for t in btf.find(Func)} == {"sum", "sum2"}
    assert [t.name for t in btf.find(Composite, "either")] == ["either"]
    assert {t.name for t in btf.find(Composite) if t.name} == {"entity", "task", "either"}
    assert btf.find(Enumeration, "state") == btf.find(Enum, "state")
    assert btf.find(Typedef, "nobody") == []
    assert len(btf.find(Type)) == len(btf) - 1


def test_names_in_the_base_and_at_the_end_of_other_names() -> None:
    blob = btfwriter.write(btfwriter.EVERY_KIND)
    base = Btf.from_bytes(blob)
    own: list[Type] = [Struct(len(base), "own", 4, (), False)]
    raw = btfwriter.write(own, base=base, base_strings=btfwriter.strings_size(blob))
    split = Btf.from_bytes(raw, base)
    assert split["own"].btf is split
    assert split["node"].btf is base
    assert split.type("struct node") == base.type("struct node")
    assert base["node"] in split and split["own"] not in base
    # `wn` is the end of `own`: some producers store it once.
    shared = bytearray(raw)
    shared[24:28] = (int.from_bytes(raw[24:28], "little") + 1).to_bytes(4, "little")
    assert Btf.from_bytes(bytes(shared), base)["wn"].id == len(base)


def test_types_are_followed(btf: Btf) -> None:
    task = btf.find(Struct, "task")[0]
    assert task.member("pid").type == btf["int"]
    assert task.member("pid").type.btf is btf
    pointer = task.member("missing").type
    assert isinstance(pointer, Ptr) and isinstance(pointer.type, Const)
    assert pointer.type.type == btf["missing"]
    rows = task.member("pairs").type
    assert isinstance(rows, Array) and rows.nelems == 6 and rows.type == btf["pair_t"]
    function = btf["sum"]
    assert isinstance(function, Func)
    proto = function.type
    assert isinstance(proto, FuncProto)
    assert [str(param) for param in proto.params] == ["struct task *t", "union either *e"]
    assert proto.type == btf["int"]


def test_members_within_members_without_a_name(btf: Btf) -> None:
    entity = btf.find(Struct, "entity")[0]
    assert [entity.member(n).offset for n in ("weight", "depth", "hash", "bytes", "next")] == [
        *(0, 8, 12, 12, 16)
    ]
    with pytest.raises(NotFoundError, match=r"entity, 24 bytes.*: no member 'low'"):
        entity.member("low")
    task = btf.find(Struct, "task")[0]
    queued = task.member("queued")
    assert (queued.bit_offset, queued.bit_size, str(queued)) == (33, 3, "u32 queued : 3")
    with pytest.raises(Error, match="bit 33"):
        queued.offset  # noqa: B018


# Of task, as the compiler has it: checked by itself.
PLACES = [
    "pid",
    "comm",
    "comm[15]",
    "se",
    "se.depth",
    "se.hash",
    "se.bytes[3]",
    "se.next",
    "pairs[5].high",
    "missing",
    "handler",
    "state",
    "dead",
    "deep[1].a",
]


def test_offsets_and_sizes_are_the_compilers(btf: Btf, tmp_path: Path) -> None:
    task = btf.type("struct task")
    lines = []
    for place in PLACES:
        offset = btf.offsetof(task, place)
        assert offset == btf.offsetof("task", place) == btf.offsetof(task.id, place)
        # BTF joins the dimensions of an array.
        spelled = place.replace("pairs[5]", "pairs[2][1]")
        lines.append(f"_Static_assert(__builtin_offsetof(task, {spelled}) == {offset}, {place!r});")
    names = (
        "struct task",
        "pair_t",
        "union either",
        "enum state",
        "unsigned long",
        "struct entity *",
    )
    for name in names[:-1]:
        assert btf.sizeof(name) == btf.sizeof(btf.type(name)) == btf.sizeof(btf.type(name).id)
        lines.append(f"_Static_assert(sizeof({name}) == {btf.sizeof(name)}, {name!r});")
    next_one = btf.find(Struct, "entity")[0].member("next").type
    lines.append(f"_Static_assert(sizeof({names[-1]}) == {btf.sizeof(next_one)}, {names[-1]!r});")
    source = tmp_path / "check.c"
    source.write_text(SOURCE + "\n".join(lines).replace("'", '"'))
    compiled(source, tmp_path / "check.o", "-w")


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ("queued", "queued is a bitfield"),
        ("nobody", "no member 'nobody'"),
        ("pid.x", "has no members"),
        ("pid[0]", "is no array"),
        ("missing.x", "has no members"),
        ("", "is no member"),
        ("[0]", "is no array"),
        ("se..next", "is no member"),
        ("se.", "is no member"),
        ("se->next", "is no member"),
        ("comm[-1]", "is no member"),
        ("1", "is no member"),
    ],
)
def test_members_that_have_no_offset(btf: Btf, member: str, message: str) -> None:
    with pytest.raises(Error, match=message):
        btf.offsetof("struct task", member)


def test_a_struct_that_contains_itself_without_a_name_ends() -> None:
    """Damaged, but not by any rule that a reader checks."""
    types: list[Type] = [
        Struct(1, "", 4, (Member("", 1, 0, 0),), False),
        Ptr(2, "", 3),
        FuncProto(3, "", 2, ()),
        Const(4, "", 4),
    ]
    read = btfwriter.btf(types)
    with pytest.raises(NotFoundError):
        read.find(Struct)[0].member("x")
    for type_id in (1, 2, 3, 4):
        with pytest.raises(Error, match=rf"type \[{type_id}\] contains itself"):
            str(read[type_id])


def test_types_in_c(btf: Btf) -> None:
    said = {
        "struct entity": """\
struct entity {
	long unsigned int weight;
	struct {
		int depth;
		union {
			u32 hash;
			unsigned char bytes[4];
		};
	};
	struct entity *next;
}""",
        "enum state": "enum state {\n\tRUNNING = 0,\n\tSTOPPED = 5,\n}",
        "u32": "typedef unsigned int u32",
        "pair_t": "typedef struct {\n\tu32 low;\n\tu32 high;\n} pair_t",
        "sum": "int sum(struct task *t, union either *e)",
        "current": "task *current",
        "struct missing": "struct missing",
        "int": "int",
    }
    assert {name: str(btf[name]) for name in said} == said
    handler = btf.find(Struct, "task")[0].member("handler")
    assert str(handler) == "int (*handler)(struct task *, const char *, ...)"
    assert str(handler.type) == "int (*)(struct task *, const char *, ...)"
    assert str(btf[0]) == "void"


def test_what_is_spelled_compiles_to_the_same(btf: Btf, elf: Path, tmp_path: Path) -> None:
    names = ["u32", "pair_t", "enum state", "struct entity", "struct task", "task", "union either"]
    source = tmp_path / "again.c"
    text = "".join(f"{btf.type(name)};\n" for name in names)
    source.write_text(text + "task one; union either two;\n")
    again = Btf.from_bytes(encode(compiled(source, tmp_path / "again.o", "-w")).btf)
    for name in names:
        assert str(again.type(name)) == str(btf.type(name))
        assert again.sizeof(name) == btf.sizeof(name)


def test_records_say_what_they_are(btf: Btf) -> None:
    task = btf.find(Struct, "task")[0]
    assert repr(task) == f"<Struct [{task.id}] task, {task.size} bytes, 11 members>"
    assert repr(task.member("pid")) == f"<Member 'pid' of type [{btf['int'].id}] at bit 0>"
    assert repr(btf["int"]) == f"<Int [{btf['int'].id}] int, 4 bytes>"
    assert repr(btf[0]) == "<Void [0]>"
    assert repr(btf) == f"<Btf BTF: {len(btf) - 1} types>"
    for found in btf:
        assert f"[{found.id}]" in repr(found) and len(repr(found)) < 120


def test_records_do_not_change_and_can_be_keys(btf: Btf) -> None:
    known = {found: found.id for found in btf}
    assert len(known) == len(btf) - 1
    assert all(known[btf[type_id]] == type_id for type_id in range(1, len(btf)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        btf["int"].name = "long"  # type: ignore[misc]
    task = btf.find(Struct, "task")[0]
    assert len(set(task.members)) == len(task.members)


def test_a_record_that_was_not_read_refers_to_nothing() -> None:
    with pytest.raises(Error, match=r"<Typedef \[1\] t of type \[2\]> was not read"):
        Typedef(1, "t", 2).type  # noqa: B018
    assert repr(TypeTag(3, "user", 1, False)) == "<TypeTag [3] user of type [1]>"


def test_all_that_has_a_name_is_found_by_it(btf: Btf) -> None:
    for found in btf:
        if found.name:
            assert found in btf.find(type(found), found.name)
            assert found.name in btf
