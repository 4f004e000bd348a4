# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What it takes to see a failure again elsewhere: files without code, data and source text.

A packed file has the length, headers, symbols and relocations of its original, and the sections
that are read to make BTF; all others are zeros. Names of types, functions, variables, files and
directories are in it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from .btf.elf import is_elf, sections
from .errors import Error

# Types of sections that hold what the linker knows: symbols, names, relocations, groups.
_SYMTAB, _STRTAB, _RELA, _REL, _DYNSYM, _GROUP, _SYMTAB_SHNDX = 2, 3, 4, 9, 11, 17, 18
_OF_THE_LINKER = {_SYMTAB, _STRTAB, _RELA, _REL, _DYNSYM, _GROUP, _SYMTAB_SHNDX}

# What encoding reads; .opd has the addresses of functions on ppc64. Not line tables, into which
# clang can put source, and not macros.
_DWARF = "info|types|abbrev|str|line_str|str_offsets|addr|loc|loclists|ranges|rnglists"
TYPES = re.compile(rf"\.BTF.*|\.z?debug_({_DWARF})|\.discard\.kbuild_btf|\.opd")
ONLY_BTF = re.compile(r"\.BTF.*")


class Packed:
    """Files that are packed into a directory, at their places below a common one."""

    def __init__(self, files: Iterable[Path], into: Path) -> None:
        self.root = Path(os.path.commonpath([path.absolute().parent for path in files]))
        self.into = into
        self.notes: list[str] = []
        """What may be in the files all the same."""

    def name(self, path: Path) -> str:
        """Of a file, below the common directory."""
        return os.path.relpath(path.absolute(), self.root)

    def add(self, path: Path, kept: re.Pattern[str] = TYPES) -> None:
        """Pack an ELF file with these sections; anything else as it is. Raises OSError."""
        data = bytearray(path.read_bytes())
        view = memoryview(data)
        if is_elf(view):
            try:
                self._blank(path, view, kept)
            except (struct.error, IndexError, ValueError):
                text = "its sections cannot be told apart, so it is packed as it is"
                self.notes.append(f"{self.name(path)}: {text}")
                data = bytearray(path.read_bytes())
        self._write(path, data)

    def add_beside(self, path: Path) -> None:
        """What builds leave beside a file: sidecar, commands, lists of objects. Raises OSError."""
        names = [f".tmp_{path.name}.kbtf", f".{path.name}.cmd", f"{path.stem}.mod"]
        names += [f".tmp_kbuild-btf.{path.name}.{kind}" for kind in ("trace", "link")]
        for name in names:
            beside = path.with_name(name)
            if beside.is_file():
                self._write(beside, beside.read_bytes())

    def _blank(self, path: Path, view: memoryview, kept: re.Pattern[str]) -> None:
        for name, kind, _, contents in sections(view):
            known = name.decode(errors="replace")
            if "debug_macro" in known and kept is TYPES:
                text = "compiled with -g3: texts of macros are among its strings"
                self.notes.append(f"{self.name(path)}: {text}")
            if contents and kind not in _OF_THE_LINKER and not kept.fullmatch(known):
                contents[:] = bytes(len(contents))

    def _write(self, path: Path, data: bytes | bytearray) -> None:
        place = self.into / self.name(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        stat = path.stat()
        # Lists of objects count by which is newer.
        os.utime(place, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@contextlib.contextmanager
def new_directory(path: Path) -> Iterator[None]:
    """Make a directory, which is gone again if it cannot be filled. Error when it is there."""
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        raise Error("is there already", str(path), "name a new directory") from None
    try:
        yield
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
