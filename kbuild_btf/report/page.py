# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The report's page: what is most asked for in numbers, then a section for each question."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from html import escape

from ..btf import Kind
from ..gate.page import content as difference
from ..web import document
from . import drawing
from .facts import Facts
from .layouts import CACHELINE, Drawn
from .link import Directory, LeftOut, Link, Name, Told
from .markup import Html, Number, bar, code, fold, many, search, size, table
from .style import SCRIPT, STYLE

# Rows before the rest is folded away, ways to describe one function, objects that are named, and
# types that differ: more of these, and a browser takes its time.
_SHOWN, _TOLD, _NAMED, _TYPES = 20, 4, 3, 1000


@dataclass(frozen=True, slots=True)
class Section:
    """``lead`` says what is shown and what to do with it; ``count`` stands in the table of
    contents; ``missing`` is why it is not there."""

    id: str
    title: str
    lead: str
    count: str
    body: Callable[[], Iterable[str]]
    missing: str = ""


def as_html(facts: Facts) -> str:
    """The whole page."""
    read = facts.kernel
    title = f"BTF of Linux {read.release}" if read.release else f"BTF of {facts.name}"
    return "\n".join(document(title, _body(facts, title), STYLE, SCRIPT))


def _body(facts: Facts, title: str) -> Iterator[str]:
    sections = list(_sections(facts))
    yield drawing.PATTERNS
    yield f"<header><h1>{escape(title)}</h1>"
    yield f'<p class="quiet"><code>{escape(str(facts.kernel.image))}</code></p>'
    yield f'<ul class="tiles">{"".join(_tiles(facts))}</ul></header>'
    yield '<div class="columns"><nav aria-label="Contents"><h2>Contents</h2><ol>'
    for one in sections:
        count = "none" if one.missing else one.count
        yield f'<li><a href="#{one.id}">{escape(one.title)} <span>{escape(count)}</span></a>'
    yield "</ol></nav><main>"
    for one in sections:
        yield f'<section id="{one.id}"><h2>{escape(one.title)}'
        yield f'<a class="at" href="#{one.id}" aria-label="Link to this section">#</a></h2>'
        yield f'<p class="lead">{escape(one.lead)}</p>'
        if one.missing:
            yield f'<p class="missing">{escape(one.missing)}</p>'
        else:
            yield from one.body()
        yield "</section>"
    yield "</main></div>"
    yield "<footer>Made by kbuild-btf report; report.json beside this page has the same for"
    yield "programs.</footer>"


def _tiles(facts: Facts) -> Iterator[str]:
    read, structs, link = facts.kernel, facts.structs, facts.link
    own = read.vmlinux
    yield _tile("kinds", size(own.bytes), f"BTF of vmlinux: {many(own.types, 'type')}")
    if read.modules:
        total = sum(part.bytes for part in read.modules)
        yield _tile("modules", size(total), f"BTF of {many(len(read.modules), 'module')}")
    yield _tile("kinds", f"{own.count(Kind.FUNC):,}", "functions in it")
    if not isinstance(link, str):
        yield _tile("functions", f"{len(link.left_out):,}", "functions left out")
        yield _tile("names", f"{len(link.names):,}", "names with several definitions")
    yield _tile(
        "structs", size(structs.hole_bytes), f"in holes of {many(structs.with_holes, 'type')}"
    )
    saved = f"less in {many(structs.packable_count, 'type')} with another order"
    yield _tile("packable", size(structs.packable_bytes), saved)


def _tile(section: str, number: str, text: str) -> str:
    return f'<li><a href="#{section}"><b>{escape(number)}</b><span>{escape(text)}</span></a>'


def _sections(facts: Facts) -> Iterator[Section]:
    read, structs, link = facts.kernel, facts.structs, facts.link
    missing = link if isinstance(link, str) else ""
    yield Section(
        "kinds",
        "Bytes by kind",
        "Where the bytes of the BTF go; what grew since the last release shows here first.",
        size(read.vmlinux.bytes),
        lambda: _kinds(facts),
    )
    yield Section(
        "subsystems",
        "Bytes by subsystem",
        "Types by the deepest directory below which all their users are; where one brings much,"
        " an option of the configuration saves most.",
        "" if isinstance(link, str) else f"{len(_tops(link)):,}",
        lambda: _subsystems(link),
        missing,
    )
    yield Section(
        "modules",
        "Bytes by module",
        "What each module adds to the types of vmlinux, in memory once it is loaded; look at the"
        " first rows when modules take too much.",
        f"{len(read.modules):,}",
        lambda: _modules(facts),
        ""
        if read.modules
        else "No module was found: name the directory of the build or of the"
        " unpacked package, not vmlinux alone.",
    )
    yield Section(
        "structs",
        "Largest structs",
        "The largest structs, and those with most bytes in holes, drawn by cache lines; open one to"
        " see which members share a line.",
        f"{structs.count:,}",
        lambda: _structs(facts),
    )
    yield Section(
        "packable",
        "What could be packed",
        "Structs that another order of members makes smaller, and by how much each instance; the"
        " first are worth a look where many instances exist.",
        f"{structs.packable_count:,}",
        lambda: _packable(facts),
    )
    yield Section(
        "names",
        "Names with several definitions",
        "Types that mean one thing in some objects and another elsewhere; a program that asks for"
        " such a name may get the other one, so rename one of them.",
        "" if isinstance(link, str) else f"{len(link.names):,}",
        lambda: _names(link),
        missing,
    )
    yield Section(
        "functions",
        "Functions left out",
        "Functions that BPF programs cannot attach to by BTF, each with what decided it; search the"
        " name that a program did not find.",
        "" if isinstance(link, str) else f"{len(link.left_out):,}",
        lambda: _functions(link),
        missing,
    )
    line = facts.timeline
    yield Section(
        "timeline",
        "Timeline of the build",
        "What kbuild-btf did when: hooks beside the compilers, then the link; a long stage at the"
        " end is what a build waits for.",
        "" if isinstance(line, str) else _time(line.seconds),
        lambda: _timeline(facts),
        line if isinstance(line, str) else "",
    )
    kept = facts.cache
    yield Section(
        "cache",
        "Cache",
        "How often an object was known already; many misses with unchanged sources mean that"
        " something in each build differs.",
        "" if isinstance(kept, str) else size(kept.size),
        lambda: _cache(facts),
        kept if isinstance(kept, str) else "",
    )
    verdict = facts.difference
    yield Section(
        "difference",
        "Difference",
        "What differs from the older kernel (A), and whom that breaks; start with the worst"
        " severity.",
        "" if isinstance(verdict, str) else f"{sum(1 for _ in verdict.findings):,}",
        lambda: () if isinstance(verdict, str) else difference(verdict, 3, _TYPES),
        verdict if isinstance(verdict, str) else "",
    )


# --- bytes ------------------------------------------------------------------------------------


def _kinds(facts: Facts) -> Iterator[str]:
    own, modules = facts.kernel.vmlinux, facts.kernel.modules
    count: Counter[str] = Counter()
    length: Counter[str] = Counter()
    for part in modules:
        for share in part.shares:
            count[share.kind] += share.count
            length[share.kind] += share.bytes
    ours = {share.kind: share for share in own.shares}
    kinds = [*ours, *(kind for kind in length if kind not in ours)]
    most = max([own.names, *(share.bytes for share in own.shares)])
    heads = ["kind", "#types", "#bytes", "#%", ""]
    heads += ["#types of modules", "#bytes of modules"] if modules else []

    def row(kind: str, types: int | str, of: int, more: list[int | str]) -> list[str | int | Html]:
        share = Number(f"{100 * of / own.bytes:.1f}")
        return [kind, types, of, share, bar(of, most), *(more if modules else [])]

    def rows() -> Iterator[list[str | int | Html]]:
        for kind in kinds:
            share = ours.get(kind)
            more: list[int | str] = [count[kind], length[kind]]
            yield row(kind, share.count if share else 0, share.bytes if share else 0, more)
        yield row("names", "", own.names, ["", sum(part.names for part in modules)])

    total = [sum(count.values()), sum(part.bytes for part in modules)]
    yield from table(
        "Records of each kind, and the names of all",
        heads,
        rows(),
        total=["all", own.types, own.bytes, Html(""), Html(""), *(total if modules else [])],
    )


def _tops(link: Link) -> dict[str, list[Directory]]:
    """Directories below each top directory, the largest first; without those of several."""
    tops: defaultdict[str, list[Directory]] = defaultdict(list)
    for one in link.directories:
        if one.path:
            tops[one.path.partition("/")[0]].append(one)
    return dict(sorted(tops.items(), key=lambda item: -sum(one.bytes for one in item[1])))


def _subsystems(link: Link | str) -> Iterator[str]:
    assert not isinstance(link, str)
    tops = _tops(link)
    shared = [one for one in link.directories if not one.path]
    sums = {
        top: (sum(o.types for o in own), sum(o.bytes for o in own)) for top, own in tops.items()
    }
    everywhere = sum(one.types for one in shared), sum(one.bytes for one in shared)
    most = max((length for _, length in [*sums.values(), everywhere]), default=0)
    yield from table(
        f"Told by {'the objects of the link' if link.of_objects else 'the debug information'};"
        " records only, without names and without functions and variables",
        ["directory", "#types", "#bytes", ""],
        (
            [f"{top}/" if top else "used in several of them", *both, bar(both[1], most)]
            for top, both in [("", everywhere), *sums.items()]
        ),
    )
    for top, own in tops.items():
        if len(own) > 1:
            largest = own[0].bytes
            yield from fold(
                f"<code>{escape(top)}/</code> <span class=quiet>{many(len(own), 'part')}</span>",
                table(
                    f"Below {top}/; each without what stands in a row of its own",
                    ["directory", "#types", "#bytes", ""],
                    ([f"{o.path}/", o.types, o.bytes, bar(o.bytes, largest)] for o in own),
                ),
            )


def _modules(facts: Facts) -> Iterator[str]:
    parts = sorted(facts.kernel.modules, key=lambda part: (-part.bytes, part.name))
    most = parts[0].bytes
    heads = ["module", "#bytes", "", "#types", "#functions", "directory"]

    def rows(of: Iterable[int]) -> Iterator[list[str | int | Html]]:
        for number in of:
            part = parts[number]
            numbers = part.types, part.count(Kind.FUNC)
            yield [code(part.name), part.bytes, bar(part.bytes, most), *numbers, part.directory]

    without = facts.kernel.without_btf
    if without:
        yield f"<p>{many(without, 'module')} without BTF.</p>"
    yield search("Search modules")
    first = min(_SHOWN, len(parts))
    title = f"The {first} largest of {len(parts):,}" if len(parts) > first else "All modules"
    yield from table(title, heads, rows(range(first)), names=True)
    if len(parts) > first:
        rest = len(parts) - first
        yield from fold(
            f"The other {rest:,}",
            table(f"The other {rest:,}", heads, rows(range(first, len(parts))), names=True),
        )


# --- structs ----------------------------------------------------------------------------------


def _structs(facts: Facts) -> Iterator[str]:
    structs = facts.structs
    hatched = "a hole, or padding at the end (hatched, with its bytes)"
    yield drawing.legend({"m0": "a member", "m1": "the next one", "h": hatched})
    yield from _drawn("The largest", structs.largest, "")
    yield from _drawn("Those with most bytes in holes, of the rest", structs.holes, "first")


def _drawn(title: str, all_drawn: Iterable[Drawn], opened: str) -> Iterator[str]:
    yield f"<h3>{title}</h3>"
    yield '<div class="heads"><span></span><span>struct</span><span>bytes</span>'
    yield "<span>cache lines</span><span>bytes in holes</span><span>where they are</span></div>"
    for number, drawn in enumerate(all_drawn):
        row = drawn.row
        lines = -(-row.size // CACHELINE)
        holes = f"{row.hole_bytes:,} in {many(row.holes, 'hole')}" if row.holes else "none"
        if row.tail and not row.holes:
            holes = f"{row.tail:,} at the end"
        yield f'<details{" open" if opened and not number else ""}><summary class="struct">'
        yield f"<code>{escape(row.name)}</code><span>{row.size:,}</span><span>{lines:,}</span>"
        yield f"<span>{holes}</span>{drawing.strip(drawn)}</summary>"
        yield f"{_scrolled(row.name, drawing.lines(drawn))}</details>"


def _scrolled(label: str, drawn: str) -> str:
    """A drawing in a box that scrolls when it is too wide."""
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{escape(label)}">{drawn}</div>'
    )


def _packable(facts: Facts) -> Iterator[str]:
    structs = facts.structs
    if not structs.packable:
        yield "<p>None.</p>"
        return
    yield "<p>The proposal for one of them: <code>kbuild-btf dump -C NAME --reorganize</code>."
    yield "Some orders are on purpose: what is used together, or by hardware.</p>"
    most = structs.packable[0].saved
    heads = ["struct", "#bytes", "#could be", "#saved", "", "#cache lines", "#could be"]

    def rows(of: slice) -> Iterator[list[str | int | Html]]:
        for row in structs.packable[of]:
            lines = -(-row.size // CACHELINE), -(-row.best // CACHELINE)
            yield [code(row.name), row.size, row.best, row.saved, bar(row.saved, most), *lines]

    yield search("Search structs")
    shown = len(structs.packable)
    rest = f"; the {shown} with most are listed" if shown < structs.packable_count else ""
    caption = (
        f"{many(structs.packable_count, 'struct')}, {many(structs.packable_bytes, 'byte')}{rest}"
    )
    yield from table(caption, heads, rows(slice(_SHOWN)), names=True)
    if shown > _SHOWN:
        text = f"The next {shown - _SHOWN}"
        yield from fold(text, table(text, heads, rows(slice(_SHOWN, None)), names=True))


# --- what only the link knows -----------------------------------------------------------------


def _objects(objects: Iterable[str], count: int) -> str:
    """The first of them, and how many there are."""
    named = list(objects)[:_NAMED]
    more = f" and {count - len(named):,} more" if count > len(named) else ""
    return ", ".join(f"<code>{escape(name)}</code>" for name in named) + more


def _names(link: Link | str) -> Iterator[str]:
    assert not isinstance(link, str)
    own = [one for one in link.names if not one.in_turn]
    in_turn = [one for one in link.names if one.in_turn]
    if not own:
        yield "<p>None.</p>"
    else:
        yield search("Search names")
    for one in own:
        yield from _name(one)
    if in_turn:
        title = f"{many(len(in_turn), 'name')} whose definitions read alike, and lead to others"
        yield from fold(title, (line for one in in_turn for line in _name(one)))


def _name(one: Name) -> Iterator[str]:
    yield f'<div data-name="{escape(one.name)}"><h3 class="c">{escape(one.name)}</h3>'
    yield from table(
        f"{many(len(one.definitions), 'definition')}, the most common one first",
        ["#bytes", "#objects", "who has it", "parts from the first at"],
        (
            [
                definition.size,
                definition.count,
                Html(_objects(definition.objects, definition.count)),
                code(definition.difference) if definition.difference else "",
            ]
            for definition in one.definitions
        ),
    )
    yield "</div>"


def _functions(link: Link | str) -> Iterator[str]:
    assert not isinstance(link, str)
    by_reason: defaultdict[str, list[LeftOut]] = defaultdict(list)
    for one in link.left_out:
        by_reason[one.reason].append(one)
    ordered = sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0]))
    if not ordered:
        yield "<p>None.</p>"
        return
    most = len(ordered[0][1])
    yield from table(
        "Why they are left out",
        ["reason", "#functions", ""],
        ([reason, len(found), bar(len(found), most)] for reason, found in ordered),
        total=["all", len(link.left_out), Html("")],
    )
    yield search("Search functions")
    for reason, found in ordered:
        yield from fold(
            f"{escape(reason[0].upper() + reason[1:])} <span class=quiet>{len(found):,}</span>",
            ["<ul class=found>", *map(_left_out, found), "</ul>"],
        )


def _left_out(one: LeftOut) -> str:
    deciding = [told for told in one.told if told.decides] or list(one.told)
    places = len({address for _, address in one.symbols})
    tags = [f"at {places} addresses"] if places > 1 else []
    tags += sorted({name for name, _ in one.symbols} - {one.name})[:_NAMED]
    others = len(one.told) - min(len(deciding), _TOLD)
    more = f"<div class=quiet>{many(others, 'other description')} of it</div>" if others else ""
    name = escape(one.name)
    return (
        f'<li id="f-{name}" data-name="{name}"><code><b>{name}</b>'
        f"</code> {' '.join(f'<span class=tag>{escape(tag)}</span>' for tag in tags)}"
        f"{''.join(map(_told, deciding[:_TOLD]))}{more}"
    )


def _told(told: Told) -> str:
    passed = f"<br>passed: <code>{escape(told.passed)}</code>" if told.passed else ""
    facts = f"<br><span class=quiet>{escape('; '.join(told.facts))}</span>" if told.facts else ""
    where = _objects(told.objects, told.count)
    return f"<div>{where}<br><code>{escape(told.prototype)}</code>{passed}{facts}</div>"


# --- the build --------------------------------------------------------------------------------


def _timeline(facts: Facts) -> Iterator[str]:
    line = facts.timeline
    assert not isinstance(line, str)
    hooks, links = line.of("hook"), line.of("link")
    spent = sum(hook.seconds for hook in hooks)
    atonce = max(line.lanes, default=-1) + 1
    yield f"<p>{many(len(hooks), 'hook')} took {_time(spent)} together, beside the compilers;"
    linked = _time(sum(one.seconds for one in links))
    yield f"{many(len(links), 'link')} took {linked}. Up to {atonce}"
    yield "ran at the same time.</p>"
    if line.before:
        earlier = f"{line.before:,} that ran in earlier builds"
        yield f"<p>The trace also has {earlier}; they are left out.</p>"
    yield drawing.legend(
        {"hooked": "hooks, one for each object", "linked": "links, of vmlinux and of modules"}
    )
    yield _scrolled("Timeline", drawing.timeline(line))
    longest = sorted(links, key=lambda one: -one.seconds)[:3]
    for one in sorted(longest, key=lambda one: one.start):
        yield f"<h3>Stages of the link: <code>{escape(one.name)}</code>, {_time(one.seconds)}</h3>"
        yield _scrolled("Stages", drawing.stages(one))
        most = max((stage.seconds for stage in one.stages), default=0.0)
        yield from table(
            "In their order",
            ["stage", "#ms", ""],
            ([s.name, _ms(s.seconds), bar(s.seconds, most)] for s in one.stages),
        )
    if hooks:
        slow = sorted(hooks, key=lambda one: (-one.seconds, one.name))[:10]
        yield from table(
            "The hooks that took longest",
            ["object", "#ms", "", "#at second"],
            (
                [
                    code(h.name),
                    _ms(h.seconds),
                    bar(h.seconds, slow[0].seconds),
                    Number(f"{h.start:.2f}"),
                ]
                for h in slow
            ),
        )


def _ms(seconds: float) -> Number:
    return Number(f"{seconds * 1000:,.2f}")


def _time(seconds: float) -> str:
    return f"{seconds:,.2f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def _cache(facts: Facts) -> Iterator[str]:
    kept = facts.cache
    assert not isinstance(kept, str)
    asked = kept.hits + kept.misses
    if asked:
        yield f"<p>{100 * kept.hits / asked:.1f} % of what was asked for was there.</p>"
    most = max(kept.hits, kept.misses, kept.unchanged, kept.modules_reused, kept.modules_encoded, 1)
    rows: list[tuple[str, int]] = [
        ("objects that were there", kept.hits),
        ("objects that had to be encoded", kept.misses),
        ("objects whose own file was still right: not asked", kept.unchanged),
        ("modules that were there", kept.modules_reused),
        ("modules that had to be made", kept.modules_encoded),
        ("damaged entries", kept.damaged),
        ("errors", kept.errors),
    ]
    yield from table(
        f"{kept.entries:,} kept, {size(kept.size)} of {size(kept.limit)}, in {kept.directory};"
        " counted since it was made or cleared",
        ["what", "#times", ""],
        ([what, count, bar(count, most)] for what, count in rows),
    )
