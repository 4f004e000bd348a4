# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Reading BTF: the raw blob, or the ``.BTF`` section of an ELF file.

Loading walks the type section once to find where each type starts and checks every id and
string offset; the records themselves are made when somebody asks for them.
"""

from __future__ import annotations

import mmap
import os
import re
import struct
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from pathlib import Path
from typing import TypeVar, cast

from ..errors import Error, NotFoundError
from . import elf
from .spelling import keyword
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
    LocParam,
    LocProto,
    Locsec,
    Member,
    Param,
    Ptr,
    Restrict,
    SecInfo,
    Site,
    Struct,
    Type,
    Typedef,
    TypeTag,
    Union,
    Unknown,
    Var,
    Void,
    Volatile,
)

MAGIC = 0xEB9F
# What a sidecar begins with (docs/sidecar.md).
_SIDECAR = b"kbtf"
HEADER = 24
HEADER_WITH_LAYOUT = 32

# Fields of the second word of a type: its kind in 7 bits, number of elements in 24. Up to Linux 7.1
# they have 5 and 16, and the other bits are 0.
_KIND = 0x7F
_VLEN = 0xFFFFFF

# What follows the three words of every type: so many words, then elements. Of an element: its
# words, which of them is a name, which an id.
_FIXED = {Kind.INT: 1, Kind.ARRAY: 3, Kind.VAR: 1, Kind.DECL_TAG: 1, Kind.LOC_PARAM: 1}
_ELEMENTS: dict[Kind, tuple[int, int | None, int | None]] = {
    Kind.STRUCT: (3, 0, 1),
    Kind.UNION: (3, 0, 1),
    Kind.ENUM: (2, 0, None),
    Kind.FUNC_PROTO: (2, 0, 1),
    Kind.DATASEC: (3, None, 0),
    Kind.ENUM64: (3, 0, None),
    Kind.LOC_PARAM: (1, None, None),
    Kind.LOC_PROTO: (1, None, 0),
    Kind.LOCSEC: (3, None, 0),  # and the word behind it
}
# The same by number, for the loops; those that mean nothing have no words.
_NUMBERS = range(_KIND + 1)
_KINDS = set(Kind) - {Kind.VOID, Kind.UNKNOWN}
_WORDS = [3 + _FIXED.get(Kind(n), 0) if n in _KINDS else 0 for n in _NUMBERS]
_PER_ELEMENT = [_ELEMENTS[Kind(n)][0] if n in _ELEMENTS else 0 for n in _NUMBERS]
_NAME_WORD = [_ELEMENTS[Kind(n)][1] if n in _ELEMENTS else None for n in _NUMBERS]
_ID_WORD = [_ELEMENTS[Kind(n)][2] if n in _ELEMENTS else None for n in _NUMBERS]
# The third word is an id; for the other kinds a size, or nothing.
_HAS_TYPE = [
    n
    in (
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
    )
    for n in _NUMBERS
]

_CLASSES: dict[int, type[Type]] = {
    cls.kind: cls
    for cls in (
        *(Int, Ptr, Array, Struct, Union, Enum, Fwd, Typedef, Volatile, Const, Restrict, Func),
        *(FuncProto, Var, Datasec, Float, DeclTag, TypeTag, Enum64, LocParam, LocProto, Locsec),
    )
}
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


# Of things of one name, which one the name alone means: as in C a tag needs its keyword, so that
# what needs none comes first. DECL_TAG and TYPE_TAG are not named but name something.
_RANK: dict[Kind, int] = {
    Kind.TYPEDEF: 0,
    Kind.INT: 0,
    Kind.FLOAT: 0,
    Kind.STRUCT: 1,
    Kind.UNION: 1,
    Kind.ENUM: 1,
    Kind.ENUM64: 1,
    Kind.FWD: 2,
    Kind.FUNC: 3,
    Kind.VAR: 3,
    Kind.DATASEC: 4,
    Kind.LOCSEC: 4,
}
_STRING = re.compile(rb"[^\0]*\0")
# What a size is at most, of arrays in arrays as well.
MOST_BYTES = (1 << 64) - 1
# A step of a designator: `.name` or `[index]`.
_STEP = re.compile(r"(?:^|\.)\s*([A-Za-z_]\w*)\s*|\[\s*(\d+)\s*\]\s*")


@dataclass(slots=True)
class Record:
    """A type as it stands in the file: its words, and which of them are names and ids."""

    words: array[int]
    names: list[int]
    ids: list[int]


def _length(data: memoryview) -> int:
    """Bytes of the BTF that begins here, by its header; of what is none, all."""
    order = ">" if bytes(data[:2]) == struct.pack(">H", MAGIC) else "<"
    if len(data) < HEADER or bytes(data[:2]) != struct.pack(order + "H", MAGIC):
        return len(data)
    header, type_off, type_len, str_off, str_len = struct.unpack_from(order + "5I", data, 4)
    ends = [type_off + type_len, str_off + str_len]
    if header >= HEADER_WITH_LAYOUT <= len(data):
        ends.append(sum(struct.unpack_from(order + "2I", data, HEADER)))
    return int(min(header + max(ends), len(data)))


def _next(data: memoryview, end: int) -> int | None:
    """Where another BTF begins, behind the zeros with which linkers align; None: nowhere."""
    while end < len(data) and not data[end]:
        end += 1
    magic = (struct.pack("<H", MAGIC), struct.pack(">H", MAGIC))
    return end if bytes(data[end : end + 2]) in magic else None


class Btf:
    """All types of one BTF, by id or by name.

    ``btf[id]`` is one type (0 is void), ``btf[name]`` the first of a name, ``btf.type()`` that of a
    name as C has it; iterating yields the types of this file in the order of their ids, for split
    BTF only its own; ``len`` is one more than the highest id.

    ``where`` names the file, ``base`` is the BTF that split BTF builds on. ``pointer_size`` is that
    of the machine in bytes, where the file that the BTF is of tells it.
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
        self.string_start: int = base._string_end if base else 0
        # Of kinds that are not known: how many words they have, and each of their elements.
        self._sizes: dict[int, tuple[int, int]] = {}
        self._words, self._strings, self.big_endian = self._header(memoryview(data))
        self._string_end: int = self.string_start + len(self._strings)
        self._names: dict[int, str] = {}
        self._starts, self._heads = self._scan()
        self._types: list[Type | None] = [None] * len(self._starts)
        self._index: dict[bytes, int | list[int]] | None = None

    def __repr__(self) -> str:
        own = len(self) - self.start
        return f"<Btf {self.where}: {own} types{' of its own' if self.base else ''}>"

    @classmethod
    def from_bytes(cls, data: bytes, base: Btf | None = None, where: str = "BTF") -> Btf:
        """Read what ``load`` reads from a file; ``where`` names it in messages."""
        found, base, where, pointer_size = cls._of_content(memoryview(data), base, where, None)
        return cls(bytes(found), base, where, pointer_size)

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
        data, base, where, pointer_size = cls._open(path, base, pointer_size)
        return cls(bytes(data), base, where, pointer_size)

    @classmethod
    def load_all(cls, path: str | os.PathLike[str], base: Btf | None = None) -> list[Btf]:
        """Read a file as ``load`` does, in which several BTFs may lie behind each other: so ``ld``
        puts those of its objects into one section. Each counts its types from 1, or from the end
        of ``base``."""
        data, base, where, pointer_size = cls._open(path, base, None)
        found: list[Btf] = []
        start: int | None = 0
        while start is not None:
            end = _next(data, start + _length(data[start:]))
            name = f"{where} (BTF {len(found) + 1})" if found or end is not None else where
            found.append(cls(bytes(data[start:end]), base, name, pointer_size))
            start = end
        return found

    @classmethod
    def _open(
        cls, path: str | os.PathLike[str], base: Btf | None, pointer_size: int | None
    ) -> tuple[memoryview, Btf | None, str, int | None]:
        """The bytes of the BTF, what it builds on, the file's name, and its size of pointers."""
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
        return cls._of_content(data, base, where, pointer_size)

    @classmethod
    def _of_content(
        cls, data: memoryview, base: Btf | None, where: str, pointer_size: int | None
    ) -> tuple[memoryview, Btf | None, str, int | None]:
        if not elf.is_elf(data):
            return data, base, where, pointer_size
        pointer_size = elf.address_size(data)
        contents = elf.section(data, ".BTF", where)
        if contents is None:
            raise Error(
                "no .BTF section", where, "encode it first (kbuild-btf encode) or name another file"
            )
        distilled = elf.section(data, ".BTF.base", where)
        if distilled is not None:
            base = cls(bytes(distilled), None, f"{where} (.BTF.base)", pointer_size)
        return contents, base, where, pointer_size

    # --- access -------------------------------------------------------------------------

    def __len__(self) -> int:
        return self.start + len(self._starts)

    def __getitem__(self, key: int | str) -> Type:
        """The type of an id, or of a name: of several typedefs and base types come first, then
        structs, unions and enums, declarations, functions and variables, sections; of these the
        one with the lowest id. A name may have a keyword, as in ``type``.

        Raises IndexError for an id that is not there, NotFoundError for such a name.
        """
        if isinstance(key, str):
            return self._of_name(key)
        index = key - self.start
        if index < 0:
            if self.base:
                return self.base[key]
            if key == 0:
                return Void(0, "", _btf=self)
            raise IndexError(key)
        found = self._types[index]
        if found is None:
            found = self._types[index] = self._make(key, self._starts[index])
        return found

    def __contains__(self, key: object) -> bool:
        """Is there a type of that id or name? Is this type one of this file or its base?"""
        if isinstance(key, str):
            try:
                self[key]
            except NotFoundError:
                return False
            return True
        if isinstance(key, Type):
            return key._btf is self or bool(self.base and key in self.base)
        return isinstance(key, int) and 0 <= key < len(self)

    def __iter__(self) -> Iterator[Type]:
        return (self[type_id] for type_id in range(self.start, len(self)))

    def find(self, cls: type[_T], name: str | None = None) -> list[_T]:
        """Types of a class, base first, in the order of ids; only those of a name where one is
        given. A class of several kinds finds them all: ``Composite``, ``Enumeration``, ``Type``."""
        found = self.base.find(cls, name) if self.base else []
        ids = range(self.start, len(self)) if name is None else self._ids_of(name)
        known: dict[int, type[Type]] = {**dict.fromkeys(self._sizes, Unknown), **_CLASSES}
        kinds = {kind for kind, of_kind in known.items() if issubclass(of_kind, cls)}
        words, starts, first = self._words, self._starts, self.start
        chosen = (i for i in ids if words[starts[i - first] + 1] >> 24 & _KIND in kinds)
        return found + cast("list[_T]", [self[type_id] for type_id in chosen])

    def type(self, name: str) -> Type:
        """The type that C means by a name: ``struct page``, ``enum zone_type``, ``u32``,
        ``unsigned long``. Of several definitions that with the lowest id; see ``find``.

        Raises NotFoundError.
        """
        words = name.split()
        if words == ["void"]:
            return self[0]
        if len(words) == 2 and words[0] in ("struct", "union", "enum"):
            return self._best(name, (t for t in self._named(words[1]) if keyword(t) == words[0]))
        plain = " ".join(words)
        # gcc writes `long unsigned int`, clang `unsigned long`.
        alike = _words_of_integer(plain)
        found = (t for t in self._named(plain) if isinstance(t, (Typedef, Int, Float)))
        same = (t for t in self.find(Int) if words and _words_of_integer(t.name) == alike)
        return self._best(name, chain(found, same))

    def sizeof(self, of: Type | int | str) -> int:
        """Size in bytes as C's ``sizeof`` gives it, of a type, an id or a name (see ``btf[name]``);
        0 for void, functions and forward declarations. Raises NotFoundError."""
        type_id = self[of].id if isinstance(of, str) else of.id if isinstance(of, Type) else of
        return self._sizeof(type_id, self.pointer_size)

    def offsetof(self, of: Type | int | str, member: str) -> int:
        """Offset in bytes as C's ``offsetof`` gives it: ``se.vruntime``, ``children[1].next``.

        Typedefs are looked through, and members without a name, as in C. Raises NotFoundError when
        there is no such member, Error for what has no offset in C: a bitfield, or no struct.
        """
        found = self[of.id if isinstance(of, Type) else of]
        offset = place = 0
        for step in _STEP.finditer(member):
            if step.start() != place:
                break
            place = step.end()
            inside = self.strip(found.id)
            name, index = step.groups()
            if name and isinstance(inside, Composite):
                part = inside.member(name)
                if part.bit_size:
                    raise Error(
                        f"{member}: {name} is a bitfield", self.where, "member() tells its place"
                    )
                offset += part.offset
                found = part.type
            elif index and place > 0 and isinstance(inside, Array):
                offset += int(index) * self.sizeof(inside.type_id)
                found = inside.type
            else:
                what = "has no members" if name else "is no array"
                raise Error(f"{member}: {inside!r} {what}", self.where)
        if place != len(member) or not member:
            raise Error(
                f"{member!r} is no member",
                self.where,
                "name one as in C: se.vruntime, list[1].next",
            )
        return offset

    def strip(self, type_id: int) -> Type:
        """The type behind typedefs, qualifiers and type tags."""
        found = self[type_id]
        for _ in range(len(self)):
            if not isinstance(found, (Typedef, Const, Volatile, Restrict, TypeTag)):
                return found
            found = self[found.type_id]
        raise Error("a type that refers to itself", self._at(type_id), _REBUILD)

    @property
    def words(self) -> int:
        """How long its types are, in 32-bit words."""
        return len(self._words)

    @property
    def pointer_size(self) -> int:
        """4 or 8 bytes: what the file says, or its base; else the width of ``long``, else 8."""
        if known := self._pointer_size or (self.base and self.base._pointer_size):
            return known
        for name in ("long unsigned int", "long int", "unsigned long", "long"):
            for found in self.find(Int, name):
                return found.size
        return 8

    def _sizeof(self, type_id: int, pointer: int) -> int:
        found = self.strip(type_id)
        if isinstance(found, (Int, Composite, Enumeration, Float, Datasec)):
            return found.size
        if isinstance(found, Ptr):
            return pointer
        if isinstance(found, Array):
            return min(found.nelems * self._sizeof(found.type_id, pointer), MOST_BYTES)
        if isinstance(found, Var):
            return self._sizeof(found.type_id, pointer)
        return 0

    # --- names --------------------------------------------------------------------------

    def _by_name(self) -> dict[bytes, int | list[int]]:
        """The ids of own types (one, or several) by name, with its NUL; made for the first name."""
        if self._index is None:
            pieces = _STRING.findall(self._strings)
            ends = accumulate(map(len, pieces), initial=self.string_start)
            whole = dict(zip(ends, pieces, strict=False))
            index: dict[bytes, int | list[int]] = {}
            for type_id, offset in enumerate(self._heads, self.start):
                # A name of the base, or the end of another string.
                name = whole.get(offset) or self.string(offset)
                known = index.get(name)
                if known is None:
                    index[name] = type_id
                elif isinstance(known, list):
                    known.append(type_id)
                else:
                    index[name] = [known, type_id]
            self._index = index
        return self._index

    def names(self) -> Iterator[str]:
        """Each name of an own type, once."""
        return (name[:-1].decode(errors="backslashreplace") for name in self._by_name())

    def _ids_of(self, name: str) -> Sequence[int]:
        """Of own types."""
        known = self._by_name().get(name.encode(errors="surrogateescape") + b"\0", ())
        return (known,) if isinstance(known, int) else known

    def _named(self, name: str) -> Iterator[Type]:
        """Types of a name in the order of ids, those of the base first."""
        if self.base:
            yield from self.base._named(name)
        for type_id in self._ids_of(name) if name else ():
            yield self[type_id]

    def _of_name(self, name: str) -> Type:
        if len(name.split()) > 1:
            return self.type(name)
        return self._best(name, (t for t in self._named(name) if t.kind in _RANK))

    def _best(self, name: str, found: Iterable[Type]) -> Type:
        """The first of the best rank."""
        best = min(found, key=_rank, default=None)
        if best is None:
            tagged = any(keyword(other) for other in self._named(name))
            hint = "a tag has its keyword in front: struct task_struct" if tagged else ""
            raise NotFoundError(f"no type {name!r}", self.where, hint)
        return best

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
        end = max(type_off + type_len, str_off + str_len, self._extension(data, order, length))
        body = data[length:]
        for what, offset, size in (("type", type_off, type_len), ("string", str_off, str_len)):
            if offset + size > len(body):
                raise Error(
                    f"the {what} section needs {offset + size} bytes, {len(body)} are there",
                    self._at_offset(length + offset),
                    _REBUILD,
                )
        if _next(data, length + end) is not None:
            raise Error(
                "several BTFs behind each other, as ld leaves those of several objects",
                self.where,
                "kbuild-btf link makes one of them, kbuild-btf dump lists them all",
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

    def _extension(self, data: memoryview, order: str, length: int) -> int:
        """What newer headers add: offset and length of a layout section, then only zeros. Where
        that section ends, from the header on."""
        if any(data[HEADER_WITH_LAYOUT:length]):
            raise Error(
                f"unknown header of {length} bytes", self._at_offset(HEADER_WITH_LAYOUT), _REBUILD
            )
        if length >= HEADER_WITH_LAYOUT:
            offset, size = struct.unpack_from(order + "2I", data, HEADER)
            if size % 4 or length + offset + size > len(data):
                raise Error("layout section out of bounds", self._at_offset(HEADER), _REBUILD)
            for kind in range(len(_KINDS) + 1, min(size // 4, _KIND + 1)):
                # Bytes of what follows the three words, and of an element.
                info, element = data[length + offset + 4 * kind :][:2]
                if info % 4 or element % 4:
                    raise Error(
                        f"layout section: kind {kind} is of no whole words",
                        self._at_offset(length + offset + 4 * kind),
                        _REBUILD,
                    )
                self._sizes[kind] = 3 + info // 4, element // 4
            return int(offset + size)
        if any(data[HEADER:length]):
            raise Error("unknown header", self._at_offset(HEADER), _REBUILD)
        return 0

    def _scan(self) -> tuple[array[int], array[int]]:
        """Index of the first word of each type, and where its name is; every id and string offset
        lies inside the file."""
        words = self._words
        starts = array("I")
        # All that is a name or an id within types: the largest tells whether one is wrong.
        names, ids = array("I", [0]), array("I", [0])
        position, end = 0, len(words)
        while position + 3 <= end:
            info = words[position + 1]
            kind = info >> 24 & _KIND
            length = _WORDS[kind]
            starts.append(position)
            if not length:
                if kind not in self._sizes:
                    raise Error(
                        f"unknown kind {kind}, and no layout section says how large it is",
                        self._at(self.start + len(starts) - 1, position),
                        "a newer format than this version reads, or a damaged file",
                    )
                length, step = self._sizes[kind]
                position += length + step * (info & _VLEN)
                continue
            if _HAS_TYPE[kind]:
                ids.append(words[position + 2])
            first = position + length
            if step := _PER_ELEMENT[kind]:
                position = first + step * (info & _VLEN)
                if (word := _NAME_WORD[kind]) is not None:
                    names += words[first + word : position : step]
                if (word := _ID_WORD[kind]) is not None:
                    ids += words[first + word : position : step]
                if kind == Kind.LOCSEC:
                    ids += words[first + 1 : position : step]
            else:
                position = first
                if kind == Kind.ARRAY:
                    ids += words[first - 3 : first - 1]
        if position != end:
            last = len(starts) - 1 if position > end else len(starts)
            raise Error(
                "the type section ends inside a type",
                self._at(self.start + last, starts[-1] if position > end else position),
                _REBUILD,
            )
        heads = array("I", [words[start] for start in starts])
        top = self.start + len(starts)
        if max(max(names), max(heads, default=0)) >= self._string_end or max(ids) >= top:
            self._tell_which(starts, top)
        return starts, heads

    def census(self) -> dict[Kind, tuple[int, int]]:
        """Of each kind how many own types there are, and the bytes of their records."""
        found: dict[Kind, tuple[int, int]] = {}
        ends = chain(self._starts[1:], [len(self._words)])
        for start, end in zip(self._starts, ends, strict=False):
            number = self._words[start + 1] >> 24 & _KIND
            kind = Kind(number) if number in _KINDS else Kind.UNKNOWN
            count, size = found.get(kind, (0, 0))
            found[kind] = count + 1, size + 4 * (end - start)
        return found

    @property
    def is_whole(self) -> bool:
        """Are its strings those of BTF without a base, whether it was given one or not?"""
        return self._strings.startswith(b"\0")

    def records(self) -> Iterator[Record]:
        """The own types as they stand in the file, in the order of their ids."""
        ends = chain(self._starts[1:], [len(self._words)])
        for start, end in zip(self._starts, ends, strict=False):
            yield self._record(self._words[start:end])

    def record(self, type_id: int) -> Record:
        """An own type as it stands in the file."""
        start, after = type_id - self.start, type_id - self.start + 1
        end = self._starts[after] if after < len(self._starts) else len(self._words)
        return self._record(self._words[self._starts[start] : end])

    def _record(self, words: array[int]) -> Record:
        info = words[1]
        kind = info >> 24 & _KIND
        names, ids = [0], [2] if _HAS_TYPE[kind] else []
        if kind == Kind.ARRAY:
            ids += 3, 4
        if step := _PER_ELEMENT[kind]:
            end = 3 + step * (info & _VLEN)
            if (word := _NAME_WORD[kind]) is not None:
                names += range(3 + word, end, step)
            if (word := _ID_WORD[kind]) is not None:
                ids += range(3 + word, end, step)
            if kind == Kind.LOCSEC:
                ids += range(4, end, step)
        return Record(words, names, ids)

    def _tell_which(self, starts: array[int], top: int) -> None:
        """Raise Error for the first type that has a wrong name or id."""
        ends = chain(starts[1:], [len(self._words)])
        for position, (start, end) in enumerate(zip(starts, ends, strict=False)):
            record = self._record(self._words[start:end])
            if max(record.words[at] for at in record.names) >= self._string_end:
                self._bad(position, start, "a name lies beyond the strings")
            if max((record.words[at] for at in record.ids), default=0) >= top:
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

    def string(self, offset: int) -> bytes:
        """The string at an offset, with its NUL."""
        if offset < self.string_start and self.base:
            return self.base.string(offset)
        start = offset - self.string_start
        return self._strings[start : self._strings.index(b"\0", start) + 1]

    def _name(self, offset: int) -> str:
        if not offset:
            return ""
        found = self._names.get(offset)
        if found is None:
            found = self._names[offset] = self.string(offset)[:-1].decode(errors="backslashreplace")
        return found

    def _make(self, type_id: int, start: int) -> Type:
        words, name_of = self._words, self._name
        name, info, value = name_of(words[start]), words[start + 1], words[start + 2]
        kind, flag = info >> 24 & _KIND, bool(info >> 31)
        start += 3
        if kind in self._sizes:
            length, step = self._sizes[kind]
            rest = words[start : start + length - 3 + step * (info & _VLEN)]
            return Unknown(type_id, name, kind, flag, info & _VLEN, value, tuple(rest), _btf=self)
        rest = words[start : start + (info & _VLEN) * _PER_ELEMENT[kind]]
        if simple := _SIMPLE.get(kind):
            return simple(type_id, name, value, _btf=self)
        if kind == Kind.FUNC_PROTO:
            params = tuple(
                Param(name_of(n), t, _btf=self) for n, t in zip(rest[::2], rest[1::2], strict=True)
            )
            return FuncProto(type_id, name, value, params, _btf=self)
        if kind == Kind.FUNC:
            return Func(type_id, name, value, info & _VLEN, _btf=self)
        if kind in (Kind.STRUCT, Kind.UNION):
            # With kind_flag the upper byte of an offset is the width of a bitfield.
            members = tuple(
                Member(
                    name_of(n), t, o & 0xFFFFFF if flag else o, o >> 24 if flag else 0, _btf=self
                )
                for n, t, o in zip(rest[::3], rest[1::3], rest[2::3], strict=True)
            )
            cls = Struct if kind == Kind.STRUCT else Union
            return cls(type_id, name, value, members, flag, _btf=self)
        if kind == Kind.ENUM:
            values = tuple(
                Enumerator(name_of(n), v - (1 << 32) if flag and v >> 31 else v)
                for n, v in zip(rest[::2], rest[1::2], strict=True)
            )
            return Enum(type_id, name, value, flag, values, _btf=self)
        if kind == Kind.ENUM64:
            values = tuple(
                Enumerator(name_of(n), (h << 32 | low) - (1 << 64 if flag and h >> 31 else 0))
                for n, low, h in zip(rest[::3], rest[1::3], rest[2::3], strict=True)
            )
            return Enum64(type_id, name, value, flag, values, _btf=self)
        if kind == Kind.ARRAY:
            return Array(type_id, name, words[start], words[start + 1], words[start + 2], _btf=self)
        if kind == Kind.INT:
            bits = words[start]
            return Int(
                type_id, name, value, bits >> 24 & 0xF, bits >> 16 & 0xFF, bits & 0xFF, _btf=self
            )
        if kind == Kind.FWD:
            return Fwd(type_id, name, flag, _btf=self)
        if kind == Kind.VAR:
            return Var(type_id, name, value, words[start], _btf=self)
        if kind == Kind.DECL_TAG:
            component = words[start]
            return DeclTag(
                type_id,
                name,
                value,
                component - (1 << 32) if component >> 31 else component,
                flag,
                _btf=self,
            )
        if kind == Kind.DATASEC:
            entries = tuple(
                SecInfo(*entry, _btf=self)
                for entry in zip(rest[::3], rest[1::3], rest[2::3], strict=True)
            )
            return Datasec(type_id, name, value, entries, _btf=self)
        if kind == Kind.LOC_PARAM:
            flags, *numbers = words[start : start + 1 + (info & _VLEN)]
            return LocParam(type_id, name, value, flags, tuple(numbers), _btf=self)
        if kind == Kind.LOC_PROTO:
            return LocProto(type_id, name, tuple(rest), _btf=self)
        if kind == Kind.LOCSEC:
            sites = tuple(
                Site(*site, _btf=self)
                for site in zip(rest[::3], rest[1::3], rest[2::3], strict=True)
            )
            return Locsec(type_id, name, sites, _btf=self)
        if kind == Kind.TYPE_TAG:
            return TypeTag(type_id, name, value, flag, _btf=self)
        return Float(type_id, name, value, _btf=self)


def _rank(found: Type) -> int:
    """As _RANK has it; an enum without values is a declaration."""
    if isinstance(found, Enumeration) and not found.values:
        return _RANK[Kind.FWD]
    return _RANK[found.kind]


def _words_of_integer(name: str) -> list[str]:
    """What C's many spellings of one integer type have in common."""
    words = name.split()
    if "char" not in words:
        words = [word for word in words if word != "signed"] or ["int"]
    if {"short", "long", "unsigned"} & {*words}:
        words = [word for word in words if word != "int"]
    return sorted(words)
