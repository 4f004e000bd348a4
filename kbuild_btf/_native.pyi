# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
# The types of the extension module, which tests/test_native.py holds against the module itself. The
# functions are documented where people call them: in the modules of the package.

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TypedDict, final

from .errors import Error as Error

ENCODER_VERSION: str
FEATURES: list[str]
LANGUAGES: dict[str, int]
EVENTS: dict[str, str]

@final
class Output:
    @property
    def btf(self) -> bytes: ...
    @property
    def base(self) -> bytes | None: ...
    @property
    def report(self) -> dict[str, int]: ...
    @property
    def notes(self) -> list[str]: ...
    @property
    def timings(self) -> list[tuple[str, float, int, int]]: ...

def encode(
    elf: str | PathLike[str],
    *,
    features: str | None = None,
    lang_exclude: list[str] = ...,
    jobs: int = 0,
    base: str | PathLike[str] | None = None,
    stable_ids: str | PathLike[str] | None = None,
    trace: str | PathLike[str] | None = None,
) -> Output: ...
def link(
    elf: str | PathLike[str],
    *,
    objects: Sequence[str | PathLike[str]] | None = None,
    features: str | None = None,
    lang_exclude: list[str] = ...,
    jobs: int = 0,
    base: str | PathLike[str] | None = None,
    stable_ids: str | PathLike[str] | None = None,
    cache: str | PathLike[str] | None = None,
    trace: str | PathLike[str] | None = None,
) -> Output: ...
def cache_directory(environ: dict[str, str]) -> Path | None: ...

class Candidate(TypedDict):
    """As in kbuild_btf.explanation, but types are ids in the BTF that comes with it."""

    object: str
    die: int
    prototype: int
    passed: int | None
    facts: list[str]
    address: int | None
    chosen: bool

class Inlined(TypedDict):
    """Of each parameter size, flags and values of a LOC_PARAM, or None."""

    object: str
    section: str
    address: int
    function: str
    offset: int
    places: list[tuple[int, int, list[int]] | None]

class FunctionVerdict(TypedDict):
    reason: str
    clone: str
    symbols: list[tuple[str, int]]
    candidates: list[Candidate]
    sites: list[Inlined]

class Definition(TypedDict):
    type: int
    objects: list[str]

class Explanation(TypedDict):
    function: FunctionVerdict | None
    definitions: list[Definition]
    types: bytes

def explain(
    elf: str | PathLike[str],
    name: str,
    *,
    objects: Sequence[str | PathLike[str]] | None = None,
    features: str | None = None,
    lang_exclude: list[str] = ...,
    jobs: int = 0,
    cache: str | PathLike[str] | None = None,
) -> Explanation: ...

class ToldFunction(TypedDict):
    """Objects that describe a function alike: how many, and the first of them."""

    prototype: int
    passed: int | None
    facts: list[str]
    decides: bool
    count: int
    objects: list[str]

class LeftOut(TypedDict):
    name: str
    reason: str
    symbols: list[tuple[str, int]]
    candidates: list[ToldFunction]

class HeldDefinition(TypedDict):
    type: int
    count: int
    objects: list[str]

class Survey(TypedDict):
    """`directories`: path, types and bytes of what only objects below it bring."""

    left_out: list[LeftOut]
    definitions: list[tuple[str, list[HeldDefinition]]]
    directories: list[tuple[str, int, int]]
    types: bytes

def survey(
    elf: str | PathLike[str],
    *,
    objects: Sequence[str | PathLike[str]] | None = None,
    features: str | None = None,
    lang_exclude: list[str] = ...,
    jobs: int = 0,
    cache: str | PathLike[str] | None = None,
) -> Survey: ...
def check(
    btf: bytes,
    base: bytes | None = None,
    *,
    pointer_size: int | None = None,
    kernel: bool = False,
) -> None: ...

class ModuleFit(TypedDict):
    """What a kernel with that base does with a module's BTF.

    `error`: it cannot be judged (not readable, no `.BTF`, damaged); then the rest says nothing.
    `refused`: why the kernel refuses it. `misread`: what shows that it was made against another
    base, and means other types with this one. `base_strings`: size of the strings of the base that
    it was made against, where the module tells; one with a distilled base need not, and does not.
    """

    error: Error | None
    refused: str | None
    misread: str | None
    base_strings: int | None

def check_modules(
    base: bytes,
    modules: Sequence[str | PathLike[str]],
    *,
    pointer_size: int | None = None,
    jobs: int = 0,
) -> list[ModuleFit]: ...
def read_section(elf: str | PathLike[str], name: str) -> bytes | None: ...
def embed(elf: str | PathLike[str], sections: list[tuple[str, bytes]]) -> None: ...
def linked_objects(elf: str | PathLike[str]) -> list[Path]: ...
def sidecar_path(object: str | PathLike[str]) -> Path: ...
def write_sidecar(
    object: str | PathLike[str],
    *,
    inline: bool = False,
    cache: str | PathLike[str] | None = None,
) -> str | None: ...
def progress() -> tuple[str, int, int]: ...
