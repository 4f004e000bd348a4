# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The objects that a linker took, as each linker tells them (`--trace`).

An object of the same name lies at the top and in the library's directory, so that no name is right
by luck.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support import require

from kbuild_btf import Error, _native

LINKERS = ["ld", "ld.gold", "ld.lld-14", "ld.lld-16", "ld.lld-19", "mold"]
TRACE = ".tmp_kbuild-btf.vmlinux.trace"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """main.o, and libraries: thin, thin of a thin one, and full."""
    require("gcc", "ar")
    sources = {
        "src/main.c": "int l(void), s(void); int main(void) { return l() + s(); }",
        "lib/l.c": "int l(void) { return 1; }",
        "lib/sub/s.c": "int s(void) { return 2; }",
        "lib/unused.c": "int unused(void) { return 3; }",
        "l.c": "int not_linked(void) { return 4; }",
    }
    for name, text in sources.items():
        source = tmp_path / name
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(text + "\n")
        run(tmp_path, f"gcc -g -c {name} -o {source.with_suffix('.o')}")
    run(tmp_path / "lib", "ar rcsT lib.a l.o sub/s.o unused.o")
    run(tmp_path, "ar rcsT outer.a lib/lib.a")
    run(tmp_path, "ar rcs lib/full.a lib/l.o")
    (tmp_path / "arguments").write_text("src/main.o lib/lib.a\n")
    return tmp_path


def run(directory: Path, command: str) -> str:
    done = subprocess.run(
        command, shell=True, cwd=directory, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


@pytest.mark.parametrize("linker", LINKERS)
@pytest.mark.parametrize(
    "arguments",
    [
        "src/main.o lib/lib.a",
        "src/main.o --whole-archive lib/lib.a",
        "src/main.o outer.a",
        "{here}/src/main.o {here}/lib/lib.a",
        "@arguments",
        "src/main.o lib/full.a lib/sub/s.o",
    ],
)
def test_members(directory: Path, linker: str, arguments: str) -> None:
    require(linker)
    words = arguments.format(here=directory)
    said = run(directory, f"{linker} -e main --trace --trace -o vmlinux {words}")
    (directory / TRACE).write_text(said)
    found = {
        os.path.relpath(path, directory) for path in _native.linked_objects(directory / "vmlinux")
    }
    expected = {"src/main.o", "lib/l.o", "lib/sub/s.o"}
    # mold, which links no kernel, names what it reads, whether it takes it or not.
    is_named = "whole" in arguments or (linker == "mold" and "full" not in arguments)
    assert found == expected | ({"lib/unused.o"} if is_named else set())


def refuses(directory: Path, trace: str) -> str:
    (directory / "vmlinux").write_bytes(b"")
    (directory / TRACE).write_text(trace)
    with pytest.raises(Error) as raised:
        _native.linked_objects(directory / "vmlinux")
    return str(raised.value)


def test_what_is_gone_is_named(directory: Path) -> None:
    (directory / "lib/l.o").unlink()
    assert "object" in refuses(directory, "lib/lib.a(l.o)\n")
    assert "lib.a: object none.o of the archive is gone" in refuses(
        directory, "lib/lib.a(none.o)\n"
    )
    assert "object l.o of the archive is gone" in refuses(directory, "lib/full.a(l.o)\n")
    assert "none.a" in refuses(directory, "none.a(l.o)\n")


def test_two_files_that_a_name_may_mean(directory: Path) -> None:
    (directory / "lib/lib").mkdir()
    shutil.copy(directory / "l.o", directory / "lib/lib/l.o")
    run(directory / "lib", "ar rcsTP lib.a lib/l.o")
    assert "may be" in refuses(directory, "lib/lib.a(lib/l.o)\n")
