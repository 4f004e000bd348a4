# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Which types, functions and variables modules use, as far as it can be known.

Known by what modules refer to in the BTF of their vmlinux, or by what vmlinux exports; and with
these all that is reached from there, since who has a pointer may follow it. Where neither is known,
any type may be used, and no function or variable is taken for exported.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..btf import Btf, Func, Type, Var
from ..btf.elf import is_elf, section

# include/linux/export-internal.h: the names of what is exported, with those of namespaces.
_EXPORTS = "__ksymtab_strings"


@dataclass(frozen=True, slots=True)
class Uses:
    """``exports``: names that other modules may use, None where they are not known.

    ``types``: ids of types that are used, None where any may be.
    """

    exports: frozenset[str] | None
    types: frozenset[int] | None

    @classmethod
    def of_content(cls, content: bytes, btf: Btf) -> Uses:
        """By what a file with this content exports; only ELF tells."""
        exports = _exports(memoryview(content), btf.where)
        if exports is None:
            return cls(None, None)
        exported = [t for t in btf if isinstance(t, (Func, Var)) and t.name in exports]
        return cls(exports, _reached(btf, (t.id for t in exported)))

    def and_modules(self, base: Btf, modules: Iterable[Btf]) -> Uses:
        """The same with what these modules refer to."""
        starts: set[int] = set()
        count = 0
        for module in modules:
            count += 1
            for found in module:
                starts.update(i for i in found.references() if 0 < i < module.start)
        if not count:
            return self
        return Uses(self.exports, _reached(base, starts) | (self.types or frozenset()))

    def has(self, found: Type) -> bool:
        """Do modules use this?"""
        if isinstance(found, (Func, Var)):
            return self.exports is not None and found.name in self.exports
        return self.types is None or found.id in self.types


def _exports(data: memoryview, where: str) -> frozenset[str] | None:
    names = section(data, _EXPORTS, where) if is_elf(data) else None
    return None if names is None else frozenset(bytes(names).decode("latin-1").split("\0"))


def _reached(btf: Btf, starts: Iterable[int]) -> frozenset[int]:
    """Own types reached from there."""
    reached: set[int] = set()
    todo = list(starts)
    while todo:
        type_id = todo.pop()
        if type_id >= btf.start and type_id not in reached:
            reached.add(type_id)
            todo.extend(btf[type_id].references())
    return frozenset(reached)
