# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""A real Linux 6.12, built with the hook and the link step."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import digests
import pytest
from kernel import Kernel
from layout_check import assertions
from support import kbuild_btf, missing, pahole, recent_pahole, require, run

from kbuild_btf import Btf, _native
from kbuild_btf.btf import Kind, Struct
from kbuild_btf.compare import diff
from kbuild_btf.verification import running, verify

pytestmark = pytest.mark.kernel

# What these print on every make of a finished tree.
_ALWAYS = {"CALL", "DESCEND", "GEN", "INSTALL", "SYNC"}

# What every link compiles again; the link step encodes it, since no hook runs there.
_OF_THE_LINK = {".tmp_version-timestamp.o.kbtf", ".tmp_.tmp_vmlinux0.kallsyms.o.kbtf"}

_TYPE_KINDS = (
    *(Kind.INT, Kind.PTR, Kind.ARRAY, Kind.STRUCT, Kind.UNION, Kind.ENUM, Kind.ENUM64),
    *(Kind.FLOAT, Kind.FWD, Kind.TYPEDEF, Kind.VOLATILE, Kind.CONST, Kind.RESTRICT),
)


def steps(output: str) -> list[str]:
    """The steps of a make ("CC lib/ctype.o"), without those of every make."""
    found = re.findall(r"^  ([A-Z]+)\s+(?:\[M\]\s+)?(\S+)", output, re.MULTILINE)
    return [f"{what} {name}" for what, name in found if what not in _ALWAYS]


@pytest.fixture(scope="module")
def vmlinux(kernel: Kernel) -> Btf:
    return Btf.load(kernel.vmlinux)


def test_make_again_does_nothing(kernel: Kernel) -> None:
    before = kernel.vmlinux.stat().st_mtime_ns, kernel.sidecars()
    assert steps(kernel.make()) == []
    assert (kernel.vmlinux.stat().st_mtime_ns, kernel.sidecars()) == before


def test_the_kernels_own_rules(kernel: Kernel) -> None:
    """As our own check knows them, for vmlinux and each module."""
    base = _native.read_section(str(kernel.vmlinux), ".BTF")
    assert base
    _native.check(base)
    modules = kernel.modules()
    assert len(modules) > 3
    for module in modules:
        split = _native.read_section(str(module), ".BTF")
        assert split, module
        _native.check(split, base)


def test_link_and_whole_encode_are_the_same_bytes(kernel: Kernel) -> None:
    """Sidecars and linked DWARF, one thread and two, are one road."""
    path = str(kernel.vmlinux)
    linked = _native.link(path, jobs=2)
    assert linked.report["encoded"] <= len(_OF_THE_LINK)
    assert linked.report["reused"] > 700
    assert _native.link(path, jobs=1).btf == linked.btf
    assert _native.encode(path, jobs=2).btf == linked.btf
    assert _native.encode(path, jobs=1).btf == linked.btf


def test_objects_in_any_order(kernel: Kernel) -> None:
    path = str(kernel.vmlinux)
    objects = _native.linked_objects(path)
    assert len(objects) > 700
    expected = _native.link(path).btf
    assert _native.link(path, objects=objects[::-1]).btf == expected
    assert _native.link(path, objects=objects[1::2] + objects[::2]).btf == expected


def test_types_are_those_of_pahole(kernel: Kernel, vmlinux: Btf, tmp_path: Path) -> None:
    """No type differs but for what only a function or variable of one side mentions."""
    theirs = Btf.load(pahole(kernel.vmlinux, tmp_path / "pahole.btf"))
    kinds = {one.kind: one for one in diff(vmlinux, theirs).kinds}
    for kind in _TYPE_KINDS:
        if kind in kinds:
            found = kinds[kind]
            assert (found.only_a, found.only_b, found.changed) == ([], [], []), kind
    assert kinds[Kind.STRUCT].a > 2000


def test_everything_is_that_of_a_recent_pahole(kernel: Kernel, tmp_path: Path) -> None:
    """Functions, variables and tags, too, with the features that this kernel asks for. (From 7.0
    on its own program adds to what is in vmlinux.) Where there is only an older pahole, digests of
    what a recent one made of the same kernel have to do."""
    ours = Btf.from_bytes(_native.link(str(kernel.vmlinux), features=kernel.features).btf)
    found = digests.of(ours)
    assert {"FUNC", "VAR", "DATASEC"} <= found.keys()
    assert "decl_tag_kfuncs" not in kernel.features or "DECL_TAG" in found
    if recent_pahole():
        theirs = Btf.load(pahole(kernel.vmlinux, tmp_path / "pahole.btf", kernel.features))
        differing = [one for one in diff(ours, theirs).kinds if one.differs]
        assert [(d.kind, d.only_a[:9], d.only_b[:9], d.changed[:9]) for d in differing] == []
        assert found == digests.of(theirs)
    else:
        known = digests.recorded(kernel)
        if known is None:
            missing(f"{digests.FILE} has no digests for: {digests.key(kernel)}. {digests.AGAIN}")
        assert found == known


def test_bpftool_makes_a_header_that_compiles(kernel: Kernel, tmp_path: Path) -> None:
    # Debian keeps bpftool where only root's PATH looks.
    os.environ["PATH"] += ":/usr/sbin"
    require("bpftool")
    done = run("bpftool", "btf", "dump", "file", kernel.vmlinux, "format", "c")
    assert done.returncode == 0, done.stderr
    source = tmp_path / "vmlinux.c"
    source.write_text(done.stdout)
    compiled = run("gcc", "-c", "-w", "-fno-builtin", "-o", tmp_path / "vmlinux.o", source)
    assert compiled.returncode == 0, compiled.stderr[:4000]


def test_one_header_of_the_kernel_and_its_modules_compiles(
    kernel: Kernel, vmlinux: Btf, tmp_path: Path
) -> None:
    """By gcc with each size and offset of vmlinux, and by clang for BPF, as programs do, whose
    va_list is another."""
    require("gcc", "clang-19")
    done = kbuild_btf("dump", "--format", "c", kernel.vmlinux, *kernel.modules())
    assert done.returncode == 0, done.stderr
    header, checked = tmp_path / "vmlinux.h", tmp_path / "checked.c"
    header.write_text(done.stdout)
    checked.write_text("\n".join(['#include "vmlinux.h"', *assertions(vmlinux), ""]))
    flags = ("-Wall", "-Werror", "-c", "-o", tmp_path / "out.o")
    for command in (
        ("gcc", "-std=gnu11", "-fno-builtin", *flags, checked),
        ("clang-19", "--target=bpf", "-g", "-O2", *flags, "-x", "c", header),
    ):
        compiled = run(*command)
        assert compiled.returncode == 0, compiled.stderr[:4000]


def test_resolve_btfids_found_its_ids(kernel: Kernel, vmlinux: Btf) -> None:
    """The section holds ids of types that are there; unresolved ones would be 0."""
    raw = _native.read_section(str(kernel.vmlinux), ".BTF_ids")
    assert raw
    words = [int.from_bytes(raw[i : i + 4], "little") for i in range(0, len(raw), 4)]
    ids = [word for word in words if 0 < word < len(vmlinux)]
    assert len(ids) > len(words) // 3
    assert any(isinstance(vmlinux[i], Struct) and vmlinux[i].name == "task_struct" for i in ids)
    assert "WARN: resolve_btfids" not in kernel.log.read_text()


def test_the_running_kernel_takes_it(kernel: Kernel) -> None:
    """BPF_BTF_LOAD, where this machine allows it."""
    raw = _native.read_section(str(kernel.vmlinux), ".BTF")
    assert raw
    if "layout" in kernel.features:
        pytest.skip("only a kernel of that age knows this header; tests/test_boot.py starts one")
    outcome = running.load(raw)
    if outcome.accepted is None:
        missing(outcome.why)
    assert outcome.accepted, outcome.why


def test_it_is_what_the_dwarf_says(kernel: Kernel) -> None:
    """By a reader that shares nothing with the encoder: a tenth of vmlinux, and a whole module."""
    verdict = verify(kernel.vmlinux, sample=80, kernel=False)
    assert [str(problem) for problem in verdict.problems] == []
    assert verdict.units == 80
    module = min(kernel.modules(), key=lambda path: path.stat().st_size)
    verdict = verify(module, base=kernel.vmlinux, kernel=False)
    assert [str(problem) for problem in verdict.problems] == []
    assert not verdict.sampled


@contextmanager
def edited(path: Path, more: str) -> Iterator[None]:
    """A source file with something appended, as long as the block lasts."""
    before = path.read_text()
    path.write_text(before + more)
    try:
        yield
    finally:
        path.write_text(before)


def test_after_an_edit_only_that_object_is_encoded(kernel: Kernel) -> None:
    source = kernel.source / "lib/ctype.c"
    more = "\nstruct kbuild_btf_edit { int new_member; } kbuild_btf_edit;\n"
    original = _native.read_section(str(kernel.vmlinux), ".BTF")
    before = kernel.sidecars()
    try:
        with edited(source, more):
            made = steps(kernel.make("vmlinux"))
            assert "CC lib/ctype.o" in made
            after = kernel.sidecars()
            written = {path.name for path, time in after.items() if before.get(path) != time}
            assert written - _OF_THE_LINK == {".tmp_ctype.o.kbtf"}
            assert after.keys() == before.keys()
            (found,) = Btf.load(kernel.vmlinux).find(Struct, "kbuild_btf_edit")
            assert [m.name for m in found.members] == ["new_member"]
    finally:
        kernel.make()
    restored = _native.read_section(str(kernel.vmlinux), ".BTF")
    assert original
    assert restored
    assert diff(Btf.from_bytes(original), Btf.from_bytes(restored)).same
    # `all`, since pytest would print two megabytes of difference.
    assert all([restored == original])


def test_building_without_the_variables(kernel: Kernel, tmp_path: Path) -> None:
    """By plain make the tree works as if we were not there."""
    (tmp_path / "plain.c").write_text(
        '#include <linux/module.h>\nstruct plain { int a; } plain;\nMODULE_LICENSE("GPL");\n'
    )
    (tmp_path / "Makefile").write_text("obj-m := plain.o\n")
    before = kernel.sidecars()
    done = run("make", "-C", kernel.build, f"M={tmp_path}", "plain.o")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "plain.o").exists()
    assert list(tmp_path.glob(".tmp_*.kbtf")) == []
    assert kernel.sidecars() == before
