# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Reading BTF: the raw blob, or the ``.BTF`` section of an ELF file.

Loading walks the type section once to find where each type starts and checks every id and
string offset; the records themselves are made when somebody asks for them.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar, cast

from ..errors import Error
from . import elf
from .types import (
    Array,
    Composite,
    Const,
    Datasec,
    DeclTag,
    Enum,
    Enum64,
    Enumeration,
    Enumerator,
    Float,
    Func,
    FuncProto,
    Fwd,
    Int,
    Kind,
    Member,
    Param,
    Ptr,
    Restrict,
    SecInfo,
    Struct,
    Type,
    Typedef,
    TypeTag,
    Union,
    Var,
    Void,
    Volatile,
)

MAGIC = 0xEB9F
# What a sidecar begins with (docs/sidecar.md).
_SIDECAR = b"kbtf"
HEADER = 24
HEADER_WITH_LAYOUT = 32

# What follows the three words of every type: so many words, then elements. Of an element: its
# words, which of them is a name, which an id.
_FIXED = {Kind.INT: 1, Kind.ARRAY: 3, Kind.VAR: 1, Kind.DECL_TAG: 1}
_ELEMENTS: dict[Kind, tuple[int, int | None, int | None]] = {
    Kind.STRUCT: (3, 0, 1),
    Kind.UNION: (3, 0, 1),
    Kind.ENUM: (2, 0, None),
    Kind.FUNC_PROTO: (2, 0, 1),
    Kind.DATASEC: (3, None, 0),
    Kind.ENUM64: (3, 0, None),
}
# The same by number, for the loops.
_WORDS = [3 + _FIXED.get(kind, 0) for kind in Kind]
_PER_ELEMENT = [_ELEMENTS.get(kind, (0,))[0] for kind in Kind]
_NAME_WORD: dict[int, int] = {
    kind: name for kind, (_, name, _) in _ELEMENTS.items() if name is not None
}
_ID_WORD: dict[int, int] = {kind: ref for kind, (_, _, ref) in _ELEMENTS.items() if ref is not None}
# The third word is an id; for the other kinds a size, or nothing.
_HAS_TYPE = frozenset(
    {
        Kind.PTR,
        Kind.TYPEDEF,
        Kind.VOLATILE,
        Kind.CONST,
        Kind.RESTRICT,
        Kind.FUNC,
        Kind.FUNC_PROTO,
        Kind.VAR,
        Kind.DECL_TAG,
        Kind.TYPE_TAG,
    }
)

_SIMPLE: dict[int, type[Ptr | Typedef | Volatile | Const | Restrict]] = {
    Kind.PTR: Ptr,
    Kind.TYPEDEF: Typedef,
    Kind.VOLATILE: Volatile,
    Kind.CONST: Const,
    Kind.RESTRICT: Restrict,
}

_T = TypeVar("_T", bound=Type)
_NEEDS_BASE = "if this is split BTF (a module's), give its base: --base FILE"
_REBUILD = "the file is damaged or not BTF: build it again"


class Btf:
    """All types of one BTF, by id.

    ``btf[id]`` is one type (0 is void); iterating yields the types of this file in the order
    of their ids, for split BTF only its own; ``len`` is one more than the highest id.

    ``pointer_size`` is that of the machine in bytes, where the file that the BTF is of tells it.
    """

    def __init__(
        self,
        data: bytes | memoryview,
        base: Btf | None = None,
        where: str = "",
        pointer_size: int | None = None,
    ) -> None:
        self.where = where
        self.base = base
        self._pointer_size = pointer_size
        self.start = len(base) if base else 1
        self._string_start: int = base._string_end if base else 0
        self._words, self._strings, self.big_endian = self._header(memoryview(data))
        self._string_end: int = self._string_start + len(self._strings)
        self._names: dict[int, str] = {}
        self._starts = self._scan()
        self._types: list[Type | None] = [None] * len(self._starts)
        self._index: dict[tuple[Kind, str], list[int]] | None = None
        self._check()

    @classmethod
    def from_bytes(cls, data: bytes, base: Btf | None = None, where: str = "BTF") -> Btf:
        """Read a raw blob; ``where`` names it in messages."""
        return cls(data, base, where)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        base: Btf | None = None,
        pointer_size: int | None = None,
    ) -> Btf:
        """Read a file: raw BTF, or ELF with a ``.BTF`` section.

        A module with a distilled base (section ``.BTF.base``) is read against that, because
        its ids count from there; ``base`` is for all other split BTF. ``pointer_size`` is for raw
        BTF; ELF tells it.
        """
        where = os.fspath(path)
        try:
            with Path(where).open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                # Files in /sys/kernel/btf cannot be mapped before Linux 6.16, empty ones never.
                if where.startswith("/sys/") or not size:
                    data = memoryview(file.read())
                else:
                    data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except OSError as failed:
            raise Error(failed.strerror or "cannot be read", where) from failed
        except ValueError as failed:
            raise Error("cannot be read", where) from failed
        if not elf.is_elf(data):
            return cls(bytes(data), base, where, pointer_size)
        pointer_size = elf.address_size(data)
        contents = elf.section(data, ".BTF", where)
        if contents is None:
            raise Error(
                "no .BTF section", where, "encode it first (kbuild-btf encode) or name another file"
            )
        distilled = elf.section(data, ".BTF.base", where)
        if distilled is not None:
            base = cls(bytes(distilled), None, f"{where} (.BTF.base)", pointer_size)
        return cls(bytes(contents), base, where, pointer_size)

    # --- access -------------------------------------------------------------------------

    def __len__(self) -> int:
        return self.start + len(self._starts)

    def __getitem__(self, type_id: int) -> Type:
        index = type_id - self.start
        if index < 0:
            if self.base:
                return self.base[type_id]
            if type_id == 0:
                return _VOID
            raise IndexError(type_id)
        found = self._types[index]
        if found is None:
            found = self._types[index] = self._make(type_id, self._starts[index])
        return found

    def __iter__(self) -> Iterator[Type]:
        return (self[type_id] for type_id in range(self.start, len(self)))

    def find(self, cls: type[_T], name: str) -> list[_T]:
        """Types of a class with that name, base first, in the order of ids."""
        if self._index is None:
            self._index = {}
            for position, start in enumerate(self._starts):
                kind = Kind(self._words[start + 1] >> 24 & 0x1F)
                key = kind, self._name(self._words[start])
                self._index.setdefault(key, []).append(position + self.start)
        found = self.base.find(cls, name) if self.base else []
        ids = self._index.get((cls.kind, name), ())
        return found + cast("list[_T]", [self[type_id] for type_id in ids])

    def strip(self, type_id: int) -> Type:
        """The type behind typedefs, qualifiers and type tags."""
        found = self[type_id]
        for _ in range(len(self)):
            if not isinstance(found, (Typedef, Const, Volatile, Restrict, TypeTag)):
                return found
            found = self[found.type_id]
        raise Error("a type that refers to itself", self._at(type_id), _REBUILD)

    @property
    def pointer_size(self) -> int:
        """4 or 8 bytes: what the file says, or its base; else the width of ``long``, else 8."""
        if known := self._pointer_size or (self.base and self.base._pointer_size):
            return known
        for name in ("long unsigned int", "long int", "unsigned long", "long"):
            for found in self.find(Int, name):
                return found.size
        return 8

    def size_of(self, type_id: int) -> int:
        """Size in bytes as sizeof() gives it; 0 for void, functions and forward declarations."""
        return self._size_of(type_id, self.pointer_size)

    def _size_of(self, type_id: int, pointer: int) -> int:
        found = self.strip(type_id)
        if isinstance(found, (Int, Composite, Enumeration, Float, Datasec)):
            return found.size
        if isinstance(found, Ptr):
            return pointer
        if isinstance(found, Array):
            return found.nelems * self._size_of(found.type_id, pointer)
        if isinstance(found, Var):
            return self._size_of(found.type_id, pointer)
        return 0

    # --- reading ------------------------------------------------------------------------

    def _header(self, data: memoryview) -> tuple[array[int], bytes, bool]:
        """Split the blob into words of the type section and strings."""
        if len(data) < HEADER:
            raise Error(f"{len(data)} bytes are too few for BTF", self.where, _REBUILD)
        orders = {struct.pack(order + "H", MAGIC): order for order in "<>"}
        order = orders.get(bytes(data[:2]))
        if bytes(data[:4]) == _SIDECAR:
            hint = "kbuild-btf encode makes BTF of that object, kbuild-btf link of all together"
            raise Error("not BTF, but what the hook keeps for one object", self.where, hint)
        if order is None:
            raise Error("no BTF: the magic number 0xeb9f is missing", self.where, _REBUILD)
        version, flags = data[2], data[3]
        (length,) = struct.unpack_from(order + "I", data, 4)
        if version != 1 or flags:
            raise Error(f"BTF version {version}, flags {flags}", self.where, "version 1 is known")
        if not HEADER <= length <= len(data) or length % 4:
            raise Error(f"header of {length} bytes", self._at_offset(4), _REBUILD)
        type_off, type_len, str_off, str_len = struct.unpack_from(order + "4I", data, 8)
        self._extension(data, order, length)
        body = data[length:]
        for what, offset, size in (("type", type_off, type_len), ("string", str_off, str_len)):
            if offset + size > len(body):
                raise Error(
                    f"the {what} section needs {offset + size} bytes, {len(body)} are there",
                    self._at_offset(length + offset),
                    _REBUILD,
                )
        if type_off % 4 or type_len % 4:
            raise Error("type section out of line", self._at_offset(length + type_off), _REBUILD)
        self._offset = length + type_off
        words = array("I")
        words.frombytes(body[type_off : type_off + type_len])
        if (order == ">") != (sys.byteorder == "big"):
            words.byteswap()
        strings = bytes(body[str_off : str_off + str_len])
        # Split BTF counts on in the strings of its base and may have none of its own.
        ends_well = strings.endswith(b"\0") or (self.base and not strings)
        if not ends_well or not (self.base or strings.startswith(b"\0")):
            raise Error(
                "the string section must start and end with a zero byte",
                self._at_offset(length + str_off),
                _REBUILD if self.base else _NEEDS_BASE,
            )
        return words, strings, order == ">"

    def _extension(self, data: memoryview, order: str, length: int) -> None:
        """What newer headers add: offset and length of a layout section, then only zeros."""
        if any(data[HEADER_WITH_LAYOUT:length]):
            raise Error(
                f"unknown header of {length} bytes", self._at_offset(HEADER_WITH_LAYOUT), _REBUILD
            )
        if length >= HEADER_WITH_LAYOUT:
            offset, size = struct.unpack_from(order + "2I", data, HEADER)
            if size % 4 or length + offset + size > len(data):
                raise Error("layout section out of bounds", self._at_offset(HEADER), _REBUILD)
        elif any(data[HEADER:length]):
            raise Error("unknown header", self._at_offset(HEADER), _REBUILD)

    def _scan(self) -> array[int]:
        """Index of the first word of each type."""
        words = self._words
        starts = array("I")
        position, end = 0, len(words)
        while position + 3 <= end:
            info = words[position + 1]
            kind = info >> 24 & 0x1F
            if not 1 <= kind <= Kind.ENUM64:
                raise Error(
                    f"unknown kind {kind}",
                    self._at(self.start + len(starts), position),
                    "a newer format than this version reads, or a damaged file",
                )
            starts.append(position)
            position += _WORDS[kind] + _PER_ELEMENT[kind] * (info & 0xFFFF)
        if position != end:
            last = len(starts) - 1 if position > end else len(starts)
            raise Error(
                "the type section ends inside a type",
                self._at(self.start + last, starts[-1] if position > end else position),
                _REBUILD,
            )
        return starts

    def _check(self) -> None:
        """Every id and string offset that a record holds lies inside the file."""
        words, top, string_end = self._words, len(self), self._string_end
        for position, start in enumerate(self._starts):
            info = words[start + 1]
            kind = info >> 24 & 0x1F
            names, ids = words[start], 0
            if kind in _HAS_TYPE:
                ids = words[start + 2]
            elif kind == Kind.ARRAY:
                ids = max(words[start + 3], words[start + 4])
            if step := _PER_ELEMENT[kind]:
                first = start + 3
                end = first + step * (info & 0xFFFF)
                if kind in _NAME_WORD:
                    names = max(names, *words[first + _NAME_WORD[kind] : end : step], 0)
                if kind in _ID_WORD:
                    ids = max(ids, *words[first + _ID_WORD[kind] : end : step], 0)
            if names >= string_end:
                self._bad(position, start, "a name lies beyond the strings")
            if ids >= top:
                self._bad(position, start, f"refers to a type beyond the last one, {top - 1}")

    def _bad(self, position: int, start: int, what: str) -> None:
        hint = _REBUILD if self.base else _NEEDS_BASE
        raise Error(what, self._at(position + self.start, start), hint)

    def _at(self, type_id: int, word: int | None = None) -> str:
        if word is None:
            word = self._starts[type_id - self.start] if type_id >= self.start else 0
        return f"{self._at_offset(self._offset + 4 * word)}, type [{type_id}]"

    def _at_offset(self, offset: int) -> str:
        return f"{self.where}, offset {offset}"

    def _name(self, offset: int) -> str:
        if not offset:
            return ""
        found = self._names.get(offset)
        if found is None:
            if offset < self._string_start and self.base:
                return self.base._name(offset)
            start = offset - self._string_start
            raw = self._strings[start : self._strings.index(b"\0", start)]
            found = self._names[offset] = raw.decode(errors="backslashreplace")
        return found

    def _make(self, type_id: int, start: int) -> Type:
        words, name_of = self._words, self._name
        name, info, value = name_of(words[start]), words[start + 1], words[start + 2]
        kind, flag = info >> 24 & 0x1F, bool(info >> 31)
        start += 3
        rest = words[start : start + (info & 0xFFFF) * _PER_ELEMENT[kind]]
        if simple := _SIMPLE.get(kind):
            return simple(type_id, name, value)
        if kind == Kind.FUNC_PROTO:
            params = tuple(Param(name_of(n), t) for n, t in zip(rest[::2], rest[1::2], strict=True))
            return FuncProto(type_id, name, value, params)
        if kind == Kind.FUNC:
            return Func(type_id, name, value, info & 0xFFFF)
        if kind in (Kind.STRUCT, Kind.UNION):
            # With kind_flag the upper byte of an offset is the width of a bitfield.
            members = tuple(
                Member(name_of(n), t, o & 0xFFFFFF if flag else o, o >> 24 if flag else 0)
                for n, t, o in zip(rest[::3], rest[1::3], rest[2::3], strict=True)
            )
            cls = Struct if kind == Kind.STRUCT else Union
            return cls(type_id, name, value, members, flag)
        if kind == Kind.ENUM:
            values = tuple(
                Enumerator(name_of(n), v - (1 << 32) if flag and v >> 31 else v)
                for n, v in zip(rest[::2], rest[1::2], strict=True)
            )
            return Enum(type_id, name, value, flag, values)
        if kind == Kind.ENUM64:
            values = tuple(
                Enumerator(name_of(n), (h << 32 | low) - (1 << 64 if flag and h >> 31 else 0))
                for n, low, h in zip(rest[::3], rest[1::3], rest[2::3], strict=True)
            )
            return Enum64(type_id, name, value, flag, values)
        if kind == Kind.ARRAY:
            return Array(type_id, name, words[start], words[start + 1], words[start + 2])
        if kind == Kind.INT:
            bits = words[start]
            return Int(type_id, name, value, bits >> 24 & 0xF, bits >> 16 & 0xFF, bits & 0xFF)
        if kind == Kind.FWD:
            return Fwd(type_id, name, flag)
        if kind == Kind.VAR:
            return Var(type_id, name, value, words[start])
        if kind == Kind.DECL_TAG:
            component = words[start]
            return DeclTag(
                type_id, name, value, component - (1 << 32) if component >> 31 else component, flag
            )
        if kind == Kind.DATASEC:
            entries = tuple(
                SecInfo(*entry) for entry in zip(rest[::3], rest[1::3], rest[2::3], strict=True)
            )
            return Datasec(type_id, name, value, entries)
        if kind == Kind.TYPE_TAG:
            return TypeTag(type_id, name, value, flag)
        return Float(type_id, name, value)


_VOID = Void(0, "")
