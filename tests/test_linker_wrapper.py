# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""makefile-snippets/kbuild-btf-ld: which links it changes, and what it writes down."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from minitree import script

from kbuild_btf import paths

IMAGE = ".tmp_vmlinux1"
TRACE = ".tmp_kbuild-btf..tmp_vmlinux1.trace"
AGAIN = ".tmp_kbuild-btf..tmp_vmlinux1.link"
# Takes notes, and prints what a linker prints for --trace.
LD = """#!/bin/sh
echo "$*" >>calls
printf 'init/main.o\\nlib dir/b.o\\n'
echo >&2 'a warning'
exit ${LD_STATUS:-0}
"""

Link = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def link(tmp_path: Path) -> Link:
    """Run the wrapper, as link-vmlinux.sh does, in a directory with a stub linker."""
    (tmp_path / "include/config").mkdir(parents=True)
    (tmp_path / "include/config/auto.conf").write_text("CONFIG_DEBUG_INFO_BTF=y\n")
    ld = script(tmp_path / "ld", LD)

    def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", str(paths.linker_wrapper()), str(ld), *arguments],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", **environ},
            capture_output=True,
            text=True,
        )

    return run


def calls(directory: Path) -> list[str]:
    return (directory / "calls").read_text().splitlines()


@pytest.mark.parametrize("name", [IMAGE, ".tmp_vmlinux.btf"])
def test_the_first_link_is_stripped_and_traced(tmp_path: Path, link: Link, name: str) -> None:
    done = link("-m", "elf", "-o", name, "--whole-archive", "vmlinux.a")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "a warning\n")
    assert calls(tmp_path) == [
        f"-m elf -o {name} --whole-archive vmlinux.a --strip-debug --trace --trace"
    ]
    trace = tmp_path / f".tmp_kbuild-btf.{name}.trace"
    assert trace.read_text() == "init/main.o\nlib dir/b.o\n"
    again = tmp_path / f".tmp_kbuild-btf.{name}.link"
    assert set(tmp_path.glob(".tmp_kbuild-btf*")) == {trace, again}
    words = [b"-m", b"elf", b"-o", name.encode(), b"--whole-archive", b"vmlinux.a", b""]
    assert again.read_bytes().split(b"\0")[1:] == words, "as link-vmlinux.sh asked for it"


def test_the_trace_is_not_older_than_the_image(tmp_path: Path, link: Link) -> None:
    """So a trace that is older belongs to another link."""
    script(tmp_path / "ld", f"#!/bin/sh\necho init/main.o\nsleep 0.05\necho image >{IMAGE}\n")
    assert link("-o", IMAGE).returncode == 0
    assert (tmp_path / TRACE).stat().st_mtime_ns >= (tmp_path / IMAGE).stat().st_mtime_ns


@pytest.mark.parametrize("name", ["vmlinux", ".tmp_vmlinux2", ".tmp_vmlinux.kallsyms1", "a.ko"])
def test_other_links_are_handed_on(tmp_path: Path, link: Link, name: str) -> None:
    done = link("-r", "-o", name, "two words", "", "*", LD_STATUS="7")
    assert done.returncode == 7
    assert done.stdout == "init/main.o\nlib dir/b.o\n"
    assert calls(tmp_path) == [f"-r -o {name} two words  *"]
    assert not list(tmp_path.glob(".tmp_kbuild-btf*"))


@pytest.mark.parametrize(("option", "keep"), [("", "1"), ("--gc-sections ", "0")])
def test_debug_sections_are_kept(tmp_path: Path, link: Link, option: str, keep: str) -> None:
    assert link(*option.split(), "-o", IMAGE, KBUILD_BTF_KEEP_DEBUG=keep).returncode == 0
    assert calls(tmp_path) == [f"{option}-o {IMAGE} --trace --trace"]
    assert [path.name for path in tmp_path.glob(".tmp_kbuild-btf*")] == [TRACE]


def test_debug_sections_are_kept_for_the_table_of_lines(tmp_path: Path, link: Link) -> None:
    config = "CONFIG_DEBUG_INFO_BTF=y\nCONFIG_KALLSYMS_LINEINFO=y\n"
    (tmp_path / "include/config/auto.conf").write_text(config)
    assert link("-o", IMAGE).returncode == 0
    assert calls(tmp_path) == [f"-o {IMAGE} --trace --trace"]
    assert [path.name for path in tmp_path.glob(".tmp_kbuild-btf*")] == [TRACE]


def test_btf_in_a_module_of_its_own_is_btf(tmp_path: Path, link: Link) -> None:
    (tmp_path / "include/config/auto.conf").write_text("CONFIG_DEBUG_INFO_BTF=m\n")
    assert link("-o", IMAGE).returncode == 0
    assert calls(tmp_path) == [f"-o {IMAGE} --strip-debug --trace --trace"]


@pytest.mark.parametrize(
    "config",
    [
        "CONFIG_DEBUG_INFO=y\n",
        "CONFIG_KALLSYMS_LINEINFO=y\n",
        "CONFIG_DEBUG_INFO_BTF=y\nCONFIG_LTO_CLANG=y\n",
        None,
    ],
)
def test_what_has_no_btf_or_lto_is_handed_on(
    tmp_path: Path, link: Link, config: str | None
) -> None:
    file = tmp_path / "include/config/auto.conf"
    file.unlink() if config is None else file.write_text(config)
    (tmp_path / TRACE).write_text("of an earlier link\n")
    assert link("-o", IMAGE).returncode == 0
    assert calls(tmp_path) == [f"-o {IMAGE}"]
    assert not (tmp_path / TRACE).exists()


def test_a_failed_link_passes_through(tmp_path: Path, link: Link) -> None:
    (tmp_path / TRACE).write_text("of an earlier link\n")
    (tmp_path / AGAIN).write_text("of an earlier link\n")
    done = link("-o", IMAGE, LD_STATUS="5")
    assert (done.returncode, done.stderr) == (5, "a warning\n")
    assert not list(tmp_path.glob(".tmp_kbuild-btf*"))


def test_verbose_shows_the_real_link(link: Link) -> None:
    assert f"-o {IMAGE} --strip-debug" in link("-o", IMAGE, KBUILD_VERBOSE="1").stderr


def test_an_archive_that_cannot_be_listed_leaves_the_image_whole(
    tmp_path: Path, link: Link
) -> None:
    done = link("-o", IMAGE, "vmlinux.o", AR="false")
    assert done.returncode == 0
    assert "cannot list the members of vmlinux.o" in done.stderr
    assert calls(tmp_path) == [f"-o {IMAGE} vmlinux.o"]
    assert not list(tmp_path.glob(".tmp_kbuild-btf*"))


def test_members_of_vmlinux_o_stay_as_the_linker_named_them(tmp_path: Path, link: Link) -> None:
    lld = script(tmp_path / "lld", "#!/bin/sh\necho 'vmlinux.a(a b/c.o)'\necho lib.o\n")
    (tmp_path / "ld").write_text("#!/bin/sh\necho vmlinux.o\n")
    link("-o", IMAGE, "vmlinux.o", LD=str(lld), KBUILD_VMLINUX_LIBS="lib.a")
    assert (tmp_path / TRACE).read_text().splitlines() == [
        "vmlinux.o",
        "vmlinux.o(vmlinux.a(a b/c.o))",
        "vmlinux.o(lib.o)",
    ]


# --- with real linkers --------------------------------------------------------------------------


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    """vmlinux.a of two objects, lib.a (both thin) of one that is needed and one that is not,
    vmlinux.o linked of them, and fat.a, which is not thin."""
    sources = {
        "init/main.c": "int needed(void); int main(void) { return needed(); }",
        "init/other.c": "int other;",
        "lib/needed.c": "int needed(void) { return 1; }",
        "lib/unused.c": "int unused;",
    }
    for name, text in sources.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    commands = (
        "for f in init/main init/other lib/needed lib/unused; do gcc -g -c $f.c -o $f.o; done",
        "ar cDPrST vmlinux.a init/main.o init/other.o",
        "ar cDPrsT lib/lib.a lib/needed.o lib/unused.o",
        "ar cDrs fat.a lib/needed.o lib/unused.o",
        "ld -r -o vmlinux.o --whole-archive vmlinux.a --no-whole-archive"
        " --start-group lib/lib.a --end-group",
        "cp init/other.o .vmlinux.export.o",
    )
    subprocess.run(["sh", "-ec", "\n".join(commands)], cwd=tmp_path, check=True)
    return tmp_path


def linked(directory: Path, *arguments: str, ld: str = "ld", **environ: str) -> list[str]:
    """The lines of the trace after a link of the image."""
    (directory / "include/config").mkdir(parents=True)
    (directory / "include/config/auto.conf").write_text("CONFIG_DEBUG_INFO_BTF=y\n")
    subprocess.run(
        ["sh", str(paths.linker_wrapper()), ld, "-e", "main", "-o", IMAGE, *arguments],
        cwd=directory,
        env={"PATH": "/usr/bin:/bin", **environ},
        check=True,
    )
    assert b".debug_info" not in (directory / IMAGE).read_bytes()
    return (directory / TRACE).read_text().splitlines()


WHOLE = ["--whole-archive", "vmlinux.a", "--no-whole-archive"]


def test_members_of_thin_archives_are_named(objects: Path) -> None:
    assert linked(objects, *WHOLE, "lib/lib.a") == [
        "vmlinux.a",
        "init/main.o",
        "init/other.o",
        "lib/lib.a",
        "lib/needed.o",
    ]


def test_members_of_other_archives_are_named(objects: Path) -> None:
    assert linked(objects, *WHOLE, "fat.a")[-2:] == ["fat.a", "(fat.a)needed.o"]


def test_members_of_vmlinux_o_without_libraries(objects: Path) -> None:
    assert linked(objects, "vmlinux.o", "lib/unused.o", KBUILD_VMLINUX_LIBS=" ") == [
        "vmlinux.o",
        "vmlinux.o(init/main.o)",
        "vmlinux.o(init/other.o)",
        "lib/unused.o",
    ]


def test_members_of_vmlinux_o_with_libraries(objects: Path) -> None:
    lines = linked(objects, "vmlinux.o", KBUILD_VMLINUX_LIBS="lib/lib.a", LD="ld")
    assert lines == [
        "vmlinux.o",
        "vmlinux.o(vmlinux.a)",
        "vmlinux.o(init/main.o)",
        "vmlinux.o(init/other.o)",
        "vmlinux.o(lib/lib.a)",
        "vmlinux.o(lib/needed.o)",
    ]
    assert {path.name for path in objects.glob(".tmp_kbuild-btf*")} == {TRACE, AGAIN}
