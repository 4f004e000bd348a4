# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Names with several definitions in a real Linux 6.12. Most of a kernel reaches struct net, and by
that names that vmlinux declares and only a module defines (struct netns_ipvs, nf_conntrack_helper);
and most reaches struct qstr, of which one object may have a definition of its own. Neither may make
a second kernel of types: not in vmlinux, not in its modules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from kernel import Kernel
from support import pahole, recent_pahole

from kbuild_btf import Btf, _native
from kbuild_btf.btf import Composite, Fwd, Struct
from kbuild_btf.compare import compare

pytestmark = pytest.mark.kernel

# Of a source that knows nothing of struct qstr (include/linux/dcache.h).
SOURCE = "lib/ctype.c"
PRIVATE = (
    "struct qstr { unsigned int first, second, third; };\n"
    "int kbuild_btf_private(struct qstr *private);\n"
    "int kbuild_btf_private(struct qstr *private) { return private->third; }\n"
)
# What vmlinux only declares, by the module that defines it.
DEFINED = {"nf_conntrack": "nf_conntrack_helper", "ip_vs": "netns_ipvs"}


@dataclass
class World:
    """A vmlinux, our BTF of it, and of the modules against it."""

    vmlinux: Path
    base: Path
    btf: Btf
    modules: dict[str, Btf]

    @classmethod
    def of(cls, kernel: Kernel, vmlinux: Path, directory: Path) -> World:
        """Encoded from their DWARF; vmlinux has its BTF."""
        base = directory / "vmlinux.btf"
        base.write_bytes(_native.read_section(str(vmlinux), ".BTF") or b"")
        btf = Btf.load(base)
        modules = {}
        for module in kernel.modules():
            path = directory / f"{module.stem}.btf"
            made = _native.encode(str(module), features=kernel.features, base=str(base))
            path.write_bytes(made.btf)
            modules[module.stem] = Btf.load(path, btf)
        return cls(vmlinux, base, btf, modules)


@pytest.fixture(scope="module")
def private(kernel: Kernel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """vmlinux with the private struct; the tree becomes what it was."""
    copy = tmp_path_factory.mktemp("private") / "vmlinux"
    source = kernel.source / SOURCE
    text = source.read_text()
    try:
        source.write_text(text + PRIVATE)
        kernel.make("vmlinux")
        copy.write_bytes(kernel.vmlinux.read_bytes())
        yield copy
    finally:
        source.write_text(text)
        kernel.make()


@pytest.fixture(scope="module", params=["as it is", "with a private struct"])
def world(
    request: pytest.FixtureRequest, kernel: Kernel, tmp_path_factory: pytest.TempPathFactory
) -> World:
    vmlinux = kernel.vmlinux
    if request.param != "as it is":
        vmlinux = request.getfixturevalue("private")
    return World.of(kernel, vmlinux, tmp_path_factory.mktemp("world"))


def definitions(btf: Btf) -> Counter[str]:
    return Counter(t.name for t in btf if isinstance(t, Composite) and t.name)


def test_vmlinux_has_one_name_more(kernel: Kernel, private: Path) -> None:
    """Of which there are two definitions; nothing that reaches it is there twice for that."""
    before = definitions(Btf.load(kernel.vmlinux))
    now = definitions(Btf.load(private))
    assert now - before == {"qstr": 1}
    assert before - now == {}
    whole = Btf.from_bytes(_native.encode(str(private), features=kernel.features).btf)
    assert definitions(whole) == now


def test_vmlinux_is_that_of_pahole(world: World, kernel: Kernel, tmp_path: Path) -> None:
    theirs = Btf.load(pahole(world.vmlinux, tmp_path / "pahole.btf", kernel.features))
    if recent_pahole():
        ours = Btf.from_bytes(_native.encode(world.vmlinux, features=kernel.features).btf)
        assert [diff for diff in compare(ours, theirs) if diff.differs] == []
    assert definitions(world.btf) == definitions(theirs)


@pytest.mark.parametrize("name", sorted(DEFINED))
def test_the_module_brings_the_definition(world: World, name: str) -> None:
    """Which vmlinux declares."""
    defined = DEFINED[name]
    assert world.btf.find(Struct, defined) == []
    assert world.btf.find(Fwd, defined)
    assert len(world.modules[name].find(Struct, defined)) == 1


def test_no_module_repeats_its_base(world: World) -> None:
    """No struct or union of the base is there once more with the same members."""

    def looks(found: Composite) -> tuple[object, ...]:
        return found.size, *((m.name, m.bit_offset, m.bit_size) for m in found.members)

    repeated = {
        name: {
            found.name
            for found in split
            if isinstance(found, Composite)
            and found.name
            and looks(found) in map(looks, world.btf.find(type(found), found.name))
        }
        for name, split in world.modules.items()
    }
    assert {name: sorted(found)[:5] for name, found in repeated.items() if found} == {}


def test_no_module_is_larger_than_that_of_pahole(
    world: World, kernel: Kernel, tmp_path: Path
) -> None:
    """Nor brings a struct that pahole's does not. (An older pahole has other functions, which count
    in bytes.)"""
    base = pahole(world.vmlinux, tmp_path / "vmlinux.btf", kernel.features)
    below = Btf.load(base)
    for module in kernel.modules():
        path = pahole(module, tmp_path / f"{module.stem}.btf", kernel.features, base)
        ours, theirs = world.modules[module.stem], Btf.load(path, below)
        assert definitions(ours) - definitions(theirs) == {}, module.stem
        if recent_pahole():
            size = world.base.with_name(path.name).stat().st_size
            assert size <= path.stat().st_size, module.stem
