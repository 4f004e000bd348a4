# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Objects that have no debug information but BTF of their own are linked, too."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from minitree import MiniTree
from support import SCRIPTS, SOURCES, compiled, kbuild_btf, pahole, require, run
from toolchains import COMPILERS, GCC

from kbuild_btf import Btf, _native, diff
from kbuild_btf.btf import Composite, Enumeration, Func, FuncProto, Typedef, Var

PARTS = ("parameters", "clones", "variables", "types", "other", "strong")
NOT_KNOWN = "only BTF tells its types"


def plain(path: Path, features: str = "default,global_var") -> Path:
    """The object with its BTF in the place of its debug information."""
    done = kbuild_btf("encode", "--in-place", "--features", features, path)
    assert done.returncode == 0, done.stderr
    only_btf(path)
    return path


def only_btf(path: Path) -> None:
    remove = [word for n in ("", ".rel", ".rela") for word in ("-R", f"{n}.debug_*")]
    assert run("objcopy", "-w", *remove, path).returncode == 0


def objects_of(built: MiniTree, directory: Path) -> tuple[list[Path], list[Path]]:
    """The objects of the mini-kernel's image, and where to put copies of them."""
    image = built.directory / ".tmp_vmlinux1"
    objects = [Path(path) for path in _native.linked_objects(str(image))]
    return objects, [directory / str(i) / path.name for i, path in enumerate(objects)]


def test_the_mini_kernel_of_objects_with_nothing_but_btf(built: MiniTree, tmp_path: Path) -> None:
    """Byte for byte what their debug information gives."""
    image = built.directory / ".tmp_vmlinux1"
    objects, copies = objects_of(built, tmp_path)
    for path, copy in zip(objects, copies, strict=True):
        copy.parent.mkdir()
        shutil.copy(path, copy)
        plain(copy)
    output = _native.link(image, objects=copies)
    assert output.btf == _native.link(image, objects=objects).btf
    (note,) = output.notes
    assert NOT_KNOWN in note
    assert "as are 8 more units" in note


def test_with_and_without_debug_information_together(built: MiniTree, tmp_path: Path) -> None:
    image = built.directory / ".tmp_vmlinux1"
    objects, copies = objects_of(built, tmp_path)
    mixed = list(objects)
    for i in range(0, len(objects), 2):
        copies[i].parent.mkdir()
        shutil.copy(objects[i], copies[i])
        mixed[i] = plain(copies[i])
    assert _native.link(image, objects=mixed).btf == _native.link(image, objects=objects).btf


@pytest.mark.parametrize("level", ["-O0", "-O2"])
def test_what_our_encoder_left_in_objects(level: str, tmp_path: Path) -> None:
    """Functions apart: of each object those are missing that it could not describe."""
    objects = [GCC.compile(COMPILERS / f"{n}.c", tmp_path / f"{n}.o", level) for n in PARTS]
    image = GCC.link(objects, tmp_path / "image")
    whole = Btf.from_bytes(_native.link(image, objects=objects).btf)
    for path in objects:
        plain(path)
    ours = Btf.from_bytes(_native.link(image, objects=objects).btf)
    for kind in (Composite, Enumeration, Typedef):
        assert sorted(map(str, ours.find(kind))) == sorted(map(str, whole.find(kind)))
    assert shown(ours, Func) <= shown(whole, Func)
    assert shown(ours, Var) == shown(whole, Var)


def shown(btf: Btf, kind: type[Func] | type[Var]) -> set[str]:
    return {f"{found.name}: {btf[found.type_id]}" for found in btf.find(kind)}


def test_what_pahole_left_in_an_object(tmp_path: Path) -> None:
    path = compiled(SOURCES / "types.c", tmp_path / "types.o", "-O2")
    image = tmp_path / "image.o"
    shutil.copy(path, image)
    whole = _native.link(image, objects=[path]).btf
    pahole(path, tmp_path / "detached")
    add = f".BTF={tmp_path / 'detached'}"
    assert run("objcopy", "--add-section", add, path).returncode == 0
    only_btf(path)
    ours = _native.link(image, objects=[path]).btf
    found = diff(Btf.from_bytes(whole), Btf.from_bytes(ours))
    differ = {one.kind.name for one in found.kinds if one.differs}
    assert differ <= {"FUNC", "FUNC_PROTO", "VAR", "DATASEC"}


def test_what_gcc_makes(tmp_path: Path) -> None:
    """gcc -gbtf; the types of its debug information, functions and variables where symbols are."""
    require("gcc")
    source = tmp_path / "a.c"
    source.write_text(
        "struct list { struct list *next; int n; };\n"
        "enum colour { RED, GREEN = 5 };\n"
        "typedef unsigned int u32;\n"
        '__attribute__((section(".data..percpu"))) struct list head = {0, 1};\n'
        "enum colour paint(struct list *l, u32 n) { return l->n > (int)n ? RED : GREEN; }\n"
        "static int helper(int a) { return a * 3; }\n"
        "int (*table[2])(int) = { helper, 0 };\n"
    )
    with_dwarf, with_btf = tmp_path / "dwarf.o", tmp_path / "btf.o"
    for flag, path in (("-g", with_dwarf), ("-gbtf", with_btf)):
        done = run("gcc", flag, "-O1", "-c", "-o", path, source)
        assert done.returncode == 0, done.stderr
    assert _native.read_section(with_btf, ".debug_info") is None
    theirs = Btf.from_bytes(_native.link(with_dwarf, objects=[with_dwarf]).btf)
    ours = Btf.from_bytes(_native.link(with_btf, objects=[with_btf]).btf)
    for kind in (Composite, Enumeration, Typedef):
        assert sorted(map(str, ours.find(kind))) == sorted(map(str, theirs.find(kind)))
    assert [f.name for f in ours.find(Func)] == [f.name for f in theirs.find(Func)]
    assert [v.name for v in ours.find(Var)] == [v.name for v in theirs.find(Var)] == ["head"]
    assert ours.find(FuncProto)


def test_the_kernels_own_btf_is_not_taken_for_an_objects(tmp_path: Path) -> None:
    """The object that carries it into vmlinux has it in a section that is loaded."""
    blob, path = tmp_path / "blob", tmp_path / "a.o"
    compiled(SOURCES / "types.c", tmp_path / "types.o")
    blob.write_bytes(_native.encode(tmp_path / "types.o").btf)
    source = tmp_path / "a.s"
    source.write_text(f'.section .BTF,"a"\n.incbin "{blob}"\n.text\n.globl f\nf: nop\n')
    assert run("gcc", "-c", "-o", path, source).returncode == 0
    done = kbuild_btf("link", path, path)
    assert done.returncode == 1
    assert "no DWARF debug information" in done.stderr


def test_a_sidecar_follows_the_btf(tmp_path: Path) -> None:
    """The key of such an object has its BTF in it."""
    path = plain(compiled(SOURCES / "types.c", tmp_path / "a.o"))
    hook = SCRIPTS / "kbuild-btf-hook"
    assert run(hook, path).stderr == ""
    stored = Path(_native.sidecar_path(str(path)))
    first = stored.read_bytes()
    plain(compiled(SOURCES / "enums.c", path))
    assert run(hook, path).stderr == ""
    assert stored.read_bytes() != first
    image = tmp_path / "image.o"
    shutil.copy(path, image)
    assert Btf.from_bytes(_native.link(image, objects=[path]).btf).find(Enumeration)


@pytest.mark.parametrize("keep", [0, 10, 30, 200])
def test_damaged_btf_is_named(tmp_path: Path, keep: int) -> None:
    path = plain(compiled(SOURCES / "types.c", tmp_path / "a.o"))
    blob = tmp_path / "blob"
    blob.write_bytes((_native.read_section(path, ".BTF") or b"")[:keep] + b"?")
    assert run("objcopy", "--update-section", f".BTF={blob}", path).returncode == 0
    image = tmp_path / "image.o"
    shutil.copy(path, image)
    done = kbuild_btf("link", image, path, "-o", tmp_path / "out")
    assert done.returncode == 1
    assert f"{path}: .BTF: " in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
