# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Files that others wrote, or that are no files: neither waited for, nor believed, nor run."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from elfwriter import SHF_COMPRESSED
from support import SCRIPTS, compiled, kbuild_btf, missing, require, run

from kbuild_btf import cache, kbuild

SOMEBODY = 12345
HOOK = SCRIPTS / "kbuild-btf-hook"


@pytest.fixture
def object_file(tmp_path: Path) -> Path:
    source = tmp_path / "a.c"
    source.write_text("struct here { int a; }; int f(struct here *h) { return h->a; }")
    return compiled(source, tmp_path / "a.o")


def hook(path: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HOOK, path],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )


def entry(cache: Path) -> Path:
    """The only entry of a cache."""
    (found,) = (cache / "v1").rglob("*.kbtf")
    return found


def sidecar(path: Path) -> Path:
    return path.with_name(f".tmp_{path.name}.kbtf")


def give_away(path: Path) -> None:
    """To another user, which only root can."""
    if os.geteuid():
        missing("only root can make files of another user")
    os.chown(path, SOMEBODY, SOMEBODY)


# --- what is no file ------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["pipe", "device", "directory"])
def test_objects_that_are_no_files(what: str, tmp_path: Path) -> None:
    path = tmp_path / "a.o"
    match what:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "directory":
            path.mkdir()
    # A hook never fails a build.
    done = hook(path)
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    for verb in ("encode", "link"):
        done = kbuild_btf(verb, path)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert str(path) in done.stderr


def test_a_pipe_in_place_of_what_is_kept(object_file: Path, own_cache: Path) -> None:
    """Sidecar, entry of the cache and events: as if nothing were there."""
    assert hook(object_file).returncode == 0
    made = sidecar(object_file).read_bytes()
    kept, counted = entry(own_cache), own_cache / "v1/events"
    for places in ([sidecar(object_file)], [kept, sidecar(object_file)], [counted]):
        for place in places:
            place.unlink()
            os.mkfifo(place)
        done = hook(object_file)
        assert (done.returncode, done.stderr) == (0, "")
        assert sidecar(object_file).is_file()
        assert sidecar(object_file).read_bytes()[64:] == made[64:]
    assert kept.is_file()
    done = kbuild_btf("cache")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["a.mod", ".tmp_kbuild-btf.a.ko.trace"])
def test_a_pipe_in_place_of_a_list_of_objects(name: str, object_file: Path) -> None:
    module = object_file.with_suffix(".ko")
    shutil.copyfile(object_file, module)
    os.mkfifo(object_file.with_name(name))
    done = kbuild_btf("link", module)
    assert (done.returncode, done.stdout) == (1, "")
    assert name in done.stderr
    assert "not a regular file" in done.stderr


# --- what others wrote ----------------------------------------------------------------------------


def test_entries_of_other_users(object_file: Path, own_cache: Path) -> None:
    assert hook(object_file).returncode == 0
    give_away(entry(own_cache))

    def counts() -> tuple[int, int]:
        events = (own_cache / "v1/events").read_text()
        return events.count("h"), events.count("m")

    def again(**environ: str) -> None:
        sidecar(object_file).unlink()
        os.utime(object_file)
        assert hook(object_file, **environ).returncode == 0

    hits, misses = counts()
    again(KBUILD_BTF_CACHE_SHARED="1")
    assert counts() == (hits + 1, misses)
    again()
    assert counts() == (hits + 1, misses + 1)
    assert entry(own_cache).stat().st_uid == 0
    again()
    assert counts() == (hits + 2, misses + 1)


@pytest.mark.parametrize(("shared", "mode"), [("0", 0o700), ("1", 0o755)])
def test_a_cache_is_of_its_user_alone(
    shared: str, mode: int, object_file: Path, tmp_path: Path
) -> None:
    """Unless others are to use it: as the umask says then."""
    cache = tmp_path / "cache"
    environ = {"KBUILD_BTF_CACHE": str(cache), "KBUILD_BTF_CACHE_SHARED": shared}
    before = os.umask(0o022)
    try:
        assert hook(object_file, **environ).returncode == 0
    finally:
        os.umask(before)
    found = [path for path in (cache, *cache.rglob("*")) if path.is_dir()]
    assert len(found) == 3
    assert {path.stat().st_mode & 0o777 for path in found} == {mode}


def test_events_that_lead_elsewhere(object_file: Path, own_cache: Path, tmp_path: Path) -> None:
    valuable = tmp_path / "valuable"
    valuable.write_text("as it was")
    (own_cache / "v1").mkdir()
    (own_cache / "v1/events").symlink_to(valuable)
    assert hook(object_file).returncode == 0
    assert valuable.read_text() == "as it was"


# --- sizes that are only said ---------------------------------------------------------------------


def with_sizes(path: Path, size: Callable[[int], int]) -> None:
    """Change what each compressed section says of its size (Elf64_Shdr, Elf64_Chdr)."""
    data = bytearray(path.read_bytes())
    (headers,) = struct.unpack_from("<Q", data, 40)
    (count,) = struct.unpack_from("<H", data, 60)
    changed = 0
    for at in range(headers, headers + count * 64, 64):
        flags, _, offset = struct.unpack_from("<3Q", data, at + 8)
        if flags & SHF_COMPRESSED:
            (said,) = struct.unpack_from("<Q", data, offset + 8)
            struct.pack_into("<Q", data, offset + 8, size(said))
            changed += 1
    assert changed > 1
    path.write_bytes(data)


@pytest.mark.parametrize("how", ["zlib", "zstd"])
def test_compressed_sections_that_say_too_much(how: str, object_file: Path) -> None:
    """Refused by what is said, before any memory is taken."""
    done = run("objcopy", f"--compress-debug-sections={how}", object_file)
    if done.returncode:
        missing(f"objcopy cannot compress by {how}")
    assert hook(object_file).returncode == 0
    sidecar(object_file).unlink()
    with_sizes(object_file, lambda size: size + (4 << 30))
    limited = ["sh", "-c", 'ulimit -v 1000000; exec "$@"', "sh"]
    done = run(*limited, HOOK, object_file)
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert "its compressed sections would be" in done.stderr
    assert not sidecar(object_file).exists()


def test_what_is_small_may_be_compressed_as_much_as_it_likes(tmp_path: Path) -> None:
    """A megabyte of names that are nearly alike."""
    source = tmp_path / "a.c"
    source.write_text("\n".join(f"struct {'s' * 500}{i} {{ int a; }} v{i};" for i in range(2000)))
    path = compiled(source, tmp_path / "a.o")
    size = path.stat().st_size
    assert run("objcopy", "--compress-debug-sections=zlib", path).returncode == 0
    assert path.stat().st_size < size // 4
    done = kbuild_btf("encode", "-o", tmp_path / "a.btf", path)
    assert done.returncode == 0, done.stderr[:500]


# --- what is not there, or not any more -----------------------------------------------------------


def test_a_file_of_a_terabyte_that_takes_no_room(object_file: Path) -> None:
    """Neither its holes nor its length are believed to be memory."""
    with object_file.open("r+b") as file:
        try:
            file.truncate(1 << 40)
        except OSError:
            missing("a file system that takes such a file")
    limited = ["sh", "-c", 'ulimit -d 100000; exec "$@"', "sh"]
    done = run(*limited, HOOK, object_file)
    assert (done.returncode, done.stderr) == (0, "")
    made = sidecar(object_file)
    with made.open("r+b") as file:
        file.truncate(1 << 40)
    os.utime(object_file)
    done = run(*limited, HOOK, object_file)
    assert (done.returncode, done.stderr) == (0, "")
    assert made.stat().st_size < 1 << 20


def test_a_file_that_becomes_shorter(tmp_path: Path) -> None:
    """While it is read: one message. Time after time, until it was shortened just then."""
    source, path = tmp_path / "a.c", tmp_path / "a.o"
    source.write_text("\n".join(f"struct s{i} {{ int a{i}; }} v{i};" for i in range(20_000)))
    compiled(source, path)
    whole = path.read_bytes()
    statuses = set()
    for wait in range(60):
        path.write_bytes(whole)
        sidecar(path).unlink(missing_ok=True)
        program = subprocess.Popen(
            [
                SCRIPTS / "kbuild-btf-pahole",
                "-J",
                f"--btf_encode_detached={tmp_path / 'out'}",
                path,
            ],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        time.sleep(wait / 2000)
        os.truncate(path, 4096)
        _, said = program.communicate(timeout=60)
        statuses.add(program.returncode)
        assert program.returncode in (0, 1), said
        assert said.count("\n") <= 1
    assert 1 in statuses


# --- where it writes, and what it says ------------------------------------------------------------


def test_a_list_that_names_objects_of_another_tree(tmp_path: Path, own_cache: Path) -> None:
    """They are read, and nothing is left there."""
    tree, other = tmp_path / "tree", tmp_path / "other"
    tree.mkdir()
    other.mkdir()
    for where, name in ((tree, "a"), (other, "b")):
        source = where / f"{name}.c"
        source.write_text(f"struct {name} {{ int m; }} *{name};")
        compiled(source, source.with_suffix(".o"))
    require("ld")
    done = run("ld", "-r", "-o", "m.ko", "a.o", "../other/b.o", cwd=tree)
    assert done.returncode == 0, done.stderr
    (tree / "m.mod").write_text("a.o\n../other/b.o\n")
    front: list[str | Path] = [SCRIPTS / "kbuild-btf-pahole", "-J"]
    front += ["--btf_encode_detached=m.btf", "m.ko"]
    done = run(*front, cwd=tree)
    assert done.returncode == 0, done.stderr
    assert sidecar(tree / "a.o").exists()
    assert [path.name for path in other.iterdir() if path.suffix == ".kbtf"] == []


@pytest.mark.parametrize("name", ["--echo", "--version", "-J"])
def test_objects_with_names_of_options(name: str, object_file: Path) -> None:
    shutil.copyfile(object_file, object_file.with_name(name))
    done = run(HOOK, "--", name, cwd=object_file.parent)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert object_file.with_name(f".tmp_{name}.kbtf").exists()


def test_a_cache_of_a_relative_name(object_file: Path, tmp_path: Path) -> None:
    """make runs programs in several directories; there is one cache."""
    environ = {"KBUILD_BTF_CACHE": "cache"}
    assert kbuild.build_environment({**os.environ, **environ})["KBUILD_BTF_CACHE"] == str(
        Path("cache").absolute()
    )
    assert cache.directory(environ) == Path("cache").absolute()


def test_a_cache_of_somebody_else_is_told(own_cache: Path) -> None:
    give_away(own_cache)
    done = kbuild_btf("doctor")
    assert f"belongs to user {SOMEBODY}" in " ".join(done.stdout.split())


def test_streams_that_are_full(object_file: Path, own_cache: Path) -> None:
    """What was asked for and cannot be written is an error; what is only told is not."""
    full = Path("/dev/full")
    if not full.exists():
        missing("/dev/full")
    detached = f"--btf_encode_detached={object_file.with_suffix('.btf')}"
    front, program = SCRIPTS / "kbuild-btf-pahole", SCRIPTS / "kbuild-btf"

    def status(stream: str, *argv: str | Path) -> int:
        words = ["sh", "-c", f'exec "$@" {stream}/dev/full', "sh", *map(str, argv)]
        return run(*words).returncode

    assert status(">", HOOK, "--echo", object_file) == 0
    assert status("2>", HOOK, "/absent.o") == 0
    assert status(">", front, "-J", detached, object_file) == 0
    assert status("2>", front, "-J", detached, "/absent.o") == 1
    assert status(">", front, "--version") == 1
    assert status(">", front, "--supported_btf_features") == 1
    assert status(">", program, "dump", object_file.with_suffix(".btf")) == 1
    assert status("2>", program, "dump", "/absent") == 1
