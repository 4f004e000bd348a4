# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Sections of ELF files by name."""

from __future__ import annotations

from collections.abc import Iterable

from . import _native
from .paths import StrPath

__all__ = ["embed", "read_section"]


def read_section(elf: StrPath, name: str) -> bytes | None:
    """The bytes of a section, decompressed; None when there is none of that name. Raises Error."""
    return _native.read_section(elf, name)


def embed(elf: StrPath, sections: Iterable[tuple[str, bytes]]) -> None:
    """Add sections (name, bytes) to an ELF file, or replace those that are there.

    The file changes at once or not at all. Raises Error when it cannot be read or written.
    """
    _native.embed(elf, list(sections))
