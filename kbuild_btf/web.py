# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What the pages of ``diff --format html`` and ``report`` share: one file each, no network, light
and dark as the reader's system has it, readable without a script, on a phone and on paper."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

# Text on its ground has a contrast of 4.5 and more (WCAG AA), in both.
STYLE = """
:root {
  color-scheme: light dark;
  --ground: #fdfdfc; --text: #1d2024; --quiet: #596069; --line: #dcdfe3; --soft: #f3f4f5;
  --accent: #1f5aa8; --bar: #8fb1dd;
  --less: #b3202c; --more: #1a6e34; --moved: #855a00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #15181b; --text: #e3e6e9; --quiet: #9ba4ae; --line: #32383f; --soft: #1d2125;
    --accent: #8db8f2; --bar: #3f6aa3;
    --less: #ff8b82; --more: #5fd27f; --moved: #e3b341;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-padding-top: 1rem; }
body {
  font: 15px/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", sans-serif;
  background: var(--ground); color: var(--text);
  margin: 2rem auto; max-width: 70rem; padding: 0 1rem;
}
h1 { font-size: 1.75rem; line-height: 1.2; letter-spacing: -.01em; margin: 0 0 .5rem; }
h2 { font-size: 1.3rem; line-height: 1.3; margin: 2.5rem 0 .4rem; }
h3 { font-size: 1.05rem; margin: 1.5rem 0 .3rem; }
h4 { font-size: 1rem; margin: 1.2rem 0 .2rem; }
a { color: var(--accent); }
table { border-collapse: collapse; margin: .5rem 0 1rem; }
caption { text-align: left; color: var(--quiet); padding: 0 0 .3rem; }
td, th { border-bottom: 1px solid var(--line); padding: .2rem 1.1rem .2rem 0; }
tr > :last-child { padding-right: 0; }
td, th { text-align: left; vertical-align: top; }
th { font-weight: 600; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
code, .c { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
code, .c { font-size: 13px; }
code { overflow-wrap: anywhere; }
.c td { border: 0; padding: 0 .7rem 0 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
summary { cursor: pointer; padding: .25rem 0; }
details { border-bottom: 1px solid var(--line); }
details > :not(summary) { margin-left: 1.2rem; }
.less { color: var(--less); } .more { color: var(--more); } .moved { color: var(--moved); }
.why, .quiet { color: var(--quiet); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
@media print {
  body { font-size: 10pt; margin: 0; max-width: none; }
  h2, h3, summary { break-after: avoid; }
  tr, svg { break-inside: avoid; }
  .wide { overflow: visible; }
}
"""


def document(title: str, body: Iterable[str], style: str = "", script: str = "") -> Iterator[str]:
    """A whole page; ``style`` and ``script`` are what it has of its own."""
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    # Nothing is fetched, not even by what a name in a kernel might contain.
    allowed = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    yield f'<meta http-equiv="Content-Security-Policy" content="{allowed}">'
    yield f"<title>{escape(title)}</title>"
    yield f"<style>{STYLE}{style}</style>\n</head>\n<body>"
    yield from body
    if script:
        yield f"<script>{script}</script>"
    yield "</body>\n</html>"
