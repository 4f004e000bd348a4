# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""C declarations of all types: what is usually called ``vmlinux.h``.

A type comes after what it needs: whole types for members and array elements, forward
declarations for what is only pointed to. BTF knows offsets, not alignment attributes, so holes
that the compiler would not leave by itself are written out as unnamed bitfields, and a type
whose members lie where only ``packed`` puts them is packed. Sizes and offsets of the result
equal the BTF's on the target the BTF is for.
"""

from __future__ import annotations

import re
from collections import defaultdict

from ..errors import Error
from .reader import Btf
from .spelling import Spare, declare, keyword, plain
from .types import (
    Array,
    Composite,
    Const,
    Enum64,
    Enumeration,
    Float,
    FuncProto,
    Fwd,
    Int,
    Member,
    Ptr,
    Restrict,
    Struct,
    Type,
    Typedef,
    TypeTag,
    Volatile,
)

_GUARD = "__VMLINUX_H__"
_TOP = f"""\
#ifndef {_GUARD}
#define {_GUARD}

#if defined(__clang__) && !defined(BPF_NO_PRESERVE_ACCESS_INDEX)
#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)
#endif
"""
_BOTTOM = f"""\
#if defined(__clang__) && !defined(BPF_NO_PRESERVE_ACCESS_INDEX)
#pragma clang attribute pop
#endif

#endif /* {_GUARD} */"""

# Bytes that unnamed bitfields stand for, each on a line of its own; more are an array.
_LONGEST = 4096
# Types that the header of any BTF may spell, beside some for each word of it.
_LITTLE = 1 << 14
# Known to the compiler; declaring it again is an error.
_BUILTIN = frozenset({"__builtin_va_list"})
# What both gcc and clang call base types, on every machine.
_BASE_WORDS = frozenset(
    ("char", "short", "int", "long", "signed", "unsigned", "float", "double", "_Bool", "__int128")
)
_INTEGERS = {1: "char", 2: "short", 4: "int", 8: "long long", 16: "__int128"}
_FLOATS = {4: "float", 8: "double"}
_ENUM_MODES = {1: "byte", 2: "HI", 8: "DI"}


def render(btf: Btf, with_base: bool = False) -> str:
    """The header for ``btf``; for split BTF its own types and what they need of the base, or all
    of the base as well."""
    return Header(btf).text(1 if with_base else btf.start)


class Header:
    """State of one rendering: what is already written, and under which names."""

    def __init__(self, btf: Btf) -> None:
        self.btf = btf
        self.pointer = btf.pointer_size
        self._out: list[str] = []
        self._done: set[int] = set()
        self._declared: set[str] = set()
        self._open: list[int] = []
        self._align: dict[int, int] = {}
        self._packed: dict[int, bool] = {}
        self._needed: set[tuple[int, int]] = set()
        self._spare = Spare(_LITTLE + 8 * btf.words)
        self._identifiers: defaultdict[str, int] = defaultdict(int)
        self.names = self._unique_names()

    def text(self, start: int) -> str:
        """All types from this id on, and what they need."""
        every = [self.btf[type_id] for type_id in range(start, len(self.btf))]
        for found in every:
            if isinstance(found, (Composite, Enumeration)) and found.name:
                self._define(found)
            elif isinstance(found, Fwd):
                self._forward(found)
            elif isinstance(found, Typedef):
                self._typedef(found)
        for found in every:
            if isinstance(found, Enumeration) and not found.name and found.id not in self._done:
                self._out.append(self._body(found, 0) + ";")
        if self._spare.types < 0:
            raise Error(
                "the declarations would be many times as long as the BTF",
                self.btf.where,
                "its types without a name stand in each other: show single types with -C",
            )
        return "\n\n".join([_TOP.rstrip("\n"), *self._out, _BOTTOM])

    # --- names --------------------------------------------------------------------------

    def _unique_names(self) -> dict[int, str]:
        """C has one namespace for tags and one for the rest; BTF may hold several of a name.

        The second type of a name becomes ``name___2``. A forward declaration shares the name
        of a type that it may stand for.
        """
        names: dict[int, str] = {}
        tags: defaultdict[str, int] = defaultdict(int)
        owner: dict[tuple[str, str], str] = {}
        every = [self.btf[type_id] for type_id in range(1, len(self.btf))]
        forwards = [t for t in every if isinstance(t, Fwd)]
        whole = [t for t in every if isinstance(t, (Composite, Enumeration)) and t.name]
        tagged: list[Composite | Enumeration | Fwd] = [*whole, *forwards]
        for found in tagged:
            key = keyword(found), found.name
            if isinstance(found, Fwd) and key in owner:
                names[found.id] = owner[key]
                continue
            names[found.id] = _numbered(tags, found.name)
            owner.setdefault(key, names[found.id])
        for typedef in every:
            if isinstance(typedef, Typedef):
                names[typedef.id] = _numbered(self._identifiers, typedef.name)
        for base in every:
            if isinstance(base, (Int, Float)) and not _BASE_WORDS.issuperset(base.name.split()):
                # Not the name itself, which some compilers may know as a keyword.
                word = re.sub(r"\W+", "_", base.name, flags=re.ASCII).rstrip("_")
                names[base.id] = _numbered(self._identifiers, f"{word}_t")
        return names

    def _spell(self, found: Type, depth: int) -> str:
        if isinstance(found, (Composite, Enumeration, Fwd)):
            if not found.name:
                return self._body(found, depth)
            return f"{keyword(found)} {self.names[found.id]}"
        return self.names.get(found.id) or plain(found)

    def _declare(self, type_id: int, name: str, depth: int = 0) -> str:
        return declare(
            self.btf, type_id, name, lambda found: self._spell(found, depth), self._spare
        )

    # --- order --------------------------------------------------------------------------

    def _need(self, type_id: int, whole: bool) -> None:
        """Write what has to stand before a use of the type; ``whole``: its size is needed."""
        found = self.btf[type_id]
        match found:
            case Composite() if found.name:
                if whole:
                    self._define(found)
                else:
                    self._forward(found)
            case Composite() if self._is_new(found):
                for member in found.members:
                    self._need(member.type_id, True)
            case Enumeration() if found.name:
                self._define(found)
            case Fwd():
                self._forward(found)
            case Int() | Float() if found.id in self.names:
                self._stand_in(found)
            case Typedef():
                self._typedef(found)
                if whole:
                    self._need(found.type_id, True)
            case Ptr():
                self._need(found.type_id, False)
            case Array():
                self._need(found.type_id, True)
            case Const() | Volatile() | Restrict() | TypeTag():
                self._need(found.type_id, whole)
            case FuncProto() if self._is_new(found):
                self._need(found.type_id, False)
                for param in found.params:
                    self._need(param.type_id, False)

    def _is_new(self, found: Composite | FuncProto) -> bool:
        """Does somebody ask for the first time what it needs where this type is open?"""
        key = found.id, self._open[-1] if self._open else 0
        is_new = key not in self._needed
        self._needed.add(key)
        return is_new

    def _define(self, found: Composite | Enumeration) -> None:
        if found.id in self._done:
            return
        if found.id in self._open:
            raise Error(
                f"{plain(found)} contains itself",
                f"{self.btf.where}, type [{found.id}]",
                "the file is damaged: build it again",
            )
        self._open.append(found.id)
        if isinstance(found, Composite):
            for member in found.members:
                self._need(member.type_id, True)
        self._open.pop()
        self._out.append(self._body(found, 0) + ";")
        self._done.add(found.id)
        self._declared.add(self._spell(found, 0))

    def _forward(self, found: Composite | Fwd) -> None:
        words = self._spell(found, 0)
        # The struct that is being written may point to itself.
        if words not in self._declared and self._open[-1:] != [found.id]:
            self._declared.add(words)
            self._out.append(words + ";")

    def _typedef(self, found: Typedef) -> None:
        if found.id in self._done or found.name in _BUILTIN:
            return
        self._done.add(found.id)
        self._open.append(found.id)
        self._need(found.type_id, False)
        self._open.pop()
        self._out.append(f"typedef {self._declare(found.type_id, self.names[found.id])};")

    def _stand_in(self, found: Int | Float) -> None:
        """A type of that size for one that not every compiler has (``_Complex``, ``_BitInt``), or
        that BTF has only a name for."""
        if found.id in self._done:
            return
        self._done.add(found.id)
        name, size = self.names[found.id], found.size
        if isinstance(found, Float) and size in _FLOATS:
            self._out.append(f"typedef {_FLOATS[size]} {name};")
        elif isinstance(found, Int) and found.encoding & Int.BOOL and size == 1:
            self._out.append(f"typedef _Bool {name};")
        elif size in _INTEGERS and size <= 2 * self.pointer:
            signed = isinstance(found, Int) and found.encoding & Int.SIGNED
            sign = "signed" if signed else "unsigned"
            self._out.append(f"typedef {sign} {_INTEGERS[size]} {name};")
        else:
            self._out.append(f"typedef struct {{ unsigned int words[{size // 4}]; }} {name};")

    # --- bodies -------------------------------------------------------------------------

    def _body(self, found: Composite | Enumeration | Fwd, depth: int, named: bool = True) -> str:
        """``struct name { ... }`` with the members, one level deeper than ``depth``."""
        name = self.names.get(found.id, "") if named else ""
        head = " ".join(filter(None, (keyword(found), name)))
        if isinstance(found, Fwd):
            return head
        if isinstance(found, Enumeration):
            self._done.add(found.id)
            if not found.values:
                return head
            lines = self._enumerator_lines(found)
            mode = _ENUM_MODES.get(found.size)
            if isinstance(found, Enum64):
                mode = None if _is_wide(found) else mode
            tail = f" __attribute__((mode({mode})))" if mode else ""
        elif self._spare.types < 0:
            lines, tail = [], ""
        else:
            lines = list(self._member_lines(found, depth))
            tail = " __attribute__((packed))" if self.is_packed(found) else ""
        indent = "\t" * depth
        return "\n".join(
            [f"{head} {{", *(f"{indent}\t{line}" for line in lines), f"{indent}}}{tail}"]
        )

    def _enumerator_lines(self, found: Enumeration) -> list[str]:
        suffix = ""
        if isinstance(found, Enum64):
            suffix = "LL" if found.signed else "ULL"
        return [
            f"{_numbered(self._identifiers, value.name)} = {_literal(value.value, suffix)},"
            for value in found.values
        ]

    def _member_lines(self, found: Composite, depth: int) -> list[str]:
        packed = self.is_packed(found)
        align = 1 if packed else self._align_of_members(found)
        lines: list[str] = []
        end = 0
        for member in found.members:
            if isinstance(found, Struct):
                lines += self._padding(
                    self._natural(member, end, packed), end, member.bit_offset, align, packed
                )
            width = f": {member.bit_size}" if member.bit_size else ""
            lines.append(f"{self._member(member, depth + 1)}{width};")
            end = max(end, member.bit_offset + self._bits(member))
        natural = _round_up(end, align * 8)
        if isinstance(found, Struct):
            lines += self._padding(natural, end, found.size * 8, align, packed)
        elif natural < found.size * 8:
            name = _numbered(self._identifiers, "__padding")
            lines.append(f"unsigned char {name}[{found.size}];")
        return lines

    def _member(self, member: Member, depth: int) -> str:
        """A member without its width. A struct with a name stands in another without one only where
        -fms-extensions allows it, as kernels from 7.0 on are compiled: here its members do."""
        embedded = self.btf.strip(member.type_id) if not member.name else None
        if isinstance(embedded, Composite) and embedded.name:
            return self._body(embedded, depth, named=False)
        return self._declare(member.type_id, member.name, depth)

    def _padding(self, natural: int, end: int, start: int, align: int, packed: bool) -> list[str]:
        """Unnamed bitfields from bit ``end`` to ``start``, if the compiler would not go there.

        Each is no wider than the alignment of the struct, so that none raises it, and lies in
        one storage unit of its type.
        """
        lines: list[str] = []
        if natural == start:
            return lines
        units = [(self.pointer * 8, "long"), (32, "int"), (16, "short"), (8, "char")]
        if (whole := (start - end) // 8) > _LONGEST and end % 8 == 0:
            name = _numbered(self._identifiers, "__padding")
            lines.append(f"unsigned char {name}[{whole}];")
            end += whole * 8
        while end < start:
            if end % 8 or start - end < 8:
                width, unit = min(8 - end % 8, start - end), "char"
            else:
                width, unit = next(
                    (width, unit)
                    for width, unit in units
                    if width <= start - end
                    and (packed or (end % width == 0 and width <= align * 8) or width == 8)
                )
            lines.append(f"{unit}: {width};")
            end += width
        return lines

    # --- layout as the compiler does it -----------------------------------------------------

    def _natural(self, member: Member, end: int, packed: bool) -> int:
        """Bit offset the compiler would give to a member that follows bit ``end``."""
        if member.bit_size:
            unit = self.btf.sizeof(member.type_id) * 8
            fits = packed or not unit or end // unit == (end + member.bit_size - 1) // unit
            return end if fits else _round_up(end, unit)
        return _round_up(end, 8 * (1 if packed else self.align_of(member.type_id)))

    def _bits(self, member: Member) -> int:
        return member.bit_size or self.btf.sizeof(member.type_id) * 8

    def align_of(self, type_id: int) -> int:
        """Alignment in bytes of the type as this header declares it."""
        found = self.btf.strip(type_id)
        match found:
            case Int() | Enumeration() | Float():
                # 32-bit targets differ in how they align 8 bytes; too little is safe, because
                # the padding is then written out.
                return max(1, min(found.size, 16 if self.pointer == 8 else self.pointer))
            case Ptr():
                return self.pointer
            case Array():
                return self.align_of(found.type_id)
            case Composite():
                return 1 if self.is_packed(found) else self._align_of_members(found)
        return 1

    def _align_of_members(self, found: Composite) -> int:
        if found.id not in self._align:
            self._align[found.id] = max(
                (self.align_of(member.type_id) for member in found.members), default=1
            )
        return self._align[found.id]

    def is_packed(self, found: Composite) -> bool:
        """Whether only the attribute explains where the members lie."""
        if found.id not in self._packed:
            self._packed[found.id] = found.size % self._align_of_members(found) != 0 or any(
                self._is_misplaced(member) for member in found.members
            )
        return self._packed[found.id]

    def _is_misplaced(self, member: Member) -> bool:
        if member.bit_size:
            unit = self.btf.sizeof(member.type_id) * 8
            last = member.bit_offset + member.bit_size - 1
            return bool(unit) and member.bit_offset // unit != last // unit
        return member.bit_offset % (8 * self.align_of(member.type_id)) != 0


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step


def _numbered(used: defaultdict[str, int], name: str) -> str:
    """``name``, or ``name___2`` and so on when it is taken."""
    used[name] += 1
    return name if used[name] == 1 else f"{name}___{used[name]}"


def _is_wide(found: Enumeration) -> bool:
    """Whether the values alone make the compiler choose 8 bytes."""
    low, high = (-(1 << 31), (1 << 31) - 1) if found.signed else (0, (1 << 32) - 1)
    return any(not low <= value.value <= high for value in found.values)


def _literal(value: int, suffix: str) -> str:
    # The smallest number has no literal of its own type.
    return f"({value + 1}{suffix} - 1)" if value == -(1 << 63) else f"{value}{suffix}"
