# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The raw listing: one record per type, as ``bpftool btf dump`` has them in text and in JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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
    LocParam,
    LocProto,
    Locsec,
    Type,
    TypeTag,
    Unknown,
    Var,
)

_ENCODINGS = {0: "(none)", Int.SIGNED: "SIGNED", Int.CHAR: "CHAR", Int.BOOL: "BOOL"}
_LINKAGES = ("static", "global", "extern")


def record(found: Type) -> dict[str, Any]:
    """A type as one object of JSON: id, kind and name first, a list of its parts last."""
    head = {"id": found.id, "kind": found.kind.name, "name": _name(found.name)}
    return {**head, **_facts(found), **_parts(found)}


def lines(btf: Btf) -> Iterator[str]:
    """The listing of all types of ``btf`` (for split BTF: its own), without line ends."""
    for found in btf:
        # bpftool has a comma here, and only here.
        between = ", " if isinstance(found, Var) else " "
        facts = between.join(_said(key, value) for key, value in _facts(found).items())
        yield f"[{found.id}] {found.kind.name} '{_name(found.name)}' {facts}".rstrip()
        suffix = ("LL" if found.signed else "ULL") if isinstance(found, Enum64) else ""
        for part in next(iter(_parts(found).values()), ()):
            named = "name" in part and not isinstance(found, Locsec)
            name = f"'{part.pop('name')}' " if named else ""
            text = " ".join(_said(key, value) for key, value in part.items())
            yield f"\t{name}{text}{suffix}{_label(btf, found, part)}"


def _said(key: str, value: Any) -> str:
    """One fact in text."""
    match key:
        case "name" | "value" | "values":
            return f"{key}='{value}'"
        case "flags":
            return f"{key}={value:#x}"
    return f"{key}={value}"


def _name(name: str) -> str:
    return name or "(anon)"


def linkage(number: int) -> str:
    return _LINKAGES[number] if number < len(_LINKAGES) else "(unknown)"


def _facts(found: Type) -> dict[str, Any]:
    match found:
        case Int():
            return {
                "size": found.size,
                "bits_offset": found.bit_offset,
                "nr_bits": found.bits,
                "encoding": _ENCODINGS.get(found.encoding, "UNKN"),
            }
        case Float():
            return {"size": found.size}
        case Array():
            return {
                "type_id": found.type_id,
                "index_type_id": found.index_type_id,
                "nr_elems": found.nelems,
            }
        case Composite():
            return {"size": found.size, "vlen": len(found.members)}
        case Enumeration():
            sign = "SIGNED" if found.signed else "UNSIGNED"
            return {"encoding": sign, "size": found.size, "vlen": len(found.values)}
        case Fwd():
            return {"fwd_kind": "union" if found.is_union else "struct"}
        case FuncProto():
            return {"ret_type_id": found.type_id, "vlen": len(found.params)}
        case Func() | Var():
            return {"type_id": found.type_id, "linkage": linkage(found.linkage)}
        case Datasec():
            return {"size": found.size, "vlen": len(found.entries)}
        case DeclTag():
            flag = {"kind_flag": 1} if found.attribute else {}
            return {"type_id": found.type_id, "component_idx": found.component, **flag}
        case LocParam():
            vlen = len(found.values)
            return {"size": found.size, "flags": found.flags, "vlen": vlen, "values": found.place}
        case LocProto():
            return {"vlen": len(found.params)}
        case Locsec():
            return {"vlen": len(found.sites)}
        case Unknown():
            flag = {"kind_flag": 1} if found.kind_flag else {}
            return {
                "number": found.number,
                "vlen": found.vlen,
                **flag,
                "words": [found.value, *found.words],
            }
        case TypeTag():
            return {"type_id": found.type_id, **({"kind_flag": 1} if found.attribute else {})}
    # Pointers, typedefs, qualifiers.
    return dict(zip(("type_id",), found.references(), strict=False))


def _parts(found: Type) -> dict[str, list[dict[str, Any]]]:
    """What has a line of its own, under the name that it has in JSON."""
    match found:
        case Composite():
            members = []
            for m in found.members:
                width = {"bitfield_size": m.bit_size} if m.bit_size else {}
                place = {"type_id": m.type_id, "bits_offset": m.bit_offset}
                members.append({"name": _name(m.name), **place, **width})
            return {"members": members}
        case Enumeration():
            return {"values": [{"name": _name(v.name), "val": v.value} for v in found.values]}
        case FuncProto():
            return {"params": [{"name": _name(p.name), "type_id": p.type_id} for p in found.params]}
        case Datasec():
            entries = found.entries
            return {
                "vars": [
                    {"type_id": e.type_id, "offset": e.offset, "size": e.size} for e in entries
                ]
            }
        case LocProto():
            return {"params": [{"type_id": p, **_place(found.btf, p)} for p in found.params]}
        case Locsec():
            return {
                "sites": [
                    {
                        "name": _name(site.func.name),
                        "func_type_id": site.func_id,
                        "loc_proto_type_id": site.loc_proto_id,
                        "offset": site.offset,
                    }
                    for site in found.sites
                ]
            }
    return {}


def _place(btf: Btf, type_id: int) -> dict[str, str]:
    found = btf[type_id]
    return {"value": found.place} if isinstance(found, LocParam) else {}


def _label(btf: Btf, found: Type, part: dict[str, Any]) -> str:
    """What an entry of a section is, which only the text says."""
    if not isinstance(found, Datasec):
        return ""
    target = btf[part["type_id"]]
    known = isinstance(target, (Var, Func))
    return f" ({target.kind.name} '{target.name}')" if known else ""
