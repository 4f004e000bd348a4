# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Writes DWARF 4 and 5 from trees of `DIE`, for `elfwriter` to put into an object.

    number = DIE("base_type", {"name": "int", "byte_size": 4, "encoding": ATE.signed})
    point = DIE("structure_type", {"name": "point", "byte_size": 8}, [
        DIE("member", {"name": "x", "type": number, "data_member_location": 0}),
        DIE("member", {"name": "y", "type": number, "data_member_location": 4}),
    ])
    path.write_bytes(write_dwarf([Unit([number, point])], target=S390X))

Tags and attributes are given without `DW_TAG_`, `DW_AT_`, or as "0x4fff" where DWARF has no name.
A value's form follows from its type (`_default_form`); `Form("data8", 5)` says another. A
reference is the DIE itself, or its `label` in a `Ref` where two DIEs refer to each other. A DIE
that is only referred to is put at the end of the unit that mentions it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import NamedTuple, TypeAlias

from elftools.dwarf.enums import ENUM_DW_AT, ENUM_DW_FORM, ENUM_DW_TAG
from elfwriter import (
    ET_REL,
    X86_64,
    Address,
    Fixup,
    Section,
    Strings,
    Symbol,
    Target,
    write_elf,
)

LANG_C_PLUS_PLUS, LANG_RUST, LANG_C11, LANG_ASSEMBLER = 0x04, 0x1C, 0x1D, 0x8001
OP_addr, OP_plus_uconst, OP_reg0, OP_fbreg, OP_stack_value = 0x03, 0x23, 0x50, 0x91, 0x9F

# Numbers that not every release of the library with the other names has.
_TAGS = {"LLVM_annotation": 0x6000, "GNU_annotation": 0x6001}
_ATTRIBUTES = {"GNU_annotation": 0x2139}


class ATE(IntEnum):
    """DW_ATE: encodings of base types."""

    address = 1
    boolean = 2
    complex_float = 3
    float = 4
    signed = 5
    signed_char = 6
    unsigned = 7
    unsigned_char = 8
    imaginary_float = 9
    decimal_float = 15
    UTF = 16


class Expr(NamedTuple):
    """A DWARF expression: bytes, and addresses where an operator takes one."""

    parts: tuple[bytes | Address, ...]


def at(of: str, offset: int = 0) -> Expr:
    """The location of a variable in memory: DW_OP_addr of a symbol or section."""
    return Expr((bytes([OP_addr]), Address(of, offset)))


class Ref(NamedTuple):
    """A reference to the DIE with this label."""

    label: str


class LocList(NamedTuple):
    """A location list: (start, length in bytes, expression) per entry, in this order."""

    entries: tuple[tuple[Address, int, bytes], ...]


class RngList(NamedTuple):
    """A range list: (start, length in bytes) per entry."""

    entries: tuple[tuple[Address, int], ...]


class Form(NamedTuple):
    """`value` in the form DW_FORM_`name`; for "indirect" the value is the real Form."""

    name: str
    value: Value


@dataclass(eq=False)
class DIE:
    """One debugging information entry; `label` names it for `Ref`."""

    tag: str
    attrs: Mapping[str, Value] = field(default_factory=dict)
    children: Sequence[DIE] = ()
    label: str = ""


Value: TypeAlias = "int | str | bytes | Address | Expr | Ref | DIE | LocList | RngList | Form"


@dataclass
class Unit:
    """One unit. Its own DIE is made from `tag` and `attrs`; `children` stand below it."""

    children: Sequence[DIE]
    attrs: Mapping[str, Value] = field(
        default_factory=lambda: {"name": "a.c", "language": LANG_C11}
    )
    version: int = 5
    tag: str = "compile_unit"
    dwarf64: bool = False
    signature: int = 0
    """Of a type unit (tag "type_unit"): what `Form("ref_sig8", …)` names it by."""
    type: DIE | None = None
    """Of a type unit: its type."""


def uleb(value: int, width: int = 0) -> bytes:
    """Unsigned LEB128, padded to at least `width` bytes."""
    out = bytearray()
    while value > 0x7F or len(out) + 1 < width:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def sleb(value: int) -> bytes:
    """Signed LEB128."""
    out = bytearray()
    while not -0x40 <= value < 0x40:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value & 0x7F])


def dwarf_sections(units: Sequence[Unit], target: Target = X86_64) -> list[Section]:
    """The .debug_* sections of these units; offsets into sections and addresses are fixups."""
    writer = _Writer(target)
    placed = {die for unit in units for die in _walk(unit.children)}
    for unit in units:
        children = list(unit.children)
        for die in _walk(children):  # grows while it is walked
            for value in die.attrs.values():
                to = value.value if isinstance(value, Form) else value
                if isinstance(to, DIE) and to not in placed:
                    placed.update(_walk([to]))
                    children.append(to)
        _UnitWriter(writer, replace(unit, children=children)).write()
    return writer.finish()


def write_dwarf(
    units: Sequence[Unit],
    sections: Sequence[Section] = (),
    symbols: Sequence[Symbol] = (),
    *,
    target: Target = X86_64,
    type: int = ET_REL,
    compress: bool = False,
) -> bytes:
    """The bytes of an ELF file with these units, after `sections` of its own."""
    debug = dwarf_sections(units, target)
    for section in debug:
        section.compress = compress
    return write_elf([*sections, *debug], symbols, target=target, type=type)


def write_split(children: Sequence[DIE], target: Target = X86_64) -> bytes:
    """An object with split DWARF 4 whose .dwo sections are its own, without code."""
    number = {"GNU_dwo_id": Form("data8", 5)}
    outer = Unit([], {"GNU_dwo_name": "a.dwo", **number}, 4)
    inner = Unit(children, {"name": "a.c", "language": LANG_C11, **number}, 4)
    sections = dwarf_sections([outer], target)
    for section in dwarf_sections([inner], target):
        data = bytearray(section.data)
        for place, address, size in section.fixups:  # there are no relocations in such sections
            data[place : place + size] = target.integer(address.offset, size)
        sections.append(Section(f"{section.name}.dwo", bytes(data)))
    return write_elf(sections, target=target)


def _default_form(value: Value) -> Form:
    """The form for a value that does not say one."""
    match value:
        case Form():
            return value
        case bool():
            return Form("flag_present" if value else "flag", value)
        case int():
            return Form("udata" if value >= 0 else "sdata", value)
        case str():
            return Form("strp", value)
        case bytes() | Expr():
            return Form("exprloc", value)
        case Address():
            return Form("addr", value)
        case LocList() | RngList():
            return Form("sec_offset", value)
        case DIE() | Ref():
            return Form("ref4", value)


def _walk(dies: Sequence[DIE]) -> Iterator[DIE]:
    for die in dies:
        yield die
        yield from _walk(die.children)


class _Out:
    """A growing section."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.data = bytearray()
        self.fixups: list[Fixup] = []

    def number(self, value: int, size: int) -> None:
        self.data += self.target.integer(value, size)

    def address(self, address: Address, size: int) -> None:
        self.fixups.append(Fixup(len(self.data), address, size))
        self.data += bytes(size)

    def patch(self, offset: int, value: int, size: int) -> None:
        self.data[offset : offset + size] = self.target.integer(value, size)


class _Writer:
    """What all units share: the sections, the strings, and where every DIE is."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.outs: dict[str, _Out] = {}
        self.strings = {".debug_str": Strings(), ".debug_line_str": Strings()}
        self.places: dict[DIE, tuple[int, int]] = {}
        """DIE: (its offset in the section, the offset of its unit)."""
        self.labels: dict[str, DIE] = {}
        self.waiting: list[tuple[_Out, int, int, bool, int, DIE | Ref]] = []
        """References to write at the end: (out, offset, unit, absolute, size or 0 = uleb, to)."""

    def out(self, name: str) -> _Out:
        return self.outs.setdefault(name, _Out(self.target))

    def finish(self) -> list[Section]:
        for out, offset, unit, absolute, size, to in self.waiting:
            die = self.labels[to.label] if isinstance(to, Ref) else to
            place = self.places[die][0]
            if absolute:
                out.fixups.append(Fixup(offset, Address(".debug_info", place), size))
            elif self.places[die][1] != unit:
                raise ValueError(f"{die.tag}: only ref_addr and ref_sig8 reach another unit")
            elif size:
                out.patch(offset, place - unit, size)
            else:
                out.data[offset : offset + _REF_UDATA] = uleb(place - unit, _REF_UDATA)
        for name, strings in self.strings.items():
            if len(strings.data) > 1:
                self.out(name).data = strings.data
        return [Section(name, bytes(o.data), fixups=o.fixups) for name, o in self.outs.items()]


# A reference's value is known only at the end, so its ULEB128 is padded to a fixed width.
_REF_UDATA = 4


class _UnitWriter:
    """One unit: header, DIEs, abbreviations, and its parts of the other sections."""

    def __init__(self, writer: _Writer, unit: Unit) -> None:
        self.all, self.unit, self.target = writer, unit, writer.target
        in_types = unit.tag == "type_unit" and unit.version < 5
        self.info = writer.out(".debug_types" if in_types else ".debug_info")
        self.word = 8 if unit.dwarf64 else 4
        self.start = len(self.info.data)
        self.abbrevs: dict[tuple[int, bool, tuple[tuple[int, int, int | None], ...]], int] = {}
        self.strx: list[str] = []
        self.addrx: list[Address] = []
        self.locs = _Lists(self, "loc")
        self.rngs = _Lists(self, "rng")

    def write(self) -> None:
        unit, info = self.unit, self.info
        abbrev = self.all.out(".debug_abbrev")
        length_at = self._length(info)
        info.number(unit.version, 2)
        if unit.version >= 5:
            kinds = {"compile_unit": 1, "type_unit": 2, "partial_unit": 3, "skeleton_unit": 4}
            info.number(kinds[unit.tag], 1)
            info.number(self.target.address_size, 1)
            info.address(Address(".debug_abbrev", len(abbrev.data)), self.word)
        else:
            info.address(Address(".debug_abbrev", len(abbrev.data)), self.word)
            info.number(self.target.address_size, 1)
        if unit.tag == "type_unit":
            info.number(unit.signature, 8)
            if unit.type:
                here = (info, len(info.data), self.start, False, self.word, unit.type)
                self.all.waiting.append(here)
            info.number(0, self.word)
        elif unit.tag == "skeleton_unit" and unit.version >= 5:
            info.number(unit.signature, 8)

        self._die(DIE(unit.tag, self._with_bases(), unit.children))
        self._close(info, length_at)
        self._abbrevs(abbrev)
        self._str_offsets()
        self._addresses()
        self.locs.write()
        self.rngs.write()

    def _length(self, out: _Out) -> int:
        """Leave room for a unit length; the offset after it."""
        if self.unit.dwarf64:
            out.number(0xFFFFFFFF, 4)
        out.number(0, self.word)
        return len(out.data)

    def _close(self, out: _Out, length_at: int) -> None:
        out.patch(length_at - self.word, len(out.data) - length_at, self.word)

    def _with_bases(self) -> dict[str, Value]:
        """The unit's attributes and the bases its indexed forms count from."""
        attrs: dict[str, Value] = dict(self.unit.attrs)
        forms: set[str] = set()
        for die in _walk([DIE(self.unit.tag, attrs, self.unit.children)]):
            for value in die.attrs.values():
                form = _default_form(value)
                while form.name == "indirect":
                    assert isinstance(form.value, Form)
                    form = form.value
                forms.add(form.name)
        header = 2 * self.word if not self.unit.dwarf64 else 16
        bases = [
            ("strx", "str_offsets_base", ".debug_str_offsets", header),
            ("addrx", "addr_base", ".debug_addr", header),
            ("loclistx", "loclists_base", ".debug_loclists", header + 4),
            ("rnglistx", "rnglists_base", ".debug_rnglists", header + 4),
        ]
        for form_name, attribute, section, size in bases:
            if any(name.startswith(form_name) for name in forms):
                base = Address(section, len(self.all.out(section).data) + size)
                attrs[attribute] = Form("sec_offset", base)
        return attrs

    def _die(self, die: DIE) -> None:
        values = [
            (_number(ENUM_DW_AT, _ATTRIBUTES, "DW_AT_", name), _default_form(value))
            for name, value in die.attrs.items()
        ]
        key = (
            _number(ENUM_DW_TAG, _TAGS, "DW_TAG_", die.tag),
            bool(die.children),
            tuple((a, _form(f.name), _implicit(f)) for a, f in values),
        )
        self.all.places[die] = (len(self.info.data), self.start)
        if die.label:
            self.all.labels[die.label] = die
        self.info.data += uleb(self.abbrevs.setdefault(key, len(self.abbrevs) + 1))
        for _, form in values:
            self._value(form)
        if die.children:
            for child in die.children:
                self._die(child)
            self.info.number(0, 1)

    def _value(self, form: Form) -> None:
        info, value, name = self.info, form.value, form.name
        fixed = _FIXED.get(name)
        if name == "indirect":
            assert isinstance(value, Form)
            info.data += uleb(_form(value.name))
            self._value(value)
        elif name in ("flag_present", "implicit_const"):
            pass  # in the abbreviation
        elif isinstance(value, int) and fixed is not None:
            info.number(value, fixed)
        elif isinstance(value, bytes) and name == "data16":
            info.data += value.ljust(16, b"\0")
        elif isinstance(value, int) and name == "udata":
            info.data += uleb(value)
        elif isinstance(value, int) and name == "sdata":
            info.data += sleb(value)
        elif isinstance(value, str):
            self._string(name, value)
        elif isinstance(value, DIE | Ref):
            self._reference(name, value)
        elif isinstance(value, Address) and name == "addr":
            info.address(value, self.target.address_size)
        elif isinstance(value, Address) and name.startswith("addrx"):
            self.addrx.append(value)
            self._index(name.removeprefix("addrx"), len(self.addrx) - 1)
        elif name == "sec_offset":
            self._section_offset(value)
        elif isinstance(value, LocList) and name == "loclistx":
            info.data += uleb(self.locs.indexed(value))
        elif isinstance(value, RngList) and name == "rnglistx":
            info.data += uleb(self.rngs.indexed(value))
        elif isinstance(value, bytes | Expr):
            self._block(name, value if isinstance(value, Expr) else Expr((value,)))
        else:
            raise ValueError(f"DW_FORM_{name} cannot hold {value!r}")

    def _string(self, name: str, text: str) -> None:
        if name == "string":
            self.info.data += text.encode() + b"\0"
        elif name in ("strp", "line_strp"):
            section = ".debug_str" if name == "strp" else ".debug_line_str"
            self.all.out(section)
            self.info.address(Address(section, self.all.strings[section](text)), self.word)
        else:
            self.strx.append(text)
            self._index(name.removeprefix("strx"), len(self.strx) - 1)

    def _index(self, width: str, index: int) -> None:
        """An index into a table of this unit: of so many bytes, ULEB128 when nothing is said."""
        if width:
            self.info.number(index, int(width))
        else:
            self.info.data += uleb(index)

    def _reference(self, name: str, to: DIE | Ref) -> None:
        sizes = {"ref1": 1, "ref2": 2, "ref4": 4, "ref8": 8, "ref_udata": 0, "ref_addr": self.word}
        size = sizes[name]
        here = (self.info, len(self.info.data), self.start, name == "ref_addr", size, to)
        self.all.waiting.append(here)
        self.info.data += bytes(size or _REF_UDATA)

    def _section_offset(self, value: Value) -> None:
        if isinstance(value, Address):
            self.info.address(value, self.word)
        elif isinstance(value, int):
            self.info.number(value, self.word)
        elif isinstance(value, LocList):
            self.locs.by_offset(value)
        elif isinstance(value, RngList):
            self.rngs.by_offset(value)

    def _block(self, name: str, value: Expr) -> None:
        size = sum(
            len(part) if isinstance(part, bytes) else self.target.address_size
            for part in value.parts
        )
        if name in ("exprloc", "block"):
            self.info.data += uleb(size)
        else:
            self.info.number(size, int(name.removeprefix("block")))
        for part in value.parts:
            if isinstance(part, bytes):
                self.info.data += part
            else:
                self.info.address(part, self.target.address_size)

    def _abbrevs(self, out: _Out) -> None:
        for (tag, children, attributes), code in self.abbrevs.items():
            out.data += uleb(code) + uleb(tag) + bytes([children])
            for attribute, form, constant in attributes:
                out.data += uleb(attribute) + uleb(form)
                if constant is not None:
                    out.data += sleb(constant)
            out.data += b"\0\0"
        out.data += b"\0"

    def _str_offsets(self) -> None:
        if not self.strx:
            return
        out = self.all.out(".debug_str_offsets")
        self.all.out(".debug_str")
        length_at = self._length(out)
        out.number(5, 2)
        out.number(0, 2)
        for text in self.strx:
            out.address(Address(".debug_str", self.all.strings[".debug_str"](text)), self.word)
        self._close(out, length_at)

    def _addresses(self) -> None:
        if not self.addrx:
            return
        out = self.all.out(".debug_addr")
        length_at = self._length(out)
        out.number(5, 2)
        out.number(self.target.address_size, 1)
        out.number(0, 1)
        for address in self.addrx:
            out.address(address, self.target.address_size)
        self._close(out, length_at)


class _Lists:
    """One unit's location lists or range lists."""

    def __init__(self, unit: _UnitWriter, kind: str) -> None:
        self.of, self.kind = unit, kind
        self.lists: list[tuple[LocList | RngList, int | None]] = []
        """Each list and, unless it is named by index, where its offset belongs in the unit."""

    def indexed(self, value: LocList | RngList) -> int:
        """The index of a list that `loclistx` or `rnglistx` names. They come first in the table."""
        assert all(place is None for _, place in self.lists), "indexed lists first, please"
        self.lists.append((value, None))
        return len(self.lists) - 1

    def by_offset(self, value: LocList | RngList) -> None:
        """Write the offset of a list here, once it is known."""
        self.lists.append((value, len(self.of.info.data)))
        self.of.info.number(0, self.of.word)

    def write(self) -> None:
        if not self.lists:
            return
        unit = self.of
        new = unit.unit.version >= 5
        old_name = ".debug_loc" if self.kind == "loc" else ".debug_ranges"
        name = f".debug_{self.kind}lists" if new else old_name
        out = unit.all.out(name)
        indexed = sum(place is None for _, place in self.lists)
        length_at = table = 0
        if new:
            length_at = unit._length(out)
            out.number(5, 2)
            out.number(unit.target.address_size, 1)
            out.number(0, 1)
            out.number(indexed, 4)
            table = len(out.data)
            out.data += bytes(indexed * unit.word)
        for i, (value, place) in enumerate(self.lists):
            here = len(out.data)
            if place is None:
                out.patch(table + i * unit.word, here - table, unit.word)
            else:
                unit.info.fixups.append(Fixup(place, Address(name, here), unit.word))
            for start, length, *expression in value.entries:
                self._entry(out, new, start, length, *expression)
            out.data += b"\0" if new else bytes(2 * unit.target.address_size)
        if new:
            unit._close(out, length_at)

    def _entry(
        self, out: _Out, new: bool, start: Address, length: int, expression: bytes | None = None
    ) -> None:
        size = self.of.target.address_size
        if new:  # DW_LLE_start_length, DW_RLE_start_length
            out.number(8 if expression is not None else 7, 1)
            out.address(start, size)
            out.data += uleb(length)
        else:
            out.address(start, size)
            out.address(Address(start.of, start.offset + length), size)
        if expression is not None:
            if new:
                out.data += uleb(len(expression))
            else:
                out.number(len(expression), 2)
            out.data += expression


_FIXED = {"data1": 1, "data2": 2, "data4": 4, "data8": 8, "data16": 16, "flag": 1, "ref_sig8": 8}


def _implicit(form: Form) -> int | None:
    return form.value if form.name == "implicit_const" and isinstance(form.value, int) else None


def _form(name: str) -> int:
    return int(ENUM_DW_FORM[f"DW_FORM_{name}"])


def _number(names: Mapping[str, int], more: Mapping[str, int], prefix: str, name: str) -> int:
    if name.startswith("0x"):
        return int(name, 16)
    return int(more[name] if name in more else names[prefix + name])
