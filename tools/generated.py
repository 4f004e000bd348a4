# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Objects that stand for those of a kernel of any size, to see how the link grows.

A few templates are compiled; each object is one of them with other digits in its names, so that
20,000 take seconds. Like the objects of a kernel, each has about 1,400 types, of which nearly all
come from headers that others include as well, in part and in the same order.
"""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

TEMPLATES = 16
# Structs of the headers, of which an object includes most. Each brings about four types.
HEADER = 340
INCLUDED = 235
# Structs of the object's own. With what goes with them, 20,000 objects stay below the number of
# types that a kernel takes.
OWN = 10
# Objects that share their headers: as many as a small kernel has.
TOGETHER = 900
# Where names have several definitions: one object of so many has a definition of its own of a
# struct of the headers, of one of the first so many, to which nearly all others lead. Of 20,000
# objects 200 have one, of 200 names.
DEVIATING = 100
AMBIGUOUS = 9

# What the digits stand for in the templates.
_HEADERS = b"h9000"
_OBJECT = b"o900000"


def _struct(name: str, number: int, before: list[str], chance: random.Random) -> str:
    """A struct with a function pointer and members of the types of two that stand before it."""
    one, two = (chance.choice(before) for _ in range(2)) if before else (name, name)
    whole = f"struct {one} inside;" if before and number % 3 == 0 else ""
    return (
        f"struct {name} {{ int count; {whole} struct {one} *next; const struct {two} *last;"
        f" int (*call_{name})(struct {one} *argument, long value_{number % 7});"
        f" char room[{number % 60 + 1}]; }};\n"
        f"typedef struct {two} *{name}_t;\n"
    )


def _template(number: int, other: int | None) -> str:
    """C source. Which structs of the headers there are differs, what they are does not, but for the
    struct `other`."""
    chance = random.Random(number)
    included = set(chance.sample(range(HEADER), INCLUDED)) | ({other} - {None})
    text = ""
    names: list[str] = []
    for i in range(HEADER):
        # Of all structs before it, so that the same struct means the same in each template.
        before = [f"{_HEADERS.decode()}_{k}" for k in range(i)]
        struct = _struct(f"{_HEADERS.decode()}_{i}", i, before, random.Random(i))
        if i in included:
            struct = struct.replace("inside;", "*inside;")
            text += struct.replace("{ int count;", "{ int count, other;") if i == other else struct
            names.append(f"{_HEADERS.decode()}_{i}")
    own = _OBJECT.decode()
    for i in range(OWN):
        text += _struct(f"{own}_{i}", i, names, chance)
        argument = chance.choice(names)
        text += f"long call_{own}_{i}(struct {own}_{i} *a, {argument}_t b) {{ return a->count; }}\n"
    for name in names:
        text += f"static inline int get_{name}(struct {name} *a) {{ return a->count; }}\n"
    uses = " + ".join(f"get_{name}((void *)0)" for name in names)
    return text + f"int all_{own}(void) {{ return {uses}; }}\n"


def compile_templates(directory: Path) -> list[bytes]:
    """The templates as objects, for `write_object`: plain ones, and some with another struct."""
    objects = []
    others = [None] * TEMPLATES + list(range(AMBIGUOUS))
    for number, other in enumerate(others):
        source, made = directory / f"{number}.c", directory / f"{number}.o"
        source.write_text(_template(number, other))
        subprocess.run(["gcc", "-g", "-O2", "-c", source, "-o", made], check=True)
        objects.append(made.read_bytes())
    return objects


def write_object(templates: list[bytes], path: Path, number: int, ambiguous: bool) -> None:
    """The object of a number; no number has the same names as another."""
    which = number % TEMPLATES
    if ambiguous and number % DEVIATING == 0:
        which = TEMPLATES + number // DEVIATING % AMBIGUOUS
    data = templates[which].replace(_HEADERS, b"h9%03d" % (number // TOGETHER))
    path.write_bytes(data.replace(_OBJECT, b"o9%05d" % number))
