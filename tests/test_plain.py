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
from kbuild_btf.btf import (
    Composite,
    Datasec,
    Enumeration,
    Func,
    FuncProto,
    Fwd,
    Int,
    SecInfo,
    Typedef,
    Var,
)

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


def plain_objects(built: MiniTree, directory: Path) -> tuple[list[Path], list[Path]]:
    """The objects of the mini-kernel's image, and copies with nothing but BTF."""
    objects, copies = objects_of(built, directory)
    for path, copy in zip(objects, copies, strict=True):
        copy.parent.mkdir()
        shutil.copy(path, copy)
        plain(copy)
    return objects, copies


def test_the_mini_kernel_of_objects_with_nothing_but_btf(built: MiniTree, tmp_path: Path) -> None:
    """Byte for byte what their debug information gives."""
    image = built.directory / ".tmp_vmlinux1"
    objects, copies = plain_objects(built, tmp_path)
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
        # What it says in words that the kernel does not take.
        "struct known *declared; extern int elsewhere(int, char);\n"
        "struct nothing {} nothing;\n"
        "signed char low(char c, unsigned char u) { return elsewhere(c, u) + c; }\n"
    )
    with_dwarf, with_btf = tmp_path / "dwarf.o", tmp_path / "btf.o"
    for flag, path in (("-g", with_dwarf), ("-gbtf", with_btf)):
        done = run("gcc", flag, "-O1", "-c", "-o", path, source)
        assert done.returncode == 0, done.stderr
    assert _native.read_section(with_btf, ".debug_info") is None
    theirs = Btf.from_bytes(_native.link(with_dwarf, objects=[with_dwarf]).btf)
    ours = Btf.from_bytes(_native.link(with_btf, objects=[with_btf]).btf)
    for kind in (Composite, Enumeration, Fwd, Int, Typedef):
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


# --- BTFs behind each other, as linkers leave them -----------------------------------------------


def joined(built: MiniTree, linker: str, objects: list[Path], image: Path) -> Path:
    """The mini-kernel's image, linked by a script that does not name `.BTF`."""
    text = (built.directory / "vmlinux.lds").read_text()
    (line,) = [line for line in text.splitlines() if ".BTF :" in line]
    lds = image.with_suffix(".lds")
    lds.write_text(text.replace(line, "__start_BTF = .; __stop_BTF = .;"))
    done = run(linker, f"--script={lds}", "-o", image, *objects)
    assert done.returncode == 0, done.stderr
    return image


@pytest.mark.parametrize("linker", ["ld", "ld.lld-16", "ld.lld-19"])
def test_the_mini_kernel_linked_from_them(linker: str, built: MiniTree, tmp_path: Path) -> None:
    """From the file alone, byte for byte what its objects give; two of them are called stats.o and
    have variables of the same names."""
    require(linker)
    objects, copies = plain_objects(built, tmp_path)
    image = joined(built, linker, copies, tmp_path / "image")
    made = _native.link(image)
    assert made.btf == _native.link(image, objects=objects).btf
    names = [found.name for found in Btf.from_bytes(made.btf).find(Var)]
    assert names.count("counter") == names.count("last_event") == 2
    assert "as are 8 more units" in made.notes[0]


def test_it_replaces_them(built: MiniTree, tmp_path: Path) -> None:
    _, copies = plain_objects(built, tmp_path)
    image = joined(built, "ld", copies, tmp_path / "image")
    expected = _native.link(image, objects=copies).btf
    assert "kbuild-btf link makes one of them" in kbuild_btf("diff", image, image).stderr
    assert kbuild_btf("link", "--in-place", image).returncode == 0
    assert _native.read_section(image, ".BTF") == expected
    # Now it is one BTF, which tells nothing of the objects.
    done = kbuild_btf("link", "--in-place", image)
    assert done.returncode == 1
    assert "cannot tell which objects this file was linked from" in done.stderr


def test_linked_relocatably(tmp_path: Path) -> None:
    """But for a weak function that another one overrides: BTF does not tell which is which."""
    parts = [name for name in PARTS if name != "strong"]
    objects = [GCC.compile(COMPILERS / f"{n}.c", tmp_path / f"{n}.o", "-O2") for n in parts]
    for path in objects:
        plain(path)
    image = tmp_path / "image.o"
    assert run("ld", "-r", "-o", image, *objects).returncode == 0
    assert _native.link(image).btf == _native.link(image, objects=objects).btf


def same_names(directory: Path, *sources: str) -> Path:
    """A file linked from objects that are all called x.o, each with nothing but its BTF."""
    objects = []
    for i, text in enumerate(sources):
        source = directory / str(i) / "x.c"
        source.parent.mkdir()
        source.write_text(text)
        objects.append(plain(compiled(source, source.with_suffix(".o"), "-O1")))
    image = directory / "image.o"
    assert run("ld", "-r", "-o", image, *objects).returncode == 0
    return image


STATIC = '__attribute__((used, section(".data..percpu"))) static {} state = {{1}};\n'


@pytest.mark.parametrize(
    ("first", "second", "more"),
    [
        # The second object is known by its function, the first by the exclusion of others.
        ("unsigned long", "int *", "static int __attribute__((noinline)) f(int a) { return a; }"
         "int g(int a) { return f(a) + f(a + 1); }"),
        # By their sizes.
        ("struct { int a[4]; }", "char", ""),
    ],
)  # fmt: skip
def test_whose_a_static_variable_is(first: str, second: str, more: str, tmp_path: Path) -> None:
    image = same_names(tmp_path, STATIC.format(first), STATIC.format(second) + more)
    objects = [tmp_path / "0/x.o", tmp_path / "1/x.o"]
    made = _native.link(image).btf
    assert [entry.offset for entry in section_of(Btf.from_bytes(made))] in ([0, 8], [0, 16])
    assert made == _native.link(image, objects=objects).btf


def section_of(made: Btf) -> list[SecInfo]:
    (section,) = made.find(Datasec)
    return list(section.entries)


def test_what_nothing_tells_is_refused(tmp_path: Path) -> None:
    image = same_names(tmp_path, STATIC.format("struct { int a; }"), STATIC.format("unsigned int"))
    done = kbuild_btf("link", image, "-o", tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr == (
        f"kbuild-btf: {image}: .BTF: its symbols do not tell in which of its BTFs the variable "
        "state is which; name the objects that it was linked from\n"
    )
    assert not (tmp_path / "out").exists()


def test_one_of_them_is_damaged(tmp_path: Path) -> None:
    image = same_names(tmp_path, "int f(int a) { return a; }", "int g(long a) { return a; }")
    content = _native.read_section(image, ".BTF") or b""
    second = content.index(content[:4], 4)
    blob = tmp_path / "blob"
    # The types are said to end in the middle of one.
    cut = bytearray(content)
    cut[second + 12] -= 8
    blob.write_bytes(cut)
    assert run("objcopy", "--update-section", f".BTF={blob}", image).returncode == 0
    done = kbuild_btf("link", image, "-o", tmp_path / "out")
    assert done.returncode == 1
    assert f"{image}: .BTF: " in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_btf_that_ends_before_it_begins(tmp_path: Path) -> None:
    """Read as its own next one it would never end."""
    image = same_names(tmp_path, "int f(int a) { return a; }", "int g(long a) { return a; }")
    content = bytearray(_native.read_section(image, ".BTF") or b"")
    second = content.index(content[:4], 4)
    content[second + 4 : second + 24] = bytes(20)
    blob = tmp_path / "blob"
    blob.write_bytes(content)
    assert run("objcopy", "--update-section", f".BTF={blob}", image).returncode == 0
    done = kbuild_btf("link", image, "-o", tmp_path / "out")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert f"{image}: .BTF: damaged BTF" in done.stderr
