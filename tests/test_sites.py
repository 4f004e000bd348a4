# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Where functions were inlined (LOC_PARAM, LOC_PROTO, LOCSEC): read, shown, checked, compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from btfwriter import EVERY_KIND, WITH_SITES, btf, renumbered, strings_size, write

from kbuild_btf import Error, _native
from kbuild_btf.btf import (
    Btf,
    Func,
    FuncProto,
    Int,
    LocParam,
    LocProto,
    Locsec,
    Param,
    Ptr,
    Site,
    Type,
)
from kbuild_btf.btf.raw import lines, record
from kbuild_btf.cli import main
from kbuild_btf.compare import diff

REG, DEREF, OFFSET = LocParam.REG, LocParam.DEREF, LocParam.OFFSET
SIGNED, CONST, ADDR = LocParam.SIGNED, LocParam.CONST, LocParam.ADDR
BELOW = (1 << 32) - 0x10


@pytest.mark.parametrize("order", "<>")
def test_what_is_written_is_read(order: str) -> None:
    read = Btf.from_bytes(write(WITH_SITES, order=order))
    assert list(read) == WITH_SITES
    (section,) = read.find(Locsec, ".text")
    assert [site.func.name for site in section.sites] == ["call", "call"]
    assert [list(site.places.references()) for site in section.sites] == [[23, 0], [24]]


@pytest.mark.parametrize(
    ("flags", "values", "place"),
    [
        (REG, (5,), "reg5"),
        (REG, (0, 1), "reg0:reg1"),
        (REG | OFFSET, (7, 8), "reg7 + 0x8"),
        (REG | OFFSET | SIGNED, (7, BELOW), "reg7 - 0x10"),
        (REG | DEREF, (3,), "*(reg3)"),
        (REG | DEREF | OFFSET, (2, 0x10), "*(reg2 + 0x10)"),
        (REG | DEREF | OFFSET | SIGNED, (LocParam.FRAME_BASE, BELOW), "*(fbreg - 0x10)"),
        (CONST, (42,), "0x2a"),
        (CONST | SIGNED, (BELOW,), "-0x10"),
        (CONST, (0xFEEDFACE, 0xDEADBEEF), "0xdeadbeeffeedface"),
        (CONST | ADDR, (0x9ABCDEF0, 0x12345678), "0x123456789abcdef0 (addr)"),
    ],
)
def test_places_are_spelled_as_bpftool_does(
    flags: int, values: tuple[int, ...], place: str
) -> None:
    (found,) = btf([LocParam(1, "", 8, flags, values)])
    assert isinstance(found, LocParam)
    assert found.place == str(found) == place


def test_raw_listing() -> None:
    assert list(lines(btf(WITH_SITES)))[-10:] == [
        "[23] LOC_PARAM '(anon)' size=8 flags=0x8 vlen=1 values='reg5'",
        "[24] LOC_PARAM '(anon)' size=4 flags=0x3 vlen=1 values='-0x2'",
        "[25] LOC_PROTO '(anon)' vlen=2",
        "\ttype_id=23 value='reg5'",
        "\ttype_id=0",
        "[26] LOC_PROTO '(anon)' vlen=1",
        "\ttype_id=24 value='-0x2'",
        "[27] LOCSEC '.text' vlen=2",
        "\tname='call' func_type_id=13 loc_proto_type_id=25 offset=64",
        "\tname='call' func_type_id=13 loc_proto_type_id=26 offset=16",
    ]
    section = record(btf(WITH_SITES)[27])
    assert section["kind"] == "LOCSEC" and section["sites"][0]["offset"] == 64


def test_the_header_is_that_without_sites(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = []
    for types in (EVERY_KIND, WITH_SITES):
        file = tmp_path / "btf"
        file.write_bytes(write(types))
        assert main(["dump", "--format", "c", str(file)]) == 0
        shown.append(capsys.readouterr().out.replace(str(file), ""))
    assert shown[0] == shown[1]


# --- the rules --------------------------------------------------------------------------------

_FUNCTION: list[Type] = [
    Int(1, "int", 4, Int.SIGNED, 0, 32),
    FuncProto(2, "", 1, (Param("a", 1), Param("b", 1))),
    Func(3, "f", 2, 0),
]


def _refused(*more: Type) -> str:
    blob = write([*_FUNCTION, *more])
    try:
        _native.check(blob)
    except Error as error:
        return str(error)
    return ""


def test_what_is_right_is_taken() -> None:
    assert not _refused(
        LocParam(4, "", 4, REG, (5,)),
        LocParam(5, "", 8, CONST | SIGNED, (1, 0)),
        LocParam(6, "", 16, REG, (0, 1)),
        LocParam(7, "", 8, REG | DEREF | OFFSET | SIGNED, (LocParam.FRAME_BASE, BELOW)),
        LocProto(8, "", (4, 0)),
        LocProto(9, "", ()),
        Locsec(10, ".text", (Site(3, 8, 4), Site(3, 9, 0))),
    )


@pytest.mark.parametrize(
    ("flags", "values"),
    [
        (0, (1,)),
        (REG | CONST, (1,)),
        (REG | 0x40, (1,)),
        (REG | ADDR, (1,)),
        (CONST | DEREF, (1, 0)),
        (CONST | OFFSET, (1, 0)),
        (CONST, (1,)),
        (REG, ()),
        (REG, (1, 2, 3)),
        (REG | DEREF, (1, 2)),
        (REG | OFFSET, (1,)),
    ],
)
def test_a_place_that_contradicts_itself_is_refused(flags: int, values: tuple[int, ...]) -> None:
    assert _refused(LocParam(4, "", 8, flags, values)).startswith("BTF type 4 (LOC_PARAM )")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([LocProto(4, "", (1,))], "type 1 is no LOC_PARAM"),
        ([LocProto(4, "", ()), Locsec(5, "", (Site(3, 4, 0),))], "section without a name"),
        ([LocProto(4, "", ()), Locsec(5, ".text", (Site(2, 4, 0),))], "type 2 is no FUNC"),
        ([Locsec(4, ".text", (Site(3, 3, 0),))], "type 3 is no LOC_PROTO"),
        (
            [LocProto(4, "", (0, 0, 0)), Locsec(5, ".text", (Site(3, 4, 0),))],
            "places of 3 parameters, the function has 2",
        ),
        ([LocParam(4, "named", 8, REG, (1,))], "has a name"),
        ([LocParam(4, "", 8, REG, (1,)), Ptr(5, "", 4)], "a LOC_PARAM"),
    ],
)
def test_what_leads_to_the_wrong_kind_is_refused(more: list[Type], said: str) -> None:
    assert said in _refused(*more)


# --- compared ---------------------------------------------------------------------------------


def test_equal_whatever_the_ids_and_the_order() -> None:
    order = list(range(len(WITH_SITES)))[::-1]
    assert diff(btf(WITH_SITES), btf(renumbered(WITH_SITES, order))).same


@pytest.mark.parametrize(
    ("at", "changed", "kind"),
    [
        (22, replace(WITH_SITES[22], values=(4,)), "LOC_PARAM"),  # type: ignore[call-arg]
        (24, LocProto(25, "", (23, 24)), "LOC_PROTO"),
        (26, Locsec(27, ".text", (Site(13, 25, 0x44), Site(13, 26, 0x10))), "LOCSEC"),
    ],
)
def test_what_differs_is_told(at: int, changed: Type, kind: str) -> None:
    other = [*WITH_SITES]
    other[at] = changed
    told = {found.kind.name for found in diff(btf(WITH_SITES), btf(other)).kinds if found.differs}
    assert kind in told and told <= {"LOC_PARAM", "LOC_PROTO", "LOCSEC"}


def test_split_on_a_base(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As resolve_btfids leaves it: sites apart from the types that they refer to."""
    base = write(EVERY_KIND)
    own = WITH_SITES[len(EVERY_KIND) :]
    split = write(own, base=btf(EVERY_KIND), base_strings=strings_size(base))
    (tmp_path / "base").write_bytes(base)
    (tmp_path / "split").write_bytes(split)
    assert main(["dump", str(tmp_path / "split"), "--base", str(tmp_path / "base")]) == 0
    assert "[27] LOCSEC '.text' vlen=2" in capsys.readouterr().out
