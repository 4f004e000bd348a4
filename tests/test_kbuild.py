# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""kbuild_btf.kbuild and paths, and the verbs make and env."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from minitree import MiniTree, Stubs, script

from kbuild_btf import kbuild, paths
from kbuild_btf.errors import Error


@pytest.fixture
def stubs(tmp_path: Path) -> Stubs:
    return Stubs.create(tmp_path / "bin")


@pytest.fixture
def environ(stubs: Stubs, tmp_path: Path) -> dict[str, str]:
    """Of a user who has these executables, no cache yet, and never switched anything on."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("KBUILD") and not name.startswith("MA")
    }
    return {
        **kept,
        "KBUILD_BTF_BIN": str(stubs.directory),
        "KBUILD_BTF_CACHE": str(tmp_path / "cache"),
    }


def kernel(directory: Path) -> Path:
    """What makes a directory a kernel's sources."""
    (directory / "scripts").mkdir(parents=True)
    (directory / "scripts/Kbuild.include").write_text("")
    (directory / "Makefile").write_text(
        "# SPDX\nVERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 117\nEXTRAVERSION = -rc1\n"
    )
    return directory


def output_directory(directory: Path, source: Path | str) -> Path:
    """What `make O=` leaves at once in its directory."""
    directory.mkdir()
    (directory / "Makefile").write_text(f"# Automatically generated\ninclude {source}/Makefile\n")
    return directory


# --- the tree -----------------------------------------------------------------------------------


def test_a_tree_is_found_by_sources_and_by_output_directory(tmp_path: Path) -> None:
    source = kernel(tmp_path / "linux")
    absolute = output_directory(tmp_path / "absolute", source)
    relative = output_directory(tmp_path / "relative", "../linux")
    assert kbuild.find_tree(source) == kbuild.Tree(source, source)
    assert kbuild.find_tree(absolute) == kbuild.Tree(source, absolute)
    found = kbuild.find_tree(relative)
    assert found is not None
    assert found.source.samefile(source)
    assert found.objects == relative
    assert kbuild.find_tree(tmp_path) is None


@pytest.mark.parametrize(
    ("arguments", "start", "objects"),
    [
        (["-j8"], "linux", "linux"),
        (["O=../out", "all"], "linux", "out"),
        (["-C", "linux", "O=../out"], ".", "out"),
        (["-Clinux"], ".", "linux"),
        (["--directory=linux", "M=/elsewhere"], ".", "linux"),
        ([], "out", "out"),
    ],
)
def test_the_tree_of_a_command(
    tmp_path: Path, arguments: list[str], start: str, objects: str
) -> None:
    output_directory(tmp_path / "out", kernel(tmp_path / "linux"))
    found = kbuild.tree_of_command(arguments, tmp_path / start, {})
    assert found is not None
    assert found.source.samefile(tmp_path / "linux")
    assert found.objects.samefile(tmp_path / objects)


def test_kbuild_output_counts_and_the_command_line_wins(tmp_path: Path) -> None:
    source = kernel(tmp_path / "linux")
    environ = {"KBUILD_OUTPUT": "/one"}
    one = kbuild.tree_of_command([], source, environ)
    two = kbuild.tree_of_command(["O=/two"], source, environ)
    assert one == kbuild.Tree(source, Path("/one"))
    assert two == kbuild.Tree(source, Path("/two"))


def test_other_directories_are_no_tree(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_bytes(b"\xff\xfe not text")
    assert kbuild.tree_of_command(["-C"], tmp_path, {}) is None


def test_facts_of_a_tree(tmp_path: Path) -> None:
    source = kernel(tmp_path / "linux")
    tree = kbuild.Tree(source, source)
    assert (tree.version, tree.configured, tree.link_input) == ("6.12.117-rc1", False, "vmlinux.a")
    assert tree.compiler is None
    (source / "include/config").mkdir(parents=True)
    (source / "include/config/kernel.release").write_text("6.12.117-mine\n")
    (source / "include/config/auto.conf").write_text(
        '#\nCONFIG_CC_VERSION_TEXT="gcc (x) 12.2.0"\nCONFIG_X86_KERNEL_IBT=y\nCONFIG_TUN=m\n'
    )
    tree = kbuild.Tree(source, source)
    assert (tree.version, tree.configured, tree.link_input) == ("6.12.117-mine", True, "vmlinux.o")
    assert tree.compiler == "gcc (x) 12.2.0"
    assert tree.config["CONFIG_TUN"] == "m"


# --- switching on -------------------------------------------------------------------------------


def test_makefiles_of_others_are_kept_and_ours_is_added_once(environ: dict[str, str]) -> None:
    ours = str(paths.snippet())
    first = kbuild.build_environment({**environ, "MAKEFILES": "/a.mk  /b.mk"})
    assert first["MAKEFILES"] == f"/a.mk /b.mk {ours}"
    assert kbuild.build_environment({**environ, **first}) == first


def test_paths_that_make_cannot_use_are_refused(tmp_path: Path) -> None:
    stubs = Stubs.create(tmp_path / "two words")
    with pytest.raises(Error, match="two words: make cannot use a path with spaces"):
        kbuild.build_environment({"KBUILD_BTF_BIN": str(stubs.directory)})


def test_missing_executables_are_named(stubs: Stubs) -> None:
    (stubs.directory / "kbuild-btf-hook").unlink()
    with pytest.raises(Error, match=r"KBUILD_BTF_BIN=.*kbuild-btf-hook") as caught:
        paths.executables({"KBUILD_BTF_BIN": str(stubs.directory)})
    assert caught.value.hint == "correct or unset KBUILD_BTF_BIN"


def run(
    *arguments: str, environ: dict[str, str], directory: Path
) -> subprocess.CompletedProcess[str]:
    """The command line."""
    return subprocess.run(
        [sys.executable, "-m", "kbuild_btf", *arguments],
        cwd=directory,
        env={**environ, "PYTHONPATH": str(Path(kbuild.__file__).parent.parent)},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("before", ["", "export MAKEFILES='/other one.mk'; "])
def test_env_is_for_eval_and_off_undoes_it(
    tmp_path: Path, environ: dict[str, str], before: str
) -> None:
    program = f"{sys.executable} -m kbuild_btf"
    show = 'echo "[$MAKEFILES] [$KBUILD_BTF] [${KBUILD_BTF_BIN-unset}]"'
    script(
        tmp_path / "session",
        f'set -e\n{before}\neval "$({program} env)"\n{show}\n'
        f'eval "$({program} env)"\n{show}\neval "$({program} env --off)"\n{show}\n'
        "sh -c 'echo ${MAKEFILES-unset}'\n",
    )
    done = subprocess.run(
        ["sh", "session"],
        cwd=tmp_path,
        env={**environ, "PYTHONPATH": str(Path(kbuild.__file__).parent.parent)},
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    others = "/other one.mk" if before else ""
    on = f"[{others + ' ' if others else ''}{paths.snippet()}] [1] [{environ['KBUILD_BTF_BIN']}]"
    assert done.stdout.splitlines() == [on, on, f"[{others}] [] [unset]", others or "unset"]


def test_everything_after_make_is_makes(tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / "Makefile").write_text(
        "all:\n\t@echo $(MAKEFLAGS)/$(X)/$(KBUILD_BTF)/$(KBUILD_BTF_BIN)\n"
        "\t@echo $(filter %kbuild-btf.mk,$(MAKEFILE_LIST))\nfail:\n\t@exit 1\n"
    )
    done = run("make", "-k", "--no-print-directory", "X=a b", environ=environ, directory=tmp_path)
    first, second = done.stdout.splitlines()
    assert first.startswith("k --no-print-directory")
    assert first.endswith(f"/a b/1/{environ['KBUILD_BTF_BIN']}")
    assert second == str(paths.snippet())
    assert (done.returncode, done.stderr) == (0, "")
    assert run("make", "--version", environ=environ, directory=tmp_path).stdout.startswith("GNU")
    assert run("make", "-s", "fail", environ=environ, directory=tmp_path).returncode == 2


def test_make_says_in_one_line_what_a_tree_does_not_allow(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    source = kernel(tmp_path / "linux")
    done = run("make", "-f", "/dev/null", "-q", environ=environ, directory=source)
    assert done.stderr.splitlines()[0].startswith(f"kbuild-btf: {source}: scripts/Kbuild.include ")


def test_make_introduces_itself_once_in_a_tree(tmp_path: Path, environ: dict[str, str]) -> None:
    tree = MiniTree.copy(tmp_path / "tree", environ)
    (tree.directory / "include/config/auto.conf").rename(tree.directory / ".config")
    command = ("make", "-f", "/dev/null", "-q")
    first = run(*command, environ=environ, directory=tree.directory)
    early = "objects are encoded as they are compiled; vmlinux is linked from vmlinux"
    assert f"{early}.a" in first.stderr
    again = run(*command, environ=environ, directory=tree.directory)
    assert "kbuild-btf" not in again.stderr
    with (tree.directory / ".config").open("a") as config:
        config.write("CONFIG_X86_KERNEL_IBT=y\n")
    changed = run(*command, environ=environ, directory=tree.directory)
    assert f"{early}.o" in changed.stderr


def test_an_object_directory_that_make_has_not_seen(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    """With a configuration that was copied there; Kbuild writes its Makefile then."""
    tree = MiniTree.copy(tmp_path / "tree", environ)
    (tmp_path / "out").mkdir()
    (tree.directory / "include/config/auto.conf").rename(tmp_path / "out/.config")
    command = ("make", "-f", "/dev/null", "-q", f"O={tmp_path / 'out'}")
    done = run(*command, environ=environ, directory=tree.directory)
    assert "objects are encoded as they are compiled" in done.stderr
    assert "no kernel tree" not in done.stderr


def test_make_that_is_not_there(tmp_path: Path, environ: dict[str, str]) -> None:
    empty = {**environ, "PATH": str(tmp_path)}
    done = run("make", environ=empty, directory=tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "kbuild-btf: make cannot be started: No such file or directory; "
        "install GNU make 4.2 or newer\n"
    )


def test_make_keeps_the_cache_to_its_limit_once_an_hour(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    (tmp_path / "Makefile").write_text("all: ;\n")
    shard = tmp_path / "cache/v1/ab"
    shard.mkdir(parents=True)
    limited = {**environ, "KBUILD_BTF_CACHE_SIZE": "1000"}
    for expected in (0, 2):
        for digit in "01":
            (shard / f"{digit * 32}.kbtf").write_bytes(bytes(1500))
        assert run("make", environ=limited, directory=tmp_path).returncode == 0
        assert len(list(shard.iterdir())) == expected
    wrong = run("make", environ={**environ, "KBUILD_BTF_CACHE_SIZE": "big"}, directory=tmp_path)
    assert wrong.returncode == 1
    assert "KBUILD_BTF_CACHE_SIZE" in wrong.stderr
