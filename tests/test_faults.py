# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What goes wrong in a build ends in the right BTF or in one message, never in wrong or no BTF.

On the mini-kernel, with our own programs; scripts in their place do the damage at the moment when
it is to happen.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from minitree import MiniTree, mini_kernel, products, programs, sidecar, sidecars
from support import missing, require

from kbuild_btf import Btf
from kbuild_btf.btf import Struct

EDIT = ("kernel/sched.c", "\tu32 length;\n", "\tu32 length;\n\tu32 longest;\n")


def members(tree: MiniTree) -> list[str]:
    """Of the struct that EDIT changes, as vmlinux has it."""
    (queue,) = Btf.load(tree.directory / "vmlinux").find(Struct, "run_queue")
    return [member.name for member in queue.members]


def leftovers(tree: MiniTree) -> list[str]:
    """Temporary files of ours that nobody removed."""
    found = tree.directory.rglob(".tmp_*.kbtf.*")
    return [path.name for path in found]


# --- sidecars -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-7]),
        lambda path: path.write_bytes(path.with_name(".tmp_main.o.kbtf").read_bytes()),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
    ],
    ids=["missing", "empty", "truncated", "of another object", "directory", "device"],
)
def test_a_sidecar_that_is_not_right(
    tree: MiniTree, built: MiniTree, damage: Callable[[Path], object]
) -> None:
    name = sidecar("kernel/sched.o")
    damage(tree.directory / name)
    (tree.directory / "vmlinux").unlink()
    tree.make("-j4")
    assert products(tree) == products(built)
    if not (tree.directory / name).is_dir():
        assert sidecars(tree)[name] == sidecars(built)[name], "the link replaces it"


def test_sidecars_that_go_in_the_middle_of_the_build(tmp_path: Path, built: MiniTree) -> None:
    """After the hooks, before the link."""
    tree = mini_kernel(tmp_path)
    vanish = "find . -name '.tmp_*.o.kbtf' -delete\nexec @REAL@ \"$@\""
    tree.environ["KBUILD_BTF_BIN"] = str(programs(tmp_path / "bin", pahole=vanish))
    tree.make("-j4")
    assert products(tree) == products(built)


def test_an_object_that_was_replaced_behind_the_hooks_back(tree: MiniTree) -> None:
    """Compiled by hand, without the hook: its sidecar is of the former object."""
    tree.replace(*EDIT)
    tree.make("-j4", KBUILD_BTF_HOOK="0")
    assert "longest" in members(tree)


def test_a_damaged_entry_of_the_cache_is_replaced(
    tree: MiniTree, built: MiniTree, tmp_path: Path
) -> None:
    entries = list((tmp_path / "cache").rglob("*.kbtf"))
    assert entries
    for entry in entries:
        entry.write_bytes(entry.read_bytes()[:-1] + b"?")
    tree.make("clean")
    tree.make("-j4")
    assert products(tree) == products(built)


# --- the programs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hook",
    [
        "kill -9 $$",
        "kill -SEGV $$",
        "exit 3",
        # Dies while it writes, by SIGXFSZ: a part of a temporary file stays.
        'ulimit -f 1; exec @REAL@ "$@"',
    ],
    ids=["killed", "crashed", "failed", "killed while writing"],
)
def test_a_hook_that_does_not_do_its_work(tmp_path: Path, built: MiniTree, hook: str) -> None:
    tree = mini_kernel(tmp_path)
    tree.environ["KBUILD_BTF_BIN"] = str(programs(tmp_path / "bin", hook=hook))
    tree.make("-j4")
    assert products(tree) == products(built)
    tree.make("clean")
    assert leftovers(tree) == []


@pytest.mark.parametrize("how", ["exit 1", "kill -9 $$"], ids=["failed", "killed"])
def test_an_encoder_that_dies_ends_the_build(tree: MiniTree, tmp_path: Path, how: str) -> None:
    tree.environ["KBUILD_BTF_BIN"] = str(
        programs(tmp_path / "bin", pahole=f'case $1 in --version) exec @REAL@ "$@";; esac; {how}')
    )
    tree.replace(*EDIT)
    tree.make("-j4", status=2)
    assert not (tree.directory / "vmlinux").exists()
    tree.environ["KBUILD_BTF_BIN"] = str(programs(tmp_path / "good"))
    tree.make("-j4")
    assert "longest" in members(tree)


def test_an_object_that_cannot_be_encoded_ends_the_build_with_its_name(tree: MiniTree) -> None:
    """Debug information that is cut off: objcopy puts a shorter .debug_info into the object."""
    victim = tree.directory / "kernel/arch.o"
    shorter = tree.directory / "shorter"
    subprocess.run(
        ["objcopy", "--dump-section", f".debug_info={shorter}", victim, victim.with_suffix(".x")],
        check=True,
    )
    shorter.write_bytes(shorter.read_bytes()[:100])
    subprocess.run(["objcopy", "--update-section", f".debug_info={shorter}", victim], check=True)
    done = tree.make("-j4", status=2)
    assert "kernel/arch.o" in done.stderr
    assert not (tree.directory / "vmlinux").exists()


def test_the_programs_are_removed_between_two_makes(tree: MiniTree, tmp_path: Path) -> None:
    """MAKEFILES still names the snippet; pahole does the rest."""
    require("pahole")
    times = tree.times("kernel/main.o", "drivers/mini_main.o")
    tree.replace(*EDIT)
    tree.make("-j4", KBUILD_BTF_BIN=str(tmp_path / "removed"))
    assert "longest" in members(tree)
    assert tree.times("kernel/main.o", "drivers/mini_main.o") == times


def test_the_snippet_is_removed_between_two_makes(tree: MiniTree, tmp_path: Path) -> None:
    require("pahole")
    tree.replace(*EDIT)
    tree.make("-j4", MAKEFILES=str(tmp_path / "removed.mk"))
    assert "longest" in members(tree)


def test_pahole_is_not_needed(tmp_path: Path, built: MiniTree) -> None:
    """A machine without it: one directory with links to all else that a build starts."""
    only = tmp_path / "only"
    only.mkdir()
    build = ("make", "sh", "gcc", "ld", "ar", "as", "objcopy", "nm")
    for name in (*build, "cat", "rm", "find", "printf", "echo", "touch", "mv", "sed", "grep"):
        found = subprocess.run(["which", name], capture_output=True, text=True, check=True)
        (only / name).symlink_to(found.stdout.strip())
    tree = mini_kernel(tmp_path)
    tree.environ["PATH"] = str(only)
    tree.make("-j4")
    assert products(tree) == products(built)


# --- the disk -----------------------------------------------------------------------------------

# Before our program runs, nothing is left of the file system; afterwards it is as before.
FILL = """
dd if=/dev/zero of=filler bs=4k 2>/dev/null
@REAL@ "$@"
status=$?
rm -f filler
exit $status
"""


def mounted(tree: MiniTree, where: Path, options: str, first: str, *make: str) -> tuple[int, str]:
    """make, in a mount namespace where a file system of its own is at `where`.

    `first` is a command for the shell that prepares it. Exit status, and what went to stderr.
    """
    where.mkdir(exist_ok=True)
    commands = f'mount -t tmpfs {options} kbuild-btf "{where}" && {first} && exec "$@"'
    namespace = ["unshare", "--map-root-user", "--mount"]
    require("unshare")
    if subprocess.run([*namespace, "true"], capture_output=True).returncode:
        missing("no mount namespaces here")
    done = subprocess.run(
        [*namespace, "sh", "-c", commands, "sh", *make],
        cwd=tree.directory,
        env=tree.environ,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stderr


def test_a_full_disk_while_the_hooks_run(tmp_path: Path, tree: MiniTree, built: MiniTree) -> None:
    tree.make("clean")
    tree.environ["KBUILD_BTF_BIN"] = str(programs(tmp_path / "bin", hook=FILL))
    disk = tmp_path / "disk"
    # Not parallel: the compiler needs the room that a hook beside it would take.
    script = (
        f"cp -a . {disk}/ && make -C {disk} >log"
        f" && cp {disk}/vmlinux . && cp {disk}/drivers/*.ko drivers/"
    )
    status, said = mounted(tree, disk, "-o size=16m", "true", "sh", "-ec", script)
    assert status == 0, said
    assert "No space left on device" in said, "the hook says why there is no sidecar"
    assert products(tree) == products(built)


def test_a_full_disk_at_the_link(tmp_path: Path, tree: MiniTree) -> None:
    """BTF cannot be written: the build ends, with the reason, and there is no vmlinux."""
    version = 'case $1 in --version) exec @REAL@ "$@";; esac'
    tree.environ["KBUILD_BTF_BIN"] = str(programs(tmp_path / "bin", pahole=version + FILL))
    tree.replace(*EDIT)
    disk = tmp_path / "disk"
    script = f"cp -a . {disk}/; make -C {disk} >log; test ! -e {disk}/vmlinux"
    status, said = mounted(tree, disk, "-o size=16m", "true", "sh", "-c", script)
    assert status == 0, said
    (message,) = (line for line in said.splitlines() if line.startswith("kbuild-btf"))
    assert ".tmp_vmlinux1" in message
    assert "No space left on device" in message


@pytest.mark.parametrize("size", ["64k", "400k"])
def test_a_cache_that_is_full(tmp_path: Path, tree: MiniTree, built: MiniTree, size: str) -> None:
    tree.make("clean")
    tree.environ["KBUILD_BTF_CACHE"] = str(tmp_path / "small")
    status, said = mounted(tree, tmp_path / "small", f"-o size={size}", "true", "make", "-j4")
    assert (status, said) == (0, "")
    assert products(tree) == products(built)


@pytest.mark.parametrize("content", ["nothing", "everything"])
def test_a_cache_that_is_read_only(
    tmp_path: Path, tree: MiniTree, built: MiniTree, content: str
) -> None:
    tree.make("clean")
    store, place = tmp_path / "cache", tmp_path / "readonly"
    fill = f"cp -a {store}/. {place}/" if content == "everything" else "true"
    tree.environ["KBUILD_BTF_CACHE"] = str(place)
    first = f"{fill} && mount -o remount,ro {place}"
    status, said = mounted(tree, place, "", first, "make", "-j4")
    assert (status, said) == (0, "")
    assert products(tree) == products(built)
