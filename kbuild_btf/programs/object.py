# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What the object file of BPF programs has: its types, its programs and what these ask of a kernel.

Formats: docs.kernel.org, "BPF Type Format" (.BTF.ext) and "LLVM BPF relocations"; ELF. Offsets
and sizes are in bytes.
"""

from __future__ import annotations

import bisect
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from ..btf import Btf, Datasec, Func, Var
from ..btf.elf import is_elf, sections
from ..errors import Error

EM_BPF = 247
INSTRUCTION = 8

_MAGIC = 0xEB9F
_SHT_SYMTAB, _SHT_RELA, _SHT_REL = 2, 4, 9
_STB_LOCAL, _STB_WEAK = 0, 2
_STT_FUNC, _STT_SECTION = 2, 3
_SHF_EXECINSTR = 4
_COMPILE = "compile it again: clang -target bpf -O2 -g"


class RelocationKind(IntEnum):
    """What a CO-RE relocation asks for."""

    FIELD_OFFSET = 0
    FIELD_SIZE = 1
    FIELD_EXISTS = 2
    FIELD_SIGNED = 3
    FIELD_LSHIFT = 4
    FIELD_RSHIFT = 5
    TYPE_ID_LOCAL = 6
    TYPE_ID_TARGET = 7
    TYPE_EXISTS = 8
    TYPE_SIZE = 9
    ENUMERATOR_EXISTS = 10
    ENUMERATOR_VALUE = 11
    TYPE_MATCHES = 12

    @property
    def asks_whether(self) -> bool:
        """The answer is yes or no, so no is an answer."""
        return self in (self.FIELD_EXISTS, self.TYPE_EXISTS, self.ENUMERATOR_EXISTS, 12)

    @property
    def of_field(self) -> bool:
        return self <= self.FIELD_RSHIFT

    @property
    def of_type(self) -> bool:
        return not self.of_field and not self.of_enumerator

    @property
    def of_enumerator(self) -> bool:
        return self in (self.ENUMERATOR_EXISTS, self.ENUMERATOR_VALUE)


class Relocation(NamedTuple):
    """A CO-RE relocation: ``access`` is the way from the type, as numbers between colons."""

    section: str
    offset: int
    type_id: int
    access: str
    kind: RelocationKind


class Line(NamedTuple):
    """Where in the source an instruction is from."""

    offset: int
    file: str
    text: str
    number: int


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the object: a program, unless it is a subprogram in ``.text``."""

    section: str
    name: str
    offset: int
    size: int
    is_static: bool


class Extern(NamedTuple):
    """What the kernel is to provide: a function (kfunc), a variable, a value of its configuration
    (section ``.kconfig``)."""

    name: str
    section: str
    type_id: int
    is_function: bool
    is_weak: bool


class Symbol(NamedTuple):
    name: str
    value: int
    size: int
    kind: int
    binding: int
    section: int


class Reference(NamedTuple):
    """What an instruction or a pointer of a section refers to."""

    section: str
    offset: int
    symbol: Symbol


class Object:
    """An object file of BPF programs. Raises Error for one that is none, or is damaged."""

    def __init__(self, content: bytes, where: str) -> None:
        self.where = where
        data = memoryview(content)
        try:
            if not is_bpf(data):
                raise Error("no object file of BPF programs", where, _COMPILE)
            self._order = ">" if data[5] == 2 else "<"
            self._sections = [("", 0, 0, None)] + [
                (name.decode(errors="backslashreplace"), kind, flags, contents)
                for name, kind, flags, contents in sections(data)
            ]
            self.symbols = list(self._read_symbols(data))
        except (struct.error, IndexError, ValueError) as broken:
            raise Error("truncated or corrupt ELF file", where, _COMPILE) from broken
        types = self.section(".BTF")
        if types is None:
            raise Error("no .BTF section", where, "compile it with -g")
        self.btf = Btf(bytes(types), None, where, 8)
        self.functions = sorted(self._functions(), key=lambda f: (f.section, f.offset))
        self.relocations: list[Relocation] = []
        self._lines: dict[str, list[Line]] = {}
        extension = self.section(".BTF.ext")
        if extension is not None:
            self._read_extension(extension)

    @classmethod
    def load(cls, path: str) -> Object:
        try:
            return cls(Path(path).read_bytes(), path)
        except OSError as failed:
            raise Error(failed.strerror or "cannot be read", path) from failed

    # --- access -------------------------------------------------------------------------

    def section(self, name: str) -> memoryview | None:
        return next((data for found, _, _, data in self._sections if found == name), None)

    def section_name(self, index: int) -> str:
        return self._sections[index][0] if index < len(self._sections) else ""

    @property
    def programs(self) -> list[Function]:
        """Functions with a section that says where they attach."""
        return [f for f in self.functions if f.section != ".text" and not f.is_static]

    def function_at(self, section: str, offset: int) -> Function | None:
        return next(
            (
                f
                for f in self.functions
                if f.section == section and f.offset <= offset < f.offset + f.size
            ),
            None,
        )

    def line_of(self, section: str, offset: int) -> Line | None:
        """The line that an instruction belongs to."""
        lines = self._lines.get(section, [])
        at = bisect.bisect_right(lines, offset, key=lambda line: line.offset)
        return lines[at - 1] if at else None

    def externs(self) -> Iterator[Extern]:
        """By the sections ``.ksyms`` and ``.kconfig`` of the types."""
        weak = {s.name for s in self.symbols if s.binding == _STB_WEAK}
        for section in self.btf.find(Datasec):
            if section.name not in (".ksyms", ".kconfig"):
                continue
            for entry in section.entries:
                found = entry.type
                if isinstance(found, (Func, Var)):
                    yield Extern(
                        found.name,
                        section.name,
                        found.type_id,
                        isinstance(found, Func),
                        found.name in weak,
                    )

    def references(self, section: str) -> dict[int, Symbol]:
        """What is referred to at the offsets of a section, by its ELF relocations."""
        found: dict[int, Symbol] = {}
        for kind, name, size in (
            (_SHT_REL, f".rel{section}", 16),
            (_SHT_RELA, f".rela{section}", 24),
        ):
            for called, is_kind, _, data in self._sections:
                if called != name or is_kind != kind or data is None:
                    continue
                for at in range(0, len(data) - size + 1, size):
                    offset, info = struct.unpack_from(self._order + "QQ", data, at)
                    if info >> 32 < len(self.symbols):
                        found[offset] = self.symbols[info >> 32]
        return found

    # --- reading ------------------------------------------------------------------------

    def _read_symbols(self, data: memoryview) -> Iterator[Symbol]:
        table = next((d for _, kind, _, d in self._sections if kind == _SHT_SYMTAB), None)
        names = bytes(self.section(".strtab") or b"")
        if table is None:
            return
        for at in range(0, len(table) - 23, 24):
            name, info, _, section, value, size = struct.unpack_from(
                self._order + "IBBHQQ", table, at
            )
            end = names.find(b"\0", name)
            called = names[name:end].decode(errors="backslashreplace") if end >= 0 else ""
            yield Symbol(called, value, size, info & 0xF, info >> 4, section)

    def _functions(self) -> Iterator[Function]:
        for symbol in self.symbols:
            if symbol.kind != _STT_FUNC or not 0 < symbol.section < len(self._sections):
                continue
            name, _, flags, data = self._sections[symbol.section]
            if flags & _SHF_EXECINSTR and data is not None:
                size = min(symbol.size, max(len(data) - symbol.value, 0))
                static = symbol.binding == _STB_LOCAL
                yield Function(name, symbol.name, symbol.value, size, static)

    def _read_extension(self, data: memoryview) -> None:
        where = f"{self.where}, .BTF.ext"
        if len(data) < 8:
            raise Error(f"{len(data)} bytes are too few", where, _COMPILE)
        magic, version, _, length = struct.unpack_from(self._order + "HBBI", data)
        if magic != _MAGIC or version != 1:
            raise Error(f"magic number {magic:#x}, version {version}", where, _COMPILE)
        if not 24 <= length <= len(data):
            raise Error(f"header of {length} bytes", where, _COMPILE)
        # Function information is not wanted; relocations came with a longer header.
        parts = [("line information", 16, 16), ("CO-RE relocations", 24, 16)]
        for what, at, least in parts:
            if length < at + 8:
                continue
            offset, size = struct.unpack_from(self._order + "II", data, at)
            if length + offset + size > len(data):
                raise Error(f"{what} beyond the end of the section", where, _COMPILE)
            table = data[length + offset : length + offset + size]
            for section, record in self._records(table, what, least):
                if at == 16:
                    self._add_line(section, record)
                else:
                    self.relocations.append(self._relocation(section, record))
        for lines in self._lines.values():
            lines.sort()

    def _records(
        self, table: memoryview, what: str, least: int
    ) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The first four words of each record of a table, with the section that it is of."""
        if not len(table):
            return
        where = f"{self.where}, .BTF.ext"
        try:
            (size,) = struct.unpack_from(self._order + "I", table)
            if size < least or size % 4:
                raise Error(f"{what}: records of {size} bytes", where, _COMPILE)
            at = 4
            while at < len(table):
                name, count = struct.unpack_from(self._order + "II", table, at)
                at += 8
                if at + count * size > len(table):
                    raise Error(f"{what}: {count} records do not fit", where, _COMPILE)
                section = self._string(name)
                for _ in range(count):
                    yield section, struct.unpack_from(self._order + "4I", table, at)
                    at += size
        except struct.error as short:
            raise Error(f"{what}: cut off", where, _COMPILE) from short

    def _string(self, offset: int) -> str:
        try:
            return self.btf.string(offset)[:-1].decode(errors="backslashreplace")
        except ValueError as beyond:
            where = f"{self.where}, .BTF.ext"
            raise Error(f"string {offset} is beyond the strings", where, _COMPILE) from beyond

    def _add_line(self, section: str, record: tuple[int, ...]) -> None:
        offset, file, text, place = record
        line = Line(offset, self._string(file), self._string(text), place >> 10)
        self._lines.setdefault(section, []).append(line)

    def _relocation(self, section: str, record: tuple[int, ...]) -> Relocation:
        offset, type_id, access, kind = record
        where = f"{self.where}, section {section}+{offset:#x}"
        if kind not in RelocationKind._value2member_map_:
            raise Error(f"CO-RE relocation of unknown kind {kind}", where, "it is too new for this")
        if type_id >= len(self.btf):
            raise Error(
                f"CO-RE relocation of type [{type_id}], which is not there", where, _COMPILE
            )
        code = self.section(section)
        if code is None or offset % INSTRUCTION or offset + INSTRUCTION > len(code):
            raise Error("CO-RE relocation where there is no instruction", where, _COMPILE)
        return Relocation(section, offset, type_id, self._string(access), RelocationKind(kind))


def is_bpf(data: memoryview) -> bool:
    """Is it ELF for the BPF machine, of 64 bits?"""
    if not is_elf(data) or len(data) < 20 or data[4] != 2:
        return False
    order = ">" if data[5] == 2 else "<"
    return bool(struct.unpack_from(order + "H", data, 18)[0] == EM_BPF)
