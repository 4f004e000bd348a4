# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""BTF as sorted lines of text, free of ids, so that a test can say what it expects.

A named type has a line of its own and appears elsewhere by its name; a type without a name is
spelled out where it is used, and has a line when nothing uses it:

    INT int size=4 bits=32 signed
    STRUCT point size=8 { int x @0; int y @32 }
    TYPEDEF callback = *(int, ...) -> void
"""

from __future__ import annotations

from kbuild_btf.btf import (
    Array,
    Btf,
    Composite,
    Const,
    Datasec,
    DeclTag,
    Enumeration,
    Float,
    Func,
    FuncProto,
    Fwd,
    Int,
    Ptr,
    Restrict,
    Struct,
    Type,
    Typedef,
    TypeTag,
    Var,
    Void,
    Volatile,
)

_LINKAGE = ("static", "global", "extern")


def lines(btf: Btf) -> list[str]:
    """One line for each type that has a name or that no other type uses."""
    used = {reference for t in btf for reference in t.references()}
    said = []
    for t in btf:
        named = t.name and not isinstance(t, TypeTag)
        if named or t.id not in used:
            plain = named or isinstance(t, (Composite, Enumeration))
            said.append(line(btf, t) if plain else f"(unused) {line(btf, t)}")
    return sorted(said)


def line(btf: Btf, t: Type) -> str:
    """One type; one without a name as where it is used."""
    match t:
        case Int():
            bits = [(Int.SIGNED, "signed"), (Int.CHAR, "char"), (Int.BOOL, "bool")]
            encoding = "".join(f" {word}" for bit, word in bits if t.encoding & bit)
            start = f" at={t.bit_offset}" if t.bit_offset else ""
            return f"INT {t.name} size={t.size} bits={t.bits}{start}{encoding}"
        case Float():
            return f"FLOAT {t.name} size={t.size}"
        case Composite() | Enumeration():
            return f"{_keyword(t)} {t.name} ".replace("  ", " ") + _body(btf, t)
        case Fwd():
            return f"FWD {'union' if t.is_union else 'struct'} {t.name}"
        case Typedef():
            return f"TYPEDEF {t.name} = {_use(btf, t.type_id)}"
        case Func():
            proto = btf[t.type_id]
            return f"FUNC {t.name} {_LINKAGE[t.linkage]} {_spell(btf, proto)}"
        case Var():
            return f"VAR {t.name} {_LINKAGE[t.linkage]} {_use(btf, t.type_id)}"
        case Datasec():
            inside = "; ".join(f"{btf[e.type_id].name} @{e.offset}+{e.size}" for e in t.entries)
            return f"DATASEC {t.name} size={t.size} {{ {inside} }}"
        case DeclTag():
            where = "" if t.component < 0 else f"[{t.component}]"
            return f"DECL_TAG {t.name} -> {_name(btf[t.type_id])}{where}"
        case _:
            return _spell(btf, t)


def _keyword(t: Type) -> str:
    if isinstance(t, Composite):
        return "STRUCT" if isinstance(t, Struct) else "UNION"
    return t.kind.name


def _name(t: Type) -> str:
    word = {"STRUCT": "struct ", "UNION": "union ", "ENUM": "enum ", "ENUM64": "enum "}
    return word.get(t.kind.name, "") + t.name


def _body(btf: Btf, t: Composite | Enumeration) -> str:
    if isinstance(t, Composite):
        members = "; ".join(
            f"{_use(btf, m.type_id)} {m.name}".rstrip()
            + f" @{m.bit_offset}"
            + (f":{m.bit_size}" if m.bit_size else "")
            for m in t.members
        )
        flag = " kflag" if t.kind_flag else ""
        return f"size={t.size}{flag} {{ {members} }}".replace("{  }", "{}")
    values = ", ".join(f"{v.name}={v.value}" for v in t.values)
    signed = " signed" if t.signed else ""
    return f"size={t.size}{signed} {{ {values} }}".replace("{  }", "{}")


def _use(btf: Btf, type_id: int) -> str:
    """A type as another one mentions it."""
    t = btf[type_id]
    if isinstance(t, Fwd):
        return f"{'union' if t.is_union else 'struct'} {t.name}"
    if t.name and not isinstance(t, TypeTag):
        return _name(t)
    return _spell(btf, t)


def _spell(btf: Btf, t: Type) -> str:
    match t:
        case Void():
            return "void"
        case Ptr():
            return f"*{_use(btf, t.type_id)}"
        case Const() | Volatile() | Restrict():
            return f"{t.kind.name.lower()} {_use(btf, t.type_id)}"
        case TypeTag():
            return f"tag({t.name}) {_use(btf, t.type_id)}"
        case Array():
            index = btf[t.index_type_id].name
            by = "" if index == "int" else f" by {index}"
            return f"[{t.nelems}{by}]{_use(btf, t.type_id)}"
        case FuncProto():
            last = len(t.params) - 1
            params = ", ".join(
                "..."
                if i == last and not p.name and not p.type_id
                else f"{_use(btf, p.type_id)} {p.name}".rstrip()
                for i, p in enumerate(t.params)
            )
            return f"({params}) -> {_use(btf, t.type_id)}"
        case Composite() | Enumeration():
            return f"{_keyword(t)} {_body(btf, t)}"
        case _:
            return line(btf, t)
