# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Split BTF of modules: the index of the base, the distilled base, stable ids of the base."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import struct
import subprocess
from pathlib import Path

import btftext
import pytest
from minitree import HEAD
from support import SCRIPTS, compiled, kbuild_btf, missing, run

from kbuild_btf import Btf, _native
from kbuild_btf.btf import Composite, Enumeration, Func, Fwd, Int, Ptr, Struct, Typedef, Var
from kbuild_btf.verification import modules, running

FRONT = SCRIPTS / "kbuild-btf-pahole"

# The base has two definitions of one name, a name that it only declares, and names that the
# modules know less well, or otherwise.
BASE = [
    "typedef unsigned int u32; enum mood { GOOD, BAD }; struct inner { u32 a; };"
    " struct shared { struct inner in; enum mood mood; struct shared *next; };"
    " struct two { int x; }; struct user { struct two *p; }; struct only_declared;"
    " union u { int i; char c[4]; };"
    " int one(struct shared *s, struct user *u, struct only_declared *d, union u v)"
    " { return s != 0; }",
    "struct two { long y; }; struct user { struct two *p; }; enum mood;"
    " struct holder { struct user u; }; int two(struct holder *h) { return h != 0; }",
    "struct module { int state; char name[8]; }; int three(struct module *m) { return m->state; }",
]
MODULES = {
    "plain": "struct shared; struct own { struct shared *s; }; int f(struct own *o) { return 1; }",
    "whole": "typedef unsigned int u32; enum mood { GOOD, BAD }; struct inner { u32 a; };"
    " struct shared { struct inner in; enum mood mood; struct shared *next; };"
    " struct own { struct shared s; u32 *p; u32 a[3]; }; int f(struct own *o) { return o->a[0]; }",
    "first": "struct two { int x; }; struct user { struct two *p; };"
    " struct own { struct user u; }; int f(struct own *o) { return o->u.p->x; }",
    "second": "struct two { long y; }; struct user { struct two *p; };"
    " struct own { struct user u; }; long f(struct own *o) { return o->u.p->y; }",
    "third": "struct two { char z[3]; }; struct user { struct two *p; };"
    " struct own { struct user u; }; int f(struct own *o) { return o->u.p->z[0]; }",
    "declares": "struct two; struct user { struct two *p; };"
    " struct own { struct user *u; }; int f(struct own *o) { return o != 0; }",
    "defines": "struct only_declared { int now; }; struct own { struct only_declared d; };"
    " int f(struct own *o) { return o->d.now; }",
    "same_module": "struct module { int state; char name[8]; }; struct module __this_module;",
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A linked file with BTF, as vmlinux is."""
    directory = tmp_path_factory.mktemp("base")
    objects = [write(directory / f"b{i}.c", text) for i, text in enumerate(BASE)]
    image = directory / "vmlinux"
    done = run("ld", "-e", "0", "-o", image, *objects)
    assert done.returncode == 0, done.stderr
    _native.embed(str(image), [(".BTF", _native.encode(str(image)).btf)])
    return image


def write(source: Path, text: str) -> Path:
    source.write_text(text + "\n")
    return compiled(source, source.with_suffix(".o"), "-O1", "-std=gnu11")


def index_of(base: Path) -> Path:
    return base.with_name(f".tmp_{base.name}.btf-index")


def meaning(btf: Btf, name: str) -> list[str]:
    return [line for line in btftext.lines(btf) if line.split()[1] == name]


def whole(elf: Path) -> Btf:
    return Btf.from_bytes(_native.encode(str(elf)).btf)


@pytest.mark.parametrize("name", MODULES)
def test_a_split_btf_says_what_the_whole_one_says(name: str, base: Path, tmp_path: Path) -> None:
    module = write(tmp_path / "m.c", MODULES[name])
    made = _native.encode(str(module), base=str(base))
    _native.check(made.btf, _native.read_section(str(base), ".BTF"))
    below = Btf.load(base)
    split = Btf.from_bytes(made.btf, below)
    alone = whole(module)
    for kept in ("own", "f"):
        assert meaning(split, kept) == meaning(alone, kept)
    # Nothing that the base has is repeated.
    repeated = {
        line
        for line in meaning_of_own(split)
        if line in btftext.lines(below) and not line.startswith("FUNC ")
    }
    # This one means another `struct two`.
    expected = {"STRUCT user size=8 { *struct two p @0 }"} if name == "third" else set()
    assert repeated == expected


@pytest.mark.parametrize("features", ["default", "default,global_var", "default,distilled_base"])
def test_of_objects_the_same(features: str, base: Path, tmp_path: Path) -> None:
    """What the base has is left out of objects before they are combined; not of linked modules."""
    names = [name for name in MODULES if name != "same_module"]
    for one, other in itertools.product(names, repeat=2):
        texts = [MODULES[one], MODULES[other].replace("own", "more").replace("int f(", "int g(")]
        texts[1] = texts[1].replace("long f(", "long g(")
        objects = [write(tmp_path / f"{i}.c", text) for i, text in enumerate(texts)]
        module = tmp_path / "m.ko"
        assert run("ld", "-r", "-o", module, *objects).returncode == 0
        of_objects = _native.link(
            str(module), objects=[str(o) for o in objects], base=str(base), features=features
        )
        of_module = _native.encode(str(module), base=str(base), features=features)
        assert (of_objects.btf, of_objects.base) == (of_module.btf, of_module.base), (one, other)


def meaning_of_own(split: Btf) -> list[str]:
    names = {t.name for t in split if t.name}
    return [line for line in btftext.lines(split) if line.split()[1] in names]


@pytest.mark.parametrize("name", ["first", "second"])
def test_of_two_definitions_the_one_that_is_meant(name: str, base: Path, tmp_path: Path) -> None:
    """Both `struct user` read the same; what tells them apart is what they point at."""
    module = write(tmp_path / "m.c", MODULES[name])
    below = Btf.load(base)
    split = Btf.from_bytes(_native.encode(str(module), base=str(base)).btf, below)
    (own,) = split.find(Struct, "own")
    user = split[own.members[0].type_id]
    assert isinstance(user, Struct) and user.id <= len(below)
    pointer = split[user.members[0].type_id]
    assert isinstance(pointer, Ptr)
    two = split[pointer.type_id]
    assert isinstance(two, Struct)
    assert two.size == {"first": 4, "second": 8}[name]


def test_the_index_changes_nothing_but_time(base: Path, tmp_path: Path) -> None:
    """Fresh, kept, damaged, truncated, of another base, in a directory that cannot be written."""
    image = tmp_path / "vmlinux"
    shutil.copy(base, image)
    module = write(tmp_path / "m.c", MODULES["whole"])
    raw = tmp_path / "raw"
    raw.write_bytes(_native.read_section(str(base), ".BTF") or b"")

    def made(of: Path = image) -> bytes:
        return _native.encode(str(module), base=str(of)).btf

    expected = made()
    index = index_of(image)
    sound = index.read_bytes()
    before = index.stat().st_mtime_ns
    assert made() == expected
    assert index.stat().st_mtime_ns == before, "a sound index is not written again"
    assert made(raw) == expected
    # The stamp is of the file.
    beside_raw = index_of(raw).read_bytes()
    assert (beside_raw[:16], beside_raw[HEAD:]) == (sound[:16], sound[HEAD:])
    other = write(tmp_path / "other.c", "struct other { int a; }; struct other o;")
    _native.embed(str(other), [(".BTF", _native.encode(str(other)).btf)])
    made(other)
    rng = random.Random(5)
    damaged = [sound[: len(sound) // 2], b"", index_of(other).read_bytes(), b"not an index"]
    for _ in range(40):
        broken = bytearray(sound)
        broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
        damaged.append(bytes(broken))
    for content in damaged:
        index.write_bytes(content)
        assert made() == expected
        assert index.read_bytes() == sound, "what is not sound is replaced"
    index.unlink()
    index.mkdir()
    assert made() == expected, "an index that cannot be written is no reason to fail"


def test_a_base_that_is_linked_again_with_the_same_btf(base: Path, tmp_path: Path) -> None:
    """Its index is told so, and stays."""
    image = tmp_path / "vmlinux"
    shutil.copy(base, image)
    module = write(tmp_path / "m.c", MODULES["whole"])
    expected = _native.encode(str(module), base=str(image)).btf
    index = index_of(image)
    before, inode = index.read_bytes(), index.stat().st_ino
    os.utime(image, ns=(1, 1))
    assert _native.encode(str(module), base=str(image)).btf == expected
    after = index.read_bytes()
    assert index.stat().st_ino == inode
    assert (after[:16], after[HEAD:]) == (before[:16], before[HEAD:])
    assert after[16:HEAD] != before[16:HEAD]
    # With another BTF it is made again.
    _native.embed(str(image), [(".BTF", whole_bytes(write(tmp_path / "other.c", BASE[0])))])
    changed = _native.encode(str(module), base=str(image)).btf
    assert index.stat().st_ino != inode
    index.unlink()
    assert _native.encode(str(module), base=str(image)).btf == changed


def whole_bytes(elf: Path) -> bytes:
    return _native.encode(str(elf)).btf


def test_many_modules_at_once_without_an_index(base: Path, tmp_path: Path) -> None:
    """As make -j16 starts them."""
    image = tmp_path / "vmlinux"
    shutil.copy(base, image)
    module = write(tmp_path / "m.c", MODULES["whole"])
    expected = _native.encode(str(module), base=str(base)).btf
    given = ["--btf_features=default", str(module)]
    for _ in range(4):
        index_of(image).unlink(missing_ok=True)
        outputs = [tmp_path / f"{i}.btf" for i in range(16)]
        running_now = [
            subprocess.Popen(
                [FRONT, "-J", "--btf_base", image, f"--btf_encode_detached={output}", *given]
            )
            for output in outputs
        ]
        assert [process.wait() for process in running_now] == [0] * 16
        assert {output.read_bytes() for output in outputs} == {expected}
        for output in outputs:
            output.unlink()
        assert sorted(p.name for p in tmp_path.glob(".tmp_*")) == [index_of(image).name]


@pytest.mark.parametrize("damage", ["short", "none", "not there", "another kernel", "no btf"])
def test_a_wrong_base_is_refused(damage: str, base: Path, tmp_path: Path) -> None:
    text = MODULES["same_module"] + " int f(struct module *m) { return m->state; }"
    wrong = tmp_path / "vmlinux"
    raw = _native.read_section(str(base), ".BTF") or b""
    match damage:
        case "short":
            wrong.write_bytes(raw[: len(raw) * 2 // 3])
        case "none":
            wrong.write_bytes(b"")
        case "another kernel":
            text = text.replace("char name[8]", "char name[16]")
            shutil.copy(base, wrong)
        case "no btf":
            assert run("objcopy", "-R", ".BTF", base, wrong).returncode == 0
    module = write(tmp_path / "m.c", text)
    before = module.read_bytes()
    done = run(FRONT, "-J", "--btf_features=default", "--btf_base", wrong, module)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert str(wrong) in done.stderr
    assert "another kernel" in done.stderr or damage != "another kernel"
    assert module.read_bytes() == before
    assert not index_of(wrong).exists() or damage == "another kernel"


def test_a_base_of_another_architecture_is_refused(tmp_path: Path) -> None:
    raw = _native.encode(str(write(tmp_path / "m.c", "int i; long l;"))).btf
    (tmp_path / "base").write_bytes(bytes([raw[1], raw[0]]) + raw[2:])
    done = kbuild_btf("encode", tmp_path / "m.o", "--base", tmp_path / "base")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


def distilled(module: Path, base: Path, tmp_path: Path) -> tuple[bytes, bytes]:
    """What the front puts into a module."""
    copy = tmp_path / "distilled.o"
    shutil.copy(module, copy)
    features = ["--btf_features=default", "--btf_features=distilled_base"]
    done = run(FRONT, "-J", *features, "--btf_base", base, copy)
    assert (done.returncode, done.stderr) == (0, "")
    sections = [_native.read_section(str(copy), name) for name in (".BTF", ".BTF.base")]
    assert sections[0] and sections[1]
    return sections[0], sections[1]


def relocated(split: Btf, below: Btf, kernel: Btf) -> dict[int, int]:
    """Where the kernel finds each type of a distilled base: by name, kind and, when it has one,
    size (tools/lib/bpf/btf_relocate.c says the same of libbpf)."""
    found = {}
    for t in below:
        same = [
            k
            for k in kernel
            if k.name == t.name
            and (isinstance(k, type(t)) or (isinstance(k, Composite) and isinstance(t, Fwd)))
            and getattr(k, "size", 0) == (0 if isinstance(t, Fwd) else getattr(t, "size", 0))
        ]
        assert same, f"{t} is not in the base"
        found[t.id] = same[0].id
    return found


@pytest.mark.parametrize("name", ["plain", "whole", "third", "defines"])
def test_a_distilled_base_says_names_and_sizes(name: str, base: Path, tmp_path: Path) -> None:
    module = write(tmp_path / "m.c", MODULES[name])
    raw, below_raw = distilled(module, base, tmp_path)
    _native.check(below_raw)
    _native.check(raw, below_raw)
    below = Btf.from_bytes(below_raw)
    split = Btf.from_bytes(raw, below)
    for t in below:
        assert t.name
        assert isinstance(t, (Int, Fwd, Composite, Enumeration))
        if isinstance(t, Composite):
            assert not t.members
        if isinstance(t, Enumeration):
            assert not t.values
    # Nothing is there that nothing refers to.
    used = {reference for t in split for reference in t.references()}
    assert {t.id for t in below} <= used
    # On the kernel that it was made for, and on one with a type more before all others.
    more = write(tmp_path / "more.c", "struct aaa { int first; }; struct aaa a; " + BASE[0])
    for kernel in (Btf.load(base), whole(more)):
        assert set(relocated(split, below, kernel)) == {t.id for t in below}
    own, alone = meaning(split, "own"), meaning(whole(module), "own")
    assert own == alone


def test_the_running_kernel_takes_a_distilled_base(base: Path, tmp_path: Path) -> None:
    _, below = distilled(write(tmp_path / "m.c", MODULES["whole"]), base, tmp_path)
    outcome = running.load(below)
    if outcome.accepted is None:
        missing(outcome.why)
    assert outcome.accepted, outcome.why


def test_a_distilled_base_goes_beside_detached_btf(base: Path, tmp_path: Path) -> None:
    module = write(tmp_path / "m.c", MODULES["whole"])
    expected = distilled(module, base, tmp_path)
    output = tmp_path / "m.btf"
    option = ["--features", "default,distilled_base", "--base", str(base)]
    assert kbuild_btf("encode", module, *option, "-o", output).returncode == 0
    assert (output.read_bytes(), output.with_name("m.btf.base").read_bytes()) == expected
    done = kbuild_btf("encode", module, "--features", "default,distilled_base", "-o", output)
    assert done.returncode == 1
    assert "no base" in done.stderr


STAYS = "struct stays { int a; struct grows *g; }; struct holder { struct stays s; };"
BEFORE = (
    "struct grows { int a; }; struct gone { struct grows g; int b; }; typedef struct gone gone_t;"
    + STAYS
    + "int gone_too(gone_t *g) { return g->b; } int f(struct holder *h) { return h->s.a; }"
    '__attribute__((section(".data..percpu"))) struct stays v1 = {1}, v2 = {2};'
)
AFTER = (
    "struct aaa { long new; struct grows *g; }; struct grows { int a; long more[3]; };"
    + STAYS
    + "int f(struct holder *h) { return h->s.a; } long g(struct aaa *a) { return a->new; }"
    '__attribute__((section(".data..percpu"))) struct stays v2 = {2};'
)


def test_stable_ids(tmp_path: Path) -> None:
    before, after = write(tmp_path / "before.c", BEFORE), write(tmp_path / "after.c", AFTER)
    reference = tmp_path / "before.btf"
    reference.write_bytes(_native.encode(str(before)).btf)
    old, fresh = Btf.load(reference), whole(after)
    raw = _native.encode(str(after), stable_ids=str(reference)).btf
    _native.check(raw)
    made = Btf.from_bytes(raw)
    # All that the new build says is there, under the names that it has, and what stayed is where
    # it was.
    assert set(btftext.lines(fresh)) <= set(btftext.lines(made))
    for kind, name in ((Struct, "stays"), (Struct, "grows"), (Struct, "holder"), (Func, "f")):
        assert [t.id for t in made.find(kind, name)] == [t.id for t in old.find(kind, name)]
    assert all(isinstance(made[t.id], Ptr) for t in old if isinstance(t, Ptr))
    (grows,) = made.find(Struct, "grows")
    assert len(grows.members) == 2, "one definition of the name, the new one"
    assert made.find(Struct, "aaa")[0].id not in {
        t.id for t in old if not isinstance(t, Func | Var)
    }
    # What is gone keeps its place; nothing can refer to functions and variables.
    assert [t.id for t in made.find(Typedef, "gone_t")] == [
        t.id for t in old.find(Typedef, "gone_t")
    ]
    (gone,) = made.find(Struct, "gone")
    assert (gone.size, gone.members) == (8, ()), "its member does not fit any more"
    assert not made.find(Func, "gone_too")
    assert [t.name for t in made if isinstance(t, Var)] == ["v2"]
    # The same build again changes nothing.
    reference.write_bytes(raw)
    again = _native.encode(str(after), stable_ids=str(reference))
    assert again.btf == raw
    assert again.report["modules_fit"] == 1


def test_modules_stay_valid_with_stable_ids(tmp_path: Path) -> None:
    """The first build that keeps ids makes room; modules of that one fit those that follow."""
    before, after = write(tmp_path / "before.c", BEFORE), write(tmp_path / "after.c", AFTER)
    first, old, new = (tmp_path / f"{name}.btf" for name in ("first", "old", "new"))
    assert kbuild_btf("encode", before, "-o", first).returncode == 0
    done = kbuild_btf("encode", before, "-o", old, "--stable-ids", first)
    assert (done.returncode, "must be built again" in done.stdout) == (0, False)
    done = kbuild_btf("encode", after, "-o", old, "--stable-ids", first)
    assert (done.returncode, "must be built again" in done.stdout) == (0, True)
    done = kbuild_btf("encode", before, "-o", new, "--stable-ids", old)
    assert (done.returncode, "must be built again" in done.stdout) == (0, False)
    module = write(
        tmp_path / "m.c",
        STAYS + "struct grows; struct own { struct holder h; int (*call)(struct stays *); };"
        " int f(struct own *o) { return o->h.s.a; }",
    )
    split = _native.encode(str(module), base=str(old)).btf
    _native.check(split, new.read_bytes())
    assert meaning(Btf.from_bytes(split, Btf.load(new)), "own") == meaning(whole(module), "own")
    # Without, they do not.
    assert len(whole(before)) != len(Btf.load(old))


def test_stable_ids_without_their_reference(tmp_path: Path) -> None:
    elf = write(tmp_path / "after.c", AFTER)
    output = tmp_path / "out"
    for reference in (tmp_path / "none", elf):
        done = kbuild_btf("encode", elf, "-o", output, "--stable-ids", reference)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
        assert str(reference) in done.stderr
        assert not output.exists()


def test_a_module_without_dwarf_stays_without_btf(base: Path, tmp_path: Path) -> None:
    """`ccflags-y := -g0`, a vendor's objects: pahole goes on, and the kernel loads it."""
    made = write(tmp_path / "m.c", MODULES["plain"])
    assert run("strip", "-g", made).returncode == 0
    module, alone = tmp_path / "m.ko", tmp_path / "alone.ko"
    for copy in (module, alone):
        shutil.copy(made, copy)
    (tmp_path / "m.mod").write_text(f"{made}\n")
    before = module.read_bytes()
    for elf in (made, module, alone):
        done = run(FRONT, "-J", "--btf_features=default", "--btf_base", base, elf)
        assert done.returncode == 0
        (line,) = done.stderr.splitlines()
        assert line == f"kbuild-btf: {elf}: no debug information in its objects, so it gets no BTF"
        assert elf.read_bytes() == before
    # A kernel must have it, and who asks for the BTF of a file by name wants to have it, too.
    asked: list[list[str | Path]] = [
        [FRONT, "-J", made],
        [SCRIPTS / "kbuild-btf", "encode", "--base", base, made],
    ]
    for argv in asked:
        done = run(*argv)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
        assert f"{made}: no DWARF debug information" in done.stderr
    # One that is only not to be read is another matter.
    for content in (b"", before[:70]):
        module.write_bytes(content)
        done = run(FRONT, "-J", "--btf_features=default", "--btf_base", base, module)
        assert done.returncode == 1
    # With debug information in one of its objects it gets the BTF of that.
    other = write(tmp_path / "other.c", "struct other { int a; } other;")
    assert run("ld", "-r", "--strip-debug", "-o", module, made, other).returncode == 0
    (tmp_path / "m.mod").write_text(f"{made}\n{other}\n")
    done = run(FRONT, "-J", "--btf_features=default", "--btf_base", base, module)
    assert (done.returncode, done.stderr) == (0, "")
    assert Btf.load(module, Btf.load(base)).find(Struct, "other")


@pytest.mark.parametrize("text", ["void g(void) { }", "struct alone { struct alone *next; } a;"])
def test_a_distilled_base_of_which_nothing_is_wanted(text: str, base: Path, tmp_path: Path) -> None:
    """Linux 6.12 takes a base without types, and then means by each id the type before it."""
    module = write(tmp_path / "m.c", text).rename(tmp_path / "m.ko")
    whole = meaning_of_own(Btf.from_bytes(_native.encode(module).btf))
    options = ["--btf_features=default,distilled_base", f"--btf_base={base}"]
    done = run(FRONT, "-J", *options, module)
    assert done.returncode == 0, done.stderr
    below = Btf.from_bytes(_native.read_section(module, ".BTF.base") or b"")
    assert [(t.name, t.size) for t in below if isinstance(t, Int)] == [("int", 4)]
    assert len(list(below)) == 1
    split = Btf.load(module)
    assert meaning_of_own(split) == whole
    _native.check(_native.read_section(module, ".BTF.base") or b"")
    assert modules.verify_modules(base, [module])[1] == []
    raw, beside = tmp_path / "split", tmp_path / "below"
    raw.write_bytes(_native.read_section(module, ".BTF") or b"")
    beside.write_bytes(_native.read_section(module, ".BTF.base") or b"")
    shown = run("bpftool", "btf", "dump", "-B", beside, "file", raw)
    assert shown.returncode == 0, shown.stderr


@pytest.mark.parametrize("features", ["default", "default,distilled_base"])
def test_a_module_that_is_left_out_whole(features: str, base: Path, tmp_path: Path) -> None:
    """One of Rust alone, in a kernel whose BTF is that of C: split BTF without types, which
    the kernel takes."""
    module = write(tmp_path / "m.c", MODULES["plain"])
    module = module.rename(tmp_path / "m.ko")
    options = [f"--btf_features={features}", "--lang_exclude=c11", f"--btf_base={base}"]
    done = run(FRONT, "-J", *options, module)
    assert done.returncode == 0, done.stderr
    btf = _native.read_section(module, ".BTF") or b""
    assert btf == b"\x9f\xeb\x01\0" + struct.pack("<5I", 24, 0, 0, 0, 0)
    assert modules.verify_modules(base, [module])[1] == []
    # A kernel without types is none.
    done = run(FRONT, "-J", "--lang_exclude=c11", module)
    assert done.returncode == 1
    assert "all of its units are in languages that are left out (c11); " in done.stderr
    assert " -g" not in done.stderr
