# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Compiled C: our BTF against that of the pahole that is installed."""

from __future__ import annotations

from pathlib import Path

import btftext
import pytest
from support import SOURCES, compiled, pahole, run

from kbuild_btf import Btf, _native

FLAGS = [
    pytest.param(("-gdwarf-4", "-O0"), id="dwarf4-O0"),
    pytest.param(("-gdwarf-4", "-O2"), id="dwarf4-O2"),
    pytest.param(("-gdwarf-5", "-O0"), id="dwarf5-O0"),
    pytest.param(("-gdwarf-5", "-O2"), id="dwarf5-O2"),
    pytest.param(("-gdwarf-5", "-O2", "-gz"), id="dwarf5-compressed"),
    pytest.param(("-gdwarf-5", "-O2", "-ffunction-sections", "-fdata-sections"), id="sections"),
]


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("name", sorted(path.stem for path in SOURCES.glob("*.c")))
def test_same_as_pahole(name: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    elf = compiled(SOURCES / f"{name}.c", tmp_path / "a.o", *flags)
    expected = Btf.load(pahole(elf, tmp_path / "pahole.btf"))
    ours = Btf.from_bytes(_native.encode(str(elf)).btf)
    assert btftext.lines(ours) == btftext.lines(expected)


@pytest.mark.parametrize("how", ["executable", "relocatable"])
@pytest.mark.parametrize("flags", FLAGS[:4])
def test_two_files_linked(flags: tuple[str, ...], how: str, tmp_path: Path) -> None:
    """Forward declarations, equal types and two types of one name, over several units."""
    objects = [
        compiled(SOURCES / "linked" / f"{name}.c", tmp_path / f"{name}.o", *flags)
        for name in ("one", "two")
    ]
    linked = tmp_path / "linked"
    mode = ["-r"] if how == "relocatable" else ["-e", "first"]
    done = run("ld", *mode, "-o", linked, *objects)
    assert done.returncode == 0, done.stderr
    expected = Btf.load(pahole(linked, tmp_path / "pahole.btf"))
    ours = Btf.from_bytes(_native.encode(str(linked)).btf)
    assert btftext.lines(ours) == btftext.lines(expected)
    assert len([line for line in btftext.lines(ours) if line.startswith("STRUCT ambiguous")]) == 2
