# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Making BTF: of the DWARF of one file, or of the objects that a file was linked from; and the
kernel's rules for what was made.

The stages themselves (docs/architecture.md) are native. What they take stands in the arguments: no
environment variable counts here, and no file is written but those that are named.
"""

from __future__ import annotations

from collections.abc import Iterable

from . import _native
from ._native import Output
from .paths import StrPath

__all__ = ["Output", "check", "encode", "link"]


def encode(
    elf: StrPath,
    *,
    features: str | None = None,
    lang_exclude: Iterable[str] = (),
    jobs: int = 0,
    base: StrPath | None = None,
    stable_ids: StrPath | None = None,
    trace: StrPath | None = None,
) -> Output:
    """Encode the DWARF of any ELF file: an object, a module, a whole kernel.

    ``features`` is a list as pahole's ``--btf_features`` takes it (None: what pahole does by
    itself); ``FEATURES`` has the names. Units in the languages ``lang_exclude`` (``rust``,
    ``c++14``; ``LANGUAGES`` has all) are left out. ``jobs`` threads read (0: one per processor).
    ``base`` (ELF with ``.BTF``, or raw BTF) makes the result split BTF against it. With
    ``stable_ids`` (the same, of an earlier build) types that stay keep their ids, and new ones
    follow. The stages are appended to the file ``trace`` (chrome://tracing, Perfetto).

    Raises Error: a file that is not ELF, has no DWARF, is damaged, or describes what BTF has no
    kind for.
    """
    return _native.encode(
        elf,
        features=features,
        lang_exclude=list(lang_exclude),
        jobs=jobs,
        base=base,
        stable_ids=stable_ids,
        trace=trace,
    )


def link(
    elf: StrPath,
    objects: Iterable[StrPath] | None = None,
    *,
    features: str | None = None,
    lang_exclude: Iterable[str] = (),
    jobs: int = 0,
    base: StrPath | None = None,
    stable_ids: StrPath | None = None,
    cache: StrPath | None = None,
    trace: StrPath | None = None,
) -> Output:
    """Combine the objects of a linked ELF file: their sidecars, or their DWARF without one.

    Of ``elf`` only symbols and sections are read, so it may be stripped of debug information.
    ``objects`` None: those that the linker took, see ``linked_objects``. What is encoded now is
    kept in the directory ``cache``, and looked for there (None: neither); sidecars are not written.
    The rest is as in ``encode``.

    Where symbols do not tell static variables apart, and an LD wrapper has recorded the command,
    the linker is run once more into a file that is removed.

    Raises Error as ``encode`` does, and for objects that were not linked into ``elf``.
    """
    return _native.link(
        elf,
        objects=None if objects is None else list(objects),
        features=features,
        lang_exclude=list(lang_exclude),
        jobs=jobs,
        base=base,
        stable_ids=stable_ids,
        cache=cache,
        trace=trace,
    )


def check(
    btf: bytes,
    base: bytes | None = None,
    *,
    pointer_size: int | None = None,
    kernel: bool = False,
) -> None:
    """Check raw BTF by the rules of the kernel (kernel/bpf/btf.c).

    That is all that BPF_BTF_LOAD asks, or with ``kernel`` only what the kernel asks of its own BTF
    and what holds for any C program. ``base`` is raw BTF that split BTF builds on. ``pointer_size``
    is in bytes (None: that of ``long``).

    Raises Error for the first type that breaks a rule, with its id.
    """
    _native.check(btf, base, pointer_size=pointer_size, kernel=kernel)
