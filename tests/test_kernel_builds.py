# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The forms in which people build a real Linux 6.12, and what goes wrong in them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kernel import VERSION, Kernel
from minitree import programs
from support import SCRIPTS, SOURCES, require

from kbuild_btf import Btf, _native
from kbuild_btf.btf import Struct
from kbuild_btf.cache import Cache
from kbuild_btf.verification import modules

pytestmark = pytest.mark.kernel

OBJECT = "lib/ctype.o"
# Compiled by every link, without a hook: version-timestamp.o and the kallsyms of the first pass.
OF_THE_LINK = 2


@pytest.fixture
def btf(kernel: Kernel) -> Iterator[bytes]:
    """That of vmlinux; after the test the tree is again as it was, and so is the BTF."""
    before = _native.read_section(str(kernel.vmlinux), ".BTF")
    assert before
    yield before
    kernel.make()
    # `all`, since pytest would print two megabytes of difference.
    assert all([_native.read_section(str(kernel.vmlinux), ".BTF") == before])


def sidecar(kernel: Kernel, name: str) -> Path:
    return Path(_native.sidecar_path(str(kernel.build / name)))


# Options of make, and what the hook or make says of it.
FORMS = [
    ([], f"  BTF     {OBJECT}"),
    (["V=1"], f"{SCRIPTS}/kbuild-btf-hook {OBJECT}"),
    (["W=1"], f"  BTF     {OBJECT}"),
    (["C=1"], f"  CHECK   .*/lib/ctype.c\n  BTF     {OBJECT}"),
    (["-s"], ""),
]


def test_a_single_target(kernel: Kernel, btf: bytes) -> None:
    require("sparse")
    beside = sidecar(kernel, OBJECT)
    for options, said in FORMS:
        if options == ["C=1"] and VERSION == "7.3":
            continue  # It wants a newer sparse than Debian 12 has.
        (kernel.build / OBJECT).unlink()
        beside.unlink()
        output = kernel.make(*options, OBJECT)
        assert re.search(said, output), output
        assert beside.exists(), options


def test_a_dry_run_encodes_nothing(kernel: Kernel, btf: bytes) -> None:
    """Linux links vmlinux even then (its recipe begins with `+`, and make -n takes every
    prerequisite for new); the rest is only printed."""
    before = kernel.sidecars()
    (kernel.source / "lib/ctype.c").touch()
    assert f"kbuild-btf-hook --echo {OBJECT}" in kernel.make("-n", "vmlinux")
    after = kernel.sidecars()
    assert sum(before.get(path) != time for path, time in after.items()) <= OF_THE_LINK
    assert kernel.vmlinux.exists()


def test_external_modules(kernel: Kernel, btf: bytes, tmp_path: Path) -> None:
    """One of three objects, one of them assembler, and one of a single object; the base is the
    tree's vmlinux, or the same as raw BTF, as people copy it from /sys/kernel/btf."""
    made = kernel.outside(tmp_path / "elf")
    hooked = {path.name for path in (tmp_path / "elf").glob(".tmp_*.o.kbtf")}
    assert {f".tmp_{name}.o.kbtf" for name in ("alone", "entry", "main", "more")} <= hooked
    alone, outside = ({found.name for found in Btf.load(module)} for module in made)
    assert {"alone", "net_device_stats"} & alone == {"alone"}, "the other one is the kernel's"
    assert {"outside", "outside_part", "outside_get", "outside_of_cpu", "list_head"} & outside == {
        "outside",
        "outside_part",
        "outside_get",
        "outside_of_cpu",
    }
    for module in made:
        below = Btf.from_bytes(_native.read_section(module, ".BTF.base") or b"")
        assert {"alone": "net_device_stats", "outside": "list_head"}[module.stem] in {
            found.name for found in below
        }
    assert modules.verify_modules(kernel.vmlinux, made)[1] == []

    with another_vmlinux(kernel, btf):
        again = kernel.outside(tmp_path / "raw")
    for one, other in zip(made, again, strict=True):
        for section in (".BTF", ".BTF.base"):
            assert _native.read_section(one, section) == _native.read_section(other, section)


def test_external_modules_and_the_wrong_vmlinux(kernel: Kernel, btf: bytes, tmp_path: Path) -> None:
    """Of another kernel, cut off, without BTF: make fails and names it. Without any, the kernel's
    own makefile says that it leaves BTF out; then verify finds it."""
    running = Path("/sys/kernel/btf/vmlinux")
    module = Btf.from_bytes(btf).find(Struct, "module")[0]
    wrong = {
        "short": (btf[: len(btf) // 2], "lie outside"),
        "none": (b"int main;", "not BTF"),
    }
    if running.exists():
        assert Btf.load(running).find(Struct, "module")[0].size != module.size
        wrong["running"] = (running.read_bytes(), "BTF of another kernel")
    for name, (content, said) in wrong.items():
        directory = tmp_path / name
        shutil.copytree(SOURCES / "outside", directory)
        with another_vmlinux(kernel, content):
            done = kernel.run_make(f"M={directory}", "modules")
        assert done.returncode == 2
        (message,) = [line for line in done.stderr.splitlines() if "kbuild-btf: error" in line][:1]
        assert said in message
        assert "vmlinux" in message
        assert not list(directory.glob("*.ko")) or name != "running"
    with another_vmlinux(kernel, None):
        (alone, outside) = kernel.outside(tmp_path / "without")
    _, failures = modules.verify_modules(kernel.vmlinux, [alone, outside])
    assert ["no .BTF section" in failure.what for failure in failures] == [True, True]


@contextmanager
def another_vmlinux(kernel: Kernel, content: bytes | None) -> Iterator[None]:
    """Something else, or nothing, in the place of the tree's."""
    index = kernel.vmlinux.with_name(".tmp_vmlinux.btf-index")
    kept = kernel.vmlinux.rename(kernel.vmlinux.with_name(".vmlinux-of-the-tests"))
    try:
        if content is not None:
            kernel.vmlinux.write_bytes(content)
        yield
    finally:
        kept.rename(kernel.vmlinux)
        index.unlink(missing_ok=True)


def test_sidecars_of_every_kind_of_wrong(kernel: Kernel, btf: bytes) -> None:
    """Stale, damaged, foreign, missing: the link encodes these objects, or takes them from the
    cache, and nothing else."""
    names = ("kernel/fork.o", "mm/memory.o", "net/core/sock.o", "fs/namei.o")
    stale, damaged, foreign, missing = (sidecar(kernel, name) for name in names)
    foreign.write_bytes(stale.read_bytes())
    damaged.write_bytes(damaged.read_bytes()[:-100] + bytes(100))
    missing.unlink()
    (kernel.build / names[0]).touch()
    before = kernel.sidecars()
    kernel.image.unlink()
    said = kernel.make("vmlinux")
    found = _native.read_section(str(kernel.vmlinux), ".BTF")
    assert all([found == btf])
    now = kernel.sidecars()
    written = [path.name for path, time in now.items() if before.get(path) != time]
    assert {path.name for path in (damaged, foreign, missing)} <= set(written)
    assert len(written) <= 3 + OF_THE_LINK
    assert " objects linked, " in said


def test_an_encoder_that_fails_leaves_no_kernel_without_btf(
    kernel: Kernel, btf: bytes, tmp_path: Path
) -> None:
    """link-vmlinux.sh of 6.12 goes on after a failure of pahole; the build must not."""
    dies = 'case $1 in --version) exec @REAL@ "$@";; esac\necho >&2 out of order\nexit 1'
    kernel.image.unlink()
    done = kernel.run_make("vmlinux", KBUILD_BTF_BIN=str(programs(tmp_path / "bin", pahole=dies)))
    assert done.returncode == 2
    assert "out of order" in done.stderr
    assert not kernel.image.exists()


@pytest.mark.parametrize(
    ("name", "text", "changes"),
    [
        ("lib/ctype.c", "/* The end. */\n", False),
        ("lib/ctype.c", "int new_function(int x);\nint new_function(int x) { return x; }\n", True),
    ],
    ids=["comment", "new function"],
)
def test_increments(
    kernel: Kernel, btf: bytes, tmp_path: Path, name: str, text: str, changes: bool
) -> None:
    """The BTF is that of a build from scratch: what the image's own debug information gives. What
    is encoded is what has changed."""
    source = kernel.source / name
    before = source.read_text()
    cache = Cache(kernel.directory / "cache")
    misses = cache.statistics(0).misses
    try:
        source.write_text(before + text)
        kernel.make("vmlinux")
        found = _native.read_section(str(kernel.vmlinux), ".BTF")
        scratch = _native.encode(str(kernel.vmlinux), features=kernel.features).btf
        assert all([found == kernel.finished(scratch, tmp_path)])
        assert (found != btf) == changes
        assert cache.statistics(0).misses - misses <= changes + OF_THE_LINK
    finally:
        source.write_text(before)
