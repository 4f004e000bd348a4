# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Why a function is in the BTF or not, and how the definitions of a type name differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from . import _native
from .btf import Btf, Composite, Enumeration, Fwd, Kind, LocParam, Member, Type, Typedef
from .btf.spelling import Spare, declare, keyword
from .errors import NotFoundError
from .paths import StrPath

__all__ = [
    "Candidate",
    "Definition",
    "Explanation",
    "FunctionVerdict",
    "Inlined",
    "Symbol",
    "explain",
]


# What is said where two read alike.
IN_TURN = "whose type differs in turn"


class Symbol(NamedTuple):
    """A symbol of a function in the linked file."""

    name: str
    address: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """One DIE that describes a function."""

    object: str
    """Path of the object, or of the linked file."""
    die: int
    """Offset in its ``.debug_info``, in bytes."""
    prototype: str
    """As it is written in the source."""
    passed: str | None
    """With the parameters that are really passed, where the compiler changed that."""
    facts: tuple[str, ...]
    """What the object alone says of it, in words."""
    address: int | None
    """Where it stands in the linked file, if it does."""
    chosen: bool
    """Its prototype is the one in the BTF."""


@dataclass(frozen=True, slots=True)
class Inlined:
    """A place where a function was inlined."""

    object: str
    """Path of the object, or of the linked file."""
    section: str
    """Of the linked file."""
    address: int
    """In a module the offset in the section."""
    function: str
    """The symbol of the function in whose code it is; empty where there is none."""
    offset: int
    """From the start of that function, in bytes."""
    places: tuple[str | None, ...]
    """Where each parameter is there (``reg5``, ``0x2a``; registers by their DWARF numbers); None:
    nowhere, or the debug information says it in a way that BTF has no words for."""


@dataclass(frozen=True, slots=True)
class FunctionVerdict:
    """What became of a function."""

    reason: str
    """Why it is left out; empty: it is in the BTF."""
    clone: str
    """The full name of the symbol that it goes by there (``foo.isra.0``); empty: its own name."""
    symbols: tuple[Symbol, ...]
    candidates: tuple[Candidate, ...]
    sites: tuple[Inlined, ...]
    """Where it was inlined."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A definition of a type name, or its declaration (kind ``FWD``)."""

    kind: str
    size: int
    """In bytes; 0 for declarations and typedefs."""
    objects: tuple[str, ...]
    """Paths of those that have it."""
    difference: str
    """Where it first parts from the first definition of its space (struct, union, enum, typedef);
    empty for that one."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that is known of a name."""

    name: str
    function: FunctionVerdict | None
    """None when no object and no symbol knows a function of the name."""
    definitions: tuple[Definition, ...]
    """Of types of the name, the most common one first."""


def explain(
    elf: StrPath,
    name: str,
    objects: Iterable[StrPath] | None = None,
    *,
    features: str | None = None,
    lang_exclude: Iterable[str] = (),
    jobs: int = 0,
    cache: StrPath | None = None,
) -> Explanation:
    """Say why a function is in the BTF of a linked file or not, how definitions of a type differ.

    ``name`` is that of a function, of a symbol of one (``pick.isra.0``), or of a type, without
    ``struct``. Read are the objects that ``elf`` was linked from, as ``link`` does; where the tree
    does not tell them, the debug information of ``elf``. The other arguments are those of ``link``.

    Raises NotFoundError when nobody knows the name, and Error as ``link`` does.
    """
    # No name of C has a dot: what follows it the compiler has added to the symbol.
    base = name.partition(".")[0]
    told = _native.explain(
        elf,
        base,
        objects=None if objects is None else list(objects),
        features=features,
        lang_exclude=list(lang_exclude),
        jobs=jobs,
        cache=cache,
    )
    btf = Btf.from_bytes(told["types"], where=str(elf))
    function = _verdict(btf, base, told["function"]) if told["function"] else None
    definitions = tuple(_definitions(btf, told["definitions"]))
    if name != base:
        # A symbol was named, so no type is meant.
        definitions = ()
        if function and all(symbol.name != name for symbol in function.symbols):
            function = None
    if not function and not definitions:
        raise NotFoundError(f"no function and no type is named {name}", str(elf))
    return Explanation(base, function, definitions)


def spelled(btf: Btf, type_id: int, name: str) -> str:
    """A declaration as C has it; of one without an end not all."""
    return declare(btf, type_id, name, spare=Spare())


def _member(member: Member) -> str:
    width = f" : {member.bit_size}" if member.bit_size else ""
    return spelled(member.btf, member.type_id, member.name) + width


def _verdict(btf: Btf, name: str, told: _native.FunctionVerdict) -> FunctionVerdict:
    return FunctionVerdict(
        told["reason"],
        told["clone"],
        tuple(Symbol(*symbol) for symbol in told["symbols"]),
        tuple(
            Candidate(
                c["object"],
                c["die"],
                spelled(btf, c["prototype"], name),
                None if c["passed"] is None else spelled(btf, c["passed"], name),
                tuple(c["facts"]),
                c["address"],
                c["chosen"],
            )
            for c in told["candidates"]
        ),
        tuple(
            Inlined(
                s["object"],
                s["section"],
                s["address"],
                s["function"],
                s["offset"],
                tuple(p and LocParam(0, "", p[0], p[1], tuple(p[2])).place for p in s["places"]),
            )
            for s in told["sites"]
        ),
    )


def _definitions(btf: Btf, told: list[_native.Definition]) -> Iterator[Definition]:
    firsts: dict[str, Type] = {}
    for one in told:
        found, objects = btf[one["type"]], tuple(one["objects"])
        if isinstance(found, Fwd) or (isinstance(found, Enumeration) and not found.values):
            yield Definition(Kind.FWD.name, 0, objects, "")
            continue
        first = firsts.setdefault(keyword(found), found)
        size = 0 if isinstance(found, Typedef) else btf.sizeof(found)
        difference = "" if first is found else first_difference(first, found)
        yield Definition(found.kind.name, size, objects, difference)


# --- where two types of one name and space part first ---------------------------------------------


def first_difference(a: Type, b: Type) -> str:
    """Where two definitions of one name part, as a person would say it."""
    match a, b:
        case (Typedef(), Typedef()):
            left, right = spelled(a.btf, a.type_id, a.name), spelled(b.btf, b.type_id, b.name)
            if left == right and _has_no_name(a.type) and _has_no_name(b.type):
                return first_difference(a.type, b.type)
            return _two(left, right)
        case (Enumeration(), Enumeration()):
            return _in_values(a, b)
        case (Composite(), Composite()):
            return _in_members(a, b)
    return f"{a.kind.name} or {b.kind.name}"


def _two(left: str, right: str) -> str:
    return f"{left}, {IN_TURN}" if left == right else f"{left} or {right}"


def _has_no_name(found: Type) -> bool:
    """It is spelled out where it is used."""
    return isinstance(found, (Composite, Enumeration)) and not found.name


def _in_values(a: Enumeration, b: Enumeration) -> str:
    for number, (x, y) in enumerate(zip(a.values, b.values, strict=False)):
        if x != y:
            return f"enumerator {number}: {x.name} = {x.value} or {y.name} = {y.value}"
    if len(a.values) != len(b.values):
        return f"{len(a.values)} or {len(b.values)} enumerators"
    return f"size {a.size} or {b.size}"


def _in_members(a: Composite, b: Composite) -> str:
    for number, (x, y) in enumerate(zip(a.members, b.members, strict=False)):
        if x == y:
            continue
        left, right = _member(x), _member(y)
        if left == right and x.bit_offset != y.bit_offset:
            return f"member {number}: {left} at bit {x.bit_offset} or {y.bit_offset}"
        return f"member {number}: {_two(left, right)}"
    if len(a.members) != len(b.members):
        return f"{len(a.members)} or {len(b.members)} members"
    return f"size {a.size} or {b.size}"
