# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What only the objects of a link know, or the units of its debug information: functions that are
left out, names with several definitions, and which directories bring the types."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .. import _native
from ..btf import Btf, Typedef
from ..btf.spelling import plain
from ..explanation import IN_TURN, first_difference, spelled


@dataclass(frozen=True, slots=True)
class Told:
    """Objects that describe a function alike: how many, and the first of them. ``passed`` is the
    prototype that the compiler made of it, or empty; ``decides``: this keeps the function out."""

    prototype: str
    passed: str
    facts: tuple[str, ...]
    decides: bool
    count: int
    objects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A function that is not in the BTF; symbols are names and addresses."""

    name: str
    reason: str
    symbols: tuple[tuple[str, int], ...]
    told: tuple[Told, ...]


@dataclass(frozen=True, slots=True)
class Definition:
    """One of several of a name; ``difference`` is where it parts from the first, empty for that."""

    size: int
    count: int
    objects: tuple[str, ...]
    difference: str


@dataclass(frozen=True, slots=True)
class Name:
    """``in_turn``: its definitions read alike, and differ in what they lead to."""

    name: str
    in_turn: bool
    definitions: tuple[Definition, ...]


@dataclass(frozen=True, slots=True)
class Directory:
    """What only objects below it bring; an empty path: objects of several top directories."""

    path: str
    types: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Link:
    """``of_objects``: told by the objects of the link, else by the units of the file itself."""

    of_objects: bool
    left_out: tuple[LeftOut, ...]
    names: tuple[Name, ...]
    directories: tuple[Directory, ...]


def survey(image: Path, cache: Path | None) -> Link:
    """Ask the objects, or else the debug information. Raises Error where there is neither."""
    told = _native.survey(image, cache=cache)
    try:
        of_objects = bool(_native.linked_objects(image))
    except _native.Error:
        of_objects = False
    btf = Btf.from_bytes(told["types"], where=str(image))
    paths = [path for path, _, _ in told["directories"]]
    shorten = _shortener(image.parent if of_objects else None, paths)
    return Link(
        of_objects,
        tuple(_left_out(btf, one, shorten) for one in told["left_out"]),
        tuple(_names(btf, told["definitions"], shorten)),
        tuple(_directories(told["directories"], shorten)),
    )


def _shortener(tree: Path | None, paths: list[str]) -> Callable[[str], str]:
    """Takes away what paths begin with: the build's directory, where they are of objects in it, and
    what all others have in common that are absolute."""
    absolute = Counter(path for path in paths if path.startswith("/"))
    tops = [f"{os.path.abspath(tree)}/", f"{tree}/"] if tree else []  # noqa: PTH100 (links stay)
    if rest := [path for path in absolute if not path.startswith(tuple(tops))]:
        common = os.path.commonpath(rest)
        tops.append(f"{common}/")

    def shorten(path: str) -> str:
        for top in tops:
            if path.startswith(top):
                return path.removeprefix(top)
            if top.startswith(f"{path}/"):
                return ""
        return path

    return shorten


def _left_out(btf: Btf, one: _native.LeftOut, shorten: Callable[[str], str]) -> LeftOut:
    name = one["name"]
    told = (
        Told(
            spelled(btf, c["prototype"], name),
            "" if c["passed"] is None else spelled(btf, c["passed"], name),
            tuple(c["facts"]),
            c["decides"],
            c["count"],
            tuple(map(shorten, c["objects"])),
        )
        for c in one["candidates"]
    )
    return LeftOut(name, one["reason"], tuple(one["symbols"]), tuple(told))


def _names(
    btf: Btf,
    found: list[tuple[str, list[_native.HeldDefinition]]],
    shorten: Callable[[str], str],
) -> Iterator[Name]:
    for _, held in found:
        first = btf[held[0]["type"]]
        definitions = []
        for one in held:
            own = btf[one["type"]]
            size = 0 if isinstance(own, Typedef) else btf.sizeof(own)
            difference = "" if own is first else first_difference(first, own)
            objects = tuple(map(shorten, one["objects"]))
            definitions.append(Definition(size, one["count"], objects, difference))
        in_turn = all(IN_TURN in one.difference for one in definitions[1:])
        yield Name(plain(first), in_turn, tuple(definitions))


def _directories(
    found: list[tuple[str, int, int]], shorten: Callable[[str], str]
) -> Iterator[Directory]:
    types: Counter[str] = Counter()
    size: Counter[str] = Counter()
    for path, count, length in found:
        types[shorten(path)] += count
        size[shorten(path)] += length
    for path in sorted(types, key=lambda path: (-size[path], path)):
        yield Directory(path, types[path], size[path])
