# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Whether the running kernel takes a BTF: the system call BPF_BTF_LOAD.

The kernel checks all of it, then it is closed again; nothing stays behind.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import re
import struct
import sys
from typing import NamedTuple

# The number of bpf() where a 64-bit program calls it (include/uapi/asm-generic/unistd.h and the
# tables of the architectures that have their own).
_NUMBERS = {
    "x86_64": 321,
    "aarch64": 280,
    "riscv64": 280,
    "loongarch64": 280,
    "s390x": 351,
    "ppc64le": 361,
    "ppc64": 361,
}
_BPF_BTF_LOAD = 18
_LOG_SIZE = 1 << 20
# What says "not here", and nothing about the BTF.
_NOT_ALLOWED = frozenset({errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ENOMEM, errno.EMFILE})


# How a kernel names kinds that it does not know: LOC_PARAM, LOC_PROTO, LOCSEC.
_OF_SITES = re.compile(r"Invalid kind:2[0-2]\b")


class Outcome(NamedTuple):
    """``accepted`` is None when the kernel could not be asked; ``why`` is empty after success."""

    accepted: bool | None
    why: str = ""


class _Attributes(ctypes.Structure):
    """The part of union bpf_attr that BPF_BTF_LOAD has had since it exists (Linux 4.18)."""

    _fields_ = (
        ("btf", ctypes.c_uint64),
        ("log_buf", ctypes.c_uint64),
        ("btf_size", ctypes.c_uint32),
        ("log_size", ctypes.c_uint32),
        ("log_level", ctypes.c_uint32),
    )


def load(btf: bytes, bits: int = 64) -> Outcome:
    """Ask the kernel about a BTF without a base; ``bits`` is the size of the addresses it is for.

    Kernels know BTF of their own byte order and address size only.
    """
    number = _NUMBERS.get(platform.machine())
    if sys.platform != "linux" or number is None or ctypes.sizeof(ctypes.c_void_p) != 8:
        return Outcome(
            None, f"the number of the bpf system call on {platform.machine()} is unknown"
        )
    if btf[:2] != struct.pack("=H", 0xEB9F):
        return Outcome(None, "it is in the byte order of another machine")
    if bits != 64:
        return Outcome(None, f"it is for a machine with addresses of {bits} bits")
    # Without a log: that of a whole kernel is larger than the system call takes, which would
    # refuse a good BTF. A bad one is loaded again, and the log then ends with the reason.
    failed, _ = _call(number, btf, 0)
    if not failed:
        return Outcome(True)
    name = f"{errno.errorcode.get(failed, failed)} ({os.strerror(failed)})"
    if failed in _NOT_ALLOWED:
        return Outcome(None, f"this machine does not let us load BTF: {name}")
    _, log = _call(number, btf, _LOG_SIZE)
    if _OF_SITES.search(log):
        return Outcome(None, "the running kernel does not know where functions were inlined")
    return Outcome(False, f"{name}: {log}" if log else name)


def _call(number: int, btf: bytes, log_size: int) -> tuple[int, str]:
    """(error number or 0, last line of the log)."""
    libc = ctypes.CDLL(None, use_errno=True)
    data = ctypes.create_string_buffer(btf, len(btf))
    log = ctypes.create_string_buffer(max(log_size, 1))
    asked = _Attributes(
        ctypes.addressof(data),
        ctypes.addressof(log) if log_size else 0,
        len(btf),
        log_size,
        1 if log_size else 0,
    )
    size = ctypes.c_uint(ctypes.sizeof(asked))
    handle = libc.syscall(
        ctypes.c_long(number), ctypes.c_int(_BPF_BTF_LOAD), ctypes.byref(asked), size
    )
    if handle >= 0:
        os.close(handle)
        return 0, ""
    failed = ctypes.get_errno()
    lines = log.value.decode(errors="replace").strip().splitlines()
    return failed, lines[-1].strip() if lines else ""
