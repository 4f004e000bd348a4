# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Says how far the work is, once it takes its time.

On a terminal in one line, written over and over. Elsewhere, in a log for example, and under make,
whose terminal belongs to all that it runs, in a line of its own now and then.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

# Seconds before the first word, and between two: on a terminal, and in a log.
_PATIENCE, _INTERVAL = 2.0, 0.2
_PATIENCE_OF_LOG, _INTERVAL_OF_LOG = 10.0, 30.0

_T = TypeVar("_T")

# Called with how much is done, and how much there is.
Progress = Callable[[int, int], None]


class Line:
    """What is said on stderr; shown only once the work takes long."""

    def __init__(self) -> None:
        self._shown = False
        self._moves = sys.stderr.isatty() and "MAKELEVEL" not in os.environ
        self._next = time.monotonic() + (_PATIENCE if self._moves else _PATIENCE_OF_LOG)

    def show(self, text: str) -> None:
        """Say it, unless something was said a moment ago."""
        now = time.monotonic()
        if now < self._next:
            return
        if not self._moves:
            self._next = now + _INTERVAL_OF_LOG
            print(text, file=sys.stderr, flush=True)
            return
        self._next = now + _INTERVAL
        self._shown = True
        # A line that wraps could not be taken away again.
        text = text[: shutil.get_terminal_size().columns - 1]
        print(f"\r{text}", end="\x1b[K", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Take the line away."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._shown = False


@contextlib.contextmanager
def percent(label: str) -> Iterator[Progress]:
    """Says in percent how much is done."""
    line = Line()
    try:
        yield lambda done, total: line.show(f"{label}: {100 * done // max(total, 1)} %")
    finally:
        line.close()


def watched(label: str, work: Callable[[], _T]) -> _T:
    """The result of a native function, which tells how far it is while it runs.

    It runs in a thread of its own, so that Ctrl-C is heard at once: the program then ends with
    status 130, because native threads cannot be told to stop.
    """
    from . import _native

    results: list[_T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as failed:
            failures.append(failed)

    line = Line()
    thread = threading.Thread(target=run, daemon=True)
    try:
        thread.start()
        while thread.is_alive():
            thread.join(_INTERVAL)
            stage, done, total = _native.progress()
            line.show(f"{label}: {done} of {total} {stage}" if total else f"{label}: {stage}")
    except KeyboardInterrupt:
        line.close()
        os._exit(130)
    line.close()
    if failures:
        raise failures[0]
    return results[0]
