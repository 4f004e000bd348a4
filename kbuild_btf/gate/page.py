# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""A verdict as one page: no network, no script, light and dark as the reader's system has it."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from itertools import groupby

from ..btf import Composite
from ..rules import MEANING
from .members import rows
from .text import by_type
from .verdict import Compared, Finding, Verdict

_STYLE = """
:root {
  color-scheme: light dark;
  --line: #8884; --less: #d1242f; --more: #1a7f37; --moved: #9a6700;
}
@media (prefers-color-scheme: dark) {
  :root { --less: #ff7b72; --more: #56d364; --moved: #e3b341; }
}
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
table { border-collapse: collapse; margin: .5rem 0 1rem; }
td, th { border-bottom: 1px solid var(--line); padding: .15rem .7rem; }
td, th { text-align: left; vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
code, .c { font-family: ui-monospace, monospace; font-size: 13px; }
.c td { border: 0; padding: 0 .7rem; white-space: pre-wrap; overflow-wrap: anywhere; }
summary { cursor: pointer; padding: .2rem 0; }
details { border-bottom: 1px solid var(--line); }
details > :not(summary) { margin-left: 1.2rem; }
.less { color: var(--less); } .more { color: var(--more); } .moved { color: var(--moved); }
.why { opacity: .75; }
"""
_CLASSES = {"-": "less", "+": "more", "~": "moved"}


def as_html(verdict: Verdict) -> str:
    """The page: counts by severity, then every type that differs, by file and severity."""
    return "\n".join(_page(verdict))


def _page(verdict: Verdict) -> Iterator[str]:
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>BTF: {escape(verdict.a)}, {escape(verdict.b)}</title>"
    yield f"<style>{_STYLE}</style>\n</head>\n<body>"
    yield "<h1>What differs in BTF</h1>"
    yield f"<p>A <code>{escape(verdict.a)}</code><br>B <code>{escape(verdict.b)}</code></p>"
    if verdict.same:
        yield "<p>No difference.</p>"
    yield '<table><tr><th>severity<th class="n">found<th class="n">agreed<th>'
    for severity, (count, agreed) in verdict.counts().items():
        yield (
            f'<tr><td>{severity.word}<td class="n">{count}<td class="n">{agreed}'
            f"<td>{MEANING[severity]}"
        )
    yield "</table>"
    yield from (f"<p>Suppression [{escape(title)}] fits nothing.</p>" for title in verdict.unfit)
    for pair in verdict.compared:
        if pair.findings:
            yield from _pair(pair)
    yield "</body>\n</html>"


def _pair(pair: Compared) -> Iterator[str]:
    yield f"<h2>{escape(pair.module or 'vmlinux')}</h2>"
    for severity, types in by_type(pair.findings).items():
        yield f"<h3>{severity.word}: {len(types)}</h3>"
        for found in types:
            yield from _type(pair, found)
    agreed = [one for one in pair.findings if one.suppressed]
    if agreed:
        yield f"<h3>agreed: {len(agreed)}</h3><table>"
        for one in agreed:
            yield (
                f"<tr><td><code>{escape(one.name)}</code><td>{escape(one.text)}"
                f"<td>{one.rule.id}<td>{escape(one.suppressed)}"
            )
        yield "</table>"


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
