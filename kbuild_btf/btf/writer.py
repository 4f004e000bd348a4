# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Writing BTF of words that were read from other BTF: its strings, its header."""

from __future__ import annotations

import struct
import sys
from array import array

from .reader import HEADER, MAGIC


class Strings:
    """Each string once; ``start`` is the size of the base's strings, 0 without a base."""

    def __init__(self, start: int = 0) -> None:
        self.content = bytearray() if start else bytearray(b"\0")
        self._start = start
        self._offsets = {b"\0": 0}

    def add(self, string: bytes) -> int:
        """The offset of a string, which ends with NUL."""
        if string not in self._offsets:
            self._offsets[string] = self._start + len(self.content)
            self.content += string
        return self._offsets[string]


def blob(types: array[int], strings: Strings, big_endian: bool) -> bytes:
    """BTF of these types, which are 32-bit words in the byte order of this machine."""
    if big_endian != (sys.byteorder == "big"):
        types = types[:]
        types.byteswap()
    body = types.tobytes()
    order = ">" if big_endian else "<"
    sizes = (HEADER, 0, len(body), len(body), len(strings.content))
    return struct.pack(order + "HBB5I", MAGIC, 1, 0, *sizes) + body + bytes(strings.content)
