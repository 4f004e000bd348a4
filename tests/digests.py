# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What a recent pahole makes of the kernel of the tests, as digests: CI has an older one, which
does not know all that docs/differences.md says is equal.

    PAHOLE=/path/to/pahole .venv/bin/python tests/digests.py

encodes that kernel ($KBUILD_BTF_TEST_KERNEL, built where it is not yet) with a pahole that lists
the feature layout, and records the digests in tests/digests.json.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import btftext
from kernel import DIRECTORY, VERSION, Kernel
from support import PAHOLE, pahole, recent_pahole, run

from kbuild_btf import Btf

FILE = Path(__file__).with_suffix(".json")
AGAIN = (
    f"To make them: PAHOLE=/path/to/a/recent/pahole .venv/bin/python tests/{Path(__file__).name}"
)

# Lines of .config that say what this machine has, and of which no object depends.
_OF_THE_MACHINE = ("CONFIG_PAHOLE_VERSION=", "CONFIG_RUSTC_", "CONFIG_BINDGEN_", "CONFIG_RUST_IS_")


def of(btf: Btf) -> dict[str, str]:
    """For each kind how many types there are, and a hash of what they say, whatever their order
    and ids."""
    lines: defaultdict[str, list[str]] = defaultdict(list)
    for found in btf:
        lines[found.kind.name].append(btftext.line(btf, found))
    return {
        kind: f"{len(said)} {hashlib.sha256(chr(10).join(sorted(said)).encode()).hexdigest()[:24]}"
        for kind, said in sorted(lines.items())
    }


def key(kernel: Kernel) -> str:
    """What the DWARF follows from: version, compiler, and a hash of the configuration, which has
    them as well, the linker's too."""
    config = (kernel.build / ".config").read_text()
    counts = [line for line in config.splitlines() if not line.startswith(_OF_THE_MACHINE)]
    (compiler,) = (line for line in counts if line.startswith("CONFIG_CC_VERSION_TEXT="))
    release = (kernel.build / "include/config/kernel.release").read_text().strip()
    name = hashlib.sha256("\n".join(counts).encode()).hexdigest()[:16]
    return f"Linux {release}, {compiler.partition('=')[2].strip(chr(34))}, configuration {name}"


def recorded(kernel: Kernel) -> dict[str, str] | None:
    """Those of this kernel, compiled by this compiler; None where no pahole has made any."""
    found: dict[str, dict[str, str]] = json.loads(FILE.read_text())
    return found.get(key(kernel))


def main() -> None:
    """Record those of the kernel of the tests."""
    if not recent_pahole():
        sys.exit(f"digests: {PAHOLE} does not list the feature layout; name one with PAHOLE=")
    kernel = Kernel(DIRECTORY)
    kernel.prepare()
    with tempfile.TemporaryDirectory() as scratch:
        made = pahole(kernel.image, Path(scratch) / "btf", kernel.features)
        digests = of(Btf.load(made))
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    known[key(kernel)] = digests
    FILE.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
    version = run(PAHOLE, "--version").stdout.strip()
    print(f"Linux {VERSION}, pahole {version}: {len(digests)} kinds in {FILE}")


if __name__ == "__main__":
    main()
