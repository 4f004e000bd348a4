# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Where the members of a type lie, what lies between them, and which attributes say so.

BTF records offsets and sizes; alignment and attributes are gone. They are found by asking what a
C compiler would have done: a member goes to the first multiple of its alignment behind what is
occupied, a struct ends at a multiple of the largest alignment in it, and ``packed`` makes all
alignments one byte. Where the record differs, the least attribute that leads to it is given:

* ``packed``, if the natural rules do not give the offsets and the size, and the packed ones do;
* ``aligned(N)``, if rounding up to N, and not to the natural alignment, gives the offset or the
  size. Several N may do: then the cache line's size, which kernel code asks for by name, or else
  the smallest.

Alignments here are those of the kinds of types, so an attribute is given where its effect is
seen, and again for a struct around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import Error
from .reader import Btf
from .spelling import Spare, declare
from .types import Array, Composite, Enumeration, Float, Int, Member, Ptr, Struct, Type, Typedef

# Members that are written out, of all types that were asked for.
_MOST = 1 << 16
# No type of a 64-bit target is aligned to more by nature (long double, __int128).
_LARGEST = 16


@dataclass(frozen=True, slots=True)
class Gap:
    """Space that no member covers: in the storage unit of a bitfield, and whole bytes outside."""

    bits: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """A member of a struct or union.

    ``offset`` and ``size``, in bytes, are those of the type; for a bitfield of its storage unit,
    in which the member starts at bit ``shift``. ``gap`` is what is free in front of it,
    ``aligned`` the N of the attribute that explains the offset, or 0.
    """

    member: Member
    type: Type
    offset: int
    size: int
    shift: int
    gap: Gap
    aligned: int

    @property
    def end(self) -> int:
        """The first byte behind the type or storage unit."""
        return self.offset + self.size


@dataclass(frozen=True, slots=True)
class Layout:
    """A struct or union; ``tail`` is what is free at its end."""

    places: tuple[Place, ...]
    tail: Gap
    alignment: int
    packed: bool
    aligned: int

    @property
    def gaps(self) -> list[Gap]:
        """What is free in front of each member."""
        return [place.gap for place in self.places]

    @property
    def holes(self) -> int:
        """How many gaps between members have whole bytes."""
        return sum(gap.bytes > 0 for gap in self.gaps)

    @property
    def bit_holes(self) -> int:
        """How many gaps between members have bits of a storage unit."""
        return sum(gap.bits > 0 for gap in self.gaps)


class Layouts:
    """The layouts of one file's types; ``cacheline`` is in bytes."""

    def __init__(self, btf: Btf, cacheline: int = 64) -> None:
        self.btf = btf
        self.cacheline = cacheline
        self._pointer = btf.pointer_size
        self._spare = _MOST
        self.spelled = Spare(_MOST)
        self._known: dict[int, Layout] = {}
        self._open: set[int] = set()

    def write(self) -> None:
        """A member or parameter is written out once more. Raises Error when that is no end."""
        self._spare -= 1
        if self._spare < 0:
            raise Error(
                f"more than {_MOST} members to be written out",
                self.btf.where,
                "the file is damaged, or made so: types without a name stand in each other",
            )

    def of(self, found: Composite) -> Layout:
        """The layout of a struct or union."""
        known = self._known.get(found.id)
        if known is None:
            if found.id in self._open:
                raise Error(
                    f"type [{found.id}] contains itself",
                    self.btf.where,
                    "the file is damaged: build it again",
                )
            self._open.add(found.id)
            known = self._known[found.id] = self._find(found)
            self._open.remove(found.id)
        return known

    def alignment(self, type_id: int) -> int:
        """Natural alignment in bytes."""
        found = self.btf.strip(type_id)
        match found:
            case Int() | Enumeration() | Float():
                return _power_of_two_below(min(found.size, _LARGEST))
            case Ptr():
                return self._pointer
            case Array():
                return self.alignment(found.type_id)
            case Composite():
                return self.of(found).alignment
        return 1

    def _find(self, found: Composite) -> Layout:
        natural = max((self.alignment(m.type_id) for m in found.members), default=1)
        packed = not self._is_natural(found, natural) and self._is_close(found)
        if packed:
            natural = 1
        places: list[Place] = []
        covered = occupied = unit_end = 0  # the first two in bits, the third in bytes
        for member in found.members:
            if not isinstance(found, Struct):
                covered = occupied = unit_end = 0
            offset, size = self._storage(member)
            start, end = member.bit_offset, self._end(member)
            if member.bit_size:
                gap = _between(covered, start, unit_end or offset, bool(unit_end))
                unit_end = max(unit_end, offset + size)
            else:
                gap = _between(covered, start, unit_end, True)
                unit_end = 0
            aligned = 0
            if not packed and start % 8 == 0:
                to = self.alignment(member.type_id)
                aligned = self._explain(_bytes(occupied), to, start // 8)
            places.append(
                Place(
                    member,
                    self.btf[member.type_id],
                    offset,
                    size,
                    start - offset * 8,
                    gap,
                    aligned,
                )
            )
            covered = max(covered, end)
            # An array of no elements lies somewhere, but what follows may lie there as well.
            if end > start:
                occupied = max(occupied, end)
        tail = _between(covered, found.size * 8, unit_end, True)
        aligned = 0
        if isinstance(found, Struct) and not packed:
            aligned = self._explain(_bytes(occupied), natural, found.size)
        return Layout(tuple(places), tail, natural, packed, aligned)

    def _storage(self, member: Member) -> tuple[int, int]:
        """Offset and size in bytes of the type, or of the unit that a bitfield starts in."""
        size = self.btf.sizeof(member.type_id)
        if not member.bit_size:
            return member.bit_offset // 8, size
        unit = max(size, 1)
        return member.bit_offset // 8 // unit * unit, unit

    def _end(self, member: Member) -> int:
        """The bit behind the member."""
        return member.bit_offset + (member.bit_size or self.btf.sizeof(member.type_id) * 8)

    def _is_natural(self, found: Composite, alignment: int) -> bool:
        """Could members lie there, and the type end there, without ``packed``?"""
        return found.size % alignment == 0 and all(map(self._is_at_home, found.members))

    def _is_at_home(self, member: Member) -> bool:
        """Is a member at a multiple of its alignment, a bitfield inside one storage unit?"""
        if member.bit_size:
            offset, size = self._storage(member)
            return self._end(member) <= (offset + size) * 8
        return member.bit_offset % (self.alignment(member.type_id) * 8) == 0

    def _is_close(self, found: Composite) -> bool:
        """Is this what ``packed`` gives: each member right behind the last, the end as well?"""
        if not isinstance(found, Struct):
            return found.size == max((_bytes(self._end(m)) for m in found.members), default=0)
        at = 0
        for member in found.members:
            if not member.bit_size:
                at = _bytes(at) * 8
            if member.bit_offset != at:
                return False
            at = self._end(member)
        return found.size == _bytes(at)

    def _explain(self, occupied: int, natural: int, recorded: int) -> int:
        """The N of ``aligned(N)`` that leads from the occupied bytes to the recorded place.

        0 if none does, or if none is needed.
        """
        fitting = [n for n in _powers_of_two(recorded) if _round_up(occupied, n) == recorded]
        if natural in fitting or not fitting:
            return 0
        if self.cacheline in fitting:
            return self.cacheline
        # What is smaller than the natural alignment asks for nothing.
        return min((n for n in fitting if n > natural), default=0)


def as_dict(layouts: Layouts, found: Type) -> dict[str, Any]:
    """A type with what lies where in it, as one object of JSON.

    Sizes and offsets are in bytes; ``bit_offset`` counts from the byte ``offset``. A type without
    a name is written out where it is used, as ``inside``; a pointer to one says so in ``type``.
    """
    btf = layouts.btf

    def spelled(of: Typedef | Member) -> str:
        return declare(btf, of.type_id, spare=layouts.spelled)

    if isinstance(found, Typedef):
        target = btf[found.type_id]
        inside = {} if _has_name(target) else {"inside": as_dict(layouts, target)}
        head = {"kind": found.kind.name, "name": found.name, "type": spelled(found)}
        return {**head, "size": btf.sizeof(found.id), **inside}
    if isinstance(found, Enumeration):
        values = [{"name": value.name, "value": value.value} for value in found.values]
        head = {"kind": found.kind.name, "name": found.name}
        return {**head, "size": found.size, "signed": found.signed, "values": values}
    assert isinstance(found, Composite)
    layout = layouts.of(found)
    members = []
    for place in layout.places:
        layouts.write()
        member = place.member
        entry: dict[str, Any] = {"name": member.name, "type": spelled(member)}
        entry.update(offset=place.offset, size=place.size)
        if member.bit_size:
            entry.update(bit_offset=place.shift, bits=member.bit_size)
        if place.gap != Gap():
            entry["hole_before"] = asdict(place.gap)
        if not _has_name(place.type):
            entry["inside"] = as_dict(layouts, place.type)
        members.append(entry)
    head = {"kind": found.kind.name, "name": found.name}
    return {**head, "size": found.size, "members": members, "padding": asdict(layout.tail)}


def _has_name(found: Type) -> bool:
    """All but a struct, union or enum without one."""
    return bool(found.name) or not isinstance(found, (Composite, Enumeration))


def _between(covered: int, start: int, unit: int, behind: bool) -> Gap:
    """What is free from bit ``covered`` to bit ``start``.

    ``unit`` is the byte where a storage unit ends (``behind``) or where the next one starts: on
    that unit's side the gap counts in bits, on the other in bytes.
    """
    free = max(0, start - covered)
    if not free:
        return Gap()
    if behind:
        bits = min(free, max(0, unit * 8 - covered))
        return Gap(bits + (free - bits) % 8, (free - bits) // 8)
    whole = max(0, unit * 8 - covered) // 8
    return Gap(free - whole * 8, whole)


def _bytes(bits: int) -> int:
    return -(-bits // 8)


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step


def _powers_of_two(top: int) -> Iterator[int]:
    power = 1
    while power <= top:
        yield power
        power *= 2


def _power_of_two_below(size: int) -> int:
    """The largest power of two that is not more than the size."""
    return 1 << max(size, 1).bit_length() - 1
