# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The ELF file that is verified: its sections, symbols and DWARF, read by pyelftools."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from elftools.elf.elffile import ELFFile

from ..errors import Error
from .dies import Section, reading
from .relocate import relocate

# Parts that the compiler cuts off a function; they are no function of their own.
_FRAGMENTS = (".cold", ".part")

_SHF_ALLOC = 2

_LONGEST_NAME = 2048


class Place(NamedTuple):
    """A section: its number, address and size in memory (bytes)."""

    number: int
    address: int
    size: int


@dataclass
class Image:
    """Sections that are in memory, and symbols, by name.

    In a relocatable file addresses count from the start of each section.
    """

    relocatable: bool
    big_endian: bool
    bits: int
    """32 or 64: the size of an address."""
    sections: dict[str, Place]
    functions: dict[str, list[int]] = field(default_factory=dict)
    """STT_FUNC symbols by whole name: their addresses."""
    base_names: dict[str, set[int]] = field(default_factory=dict)
    """The same by the name before the first dot, without fragments."""
    others: dict[tuple[int, str], dict[str, list[int | None]]] = field(default_factory=dict)
    """All other symbols by address and the name before the first dot, then by whole name: the
    sections they are in."""

    def variable_at(self, address: int, name: str, section: int) -> bool:
        """Whether a symbol of this name stands at a place; local ones may have a suffix."""
        here = self.others.get((address, name.partition(".")[0]), {})
        return any(
            (known == name or known.startswith(f"{name}."))
            and (not self.relocatable or section in places)
            for known, places in here.items()
        )


def load(path: str) -> tuple[Image, Section]:
    """Read the file. Raises Error, also when it has no DWARF."""
    try:
        stream = Path(path).open("rb")  # noqa: SIM115 (pyelftools reads later)
    except OSError as failed:
        raise Error(failed.strerror or "cannot be read", path) from failed
    with stream, reading(path):
        elf = ELFFile(stream)
        if elf.num_sections():
            _bound_names(elf._section_header_stringtable)
        relocatable = elf["e_type"] == "ET_REL"
        image = _image(elf, relocatable)
        # A linked file may keep its relocations (ld --emit-relocs), but they are applied already.
        info = elf.get_dwarf_info(relocate_dwarf_sections=False, follow_links=False)
        if info.debug_info_sec is None or not info.debug_info_sec.size:
            hint = "compile it with -g; of a kernel, take vmlinux and not its stripped copy"
            raise Error("no DWARF debug information", path, hint)
        if relocatable:
            relocate(elf, info)
        return image, Section(info, path)


def _bound_names(table: Any) -> None:
    """What pyelftools reads of names: those that are longer than names are (docs/security.md) are
    none. They may all be the ends of one."""

    def get_string(offset: int) -> str:
        table.stream.seek(table["sh_offset"] + offset)
        name, end, _ = table.stream.read(_LONGEST_NAME + 1).partition(b"\0")
        return name.decode("utf-8", "replace") if end else ""

    table.get_string = get_string


def _image(elf: Any, relocatable: bool) -> Image:
    sections: dict[str, Place] = {}
    for index, section in enumerate(elf.iter_sections()):
        if section["sh_flags"] & _SHF_ALLOC and section.name not in sections:
            address = 0 if relocatable else section["sh_addr"]
            sections[section.name] = Place(index, address, section["sh_size"])
    image = Image(relocatable, not elf.little_endian, elf.elfclass, sections)
    table = elf.get_section_by_name(".symtab")
    if table is None:
        return image
    _bound_names(table.stringtable)
    for symbol in table.iter_symbols():
        section, name = symbol["st_shndx"], symbol.name
        if section == "SHN_UNDEF" or not name:
            continue
        value = symbol["st_value"]
        kind = symbol["st_info"]["type"]
        if kind == "STT_FUNC":
            image.functions.setdefault(name, []).append(value)
            base, dot, suffix = name.partition(".")
            if not any(word in dot + suffix for word in _FRAGMENTS):
                image.base_names.setdefault(base, set()).add(value)
        elif kind not in ("STT_FILE", "STT_SECTION"):
            # More sections than 16 bits can count: the number is elsewhere, any will do.
            where = section if isinstance(section, int) else None
            place = value, name.partition(".")[0]
            image.others.setdefault(place, {}).setdefault(name, []).append(where)
    return image
