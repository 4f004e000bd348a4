# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Units with something that BTF cannot hold: they matter only where the unit counts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from dwarfwriter import ATE, DIE, LANG_C11, LANG_C_PLUS_PLUS, Form, Ref, Unit, write_dwarf
from support import SCRIPTS, compiled, kbuild_btf, require, run

from kbuild_btf import Btf, _native
from kbuild_btf.btf import Func, Struct
from kbuild_btf.errors import Error

FRONT = SCRIPTS / "kbuild-btf-pahole"
HOOK = SCRIPTS / "kbuild-btf-hook"

C = "struct c_side { int a; }; int c_function(struct c_side *c) { return c->a; }\n"
CC = """
struct cc_side { int a; int &r; cc_side(int &x) : r(x) {} };
int cc_function(cc_side &c) { return c.a; }
"""


@dataclass
class Built:
    """A module of two objects, and the same as one linked file."""

    module: Path
    image: Path
    objects: list[Path]
    base: Path


@pytest.fixture(params=["gcc", "clang-16"])
def built(tmp_path: Path, request: pytest.FixtureRequest) -> Built:
    require("g++" if request.param == "gcc" else request.param, "ld")
    c, cc = tmp_path / "c.c", tmp_path / "cc.cc"
    c.write_text(C)
    cc.write_text(CC)
    objects = [tmp_path / "c.o", tmp_path / "cc.o"]
    for source, made, flags in ((c, objects[0], []), (cc, objects[1], ["-x", "c++", "-std=c++14"])):
        done = run(request.param, "-g", "-O1", *flags, "-c", "-o", made, source)
        assert done.returncode == 0, done.stderr
    module, image, base = tmp_path / "m.ko", tmp_path / "image", tmp_path / "vmlinux"
    assert run("ld", "-r", "-o", module, *objects).returncode == 0
    assert run("ld", "-e", "0", "-o", image, *objects).returncode == 0
    (tmp_path / "m.mod").write_text("".join(f"{made}\n" for made in objects))
    (tmp_path / "b.c").write_text("struct in_base { int b; } in_base;\n")
    compiled(tmp_path / "b.c", tmp_path / "b.o")
    assert run("ld", "-e", "0", "-o", base, tmp_path / "b.o").returncode == 0
    _native.embed(base, [(".BTF", _native.encode(base).btf)])
    return Built(module, image, objects, base)


def content(module: Path, base: Path) -> tuple[list[str], list[str]]:
    split = Btf.load(module, Btf.load(base))
    own = [found for found in split if isinstance(found, (Struct, Func))]
    structs = [found.name for found in own if isinstance(found, Struct)]
    return structs, [found.name for found in own if isinstance(found, Func)]


@pytest.mark.parametrize("hook", [False, True])
@pytest.mark.parametrize("by_objects", [False, True])
@pytest.mark.parametrize("left_out", [[], ["--lang_exclude=c++,c++14"]])
def test_the_c_part_of_a_module_is_encoded(
    left_out: list[str], by_objects: bool, hook: bool, built: Built
) -> None:
    """The hook says nothing: it cannot know whether the unit counts. The link says it in one line,
    each time, where nobody has left it out."""
    if not by_objects:
        built.module.with_suffix(".mod").unlink()
    if hook:
        done = run(HOOK, *built.objects)
        assert (done.stdout, done.stderr) == ("", "")
    before = built.module.read_bytes()
    for _ in range(2):
        built.module.write_bytes(before)
        options = ["--btf_features=default", f"--btf_base={built.base}", *left_out]
        done = run(FRONT, "-J", *options, built.module)
        assert done.returncode == 0, done.stderr
        told = [line for line in done.stderr.splitlines() if "reading its own" not in line]
        if left_out:
            assert told == []
        else:
            (line,) = told
            where = built.objects[1] if by_objects else built.module
            start = f"kbuild-btf: warning: {where}: a unit in c++14 is left out: "
            assert line.startswith(start)
            assert "cc.cc: DIE 0x" in line
            assert "BTF has no kind for DW_TAG_reference_type" in line
        assert content(built.module, built.base) == (["c_side"], ["c_function"])


def test_a_kernel_is_not_silently_less(built: Built) -> None:
    """There somebody has to leave it out; the message has the words for both command lines."""
    made = built.image.with_suffix(".btf")
    asked: list[list[str | Path]] = [
        ["encode", built.image],
        ["link", built.image, *built.objects],
    ]
    for argv in asked:
        done = kbuild_btf(*argv, "-o", made)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
        assert "BTF has no kind for DW_TAG_reference_type" in done.stderr
        assert done.stderr.endswith("leave such units out with --lang_exclude=c++14\n")
        assert not made.exists()
        done = kbuild_btf(*argv, "-o", made, "--lang_exclude=c++14")
        assert done.returncode == 0, done.stderr
        assert [found.name for found in Btf.load(made).find(Func, "c_function")]
        assert not Btf.load(made).find(Struct, "cc_side")
        made.unlink()


def number() -> DIE:
    return DIE("base_type", {"name": "int", "byte_size": 4, "encoding": ATE.signed})


def of_c() -> Unit:
    kept = DIE(
        "structure_type",
        {"name": "kept", "byte_size": 4},
        [DIE("member", {"name": "a", "type": number(), "data_member_location": 0})],
    )
    return Unit([kept])


def other(*children: DIE) -> Unit:
    return Unit(children, {"name": "b.cc", "language": LANG_C_PLUS_PLUS})


# What fails while DIEs are read, and what fails when the types are written.
REFUSED = {
    "no kind": (DIE("reference_type", {"type": number()}), "BTF has no kind for"),
    "no name": (DIE("base_type", {"byte_size": 4, "encoding": ATE.signed}), "without a name"),
    "no size": (DIE("enumeration_type", {"name": "e", "byte_size": 16}), "enumeration of 16 bytes"),
    "float": (
        DIE("base_type", {"name": "f", "byte_size": 3, "encoding": ATE.float}),
        "floating point type of 3 bytes",
    ),
}


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_belongs_to_its_unit(name: str, order: int, tmp_path: Path) -> None:
    die, why = REFUSED[name]
    elf = tmp_path / "a.o"
    elf.write_bytes(write_dwarf([of_c(), other(die), of_c()][::order]))
    with pytest.raises(Error, match=why):
        _native.encode(elf)
    for _ in range(2):
        whole = _native.encode(elf, lang_exclude=["c++"])
        made = _native.link(elf, objects=[str(elf)], lang_exclude=["c++"])
        assert whole.btf == made.btf
        assert [found.name for found in Btf.from_bytes(made.btf).find(Struct, "kept")]
        run(HOOK, elf)
    # C counts, whatever the language beside it.
    elf.write_bytes(write_dwarf([of_c(), Unit([die])][::order]))
    with pytest.raises(Error, match=why):
        _native.encode(elf, lang_exclude=["c++"])
    assert why in run(HOOK, elf).stderr


def test_units_that_refer_to_one_that_is_refused(tmp_path: Path) -> None:
    """As after LTO: C that means a type of C++. Without it, it would mean nothing, silently."""
    shared = DIE("structure_type", {"name": "shared", "byte_size": 1}, [], label="shared")
    pointer = DIE("pointer_type", {"type": Form("ref_addr", Ref("shared")), "byte_size": 8})
    user = DIE(
        "structure_type",
        {"name": "user", "byte_size": 8},
        [DIE("member", {"name": "p", "type": pointer, "data_member_location": 0})],
    )
    elf = tmp_path / "a.o"
    reference = DIE("reference_type", {"type": number()})
    for language, text in ((LANG_C11, "it refers to the unit"), (LANG_C_PLUS_PLUS, "")):
        third = Unit([user], {"name": "c.c", "language": language})
        elf.write_bytes(write_dwarf([of_c(), other(shared, reference), third]))
        if text:
            with pytest.raises(Error, match=text):
                _native.encode(elf, lang_exclude=["c++"])
        else:
            assert Btf.from_bytes(_native.encode(elf, lang_exclude=["c++"]).btf).find(
                Struct, "kept"
            )
