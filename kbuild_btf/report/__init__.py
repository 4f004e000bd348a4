# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""A kernel's BTF as one page: facts are gathered first, and written afterwards."""
