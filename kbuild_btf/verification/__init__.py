# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""A second opinion on BTF: is it what the DWARF says, and does the kernel take it?

DWARF is read by pyelftools and by what is in this package, BTF by ``kbuild_btf.btf``: none of it is
part of the encoder, which is native. Both sides are spelled as text, which is then compared in both
directions. References end at names: that a member is a ``struct page *`` is compared here, and
``struct page`` itself where it is defined.

``dies`` and ``dwarf`` read the one side, ``btf`` the other; ``check`` compares; ``running`` asks
the kernel of this machine. ``modules`` has another question: whether modules fit a vmlinux.
"""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ..btf import Btf
from ..errors import Error
from ..paths import StrPath
from . import check, image, raw, running, units
from .btf import Facts
from .facts import DECLARATIONS, LAYOUTS, Described, Features, Problem
from .modules import Failure, ModulesVerdict, verify_modules

__all__ = ["Failure", "ModulesVerdict", "Problem", "Verdict", "verify", "verify_modules"]


@dataclass
class Verdict:
    """What was compared, what differs."""

    problems: list[Problem] = field(default_factory=list)
    units: int = 0
    """Units that were read, of ``all_units``."""
    all_units: int = 0
    left_out: int = 0
    """Of those, in a language that is left out."""
    dies: int = 0
    compared: list[tuple[str, int, int, int]] = field(default_factory=list)
    """Each kind: types in the BTF, DIEs, distinct definitions that these say."""
    functions_without_btf: int = 0
    """Names of functions that have a symbol and no FUNC: left out by rules that depend on registers
    and clones, which are not checked."""
    notes: list[str] = field(default_factory=list)
    """What the other checks said, and what was not checked."""

    @property
    def sampled(self) -> bool:
        return self.units < self.all_units


def verify(
    elf: StrPath,
    *,
    btf: StrPath | None = None,
    base: StrPath | None = None,
    features: str | None = None,
    lang_exclude: Iterable[str] = (),
    jobs: int = 1,
    sample: int = 0,
    kernel: bool = False,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> Verdict:
    """Compare BTF with the DWARF of an ELF file, and with the rules of the kernel.

    ``btf`` is a file of raw BTF or ELF (None: the section of ``elf``), ``base`` what split BTF
    builds on. ``features`` and ``lang_exclude`` are those that the BTF was made with. ``jobs``
    processes read (0: one per processor), ``sample`` units (0: all). ``kernel``: also try to load
    it into the running one, which takes root. ``progress`` is called with the bytes of DWARF that
    are read and their number. Raises Error when something cannot be read at all.
    """
    if jobs < 0 or sample < 0:
        what = f"jobs={jobs}" if jobs < 0 else f"sample={sample}"
        raise Error(f"{what}: 0 or more is wanted")
    chosen = Features.named(features)
    left_out = units.languages(list(lang_exclude))
    path, btf_path = os.fspath(elf), os.fspath(elf if btf is None else btf)
    based_on = Btf.load(base) if base is not None else None
    where, section = image.load(path)
    types = Btf.load(btf_path, based_on, where.bits // 8)
    if types.big_endian != where.big_endian:
        raise Error("BTF and DWARF are in different byte orders", btf_path, "is it of this file?")

    indices = units.sample(len(section.units), sample)
    verdict = Verdict(units=len(indices), all_units=len(section.units))
    # Before anything that starts threads: the processes are forked.
    dwarf = units.read(section, indices, chosen, left_out, jobs, progress)
    verdict.left_out, verdict.dies = dwarf.seen["left out"], dwarf.seen["DIE"]
    facts = Facts(types, chosen)
    distilled = types.base is not None and types.base is not based_on
    _compare(verdict, dwarf, facts, where, chosen, distilled)
    _count(verdict, dwarf, facts, where)
    _rules(verdict, btf_path, base, where.bits, kernel)
    return verdict


def _compare(
    verdict: Verdict,
    dwarf: Described,
    facts: Facts,
    where: image.Image,
    chosen: Features,
    distilled: bool,
) -> None:
    """All subjects of ``check``, in both directions where both can be checked."""
    complete = not verdict.sampled
    problems = verdict.problems
    found = sorted(check.layouts(dwarf, facts, complete), key=check.by_use)
    if distilled:
        # A distilled base keeps names and sizes of what vmlinux has; the rest is only there.
        found = [problem for problem in found if problem.btf_id is not None]
        verdict.notes.append("distilled base: types that vmlinux has were not looked for")
    problems += found
    problems += check.indices(facts)
    problems += check.functions(dwarf, facts, where, complete)
    problems += check.variables(dwarf, facts, where, complete)
    if complete:
        problems += check.plain_missing(dwarf, facts, where)
    if chosen.var or chosen.global_var:
        problems += check.missing_variables(dwarf, facts, where, chosen.global_var)


def _count(verdict: Verdict, dwarf: Described, facts: Facts, where: image.Image) -> None:
    """What the summary tells."""
    own = Counter(layout.kind for layout, _ in facts.own)
    said = Counter(layout.kind for layout in dwarf.layouts)
    for kind in LAYOUTS:
        forward = DECLARATIONS.get(kind)
        verdict.compared.append((kind, own[kind], dwarf.seen[kind], said[kind]))
        if forward and (own[forward] or said[forward]):
            verdict.compared.append((forward, own[forward], dwarf.seen[forward], said[forward]))
    entries = sum(len(section.entries) for section in facts.sections)
    functions = len(facts.functions)
    verdict.compared += [
        ("function", functions, dwarf.seen["function"], len(dwarf.functions)),
        ("variable", entries, dwarf.seen["variable"], len(dwarf.variables)),
    ]
    if verdict.sampled:
        return
    present = {func.name.partition(".")[0] for func in facts.functions}
    known = {fact.name for fact in dwarf.functions}
    verdict.functions_without_btf = len((known & where.base_names.keys()) - present)


def _rules(
    verdict: Verdict,
    btf_path: str,
    base: str | os.PathLike[str] | None,
    bits: int,
    kernel: bool,
) -> None:
    """The rules by which kernels accept BTF; those of the running one if ``kernel``."""
    own = raw.read(btf_path, ".BTF")
    below = raw.read(btf_path, ".BTF.base", raw_too=False)
    if below is None and base is not None:
        below = raw.read(os.fspath(base), ".BTF")
    assert own is not None
    refused = _refusal(own, below, bits, kernel=True)
    to_programs = _refusal(own, below, bits, kernel=False)
    if refused:
        verdict.problems.append(Problem(f"the kernel's rules: {refused}"))
    else:
        verdict.notes.append("the kernel's rules: kept")
        if to_programs:
            verdict.notes.append(f"programs could not load it (BPF_BTF_LOAD): {to_programs}")
    if not kernel:
        return
    if below is not None:
        verdict.notes.append("running kernel: not asked; programs cannot load split BTF")
        return
    outcome = running.load(own, bits)
    name = f"running kernel {platform.release()}"
    if outcome.accepted is None:
        verdict.notes.append(f"{name}: not asked; {outcome.why}")
    elif outcome.accepted:
        verdict.notes.append(f"{name}: takes it")
    elif to_programs and not refused:
        verdict.notes.append(f"{name}: does not take it from programs: {outcome.why}")
    else:
        verdict.problems.append(Problem(f"{name} refuses it: {outcome.why}"))


def _refusal(btf: bytes, base: bytes | None, bits: int, *, kernel: bool) -> str:
    from .. import _native

    try:
        _native.check(btf, base, pointer_size=bits // 8, kernel=kernel)
    except _native.Error as failed:
        return str(failed)
    return ""
