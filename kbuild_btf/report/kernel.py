# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What is reported: vmlinux and its modules, and where the bytes of their BTF go."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..btf import Btf, Kind
from ..btf.elf import is_elf, section
from ..errors import Error
from ..gate import pairs
from ..progress import Progress
from ..verification.modules import Base


@dataclass(frozen=True, slots=True)
class Share:
    """The types of one kind: how many there are, and the bytes of their records without names."""

    kind: str
    count: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Part:
    """The BTF of one file. ``directory`` is that of a module below the kernel, empty for vmlinux;
    ``names`` are the bytes of strings and headers."""

    name: str
    directory: str
    bytes: int
    names: int
    shares: tuple[Share, ...]

    @property
    def types(self) -> int:
        return sum(share.count for share in self.shares)

    def count(self, kind: Kind) -> int:
        """How many types of a kind there are."""
        return sum(share.count for share in self.shares if share.kind == kind.name)


@dataclass(frozen=True, slots=True)
class Kernel:
    """An image with its modules. ``release`` is empty where the file does not tell it."""

    image: Path
    release: str
    btf: Btf
    vmlinux: Part
    modules: tuple[Part, ...]
    without_btf: int
    """Modules that have none."""


def read(path: str, progress: Progress) -> Kernel:
    """A vmlinux, raw BTF, or a directory with a vmlinux and modules. Raises Error."""
    top = Path(path)
    image, below = (pairs.image(top), top) if top.is_dir() else (top, None)
    base = Base.load(str(image))
    btf = Btf.load(image)
    modules: list[Part] = []
    without = 0
    found = list(pairs.modules(below, image)) if below else []
    for number, (name, file) in enumerate(found, 1):
        progress(number, len(found))
        raw = _btf_of(file)
        if raw is None:
            without += 1
            continue
        directory = _inside(file.parent, top)
        modules.append(_part(name, directory, raw, Btf.from_bytes(raw, btf, str(file))))
    vmlinux = _part("vmlinux", "", base.btf, btf)
    return Kernel(image, base.release, btf, vmlinux, tuple(modules), without)


def _inside(directory: Path, top: Path) -> str:
    """Where a module lies among the modules of a kernel."""
    parts = directory.relative_to(top).parts
    if "modules" in parts and "kernel" in parts:
        parts = parts[parts.index("kernel", parts.index("modules")) + 1 :]
    return "/".join(parts)


def _btf_of(file: Path) -> bytes | None:
    """The BTF of a module; of a plain file only that is read."""
    if file.suffix in (".xz", ".gz", ".zst"):
        return _in_content(memoryview(pairs.content(file)), file)
    with file.open("rb") as stream:
        try:
            content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise Error("an empty file", str(file), "build it again") from None
        view = memoryview(content)
        try:
            return _in_content(view, file)
        finally:
            view.release()
            content.close()


def _in_content(view: memoryview, file: Path) -> bytes | None:
    if not is_elf(view):
        return bytes(view)
    found = section(view, ".BTF", str(file))
    if found is None:
        return None
    with found:
        return bytes(found)


def _part(name: str, directory: str, raw: bytes, btf: Btf) -> Part:
    shares = tuple(_shares(btf))
    return Part(name, directory, len(raw), len(raw) - sum(s.bytes for s in shares), shares)


def _shares(btf: Btf) -> Iterator[Share]:
    """The largest first."""
    census = btf.census()
    for kind, (count, size) in sorted(census.items(), key=lambda item: (-item[1][1], item[0])):
        yield Share(kind.name, count, size)
