# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The structs of a kernel: which are the largest, what lies where in them, what could be packed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..btf import Btf, Composite, Kind, Member, Struct
from ..btf.spelling import Spare, declare
from ..btf.tables import Row, rows
from ..progress import Progress

CACHELINE = 64

# What one page can show so that somebody reads it.
_LARGEST, _WITH_HOLES, _PACKABLE = 30, 20, 250


@dataclass(frozen=True, slots=True)
class Band:
    """What lies in a struct from one bit to another: a member, or ``hole`` or ``padding``, which
    have neither name nor text. ``text`` is C."""

    what: str
    name: str
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """A struct with all that lies in it."""

    row: Row
    bands: tuple[Band, ...]


@dataclass(frozen=True, slots=True)
class Structs:
    """All of them in numbers, and those that are shown."""

    count: int
    with_holes: int
    hole_bytes: int
    packable_count: int
    packable_bytes: int
    largest: tuple[Drawn, ...]
    holes: tuple[Drawn, ...]
    packable: tuple[Row, ...]


def structs(btf: Btf, progress: Progress) -> Structs:
    """Measure them. Raises Error."""
    census = btf.census()
    total = sum(census.get(kind, (0, 0))[0] for kind in (Kind.STRUCT, Kind.UNION))
    found = []
    for row in rows(btf):
        found.append(row)
        progress(min(len(found), total), total)
    tagged = [row for row in found if row.kind == "STRUCT"]
    packable = sorted((r for r in found if r.saved), key=lambda r: (-r.saved, r.name))
    largest = sorted(tagged, key=lambda r: (-r.size, r.name))[:_LARGEST]
    shown = {row.name for row in largest}
    rest = (r for r in tagged if r.hole_bytes and r.name not in shown)
    holes = sorted(rest, key=lambda r: (-r.hole_bytes, r.name))[:_WITH_HOLES]
    by_name: dict[str, Struct] = {}
    for struct in btf.find(Struct):
        by_name.setdefault(f"struct {struct.name}", struct)

    def drawn(chosen: list[Row]) -> tuple[Drawn, ...]:
        return tuple(Drawn(row, tuple(bands(by_name[row.name]))) for row in chosen)

    return Structs(
        len(found),
        sum(bool(row.holes) for row in found),
        sum(row.hole_bytes for row in found),
        len(packable),
        sum(row.saved for row in packable),
        drawn(largest),
        drawn(holes),
        tuple(packable[:_PACKABLE]),
    )


def bands(struct: Struct) -> Iterator[Band]:
    """From the first bit to the last; members of structs without a name one by one."""
    at = 0
    for start, end, member in sorted(_members(struct, 0), key=lambda one: one[0]):
        if start > at:
            yield Band("hole", "", "", at, start)
        if end > start:
            name = member.name or "(unnamed)"
            yield Band("member", name, _text(member), start, end)
        at = max(at, end)
    if at < struct.size * 8:
        yield Band("padding", "", "", at, struct.size * 8)


def _members(of: Composite, base: int) -> Iterator[tuple[int, int, Member]]:
    for member in of.members:
        start = base + member.bit_offset
        inner = of.btf.strip(member.type_id)
        if isinstance(inner, Struct) and not inner.name and not member.name:
            yield from _members(inner, start)
            continue
        bits = member.bit_size or of.btf.sizeof(member.type_id) * 8
        yield start, start + bits, member


def _text(member: Member) -> str:
    width = f" : {member.bit_size}" if member.bit_size else ""
    return declare(member.btf, member.type_id, member.name, spare=Spare()) + width
