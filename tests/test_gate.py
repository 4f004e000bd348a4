# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""kbuild-btf diff as a gate: whom a change breaks, what was agreed to, and what CI reads.

The kernels are small C files, compiled and encoded; `exported` is what modules use.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from support import SCRIPTS, compiled, kbuild_btf, require, run

from kbuild_btf import _native
from kbuild_btf.gate import judge, suppression
from kbuild_btf.gate.verdict import Finding
from kbuild_btf.rules import RULES, Severity

KERNEL = """
typedef unsigned int u32;
struct link { struct link *next, *prev; };
enum mood { GOOD = 0, BAD = 1 };
enum { FLAG_A = 1, FLAG_B = 2 };
struct shared {
    unsigned long flags; u32 number; struct link one, two; struct { u32 lo, hi; } at;
    enum mood mood; u32 bit : 3; long tail;
};
struct own { u32 a; unsigned char b; u32 c; long d; };
struct bytes { unsigned char u; signed char s; } bytes;
typedef struct { u32 x, y; } named_by_typedef;
u32 exported(struct shared *s, named_by_typedef *t) { return s->number + t->x + FLAG_A; }
static const char name[] __attribute__((used, section("__ksymtab_strings"))) = "exported";
__attribute__((noinline)) long private(struct own *own, int how) { return own->d + how; }
__attribute__((noinline)) int goes(int how) { return how + 1; }
"""
MODULE = (
    KERNEL.partition("u32 exported")[0]
    + """
struct of_module { struct shared s; u32 own; };
int uses(struct of_module *m) { return m->own; }
"""
)


def kernel(directory: Path, text: str, *modules: str) -> Path:
    """A directory as a build leaves it: vmlinux, and modules m0.ko, m1.ko, ..."""
    directory.mkdir()
    source = directory / "vmlinux.c"
    source.write_text(text)
    made = compiled(source, directory / "vmlinux.o", "-O2", "-std=gnu11")
    image = directory / "vmlinux"
    assert run("ld", "-e", "0", "-o", image, made).returncode == 0
    _native.embed(image, [(".BTF", _native.encode(image).btf)])
    for number, module in enumerate(modules):
        path = directory / f"m{number}.c"
        path.write_text(module)
        ko = compiled(path, directory / f"m{number}.ko", "-O2", "-std=gnu11")
        _native.embed(ko, [(".BTF", _native.encode(ko, base=str(image)).btf)])
    return directory


def edited(*changes: tuple[str, str], text: str = KERNEL) -> str:
    for before, after in changes:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    return text


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kernel(tmp_path_factory.mktemp("plain") / "a", KERNEL) / "vmlinux"


def findings(a: Path, b: Path) -> list[Finding]:
    """Of one vmlinux against another, without those that are told with what holds them."""
    return [one for one in judge(a, b).findings if one.rule.id != "unnamed"]


def said(found: list[Finding]) -> set[tuple[str, str, str]]:
    return {(one.name, one.rule.id, one.severity.word) for one in found}


SHARED, OWN = "struct shared", "struct own"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        # In a hole, and at the end of what modules use.
        (("u32 number;", "u32 number, fits;"), {(SHARED, "member-added", "addition")}),
        (
            ("long tail;", "long tail, end;"),
            {(SHARED, "member-added", "addition"), (SHARED, "size", "modules")},
        ),
        (
            ("struct link one, two;", "struct link two, one;"),
            {(SHARED, "member-moved", "modules")},
        ),
        (("long tail;", ""), {(SHARED, "member-removed", "modules"), (SHARED, "size", "modules")}),
        (("u32 bit : 3;", "u32 bit : 4;"), {(SHARED, "member-type", "modules")}),
        (("BAD = 1", "BAD = 2"), {("enum mood", "value-changed", "modules")}),
        (("BAD = 1", "BAD = 1, UGLY"), {("enum mood", "value-added", "addition")}),
        (("GOOD = 0, ", ""), {("enum mood", "value-removed", "modules")}),
        (("FLAG_B = 2", "FLAG_B = 4"), {("enum {FLAG_A, FLAG_B}", "value-changed", "programs")}),
        (
            ("{ u32 lo, hi; }", "{ u32 hi, lo; }"),
            {(SHARED, "member-moved", "modules")},
        ),
        (
            ("typedef struct { u32 x, y; }", "typedef struct { u32 y, x; }"),
            {("named_by_typedef", "member-moved", "modules")},
        ),
        # What no module uses: programs are told where members are.
        (("unsigned char b;", "unsigned char b, fits;"), {(OWN, "member-added", "addition")}),
        (("u32 c; long d;", "long d; u32 c;"), {(OWN, "member-moved", "none")}),
        (
            ("u32 a; unsigned char b;", "u32 a; signed char b;"),
            {(OWN, "member-type", "programs")},
        ),
        (("u32 c; long d;", "unsigned int c; long d;"), {(OWN, "member-spelling", "none")}),
        (("long d; }", "long e; }"), None),
        # Functions.
        (("*own, int how)", "*own, int why)"), None),
        (("int how) { return how + 1", "long how) { return how + 1"),
         {("goes", "prototype", "programs")}),
        (("int goes(int how) { return how + 1; }", "int came(void) { return 1; }"),
         {("goes", "function-removed", "programs"), ("came", "function-added", "addition")}),
        (
            ("named_by_typedef *t)", "const named_by_typedef *t)"),
            {("exported", "prototype", "modules")},
        ),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) and value else None,
)  # fmt: skip
def test_each_change_has_its_severity(
    change: tuple[str, str],
    expected: set[tuple[str, str, str]] | None,
    plain: Path,
    tmp_path: Path,
) -> None:
    if expected is None:
        more = {
            "long e; }": (edited(("own->d", "own->e"), change), {
                (OWN, "member-removed", "programs"), (OWN, "member-added", "addition")}),
            "*own, int why)": (edited(change, ("d + how", "d + why")), {
                ("private", "parameter-names", "none")}),
        }  # fmt: skip
        text, expected = more[change[1]]
    else:
        text = edited(change)
    b = kernel(tmp_path / "b", text) / "vmlinux"
    assert said(findings(plain, b)) == expected


def test_modules_are_matched_by_name_and_tell_what_is_used(tmp_path: Path) -> None:
    """What a module only points to through its own struct is used, too; struct own by none."""
    change = ("u32 c; long d;", "long d; u32 c;")
    both = [("unsigned long flags;", "unsigned long more, flags;"), change]
    a = kernel(tmp_path / "a", KERNEL, MODULE, MODULE)
    b = kernel(tmp_path / "b", edited(*both), edited(*both, text=MODULE), MODULE, MODULE)
    (b / "m1.ko").rename(b / "new-name.ko")
    found = list(judge(a, b).findings)
    severities = {(one.module, one.name, one.rule.id): one.severity for one in found}
    assert severities["", SHARED, "member-moved"] == Severity.MODULES
    assert severities["", OWN, "member-moved"] == Severity.NONE
    assert severities["m0", "struct of_module", "size"] == Severity.MODULES
    assert severities["m1", "m1", "module-removed"] == Severity.PROGRAMS
    assert severities["new_name", "new_name", "module-added"] == Severity.ADDITION


@pytest.mark.parametrize("how", ["xz", "gzip", "raw"])
def test_modules_as_packages_and_the_running_kernel_have_them(how: str, tmp_path: Path) -> None:
    a = kernel(tmp_path / "a", KERNEL, MODULE)
    b = kernel(tmp_path / "b", KERNEL, edited(("u32 own;", "u32 own, more, most;"), text=MODULE))
    for directory in (a, b):
        for path in (directory / "vmlinux", directory / "m0.ko"):
            if how == "raw":
                raw = _native.read_section(path, ".BTF")
                assert raw
                path.unlink()
                path.with_suffix("").write_bytes(raw)
            elif path.suffix:
                require(how)
                assert run(how, path).returncode == 0
    found = list(judge(a, b).findings)
    assert {(one.module, one.name, one.rule.id) for one in found} == {
        ("m0", "struct of_module", "member-added"),
        ("m0", "struct of_module", "size"),
    }


def test_without_exports_any_type_may_be_used(tmp_path: Path) -> None:
    a = kernel(tmp_path / "a", KERNEL)
    b = kernel(tmp_path / "b", edited(("u32 c; long d;", "long d; u32 c;")))
    for directory in (a, b):
        image = directory / "vmlinux"
        assert run("objcopy", "-R", "__ksymtab_strings", image).returncode == 0
    found = findings(a / "vmlinux", b / "vmlinux")
    assert said(found) == {(OWN, "member-moved", "modules")}


# --- the exit status, and what was agreed to ---------------------------------------------------

GROWN = edited(("long tail;", "long tail, end;"), ("FLAG_B = 2", "FLAG_B = 4"))


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A member at the end of struct shared, and another value."""
    top = tmp_path_factory.mktemp("grown")
    return kernel(top / "a", KERNEL) / "vmlinux", kernel(top / "b", GROWN) / "vmlinux"


ALL = """
[grew]
name = struct shared
reason = the vendor builds again
[flag]
name = enum {FLAG*
reason = new
"""


@pytest.mark.parametrize(
    ("level", "agreed", "status"),
    [
        ("none", "", 1),
        ("modules", "", 1),
        ("modules", "[grew]\nname = struct shared\nreason = agreed", 0),
        ("modules", "[grew]\nrule = size\nkind = STRUCT\nmodule =\nreason = agreed", 0),
        ("modules", "[grew]\nname = struct other\nreason = agreed", 1),
        ("modules", "[grew]\nname = struct shared\nmodule = m0\nreason = agreed", 1),
        ("programs", "[grew]\nname = struct shared\nreason = agreed", 1),
        ("addition", ALL, 0),
        ("none", ALL, 0),
    ],
)
def test_the_exit_status_is_the_verdict(
    level: str, agreed: str, status: int, grown: tuple[Path, Path], tmp_path: Path
) -> None:
    file = tmp_path / "agreed"
    file.write_text(agreed)
    done = kbuild_btf("diff", *grown, "--fail-on", level, "--suppress", file)
    assert (done.returncode, done.stderr) == (status, "")
    if "other" in agreed or "m0" in agreed:
        assert "suppression [grew] fits nothing" in done.stdout
    elif agreed:
        assert "fits nothing" not in done.stdout
        assert "(size): agreed" in done.stdout or "the vendor builds again" in done.stdout


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[a]\nname = x\n", "[a]: there is no reason; say why it may differ: reason = ..."),
        ("[a]\nreason = x\n", "[a]: it would fit everything; say what: name, rule, kind or module"),
        ("[a]\nname = x\nsize = 3\nreason = x\n", "[a]: size is not known; a section has name, "),
        ("[a]\nrule = moved\nreason = x\n", "[a]: no rule is called moved; see docs/ci.md"),
        ("[a]\nkind = struct\nreason = x\n", "[a]: no kind is called struct; see docs/ci.md"),
        ("name = x\n", "no section headers"),
        ("[a]\nname = x\nreason = y\n[a]\nname = x\nreason = y\n", "section 'a' already exists"),
    ],
)
def test_suppressions_that_say_nothing_are_refused(
    text: str, what: str, grown: tuple[Path, Path], tmp_path: Path
) -> None:
    file = tmp_path / "agreed"
    file.write_text(text)
    done = kbuild_btf("diff", *grown, "--suppress", file)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"kbuild-btf: {file}")
    assert what in done.stderr
    assert done.stderr.count("\n") == 1


def test_every_rule_can_be_named(tmp_path: Path) -> None:
    file = tmp_path / "agreed"
    file.write_text(f"[all]\nrule = {', '.join(RULES)}\nreason = test\n")
    (found,) = suppression.read(str(file))
    assert all(found.fits(name="", kind="", module="", rule=name) for name in RULES)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["{a}", "{file}"], "a directory and a file; name two of a kind"),
        (["{empty}", "{empty}"], "there is no vmlinux in it; name a directory with a vmlinux"),
        (["{a}", "{a}", "--base", "{file}"], "modules in a directory have its vmlinux as base"),
        (
            ["{file}", "{file}", "--json", "--format", "html"],
            "standard output: html and json; name a file",
        ),
        (
            ["{file}", "{file}", "--format", "pdf"],
            "--format: no format is called pdf; one of text, ",
        ),
        (
            ["{file}", "{file}", "--format", "json=/absent/x"],
            "/absent: there is no such directory; make it first",
        ),
    ],
)
def test_what_cannot_be_compared(
    words: list[str], what: str, grown: tuple[Path, Path], tmp_path: Path
) -> None:
    names = {"a": grown[0].parent, "file": grown[0], "empty": tmp_path}
    done = kbuild_btf("diff", *(word.format(**names) for word in words))
    assert (done.returncode, done.stdout) == (2, "")
    assert what in done.stderr


# --- what others read --------------------------------------------------------------------------


def rendered(grown: tuple[Path, Path], name: str, *more: str | Path) -> str:
    done = kbuild_btf("diff", *grown, "--format", name, *more)
    assert (done.returncode, done.stderr) == (1, "")
    return done.stdout


def test_json_has_each_finding(grown: tuple[Path, Path]) -> None:
    document = json.loads(rendered(grown, "json"))
    assert document["fails"] is True
    assert document["severities"]["modules"] == 1
    (size,) = [one for one in document["findings"] if one["rule"] == "size"]
    assert size == {
        "module": "",
        "kind": "STRUCT",
        "name": "struct shared",
        "rule": "size",
        "severity": "modules",
        "text": "size 72 -> 80",
        "reason": RULES["size"].reason,
        "suppressed": None,
    }


def test_sarif(grown: tuple[Path, Path], tmp_path: Path) -> None:
    agreed = tmp_path / "agreed"
    agreed.write_text("[grew]\nrule = size\nreason = it may\n")
    (log,) = json.loads(rendered(grown, "sarif", "--suppress", agreed))["runs"]
    ids = {rule["id"] for rule in log["tool"]["driver"]["rules"]}
    assert {result["ruleId"] for result in log["results"]} == ids
    (size,) = [result for result in log["results"] if result["ruleId"] == "size"]
    assert size["level"] == "error"
    assert size["suppressions"] == [{"kind": "external", "justification": "it may"}]
    assert size["message"]["text"].startswith("struct shared: size 72 -> 80: ")


def test_junit(grown: tuple[Path, Path], tmp_path: Path) -> None:
    agreed = tmp_path / "agreed"
    agreed.write_text("[flag]\nname = enum*\nreason = <so> & so\n")
    text = rendered(grown, "junit", "--fail-on", "programs", "--suppress", agreed)
    (suite,) = ElementTree.fromstring(text)
    cases = {case.get("name"): case for case in suite}
    assert int(suite.get("tests") or 0) == len(cases)
    assert cases["struct shared: size 72 -> 80"].find("failure") is not None
    (skipped,) = [case.find("skipped") for case in suite if case.find("skipped") is not None]
    assert skipped is not None
    assert skipped.get("message") == "<so> & so"
    assert (suite.get("failures"), suite.get("skipped")) == ("1", "1")


def test_markdown(grown: tuple[Path, Path]) -> None:
    lines = rendered(grown, "markdown").splitlines()
    assert "| modules | 1 | 0 | modules that are built no longer fit |" in lines
    assert "  +            72  long int end;" in lines
    assert lines.count("  ```diff") + lines.count("  ```") == 2 * lines.count("  ```diff")


class Page(HTMLParser):
    """What a page opens and refers to."""

    void = frozenset({"meta", "br"})
    # Closed by what follows them (HTML, "Optional tags").
    optional = frozenset({"td", "th", "tr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.void | self.optional:
            self.open.append(tag)
        self.links += [str(value) for name, value in attrs if name in ("href", "src")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data.strip())


def test_html_is_one_page(grown: tuple[Path, Path]) -> None:
    page = Page()
    page.feed(rendered(grown, "html"))
    assert (page.open, page.links) == ([], [])
    assert "struct shared" in page.text
    assert "long int end;" in page.text


def test_nothing_differs(grown: tuple[Path, Path]) -> None:
    for name in ("text", "json", "sarif", "junit", "markdown", "html"):
        done = kbuild_btf("diff", grown[0], grown[0], "--format", name)
        assert (done.returncode, done.stderr) == (0, "")
    assert (
        '<testcase classname="vmlinux" name="no difference"/>'
        in kbuild_btf("diff", grown[0], grown[0], "--format", "junit").stdout
    )


def test_on_a_terminal_it_fits_80_columns(grown: tuple[Path, Path]) -> None:
    top = grown[0].parent.parent
    environ = {**os.environ, "COLUMNS": "80", "TERM": "xterm", "NO_COLOR": "1"}
    words = [str(SCRIPTS / "kbuild-btf"), "diff", "a/vmlinux", "b/vmlinux"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(words, stdout=theirs, cwd=top, env=environ) as started:
        os.close(theirs)
        said = b""
        # At its end a terminal is an error (Linux).
        with contextlib.suppress(OSError):
            while read := os.read(ours, 1 << 16):
                said += read
    os.close(ours)
    lines = said.decode().splitlines()
    assert started.returncode == 1
    assert any("struct shared" in line for line in lines)
    assert [line for line in lines if len(line) > 80] == []


def test_several_formats_of_one_comparison(grown: tuple[Path, Path], tmp_path: Path) -> None:
    files = {name: tmp_path / f"btf.{name}" for name in ("html", "sarif")}
    words = [word for name, file in files.items() for word in ("--format", f"{name}={file}")]
    done = kbuild_btf("diff", *grown, *words)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == rendered(grown, "text")
    for name, file in files.items():
        assert file.read_text() == rendered(grown, name)
    assert sorted(tmp_path.iterdir()) == sorted(files.values())
