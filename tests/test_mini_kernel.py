# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The bundled mini-kernel, built with our own programs as a user builds a kernel."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from minitree import (
    BUILTIN,
    LIBRARY,
    MODULE,
    NOT_KERNEL,
    PRODUCTS,
    MiniTree,
    mini_kernel,
    products,
    sidecar,
    sidecars,
)

from kbuild_btf import Btf
from kbuild_btf.btf import Datasec, DeclTag, Enum64, Func, Fwd, Struct, Var
from kbuild_btf.btf.elf import section
from kbuild_btf.cache import Cache

HOOKED = sorted(BUILTIN + LIBRARY + MODULE)
LINKED = sorted([*BUILTIN, "lib/checksum.o"])


@pytest.fixture(scope="module")
def btf(built: MiniTree) -> Btf:
    return Btf.load(built.directory / "vmlinux")


def symbols(image: Path) -> list[tuple[int, str, str]]:
    """(value, letter of nm, name) of each symbol."""
    listing = subprocess.run(["nm", image], capture_output=True, text=True, check=True).stdout
    lines = (line.split() for line in listing.splitlines())
    return [(int(words[0], 16), words[1], words[2]) for words in lines if len(words) == 3]


# --- what came out ------------------------------------------------------------------------------


def test_the_linker_wrapper_recorded_what_was_linked(built: MiniTree) -> None:
    lines = built.trace.read_text().splitlines()
    assert sorted(line for line in lines if not line.endswith(".a")) == LINKED


def test_every_kernel_object_has_a_sidecar_and_no_other(built: MiniTree) -> None:
    """Those that the hook wrote, and of the object that only the link of the module knows."""
    expected = [*HOOKED, "drivers/mini.mod.o"]
    assert sorted(sidecars(built)) == sorted(map(sidecar, expected))
    assert (built.directory / NOT_KERNEL[0]).exists()


def test_per_cpu_variables_are_where_the_linker_put_them(built: MiniTree, btf: Btf) -> None:
    """Two files have static per-CPU variables of the same names."""
    (percpu,) = (found for found in btf if isinstance(found, Datasec))
    assert percpu.name == ".data..percpu"
    ours = [(entry.offset, btf[entry.type_id].name) for entry in percpu.entries]
    assert ours == sorted(ours)
    expected = sorted(
        (value, name)
        for value, _, name in symbols(built.directory / "vmlinux")
        if value < 0x1000 and not name.startswith("__per_cpu_")
    )
    assert [name for _, name in expected].count("counter") == 2
    assert sorted(ours) == expected
    assert percpu.size == 320


def test_linkage_and_type_of_per_cpu_variables(btf: Btf) -> None:
    linkage = {found.name: found.linkage for found in btf if isinstance(found, Var)}
    assert linkage["run_queues"] == 1
    assert linkage["driver_state"] == 0
    (variable,) = btf.find(Var, "driver_state")
    state = btf.strip(variable.type_id)
    assert isinstance(state, Struct)
    assert [member.name for member in state.members] == ["since", "device", "level"]


def test_functions_are_those_of_the_image(built: MiniTree, btf: Btf) -> None:
    names = [found.name for found in btf if isinstance(found, Func)]
    assert len(names) == len(set(names))
    text = {name for _, letter, name in symbols(built.directory / "vmlinux") if letter in "tTwW"}
    assert set(names) <= text | {name.partition(".")[0] for name in text}
    # External, weak and won over by a strong one, weak and not, of lib.a, a pointer's target.
    assert {"sched_start", "arch_cpu_count", "arch_fixup", "lib_checksum", "null_write"} <= set(
        names
    )
    # Discarded, not linked, not pulled out of lib.a, of one name with two prototypes.
    assert not {"main_exit", "trampoline", "lib_unused", "update"} & set(names)


def test_types_of_objects_that_were_not_linked_are_absent(btf: Btf) -> None:
    assert btf.find(Struct, "checksum")
    assert not btf.find(Struct, "only_in_trampoline")
    assert not btf.find(Struct, "only_in_unused")


def test_structs_of_one_name_are_kept_apart_and_equal_ones_are_merged(btf: Btf) -> None:
    assert sorted(len(found.members) for found in btf.find(Struct, "state")) == [2, 3]
    assert len(btf.find(Struct, "counter")) == 1
    assert len(btf.find(Struct, "task")) == 1


def test_forward_declarations_stay_only_where_nothing_is_known(btf: Btf) -> None:
    assert [found.name for found in btf if isinstance(found, Fwd)] == ["never_defined"]
    assert btf.find(Struct, "address_space")


def test_bitfields_and_wide_enumerations(btf: Btf) -> None:
    (task,) = btf.find(Struct, "task")
    place = {member.name: (member.bit_offset, member.bit_size) for member in task.members}
    assert place["sched_class"] == (321, 3)
    assert place["nice"] == (328, 6)
    assert place["traced"][1] == 0
    (wide,) = btf.find(Enum64, "task_capability")
    assert [value.value for value in wide.values] == [1, 1 << 40, (1 << 64) - 1]


def test_kfuncs_are_tagged(btf: Btf) -> None:
    tags = {btf[tag.type_id].name for tag in btf.find(DeclTag, "bpf_kfunc")}
    assert tags == {"mini_task_acquire", "mini_task_release"}


def test_the_module_builds_on_the_kernel(built: MiniTree, btf: Btf) -> None:
    module = Btf.load(built.directory / "drivers/mini.ko", btf)
    own = {found.name for found in module if found.name}
    assert {"mini_device", "mini_mode", "mini_open", "mini_find", "module_info"} <= own
    assert not {"task", "list_head", "u8", "task_state"} & own
    (device,) = (
        found for found in module if isinstance(found, Struct) and found.name == "mini_device"
    )
    assert btf.strip(device.members[0].type_id).name == ""
    owner = module[device.members[0].type_id]
    assert owner.id < len(btf), "struct task * is the kernel's"


@pytest.mark.parametrize("mode", ["keep", "split"])
def test_variables_that_only_debug_information_tells_apart(mode: str, tmp_path: Path) -> None:
    """Two files that differ in the type of a static variable: the image is linked once more."""
    tree = mini_kernel(tmp_path)
    tree.environ["KBUILD_BTF_DEBUG"] = mode
    for directory, kind, value in (("kernel", "int", 3), ("drivers", "unsigned int", 4)):
        (tree.directory / directory / "twin.c").write_text(
            f"#include <mini/sections.h>\nstatic __used DEFINE_PER_CPU({kind}, twin) = {value};\n"
        )
        tree.replace(f"{directory}/Makefile", "stats.o", "stats.o twin.o")
    done = tree.make("-j4")
    assert "cannot tell the static variables twin of" in done.stderr
    assert "linking it once more" in done.stderr
    assert list(tree.directory.glob(".tmp_kbuild-btf.*.debug*")) == []

    image = tree.directory / "vmlinux"
    btf = Btf.load(image)
    (percpu,) = (found for found in btf if isinstance(found, Datasec))
    contents = section(memoryview(image.read_bytes()), percpu.name, str(image))
    assert contents is not None
    found = {
        btf.strip(variable.type_id).name: contents[entry.offset]
        for entry in percpu.entries
        if isinstance(variable := btf[entry.type_id], Var) and variable.name == "twin"
    }
    assert found == {"int": 3, "unsigned int": 4}


# --- building again -----------------------------------------------------------------------------


def test_make_again_does_nothing(tree: MiniTree) -> None:
    before = tree.times(*PRODUCTS), sidecars(tree)
    tree.make("-j4")
    assert (tree.times(*PRODUCTS), sidecars(tree)) == before


def test_an_edit_encodes_that_object_only_and_gives_what_a_new_build_gives(
    tree: MiniTree, tmp_path: Path
) -> None:
    before = sidecars(tree)
    edit = ("kernel/sched.c", "\tu32 length;\n", "\tu32 length;\n\tu32 longest;\n")
    tree.replace(*edit)
    tree.make("-j4")
    after = sidecars(tree)
    assert [name for name in after if after[name] != before[name]] == [sidecar("kernel/sched.o")]
    (queue,) = Btf.load(tree.directory / "vmlinux").find(Struct, "run_queue")
    assert "longest" in [member.name for member in queue.members]

    fresh = mini_kernel(tmp_path / "new")
    fresh.replace(*edit)
    fresh.make()
    assert products(fresh) == products(tree)


def test_after_make_clean_everything_comes_from_the_cache(
    tree: MiniTree, built: MiniTree, tmp_path: Path
) -> None:
    tree.make("clean")
    assert not sidecars(tree), "make clean removes them"
    tree.make("-j4")  # the copy is in another directory, which the objects name
    tree.make("clean")
    cache = Cache(tmp_path / "cache")
    before = cache.statistics(0)
    tree.make("-j4")
    after = cache.statistics(0)
    assert after.hits - before.hits >= len(HOOKED)
    assert after.misses == before.misses
    assert products(tree) == products(built)


@pytest.mark.parametrize(
    "how",
    [
        {"KBUILD_BTF_HOOK": "0"},
        {"KBUILD_BTF_KEEP_DEBUG": "1"},
        {"KBUILD_BTF_CACHE": ""},
        {"KBUILD_BTF_CACHE": "/proc/nowhere"},
        {"MAKEFLAGS": "-j8"},
    ],
    ids=lambda how: " ".join(how),
)
def test_the_result_does_not_depend_on_how_it_is_built(
    tmp_path: Path, built: MiniTree, how: dict[str, str]
) -> None:
    other = mini_kernel(tmp_path)
    other.environ |= how
    other.make()
    assert products(other) == products(built)
