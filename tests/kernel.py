# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The real kernel tree of the tests: preparing it, making it, looking at what came out."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from support import ROOT, SCRIPTS, SOURCES

# It lies outside the tests' own directories, so that the next run uses it again.
DIRECTORY = Path(os.environ.get("KBUILD_BTF_TEST_DIR") or ROOT / ".test-cache").absolute()

# Which Linux: 6.12, or another by hand. CI has the time for one.
VERSION = os.environ.get("KBUILD_BTF_TEST_KERNEL") or "6.12"
_MAJOR = int(VERSION.partition(".")[0])

# What the scripts of each ask of pahole 1.31.
_ALWAYS = "encode_force,var,float,enum64,decl_tag,type_tag,optimized_func,consistent_func"
_FEATURES = {
    "6.1": _ALWAYS,
    "6.12": f"{_ALWAYS},decl_tag_kfuncs",
    "7.3": f"{_ALWAYS},layout",
}
_HOUR = 3600


class Kernel:
    """One tree below `directory`; `source` and `build` (O=) as tools/kernel lays them out."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.source = directory / f"linux-source-{VERSION}"
        self.build = directory / f"build-{VERSION}"
        self.vmlinux = self.build / "vmlinux"
        # What link-vmlinux.sh makes.
        self.image = self.build / ("vmlinux.unstripped" if _MAJOR >= 7 else "vmlinux")
        self.log = directory / f"build-{VERSION}.log"

    @property
    def environment(self) -> dict[str, str]:
        """Ours, with a cache of its own that lives as long as the tree."""
        return {
            **os.environ,
            "KBUILD_BTF_PROGRAM": str(SCRIPTS / "kbuild-btf"),
            "KBUILD_BTF_CACHE": str(self.directory / "cache"),
            # The banner is an array of char, as long as what it says.
            "KBUILD_BUILD_VERSION": "1",
            "KBUILD_BUILD_USER": "kbuild-btf",
            "KBUILD_BUILD_HOST": "test",
            "KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 1970",
        }

    @property
    def built(self) -> bool:
        """Was it built to its end, by whatever state of our programs?"""
        return self._stamp.exists()

    def prepare(self) -> None:
        """Unpack, configure and build what is not there yet, or is of other programs than ours.

        Tells on stderr how far it is. It takes as long as it takes.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        self._forget_what_other_programs_made()
        script = [str(ROOT / "tools/kernel"), "-v", VERSION, "-b", str(self.directory)]
        done = subprocess.run(script, env=self.environment, stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise SystemExit(done.returncode)
        assert Path(done.stdout.strip()) == self.build
        self._stamp.write_text(self._programs())

    def make(self, *targets: str) -> str:
        """`kbuild-btf make` in the tree; what it printed."""
        done = self.run_make(*targets)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout

    def run_make(self, *targets: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """The same, whatever comes of it, with more variables in the environment."""
        jobs = f"-j{os.cpu_count() or 1}"
        command = ("env", *(f"{name}={value}" for name, value in variables.items()))
        make = (SCRIPTS / "kbuild-btf", "make", "-C", self.build, jobs)
        return self._run(*command, *make, *targets)

    features = _FEATURES[VERSION]

    def finished(self, raw: bytes, directory: Path) -> bytes:
        """Our BTF of vmlinux as it is found there: before 7.0 unchanged, then as the kernel's own
        program leaves it. Its files go to `directory`."""
        if _MAJOR < 7:
            return raw
        given, image = directory / "raw.btf", directory / "image"
        given.write_bytes(raw)
        image.symlink_to(self.build / ".tmp_vmlinux1")
        program = self.build / "tools/bpf/resolve_btfids/resolve_btfids"
        done = self._run(program, "--fatal_warnings", "--btf", given, image)
        assert (done.returncode, done.stderr) == (0, "")
        return image.with_name("image.BTF").read_bytes()

    def sidecars(self) -> dict[Path, int]:
        """Each sidecar and when it was written, in nanoseconds."""
        return {path: path.stat().st_mtime_ns for path in self.build.rglob(".tmp_*.o.kbtf")}

    def modules(self) -> list[Path]:
        """The modules, in the order of their paths."""
        return sorted(self.build.rglob("*.ko"))

    def outside(self, directory: Path, *words: str) -> list[Path]:
        """Build the modules of tests/c/outside in that directory; `words` are make's as well."""
        shutil.copytree(SOURCES / "outside", directory, dirs_exist_ok=True)
        self.make(f"M={directory}", *words, "modules")
        return sorted(directory.glob("*.ko"))

    def _forget_what_other_programs_made(self) -> None:
        """Undo what an earlier state of our programs encoded and linked, and only that."""
        if not self.build.exists() or self._recorded() == self._programs():
            return
        for sidecar in self.sidecars():
            sidecar.unlink()
            # What make would do had it just compiled the object.
            compiled = sidecar.name.removeprefix(".tmp_").removesuffix(".kbtf")
            self._run(SCRIPTS / "kbuild-btf-hook", sidecar.with_name(compiled))
        for made in self._linked():
            made.unlink(missing_ok=True)

    def _run(self, *argv: str | Path) -> subprocess.CompletedProcess[str]:
        words = [str(word) for word in argv]
        return subprocess.run(
            words, env=self.environment, capture_output=True, text=True, timeout=_HOUR
        )

    def _linked(self) -> Iterator[Path]:
        yield self.image
        yield from self.modules()

    @property
    def _stamp(self) -> Path:
        return self.build / ".programs-of-the-tests"

    def _recorded(self) -> str:
        return self._stamp.read_text() if self._stamp.exists() else ""

    @staticmethod
    def _programs() -> str:
        names = ("kbuild-btf-hook", "kbuild-btf-pahole")
        return "".join(
            hashlib.sha256((SCRIPTS / name).read_bytes()).hexdigest() + "\n" for name in names
        )


if __name__ == "__main__":
    Kernel(DIRECTORY).prepare()
