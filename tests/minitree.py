# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The bundled mini-kernel in a directory of the test's own, and programs that only take notes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from support import SCRIPTS, require

from kbuild_btf import kbuild, paths
from kbuild_btf.btf.elf import section

# The objects that its makefiles put into vmlinux, into lib.a, and into the module.
BUILTIN = [
    *(f"kernel/{name}.o" for name in ("main", "sched", "stats", "fallback", "arch", "entry")),
    *(f"drivers/{name}.o" for name in ("stats", "console")),
]
LIBRARY = ["lib/checksum.o", "lib/unused.o"]
MODULE = ["drivers/mini_main.o", "drivers/mini_table.o"]
# Compiled by the same rule, but on none of Kbuild's three lists.
NOT_KERNEL = ["kernel/trampoline.o"]

HOOK = """#!/bin/sh
echo "$*" >>"$STUB_LOG/hook"
if [ "$1" = --echo ]; then echo "  BTF     $2"; fi
"""

# What a pahole has to do for the build to go on: put a section .BTF into the file.
PAHOLE = """#!/bin/sh
if [ "$1" = --version ]; then echo v1.31; exit; fi
echo "$*" >>"$STUB_LOG/pahole"
for file; do :; done
echo "$file is BTF" >"$STUB_LOG/blob"
objcopy --remove-section .BTF --add-section .BTF="$STUB_LOG/blob" "$file"
"""


def script(path: Path, text: str) -> Path:
    """An executable file."""
    path.write_text(text)
    path.chmod(0o755)
    return path


@dataclass
class MiniTree:
    """A copy of the mini-kernel and how it is built."""

    directory: Path
    environ: dict[str, str] = field(default_factory=dict)

    @classmethod
    def copy(cls, directory: Path, environ: Mapping[str, str]) -> MiniTree:
        """Make the copy; builds get `environ`, and nothing of a make that runs the tests."""
        shutil.copytree(paths.fixtures() / "mini-kernel", directory)
        clean = {
            name: value
            for name, value in os.environ.items()
            if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEFILES", "GNUMAKEFLAGS")
            and not name.startswith("KBUILD_BTF")
        }
        return cls(directory, {**clean, **environ})

    def make(
        self, *arguments: str, status: int = 0, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run make; its result, after a check of its exit status."""
        done = subprocess.run(
            ["make", *arguments],
            cwd=self.directory,
            env={**self.environ, **variables},
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done

    def times(self, *names: str) -> dict[str, int]:
        """When these files were written, in nanoseconds."""
        return {name: (self.directory / name).stat().st_mtime_ns for name in names}

    def replace(self, name: str, old: str, new: str) -> None:
        """Edit a file; the text must be there."""
        text = (self.directory / name).read_text()
        assert old in text
        (self.directory / name).write_text(text.replace(old, new))

    @property
    def trace(self) -> Path:
        """What the linker wrapper writes."""
        return self.directory / ".tmp_kbuild-btf..tmp_vmlinux1.trace"


@dataclass
class Stubs:
    """A directory of executables that log their calls."""

    directory: Path

    @classmethod
    def create(cls, directory: Path) -> Stubs:
        """Write both."""
        directory.mkdir()
        script(directory / "kbuild-btf-hook", HOOK)
        script(directory / "kbuild-btf-pahole", PAHOLE)
        return cls(directory)

    @property
    def environ(self) -> dict[str, str]:
        """Switched on, with these programs."""
        return {
            "MAKEFILES": str(paths.snippet()),
            "KBUILD_BTF": "1",
            "KBUILD_BTF_BIN": str(self.directory),
            "STUB_LOG": str(self.directory),
        }

    def calls(self, name: str) -> list[str]:
        """Arguments of each call of "hook" or "pahole" so far, one string per call."""
        log = self.directory / name
        return log.read_text().splitlines() if log.exists() else []

    def forget(self) -> None:
        """Start new logs."""
        for name in ("hook", "pahole"):
            (self.directory / name).unlink(missing_ok=True)


# Everything of the mini-kernel that a change in how it is built must not change.
PRODUCTS = ("vmlinux", "drivers/mini.ko")

# Magic, checksum and stamp of a sidecar (docs/sidecar.md).
HEAD = 48


def mini_kernel(directory: Path) -> MiniTree:
    """A copy of the sources with kbuild-btf switched on; its cache is `directory`/cache."""
    require("make", "gcc", "ld", "ar", "objcopy", "nm")
    tree = MiniTree.copy(directory / "tree", {})
    tree.environ |= kbuild.build_environment(tree.environ)
    tree.environ["KBUILD_BTF_CACHE"] = str(directory / "cache")
    return tree


def programs(directory: Path, **instead: str) -> Path:
    """A directory for KBUILD_BTF_BIN with our two programs.

    `instead` gives, for hook and pahole, the text of a script to stand in the program's place; in
    it @REAL@ is the path of the program.
    """
    directory.mkdir()
    for name in ("hook", "pahole"):
        real = SCRIPTS / f"kbuild-btf-{name}"
        if name in instead:
            text = "#!/bin/sh\n" + instead[name].replace("@REAL@", str(real)) + "\n"
            script(directory / real.name, text)
        else:
            (directory / real.name).symlink_to(real)
    return directory


def products(tree: MiniTree) -> list[bytes]:
    """The BTF of each. (Their DWARF has the path of the tree, which differs.)"""
    found = [
        section(memoryview((tree.directory / name).read_bytes()), ".BTF", name) for name in PRODUCTS
    ]
    assert all(found)
    return [bytes(contents) for contents in found if contents is not None]


def sidecar(name: str) -> str:
    """Where the sidecar of an object is: dir/.tmp_<name>.o.kbtf"""
    path = Path(name)
    return str(path.with_name(f".tmp_{path.name}.kbtf"))


def sidecars(tree: MiniTree) -> dict[str, bytes]:
    """Each sidecar's content; without its head, which tells the inode of the object (a copy of a
    tree has others)."""
    return {
        str(path.relative_to(tree.directory)): path.read_bytes()[HEAD:]
        for path in tree.directory.rglob(".tmp_*.o.kbtf")
    }
