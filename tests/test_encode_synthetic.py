# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Each case of cases.py through the encoder: the BTF is what the case says, and no more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import btftext
import pytest
from cases import CASES, REFUSED, Case, base, build, enumeration, member, struct
from dwarfwriter import ATE, DIE
from elfwriter import X86_64, Target

from kbuild_btf import Btf, _native
from kbuild_btf.btf import Enum

RUNS = [
    pytest.param(case, version, target, id=f"{case.name}-dwarf{version}-{target.name}")
    for case in CASES
    for version in case.versions
    for target in case.targets
]


@pytest.mark.parametrize(("case", "version", "target"), RUNS)
def test_case(case: Case, version: int, target: Target, tmp_path: Path) -> None:
    path = tmp_path / "a.o"
    path.write_bytes(build(case, version, target))
    output = _native.encode(str(path), features=case.features)
    assert btftext.lines(Btf.from_bytes(output.btf)) == sorted(case.expect)


@pytest.mark.parametrize(
    ("make", "why"), [pytest.param(make, why, id=name) for name, make, why in REFUSED]
)
def test_refused(make: Callable[[], list[DIE]], why: str, tmp_path: Path) -> None:
    """Never silently less: what cannot be encoded fails, with its reason and its place."""
    path = tmp_path / "a.o"
    path.write_bytes(build(Case("refused", make, []), 0, X86_64))
    with pytest.raises(_native.Error) as raised:
        _native.encode(str(path))
    assert why in str(raised.value)
    assert str(path) in raised.value.where


def test_a_packed_double_is_c(tmp_path: Path) -> None:
    """BPF_BTF_LOAD refuses one that is not aligned; the kernel takes it in its own BTF."""
    case = Case("packed", lambda: [struct("s", 9, member("d", base("d", 8, ATE.float), 1))], [])
    path = tmp_path / "a.o"
    path.write_bytes(build(case, 0, X86_64))
    made = _native.encode(str(path)).btf
    _native.check(made, kernel=True)
    with pytest.raises(_native.Error, match="aligned"):
        _native.check(made)


@pytest.mark.parametrize(("said", "taken"), [(None, False), (0xFFFF, False), (0xFFFFFF, True)])
def test_more_enumerators_than_16_bits_count(said: int | None, taken: bool, tmp_path: Path) -> None:
    """Kernels that read 24 bits have them in an enumeration of their own headers."""
    large = enumeration("large", 4, *((f"e{i}", i) for i in range(70_000)))
    dies = [large] if said is None else [enumeration("btf_max", 4, ("BTF_MAX_VLEN", said)), large]
    path = tmp_path / "a.o"
    path.write_bytes(build(Case("large", lambda: dies, []), 0, X86_64))
    if taken:
        found = Btf.from_bytes(_native.encode(str(path)).btf).type("enum large")
        assert isinstance(found, Enum)
        assert (len(found.values), found.values[-1].value) == (70_000, 69_999)
    else:
        with pytest.raises(_native.Error) as raised:
            _native.encode(str(path))
        assert "ENUM large" in raised.value.where
        assert "70000 enumerators, the kernel that this is for takes 65535" in str(raised.value)
