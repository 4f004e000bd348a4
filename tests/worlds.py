# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Small worlds: compile units that agree on some types and contradict each other on others.

A world is made from one or two templates, random graphs of types with very few names. Each unit
takes a part of a template and changes it: a struct is only declared, a member has another name, a
pointer leads elsewhere. So equal duplicates, declarations and names with several definitions, near
and far from each other, occur in nearly all of them. `random_world(Random(seed))` is the world
again; its repr says all of it.

`Files` writes a world as the files that compilers and linkers would leave: objects of one or of
several units, and the linked image. Units are joined as `ld` does it, section by section.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from dwarfwriter import (
    ATE,
    DIE,
    LANG_C11,
    LANG_RUST,
    Form,
    OP_reg0,
    Ref,
    Unit,
    Value,
    at,
    dwarf_sections,
)
from elfwriter import (
    ET_EXEC,
    ET_REL,
    SHF_ALLOC,
    SHF_EXECINSTR,
    SHF_WRITE,
    STB_GLOBAL,
    STB_LOCAL,
    STB_WEAK,
    STT_FUNC,
    STT_OBJECT,
    Address,
    Fixup,
    Section,
    Symbol,
    file_symbol,
    write_elf,
)

# What a name may mean: a type that recursion of C passes through.
TAGGED = ("struct", "union", "enum")
_DECLARED = ("fwd struct", "fwd union", "fwd enum")
_TYPE_TAG, _DECL_TAG = "btf_type_tag", "btf_decl_tag"


@dataclass(frozen=True)
class Part:
    """A member, a parameter or an enumerator. `to`: number of its type; `value`: width of a
    bit-field (0: none), or what an enumerator stands for."""

    name: str
    to: int = 0
    value: int = 0


@dataclass(frozen=True)
class Type:
    """A type of a unit; types are numbered from 1, 0 is void. `to`: what it points to, is made
    of or returns. `count`: elements of an array, bytes of an int or enum. `tags`: of a pointer
    its type tag, else declaration tags by component (-1: the type)."""

    kind: str
    name: str = ""
    to: int = 0
    count: int = 0
    parts: tuple[Part, ...] = ()
    tags: tuple[tuple[int, str], ...] = ()

    def refers(self) -> Iterable[int]:
        yield self.to
        yield from (part.to for part in self.parts)


@dataclass(frozen=True)
class Function:
    """`code`: how its symbol is bound ("" is inlined everywhere)."""

    name: str
    to: int
    params: tuple[Part, ...]
    code: str
    tags: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class Variable:
    """A per-CPU variable, defined here."""

    name: str
    to: int
    code: str


@dataclass(frozen=True)
class Source:
    """One compile unit."""

    types: tuple[Type, ...]
    functions: tuple[Function, ...]
    variables: tuple[Variable, ...]
    rust: bool = False

    def size(self, number: int) -> int:
        """Size in bytes of an object of this type; 0 when there can be none."""
        if not number:
            return 0
        this = self.types[number - 1]
        if this.kind == "ptr":
            return 8
        if this.kind == "array":
            return this.count * self.size(this.to)
        if this.kind in ("const", "volatile", "typedef"):
            return self.size(this.to)
        if this.kind == "union":
            return max((self.size(part.to) for part in this.parts), default=0)
        if this.kind == "struct":
            return sum(self.size(part.to) for part in this.parts)
        return this.count

    def offsets(self, this: Type) -> list[int]:
        """Where the members of a struct or union are, in bytes."""
        found, end = [], 0
        for part in this.parts:
            found.append(end)
            end += self.size(part.to) if this.kind == "struct" else 0
        return found


World = tuple[Source, ...]


# --- making them up -----------------------------------------------------------------------------


def random_world(random: Random) -> World:
    """A world that has types."""
    while True:
        world = _random_world(random)
        if any(source.types for source in world if not source.rust):
            return world


def _random_world(random: Random) -> World:
    templates = [_template(random) for _ in range(random.choice([1, 1, 2]))]
    change = random.choice([0.0, 0.1, 0.3, 0.5])
    plans = {name: random.choice(["global", "local", "weak", ""]) for name in ("f", "g")}
    count = random.choice([1, 2, 2, 3, 3, 4, 5, 6])
    owners = {name: random.randrange(count) for name in ("f", "g", "v", "w")}
    units = []
    for number in range(count):
        types = random.choice(templates)
        types = _changed(random, types, change)
        functions = []
        for name, plan in plans.items():
            owner = owners[name] == number
            if owner or random.random() < 0.5:
                code = {"global": "global" if owner else "", "local": "local", "": ""}.get(
                    plan, "global" if owner else "weak"
                )
                functions.append(_function(random, name, types, code))
        variables = []
        for name in ("v", "w"):
            owner = owners[name] == number
            if (owner and random.random() < 0.5) or random.random() < 0.2:
                whole = [i for i in range(1, len(types) + 1) if _is_complete(types, i)]
                if whole:
                    code = "global" if owner else "local"
                    variables.append(Variable(name, random.choice(whole), code))
        rust = number not in owners.values() and random.random() < 0.2
        source = Source(tuple(types), () if rust else tuple(functions), tuple(variables), rust)
        units.append(_part(random, source))
    return tuple(units)


def _tag(random: Random) -> str:
    return random.choice("aaabbc")


def _template(random: Random) -> list[Type]:
    """Types that refer to earlier ones, and to later ones only where C allows it."""
    kinds = ["int", *random.choices(_KINDS, _WEIGHTS, k=random.randint(2, 12))]
    if random.random() < 0.2:
        kinds = kinds[1:]
    tags = [_tag(random) if random.random() < 0.8 else "" for _ in kinds]
    named = [
        i
        for i, (kind, tag) in enumerate(zip(kinds, tags, strict=True), 1)
        if kind in _DECLARED or (kind in TAGGED and tag)
    ]
    types: list[Type] = []
    for i, (kind, tag) in enumerate(zip(kinds, tags, strict=True), 1):
        anything = [0, *range(1, i), *named]
        complete = [n for n in range(1, i) if _is_complete(types, n)]
        types.append(_type(random, kind, tag, types, anything, complete))
    return types


_KINDS = [*TAGGED, *_DECLARED, "ptr", "typedef", "const", "volatile", "array", "function", "int"]
_WEIGHTS = [6, 2, 2, 2, 1, 1, 6, 2, 1, 1, 1, 2, 1]


def _type(
    random: Random,
    kind: str,
    tag: str,
    types: list[Type],
    anything: list[int],
    complete: list[int],
) -> Type:
    if kind == "int":
        name, size = random.choice([("int", 4), ("int", 4), ("int", 4), ("long", 8), ("char", 1)])
        return Type(kind, name, count=size)
    if kind in _DECLARED:
        size = random.choice([4, 4, 4, 8, 1]) if kind == "fwd enum" else 0
        return Type(kind, tag or "a", count=size)
    if kind == "enum":
        values = tuple(
            Part(name, value=random.choice([0, 1, 2, -1])) for name in random.sample("xyz", 2)
        )
        size = random.choice([4, 4, 4, 8])
        return Type(kind, tag, count=size, parts=values[: random.randint(1, 2)])
    if kind in ("struct", "union"):
        most = random.randint(0, 3) if complete else 0
        parts = tuple(_member(random, name, types, complete) for name in "xyz"[:most])
        return Type(kind, tag, parts=parts, tags=_tags(random, len(parts)))
    if kind == "array" and complete:
        return Type(kind, to=random.choice(complete), count=random.randint(0, 2))
    if kind == "function":
        plain = [n for n in complete if _is_scalar(types, n)]
        return Type(kind, to=_result(random, plain), parts=_params(random, plain))
    if kind == "typedef":
        return Type(kind, random.choice("abt"), to=random.choice(anything), tags=_tags(random, 0))
    if kind in ("const", "volatile"):
        fit = [n for n in anything if n > len(types) or not n or _may_be_const(types[n - 1].kind)]
        return Type(kind, to=random.choice(fit))
    tags = ((-1, random.choice("pq")),) if random.random() < 0.15 else ()
    return Type("ptr", to=random.choice(anything), tags=tags)


def _may_be_const(kind: str) -> bool:
    return kind not in ("const", "volatile", "function", "array")


def _member(random: Random, name: str, types: list[Type], complete: list[int]) -> Part:
    to = random.choice(complete)
    plain = types[to - 1].kind == "int"
    bits = random.randint(1, 8) if plain and random.random() < 0.1 else 0
    return Part("" if types[to - 1].kind in TAGGED and random.random() < 0.2 else name, to, bits)


def _tags(random: Random, components: int) -> tuple[tuple[int, str], ...]:
    if random.random() < 0.85:
        return ()
    return ((random.randint(-1, components - 1), random.choice("pq")),)


def _result(random: Random, plain: list[int]) -> int:
    return random.choice([0, *plain])


def _params(random: Random, plain: list[int]) -> tuple[Part, ...]:
    count = random.randint(0, 2) if plain else 0
    return tuple(Part(random.choice("xy"), random.choice(plain)) for _ in range(count))


def _is_complete(types: Sequence[Type], number: int) -> bool:
    """Can there be objects of this type? A typedef of a later type has none yet."""
    seen = 0
    while number and seen < len(types):
        this, seen = types[number - 1], seen + 1
        if this.kind not in ("const", "volatile", "typedef"):
            return this.kind != "function" and this.kind not in _DECLARED
        if this.to >= number:
            return False
        number = this.to
    return False


def _is_scalar(types: Sequence[Type], number: int) -> bool:
    while types[number - 1].kind in ("const", "volatile", "typedef"):
        number = types[number - 1].to
    return types[number - 1].kind in ("int", "ptr", "enum")


def _function(random: Random, name: str, types: Sequence[Type], code: str) -> Function:
    plain = [n for n in range(1, len(types) + 1) if _is_complete(types, n)]
    plain = [n for n in plain if _is_scalar(types, n)]
    # The first choice is the same in most units, so that they mostly agree.
    if random.random() < 0.7:
        plain = plain[:1]
        params = tuple(Part("x", n) for n in plain)
        return Function(name, 0, params, code)
    params = _params(random, plain)
    return Function(name, _result(random, plain), params, code, _tags(random, len(params)))


def _contained(types: Sequence[Type]) -> set[int]:
    """Types that others hold by value: these must stay complete."""
    found: set[int] = set()
    for this in types:
        if this.kind in ("struct", "union"):
            found.update(part.to for part in this.parts)
        elif this.kind == "array":
            found.add(this.to)
        elif this.kind == "function":
            found.update(this.refers())
    grown = True
    while grown:
        more = {
            types[n - 1].to
            for n in found
            if n and types[n - 1].kind in ("const", "volatile", "typedef")
        }
        grown = not more <= found
        found |= more
    return found


def _changed(random: Random, types: Sequence[Type], probability: float) -> list[Type]:
    contained = _contained(types)
    named = [i for i, t in enumerate(types, 1) if t.name and t.kind in (*TAGGED, *_DECLARED)]
    changed = list(types)
    for i, this in enumerate(types, 1):
        if this.kind in TAGGED and this.name and i not in contained and random.random() < 0.2:
            size = random.choice([4, this.count]) if this.kind == "enum" else 0
            changed[i - 1] = Type(f"fwd {this.kind}", this.name, count=size)
        elif random.random() < probability:
            changed[i - 1] = _change(random, this, i, named)
    return changed


def _change(random: Random, this: Type, number: int, named: list[int]) -> Type:
    if this.kind == "ptr":
        return replace(this, to=random.choice([0, *range(1, number), *named]))
    if this.kind == "int":
        return replace(this, name=random.choice(["int", "wide"]), count=4)
    if this.kind == "array":
        return replace(this, count=this.count + 1)
    if this.kind in ("struct", "union", "enum") and this.parts:
        how, parts = random.randrange(4), list(this.parts)
        where = random.randrange(len(parts))
        if how == 0 and len(parts) > 1:
            del parts[where]
        elif how == 1:
            return replace(this, name=random.choice("abc") if this.name else "")
        elif how == 2 and this.kind == "enum":
            parts[where] = replace(parts[where], value=parts[where].value + 1)
        elif how == 2 and len(parts) > 1:
            parts[0], parts[-1] = parts[-1], parts[0]
        else:
            parts[where] = replace(parts[where], name="w")
        return replace(this, parts=tuple(parts), tags=())
    if this.kind == "typedef":
        return replace(this, name=random.choice("abt"))
    return this


def _part(random: Random, source: Source) -> Source:
    """The types that a random choice of them needs, in another order."""
    needed = [n for n in range(1, len(source.types) + 1) if random.random() < 0.5]
    needed += [n for f in source.functions for n in (f.to, *(p.to for p in f.params))]
    needed += [v.to for v in source.variables]
    kept: set[int] = set()
    while needed:
        n = needed.pop()
        if n and n not in kept:
            kept.add(n)
            needed += source.types[n - 1].refers()
    order = sorted(kept)
    random.shuffle(order)
    new = {old: place for place, old in enumerate(order, 1)}
    new[0] = 0

    def moved(parts: tuple[Part, ...]) -> tuple[Part, ...]:
        return tuple(replace(part, to=new[part.to]) for part in parts)

    def here(n: int) -> Type:
        this = source.types[n - 1]
        return replace(this, to=new[this.to], parts=moved(this.parts))

    return Source(
        tuple(here(n) for n in order),
        tuple(replace(f, to=new[f.to], params=moved(f.params)) for f in source.functions),
        tuple(replace(v, to=new[v.to]) for v in source.variables),
        source.rust,
    )


# --- writing them down --------------------------------------------------------------------------

CODE, SLOT = 16, 8
"""Bytes of code of each function; alignment of each variable."""
TEXT, PERCPU = ".text", ".data..percpu"
_BASES = {TEXT: 0x10000, PERCPU: 0x2000000}
_BINDING = {"local": STB_LOCAL, "global": STB_GLOBAL, "weak": STB_WEAK}
_DWARF_TAGS = {
    "ptr": "pointer_type",
    "const": "const_type",
    "volatile": "volatile_type",
    "typedef": "typedef",
    "array": "array_type",
    "struct": "structure_type",
    "union": "union_type",
    "enum": "enumeration_type",
    "function": "subroutine_type",
    "int": "base_type",
}
# DWARF numbers of the registers that pass the first arguments on x86-64.
_REGISTERS = (5, 4, 1, 2)


def _text(value: str) -> Form:
    """In place, so that units can be joined without a common string section."""
    return Form("string", value)


def _annotations(kind: str, tags: Iterable[tuple[int, str]], component: int) -> list[DIE]:
    return [
        DIE("LLVM_annotation", {"name": _text(kind), "const_value": _text(value)})
        for where, value in tags
        if where == component
    ]


def _named(name: str, to: int) -> dict[str, Value]:
    attrs: dict[str, Value] = {"name": _text(name)} if name else {}
    if to:
        attrs["type"] = Ref(str(to))
    return attrs


def _external(code: str) -> dict[str, Value]:
    return {} if code == "local" else {"external": True}


def _die(source: Source, number: int, this: Type) -> DIE:
    kind = this.kind.removeprefix("fwd ")
    attrs = _named(this.name, this.to)
    children: list[DIE] = []
    if kind != this.kind:
        attrs["declaration"] = True
    if this.kind in ("struct", "union"):
        attrs["byte_size"] = source.size(number)
        for i, (part, offset) in enumerate(zip(this.parts, source.offsets(this), strict=True)):
            more: dict[str, Value] = (
                {"data_bit_offset": offset * 8, "bit_size": part.value}
                if part.value
                else {"data_member_location": offset}
            )
            annotated = _annotations(_DECL_TAG, this.tags, i)
            children.append(DIE("member", {**_named(part.name, part.to), **more}, annotated))
    elif kind == "enum":
        attrs["byte_size"] = this.count
        children = [
            DIE("enumerator", {"name": _text(p.name), "const_value": Form("sdata", p.value)})
            for p in this.parts
        ]
    elif kind == "int":
        attrs["byte_size"] = this.count
        attrs["encoding"] = ATE.signed
    elif kind == "array":
        children = [DIE("subrange_type", {"count": this.count})]
    elif kind == "function":
        children = [DIE("formal_parameter", _named(p.name, p.to)) for p in this.parts]
    children += _annotations(_TYPE_TAG if kind == "ptr" else _DECL_TAG, this.tags, -1)
    return DIE(_DWARF_TAGS[kind], attrs, children, str(number))


class _Compiled:
    """A unit as sections, whose fixups count from the start of its own part of each."""

    def __init__(self, source: Source, file: str) -> None:
        dies = [_die(source, i, this) for i, this in enumerate(source.types, 1)]
        self.symbols = [file_symbol(file)]
        code = data = 0
        for f in source.functions:
            attrs: dict[str, Value] = {**_named(f.name, f.to), "prototyped": True}
            if f.code:
                attrs |= {"low_pc": Address(TEXT, code), "high_pc": CODE}
                attrs |= _external(f.code)
                symbol = Symbol(f.name, TEXT, code, CODE, STT_FUNC, _BINDING[f.code])
                self.symbols.append(symbol)
                code += CODE
            else:
                attrs["inline"] = 3
            children = []
            for i, (part, register) in enumerate(zip(f.params, _REGISTERS, strict=False)):
                where: dict[str, Value] = {"location": bytes([OP_reg0 + register])}
                parameter = {**_named(part.name, part.to), **(where if f.code else {})}
                annotated = _annotations(_DECL_TAG, f.tags, i)
                children.append(DIE("formal_parameter", parameter, annotated))
            children += _annotations(_DECL_TAG, f.tags, -1)
            dies.append(DIE("subprogram", attrs, children))
        for v in source.variables:
            size = source.size(v.to)
            attrs = {**_named(v.name, v.to), "location": at(PERCPU, data), **_external(v.code)}
            symbol = Symbol(v.name, PERCPU, data, size, STT_OBJECT, _BINDING[v.code])
            self.symbols.append(symbol)
            data += max(SLOT, -(-size // SLOT) * SLOT)
            dies.append(DIE("variable", attrs))
        language = LANG_RUST if source.rust else LANG_C11
        unit = Unit(dies, {"name": _text(file), "language": language})
        self.sections = dwarf_sections([unit])
        self.memory = {TEXT: code, PERCPU: data}


class Files:
    """The files of a world; its units have numbers from 0."""

    def __init__(self, world: World) -> None:
        self.units = [_Compiled(source, f"{i}.c") for i, source in enumerate(world)]

    def object(self, units: Sequence[int]) -> bytes:
        """An object with these units. What they have in memory lies in it as in the image: sections
        are moved as a whole."""
        return self._joined(units, units, ET_REL)

    def image(self, order: Sequence[int] | None = None) -> bytes:
        """The linked file. `order`: of the units' debug information; the memory stays as it is."""
        everything = range(len(self.units))
        return self._joined(everything, everything if order is None else order, ET_EXEC)

    def _joined(self, memory: Sequence[int], debug: Sequence[int], kind: int) -> bytes:
        ends = dict.fromkeys(_BASES, 0)
        starts: list[dict[str, int]] = [{} for _ in self.units]
        for u, unit in enumerate(self.units):
            for name, size in unit.memory.items():
                starts[u][name] = ends[name]
                ends[name] += size
        for name in _BASES:
            first = min(starts[u][name] for u in memory)
            ends[name] -= first
            for u in memory:
                starts[u][name] -= first
        joined: dict[str, Section] = {}
        data: dict[str, bytearray] = {}
        for u in debug:
            for section in self.units[u].sections:
                joined.setdefault(section.name, Section(section.name))
                starts[u][section.name] = len(data.setdefault(section.name, bytearray()))
                data[section.name] += section.data
            for section in self.units[u].sections:
                start = starts[u][section.name]
                joined[section.name].fixups += [
                    Fixup(offset + start, Address(to.of, to.offset + starts[u][to.of]), size)
                    for offset, to, size in section.fixups
                ]
        for name, section in joined.items():
            section.data = bytes(data[name])
        sections = [
            Section(TEXT, bytes(ends[TEXT]), flags=SHF_ALLOC | SHF_EXECINSTR, align=16),
            Section(PERCPU, bytes(ends[PERCPU]), flags=SHF_ALLOC | SHF_WRITE, align=8),
        ]
        if kind == ET_EXEC:
            for section in sections:
                section.addr = _BASES[section.name]
        symbols = [
            s._replace(value=s.value + starts[u][s.section]) if isinstance(s.section, str) else s
            for u in memory
            for s in self.units[u].symbols
        ]
        # A strong definition takes the place of the weak ones.
        strong = {s.name for s in symbols if s.bind == STB_GLOBAL}
        symbols = [s for s in symbols if s.bind != STB_WEAK or s.name not in strong]
        return write_elf([*sections, *joined.values()], symbols, type=kind)


def write(path: Path, content: bytes) -> str:
    # To write over a file waits for the disk, on ext4.
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    return str(path)
