# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""docs/ci.md: its recipes run as they stand there, its table is that of the program."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt
from support import ROOT, SCRIPTS, run
from test_gate import GROWN, KERNEL, kernel

from kbuild_btf.rules import RULES

PAGE = ROOT / "docs/ci.md"


def blocks(language: str) -> list[str]:
    tokens = MarkdownIt().parse(PAGE.read_text())
    return [token.content for token in tokens if token.type == "fence" and token.info == language]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two kernels, where the recipes expect them, and what the page says was agreed to."""
    directory = tmp_path_factory.mktemp("checkout")
    kernel(directory / "base", KERNEL)
    kernel(directory / "build", GROWN)
    (directory / "btf-agreed.ini").write_text(blocks("ini")[0])
    return directory


def recipe(number: int) -> dict[str, Any]:
    found = yaml.safe_load(blocks("yaml")[number])
    assert isinstance(found, dict)
    return found


def shell(script: str, directory: Path) -> tuple[int, str]:
    """As runners start a step: bash, which ends at the first failure."""
    env = {
        "PATH": f"{SCRIPTS}:{os.environ['PATH']}",
        "GITHUB_STEP_SUMMARY": str(directory / "summary"),
    }
    done = run("bash", "-e", "-o", "pipefail", "-c", script, cwd=directory, env=env)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("fits", [False, True])
def test_github(fits: bool, checkout: Path, tmp_path: Path) -> None:
    directory = copied(checkout, tmp_path, fits)
    steps = recipe(0)["jobs"]["btf"]["steps"]
    (script,) = [step["run"] for step in steps if "run" in step]
    status, said = shell(script, directory)
    assert status == (0 if fits else 1), said
    assert "suppression [one module] fits nothing" in said
    summary = (directory / "summary").read_text()
    assert ("No difference." in summary) == fits
    for step in steps:
        for path in (step.get("with") or {}).values():
            assert path == "btf" or (directory / path).exists()


@pytest.mark.parametrize("fits", [False, True])
def test_gitlab(fits: bool, checkout: Path, tmp_path: Path) -> None:
    directory = copied(checkout, tmp_path, fits)
    job = recipe(1)["btf"]
    status, said = shell("\n".join(job["script"]), directory)
    assert status == (0 if fits else 1), said
    assert (directory / job["artifacts"]["reports"]["junit"]).exists()


def copied(checkout: Path, directory: Path, fits: bool) -> Path:
    """The checkout to change; one in which both kernels are the same."""
    made = directory / "checkout"
    shutil.copytree(checkout, made)
    if fits:
        shutil.rmtree(made / "build")
        (made / "base").rename(made / "build")
        shutil.copytree(made / "build", made / "base")
    return made


def test_the_table_has_every_rule() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (\w+) \| (\w*) \| (.*) \|$", PAGE.read_text(), re.M)
    assert rows == [
        (rule.id, rule.used.word, "" if rule.unused == rule.used else rule.unused.word, rule.reason)
        for rule in RULES.values()
    ]
