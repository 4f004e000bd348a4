# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The blocks of C in tests/cases/: every compiler makes something that means the lines below."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import btftext
import pytest
from cases import DOCUMENTS
from documents import Fence, fences
from toolchains import ALL, Toolchain

from kbuild_btf import Btf, encode


class Case(NamedTuple):
    """A block of C and one of the blocks `btf` behind it."""

    source: Fence
    expect: list[str]
    features: str | None
    bits: str


def cases() -> Iterator[Case]:
    for path in sorted(DOCUMENTS.glob("*.md")):
        source = None
        for fence in fences(path):
            if fence.language != "btf":
                source = fence if fence.language == "c" else None
            elif source:
                options = dict(word.split("=", 1) for word in fence.words)
                expect = fence.text.splitlines()
                yield Case(source, expect, options.pop("features", None), options.pop("bits", ""))
                assert not options, f"{path}: {fence.heading}: {options}"


def bits(chain: Toolchain) -> str:
    return "32" if chain.name == "arm" else "64"


RUNS = [
    pytest.param(case, chain, id=f"{case.source.heading.replace(' ', '_')}-{chain.name}")
    for case in cases()
    for chain in ALL
    if case.bits in ("", bits(chain))
]


@pytest.mark.parametrize(("case", "chain"), RUNS)
def test_case(case: Case, chain: Toolchain, tmp_path: Path) -> None:
    source = tmp_path / "a.c"
    source.write_text(case.source.text)
    elf = chain.compile(source, tmp_path / "a.o", *case.source.words)
    made = btftext.lines(Btf.from_bytes(encode(elf, features=case.features).btf))
    # What a compiler calls its base types, and the types of what it adds, are its own.
    said = [line for line in made if not line.startswith(("INT ", "FLOAT ", "(unused) "))]
    assert said == sorted(case.expect)


def test_every_block_is_run() -> None:
    """None stands where nothing reads it."""
    for path in sorted(DOCUMENTS.glob("*.md")):
        languages = [fence.language for fence in fences(path)]
        assert set(languages) <= {"c", "dwarf", "btf"}, path
        for before, after in zip(languages, [*languages[1:], ""], strict=False):
            assert before == "btf" or after == "btf", f"{path}: a block {before} without lines"
