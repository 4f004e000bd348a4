# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Types as C writes them: ``const char *name[4]``, ``int (*fn)(struct a *, ...)``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import Error
from .types import (
    Array,
    Composite,
    Const,
    Datasec,
    DeclTag,
    Enumeration,
    Func,
    FuncProto,
    Fwd,
    LocParam,
    LocProto,
    Locsec,
    Member,
    Ptr,
    Restrict,
    Type,
    Typedef,
    TypeTag,
    Union,
    Var,
    Void,
    Volatile,
)

if TYPE_CHECKING:
    from .reader import Btf

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


def definition(found: Type) -> str:
    """The type as C defines it, without a semicolon: members and values on lines of their own.

    Types that it mentions are named, or spelled out where they have no name. How members are
    aligned is not said: the text is to be read (``dump --format c`` is for compilers).
    """
    try:
        return _definition(found, Spare(_MOST))
    except RecursionError:
        raise Error(
            f"type [{found.id}] contains itself",
            found.btf.where,
            "the file is damaged: build it again",
        ) from None


def _definition(found: Type, spare: Spare) -> str:
    match found:
        case Composite() | Enumeration():
            return _body(found, "", spare)
        case Typedef():
            whole = _with_bodies(found.btf, found.type_id, found.name, "", spare)
            return f"typedef {whole}"
        case Func() | Var():
            return declare(found.btf, found.type_id, found.name, spare=spare)
        case LocParam():
            return found.place
        case LocProto():
            return places(found)
        case Datasec() | Locsec():
            return f'__attribute__((section("{found.name}")))'
        case DeclTag():
            value = found.name if found.attribute else f'btf_decl_tag("{found.name}")'
            return f"__attribute__(({value}))"
        case Ptr() | Array() | FuncProto() | Const() | Volatile() | Restrict() | TypeTag():
            return declare(found.btf, found.id, spare=spare)
    return plain(found)


def _body(found: Composite | Enumeration, indent: str, spare: Spare) -> str:
    head = " ".join(filter(None, (keyword(found), found.name)))
    if isinstance(found, Composite):
        lines = [f"{_member(member, indent, spare)};" for member in found.members]
    elif found.values:
        lines = [f"{value.name} = {value.value}," for value in found.values]
    else:
        return head
    return "\n".join([f"{head} {{", *(f"{indent}\t{line}" for line in lines), f"{indent}}}"])


def _member(member: Member, indent: str, spare: Spare) -> str:
    width = f" : {member.bit_size}" if member.bit_size else ""
    whole = _with_bodies(member.btf, member.type_id, member.name, f"{indent}\t", spare)
    return whole + width


def _with_bodies(btf: Btf, type_id: int, name: str, indent: str, spare: Spare) -> str:
    def base(found: Type) -> str:
        if isinstance(found, (Composite, Enumeration)) and not found.name:
            return _body(found, indent, spare)
        return plain(found)

    return declare(btf, type_id, name, base, spare)


def attribute(found: TypeTag) -> str:
    value = found.name if found.attribute else f'btf_type_tag("{found.name}")'
    return f"__attribute__(({value}))"


# Types that one declaration spells, and one definition: more than a struct may have members, and
# far less than a few prototypes or structs without a name take that mention each other twice.
_MANY = 1 << 12
# Pointers, arrays and qualifiers that one declaration has.
_IN_A_ROW = 1000
_MOST = 1 << 14


@dataclass
class Spare:
    """How many types a text may still spell; those that follow are an ellipsis. A prototype may
    mention another twice, and so on: to spell all of it would double the text with each."""

    types: int = 256


def declare(
    btf: Btf,
    type_id: int,
    name: str = "",
    base: Callable[[Type], str] = plain,
    spare: Spare | None = None,
) -> str:
    """Declaration of ``name`` (or the bare type) with type ``type_id``; no C when ``spare`` is
    not enough.

    ``base`` spells what is left when pointers, arrays, functions and qualifiers are taken away;
    C reads those from the name outwards, so that is how the text grows here.
    """
    spare = spare or Spare(_MANY)
    declarator = name
    before: list[str] = []
    after: list[str] = []
    met: set[int] = set()
    while type_id not in met and len(met) < _IN_A_ROW:
        met.add(type_id)
        found = btf[type_id]
        spare.types -= 1
        if spare.types < 0:
            return f"... {declarator}" if declarator else "..."
        if isinstance(found, TypeTag):
            after.append(attribute(found))
        elif isinstance(found, (Const, Volatile, Restrict)):
            if (word := _QUALIFIERS[type(found)]) not in before:
                before.append(word)
        elif isinstance(found, Array):
            # Qualifiers stay for the elements: a qualified array is nothing else.
            declarator = _suffixed(declarator, f"[{found.nelems}]")
        elif isinstance(found, Ptr):
            words = " ".join(before + after)
            gap = " " if words and declarator else ""
            declarator = f"*{' ' if words else ''}{words}{gap}{declarator}"
            before, after = [], []
        elif isinstance(found, FuncProto):
            declarator = _suffixed(declarator, parameters(btf, found, base, spare))
            before, after = [], []
        else:
            words = " ".join([*before, base(found), *after])
            return f"{words} {declarator}" if declarator else words
        type_id = found.type_id
    # Such a type cannot be written down, like one that contains itself.
    raise RecursionError


def places(found: LocProto) -> str:
    """Where parameters are, in parentheses; ``?`` for one that is nowhere."""
    each = (found.btf[param] for param in found.params)
    words = [param.place if isinstance(param, LocParam) else "?" for param in each]
    return f"({', '.join(words)})"


def parameters(
    btf: Btf,
    proto: FuncProto,
    base: Callable[[Type], str] = plain,
    spare: Spare | None = None,
) -> str:
    """The list in parentheses."""
    words = [
        declare(btf, param.type_id, param.name, base, spare)
        if param.type_id or param.name
        else "..."
        for param in proto.params
    ]
    return f"({', '.join(words) or 'void'})"


def _suffixed(declarator: str, suffix: str) -> str:
    return f"({declarator}){suffix}" if declarator.startswith("*") else declarator + suffix
