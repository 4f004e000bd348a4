# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""All that a report says, gathered before a word of it is written."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from ..cache import Cache, Statistics, limit
from ..errors import Error
from ..gate import judge, pairs
from ..gate.formats import as_json as diff_as_json
from ..gate.verdict import Verdict
from ..progress import percent, watched
from ..rules import Severity
from . import kernel, layouts, link, timeline

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known; what is not is a text that says why."""

    name: str
    """As the command line names the kernel."""
    kernel: kernel.Kernel
    structs: layouts.Structs
    link: link.Link | str
    timeline: timeline.Timeline | str
    cache: Statistics | str
    difference: Verdict | str


def gather(path: str, older: str | None, trace: str | None, cache: Path | None) -> Facts:
    """Read a kernel, and compare it with an older one. Raises Error."""
    # First: what is wrong with names and small files is known before the long work.
    if older:
        pairs.are_kernels(older, path)
    traced = (
        timeline.read(Path(trace))
        if trace
        else "No trace was given: build with KBUILD_BTF_TRACE=FILE, and name the file with --trace."
    )
    with percent("report: modules") as progress:
        read = kernel.read(path, progress)
    with percent("report: structs") as progress:
        measured = layouts.structs(read.btf, progress)
    return Facts(
        path,
        read,
        measured,
        _linked(read.image, cache),
        traced,
        Cache(cache).statistics(limit())
        if cache
        else "There is no cache: KBUILD_BTF_CACHE is empty.",
        judge(older, path)
        if older
        else "Nothing was given to compare with: name the older kernel behind this one.",
    )


def _linked(image: Path, cache: Path | None) -> link.Link | str:
    """Objects and debug information may be gone: a package has neither."""
    with image.open("rb") as file:
        if file.read(4) != b"\x7fELF":
            return (
                "Raw BTF does not say what it was made of: name the vmlinux of a build, or one"
                " with debug information."
            )
    try:
        return watched("report", lambda: link.survey(image, cache))
    except Error as failed:
        return (
            f"Neither the objects of the link nor debug information could be read: {failed.what}."
        )


def as_json(facts: Facts) -> str:
    """The same for programs (docs/report.md); sizes in bytes, times in seconds."""

    def known(what: Any) -> Any:
        if isinstance(what, str):
            return {"missing": what}
        return what._asdict() if isinstance(what, Statistics) else asdict(what)

    read = facts.kernel
    compared = facts.difference
    return json.dumps(
        {
            "kernel": facts.name,
            "release": read.release,
            "vmlinux": asdict(read.vmlinux),
            "modules": [asdict(part) for part in read.modules],
            "modules_without_btf": read.without_btf,
            "structs": asdict(facts.structs),
            "link": known(facts.link),
            "timeline": known(facts.timeline),
            "cache": known(facts.cache),
            "difference": known(compared)
            if isinstance(compared, str)
            else json.loads(diff_as_json(compared, compared.fails(Severity.NONE))),
        }
    )
