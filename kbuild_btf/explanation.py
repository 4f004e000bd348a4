# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Why a function is in the BTF or not, and how the definitions of a type name differ."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from . import _native
from .errors import Error
from .paths import StrPath

__all__ = ["Candidate", "Definition", "Explanation", "FunctionVerdict", "Symbol", "explain"]


class Symbol(NamedTuple):
    """A symbol of a function in the linked file."""

    name: str
    address: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """One DIE that describes a function."""

    object: str
    """Path of the object, or of the linked file."""
    die: int
    """Offset in its ``.debug_info``, in bytes."""
    prototype: str
    """As it is written in the source."""
    passed: str | None
    """With the parameters that are really passed, where the compiler changed that."""
    facts: tuple[str, ...]
    """What the object alone says of it, in words."""
    address: int | None
    """Where it stands in the linked file, if it does."""
    chosen: bool
    """Its prototype is the one in the BTF."""


@dataclass(frozen=True, slots=True)
class FunctionVerdict:
    """What became of a function."""

    reason: str
    """Why it is left out; empty: it is in the BTF."""
    clone: str
    """The full name of the symbol that it goes by there (``foo.isra.0``); empty: its own name."""
    symbols: tuple[Symbol, ...]
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Definition:
    """A definition of a type name, or its declaration (kind ``FWD``)."""

    kind: str
    size: int
    """In bytes; 0 for declarations and typedefs."""
    objects: tuple[str, ...]
    """Paths of those that have it."""
    difference: str
    """Where it first parts from the first definition of its space (struct, union, enum, typedef);
    empty for that one."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that is known of a name."""

    name: str
    function: FunctionVerdict | None
    """None when no object and no symbol knows a function of the name."""
    definitions: tuple[Definition, ...]
    """Of types of the name, the most common one first."""


def explain(
    elf: StrPath,
    name: str,
    objects: Iterable[StrPath] | None = None,
    *,
    features: str | None = None,
    lang_exclude: Iterable[str] = (),
    jobs: int = 0,
    cache: StrPath | None = None,
) -> Explanation:
    """Say why a function is in the BTF of a linked file or not, how definitions of a type differ.

    ``name`` is that of a function, of a symbol of one (``pick.isra.0``), or of a type, without
    ``struct``. Read are the objects that ``elf`` was linked from, as ``link`` does; where the tree
    does not tell them, the debug information of ``elf``. The other arguments are those of ``link``.

    Raises Error when nobody knows the name, and as ``link`` does.
    """
    # No name of C has a dot: what follows it the compiler has added to the symbol.
    base = name.partition(".")[0]
    told = _native.explain(
        elf,
        base,
        objects=None if objects is None else list(objects),
        features=features,
        lang_exclude=list(lang_exclude),
        jobs=jobs,
        cache=cache,
    )
    function = _verdict(told["function"]) if told["function"] else None
    definitions = tuple(
        Definition(d["kind"], d["size"], tuple(d["objects"]), d["difference"])
        for d in told["definitions"]
    )
    if name != base:
        # A symbol was named, so no type is meant.
        definitions = ()
        if function and all(symbol.name != name for symbol in function.symbols):
            function = None
    if not function and not definitions:
        raise Error(f"no function and no type is named {name}", str(elf))
    return Explanation(base, function, definitions)


def _verdict(told: _native.FunctionVerdict) -> FunctionVerdict:
    return FunctionVerdict(
        told["reason"],
        told["clone"],
        tuple(Symbol(*symbol) for symbol in told["symbols"]),
        tuple(
            Candidate(
                c["object"],
                c["die"],
                c["prototype"],
                c["passed"],
                tuple(c["facts"]),
                c["address"],
                c["chosen"],
            )
            for c in told["candidates"]
        ),
    )
