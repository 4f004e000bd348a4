# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The doctor names what is missing, says how to get it, and its exit status can be trusted."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from minitree import MiniTree, mini_kernel
from support import require

from kbuild_btf import kbuild, paths
from kbuild_btf.commands import doctor
from kbuild_btf.commands.doctor import MISSING, NOTE, OK
from kbuild_btf.errors import Error


def ask(*argv: str) -> int:
    parser = argparse.ArgumentParser()
    doctor.add_arguments(parser)
    return doctor.run(parser.parse_args(argv))


@pytest.fixture
def only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no program but those that a test puts into this directory."""
    directory = tmp_path / "only"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.setattr("kbuild_btf.commands.doctor.shutil.which", which_in(directory))
    return directory


def which_in(directory: Path) -> Callable[..., str | None]:
    """shutil.which for a machine where nothing else is installed."""
    return lambda name, **_: str(directory / name) if (directory / name).exists() else None


def program(directory: Path, name: str, body: str = "echo $0 1.0") -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def kernel_tree(directory: Path, config: str | None, version: str = "6 12 3") -> Path:
    """What the doctor looks at of a kernel tree."""
    (directory / "scripts").mkdir(parents=True)
    (directory / "scripts/Kbuild.include").write_text("# nothing that is known\n")
    names = ("VERSION", "PATCHLEVEL", "SUBLEVEL")
    lines = [f"{n} = {v}" for n, v in zip(names, version.split(), strict=True)]
    (directory / "Makefile").write_text("\n".join([*lines, "EXTRAVERSION =", ""]))
    if config is not None:
        (directory / ".config").write_text(config)
    return directory


def test_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the tests run, everything that is needed is there."""
    assert ask() == 0
    assert "all that is needed is there" in capsys.readouterr().out


def test_missing_programs_and_how_to_get_them(
    only: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program(only, "apt-get")
    for name in ("make", "gcc", "ar"):
        program(only, name)
    program(only, "nm", "exit 3")
    found = {f.what: f for f in doctor.programs()}
    assert found["make"].state == OK
    assert found["objcopy"] == (MISSING, "objcopy", "apt install binutils")
    assert found["nm"].state == MISSING
    assert "does not start" in found["nm"].text
    assert found["pahole"].state == NOTE
    assert "apt install pahole" in found["pahole"].text
    assert "flex" not in found
    assert ask() == 1
    assert "missing\n" in capsys.readouterr().out


def test_other_systems(only: Path) -> None:
    program(only, "dnf")
    assert {f.what: f.text for f in doctor.programs()}["pahole"].endswith("dnf install dwarves")
    (only / "dnf").unlink()
    assert "packages of your system" in doctor._how_to_get("make")


def test_clang_in_the_place_of_gcc(only: Path) -> None:
    program(only, "clang", "echo clang version 19")
    found = {f.what: f for f in doctor.programs()}
    assert found["clang"] == (OK, "clang", "clang version 19")
    assert "gcc" not in found


def findings(tree: Path) -> dict[str, doctor.Finding]:
    """What is said of the build of a tree."""
    found = kbuild.find_tree(tree)
    assert found
    return {f.what: f for f in doctor.build(found)}


def out_of_tree(source: Path, objects: Path, config: str) -> Path:
    """A directory as `make O=` leaves it."""
    objects.mkdir()
    (objects / "Makefile").write_text(f"include {source}/Makefile\n")
    (objects / ".config").write_text(config)
    return objects


# An option, and what it makes the build start.
NEEDS = [
    ("CONFIG_KERNEL_ZSTD=y", "zstd", "apt install zstd"),
    ("CONFIG_KERNEL_XZ=y", "xz", "apt install xz-utils"),
    ("CONFIG_IKHEADERS=m", "cpio", "apt install cpio"),
    ("CONFIG_HEADERS_INSTALL=y", "rsync", "apt install rsync"),
    ("CONFIG_OID_REGISTRY=y", "perl", "apt install perl"),
    ("CONFIG_MODULE_SIG=y", "openssl", "apt install openssl"),
    ("CONFIG_DEBUG_INFO_BTF=y", "libelf", "apt install libelf-dev"),
    ("CONFIG_DEBUG_INFO_BTF=y", "zlib", "apt install zlib1g-dev"),
    ("CONFIG_OBJTOOL=y", "libelf", "apt install libelf-dev"),
    ("CONFIG_SYSTEM_TRUSTED_KEYRING=y", "libssl", "apt install libssl-dev"),
]


@pytest.mark.parametrize(("option", "what", "how"), NEEDS)
@pytest.mark.parametrize("form", ["in the tree", "O="])
def test_what_a_configuration_asks_for(
    option: str, what: str, how: str, form: str, only: Path, tmp_path: Path
) -> None:
    program(only, "apt-get")
    program(only, "gcc", "exit 1")
    source = kernel_tree(tmp_path / "linux", None if form == "O=" else option)
    tree = source if form != "O=" else out_of_tree(source, tmp_path / "build", f"{option}\n")
    needed = findings(tree)[what]
    assert needed.state == MISSING
    assert option.partition("=")[0] in needed.text
    assert needed.text.endswith(how)
    assert what not in findings(kernel_tree(tmp_path / "other", "CONFIG_SMP=y\n"))


def test_what_is_there_is_found(tmp_path: Path) -> None:
    """With the compiler and the libraries of this machine."""
    tree = kernel_tree(tmp_path / "linux", "CONFIG_DEBUG_INFO_BTF=y\nCONFIG_MODULES=y\n")
    found = findings(tree)
    assert (found["libelf"].state, found["zlib"].state) == (OK, OK)
    assert "pahole" not in found


def test_a_header_or_a_library_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kbuild's HOSTCC is asked, and it must both compile and link."""
    tree = kernel_tree(tmp_path / "linux", "CONFIG_OBJTOOL=y\n")
    (tmp_path / "gelf.h").write_text("#error not installed\n")
    for how in (f"-I{tmp_path}", "-Wl,--no-such-option"):
        monkeypatch.setenv("HOSTCC", f"gcc {how}")
        assert findings(tree)["libelf"].state == MISSING
    monkeypatch.setenv("HOSTCC", "gcc")
    assert findings(tree)["libelf"].state == OK


def test_later_kernels_need_no_cpio(only: Path, tmp_path: Path) -> None:
    tree = kernel_tree(tmp_path / "linux", "CONFIG_IKHEADERS=y\n")
    assert findings(tree)["cpio"].state == MISSING
    (tree / "kernel").mkdir()
    (tree / "kernel/gen_kheaders.sh").write_text("tar -c headers\n")
    assert "cpio" not in findings(tree)


def test_the_build_of_a_tree_is_in_the_json(
    only: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = kernel_tree(tmp_path / "linux", "CONFIG_OBJTOOL=y\n")
    assert ask("--json", str(tree)) == 1
    states = {f["what"]: f["state"] for f in json.loads(capsys.readouterr().out)}
    assert (states["libelf"], states["flex"], states["pahole"]) == (MISSING, MISSING, NOTE)


def test_programs_of_ours_are_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KBUILD_BTF_BIN", str(tmp_path))
    states = {f.what: f.state for f in doctor.native()}
    assert states["programs for make"] == MISSING
    for name in paths.EXECUTABLES:
        program(tmp_path, name, "exit 127")
    states = {f.what: f.state for f in doctor.native()}
    assert [states[name] for name in paths.EXECUTABLES] == [MISSING, MISSING]


def test_cache_directory(tmp_path: Path) -> None:
    def states(value: str, **more: str) -> list[str]:
        return [f.state for f in doctor.cache_directory({"KBUILD_BTF_CACHE": value, **more})]

    good = str(tmp_path / "cache")
    assert states(good, KBUILD_BTF_CACHE_SIZE="1K") == [OK]
    assert list((tmp_path / "cache").iterdir()) == []
    assert states(good, KBUILD_BTF_CACHE_SIZE="lots") == [MISSING]
    assert states(good, KBUILD_BTF_CACHE_SIZE="900000T") == [OK, NOTE]
    assert states("") == [NOTE]
    (tmp_path / "file").write_text("")
    assert states(str(tmp_path / "file")) == [MISSING]


def test_no_tree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask("--json", str(tmp_path)) == 1
    found = {f["what"]: f for f in json.loads(capsys.readouterr().out)}
    assert found["kernel tree"]["state"] == MISSING
    assert "Kbuild.include" in found["kernel tree"]["text"]


@pytest.mark.parametrize(
    ("config", "state"),
    [
        ("CONFIG_DEBUG_INFO_BTF=y\nCONFIG_DEBUG_INFO_BTF_MODULES=y\n", OK),
        ("# CONFIG_DEBUG_INFO_BTF is not set\n", MISSING),
        ("", MISSING),
    ],
)
def test_configuration(config: str, state: str, tmp_path: Path) -> None:
    found = {f.what: f for f in doctor.tree(kernel_tree(tmp_path / "linux", config))}
    assert found["kernel tree"] == (OK, "kernel tree", "Linux 6.12.3")
    assert found["CONFIG_DEBUG_INFO_BTF"].state == state


def test_reduced_debug_information(tmp_path: Path) -> None:
    tree = kernel_tree(tmp_path / "linux", "CONFIG_DEBUG_INFO_REDUCED=y\n")
    found = {f.what: f for f in doctor.tree(tree)}["CONFIG_DEBUG_INFO_BTF"]
    assert found.state == MISSING
    assert found.text.startswith("off, as CONFIG_DEBUG_INFO_REDUCED=y wants it; scripts/config ")
    assert "-d DEBUG_INFO_REDUCED" in found.text


def test_tree_without_configuration(tmp_path: Path) -> None:
    found = {f.what: f for f in doctor.tree(kernel_tree(tmp_path / "linux", None))}
    assert found["configuration"].state == MISSING


def test_old_tree_and_unknown_makefiles_are_notes(tmp_path: Path) -> None:
    config = "CONFIG_DEBUG_INFO_BTF=y\nCONFIG_LTO_CLANG=y\n"
    found = {f.what: f for f in doctor.tree(kernel_tree(tmp_path / "linux", config, "5 15 0"))}
    assert {what: f.state for what, f in found.items()} == {
        "kernel tree": NOTE,
        "makefiles": NOTE,
        "CONFIG_DEBUG_INFO_BTF": OK,
        "way": NOTE,
        "debug": OK,
        "store": OK,
    }
    assert "CONFIG_LTO_CLANG" in found["way"].text


def test_a_linker_that_removes_objects(tmp_path: Path) -> None:
    mini = mini_kernel(tmp_path)
    config = mini.directory / "include/config/auto.conf"
    config.write_text(config.read_text() + "CONFIG_LD_DEAD_CODE_DATA_ELIMINATION=y\n")
    way = {f.what: f for f in doctor.tree(mini.directory)}["way"]
    assert way.state == NOTE
    assert "vmlinux itself is encoded" in way.text


@pytest.mark.parametrize(
    ("hook", "state", "said"),
    [
        ("1", OK, "a hook ran for all 9 objects of vmlinux"),
        ("0", NOTE, "no hook ran for 9 of 9 objects (kernel/main.o, "),
    ],
)
def test_after_a_build_whether_hooks_ran(tmp_path: Path, hook: str, state: str, said: str) -> None:
    mini = mini_kernel(tmp_path)
    assert "last build" not in {f.what for f in doctor.tree(mini.directory)}
    mini.make("-j2", KBUILD_BTF_HOOK=hook)
    found = {f.what: f for f in doctor.tree(mini.directory)}
    assert found["last build"].state == state
    assert said in found["last build"].text
    assert found["way"].text.endswith("vmlinux is linked from vmlinux.a")


def test_one_object_that_no_hook_saw(tree: MiniTree) -> None:
    """Something else compiled it, and the link had to encode it."""
    source = tree.directory / "kernel/sched.c"
    source.write_text(source.read_text() + "struct late { int x; } late;\n")
    tree.make("-j2")
    assert {f.what: f for f in doctor.tree(tree.directory)}["last build"].state == OK
    (tree.directory / "kernel/.tmp_sched.o.kbtf").unlink()
    found = {f.what: f for f in doctor.tree(tree.directory)}
    assert "1 of 9 objects (kernel/sched.o)" in found["last build"].text


@pytest.mark.parametrize("name", [".vmlinux.export.o", "kernel/startup.pi.o"])
def test_objects_that_no_rule_compiles(
    tree: MiniTree, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """They have no hook, and that is no news. The tree may be named in any way."""
    first = "vmlinux_link .tmp_vmlinux1\n"
    own = f"echo 'int without_hook;' | $CC -g -c -x c -o {name} -\n"
    tree.replace("scripts/link-vmlinux.sh", first, f"{own}{first.strip()} {name}\n")
    tree.make("-j2")
    monkeypatch.chdir(tree.directory)
    for directory in (tree.directory, Path()):
        found = {f.what: f for f in doctor.tree(directory)}["last build"]
        assert found.state == OK
        assert found.text == "a hook ran for all 9 objects of vmlinux; the link encodes the other 1"


def test_with_lto_no_hook_is_missed(tree: MiniTree) -> None:
    config = tree.directory / "include/config/auto.conf"
    config.write_text(config.read_text() + "CONFIG_LTO_CLANG=y\n")
    assert "last build" not in {f.what for f in doctor.tree(tree.directory)}


def test_a_build_without_us(tmp_path: Path) -> None:
    require("pahole")
    mini = mini_kernel(tmp_path)
    mini.make("-j2", KBUILD_BTF="0")
    found = {f.what: f for f in doctor.tree(mini.directory)}
    assert found["last build"] == (NOTE, "last build", "vmlinux was built without kbuild-btf")


def test_takeover_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> kbuild.Takeover:
        raise Error("make cannot be started")

    monkeypatch.setattr(kbuild, "takeover", fails)
    found = {f.what: f for f in doctor.tree(kernel_tree(tmp_path / "linux", ""))}
    assert found["makefiles"].state == MISSING
