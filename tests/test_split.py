# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Split DWARF (`-gsplit-dwarf`): the types are in a .dwo file that the object names."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import btftext
import pytest
from cases import CASES, build, spoken
from dwarfwriter import DIE, LANG_C11, write_split
from elfwriter import S390X, X86_64, Target
from minitree import BUILTIN, LIBRARY, MODULE, NOT_KERNEL, PRODUCTS, mini_kernel, products
from support import SCRIPTS, SOURCES, compiled, kbuild_btf, require, run
from toolchains import ALL, CLANGS, COMPILERS, GCC, Toolchain

from kbuild_btf import Btf, _native, kbuild
from kbuild_btf.errors import Error

HOOK = SCRIPTS / "kbuild-btf-hook"
ONE = SOURCES / "linked" / "one.c"
FEATURES = "default,inline"
FILES = [COMPILERS / "parameters.c", COMPILERS / "variables.c", SOURCES / "functions.c"]


def encoded(path: Path) -> bytes:
    return _native.encode(str(path), features=FEATURES).btf


def linked(image: Path, *objects: Path) -> bytes:
    """The BTF that a link of these objects gives; of none, of the object itself."""
    return _native.link(image, objects=list(objects or [image]), features=FEATURES).btf


def split(source: Path, output: Path, *flags: str) -> Path:
    """One object of gcc and its .dwo file."""
    made = compiled(source, output, "-O2", "-gsplit-dwarf", *flags)
    assert output.with_suffix(".dwo").exists()
    return made


def refused(path: Path) -> str:
    """What is said of it, by everything that reads it."""
    with pytest.raises(Error) as failed:
        encoded(path)
    said = str(failed.value)
    assert "internal error" not in said
    hook = run(HOOK, path, env={"KBUILD_BTF_CACHE": ""})
    assert (hook.returncode, hook.stderr.count("\n")) == (0, 1)
    return said


# --- the same BTF ---------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["4", "5"])
@pytest.mark.parametrize("toolchain", ALL, ids=lambda t: t.name)
def test_as_without_it(toolchain: Toolchain, version: str, tmp_path: Path) -> None:
    flags = ["-O2", f"-gdwarf-{version}"]
    for source in FILES:
        plain = encoded(toolchain.compile(source, tmp_path / "plain.o", *flags))
        for how in ("-gsplit-dwarf", "-gsplit-dwarf=single")[: 1 + toolchain.clang]:
            ours = encoded(toolchain.compile(source, tmp_path / "a.o", *flags, how))
            if not toolchain.clang or version == "4":
                assert ours == plain, source
                continue
            # Only without it does clang 5 describe the types that DW_OP_convert needs.
            own, expected = (btftext.lines(Btf.from_bytes(raw)) for raw in (ours, plain))
            assert [line for line in expected if not of_clang(line)] == own


def of_clang(line: str) -> bool:
    return line.startswith(("INT DW_ATE_", "INT __SANITIZED_FAKE_INT__"))


@pytest.mark.parametrize("target", [X86_64, S390X], ids=["x86_64", "s390x"])
def test_types_that_are_written_down(target: Target, tmp_path: Path) -> None:
    """All pages of cases that need no addresses."""
    path, tried = tmp_path / "a.o", 0
    for page in CASES:
        case = spoken(page, target)
        dies = [die for die in case.units() if isinstance(die, DIE)]
        if case.symbols or case.language != LANG_C11 or 4 not in case.versions or not dies:
            continue
        path.write_bytes(write_split(dies, target))
        lines = btftext.lines(Btf.from_bytes(encoded(path)))
        path.write_bytes(build(case, 4, target))
        assert lines == btftext.lines(Btf.from_bytes(encoded(path))), case.name
        tried += 1
    assert tried > 3


@pytest.mark.parametrize("flags", [[], ["-gz"], ["-gdwarf-4", "-ffunction-sections"]])
@pytest.mark.parametrize("toolchain", [GCC, CLANGS[1]], ids=lambda t: t.name)
def test_linked(toolchain: Toolchain, flags: list[str], tmp_path: Path) -> None:
    """A linked file is encoded from the .dwo files; so are several objects that became one; and
    some of the objects may be without."""
    made = {}
    for how in ("plain", "split"):
        directory = tmp_path / how
        directory.mkdir()
        objects = []
        for name in ("one", "two"):
            own = ["-gsplit-dwarf"] if (how == "split" and name == "one") or not flags else []
            own = own if how == "split" else []
            source = SOURCES / "linked" / f"{name}.c"
            objects.append(toolchain.compile(source, directory / f"{name}.o", *flags, *own))
        image = toolchain.link(objects, directory / "image")
        whole = directory / "whole.o"
        assert run(toolchain.linker, "-r", "-o", whole, *objects).returncode == 0
        of_objects = linked(image, *objects)
        assert encoded(image) == of_objects
        again = linked(image, whole)
        made[how] = (of_objects, encoded(whole), again)
    assert made["split"] == made["plain"]


def test_single_linked(tmp_path: Path) -> None:
    """Objects that have the sections themselves: they do not become a part of what is linked."""
    clang = CLANGS[1]
    names, flags = ("one", "two"), ["-gdwarf-5", "-gsplit-dwarf=single"]
    sources = [SOURCES / "linked" / f"{name}.c" for name in names]
    objects = [clang.compile(s, tmp_path / f"{s.stem}.o", *flags) for s in sources]
    image = clang.link(objects, tmp_path / "image")
    assert encoded(image) == linked(image, *objects)
    whole = tmp_path / "whole.o"
    assert run("ld", "-r", "-o", whole, *objects).returncode == 0
    again = linked(image, whole)
    assert again == encoded(image)


def test_a_tree_that_was_moved(tmp_path: Path) -> None:
    """The directory of the compile is no more: the file is where it was in the tree."""
    tree = tmp_path / "tree"
    (tree / "lib").mkdir(parents=True)
    (tree / "a.c").write_text(ONE.read_text())
    done = run("gcc", "-g", "-gsplit-dwarf", "-c", "a.c", "-o", "lib/a.o", cwd=tree)
    assert done.returncode == 0, done.stderr
    image = GCC.link([tree / "lib/a.o"], tree / "image", "-defsym=second=0")
    before = encoded(tree / "lib/a.o"), encoded(image)
    moved = tree.rename(tmp_path / "moved")
    assert (encoded(moved / "lib/a.o"), encoded(moved / "image")) == before


# --- what is stored -------------------------------------------------------------------------------


def hooked(path: Path, cache: Path) -> str:
    """What the hook did with it: hit, miss or unchanged."""
    done = run(HOOK, "--inline", "--timings", path, env={"KBUILD_BTF_CACHE": str(cache)})
    assert done.returncode == 0 and not done.stderr
    return done.stdout.splitlines()[0].rpartition(": ")[2]


@pytest.mark.parametrize("version", ["4", "5"])
def test_the_key_covers_both(version: str, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    source = tmp_path / "a.c"
    source.write_text("struct first_name { int a; } it;\n")
    path = split(source, tmp_path / "a.o", f"-gdwarf-{version}")
    dwo = path.with_suffix(".dwo")
    assert [hooked(path, cache) for _ in range(2)] == ["miss", "unchanged"]
    # Another file with the same content, as of a copied tree.
    shutil.copy(path, tmp_path / "copy")
    (tmp_path / "copy").replace(path)
    assert hooked(path, cache) == "unchanged"
    # The same object, and the same number, but other types.
    dwo.write_bytes(dwo.read_bytes().replace(b"first_name", b"other_name"))
    shutil.copy(path, tmp_path / "copy")
    (tmp_path / "copy").replace(path)
    assert hooked(path, cache) == "miss"
    ours = Btf.from_bytes(linked(path))
    assert any("other_name" in line for line in btftext.lines(ours))
    # Both as at first are in the cache.
    split(source, path, f"-gdwarf-{version}")
    assert hooked(path, cache) == "hit"


def test_the_link_without_the_file_that_was_read(tmp_path: Path) -> None:
    """What the hook has stored serves; without it the link says what is missing."""
    path = split(ONE, tmp_path / "a.o")
    expected = linked(path)
    hooked(path, tmp_path / "cache")
    path.with_suffix(".dwo").unlink()
    assert linked(path) == expected
    (tmp_path / ".tmp_a.o.kbtf").unlink()
    with pytest.raises(Error, match=r"a\.dwo, which is not there"):
        linked(path)


# --- what is wrong --------------------------------------------------------------------------------


def test_files_that_are_missing(tmp_path: Path) -> None:
    objects = [split(SOURCES / "linked" / f"{n}.c", tmp_path / f"{n}.o") for n in ("one", "two")]
    image = GCC.link(objects, tmp_path / "image")
    (tmp_path / "one.dwo").unlink()
    said = refused(objects[0])
    assert said.startswith(f"{objects[0]}: split DWARF: types are in ")
    assert f"{tmp_path}/one.dwo, which is not there; " in said
    assert "one.dwo, which is not there" in refused(image)
    (tmp_path / "two.dwo").unlink()
    assert "one.dwo and one more .dwo file, which are not there" in refused(image)
    (tmp_path / "image.dwp").touch()
    assert "packages of .dwo files (.dwp) are not read" in refused(image)
    done = kbuild_btf("encode", image, "-o", tmp_path / "out")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("version", ["4", "5"])
def test_a_file_of_another_compile(version: str, tmp_path: Path) -> None:
    one, two = (
        split(SOURCES / "linked" / f"{n}.c", tmp_path / f"{n}.o", f"-gdwarf-{version}")
        for n in ("one", "two")
    )
    shutil.copy(two.with_suffix(".dwo"), one.with_suffix(".dwo"))
    said = refused(one)
    assert "one.dwo: it is of another compile: its number is not the one in the object" in said
    assert "compile the object again" in said


@pytest.mark.parametrize("version", ["4", "5"])
def test_a_file_that_is_cut_off(version: str, tmp_path: Path) -> None:
    path = split(ONE, tmp_path / "a.o", f"-gdwarf-{version}")
    dwo = path.with_suffix(".dwo")
    whole, expected = dwo.read_bytes(), encoded(path)
    for length in [0, 1, *range(3, len(whole), 29)]:
        dwo.write_bytes(whole[:length])
        with pytest.raises(Error) as failed:
            encoded(path)
        assert "internal error" not in str(failed.value)
        assert "a.dwo" in str(failed.value)
    # Damage within: the same BTF, another or a message, but no more.
    for place in range(0, len(whole), 5):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        dwo.write_bytes(damaged)
        with contextlib.suppress(Error):
            encoded(path)
        done = kbuild_btf("encode", path, "-o", tmp_path / "out") if not place % 100 else None
        assert not done or "internal error" not in done.stderr
    dwo.write_bytes(whole)
    assert encoded(path) == expected


def test_what_is_no_such_file(tmp_path: Path) -> None:
    """Nothing but a regular file is opened, whatever an object names."""
    path = split(ONE, tmp_path / "a.o")
    dwo = path.with_suffix(".dwo")
    dwo.unlink()
    dwo.symlink_to("/dev/zero")
    assert "a.dwo: not a regular file" in refused(path)
    dwo.unlink()
    os.mkfifo(dwo)
    assert "a.dwo: not a regular file" in refused(path)
    dwo.unlink()
    dwo.mkdir()
    assert "a.dwo: not a regular file" in refused(path)
    dwo.rmdir()
    dwo.write_text("root:x:0:0\n")
    said = refused(path)
    assert "a.dwo: not an ELF file" in said and "root:x" not in said
    shutil.copy(path, dwo)
    assert "a.dwo: it has no .debug_info.dwo" in refused(path)
    with dwo.open("wb") as file:
        file.truncate(1 << 40)
    assert "a.dwo: not an ELF file" in refused(path)


def test_a_file_for_another_machine(tmp_path: Path) -> None:
    require("aarch64-linux-gnu-gcc")
    path = split(ONE, tmp_path / "a.o")
    done = run("aarch64-linux-gnu-gcc", "-g", "-gsplit-dwarf", "-c", ONE, "-o", tmp_path / "a.o2")
    assert done.returncode == 0, done.stderr
    (found,) = (
        tmp_path.glob("a*.dwo") if not (tmp_path / "a.o2.dwo").exists() else [tmp_path / "a.o2.dwo"]
    )
    if found != path.with_suffix(".dwo"):
        shutil.copy(found, path.with_suffix(".dwo"))
    assert "it is for another machine than the object" in refused(path)


def test_many_skeletons_of_one_file(tmp_path: Path) -> None:
    """Each is read by itself, so that a file could make a great deal of little."""
    path = split(ONE, tmp_path / "a.o")
    whole = tmp_path / "whole.o"
    for count, fine in ((16, True), (17, False)):
        twins = [tmp_path / f"a{i}.o" for i in range(count)]
        for twin in twins:
            done = run("objcopy", "--weaken", "--localize-hidden", path, twin)
            assert done.returncode == 0
        assert run("ld", "-r", "-o", whole, *twins).returncode == 0
        if fine:
            encoded(whole)
        else:
            assert "damaged: more than 16 skeletons" in refused(whole)


@pytest.mark.parametrize("version", ["4", "5"])
def test_units_of_single_types(version: str, tmp_path: Path) -> None:
    path = split(ONE, tmp_path / "a.o", f"-gdwarf-{version}", "-fdebug-types-section")
    assert "build without -fdebug-types-section" in refused(path)


# --- a whole build --------------------------------------------------------------------------------


def test_a_build(tmp_path: Path) -> None:
    tree = mini_kernel(tmp_path)
    tree.make("-j4")
    kept = products(tree)
    assert not list(tree.directory.rglob("*.dwo"))
    tree.make("-j4", KBUILD_BTF_DEBUG="split")
    assert products(tree) == kept
    ours = {n.removesuffix(".o") for n in [*BUILTIN, *LIBRARY, *MODULE] if n != "kernel/entry.o"}
    found = {
        str(p.relative_to(tree.directory).with_suffix("")) for p in tree.directory.rglob("*.dwo")
    }
    assert found == ours
    assert not {name.removesuffix(".o") for name in NOT_KERNEL} & found
    # Without what the hook has stored: from the object, and from what was linked.
    for sidecar in tree.directory.rglob(".tmp_*.o.kbtf"):
        sidecar.unlink()
    vmlinux = tree.directory / PRODUCTS[0]
    of_objects = _native.link(vmlinux, features="default").btf
    assert _native.encode(vmlinux, features="default").btf == of_objects
    # Nothing is to be done now, and everything after the mode has changed.
    before = tree.times(*BUILTIN)
    tree.make("-j4", KBUILD_BTF_DEBUG="split")
    assert tree.times(*BUILTIN) == before
    tree.make("-j4")
    after = tree.times(*BUILTIN)
    assert all(after[name] > before[name] for name in BUILTIN if name != "kernel/entry.o")
    assert products(tree) == kept


@pytest.mark.parametrize("option", kbuild.debug_readers("split"))
def test_who_needs_it_in_the_object(option: str, tmp_path: Path) -> None:
    tree = mini_kernel(tmp_path)
    with (tree.directory / "include/config/auto.conf").open("a") as file:
        file.write(f"{option}=y\n")
    done = tree.make("-j4", status=2, KBUILD_BTF_DEBUG="split")
    assert f"KBUILD_BTF_DEBUG=split: {option} needs the debug information" in done.stderr


def test_readers_of_split_are_some_of_all() -> None:
    assert set(kbuild.debug_readers("split")) < set(kbuild.debug_readers())
    assert len(kbuild.debug_readers("split")) == 2


def test_the_mode_is_said(tmp_path: Path) -> None:
    tree = mini_kernel(tmp_path)
    auto = tree.directory / "include/config/auto.conf"
    shutil.copy(auto, tree.directory / ".config")
    done = run(
        SCRIPTS / "kbuild-btf",
        *("make", "-C", tree.directory, "-j4"),
        env={"KBUILD_BTF_DEBUG": "split", "KBUILD_BTF_CACHE": str(tmp_path / "cache")},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("debug information is in a .dwo file beside each object") == 1
