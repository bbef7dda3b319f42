"""A picture: an `<svg>` element with its title, its description in words, and colours for light and dark."""

from __future__ import annotations

import hashlib

from trackbridge.report.markup import element, text
from trackbridge.report.palette import palette_css


def picture(
    title: str, told: str, width: float, height: float, body: str, *, css: str | None = None, **attributes: str
) -> str:
    """An `<svg>` element that needs nothing around it.

    Args:
        title: names the picture.
        told: tells it in words, to those who do not see it.
        width: in pixels, as `height`; it scales with its container, but text is meant for this width.
        height: in pixels.
        body: what it shows, as markup.
        css: rules that go into the element; all it needs (`chart_css()`) when None, none ("") where a page has them.
        **attributes: more of the element's own.
    """
    # Several pictures stand in one page, and each names its parts by id.
    mark = hashlib.blake2b(f"{width}{title}{told}{body}".encode("utf-8", "replace"), digest_size=5).hexdigest()
    rules = chart_css() if css is None else css
    return element(
        "svg",
        element("title", text(title), id=f"t{mark}"),
        element("desc", text(told), id=f"d{mark}"),
        element("style", rules) if rules else "",
        element("rect", width=width, height=height, fill="var(--paper)"),
        body,
        xmlns="http://www.w3.org/2000/svg",
        class_="tb-chart",
        viewBox=f"0 0 {width:g} {height:g}",
        width=width,
        height=height,
        role="img",
        aria_labelledby=f"t{mark} d{mark}",
        **attributes,
    )


def chart_css() -> str:
    """The rules that every picture needs: colours in light and in dark, and text."""
    return palette_css(".tb-chart") + picture_css()


def picture_css() -> str:
    """The rules of a picture that takes its colours from what it stands in."""
    return (
        ".tb-chart{display:block;max-width:100%;height:auto;"
        "font:12px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}.tb-chart text{fill:var(--ink)}"
        ".tb-chart .m{fill:var(--muted)}.tb-chart path{stroke-linejoin:round;stroke-linecap:round}"
        ".tb-chart path:not(.band){fill:none}"
    )
