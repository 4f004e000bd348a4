# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The examples of docs/api.md, from the first to the last, in a tree that was built."""

from __future__ import annotations

import doctest

import pytest
from documents import fences
from minitree import MiniTree
from support import ROOT

PAGE = ROOT / "docs" / "api.md"


def test_examples(tree: MiniTree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree.directory)
    parser = doctest.DocTestParser()
    blocks = [fence for fence in fences(PAGE) if fence.language == "pycon"]
    examples = []
    for block in blocks:
        for example in parser.get_examples(block.text, str(PAGE)):
            example.lineno += block.line
            examples.append(example)
    assert len(examples) > 40
    # One namespace: later examples use what earlier ones made.
    page = doctest.DocTest(examples, {}, "api.md", str(PAGE), 0, None)
    said: list[str] = []
    # Tabs in C are spaces to doctest.
    flags = doctest.REPORT_UDIFF | doctest.NORMALIZE_WHITESPACE
    outcome = doctest.DocTestRunner(optionflags=flags).run(page, out=said.append)
    assert not outcome.failed, "".join(said)
    assert outcome.attempted == len(examples)
