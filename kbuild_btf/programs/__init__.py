# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""BPF programs: what their object files ask of a kernel, and what a kernel's BTF answers."""
