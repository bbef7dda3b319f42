"""Importance: what the scores say of each parameter, as a table, and the scores against it as a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from trackbridge.comparison.canonical import MISSING
from trackbridge.comparison.importance import EvidenceFor, Importance, ParameterImportance
from trackbridge.comparison.parameters import Parameter
from trackbridge.report.chart import WIDE, Chart, Line, Size, draw_chart
from trackbridge.report.parallel import Dimension, draw_parallel
from trackbridge.report.scale import LinearScale, LogScale, ScaleKind
from trackbridge.report.strip import Dot, Strip, StripRow, draw_strip
from trackbridge.report.tables import Cell, Column, Table, Tone
from trackbridge.report.text import number_text, value_text

TONES: dict[EvidenceFor, Tone] = {"associated": "good", "no evidence": "muted", "not enough runs": "muted"}
BY_FACTORS = 8
MAX_LEVELS = 12
MAX_KEYS = 3
MIN_AXES, MIN_LINES = 2, 3
PARALLEL_HEIGHT = 300
SMALL = Size(430, 260)

_COLUMNS = (
    Column("parameter", importance="essential"),
    Column("evidence", importance="essential"),
    Column("explains", "right", "essential"),
    Column("p (Holm)", "right", "essential"),
    Column("could be seen", "right"),
    Column("varies with"),
    Column("failing runs"),
)


def importance_table(importance: Importance) -> Table:
    """One row per parameter, the strongest evidence first; the caption tells which keys can tell nothing."""
    rows = tuple(_row(one) for one in importance.parameters)
    words = ["the share of the ranking of scores that it explains; one setting with its replicates is one point"]
    if importance.dropped:
        words.append("not asked: " + "; ".join(f"{one.key}, since {one.reason}" for one in importance.dropped))
    return Table("Parameters", _COLUMNS, rows, ". ".join(words))


def parameter_pictures(importance: Importance, metric: str, *, limit: int, css: str | None = None) -> Iterator[str]:
    """The scores against each parameter, a dot for each setting: numbers as a scatter, anything else as a strip.

    Args:
        importance: what was found.
        metric: the name of the scores.
        limit: how many parameters are drawn, those with evidence first.
        css: see `picture`.
    """
    scored = [place for place, score in enumerate(importance.scores) if np.isfinite(score)]
    settings = [importance.settings[place] for place in scored]
    scores = [importance.scores[place] for place in scored]
    for one in importance.parameters[:limit]:
        draw = _scatter if one.parameter.is_numeric and MISSING not in one.parameter.values else _strip
        yield draw(one, settings, scores, metric, css)


def settings_picture(importance: Importance, metric: str, *, lower_is_better: bool, limit: int) -> str:
    """Every setting as a line over parallel axes: the first `limit` parameters, and the score; needs `chart_css`.

    Empty where fewer than two parameters or three settings have something to show.
    """
    scored = [place for place, score in enumerate(importance.scores) if np.isfinite(score)]
    shown = importance.parameters[:limit]
    if len(shown) < MIN_AXES or len(scored) < MIN_LINES:
        return ""
    axes = [Dimension(one.parameter.key.rpartition(".")[2], _known(one.parameter.values)) for one in shown]
    scores = Dimension(metric, tuple(importance.scores[place] for place in scored))
    names = [importance.settings[place] for place in scored]
    return draw_parallel(names, [*axes, scores], lower_is_better, size=Size(WIDE.width, PARALLEL_HEIGHT))


def _known(values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(None if value is MISSING else value for value in values)


def _row(one: ParameterImportance) -> tuple[Cell, ...]:
    return (
        Cell(_name(one.parameter)),
        Cell(one.evidence, tone=TONES[one.evidence]),
        Cell(f"{one.explained:.0%}" if one.evidence == "associated" else "-"),
        Cell(number_text(one.p_adjusted, 2)),
        Cell(f"{one.smallest_visible:.0%} or more"),
        Cell(f"{one.closest[0]} ({one.closest[1]:.2f})" if one.closest else "-"),
        Cell(f"p = {one.failing_p:.2g}" if one.failing_p is not None else "-"),
    )


def _name(parameter: Parameter) -> str:
    keys = (parameter.key, *parameter.aliases)
    more = f" and {len(keys) - MAX_KEYS} more" if len(keys) > MAX_KEYS else ""
    return " = ".join(keys[:MAX_KEYS]) + more


def _scatter(
    one: ParameterImportance, settings: Sequence[str], scores: Sequence[float], metric: str, css: str | None
) -> str:
    values = np.array([float(value) for value in one.parameter.values], dtype=np.float64)
    lines = tuple(
        Line(label, np.array([value]), np.array([score]), 0, weight="thin")
        for label, value, score in zip(settings, values, scores, strict=True)
    )
    chart = Chart(metric, lines, x_title=one.parameter.key, summary=one.sentence)
    return draw_chart(chart, size=SMALL, x_scale=_scale_for(values), css=css)


def _scale_for(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> ScaleKind:
    # Learning rates are chosen by factors, over less than the three decades that a curve takes to deserve a log scale.
    return LogScale if values.min() > 0 and values.max() / values.min() >= BY_FACTORS else LinearScale


def _strip(
    one: ParameterImportance, settings: Sequence[str], scores: Sequence[float], metric: str, css: str | None
) -> str:
    dots: dict[str, list[Dot]] = {}
    for value, label, score in zip(one.parameter.values, settings, scores, strict=True):
        level = "(absent)" if value is MISSING else value_text(value)
        dots.setdefault(level, []).append(Dot(label, score))
    rows = [
        StripRow(level, 0, tuple(members), mean=fmean(dot.value for dot in members) if len(members) > 1 else None)
        for level, members in sorted(dots.items(), key=lambda item: -len(item[1]))[:MAX_LEVELS]
    ]
    title = f"{metric} by {one.parameter.key}"
    return draw_strip(Strip(title, tuple(rows), one.sentence), width=SMALL.width, css=css)
