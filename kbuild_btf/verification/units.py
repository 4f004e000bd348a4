# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Reading the units of a file, by several processes when there is much to read."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from .. import _native
from ..errors import Error
from .dies import Section
from .dwarf import Reader
from .facts import Described, Features

# Less than this is read faster than processes start.
_WORTH_IT = 2 << 20
_BATCH = 512 << 10

# What a forked process inherits instead of reading it again: pyelftools keeps sections in memory.
_inherited: Reader | None = None


def languages(names: Iterable[str]) -> frozenset[int]:
    """Numbers of languages by the names that ``--lang-exclude`` takes (c11, rust, c++14, asm).

    Raises Error.
    """
    known = _native.LANGUAGES
    if unknown := [name for name in names if name.lower() not in known]:
        raise Error(
            f"unknown language {', '.join(unknown)}", "--lang-exclude", "such as rust, c11, asm"
        )
    return frozenset(known[name.lower()] for name in names)


def sample(count: int, wanted: int) -> list[int]:
    """So many of ``count`` units, evenly spread and always the same; 0 means all."""
    if not wanted or wanted >= count:
        return list(range(count))
    return [index * count // wanted for index in range(wanted)]


def read(
    section: Section,
    indices: Sequence[int],
    features: Features,
    left_out: frozenset[int],
    jobs: int,
    progress: Callable[[int, int], object],
) -> Described:
    """What these units say; ``progress`` is told how many bytes are read, of how many.

    Raises Error.
    """
    reader = Reader(section, features, left_out)
    sizes = {index: section.size(index) for index in indices}
    total, done = sum(sizes.values()), 0
    jobs = jobs or len(os.sched_getaffinity(0))
    found = Described()
    if jobs == 1 or total < _WORTH_IT or not _can_fork():
        for batch in _batches(indices, sizes):
            reader.describe(batch, found)
            done += sum(sizes[index] for index in batch)
            progress(done, total)
    else:
        parts = _in_processes(reader, list(_batches(indices, sizes)), jobs)
        with contextlib.closing(parts):
            for batch, part in parts:
                found.add(part)
                done += sum(sizes[index] for index in batch)
                progress(done, total)
    return found


def _batches(indices: Sequence[int], sizes: dict[int, int]) -> Iterator[list[int]]:
    """Neighbours together, each batch large enough to be worth a message."""
    batch: list[int] = []
    size = 0
    for index in indices:
        batch.append(index)
        size += sizes[index]
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _can_fork() -> bool:
    return "fork" in multiprocessing.get_all_start_methods()


def _in_processes(
    reader: Reader, batches: list[list[int]], jobs: int
) -> Generator[tuple[list[int], Described], None, None]:
    global _inherited
    _inherited = reader
    context = multiprocessing.get_context("fork")
    try:
        # Ctrl-C is for all processes of a terminal, but only the first of these answers to it.
        ignore = (signal.SIGINT, signal.SIG_IGN)
        count = min(jobs, len(batches))
        with ProcessPoolExecutor(count, context, signal.signal, ignore) as pool:
            futures = {pool.submit(_describe, batch): batch for batch in batches}
            try:
                for future in as_completed(futures):
                    yield futures.pop(future), future.result()
            except BrokenProcessPool as failed:
                hint = "is there enough memory? -j1 takes the least"
                raise Error("a process that was reading it died", reader.section.where, hint) from (
                    failed
                )
            except Exception:
                for future in futures:
                    future.cancel()
                raise
            except BaseException:
                # Ctrl-C: nobody waits for the rest.
                for child in multiprocessing.active_children():
                    child.terminate()
                raise
    finally:
        _inherited = None


_seen: Described | None = None


def _describe(batch: list[int]) -> Described:
    """In a process: what these units say that it has not said before."""
    global _seen
    assert _inherited
    part = Described()
    _inherited.describe(batch, part)
    if _seen is None:
        _seen = Described()
    new = part.without(_seen)
    _seen.add(new)
    return new
