# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What BTF a world of `worlds` means, told without hashes: a second opinion on type identity.

All types of all units are nodes of one graph. Its classes are found in three steps:

1. Two types look alike when they say the same, and refer to types that look alike, or to structs,
   unions and enums of the same name.
2. Of the definitions of a name, which may look different, the one that most units have is the
   default. Who only declares the name means the default, and so does everybody at first.
3. From the other definitions upwards, types that look alike are told apart by the definitions that
   they lead to, other than defaults: where, of those who refer to a definition of some name, some
   mean one thing and some another. Who does not know goes with the default.

Where these rules leave a choice between equally common things, identities decide, which only the
program has: the model then has a result for each choice.

`difference` compares the result with BTF, which is split from scratch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TypeVar

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
    it is a definition or (`declared`) declaration of one. `counted`: it is a type of a unit."""

    words: Hashable
    to: Sequence[int] = ()
    tag: Tag | None = None
    declared: bool = False
    unit: int = -1
    counted: bool = False


VOID = Node("void")

T = TypeVar("T")
Choose = Callable[[list[T]], T]
"""Of equally good things the one that the program is to have chosen."""

Label = tuple[int, frozenset[int]]
"""What a type looks like, and the definitions that it leads to, by what they look like."""


def every_choice(most: int) -> Iterator[Choose[Label]]:
    """Ways to choose, one after the other, so that all are seen, but not more than so many."""
    script: list[int] = []
    for _ in range(most):
        widths: list[int] = []

        def choose(
            options: list[Label], script: list[int] = script, widths: list[int] = widths
        ) -> Label:
            place = len(widths)
            widths.append(len(options))
            return options[script[place] if place < len(script) else 0]

        yield choose
        script = [*script, *([0] * len(widths))][: len(widths)]
        while script and script[-1] + 1 >= widths[len(script) - 1]:
            script.pop()
        if not script:
            return
        script[-1] += 1


def looks(nodes: Sequence[Node]) -> list[int]:
    """What each node looks like, as a number. Node 0 is void."""
    labels = [0] * len(nodes)
    count = 0
    while True:
        said: list[Hashable] = []
        for node in nodes:
            to = tuple([nodes[n].tag or labels[n] for n in node.to])
            said.append(("declared", node.tag) if node.declared else (node.words, to))
        labels = _numbered(said)
        if len(set(labels)) == count:
            return labels
        count = len(set(labels))


@dataclass
class Refinement:
    """The classes of a world's types."""

    nodes: Sequence[Node]
    choose: Choose[Label]
    looks: list[int] = field(init=False)
    labels: list[Label] = field(init=False)

    def __post_init__(self) -> None:
        self.looks = looks(self.nodes)
        self.defaults: dict[Tag, int] = {}
        self.others: set[int] = set()
        self._choose_defaults()
        self.mentioned = [self._mentioned(i) for i in range(len(self.nodes))]
        self.leading = self._leading()
        self.labels = [(look, frozenset()) for look in self.looks]
        self._tell_apart()
        self.declared = self._declared()

    def _choose_defaults(self) -> None:
        counts: dict[Tag, Counter[int]] = {}
        for node, look in zip(self.nodes, self.looks, strict=True):
            if node.tag and not node.declared:
                counts.setdefault(node.tag, Counter())[look] += node.counted
        for tag, of_tag in counts.items():
            best = [look for look, n in of_tag.items() if n == max(of_tag.values())]
            nothing: frozenset[int] = frozenset()
            options = [(look, nothing) for look in best]
            default = options[0] if len(options) == 1 else self.choose(options)
            self.defaults[tag] = default[0]
            self.others |= of_tag.keys() - {default[0]}

    def _mentioned(self, start: int) -> list[int]:
        """Named types that a type refers to, directly or through types without a name."""
        found, seen, queue = [], set(), list(self.nodes[start].to)
        while queue:
            n = queue.pop()
            if n not in seen:
                seen.add(n)
                if self.nodes[n].tag:
                    found.append(n)
                else:
                    queue += self.nodes[n].to
        return found

    def _leading(self) -> set[int]:
        leading = {i for i, look in enumerate(self.looks) if look in self.others}
        while True:
            more = {i for i, node in enumerate(self.nodes) if leading.intersection(node.to)}
            if more <= leading:
                return leading
            leading |= more

    def _tell_apart(self) -> None:
        """All take each step together. See `native/src/combine/refine.rs` for the two depths."""
        for i, look in enumerate(self.looks):
            if look in self.others:
                self.labels[i] = (look, frozenset([look]))
        split: set[tuple[int, Tag]] = set()
        for deep in (False, True):
            changed = True
            while changed:
                changed = False
                news = self._meaning_several(split, deep)
                changed = not news <= split
                split |= news
                labels = list(self.labels)
                for i, look in enumerate(self.looks):
                    leads = {look} & self.others
                    for n in self.mentioned[i]:
                        tag = self.nodes[n].tag
                        if self.labels[n][1] and tag and (look, tag) in split:
                            leads |= self.labels[n][1]
                    labels[i] = (look, frozenset(leads))
                changed |= labels != self.labels
                self.labels = labels

    def _meaning_several(self, split: set[tuple[int, Tag]], deep: bool) -> set[tuple[int, Tag]]:
        meanings: dict[tuple[int, Tag], set[Hashable]] = {}
        for i, look in enumerate(self.looks):
            for n in self.mentioned[i]:
                node = self.nodes[n]
                if node.declared or not node.tag:
                    continue
                means: Hashable = self.labels[n] if deep else self.looks[n]
                if not self.labels[n][1]:
                    if not deep and n in self.leading:
                        continue
                    means = "default"
                meanings.setdefault((look, node.tag), set()).add(means)
        return {pair for pair, meant in meanings.items() if len(meant) > 1}

    def _most_common(self, labels: Iterable[Label]) -> Label | None:
        counts = Counter(labels)
        best = [label for label, n in counts.items() if n == max(counts.values())]
        return None if not best else best[0] if len(best) == 1 else self.choose(best)

    def _holders(self, look: int) -> list[Label]:
        pairs = zip(self.nodes, self.looks, self.labels, strict=True)
        return [label for node, own, label in pairs if own == look and node.counted]

    def stands_for(self, look: int) -> Label:
        """What a type is that looks so, as those have it that do not know more."""
        plain: Label = (look, frozenset())
        holders = self._holders(look)
        if plain in holders or not holders:
            return plain
        if plain in self.labels:  # only as the prototype of a function
            return plain
        return self._most_common(holders) or plain

    def _declared(self) -> dict[Tag, Label]:
        """What a declaration of each name means."""
        return {tag: self.stands_for(look) for tag, look in self.defaults.items()}

    def meaning(self, node: int) -> Hashable:
        """The class of a node."""
        this = self.nodes[node]
        if this.tag and this.declared:
            return self.declared.get(this.tag, ("declared", this.tag))
        return self.labels[node]

    def target(self, members: Sequence[int], place: int) -> Hashable:
        """What a class refers to at a place: what those that are it know best."""
        targets = [self.nodes[m].to[place] for m in members]
        # Nothing is its own member.
        own = self.labels[members[0]]
        targets = [n for n in targets if self.labels[n] != own] or targets
        variants = {self.labels[n] for n in targets if self.labels[n][1]}
        if variants:
            most = max(len(v[1]) for v in variants)
            best = sorted((v for v in variants if len(v[1]) == most), key=repr)
            return best[0] if len(best) == 1 else self.choose(best)
        first = targets[0]
        tag = self.nodes[first].tag
        if tag:
            return self.declared.get(tag, ("declared", tag))
        return self.stands_for(self.looks[first])


def classes(nodes: Sequence[Node]) -> list[int]:
    """The class of each node, where no name is declared: what nothing tells apart is one."""
    labels = _numbered([node.tag for node in nodes])
    count = len(set(labels))
    while True:
        labels = _numbered([(node.words, tuple([labels[n] for n in node.to])) for node in nodes])
        if len(set(labels)) == count:
            return labels
        count = len(set(labels))


def _numbered(values: Iterable[Hashable]) -> list[int]:
    known: dict[Hashable, int] = {}
    return [known.setdefault(value, len(known)) for value in values]


class Model:
    """The types of a world. `nodes` has a node for each type of each unit, and for what the link
    adds; the classes of `wanted` are the BTF. FUNC, VAR and what goes with them are `added`: they
    are classes by themselves."""

    def __init__(self, world: World, choose: Choose[Label] = lambda options: options[0]) -> None:
        self.world = world
        self.nodes: list[Node] = [VOID]
        self.wanted: list[int] = []
        self.added: list[Node] = []
        self.starts: list[int] = []
        """Of each unit: the node before its first type."""
        for number, source in enumerate(world):
            self.starts.append(len(self.nodes) - 1)
            if not source.rust:
                self._types(number, source)
        self._functions()
        self._variables()
        self.refinement = Refinement(self.nodes, choose)
        self.classes = _numbered(self.refinement.meaning(i) for i in range(len(self.nodes)))

    def _add(self, node: Node) -> int:
        node.counted = True
        self.nodes.append(node)
        self.wanted.append(len(self.nodes) - 1)
        return self.wanted[-1]

    def _add_apart(self, node: Node) -> int:
        """Its number among the added ones, negative."""
        self.added.append(node)
        return -len(self.added)

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
                index = self._add(Node(("INT", "int", 4, True), unit=unit))
                node.to = [*node.to, index]
            for component, value in this.tags:
                if this.kind == "ptr":
                    node.to = [self._add(Node(("TYPE_TAG", value), node.to, unit=unit))]
                else:
                    words = ("DECL_TAG", value, component)
                    self._add(Node(words, [start + number], unit=unit))

    def _functions(self) -> None:
        candidates: dict[str, list[tuple[int, Function, int]]] = {}
        for unit, source in enumerate(self.world):
            for function in source.functions:
                start = self.starts[unit]
                to = [
                    start + n if n else 0 for n in (function.to, *(p.to for p in function.params))
                ]
                words = ("FUNC_PROTO", tuple(p.name for p in function.params))
                self.nodes.append(Node(words, to, unit=unit))
                candidate = (unit, function, len(self.nodes) - 1)
                candidates.setdefault(function.name, []).append(candidate)
        for name, own in candidates.items():
            standing = [c for c in own if c[1].code in ("global", "local")]
            signatures = {_signature(self.world[unit], f) for unit, f, _ in own}
            consistent = all(_alike(a, b) for a, b in combinations(signatures, 2))
            if len(standing) != 1 or not consistent:
                continue
            _, function, proto = standing[0]
            self.wanted.append(proto)
            func = self._add_apart(Node(("FUNC", name), [proto]))
            for component, value in function.tags:
                self._add_apart(Node(("DECL_TAG", value, component), [func]))

    def _variables(self) -> None:
        entries: list[tuple[int, int]] = []
        nodes: list[int] = []
        end = size_of_all = 0
        for unit, source in enumerate(self.world):
            for variable in source.variables:
                size = source.size(variable.to)
                if size and not source.rust:
                    words = ("VAR", variable.name, variable.code == "global", end)
                    nodes.append(self._add_apart(Node(words, [self.starts[unit] + variable.to])))
                    entries.append((end, size))
                    size_of_all = end + size
                end += max(worlds.SLOT, -(-size // worlds.SLOT) * worlds.SLOT)
        if nodes:
            self._add_apart(Node(("DATASEC", worlds.PERCPU, size_of_all, tuple(entries)), nodes))

    def expected(self) -> list[Node]:
        """The types of the BTF, each once; node 0 is void."""
        refinement = self.refinement
        members: dict[Hashable, list[int]] = {}
        for i in range(1, len(self.nodes)):
            if not self.nodes[i].declared:
                members.setdefault(refinement.labels[i], []).append(i)
        places: dict[Hashable, int] = {}
        queue = [refinement.meaning(i) for i in self.wanted]
        edges: list[list[Hashable]] = []
        order: list[Hashable] = []
        while queue:
            label = queue.pop()
            if label in places:
                continue
            places[label] = len(order) + 1
            order.append(label)
            own = members.get(label, [])
            count = len(self.nodes[own[0]].to) if own else 0
            edges.append(
                [
                    0 if self.nodes[own[0]].to[p] == 0 else refinement.target(own, p)
                    for p in range(count)
                ]
            )
            queue += [target for target in edges[-1] if target != 0]
        nodes = [VOID]
        for label, to in zip(order, edges, strict=True):
            own = members.get(label, [])
            words = self.nodes[own[0]].words if own else label
            nodes.append(Node(words, [places[t] if t else 0 for t in to]))
        shift = len(nodes) - 1
        for node in self.added:
            own_to = [shift - n if n < 0 else places[refinement.meaning(n)] for n in node.to]
            nodes.append(Node(node.words, own_to))
        return nodes

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


CHOICES = 64


def difference(world: World, btf: Btf) -> list[str]:
    """Why the BTF is not what the world means."""
    found = of_btf(btf)
    told: list[str] = []
    for choose in every_choice(CHOICES):
        told = unequal(Model(world, choose).expected(), found)
        if not told:
            break
    return told


def unequal(expected: Sequence[Node], found: Sequence[Node]) -> list[str]:
    """Each class of both together has as many nodes of one as of the other."""
    shift = len(expected)
    moved = [Node(node.words, [n + shift for n in node.to]) for node in found]
    labels = classes([*expected, *moved])
    ours, theirs = labels[:shift], labels[shift:]
    told = []
    for what, nodes, own, other in (
        ("missing", expected, ours, theirs),
        ("not expected", found, theirs, ours),
    ):
        left = Counter(other)
        for node, label in zip(nodes, own, strict=True):
            left[label] -= 1
            if left[label] < 0:
                told.append(f"{what}: {node.words}")
    return told


# --- split BTF: not which types there are, but what must be true of any that serves ---------------

_UNJUDGED = ("FUNC", "FUNC_PROTO", "VAR", "DATASEC", "DECL_TAG")


def split_difference(world: World, base: Btf, split: Btf) -> list[str]:
    """Why the split BTF is not what the world means against this base. Each type of the world is
    in one of both, as far as a declaration tells; the split BTF has nothing that is not a type of
    the world, nothing that the base has, and nothing twice."""
    types = Model(world).nodes
    of_base, of_both = of_btf(base), [*of_btf(base), *of_btf(split)[1:]]
    own = range(len(of_base), len(of_both))
    # What is told apart then is not all that could be (docs/architecture.md).
    for nodes in types, of_both:
        if any(_is_of_several_scopes(nodes, n) for n in range(len(nodes))):
            return []
    fits = _fitting(types, of_both)
    told = [
        f"missing: {node.words}"
        for t, node in enumerate(types)
        if node.counted and _kind(node) not in _UNJUDGED and not fits[t]
    ]
    meant = {
        n for t, all_of_it in enumerate(fits) for n in all_of_it if _same(types[t], of_both[n])
    }
    labels = classes(of_both)
    times = Counter(labels)
    for n in own:
        node = of_both[n]
        if _kind(node) in _UNJUDGED:
            continue
        # The index of arrays need not be a type of the world.
        if n not in meant and node.words != ("INT", "int", 4, True):
            told.append(f"of nobody: {node.words}")
        if times[labels[n]] > 1:
            told.append(f"not the only one: {node.words}")
    return told


def _is_of_several_scopes(nodes: Sequence[Node], start: int) -> bool:
    """Does a type mean two definitions of one name, or contain another of its own?"""
    meant: dict[Tag, Hashable] = {}
    queue, met = list(nodes[start].to), {0}
    while queue:
        n = queue.pop()
        tag, is_declared = _name(nodes[n])
        if n not in met and tag is None:
            queue += nodes[n].to
        elif n not in met and tag and not is_declared:
            meant.setdefault(tag, nodes[n].words)
            if meant[tag] != nodes[n].words:
                return True
        met.add(n)
    own, queue, met = _name(nodes[start])[0], list(nodes[start].to), {0}
    while own and queue:
        n = queue.pop()
        if n not in met and _name(nodes[n])[0] == own:
            return True
        if n not in met and _kind(nodes[n]) not in ("PTR", "FUNC_PROTO"):
            queue += nodes[n].to
        met.add(n)
    return False


def _kind(node: Node) -> Hashable:
    return node.words[0] if isinstance(node.words, tuple) else node.words


def _name(node: Node) -> tuple[Tag | None, bool]:
    """The name of a definition or declaration, and whether it is one."""
    match node.words:
        case ("declared", (str(space), str(name))):
            return (space, name), True
        case ("struct" | "union" | "enum" as space, str(name), *_) if name:
            return (space, name), False
    return node.tag, node.declared


def _same(one: Node, other: Node) -> bool:
    return one.words == other.words or (_name(one)[1] and _name(one) == _name(other))


def _fitting(types: Sequence[Node], of_both: Sequence[Node]) -> list[set[int]]:
    """For each type the records that may stand for it: they say the same, all the way down, but
    that one of two may be a declaration."""

    def may(t: Node, n: Node) -> bool:
        (tag, declared), (other, also) = _name(t), _name(n)
        return t.words == n.words or (tag is not None and tag == other and (declared or also))

    fits = [{n for n, record in enumerate(of_both) if may(t, record)} for t in types]
    while True:
        wrong = [
            (t, n)
            for t, node in enumerate(types)
            for n in fits[t]
            if node.words == of_both[n].words
            and any(b not in fits[a] for a, b in zip(node.to, of_both[n].to, strict=True))
        ]
        if not wrong:
            return fits
        for t, n in wrong:
            fits[t].discard(n)
