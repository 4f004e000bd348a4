# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What is installed is all of what is here."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from support import ROOT, SCRIPTS, run

import kbuild_btf
from kbuild_btf import _native, paths

INSTALLED = Path(kbuild_btf.__file__).parent


def files(directory: Path) -> set[str]:
    """Files below a directory, but for what Python or an editable install puts there."""
    return {
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if path.is_file() and path.suffix not in (".pyc", ".so")
    }


@pytest.mark.parametrize("name", ["kbuild_btf", "fixtures", "makefile-snippets"])
def test_every_file_is_installed(name: str) -> None:
    """A new directory of Python modules has to be named in pyproject.toml."""
    here = INSTALLED if name == "kbuild_btf" else INSTALLED / name
    if INSTALLED == ROOT / "kbuild_btf":
        pytest.skip("an editable install: nothing is copied")
    assert files(ROOT / name) <= files(here)


def test_programs_are_installed() -> None:
    for name in (*paths.EXECUTABLES, "kbuild-btf"):
        assert os.access(SCRIPTS / name, os.X_OK), name
    assert os.access(paths.linker_wrapper(), os.X_OK)


def test_programs_are_static_where_that_can_be() -> None:
    """They start without a dynamic linker; the extension module goes on sharing Python's libc."""
    archive = run("cc", "-print-file-name=libc.a").stdout.strip()
    dynamic = set() if Path(archive).is_absolute() else set(paths.EXECUTABLES)
    assert {name for name in paths.EXECUTABLES if libraries(SCRIPTS / name)} == dynamic
    assert any(name.startswith("libc.") for name in libraries(Path(_native.__file__)))


def libraries(program: Path) -> list[str]:
    """The shared libraries that it names."""
    with program.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".dynamic")
        return [tag.needed for tag in table.iter_tags("DT_NEEDED")] if table else []


def test_without_rust_there_is_one_line(tmp_path: Path) -> None:
    """And it says what to install."""
    program = [sys.executable, str(ROOT / "tools/build_backend.py")]
    done = run(*program, env={"PATH": str(tmp_path), "CARGO": "cargo", "RUSTC": "rustc"})
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "found no cargo" in done.stderr
    assert "tools/setup" in done.stderr and "rustup" in done.stderr
    for name in ("cargo", "rustc"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {name} 1.50.0\n")
        (tmp_path / name).chmod(0o755)
    done = run(*program, env={"PATH": str(tmp_path), "CARGO": "cargo", "RUSTC": "rustc"})
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "found cargo 1.50.0" in done.stderr
    if shutil.which("cargo"):
        assert run(*program).returncode == 0


def bare_machine(directory: Path, **programs: str) -> dict[str, str]:
    """An environment that has what every system has, and these programs (texts of shell)."""
    for name in (
        "cat",
        "dirname",
        "env",
        "grep",
        "head",
        "id",
        "mktemp",
        "rm",
        "sed",
        "sort",
        "tail",
    ):
        (directory / name).symlink_to(str(shutil.which(name)))
    for name, text in programs.items():
        (directory / name.replace("_", "-")).write_text(f"#!/bin/sh\n{text}\n")
        (directory / name.replace("_", "-")).chmod(0o755)
    return {"PATH": str(directory), "PYTHON": "no-python"}


def test_setup_says_first_what_is_missing(tmp_path: Path) -> None:
    """All of it, in one line; without a package manager that is all it can do."""
    done = run("/bin/sh", ROOT / "tools/setup", "demo", env=bare_machine(tmp_path))
    assert done.returncode == 1
    for what in ("gcc", "libc6-dev", "binutils", "make", "python3-venv", "Rust 1.88 or newer"):
        assert what in done.stdout.splitlines()[0]
    assert "package manager" in done.stderr


VERSIONS = {
    "rustc": "1.63.0+dfsg1-2",
    "rustc-1.85": "1.85.0",
    "rustc-web": "1.96.0+dfsg1-1~deb12u2",
}


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        ("rustc rustc-1.85 rustc-web", "rustc-web cargo-web"),
        ("rustc rustc-1.91 rustc-1.100", "rustc-1.100 cargo-1.100"),
        ("rustc rustc-1.85", None),
    ],
)
def test_setup_takes_the_newest_rust(tmp_path: Path, there: str, taken: str | None) -> None:
    """Whatever its package is called; one that is too old is not installed."""
    answers = [
        f'*"{name.removeprefix("rustc")}") echo "  Candidate: '
        f'{VERSIONS.get(name, name.removeprefix("rustc-") + ".0")}" ;;'
        for name in sorted(there.split(), reverse=True)
    ]
    apt_cache = f"""case $1 in
pkgnames) printf '%s\\n' {there} rustc-doc ;;
policy) case $2 in {" ".join(answers)} esac ;;
esac"""
    environment = bare_machine(
        tmp_path, apt_cache=apt_cache, apt_get=f'echo "$*" >>{tmp_path}/calls', sudo='exec "$@"'
    )
    done = run("/bin/sh", ROOT / "tools/setup", "demo", env=environment)
    calls = (tmp_path / "calls").read_text().splitlines()
    if taken is None:
        assert (done.returncode, len(calls)) == (1, 1)
        assert "rustup" in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert calls[-1].startswith("install --yes")
        assert calls[-1].endswith(taken)
