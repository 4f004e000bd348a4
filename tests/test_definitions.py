# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Names with several definitions in a real Linux 6.12. Most of a kernel reaches struct net, and by
that a name that vmlinux only declares and a module defines (netns_ipvs, of ip_vs); and most reaches
struct qstr, of which one object may have a definition of its own. Neither may make a second kernel
of types: not in vmlinux, not in its modules."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from kernel import Kernel
from support import compiled, pahole, recent_pahole

from kbuild_btf import Btf, _native
from kbuild_btf.btf import Composite, Enum, Func, Fwd, Kind, Struct
from kbuild_btf.compare import diff

pytestmark = pytest.mark.kernel

# One more object of vmlinux, which knows nothing of include/linux/dcache.h. It has no function: one
# that is not in vmlinux would show that the object is not.
PRIVATE = "struct qstr { unsigned int first, second, third; };\nstruct qstr *kbuild_btf_private;\n"
# What vmlinux only declares, by the module that defines it: two structs, and an enumeration.
DEFINED = {
    "crypto_algapi": "rtattr",
    "ip_vs": "netns_ipvs",
    "nf_conntrack": "nf_nat_manip_type",
}


@dataclass
class World:
    """BTF of vmlinux, and of the modules against it, with their sizes in bytes."""

    btf: Btf
    modules: dict[str, Btf]
    sizes: dict[str, int]

    @classmethod
    def of(cls, kernel: Kernel, raw: bytes, base: Path) -> World:
        """With this BTF as the base."""
        base.write_bytes(raw)
        world = cls(Btf.load(base), {}, {})
        for module in kernel.modules():
            split = _native.encode(module, features=kernel.features, base=base).btf
            world.modules[module.stem] = Btf.from_bytes(split, world.btf)
            world.sizes[module.stem] = len(split)
        return world


@pytest.fixture(scope="module")
def plain(kernel: Kernel, tmp_path_factory: pytest.TempPathFactory) -> World:
    made = _native.link(kernel.vmlinux, features=kernel.features)
    return World.of(kernel, made.btf, tmp_path_factory.mktemp("plain") / "vmlinux.btf")


@pytest.fixture(scope="module")
def private(kernel: Kernel, tmp_path_factory: pytest.TempPathFactory) -> World:
    """With the private struct."""
    directory = tmp_path_factory.mktemp("private")
    source = directory / "private.c"
    source.write_text(PRIVATE)
    more = compiled(source, directory / "private.o", "-O2")
    objects = [*_native.linked_objects(kernel.vmlinux), more]
    made = _native.link(kernel.vmlinux, features=kernel.features, objects=objects)
    return World.of(kernel, made.btf, directory / "vmlinux.btf")


@pytest.fixture(params=["plain", "private"])
def world(request: pytest.FixtureRequest) -> World:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, World)
    return found


def definitions(btf: Btf) -> Counter[str]:
    return Counter(t.name for t in btf if isinstance(t, Composite) and t.name)


def functions(btf: Btf, among: set[str]) -> Counter[str]:
    return Counter(t.name for t in btf if isinstance(t, Func) and t.name in among)


def test_a_private_struct_is_one_type_more(plain: World, private: World) -> None:
    """With the pointer to it; what reaches the name in all other objects is what it was."""
    differing = {one.kind: one for one in diff(plain.btf, private.btf).kinds if one.differs}
    assert {kind: diff.only_a + diff.follows_a for kind, diff in differing.items()} == {
        Kind.PTR: [],
        Kind.STRUCT: [],
    }
    assert [len(diff.only_b + diff.follows_b) for diff in differing.values()] == [1, 1]
    assert [diff.changed for diff in differing.values()] == [[], []]
    assert definitions(private.btf) - definitions(plain.btf) == {"qstr": 1}


@pytest.mark.parametrize("name", DEFINED)
def test_the_module_brings_the_definition(world: World, name: str) -> None:
    """Once, of what vmlinux only declares."""
    defined = DEFINED[name]
    declared = [t for t in world.btf if t.name == defined]
    assert len(declared) == 1
    assert isinstance(declared[0], Fwd) or (
        isinstance(declared[0], Enum) and not declared[0].values
    )
    assert [isinstance(t, (Struct, Enum)) for t in world.modules[name] if t.name == defined] == [
        True
    ]


def test_no_module_repeats_its_base(world: World) -> None:
    """No struct or union of the base is there once more with the same members."""

    def looks(found: Composite) -> tuple[object, ...]:
        return found.size, *((m.name, m.bit_offset, m.bit_size) for m in found.members)

    repeated = {
        name: [
            found.name
            for found in split
            if isinstance(found, Composite)
            and found.name
            and looks(found) in map(looks, world.btf.find(type(found), found.name))
        ]
        for name, split in world.modules.items()
    }
    assert {name: (len(found), found[:5]) for name, found in repeated.items() if found} == {}


def test_no_module_has_more_than_that_of_pahole(
    world: World, kernel: Kernel, tmp_path: Path
) -> None:
    """No struct, and no byte: whatever else vmlinux has, against pahole's of the kernel as it is.
    But a function that vmlinux has, too, is a FUNC of the module: three words (differences.md).
    (An older pahole has other functions, which count in bytes.)"""
    base = pahole(kernel.vmlinux, tmp_path / "vmlinux.btf", kernel.features)
    below = Btf.load(base)
    shared = {found.name for found in world.btf if isinstance(found, Func)}
    more, larger = {}, {}
    for module in kernel.modules():
        name = module.stem
        theirs = pahole(module, tmp_path / f"{name}.btf", kernel.features, base)
        split = Btf.load(theirs, below)
        more[name] = definitions(world.modules[name]) - definitions(split)
        unshared = sum((functions(world.modules[name], shared) - functions(split, shared)).values())
        larger[name] = (
            world.sizes[name] - 12 * unshared - theirs.stat().st_size if recent_pahole() else 0
        )
    assert {name: len(found) for name, found in more.items() if found} == {}
    assert {name: size for name, size in larger.items() if size > 0} == {}
