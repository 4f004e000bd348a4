# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The members of a struct or union that changed, both sides in one table, as C with offsets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby

from ..btf import Composite, Member
from ..btf.spelling import Spare, declare
from ..compare import brief, members, offset

# Of rows in which nothing differs, or nothing but the place by the same step.
_SHOWN = 1


@dataclass(frozen=True, slots=True)
class Row:
    """One line: ``mark`` is ``-`` (A alone), ``+`` (B alone), ``~`` (moved), or a space.

    Offsets are in bytes, empty where a side has none; ``text`` is C, or says what is left out.
    """

    mark: str
    a: str
    b: str
    text: str


def rows(a: Composite, b: Composite) -> list[Row]:
    """What changed and what is beside it, in the order of the members; ends with the sizes."""
    shown: list[Row] = []
    for key, group in groupby(_all(a, b), key=lambda pair: pair[0]):
        same = [row for _, row in group]
        hidden = len(same) - 2 * _SHOWN
        if not key or hidden < 2:
            shown += same
            continue
        what = "more" if key == "0" else f"more, moved by {key}"
        shown += [*same[:_SHOWN], Row("", "", "", f"... {hidden} {what}"), *same[-_SHOWN:]]
    mark = " " if a.size == b.size else "~"
    return [*shown, Row(mark, str(a.size), str(b.size), "(size)")]


def _all(a: Composite, b: Composite) -> Iterator[tuple[str, Row]]:
    """Each row with the bytes by which it moved; nothing for what else differs."""
    old, new = members(a), members(b)
    names_a, names_b = list(old), list(new)
    steps = SequenceMatcher(None, names_a, names_b, autojunk=False).get_opcodes()
    for _, a1, a2, b1, b2 in steps:
        same = names_a[a1:a2] if names_a[a1:a2] == names_b[b1:b2] else []
        for name in same:
            yield from _both(
                _text(a, name, old[name]), old[name], _text(b, name, new[name]), new[name]
            )
        if not same:
            for name in names_a[a1:a2]:
                yield "", Row("-", offset(old[name]), "", _text(a, name, old[name]))
            for name in names_b[b1:b2]:
                yield "", Row("+", "", offset(new[name]), _text(b, name, new[name]))


def _both(before: str, old: Member, after: str, new: Member) -> Iterator[tuple[str, Row]]:
    if before != after:
        yield "", Row("-", offset(old), "", before)
        yield "", Row("+", "", offset(new), after)
        return
    bits = new.bit_offset - old.bit_offset
    moved = f"{bits / 8:+g}" if bits else "0"
    yield moved, Row("~" if bits else " ", offset(old), offset(new), after)


def _text(of: Composite, path: str, member: Member) -> str:
    """A member as C declares it, by its whole path."""
    width = f" : {member.bit_size}" if member.bit_size else ""
    return f"{declare(of.btf, member.type_id, path, brief, Spare())}{width};"
