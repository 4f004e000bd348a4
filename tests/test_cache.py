# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Maintenance of the cache: the limit, the counts, and files that vanish meanwhile."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import xxhash
from cases import CASES, build
from elfwriter import X86_64
from filelock import FileLock
from support import SCRIPTS, run

from kbuild_btf import cache as module
from kbuild_btf.cache import Cache, Removed, directory, limit, parse_size, show_size
from kbuild_btf.commands import cache as command
from kbuild_btf.errors import Error


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def put(cache: Cache, number: int, size: int = 100, used: int | None = None) -> Path:
    """An entry, last used `used` seconds after the epoch (default: its number)."""
    key = f"{number:032x}"[::-1]
    path = cache.store / key[:2] / f"{key}.kbtf"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, (used if used is not None else number,) * 2)
    return path


def events(cache: Cache, text: str) -> None:
    """Append events as the native programs do."""
    cache.store.mkdir(parents=True, exist_ok=True)
    with (cache.store / "events").open("a") as file:
        file.write(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("1K", 1024),
        ("1.5M", 3 << 19),
        ("5G", 5 << 30),
        ("2 gib", 2 << 30),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1", "5X", "1e9", "1..5G", "5 G G"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(Error, match="is not a size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0"), (1023, "1023"), (1536, "1.5 K"), (812 << 10, "812 K"), (5 << 30, "5.0 G")],
)
def test_shown_sizes(size: int, text: str) -> None:
    assert show_size(size) == text


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"KBUILD_BTF_CACHE": "/c", "XDG_CACHE_HOME": "/x"}, Path("/c")),
        ({"KBUILD_BTF_CACHE": "", "HOME": "/h"}, None),
        ({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, Path("/x/kbuild-btf")),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, Path("/h/.cache/kbuild-btf")),
        ({"HOME": "/h"}, Path("/h/.cache/kbuild-btf")),
        ({}, None),
    ],
)
def test_directory(environ: dict[str, str], expected: Path | None) -> None:
    assert directory(environ) == expected


def test_limit_from_the_environment() -> None:
    assert limit({}) == 5 << 30
    assert limit({"KBUILD_BTF_CACHE_SIZE": "10M"}) == 10 << 20
    with pytest.raises(Error, match="KBUILD_BTF_CACHE_SIZE"):
        limit({"KBUILD_BTF_CACHE_SIZE": "much"})


def test_without_a_directory_everything_is_zero(cache: Cache) -> None:
    found = cache.statistics(100)
    assert (found.entries, found.size, found.hits, found.limit) == (0, 0, 0, 100)
    assert not cache.root.exists(), "looking must not create anything"


def test_the_least_recently_used_go_first(cache: Cache) -> None:
    paths = [put(cache, i) for i in range(10)]
    os.utime(paths[0], (1000, 1000))  # a hit
    assert cache.clean(300) == Removed(7, 700)
    assert [p for p in paths if p.exists()] == [paths[0], paths[8], paths[9]]
    assert cache.clean(300) == Removed(0, 0)


def test_clean_leaves_what_it_does_not_know(cache: Cache) -> None:
    put(cache, 1)
    foreign = cache.store / "README"
    foreign.write_text("mine")
    fresh = put(cache, 2).with_name("being-written")
    fresh.write_bytes(b"x")
    stale = fresh.with_name("killed")
    stale.write_bytes(b"x")
    os.utime(stale, (1, 1))
    assert cache.clean(0).entries == 2
    assert foreign.exists()
    assert fresh.exists()
    assert not stale.exists()


def test_clear(cache: Cache) -> None:
    put(cache, 1)
    put(cache, 2)
    events(cache, "hhm")
    assert cache.clear() == Removed(2, 200)
    found = cache.statistics(1)
    assert (found.entries, found.hits, found.misses) == (0, 0, 0)


def test_verify_removes_what_is_damaged(cache: Cache) -> None:
    """With entries of the native program itself."""
    for name in ("members", "bitfields"):
        case = next(case for case in CASES if case.name == name)
        path = cache.root.parent / f"{name}.o"
        path.write_bytes(build(case, 5, X86_64))
        environment = {"KBUILD_BTF_CACHE": str(cache.root)}
        assert run(SCRIPTS / "kbuild-btf-hook", path, env=environment).returncode == 0
    whole, damaged = sorted(entry.path for entry in cache.entries())
    assert cache.verify() == Removed(0, 0)
    raw = bytearray(damaged.read_bytes())
    raw[-1] ^= 1
    damaged.write_bytes(raw)
    put(cache, 1, size=20)
    assert cache.verify() == Removed(2, 20 + len(raw))
    assert [entry.path for entry in cache.entries()] == [whole]


def test_to_verify_is_not_to_use(cache: Cache) -> None:
    """The system takes reading for access, of which the time is that of the last use."""
    path = put(cache, 1)
    raw = bytes(8) + xxhash.xxh3_64_intdigest(b"content").to_bytes(8, sys.byteorder)
    path.write_bytes(raw + bytes(32) + b"content")
    os.utime(path, (1_000_000_000,) * 2)
    assert cache.verify() == Removed(0, 0)
    assert [entry.used for entry in cache.entries()] == [10**18]


def test_events_are_counted_once(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FOLD_ABOVE", 4)
    total = 0
    for _ in range(6):
        events(cache, "hhhmud?e")
        total += 3
        cache.clean(1 << 30)
        assert cache.statistics(0).hits == total
    found = cache.statistics(0)
    assert (found.misses, found.unchanged, found.damaged, found.errors) == (6, 6, 6, 6)
    assert (cache.store / "totals.json").exists()
    assert (
        (cache.store / "events").stat().st_size < 8 if (cache.store / "events").exists() else True
    )


def test_a_late_writer_loses_no_event(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """It opened the file, then maintenance renamed it, then it appended."""
    monkeypatch.setattr(module, "_FOLD_ABOVE", 0)
    events(cache, "h")
    with (cache.store / "events").open("a") as late:
        cache.clean(0)
        late.write("h")
    cache.clean(0)
    assert cache.statistics(0).hits == 2


def test_damaged_totals_are_not_a_failure(cache: Cache) -> None:
    events(cache, "h")
    for text in ("{", "[]", '{"hits": "many"}', '{"hits": null}'):
        (cache.store / "totals.json").write_text(text)
        assert cache.statistics(0).hits == 1


def test_files_that_vanish(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process empties the cache between the look and the removal."""
    paths = [put(cache, i) for i in range(4)]
    original = Cache.entries

    def entries(self: Cache) -> Iterator[module.Entry]:
        found = list(original(self))
        paths[0].unlink(missing_ok=True)
        yield from found

    monkeypatch.setattr(Cache, "entries", entries)
    assert cache.clean(0).entries == 3
    assert not any(p.exists() for p in paths)


def test_clean_while_entries_appear(cache: Cache) -> None:
    stop = threading.Event()

    def write() -> None:
        i = 0
        while not stop.is_set():
            with contextlib.suppress(FileNotFoundError):  # removed before it got its time
                put(cache, i % 50)
            i += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(50):
            cache.clean(500)
            cache.statistics(500)
    finally:
        stop.set()
        writer.join()
    cache.clean(500)
    assert cache.statistics(500).size <= 500


def test_a_clean_up_that_does_not_end(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOCK_SECONDS", 0.0)
    cache.store.mkdir(parents=True)
    with FileLock(cache.store / "lock"), pytest.raises(Error, match="does not end"):
        cache.clean(0)


def test_a_directory_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Error, match="cannot be written") as raised:
        Cache(tmp_path / "file" / "cache").clean(0)
    assert "KBUILD_BTF_CACHE" in raised.value.hint


# --- the command --------------------------------------------------------------------------


def ask(*argv: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(argv))


def test_command(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KBUILD_BTF_CACHE", str(cache.root))
    monkeypatch.setenv("KBUILD_BTF_CACHE_SIZE", "1K")
    for i in range(20):
        put(cache, i)
    events(cache, "hhhm")
    assert ask("--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["entries"], shown["size"], shown["limit"], shown["hits"]) == (20, 2000, 1024, 3)
    assert ask() == 0
    assert "above its limit" in capsys.readouterr().out
    assert ask("--clean") == 0
    assert "removed 10 entries, 1000" in capsys.readouterr().out
    assert ask("--clean", "--limit", "500") == 0
    assert ask() == 0
    text = capsys.readouterr().out
    assert "above" not in text
    assert "entries    5\n" in text
    assert "3 (75.0 %)" in text
    assert ask("--clear") == 0
    assert "entries    0\n" in capsys.readouterr().out


def test_command_without_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KBUILD_BTF_CACHE", "")
    with pytest.raises(Error, match="no cache"):
        ask()
