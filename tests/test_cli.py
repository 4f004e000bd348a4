# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The command line as a whole: help, mistakes, where output goes, what cannot be written, JSON."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from minitree import MiniTree
from support import ROOT, SCRIPTS, SECONDS, SOURCES, compiled, kbuild_btf, require, run

from kbuild_btf import __version__, _native, cli
from kbuild_btf.btf import Btf
from kbuild_btf.programs.object import EM_BPF

PROGRAM = SCRIPTS / "kbuild-btf"


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("elf")
    made = compiled(SOURCES / "layouts.c", directory / "layouts.o")
    assert kbuild_btf("encode", made, "--in-place").returncode == 0
    # Its BTF, which stands for a kernel, and itself as an object for the BPF machine (e_machine).
    content = made.read_bytes()
    made.with_suffix(".btf").write_bytes(_native.read_section(made, ".BTF") or b"")
    made.with_suffix(".bpf.o").write_bytes(
        content[:18] + EM_BPF.to_bytes(2, "little") + content[20:]
    )
    return made


# --- help, and what was meant -----------------------------------------------------------------


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version(option: str) -> None:
    assert kbuild_btf(option).stdout == f"kbuild-btf {__version__}\n"


def test_help_of_all() -> None:
    done = kbuild_btf("help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == kbuild_btf("--help").stdout
    assert all(verb in done.stdout for verb in cli.VERBS)


@pytest.mark.parametrize("verb", [verb for verb in cli.VERBS if verb != "make"])
def test_help_of_a_verb_is_its_own(verb: str) -> None:
    done = kbuild_btf("help", verb)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == kbuild_btf(verb, "--help").stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_help_of_make() -> None:
    """Which has no --help of ours: all its arguments are those of make."""
    done = kbuild_btf("help", "make")
    assert done.returncode == 0
    assert cli.VERBS["make"][1:] in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["encod", "x"], "no verb encod; did you mean encode?"),
        (["help", "mak"], "no verb mak; did you mean make?"),
        (["xyzzy"], "no verb xyzzy; see kbuild-btf --help"),
        (["encode", "x", "--outptu", "y"], "no option --outptu; did you mean --output?"),
        (["encode", "x", "--outptu=y"], "no option --outptu; did you mean --output?"),
        (["diff", "a", "b", "c"], "kbuild-btf diff: too many arguments: c"),
        (["--jsn"], "no option --jsn"),
    ],
)
def test_mistakes(words: list[str], said: str) -> None:
    done = kbuild_btf(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("verb", "wanted"), [("link", "ELF"), ("explain", "NAME, ELF")])
def test_only_what_is_required_is_called_required(verb: str, wanted: str) -> None:
    done = kbuild_btf(verb)
    assert f"required: {wanted}; see" in done.stderr


# All verbs' arguments can be shown without what only some of them need to run; `kbuild-btf make`
# comes before each build, also when there is nothing to do.
@pytest.mark.parametrize(
    ("start", "slow"),
    [
        (
            "from kbuild_btf import cli; cli.parsers(*cli.VERBS)",
            {"kbuild_btf._native", "elftools", "xxhash", "filelock"},
        ),
        (
            "import kbuild_btf.cli, kbuild_btf.commands.make",
            {"dataclasses", "importlib.metadata", "secrets", "tempfile"},
        ),
    ],
)
def test_the_start_imports_little(start: str, slow: set[str]) -> None:
    ask = (
        f"import sys; before = {{*sys.modules}}; {start}; print({slow} & {{*sys.modules}} - before)"
    )
    assert run(sys.executable, "-c", ask).stdout == "set()\n"


# --- output that cannot be written ------------------------------------------------------------


def commands(elf: Path, directory: Path) -> dict[str, list[str | Path]]:
    return {
        "-V": ["-V"],
        "--help": ["--help"],
        "help": ["help", "dump"],
        "encode": ["encode", elf, "-o", directory / "out.btf"],
        "encode -o -": ["encode", elf, "-o", "-"],
        "encode --json": ["encode", elf, "-o", directory / "out.btf", "--json"],
        "link": ["link", elf, elf, "-o", directory / "out.btf"],
        "dump": ["dump", elf],
        "dump --json": ["dump", elf, "--json"],
        "diff": ["diff", elf, elf],
        "diff --json": ["diff", elf, elf, "--json"],
        "check": ["check", f"{elf}"[:-2] + ".bpf.o", f"{elf}"[:-2] + ".btf"],
        "min-core": [
            *("min-core", f"{elf}"[:-2] + ".bpf.o", f"{elf}"[:-2] + ".btf"),
            *("-o", directory / "out.btf"),
        ],
        "explain": ["explain", "plain", elf, elf],
        "verify": ["verify", elf, "--no-kernel"],
        "cache": ["cache"],
        "doctor": ["doctor"],
        "bugreport": ["bugreport", directory / "pack", "encode", elf],
        "report": ["report", elf, "-o", directory / "report"],
        "env": ["env"],
        "demo": ["demo"],
    }


VERBS = list(commands(Path(), Path()))


def refused(
    words: Sequence[str | Path], stdout: int, directory: Path, unbuffered: str
) -> tuple[int, str]:
    """Exit status and standard error; nothing may stay in the directory of temporary files."""
    temporary = directory / "tmp"
    temporary.mkdir()
    done = subprocess.run(
        [str(word) for word in (PROGRAM, *words)],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=SECONDS,
        env={**os.environ, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": unbuffered},
    )
    assert list(temporary.iterdir()) == []
    return done.returncode, done.stderr


def test_every_verb_is_tried() -> None:
    """But make, which becomes another program."""
    assert {name.split()[0] for name in VERBS} - {"-V", "--help"} == set(cli.VERBS) - {"make"}


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("name", VERBS)
def test_nobody_reads(name: str, unbuffered: str, elf: Path, tmp_path: Path) -> None:
    """As coreutils: no word, and the status of SIGPIPE."""
    source, sink = os.pipe()
    os.close(source)
    told = refused(commands(elf, tmp_path)[name], sink, tmp_path, unbuffered)
    os.close(sink)
    assert told == (141, "")


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("name", VERBS)
def test_a_full_device(name: str, unbuffered: str, elf: Path, tmp_path: Path) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    told = refused(commands(elf, tmp_path)[name], full, tmp_path, unbuffered)
    os.close(full)
    status = 2 if name.split()[0] in cli.TROUBLE else 1
    assert told == (status, "kbuild-btf: standard output: No space left on device\n")


def test_closed_streams(elf: Path) -> None:
    done = run("sh", "-c", f"{PROGRAM} dump {elf} >&-")
    assert (done.returncode, done.stderr) == (
        1,
        "kbuild-btf: standard output: Bad file descriptor\n",
    )
    done = run("sh", "-c", f"{PROGRAM} dump nothing 2>&-")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


# --- where BTF goes ---------------------------------------------------------------------------


def test_encode_says_where_it_went(elf: Path, tmp_path: Path) -> None:
    copy = tmp_path / "a.o"
    copy.write_bytes(elf.read_bytes())
    done = kbuild_btf("encode", copy)
    assert f"in {copy}.btf: " in done.stdout
    assert Btf.load(f"{copy}.btf")
    assert f"in section .BTF of {copy}: " in kbuild_btf("encode", copy, "--in-place").stdout


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
@pytest.mark.parametrize("into", ["a pipe", "a file"])
def test_standard_output(name: str, into: str, elf: Path, tmp_path: Path) -> None:
    """The BTF and nothing else; the report goes to standard error."""
    output = tmp_path / "out"
    to = f"| cat > {output}" if into == "a pipe" else f"> {output}"
    done = run("sh", "-c", f"{PROGRAM} encode {elf} -o {name} {to}", cwd=tmp_path)
    assert output.read_bytes() == _native.encode(elf).btf
    assert "1 unit" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_no_btf_on_a_terminal(elf: Path) -> None:
    require("script")
    done = run("script", "-qec", f"{PROGRAM} encode {elf} -o -", "/dev/null")
    assert done.returncode == 1
    assert "BTF is no text for a terminal" in done.stdout
    assert "\x9f" not in done.stdout


def test_a_pipe_with_a_name(elf: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        assert kbuild_btf("encode", elf, "-o", pipe).returncode == 0
        assert reader.communicate()[0] == _native.encode(elf).btf
    assert pipe.is_fifo()


def test_a_link_stays_a_link(elf: Path, tmp_path: Path) -> None:
    link, target = tmp_path / "link", tmp_path / "target"
    link.symlink_to(target)
    assert kbuild_btf("encode", elf, "-o", link).returncode == 0
    assert link.is_symlink()
    assert target.read_bytes() == _native.encode(elf).btf


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("absent/out", "absent: there is no such directory; make it"),
        ("absent/", "absent/: a file is wanted, this is a directory"),
        (".", ".: a file is wanted, this is a directory"),
        ("file/out", "file: is not a directory"),
        ("/dev/full", "/dev/full: No space left on device"),
    ],
)
def test_where_nothing_can_be_written(output: str, said: str, elf: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = kbuild_btf("encode", elf, "-o", output, cwd=tmp_path)
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# --- what is shown ----------------------------------------------------------------------------


def test_a_sidecar_is_not_called_damaged(built: MiniTree) -> None:
    done = kbuild_btf("dump", built.directory / "kernel/.tmp_sched.o.kbtf")
    assert done.returncode == 1
    assert "what the hook keeps for one object; kbuild-btf encode makes BTF" in done.stderr
    assert "damaged" not in done.stderr


def test_tables_fit_80_columns(built: MiniTree, tmp_path: Path) -> None:
    image = built.directory / "vmlinux"
    empty = compiled(Path(os.devnull), tmp_path / "a.o", "-x", "c")
    empty.with_suffix(".c").write_text("int one;\n")
    assert kbuild_btf("encode", compiled(tmp_path / "a.c", empty)).returncode == 0
    table = kbuild_btf("diff", image, f"{empty}.btf", "--limit", "1").stdout.split("\n\n")[0]
    assert "FUNC_PROTO" in table
    assert max(map(len, table.splitlines())) <= 80
    verified = kbuild_btf("verify", image, "--no-kernel").stdout.splitlines()
    assert verified[0].split() == ["in", "BTF", "in", "DWARF", "distinct"]


COLOURED = [
    ({}, True),
    ({"NO_COLOR": "1"}, False),
    ({"NO_COLOR": ""}, True),
    ({"TERM": "dumb"}, False),
]


@pytest.mark.parametrize(("more", "coloured"), COLOURED)
def test_colours_on_a_terminal(more: dict[str, str], coloured: bool, elf: Path) -> None:
    require("script")
    environ = {"TERM": "xterm", **more}
    done = run("script", "-qec", f"{PROGRAM} diff {elf} {elf}", "/dev/null", env=environ)
    assert done.returncode == 0
    assert ("\x1b[" in done.stdout) == coloured
    assert "\x1b" not in run(PROGRAM, "diff", elf, elf, env=environ).stdout


# --- JSON -------------------------------------------------------------------------------------


def told(*words: str | Path, status: int = 0) -> Any:
    done = kbuild_btf(*words, "--json")
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)


def test_json_of_dump_is_that_of_bpftool(built: MiniTree, elf: Path) -> None:
    require("bpftool")
    image, module = built.directory / "vmlinux", built.directory / "drivers/mini.ko"
    for words, same in (
        ([elf], [elf]),
        ([image], [image]),
        ([module, "--base", image], [module, "-B", image]),
    ):
        theirs = json.loads(run("bpftool", "-j", "btf", "dump", "file", *same).stdout)
        assert told("dump", *words) == theirs


def test_json_of_a_layout(elf: Path, built: MiniTree) -> None:
    (task,) = told("dump", "-C", "task", built.directory / "vmlinux")["types"]
    assert (task["kind"], task["name"], task["size"]) == ("STRUCT", "task", 152)
    members = {member["name"]: member for member in task["members"]}
    assert members["list"] == {
        "name": "list",
        "type": "struct list_head",
        "offset": 0,
        "size": 16,
    }
    assert members["state"]["hole_before"] == {"bits": 0, "bytes": 3}
    assert (members["nice"]["bit_offset"], members["nice"]["bits"]) == (8, 6)
    (inside,) = (m["inside"] for m in task["members"] if not m["name"])
    assert [m["name"] for m in inside["members"]] == ["mm", ""]
    assert task["padding"] == {"bits": 0, "bytes": 7}
    (colour,) = told("dump", "-C", "colour", elf)["types"]
    assert colour["kind"] == "ENUM"
    assert {"name", "value"} == set(colour["values"][0])


def test_json_and_c_are_two_forms(elf: Path) -> None:
    done = kbuild_btf("dump", elf, "--json", "--format", "c")
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize("verb", ["encode", "link"])
def test_json_of_what_was_made(verb: str, built: MiniTree, tmp_path: Path) -> None:
    image, output = built.directory / "vmlinux", tmp_path / "out.btf"
    report = told(verb, image, "-o", output)
    btf = Btf.load(output)
    assert report["elf"] == str(image)
    assert report["output"] == str(output)
    assert report["bytes"] == output.stat().st_size
    assert report["types"] == len(btf) - 1 == sum(report["kinds"].values())
    assert report["units" if verb == "encode" else "linked"] == 9
    assert {"stage", "seconds", "count", "bytes"} == set(report["timings"][0])


def test_json_goes_where_the_btf_does_not(elf: Path) -> None:
    done = subprocess.run(
        [PROGRAM, "encode", elf, "-o", "-", "--json"], capture_output=True, timeout=SECONDS
    )
    assert done.stdout == _native.encode(elf).btf
    assert json.loads(done.stderr)["output"] == "-"


def test_json_of_verify(built: MiniTree, elf: Path, tmp_path: Path) -> None:
    image = built.directory / "vmlinux"
    good = told("verify", image, "--no-kernel")
    assert (good["elf"], good["problems"], good["units"]) == (str(image), [], 9)
    assert {"kind", "btf", "dwarf", "distinct"} == set(good["compared"][0])
    bad = told("verify", image, "--btf", elf, "--no-kernel", status=1)
    assert {"what", "btf_id", "die"} == set(bad["problems"][0])


def test_json_of_verify_of_modules(built: MiniTree, elf: Path) -> None:
    image, module = built.directory / "vmlinux", built.directory / "drivers/mini.ko"
    good = told("verify", "--base", image, module)
    assert good["modules"] == [str(module)]
    assert good["failures"] == []
    assert len(good["fingerprint"]) == 32
    (failure,) = told("verify", "--base", elf, module, status=1)["failures"]
    assert set(failure) == {"module", "what", "side", "do"}
    assert failure["module"] == str(module)


def keys(document: Any) -> set[str]:
    """All names of objects, at any depth; not those of kinds, which are in capitals."""
    if isinstance(document, list):
        return set().union(*map(keys, document))
    if not isinstance(document, dict):
        return set()
    return {key for key in document if not key.isupper()} | keys(list(document.values()))


def test_the_documents_are_those_of_the_docs(built: MiniTree, elf: Path, tmp_path: Path) -> None:
    """Every name is explained in docs/commands.md, and every name there exists."""
    image, module = built.directory / "vmlinux", built.directory / "drivers/mini.ko"
    rows = {
        row[1].strip(): set(re.findall(r"`(\w+)`", row[2]))
        for line in (ROOT / "docs/commands.md").read_text().splitlines()
        if len(row := line.split("|")) == 4
    }
    one = tmp_path / "one"
    one.write_bytes(_native.encode(built.directory / "kernel/sched.o").btf)
    made = told("encode", image, "-o", tmp_path / "a"), told("link", image, "-o", tmp_path / "a")
    documents = {
        "`encode`, `link`": list(made),
        "`diff`": told("diff", image, one, status=1),
        "`explain`": [
            told("explain", name, image) for name in ("task", "arch_cpu_count", "task_is_running")
        ],
        "`verify`": told("verify", image, "--btf", elf, "--no-kernel", status=1),
        "`verify --base`": told("verify", "--base", elf, module, status=1),
        "`cache`": told("cache"),
        "`doctor`": told("doctor"),
    }
    others = {"encode", "link", "modules_fit", "ok", "note", "missing"}
    for verb, document in documents.items():
        found = {name for name in keys(document) if not name.startswith("skipped_")}
        assert found ^ rows[verb] <= others, verb
