# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What several tests share: tools that must be there, compiling, running our programs."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import pytest

CI = os.environ.get("CI", "") not in ("", "0", "false")
ROOT = Path(__file__).resolve().parent.parent
SOURCES = Path(__file__).resolve().parent / "c"
SCRIPTS = Path(sysconfig.get_path("scripts"))

# The pahole to compare with: PAHOLE=/path/to/pahole, or the one that is installed. Not left in the
# environment, since make reads a variable of that name.
PAHOLE = os.environ.pop("PAHOLE", "") or "pahole"

# Nothing that these tests start may run longer than this, whatever the input.
SECONDS = 120


def missing(what: str) -> NoReturn:
    """Skip the test for this reason. In CI nothing may be missing, so there it fails."""
    if CI:
        pytest.fail(f"{what} (in CI this is a failure)", pytrace=False)
    pytest.skip(what)


def require(*tools: str) -> None:
    """Go on only when all these programs are installed."""
    absent = [tool for tool in tools if not shutil.which(tool)]
    if absent:
        missing(f"not installed: {', '.join(absent)}")


def run(
    *argv: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, whatever its exit status; `env` is added to ours."""
    return subprocess.run(
        [str(word) for word in argv],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=SECONDS,
    )


def kbuild_btf(*argv: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command line as users start it."""
    return run(SCRIPTS / "kbuild-btf", *argv, cwd=cwd)


def compiled(source: Path, output: Path, *flags: str) -> Path:
    """Compile one C file with debug information; a failure is the test's."""
    require("gcc")
    done = run("gcc", "-g", "-c", "-o", output, *flags, source)
    assert done.returncode == 0, done.stderr
    return output


@functools.cache
def recent_pahole() -> bool:
    """Is it as new as the one that docs/differences.md compares with?"""
    require(PAHOLE)
    done = run(PAHOLE, "--supported_btf_features")
    return done.returncode == 0 and "layout" in done.stdout.strip().split(",")


def pahole(elf: Path, output: Path, features: str = "default", base: Path | None = None) -> Path:
    """The BTF that pahole makes of a file with everything we encode by default, or with features;
    split when it has a base.

    pahole reports most failures with exit status 0, so only the file it writes counts.
    """
    require(PAHOLE)
    version = run(PAHOLE, "--version").stdout.strip().lstrip("v")
    major, minor = (int(number) for number in version.split(".")[:2])
    if (major, minor) < (1, 24):
        missing(f"pahole {version} does not know all kinds of BTF, 1.24 does")
    flags = [f"--btf_features={features}"] if (major, minor) >= (1, 26) else ["--btf_gen_floats"]
    if base:
        flags += ["--btf_base", str(base)]
    output.unlink(missing_ok=True)
    done = run(PAHOLE, "-J", *flags, f"--btf_encode_detached={output}", elf)
    assert output.exists(), done.stdout + done.stderr
    return output
