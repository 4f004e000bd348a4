# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Input that is damaged, or not what it should be: one message, no output, never a panic."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from cases import CASES, build, spoken
from elfwriter import S390X, X86_64, Section, write_elf
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support import SCRIPTS, SOURCES, compiled, kbuild_btf, run

from kbuild_btf import _native

BY_NAME = {case.name: case for case in CASES}

# Together these have every section, form and kind that the encoder reads.
WHOLE = {
    "members": build(BY_NAME["members"], 4, X86_64),
    "forms": build(BY_NAME["forms_of_dwarf_5"], 5, X86_64),
    "tags": build(BY_NAME["decl_tags"], 5, X86_64),
    "big_endian": build(BY_NAME["bitfields"], 4, S390X),
    "linked": build(BY_NAME["per_cpu_variables"], 5, X86_64),
}


def attempt(data: bytes) -> str:
    """Encode; the error's text, or "" when the input is still good enough.

    A panic of the native code is no `_native.Error` and fails the test. What comes out of
    damaged input must still be BTF that the kernel's rules accept.
    """
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "damaged.o"
        path.write_bytes(data)
        try:
            output = _native.encode(str(path))
        except _native.Error as error:
            return message(error)
        if output.btf:
            _native.check(output.btf)
        return ""


def message(error: _native.Error) -> str:
    """One line, and it says where."""
    text = str(error)
    assert text
    assert "\n" not in text
    assert error.where
    return text


@pytest.mark.parametrize("name", WHOLE)
def test_whole(name: str) -> None:
    """The undamaged input is fine, or the tests below would show nothing."""
    assert attempt(WHOLE[name]) == ""


@pytest.mark.parametrize("name", WHOLE)
def test_truncated_anywhere(name: str) -> None:
    data = WHOLE[name]
    refused = [cut for cut in range(0, len(data), 7) if attempt(data[:cut])]
    # The section headers stand at the end, so nothing that is cut off can be whole.
    assert refused == list(range(0, len(data), 7))


DAMAGE = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6
)


@pytest.mark.parametrize("name", WHOLE)
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(damage=DAMAGE)
@example(damage=[(0.0, 0)])
def test_damaged_bytes(name: str, damage: list[tuple[float, int]]) -> None:
    data = bytearray(WHOLE[name])
    for place, value in damage:
        data[int(place * len(data))] = value
    attempt(bytes(data))


@pytest.mark.parametrize("flags", [("-gdwarf-4",), ("-gdwarf-5", "-gz")], ids=["plain", "zlib"])
def test_damaged_object_of_a_compiler(flags: tuple[str, ...], tmp_path: Path) -> None:
    """Every 97th byte in turn, so that each section is met."""
    data = compiled(SOURCES / "functions.c", tmp_path / "a.o", "-O2", *flags).read_bytes()
    assert attempt(data) == ""
    for place in range(0, len(data), 97):
        attempt(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])


# --- the command line ---------------------------------------------------------------------


def no_elf(path: Path) -> None:
    path.write_text("this is no object\n")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def directory(path: Path) -> None:
    path.mkdir()


def absent(path: Path) -> None:
    assert not path.exists()


def without_dwarf(path: Path) -> None:
    path.write_bytes(write_elf([Section(".text", bytes(16))]))


def half(path: Path) -> None:
    path.write_bytes(WHOLE["members"][: len(WHOLE["members"]) // 2])


def half_the_debug_information(path: Path) -> None:
    """An ELF file in good order, whose .debug_info ends inside a unit."""
    from dwarfwriter import Unit, dwarf_sections

    content = [
        die for die in spoken(BY_NAME["members"], X86_64).units() if not isinstance(die, Unit)
    ]
    sections = dwarf_sections([Unit(content)])
    for section in sections:
        if section.name == ".debug_info":
            section.data = section.data[: len(section.data) // 2]
            section.fixups = [f for f in section.fixups if f.offset + f.size < len(section.data)]
    path.write_bytes(write_elf(sections))


BAD: list[Callable[[Path], None]] = [
    no_elf,
    empty,
    directory,
    absent,
    without_dwarf,
    half,
    half_the_debug_information,
]


def refused(argv: list[str | Path], where: Path) -> str:
    """Run a program that must refuse: its one message. `where` gains no file but sidecars."""

    def files() -> list[Path]:
        return sorted(path for path in where.iterdir() if path.suffix != ".kbtf")

    before = files()
    done = run(*argv, cwd=where)
    said = done.stderr.strip()
    assert done.returncode in (1, 2), (done.returncode, done.stdout, done.stderr)
    assert len(said.splitlines()) == 1, said
    assert "Traceback" not in said
    assert "panicked" not in said
    assert files() == before
    return said


@pytest.mark.parametrize("make", BAD, ids=lambda f: f.__name__)
def test_encode_refuses(make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "bad.o"
    make(path)
    said = refused([SCRIPTS / "kbuild-btf", "encode", path, "-o", tmp_path / "out.btf"], tmp_path)
    assert "bad.o" in said


@pytest.mark.parametrize("make", BAD, ids=lambda f: f.__name__)
def test_pahole_front_refuses(make: Callable[[Path], None], tmp_path: Path) -> None:
    """Unlike pahole, which exits 0 and leaves the build to fail later."""
    path = tmp_path / "bad.o"
    make(path)
    output = f"--btf_encode_detached={tmp_path / 'out.btf'}"
    said = refused([SCRIPTS / "kbuild-btf-pahole", "-J", output, path], tmp_path)
    assert "bad.o" in said


@pytest.mark.parametrize("make", [no_elf, empty, half, half_the_debug_information])
def test_the_hook_never_stops_a_build(make: Callable[[Path], None], tmp_path: Path) -> None:
    """What it cannot encode is left to the link, which then fails with a message."""
    path = tmp_path / "bad.o"
    make(path)
    before = path.read_bytes()
    done = run(SCRIPTS / "kbuild-btf-hook", path)
    assert done.returncode == 0
    assert "panicked" not in done.stderr
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["bad.o"]


@pytest.mark.parametrize("output", ["absent/out.btf", "good.o/out.btf", "folder"])
def test_output_that_cannot_be_written(output: str, tmp_path: Path) -> None:
    good = tmp_path / "good.o"
    good.write_bytes(WHOLE["members"])
    (tmp_path / "folder").mkdir()
    refused([SCRIPTS / "kbuild-btf", "encode", good, "-o", tmp_path / output], tmp_path)
    assert good.read_bytes() == WHOLE["members"]


def test_an_older_output_survives_a_failure(tmp_path: Path) -> None:
    bad, output = tmp_path / "bad.o", tmp_path / "out.btf"
    half(bad)
    output.write_text("what was there")
    refused([SCRIPTS / "kbuild-btf", "encode", bad, "-o", output], tmp_path)
    assert output.read_text() == "what was there"


def test_link_of_two_architectures(tmp_path: Path) -> None:
    one, other = tmp_path / "one.o", tmp_path / "other.o"
    one.write_bytes(WHOLE["members"])
    other.write_bytes(WHOLE["big_endian"])
    output = tmp_path / "out.btf"
    said = refused([SCRIPTS / "kbuild-btf", "link", one, one, other, "-o", output], tmp_path)
    assert "other.o" in said
    assert "architecture" in said


@pytest.mark.parametrize("make", [absent, no_elf, half, half_the_debug_information])
def test_link_names_the_bad_object(make: Callable[[Path], None], tmp_path: Path) -> None:
    good, bad = tmp_path / "good.o", tmp_path / "bad.o"
    good.write_bytes(WHOLE["members"])
    make(bad)
    output = tmp_path / "out.btf"
    said = refused([SCRIPTS / "kbuild-btf", "link", good, good, bad, "-o", output], tmp_path)
    assert "bad.o" in said


def test_no_arguments() -> None:
    done = kbuild_btf()
    assert done.returncode in (0, 2)
    assert "Traceback" not in done.stderr
