"""What runs build on, drawn: an outline of sentences for a terminal or a list, and a picture for a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import fmean

from trackbridge.comparison.comparison import Comparison
from trackbridge.comparison.lineage import Descent
from trackbridge.comparison.lineage_graph import LineageGraph, LineageNode
from trackbridge.report.html import table_html
from trackbridge.report.labels import CHARACTER_WIDTH
from trackbridge.report.markup import element, text
from trackbridge.report.picture import picture
from trackbridge.report.tables import SHORT_DIGEST, layers_text, lineage_table

MAX_NAMED = 3
MAX_NAME_CHARS = 26
MAX_NODES = 40

BOX_WIDTH, BOX_HEIGHT = 212.0, 44.0
COLUMN_WIDTH, ROW_HEIGHT = 358.0, 68.0
MARGIN = 10.0

# A rim of paper keeps words readable where a line crosses them.
_OUTLINED = {"stroke": "var(--paper)", "stroke_width": "4", "paint_order": "stroke"}


@dataclass(frozen=True, slots=True)
class OutlineLine:
    """A sentence of an outline; what it says is about the last one of a smaller depth above it."""

    depth: int
    sentence: str


@dataclass(frozen=True, slots=True)
class _Stop:
    """Where something lies on the grid of a drawing: a node, or, with `link`, the place where that link passes by."""

    generation: int
    node: int = -1
    link: int = -1


def lineage_outline(graph: LineageGraph) -> list[OutlineLine]:
    """Each compared run, or those alike, and indented below it what it builds on, and that in turn."""
    lines: list[OutlineLine] = []
    for index, node in enumerate(graph.nodes):
        if node.generation == 0:
            lines.append(OutlineLine(0, _names(node)))
            lines += _below(graph, index, 1, (index,))
    return lines


def lineage_section(comparison: Comparison) -> str:
    """The lineage under its heading: the picture, on a narrow page the outline in its place, and the table."""
    graph = comparison.lineage_graph
    if not graph.nodes:
        return ""
    outline, drawing, table = _nested(lineage_outline(graph)), draw_lineage(graph), lineage_table(comparison.lineage)
    parts = [element("h2", "Lineage")]
    if drawing:
        parts += [element("figure", drawing, class_="wide"), element("div", outline, class_="narrow")]
    else:
        parts.append(outline)
    if table.rows:
        parts += [element("p", text(table.caption), class_="muted"), table_html(table)]
    return element("section", *parts)


def draw_lineage(graph: LineageGraph) -> str:
    """The graph as an `<svg>` element, what is built on to the left of what builds on it.

    It wears the colours of the page it stands in. Nothing where nothing is linked, or where there are more nodes than
    anybody could follow.
    """
    if not graph.links or len(graph.nodes) > MAX_NODES:
        return ""
    routes = [_route(graph, index) for index in range(len(graph.links))]
    places = _places(graph, routes)
    width = max(x for x, _ in places.values()) + BOX_WIDTH + MARGIN
    height = max(y for _, y in places.values()) + BOX_HEIGHT + MARGIN
    body = [_line([places[stop] for stop in route]) for route in routes]
    body += [_box(graph.nodes[stop.node], *place) for stop, place in places.items() if stop.link < 0]
    body += [
        _label(link.descent, places[route[-2]], places[route[-1]])
        for link, route in zip(graph.links, routes, strict=True)
    ]
    told = "; ".join(line.sentence for line in lineage_outline(graph))
    return picture("Lineage", told, width, height, "".join(body), css="")


def _nested(lines: Sequence[OutlineLine]) -> str:
    """An outline as lists within lists."""
    items = []
    for index, line in enumerate(lines):
        if line.depth == 0:
            end = next((later for later in range(index + 1, len(lines)) if lines[later].depth == 0), len(lines))
            below = [replace(one, depth=one.depth - 1) for one in lines[index + 1 : end]]
            items.append(element("li", text(line.sentence), _nested(below) if below else ""))
    return element("ul", *items)


def _below(graph: LineageGraph, node: int, depth: int, above: tuple[int, ...]) -> Iterator[OutlineLine]:
    for link in graph.parents(node):
        one = link.descent
        layers = f", {layers_text(one)} layers" if one.layers else ""
        told = f"{one.role} of {one.builds_on} at step {one.step}{layers} (sha256 {one.sha256[:SHORT_DIGEST]})"
        yield OutlineLine(depth, told)
        # A journal may claim that two runs build on each other.
        if link.parent not in above:
            yield from _below(graph, link.parent, depth + 1, (*above, link.parent))
    if graph.nodes[node].resumed_from:
        yield OutlineLine(depth, _resumed_text(graph.nodes[node]))


def _names(node: LineageNode) -> str:
    more = f" and {len(node.names) - MAX_NAMED} more" if len(node.names) > MAX_NAMED else ""
    return ", ".join(node.names[:MAX_NAMED]) + more


def _resumed_text(node: LineageNode) -> str:
    return f"resumed from step {', '.join(map(str, node.resumed_from))}"


def _route(graph: LineageGraph, index: int) -> list[_Stop]:
    """The stops of a link from parent to child, one in each generation, so that no line runs through a box."""
    link = graph.links[index]
    first, last = graph.nodes[link.parent].generation, graph.nodes[link.child].generation
    between = [_Stop(generation, link=index) for generation in range(first - 1, last, -1)]
    return [_Stop(first, link.parent), *between, _Stop(last, link.child)]


def _places(graph: LineageGraph, routes: Sequence[Sequence[_Stop]]) -> dict[_Stop, tuple[float, float]]:
    """The upper left corner of each stop in pixels: a column for each generation, each row near those it leads to."""
    stops = {_Stop(node.generation, index) for index, node in enumerate(graph.nodes)}
    leads_to: dict[_Stop, list[_Stop]] = {}
    for route in routes:
        for stop, following in pairwise(route):
            leads_to.setdefault(stop, []).append(following)
    stops |= set(leads_to)
    oldest = max(stop.generation for stop in stops)
    rows: dict[_Stop, float] = {}
    for generation in range(oldest + 1):
        wanted = {
            stop: fmean([rows[following] for following in leads_to.get(stop, ()) if following in rows] or [0.0])
            for stop in sorted(stops, key=lambda stop: (stop.node < 0, stop.node, stop.link))
            if stop.generation == generation
        }
        next_free = 0.0
        for stop in sorted(wanted, key=wanted.__getitem__):
            rows[stop] = max(next_free, wanted[stop])
            next_free = rows[stop] + 1
    return {
        stop: (MARGIN + (oldest - stop.generation) * COLUMN_WIDTH, MARGIN + row * ROW_HEIGHT)
        for stop, row in rows.items()
    }


def _box(node: LineageNode, x: float, y: float) -> str:
    shown = _without_middle(node.names[0]) if len(node.names) == 1 else f"{len(node.names)} runs"
    beside = _resumed_text(node) if node.resumed_from else ", ".join(node.names) if len(node.names) > 1 else ""
    frame = element(
        "rect",
        x=x,
        y=y,
        width=BOX_WIDTH,
        height=BOX_HEIGHT,
        rx=6,
        fill="var(--paper)",
        stroke="var(--c0)" if node.generation == 0 else "var(--muted)",
        stroke_width=1.5,
    )
    lines = [element("text", text(shown), x=x + 10, y=y + (19 if beside else 27), font_weight="600")]
    if beside:
        lines.append(element("text", text(_shortened(beside, BOX_WIDTH - 16)), x=x + 10, y=y + 36, class_="m"))
    return element("g", element("title", text(", ".join(node.names))), frame, *lines)


def _line(corners: Sequence[tuple[float, float]]) -> str:
    """A curve from box to box, straight where it passes a column, with a head at its end."""
    path = ""
    for (x, y), (next_x, next_y) in pairwise((x, y + BOX_HEIGHT / 2) for x, y in corners):
        middle = (x + BOX_WIDTH + next_x) / 2
        start = f"M{x + BOX_WIDTH:.0f} {y:.0f}" if not path else f"H{x + BOX_WIDTH:.0f}"
        path += f"{start}C{middle:.0f} {y:.0f} {middle:.0f} {next_y:.0f} {next_x:.0f} {next_y:.0f}"
    end_x, end_y = corners[-1][0], corners[-1][1] + BOX_HEIGHT / 2
    head = f"{end_x:.0f},{end_y:.0f} {end_x - 8:.0f},{end_y - 4:.0f} {end_x - 8:.0f},{end_y + 4:.0f}"
    return element("path", d=path, stroke="var(--muted)", stroke_width=1.4) + element(
        "polygon", points=head, fill="var(--muted)"
    )


def _label(descent: Descent, start: tuple[float, float], end: tuple[float, float]) -> str:
    """What was taken, in the middle of the last stretch, over the line."""
    words = [_shortened(f"{descent.role}, step {descent.step}", COLUMN_WIDTH - BOX_WIDTH - 6)]
    words += [f"{layers_text(descent)} layers"] if descent.layers else []
    x = (start[0] + BOX_WIDTH + end[0]) / 2
    y = (start[1] + end[1] + BOX_HEIGHT) / 2
    return "".join(
        element("text", text(word), x=x, y=y - 5 + 19 * number, text_anchor="middle", class_="m", **_OUTLINED)
        for number, word in enumerate(words)
    )


def _without_middle(name: str) -> str:
    # The ends of two names are what tells them apart.
    half = MAX_NAME_CHARS // 2
    return name if len(name) <= MAX_NAME_CHARS else f"{name[: half - 1]}…{name[-half:]}"


def _shortened(words: str, width: float) -> str:
    room = int(width / CHARACTER_WIDTH)
    return words if len(words) <= room else words[: room - 1] + "…"
