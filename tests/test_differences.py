# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The rows of docs/differences.md: what pahole makes of an input, and what we make of it.

pahole's side is what the pahole of this machine does. Where only a recent one has the behaviour
(see the document), its side is shown when such a one is installed.
"""

from __future__ import annotations

from pathlib import Path

import btftext
import pytest
from dwarfwriter import ATE, DIE, Form, Unit, write_dwarf
from elfwriter import X86_64
from support import kbuild_btf, recent_pahole
from toolchains import CLANGS, COMPILERS, GCC, Toolchain, pahole_says

from kbuild_btf import Btf, _native
from kbuild_btf.btf import Array, Datasec, Func, FuncProto, Fwd, Ptr, Struct, Typedef, Var

PERCPU = '__attribute__((section(".data..percpu")))'


def compiled(directory: Path, *texts: str) -> list[Path]:
    objects = []
    for number, text in enumerate(texts):
        source = directory / f"part{number}.c"
        source.write_text(text + "\n")
        objects.append(GCC.compile(source, source.with_suffix(".o"), "-O1", "-std=gnu11"))
    return objects


def linked(directory: Path, *texts: str) -> Path:
    return GCC.link(compiled(directory, *texts), directory / "image")


def ours(elf: Path) -> Btf:
    return Btf.from_bytes(_native.encode(str(elf)).btf)


def theirs(elf: Path) -> Btf:
    """What pahole makes of a file that it can read."""
    _, output = pahole_says(elf, elf.with_suffix(".pahole"))
    assert output
    return Btf.load(output)


def refuses(elf: Path, why: str) -> None:
    """One message, exit status 1, no output."""
    output = elf.with_suffix(".out")
    done = kbuild_btf("encode", elf, "-o", output)
    assert (done.returncode, done.stdout) == (1, "")
    assert why in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not output.exists()


def names(btf: Btf, kind: type[Func] | type[Var]) -> list[str]:
    return sorted(t.name for t in btf if isinstance(t, kind))


def test_order_of_types(tmp_path: Path) -> None:
    texts = [f"struct {name} {{ int a; }}; struct {name} v_{name};" for name in ("zeta", "alpha")]
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = linked(tmp_path / "one", *texts), linked(tmp_path / "two", *reversed(texts))

    def structs(btf: Btf) -> list[str]:
        return [t.name for t in btf if isinstance(t, Struct)]

    assert structs(theirs(one)) == ["zeta", "alpha"]
    assert structs(theirs(two)) == ["alpha", "zeta"]
    assert structs(ours(one)) == ["alpha", "zeta"]
    assert _native.encode(str(one)).btf == _native.encode(str(two)).btf


def test_atomic(tmp_path: Path) -> None:
    (elf,) = compiled(tmp_path, "struct s { _Atomic int a; int b; }; struct s v;")
    ((s,), made) = (ours(elf).find(Struct, "s"), ours(elf))
    assert [made[m.type_id].name for m in s.members] == ["int", "int"]
    _, output = pahole_says(elf, tmp_path / "pahole.btf")
    if output:
        # 1.24 turns it into void, and says so; newer ones fail, 1.30 with exit status 1.
        (s,) = Btf.load(output).find(Struct, "s")
        assert s.members[0].type_id == 0


def broken_unit() -> list[Unit]:
    """A good unit and one that nobody can read."""
    number = DIE("base_type", {"name": "int", "byte_size": 4, "encoding": ATE.signed})
    bad = DIE("imported_unit", {"import": Form("ref_addr", number)})
    return [Unit([number]), Unit([bad])]


def test_failure_in_one_unit(tmp_path: Path) -> None:
    elf = tmp_path / "a.o"
    elf.write_bytes(write_dwarf(broken_unit(), target=X86_64))
    # 1.30 fails; those before and after it have exit status 0, and at most the good unit.
    status, output = pahole_says(elf, tmp_path / "pahole.btf")
    assert status != 0 or not output or len(Btf.load(output)) == 1
    refuses(elf, "imported unit")


def test_complex(tmp_path: Path) -> None:
    (elf,) = compiled(tmp_path, "struct s { _Complex double c; int b; }; struct s v;")
    _, output = pahole_says(elf, tmp_path / "pahole.btf")
    assert not output
    assert "INT complex double size=16 bits=128" in btftext.lines(ours(elf))


def test_ambiguous_name_that_sorts_last(tmp_path: Path) -> None:
    text = (
        "static __attribute__((noinline)) int yyy(int a) {{ return a + {0}; }}\n"
        "static __attribute__((noinline)) int zzz(int a) {{ return a - {0}; }}\n"
        "int (*address{0}[])(int) = {{ yyy, zzz }};"
    )
    image = linked(tmp_path, text.format(1), text.format(2))
    assert names(ours(image), Func) == []
    # Before 1.31 any function of several addresses was emitted.
    assert names(theirs(image), Func) == (["zzz"] if recent_pahole() else ["yyy", "zzz"])


def test_incomplete_declaration_before_the_definition(tmp_path: Path) -> None:
    image = linked(tmp_path, f"extern int a[]; {PERCPU} int a[5] = {{1}}; {PERCPU} int b = 1;")
    assert names(theirs(image), Var) == ["b"]
    made = ours(image)
    assert names(made, Var) == ["a", "b"]
    (a,) = made.find(Var, "a")
    array = made[a.type_id]
    assert isinstance(array, Array) and array.nelems == 5


def test_weak_variable(tmp_path: Path) -> None:
    weak = f"__attribute__((weak)) {PERCPU} int over = 1; {PERCPU} int next = 1;"
    image = linked(tmp_path, weak, f"{PERCPU} long over = 2;")
    assert names(theirs(image), Var) == ["next", "over", "over"]
    (section,) = [t for t in theirs(image) if isinstance(t, Datasec)]
    offsets = [entry.offset for entry in section.entries]
    assert len(set(offsets)) < len(offsets), "two at one place"
    made = ours(image)
    assert names(made, Var) == ["next", "over"]
    (over,) = made.find(Var, "over")
    assert made[over.type_id].name == "long int"


def test_array_comparison(tmp_path: Path) -> None:
    """Two structs `in` with arrays of other elements; in one unit a holder has both."""
    image = linked(
        tmp_path,
        "struct in { int a[2]; }; struct holder { struct in *x; struct in *y; }; struct holder h;",
        "void f(void) {\n"
        "  struct in { int a[2]; } *one = 0;\n"
        "  { struct in { unsigned a[2]; };\n"
        "    struct holder { __typeof__(*one) *x; struct in *y; } h;\n"
        '    __asm__ volatile("" :: "r"(&h), "r"(one)); }\n'
        "}",
    )
    made = ours(image)
    assert len(made.find(Struct, "in")) == 2
    pointees = set()
    for holder in made.find(Struct, "holder"):
        pointers = [made[m.type_id] for m in holder.members]
        pointees.add(tuple(p.type_id for p in pointers if isinstance(p, Ptr)))
    assert len(pointees) == 2, "one holder of two equal structs, one of two that differ"
    if recent_pahole():
        assert len(theirs(image).find(Struct, "in")) == 2
        assert len(theirs(image).find(Struct, "holder")) == 1


def test_typedefs_of_a_module(tmp_path: Path) -> None:
    """They are the base's, and so is what is made of them."""
    (base,) = compiled(tmp_path, "typedef unsigned int u32; u32 *a; int b(u32 *p) { return *p; }")
    _native.embed(str(base), [(".BTF", _native.encode(str(base)).btf)])
    (tmp_path / "m").mkdir()
    (module,) = compiled(
        tmp_path / "m", "typedef unsigned int u32; struct m { u32 *p; }; struct m m;"
    )
    whole = ours(base)
    own = Btf.from_bytes(_native.encode(str(module), base=str(base)).btf, base=whole)
    assert not [t for t in own if isinstance(t, Typedef)]
    assert own.find(Struct, "m")
    if recent_pahole():
        _, output = pahole_says(module, tmp_path / "split", f"--btf_base={base}")
        assert output
        repeated = [t for t in Btf.load(output, base=whole) if isinstance(t, Typedef)]
        # libbpf 1.7 and 1.8 repeat it, newer ones share it.
        assert [t.name for t in repeated] in ([], ["u32"])


def test_a_function_of_a_module_that_vmlinux_has_too(tmp_path: Path) -> None:
    """A static inline function that both did not inline: each has its own."""
    shared = "static __attribute__((noinline)) int shared(int a) { return a + 1; }"
    (base,) = compiled(tmp_path, shared + " int in_base(int a) { return shared(a); }")
    _native.embed(str(base), [(".BTF", _native.encode(str(base)).btf)])
    (tmp_path / "m").mkdir()
    (module,) = compiled(tmp_path / "m", shared + " int in_module(int a) { return shared(a); }")
    whole = ours(base)
    own = Btf.from_bytes(_native.encode(str(module), base=str(base)).btf, base=whole)
    assert names(own, Func) == ["in_module", "shared"]
    if recent_pahole():
        _, output = pahole_says(module, tmp_path / "split", f"--btf_base={base}")
        assert output
        assert names(Btf.load(output, base=whole), Func) == ["in_module"]


def test_more_variables_than_one_section_can_hold(tmp_path: Path) -> None:
    variables = "".join(f"{PERCPU} char v{i} = 1;\n" for i in range(65_546))
    image = linked(tmp_path, variables)
    _, output = pahole_says(image, tmp_path / "pahole.btf")
    # 1.24 counts to 4,096 and fails; newer ones count again from 0 at 65,536.
    if output:
        (section,) = [t for t in Btf.load(output) if isinstance(t, Datasec)]
        assert len(section.entries) == 10
    refuses(image, "(DATASEC .data..percpu): 65546 variables, the kernel that this is for takes")


def test_member_far_inside_a_struct_with_bit_fields(tmp_path: Path) -> None:
    (elf,) = compiled(tmp_path, "struct s { int a:3; char pad[3 << 20]; int b; }; struct s *v;")
    (s,) = theirs(elf).find(Struct, "s")
    assert s.members[-1].bit_size == 1, "a plain int"
    refuses(elf, "cannot place this member")


def test_declaration_of_a_struct_whose_name_a_union_has_too(tmp_path: Path) -> None:
    image = linked(
        tmp_path,
        "struct twin { int a; }; struct twin one;",
        "union twin { long b; }; union twin two;",
        "struct twin; struct twin *three;",
    )
    assert [(t.name, t.is_union) for t in theirs(image) if isinstance(t, Fwd)] == [("twin", False)]
    made = ours(image)
    assert not [t for t in made if isinstance(t, Fwd)]
    (pointer,) = [t for t in made if isinstance(t, Ptr)]
    assert isinstance(made[pointer.type_id], Struct)


def test_forward_declaration_of_an_ambiguous_name(tmp_path: Path) -> None:
    """`six` gets another argument in pahole's BTF when the objects are linked in another order."""
    long = (
        "struct priv { long x; }; struct outer { struct priv *p; };"
        "long four(struct outer *o) { return o->p->x; }"
    )
    short = (
        "struct priv { short y; }; struct outer { struct priv *p; };"
        "int five(struct outer *o) { return o->p->y; }"
    )
    declared = (
        "struct priv; struct outer { struct priv *p; }; int six(struct outer *o) { return o != 0; }"
    )

    def argument_of_six(btf: Btf) -> str:
        """What the pointer in `struct outer` points to, for `six`."""
        (six,) = btf.find(Func, "six")
        prototype = btf[six.type_id]
        assert isinstance(prototype, FuncProto)
        outer = pointee(btf, prototype.params[0].type_id)
        assert isinstance(outer, Struct)
        private = pointee(btf, outer.members[0].type_id)
        return "declared" if isinstance(private, Fwd) else str(private.members[0].name)  # type: ignore[attr-defined]

    def pointee(btf: Btf, pointer: int) -> object:
        found = btf[pointer]
        assert isinstance(found, Ptr)
        return btf[found.type_id]

    said, ours_said = set(), set()
    for number, parts in enumerate([(long, short, declared), (short, long, declared)]):
        directory = tmp_path / str(number)
        directory.mkdir()
        image = linked(directory, *parts)
        ours_said.add(argument_of_six(ours(image)))
        said.add(argument_of_six(theirs(image)))
    assert said == {"x", "y"}
    assert len(ours_said) == 1 and ours_said <= said, "whatever the order"


def test_strings_and_header(tmp_path: Path) -> None:
    (elf,) = compiled(
        tmp_path, "static inline int gone(int of_no_use) { return of_no_use; } int v;"
    )
    btf = _native.encode(str(elf)).btf
    assert b"of_no_use" not in btf
    assert int.from_bytes(btf[4:8], "little") == 24
    assert int.from_bytes(_native.encode(str(elf), features="+layout").btf[4:8], "little") == 32
    if recent_pahole():
        _, output = pahole_says(elf, tmp_path / "pahole.btf")
        assert output
        assert int.from_bytes(output.read_bytes()[4:8], "little") == 32


def test_changed_function_in_an_object(tmp_path: Path) -> None:
    """What stands at the address is `unused_last.constprop.0`: callers do not pass `unused`."""
    elf = GCC.compile(COMPILERS / "clones.c", tmp_path / "a.o", "-O2")
    assert "unused_last" not in names(ours(elf), Func)
    if recent_pahole():
        assert "unused_last" in names(theirs(elf), Func)
    image = GCC.link([elf], tmp_path / "image", "--unresolved-symbols=ignore-all")
    assert "unused_last" not in names(ours(image), Func)
    if recent_pahole():
        assert "unused_last" not in names(theirs(image), Func)


@pytest.mark.parametrize("chain", [GCC, CLANGS[-1]], ids=lambda chain: chain.name)
def test_split_dwarf(chain: Toolchain, tmp_path: Path) -> None:
    elf = chain.compile(COMPILERS / "strong.c", tmp_path / "a.o", "-gsplit-dwarf", "-gdwarf-5")
    status, output = pahole_says(elf, tmp_path / "pahole.btf")
    assert status == 0
    assert not output or not list(Btf.load(output))
    plain = chain.compile(COMPILERS / "strong.c", tmp_path / "plain.o", "-gdwarf-5")
    assert btftext.lines(ours(elf)) == btftext.lines(ours(plain))


def test_clang_where_pahole_knows_no_registers(tmp_path: Path) -> None:
    """Such as RISC-V: there is nothing to compare the register of a parameter with."""
    clang = Toolchain("clang-19", "clang-19", flags=("--target=riscv64-linux-gnu", "-mno-relax"))
    elf = clang.compile(COMPILERS / "strong.c", tmp_path / "a.o", "-O2")
    assert names(ours(elf), Func) == ["overridden", "takes_big"]
    if recent_pahole():
        assert names(theirs(elf), Func) == []


def test_variables_that_are_not_in_memory_as_they_are_declared(tmp_path: Path) -> None:
    """clang makes one byte of `narrow`, and `text` one with the equal string literal."""
    source = tmp_path / "a.c"
    source.write_text(
        'static const char text[] = "%d";\n'
        "static int narrow; int plain = 1;\n"
        "int other(const char *text, int i);\n"
        'int told(void) { return other(text, 1) + other("%d", 2); }\n'
        "void set(void) { narrow = 7; }\n"
        "int get(void) { return narrow + plain; }\n"
    )
    elf = CLANGS[-1].compile(source, tmp_path / "a.o", "-O2")
    image = CLANGS[-1].link([elf], tmp_path / "image", "--unresolved-symbols=ignore-all")
    options = ("--btf_features=default,global_var",)
    made = Btf.from_bytes(_native.encode(image, features="default,global_var").btf)
    assert [v.name for v in made if isinstance(v, Var)] == ["plain"]
    linked = _native.link(image, objects=[str(elf)], features="default,global_var")
    assert linked.btf == _native.encode(image, features="default,global_var").btf
    if recent_pahole():
        _, output = pahole_says(image, tmp_path / "pahole.btf", *options)
        assert output
        there = {v.name for v in Btf.load(output) if isinstance(v, Var)}
        assert there == {"narrow", "plain", "text"}
