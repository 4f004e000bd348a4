# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The build backend: setuptools, after a look whether Rust is there.

Without this look a user without Rust gets a page of output from deep inside the build. Run as a
program it does the look alone: one line on stderr and exit status 1, or nothing and 0.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

_MANIFEST = Path(__file__).resolve().parent.parent / "native" / "Cargo.toml"


def _needed() -> tuple[int, ...]:
    """The oldest Rust that builds native/, from its manifest (`rust-version`)."""
    found = re.search(r'^rust-version\s*=\s*"([\d.]+)"', _MANIFEST.read_text(), re.MULTILINE)
    return tuple(map(int, found[1].split("."))) if found else (1, 83)


def _version(program: str) -> tuple[int, ...] | None:
    try:
        said = subprocess.run(
            [program, "--version"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", said)
    return tuple(map(int, found.groups())) if found else None


def rust_problem() -> str | None:
    """What is wrong with this machine's Rust and what to install, as one line; None when fine."""
    needed = _needed()
    wanted = ".".join(map(str, needed))
    advice = "run tools/setup demo, or install it with rustup (https://rustup.rs)"
    cargo = os.environ.get("CARGO", "cargo")
    if Path(cargo).name.startswith("cargo-"):
        cargo = "cargo"  # what stands in its place (tools/wheel) has versions of its own
    for program in (cargo, os.environ.get("RUSTC", "rustc")):
        version = _version(program)
        if version is None:
            return f"kbuild-btf needs Rust {wanted} or newer and found no {program}: {advice}"
        if version[: len(needed)] < needed:
            has = ".".join(map(str, version))
            return f"kbuild-btf needs Rust {wanted} or newer and found {program} {has}: {advice}"
    return None


def _require_rust() -> None:
    problem = rust_problem()
    if problem:
        sys.exit(problem)


def get_requires_for_build_wheel(config_settings: dict[str, Any] | None = None) -> list[str]:
    """The first thing an installer asks for (PEP 517), so the place to stop early."""
    _require_rust()
    from setuptools import build_meta

    return list(build_meta.get_requires_for_build_wheel(config_settings))


def get_requires_for_build_editable(config_settings: dict[str, Any] | None = None) -> list[str]:
    """The same for `pip install -e` (PEP 660)."""
    _require_rust()
    from setuptools import build_meta

    return list(build_meta.get_requires_for_build_editable(config_settings))


def __getattr__(name: str) -> Any:
    """Every other hook is setuptools' own, imported only when an installer asks for it."""
    from setuptools import build_meta

    return getattr(build_meta, name)


if __name__ == "__main__":
    _require_rust()
