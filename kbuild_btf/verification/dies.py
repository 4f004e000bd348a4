# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The DIEs of a unit, quickly: pyelftools finds everything, only the loop over the DIEs is here.

pyelftools opens the file, unpacks and relocates the sections, reads unit headers and abbreviations.
Its own DIEs take 20 microseconds each, which is minutes for a kernel; most of that goes into
attributes that nobody looks at (decl_line, call_value, ...). Here each abbreviation becomes a plan
once: runs of forms of fixed size are one ``struct`` in which unwanted attributes are padding. So
most DIEs take one unpack. The tests compare the outcome with pyelftools' DIEs.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from elftools.common.exceptions import DWARFError, ELFError
from elftools.construct import ConstructError
from elftools.dwarf.enums import DW_FORM_raw2name

from ..errors import Error

Value: TypeAlias = "int | str | bytes | bool | None"

LLVM_ANNOTATION, GNU_ANNOTATION = 0x6000, 0x6001
_NAMELESS_TAGS = {LLVM_ANNOTATION: "LLVM_annotation", GNU_ANNOTATION: "GNU_annotation"}
_NAMELESS_ATTRIBUTES = {0x2139: "GNU_annotation"}

# Tags that are kept wherever they stand.
ALWAYS = frozenset(
    {
        *("array_type", "atomic_type", "base_type", "class_type", "const_type"),
        *("enumeration_type", "interface_type", "pointer_type", "ptr_to_member_type"),
        *("reference_type", "restrict_type", "rvalue_reference_type", "string_type"),
        *("structure_type", "subprogram", "subroutine_type", "typedef", "union_type"),
        *("unspecified_type", "volatile_type", "GNU_annotation"),
    }
)
# Tags that belong to the DIE above, if that is kept; below an inlined call it is not.
PARTS = frozenset(
    {
        *("enumerator", "formal_parameter", "member", "subrange_type"),
        *("unspecified_parameters", "generic_subrange", "LLVM_annotation", "variant_part"),
    }
)
# Tags that are kept directly below the unit.
OUTERMOST = frozenset({"variable"})

_REFUSED = {
    "type_unit": ("type units", "compile without -fdebug-types-section"),
    "skeleton_unit": (
        "a unit whose types are in a .dwo file",
        "verify one compiled without -gsplit-dwarf",
    ),
    "partial_unit": ("a partial unit of dwz", "verify the file as it was before dwz"),
    "imported_unit": ("a unit imported by dwz", "verify the file as it was before dwz"),
}

# Attributes that say something about layout, names or places.
_ANYWHERE = frozenset(
    {
        *("name", "type", "byte_size", "bit_size", "bit_offset", "data_bit_offset"),
        *("data_member_location", "declaration", "external", "specification"),
        *("abstract_origin", "const_value", "upper_bound", "count", "encoding", "language"),
        *("artificial", "GNU_annotation", "str_offsets_base", "addr_base", "GNU_addr_base"),
        *("dwo_name", "GNU_dwo_name"),
    }
)
# Of parameters and local variables these are not needed, and they are many.
_WHERE = {"variable": {"location"}, "subprogram": {"low_pc"}}

# Forms of fixed size, by the code that ``struct`` has for them.
_BY_CODE = {
    "B": ("data1", "flag", "ref1", "strx1", "addrx1"),
    "H": ("data2", "ref2", "strx2", "addrx2"),
    "I": ("data4", "ref4", "strx4", "addrx4"),
    "Q": ("data8", "ref8", "ref_sig8"),
    "16s": ("data16",),
}
_FIXED = {form: code for code, forms in _BY_CODE.items() for form in forms}
_OFFSETS = frozenset({"strp", "line_strp", "sec_offset", "ref_addr"})
_LOCAL_REFS = frozenset({"ref1", "ref2", "ref4", "ref8", "ref_udata", "ref"})
_BLOCKS = frozenset({"exprloc", "block", "block1", "block2", "block4"})
# Attributes that are of use only when their value is known here.
_NUMBERS = frozenset({"upper_bound", "count", "bit_size", "byte_size"})
_CONSTANTS = frozenset({"data1", "data2", "data4", "data8", "sdata", "udata", "implicit_const"})


def uleb(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned LEB128 number and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def sleb(data: bytes, at: int) -> tuple[int, int]:
    """A signed LEB128 number and where it ends."""
    start = at
    value, at = uleb(data, at)
    if data[at - 1] & 0x40:
        value -= 1 << 7 * (at - start)
    return value, at


def _string(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(0, at)
    return text(data[at:end]), end + 1


def text(raw: bytes) -> str:
    """A name. Names are bytes; those that are no UTF-8 stay apart."""
    return raw.decode("utf-8", "surrogateescape")


@contextmanager
def reading(where: str) -> Iterator[None]:
    """What pyelftools and ``struct`` raise for damaged input, as the one kind of error we know."""
    try:
        yield
    except ELFError as failed:
        raise Error(f"cannot be read: {failed}", where, "pyelftools reads no such file") from failed
    except (
        *(AssertionError, AttributeError, ConstructError, DWARFError, EOFError),
        *(KeyError, LookupError, TypeError, ValueError, struct.error),
    ) as failed:
        hint = "the file is damaged: build it again"
        raise Error("the DWARF cannot be read", where, hint) from failed


class Die:
    """One entry that is kept: its tag and attributes without ``DW_TAG_``, ``DW_AT_``.

    References are offsets in the section; a size or count that is no constant is None.
    """

    __slots__ = ("attributes", "children", "offset", "tag")

    def __init__(self, offset: int, tag: str, attributes: dict[str, Value]) -> None:
        self.offset = offset
        self.tag = tag
        self.attributes = attributes
        self.children: list[Die] = []


class _Step:
    """One part of a plan: a run of fixed size, or one form that has to be read to be skipped."""

    __slots__ = ("read", "size", "unpack", "wanted")

    def __init__(
        self,
        fixed: struct.Struct | None,
        read: Callable[[bytes, int], tuple[Value, int]] | None = None,
        wanted: bool = False,
    ) -> None:
        self.unpack = fixed.unpack_from if fixed else None
        self.size = fixed.size if fixed else 0
        self.read = read
        self.wanted = wanted


class _Plan:
    """How to read the DIEs of one abbreviation."""

    def __init__(self, unit: _Forms, declaration: Any) -> None:
        tag = declaration["tag"]
        known = _NAMELESS_TAGS.get(tag, "") if isinstance(tag, int) else tag
        self.tag = known.removeprefix("DW_TAG_")
        self.has_children: bool = declaration.has_children()
        self.always = self.tag in ALWAYS
        self.part = self.tag in PARTS
        self.outermost = self.tag in OUTERMOST
        kept = self.always or self.part or self.outermost or self.tag.endswith("_unit")
        wanted = _ANYWHERE | _WHERE.get(self.tag, set()) if kept else frozenset()
        self.names: list[str] = []
        self.constants: dict[str, Value] = {}
        self.local: list[int] = []
        self.converted: list[tuple[int, str]] = []
        self.steps: list[_Step] = []
        self._run = ""
        for spec in declaration["attr_spec"]:
            name = spec.name
            if isinstance(name, int):
                name = _NAMELESS_ATTRIBUTES.get(name, "")
            name = name.removeprefix("DW_AT_")
            form = spec.form if isinstance(spec.form, int) else spec.form.removeprefix("DW_FORM_")
            self._add(unit, name if name in wanted else "", form, getattr(spec, "value", None))
        self._close(unit)
        only = self.steps[0] if len(self.steps) == 1 else None
        # Nearly all plans are one run, so that has a way of its own.
        self.unpack = only.unpack if only else None
        self.size = only.size if only else 0

    def _add(self, unit: _Forms, name: str, form: str | int, constant: Value) -> None:
        if form in ("flag_present", "implicit_const"):
            if name:
                self.constants[name] = True if form == "flag_present" else constant
            return
        assert isinstance(form, str), f"unknown form {form}"
        if name:
            if form in _LOCAL_REFS:
                self.local.append(len(self.names))
            if form in unit.converters:
                self.converted.append((len(self.names), form))
            elif name in _NUMBERS and form not in _CONSTANTS:
                self.converted.append((len(self.names), "no constant"))
            self.names.append(name)
        code = unit.fixed.get(form)
        if code is not None:
            self._run += code if name else f"{struct.calcsize('=' + code)}x"
            return
        self._close(unit)
        read = unit.readers.get(form)
        if read is None:
            raise Error(f"DW_FORM_{form} refers to another file", "", "verify it before dwz ran")
        self.steps.append(_Step(None, read, bool(name)))

    def _close(self, unit: _Forms) -> None:
        if self._run:
            self.steps.append(_Step(struct.Struct(unit.order + self._run)))
            self._run = ""


class _Forms:
    """The sizes of forms in units of one kind, and the plans of their abbreviations."""

    def __init__(self, order: str, offset_size: int, address_size: int, version: int) -> None:
        self.order = order
        offset = "Q" if offset_size == 8 else "I"
        address = {1: "B", 2: "H", 4: "I", 8: "Q"}[address_size]
        self.fixed = {**_FIXED, **dict.fromkeys(_OFFSETS, offset), "addr": address}
        if version == 2:
            self.fixed["ref_addr"] = address
        self.readers: dict[str, Callable[[bytes, int], tuple[Value, int]]] = {
            **dict.fromkeys(("udata", "ref_udata", "strx", "addrx"), uleb),
            **dict.fromkeys(("loclistx", "rnglistx", "GNU_addr_index", "GNU_str_index"), uleb),
            "sdata": sleb,
            "string": _string,
            "strx3": self._three,
            "addrx3": self._three,
            "indirect": self._indirect,
            **{form: self._block(form) for form in _BLOCKS},
        }
        strings = ("strp", "line_strp", "strx", "strx1", "strx2", "strx3", "strx4")
        addresses = ("addrx", "addrx1", "addrx2", "addrx3", "addrx4")
        self.converters = frozenset({*strings, *addresses, "ref_sig8", "indirect"})
        self.tables: dict[int, dict[int, _Plan]] = {}

    def plan(self, table: Any, table_offset: int, code: int) -> _Plan:
        """The plan of an abbreviation; made at its first use."""
        plans = self.tables.setdefault(table_offset, {})
        found = plans.get(code)
        if found is None:
            found = plans[code] = _Plan(self, table.get_abbrev(code))
        return found

    def number(self, data: bytes, at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], "little" if self.order == "<" else "big")

    def _three(self, data: bytes, at: int) -> tuple[int, int]:
        return self.number(data, at, 3), at + 3

    def _block(self, form: str) -> Callable[[bytes, int], tuple[bytes, int]]:
        width = int(form[5:]) if form[5:].isdigit() else 0

        def read(data: bytes, at: int) -> tuple[bytes, int]:
            if width:
                length, at = self.number(data, at, width), at + width
            else:
                length, at = uleb(data, at)
            if at + length > len(data):
                raise ValueError("block beyond the end")
            return data[at : at + length], at + length

        return read

    def _indirect(self, data: bytes, at: int) -> tuple[Any, int]:
        """The form that stands before the value, and the value."""
        code, at = uleb(data, at)
        form = DW_FORM_raw2name[code].removeprefix("DW_FORM_")
        if form == "flag_present":
            return (form, True), at
        if form in self.fixed:
            layout = struct.Struct(self.order + self.fixed[form])
            return (form, layout.unpack_from(data, at)[0]), at + layout.size
        value, at = self.readers[form](data, at)
        return (form, value), at


class Section:
    """The units of .debug_info and what their DIEs refer to."""

    def __init__(self, dwarf: Any, where: str) -> None:
        self.dwarf = dwarf
        self.where = where
        self.order = "<" if dwarf.config.little_endian else ">"
        self.data = _content(dwarf.debug_info_sec)
        self._strings = {
            "strp": _content(dwarf.debug_str_sec),
            "line_strp": _content(dwarf.debug_line_str_sec),
        }
        self._offsets = _content(dwarf.debug_str_offsets_sec)
        self._addresses = _content(dwarf.debug_addr_sec)
        self._known: dict[tuple[str, int], str] = {}
        self._forms: dict[tuple[int, int, int], _Forms] = {}
        self._tables: dict[int, Any] = {}
        self._bytes_of_tables = 0
        if dwarf.debug_types_sec is not None:
            raise Error(_REFUSED["type_unit"][0], where, _REFUSED["type_unit"][1])
        with reading(where):
            self.units: list[Any] = list(dwarf.iter_CUs())
            self.starts = [unit.cu_offset for unit in self.units]

    def size(self, index: int) -> int:
        """Bytes of a unit."""
        unit = self.units[index]
        return int(unit["unit_length"]) + int(unit.structs.initial_length_field_size())

    def read(self, index: int) -> Unit:
        """The DIEs of a unit. Raises Error."""
        where = f"{self.where}, unit at {self.starts[index]:#x}"
        with reading(where):
            try:
                return Unit(self, index)
            except Error as failed:
                raise Error(failed.what, where, failed.hint) from failed

    def abbreviations(self, offset: int) -> Any:
        """The table there.

        Tables that are parts of each other, as no compiler writes them, are read until they are
        longer than the section: to read all could take its square. Raises Error.
        """
        if offset not in self._tables:
            section = self.dwarf.debug_abbrev_sec
            self._tables[offset] = self.dwarf.get_abbrev_table(offset)
            self._bytes_of_tables += section.stream.tell() - offset
            if self._bytes_of_tables > section.size:
                raise Error("damaged abbreviations: the tables overlap", self.where)
        return self._tables[offset]

    def forms(self, header: Any) -> _Forms:
        key = header.structs.dwarf_format // 8, header["address_size"], header["version"]
        found = self._forms.get(key)
        if found is None:
            found = self._forms[key] = _Forms(self.order, *key)
        return found

    def string(self, form: str, offset: int) -> str:
        """The string at an offset of .debug_str or .debug_line_str."""
        found = self._known.get((form, offset))
        if found is None:
            found = self._known[form, offset] = _string(self._strings[form], offset)[0]
        return found

    def indexed_string(self, forms: _Forms, base: int, index: int) -> str:
        size = struct.calcsize("=" + forms.fixed["strp"])
        at = base + size * index
        if at + size > len(self._offsets):
            raise ValueError("index beyond .debug_str_offsets")
        return self.string("strp", forms.number(self._offsets, at, size))

    def indexed_address(self, forms: _Forms, base: int, index: int) -> int:
        size = struct.calcsize("=" + forms.fixed["addr"])
        at = base + size * index
        if at + size > len(self._addresses):
            raise ValueError("index beyond .debug_addr")
        return forms.number(self._addresses, at, size)


def _content(descriptor: Any) -> bytes:
    if descriptor is None:
        return b""
    descriptor.stream.seek(0)
    content: bytes = descriptor.stream.read()
    return content


class Unit:
    """One unit: the DIEs that matter, in the order of the section.

    ``dies`` has them by offset; ``parts`` those that are ``children`` of one of them: members and
    the like.
    """

    def __init__(self, section: Section, index: int) -> None:
        self.section = section
        self.header = section.units[index]
        self.offset: int = self.header.cu_offset
        self.end = self.offset + section.size(index)
        self.address_size: int = self.header["address_size"]
        self.forms = section.forms(self.header)
        self.dies: dict[int, Die] = {}
        self.parts: dict[int, Die] = {}
        self.attributes: dict[str, Value] = {}
        self.count = 0
        kind = self.header.header.get("unit_type", "").removeprefix("DW_UT_")
        self._refuse(f"{kind}_unit")
        self._read()

    @property
    def language(self) -> int:
        """DW_AT_language, 0 if there is none."""
        value = self.attributes.get("language")
        return value if isinstance(value, int) else 0

    def address(self, index: int) -> int:
        """The address that DW_OP_addrx names by its index."""
        base = self.attributes.get("addr_base", self.attributes.get("GNU_addr_base"))
        base = base if isinstance(base, int) else 8
        return self.section.indexed_address(self.forms, base, index)

    def _refuse(self, what: str) -> None:
        if what in _REFUSED:
            raise Error(*(_REFUSED[what][0], "", _REFUSED[what][1]))

    def _read(self) -> None:
        data, end, base = self.section.data, self.end, self.offset
        if end > len(data):
            raise ValueError("unit beyond the end of the section")
        table_offset = self.header["debug_abbrev_offset"]
        table = self.section.abbreviations(table_offset)
        forms, dies, parts = self.forms, self.dies, self.parts
        plans = forms.tables.setdefault(table_offset, {})
        at: int = self.header.cu_die_offset
        above: list[Die | None] = []
        parent: Die | None = None
        count = 0
        while at < end:
            here = at
            code = data[at]
            at += 1
            if code >= 0x80:
                code, at = uleb(data, here)
            if not code:
                # Compilers end a unit with more zeros than they opened levels, at most.
                if above:
                    parent = above.pop()
                continue
            count += 1
            plan = plans.get(code) or forms.plan(table, table_offset, code)
            if plan.unpack:
                values: Any = plan.unpack(data, at)
                at += plan.size
            else:
                values, at = _steps(plan, data, at)
            die: Die | None = None
            depth = len(above)
            if (
                plan.always
                or (plan.part and parent is not None)
                or (plan.outermost and depth == 1)
                or not depth
            ):
                if plan.local or plan.converted:
                    values = list(values)
                    for i in plan.local:
                        values[i] += base
                    for i, form in plan.converted:
                        values[i] = self._convert(form, values[i], plan, values)
                attributes: dict[str, Value] = dict(zip(plan.names, values, strict=True))
                if plan.constants:
                    attributes.update(plan.constants)
                die = Die(here, plan.tag, attributes)
                if not depth:
                    self.attributes = attributes
                    die = None
                    split = "dwo_name" in attributes or "GNU_dwo_name" in attributes
                    self._refuse("skeleton_unit" if split else plan.tag)
                elif plan.part and parent is not None:
                    parent.children.append(die)
                    parts[here] = die
                else:
                    dies[here] = die
            elif plan.tag == "imported_unit":
                self._refuse(plan.tag)
            if plan.has_children:
                above.append(parent)
                parent = die
        if at != end:
            raise ValueError("the last entry reaches beyond its unit")
        self.count = count

    def _convert(self, form: str, value: Any, plan: _Plan, values: list[Any]) -> Value:
        if form == "indirect":
            form, value = value
            if form in _LOCAL_REFS:
                value += self.offset
        if form in ("strp", "line_strp"):
            return self.section.string(form, value)
        if form == "no constant":
            return None
        if form.startswith("strx"):
            base = self.attributes.get("str_offsets_base")
            if base is None and not self.attributes:
                # The unit's own DIE: its base may stand behind the names that need it.
                base = dict(zip(plan.names, values, strict=True)).get("str_offsets_base")
            default = 16 if self.forms.fixed["strp"] == "Q" else 8
            start = base if isinstance(base, int) else default
            return self.section.indexed_string(self.forms, start, value)
        if form.startswith("addrx"):
            return self.address(value) if self.attributes else None
        if form == "ref_sig8":
            raise Error(*(_REFUSED["type_unit"][0], "", _REFUSED["type_unit"][1]))
        resolved: Value = value
        return resolved


def _steps(plan: _Plan, data: bytes, at: int) -> tuple[list[Value], int]:
    """The wanted values of a DIE that has forms of variable size."""
    values: list[Value] = []
    for step in plan.steps:
        if step.unpack:
            values.extend(step.unpack(data, at))
            at += step.size
        elif step.read:
            value, at = step.read(data, at)
            if step.wanted:
                values.append(value)
    return values, at
