# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""A line that says how far the work is: on a terminal, not under make, once it takes its time."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from typing import TypeVar

_PATIENCE = 2.0
_INTERVAL = 0.2

_T = TypeVar("_T")


class Line:
    """One line on stderr, written over and over; shown only once the work takes long."""

    def __init__(self) -> None:
        self._shown = False
        self._next = time.monotonic() + _PATIENCE
        # The terminal of a make belongs to all that it runs at a time.
        self._visible = sys.stderr.isatty() and "MAKELEVEL" not in os.environ

    def show(self, text: str) -> None:
        """Replace the line, unless that was done a moment ago."""
        now = time.monotonic()
        if self._visible and now >= self._next:
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


class Progress:
    """Counts towards ``total`` in any unit; ``label`` says what is being done."""

    def __init__(self, label: str, total: int) -> None:
        self.label = label
        self.total = max(total, 1)
        self.done = 0
        self._line = Line()

    def add(self, amount: int) -> None:
        """So much more is done."""
        self.done += amount
        self._line.show(f"{self.label}: {100 * self.done // self.total} %")

    def close(self) -> None:
        """Take the line away."""
        self._line.close()


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
