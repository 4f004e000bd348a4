# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What the DWARF of a unit says about types, functions and variables.

The rules by which BTF says the same are those of docs/differences.md and of the format: one array
for all dimensions, no names of index types, enums by their values, and so on.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from . import spelling
from .dies import Die, Section, Unit, reading, uleb
from .facts import DECLARATIONS, Described, Features, Function, Layout, Variable
from .spelling import Pair

KEYWORDS = {
    "structure_type": "struct",
    "class_type": "struct",
    "union_type": "union",
    "enumeration_type": "enum",
}
QUALIFIERS = {"const_type": "const", "volatile_type": "volatile", "restrict_type": "restrict"}
_THROUGH = frozenset({*QUALIFIERS, "typedef", "atomic_type"})

ATE_BOOLEAN, ATE_COMPLEX, ATE_FLOAT, ATE_SIGNED, ATE_SIGNED_CHAR = 2, 3, 4, 5, 6
ATE_IMAGINARY = 9
LANG_RUST = 0x1C
OP_ADDR, OP_CONSTU, OP_PLUS_UCONST, OP_ADDRX, OP_GNU_ADDR_INDEX = 0x03, 0x10, 0x23, 0xA1, 0xFB

# What BTF cannot say as an integer (24 bits, 80 bits) is encoded as an int of this name.
PLACEHOLDER = "__SANITIZED_FAKE_INT__"
_FLOATS = (2, 4, 8, 12, 16)
_DEPTH = 200


class Reader:
    """Describes units one after the other; keeps a few for references between units."""

    def __init__(self, section: Section, features: Features, languages: frozenset[int]) -> None:
        self.section = section
        self.features = features
        self.languages = languages
        self._kept: dict[int, _Unit] = {}

    def describe(self, indices: Iterable[int], into: Described) -> None:
        """Add what these units say; units in a language that is left out say nothing."""
        for index in indices:
            unit = self.unit(index)
            into.seen["unit"] += 1
            into.seen["DIE"] += unit.dwarf.count
            if unit.dwarf.language in self.languages:
                into.seen["left out"] += 1
            else:
                with reading(f"{self.section.where}, unit at {unit.dwarf.offset:#x}"):
                    unit.describe(into)

    def unit(self, index: int) -> _Unit:
        """A unit by its number; the last few stay in memory."""
        found = self._kept.pop(index, None) or _Unit(self, self.section.read(index))
        self._kept[index] = found
        if len(self._kept) > 16:
            del self._kept[next(iter(self._kept))]
        return found

    def containing(self, offset: int) -> _Unit:
        """The unit that has a DIE at this offset of the section."""
        index = bisect_right(self.section.starts, offset) - 1
        if index < 0:
            raise ValueError("reference before the first unit")
        return self.unit(index)


class _Unit:
    """One unit, and the types that were already spelled."""

    def __init__(self, reader: Reader, dwarf: Unit) -> None:
        self.reader = reader
        self.dwarf = dwarf
        self.features = reader.features
        self.big_endian = reader.section.order == ">"
        self._spelled: dict[int, Pair] = {}

    def describe(self, into: Described) -> None:
        layouts, seen = into.layouts, into.seen
        for die in self.dwarf.dies.values():
            tag = die.tag
            if tag in KEYWORDS:
                kind = KEYWORDS[tag]
                name = self.name(die)
                empty = kind == "enum" and name and not die.children
                if die.attributes.get("declaration") or empty:
                    # BTF does not tell an enum that is only declared from one without values.
                    kind = DECLARATIONS[kind]
                    fact = Layout(kind, name, "")
                else:
                    fact = Layout(kind, name, self.body(die))
            elif tag == "typedef":
                kind = "typedef"
                fact = Layout(kind, self.name(die), spelling.declare(self.target(die)))
            elif tag == "base_type":
                kind = "base type"
                fact = Layout(kind, *self.base_type(die))
            elif tag == "subprogram":
                self._function(die, into)
                continue
            elif tag == "variable":
                self._variable(die, into)
                continue
            else:
                continue
            seen[kind] += 1
            layouts.setdefault(fact, die.offset)

    # --- DIEs ---------------------------------------------------------------------------

    def find(self, offset: int) -> tuple[_Unit, Die]:
        """The type at an offset, and its unit. What C has no word for is void, as in BTF."""
        die = self.dwarf.dies.get(offset)
        if die is not None:
            return self, die
        inside = self.dwarf.offset <= offset < self.dwarf.end
        unit = self if inside else self.reader.containing(offset)
        return unit, unit.dwarf.dies.get(offset) or Die(offset, "unspecified_type", {})

    def origin(self, die: Die) -> tuple[_Unit, Die] | None:
        """The DIE that this one completes: its declaration, or its abstract instance."""
        offset = die.attributes.get("abstract_origin", die.attributes.get("specification"))
        if not isinstance(offset, int):
            return None
        inside = self.dwarf.offset <= offset < self.dwarf.end
        unit = self if inside else self.reader.containing(offset)
        found = unit.dwarf.dies.get(offset) or unit.dwarf.parts.get(offset)
        # Not kept are local variables and what C++ declares in a namespace.
        return (unit, found) if found else None

    def inherited(self, die: Die, attribute: str) -> tuple[_Unit, Die] | None:
        """The first of the DIE and those it completes that has the attribute."""
        unit: _Unit = self
        for _ in range(_DEPTH):
            if attribute in die.attributes:
                return unit, die
            more = unit.origin(die)
            if more is None:
                break
            unit, die = more
        return None

    def name(self, die: Die) -> str:
        found = self.inherited(die, "name")
        value = found[1].attributes["name"] if found else ""
        return value if isinstance(value, str) else ""

    # --- types --------------------------------------------------------------------------

    def target(self, die: Die) -> Pair:
        """The type that DW_AT_type names; void without one."""
        offset = die.attributes.get("type")
        return self.spell(offset) if isinstance(offset, int) else spelling.VOID

    def spell(self, offset: int) -> Pair:
        """The type at an offset of the section."""
        found = self._spelled.get(offset)
        if found is None:
            self._spelled[offset] = spelling.CIRCLE
            unit, die = self.find(offset)
            found = unit.spell(offset) if unit is not self else self._spell(die)
            self._spelled[offset] = found
        return found

    def _spell(self, die: Die) -> Pair:
        tag = die.tag
        if tag in KEYWORDS:
            keyword, name = KEYWORDS[tag], self.name(die)
            if name or die.attributes.get("declaration"):
                return f"{keyword} {name}", ""
            return spelling.unnamed(keyword, self.body(die))
        if tag == "pointer_type":
            of = self.target(die)
            for value in self._type_tags(die):
                of = spelling.tagged(of, value)
            return spelling.pointer(of)
        if tag in QUALIFIERS:
            return spelling.qualified(self.target(die), QUALIFIERS[tag])
        if tag == "typedef":
            return self.name(die), ""
        if tag == "base_type":
            return self.base_type(die)[0], ""
        if tag == "atomic_type":
            return self.target(die)
        if tag == "array_type":
            return spelling.array(self.target(die), _elements(die))
        if tag == "subroutine_type":
            return spelling.function(self.target(die), self.parameters(die))
        if tag == "unspecified_type":
            return spelling.VOID
        return f"<{tag}>", ""

    def body(self, die: Die) -> str:
        """What is in a struct, union or enum."""
        size = die.attributes.get("byte_size")
        if die.tag == "enumeration_type":
            # An enum that is only declared may have no size; its type is then that of int.
            bytes_ = size if isinstance(size, int) else 4
            values = ((self.name(v), _integer(v, "const_value")) for v in die.children)
            return spelling.enumeration(bytes_, values, not self.features.enum64)
        members = [child for child in die.children if child.tag == "member"]
        if self.dwarf.language == LANG_RUST:
            # Rust reorders fields; BTF has them in the order of their places.
            members.sort(key=lambda member: self.bit_offset(member) // 8)
        lines = [self._member(member) for member in members]
        return spelling.aggregate(size if isinstance(size, int) else 0, lines)

    def _member(self, die: Die) -> str:
        name = die.attributes.get("name", "")
        assert isinstance(name, str)
        bits = _integer(die, "bit_size")
        return spelling.member(self.bit_offset(die), bits, self.target(die), name)

    def bit_offset(self, die: Die) -> int:
        """Where a member starts, in bits."""
        attributes = die.attributes
        location = attributes.get("data_member_location", 0)
        if isinstance(location, bytes):
            if not location or location[0] not in (OP_PLUS_UCONST, OP_CONSTU):
                raise ValueError("a member at a computed place")
            location = uleb(location, 1)[0]
        start = 8 * location if isinstance(location, int) else 0
        if not attributes.get("bit_size"):
            return start
        if "data_bit_offset" in attributes:
            return _integer(die, "data_bit_offset")
        if "bit_offset" not in attributes:
            return start
        # DWARF 2 and 3 count from the most significant bit of the storage unit.
        offset = _integer(die, "bit_offset")
        if offset >= 1 << 63:
            # A field that begins before its storage unit; clang writes that as unsigned.
            offset -= 1 << 64
        if self.big_endian:
            return start + offset
        storage = attributes.get("byte_size")
        size = storage if isinstance(storage, int) else self.size(attributes.get("type"))
        return start + 8 * size - offset - _integer(die, "bit_size")

    def base_type(self, die: Die) -> tuple[str, str]:
        """Name and content of a base type as BTF has it."""
        size, encoding = _integer(die, "byte_size"), die.attributes.get("encoding")
        if encoding == ATE_FLOAT and self.features.float and size in _FLOATS:
            return self.name(die), spelling.floating(size)
        how = "signed" if encoding in (ATE_SIGNED, ATE_SIGNED_CHAR) else ""
        how = "bool" if encoding == ATE_BOOLEAN else how
        if size & (size - 1) or not 0 < size <= 16:
            return PLACEHOLDER, spelling.integer(4, 32, how)
        return self.name(die), spelling.integer(size, 8 * size, how)

    def parameters(self, die: Die) -> list[str]:
        """Declarations of the parameters; ``...`` at the end of variadic ones."""
        lines = []
        variadic = False
        for child in die.children:
            if child.tag == "formal_parameter":
                found = self.inherited(child, "type")
                of = found[0].target(found[1]) if found else spelling.VOID
                lines.append(spelling.declare(of, self.name(child)))
            elif child.tag == "unspecified_parameters":
                variadic = True
        return [*lines, "..."] if variadic else lines

    def _type_tags(self, die: Die) -> list[str]:
        """Of a pointer: the tags of what it points at, the innermost first."""
        if not self.features.type_tag:
            return []
        own = [child for child in die.children if child.tag == "LLVM_annotation"]
        tags = [_tag(child) for child in own if child.attributes.get("name") == "btf_type_tag"]
        if not tags:
            # gcc's form: a chain of DIEs, the outermost first.
            chain = die
            while isinstance(offset := chain.attributes.get("GNU_annotation"), int):
                chain = self.find(offset)[1]
                if chain.attributes.get("name") != "btf_type_tag" or len(tags) > _DEPTH:
                    break
                tags.insert(0, _tag(chain))
        return tags

    def size(self, offset: object) -> int:
        """Bytes of a type; 0 for what has no size."""
        unit, count = self, 1
        for _ in range(_DEPTH):
            if not isinstance(offset, int):
                return 0
            unit, die = unit.find(offset)
            size = die.attributes.get("byte_size")
            if die.tag == "array_type":
                count *= _elements(die)
            elif die.tag == "pointer_type":
                return count * (size if isinstance(size, int) else unit.dwarf.address_size)
            elif die.tag not in _THROUGH:
                return count * size if isinstance(size, int) else 0
            offset = die.attributes.get("type")
        return 0

    # --- functions and variables --------------------------------------------------------

    def _function(self, die: Die, into: Described) -> None:
        name = self.name(die)
        if die.attributes.get("declaration") or not name:
            return
        into.seen["function"] += 1
        found = self.inherited(die, "type")
        result = found[0].target(found[1]) if found else spelling.VOID
        parameters = [c for c in die.children if c.tag == "formal_parameter"]
        address = die.attributes.get("low_pc")
        fact = Function(
            name,
            spelling.prototype(result, self.parameters(die)),
            address if isinstance(address, int) else None,
            all(self.name(p) for p in parameters),
        )
        into.functions.setdefault(fact, die.offset)

    def _variable(self, die: Die, into: Described) -> None:
        name = self.name(die)
        if die.attributes.get("declaration") or die.attributes.get("artificial") or not name:
            return
        address = self._address(die.attributes.get("location"))
        if address is None:
            return
        into.seen["variable"] += 1
        found = self.inherited(die, "type")
        external = self.inherited(die, "external")
        fact = Variable(
            name,
            address,
            spelling.declare(found[0].target(found[1])) if found else "void",
            found[0].size(found[1].attributes["type"]) if found else 0,
            bool(external and external[1].attributes["external"]),
        )
        into.variables.setdefault(fact, die.offset)

    def _address(self, location: object) -> int | None:
        """The address that a location is; None for registers, thread-locals and lists."""
        if not isinstance(location, bytes) or not location:
            return None
        size, forms = self.dwarf.address_size, self.dwarf.forms
        if location[0] == OP_ADDR and len(location) > size:
            address, at = forms.number(location, 1, size), 1 + size
        elif location[0] in (OP_ADDRX, OP_GNU_ADDR_INDEX):
            index, at = uleb(location, 1)
            address = self.dwarf.address(index)
        else:
            return None
        if at == len(location):
            return address
        if location[at] != OP_PLUS_UCONST:
            return None
        more, at = uleb(location, at + 1)
        return (address + more) % (1 << 8 * size) if at == len(location) else None


def _elements(die: Die) -> int:
    """Of an array, all dimensions multiplied; a dimension without a constant bound has none."""
    count = 1
    for child in die.children:
        if child.tag not in ("subrange_type", "generic_subrange"):
            continue
        if "upper_bound" in child.attributes:
            bound = child.attributes["upper_bound"]
            dimension = bound + 1 if isinstance(bound, int) else 0
        else:
            own = child.attributes.get("count")
            dimension = own if isinstance(own, int) else 0
        count = count * dimension % (1 << 32)
    return count


def _integer(die: Die, attribute: str) -> int:
    value = die.attributes.get(attribute, 0)
    if not isinstance(value, int):
        raise ValueError(f"{attribute} is no number")
    return value


def _tag(die: Die) -> str:
    value = die.attributes.get("const_value")
    return value if isinstance(value, str) else ""
