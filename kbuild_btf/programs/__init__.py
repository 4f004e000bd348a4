# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""BPF programs: what their object files ask of a kernel, and what a kernel's BTF answers."""

from __future__ import annotations

from collections.abc import Iterable
from os import fspath

from ..paths import StrPath
from .attach import Place, State
from .core import Answer, Verdict
from .kernels import sorted_out
from .object import Relocation
from .verdict import Checked, Needed, OnKernel, Program, Resolved, judge

__all__ = [
    "Answer",
    "Checked",
    "Needed",
    "OnKernel",
    "Place",
    "Program",
    "Relocation",
    "Resolved",
    "State",
    "Verdict",
    "check_programs",
]


def check_programs(files: Iterable[StrPath]) -> list[Checked]:
    """Say whether BPF programs load and attach: for each object file its verdict on each kernel.

    ``files`` are object files of BPF programs, and kernels: a vmlinux or its BTF, each followed by
    modules of it. What is in the file tells which is which.

    Raises Error for a file that cannot be read or is damaged, without programs or without a kernel.
    """
    programs, kernels = sorted_out(str(fspath(file)) for file in files)
    return [judge(found, kernels) for found in programs]
