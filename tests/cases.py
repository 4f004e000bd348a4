# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Odd and ordinary DWARF, and the BTF it means: the documents in tests/cases/, which
cases/README.md describes, and what is refused.

The functions here, and all of dwarfwriter and elfwriter, are the words that the documents use.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dwarfwriter
import elfwriter
from documents import Fence, fences
from dwarfwriter import ATE, DIE, LANG_C11, Form, Ref, Unit, Value, write_dwarf
from elfwriter import (
    ET_REL,
    SHF_ALLOC,
    SHF_EXECINSTR,
    SHF_WRITE,
    STT_FUNC,
    TARGETS,
    X86_64,
    Section,
    Symbol,
    Target,
)

DOCUMENTS = Path(__file__).resolve().parent / "cases"
_TARGETS = {
    "all": TARGETS,
    "little": tuple(target for target in TARGETS if target.little),
    "big": tuple(target for target in TARGETS if not target.little),
}


@dataclass(frozen=True)
class Case:
    """`units` is called for each version and target; its result is encoded to `expect`."""

    name: str
    units: Callable[[], Sequence[DIE] | Sequence[Unit]]
    expect: list[str]
    versions: tuple[int, ...] = (4, 5)
    targets: tuple[Target, ...] = (X86_64,)
    features: str | None = None
    sections: tuple[Section, ...] = ()
    symbols: tuple[Symbol, ...] = ()
    type: int = ET_REL
    language: int = LANG_C11
    said: Fence | None = None
    """The block of a document that says `units` and the four before this one; see `spoken`."""


def base(name: str, size: int, encoding: int, **more: Value) -> DIE:
    return DIE("base_type", {"name": name, "byte_size": size, "encoding": encoding, **more})


def integer() -> DIE:
    return base("int", 4, ATE.signed)


def typedef(name: str, of: DIE | Ref | None = None) -> DIE:
    return DIE("typedef", {"name": name, **({"type": of} if of else {})})


def member(name: str, of: DIE | Ref, offset: Value = 0, **more: Value) -> DIE:
    named = {"name": name} if name else {}
    return DIE("member", {**named, "type": of, "data_member_location": offset, **more})


def bitfield(name: str, of: DIE, first_bit: int, bits: int) -> DIE:
    """A bitfield as DWARF 5 says it (DWARF 4 allows it, too)."""
    return DIE("member", {"name": name, "type": of, "data_bit_offset": first_bit, "bit_size": bits})


def struct(name: str, size: Value, *members: DIE, **more: Value) -> DIE:
    named = {"name": name} if name else {}
    return DIE("structure_type", {**named, "byte_size": size, **more}, members)


def array(of: DIE, *dimensions: dict[str, Value]) -> DIE:
    return DIE("array_type", {"type": of}, [DIE("subrange_type", d) for d in dimensions])


def enumerator(name: str, value: Value) -> DIE:
    return DIE("enumerator", {"name": name, "const_value": value})


def enumeration(name: str, size: int, *values: tuple[str, Value], **more: Value) -> DIE:
    return DIE(
        "enumeration_type",
        {"name": name, "byte_size": size, **more},
        [enumerator(n, v) for n, v in values],
    )


def annotation(kind: str, value: str) -> DIE:
    return DIE("LLVM_annotation", {"name": kind, "const_value": value})


def function(name: str, *children: DIE, **more: Value) -> DIE:
    return DIE("subprogram", {"name": name, "prototyped": True, **more}, children)


def parameter(name: str, of: DIE, **more: Value) -> DIE:
    return DIE("formal_parameter", {"name": name, "type": of, **more})


def variable(name: str, of: DIE, **more: Value) -> DIE:
    return DIE("variable", {"name": name, "type": of, **more})


TEXT = Section(".text", bytes(64), flags=SHF_ALLOC | SHF_EXECINSTR, addr=0x1000, align=16)
PERCPU = Section(".data..percpu", bytes(64), flags=SHF_ALLOC | SHF_WRITE, addr=0x2000, align=64)
F = Symbol("f", ".text", 0, 16, STT_FUNC)
G = Symbol("g", ".text", 16, 16, STT_FUNC)


def spoken(case: Case, target: Target) -> Case:
    """A case with what its block says for a target: the last expression is the units."""
    if case.said is None:
        return case
    words: dict[str, Any] = {**vars(dwarfwriter), **vars(elfwriter), **globals(), "target": target}
    given = {name: getattr(case, name) for name in ("sections", "symbols", "type", "language")}
    words |= given
    block = ast.increment_lineno(ast.parse(case.said.text), case.said.line)
    last = block.body.pop()
    assert isinstance(last, ast.Expr), f"{case.name}: the block does not end with its units"
    exec(compile(block, str(DOCUMENTS), "exec"), words)
    units = eval(compile(ast.Expression(last.value), str(DOCUMENTS), "eval"), words)
    return replace(case, units=lambda: units, **{name: words[name] for name in given})


def _documents() -> Iterator[Case]:
    """A case for each block `btf` that follows a block `dwarf`."""
    for path in sorted(DOCUMENTS.glob("*.md")):
        said, number = None, 0
        for fence in fences(path):
            if fence.language != "btf":
                said, number = fence if fence.language == "dwarf" else None, 0
            elif said:
                number += 1
                options = dict(word.split("=", 1) for word in fence.words)
                name = fence.heading.replace(" ", "_")
                yield Case(
                    name if number == 1 else f"{name}_{number}",
                    list,
                    fence.text.splitlines(),
                    tuple(map(int, options.pop("versions", "4,5").split(","))),
                    _TARGETS.get(options.pop("targets", ""), (X86_64,)),
                    options.pop("features", None),
                    said=said,
                )
                assert not options, f"{path}: {name}: {options}"


def build(case: Case, version: int, target: Target) -> bytes:
    """The case as an ELF file; with `version` 0 each unit has the one that it says itself."""
    case = spoken(case, target)
    content = list(case.units())
    units = [u for u in content if isinstance(u, Unit)]
    if not units:
        dies = [d for d in content if isinstance(d, DIE)]
        units = [Unit(dies, {"name": "a.c", "language": case.language})]
    for unit in units:
        unit.version = version or unit.version
    return write_dwarf(units, case.sections, case.symbols, target=target, type=case.type)


def _type_unit(version: int) -> list[Unit]:
    i = integer()
    s = struct("apart", 4, member("x", i))
    types = Unit([i, s], {"language": LANG_C11}, version, "type_unit", signature=0x1234, type=s)
    user = Unit([DIE("typedef", {"name": "u", "type": Form("ref_sig8", 0x1234)})], version=version)
    return [user, types]


def _nested(tag: str, depth: int) -> DIE:
    die = integer()
    for _ in range(depth):
        die = DIE(tag, {"type": die})
    return die


# What is refused, and a part of the message. Either BTF cannot say it, or the kernel would refuse
# what pahole makes of it; pahole mostly leaves it out in silence.
CASES = list(_documents())

REFUSED: list[tuple[str, Callable[[], Sequence[DIE] | Sequence[Unit]], str]] = [
    ("type_unit_4", lambda: _type_unit(4), "type units"),
    ("type_unit_5", lambda: _type_unit(5), "type units"),
    ("split_dwarf", lambda: [Unit([], {}, 5, "skeleton_unit", signature=5)], "-gsplit-dwarf"),
    ("partial_unit", lambda: [Unit([integer()], {}, 5, "partial_unit")], "dwz"),
    (
        "imported_unit",
        lambda: [DIE("imported_unit", {"import": Form("ref_addr", integer())})],
        "dwz",
    ),
    (
        "reference",
        lambda: [DIE("reference_type", {"type": integer()})],
        "DW_TAG_reference_type",
    ),
    (
        "pointer_to_member",
        lambda: [DIE("ptr_to_member_type", {"type": integer()})],
        "DW_TAG_ptr_to_member_type",
    ),
    (
        "base_type_without_a_name",
        lambda: [DIE("base_type", {"byte_size": 4, "encoding": ATE.signed})],
        "without a name",
    ),
    ("typedef_without_a_name", lambda: [DIE("typedef", {"type": integer()})], "without a name"),
    (
        "enumerator_without_a_name",
        lambda: [DIE("enumeration_type", {}, [DIE("enumerator", {"const_value": 1})])],
        "without a name",
    ),
    (
        "declaration_without_a_name",
        lambda: [DIE("structure_type", {"declaration": True})],
        "without a name",
    ),
    # What only the kernel's own rules forbid.
    (
        "array_larger_than_4_gib",
        lambda: [array(integer(), {"upper_bound": 0xFFFFFFFE})],
        "larger than 4 GiB",
    ),
    (
        "bit_field_wider_than_its_type",
        lambda: [struct("s", 8, bitfield("v", integer(), 0, 33))],
        "a bit-field of 33 bits",
    ),
    (
        "bit_field_of_a_float",
        lambda: [struct("s", 4, bitfield("v", base("float", 4, ATE.float), 0, 8))],
        "a bit-field of 8 bits in a type of 4 bytes that allows 0",
    ),
    ("name_with_a_newline", lambda: [struct("a\nb", 4)], "a\\nb"),
    ("float_of_10_bytes", lambda: [base("odd", 10, ATE.float)], "10 bytes"),
    ("enum_of_3_bytes", lambda: [enumeration("e", 3, ("A", 1))], "3 bytes"),
    ("enumerator_too_large", lambda: [enumeration("e", 4, ("A", 1 << 40))], "1099511627776"),
    (
        "too_many_members",
        lambda: [struct("s", 1 << 20, *[member(f"m{i}", integer(), i) for i in range(1 << 16)])],
        "65536 members",
    ),
    (
        "bit_field_too_far",
        lambda: [struct("s", 1 << 22, bitfield("b", integer(), 1 << 24, 3))],
        "cannot place",
    ),
    (
        "member_too_far_beside_bit_fields",
        lambda: [
            struct("s", 1 << 22, bitfield("b", integer(), 0, 3), member("f", integer(), 1 << 21))
        ],
        "cannot place",
    ),
    ("member_behind_the_end", lambda: [struct("s", 4, member("m", integer(), 2))], "behind"),
    (
        "union_member_not_at_the_start",
        lambda: [DIE("union_type", {"byte_size": 8}, [member("m", integer(), 4)])],
        "not at offset 0",
    ),
    (
        "member_without_type",
        lambda: [struct("s", 4, DIE("member", {"name": "m", "data_member_location": 0}))],
        "void",
    ),
    (
        "member_of_a_declared_type",
        lambda: [struct("s", 4, member("m", struct("gone", 0, declaration=True)))],
        "no size",
    ),
    ("array_of_void", lambda: [array(DIE("const_type"), {"count": 3})], "no size"),
    ("name_that_is_none", lambda: [struct("foo<int>", 4)], "foo<int>"),
    (
        "typedef_of_itself",
        lambda: [DIE("typedef", {"name": "t", "type": Ref("t")}, label="t")],
        "contain each other",
    ),
    (
        "qualifiers_of_each_other",
        lambda: [
            DIE("const_type", {"type": Ref("v")}, label="c"),
            DIE("volatile_type", {"type": Ref("c")}, label="v"),
        ],
        "contain each other",
    ),
    (
        "struct_in_itself",
        lambda: [
            DIE("structure_type", {"name": "s", "byte_size": 4}, [member("m", Ref("s"))], "s"),
        ],
        "contains itself",
    ),
    ("nested_too_deeply", lambda: [_nested("pointer_type", 2000)], "deeper than"),
]
