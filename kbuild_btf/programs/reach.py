# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Which instructions of a program can be reached, when its relocations have their values.

A program asks `bpf_core_field_exists()` before it reads what a kernel need not have. The verifier
knows the answer as a constant and does not look at what is never reached, so neither does this:
registers are followed that hold constants, one way after the other, and of a condition between
constants only one side. Instructions are those of RFC 9669.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Mapping

from .object import INSTRUCTION, Function, Object

# (section, offset of an instruction)
Place = tuple[str, int]

_Registers = tuple[int | None, ...]
_UNKNOWN: _Registers = (None,) * 11
# Ways that lead to one instruction with other constants, before these are forgotten.
_WAYS = 64

_LD, _LDX, _ALU, _JMP, _JMP32, _ALU64 = 0, 1, 4, 5, 6, 7
LOAD_64 = 0x18
_CALL, _EXIT, _JUMP, _LONG_JUMP = 0x85, 0x95, 0x05, 0x06
_PSEUDO_CALL = 1
_ALL = (1 << 64) - 1


def reached(
    program: Function, found: Object, values: Mapping[Place, int | None]
) -> frozenset[Place]:
    """The instructions that are reached from the start of a program, in its subprograms as well.

    ``values`` are those of relocations; where one is None nothing goes on.
    """
    order = ">" if found.btf.big_endian else "<"
    ways: defaultdict[Place, set[_Registers]] = defaultdict(set)
    todo: list[tuple[Place, _Registers]] = [((program.section, program.offset), _UNKNOWN)]
    code = {
        name: bytes(found.section(name) or b"") for name in {f.section for f in found.functions}
    }
    references = {name: found.references(name) for name in code}
    while todo:
        place, registers = todo.pop()
        section, at = place
        known = ways[place]
        if len(known) >= _WAYS:
            registers = _UNKNOWN
        if (
            registers in known
            or _UNKNOWN in known
            or not 0 <= at <= len(code[section]) - INSTRUCTION
        ):
            continue
        known.add(registers)
        if values.get(place, 0) is None:
            continue
        operation, both, offset, immediate = struct.unpack_from(order + "BBhi", code[section], at)
        to, source = (both & 15, both >> 4) if order == "<" else (both >> 4, both & 15)
        value = values.get(place)
        symbol = references[section].get(at)
        behind = at + INSTRUCTION
        if operation == LOAD_64:
            (high,) = struct.unpack_from(order + "i", code[section].ljust(at + 16, b"\0"), at + 12)
            loaded = value if value is not None else immediate & 0xFFFFFFFF | high << 32
            target = symbol and found.section_name(symbol.section)
            if symbol and target in code:
                # A function to be called back.
                todo.append(
                    ((target, symbol.value + (immediate if symbol.kind == 3 else 0)), _UNKNOWN)
                )
            constant = loaded & _ALL if value is not None or not (symbol or source) else None
            todo.append(((section, at + 16), _with(registers, to, constant)))
            continue
        if operation == _EXIT:
            continue
        if operation == _CALL:
            if source == _PSEUDO_CALL:
                step = (immediate + 1) * INSTRUCTION
                target = found.section_name(symbol.section) if symbol else section
                if target in code:
                    start = symbol.value + step if symbol else at + step
                    todo.append(((target, start), _UNKNOWN))
            todo.append(((section, behind), (None,) * 6 + registers[6:]))
            continue
        kind = operation & 7
        if kind in (_JMP, _JMP32):
            away = behind + INSTRUCTION * (immediate if operation == _LONG_JUMP else offset)
            if operation in (_JUMP, _LONG_JUMP):
                todo.append(((section, away), registers))
                continue
            right = registers[source % 11] if operation & 8 else immediate
            taken = _holds(operation & 0xF0, registers[to % 11], right, kind == _JMP32)
            if taken is not True:
                todo.append(((section, behind), registers))
            if taken is not False:
                todo.append(((section, away), registers))
            continue
        if kind in (_ALU, _ALU64):
            right = registers[source % 11] if operation & 8 else immediate
            if value is not None and not operation & 8:
                right = value
            result = _computed(operation & 0xF0, registers[to % 11], right, offset, kind == _ALU)
            registers = _with(registers, to, result)
        elif kind in (_LD, _LDX) or (kind == 3 and operation & 0xE0 == 0xC0):
            # A load; atomic operations write to one of two registers.
            for number in {to, source, 0} if kind == 3 else {to}:
                registers = _with(registers, number, None)
        todo.append(((section, behind), registers))
    return frozenset(place for place, known in ways.items() if known)


def _with(registers: _Registers, number: int, value: int | None) -> _Registers:
    return (*registers[:number], value, *registers[number + 1 :])


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value


def _computed(
    operation: int, left: int | None, right: int | None, offset: int, narrow: bool
) -> int | None:
    """What an arithmetic instruction leaves in its register, None where that is not known."""
    bits = 32 if narrow else 64
    mask = (1 << bits) - 1
    if operation == 0xB0:  # move, with offset one that extends the sign
        if right is None:
            return None
        return (_signed(right, offset) if offset else right) & mask
    if operation == 0x80:
        return None if left is None else -left & mask
    if left is None or right is None:
        return None
    left, right = left & mask, right & mask
    match operation:
        case 0x00:
            return left + right & mask
        case 0x10:
            return left - right & mask
        case 0x20:
            return left * right & mask
        case 0x40:
            return left | right
        case 0x50:
            return left & right
        case 0x60:
            return left << right % bits & mask
        case 0x70:
            return left >> right % bits
        case 0xA0:
            return left ^ right
        case 0xC0:
            return _signed(left, bits) >> right % bits & mask
    return None


def _holds(operation: int, left: int | None, right: int | None, narrow: bool) -> bool | None:
    """A condition; None: it depends."""
    if left is None or right is None:
        return None
    bits = 32 if narrow else 64
    a, b = left & (1 << bits) - 1, right & (1 << bits) - 1
    x, y = _signed(left, bits), _signed(right, bits)
    return {
        0x10: a == b,
        0x20: a > b,
        0x30: a >= b,
        0x40: bool(a & b),
        0x50: a != b,
        0x60: x > y,
        0x70: x >= y,
        0xA0: a < b,
        0xB0: a <= b,
        0xC0: x < y,
        0xD0: x <= y,
    }.get(operation)
