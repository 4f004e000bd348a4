# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Differences that were agreed to: a file that says which, and why.

    [what this is about]
    name = struct net_device, struct sk_*
    rule = member-moved, size
    kind = STRUCT
    module = nf_*
    reason = the vendor driver is built again

A section suppresses what fits all of its lines; a line fits by one of its patterns (``*``, ``?``).
``module`` is the name of a module, empty for vmlinux. The reason is wanted, and printed.
"""

from __future__ import annotations

import configparser
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ..btf import Kind
from ..errors import Error
from ..rules import RULES

MODULE = "MODULE"
"""The kind of a module that one side lacks."""

_PATTERNS = ("name", "rule", "kind", "module")


@dataclass(frozen=True, slots=True)
class Suppression:
    """One section: its title, its reason, and the patterns of each line that it has."""

    title: str
    reason: str
    patterns: dict[str, list[str]]

    def fits(self, **of: str) -> bool:
        """Does a difference with this name, rule, kind and module fit?"""
        return all(
            any(fnmatchcase(of[line], pattern) for pattern in patterns)
            for line, patterns in self.patterns.items()
        )


def read(path: str) -> list[Suppression]:
    """The sections of a file. Raises Error, which names the section, for what it does not know."""
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    try:
        with Path(path).open(encoding="utf-8") as file:
            parser.read_file(file, source=path)
    except (configparser.Error, UnicodeDecodeError) as broken:
        raise Error(" ".join(str(broken).split()), path, "see docs/ci.md") from broken
    return [_section(path, parser[name]) for name in parser.sections()]


def _section(path: str, section: configparser.SectionProxy) -> Suppression:
    where = f"{path}, [{section.name}]"
    for line in section:
        if line not in (*_PATTERNS, "reason"):
            known = ", ".join((*_PATTERNS, "reason"))
            raise Error(f"{line} is not known", where, f"a section has {known}")
    reason = section.get("reason", "").strip()
    if not reason:
        raise Error("there is no reason", where, "say why it may differ: reason = ...")
    patterns = {
        line: [pattern.strip() for pattern in section[line].split(",")]
        for line in _PATTERNS
        if line in section
    }
    if not patterns:
        raise Error("it would fit everything", where, "say what: name, rule, kind or module")
    words = {"rule": list(RULES), "kind": [*(kind.name for kind in Kind), MODULE]}
    for line, known_words in words.items():
        for pattern in patterns.get(line, ()):
            if not any(fnmatchcase(word, pattern) for word in known_words):
                raise Error(f"no {line} is called {pattern}", where, "see docs/ci.md")
    return Suppression(section.name, reason, patterns)
