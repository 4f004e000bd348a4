# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The site (`make docs`): pages are plain Markdown, which reads as well where Sphinx is not.

What Sphinx needs beyond that is made here: its navigation of the lists in each index.md, and the
reference of verbs of the command line's parser.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
import manual

project = "kbuild-btf"
author = "The kbuild-btf authors"
extensions = ["myst_parser"]
# Anchors as GitHub makes them, so that a link with one works in both.
myst_heading_anchors = 4
# `--` is the beginning of an option here.
smartquotes = False
html_theme = "furo"
html_title = project
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
# Colours for shells would need each block to be marked; a block is what its words say.
highlight_language = "text"
exclude_patterns = ["images"]

_LISTED = re.compile(r"^- \[.*\]\((\S+)\.md\)", re.MULTILINE)


def navigation(index: str) -> str:
    """A toctree for each section of the index: the pages that its list names."""
    trees = []
    for section in re.split(r"^## ", index, flags=re.MULTILINE)[1:]:
        caption = section.partition("\n")[0]
        pages = "\n".join(_LISTED.findall(section))
        trees.append(f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{pages}\n```\n")
    return "\n".join(trees)


def complete(_: Sphinx, page: str, source: list[str]) -> None:
    """Add to a page what is made of something else."""
    if page.endswith("index"):
        source[0] += "\n" + navigation(source[0])
    elif page == "reference/verbs":
        source[0] += "\n" + manual.reference()


def setup(app: Sphinx) -> dict[str, bool]:
    """As Sphinx calls it."""
    app.connect("source-read", complete)
    return {"parallel_read_safe": True}
