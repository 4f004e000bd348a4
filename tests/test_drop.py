# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""KBUILD_BTF_DEBUG=drop: debug information leaves the objects, their types stay known.

On the mini-kernel, where the BTF must be what the build that keeps it makes, byte for byte; and on
single objects of many compilers.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from injection import injected, require_tracing, system_calls
from minitree import (
    BUILTIN,
    LIBRARY,
    MODULE,
    NOT_KERNEL,
    MiniTree,
    mini_kernel,
    products,
    programs,
    sidecar,
    sidecars,
)
from support import SCRIPTS, SOURCES, compiled, kbuild_btf, require, run
from toolchains import ALL, COMPILERS, Toolchain

from kbuild_btf import _native, kbuild, paths
from kbuild_btf.errors import Error

HOOK = SCRIPTS / "kbuild-btf-hook"
MARK = ".discard.kbuild_btf"
OBJECTS = sorted(BUILTIN + LIBRARY + MODULE)
HOW = [("--drop",), ("--drop", "--section")]
EDIT = ("kernel/sched.c", "\tu32 length;\n", "\tu32 length;\n\tu32 longest;\n")


def sections(path: Path) -> dict[str, bytes]:
    """Names and contents, without inactive headers."""
    with path.open("rb") as file:
        return {s.name: s.data() for s in ELFFile(file).iter_sections() if s.name}


def has_debug(path: Path) -> bool:
    return any(name.startswith((".debug_", ".rela.debug_")) for name in sections(path))


def dropped(tree: MiniTree) -> list[str]:
    """The objects that are without their debug information."""
    return [name for name in OBJECTS if not has_debug(tree.directory / name)]


def compiled_in(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The objects that this make compiled, but for what every link compiles."""
    lines = [line.split() for line in done.stdout.splitlines()]
    names = [words[-1] for words in lines if words and words[0] in ("CC", "AS")]
    return sorted(name for name in names if not name.endswith(".mod.o"))


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> MiniTree:
    """Built once with `drop`; tests that use it only look."""
    tree = mini_kernel(tmp_path_factory.mktemp("small"))
    tree.environ["KBUILD_BTF_DEBUG"] = "drop"
    assert tree.make("-j4").stderr == ""
    return tree


@pytest.fixture
def light(tmp_path: Path, small: MiniTree) -> MiniTree:
    """A copy of it, with its times, and a cache of its own that is empty."""
    shutil.copytree(small.directory, tmp_path / "tree", copy_function=shutil.copy2)
    copy = MiniTree(tmp_path / "tree", dict(small.environ))
    copy.environ["KBUILD_BTF_CACHE"] = str(tmp_path / "cache")
    return copy


# --- builds ---------------------------------------------------------------------------------------


def test_the_same_btf_and_no_debug_information(small: MiniTree, built: MiniTree) -> None:
    assert products(small) == products(built)
    assert dropped(small) == OBJECTS
    for name in OBJECTS:
        assert MARK in sections(small.directory / name)
        before = sections(built.directory / name)
        kept = [s for s in before if ".debug_" not in s and s not in (".symtab", ".shstrtab")]
        after = sections(small.directory / name)
        assert [after[s] for s in kept] == [before[s] for s in kept]
    for name in ("vmlinux", "drivers/mini.ko"):
        assert MARK not in sections(small.directory / name)
    # The assembler's debug information names the directory.
    of_c = [
        {name: content for name, content in sidecars(tree).items() if "entry" not in name}
        for tree in (small, built)
    ]
    assert of_c[0] == of_c[1]


def test_make_again_does_nothing(light: MiniTree) -> None:
    """Nor in a copy, where each object is another file."""
    times = light.times("vmlinux", "drivers/mini.ko", *OBJECTS)
    done = light.make("-j4")
    assert (done.stdout, done.stderr) == ("", "")
    assert light.times("vmlinux", "drivers/mini.ko", *OBJECTS) == times


def test_a_copy_is_linked_from_what_lies_beside_its_objects(
    light: MiniTree, built: MiniTree
) -> None:
    (light.directory / "vmlinux").unlink()
    done = light.make("-j4")
    assert "9 reused, 0 encoded now" in done.stdout
    assert products(light) == products(built)


def test_switching_it_on_compiles_nothing(tree: MiniTree) -> None:
    times = tree.times(*OBJECTS)
    done = tree.make("-j4", KBUILD_BTF_DEBUG="drop")
    assert (done.stdout, tree.times(*OBJECTS)) == ("", times)
    tree.replace(*EDIT)
    done = tree.make("-j4", KBUILD_BTF_DEBUG="drop")
    assert compiled_in(done) == ["kernel/sched.o"]
    assert dropped(tree) == ["kernel/sched.o"]
    mixed = products(tree)
    again = tree.make("-j4")
    assert compiled_in(again) == ["kernel/sched.o"], "and back: only what lost it"
    assert dropped(tree) == []
    assert products(tree) == mixed
    assert tree.make("-j4").stdout == ""


def test_keeping_it_again_compiles_all_that_lost_it(light: MiniTree, built: MiniTree) -> None:
    done = light.make("-j4", KBUILD_BTF_DEBUG="keep")
    assert compiled_in(done) == OBJECTS
    assert dropped(light) == []
    assert products(light) == products(built)
    assert list(light.directory.rglob(".tmp_*.nodebug")) == []


def test_an_object_that_is_compiled_again_loses_it_again(light: MiniTree) -> None:
    light.replace(*EDIT)
    assert compiled_in(light.make("-j4")) == ["kernel/sched.o"]
    assert dropped(light) == OBJECTS
    shutil.rmtree(light.directory.parent / "cache")
    light.make("clean")
    light.make("-j4", KBUILD_BTF_DEBUG="keep")
    whole = products(light)
    light.make("-j4", "clean")
    light.make("-j4")
    assert products(light) == whole


def test_without_hooks_the_link_knows_them_all_the_same(light: MiniTree, built: MiniTree) -> None:
    (light.directory / "vmlinux").unlink()
    light.make("-j4", KBUILD_BTF_HOOK="0")
    assert products(light) == products(built)


def test_make_clean_removes_what_lies_beside_the_objects(light: MiniTree) -> None:
    assert list(light.directory.rglob(".tmp_*.nodebug"))
    light.make("clean")
    assert list(light.directory.rglob(".tmp_*")) == []


# --- types that are lost --------------------------------------------------------------------------

DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: path.unlink(),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-7]),
    "of another version": lambda path: path.write_bytes(
        path.read_bytes()[:64] + b"0.0" + path.read_bytes()[67:]
    ),
    "of another object": lambda path: path.write_bytes(
        path.with_name(".tmp_main.o.kbtf").read_bytes()
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_what_is_lost_comes_out_of_the_cache(
    light: MiniTree, small: MiniTree, built: MiniTree, damage: Callable[[Path], object]
) -> None:
    light.environ["KBUILD_BTF_CACHE"] = str(light.directory.parent / "filled")
    shutil.copytree(small.environ["KBUILD_BTF_CACHE"], light.environ["KBUILD_BTF_CACHE"])
    damage(light.directory / sidecar("kernel/sched.o"))
    (light.directory / "vmlinux").unlink()
    done = light.make("-j4")
    assert products(light) == products(built)
    # Make sees that it is missing, and compiles it again, whatever the cache has.
    compiles = not (damage is not DAMAGES["missing"])
    assert compiled_in(done) == (["kernel/sched.o"] if compiles else [])


@pytest.mark.parametrize("names", [["kernel/sched.o"], ["kernel/main.o", "drivers/console.o"]])
@pytest.mark.parametrize("damage", ["truncated", "of another version"])
def test_what_is_lost_for_good_is_said_and_compiled_by_the_next_make(
    light: MiniTree, built: MiniTree, names: list[str], damage: str
) -> None:
    for name in names:
        DAMAGES[damage](light.directory / sidecar(name))
    (light.directory / "vmlinux").unlink()
    done = light.make("-j4", status=2)
    (message,) = [line for line in done.stderr.splitlines() if line.startswith("kbuild-btf")]
    what = f"of {names[0]}" if len(names) == 1 else f"of {len(names)} objects"
    assert f"the debug information {what} was taken out" in message
    assert names[0] in message
    assert message.endswith("run make again: it compiles what is missing")
    assert not (light.directory / "vmlinux").exists()
    assert compiled_in(light.make("-j4")) == sorted(names)
    assert products(light) == products(built)
    assert dropped(light) == OBJECTS


def test_a_module_whose_types_are_lost_is_not_one_without_types(
    light: MiniTree, built: MiniTree
) -> None:
    for name in MODULE:
        DAMAGES["truncated"](light.directory / sidecar(name))
    (light.directory / "drivers/mini.ko").unlink()
    done = light.make("-j4", status=2)
    assert "the debug information of 2 objects was taken out, as of drivers/mini_" in done.stderr
    assert compiled_in(light.make("-j4")) == MODULE
    assert products(light) == products(built)


def test_the_image_is_not_asked_for_what_its_objects_lost(light: MiniTree) -> None:
    """It has some debug information: that of an object that still has it."""
    light.replace(*EDIT)
    light.make("-j4", KBUILD_BTF_HOOK="0")
    assert dropped(light) == [name for name in OBJECTS if name != "kernel/sched.o"]
    DAMAGES["truncated"](light.directory / sidecar("kernel/main.o"))
    (light.directory / "vmlinux").unlink()
    done = light.make("-j4", status=2, KBUILD_BTF_HOOK="0", KBUILD_BTF_KEEP_DEBUG="1")
    assert "reading its own debug information" not in done.stderr
    assert "kernel/main.o" in done.stderr


@pytest.mark.parametrize(
    "change",
    [
        ["objcopy", "--redefine-sym", "sched_pick=other"],
        ["objcopy", "--prefix-symbols=__pi_"],
        ["strip", "--strip-unneeded"],
    ],
    ids=lambda change: change[1].strip("-").partition("=")[0],
)
def test_an_object_that_another_program_changed(light: MiniTree, change: list[str]) -> None:
    """What is stored is of the object as it was."""
    victim = light.directory / "kernel/sched.o"
    before = victim.read_bytes()
    name = next(s for s in symbols(victim) if s.startswith("sched_") or True)
    words = [word.replace("sched_pick", name) for word in change]
    assert run(*words, victim).returncode == 0
    assert victim.read_bytes() != before
    assert MARK in sections(victim)
    done = kbuild_btf("link", light.directory / "vmlinux", victim)
    assert done.returncode == 1
    assert "whose debug information was taken out (KBUILD_BTF_DEBUG=drop)" in done.stderr


def symbols(path: Path) -> list[str]:
    """Names of its functions."""
    with path.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        functions = [s for s in table.iter_symbols() if s["st_info"]["type"] == "STT_FUNC"]
        return [s.name for s in functions]


def test_what_is_linked_of_several_is_no_object_of_one(tmp_path: Path) -> None:
    objects = []
    for name in ("strong", "other"):
        objects.append(compiled(COMPILERS / f"{name}.c", tmp_path / f"{name}.o"))
        assert run(HOOK, "--drop", objects[-1]).stderr == ""
    whole = tmp_path / "whole.o"
    assert run("ld", "-r", "-o", whole, *objects).returncode == 0
    done = run(HOOK, whole)
    assert done.stderr == (
        f"kbuild-btf-hook: warning: {whole}: made of objects whose debug information was taken out"
        " (KBUILD_BTF_DEBUG=drop); compile these with KBUILD_BTF_DEBUG=keep\n"
    )


def test_such_an_object_is_not_one_that_was_compiled_without(tmp_path: Path) -> None:
    path = compiled(SOURCES / "types.c", tmp_path / "types.o")
    assert run(HOOK, "--drop", path).stderr == ""
    done = kbuild_btf("encode", path)
    assert done.returncode == 1
    assert f"{path}: its debug information was taken out (KBUILD_BTF_DEBUG=drop)" in done.stderr


# --- what only debug information tells apart ------------------------------------------------------


def test_statics_that_only_debug_information_tells_apart(tmp_path: Path) -> None:
    """The link says so, and the next make leaves it in these two objects for good."""
    trees = []
    for mode in ("keep", "drop"):
        (tmp_path / mode).mkdir()
        tree = mini_kernel(tmp_path / mode)
        tree.environ["KBUILD_BTF_DEBUG"] = mode
        for directory, kind in (("kernel", "int"), ("drivers", "unsigned int")):
            (tree.directory / directory / "twin.c").write_text(
                f"#include <mini/sections.h>\nstatic __used DEFINE_PER_CPU({kind}, twin) = 3;\n"
            )
            tree.replace(f"{directory}/Makefile", "stats.o", "stats.o twin.o")
        trees.append(tree)
    keep, drop = trees
    keep.make("-j4")
    done = drop.make("-j4", status=2)
    twins = ["drivers/twin.o", "kernel/twin.o"]
    (message,) = [line for line in done.stderr.splitlines() if line.startswith("kbuild-btf")]
    assert "cannot tell the static variables twin of" in message
    assert "taken out of drivers/twin.o" in message
    assert not (drop.directory / "vmlinux").exists()
    assert compiled_in(drop.make("-j4")) == twins
    assert products(drop) == products(keep)
    assert dropped(drop) == OBJECTS
    assert all(has_debug(drop.directory / name) for name in twins)
    assert drop.make("-j4").stdout == ""
    drop.replace(*EDIT)
    assert compiled_in(drop.make("-j4")) == ["kernel/sched.o"]


# --- who needs it ---------------------------------------------------------------------------------


def test_make_and_python_know_the_same_readers() -> None:
    text = paths.snippet().read_text()
    known = text.count("kbuild-btf-readers +=")
    assert known == len(kbuild.debug_readers()) >= 6, "each line names an option and what it does"


@pytest.mark.parametrize("option", kbuild.debug_readers())
def test_a_configuration_that_needs_it(tmp_path: Path, option: str) -> None:
    """Refused before anything is compiled, also where make is called by something else."""
    tree = mini_kernel(tmp_path)
    with (tree.directory / "include/config/auto.conf").open("a") as file:
        file.write(f"{option}=y\n")
    done = tree.make("-j4", status=2, KBUILD_BTF_DEBUG="drop")
    assert f"KBUILD_BTF_DEBUG=drop: {option} needs the debug information" in done.stderr
    assert list(tree.directory.rglob("*.o")) == []
    shutil.copy(tree.directory / "include/config/auto.conf", tree.directory / ".config")
    arguments = ("make", "-C", tree.directory)
    said = run(SCRIPTS / "kbuild-btf", *arguments, env={"KBUILD_BTF_DEBUG": "drop"})
    assert said.returncode == 1
    assert said.stderr.startswith(f"kbuild-btf: KBUILD_BTF_DEBUG=drop: {option} ")
    tree.make("-j4")


def test_a_package_of_it_is_refused() -> None:
    tree = kbuild.Tree(Path("/nowhere"), Path("/nowhere"))
    kbuild.refuse_debug_mode("drop", tree, ["-j4", "vmlinux"])
    with pytest.raises(Error, match="bindeb-pkg makes a package of the debug information"):
        kbuild.refuse_debug_mode("drop", tree, ["-j4", "bindeb-pkg"])


def test_a_mode_that_is_none(tmp_path: Path) -> None:
    tree = mini_kernel(tmp_path)
    done = tree.make("-j4", status=2, KBUILD_BTF_DEBUG="off")
    assert "KBUILD_BTF_DEBUG=off: it is keep, split, drop or lean" in done.stderr
    said = run(SCRIPTS / "kbuild-btf", "make", "-C", tree.directory, env={"KBUILD_BTF_DEBUG": "x"})
    assert (
        said.stderr
        == "kbuild-btf: KBUILD_BTF_DEBUG: 'x' is not a mode; set it to keep, split, drop or lean\n"
    )


# What the compiler is not to write; in a tree whose Kconfig has found which compiler it is.
LEAN = "-gdwarf-4 -gno-column-info"
IS_GCC = "CONFIG_CC_IS_GCC=y\nCONFIG_GCC_VERSION=120200\n"


@pytest.mark.parametrize(
    ("config", "has"),
    [
        (IS_GCC, True),
        (IS_GCC.replace("12", "7"), False),
        (IS_GCC + "CONFIG_DEBUG_INFO_BTF_INLINE=y\n", False),
        ("CONFIG_CC_IS_CLANG=y\nCONFIG_GCC_VERSION=0\n", False),
    ],
)
def test_lean_drops_what_less_was_written_of(config: str, has: bool, tmp_path: Path) -> None:
    """The same BTF; what is no object of the kernel is compiled as ever."""
    tree = mini_kernel(tmp_path)
    with (tree.directory / "include/config/auto.conf").open("a") as file:
        file.write(config)
    tree.make("-j4")
    kept = products(tree)
    done = tree.make("-j4", "V=1", KBUILD_BTF_DEBUG="lean")
    commands = [line for line in done.stdout.splitlines() if " -c -o " in line]
    assert any(LEAN in line for line in commands) == has
    assert not any(LEAN in line for line in commands if any(n in line for n in NOT_KERNEL))
    assert products(tree) == kept
    assert tree.make("-j4", KBUILD_BTF_DEBUG="lean").stdout == ""
    # The assembler's object is as it was.
    changed = [name for name in OBJECTS if name != "kernel/entry.o"] if has else []
    assert dropped(tree) == changed
    assert compiled_in(tree.make("-j4")) == changed
    assert products(tree) == kept


def test_the_mode_is_said_in_one_line(tmp_path: Path) -> None:
    tree = mini_kernel(tmp_path)
    auto = tree.directory / "include/config/auto.conf"
    shutil.copy(auto, tree.directory / ".config")
    said = []
    for mode in ("keep", "drop", "drop", "keep"):
        arguments = ("make", "-C", tree.directory, "-j4")
        environment = {**tree.environ, "KBUILD_BTF_DEBUG": mode}
        done = run(SCRIPTS / "kbuild-btf", *arguments, env=environment)
        assert done.returncode == 0, done.stderr
        said.append([line for line in done.stderr.splitlines() if "debug information" in line])
    assert [len(lines) for lines in said] == [0, 1, 0, 0]
    assert "leaves each object when its types are stored (KBUILD_BTF_DEBUG=drop)" in said[1][0]


# --- objects --------------------------------------------------------------------------------------


def relinked(linker: str, path: Path, *flags: str) -> tuple[dict[str, bytes], list[str]]:
    """What `ld -r` makes of an object: its sections but for the mark, and its symbols."""
    require(linker)
    output = path.with_suffix(".r")
    done = run(linker, "-r", *flags, "-o", output, path)
    assert (done.returncode, done.stderr) == (0, "")
    with output.open("rb") as file:
        elf = ELFFile(file)
        names = [s.name for s in elf.iter_sections()]
        table = elf.get_section_by_name(".symtab")
        entries = [
            (
                s.name,
                s["st_value"],
                s["st_size"],
                s["st_info"]["type"],
                s["st_info"]["bind"],
                names[s["st_shndx"]] if isinstance(s["st_shndx"], int) else s["st_shndx"],
            )
            for s in table.iter_symbols()
            if s["st_info"]["type"] != "STT_SECTION"
        ]
    tables = (".symtab", ".strtab", ".shstrtab", MARK)
    found = {n: d for n, d in sections(output).items() if n not in tables and ".debug_" not in n}
    return {n: d for n, d in found.items() if not n.startswith(".rel")}, sorted(map(str, entries))


@pytest.mark.parametrize("version", ["4", "5"])
@pytest.mark.parametrize("toolchain", ALL, ids=lambda toolchain: toolchain.name)
def test_objects_of_many_compilers(toolchain: Toolchain, version: str, tmp_path: Path) -> None:
    """Other programs take the object as one that never had debug information."""
    flags = (f"-gdwarf-{version}", "-O2")
    names = ("parameters", "clones", "variables", "types", "other", "strong")
    objects = [
        toolchain.compile(COMPILERS / f"{name}.c", tmp_path / f"{name}.o", *flags) for name in names
    ]
    image = toolchain.link(objects, tmp_path / "image")
    before = _native.link(image, objects=objects).btf
    were = [relinked(toolchain.linker, path, "--strip-debug") for path in objects]
    done = run(HOOK, "--drop", *objects)
    assert (done.returncode, done.stderr) == (0, "")
    assert not any(has_debug(path) for path in objects)
    assert [relinked(toolchain.linker, path) for path in objects] == were
    assert _native.link(image, objects=objects).btf == before
    assert _native.link(toolchain.link(objects, image), objects=objects).btf == before
    prefix = toolchain.linker.removesuffix("ld")
    for words in ("objcopy @ @.c", "strip -g -o @.s @", "nm @", "readelf -aW @", "ar rcs @.a @"):
        for path in objects:
            argv = words.replace("@", str(path)).split()
            done = run(prefix + argv[0], *argv[1:])
            assert (done.returncode, done.stderr) == (0, ""), argv


@pytest.mark.parametrize("program", ["ld.lld", "llvm-objcopy", "llvm-strip", "llvm-nm"])
def test_llvms_programs_take_it(program: str, tmp_path: Path) -> None:
    require(program)
    path = compiled(SOURCES / "types.c", tmp_path / "types.o", "-O2")
    whole = relinked("ld.lld", path, "--strip-debug") if program == "ld.lld" else None
    assert run(HOOK, "--drop", path).stderr == ""
    if whole:
        assert relinked("ld.lld", path) == whole
        return
    flags = {"llvm-objcopy": ["--strip-unneeded"], "llvm-strip": ["-g"]}
    done = run(program, *flags.get(program, []), path)
    assert (done.returncode, done.stderr) == (0, "")


def test_macros_lie_in_groups_which_go_too(tmp_path: Path) -> None:
    path = compiled(SOURCES / "types.c", tmp_path / "types.o", "-O2", "-g3")
    assert ".group" in sections(path)
    was = relinked("ld", path, "--strip-debug")
    assert run(HOOK, "--drop", path).stderr == ""
    assert ".group" not in sections(path)
    now = relinked("ld", path)
    assert now == was


def test_a_section_that_refers_to_debug_information_keeps_all_of_it(tmp_path: Path) -> None:
    source = tmp_path / "a.s"
    source.write_text(
        '.section .debug_str,"MS",@progbits,1\nhere: .asciz "text"\n.data\n.quad here\n'
        ".text\nf: nop\n"
    )
    path = tmp_path / "a.o"
    assert run("gcc", "-g", "-c", "-o", path, source).returncode == 0
    before = path.read_bytes()
    done = run(HOOK, "--drop", path)
    assert done.stderr == (
        f"kbuild-btf-hook: warning: {path}: its debug information stays in it: what stays refers"
        " to its debug sections\n"
    )
    assert path.read_bytes() == before


def test_sections_that_each_claim_a_large_part_of_the_file(tmp_path: Path) -> None:
    """Copied one behind the other they would be many times the object."""
    source = tmp_path / "a.c"
    source.write_text("".join(f"int v{i} = {i + 1};\n" for i in range(300)))
    path = compiled(source, tmp_path / "a.o", "-fdata-sections")
    content = bytearray(path.read_bytes())
    with path.open("rb") as file:
        elf = ELFFile(file)
        for i, section in enumerate(elf.iter_sections()):
            if section.name.startswith(".data.v"):
                header = elf["e_shoff"] + i * elf["e_shentsize"]
                # From the start, nearly to the end: sh_offset and sh_size.
                struct.pack_into("<QQ", content, header + 24, 0, len(content) - 8)
    path.write_bytes(content)
    done = run(HOOK, "--drop", path)
    assert done.stderr == (
        f"kbuild-btf-hook: warning: {path}: its debug information stays in it: damaged ELF:"
        " sections lie in each other\n"
    )
    assert path.read_bytes() == content


def test_an_object_without_debug_information_has_nothing_to_lose(tmp_path: Path) -> None:
    path = compiled(SOURCES / "types.c", tmp_path / "types.o", "-g0")
    before = path.read_bytes()
    assert run(HOOK, "--drop", path).stderr == ""
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.glob(".tmp_*")] == [".tmp_types.o.kbtf"]


def test_what_cannot_be_encoded_keeps_it(tmp_path: Path) -> None:
    path = compiled(SOURCES / "types.c", tmp_path / "types.o")
    shorter = tmp_path / "shorter"
    assert run("objcopy", "--dump-section", f".debug_info={shorter}", path).returncode == 0
    shorter.write_bytes(shorter.read_bytes()[:100])
    assert run("objcopy", "--update-section", f".debug_info={shorter}", path).returncode == 0
    before = path.read_bytes()
    assert run(HOOK, "--drop", path).stderr.startswith("kbuild-btf-hook: warning: ")
    assert path.read_bytes() == before


# --- faults ---------------------------------------------------------------------------------------


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """An object that still has everything, in a directory of its own."""
    directory = tmp_path / "one"
    directory.mkdir()
    return compiled(SOURCES / "types.c", directory / "a.o", "-O2")


def test_its_permissions_and_time_stay(one: Path) -> None:
    one.chmod(0o444)
    os.utime(one, ns=(1_000_000_001, 1_234_567_890_123_456_789))
    assert run(HOOK, "--drop", one).stderr == ""
    now = one.stat()
    assert not has_debug(one)
    assert (now.st_mode & 0o777, now.st_mtime_ns) == (0o444, 1_234_567_890_123_456_789)
    assert now.st_blocks * 512 < 40_000


def test_another_name_of_the_file_keeps_it(one: Path, tmp_path: Path) -> None:
    """As `cp -al` makes it, and ccache with hard_link."""
    other = tmp_path / "other.o"
    other.hardlink_to(one)
    before = other.read_bytes()
    assert run(HOOK, "--drop", one).stderr == ""
    assert not has_debug(one)
    assert other.read_bytes() == before


def test_a_symbolic_link_is_left_alone(one: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.o"
    link.symlink_to(one)
    before = one.read_bytes()
    said = run(HOOK, "--drop", link).stderr
    assert said.endswith("its debug information stays in it: it is not a regular file\n")
    assert (link.is_symlink(), one.read_bytes()) == (True, before)


def test_ccache_keeps_whole_objects(tmp_path: Path) -> None:
    """A tree that keeps debug information gets it out of the cache that one without filled."""
    require("ccache")
    source = tmp_path / "a.c"
    source.write_text((SOURCES / "types.c").read_text())
    environment = {
        "CCACHE_DIR": str(tmp_path / "ccache"),
        "CCACHE_HARDLINK": "1",
        "CCACHE_NOCOMPRESS": "1",
    }
    compile_it = ("ccache", "gcc", "-g", "-O2", "-c", "a.c", "-o", "a.o")
    whole = []
    for _ in range(3):
        (tmp_path / "a.o").unlink(missing_ok=True)
        done = run(*compile_it, cwd=tmp_path, env=environment)
        assert done.returncode == 0, done.stderr
        whole.append((tmp_path / "a.o").read_bytes())
        assert run(HOOK, "--drop", tmp_path / "a.o").stderr == ""
        assert not has_debug(tmp_path / "a.o")
    assert whole[0] == whole[1] == whole[2]
    said = run("ccache", "--show-stats", env=environment).stdout
    assert "Hits" in said


def test_many_at_once(one: Path) -> None:
    """Hooks of two builds of one tree: the object is whole, and its sidecar is its own."""
    whole = one.read_bytes()
    assert run(HOOK, "--drop", one).stderr == ""
    small = one.read_bytes()
    for _ in range(50):
        temporary = one.with_name("again.o")
        temporary.write_bytes(whole)
        temporary.replace(one)
        running = [subprocess.Popen([HOOK, "--drop", one], stderr=subprocess.PIPE) for _ in "abcd"]
        said = [process.communicate(timeout=60)[1] for process in running]
        assert said == [b""] * 4
        assert [process.returncode for process in running] == [0] * 4
        assert one.read_bytes() == small
        assert _native.write_sidecar(str(one)) == "unchanged"
    left = sorted(path.name for path in one.parent.iterdir())
    assert left == [".tmp_a.o.kbtf", ".tmp_a.o.nodebug", "a.o"]


@pytest.mark.parametrize("how", HOW, ids=" ".join)
def test_killed_at_each_system_call(one: Path, tmp_path: Path, how: tuple[str, ...]) -> None:
    """The object is whole before or after, and the next hook or link makes it right."""
    require_tracing()
    whole = one.read_bytes()
    image = tmp_path / "image"
    shutil.copy(one, image)
    expected = _native.link(image, objects=[one]).btf
    directory = tmp_path / "killed"
    directory.mkdir()
    path = directory / "a.o"
    path.write_bytes(whole)
    environment = {"KBUILD_BTF_CACHE": ""}
    calls = system_calls([HOOK, *how, path], directory, environment)
    small = path.read_bytes()
    assert whole != small
    seen = set()
    for call in calls:
        for left in directory.iterdir():
            left.unlink()
        path.write_bytes(whole)
        injected([HOOK, *how, path], call, "signal=KILL", directory, environment)
        now = path.read_bytes()
        assert now in (whole, small), f"killed before {call.text}"
        seen.add(now)
        assert _native.link(image, objects=[path]).btf == expected, f"killed before {call.text}"
        assert run(HOOK, *how, path, env=environment).stderr == ""
        assert path.read_bytes() == small
        assert _native.write_sidecar(str(path)) == "unchanged"
    assert seen == {whole, small}


@pytest.mark.parametrize("how", HOW, ids=" ".join)
@pytest.mark.parametrize("call", ["write", "writev", "rename", "chmod", "link", "utimensat"])
@pytest.mark.parametrize("when", [1, 2, 3])
def test_a_full_disk_or_another_failure(
    one: Path, call: str, when: int, how: tuple[str, ...]
) -> None:
    """At each step: one line, and the object as it was, or done."""
    require_tracing()
    whole = one.read_bytes()
    inject = f"inject=?{call}:error=ENOSPC:when={when}"
    done = run(
        "strace", "-f", "-e", inject, "-o", "/dev/null", HOOK, *how, one,
        env={"KBUILD_BTF_CACHE": ""},
    )  # fmt: skip
    assert done.returncode == 0
    if done.stderr:
        assert done.stderr.startswith("kbuild-btf-hook: warning: ")
        assert len(done.stderr.splitlines()) == 1
        assert one.read_bytes() == whole
    else:
        assert not has_debug(one)
    left = [path.name for path in one.parent.iterdir() if path.suffix not in (".kbtf", ".o")]
    note = ".tmp_a.o.carries" if "--section" in how else ".tmp_a.o.nodebug"
    assert left in ([], [note])
    assert run(HOOK, *how, one).stderr == ""
    assert not has_debug(one)


def test_what_is_stored_wrong_keeps_the_debug_information(one: Path) -> None:
    """Something damages the sidecar between writing and reading: here, it is no file at all."""
    stored = Path(_native.sidecar_path(str(one)))
    stored.mkdir()
    whole = one.read_bytes()
    assert run(HOOK, "--drop", one).stderr.startswith("kbuild-btf-hook: warning: ")
    assert one.read_bytes() == whole


def test_two_makes_at_once(tmp_path: Path, built: MiniTree) -> None:
    """Of two trees that share a cache, one that keeps it and one that does not."""
    trees = []
    for mode in ("keep", "drop"):
        (tmp_path / mode).mkdir()
        tree = mini_kernel(tmp_path / mode)
        tree.environ["KBUILD_BTF_DEBUG"] = mode
        tree.environ["KBUILD_BTF_CACHE"] = str(tmp_path / "cache")
        trees.append(tree)
    running = [
        subprocess.Popen(
            ["make", "-j4"],
            cwd=tree.directory,
            env=tree.environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for tree in trees
    ]
    for process in running:
        _, said = process.communicate(timeout=120)
        assert (process.returncode, said) == (0, b"")
    keep, drop = trees
    assert products(keep) == products(drop) == products(built)
    assert (dropped(keep), dropped(drop)) == ([], OBJECTS)


@pytest.mark.parametrize("hook", ["kill -9 $$", "exit 3", 'ulimit -f 1; exec @REAL@ "$@"'])
def test_a_hook_that_does_not_do_its_work(tmp_path: Path, built: MiniTree, hook: str) -> None:
    tree = mini_kernel(tmp_path)
    tree.environ["KBUILD_BTF_BIN"] = str(programs(tmp_path / "bin", hook=hook))
    tree.make("-j4", KBUILD_BTF_DEBUG="drop")
    assert products(tree) == products(built)
