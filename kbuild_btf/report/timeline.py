# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The timeline of a build, from the trace that hooks and links append to (KBUILD_BTF_TRACE)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Error

# Longer than that nothing runs within one build: what came before is another.
_PAUSE = 900.0


@dataclass(frozen=True, slots=True)
class Stage:
    """Seconds since the build began, and how long it took."""

    name: str
    start: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Process:
    """One that ran: ``hook`` or ``link``, of which object or image, and its stages."""

    what: str
    name: str
    start: float
    seconds: float
    stages: tuple[Stage, ...]

    @property
    def end(self) -> float:
        return self.start + self.seconds


@dataclass(frozen=True, slots=True)
class Timeline:
    """One build, in the order of its processes; ``before``: those of earlier builds in the file.

    ``lanes`` has for each process the first row in which nothing else ran at that time.
    """

    processes: tuple[Process, ...]
    lanes: tuple[int, ...]
    before: int

    @property
    def seconds(self) -> float:
        return max((process.end for process in self.processes), default=0.0)

    def of(self, what: str) -> list[Process]:
        """The hooks, or the links."""
        return [process for process in self.processes if process.what == what]


def read(path: Path) -> Timeline:
    """Of the last build in the trace. Raises Error."""
    try:
        # The closing bracket is left out, so that processes can append.
        text = path.read_text().strip().rstrip(",").removesuffix("]").rstrip().rstrip(",")
        events = json.loads(f"{text or '['}]")
        processes = sorted(_processes(events), key=lambda process: (process.start, process.name))
    except OSError as failed:
        raise Error(failed.strerror or "cannot be read", str(path)) from failed
    except (ValueError, KeyError, TypeError, AttributeError) as failed:
        hint = "name a file that KBUILD_BTF_TRACE or --trace has made"
        raise Error("not a trace of kbuild-btf", str(path), hint) from failed
    first, end = 0, 0.0
    for number, process in enumerate(processes):
        if number and process.start > end + _PAUSE:
            first = number
        end = max(end, process.end)
    last = processes[first:]
    origin = last[0].start if last else 0.0
    moved = tuple(_moved(process, origin) for process in last)
    return Timeline(moved, tuple(_lanes(moved)), first)


def _processes(events: list[dict[str, Any]]) -> Iterable[Process]:
    """Each begins with an event for all of it, whose name has two words; its stages follow."""
    wholes: list[tuple[str, str, float, float]] = []
    stages: list[list[Stage]] = []
    current: dict[int, int] = {}
    for event in events:
        start, seconds = float(event["ts"]) / 1e6, float(event["dur"]) / 1e6
        what, _, name = str(event["name"]).partition(" ")
        kind = {"hook": "hook", "BTF": "link"}.get(what)
        if name and kind:
            current[event["pid"]] = len(wholes)
            wholes.append((kind, name, start, seconds))
            stages.append([])
        else:
            stages[current[event["pid"]]].append(Stage(str(event["name"]), start, seconds))
    return [Process(*whole, tuple(own)) for whole, own in zip(wholes, stages, strict=True)]


def _moved(process: Process, origin: float) -> Process:
    stages = tuple(Stage(s.name, s.start - origin, s.seconds) for s in process.stages)
    start = process.start - origin
    return Process(process.what, process.name, start, process.seconds, stages)


def _lanes(processes: Iterable[Process]) -> Iterable[int]:
    ends: list[float] = []
    for process in processes:
        lane = next((n for n, end in enumerate(ends) if end <= process.start), len(ends))
        if lane == len(ends):
            ends.append(0.0)
        ends[lane] = process.end
        yield lane
