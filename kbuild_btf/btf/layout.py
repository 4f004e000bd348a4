# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Where the members of a struct lie: sizes, holes, padding, and what can be inferred from them.

BTF records offsets and sizes only. Holes follow from them; attributes (``aligned``,
``packed``) are guessed by the rules that pahole uses for BTF, so that both tools agree.
"""

from __future__ import annotations

from dataclasses import dataclass

from .reader import Btf
from .types import (
    Array,
    Composite,
    Enumeration,
    Float,
    FuncProto,
    Fwd,
    Int,
    Member,
    Ptr,
    Struct,
    Type,
    Union,
)


@dataclass(slots=True)
class Slot:
    """Place of one member: bytes, except for the fields called bit."""

    member: Member
    type: Type  # without typedefs and qualifiers
    offset: int  # of a bitfield: of its storage unit
    size: int
    bit: int = 0  # of a bitfield: first bit within the storage unit
    start_bit: int = 0  # within the struct
    alignment: int = 0  # inferred; 0: natural
    hole: int = 0  # after this member
    bit_hole: int = 0

    @property
    def bits(self) -> int:
        return self.member.bit_size

    @property
    def end_bit(self) -> int:
        return self.start_bit + (self.bits or self.size * 8)


@dataclass(slots=True)
class Shape:
    """A struct or union measured; bytes, except for the fields called bit."""

    slots: list[Slot]
    alignment: int = 0  # inferred; 0: natural
    first_hole: int = 0  # before the first member
    first_bit_hole: int = 0
    holes: int = 0
    bit_holes: int = 0
    padding: int = 0
    bit_padding: int = 0


class Measure:
    """Shapes of the types of one BTF, remembered."""

    def __init__(self, btf: Btf, cacheline: int = 64) -> None:
        self.btf = btf
        self.cacheline = cacheline
        self.pointer = btf.pointer_size
        self._shapes: dict[int, Shape] = {}
        self._natural: dict[int, int] = {}
        self._packed: dict[int, bool] = {}

    def size_of(self, found: Type) -> int:
        match found:
            case Int():
                return (found.bits + 7) // 8
            case Array():
                return found.nelems * self.size_of(self.btf.strip(found.type_id))
            case Struct() | Union():
                return 0 if found.size == 1 and not found.members else found.size
            case Enumeration():
                return found.size or 4
            case Ptr() | FuncProto():
                return self.pointer
        return found.size if isinstance(found, Float) else 0

    def natural_alignment(self, found: Type) -> int:
        """Alignment in bytes without any attribute."""
        match found:
            case Ptr():
                return self.pointer
            case Int() | Float() | Enumeration():
                return self.size_of(found) or 1
            case Array():
                return self.natural_alignment(self.btf.strip(found.type_id))
            case Composite():
                if found.id not in self._natural:
                    self._natural[found.id] = max(
                        (self.natural_alignment(self.btf.strip(m.type_id)) for m in found.members),
                        default=1,
                    )
                return self._natural[found.id]
        return 1

    def shape(self, found: Composite | Fwd) -> Shape:
        shape = self._shapes.get(found.id)
        if shape is None:
            shape = self._shapes[found.id] = (
                Shape([]) if isinstance(found, Fwd) else self._measure(found)
            )
        return shape

    def _measure(self, found: Composite) -> Shape:
        shape = Shape([])
        end = 0
        for member in found.members:
            slot = self._slot(member)
            slot.alignment = self._alignment(slot.offset, self.natural_alignment(slot.type), end)
            if slot.size:
                used = (slot.bit + slot.bits + 7) // 8 if slot.bits else slot.size
                end = slot.offset + used
            shape.slots.append(slot)
        shape.alignment = self._alignment(found.size, self.natural_alignment(found), end)
        if isinstance(found, Struct):
            _find_holes(shape, found.size)
        return shape

    def _slot(self, member: Member) -> Slot:
        found = self.btf.strip(member.type_id)
        size = self.size_of(found)
        start = member.bit_offset
        slot = Slot(member, found, start // 8, size, start_bit=start)
        if member.bit_size and size and isinstance(found, (Int, Enumeration)):
            # The storage unit is the naturally aligned one that holds the first bit.
            slot.offset = start // (size * 8) * size
            slot.bit = start - slot.offset * 8
        return slot

    def _alignment(self, offset: int, natural: int, end: int) -> int:
        """Alignment that explains why something lies at ``offset`` and not sooner after ``end``.

        The power of two above the gap; when a whole cacheline explains it as well, that.
        """
        gap = offset - end
        if gap <= 0 or offset % 2:
            return 0
        alignment: int = 1 << gap.bit_length()
        if alignment <= natural:
            return 0
        fits = self.cacheline % alignment == 0 and offset % self.cacheline == 0
        return self.cacheline if alignment < self.cacheline and fits else alignment

    # --- inferred attributes ----------------------------------------------------------------

    def is_packed(self, found: Type) -> bool:
        """Whether a struct seems packed, by itself or by what was inspected so far."""
        return self._packed.get(found.id, False)

    def inspect(self, found: Type) -> None:
        """Infer ``packed`` for a type and, from the places it gives them, for its members.

        Sometimes only the place inside another type shows that a struct is packed.
        """
        if found.id in self._packed or not isinstance(found, Composite):
            return
        shape = self.shape(found)
        self._packed[found.id] = False
        if isinstance(found, Union):
            misplaced = [s for s in shape.slots if found.size % self.natural_alignment(s.type)]
        else:
            misplaced = [s for s in shape.slots if s.offset % self.natural_alignment(s.type)]
        if isinstance(found, Struct) and not (shape.padding or shape.holes):
            largest = max((self.natural_alignment(s.type) for s in shape.slots), default=1)
            self._packed[found.id] = bool(misplaced) or self.size_of(found) % largest != 0
        else:
            self._packed.update(
                (slot.type.id, True) for slot in misplaced if isinstance(slot.type, (Struct, Fwd))
            )

    # --- flexible arrays ----------------------------------------------------------------------

    def ends_in_flexible_array(self, found: Type) -> bool:
        if not isinstance(found, Composite) or not found.members:
            return False
        last = self.btf[found.members[-1].type_id]
        return isinstance(last, Array) and not last.nelems

    def embeds_flexible_array(self, found: Type) -> bool:
        """Whether a member, at any depth, is a struct that ends in a flexible array."""
        return isinstance(found, Struct) and any(
            isinstance(slot.type, Struct)
            and (self.ends_in_flexible_array(slot.type) or self.embeds_flexible_array(slot.type))
            for slot in self.shape(found).slots
        )


@dataclass(frozen=True, slots=True)
class _Storage:
    """The storage unit that bit-fields are filling: its width and its end, in bits."""

    width: int
    end: int

    def holding(self, slot: Slot) -> _Storage:
        """The unit in use after one more bit-field: a wider or a later one takes its place."""
        width = slot.size * 8
        if width <= self.width and slot.end_bit <= self.end:
            return self
        start = slot.offset * 8
        # A packed bit-field may end in the unit behind the one that it starts in.
        return _Storage(width, start + (2 * width if slot.end_bit > start + width else width))


def _find_holes(shape: Shape, size: int) -> None:
    """Fill in the holes and the padding of a struct of ``size`` bytes.

    What no member covers is a bit hole as far as it belongs to the storage unit of a bit-field,
    before it or after it, and a hole of whole bytes between.
    """
    covered = 0
    storage: _Storage | None = None
    gaps = []
    for slot in shape.slots:
        left_over = min(slot.start_bit, storage.end) - covered if storage else 0
        hole, ahead = _gap(covered + left_over, slot)
        gaps.append((hole, left_over + ahead))
        covered = slot.end_bit
        storage = (storage or _Storage(0, 0)).holding(slot) if slot.bits else None
    # A gap stands before its member; it is shown after the one before.
    for before, (hole, bits) in zip(shape.slots, gaps[1:], strict=False):
        before.hole, before.bit_hole = hole, bits
    if gaps:
        shape.first_hole, shape.first_bit_hole = gaps[0]
    shape.holes = sum(hole > 0 for hole, _ in gaps)
    shape.bit_holes = sum(bits != 0 for _, bits in gaps)
    if storage:
        shape.bit_padding = min(size * 8, storage.end) - covered
    shape.padding = size - (covered + shape.bit_padding) // 8


def _gap(free: int, slot: Slot) -> tuple[int, int]:
    """Whole bytes, then bits, from the first free bit to a member."""
    if not slot.bits:
        return slot.start_bit // 8 - free // 8, 0
    unit = slot.offset * 8
    if free < unit <= slot.start_bit:
        return slot.offset - free // 8, slot.start_bit - unit
    return 0, slot.start_bit - free
