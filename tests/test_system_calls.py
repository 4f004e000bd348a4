# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Each system call that opens, maps, writes, links or renames fails once, or is the last.

On the mini-kernel. Whatever happens, every file is whole, as it was or as it is to be; what can
still say something says one line; and the next run, which nothing disturbs, ends as if nothing had
been. The points are those of a run that was looked at: for each scene, call and kind of file the
first and the last, with each error. How many there were is said at the end of pytest.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
from injection import Call, injected, require_tracing, system_calls
from minitree import HEAD, MiniTree, mini_kernel, programs, sidecar
from support import SCRIPTS, run

from kbuild_btf.cache import Cache

HOOK, FRONT, VERBS = (SCRIPTS / f"kbuild-btf{name}" for name in ("-hook", "-pahole", ""))

# What each can fail with: a disk, a full one, a signal, too many files, no memory.
DISK = ("EIO", "ENOSPC")
ERRORS = {
    "openat": ("EIO", "EMFILE", "EINTR"),
    "read": ("EIO", "EINTR"),
    "mmap": ("ENOMEM",),
    "ftruncate": (*DISK, "EINTR"),
    **dict.fromkeys(("write", "writev", "pwrite64"), (*DISK, "EINTR")),
    **dict.fromkeys(("copy_file_range", "sendfile"), (*DISK, "ENOMEM")),
    **dict.fromkeys(("mkdir", "link", "linkat", "rename", "renameat", "renameat2"), DISK),
    **dict.fromkeys(("chmod", "fchmod", "fchmodat", "utimensat", "unlink", "unlinkat"), ("EIO",)),
}
# Names that files have until they are renamed.
TEMPORARY = re.compile(r".*\.[0-9a-f]{16}")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MiniTree:
    """The mini-kernel, built; with each linked file as it was before BTF came in (.before), and
    what was asked for (.asked)."""
    require_tracing()
    directory = tmp_path_factory.mktemp("made")
    note = """
    for file; do :; done
    [ "$1" = --version ] || { cp -p "$file" "$file.before"; printf '%s\\n' "$@" >"$file.asked"; }
    exec @REAL@ "$@"
    """
    tree = mini_kernel(directory)
    tree.environ["KBUILD_BTF_BIN"] = str(programs(directory / "bin", pahole=note))
    assert tree.make("-j4").stderr == ""
    return tree


@dataclass
class Scene:
    """A program, what lies there before it runs, and what a run by itself leaves.

    `start` is a directory with `tree` and `cache`.
    """

    name: str
    argv: list[str | Path]
    start: Path
    linked: str = ""
    """What a linker writes anew before the program runs again."""

    def at(self, place: Path) -> Path:
        """A copy to run in."""
        if place.exists():
            shutil.rmtree(place)
        shutil.copytree(self.start, place, copy_function=shutil.copy2, symlinks=True)
        return place

    def environ(self, place: Path) -> dict[str, str]:
        """Its own cache."""
        return {"KBUILD_BTF_CACHE": str(place / "cache")}

    def run(self, place: Path) -> subprocess.CompletedProcess[str]:
        """Undisturbed."""
        return run(*self.argv, cwd=place / "tree", env=self.environ(place))

    def calls(self, place: Path) -> list[Call]:
        """Of a run there."""
        return system_calls(self.argv, place / "tree", self.environ(place))


def prepared(made: MiniTree, place: Path, name: str) -> Scene:
    """What is to be disturbed. Each starts with the whole tree as the build left it."""
    shutil.copytree(made.directory, place / "tree", copy_function=shutil.copy2)
    shutil.copytree(made.directory.parent / "cache", place / "cache", copy_function=shutil.copy2)
    tree, cache = place / "tree", place / "cache"
    kept = [tree / sidecar(str(p.relative_to(tree))) for p in tree.rglob("*.o")]
    kept = [path for path in kept if path.exists()]
    victim = "kernel/sched.o"

    def before(linked: str) -> list[str | Path]:
        shutil.copy2(tree / f"{linked}.before", tree / linked)
        asked = (tree / f"{linked}.asked").read_text().splitlines()
        # Threads would make the calls of one run others than those of the next.
        return [FRONT, *("-j1" if word.startswith("-j") else word for word in asked)]

    def of_another_object() -> None:
        shutil.copy2(tree / sidecar("kernel/main.o"), tree / sidecar(victim))

    def for_modules() -> None:
        for path in (cache / "v1").rglob("*.kbtf"):
            if path.read_bytes()[:4] == b"kbtm":
                path.unlink()

    match name:
        case "hook: nothing is there":
            (tree / sidecar(victim)).unlink()
            shutil.rmtree(cache)
            return Scene(name, [HOOK, victim], place)
        case "hook: the cache has it":
            of_another_object()
            return Scene(name, [HOOK, victim], place)
        case "hook: --drop":
            of_another_object()
            return Scene(name, [HOOK, "--drop", victim], place)
        case "hook: --drop --section":
            return Scene(name, [HOOK, "--drop", "--section", victim], place)
        case "link: sidecars are there":
            return Scene(name, before(".tmp_vmlinux1"), place, ".tmp_vmlinux1")
        case "link: nothing is there":
            for path in kept:
                path.unlink()
            shutil.rmtree(cache)
            return Scene(name, before(".tmp_vmlinux1"), place, ".tmp_vmlinux1")
        case "module: the first":
            (tree / ".tmp_vmlinux.btf-index").unlink()
            for_modules()
            return Scene(name, before("drivers/mini.ko"), place, "drivers/mini.ko")
        case "module: the cache has it":
            return Scene(name, before("drivers/mini.ko"), place, "drivers/mini.ko")
        case "embed":
            argv: list[str | Path] = [VERBS, "encode", "--in-place", "-j1", victim]
            return Scene(name, argv, place, victim)
        case _:
            assert name == "cache: --clean"
            (cache / "v1/events").write_text("h" * 70_000)
            (cache / "v1/events.old").write_text("m" * 10)
            return Scene(name, [VERBS, "cache", "--clean", "--limit", "0"], place)


SCENES = [
    "hook: nothing is there",
    "hook: the cache has it",
    "hook: --drop",
    "hook: --drop --section",
    "link: sidecars are there",
    "link: nothing is there",
    "module: the first",
    "module: the cache has it",
    "embed",
    "cache: --clean",
]


class Point(NamedTuple):
    """Where something happens, and what; `text` is the call of the run that was looked at."""

    call: Call
    what: str
    text: str


def kind(path: Path, place: Path) -> str:
    """Files that mean the same to a program have one."""
    name = re.sub(r"v1/[0-9a-f]{2}\b", "v1/*", str(path.relative_to(place)))
    name = re.sub(r"[0-9a-f]{16,32}", "#", name)
    return re.sub(r"\w+/(\.tmp_)*\w+(\.mod)?\.o\b", r"*/\1*.o", name)


def points(calls: list[Call], place: Path) -> list[Point]:
    """First and last call of each name and kind of file, with all that can go wrong there."""
    groups: dict[tuple[str, str], list[int]] = {}
    for i, call in enumerate(calls):
        if call.name in ERRORS and call.path and call.path.is_relative_to(place):
            groups.setdefault((call.name, kind(call.path, place)), []).append(i)
    found = []
    for at in groups.values():
        for i in sorted({at[0], at[-1]}):
            call, text = calls[i], calls[i].text
            errors = list(ERRORS[call.name])
            if call.name == "openat" and "O_CREAT" in text:
                errors.append("ENOSPC")
            found += [Point(call, f"error={error}", f"{error}: {text}") for error in errors]
            found.append(Point(call, "signal=KILL", f"killed before {text}"))
            found.append(Point(calls[i + 1], "signal=KILL", f"killed after {text}"))
    return found


def files(place: Path) -> dict[str, bytes]:
    """All contents; without stamps, which tell the inode of another file, and without counts."""

    def content(path: Path) -> bytes:
        data = path.read_bytes()
        return data[:16] + data[HEAD:] if data[4:7] == b"\r\n\x1a" else data

    counts = re.compile(r".*/(events.*|totals\.json|lock)")
    return {
        str(path.relative_to(place)): content(path)
        for path in place.rglob("*")
        if path.is_file() and not counts.fullmatch(str(path))
    }


def temporary(found: dict[str, bytes]) -> set[str]:
    """Those that wait to be renamed."""
    return {name for name in found if TEMPORARY.fullmatch(name)}


def differ(one: dict[str, bytes], other: dict[str, bytes]) -> set[str]:
    """Names of what is not in both with the same content. What only saves time may be missing."""
    both = one.keys() & other.keys()
    spared = re.compile(r"cache/.*|.*-index")
    missing = {name for name in one.keys() ^ other.keys() if not spared.fullmatch(name)}
    return missing | {name for name in both if one[name] != other[name]}


def wrong(scene: Scene, point: Point, place: Path, end: dict[str, bytes]) -> Iterator[str]:
    """What is not as it should be when this happens."""
    before = files(scene.at(place))
    done = injected(scene.argv, point.call, point.what, place / "tree", scene.environ(place))
    after = files(place)
    killed = point.what == "signal=KILL"
    said = done.stderr.splitlines()
    if not killed:
        statuses = (0,) if scene.name.startswith("hook") else (0, 1)
        if done.returncode not in statuses or len(said) > 1:
            yield f"exit status {done.returncode}, {done.stderr}"
        if any(word in done.stderr for word in ("internal error", "panicked", "Traceback")):
            yield done.stderr
        if done.returncode and not said:
            yield "no message"
        if temporary(after) and point.call.name != "unlink":
            yield f"left {temporary(after)}"
        if (
            not done.returncode
            and scene.linked
            and after[f"tree/{scene.linked}"] != end[f"tree/{scene.linked}"]
        ):
            yield "exit status 0 without the BTF"
    whole = after.keys() - temporary(after)
    if torn := {name for name in whole if after[name] not in (before.get(name), end.get(name))}:
        yield f"neither old nor new: {torn}"
    if scene.linked:
        shutil.copy2(scene.start / "tree" / scene.linked, place / "tree" / scene.linked)
    again = scene.run(place)
    if again.returncode or again.stderr:
        yield f"the next run: exit status {again.returncode}, {again.stderr}"
    found = files(place)
    left = temporary(found)
    if different := differ({n: c for n, c in found.items() if n not in left}, end):
        yield f"the next run left others: {different}"
    yield from not_swept(left, place)


def not_swept(left: set[str], place: Path) -> Iterator[str]:
    """make clean removes names in .tmp_, the cache what nobody writes any more."""
    for name in left:
        path = place / name
        if name.startswith("tree/"):
            if not path.name.startswith(".tmp_"):
                yield f"make clean leaves {name}"
        else:
            os.utime(path, (0, 0))
            Cache(place / "cache").clean(1 << 30)
            if path.exists():
                yield f"cache --clean leaves {name}"


@pytest.mark.parametrize("name", SCENES)
def test_each_call_fails_once(
    name: str, made: MiniTree, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    scene = prepared(made, tmp_path / "start", name)
    place = scene.at(tmp_path / "place")
    chosen = points(scene.calls(place), place)
    end = files(place)
    assert not temporary(end)
    assert differ(files(scene.start), end) or scene.name.startswith("cache")
    found = [
        f"{point.text}\n    {text}"
        for point in chosen
        for text in wrong(scene, point, tmp_path / "place", end)
    ]
    record_property("points", len(chosen))
    print(f"{name}: {len(chosen)} points")
    assert not found, f"{len(found)} of {len(chosen)}\n" + "\n".join(found)
    assert len(chosen) >= 20
