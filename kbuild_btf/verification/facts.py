# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What both sides say, as text and numbers that can be compared."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from ..errors import Error

_Fact = TypeVar("_Fact", bound=tuple[object, ...])

# What is compared by its layout, in the order of the summary.
LAYOUTS = ("struct", "union", "enum", "typedef", "base type")
DECLARATIONS = {"struct": "forward struct", "union": "forward union", "enum": "forward enum"}


@dataclass(frozen=True)
class Features:
    """Those of pahole's features that change how a type looks, or which variables there are."""

    float: bool = True
    enum64: bool = True
    type_tag: bool = True
    var: bool = True
    global_var: bool = False

    @classmethod
    def named(cls, text: str | None) -> Features:
        """From a list as ``encode`` takes it; None is the standard set. Raises Error.

        Without a list, or with ``default`` or a plus sign, the standard set is in; a plain list
        means its names and no others.
        """
        if text is None:
            return cls()
        names = {name.strip().lstrip("+") for name in text.split(",")} - {""}
        if unknown := names - _KNOWN:
            raise Error(
                f"unknown feature {', '.join(sorted(unknown))}",
                "--features",
                f"known are {', '.join(sorted(_KNOWN))}",
            )
        standard = text.strip().startswith("+") or "default" in names
        own = ("float", "enum64", "type_tag", "var")
        chosen = {name: standard or name in names for name in own}
        return cls(**chosen, global_var="global_var" in names)


_KNOWN = frozenset(
    {
        *("default", "encode_force", "var", "float", "decl_tag", "type_tag", "enum64"),
        *("optimized_func", "consistent_func", "decl_tag_kfuncs", "reproducible_build"),
        *("distilled_base", "global_var", "attributes", "true_signature", "layout"),
        "inline",
    }
)


class Layout(NamedTuple):
    """A definition; ``name`` is empty for types without one, ``text`` as ``spelling`` has it."""

    kind: str
    name: str
    text: str


class Function(NamedTuple):
    """A subprogram that is no declaration; ``address`` is None where it has no single one."""

    name: str
    text: str
    address: int | None
    emitted: bool
    """Whether all its parameters have a name, without which no encoder takes it."""


class Variable(NamedTuple):
    """A variable with a fixed address; ``size`` in bytes."""

    name: str
    address: int
    text: str
    size: int
    external: bool


@dataclass
class Described:
    """What the DWARF of some units says: each fact once, with the first DIE that says it."""

    layouts: dict[Layout, int] = field(default_factory=dict)
    functions: dict[Function, int] = field(default_factory=dict)
    variables: dict[Variable, int] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    """How many DIEs were compared, by kind; ``DIE`` counts all that were read, ``unit`` units."""

    def add(self, other: Described) -> None:
        """Take in what other units say."""
        _merge(self.layouts, other.layouts)
        _merge(self.functions, other.functions)
        _merge(self.variables, other.variables)
        self.seen.update(other.seen)

    def without(self, known: Described) -> Described:
        """What is not known yet; the counts are all here."""
        return Described(
            {k: v for k, v in self.layouts.items() if k not in known.layouts},
            {k: v for k, v in self.functions.items() if k not in known.functions},
            {k: v for k, v in self.variables.items() if k not in known.variables},
            self.seen,
        )


def _merge(mine: dict[_Fact, int], theirs: dict[_Fact, int]) -> None:
    for fact, place in theirs.items():
        known = mine.get(fact)
        if known is None or place < known:
            mine[fact] = place


class Problem(NamedTuple):
    """One difference; ``btf_id`` and ``die`` (an offset in .debug_info) where there is one."""

    what: str
    btf_id: int | None = None
    die: int | None = None

    def __str__(self) -> str:
        places = []
        if self.btf_id is not None:
            places.append(f"BTF [{self.btf_id}]")
        if self.die is not None:
            places.append(f"DIE {self.die:#x}")
        return f"{self.what} ({', '.join(places)})" if places else self.what
