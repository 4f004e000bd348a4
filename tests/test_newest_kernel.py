# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What kernels from 7.0 on ask of the encoder, in the mini-kernel with such scripts.

There pahole writes a file of its own and leaves the ELF alone; another program then tags kfuncs,
removes what is there twice, sorts the types and fills .BTF_ids; a script embeds the result. vmlinux
is linked as vmlinux.unstripped, a name that link-vmlinux.sh is given.

A real one: KBUILD_BTF_TEST_KERNEL=7.3 (tests/kernel.py).
"""

from __future__ import annotations

from pathlib import Path

import pytest
from minitree import MiniTree, mini_kernel, products, programs

from kbuild_btf import Btf, paths
from kbuild_btf.btf import DeclTag

# gen-btf.sh [--btf_base FILE] ELF. For vmlinux it leaves ELF.btf.o, into a module it puts the BTF.
# What resolve_btfids does with the types is not ours; here it only hands them on.
GEN_BTF = """#!/bin/sh
set -e
base=
[ "$1" != --btf_base ] || { base=$2; shift 2; }
sum=$(sha256sum <"$1")
$PAHOLE -J $PAHOLE_FLAGS ${base:+--btf_base $base} --btf_encode_detached=$1.BTF.1 "$1"
[ "$sum" = "$(sha256sum <"$1")" ] || { echo >&2 "$1 was changed"; exit 1; }
mv "$1.BTF.1" "$1.BTF"
if [ -n "$base" ]; then
	$OBJCOPY --add-section .BTF="$1.BTF" "$1"
else
	echo | $CC -g -c -x c -o "$1.btf.o" -
	$OBJCOPY --add-section .BTF="$1.BTF" --set-section-flags .BTF=alloc,readonly "$1.btf.o"
	$OBJCOPY --only-section=.BTF --strip-all "$1.btf.o"
fi
rm -f "$1.BTF"
"""

# Behind the first link, up to the last one.
LINK = """
sh scripts/gen-btf.sh .tmp_vmlinux1
vmlinux_link "$4" .tmp_vmlinux1.btf.o
"""

MAKEFILE = """
targets += vmlinux
vmlinux: vmlinux.unstripped ; @$(OBJCOPY) --remove-section .rela.text $< $@
vmlinux.unstripped:"""

FLAGS = (
    "-j2 --btf_features=encode_force,var,float,enum64,decl_tag,type_tag,optimized_func,"
    "consistent_func{more} -j2 --lang_exclude=rust"
)


@pytest.fixture
def newest(tmp_path: Path) -> MiniTree:
    """The mini-kernel with those scripts, not built yet."""
    tree = mini_kernel(tmp_path)
    (tree.directory / "scripts/gen-btf.sh").write_text(GEN_BTF)
    link = tree.directory / "scripts/link-vmlinux.sh"
    before, first, _ = link.read_text().partition("vmlinux_link .tmp_vmlinux1\n")
    link.write_text(before.replace("rm -f vmlinux ", "rm -f vmlinux.unstripped ") + first + LINK)
    tree.replace("scripts/Makefile.vmlinux", '_vmlinux)";', '_vmlinux)" "$@";')
    tree.replace("scripts/Makefile.vmlinux", "\ntargets += vmlinux\nvmlinux:", MAKEFILE)
    tree.replace(
        "scripts/Makefile.modfinal",
        "$(PAHOLE) -J $(PAHOLE_FLAGS) --btf_base vmlinux $@",
        "sh scripts/gen-btf.sh --btf_base vmlinux $@",
    )
    return tree


def flags(tree: MiniTree, more: str = "") -> None:
    """What the build gives pahole."""
    wanted = FLAGS.format(more=more)
    (tree.directory / "scripts/pahole-flags.sh").write_text(f"echo '{wanted}'\n")


def test_types_go_into_a_file_and_the_elf_stays(newest: MiniTree, built: MiniTree) -> None:
    """The same as the older scripts make, which are given other flags for the same features."""
    flags(newest, more=" --btf_features=decl_tag_kfuncs")
    said = newest.make("-j4")
    assert "warning" not in said.stderr
    assert newest.trace.exists(), "the wrapper knows this form of the link"
    image = (newest.directory / ".tmp_vmlinux1").read_bytes()
    assert b".debug_info" not in image
    assert products(newest) == products(built)
    assert list(newest.directory.rglob("*.BTF.1")) == []


def test_kfuncs_are_tagged_only_when_asked(newest: MiniTree) -> None:
    """The kernel's own program does it there."""
    flags(newest)
    newest.make("-j4")
    made = Btf.load(newest.directory / "vmlinux")
    assert made.find(DeclTag, "bpf_kfunc") == []


def test_the_layout_of_kinds_is_in_the_header_when_asked(newest: MiniTree) -> None:
    flags(newest, more=" --btf_features=layout")
    newest.make("-j4")
    (raw, _) = products(newest)
    assert int.from_bytes(raw[4:8], "little") == 32, "length of the header"
    assert len(Btf.from_bytes(raw)) > 100


def test_a_failure_ends_the_build_without_a_file(newest: MiniTree, tmp_path: Path) -> None:
    flags(newest)
    version = 'case $1 in --version) exec @REAL@ "$@";; esac\n'
    # The list of objects is damaged between the link and us.
    spoil = f"echo kernel/gone.o >>{newest.trace.name}\n"
    newest.environ["KBUILD_BTF_BIN"] = str(
        programs(tmp_path / "bin", pahole=version + spoil + 'exec @REAL@ "$@"')
    )
    said = newest.make("-j4", status=2)
    (message,) = (line for line in said.stderr.splitlines() if line.startswith("kbuild-btf: error"))
    assert "kernel/gone.o is gone" in message
    assert not (newest.directory / "vmlinux.unstripped").exists()
    assert list(newest.directory.rglob("*.BTF.1")) == []


def test_the_output_is_named_to_the_script(newest: MiniTree) -> None:
    """The wrapper stands in the first argument only."""
    newest.replace("scripts/link-vmlinux.sh", "set -e\n", 'set -e\nprintf "<%s>" "$@" >said\n')
    flags(newest)
    newest.make("-j4")
    said = (newest.directory / "said").read_text()
    assert said.startswith(f"<sh {paths.linker_wrapper()} ld><")
    assert said.endswith("><vmlinux.unstripped>")
