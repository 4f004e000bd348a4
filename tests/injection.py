# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The system calls of a program, and runs in which one of them fails or is the last (strace)."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from support import require, run

_STREAMED = ("read", "write", "writev", "pread64", "pwrite64", "readv")


class Call(NamedTuple):
    """One system call. strace counts calls of each name for itself: this is the nth of its name,
    from 1. The path is the last that it names; None without one."""

    name: str
    nth: int
    path: Path | None
    text: str


def require_tracing() -> None:
    """Some containers forbid it whatever is installed."""
    require("strace")
    done = run("strace", "-o", "/dev/null", "true")
    if done.returncode:
        pytest.skip(f"strace cannot trace here: {done.stderr.strip().splitlines()[-1]}")


def system_calls(
    argv: Sequence[str | Path], cwd: Path, env: Mapping[str, str] | None = None
) -> list[Call]:
    """What the main thread of a program calls, in order; the program must succeed."""
    log = cwd / ".strace"
    done = run("strace", "-y", "-o", log, *argv, cwd=cwd, env=env)
    assert done.returncode == 0, done.stderr
    lines = log.read_text(errors="replace").splitlines()
    log.unlink()
    calls, seen = [], Counter[str]()
    for line in lines:
        if found := re.match(r"(\w+)\(", line):
            name = found[1]
            seen[name] += 1
            calls.append(Call(name, seen[name], _path(name, line, cwd), line))
    return calls


def _path(name: str, line: str, cwd: Path) -> Path | None:
    arguments, _, _ = line.rpartition(" = ")
    files: list[str] = re.findall(r"\d<(/[^>]*)>", arguments)
    words: list[str] = [] if name in _STREAMED else re.findall(r'"((?:[^"\\]|\\.)*)"', arguments)
    if words:
        return cwd / words[-1]
    return Path(files[0]) if files else None


def injected(
    argv: Sequence[str | Path],
    call: Call,
    what: str,
    cwd: Path,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run it with `what` in place of this call: "error=EIO", or "signal=KILL" for its end there."""
    inject = f"inject={call.name}:{what}:when={call.nth}"
    return run("strace", "-o", "/dev/null", "-e", inject, *argv, cwd=cwd, env=env)
