# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""kbuild-btf: BTF for kernels, encoded while they compile.

What is named here is the public interface; docs/api.md shows it at work. Every failure is an
``Error``. Nothing here reads environment variables, fills a cache or writes to the terminal: what
the command line takes from there are arguments.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._native import FEATURES as FEATURES
    from ._native import LANGUAGES as LANGUAGES
    from .btf import Btf as Btf
    from .compare import Difference as Difference
    from .compare import diff as diff
    from .encoder import Output as Output
    from .encoder import check as check
    from .encoder import encode as encode
    from .encoder import link as link
    from .errors import Error as Error
    from .explanation import Explanation as Explanation
    from .explanation import explain as explain
    from .gate import judge as judge
    from .objects import linked_objects as linked_objects
    from .objects import sidecar_path as sidecar_path
    from .objects import write_sidecar as write_sidecar
    from .programs import check_programs as check_programs
    from .rules import Severity as Severity
    from .sections import embed as embed
    from .sections import read_section as read_section
    from .verification import ModulesVerdict as ModulesVerdict
    from .verification import Verdict as Verdict
    from .verification import verify as verify
    from .verification import verify_modules as verify_modules

    __version__: str

# Each name and the module that has it. Imported when they are asked for: what make starts must not
# pay for what it does not use.
_HOMES = {
    "Btf": "btf",
    "Difference": "compare",
    "Error": "errors",
    "Explanation": "explanation",
    "FEATURES": "_native",
    "LANGUAGES": "_native",
    "ModulesVerdict": "verification",
    "Output": "encoder",
    "Severity": "rules",
    "Verdict": "verification",
    "check": "encoder",
    "check_programs": "programs",
    "diff": "compare",
    "embed": "sections",
    "encode": "encoder",
    "explain": "explanation",
    "judge": "gate",
    "link": "encoder",
    "linked_objects": "objects",
    "read_section": "sections",
    "sidecar_path": "objects",
    "verify": "verification",
    "verify_modules": "verification",
    "write_sidecar": "objects",
}

__all__ = [
    "FEATURES",
    "LANGUAGES",
    "Btf",
    "Difference",
    "Error",
    "Explanation",
    "ModulesVerdict",
    "Output",
    "Severity",
    "Verdict",
    "__version__",
    "check",
    "check_programs",
    "diff",
    "embed",
    "encode",
    "explain",
    "judge",
    "link",
    "linked_objects",
    "read_section",
    "sidecar_path",
    "verify",
    "verify_modules",
    "write_sidecar",
]


def __getattr__(name: str) -> object:
    if home := _HOMES.get(name):
        return getattr(import_module(f".{home}", __name__), name)
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("kbuild-btf")
        except PackageNotFoundError:
            return "0+unknown"
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
