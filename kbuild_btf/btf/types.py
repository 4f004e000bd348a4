# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The kinds of BTF as records, named as in ``include/uapi/linux/btf.h``.

Sizes are in bytes, offsets of members in bits, ``type_id`` is the id a record refers to
(0 is void). A name that BTF leaves out is the empty string.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar


class Kind(IntEnum):
    """BTF_KIND_*; ``VOID`` is id 0, which has no record in the file."""

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


@dataclass(slots=True)
class Type:
    """What all kinds share."""

    kind: ClassVar[Kind]
    id: int
    name: str

    def references(self) -> Iterator[int]:
        """Ids of the types this one mentions, in the order of the record."""
        return iter(())


@dataclass(slots=True)
class Reference(Type):
    """A kind that says something about exactly one other type."""

    type_id: int

    def references(self) -> Iterator[int]:
        yield self.type_id


@dataclass(slots=True)
class Void(Type):
    kind = Kind.VOID


@dataclass(slots=True)
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


@dataclass(slots=True)
class Ptr(Reference):
    kind = Kind.PTR


@dataclass(slots=True)
class Array(Type):
    kind = Kind.ARRAY
    type_id: int
    index_type_id: int
    nelems: int

    def references(self) -> Iterator[int]:
        yield self.type_id
        yield self.index_type_id


@dataclass(slots=True)
class Member:
    """A member of a struct or union; ``bit_size`` is 0 unless it is a bitfield."""

    name: str
    type_id: int
    bit_offset: int
    bit_size: int


@dataclass(slots=True)
class Composite(Type):
    """A struct or union; ``kind_flag`` tells how the file stores bitfields."""

    size: int
    members: tuple[Member, ...]
    kind_flag: bool

    def references(self) -> Iterator[int]:
        return (member.type_id for member in self.members)


@dataclass(slots=True)
class Struct(Composite):
    kind = Kind.STRUCT


@dataclass(slots=True)
class Union(Composite):
    kind = Kind.UNION


@dataclass(slots=True)
class Enumerator:
    name: str
    value: int


@dataclass(slots=True)
class Enumeration(Type):
    """An enum of either width; without values it is a forward declaration."""

    size: int
    signed: bool
    values: tuple[Enumerator, ...]


@dataclass(slots=True)
class Enum(Enumeration):
    kind = Kind.ENUM


@dataclass(slots=True)
class Enum64(Enumeration):
    kind = Kind.ENUM64


@dataclass(slots=True)
class Fwd(Type):
    kind = Kind.FWD
    is_union: bool


@dataclass(slots=True)
class Typedef(Reference):
    kind = Kind.TYPEDEF


@dataclass(slots=True)
class Volatile(Reference):
    kind = Kind.VOLATILE


@dataclass(slots=True)
class Const(Reference):
    kind = Kind.CONST


@dataclass(slots=True)
class Restrict(Reference):
    kind = Kind.RESTRICT


@dataclass(slots=True)
class TypeTag(Reference):
    """``attribute`` (kind_flag): the name is a whole attribute, not a btf_type_tag."""

    kind = Kind.TYPE_TAG
    attribute: bool


@dataclass(slots=True)
class Func(Reference):
    """A function; ``linkage`` 0 static, 1 global, 2 extern; ``type_id`` its FUNC_PROTO."""

    kind = Kind.FUNC
    linkage: int


@dataclass(slots=True)
class Param:
    """A parameter; an unnamed one of type void stands for ``...``."""

    name: str
    type_id: int


@dataclass(slots=True)
class FuncProto(Type):
    """``type_id`` is the return type."""

    kind = Kind.FUNC_PROTO
    type_id: int
    params: tuple[Param, ...]

    def references(self) -> Iterator[int]:
        yield self.type_id
        for param in self.params:
            yield param.type_id


@dataclass(slots=True)
class Var(Reference):
    """A variable; ``linkage`` 0 static, 1 global, 2 extern."""

    kind = Kind.VAR
    linkage: int


@dataclass(slots=True)
class SecInfo:
    """Place of a variable (or function) in its section, in bytes."""

    type_id: int
    offset: int
    size: int


@dataclass(slots=True)
class Datasec(Type):
    kind = Kind.DATASEC
    size: int
    entries: tuple[SecInfo, ...]

    def references(self) -> Iterator[int]:
        return (entry.type_id for entry in self.entries)


@dataclass(slots=True)
class Float(Type):
    kind = Kind.FLOAT
    size: int


@dataclass(slots=True)
class DeclTag(Reference):
    """``component``: number of the member or parameter, -1 for the type itself.

    ``attribute`` (kind_flag): the name is a whole attribute, not a btf_decl_tag.
    """

    kind = Kind.DECL_TAG
    component: int
    attribute: bool
