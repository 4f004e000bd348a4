# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What is compiled. All else is in pyproject.toml, which cannot ask what this machine has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from setuptools import setup
from setuptools_rust import Binding, RustBin, RustExtension

MANIFEST = "native/Cargo.toml"


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
    flags = '["-Ctarget-feature=+crt-static", "-Crelocation-model=static"]'
    # With a target named, procedural macros are built without these flags: they cannot be static.
    return ["--target", host, "--config", f"target.{host}.rustflags={flags}"]


def executable(name: str) -> RustBin:
    """What make starts thousands of times: a plain program, without Python."""
    args = ["--locked", "--bins", *static_if_possible()]
    return RustBin(name, path=MANIFEST, args=args, debug=False, quiet=True)


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
            path=MANIFEST,
            binding=Binding.PyO3,
            features=["python"],
            args=["--locked"],
            debug=False,
            quiet=True,
        ),
        executable("kbuild-btf-hook"),
        executable("kbuild-btf-pahole"),
    ],
)
