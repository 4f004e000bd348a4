# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Compilers and linkers that objects come from, and the pahole that their BTF is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from support import PAHOLE, SOURCES, recent_pahole, require, run

COMPILERS = SOURCES / "compilers"

# Per-CPU data at address 0, as x86 had it before 6.15. A compiler may call a few functions that
# nobody defines here; where they are does not matter.
_SCRIPT = """SECTIONS {
    .data..percpu 0 : { *(.data..percpu*) }
    . = 0x10000;
    .text : { *(.text*) }
    .data : { *(.data*) *(.sdata*) *(.rodata*) *(.srodata*) }
    .bss : { *(.bss*) *(.sbss*) *(COMMON) }
    PROVIDE(memcpy = .);
    PROVIDE(memset = .);
    PROVIDE(memmove = .);
    /DISCARD/ : { *(.eh_frame) *(.ARM.ex*) *(.note.gnu*) }
}
"""

# What kernels are compiled with, as far as it matters here.
_KERNEL = ["-w", "-fcommon", "-ffreestanding", "-fno-stack-protector", "-fno-pic"]


@dataclass(frozen=True)
class Toolchain:
    """A compiler for one machine, and the linker that goes with it."""

    name: str
    compiler: str
    linker: str = "ld"
    flags: tuple[str, ...] = ()

    @property
    def clang(self) -> bool:
        return "clang" in self.compiler

    def compile(self, source: Path, output: Path, *flags: str) -> Path:
        """One object with debug information, of C as the kernel compiles it."""
        require(self.compiler)
        done = run(self.compiler, "-g", "-c", *_KERNEL, *self.flags, *flags, "-o", output, source)
        assert done.returncode == 0, done.stderr
        return output

    def link(self, objects: Sequence[Path | str], image: Path, *flags: str) -> Path:
        """An image of these objects, with nothing from a library."""
        require(self.linker)
        script = image.with_suffix(".lds")
        script.write_text(_SCRIPT)
        done = run(self.linker, "-e", "0", "-T", script, *flags, "-o", image, *objects)
        assert done.returncode == 0, done.stderr
        return image

    def lto(self, objects: Sequence[Path | str], image: Path, *roots: str) -> Path:
        """The same with the compiler's link-time optimisation; `roots` are not optimised away."""
        keep = [f"--undefined={root}" for root in roots]
        if self.clang:
            return self.link(objects, image, *keep)
        script = image.with_suffix(".lds")
        script.write_text(_SCRIPT)
        flags = ["-flto", "-O2", "-g", "-nostdlib", "-static", "-no-pie"]
        words = [f"-Wl,{flag}" for flag in ("--build-id=none", "-e,0", f"-T,{script}", *keep)]
        done = run(self.compiler, *flags, *words, "-o", image, *objects)
        assert done.returncode == 0, done.stderr
        return image


GCC = Toolchain("gcc", "gcc")
CLANGS = [
    Toolchain("clang-14", "clang-14"),
    Toolchain("clang-16", "clang-16"),
    Toolchain("clang-19", "clang-19"),
]
CROSS = [
    Toolchain("arm64", "aarch64-linux-gnu-gcc", "aarch64-linux-gnu-ld"),
    Toolchain("arm", "arm-linux-gnueabihf-gcc", "arm-linux-gnueabihf-ld", ("-marm",)),
    Toolchain("s390x", "s390x-linux-gnu-gcc", "s390x-linux-gnu-ld"),
    Toolchain("riscv64", "riscv64-linux-gnu-gcc", "riscv64-linux-gnu-ld"),
]
ALL = [GCC, *CLANGS, *CROSS]


def pahole_says(elf: Path, output: Path, *options: str) -> tuple[int, Path | None]:
    """Exit status of pahole, and the BTF if it wrote any."""
    require(PAHOLE)
    features = "--btf_features=default" if recent_pahole() else "--btf_gen_floats"
    output.unlink(missing_ok=True)
    done = run(PAHOLE, "-J", features, *options, f"--btf_encode_detached={output}", elf)
    return done.returncode, output if output.exists() else None
