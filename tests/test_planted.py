# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Ten changes planted in a real Linux 6.12: what the gate says of each."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel import VERSION, Kernel
from support import kbuild_btf

from kbuild_btf import _native, judge

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(VERSION != "6.12", reason="the places are those of Linux 6.12"),
]

LOG_H, LOG_C = "include/net/netfilter/nf_log.h", "net/netfilter/nf_log.c"
QUEUE_H, IGMP_C = "include/net/netfilter/nf_queue.h", "net/ipv4/igmp.c"
ENTRY = "struct nf_queue_entry"

# The file, what stands there, what is planted; then what is to be said: name, rule, severity. The
# first three structs and nf_log_* are reached from exported functions, so modules use them.
PLANTS = {
    "a member at the end": (
        [(LOG_H, "\t} u;\n};", "\t} u;\n\tint planted;\n};")],
        {
            ("struct nf_loginfo", "member-added", "addition"),
            ("struct nf_loginfo", "size", "modules"),
        },
    ),
    "a member in a hole": (
        [(LOG_H, "\tnf_logfn \t\t*logfn;", "\tint planted;\n\tnf_logfn *logfn;")],
        {("struct nf_logger", "member-added", "addition")},
    ),
    "a member moved": (
        [(QUEUE_H, "\tunsigned int\t\tid;\n", ""),
         (QUEUE_H, "\tstruct nf_hook_state\tstate;",
          "\tunsigned int id;\n\tstruct nf_hook_state state;")],
        {(ENTRY, "member-moved", "modules")},
    ),
    "a member of another type": (
        [(QUEUE_H, "\tbool\t\t\tnf_ct_is_unconfirmed;", "\tu8 nf_ct_is_unconfirmed;")],
        {(ENTRY, "member-type", "modules")},
    ),
    "an enum value": (
        [(LOG_H, "= 0,\n\tNF_LOG_TYPE_ULOG", "= 0,\n\tNF_LOG_TYPE_PLANTED,\n\tNF_LOG_TYPE_ULOG")],
        {
            ("enum nf_log_type", "value-added", "addition"),
            ("enum nf_log_type", "value-changed", "modules"),
        },
    ),
    "a prototype": (
        [(name, "int nf_log_register(u_int8_t pf,", "int nf_log_register(unsigned int pf,")
         for name in (LOG_H, LOG_C)],
        {("nf_log_register", "prototype", "modules")},
    ),
    "a function that becomes inline": (
        [(LOG_C, "static struct nf_logger *__find",
          "static __always_inline struct nf_logger *__find")],
        {("__find_logger", "function-removed", "programs")},
    ),
    "a struct that nobody else uses": (
        [(IGMP_C, "igmp_mc_iter_state {\n", "igmp_mc_iter_state {\n\tlong planted;\n")],
        {
            ("struct igmp_mc_iter_state", "member-added", "addition"),
            ("struct igmp_mc_iter_state", "member-moved", "none"),
            ("struct igmp_mc_iter_state", "size", "none"),
        },
    ),
    "a parameter renamed": (
        [(LOG_C, "void nf_log_unregister(struct nf_logger *logger)\n{",
          "void nf_log_unregister(struct nf_logger *planted)\n{\n"
          "\tstruct nf_logger *logger = planted;\n")],
        {("nf_log_unregister", "parameter-names", "none")},
    ),
    "a function and its type": (
        [(IGMP_C, "struct igmp_mc_iter_state {\n\tlong planted;\n",
          "struct planted { long member; };\nlong planted_get(struct planted *from);\n"
          "long planted_get(struct planted *from) { return from->member; }\n"
          "struct igmp_mc_iter_state {\n\tlong planted;\n")],
        {
            ("planted_get", "function-added", "addition"),
            ("struct planted", "type-added", "addition"),
        },
    ),
}  # fmt: skip


@pytest.fixture
def planted(kernel: Kernel, tmp_path: Path) -> Iterator[Path]:
    """The tree with all of them; its vmlinux from before. After the test it is as it was."""
    before = _native.read_section(str(kernel.vmlinux), ".BTF")
    old = tmp_path / "vmlinux"
    shutil.copy(kernel.vmlinux, old)
    files = {name for edits, _ in PLANTS.values() for name, _, _ in edits}
    texts = {name: (kernel.source / name).read_text() for name in files}
    try:
        for edits, _ in PLANTS.values():
            for name, there, new in edits:
                path = kernel.source / name
                text = path.read_text()
                assert text.count(there) == 1, (name, there)
                path.write_text(text.replace(there, new))
        kernel.make("vmlinux")
        yield old
    finally:
        for name, text in texts.items():
            (kernel.source / name).write_text(text)
    kernel.make()
    assert all([_native.read_section(str(kernel.vmlinux), ".BTF") == before])


def test_what_is_said_of_each(kernel: Kernel, planted: Path) -> None:
    found = judge(planted, kernel.vmlinux).findings
    said = {(one.name, one.rule.id, one.severity.word) for one in found}
    expected = set().union(*(wanted for _, wanted in PLANTS.values()))
    # What follows from these in types without a name.
    assert {one for one in said if one[1] != "unnamed"} == expected
    done = kbuild_btf("diff", "--fail-on", "modules", "--limit", "0", planted, kernel.vmlinux)
    assert done.returncode == 1
    assert [name for name, _, _ in expected if name not in done.stdout] == []
