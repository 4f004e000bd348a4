# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Which of several descriptions of a function is that of the code in the image.

Code may begin, for the DWARF, some bytes behind the symbol. So what lies in the symbol's extent
is what counts. Each function here is defined twice: a weak definition, which is not linked, names
its parameter `loser`, the strong one `winner`. There are sixteen of them, so that no choice without
reason is right for all.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from dwarfwriter import ATE, DIE, LANG_C11, Form, RngList, Unit, Value, write_dwarf
from elfwriter import (
    AARCH64,
    ARM,
    ET_EXEC,
    PPC64,
    STT_FUNC,
    X86_64,
    Address,
    Section,
    Symbol,
    Target,
)
from support import ROOT, run
from toolchains import CLANGS, CROSS, GCC, Toolchain

from kbuild_btf import Btf, _native
from kbuild_btf.btf import Func, FuncProto

COUNT = 16
TEXT, OPD = 0x10000, 0x40000
SIZE = 64
COLD = 2 * COUNT * SIZE


def parameters(made: bytes) -> dict[str, str]:
    """Name of the only parameter of each function that counts here."""
    btf = Btf.from_bytes(made)
    found = {}
    for function in btf:
        if isinstance(function, Func) and function.name in WINNERS:
            prototype = btf[function.type_id]
            assert isinstance(prototype, FuncProto)
            found[function.name] = prototype.params[0].name
    return found


WINNERS = {f"f{i}": "winner" for i in range(COUNT)}


def checked(image: Path, made: bytes) -> None:
    """tools/definitions, which asks pyelftools, finds that right, and what weak ones tell wrong."""
    for winner, status, line in (
        (b"winner", 0, f"{COUNT} agree, 0 disagree, 0 undecided"),
        (b"loser\0", 1, f"0 agree, {COUNT} disagree, 0 undecided"),
    ):
        btf = image.with_suffix(".btf")
        btf.write_bytes(made.replace(b"winner", winner))
        done = run(sys.executable, ROOT / "tools/definitions", image, btf)
        assert (done.returncode, line in done.stdout) == (status, True), done.stdout + done.stderr


# --- as compilers write it -----------------------------------------------------------------------

NOPS = "-fpatchable-function-entry"
ARM64, ARM32, S390, RISCV = CROSS
THUMB = Toolchain("thumb", ARM32.compiler, ARM32.linker, ("-mthumb",))
COMPILED = [
    (GCC, [f"{NOPS}=16,16"]),
    (GCC, [f"{NOPS}=20,4", "-fcf-protection"]),
    (GCC, ["-pg", "-mfentry"]),
    (CLANGS[-1], [f"{NOPS}=20,16"]),
    (CLANGS[-1], ["-fsanitize=kcfi", f"{NOPS}=16,16"]),
    (ARM64, [f"{NOPS}=4,2"]),
    (ARM64, [f"{NOPS}=4,2", "-mbranch-protection=bti"]),
    (ARM32, [f"{NOPS}=4,2"]),
    (THUMB, []),
    (THUMB, [f"{NOPS}=4,2"]),
    (S390, ["-mhotpatch=3,4"]),
    (RISCV, [f"{NOPS}=8,4"]),
]


def compiled(
    directory: Path, toolchain: Toolchain, flags: list[str], pairs: bool
) -> tuple[Path, list[Path]]:
    """An image, and its objects: with the weak definitions, with the strong ones, and with what
    these call. In pairs they are equal but for their names."""
    objects = []
    for name, attribute in (("loser", "__attribute__((weak)) "), ("winner", "")):
        functions = (
            f"{attribute}int f{i}(int {name}) {{ return calls({name} + {value}) + 1; }}\n"
            for i, value in enumerate(n // (1 + pairs) for n in range(COUNT))
        )
        source = directory / f"{name}.c"
        source.write_text("int calls(int n);\n" + "".join(functions))
        objects.append(toolchain.compile(source, source.with_suffix(".o"), "-O2", *flags))
    source = directory / "calls.c"
    source.write_text("void __fentry__(void) {} int calls(int n) { return n; }")
    objects.append(toolchain.compile(source, source.with_suffix(".o")))
    return toolchain.link(objects, directory / "image"), objects


def winners(image: Path, objects: list[Path]) -> None:
    """The image's own DWARF and the objects tell the same of the strong definition."""
    whole = _native.encode(str(image)).btf
    assert parameters(whole) == WINNERS
    assert _native.link(str(image), objects=[str(o) for o in objects]).btf == whole
    checked(image, whole)


@pytest.mark.parametrize(
    ("toolchain", "flags"), COMPILED, ids=[" ".join([t.name, *f]) for t, f in COMPILED]
)
def test_compiled(toolchain: Toolchain, flags: list[str], tmp_path: Path) -> None:
    winners(*compiled(tmp_path, toolchain, flags, pairs=False))


MERGED = [
    (toolchain, flags)
    for toolchain in (GCC, ARM64, THUMB, S390, RISCV)
    for flags in (
        ["-gdwarf-5"],
        ["-gdwarf-4"],
        ["-gdwarf-5", "-ffunction-sections"],
        ["-gdwarf-4", "-ffunction-sections"],
        [f"{NOPS}=8,4", "-ffunction-sections"],
        ["-mno-omit-leaf-frame-pointer", "-g3"] if toolchain is GCC else ["-g3"],
    )
]


@pytest.mark.parametrize(
    ("toolchain", "flags"), MERGED, ids=[" ".join([t.name, *f]) for t, f in MERGED]
)
def test_merged(toolchain: Toolchain, flags: list[str], tmp_path: Path) -> None:
    """Of equal functions gcc makes one, which the others call: for the DWARF these have no code."""
    image, objects = compiled(tmp_path, toolchain, flags, pairs=True)
    found = run("readelf", "--debug-dump=info", objects[1]).stdout
    subprograms = found.split("DW_TAG_subprogram")[1:]
    assert sum("DW_AT_low_pc" in s.split("DW_TAG")[0] for s in subprograms) < COUNT
    winners(image, objects)


# --- as it stands in the DWARF -------------------------------------------------------------------


def image(
    path: Path,
    target: Target,
    behind: int,
    *,
    bit: int = 0,
    descriptors: bool = False,
    ranges: int = 0,
    form: str = "sec_offset",
    dwarf64: bool = False,
) -> Path:
    """Two units with all functions, of which the second one's have symbols; the code begins so many
    bytes behind them. `bit` is set in the symbols only. With `ranges`, a version of DWARF, the
    functions have a second part far away, in lists that they name by this form."""
    units = []
    for turn, name in enumerate(("loser", "winner")):
        number = DIE("base_type", {"name": "int", "byte_size": 4, "encoding": ATE.signed})
        functions = []
        for i in range(COUNT):
            start = (turn * COUNT + i) * SIZE + behind
            attrs: dict[str, Value] = {
                "name": f"f{i}",
                "low_pc": Address(".text", start),
                "high_pc": SIZE - behind,
                "external": 1,
            }
            if ranges:
                del attrs["low_pc"], attrs["high_pc"]
                parts = (start, SIZE - behind), (COLD + start, 4)
                spread = RngList(tuple((Address(".text", at), n) for at, n in parts))
                attrs["ranges"] = Form(form, spread)
            parameter = DIE("formal_parameter", {"name": name, "type": number})
            functions.append(DIE("subprogram", attrs, [parameter]))
        unit = Unit([number, *functions], {"name": f"{name}.c", "language": LANG_C11})
        unit.version, unit.dwarf64 = ranges or unit.version, dwarf64
        units.append(unit)
    sections = [Section(".text", bytes(2 * COLD), flags=6, addr=TEXT)]
    places = [(COUNT + i) * SIZE for i in range(COUNT)]
    if descriptors:
        words = [word for place in places for word in (TEXT + place, 0x8000, 0)]
        sections.append(Section(".opd", target.pack(f"{len(words)}Q", *words), flags=3, addr=OPD))
    symbols = [
        Symbol(
            f"f{i}",
            ".opd" if descriptors else ".text",
            24 * i if descriptors else place + bit,
            SIZE,
            type=STT_FUNC,
        )
        for i, place in enumerate(places)
    ]
    path.write_bytes(write_dwarf(units, sections, symbols, target=target, type=ET_EXEC))
    return path


@pytest.mark.parametrize("behind", [0, 4, 8, SIZE - 4])
@pytest.mark.parametrize("target", [X86_64, AARCH64, PPC64], ids=lambda t: t.name)
def test_code_begins_behind_the_symbol(target: Target, behind: int, tmp_path: Path) -> None:
    assert parameters(_native.encode(str(image(tmp_path / "image", target, behind))).btf) == WINNERS


@pytest.mark.parametrize(
    ("version", "form"), [(4, "sec_offset"), (5, "sec_offset"), (5, "rnglistx")]
)
@pytest.mark.parametrize("dwarf64", [False, True])
@pytest.mark.parametrize("target", [X86_64, PPC64], ids=lambda t: t.name)
@pytest.mark.parametrize("behind", [0, 8])
def test_code_in_several_parts(
    behind: int, target: Target, dwarf64: bool, version: int, form: str, tmp_path: Path
) -> None:
    """The first address of the first range counts (DWARF 5, section 2.17)."""
    path = image(tmp_path / "image", target, behind, ranges=version, form=form, dwarf64=dwarf64)
    made = _native.encode(str(path)).btf
    assert parameters(made) == WINNERS
    checked(path, made)


@pytest.mark.parametrize("version", [4, 5])
def test_compiled_code_in_several_parts(version: int, tmp_path: Path) -> None:
    objects = []
    for name, attribute in (("loser", "__attribute__((weak)) "), ("winner", "")):
        source = tmp_path / f"{name}.c"
        source.write_text(
            "void rare(int) __attribute__((cold)); int often(int);\n"
            + "".join(
                f"{attribute}int f{i}(int {name}) {{ int n = often({name});"
                f" if (n == {i}) {{ rare(n); n = often(n); rare(n); }} return often(n) + 1; }}\n"
                for i in range(COUNT)
            )
        )
        flags = ["-O2", f"-gdwarf-{version}"]
        objects.append(GCC.compile(source, source.with_suffix(".o"), *flags))
        assert b".cold" in objects[-1].read_bytes()
    source = tmp_path / "rest.c"
    source.write_text("void rare(int n) {} int often(int n) { return n; }")
    objects.append(GCC.compile(source, source.with_suffix(".o")))
    linked = GCC.link(objects, tmp_path / "image")
    whole = _native.encode(str(linked)).btf
    assert parameters(whole) == WINNERS
    assert _native.link(str(linked), objects=[str(o) for o in objects]).btf == whole
    checked(linked, whole)


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("clang", CLANGS, ids=lambda t: t.name)
def test_clang_puts_blocks_apart(clang: Toolchain, version: int, tmp_path: Path) -> None:
    """It names the lists by index, and the part that is entered is the last one."""
    flags = ["-O1", "-fbasic-block-sections=all", f"-gdwarf-{version}"]
    objects = []
    for name, attribute in (("loser", "__attribute__((weak)) "), ("winner", "")):
        source = tmp_path / f"{name}.c"
        source.write_text(
            "int often(int);\n"
            + "".join(
                f"{attribute}int f{i}(int {name})"
                f" {{ if ({name} == {i}) {name} = often({name}); return often({name}) + 1; }}\n"
                for i in range(COUNT)
            )
        )
        objects.append(clang.compile(source, source.with_suffix(".o"), *flags))
        told = run("readelf", "--debug-dump=abbrev", objects[-1]).stdout
        form = "DW_FORM_rnglistx" if version == 5 else "DW_FORM_sec_offset"
        assert form in told.partition("DW_TAG_subprogram")[2]
    source = tmp_path / "rest.c"
    source.write_text("int often(int n) { return n; }")
    objects.append(clang.compile(source, source.with_suffix(".o")))
    linked = clang.link(objects, tmp_path / "image")
    whole = _native.encode(str(linked)).btf
    assert parameters(whole) == WINNERS
    assert _native.link(str(linked), objects=[str(o) for o in objects]).btf == whole
    checked(linked, whole)


@pytest.mark.parametrize("behind", [0, 4])
def test_thumb_code(behind: int, tmp_path: Path) -> None:
    path = image(tmp_path / "image", ARM, behind, bit=1)
    made = _native.encode(str(path)).btf
    assert parameters(made) == WINNERS
    checked(path, made)


@pytest.mark.parametrize("behind", [0, 8])
def test_function_descriptors(behind: int, tmp_path: Path) -> None:
    """The first version of the 64-bit PowerPC ABI: symbols stand at descriptors."""
    path = image(tmp_path / "image", PPC64, behind, descriptors=True)
    made = _native.encode(str(path)).btf
    assert parameters(made) == WINNERS
    checked(path, made)


def test_function_descriptors_of_an_object(tmp_path: Path) -> None:
    clang = Toolchain("ppc64", CLANGS[-1].compiler, flags=("--target=powerpc64-linux-gnu", "-O2"))
    source = tmp_path / "a.c"
    source.write_text("".join(f"int f{i}(int winner) {{ return winner; }}\n" for i in range(COUNT)))
    elf = clang.compile(source, tmp_path / "a.o", "-mabi=elfv1")
    assert b".opd" in elf.read_bytes()
    assert parameters(_native.encode(str(elf)).btf) == WINNERS
