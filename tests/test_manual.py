# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The manual page and the completions: made of the parser, and usable by man and the shells."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support import ROOT, missing, require, run

from kbuild_btf import cli

PAGE = "share/man/man1/kbuild-btf.1"
COMPLETIONS = {
    "bash": "share/bash-completion/completions/kbuild-btf",
    "zsh": "share/zsh/site-functions/_kbuild-btf",
    "fish": "share/fish/vendor_completions.d/kbuild-btf.fish",
}


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("prefix")
    done = run(sys.executable, ROOT / "tools/manual.py", made)
    assert (done.returncode, done.stderr) == (0, "")
    return made


def options() -> dict[str, list[str]]:
    """Those of each verb, in full; --help goes without saying."""
    _, by_verb = cli.parsers(*cli.VERBS)
    return {
        verb: [
            option
            for action in parser._actions
            for option in action.option_strings
            if option.startswith("--") and option != "--help"
        ]
        for verb, parser in by_verb.items()
    }


def test_all_are_made(prefix: Path) -> None:
    made = {str(path.relative_to(prefix)) for path in prefix.rglob("*") if path.is_file()}
    assert made == {PAGE, *COMPLETIONS.values()}


def test_installed_where_man_and_shells_look() -> None:
    """An installation from a checkout has them; one for development need not."""
    if not (Path(sys.prefix) / PAGE).exists():
        missing("not installed by the build backend")
    assert all((Path(sys.prefix) / name).is_file() for name in COMPLETIONS.values())


def test_page_without_complaints(prefix: Path) -> None:
    require("man")
    environ = {"MANWIDTH": "80", "LC_ALL": "C.UTF-8", "MAN_KEEP_FORMATTING": ""}
    done = run("man", "--warnings", "-l", prefix / PAGE, env=environ)
    assert (done.returncode, done.stderr) == (0, "")
    text = done.stdout
    assert max(map(len, text.splitlines())) <= 80
    assert "EXIT STATUS" in text
    assert "usage: kbuild-btf make" in text


def test_page_has_every_option(prefix: Path) -> None:
    text = (prefix / PAGE).read_text().replace("\\-", "-")
    sections = dict(zip(cli.VERBS, text.split(".SS \\fBkbuild-btf ")[1:], strict=True))
    for verb, names in options().items():
        assert sections[verb].startswith(verb)
        assert [name for name in names if name not in sections[verb]] == []


def completed(prefix: Path, *words: str) -> list[str]:
    """What bash offers for the last word."""
    script = """
        source "$1"; shift
        function=$(complete -p kbuild-btf | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
        "$function" kbuild-btf "${@: -1}" "${@: -2:1}"
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    file = prefix / COMPLETIONS["bash"]
    done = run("bash", "-c", script, "bash", file, "kbuild-btf", *words, cwd=prefix)
    assert (done.returncode, done.stderr) == (0, "")
    return sorted(done.stdout.split())


def test_bash_completes_verbs_options_and_files(prefix: Path) -> None:
    require("bash")
    assert set(cli.VERBS) <= set(completed(prefix, ""))
    assert completed(prefix, "do") == ["doctor"]
    assert completed(prefix, "help", "ma") == ["make"]
    for verb, names in options().items():
        if verb != "make":
            assert set(names) <= set(completed(prefix, verb, "--"))
    assert completed(prefix, "dump", "--format", "") == ["c", "raw"]
    assert completed(prefix, "encode", "sh") == ["share"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_read_theirs(shell: str, prefix: Path) -> None:
    require(shell)
    done = run(shell, "-n", prefix / COMPLETIONS[shell])
    assert (done.returncode, done.stderr) == (0, "")
