# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Where programs attach, by the names of their sections (docs.kernel.org, "libbpf: program types"),
and whether a kernel has that place."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from ..btf import (
    Btf,
    Composite,
    Datasec,
    DeclTag,
    FuncProto,
    Kind,
    Member,
    Ptr,
    Struct,
    Typedef,
    Var,
)
from ..btf.elf import section as elf_section
from ..errors import Error
from .core import compatible, essential
from .kernels import Kernel, Symbols, mapped
from .object import Extern, Object

# How a kernel's functions for system calls are called, by the machine.
_SYSCALLS = ("__x64_sys_", "__arm64_sys_", "__s390x_sys_", "__riscv_sys_", "sys_")


class State(Enum):
    """Is the place there?"""

    THERE = "there"
    ABSENT = "absent"
    CLOSED = "closed"
    """It is there, but not for programs to attach to, which only attaching shows."""
    UNKNOWN = "unknown"
    """The files do not tell."""
    NONE = "none"
    """The program attaches to nothing that types describe: a socket, an interface, a user's
    program, or what user space names when it runs."""


class Place(NamedTuple):
    """``why``: what is in the way, or which module has it."""

    state: State
    why: str = ""


class _Ways(NamedTuple):
    """``load``: without the place the program is not even loaded."""

    load: bool
    look: Callable[[Kernel, str], Place]


def split(section: str) -> tuple[str, str]:
    """How a program attaches and to what: ``fentry.s/vfs_open`` is ``fentry``, ``vfs_open``. A
    question mark (loaded on demand) is left out, as is what says that it may sleep."""
    way, _, name = section.lstrip("?").partition("/")
    return (way if way in _WAYS else way.removesuffix(".s")), name


def place(kernel: Kernel, section: str) -> Place:
    """Does the kernel have where a program of this section attaches?"""
    way, name = split(section)
    if way not in _WAYS or not name:
        return Place(State.NONE)
    return _WAYS[way].look(kernel, name)


def needed_to_load(section: str) -> bool:
    """Is a program of this section refused already when it is loaded, without its place?"""
    way, _ = split(section)
    return way in _WAYS and _WAYS[way].load


# --- functions ------------------------------------------------------------------------------------


def _function(kernel: Kernel, name: str) -> Place:
    """For a trampoline: a FUNC in the BTF, and a symbol of exactly that name."""
    module, colon, rest = name.partition(":")
    if colon:
        name = rest
    found = kernel.function(name)
    if found is None or (colon and found[1] != module):
        return Place(State.ABSENT, _why_no_func(kernel, name))
    func, where = found
    symbols = kernel.symbols
    if symbols and not where and name not in symbols.functions:
        clones = symbols.clones.get(name)
        if clones:
            return Place(State.ABSENT, f"renamed by the compiler: {', '.join(sorted(clones))}")
        return Place(State.ABSENT, "in the BTF, but no symbol has the name")
    proto = func.type
    if isinstance(proto, FuncProto) and proto.params and not proto.params[-1].type_id:
        return Place(State.ABSENT, "it takes any number of arguments")
    if symbols and not where and (why := _closed(symbols, name)):
        return Place(State.CLOSED, why)
    return Place(State.THERE, f"in module {where}" if where else "")


def _closed(symbols: Symbols, name: str) -> str:
    """Why nothing can attach to a function that is there; empty: it can."""
    if name in symbols.initial:
        return "it is gone when the kernel has started (__init)"
    if not symbols.may_be_traced(name):
        return "it cannot be traced: notrace, or inline in the source"
    return ""


def _why_no_func(kernel: Kernel, name: str) -> str:
    """Why a function is not in the BTF: by the symbols, and by debug information if there is."""
    symbols = kernel.symbols
    told = _explained(kernel.path, name) if kernel.has_debug_information else ""
    if symbols is None:
        return told or "not in the BTF"
    if name in symbols.functions:
        count = len(symbols.functions[name])
        several = f"{count} functions have the name" if count > 1 else "it has a symbol"
        return f"left out of the BTF: {told or several}"
    if clones := symbols.clones.get(name):
        return f"renamed by the compiler: {', '.join(sorted(clones))}"
    if module := kernel.module_with_symbol(name):
        return f"in module {module}, whose BTF leaves it out"
    return told or "there is no such function"


@functools.cache
def _explained(path: str, name: str) -> str:
    """What ``explain`` says of a function that is not in the BTF; empty: nothing."""
    strings = elf_section(mapped(path), ".debug_str", path)
    # Reading all debug information takes seconds, looking for a name does not.
    if strings is not None and bytes(strings).find(b"\0" + name.encode() + b"\0") < 0:
        return ""
    from ..explanation import explain

    try:
        verdict = explain(path, name, [path]).function
    except Error:
        return ""
    if verdict is None:
        return ""
    if verdict.sites and not verdict.symbols:
        return "it was inlined everywhere"
    return verdict.reason


def _kprobe(kernel: Kernel, name: str) -> Place:
    """By symbols, which kprobes look at; a FUNC in the BTF says that there is one."""
    name = re.sub(r"\+.*", "", name)
    symbols = kernel.symbols
    if symbols is None:
        if kernel.function(name):
            return Place(State.THERE)
        return Place(State.UNKNOWN, "not in the BTF, and there are no symbols to look into")
    if name in symbols.names:
        count = len(symbols.functions.get(name, ()))
        if count > 1:
            return Place(State.ABSENT, f"{count} functions have the name")
        if f"_kbl_addr_{name}" in symbols.names:
            return Place(State.CLOSED, "kprobes are forbidden there (NOKPROBE_SYMBOL)")
        why = _closed(symbols, name)
        return Place(State.CLOSED, why) if why else Place(State.THERE)
    if found := kernel.function(name):
        if found[1]:
            return Place(State.THERE, f"in module {found[1]}")
    elif module := kernel.module_with_symbol(name):
        return Place(State.THERE, f"in module {module}")
    if clones := symbols.clones.get(name):
        return Place(State.ABSENT, f"renamed by the compiler: {', '.join(sorted(clones))}")
    told = _explained(kernel.path, name) if kernel.has_debug_information else ""
    return Place(State.ABSENT, told or "there is no such function")


def _kprobes(kernel: Kernel, pattern: str) -> Place:
    """Several at once, by a pattern with ``*`` and ``?``."""
    symbols = kernel.symbols
    if symbols is None:
        return Place(State.UNKNOWN, "there are no symbols to look into")
    wanted = re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."))
    if any(map(wanted.fullmatch, symbols.functions)):
        return Place(State.THERE)
    return Place(State.ABSENT, "no function fits")


def _syscall(kernel: Kernel, name: str) -> Place:
    places = [_kprobe(kernel, f"{prefix}{name}") for prefix in _SYSCALLS]
    there = [found for found in places if found.state == State.THERE]
    unknown = [found for found in places if found.state == State.UNKNOWN]
    return (there or unknown or [Place(State.ABSENT, "there is no such system call")])[0]


def _hook(prefix: str, what: str) -> Callable[[Kernel, str], Place]:
    """A function of that prefix is the place of the program."""

    def look(kernel: Kernel, name: str) -> Place:
        found = kernel.function(prefix + name)
        if found is None:
            return Place(State.ABSENT, f"there is no {what} {name}")
        return Place(State.THERE, f"in module {found[1]}" if found[1] else "")

    return look


def _iterator(kernel: Kernel, name: str) -> Place:
    """A function and what it hands to programs: others have names that begin like it."""
    for btf in (kernel.vmlinux, *kernel.modules.values()):
        if btf.find(Struct, f"bpf_iter__{name}"):
            return _hook("bpf_iter_", "iterator")(kernel, name)
    return Place(State.ABSENT, f"there is no iterator {name}")


def _modify_return(kernel: Kernel, name: str) -> Place:
    """Only what was marked for it in the source: in the symbols; or hooks of security modules."""
    found = _function(kernel, name)
    if found.state != State.THERE or found.why or name.startswith("security_"):
        return found
    symbols = kernel.symbols
    if symbols is None or any(n.startswith("_eil_addr_") for n in symbols.names):
        if symbols is not None and f"_eil_addr_{name}" in symbols.names:
            return found
        if symbols is not None:
            return Place(State.ABSENT, "not a function whose result may be changed")
        return Place(State.UNKNOWN, "the BTF does not tell whether its result may be changed")
    return Place(State.ABSENT, "this kernel lets no program change results")


# --- tracepoints ----------------------------------------------------------------------------------


def _tracepoint(kernel: Kernel, name: str) -> Place:
    """Each tracepoint has a typedef of its prototype."""
    if kernel.vmlinux.find(Typedef, f"btf_trace_{name}"):
        return Place(State.THERE)
    for module, btf in kernel.modules.items():
        if any(found.id >= btf.start for found in btf.find(Typedef, f"btf_trace_{name}")):
            return Place(State.THERE, f"in module {module}")
    return Place(State.ABSENT, f"there is no tracepoint {name}")


def _event(kernel: Kernel, name: str) -> Place:
    """A tracepoint with a category; those of system calls are made of the functions of these."""
    category, _, event = name.partition("/")
    if category == "syscalls":
        if not kernel.vmlinux.find(Struct, "syscall_trace_enter"):
            return Place(State.ABSENT, "this kernel has no events of system calls")
        return _syscall(kernel, re.sub(r"^sys_(enter|exit)_", "", event))
    found = _tracepoint(kernel, event)
    if found != Place(State.THERE) or not kernel.symbols:
        return found
    # One that is only for programs and modules has no event.
    there = f"event_{event}" in kernel.symbols.names
    return found if there else Place(State.ABSENT, "a tracepoint without an event")


_WAYS = {
    **dict.fromkeys(("kprobe", "kretprobe"), _Ways(False, _kprobe)),
    **dict.fromkeys(("kprobe.multi", "kretprobe.multi", "kprobe.session"), _Ways(False, _kprobes)),
    **dict.fromkeys(("ksyscall", "kretsyscall"), _Ways(False, _syscall)),
    **dict.fromkeys(("fentry", "fexit", "fsession"), _Ways(True, _function)),
    "fmod_ret": _Ways(True, _modify_return),
    **dict.fromkeys(("lsm", "lsm_cgroup"), _Ways(True, _hook("bpf_lsm_", "hook"))),
    "iter": _Ways(True, _iterator),
    "tp_btf": _Ways(True, _tracepoint),
    **dict.fromkeys(("raw_tp", "raw_tracepoint"), _Ways(False, _tracepoint)),
    **dict.fromkeys(("raw_tp.w", "raw_tracepoint.w"), _Ways(False, _tracepoint)),
    **dict.fromkeys(("tp", "tracepoint"), _Ways(False, _event)),
}


# --- what the kernel is to provide ----------------------------------------------------------------


def extern(kernel: Kernel, found: Object, wanted: Extern) -> Place:
    """Does the kernel have a function or variable that a program declares?"""
    if wanted.section == ".kconfig":
        if not wanted.name.startswith("CONFIG_") or wanted.is_weak:
            return Place(State.THERE)
        return Place(State.UNKNOWN, "the BTF does not tell the configuration")
    if wanted.is_function:
        return _kfunc(kernel, found, wanted)
    name = essential(wanted.name)
    of = found.btf[wanted.type_id] if wanted.type_id else None
    if of is None or found.btf.strip(wanted.type_id).kind == Kind.VOID:
        if kernel.symbols is None:
            return Place(State.UNKNOWN, "there are no symbols to look into")
        there = name in kernel.symbols.names
        return Place(State.THERE) if there else Place(State.ABSENT, "there is no such symbol")
    for btf in (kernel.vmlinux, *kernel.modules.values()):
        for variable in btf.find(Var, name):
            if compatible(found.btf, wanted.type_id, btf, variable.type_id):
                return Place(State.THERE)
            return Place(State.CLOSED, "the variable has another type")
    return Place(State.ABSENT, "there is no such variable in the BTF")


def _kfunc(kernel: Kernel, found: Object, wanted: Extern) -> Place:
    name = essential(wanted.name)
    there = kernel.function(name)
    if there is None:
        return Place(State.ABSENT, _why_no_func(kernel, name))
    func, module = there
    if not compatible(found.btf, wanted.type_id, func.btf, func.type_id):
        return Place(State.CLOSED, f"it is {func}")
    tagged = _kfuncs(func.btf)
    if tagged and func.id not in tagged:
        return Place(State.CLOSED, "a function, and not one that programs may call")
    return Place(State.THERE, f"in module {module}" if module else "")


@functools.lru_cache(maxsize=64)
def _kfuncs(btf: Btf) -> frozenset[int]:
    """Ids of what is tagged as kfunc; empty where BTF has no such tags."""
    return frozenset(tag.type_id for tag in btf.find(DeclTag, "bpf_kfunc"))


def struct_ops(kernel: Kernel, found: Object) -> list[tuple[str, Place]]:
    """Each variable in ``.struct_ops`` and its type: does the kernel take such a struct?"""
    places = []
    for sections in found.btf.find(Datasec):
        if re.fullmatch(r"\??\.struct_ops(\.link)?", sections.name):
            for entry in sections.entries:
                if isinstance(variable := entry.type, Var):
                    own = found.btf.strip(variable.type_id)
                    if isinstance(own, Composite):
                        start = entry.offset
                        filled = _filled(found, sections.name, start, own)
                        places.append((f"{variable.name}", _operations(kernel, own, filled)))
    return places


def _filled(found: Object, section: str, start: int, own: Composite) -> set[str]:
    """Members that are not zero: by their bytes, or with a relocation to a program."""
    content = found.section(section)
    referred = found.references(section)
    filled = set()
    for member in own.members:
        at = start + member.bit_offset // 8
        size = found.btf.sizeof(member.type_id)
        here = range(at, at + size)
        if any(place in here for place in referred) or (content and any(content[at : at + size])):
            filled.add(member.name)
    return filled


def _operations(kernel: Kernel, own: Composite, filled: set[str]) -> Place:
    name = essential(own.name)
    for module, btf in {"": kernel.vmlinux, **kernel.modules}.items():
        if not btf.find(Struct, f"bpf_struct_ops_{name}"):
            continue
        there = next(iter(btf.find(Struct, name)), None)
        if there is None:
            continue
        for member in own.members:
            if member.name not in filled:
                continue
            other = next((m for m in there.members if m.name == member.name), None)
            if other is None:
                return Place(State.ABSENT, f"no {member.name} in struct {name}")
            if not _same_operation(member, other):
                return Place(State.ABSENT, f"{member.name} of struct {name} is of another kind")
        return Place(State.THERE, f"in module {module}" if module else "")
    return Place(State.ABSENT, f"the kernel does not take a struct {name}")


def _same_operation(a: Member, b: Member) -> bool:
    one, other = a.btf.strip(a.type_id), b.btf.strip(b.type_id)
    if one.kind != other.kind:
        return False
    return isinstance(one, Ptr) or a.btf.sizeof(a.type_id) == b.btf.sizeof(b.type_id)
