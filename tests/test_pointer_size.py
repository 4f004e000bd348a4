# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""BTF does not say how wide a pointer is. Where the file or the base says it, nobody may guess.

No type here is called ``long``, from which the width is guessed where nothing else is known.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from support import SCRIPTS, compiled, kbuild_btf, run

from kbuild_btf import _native
from kbuild_btf.btf import Btf, Struct
from kbuild_btf.errors import Error
from kbuild_btf.verification import modules, verify

BASE = """
struct pair { char *a; char *b; int x; };
struct ends { int x; char *last; };
int one(struct pair *pair, struct ends *ends) { return pair->x; }
"""
MODULE = """
struct pair { char *a; char *b; int x; };
struct own { char *p; char *q; struct pair pair; char *list[3]; int (*call)(struct pair *); };
int f(struct own *own) { return own->pair.x; }
"""
WIDTHS = pytest.mark.parametrize(
    ("flag", "size", "linker"), [("-m32", 4, "elf_i386"), ("-m64", 8, "elf_x86_64")]
)


def write(path: Path, text: str, flag: str) -> Path:
    path.write_text(text)
    return compiled(path, path.with_suffix(".o"), "-O1", "-fno-pic", "-ffreestanding", flag)


@pytest.fixture
def files(tmp_path: Path, flag: str, linker: str) -> tuple[Path, Path]:
    """A vmlinux with BTF, and a module without."""
    base = tmp_path / "vmlinux"
    linked = run("ld", "-m", linker, "-e", "0", "-o", base, write(tmp_path / "base.c", BASE, flag))
    assert linked.returncode == 0, linked.stderr
    _native.embed(base, [(".BTF", _native.encode(base).btf)])
    return base, write(tmp_path / "module.c", MODULE, flag).rename(tmp_path / "module.ko")


def raw(elf: Path) -> bytes:
    found = _native.read_section(elf, ".BTF")
    assert found
    return found


@WIDTHS
@pytest.mark.parametrize("features", ["default", "default,distilled_base"])
def test_modules(features: str, size: int, files: tuple[Path, Path]) -> None:
    """The link takes it, ``verify --base`` takes it, and it is read with pointers of that width."""
    base, module = files
    options: list[str | Path] = [f"--btf_features={features}", "--btf_base", base]
    done = run(SCRIPTS / "kbuild-btf-pahole", "-J", *options, module)
    assert done.returncode == 0, done.stderr
    assert modules.verify_modules(base, [module])[1] == []
    below = Btf.load(base)
    for split in (
        (Btf.load(module, below), Btf.load(module))
        if "distilled" in features
        else (Btf.load(module, below),)
    ):
        assert split.pointer_size == size
        (own,) = split.find(Struct, "own")
        last = own.members[-1]
        assert last.bit_offset // 8 + split.sizeof(last.type_id) == own.size
    assert verify(module, base=base, kernel=False).problems == []


@WIDTHS
def test_vmlinux(size: int, files: tuple[Path, Path], tmp_path: Path) -> None:
    base, _ = files
    assert Btf.load(base).pointer_size == size
    beside = tmp_path / "raw.btf"
    beside.write_bytes(raw(base))
    # What is compared with the DWARF of a file is of that file's machine.
    for given in (None, beside):
        assert verify(base, btf=given, kernel=False).problems == []
    shown = kbuild_btf("dump", "-C", "pair", base).stdout
    assert f"a;                    /*     0 {size:5} */" in shown
    assert "differ from the size" not in shown


@WIDTHS
def test_a_raw_base_or_a_raw_module(size: int, files: tuple[Path, Path], tmp_path: Path) -> None:
    """Either side tells it."""
    base, module = files
    of_base, of_module = tmp_path / "base.btf", tmp_path / "module.btf"
    of_base.write_bytes(raw(base))
    _native.embed(module, [(".BTF", _native.encode(module, base=base).btf)])
    of_module.write_bytes(raw(module))
    assert Btf.load(of_module, Btf.load(base)).pointer_size == size
    assert Btf.load(module, Btf.load(of_base)).pointer_size == size
    done = kbuild_btf("dump", "-C", "own", "--base", of_base, module)
    assert "differ from the size" not in done.stdout


@WIDTHS
def test_the_rules_know_the_width(size: int, files: tuple[Path, Path]) -> None:
    base, _ = files
    _native.check(raw(base), pointer_size=size, kernel=True)
    if size == 4:
        with pytest.raises(Error, match="lies behind the end"):
            _native.check(raw(base), pointer_size=8, kernel=True)
