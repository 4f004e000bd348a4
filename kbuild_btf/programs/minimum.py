# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The smallest BTF that answers the CO-RE relocations of programs as the whole does.

It is one BTF without a base, since libbpf takes one file (``btf_custom_path``), and does not look
for modules then; so types of modules come in beside those of vmlinux. What is left of a type is
what a relocation asks for, and what decides whether it is answered:

* of a struct the size, and the members on the way; of an enum the values that are asked for;
* of a member that only leads on, its type without name or members: names of structs are compared
  only where a relocation begins, and a name that stays could be taken for a beginning;
* of a pointer nothing but that it is one: nobody looks behind it;
* where whole types are compared (``bpf_core_type_matches``), all that is compared; also of what
  does not match but is kept for something else, so that it does not match either.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..btf import (
    Array,
    Btf,
    Composite,
    Const,
    Enumeration,
    Int,
    Kind,
    Ptr,
    Restrict,
    Type,
    Typedef,
    TypeTag,
    Volatile,
)
from ..btf.reader import Record
from ..btf.writer import Strings, blob
from .core import Answer, Candidate, Step, Target, Verdict, essential, resolve, way_in, way_of
from .object import INSTRUCTION, Object, Relocation, RelocationKind

_MODIFIERS = (Typedef, Const, Volatile, Restrict, TypeTag)
# Of the word of a type that has its number of elements, what that takes up.
_VLEN = 0xFFFFFF


@dataclass(slots=True)
class _Kept:
    """What is kept of a type.

    ``followed``: what it refers to is kept as it stands, not only what lies behind typedefs and
    qualifiers; ``parts``: numbers of its members or values.
    """

    type: Type
    named: bool
    followed: bool = False
    parts: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Minimum:
    """``btf`` is the file, ``types`` how many it has, ``verdicts`` how many relocations were
    answered how."""

    btf: bytes
    types: int
    verdicts: Counter[Verdict]


def minimum(programs: Iterable[Object], target: Target) -> Minimum:
    """What all of these programs need. Raises Error for programs that are damaged."""
    cut = _Cut(target)
    verdicts: Counter[Verdict] = Counter()
    for program in programs:
        for asked in program.relocations:
            if asked.kind == RelocationKind.TYPE_ID_LOCAL:
                continue
            code = program.section(asked.section) or b""
            code = bytes(code[asked.offset : asked.offset + INSTRUCTION])
            answer = resolve(asked, program.btf, code, target)
            verdicts[answer.verdict] += 1
            cut.keep(asked, program.btf, answer)
    cut.keep_others()
    return Minimum(cut.written(), len(cut.kept), verdicts)


class _Cut:
    """Collects what is kept, then writes it."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.kept: dict[tuple[int, int], _Kept] = {}
        self._files: list[Btf] = [target.vmlinux]
        self._others: list[tuple[RelocationKind, Candidate]] = []
        self._compared: set[tuple[tuple[int, int], bool]] = set()

    # --- what to keep -------------------------------------------------------------------

    def keep(self, asked: Relocation, local: Btf, answer: Answer) -> None:
        """All that this answer takes."""
        own = local[asked.type_id]
        if asked.kind.of_field:
            steps, _ = way_of(local, asked)
            for candidate in answer.candidates:
                self._field(candidate, steps)
        elif asked.kind.of_enumerator:
            steps, _ = way_of(local, asked)
            for candidate in answer.candidates:
                self._enumerator(candidate, steps[0].name)
        elif own.name:
            for candidate in self.target.candidates(essential(own.name), own.kind):
                if candidate in answer.candidates:
                    self._type(asked.kind, candidate)
                else:
                    self._others.append((asked.kind, candidate))

    def keep_others(self) -> None:
        """What is compared of types that do not fit, where they are kept for something else: with
        less of it they might fit."""
        before = -1
        while before != (before := len(self._others)):
            others, self._others = self._others, []
            for kind, candidate in others:
                if self._key(candidate.btf, candidate.type_id) in self.kept:
                    self._type(kind, candidate)
                else:
                    self._others.append((kind, candidate))

    def _type(self, kind: RelocationKind, of: Candidate) -> None:
        self._root(of)
        if kind == RelocationKind.TYPE_MATCHES:
            self._whole(of.btf, of.type_id, behind=False)
        else:
            self._alike(of.btf, of.type_id)

    def _root(self, of: Candidate) -> None:
        """The type where a relocation begins, and what it is a typedef of."""
        of.btf.strip(of.type_id)  # ends, or raises
        found = self._keep(of.btf, of.type_id, named=True).type
        while isinstance(found, _MODIFIERS):
            found = self._keep(of.btf, found.type_id).type

    def _field(self, of: Candidate, steps: list[Step]) -> None:
        """The members on the way to a field, and its type."""
        self._root(of)
        type_id = of.type_id
        for step in steps[1:]:
            found = of.btf.strip(type_id)
            if isinstance(found, Composite) and step.name:
                for inside, number in way_in(found, step.name):
                    self._member(inside, number)
                    type_id = inside.members[number].type_id
            elif isinstance(found, Array):
                type_id = found.type_id
        self._leaf(of.btf, type_id)

    def _member(self, of: Composite, number: int) -> None:
        self._keep(of.btf, of.id).parts.add(number)
        self._leaf(of.btf, of.members[number].type_id)
        last = len(of.members) - 1
        inside = of.btf.strip(of.members[number].type_id)
        if isinstance(inside, Array) and not inside.nelems and number != last:
            # An array without elements has any number of them where it is the last member.
            self._keep(of.btf, of.id).parts.add(last)
            self._leaf(of.btf, of.members[last].type_id)

    def _enumerator(self, of: Candidate, name: str) -> None:
        self._root(of)
        found = of.btf.strip(of.type_id)
        assert isinstance(found, Enumeration)
        wanted = essential(name)
        number = next(n for n, v in enumerate(found.values) if essential(v.name) == wanted)
        self._keep(of.btf, found.id).parts.add(number)

    def _leaf(self, btf: Btf, type_id: int) -> None:
        """What a member is, as far as it can be told without a look into it."""
        found = btf.strip(type_id)
        self._keep(btf, found.id)
        if isinstance(found, Array):
            self._leaf(btf, found.type_id)
            self._leaf(btf, found.index_type_id)

    def _alike(self, btf: Btf, type_id: int) -> None:
        """What decides whether a type is of the same shape; structs are not looked into."""
        kept = self._keep(btf, type_id)
        if kept.followed or isinstance(kept.type, (Composite, Enumeration)):
            return
        kept.followed = True
        for target in kept.type.references():
            self._alike(btf, target)

    def _whole(self, btf: Btf, type_id: int, behind: bool) -> None:
        """What decides whether a type has all that another has; behind a pointer names do."""
        kept = self._keep(btf, type_id, named=True)
        if (self._key(btf, type_id), behind) in self._compared:
            return
        self._compared.add((self._key(btf, type_id), behind))
        found = kept.type
        if isinstance(found, Enumeration):
            kept.parts |= {*range(len(found.values))}
        elif not isinstance(found, Composite) or not behind:
            kept.followed = True
            if isinstance(found, Composite):
                kept.parts |= {*range(len(found.members))}
            for target in found.references():
                self._whole(btf, target, behind or isinstance(found, Ptr))

    def _keep(self, btf: Btf, type_id: int, named: bool = False) -> _Kept:
        found = btf[type_id]
        # Only of structs is a name left out: all others are compared by theirs, or have none.
        named = named or not isinstance(found, Composite)
        if not type_id:
            return _Kept(found, named)
        kept = self.kept.setdefault(self._key(btf, type_id), _Kept(found, named))
        kept.named |= named
        return kept

    def _key(self, btf: Btf, type_id: int) -> tuple[int, int]:
        """The number of the file that has the type, and its id there; void is (0, 0)."""
        while btf.base and type_id < btf.start:
            btf = btf.base
        if not type_id:
            return 0, 0
        number = next((n for n, file in enumerate(self._files) if file is btf), len(self._files))
        if number == len(self._files):
            self._files.append(btf)
        return number, type_id

    # --- writing ------------------------------------------------------------------------

    def written(self) -> bytes:
        """All that is kept, in the order of files and ids."""
        if any(isinstance(kept.type, Ptr) for kept in self.kept.values()):
            self._keep_size_of_pointers()
        order = sorted(self.kept)
        numbers = {(0, 0): 0, **{key: number for number, key in enumerate(order, 1)}}
        strings = Strings()
        types = array("I")
        for key in order:
            kept = self.kept[key]
            file = self._files[key[0]]
            record = file.record(key[1])
            self._refer(file, kept, record, numbers)
            _leave_out(kept, record)
            for at in record.names:
                name = file.string(record.words[at]) if kept.named or at else b"\0"
                record.words[at] = strings.add(name)
            types += record.words
        return blob(types, strings, self.target.vmlinux.big_endian)

    def _refer(
        self, file: Btf, kept: _Kept, record: Record, numbers: dict[tuple[int, int], int]
    ) -> None:
        """To the types under their new ids; those of parts that are left out do not matter."""
        modifies = isinstance(kept.type, _MODIFIERS)
        for at in record.ids:
            target = record.words[at]
            if not kept.followed and isinstance(kept.type, Ptr):
                target = 0
            elif not kept.followed and not modifies:
                target = file.strip(target).id
            record.words[at] = numbers.get(self._key(file, target), 0)

    def _keep_size_of_pointers(self) -> None:
        """Readers of raw BTF take it from the size of ``long``; where there is none, it is 8."""
        if self.target.vmlinux.pointer_size == 8:
            return
        for name in ("long unsigned int", "unsigned long", "long int", "long"):
            for found in self.target.vmlinux.find(Int, name)[:1]:
                self._keep(self.target.vmlinux, found.id)
                return


def _leave_out(kept: _Kept, record: Record) -> None:
    """Take members or values out that are not kept."""
    if not isinstance(kept.type, (Composite, Enumeration)):
        return
    words = record.words
    size = 2 if kept.type.kind == Kind.ENUM else 3
    count = words[1] & _VLEN
    chosen = [at for n in sorted(kept.parts) for at in range(3 + size * n, 3 + size * (n + 1))]
    record.words = words[:3] + array("I", [words[at] for at in chosen])
    record.words[1] += len(kept.parts) - count
    record.names = [0, *range(3, len(record.words), size)]
    record.ids = []
