# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Comparing both sides: each function is one direction or one subject, and returns problems."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from ..btf import Array, Func, Int, SecInfo, Var
from . import spelling
from .btf import Facts
from .facts import DECLARATIONS, Described, Function, Layout, Problem, Variable
from .image import Image, Place

_DECLARED = {forward: kind for kind, forward in DECLARATIONS.items()}
# Variables of these names are left out of BTF: the compiler's and the tracer's own.
_PRIVATE = ("__UNIQUE_ID", "__tpstrtab_", "__exitcall_", "__gendwarfksyms_ptr_")
_PRIVATE_TOO = "__func_stack_frame_non_standard_"
PERCPU = ".data..percpu"
# Encoders make it up for the index of arrays where the sources have no int.
_MADE_UP = Layout("base type", "int", spelling.integer(4, 32, "signed"))


def layouts(dwarf: Described, btf: Facts, complete: bool) -> Iterator[Problem]:
    """Both directions for types: each definition of DWARF is in the BTF, and the other way round.

    A name may have several definitions, on both sides; each must be there. One that is missing and
    one that is too much, of one name, are reported as one difference. ``complete``: all units were
    read, so what was not seen is not there.
    """
    stated: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for fact, die in dwarf.layouts.items():
        stated[fact[:2]][fact.text] = die
    surplus: dict[tuple[str, str], list[tuple[str, int]]] = defaultdict(list)
    for fact, type_id in btf.own:
        if not _is_stated(fact, stated):
            surplus[fact[:2]].append((fact.text, type_id))
    for (kind, name), definitions in stated.items():
        if kind in _DECLARED:
            if not any((k, name) in btf.layouts for k in (kind, _DECLARED[kind])):
                (die,) = definitions.values()
                yield Problem(f"{_called(kind, name)}: missing in the BTF", None, die)
            continue
        known = btf.layouts.get((kind, name), {})
        missing = [(text, die) for text, die in definitions.items() if text not in known]
        yield from _differences(kind, name, missing, surplus, bool(definitions and known))
    if complete:
        for (kind, name), rest in surplus.items():
            for text, type_id in rest:
                what = f"{_called(kind, name)}: not in the DWARF"
                if text:
                    what += f": {spelling.short(text)}"
                yield Problem(what, type_id)


def _differences(
    kind: str,
    name: str,
    missing: list[tuple[str, int]],
    surplus: dict[tuple[str, str], list[tuple[str, int]]],
    known: bool,
) -> Iterator[Problem]:
    for text, die in missing:
        rest = surplus.get((kind, name), []) if name else []
        if rest:
            # The one that begins most alike is most likely the same.
            best = max(rest, key=lambda other: _common(text, other[0]))
            rest.remove(best)
            what = f"{_called(kind, name)}: {spelling.parting(text, best[0])}"
            yield Problem(what, best[1], die)
        elif known and name:
            what = f"{_called(kind, name)}: this definition is missing in the BTF"
            yield Problem(f"{what}: {spelling.short(text)}", None, die)
        else:
            what = f"{_called(kind, name)}: missing in the BTF"
            yield Problem(what if name else f"{what}: {spelling.short(text)}", None, die)


def _is_stated(fact: Layout, stated: Mapping[tuple[str, str], Mapping[str, int]]) -> bool:
    return fact.text in stated.get(fact[:2], ()) or fact == _MADE_UP


def indices(btf: Facts) -> Iterator[Problem]:
    """Arrays are indexed by int: the kernel wants an integer there, and encoders take this one."""
    for found in btf.btf:
        if isinstance(found, Array):
            index = btf.btf[found.index_type_id]
            if not isinstance(index, Int) or index.name != "int":
                yield Problem(f"array: its index is no int but '{index.name}'", found.id)


_NAMELESS = "without a name"


def _called(kind: str, name: str) -> str:
    return f"{kind} {name or _NAMELESS}"


def by_use(problem: Problem) -> bool:
    """To sort by: a type without a name differs wherever the type around it does, so it is last."""
    return _NAMELESS in problem.what


def _common(one: str, other: str) -> int:
    """How many lines two texts share at their start."""
    count = 0
    for a, b in zip(one.split("\n"), other.split("\n"), strict=False):
        if a != b:
            break
        count += 1
    return count


# --- functions --------------------------------------------------------------------------


def functions(dwarf: Described, btf: Facts, image: Image, complete: bool) -> Iterator[Problem]:
    """Each FUNC has a symbol or was inlined, and a subprogram of its name, result and parameters.

    With a sample of units, a name may have its subprogram elsewhere: then only those are compared
    that stand at the address of the only symbol of that name.
    """
    subprograms = by_name(dwarf.functions)
    for func in btf.functions:
        base = func.name.partition(".")[0]
        # A clone under its own name has a symbol of exactly that name.
        clone = base != func.name
        known = func.name in image.functions if clone else base in image.base_names
        if not known and func.id not in btf.inlined:
            yield Problem(f"function {func.name}: no symbol of that name", func.id)
        if func.linkage:
            # Of whatever linkage in C: kernels have all their functions as static.
            yield Problem(f"function {func.name}: linkage {func.linkage} in place of 0", func.id)
        found = subprograms.get(base, [])
        if not complete:
            found = _at_their_symbol(found, image)
            if not found:
                continue
        text = btf.spelled.prototype(func)
        if not found:
            yield Problem(f"function {func.name}: not in the DWARF", func.id)
        elif not any(_agrees(fact, text, func) for fact, _ in found):
            fact, die = max(found, key=lambda other: _common(other[0].text, text))
            yield Problem(
                f"function {func.name}: {spelling.parting(fact.text, text)}", func.id, die
            )


def by_name(found: Mapping[Function, int]) -> dict[str, list[tuple[Function, int]]]:
    """Subprograms by name."""
    sorted_: dict[str, list[tuple[Function, int]]] = defaultdict(list)
    for fact, die in found.items():
        sorted_[fact.name].append((fact, die))
    return sorted_


def _at_their_symbol(found: list[tuple[Function, int]], image: Image) -> list[tuple[Function, int]]:
    if not found:
        return []
    addresses = image.base_names.get(found[0][0].name, set())
    return [one for one in found if len(addresses) == 1 and one[0].address in addresses]


def _agrees(fact: Function, text: str, func: Func) -> bool:
    if fact.text == text:
        return True
    if "." not in func.name:
        return False
    # A clone under its own name: the compiler has taken parameters away, or taken some apart, of
    # which a member stays as "parameter__member".
    left = iter(fact.text.split("\n"))
    return all(line in left for line in text.split("\n") if "__" not in line)


def plain_missing(dwarf: Described, btf: Facts, image: Image) -> Iterator[Problem]:
    """Functions that no rule leaves out, and that are missing all the same.

    Whether one with parameters is left out depends on registers, which only an encoder knows all
    about. Without parameters nothing can be optimised away or reordered, so one prototype for the
    whole image and one address suffice.
    """
    present = {func.name for func in btf.functions}
    for name, found in by_name(dwarf.functions).items():
        if name in present or len(image.base_names.get(name, ())) != 1:
            continue
        (first, die), *rest = found
        if "\n" in first.text or any(fact.text != first.text for fact, _ in rest):
            continue
        addresses = image.base_names[name]
        if name in image.functions and any(fact.address in addresses for fact, _ in found):
            yield Problem(f"function {name}: missing in the BTF", None, die)


# --- variables --------------------------------------------------------------------------


def variables(dwarf: Described, btf: Facts, image: Image, complete: bool) -> Iterator[Problem]:
    """Each VAR of a DATASEC is in the DWARF at that address, with its type and size."""
    places: dict[tuple[str, int], list[tuple[Variable, int]]] = defaultdict(list)
    for fact, die in dwarf.variables.items():
        places[fact.name, fact.address].append((fact, die))
    placed: set[int] = set()
    for section in btf.sections:
        where = image.sections.get(section.name)
        placed.update(entry.type_id for entry in section.entries)
        if where is None:
            yield Problem(f"section {section.name}: not in the ELF file", section.id)
            continue
        end = max((entry.offset + entry.size for entry in section.entries), default=0)
        if section.size not in (end, where.size):
            # Encoders take the end of the last variable, linkers of BPF programs the section's.
            what = f"section {section.name}: size {section.size}, its variables end at {end}"
            yield Problem(what, section.id)
        for entry in section.entries:
            var = btf.variable(entry.type_id)
            if var is None:
                what = f"section {section.name}: an entry is no variable"
                yield Problem(what, entry.type_id)
                continue
            found = places.get((var.name, where.address + entry.offset), [])
            yield from _variable(var, entry, section.name, where, found, btf, image, complete)
    for found_type in btf.btf:
        if isinstance(found_type, Var) and found_type.id not in placed:
            yield Problem(f"variable {found_type.name}: in no section", found_type.id)


def _variable(
    var: Var,
    entry: SecInfo,
    section: str,
    where: Place,
    found: list[tuple[Variable, int]],
    btf: Facts,
    image: Image,
    complete: bool,
) -> Iterator[Problem]:
    called = f"variable {var.name} in {section} at {entry.offset:#x}"
    if entry.offset + entry.size > where.size:
        yield Problem(f"{called}: beyond the end of the section, {where.size:#x} bytes", var.id)
    address = where.address + entry.offset
    if not image.variable_at(address, var.name, where.number):
        yield Problem(f"{called}: no symbol there", var.id)
    if not found:
        if complete:
            yield Problem(f"{called}: not in the DWARF at that address", var.id)
        return
    text = btf.spelled.declare(var.type_id)
    said = (text, entry.size, bool(var.linkage))
    if any((fact.text, fact.size, fact.external) == said for fact, _ in found):
        return
    fact, die = max(found, key=lambda one: (one[0].text == text, one[0].size == entry.size))
    if fact.text != text:
        yield Problem(f"{called}: {spelling.parting(fact.text, text)}", var.id, die)
    if fact.size != entry.size:
        what = f"{called}: {fact.size} bytes in DWARF, {entry.size} in BTF"
        yield Problem(what, var.id, die)
    if fact.external != bool(var.linkage):
        words = ("static", "global")
        what = f"{called}: {words[fact.external]} in DWARF, linkage {var.linkage} in BTF"
        yield Problem(what, var.id, die)


def missing_variables(
    dwarf: Described, btf: Facts, image: Image, all_sections: bool
) -> Iterator[Problem]:
    """Variables of the sections that BTF describes, without which it is not complete."""
    wanted: Iterable[str] = [section.name for section in btf.sections]
    wanted = image.sections if all_sections else {PERCPU, *wanted}
    present = {
        (found.name, image.sections[section.name].address + entry.offset)
        for section in btf.sections
        if section.name in image.sections
        for entry in section.entries
        if (found := btf.variable(entry.type_id))
    }
    for fact, die in dwarf.variables.items():
        if (fact.name, fact.address) in present or not fact.size or fact.text == "void":
            continue
        if fact.name.startswith((*_PRIVATE, _PRIVATE_TOO)):
            continue
        for name in wanted:
            where = image.sections.get(name)
            if (
                where
                and where.address <= fact.address < where.address + where.size
                and image.variable_at(fact.address, fact.name, where.number)
            ):
                offset = fact.address - where.address
                what = f"variable {fact.name} in {name} at {offset:#x}: missing in the BTF"
                yield Problem(what, None, die)
                break
