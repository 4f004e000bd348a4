# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""`kbuild-btf demo`: what it shows is so, and it leaves nothing behind, however it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from minitree import MiniTree
from support import SCRIPTS, SECONDS, kbuild_btf

from kbuild_btf.cli import main
from kbuild_btf.commands import demo

_COUNTS = re.compile(
    r"Objects compiled: (\d+)\. Objects with their types beside them: (\d+),\n"
    r"of these (\d+) new in this build, (\d+) left as they were\."
)


def counts(text: str) -> list[tuple[int, ...]]:
    """Of each build: compiled, with types, new, left."""
    return [tuple(map(int, found)) for found in _COUNTS.findall(text)]


def test_it_tells_what_was_done() -> None:
    done = kbuild_btf("demo")
    assert (done.returncode, done.stderr) == (0, "")
    (first, edit, again) = counts(done.stdout)
    assert first[0] == first[1] == first[2] > 10
    assert edit == (1, first[1], 1, first[1] - 1)
    assert again[3] == 0
    assert f"{again[1]} objects were not encoded again" in done.stdout


@pytest.mark.parametrize("ending", [signal.SIGINT, None], ids=["Ctrl-C", "head"])
def test_it_is_gone_when_it_is_interrupted(ending: signal.Signals | None, tmp_path: Path) -> None:
    with subprocess.Popen(
        [SCRIPTS / "kbuild-btf", "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": ""},
        # What is started in the background of a shell may be told to ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as child:
        assert child.stdout and child.stderr
        while "  CC " not in child.stdout.readline():
            pass
        if ending:
            child.send_signal(ending)
            child.stdout.read()
        child.stdout.close()
        said = child.stderr.read()
        assert child.wait(SECONDS) == (130 if ending else 141)
    assert said == ""
    assert list(tmp_path.iterdir()) == []


def test_an_object_that_is_compiled_again(
    tree: MiniTree, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Of a tree that is not ours no source is changed, and that its types are as before is said."""
    monkeypatch.setattr(demo, "_KERNEL_OBJECTS", ("kernel/sched.o",))
    for name, value in tree.environ.items():
        monkeypatch.setenv(name, value)
    assert main(["demo", "--tree", str(tree.directory), "-j2"]) == 0
    shown = capfd.readouterr().out
    assert "2. Compile kernel/sched.o again, and find its types as they were" in shown
    (_, second) = counts(shown)
    assert (second[0], second[2]) == (1, 0)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("# CONFIG_DEBUG_INFO_BTF is not set", "CONFIG_DEBUG_INFO_BTF: off; scripts/config -e"),
        ("CONFIG_KERNEL_LZO=y", "lzop: CONFIG_KERNEL_LZO: "),
    ],
)
def test_what_is_missing_is_said_before_anything_is_compiled(
    line: str,
    said: str,
    tree: MiniTree,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(
        "kbuild_btf.commands.doctor.shutil.which",
        lambda name, **_: None if name == "lzop" else f"/bin/{'true' if name != 'gcc' else name}",
    )
    config = tree.directory / "include/config/auto.conf"
    option = re.escape(line.removeprefix("# ").partition("=")[0].partition(" ")[0])
    kept = re.sub(rf"^{option}=.*\n", "", config.read_text(), flags=re.M)
    config.write_text(f"{kept}{line}\n")
    (tree.directory / "vmlinux").unlink()
    assert main(["demo", "--tree", str(tree.directory)]) == 1
    assert said in capsys.readouterr().err
    assert not (tree.directory / "vmlinux").exists()
