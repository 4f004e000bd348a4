# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The exception of the package, and its one special case."""

from __future__ import annotations


class Error(Exception):
    """Something the user has to know: what happened, where, and what to do about it.

    ``str()`` is one line, "where: what; hint"; empty parts are left out.
    """

    def __init__(self, what: str, where: str = "", hint: str = "") -> None:
        super().__init__(what, where, hint)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}; {self.hint}" if self.hint else text


class NotFoundError(Error, KeyError):
    """Nothing of that name; a KeyError, too, since types are looked up in brackets."""
