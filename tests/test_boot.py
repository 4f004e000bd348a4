# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The kernel that was built with our BTF runs, in qemu: it shows the same BTF, byte for byte, loads
its modules and theirs, and a BPF program finds its way by it.

tests/boot has the two programs: init, the only process of that kernel, and what it lets BPF do.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from kernel import Kernel
from support import missing, require

from kbuild_btf import Btf, _native
from kbuild_btf.btf import Struct

pytestmark = pytest.mark.kernel

BOOT = Path(__file__).resolve().parent / "boot"
CLANGS = ("clang", "clang-19", "clang-16", "clang-14")
# Emulated, on a machine that may do other things, too.
SECONDS = 600


@dataclass
class Booted:
    """What came out of the two serial ports."""

    said: list[str]
    btf: dict[str, bytes]


def run(*argv: str | Path, cwd: Path | None = None, stdin: str | None = None) -> None:
    done = subprocess.run(
        [str(word) for word in argv], cwd=cwd, input=stdin, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def initramfs(kernel: Kernel, directory: Path) -> Path:
    """init, the BPF program and every module, as the kernel unpacks it at the start."""
    clang = next((name for name in CLANGS if shutil.which(name)), None)
    if clang is None:
        missing("no clang, which compiles BPF programs")
    for header in ("/usr/include/bpf/libbpf.h", "/usr/include/zlib.h", "/usr/include/libelf.h"):
        if not Path(header).exists():
            missing(f"no {header} (libbpf-dev, zlib1g-dev, libelf-dev)")
    root = directory / "root"
    (root / "modules").mkdir(parents=True)
    multiarch = subprocess.run(["gcc", "-print-multiarch"], capture_output=True, text=True).stdout
    include = f"-I/usr/include/{multiarch.strip()}"
    flags = ["-target", "bpf", "-O2", "-g", include]
    run(clang, *flags, "-c", BOOT / "probe.bpf.c", "-o", root / "probe.bpf.o")
    libraries = ["-lbpf", "-lelf", "-lz"]
    run("gcc", "-O2", "-static", "-o", root / "init", BOOT / "init.c", *libraries)
    for module in kernel.modules():
        shutil.copyfile(module, root / "modules" / module.name)
    names = [str(path.relative_to(root)) for path in sorted(root.rglob("*"))]
    archive = directory / "initramfs"
    run("cpio", "-o", "-H", "newc", "-O", archive, cwd=root, stdin="\n".join(names) + "\n")
    return archive


@pytest.fixture(scope="module")
def booted(kernel: Kernel, tmp_path_factory: pytest.TempPathFactory) -> Booted:
    """Boot it once; the tests look at what it said."""
    require("qemu-system-x86_64", "cpio", "gcc")
    directory = tmp_path_factory.mktemp("boot")
    image = kernel.build / "arch/x86/boot/bzImage"
    console, port = directory / "console", directory / "port"
    # Nothing of the machine that runs the tests: no network, no disk, no KVM.
    command: list[str | Path] = [
        *("qemu-system-x86_64", "-accel", "tcg", "-m", "512", "-no-reboot", "-nodefaults"),
        *("-display", "none", "-kernel", image, "-initrd", initramfs(kernel, directory)),
        # no_timer_check: ticks come late from an emulator on a busy machine.
        *("-append", "console=ttyS0 panic=-1 loglevel=4 no_timer_check"),
        *("-serial", f"file:{console}", "-serial", f"file:{port}"),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        pytest.fail(f"no end after {SECONDS} s: {console.read_text(errors='replace')[-2000:]}")
    log = console.read_text(errors="replace")
    assert done.returncode == 0, done.stderr
    said = re.findall(r"^test: (.*?)\r?$", log, re.M)
    assert said[-1:] == ["end"], log[-4000:]
    return Booted(said, dict(files(port.read_bytes())))


def files(stream: bytes) -> Iterator[tuple[str, bytes]]:
    """What init.c sends: a line with name and size, then the content."""
    while stream:
        head, _, rest = stream.partition(b"\n")
        name, size = head.decode().split()
        yield name, rest[: int(size)]
        stream = rest[int(size) :]


def test_the_kernel_shows_our_btf_byte_for_byte(kernel: Kernel, booted: Booted) -> None:
    # `all`, since pytest would print two megabytes of difference.
    expected = _native.read_section(str(kernel.vmlinux), ".BTF")
    assert all([booted.btf["vmlinux"] == expected])


def test_every_module_is_loaded_and_shows_its_btf(kernel: Kernel, booted: Booted) -> None:
    """With CONFIG_MODULE_ALLOW_BTF_MISMATCH off, so each passed the kernel's own checks."""
    assert [line for line in booted.said if line.startswith("not ")] == []
    modules = kernel.modules()
    assert len(modules) > 3
    assert {f"loaded {module.name}" for module in modules} <= set(booted.said)
    for module in modules:
        expected = _native.read_section(str(module), ".BTF")
        assert all([booted.btf[module.stem.replace("-", "_")] == expected]), module


def test_a_bpf_program_reads_the_kernels_structs(booted: Booted) -> None:
    """Offsets come from the BTF; the values are those that init.c gave its socket."""
    assert "probe returned 2" in booted.said, "XDP_PASS"
    assert "port 7357 backlog 41" in booted.said, booted.said


def test_a_bpf_program_knows_a_modules_struct(kernel: Kernel, booted: Booted) -> None:
    base = Btf.load(kernel.vmlinux)
    (veth,) = (module for module in kernel.modules() if module.name == "veth.ko")
    private = next(
        found
        for found in Btf.load(veth, base)
        if isinstance(found, Struct) and found.name == "veth_priv"
    )
    offset = {m.name: m.bit_offset // 8 for m in private.members}["requested_headroom"]
    assert f"veth_priv offset {offset} size {private.size}" in booted.said
