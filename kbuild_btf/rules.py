# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What can differ between two kernels, whom it breaks and why: each word once.

Two kinds of programs were built against the types of a kernel. Modules have sizes, offsets and
numbers of the kernel that they were compiled for. BPF programs are told sizes and offsets by the
kernel that they run on (CO-RE), as long as the names are still there and mean the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Severity(IntEnum):
    """Whom a difference breaks; what is worse is greater."""

    NONE = 0
    ADDITION = 1
    PROGRAMS = 2
    MODULES = 3

    @property
    def word(self) -> str:
        """As the command line and the documents have it."""
        return self.name.lower()


MEANING = {
    Severity.MODULES: "modules that are built no longer fit",
    Severity.PROGRAMS: "programs that read or attach there fail, or read another thing",
    Severity.ADDITION: "something is new; nothing that was there changed",
    Severity.NONE: "nobody notices",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One sort of difference. ``used``: its severity for a type or function that modules use;
    ``unused``: for another; ``reason``: why, as a sentence's part."""

    id: str
    used: Severity
    unused: Severity
    reason: str


RULES: dict[str, Rule] = {}
"""All rules by their ids."""


def _rule(name: str, used: Severity, unused: Severity, reason: str) -> Rule:
    return RULES.setdefault(name, Rule(name, used, unused, reason))


_N, _A, _P, _M = Severity

SIZE = _rule(
    "size", _M, _N, "a built module has the old size; programs are told that of the running kernel"
)
MEMBER_REMOVED = _rule(
    "member-removed", _M, _P, "a built module finds something else there; a program does not load"
)
MEMBER_ADDED = _rule("member-added", _A, _A, "nothing that was there knows it")
MEMBER_MOVED = _rule(
    "member-moved", _M, _N, "a built module looks at the old offset; programs are told the new one"
)
MEMBER_TYPE = _rule("member-type", _M, _P, "who reads it takes it for what it was")
MEMBER_TARGET = _rule("member-target", _P, _P, "who follows the pointer finds another type")
MEMBER_SPELLING = _rule("member-spelling", _N, _N, "it is the same type in other words")
MEMBER_ORDER = _rule("member-order", _N, _N, "each is where it was")
DEFINITION_REMOVED = _rule("definition-removed", _P, _P, "its members are no longer known")
DEFINITION_ADDED = _rule("definition-added", _A, _A, "its members are known now")
TYPE_REMOVED = _rule("type-removed", _P, _P, "a program that names it does not load")
TYPE_ADDED = _rule("type-added", _A, _A, "nothing that was there knows it")
VALUE_REMOVED = _rule("value-removed", _M, _P, "who has its number says what is not known any more")
VALUE_CHANGED = _rule("value-changed", _M, _P, "who has the old number says something else")
VALUE_ADDED = _rule("value-added", _A, _A, "nothing that was there knows it")
ENUM_FORM = _rule("enum-form", _N, _N, "the values that both have are the same")
INTEGER = _rule("integer", _M, _P, "who reads one takes it for what it was")
TYPEDEF = _rule("typedef", _M, _P, "who uses the name has the old type")
TYPEDEF_SPELLING = _rule("typedef-spelling", _N, _N, "it is the same type in other words")
FUNCTION_REMOVED = _rule(
    "function-removed", _M, _P, "a module that calls it, a program that attaches to it do not load"
)
FUNCTION_ADDED = _rule("function-added", _A, _A, "nothing that was there knows it")
PROTOTYPE = _rule("prototype", _M, _P, "who calls it or attaches to it has the old parameters")
PARAMETER_NAMES = _rule(
    "parameter-names", _N, _N, "only scripts that name a parameter (bpftrace's args) notice"
)
LINKAGE = _rule("linkage", _N, _N, "it can be called and attached to as before")
VARIABLE_REMOVED = _rule(
    "variable-removed", _M, _P, "a module or program that names it does not load"
)
VARIABLE_ADDED = _rule("variable-added", _A, _A, "nothing that was there knows it")
VARIABLE_TYPE = _rule("variable-type", _M, _P, "who reads it takes it for what it was")
VARIABLE_MOVED = _rule("variable-moved", _N, _N, "symbols tell where it is")
TAG_REMOVED = _rule("tag-removed", _P, _P, "a program that needs the tag (bpf_kfunc) is refused")
TAG_ADDED = _rule("tag-added", _A, _A, "nothing that was there knows it")
INLINE_SITES = _rule("inline-sites", _N, _N, "a compiler inlines anew in each build")
UNNAMED = _rule("unnamed", _N, _N, "it is told with what holds it")
MODULE_REMOVED = _rule("module-removed", _P, _P, "a program that needs the module does not load")
MODULE_ADDED = _rule("module-added", _A, _A, "nothing that was there knows it")
