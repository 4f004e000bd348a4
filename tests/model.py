# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What BTF a world of `worlds` means, told without hashes: a second opinion on type identity.

All types of all units are nodes of one graph. Two of them are one when nothing tells them apart:
we start from "all are one, but for the names of structs, unions and enums", and split whatever
differs in its own words or in what it refers to, until nothing splits any more. A declaration is
whatever its name has as its only definition; with none, or with several, all declarations of the
name are one type of their own.

`same` compares the result with BTF, which is split in the same way, from scratch.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import worlds
from worlds import Function, Source, World

from kbuild_btf.btf import (
    Array,
    Btf,
    Composite,
    Datasec,
    DeclTag,
    Enumeration,
    Func,
    FuncProto,
    Fwd,
    Int,
    Typedef,
    TypeTag,
    Var,
)
from kbuild_btf.btf import Type as Record

Tag = tuple[str, str]
"""Space ("struct", "union" or "enum") and name."""


@dataclass
class Node:
    """`words`: what the type says itself; `to`: nodes it refers to, 0 is void. `tag`: its name if
    it is a definition or (`declared`) declaration of one."""

    words: Hashable
    to: Sequence[int] = ()
    tag: Tag | None = None
    declared: bool = False
    unit: int = -1


VOID = Node("void")


def classes(nodes: Sequence[Node]) -> list[int]:
    """The class of each node. Node 0 is void."""
    definitions: dict[Tag, list[int]] = {}
    for i, node in enumerate(nodes):
        if node.tag and not node.declared:
            definitions.setdefault(node.tag, []).append(i)
    defined = [i for i, node in enumerate(nodes) if not node.declared]
    declared = [i for i, node in enumerate(nodes) if node.declared]
    labels = _numbered([node.tag for node in nodes])
    count = len(set(labels))
    while True:
        split: list[Hashable] = [None] * len(nodes)
        for i in defined:
            node = nodes[i]
            split[i] = (node.words, tuple([labels[n] for n in node.to]))
        for i in declared:
            tag = nodes[i].tag
            assert tag
            meant = {split[n] for n in definitions.get(tag, ())}
            split[i] = meant.pop() if len(meant) == 1 else ("declared", tag)
        labels = _numbered(split)
        if len(set(labels)) == count:
            return labels
        count = len(set(labels))


def _numbered(values: Iterable[Hashable]) -> list[int]:
    known: dict[Hashable, int] = {}
    return [known.setdefault(value, len(known)) for value in values]


class Model:
    """The types of a world. `nodes` has a node for each type of each unit, and for what the link
    adds; the classes of `wanted` are the BTF."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.nodes: list[Node] = [VOID]
        self.wanted: list[int] = []
        self.starts: list[int] = []
        """Of each unit: the node before its first type."""
        for number, source in enumerate(world):
            self.starts.append(len(self.nodes) - 1)
            if not source.rust:
                self._types(number, source)
        self._functions()
        self._variables()
        self.classes = classes(self.nodes)

    def _add(self, node: Node) -> int:
        self.nodes.append(node)
        self.wanted.append(len(self.nodes) - 1)
        return self.wanted[-1]

    def _types(self, unit: int, source: Source) -> None:
        start = self.starts[unit]
        # First the types, then what BTF needs besides: an index for arrays, tags.
        for number, this in enumerate(source.types, 1):
            words, tag, declared = _words(source, number, this)
            parts = [part.to for part in this.parts]
            to = {
                "struct": parts,
                "union": parts,
                "function": [this.to, *parts],
                "int": [],
                "enum": [],
            }.get(this.kind.removeprefix("fwd "), [this.to])
            to = [] if declared else [start + n if n else 0 for n in to]
            self._add(Node(words, to, tag, declared, unit))
        for number, this in enumerate(source.types, 1):
            node = self.nodes[start + number]
            if this.kind == "array":
                index = self._add(Node(("INT", "int", 4, True)))
                node.to = [*node.to, index]
            for component, value in this.tags:
                if this.kind == "ptr":
                    node.to = [self._add(Node(("TYPE_TAG", value), node.to))]
                else:
                    words = ("DECL_TAG", value, component)
                    self._add(Node(words, [start + number]))

    def _functions(self) -> None:
        candidates: dict[str, list[tuple[int, Function]]] = {}
        for unit, source in enumerate(self.world):
            for function in source.functions:
                candidates.setdefault(function.name, []).append((unit, function))
        for name, own in candidates.items():
            standing = [c for c in own if c[1].code in ("global", "local")]
            signatures = {_signature(self.world[unit], f) for unit, f in own}
            consistent = all(_alike(a, b) for a, b in combinations(signatures, 2))
            if len(standing) != 1 or not consistent:
                continue
            unit, function = standing[0]
            start = self.starts[unit]
            to = [start + n if n else 0 for n in (function.to, *(p.to for p in function.params))]
            words = ("FUNC_PROTO", tuple(p.name for p in function.params))
            func = self._add(Node(("FUNC", name), [self._add(Node(words, to))]))
            for component, value in function.tags:
                self._add(Node(("DECL_TAG", value, component), [func]))

    def _variables(self) -> None:
        entries: list[tuple[int, int]] = []
        nodes: list[int] = []
        end = size_of_all = 0
        for unit, source in enumerate(self.world):
            for variable in source.variables:
                size = source.size(variable.to)
                if size and not source.rust:
                    words = ("VAR", variable.name, variable.code == "global", end)
                    nodes.append(self._add(Node(words, [self.starts[unit] + variable.to])))
                    entries.append((end, size))
                    size_of_all = end + size
                end += max(worlds.SLOT, -(-size // worlds.SLOT) * worlds.SLOT)
        if nodes:
            self._add(Node(("DATASEC", worlds.PERCPU, size_of_all, tuple(entries)), nodes))

    def definitions(self, tag: Tag) -> dict[int, list[int]]:
        """The definitions of a name: class, and the nodes that are it."""
        found: dict[int, list[int]] = {}
        for i, node in enumerate(self.nodes):
            if node.tag == tag and not node.declared:
                found.setdefault(self.classes[i], []).append(i)
        return found

    def declarations(self, tag: Tag) -> list[int]:
        return [i for i, node in enumerate(self.nodes) if node.tag == tag and node.declared]


def _words(source: Source, number: int, this: worlds.Type) -> tuple[Hashable, Tag | None, bool]:
    """(what a type says itself, its name, is it a declaration)."""
    kind = this.kind
    if kind.startswith("fwd "):
        return kind, (kind.removeprefix("fwd "), this.name), True
    tag = (kind, this.name) if kind in worlds.TAGGED and this.name else None
    if kind in ("struct", "union"):
        members = tuple(
            (part.name, offset * 8, part.value)
            for part, offset in zip(this.parts, source.offsets(this), strict=True)
        )
        return (kind, this.name, source.size(number), members), tag, False
    if kind == "enum":
        # Wider ones are signed as the integer is that they say they are; these say nothing.
        wide = this.count > 4
        signed = not wide and any(p.value < 0 for p in this.parts)
        mask = (1 << (64 if wide else 32)) - 1
        values = tuple((p.name, p.value if signed else p.value & mask) for p in this.parts)
        return (kind, this.name, this.count, signed, values), tag, False
    words: Hashable = {
        "int": ("INT", this.name, this.count, True),
        "array": ("ARRAY", this.count),
        "function": ("FUNC_PROTO", tuple("" for _ in this.parts)),
        "typedef": ("TYPEDEF", this.name),
    }.get(kind, (kind.upper(),))
    if kind == "function":
        words = ("FUNC_PROTO", tuple(part.name for part in this.parts))
    return words, tag, False


def _signature(source: Source, function: Function) -> Hashable:
    """What objects must agree on: what has a name counts by it alone, but an enumeration also by
    its width, where it is known. A const does not count."""

    def spelled(number: int) -> Hashable:
        if not number:
            return "void"
        this = source.types[number - 1]
        if this.kind == "const":
            return spelled(this.to) if this.to else "const void"
        if this.kind == "enum":
            return "enum", this.name, this.count > 4
        if this.kind == "fwd enum":
            return "enum", this.name, None
        if this.kind in ("typedef", *worlds.TAGGED) or this.kind.startswith("fwd "):
            return this.kind.removeprefix("fwd "), this.name
        if this.kind == "int":
            return this.name, this.count
        tags = len(this.tags) if this.kind == "ptr" else 0
        named = tuple(spelled(part.to) for part in this.parts)
        return this.kind, tags, this.count, spelled(this.to), named

    return spelled(function.to), tuple(spelled(part.to) for part in function.params)


def _alike(a: Hashable, b: Hashable) -> bool:
    if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
        if a[:1] == ("enum",) and None in (a[-1], b[-1]):
            return a[:2] == b[:2]
        return all(_alike(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def of_btf(btf: Btf) -> list[Node]:
    """The types of BTF as nodes that know no declarations: here each record is what it is."""
    places = {e.type_id: e.offset for t in btf if isinstance(t, Datasec) for e in t.entries}
    return [VOID, *(Node(_record(t, places), list(t.references())) for t in btf)]


def _record(t: Record, places: Mapping[int, int]) -> Hashable:
    match t:
        case Int():
            return "INT", t.name, t.size, bool(t.encoding & Int.SIGNED)
        case Array():
            return "ARRAY", t.nelems
        case Composite():
            members = tuple((m.name, m.bit_offset, m.bit_size) for m in t.members)
            return t.kind.name.lower(), t.name, t.size, members
        case Enumeration() if not t.values:
            return "declared", ("enum", t.name)
        case Enumeration():
            return "enum", t.name, t.size, t.signed, tuple((v.name, v.value) for v in t.values)
        case Fwd():
            return "declared", ("union" if t.is_union else "struct", t.name)
        case FuncProto():
            return "FUNC_PROTO", tuple(p.name for p in t.params)
        case Func():
            assert t.linkage == 0
            return "FUNC", t.name
        case Var():
            return "VAR", t.name, t.linkage == 1, places[t.id]
        case Datasec():
            return "DATASEC", t.name, t.size, tuple((e.offset, e.size) for e in t.entries)
        case DeclTag():
            return "DECL_TAG", t.name, t.component
        case TypeTag() | Typedef():
            return t.kind.name, t.name
    return (t.kind.name,)


def difference(model: Model, btf: Btf) -> list[str]:
    """Why the BTF is not what the world means."""
    chosen: dict[int, int] = {}
    for i in [0, *model.wanted]:
        # A definition rather than a declaration of the same class.
        if model.classes[i] not in chosen or not model.nodes[i].declared:
            chosen[model.classes[i]] = i
    place = {c: n for n, c in enumerate(chosen)}
    expected = []
    for i in chosen.values():
        node = model.nodes[i]
        words = ("declared", node.tag) if node.declared else node.words
        expected.append(Node(words, [place[model.classes[n]] for n in node.to]))
    return unequal(expected, of_btf(btf))


def unequal(expected: Sequence[Node], found: Sequence[Node]) -> list[str]:
    """Both hold each type once: each class of both together has one node of either."""
    shift = len(expected)
    moved = [Node(node.words, [n + shift for n in node.to]) for node in found]
    labels = classes([*expected, *moved])
    ours, theirs = labels[:shift], labels[shift:]
    told = []
    for what, nodes, own, other in (
        ("missing", expected, ours, theirs),
        ("not expected", found, theirs, ours),
    ):
        there = set(other)
        told += [
            f"{what}: {n.words}" for n, label in zip(nodes, own, strict=True) if label not in there
        ]
        told += [f"twice ({what} once): {nodes[i].words}" for i in _repeated(own)]
    return told


def _repeated(labels: Sequence[int]) -> list[int]:
    known: set[int] = set()
    twice = []
    for i, label in enumerate(labels):
        if label in known:
            twice.append(i)
        known.add(label)
    return twice
