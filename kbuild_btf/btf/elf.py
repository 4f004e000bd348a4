# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The little of ELF that finding a section by name takes: both classes, both byte orders."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ..errors import Error

SHT_NOBITS = 8
SHF_COMPRESSED = 0x800


def is_elf(data: memoryview) -> bool:
    return bytes(data[:4]) == b"\x7fELF"


def address_size(data: memoryview) -> int | None:
    """4 or 8 bytes; None for what is not ELF."""
    return {1: 4, 2: 8}.get(data[4]) if is_elf(data) and len(data) > 4 else None


def section(data: memoryview, name: str, where: str) -> memoryview | None:
    """Contents of the first section called ``name``; None when there is none.

    In a file of nothing but debug information a section may be only a header, which is none, too.
    """
    try:
        for found, _, flags, contents in sections(data):
            if found == name.encode():
                if flags & SHF_COMPRESSED:
                    raise Error(f"section {name} is compressed", where, "objcopy can unpack it")
                return contents
    except (struct.error, IndexError, ValueError) as broken:
        raise Error("truncated or corrupt ELF file", where, "build or copy it again") from broken
    return None


def sections(data: memoryview) -> Iterator[tuple[bytes, int, int, memoryview | None]]:
    """(name, type, flags, contents) of each section; None for one without (SHT_NOBITS).

    Raises struct.error, IndexError or ValueError for what is cut off or damaged.
    """
    order = {1: "<", 2: ">"}.get(data[5])
    wide = {1: False, 2: True}.get(data[4])
    if order is None or wide is None:
        raise IndexError("neither class nor byte order")
    (table,) = struct.unpack_from(order + ("Q" if wide else "I"), data, 40 if wide else 32)
    step, count, strings = struct.unpack_from(order + "3H", data, 58 if wide else 46)
    if not table:
        return
    layout = struct.Struct(order + ("IIQQQQIIQQ" if wide else "10I"))
    if step != layout.size:
        raise IndexError("size of a section header")
    first = layout.unpack_from(data, table)
    # More sections than 16 bits can count: the numbers live in section 0.
    count = count or first[5]
    strings = first[6] if strings == 0xFFFF else strings

    def header(index: int) -> tuple[int, int, int, memoryview | None]:
        name, kind, flags, _, offset, size, *_ = layout.unpack_from(data, table + index * step)
        if kind == SHT_NOBITS:
            return name, kind, flags, None
        if offset + size > len(data):
            raise IndexError("section beyond the end of the file")
        return name, kind, flags, data[offset : offset + size]

    names = bytes(header(strings)[3] or b"")
    for index in range(1, count):
        name, kind, flags, contents = header(index)
        called = names[name : names.index(b"\0", name)] if name < len(names) else b""
        yield called, kind, flags, contents


def section_address(data: memoryview, index: int) -> int:
    """Where the section of that number lies in memory. Raises struct.error for what is cut off."""
    order = "<" if data[5] == 1 else ">"
    wide = data[4] == 2
    (table,) = struct.unpack_from(order + ("Q" if wide else "I"), data, 40 if wide else 32)
    step, at = (64, 16) if wide else (40, 12)
    start = table + index * step + at
    return int(struct.unpack_from(order + ("Q" if wide else "I"), data, start)[0])
