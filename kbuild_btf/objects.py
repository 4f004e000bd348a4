# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The objects of a build: which ones were linked, and the sidecar of each (docs/sidecar.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast

from . import _native
from .paths import StrPath

__all__ = ["linked_objects", "sidecar_path", "write_sidecar"]


def linked_objects(elf: StrPath) -> list[Path]:
    """The objects that a file of a kernel tree was linked from, in the linker's order.

    From the trace of the link, the ``.mod`` file of a module, or ``vmlinux.a``. Raises Error when
    the tree has none of these, or names objects that are not there.
    """
    return _native.linked_objects(elf)


def sidecar_path(object: StrPath) -> Path:
    """Where the sidecar of an object lies, whether it is there or not: ``dir/.tmp_<name>.kbtf``."""
    return _native.sidecar_path(object)


def write_sidecar(
    object: StrPath, *, inline: bool = False, cache: StrPath | None = None
) -> Literal["unchanged", "hit", "miss"] | None:
    """Bring the sidecar of an object up to date, as the hook does after it was compiled; with
    ``inline`` it also says where functions were inlined, for links with that feature.

    It was ``unchanged``, came from the directory ``cache`` (``hit``; None: no cache), or the object
    was encoded (``miss``). None: compiled for LTO, so that there is nothing to encode before the
    link. Raises Error when the object cannot be encoded or the sidecar not written.
    """
    done = _native.write_sidecar(object, inline=inline, cache=cache)
    return cast('Literal["unchanged", "hit", "miss"] | None', done)
