# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""When do two descriptions of a function agree? A weak definition and the strong one that
overrides it describe one function; it gets a FUNC only if a caller could not tell their prototypes
apart.

Each case is C of the first file and of the second. `@` is a number of the case's own, so that all
are in one program. What is expected was found by trial with pahole, and is tried again where a
recent one is installed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from support import kbuild_btf, recent_pahole
from toolchains import CLANGS, GCC, Toolchain, pahole_says

from kbuild_btf import Btf, _native
from kbuild_btf.btf import Func

TAG, RCU = (f'__attribute__((btf_type_tag("{name}")))' for name in ("user", "rcu"))
WIDE = "1l << 40"
VECTOR = "__attribute__((vector_size(16)))"

AGREE = """
void f(int a)                               | void f(int b)
void f(int a)                               | void f(const int a)
void f(int *a)                              | void f(const int *a)
void f(int *a)                              | void f(int *const a)
void f(int **a)                             | void f(const int *const *a)
void f(volatile int *a)                     | void f(const volatile int *a)
void f(int *restrict a)                     | void f(int *const restrict a)
int f(void)                                 | const int f(void)
int *f(void)                                | const int *f(void)
void f()                                    | void f(void)
typedef int t@; void f(t@ a)                | typedef long t@; void f(t@ a)
typedef int t@; void f(t@ *a)               | typedef const int t@; void f(t@ *a)
typedef struct { int a; } t@; void f(t@ *a) | typedef union { long a; } t@; void f(t@ *a)
typedef int t@(int); void f(t@ *a)          | typedef int t@(long); void f(t@ *a)
struct s@; void f(struct s@ *a)             | struct s@ { int a; }; void f(struct s@ *a)
struct s@ { int a; }; void f(struct s@ *a)  | struct s@ { long a, b; }; void f(struct s@ *a)
struct s@ { int a; }; void f(struct s@ a)   | struct s@ { long a, b; }; void f(struct s@ a)
union s@; void f(union s@ *a)               | union s@ { int a; }; void f(union s@ *a)
union s@ { int a; }; void f(union s@ *a)    | union s@ { long a; }; void f(union s@ *a)
void f(struct { int a; } *a)                | void f(struct { long b, c; } *a)
void f(union { int a; } *a)                 | void f(union { long b; } *a)
void f(enum { A@ } a)                       | void f(enum { B@ } a)
enum e@ { A@ }; void f(enum e@ a)           | enum e@ { B@ }; void f(enum e@ a)
enum e@ { A@ }; void f(enum e@ *a)          | enum e@; void f(enum e@ *a)
enum e@ { A@=WIDE }; void f(enum e@ a)      | enum e@ { B@=WIDE + 1 }; void f(enum e@ a)
void f(int a[3])                            | void f(int *a)
void f(int (*a)[3])                         | void f(const int (*a)[3])
void f(int (*a)[2][6])                      | void f(int (*a)[3][4])
void f(int (**a)[2])                        | void f(const int (*const *a)[2])
void f(int VECTOR *a)                       | void f(const int VECTOR *a)
void f(void (*a)(int a))                    | void f(void (*a)(int b))
void f(void (*a)(int *))                    | void f(void (*a)(const int *))
void f(int *(*a)(void))                     | void f(const int *(*a)(void))
void f(void (*a)(void (*)(int *)))          | void f(void (*a)(void (*)(const int *)))
void f(const void **a)                      | void f(const void *const *a)
typedef void t@; void f(t@ *a)              | typedef const void t@; void f(t@ *a)
typedef void t@; void f(t@ *a)              | typedef void t@; void f(const t@ *a)
typedef int t@[3]; void f(t@ (*a)[2])       | typedef int t@[3]; void f(const t@ (*a)[2])
void f(int (*a)[2][0])                      | void f(int (*a)[0][3])
void f(int VECTOR *a)                       | void f(int (*a)[4])
void f(volatile int (*a)[3])                | void f(const volatile int (*a)[3])
void f(int (*a)(int, ...))                  | void f(int (*a)(const int, ...))
void f(int (*const *a)(int))                | void f(int (**a)(int))
"""

DISAGREE = """
void f(int a)                               | void f(unsigned a)
void f(int a)                               | void f(long a)
void f(int a)                               | void f(volatile int a)
void f(int a)                               | void f(float a)
void f(int a)                               | void f(int a, int b)
void f(int a)                               | void f(int a, ...)
void f(int a, int b)                        | void f(int a, ...)
void f(long a)                              | void f(long long a)
void f(const int a)                         | void f(long a)
void f(unsigned long a)                     | void f(unsigned long long a)
void f(__int128 a)                          | void f(unsigned __int128 a)
void f(char a)                              | void f(signed char a)
void f(char a)                              | void f(unsigned char a)
void f(unsigned char a)                     | void f(_Bool a)
void f(float a)                             | void f(double a)
void f(double a)                            | void f(long double a)
int f(void)                                 | void f(void)
int f(void)                                 | long f(void)
void f()                                    | void f(int a)
void f(int *a)                              | void f(volatile int *a)
void f(int *a)                              | void f(const volatile int *a)
void f(int *a)                              | void f(int *volatile a)
void f(int *a)                              | void f(int *restrict a)
void f(int *const *a)                       | void f(int *volatile *a)
void f(void *a)                             | void f(int *a)
void f(void *a)                             | void f(const void *a)
void f(void *a)                             | void f(volatile void *a)
void f(void *a)                             | void f(void **a)
void f(void **a)                            | void f(const void **a)
const void *f(void)                         | void *f(void)
void f(const int *a)                        | void f(const void *a)
typedef int t@; void f(t@ a)                | void f(int a)
typedef int t@; void f(t@ a)                | typedef int u@; void f(u@ a)
typedef const int t@; void f(t@ *a)         | void f(const int *a)
typedef int t@(int); void f(t@ *a)          | void f(int (*a)(int))
struct s@; void f(struct s@ *a)             | struct t@; void f(struct t@ *a)
struct s@; void f(struct s@ *a)             | union s@; void f(union s@ *a)
struct s@; void f(struct s@ *a)             | union s@ { int a; }; void f(union s@ *a)
struct s@ { int a; }; void f(struct s@ *a)  | void f(struct { int a; } *a)
struct s@ { int a; }; void f(struct s@ *a)  | typedef struct s@ s@; void f(s@ *a)
void f(struct { int a; } *a)                | void f(union { int a; } *a)
enum e@ { A@ }; void f(enum e@ a)           | enum g@ { A@ }; void f(enum g@ a)
enum e@ { A@ }; void f(enum e@ a)           | enum e@ { A@=WIDE }; void f(enum e@ a)
enum e@ { A@ }; void f(enum e@ a)           | void f(unsigned a)
enum e@ { A@ }; void f(enum e@ a)           | struct e@ { int a; }; void f(struct e@ a)
void f(enum { A@ } a)                       | void f(enum { B@=WIDE } a)
void f(int (*a)[3])                         | void f(int (*a)[4])
void f(int (*a)[3])                         | void f(int (*a)[])
void f(int (*a)[3])                         | void f(long (*a)[3])
void f(int (*a)[3])                         | void f(int **a)
void f(int VECTOR *a)                       | void f(long VECTOR *a)
void f(void (*a)(int))                      | void f(void (*a)(long))
void f(void (*a)(int))                      | void f(int (*a)(int))
void f(void (*a)(int))                      | void f(void (*a)(int, int))
void f(void (*a)(int))                      | void f(void (*a)(int, ...))
void f(void (*a)(void))                     | void f(void (*a)())
void f(void (*a)(void))                     | void f(void *a)
void f(void (*a)(void (*)(int *)))          | void f(void (*a)(void (*)(volatile int *)))
void f(void (*a)(const void *))             | void f(void (*a)(void *))
void f(const void *const *a)                | void f(void *const *a)
void f(const void *a)                       | void f(const volatile void *a)
typedef void t@; void f(t@ *a)              | void f(void *a)
void f(int (*a)[4][4])                      | void f(int VECTOR (*a)[4])
void f(int (*volatile *a)(int))             | void f(int (**a)(int))
void f(int (*a)(void))                      | void f(int (*a)(void *))
"""

# Type tags are what clang keeps of kernels' __user and the like.
TAGS_AGREE = """
void f(int TAG *a)                          | void f(const int TAG *a)
void f(int TAG *a)                          | void f(int RCU *a)
struct s@; void f(struct s@ TAG *a)         | struct s@ { int a; }; void f(const struct s@ TAG *a)
"""
TAGS_DISAGREE = """
void f(int TAG *a)                          | void f(int *a)
void f(int TAG *a)                          | void f(int TAG RCU *a)
void f(void TAG *a)                         | void f(const void TAG *a)
"""

# Where we differ: docs/differences.md.
OURS_AGREE = """
enum e@ { A@=WIDE }; void f(enum e@ *a)     | enum e@; void f(enum e@ *a)
"""


def cases(table: str) -> list[tuple[str, str]]:
    """The two columns."""
    for name, text in {"TAG": TAG, "RCU": RCU, "WIDE": WIDE, "VECTOR": VECTOR}.items():
        table = re.sub(rf"\b{name}\b", text, table)
    rows = (line.split("|") for line in table.strip().splitlines())
    return [(first.strip(), second.strip()) for first, second in rows]


def program(
    directory: Path, pairs: Sequence[tuple[str, str]], toolchain: Toolchain, *, swapped: bool
) -> Path:
    """One program of two files, with a function f<i> of each pair, weak in the first file."""
    objects = []
    for column, weak in enumerate(("__attribute__((weak)) ", "")):
        texts = []
        for i, pair in enumerate(pairs):
            text = pair[column].replace("@", str(i))
            start = re.search(r"[^;]*\bf\(", text)
            assert start
            before, function = text[: start.start()], text[start.start() :].strip()
            texts.append(before + weak + re.sub(r"\bf\(", f"f{i}(", function, count=1) + " {}\n")
        source = directory / f"{column}.c"
        source.write_text("".join(texts))
        objects.append(toolchain.compile(source, source.with_suffix(".o"), "-std=gnu11"))
    return toolchain.link(objects[::-1] if swapped else objects, directory / "image")


def told(btf: Btf) -> set[int]:
    return {int(t.name[1:]) for t in btf if isinstance(t, Func)}


def theirs(image: Path) -> set[int]:
    _, output = pahole_says(image, image.with_suffix(".pahole"))
    assert output
    return told(Btf.load(output))


@pytest.mark.parametrize("swapped", [False, True], ids=["in order", "swapped"])
@pytest.mark.parametrize("toolchain", [GCC, CLANGS[-1]], ids=lambda t: t.name)
def test_prototypes(toolchain: Toolchain, swapped: bool, tmp_path: Path) -> None:
    agree = cases(AGREE) + (cases(TAGS_AGREE) if toolchain.clang else [])
    both = agree + cases(DISAGREE) + (cases(TAGS_DISAGREE) if toolchain.clang else [])
    pairs = both + cases(OURS_AGREE)
    image = program(tmp_path, pairs, toolchain, swapped=swapped)
    expected = set(range(len(agree)))
    only_ours = set(range(len(both), len(pairs)))
    found = told(Btf.from_bytes(_native.encode(str(image)).btf))
    assert found == expected | only_ours, [pairs[i] for i in found ^ (expected | only_ours)]
    # An older one compares prototypes in another way. Where there is no other, the tables stand for
    # what a recent one says: run this with PAHOLE=/path/to/pahole when they change.
    if recent_pahole():
        assert theirs(image) == expected


def test_a_declaration_does_not_know_its_width(tmp_path: Path) -> None:
    """Where both widths are defined, a declaration counts as what it is without more."""
    pairs = [
        ("enum e { A }; void f(enum e *a)", "enum e; void f(enum e *a)"),
        ("enum g; void f(enum g *a)", "enum g { B = 1l << 40 }; void f(enum g *a)"),
        ("void f(enum e *a)", "enum g; void f(int a)"),
    ]
    assert told_of(tmp_path / "one", pairs) == {0, 1}
    other = ("void f(enum g *a)", "enum e; void f(int a)")
    both = [("enum g { C }; void f(enum g *a)", "enum g; void f(enum g *a)"), other]
    assert told_of(tmp_path / "two", both) == {0}


def told_of(directory: Path, pairs: Sequence[tuple[str, str]]) -> set[int]:
    directory.mkdir()
    image = program(directory, pairs, GCC, swapped=False)
    return told(Btf.from_bytes(_native.encode(str(image)).btf))


LEVELS = 60


def chain(last: str) -> str:
    """Function types, each of which takes the one before twice. None has a name, so that nothing
    ends a comparison before the last."""
    step = "static void {0}(__typeof__({1}) *a, __typeof__({1}) *b);\n"
    steps = [step.format(f"g{i}", f"g{i - 1}") for i in range(1, LEVELS)]
    return f"static void g0({last});\n{''.join(steps)}"


@pytest.mark.parametrize(
    ("last", "agrees"), [("const int *a", True), ("volatile int *a", False)], ids=["same", "other"]
)
def test_deep_prototypes_take_no_longer(last: str, agrees: bool, tmp_path: Path) -> None:
    """Looked at once for each way that leads to them, 60 levels would take for ever."""
    function = f"void f(__typeof__(g{LEVELS - 1}) *a)"
    pairs = [(chain("int *a") + function, chain(last) + function)]
    image = program(tmp_path, pairs, GCC, swapped=False)
    assert told(Btf.from_bytes(_native.encode(str(image)).btf)) == ({0} if agrees else set())
    done = kbuild_btf("encode", image, "-o", tmp_path / "btf")
    assert done.returncode == 0, done.stderr
