# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Kernel functions for BPF programs: the sets in .BTF_ids become tags."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import compiled

from kbuild_btf import Btf, _native
from kbuild_btf.btf import DeclTag, Func, FuncProto, Ptr, TypeTag

# include/linux/btf.h: what the flags of a kfunc mean.
FASTCALL, ARENA_RET, ARENA_ARG1, ARENA_ARG2 = (1 << bit for bit in (12, 13, 14, 15))


def listing(sets: dict[int, dict[str, int]]) -> str:
    """Assembler for .BTF_ids: sets by their flags, in each functions with theirs."""
    lines = ['.pushsection .BTF_ids,"a"']
    number = 0
    for i, (set_flags, functions) in enumerate(sets.items()):
        symbol = f"__BTF_ID__set8__set{i}"
        lines += [f".local {symbol}", f".type {symbol},@object"]
        lines += [f".size {symbol},{8 + 8 * len(functions)}", f"{symbol}: .long 0, {set_flags}"]
        for name, flags in functions.items():
            number += 1
            symbol = f"__BTF_ID__func__{name}__{number}"
            lines += [f".local {symbol}", f".type {symbol},@object", f".size {symbol},4"]
            lines += [f"{symbol}: .long 0, {flags}"]
    return "".join(f'"{line.replace(chr(34), chr(92) + chr(34))}\\n"\n' for line in lines)


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("kfuncs") / "a.c"
    sets = {
        1: {"plain": 0, "fast": FASTCALL, "a__b": 0, "arena": ARENA_RET | ARENA_ARG1 | ARENA_ARG2},
        0: {"other_set": 0},
    }
    source.write_text(
        "void plain(void) {} int fast(int a) { return a; } void a__b(void) {}\n"
        "void other_set(void) {} void in_no_set(void) {}\n"
        "void *arena(char *first, int second) { return first; }\n"
        f'asm({listing(sets)}".popsection\\n");\n'
    )
    return compiled(source, source.with_suffix(".o"))


def tags(btf: Btf) -> set[tuple[str, str]]:
    return {(btf[t.type_id].name, t.name) for t in btf if isinstance(t, DeclTag)}


def test_members_of_kfunc_sets_are_tagged(elf: Path) -> None:
    made = Btf.from_bytes(_native.encode(str(elf)).btf)
    assert tags(made) == {
        ("plain", "bpf_kfunc"),
        ("fast", "bpf_kfunc"),
        ("fast", "bpf_fastcall"),
        ("a__b", "bpf_kfunc"),
        ("arena", "bpf_kfunc"),
    }


@pytest.mark.parametrize("features", ["decl_tag", "decl_tag_kfuncs", "var"])
def test_only_when_asked(elf: Path, features: str) -> None:
    assert tags(Btf.from_bytes(_native.encode(str(elf), features=features).btf)) == set()


def test_pointers_into_an_arena(elf: Path) -> None:
    made = Btf.from_bytes(_native.encode(str(elf), features="+attributes").btf)
    (function,) = made.find(Func, "arena")
    proto = made[function.type_id]
    assert isinstance(proto, FuncProto)
    for pointer_id, pointee in ((proto.type_id, "void"), (proto.params[0].type_id, "char")):
        pointer = made[pointer_id]
        assert isinstance(pointer, Ptr)
        tag = made[pointer.type_id]
        assert isinstance(tag, TypeTag)
        assert (tag.name, made[tag.type_id].name or "void") == ("address_space(1)", pointee)
    # The second parameter is no pointer, so there is nothing to mark.
    assert made[proto.params[1].type_id].name == "int"
    plain = Btf.from_bytes(_native.encode(str(elf)).btf)
    assert [t for t in plain if isinstance(t, TypeTag)] == []
