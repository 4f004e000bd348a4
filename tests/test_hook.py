# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The hook: one object in, its sidecar out, by the cheapest way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from support import SCRIPTS, SOURCES, compiled, kbuild_btf, missing, run

from kbuild_btf import Btf, _native
from kbuild_btf.btf import Struct

HOOK = SCRIPTS / "kbuild-btf-hook"
# Behind magic, checksum and stamp (docs/sidecar.md).
HEAD = 48


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory with one object."""
    directory = tmp_path / "tree"
    directory.mkdir()
    compiled(SOURCES / "types.c", directory / "a.o", "-O2")
    return directory


def events(cache: Path) -> str:
    path = cache / "v1/events"
    return path.read_text() if path.exists() else ""


def hook(path: Path, cache: Path, *options: str) -> str:
    """What the hook printed."""
    done = run(HOOK, *options, path, env={"KBUILD_BTF_CACHE": str(cache)})
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_miss_unchanged_hit(tree: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    sidecar = Path(_native.sidecar_path(str(tree / "a.o")))
    hook(tree / "a.o", cache)
    first = sidecar.read_bytes()
    hook(tree / "a.o", cache)
    assert events(cache) == "mu"
    sidecar.unlink()
    hook(tree / "a.o", cache)
    assert events(cache) == "muh"
    assert sidecar.read_bytes() == first


def test_a_new_file_of_the_same_content_costs_a_hash(tree: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    hook(tree / "a.o", cache)
    again = tree / "again.o"
    shutil.copyfile(tree / "a.o", again)
    again.replace(tree / "a.o")
    hook(tree / "a.o", cache)
    assert events(cache) == "mu"
    # And the next time not even that: the stamp is right again.
    sidecar = Path(_native.sidecar_path(str(tree / "a.o")))
    assert _native.write_sidecar(str(tree / "a.o")) == "unchanged"
    assert sidecar.exists()


def test_another_object_is_encoded(tree: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    hook(tree / "a.o", cache)
    compiled(SOURCES / "enums.c", tree / "a.o", "-O2")
    hook(tree / "a.o", cache)
    assert events(cache) == "mm"


def overwrite(path: Path, content: bytes) -> None:
    """In place, with the old size, and the time of modification put back, as `rsync --inplace -t`
    and `cp -p` do it, and build systems that clamp times."""
    before = path.stat()
    assert len(content) <= before.st_size
    time.sleep(0.02)  # more than the clock of a file system counts in
    with path.open("r+b") as file:
        file.write(content.ljust(before.st_size, b"\0"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    same = ("st_ino", "st_size", "st_mtime_ns")
    assert all(getattr(before, name) == getattr(after, name) for name in same)


def test_an_object_that_was_overwritten_in_place(tree: Path, tmp_path: Path) -> None:
    """Whatever its size and its time of modification say, the hook and the link see it."""
    source, cache = tmp_path / "b.c", tmp_path / "cache"
    names = ("first", "later")
    made = {}
    for name in names:
        source.write_text(f"struct {name} {{ int a; }} {name}; int f(void) {{ return 0; }}\n")
        made[name] = compiled(source, tmp_path / f"{name}.o").read_bytes()
    assert len(made["first"]) == len(made["later"])
    target = tree / "a.o"
    for see in ("hook", "link"):
        target.write_bytes(made["first"])
        hook(target, cache)
        overwrite(target, made["later"])
        if see == "hook":
            before = events(cache)
            hook(target, cache)
            assert events(cache)[len(before) :] == "m"
            continue
        linked = tree / "linked"
        linked.write_bytes(made["later"])
        done = kbuild_btf("link", "-o", tree / "out.btf", linked, target)
        assert done.returncode == 0, done.stderr
        assert Btf.load(tree / "out.btf").find(Struct, "later")


def test_another_directory_shares_the_cache(tmp_path: Path) -> None:
    """BTF has no paths, so the same source elsewhere is the same entry."""
    cache = tmp_path / "cache"
    for name in ("one", "another/deeper"):
        directory = tmp_path / name
        directory.mkdir(parents=True)
        shutil.copyfile(SOURCES / "types.c", directory / "types.c")
        compile_here = ["gcc", "-gdwarf-5", "-O2", "-c", "types.c", "-o", "types.o"]
        subprocess.run(compile_here, cwd=directory, check=True)
        hook(directory / "types.o", cache)
    assert events(cache) == "mh"
    one, other = (tmp_path / name / ".tmp_types.o.kbtf" for name in ("one", "another/deeper"))
    assert one.read_bytes()[HEAD:] == other.read_bytes()[HEAD:]


def test_what_is_encoded_is_written_once(tree: Path, tmp_path: Path) -> None:
    """Sidecar and entry are one file, also where an older sidecar lay."""
    cache = tmp_path / "cache"
    sidecar = Path(_native.sidecar_path(str(tree / "a.o")))
    for source in ("types.c", "enums.c"):
        compiled(SOURCES / source, tree / "a.o", "-O2")
        hook(tree / "a.o", cache)
        assert any(sidecar.samefile(entry) for entry in cache.rglob("*.kbtf"))
        assert sidecar.stat().st_nlink == 2
    assert events(cache) == "mm"


def test_a_hit_leaves_the_sidecar_of_another_tree_alone(tree: Path, tmp_path: Path) -> None:
    """Which was the first to make the entry. That it is used is noted all the same."""
    cache = tmp_path / "cache"
    hook(tree / "a.o", cache)
    sidecar = Path(_native.sidecar_path(str(tree / "a.o")))
    os.utime(sidecar, (10**9, 10**9))
    first = sidecar.read_bytes()
    os.utime(sidecar, (10**9, 10**9))
    other = tmp_path / "other"
    other.mkdir()
    shutil.copyfile(tree / "a.o", other / "a.o")
    hook(other / "a.o", cache)
    assert events(cache) == "mh"
    assert sidecar.stat().st_mtime == 10**9
    assert sidecar.stat().st_atime > 10**9
    assert sidecar.read_bytes() == first
    theirs = Path(_native.sidecar_path(str(other / "a.o")))
    assert not theirs.samefile(sidecar)
    assert theirs.read_bytes()[HEAD:] == first[HEAD:]
    # And both know their own object without reading it.
    hook(tree / "a.o", cache)
    hook(other / "a.o", cache)
    assert events(cache) == "mhuu"


def test_a_stamp_that_changes_is_no_damage_of_the_entry(tree: Path, tmp_path: Path) -> None:
    """The object moves, and its sidecar, which is the entry, too, gets another stamp."""
    cache = tmp_path / "cache"
    hook(tree / "a.o", cache)
    sidecar = Path(_native.sidecar_path(str(tree / "a.o")))
    shutil.copyfile(tree / "a.o", tree / "again.o")
    (tree / "again.o").replace(tree / "a.o")
    hook(tree / "a.o", cache)
    sidecar.unlink()
    hook(tree / "a.o", cache)
    assert events(cache) == "muh"


def test_a_cache_on_another_file_system_gets_a_file_of_its_own(tree: Path) -> None:
    there = Path("/dev/shm")
    if not there.is_dir() or there.stat().st_dev == tree.stat().st_dev:
        missing("no /dev/shm that is another file system than that of the tests")
    sidecar = Path(_native.sidecar_path(str(tree / "a.o")))
    with tempfile.TemporaryDirectory(dir=there) as name:
        cache = Path(name)
        hook(tree / "a.o", cache)
        (entry,) = cache.rglob("*.kbtf")
        assert entry.read_bytes() == sidecar.read_bytes()
        sidecar.unlink()
        hook(tree / "a.o", cache)
        assert events(cache) == "mh"
        left = [path.name for path in cache.rglob(".tmp_*")]
    assert left == []


def test_a_sidecar_that_cannot_be_written_is_in_the_cache(tree: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    blocked = Path(_native.sidecar_path(str(tree / "a.o")))
    blocked.mkdir()
    done = run(HOOK, tree / "a.o", env={"KBUILD_BTF_CACHE": str(cache)})
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("kbuild-btf-hook: warning: ")
    blocked.rmdir()
    hook(tree / "a.o", cache)
    assert events(cache) == "eh"
    left = [path.name for path in tmp_path.rglob(".tmp_*") if not path.name.endswith(".kbtf")]
    assert left == []


def test_many_at_once(tree: Path, tmp_path: Path) -> None:
    """Hooks of two builds that share objects and a cache; each file is always whole."""
    cache = tmp_path / "cache"
    objects = []
    for i in range(16):
        objects.append(tree / f"copy{i}.o")
        shutil.copyfile(tree / "a.o", objects[-1])
    environment = {**os.environ, "KBUILD_BTF_CACHE": str(cache)}
    running = [
        subprocess.Popen([HOOK, path], env=environment, stderr=subprocess.PIPE)
        for path in objects * 4
    ]
    for process in running:
        _, said = process.communicate(timeout=60)
        assert (process.returncode, said) == (0, b"")
    assert len(events(cache)) == 64
    contents = {Path(_native.sidecar_path(str(path))).read_bytes()[HEAD:] for path in objects}
    assert len(contents) == 1
    left = [path.name for path in tmp_path.rglob(".tmp_*") if not path.name.endswith(".kbtf")]
    assert left == [], "no temporary file stays"


def test_without_a_cache(tree: Path) -> None:
    done = run(HOOK, tree / "a.o", env={"KBUILD_BTF_CACHE": ""})
    assert (done.returncode, done.stderr) == (0, "")
    assert Path(_native.sidecar_path(str(tree / "a.o"))).exists()


def test_a_cache_that_cannot_be_used_is_no_reason_to_fail(tree: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    hook(tree / "a.o", blocked)
    assert Path(_native.sidecar_path(str(tree / "a.o"))).exists()


def test_an_object_without_debug_information_is_remembered(tree: Path, tmp_path: Path) -> None:
    run("strip", "-g", tree / "a.o")
    hook(tree / "a.o", tmp_path / "cache")
    assert Path(_native.sidecar_path(str(tree / "a.o"))).exists()
    hook(tree / "a.o", tmp_path / "cache")
    assert events(tmp_path / "cache") == "mu"


def test_says_what_kbuild_says(tree: Path, tmp_path: Path) -> None:
    path = tree / "a.o"
    assert hook(path, tmp_path / "cache", "--echo") == f"  BTF     {path}\n"


def test_bitcode_is_left_alone(tree: Path, tmp_path: Path) -> None:
    """With LTO there is nothing to encode before the link."""
    path = tree / "lto.o"
    path.write_bytes(b"BC\xc0\xde and more")
    assert hook(path, tmp_path / "cache", "--echo") == ""
    assert not Path(_native.sidecar_path(str(path))).exists()


def test_stages_are_shown_and_traced(tree: Path, tmp_path: Path) -> None:
    """The trace is an array of complete events; those of one process nest."""
    trace = tmp_path / "trace.json"
    env = {"KBUILD_BTF_CACHE": "", "KBUILD_BTF_TRACE": str(trace)}
    done = run(HOOK, "--timings", tree / "a.o", env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert {"key", "encode"} <= {line.split()[0] for line in done.stdout.splitlines()}
    out = str(tmp_path / "out.btf")
    done = kbuild_btf("encode", tree / "a.o", "-o", out, "--timings", "--trace", trace)
    assert done.returncode == 0, done.stderr
    assert f"{Path(out).stat().st_size}\n" in done.stdout
    # The closing bracket is left out, so that processes can append.
    events = json.loads(trace.read_text().rstrip().rstrip(",") + "]")
    assert [event["name"] for event in events if " " in event["name"] and "/" in event["name"]] == [
        f"hook {tree / 'a.o'}",
        f"BTF {tree / 'a.o'}",
    ]
    assert {event["ph"] for event in events} == {"X"}
    whole = events[0]
    for event in events:
        if event["pid"] == whole["pid"]:
            assert whole["ts"] <= event["ts"]
            assert event["ts"] + event["dur"] <= whole["ts"] + whole["dur"] + 1
