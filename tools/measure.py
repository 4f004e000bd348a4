# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What one process costs, for the tools that measure."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# What Linux 6.12 asks of pahole.
FEATURES = (
    "encode_force,var,float,enum64,decl_tag,type_tag,optimized_func,consistent_func,decl_tag_kfuncs"
)


@dataclass
class Run:
    """What one process cost: seconds and MB."""

    cpu: float
    wall: float
    memory: float


class Failed(SystemExit):
    """A command that did not succeed; where nobody minds, the tool ends with that message."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{Path(sys.argv[0]).name}: {what}")


def run(command: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None) -> Run:
    """Run a command to its end; it must succeed."""
    program = shutil.which(command[0])
    if program is None:
        raise Failed(f"{command[0]} is not installed")
    here = Path.cwd()
    os.chdir(cwd)
    start = time.monotonic()
    # Not fork: copying the page tables of this process would be counted to the child.
    sink = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    pid = os.posix_spawn(program, list(command), {**os.environ, **(env or {})}, file_actions=sink)
    _, status, usage = os.wait4(pid, 0)
    wall = time.monotonic() - start
    os.chdir(here)
    if status != 0:
        raise Failed(f"failed: {' '.join(command)}")
    return Run(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024)


def peak(command: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None) -> float | None:
    """Peak memory in MB by GNU time; None without it.

    What this process starts itself is counted with the memory of this process, from before exec.
    """
    program = shutil.which("time")
    if program is None:
        return None
    with tempfile.NamedTemporaryFile("r") as told:
        run([program, "-f", "%M", "-o", told.name, *command], cwd, env)
        return int(told.read().split()[-1]) / 1024
