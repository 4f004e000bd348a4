# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Writes ELF files from a few lines of data: any class and byte order, REL and RELA, any size.

    write_elf(
        [Section(".text", bytes(16), flags=SHF_ALLOC | SHF_EXECINSTR)],
        [Symbol("f", ".text", 0, 16, STT_FUNC)],
        target=S390X,
    )

An address in a file's contents is an `Address`; in ET_REL it becomes a relocation, in ET_EXEC the
number itself. The rules come from the System V ABI (generic part) and, for the relocation
numbers, the processor supplements.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

ET_REL, ET_EXEC, ET_DYN = 1, 2, 3
SHT_NULL, SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB = 0, 1, 2, 3
SHT_RELA, SHT_NOTE, SHT_NOBITS, SHT_REL = 4, 7, 8, 9
SHT_SYMTAB_SHNDX = 18
SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR, SHF_INFO_LINK, SHF_COMPRESSED = 1, 2, 4, 0x40, 0x800
SHN_LORESERVE, SHN_ABS, SHN_COMMON, SHN_XINDEX = 0xFF00, 0xFFF1, 0xFFF2, 0xFFFF
STT_NOTYPE, STT_OBJECT, STT_FUNC, STT_SECTION, STT_FILE = 0, 1, 2, 3, 4
STB_LOCAL, STB_GLOBAL, STB_WEAK = 0, 1, 2
ELFCOMPRESS_ZLIB = 1


class Target(NamedTuple):
    """What an architecture means to an ELF writer."""

    name: str
    machine: int
    bits: int
    little: bool
    rela: bool
    """RELA: addends in the relocation; otherwise (REL) in the relocated bytes."""
    abs32: int
    """Number of the relocation that stores a 32-bit absolute value."""
    abs64: int
    """The same for 64 bits; on 32-bit targets unused."""

    @property
    def address_size(self) -> int:
        """Bytes of an address."""
        return self.bits // 8

    def pack(self, layout: str, *values: int) -> bytes:
        """struct.pack in this target's byte order."""
        return struct.pack(("<" if self.little else ">") + layout, *values)

    def integer(self, value: int, size: int) -> bytes:
        """`value` in `size` bytes, two's complement, in this target's byte order."""
        return (value & ((1 << 8 * size) - 1)).to_bytes(size, "little" if self.little else "big")


X86_64 = Target("x86-64", 62, 64, True, True, 10, 1)
I386 = Target("i386", 3, 32, True, False, 1, 0)
ARM = Target("arm", 40, 32, True, False, 2, 0)
ARM_BE = Target("arm-be", 40, 32, False, False, 2, 0)
AARCH64 = Target("aarch64", 183, 64, True, True, 258, 257)
S390X = Target("s390x", 22, 64, False, True, 4, 22)
PPC = Target("ppc", 20, 32, False, True, 1, 0)
PPC64 = Target("ppc64", 21, 64, False, True, 1, 38)
RISCV64 = Target("riscv64", 243, 64, True, True, 1, 2)
TARGETS = (X86_64, I386, ARM, ARM_BE, AARCH64, S390X, PPC, PPC64, RISCV64)


class Address(NamedTuple):
    """A place: a symbol's or a section's name, and an offset from it."""

    of: str
    offset: int = 0


class Fixup(NamedTuple):
    """At `offset` of a section stand `size` bytes that hold `address`."""

    offset: int
    address: Address
    size: int


@dataclass
class Section:
    """One section; `fixups` are its relocations."""

    name: str
    data: bytes = b""
    type: int = SHT_PROGBITS
    flags: int = 0
    addr: int = 0
    align: int = 1
    entsize: int = 0
    fixups: list[Fixup] = field(default_factory=list)
    compress: bool = False
    """Store zlib-compressed (SHF_COMPRESSED)."""
    nobits: int = 0
    """The size in memory of an SHT_NOBITS section."""
    link: int = 0
    info: int = 0


class Symbol(NamedTuple):
    """One symbol; `value` counts from the start of its section (ET_EXEC adds the address)."""

    name: str
    section: str | int | None = None
    """A section's name, a reserved index such as SHN_ABS, or None for an undefined symbol."""
    value: int = 0
    size: int = 0
    type: int = STT_NOTYPE
    bind: int = STB_GLOBAL


def file_symbol(name: str) -> Symbol:
    """The symbol that says from which source file the local symbols after it come."""
    return Symbol(name, SHN_ABS, type=STT_FILE, bind=STB_LOCAL)


class Strings:
    """A string table; equal strings are stored once."""

    def __init__(self) -> None:
        self.data = bytearray(b"\0")
        self._at: dict[bytes, int] = {b"": 0}

    def __call__(self, text: str | bytes) -> int:
        """The offset of `text`, appended when it is new."""
        raw = text.encode() if isinstance(text, str) else text
        if raw not in self._at:
            self._at[raw] = len(self.data)
            self.data += raw + b"\0"
        return self._at[raw]


def write_elf(
    sections: Sequence[Section],
    symbols: Iterable[Symbol] = (),
    *,
    target: Target = X86_64,
    type: int = ET_REL,
    symtab: bool = True,
) -> bytes:
    """The bytes of an ELF file with these sections (in this order, from index 1) and symbols.

    Section names should differ where a symbol or address names one: the first of a name counts.
    Local symbols are moved before the others, as ELF demands, otherwise the order stays.
    """
    index = {section.name: i for i, section in reversed(list(enumerate(sections, 1)))}
    fixed = [_Fixed(s, bytearray(s.data)) for s in sections]
    relocated = [name for s in sections for name in [f.address.of for f in s.fixups]]

    # The symbol table: null, sections that an address names, locals, globals.
    symbols = list(symbols)
    named = {s.name for s in symbols}
    ordered = [Symbol("", None, bind=STB_LOCAL)]
    ordered += [
        Symbol(name, name, type=STT_SECTION, bind=STB_LOCAL)
        for name in dict.fromkeys(relocated)
        if name not in named
    ]
    ordered += [s for s in symbols if s.bind == STB_LOCAL]
    first_global = len(ordered)
    ordered += [s for s in symbols if s.bind != STB_LOCAL]
    number = {s.name: i for i, s in reversed(list(enumerate(ordered)))}

    def address_of(symbol: Symbol) -> int:
        if isinstance(symbol.section, str):
            return sections[index[symbol.section] - 1].addr + symbol.value
        return symbol.value

    extra: list[_Fixed] = []
    for i, part in enumerate(fixed, 1):
        if not part.section.fixups:
            continue
        if type == ET_REL:
            extra.append(_relocations(part, i, number, target))
        else:
            for offset, (of, plus), size in part.section.fixups:
                value = address_of(ordered[number[of]]) + plus
                part.data[offset : offset + size] = target.integer(value, size)

    strings = Strings()
    table, wide = bytearray(), bytearray()
    for symbol in ordered:
        placed = isinstance(symbol.section, str)
        where = index[str(symbol.section)] if placed else int(symbol.section or 0)
        escaped = placed and where >= SHN_LORESERVE
        shown = SHN_XINDEX if escaped else where
        wide += target.pack("I", where if escaped else 0)
        value = symbol.value if type == ET_REL else address_of(symbol)
        info = symbol.bind << 4 | symbol.type
        name = strings("" if symbol.type == STT_SECTION else symbol.name)
        if target.bits == 64:
            table += target.pack("IBBHQQ", name, info, 0, shown, value, symbol.size)
        else:
            table += target.pack("IIIBBH", name, value, symbol.size, info, 0, shown)

    symtab_at = 1 + len(fixed) + len(extra)
    for relocation in extra:
        relocation.section.link = symtab_at
    if symtab:
        entsize = 24 if target.bits == 64 else 16
        head = Section(".symtab", b"", SHT_SYMTAB, align=8, entsize=entsize)
        head.link, head.info = symtab_at + 1, first_global
        extra.append(_Fixed(head, table))
        extra.append(_Fixed(Section(".strtab", b"", SHT_STRTAB), strings.data))
        if len(sections) >= SHN_LORESERVE:
            shndx = Section(".symtab_shndx", b"", SHT_SYMTAB_SHNDX, align=4, entsize=4)
            shndx.link = symtab_at
            extra.append(_Fixed(shndx, wide))
    return _assemble(fixed + extra, target, type)


class _Fixed(NamedTuple):
    """A section with its final bytes."""

    section: Section
    data: bytearray


def _relocations(part: _Fixed, at: int, number: dict[str, int], target: Target) -> _Fixed:
    """The section .rel/.rela of `part`, which is section number `at`."""
    entries = bytearray()
    for offset, (of, plus), size in part.section.fixups:
        kind = target.abs64 if size == 8 else target.abs32
        symbol = number[of]
        if target.bits == 64:
            entries += target.pack("QQ", offset, symbol << 32 | kind)
        else:
            entries += target.pack("II", offset, symbol << 8 | kind)
        if target.rela:
            entries += target.integer(plus, target.address_size)
        else:
            part.data[offset : offset + size] = target.integer(plus, size)
    size = target.address_size * (3 if target.rela else 2)
    kind, prefix = (SHT_RELA, ".rela") if target.rela else (SHT_REL, ".rel")
    head = Section(prefix + part.section.name, b"", kind, SHF_INFO_LINK, align=8, entsize=size)
    head.info = at
    return _Fixed(head, entries)


def _assemble(parts: list[_Fixed], target: Target, type: int) -> bytes:
    """Header, contents, section headers; the section of section names is added last."""
    wide = target.bits == 64
    names = Strings()
    parts = [*parts, _Fixed(Section(".shstrtab", b"", SHT_STRTAB), names.data)]
    name_of = [names(part.section.name) for part in parts]
    count, shstrndx = len(parts) + 1, len(parts)
    word = "Q" if wide else "I"

    def header(name: int, kind: int, flags: int, *rest: int) -> bytes:
        return target.pack("II" + word, name, kind, flags) + target.pack(
            f"{word}{word}{word}II{word}{word}", *rest
        )

    # Escapes for numbers that do not fit the file header stand in header 0.
    headers = bytearray(
        header(
            *(0, SHT_NULL, 0, 0, 0),
            count if count >= SHN_LORESERVE else 0,
            shstrndx if shstrndx >= SHN_LORESERVE else 0,
            *(0, 0, 0),
        )
    )
    start = 64 if wide else 52
    body = bytearray()
    for (section, data), name in zip(parts, name_of, strict=True):
        flags, align, stored = section.flags, max(section.align, 1), bytes(data)
        if section.compress:
            chdr = target.pack("IIQQ" if wide else "III", *_chdr(wide, len(stored), align))
            stored, flags = chdr + zlib.compress(stored), flags | SHF_COMPRESSED
        body += bytes(-(start + len(body)) % align)
        size = section.nobits if section.type == SHT_NOBITS else len(stored)
        headers += header(
            *(name, section.type, flags, section.addr, start + len(body), size),
            *(section.link, section.info, align, section.entsize),
        )
        body += stored
    body += bytes(-(start + len(body)) % 8)
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if target.little else 2, 1]) + bytes(9)
    head = ident + target.pack(
        f"HHI{word}{word}{word}IHHHHHH",
        *(type, target.machine, 1, 0, 0, start + len(body), 0, start, 0, 0),
        64 if wide else 40,
        count if count < SHN_LORESERVE else 0,
        shstrndx if shstrndx < SHN_LORESERVE else SHN_XINDEX,
    )
    return bytes(head + body + headers)


def _chdr(wide: bool, size: int, align: int) -> tuple[int, ...]:
    return (ELFCOMPRESS_ZLIB, 0, size, align) if wide else (ELFCOMPRESS_ZLIB, size, align)
