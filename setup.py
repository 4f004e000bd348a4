# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What is compiled. All else is in pyproject.toml, which cannot ask what this machine has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from setuptools import setup
from setuptools_rust import Binding, RustBin, RustExtension

WRAPPER = Path(__file__).resolve().parent / "tools/link-static"


def answer(*command: str) -> str:
    """What a program prints, in one line; nothing where it cannot be asked."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def static_if_possible() -> list[str]:
    """Arguments of cargo that link executables with a static glibc, where the compiler has one.

    make starts them thousands of times, and to load glibc takes a tenth of a millisecond. Not all
    distributions install the static one by default.
    """
    host = answer(os.environ.get("RUSTC", "rustc"), "--print", "host-tuple")
    # Of a file that it does not have, a compiler prints the name alone.
    has_archive = Path(answer("cc", "-print-file-name=libc.a")).is_absolute()
    if "CARGO_BUILD_TARGET" in os.environ or not host.endswith("-linux-gnu") or not has_archive:
        return []
    return ["--config", f'build.rustc-workspace-wrapper="{WRAPPER}"']


# The same for all three, so that what they share is compiled once.
ARGS = ["--locked", *static_if_possible()]


def executable(name: str) -> RustBin:
    """What make starts thousands of times: a plain program, without Python."""
    # The whole workspace, since cargo then chooses the same features of the libraries below as for
    # the extension.
    args = ["--workspace", "--bins", *ARGS]
    return RustBin(name, path="native/Cargo.toml", args=args, debug=False)


def shared() -> list[tuple[str, list[str]]]:
    """The manual page and completions for shells, by the directory where they belong."""
    made = Path("build/manual")
    subprocess.run([sys.executable, "tools/manual.py", str(made)], check=True)
    files = [path for path in sorted(made.rglob("*")) if path.is_file()]
    return [(str(path.parent.relative_to(made)), [str(path)]) for path in files]


setup(
    data_files=shared(),
    rust_extensions=[
        RustExtension(
            "kbuild_btf._native",
            path="native/python/Cargo.toml",
            binding=Binding.PyO3,
            args=ARGS,
            debug=False,
        ),
        executable("kbuild-btf-hook"),
        executable("kbuild-btf-pahole"),
    ],
)
