# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Markdown that is read by people and run by tests: its fenced blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt


@dataclass(frozen=True)
class Fence:
    """A fenced block: its language and words behind it, its text, and the headings above."""

    language: str
    words: tuple[str, ...]
    text: str
    line: int
    """Of its first line, counted from 0."""
    heading: str


def fences(path: Path) -> Iterator[Fence]:
    """All of a document, in their order."""
    heading = ""
    tokens = MarkdownIt().parse(path.read_text())
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "heading_open" and following:
            heading = following.content
        elif token.type == "fence" and token.map:
            language, *words = token.info.split() or [""]
            yield Fence(language, tuple(words), token.content, token.map[0] + 1, heading)
