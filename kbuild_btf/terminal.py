# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Bold letters, colours and line breaks: on a terminal only, never in a pipe or a file."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap

# Parameters of SGR (ECMA-48), which terminals of all kinds know.
_STYLES = {"bold": 1, "red": 31, "green": 32, "yellow": 33}


def styled(text: str, style: str) -> str:
    """The text as it is to be printed: in that style, where the output is a terminal.

    Not with NO_COLOR (no-color.org), and not on a terminal that cannot (TERM=dumb).
    """
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    if plain or not sys.stdout.isatty():
        return text
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def wrapped(text: str, indent: int) -> str:
    """Text that begins in column ``indent`` of a line, broken so that it stays right of it.

    Only on a terminal: a line is a line for what reads a pipe.
    """
    columns = shutil.get_terminal_size().columns
    if not sys.stdout.isatty() or columns - indent < 20:
        return text
    lines = textwrap.wrap(text, columns - indent, break_long_words=False, break_on_hyphens=False)
    return f"\n{' ' * indent}".join(lines)
