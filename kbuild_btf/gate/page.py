# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""A verdict as one page: no network, no script, light and dark as the reader's system has it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from html import escape
from itertools import chain, groupby

from ..btf import Composite
from ..rules import MEANING
from ..web import document
from .members import rows
from .text import by_type
from .verdict import Compared, Finding, Verdict

_CLASSES = {"-": "less", "+": "more", "~": "moved"}


def as_html(verdict: Verdict) -> str:
    """The page: counts by severity, then every type that differs, by file and severity."""
    body = chain(["<h1>What differs in BTF</h1>"], content(verdict, 2))
    return "\n".join(document(f"BTF: {verdict.a}, {verdict.b}", body))


def content(verdict: Verdict, level: int, limit: int = 0) -> Iterator[str]:
    """The same below a heading; ``level`` is that of the headings of files. At most ``limit`` types
    (0: all) are shown."""
    left = limit or None
    yield f"<p>A <code>{escape(verdict.a)}</code><br>B <code>{escape(verdict.b)}</code></p>"
    if verdict.same:
        yield "<p>No difference.</p>"
    yield '<div class="wide"><table><tr><th>severity<th class="n">found<th class="n">agreed<th>'
    for severity, (count, agreed) in verdict.counts().items():
        yield (
            f'<tr><td>{severity.word}<td class="n">{count:,}<td class="n">{agreed:,}'
            f"<td>{MEANING[severity]}"
        )
    yield "</table></div>"
    yield from (f"<p>Suppression [{escape(title)}] fits nothing.</p>" for title in verdict.unfit)
    for pair in verdict.compared:
        if pair.findings:
            left = yield from _pair(pair, level, left)


def _pair(pair: Compared, level: int, left: int | None) -> Generator[str, None, int | None]:
    """``left``: how many types may still be shown (None: all); returned is what then is left."""
    yield f"<h{level}>{escape(pair.module or 'vmlinux')}</h{level}>"
    for severity, types in by_type(pair.findings).items():
        yield f"<h{level + 1}>{severity.word}: {len(types):,}</h{level + 1}>"
        shown = types[:left]
        left = None if left is None else left - len(shown)
        for found in shown:
            yield from _type(pair, found)
        if len(types) > len(shown):
            yield f"<p>{len(types) - len(shown):,} more: kbuild-btf diff --format html has all.</p>"
    agreed = [one for one in pair.findings if one.suppressed]
    if agreed:
        yield f"<h{level + 1}>agreed: {len(agreed):,}</h{level + 1}><table>"
        for one in agreed:
            yield (
                f"<tr><td><code>{escape(one.name)}</code><td>{escape(one.text)}"
                f"<td>{one.rule.id}<td>{escape(one.suppressed)}"
            )
        yield "</table>"
    return left


def _type(pair: Compared, found: list[Finding]) -> Iterator[str]:
    first = found[0]
    title = first.name if first.mark == "~" else first.text
    look = _CLASSES[first.mark]
    yield (
        f'<details><summary><span class="{look}">{escape(first.mark)}</span> {first.kind} '
        f"<code>{escape(title)}</code></summary>"
    )
    change = pair.changed.get(first.name)
    yield "<table>"
    for rule, group in groupby(sorted(found, key=_by_rule), key=lambda one: one.rule):
        texts = [escape(one.text) for one in group]
        # Many are in the table of members.
        what = str(len(texts)) if change and len(texts) > 1 else "<br>".join(texts)
        yield f'<tr><td>{rule.id}<td>{what}<td class="why">{escape(rule.reason)}'
    yield "</table>"
    if change and isinstance(change.a, Composite) and isinstance(change.b, Composite):
        yield '<table class="c"><tr><th><th class="n">A<th class="n">B<th>'
        for row in rows(change.a, change.b):
            yield (
                f'<tr class="{_CLASSES.get(row.mark, "")}"><td>{escape(row.mark)}'
                f'<td class="n">{row.a}<td class="n">{row.b}<td>{escape(row.text)}'
            )
        yield "</table>"
    yield "</details>"


def _by_rule(one: Finding) -> tuple[int, str]:
    return -one.severity, one.rule.id
