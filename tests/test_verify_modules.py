# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""``kbuild-btf verify --base``: modules against a vmlinux that is theirs, and against others.

What the kernel itself says of the same modules is in test_boot.py.
"""

from __future__ import annotations

import gzip
import lzma
import os
import random
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
import xxhash
from support import PAHOLE, SCRIPTS, compiled, kbuild_btf, missing, recent_pahole, require, run

from kbuild_btf import _native
from kbuild_btf.errors import Error
from kbuild_btf.verification import modules

FRONT = SCRIPTS / "kbuild-btf-pahole"

BASE = (
    "typedef unsigned int u32; enum mood { GOOD, BAD }; struct inner { u32 a; };"
    " struct shared { struct inner in; enum mood mood; struct shared *next; u32 *list[4]; };"
    " union both { int i; char c[4]; };"
    " int one(struct shared *shared, union both *both) { return shared != 0; }"
    " long two(const char *text, u32 length) { return length; }"
)
MODULE = (
    "typedef unsigned int u32; enum mood { GOOD, BAD }; struct inner { u32 a; };"
    " struct shared { struct inner in; enum mood mood; struct shared *next; u32 *list[4]; };"
    " struct own { struct shared s; u32 *p; u32 a[3]; struct own *(*call)(struct shared *);"
    " enum mood mood; };"
    " struct of_both { union both { int i; char c[4]; } b; int after; } of_both;"
    " int f(struct own *own, const char *why) { return own->a[0]; }"
    ' __attribute__((section(".data..percpu"))) struct inner counter = {1};'
    ' __attribute__((section(".modinfo"))) const char release[] = "vermagic=6.12.1 SMP";'
)
# What becomes of the base: (another source, does it have other strings?).
OTHERS = {
    "a struct more": (BASE + "struct more { int more; } more;", True),
    "a struct less": (BASE.replace("struct inner in;", "u32 in;"), True),
    "a type without a name more": (BASE + "int (*more(void))[9] { return 0; }", True),
    "an array more": (BASE.replace("struct shared *next;", "struct shared *next[2];"), False),
}


def write(source: Path, text: str) -> Path:
    source.write_text(text + "\n")
    return compiled(source, source.with_suffix(".o"), "-O1", "-std=gnu11")


def vmlinux(directory: Path, text: str, name: str = "vmlinux") -> Path:
    """A linked file with BTF."""
    image = directory / name
    linked = run("ld", "-e", "0", "-o", image, write(directory / f"{name}.c", text))
    assert linked.returncode == 0, linked.stderr
    _native.embed(image, [(".BTF", _native.encode(image).btf)])
    return image


def module_of(base: Path, directory: Path, *features: str, text: str = MODULE) -> Path:
    made = write(directory / "module.c", text)
    done = run(FRONT, "-J", "--btf_features=default", *features, "--btf_base", base, made)
    assert (done.returncode, done.stderr) == (0, "")
    return made.rename(directory / "module.ko")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return vmlinux(tmp_path, BASE)


DISTILLED = "--btf_features=distilled_base"


def raw(elf: Path, name: str = ".BTF") -> bytes:
    found = _native.read_section(elf, name)
    assert found
    return found


def failure(base: Path, module: Path) -> str:
    """What is wrong with it; empty when nothing is."""
    _, failures = modules.verify_modules(base, [module])
    return str(failures[0]) if failures else ""


@pytest.mark.parametrize("features", [(), (DISTILLED,)], ids=["split", "distilled"])
def test_modules_that_fit(features: tuple[str, ...], base: Path, tmp_path: Path) -> None:
    module = module_of(base, tmp_path, *features)
    beside = tmp_path / "raw"
    beside.write_bytes(raw(base))
    fingerprint = xxhash.xxh3_128_hexdigest(raw(base))
    for given in (base, beside):
        done = kbuild_btf("verify", "--base", given, module, module, "-j1")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"{given}: BTF {fingerprint}; 2 modules, no problem\n"


@pytest.mark.parametrize("other", OTHERS)
def test_a_base_that_changed(other: str, base: Path, tmp_path: Path) -> None:
    """Whatever the kernel says of it: the module does not mean the types of this one."""
    module = module_of(base, tmp_path)
    text, other_strings = OTHERS[other]
    now = vmlinux(tmp_path, text, "now")
    strings = [struct.unpack_from("<I", raw(image), 20)[0] for image in (base, now)]
    assert (strings[0] != strings[1]) == other_strings
    assert len(raw(base)) != len(raw(now))
    os.utime(module, ns=(1, 1))
    done = kbuild_btf("verify", "--base", now, module, tmp_path / "absent.ko")
    first, second, last = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (1, "")
    assert first.startswith((f"{module}: the kernel takes it", f"{module}: breaks the kernel"))
    told = f"made against {strings[0]} bytes of strings, {now} has {strings[1]}"
    assert (told in first) == other_strings
    assert first.endswith(f"; {now} is the newer one: build the module again")
    assert "No such file" in second
    assert last == f"{now}: BTF {xxhash.xxh3_128_hexdigest(raw(now))}; 2 of 2 modules fail"
    os.utime(now, ns=(0, 0))
    assert "; the module is the newer one: give the vmlinux " in failure(now, module)


@pytest.mark.parametrize("other", ["a struct more", "a type without a name more"])
def test_a_distilled_base_outlives_the_change(other: str, base: Path, tmp_path: Path) -> None:
    module = module_of(base, tmp_path, DISTILLED)
    assert failure(vmlinux(tmp_path, OTHERS[other][0], "now"), module) == ""


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("struct inner", "struct renamed", "the kernel has no struct inner"),
        (
            "next;",
            "next[2];",
            "the kernel's struct shared has 56 bytes, the module was made for 48",
        ),
        ("enum mood", "enum temper", "the kernel has no enum mood"),
        (
            "union both",
            "struct both",
            "both is another type in the kernel, the module was made for",
        ),
    ],
)
def test_what_a_distilled_base_misses(
    before: str, after: str, said: str, base: Path, tmp_path: Path
) -> None:
    module = module_of(base, tmp_path, DISTILLED)
    assert said in failure(vmlinux(tmp_path, BASE.replace(before, after), "now"), module)


def test_two_types_of_one_name_and_size(base: Path, tmp_path: Path) -> None:
    """The kernel does not choose, and libbpf does not either."""
    module = module_of(base, tmp_path, DISTILLED)
    objects = [
        write(tmp_path / "one.c", BASE),
        write(tmp_path / "more.c", "struct inner { float a; } more; struct inner *of_more;"),
    ]
    image = tmp_path / "now"
    assert run("ld", "-e", "0", "-o", image, *objects).returncode == 0
    _native.embed(image, [(".BTF", _native.encode(image).btf)])
    assert "the kernel has several struct inner of 4 bytes" in failure(image, module)


def test_the_release_tells_whose_kernel_it_is(base: Path, tmp_path: Path) -> None:
    module = module_of(base, tmp_path)
    banner = 'const char linux_banner[] = "Linux version 6.12.2 (somebody@somewhere)";'
    now = vmlinux(tmp_path, OTHERS["a struct more"][0] + banner, "now")
    assert failure(now, module).endswith(
        f"; the module is for Linux 6.12.1, {now} is 6.12.2: use the modules of that kernel, or"
        " build them for it"
    )


def test_damaged_modules(base: Path, tmp_path: Path) -> None:
    """Words of the BTF replaced, BTF cut off, no BTF, no ELF: one line each; none is taken that
    the kernel's rules refuse."""
    sound = module_of(base, tmp_path)
    content, of_base = raw(sound), raw(base)
    rng = random.Random(7)
    damaged = [content[: len(content) // 2], content[:20], b"", b"no BTF at all" * 9]
    for _ in range(200):
        at = rng.randrange(24, len(content))
        damaged.append(content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :])
    paths = []
    for i, btf in enumerate(damaged):
        path = tmp_path / f"damaged{i}.ko"
        shutil.copy(sound, path)
        _native.embed(path, [(".BTF", btf)])
        paths.append(path)
    stripped, text = tmp_path / "stripped.ko", tmp_path / "text.ko"
    assert run("objcopy", "-R", ".BTF", sound, stripped).returncode == 0
    text.write_text("no ELF\n")
    packed = [tmp_path / "packed.ko.xz", tmp_path / "packed.ko.gz"]
    packed[0].write_bytes(lzma.compress(sound.read_bytes()))
    packed[1].write_bytes(gzip.compress(sound.read_bytes()))
    _, failures = modules.verify_modules(
        base, [*paths, stripped, text, *packed, tmp_path / "absent.ko"]
    )
    said = {failure.module: str(failure) for failure in failures}
    assert all("\n" not in line for line in said.values())
    assert "no .BTF section; build it again" in said[str(stripped)]
    assert "not an ELF file" in said[str(text)]
    assert all("unpack it first" in said[str(path)] for path in packed)
    assert "No such file" in said[str(tmp_path / "absent.ko")]
    assert {str(path) for path in paths[:4]} <= said.keys()
    for path, btf in zip(paths, damaged, strict=True):
        try:
            _native.check(btf, of_base, kernel=True)
        except Error:
            assert str(path) in said
    assert len(said) > 50


def test_modules_of_pahole(base: Path, tmp_path: Path) -> None:
    """Another encoder: what it makes fits its base, and no other."""
    require(PAHOLE)
    now = vmlinux(tmp_path, OTHERS["a struct more"][0], "now")
    for features in ([], ["--btf_features=default", DISTILLED])[: 1 + recent_pahole()]:
        module = write(tmp_path / "m.c", MODULE)
        done = run(PAHOLE, "-J", *features, "--btf_base", base, module)
        assert done.returncode == 0, done.stderr
        assert failure(base, module) == ""
        assert bool(failure(now, module)) == (not features)


@pytest.mark.parametrize("damage", ["absent", "no btf", "short", "empty"])
def test_a_base_that_cannot_be_used(damage: str, base: Path, tmp_path: Path) -> None:
    module = module_of(base, tmp_path)
    wrong = tmp_path / "wrong"
    match damage:
        case "no btf":
            assert run("objcopy", "-R", ".BTF", base, wrong).returncode == 0
        case "short":
            wrong.write_bytes(raw(base)[:-100])
        case "empty":
            wrong.write_bytes(b"")
    done = kbuild_btf("verify", "--base", wrong, module)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert str(wrong) in done.stderr


def test_options_of_the_comparison_with_dwarf(base: Path, tmp_path: Path) -> None:
    module = module_of(base, tmp_path)
    done = kbuild_btf("verify", "--base", base, "--sample", "3", module)
    assert (done.returncode, "add --dwarf" in done.stderr) == (2, True)
    done = kbuild_btf("verify", "--base", base, "--dwarf", module)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^struct +\d+ ", done.stdout, re.M)
    done = kbuild_btf("verify", base, module)
    assert (done.returncode, "only one file" in done.stderr) == (2, True)


def test_the_running_kernel_is_a_base(tmp_path: Path) -> None:
    """Modules of this machine, where it has any with BTF, and one that is made against it."""
    running = Path("/sys/kernel/btf/vmlinux")
    if not running.exists():
        missing("this kernel has no BTF")
    text = (
        "struct list_head { struct list_head *next, *prev; };"
        " struct own { struct list_head list; int own; };"
        " int f(struct own *own) { return own->own; }"
    )
    for features in ([], [DISTILLED]):
        module = module_of(running, tmp_path, *features, text=text)
        done = kbuild_btf("verify", "--base", running, module)
        assert (done.returncode, done.stderr) == (0, "")
    release = subprocess.run(["uname", "-r"], capture_output=True, text=True).stdout.strip()
    assert modules.Base.load(str(running)).release == release
