# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The verdict on object files of BPF programs: does each load and attach, on each kernel?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from . import attach
from .attach import Place, State
from .core import Answer, Verdict, resolve
from .kernels import Kernel
from .object import INSTRUCTION, Function, Line, Object, Relocation
from .reach import LOAD_64, reached


@dataclass(frozen=True, slots=True)
class Resolved:
    """A relocation and its answer; ``line`` is where it is from in the source.

    ``harmless``: the answer does not stop its program: it is there; or it is missing, and the
    program asks whether it is, or never comes to the instruction.
    """

    relocation: Relocation
    answer: Answer
    line: Line | None
    harmless: bool


@dataclass(frozen=True, slots=True)
class Needed:
    """What the whole object needs: ``what`` is ``kfunc``, ``variable``, ``configuration`` or
    ``struct_ops``. One that is weak may be missing, and not be another."""

    what: str
    name: str
    place: Place
    weak: bool

    @property
    def fits(self) -> bool | None:
        if self.place.state == State.THERE or (self.weak and self.place.state == State.ABSENT):
            return True
        if self.place.state == State.UNKNOWN:
            return True if self.weak else None
        return False


@dataclass(frozen=True, slots=True)
class Program:
    """One program on one kernel. None: it cannot be told."""

    name: str
    section: str
    on_demand: bool
    """Its section begins with a question mark: it is loaded only when user space asks for it."""
    place: Place
    loads: bool | None
    attaches: bool | None
    relocations: tuple[Resolved, ...]
    reasons: tuple[str, ...]
    """Why it does not load or attach, or why that cannot be told."""


@dataclass(frozen=True, slots=True)
class OnKernel:
    """An object on one kernel."""

    kernel: str
    programs: tuple[Program, ...]
    needed: tuple[Needed, ...]

    @property
    def fits(self) -> bool | None:
        """Does all load and attach that is not on demand?"""
        told = [need.fits for need in self.needed]
        told += [p.attaches for p in self.programs if not p.on_demand]
        return False if False in told else None if None in told else True


@dataclass(frozen=True, slots=True)
class Checked:
    """One object on all kernels."""

    path: str
    kernels: tuple[OnKernel, ...]

    @property
    def fits(self) -> bool | None:
        told = [one.fits for one in self.kernels]
        return False if False in told else None if None in told else True


def judge(found: Object, kernels: list[Kernel]) -> Checked:
    """The verdict on one object. Raises Error for one that is damaged."""
    return Checked(found.where, tuple(_on_kernel(found, kernel) for kernel in kernels))


def _on_kernel(found: Object, kernel: Kernel) -> OnKernel:
    answers = {
        asked: resolve(asked, found.btf, _instruction(found, asked), kernel.target)
        for asked in found.relocations
    }
    needed = tuple(_needed(found, kernel))
    programs = tuple(_program(found, kernel, one, answers, needed) for one in found.programs)
    return OnKernel(kernel.path, programs, needed)


def _instruction(found: Object, asked: Relocation) -> bytes:
    code = found.section(asked.section)
    return bytes(code[asked.offset : asked.offset + INSTRUCTION]) if code is not None else b""


def _needed(found: Object, kernel: Kernel) -> Iterator[Needed]:
    for wanted in found.externs():
        what = "kfunc" if wanted.is_function else "variable"
        if wanted.section == ".kconfig":
            what = "configuration"
        yield Needed(what, wanted.name, attach.extern(kernel, found, wanted), wanted.is_weak)
    for name, place in attach.struct_ops(kernel, found):
        yield Needed("struct_ops", name, place, False)


def _calls(
    found: Object, needed: tuple[Needed, ...], values: dict[tuple[str, int], int | None]
) -> dict[tuple[str, int], Needed]:
    """Calls of functions that may be missing, and are. Whether a program that asks for their
    address gets one is added to the values."""
    weak = {need.name: need for need in needed if need.weak and need.what == "kfunc"}
    calls = {}
    for section in {one.section for one in found.functions} if weak else ():
        code = found.section(section) or b""
        for offset, symbol in found.references(section).items():
            need = weak.get(symbol.name)
            if need is None or offset >= len(code):
                continue
            there = need.place.state == State.THERE
            if code[offset] == LOAD_64:
                values[section, offset] = int(there)
            elif not there:
                values[section, offset] = None
                calls[section, offset] = need
    return calls


def _program(
    found: Object,
    kernel: Kernel,
    one: Function,
    answers: dict[Relocation, Answer],
    needed: tuple[Needed, ...],
) -> Program:
    values = {(asked.section, asked.offset): answer.value for asked, answer in answers.items()}
    absent = _calls(found, needed, values)
    ways = reached(one, found, values)
    resolved = []
    loads: bool | None = True
    reasons = []
    for asked, answer in answers.items():
        # libbpf relocates the whole program, and all subprograms.
        own = asked.section == one.section and one.offset <= asked.offset < one.offset + one.size
        if not own and found.function_at(asked.section, asked.offset) in found.programs:
            continue
        line = found.line_of(asked.section, asked.offset)
        if answer.verdict in (Verdict.AMBIGUOUS, Verdict.REFUSED):
            harmless = False
        elif answer.verdict == Verdict.MISSING:
            harmless = answer.value is not None or (asked.section, asked.offset) not in ways
        else:
            harmless = True
        resolved.append(Resolved(asked, answer, line, harmless))
        if not harmless:
            loads = False
            reasons.append(f"{answer.what}: {answer.verdict}, {answer.why}")
    for need in needed:
        if need.fits is not True:
            loads = None if need.fits is None and loads is not False else False
            reasons.append(f"{need.what} {need.name}: {need.place.why}")
    for where, need in absent.items():
        if where in ways:
            loads = False
            reasons.append(f"{need.what} {need.name} is called: {need.place.why}")
    place = attach.place(kernel, one.section)
    attaches = loads
    if place.state in (State.ABSENT, State.CLOSED):
        reasons.append(place.why)
        attaches = False
        if place.state == State.ABSENT and attach.needed_to_load(one.section):
            loads = False
    elif place.state == State.UNKNOWN:
        reasons.append(place.why)
        attaches = None if loads is not False else False
    return Program(
        one.name,
        one.section.lstrip("?"),
        one.section.startswith("?"),
        place,
        loads,
        attaches,
        tuple(resolved),
        tuple(dict.fromkeys(reasons)),
    )
