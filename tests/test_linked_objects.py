# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Which objects count: those that the linker took, however they came to be, and no other.

On the mini-kernel, changed to link as Linux does in one configuration or another. What is right
is told by the image's own debug information, which the objects have no part in.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from minitree import MiniTree, mini_kernel, products, sidecars
from support import compiled, require

from kbuild_btf import Btf, Error, _native
from kbuild_btf.btf import Func, Struct
from kbuild_btf.btf.elf import section

IMAGE = ".tmp_vmlinux1"
MARK = ".discard.kbuild_btf"
LINK = "scripts/link-vmlinux.sh"
INPUTS = """--whole-archive vmlinux.a --no-whole-archive \\
		--start-group $KBUILD_VMLINUX_LIBS --end-group $2"""


@pytest.fixture
def fresh(tmp_path: Path) -> MiniTree:
    """A tree that was not built yet."""
    return mini_kernel(tmp_path)


def btf(path: Path) -> bytes:
    found = section(memoryview(path.read_bytes()), ".BTF", path.name)
    assert found is not None
    return bytes(found)


def source(name: str) -> str:
    """A C file with a struct and a function of its own, and data that keeps both."""
    return (
        f"struct of_{name} {{ int {name}_member; }};\n"
        f"struct of_{name} {name}_data = {{ 1 }};\n"
        f"int {name}_function(struct of_{name} *p);\n"
        f"int {name}_function(struct of_{name} *p) {{ return p->{name}_member; }}\n"
    )


def made_as_from_the_image(tree: MiniTree, *arguments: str) -> Btf:
    """Build twice: from the objects, and with the image's debug sections, which must give the same
    bytes. The result, which has to have come from the objects."""
    said = tree.make("-j4", *arguments)
    assert " objects linked, " in said.stdout
    assert "debug information, because" not in said.stderr
    made = btf(tree.directory / "vmlinux")
    (tree.directory / "vmlinux").unlink()
    tree.make("-j4", *arguments, KBUILD_BTF_KEEP_DEBUG="1")
    image = tree.directory / IMAGE
    assert all([_native.encode(str(image), features=KERNEL_FEATURES).btf == made])
    assert btf(tree.directory / "vmlinux") == made
    return Btf.from_bytes(made)


# As pahole-flags.sh of the mini-kernel has them.
KERNEL_FEATURES = (
    "encode_force,var,float,enum64,decl_tag,type_tag,optimized_func,consistent_func,decl_tag_kfuncs"
)


def structs(made: Btf) -> set[str]:
    return {found.name for found in made if isinstance(found, Struct)}


def functions(made: Btf) -> set[str]:
    return {found.name for found in made if isinstance(found, Func)}


# --- the forms of a link ------------------------------------------------------------------------


def link_vmlinux_o(tree: MiniTree) -> None:
    """As with X86_KERNEL_IBT."""
    relink = "$LD -r -o vmlinux.o " + INPUTS.removesuffix(" $2")
    tree.replace(LINK, "vmlinux_link .tmp_vmlinux1\n", relink + "\nvmlinux_link .tmp_vmlinux1\n")
    tree.replace(LINK, '"$1" \\\n\t\t' + INPUTS, '"$1" \\\n\t\tvmlinux.o $2')


def test_vmlinux_o_is_linked(fresh: MiniTree, built: MiniTree) -> None:
    """The members are those of vmlinux.a and what it took of lib.a."""
    link_vmlinux_o(fresh)
    made_as_from_the_image(fresh)
    assert "vmlinux.o(lib/checksum.o)" in fresh.trace.read_text().splitlines()
    assert "unused" not in fresh.trace.read_text()
    assert products(fresh) == products(built)


def test_objects_that_the_linker_removes(fresh: MiniTree) -> None:
    """As with LD_DEAD_CODE_DATA_ELIMINATION: nobody uses dead.o, and its types go with it. The
    linker's trace has it all the same."""
    (fresh.directory / "kernel/dead.c").write_text(source("dead"))
    fresh.replace("kernel/Makefile", "entry.o", "entry.o dead.o")
    fresh.replace("Makefile", "_CFLAGS := ", "_CFLAGS := -ffunction-sections -fdata-sections ")
    fresh.replace("Makefile", "LDFLAGS_vmlinux := ", "LDFLAGS_vmlinux := --gc-sections ")
    said = fresh.make("-j4")
    assert "kernel/dead.o" in fresh.trace.read_text()
    assert "reading its own debug information, because: " in said.stderr
    made = btf(fresh.directory / "vmlinux")
    image = fresh.directory / IMAGE
    assert all([_native.encode(str(image), features=KERNEL_FEATURES).btf == made])
    assert "of_dead" not in structs(Btf.from_bytes(made))


@pytest.mark.parametrize("name", [".vmlinux.export", "init/version-timestamp"])
@pytest.mark.parametrize("traced", [True, False])
def test_objects_that_the_link_itself_compiles(fresh: MiniTree, name: str, traced: bool) -> None:
    """They are in no archive, and no hook runs for them."""
    (fresh.directory / "init").mkdir()
    (fresh.directory / f"{name}.c").write_text(source("extra"))
    compile_it = f"$CC -g -O2 -c -o {name}.o {name}.c\n"
    fresh.replace(LINK, "vmlinux_link .tmp_vmlinux1\n", compile_it + "vmlinux_link .tmp_vmlinux1\n")
    fresh.replace(LINK, "--end-group $2", f"--end-group {name}.o $2")
    if not traced:
        fresh.replace("scripts/Makefile.vmlinux", '_vmlinux)";', '_vmlinux)" ;')
        # All of the library, since nobody says which part.
        fresh.replace("lib/Makefile", "lib-y", "obj-y")
        fresh.replace("Makefile", " drivers/built-in.a", " drivers/built-in.a lib/built-in.a")
        fresh.replace("Makefile", "lib/lib.a", "")
    made = made_as_from_the_image(fresh)
    assert fresh.trace.exists() == traced
    assert "of_extra" in structs(made)
    assert "extra_function" in functions(made)


def test_what_all_modules_share(fresh: MiniTree) -> None:
    """.module-common.o, since 6.12: at the top of the tree and in no .mod file."""
    (fresh.directory / ".module-common.c").write_text(source("common"))
    rule = "\n.module-common.o: .module-common.c ; @$(CC) -g -O2 -c -o $@ $<\n"
    fresh.replace(
        "scripts/Makefile.modfinal", "%.mod.o vmlinux", "%.mod.o .module-common.o vmlinux"
    )
    fresh.replace("scripts/Makefile.modfinal", "\nFORCE:", rule + "\nFORCE:")
    fresh.make("-j4")
    base = Btf.load(fresh.directory / "vmlinux")
    module = Btf.load(fresh.directory / "drivers/mini.ko", base)
    assert {"of_common", "module_info", "mini_device"} <= structs(module)


def make_objects_of_objects(tree: MiniTree) -> None:
    """arm64's .pi.o and nvhe.o, and an EFI stub in lib.a: objcopy and ld -r give symbols a prefix
    and sections another name, the debug information stays."""
    for name in ("early", "switch", "timer", "stub"):
        (tree.directory / f"kernel/{name}.c").write_text(source(name))
    (tree.directory / "lib/stub.c").write_text(source("stub"))
    tree.replace("kernel/Makefile", "obj-y := ", "obj-y := early.pi.o nvhe.o ")
    tree.replace("kernel/Makefile", "always-y := ", "always-y := early.o switch.o timer.o ")
    tree.replace("lib/Makefile", "lib-y := ", "always-y := stub.o\nlib-y := stub.stub.o ")
    makefile = tree.directory / "kernel/Makefile"
    makefile.write_text(
        makefile.read_text()
        + "$(obj)/early.pi.o: $(obj)/early.o ; @$(OBJCOPY) --prefix-symbols=__pi_ $< $@\n"
        + "$(obj)/nvhe.tmp.o: $(obj)/switch.o $(obj)/timer.o ; @$(LD) -r -o $@ $^\n"
        + "$(obj)/nvhe.o: $(obj)/nvhe.tmp.o ; @$(OBJCOPY) --prefix-symbols=__kvm_nvhe_ $< $@\n"
    )
    makefile = tree.directory / "lib/Makefile"
    makefile.write_text(
        makefile.read_text()
        + "$(obj)/stub.stub.o: $(obj)/stub.o ; @$(OBJCOPY) --prefix-alloc-sections=.init $< $@\n"
    )
    # Something needs the stub, so that it is taken out of lib.a.
    main = tree.directory / "kernel/main.c"
    main.write_text(
        main.read_text() + "\nint stub_function(void *p);\nvoid *use = stub_function;\n"
    )
    tree.replace("vmlinux.lds", "*(.init.text)", "*(.init.text) *(.init.data) *(.init.bss)")


def test_objects_that_are_made_of_objects(fresh: MiniTree) -> None:
    make_objects_of_objects(fresh)
    made = made_as_from_the_image(fresh)
    linked = fresh.trace.read_text().splitlines()
    assert {"kernel/early.pi.o", "kernel/nvhe.o", "lib/stub.stub.o"} <= set(linked)
    assert {"of_early", "of_switch", "of_timer", "of_stub"} <= structs(made)
    assert "stub_function" in functions(made)
    # Their symbols have the prefix; a program that looks for the name would not find them.
    assert not {"early_function", "switch_function"} & functions(made)
    (of_nvhe,) = (name for name in sidecars(fresh) if "nvhe" in name)
    assert of_nvhe == "kernel/.tmp_nvhe.o.kbtf"


@pytest.mark.parametrize(
    ("mode", "store"),
    [("drop", "sidecar"), ("drop", "section"), ("split", "sidecar"), ("lean", "sidecar")],
)
def test_objects_that_are_made_of_objects_in_each_mode(
    fresh: MiniTree, mode: str, store: str
) -> None:
    """What they are made of is on none of Kbuild's lists and stays as it is compiled, so their
    debug information is there when the link encodes them."""
    make_objects_of_objects(fresh)
    with (fresh.directory / "include/config/auto.conf").open("a") as file:
        file.write("CONFIG_CC_IS_GCC=y\nCONFIG_GCC_VERSION=120200\n")
    fresh.make("-j4")
    kept = products(fresh)
    made = [f"kernel/{name}.o" for name in ("early.pi", "nvhe", "switch", "timer", "early")]
    whole = {name: (fresh.directory / name).read_bytes() for name in made}
    fresh.make("clean")
    fresh.environ |= {"KBUILD_BTF_DEBUG": mode, "KBUILD_BTF_STORE": store}
    assert fresh.make("-j4").stderr == ""
    assert products(fresh) == kept
    assert {name: (fresh.directory / name).read_bytes() for name in made} == whole
    assert MARK.encode() not in (fresh.directory / "vmlinux").read_bytes()
    assert fresh.make("-j4").stdout == ""
    # Back again: they are not compiled again, since they lost nothing.
    done = fresh.make("-j4", KBUILD_BTF_DEBUG="keep")
    assert not [name for name in made if name in done.stdout]
    assert products(fresh) == kept


def test_two_objects_of_one_source(fresh: MiniTree) -> None:
    """Both name the same file, so they are counted."""
    twin = "$(obj)/twin.o: $(obj)/sched.c ; @$(CC) $(KBUILD_CFLAGS) -DTWIN -c -o $@ $<\n"
    fresh.replace("kernel/Makefile", "obj-y := ", "obj-y := twin.o ")
    makefile = fresh.directory / "kernel/Makefile"
    makefile.write_text(makefile.read_text() + twin)
    sched = fresh.directory / "kernel/sched.c"
    other = source("twin")
    sched.write_text(f"#ifdef TWIN\n{other}#else\n{sched.read_text()}\n#endif\n")
    made = made_as_from_the_image(fresh)
    assert {"of_twin", "run_queue"} <= structs(made)


# --- lists that are not right -------------------------------------------------------------------


def relinked_with(tree: MiniTree, change: str, **variables: str) -> tuple[str, bool]:
    """Link again, the trace changed by a sed command. What was said, and is there a vmlinux?"""
    wrapper = f"sh {tree.directory}/lying-ld ld"
    real = next(
        word for word in tree.environ["MAKEFILES"].split() if word.endswith("kbuild-btf.mk")
    ).removesuffix(".mk")
    (tree.directory / "lying-ld").write_text(
        f'sh {real}-ld "$@" || exit\n'
        f'case "$*" in *"-o {IMAGE} "*) sed -i "{change}" {tree.trace.name};; esac\n'
    )
    tree.replace(LINK, "LD=$1\n", f"LD='{wrapper}'\n")
    done = tree.make("-j4", status=0 if variables else 2, **variables)
    return done.stderr, (tree.directory / "vmlinux").exists()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("/sched/d", "an object of sched.c was linked that is not in the list"),
        ("s|lib/checksum|lib/unused|", "checksum.c"),
        ("$ a lib/unused.o", "lib/unused.o is in the list"),
        ("$ a kernel/arch.o", "kernel/arch.o is in the list"),
        ("$ a kernel/gone.o", "kernel/gone.o is gone"),
    ],
)
def test_a_wrong_list_is_refused_by_name(
    tree: MiniTree, built: MiniTree, change: str, named: str
) -> None:
    said, linked = relinked_with(tree, change)
    assert not linked
    (message,) = (line for line in said.splitlines() if line.startswith("kbuild-btf: error"))
    assert named in message
    assert IMAGE in message


def test_with_debug_sections_a_wrong_list_is_passed_over(tree: MiniTree, built: MiniTree) -> None:
    said, linked = relinked_with(tree, "/sched/d", KBUILD_BTF_KEEP_DEBUG="1")
    assert linked
    assert "reading its own debug information, because: " in said
    assert products(tree) == products(built)


def test_without_a_trace_a_library_is_not_guessed(fresh: MiniTree, built: MiniTree) -> None:
    """A makefile of another text: no wrapper, no trace. Which members of lib.a were taken is then
    not known; the image has its debug sections, and they tell."""
    fresh.replace("scripts/Makefile.vmlinux", '_vmlinux)";', '_vmlinux)" ;')
    said = fresh.make("-j4")
    assert not fresh.trace.exists()
    assert "checksum.c" in said.stderr
    assert "reading its own debug information" in said.stderr
    assert products(fresh) == products(built)


def test_a_trace_of_an_earlier_link_does_not_count(tree: MiniTree, built: MiniTree) -> None:
    """The image was linked again without the wrapper, by make without the switch, say."""
    tree.trace.write_text("kernel/main.o\n")
    image = tree.directory / IMAGE
    later = tree.trace.stat().st_mtime + 1
    os.utime(image, (later, later))
    objects = [str(path) for path in _native.linked_objects(str(image))]
    assert len(objects) > 1
    assert str(tree.directory / "kernel/sched.o") in objects


# --- other linkers ------------------------------------------------------------------------------


@pytest.mark.parametrize("decoy", [False, True], ids=["alone", "with another of that name"])
@pytest.mark.parametrize("whole", [False, True], ids=["archives", "vmlinux.o"])
def test_lld_and_a_library_below_the_top(fresh: MiniTree, decoy: bool, whole: bool) -> None:
    """lld names the members of a thin archive from the archive on: lib/lib.a(checksum.o)."""
    require("clang-19", "ld.lld-19")
    if whole:
        link_vmlinux_o(fresh)
    if decoy:
        (fresh.directory / "checksum.c").write_text(source("decoy"))
        compiled(fresh.directory / "checksum.c", fresh.directory / "checksum.o")
    programs = ("CC=clang-19", "LD=ld.lld-19")
    made = made_as_from_the_image(fresh, *programs)
    assert "of_decoy" not in structs(made)
    assert "decoy_function" not in functions(made)


def test_an_object_of_the_same_source_name_that_was_not_linked(tree: MiniTree) -> None:
    """Source files have the name of the one that was linked; the functions do not."""
    (tree.directory / "checksum.c").write_text(source("decoy"))
    compiled(tree.directory / "checksum.c", tree.directory / "checksum.o")
    text = tree.trace.read_text()
    assert "lib/checksum.o" in text
    tree.trace.write_text(text.replace("lib/checksum.o", "checksum.o"))
    with pytest.raises(Error, match=r"checksum\.o is in the list of its objects, but none of its"):
        _native.link(str(tree.directory / IMAGE))
