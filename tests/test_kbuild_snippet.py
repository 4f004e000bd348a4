# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""makefile-snippets/kbuild-btf.mk in the mini-kernel, with stubs for the native programs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from minitree import BUILTIN, HOOK, LIBRARY, MODULE, NOT_KERNEL, MiniTree, Stubs, script

from kbuild_btf import kbuild, paths

HOOKED = sorted(BUILTIN + LIBRARY + MODULE)
OBJECTS = [*HOOKED, *NOT_KERNEL]


@pytest.fixture
def stubs(tmp_path: Path) -> Stubs:
    return Stubs.create(tmp_path / "bin")


@pytest.fixture
def tree(tmp_path: Path, stubs: Stubs) -> MiniTree:
    return MiniTree.copy(tmp_path / "tree", stubs.environ)


def hooked(stubs: Stubs) -> list[str]:
    """Objects in calls of the hook."""
    return sorted(call.removeprefix("--echo ") for call in stubs.calls("hook"))


def test_exactly_the_kernels_objects_are_hooked_once(tree: MiniTree, stubs: Stubs) -> None:
    tree.make("-j4")
    assert hooked(stubs) == HOOKED
    assert (tree.directory / NOT_KERNEL[0]).exists()
    assert [call.split()[-1] for call in stubs.calls("pahole")] == [
        ".tmp_vmlinux1",
        "drivers/mini.ko",
    ]


def test_the_hook_sees_the_finished_object(tree: MiniTree, stubs: Stubs) -> None:
    script(stubs.directory / "kbuild-btf-hook", HOOK + 'sha256sum "$2" >>"$STUB_LOG/sums"\n')
    tree.make("-j4")
    sums = (stubs.directory / "sums").read_text()
    assert sorted(line.split()[1] for line in sums.splitlines()) == HOOKED
    check = ["sha256sum", "--check", "--status"]
    assert subprocess.run(check, input=sums, text=True, cwd=tree.directory).returncode == 0


@pytest.mark.parametrize("switch", ["0", "", "yes"])
def test_any_other_value_of_the_switch_is_off(tree: MiniTree, stubs: Stubs, switch: str) -> None:
    plain = stubs.directory / "kbuild-btf-pahole"
    script(stubs.directory / "plain", plain.read_text().replace("/pahole", "/plain.log"))
    tree.make(f"PAHOLE={stubs.directory}/plain", KBUILD_BTF=switch)
    assert stubs.calls("hook") == []
    assert stubs.calls("pahole") == []
    assert len(stubs.calls("plain.log")) == 2
    assert not tree.trace.exists()


def test_switching_on_and_off_compiles_nothing(tree: MiniTree, stubs: Stubs) -> None:
    plain = f"PAHOLE={stubs.directory}/kbuild-btf-pahole"
    tree.make("-j4", plain, KBUILD_BTF="0")
    objects = tree.times(*OBJECTS)
    tree.make("-j4", plain)
    assert tree.trace.exists(), "the switch itself links vmlinux again"
    assert tree.times(*OBJECTS) == objects
    linked = tree.times("vmlinux")
    tree.make("-j4", plain)
    assert tree.times("vmlinux") == linked, "and then make has nothing to do"
    tree.make("-j4", plain, KBUILD_BTF="0")
    assert tree.times("vmlinux") != linked
    assert tree.times(*OBJECTS) == objects
    assert stubs.calls("hook") == []


def test_only_what_was_compiled_again_is_hooked(tree: MiniTree, stubs: Stubs) -> None:
    tree.make("-j4")
    stubs.forget()
    (tree.directory / "kernel/sched.c").touch()
    (tree.directory / "drivers/mini_main.c").touch()
    tree.make("-j4")
    assert hooked(stubs) == ["drivers/mini_main.o", "kernel/sched.o"]


def test_quiet_lets_the_hook_speak(tree: MiniTree, stubs: Stubs) -> None:
    output = tree.make().stdout.splitlines()
    assert "  BTF     kernel/sched.o" in output
    assert "  BTF     drivers/mini_main.o" in output
    assert all(call.startswith("--echo ") for call in stubs.calls("hook"))


def test_verbose_shows_the_command(tree: MiniTree, stubs: Stubs) -> None:
    output = tree.make("V=1").stdout.splitlines()
    assert f"{stubs.directory}/kbuild-btf-hook kernel/sched.o" in output
    assert hooked(stubs) == HOOKED
    assert not any(call.startswith("--echo") for call in stubs.calls("hook"))


def test_silent_is_silent(tree: MiniTree, stubs: Stubs) -> None:
    done = tree.make("-s")
    assert (done.stdout, done.stderr) == ("", "")
    assert hooked(stubs) == HOOKED


def test_a_dry_run_runs_nothing(tree: MiniTree, stubs: Stubs) -> None:
    output = tree.make("-nrR", "-f", "scripts/Makefile.build", "obj=kernel", srctree=".").stdout
    assert f"{stubs.directory}/kbuild-btf-hook" in output
    assert stubs.calls("hook") == []
    assert not (tree.directory / "kernel/sched.o").exists()


def test_the_hook_can_be_left_out(tree: MiniTree, stubs: Stubs) -> None:
    tree.make("-j4", KBUILD_BTF_HOOK="0")
    assert stubs.calls("hook") == []
    assert len(stubs.calls("pahole")) == 2
    assert tree.trace.exists()


# --- never in the way ---------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["exit 3", "kill -KILL $$"])
def test_a_failing_hook_harms_nothing(tree: MiniTree, stubs: Stubs, end: str) -> None:
    script(stubs.directory / "kbuild-btf-hook", f"{HOOK}{end}\n")
    tree.make("-j4")
    assert hooked(stubs) == HOOKED
    assert (tree.directory / "vmlinux").exists()


def test_without_the_hook_the_build_goes_on(tree: MiniTree, stubs: Stubs) -> None:
    (stubs.directory / "kbuild-btf-hook").unlink()
    done = tree.make("-j4")
    assert done.stderr == ""
    assert len(stubs.calls("pahole")) == 2


def test_a_hook_that_vanishes_during_the_build(tree: MiniTree, stubs: Stubs) -> None:
    script(stubs.directory / "kbuild-btf-hook", HOOK + 'rm -f "$0"\n')
    tree.make("-j2")
    assert 1 <= len(stubs.calls("hook")) <= 2
    assert (tree.directory / "vmlinux").exists()


def test_without_the_tool_at_all(tree: MiniTree, stubs: Stubs, tmp_path: Path) -> None:
    pahole = script(tmp_path / "pahole", (stubs.directory / "kbuild-btf-pahole").read_text())
    tree.make("-j4", f"PAHOLE={pahole}", KBUILD_BTF_BIN=str(tmp_path / "gone"))
    assert len(stubs.calls("pahole")) == 2
    assert not tree.trace.exists(), "no wrapper: the plain pahole needs the debug sections"
    tree.make("clean")
    tree.make("-j4", f"PAHOLE={pahole}", MAKEFILES=str(tmp_path / "gone.mk"))
    assert stubs.calls("hook") == []


def test_a_match_anything_rule_is_not_run_for_the_snippet(tmp_path: Path, stubs: Stubs) -> None:
    makefile = tmp_path / "Makefile"
    makefile.write_text("all: ;\n%:\n\t@echo remade $@\n")
    done = subprocess.run(
        ["make", "-f", str(makefile)],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", **stubs.environ},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert "kbuild-btf.mk" not in done.stdout


# --- what the tree says -------------------------------------------------------------------------


def test_our_pahole_wins_over_the_command_line(tree: MiniTree, stubs: Stubs) -> None:
    tree.make("-j4", "PAHOLE=/nowhere/pahole")
    assert len(stubs.calls("pahole")) == 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (",@:)\n\n###", ",@:) $(more)\n\n###"),
        ("\n###", "\nif_changed_rule += $(more)\n###"),
        ("$(rule_$(1))", "$(rule_$(1))$(more)"),
    ],
)
def test_an_unknown_rule_is_left_alone(tree: MiniTree, stubs: Stubs, old: str, new: str) -> None:
    tree.replace("scripts/Kbuild.include", old, new)
    tree.make("-j4")
    assert stubs.calls("hook") == []
    assert len(stubs.calls("pahole")) == 2
    found = kbuild.takeover(tree.directory, tree.environ)
    assert found == (False, True, True)
    assert "scripts/Kbuild.include" in (found.problem or "")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (" $@, true)\n", " $@, true); \\\n\techo more\n"),
        ("targets += vmlinux\n", "targets += vmlinux\ncmd_link_vmlinux += ; echo more\n"),
        ('"$(LDFLAGS_vmlinux)";', '"$(LDFLAGS_vmlinux)" ;'),
    ],
)
def test_an_unknown_link_is_left_alone(tree: MiniTree, stubs: Stubs, old: str, new: str) -> None:
    tree.replace("scripts/Makefile.vmlinux", old, new)
    tree.make("-j4")
    assert not tree.trace.exists()
    assert hooked(stubs) == HOOKED
    found = kbuild.takeover(tree.directory, tree.environ)
    assert found == (True, False, True)
    assert "scripts/Makefile.vmlinux" in (found.problem or "")


def test_a_known_tree_is_taken_over(tree: MiniTree, stubs: Stubs) -> None:
    found = kbuild.takeover(tree.directory, {**tree.environ, "KBUILD_BTF_HOOK": "0"})
    assert found == (True, True, True)
    assert found.problem is None


@pytest.mark.parametrize("form", ["", ' "$@"'])
def test_both_forms_of_the_link_command(tree: MiniTree, form: str) -> None:
    """Since 6.13 link-vmlinux.sh gets the name of its output as well."""
    tree.replace("scripts/Makefile.vmlinux", '_vmlinux)";', f'_vmlinux)"{form};')
    tree.replace("scripts/link-vmlinux.sh", "set -e\n", 'set -e\nprintf "<%s>" "$@" >arguments\n')
    tree.make("-j4")
    wrapper = f"<sh {paths.linker_wrapper()} ld><-z noexecstack><--build-id=none -z max-page-size"
    given = (tree.directory / "arguments").read_text()
    assert given.startswith(wrapper)
    assert given.endswith("=0x1000><vmlinux>" if form else "=0x1000>")
    assert tree.trace.exists()


def test_user_mode_linux_has_no_wrapper(tree: MiniTree, stubs: Stubs) -> None:
    tree.make("-j4", "SRCARCH=um")
    assert not tree.trace.exists()
    assert hooked(stubs) == HOOKED


def test_without_btf_in_the_configuration_nothing_is_done(tree: MiniTree, stubs: Stubs) -> None:
    tree.replace("include/config/auto.conf", "CONFIG_DEBUG_INFO_BTF=y\n", "")
    tree.make("-j4")
    assert stubs.calls("hook") == []
    assert not tree.trace.exists()


def test_lto_objects_are_not_hooked(tree: MiniTree, stubs: Stubs) -> None:
    config = tree.directory / "include/config/auto.conf"
    config.write_text(config.read_text() + "CONFIG_LTO_CLANG=y\n")
    tree.make("-j4")
    assert stubs.calls("hook") == []
    assert not tree.trace.exists(), "types of LTO objects are in the image only"
    assert len(stubs.calls("pahole")) == 2


def test_an_old_make_cannot_look_and_takes_nothing_over(tree: MiniTree, stubs: Stubs) -> None:
    tree.make("-j4", "MAKE_VERSION=4.1")
    assert stubs.calls("hook") == []
    assert not tree.trace.exists()
    assert len(stubs.calls("pahole")) == 2


# --- an external module where there is no vmlinux -------------------------------------------------

# What decides of the tree's makefile, before 7.0 and since.
MODFINAL = {
    "pahole": "$(PAHOLE) -J $(PAHOLE_FLAGS) $(MODULE_PAHOLE_FLAGS) --btf_base vmlinux $@;"
    " $(RESOLVE_BTFIDS) -b vmlinux $@",
    "script": "$(CONFIG_SHELL) $(srctree)/scripts/gen-btf.sh --btf_base vmlinux $@",
}
NOTES = """#!/bin/sh
echo "${0##*/} $*" >>calls
exit $FAILS
"""


@pytest.fixture(params=MODFINAL)
def outside(request: pytest.FixtureRequest, tmp_path: Path, stubs: Stubs) -> MiniTree:
    """A tree of nothing but headers, in which an external module gets its BTF."""
    directory = tmp_path / "headers"
    (directory / "scripts").mkdir(parents=True)
    encode = MODFINAL[request.param]
    (directory / "scripts/Makefile.modfinal").write_text(
        f"cmd_btf_ko = if [ ! -f vmlinux ]; then printf 'Skipping BTF generation for %s"
        f" due to unavailability of vmlinux\\n' $@; else {encode}; fi\n"
        "m.ko:\n\t@$(cmd_btf_ko)\n"
    )
    for name in ("resolve_btfids", "scripts/gen-btf.sh", "running", "release"):
        script(directory / name, NOTES)
    script(stubs.directory / "kbuild-btf-pahole", NOTES)
    (directory / "release").write_text("6.12.3\n")
    words = {
        "srctree": ".",
        "objtree": ".",
        "KBUILD_EXTMOD": "m",
        "KERNELRELEASE": "6.12.3",
        "PAHOLE_FLAGS": "--flags",
        "MODULE_PAHOLE_FLAGS": "--module",
        "RESOLVE_BTFIDS": "./resolve_btfids",
        "CONFIG_SHELL": "sh",
        "FAILS": "0",
    }
    return MiniTree(directory, {**stubs.environ, "PATH": "/usr/bin:/bin", **words})


def made_outside(tree: MiniTree, **variables: str) -> tuple[list[str], list[str]]:
    """What it printed, and what was started."""
    log = tree.directory / "calls"
    log.unlink(missing_ok=True)
    running = ("kbuild-btf-running=running", "kbuild-btf-release=release")
    told = MiniTree(tree.directory, {**tree.environ, **variables})
    done = told.make("-f", "scripts/Makefile.modfinal", *running)
    started = log.read_text().splitlines() if log.exists() else []
    return (done.stdout + done.stderr).splitlines(), started


SKIPPED = ["Skipping BTF generation for m.ko due to unavailability of vmlinux"]
BASE = "  BASE    running, of the running kernel (there is no vmlinux)"


def test_the_running_kernel_is_the_base(outside: MiniTree) -> None:
    said, started = made_outside(outside)
    assert said == [BASE]
    assert started in (
        [
            "kbuild-btf-pahole -J --flags --module --btf_base running m.ko",
            "resolve_btfids -b running m.ko",
        ],
        ["gen-btf.sh --btf_base running m.ko"],
    )


def test_a_base_that_does_not_fit_costs_only_the_btf(outside: MiniTree) -> None:
    said, started = made_outside(outside, FAILS="1")
    assert said == [BASE, *SKIPPED]
    assert len(started) == 1


@pytest.mark.parametrize("without", ["running", "release", "resolve_btfids"])
def test_where_that_is_not_known_it_is_left_to_the_tree(outside: MiniTree, without: str) -> None:
    (outside.directory / without).unlink()
    assert made_outside(outside) == (SKIPPED, [])


def test_never_another_kernel(outside: MiniTree) -> None:
    assert made_outside(outside, KERNELRELEASE="6.12.4") == (SKIPPED, [])


@pytest.mark.parametrize("name", ["vmlinux", "vmlinux.unstripped"])
def test_a_vmlinux_goes_first(outside: MiniTree, name: str) -> None:
    (outside.directory / name).write_text("")
    assert BASE not in made_outside(outside)[0]


@pytest.mark.parametrize(
    ("mode", "directory", "theirs", "flags"),
    [
        ("lean", "tools/bpf/resolve_btfids", {}, "-O0"),
        ("lean", "tools/bpf/resolve_btfids", {"HOSTCFLAGS": "-O3"}, "-O3"),
        ("drop", "tools/bpf/resolve_btfids", {}, ""),
        ("", "tools/bpf/resolve_btfids", {}, ""),
        ("lean", "tools/objtool", {}, ""),
    ],
)
def test_with_lean_resolve_btfids_is_compiled_fast(
    tmp_path: Path, stubs: Stubs, mode: str, directory: str, theirs: dict[str, str], flags: str
) -> None:
    """It runs for a moment; objtool, which does not, is compiled as ever."""
    where = tmp_path / directory
    where.mkdir(parents=True)
    (where / "Makefile").write_text("all: ; @echo 'flags:$(HOSTCFLAGS)'\n")
    tree = MiniTree(where, {"PATH": "/usr/bin:/bin", **stubs.environ, **theirs})
    assert f"flags:{flags}\n" in tree.make(KBUILD_BTF_DEBUG=mode).stdout
