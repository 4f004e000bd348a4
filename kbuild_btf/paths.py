# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Where the files of this package are, in a source checkout and installed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from .errors import Error

StrPath = str | os.PathLike[str]
"""What the public functions take as a path."""

EXECUTABLES = ("kbuild-btf-hook", "kbuild-btf-pahole")

_PACKAGE = Path(__file__).resolve().parent


def _data(name: str) -> Path:
    """A directory of data: inside the package when installed, beside it in a checkout."""
    for directory in (_PACKAGE / name, _PACKAGE.parent / name):
        if directory.is_dir():
            return directory
    raise Error(
        f"the installation is incomplete: {name} is missing",
        str(_PACKAGE),
        "install kbuild-btf again",
    )


def snippet() -> Path:
    """The makefile that make reads through MAKEFILES. Raises Error."""
    return _data("makefile-snippets") / "kbuild-btf.mk"


def linker_wrapper() -> Path:
    """The script that stands before the linker of vmlinux. Raises Error."""
    return _data("makefile-snippets") / "kbuild-btf-ld"


def fixtures() -> Path:
    """The directory of bundled sources, such as mini-kernel. Read only: copy before building.

    Raises Error.
    """
    return _data("fixtures")


def executables(environ: Mapping[str, str] = os.environ) -> Path:
    """The directory that holds all of EXECUTABLES, absolute.

    $KBUILD_BTF_BIN alone counts if it is set; else the first of: the directory of the running
    program, of the Python interpreter, the scripts directories of Python's installation schemes,
    and what cargo built in a checkout. Raises Error when they are in none of them.
    """
    named = environ.get("KBUILD_BTF_BIN")
    looked = [Path(named)] if named else list(_candidates())
    for directory in looked:
        if all(os.access(directory / name, os.X_OK) for name in EXECUTABLES):
            return Path(os.path.abspath(directory))  # noqa: PTH100 (resolve() follows links)
    missing = " and ".join(EXECUTABLES)
    raise Error(
        f"{missing} are not there",
        f"KBUILD_BTF_BIN={named}" if named else str(looked[0]),
        "correct or unset KBUILD_BTF_BIN" if named else "install kbuild-btf again",
    )


def _candidates() -> Iterator[Path]:
    # A virtual environment's python is a symbolic link, and its scripts are where the link is.
    yield Path(sys.argv[0]).absolute().parent
    yield Path(sys.executable).parent
    import sysconfig

    for scheme in (None, "posix_user"):
        yield Path(
            sysconfig.get_path("scripts", scheme) if scheme else sysconfig.get_path("scripts")
        )
    yield _PACKAGE.parent / "native" / "target" / "release"
