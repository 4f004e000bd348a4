# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Types as C writes them: ``const char *name[4]``, ``int (*fn)(struct a *, ...)``."""

from __future__ import annotations

from collections.abc import Callable

from .reader import Btf
from .types import (
    Array,
    Composite,
    Const,
    Enumeration,
    FuncProto,
    Fwd,
    Ptr,
    Restrict,
    Type,
    TypeTag,
    Union,
    Void,
    Volatile,
)

_QUALIFIERS = {Const: "const", Volatile: "volatile", Restrict: "restrict"}


def keyword(found: Type) -> str:
    """ "struct", "union" or "enum" for what has a tag, else nothing."""
    if isinstance(found, Enumeration):
        return "enum"
    if isinstance(found, Fwd):
        return "union" if found.is_union else "struct"
    if isinstance(found, Composite):
        return "union" if isinstance(found, Union) else "struct"
    return ""


def plain(found: Type) -> str:
    """Name of a type that needs no declarator: ``struct page``, ``u32``, ``enum {...}``."""
    if isinstance(found, Void):
        return "void"
    return " ".join(filter(None, (keyword(found), found.name or "{...}")))


def attribute(found: TypeTag) -> str:
    value = found.name if found.attribute else f'btf_type_tag("{found.name}")'
    return f"__attribute__(({value}))"


def declare(btf: Btf, type_id: int, name: str = "", base: Callable[[Type], str] = plain) -> str:
    """Declaration of ``name`` (or the bare type) with type ``type_id``.

    ``base`` spells what is left when pointers, arrays, functions and qualifiers are taken away;
    C reads those from the name outwards, so that is how the text grows here.
    """
    declarator = name
    before: list[str] = []
    after: list[str] = []
    while True:
        found = btf[type_id]
        while isinstance(found, (Const, Volatile, Restrict, TypeTag)):
            if isinstance(found, TypeTag):
                after.append(attribute(found))
            elif (word := _QUALIFIERS[type(found)]) not in before:
                before.append(word)
            found = btf[found.type_id]
        if isinstance(found, Array):
            # Qualifiers stay for the elements: a qualified array is nothing else.
            declarator = _suffixed(declarator, f"[{found.nelems}]")
        elif isinstance(found, Ptr):
            words = " ".join(before + after)
            gap = " " if words and declarator else ""
            declarator = f"*{' ' if words else ''}{words}{gap}{declarator}"
            before, after = [], []
        elif isinstance(found, FuncProto):
            declarator = _suffixed(declarator, parameters(btf, found, base))
            before, after = [], []
        else:
            words = " ".join([*before, base(found), *after])
            return f"{words} {declarator}" if declarator else words
        type_id = found.type_id


def parameters(btf: Btf, proto: FuncProto, base: Callable[[Type], str] = plain) -> str:
    """The list in parentheses."""
    words = [
        declare(btf, param.type_id, param.name, base) if param.type_id or param.name else "..."
        for param in proto.params
    ]
    return f"({', '.join(words) or 'void'})"


def _suffixed(declarator: str, suffix: str) -> str:
    return f"({declarator}){suffix}" if declarator.startswith("*") else declarator + suffix
