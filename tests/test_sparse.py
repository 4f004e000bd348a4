# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Debug information with less in it than BTF tells (`-g1`, CONFIG_DEBUG_INFO_REDUCED).

Whoever has such an object in a kernel has had a build that passes; so it is told, and no failure.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from support import SCRIPTS, compiled, require, run
from toolchains import CLANGS, GCC, Toolchain

from kbuild_btf import Btf, _native
from kbuild_btf.btf import Func, Fwd

FRONT = SCRIPTS / "kbuild-btf-pahole"

HEADER = "struct of_header { int a; };\n"
SOURCE = """
#include "header.h"
int takes(struct of_header *s, int n) { return s->a + n; }
void nothing(void) { }
"""
BARE = "void bare(void) { }\n"

LINES = (
    "compiled with -g1 (or -gline-tables-only){}: in the BTF functions of it have no parameters and"
    " return nothing; compile it with -g"
)
STRUCTS = (
    "compiled with -femit-struct-debug-baseonly{}: in the BTF most structs of it have no members;"
    " build without CONFIG_DEBUG_INFO_REDUCED"
)


def made(toolchain: Toolchain, directory: Path, name: str, text: str, *flags: str) -> Path:
    """An object of this source, with a header beside it."""
    (directory / "header.h").write_text(HEADER)
    source = directory / f"{name}.c"
    source.write_text(text)
    return toolchain.compile(source, source.with_suffix(".o"), "-O1", *flags)


def told(*objects: Path) -> list[str]:
    """The same of the objects, and of the file that they are linked to, apart from the place."""
    image = GCC.link(objects, objects[0].with_name("image"))
    by_objects = _native.link(image, objects=[str(found) for found in objects])
    whole = _native.encode(image)
    assert whole.btf == by_objects.btf
    said = []
    for note, other in zip(by_objects.notes, whole.notes, strict=True):
        where, _, what = note.partition(": ")
        found = Path(where)
        assert found in objects
        assert other == f"{image}: {found.with_suffix('.c')}: {what}"
        said.append(f"{found.name}: {what}")
    return said


@pytest.mark.parametrize("clang", CLANGS, ids=lambda t: t.name)
@pytest.mark.parametrize("text", [SOURCE, BARE], ids=["functions", "bare"])
@pytest.mark.parametrize("flag", ["-g1", "-gline-tables-only"])
def test_clang_line_tables(clang: Toolchain, flag: str, text: str, tmp_path: Path) -> None:
    lines = made(clang, tmp_path, "lines", text, flag)
    whole = made(clang, tmp_path, "whole", "struct s { int a; } s;\nvoid other(void) { }\n")
    assert told(lines, whole) == [f"lines.o: {LINES.format('')}"]


@pytest.mark.parametrize("flags", [["-g1"], ["-g", "-ggdb1"], ["-g1", "-gdwarf-4"]], ids=" ".join)
def test_gcc_level_1(flags: list[str], tmp_path: Path) -> None:
    lines = made(GCC, tmp_path, "lines", SOURCE, *flags)
    more = made(GCC, tmp_path, "more", BARE, *flags)
    whole = made(GCC, tmp_path, "whole", "struct s { int a; } s;\nvoid other(void) { }\n")
    assert told(lines, whole) == [f"lines.o: {LINES.format('')}"]
    assert told(more, lines, whole) == [f"lines.o: {LINES.format(', as is one more unit')}"]


def test_gcc_few_structs(tmp_path: Path) -> None:
    """As kernels with CONFIG_DEBUG_INFO_REDUCED are compiled."""
    flags = ["-fno-var-tracking", "-femit-struct-debug-baseonly"]
    few = made(GCC, tmp_path, "few", SOURCE, *flags)
    assert told(few) == [f"few.o: {STRUCTS.format('')}"]
    btf = Btf.from_bytes(_native.encode(few).btf)
    assert [found.name for found in btf if isinstance(found, Fwd)] == ["of_header"]


@pytest.mark.parametrize("toolchain", [GCC, *CLANGS], ids=lambda t: t.name)
@pytest.mark.parametrize("text", [SOURCE, BARE, "void old() { }\n"], ids=["all", "bare", "old"])
def test_nothing_is_said_of_what_is_whole(toolchain: Toolchain, text: str, tmp_path: Path) -> None:
    """Of clang nor with CONFIG_DEBUG_INFO_REDUCED, of which it takes one option, without effect."""
    for flags in (["-g1", "-g"], ["-fno-var-tracking"]):
        assert told(made(toolchain, tmp_path, "whole", text, *flags)) == []


@pytest.mark.parametrize("toolchain", [GCC, *CLANGS], ids=lambda t: t.name)
@pytest.mark.parametrize("text", [SOURCE, BARE], ids=["functions", "bare"])
def test_a_module_is_made(toolchain: Toolchain, text: str, tmp_path: Path) -> None:
    """As users have it today; each time the line."""
    require("ld")
    base = tmp_path / "vmlinux"
    (tmp_path / "b.c").write_text("struct b { int b; } b;\n")
    base.write_bytes(compiled(tmp_path / "b.c", tmp_path / "b.o").read_bytes())
    _native.embed(base, [(".BTF", _native.encode(base).btf)])
    lines = made(toolchain, tmp_path, "lines", text, "-g1")
    module = tmp_path / "m.ko"
    (tmp_path / "m.mod").write_text(f"{lines}\n")
    for _ in range(2):
        assert run("ld", "-r", "-o", module, lines).returncode == 0
        done = run(FRONT, "-J", "--btf_base", base, module)
        assert done.returncode == 0
        assert done.stderr == f"kbuild-btf: warning: {lines}: {LINES.format('')}\n"
    assert all(f.name for f in Btf.load(module, Btf.load(base)) if isinstance(f, Func))
