# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The public interface: what is there, its documentation, that arguments alone count."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import SOURCES, compiled, run

import kbuild_btf
from kbuild_btf import Error, explain, link, linked_objects, verify, write_sidecar


def test_every_name_is_there_and_documented() -> None:
    for name in kbuild_btf.__all__:
        found = getattr(kbuild_btf, name)
        if inspect.isclass(found) or callable(found):
            assert inspect.getdoc(found), name
        if inspect.isfunction(found):
            hints = inspect.get_annotations(found, eval_str=False)
            assert hints.keys() == {*inspect.signature(found).parameters, "return"}, name
    assert set(kbuild_btf.__all__) <= set(dir(kbuild_btf))
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        kbuild_btf.nothing_of_the_kind  # noqa: B018


def test_names_stay_functions_when_modules_are_imported() -> None:
    """A module of the same name would take the place of a function."""
    code = (
        "import pkgutil, importlib, kbuild_btf\n"
        "for m in pkgutil.walk_packages(kbuild_btf.__path__, 'kbuild_btf.'):\n"
        "    if m.name != 'kbuild_btf.__main__': importlib.import_module(m.name)\n"
        "import types\n"
        "print([n for n in kbuild_btf.__all__\n"
        "       if isinstance(getattr(kbuild_btf, n), types.ModuleType)])\n"
    )
    done = run(sys.executable, "-I", "-c", code)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.fixture
def program(tmp_path: Path) -> tuple[Path, Path]:
    """A linked file and its object, which has no sidecar."""
    elf = compiled(SOURCES / "types.c", tmp_path / "a.o")
    image = tmp_path / "image"
    assert run("ld", "-r", "-o", image, elf).returncode == 0
    return image, elf


def tree(directory: Path) -> set[Path]:
    return set(directory.rglob("*"))


def test_the_environment_does_not_count(
    program: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, elf = program
    for name in ("KBUILD_BTF_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("KBUILD_BTF_TRACE", str(tmp_path / "trace.json"))
    before = tree(tmp_path)
    link(image, [elf])
    assert tree(tmp_path) == before
    assert write_sidecar(elf) == "miss"
    assert tree(tmp_path) - before == {kbuild_btf.sidecar_path(elf)}


def test_cache_and_trace_are_what_the_arguments_say(
    program: tuple[Path, Path], tmp_path: Path
) -> None:
    image, elf = program
    store, trace = tmp_path / "store", tmp_path / "trace.json"
    first = link(image, [elf], cache=store, trace=trace)
    assert first.report["encoded"] == 1
    assert len(list(store.rglob("*.kbtf"))) == 1
    second = link(image, [elf], cache=store)
    assert second.report["reused"] == 1
    assert second.btf == first.btf
    assert write_sidecar(elf, cache=store) == "hit"
    assert write_sidecar(elf, cache=store) == "unchanged"
    stages = json.loads(trace.read_text().rstrip().rstrip(",") + "]")
    assert stages[0]["name"] == f"BTF {image}"


def test_the_command_line_takes_them_from_the_environment(
    program: tuple[Path, Path], tmp_path: Path
) -> None:
    image, elf = program
    store, trace = tmp_path / "store", tmp_path / "trace.json"
    done = subprocess.run(
        [sys.executable, "-I", "-m", "kbuild_btf", "link", image, elf],
        env={"KBUILD_BTF_CACHE": str(store), "KBUILD_BTF_TRACE": str(trace)},
        check=True,
    )
    assert done.returncode == 0
    assert len(list(store.rglob("*.kbtf"))) == 1
    assert trace.exists()


def test_nothing_is_written_to_the_terminal(
    program: tuple[Path, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    image, elf = program
    (tmp_path / "a.btf").write_bytes(link(image, [elf]).btf)
    told: list[tuple[int, int]] = []
    verdict = verify(elf, btf=tmp_path / "a.btf", progress=lambda *both: told.append(both))
    assert verdict.problems == []
    assert told and told[-1][0] == told[-1][1]
    assert capfd.readouterr() == ("", "")


def test_numbers_below_zero_are_errors(program: tuple[Path, Path]) -> None:
    with pytest.raises(Error, match="jobs=-1"):
        verify(program[1], jobs=-1)
    with pytest.raises(Error, match="sample=-1"):
        verify(program[1], sample=-1)


def test_objects_that_the_tree_does_not_tell(program: tuple[Path, Path]) -> None:
    with pytest.raises(Error):
        linked_objects(program[0])


def test_nobody_knows_the_name(program: tuple[Path, Path]) -> None:
    image, elf = program
    with pytest.raises(Error, match="no function and no type is named nobody"):
        explain(image, "nobody", [elf])
