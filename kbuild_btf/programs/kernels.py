# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The kernels that programs are checked against: their types, and symbols where a file has them."""

from __future__ import annotations

import bisect
import functools
import mmap
import re
import struct
import sys
from array import array
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..btf import Btf, Func
from ..btf.elf import address_size, is_elf, section, section_address, sections
from ..errors import Error
from .core import Target
from .object import Object, is_bpf

_SHT_SYMTAB = 2
_STT_FUNC = 2
_ET_REL = 1
_HEADER = 24
# How many bytes from its start a function calls what traces it, at most.
_ENTRY = 32


# As btf.elf.sections has it.
Section = tuple[bytes, int, int, memoryview | None]


@dataclass(frozen=True, slots=True)
class Symbols:
    """``functions``: addresses by name, ``clones``: full names by what is before the first dot,
    ``names``: of everything, ``initial``: of functions that are gone when the kernel has started.
    ``hooks``: addresses, in order, where functions call what traces them;
    None: the file does not tell."""

    functions: dict[str, set[int]]
    clones: dict[str, list[str]]
    names: frozenset[str]
    initial: frozenset[str]
    hooks: array[int] | None

    def may_be_traced(self, name: str) -> bool:
        """Does it call what traces it? Not when it is notrace, or inline in the source."""
        if self.hooks is None:
            return True
        for address in self.functions.get(name, ()):
            at = bisect.bisect_left(self.hooks, address)
            if at < len(self.hooks) and self.hooks[at] - address < _ENTRY:
                return True
        return name not in self.functions


@dataclass
class Kernel:
    """A vmlinux (ELF or raw BTF), and modules, which are named by file."""

    path: str
    vmlinux: Btf
    modules: dict[str, Btf] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)
    """Files of the modules."""

    @functools.cached_property
    def target(self) -> Target:
        return Target(self.vmlinux, self.modules)

    @functools.cached_property
    def symbols(self) -> Symbols | None:
        """Of vmlinux; None where the file has none."""
        return _symbols(self.path)

    @functools.cached_property
    def has_debug_information(self) -> bool:
        data = mapped(self.path)
        return is_elf(data) and section(data, ".debug_info", self.path) is not None

    def function(self, name: str) -> tuple[Func, str] | None:
        """A function in the BTF, and the module that has it (empty: vmlinux)."""
        for found in self.vmlinux.find(Func, name):
            return found, ""
        for module, btf in self.modules.items():
            for found in btf.find(Func, name):
                if found.id >= btf.start:
                    return found, module
        return None

    def module_with_symbol(self, name: str) -> str:
        """The module that has a function of the name in its symbols; empty: none of those given."""
        for module, path in self.paths.items():
            symbols = _symbols(path)
            if symbols and name in symbols.functions:
                return module
        return ""


def sorted_out(paths: Iterable[str]) -> tuple[list[Object], list[Kernel]]:
    """Programs and kernels among files: a module belongs to the vmlinux before it. Raises Error."""
    programs: list[Object] = []
    kernels: list[Kernel] = []
    for path in paths:
        data = mapped(path)
        if is_bpf(data):
            programs.append(Object(bytes(data), path))
        elif not _is_module(data):
            kernels.append(Kernel(path, Btf.load(path)))
        elif not kernels:
            raise Error("a module, and no vmlinux before it", path, "name its vmlinux first")
        else:
            kernel = kernels[-1]
            name = re.sub(r"\.ko(\..*)?$", "", Path(path).name).replace("-", "_")
            kernel.modules[name] = Btf.load(path, kernel.vmlinux)
            kernel.paths[name] = path
    if not programs:
        raise Error("no object file of BPF programs is named", hint="compile with -target bpf")
    if not kernels:
        raise Error("no kernel is named", hint="name a vmlinux, or /sys/kernel/btf/vmlinux")
    return programs, kernels


def _is_module(data: memoryview) -> bool:
    """A relocatable object, or BTF whose strings go on from those of a base."""
    if is_elf(data):
        order = ">" if len(data) > 5 and data[5] == 2 else "<"
        return len(data) > 18 and struct.unpack_from(order + "H", data, 16)[0] == _ET_REL
    if len(data) < _HEADER:
        return False
    order = ">" if data[0] == 0xEB else "<"
    header, _, _, offset, size = struct.unpack_from(order + "5I", data, 4)
    start = header + offset
    return bool(not size or bytes(data[start : start + 1]) not in (b"\0", b""))


def mapped(path: str) -> memoryview:
    try:
        with Path(path).open("rb") as file:
            # What is in /sys/kernel/btf cannot be mapped everywhere.
            if path.startswith("/sys/") or not Path(path).stat().st_size:
                return memoryview(file.read())
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as failed:
        raise Error(getattr(failed, "strerror", None) or "cannot be read", path) from failed


@functools.cache
def _symbols(path: str) -> Symbols | None:
    data = mapped(path)
    if not is_elf(data):
        return None
    wide = address_size(data) == 8
    order = ">" if data[5] == 2 else "<"
    try:
        found = list(sections(data))
    except (struct.error, IndexError, ValueError) as broken:
        raise Error("truncated or corrupt ELF file", path, "build or copy it again") from broken
    table = next((part for _, kind, _, part in found if kind == _SHT_SYMTAB), None)
    strings = bytes(next((part for name, _, _, part in found if name == b".strtab"), None) or b"")
    if table is None or not strings:
        return None
    layout = struct.Struct(order + ("IBBHQQ" if wide else "IIIBBH"))
    functions: defaultdict[str, set[int]] = defaultdict(set)
    clones: defaultdict[str, list[str]] = defaultdict(list)
    names, initial = set(), set()
    table_of_hooks: dict[str, tuple[int, int]] = {}
    for entry in layout.iter_unpack(table[: len(table) // layout.size * layout.size]):
        if wide:
            at, info, _, index, value, _ = entry
        else:
            at, value, _, info, _, index = entry
        end = strings.find(b"\0", at)
        if not at or end < 0 or not index:
            continue
        name = strings[at:end].decode(errors="backslashreplace")
        names.add(name)
        if info & 15 == _STT_FUNC:
            functions[name].add(value)
            if index <= len(found) and found[index - 1][0].startswith(b".init"):
                initial.add(name)
            if "." in name:
                clones[name.partition(".")[0]].append(name)
        elif name in ("__start_mcount_loc", "__stop_mcount_loc"):
            table_of_hooks[name] = value, index
    hooks = _hooks(data, found, *table_of_hooks.values()) if len(table_of_hooks) == 2 else None
    return Symbols(dict(functions), dict(clones), frozenset(names), frozenset(initial), hooks)


def _hooks(
    data: memoryview, found: list[Section], one: tuple[int, int], other: tuple[int, int]
) -> array[int] | None:
    """The addresses of a table that lies between two symbols (address, section); None where they
    are only filled in when the kernel starts."""
    (start, index), (end, _) = sorted((one, other))
    if not index <= len(found):
        return None
    content = found[index - 1][3] or b""
    first = section_address(data, index)
    wide = address_size(data) == 8
    table = array("Q" if wide else "I")
    table.frombytes(content[start - first : end - first])
    if (data[5] == 2) != (sys.byteorder == "big"):
        table.byteswap()
    return array("Q", sorted(table)) if any(table) else None
