# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Writes BTF from the records that the reader returns: write(list(btf)) is the same types again.

The ids of the records do not matter; a type's id is its place in the list.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import replace

from hypothesis import strategies as st

from kbuild_btf.btf import (
    Array,
    Btf,
    Composite,
    Const,
    Datasec,
    DeclTag,
    Enum,
    Enum64,
    Enumerator,
    Float,
    Func,
    FuncProto,
    Fwd,
    Int,
    LocParam,
    LocProto,
    Locsec,
    Member,
    Param,
    Ptr,
    Reference,
    Restrict,
    SecInfo,
    Site,
    Struct,
    Type,
    Typedef,
    TypeTag,
    Union,
    Var,
    Void,
    Volatile,
)


def write(
    types: Sequence[Type],
    *,
    order: str = "<",
    base: Btf | None = None,
    base_strings: int = 0,
    extra: bytes = b"",
    layout: bytes = b"",
) -> bytes:
    """A BTF blob; with ``base`` a split one, ``base_strings`` the size of the base's strings.

    ``extra`` lengthens the header, ``layout`` goes between types and strings.
    """
    strings = bytearray(b"" if base else b"\0")
    known = {"": 0}

    def name(text: str) -> int:
        if text not in known:
            known[text] = base_strings + len(strings)
            strings.extend(text.encode() + b"\0")
        return known[text]

    body = bytearray()
    for found in types:
        vlen, flag, value, rest = _record(found, name)
        info = flag << 31 | found.kind << 24 | vlen
        words = [name(found.name), info, value, *rest]
        body += struct.pack(f"{order}{len(words)}I", *(word & 0xFFFFFFFF for word in words))
    if layout:
        extra = struct.pack(order + "2I", len(body), len(layout)) + extra[8:]
    head = struct.pack(
        order + "HBBIIIII",
        0xEB9F,
        1,
        0,
        24 + len(extra),
        0,
        len(body),
        len(body) + len(layout),
        len(strings),
    )
    return bytes(head + extra + body + layout + strings)


def strings_size(blob: bytes, order: str = "<") -> int:
    """Size of the string section, which is where those of a split BTF start."""
    size: int = struct.unpack_from(order + "I", blob, 20)[0]
    return size


def _record(found: Type, name: Callable[[str], int]) -> tuple[int, bool, int, list[int]]:
    """(vlen, kind_flag, size or type, words that follow)."""
    match found:
        case Int():
            bits = found.encoding << 24 | found.bit_offset << 16 | found.bits
            return 0, False, found.size, [bits]
        case Array():
            return 0, False, 0, [found.type_id, found.index_type_id, found.nelems]
        case Composite():
            words = [
                word
                for m in found.members
                for word in (name(m.name), m.type_id, m.bit_size << 24 | m.bit_offset)
            ]
            return len(found.members), found.kind_flag, found.size, words
        case Enum():
            words = [word for v in found.values for word in (name(v.name), v.value)]
            return len(found.values), found.signed, found.size, words
        case Enum64():
            words = [w for v in found.values for w in (name(v.name), v.value, v.value >> 32)]
            return len(found.values), found.signed, found.size, words
        case FuncProto():
            words = [word for p in found.params for word in (name(p.name), p.type_id)]
            return len(found.params), False, found.type_id, words
        case Func():
            return found.linkage, False, found.type_id, []
        case Var():
            return 0, False, found.type_id, [found.linkage]
        case Datasec():
            words = [word for e in found.entries for word in (e.type_id, e.offset, e.size)]
            return len(found.entries), False, found.size, words
        case DeclTag():
            return 0, found.attribute, found.type_id, [found.component]
        case TypeTag():
            return 0, found.attribute, found.type_id, []
        case Fwd():
            return 0, found.is_union, 0, []
        case Float():
            return 0, False, found.size, []
        case Reference():
            return 0, False, found.type_id, []
        case LocParam():
            return len(found.values), False, found.size, [found.flags, *found.values]
        case LocProto():
            return len(found.params), False, 0, [*found.params]
        case Locsec():
            words = [w for s in found.sites for w in (s.func_id, s.loc_proto_id, s.offset)]
            return len(found.sites), False, 0, words
    raise AssertionError(f"{found} has no record")


# One type of every kind, each mentioned by another where that is possible.
EVERY_KIND: list[Type] = [
    Int(1, "int", 4, Int.SIGNED, 0, 32),
    Ptr(2, "", 4),
    Array(3, "", 1, 1, 5),
    Struct(
        4,
        "node",
        32,
        (Member("next", 2, 0, 0), Member("low", 1, 64, 3), Member("values", 3, 96, 0)),
        True,
    ),
    Union(5, "either", 8, (Member("one", 1, 0, 0), Member("", 4, 0, 0)), False),
    Enum(6, "sign", 4, True, (Enumerator("MINUS", -1), Enumerator("PLUS", 1))),
    Fwd(7, "later", False),
    Typedef(8, "node_t", 4),
    Volatile(9, "", 1),
    Const(10, "", 9),
    Restrict(11, "", 2),
    FuncProto(12, "", 1, (Param("first", 10), Param("", 0))),
    Func(13, "call", 12, 1),
    Var(14, "counter", 1, 0),
    Datasec(15, ".data..percpu", 64, (SecInfo(14, 16, 4),)),
    Float(16, "double", 8),
    DeclTag(17, "bpf_kfunc", 13, -1, False),
    TypeTag(18, "user", 4, False),
    Enum64(19, "", 8, False, (Enumerator("HUGE", 1 << 63), Enumerator("TINY", 0))),
    Fwd(20, "choice", True),
    DeclTag(21, "member", 4, 1, True),
    Enum64(22, "wide", 8, True, (Enumerator("LOWEST", -(1 << 63)),)),
]

# The same, and where functions were inlined, which older readers do not know.
WITH_SITES: list[Type] = [
    *EVERY_KIND,
    LocParam(23, "", 8, LocParam.REG, (5,)),
    LocParam(24, "", 4, LocParam.CONST | LocParam.SIGNED, (0xFFFFFFFE,)),
    LocProto(25, "", (23, 0)),
    LocProto(26, "", (24,)),
    Locsec(27, ".text", (Site(13, 25, 0x40), Site(13, 26, 0x10))),
]


def btf(types: Sequence[Type], base: Btf | None = None, base_strings: int = 0) -> Btf:
    """The types as the reader sees them."""
    return Btf.from_bytes(write(types, base=base, base_strings=base_strings), base)


_names = st.sampled_from(["a", "b", "c", "list", "state"])
_maybe_named = st.one_of(st.just(""), _names)
_u8 = st.integers(0, 255)
_u32 = st.integers(0, (1 << 32) - 1)


@st.composite
def models(draw: st.DrawFn, most: int = 12) -> list[Type]:
    """Lists of types that refer to each other; few names, so that several types share one.

    A reference leads to an earlier type, from a pointer also to a later struct of some name:
    that is how C closes circles.
    """
    kinds = draw(st.lists(st.sampled_from(_KINDS), min_size=1, max_size=most))
    named = {i: draw(_names) for i, k in enumerate(kinds, 1) if k is Struct and draw(st.booleans())}
    types: list[Type] = []
    for type_id, kind in enumerate(kinds, 1):
        earlier = st.integers(0, type_id - 1)
        anything = st.one_of(earlier, st.sampled_from([*named, 0]))
        types.append(_draw_type(draw, kind, type_id, named.get(type_id, ""), earlier, anything))
    return types


_KINDS: list[type[Type]] = [
    Int,
    Ptr,
    Array,
    Struct,
    Struct,
    Union,
    Enum,
    Enum64,
    Fwd,
    Typedef,
    Volatile,
    Const,
    Restrict,
    FuncProto,
    Func,
    Var,
    Datasec,
    Float,
    DeclTag,
    TypeTag,
]


def _draw_type(
    draw: st.DrawFn,
    kind: type[Type],
    type_id: int,
    name: str,
    earlier: st.SearchStrategy[int],
    anything: st.SearchStrategy[int],
) -> Type:
    if kind is Int:
        encoding = draw(st.sampled_from([0, 1, 2, 4]))
        return Int(type_id, draw(_names), draw(_u8), encoding, 0, draw(_u8))
    if kind is Array:
        return Array(type_id, "", draw(earlier), draw(earlier), draw(_u32))
    if kind in (Struct, Union):
        flag = draw(st.booleans())
        member = st.builds(
            Member,
            _maybe_named,
            earlier,
            st.integers(0, 0xFFFFFF),
            _u8 if flag else st.just(0),
        )
        members = tuple(draw(st.lists(member, max_size=3)))
        cls = Struct if kind is Struct else Union
        return cls(type_id, name, draw(_u32), members, flag)
    if kind in (Enum, Enum64):
        signed = draw(st.booleans())
        bits = 32 if kind is Enum else 64
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        values = st.lists(st.builds(Enumerator, _names, st.integers(low, high)), max_size=3)
        enum = Enum if kind is Enum else Enum64
        return enum(type_id, draw(_maybe_named), draw(_u8), signed, tuple(draw(values)))
    if kind is Fwd:
        return Fwd(type_id, draw(_names), draw(st.booleans()))
    if kind is FuncProto:
        params = draw(st.lists(st.builds(Param, _maybe_named, earlier), max_size=3))
        return FuncProto(type_id, "", draw(earlier), tuple(params))
    if kind in (Func, Var):
        cls_ = Func if kind is Func else Var
        return cls_(type_id, draw(_names), draw(earlier), draw(st.integers(0, 2)))
    if kind is Datasec:
        entries = draw(st.lists(st.builds(SecInfo, earlier, _u32, _u32), max_size=3))
        return Datasec(type_id, draw(_names), draw(_u32), tuple(entries))
    if kind is Float:
        return Float(type_id, draw(_names), draw(_u8))
    if kind is DeclTag:
        component = draw(st.integers(-1, 3))
        return DeclTag(type_id, draw(_names), draw(earlier), component, draw(st.booleans()))
    if kind is TypeTag:
        return TypeTag(type_id, draw(_names), draw(earlier), draw(st.booleans()))
    if kind is Typedef:
        return Typedef(type_id, draw(_names), draw(earlier))
    if kind is Ptr:
        return Ptr(type_id, "", draw(anything))
    assert issubclass(kind, (Volatile, Const, Restrict))
    return kind(type_id, "", draw(earlier))


def renumbered(types: Sequence[Type], order: Sequence[int]) -> list[Type]:
    """The same types in another order: ``order[n]`` is the old place (from 0) of type n + 1."""
    new = {old + 1: n for n, old in enumerate(order, 1)}
    new[0] = 0
    return [_moved(types[old], new) for old in order]


def _moved(found: Type, new: dict[int, int]) -> Type:
    type_id = new[found.id]
    match found:
        case Array():
            return Array(type_id, "", new[found.type_id], new[found.index_type_id], found.nelems)
        case Struct() | Union():
            members = tuple(
                Member(m.name, new[m.type_id], m.bit_offset, m.bit_size) for m in found.members
            )
            return type(found)(type_id, found.name, found.size, members, found.kind_flag)
        case FuncProto():
            params = tuple(Param(p.name, new[p.type_id]) for p in found.params)
            return FuncProto(type_id, "", new[found.type_id], params)
        case Datasec():
            entries = tuple(SecInfo(new[e.type_id], e.offset, e.size) for e in found.entries)
            return Datasec(type_id, found.name, found.size, entries)
        case LocProto():
            return LocProto(type_id, "", tuple(new[param] for param in found.params))
        case Locsec():
            sites = tuple(Site(new[s.func_id], new[s.loc_proto_id], s.offset) for s in found.sites)
            return Locsec(type_id, found.name, sites)
    if isinstance(found, Reference):
        return replace(found, id=type_id, type_id=new[found.type_id])
    assert not isinstance(found, Void)
    return replace(found, id=type_id)
