# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""`kbuild-btf verify`: good BTF passes, each kind of planted error is found, nothing is guessed."""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import btfwriter
import pytest
from cases import CASES, REFUSED, Case, build
from elftools.elf.elffile import ELFFile
from elfwriter import X86_64, Target
from support import SOURCES, kbuild_btf, missing, require, run

from kbuild_btf import Btf, Error, _native
from kbuild_btf.btf import (
    Array,
    Datasec,
    Enum,
    Enum64,
    Func,
    FuncProto,
    Fwd,
    Int,
    Member,
    SecInfo,
    Struct,
    Type,
    Typedef,
    Union,
    Var,
)
from kbuild_btf.verification import running, units, verify
from kbuild_btf.verification.dies import Die, Section, uleb
from kbuild_btf.verification.facts import Features
from kbuild_btf.verification.image import load

ONE = """
struct list { struct list *next, **prev; };
struct only_declared;
typedef unsigned long size;
enum colour { RED = -1, GREEN, BLUE = 7 };
enum wide { HUGE = 0x100000000ull };
enum only_declared_too;
union number { int whole; float part; char bytes[3][4]; };
struct record {
    struct list list;
    unsigned int low : 3, high : 29;
    struct { enum colour colour; union { size length; void *data; }; } inner;
    int (*call)(struct record *, const char *format, ...);
    struct only_declared *unknown;
    enum only_declared_too *unknown_too;
    const volatile char text[];
};
#define PERCPU __attribute__((section(".data..percpu")))
PERCPU long counter = 1;
PERCPU struct record *current_record = 0;
static PERCPU int hidden = 3;
static long elsewhere = 4;
enum wide wide;
union number number;
long nothing(void) { return counter + hidden++ + elsewhere++; }
int something(struct record *record, size length) { return record->low + length; }
"""
TWO = """
struct list { struct list *next, **prev; };
struct list head;
#define PERCPU __attribute__((section(".data..percpu")))
static PERCPU int hidden = 5;
struct two { struct list *list; char c; };
int second(struct two *two, ...) { return two->c + hidden++; }
"""
SCRIPT = """SECTIONS {
    .data..percpu 0 : { *(.data..percpu) }
    . = 0x10000;
    .text : { *(.text*) }
    .data : { *(.data*) }
    .bss : { *(.bss*) }
}
"""

RULES = "the kernel's rules: "

_T = TypeVar("_T", bound=Type)


class Sample:
    """A linked file with per-CPU data, and its BTF."""

    def __init__(self, directory: Path, compiler: str, *flags: str) -> None:
        objects = []
        for name, text in (("one", ONE), ("two", TWO)):
            source = directory / f"{name}.c"
            source.write_text(text)
            objects.append(directory / f"{name}.o")
            done = run(compiler, "-g", "-O1", *flags, "-c", source, "-o", objects[-1])
            assert done.returncode == 0, done.stderr
        (directory / "script").write_text(SCRIPT)
        self.elf = directory / "image"
        done = run("ld", "-e", "0", "-T", directory / "script", "-o", self.elf, *objects)
        assert done.returncode == 0, done.stderr
        self.objects = objects
        self.directory = directory
        self.btf = _native.encode(self.elf).btf
        self.types: list[Type] = list(Btf.from_bytes(self.btf))

    def written(self, btf: bytes) -> Path:
        """A BTF as a file."""
        path = self.directory / "planted.btf"
        path.write_bytes(btf)
        return path

    def verify(self, types: Sequence[Type], sample: int = 0) -> list[str]:
        """How these types differ from the DWARF; the kernel's rules have a test of their own."""
        path = self.written(btfwriter.write(types))
        problems = verify(self.elf, btf=path, sample=sample, kernel=False).problems
        return [str(p) for p in problems if not p.what.startswith(RULES)]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    require("gcc", "ld")
    return Sample(tmp_path_factory.mktemp("sample"), "gcc", "-gdwarf-5")


def one(types: Sequence[Type], cls: type[_T], name: str) -> _T:
    """The only type of a class and name."""
    (found,) = (t for t in types if isinstance(t, cls) and t.name == name)
    return found


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("version", [4, 5])
def test_good_btf_has_no_problem(compiler: str, version: int, tmp_path: Path) -> None:
    require("gcc", "ld")
    if not shutil.which(compiler):
        names = sorted(Path("/usr/bin").glob("clang-[0-9]*[0-9]"))
        if not names:
            missing("not installed: clang")
        compiler = str(names[0])
    sample = Sample(tmp_path, compiler, f"-gdwarf-{version}")
    verdict = verify(sample.elf, btf=sample.written(sample.btf), kernel=False)
    assert [str(problem) for problem in verdict.problems] == []
    assert (verdict.units, verdict.all_units, verdict.sampled) == (2, 2, False)
    compared = {kind: (own, seen) for kind, own, seen, _ in verdict.compared}
    assert compared["struct"] == (4, 5)
    assert compared["forward struct"] == (1, 1)
    assert compared["variable"][0] == 4
    assert compared["function"][0] == len([t for t in sample.types if isinstance(t, Func)]) == 3
    assert "the kernel's rules: kept" in verdict.notes


def test_relocatable_object(sample: Sample) -> None:
    """Addresses count from the section, and the debug information wants relocating."""
    for elf in sample.objects:
        path = sample.written(_native.encode(elf).btf)
        assert verify(elf, btf=path, kernel=False).problems == []
        assert any(isinstance(found, Var) for found in Btf.load(path))


# Each: what to change of the types, and what must be said. A function that returns nothing has
# changed the list itself.
def put(types: list[Type], found: Type, **changes: Any) -> None:
    """A changed copy in the place of a type."""
    place = next(i for i, known in enumerate(types) if known is found)
    types[place] = replace(found, **changes)


def _list_next(types: list[Type]) -> None:
    found = one(types, Struct, "list")
    first, second = found.members
    put(types, found, members=(replace(first, bit_offset=64), second))


def _list_name(types: list[Type]) -> None:
    found = one(types, Struct, "list")
    put(types, found, members=(replace(found.members[0], name="nixt"), found.members[1]))


def _list_type(types: list[Type]) -> None:
    found = one(types, Struct, "list")
    put(
        types,
        found,
        members=(replace(found.members[0], type_id=found.members[1].type_id), found.members[1]),
    )


def _list_size(types: list[Type]) -> None:
    put(types, one(types, Struct, "list"), size=24)


def _list_member_less(types: list[Type]) -> None:
    found = one(types, Struct, "list")
    put(types, found, members=found.members[:1])


def _renamed(types: list[Type]) -> None:
    put(types, one(types, Union, "number"), name="lost")


def _struct_more(types: list[Type]) -> None:
    types.append(Struct(0, "invented", 4, (Member("x", one(types, Int, "int").id, 0, 0),), False))


def _second_definition(types: list[Type]) -> None:
    types.append(Struct(0, "list", 4, (Member("x", one(types, Int, "int").id, 0, 0),), False))


def _bit_size(types: list[Type]) -> None:
    found = one(types, Struct, "record")
    put(
        types,
        found,
        members=tuple(replace(m, bit_size=4) if m.name == "low" else m for m in found.members),
    )


def _inner(types: list[Type]) -> None:
    """A type without a name, below one that has one."""
    (found,) = (
        t for t in types if isinstance(t, Struct) and not t.name and t.members[0].name == "colour"
    )
    put(types, found, members=(replace(found.members[0], bit_offset=32), *found.members[1:]))


def _union_member(types: list[Type]) -> None:
    found = one(types, Union, "number")
    put(types, found, members=found.members[::-1])


def _array(types: list[Type]) -> None:
    (found,) = (t for t in types if isinstance(t, Array) and t.nelems == 12)
    put(types, found, nelems=13)


def _enum_value(types: list[Type]) -> None:
    found = one(types, Enum, "colour")
    put(types, found, values=(replace(found.values[0], value=-2), *found.values[1:]))


def _enum_less(types: list[Type]) -> None:
    found = one(types, Enum, "colour")
    put(types, found, values=found.values[:2])


def _enum_wide(types: list[Type]) -> None:
    found = one(types, Enum64, "wide")
    put(types, found, values=(replace(found.values[0], value=1),))


def _typedef(types: list[Type]) -> None:
    put(types, one(types, Typedef, "size"), type_id=one(types, Int, "int").id)


def _base_type(types: list[Type]) -> None:
    put(types, one(types, Int, "int"), encoding=0)


def _forward(types: list[Type]) -> None:
    put(types, one(types, Fwd, "only_declared"), name="declared_nowhere")


def _proto(types: list[Type], name: str) -> FuncProto:
    found = types[one(types, Func, name).type_id - 1]
    assert isinstance(found, FuncProto)
    return found


def _result(types: list[Type]) -> None:
    put(types, _proto(types, "nothing"), type_id=one(types, Int, "int").id)


def _parameter_name(types: list[Type]) -> None:
    found = _proto(types, "something")
    put(types, found, params=(replace(found.params[0], name="recorder"), *found.params[1:]))


def _parameter_less(types: list[Type]) -> None:
    found = _proto(types, "something")
    put(types, found, params=found.params[:1])


def _variadic(types: list[Type]) -> None:
    found = _proto(types, "second")
    put(types, found, params=found.params[:1])


def _function_renamed(types: list[Type]) -> None:
    put(types, one(types, Func, "something"), name="anything")


def _function_less(types: list[Type]) -> None:
    """Another in its place, so that the numbers stay."""
    put(types, one(types, Func, "nothing"), name="second")


def _entries(types: list[Type], change: Callable[[str, SecInfo], SecInfo | None]) -> None:
    found = one(types, Datasec, ".data..percpu")
    changed = (change(types[entry.type_id - 1].name, entry) for entry in found.entries)
    put(types, found, entries=tuple(entry for entry in changed if entry))


def _offset(types: list[Type]) -> None:
    _entries(types, lambda name, e: replace(e, offset=e.offset + 4) if name == "counter" else e)


def _beyond(types: list[Type]) -> None:
    _entries(types, lambda name, e: replace(e, offset=4096) if name == "counter" else e)


def _entry_size(types: list[Type]) -> None:
    _entries(types, lambda name, e: replace(e, size=4) if name == "counter" else e)


def _entry_less(types: list[Type]) -> None:
    _entries(types, lambda name, e: None if name == "counter" else e)


def _variable_type(types: list[Type]) -> None:
    put(types, one(types, Var, "counter"), type_id=one(types, Typedef, "size").id)


def _linkage(types: list[Type]) -> None:
    put(types, one(types, Var, "counter"), linkage=0)


def _variable_renamed(types: list[Type]) -> None:
    put(types, one(types, Var, "counter"), name="encounter")


def _section(types: list[Type]) -> None:
    put(types, one(types, Datasec, ".data..percpu"), name=".data..nowhere")


def _function_linkage(types: list[Type]) -> None:
    put(types, one(types, Func, "nothing"), linkage=1)


def _section_size(types: list[Type]) -> None:
    found = one(types, Datasec, ".data..percpu")
    put(types, found, size=found.size + 100)


def _index(types: list[Type]) -> None:
    found = next(t for t in types if isinstance(t, Array))
    put(types, found, index_type_id=one(types, Int, "char").id)


PLANTED = [
    (_function_linkage, ["function nothing: linkage 1 in place of 0"]),
    (_section_size, ["section .data..percpu: size 128, its variables end at 28"]),
    (_index, ["array: its index is no int but 'char'"]),
    (_list_next, ["struct list: DWARF has 'bit 0 struct list *next', BTF has 'bit 64 struct list"]),
    (
        _list_name,
        ["struct list: DWARF has 'bit 0 struct list *next', BTF has 'bit 0 struct list *n"],
    ),
    (
        _list_type,
        ["struct list: DWARF has 'bit 0 struct list *next', BTF has 'bit 0 struct list **n"],
    ),
    (_list_size, ["struct list: DWARF has 'size 16', BTF has 'size 24'"]),
    (_list_member_less, ["struct list: DWARF has 'bit 64 struct list **prev', BTF has nothing mo"]),
    (_renamed, ["union number: missing in the BTF", "union lost: not in the DWARF"]),
    (_struct_more, ["struct invented: not in the DWARF: size 4; bit 0 int x"]),
    (_second_definition, ["struct list: not in the DWARF: size 4; bit 0 int x"]),
    (_bit_size, ["DWARF has 'bit 128:3 unsigned int low', BTF has 'bit 128:4 unsigned int low'"]),
    (
        _inner,
        [
            "struct record: DWARF has 'bit 0 enum colour colour', BTF has 'bit 32 enum colour",
            "struct without a name: missing in the BTF: size 16; bit 0 enum colour colour",
            "struct without a name: not in the DWARF: size 16; bit 32 enum colour colour",
        ],
    ),
    (_union_member, ["union number: DWARF has 'bit 0 int whole', BTF has 'bit 0 char bytes[12]'"]),
    (_array, ["DWARF has 'bit 0 char bytes[12]', BTF has 'bit 0 char bytes[13]'"]),
    (_enum_value, ["enum colour: DWARF has 'RED = -1', BTF has 'RED = -2'"]),
    (_enum_less, ["enum colour: DWARF has 'BLUE = 7', BTF has nothing more"]),
    (_enum_wide, ["enum wide: DWARF has 'HUGE = 4294967296', BTF has 'HUGE = 1'"]),
    (_typedef, ["typedef size: DWARF has 'long unsigned int', BTF has 'int'"]),
    (_base_type, ["base type int: DWARF has 'size 4, 32 bits, signed', BTF has 'size 4, 32 bits'"]),
    (
        _forward,
        [
            "struct record: DWARF has 'bit 384 struct only_declared *unknown'",
            "forward struct only_declared: missing in the BTF",
            "forward struct declared_nowhere: not in the DWARF",
        ],
    ),
    (_result, ["function nothing: DWARF has 'returns long int', BTF has 'returns int'"]),
    (_parameter_name, ["function something: DWARF has 'struct record *record', BTF has 'struct r"]),
    (_parameter_less, ["function something: DWARF has 'size length', BTF has nothing more"]),
    (_variadic, ["function second: DWARF has '...', BTF has nothing more"]),
    (
        _function_renamed,
        ["function anything: no symbol of that name", "function anything: not in the DWARF"],
    ),
    (
        _function_less,
        ["function second: DWARF has 'returns int', BTF has", "function nothing: missing in the"],
    ),
    (
        _offset,
        [
            "no symbol there",
            "not in the DWARF at that",
            "missing in the BTF",
        ],
    ),
    (
        _beyond,
        ["beyond the end of", "no symbol there", "not in the DWARF at that", "missing in the BTF"],
    ),
    (_entry_size, ["8 bytes in DWARF, 4 in BTF"]),
    (_entry_less, ["variable counter: in no section", "missing in the BTF"]),
    (
        _variable_type,
        ["DWARF has 'long int', BTF has 'size'"],
    ),
    (_linkage, ["global in DWARF, linkage 0 in BTF"]),
    (
        _variable_renamed,
        ["no symbol there", "not in the DWARF at that", "missing in the BTF"],
    ),
    (_section, ["section .data..nowhere: not in the ELF file", *["missing in the BTF"] * 4]),
]


@pytest.mark.parametrize(
    ("plant", "expected"),
    [pytest.param(plant, text, id=plant.__name__.strip("_")) for plant, text in PLANTED],
)
def test_planted_errors_are_found(
    plant: Callable[[list[Type]], None], expected: list[str], sample: Sample
) -> None:
    types: list[Type] = [replace(found) for found in sample.types]
    plant(types)
    found = sample.verify(types)
    assert all("(BTF [" in line or "(DIE 0x" in line for line in found)
    # Each text in a line of its own, and no line besides.
    unmatched = list(found)
    for text in expected:
        matching = [line for line in unmatched if text in line]
        assert matching, (text, found)
        unmatched.remove(matching[0])
    assert unmatched == []


def test_the_kernels_rules_are_asked(sample: Sample) -> None:
    types: list[Type] = [replace(found) for found in sample.types]
    put(types, one(types, Struct, "list"), size=1)
    path = sample.written(btfwriter.write(types))
    problems = verify(sample.elf, btf=path, kernel=False).problems
    (rules,) = (str(problem) for problem in problems if problem.what.startswith(RULES))
    assert "behind the end" in rules


CASE_RUNS = [
    pytest.param(case, version, target, id=f"{case.name}-dwarf{version}-{target.name}")
    for case in CASES
    for version in case.versions
    for target in case.targets
]


@pytest.mark.parametrize(("case", "version", "target"), CASE_RUNS)
def test_odd_dwarf(case: Case, version: int, target: Target, tmp_path: Path) -> None:
    """All machines, byte orders and forms: the encoder and verify read them alike."""
    elf, btf = tmp_path / "a.o", tmp_path / "a.btf"
    elf.write_bytes(build(case, version, target))
    btf.write_bytes(_native.encode(elf, features=case.features).btf)
    verdict = verify(elf, btf=btf, features=case.features, kernel=False)
    assert [str(problem) for problem in verdict.problems] == []


@pytest.mark.parametrize(
    "name", ["type_unit_4", "type_unit_5", "split_dwarf", "partial_unit", "imported_unit"]
)
def test_dwarf_that_is_elsewhere_is_refused(name: str, sample: Sample, tmp_path: Path) -> None:
    """What is not read must not pass as verified."""
    (make, why) = next((make, why) for found, make, why in REFUSED if found == name)
    elf = tmp_path / "a.o"
    elf.write_bytes(build(Case("refused", make, []), 0, X86_64))
    with pytest.raises(Error) as raised:
        verify(elf, btf=sample.written(sample.btf), kernel=False)
    assert why in str(raised.value)
    assert str(elf) in raised.value.where


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("flags", [(), ("-gz",)], ids=["plain", "compressed"])
def test_the_quick_reader_reads_what_pyelftools_reads(
    version: int, flags: tuple[str, ...], tmp_path: Path
) -> None:
    """Every entry of compiled files, attribute by attribute."""
    require("gcc")
    compared = 0
    for source in sorted(SOURCES.glob("*.c")):
        elf = tmp_path / f"{source.stem}.o"
        done = run("gcc", f"-gdwarf-{version}", "-O2", *flags, "-c", source, "-o", elf)
        assert done.returncode == 0, done.stderr
        _, section = load(str(elf))
        with elf.open("rb") as stream:
            info = ELFFile(stream).get_dwarf_info()
            for index, theirs in enumerate(info.iter_CUs()):
                compared += _compare(section, index, theirs)
    assert compared > 500


def _compare(section: Section, index: int, theirs: Any) -> int:
    unit = section.read(index)
    entries = [die for die in theirs.iter_DIEs() if die.tag is not None]
    assert unit.count == len(entries)
    kept: dict[int, Die] = {**unit.dies, **unit.parts}
    for entry in entries:
        ours = kept.pop(entry.offset, None)
        if ours is None:
            assert entry.tag[7:] not in ("structure_type", "base_type", "subprogram", "typedef")
            continue
        assert f"DW_TAG_{ours.tag}" == entry.tag
        for name, value in ours.attributes.items():
            assert _value(entry, f"DW_AT_{name}") == value, (entry, name)
    assert kept == {}
    return len(unit.dies) + len(unit.parts)


def _value(entry: Any, name: str) -> object:
    attribute = entry.attributes[name]
    if attribute.form in ("DW_FORM_ref4", "DW_FORM_ref2", "DW_FORM_ref1"):
        return attribute.value + entry.cu.cu_offset
    if isinstance(attribute.value, list):
        return bytes(attribute.value)
    if isinstance(attribute.value, bytes):
        return attribute.value.decode()
    if name == "DW_AT_upper_bound" and attribute.form == "DW_FORM_exprloc":
        return None
    return attribute.value


@pytest.mark.parametrize(("raw", "value"), [(b"\0", 0), (b"\x7f", 127), (b"\xe5\x8e\x26", 624485)])
def test_uleb(raw: bytes, value: int) -> None:
    assert uleb(raw, 0) == (value, len(raw))


def test_several_processes_say_the_same(sample: Sample) -> None:
    """In a process of its own: forking one that has threads is not safe."""
    program = (
        "import sys\n"
        "from kbuild_btf.verification import facts, image, units\n"
        "units._WORTH_IT, units._BATCH = 0, 1\n"
        "section = image.load(sys.argv[1])[1]\n"
        "one, two = (units.read(section, [0, 1], facts.Features(), frozenset(), jobs,\n"
        "                       lambda done, total: None)\n"
        "            for jobs in (1, 2))\n"
        "assert len(one.layouts) > 10 and one == two\n"
        "print('equal')\n"
    )
    done = run(sys.executable, "-I", "-c", program, sample.elf)
    assert (done.stdout, done.stderr) == ("equal\n", "")


def test_a_sample_says_only_what_it_knows(sample: Sample) -> None:
    """What stands in other units is neither missing nor wrong; what it reads is compared."""
    path = sample.written(sample.btf)
    verdict = verify(sample.elf, btf=path, sample=1, kernel=False)
    assert (verdict.problems, verdict.units, verdict.all_units) == ([], 1, 2)
    types: list[Type] = [replace(found) for found in sample.types]
    _list_next(types)
    _result(types)
    _offset(types)
    assert len(sample.verify(types, sample=1)) == 4
    types = [replace(found) for found in sample.types]
    put(types, one(types, Struct, "two"), size=99)
    _variadic(types)
    assert sample.verify(types, sample=1) == []
    assert len(sample.verify(types)) == 2


def test_samples_are_spread_and_the_same_each_time() -> None:
    assert units.sample(10, 0) == units.sample(10, 11) == list(range(10))
    assert units.sample(10, 4) == units.sample(10, 4) == [0, 2, 5, 7]


def test_names_of_features_and_languages() -> None:
    assert Features.named(None) == Features.named("default") == Features()
    assert Features.named("+global_var") == replace(Features(), global_var=True)
    assert Features.named("var,float") == replace(Features(), enum64=False, type_tag=False)
    with pytest.raises(Error, match="unknown feature nonsense"):
        Features.named("var,nonsense")
    assert units.languages(["rust", "C11", "c++14", "asm"]) == {0x1C, 0x1D, 0x21, 0x8001}
    with pytest.raises(Error, match="unknown language klingon"):
        units.languages(["klingon"])


def test_units_in_a_language_that_is_left_out(sample: Sample) -> None:
    """All are C here; then nothing of the BTF is in the DWARF."""
    names = ["c99", "c11", "c"]
    verdict = verify(sample.elf, btf=sample.written(sample.btf), lang_exclude=names, kernel=False)
    assert verdict.left_out == 2
    assert any("struct list: not in the DWARF" in str(problem) for problem in verdict.problems)


@pytest.mark.parametrize("features", ["var", "+global_var", "var,enum64", "var,float"])
def test_features_change_what_is_expected(features: str, sample: Sample) -> None:
    path = sample.written(_native.encode(sample.elf, features=features).btf)
    assert verify(sample.elf, btf=path, features=features, kernel=False).problems == []


def test_split_btf(sample: Sample, tmp_path: Path) -> None:
    """Types of the base count as present; the split part alone is what must be in the DWARF."""
    base = tmp_path / "base.btf"
    base.write_bytes(_native.encode(sample.objects[1]).btf)
    split = tmp_path / "split.btf"
    split.write_bytes(_native.encode(sample.objects[0], base=base).btf)
    verdict = verify(sample.objects[0], btf=split, base=base, kernel=True)
    assert verdict.problems == []
    assert "running kernel: not asked; programs cannot load split BTF" in verdict.notes
    assert {kind: own for kind, own, _, _ in verdict.compared}["struct"] < 4


def test_command(sample: Sample, tmp_path: Path) -> None:
    """Exit status 0 and a summary; 1 and a line per problem; 2 and a message."""
    elf = tmp_path / "image"
    shutil.copy(sample.elf, elf)
    _native.embed(elf, [(".BTF", sample.btf)])
    done = kbuild_btf("verify", elf, "--no-kernel")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith(f"{elf}: no problem; 2 units, ")
    done = kbuild_btf("verify", elf, "--no-kernel", "--sample", "1")
    assert "; a sample: 1 of 2 units, " in done.stdout.splitlines()[-1]

    types: list[Type] = [replace(found) for found in sample.types]
    _list_size(types)
    _typedef(types)
    planted = sample.written(btfwriter.write(types))
    done = kbuild_btf("verify", elf, "--btf", planted, "--limit", "1", "--no-kernel")
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert "struct list: DWARF has 'size 16', BTF has 'size 24' (BTF [" in lines[0]
    assert lines[1].startswith("... ")
    assert lines[-1].startswith(f"{planted}: ")

    trouble: tuple[tuple[list[str | Path], str], ...] = (
        (["verify", tmp_path / "absent"], "No such file"),
        (["verify", sample.elf], "no .BTF section"),
        (["verify", elf, "--btf", sample.directory / "one.c"], "magic number"),
        (["verify", sample.directory / "one.c", "--btf", planted], "Magic number"),
        (["verify", elf, "--sample", "-1"], "0 or more is wanted"),
    )
    for words, why in trouble:
        done = kbuild_btf(*words)
        assert (done.returncode, done.stdout) == (2, "")
        assert why in done.stderr
        assert done.stderr.count("\n") == 1


def test_no_dwarf(sample: Sample, tmp_path: Path) -> None:
    elf = tmp_path / "stripped"
    assert run("strip", "-g", "-o", elf, sample.elf).returncode == 0
    with pytest.raises(Error, match="no DWARF debug information"):
        verify(elf, btf=sample.written(sample.btf))


def test_damaged_dwarf_is_one_message(sample: Sample, tmp_path: Path) -> None:
    """Bytes of .debug_info replaced, everywhere: an Error or problems, nothing else."""
    path = sample.written(sample.btf)
    raw = sample.elf.read_bytes()
    with sample.elf.open("rb") as stream:
        section = ELFFile(stream).get_section_by_name(".debug_info")
        start, size = section["sh_offset"], section["sh_size"]
    damaged = tmp_path / "damaged"
    outcomes: set[bool | str] = set()
    for offset in range(start, start + size, 7):
        damaged.write_bytes(raw[:offset] + bytes([raw[offset] ^ 0xFF]) + raw[offset + 1 :])
        try:
            outcomes.add(bool(verify(damaged, btf=path, kernel=False).problems))
        except Error as error:
            # Not one without a place.
            outcomes.add(error.where.startswith(str(damaged)) and "error")
    assert outcomes <= {True, False, "error"}
    assert {True, "error"} <= outcomes


def test_the_running_kernel(sample: Sample) -> None:
    """It takes what is good and refuses what is not; where it cannot be asked, both say so."""
    good = running.load(sample.btf)
    types: list[Type] = [replace(found) for found in sample.types]
    put(types, one(types, Struct, "list"), size=1)
    bad = running.load(btfwriter.write(types))
    if good.accepted is None:
        assert bad == good
        missing(good.why)
    assert good == (True, "")
    assert bad.accepted is False
    # The last line of the kernel's log, after the name of the error.
    assert "EINVAL" in bad.why
    assert "exceeds" in bad.why


def test_the_running_kernel_is_not_asked_about_other_machines(sample: Sample) -> None:
    swapped = bytes([sample.btf[1], sample.btf[0]]) + sample.btf[2:]
    for outcome in (running.load(swapped), running.load(sample.btf, 32)):
        assert outcome.accepted is None
        assert outcome.why
    verdict = verify(sample.elf, btf=sample.written(sample.btf), kernel=True)
    assert any(note.startswith("running kernel") for note in verdict.notes)


_INTERRUPTED = """
import sys, time
from kbuild_btf import progress
from kbuild_btf.cli import main
from kbuild_btf.verification import dwarf, units
progress._PATIENCE = progress._INTERVAL = units._WORTH_IT = 0
units._BATCH = 1
describe = dwarf.Reader.describe
def slowly(self, batch, found):
    describe(self, batch, found)
    time.sleep(60 * batch[0])
dwarf.Reader.describe = slowly
sys.exit(main(["verify", sys.argv[1], "--btf", sys.argv[2], "--no-kernel", "-j2"]))
"""


def test_ctrl_c_ends_all_processes_and_takes_the_line_away(sample: Sample) -> None:
    """The second unit takes a minute."""
    pid, screen = pty.fork()
    if not pid:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.environ.pop("MAKELEVEL", None)
        btf = sample.written(sample.btf)
        try:
            words = ["-I", "-c", _INTERRUPTED, str(sample.elf), str(btf)]
            os.execv(sys.executable, [sys.executable, *words])
        finally:
            os._exit(99)
    text = ""
    start = time.monotonic()
    while "reading DWARF: " not in text:
        text += os.read(screen, 4096).decode()
    os.write(screen, b"\x03")
    with contextlib.suppress(OSError):
        while more := os.read(screen, 4096):
            text += more.decode()
    _, status = os.waitpid(pid, 0)
    os.close(screen)
    assert os.waitstatus_to_exitcode(status) == 130
    assert "Traceback" not in text
    assert text.endswith("\r\x1b[K")
    # Not a matter of speed: the unit that is being read takes a minute.
    assert time.monotonic() - start < 50
