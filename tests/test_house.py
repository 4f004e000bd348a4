# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Which room of `native/src` may know of which other (docs/architecture.md, "The house")."""

import re
from collections.abc import Iterator
from pathlib import Path

from support import ROOT

SOURCES = ROOT / "native" / "src"

# Stages and what stands around them. `bin/` and `native/python/` see the library from outside.
STAGES = {"encode", "store", "combine", "fixup", "finish", "kbuild", "link", "report"}
FORBIDDEN = {
    "support": STAGES | {"btf", "object", "elf", "dwarf"},
    "btf": STAGES,
    "object": STAGES,
    "elf": STAGES,
    "dwarf": STAGES,
    "encode": {"store", "combine", "fixup", "finish", "kbuild", "link", "report"},
    "store": {"link", "report"},
    "combine": {"encode", "fixup", "finish", "link", "report"},
    "fixup": {"encode", "finish", "kbuild", "link", "report"},
    "finish": {"encode", "link", "report"},
    "kbuild": {"combine", "link", "report"},
    "link": {"report"},
}

# The two places that must encode: the units of a linked file, and single ones that are asked about.
DOORS = {
    ("combine/units.rs", "encode"),
    ("fixup/linked_dwarf.rs", "encode"),
}

# Circles that are still there: each is a set of files. Take out what is gone.
CIRCLES: set[frozenset[str]] = set()


def without_tests(text: str) -> str:
    text = re.sub(r"//[^\n]*", "", text)
    return text.split("#[cfg(test)]\nmod tests")[0]


def flat(tree: str) -> Iterator[str]:
    """The paths of a use tree: `a::{b, c::d}` gives `a::b` and `a::c::d`."""
    head, brace, rest = tree.partition("{")
    if not brace:
        yield tree.split(" as ")[0].strip()
        return
    depth, start = 0, 0
    inner = rest[: rest.rindex("}")]
    for i, letter in enumerate(inner + ","):
        depth += (letter == "{") - (letter == "}")
        if letter == "," and depth == 0:
            part = inner[start:i].strip()
            start = i + 1
            if part:
                yield from flat(head.strip() + ("" if part == "self" else part))


def module_of(path: Path) -> list[str]:
    parts = list(path.relative_to(SOURCES).with_suffix("").parts)
    return parts[:-1] if parts[-1] == "mod" else parts


def file_of(parts: list[str]) -> Path | None:
    """The file of the longest part of a path that is a module."""
    for end in range(len(parts), 0, -1):
        stem = SOURCES.joinpath(*parts[:end])
        for path in (stem.with_suffix(".rs"), stem / "mod.rs"):
            if path.exists():
                return path
    return None


def seen_by(path: Path) -> set[Path]:
    """The files that a file names by its paths; a `mod.rs` also those of its folder."""
    text = without_tests(path.read_text())
    use = r"^\s*(?:pub(?:\([a-z]+\))? )?use ((?:crate|super|self)::[^;]+);"
    uses = re.findall(use, text, re.MULTILINE)
    paths = [p for tree in uses for p in flat(re.sub(r"\s+", " ", tree))]
    paths += re.findall(r"\b(?:crate|super)(?:::\w+)+", text)
    own = module_of(path)
    if path.name == "mod.rs":
        modules = re.findall(r"^(?:pub )?mod (\w+);", text, re.MULTILINE)
        paths += [f"self::{m}" for m in modules if re.search(rf"(?<!:)\b{m}::", text)]
    found = set()
    for named in paths:
        head, *rest = named.strip(": ").split("::")
        base = {"crate": [], "super": own[:-1], "self": own}[head]
        while rest and rest[0] == "super":
            base, rest = base[:-1], rest[1:]
        target = file_of([*base, *rest])
        if target is not None and target != path:
            found.add(target)
    return found


def arrows() -> dict[str, set[str]]:
    """For each file of a room, those that it names; relative to `native/src`."""
    files = [p for p in SOURCES.rglob("*.rs") if p.parent not in (SOURCES, SOURCES / "bin")]
    name = {p: p.relative_to(SOURCES).as_posix() for p in files}
    return {name[p]: {name[t] for t in seen_by(p)} for p in files}


def room(name: str) -> str:
    return name.split("/")[0]


def test_no_room_knows_of_one_that_it_must_not() -> None:
    """(Try it: `use crate::finish;` in a file of combine/.)"""
    known = {(file, target) for file, targets in arrows().items() for target in targets}
    assert {room(file) for file, _ in known} <= {*FORBIDDEN, "report"}
    against = {
        (file, target)
        for file, target in known
        if room(target) in FORBIDDEN.get(room(file), set()) and (file, room(target)) not in DOORS
    }
    assert not against
    assert {(file, room(target)) for file, target in known} >= DOORS


def circles(graph: dict[str, set[str]]) -> set[frozenset[str]]:
    """Files that lead to each other."""
    reach: dict[str, set[str]] = {}
    for start in graph:
        seen: set[str] = set()
        queue = [start]
        while queue:
            for target in graph[queue.pop()] - seen:
                seen.add(target)
                queue.append(target)
        reach[start] = seen
    mutual = {a: frozenset({a} | {b for b in reach[a] if a in reach[b]}) for a in graph}
    return {group for group in mutual.values() if len(group) > 1}


def test_no_files_lead_to_each_other() -> None:
    """The files of a folder may use what its `mod.rs` says to all of them."""
    graph = {
        file: {t for t in targets if not (t.endswith("/mod.rs") and file.startswith(t[:-6]))}
        for file, targets in arrows().items()
    }
    assert circles(graph) == CIRCLES
