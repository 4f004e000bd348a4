# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""A verdict as lines for a person: kinds and severities counted, then each type that differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from ..btf import Composite
from ..compare import KindDiff
from ..rules import MEANING, Severity
from ..terminal import styled, wrapped
from .members import rows
from .verdict import Compared, Finding, Verdict

_COLOURS = {"-": "red", "+": "green", "~": "yellow"}


def lines(verdict: Verdict, limit: int) -> Iterator[str]:
    """The whole report; at most ``limit`` types of each severity (0: all) of each file."""
    for pair in verdict.compared:
        yield from _pair(pair, limit, len(verdict.compared) > 1)
    if not verdict.same:
        yield from severities(verdict)
    yield from (f"suppression [{title}] fits nothing" for title in verdict.unfit)
    same = "no difference" if verdict.same else "they differ"
    yield f"{same}: A {verdict.a}, B {verdict.b}"


def severities(verdict: Verdict) -> Iterator[str]:
    """How many of each, and what that means."""
    yield styled(f"{'severity':10} {'found':>7} {'agreed':>7}", "bold")
    for severity, (count, agreed) in verdict.counts().items():
        head = f"{severity.word:10} {count or '-':>7} {agreed or '-':>7}  "
        yield head + wrapped(MEANING[severity], len(head))
    yield ""


def by_type(findings: Sequence[Finding]) -> dict[Severity, list[list[Finding]]]:
    """Findings that count, those of one type together at the worst of their severities; the worst
    first, then in the order of the kinds."""
    found: dict[Severity, list[list[Finding]]] = {s: [] for s in sorted(Severity, reverse=True)}
    for _, group in groupby(findings, key=lambda f: (f.kind, f.name, f.mark)):
        counting = [one for one in group if not one.suppressed]
        if counting:
            found[max(one.severity for one in counting)].append(counting)
    return {severity: types for severity, types in found.items() if types}


def _pair(pair: Compared, limit: int, with_name: bool) -> Iterator[str]:
    if pair.difference:
        kinds = pair.difference.kinds
        if with_name and not pair.findings:
            return
        if with_name:
            yield styled(f"{pair.module or 'vmlinux'}:", "bold")
        if not pair.module:
            yield from _table(kinds)
        yield from _repeated(kinds)
    for severity, types in by_type(pair.findings).items():
        yield styled(f"{severity.word}: {len(types)}", "bold")
        shown = types[:limit] if limit else types
        for found in shown:
            yield from _type(pair, found)
        if len(types) > len(shown):
            yield f"    ... {len(types) - len(shown)} more (--limit 0 shows all)"
        yield ""
    agreed = [one for one in pair.findings if one.suppressed]
    if agreed:
        yield styled(f"agreed: {len(agreed)}", "bold")
        shown_agreed = agreed[:limit] if limit else agreed
        for one in shown_agreed:
            yield wrapped(f"    {one.name}: {one.text} ({one.rule.id}): {one.suppressed}", 6)
        if len(agreed) > len(shown_agreed):
            yield f"    ... {len(agreed) - len(shown_agreed)} more (--limit 0 shows all)"
        yield ""


def _type(pair: Compared, found: list[Finding]) -> Iterator[str]:
    """One type: a line, or for one that both have a line for each rule and its members."""
    first = found[0]
    mark = styled(first.mark, _COLOURS[first.mark])
    if first.mark != "~":
        yield f"  {mark} {wrapped(f'{first.kind} {first.text}: {first.rule.reason}', 6)}"
        return
    yield f"  {mark} {wrapped(f'{first.kind} {first.name}', 6)}"
    for rule, group in groupby(sorted(found, key=_worst_first), key=lambda one: one.rule):
        texts = [one.text for one in group]
        head = f"{rule.id}: {texts[0]}" if len(texts) == 1 else f"{rule.id}: {len(texts)}"
        severity = max(one.severity for one in found if one.rule is rule)
        said = f" [{severity.word}]" if severity != max(one.severity for one in found) else ""
        yield f"      {wrapped(f'{head}{said}: {rule.reason}', 8)}"
        if len(texts) > 1 and first.name not in pair.changed:
            yield from (f"        {wrapped(text, 8)}" for text in texts)
    change = pair.changed.get(first.name)
    if change and isinstance(change.a, Composite) and isinstance(change.b, Composite):
        for row in rows(change.a, change.b):
            line = f"{row.mark or ' '} {row.a:>7} {row.b:>7}  "
            shown = f"        {line}{wrapped(row.text, 8 + len(line))}"
            yield styled(shown, _COLOURS[row.mark]) if row.mark in _COLOURS else shown


def _worst_first(one: Finding) -> tuple[int, str]:
    return -one.severity, one.rule.id


def _table(kinds: Sequence[KindDiff]) -> Iterator[str]:
    """ "follows": on one side only, because of functions or variables."""
    heads = ("only A", "only B", "changed", "follows A", "follows B")
    titles = " ".join(f"{head:>9}" for head in heads)
    yield styled(f"{'kind':10} {'A':>8} {'B':>8} {titles}", "bold")
    for kind in kinds:
        lists = (kind.only_a, kind.only_b, kind.changed, kind.follows_a, kind.follows_b)
        columns = " ".join(f"{len(found) or '-':>9}" for found in lists)
        yield f"{kind.kind.name:10} {kind.a:8} {kind.b:8} {columns}"
    yield ""


def _repeated(kinds: Sequence[KindDiff]) -> Iterator[str]:
    a, b = sum(kind.repeated_a for kind in kinds), sum(kind.repeated_b for kind in kinds)
    if a or b:
        yield f"types that repeat the base, no difference: {a} of A, {b} of B"
        yield ""
