"""Text as people read it: numbers with the digits they deserve, and names that cannot do anything but be read."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from typing import Any

# Digits after a quotation mark or a letter are part of a text.
_LONG_INTEGER = re.compile(r'(?<![\w"])\d{41,}')
_SUFFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def printable(text: str) -> str:
    r"""The text with every character that steers a terminal or a text direction spelled out, as in `\x1b[2J`.

    A run's name is data from somewhere else: it must not clear a screen, set a window title or turn the rest
    of a line around.
    """
    if text.isprintable():
        return text
    return "".join(character if _is_harmless(character) else _spelled(character) for character in text)


def printable_lines(text: str) -> list[str]:
    """The lines of a longer text, tabs as spaces, each printable."""
    return [printable(line.expandtabs(4)) for line in text.split("\n")]


def number_text(value: float | None, digits: int = 4) -> str:
    """A score to so many significant digits; "-" for none, "NaN" and "∞" for what is not finite."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "-∞"
    if value == int(value) and abs(value) < 10**digits:
        return str(int(value))
    text = f"{value:.{digits}g}"
    return text if "e" in text else f"{float(text):.{_decimals(value, digits)}f}"


def mean_text(mean: float | None, sd: float | None) -> str:
    """A mean with its standard deviation, both to the digits that the sd gives meaning to: `0.583 ± 0.021`."""
    if mean is None or sd is None or not (math.isfinite(mean) and math.isfinite(sd)) or sd == 0:
        return number_text(mean) + (" ± 0" if sd == 0 else "")
    # Rounded first: 0.0996 has the digits of 0.10.
    decimals = min(8, max(0, 1 - math.floor(math.log10(float(f"{sd:.1e}")))))
    if abs(mean) >= 1e6 or sd < 1e-7:
        return f"{number_text(mean)} ± {sd:.2g}"
    return f"{mean:.{decimals}f} ± {sd:.{decimals}f}"


def value_text(value: Any) -> str:
    """A config value on one line: text as it is, null and true as in JSON, long integers without their middle."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return printable(value) if value.strip() == value and value else f'"{printable(value)}"'
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else repr(value)
    return printable(_LONG_INTEGER.sub(_without_middle, text))


def counted(n: int, noun: str) -> str:
    """So many of a thing: `1 run`, `8 runs`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def count_text(value: float) -> str:
    """A tick label for large counts: 1500 is `1.5k`, 2000000 is `2M`."""
    for size, suffix in _SUFFIXES:
        if abs(value) >= size:
            return f"{value / size:.4g}{suffix}"
    return f"{value:.4g}"


def duration_text(seconds: float) -> str:
    """A duration in its two largest units: `42 s`, `3 min 5 s`, `2 h 10 min`, `4 d 3 h`."""
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    whole = round(seconds)
    for index, (unit, size) in enumerate(units):
        if whole >= size:
            parts = [f"{whole // size} {unit}"]
            if index + 1 < len(units) and (rest := whole % size // units[index + 1][1]):
                parts.append(f"{rest} {units[index + 1][0]}")
            return " ".join(parts)
    return f"{seconds:.1f} s"


def age_text(seconds: float) -> str:
    """How long ago, in its largest unit: `42 s ago`, `16 min ago`, `3 d ago`."""
    number, unit, *_ = duration_text(seconds).split()
    return f"{number} {unit} ago"


def size_text(size_bytes: int) -> str:
    """A file size in decimal units: `412 B`, `1.3 MB`."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}" if unit != "B" else f"{size_bytes} B"
        size /= 1000
    return f"{size:.3g} TB"


def _without_middle(digits: re.Match[str]) -> str:
    return f"{digits[0][:12]}…{digits[0][-12:]} ({len(digits[0])} digits)"


def _is_harmless(character: str) -> bool:
    # Cc: controls and escapes; Cf: text direction and invisible marks; Cs: halves of characters; Zl, Zp: new lines.
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp", "Cn", "Co") or character == "\u200d"


def _spelled(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _decimals(value: float, digits: int) -> int:
    return max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0
