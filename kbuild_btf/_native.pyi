# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The native half: loops that run per DIE, per type or per symbol.

All functions raise `Error` for what is wrong with their input, and release the GIL while they
work. Paths are relative to the working directory.
"""

from os import PathLike
from typing import TypedDict, final

from .errors import Error as Error

ENCODER_VERSION: str
"""Version of the product and hash of the encoder's source: part of every cache key."""

FEATURES: list[str]
"""Names of the BTF features, as pahole's `--btf_features` knows them."""

@final
class Output:
    """Finished BTF and how it came about."""

    btf: bytes
    """Raw BTF in the byte order of the target, already checked by the kernel's rules."""
    base: bytes | None
    """With feature `distilled_base`: the distilled base that `btf` is split against."""
    report: dict[str, int]
    """Counts: `linked`, `reused`, `encoded`, `without_dwarf` (objects; from `link`), `units` (from
    `encode`), `types`, `functions`, `variables`, `skipped_*` (functions left out, by reason),
    `modules_fit` (1 or 0, with `stable_ids`), and one for each kind by its name (`STRUCT`, ...)."""
    notes: list[str]
    """A line for each unit that should be in a module's BTF and is left out."""
    timings: list[tuple[str, float, int, int]]
    """The stages in order: name, seconds, how many things it worked on, and the bytes that it had
    to read or write (0: says nothing)."""

def encode(
    elf: str | PathLike[str],
    *,
    features: str | None = None,
    lang_exclude: list[str] = ...,
    jobs: int = 0,
    base: str | PathLike[str] | None = None,
    stable_ids: str | PathLike[str] | None = None,
) -> Output:
    """Encode the DWARF of any ELF file, its units in parallel.

    `features` is a list as pahole's `--btf_features` takes it (`None`: the standard set);
    `lang_exclude` names languages whose units are left out (`rust`); `jobs` 0 means one thread per
    processor; `base` (an ELF with `.BTF`, or raw BTF) makes the result a split BTF against it.
    `stable_ids` (the same, of an earlier build): types that stay keep their ids, new ones follow.
    """

def link(
    elf: str | PathLike[str],
    *,
    objects: list[str] | list[PathLike[str]] | None = None,
    features: str | None = None,
    lang_exclude: list[str] = ...,
    jobs: int = 0,
    base: str | PathLike[str] | None = None,
    stable_ids: str | PathLike[str] | None = None,
) -> Output:
    """Combine the objects of a linked ELF file: their sidecars, or their DWARF without one.

    Of `elf` only symbols and sections are read, so it may be stripped of debug information.
    `objects` `None`: those that the linker took (see `linked_objects`). The rest as in `encode`.
    """

class Candidate(TypedDict):
    """One DIE that describes a function. `prototype`: as written; `passed`: with the parameters
    that are really passed, where the compiler changed that. `address`: where it stands in the
    linked file."""

    object: str
    die: int
    prototype: str
    passed: str | None
    facts: list[str]
    address: int | None
    chosen: bool

class FunctionVerdict(TypedDict):
    """`reason` is empty when the function is in the BTF; `clone` is the full symbol name that it
    goes by there (`foo.isra.0`), or empty; `symbols` are (name, address)."""

    reason: str
    clone: str
    symbols: list[tuple[str, int]]
    candidates: list[Candidate]

class Definition(TypedDict):
    """A definition of a type name, or its declaration (kind `FWD`), and who has it. `difference`:
    where it first parts from the first definition of its space (struct, union, enum, typedef)."""

    kind: str
    size: int
    objects: list[str]
    difference: str

class Explanation(TypedDict):
    """`function` is `None` when no object and no symbol knows one of that name."""

    function: FunctionVerdict | None
    definitions: list[Definition]

def explain(
    elf: str | PathLike[str],
    name: str,
    *,
    objects: list[str] | list[PathLike[str]] | None = None,
    features: str | None = None,
    lang_exclude: list[str] = ...,
    jobs: int = 0,
) -> Explanation:
    """Why a function is in the BTF or not, and how the definitions of a type name differ.

    Reads the objects that `elf` was linked from, as `link` does; where the tree does not tell them,
    the debug information of `elf`.
    """

def check(
    btf: bytes,
    base: bytes | None = None,
    *,
    pointer_size: int | None = None,
    kernel: bool = False,
) -> None:
    """Check raw BTF by the rules of the kernel (kernel/bpf/btf.c): all that BPF_BTF_LOAD asks, or
    with `kernel` only what the kernel asks of its own BTF and what holds for any C program.
    `pointer_size` in bytes (`None`: that of `long`)."""

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
    modules: list[str] | list[PathLike[str]],
    *,
    pointer_size: int | None = None,
    jobs: int = 0,
) -> list[ModuleFit]:
    """Check the BTF of each module against raw BTF of a vmlinux, by the kernel's rules for modules.

    `pointer_size` of the base in bytes (`None`: that of `long`); modules say their own.
    Raises `Error` when the base itself is not sound. `jobs` 0 means one thread per processor."""

def read_section(elf: str | PathLike[str], name: str) -> bytes | None:
    """The bytes of a section, decompressed; `None` when there is none of that name."""

def embed(elf: str | PathLike[str], sections: list[tuple[str, bytes]]) -> None:
    """Add sections, or replace those that are there; the file changes at once or not at all."""

def linked_objects(elf: str | PathLike[str]) -> list[str]:
    """The objects of a linked file of a kernel tree: from the trace of the link, the `.mod` file of
    a module, or `vmlinux.a`."""

def sidecar_path(object: str | PathLike[str]) -> str:
    """Where the sidecar of an object lies: `dir/.tmp_<name>.kbtf`."""

def write_sidecar(object: str | PathLike[str]) -> str | None:
    """Bring the sidecar of an object up to date: `unchanged`, `hit` (cache) or `miss` (encoded).
    `None`: compiled for LTO, there is nothing to encode before the link."""

def progress() -> tuple[str, int, int]:
    """How far `encode`, `link` or `explain` is in another thread: the stage, how much is done, of
    how much. With a total of 0 the stage is a word for what is being done, else for what counts."""
