# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The reader of BTF, against a writer of the tests' own and against damaged input."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from btfwriter import EVERY_KIND, btf, models, renumbered, strings_size, write
from elfwriter import AARCH64, ARM, ARM_BE, S390X, X86_64, Section, Target, write_elf
from hypothesis import given
from hypothesis import strategies as st
from support import SOURCES, compiled, kbuild_btf, require, run

from kbuild_btf import Error, __version__, _native
from kbuild_btf.btf import (
    Array,
    Btf,
    Const,
    Int,
    Kind,
    Member,
    Ptr,
    Struct,
    Type,
    Typedef,
    Unknown,
    Void,
)
from kbuild_btf.btf.raw import lines


@pytest.mark.parametrize("order", ["<", ">"])
def test_every_kind_in_both_byte_orders(order: str) -> None:
    read = Btf.from_bytes(write(EVERY_KIND, order=order))
    assert list(read) == EVERY_KIND
    assert read.big_endian == (order == ">")
    assert len(read) == len(EVERY_KIND) + 1


@given(models(), st.sampled_from("<>"))
def test_what_is_written_is_read(types: list[Type], order: str) -> None:
    assert list(Btf.from_bytes(write(types, order=order))) == types


def test_void_and_ids_beyond_the_end() -> None:
    read = btf(EVERY_KIND)
    assert isinstance(read[0], Void)
    for wrong in (len(read), -1):
        with pytest.raises(IndexError):
            read[wrong]


def test_find_by_kind_and_name() -> None:
    types = [*EVERY_KIND, Struct(23, "node", 0, (), False)]
    read = btf(types)
    assert [found.id for found in read.find(Struct, "node")] == [4, 23]
    assert [found.id for found in read.find(Typedef, "node_t")] == [8]
    assert read.find(Typedef, "node") == []


def test_sizes_follow_typedefs_arrays_and_qualifiers() -> None:
    read = btf(EVERY_KIND)
    assert [read.sizeof(type_id) for type_id in (1, 2, 3, 8, 10, 0, 12)] == [4, 8, 20, 32, 4, 0, 0]
    narrow = btf([Int(1, "long unsigned int", 4, 0, 0, 32), Ptr(2, "", 0), Array(3, "", 2, 1, 3)])
    assert narrow.sizeof(3) == 12


def test_split_counts_on_from_its_base() -> None:
    blob = write(EVERY_KIND)
    base = Btf.from_bytes(blob)
    own: list[Type] = [
        Struct(23, "own", 8, (Member("first", 4, 0, 0),), False),
        Ptr(24, "", 23),
    ]
    split = Btf.from_bytes(write(own, base=base, base_strings=strings_size(blob)), base)
    assert list(split) == own
    assert split[4] == EVERY_KIND[3]
    assert split.find(Struct, "node") == [EVERY_KIND[3]]
    assert split.find(Struct, "own") == [own[0]]
    assert len(split) == 25


def test_two_modules_of_one_base_keep_their_strings_apart() -> None:
    blob = write(EVERY_KIND)
    base = Btf.from_bytes(blob)
    size = strings_size(blob)
    first, second = (
        Btf.from_bytes(write([Struct(23, name, 0, (), False)], base=base, base_strings=size), base)
        for name in ("one", "two")
    )
    assert [next(iter(found)).name for found in (first, second, first)] == ["one", "two", "one"]


def test_split_without_its_base_asks_for_it() -> None:
    blob = write(EVERY_KIND)
    base = Btf.from_bytes(blob)
    split = write([Ptr(23, "", 4)], base=base, base_strings=strings_size(blob))
    with pytest.raises(Error, match="--base FILE"):
        Btf.from_bytes(split)


@pytest.mark.parametrize("target", [X86_64, AARCH64, ARM, ARM_BE, S390X], ids=lambda t: t.name)
def test_section_of_an_elf_file(tmp_path: Path, target: Target) -> None:
    blob = write(EVERY_KIND, order="<" if target.little else ">")
    file = tmp_path / "image"
    file.write_bytes(write_elf([Section(".text", b"1234"), Section(".BTF", blob)], target=target))
    assert list(Btf.load(file)) == EVERY_KIND


def test_a_distilled_base_inside_a_module_is_its_base(tmp_path: Path) -> None:
    small = [Struct(1, "node", 24, (), False)]
    base_blob = write(small)
    base = Btf.from_bytes(base_blob)
    split = write([Ptr(2, "", 1)], base=base, base_strings=strings_size(base_blob))
    file = tmp_path / "module.ko"
    file.write_bytes(write_elf([Section(".BTF.base", base_blob), Section(".BTF", split)]))
    for given_base in (None, btf(EVERY_KIND)):
        read = Btf.load(file, given_base)
        assert list(read) == [Ptr(2, "", 1)]
        assert read[1] == small[0]


@pytest.mark.parametrize(
    "extra", [b"", bytes(8), bytes(16), struct.pack("<I", 0)], ids=lambda e: f"{24 + len(e)}"
)
def test_longer_headers_of_zeros(extra: bytes) -> None:
    assert list(Btf.from_bytes(write(EVERY_KIND, extra=extra))) == EVERY_KIND


def test_header_with_a_layout_section() -> None:
    blob = write(EVERY_KIND, extra=bytes(8), layout=bytes(4 * 20))
    assert list(Btf.from_bytes(blob)) == EVERY_KIND


@pytest.mark.parametrize(
    "extra",
    [b"\1\0\0\0", bytes(8) + b"\1\0\0\0", b"\0\0\0\0\xff\xff\xff\0"],
    ids=["28", "36", "far"],
)
def test_unknown_headers_are_refused(extra: bytes) -> None:
    with pytest.raises(Error, match=r"offset (24|28|32)"):
        Btf.from_bytes(write(EVERY_KIND, extra=extra))


def test_every_truncation_is_an_error() -> None:
    blob = write(EVERY_KIND)
    for size in range(len(blob)):
        with pytest.raises(Error):
            Btf.from_bytes(blob[:size])


@given(st.integers(0, len(write(EVERY_KIND)) - 1), st.integers(1, 255))
def test_a_damaged_byte_is_an_error_or_another_btf(place: int, change: int) -> None:
    blob = bytearray(write(EVERY_KIND))
    blob[place] ^= change
    try:
        read = Btf.from_bytes(bytes(blob))
    except Error:
        return
    assert len(list(lines(read))) >= len(read) - 1


@given(st.binary(max_size=200))
def test_noise_is_an_error(noise: bytes) -> None:
    # Too short for a type, so a blob by chance could only be an empty one.
    with pytest.raises(Error):
        Btf.from_bytes(b"\x9f\xeb\x02" + noise)


@pytest.mark.parametrize(
    ("types", "message"),
    [
        ([Ptr(1, "", 9)], r"BTF, offset 24, type \[1\]: refers to a type beyond the last one, 1"),
        ([Int(1, "int", 4, 0, 0, 32), Array(2, "", 1, 7, 2)], r"offset 40, type \[2\]"),
        ([Struct(1, "s", 4, (Member("m", 2, 0, 0),), False)], r"offset 24, type \[1\]"),
    ],
    ids=["pointer", "array", "member"],
)
def test_references_out_of_range_name_the_type(types: list[Type], message: str) -> None:
    with pytest.raises(Error, match=message):
        btf(types)


def test_names_out_of_range_name_the_type() -> None:
    blob = bytearray(write([Int(1, "int", 4, 0, 0, 32)]))
    struct.pack_into("<I", blob, 24, 1000)
    with pytest.raises(Error, match=r"offset 24, type \[1\]: a name lies beyond the strings"):
        Btf.from_bytes(bytes(blob))


def test_unknown_kinds_are_refused_with_their_number() -> None:
    blob = bytearray(write([Int(1, "int", 4, 0, 0, 32)]))
    struct.pack_into("<I", blob, 28, 30 << 24)
    with pytest.raises(Error, match=r"type \[1\]: unknown kind 30, and no layout section"):
        Btf.from_bytes(bytes(blob))


def with_unknown() -> bytes:
    """An int, two types of kinds that nobody knows, and a pointer to the first of these. The layout
    section says of each kind how many bytes follow the three words, and how many an element has."""
    strings = b"\0int\0odd\0list\0"
    types = [
        *(1, Kind.INT << 24, 4, 32),
        *(5, 30 << 24 | 2, 7, 0x20, 5, 6),
        *(9, 1 << 31 | 31 << 24 | 1, 0, 1, 2, 3),
        *(0, Kind.PTR << 24, 2),
    ]
    sizes = {30: (4, 4), 31: (0, 12)}
    layout = b"".join(struct.pack("<BBH", *sizes.get(kind, (0, 0)), 0) for kind in range(32))
    body = struct.pack(f"<{len(types)}I", *types)
    places = (0, len(body), len(body) + len(layout), len(strings), len(body), len(layout))
    return struct.pack("<HBB7I", 0xEB9F, 1, 0, 32, *places) + body + layout + strings


def test_unknown_kinds_have_the_size_that_the_file_says() -> None:
    read = Btf.from_bytes(with_unknown())
    assert len(read) == 5
    odd, items = read.find(Unknown)
    assert (odd.number, odd.name, odd.vlen, odd.kind_flag) == (30, "odd", 2, False)
    assert (odd.value, odd.words) == (7, (0x20, 5, 6))
    assert (items.number, items.name, items.kind_flag) == (31, "list", True)
    assert items.words == (1, 2, 3)
    pointer = read[4]
    assert isinstance(pointer, Ptr)
    assert pointer.type == odd
    assert list(lines(read))[1:3] == [
        "[2] UNKNOWN 'odd' number=30 vlen=2 words=[7, 32, 5, 6]",
        "[3] UNKNOWN 'list' number=31 vlen=1 kind_flag=1 words=[0, 1, 2, 3]",
    ]


def test_unknown_kinds_in_the_input_of_a_link_are_one_message(tmp_path: Path) -> None:
    source = tmp_path / "a.c"
    source.write_text("int a;\n")
    made = compiled(source, tmp_path / "a.o")
    (tmp_path / "odd.btf").write_bytes(with_unknown())
    done = run("objcopy", "--strip-debug", f"--add-section=.BTF={tmp_path}/odd.btf", made)
    assert done.returncode == 0, done.stderr
    done = kbuild_btf("link", made, made, "-o", tmp_path / "out.btf")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "BTF type 2: unknown kind 30" in done.stderr
    assert not (tmp_path / "out.btf").exists()
    done = kbuild_btf("diff", made, made)
    assert done.returncode > 1
    assert "type [2]: kind 30 is not known, so that it cannot be compared" in done.stderr
    done = kbuild_btf("dump", made)
    assert "UNKNOWN 'odd' number=30" in done.stdout


def test_a_type_that_names_itself_has_no_size() -> None:
    with pytest.raises(Error, match=r"type \[1\]"):
        btf([Const(1, "", 2), Typedef(2, "t", 1)]).sizeof(1)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "0 bytes"),
        (b"#!/bin/sh\n" * 9, "magic"),
        (b"\x7fELF", "corrupt ELF"),
        (write_elf([Section(".text", b"1234")]), "no .BTF section"),
        (write_elf([Section(".BTF", write(EVERY_KIND))])[:-80], "corrupt ELF"),
    ],
    ids=["empty", "script", "short-elf", "no-section", "cut-elf"],
)
def test_files_without_btf(tmp_path: Path, contents: bytes, message: str) -> None:
    file = tmp_path / "input"
    file.write_bytes(contents)
    with pytest.raises(Error, match=message) as caught:
        Btf.load(file)
    assert caught.value.where.startswith(str(file))
    assert caught.value.hint


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    for wrong in (tmp_path / "nothing", tmp_path):
        with pytest.raises(Error) as caught:
            Btf.load(wrong)
        assert str(wrong) in str(caught.value)


def test_error_is_one_line() -> None:
    assert str(Error("what", "where", "hint")) == "where: what; hint"
    assert str(Error("what")) == "what"


def test_the_package_names_its_version() -> None:
    assert __version__


@given(st.data())
def test_renumbering_is_a_permutation(data: st.DataObject) -> None:
    types = data.draw(models())
    order = data.draw(st.permutations(range(len(types))))
    back = sorted(range(len(order)), key=lambda n: order[n])
    assert renumbered(renumbered(types, order), back) == types


# --- several behind each other --------------------------------------------------------------------


def behind_each_other(order: str, padding: int) -> tuple[list[Btf], bytes]:
    """Three BTFs as a linker puts them into one section, aligned."""
    models: list[list[Type]] = [EVERY_KIND, [Int(1, "char", 1, Int.CHAR, 0, 8)], EVERY_KIND[:4]]
    blobs = [write(model, order=order) for model in models]
    return [Btf(blob) for blob in blobs], (b"\0" * padding).join(blobs)


@pytest.mark.parametrize("padding", [0, 1, 7])
@pytest.mark.parametrize("order", ["<", ">"])
def test_several_btfs_are_read_all_or_refused(tmp_path: Path, order: str, padding: int) -> None:
    expected, blob = behind_each_other(order, padding)
    file = tmp_path / "linked.btf"
    file.write_bytes(blob)
    assert [list(read) for read in Btf.load_all(file)] == [list(one) for one in expected]
    with pytest.raises(Error, match="several BTFs behind each other"):
        Btf.load(file)
    with pytest.raises(Error, match="several BTFs behind each other"):
        Btf.from_bytes(blob)
    with pytest.raises(Error, match="several BTFs behind each other"):
        _native.check(blob)


def test_one_btf_is_all(tmp_path: Path) -> None:
    file = tmp_path / "one.btf"
    file.write_bytes(write(EVERY_KIND) + b"\0\0\0")
    (only,) = Btf.load_all(file)
    assert list(only) == list(Btf.load(file)) == EVERY_KIND


def test_what_ld_makes_of_objects_with_btf(tmp_path: Path) -> None:
    """dump lists all; what needs one BTF says that there are several."""
    require("ld")
    objects = []
    for name in ("types", "enums"):
        objects.append(compiled(SOURCES / f"{name}.c", tmp_path / f"{name}.o"))
        done = kbuild_btf("encode", "--in-place", objects[-1])
        assert done.returncode == 0, done.stderr
    each = [list(Btf.load(path)) for path in objects]
    whole = tmp_path / "whole.o"
    done = run("ld", "-r", "--allow-multiple-definition", "-o", whole, *objects)
    assert done.returncode == 0, done.stderr
    assert [list(read) for read in Btf.load_all(whole)] == each
    done = kbuild_btf("dump", whole)
    listed = done.stdout.splitlines()
    assert [line for line in listed if line.startswith("#")] == ["# BTF 1 of 2", "# BTF 2 of 2"]
    assert len([line for line in listed if line.startswith("[")]) == sum(map(len, each))
    for command in (
        ["dump", "--json"],
        ["dump", "--format", "c"],
        ["diff", objects[0]],
        ["verify"],
    ):
        done = kbuild_btf(*command, whole)
        assert done.returncode != 0, command
        assert "several BTFs behind each other" in done.stderr, command
