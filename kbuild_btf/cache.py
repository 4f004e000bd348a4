# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Care for the cache of encoded objects and finished modules: its size, its statistics, its limit.

The native programs fill the cache and never wait for anyone; only the maintenance here takes a
lock, and only against other maintenance. So everything here must bear files that appear, grow
old or vanish while it looks. On disk, below the cache directory:

    v1/<2 hex>/<32 hex>.kbtf   entries; the time of access is the time of the last use
    v1/events                  one byte per event, appended by the native programs
    v1/events.old              the same, no longer appended to
    v1/totals.json             counts of the events that were folded away
    v1/lock                    held during maintenance

An entry and the sidecar that it was made with may be one file with two names. Its size counts as
that of an entry all the same: when the sidecar goes, the cache alone holds it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from io import FileIO
from pathlib import Path
from typing import NamedTuple

from .errors import Error

DEFAULT_LIMIT = "5G"

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_ENTRY = re.compile(r"[0-9a-f]{32}\.kbtf")
_FOLD_ABOVE = 64 << 10
_STALE_SECONDS = 3600.0
_LOCK_SECONDS = 60.0


class Entry(NamedTuple):
    """One file of the cache: size in bytes, last use in nanoseconds since the epoch."""

    path: Path
    size: int
    used: int


class Statistics(NamedTuple):
    """What is in the cache and what happened to it. Sizes in bytes."""

    directory: str
    entries: int
    size: int
    limit: int
    hits: int
    misses: int
    unchanged: int
    """Objects whose sidecar was still right, so that the cache was not asked."""
    damaged: int
    errors: int
    modules_reused: int
    """Modules whose finished BTF was in the cache."""
    modules_encoded: int


class Removed(NamedTuple):
    """What a clean-up took away; `size` in bytes."""

    entries: int
    size: int


def parse_size(text: str) -> int:
    """Bytes of a size such as "5G", "1.5M" or "4096"; powers of 1024. Raises Error."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if not found:
        raise Error(f"{text!r} is not a size", hint="write a number and K, M, G or T, such as 5G")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def show_size(size: int) -> str:
    """Bytes as people read them: "0", "812 K", "1.4 G"."""
    value, unit = float(size), ""
    for name in ("K", "M", "G", "T"):
        if value < 1024:
            break
        value, unit = value / 1024, name
    number = f"{value:.0f}" if value >= 100 or not unit else f"{value:.1f}"
    return f"{number} {unit}".strip()


def directory(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Where the cache is, as the native programs find it; None when there is none.

    That is so when KBUILD_BTF_CACHE is set and empty, and without a home directory.
    """
    from . import _native

    return _native.cache_directory(dict(environ))


def limit(environ: Mapping[str, str] = os.environ) -> int:
    """The size limit in bytes, from KBUILD_BTF_CACHE_SIZE or 5 G. Raises Error."""
    text = environ.get("KBUILD_BTF_CACHE_SIZE") or DEFAULT_LIMIT
    try:
        return parse_size(text)
    except Error as wrong:
        raise Error(wrong.what, "KBUILD_BTF_CACHE_SIZE", wrong.hint) from None


class Cache:
    """The cache in one directory, which need not exist yet."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = root / "v1"

    def entries(self) -> Iterator[Entry]:
        """All entries, in no order."""
        for path, stat in self._files():
            if _ENTRY.fullmatch(path.name):
                yield Entry(path, stat.st_size, stat.st_atime_ns)

    def statistics(self, limit: int) -> Statistics:
        """Counts as of now; reads, and changes nothing."""
        counts = self._totals()
        for name in ("events.old", "events"):
            counts += _counted(self.store / name)
        sizes = [entry.size for entry in self.entries()]
        return Statistics(
            directory=str(self.root),
            entries=len(sizes),
            size=sum(sizes),
            limit=limit,
            **{name: counts[name] for name in _events().values()},
        )

    def clean(self, limit: int) -> Removed:
        """Remove the entries that were not used for the longest time, until `limit` bytes hold.

        Also removes what interrupted writers left, and folds the events. Raises Error when
        another clean-up does not end or the directory cannot be written.
        """
        with self._locked():
            self._fold()
            self._remove_stale()
            entries = sorted(self.entries(), key=lambda entry: entry.used)
            size = sum(entry.size for entry in entries)
            count = freed = 0
            for entry in entries:
                if size - freed <= limit:
                    break
                count += _removed(entry.path)
                freed += entry.size
            return Removed(count, freed)

    def verify(self) -> Removed:
        """Read every entry and remove the damaged ones, as a link would when it met them.

        The layout is that of docs/sidecar.md: at 8 the XXH3-64 of everything from 48 on, in the
        byte order of the machine that wrote it. Raises Error as `clean` does.
        """
        import xxhash

        with self._locked():
            gone = []
            for entry in self.entries():
                try:
                    raw = _looked_at(entry.path)
                except OSError:
                    continue
                said = int.from_bytes(raw[8:16], sys.byteorder)
                if len(raw) <= 48 or xxhash.xxh3_64_intdigest(raw[48:]) != said:
                    gone += [entry.size] * _removed(entry.path)
            return Removed(len(gone), sum(gone))

    def clear(self) -> Removed:
        """Remove every entry and all counts. Raises Error as `clean` does."""
        with self._locked():
            for name in ("events", "events.old", "totals.json"):
                _removed(self.store / name)
            self._remove_stale()
            entries = list(self.entries())
            gone = [entry.size for entry in entries if _removed(entry.path)]
            return Removed(len(gone), sum(gone))

    # --- the files ----------------------------------------------------------------------

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        """Every file in the directories of entries that is still there when we look."""
        try:
            shards = sorted(p for p in self.store.iterdir() if re.fullmatch("[0-9a-f]{2}", p.name))
        except OSError:
            return  # no cache yet
        for shard in shards:
            with contextlib.suppress(OSError), os.scandir(shard) as listing:
                for item in listing:
                    with contextlib.suppress(OSError):
                        if item.is_file(follow_symlinks=False):
                            yield Path(item.path), item.stat(follow_symlinks=False)

    def _remove_stale(self) -> None:
        """Temporary files of writers that were killed. A living writer needs milliseconds."""
        # Only who holds the lock writes the totals.
        for path in self.store.glob("totals.*"):
            if path.suffix != ".json":
                _removed(path)
        before = time.time() - _STALE_SECONDS
        for path, stat in self._files():
            if not _ENTRY.fullmatch(path.name) and stat.st_mtime < before:
                _removed(path)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        from filelock import FileLock, Timeout

        try:
            self.store.mkdir(parents=True, exist_ok=True)
            with FileLock(self.store / "lock", timeout=_LOCK_SECONDS):
                yield
        except Timeout:
            raise Error(
                "another clean-up of the cache does not end",
                str(self.store / "lock"),
                "look for a stopped kbuild-btf process",
            ) from None
        except OSError as failed:
            raise Error(
                f"the cache cannot be written: {failed.strerror}",
                str(failed.filename or self.store),
                "name another directory in KBUILD_BTF_CACHE, or set it empty for no cache",
            ) from failed

    # --- the counts ---------------------------------------------------------------------

    def _totals(self) -> Counter[str]:
        try:
            raw = json.loads((self.store / "totals.json").read_text())
            return Counter({name: int(raw.get(name, 0)) for name in _events().values()})
        except (OSError, ValueError, TypeError, AttributeError):
            return Counter()  # statistics are not worth a failure

    def _fold(self) -> None:
        """Keep the file of events short without losing one.

        A writer may have opened `events` just before it is renamed and append afterwards. So a
        renamed file is counted at the next maintenance only, when that writer is long gone.
        """
        events, old = self.store / "events", self.store / "events.old"
        if old.exists():
            totals = self._totals() + _counted(old)
            # By chance, as the programs do: containers that share a cache have equal process ids.
            temporary = self.store / f"totals.{os.urandom(8).hex()}"
            try:
                with temporary.open("x") as file:
                    file.write(json.dumps(dict(sorted(totals.items()))) + "\n")
                temporary.replace(self.store / "totals.json")
            except OSError:
                _removed(temporary)
                raise
            old.unlink()
        with contextlib.suppress(FileNotFoundError):
            if events.stat().st_size > _FOLD_ABOVE:
                events.rename(old)


def _events() -> Mapping[str, str]:
    """The letter of each event in the files, and its name."""
    # Where the manual is made, before anything is compiled, only the parsers of commands are there.
    from . import _native

    return _native.EVENTS


def _counted(path: Path) -> Counter[str]:
    """The events of one file; bytes that mean nothing are left out."""
    if not path.is_file():
        return Counter()  # a pipe would wait for somebody who writes
    try:
        raw = path.read_bytes()
    except OSError:
        return Counter()
    return Counter({name: raw.count(letter.encode()) for letter, name in _events().items()})


def _looked_at(path: Path) -> bytes:
    """The content of a file, of which this is no use; only its owner can hide that."""

    def opener(name: str, flags: int) -> int:
        try:
            return os.open(name, flags | os.O_NOATIME)
        except PermissionError:
            return os.open(name, flags)

    with FileIO(path, opener=opener) as file:
        return file.readall()


def _removed(path: Path) -> bool:
    """Remove a file; False when somebody else was faster."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def as_json(statistics: Statistics) -> str:
    """The statistics as one JSON object."""
    return json.dumps(statistics._asdict(), indent=2)
