# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""A line that says how far the work is: on a terminal, and only when it takes its time."""

from __future__ import annotations

import sys
import time

_PATIENCE = 2.0
_INTERVAL = 0.2


class Progress:
    """Counts towards ``total`` in any unit; ``label`` says what is being done."""

    def __init__(self, label: str, total: int) -> None:
        self.label = label
        self.total = max(total, 1)
        self.done = 0
        self._shown = False
        self._next = time.monotonic() + _PATIENCE
        self._visible = sys.stderr.isatty()

    def add(self, amount: int) -> None:
        """So much more is done."""
        self.done += amount
        now = time.monotonic()
        if self._visible and now >= self._next:
            self._next = now + _INTERVAL
            self._shown = True
            percent = 100 * self.done // self.total
            print(f"\r{self.label}: {percent} %", end="\x1b[K", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Take the line away."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._shown = False
