# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What is packed for a bug report shows the same, and holds no more than docs/security.md says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from minitree import MODULE, MiniTree, sidecar
from support import SCRIPTS, compiled, kbuild_btf, require, run

SECRET = "a text that only code and data have"


@pytest.fixture
def object_file(tmp_path: Path) -> Path:
    """With a string in its data, and a macro, a comment and a statement in its source."""
    source = tmp_path / "tree/a.c"
    source.parent.mkdir()
    source.write_text(f"""
    #define TWICE(x) ((x) + (x)) /* a comment */
    struct here {{ int member; }};
    const char text[] = "{SECRET}";
    int f(struct here *h) {{ return TWICE(h->member); }}
    """)
    return compiled(source, source.with_suffix(".o"))


def everything(directory: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())


def damage(path: Path) -> None:
    """Debug information that is cut off."""
    shorter = path.with_suffix(".info")
    require("objcopy")
    assert run("objcopy", "--dump-section", f".debug_info={shorter}", path).returncode == 0
    shorter.write_bytes(shorter.read_bytes()[:90])
    assert run("objcopy", "--update-section", f".debug_info={shorter}", path).returncode == 0


def test_an_object_that_fails(object_file: Path, tmp_path: Path) -> None:
    damage(object_file)
    (object_file.with_name(".a.o.cmd")).write_text("savedcmd_a.o := gcc -g -c a.c\n")
    failed = kbuild_btf("encode", "a.o", cwd=object_file.parent)
    assert failed.returncode == 1
    done = kbuild_btf("bugreport", tmp_path / "pack", "encode", object_file)
    assert (done.returncode, done.stderr) == (0, "")
    assert failed.stderr.strip() in done.stdout
    said = (tmp_path / "pack/report.txt").read_text()
    assert failed.stderr.strip() in said
    assert "kbuild-btf encode -- a.o\n" in said
    for name in ("Python", "encoder", "gcc"):
        assert f" {name}: " in said
    packed = tmp_path / "pack/files"
    assert sorted(path.name for path in packed.iterdir()) == [".a.o.cmd", "a.o"]
    again = kbuild_btf("encode", "a.o", cwd=packed)
    assert (again.returncode, again.stderr) == (1, failed.stderr)


def test_neither_code_nor_data_nor_source(object_file: Path, tmp_path: Path) -> None:
    whole = object_file.read_bytes()
    assert SECRET.encode() in whole
    done = kbuild_btf("bugreport", tmp_path / "pack", "encode", "-o", "unused", object_file)
    assert (done.returncode, done.stderr) == (0, "")
    assert not Path("unused").exists()
    found = everything(tmp_path / "pack")
    for text in (SECRET, "TWICE", "a comment", "return"):
        assert text.encode() not in found
    for text in ("member", "here", "a.c", str(object_file.parent)):
        assert text.encode() in found, "names of types, members, files and directories"
    packed = tmp_path / "pack/files/a.o"
    assert packed.stat().st_size == len(whole)
    outputs = []
    for path in (object_file, packed):
        assert kbuild_btf("encode", "-o", tmp_path / "btf", path).returncode == 0
        outputs.append((tmp_path / "btf").read_bytes())
    assert outputs[0] == outputs[1]


def test_macros_are_told(object_file: Path, tmp_path: Path) -> None:
    compiled(object_file.with_suffix(".c"), object_file, "-g3")
    done = kbuild_btf("bugreport", tmp_path / "pack", "encode", object_file)
    assert done.returncode == 0, done.stderr
    assert "note: a.o: compiled with -g3: texts of macros are among its strings" in done.stdout


@pytest.mark.parametrize("drop", [False, True])
def test_a_link(tree: MiniTree, tmp_path: Path, drop: bool) -> None:
    """Of a module, with its base; the objects are those that its tree names."""
    if drop:
        for name in MODULE:
            assert run(SCRIPTS / "kbuild-btf-hook", "--drop", tree.directory / name).stderr == ""
    module = tree.directory / "drivers/mini.ko"
    base = tree.directory / "vmlinux"
    command = ("link", f"--base={base}", "--features=+decl_tag_kfuncs", module)
    done = kbuild_btf("bugreport", tmp_path / "pack", *command)
    assert (done.returncode, done.stderr) == (0, "")
    packed = tmp_path / "pack/files"
    for name in (*MODULE, *map(sidecar, MODULE), "drivers/mini.mod", "drivers/.mini.ko.cmd"):
        assert (packed / name).exists(), name
    outputs = []
    for place in (tree.directory, packed):
        objects = [*MODULE, "drivers/mini.mod.o"]
        argv = (*command[:1], "--base=vmlinux", command[2], "-o", tmp_path / "btf")
        made = kbuild_btf(*argv, "drivers/mini.ko", *objects, cwd=place)
        assert made.returncode == 0, made.stderr
        outputs.append((tmp_path / "btf").read_bytes())
    assert outputs[0] == outputs[1]


def test_a_link_whose_objects_nobody_knows(object_file: Path, tmp_path: Path) -> None:
    image = shutil.copy(object_file, tmp_path / "image")
    done = kbuild_btf("bugreport", tmp_path / "pack", "link", image)
    assert (done.returncode, done.stderr) == (0, "")
    assert "cannot tell which objects" in done.stdout


def test_what_is_no_elf_file_is_packed_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.o"
    path.write_bytes(b"\x7fELF and then something else")
    done = kbuild_btf("bugreport", tmp_path / "pack", "encode", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "note: a.o: its sections cannot be told apart, so it is packed as it is" in done.stdout
    assert (tmp_path / "pack/files/a.o").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "no command; write kbuild-btf bugreport DIR encode ELF, or link ELF OBJECT..."),
        (["dump", "a.o"], "dump cannot be packed; write kbuild-btf bugreport DIR encode ELF"),
        (["encode", "absent.o"], "absent.o: No such file or directory"),
    ],
)
def test_commands_that_cannot_be_packed(argv: list[str], message: str, tmp_path: Path) -> None:
    done = kbuild_btf("bugreport", "pack", *argv, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"kbuild-btf: {message}")
    assert not (tmp_path / "pack").exists()


def test_a_directory_that_is_there(object_file: Path, tmp_path: Path) -> None:
    done = kbuild_btf("bugreport", tmp_path, "encode", object_file)
    assert done.returncode == 1
    assert done.stderr == f"kbuild-btf: {tmp_path}: is there already; name a new directory\n"
