# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""BPF programs made up from the types of a kernel: fields that are there, have moved or are not;
flavours, bit-fields, arrays, enumerators, whole types; places to attach to; kfuncs and struct_ops.

Some ask for what is there and some for what is not, by a seed, so that a check of them can fail.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from support import missing, run

from kbuild_btf import Btf
from kbuild_btf.btf import (
    Array,
    Composite,
    Enumeration,
    Func,
    FuncProto,
    Int,
    Member,
    Ptr,
    Struct,
    Typedef,
)

CLANGS = ("clang", "clang-19", "clang-16")

_HEAD = """\
typedef unsigned char __u8; typedef unsigned short __u16; typedef unsigned int __u32;
typedef unsigned long long __u64; typedef signed char __s8; typedef short __s16; typedef int __s32;
typedef long long __s64; typedef __u16 __be16; typedef __u32 __be32; typedef __u32 __wsum;
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#define RELOCATED_ATTRIBUTE __attribute__((preserve_access_index))
#define RELOCATED __attribute__((preserve_access_index))
char _license[] SEC("license") = "GPL";
unsigned long long out;
"""
_PROGRAM = 'SEC("{section}")\nint prog(__u64 *ctx)\n{{\n{body}\n\treturn 0;\n}}\n'
_PLAIN = "raw_tp/sys_enter"


class Source(NamedTuple):
    kind: str
    text: str


def program(types: str, body: str, section: str = _PLAIN) -> str:
    """The text of a program: its types, which are relocated, and what it does."""
    push = "#pragma clang attribute push(RELOCATED_ATTRIBUTE, apply_to = record)\n"
    types = f"{push}{types}#pragma clang attribute pop\n"
    return _HEAD + types + _PROGRAM.format(section=section, body=f"\t{body}")


def compiled(source: Source, path: Path, target: str = "bpf") -> Path:
    """Compile it for BPF; the target tells the byte order."""
    clang = next((name for name in CLANGS if shutil.which(name)), None)
    if clang is None:
        missing("no clang, which compiles BPF programs")
    if not Path("/usr/include/bpf/bpf_helpers.h").exists():
        missing("no /usr/include/bpf/bpf_helpers.h (libbpf-dev)")
    text = path.with_suffix(".c")
    text.write_text(source.text)
    flags = ("-target", target, "-O2", "-g", "-Wno-unused-value")
    done = run(clang, *flags, "-c", text, "-o", path)
    assert done.returncode == 0, done.stderr + source.text
    return path


def relocated(btf: Btf, seed: int, count: int) -> Iterator[Source]:
    """Programs with CO-RE relocations, which attach to a tracepoint that each kernel has."""
    rng = random.Random(seed)
    types = sorted(
        (t for t in btf.find(Struct) if t.name and any(map(_simple, t.members))),
        key=lambda t: (t.name, t.id),
    )
    enums = sorted(
        (e for e in btf.find(Enumeration) if e.name and e.values), key=lambda e: (e.name, e.id)
    )
    several = [t for t in types if len(btf.find(Struct, t.name)) > 1]
    ways: list[Callable[[random.Random, Struct], Source]] = [
        _read, _read, _guarded, _flavour, _bits, _element, _inner, _whole, _sized,
    ]  # fmt: skip
    for number in range(count):
        way = number % (len(ways) + 2)
        if way < len(ways):
            yield ways[way](rng, rng.choice(types))
        elif way == len(ways) and several:
            yield _read(rng, rng.choice(several))._replace(kind="several definitions")
        else:
            yield _enumerator(rng, rng.choice(enums))


def attaching(btf: Btf, seed: int, count: int, several: list[str]) -> Iterator[Source]:
    """Programs that attach somewhere; ``several`` are names that several functions have."""
    rng = random.Random(seed)
    functions = sorted(
        {f.name for f in btf.find(Func) if isinstance(f.type, FuncProto) and len(f.type.params) < 6}
    )
    hooks = [name for name in functions if name.startswith("bpf_lsm_")]
    points = sorted({t.name for t in btf.find(Typedef) if t.name.startswith("btf_trace_")})
    iterators = sorted(
        {t.name.replace("__", "_", 1) for t in btf.find(Struct) if t.name.startswith("bpf_iter__")}
    )
    for number in range(count):
        absent = rng.random() < 0.3
        way = ("fentry", "kprobe", "tp_btf", "fexit", "lsm", "kretprobe", "raw_tp", "iter")[
            number % 8
        ]
        if way in ("tp_btf", "raw_tp"):
            name = rng.choice(points).removeprefix("btf_trace_")
        elif way == "lsm":
            name = rng.choice(hooks).removeprefix("bpf_lsm_")
        elif way == "iter":
            name = rng.choice(iterators).removeprefix("bpf_iter_")
        elif several and rng.random() < 0.3:
            name, absent = rng.choice(several), False
        else:
            name = rng.choice(functions)
        name += "_absent" if absent else ""
        yield Source(way, _HEAD + _PROGRAM.format(section=f"{way}/{name}", body=""))


def calling() -> Iterator[Source]:
    """Programs that call kfuncs: of several kernels, of none, and such as are not kfuncs."""
    kfuncs = {
        "bpf_rcu_read_lock": "bpf_rcu_read_unlock",
        "bpf_task_nothing": "",
        "vfs_read": "",
    }
    for name, closing in kfuncs.items():
        calls = " ".join(f"{called}();" for called in (name, closing) if called)
        for weak in ("", "__weak "):
            for guarded in (False, True) if weak else (False,):
                text = "".join(
                    f"extern void {called}(void) {weak}__ksym;\n"
                    for called in (name, closing)
                    if called
                )
                body = f"\tif ((long)&{name}) {{ {calls} }}" if guarded else f"\t{calls}"
                program = _PROGRAM.format(section="tp_btf/task_newtask", body=body)
                yield Source("kfunc", _HEAD + text + program)


def operating() -> Iterator[Source]:
    """Programs of struct_ops."""
    functions = "".join(
        f'SEC("struct_ops/{name}")\n{result} {name}(__u64 *ctx) {{ {body} }}\n'
        for name, result, body in (
            ("one", "unsigned int", "return 2;"),
            ("two", "unsigned int", "return 3;"),
            ("three", "void", ""),
            ("four", "void", ""),
        )
    )
    members = {
        "ssthresh": ("__u32 (*ssthresh)(void *sk)", "(void *)one"),
        "undo_cwnd": ("__u32 (*undo_cwnd)(void *sk)", "(void *)two"),
        "cong_avoid": ("void (*cong_avoid)(void *sk, __u32 ack, __u32 acked)", "(void *)three"),
        "name": ("char name[16]", '"check"'),
    }
    for of, extra in (
        ("tcp_congestion_ops", None),
        ("tcp_congestion_ops", "nothing"),
        ("nothing_ops", None),
        ("tcp_congestion_ops___flavour", None),
    ):
        told = dict(members)
        if extra:
            told[extra] = (f"void (*{extra})(void *sk)", "(void *)four")
        declared = " ".join(f"{text};" for text, _ in told.values())
        filled = ", ".join(f".{name} = {value}" for name, (_, value) in told.items())
        used = functions if extra else functions[: functions.index('SEC("struct_ops/four")')]
        ops = f'SEC(".struct_ops") struct {of} ops = {{ {filled} }};\n'
        yield Source("struct_ops", f"{_HEAD}{used}struct {of} {{ {declared} }};\n{ops}")


# --- fields ---------------------------------------------------------------------------------------


def _simple(member: Member) -> bool:
    """Can it be declared with what every program has?"""
    return bool(member.name) and bool(_declared(member, member.name)) and not member.bit_size


def _declared(member: Member, name: str) -> str:
    """A declaration that is compatible with a member; empty where there is none this simple."""
    found = member.btf.strip(member.type_id)
    if isinstance(found, Int):
        return f"{_integer(found.size, bool(found.encoding & Int.SIGNED))} {name}"
    if isinstance(found, Ptr):
        return f"void *{name}"
    return ""


def _integer(size: int, signed: bool) -> str:
    return f"__{'s' if signed else 'u'}{8 * size}" if size in (1, 2, 4, 8) else ""


def _chosen(rng: random.Random, of: Struct) -> Member:
    return rng.choice([member for member in of.members if _simple(member)])


def _name(rng: random.Random, name: str) -> str:
    return name + "_absent" if rng.random() < 0.25 else name


def _reading(way: str, of: str, declared: str, access: str, guard: str = "") -> Source:
    body = (
        f"\tstruct {of} *p = (void *)bpf_get_current_task();\n\ttypeof({access}) v = 0;\n"
        f"{guard}\tbpf_core_read(&v, sizeof(v), &{access});\n\tout += (unsigned long)v;"
    )
    text = f"struct {of} {{ long pad; {declared}; }} RELOCATED;\n"
    return Source(way, _HEAD + text + _PROGRAM.format(section=_PLAIN, body=body))


def _read(rng: random.Random, of: Struct) -> Source:
    member = _chosen(rng, of)
    name = _name(rng, member.name)
    declared = _declared(member, name)
    if rng.random() < 0.2:
        # Of another kind, or only of another size.
        pointer = isinstance(of.btf.strip(member.type_id), Ptr)
        declared = (
            f"{rng.choice(['__u16', '__u64', '__s32'])} {name}" if pointer else f"void *{name}"
        )
    return _reading("field", of.name, declared, f"p->{name}")


def _guarded(rng: random.Random, of: Struct) -> Source:
    member = _chosen(rng, of)
    name = _name(rng, member.name)
    guard = f"\tif (bpf_core_field_exists(p->{name}))\n\t"
    return _reading("guarded field", of.name, _declared(member, name), f"p->{name}", guard)


def _flavour(rng: random.Random, of: Struct) -> Source:
    member = _chosen(rng, of)
    name = _name(rng, member.name)
    flavoured = f"{of.name}___{rng.choice(['old', 'v2', 'x'])}"
    return _reading("flavour", flavoured, _declared(member, name), f"p->{name}")


def _bits(rng: random.Random, of: Struct) -> Source:
    btf = of.btf
    with_bits = sorted(
        {
            t.name
            for t in btf.find(Struct)
            if t.name and any(m.bit_size and m.name for m in t.members)
        }
    )
    if not with_bits:
        return _sized(rng, of)
    chosen = btf.find(Struct, rng.choice(with_bits))[0]
    member = rng.choice([m for m in chosen.members if m.bit_size and m.name])
    name = _name(rng, member.name)
    kind = rng.choice(["unsigned int", "int", "unsigned char"])
    body = (
        f"\tstruct {chosen.name} *p = (void *)bpf_get_current_task();\n"
        f"\tout += BPF_CORE_READ_BITFIELD_PROBED(p, {name});"
    )
    text = f"struct {chosen.name} {{ {kind} before : 3; {kind} {name} : 2; }} RELOCATED;\n"
    return Source("bit-field", _HEAD + text + _PROGRAM.format(section=_PLAIN, body=body))


def _element(rng: random.Random, of: Struct) -> Source:
    """Of an array, within its bounds or beyond them."""
    btf = of.btf
    found = []
    for struct in sorted(btf.find(Struct), key=lambda t: (t.name, t.id)):
        for member in struct.members if struct.name else ():
            array = btf.strip(member.type_id)
            if isinstance(array, Array) and member.name and array.nelems < 1000:
                element = btf.strip(array.type_id)
                if isinstance(element, Int) and _integer(element.size, False):
                    found.append((struct, member, array, element))
    if not found:
        return _read(rng, of)
    struct, member, array, element = rng.choice(found)
    at = rng.choice([0, max(array.nelems - 1, 0), array.nelems, array.nelems + 3])
    declared = f"{_integer(element.size, bool(element.encoding & 1))} {member.name}[{at + 1}]"
    return _reading("element", struct.name, declared, f"p->{member.name}[{at}]")


def _inner(rng: random.Random, of: Struct) -> Source:
    """A field of a struct within a struct, or within members without a name."""
    btf = of.btf
    found = []
    for struct in sorted(btf.find(Struct), key=lambda t: (t.name, t.id)):
        for member in struct.members if struct.name else ():
            inside = btf.strip(member.type_id)
            if isinstance(inside, Composite):
                found += [(struct, member, m) for m in inside.members if _simple(m)]
    struct, member, inner = rng.choice(found)
    name = _name(rng, inner.name)
    declared = _declared(inner, name)
    if member.name:
        declared = f"struct {{ int pad; {declared}; }} {member.name}"
        return _reading("inner field", struct.name, declared, f"p->{member.name}.{name}")
    return _reading("inner field", struct.name, declared, f"p->{name}")


# --- types and enumerators ------------------------------------------------------------------------


def _whole(rng: random.Random, of: Struct) -> Source:
    name = _name(rng, of.name)
    asked = rng.choice(["exists", "matches"])
    member = _chosen(rng, of)
    declared = _declared(member, _name(rng, member.name))
    text = f"struct {name} {{ {declared}; }} RELOCATED;\n"
    body = f"\tout += bpf_core_type_{asked}(struct {name});"
    return Source(f"type {asked}", _HEAD + text + _PROGRAM.format(section=_PLAIN, body=body))


def _sized(rng: random.Random, of: Struct) -> Source:
    name = _name(rng, of.name)
    asked = rng.choice(["size", "id_kernel"])
    text = f"struct {name} {{ int pad; }} RELOCATED;\n"
    body = f"\tout += bpf_core_type_{asked}(struct {name});"
    if rng.random() < 0.3:
        body = f"\tif (bpf_core_type_exists(struct {name}))\n\t{body}"
    return Source("type size or id", _HEAD + text + _PROGRAM.format(section=_PLAIN, body=body))


def _enumerator(rng: random.Random, of: Enumeration) -> Source:
    value = _name(rng, rng.choice(of.values).name)
    name = of.name + rng.choice(["", "", "___x"])
    text = f"enum {name} {{ pad_, {value}{rng.choice(['', ' = 77'])} }};\n"
    body = f"\tout += bpf_core_enum_value(enum {name}, {value});"
    if rng.random() < 0.5:
        body = f"\tif (bpf_core_enum_value_exists(enum {name}, {value}))\n\t{body}"
    return Source("enumerator", _HEAD + text + _PROGRAM.format(section=_PLAIN, body=body))
