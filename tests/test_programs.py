# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""check: what it says of CO-RE relocations is what libbpf does, of attach points what a kernel has.

libbpf relocates here, for kernels that are made up, and the running kernel loads what comes out.
docs/check.md has the same for 200 programs and those of libbpf-tools, booted with two Linux.
"""

from __future__ import annotations

import json
import random
import re
import struct
from pathlib import Path
from typing import NamedTuple

import pytest
from bpfprograms import Source, compiled, program, relocated
from support import SOURCES, kbuild_btf, missing, require, run
from support import compiled as native

from kbuild_btf import Btf, Error, cli, embed, encode, read_section
from kbuild_btf.programs.kernels import Kernel
from kbuild_btf.programs.object import Object
from kbuild_btf.programs.verdict import judge

# Two states of a kernel; what is called `twice` has two definitions in each.
OLD = """
enum state { IDLE, BUSY = 3, LAST = 9 };
enum wide { LOW = 1, HIGH = 0x123456789abcULL };
struct inner { int first; unsigned short second; };
struct pair { int a; void *b; };
struct task {
    unsigned int flags; int pid; void *stack; enum state state; struct inner in;
    unsigned int one : 1, three : 3; int s5 : 5; unsigned short counts[6];
    struct { long hidden; struct { char deep; }; };
    union { unsigned int u; unsigned char bytes[4]; };
    struct pair pairs[2]; unsigned long long last; unsigned int tail[];
};
struct gone { int member; };
struct outer { struct inner in; struct task *task; int (*call)(struct task *, int); };
struct cut { unsigned char kind; unsigned long long at; };
"""
NEW = """
enum state { STOPPED = -1, IDLE, BUSY = 4 };
enum wide { LOW = 1, HIGH = 0x923456789abcULL };
struct inner { long before; int first; unsigned int second; };
struct pair { void *b; int a; int c; };
struct task {
    long flags; unsigned int pad; int pid; void *stack; enum state state; struct inner in;
    unsigned int one : 1, two : 2, three : 4; int s5 : 7; unsigned short counts[4];
    struct { long more; long hidden; struct { char deeper; char deep; }; };
    union { void *u; unsigned char bytes[4]; };
    struct pair pairs[1]; unsigned int last; unsigned int more_tail; unsigned int tail[];
};
struct outer { struct task *task; struct inner in; int (*call)(struct task *, long); };
struct cut { unsigned long long at; unsigned char kind; };
"""
BOTH = """
struct inner inner; struct task task; struct outer outer; struct cut cut; struct pair pair;
enum wide wide; enum state state;
int first(void *p) { struct twice { int a; int b; } *t = p; return t->b; }
int second(void *p) { struct twice { int a; int c; int b; } *t = p; return t->b; }
"""
SEED, COUNT = 19, 30


def by_hand() -> list[Source]:
    """What a seed does not find: (name, types, body) of a program each."""
    t = "struct task *p = (void *)bpf_get_current_task();"
    direct = "struct task *p = (void *)ctx[0];"
    told = [
        ("ambiguous", "struct twice { int b; };", "struct twice *p = (void *)ctx; out = p->b;"),
        ("same in both", "struct twice { int a; };", "struct twice *p = (void *)ctx; out = p->a;"),
        (
            "ambiguous id",
            "struct twice { int a; };",
            "out = bpf_core_type_id_kernel(struct twice);",
        ),
        ("ambiguous size", "struct twice { int a; };", "out = bpf_core_type_size(struct twice);"),
        ("wider", "struct task { unsigned int flags; };", f"{direct} out = p->flags;"),
        ("narrower", "struct task { unsigned long long last; };", f"{direct} out = p->last;"),
        ("signed", "struct task { long pid; };", f"{direct} out = p->pid;"),
        ("pointer", "struct task { void *stack; };", f"{direct} out = (long)p->stack;"),
        ("last element", "struct task { unsigned short counts[9]; };",
         f"{t} __u16 v; bpf_core_read(&v, 2, &p->counts[5]); out = v;"),
        ("of no bounds", "struct task { unsigned int tail[]; };",
         f"{t} __u32 v; bpf_core_read(&v, 4, &p->tail[7]); out = v;"),
        ("element of struct", "struct pair { void *b; }; struct task { struct pair pairs[2]; };",
         f"{t} void *v; bpf_core_read(&v, 8, &p->pairs[1].b); out = (long)v;"),
        ("several tasks", "struct task { int pid; };",
         f"{t} int v; bpf_core_read(&v, 4, &p[2].pid); out = v;"),
        ("deep", "struct task { struct { int x; char deep; }; };",
         f"{t} char v; bpf_core_read(&v, 1, &p->deep); out = v;"),
        ("wide", "enum wide { HIGH = 1ULL << 40 };", "out = bpf_core_enum_value(enum wide, HIGH);"),
        ("sign", "enum state { BUSY };", "out = bpf_core_enum_value(enum state, BUSY);"),
        ("negative", "enum state { STOPPED };", "out = bpf_core_enum_value(enum state, STOPPED);"),
        ("matches", "struct inner { int first; };", "out = bpf_core_type_matches(struct inner);"),
        ("matches not", "struct inner { int first; unsigned short second; };",
         "out = bpf_core_type_matches(struct inner);"),
        ("matches deep", "struct task; struct outer { int (*call)(struct task *, int); };",
         "out = bpf_core_type_matches(struct outer);"),
        ("matches flavour", "struct cut___f { unsigned char kind; };",
         "out = bpf_core_type_matches(struct cut___f);"),
        ("matches enum", "enum state { IDLE, BUSY };", "out = bpf_core_type_matches(enum state);"),
        ("union for struct", "union inner { int first; };",
         "union inner *p = (void *)ctx; int v; bpf_core_read(&v, 4, &p->first); out = v;"),
        ("typedef", "typedef struct { int first; } inner;", "out = bpf_core_type_exists(inner);"),
        ("signedness", "struct task { int s5 : 5; unsigned int three : 3; };",
         f"{t} out = BPF_CORE_READ_BITFIELD_PROBED(p, s5) + BPF_CORE_READ_BITFIELD_PROBED(p, three);"),
        ("guarded by another", "struct gone { int member; };",
         "struct gone *p = (void *)ctx; int v = 0;"
         " if (bpf_core_type_exists(struct gone)) bpf_core_read(&v, 4, &p->member); out = v;"),
        ("guarded in two steps", "struct gone { int member; }; struct task { int pid; };",
         f"{t} struct gone *g = (void *)ctx; int v = 0, n = 0;"
         " if (bpf_core_type_exists(struct gone)) n = 1; out = bpf_get_prandom_u32();"
         " if (n == 1 && bpf_core_field_exists(p->pid)) bpf_core_read(&v, 4, &g->member);"
         " out += v;"),
        ("unguarded in a subprogram", "struct gone { int member; };"
         " static __attribute__((noinline)) int sub(struct gone *p)"
         " { int v = 0; bpf_core_read(&v, 4, &p->member); return v; }",
         "out = sub((void *)bpf_get_current_task());"),
    ]  # fmt: skip
    return [Source(name, program(types + "\n", body)) for name, types, body in told]


class Trial(NamedTuple):
    """One program on one kernel: what libbpf and the running kernel said."""

    kind: str
    path: Path
    kernel: Path
    said: str

    @property
    def values(self) -> dict[int, int | None]:
        """By the number of the instruction; None: poisoned."""
        patched = re.findall(
            r"patched insn #(\d+) \(.*?\) (?:imm64|imm|off) -?\d+ -> (-?\d+)$", self.said, re.M
        )
        poisoned = re.findall(r"substituting insn #(\d+) w/ invalid insn", self.said)
        return {
            **{int(at): int(value) % 2**64 for at, value in patched},
            **{int(at): None for at in poisoned},
        }

    @property
    def refused(self) -> bool:
        return "failed to relocate" in self.said or "failed to perform CO-RE" in self.said

    @property
    def loads(self) -> bool:
        return self.said.rstrip().endswith("load 0")


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Raw BTF of two kernels."""
    directory = tmp_path_factory.mktemp("kernels")
    for name, text in (("old", OLD), ("new", NEW)):
        (directory / f"{name}.c").write_text(text + BOTH)
        elf = native(directory / f"{name}.c", directory / f"{name}.o")
        (directory / name).write_bytes(encode(elf).btf)
    return [directory / "old", directory / "new"]


@pytest.fixture(scope="module")
def programs(kernels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Trial]:
    """Each program, yet without what libbpf said."""
    directory = tmp_path_factory.mktemp("programs")
    btf = Btf.load(kernels[0])
    sources = [*by_hand(), *relocated(btf, SEED, COUNT)]
    made = []
    for number, source in enumerate(sources):
        path = compiled(source, directory / f"{number:02}.bpf.o")
        made += [Trial(source.kind, path, kernel, "") for kernel in kernels]
    return made


@pytest.fixture(scope="module")
def trials(programs: list[Trial], tmp_path_factory: pytest.TempPathFactory) -> list[Trial]:
    require("gcc")
    tool = tmp_path_factory.mktemp("libbpf") / "relocate"
    done = run("gcc", "-O2", "-o", tool, SOURCES / "relocate.c", "-lbpf", "-lelf", "-lz")
    if done.returncode != 0:
        missing(f"no libbpf to link with (libbpf-dev): {done.stderr.splitlines()[0]}")
    tried = [trial._replace(said=run(tool, trial.path, trial.kernel).stdout) for trial in programs]
    if any("Error in bpf_object__probe_loading" in trial.said for trial in tried):
        missing("this system lets nobody load BPF programs here")
    return tried


def test_answers_are_those_of_libbpf(trials: list[Trial]) -> None:
    """Value for value, and whether it refuses the program."""
    wrong = []
    seen: dict[str, int] = {}
    for trial in trials:
        found = Object.load(str(trial.path))
        kernel = Kernel(str(trial.kernel), Btf.load(trial.kernel))
        (on,) = judge(found, [kernel]).kernels
        (told,) = on.programs
        answers = {one.relocation.offset // 8: one.answer for one in told.relocations}
        refused = any(a.verdict.value in ("ambiguous", "refused") for a in answers.values())
        for answer in answers.values():
            seen[answer.verdict.value] = seen.get(answer.verdict.value, 0) + 1
        where = f"{trial.kind} on {trial.kernel.name}"
        if refused != trial.refused:
            wrong.append((where, "refused", refused, trial.said[-1500:]))
        # libbpf stops at the first that it refuses. Subprograms are numbered behind the program.
        elif not refused and "subprogram" not in trial.kind:
            ours = {at: answer.value and answer.value % 2**64 for at, answer in answers.items()}
            # Both halves of an instruction of 16 bytes are poisoned.
            of_libbpf = {at: value for at, value in trial.values.items() if at in ours}
            if of_libbpf != ours:
                wrong.append((where, str(of_libbpf), str(ours), trial.said[-1500:]))
    assert not wrong, [w[:-1] for w in wrong]
    assert min(seen[word] for word in ("found", "changed", "missing", "ambiguous")) >= 2


def test_programs_load_as_told(trials: list[Trial]) -> None:
    """The running kernel loads what is attached to no type of it. What it says of a program that
    reads memory itself depends on its own types."""
    wrong = []
    loaded = []
    for trial in trials:
        found = Object.load(str(trial.path))
        if "p = (void *)ctx[0]" in trial.path.with_suffix(".c").read_text():
            continue
        (on,) = judge(found, [Kernel(str(trial.kernel), Btf.load(trial.kernel))]).kernels
        loads = on.programs[0].loads
        loaded.append(loads)
        if loads != trial.loads:
            wrong.append((trial.kind, trial.kernel.name, loads, trial.said[-1500:]))
    assert not wrong, [w[:-1] for w in wrong]
    assert {True, False} == set(loaded)
