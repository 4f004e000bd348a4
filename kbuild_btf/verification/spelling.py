# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""One way to write types down, so that what DWARF says and what BTF says are equal as text.

A type is a pair: what C writes before the declared name, and what comes after it. Qualifiers follow
what they qualify (``char const *``): C allows it, and so their order stays visible. Named structs,
unions, enums, typedefs and base types are written as their name; those without a name as all that
they consist of, one line per member, so that the first line that differs tells what differs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import zip_longest

Pair = tuple[str, str]

# Characters of one type in another.
_LONGEST = 1 << 15

VOID: Pair = ("void", "")
CIRCLE: Pair = ("<refers to itself>", "")
"""Stands for a type while it is being spelled. Only damaged input ever shows it."""


def pointer(to: Pair) -> Pair:
    """A pointer to ``to``; arrays and functions need parentheses around it."""
    left, right = to
    if right[:1] in ("[", "("):
        return f"{left} (*", f"){right}"
    return (f"{left}*" if left.endswith("*") else f"{left} *"), right


def qualified(of: Pair, word: str) -> Pair:
    """``of`` with a qualifier; of an array it is bracketed, to differ from one of its elements."""
    left, right = of
    if right[:1] in ("[", "("):
        return f"{word}<{left}", f"{right}>"
    return f"{left} {word}", right


def tagged(of: Pair, tag: str) -> Pair:
    """``of`` with a btf_type_tag."""
    return qualified(of, f'__type_tag("{tag}")')


def array(of: Pair, elements: int) -> Pair:
    """An array of ``elements``; BTF has one for all dimensions."""
    return of[0], f"[{elements}]{of[1]}"


def function(result: Pair, parameters: Iterable[str]) -> Pair:
    """A function type; the parameters are declarations or ``...``."""
    return result[0], _bounded(f"({', '.join(parameters)})") + result[1]


def declare(of: Pair, name: str = "") -> str:
    """The declaration of ``name``, or the bare type."""
    left, right = of
    gap = " " if name and not left.endswith("*") else ""
    return f"{left}{gap}{name}{right}"


def member(bit_offset: int, bit_size: int, of: Pair, name: str) -> str:
    """One line of a struct: place in bits, width of a bit-field, declaration."""
    width = f":{bit_size}" if bit_size else ""
    return f"bit {bit_offset}{width} {declare(of, name)}"


def aggregate(size: int, members: Sequence[str]) -> str:
    """What is in a struct or union; ``size`` in bytes."""
    return "\n".join([f"size {size}", *members])


def enumeration(size: int, values: Iterable[tuple[str, int]], cut: bool) -> str:
    """What is in an enum; ``cut``: without feature enum64, values keep their low 32 bits.

    Eight-byte values are compared without their sign, which follows from the underlying type: DWARF
    may give the same bits as a signed or as an unsigned number.
    """
    mask = 0xFFFFFFFF if cut else (1 << 64) - 1 if size > 4 else -1
    return "\n".join([f"size {size}", *(f"{name} = {value & mask}" for name, value in values)])


def integer(size: int, bits: int, encoding: str, offset: int = 0) -> str:
    """An integer type; ``encoding``: signed, bool or nothing."""
    place = f", at bit {offset}" if offset else ""
    return f"size {size}, {bits} bits{place}{encoding and ', ' + encoding}"


def floating(size: int) -> str:
    return f"size {size}, floating point"


def prototype(result: Pair, parameters: Iterable[str]) -> str:
    """A function: what it returns, then one line per parameter."""
    return "\n".join([f"returns {declare(result)}", *parameters])


def unnamed(keyword: str, text: str) -> Pair:
    """A type without a name, spelled out."""
    return f"{keyword} {{\n{_bounded(text)}\n}}", ""


def _bounded(text: str) -> str:
    """A text, or of a long one the start and a hash: types may mention each other twice, so that
    each text would be twice as long as the last."""
    if len(text) <= _LONGEST:
        return text
    rest = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
    return f"{text[: _LONGEST // 2]} ... <{rest}>"


def short(text: str) -> str:
    """On one line, not too long."""
    line = text.replace("{\n", "{").replace("\n}", "}").replace("\n", "; ")
    return line if len(line) <= 160 else line[:157] + "..."


def parting(dwarf: str, btf: str) -> str:
    """The first line where two texts part, for a message."""
    for one, other in zip_longest(dwarf.split("\n"), btf.split("\n")):
        if one != other:
            return f"DWARF has {_quoted(one)}, BTF has {_quoted(other)}"
    return "equal"


def _quoted(line: str | None) -> str:
    return "nothing more" if line is None else f"'{short(line)}'"
