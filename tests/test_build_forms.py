# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The ways in which people build, on the mini-kernel: the BTF is the same in all of them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from minitree import MiniTree, mini_kernel, products, programs, sidecars
from support import SCRIPTS, SOURCES, compiled, require, run

from kbuild_btf.cache import Cache

# make 4.4 and newer, if the machine has one beside the usual: then both are tried.
MAKES = ["make", *([other] if (other := os.environ.get("KBUILD_BTF_TEST_MAKE")) else [])]


@pytest.mark.parametrize("make", MAKES)
@pytest.mark.parametrize("jobs", ["-j1", "-j2", "-j16", "-j"])
def test_any_number_of_jobs(tmp_path: Path, built: MiniTree, make: str, jobs: str) -> None:
    """make counts the tokens of its jobserver when it ends, and complains if one is missing."""
    tree = mini_kernel(tmp_path)
    done = run(make, jobs, cwd=tree.directory, env=tree.environ)
    assert (done.returncode, done.stderr) == (0, "")
    assert products(tree) == products(built)


@pytest.mark.parametrize("after", [0.1, 0.4, 0.8, 1.2])
def test_interrupted_and_resumed(tmp_path: Path, built: MiniTree, after: float) -> None:
    tree = mini_kernel(tmp_path)
    running = subprocess.Popen(
        ["make", "-j2"],
        cwd=tree.directory,
        env=tree.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(after)
    # To all of it, as a terminal does.
    os.killpg(running.pid, signal.SIGINT)
    running.wait()
    tree.make("-j2")
    assert products(tree) == products(built)


def test_a_target_that_is_gone_is_made_again(tree: MiniTree, built: MiniTree) -> None:
    """Each alone, with its command still recorded: so a make leaves it that was interrupted."""
    recorded = sorted(tree.directory.glob("*/.*.cmd"))
    targets = [path.with_name(path.name[1:].removesuffix(".cmd")) for path in recorded]
    assert {"modules.order", "mini.mod", "mini.mod.c"} <= {target.name for target in targets}
    for target in targets:
        target.unlink()
        tree.make("-j2")
        assert target.exists(), target
    assert products(tree) == products(built)


def test_two_builds_at_once_share_a_cache(tmp_path: Path, built: MiniTree) -> None:
    trees = [mini_kernel(tmp_path / name) for name in ("one", "other")]
    running = []
    for tree in trees:
        tree.environ["KBUILD_BTF_CACHE"] = str(tmp_path / "shared")
        running.append(
            subprocess.Popen(
                ["make", "-j4"],
                cwd=tree.directory,
                env=tree.environ,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
        )
    for process in running:
        _, said = process.communicate(timeout=120)
        assert (process.returncode, said) == (0, b"")
    for tree in trees:
        assert products(tree) == products(built)
    assert Cache(tmp_path / "shared").statistics(0).errors == 0


def test_a_link_that_changes_nothing_leaves_the_file(built: MiniTree, tmp_path: Path) -> None:
    """With its time stamp, so that make does nothing because of it."""
    image, output = built.directory / ".tmp_vmlinux1", tmp_path / "out.btf"
    detached = f"--btf_encode_detached={output}"
    by_hand: list[str | Path] = [SCRIPTS / "kbuild-btf", "link", image, "-o", output]
    as_make: list[str | Path] = [SCRIPTS / "kbuild-btf-pahole", "-J", "--btf_features=default"]
    as_make += [detached, image]
    assert run(*by_hand, cwd=built.directory).returncode == 0
    before = output.stat()
    for command in (by_hand, as_make):
        assert run(*command, cwd=built.directory).returncode == 0
        after = output.stat()
        assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


# --- the jobserver ------------------------------------------------------------------------------


@pytest.fixture
def tokens(tmp_path: Path) -> Iterator[int]:
    """The jobserver of a make of version 4.4: a named pipe, here with three tokens. Both ends."""
    os.mkfifo(tmp_path / "fifo")
    pipe = os.open(tmp_path / "fifo", os.O_RDWR | os.O_NONBLOCK)
    os.write(pipe, b"abc")
    yield pipe
    os.close(pipe)


def contents(pipe: int) -> list[int]:
    """What is in it now; it stays there."""
    try:
        found = os.read(pipe, 100)
    except BlockingIOError:
        return []
    os.write(pipe, found)
    return sorted(found)


def encoded(tmp_path: Path, makeflags: str) -> subprocess.CompletedProcess[str]:
    """Run the encoder under these flags of a make, with as many threads as it can get."""
    elf = compiled(SOURCES / "types.c", tmp_path / "a.o")
    output = f"--btf_encode_detached={tmp_path / 'a.btf'}"
    return run(
        SCRIPTS / "kbuild-btf-pahole", "-J", "-j9", output, elf, env={"MAKEFLAGS": makeflags}
    )


def test_tokens_go_back(tmp_path: Path, tokens: int) -> None:
    done = encoded(tmp_path, f" -j4 --jobserver-auth=fifo:{tmp_path / 'fifo'}")
    assert (done.returncode, done.stderr) == (0, "")
    assert contents(tokens) == sorted(b"abc")


def test_tokens_go_back_after_an_error(tmp_path: Path, tokens: int) -> None:
    flags = f" -j4 --jobserver-auth=fifo:{tmp_path / 'fifo'}"
    broken = tmp_path / "broken"
    broken.write_text("not an ELF file")
    done = run(SCRIPTS / "kbuild-btf-pahole", "-J", "-j9", broken, env={"MAKEFLAGS": flags})
    assert done.returncode == 1
    assert contents(tokens) == sorted(b"abc")


def test_no_token_is_waited_for(tmp_path: Path, tokens: int) -> None:
    os.read(tokens, 3)
    done = encoded(tmp_path, f" -j4 --jobserver-auth=fifo:{tmp_path / 'fifo'}")
    assert (done.returncode, done.stderr) == (0, "")
    assert contents(tokens) == []


@pytest.mark.parametrize("auth", ["3,4", "-2,-2", "fifo:/nowhere", "nonsense"])
def test_a_jobserver_out_of_reach(tmp_path: Path, auth: str) -> None:
    """A recipe without `+`: make names descriptors that we do not have."""
    done = encoded(tmp_path, f" -j4 --jobserver-auth={auth}")
    assert (done.returncode, done.stderr) == (0, "")


# --- compilers behind something -----------------------------------------------------------------


def test_ccache_miss_and_hit(tmp_path: Path, built: MiniTree) -> None:
    """A hit brings the object back without compiling; the hook sees no difference."""
    require("ccache")
    tree = mini_kernel(tmp_path)
    tree.environ["CCACHE_DIR"] = str(tmp_path / "ccache")
    for hits in (False, True):
        tree.make("-j4", "CC=ccache gcc")
        assert products(tree) == products(built)
        # The second time the module comes out of the cache: nobody asks for what its link compiles.
        asked = {n for n in sidecars(built) if not (hits and n.endswith(".mod.o.kbtf"))}
        assert set(sidecars(tree)) == asked
        said = run("ccache", "--print-stats", env=tree.environ).stdout
        stats = dict(line.split("\t")[:2] for line in said.splitlines())
        assert (int(stats["direct_cache_hit"]) + int(stats["preprocessed_cache_hit"]) > 5) == hits
        tree.make("clean")


def wait_for(port: int) -> None:
    """Until a server listens there, half a minute at most."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)


def test_distcc(tmp_path: Path, built: MiniTree) -> None:
    """Compiled by a server, on this machine here: the preprocessed source goes there and the object
    comes back."""
    require("distcc", "distccd")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = ("--listen", "127.0.0.1", "--port", str(port), "--allow", "127.0.0.1")
    # Started by root it gives that up, and can then write nothing below tmp_path.
    rest = ("--log-file", "/dev/null", "--enable-tcp-insecure", "--jobs", "2")
    server = subprocess.Popen(
        ["distccd", "--no-detach", "--daemon", *address, *rest],
        env={**os.environ, "TMPDIR": "/tmp"},
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port)
        tree = mini_kernel(tmp_path)
        (tmp_path / "distcc").mkdir()
        tree.environ |= {
            "DISTCC_HOSTS": f"127.0.0.1:{port}",
            "DISTCC_FALLBACK": "0",
            "DISTCC_DIR": str(tmp_path / "distcc"),
            "DISTCC_LOG": str(tmp_path / "log"),
            "DISTCC_VERBOSE": "1",
        }
        tree.make("-j2", "CC=distcc gcc")
    finally:
        server.terminate()
        server.wait()
    log = (tmp_path / "log").read_text()
    assert f"sched.c on 127.0.0.1:{port}" in log
    assert "completed ok" in log
    assert products(tree) == products(built)


def test_the_hook_runs_behind_any_shell(tmp_path: Path, built: MiniTree) -> None:
    """SHELL= of the makefile is what runs recipes; the hook needs none."""
    require("bash")
    tree = mini_kernel(tmp_path)
    tree.environ["KBUILD_BTF_BIN"] = str(programs(tmp_path / "bin"))
    tree.make("-j4", "SHELL=/bin/bash")
    assert products(tree) == products(built)


# --- configurations that a newer kernel has -------------------------------------------------------

LAST_LINK = "vmlinux_link vmlinux .tmp_vmlinux1.btf.o"


def configured(tmp_path: Path, old: str, new: str, before_last_link: str) -> MiniTree:
    """The mini-kernel, with another configuration and one more step between the links."""
    tree = mini_kernel(tmp_path)
    tree.replace("include/config/auto.conf", old, new)
    tree.replace("scripts/link-vmlinux.sh", LAST_LINK, f"{before_last_link}\n{LAST_LINK}")
    return tree


def test_a_table_of_source_lines(tmp_path: Path, built: MiniTree) -> None:
    """CONFIG_KALLSYMS_LINEINFO reads .debug_line of the first image, and fails without."""
    require("readelf")
    lines = "readelf --debug-dump=decodedline .tmp_vmlinux1 | grep -q 'sched.c' || exit 1"
    option = "CONFIG_DEBUG_INFO_BTF=y\n"
    tree = configured(tmp_path, option, option + "CONFIG_KALLSYMS_LINEINFO=y\n", lines)
    assert ".tmp_vmlinux1: 9 objects linked, 9 reused, 0 encoded now" in tree.make("V=1").stdout
    assert products(tree) == products(built)


def test_btf_in_a_module_of_its_own(tmp_path: Path, built: MiniTree) -> None:
    """CONFIG_DEBUG_INFO_BTF=m: vmlinux says in .BTF.meta how long its BTF is, and of what hash."""
    meta = (
        "{ printf '\\\\44\\\\0\\\\0\\\\0'; sha256sum .tmp_vmlinux1.btf; } >.tmp_meta\n"
        'printf \'.section .BTF.meta,"a"\\n.incbin ".tmp_meta"\\n'
        '.section .BTF\\n.incbin ".tmp_vmlinux1.btf"\\n\' | $CC -c -x assembler'
        " -o .tmp_vmlinux1.btf.o -"
    )
    tree = configured(tmp_path, "CONFIG_DEBUG_INFO_BTF=y", "CONFIG_DEBUG_INFO_BTF=m", meta)
    assert ".tmp_vmlinux1: 9 objects linked, 9 reused, 0 encoded now" in tree.make("V=1").stdout
    assert len(sidecars(tree)) == len(sidecars(built))
    assert products(tree) == products(built)
