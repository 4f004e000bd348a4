# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Objects of any size, each made so that one careless loop would take time in the square of it.

What is valid but absurd counts as well as what is damaged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from dwarfwriter import (
    ATE,
    DIE,
    LANG_C11,
    LANG_C_PLUS_PLUS,
    Form,
    LocList,
    OP_fbreg,
    OP_reg0,
    Ref,
    RngList,
    Unit,
    Value,
    at,
    dwarf_sections,
    uleb,
    write_dwarf,
)
from elfwriter import (
    SHF_ALLOC,
    SHF_EXECINSTR,
    SHT_NOBITS,
    STB_LOCAL,
    STT_FUNC,
    STT_OBJECT,
    Address,
    Section,
    Symbol,
    write_elf,
)

Family: TypeAlias = Callable[[int], bytes]
FAMILIES: dict[str, Family] = {}

Lists: TypeAlias = Callable[[int], dict[str, bytes]]
LISTS: dict[str, Lists] = {}
"""Files that say which objects an image or a module was linked from; each is there with a.o, b.o,
.tmp_vmlinux1 and m.ko."""


def family(make: Family) -> Family:
    FAMILIES[make.__name__] = make
    return make


def lists(make: Lists) -> Lists:
    LISTS[make.__name__] = make
    return make


def number() -> DIE:
    return DIE("base_type", {"name": "int", "byte_size": 4, "encoding": ATE.signed})


def text(size: int = 64) -> Section:
    return Section(".text", bytes(size), flags=SHF_ALLOC | SHF_EXECINSTR, align=16)


C: dict[str, Value] = {"name": "a.c", "language": LANG_C11}
CLANG: dict[str, Value] = {**C, "producer": "clang version 19"}


# --- units and their abbreviations ----------------------------------------------------------------


def _unit(table: int, dies: bytes, version: int = 4) -> bytes:
    """A unit by hand, whose abbreviations are at an offset."""
    if version == 4:
        body = b"\4\0" + table.to_bytes(4, "little") + b"\x08" + dies
    else:
        body = b"\5\0\1\x08" + table.to_bytes(4, "little") + dies
    return len(body).to_bytes(4, "little") + body


def _by_hand(abbrev: bytes, info: bytes) -> bytes:
    return write_elf(
        [Section(".debug_abbrev", abbrev), Section(".debug_info", info), text()],
        [Symbol("f", ".text", 0, 4, STT_FUNC)],
    )


def _declaration(code: int) -> bytes:
    """A base type of a name, a size and an encoding; the number of a form varies with the code."""
    size = [b"\x0b", b"\x05", b"\x06", b"\x07"][code % 4]
    return uleb(code) + b"\x24\0\x03\x08\x0b" + size + b"\x3e\x0b\0\0"


ROOT = b"\x01\x11\0\x03\x08\x13\x0b\0\0"
"""Code 1: a unit of a name and a language, without children."""


@family
def units_that_alternate_between_two_tables(n: int) -> bytes:
    table = ROOT + b"".join(_declaration(code) for code in range(2, n)) + b"\0"
    info = b"".join(_unit(len(table) * (i % 2), b"\x01a.c\0\x1d") for i in range(n))
    return _by_hand(table * 2, info)


@family
def units_that_alternate_between_seven_tables(n: int) -> bytes:
    table = ROOT + b"".join(_declaration(code) for code in range(2, n // 4)) + b"\0"
    info = b"".join(_unit(len(table) * (i % 7), b"\x01a.c\0\x1d") for i in range(n))
    return _by_hand(table * 7, info)


@family
def units_of_two_versions_and_one_table(n: int) -> bytes:
    table = ROOT + b"".join(_declaration(code) for code in range(2, n)) + b"\0"
    info = b"".join(_unit(0, b"\x01a.c\0\x1d", 4 + i % 2) for i in range(n))
    return _by_hand(table, info)


@family
def tables_that_are_ends_of_one_table(n: int) -> bytes:
    table = ROOT * n + b"\0"
    info = b"".join(_unit(len(ROOT) * i, b"\x01a.c\0\x1d") for i in range(n))
    return _by_hand(table, info)


@family
def abbreviations_with_high_codes(n: int) -> bytes:
    table = ROOT + uleb(0xFFFF) + b"\x24\0\0\0\0"
    info = b"".join(_unit(len(table) * i, b"\x01a.c\0\x1d") for i in range(n))
    return _by_hand(table * n, info)


@family
def empty_units(n: int) -> bytes:
    table = ROOT + b"\0"
    return _by_hand(table, b"".join(_unit(0, b"\x01a.c\0\x1d") for i in range(n)))


@family
def units_with_one_long_producer(n: int) -> bytes:
    table = b"\x01\x11\0\x25\x0e\x13\x0b\0\0\0"
    info = b"".join(_unit(0, b"\x01" + bytes(4) + b"\x1d") for i in range(n))
    return write_elf(
        [
            Section(".debug_abbrev", table),
            Section(".debug_info", info),
            Section(".debug_str", b"x" * 8 * n + b"\0"),
        ]
    )


@family
def units_that_each_refer_to_the_next(n: int) -> bytes:
    """The last has what BTF cannot hold."""
    attributes: dict[str, Value] = {"name": "a.cc", "language": LANG_C_PLUS_PLUS}
    units = []
    for i in range(n // 4):
        to = Form("ref_addr", Ref(str(i + 1)))
        units.append(Unit([DIE("const_type", {"type": to}, label=str(i))], attrs=attributes))
    last = DIE("reference_type", {"byte_size": 8}, label=str(n // 4))
    return write_dwarf([*units, Unit([last], attrs=attributes)])


# --- names ----------------------------------------------------------------------------------------


def _structs_at(places: list[int], strings: bytes) -> bytes:
    """Structs whose names are at these offsets of .debug_str."""
    unit = Unit(
        [DIE("structure_type", {"name": Form("sec_offset", p), "byte_size": 4}) for p in places]
    )
    sections = dwarf_sections([unit])
    for section in sections:
        if section.name == ".debug_abbrev":
            # DW_AT_name of DW_FORM_sec_offset becomes DW_FORM_strp.
            section.data = section.data.replace(b"\x03\x17", b"\x03\x0e")
        if section.name == ".debug_str":
            section.data += strings
    base = next(len(s.data) - len(strings) for s in sections if s.name == ".debug_str")
    assert base == len(b"\0a.c\0")
    return write_elf(sections)


@family
def names_that_are_ends_of_one_string(n: int) -> bytes:
    return _structs_at([5 + 4 * i for i in range(n)], b"abcd" * n + b"\0")


@family
def names_that_are_ends_of_strings_of_500(n: int) -> bytes:
    return _structs_at(
        [5 + i for i in range(n) if i % 500 != 499], (b"a" * 499 + b"\0") * (n // 500 + 1)
    )


@family
def one_long_name_again_and_again(n: int) -> bytes:
    return _structs_at([5] * n, b"a" * 8 * n + b"\0")


@family
def one_long_name_of_members(n: int) -> bytes:
    name = "m" * 8 * n
    members = [DIE("member", {"name": name, "type": Ref("int"), "data_member_location": 0})] * n
    base = number()
    base.label = "int"
    return write_dwarf([Unit([base, DIE("union_type", {"name": "u", "byte_size": 4}, members)])])


@family
def names_of_variables_that_are_ends_of_one_string(n: int) -> bytes:
    name = "v" * 8 * n
    base = number()
    symbols = [Symbol(name, ".data..percpu", 4 * i, 4, STT_OBJECT) for i in range(n)]
    variables = [
        DIE(
            "variable",
            {"name": name, "type": base, "external": True, "location": at(".data..percpu", 4 * i)},
        )
        for i in range(n)
    ]
    return write_dwarf(
        [Unit([base, *variables])], [Section(".data..percpu", bytes(4 * n), flags=3)], symbols
    )


@family
def names_of_definitions(n: int) -> bytes:
    """One name, and each time another struct."""
    base = number()
    return write_dwarf(
        [
            Unit(
                [
                    base,
                    *(
                        DIE(
                            "structure_type",
                            {"name": "s", "byte_size": 4 * i},
                            [
                                DIE(
                                    "member",
                                    {"name": f"m{i}", "type": base, "data_member_location": 0},
                                )
                            ],
                        )
                        for i in range(n)
                    ),
                ]
            )
        ]
    )


@family
def one_name_and_many_definitions_that_are_used(n: int) -> bytes:
    base = number()
    dies = [base]
    for i in range(n):
        one = DIE("structure_type", {"name": "s", "byte_size": 4 * i + 8})
        pointer = DIE("pointer_type", {"byte_size": 8, "type": one})
        user = DIE(
            "structure_type",
            {"name": f"u{i % 7}", "byte_size": 8},
            [DIE("member", {"name": "m", "type": pointer, "data_member_location": 0})],
        )
        one.children = [DIE("member", {"name": "m", "type": base, "data_member_location": 4 * i})]
        dies += [one, pointer, user]
    return write_dwarf([Unit(dies)])


@family
def many_units_of_many_definitions(n: int) -> bytes:
    """Each unit has a definition of its own of one name, and structs that lead there."""
    units = []
    for i in range(n // 4):
        base = number()
        one = DIE(
            "structure_type",
            {"name": "s", "byte_size": 4},
            [DIE("member", {"name": f"m{i}", "type": base, "data_member_location": 0})],
        )
        pointer = DIE("pointer_type", {"byte_size": 8, "type": one})
        users = [
            DIE(
                "structure_type",
                {"name": f"u{k}", "byte_size": 8},
                [DIE("member", {"name": "m", "type": pointer, "data_member_location": 0})],
            )
            for k in range(4)
        ]
        units.append(Unit([base, one, pointer, *users]))
    return write_dwarf(units)


@family
def a_chain_that_leads_to_two_definitions(n: int) -> bytes:
    units = []
    for k in range(2):
        base = number()
        last = DIE(
            "structure_type",
            {"name": "s", "byte_size": 4},
            [DIE("member", {"name": f"m{k}", "type": base, "data_member_location": 0})],
        )
        dies = [base, last]
        for i in range(n):
            pointer = DIE("pointer_type", {"byte_size": 8, "type": last})
            last = DIE(
                "structure_type",
                {"name": f"s{i}", "byte_size": 8},
                [DIE("member", {"name": "m", "type": pointer, "data_member_location": 0})],
            )
            dies += [pointer, last]
        units.append(Unit(dies))
    return write_dwarf(units)


# --- DIEs that lead to each other -----------------------------------------------------------------


def _chain(n: int, tag: str, **attrs: Value) -> list[DIE]:
    """Each DIE is of the one behind it; the last of int."""
    dies = []
    for i in range(n):
        dies.append(DIE(tag, {**attrs, "type": Ref(str(i + 1))}, label=str(i)))
    base = number()
    base.label = str(n)
    return [*dies, base]


@family
def typedefs_in_a_row(n: int) -> bytes:
    return write_dwarf([Unit(_chain(n, "typedef", name="t"))])


@family
def pointers_in_a_row(n: int) -> bytes:
    return write_dwarf([Unit(_chain(n, "pointer_type", byte_size=8))])


@family
def constants_in_a_row(n: int) -> bytes:
    return write_dwarf([Unit(_chain(n, "const_type"))])


@family
def atomics_in_a_row(n: int) -> bytes:
    return write_dwarf([Unit(_chain(n, "atomic_type"))])


@family
def arrays_in_a_row(n: int) -> bytes:
    dies = _chain(n, "array_type")
    for die in dies[:-1]:
        die.children = [DIE("subrange_type", {"count": 0})]
    return write_dwarf([Unit(dies)])


@family
def members_of_typedefs_in_a_row(n: int) -> bytes:
    dies = _chain(60, "typedef", name="t")
    member = DIE("member", {"name": "m", "type": Ref("0"), "bit_size": 3, "bit_offset": 1})
    return write_dwarf(
        [
            Unit(
                [*dies, DIE("structure_type", {"name": "s", "byte_size": 4}, [member] * n)],
                version=4,
            )
        ]
    )


@family
def a_circle_of_typedefs(n: int) -> bytes:
    dies = [
        DIE("typedef", {"name": f"t{i}", "type": Ref(str((i + 1) % n))}, label=str(i))
        for i in range(n)
    ]
    return write_dwarf([Unit(dies)])


@family
def a_circle_of_pointers(n: int) -> bytes:
    dies = [
        DIE("pointer_type", {"byte_size": 8, "type": Ref(str((i + 1) % n))}, label=str(i))
        for i in range(n)
    ]
    return write_dwarf([Unit(dies)])


@family
def prototypes_in_a_row(n: int) -> bytes:
    """Function types, each of two pointers to the next."""
    dies = []
    for i in range(n):
        pointer = DIE("pointer_type", {"byte_size": 8, "type": Ref(str(i + 1))}, label=f"p{i}")
        dies += [
            DIE(
                "subroutine_type",
                {},
                [DIE("formal_parameter", {"type": Ref(f"p{i}")})] * 2,
                label=str(i),
            ),
            pointer,
        ]
    base = number()
    base.label = str(n)
    return write_dwarf([Unit([*dies, base])])


@family
def structs_without_a_name_in_each_other(n: int) -> bytes:
    """Each twice in the next."""
    dies = []
    for i in range(n):
        member = DIE("member", {"type": Ref(str(i + 1)), "data_member_location": 0})
        dies.append(DIE("union_type", {"byte_size": 4}, [member] * 2, label=str(i)))
    base = number()
    base.label = str(n)
    return write_dwarf([Unit([*dies, base])])


@family
def structs_in_each_other(n: int) -> bytes:
    dies = []
    for i in range(n):
        member = DIE("member", {"name": "m", "type": Ref(str(i + 1)), "data_member_location": 1})
        dies.append(
            DIE("structure_type", {"name": f"s{i}", "byte_size": 4}, [member] * 2, label=str(i))
        )
    base = number()
    base.label = str(n)
    packed = [DIE("formal_parameter", {"name": "p", "type": Ref(str(i))}) for i in range(n)]
    f = DIE(
        "subprogram",
        {"name": "f", "external": True, "low_pc": Address(".text"), "high_pc": 4},
        packed,
    )
    return write_dwarf([Unit([*dies, base, f])], [text()], [Symbol("f", ".text", 0, 4, STT_FUNC)])


def _nested(tag: str, n: int, **attrs: Value) -> bytes:
    """By hand: the writer recurses."""
    unit = Unit([DIE(tag, attrs, [DIE(tag, attrs, [number()])])])
    sections = dwarf_sections([unit])
    info = next(s for s in sections if s.name == ".debug_info")
    # The DIE with children is the second abbreviation; in it only flags and names in place.
    start = info.data.index(b"\x02", 11 + 1)
    one = b"\x02" + b"".join(v.encode() + b"\0" for v in attrs.values() if isinstance(v, str))
    data = info.data[:start] + one * n
    info.data = (len(data) - 4).to_bytes(4, "little") + data[4:]
    info.fixups = [f for f in info.fixups if f.offset < start]
    return write_elf(sections)


@family
def blocks_in_each_other(n: int) -> bytes:
    return _nested("lexical_block", n)


@family
def namespaces_in_each_other(n: int) -> bytes:
    return _nested("namespace", n)


@family
def structs_that_stand_in_each_other(n: int) -> bytes:
    return _nested("structure_type", n)


@family
def functions_in_each_other(n: int) -> bytes:
    return _nested("subprogram", n)


@family
def instances_in_a_row(n: int) -> bytes:
    dies = [
        DIE(
            "subprogram",
            {"abstract_origin": Ref(str(i + 1)), "low_pc": Address(".text"), "high_pc": 4},
            label=str(i),
        )
        for i in range(n)
    ]
    last = DIE("subprogram", {"name": "f", "external": True}, label=str(n))
    return write_dwarf([Unit([*dies, last])], [text()], [Symbol("f", ".text", 0, 4, STT_FUNC)])


@family
def instances_of_parameters_in_a_row(n: int) -> bytes:
    dies = [
        DIE(
            "subprogram",
            {"name": f"f{i}", "low_pc": Address(".text"), "high_pc": 4},
            [DIE("formal_parameter", {"abstract_origin": Ref(str(i + 1))}, label=str(i))],
        )
        for i in range(n)
    ]
    base = number()
    last = DIE(
        "subprogram",
        {"name": "f"},
        [DIE("formal_parameter", {"name": "p", "type": base}, label=str(n))],
    )
    return write_dwarf(
        [Unit([*dies, last, base])], [text()], [Symbol("f", ".text", 0, 4, STT_FUNC)]
    )


@family
def annotations_in_a_row(n: int) -> bytes:
    """Structs, and each has all annotations that the one before has."""
    dies = [
        DIE(
            "GNU_annotation",
            {
                "name": "btf_decl_tag",
                "const_value": f"v{i}",
                "GNU_annotation": Ref(str(min(i + 1, n - 1))),
            },
            label=str(i),
        )
        for i in range(n - 1)
    ]
    dies.append(
        DIE("GNU_annotation", {"name": "btf_decl_tag", "const_value": "v"}, label=str(n - 1))
    )
    structs = [
        DIE("structure_type", {"name": f"s{i}", "byte_size": 4, "GNU_annotation": Ref(str(i))})
        for i in range(n)
    ]
    return write_dwarf([Unit([*structs, *dies])])


@family
def type_tags_of_one_pointer(n: int) -> bytes:
    tags = [
        DIE("LLVM_annotation", {"name": "btf_type_tag", "const_value": f"t{i}"}) for i in range(n)
    ]
    return write_dwarf([Unit([DIE("pointer_type", {"byte_size": 8}, tags)])])


@family
def tags_of_one_struct(n: int) -> bytes:
    tags = [DIE("LLVM_annotation", {"name": "btf_decl_tag", "const_value": "t"}) for i in range(n)]
    return write_dwarf([Unit([DIE("structure_type", {"name": "s", "byte_size": 8}, tags)])])


@family
def specifications_in_a_row(n: int) -> bytes:
    dies = [
        DIE(
            "variable",
            {"specification": Ref(str(i + 1)), "location": at(".data..percpu")},
            label=str(i),
        )
        for i in range(n)
    ]
    base = number()
    last = DIE(
        "variable", {"name": "v", "type": base, "external": True, "declaration": True}, label=str(n)
    )
    return write_dwarf(
        [Unit([*dies, last, base])],
        [Section(".data..percpu", bytes(8), flags=3)],
        [Symbol("v", ".data..percpu", 0, 8, STT_OBJECT)],
    )


@family
def many_members(n: int) -> bytes:
    base = number()
    members = [
        DIE("member", {"name": f"m{i}", "type": base, "data_member_location": 4 * i})
        for i in range(min(n, 65000))
    ]
    return write_dwarf(
        [Unit([base, DIE("structure_type", {"name": "s", "byte_size": 4 * n}, members)])]
    )


@family
def forms_of_forms(n: int) -> bytes:
    """DW_FORM_indirect that leads to itself."""
    table = b"\x01\x11\0\x03\x16\0\0\0"
    return _by_hand(table, _unit(0, b"\x01" + b"\x16" * n + b"\x08a.c\0"))


# --- places ---------------------------------------------------------------------------------------


def _functions(n: int, names: Callable[[int], str]) -> list[DIE]:
    return [
        DIE(
            "subprogram",
            {"name": names(i), "external": True, "low_pc": Address(".text"), "high_pc": 4},
        )
        for i in range(n)
    ]


@family
def functions_at_one_address(n: int) -> bytes:
    return write_dwarf(
        [Unit(_functions(n, lambda i: f"f{i}"))],
        [text()],
        [Symbol(f"f{i}", ".text", 0, 4, STT_FUNC) for i in range(n)],
    )


@family
def functions_of_one_name(n: int) -> bytes:
    return write_dwarf(
        [
            Unit(
                [
                    DIE(
                        "subprogram", {"name": "f", "low_pc": Address(".text", 4 * i), "high_pc": 4}
                    )
                    for i in range(n)
                ]
            )
        ],
        [text(4 * n)],
        [Symbol("f", ".text", 4 * i, 4, STT_FUNC, STB_LOCAL) for i in range(n)],
    )


@family
def linked_functions_of_one_name(n: int) -> bytes:
    return write_dwarf(
        [
            Unit(
                [
                    DIE(
                        "subprogram", {"name": "f", "low_pc": Address(".text", 4 * i), "high_pc": 4}
                    )
                    for i in range(n)
                ]
            )
        ],
        [text(4 * n)],
        [Symbol("f", ".text", 4 * i, 4, STT_FUNC, STB_LOCAL) for i in range(n)],
        type=2,
    )


@family
def linked_functions_at_one_address(n: int) -> bytes:
    return write_dwarf(
        [Unit(_functions(n, lambda i: f"f{i}"))],
        [text()],
        [Symbol(f"f{i}", ".text", 0, 4, STT_FUNC) for i in range(n)],
        type=2,
    )


@family
def functions_with_one_list_of_parts(n: int) -> bytes:
    """clang: a list is read to its end."""
    entries = tuple((Address(".text", 4 * i), 4) for i in range(n))
    functions = [
        DIE("subprogram", {"name": f"f{i}", "external": True, "ranges": Form("sec_offset", 0)})
        for i in range(n)
    ]
    keeps = DIE("lexical_block", {"ranges": RngList(entries)})
    return write_dwarf(
        [Unit([*functions, DIE("subprogram", {"name": "g"}, [keeps])], attrs=CLANG, version=4)],
        [text(4 * n)],
        [Symbol(f"f{i}", ".text", 4 * i, 4, STT_FUNC) for i in range(n)],
    )


@family
def units_with_one_list_of_parts(n: int) -> bytes:
    entries = tuple((Address(".text", 4 * i), 4) for i in range(n))
    first = Unit(
        [DIE("subprogram", {"name": "g"}, [DIE("lexical_block", {"ranges": RngList(entries)})])],
        version=4,
    )
    units = [
        Unit([number()], attrs={**C, "ranges": Form("sec_offset", 0)}, version=4) for _ in range(n)
    ]
    return write_dwarf(
        [first, *units], [text(4 * n)], [Symbol("g", ".text", 0, 4, STT_FUNC)], type=2
    )


def _parameters(n: int, entry: bytes) -> bytes:
    base = number()
    locations = LocList(tuple((Address(".text", 4 * i), 4, entry) for i in range(n)))
    parameters = [
        DIE("formal_parameter", {"name": "p", "type": base, "location": Form("sec_offset", 0)})
        for _ in range(n)
    ]
    keeps = DIE("formal_parameter", {"name": "p", "type": base, "location": locations})
    return write_dwarf(
        [
            Unit(
                [
                    base,
                    DIE(
                        "subprogram",
                        {"name": "f", "external": True, "low_pc": Address(".text"), "high_pc": 4},
                        parameters,
                    ),
                    DIE(
                        "subprogram",
                        {"name": "g", "external": True, "low_pc": Address(".text"), "high_pc": 4},
                        [keeps],
                    ),
                ],
                version=4,
            )
        ],
        [text(4 * n)],
        [Symbol("f", ".text", 0, 4, STT_FUNC)],
    )


@family
def parameters_with_one_list_of_places(n: int) -> bytes:
    return _parameters(n, bytes([OP_fbreg, 0]))


@family
def parameters_with_one_list_of_registers(n: int) -> bytes:
    return _parameters(n, bytes([OP_reg0]))


@family
def variables_at_one_address(n: int) -> bytes:
    base = number()
    variables = [
        DIE(
            "variable",
            {"name": f"v{i}", "type": base, "external": True, "location": at(".data..percpu")},
        )
        for i in range(n)
    ]
    return write_dwarf(
        [Unit([base, *variables])],
        [Section(".data..percpu", bytes(8), flags=3)],
        [Symbol(f"v{i}", ".data..percpu", 0, 4, STT_OBJECT) for i in range(n)],
    )


@family
def linked_variables_at_one_address(n: int) -> bytes:
    base = number()
    variables = [
        DIE(
            "variable",
            {"name": f"v{i}", "type": base, "external": True, "location": at(".data..percpu")},
        )
        for i in range(n)
    ]
    return write_dwarf(
        [Unit([base, *variables])],
        [Section(".data..percpu", bytes(8), flags=3, addr=0x1000)],
        [Symbol(f"v{i}", ".data..percpu", 0, 4, STT_OBJECT) for i in range(n)],
        type=2,
    )


# --- sections and symbols -------------------------------------------------------------------------


def _sections(n: int, type: int) -> bytes:
    """Functions and variables are in the last section, behind the ends of the others."""
    base = number()
    sections = [
        Section(f".data.{i}", b"", SHT_NOBITS, SHF_ALLOC, addr=0x1000, nobits=0x1000 << (i == n))
        for i in range(1, n + 1)
    ]
    last, start = f".data.{n}", 0x1000
    functions = [
        DIE(
            "subprogram",
            {
                "name": f"f{i}",
                "external": True,
                "low_pc": Form("addr", Address(last, start + i)),
                "high_pc": 4,
            },
        )
        for i in range(n)
    ]
    variables = [
        DIE(
            "variable",
            {"name": f"v{i}", "type": base, "external": True, "location": at(last, start + i)},
        )
        for i in range(n)
    ]
    return write_dwarf(
        [Unit([base, *functions, *variables])],
        sections,
        [Symbol(f"f{i}", last, start + i, 4, STT_FUNC) for i in range(n)]
        + [Symbol(f"v{i}", last, start + i, 4, STT_OBJECT) for i in range(n)],
        type=type,
    )


@family
def sections_over_each_other(n: int) -> bytes:
    return _sections(min(n, 60000), 2)


@family
def sections_of_an_object(n: int) -> bytes:
    return _sections(min(n, 60000), 1)


@family
def sections_of_one_name(n: int) -> bytes:
    return write_dwarf([Unit([number()])], [Section(".text", bytes(4), flags=6)] * min(n, 60000))


@family
def sections_with_one_long_name(n: int) -> bytes:
    n = min(n, 60000)
    return write_dwarf([Unit([number()])], [Section("." + "x" * 8 * n, bytes(4), flags=6)] * n)


@family
def symbols_of_one_long_name(n: int) -> bytes:
    return write_dwarf(
        [Unit(_functions(1, lambda i: "f"))],
        [text()],
        [Symbol("f" * 8 * n, ".text", 0, 4, STT_FUNC, STB_LOCAL) for _ in range(n)],
    )


@family
def symbols_of_one_name(n: int) -> bytes:
    return write_dwarf(
        [Unit(_functions(1, lambda i: "f"))],
        [text()],
        [Symbol("f", ".text", i % 60, 4, STT_FUNC, STB_LOCAL) for i in range(n)],
        type=2,
    )


@family
def source_files(n: int) -> bytes:
    return write_dwarf(
        [Unit([number()])],
        [text()],
        [Symbol("f.c", 0xFFF1, type=4, bind=STB_LOCAL) for _ in range(n)],
    )


@family
def relocations_of_one_place(n: int) -> bytes:
    sections = dwarf_sections([Unit([number()])])
    info = next(s for s in sections if s.name == ".debug_info")
    info.fixups = info.fixups * (n // len(info.fixups))
    return write_elf([text(), *sections])


def _inlined(called: DIE, *children: DIE, at: int = 0) -> DIE:
    attrs: dict[str, Value] = {
        "abstract_origin": called,
        "low_pc": Address(".text", at),
        "high_pc": 4,
    }
    return DIE("inlined_subroutine", attrs, children)


def _inlining(n: int, types: list[DIE], inlined: list[DIE], symbols: list[Symbol]) -> bytes:
    outer = DIE(
        "subprogram",
        {"name": "outer", "low_pc": Address(".text"), "high_pc": 4 * n},
        inlined,
    )
    return write_dwarf([Unit([*types, outer])], [text(4 * n)], symbols)


@family
def inlined_with_one_list(n: int) -> bytes:
    """Each reads the same list, of which only the last entry holds, and that is long."""
    base = number()
    param = DIE("formal_parameter", {"name": "p", "type": base})
    called = DIE("subprogram", {"name": "f", "inline": 1}, [param])
    entries = [(Address(".text", 4 * i), 4, bytes([OP_reg0])) for i in range(n)]
    long = (Address(".text", 4 * n), 4, bytes([0x96]) * min(8 * n, 60000))
    lists: list[Value] = [LocList((*entries, long))]
    lists += [Form("sec_offset", 0)] * n
    inlined = [
        _inlined(
            called,
            DIE("formal_parameter", {"abstract_origin": param, "location": location}),
            at=4 * n,
        )
        for location in lists
    ]
    return _inlining(n + 1, [base, called], inlined, [Symbol("outer", ".text", 0, 4 * n, STT_FUNC)])


@family
def inlined_with_many_parameters(n: int) -> bytes:
    base = number()
    params = [DIE("formal_parameter", {"name": "p", "type": base}) for _ in range(n)]
    called = DIE("subprogram", {"name": "f", "inline": 1}, params)
    own = [DIE("formal_parameter", {"abstract_origin": params[-1]}) for _ in range(n)]
    inlined = [_inlined(called, *own), *(_inlined(called) for _ in range(n))]
    return _inlining(n, [base, called], inlined, [Symbol("outer", ".text", 0, 4 * n, STT_FUNC)])


@family
def inlined_into_each_other(n: int) -> bytes:
    called = DIE("subprogram", {"name": "f", "inline": 1})
    inlined = _inlined(called)
    for i in range(min(n, 300)):
        inlined = _inlined(called, inlined, at=i % 60)
    return _inlining(n, [called], [inlined], [Symbol("outer", ".text", 0, 4 * n, STT_FUNC)])


@family
def inlined_among_weak_functions(n: int) -> bytes:
    called = DIE("subprogram", {"name": "f", "inline": 1})
    inlined = [_inlined(called, at=4 * n - 4) for _ in range(n)]
    symbols = [Symbol(f"w{i}", ".text", 4 * i, 4, STT_FUNC, 2) for i in range(n)]
    return _inlining(n, [called], inlined, symbols)


# --- lists of objects -----------------------------------------------------------------------------

TRACE = ".tmp_kbuild-btf..tmp_vmlinux1.trace"


def _member(name: str, content: bytes = b"") -> bytes:
    """Of an archive: its header and content."""
    head = f"{name:<16}{0:<12}{0:<6}{0:<6}{644:<8}{len(content):<10}`\n"
    return head.encode() + content + b"\n" * (len(content) % 2)


def _names_that_are_ends_of_one(n: int) -> bytes:
    """A thin archive whose members have names of thousands of bytes, all from one place."""
    names = _member("//", b"x" * 60 * n + b"/\n")
    return b"!<thin>\n" + names + b"".join(_member(f"/{i}") for i in range(n))


@lists
def objects_in_each_other(n: int) -> dict[str, bytes]:
    return {TRACE: b"a.o(" * 20 * n + b"b.o" + b")" * 20 * n + b"\n"}


@lists
def two_objects_that_are_linked_from_others(n: int) -> dict[str, bytes]:
    return {TRACE: b"v.o(a.o)\nw.o(b.o)\n" * n}


@lists
def objects_that_are_each_linked_from_one(n: int) -> dict[str, bytes]:
    return {TRACE: "".join(f"{i}.o(a.o)\n" for i in range(n)).encode()}


@lists
def objects_that_are_gone(n: int) -> dict[str, bytes]:
    return {TRACE: "".join(f"a/{i}.o\n" for i in range(20 * n)).encode()}


@lists
def one_object_of_an_archive(n: int) -> dict[str, bytes]:
    content = write_elf([text(), Section(".data", bytes(60 * n))])
    archive = b"!<arch>\n" + _member("c.o/", content)
    return {"c.o": content, "l.a": archive, TRACE: b"l.a(c.o)\n" * n}


@lists
def one_of_many_objects_of_one_name(n: int) -> dict[str, bytes]:
    archive = b"!<arch>\n" + _member("a.o/", b"other") * n
    return {"l.a": archive, TRACE: b"l.a(a.o)\n" * 5 * n}


@lists
def long_names_of_an_archive(n: int) -> dict[str, bytes]:
    return {"vmlinux.a": _names_that_are_ends_of_one(n)}


@lists
def long_names_of_an_archive_that_was_linked(n: int) -> dict[str, bytes]:
    return {"l.a": _names_that_are_ends_of_one(n), TRACE: b"l.a(a.o)\n"}


@lists
def objects_of_a_module(n: int) -> dict[str, bytes]:
    return {"m.mod": b"a.o b.o " * n}


@lists
def objects_of_a_module_that_are_gone(n: int) -> dict[str, bytes]:
    return {"m.mod": "".join(f"a/{i}.o " for i in range(20 * n)).encode()}
