# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The kernel that was built with our BTF runs, in qemu: it shows the same BTF, byte for byte, loads
its modules and theirs, and BPF programs find their way by it. So does the same kernel with a type
more, for which a module with a distilled base was not built.

tests/boot has the programs: init, the only process of that kernel, and what it lets BPF do;
tests/c/outside the module that is built outside the tree.
"""

from __future__ import annotations

import random
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
from kbuild_btf.compare import diff
from kbuild_btf.errors import Error
from kbuild_btf.verification import modules

pytestmark = pytest.mark.kernel

BOOT = Path(__file__).resolve().parent / "boot"
CLANGS = ("clang", "clang-19", "clang-16", "clang-14")
# Of each section of a module.
DAMAGED = 60
# What a kernel is given between two builds: a type with strings of its own.
MORE = (
    "struct kbuild_btf_more { long kbuild_btf_member; };\n"
    "int kbuild_btf_more(struct kbuild_btf_more *more);\n"
    "int kbuild_btf_more(struct kbuild_btf_more *more) { return more != 0; }\n"
)
# Emulated, on a machine that may do other things, too.
SECONDS = 600


@dataclass
class Booted:
    """What came out of the two serial ports: what init said, what the kernel said of modules whose
    BTF it refuses, and files of BTF."""

    said: list[str]
    refused: set[str]
    btf: dict[str, bytes]


def run(*argv: str | Path, cwd: Path | None = None, stdin: str | None = None) -> None:
    done = subprocess.run(
        [str(word) for word in argv], cwd=cwd, input=stdin, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def libraries(program: Path) -> list[Path]:
    """Shared libraries of a program and what loads them, where it looks for them. (Not every system
    has all that libelf needs to be linked statically.)"""
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return [Path(path) for path in re.findall(r"(?:=> |^\s)(/\S+)", said, re.M)]


def initramfs(directory: Path, programs: list[str], **folders: list[Path]) -> Path:
    """init, BPF programs of tests/boot, and folders of modules, as the kernel unpacks them."""
    clang = next((name for name in CLANGS if shutil.which(name)), None)
    if clang is None:
        missing("no clang, which compiles BPF programs")
    for header in ("/usr/include/bpf/libbpf.h", "/usr/include/zlib.h", "/usr/include/libelf.h"):
        if not Path(header).exists():
            missing(f"no {header} (libbpf-dev, zlib1g-dev, libelf-dev)")
    root = directory / "root"
    multiarch = subprocess.run(["gcc", "-print-multiarch"], capture_output=True, text=True).stdout
    include = f"-I/usr/include/{multiarch.strip()}"
    for folder, content in folders.items():
        (root / folder).mkdir(parents=True)
        for module in content:
            shutil.copyfile(module, root / folder / module.name)
    for program in programs:
        flags = ["-target", "bpf", "-O2", "-g", include]
        run(clang, *flags, "-c", BOOT / f"{program}.bpf.c", "-o", root / f"{program}.bpf.o")
    init = root / "init"
    run("gcc", "-O2", "-o", init, BOOT / "init.c", "-lbpf", "-lelf", "-lz")
    for library in libraries(init):
        (root / library.relative_to("/")).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(library, root / library.relative_to("/"))
        (root / library.relative_to("/")).chmod(0o755)
    names = [str(path.relative_to(root)) for path in sorted(root.rglob("*"))]
    archive = directory / "initramfs"
    run("cpio", "-o", "-H", "newc", "-O", archive, cwd=root, stdin="\n".join(names) + "\n")
    return archive


def boot(kernel: Kernel, directory: Path, programs: list[str], **folders: list[Path]) -> Booted:
    """Boot the image of the tree as it is, with that initramfs."""
    require("qemu-system-x86_64", "cpio", "gcc")
    image = kernel.build / "arch/x86/boot/bzImage"
    console, port = directory / "console", directory / "port"
    archive = initramfs(directory, programs, **folders)
    # Nothing of the machine that runs the tests: no network, no disk, no KVM.
    command: list[str | Path] = [
        *("qemu-system-x86_64", "-accel", "tcg", "-m", "512", "-no-reboot", "-nodefaults"),
        *("-display", "none", "-kernel", image, "-initrd", archive),
        # no_timer_check: ticks come late from an emulator on a busy machine.
        *("-append", "console=ttyS0 panic=-1 loglevel=5 no_timer_check"),
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
    refused = re.findall(r"failed to validate module \[(\w+)\] BTF: -22", log)
    return Booted(said, set(refused), dict(files(port.read_bytes())))


@pytest.fixture(scope="module")
def outside(kernel: Kernel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The module of tests/c/outside with a distilled base: whatever the tests do to the kernel,
    it was built for what it was before."""
    (_, module) = kernel.outside(tmp_path_factory.mktemp("outside"))
    return module


def damaged(module: Path, directory: Path) -> list[Path]:
    """Copies under names of their own, with another byte somewhere in the BTF or in its base."""
    directory.mkdir()
    rng = random.Random(12)
    paths: list[Path] = []
    for section in (".BTF", ".BTF.base"):
        content = _native.read_section(module, section)
        assert content
        for _ in range(DAMAGED):
            path = directory / f"damaged{len(paths):03}.ko"
            path.write_bytes(renamed(module, path.stem))
            at = rng.randrange(len(content))
            value = rng.choice([content[at] ^ 1 << rng.randrange(8), rng.randrange(256)])
            other = content[:at] + bytes([value]) + content[at + 1 :]
            _native.embed(path, [(section, other)])
            paths.append(path)
    return paths


def renamed(module: Path, name: str) -> bytes:
    """The file, with another name in its struct module."""
    content = module.read_bytes()
    this_module = _native.read_section(module, ".gnu.linkonce.this_module")
    assert this_module
    assert content.count(this_module) == 1
    start = content.index(this_module) + this_module.index(module.stem.encode())
    return content[:start] + name.encode() + content[start + len(name) :]


@pytest.fixture(scope="module")
def trials(outside: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Damaged modules that the kernel survives: 6.12 moves to vmlinux' numbers what refers to types
    that are not there, without a look, and crashes."""
    paths = damaged(outside, tmp_path_factory.mktemp("trials") / "damaged")
    return [path for path in paths if not refers_to_nothing(path)]


def refers_to_nothing(module: Path) -> bool:
    try:
        Btf.load(module)
    except Error as refused:
        return "refers to a type beyond the last one" in refused.what
    return False


@pytest.fixture(scope="module")
def booted(
    kernel: Kernel, outside: Path, trials: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Booted:
    """Boot it once; the tests look at what it said.

    When only vmlinux is newer, Linux runs resolve_btfids again on a module that it does not link
    again. The set of kfuncs was sorted then, and their flags end up at other functions. So the one
    that has several is linked anew.
    """
    (conntrack,) = (path for path in kernel.modules() if path.stem == "nf_conntrack")
    conntrack.unlink()
    kernel.make()
    directory = tmp_path_factory.mktemp("boot")
    loaded = [*kernel.modules(), outside]
    return boot(kernel, directory, ["probe", "outside", "net"], modules=loaded, damaged=trials)


@dataclass
class Rebuilt:
    """The kernel with a type more, and modules of the one before, in copies."""

    booted: Booted
    before: list[Path]
    failures: list[modules.Failure]
    vmlinux_before: Path
    vmlinux: Path


@pytest.fixture(scope="module")
def rebuilt(
    kernel: Kernel, outside: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rebuilt]:
    """Built, asked of verify, and booted; then the tree becomes what it was."""
    directory = tmp_path_factory.mktemp("rebuilt")
    (directory / "before").mkdir()
    before = [outside]
    for path in (kernel.vmlinux, *kernel.modules()):
        before.append(directory / "before" / path.name)
        shutil.copy2(path, before[-1])
    vmlinux_before = before.pop(1)
    source = kernel.source / "lib/ctype.c"
    text = source.read_text()
    try:
        source.write_text(text + MORE)
        kernel.make("vmlinux", "bzImage")
        vmlinux = directory / "vmlinux"
        shutil.copy2(kernel.vmlinux, vmlinux)
        _, failures = modules.verify_modules(vmlinux, before)
        booted = boot(kernel, directory, ["outside"], modules=before)
        yield Rebuilt(booted, before, failures, vmlinux_before, vmlinux)
    finally:
        source.write_text(text)
        kernel.make()


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
    expected_to = kernel.modules()
    assert len(expected_to) > 3
    assert {f"loaded {module.name}" for module in expected_to} <= set(booted.said)
    for module in expected_to:
        expected = _native.read_section(str(module), ".BTF")
        assert all([booted.btf[module.stem.replace("-", "_")] == expected]), module


def test_a_bpf_program_reads_the_kernels_structs(booted: Booted) -> None:
    """Offsets come from the BTF; the values are those that init.c gave its socket."""
    assert "/probe.bpf.o returned 2" in booted.said, "XDP_PASS"
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


def test_a_bpf_program_reads_a_modules_struct(booted: Booted) -> None:
    """Through a function of the module, whose BTF says what it returns and where its members are.
    The module counts one up from 6, and has 3 for the enumerator before OUTSIDE_BAD."""
    assert "/outside.bpf.o returned 2" in booted.said, booted.said
    assert "outside number 7 bad 4" in booted.said


def test_a_bpf_program_reads_through_struct_net(booted: Booted) -> None:
    """A socket is the same for vmlinux and for a module that defines what vmlinux only declares, or
    the verifier would not let it through. sysctl_checksum is 1 by default; the module adds 11."""
    assert "/net.bpf.o returned 2" in booted.said, booted.said
    said = "net checksum 1, inserted 1 checksum 1, port of the module 7368"
    assert said in booted.said, booted.said


def test_the_kernel_and_verify_agree_on_damaged_modules(
    kernel: Kernel, trials: list[Path], booted: Booted
) -> None:
    """None is called sound that the kernel refuses. What verify says beyond that are types that no
    C program has, or names that are torn."""
    names = {path.stem for path in trials}
    assert sum(line.startswith("tried ") for line in booted.said) == len(trials)
    assert booted.refused
    assert booted.refused < names
    _, failures = modules.verify_modules(kernel.vmlinux, trials)
    failed = {Path(failure.module).stem: failure.what for failure in failures}
    assert booted.refused - failed.keys() == set()
    # What a distilled base asks of vmlinux is asked by the kernel's rules and nothing else.
    asked = {
        name
        for name, what in failed.items()
        if "rules: the kernel has" in what or "rules: the kernel's" in what
    }
    assert asked
    assert asked <= booted.refused


def test_a_kernel_with_a_type_more(outside: Path, rebuilt: Rebuilt) -> None:
    """A module with a distilled base still works there. Those that are split against the BTF of
    before do not, and verify has said so of each."""
    said = rebuilt.booted.said
    assert "/outside.bpf.o returned 2" in said, said
    assert "outside number 7 bad 4" in said
    loaded = {path for path in rebuilt.before if f"loaded {path.name}" in said}
    refused = {path for path in rebuilt.before if path.stem in rebuilt.booted.refused}
    failed = {Path(failure.module) for failure in rebuilt.failures}
    assert failed == set(rebuilt.before) - {outside}
    assert outside in loaded
    assert refused
    assert not refused & loaded
    for failure in rebuilt.failures:
        assert "bytes of strings" in failure.what
        assert failure.side == f"{rebuilt.vmlinux} is the newer one"


def test_with_stable_ids_modules_of_before_stay(
    kernel: Kernel, rebuilt: Rebuilt, tmp_path: Path
) -> None:
    """The build with the type more makes room; modules of that one fit the next, without it."""

    def encoded(name: str, elf: Path, reference: Path) -> Path:
        made = _native.encode(elf, features=kernel.features, stable_ids=reference)
        path = tmp_path / name
        path.write_bytes(made.btf)
        return path

    room = encoded("room", rebuilt.vmlinux, rebuilt.vmlinux_before)
    after = encoded("after", rebuilt.vmlinux_before, room)
    assert not all([after.read_bytes() == room.read_bytes()])
    of_room = []
    for module in rebuilt.before[1:]:
        of_room.append(tmp_path / module.name)
        shutil.copy(module, of_room[-1])
        made = _native.encode(module, features=kernel.features, base=room)
        _native.embed(of_room[-1], [(".BTF", made.btf)])
    assert modules.verify_modules(room, of_room)[1] == []
    assert modules.verify_modules(after, of_room)[1] == []
    # Where ids are not kept, they do not fit.
    _, failures = modules.verify_modules(rebuilt.vmlinux_before, of_room)
    assert {Path(failure.module) for failure in failures} == set(of_room)
    # They mean the same types as before, too.
    bases = Btf.load(room), Btf.load(after)
    for path in (path for path in of_room if path.name in ("bridge.ko", "tun.ko", "veth.ko")):
        assert diff(*(Btf.load(path, base) for base in bases)).same
