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
from typing import Any, NamedTuple

import pytest
from bpfprograms import Source, compiled, program, relocated
from btfwriter import write
from support import SOURCES, kbuild_btf, missing, require, run
from support import compiled as native

from kbuild_btf import Btf, Error, check_programs, embed, encode, read_section
from kbuild_btf.btf import FuncProto, Member, Param, Struct
from kbuild_btf.programs import core
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
struct gone { int member; } gone;
struct outer { struct inner in; struct task *task; int (*call)(struct task *, int); };
struct cut { unsigned char kind; unsigned long long at; };
typedef enum { T_A = 5, T_B } named; typedef struct { int x; long y; int grid[3][4]; } place;
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
typedef enum { T_B = 7, T_C } named; typedef struct { long y; int x; int grid[3][5]; } place;
"""
BOTH = """
struct inner inner; struct task task; struct outer outer; struct cut cut; struct pair pair;
enum wide wide; enum state state; named named_one; place place_one;
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
         f"{t} out = BPF_CORE_READ_BITFIELD_PROBED(p, s5);"
         " out += BPF_CORE_READ_BITFIELD_PROBED(p, three);"),
        ("guarded by another", "struct gone { int member; };",
         "struct gone *p = (void *)ctx; int v = 0;"
         " if (bpf_core_type_exists(struct gone)) bpf_core_read(&v, 4, &p->member); out = v;"),
        ("guarded in two steps", "struct gone { int member; }; struct task { int pid; };",
         f"{t} struct gone *g = (void *)ctx; int v = 0, n = 0;"
         " if (bpf_core_type_exists(struct gone)) n = 1; out = bpf_get_prandom_u32();"
         " if (n == 1 && bpf_core_field_exists(p->pid)) bpf_core_read(&v, 4, &g->member);"
         " out += v;"),
        ("enumerator by typedef", "typedef enum { T_A, T_B } named;",
         "out = bpf_core_enum_value(named, T_B);"),
        ("enumerator gone, by typedef", "typedef enum { T_A, T_B } named;",
         "if (bpf_core_enum_value_exists(named, T_A)) out = bpf_core_enum_value(named, T_A);"),
        ("field by typedef", "typedef struct { long y; } place;",
         "place *p = (void *)ctx; long v; bpf_core_read(&v, 8, &p->y); out = v;"),
        ("element of element", "typedef struct { int grid[3][9]; } place;",
         "place *p = (void *)ctx; int v; bpf_core_read(&v, 4, &p->grid[2][3]); out = v;"),
        ("element beyond in both", "typedef struct { int grid[3][9]; } place;",
         "place *p = (void *)ctx; int v; bpf_core_read(&v, 4, &p->grid[2][6]); out = v;"),
        ("size of array", "struct task { unsigned short counts[2]; };",
         f"{t} out = bpf_core_field_size(p->counts);"),
        ("size of element", "struct task { unsigned short counts[2]; };",
         f"{t} out = bpf_core_field_size(p->counts[1]);"),
        ("element exists", "struct task { unsigned short counts[9]; };",
         f"{t} out = bpf_core_field_exists(p->counts[5]);"),
        ("enum as a number", "struct task { int state; };",
         f"{t} int v; bpf_core_read(&v, 4, &p->state); out = v;"),
        ("enum of another name", "enum other { X }; struct task { enum other state; };",
         f"{t} int v; bpf_core_read(&v, 4, &p->state); out = v;"),
        ("enum without a name", "struct task { enum { X } state; };",
         f"{t} int v; bpf_core_read(&v, 4, &p->state); out = v;"),
        ("type of a typedef", "typedef int place;", "out = bpf_core_type_exists(place);"),
        ("flavour of two", "struct cut___a___b { unsigned char kind; };",
         "out = bpf_core_type_exists(struct cut___a___b);"),
        ("no flavour", "struct cut____a { unsigned char kind; };",
         "out = bpf_core_type_exists(struct cut____a);"),
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
            wrong.append((where, "refused by us", str(refused), trial.said[-1500:]))
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


# --- places to attach to --------------------------------------------------------------------------

VMLINUX = """
struct file { int flags; long where; };
struct task_struct { int pid; };
struct x_ops { int (*start)(struct file *f); void (*stop)(void); int number; };
struct bpf_struct_ops_x_ops { int common; struct x_ops data; } x_ops;
struct syscall_trace_enter { int nr; } entered;
struct bpf_iter__task { struct task_struct *task; } iter_task;
typedef void (*btf_trace_sched_switch)(void *data, int cpu);
typedef void (*btf_trace_bare)(void *data);
btf_trace_sched_switch switched; btf_trace_bare bare;
int event_sched_switch;
#define CODE __attribute__((noinline))
CODE int vfs_open(struct file *f) { return f->flags; }
CODE int variadic(int count, ...) { return count; }
static CODE int renamed(struct file *f) { return f->flags + 1; }
static inline __attribute__((always_inline)) long inlined(struct file *f) { return f->where * 3; }
static CODE int twice(int a) { return a * 5; }
CODE int bpf_lsm_file_open(struct file *f) { return 0; }
CODE int bpf_iter_task(void *meta) { return 0; }
CODE int bpf_iter_other(void *meta) { return 1; }
CODE long __x64_sys_openat(void *regs) { return (long)regs; }
CODE int bpf_given(int a) { return a; }
CODE int no_probe(int a) { return a + 9; }
int _kbl_addr_no_probe;
__attribute__((noinline, section(".init.text"))) int start_up(int a) { return a + 1; }
int main(int a, char **b)
{
    struct file *f = (void *)b;
    return vfs_open(f) + renamed(f) + inlined(f) + twice(a) + bpf_given(a);
}
"""
OTHER = """
static __attribute__((noinline)) int twice(long a, long b) { return a * 7 + b; }
int other(long a, long b) { return twice(a, b); }
"""
MODULE = """
struct of_module { int number; };
__attribute__((noinline)) int of_module(struct of_module *m) { return m->number; }
typedef void (*btf_trace_of_module)(void *data);
btf_trace_of_module traced;
"""


@pytest.fixture(scope="module")
def vmlinux(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image with symbols, debug information and BTF, and beside it a module and raw BTF."""
    require("ld", "objcopy")
    directory = tmp_path_factory.mktemp("vmlinux")
    objects = []
    for name, text in (("main", VMLINUX), ("other", OTHER), ("module", MODULE)):
        (directory / f"{name}.c").write_text(text)
        objects.append(native(directory / f"{name}.c", directory / f"{name}.o", "-O2"))
    rename = "renamed=renamed.constprop.0"
    assert run("objcopy", "--redefine-sym", rename, objects[0]).returncode == 0
    image = directory / "vmlinux"
    assert run("ld", "-e", "main", "-o", image, *objects[:2]).returncode == 0
    made = encode(image).btf
    embed(image, [(".BTF", made)])
    (directory / "raw").write_bytes(made)
    module = objects[2].rename(directory / "of-module.ko")
    embed(module, [(".BTF", encode(module, base=image).btf)])
    return image


def json_of(*files: str | Path) -> Any:
    done = kbuild_btf("check", "--json", *files)
    assert done.stderr == ""
    told = json.loads(done.stdout)
    assert done.returncode == {True: 0, False: 1, None: 2}[told["fits"]]
    return told


def attached(directory: Path, section: str, *kernel: Path) -> tuple[bool | None, bool | None, str]:
    """Whether a program of that section loads, attaches, and why not, on a kernel."""
    path = compiled(Source("", program("", "", section)), directory / "attach.bpf.o")
    (told,) = check_programs([path, *kernel])
    (one,) = told.kernels[0].programs
    assert (one.section, one.on_demand) == (section.lstrip("?"), section.startswith("?"))
    # What is only loaded on demand does not count.
    assert told.fits == (one.on_demand or one.attaches)
    return one.loads, one.attaches, "; ".join(one.reasons)


@pytest.mark.parametrize(
    ("section", "loads", "attaches", "why"),
    [
        ("fentry/vfs_open", True, True, ""),
        ("fexit.s/vfs_open", True, True, ""),
        ("fentry/nowhere", False, False, "there is no such function"),
        ("fentry/renamed", False, False, "renamed by the compiler: renamed."),
        ("fentry/inlined", False, False, "it was inlined everywhere"),
        ("fentry/twice", False, False, "left out of the BTF"),
        ("fentry/variadic", False, False, "it takes any number of arguments"),
        ("fentry/start_up", True, False, "__init"),
        ("fmod_ret/vfs_open", False, False, "no program change results"),
        ("kprobe/vfs_open", True, True, ""),
        ("kprobe/vfs_open+0x4", True, True, ""),
        ("kretprobe/twice", True, False, "2 functions have the name"),
        ("kprobe/renamed", True, False, "renamed by the compiler"),
        ("kprobe/no_probe", True, False, "NOKPROBE"),
        ("kprobe.multi/vfs_*", True, True, ""),
        ("kprobe.multi/nfs_*", True, False, "no function fits"),
        ("ksyscall/openat", True, True, ""),
        ("ksyscall/closeat", True, False, "no such system call"),
        ("tp_btf/sched_switch", True, True, ""),
        ("tp_btf/sched_absent", False, False, "no tracepoint sched_absent"),
        ("raw_tp/sched_switch", True, True, ""),
        ("raw_tp/sched_absent", True, False, "no tracepoint sched_absent"),
        ("tracepoint/sched/sched_switch", True, True, ""),
        ("tracepoint/sched/bare", True, False, "a tracepoint without an event"),
        ("tracepoint/syscalls/sys_enter_openat", True, True, ""),
        ("tracepoint/syscalls/sys_exit_closeat", True, False, "no such system call"),
        ("lsm/file_open", True, True, ""),
        ("lsm/file_absent", False, False, "no hook file_absent"),
        ("iter/task", True, True, ""),
        ("iter/other", False, False, "no iterator other"),
        ("xdp", True, True, ""),
        ("?fentry/nowhere", False, False, "there is no such function"),
    ],
)
def test_places(
    section: str, loads: bool, attaches: bool, why: str, vmlinux: Path, tmp_path: Path
) -> None:
    told = attached(tmp_path, section, vmlinux)
    assert told[:2] == (loads, attaches)
    assert why in told[2]
    assert bool(why) == bool(told[2])


def test_places_in_modules(vmlinux: Path, tmp_path: Path) -> None:
    module = vmlinux.with_name("of-module.ko")
    for section in ("fentry/of_module", "fentry/of_module:of_module", "tp_btf/of_module"):
        assert not attached(tmp_path, section, vmlinux)[1]
        assert attached(tmp_path, section, vmlinux, module) == (True, True, "")
    assert not attached(tmp_path, "fentry/elsewhere:of_module", vmlinux, module)[1]


def test_without_symbols_kprobes_go_by_the_btf(vmlinux: Path, tmp_path: Path) -> None:
    raw = vmlinux.with_name("raw")
    assert attached(tmp_path, "kprobe/vfs_open", raw) == (True, True, "")
    loads, attaches, why = attached(tmp_path, "kprobe/twice", raw)
    assert (loads, attaches) == (True, None)
    assert "no symbols" in why


def test_kfuncs(vmlinux: Path, tmp_path: Path) -> None:
    def checked(declared: str, body: str) -> bool | None:
        text = program(f"extern {declared} __ksym;\n", body, "tp_btf/sched_switch")
        path = compiled(Source("", text), tmp_path / "kfunc.bpf.o")
        return check_programs([path, vmlinux])[0].fits

    assert checked("int bpf_given(int a)", "out = bpf_given(1);") is True
    assert checked("int bpf_given(int a, int b)", "out = bpf_given(1, 2);") is False
    assert checked("int bpf_absent(int a)", "out = bpf_absent(1);") is False
    assert checked("int bpf_absent(int a) __weak", "out = bpf_absent(1);") is False
    guarded = "if ((long)&bpf_absent) out = bpf_absent(1);"
    assert checked("int bpf_absent(int a) __weak", guarded) is True


def test_struct_ops(vmlinux: Path, tmp_path: Path) -> None:
    def checked(members: str, filled: str, of: str = "x_ops") -> bool | None:
        text = program(f"struct {of} {{ {members} }};\n", "").partition('SEC("raw_tp')[0]
        text += 'SEC("struct_ops/one") int one(__u64 *ctx) { return 0; }\n'
        text += f'SEC(".struct_ops") struct {of} ops = {{ {filled} }};\n'
        path = compiled(Source("", text), tmp_path / "ops.bpf.o")
        return check_programs([path, vmlinux])[0].fits

    start = "int (*start)(void *f);"
    assert checked(start, ".start = (void *)one") is True
    assert checked(start + " int more;", ".start = (void *)one") is True
    assert checked(start + " int more;", ".start = (void *)one, .more = 3") is False
    assert checked("int start;", ".start = 1") is False
    assert checked(start, ".start = (void *)one", "y_ops") is False
    assert checked(start, ".start = (void *)one", "x_ops___flavour") is True


def test_types_that_lead_to_themselves() -> None:
    """A damaged file's types end: a prototype of many parameters of its own type, and a struct that
    stands many times in itself without a name."""
    params = tuple(Param("", 1) for _ in range(8))
    members = tuple(Member("", 2, 0, 0) for _ in range(8))
    types = [FuncProto(1, "", 1, params), Struct(2, "self", 8, members, False)]
    a, b = (Btf.from_bytes(write(types)) for _ in range(2))
    assert core.compatible(a, 1, b, 1)
    assert core.matches(a, 1, b, 1)
    assert core.matches(a, 2, b, 2)
    candidate = core.Candidate(b, 2, "")
    steps = [core.Step("", 0, 2), core.Step("absent", 0, 2)]
    assert core._follow(a, steps, candidate) is None


# --- the command ----------------------------------------------------------------------------------


def test_the_matrix(kernels: list[Path], vmlinux: Path, tmp_path: Path) -> None:
    """Programs and what differs, by kernels, in 80 columns."""
    body = (
        "struct task *p = (void *)ctx; struct gone *g = (void *)ctx; int v;"
        " bpf_core_read(&v, 4, &p->pid); out = v; bpf_core_read(&v, 4, &g->member); out += v;"
    )
    types = "struct task { unsigned int flags; int pid; }; struct gone { int member; };\n"
    path = compiled(Source("", program(types, body, "socket")), tmp_path / "both.bpf.o")
    done = kbuild_btf("check", path, *kernels)
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert lines[:2] == [f"[1] {kernels[0]}", f"[2] {kernels[1]}"]
    assert max(len(line) for line in lines[2:-3]) <= 80
    rows = [line.split() for line in lines]
    assert ["prog", "(socket)", "yes", "no"] in rows
    assert ["struct", "task.pid", "found", "changed"] in rows
    assert ["struct", "gone.member", "found", "MISSING"] in rows


def test_relocations_in_json(kernels: list[Path], tmp_path: Path) -> None:
    body = "struct task *p = (void *)ctx; int v; bpf_core_read(&v, 4, &p->pid); out = v;"
    types = "struct task { unsigned int flags; int pid; };\n"
    path = compiled(Source("", program(types, body)), tmp_path / "one.bpf.o")
    told = json_of(path, *kernels)
    assert [kernel["path"] for kernel in told["kernels"]] == [str(path) for path in kernels]
    offsets = []
    for on in told["objects"][0]["kernels"]:
        (one,) = on["programs"][0]["relocations"]
        assert (one["kind"], one["what"], one["local"]) == ("field_offset", "struct task.pid", 4)
        assert one["file"].endswith("one.bpf.c")
        offsets.append((one["verdict"], one["value"]))
    # By the C above: behind an int, and behind a long and an int.
    assert offsets == [("found", 4), ("changed", 12)]


def test_the_other_byte_order(tmp_path: Path) -> None:
    """A bit-field is shifted out of a load from its other side there."""
    types = "struct bits { unsigned int a : 3; unsigned int b : 4; };\n"
    body = "struct bits *p = (void *)ctx; out = BPF_CORE_READ_BITFIELD_PROBED(p, b);"
    shifts = {}
    for target in ("bpfel", "bpfeb"):
        kernel = "struct bits { unsigned int a : 5; unsigned int b : 4; } bits;\n"
        made = compiled(Source("", kernel), tmp_path / f"kernel-{target}.o", target)
        raw = tmp_path / target
        raw.write_bytes(read_section(made, ".BTF") or b"")
        path = compiled(Source("", program(types, body)), tmp_path / f"{target}.o", target)
        (one,) = check_programs([path, raw])[0].kernels[0].programs
        shifts[target] = {
            found.relocation.kind.name: found.answer.value
            for found in one.relocations
            if "SHIFT" in found.relocation.kind.name
        }
    # Of 64 bits, with the 4 that are wanted behind 5: at bit 5 from the low end, or from the high
    # end of 32, before which a load leaves 32 more.
    assert shifts == {
        "bpfel": {"FIELD_LSHIFT": 64 - 5 - 4, "FIELD_RSHIFT": 60},
        "bpfeb": {"FIELD_LSHIFT": 32 + 5, "FIELD_RSHIFT": 60},
    }


def test_what_is_refused_in_words(vmlinux: Path, tmp_path: Path) -> None:
    path = compiled(Source("", program("", "")), tmp_path / "one.bpf.o")
    module = vmlinux.with_name("of-module.ko")
    for files, said in (
        ((path,), "no kernel is named"),
        ((vmlinux,), "no object file of BPF programs is named"),
        ((path, module, vmlinux), "a module, and no vmlinux before it"),
        ((path, tmp_path / "nowhere"), "No such file"),
        ((path, SOURCES / "relocate.c"), "no BTF"),
    ):
        done = kbuild_btf("check", *files)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
        assert done.stderr.count("\n") == 1


def test_damaged_objects(kernels: list[Path], tmp_path: Path) -> None:
    """Cut off, or with other words in .BTF.ext, in its header first: a verdict or one Error."""
    body = "struct task *p = (void *)ctx; int v; bpf_core_read(&v, 4, &p->pid); out = v;"
    path = compiled(Source("", program("struct task { int pid; };\n", body)), tmp_path / "one.o")
    whole = path.read_bytes()
    extension = read_section(path, ".BTF.ext")
    assert extension
    start = whole.index(extension)
    kernel = Kernel(str(kernels[0]), Btf.load(kernels[0]))
    rng = random.Random(19)
    refused = []
    trials = [whole[:length] for length in range(0, len(whole), 41)]
    for at in [*range(0, 32, 4), *(rng.randrange(0, len(extension), 4) for _ in range(150))]:
        for value in (0, 5, 0xFFFFFFFF, rng.getrandbits(32)):
            word = struct.pack("<I", value)
            trials.append(whole[: start + at] + word + whole[start + at + 4 :])
    for _ in range(200):
        at = rng.randrange(64, len(whole))
        trials.append(whole[:at] + bytes([rng.randrange(256)]) + whole[at + 1 :])
    for content in trials:
        try:
            judge(Object(content, "damaged"), [kernel])
        except Error as error:
            refused.append(error.where)
    assert len(trials) / 4 < len(refused) < len(trials)
    assert all("damaged" in where for where in refused)
    (tmp_path / "cut.o").write_bytes(whole[: start + 40])
    done = kbuild_btf("check", tmp_path / "cut.o", kernels[0])
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
