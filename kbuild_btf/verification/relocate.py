# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Relocating debug sections of objects and modules: a module has hundreds of thousands.

pyelftools does it, taking 0.1 milliseconds each. All but a few are of one kind, the address of a
symbol in 4 or 8 bytes, and those are done here; where there are others, the section is left to
pyelftools. Symbols count from the start of their section, so afterwards addresses do, too.
"""

from __future__ import annotations

import struct
from typing import Any

from elftools.elf.relocation import RelocationHandler

# By e_machine: the numbers of "symbol + addend" in 4 and in 8 bytes (processor supplements of the
# System V ABI). 0 bytes: nothing to do. Such are the offsets of thread-local variables, which have
# no address, and the pairs of additions and subtractions from which linkers that shorten code get
# the length of a function, which nobody reads here.
_ABSOLUTE: dict[str, dict[int, int]] = {
    "EM_386": {0: 0, 1: 4, 32: 0},
    "EM_X86_64": {0: 0, 1: 8, 10: 4, 11: 4, 17: 0, 21: 0},
    "EM_ARM": {0: 0, 2: 4, 106: 0},
    "EM_AARCH64": {0: 0, 257: 8, 258: 4},
    "EM_S390": {0: 0, 4: 4, 22: 8, 52: 0, 53: 0},
    "EM_PPC": {0: 0, 1: 4, 78: 0},
    "EM_PPC64": {0: 0, 1: 4, 38: 8, 78: 0},
    "EM_RISCV": {0: 0, 1: 4, 2: 8, 8: 0, 9: 0, **dict.fromkeys(range(33, 41), 0)},
    "EM_LOONGARCH": {0: 0, 1: 4, 2: 8, 8: 0, 9: 0, **dict.fromkeys(range(47, 57), 0)},
}
# What is read of a file: no line tables, no ranges, no location lists.
SECTIONS = ("debug_info", "debug_str_offsets", "debug_addr")


def relocate(elf: Any, dwarf: Any) -> None:
    """Apply the relocations of SECTIONS to the copies that pyelftools has made of them."""
    handler = RelocationHandler(elf)
    for name in SECTIONS:
        descriptor = getattr(dwarf, f"{name}_sec")
        section = elf.get_section_by_name(f".{name}")
        relocations = handler.find_relocations_for_section(section) if section else None
        if descriptor is None or relocations is None:
            continue
        if not _plainly(elf, relocations, descriptor.stream):
            handler.apply_section_relocations(descriptor.stream, relocations)


def _plainly(elf: Any, relocations: Any, stream: Any) -> bool:
    """Apply them if all are absolute; False, and nothing done, if not."""
    sizes = _ABSOLUTE.get(elf["e_machine"])
    if sizes is None:
        return False
    order = "<" if elf.little_endian else ">"
    wide = elf.elfclass == 64
    with_addend = relocations.is_RELA()
    layout = order + ("QQ" if wide else "II") + (("q" if wide else "i") if with_addend else "")
    entries = [
        (place, info >> 32 if wide else info >> 8, info & (0xFFFFFFFF if wide else 0xFF), *addend)
        for place, info, *addend in struct.iter_unpack(layout, relocations.data())
    ]
    if not all(kind in sizes for _, _, kind, *_ in entries):
        return False
    symbols = elf.get_section(relocations["sh_link"]).data()
    values = [
        symbol[4] if wide else symbol[1]
        for symbol in struct.iter_unpack(order + ("IBBHQQ" if wide else "IIIBBH"), symbols)
    ]
    words = {size: struct.Struct(order + code) for size, code in ((4, "I"), (8, "Q"))}
    with stream.getbuffer() as content:
        for place, symbol, kind, *addend in entries:
            size = sizes[kind]
            if not size:
                continue
            word = words[size]
            base = addend[0] if addend else word.unpack_from(content, place)[0]
            word.pack_into(content, place, (values[symbol] + base) % (1 << 8 * size))
    return True
