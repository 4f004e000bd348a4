# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""`kbuild-btf-pahole`: the command lines that kernels use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support import SCRIPTS, SOURCES, compiled, run

from kbuild_btf import Btf, _native
from kbuild_btf.btf import DeclTag, Enum64, Float, Func, Var

FRONT = SCRIPTS / "kbuild-btf-pahole"

# What scripts/pahole-flags.sh and scripts/Makefile.btf of kernel versions make of version 1.31.
KERNELS = {
    "5.15": ["--btf_gen_floats"],
    "5.15 stable": ["--btf_gen_floats", "-j", "--skip_encoding_btf_enum64", "--lang_exclude=rust"],
    "6.1": [
        "--btf_gen_floats",
        "-j",
        "--lang_exclude=rust",
        "--skip_encoding_btf_inconsistent_proto",
        "--btf_gen_optimized",
    ],
    "6.12": [
        "-j",
        "--btf_features=encode_force,var,float,enum64,decl_tag,type_tag,optimized_func,"
        "consistent_func,decl_tag_kfuncs",
        "-j",
        "--lang_exclude=rust",
    ],
    "6.12, reproducible": ["-j", "--btf_features=var,float", "--btf_features=+reproducible_build"],
    "6.16": ["-j2", "--btf_features=var,float,enum64,consistent_func", "--btf_features=attributes"],
    "7.3": [
        "-j4",
        "--btf_features=encode_force,var,float,enum64,decl_tag,type_tag,optimized_func,"
        "consistent_func",
        "--btf_features=layout",
        "-j4",
        "--lang_exclude=rust",
    ],
}


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(SOURCES / "functions.c", tmp_path_factory.mktemp("front") / "a.o", "-O2")


def test_it_is_a_program_of_its_own() -> None:
    """6.1 asks for the version 29 times in one build; Python must not start for it."""
    assert FRONT.read_bytes().startswith(b"\x7fELF")
    needed = run("readelf", "-d", FRONT).stdout
    assert "python" not in needed.lower()


def test_version_is_one_that_kernels_parse() -> None:
    done = run(FRONT, "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, "v1.31\n", "")
    # As scripts/pahole-version.sh makes a number of it, and as pahole itself does.
    assert re.sub(r"v([0-9]+)\.([0-9]+)", r"\1\2", done.stdout) == "131\n"
    assert run(FRONT, "--numeric_version").stdout == "131\n"


def test_lists_its_features() -> None:
    names = run(FRONT, "--supported_btf_features").stdout.strip().split(",")
    assert names == _native.FEATURES
    assert {"decl_tag_kfuncs", "distilled_base", "layout"} <= set(names)


@pytest.mark.parametrize("version", KERNELS)
def test_flags_of_kernels(version: str, elf: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.btf"
    done = run(FRONT, "-J", *KERNELS[version], f"--btf_encode_detached={output}", elf)
    assert (done.returncode, done.stderr) == (0, "")
    assert [f.name for f in Btf.load(output) if isinstance(f, Func)]


@pytest.mark.parametrize("version", ["6.1", "6.12", "7.3"])
def test_flags_of_kernels_for_modules(version: str, elf: Path, tmp_path: Path) -> None:
    """The base, separate or attached, and old and new ways to name the threads."""
    base, output = tmp_path / "base.btf", tmp_path / "out.btf"
    base.write_bytes(_native.encode(str(elf)).btf)
    for words in (["--btf_base", str(base)], [f"--btf_base={base}"]):
        done = run(FRONT, "-J", *KERNELS[version], *words, "--btf_encode_detached", output, elf)
        assert (done.returncode, done.stderr) == (0, "")
        _native.check(output.read_bytes(), base.read_bytes())
        output.unlink()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("--btf_gen_floats", "float"),
        ("--btf_gen_optimized", "optimized_func"),
        ("--skip_encoding_btf_inconsistent_proto", "consistent_func"),
        ("--btf_encode_force", "encode_force"),
        ("--btf_attributes", "attributes"),
    ],
)
def test_old_options_are_features(old: str, new: str, tmp_path: Path) -> None:
    """`-J` alone is what pahole did before it had features: these four."""
    source = tmp_path / "a.c"
    source.write_text(
        "double number;\nstatic __attribute__((noinline)) int f(int a, int b) { return a * 2; }\n"
        "int g(int a) { return f(a, 3) + f(a + 1, 4); }\n"
    )
    elf = compiled(source, tmp_path / "a.o", "-O2")
    made = []
    for words in ([old], [f"--btf_features=var,decl_tag,type_tag,enum64,{new}"]):
        output = tmp_path / "out.btf"
        done = run(FRONT, "-J", *words, f"--btf_encode_detached={output}", elf)
        assert (done.returncode, done.stderr) == (0, "")
        made.append(output.read_bytes())
    assert made[0] == made[1]


@pytest.mark.parametrize("flag", ["--from_the_future", "--from_the_future=4", "-Z"])
def test_an_unknown_option_is_an_error_as_it_is_for_pahole(
    flag: str, elf: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.btf"
    done = run(FRONT, "-J", flag, f"--btf_encode_detached={output}", elf)
    assert done.returncode == 1
    assert done.stderr.startswith(f"kbuild-btf: error: option {flag} is not known")
    assert not output.exists()


@pytest.mark.parametrize("words", [["-J", "--btf_base"], ["-J", "-jmany"], ["-J"]])
def test_command_lines_that_are_not_whole(words: list[str]) -> None:
    done = run(FRONT, *words)
    assert done.returncode == 1
    assert done.stderr.startswith("kbuild-btf: error: ")
    assert len(done.stderr.splitlines()) <= 2


OPTIMISED = """
__attribute__((noinline)) int kept(int used, int unused) { return used + 1; }
static __attribute__((noinline)) int fewer(int a, int b, int c) { return a * b - a; }
static __attribute__((noinline)) int moved(int a, int b, int c) { return a * c - c; }
int caller(int a, int b, int c) { return kept(a, c) + fewer(a, b, c) + moved(c, a, b); }
"""


def test_verbose_names_what_is_left_out_and_why(tmp_path: Path) -> None:
    """In the words of pahole, which scripts look for; and no more than that."""
    source = tmp_path / "a.c"
    source.write_text(OPTIMISED)
    elf = compiled(source, tmp_path / "a.o", "-O2")
    output = tmp_path / "out.btf"
    for flag in ("--verbose", "-V"):
        command = [flag, "--btf_features=default", f"--btf_encode_detached={output}", elf]
        done = run(FRONT, "-J", *command)
        assert done.returncode == 0
        skipped = [line for line in done.stdout.splitlines() if "skipping" in line]
        due = "skipping BTF encoding of function due to"
        assert sorted(skipped) == [
            f"fewer : {due} optimized parameters",
            f"moved : {due} unexpected register usage for parameter",
        ]
    names = [f.name for f in Btf.load(output) if isinstance(f, Func)]
    assert sorted(names) == ["caller", "kept"]


def test_unknown_features_are_ignored_unless_strict(elf: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.btf"
    lax = run(FRONT, "-J", "--btf_features=var,new", f"--btf_encode_detached={output}", elf)
    assert lax.returncode == 0
    output.unlink()
    option = "--btf_features_strict=var,new"
    strict = run(FRONT, "-J", option, f"--btf_encode_detached={output}", elf)
    assert strict.returncode == 1
    assert "new" in strict.stderr
    assert not output.exists()


def test_puts_btf_into_the_file_and_can_do_it_again(elf: Path, tmp_path: Path) -> None:
    copy = tmp_path / "a.o"
    copy.write_bytes(elf.read_bytes())
    expected = _native.encode(str(elf)).btf
    sizes, files = [], []
    for _ in range(3):
        assert run(FRONT, "-J", "--btf_features=default", copy).returncode == 0
        files.append((copy.stat().st_ino, copy.stat().st_mtime_ns))
        sizes.append(copy.stat().st_size)
        assert _native.read_section(str(copy), ".BTF") == expected
    assert sizes[1:] == sizes[:1] * 2, "the old section is replaced, not left behind"
    # The same content is not written again, but make must see that something was done.
    assert files[0][0] == files[1][0] == files[2][0]
    assert files[0][1] < files[1][1] < files[2][1]
    other = run(FRONT, "-J", "--btf_features=default,layout", copy)
    assert (other.returncode, copy.stat().st_ino == files[0][0]) == (0, False)
    assert run(FRONT, "-J", "--btf_features=default", copy).returncode == 0
    # The rest of the object is what it was, for other tools, too.
    assert (
        run("objdump", "-d", copy).stdout.splitlines()[3:]
        == (run("objdump", "-d", elf).stdout.splitlines()[3:])
    )
    assert run("ld", "-r", "-o", tmp_path / "b.o", copy).returncode == 0


def test_a_distilled_base_needs_a_base(elf: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.btf"
    command = [str(FRONT), "-J", "--btf_features=default", "--btf_features=distilled_base"]
    done = run(*command, f"--btf_encode_detached={output}", elf)
    assert done.returncode == 1
    assert "no base" in done.stderr
    assert not output.exists()


def test_without_encoding_it_is_the_real_pahole(elf: Path, tmp_path: Path) -> None:
    stub = tmp_path / "pahole"
    stub.write_text('#!/bin/sh\necho "real pahole: $*"\n')
    stub.chmod(0o755)
    done = run(FRONT, "-C", "task_struct", elf, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert done.stdout == f"real pahole: -C task_struct {elf}\n"


@pytest.mark.parametrize(
    ("features", "absent"),
    [("var,consistent_func", (Enum64, Float, DeclTag)), ("float,enum64", (Var,))],
)
def test_features_that_are_off(features: str, absent: tuple[type, ...], tmp_path: Path) -> None:
    source = tmp_path / "a.c"
    source.write_text(
        "enum wide { HUGE = 1ull << 40, NEGATIVE = -1 } wide;\nenum small { MINUS = -1 } small;\n"
        'double number;\nint per_cpu __attribute__((section(".data..percpu"))) = 1;\n'
    )
    elf = compiled(source, tmp_path / "a.o")
    made = Btf.from_bytes(_native.encode(str(elf), features=features).btf)
    assert [found for found in made if isinstance(found, absent)] == []
    full = Btf.from_bytes(_native.encode(str(elf)).btf)
    present = [kind for kind in absent if kind is not DeclTag]
    assert all(any(isinstance(found, kind) for found in full) for kind in present)
