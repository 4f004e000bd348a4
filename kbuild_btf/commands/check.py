# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Say whether BPF programs load and attach on kernels.

Exit status 0: all do, 1: something does not, 2: it cannot be told, or trouble.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..progress import watched
from ..terminal import styled, wrapped

if TYPE_CHECKING:
    from ..programs.kernels import Kernel
    from ..programs.verdict import Checked, Needed, Program, Resolved

_WIDTH = 80
# Answers to relocations, the worst last.
_WORDS = ("found", "changed", "missing", "MISSING", "ambiguous", "refused")
_STYLES = {
    "yes": "green",
    "no": "red",
    "?": "yellow",
    "MISSING": "red",
    "ambiguous": "red",
    "refused": "red",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``kbuild-btf check``."""
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="object files of BPF programs (clang -target bpf), and kernels: vmlinux or its BTF,"
        " each followed by modules of it",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the matrix and the reasons."""
    from ..programs.kernels import sorted_out
    from ..programs.verdict import judge

    programs, kernels = sorted_out(args.files)
    checked = watched("check", lambda: [judge(found, kernels) for found in programs])
    told = [one.fits for one in checked]
    fits = False if False in told else None if None in told else True
    if args.json:
        print(json.dumps({"fits": fits, **_as_dict(checked, kernels)}, indent=2))
    else:
        print("\n".join(_lines(checked, kernels)))
    return {True: 0, False: 1, None: 2}[fits]


# --- JSON -----------------------------------------------------------------------------------------


def _as_dict(checked: list[Checked], kernels: list[Kernel]) -> dict[str, object]:
    return {
        "kernels": [
            {"path": kernel.path, "modules": list(kernel.paths.values())} for kernel in kernels
        ],
        "objects": [
            {
                "path": one.path,
                "fits": one.fits,
                "kernels": [
                    {
                        "fits": on.fits,
                        "programs": [_program(program) for program in on.programs],
                        "needed": [_needed(need) for need in on.needed],
                    }
                    for on in one.kernels
                ],
            }
            for one in checked
        ],
    }


def _program(program: Program) -> dict[str, object]:
    return {
        "name": program.name,
        "section": program.section,
        "on_demand": program.on_demand,
        "place": program.place.state.value,
        "loads": program.loads,
        "attaches": program.attaches,
        "reasons": list(program.reasons),
        "relocations": [_relocation(one) for one in program.relocations],
    }


def _relocation(one: Resolved) -> dict[str, object]:
    return {
        "section": one.relocation.section,
        "offset": one.relocation.offset,
        "kind": one.relocation.kind.name.lower(),
        "what": one.answer.what,
        "verdict": one.answer.verdict.value,
        "harmless": one.harmless,
        "local": one.answer.local,
        "value": one.answer.value,
        "why": one.answer.why,
        "types": [
            {"module": candidate.module, "id": candidate.type_id}
            for candidate in one.answer.candidates
        ],
        "file": one.line.file if one.line else None,
        "line": one.line.number if one.line else None,
    }


def _needed(need: Needed) -> dict[str, object]:
    return {
        "what": need.what,
        "name": need.name,
        "place": need.place.state.value,
        "weak": need.weak,
        "why": need.place.why,
    }


# --- text -----------------------------------------------------------------------------------------


def _lines(checked: list[Checked], kernels: list[Kernel]) -> Iterator[str]:
    for number, kernel in enumerate(kernels, 1):
        count = len(kernel.modules)
        modules = f", {count} module{'' if count == 1 else 's'}" if count else ""
        yield f"[{number}] {wrapped(kernel.path + modules, 4)}"
    column = max(9, *(len(f"[{number}]") for number in range(1, len(kernels) + 1)))
    # With many kernels the names are on a line of their own.
    room = max(_WIDTH - (column + 1) * len(kernels), 24)
    for one in checked:
        yield ""
        heads = "".join(f" {f'[{number}]':>{column}}" for number in range(1, len(kernels) + 1))
        yield styled(f"{_short(one.path, room)}{heads}", "bold")
        for rows in zip(*(on.programs for on in one.kernels), strict=True):
            cells = [_word(row.attaches) for row in rows]
            name = f"{rows[0].name} ({rows[0].section})"
            note = ", on demand" if rows[0].on_demand else ""
            yield _row(f"  {name}{note}", cells, room, column)
        for needs in zip(*(on.needed for on in one.kernels), strict=True):
            if any(need.fits is not True for need in needs):
                cells = [_word(need.fits) for need in needs]
                yield _row(f"  {needs[0].what} {needs[0].name}", cells, room, column)
        yield from _relocations(one, room, column)
        yield from _reasons(one)
    told = [one.fits for one in checked]
    words = {True: "load and attach", False: "do not", None: "cannot be told"}
    parts = [f"{told.count(fits)} {word}" for fits, word in words.items() if fits in told]
    yield ""
    yield f"objects: {', '.join(parts)}"


def _relocations(one: Checked, room: int, column: int) -> Iterator[str]:
    """How many places are asked for, and those that are not as where the program was compiled on
    some kernel: of one that is asked for in several ways the worst answer."""
    by_kernel: list[dict[str, str]] = []
    for on in one.kernels:
        words: dict[str, str] = {}
        for program in on.programs:
            for found in program.relocations:
                asks = found.relocation.kind.asks_whether
                key = found.answer.what + (": is it there?" if asks else "")
                word = found.answer.verdict.value
                if word == "missing" and not found.harmless:
                    word = "MISSING"
                words[key] = max(words.get(key, word), word, key=_WORDS.index)
        by_kernel.append(words)
    keys = list(dict.fromkeys(key for words in by_kernel for key in words))
    other = [key for key in keys if any(words.get(key) != "found" for words in by_kernel)]
    if keys:
        yield f"  {len(keys)} relocated, {len(keys) - len(other)} as where it was compiled"
    for key in other:
        cells = [words.get(key, "-") for words in by_kernel]
        yield _row(f"    {key}", cells, room, column)


def _reasons(one: Checked) -> Iterator[str]:
    """Why programs do not load or attach, those of one reason together."""
    for number, on in enumerate(one.kernels, 1):
        of_reason: dict[str, list[str]] = {}
        for program in on.programs:
            for reason in program.reasons:
                of_reason.setdefault(reason, []).append(program.name)
        for reason, names in of_reason.items():
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "")
            yield f"  [{number}] {wrapped(f'{shown}: {reason}', 6)}"


def _row(name: str, cells: list[str], room: int, column: int) -> str:
    columns = "".join(
        f" {' ' * (column - len(cell))}{styled(cell, _STYLES[cell]) if cell in _STYLES else cell}"
        for cell in cells
    )
    if len(name) > room:
        return (
            f"{name[: _WIDTH - 3]}...\n{'':{room}}{columns}"
            if len(name) > _WIDTH
            else (f"{name}\n{'':{room}}{columns}")
        )
    return f"{name:{room}}{columns}"


def _short(path: str, room: int) -> str:
    """The end of a path says more than its start."""
    return f"{path:{room}}" if len(path) <= room else f"...{path[3 - room :]}"


def _word(fits: bool | None) -> str:
    return {True: "yes", False: "no", None: "?"}[fits]
