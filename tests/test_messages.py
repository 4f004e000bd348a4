# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Messages say what is the matter, not what is often the matter."""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path

import pytest
from dwarfwriter import ATE, DIE, Unit, Value, write_dwarf
from support import SCRIPTS, compiled, run

from kbuild_btf import _native, kbuild
from kbuild_btf.errors import Error

FRONT = SCRIPTS / "kbuild-btf-pahole"


def test_a_member_that_is_too_far_away(tmp_path: Path) -> None:
    """A struct without bit-fields is not told to have some."""
    number = DIE("base_type", {"name": "int", "byte_size": 4, "encoding": ATE.signed})
    far: dict[str, Value] = {"name": "m", "type": number, "data_member_location": 1 << 29}
    large = DIE("structure_type", {"name": "s", "byte_size": (1 << 29) + 4}, [DIE("member", far)])
    elf = tmp_path / "a.o"
    elf.write_bytes(write_dwarf([Unit([large])]))
    with pytest.raises(Error) as failed:
        _native.encode(elf)
    assert "it lies 512 MiB or more into its struct" in str(failed.value)
    assert "bit-field" not in str(failed.value)


def test_a_name_that_the_kernel_refuses(tmp_path: Path) -> None:
    source = tmp_path / "a.c"
    source.write_text("struct gr\u00f6\u00dfe { int a; } s;\n", encoding="utf-8")
    with pytest.raises(Error) as failed:
        _native.encode(compiled(source, tmp_path / "a.o"))
    assert "the kernel refuses the name gr\u00f6\u00dfe; it takes letters of ASCII" in str(
        failed.value
    )
    assert "rename it, or leave out its language" in str(failed.value)


def test_an_empty_module_is_told_as_such(tmp_path: Path) -> None:
    module, base = tmp_path / "e.ko", tmp_path / "vmlinux"
    (tmp_path / "b.c").write_text("struct b { int b; } b;\n")
    base.write_bytes(compiled(tmp_path / "b.c", tmp_path / "b.o").read_bytes())
    _native.embed(base, [(".BTF", _native.encode(base).btf)])
    module.touch()
    done = run(FRONT, "-J", "--btf_base", base, module)
    assert (done.returncode, done.stderr) == (1, f"kbuild-btf: error: {module}: not an ELF file\n")


@pytest.mark.parametrize(
    ("program", "status", "said"),
    [
        (["kbuild-btf-pahole", "-J"], 1, "kbuild-btf: error: out of memory; "),
        (["kbuild-btf-hook"], 0, "kbuild-btf-hook: warning: out of memory; "),
    ],
)
def test_out_of_memory(program: list[str], status: int, said: str, tmp_path: Path) -> None:
    """One message and no output; no abort."""
    source = tmp_path / "a.c"
    structs = (
        f"struct s{i} {{ int member_{i}_{j}; }} v{i}_{j};" for i in range(40000) for j in (0,)
    )
    source.write_text("\n".join(structs))
    elf = compiled(source, tmp_path / "a.o")
    before = elf.read_bytes()
    size = 25 << 20
    done = subprocess.run(
        [SCRIPTS / program[0], *program[1:], elf],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (size, size)),
    )
    assert done.returncode == status, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(said) or "Cannot allocate memory" in line, line
    assert elf.read_bytes() == before


def test_a_make_that_cannot_be_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever kept it from answering, it is not its age; nor is it an empty Makefile. (From 4.4 on
    make does without a directory for temporary files.)"""
    tree = tmp_path / "a tree"
    tree.mkdir()
    with pytest.raises(Error, match="make cannot use a path with spaces"):
        kbuild.takeover(tree)
    plain = tmp_path / "tree"
    plain.mkdir()
    (plain / "Makefile").write_text("\n")
    assert "Kbuild.include has another text" in (kbuild.takeover(plain).problem or "")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "absent"))
    try:
        problem = kbuild.takeover(plain).problem or ""
    except Error as failed:
        problem = str(failed)
    assert "older than 4.2" not in problem
