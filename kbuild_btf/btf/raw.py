# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The raw listing: one block of lines per type, in the wording of ``bpftool btf dump``."""

from __future__ import annotations

from collections.abc import Iterator

from .reader import Btf
from .types import (
    Array,
    Composite,
    Datasec,
    DeclTag,
    Enum64,
    Enumeration,
    Float,
    Func,
    FuncProto,
    Fwd,
    Int,
    Type,
    TypeTag,
    Var,
)

_ENCODINGS = {0: "(none)", Int.SIGNED: "SIGNED", Int.CHAR: "CHAR", Int.BOOL: "BOOL"}
_LINKAGES = ("static", "global", "extern")


def lines(btf: Btf) -> Iterator[str]:
    """The listing of all types of ``btf`` (for split BTF: its own), without line ends."""
    for found in btf:
        yield f"[{found.id}] {found.kind.name} {_quoted(found.name)}{_head(found)}"
        yield from _tail(btf, found)


def _quoted(name: str) -> str:
    return f"'{name or '(anon)'}'"


def linkage(number: int) -> str:
    return _LINKAGES[number] if number < len(_LINKAGES) else "(unknown)"


def _head(found: Type) -> str:
    match found:
        case Int():
            return (
                f" size={found.size} bits_offset={found.bit_offset} nr_bits={found.bits}"
                f" encoding={_ENCODINGS.get(found.encoding, 'UNKN')}"
            )
        case Float():
            return f" size={found.size}"
        case Array():
            return (
                f" type_id={found.type_id} index_type_id={found.index_type_id}"
                f" nr_elems={found.nelems}"
            )
        case Composite():
            return f" size={found.size} vlen={len(found.members)}"
        case Enumeration():
            sign = "SIGNED" if found.signed else "UNSIGNED"
            return f" encoding={sign} size={found.size} vlen={len(found.values)}"
        case Fwd():
            return f" fwd_kind={'union' if found.is_union else 'struct'}"
        case FuncProto():
            return f" ret_type_id={found.type_id} vlen={len(found.params)}"
        case Func():
            return f" type_id={found.type_id} linkage={linkage(found.linkage)}"
        case Var():
            return f" type_id={found.type_id}, linkage={linkage(found.linkage)}"
        case Datasec():
            return f" size={found.size} vlen={len(found.entries)}"
        case DeclTag():
            flag = " kind_flag=1" if found.attribute else ""
            return f" type_id={found.type_id} component_idx={found.component}{flag}"
        case TypeTag():
            return f" type_id={found.type_id}{' kind_flag=1' if found.attribute else ''}"
    return "".join(f" type_id={type_id}" for type_id in found.references())


def _tail(btf: Btf, found: Type) -> Iterator[str]:
    match found:
        case Composite():
            for member in found.members:
                width = f" bitfield_size={member.bit_size}" if member.bit_size else ""
                yield (
                    f"\t{_quoted(member.name)} type_id={member.type_id}"
                    f" bits_offset={member.bit_offset}{width}"
                )
        case Enumeration():
            suffix = ("LL" if found.signed else "ULL") if isinstance(found, Enum64) else ""
            for value in found.values:
                yield f"\t{_quoted(value.name)} val={value.value}{suffix}"
        case FuncProto():
            for param in found.params:
                yield f"\t{_quoted(param.name)} type_id={param.type_id}"
        case Datasec():
            for entry in found.entries:
                target = btf[entry.type_id]
                label = (
                    f" ({target.kind.name} '{target.name}')"
                    if isinstance(target, (Var, Func))
                    else ""
                )
                yield f"\ttype_id={entry.type_id} offset={entry.offset} size={entry.size}{label}"
