# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""CO-RE relocations: what a BPF program asks of the kernel's types, and what these answer.

Names are compared without their flavour (``task_struct___old`` is ``task_struct``). Each type of
the name is a candidate; modules count only where vmlinux has none. All candidates that have what is
asked for must give the same answer. Written from docs.kernel.org (libbpf overview, BTF, LLVM BPF
relocations) and from trials, which tests/test_programs.py repeats.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from ..btf import (
    Array,
    Btf,
    Composite,
    Enumeration,
    FuncProto,
    Fwd,
    Int,
    Kind,
    Member,
    Ptr,
    Type,
)
from ..btf.spelling import keyword
from ..errors import Error
from .object import Relocation, RelocationKind

_FLAVOUR = re.compile(r"(.*[^_])___[^_]", re.DOTALL)
# How deep types are followed that lead to each other.
_DEPTH = 32
# Classes of instructions that access memory: LDX, ST, STX.
_MEMORY = (1, 2, 3)


def essential(name: str) -> str:
    """A name without its flavour."""
    found = _FLAVOUR.match(name) if "___" in name else None
    return found[1] if found else name


class Verdict(Enum):
    """What becomes of a relocation."""

    FOUND = "found"
    """As where it was compiled."""
    CHANGED = "changed"
    """There, with another offset, size or value."""
    MISSING = "missing"
    """For a question whether something exists this is an answer; else the program must not come
    there."""
    AMBIGUOUS = "ambiguous"
    """Candidates give different answers: libbpf refuses the program."""
    REFUSED = "refused"
    """libbpf refuses the program for another reason."""

    def __str__(self) -> str:
        return self.value


class Candidate(NamedTuple):
    """A type of the target; ``module`` is empty for vmlinux."""

    btf: Btf
    type_id: int
    module: str


class Step(NamedTuple):
    """A member by name, or (name empty) an element by its number."""

    name: str
    number: int
    type_id: int
    """Of what lies there."""


@dataclass(frozen=True, slots=True)
class Field:
    """A place within a type: ``offset`` in bits, ``member`` the last step, None for an element."""

    btf: Btf
    type_id: int
    offset: int
    member: Member | None


@dataclass(frozen=True, slots=True)
class Answer:
    """The value for the program's instruction (None: it is poisoned), or why there is none."""

    verdict: Verdict
    local: int | None
    value: int | None
    what: str
    """What was asked for, as in C."""
    why: str = ""
    candidates: tuple[Candidate, ...] = ()
    """Those that have it."""


class Target:
    """The types of a kernel: vmlinux, and modules by name."""

    def __init__(self, vmlinux: Btf, modules: dict[str, Btf] | None = None) -> None:
        self.vmlinux = vmlinux
        self.modules = modules or {}
        self._flavoured: dict[int, dict[str, list[str]]] = {}

    def candidates(self, name: str, kind: Kind) -> list[Candidate]:
        """Types with that essential name; an enum of 64 bits is an enum."""
        wanted = (Kind.ENUM, Kind.ENUM64) if kind in (Kind.ENUM, Kind.ENUM64) else (kind,)
        found = [Candidate(self.vmlinux, i, "") for i in self._own(self.vmlinux, name, wanted)]
        if not found:
            for module, btf in self.modules.items():
                found += [Candidate(btf, i, module) for i in self._own(btf, name, wanted)]
        return found

    def _own(self, btf: Btf, name: str, kinds: Sequence[Kind]) -> Iterator[int]:
        if id(btf) not in self._flavoured:
            by_essence = defaultdict(list)
            for other in btf.names():
                if "___" in other and essential(other) != other:
                    by_essence[essential(other)].append(other)
            self._flavoured[id(btf)] = by_essence
        for called in (name, *self._flavoured[id(btf)].get(name, ())):
            # A flavoured name itself is the name of its essence.
            if essential(called) != name:
                continue
            for found in btf.find(Type, called):
                if found.id >= btf.start and found.kind in kinds:
                    yield found.id


def resolve(asked: Relocation, local: Btf, code: bytes, target: Target) -> Answer:
    """The answer of a target. ``local`` are the program's types, ``code`` is the instruction.

    Raises Error for a relocation that makes no sense in the program's own types.
    """
    kind = asked.kind
    steps, place = way_of(local, asked)
    what = spelled(local, asked)
    if kind == RelocationKind.TYPE_ID_LOCAL:
        return Answer(Verdict.FOUND, asked.type_id, asked.type_id, what)
    own = local[asked.type_id]
    name = essential(own.name)
    if not name:
        return Answer(Verdict.REFUSED, None, None, what, "the type has no name")
    own_value = _value(asked, local, own.id, steps, place)
    candidates = target.candidates(name, own.kind)
    answers: list[tuple[Candidate, _Given]] = []
    for candidate in candidates:
        given = _ask(asked, local, steps, place, code, candidate)
        if given is not None:
            answers.append((candidate, given))
    having = tuple(candidate for candidate, _ in answers)
    if not answers:
        # Of a type that is not there, size and id are 0.
        value = 0 if kind.asks_whether or kind.of_type else None
        why = _why_missing(asked, local, steps, candidates)
        return Answer(Verdict.MISSING, own_value, value, what, why)
    first = answers[0][1]
    for _, other in answers[1:]:
        if other != first:
            why = f"{len(answers)} types differ: {first.text} or {other.text}"
            return Answer(Verdict.AMBIGUOUS, own_value, None, what, why, having)
    if first.refused:
        return Answer(Verdict.REFUSED, own_value, None, what, first.refused, having)
    if first.value is None:
        return Answer(Verdict.MISSING, own_value, None, what, first.poisoned, having)
    # An id means nothing elsewhere, so it does not change either.
    same = first.value == own_value or kind == RelocationKind.TYPE_ID_TARGET
    verdict = Verdict.FOUND if same else Verdict.CHANGED
    return Answer(verdict, own_value, first.value, what, "", having)


@dataclass(frozen=True, slots=True)
class _Given:
    """What one candidate gives: a value, or why the instruction is poisoned, or libbpf refuses."""

    value: int | None
    place: int = 0
    poisoned: str = ""
    refused: str = ""

    @property
    def text(self) -> str:
        return self.poisoned or self.refused or str(self.value)


def _ask(
    asked: Relocation,
    local: Btf,
    steps: list[Step],
    place: Field | None,
    code: bytes,
    of: Candidate,
) -> _Given | None:
    """None: the candidate does not have it."""
    kind = asked.kind
    if kind.of_enumerator:
        wanted = essential(steps[0].name)
        # It was asked for by a typedef, perhaps.
        found = of.btf.strip(of.type_id)
        if not isinstance(found, Enumeration):
            return None
        value = next((v.value for v in found.values if essential(v.name) == wanted), None)
        if value is None:
            return None
        return _Given(1 if kind == RelocationKind.ENUMERATOR_EXISTS else value)
    if not kind.of_field:
        fits = matches if kind == RelocationKind.TYPE_MATCHES else compatible
        if not fits(local, asked.type_id, of.btf, of.type_id):
            return None
        return _Given(_value(asked, of.btf, of.type_id, [], None))
    there = _follow(local, steps, of)
    if there is None:
        return None
    try:
        value = _of_field(kind, there)
    except Error as refused:
        return _Given(None, there.offset, refused=refused.what)
    assert place is not None
    if kind == RelocationKind.FIELD_OFFSET and code and code[0] & 7 in _MEMORY:
        sizes = place.btf.sizeof(place.type_id), there.btf.sizeof(there.type_id)
        if not (place.member and place.member.bit_size) and sizes[0] != sizes[1]:
            if not _same_when_read(place, there):
                why = f"{sizes[1]} bytes, and the program reads {sizes[0]} of another kind"
                return _Given(None, there.offset, poisoned=why)
            if sizes[1] not in (1, 2, 4, 8):
                return _Given(
                    None, there.offset, refused=f"{sizes[1]} bytes cannot be read at once"
                )
    return _Given(value, there.offset)


def _same_when_read(a: Field, b: Field) -> bool:
    """Is reading another number of bytes the same value? So for pointers and what has no sign."""
    one, other = a.btf.strip(a.type_id), b.btf.strip(b.type_id)
    if isinstance(one, Ptr) and isinstance(other, Ptr):
        return True
    return (
        isinstance(one, Int)
        and isinstance(other, Int)
        and not (one.encoding | other.encoding) & Int.SIGNED
    )


# --- the program's own side -----------------------------------------------------------------------


def way_of(btf: Btf, asked: Relocation) -> tuple[list[Step], Field | None]:
    """The way in the program's own types: of fields the steps, the first of which counts whole
    types, and the place; of enumerators one step with its name."""
    where = f"{btf.where}, section {asked.section}+{asked.offset:#x}"
    wrong = Error(
        f"CO-RE relocation with access {asked.access!r} to type [{asked.type_id}]",
        where,
        "compile it again: clang -target bpf -O2 -g",
    )
    try:
        numbers = [int(number) for number in asked.access.split(":")]
    except ValueError:
        raise wrong from None
    if min(numbers) < 0:
        raise wrong
    found = btf.strip(asked.type_id)
    if asked.kind.of_enumerator:
        if not isinstance(found, Enumeration) or not numbers[0] < len(found.values):
            raise wrong
        return [Step(found.values[numbers[0]].name, numbers[0], found.id)], None
    if not asked.kind.of_field:
        return [], None
    steps = [Step("", numbers[0], asked.type_id)]
    offset = 8 * numbers[0] * btf.sizeof(asked.type_id)
    type_id, member = asked.type_id, None
    for number in numbers[1:]:
        found = btf.strip(type_id)
        if isinstance(found, Composite):
            if number >= len(found.members):
                raise wrong
            member = found.members[number]
            offset += member.bit_offset
            type_id = member.type_id
            if member.name:
                steps.append(Step(member.name, number, type_id))
        elif isinstance(found, Array):
            type_id, member = found.type_id, None
            offset += 8 * number * btf.sizeof(type_id)
            steps.append(Step("", number, type_id))
        else:
            raise wrong
    return steps, Field(btf, type_id, offset, member)


def spelled(btf: Btf, asked: Relocation) -> str:
    """What is asked for, in C: ``struct task_struct.pid``, ``enum e A``."""
    own = btf[asked.type_id]
    name = f"{keyword(own)} {own.name}".strip() or f"type [{asked.type_id}]"
    steps, _ = way_of(btf, asked)
    if asked.kind.of_enumerator:
        return f"{name} {steps[0].name}"
    text = f"[{steps[0].number}]" if steps and steps[0].number else ""
    for step in steps[1:]:
        text += f".{step.name}" if step.name else f"[{step.number}]"
    return name + text


# --- the target's side ----------------------------------------------------------------------------


def _follow(local: Btf, steps: list[Step], of: Candidate) -> Field | None:
    """The place where these steps lead in a candidate, None where they do not."""
    btf, type_id = of.btf, of.type_id
    offset = 8 * steps[0].number * btf.sizeof(type_id)
    member: Member | None = None
    last = False
    for step in steps[1:]:
        found = btf.strip(type_id)
        if step.name:
            if not isinstance(found, Composite):
                return None
            inside = _member(found, step.name)
            if inside is None:
                return None
            member, start, last = inside
            if not _fields_compatible(local, step.type_id, btf, member.type_id):
                return None
            offset += start
            type_id = member.type_id
        else:
            if not isinstance(found, Array):
                return None
            flexible = not found.nelems and member is not None and last
            if step.number >= found.nelems and not flexible:
                return None
            type_id, member = found.type_id, None
            offset += 8 * step.number * btf.sizeof(type_id)
    return Field(btf, type_id, offset, member)


def _member(found: Composite, name: str) -> tuple[Member, int, bool] | None:
    """The member of that name, also within those without a name; its start in bits, and whether it
    is the last one of what it stands in."""
    way = way_in(found, name)
    if not way:
        return None
    start = sum(of.members[number].bit_offset for of, number in way)
    of, number = way[-1]
    return of.members[number], start, number == len(of.members) - 1


def way_in(found: Composite, name: str, met: set[int] | None = None) -> list[tuple[Composite, int]]:
    """The way to the member of that name through those without a name: what each stands in, and
    its number there. Empty: there is none."""
    met = set() if met is None else met
    for number, member in enumerate(found.members):
        if member.name == name:
            return [(found, number)]
        if not member.name and member.type_id not in met:
            met.add(member.type_id)
            inner = found.btf.strip(member.type_id)
            inside = way_in(inner, name, met) if isinstance(inner, Composite) else []
            if inside:
                return [(found, number), *inside]
    return []


def _value(
    asked: Relocation, btf: Btf, type_id: int, steps: list[Step], place: Field | None
) -> int | None:
    """The answer where the way is known; None for a field that cannot be read."""
    kind = asked.kind
    if place is not None:
        try:
            return _of_field(kind, place)
        except Error:
            return None
    match kind:
        case RelocationKind.TYPE_ID_LOCAL | RelocationKind.TYPE_ID_TARGET:
            return type_id
        case RelocationKind.TYPE_SIZE:
            return btf.sizeof(type_id)
        case RelocationKind.ENUMERATOR_VALUE:
            found = btf.strip(type_id)
            assert isinstance(found, Enumeration)
            return found.values[steps[0].number].value
    return 1


def _of_field(kind: RelocationKind, place: Field) -> int:
    """Raises Error for a bit-field that no load of 8 bytes spans."""
    btf = place.btf
    if kind == RelocationKind.FIELD_EXISTS:
        return 1
    if place.member is None and kind not in (
        RelocationKind.FIELD_OFFSET,
        RelocationKind.FIELD_SIZE,
    ):
        raise Error("an element of an array has no place in bits")
    if kind == RelocationKind.FIELD_SIGNED:
        found = btf.strip(place.type_id)
        if isinstance(found, Enumeration):
            return int(found.signed)
        return int(isinstance(found, Int) and bool(found.encoding & Int.SIGNED))
    size = btf.sizeof(place.type_id)
    width = place.member.bit_size if place.member else 0
    start = place.offset // 8
    if width:
        # The smallest load of the type's size or more that has all of its bits.
        start = place.offset // 8 // size * size if size else 0
        while size and place.offset + width - 8 * start > 8 * size:
            if size >= 8:
                raise Error("a bit-field across 8 bytes cannot be read")
            size *= 2
            start = place.offset // 8 // size * size
    else:
        width = 8 * size
    match kind:
        case RelocationKind.FIELD_OFFSET:
            return start
        case RelocationKind.FIELD_SIZE:
            return size
        case RelocationKind.FIELD_LSHIFT:
            if btf.big_endian:
                return (8 - size) * 8 + place.offset - 8 * start
            return 64 - (place.offset + width - 8 * start)
    return 64 - width


def _why_missing(
    asked: Relocation, local: Btf, steps: list[Step], candidates: list[Candidate]
) -> str:
    own = local[asked.type_id]
    name = f"{keyword(own)} {essential(own.name)}".strip()
    if not candidates:
        return f"no {name}"
    if asked.kind.of_enumerator:
        return f"no {essential(steps[0].name)} in {name}"
    if not asked.kind.of_field:
        return f"{name} is another type"
    # The first step that leads nowhere in the first candidate.
    for count in range(2, len(steps) + 1):
        if _follow(local, steps[:count], candidates[0]) is None:
            step, before = steps[count - 1], steps[1 : count - 1]
            inside = "".join(f".{s.name}" if s.name else f"[{s.number}]" for s in before)
            of = _follow(local, steps[: count - 1], candidates[0])
            assert of is not None
            found = of.btf.strip(of.type_id)
            if step.name and isinstance(found, Composite) and _member(found, step.name):
                return f"{step.name} of {name}{inside} is of another kind"
            part = step.name or f"[{step.number}]"
            return f"no {part} in {name}{inside}"
    return f"not in {name}"


# --- whether types are alike ----------------------------------------------------------------------


def _alike(a: Type, b: Type) -> bool:
    """Of one kind; enums are of one, whatever their width."""
    return a.kind == b.kind or (isinstance(a, Enumeration) and isinstance(b, Enumeration))


def _fields_compatible(a_btf: Btf, a_id: int, b_btf: Btf, b_id: int) -> bool:
    """May a member of one type be read as one of the other?"""
    a, b = a_btf.strip(a_id), b_btf.strip(b_id)
    for _ in range(_DEPTH):
        if not (isinstance(a, Array) and isinstance(b, Array)):
            break
        a, b = a_btf.strip(a.type_id), b_btf.strip(b.type_id)
    if isinstance(a, Composite) and isinstance(b, Composite):
        return True
    if not _alike(a, b):
        return False
    match a:
        case Ptr():
            return True
        case Fwd() | Enumeration():
            names = essential(a.name), essential(b.name)
            return not all(names) or names[0] == names[1]
        case Int():
            return not a.bit_offset and isinstance(b, Int) and not b.bit_offset
    return a.kind == Kind.FLOAT


# What is known of pairs of types (ids, and whether they stand behind a pointer): yes until it is
# no, so that a pair that leads to itself comes to an end.
_Known = dict[tuple[int, int, bool], bool]


def compatible(a_btf: Btf, a_id: int, b_btf: Btf, b_id: int) -> bool:
    """Are two types of one shape, as far as kinds go? Structs, unions and enums are not looked
    into, and their names do not matter."""
    return _alike(a_btf[a_id], b_btf[b_id]) and _compatible(a_btf, a_id, b_btf, b_id, {}, _DEPTH)


def _compatible(a_btf: Btf, a_id: int, b_btf: Btf, b_id: int, known: _Known, depth: int) -> bool:
    key = a_id, b_id, False
    if key not in known:
        known[key] = True
        known[key] = _shaped(a_btf, a_id, b_btf, b_id, known, depth)
    return known[key]


def _shaped(a_btf: Btf, a_id: int, b_btf: Btf, b_id: int, known: _Known, depth: int) -> bool:
    a, b = a_btf.strip(a_id), b_btf.strip(b_id)
    if not _alike(a, b) or depth < 0:
        return False
    match a, b:
        case (Int(), Int()):
            return not a.bit_offset and not b.bit_offset
        case (Ptr() | Array(), Ptr() | Array()):
            return _compatible(a_btf, a.type_id, b_btf, b.type_id, known, depth - 1)
        case (FuncProto(), FuncProto()):
            return len(a.params) == len(b.params) and all(
                _compatible(a_btf, x, b_btf, y, known, depth - 1)
                for x, y in zip(a.references(), b.references(), strict=True)
            )
    return a.kind in (Kind.VOID, Kind.STRUCT, Kind.UNION, Kind.FWD) or isinstance(a, Enumeration)


def matches(a_btf: Btf, a_id: int, b_btf: Btf, b_id: int) -> bool:
    """Does the second type have all that the first has? Behind a pointer names suffice."""
    return _matches(a_btf, a_id, b_btf, b_id, False, {}, _DEPTH)


def _matches(
    a_btf: Btf, a_id: int, b_btf: Btf, b_id: int, behind: bool, known: _Known, depth: int
) -> bool:
    key = a_id, b_id, behind
    if key not in known:
        known[key] = True
        known[key] = _has_all(a_btf, a_id, b_btf, b_id, behind, known, depth)
    return known[key]


def _has_all(
    a_btf: Btf, a_id: int, b_btf: Btf, b_id: int, behind: bool, known: _Known, depth: int
) -> bool:
    a, b = a_btf.strip(a_id), b_btf.strip(b_id)
    if depth < 0 or essential(a.name) != essential(b.name):
        return False

    def both(x: int, y: int, now_behind: bool = behind) -> bool:
        return _matches(a_btf, x, b_btf, y, now_behind, known, depth - 1)

    match a:
        case Fwd():
            if behind and isinstance(b, Composite):
                return a.is_union == (b.kind == Kind.UNION)
            return isinstance(b, Fwd) and a.is_union == b.is_union
        case Enumeration():
            if not isinstance(b, Enumeration) or a.size != b.size:
                return False
            there = {essential(value.name) for value in b.values}
            return all(essential(value.name) in there for value in a.values)
        case Composite():
            if behind and isinstance(b, Fwd):
                return b.is_union == (a.kind == Kind.UNION)
            if a.kind != b.kind or not isinstance(b, Composite):
                return False
            return behind or all(
                any(
                    essential(other.name) == essential(one.name)
                    and both(one.type_id, other.type_id)
                    for other in b.members
                )
                for one in a.members
            )
        case Int():
            if not isinstance(b, Int):
                return False
            return a.size == b.size and not (a.encoding ^ b.encoding) & Int.SIGNED
        case Ptr():
            return isinstance(b, Ptr) and both(a.type_id, b.type_id, True)
        case Array():
            return isinstance(b, Array) and a.nelems == b.nelems and both(a.type_id, b.type_id)
        case FuncProto():
            return (
                isinstance(b, FuncProto)
                and len(a.params) == len(b.params)
                and all(map(both, a.references(), b.references()))
            )
    return a.kind == b.kind == Kind.VOID
