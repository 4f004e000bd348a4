# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The documentation: it becomes a site without a warning, its links lead somewhere there and as
files, and it names only what there is."""

from __future__ import annotations

import functools
import itertools
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import pytest
from documents import fences
from markdown_it import MarkdownIt
from support import ROOT

from kbuild_btf import cli

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *PAGES]


def build(sources: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """As `make docs` does it."""
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    return subprocess.run(
        [*command, "-d", target.with_name("doctrees"), sources, target],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("docs") / "site"
    done = build(DOCS, target)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return target


class Page(HTMLParser):
    """What a page of HTML links to, in its navigation and in all; its anchors; its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.navigation: list[str] = []
        self.anchors: set[str] = set()
        self.text = ""
        self._navigation = 0
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "div" and (self._navigation or given.get("class") == "sidebar-tree"):
            self._navigation += 1
        self.anchors.add(given.get("id") or "")
        link = given.get("href" if tag in ("a", "link") else "src")
        if link:
            self.links.append(link)
            if self._navigation:
                self.navigation.append(link)

    def handle_endtag(self, tag: str) -> None:
        if tag == "div" and self._navigation:
            self._navigation -= 1

    def handle_data(self, data: str) -> None:
        self.text += data


def broken(page: Path, links: list[str], anchors: dict[Path, set[str]]) -> Iterator[str]:
    """Those that lead nowhere; of others' only what their syntax says."""
    for link in links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            if parts.scheme != "https" or "." not in parts.netloc or " " in link:
                yield link
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        lost = parts.fragment and parts.fragment not in anchors.get(target, set())
        if lost or not target.exists():
            yield link


def test_links_of_the_site(site: Path) -> None:
    pages = {path: Page(path) for path in site.rglob("*.html")}
    anchors = {path: page.anchors for path, page in pages.items()}
    found = {
        path.name: lost
        for path, page in pages.items()
        if path.name not in ("search.html", "genindex.html")
        if (lost := list(broken(path, page.links, anchors)))
    }
    assert found == {}


def test_every_page_is_in_the_navigation(site: Path) -> None:
    reached = {
        (site / unquote(urlsplit(link).path)).resolve().relative_to(site).with_suffix("")
        for link in Page(site / "index.html").navigation
    }
    assert {path.relative_to(DOCS).with_suffix("") for path in PAGES} - {Path("index")} <= reached


def test_verbs_are_those_of_the_parser(site: Path) -> None:
    page = Page(site / "reference/verbs.html")
    _, by_verb = cli.parsers(*cli.VERBS)
    for verb, parser in by_verb.items():
        assert verb in page.anchors
        options = [o for action in parser._actions for o in action.option_strings]
        assert [option for option in options if option not in page.text] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[gone](gone.md)\n", "gone.md"),
        ("[gone](index.md#gone)\n", "gone"),
        ("", "isn't included in any toctree"),
    ],
    ids=["page", "anchor", "navigation"],
)
def test_what_is_wrong_ends_the_build(text: str, said: str, tmp_path: Path) -> None:
    sources = tmp_path / "docs"
    sources.mkdir()
    (sources / "conf.py").write_text(
        (DOCS / "conf.py")
        .read_text()
        .replace("Path(__file__).resolve().parent.parent", f"Path({str(ROOT)!r})")
    )
    (sources / "index.md").write_text(f"# Index\n\n## Pages\n\n- [one](one.md)\n\n{text}")
    (sources / "one.md").write_text("# One\n")
    if not text:
        (sources / "lost.md").write_text("# Lost\n")
    done = build(sources, tmp_path / "site")
    assert done.returncode == 1 and said in done.stderr


@functools.cache
def slugs(path: Path) -> set[str]:
    """Anchors that GitHub gives the headings of a document."""
    count: Counter[str] = Counter()
    found = set()
    tokens = MarkdownIt().enable("table").parse(path.read_text())
    for token, inline in itertools.pairwise(tokens):
        if token.type == "heading_open":
            text = "".join(part.content for part in inline.children or ())
            slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            found.add(f"{slug}-{count[slug]}" if count[slug] else slug)
            count[slug] += 1
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_files(path: Path) -> None:
    """As they are followed where the sources are read."""
    tokens = MarkdownIt().enable("table").parse(path.read_text())
    links = [
        str(part.attrs[name])
        for token in tokens
        for part in token.children or ()
        for name in ("href", "src")
        if name in part.attrs
    ]
    anchors = {document: slugs(document) for document in DOCUMENTS}
    assert list(broken(path, links, anchors)) == []


# A command at the beginning of a line or of words in a paragraph, or in $(...).
_COMMAND = re.compile(
    r"(?:^|\$\()\s*(?:\w+=\S* )*(?:sudo )?(?:\S*/)?kbuild-btf ([a-z-]+)([^|;)#\"]*)", re.MULTILINE
)


def commands(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Each verb that a document writes, with the words behind it; not in fences without a language,
    which show what is printed."""
    tokens = MarkdownIt().enable("table").parse(path.read_text())
    code = [fence.text for fence in fences(path) if fence.language not in ("", "pycon")]
    code += [token.content for token in tokens if token.type == "code_block"]
    code += [
        part.content
        for token in tokens
        for part in token.children or ()
        if part.type == "code_inline"
    ]
    for text in code:
        for verb, rest in _COMMAND.findall(text.replace("\\\n", " ")):
            yield verb, rest.split()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_are_those_of_the_parser(path: Path) -> None:
    _, by_verb = cli.parsers(*cli.VERBS)
    for verb, words in commands(path):
        assert verb in by_verb, f"{path}: {verb}"
        # What stands behind make is make's, behind bugreport another verb's.
        if verb == "make":
            continue
        known = by_verb[words[1] if verb == "bugreport" and words[1:] else verb]
        for word in words:
            if word.startswith("--"):
                option = word.partition("=")[0].rstrip(",.")
                assert option in known._option_string_actions, f"{path}: {verb} {option}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_variables_are_those_of_the_sources(path: Path, sources: str) -> None:
    named = set(re.findall(r"\bKBUILD_BTF(?:_[A-Z]+)*\b", path.read_text()))
    assert sorted(name for name in named if name not in sources) == []


@pytest.fixture(scope="module")
def sources() -> str:
    return "".join(
        path.read_text(errors="replace")
        for folder in ("kbuild_btf", "native/src", "makefile-snippets", "tests", "Makefile")
        for path in ([ROOT / folder] if (ROOT / folder).is_file() else (ROOT / folder).rglob("*"))
        if path.suffix in (".py", ".rs", ".mk", "") and path.is_file() and path != Path(__file__)
    )


def test_reasons_of_functions_are_explained() -> None:
    """By the words in which `kbuild-btf explain` tells them."""
    text = (ROOT / "native/src/fixup/functions.rs").read_text()
    told = re.search(r"pub fn text\(.*?\n    }\n", text, re.DOTALL)
    assert told
    reasons = re.findall(r'"([^"]+)"', told[0])
    page = (DOCS / "howto/missing-function.md").read_text()
    assert len(reasons) >= 6
    assert [reason for reason in reasons if f"| {reason} |" not in page] == []


def test_the_picture_is_the_demo() -> None:
    """Made by tools/picture, and again when the demo has changed. Nothing in it is fetched."""
    picture = ROOT / "docs/images/demo.svg"
    assert picture.stat().st_size < 100_000
    text = "".join(ElementTree.parse(picture).getroot().itertext()).replace("\xa0", " ")
    said = (ROOT / "kbuild_btf/commands/demo.py").read_text().partition("def _kernel(")[0]
    headings = re.findall(r'_heading\(f?"(\d\. [^"{]+)', said)
    assert len(headings) >= 3
    assert [heading for heading in headings if heading.strip() not in text] == []
    assert not re.search(r"(?:href|src|url)\s*[=(]\s*[\"']?https?:", picture.read_text())
