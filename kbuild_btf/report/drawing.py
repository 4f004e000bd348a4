# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Structs and timelines as inline SVG. Colours are classes, which the style fills for light and
dark; what a colour says is written beside it, too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

from .layouts import CACHELINE, Band, Drawn
from .timeline import Process, Timeline

# Of a cache line, in units of the drawing: a byte, and a line's height with and without its gap.
_BYTE, _LINE, _STEP = 12.0, 18, 22
_MARGIN = 56
_LETTER = 6.7
# Lines of one struct that are drawn, and full lines of one member before they become one row.
_ROWS, _FULL = 72, 2

# Pattern and filling, once for the page.
PATTERNS = (
    '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>'
    '<pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse"'
    ' patternTransform="rotate(45)"><rect class="gap" width="6" height="6"/>'
    '<rect class="stripe" width="2" height="6"/></pattern></defs></svg>'
)


def legend(texts: Mapping[str, str]) -> str:
    """What each look means."""
    entries = (
        f'<li><svg width="28" height="12"><rect class="{look}" width="28" height="12"/></svg>{text}'
        for look, text in texts.items()
    )
    return f'<ul class="legend">{"".join(entries)}</ul>'


def strip(drawn: Drawn, width: int = 220) -> str:
    """The whole struct in one line, true to scale: where its holes are."""
    scale = width / max(drawn.row.size * 8, 1)
    parts = [f'<svg class="strip" viewBox="0 0 {width} 10" width="{width}" height="10">']
    parts.append(f'<rect class="m0" width="{width}" height="10"/>')
    for band in drawn.bands:
        if band.what != "member":
            size = max((band.end - band.start) * scale, 0.7)
            parts.append(
                f'<rect class="h" x="{band.start * scale:.1f}" width="{size:.1f}" height="10"/>'
            )
    return "".join([*parts, "</svg>"])


def lines(drawn: Drawn) -> str:
    """Each cache line of a struct as a row, with its members, holes and padding."""
    rows: list[str] = []
    y = 0
    for first, last, pieces in _rows(drawn):
        label = first * CACHELINE
        if not isinstance(pieces, str):
            rows.append(f'<text class="o" x="{_MARGIN - 8}" y="{y + 13}">{label}</text>')
            rows += (_piece(piece, first * CACHELINE * 8, y) for piece in pieces)
        else:
            rows.append(f'<text class="o" x="{_MARGIN - 8}" y="{y + 13}">{label}</text>')
            text = (
                f"{last - first:,} lines more of {pieces}"
                if pieces
                else f"{last - first:,} lines more"
            )
            rows.append(f'<text class="e" x="{_MARGIN}" y="{y + 13}">⋮ {escape(text)}</text>')
        y += _STEP
    width = _MARGIN + CACHELINE * _BYTE + 1
    name = escape(drawn.row.name)
    return (
        f'<svg class="lines" viewBox="0 0 {width:.0f} {y}" width="{width:.0f}" height="{y}"'
        f' role="img" aria-label="Cache lines of {name}">{"".join(rows)}</svg>'
    )


# A band, its number among them, and the bits of it that a line has.
_Piece = tuple[Band, int, int, int]


def _rows(drawn: Drawn) -> Iterator[tuple[int, int, list[_Piece] | str]]:
    """Lines; in place of those that one member fills, or that are too many, how many they are."""
    bits = CACHELINE * 8
    count = -(-drawn.row.size // CACHELINE)
    by_line: dict[int, list[_Piece]] = {}
    skipped: dict[int, tuple[int, str]] = {}
    for number, band in enumerate(drawn.bands):
        first, last = band.start // bits, max(band.end - 1, band.start) // bits
        full = -(-band.start // bits), band.end // bits
        if full[1] - full[0] > _FULL + 1 and not any(line in skipped for line in range(*full)):
            skipped[full[0] + 1] = full[1] - 1, band.name or band.what
        for line in range(first, last + 1):
            if any(start <= line < end for start, (end, _) in skipped.items()):
                continue
            piece = band, number, max(band.start, line * bits), min(band.end, (line + 1) * bits)
            by_line.setdefault(line, []).append(piece)
    line = shown = 0
    while line < count:
        if shown == _ROWS:
            yield line, count, ""
            return
        shown += 1
        if line in skipped:
            end, name = skipped[line]
            yield line, end, name
            line = end
            continue
        yield line, line + 1, by_line.get(line, [])
        line += 1


def _piece(piece: _Piece, origin: int, y: int) -> str:
    band, number, start, end = piece
    x = _MARGIN + (start - origin) / 8 * _BYTE
    width = (end - start) / 8 * _BYTE
    look = f"m{number % 2}" if band.what == "member" else "h"
    size, rest = divmod(band.end - band.start, 8)
    long = f"{size} byte{'' if size == 1 else 's'}" if not rest else f"{band.end - band.start} bits"
    title = f"{band.text or band.what}: {long} at {band.start // 8}"
    name = band.name or (f"{band.what} {size}" if size and width > 50 else str(size or ""))
    letters = int((width - 4) / _LETTER)
    if len(name) > letters:
        name = f"{name[: letters - 1]}…" if letters > 3 else ""
    text = f'<text x="{x + 3:g}" y="{y + 13}">{escape(name)}</text>' if name else ""
    return (
        f'<g><title>{escape(title)}</title><rect class="{look}" x="{x:g}" y="{y}"'
        f' width="{max(width - 1, 0.8):g}" height="{_LINE}"/>{text}</g>'
    )


def timeline(found: Timeline, width: int = 960) -> str:
    """Rows of what ran at the same time: hooks, links; a scale of seconds below."""
    whole = found.seconds or 1.0
    scale = width / whole
    step = 10 if max(found.lanes, default=0) < 24 else 6
    by_look: dict[str, list[str]] = {"hooked": [], "linked": []}
    for process, lane in zip(found.processes, found.lanes, strict=True):
        size = max(process.seconds * scale, 0.6)
        by_look["hooked" if process.what == "hook" else "linked"].append(
            f"M{process.start * scale:.1f} {lane * step}h{size:.1f}v{step - 2}h-{size:.1f}z"
        )
    height = step * (max(found.lanes, default=0) + 1)
    parts = [
        f'<path class="{look}" d="{"".join(paths)}"/>' for look, paths in by_look.items() if paths
    ]
    for tick in _ticks(whole):
        x = tick * scale
        anchor = "start" if x < 30 else "end" if x > width - 30 else "middle"
        parts.append(f'<path class="tick" d="M{x:.1f} 0V{height + 4}"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{height + 18}" text-anchor="{anchor}">{tick:g} s</text>'
        )
    return (
        f'<svg class="timeline" viewBox="0 0 {width} {height + 24}" width="{width}"'
        f' height="{height + 24}" role="img" aria-label="What ran when">{"".join(parts)}</svg>'
    )


def stages(process: Process, width: int = 960) -> str:
    """The stages of one process, one behind the other."""
    scale = width / (process.seconds or 1.0)
    parts = []
    for number, stage in enumerate(process.stages):
        x, size = (stage.start - process.start) * scale, stage.seconds * scale
        letters = int((size - 6) / _LETTER)
        text = stage.name if len(stage.name) <= letters else ""
        said = f"{stage.name}: {stage.seconds * 1000:.1f} ms"
        parts.append(
            f'<g><title>{escape(said)}</title><rect class="m{number % 2}" x="{x:.1f}"'
            f' width="{max(size - 1, 0.6):.1f}" height="22"/>'
            + (f'<text x="{x + 4:.1f}" y="15">{escape(text)}</text>' if text else "")
            + "</g>"
        )
    return (
        f'<svg class="lines" viewBox="0 0 {width} 22" width="{width}" height="22" role="img"'
        f' aria-label="Stages of {escape(process.name)}">{"".join(parts)}</svg>'
    )


def _ticks(whole: float) -> list[float]:
    """Round numbers, up to seven."""
    power = 1e-3
    while True:
        for factor in (1, 2, 5):
            step = power * factor
            if whole / step <= 6:
                return [round(n * step, 6) for n in range(int(whole / step) + 1)]
        power *= 10
