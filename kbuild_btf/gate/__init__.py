# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""From what differs to a verdict: whom it breaks, what was agreed to, whether to let it pass."""

from __future__ import annotations

from ..errors import Error
from ..paths import StrPath
from . import pairs, suppression
from .verdict import Verdict, of_pairs

__all__ = ["judge"]


def judge(
    a: StrPath,
    b: StrPath,
    *,
    base: StrPath | None = None,
    base_b: StrPath | None = None,
    suppress: StrPath | None = None,
) -> Verdict:
    """What differs between two kernels, and whom it breaks that was built for ``a``.

    ``a`` and ``b`` are two files (raw BTF, or ELF with ``.BTF``; split BTF with its ``base``, and
    ``base_b`` where that of ``b`` is another), or two directories with a vmlinux and modules, which
    are matched by name. ``suppress`` is a file of what was agreed to (docs/ci.md).

    ``Verdict.findings`` has each difference with its rule and severity, and ``Verdict.fails`` says
    whether one of a severity is among them that was not agreed to. Raises Error.
    """
    one, other = str(a), str(b)
    if pairs.are_kernels(one, other):
        if base or base_b:
            raise Error("modules in a directory have its vmlinux as base", "--base", "leave it out")
        found = pairs.of_kernels(one, other)
    else:
        bases = (None if path is None else str(path) for path in (base, base_b))
        found = pairs.of_files(one, other, *bases)
    agreed = suppression.read(str(suppress)) if suppress else []
    return of_pairs(one, other, found, agreed)
