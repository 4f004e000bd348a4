# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Variables of a link: which there are, and whether each is at its own address.

Symbols and debug information are what is in question when two objects have a static variable of
one name, so the truth is read elsewhere: each variable is initialised with a number that belongs to
its type, and pyelftools reads what stands in the image at the place that the BTF names.
"""

from __future__ import annotations

import itertools
import os
import random
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from minitree import script
from support import SCRIPTS, missing, recent_pahole, require, run
from toolchains import CLANGS, GCC, Toolchain, pahole_says

from kbuild_btf import Btf, _native, paths
from kbuild_btf.btf import Array, Datasec, Struct, Var

FRONT = SCRIPTS / "kbuild-btf-pahole"

CHAINS = [
    pytest.param(GCC, id="gcc, ld"),
    pytest.param(Toolchain("gcc-lld", "gcc", "ld.lld"), id="gcc, lld"),
    pytest.param(CLANGS[2], id="clang, ld"),
    pytest.param(Toolchain("clang-lld", CLANGS[2].compiler, "ld.lld"), id="clang, lld"),
]
FEATURES = ["+encode_force", "+global_var"]

HEAD = """
#define PERCPU __attribute__((section(".data..percpu"), used))
#define IN(name) __attribute__((section(name), used))
#define USED __attribute__((used))
#define VALUE(n) struct is_##n { unsigned value; }
"""

# What linkers of kernels do to variables: sub-sections are folded into one section, some are
# sorted, some are thrown away. An x86 kernel before 6.15 has per-CPU data at address 0, others do
# not.
LAYOUT = """SECTIONS {{
    .data..percpu {percpu} : {{
        KEEP(*(.data..percpu..first))
        . = ALIGN(4096);
        *(.data..percpu..page_aligned)
        . = ALIGN(64);
        *(.data..percpu..read_mostly)
        {sort}
        *(.data..percpu..shared_aligned)
    }}
    . = 0x100000;
    .text : {{ *(.text*) }}
    .data : {{ *(.data .data.*) }}
    .bss : {{ *(.bss .bss.* COMMON) }}
    .rodata : {{ *(.rodata*) }}
    /DISCARD/ : {{ *(.discard*) *(.eh_frame) *(.note*) }}
}}
"""


@dataclass
class Linked:
    """Objects, and the image that was linked of them."""

    image: Path
    objects: list[str]
    command: list[str]

    def btf(self, features: str = "+encode_force") -> Btf:
        """Of the objects; in any order they give the same, and the same as the linked DWARF."""
        made = _native.link(str(self.image), objects=self.objects, features=features).btf
        shuffled = random.Random(1).sample(self.objects, len(self.objects))
        assert _native.link(str(self.image), objects=shuffled, features=features).btf == made
        if _has_debug(self.image):
            assert _native.encode(str(self.image), features=features).btf == made
        return Btf.from_bytes(made)

    def stripped(self) -> Linked:
        """The same without debug sections, linked as a kernel build does it with the wrapper."""
        image = self.image.with_name(f"{self.image.name}.stripped")
        command = [str(image) if word == self.image.name else word for word in self.command]
        done = run(*command, "--strip-debug", cwd=self.image.parent)
        assert done.returncode == 0, done.stderr
        assert not _has_debug(image)
        return Linked(image, self.objects, self.command)


@dataclass
class Sources:
    """C files by path, and how they are linked."""

    chain: Toolchain
    directory: Path
    texts: Mapping[str, str]
    flags: Sequence[str] = ("-O1",)
    layout: Mapping[str, str] = field(default_factory=dict)

    def compile(self) -> list[str]:
        """Each where it is, under a path relative to the directory."""
        require(self.chain.compiler, self.chain.linker)
        common = ["-g", "-c", "-w", "-ffreestanding", "-fno-pic", *self.flags]
        for name, text in self.texts.items():
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(HEAD + text)
            command = [self.chain.compiler, *common, name, "-o", str(Path(name).with_suffix(".o"))]
            done = run(*command, cwd=self.directory)
            assert done.returncode == 0, done.stderr
        return [str(Path(name).with_suffix(".o")) for name in self.texts]

    def command(self, inputs: Sequence[str], image: str) -> list[str]:
        """That links, in the directory."""
        values = {"percpu": "0", "sort": "*(.data..percpu)", **self.layout}
        (self.directory / "image.lds").write_text(LAYOUT.format(**values))
        return [self.chain.linker, "-e", "0", "-T", "image.lds", "-o", image, *inputs]

    def link(self, *inputs: str, objects: Sequence[str] = ()) -> Linked:
        """An image of `inputs` (default: of all files), for which the linker takes `objects`."""
        inputs = inputs or tuple(self.compile())
        command = self.command(inputs, "image")
        done = run(*command, cwd=self.directory)
        assert done.returncode == 0, done.stderr
        taken = [str(self.directory / name) for name in objects or inputs]
        return Linked(self.directory / "image", taken, command)


def _has_debug(image: Path) -> bool:
    with image.open("rb") as file:
        return ELFFile(file).get_section_by_name(".debug_info") is not None


def contents(image: Path, section: str, offset: int) -> int:
    """The 32-bit word there, as pyelftools reads it."""
    with image.open("rb") as file:
        found = ELFFile(file).get_section_by_name(section)
        assert found is not None
        return int.from_bytes(found.data()[offset : offset + 4], "little")


def placed(btf: Btf) -> list[tuple[str, int, Var]]:
    """Each variable with its section and its offset there."""
    return [
        (section.name, entry.offset, variable)
        for section in btf
        if isinstance(section, Datasec)
        for entry in section.entries
        if isinstance(variable := btf[entry.type_id], Var)
    ]


def values(linked: Linked, btf: Btf) -> dict[tuple[str, str], str]:
    """By variable and number: the section. Checked for each variable of a type `struct is_<n>`:
    n stands where the BTF says that the variable is."""
    found = {}
    for section, offset, variable in placed(btf):
        own = btf.strip(variable.type_id)
        if isinstance(own, Struct) and own.name.startswith("is_"):
            number = own.name.removeprefix("is_")
            assert contents(linked.image, section, offset) == int(number), (variable.name, section)
            found[variable.name, number] = section
    assert len({(section, offset) for section, offset, _ in placed(btf)}) == len(placed(btf))
    return found


# --- static variables of one name ---------------------------------------------------------------

P, D = ".data..percpu", ".data"

FAMILY = {
    # Two files of one base name, with statics of the same names, per-CPU and plain.
    "one/same.c": """
        VALUE(101); VALUE(102); VALUE(103); VALUE(104);
        static PERCPU struct is_101 counter = { 101 };
        static PERCPU struct is_102 *unused_pointer;
        static USED struct is_102 enabled = { 102 };
        static IN(".discard.data") struct is_103 dropped = { 103 };
        int one_only(void) { static USED struct is_104 inside = { 104 }; return counter.value; }
        static USED int one_helper(void) { return 1; }
    """,
    "two/same.c": """
        VALUE(201); VALUE(202); VALUE(203); VALUE(204);
        static PERCPU struct is_201 counter = { 201 };
        static USED struct is_202 enabled = { 202 };
        static USED struct is_203 dropped = { 203 };
        int two_only(void) { static USED struct is_204 inside = { 204 }; return counter.value; }
        static USED int two_helper(void) { return 2; }
    """,
    # Not linked.
    "three/same.c": """
        VALUE(301); VALUE(302);
        static PERCPU struct is_301 counter = { 301 };
        static USED struct is_302 enabled = { 302 };
    """,
    # Pulled out of lib.a because main.c needs it; its neighbour stays there.
    "lib/same.c": """
        VALUE(401); VALUE(402);
        static PERCPU struct is_401 counter = { 401 };
        static USED struct is_402 enabled = { 402 };
        int from_library(void) { return counter.value; }
    """,
    "lib/unused.c": """
        VALUE(501);
        static PERCPU struct is_501 counter = { 501 };
        int not_needed(void) { return counter.value; }
    """,
    "main.c": """
        VALUE(601);
        PERCPU struct is_601 first_of_all = { 601 };
        int from_library(void);
        int start(void) { return from_library(); }
    """,
}


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("debug", [True, False], ids=["with DWARF", "stripped"])
@pytest.mark.parametrize("chain", CHAINS)
def test_each_static_is_at_its_own_address(
    chain: Toolchain, debug: bool, features: str, tmp_path: Path
) -> None:
    sources = Sources(chain, tmp_path, FAMILY)
    objects = sources.compile()
    require("ar")
    assert run("ar", "rcDs", "lib.a", "lib/same.o", "lib/unused.o", cwd=tmp_path).returncode == 0
    taken = ["main.o", "two/same.o", "one/same.o"]
    assert set(objects) - {*taken, "lib/same.o"} == {"three/same.o", "lib/unused.o"}
    linked = sources.link(*taken, "lib.a", objects=[*taken, "lib/same.o"])
    if not debug:
        linked = linked.stripped()

    expected = {("counter", n): P for n in ("101", "201", "401")} | {("first_of_all", "601"): P}
    if features == "+global_var":
        expected |= {("enabled", n): D for n in ("102", "202", "402")}
        expected |= {("dropped", "203"): D}
    assert values(linked, linked.btf(features)) == expected


# What tells two files of one name apart: in each case something else, and never their order.
TELLING = {
    "a static function of one of them": ("static USED int helper(void) { return 1; }", ""),
    "a static function of another size": (
        "static USED int same(void) { return 1; }",
        "static USED int same(void) { volatile int i = 0; return i + i; }",
    ),
    "a global variable in the section": ("PERCPU int neighbour = 9;", ""),
    "a static variable of one of them": ("static PERCPU long other = 9;", ""),
    "a static variable of another size": (
        "static PERCPU int other = 9;",
        "static PERCPU long other = 9;",
    ),
    "a static function beside a global one": (
        "int one_start(void) { return 1; } static USED int same(void) { return 2; }",
        "int two_start(void) { return 1; } static USED int same(void) { return 2; }",
    ),
}


def twins(first: str, second: str) -> dict[str, str]:
    """Two files of one name; `counter` has the same size in both."""
    text = "VALUE({0}); static PERCPU struct is_{0} counter = {{ {0} }}; "
    return {"one/same.c": text.format(11) + first, "two/same.c": text.format(22) + second}


BOTH = {("counter", "11"): P, ("counter", "22"): P}


@pytest.mark.parametrize("sort", ["*(.data..percpu)", "two/same.o(.data..percpu) *(.data..percpu)"])
@pytest.mark.parametrize("telling", TELLING)
@pytest.mark.parametrize("chain", CHAINS)
def test_evidence_that_decides(chain: Toolchain, telling: str, sort: str, tmp_path: Path) -> None:
    """Without debug information; also when the linker script takes the second object first."""
    layout = {"sort": sort.replace("two", "*two")}
    linked = Sources(chain, tmp_path, twins(*TELLING[telling]), layout=layout).link().stripped()
    assert values(linked, linked.btf()) == BOTH


@pytest.mark.parametrize("chain", CHAINS)
def test_what_is_discarded_takes_no_other_ones_place(chain: Toolchain, tmp_path: Path) -> None:
    """Of two statics of one name only one is left, and it is the other object's."""
    texts = {
        "one/same.c": 'VALUE(11); static IN(".discard") struct is_11 counter = { 11 };'
        " static USED int helper(void) { return 1; }",
        "two/same.c": "VALUE(22); static USED struct is_22 counter = { 22 };"
        " static USED int assistant(void) { return 2; }",
        "main.c": "int zero_is_taken = 1;",
    }
    linked = Sources(chain, tmp_path, texts).link()
    for image in (linked, linked.stripped()):
        assert values(image, image.btf("+global_var")) == {("counter", "22"): D}


@pytest.mark.parametrize("chain", CHAINS)
def test_an_object_without_debug_information(chain: Toolchain, tmp_path: Path) -> None:
    """It says nothing of its variable, which has the name of another one's."""
    for directory in ("one", "two"):
        own = tmp_path / directory
        texts = twins("", "")
        flags = ["-O1", "-g0"] if directory == "one" else ["-O1"]
        Sources(chain, own, {"same.c": texts[f"{directory}/same.c"]}, flags).compile()
    linked = Sources(chain, tmp_path, {}).link("one/same.o", "two/same.o")
    assert values(linked, linked.btf()) == {("counter", "22"): P}
    with pytest.raises(_native.Error, match="cannot tell the static variables counter"):
        linked.stripped().btf()


# Two objects that differ in nothing but the type of the variable.
ALIKE = twins("", "")


@pytest.mark.parametrize("chain", CHAINS)
def test_the_linked_units_tell_what_symbols_do_not(chain: Toolchain, tmp_path: Path) -> None:
    linked = Sources(chain, tmp_path, ALIKE, layout={"percpu": "0x1000"}).link()
    assert values(linked, linked.btf()) == BOTH
    assert values(linked, linked.btf("+global_var")) == BOTH


@pytest.mark.parametrize("chain", CHAINS)
def test_units_of_equal_name_and_directory(chain: Toolchain, tmp_path: Path) -> None:
    """Compiled in either directory, under paths that the compiler was told to forget."""
    objects = []
    for directory, (name, text) in zip(("one", "two"), ALIKE.items(), strict=True):
        own = tmp_path / directory
        flags = ["-O1", f"-ffile-prefix-map={own}=/src", f"-fdebug-prefix-map={own}=/src"]
        sources = Sources(chain, own, {Path(name).name: text}, flags)
        objects += [f"{directory}/{path}" for path in sources.compile()]
    linked = Sources(chain, tmp_path, {}).link(*objects)
    with linked.image.open("rb") as file:
        tops = [unit.get_top_DIE() for unit in ELFFile(file).get_dwarf_info().iter_CUs()]
        names = {
            tuple(top.attributes[a].value for a in ("DW_AT_name", "DW_AT_comp_dir")) for top in tops
        }
    assert (len(tops), names) == (2, {(b"same.c", b"/src")})
    assert values(linked, linked.btf()) == BOTH


def test_equal_objects_need_no_telling(tmp_path: Path) -> None:
    """Whichever is which: the BTF is the same, debug information or not."""
    text = "VALUE(7); static PERCPU struct is_7 counter = { 7 };"
    linked = Sources(GCC, tmp_path, {"one/same.c": text, "two/same.c": text}).link()
    for image in (linked, linked.stripped()):
        made = image.btf()
        values(image, made)
        assert [variable.name for _, _, variable in placed(made)] == ["counter", "counter"]


def test_never_guesses(tmp_path: Path) -> None:
    linked = Sources(GCC, tmp_path, ALIKE).link().stripped()
    message = "cannot tell the static variables counter of .*one/same.o and .*two/same.o apart"
    with pytest.raises(_native.Error, match=message):
        linked.btf()


def test_objects_of_another_link_are_no_evidence(tmp_path: Path) -> None:
    """Three units are there, two objects are named; two of the units are alike."""
    objects = []
    for directory, text in (("one", 11), ("two", 22), ("three", 11)):
        own = tmp_path / directory
        flags = ["-O1", f"-ffile-prefix-map={own}=/src", f"-fdebug-prefix-map={own}=/src"]
        counter = f"VALUE({text}); static PERCPU struct is_{text} counter = {{ {text} }};"
        objects += [
            f"{directory}/{o}" for o in Sources(GCC, own, {"same.c": counter}, flags).compile()
        ]
    linked = Sources(GCC, tmp_path, {}).link(*objects)
    with pytest.raises(_native.Error, match="cannot tell the static variables counter"):
        _native.link(str(linked.image), objects=linked.objects[:2])


def test_several_files_of_one_name_in_one_object(tmp_path: Path) -> None:
    """`ld -r` made one object of both: it has two groups of symbols of the same file."""
    sources = Sources(GCC, tmp_path, {**ALIKE, "main.c": "PERCPU int first = 1;"})
    sources.compile()
    done = run("ld", "-r", "-o", "both.o", "one/same.o", "two/same.o", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    linked = sources.link("main.o", "both.o")
    assert values(linked, linked.btf()) == BOTH


@pytest.mark.parametrize("chain", CHAINS)
def test_statics_of_one_name_in_a_module(chain: Toolchain, tmp_path: Path) -> None:
    """A relocatable file: sections start at 0, several objects are in one."""
    sources = Sources(chain, tmp_path, {**ALIKE, "main.c": "PERCPU int first = 1;"})
    objects = sources.compile()
    command = [chain.linker, "-r", "-o", "module.ko", *objects]
    assert run(*command, cwd=tmp_path).returncode == 0
    linked = Linked(tmp_path / "module.ko", [str(tmp_path / name) for name in objects], command)
    assert values(linked, linked.btf()) == BOTH


# --- in a build: the image is linked without debug information ----------------------------------


@pytest.fixture
def build(tmp_path: Path) -> Sources:
    """A directory in which the linker wrapper finds what it expects of a kernel tree."""
    (tmp_path / "include/config").mkdir(parents=True)
    (tmp_path / "include/config/auto.conf").write_text("CONFIG_DEBUG_INFO_BTF=y\n")
    return Sources(GCC, tmp_path, ALIKE)


def in_build(sources: Sources, *flags: str, linker: str | None = None) -> Linked:
    """The temporary image, as link-vmlinux.sh and the wrapper make it."""

    objects = sources.compile()
    command = sources.command([*flags, *objects], ".tmp_vmlinux1")
    command[0] = linker or command[0]
    done = run("sh", paths.linker_wrapper(), *command, cwd=sources.directory)
    assert done.returncode == 0, done.stderr
    linked = Linked(sources.directory / ".tmp_vmlinux1", objects, command)
    assert not _has_debug(linked.image)
    return linked


@pytest.mark.parametrize("where", ["there", "elsewhere"])
def test_a_build_links_once_more_to_know(build: Sources, where: str, tmp_path: Path) -> None:
    linked = in_build(build, "-Map=image.map")
    stamp = (tmp_path / "image.map").read_bytes()
    output = tmp_path / "out.btf"
    command: list[str | Path] = [
        FRONT,
        "-J",
        "--btf_features=default",
        f"--btf_encode_detached={output}",
    ]
    inside = where == "there"
    done = run(
        *command, ".tmp_vmlinux1" if inside else linked.image, cwd=tmp_path if inside else None
    )
    assert done.returncode == 0, done.stderr
    assert "linking it once more" in done.stderr
    assert "counter of" in done.stderr
    assert values(linked, Btf.load(output)) == BOTH
    assert list(tmp_path.glob("*.debug*")) == [], "what it linked is gone again"
    assert (tmp_path / "image.map").read_bytes() == stamp


def test_a_second_link_that_fails_is_a_clear_failure(build: Sources, tmp_path: Path) -> None:
    linker = script(
        tmp_path / "ld.sh",
        '#!/bin/sh\ncase "$*" in *strip-debug*) exec ld "$@";; esac\necho disk full >&2; exit 1\n',
    )
    linked = in_build(build, linker=str(linker))
    done = run(FRONT, "-J", f"--btf_encode_detached={tmp_path}/out.btf", linked.image)
    assert done.returncode == 1
    assert "linking it once more with debug information failed: disk full" in done.stderr
    assert not (tmp_path / "out.btf").exists()
    assert list(tmp_path.glob("*.debug*")) == []


def test_a_command_that_another_user_recorded_is_not_run(build: Sources, tmp_path: Path) -> None:
    if os.geteuid():
        missing("only root can make files of another user")
    linked = in_build(build)
    os.chown(tmp_path / ".tmp_kbuild-btf..tmp_vmlinux1.link", 12345, -1)
    done = run(FRONT, "-J", f"--btf_encode_detached={tmp_path}/out.btf", linked.image)
    assert done.returncode == 1
    assert "a command that another user recorded is not run" in done.stderr
    assert not (tmp_path / "out.btf").exists()


def test_a_second_link_of_other_addresses_is_no_evidence(build: Sources, tmp_path: Path) -> None:
    linker = script(
        tmp_path / "ld.sh",
        '#!/bin/sh\ncase "$*" in *strip-debug*) exec ld "$@";; esac\n'
        'sed -i "s/percpu 0 /percpu 0x40 /" image.lds; exec ld "$@"\n',
    )
    linked = in_build(build, linker=str(linker))
    done = run(FRONT, "-J", f"--btf_encode_detached={tmp_path}/out.btf", linked.image)
    assert done.returncode == 1
    assert "other addresses" in done.stderr
    assert not (tmp_path / "out.btf").exists()


def test_a_record_of_another_link_is_not_used(build: Sources, tmp_path: Path) -> None:
    linked = in_build(build)
    (record,) = tmp_path.glob(".tmp_kbuild-btf.*.link")
    words = record.read_bytes().rstrip(b"\0").split(b"\0")
    assert shlex.join(map(bytes.decode, words)).startswith("ld -e 0 -T image.lds -o .tmp_vmlinux1")
    record.unlink()
    done = run(FRONT, "-J", f"--btf_encode_detached={tmp_path}/out.btf", linked.image)
    assert done.returncode == 1
    assert "cannot tell the static variables counter" in done.stderr
    assert "KBUILD_BTF_KEEP_DEBUG=1" in done.stderr


# --- the other rules ----------------------------------------------------------------------------


def theirs(image: Path, *options: str) -> list[tuple[str, str, int]]:
    """Section, name and offset of each variable in pahole's BTF."""
    status, output = pahole_says(image, image.with_suffix(".pahole"), *options)
    assert output, status
    return sorted((section, v.name, offset) for section, offset, v in placed(Btf.load(output)))


def ours(linked: Linked, features: str = "+encode_force") -> list[tuple[str, str, int]]:
    return sorted((section, v.name, offset) for section, offset, v in placed(linked.btf(features)))


def agree(linked: Linked) -> None:
    """pahole has the same variables at the same places; older ones went by the symbols."""
    if recent_pahole():
        assert ours(linked) == theirs(linked.image)
        everything = theirs(linked.image, "--btf_features=+global_var")
        # A tentative definition is several variables at one place for pahole (docs/differences.md).
        assert ours(linked, "+global_var") == sorted(set(everything))


@pytest.mark.parametrize("percpu", ["0", "0x4000"])
@pytest.mark.parametrize("chain", CHAINS)
def test_folded_sub_sections(chain: Toolchain, percpu: str, tmp_path: Path) -> None:
    """All are one section of the image, in an order that only the linker script knows."""
    text = """
        VALUE({0}1); VALUE({0}2); VALUE({0}3); VALUE({0}4); VALUE({0}5);
        PERCPU struct is_{0}1 plain_{0} = {{ {0}1 }};
        static IN(".data..percpu..page_aligned") struct is_{0}2 paged = {{ {0}2 }};
        static IN(".data..percpu..shared_aligned") __attribute__((aligned(64)))
            struct is_{0}3 shared = {{ {0}3 }};
        static IN(".data..percpu..read_mostly") struct is_{0}4 mostly = {{ {0}4 }};
        USED struct is_{0}5 not_per_cpu_{0} = {{ {0}5 }};
        static USED int helper_{0}(void) {{ return {0}; }}
    """
    texts = {f"{name}/same.c": text.format(n) for n, name in ((1, "one"), (2, "two"))}
    texts["first.c"] = 'VALUE(9); IN(".data..percpu..first") struct is_9 first = { 9 };'
    linked = Sources(chain, tmp_path, texts, layout={"percpu": percpu}).link()
    names = {"1": "plain_{}", "2": "paged", "3": "shared", "4": "mostly"}
    expected = {
        (name.format(n), f"{n}{k}"): P for n, (k, name) in itertools.product("12", names.items())
    }
    expected["first", "9"] = P
    for image in (linked, linked.stripped()):
        assert values(image, image.btf()) == expected
    agree(linked)


@pytest.mark.parametrize("chain", CHAINS)
def test_weak_and_strong(chain: Toolchain, tmp_path: Path) -> None:
    """The strong one is what is there; a weak one that nobody overrides is, too."""
    texts = {
        "weak.c": "VALUE(1); VALUE(2); __attribute__((weak)) PERCPU struct is_1 both = { 1 };"
        " __attribute__((weak)) PERCPU struct is_2 alone = { 2 };",
        "strong.c": "VALUE(3); PERCPU struct is_3 both = { 3 }; VALUE(4);"
        " PERCPU struct is_4 last = { 4 };",
    }
    for order in (["weak.c", "strong.c"], ["strong.c", "weak.c"]):
        directory = tmp_path / order[0]
        linked = Sources(chain, directory, {name: texts[name] for name in order}).link()
        for image in (linked, linked.stripped()):
            made = image.btf()
            section = [offset for _, offset, _ in placed(made)]
            assert len(section) == len(set(section)) == 3
            names = [variable.name for _, _, variable in placed(made)]
            assert sorted(names) == ["alone", "both", "last"]
        # pahole has two variables at one place, which the kernel refuses.
        assert set(ours(linked)) == set(theirs(linked.image))


@pytest.mark.parametrize("chain", CHAINS)
def test_aliases(chain: Toolchain, tmp_path: Path) -> None:
    """An alias is another name of the same place, no variable of its own: pahole says so, too."""
    text = """
        VALUE(1); VALUE(2);
        PERCPU struct is_1 real = { 1 };
        extern struct is_1 alias __attribute__((alias("real")));
        static PERCPU struct is_2 hidden = { 2 };
        extern struct is_2 shown __attribute__((alias("hidden")));
        USED struct is_1 plain = { 1 };
        extern struct is_1 plain_alias __attribute__((weak, alias("plain")));
    """
    linked = Sources(chain, tmp_path, {"a.c": text, "b.c": "PERCPU int other = 3;"}).link()
    expected = {("real", "1"): P, ("hidden", "2"): P}
    assert values(linked, linked.btf()) == expected
    assert values(linked.stripped(), linked.stripped().btf()) == expected
    agree(linked)


@pytest.mark.parametrize("chain", CHAINS)
def test_declaration_and_definition_of_different_types(chain: Toolchain, tmp_path: Path) -> None:
    """The definition counts, in the object that has it; what others believe does not."""
    texts = {
        "believes.c": "extern PERCPU long shared; extern PERCPU int size[];"
        " long *f(void) { return &shared; } int *g(void) { return size; }",
        "knows.c": "VALUE(5); PERCPU struct is_5 shared = { 5 };"
        " extern PERCPU int size[]; PERCPU int size[3] = { 6 }; PERCPU int last = 7;",
    }
    linked = Sources(chain, tmp_path, texts).link()
    for image in (linked, linked.stripped()):
        made = image.btf()
        assert values(image, made) == {("shared", "5"): P}
        (variable,) = made.find(Var, "size")
        array = made.strip(variable.type_id)
        assert isinstance(array, Array)
        assert array.nelems == 3


@pytest.mark.parametrize("chain", CHAINS)
def test_statics_of_functions_are_no_variables(chain: Toolchain, tmp_path: Path) -> None:
    """One name several times in one object, inside functions and outside; gcc numbers the symbols,
    clang puts the function before."""
    text = """
        VALUE(1); VALUE(2); VALUE(3);
        static PERCPU struct is_1 x = { 1 };
        int f(void) { static PERCPU struct is_2 x = { 2 }; return x.value++; }
        int g(void) { static PERCPU struct is_3 x = { 3 }; { static PERCPU int x = 4; x++; }
                      return x.value++; }
    """
    linked = Sources(chain, tmp_path, {"a.c": text, "b.c": "PERCPU int other = 5;"}).link()
    with linked.image.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        own = [s for s in table.iter_symbols() if s["st_info"]["type"] == "STT_OBJECT"]
        assert len(own) == 5
    for image in (linked, linked.stripped()):
        assert values(image, image.btf()) == {("x", "1"): P}
    agree(linked)


@pytest.mark.parametrize("chain", CHAINS)
def test_common_and_hidden_symbols(chain: Toolchain, tmp_path: Path) -> None:
    """Hidden symbols are local in the image, and may then have the name of a static."""
    hidden = '__attribute__((visibility("hidden")))'
    texts = {
        "a.c": f"VALUE(1); {hidden} PERCPU struct is_1 thing = {{ 1 }}; int tentative;",
        "b.c": "VALUE(2); static PERCPU struct is_2 thing = { 2 }; int tentative;",
    }
    linked = Sources(chain, tmp_path, texts, ("-O1", "-fcommon")).link()
    expected = {("thing", "1"): P, ("thing", "2"): P}
    for image in (linked, linked.stripped()):
        assert values(image, image.btf()) == expected
        everything = image.btf("+global_var")
        assert [v.name for s, _, v in placed(everything) if s == ".bss"] == ["tentative"]
    agree(linked)


def test_sections_of_one_name_move_each_for_itself(tmp_path: Path) -> None:
    """clang makes a section of its own of what it finds to be constant, and of what may be merged;
    where one of them went tells nothing of the others."""
    source = tmp_path / "a.c"
    source.write_text(
        '#define INIT __attribute__((section(".init.data")))\n'
        "static int written[8] INIT = {1};\n"
        "static int fixed[4] INIT = {1, 2, 3};\n"
        "static int other[6] INIT = {4, 5};\n"
        "static const unsigned char small[4] = {9, 8, 7, 6}, more[4] = {1, 2, 3, 4};\n"
        "int _start(int i) {\n"
        "  written[i & 7] += 1;\n"
        "  return written[i] + fixed[i] + other[i] + small[i] + more[i];\n"
        "}\n"
    )
    clang = CLANGS[-1]
    elf = clang.compile(source, tmp_path / "a.o", "-O2", "-fno-pie")
    with elf.open("rb") as stream:
        sections = [s.name for s in ELFFile(stream).iter_sections()]
    assert sections.count(".init.data") > 1
    image = clang.link([elf], tmp_path / "image")
    made = _native.link(image, objects=[str(elf)], features="default,global_var").btf
    found = {v.name for v in Btf.from_bytes(made) if isinstance(v, Var)}
    assert found == {"written", "fixed", "other", "small", "more"}
    assert made == _native.encode(image, features="default,global_var").btf
