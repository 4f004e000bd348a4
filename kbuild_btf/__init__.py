# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""kbuild-btf: BTF for kernels, encoded while they compile."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .btf import Btf
    from .errors import Error

    __version__: str

__all__ = ["Btf", "Error", "__version__"]


def __getattr__(name: str) -> object:
    # Lazily: what make starts must not pay for what it does not use.
    if name == "Btf":
        from .btf import Btf

        return Btf
    if name == "Error":
        from .errors import Error

        return Error
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("kbuild-btf")
        except PackageNotFoundError:
            return "0+unknown"
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
