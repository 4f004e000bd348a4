# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The writers of test input, checked by a reader that shares no code with them: pyelftools."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path
from typing import Any

import pytest
from dwarfwriter import (
    ATE,
    DIE,
    LANG_C11,
    Form,
    LocList,
    OP_reg0,
    Ref,
    RngList,
    Unit,
    Value,
    at,
    write_dwarf,
)
from elftools.dwarf.dwarfinfo import DWARFInfo
from elftools.dwarf.locationlists import LocationParser
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from elfwriter import (
    ET_EXEC,
    ET_REL,
    SHF_ALLOC,
    SHF_EXECINSTR,
    SHN_LORESERVE,
    STB_LOCAL,
    STT_FUNC,
    STT_OBJECT,
    TARGETS,
    X86_64,
    Address,
    Section,
    Symbol,
    Target,
    file_symbol,
    write_elf,
)

TEXT = Section(".text", bytes(64), flags=SHF_ALLOC | SHF_EXECINSTR, addr=0x1000, align=16)
SYMBOLS = [
    file_symbol("a.c"),
    Symbol("helper", ".text", 32, 8, STT_FUNC, STB_LOCAL),
    Symbol("main", ".text", 16, 16, STT_FUNC),
    Symbol("elsewhere"),
]


def relocatable(target: Target) -> bool:
    """Whether pyelftools applies this target's relocations; the others are tested linked."""
    return target.name in {"x86-64", "i386", "arm", "aarch64", "s390x", "ppc64"}


def opened(data: bytes) -> DWARFInfo:
    return ELFFile(io.BytesIO(data)).get_dwarf_info()


def number() -> DIE:
    return DIE("base_type", {"name": "int", "byte_size": 4, "encoding": ATE.signed})


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
def test_symbols_and_header(target: Target) -> None:
    elf = ELFFile(io.BytesIO(write_elf([TEXT], SYMBOLS, target=target)))
    assert (elf.elfclass, elf.little_endian) == (target.bits, target.little)
    assert elf.header["e_machine"] != "EM_NONE"
    table = elf.get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    found = {
        s.name: (s["st_value"], s["st_size"], s["st_info"]["type"]) for s in table.iter_symbols()
    }
    assert found["main"] == (16, 16, "STT_FUNC")
    assert found["helper"] == (32, 8, "STT_FUNC")
    assert found["a.c"] == (0, 0, "STT_FILE")
    binds = [s["st_info"]["bind"] for s in table.iter_symbols()]
    assert binds == sorted(binds, key="STB_LOCAL".__ne__), "locals first"
    assert table["sh_info"] == binds.count("STB_LOCAL")


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("linked", [False, True], ids=["object", "linked"])
@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
def test_types_and_addresses(target: Target, linked: bool, version: int) -> None:
    if not linked and not relocatable(target):
        linked = True
    integer = number()
    body = DIE(
        "subprogram",
        {"name": "main", "type": integer, "low_pc": Address("main", 4), "high_pc": 12},
        [DIE("formal_parameter", {"name": "n", "type": integer, "location": bytes([OP_reg0])})],
    )
    variable = DIE("variable", {"name": "v", "type": integer, "location": at(".text", 8)})
    data = write_dwarf(
        [Unit([integer, body, variable], version=version)],
        [TEXT],
        SYMBOLS,
        target=target,
        type=ET_EXEC if linked else ET_REL,
    )
    info = opened(data)
    (unit,) = info.iter_CUs()
    dies = {d.attributes["DW_AT_name"].value: d for d in unit.iter_DIEs() if d.attributes}
    assert dies[b"main"].get_DIE_from_attribute("DW_AT_type") is dies[b"int"]
    expected = 0x1000 + 16 + 4 if linked else 16 + 4
    assert dies[b"main"].attributes["DW_AT_low_pc"].value == expected
    address = bytes(dies[b"v"].attributes["DW_AT_location"].value[1:])
    if linked:
        order = "little" if target.little else "big"
        assert int.from_bytes(address, order) == 0x1008  # type: ignore[arg-type]


FORMS: list[tuple[str, Value, Any]] = [
    ("data1", 0xFE, 0xFE),
    ("data2", 0xFEDC, 0xFEDC),
    ("data4", 0xFEDCBA98, 0xFEDCBA98),
    ("data8", 1 << 63, 1 << 63),
    ("sdata", -70000, -70000),
    ("udata", 1 << 40, 1 << 40),
    ("implicit_const", -5, -5),
    ("string", "inline", b"inline"),
    ("strp", "pooled", b"pooled"),
    ("line_strp", "line", b"line"),
    ("strx", "x", b"x"),
    ("strx1", "x1", b"x1"),
    ("strx2", "x2", b"x2"),
    ("strx3", "x3", b"x3"),
    ("exprloc", b"\x23\x08", [0x23, 8]),
    ("block", b"\1\2", [1, 2]),
    ("block1", b"\1", [1]),
    ("block2", b"\1\2\3", [1, 2, 3]),
    ("block4", b"", []),
    ("flag", True, True),
    ("flag_present", True, True),
    ("indirect", Form("data2", 0x1234), 0x1234),
    ("indirect", Form("strp", "far"), b"far"),
    ("addrx", Address("main", 1), 17),
    ("addrx1", Address("main", 2), 18),
    ("addrx4", Address("main", 3), 19),
]


@pytest.mark.parametrize("dwarf64", [False, True], ids=["dwarf32", "dwarf64"])
@pytest.mark.parametrize(("form", "value", "expected"), FORMS)
def test_forms(form: str, value: Value, expected: object, dwarf64: bool) -> None:
    # A DIE after it shows that the reader and the writer agree on the length.
    dies = [DIE("variable", {"const_value": Form(form, value)}), DIE("label", {"name": "end"})]
    info = opened(write_dwarf([Unit(dies, dwarf64=dwarf64)], [TEXT], SYMBOLS))
    (unit,) = info.iter_CUs()
    _, variable, end, _ = unit.iter_DIEs()
    found = variable.attributes["DW_AT_const_value"]
    if form.startswith("addrx"):
        assert info.get_addr(unit, found.raw_value) == expected
    else:
        assert found.value == expected
    assert end.attributes["DW_AT_name"].value == b"end"


@pytest.mark.parametrize("form", ["ref1", "ref2", "ref4", "ref8", "ref_udata", "ref_addr"])
def test_references(form: str) -> None:
    integer = number()
    far = Unit([DIE("typedef", {"name": "far", "type": Form("ref_addr", integer)})])
    near = DIE("typedef", {"name": "near", "type": Form(form, integer)})
    info = opened(write_dwarf([Unit([integer, near]), far]))
    for unit in info.iter_CUs():
        for die in unit.iter_DIEs():
            if die.tag == "DW_TAG_typedef":
                to = die.get_DIE_from_attribute("DW_AT_type")
                assert to.attributes["DW_AT_name"].value == b"int"


def test_labels_reach_forward_and_type_units_by_signature() -> None:
    following = DIE("member", {"name": "next", "type": Ref("ptr"), "data_member_location": 0})
    node = DIE("structure_type", {"name": "node", "byte_size": 8}, [following], "node")
    pointer = DIE("pointer_type", {"byte_size": 8, "type": Ref("node")}, label="ptr")
    unit = Unit(
        [node, pointer, DIE("typedef", {"name": "t", "type": Form("ref_sig8", 77)})], version=4
    )
    apart = DIE("structure_type", {"name": "apart", "byte_size": 1})
    types = Unit([apart], {"language": LANG_C11}, 4, "type_unit", signature=77, type=apart)
    info = opened(write_dwarf([unit, types]))
    (first,) = info.iter_CUs()
    dies = {d.tag: d for d in first.iter_DIEs() if d.tag}
    assert dies["DW_TAG_member"].get_DIE_from_attribute("DW_AT_type") is dies["DW_TAG_pointer_type"]
    assert (
        dies["DW_TAG_pointer_type"].get_DIE_from_attribute("DW_AT_type")
        is dies["DW_TAG_structure_type"]
    )
    by_signature = info.get_DIE_by_sig8(77)
    assert by_signature.attributes["DW_AT_name"].value == b"apart"


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("indexed", [False, True], ids=["sec_offset", "index"])
def test_lists(version: int, indexed: bool) -> None:
    if version == 4 and indexed:
        indexed = False
    place = LocList(
        ((Address("main"), 4, bytes([OP_reg0 + 5])), (Address("main", 4), 8, bytes([OP_reg0 + 3])))
    )
    spread = RngList(((Address("main"), 4), (Address("helper"), 8)))
    parameter = DIE(
        "formal_parameter",
        {"name": "p", "location": Form("loclistx" if indexed else "sec_offset", place)},
    )
    body = DIE(
        "subprogram",
        {"name": "main", "ranges": Form("rnglistx" if indexed else "sec_offset", spread)},
        [parameter],
    )
    data = write_dwarf([Unit([body], version=version)], [TEXT], SYMBOLS, type=ET_EXEC)
    info = opened(data)
    (unit,) = info.iter_CUs()
    dies = {d.tag: d for d in unit.iter_DIEs() if d.tag}
    lists = info.location_lists()
    ranges = info.range_lists()
    assert lists is not None
    assert ranges is not None
    found = LocationParser(lists).parse_from_attribute(
        dies["DW_TAG_formal_parameter"].attributes["DW_AT_location"],
        version,
        die=dies["DW_TAG_formal_parameter"],
    )
    start = 0x1010
    assert [(e.begin_offset, e.end_offset, bytes(e.loc_expr)) for e in found] == [
        (start, start + 4, b"\x55"),
        (start + 4, start + 12, b"\x53"),
    ]
    attribute = dies["DW_TAG_subprogram"].attributes["DW_AT_ranges"]
    got = ranges.get_range_list_at_offset(attribute.value, cu=unit)
    assert [(e.begin_offset, e.end_offset) for e in got] == [(start, start + 4), (0x1020, 0x1028)]


def test_compressed_sections() -> None:
    data = write_dwarf([Unit([number()])], compress=True)
    elf = ELFFile(io.BytesIO(data))
    assert elf.get_section_by_name(".debug_info")["sh_flags"] & 0x800
    (unit,) = elf.get_dwarf_info().iter_CUs()
    assert [d.tag for d in unit.iter_DIEs()][1] == "DW_TAG_base_type"


def test_more_sections_than_a_header_can_count() -> None:
    many = [Section(f".text.f{i}", b"\0") for i in range(SHN_LORESERVE + 300)]
    last = many[-1].name
    data = write_elf(many, [Symbol("f", last, 0, 1, STT_OBJECT)])
    elf = ELFFile(io.BytesIO(data))
    assert elf.header["e_shnum"] == 0
    assert elf.num_sections() > SHN_LORESERVE
    table = elf.get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    (symbol,) = [s for s in table.iter_symbols() if s.name == "f"]
    assert symbol["st_shndx"] in (0xFFFF, "SHN_XINDEX")
    wide = elf.get_section_by_name(".symtab_shndx")
    at_index = int.from_bytes(wide.data()[-4:], "little")
    assert elf.get_section(at_index).name == last


def test_strx4(tmp_path: Path) -> None:
    """Read by readelf: pyelftools 0.33 takes eight bytes for this form."""
    path = tmp_path / "a.o"
    path.write_bytes(write_dwarf([Unit([DIE("typedef", {"name": Form("strx4", "wide")})])]))
    done = subprocess.run(
        ["readelf", "--debug-dump=info", path], capture_output=True, text=True, check=True
    )
    assert ": wide" in done.stdout
    assert done.stderr == ""


def test_binutils_agrees(tmp_path: Path) -> None:
    """readelf knows rules that pyelftools does not check, and warns when they are broken."""
    path = tmp_path / "a.o"
    path.write_bytes(write_dwarf([Unit([number()])], [TEXT], SYMBOLS, target=X86_64))
    done = subprocess.run(
        ["readelf", "--wide", "--all", "--debug-dump=info", path], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stderr == ""
    assert "DW_TAG_base_type" in done.stdout
