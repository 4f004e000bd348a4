# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""`kbuild-btf report`: the facts, against those who know them otherwise, and the page in a browser.

KBUILD_BTF_SCREENSHOTS=DIR leaves pictures there, of the kernel that KBUILD_BTF_SCREENSHOTS_OF
names, else of the mini-kernel: those in docs/images are made so.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from minitree import MiniTree, mini_kernel
from support import SCRIPTS, compiled, kbuild_btf, require, run

from kbuild_btf import Btf, Error, _native, explain
from kbuild_btf.btf import Struct
from kbuild_btf.btf.elf import section
from kbuild_btf.btf.tables import Row
from kbuild_btf.report import drawing, layouts, link, timeline

SECTIONS = [
    "kinds", "subsystems", "modules", "structs", "packable", "names", "functions", "timeline",
    "cache", "difference",
]  # fmt: skip
# Looked up now: tests run without variables of ours.
SHOTS_TO = os.environ.get("KBUILD_BTF_SCREENSHOTS", "")
SHOTS_OF = os.environ.get("KBUILD_BTF_SCREENSHOTS_OF", "")
# Of elements that need no end, by the standard or because they are empty.
VOID = {"meta", "link", "br", "input", "rect", "path", "i"}
OPEN_ENDED = {"li", "td", "th", "tr", "thead", "tbody", "tfoot", "p"}


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> MiniTree:
    """The mini-kernel, built with -j4 and a trace."""
    tree = mini_kernel(tmp_path_factory.mktemp("report"))
    tree.environ["KBUILD_BTF_TRACE"] = str(tree.directory.parent / "trace.json")
    tree.make("-j4")
    return tree


@pytest.fixture(scope="module")
def made(traced: MiniTree) -> Path:
    """The directory of its report, compared with a kernel that lacks a member."""
    above = traced.directory.parent
    older = MiniTree.copy(above / "older", traced.environ)
    del older.environ["KBUILD_BTF_TRACE"]
    older.replace("include/mini/task.h", "\tu8 priority;\n", "\tu16 priority;\n")
    older.make("-j4")
    written = report(traced, "tree", "older", "-o", "out")
    assert (written.returncode, written.stderr) == (0, "")
    return above / "out"


def report(tree: MiniTree, *words: str | Path) -> subprocess.CompletedProcess[str]:
    names = ("KBUILD_BTF_CACHE", "KBUILD_BTF_TRACE")
    environ = {name: tree.environ[name] for name in names if name in tree.environ}
    above = tree.directory.parent
    return run(SCRIPTS / "kbuild-btf", "report", *words, env=environ, cwd=above)


@pytest.fixture(scope="module")
def facts(made: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((made / "report.json").read_text())
    return found


# --- the facts ----------------------------------------------------------------------------------


def test_bytes_are_those_of_the_files(facts: dict[str, Any], traced: MiniTree) -> None:
    for part, name in ((facts["vmlinux"], "vmlinux"), (facts["modules"][0], "drivers/mini.ko")):
        raw = section(memoryview((traced.directory / name).read_bytes()), ".BTF", name)
        assert raw is not None
        # From the header: where types end, which is where names begin.
        types = int.from_bytes(raw[12:16], "little")
        assert part["bytes"] == len(raw)
        assert sum(share["bytes"] for share in part["shares"]) == types
        assert part["names"] == len(raw) - types
    btf = Btf.load(traced.directory / "vmlinux")
    counts = {share["kind"]: share["count"] for share in facts["vmlinux"]["shares"]}
    assert counts["STRUCT"] == len(btf.find(Struct))
    assert sum(counts.values()) == len(btf) - 1
    assert [part["name"] for part in facts["modules"]] == ["mini"]


def test_what_is_left_out_is_what_explain_says(facts: dict[str, Any], traced: MiniTree) -> None:
    image = traced.directory / "vmlinux"
    told = facts["link"]["left_out"]
    assert told
    for one in told:
        verdict = explain(image, one["name"]).function
        assert verdict is not None
        assert one["reason"] == verdict.reason
        assert {tuple(symbol) for symbol in one["symbols"]} == {*verdict.symbols}
        objects = {os.path.relpath(c.object, traced.directory) for c in verdict.candidates}
        assert {name for way in one["told"] for name in way["objects"]} == objects
        assert any(way["decides"] for way in one["told"])


def test_who_decides_is_who_has_the_reason(facts: dict[str, Any]) -> None:
    """Three files have a static function of one name; pick() is not called as the ABI says."""
    deciding = {
        one["name"]: {name for way in one["told"] if way["decides"] for name in way["objects"]}
        for one in facts["link"]["left_out"]
    }
    assert deciding["elapsed"] == {"kernel/sched.o", "kernel/stats.o", "drivers/stats.o"}
    (pick,) = [one for one in facts["link"]["left_out"] if one["name"] == "pick"]
    said = "a parameter is in an unexpected register"
    assert [said in way["facts"] for way in pick["told"]] == [w["decides"] for w in pick["told"]]


def test_names_with_several_definitions(facts: dict[str, Any], traced: MiniTree) -> None:
    for one in facts["link"]["names"]:
        name = one["name"].split()[-1]
        told = explain(traced.directory / "vmlinux", name).definitions
        whole = [d for d in told if d.kind != "FWD"]
        assert [d["size"] for d in one["definitions"]] == [d.size for d in whole]
        assert [d["difference"] for d in one["definitions"]] == [d.difference for d in whole]
        assert [d["count"] for d in one["definitions"]] == [len(d.objects) for d in whole]
    assert facts["link"]["names"]


def test_a_type_belongs_to_the_directory_of_all_who_have_it(tmp_path: Path) -> None:
    texts = {
        "a/b/one.c": "struct one { char a[3]; } one;",
        "a/c/two.c": "struct both { short a[5]; } two;",
        "a/b/both.c": "struct both { short a[5]; } three;",
        "d/all.c": "struct both; struct all { short b[7]; } all;",
        "a/c/all.c": "struct all { short b[7]; } more;",
    }
    objects = []
    for name, text in texts.items():
        source = tmp_path / name
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(f"{text}\n")
        objects.append(compiled(source, source.with_suffix(".o")))
    image = tmp_path / "image"
    assert run("ld", "-e0", "-o", image, *objects).returncode == 0
    found = {
        os.path.relpath(path, tmp_path): (types, size)
        for path, types, size in _native.survey(image, objects=objects)["directories"]
    }
    # struct: three words and three for a member; array: six.
    assert found["a/b"] == (3, 24 + 24 + 16)  # and char
    assert found["a"] == (2, 24 + 24)
    # `short` and the index type of arrays are everywhere; the enum and array of `all`.
    assert set(found) == {"a/b", "a", "."}
    assert _native.survey(image)["directories"]


def test_where_the_image_is_is_no_subsystem(
    traced: MiniTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Units are named as the compiler saw them, not from where the image is now."""
    image = tmp_path / "kernel" / "vmlinux"
    image.parent.mkdir()
    shutil.copy(traced.directory / "vmlinux", image)
    monkeypatch.chdir(tmp_path)
    told = link.survey(Path("kernel/vmlinux"), None)
    assert not told.of_objects
    assert {one.path for one in told.directories} >= {"kernel", "drivers"}
    of_objects = link.survey(traced.directory / "vmlinux", None)
    assert of_objects.of_objects
    assert {one.path for one in of_objects.directories} >= {"kernel", "drivers"}


LAYOUT = """
struct hollow {
    char first;
    long second;
    struct { short inner; long other; };
    unsigned low : 3, high : 5;
} hollow;
"""


def test_bands_cover_a_struct(tmp_path: Path) -> None:
    source = tmp_path / "hollow.c"
    source.write_text(LAYOUT)
    btf = Btf.from_bytes(_native.encode(compiled(source, tmp_path / "hollow.o")).btf)
    found = list(layouts.bands(btf.find(Struct, "hollow")[0]))
    assert [(band.what, band.name, band.start, band.end) for band in found] == [
        ("member", "first", 0, 8),
        ("hole", "", 8, 64),
        ("member", "second", 64, 128),
        ("member", "inner", 128, 144),
        ("hole", "", 144, 192),
        ("member", "other", 192, 256),
        ("member", "low", 256, 259),
        ("member", "high", 259, 264),
        ("padding", "", 264, 320),
    ]
    assert found[6].text == "unsigned int low : 3"


def test_lines_that_one_member_fills_are_one_row() -> None:
    row = Row("STRUCT", "struct big", 64 * 1000, 0, 0, 0, 64 * 1000)
    band = layouts.Band("member", "buffer", "char buffer[64000]", 0, 64 * 1000 * 8)
    drawn = drawing.lines(layouts.Drawn(row, (band,)))
    assert drawn.count("<rect") == 2
    assert "998 lines more of buffer" in drawn


TRACE = """[
{"name":"hook old.o","ph":"X","ts":1000000.0,"dur":5.0,"pid":1,"tid":1,"args":{}},
{"name":"hook a.o","ph":"X","ts":4000000000.0,"dur":2000000.0,"pid":7,"tid":7,"args":{}},
{"name":"look at sidecar","ph":"X","ts":4000000000.0,"dur":500000.0,"pid":7,"tid":7,"args":{}},
{"name":"BTF vmlinux","ph":"X","ts":4003000000.0,"dur":1000000.0,"pid":9,"tid":9,"args":{}},
{"name":"refine","ph":"X","ts":4003250000.0,"dur":500000.0,"pid":9,"tid":9,"args":{}},
{"name":"hook <b>.o","ph":"X","ts":4001000000.0,"dur":1500000.0,"pid":8,"tid":8,"args":{}},
"""


def test_a_trace_of_two_builds(tmp_path: Path) -> None:
    (tmp_path / "trace").write_text(TRACE)
    found = timeline.read(tmp_path / "trace")
    assert [(p.what, p.name, p.start, p.seconds) for p in found.processes] == [
        ("hook", "a.o", 0, 2),
        ("hook", "<b>.o", 1, 1.5),
        ("link", "vmlinux", 3, 1),
    ]
    assert (found.lanes, found.before, found.seconds) == ((0, 1, 0), 1, 4)
    assert [(s.name, s.start, s.seconds) for s in found.processes[2].stages] == [
        ("refine", 3.25, 0.5)
    ]


def test_the_timeline_is_that_of_the_trace(facts: dict[str, Any], traced: MiniTree) -> None:
    names = re.findall(
        r'"name":"hook ([^"]+)"', Path(traced.environ["KBUILD_BTF_TRACE"]).read_text()
    )
    found = [one for one in facts["timeline"]["processes"] if one["what"] == "hook"]
    assert sorted(one["name"] for one in found) == sorted(names)
    links = [one for one in facts["timeline"]["processes"] if one["what"] == "link"]
    assert {"refine", "fix up"} <= {stage["name"] for stage in links[0]["stages"]}


@pytest.mark.parametrize(
    "text", ["", "{", "[{}]", '{"a": 1}', '[\n{"name":"refine","ts":1,"dur":1}']
)
def test_what_is_no_trace(text: str, tmp_path: Path) -> None:
    (tmp_path / "trace").write_text(text)
    if not text:
        assert timeline.read(tmp_path / "trace").processes == ()
        return
    with pytest.raises(Error, match="not a trace of kbuild-btf"):
        timeline.read(tmp_path / "trace")


# --- the command ---------------------------------------------------------------------------------


def test_a_file_alone_says_what_is_missing(traced: MiniTree, tmp_path: Path) -> None:
    raw = tmp_path / "raw.btf"
    raw.write_bytes(_native.encode(traced.directory / "vmlinux").btf)
    done = kbuild_btf("report", raw, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    page = Page((tmp_path / "out" / "index.html").read_text())
    assert [one for one in page.sections if one not in page.with_missing] == [
        "kinds", "structs", "packable", "cache",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["{empty}"], "there is no vmlinux in it"),
        (["{image}", "{empty}"], "name two of a kind"),
        (["{image}", "--trace", "{image}"], "not a trace of kbuild-btf"),
        (["/absent"], "/absent: No such file or directory"),
        (["{image}", "-o", "{image}"], "a directory is wanted, this is a file"),
        (["{image}", "-o", "{empty}/no/no"], "there is no such directory; make it first"),
    ],
)
def test_what_cannot_be_reported(
    words: list[str], what: str, traced: MiniTree, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    names = {"empty": tmp_path / "empty", "image": traced.directory / "vmlinux"}
    out = [] if "-o" in words else ["-o", str(tmp_path / "out")]
    done = kbuild_btf("report", *(word.format(**names) for word in words), *out)
    assert (done.returncode, done.stdout) == (1, "")
    assert what in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


# --- the page ------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Sections in their order, and what a reader without a script has of them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sections: list[str] = []
        self.with_missing: set[str] = set()
        self.leads: dict[str, str] = {}
        self.references: list[str] = []
        self.ids: list[str] = []
        self._open: list[str] = []
        self._lead = False
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in VOID | OPEN_ENDED:
            self._open.append(tag)
        self.ids += filter(None, [given.get("id")])
        self.references += [given[name] or "" for name in ("href", "src") if name in given]
        if tag == "section":
            self.sections.append(given["id"] or "")
        look = given.get("class")
        self._lead = look == "lead"
        if look == "missing":
            self.with_missing.add(self.sections[-1])

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID | OPEN_ENDED:
            assert self._open.pop() == tag
        self._lead = False

    def handle_data(self, data: str) -> None:
        if self._lead:
            self.leads[self.sections[-1]] = data


def test_all_is_there_without_a_script(made: Path, facts: dict[str, Any]) -> None:
    text = (made / "index.html").read_text()
    page = Page(re.sub(r"<script>.*</script>", "", text, flags=re.DOTALL))
    assert page.sections == SECTIONS
    assert page.with_missing == set()
    assert all(lead.endswith(".") for lead in page.leads.values())
    assert set(page.leads) == set(SECTIONS)
    assert len(set(page.ids)) == len(page.ids)
    # Of the table of contents and the tiles; nothing leads out of the page.
    assert {reference.removeprefix("#") for reference in page.references} == set(SECTIONS)
    assert all(reference.startswith("#") for reference in page.references)
    assert re.findall(r"https?:|//[a-z]+\.|@import|url\((?!#)", text) == []
    for one in facts["link"]["left_out"]:
        assert f'id="f-{one["name"]}"' in text
    assert "u16 priority" in text


def test_names_are_text(tmp_path: Path, traced: MiniTree) -> None:
    (tmp_path / "trace").write_text(TRACE)
    image = traced.directory / "vmlinux"
    done = kbuild_btf("report", image, "-o", tmp_path, "--trace", tmp_path / "trace")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "index.html").read_text()
    assert "<b>.o" not in text
    assert "&lt;b&gt;.o" in text


def chromium(page: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """A headless browser that sees one page."""
    require("chromium")
    return run(
        *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
        # The browser itself wants to look for updates.
        *("--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND"),
        *(f"--user-data-dir={page.parent / 'browser'}", "--virtual-time-budget=2000"),
        *("--enable-logging=stderr", *flags, page.as_uri()),
    )


def dumped(page: Path, tmp_path: Path) -> str:
    """What the script made of a page; it may not complain, nor want anything of the network."""
    log = tmp_path / "net.json"
    done = chromium(page, "--dump-dom", f"--log-net-log={log}")
    assert done.returncode == 0, done.stderr
    assert "CONSOLE" not in done.stderr
    # Of what the browser does by itself.
    assert set(re.findall(r'"initiator":"([^"]*)"', log.read_text())) <= {"not an origin"}
    return done.stdout


def test_a_page_that_fetches_is_found_out(tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    page.write_text('<!DOCTYPE html><img src="http://192.0.2.1/x.png" alt="">')
    with pytest.raises(AssertionError):
        dumped(page, tmp_path)


def test_a_browser_shows_every_section(made: Path, tmp_path: Path) -> None:
    found = dumped(made / "index.html", tmp_path)
    assert re.findall(r'<section id="(\w+)">', found) == SECTIONS
    # The script has run: fields to search in are there, heads are buttons.
    assert '<div class="search"><label>Search functions' in found
    assert '<th scope="col" class="n"><button>bytes' in found


SEARCH = """<script>
const section = document.getElementById("functions");
const input = section.querySelector("input");
input.value = "ELAP";
input.dispatchEvent(new Event("input"));
document.querySelector("#kinds th button").click();
</script></body>"""


def test_search_and_sort(made: Path, tmp_path: Path, facts: dict[str, Any]) -> None:
    page = tmp_path / "index.html"
    page.write_text((made / "index.html").read_text().replace("</body>", SEARCH))
    found = dumped(page, tmp_path)
    shown = re.findall(r'<li id="f-(\w+)" data-name="\w+">', found)
    hidden = re.findall(r'<li id="f-(\w+)" data-name="\w+" hidden="">', found)
    names = {one["name"] for one in facts["link"]["left_out"]}
    assert shown == ["elapsed"]
    assert set(hidden) == names - {"elapsed"}
    assert f"1 of {len(names)}" in found
    kinds = found.split('<section id="kinds">')[1].split("</tbody>")[0]
    first = re.findall(r"<tr><td>(\w+)", kinds)
    assert first == sorted(first)


# Where the browser looks, and how wide its window is.
SHOTS = {
    "report-light": ((), "1400,1300"),
    "report-dark": (("--blink-settings=preferredColorScheme=0",), "1400,1300"),
    "report-phone": ((), "500,1300"),
}


@pytest.mark.skipif(not SHOTS_TO, reason="KBUILD_BTF_SCREENSHOTS names no directory")
def test_screenshots(made: Path, tmp_path: Path) -> None:
    to = Path(SHOTS_TO).resolve()
    page = made / "index.html"
    if SHOTS_OF:
        # Its path is in the pictures.
        (tmp_path / "kernel").symlink_to(SHOTS_OF)
        assert kbuild_btf("report", "kernel", "-o", ".", cwd=tmp_path).returncode == 0
        page = tmp_path / "index.html"
    for name, (flags, size) in SHOTS.items():
        shot(page, to / f"{name}.png", size, *flags)
    for name, height in {"structs": 1100, "functions": 900, "timeline": 900}.items():
        # A picture begins at the top of a page.
        hidden = f"header, nav, footer, section:not(#{name}), #structs details:not([open])"
        hidden += ", #structs h3:first-of-type, #structs h3:first-of-type + .heads"
        style = f"{hidden} {{ display: none; }} .columns {{ display: block; }}"
        text = (made / "index.html" if name == "timeline" else page).read_text()
        text = text.replace("</style>", f"{style} body {{ max-width: 70rem; }}</style>")
        text = text.replace('<details class="fold"><summary>Sev', "<details open><summary>Sev")
        # One that more people know than the one that is open, where it is there.
        known = '<details><summary class="struct">\n<code>struct task_struct<'
        if known in text:
            text = text.replace("<details open><summary class", "<details><summary class")
            text = text.replace(known, known.replace("<details>", "<details open>"))
        one = tmp_path / f"{name}.html"
        one.write_text(text)
        shot(one, to / f"report-{name}.png", f"1100,{height}")
    done = kbuild_btf("diff", "older", "tree", "--format", "html", cwd=made.parent)
    text = done.stdout.replace("<details>", "<details open>")
    (tmp_path / "diff.html").write_text(text)
    shot(tmp_path / "diff.html", to / "diff.png", "1100,900")


def shot(page: Path, to: Path, size: str, *flags: str) -> None:
    done = chromium(page, f"--screenshot={to}", f"--window-size={size}", *flags)
    assert done.returncode == 0, done.stderr
    assert to.read_bytes().startswith(b"\x89PNG")
