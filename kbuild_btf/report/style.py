# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What the report's page has beyond the shared style: its two columns, bars, drawings, and the
script that searches and sorts. Without the script all is there to be read; with it,
  sooner found."""

STYLE = """
:root {
  --m0: #cfe0f5; --m1: #e2e9f1; --gap: #fff1cf; --stripe: #c98a00; --ink: #1d2024;
  --hooked: #5f8dc6; --linked: #a05a00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --m0: #27435f; --m1: #333d47; --gap: #3a2f12; --stripe: #d9a53a; --ink: #e3e6e9;
    --hooked: #5f8dc6; --linked: #e0a050;
  }
}
body { max-width: 84rem; }
header { border-bottom: 1px solid var(--line); padding-bottom: 1.2rem; margin-bottom: 1rem; }
header p { margin: .2rem 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(10.5rem, 1fr)); gap: .7rem;
  }
.tiles { list-style: none; padding: 0; margin: 1.2rem 0 0; }
.tiles a { display: block; height: 100%; padding: .6rem .8rem; text-decoration: none;
  color: inherit; background: var(--soft); border-radius: 6px; border-left: 3px solid var(--bar); }
.tiles a:hover { border-left-color: var(--accent); }
.tiles b { display: block; font-size: 1.35rem; line-height: 1.3;
  font-variant-numeric: tabular-nums; }
.tiles span { display: block; color: var(--quiet); font-size: 13px; line-height: 1.4; }
nav ol { list-style: none; padding: 0; margin: 0; }
nav a { display: flex; justify-content: space-between; gap: .8rem; padding: .22rem 0;
  color: inherit; text-decoration: none; }
nav a:hover { color: var(--accent); }
nav span { color: var(--quiet); font-variant-numeric: tabular-nums; }
nav h2 { font-size: 13px; color: var(--quiet); margin: 0 0 .4rem; font-weight: 600; }
section { border-top: 1px solid var(--line); padding-top: .2rem; margin-top: 2.2rem; }
section > h2 { margin-top: 1rem; }
h2 .at { color: var(--quiet); text-decoration: none; font-weight: 400; margin-left: .4rem;
  opacity: 0; }
h2:hover .at, .at:focus { opacity: 1; }
.lead { max-width: 46rem; margin: .2rem 0 1rem; color: var(--quiet); }
.missing { background: var(--soft); border-radius: 6px; padding: .6rem .8rem; max-width: 46rem; }
.wide > table { min-width: 100%; }
th { font-size: 13px; color: var(--quiet); border-bottom-color: var(--quiet); }
tfoot td { border-top: 1px solid var(--quiet); font-weight: 600; }
th button { font: inherit; color: inherit; background: none; border: 0; padding: 0;
  cursor: pointer; }
th[aria-sort=ascending] button::after { content: " ↑"; }
th[aria-sort=descending] button::after { content: " ↓"; }
td.bar { width: 30%; min-width: 6rem; vertical-align: middle; }
td.bar i { display: block; height: .7rem; min-width: 1px; background: var(--bar);
  border-radius: 2px;
  width: calc(var(--w) * 1%); print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.search { display: flex; flex-wrap: wrap; gap: .4rem .8rem; align-items: baseline; margin: .6rem 0;
  }
.search input { font: inherit; color: inherit; background: var(--ground); flex: 0 1 22rem;
  min-width: 0;
  border: 1px solid var(--quiet); border-radius: 4px; padding: .25rem .5rem; }
ul.found { list-style: none; padding: 0; margin: 0 0 1rem; }
ul.found > li { padding: .4rem 0; border-top: 1px solid var(--line); content-visibility: auto;
  contain-intrinsic-size: auto 4rem; }
ul.found > li:first-child { border-top: 0; }
ul.found div { margin-left: 1.2rem; font-size: 14px; }
.tag { display: inline-block; font-size: 12px; color: var(--quiet); border: 1px solid var(--line);
  border-radius: 3px; padding: 0 .35rem; }
summary.struct { display: grid; align-items: center; gap: .1rem 1rem; list-style: none;
  grid-template-columns: 1rem minmax(10rem, 1fr) 6rem 5.5rem 10rem 220px; }
summary.struct::-webkit-details-marker { display: none; }
summary.struct::before { content: "▸"; color: var(--quiet); }
details[open] > summary.struct::before { content: "▾"; }
summary.struct span { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.heads { display: grid; gap: .1rem 1rem; border-bottom: 1px solid var(--quiet); font-weight: 600;
  grid-template-columns: 1rem minmax(10rem, 1fr) 6rem 5.5rem 10rem 220px; font-size: 13px;
  color: var(--quiet); }
.heads span { text-align: right; }
.heads span:nth-child(2), .heads span:last-child { text-align: left; }
details > .wide { margin: .4rem 0 1rem; }
svg { display: block; } svg text { font: 11px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono",
  monospace;
  fill: var(--ink); }
svg text.o { text-anchor: end; fill: var(--quiet); } svg text.e { fill: var(--quiet); }
svg, svg rect, svg path { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.m0 { fill: var(--m0); } .m1 { fill: var(--m1); }
.h { fill: url(#hatch); stroke: var(--stripe); stroke-width: .6; }
.strip .h { fill: var(--stripe); stroke: none; }
.gap { fill: var(--gap); } .stripe { fill: var(--stripe); opacity: .55; }
.hooked { fill: var(--hooked); } .linked { fill: var(--linked); } .tick { stroke: var(--line); }
svg.timeline, svg.lines { min-width: 44rem; max-width: 100%; height: auto; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; list-style: none; padding: 0;
  margin: .3rem 0;
  font-size: 13px; color: var(--quiet); }
.legend li { display: flex; gap: .4rem; align-items: center; }
footer { margin-top: 3rem; border-top: 1px solid var(--line); padding: .8rem 0;
  color: var(--quiet); }
@media (min-width: 64rem) {
  .columns { display: grid; grid-template-columns: 15rem minmax(0, 1fr); gap: 3rem; }
  nav { position: sticky; top: 1rem; align-self: start; max-height: calc(100vh - 2rem);
    overflow-y: auto; }
  main > section:first-child { border-top: 0; margin-top: 0; }
}
@media (max-width: 63.99rem) {
  nav { background: var(--soft); border-radius: 6px; padding: .7rem .9rem; }
  summary.struct, .heads { grid-template-columns: 1rem minmax(0, 1fr) 5.5rem; }
  summary.struct span:nth-of-type(2), .heads span:nth-of-type(3) { display: none; }
  summary.struct span:nth-of-type(3), summary.struct svg { grid-column: 2 / -1; text-align: left; }
  .heads span:nth-of-type(n + 3) { display: none; }
  summary.struct span:nth-of-type(3)::before { content: "bytes in holes: "; color: var(--quiet); }
  summary.struct .strip { max-width: 100%; }
}
@media (max-width: 40rem) {
  body { margin-top: 1rem; }
  td.bar { min-width: 3.5rem; width: 18%; }
  .tiles { grid-template-columns: 1fr 1fr; }
}
@media print {
  nav, .search, .at { display: none; }
  section { break-inside: auto; }
}
"""

SCRIPT = """
for (const field of document.querySelectorAll(".search")) {
  field.hidden = false;
  const section = field.closest("section"), said = field.querySelector("output");
  const entries = [...section.querySelectorAll("[data-name]")];
  const folds = [...section.querySelectorAll("details.fold")].map(d => [d, d.open]);
  let waiting;
  field.querySelector("input").addEventListener("input", event => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      const wanted = event.target.value.trim().toLowerCase();
      let count = 0;
      for (const entry of entries) {
        const is = entry.dataset.name.toLowerCase().includes(wanted);
        entry.hidden = !is;
        count += is;
      }
      for (const [fold, open] of folds) {
        const any = !wanted || fold.querySelector("[data-name]:not([hidden])");
        fold.hidden = !any;
        fold.open = wanted ? true : open;
      }
      said.textContent = wanted ? `${count} of ${entries.length}` : "";
    }, 120);
  });
}
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (!head.textContent) return;
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const numbers = head.classList.contains("n");
      const key = row => {
        const text = row.cells[column].textContent;
        return numbers ? Number(text.replace(/[^0-9.-]/g, "")) : text;
      };
      const rows = [...table.tBodies[0].rows].map(row => [key(row), row]);
      rows.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0) * (down === numbers ? -1 : 1));
      table.tBodies[0].append(...rows.map(([, row]) => row));
    });
  });
}
const show = () => {
  const target = location.hash &&
    document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let fold = target && target.closest("details"); fold;
    fold = fold.parentElement.closest("details"))
    fold.open = true;
  if (target) target.scrollIntoView();
};
addEventListener("hashchange", show);
show();
"""
