# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""A verdict for programs: JSON of our own, SARIF 2.1.0 (code scanning), JUnit XML (test reports),
and Markdown (a comment on a change)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from ..btf import Composite
from ..compare import Item, KindDiff
from ..rules import MEANING, RULES, Severity
from .members import rows
from .text import by_type
from .verdict import Compared, Finding, Verdict

_LEVELS = {
    Severity.MODULES: "error",
    Severity.PROGRAMS: "warning",
    Severity.ADDITION: "note",
    Severity.NONE: "none",
}
# A comment that nobody can read to its end helps nobody.
_SHOWN = 40


def as_json(verdict: Verdict, fails: bool) -> str:
    """One object (docs/commands.md)."""
    return json.dumps(_as_dict(verdict, fails), indent=2)


def _as_dict(verdict: Verdict, fails: bool) -> dict[str, Any]:
    first = verdict.compared[0].difference
    return {
        "a": verdict.a,
        "b": verdict.b,
        "same": verdict.same,
        "fails": fails,
        "kinds": _kinds(first.kinds if first else ()),
        "modules": {
            pair.module: _kinds(pair.difference.kinds if pair.difference else ())
            for pair in verdict.compared[1:]
            if pair.findings
        },
        "findings": [_finding(one) for one in verdict.findings],
        "severities": {s.word: count for s, (count, _) in verdict.counts().items()},
        "suppressed": sum(bool(one.suppressed) for one in verdict.findings),
        "unfit": verdict.unfit,
    }


def _finding(one: Finding) -> dict[str, str | None]:
    return {
        "module": one.module,
        "kind": one.kind,
        "name": one.name,
        "rule": one.rule.id,
        "severity": one.severity.word,
        "text": one.text,
        "reason": one.rule.reason,
        "suppressed": one.suppressed or None,
    }


def _kinds(kinds: Sequence[KindDiff]) -> dict[str, dict[str, object]]:
    def texts(items: list[Item]) -> list[str]:
        return [item.text for item in items]

    return {
        kind.kind.name: {
            "a": kind.a,
            "b": kind.b,
            "only_a": texts(kind.only_a),
            "only_b": texts(kind.only_b),
            "changed": [{"name": c.name, "what": [str(w) for w in c.what]} for c in kind.changed],
            "follows_a": texts(kind.follows_a),
            "follows_b": texts(kind.follows_b),
            "repeated_a": kind.repeated_a,
            "repeated_b": kind.repeated_b,
        }
        for kind in kinds
    }


def as_sarif(verdict: Verdict) -> str:
    """SARIF 2.1.0; a result stands at B's file, since BTF has no lines."""
    from .. import __version__

    used = {one.rule.id for one in verdict.findings}
    driver = {
        "name": "kbuild-btf diff",
        "version": __version__,
        "rules": [
            {"id": rule.id, "shortDescription": {"text": rule.reason}}
            for rule in RULES.values()
            if rule.id in used
        ],
    }
    place = PurePath(verdict.b).as_posix()
    run = {"tool": {"driver": driver}, "results": [_result(o, place) for o in verdict.findings]}
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    return json.dumps({"$schema": schema, "version": "2.1.0", "runs": [run]}, indent=2)


def _result(one: Finding, file: str) -> dict[str, object]:
    name = f"{one.module}: {one.name}" if one.module else one.name
    result: dict[str, object] = {
        "ruleId": one.rule.id,
        "level": _LEVELS[one.severity],
        "message": {"text": f"{name}: {one.text}: {one.rule.reason}"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": file},
                    "region": {"startLine": 1},
                },
                "logicalLocations": [{"fullyQualifiedName": name, "kind": "type"}],
            }
        ],
        "partialFingerprints": {"difference/v1": f"{name} {one.rule.id} {one.text}"},
    }
    if one.suppressed:
        result["suppressions"] = [{"kind": "external", "justification": one.suppressed}]
    return result


def as_junit(verdict: Verdict, level: Severity) -> str:
    """JUnit XML: a suite for each file, a case for each type that differs, a failure where it is of
    that severity or worse, skipped where it is suppressed."""
    return "\n".join(_junit(verdict, level))


def _junit(verdict: Verdict, level: Severity) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield "<testsuites>"
    for pair in verdict.compared:
        cases = list(_cases(pair, level))
        failures = sum("<failure" in case for case in cases)
        skipped = sum("<skipped" in case for case in cases)
        counts = f'tests="{len(cases)}" failures="{failures}" skipped="{skipped}"'
        yield f"  <testsuite name={quoteattr(pair.module or 'vmlinux')} {counts}>"
        yield from cases
        yield "  </testsuite>"
    yield "</testsuites>"


def _cases(pair: Compared, level: Severity) -> Iterator[str]:
    of_pair = quoteattr(pair.module or "vmlinux")
    if not pair.findings:
        yield f'    <testcase classname={of_pair} name="no difference"/>'
    for one in pair.findings:
        name = quoteattr(_legal(f"{one.name}: {one.text}"))
        head = f"    <testcase classname={of_pair} name={name}"
        reason = _legal(one.rule.reason)
        if one.suppressed:
            yield f"{head}><skipped message={quoteattr(_legal(one.suppressed))}/></testcase>"
        elif one.severity >= level:
            message = quoteattr(f"{one.severity.word}, {one.rule.id}")
            yield f"{head}><failure message={message}>{escape(reason)}</failure></testcase>"
        else:
            said = escape(f"{one.severity.word}: {reason}")
            yield f"{head}><system-out>{said}</system-out></testcase>"


def _legal(text: str) -> str:
    """Without what XML 1.0 has no way to write."""
    return "".join(c if c >= " " and not 0xD800 <= ord(c) < 0xE000 else "?" for c in text)


def as_markdown(verdict: Verdict) -> str:
    """For a comment: the counts, then the types that break something, folded."""
    return "\n".join(_markdown(verdict))


def _markdown(verdict: Verdict) -> Iterator[str]:
    yield f"### BTF of `{verdict.b}` against `{verdict.a}`"
    yield ""
    if verdict.same:
        yield "No difference."
        return
    yield "| severity | found | agreed | |"
    yield "|---|---:|---:|---|"
    for severity, (count, agreed) in verdict.counts().items():
        yield f"| {severity.word} | {count} | {agreed} | {MEANING[severity]} |"
    for pair in verdict.compared:
        for severity, types in by_type(pair.findings).items():
            if severity is Severity.NONE:
                continue
            where = f" in {pair.module}" if pair.module else ""
            yield ""
            yield f"<details><summary><b>{severity.word}</b>{where}: {len(types)}</summary>"
            yield ""
            for found in types[:_SHOWN]:
                yield from _markdown_type(pair, found)
            if len(types) > _SHOWN:
                yield f"- and {len(types) - _SHOWN} more"
            yield ""
            yield "</details>"
    for title in verdict.unfit:
        yield ""
        yield f"Suppression `[{title}]` fits nothing."


def _markdown_type(pair: Compared, found: list[Finding]) -> Iterator[str]:
    first = found[0]
    if first.mark != "~":
        yield f"- `{first.mark} {first.text}` ({first.rule.id})"
        return
    rules = ", ".join(sorted({one.rule.id for one in found}))
    yield f"- `{first.name}` ({rules})"
    change = pair.changed.get(first.name)
    yield ""
    yield "  ```diff"
    if change and isinstance(change.a, Composite) and isinstance(change.b, Composite):
        for row in rows(change.a, change.b):
            mark = {"~": "!"}.get(row.mark, row.mark or " ")
            yield f"  {mark} {row.a:>6} {row.b:>6}  {row.text}"
    else:
        yield from (f"  ! {one.text}" for one in found)
    yield "  ```"
