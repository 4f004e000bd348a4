#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The manual page, and completion for bash, zsh and fish: made of the parser of the command line.

So is the reference of verbs in the documentation's site (docs/conf.py).

tools/manual.py DIRECTORY       writes them where they belong below a prefix
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import shtab
from argparse_manpage.manpage import Manpage

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from kbuild_btf import cli  # noqa: E402

PAGE = "share/man/man1/kbuild-btf.1"
COMPLETIONS = {
    "bash": "share/bash-completion/completions/kbuild-btf",
    "zsh": "share/zsh/site-functions/_kbuild-btf",
    "fish": "share/fish/vendor_completions.d/kbuild-btf.fish",
}

# What stands for an argument in the help says what it can be completed with.
_FILES = ("FILE", "ELF", "OBJECT", "A", "B")
_DIRECTORIES = ("DIR", "TREE")

# In the language of man(7).
_SECTIONS = {
    "exit status": """\
0: done.
.br
1: it failed; diff: the two differ; verify: there are problems; check: a
program does not load or attach; doctor: something is missing.
.br
2: the arguments are wrong; check, diff, verify: it failed; check: it cannot be told.
.br
130: ended by Ctrl\\-C. 141: nobody reads the output any more.""",
    "environment": """\
KBUILD_BTF_CACHE: directory of the cache; empty: none.
.br
KBUILD_BTF_CACHE_SIZE: its limit, such as 500M.
.br
KBUILD_BTF_CACHE_SHARED: 1: entries of other users count, too.
.br
NO_COLOR: no colours on a terminal.
.PP
Those that concern the build of a kernel are in docs/kbuild.md of the sources.""",
}


def completed() -> cli.Parser:
    """The parser with the arguments of every verb, and what they can be completed with."""
    top, by_verb = cli.parsers(*cli.VERBS)
    for verb in by_verb.values():
        for action in verb._actions:
            if action.metavar in _FILES:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
            elif action.metavar in _DIRECTORIES:
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
            elif action.metavar == "VERB":
                action.choices = list(cli.VERBS)
    return top


def page() -> str:
    """The manual page."""
    top, by_verb = cli.parsers(*cli.VERBS)
    for verb in by_verb.values():
        # The line of help of each verb says it already.
        verb.description = None
    # argparse breaks lines as wide as this, and man(1) breaks them for its reader.
    os.environ["COLUMNS"] = "10000"
    made = Manpage(top, format="single-commands-section")
    made.manual = "kbuild-btf"
    made.description = cli.DESCRIPTION.rstrip(".")
    for heading, text in _SECTIONS.items():
        made.add_section(heading, ">", text)
    return str(made)


def reference() -> str:
    """Each verb with its usage and arguments, in Markdown."""
    _, by_verb = cli.parsers(*cli.VERBS)
    os.environ["COLUMNS"] = "80"
    lines = []
    for name, verb in by_verb.items():
        indent = "usage: "
        usage = verb.format_usage().removeprefix(indent).replace("\n" + " " * len(indent), "\n")
        lines += [f"## {name}", "", verb.description or "", "", f"```text\n{usage}```", ""]
        rows = [_row(verb, action) for action in verb._actions if action.help != argparse.SUPPRESS]
        lines += ["| | |", "|---|---|", *rows, ""]
    return "\n".join(lines)


def _row(verb: cli.Parser, action: argparse.Action) -> str:
    """An argument and its help, as a row of a table."""
    formatter = verb._get_formatter()
    names = formatter._format_action_invocation(action)
    text = formatter._expand_help(action) if action.help else ""
    escaped = text.replace("<", "&lt;").replace("|", "\\|")
    return f"| `{names}` | {escaped} |"


def write(prefix: Path) -> list[str]:
    """Write all of them below ``prefix``; their names there."""
    texts = {PAGE: page()}
    texts |= {file: shtab.complete(completed(), shell) for shell, file in COMPLETIONS.items()}
    for file, text in texts.items():
        (prefix / file).parent.mkdir(parents=True, exist_ok=True)
        (prefix / file).write_text(text)
    return list(texts)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: tools/manual.py DIRECTORY")
    write(Path(sys.argv[1]))
