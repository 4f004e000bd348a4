# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What differs in meaning between two BTFs, whatever their ids, order and strings.

Every type gets an identity that says what it is in its own words. Where it mentions a type that
has a name, the identity holds kind and name only, so that a struct that changed is reported once
and not with everything that points to it; unnamed types are spelled out. A name with several
definitions would hide which one is meant; there, the mention holds the definition as well.

Types without names (PTR, CONST, FUNC_PROTO, ...) are compared as multisets of identities. Of what
is on one side only, a part merely follows from functions and variables that are on that side
only or differ: types reachable from those and from nothing else. They are kept apart.

Of split BTF only its own types are compared. One that says what a type of its base says already is
counted as repeated and not as a difference: it adds bytes and no meaning.
"""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TypeGuard

from . import rules
from .btf import (
    Array,
    Btf,
    Composite,
    Datasec,
    DeclTag,
    Enumeration,
    Float,
    Func,
    FuncProto,
    Fwd,
    Int,
    Kind,
    LocParam,
    LocProto,
    Locsec,
    Member,
    Ptr,
    Reference,
    Type,
    Typedef,
    TypeTag,
    Unknown,
    Var,
)
from .btf.layout import Layouts
from .btf.raw import linkage
from .btf.spelling import Spare, declare, keyword, parameters, places, plain
from .errors import Error
from .rules import Rule

Name = tuple[str, str]
"""(namespace, name): what two types have in common that may be the same type."""


@dataclass(frozen=True, slots=True)
class Aspect:
    """What differs of a type that both sides have: in words, and by which rule it is judged."""

    rule: Rule
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Item:
    """A type that one side has: its name, a line about it, and by which rule that is judged."""

    name: str
    text: str
    rule: Rule
    type: Type

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Change:
    """A named type that both sides have, and what differs."""

    name: str
    what: list[Aspect]
    a: Type
    b: Type


@dataclass(slots=True)
class KindDiff:
    """One kind: counts on both sides, and each difference in words."""

    kind: Kind
    a: int = 0
    b: int = 0
    only_a: list[Item] = field(default_factory=list)
    only_b: list[Item] = field(default_factory=list)
    changed: list[Change] = field(default_factory=list)
    follows_a: list[Item] = field(default_factory=list)
    follows_b: list[Item] = field(default_factory=list)
    repeated_a: int = 0
    repeated_b: int = 0

    @property
    def differs(self) -> bool:
        return bool(self.only_a or self.only_b or self.changed or self.follows_a or self.follows_b)


@dataclass(frozen=True, slots=True)
class Difference:
    """Kind by kind, in the order of the kinds' numbers; kinds without types are left out."""

    kinds: tuple[KindDiff, ...]

    @property
    def same(self) -> bool:
        """Do both mean the same?"""
        return not any(kind.differs for kind in self.kinds)


def diff(a: Btf, b: Btf) -> Difference:
    """What differs in meaning between two BTFs, whatever their ids, order and strings.

    Of split BTF only its own types are compared; what they mention of the base counts, what they
    repeat of it does not. Raises Error for types of kinds that are not known: what they mean cannot
    be compared.
    """
    return Difference(tuple(_Comparison(a, b).result()))


def _namespace(found: Type) -> str:
    """Where the name of a type counts; nothing for kinds that are compared without a name."""
    match found:
        case Composite() | Fwd() | Enumeration():
            return keyword(found) if found.name else ""
        case Typedef() | Int() | Float() | Func() | Var() | Datasec() | Locsec():
            return found.kind.name.lower()
    return ""


def _is_definition(found: Type) -> bool:
    """Whether a mention of the name may have to tell this type from another of the name."""
    if isinstance(found, Enumeration):
        return bool(found.values)
    return not isinstance(found, (Fwd, Func, Var, Datasec, LocParam, LocProto, Locsec))


@functools.lru_cache(8)
def _definitions(btf: Btf) -> Mapping[Name, Sequence[int]]:
    """Own types that a mention of the name may mean."""
    found: defaultdict[Name, list[int]] = defaultdict(list)
    for own in btf:
        if _is_definition(own) and (space := _namespace(own)):
            found[space, own.name].append(own.id)
    return found


@functools.lru_cache(8)
def _several(btf: Btf) -> frozenset[Name]:
    """Names with several definitions among its own types."""
    return frozenset(name for name, ids in _definitions(btf).items() if len(ids) > 1)


class _Side:
    """One BTF and the identities of its types.

    ``interned``, shared by both sides, makes equal descriptions one number.
    """

    def __init__(self, btf: Btf, interned: dict[Hashable, int]) -> None:
        self.btf = btf
        self.interned = interned
        self.identities: dict[int, int] = {}
        # Those of the base's types, where they are known; shared by all that have the base.
        self.of_base: Mapping[int, int] = {}
        self.in_base: frozenset[int] | None = None  # the same, without the ids
        self.colours: dict[int, int] = {}  # which of several definitions of a name
        self.placed: dict[int, tuple[str, int, int]] = {}  # VAR or FUNC: section, offset, size
        self.tags: defaultdict[int, list[int]] = defaultdict(list)
        for found in btf:
            if isinstance(found, Datasec):
                for entry in found.entries:
                    place = found.name, entry.offset, entry.size
                    # Listed twice (nobody should): the same choice in any order of sections.
                    self.placed[entry.type_id] = min(place, self.placed.get(entry.type_id, place))
            elif isinstance(found, DeclTag):
                self.tags[found.type_id].append(found.id)

    def identity(self, type_id: int) -> int:
        # They count from 1, so that none is false.
        known = self.identities.get(type_id) or self.of_base.get(type_id)
        if known is None:
            description = self._describe(self.btf[type_id])
            known = self.interned.setdefault(description, len(self.interned) + 1)
            self.identities[type_id] = known
        return known

    def mention(self, type_id: int) -> Hashable:
        """What a type that refers to this one says about it."""
        if not type_id:
            return 0
        found = self.btf[type_id]
        space = _namespace(found)
        if not space:
            return self.identity(type_id)
        colour = self.colours.get(type_id)
        return (space, found.name) if colour is None else (space, found.name, colour)

    def _describe(self, found: Type) -> Hashable:
        mention = self.mention
        head = found.kind.value, found.name
        match found:
            case DeclTag():
                return *head, found.component, found.attribute, mention(found.type_id)
            case TypeTag():
                return *head, found.attribute, mention(found.type_id)
            case Func():
                return *head, found.linkage, mention(found.type_id)
            case Var():
                return *head, found.linkage, mention(found.type_id), self.placed.get(found.id)
            case Reference():
                return *head, mention(found.type_id)
            case FuncProto():
                params = tuple((p.name, mention(p.type_id)) for p in found.params)
                return *head, mention(found.type_id), params
            case Composite():
                members = tuple(
                    (m.name, m.bit_offset, m.bit_size, mention(m.type_id)) for m in found.members
                )
                return *head, found.size, members
            case Array():
                return *head, found.nelems, mention(found.type_id), mention(found.index_type_id)
            case Enumeration():
                values = tuple((v.name, v.value) for v in found.values)
                return *head, found.size, found.signed, values
            case Int():
                return *head, found.size, found.encoding, found.bit_offset, found.bits
            case Float():
                return *head, found.size
            case Fwd():
                return *head, found.is_union
            case Datasec():
                entries = tuple((mention(e.type_id), e.offset, e.size) for e in found.entries)
                return *head, found.size, entries
            case Unknown():
                raise Error(
                    f"kind {found.number} is not known, so that it cannot be compared",
                    f"{found.btf.where}, type [{found.id}]",
                    "a newer kbuild-btf may know it",
                )
            case LocParam():
                return *head, found.size, found.flags, found.values
            case LocProto():
                return *head, tuple(mention(param) for param in found.params)
            case Locsec():
                # They stand in the order of ids, which says nothing.
                return *head, frozenset(self.sites(found).items())
        return head

    def sites(self, found: Locsec) -> Counter[Hashable]:
        """What a section says of each site."""
        mention = self.mention
        return Counter((mention(s.func_id), mention(s.loc_proto_id), s.offset) for s in found.sites)

    def repeated(self) -> set[int]:
        """Own types that are in the base as well; functions and variables are never the same."""
        if not self.btf.base:
            return set()
        if self.in_base is None:
            self.in_base = frozenset(self.identity(i) for i in range(1, len(self.btf.base)))
        base = self.in_base
        own = (t.id for t in self.btf if not isinstance(t, (Func, Var, Datasec, DeclTag, Locsec)))
        return {type_id for type_id in own if self.identity(type_id) in base}

    def edges(self, type_id: int) -> Iterable[int]:
        """Types that are there because of this one: what it mentions, and its DECL_TAGs.

        A DATASEC only says where variables are, a LOCSEC where functions were inlined.
        """
        found = self.btf[type_id]
        if isinstance(found, (Datasec, DeclTag, Locsec)):
            return ()
        return chain(found.references(), self.tags.get(type_id, ()))

    def reach(self, starts: Iterable[int]) -> set[int]:
        """Own types reachable from ``starts``, those included."""
        reached = set(starts)
        todo = list(reached)
        first = self.btf.start
        while todo:
            for type_id in self.edges(todo.pop()):
                if type_id >= first and type_id not in reached:
                    reached.add(type_id)
                    todo.append(type_id)
        return reached

    def following(self, causes: set[int]) -> set[int]:
        """Types that only ``causes`` (functions and variables) bring along."""
        if not causes:
            return set()
        reached = self.reach(causes)
        others = (
            found.id
            for found in self.btf
            if found.id not in reached and not isinstance(found, (Datasec, DeclTag, Locsec))
        )
        return reached - self.reach(others) - causes

    # --- words --------------------------------------------------------------------------------

    def words(self, type_id: int) -> str:
        """The type in C; of unnamed structs and enums the first names they hold."""
        return declare(self.btf, type_id, base=brief, spare=Spare())

    def item(self, found: Type, rule: Rule) -> Item:
        """A type that the other side lacks."""
        name = found.name if isinstance(found, (Func, Var, Typedef, Datasec)) else plain(found)
        return Item(name, self._line(found), rule, found)

    def _line(self, found: Type) -> str:
        match found:
            case Func():
                return f"{linkage(found.linkage)} {self.prototype(found)}"
            case Var():
                place = self.placed.get(found.id)
                where = f" in {place[0]} at {place[1]}" if place else ""
                what = declare(self.btf, found.type_id, found.name, brief, Spare())
                return f"{linkage(found.linkage)} {what}{where}"
            case Typedef():
                return f"typedef {declare(self.btf, found.type_id, found.name, brief, Spare())}"
            case Composite():
                return f"{brief(found)} (size {found.size}, {len(found.members)} members)"
            case Datasec():
                return f"{found.name} (size {found.size}, {len(found.entries)} entries)"
            case DeclTag():
                target = self.btf[found.type_id]
                part = f", component {found.component}" if found.component >= 0 else ""
                return f"{found.name} on {target.kind.name} {plain(target)}{part}"
            case Int():
                return f"{found.name} ({found.bits} bits, encoding {found.encoding})"
            case LocParam():
                return f"{found.place} ({found.size} bytes)"
            case LocProto():
                return places(found)
            case Locsec():
                return f"{found.name} ({len(found.sites)} sites)"
        return self.words(found.id)

    def prototype(self, found: Func) -> str:
        proto = self.btf[found.type_id]
        if not isinstance(proto, FuncProto):
            return found.name
        returned = self.words(proto.type_id)
        return f"{returned} {found.name}{parameters(self.btf, proto, brief, Spare())}"


class _Comparison:
    def __init__(self, a: Btf, b: Btf) -> None:
        interned: dict[Hashable, int] = {}
        self.a = _Side(a, interned)
        self.b = _Side(b, interned)
        self._colour()

    def _colour(self) -> None:
        """Number the definitions of names that have several, until nothing more splits."""
        sides = self.a, self.b
        several: set[Name] = set()
        added: set[Name] = set()
        of_bases: set[Name] = set()
        for side in sides:
            own, base = _definitions(side.btf), side.btf.base
            several |= _several(side.btf)
            if base:
                of_bases |= _several(base)
                several |= own.keys() & _definitions(base).keys()
            added |= own.keys()
        if self.a.btf.base and self.b.btf.base and not of_bases & added:
            _of_bases(self.a.btf.base, self.b.btf.base).hand_on(self)
            self._colour_own(several)
            return
        several |= of_bases
        ids = [
            [
                type_id
                for btf in (side.btf.base, side.btf)
                if btf
                for name in several
                for type_id in _definitions(btf).get(name, ())
            ]
            for side in sides
        ]
        count = 0
        while True:
            colours = []
            for side, several_ids in zip(sides, ids, strict=True):
                side.identities.clear()
                colours.append({type_id: side.identity(type_id) for type_id in several_ids})
                side.identities.clear()
            split = len({colour for chosen in colours for colour in chosen.values()})
            if split == count:
                return
            count = split
            for side, numbers in zip(sides, colours, strict=True):
                side.colours = numbers

    def _colour_own(self, several: set[Name]) -> None:
        """The same for definitions of split BTF whose names have one in the base at most.

        The base's types mean that one, so that nothing changes there; and so does who mentions an
        own one that says the same.
        """
        sides = self.a, self.b
        ids = [[i for n in several for i in _definitions(s.btf).get(n, ())] for s in sides]
        of_base = [dict(side.colours) for side in sides]
        count = 0
        while True:
            numbers = [
                [side.identity(i) for i in own] for side, own in zip(sides, ids, strict=True)
            ]
            split = len({number for of_side in numbers for number in of_side})
            if split == count:
                return
            count = split
            for side, own, of_side, base in zip(sides, ids, numbers, of_base, strict=True):
                assert side.in_base is not None
                found = zip(own, of_side, strict=True)
                side.colours = {**base, **{i: n for i, n in found if n not in side.in_base}}
                side.identities.clear()

    def hand_on(self, split: _Comparison) -> None:
        """The same colours and identities to a comparison above."""
        for mine, other in ((self.a, split.a), (self.b, split.b)):
            other.interned = mine.interned
            other.colours = mine.colours
            other.of_base = mine.identities
            other.in_base = mine.in_base

    def result(self) -> list[KindDiff]:
        kinds = {kind: KindDiff(kind) for kind in Kind}
        named: defaultdict[Name, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        unnamed: tuple[list[int], list[int]] = ([], [])
        for number, side in enumerate((self.a, self.b)):
            repeated = side.repeated()
            for found in side.btf:
                diff = kinds[found.kind]
                if number:
                    diff.b += 1
                    diff.repeated_b += found.id in repeated
                else:
                    diff.a += 1
                    diff.repeated_a += found.id in repeated
                if found.id in repeated:
                    continue
                space = _namespace(found)
                (named[space, found.name] if space else unnamed)[number].append(found.id)

        only: tuple[list[int], list[int]] = ([], [])
        causes: tuple[set[int], set[int]] = (set(), set())
        for group in chain([unnamed], named.values()):
            rest_a, rest_b = self._differences(*group)
            if group is not unnamed:
                for number, side, rest in ((0, self.a, rest_a), (1, self.b, rest_b)):
                    causes[number].update(i for i in rest if isinstance(side.btf[i], (Func, Var)))
                if len(rest_a) == len(rest_b) == 1:
                    a, b = self.a.btf[rest_a[0]], self.b.btf[rest_b[0]]
                    kind = a.kind if isinstance(b, Fwd) else b.kind
                    kinds[kind].changed.append(self._change(plain(b), a, b))
                    continue
            else:
                rest_a, rest_b = self._unnamed_enums(rest_a, rest_b, kinds)
            only[0].extend(rest_a)
            only[1].extend(rest_b)

        for number, side in enumerate((self.a, self.b)):
            follows = side.following(causes[number]) if only[number] else set()
            for type_id in only[number]:
                found = side.btf[type_id]
                diff = kinds[found.kind]
                if type_id in follows:
                    target = diff.follows_b if number else diff.follows_a
                else:
                    target = diff.only_b if number else diff.only_a
                target.append(side.item(found, _rule_of(found, bool(number))))
        for diff in kinds.values():
            for items in (diff.only_a, diff.only_b, diff.follows_a, diff.follows_b):
                items.sort(key=lambda item: item.text)
            diff.changed.sort(key=lambda change: change.name)
        return [diff for diff in kinds.values() if diff.a or diff.b]

    def _differences(self, a: list[int], b: list[int]) -> tuple[list[int], list[int]]:
        """Ids whose identity the other side has less often."""
        left, right = self.a.identity, self.b.identity
        if len(a) == len(b) == 1 and left(a[0]) == right(b[0]):
            return [], []
        return (
            list(_missing(a, left, Counter(map(right, b)))),
            list(_missing(b, right, Counter(map(left, a)))),
        )

    def _unnamed_enums(
        self, a: list[int], b: list[int], kinds: Mapping[Kind, KindDiff]
    ) -> tuple[list[int], list[int]]:
        """Report enums without a name as changed that have the name of a value in common, which is
        known everywhere. Returns the others of both sides."""
        by_value = {
            value.name: found
            for found in map(self.b.btf.__getitem__, b)
            if isinstance(found, Enumeration)
            for value in found.values
        }
        done_a: set[int] = set()
        done_b: set[int] = set()
        for one in map(self.a.btf.__getitem__, a):
            if not isinstance(one, Enumeration):
                continue
            other = next((by_value[v.name] for v in one.values if v.name in by_value), None)
            if other and other.id not in done_b:
                kinds[other.kind].changed.append(self._change(brief(other), one, other))
                done_a.add(one.id)
                done_b.add(other.id)
        return [i for i in a if i not in done_a], [i for i in b if i not in done_b]

    # --- changes in words ---------------------------------------------------------------------

    def _change(self, name: str, a: Type, b: Type) -> Change:
        what = list(self._changes(a, b))
        if isinstance(a, Typedef) and isinstance(b, Typedef):
            # The name of a struct that has none of its own.
            x, y = self.a.btf[a.type_id], self.b.btf[b.type_id]
            if is_unnamed(x) and is_unnamed(y) and type(x) is type(y):
                a, b = x, y
                what = list(self._changes(a, b))
        return Change(name, what or [Aspect(rules.MEMBER_ORDER, "grouped otherwise")], a, b)

    def _changes(self, a: Type, b: Type) -> Iterator[Aspect]:
        match a, b:
            case (Fwd(), Composite()):
                text = f"forward declaration in A, defined in B (size {b.size})"
                yield Aspect(rules.DEFINITION_ADDED, text)
            case (Composite(), Fwd()):
                text = f"defined in A (size {a.size}), forward declaration in B"
                yield Aspect(rules.DEFINITION_REMOVED, text)
            case (Composite(), Composite()):
                yield from _changed(rules.SIZE, "size", a.size, b.size)
                yield from self._member_changes(a, b)
            case (Enumeration(), Enumeration()):
                yield from _changed(rules.ENUM_FORM, "kind", a.kind.name, b.kind.name)
                yield from _changed(rules.SIZE, "size", a.size, b.size)
                yield from _changed(rules.ENUM_FORM, "signed", a.signed, b.signed)
                yield from _value_changes(a, b)
            case (Func(), Func()):
                old, new = linkage(a.linkage), linkage(b.linkage)
                yield from _changed(rules.LINKAGE, "linkage", old, new)
                if self.a.mention(a.type_id) != self.b.mention(b.type_id):
                    rule = rules.PROTOTYPE
                    if self._same_but_names(a, b):
                        rule = rules.PARAMETER_NAMES
                    yield Aspect(rule, self._two(self.a.prototype(a), self.b.prototype(b)))
            case (Var(), Var()):
                old, new = linkage(a.linkage), linkage(b.linkage)
                yield from _changed(rules.LINKAGE, "linkage", old, new)
                if self.a.mention(a.type_id) != self.b.mention(b.type_id):
                    words = self._two(self.a.words(a.type_id), self.b.words(b.type_id))
                    yield Aspect(rules.VARIABLE_TYPE, f"type {words}")
                places = self.a.placed.get(a.id), self.b.placed.get(b.id)
                for what, before, after in zip(
                    ("section", "offset", "size in the section"),
                    places[0] or (None,) * 3,
                    places[1] or (None,) * 3,
                    strict=True,
                ):
                    yield from _changed(rules.VARIABLE_MOVED, what, before, after)
            case (Typedef(), Typedef()):
                if self.a.mention(a.type_id) != self.b.mention(b.type_id):
                    same = self._is_spelling(a.type_id, b.type_id)
                    words = self._two(self.a.words(a.type_id), self.b.words(b.type_id))
                    rule = rules.TYPEDEF_SPELLING if same else rules.TYPEDEF
                    yield Aspect(rule, f"type {words}")
            case (Int(), Int()):
                for what in ("size", "bits", "bit_offset", "encoding"):
                    yield from _changed(rules.INTEGER, what, getattr(a, what), getattr(b, what))
            case (Float(), Float()):
                yield from _changed(rules.INTEGER, "size", a.size, b.size)
            case (Datasec(), Datasec()):
                yield from _changed(rules.VARIABLE_MOVED, "size", a.size, b.size)
                yield from self._entry_changes(a, b)
            case (Locsec(), Locsec()):
                left, right = self.a.sites(a), self.b.sites(b)
                for side, more in (("A", left - right), ("B", right - left)):
                    if count := more.total():
                        text = f"{count} {'site' if count == 1 else 'sites'} only in {side}"
                        yield Aspect(rules.INLINE_SITES, text)

    @staticmethod
    def _two(a: str, b: str) -> str:
        return f"{a} (defined differently)" if a == b else f"{a} -> {b}"

    def _is_spelling(self, a: int, b: int) -> bool:
        """Do two types that are mentioned otherwise mean the same, but for typedefs and
        qualifiers?"""
        while True:
            x, y = self.a.btf.strip(a), self.b.btf.strip(b)
            if self.a.mention(x.id) == self.b.mention(y.id):
                return True
            if not (isinstance(x, Ptr) and isinstance(y, Ptr)):
                return False
            a, b = x.type_id, y.type_id

    def _same_but_names(self, a: Func, b: Func) -> bool:
        """Do two functions take and return the same, by whatever names?"""
        x, y = self.a.btf[a.type_id], self.b.btf[b.type_id]
        if not (isinstance(x, FuncProto) and isinstance(y, FuncProto)):
            return False
        old = [self.a.mention(i) for i in (x.type_id, *(p.type_id for p in x.params))]
        new = [self.b.mention(i) for i in (y.type_id, *(p.type_id for p in y.params))]
        return old == new

    def _member_changes(self, a: Composite, b: Composite) -> Iterator[Aspect]:
        old, new = members(a), members(b)
        for name in [n for n in old if n not in new]:
            words = self.a.words(old[name].type_id)
            yield Aspect(rules.MEMBER_REMOVED, f"{name} only in A: {words}")
        for name in [n for n in new if n not in old]:
            words = self.b.words(new[name].type_id)
            yield Aspect(rules.MEMBER_ADDED, f"{name} only in B: {words}")
        moved: list[Aspect] = []
        for name in [n for n in old if n in new]:
            x, y = old[name], new[name]
            yield from self._member_type(name, x, y)
            yield from _changed(rules.MEMBER_TYPE, f"{name}: bits", x.bit_size, y.bit_size)
            moved += _changed(rules.MEMBER_MOVED, f"{name}: offset", offset(x), offset(y))
        yield from moved
        if not moved and old.keys() == new.keys() and list(old) != list(new):
            yield Aspect(rules.MEMBER_ORDER, "order of members")

    def _member_type(self, name: str, x: Member, y: Member) -> Iterator[Aspect]:
        if self.a.mention(x.type_id) == self.b.mention(y.type_id):
            return
        a, b = self.a.btf.strip(x.type_id), self.b.btf.strip(y.type_id)
        if self._is_spelling(x.type_id, y.type_id):
            rule = rules.MEMBER_SPELLING
        elif isinstance(a, Ptr) and isinstance(b, Ptr):
            rule = rules.MEMBER_TARGET
        elif is_unnamed(a) and is_unnamed(b) and type(a) is type(b):
            # What differs are its members, which are told; but what is behind it may have moved.
            yield from _changed(rules.SIZE, f"{name}: size", a.size, b.size)
            return
        else:
            rule = rules.MEMBER_TYPE
        yield Aspect(
            rule, f"{name}: type {self._two(self.a.words(x.type_id), self.b.words(y.type_id))}"
        )

    def _entry_changes(self, a: Datasec, b: Datasec) -> Iterator[Aspect]:
        old = Counter((self.a.btf[e.type_id].name, e.offset, e.size) for e in a.entries)
        new = Counter((self.b.btf[e.type_id].name, e.offset, e.size) for e in b.entries)
        for side, rest in (("A", old - new), ("B", new - old)):
            if rest:
                count = rest.total()
                text = f"{count} {'entry' if count == 1 else 'entries'} only in {side}"
                yield Aspect(rules.VARIABLE_MOVED, text)


@functools.lru_cache(1)
def _of_bases(a: Btf, b: Btf) -> _Comparison:
    """All identities there. Kept, since modules of one kernel are compared one after the other."""
    below = _Comparison(a, b)
    for side in (below.a, below.b):
        side.in_base = frozenset(side.identity(type_id) for type_id in range(1, len(side.btf)))
    return below


def _missing(ids: list[int], identity: Callable[[int], int], other: Counter[int]) -> Iterator[int]:
    for type_id in ids:
        found = identity(type_id)
        if other[found] > 0:
            other[found] -= 1
        else:
            yield type_id


def _changed(rule: Rule, what: str, old: object, new: object) -> Iterator[Aspect]:
    if old != new:
        yield Aspect(rule, f"{what} {old} -> {new}")


def _value_changes(a: Enumeration, b: Enumeration) -> Iterator[Aspect]:
    old = {value.name: value.value for value in a.values}
    new = {value.name: value.value for value in b.values}
    for name in [n for n in old if n not in new]:
        yield Aspect(rules.VALUE_REMOVED, f"{name} only in A")
    for name in [n for n in new if n not in old]:
        yield Aspect(rules.VALUE_ADDED, f"{name} only in B")
    for name in [n for n in old if n in new]:
        yield from _changed(rules.VALUE_CHANGED, name, old[name], new[name])
    if old == new and list(old) != list(new):
        yield Aspect(rules.ENUM_FORM, "order of values")


_RULES = {
    Func: (rules.FUNCTION_REMOVED, rules.FUNCTION_ADDED),
    Var: (rules.VARIABLE_REMOVED, rules.VARIABLE_ADDED),
    DeclTag: (rules.TAG_REMOVED, rules.TAG_ADDED),
}


def _rule_of(found: Type, is_new: bool) -> Rule:
    """By which rule a type is judged that the other side lacks."""
    if isinstance(found, Enumeration) and found.values and not found.name:
        return rules.VALUE_ADDED if is_new else rules.VALUE_REMOVED
    if isinstance(found, (LocParam, LocProto, Locsec)):
        return rules.INLINE_SITES
    if isinstance(found, (Fwd, Datasec)) or (not found.name and not isinstance(found, DeclTag)):
        return rules.UNNAMED
    removed, added = _RULES.get(type(found), (rules.TYPE_REMOVED, rules.TYPE_ADDED))
    return added if is_new else removed


def is_unnamed(found: Type) -> TypeGuard[Composite]:
    """A struct or union without a name: a part of what holds it."""
    return isinstance(found, Composite) and not found.name


def members(found: Composite) -> dict[str, Member]:
    """Members by the words that C finds them with, offsets from the start of this type: those of a
    member without a name by their own names, those of one whose type has no name behind a dot.

    Of a name that occurs twice (nobody should) the last one. Raises Error where there is no end.
    """
    by_path: dict[str, Member] = {}
    layouts = Layouts(found.btf)

    def add(inside: Composite, prefix: str, start: int) -> None:
        for member in inside.members:
            layouts.write()
            path = prefix + member.name
            at = start + member.bit_offset
            inner = found.btf[member.type_id]
            if member.name or not is_unnamed(inner):
                path = path or f"unnamed member at {at // 8}"
                by_path[path] = replace(member, bit_offset=at)
                path += "."
            if is_unnamed(inner):
                add(inner, path if member.name else prefix, at)

    add(found, "", 0)
    return by_path


def offset(member: Member) -> str:
    """Bytes; of a bit-field bits behind a colon."""
    byte, bit = divmod(member.bit_offset, 8)
    return f"{byte}:{bit}" if bit or member.bit_size else str(byte)


def brief(found: Type) -> str:
    """A type's name; of an unnamed struct or enum the first names that it holds."""
    if found.name or not isinstance(found, (Composite, Enumeration)):
        return plain(found)
    parts = found.members if isinstance(found, Composite) else found.values
    names = [part.name or "..." for part in parts]
    shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    return f"{keyword(found)} {{{shown}}}"
