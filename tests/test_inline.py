# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""--btf_features=inline: where functions were inlined, and where their parameters are there.

Odd DWARF says what a rule is; compiled C is compared with what pyelftools reads (tools/sites).
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from dwarfwriter import (
    ATE,
    DIE,
    Expr,
    Form,
    LocList,
    OP_addr,
    OP_fbreg,
    OP_reg0,
    OP_stack_value,
    RngList,
    Unit,
    Value,
    sleb,
    uleb,
    write_dwarf,
)
from elfwriter import S390X, X86_64, Address, Section, Symbol, Target
from kernel import Kernel
from minitree import MiniTree, products
from support import ROOT, SCRIPTS, kbuild_btf, require, run

from kbuild_btf import Btf, _native, explain
from kbuild_btf.btf import Func, FuncProto, LocParam, LocProto, Locsec
from kbuild_btf.cli import main

FEATURES = "default,inline"
STT_FUNC, STT_SECTION, STB_LOCAL = 2, 3, 0
SHF_ALLOC, SHF_EXECINSTR = 2, 4
OP_breg0, OP_lit0, OP_deref, OP_piece, OP_implicit_value = 0x70, 0x30, 0x06, 0x93, 0x9E
OP_entry_value, OP_consts, OP_and = 0xA3, 0x11, 0x1A
VALUE = bytes([OP_stack_value])

_INT = {"name": "int", "byte_size": 4, "encoding": ATE.signed}


def breg(register: int, offset: int) -> bytes:
    return bytes([OP_breg0 + register]) + sleb(offset)


def fbreg(offset: int) -> bytes:
    return bytes([OP_fbreg]) + sleb(offset)


def reg(register: int) -> bytes:
    return bytes([OP_reg0 + register])


# --- odd DWARF --------------------------------------------------------------------------------


@dataclass
class Program:
    """`outer` at .text+0x10, 0x100 bytes long, into which others are inlined."""

    types: list[DIE]
    inlined: list[DIE]
    version: int = 5
    target: Target = X86_64
    attrs: dict[str, Value] | None = None

    def write(self, path: Path) -> Path:
        outer = DIE(
            "subprogram",
            {"name": "outer", "low_pc": Address(".text", 0x10), "high_pc": 0x100},
            [DIE("lexical_block", {}, self.inlined)],
        )
        attrs: dict[str, Value] = {"name": "a.c", "language": 0x1D, **(self.attrs or {})}
        flags = SHF_ALLOC | SHF_EXECINSTR
        text = [Section(name, bytes(0x200), flags=flags) for name in (".text", ".init.text")]
        symbols = [
            Symbol("outer", ".text", 0x10, 0x100, STT_FUNC),
            Symbol("start", ".init.text", 0, 0x100, STT_FUNC),
        ]
        unit = Unit([*self.types, outer], attrs, version=self.version)
        path.write_bytes(write_dwarf([unit], text, symbols, target=self.target))
        return path

    def told(self, path: Path) -> list[tuple[str, int, str, tuple[str | None, ...]]]:
        """Of each site section, offset, function and places."""
        return sites(Btf.from_bytes(_native.encode(self.write(path), features=FEATURES).btf))


def sites(btf: Btf) -> list[tuple[str, int, str, tuple[str | None, ...]]]:
    found = []
    for section in btf.find(Locsec):
        for site in section.sites:
            places = site.places
            assert isinstance(places, LocProto)
            params = (btf[param] for param in places.params)
            told = tuple(p.place if isinstance(p, LocParam) else None for p in params)
            found.append((section.name, site.offset, site.func.name, told))
    return sorted(found, key=str)


def base(name: str, size: int, encoding: ATE) -> DIE:
    return DIE("base_type", {"name": name, "byte_size": size, "encoding": encoding})


def function(name: str, *params: DIE) -> DIE:
    """An abstract function with parameters a, b, ... of these types."""
    children = [
        DIE("formal_parameter", {"name": chr(ord("a") + i), "type": of})
        for i, of in enumerate(params)
    ]
    return DIE("subprogram", {"name": name, "inline": 1}, children)


HERE = Address(".text", 0x20)


def inlined(of: DIE, *params: dict[str, Value] | None, at: Value = HERE, **more: Value) -> DIE:
    """An instance at an address; None for a parameter that it does not mention."""
    children = [
        DIE("formal_parameter", {"abstract_origin": abstract, **own})
        for abstract, own in zip(of.children, params, strict=False)
        if own is not None
    ]
    attrs = {"abstract_origin": of, "low_pc": at, "high_pc": 8, **more}
    return DIE("inlined_subroutine", attrs, children)


# The size of the parameter's type, whether it is signed, what the DWARF says, and what BTF can.
PLACES: list[tuple[int, bool, dict[str, Value], str | None]] = [
    (4, True, {"location": reg(5)}, "reg5"),
    (8, False, {"location": b"\x90" + uleb(17)}, "reg17"),
    (4, True, {"location": breg(6, -16)}, "*(reg6 - 0x10)"),
    (4, True, {"location": breg(6, 0)}, "*(reg6)"),
    (8, False, {"location": breg(3, 24) + VALUE}, "reg3 + 0x18"),
    (8, False, {"location": breg(3, 0) + VALUE}, "reg3"),
    (8, False, {"location": fbreg(-32)}, "*(fbreg - 0x20)"),
    (8, False, {"location": fbreg(8) + VALUE}, "fbreg + 0x8"),
    (4, True, {"location": bytes([OP_lit0 + 7, OP_stack_value])}, "0x7"),
    (4, True, {"location": bytes([OP_consts]) + sleb(-2) + VALUE}, "-0x2"),
    (4, False, {"location": bytes([OP_consts]) + sleb(-2) + VALUE}, "0xfffffffe"),
    (8, True, {"location": bytes([OP_consts]) + sleb(-2) + VALUE}, "-0x2"),
    (1, True, {"location": bytes([OP_consts]) + sleb(0x1FF) + VALUE}, "-0x1"),
    (4, True, {"const_value": 42}, "0x2a"),
    (4, True, {"const_value": -1}, "-0x1"),
    (16, False, {"location": reg(0) + b"\x93\x08" + reg(1) + b"\x93\x08"}, "reg0:reg1"),
    # What is not there, not all there, or computed.
    (4, True, {}, None),
    (4, True, {"location": b""}, None),
    (8, False, {"location": bytes([OP_entry_value, 1]) + reg(5) + VALUE}, None),
    (8, False, {"location": breg(3, 0) + bytes([OP_lit0 + 1, OP_and]) + VALUE}, None),
    (8, False, {"location": breg(3, 8) + bytes([OP_deref]) + VALUE}, None),
    (16, False, {"location": reg(0) + b"\x93\x08"}, None),
    (16, False, {"location": reg(0) + b"\x93\x04" + reg(1) + b"\x93\x0c"}, None),
    (16, False, {"location": reg(0)}, None),
    (12, False, {"location": breg(6, 8)}, None),
    (16, True, {"const_value": 42}, None),
    (8, False, {"location": breg(3, 1 << 40)}, None),
]


@pytest.mark.parametrize("target", [X86_64, S390X], ids=str)
@pytest.mark.parametrize("version", [4, 5])
def test_what_btf_can_say_of_a_place(version: int, target: Target, tmp_path: Path) -> None:
    """Each as the only parameter of a function of its own."""
    program = Program([], [], version, target)
    for i, (size, signed, own, _) in enumerate(PLACES):
        encoding = ATE.signed if signed else ATE.unsigned
        of = DIE("typedef", {"name": f"t{i}", "type": base(f"b{i}", size, encoding)})
        called = function(f"f{i:02}", of)
        program.types += [of, called]
        program.inlined.append(inlined(called, own))
    told = program.told(tmp_path / "a.o")
    assert [places for *_, places in told] == [(place,) for *_, place in PLACES]


@pytest.mark.parametrize("target", [X86_64, S390X], ids=str)
def test_a_value_in_its_bytes(target: Target, tmp_path: Path) -> None:
    number = base("int", 4, ATE.signed)
    f = function("f", number, number)
    data = target.integer(-3, 4)
    block = bytes([OP_implicit_value, 4]) + data
    short = bytes([OP_implicit_value, 2]) + data[:2]
    program = Program([number, f], [inlined(f, {"location": block}, {"location": short})])
    program.target = target
    assert program.told(tmp_path / "a.o") == [(".text", 0x20, "f", ("-0x3", None))]


def test_the_address_of_something_is_not_said(tmp_path: Path) -> None:
    """Of an address BTF wants the distance to the kernel's base, which follows from the link."""
    pointer = DIE("pointer_type", {"byte_size": 8})
    f = function("f", pointer)
    where = Expr((bytes([OP_addr]), Address(".text", 4), VALUE))
    program = Program([pointer, f], [inlined(f, {"location": where})])
    assert program.told(tmp_path / "a.o") == [(".text", 0x20, "f", (None,))]


BEGINS: list[tuple[dict[str, Value], int | None]] = [
    ({"low_pc": Address(".text", 0x30)}, 0x30),
    ({"low_pc": Address(".text", 0x30), "entry_pc": Address(".text", 0x34)}, 0x34),
    ({"low_pc": Address(".text", 0x30), "entry_pc": 6}, 0x36),
    ({"ranges": RngList(((Address(".text", 0x40), 4), (Address(".text", 0x20), 4)))}, 0x40),
    (
        {
            "ranges": RngList(((Address(".text", 0x40), 4), (Address(".text", 0x20), 4))),
            "entry_pc": Address(".text", 0x22),
        },
        0x22,
    ),
    ({}, None),
]


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize(("attrs", "offset"), BEGINS)
def test_where_the_code_begins(
    attrs: dict[str, Value], offset: int | None, version: int, tmp_path: Path
) -> None:
    f = function("f")
    die = DIE("inlined_subroutine", {"abstract_origin": f, **attrs})
    told = Program([f], [die], version).told(tmp_path / "a.o")
    assert told == ([] if offset is None else [(".text", offset, "f", ())])


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("low", [None, Address(".text", 0x10)], ids=["none", "low"])
def test_a_list_counts_where_the_code_begins(
    low: Address | None, version: int, tmp_path: Path
) -> None:
    """What held before or will hold does not count; an empty range is a step that begins there."""
    number = base("int", 4, ATE.signed)
    f = function("f", number, number, number)

    def lists(*parts: tuple[int, int, bytes]) -> dict[str, Value]:
        entries = tuple((Address(".text", at), length, text) for at, length, text in parts)
        return {"location": LocList(entries)}

    own = [
        lists((0x10, 0x10, reg(1)), (0x20, 4, reg(2)), (0x24, 8, reg(3))),
        lists((0x10, 0x10, reg(1)), (0x24, 8, reg(3))),
        lists((0x10, 0x10, reg(1)), (0x20, 0, reg(4)), (0x20, 8, reg(5))),
    ]
    program = Program([number, f], [inlined(f, *own)], version)
    program.attrs = {} if low is None else {"low_pc": low, "high_pc": 0x100}
    assert program.told(tmp_path / "a.o") == [(".text", 0x20, "f", ("reg2", None, "reg4"))]


def test_inlined_into_what_was_inlined(tmp_path: Path) -> None:
    number = base("int", 4, ATE.signed)
    f, g = function("f", number, number), function("g", number)
    inner = inlined(g, {"location": reg(2)}, at=Address(".text", 0x24))
    outer = inlined(f, {"location": reg(1)}, {"location": reg(3)})
    # Between its parameters, as no compiler does.
    nested = DIE(outer.tag, outer.attrs, [outer.children[0], inner, outer.children[1]])
    assert Program([number, f, g], [nested]).told(tmp_path / "a.o") == [
        (".text", 0x20, "f", ("reg1", "reg3")),
        (".text", 0x24, "g", ("reg2",)),
    ]


def test_parameters_are_told_in_the_order_of_the_prototype(tmp_path: Path) -> None:
    number = base("int", 4, ATE.signed)
    f = function("f", number, number, number)
    site = inlined(f, {"location": reg(1)}, None, {"location": reg(3)})
    turned = DIE(site.tag, site.attrs, site.children[::-1])
    told = Program([number, f], [turned]).told(tmp_path / "a.o")
    assert told == [(".text", 0x20, "f", ("reg1", None, "reg3"))]


def test_each_section_has_its_own(tmp_path: Path) -> None:
    f = function("f")
    at = [Address(".text", 0x20), Address(".init.text", 0x8)]
    told = Program([f], [inlined(f, at=place) for place in at]).told(tmp_path / "a.o")
    assert told == [(".init.text", 8, "f", ()), (".text", 0x20, "f", ())]


def test_what_btf_cannot_name_is_left_out(tmp_path: Path) -> None:
    """A function with a parameter without a name has no FUNC; a reference may lead nowhere."""
    number = base("int", 4, ATE.signed)
    nameless = DIE(
        "subprogram", {"name": "f", "inline": 1}, [DIE("formal_parameter", {"type": number})]
    )
    g = function("g", number)
    nowhere = DIE(
        "inlined_subroutine", {"abstract_origin": number, "low_pc": Address(".text", 0x30)}
    )
    program = Program([number, nameless, g], [inlined(nameless), nowhere, inlined(g, None)])
    assert program.told(tmp_path / "a.o") == [(".text", 0x20, "g", (None,))]


def test_a_list_that_is_cut_off_says_nothing(tmp_path: Path) -> None:
    number = base("int", 4, ATE.signed)
    f = function("f", number)
    for beyond in (0x1000, 0xFFFFFFFF):
        own: dict[str, Value] = {"location": Form("sec_offset", beyond)}
        told = Program([number, f], [inlined(f, own)]).told(tmp_path / "a.o")
        assert told == [(".text", 0x20, "f", (None,))]


# --- compiled C -------------------------------------------------------------------------------

A_C = """
    struct pair { long a, b; };
    struct large { long a[5]; };
    extern void use(long, const void *);
    static int counter;
    #define INLINE static inline __attribute__((always_inline))
    INLINE long add(long x, int y, struct pair *p) { use(x + y, p); return x * p->a; }
    INLINE int twice(signed char v) { use(v, 0); return 2 * v; }
    INLINE long of_pair(struct pair p) { use(p.a, 0); return p.b; }
    INLINE long of_large(struct large l, unsigned long long w) { use(l.a[3], 0); return w; }
    INLINE int nested(int k, const char *s) { int r = twice(k); use(r, s); return add(k, 7, 0); }
    long outer(long k, struct pair *q)
    {
        long r = add(k, 42, q);
        if (r > 10)
            r += twice(-3) + nested(r, "text");
        use(r, &counter);
        return r;
    }
    __attribute__((section(".init.text"))) long init(int n)
    {
        struct pair p = { n, 2 };
        return add(n, n, &p) + of_pair(p) + nested(3, 0);
    }
    long third(struct pair p, struct large l) { return of_pair(p) + of_large(l, 0x123456789aULL); }
    __attribute__((weak)) int overridden(int v) { return twice(v) + 1; }
"""
B_C = """
    void use(long a, const void *p) { __asm__ volatile("" :: "r"(a), "r"(p)); }
    extern long outer(long, void *);
    int overridden(int v) { return v; }
    static inline __attribute__((always_inline)) int twice(signed char v) { use(v, 0); return v; }
    static __attribute__((noinline)) int here(int v) { return twice(v) + twice(v + 1); }
    int main(int argc, char **argv) { return here(argc) + outer(argc, argv); }
"""
COMPILERS = [("gcc", "4"), ("gcc", "5"), ("clang-14", "4"), ("clang-14", "5"), ("clang-19", "5")]
FLAGS = ["-O2", "-Os", "-O2 -ffunction-sections", "-O1 -fno-omit-frame-pointer"]


@pytest.fixture(
    params=[(*c, f) for c in COMPILERS for f in FLAGS], ids=lambda p: " ".join(p), name="objects"
)
def fixture_objects(request: pytest.FixtureRequest, tmp_path: Path) -> list[Path]:
    compiler, version, flags = request.param
    require(compiler)
    made = []
    for name, text in (("a", A_C), ("b", B_C)):
        (tmp_path / f"{name}.c").write_text(text)
        words = [compiler, f"-gdwarf-{version}", *flags.split(), "-w", "-c", f"{name}.c"]
        done = run(*words, "-o", f"{name}.o", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        made.append(tmp_path / f"{name}.o")
    return made


def linked(objects: list[Path], *flags: str) -> Path:
    image = objects[0].with_name("image")
    done = run("ld", "-e", "0", "-o", image, *flags, *objects)
    assert done.returncode == 0, done.stderr
    return image


def test_compiled_c_is_told_as_pyelftools_reads_it(objects: list[Path]) -> None:
    image = linked(objects)
    made = _native.encode(image, features=FEATURES)
    (image.parent / "btf").write_bytes(made.btf)
    done = run(sys.executable, ROOT / "tools" / "sites", image, image.parent / "btf")
    assert done.returncode == 0, done.stdout + done.stderr
    assert made.report["sites"] >= 15
    assert int(done.stdout.split()[0]) == made.report["sites"]


@pytest.mark.parametrize("flags", [(), ("-r",), ("--gc-sections", "-u", "outer", "-e", "main")])
def test_objects_tell_what_the_linked_file_does(
    objects: list[Path], flags: tuple[str, ...]
) -> None:
    """Of a weak function that lost the code is there, too, but nobody calls it."""
    image = linked(objects, *flags)
    whole = _native.encode(image, features=FEATURES)
    assert _native.link(image, objects=objects, features=FEATURES).btf == whole.btf
    assert whole.report["sites"]


def test_without_the_feature_all_is_as_it_was(objects: list[Path]) -> None:
    """With it there are more types, and all that was there says the same."""
    image = linked(objects)
    plain = Btf.from_bytes(_native.encode(image, features="default").btf)
    more = Btf.from_bytes(_native.encode(image, features=FEATURES).btf)
    assert not plain.find(Locsec) and not plain.find(LocParam)
    assert {str(f) for f in plain.find(Func)} < {str(f) for f in more.find(Func)}
    assert {f.name for f in more.find(Func)} >= {"twice", "add", "of_pair", "nested"}
    for found in more.find(Locsec):
        keys = [(site.func_id, site.offset, site.loc_proto_id) for site in found.sites]
        assert keys == sorted(keys)
        for site in found.sites:
            proto = site.func.type  # type: ignore[attr-defined]
            assert isinstance(proto, FuncProto)
            assert len(list(site.places.references())) == len(proto.params)


def test_layout_tells_the_new_kinds_only_when_they_are_asked_for(objects: list[Path]) -> None:
    image = linked(objects)
    lengths = []
    for features in ("default,layout", f"{FEATURES},layout"):
        blob = _native.encode(image, features=features).btf
        _native.check(blob)
        lengths.append(int.from_bytes(blob[28:32], "little"))
        start = 32 + int.from_bytes(blob[24:28], "little")
    assert lengths == [4 * 20, 4 * 23]
    assert blob[start + 4 * 20 : start + 4 * 23] == bytes([4, 4, 0, 0, 0, 4, 0, 0, 0, 12, 0, 0])


# --- what is kept of an object ------------------------------------------------------------------


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, list[Path]]:
    """An image and its objects."""
    objects = []
    for name, text in (("a", A_C), ("b", B_C)):
        (tmp_path / f"{name}.c").write_text(text)
        done = run(
            "gcc", "-g", "-O2", "-w", "-c", tmp_path / f"{name}.c", "-o", tmp_path / f"{name}.o"
        )
        assert done.returncode == 0, done.stderr
        objects.append(tmp_path / f"{name}.o")
    return linked(objects), objects


def hook(objects: list[Path], *options: str) -> None:
    done = run(SCRIPTS / "kbuild-btf-hook", *options, *objects)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_sidecar_says_whether_it_was_asked(pair: tuple[Path, list[Path]]) -> None:
    image, objects = pair
    right = {f: _native.encode(image, features=f).btf for f in ("default", FEATURES)}

    def reused(features: str) -> int:
        made = _native.link(image, objects=objects, features=features)
        assert made.btf == right[features]
        return made.report["reused"]

    hook(objects)
    assert (reused("default"), reused(FEATURES)) == (2, 0)
    hook(objects, "--inline")
    assert (reused("default"), reused(FEATURES)) == (2, 2)
    # What is there serves, so that it stays.
    hook(objects)
    assert reused(FEATURES) == 2


def test_the_cache_keeps_both(pair: tuple[Path, list[Path]], own_cache: Path) -> None:
    image, objects = pair
    for _ in range(2):
        for features in ("default", FEATURES):
            made = _native.link(image, objects=objects, features=features, cache=own_cache)
    assert made.report["reused"] == 2
    assert len(list((own_cache / "v1").rglob("*.kbtf"))) == 4


@pytest.mark.parametrize("options", [("--section",), ("--section", "--drop"), ("--drop",)])
def test_an_object_carries_it(pair: tuple[Path, list[Path]], options: tuple[str, ...]) -> None:
    image, objects = pair
    right = _native.encode(image, features=FEATURES).btf
    hook(objects, "--inline", *options)
    made = _native.link(image, objects=objects, features=FEATURES)
    assert (made.btf, made.report["reused"], made.notes) == (right, 2, [])


def test_where_nobody_knows_any_more_that_is_said(pair: tuple[Path, list[Path]]) -> None:
    """Taken out before it was asked for. The rest of the BTF is right."""
    image, objects = pair
    right = _native.encode(image, features="default").btf
    hook(objects, "--drop")
    made = _native.link(image, objects=objects, features=FEATURES)
    assert made.btf == right
    (note,) = made.notes
    assert note.startswith("2 objects do not say where functions were inlined")


def test_ld_r_of_objects_that_carry_it(pair: tuple[Path, list[Path]], tmp_path: Path) -> None:
    _, objects = pair
    hook(objects, "--inline", "--section", "--drop")
    (tmp_path / "both").mkdir()
    both = tmp_path / "both" / "both.o"
    assert run("ld", "-r", "-o", both, *objects).returncode == 0
    image = tmp_path / "image"
    assert run("ld", "-e", "0", "-o", image, both).returncode == 0
    apart = _native.link(image, objects=objects, features=FEATURES)
    assert _native.link(image, objects=[both], features=FEATURES).btf == apart.btf


# --- machines ---------------------------------------------------------------------------------


@pytest.mark.parametrize("machine", ["aarch64-linux-gnu", "s390x-linux-gnu", "arm-linux-gnueabihf"])
def test_other_machines(machine: str, tmp_path: Path) -> None:
    compiler, linker = f"{machine}-gcc", f"{machine}-ld"
    require(compiler, linker)
    objects = []
    for name, text in (("a", A_C), ("b", B_C)):
        (tmp_path / f"{name}.c").write_text(text)
        source, made = tmp_path / f"{name}.c", tmp_path / f"{name}.o"
        done = run(compiler, "-g", "-O2", "-w", "-c", source, "-o", made)
        assert done.returncode == 0, done.stderr
        objects.append(made)
    image = tmp_path / "image"
    undefined = [f"--defsym={name}=0" for name in ("memcpy", "memset")]
    done = run(linker, "-e", "0", *undefined, "-o", image, *objects)
    assert done.returncode == 0, done.stderr
    whole = _native.encode(image, features=FEATURES)
    assert whole.report["sites"] >= 15
    assert _native.link(image, objects=objects, features=FEATURES).btf == whole.btf


def test_where_the_linker_shortens_code_objects_do_not_tell(tmp_path: Path) -> None:
    require("riscv64-linux-gnu-gcc", "riscv64-linux-gnu-ld")
    (tmp_path / "b.c").write_text(B_C.replace("outer(argc, argv)", "0"))
    made = tmp_path / "b.o"
    done = run("riscv64-linux-gnu-gcc", "-g", "-O2", "-c", tmp_path / "b.c", "-o", made)
    assert done.returncode == 0, done.stderr
    image = tmp_path / "image"
    assert run("riscv64-linux-gnu-ld", "-e", "0", "-o", image, made).returncode == 0
    output = _native.link(image, objects=[made], features=FEATURES)
    (note,) = output.notes
    assert "shortens code" in note
    assert output.btf == _native.link(image, objects=[made], features="default").btf
    assert _native.encode(image, features=FEATURES).report["sites"] >= 2


# --- explain ----------------------------------------------------------------------------------


@pytest.mark.parametrize("features", [None, FEATURES])
def test_explain_lists_where_it_was_inlined(
    pair: tuple[Path, list[Path]], features: str | None
) -> None:
    image, objects = pair
    told = explain(image, "twice", objects, features=features)
    assert told.function
    sites = told.function.sites
    assert {site.function for site in sites} == {"outer", "init", "here"}
    start = {name: int(value, 16) for value, name in _nm(image)}
    for site in sites:
        assert site.address == start[site.function] + site.offset
        assert site.object == str(objects[site.function == "here"])
        assert len(site.places) == 1
    assert "-0x3" in [site.places[0] for site in sites]


def _nm(image: Path) -> list[tuple[str, str]]:
    lines = subprocess.run(["nm", image], capture_output=True, text=True, check=True).stdout
    return [(words[0], words[2]) for words in map(str.split, lines.splitlines()) if len(words) == 3]


def test_explain_prints_them(
    pair: tuple[Path, list[Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    image, objects = pair
    assert main(["explain", "twice", str(image), *map(str, objects), "--limit", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (head,) = (i for i, line in enumerate(lines) if "inlined in" in line)
    assert re.fullmatch(r"  inlined in \d+ places:", lines[head])
    shown = r"    (\w+\+0x[0-9a-f]+) at 0x[0-9a-f]+, in \S+/a\.o \(.*\)"
    assert re.fullmatch(shown, lines[head + 1]) and re.fullmatch(shown, lines[head + 2])
    assert "more places (--limit 0 shows all)" in lines[head + 3]


# --- in a build -------------------------------------------------------------------------------

# As scripts/Makefile.btf of trees of September 2026 has it.
NEWEST = "encode_force,var,float,enum64,decl_tag,type_tag,optimized_func,consistent_func"


@pytest.mark.parametrize("features", [NEWEST, f"{NEWEST},layout", f"{NEWEST},layout,inline"])
def test_the_lists_of_newer_kernels_are_taken(
    features: str, pair: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    """Without decl_tag_kfuncs and attributes, which resolve_btfids does there; strict, too."""
    image, _ = pair
    blobs = []
    for option in ("--btf_features", "--btf_features_strict"):
        out = tmp_path / "out.btf"
        done = run(
            SCRIPTS / "kbuild-btf-pahole",
            *("-J", "-j2", f"{option}={features}", "--lang_exclude=rust"),
            *(f"--btf_encode_detached={out}", image),
        )
        assert (done.returncode, done.stderr) == (0, "")
        blobs.append(out.read_bytes())
    assert blobs[0] == blobs[1] == _native.encode(image, features=features).btf
    assert bool(Btf.from_bytes(blobs[0]).find(Locsec)) == ("inline" in features)
    done = run(SCRIPTS / "kbuild-btf-pahole", "--supported_btf_features")
    assert set(features.split(",")) <= set(done.stdout.strip().split(","))


def test_a_build_that_asks_for_it(tree: MiniTree) -> None:
    """The configuration tells the hook; both roads tell the same."""
    before = products(tree)
    tree.replace("scripts/pahole-flags.sh", "consistent_func,", "consistent_func,inline,")
    tree.make("clean")
    tree.make("-j4", CONFIG_DEBUG_INFO_BTF_INLINE="y", KBUILD_BTF_KEEP_DEBUG="1")
    assert products(tree) != before
    vmlinux = Btf.load(tree.directory / "vmlinux")
    module = Btf.load(tree.directory / "drivers/mini.ko", vmlinux)
    for btf in (vmlinux, module):
        assert btf.find(Locsec)
    features = _features(tree)
    whole = _native.encode(tree.directory / "vmlinux", features=features)
    assert whole.btf == products(tree)[0]
    done = kbuild_btf("verify", tree.directory / "vmlinux")
    assert done.returncode == 0, done.stdout + done.stderr
    base = tree.directory / "vmlinux"
    split = _native.encode(tree.directory / "drivers/mini.ko", features=features, base=base)
    assert split.btf == products(tree)[1]
    # The hooks knew it, so that no object was encoded again.
    objects = _native.linked_objects(base)
    made = _native.link(base, objects=objects, features=features)
    assert made.report["encoded"] == 0 and made.btf == whole.btf


def _features(tree: MiniTree) -> str:
    text = (tree.directory / "scripts/pahole-flags.sh").read_text()
    found = re.search(r"--btf_features=(\S*inline\S*)", text)
    assert found
    return found[1]


def test_nobody_asked_nothing_changes(tree: MiniTree) -> None:
    before = products(tree)
    tree.make("clean")
    tree.make("-j4", CONFIG_DEBUG_INFO_BTF_INLINE="y")
    assert products(tree) == before


# --- a kernel ---------------------------------------------------------------------------------


@pytest.mark.kernel
def test_a_kernel_and_its_modules(kernel: Kernel, tmp_path: Path) -> None:
    """Objects tell what the linked files do, and 200 places drawn at random are right."""
    base, features = tmp_path / "vmlinux.btf", f"{kernel.features},inline"
    base.write_bytes(_native.link(kernel.vmlinux, features=kernel.features).btf)
    linked = _native.link(kernel.vmlinux, features=features)
    assert linked.btf == _native.encode(kernel.vmlinux, features=features).btf
    assert linked.notes == []
    assert linked.report["sites"] > 50_000
    assert linked.report["sites_complete"] > 0.7 * linked.report["sites"]
    for module in kernel.modules():
        split = _native.link(module, features=features, base=base)
        assert split.btf == _native.encode(module, features=features, base=base).btf, module
    told = tmp_path / "inline.btf"
    told.write_bytes(linked.btf)
    tool = ROOT / "tools" / "sites"
    words = [sys.executable, str(tool), str(kernel.vmlinux), str(told), "--draw", "200"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
