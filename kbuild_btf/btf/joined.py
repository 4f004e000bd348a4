# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Split BTF of several modules as one, in which what they have in common is there once."""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterable, Sequence

from ..errors import Error
from .reader import Btf, Record
from .writer import Strings, blob


def join(parts: Sequence[Btf]) -> Btf:
    """All types of split BTFs on one base, those that mean the same once.

    Two types mean the same when they say the same, and what they refer to does. Found by telling
    types apart, first by their own words, then by what they refer to, until no more come apart.
    Raises Error when they do not build on the same base.
    """
    first = parts[0]
    for part in parts:
        if part.is_whole:
            raise Error("BTF of its own, which builds on no other", part.where, "show it alone")
        if part.base is not first.base:
            raise Error(
                "a base of its own (.BTF.base), from which its ids count",
                part.where,
                "show it alone",
            )
    records: list[tuple[Btf, Record]] = []
    refers: list[list[int]] = []
    for part in parts:
        # Ids of the base stay; the others count on, part by part.
        added = len(records)
        for record in part.records():
            ids = (record.words[at] for at in record.ids)
            refers.append([type_id if type_id < part.start else type_id + added for type_id in ids])
            records.append((part, record))
    start = first.start
    classes = _numbered(_own_words(*record) for record in records)
    _tell_apart(classes, refers, start)
    return _write(first, records, refers, _numbered(classes))


def _tell_apart(classes: list[int], refers: Sequence[Sequence[int]], start: int) -> None:
    """Other numbers for those of a class that refer to other classes, and so on."""
    together: dict[int, list[int]] = {}
    for record, number in enumerate(classes):
        together.setdefault(number, []).append(record)
    count = len(together)
    groups = list(together.values())
    before = 0
    while before != (before := count):
        # What is alone in its class stays so.
        undecided, groups = [group for group in groups if len(group) > 1], []
        for group in undecided:
            parts: dict[Hashable, list[int]] = {}
            for record in group:
                to = (to if to < start else start + classes[to - start] for to in refers[record])
                parts.setdefault(tuple(to), []).append(record)
            groups += parts.values()
            for part in list(parts.values())[1:]:
                for record in part:
                    classes[record] = count
                count += 1


def _own_words(part: Btf, record: Record) -> Hashable:
    """What a type says but for what it refers to."""
    words: list[int | bytes] = list(record.words)
    for at in record.names:
        words[at] = part.string(record.words[at])
    for at in record.ids:
        words[at] = 0
    return tuple(words)


def _numbered(keys: Iterable[Hashable]) -> list[int]:
    """Equal keys as equal numbers, which count from 0 in the order in which they come."""
    known: dict[Hashable, int] = {}
    return [known.setdefault(key, len(known)) for key in keys]


def _write(
    first: Btf,
    records: Sequence[tuple[Btf, Record]],
    refers: Sequence[Sequence[int]],
    classes: Sequence[int],
) -> Btf:
    start = first.start
    strings = Strings(first.string_start)
    types = array("I")
    written = 0
    for (part, record), targets, number in zip(records, refers, classes, strict=True):
        if number < written:
            continue
        written += 1
        words = array("I", record.words)
        for at in record.names:
            # Strings of the base stay as they are.
            if words[at] >= first.string_start:
                words[at] = strings.add(part.string(words[at]))
        for at, to in zip(record.ids, targets, strict=True):
            words[at] = to if to < start else start + classes[to - start]
        types += words
    where = first.where if len(records) == 1 else f"{first.where} and others"
    return Btf(blob(types, strings, first.big_endian), first.base, where)
