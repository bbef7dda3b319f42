"""
Colours and dashes that stay apart for colour-blind readers and in print, in light and in dark.

Colours: M. Okabe and K. Ito, "Color Universal Design" (2008), without their yellow, which vanishes on white;
lightened for dark paper.
"""

from __future__ import annotations

_LIGHT = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#50555c")
_DARK = ("#4ea8de", "#f0824a", "#2cc295", "#de97bf", "#f2b63c", "#8fd0f5", "#b4bac2")
_DASHES = ("", "7 3", "2 3", "10 3 2 3")


def colour(style: int) -> str:
    """The CSS colour of a style, as a variable that `palette_css` defines."""
    return f"var(--c{style % len(_LIGHT)})"


def colour_class(style: int) -> str:
    """The class that gives an element of a page the colour of a style, in the CSS variable `--own`."""
    return f"c{style % len(_LIGHT)}"


def dash(style: int) -> str:
    """The `stroke-dasharray` of a style; empty for a solid line. Colour and dash together repeat after 28."""
    return _DASHES[style % len(_DASHES)]


def palette_css(selector: str) -> str:
    """Rules that define paper, ink, grid and line colours for everything below `selector`; paper is light."""
    light, dark = _light(), _dark()
    return f"{selector}{{{light}}}@media screen and (prefers-color-scheme:dark){{{selector}{{{dark}}}}}"


def notebook_palette_css(selector: str) -> str:
    """The same for the output of a notebook, whose own theme comes before what the system prefers."""
    chosen_light = f"[data-jp-theme-light=true] {selector},.vscode-light {selector}"
    chosen_dark = f"[data-jp-theme-light=false] {selector},.vscode-dark {selector}"
    return f"{palette_css(selector)}{chosen_light}{{{_light()}}}@media screen{{{chosen_dark}{{{_dark()}}}}}"


def colour_classes_css() -> str:
    """Rules for the classes of `colour_class`."""
    return "".join(f".c{index}{{--own:var(--c{index})}}" for index in range(len(_LIGHT)))


def _light() -> str:
    return _variables("#ffffff", "#1f2328", "#59636e", "#e3e7ec", _LIGHT) + _tones("#00704f", "#b04700", "#0063a0")


def _dark() -> str:
    return _variables("#0f1318", "#e6eaef", "#99a3ae", "#2a3038", _DARK) + _tones(_DARK[2], _DARK[1], _DARK[0])


def _tones(good: str, bad: str, busy: str) -> str:
    # Text wants more contrast than a line: 4.5 to 1 on its paper (WCAG 2.2, 1.4.3).
    return f";--good:{good};--bad:{bad};--busy:{busy}"


def _variables(paper: str, ink: str, muted: str, grid: str, colours: tuple[str, ...]) -> str:
    lines = "".join(f";--c{index}:{one}" for index, one in enumerate(colours))
    return f"--paper:{paper};--ink:{ink};--muted:{muted};--grid:{grid}{lines}"
