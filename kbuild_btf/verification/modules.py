# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Does a kernel take its modules' BTF, and does that mean the kernel's types?

The check itself is native: the kernel's rules for modules, and what shows that split BTF is read
against another base than it was made against. Here it becomes words: which side changed, and what
to build again.

A module does not name its base. What tells it all the same, from sure to likely: the size of the
base's strings, behind which the module's own start; the release that both name (``vermagic``, and
the banner of vmlinux); which of the two files is newer.
"""

from __future__ import annotations

import mmap
import os
import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import xxhash

from .. import _native
from ..btf.elf import address_size, is_elf
from ..errors import Error
from ..paths import StrPath
from . import raw

_BANNER = re.compile(rb"Linux version (\d\S*) \(")
# Where the header of BTF has the size of the strings.
_STRINGS = slice(20, 24)


class Failure(NamedTuple):
    """A module that the kernel refuses or misreads: why, which side changed, what to do."""

    module: str
    what: str
    side: str
    do: str

    def __str__(self) -> str:
        parts = (self.what, ": ".join(filter(None, (self.side, self.do))))
        return f"{self.module}: " + "; ".join(filter(None, parts))


@dataclass(frozen=True)
class Base:
    """The BTF of a vmlinux: an ELF file, raw BTF, or that of the running kernel."""

    path: str
    btf: bytes
    pointer_size: int | None
    """Bytes; None where only ``long`` tells it (raw BTF)."""

    @classmethod
    def load(cls, path: str) -> Base:
        found = raw.read(path, ".BTF")
        if found is None:
            raise Error(
                "no .BTF section",
                path,
                "give a vmlinux with BTF, or raw BTF such as /sys/kernel/btf/vmlinux",
            )
        with Path(path).open("rb") as file:
            return cls(path, found, address_size(memoryview(file.read(16))))

    @cached_property
    def fingerprint(self) -> str:
        """XXH3-128 of all of it."""
        return xxhash.xxh3_128_hexdigest(self.btf)

    @property
    def strings(self) -> int:
        """Size of its strings."""
        little = self.btf[:1] == b"\x9f"
        return int.from_bytes(self.btf[_STRINGS], "little" if little else "big")

    @property
    def running(self) -> bool:
        return self.path.startswith("/sys/")

    @cached_property
    def release(self) -> str:
        """As ``uname -r`` says it; empty for raw BTF, which does not tell."""
        if self.running:
            return platform.release()
        with Path(self.path).open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        found = _BANNER.search(content) if is_elf(memoryview(content[:4])) else None
        return found[1].decode(errors="replace") if found else ""


class ModulesVerdict(NamedTuple):
    """The base, and what fails with it, in the order of the modules."""

    base: Base
    failures: list[Failure]


def verify_modules(base: StrPath, modules: Iterable[StrPath], *, jobs: int = 0) -> ModulesVerdict:
    """Check modules against the BTF of the vmlinux that they are to be loaded into.

    ``base`` is that vmlinux, or its raw BTF (``/sys/kernel/btf/vmlinux``). ``jobs`` threads check
    (0: one per processor). Raises Error when the base cannot be used; what is wrong with a module
    is a failure of its own.
    """
    below = Base.load(os.fspath(base))
    paths = [os.fspath(module) for module in modules]
    try:
        fits = _native.check_modules(below.btf, paths, pointer_size=below.pointer_size, jobs=jobs)
    except Error as failed:
        raise Error(str(failed), below.path, "build it again, or give another base") from failed
    failures = (_failure(path, fit, below) for path, fit in zip(paths, fits, strict=True))
    return ModulesVerdict(below, [failure for failure in failures if failure])


def _failure(module: str, fit: _native.ModuleFit, base: Base) -> Failure | None:
    if fit["error"]:
        where = fit["error"].where.removeprefix(module).removeprefix(": ")
        what = f"{where}: {fit['error'].what}" if where else fit["error"].what
        return Failure(
            module, what, "", fit["error"].hint or "it is damaged: build the module again"
        )
    refused, misread = fit["refused"], fit["misread"]
    strings = fit["base_strings"]
    another = strings not in (None, base.strings)
    if not (refused or misread or another):
        return None
    if refused:
        what = f"breaks the kernel's rules: {refused}"
    else:
        what = "the kernel takes it, and reads other types than it means"
        what += f": {misread}" if misread else ""
    if another:
        what += f"; made against {strings} bytes of strings, {base.path} has {base.strings}"
    return Failure(module, what, *_changed(module, base))


def _changed(module: str, base: Base) -> tuple[str, str]:
    """Which side is another than the other was made for, and what to do about it."""
    release = _release(module)
    if release and base.release and release != base.release:
        side = f"the module is for Linux {release}, {base.path} is {base.release}"
        return side, "use the modules of that kernel, or build them for it"
    if base.running:
        return (
            "the running kernel is not the one that it was made for",
            "build the module again, or boot that kernel",
        )
    if Path(module).stat().st_mtime_ns <= Path(base.path).stat().st_mtime_ns:
        return f"{base.path} is the newer one", "build the module again"
    return (
        "the module is the newer one",
        "give the vmlinux that it was made for, or link vmlinux and its modules again",
    )


def _release(module: str) -> str:
    """The first word of ``vermagic``; empty without one."""
    for entry in (_native.read_section(module, ".modinfo") or b"").split(b"\0"):
        name, _, value = entry.partition(b"=")
        if name == b"vermagic":
            return value.split(b" ")[0].decode(errors="replace")
    return ""
