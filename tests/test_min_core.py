# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""`kbuild-btf min-core`: libbpf makes the same programs of its file as of the whole BTF, and of
bpftool's file."""

from __future__ import annotations

import subprocess
from pathlib import Path

import bpfprograms
import pytest
import support
from bpfprograms import Source
from support import ROOT, SCRIPTS, kbuild_btf, missing, require, run

from kbuild_btf import Btf, check, encode
from kbuild_btf.btf import Composite, Enumeration, Struct

KERNEL = """
struct list { struct list *next; void (*call)(int); };
struct inner { int a; long b; };
enum state { RUNNING = 3, STOPPED = 7, DEAD = 9 };
enum wide { HUGE = 1ull << 40, SMALL = 1 };
typedef unsigned int u32;
typedef struct { int skipped; u32 x; } unnamed_t;
typedef int (*callback)(struct list *, u32);
struct flexible { int count; struct inner tail[]; };
struct middle { int count; long none[0]; int behind; };
struct task {
	long pad; int pid; struct list list; struct inner in[4];
	union { struct { int u1; int u3; }; long u2; };
	unsigned f1 : 3, f2 : 5; int signed_one : 7;
	const volatile u32 counter; char name[16]; enum state st; const struct list *behind;
	struct flexible *flexible; callback call; unnamed_t unnamed; double real;
};
struct big { char room[1 << 20]; long last; };
struct empty {};
struct used {
	struct task t; unnamed_t u; struct big b; struct empty e; struct middle m; enum wide w;
} used;
"""

MODULE = """
struct list { struct list *next; void (*call)(int); };
enum state { RUNNING = 3, STOPPED = 7, DEAD = 9 };
struct inner { char other; long b[3]; };
struct driver { int irq; struct list list; struct inner own; enum state st; };
struct driver driver;
"""

# What a program declares, and what it adds up of `struct task *t`.
PROGRAMS = {
    "members": (
        "struct list { struct list *next; };"
        "struct task { struct list list; int pid; __u32 counter; };",
        "t->pid + t->counter + (long)t->list.next + (long)&t->list.next->next",
    ),
    "arrays": (
        "struct inner { long b; }; struct task { char name[8]; struct inner in[4]; };"
        "struct flexible { struct inner tail[]; };",
        "t->name[5] + t->in[3].b + (long)&((struct flexible *)t)->tail[6].b",
    ),
    "beyond an array": (
        "struct task { struct { long b; } in[9]; };",
        "2 * bpf_core_field_exists(t->in[8].b) + bpf_core_field_exists(t->in[3].b)",
    ),
    "an array without elements that is not the last": (
        "struct middle { int count; long none[0]; }; struct task { int pid; };",
        "bpf_core_field_exists(((struct middle *)t)->none)"
        " + bpf_core_field_exists(((struct middle *)t)->none[1])",
    ),
    "inside of unions": (
        "struct task { int u3; long u2; };",
        "t->u3 + t->u2 + bpf_core_field_offset(t->u3)",
    ),
    "bit-fields": (
        "struct task { __u32 f2 : 9; int signed_one : 3; };",
        "BPF_CORE_READ_BITFIELD(t, f2) + BPF_CORE_READ_BITFIELD(t, signed_one)",
    ),
    "existence": (
        "struct gone { int a; }; struct task { int pid; long gone; int *counter; float real; };",
        "bpf_core_field_exists(t->pid) + 2 * bpf_core_field_exists(t->gone)"
        " + 4 * bpf_core_field_exists(t->counter) + 8 * bpf_core_type_exists(struct gone)"
        " + 16 * bpf_core_field_exists(t->real)",
    ),
    "sizes": (
        "struct list { int x; }; struct big { int x; };"
        "struct task { struct list list; char name[2]; };",
        "bpf_core_field_size(t->name) + bpf_core_field_size(t->list)"
        " + bpf_core_type_size(struct big) + bpf_core_type_size(struct task)",
    ),
    "flavours": (
        "struct task___old { int gone; }; struct task___new { int pid; };struct task { int pad; };",
        "bpf_core_field_exists(((struct task___old *)t)->gone) + ((struct task___new *)t)->pid",
    ),
    "enumerators": (
        "enum state { STOPPED = 1, GONE = 2, DEAD___x = 3 }; struct task { int pid; };"
        "enum wide { HUGE = 2ull << 40 };",
        "bpf_core_enum_value(enum state, STOPPED) + bpf_core_enum_value(enum state, DEAD___x)"
        " + bpf_core_enum_value_exists(enum state, GONE)"
        " + bpf_core_enum_value_exists(enum state, STOPPED) + bpf_core_enum_value(enum wide, HUGE)",
    ),
    "enums as members": (
        "enum other { A = 1 }; enum state { RUNNING = 1 };"
        "struct task { enum state st; }; struct task___o { enum other st; };",
        "t->st + bpf_core_field_exists(((struct task___o *)t)->st)",
    ),
    "types": (
        "typedef __u32 u32; typedef struct { int x; } unnamed_t; struct task { int pid; };"
        "typedef int (*callback)(struct task *, __u32); typedef int (*callback___b)(int);"
        "enum state { X };",
        "bpf_core_type_exists(u32) + 2 * bpf_core_type_exists(unnamed_t)"
        " + 4 * bpf_core_type_exists(callback) + 8 * bpf_core_type_exists(callback___b)"
        " + 16 * bpf_core_type_exists(enum state) + ((unnamed_t *)t)->x",
    ),
    "matches": (
        "struct list { struct list *next; void (*call)(int); }; struct inner { int a; };"
        "struct inner___not { char a; };"
        "struct task { struct inner in[4]; const struct list *behind; };"
        "struct list___not { int *next; }; enum state { RUNNING = 8, DEAD = 1 };",
        "bpf_core_type_matches(struct list) + 2 * bpf_core_type_matches(struct inner)"
        " + 4 * bpf_core_type_matches(struct inner___not) + 8 * bpf_core_type_matches(struct task)"
        " + 16 * bpf_core_type_matches(struct list___not) + 32 * bpf_core_type_matches(enum state)",
    ),
    # With nothing behind the pointer it would match, and the member is kept.
    "what does not match": (
        "struct task; struct list { struct list *next; };struct list___not { void *next; };",
        "(long)((struct list *)t)->next + bpf_core_type_matches(struct list___not)",
    ),
    "nothing": ("struct task { int pid; };", "1"),
}
# What bpftool makes otherwise: it leaves out what stands behind an array without elements, so that
# the array has any number of them.
OTHERWISE = "an array without elements that is not the last"
OF_MODULE = (
    "struct list { struct list *next; }; struct inner { long b; }; enum state { DEAD = 1 };"
    "struct task { struct inner in[4]; };"
    "struct driver { struct list list; struct { long b[3]; } own; enum state st; };",
    "((struct driver *)t)->own.b[2] + (long)((struct driver *)t)->list.next + t->in[1].b"
    " + ((struct driver *)t)->st + bpf_core_type_size(struct inner)",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("min-core")


def compiled(place: Path, name: str, parts: tuple[str, str]) -> Path:
    """The object file of a program."""
    types, total = parts
    source = Source(
        name, bpfprograms.program(f"{types}\n", f"struct task *t = (void *)ctx[0]; out = {total};")
    )
    return bpfprograms.compiled(source, place / f"{name.replace(' ', '-')}.o")


def types_of(place: Path, name: str, text: str, base: Path | None = None) -> Path:
    """Raw BTF of a C file."""
    source, made = place / f"{name}.c", place / f"{name}.btf"
    source.write_text(text)
    made.write_bytes(encode(support.compiled(source, source.with_suffix(".o")), base=base).btf)
    return made


@pytest.fixture(scope="module")
def kernel(place: Path) -> Path:
    return types_of(place, "kernel", KERNEL)


@pytest.fixture(scope="module")
def instructions(place: Path) -> Path:
    if not Path("/usr/include/bpf/libbpf.h").exists():
        missing("no /usr/include/bpf/libbpf.h (libbpf-dev)")
    require("gcc")
    made = place / "instructions"
    done = run("gcc", "-o", made, ROOT / "tests/c/instructions.c", "-lbpf")
    assert done.returncode == 0, done.stderr
    return made


def relocated(instructions: Path, btf: Path, program: Path) -> tuple[int, str]:
    """Whether libbpf accepts the program, and what it loads."""
    done = subprocess.run([instructions, btf, program], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1)
    return done.returncode, done.stdout


def min_core(target: Path, *files: Path) -> Path:
    done = kbuild_btf("min-core", *files, "-o", target)
    assert (done.returncode, done.stderr) == (0, "")
    if len(Btf.load(target)) > 1:
        check(target.read_bytes())
    return target


@pytest.mark.parametrize("name", PROGRAMS)
def test_libbpf_makes_the_same_of_it(
    name: str, place: Path, kernel: Path, instructions: Path
) -> None:
    program = compiled(place, name, PROGRAMS[name])
    made = min_core(place / f"{program.stem}.btf", program, kernel)
    whole = relocated(instructions, kernel, program)
    assert whole[0] == 0 and whole[1]
    assert relocated(instructions, made, program) == whole
    if name != OTHERWISE:
        require("bpftool")
        other = place / f"{program.stem}.bpftool"
        done = run("bpftool", "gen", "min_core_btf", kernel, other, program)
        assert done.returncode == 0, done.stderr
        assert relocated(instructions, other, program) == whole
        # What must not match takes more than what is there.
        assert "not match" in name or made.stat().st_size <= other.stat().st_size


def test_several_programs(place: Path, kernel: Path, instructions: Path) -> None:
    """One file serves all: what one asks for does not change what another is told."""
    programs = [compiled(place, name, parts) for name, parts in PROGRAMS.items()]
    made = min_core(place / "all.btf", *programs, kernel)
    for program in programs:
        assert relocated(instructions, made, program) == relocated(instructions, kernel, program)
    assert made.stat().st_size < kernel.stat().st_size


def test_what_is_left(place: Path, kernel: Path) -> None:
    """Of types that are not compared as a whole."""
    names = ("members", "sizes", "enumerators")
    programs = [compiled(place, name, PROGRAMS[name]) for name in names]
    btf = Btf.load(min_core(place / "some.btf", *programs, kernel))
    (big,) = btf.find(Struct, "big")
    assert (big.size, big.members) == ((1 << 20) + 8, ())
    (task,) = btf.find(Struct, "task")
    assert [member.name for member in task.members] == ["pid", "list", "counter", "name"]
    (state,) = btf.find(Enumeration, "state")
    assert [value.name for value in state.values] == ["STOPPED", "DEAD"]
    (following,) = btf.find(Struct, "list")[0].members
    assert [*following.type.references()] == [0]


def test_a_module(place: Path, kernel: Path, instructions: Path) -> None:
    """Its types come in beside those of vmlinux, and its own `struct inner` is not taken for that
    of vmlinux. Compared with one file in which nothing of the module has that name."""
    module = types_of(place, "module", MODULE, kernel)
    assert [s.size for s in Btf.load(module, Btf.load(kernel)).find(Struct, "inner")] == [16, 32]
    only = MODULE.replace("struct inner", "struct renamed")
    repeated = ("struct list {", "enum state {")
    own = "".join(line + "\n" for line in only.splitlines() if not line.startswith(repeated))
    flat = types_of(place, "flat", KERNEL + own)
    program = compiled(place, "of module", OF_MODULE)
    made = min_core(place / "of-module.btf", program, kernel, module)
    whole = relocated(instructions, flat, program)
    assert whole[0] == 0
    assert relocated(instructions, made, program) == whole
    without = min_core(place / "without.btf", program, kernel)
    assert relocated(instructions, without, program) != whole
    inside = Btf.load(made).type("struct driver")
    assert isinstance(inside, Composite)
    assert Btf.load(made).base is None


def test_refusals(place: Path, kernel: Path) -> None:
    program = compiled(place, "nothing", PROGRAMS["nothing"])
    for files, said in (
        ((program, kernel, kernel), "a second kernel"),
        ((kernel,), "no object file of BPF programs is named"),
        ((program,), "no kernel is named"),
    ):
        done = kbuild_btf("min-core", *files, "-o", place / "refused.btf")
        assert done.returncode == 1 and said in done.stderr
        assert not (place / "refused.btf").exists()


def test_to_standard_output(place: Path, kernel: Path) -> None:
    program = compiled(place, "members", PROGRAMS["members"])
    made = min_core(place / "file.btf", program, kernel)
    command = [str(SCRIPTS / "kbuild-btf"), "min-core", str(program), str(kernel), "-o", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stdout == made.read_bytes()
    assert b"relocations" in done.stderr
