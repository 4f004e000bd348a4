# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The kinds of BTF as records, named as in ``include/uapi/linux/btf.h``.

Sizes are in bytes, offsets of members in bits, ``type_id`` is the id a record refers to
(0 is void). A name that BTF leaves out is the empty string.

Records do not change. Two are equal when they are of one kind and say the same, ids included; so
records of different files can be equal and mean different types. A record that was read knows its
``Btf``, and ``type`` follows the id; ``str()`` is the type in C.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar

from ..errors import Error, NotFoundError

if TYPE_CHECKING:
    from .reader import Btf


class Kind(IntEnum):
    """BTF_KIND_*; ``VOID`` is id 0, which has no record in the file, ``UNKNOWN`` stands for kinds
    of newer formats."""

    VOID = 0
    INT = 1
    PTR = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FWD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    VAR = 14
    DATASEC = 15
    FLOAT = 16
    DECL_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19
    LOC_PARAM = 20
    LOC_PROTO = 21
    LOCSEC = 22
    UNKNOWN = 0x80


@dataclass(frozen=True, slots=True, repr=False)
class _Part:
    """A record, or a part of one, in the file that it was read from."""

    _btf: Btf | None = field(default=None, kw_only=True, compare=False)

    @property
    def btf(self) -> Btf:
        """The file's types. Raises Error for a record that was not read."""
        if self._btf is None:
            raise Error(f"{self!r} was not read from a file, so what it refers to is not known")
        return self._btf


@dataclass(frozen=True, slots=True, repr=False)
class _TypedPart(_Part):
    """A part that has a name and a type."""

    name: str
    type_id: int

    @property
    def type(self) -> Type:
        return self.btf[self.type_id]

    def __str__(self) -> str:
        from .spelling import declare

        return declare(self.btf, self.type_id, self.name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} of type [{self.type_id}]>"


@dataclass(frozen=True, slots=True, repr=False)
class Type(_Part):
    """What all kinds share."""

    kind: ClassVar[Kind]
    id: int
    name: str

    def __str__(self) -> str:
        from .spelling import definition

        return definition(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} [{self.id}]{self.name and ' '}{self.name}{self._detail()}>"

    def _detail(self) -> str:
        """What ``repr`` says besides kind, id and name."""
        return ""

    def references(self) -> Iterator[int]:
        """Ids of the types this one mentions, in the order of the record."""
        return iter(())


@dataclass(frozen=True, slots=True, repr=False)
class Reference(Type):
    """A kind that says something about exactly one other type."""

    type_id: int

    @property
    def type(self) -> Type:
        return self.btf[self.type_id]

    def _detail(self) -> str:
        return f" of type [{self.type_id}]"

    def references(self) -> Iterator[int]:
        yield self.type_id


@dataclass(frozen=True, slots=True, repr=False)
class Void(Type):
    kind = Kind.VOID


@dataclass(frozen=True, slots=True, repr=False)
class Int(Type):
    """An integer; ``encoding`` is a set of the bits below."""

    kind = Kind.INT
    SIGNED: ClassVar[int] = 1
    CHAR: ClassVar[int] = 2
    BOOL: ClassVar[int] = 4

    size: int
    encoding: int
    bit_offset: int
    bits: int

    def _detail(self) -> str:
        return f", {_count(self.size, 'byte')}"


@dataclass(frozen=True, slots=True, repr=False)
class Ptr(Reference):
    kind = Kind.PTR


@dataclass(frozen=True, slots=True, repr=False)
class Array(Type):
    """``nelems`` elements of a type."""

    kind = Kind.ARRAY
    type_id: int
    index_type_id: int
    nelems: int

    @property
    def type(self) -> Type:
        """That of an element."""
        return self.btf[self.type_id]

    def _detail(self) -> str:
        return f", {_count(self.nelems, 'element')} of type [{self.type_id}]"

    def references(self) -> Iterator[int]:
        yield self.type_id
        yield self.index_type_id


@dataclass(frozen=True, slots=True, repr=False)
class Member(_TypedPart):
    """A member of a struct or union; ``bit_size`` is 0 unless it is a bitfield."""

    bit_offset: int
    bit_size: int

    @property
    def offset(self) -> int:
        """In bytes. Raises Error for a bitfield that does not start at a byte."""
        if self.bit_offset % 8:
            raise Error(
                f"member {self.name} starts within a byte, at bit {self.bit_offset}",
                hint="bit_offset has its place",
            )
        return self.bit_offset // 8

    def __str__(self) -> str:
        # Named, since super() does not work in a class with slots that dataclass makes.
        width = f" : {self.bit_size}" if self.bit_size else ""
        return f"{_TypedPart.__str__(self)}{width}"

    def __repr__(self) -> str:
        width = f", {_count(self.bit_size, 'bit')}" if self.bit_size else ""
        return f"<Member {self.name!r} of type [{self.type_id}] at bit {self.bit_offset}{width}>"


@dataclass(frozen=True, slots=True, repr=False)
class Composite(Type):
    """A struct or union; ``kind_flag`` tells how the file stores bitfields."""

    size: int
    members: tuple[Member, ...]
    kind_flag: bool

    def references(self) -> Iterator[int]:
        return (member.type_id for member in self.members)

    def member(self, name: str) -> Member:
        """The member of that name, also within members without a name, as C finds it.

        The offset of one found there counts from the start of this type. Raises NotFoundError.
        """
        inside = [(self, 0)]
        met: set[int] = set()
        while inside:
            found, start = inside.pop(0)
            for member in found.members:
                if member.name == name:
                    at = start + member.bit_offset
                    return Member(name, member.type_id, at, member.bit_size, _btf=member._btf)
                if not member.name and member.type_id not in met:
                    met.add(member.type_id)
                    inner = self.btf.strip(member.type_id)
                    if isinstance(inner, Composite):
                        inside.append((inner, start + member.bit_offset))
        raise NotFoundError(f"no member {name!r}", repr(self))

    def _detail(self) -> str:
        return f", {_count(self.size, 'byte')}, {_count(len(self.members), 'member')}"


@dataclass(frozen=True, slots=True, repr=False)
class Struct(Composite):
    kind = Kind.STRUCT


@dataclass(frozen=True, slots=True, repr=False)
class Union(Composite):
    kind = Kind.UNION


@dataclass(frozen=True, slots=True, repr=False)
class Enumerator:
    """A name for a value."""

    name: str
    value: int

    def __repr__(self) -> str:
        return f"<Enumerator {self.name} = {self.value}>"


@dataclass(frozen=True, slots=True, repr=False)
class Enumeration(Type):
    """An enum of either width; without values it is a forward declaration."""

    size: int
    signed: bool
    values: tuple[Enumerator, ...]

    def _detail(self) -> str:
        return f", {_count(self.size, 'byte')}, {_count(len(self.values), 'value')}"


@dataclass(frozen=True, slots=True, repr=False)
class Enum(Enumeration):
    kind = Kind.ENUM


@dataclass(frozen=True, slots=True, repr=False)
class Enum64(Enumeration):
    kind = Kind.ENUM64


@dataclass(frozen=True, slots=True, repr=False)
class Fwd(Type):
    kind = Kind.FWD
    is_union: bool


@dataclass(frozen=True, slots=True, repr=False)
class Typedef(Reference):
    kind = Kind.TYPEDEF


@dataclass(frozen=True, slots=True, repr=False)
class Volatile(Reference):
    kind = Kind.VOLATILE


@dataclass(frozen=True, slots=True, repr=False)
class Const(Reference):
    kind = Kind.CONST


@dataclass(frozen=True, slots=True, repr=False)
class Restrict(Reference):
    kind = Kind.RESTRICT


@dataclass(frozen=True, slots=True, repr=False)
class TypeTag(Reference):
    """``attribute`` (kind_flag): the name is a whole attribute, not a btf_type_tag."""

    kind = Kind.TYPE_TAG
    attribute: bool


@dataclass(frozen=True, slots=True, repr=False)
class Func(Reference):
    """A function; ``linkage`` 0 static, 1 global, 2 extern; ``type_id`` its FUNC_PROTO."""

    kind = Kind.FUNC
    linkage: int


@dataclass(frozen=True, slots=True, repr=False)
class Param(_TypedPart):
    """A parameter; an unnamed one of type void stands for ``...``."""


@dataclass(frozen=True, slots=True, repr=False)
class FuncProto(Type):
    """``type_id`` is the return type."""

    kind = Kind.FUNC_PROTO
    type_id: int
    params: tuple[Param, ...]

    @property
    def type(self) -> Type:
        """That of the result."""
        return self.btf[self.type_id]

    def _detail(self) -> str:
        return f" of {_count(len(self.params), 'parameter')}, result of type [{self.type_id}]"

    def references(self) -> Iterator[int]:
        yield self.type_id
        for param in self.params:
            yield param.type_id


@dataclass(frozen=True, slots=True, repr=False)
class Var(Reference):
    """A variable; ``linkage`` 0 static, 1 global, 2 extern."""

    kind = Kind.VAR
    linkage: int


@dataclass(frozen=True, slots=True, repr=False)
class SecInfo(_Part):
    """Place of a variable (or function) in its section, in bytes."""

    type_id: int
    offset: int
    size: int

    @property
    def type(self) -> Type:
        """The variable or function."""
        return self.btf[self.type_id]

    def __repr__(self) -> str:
        return f"<SecInfo [{self.type_id}] at {self.offset}, {_count(self.size, 'byte')}>"


@dataclass(frozen=True, slots=True, repr=False)
class Datasec(Type):
    """A section and the variables in it."""

    kind = Kind.DATASEC
    size: int
    entries: tuple[SecInfo, ...]

    def _detail(self) -> str:
        return f", {_count(len(self.entries), 'entry', 'entries')}"

    def references(self) -> Iterator[int]:
        return (entry.type_id for entry in self.entries)


@dataclass(frozen=True, slots=True, repr=False)
class Float(Type):
    kind = Kind.FLOAT
    size: int

    def _detail(self) -> str:
        return f", {_count(self.size, 'byte')}"


@dataclass(frozen=True, slots=True, repr=False)
class DeclTag(Reference):
    """``component``: number of the member or parameter, -1 for the type itself.

    ``attribute`` (kind_flag): the name is a whole attribute, not a btf_decl_tag.
    """

    kind = Kind.DECL_TAG
    component: int
    attribute: bool


@dataclass(frozen=True, slots=True, repr=False)
class LocParam(Type):
    """Where a parameter of ``size`` bytes is when an inlined function begins; ``flags`` is a set of
    the bits below.

    ``values`` are words of 32 bits: of a constant the low one first; else the DWARF number of a
    register, or of two that hold the value together, and with ``OFFSET`` what is added to it.
    """

    kind = Kind.LOC_PARAM
    SIGNED: ClassVar[int] = 1
    CONST: ClassVar[int] = 2
    ADDR: ClassVar[int] = 4
    REG: ClassVar[int] = 8
    DEREF: ClassVar[int] = 16
    OFFSET: ClassVar[int] = 32
    FRAME_BASE: ClassVar[int] = 0xFFFFFFFF
    """In place of a register: the base of the function's frame."""

    size: int
    flags: int
    values: tuple[int, ...]

    @property
    def place(self) -> str:
        """As bpftool has it: ``0x2a``, ``reg5``, ``*(fbreg - 0x10)``."""
        if self.flags & self.CONST:
            value = _number(self.values, bool(self.flags & self.SIGNED))
            return f"{value:#x}{' (addr)' if self.flags & self.ADDR else ''}"
        first, rest = self.values[:1], self.values[1:]
        registers = first if self.flags & self.OFFSET else self.values
        text = ":".join("fbreg" if r == self.FRAME_BASE else f"reg{r}" for r in registers)
        if self.flags & self.OFFSET:
            offset = _number(rest, signed=True)
            text = f"{text} {'-' if offset < 0 else '+'} {abs(offset):#x}"
        return f"*({text})" if self.flags & self.DEREF else text

    def _detail(self) -> str:
        return f", {_count(self.size, 'byte')}: {self.place}"


def _number(words: tuple[int, ...], signed: bool) -> int:
    """Words of 32 bits as one number, the low one first."""
    value = sum(word << 32 * i for i, word in enumerate(words))
    bits = 32 * len(words)
    return value - (1 << bits) if signed and bits and value >> bits - 1 else value


@dataclass(frozen=True, slots=True, repr=False)
class LocProto(Type):
    """Where each parameter of a function is: ids of LOC_PARAM, 0 for one that is nowhere."""

    kind = Kind.LOC_PROTO
    params: tuple[int, ...]

    def _detail(self) -> str:
        return f" of {_count(len(self.params), 'parameter')}"

    def references(self) -> Iterator[int]:
        return iter(self.params)


@dataclass(frozen=True, slots=True, repr=False)
class Site(_Part):
    """A place where a function was inlined; ``offset`` in bytes from the start of the section."""

    func_id: int
    loc_proto_id: int
    offset: int

    @property
    def func(self) -> Type:
        """The function (FUNC)."""
        return self.btf[self.func_id]

    @property
    def places(self) -> Type:
        """Where its parameters are (LOC_PROTO)."""
        return self.btf[self.loc_proto_id]

    def __repr__(self) -> str:
        return f"<Site of [{self.func_id}] at {self.offset}>"


@dataclass(frozen=True, slots=True, repr=False)
class Locsec(Type):
    """A section of code and where functions were inlined in it."""

    kind = Kind.LOCSEC
    sites: tuple[Site, ...]

    def _detail(self) -> str:
        return f", {_count(len(self.sites), 'site')}"

    def references(self) -> Iterator[int]:
        for site in self.sites:
            yield site.func_id
            yield site.loc_proto_id


def _count(number: int, one: str, several: str = "") -> str:
    return f"{number} {one if number == 1 else several or f'{one}s'}"


@dataclass(frozen=True, slots=True, repr=False)
class Unknown(Type):
    """A type of a kind that is not known here, in a file that says how large such types are (its
    layout section). Whether ``value`` is a size or an id, and what the words behind it mean, is not
    known."""

    kind = Kind.UNKNOWN

    number: int
    kind_flag: bool
    vlen: int
    value: int
    words: tuple[int, ...]

    def _detail(self) -> str:
        return f" of kind {self.number}"
