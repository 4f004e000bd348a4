# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Tables with bars, and numbers as people read them, in HTML."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from ..cache import show_size


class Html(str):
    """Text that is written as it is."""

    __slots__ = ()


class Number(str):
    """A number that is not whole, as it is written."""

    __slots__ = ()


def code(text: str) -> Html:
    """A name or a piece of C."""
    return Html(f"<code>{escape(text)}</code>")


def size(count: int) -> str:
    """Bytes with a unit: "812 B", "4.5 MB"; powers of 1024."""
    shown = show_size(count)
    return f"{shown}B" if shown[-1].isalpha() else f"{shown} B"


def many(count: int, what: str) -> str:
    """A number and what is counted: "1 type", "1,200 types"."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def bar(value: float, most: float) -> Html:
    """As long as the value is of the largest; the number is in another cell."""
    return Html(f'<i style="--w:{100 * value / most if most else 0:.1f}"></i>')


def cell(value: str | int | Html) -> str:
    """One cell; numbers stand to the right."""
    if isinstance(value, Html):
        look = ' class="bar" aria-hidden="true"' if value.startswith("<i ") else ""
        return f"<td{look}>{value}"
    if isinstance(value, (int, Number)):
        shown = value if isinstance(value, Number) else f"{value:,}"
        return f'<td class="n">{shown}'
    return f"<td>{escape(value)}"


def table(
    caption: str,
    heads: Sequence[str],
    rows: Iterable[Sequence[str | int | Html]],
    *,
    total: Sequence[str | int | Html] = (),
    names: bool = False,
) -> Iterator[str]:
    """A table in a box that scrolls when it is too wide. Heads that begin with ``#`` are of
    numbers. With ``names`` the first cell of a row is what a search looks for."""
    yield f'<div class="wide" role="region" tabindex="0" aria-label="{escape(caption)}">'
    yield f'<table class="sortable"><caption>{escape(caption)}</caption><thead><tr>'
    for head in heads:
        number = ' class="n"' if head.startswith("#") else ""
        yield f'<th scope="col"{number}>{escape(head.removeprefix("#"))}'
    yield "</thead><tbody>"
    for row in rows:
        first = row[0]
        name = (
            first.removeprefix("<code>").removesuffix("</code>")
            if isinstance(first, Html)
            else first
        )
        data = (
            f' data-name="{name if isinstance(first, Html) else escape(str(name))}"'
            if names
            else ""
        )
        yield f"<tr{data}>{''.join(map(cell, row))}"
    yield "</tbody>"
    if total:
        yield f"<tfoot><tr>{''.join(map(cell, total))}</tfoot>"
    yield "</table></div>"


def search(label: str) -> str:
    """A field that the script shows."""
    return (
        f'<div class="search" hidden><label>{escape(label)} <input type="search"'
        ' autocomplete="off"></label><output aria-live="polite"></output></div>'
    )


def fold(title: str, body: Iterable[str], is_open: bool = False) -> Iterator[str]:
    """What opens."""
    yield f'<details class="fold"{" open" if is_open else ""}><summary>{title}</summary>'
    yield from body
    yield "</details>"
