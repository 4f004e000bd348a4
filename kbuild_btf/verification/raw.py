# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The bytes of BTF as they stand in a file."""

from __future__ import annotations

from pathlib import Path

from ..btf.elf import is_elf
from ..btf.elf import section as elf_section


def read(path: str, section: str, raw_too: bool = True) -> bytes | None:
    """The bytes of a section of an ELF file; of any other file all, if ``raw_too``."""
    content = Path(path).read_bytes()
    if is_elf(memoryview(content)):
        found = elf_section(memoryview(content), section, path)
        return None if found is None else bytes(found)
    return content if raw_too else None
