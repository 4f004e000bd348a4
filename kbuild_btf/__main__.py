# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""``python -m kbuild_btf``: the same as the command ``kbuild-btf``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
