# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Each difference with its severity and what was agreed to about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ..btf import Composite, Fwd, Type
from ..compare import Change, Difference, diff
from ..rules import MODULE_ADDED, MODULE_REMOVED, Rule, Severity
from .pairs import Pair, Side
from .suppression import MODULE, Suppression


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that differs.

    ``module`` is empty for vmlinux, ``kind`` and ``name`` are those of the type, ``text`` says what
    is different; ``suppressed`` is the reason for which it does not count, or empty.
    """

    module: str
    kind: str
    name: str
    text: str
    rule: Rule
    severity: Severity
    mark: str
    """``-``: A has it alone, ``+``: B, ``~``: both have it."""
    suppressed: str = ""


@dataclass(frozen=True, slots=True)
class Compared:
    """One pair: what differs by kinds, and the changed structs and unions to show with offsets.

    Without a difference where one side lacks the module.
    """

    module: str
    difference: Difference | None
    changed: dict[str, Change]
    findings: list[Finding]


@dataclass(slots=True)
class Verdict:
    """All pairs; ``unfit``: titles of suppressions that nothing fitted."""

    a: str
    b: str
    compared: list[Compared] = field(default_factory=list)
    unfit: list[str] = field(default_factory=list)

    @property
    def findings(self) -> Iterator[Finding]:
        for pair in self.compared:
            yield from pair.findings

    @property
    def same(self) -> bool:
        """Is there no difference at all, suppressed or not?"""
        return not any(True for _ in self.findings)

    def counts(self) -> dict[Severity, tuple[int, int]]:
        """How many of each severity count, and how many are suppressed; the worst first."""
        found = Counter((f.severity, bool(f.suppressed)) for f in self.findings)
        return {s: (found[s, False], found[s, True]) for s in sorted(Severity, reverse=True)}

    def fails(self, level: Severity) -> bool:
        """Is there one of that severity, or a worse one, that is not suppressed?"""
        return any(f.severity >= level and not f.suppressed for f in self.findings)


def of_pairs(
    a: str, b: str, pairs: Iterable[Pair], suppressions: Sequence[Suppression] = ()
) -> Verdict:
    """What differs in these pairs, of which the first is vmlinux's. Raises Error."""
    verdict = Verdict(a, b)
    fitted: set[str] = set()

    def agreed(found: Finding) -> Finding:
        for one in suppressions:
            if one.fits(name=found.name, rule=found.rule.id, kind=found.kind, module=found.module):
                fitted.add(one.title)
                return Finding(
                    found.module, found.kind, found.name, found.text, found.rule,
                    found.severity, found.mark, one.reason,
                )  # fmt: skip
        return found

    for pair in pairs:
        if pair.a and pair.b:
            difference = diff(pair.a.btf, pair.b.btf)
            findings = map(agreed, _findings(pair.module, difference, pair.a, pair.b))
            changed = {
                change.name: change
                for kind in difference.kinds
                for change in kind.changed
                if _has_members(change)
            }
            verdict.compared.append(Compared(pair.module, difference, changed, list(findings)))
        else:
            rule, mark = (MODULE_REMOVED, "-") if pair.a else (MODULE_ADDED, "+")
            text = f"only in {'A' if pair.a else 'B'}"
            found = Finding(pair.module, MODULE, pair.module, text, rule, rule.unused, mark)
            verdict.compared.append(Compared(pair.module, None, {}, [agreed(found)]))
    verdict.unfit = [one.title for one in suppressions if one.title not in fitted]
    return verdict


def _has_members(change: Change) -> bool:
    return isinstance(change.a, Composite) and isinstance(change.b, Composite)


def _findings(module: str, difference: Difference, a: Side, b: Side) -> Iterator[Finding]:
    def severity(rule: Rule, side: Side, found: Type) -> Severity:
        return rule.used if side.uses.has(found) else rule.unused

    for kind in difference.kinds:
        word = kind.kind.name
        for change in kind.changed:
            # Who was built was built against A. What A only declares nobody could look into.
            known = (a, change.a) if not isinstance(change.a, Fwd) else (b, change.b)
            for aspect in change.what:
                found = severity(aspect.rule, *known)
                yield Finding(module, word, change.name, aspect.text, aspect.rule, found, "~")
        for mark, side, items in (
            ("-", a, (*kind.only_a, *kind.follows_a)),
            ("+", b, (*kind.only_b, *kind.follows_b)),
        ):
            for item in items:
                found = severity(item.rule, side, item.type)
                yield Finding(module, word, item.name, item.text, item.rule, found, mark)
