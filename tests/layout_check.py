# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""C that lets the compiler say whether a header lays its types out as the BTF does."""

from __future__ import annotations

from collections.abc import Iterator

from kbuild_btf.btf import Btf, Composite, Enumeration
from kbuild_btf.btf.header import Header
from kbuild_btf.btf.spelling import keyword


def assertions(btf: Btf) -> Iterator[str]:
    """One _Static_assert per size of a named type, and per offset of a member in bytes."""
    names = Header(btf).names
    for found in btf:
        if not isinstance(found, (Composite, Enumeration)) or not found.name:
            continue
        words = f"{keyword(found)} {names[found.id]}"
        if isinstance(found, Composite):
            yield _assert(f"sizeof({words}) == {found.size}")
            for path, bits in _members(btf, found, 0):
                yield _assert(f"__builtin_offsetof({words}, {path}) == {bits // 8}")
        elif found.values:
            yield _assert(f"sizeof({words}) == {found.size}")


def _assert(condition: str) -> str:
    return f'_Static_assert({condition}, "");'


def _members(btf: Btf, found: Composite, start: int) -> Iterator[tuple[str, int]]:
    """(name, bit offset) of every member that offsetof() accepts, unnamed structs opened."""
    for member in found.members:
        if member.bit_size:
            continue
        if member.name:
            yield member.name, start + member.bit_offset
        else:
            inner = btf.strip(member.type_id)
            if isinstance(inner, Composite):
                yield from _members(btf, inner, start + member.bit_offset)
