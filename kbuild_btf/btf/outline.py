# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""One type with offsets, sizes, holes and cache lines, in the format of ``pahole -C NAME``.

A table: each member is a row of the cells type, name, and ``/* offset size */`` (of a bitfield
``offset:bit size``); notes stand between the rows. Types within a type follow it indented.
Offsets are bytes from the start of the outermost type. Rows are collected first and brought into
columns at the end.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from .layout import Layout, Layouts, Place
from .reader import MOST_BYTES, Btf
from .spelling import keyword, plain
from .types import (
    Array,
    Composite,
    Const,
    Enumeration,
    Float,
    FuncProto,
    Ptr,
    Restrict,
    Struct,
    Type,
    Typedef,
    TypeTag,
    Union,
    Volatile,
)

_TAB = 8
# Where names and comments start; types inside a type keep to that.
_NAMES = _TAB + 27
_COMMENTS_OF_STRUCT = _NAMES + 22
_COMMENTS_OF_UNION = _NAMES + 20

# How spelling.plain() writes what is between the braces of a type without a name.
_BODY = "{...}"


@dataclass(slots=True)
class _Row:
    """A line: its cells, the tabs in front, and by how many tabs its columns are narrower."""

    depth: int = 0
    type: str = ""
    name: str = ""
    comment: str = ""
    inset: int = 0

    def text(self, comments: int) -> str:
        """The line; ``comments`` is the column where comments start."""
        start = _TAB * (self.depth + self.inset)
        line = self.type
        if self.name:
            line = f"{line:{max(_NAMES - start - 1, 0)}} {self.name}"
        if self.comment:
            line = f"{line:{max(comments - start - 1, 0)}} {self.comment}"
        return "\t" * self.depth + line if line else ""


@dataclass(frozen=True, slots=True)
class _Scope:
    """Where members are written: indentation, its inset (see _Row), and the offset in bytes."""

    depth: int
    inset: int
    start: int


def outline(btf: Btf, found: Type, cacheline: int = 64) -> str:
    """The text for a struct, union, enum or typedef, without a newline at its end."""
    writer = _Outline(btf, cacheline)
    writer.define(found)
    comments = _COMMENTS_OF_UNION if isinstance(found, Union) else _COMMENTS_OF_STRUCT
    return "\n".join(row.text(comments) for row in writer.rows)


class _Outline:
    """Collects the rows of one type."""

    def __init__(self, btf: Btf, cacheline: int) -> None:
        self.btf = btf
        self.cacheline = cacheline
        self.layouts = Layouts(btf, cacheline)
        self.rows: list[_Row] = []
        self._flexibles: dict[int, str] = {}
        self._line = 0  # the last cache line that was reached

    def define(self, found: Type) -> None:
        """The rows of the type itself."""
        if not isinstance(found, Typedef):
            assert isinstance(found, (Composite, Enumeration))
            if isinstance(found, Enumeration) and not found.values:
                self.rows.append(_Row(0, f"{plain(found)};"))
                return
            self._body(found, plain(found) if found.name else keyword(found), _Scope(0, 0, 0))
            self.rows.append(_Row(0, f"}}{self._attribute(found)};"))
            return
        base, declarator = self._split(found.type_id, found.name)
        words = self._words(base).rstrip()
        if (inner := self._unnamed(base)) is not None:
            head, tail = words.split(_BODY)
            self._body(inner, f"typedef {head.rstrip()}", _Scope(0, 1, 0))
            self.rows.append(_Row(0, f"}}{self._attribute(inner)}{tail} {declarator};"))
        elif self._array(self.btf[found.type_id]):
            self.rows.append(_Row(0, f"typedef {words:26} {declarator};"))
        else:
            self.rows.append(_Row(0, f"typedef {words} {declarator};"))

    # --- declarations -------------------------------------------------------------------

    def _split(self, type_id: int, name: str) -> tuple[int, str]:
        """What a declaration has on the left, as a type, and the declarator on the right.

        A pointer is on the left, unless C has it on the right because of what it points to.
        """
        self.layouts.write()
        found = self.btf[type_id]
        if isinstance(found, FuncProto):
            words = [
                self._type(param.type_id) if param.type_id else "..." for param in found.params
            ]
            return self._split(found.type_id, f"({name})({', '.join(words) or 'void'})")
        if (array := self._array(found)) is not None:
            count, element = array
            base, declarator = self._split(element, f"({name})" if name.startswith("*") else name)
            return base, f"{declarator}[{count}]"
        if self._is_wrapped(found):
            word = "*" if isinstance(found, Ptr) else f" {_qualifier(found)} "
            (target,) = found.references()
            return self._split(target, f"{word}{name}".rstrip())
        return type_id, name

    def _array(self, found: Type) -> tuple[int, int] | None:
        """Number of elements in all dimensions, those in typedefs as well, and their type.

        Qualifiers of an array are passed over: its elements have the same.
        """
        for _ in range(len(self.btf)):
            if not isinstance(found, (Const, Volatile)):
                break
            found = self.btf[found.type_id]
        else:
            raise RecursionError
        if not isinstance(found, Array):
            return None
        count, element = found.nelems, found.type_id
        while isinstance(inner := self.btf.strip(element), Array):
            count, element = min(count * inner.nelems, MOST_BYTES), inner.type_id
        return count, element

    def _is_wrapped(self, found: Type) -> bool:
        """Do pointers lead to a function or an array?"""
        if isinstance(found, (Ptr, Const, Volatile, Restrict)):
            return self._is_wrapped(self.btf[found.type_id])
        return isinstance(found, (FuncProto, Array))

    def _type(self, type_id: int) -> str:
        """A type without a name."""
        base, declarator = self._split(type_id, "")
        return " ".join(filter(None, (self._words(base), declarator)))

    def _words(self, type_id: int) -> str:
        """The left side of a declaration; what has no name is ``struct {...}``."""
        found = self.btf[type_id]
        match found:
            case Const() | Volatile():
                end = "" if isinstance(self.btf[found.type_id], Ptr) else " "
                return f"{_qualifier(found)} {self._words(found.type_id)}{end}"
            case Restrict():
                return f"{self._words(found.type_id)} restrict"
            case TypeTag():
                return self._words(found.type_id)
            case Ptr():
                target = self.btf[found.type_id]
                if isinstance(target, Const) and isinstance(self.btf[target.type_id], Ptr):
                    return f"{self._words(target.type_id)} const *"
                return f"{self._words(found.type_id)} *"
            case Float():
                return f"single {found.name}"
        return plain(found)

    def _unnamed(self, type_id: int) -> Composite | Enumeration | None:
        """The type without a name that has to be written out in a declaration."""
        found = self.btf[type_id]
        if isinstance(found, (Ptr, TypeTag, Const, Volatile, Restrict)):
            return self._unnamed(found.type_id)
        if isinstance(found, (Composite, Enumeration)) and not found.name:
            return found
        return None

    def _attribute(self, found: Composite | Enumeration) -> str:
        """What stands behind the closing brace."""
        if isinstance(found, Enumeration):
            return " __attribute__((__packed__))" if found.size != 4 else ""
        layout = self.layouts.of(found)
        return " __attribute__((__packed__))" if layout.packed else _aligned(layout.aligned)

    # --- bodies -------------------------------------------------------------------------

    def _body(self, found: Composite | Enumeration, head: str, scope: _Scope) -> None:
        """From ``head`` to the last line before the closing brace."""
        self.rows.append(_Row(scope.depth, f"{head} {{"))
        inner = replace(scope, depth=scope.depth + 1)
        if isinstance(found, Enumeration):
            width = max((len(value.name) for value in found.values), default=0)
            for value in found.values:
                self.rows.append(_Row(inner.depth, f"{value.name:{width}} = {value.value},"))
        elif isinstance(found, Struct):
            self._struct(self.layouts.of(found), inner)
            if not scope.depth:
                self._summary(found)
        else:
            reached = self._line
            for place in self.layouts.of(found).places:
                self._member(place, inner)
                self._line = reached

    def _struct(self, layout: Layout, scope: _Scope) -> None:
        last = None
        for place in layout.places:
            self._transition(last, place, scope.depth)
            self._boundary(scope.start + place.offset, scope.depth)
            self._member(place, scope, place is layout.places[-1])
            last = place
        if last is not None:
            self._notes(scope.depth, self._inside(last))
        if self.rows[-1] == _Row():
            self.rows.pop()

    def _member(self, place: Place, scope: _Scope, last: bool = False) -> None:
        """A row, or several for a type without a name; ``last``: in a struct, at its end."""
        member = place.member
        base, declarator = self._split(member.type_id, member.name)
        # C allows an array without a length behind other members only.
        if last and place.offset:
            declarator = re.sub(r"\[0\]$", "[]", declarator)
        width = f":{member.bit_size}" if member.bit_size else ""
        end = f"{width}{_aligned(place.aligned)};"
        offset = scope.start + place.offset
        at = f"{offset:5}:{place.shift:2} {place.size:2}" if width else f"{offset:5} {place.size:5}"
        comment = f"/* {at} */"
        words = self._words(base).rstrip()
        inner = self._unnamed(base)
        if inner is None:
            self.rows.append(_Row(scope.depth, words, declarator + end, comment, scope.inset))
            return
        head, pointers = words.split(_BODY)
        inside = replace(scope, start=offset)
        if pointers.strip():
            inside = replace(scope, inset=scope.inset + 1, start=0)
        self._body(inner, head.rstrip(), inside)
        tail = " ".join(filter(None, (pointers.strip(), declarator)))
        text = f"}}{self._attribute(inner)}{' ' if tail else ''}{tail}{end}"
        if pointers.strip() or declarator != member.name:
            # Offset and size are not those of what is in the braces.
            self.rows.append(_Row(scope.depth, f"{text} {comment}"))
        else:
            self.rows.append(_Row(scope.depth, text, comment=comment, inset=scope.inset))

    # --- notes --------------------------------------------------------------------------

    def _notes(self, depth: int, notes: Iterable[str]) -> None:
        """Comments, with an empty line on either side."""
        rows = [_Row(depth, f"/* {note} */") for note in notes]
        if rows:
            before = [] if self.rows[-1] == _Row() else [_Row()]
            self.rows += [*before, *rows, _Row()]

    def _boundary(self, offset: int, depth: int) -> None:
        """A line where a new cache line has begun since the last member."""
        line, past = divmod(offset, self.cacheline)
        if line > self._line:
            self._line = line
            ago = f" was {_count(past, 'byte')} ago" if past else ""
            where = f"cacheline {line} boundary ({line * self.cacheline} bytes){ago}"
            self.rows.append(_Row(depth, f"/* --- {where} --- */"))

    def _transition(self, last: Place | None, place: Place, depth: int) -> None:
        """What there is to say between two members."""
        notes = self._inside(last) if last else []
        gap = place.gap
        if gap.bits:
            notes.append(f"XXX {_count(gap.bits, 'bit')} hole, try to pack")
        if gap.bytes:
            notes.append(f"XXX {_count(gap.bytes, 'byte')} hole, try to pack")
        together = _combined(last, place) if last else ""
        if gap.bits and place.member.bit_size:
            # A bitfield without a name would leave this gap, one of no width go to the next unit.
            words = self._words(place.member.type_id)
            filler = _Row(depth, words, f":{gap.bits};")
            if last is None or last.offset != place.offset:
                self._notes(depth, notes)
                notes = ["Force alignment to the next boundary:"]
                filler = replace(filler, name=":0;")
            self._notes(depth, notes)
            self.rows[-1:] = [filler, _Row()]
            notes = []
        if together:
            notes.append(f"Bitfield combined with {together} fields")
        self._notes(depth, notes)

    def _inside(self, place: Place) -> list[str]:
        """What the struct that a member is has in it; not said of types behind a typedef."""
        if not isinstance(place.type, Struct):
            return []
        layout = self.layouts.of(place.type)
        found = [
            {"end": "a flexible array", "middle": "embedded flexible array(s)"}.get(
                self._flexible(place.type), ""
            ),
            layout.tail.bytes and f"{_count(layout.tail.bytes, 'byte')} of padding",
            layout.tail.bits and f"{_count(layout.tail.bits, 'bit')} of padding",
            layout.holes and _count(layout.holes, "hole"),
            layout.bit_holes and _count(layout.bit_holes, "bit hole"),
        ]
        words = ", ".join(str(words) for words in found if words)
        return [f"XXX last struct has {words}"] if words else []

    def _flexible(self, found: Type) -> str:
        """Where a struct has an array of no elements: at its "end", or in a struct in it."""
        if not isinstance(found, Struct) or not found.members:
            return ""
        if found.id not in self._flexibles:
            self._flexibles[found.id] = self._find_flexible(found)
        return self._flexibles[found.id]

    def _find_flexible(self, found: Struct) -> str:
        kinds = [self.btf.strip(member.type_id) for member in found.members]
        if isinstance(kinds[-1], Array) and not self.btf.sizeof(found.members[-1].type_id):
            return "end"
        return "middle" if any(map(self._flexible, kinds)) else ""

    # --- summary ------------------------------------------------------------------------

    def _summary(self, found: Struct) -> None:
        """The lines at the end of a struct."""
        layout = self.layouts.of(found)
        places, gaps, tail = layout.places, layout.gaps, layout.tail
        whole = sum(place.size for place in places if not place.member.bit_size)
        fields = sum(place.member.bit_size for place in places)
        lines = -(-found.size // self.cacheline)
        notes = [f"size: {found.size}, cachelines: {lines}, members: {len(places)}"]
        hole_bytes, hole_bits = sum(g.bytes for g in gaps), sum(g.bits for g in gaps)
        if layout.holes or layout.bit_holes:
            holes = f", holes: {layout.holes}, sum holes: {hole_bytes}" if layout.holes else ""
            if whole or holes:
                notes.append(f"sum members: {whole}{holes}")
            if fields:
                holes = f" ({fields // 8} bytes)"
                if layout.bit_holes:
                    holes = f", bit holes: {layout.bit_holes}, sum bit holes: {hole_bits} bits"
                notes.append(f"sum bitfield members: {fields} bits{holes}")
        if tail.bytes:
            notes.append(f"padding: {tail.bytes}")
        notes += self._summary_of_inside(found)
        if tail.bits:
            notes.append(f"bit_padding: {tail.bits} bits")
        forced = [place.gap.bytes for place in places if place.aligned]
        if forced:
            holes = ""
            if any(forced):
                count = sum(map(bool, forced))
                holes = f", forced holes: {count}, sum forced holes: {sum(forced)}"
            notes.append(f"forced alignments: {len(forced)}{holes}")
        kinds = Counter(self._flexible(place.type) for place in places)
        flexible = [f"{where}: {kinds[where]}" for where in ("end", "middle") if kinds[where]]
        if flexible:
            notes.append(f"flexible array members: {', '.join(flexible)}")
        if found.size % self.cacheline:
            notes.append(f"last cacheline: {found.size % self.cacheline} bytes")
        told = whole + hole_bytes + tail.bytes
        if missing := found.size * 8 - (told * 8 + fields + hole_bits + tail.bits):
            notes.append(f"XXX members, holes and padding differ from the size by {missing} bits")
        self._notes(1, notes)
        self.rows.pop()

    def _summary_of_inside(self, found: Struct) -> list[str]:
        """How much is unused in the structs that are members."""
        inside = [
            self.layouts.of(place.type)
            for place in self.layouts.of(found).places
            if isinstance(place.type, Struct)
        ]
        words = [
            _total("holes", [layout.holes for layout in inside]),
            _total("bit holes", [layout.bit_holes for layout in inside]),
            _total("bit paddings", [layout.tail.bits for layout in inside], "bit"),
        ]
        paddings = [layout.tail.bytes for layout in inside if layout.tail.bytes]
        notes = []
        if any(words):
            notes.append("member types with " + ", ".join(filter(None, words)))
        if paddings:
            notes.append(f"paddings: {len(paddings)}, sum paddings: {sum(paddings)}")
        return notes


def _qualifier(found: Type) -> str:
    return found.kind.name.lower()


def _combined(last: Place, place: Place) -> str:
    """Whose storage unit two members share, the "previous" or the "next" one's, if they do."""
    either = last.member.bit_size or place.member.bit_size
    both = last.member.bit_size and place.member.bit_size
    if not either or not last.size or (both and last.offset == place.offset):
        return ""
    if last.offset < place.offset:
        return "next" if place.offset < last.end else ""
    return "previous" if last.offset < place.end else ""


def _aligned(to: int) -> str:
    return f" __attribute__((__aligned__({to})))" if to else ""


def _total(what: str, amounts: list[int], unit: str = "") -> str:
    """In how many members there is something, and how much; nothing if there is none."""
    some = [amount for amount in amounts if amount]
    total = _count(sum(some), unit) if unit else sum(some)
    return f"{what}: {len(some)}, total: {total}" if some else ""


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"
