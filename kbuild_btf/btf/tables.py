# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""All structs and unions at once: sizes, holes, what a better order of members would save; and who
contains or uses a type. Sizes and offsets are in bytes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace

from .layout import Layouts, Place
from .reader import Btf
from .spelling import keyword, plain
from .types import (
    Array,
    Composite,
    Const,
    Func,
    FuncProto,
    Member,
    Ptr,
    Restrict,
    Struct,
    Type,
    Typedef,
    TypeTag,
    Var,
    Volatile,
)


@dataclass(frozen=True, slots=True)
class Row:
    """One struct or union: gaps between members with whole bytes, the bytes in them, those behind
    the last member, and the size that a better order of members would give."""

    kind: str
    name: str
    size: int
    holes: int
    hole_bytes: int
    tail: int
    best: int

    @property
    def saved(self) -> int:
        return self.size - self.best


def rows(btf: Btf) -> Iterator[Row]:
    """Own structs and unions with a name, or with that of a typedef."""
    layouts = Layouts(btf)
    for found in btf:
        name, of = found.name, found
        if isinstance(found, Typedef):
            of = btf[found.type_id]
            if of.name:
                continue
        if not isinstance(of, Composite) or not name:
            continue
        layout = layouts.of(of)
        better = reorganised(layouts, of)
        yield Row(
            of.kind.name if of is found else found.kind.name,
            f"{keyword(of)} {name}" if of is found else name,
            of.size,
            layout.holes,
            sum(gap.bytes for gap in layout.gaps),
            layout.tail.bytes,
            better.size if better else of.size,
        )


def as_dict(row: Row) -> dict[str, object]:
    """One object of JSON."""
    return {**asdict(row), "saved": row.saved}


# --- another order of members -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Part:
    """A member that moves, with its size and alignment in bits."""

    member: Member
    size: int
    alignment: int
    unit: int
    """Of a bit-field the bits of its storage unit, else 0."""

    def start(self, at: int) -> int:
        """Where C puts it behind bit ``at``."""
        if self.unit and at % self.unit + self.size <= self.unit:
            return _up(at, self.alignment) if self.alignment else at
        return _up(at, max(self.alignment, self.unit, 1))


# What moves together: a member, or bit-fields in a row.
_Parts = tuple[_Part, ...]
_Placed = list[tuple[int, _Part]]


def reorganised(layouts: Layouts, found: Composite) -> Composite | None:
    """The struct with its members in an order in which it is smaller; None where there is none.

    Members move as little as possible: one that fits is taken from further behind into a hole. The
    first stays the first, since pointers are cast to it, and an array of no elements the last.
    """
    layout = layouts.of(found)
    if not isinstance(found, Struct) or layout.packed:
        return None
    together = list(_together(layouts, layout.places))
    last = together[-1:] if together and not _bits(together[-1]) else []
    moving = together[: len(together) - len(last)]
    # Where one without a size lies says something about what is behind it.
    if not all(map(_bits, moving)) or len(moving) < 2:
        return None
    alignment = 8 * max(layout.alignment, layout.aligned, *(p.aligned for p in layout.places))
    best: tuple[int, _Placed] | None = None
    for order in (moving, [moving[0], *sorted(moving[1:], key=lambda parts: -_strictest(parts))]):
        placed, at = _filled(order)
        for parts in last:
            behind, at = _put(parts, at)
            placed += behind
        size = _up(at, alignment) // 8
        if size < (best[0] if best else found.size):
            best = size, placed
    if best is None:
        return None
    members = tuple(replace(part.member, bit_offset=at) for at, part in best[1])
    return replace(found, size=best[0], members=members)


def _together(layouts: Layouts, places: Iterable[Place]) -> Iterator[_Parts]:
    row: list[_Part] = []
    for place in places:
        member = place.member
        aligned = place.aligned * 8
        if member.bit_size:
            row.append(_Part(member, member.bit_size, aligned, place.size * 8))
            continue
        if row:
            yield tuple(row)
            row = []
        natural = layouts.alignment(member.type_id) * 8
        yield (_Part(member, place.size * 8, max(natural, aligned), 0),)
    if row:
        yield tuple(row)


def _filled(order: list[_Parts]) -> tuple[_Placed, int]:
    """Where each member comes to lie, and the bit behind the last one."""
    left, at = list(order), 0
    placed: _Placed = []
    while left:
        start = left[0][0].start(at)
        fitting = [parts for parts in left[1:] if _put(parts, at)[1] <= start]
        # With the least lost before it, then the largest.
        parts = min(fitting, key=lambda one: (one[0].start(at), -_bits(one)), default=left[0])
        left.remove(parts)
        added, at = _put(parts, at)
        placed += added
    return placed, at


def _put(parts: _Parts, at: int) -> tuple[_Placed, int]:
    placed = []
    for part in parts:
        start = part.start(at)
        placed.append((start, part))
        at = start + part.size
    return placed, at


def _bits(parts: _Parts) -> int:
    return sum(part.size for part in parts)


def _strictest(parts: _Parts) -> int:
    return max(max(part.alignment, part.unit) for part in parts)


def _up(value: int, step: int) -> int:
    return -(-value // step) * step


# --- who has a type ---------------------------------------------------------------------------

# What says something about another type and has no name.
_DERIVED = (Ptr, Array, Const, Volatile, Restrict, TypeTag, FuncProto)


@dataclass(frozen=True, slots=True)
class User:
    """A named type that has another one, and by which members.

    ``offset`` is that of the first of them, None for what has no members.
    """

    kind: str
    name: str
    members: tuple[str, ...]
    offset: int | None


def containing(btf: Btf, wanted: Type) -> list[User]:
    """Structs and unions in which it lies, also deep inside; the members through which."""
    inside: dict[int, bool] = {wanted.id: True}

    def contains(type_id: int) -> bool:
        todo = [type_id]
        while todo:
            current = todo[-1]
            if current in inside:
                todo.pop()
                continue
            found = btf[current]
            parts = []
            if isinstance(found, Array) and found.nelems:
                parts = [found.type_id]
            elif isinstance(found, Composite):
                parts = [member.type_id for member in found.members]
            elif isinstance(found, (Typedef, Const, Volatile, Restrict, TypeTag)):
                parts = [found.type_id]
            unknown = [part for part in parts if part not in inside and part not in todo]
            if unknown:
                todo += unknown
                continue
            inside[current] = any(inside.get(part) for part in parts)
            todo.pop()
        return inside[type_id]

    users = []
    for found in btf:
        if isinstance(found, Composite) and found.name and found.id != wanted.id:
            members = [m for m in found.members if contains(m.type_id)]
            if members:
                users.append(_user(found, members))
    return users


def using(btf: Btf, wanted: Type) -> list[User]:
    """Named types, functions and variables that mention it: itself, or a pointer, array or function
    of it."""
    mentioned: defaultdict[int, list[int]] = defaultdict(list)
    for found in btf.find(Type):
        for target in set(found.references()):
            mentioned[target].append(found.id)
    meaning = {wanted.id}
    todo = [wanted.id]
    users: set[int] = set()
    while todo:
        for type_id in mentioned[todo.pop()]:
            found = btf[type_id]
            unnamed = isinstance(found, Composite) and not found.name
            if not (unnamed or isinstance(found, _DERIVED)):
                users.add(type_id)
            elif type_id not in meaning:
                meaning.add(type_id)
                todo.append(type_id)
    found_users = []
    for type_id in sorted(users - {wanted.id}):
        user = btf[type_id]
        if isinstance(user, Composite):
            found_users.append(_user(user, [m for m in user.members if m.type_id in meaning]))
        elif isinstance(user, (Typedef, Func, Var)):
            found_users.append(User(user.kind.name, user.name, (), None))
    return found_users


def _user(found: Composite, members: list[Member]) -> User:
    names = tuple(member.name or "(unnamed)" for member in members)
    return User(found.kind.name, plain(found), names, members[0].bit_offset // 8)
