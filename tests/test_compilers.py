# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What other compilers, machines and options make of C: the BTF is the same as pahole's.

Two roads lead to the BTF of an image, its own DWARF and that of its objects; they must give the
same bytes. Where the pahole of this machine is old, functions and variables are not compared with
it (its rules were others) but with what is written down here, and with the symbols.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import btftext
import pytest
from elftools.elf.elffile import ELFFile
from support import CI, SCRIPTS, kbuild_btf, missing, recent_pahole, require, run
from toolchains import (
    ALL,
    CLANGS,
    COMPILERS,
    CROSS,
    GCC,
    Toolchain,
    pahole_says,
)

from kbuild_btf import Btf, _native
from kbuild_btf.btf import Datasec, Func, FuncProto, Var

HOOK = SCRIPTS / "kbuild-btf-hook"
FRONT = SCRIPTS / "kbuild-btf-pahole"

PARTS = ["parameters", "clones", "variables", "types", "other", "strong"]
# Only clang 14 and later, and gcc 16, know these attributes.
TAGGED = "tags"

BUILDS = [
    pytest.param(("-O0", "-gdwarf-4"), id="O0-dwarf4"),
    pytest.param(("-O1", "-gdwarf-5"), id="O1-dwarf5"),
    pytest.param(("-O2", "-gdwarf-4"), id="O2-dwarf4"),
    pytest.param(("-O2", "-gdwarf-5"), id="O2-dwarf5"),
]

# Called as the source says, whatever compiles it: name and parameters.
KEPT = {
    "none": [],
    "six": ["a", "b", "c", "d", "e", "f"],
    "nine": ["a", "b", "c", "d", "e", "f", "g", "h", "i"],
    "by_value_pair": ["a", "b"],
    "by_value_union": ["a", "b"],
    "packed_in_a_register": ["a", "b"],
    "packed_typedef_on_the_stack": ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"],
    "holes_on_the_stack": ["a", "b", "c", "d", "e", "f", "g", "h", "i"],
    "unused": ["a", "b", "c"],
    "all_unused": ["a", "b", "c"],
    "variadic": ["format", "first", ""],
    "arrays": ["a", "b", "c"],
    "calls": ["f", "g", "p"],
    "old_style": ["a", "b"],
    "with_cold": ["a", "p"],
    "overridden": ["strong_parameter"],
    "takes_big": ["b", "u", "n"],
}
# A packed struct may lie anywhere on the stack; two functions have the other name.
NEVER = {"packed_on_the_stack", "isra"}
# Parameters were dropped or replaced.
CHANGED = {"both", "constprop", "unused_first", "unused_middle"}


def lines(btf: bytes) -> list[str]:
    return btftext.lines(Btf.from_bytes(btf))


def functions(btf: bytes) -> dict[str, list[str]]:
    made = Btf.from_bytes(btf)
    found = {}
    for function in made:
        if isinstance(function, Func):
            prototype = made[function.type_id]
            assert isinstance(prototype, FuncProto)
            found[function.name] = [p.name for p in prototype.params]
    return found


def comparable(said: list[str], leave_out: Sequence[str] = ()) -> list[str]:
    """Without functions and variables where pahole has other rules, and what only they use."""
    if not recent_pahole():
        leave_out = ("FUNC ", "VAR ", "DATASEC ", "(unused) ", *leave_out)
    return [line for line in said if not line.startswith(tuple(leave_out))]


def agree(elf: Path, btf: bytes, *options: str, leave_out: Sequence[str] = ()) -> None:
    """pahole says the same of this file."""
    _, theirs = pahole_says(elf, elf.with_suffix(".pahole"), *options)
    assert theirs, f"pahole makes nothing of {elf}"
    expected = comparable(lines(theirs.read_bytes()), leave_out)
    assert comparable(lines(btf), leave_out) == expected


def objects_of(chain: Toolchain, directory: Path, parts: list[str], *flags: str) -> list[Path]:
    found = [COMPILERS / f"{part}.c" for part in parts]
    return [chain.compile(source, directory / f"{source.stem}.o", *flags) for source in found]


def both_roads(image: Path, objects: Sequence[Path | str], *excluded: str) -> bytes:
    """The BTF of an image, from its own DWARF and from its objects; `excluded` are languages."""
    btf = _native.encode(str(image), lang_exclude=list(excluded)).btf
    paths = [str(path) for path in objects]
    linked = _native.link(str(image), objects=paths, lang_exclude=list(excluded))
    assert lines(linked.btf) == lines(btf)
    assert linked.btf == btf
    return btf


@pytest.mark.parametrize("flags", BUILDS)
@pytest.mark.parametrize("chain", ALL, ids=lambda chain: chain.name)
def test_objects_and_image(chain: Toolchain, flags: tuple[str, ...], tmp_path: Path) -> None:
    parts = [*PARTS, TAGGED] if chain.clang else PARTS
    objects = objects_of(chain, tmp_path, parts, *flags)
    for path in objects:
        # In objects pahole does not see which clone a function is (docs/differences.md).
        cloned = ("FUNC unused_last ", "FUNC no_result ", "(unused) ")
        leave_out = cloned if path.stem == "clones" else ()
        agree(path, _native.encode(str(path)).btf, leave_out=leave_out)
    image = chain.link(objects, tmp_path / "image")
    btf = both_roads(image, objects)
    agree(image, btf)
    _native.check(btf)

    found = functions(btf)
    assert {name: found.get(name) for name in KEPT} == KEPT
    assert not NEVER & found.keys()
    if "-O2" in flags:
        assert not CHANGED & found.keys()
    places_are_right(image, Btf.from_bytes(btf))


def places_are_right(image: Path, btf: Btf) -> None:
    """Each variable lies where the ELF's own symbol is, and all that should be there are."""
    with image.open("rb") as file:
        elf = ELFFile(file)
        symbols = elf.get_section_by_name(".symtab")
        start = elf.get_section_by_name(".data..percpu")["sh_addr"]
        known = {(s.name, s["st_value"] - start, s["st_size"]) for s in symbols.iter_symbols()}
    (section,) = [found for found in btf if isinstance(found, Datasec)]
    names = []
    for entry in section.entries:
        variable = btf[entry.type_id]
        assert isinstance(variable, Var)
        names.append(variable.name)
        at_symbol = {
            size for name, at, size in known if (name, at) == (variable.name, entry.offset)
        }
        # A flexible array counts in the symbol, not in the type.
        assert at_symbol and max(at_symbol) >= entry.size, variable.name
    assert names.count("percpu_static") == 2, "one each of two files"
    assert {"percpu_weak", "percpu_anonymous", "percpu_declared_first"} <= set(names)
    assert not {"percpu_inside", "percpu_nothing", "__UNIQUE_ID_percpu", "global"} & set(names)


@pytest.mark.parametrize("chain", [GCC, *CROSS], ids=lambda chain: chain.name)
def test_thread_local_variables(chain: Toolchain, tmp_path: Path) -> None:
    """Their relocations are of a kind of their own, and their place is no address."""
    elf = chain.compile(COMPILERS / "tls.c", tmp_path / "tls.o", "-O1")
    btf = _native.encode(str(elf)).btf
    agree(elf, btf)
    assert [v.name for v in Btf.from_bytes(btf) if isinstance(v, Var)] == ["of_each_cpu"]


def test_floating_point_registers(tmp_path: Path) -> None:
    """On arm64 their numbers are above those that tell where a parameter should be."""
    elf = CROSS[0].compile(COMPILERS / "parameters.c", tmp_path / "a.o", "-O2")
    assert functions(_native.encode(str(elf)).btf)["only_floats"] == ["a", "b"]


@pytest.mark.parametrize("how", ["zlib", "zlib-gnu", "zstd"])
@pytest.mark.parametrize("chain", [GCC, CROSS[2]], ids=lambda chain: chain.name)
def test_compressed_debug_sections(chain: Toolchain, how: str, tmp_path: Path) -> None:
    plain = chain.compile(COMPILERS / "types.c", tmp_path / "plain.o")
    packed = tmp_path / "packed.o"
    objcopy = chain.linker.removesuffix("ld") + "objcopy"
    if how not in run(objcopy, "--help").stdout:
        missing(f"this {objcopy} does not know {how}")
    done = run(objcopy, f"--compress-debug-sections={how}", plain, packed)
    assert done.returncode == 0, done.stderr
    assert packed.stat().st_size < plain.stat().st_size
    btf = _native.encode(str(packed)).btf
    assert btf == _native.encode(str(plain)).btf
    assert len(lines(btf)) > 30


def many_sections(directory: Path, count: int) -> Path:
    """An object of `count` sections, most of them without anything of interest."""
    source = directory / "many.c"
    source.write_text(
        "struct s { int a; struct s *next; };\n"
        "int first(struct s *s) { return s->a; }\n"
        '__asm__(".altmacro\\n.macro one n\\n.section .text.f\\\\n, \\"ax\\", @progbits\\n"\n'
        '        ".byte 0\\n.endm\\n.set i, 0\\n"\n'
        f'        ".rept {count}\\none %i\\n.set i, i + 1\\n.endr\\n.text\\n.noaltmacro\\n");\n'
        '__attribute__((section(".data..percpu"))) int variable = 1;\n'
        "static int last(struct s *s) { return s->next->a + variable; }\n"
        "int (*address)(struct s *) = last;\n"
    )
    return GCC.compile(source, directory / "many.o", "-O2", "-ffunction-sections")


def section_count(elf: Path) -> int:
    with elf.open("rb") as file:
        return int(ELFFile(file).num_sections())


def test_more_sections_than_16_bits_count(tmp_path: Path) -> None:
    elf = many_sections(tmp_path, 66_000)
    assert section_count(elf) > 0x10000
    btf = _native.encode(str(elf)).btf
    agree(elf, btf)
    assert functions(btf).keys() == {"first", "last"}
    assert [v.name for v in Btf.from_bytes(btf) if isinstance(v, Var)] == ["variable"]
    before = section_count(elf)
    for _ in range(2):
        done = kbuild_btf("encode", elf, "--in-place")
        assert done.returncode == 0, done.stderr
        assert _native.read_section(str(elf), ".BTF") == btf
        assert section_count(elf) == before + 1
    assert run("ld", "-r", "-o", tmp_path / "again.o", elf).returncode == 0
    assert _native.read_section(str(tmp_path / "again.o"), ".BTF") == btf


def test_the_section_that_is_one_too_many_for_the_header(tmp_path: Path) -> None:
    """From 0xff00 sections on their number stands elsewhere."""
    few = section_count(many_sections(tmp_path, 0))
    elf = many_sections(tmp_path, 0xFEFF - few)
    assert section_count(elf) == 0xFEFF
    btf = _native.encode(str(elf)).btf
    _native.embed(str(elf), [(".BTF", btf)])
    assert section_count(elf) == 0xFF00
    assert _native.read_section(str(elf), ".BTF") == btf
    assert _native.encode(str(elf)).btf == btf
    assert run("ld", "-r", "-o", tmp_path / "again.o", elf).returncode == 0


LTO = [
    pytest.param(GCC, ("-flto",), id="gcc"),
    pytest.param(GCC, ("-flto", "-ffat-lto-objects"), id="gcc-fat"),
    pytest.param(CLANGS[1], ("-flto",), id="clang-16"),
    pytest.param(CLANGS[2], ("-flto=thin",), id="clang-19-thin"),
]


@pytest.mark.parametrize("version", ["4", "5"])
@pytest.mark.parametrize(("chain", "flags"), LTO)
def test_link_time_optimisation(
    chain: Toolchain, flags: tuple[str, ...], version: str, tmp_path: Path
) -> None:
    """The DWARF is in the linked file alone, where units of gcc refer to each other."""
    if chain.clang:
        chain = Toolchain(chain.name, chain.compiler, "ld.lld" + chain.name.removeprefix("clang"))
    objects = objects_of(chain, tmp_path, PARTS, "-O2", f"-gdwarf-{version}", *flags)
    for path in objects:
        done = run(HOOK, "--echo", path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert not _native.sidecar_path(path).exists()
    # As the kernel's build names it, and with the list of its objects as our linker wrapper does.
    image = chain.lto(objects, tmp_path / ".tmp_vmlinux1", "use", "use_again", "takes_big", "six")
    trace = tmp_path / ".tmp_kbuild-btf..tmp_vmlinux1.trace"
    trace.write_text("".join(f"{path.name}\n" for path in objects))

    btf = _native.encode(str(image)).btf
    agree(image, btf)
    assert {"six", "takes_big"} <= functions(btf).keys()

    done = kbuild_btf("link", image, *objects, "-o", tmp_path / "link.btf")
    assert done.returncode == 1
    assert "LTO" in done.stderr and "encode the linked file instead" in done.stderr
    assert not (tmp_path / "link.btf").exists()

    features = "--btf_features=default"
    done = run(FRONT, "-J", features, f"--btf_encode_detached={tmp_path}/front.btf", image)
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert ".tmp_vmlinux1: reading its own debug information" in done.stderr
    assert (tmp_path / "front.btf").read_bytes() == btf


def test_one_object_for_lto_is_not_passed_over(tmp_path: Path) -> None:
    """An object of another kind beside it would otherwise stand for the whole."""
    plain = GCC.compile(COMPILERS / "strong.c", tmp_path / "plain.o")
    slim = GCC.compile(COMPILERS / "parameters.c", tmp_path / "slim.o", "-flto", "-O2")
    image = GCC.lto([plain, slim], tmp_path / "image")
    with pytest.raises(_native.Error, match="LTO") as raised:
        _native.link(str(image), objects=[str(plain), str(slim)])
    assert str(slim) in raised.value.where
    assert "by_value_pair" in functions(_native.encode(str(image)).btf)


@pytest.mark.parametrize("optimise", ["0", "2"])
def test_rust(optimise: str, tmp_path: Path) -> None:
    """Kernels leave units in Rust out: their names would not be C's."""
    rustc = shutil.which("rustc") or shutil.which("rustc", path=str(Path.home() / ".cargo/bin"))
    if not rustc:
        missing("not installed: rustc")
    rust = tmp_path / "rust.o"
    done = run(
        *(rustc, "--edition=2021", "--crate-type=lib", "--emit=obj", "-g", "-C", "panic=abort"),
        *("-C", f"opt-level={optimise}", "-C", "relocation-model=static"),
        *("-o", rust, COMPILERS / "other.rs"),
    )
    assert done.returncode == 0, done.stderr
    source = tmp_path / "c.c"
    source.write_text(
        "struct Shared { int a; struct Shared *next; };\n"
        "int rust_add(struct Shared *s, int b);\n"
        "int c_side(struct Shared *s) { return rust_add(s, 1); }\n"
    )
    # What optimisation 0 adds for arithmetic is not looked for.
    flags = "--unresolved-symbols=ignore-all"
    objects = [GCC.compile(source, tmp_path / "c.o", "-O1"), rust]
    image = GCC.link(objects, tmp_path / "image", flags)
    btf = both_roads(image, objects, "rust")
    agree(image, btf, "--lang_exclude=rust")
    assert lines(btf) == [
        "FUNC c_side static (*struct Shared s) -> int",
        "INT int size=4 bits=32 signed",
        "STRUCT Shared size=16 { int a @0; *struct Shared next @64 }",
    ]
    # Not left out: fields by offset, as pahole sorts them.
    everything = lines(both_roads(image, objects))
    assert "STRUCT Fields size=16 { u64 large @0; u16 medium @64; u8 small @80 }" in everything
    done = run(FRONT, "-J", "--lang_exclude=rust", f"--btf_encode_detached={image}.btf", image)
    assert done.returncode == 0, done.stderr
    assert Btf.load(Path(f"{image}.btf")).find(Func, "c_side")


def test_ci_compares_all() -> None:
    """The list of compilers is what tools/setup installs."""
    if not CI:
        missing("only where every compiler must be there")
    require(*(chain.compiler for chain in ALL))
