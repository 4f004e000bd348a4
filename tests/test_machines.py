# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Objects of many machines: their debug sections are relocated right, or refused.

Every name and every place in the BTF comes through a relocation (DWARF 4 always, DWARF 5 by
``.debug_str_offsets`` and ``.debug_addr``), so names and places that are right show that they were
applied. They are the same for all machines, since no type here is larger than a byte or a pointer.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from support import SCRIPTS, missing, require, run

from kbuild_btf import Btf, _native
from kbuild_btf.btf import Datasec, Func, FuncProto, Struct, Var
from kbuild_btf.errors import Error

SOURCE = """
struct alpha { char one; char two; };
struct beta { struct alpha *next; unsigned char list[3]; };
THREAD_LOCAL
struct beta global_one;
static struct alpha static_two = {1, 2};
__attribute__((section(".data..percpu"))) struct alpha first_of_cpu = {1, 1};
__attribute__((section(".data..percpu"))) struct alpha second_of_cpu = {1, 1};
char function_one(struct beta *b) { return b->list[1] + static_two.one; }
__attribute__((section(".text.other"))) char function_two(struct alpha *a, char n) { return n; }
"""
THREAD_LOCAL = "static __thread char in_thread = 3; __thread struct alpha for_others;"
USE = "char uses(void) { return in_thread++ + for_others.one; }"

# By clang's names: machines of Linux, and BPF.
TARGETS = [
    "x86_64",
    "i386",
    "aarch64",
    "aarch64_be",
    "arm",
    "armeb",
    "mips",
    "mipsel",
    "mips64",
    "mips64el",
    "powerpc",
    "powerpc64",
    "powerpc64le",
    "riscv32",
    "riscv64",
    "loongarch32",
    "loongarch64",
    "s390x",
    "sparc",
    "sparcv9",
    "hexagon",
    "bpfel",
    "bpfeb",
    "m68k",
]
# Without thread-local variables in these compilers.
NO_THREADS = ("bpf", "m68k")
GCCS = ["m68k-linux-gnu-gcc", "s390x-linux-gnu-gcc", "arm-linux-gnueabihf-gcc"]
# What its objects are like was not tried, or is known to be otherwise than the library has it.
REFUSED = ["sh4-linux-gnu-gcc", "alpha-linux-gnu-gcc", "hppa-linux-gnu-gcc"]
REFUSED_CLANG = ["lanai", "ve-linux-gnu", "msp430"]


def made(directory: Path, threads: bool, *command: str) -> Path:
    source, output = directory / "a.c", directory / "a.o"
    text = SOURCE.replace("THREAD_LOCAL", THREAD_LOCAL if threads else "")
    source.write_text(text + (USE if threads else ""))
    done = run(*command, "-O1", "-g", "-w", "-ffreestanding", "-c", "-o", output, source)
    if "No available targets" in done.stderr or "unknown target" in done.stderr:
        missing(f"{command[0]} has no {command[1]}")
    assert done.returncode == 0, done.stderr
    return output


def is_right(elf: Path) -> None:
    read = Btf.from_bytes(_native.encode(elf, features="default,var").btf)
    structs = {
        found.name: [m.name for m in found.members] for found in read if isinstance(found, Struct)
    }
    assert structs == {"alpha": ["one", "two"], "beta": ["next", "list"]}
    functions = {}
    for found in read:
        if isinstance(found, Func):
            proto = read[found.type_id]
            assert isinstance(proto, FuncProto)
            functions[found.name] = [param.name for param in proto.params]
    functions.pop("uses", None)
    assert functions == {"function_one": ["b"], "function_two": ["a", "n"]}
    (section,) = [found for found in read if isinstance(found, Datasec)]
    with elf.open("rb") as file:
        symbols = ELFFile(file).get_section_by_name(".symtab")
        places = {
            name: symbols.get_symbol_by_name(name)[0]["st_value"]
            for name in ("first_of_cpu", "second_of_cpu")
        }
    variables = {}
    for entry in section.entries:
        variable = read[entry.type_id]
        assert isinstance(variable, Var)
        variables[variable.name] = entry.offset
    assert variables == places


@pytest.mark.parametrize("version", ["4", "5"])
@pytest.mark.parametrize("target", TARGETS)
def test_what_clang_makes(target: str, version: str, tmp_path: Path) -> None:
    require("clang-19")
    triple = target if target.startswith("bpf") else f"{target}-linux-gnu"
    flags = ("clang-19", f"--target={triple}", f"-gdwarf-{version}")
    is_right(made(tmp_path, not target.startswith(NO_THREADS), *flags))


@pytest.mark.parametrize("version", ["4", "5"])
@pytest.mark.parametrize("gcc", GCCS)
def test_what_gcc_makes(gcc: str, version: str, tmp_path: Path) -> None:
    require(gcc)
    is_right(made(tmp_path, True, gcc, f"-gdwarf-{version}"))


def refused(elf: Path) -> None:
    """By the encoder, and by the hook, which leaves no sidecar."""
    with elf.open("rb") as file:
        raw = ELFFile(file)
        machine = struct.unpack_from("<H" if raw.little_endian else ">H", elf.read_bytes(), 18)[0]
    said = (
        f"relocations of this machine (e_machine {machine}) have never been tried; "
        "encode the linked file, which has none"
    )
    with pytest.raises(Error) as failed:
        _native.encode(elf)
    assert str(failed.value) == f"{elf}: {said}"
    done = run(SCRIPTS / "kbuild-btf-hook", elf)
    assert done.stderr == f"kbuild-btf-hook: warning: {elf}: {said}\n"
    assert not _native.sidecar_path(elf).exists()


@pytest.mark.parametrize("gcc", REFUSED)
def test_a_machine_that_was_never_tried(gcc: str, tmp_path: Path) -> None:
    require(gcc)
    refused(made(tmp_path, False, gcc))


@pytest.mark.parametrize("target", REFUSED_CLANG)
def test_a_machine_of_clang_that_was_never_tried(target: str, tmp_path: Path) -> None:
    require("clang-19")
    refused(made(tmp_path, False, "clang-19", f"--target={target}"))


def test_sh_without_its_compiler(tmp_path: Path) -> None:
    """An object says of what machine it is; the rest of this one is x86."""
    require("clang-19")
    elf = made(tmp_path, False, "clang-19", "--target=i386-linux-gnu")
    content = bytearray(elf.read_bytes())
    struct.pack_into("<H", content, 18, 42)
    elf.write_bytes(content)
    refused(elf)


def test_a_relocation_that_is_not_known_is_no_damage(tmp_path: Path) -> None:
    require("clang-19")
    elf = made(tmp_path, False, "clang-19", "--target=x86_64-linux-gnu", "-gdwarf-4")
    content = bytearray(elf.read_bytes())
    with elf.open("rb") as file:
        section = ELFFile(file).get_section_by_name(".rela.debug_info")
        struct.pack_into("<I", content, section["sh_offset"] + 8, 250)
    elf.write_bytes(content)
    with pytest.raises(Error) as failed:
        _native.encode(elf)
    assert "relocation type 250 of this machine (e_machine 62) is not known" in str(failed.value)
    assert "damaged" not in str(failed.value)
