# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""KBUILD_BTF_STORE=section: objects have their types in themselves, what is linked has them not.

On the mini-kernel, where the BTF must be that of a build with sidecars, byte for byte; and through
what linkers and others do with objects.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from minitree import MiniTree, mini_kernel, products, sidecar
from support import SCRIPTS, SOURCES, compiled, kbuild_btf, require, run
from test_drop import EDIT, HOOK, MARK, OBJECTS, compiled_in, dropped, has_debug, sections
from toolchains import ALL, COMPILERS, GCC, Toolchain

from kbuild_btf import _native

PARTS = ("parameters", "clones", "variables", "types", "other", "strong")
MODES = ("keep", "drop")
# What the section has before the sidecar (docs/sidecar.md).
MARK_SIZE = 56


@pytest.fixture(scope="session", params=MODES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> MiniTree:
    """Built once in each mode; tests that use it only look."""
    tree = mini_kernel(tmp_path_factory.mktemp("section"))
    tree.environ |= {"KBUILD_BTF_DEBUG": request.param, "KBUILD_BTF_STORE": "section"}
    assert tree.make("-j4").stderr == ""
    return tree


@pytest.fixture
def copied(tmp_path: Path, made: MiniTree) -> MiniTree:
    """A copy of it, with its times, and a cache of its own that is empty."""
    shutil.copytree(made.directory, tmp_path / "tree", copy_function=shutil.copy2)
    copy = MiniTree(tmp_path / "tree", dict(made.environ))
    copy.environ["KBUILD_BTF_CACHE"] = str(tmp_path / "cache")
    return copy


def damaged(path: Path, damage: Callable[[bytes], bytes]) -> None:
    """Change what the object carries, but for its length."""
    content = sections(path)[MARK]
    whole = path.read_bytes()
    assert whole.count(content) == 1
    new = damage(content)
    assert len(new) == len(content)
    path.write_bytes(whole.replace(content, new))


def of_another_version(content: bytes) -> bytes:
    at = MARK_SIZE + 48
    return content[:at] + b"0.0" + content[at + 3 :]


# --- builds ---------------------------------------------------------------------------------------


def test_the_same_btf_and_no_trace_of_the_section(made: MiniTree, built: MiniTree) -> None:
    assert products(made) == products(built)
    for name in OBJECTS:
        assert MARK in sections(made.directory / name)
    assert dropped(made) == (OBJECTS if made.environ["KBUILD_BTF_DEBUG"] == "drop" else [])
    assert not [name for name in OBJECTS if (made.directory / sidecar(name)).exists()]
    linked = [*made.directory.rglob("*.ko"), *made.directory.glob(".tmp_vmlinux*")]
    for path in (made.directory / "vmlinux", *linked):
        if path.read_bytes()[:4] == b"\x7fELF":
            assert MARK not in sections(path)


def test_make_again_does_nothing(copied: MiniTree) -> None:
    done = copied.make("-j4")
    assert (done.stdout, done.stderr) == ("", "")


def test_a_copy_is_linked_from_its_objects_alone(copied: MiniTree, built: MiniTree) -> None:
    (copied.directory / "vmlinux").unlink()
    done = copied.make("-j4")
    assert "9 reused, 0 encoded now" in done.stdout
    assert compiled_in(done) == []
    assert products(copied) == products(built)


def test_one_edit_compiles_one_object(copied: MiniTree) -> None:
    copied.replace(*EDIT)
    assert compiled_in(copied.make("-j4")) == ["kernel/sched.o"]
    section = products(copied)
    copied.make("clean")
    copied.make("-j4", KBUILD_BTF_DEBUG="keep", KBUILD_BTF_STORE="sidecar")
    assert products(copied) == section


def test_with_sidecars_again(copied: MiniTree, built: MiniTree) -> None:
    """Nothing is compiled, and what is compiled then has a sidecar."""
    assert copied.make("-j4", KBUILD_BTF_STORE="sidecar").stdout == ""
    copied.replace(*EDIT)
    done = copied.make("-j4", KBUILD_BTF_STORE="sidecar")
    assert compiled_in(done) == ["kernel/sched.o"]
    assert (copied.directory / "kernel/.tmp_sched.o.kbtf").exists()
    copied.replace(EDIT[0], EDIT[2], EDIT[1])
    done = copied.make("-j4")
    assert compiled_in(done) == ["kernel/sched.o"]
    assert not (copied.directory / "kernel/.tmp_sched.o.kbtf").exists()
    assert products(copied) == products(built)


def test_keeping_debug_information_compiles_what_lost_it(copied: MiniTree, built: MiniTree) -> None:
    lost = dropped(copied)
    assert compiled_in(copied.make("-j4", KBUILD_BTF_DEBUG="keep")) == lost
    assert dropped(copied) == []
    assert products(copied) == products(built)
    assert list(copied.directory.rglob(".tmp_*.carries")) == []
    assert copied.make("-j4", KBUILD_BTF_DEBUG="keep").stdout == ""


def test_make_clean_removes_what_lies_beside_the_objects(copied: MiniTree) -> None:
    copied.make("clean")
    assert list(copied.directory.rglob(".tmp_*")) == []


def test_types_of_another_version(copied: MiniTree, built: MiniTree) -> None:
    """Encoded again, or, where that cannot be, said and compiled by the next make."""
    damaged(copied.directory / "kernel/sched.o", of_another_version)
    (copied.directory / "vmlinux").unlink()
    if copied.environ["KBUILD_BTF_DEBUG"] == "keep":
        assert "8 reused, 1 encoded now" in copied.make("-j4").stdout
    else:
        done = copied.make("-j4", status=2)
        (message,) = [line for line in done.stderr.splitlines() if line.startswith("kbuild-btf")]
        assert "the debug information of kernel/sched.o was taken out" in message
        assert not (copied.directory / "vmlinux").exists()
        assert compiled_in(copied.make("-j4")) == ["kernel/sched.o"]
    assert products(copied) == products(built)


def test_a_place_that_is_none(tmp_path: Path) -> None:
    tree = mini_kernel(tmp_path)
    done = tree.make("-j4", status=2, KBUILD_BTF_STORE="here")
    assert "KBUILD_BTF_STORE=here: it is sidecar or section" in done.stderr
    said = run(SCRIPTS / "kbuild-btf", "make", "-C", tree.directory, env={"KBUILD_BTF_STORE": "x"})
    assert said.stderr == (
        "kbuild-btf: KBUILD_BTF_STORE: 'x' is no place; set it to sidecar or section\n"
    )


# --- objects --------------------------------------------------------------------------------------


@pytest.fixture(params=[("--section",), ("--drop", "--section")], ids=" ".join)
def flags(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """How the hook is called."""
    found: tuple[str, ...] = request.param
    return found


@pytest.mark.parametrize("toolchain", ALL, ids=lambda toolchain: toolchain.name)
def test_one_object_of_several(
    toolchain: Toolchain, flags: tuple[str, ...], tmp_path: Path
) -> None:
    """As vmlinux.o and modules of several objects are made: each has its own types in it."""
    objects = [
        toolchain.compile(COMPILERS / f"{name}.c", tmp_path / f"{name}.o", "-O2") for name in PARTS
    ]
    image = toolchain.link(objects, tmp_path / "image")
    before = _native.link(image, objects=objects).btf
    assert run(HOOK, *flags, *objects).stderr == ""
    assert [p.name for p in tmp_path.glob(".tmp_*.kbtf")] == []
    assert _native.link(image, objects=objects).btf == before
    half, whole = tmp_path / "half.o", tmp_path / "whole.o"
    for output, inputs in ((half, objects[:3]), (whole, [half, *objects[3:]])):
        assert run(toolchain.linker, "-r", "-o", output, *inputs).returncode == 0
    assert len(sections(whole)[MARK]) == sum(len(sections(path)[MARK]) for path in objects)
    assert _native.link(image, objects=[whole]).btf == before
    assert _native.link(image, objects=[half, *objects[3:]]).btf == before
    again = toolchain.link([whole], tmp_path / "again")
    assert MARK not in sections(again)


def test_through_a_thin_archive_and_lld(tmp_path: Path, flags: tuple[str, ...]) -> None:
    require("ld.lld")
    objects = [compiled(COMPILERS / f"{name}.c", tmp_path / f"{name}.o", "-O2") for name in PARTS]
    image = GCC.link(objects, tmp_path / "image")
    before = _native.link(image, objects=objects).btf
    assert run(HOOK, *flags, *objects).stderr == ""
    archive, whole = tmp_path / "all.a", tmp_path / "whole.o"
    assert run("ar", "rcsT", archive, *objects).returncode == 0
    for linker in ("ld", "ld.lld"):
        words = (linker, "-r", "-o", whole, "--whole-archive", archive)
        assert run(*words).returncode == 0
        assert _native.link(image, objects=[whole]).btf == before


def test_debug_information_removed_by_hand(tmp_path: Path) -> None:
    """Its types are still in it; `strip` would also remove the symbols of source files."""
    path = compiled(SOURCES / "types.c", tmp_path / "types.o", "-O2")
    image = shutil.copy(path, tmp_path / "image")
    before = _native.link(image, objects=[path]).btf
    assert run(HOOK, "--section", path, env={"KBUILD_BTF_CACHE": ""}).stderr == ""
    remove = [word for n in ("", ".rela") for word in ("-R", f"{n}.debug_*")]
    assert run("objcopy", "-w", *remove, path).returncode == 0
    assert not has_debug(path)
    assert _native.link(image, objects=[path]).btf == before


def test_changed_debug_information_counts(tmp_path: Path) -> None:
    """What the object carries is of other types then, although its symbols are the same."""
    source = tmp_path / "a.c"
    found = []
    for member in ("old", "new"):
        source.write_text(f"struct s {{ int {member}; }} var;\n")
        found.append(compiled(source, tmp_path / f"{member}.o"))
    expected = _native.link(found[1], objects=[found[1]]).btf
    assert run(HOOK, "--section", *found).stderr == ""
    dump = tmp_path / "dump"
    for name in (".debug_info", ".debug_str", ".debug_abbrev"):
        assert run("objcopy", "--dump-section", f"{name}={dump}", found[1]).returncode == 0
        assert run("objcopy", "--update-section", f"{name}={dump}", found[0]).returncode == 0
    assert _native.link(found[1], objects=[found[0]]).btf == expected


@pytest.mark.parametrize(
    "change", [["--prefix-symbols=__pi_"], ["--redefine-sym", "strong=weak"], ["--strip-all"]]
)
def test_symbols_that_another_program_changed(change: list[str], tmp_path: Path) -> None:
    """With debug information that is read; without, it is refused by name."""
    names = ("strong", "other")
    for flags in (("--section",), ("--drop", "--section")):
        objects = [compiled(COMPILERS / f"{n}.c", tmp_path / f"{n}.o", "-O2") for n in names]
        assert run(HOOK, *flags, *objects).stderr == ""
        whole = tmp_path / "whole.o"
        assert run("ld", "-r", "-o", whole, *objects).returncode == 0
        symbol = next(iter(function_names(objects[0])))
        words = [word.replace("strong", symbol) for word in change]
        assert run("objcopy", *words, whole).returncode == 0
        done = kbuild_btf("link", whole, whole)
        if "--drop" not in flags and "--strip-all" not in change:
            assert done.returncode == 0, done.stderr
            continue
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert str(whole) in done.stderr or "no DWARF" in done.stderr


def function_names(path: Path) -> list[str]:
    done = run("nm", "--defined-only", path)
    return [line.split()[2] for line in done.stdout.splitlines() if line.split()[1] in "Tt"]


@pytest.mark.parametrize("cut", [0, 1, 55, 56, 57, 1000])
def test_a_damaged_section(cut: int, tmp_path: Path) -> None:
    """One message. An empty one says nothing; then debug information, where it is, counts."""
    path = compiled(SOURCES / "types.c", tmp_path / "types.o", "-O2")
    image = shutil.copy(path, tmp_path / "image")
    before = _native.link(image, objects=[path]).btf
    for flags in (("--section",), ("--drop", "--section")):
        compiled(SOURCES / "types.c", path, "-O2")
        assert run(HOOK, *flags, path, env={"KBUILD_BTF_CACHE": ""}).stderr == ""
        blob = tmp_path / "blob"
        content = sections(path)[MARK]
        blob.write_bytes(content[:cut])
        assert run("objcopy", "--update-section", f"{MARK}={blob}", path).returncode == 0
        done = kbuild_btf("link", image, path, "-o", tmp_path / "out")
        if "--drop" in flags or cut:
            assert done.returncode == 1
            assert len(done.stderr.splitlines()) == 1
            assert "debug information" in done.stderr or f"its section {MARK}" in done.stderr
        else:
            assert done.returncode == 0, done.stderr
            assert (tmp_path / "out").read_bytes() == before


def test_another_name_of_the_file_stays_as_it_was(tmp_path: Path) -> None:
    """As `cp -al` makes it, and ccache with hard_link."""
    path = compiled(SOURCES / "types.c", tmp_path / "types.o")
    other = tmp_path / "other.o"
    other.hardlink_to(path)
    before = other.read_bytes()
    assert run(HOOK, "--section", path).stderr == ""
    assert MARK in sections(path)
    assert other.read_bytes() == before
