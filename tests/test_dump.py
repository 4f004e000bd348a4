# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""kbuild-btf dump: against bpftool, pahole and the C compiler, each run on the same input."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from btfwriter import EVERY_KIND, btf, models, strings_size, write
from hypothesis import given
from layout_check import assertions
from support import PAHOLE, SOURCES, compiled, kbuild_btf, pahole, require, run

from kbuild_btf import _native
from kbuild_btf.btf import (
    Array,
    Btf,
    Composite,
    Const,
    Enum,
    Enum64,
    Enumerator,
    Func,
    FuncProto,
    Fwd,
    Int,
    Member,
    Param,
    Ptr,
    Struct,
    Type,
    Typedef,
    TypeTag,
    Union,
)
from kbuild_btf.btf.header import render
from kbuild_btf.btf.joined import join
from kbuild_btf.btf.layout import Layouts
from kbuild_btf.btf.outline import outline
from kbuild_btf.btf.raw import lines
from kbuild_btf.btf.spelling import declare, keyword
from kbuild_btf.cli import main
from kbuild_btf.compare import diff

_INT = Int(1, "int", 4, Int.SIGNED, 0, 32)


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BTF of tests/c/layouts.c."""
    directory = tmp_path_factory.mktemp("layouts")
    source = compiled(SOURCES / "layouts.c", directory / "layouts.o")
    return pahole(source, directory / "layouts.btf")


# --- raw --------------------------------------------------------------------------------------


def bpftool(*argv: str | Path) -> list[str]:
    require("bpftool")
    done = run("bpftool", "btf", "dump", "file", *argv)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_raw_listing_equals_bpftool(layouts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dump", str(layouts)]) == 0
    assert capsys.readouterr().out.splitlines() == bpftool(layouts)


def test_raw_listing_of_every_kind_equals_bpftool(tmp_path: Path) -> None:
    file = tmp_path / "every.btf"
    # bpftool has no words for the kind_flag of tags.
    types = [found for found in EVERY_KIND if found.name != "member"]
    file.write_bytes(write(types))
    assert list(lines(Btf.load(file))) == bpftool(file)


def test_raw_listing_of_split_btf_equals_bpftool(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base_blob = write(EVERY_KIND)
    base, split = tmp_path / "base", tmp_path / "split"
    base.write_bytes(base_blob)
    own: list[Type] = [
        Struct(23, "own", 8, (Member("next", 2, 0, 0), Member("own", 4, 0, 0)), False),
        Ptr(24, "", 23),
    ]
    split.write_bytes(write(own, base=btf(EVERY_KIND), base_strings=strings_size(base_blob)))
    assert main(["dump", str(split), "--base", str(base)]) == 0
    assert capsys.readouterr().out.splitlines() == bpftool(split, "-B", base)


def test_raw_listing_keeps_the_kind_flag_of_tags() -> None:
    listing = "\n".join(lines(btf([TypeTag(1, "aligned(8)", 0, True)])))
    assert listing == "[1] TYPE_TAG 'aligned(8)' type_id=0 kind_flag=1"


# --- one type, as pahole shows it -------------------------------------------------------------

# Only newer versions of pahole count what is unused inside members, other than whole bytes.
_LATER = re.compile(r"member types with|flexible array|last struct has (?!\d+ bytes? of padding)")


def _shown(text: str) -> list[str]:
    """Lines to compare: without blank ones and without what only newer pahole says."""
    found = (line.rstrip() for line in text.splitlines())
    return [
        re.sub(r"(last struct has \d+ bytes? of padding).*", r"\1 */", line)
        for line in found
        if line and not _LATER.search(line)
    ]


LAYOUTS = """
    plain bits holes packed packed_bytes inside aligned packed_and_aligned lines nested functions
    numbers empty with_empty mixed roomy rooms uses_typedef
    colour tiny huge stamp_t compare_t triple_t
"""


@pytest.mark.parametrize("name", LAYOUTS.split())
def test_layout_equals_pahole(layouts: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    require(PAHOLE)
    theirs = run(PAHOLE, "-F", "btf", "-C", name, layouts)
    assert theirs.returncode == 0, theirs.stderr
    assert main(["dump", str(layouts), "-C", name]) == 0
    assert _shown(capsys.readouterr().out) == _shown(theirs.stdout)


def test_layout_counts_the_holes_of_members(layouts: Path) -> None:
    text = outline(Btf.load(layouts), Btf.load(layouts).find(Struct, "inside")[0])
    assert "/* XXX last struct has 3 bytes of padding, 2 holes */" in text
    assert "/* member types with holes: 1, total: 2, bit paddings: 1, total: 6 bits */" in text
    assert "/* paddings: 1, sum paddings: 3 */" in text


def test_layouts_of_several_types_stand_in_the_order_asked_for(
    layouts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dump", str(layouts), "-C", "power_t,holes"]) == 0
    heads = [line for line in capsys.readouterr().out.splitlines() if line.endswith(" {")]
    assert heads == ["typedef enum {", "struct holes {"]


def test_cacheline_size_can_be_chosen(layouts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dump", str(layouts), "-C", "lines", "--cacheline", "32"]) == 0
    assert "/* --- cacheline 1 boundary (32 bytes) was" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["dump", str(layouts), "-C", "lines", "--cacheline", "48"])


# Without bitfields, which no offsetof() knows, and without what the attributes do not explain.
EXPLAINED = """
    plain holes inside aligned lines nested functions numbers with_empty mixed rooms uses_typedef
    packed_bytes
"""


def test_inferred_attributes_lead_a_compiler_to_the_recorded_layout(
    layouts: Path, tmp_path: Path
) -> None:
    read = Btf.load(layouts)
    known = Layouts(read)
    text = []
    for name in EXPLAINED.split():
        (found,) = (t for t in read if isinstance(t, Composite) and t.name == name)
        layout = known.of(found)
        # Members of the same size and alignment, so that the attributes alone are on trial.
        body = "".join(
            f"unsigned char m{i}[{place.size}] __attribute__((aligned({to})));"
            for i, place in enumerate(layout.places)
            for to in [place.aligned or (known.alignment(place.member.type_id))]
        )
        if layout.packed:
            body = re.sub(r" __attribute__\(\(aligned\(\d+\)\)\)", "", body)
        words = f"{keyword(found)} again_{name}"
        attribute = f"__attribute__((aligned({layout.aligned})))" if layout.aligned else ""
        text.append(f"{words} {{ {body} }} {attribute};")
        text.append(f'_Static_assert(sizeof({words}) == {found.size}, "size of {name}");')
        text += [
            f'_Static_assert(__builtin_offsetof({words}, m{i}) == {place.offset}, "{name}");'
            for i, place in enumerate(layout.places)
        ]
    compile_header("\n".join(text), [], tmp_path)


def test_natural_alignment_is_the_compilers(layouts: Path, tmp_path: Path) -> None:
    read = Btf.load(layouts)
    known = Layouts(read)
    checks = [
        f'_Static_assert(_Alignof({keyword(found)} {name}) == {known.alignment(found.id)}, "");'
        for name in ("plain", "bits", "holes", "packed", "inside", "nested", "numbers", "mixed")
        for found in [*read.find(Struct, name), *read.find(Union, name)]
    ]
    assert len(checks) == 8
    compile_header((SOURCES / "layouts.c").read_text(), checks, tmp_path)


@pytest.mark.parametrize(
    ("occupied", "size", "expected"),
    [(45, 48, 0), (40, 64, 64), (5, 16, 16), (100, 256, 256), (164, 208, 0)],
    ids=["natural", "cacheline", "least", "larger", "impossible"],
)
def test_alignment_of_a_struct_is_told_where_it_is_needed(
    occupied: int, size: int, expected: int
) -> None:
    """A struct of an int and bytes behind it, so many in all."""
    members = (Member("a", 1, 0, 0), Member("b", 3, 32, 0))
    read = btf(
        [
            _INT,
            Struct(2, "s", size, members, False),
            Array(3, "", 4, 1, occupied - 4),
            Int(4, "char", 1, 0, 0, 8),
        ]
    )
    found = re.findall(r"__aligned__\((\d+)\)", outline(read, read[2]))
    assert found == ([str(expected)] if expected else [])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pointed", "int (*pointed)[4];"),
        ("handler", "int (* const handler)(void);"),
        ("twice", "int (**twice)(void);"),
    ],
)
def test_pointers_to_functions_and_arrays_are_spelled_as_in_c(name: str, words: str) -> None:
    types: list[Type] = [
        _INT,
        FuncProto(2, "", 1, ()),
        Ptr(3, "", 2),
        Const(4, "", 3),
        Ptr(5, "", 3),
        Array(6, "", 1, 1, 4),
        Ptr(7, "", 6),
        Struct(
            8,
            "s",
            24,
            (Member("pointed", 7, 0, 0), Member("handler", 4, 64, 0), Member("twice", 5, 128, 0)),
            False,
        ),
    ]
    read = btf(types)
    assert words in re.sub(" +", " ", outline(read, read[8]))


@given(models())
def test_every_struct_can_be_shown(types: list[Type]) -> None:
    read = btf(types)
    for found in read:
        if isinstance(found, Composite):
            text = outline(read, found)
            assert text.count("\t/* size:") == isinstance(found, Struct)


# --- C ----------------------------------------------------------------------------------------


def compile_header(text: str, checks: list[str], directory: Path, *flags: str) -> Path:
    """Object file of the header and the assertions; warnings are failures."""
    source, output = directory / "check.c", directory / "check.o"
    source.write_text("\n".join([text, *checks, ""]))
    return compiled(source, output, "-std=gnu11", "-Wall", "-Werror", *flags)


def test_declarations_compile_to_the_same_layout(
    layouts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dump", str(layouts), "--format", "c"]) == 0
    checks = list(assertions(Btf.load(layouts)))
    assert len(checks) > 90
    compile_header(capsys.readouterr().out, checks, tmp_path)


ODD = {
    "complex": "struct s { _Complex float f; _Complex double d; _Complex long double l; char tail;"
    " _Complex int i; _Complex float *p; _Complex double list[2]; };"
    " _Complex double function(_Complex float a, struct s *b) { return 0; }",
    "bitint": "struct s { _BitInt(37) a; unsigned _BitInt(5) b; _BitInt(128) c; char tail;"
    " _BitInt(24) *p; _BitInt(9) list[3]; unsigned _BitInt(256) *wide; };"
    " _BitInt(17) function(_BitInt(17) a, struct s *b) { return a; }",
    "floats": "struct s { _Float16 h; long double l; char tail; _Float16 list[3]; };"
    " long double function(long double a, struct s *b) { return a; }",
}


@pytest.mark.parametrize("flag", ["-m64", "-m32"])
@pytest.mark.parametrize(
    ("maker", "odd"),
    [
        ("gcc", "complex"),
        ("clang-16", "complex"),
        ("clang-16", "bitint"),
        ("gcc", "floats"),
        ("clang-19", "bitint"),
    ],
)
def test_types_that_not_every_compiler_has(odd: str, maker: str, flag: str, tmp_path: Path) -> None:
    """Something of that size stands for them, and the header compiles to the same layout."""
    require(maker, "gcc", "clang-16", "clang-19")
    source, made, header = (tmp_path / f"a.{end}" for end in ("c", "o", "h"))
    text = ODD[odd] if flag == "-m64" else ODD[odd].replace("_BitInt(128)", "_BitInt(64)")
    source.write_text(text + " struct s s; typedef int complex;\ncomplex c;\n")
    done = run(maker, "-g", "-c", "-msse2", flag, "-w", "-o", made, source)
    assert done.returncode == 0, done.stderr
    assert kbuild_btf("encode", "--in-place", made).returncode == 0
    read = Btf.load(made)
    header.write_text("\n".join([render(read), *assertions(read), ""]))
    for compiler in ("gcc", "clang-16", "clang-19"):
        flags = ["-x", "c", "-std=gnu11", "-Wall", "-Werror", "-Wno-unknown-attributes"]
        done = run(compiler, *flags, flag, "-c", "-o", tmp_path / "out.o", header)
        assert done.returncode == 0, done.stderr
    # What every compiler has is called as ever.
    assert "char tail;" in header.read_text()


def test_bitfields_come_back_from_the_compiler(layouts: Path, tmp_path: Path) -> None:
    """offsetof() knows no bitfields, so the header's own BTF says where they ended up."""
    before = Btf.load(layouts)
    text = render(before)
    output = compile_header(text, [], tmp_path, "-fno-eliminate-unused-debug-types")
    after = Btf.load(pahole(output, tmp_path / "again.btf"))
    compared = 0
    for found in before:
        if isinstance(found, Composite) and found.name:
            (again,) = after.find(type(found), found.name)
            assert again.size == found.size
            places = [(m.name, m.bit_offset, m.bit_size) for m in found.members]
            assert places == [
                (m.name, m.bit_offset, m.bit_size)
                for m in again.members
                if not m.name.startswith("__padding")
            ]
            compared += len(places)
    assert compared > 80


def test_compiler_refuses_a_wrong_layout(layouts: Path, tmp_path: Path) -> None:
    """The check above can fail: without one padding the assertions do not hold."""
    text = render(Btf.load(layouts)).replace("__attribute__((packed))", "", 1)
    source = tmp_path / "wrong.c"
    source.write_text("\n".join([text, *assertions(Btf.load(layouts))]))
    require("gcc")
    done = run("gcc", "-c", "-o", tmp_path / "wrong.o", source)
    assert "static assertion failed" in done.stderr


@pytest.mark.parametrize(
    ("types", "words"),
    [
        (
            [
                _INT,
                Struct(2, "s", 4, (Member("a", 1, 0, 0),), False),
                Struct(3, "s", 8, (Member("a", 1, 0, 0), Member("b", 1, 32, 0)), False),
            ],
            ["struct s {", "struct s___2 {"],
        ),
        (
            [_INT, Typedef(2, "t", 1), Ptr(3, "", 2), Typedef(4, "t", 3)],
            ["typedef int t;", "typedef t *t___2;"],
        ),
        (
            [
                Enum(1, "e", 4, False, (Enumerator("A", 0),)),
                Enum(2, "", 4, False, (Enumerator("A", 1),)),
            ],
            ["A = 0,", "A___2 = 1,"],
        ),
        (
            [Fwd(1, "s", False), Ptr(2, "", 1), Struct(3, "s", 8, (Member("p", 2, 0, 0),), False)],
            ["struct s *p;"],
        ),
        ([Fwd(1, "s", True), Struct(2, "s", 0, (), False)], ["struct s {", "union s___2;"]),
        (
            [
                Enum(1, "small", 2, True, (Enumerator("A", -1),)),
                Enum64(2, "large", 8, True, (Enumerator("B", -(1 << 63)), Enumerator("C", 1))),
            ],
            ["mode(HI)", "(-9223372036854775807LL - 1)"],
        ),
        (
            [
                _INT,
                Const(2, "", 1),
                Array(3, "", 2, 1, 4),
                Const(4, "", 3),
                Struct(5, "s", 16, (Member("a", 4, 0, 0),), False),
            ],
            ["const int a[4];"],
        ),
        (
            [
                Int(1, "char", 1, 0, 0, 8),
                FuncProto(2, "", 1, ()),
                Ptr(3, "", 2),
                Const(4, "", 3),
                Array(5, "", 4, 1, 2),
                Ptr(6, "", 5),
                FuncProto(7, "", 1, (Param("", 6), Param("", 0))),
                Ptr(8, "", 7),
                Typedef(9, "t", 8),
            ],
            ["typedef char (*t)(char (* const (*)[2])(void), ...);"],
        ),
    ],
    ids=["structs", "typedefs", "enumerators", "fwd", "fwd-union", "sizes", "const", "nested"],
)
def test_names_and_declarators(types: list[Type], words: list[str], tmp_path: Path) -> None:
    read = btf(types)
    text = render(read)
    for word in words:
        assert word in text
    compile_header(text, list(assertions(read)), tmp_path)


def test_order_puts_what_is_embedded_first(tmp_path: Path) -> None:
    types: list[Type] = [
        Struct(1, "outer", 16, (Member("inner", 2, 0, 0), Member("many", 3, 64, 0)), False),
        Typedef(2, "inner_t", 4),
        Array(3, "", 2, 6, 1),
        Struct(4, "inner", 8, (Member("back", 5, 0, 0),), False),
        Ptr(5, "", 7),
        Int(6, "int", 4, Int.SIGNED, 0, 32),
        Typedef(7, "outer_t", 1),
    ]
    read = btf(types)
    compile_header(render(read), list(assertions(read)), tmp_path)


def test_structs_with_a_name_in_others_without_one(tmp_path: Path) -> None:
    """As kernels from 7.0 on have them; a program is compiled without -fms-extensions."""
    source = tmp_path / "ms.c"
    source.write_text(
        "struct inner { char c; union { int i; long l; }; int bits : 3; };\n"
        "struct __attribute__((packed)) tight { char d; long m; };\n"
        "typedef struct inner inner_t;\n"
        "struct outer { int before; struct inner; struct { struct tight; int after; }; } outer;\n"
        "union either { inner_t; long other; } either; struct inner *inner;\n"
    )
    made = compiled(source, tmp_path / "ms.o", "-fms-extensions")
    read = Btf.from_bytes(_native.encode(made).btf)
    compile_header(render(read), list(assertions(read)), tmp_path)


def test_split_header_holds_what_it_needs_of_the_base(tmp_path: Path) -> None:
    blob = write(EVERY_KIND)
    base = Btf.from_bytes(blob)
    own: list[Type] = [Struct(23, "own", 32, (Member("node", 8, 0, 0),), False)]
    split = Btf.from_bytes(write(own, base=base, base_strings=strings_size(blob)), base)
    text = render(split)
    assert "typedef struct node node_t;" in text
    assert "enum sign" not in text
    compile_header(text, list(assertions(split)), tmp_path)


# --- several files ------------------------------------------------------------------------------

# Modules compiled with these, against a kernel that has `struct page`.
KERNEL = "struct page { long flags; }; struct page *pages(void) { return 0; }"
SHARED = (
    "struct page; struct node { struct node *next; struct page *page; enum { ON, OFF } state; };"
)
MODULES = {
    "a": f"{SHARED} struct own {{ int a; }}; int a(struct node *n, struct own *o) {{ return !o; }}",
    "b": f"{SHARED} struct own {{ long b; }}; int b(struct own *o, struct node *n) {{ return 1; }}",
    "c": f"{SHARED} struct last {{ struct node node; }}; int c(struct last *l) {{ return !l; }}",
}


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Raw BTF of the kernel and of each module."""
    directory = tmp_path_factory.mktemp("several")
    files = {}
    for name, text in {"vmlinux": KERNEL, **MODULES}.items():
        (directory / f"{name}.c").write_text(text)
        made = compiled(directory / f"{name}.c", directory / f"{name}.o")
        files[name] = directory / f"{name}.btf"
        base = ("--base", files["vmlinux"]) if name != "vmlinux" else ()
        done = kbuild_btf("encode", made, "-o", files[name], *base)
        assert done.returncode == 0, done.stderr
    return files


def test_what_modules_share_is_there_once(several: dict[str, Path]) -> None:
    base = Btf.load(several["vmlinux"])
    parts = [Btf.load(several[name], base) for name in MODULES]
    joined = join(parts)
    for part in parts:
        assert diff(join([part]), part).same
    assert [len(joined.find(Struct, name)) for name in ("page", "node", "own", "last")] == [
        1,
        1,
        2,
        1,
    ]
    assert [found.name for found in joined.find(Func)] == ["pages", "a", "b", "c"]
    (node,) = joined.find(Struct, "node")
    assert {str(pointer) for pointer in joined.find(Ptr) if pointer.type_id == node.id} == {
        "struct node *"
    }


def test_one_that_differs_far_below_is_another(tmp_path: Path) -> None:
    """Rings of structs that differ in one member of one: all of a ring leads there."""
    blob = write([_INT])
    base = Btf.from_bytes(blob)

    def ring(length: int, odd: int | None) -> Btf:
        types: list[Type] = []
        for i in range(length):
            struct_id, pointer = 2 + 2 * i, 3 + 2 * i
            name = "other" if i == odd else "next"
            types.append(Struct(struct_id, f"s{i}", 8, (Member(name, pointer, 0, 0),), False))
            types.append(Ptr(pointer, "", 2 + 2 * ((i + 1) % length)))
        return btf(types, base, strings_size(blob))

    def count(*parts: Btf) -> int:
        joined = join(parts)
        return len(joined) - joined.start

    assert count(ring(50, None), ring(50, None)) == 100
    assert count(ring(50, None), ring(50, 31)) == 200
    assert count(ring(50, 31), ring(50, None), ring(50, 31)) == 200


@pytest.mark.parametrize("order", [["a", "b", "c"], ["c", "b", "a"]])
def test_a_header_of_a_kernel_and_its_modules(
    order: list[str], several: dict[str, Path], tmp_path: Path
) -> None:
    files = [several[name] for name in order]
    done = kbuild_btf("dump", "--format", "c", several["vmlinux"], *files)
    assert done.returncode == 0, done.stderr
    base = Btf.load(several["vmlinux"])
    compile_header(done.stdout, list(assertions(base)), tmp_path)
    for words in ("struct page {", "struct node {", "struct own {", "struct own___2 {"):
        assert done.stdout.count(words) == 1
    # Modules alone have of the kernel only what they need.
    alone = kbuild_btf("dump", "--format", "c", "--base", several["vmlinux"], *files)
    assert "struct page;" in alone.stdout
    assert "struct page {" not in alone.stdout
    compile_header(alone.stdout, [], tmp_path)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a"], "several files; --format c makes one header of all"),
        (["vmlinux", "--format=c"], "BTF of its own, which builds on no other; show it alone"),
    ],
)
def test_several_files_that_are_no_header(
    arguments: list[str], said: str, several: dict[str, Path]
) -> None:
    words = [several.get(word, word) for word in arguments]
    done = kbuild_btf("dump", several["vmlinux"], *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr


def test_a_struct_inside_itself_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bad.btf"
    file.write_bytes(write([Struct(1, "s", 8, (Member("s", 1, 0, 0),), False)]))
    assert main(["dump", str(file), "--format", "c"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "struct s contains itself" in err


@pytest.mark.parametrize(
    ("type_id", "expected"),
    [
        (2, "struct node *x"),
        (3, "int x[5]"),
        (8, "node_t x"),
        (10, "volatile const int x"),
        (11, "struct node * restrict x"),
        (12, "int x(const volatile int first, ...)"),
        (18, 'struct node __attribute__((btf_type_tag("user"))) x'),
        (0, "void x"),
    ],
)
def test_declarations(type_id: int, expected: str) -> None:
    # The order of qualifiers has no meaning.
    words = declare(btf(EVERY_KIND), type_id, "x").replace("const volatile", "volatile const")
    assert words == expected.replace("const volatile", "volatile const")


# --- command line -----------------------------------------------------------------------------


def test_a_missing_name_prints_nothing_else(
    layouts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dump", str(layouts), "-C", "holes,nosuch"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"kbuild-btf: {layouts}: no struct, union, enum or typedef 'nosuch'")


def test_types_in_a_circle_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "circle.btf"
    file.write_bytes(write([Ptr(1, "", 1), Typedef(2, "t", 1)]))
    assert main(["dump", str(file), "--format", "c"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1


def test_a_reader_that_goes_away_is_no_error(layouts: Path) -> None:
    command = [sys.executable, "-m", "kbuild_btf", "dump", str(layouts)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == b""


def test_help_imports_no_verb() -> None:
    code = (
        "import sys; from kbuild_btf.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in sys.modules if m.startswith('kbuild_btf.')])"
    )
    done = run(sys.executable, "-c", code)
    assert done.stdout.splitlines()[-1] == "['kbuild_btf.errors', 'kbuild_btf.cli']"
    assert "dump" in done.stdout


@pytest.mark.parametrize("argv", [["nosuch"], ["dump"], ["dump", "x", "--format", "d"]])
def test_wrong_usage_is_one_line(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_members_that_overlap_are_shown_with_the_difference() -> None:
    read = btf([_INT, Struct(2, "s", 16, (Member("a", 1, 64, 0), Member("b", 1, 0, 0)), False)])
    assert "differ from the size by" in outline(read, read[2])
