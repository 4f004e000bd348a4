# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Putting BTF into a finished file: over what stood there, and at once."""

from __future__ import annotations

import ctypes
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from support import SOURCES, compiled, kbuild_btf, require, run

from kbuild_btf import Btf, _native
from kbuild_btf.btf import Struct

IN_ATTRIB, IN_MOVED_TO = 0x4, 0x80
SHF_COMPRESSED = 0x800


@pytest.fixture(params=["-m32", "-m64"])
def elf(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """An object with BTF."""
    flags = ("-O1", "-ffreestanding", request.param)
    made = compiled(SOURCES / "functions.c", tmp_path / "a.o", *flags)
    done = kbuild_btf("encode", "--in-place", made)
    assert done.returncode == 0, done.stderr
    return made


def only_debug(elf: Path) -> Path:
    """What distributions put into their packages of debug information: the other sections keep
    their headers and lose their content."""
    require("objcopy")
    made = elf.with_suffix(".debug")
    # As in a kernel, where BTF is loaded.
    run("objcopy", "--set-section-flags", ".BTF=alloc,load,readonly,data", elf, made)
    assert run("objcopy", "--only-keep-debug", made).returncode == 0
    with made.open("rb") as file:
        assert ELFFile(file).get_section_by_name(".BTF")["sh_type"] == "SHT_NOBITS"
    return made


def compressed(elf: Path) -> Path:
    """As `llvm-objcopy --compress-sections=.BTF=zlib` makes it."""
    raw = _native.read_section(elf, ".BTF")
    assert raw
    made = elf.with_suffix(".compressed")
    made.write_bytes(elf.read_bytes())
    with made.open("rb") as file:
        wide = ELFFile(file).elfclass == 64
    head = struct.pack("<IIQQ", 1, 0, len(raw), 1) if wide else struct.pack("<III", 1, len(raw), 1)
    _native.embed(made, [(".BTF", head + zlib.compress(raw))])
    with made.open("r+b") as file:
        read = ELFFile(file)
        header = read["e_shoff"] + read.get_section_index(".BTF") * read["e_shentsize"]
        flags = read.get_section_by_name(".BTF")["sh_flags"]
        file.seek(header + 8)
        file.write(struct.pack("<I", flags | SHF_COMPRESSED))
    assert _native.read_section(made, ".BTF") == raw
    return made


@pytest.mark.parametrize("before", [only_debug, compressed])
def test_what_stood_there_does_not_show(before: Callable[[Path], Path], elf: Path) -> None:
    """A section without content gets one, a compressed one is no longer said to be."""
    expected = _native.read_section(elf, ".BTF")
    assert expected
    made = before(elf)
    _native.embed(made, [(".BTF", expected)])
    # By three readers: ours, ours in Python, and another's.
    assert _native.read_section(made, ".BTF") == expected
    assert Btf.load(made).find(Struct, "pair")
    with made.open("rb") as file:
        assert ELFFile(file).get_section_by_name(".BTF").data() == expected


def test_a_section_without_content_is_none(elf: Path) -> None:
    made = only_debug(elf)
    assert _native.read_section(made, ".BTF") is None
    asked: list[list[str | Path]] = [["dump", made], ["verify", "--base", made, elf]]
    for argv in asked:
        done = kbuild_btf(*argv)
        assert done.returncode != 0
        assert "no .BTF section" in done.stderr, done.stderr
    done = kbuild_btf("encode", "--base", made, elf)
    assert done.returncode == 1
    assert "no .BTF section" in done.stderr


def test_the_mode_is_right_from_the_first_moment(elf: Path) -> None:
    """vmlinux must not lose its executable bit, whenever the program is killed. So the new file has
    its mode before it has its name: seen in the order of what happens in the directory."""
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    assert watch >= 0
    elf.chmod(0o751)
    mask = IN_ATTRIB | IN_MOVED_TO
    assert libc.inotify_add_watch(watch, os.fsencode(elf.parent), mask) >= 0
    _native.embed(elf, [(".BTF", b"something else")])
    assert elf.stat().st_mode & 0o7777 == 0o751
    events, data, at = [], os.read(watch, 1 << 16), 0
    os.close(watch)
    while at < len(data):
        _, kind, _, length = struct.unpack_from("iIII", data, at)
        name = data[at + 16 : at + 16 + length].rstrip(b"\0").decode()
        events.append((kind, name == elf.name))
        at += 16 + length
    assert (IN_MOVED_TO, True) in events
    assert (IN_ATTRIB, False) in events
    assert (IN_ATTRIB, True) not in events, "the mode was set behind the rename"
