# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What is compared with what: two files, or two kernels with their modules, matched by name."""

from __future__ import annotations

import gzip
import lzma
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..btf import Btf
from ..btf.elf import is_elf, section
from ..errors import Error
from .uses import Uses

# Names of a kernel's image, as builds, packages and /sys/kernel/btf have it.
_IMAGES = ("vmlinux", "vmlinux.btf", "vmlinux-*", "boot/vmlinux-*")
# Behind `.ko`: as builds, packages of debug information, and modules_install leave them.
_BEHIND = ("", ".debug", ".xz", ".gz", ".zst")


@dataclass(frozen=True, slots=True)
class Side:
    """The types of one file, and which of them modules use."""

    btf: Btf
    uses: Uses


@dataclass(frozen=True, slots=True)
class Pair:
    """What both sides call by one name; ``module`` is empty for vmlinux. One side may lack a
    module."""

    module: str
    a: Side | None
    b: Side | None


def are_kernels(a: str, b: str) -> bool:
    """Two directories (True) or two files. Raises Error for one of each."""
    directories = Path(a).is_dir(), Path(b).is_dir()
    if any(directories) and not all(directories):
        raise Error("a directory and a file", f"{a}, {b}", "name two of a kind")
    return all(directories)


def of_files(a: str, b: str, base_a: str | None, base_b: str | None) -> Iterator[Pair]:
    """One pair: two files, split BTF with the bases that are named."""
    below_a = Btf.load(base_a) if base_a else None
    below_b = Btf.load(base_b) if base_b else below_a
    one, other = Btf.load(a, below_a), Btf.load(b, below_b)
    sides = (
        Side(btf, Uses.of_content(Path(path).read_bytes(), btf))
        for path, btf in ((a, one), (b, other))
    )
    yield Pair("", *sides)


def of_kernels(a: str, b: str) -> Iterator[Pair]:
    """vmlinux first, then the modules that one of two directories has, by name.

    A directory is a build, an unpacked package, or /sys/kernel/btf. Raises Error where there is no
    vmlinux.
    """
    one, other = _Kernel(a), _Kernel(b)
    yield Pair("", Side(one.vmlinux, one.uses), Side(other.vmlinux, other.uses))
    for name in sorted(one.modules.keys() | other.modules.keys()):
        yield Pair(name, one.modules.get(name), other.modules.get(name))


class _Kernel:
    """A directory; modules by name, those without BTF left out."""

    def __init__(self, directory: str) -> None:
        top = Path(directory)
        kernel = image(top)
        of_kernel = content(kernel)
        self.vmlinux = Btf.from_bytes(of_kernel, None, str(kernel))
        self.modules: dict[str, Side] = {}
        for name, path in modules(top, kernel):
            of_module = content(path)
            if _has_btf(of_module, path):
                btf = Btf.from_bytes(of_module, self.vmlinux, str(path))
                self.modules[name] = Side(btf, Uses.of_content(of_module, btf))
        exported = Uses.of_content(of_kernel, self.vmlinux)
        own = [side.btf for side in self.modules.values()]
        self.uses = exported.and_modules(self.vmlinux, own)


def image(top: Path) -> Path:
    """The vmlinux of a directory. Raises Error."""
    images = [path for pattern in _IMAGES for path in sorted(top.glob(pattern))]
    found = next((path for path in images if path.is_file()), None)
    if found is None:
        raise Error(
            "there is no vmlinux in it", str(top), "name a directory with a vmlinux, or files"
        )
    return found


def modules(top: Path, image: Path) -> Iterator[tuple[str, Path]]:
    """By the names that the kernel has for them, which have no `-`."""
    found = []
    for directory, below, files in os.walk(top):
        below.sort()
        for file in sorted(files):
            name, ending, rest = file.partition(".ko")
            if ending and rest in _BEHIND:
                found.append((name.replace("-", "_"), Path(directory) / file))
    # /sys/kernel/btf: raw files without an ending, beside vmlinux.
    return iter(found or _raw_modules(top, image))


def _raw_modules(top: Path, image: Path) -> list[tuple[str, Path]]:
    if image.name != "vmlinux":
        return []
    files = sorted(path for path in top.iterdir() if path.is_file() and not path.suffix)
    return [(path.name, path) for path in files if path != image and _is_raw(path)]


def _is_raw(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) in (b"\x9f\xeb", b"\xeb\x9f")


def content(path: Path) -> bytes:
    """The bytes of a file, unpacked. Raises Error."""
    try:
        packed = path.read_bytes()
        match path.suffix:
            case ".xz":
                return lzma.decompress(packed)
            case ".gz":
                return gzip.decompress(packed)
            case ".zst":
                raise Error("packed with zstd", str(path), "unpack it: zstd -d")
    except (lzma.LZMAError, EOFError, zlib.error, gzip.BadGzipFile) as broken:
        raise Error(f"cannot be unpacked: {broken}", str(path), "copy it again") from broken
    return packed


def _has_btf(content: bytes, path: Path) -> bool:
    data = memoryview(content)
    return not is_elf(data) or section(data, ".BTF", str(path)) is not None
