"""HTML: tables, sections and lists as markup, the rules they look by, and the frame of a page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files

from trackbridge.report.markup import element, text
from trackbridge.report.palette import colour_class, colour_classes_css, palette_css
from trackbridge.report.picture import chart_css
from trackbridge.report.tables import Cell, Column, Table

MAX_OPEN_ROWS = 25
MAX_CHARS_ON_A_LINE = 36

_BREAKS = re.compile(r"(?<=\w)([./_=,])(?=\w)")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def document(title: str, body: str) -> str:
    """A page that needs nothing but itself: no script, no second file, no address."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{text(title)}</title><style>{page_css()}{chart_css()}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def page_css() -> str:
    """The rules of a page: its colours in light and in dark, its frame, and all that stands in it."""
    return palette_css(":root") + _rules("page.css") + part_css()


def part_css() -> str:
    """The rules of the parts of a page: tables, cards and lists, wherever these stand."""
    return colour_classes_css() + _rules("parts.css")


def folded_html(section: str) -> str:
    """A section; where its table is long, such as that of packages, behind its heading until it is asked for."""
    if section.count("<tr>") <= MAX_OPEN_ROWS:
        return section
    head, rest = section.removeprefix("<section>").removesuffix("</section>").split("</h2>", 1)
    return element("section", element("details", element("summary", head + "</h2>"), rest))


def section_html(table: Table) -> str:
    """A table under its title; nothing where it has no rows."""
    if not table.rows:
        return ""
    caption = element("p", text(table.caption), class_="muted") if table.caption else ""
    return element("section", element("h2", text(table.title)), caption, table_html(table))


def table_html(table: Table) -> str:
    """A table in a frame that scrolls by itself where the page is narrower."""
    head = element(
        "tr", *(element("th", text(column.title), scope="col", class_=_side(column)) for column in table.columns)
    )
    rows = [
        element(
            "tr",
            _name_cell(row[0], table.columns[0]),
            *(_cell(*pair) for pair in zip(row[1:], table.columns[1:], strict=True)),
        )
        for row in table.rows
    ]
    return scroll_html(element("table", element("thead", head), element("tbody", *rows)), table.title)


def scroll_html(wide: str, name: str) -> str:
    """Something wide in a frame that scrolls by itself, with the keyboard, too; `name` tells what it is."""
    return element("div", wide, class_="scroll", role="region", tabindex="0", aria_label=name)


def list_html(items: Sequence[tuple[str, str]], kind: str, *, n_open: int) -> str:
    """Sentences one below the other, each a (mark, text); nothing where there are none. `kind` is the list's class.

    All but the first `n_open` are behind a line that counts them.
    """
    entries = [element("li", text(sentence), class_=mark) for mark, sentence in items]
    lists = [element("ul", *part, class_=f"told {kind}") for part in (entries[:n_open], entries[n_open:]) if part]
    if len(lists) < 2:
        return "".join(lists)
    return lists[0] + element("details", element("summary", f"{len(entries) - n_open} more"), lists[1])


def name_html(name: str) -> str:
    """A name without spaces, such as that of a key or a metric, which a narrow column may break after its signs."""
    return _BREAKS.sub(r"\1<wbr>", text(name))


def lines_html(content: str) -> str:
    """Lines as they were written, such as a traceback, in a frame that scrolls by itself."""
    return element("pre", "\n".join(map(text, content.expandtabs().split("\n"))), tabindex="0")


def _name_cell(cell: Cell, column: Column) -> str:
    swatch = element("i", "", class_=colour_class(cell.style)) if cell.style is not None else ""
    return element("th", swatch, name_html(cell.text), scope="row", class_=_side(column))


def _cell(cell: Cell, column: Column) -> str:
    tone = "" if cell.tone == "plain" else cell.tone
    shade = "" if cell.shade is None else f"s{cell.shade}"
    length = "long" if len(cell.text) > MAX_CHARS_ON_A_LINE else ""
    return element("td", text(cell.text), class_=" ".join(filter(None, (_side(column), tone, shade, length))))


def _side(column: Column) -> str:
    return "right" if column.align == "right" else ""


def _rules(name: str) -> str:
    return files("trackbridge.report").joinpath(name).read_text(encoding="utf-8")
