# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The line that says how far the work is: on a terminal, after a while, and then gone."""

from __future__ import annotations

import io
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from support import SOURCES, compiled

from kbuild_btf import _native, progress

_GONE = "\r\x1b[K"
# Work that goes on until a byte comes in.
_WAITING = """
import os, sys
from kbuild_btf import progress
progress._PATIENCE = progress._PATIENCE_OF_LOG = float(sys.argv[1])
progress._INTERVAL = progress._INTERVAL_OF_LOG = 0.01
print(progress.watched("encode", lambda: os.read(int(sys.argv[2]), 1)))
"""


class _Terminal:
    """A program on a terminal of its own; what it writes there comes in at ``read``."""

    def __init__(self, patience: float) -> None:
        source, self.gate = os.pipe()
        os.set_inheritable(source, True)
        command = [sys.executable, "-I", "-c", _WAITING, str(patience), str(source)]
        self.pid, self.screen = pty.fork()
        if not self.pid:
            # What is started in the background of a shell may be told to ignore it.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            try:
                os.execv(sys.executable, command)
            finally:
                os._exit(99)
        os.close(source)
        self.text = ""

    def read(self, until: str = "") -> str:
        """All that was written up to the first ``until``, or to the end."""
        while not until or until not in self.text:
            try:
                more = os.read(self.screen, 4096)
            except OSError:  # EIO: nobody writes any more
                more = b""
            if not more:
                assert not until, self.text
                break
            self.text += more.decode()
        return self.text

    def status(self) -> int:
        """The exit status, at the end."""
        _, status = os.waitpid(self.pid, 0)
        os.close(self.screen)
        os.close(self.gate)
        return os.waitstatus_to_exitcode(status)


def test_a_line_comes_and_goes() -> None:
    terminal = _Terminal(patience=0)
    terminal.read(until="\rencode: ")
    os.write(terminal.gate, b"x")
    text = terminal.read()
    assert text.endswith(f"{_GONE}b'x'\r\n")
    assert "\n" not in text[: text.rindex(_GONE)]
    assert terminal.status() == 0


def test_ctrl_c_ends_the_program_while_the_work_goes_on() -> None:
    terminal = _Terminal(patience=0)
    terminal.read(until="\rencode: ")
    os.write(terminal.screen, b"\x03")
    assert terminal.read().endswith(_GONE)
    assert terminal.status() == 130


@pytest.fixture(autouse=True)
def no_make(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests themselves may run under make."""
    monkeypatch.delenv("MAKELEVEL", raising=False)


def test_short_work_is_not_spoken_of() -> None:
    terminal = _Terminal(patience=99)
    time.sleep(0.3)  # Long enough to fail: many times the interval.
    os.write(terminal.gate, b"x")
    assert terminal.read() == "b'x'\r\n"
    assert terminal.status() == 0


def test_under_make_there_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its terminal belongs to all that it runs, so nothing is taken away there."""
    monkeypatch.setenv("MAKELEVEL", "1")
    terminal = _Terminal(patience=0)
    terminal.read(until="\r\nencode: ")
    os.write(terminal.gate, b"x")
    text = terminal.read()
    assert "\x1b" not in text
    assert text.endswith("\r\nb'x'\r\n")


@pytest.mark.parametrize("patience", [0, 99])
def test_without_a_terminal_there_are_lines(patience: float) -> None:
    source, gate = os.pipe()
    command = [sys.executable, "-I", "-c", _WAITING, str(patience), str(source)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=[source], text=True
    ) as child:
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(1)
        os.write(gate, b"x")
        said, told = child.communicate()
    assert said == "b'x'\n"
    assert "\x1b" not in told and "\r" not in told
    lines = told.splitlines()
    assert all(line.startswith("encode: ") for line in lines)
    assert (len(lines) > 1) == (patience == 0)
    os.close(source)
    os.close(gate)


def test_the_native_half_counts_units(tmp_path: Path) -> None:
    elf = compiled(SOURCES / "layouts.c", tmp_path / "layouts.o")
    seen: set[tuple[str, int, int]] = set()
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            _native.encode(elf)

    thread = threading.Thread(target=work)
    thread.start()
    while not {"units", "finishing"} <= {stage for stage, _, _ in seen}:
        seen.add(_native.progress())
    over.set()
    thread.join()
    assert {total for stage, _, total in seen if stage == "units"} <= {0, 1}
    assert _native.progress() == ("finishing", 0, 0)


def test_an_error_of_the_work_is_raised() -> None:
    def fail() -> None:
        raise _native.Error("no good")

    with pytest.raises(_native.Error, match="no good"):
        progress.watched("encode", fail)


def test_a_count_is_shown_in_percent(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, patience, shown in ((Terminal, 0, True), (Terminal, 99, False)):
        terminal = stream()
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setattr(progress, "_PATIENCE", patience)
        monkeypatch.setattr(progress, "_PATIENCE_OF_LOG", 99)
        with progress.percent("reading") as tell:
            tell(50, 200)
        assert ("reading: 25 %" in terminal.getvalue()) == shown
    monkeypatch.setattr(sys, "stderr", plain := io.StringIO())
    monkeypatch.setattr(progress, "_PATIENCE_OF_LOG", 0)
    with progress.percent("reading") as tell:
        tell(50, 200)
    assert plain.getvalue() == "reading: 25 %\n"
