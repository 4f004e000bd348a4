# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Build a small kernel with kbuild-btf, change one file, build again, and show what happened."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from .. import cache, kbuild, paths
from ..btf import Btf, Struct
from ..errors import Error
from ..progress import Line
from ..terminal import styled, wrapped
from . import doctor

# What makes a good example in a real kernel: known to many, and not hundreds of lines long.
_KERNEL_STRUCTS = ("dentry", "page", "list_head")
# An object that every kernel has, not the largest and not the smallest.
_KERNEL_OBJECTS = ("kernel/fork.o", "init/main.o")

# A short line of Kbuild: a tag in capitals, perhaps [M], and a file.
_SHORT_LINE = re.compile(r"  ([A-Z][A-Z0-9_]*) +(?:\[M\] +)?(\S+)")
_EDIT = ("kernel/sched.c", "\tu32 length;\n", "\tu32 length;\n\tu32 longest;\n")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kbuild-btf demo`."""
    parser.add_argument(
        "--tree",
        metavar="DIR",
        type=Path,
        help="a configured Linux tree (or its O= directory) to build, in place of the small one",
    )
    parser.add_argument(
        "-j", "--jobs", metavar="N", type=int, help="for make (default: 2; with --tree: all cores)"
    )
    parser.add_argument(
        "--keep", action="store_true", help="leave the small kernel's directory for a look"
    )


def run(args: argparse.Namespace) -> int:
    """Show it. Raises Error when a build fails."""
    if args.tree:
        _kernel(args.tree, args.jobs or os.cpu_count() or 1)
        return 0
    directory = Path(tempfile.mkdtemp(prefix="kbuild-btf-demo-"))
    keep = args.keep
    try:
        _mini(directory, args.jobs or 2)
    except Error:
        keep = True  # its message names files in there
        raise
    finally:
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)
    if keep:
        print(f"\nThe tree is in {directory}")
    return 0


def _mini(directory: Path, jobs: int) -> None:
    tree = directory / "mini-kernel"
    shutil.copytree(paths.fixtures() / "mini-kernel", tree)
    count = Counter(path.suffix for path in tree.rglob("*") if path.is_file())
    # A cache of its own: what is shown must not depend on what was built here before.
    store = directory / "cache"
    build = _Build(tree, jobs, {"KBUILD_BTF_CACHE": str(store)})

    _heading("A kernel in miniature")
    files = f"{count['.c']} C files, {count['.S']} assembler file, lib.a and a module"
    print(f"{files}; in\n{tree}")

    _heading(f"1. Build it: kbuild-btf make -j{jobs}")
    build.make("all")
    _show_btf(tree / "vmlinux", "task")
    module = Btf.load(tree / "drivers/mini.ko", Btf.load(tree / "vmlinux"))
    print(f"\ndrivers/mini.ko: {_kinds(module)} of its own")

    name, before, after = _EDIT
    _heading(f"2. Edit {name}: struct run_queue gets a member; build again")
    source = tree / name
    source.write_text(source.read_text().replace(before, after))
    build.make("all")
    _show_struct(Btf.load(tree / "vmlinux"), "run_queue")

    _heading("3. make clean, and build the same again")
    build.make("clean", quiet=True)
    hits = _hits(store)
    build.make("all", quiet=True)
    print(f"{_hits(store) - hits} objects were not encoded again: the cache had their content")


def _kernel(directory: Path, jobs: int) -> None:
    tree = kbuild.find_tree(directory.resolve())
    if tree is None:
        raise Error(
            "not a Linux tree", str(directory), "name its sources or the O= directory of a build"
        )
    if not tree.configured:
        raise Error(
            "the tree is not configured",
            str(tree.objects),
            "run kbuild-btf make menuconfig there, or let tools/kernel prepare a small one",
        )
    # Better now than when all has been compiled.
    for finding in (*doctor.tree(tree.objects), *doctor.build(tree)):
        if finding.state == doctor.MISSING:
            what = f"{finding.what}: {finding.text}"
            raise Error(what, str(tree.objects), "kbuild-btf doctor TREE looks at all of it")
    build = _Build(tree.objects, jobs, terse=True)
    _heading(f"Linux {tree.version or '(unknown version)'} in {tree.objects}")
    if problem := kbuild.takeover(tree.source).problem:
        print(problem)

    _heading(f"1. Build it: kbuild-btf make -j{jobs} vmlinux")
    build.make("vmlinux")
    image = tree.objects / "vmlinux"
    known = Btf.load(image)
    name = next((n for n in _KERNEL_STRUCTS if known.find(Struct, n)), "")
    _show_btf(image, name)

    # The sources are not ours to edit, and need not be: a missing object is compiled again.
    again = next((n for n in _KERNEL_OBJECTS if (tree.objects / n).is_file()), "")
    if not again:
        return
    _heading(f"2. Compile {again} again, and find its types as they were")
    (tree.objects / again).unlink()
    build.make("vmlinux")


class _Build:
    """make in one directory, with kbuild-btf switched on; what it did to the sidecars."""

    def __init__(
        self,
        directory: Path,
        jobs: int,
        more: Mapping[str, str] | None = None,
        terse: bool = False,
    ) -> None:
        self.directory = directory
        self.jobs = jobs
        self.terse = terse
        self.environ = {**os.environ, **kbuild.build_environment(), **(more or {})}
        # The demo may itself be started by a make, whose flags and jobs are not for this one.
        for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "GNUMAKEFLAGS"):
            self.environ.pop(name, None)

    def make(self, target: str, quiet: bool = False) -> None:
        """Run it; its output indented, then a line with the time and what was encoded."""
        objects, sidecars = self._objects(), self._sidecars()
        start = time.monotonic()
        command = ["make", f"-j{self.jobs}", *(["-s"] if quiet else []), target]
        sys.stdout.flush()
        status = self._run(command)
        seconds = time.monotonic() - start
        if status:
            raise Error(
                f"make {target} failed with status {status}",
                str(self.directory),
                "its last lines above say why; kbuild-btf doctor says what may be missing",
            )
        if target == "clean":
            return
        compiled = _changed(objects, self._objects())
        after = self._sidecars()
        new = _changed(sidecars, after)
        print(
            f"\n{seconds:.1f} s. Objects compiled: {compiled}. Objects with their types beside"
            f" them: {len(after)},\nof these {new} new in this build,"
            f" {len(after) - new} left as they were."
        )

    def _run(self, command: list[str]) -> int:
        """Run make and show what it says; the exit status. It ends when this is interrupted."""
        line = Line()
        try:
            # A group of its own, so that all that it has started can be ended. What would ask a
            # question (a configuration with new options) fails, since nobody could see it.
            process = subprocess.Popen(
                command,
                cwd=self.directory,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError as failed:
            raise kbuild.no_make(failed) from failed
        with process:
            try:
                for number, said in enumerate(process.stdout or (), 1):
                    if self.terse and _is_step(said):
                        line.show(f"step {number}: {said.strip()}")
                    else:
                        line.close()
                        print("    " + said.rstrip(), flush=True)
            except BaseException:
                # Compilers remove what they have half written, which takes a moment.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
                process.wait()
                raise
            finally:
                line.close()
        return process.returncode

    def _objects(self) -> dict[Path, tuple[int, int]]:
        """Those that have a sidecar, as all have that a hook saw."""
        sidecars = self.directory.rglob(".tmp_*.o.kbtf")
        return _stamps(
            path.with_name(path.name.removeprefix(".tmp_").removesuffix(".kbtf"))
            for path in sidecars
        )

    def _sidecars(self) -> dict[Path, tuple[int, int]]:
        return _stamps(self.directory.rglob(".tmp_*.o.kbtf"))


def _stamps(paths: Iterable[Path]) -> dict[Path, tuple[int, int]]:
    """What changes when a file is written anew."""
    found = {}
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            stat = path.stat()
            found[path] = (stat.st_ino, stat.st_mtime_ns)
    return found


def _changed(before: Mapping[Path, object], after: Mapping[Path, object]) -> int:
    return sum(before.get(path) != stamp for path, stamp in after.items())


def _is_step(line: str) -> bool:
    """Is this one of the thousands of steps before the link, not worth a line of a demo?"""
    found = _SHORT_LINE.match(line)
    return found is not None and not (
        found[1] in ("LD", "BTF", "BTFIDS") and Path(found[2]).name.startswith((".", "vmlinux"))
    )


def _hits(store: Path) -> int:
    return cache.Cache(store).statistics(0).hits


def _show_btf(image: Path, struct: str) -> None:
    btf = Btf.load(image)
    print(f"\n{image.name}: {wrapped(_kinds(btf), len(image.name) + 2)}")
    if struct:
        _show_struct(btf, struct)


def _show_struct(btf: Btf, name: str) -> None:
    from ..btf.outline import outline

    for found in btf.find(Struct, name)[:1]:
        print(f"\nkbuild-btf dump -C {name} {Path(btf.where).name}\n\n{outline(btf, found)}")


def _kinds(btf: Btf) -> str:
    """How many types there are, in all and of each kind, most frequent first."""
    count = Counter(found.kind.name for found in btf)
    return f"{count.total():,} types: " + ", ".join(
        f"{number:,} {name}" for name, number in count.most_common()
    )


def _heading(text: str) -> None:
    bold = styled(text, "bold")
    print(f"\n{bold}" if bold != text else f"\n{text}\n{'-' * len(text)}")
