# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What BTF says about types, functions and variables, spelled like what DWARF says."""

from __future__ import annotations

from ..btf import (
    Array,
    Btf,
    Composite,
    Const,
    Datasec,
    Enumeration,
    Float,
    Func,
    FuncProto,
    Fwd,
    Int,
    Locsec,
    Ptr,
    Restrict,
    Type,
    Typedef,
    TypeTag,
    Union,
    Var,
    Volatile,
)
from ..errors import Error
from . import spelling
from .facts import DECLARATIONS, Features, Layout
from .spelling import Pair

_QUALIFIERS = {Const: "const", Volatile: "volatile", Restrict: "restrict"}
_ENCODINGS = {0: "", Int.SIGNED: "signed", Int.BOOL: "bool", Int.CHAR: "char"}


class Spelled:
    """The types of a BTF (with its base) as text, by id."""

    def __init__(self, btf: Btf, features: Features) -> None:
        self.btf = btf
        self.features = features
        self._spelled: dict[int, Pair] = {0: spelling.VOID}

    def layout(self, found: Type) -> Layout | None:
        """The fact that a type states; None for kinds that others mention and no more."""
        if isinstance(found, Composite):
            kind = "union" if isinstance(found, Union) else "struct"
            return Layout(kind, found.name, self._members(found))
        if isinstance(found, Enumeration):
            if not found.values and found.name:
                return Layout(DECLARATIONS["enum"], found.name, "")
            return Layout("enum", found.name, self._values(found))
        if isinstance(found, Fwd):
            kind = "union" if found.is_union else "struct"
            return Layout(DECLARATIONS[kind], found.name, "")
        if isinstance(found, Typedef):
            return Layout("typedef", found.name, self.declare(found.type_id))
        if isinstance(found, Float):
            return Layout("base type", found.name, spelling.floating(found.size))
        if isinstance(found, Int):
            encoding = _ENCODINGS.get(found.encoding, f"encoding {found.encoding}")
            text = spelling.integer(found.size, found.bits, encoding, found.bit_offset)
            return Layout("base type", found.name, text)
        return None

    def prototype(self, found: Func) -> str:
        """What a function returns and takes. Raises Error."""
        proto = self.btf[found.type_id]
        if not isinstance(proto, FuncProto):
            raise Error("a function without a prototype", f"{self.btf.where}, type [{found.id}]")
        return spelling.prototype(self.spell(proto.type_id), self._parameters(proto))

    def declare(self, type_id: int) -> str:
        """A type as text."""
        return spelling.declare(self.spell(type_id))

    def spell(self, type_id: int) -> Pair:
        """A type as a pair."""
        found = self._spelled.get(type_id)
        if found is None:
            self._spelled[type_id] = spelling.CIRCLE
            found = self._spelled[type_id] = self._spell(self.btf[type_id])
        return found

    def _spell(self, found: Type) -> Pair:
        if isinstance(found, Composite):
            keyword = "union" if isinstance(found, Union) else "struct"
            if found.name:
                return f"{keyword} {found.name}", ""
            return spelling.unnamed(keyword, self._members(found))
        if isinstance(found, Enumeration):
            if found.name:
                return f"enum {found.name}", ""
            return spelling.unnamed("enum", self._values(found))
        if isinstance(found, Fwd):
            return f"{'union' if found.is_union else 'struct'} {found.name}", ""
        if isinstance(found, (Int, Float, Typedef)):
            return found.name, ""
        if isinstance(found, Ptr):
            return spelling.pointer(self.spell(found.type_id))
        if isinstance(found, (Const, Volatile, Restrict)):
            return spelling.qualified(self.spell(found.type_id), _QUALIFIERS[type(found)])
        if isinstance(found, TypeTag):
            of = self.spell(found.type_id)
            # A whole attribute comes from flags of a kfunc, not from the types of the DWARF.
            return of if found.attribute else spelling.tagged(of, found.name)
        if isinstance(found, Array):
            return spelling.array(self.spell(found.type_id), found.nelems)
        if isinstance(found, FuncProto):
            return spelling.function(self.spell(found.type_id), self._parameters(found))
        return f"<{found.kind.name}>", ""

    def _members(self, found: Composite) -> str:
        lines = [
            spelling.member(m.bit_offset, m.bit_size, self.spell(m.type_id), m.name)
            for m in found.members
        ]
        return spelling.aggregate(found.size, lines)

    def _values(self, found: Enumeration) -> str:
        values = ((v.name, v.value) for v in found.values)
        return spelling.enumeration(found.size, values, not self.features.enum64)

    def _parameters(self, proto: FuncProto) -> list[str]:
        lines = [spelling.declare(self.spell(p.type_id), p.name) for p in proto.params]
        if proto.params and not proto.params[-1].type_id and not proto.params[-1].name:
            lines[-1] = "..."
        return lines


class Facts:
    """A BTF sorted for comparison: its own types, and for lookups those of its base, too."""

    def __init__(self, btf: Btf, features: Features) -> None:
        self.btf = btf
        self.spelled = Spelled(btf, features)
        self.layouts: dict[tuple[str, str], dict[str, int]] = {}
        """(kind, name): what the definitions of that name contain, and the id of each."""
        self.own: list[tuple[Layout, int]] = []
        self.functions: list[Func] = []
        self.sections: list[Datasec] = []
        self.inlined: set[int] = set()
        """Ids of functions that were inlined somewhere."""
        for type_id in range(1, len(btf)):
            found = btf[type_id]
            own = type_id >= btf.start
            if own and isinstance(found, Func):
                self.functions.append(found)
            elif own and isinstance(found, Datasec):
                self.sections.append(found)
            elif own and isinstance(found, Locsec):
                self.inlined |= {site.func_id for site in found.sites}
            elif (fact := self.spelled.layout(found)) is not None:
                self.layouts.setdefault(fact[:2], {}).setdefault(fact.text, type_id)
                if own:
                    self.own.append((fact, type_id))

    def variable(self, type_id: int) -> Var | None:
        """The variable that an entry of a section names."""
        found = self.btf[type_id]
        return found if isinstance(found, Var) else None
