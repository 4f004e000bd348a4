# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""One type as ``pahole -C NAME`` shows it: members with offset and size, holes, cachelines.

The columns follow pahole's: a type in 26 characters (8 fewer per level of nesting), a name in
23, then ``/* offset size */``, bitfields as ``offset:bit``. Offsets are bytes from the start
of the outermost type.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from .layout import Measure, Shape, Slot
from .reader import Btf
from .spelling import keyword
from .types import (
    Array,
    Composite,
    Const,
    Enumeration,
    Float,
    FuncProto,
    Fwd,
    Ptr,
    Restrict,
    Struct,
    Type,
    Typedef,
    TypeTag,
    Union,
    Void,
    Volatile,
)


@dataclass(frozen=True, slots=True)
class _View:
    """How a type is shown at one place."""

    indent: int = 0
    type_width: int = 26
    name_width: int = 23
    base: int = 0  # offset of the enclosing type
    relative: bool = False  # behind a pointer offsets count from the start of the pointee
    suffix: str | None = None  # what follows the closing brace
    summary: bool = True
    first: bool = False
    last: bool = False
    in_union: bool = False

    @property
    def tabs(self) -> str:
        return "\t" * self.indent


@dataclass(slots=True)
class _Sums:
    """What the members of a struct add up to."""

    bytes: int = 0
    bits: int = 0
    holes: int = 0
    bit_holes: int = 0
    forced: int = 0
    forced_holes: list[int] = field(default_factory=list)
    inner_holes: list[int] = field(default_factory=list)
    inner_bit_holes: list[int] = field(default_factory=list)
    inner_padding: list[int] = field(default_factory=list)
    inner_bit_padding: list[int] = field(default_factory=list)
    flexible: int = 0
    embedded_flexible: int = 0


def outline(btf: Btf, found: Type, cacheline: int = 64) -> str:
    """The text for one struct, union, enum or typedef, without a line end."""
    return _Outline(btf, cacheline).text(found)


class _Outline:
    def __init__(self, btf: Btf, cacheline: int) -> None:
        self.btf = btf
        self.measure = Measure(btf, cacheline)
        self.cacheline = cacheline
        self.line = 0  # cacheline of the member at hand

    def text(self, found: Type) -> str:
        view = _View(name_width=21 if isinstance(found, Union) else 23)
        match found:
            case Typedef():
                body = self._typedef(found, view)
            case Enumeration():
                body = self._enum(found, view)
            case Union():
                body = self._union(found, view)
            case _:
                body = self._struct(found, view)
        return body + ";"

    # --- types in words -----------------------------------------------------------------------

    def _name(self, type_id: int) -> str:
        """A type without a declarator; where C needs one, pahole's approximation of it."""
        found = self.btf[type_id]
        match found:
            case Void():
                return "void"
            case Ptr():
                target = self.btf[found.type_id]
                if isinstance(target, Void):
                    return "void *"
                if isinstance(target, Const) and isinstance(self.btf[target.type_id], Ptr):
                    return f"{self._name(target.type_id)} const *"
                return f"{self._name(found.type_id)} *"
            case Const():
                return f"const {self._name(found.type_id)} "
            case Volatile():
                return f"volatile {self._name(found.type_id)} "
            case Restrict():
                return f"{self._name(found.type_id)} restrict "
            case Array() | TypeTag():
                return self._name(found.type_id)
            case FuncProto():
                return self._function(found, "", 0)
            case Float():
                return f"single {found.name}"
            case Composite() | Enumeration() | Fwd():
                return f"{keyword(found)} {found.name}"
        return found.name

    def _function(
        self, found: FuncProto, name: str, width: int, pointer: str = "", bare: bool = False
    ) -> str:
        shown = name if bare else f"({pointer}{name})"
        return f"{self._name(found.type_id):<{abs(width)}} {shown}{self._parameters(found)}"

    def _parameters(self, found: FuncProto) -> str:
        words = []
        for param in found.params:
            if not param.type_id:
                continue
            kind = self.btf[param.type_id]
            target = self.btf[kind.type_id] if isinstance(kind, Ptr) else None
            if isinstance(target, FuncProto):
                words.append(self._function(target, param.name, 0, "*"))
            elif isinstance(kind, FuncProto):
                words.append("inline " + self._function(kind, param.name, 0, bare=True))
            else:
                words.append(self._name(param.type_id) + (f" {param.name}" if param.name else ""))
        if not words:
            return "(void)"
        if any(not param.type_id for param in found.params):
            words.append("...")
        return f"({', '.join(words)})"

    # --- declarations -------------------------------------------------------------------------

    def _declare(self, type_id: int, name: str | None, view: _View) -> str:
        """A member or a typedef'd name with its type; unnamed types with their whole body."""
        found = self.btf[type_id]
        if isinstance(found, (Composite, Fwd, Enumeration)):
            view = replace(view, suffix=name, summary=False)
        prefix = ""
        while True:
            match found:
                case Const():
                    prefix += "const "
                    view = replace(view, type_width=view.type_width - 6)
                case TypeTag():
                    pass
                case Ptr():
                    return prefix + self._pointer(found, name or "", view)
                case Array():
                    return prefix + self._array(found, name or "", view)
                case FuncProto():
                    return prefix + self._function(found, name or "", view.type_width)
                case Composite() | Fwd() | Enumeration():
                    return prefix + self._tagged(found, name, view)
                case _:
                    break
            if not found.type_id:
                break
            found = self.btf[found.type_id]
        return f"{prefix}{self._name(found.id):<{abs(view.type_width)}} {name or ''}"

    def _pointer(self, found: Ptr, name: str, view: _View) -> str:
        target = self.btf[found.type_id]
        while isinstance(target, TypeTag):
            target = self.btf[target.type_id]
        if isinstance(target, FuncProto):
            return self._function(target, name, view.type_width, "*")
        if isinstance(target, (Composite, Enumeration)) and not target.name:
            inner = replace(
                view,
                relative=True,
                type_width=view.type_width - 8,
                suffix=f"* {name}",
                summary=False,
            )
            return self._tagged(target, f"* {name}", inner)
        return f"{self._name(found.id):<{abs(view.type_width)}} {name}"

    def _array(self, found: Array, name: str, view: _View) -> str:
        element_id = found.type_id
        element = self.btf[element_id]
        if not found.nelems and isinstance(element, Const):
            element_id = element.type_id
        only = view.first and view.last
        sized = found.nelems or not view.last or only or view.in_union
        return self._declare(element_id, name, view) + (f"[{found.nelems}]" if sized else "[]")

    def _tagged(self, found: Composite | Fwd | Enumeration, name: str | None, view: _View) -> str:
        if found.name:
            word = keyword(found)
            width = abs(view.type_width - len(word) - 1)
            return f"{word} {found.name:<{width}} {name or ''}"
        if isinstance(found, Enumeration):
            return self._enum(found, view)
        view = replace(view, type_width=view.type_width - 8)
        if isinstance(found, Union):
            return self._union(found, replace(view, suffix=name))
        return self._struct(found, view)

    def _typedef(self, found: Typedef, view: _View) -> str:
        target = self.btf[found.type_id]
        pointee = self.btf[target.type_id] if isinstance(target, Ptr) else None
        match target:
            case Array():
                return "typedef " + self._array(target, found.name, view)
            case FuncProto():
                return "typedef " + self._function(target, found.name, 0)
            case Ptr() if isinstance(pointee, FuncProto):
                return "typedef " + self._function(pointee, found.name, 0, "*")
            case Union() | Struct() | Enumeration() if not target.name or isinstance(target, Union):
                inner = replace(view, suffix=found.name)
                return "typedef " + self._tagged(target, found.name, inner)
        return f"typedef {self._name(found.type_id)} {found.name}"

    def _enum(self, found: Enumeration, view: _View) -> str:
        head = "enum" + (f" {found.name}" if found.name else "")
        if not found.values:
            return head
        width = max(len(value.name) for value in found.values)
        lines = [f"{view.tabs}\t{v.name:<{width}} = {v.value},\n" for v in found.values]
        packed = "" if found.size in (0, 4) else " __attribute__((__packed__))"
        suffix = f" {view.suffix}" if view.suffix is not None else ""
        return f"{head} {{\n{''.join(lines)}{view.tabs}}}{packed}{suffix}"

    # --- bodies -------------------------------------------------------------------------------

    def _union(self, found: Union, view: _View) -> str:
        head = "union" + (f" {found.name}" if found.name else "")
        inner = replace(view, indent=view.indent + 1, in_union=True)
        self.measure.inspect(found)
        line = self.line
        lines = []
        for slot in self.measure.shape(found).slots:
            lines.append(f"{inner.tabs}{self._member(slot, inner, in_union=True)}\n")
            self.line = line
        suffix = f" {view.suffix}" if view.suffix is not None else ""
        return f"{head} {{\n{''.join(lines)}{view.tabs}}}{suffix}"

    def _struct(self, found: Type, view: _View) -> str:
        shape = self.measure.shape(found) if isinstance(found, (Composite, Fwd)) else Shape([])
        self.measure.inspect(found)
        inner = replace(view, indent=view.indent + 1)
        sums = _Sums()
        text = "struct" + (f" {found.name}" if found.name else "") + " {\n"
        gap = ""
        if shape.first_bit_hole > 0 or shape.first_hole > 0:
            gap = text
            text += "\n"
        text += self._hole_comments(shape.first_bit_hole, shape.first_hole, sums, inner, "{}\n")
        blank = bool(gap)
        last: Slot | None = None
        last_size = 0
        for index, slot in enumerate(shape.slots):
            self._count_forced(slot, last.hole if last else shape.first_hole, sums)
            if last and last_size:
                between, comment = self._transition(last, slot, last_size, inner)
                text += between
                if comment:
                    text += ("" if blank else "\n") + comment
                    blank = True
            text += "\n" if blank else ""
            place = replace(inner, first=last is None, last=index == len(shape.slots) - 1)
            text += inner.tabs + self._member(slot, place)
            comments = self._inner_comment(slot, sums, inner) + self._hole_comments(
                slot.bit_hole, slot.hole, sums, inner, "\n{}"
            )
            blank = bool(comments)
            text += ("\n" if blank else "") + comments + "\n"
            if slot.bits:
                sums.bits += slot.bits
            else:
                sums.bytes += slot.size
            if (
                last is None
                or not last_size
                or last.offset != slot.offset
                or (not last.bits and slot.bits)
            ):
                last_size = slot.size
            last = slot
        if view.summary and isinstance(found, Composite):
            text += self._summary(found, shape, sums, inner)
        text += f"{view.tabs}}}"
        packed = self.measure.is_packed(found)
        text += " __attribute__((__packed__))" if packed else ""
        text += f" {view.suffix}" if view.suffix is not None else ""
        if shape.alignment and not packed:
            text += f" __attribute__((__aligned__({shape.alignment})))"
        return text

    def _member(self, slot: Slot, view: _View, in_union: bool = False) -> str:
        offset = slot.offset
        if not view.relative:
            offset += view.base
            if not in_union:
                view = replace(view, base=offset)
        boundary = self._boundary(offset, view)
        name = slot.member.name
        found = self.btf[slot.member.type_id]
        tagged = isinstance(found, (Composite, Fwd, Enumeration))
        inline = tagged and not found.name
        if tagged:
            text = self._declare(found.id, None, view)
            text += (" " if inline and name else "") + name
        else:
            text = self._declare(found.id, name, view)
        text += f":{slot.bits}" if slot.bits else ""
        aligned = f" __attribute__((__aligned__({slot.alignment})))" if slot.alignment else ""
        text += aligned + ";"
        if inline:
            used = len(aligned) + (len(name) if name else -1)
            if self.measure.is_packed(found):
                used += len(" __attribute__((__packed__))")
            width = view.type_width + view.name_width - used - 3
        else:
            width = max(view.type_width + view.name_width - len(text), 0)
        gap = " ".rjust(width) if width >= 0 else " ".ljust(-width)
        if slot.bits:
            return f"{boundary}{text}{gap}/* {offset:5}:{slot.bit:2} {slot.size:2} */"
        return f"{boundary}{text}{gap}/* {offset:5} {slot.size:5} */"

    def _boundary(self, offset: int, view: _View) -> str:
        line, past = divmod(offset, self.cacheline)
        if line <= self.line:
            return ""
        self.line = line
        ago = f" was {past} byte{'s' if past > 1 else ''} ago" if past else ""
        return (
            f"/* --- cacheline {line} boundary ({line * self.cacheline} bytes){ago} --- */\n"
            f"{view.tabs}"
        )

    # --- comments -----------------------------------------------------------------------------

    def _transition(self, last: Slot, slot: Slot, last_size: int, view: _View) -> tuple[str, str]:
        """What stands between two members: an unnamed bitfield, and a comment on sharing."""
        text = comment = ""
        if last.bit_hole and slot.bits:
            width = last.bit_hole
            if last.offset != slot.offset:
                text = f"\n{view.tabs}/* Force alignment to the next boundary: */\n"
                width = 0
            text += f"{view.tabs}{self._declare(slot.member.type_id, '', view)}:{width};\n"
        if slot.offset < last.offset or (
            slot.offset == last.offset and not last.bits and slot.bits
        ):
            comment = f"{view.tabs}/* Bitfield combined with previous fields */\n"
        elif 0 < slot.offset - last.offset < last_size:
            comment = f"{view.tabs}/* Bitfield combined with next fields */\n"
        return text, comment

    def _count_forced(self, slot: Slot, hole: int, sums: _Sums) -> None:
        if slot.alignment:
            sums.forced += 1
            if hole:
                sums.forced_holes.append(hole)

    def _hole_comments(self, bits: int, size: int, sums: _Sums, view: _View, frame: str) -> str:
        text = ""
        if bits:
            sums.bit_holes += bits
            words = f"{view.tabs}/* XXX {_plural(bits, 'bit')} hole, try to pack */"
            text += frame.format(words)
        if size > 0:
            sums.holes += size
            words = f"{view.tabs}/* XXX {_plural(size, 'byte')} hole, try to pack */"
            text += frame.format(words)
        return text

    def _inner_comment(self, slot: Slot, sums: _Sums, view: _View) -> str:
        """What is left unused inside a member that is a struct itself (not behind a typedef)."""
        found = self.btf[slot.member.type_id]
        if not isinstance(found, Struct):
            return ""
        shape = self.measure.shape(found)
        self.measure.inspect(found)
        words = []
        if self.measure.ends_in_flexible_array(found):
            sums.flexible += 1
            words.append("a flexible array")
        if self.measure.embeds_flexible_array(found):
            sums.embedded_flexible += 1
            words.append("embedded flexible array(s)")
        for amount, totals, unit in (
            (shape.padding, sums.inner_padding, "byte"),
            (shape.bit_padding, sums.inner_bit_padding, "bit"),
        ):
            if amount:
                totals.append(amount)
                words.append(f"{_plural(amount, unit)} of padding")
        for amount, totals, unit in (
            (shape.holes, sums.inner_holes, "hole"),
            (shape.bit_holes, sums.inner_bit_holes, "bit hole"),
        ):
            if amount:
                totals.append(amount)
                words.append(_plural(amount, unit))
        return f"\n{view.tabs}/* XXX last struct has {', '.join(words)} */" if words else ""

    def _summary(self, found: Composite, shape: Shape, sums: _Sums, view: _View) -> str:
        size = self.measure.size_of(found)
        cachelines = -(-size // self.cacheline)
        lines = [f"size: {found.size}, cachelines: {cachelines}, members: {len(found.members)}"]
        if sums.holes or sums.bit_holes:
            if sums.bytes:
                holes = f", holes: {shape.holes}, sum holes: {sums.holes}" if sums.holes else ""
                lines.append(f"sum members: {sums.bytes}{holes}")
            if sums.bits:
                rest = (
                    f", bit holes: {shape.bit_holes}, sum bit holes: {sums.bit_holes} bits"
                    if sums.bit_holes
                    else f" ({sums.bits // 8} bytes)"
                )
                lines.append(f"sum bitfield members: {sums.bits} bits{rest}")
        if shape.padding > 0:
            lines.append(f"padding: {shape.padding}")
        inner = [
            f"{name}: {len(amounts)}, total: {sum(amounts)}{unit}"
            for name, amounts, unit in (
                ("holes", sums.inner_holes, ""),
                ("bit holes", sums.inner_bit_holes, ""),
                (
                    "bit paddings",
                    sums.inner_bit_padding,
                    " bits" if sum(sums.inner_bit_padding) > 1 else " bit",
                ),
            )
            if amounts
        ]
        if inner:
            lines.append(f"member types with {', '.join(inner)}")
        if sums.inner_padding:
            paddings = len(sums.inner_padding), sum(sums.inner_padding)
            lines.append("paddings: {}, sum paddings: {}".format(*paddings))
        if shape.bit_padding > 0:
            lines.append(f"bit_padding: {shape.bit_padding} bits")
        if sums.forced:
            forced = sums.forced_holes
            holes = f", forced holes: {len(forced)}, sum forced holes: {sum(forced)}"
            lines.append(f"forced alignments: {sums.forced}{holes if forced else ''}")
        if sums.flexible or sums.embedded_flexible:
            counts = [("end", sums.flexible), ("middle", sums.embedded_flexible)]
            words = ", ".join(f"{name}: {count}" for name, count in counts if count)
            lines.append(f"flexible array members: {words}")
        if rest_of_line := (view.base + found.size) % self.cacheline:
            lines.append(f"last cacheline: {rest_of_line} bytes")
        text = "\n" + "".join(f"{view.tabs}/* {line} */\n" for line in lines)
        bits = sums.bytes * 8 + sums.bits + sums.holes * 8 + sums.bit_holes
        missing = found.size * 8 - bits - shape.padding * 8 - shape.bit_padding
        if missing and found.members:
            text += (
                f"\n{view.tabs}/* members, holes and padding differ from the size"
                f" by {missing} bits */\n"
            )
        return text


def _plural(count: int, unit: str) -> str:
    return f"{count} {unit}{'' if count == 1 else 's'}"
