# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The stub of the extension module says what the module is."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
from elftools.dwarf.enums import ENUM_DW_LANG
from support import ROOT, SOURCES, compiled

from kbuild_btf import Error, _native

STUB = ast.parse((ROOT / "kbuild_btf" / "_native.pyi").read_text())
FUNCTIONS = {node.name: node for node in STUB.body if isinstance(node, ast.FunctionDef)}
CLASSES = {node.name: node for node in STUB.body if isinstance(node, ast.ClassDef)}
CONSTANTS = {
    node.target.id: node.annotation
    for node in STUB.body
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
}
# What only type checkers know.
TYPED_DICTS = {
    name
    for name, node in CLASSES.items()
    if any(isinstance(base, ast.Name) and base.id == "TypedDict" for base in node.bases)
}


def public() -> set[str]:
    return {name for name in vars(_native) if not name.startswith("__")}


def test_the_names_are_the_same() -> None:
    said = {*FUNCTIONS, *CLASSES, *CONSTANTS, "Error"} - TYPED_DICTS
    assert said == public()
    assert _native.Error is Error


def parameters(arguments: ast.arguments) -> list[tuple[str, str, str]]:
    """Name, kind and default of each; a default that is not written out is an ellipsis."""
    plain = arguments.args
    defaults = [None] * (len(plain) - len(arguments.defaults)) + list(arguments.defaults)
    found = [
        *((a, "POSITIONAL_OR_KEYWORD", d) for a, d in zip(plain, defaults, strict=True)),
        *(
            (a, "KEYWORD_ONLY", d)
            for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        ),
    ]
    return [(a.arg, kind, "" if d is None else ast.unparse(d)) for a, kind, d in found]


def signature(function: Callable[..., object]) -> list[tuple[str, str, str]]:
    return [
        (
            p.name,
            p.kind.name,
            "" if p.default is p.empty else "..." if p.default == [] else repr(p.default),
        )
        for p in inspect.signature(function).parameters.values()
    ]


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_signatures_are_the_same(name: str) -> None:
    native = getattr(_native, name)
    assert native.__text_signature__
    said = parameters(FUNCTIONS[name].args)
    assert [(n, k, "..." if d == "Ellipsis" else d) for n, k, d in said] == [
        # An empty list is what the stub does not write out.
        (n, k, "..." if d in ("...", "[]", "Ellipsis") else d)
        for n, k, d in signature(native)
    ]


@pytest.mark.parametrize("name", sorted(CLASSES.keys() - TYPED_DICTS))
def test_attributes_of_classes_are_the_same(name: str) -> None:
    said = {n.name for n in CLASSES[name].body if isinstance(n, ast.FunctionDef)}
    native = getattr(_native, name)
    assert said == {attribute for attribute in vars(native) if not attribute.startswith("_")}
    for attribute in said:
        assert getattr(native, attribute).__doc__


@pytest.mark.parametrize("name", sorted({*FUNCTIONS, *(CLASSES.keys() - TYPED_DICTS)}))
def test_everything_says_what_it_is(name: str) -> None:
    assert (getattr(_native, name).__doc__ or "").strip()
    assert (_native.__doc__ or "").strip()


def test_what_comes_back_is_what_the_stub_says(tmp_path: Path) -> None:
    elf = compiled(SOURCES / "types.c", tmp_path / "a.o")
    assert isinstance(_native.sidecar_path(elf), Path)
    made = _native.encode(elf)
    values: dict[str, type] = {
        "btf": bytes,
        "base": type(None),
        "report": dict,
        "notes": list,
        "timings": list,
    }
    for attribute, kind in values.items():
        assert isinstance(getattr(made, attribute), kind)
    told = _native.explain(elf, "nothing", objects=[elf])
    keys = {
        n.target.id
        for n in CLASSES["Explanation"].body
        if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)
    }
    assert told.keys() == keys


@pytest.mark.parametrize("jobs", [-1, -(1 << 62)])
def test_a_number_of_threads_below_zero_is_an_error(jobs: int, tmp_path: Path) -> None:
    elf = compiled(SOURCES / "types.c", tmp_path / "a.o")
    calls: list[Callable[[], object]] = [
        lambda: _native.encode(elf, jobs=jobs),
        lambda: _native.link(elf, objects=[elf], jobs=jobs),
        lambda: _native.explain(elf, "x", objects=[elf], jobs=jobs),
        lambda: _native.check_modules(b"", [], jobs=jobs),
    ]
    for call in calls:
        with pytest.raises(Error, match=f"jobs={jobs}: a number of threads is wanted"):
            call()


def test_languages_are_those_of_the_standard() -> None:
    """The numbers, against the table of another reader of DWARF."""
    theirs = {
        name.removeprefix("DW_LANG_").lower().replace("_plus_plus", "++").replace("_", ""): number
        for name, number in ENUM_DW_LANG.items()
        if isinstance(number, int) and number < ENUM_DW_LANG["DW_LANG_lo_user"]
    }
    own = dict(_native.LANGUAGES)
    assert own.pop("asm") == ENUM_DW_LANG["DW_LANG_Mips_Assembler"]
    assert own == {name: theirs.get(name) for name in own}
    assert {n for n in theirs.values() if 0 < n <= theirs["bliss"]} <= set(own.values())
