# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Odd and ordinary DWARF, and the BTF it means: data for test_encode_synthetic.py.

Each rule is one that pahole follows unless `differs` says otherwise. The expected text is the
whole result as `btftext.lines` shows it, without the line of `int` where a case uses INT.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dwarfwriter import (
    ATE,
    DIE,
    LANG_ASSEMBLER,
    LANG_C11,
    LANG_RUST,
    Form,
    OP_plus_uconst,
    OP_reg0,
    Ref,
    Unit,
    Value,
    at,
    uleb,
    write_dwarf,
)
from elfwriter import (
    ET_EXEC,
    ET_REL,
    SHF_ALLOC,
    SHF_EXECINSTR,
    SHF_WRITE,
    STB_LOCAL,
    STT_FUNC,
    STT_OBJECT,
    TARGETS,
    X86_64,
    Address,
    Section,
    Symbol,
    Target,
)


@dataclass
class Case:
    """`units` is called for each version and target; its result is encoded to `expect`."""

    name: str
    units: Callable[[], Sequence[DIE] | Sequence[Unit]]
    expect: list[str]
    versions: tuple[int, ...] = (4, 5)
    targets: tuple[Target, ...] = (X86_64,)
    features: str | None = None
    sections: tuple[Section, ...] = ()
    symbols: tuple[Symbol, ...] = ()
    type: int = ET_REL
    language: int = LANG_C11
    differs: str = ""
    """How pahole treats this input, where we do better."""


def base(name: str, size: int, encoding: int, **more: Value) -> DIE:
    return DIE("base_type", {"name": name, "byte_size": size, "encoding": encoding, **more})


def integer() -> DIE:
    return base("int", 4, ATE.signed)


def typedef(name: str, of: DIE | Ref | None = None) -> DIE:
    return DIE("typedef", {"name": name, **({"type": of} if of else {})})


def member(name: str, of: DIE | Ref, offset: Value = 0, **more: Value) -> DIE:
    named = {"name": name} if name else {}
    return DIE("member", {**named, "type": of, "data_member_location": offset, **more})


def bitfield(name: str, of: DIE, first_bit: int, bits: int) -> DIE:
    """A bitfield as DWARF 5 says it (DWARF 4 allows it, too)."""
    return DIE("member", {"name": name, "type": of, "data_bit_offset": first_bit, "bit_size": bits})


def struct(name: str, size: Value, *members: DIE, **more: Value) -> DIE:
    named = {"name": name} if name else {}
    return DIE("structure_type", {**named, "byte_size": size, **more}, members)


def array(of: DIE, *dimensions: dict[str, Value]) -> DIE:
    return DIE("array_type", {"type": of}, [DIE("subrange_type", d) for d in dimensions])


def enumerator(name: str, value: Value) -> DIE:
    return DIE("enumerator", {"name": name, "const_value": value})


def enumeration(name: str, size: int, *values: tuple[str, Value], **more: Value) -> DIE:
    return DIE(
        "enumeration_type",
        {"name": name, "byte_size": size, **more},
        [enumerator(n, v) for n, v in values],
    )


def annotation(kind: str, value: str) -> DIE:
    return DIE("LLVM_annotation", {"name": kind, "const_value": value})


def function(name: str, *children: DIE, **more: Value) -> DIE:
    return DIE("subprogram", {"name": name, "prototyped": True, **more}, children)


def parameter(name: str, of: DIE, **more: Value) -> DIE:
    return DIE("formal_parameter", {"name": name, "type": of, **more})


def variable(name: str, of: DIE, **more: Value) -> DIE:
    return DIE("variable", {"name": name, "type": of, **more})


INT = "INT int size=4 bits=32 signed"
TEXT = Section(".text", bytes(64), flags=SHF_ALLOC | SHF_EXECINSTR, addr=0x1000, align=16)
PERCPU = Section(".data..percpu", bytes(64), flags=SHF_ALLOC | SHF_WRITE, addr=0x2000, align=64)
F = Symbol("f", ".text", 0, 16, STT_FUNC)
G = Symbol("g", ".text", 16, 16, STT_FUNC)


def build(case: Case, version: int, target: Target) -> bytes:
    """The case as an ELF file; with `version` 0 each unit has the one that it says itself."""
    content = list(case.units())
    units = [u for u in content if isinstance(u, Unit)]
    if not units:
        dies = [d for d in content if isinstance(d, DIE)]
        units = [Unit(dies, {"name": "a.c", "language": case.language})]
    for unit in units:
        unit.version = version or unit.version
    return write_dwarf(units, case.sections, case.symbols, target=target, type=case.type)


def _base_types() -> list[DIE]:
    return [
        base("int", 4, ATE.signed),
        base("unsigned int", 4, ATE.unsigned),
        base("char", 1, ATE.signed_char),
        base("unsigned char", 1, ATE.unsigned_char),
        base("_Bool", 1, ATE.boolean),
        base("char16_t", 2, ATE.UTF),
        base("address", 8, ATE.address),
        base("__int128", 16, ATE.signed),
        base("_Decimal64", 8, ATE.decimal_float),
        base("narrow", 4, ATE.unsigned, bit_size=24),
    ]


def _floats() -> list[DIE]:
    return [
        base("_Float16", 2, ATE.float),
        base("float", 4, ATE.float),
        base("double", 8, ATE.float),
        base("__float80", 12, ATE.float),
        base("long double", 16, ATE.float),
    ]


def _arrays() -> list[DIE]:
    i = integer()
    size = base("long unsigned int", 8, ATE.unsigned)
    length = variable("n", i, artificial=True)
    named: dict[str, list[dict[str, Value]]] = {
        "plain": [{"type": size, "upper_bound": 2}],
        "by_count": [{"count": 5}],
        "flat": [{"upper_bound": 2}, {"upper_bound": 3}, {"count": 5}],
        "flexible": [{"type": size}],
        "zero": [{"count": 0}],
        "minus_one": [{"upper_bound": -1}],
        "minus_one_unsigned": [{"upper_bound": Form("data8", (1 << 64) - 1)}],
        "upper_before_count": [{"upper_bound": 1, "count": 7}],
        "lower_bound_is_nothing": [{"lower_bound": 1, "upper_bound": 2}],
        "by_expression": [{"upper_bound": bytes([OP_reg0])}],
        "by_variable": [{"upper_bound": length, "count": 9}],
        "wraps": [{"count": 1 << 20}, {"count": 1 << 20}],
        "no_subrange": [],
    }
    return [i, size, length, *(typedef(n, array(i, *d)) for n, d in named.items())]


def _members() -> list[DIE]:
    i, char = integer(), base("char", 1, ATE.signed_char)
    inner = struct("", 4, member("a", i), member("b", char, 3))
    union = DIE("union_type", {"byte_size": 4}, [member("x", i), member("y", char)])
    return [
        i,
        DIE(
            "structure_type",
            {"name": "all", "byte_size": 32},
            [
                member("first", i),
                member("by_expression", i, Form("exprloc", bytes([OP_plus_uconst]) + uleb(8))),
                member("", inner, 12),
                member("", union, 16),
                member("link", DIE("pointer_type", {"type": Ref("all")}), 24),
            ],
            "all",
        ),
        DIE("union_type", {"name": "either", "byte_size": 4}, [member("a", i), member("c", char)]),
        struct("empty", 0),
        DIE("structure_type", {"name": "sizeless"}),
        DIE("class_type", {"name": "klass", "byte_size": 4}, [member("a", i)]),
        DIE(
            "structure_type",
            {"name": "derived", "byte_size": 8},
            [
                DIE("inheritance", {"type": Ref("all"), "data_member_location": 0}),
                member("z", i, 4),
            ],
        ),
    ]


def _bitfields() -> list[DIE]:
    """As DWARF 5 has them: counted from the start, whatever the byte order."""
    i, u8 = integer(), base("unsigned char", 1, ATE.unsigned_char)
    return [
        i,
        struct(
            "bits",
            8,
            bitfield("a", i, 0, 3),
            bitfield("b", typedef("alias", i), 3, 14),
            bitfield("c", DIE("const_type", {"type": u8}), 17, 5),
            member("plain", i, 4),
        ),
        struct("whole", 4, bitfield("all", i, 0, 32)),
        DIE("union_type", {"name": "u", "byte_size": 4}, [bitfield("low", i, 0, 1)]),
        struct("straddles", 12, bitfield("s", i, 28, 20)),
    ]


def _old_bitfields(offset_a: int, offset_b: int) -> list[DIE]:
    """As DWARF 2 to 4 have them: counted from the most significant bit of a storage unit.

    So the first member has the highest offset on a little-endian machine, 0 on a big-endian one.
    """
    i, u8 = integer(), base("unsigned char", 1, ATE.unsigned_char)

    def old(name: str, of: DIE, storage: int, at_byte: int, offset: int, bits: int) -> DIE:
        more: dict[str, Value] = {"byte_size": storage} if storage else {}
        return member(name, of, at_byte, **more, bit_offset=offset, bit_size=bits)

    return [
        i,
        struct(
            "bits",
            12,
            old("a", i, 4, 0, offset_a, 3),
            old("b", typedef("alias", i), 4, 0, offset_b, 14),
            old("c", DIE("const_type", {"type": u8}), 1, 4, 3, 5),
            old("no_storage", typedef("again", DIE("volatile_type", {"type": i})), 0, 8, 20, 12),
        ),
        # A packed field that starts before its storage unit: a negative offset.
        struct("packed", 12, old("p", i, 4, 4, -4, 8)),
    ]


def _enums() -> list[DIE]:
    u32 = base("unsigned int", 4, ATE.unsigned)
    return [
        enumeration("plain", 4, ("A", 0), ("B", 7), type=u32),
        enumeration("negative", 4, ("MINUS", -1), ("PLUS", 1)),
        enumeration("top", 4, ("TOP", Form("data4", 0xFFFFFFFF))),
        enumeration("constant", 4, ("C", Form("implicit_const", -3))),
        enumeration("small", 1, ("S", 1)),
        DIE(
            "enumeration_type",
            {"name": "no_size"},
            [DIE("enumerator", {"name": "N", "const_value": 1})],
        ),
        enumeration("declared", 4, declaration=True),
        DIE("enumeration_type", {"name": "class", "byte_size": 2, "enum_class": True}),
    ]


def _enums64() -> list[DIE]:
    s64, u64 = base("long", 8, ATE.signed), base("unsigned long", 8, ATE.unsigned)
    return [
        s64,
        u64,
        enumeration("wide", 8, ("W", 1 << 40), type=u64),
        enumeration("signed", 8, ("LOW", -(1 << 40)), ("ONE", 1), type=s64),
        enumeration("untyped", 8, ("U", Form("data8", (1 << 64) - 1))),
        enumeration("by_typedef", 8, ("T", 1), type=typedef("s64", s64)),
    ]


def _forwards() -> list[DIE]:
    gone = struct("gone", 0, declaration=True)
    union = DIE("union_type", {"name": "gone_too", "declaration": True})
    return [
        typedef("a", DIE("pointer_type", {"byte_size": 8, "type": gone})),
        typedef("b", DIE("pointer_type", {"byte_size": 8, "type": union})),
        gone,
        union,
    ]


def _qualifiers() -> list[DIE]:
    i = integer()

    def chain(*tags: str, to: DIE | None = None) -> DIE:
        if not tags:
            assert to
            return to
        rest = {"type": chain(*tags[1:], to=to)} if len(tags) > 1 or to else {}
        return DIE(f"{tags[0]}_type", rest)

    return [
        i,
        typedef("nothing"),
        typedef("cv", chain("const", "volatile", to=i)),
        typedef("c_void", chain("const")),
        typedef("v_void", chain("volatile")),
        typedef("p_void", chain("pointer")),
        typedef("r", chain("restrict", "pointer", "const")),
        typedef("a", chain("atomic", to=i)),
        typedef("pa", chain("pointer", "atomic", "volatile", to=i)),
    ]


def _prototypes() -> list[DIE]:
    i = integer()

    def pointer_to(*children: DIE, **more: Value) -> DIE:
        return DIE("pointer_type", {"type": DIE("subroutine_type", more, children)})

    return [
        i,
        typedef("none", pointer_to(prototyped=True)),
        typedef("unary", pointer_to(DIE("formal_parameter", {"type": i}), type=i)),
        typedef("named", pointer_to(parameter("a", i))),
        typedef(
            "variadic",
            pointer_to(DIE("formal_parameter", {"type": i}), DIE("unspecified_parameters"), type=i),
        ),
        typedef("old", pointer_to(DIE("unspecified_parameters"))),
    ]


def _unknown() -> list[DIE]:
    """`unspecified_type` and what BTF has no word for are void, not errors."""
    null = DIE("unspecified_type", {"name": "decltype(nullptr)"})
    strange = DIE("0x4fff", {"name": "strange"}, [DIE("label", {"name": "inside"})])
    return [null, strange, typedef("nothing", null), typedef("something", strange)]


def _functions() -> list[DIE]:
    i = integer()
    return [
        i,
        function(
            "f",
            parameter("a", i),
            parameter("b", DIE("pointer_type", {"byte_size": 8, "type": i})),
            DIE("unspecified_parameters"),
            type=i,
            low_pc=Address("f"),
            high_pc=16,
            external=True,
        ),
        function("g", low_pc=Address("g"), high_pc=16),
        function("declared", declaration=True, external=True),
        function("inlined", parameter("x", i), inline=1),
    ]


def _local_types() -> list[DIE]:
    """Types count wherever they stand; the scope is lost."""
    i = integer()
    deep = DIE("lexical_block", {}, [struct("in_block", 4, member("m", i))])
    inlined = DIE("inlined_subroutine", {}, [typedef("in_inlined", i)])
    return [
        i,
        function(
            "f",
            DIE("lexical_block", {}, [deep, inlined]),
            enumeration("in_f", 4, ("E", 1)),
            low_pc=Address("f"),
            high_pc=16,
        ),
        DIE("namespace", {"name": "ns"}, [typedef("in_namespace", i)]),
        struct("outer", 4, struct("inner", 4, member("x", i)), member("y", i)),
    ]


def _assembler() -> list[Unit]:
    none = DIE("unspecified_type", {"name": "void"})
    body = DIE(
        "subprogram",
        {"name": "f", "external": True, "type": none, "low_pc": Address("f"), "high_pc": 16},
    )
    return [Unit([none, body], {"name": "f.S", "language": Form("data2", LANG_ASSEMBLER)})]


def _decl_tags() -> list[DIE]:
    i = integer()

    def tag(value: str) -> DIE:
        return annotation("btf_decl_tag", value)

    return [
        i,
        DIE(
            "structure_type",
            {"name": "s", "byte_size": 8},
            [
                member("plain", i),
                DIE("member", {"name": "m", "type": i, "data_member_location": 4}, [tag("on_m")]),
                tag("on_s"),
                tag("also_on_s"),
            ],
        ),
        DIE("union_type", {"name": "u", "byte_size": 4}, [member("a", i), tag("on_u")]),
        DIE("typedef", {"name": "t", "type": i}, [tag("on_t")]),
        function(
            "f",
            DIE("formal_parameter", {"name": "a", "type": i}),
            DIE("formal_parameter", {"name": "b", "type": i}, [tag("on_b")]),
            tag("on_f"),
            low_pc=Address("f"),
            high_pc=16,
        ),
        function("g", low_pc=Address("g"), high_pc=16),
    ]


def _gnu_tags() -> list[DIE]:
    i = integer()

    def chain(kind: str, *values: str) -> DIE:
        attrs: dict[str, Value] = {"name": kind, "const_value": values[0]}
        if len(values) > 1:
            attrs["GNU_annotation"] = Ref(f"{kind} {values[1:]}")
        return DIE("GNU_annotation", attrs, label=f"{kind} {values}")

    on_s = [chain("btf_decl_tag", "one", "two"), chain("btf_decl_tag", "two")]
    on_p = [chain("btf_type_tag", "first", "second"), chain("btf_type_tag", "second")]
    return [
        i,
        *on_s,
        *on_p,
        DIE(
            "structure_type",
            {"name": "s", "byte_size": 4, "GNU_annotation": on_s[0]},
            [member("m", i, GNU_annotation=on_s[1])],
        ),
        typedef("p", DIE("pointer_type", {"byte_size": 8, "type": i, "GNU_annotation": on_p[0]})),
    ]


def _type_tags() -> list[DIE]:
    i = integer()
    tags = [annotation("btf_type_tag", "t1"), annotation("btf_type_tag", "t2")]
    return [
        i,
        typedef("two", DIE("pointer_type", {"byte_size": 8, "type": i}, tags)),
        typedef(
            "to_void", DIE("pointer_type", {"byte_size": 8}, [annotation("btf_type_tag", "user")])
        ),
    ]


def _several_units() -> list[Unit]:
    """The same types in each unit are one type in the end; the second unit adds its own."""

    def shared() -> list[DIE]:
        i = integer()
        return [i, struct("shared", 4, member("x", i))]

    first, second = shared(), shared()
    return [
        Unit([*first, typedef("only_first", first[1])], {"name": "a.c", "language": LANG_C11}),
        Unit([*second, typedef("only_second", second[1])], {"name": "b.c", "language": LANG_C11}),
    ]


def _across_units() -> list[Unit]:
    i = integer()
    s = struct("s", 4, member("x", i))
    return [
        Unit([i, s], {"name": "a.c", "language": LANG_C11}),
        Unit(
            [DIE("typedef", {"name": "far", "type": Form("ref_addr", s)})],
            {"name": "b.c", "language": LANG_C11},
        ),
    ]


def _forms() -> list[DIE]:
    """One type, its attributes in every form that can hold them."""
    i = base("int", 4, ATE.signed)
    return [
        i,
        struct("data1", Form("data1", 4)),
        struct("data2", Form("data2", 0x100)),
        struct("data4", Form("data4", 0x10000)),
        struct("data8", Form("data8", 0x20000)),
        struct("sdata", Form("sdata", 8)),
        struct("indirect", Form("indirect", Form("data2", 0x300))),
        DIE("typedef", {"name": Form("string", "inline"), "type": i}),
        DIE("typedef", {"name": Form("indirect", Form("strp", "twice")), "type": i}),
        DIE("typedef", {"name": "r1", "type": Form("ref1", i)}),
        DIE("typedef", {"name": "r2", "type": Form("ref2", i)}),
        DIE("typedef", {"name": "r8", "type": Form("ref8", i)}),
        DIE("typedef", {"name": "ru", "type": Form("ref_udata", i)}),
    ]


def _forms5() -> list[DIE]:
    i = base("int", 4, ATE.signed)
    return [
        i,
        struct("constant", Form("implicit_const", 12)),
        *(
            DIE("typedef", {"name": Form(form, form), "type": i})
            for form in ("strx", "strx1", "strx2", "strx3", "strx4", "line_strp")
        ),
        function("f", low_pc=Form("addrx", Address("f")), high_pc=16),
        function("g", low_pc=Form("addrx1", Address("g")), high_pc=16),
    ]


def _type_unit(version: int) -> list[Unit]:
    i = integer()
    s = struct("apart", 4, member("x", i))
    types = Unit([i, s], {"language": LANG_C11}, version, "type_unit", signature=0x1234, type=s)
    user = Unit([DIE("typedef", {"name": "u", "type": Form("ref_sig8", 0x1234)})], version=version)
    return [user, types]


def _percpu() -> list[DIE]:
    i = integer()
    return [
        i,
        DIE(
            "variable", {"name": "counter", "type": i, "external": True, "location": at("counter")}
        ),
        DIE("variable", {"name": "hidden", "type": i, "location": at(".data..percpu", 8)}),
        DIE("variable", {"name": "elsewhere", "type": i, "location": at(".text", 0)}),
        DIE("variable", {"name": "declared", "type": i, "declaration": True, "external": True}),
    ]


_ARRAY_LINES = [
    "INT long unsigned int size=8 bits=64",
    INT,
    "TYPEDEF by_count = [5]int",
    "TYPEDEF by_expression = [0]int",
    "TYPEDEF by_variable = [0]int",
    "TYPEDEF flat = [60]int",
    "TYPEDEF flexible = [0]int",
    "TYPEDEF lower_bound_is_nothing = [3]int",
    "TYPEDEF minus_one = [0]int",
    "TYPEDEF minus_one_unsigned = [0]int",
    "TYPEDEF no_subrange = [1]int",
    "TYPEDEF plain = [3]int",
    "TYPEDEF upper_before_count = [2]int",
    "TYPEDEF wraps = [0]int",
    "TYPEDEF zero = [0]int",
]

CASES = [
    Case(
        "base_types",
        _base_types,
        [
            "INT __int128 size=16 bits=128 signed",
            "INT _Bool size=1 bits=8 bool",
            "INT _Decimal64 size=8 bits=64",
            "INT address size=8 bits=64",
            "INT char size=1 bits=8 signed",
            "INT char16_t size=2 bits=16",
            INT,
            "INT narrow size=4 bits=32",
            "INT unsigned char size=1 bits=8",
            "INT unsigned int size=4 bits=32",
        ],
        targets=TARGETS,
    ),
    Case(
        "integers_of_odd_sizes",
        lambda: [
            typedef("a", base("DW_ATE_unsigned_24", 3, ATE.unsigned)),
            typedef("b", base("DW_ATE_signed_40", 5, ATE.signed)),
            typedef("c", base("huge", 32, ATE.unsigned)),
            typedef("d", base("no size", 0, ATE.unsigned)),
        ],
        [
            "INT __SANITIZED_FAKE_INT__ size=4 bits=32",
            "INT __SANITIZED_FAKE_INT__ size=4 bits=32 signed",
            "TYPEDEF a = __SANITIZED_FAKE_INT__",
            "TYPEDEF b = __SANITIZED_FAKE_INT__",
            "TYPEDEF c = __SANITIZED_FAKE_INT__",
            "TYPEDEF d = __SANITIZED_FAKE_INT__",
        ],
    ),
    Case(
        "floats",
        _floats,
        [
            "FLOAT _Float16 size=2",
            "FLOAT __float80 size=12",
            "FLOAT double size=8",
            "FLOAT float size=4",
            "FLOAT long double size=16",
        ],
    ),
    Case(
        "complex_is_an_integer",
        lambda: [typedef("t", base("complex double", 16, ATE.complex_float))],
        ["INT complex double size=16 bits=128", "TYPEDEF t = complex double"],
        differs="fails the whole file",
    ),
    Case(
        "floats_without_the_feature",
        _floats,
        [
            "INT _Float16 size=2 bits=16",
            "INT __SANITIZED_FAKE_INT__ size=4 bits=32",
            "INT double size=8 bits=64",
            "INT float size=4 bits=32",
            "INT long double size=16 bits=128",
        ],
        features="encode_force,var,enum64,decl_tag,type_tag",
    ),
    Case(
        "chain_of_annotations_without_an_end",
        lambda: [
            DIE(
                "GNU_annotation",
                {"name": "btf_decl_tag", "const_value": "x", "GNU_annotation": Ref("circle")},
                label="circle",
            ),
            struct("s", 4, GNU_annotation=Ref("circle")),
        ],
        ["DECL_TAG x -> struct s", "STRUCT s size=4 {}"],
    ),
    Case("arrays", _arrays, _ARRAY_LINES, targets=TARGETS),
    Case(
        "array_without_int",
        lambda: [typedef("t", array(base("char", 1, ATE.signed_char), {"count": 3}))],
        ["INT char size=1 bits=8 signed", INT, "TYPEDEF t = [3]char"],
    ),
    Case(
        "members",
        _members,
        [
            "INT char size=1 bits=8 signed",
            INT,
            "STRUCT all size=32 { int first @0; int by_expression @64;"
            " STRUCT size=4 { int a @0; char b @24 } @96;"
            " UNION size=4 { int x @0; char y @0 } @128; *struct all link @192 }",
            "STRUCT derived size=8 { int z @32 }",
            "STRUCT empty size=0 {}",
            "STRUCT klass size=4 { int a @0 }",
            "STRUCT sizeless size=0 {}",
            "UNION either size=4 { int a @0; char c @0 }",
        ],
        targets=TARGETS,
    ),
    Case(
        "rust_members_by_offset",
        lambda: [
            struct("s", 8, member("late", (i := integer()), 4), member("early", i, 0)),
            i,
        ],
        [INT, "STRUCT s size=8 { int early @0; int late @32 }"],
        language=LANG_RUST,
    ),
    Case(
        "bitfields",
        _bitfields,
        [
            INT,
            "INT unsigned char size=1 bits=8",
            "STRUCT bits size=8 kflag { int a @0:3; alias b @3:14; const unsigned char c @17:5;"
            " int plain @32 }",
            "STRUCT straddles size=12 kflag { int s @28:20 }",
            "STRUCT whole size=4 kflag { int all @0:32 }",
            "TYPEDEF alias = int",
            "UNION u size=4 kflag { int low @0:1 }",
        ],
        targets=TARGETS,
    ),
    Case(
        "old_bitfields",
        lambda: _old_bitfields(29, 15),
        [
            INT,
            "INT unsigned char size=1 bits=8",
            "STRUCT bits size=12 kflag { int a @0:3; alias b @3:14; const unsigned char c @32:5;"
            " again no_storage @64:12 }",
            "STRUCT packed size=12 kflag { int p @60:8 }",
            "TYPEDEF again = volatile int",
            "TYPEDEF alias = int",
        ],
        versions=(4,),
        targets=tuple(t for t in TARGETS if t.little),
    ),
    Case(
        "old_bitfields_big_endian",
        lambda: _old_bitfields(0, 3),
        [
            INT,
            "INT unsigned char size=1 bits=8",
            "STRUCT bits size=12 kflag { int a @0:3; alias b @3:14; const unsigned char c @35:5;"
            " again no_storage @84:12 }",
            "STRUCT packed size=12 kflag { int p @28:8 }",
            "TYPEDEF again = volatile int",
            "TYPEDEF alias = int",
        ],
        versions=(4,),
        targets=tuple(t for t in TARGETS if not t.little),
    ),
    Case(
        "enums",
        _enums,
        [
            "ENUM class size=2 {}",
            "ENUM constant size=4 signed { C=-3 }",
            "ENUM declared size=4 {}",
            "ENUM negative size=4 signed { MINUS=-1, PLUS=1 }",
            "ENUM no_size size=4 { N=1 }",
            "ENUM plain size=4 { A=0, B=7 }",
            "ENUM small size=1 { S=1 }",
            "ENUM top size=4 { TOP=4294967295 }",
            "INT unsigned int size=4 bits=32",
        ],
        versions=(5,),
        targets=TARGETS,
    ),
    Case(
        "enums_of_64_bits",
        _enums64,
        [
            "ENUM64 by_typedef size=8 { T=1 }",
            "ENUM64 signed size=8 signed { LOW=-1099511627776, ONE=1 }",
            "ENUM64 untyped size=8 { U=18446744073709551615 }",
            "ENUM64 wide size=8 { W=1099511627776 }",
            "INT long size=8 bits=64 signed",
            "INT unsigned long size=8 bits=64",
            "TYPEDEF s64 = long",
        ],
        targets=TARGETS,
    ),
    Case(
        "enums_without_enum64",
        lambda: [
            enumeration("wide", 8, ("W", (1 << 40) + 5)),
            enumeration("negative", 4, ("MINUS", -1)),
        ],
        [
            "ENUM negative size=4 { MINUS=4294967295 }",
            "ENUM wide size=8 { W=5 }",
        ],
        features="encode_force,var,float,decl_tag,type_tag",
    ),
    Case(
        "forward_declarations",
        _forwards,
        [
            "FWD struct gone",
            "FWD union gone_too",
            "TYPEDEF a = *struct gone",
            "TYPEDEF b = *union gone_too",
        ],
    ),
    Case(
        "qualifiers",
        _qualifiers,
        [
            INT,
            "TYPEDEF a = int",
            "TYPEDEF c_void = const void",
            "TYPEDEF cv = const volatile int",
            "TYPEDEF nothing = void",
            "TYPEDEF p_void = *void",
            "TYPEDEF pa = *volatile int",
            "TYPEDEF r = restrict *const void",
            "TYPEDEF v_void = volatile void",
        ],
        differs="fails the whole file at _Atomic",
    ),
    Case(
        "prototypes",
        _prototypes,
        [
            INT,
            "TYPEDEF named = *(int a) -> void",
            "TYPEDEF none = *() -> void",
            "TYPEDEF old = *(...) -> void",
            "TYPEDEF unary = *(int) -> int",
            "TYPEDEF variadic = *(int, ...) -> int",
        ],
    ),
    Case(
        "no_such_type",
        _unknown,
        ["TYPEDEF nothing = void", "TYPEDEF something = void"],
    ),
    Case(
        "functions",
        _functions,
        ["FUNC f static (int a, *int b, ...) -> int", "FUNC g static () -> void", INT],
        sections=(TEXT,),
        symbols=(F, G),
    ),
    Case(
        "functions_without_symbols",
        _functions,
        [INT, "(unused) *int"],
        sections=(TEXT,),
        symbols=(Symbol("f", ".text"), Symbol("g", ".text")),
    ),
    Case(
        "local_types",
        _local_types,
        [
            "ENUM in_f size=4 { E=1 }",
            "FUNC f static () -> void",
            INT,
            "STRUCT in_block size=4 { int m @0 }",
            "STRUCT inner size=4 { int x @0 }",
            "STRUCT outer size=4 { int y @0 }",
            "TYPEDEF in_inlined = int",
            "TYPEDEF in_namespace = int",
        ],
        sections=(TEXT,),
        symbols=(F,),
    ),
    Case(
        "assembler",
        _assembler,
        ["FUNC f static () -> void"],
        sections=(TEXT,),
        symbols=(F,),
    ),
    Case(
        "decl_tags",
        _decl_tags,
        [
            "DECL_TAG also_on_s -> struct s",
            "DECL_TAG on_b -> f[1]",
            "DECL_TAG on_f -> f",
            "DECL_TAG on_m -> struct s[1]",
            "DECL_TAG on_s -> struct s",
            "DECL_TAG on_t -> t",
            "DECL_TAG on_u -> union u",
            "FUNC f static (int a, int b) -> void",
            "FUNC g static () -> void",
            INT,
            "STRUCT s size=8 { int plain @0; int m @32 }",
            "TYPEDEF t = int",
            "UNION u size=4 { int a @0 }",
        ],
        sections=(TEXT,),
        symbols=(F, G),
    ),
    Case(
        "decl_tags_without_the_feature",
        _decl_tags,
        [
            "FUNC f static (int a, int b) -> void",
            "FUNC g static () -> void",
            INT,
            "STRUCT s size=8 { int plain @0; int m @32 }",
            "TYPEDEF t = int",
            "UNION u size=4 { int a @0 }",
        ],
        features="encode_force,var,float,enum64,type_tag",
        sections=(TEXT,),
        symbols=(F, G),
    ),
    Case(
        "gnu_annotations",
        _gnu_tags,
        [
            "DECL_TAG one -> struct s",
            "DECL_TAG two -> struct s",
            "DECL_TAG two -> struct s[0]",
            INT,
            "STRUCT s size=4 { int m @0 }",
            "TYPEDEF p = *tag(first) tag(second) int",
        ],
    ),
    Case(
        "type_tags",
        _type_tags,
        [
            INT,
            "TYPEDEF to_void = *tag(user) void",
            "TYPEDEF two = *tag(t2) tag(t1) int",
        ],
    ),
    Case(
        "type_tags_without_the_feature",
        _type_tags,
        [INT, "TYPEDEF to_void = *void", "TYPEDEF two = *int"],
        features="encode_force,var,float,enum64,decl_tag",
    ),
    Case(
        "several_units",
        _several_units,
        [
            INT,
            "STRUCT shared size=4 { int x @0 }",
            "TYPEDEF only_first = struct shared",
            "TYPEDEF only_second = struct shared",
        ],
    ),
    Case(
        "references_between_units",
        _across_units,
        [INT, "STRUCT s size=4 { int x @0 }", "TYPEDEF far = struct s"],
    ),
    Case(
        "forms",
        _forms,
        [
            INT,
            "STRUCT data1 size=4 {}",
            "STRUCT data2 size=256 {}",
            "STRUCT data4 size=65536 {}",
            "STRUCT data8 size=131072 {}",
            "STRUCT indirect size=768 {}",
            "STRUCT sdata size=8 {}",
            "TYPEDEF inline = int",
            "TYPEDEF r1 = int",
            "TYPEDEF r2 = int",
            "TYPEDEF r8 = int",
            "TYPEDEF ru = int",
            "TYPEDEF twice = int",
        ],
        targets=TARGETS,
    ),
    Case(
        "forms_of_dwarf_5",
        _forms5,
        [
            "FUNC f static () -> void",
            "FUNC g static () -> void",
            INT,
            "STRUCT constant size=12 {}",
            "TYPEDEF line_strp = int",
            "TYPEDEF strx = int",
            "TYPEDEF strx1 = int",
            "TYPEDEF strx2 = int",
            "TYPEDEF strx3 = int",
            "TYPEDEF strx4 = int",
        ],
        versions=(5,),
        targets=TARGETS,
        sections=(TEXT,),
        symbols=(F, G),
    ),
    Case(
        "per_cpu_variables",
        _percpu,
        [
            "DATASEC .data..percpu size=12 { counter @4+4; hidden @8+4 }",
            INT,
            "VAR counter global int",
            "VAR hidden static int",
        ],
        type=ET_EXEC,
        sections=(TEXT, PERCPU),
        symbols=(
            Symbol("counter", ".data..percpu", 4, 4, STT_OBJECT),
            Symbol("hidden", ".data..percpu", 8, 4, STT_OBJECT, STB_LOCAL),
        ),
    ),
]


def _nested(tag: str, depth: int) -> DIE:
    die = integer()
    for _ in range(depth):
        die = DIE(tag, {"type": die})
    return die


# What is refused, and a part of the message. Either BTF cannot say it, or the kernel would refuse
# what pahole makes of it; pahole mostly leaves it out in silence.
REFUSED: list[tuple[str, Callable[[], Sequence[DIE] | Sequence[Unit]], str]] = [
    ("type_unit_4", lambda: _type_unit(4), "type units"),
    ("type_unit_5", lambda: _type_unit(5), "type units"),
    ("split_dwarf", lambda: [Unit([], {}, 5, "skeleton_unit", signature=5)], "-gsplit-dwarf"),
    ("partial_unit", lambda: [Unit([integer()], {}, 5, "partial_unit")], "dwz"),
    (
        "imported_unit",
        lambda: [DIE("imported_unit", {"import": Form("ref_addr", integer())})],
        "dwz",
    ),
    (
        "reference",
        lambda: [DIE("reference_type", {"type": integer()})],
        "DW_TAG_reference_type",
    ),
    (
        "pointer_to_member",
        lambda: [DIE("ptr_to_member_type", {"type": integer()})],
        "DW_TAG_ptr_to_member_type",
    ),
    (
        "base_type_without_a_name",
        lambda: [DIE("base_type", {"byte_size": 4, "encoding": ATE.signed})],
        "without a name",
    ),
    ("typedef_without_a_name", lambda: [DIE("typedef", {"type": integer()})], "without a name"),
    (
        "enumerator_without_a_name",
        lambda: [DIE("enumeration_type", {}, [DIE("enumerator", {"const_value": 1})])],
        "without a name",
    ),
    (
        "declaration_without_a_name",
        lambda: [DIE("structure_type", {"declaration": True})],
        "without a name",
    ),
    # What only the kernel's own rules forbid.
    (
        "array_larger_than_4_gib",
        lambda: [array(integer(), {"upper_bound": 0xFFFFFFFE})],
        "larger than 4 GiB",
    ),
    (
        "bit_field_wider_than_its_type",
        lambda: [struct("s", 8, bitfield("v", integer(), 0, 33))],
        "a bit-field of 33 bits",
    ),
    (
        "bit_field_of_a_float",
        lambda: [struct("s", 4, bitfield("v", base("float", 4, ATE.float), 0, 8))],
        "a bit-field of 8 bits in a type of 4 bytes that allows 0",
    ),
    ("name_with_a_newline", lambda: [struct("a\nb", 4)], "a\\nb"),
    ("float_of_10_bytes", lambda: [base("odd", 10, ATE.float)], "10 bytes"),
    ("enum_of_3_bytes", lambda: [enumeration("e", 3, ("A", 1))], "3 bytes"),
    ("enumerator_too_large", lambda: [enumeration("e", 4, ("A", 1 << 40))], "1099511627776"),
    (
        "too_many_members",
        lambda: [struct("s", 1 << 20, *[member(f"m{i}", integer(), i) for i in range(1 << 16)])],
        "65536 members",
    ),
    (
        "bit_field_too_far",
        lambda: [struct("s", 1 << 22, bitfield("b", integer(), 1 << 24, 3))],
        "cannot place",
    ),
    (
        "member_too_far_beside_bit_fields",
        lambda: [
            struct("s", 1 << 22, bitfield("b", integer(), 0, 3), member("f", integer(), 1 << 21))
        ],
        "cannot place",
    ),
    ("member_behind_the_end", lambda: [struct("s", 4, member("m", integer(), 2))], "behind"),
    (
        "union_member_not_at_the_start",
        lambda: [DIE("union_type", {"byte_size": 8}, [member("m", integer(), 4)])],
        "not at offset 0",
    ),
    (
        "member_without_type",
        lambda: [struct("s", 4, DIE("member", {"name": "m", "data_member_location": 0}))],
        "void",
    ),
    (
        "member_of_a_declared_type",
        lambda: [struct("s", 4, member("m", struct("gone", 0, declaration=True)))],
        "no size",
    ),
    ("array_of_void", lambda: [array(DIE("const_type"), {"count": 3})], "no size"),
    ("name_that_is_none", lambda: [struct("foo<int>", 4)], "foo<int>"),
    (
        "typedef_of_itself",
        lambda: [DIE("typedef", {"name": "t", "type": Ref("t")}, label="t")],
        "contain each other",
    ),
    (
        "qualifiers_of_each_other",
        lambda: [
            DIE("const_type", {"type": Ref("v")}, label="c"),
            DIE("volatile_type", {"type": Ref("c")}, label="v"),
        ],
        "contain each other",
    ),
    (
        "struct_in_itself",
        lambda: [
            DIE("structure_type", {"name": "s", "byte_size": 4}, [member("m", Ref("s"))], "s"),
        ],
        "contains itself",
    ),
    ("nested_too_deeply", lambda: [_nested("pointer_type", 2000)], "deeper than"),
]
