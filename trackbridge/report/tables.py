"""
The tables of a comparison as plain cells: the terminal, Markdown and HTML lay out the same ones.

Cells hold text that is not escaped yet; who lays a table out escapes it for where it goes.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeAlias, get_args

from trackbridge.comparison.canonical import MISSING
from trackbridge.comparison.comparison import Comparison
from trackbridge.comparison.diff import RunDiff, diff_runs
from trackbridge.comparison.difference import Difference, Section, identity
from trackbridge.comparison.groups import seeds_text
from trackbridge.comparison.lineage import Descent
from trackbridge.comparison.run_scores import At, Point
from trackbridge.comparison.scores import GroupScore, MetricComparison
from trackbridge.report.text import counted, mean_text, number_text, value_text
from trackbridge.store.records import RunRecord, Seeds

Importance: TypeAlias = Literal["essential", "useful", "extra"]
Tone: TypeAlias = Literal["plain", "muted", "good", "bad", "busy", "changed"]

MAX_RUN_COLUMNS = 10
MAX_GROUP_COLUMNS = 6
MAX_VALUE_CHARS = 160
MAX_KEYS_IN_SENTENCE = 6
MAX_KEYS_IN_CELL = 3
SHORT_DIGEST = 12

_AT_WORDS: dict[At, str] = {"best": "at its best", "last": "at its end", "common": "at the last common {}"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column; where there is no room, `extra` ones go first, then `useful` ones."""

    title: str
    align: Literal["left", "right"] = "left"
    importance: Importance = "useful"


@dataclass(frozen=True, slots=True)
class Cell:
    """A text, with the line style it stands for in the charts, and a tone where it wants attention.

    `shade`, from 0 to 9, is how dark a cell of a matrix is.
    """

    text: str
    style: int | None = None
    tone: Tone = "plain"
    shade: int | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A titled table; every row has one cell per column."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""


_CLASS = Column("class")
_SETTINGS = "What differs between the groups"
_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def title_text(comparison: Comparison) -> str:
    """What is compared: `cola / lr-study: 8 runs in 2 groups`."""
    projects = ", ".join(sorted({run.project for run in comparison.runs}))
    studies = {run.group for run in comparison.runs}
    study = studies.pop() if len(studies) == 1 else None
    groups = f" in {len(comparison.groups)} groups" if len(comparison.groups) > 1 else ""
    return f"{projects}{f' / {study}' if study else ''}: {counted(len(comparison.runs), 'run')}{groups}"


def subtitle_text(comparison: Comparison) -> str:
    """By what it is compared: the leading metric, its direction, and which value of a run counts."""
    leading = next(iter(comparison.metrics.values()), None)
    if leading is None:
        return "No metric was logged."
    better = "lower" if leading.lower_is_better else "higher"
    return f"Compared by {leading.name} ({better} is better), each run {at_text(comparison)}."


def at_text(comparison: Comparison) -> str:
    """Which value of a run counts, in words: `at its best`, `at the last common epoch`."""
    unit = next((metric.common.unit for metric in comparison.metrics.values()), "step")
    return _AT_WORDS[comparison.at].format(unit)


def groups_table(comparison: Comparison, metrics: Sequence[str]) -> Table:
    """One row per replicate group: how many runs, and mean and sd of each metric, the range of the first one."""
    columns = [Column("group", importance="essential"), Column("runs", "right", "essential")]
    for index, name in enumerate(metrics):
        columns.append(Column(name, "right", "essential" if index == 0 else "useful"))
        if index == 0 and comparison.baselines:
            columns.append(Column("against baseline", "right", "essential"))
        if index == 0:
            columns.append(Column("range", "right"))
    rows = []
    for index, group in enumerate(comparison.groups):
        cells = [Cell(group.label, style=index), Cell(str(len(group.runs)))]
        for place, name in enumerate(metrics):
            score = comparison.metrics[name].groups[index]
            cells.append(Cell(group_text(score)))
            if place == 0 and comparison.baselines:
                cells.append(Cell(_difference_text(score.difference)))
            if place == 0:
                cells.append(Cell(_range_text(score)))
        rows.append(tuple(cells))
    caption = f"mean ± standard deviation over runs (n - 1), each run {at_text(comparison)}"
    return Table("Replicate groups", tuple(columns), tuple(rows), caption)


def runs_table(comparison: Comparison, metrics: Sequence[str]) -> Table:
    """One row per run: its scores, and what tells it from its replicates."""
    columns = [Column("run", importance="essential")]
    leading = comparison.metrics[metrics[0]] if metrics else None
    columns += _leading_columns(leading) if leading else []
    columns += [Column("seeds"), Column("status"), Column("steps", "right", "extra")]
    beside = "{} there" if comparison.at == "best" else f"{comparison.at} {{}}"
    columns += [Column(beside.format(name), "right", "extra") for name in metrics[1:]]
    columns += [Column("group", importance="extra")]
    style_of = {run.run_id: index for index, group in enumerate(comparison.groups) for run in group.runs}
    shared, own = _shared_seeds(comparison.runs)
    rows = []
    for run, name, seeds in zip(comparison.runs, comparison.names, own, strict=True):
        style = style_of[run.run_id]
        cells = [Cell(name, style=style)]
        cells += _leading_cells(leading, run) if leading else []
        cells += [Cell(seeds_text(seeds) or "-"), status_cell(run), Cell(str(steps_trained(run)))]
        cells += [Cell(_score_text(comparison, metric, run)) for metric in metrics[1:]]
        rows.append((*cells, Cell(comparison.groups[style].label)))
    caption = f"seeds of all runs: {seeds_text(shared)}" if seeds_text(shared) else ""
    return Table("Runs", tuple(columns), tuple(rows), caption)


def settings_table(comparison: Comparison) -> Table:
    """What differs between the groups: one row per config key, one column per group, or folded where there are many."""
    if len(comparison.groups) > MAX_GROUP_COLUMNS:
        return folded_settings_table(comparison)
    between = diff_runs([group.runs[0] for group in comparison.groups])
    told = between.in_section("config", "data")
    labels = [group.label for group in comparison.groups]
    table = differences_table(_SETTINGS, told, labels, between.reference)
    return replace(table, caption="; ".join(alias_sentences(between, told)))


def folded_settings_table(comparison: Comparison) -> Table:
    """What differs between the groups, keys that vary together in one row: distinct values and how many have each."""
    between = diff_runs([group.runs[0] for group in comparison.groups])
    return _causes_table(_SETTINGS, between.in_section("config", "data"), unit="groups")


def lineage_table(lineage: Sequence[Descent]) -> Table:
    """One row per run and what it builds on: which run, at which step, and how much of it came along."""
    columns = (
        Column("run", importance="essential"),
        Column("builds on", importance="essential"),
        Column("takes", importance="useful"),
        Column("at step", "right", "essential"),
        Column("layers carried", "right", "essential"),
        Column("sha256"),
        Column("run id", importance="extra"),
    )
    rows = tuple(
        (
            Cell(one.run),
            Cell(one.builds_on),
            Cell(one.role),
            Cell(str(one.step)),
            Cell(layers_text(one)),
            Cell(one.sha256[:SHORT_DIGEST]),
            Cell(one.builds_on_id[:SHORT_DIGEST]),
        )
        for one in lineage
    )
    caption = "embeddings come with any number of layers; the top is a last norm and the pooler; ids are shortened"
    return Table("Lineage", columns, rows, caption)


def differences_table(title: str, differences: Sequence[Difference], names: Sequence[str], reference: int) -> Table:
    """One row per key and one column per run or group; values other than the reference's stand out.

    Keys of one table that have the same values throughout share a row.
    """
    columns = [Column(name, importance="essential") for name in names]
    rows = [
        (
            Cell(_keys_text(echoes)),
            *(_value_cell(echoes[0], index, reference) for index in range(len(names))),
            _class_cell(echoes[0]),
        )
        for echoes in _echoes(differences)
    ]
    return Table(title, (Column("key", importance="essential"), *columns, _CLASS), tuple(rows))


def folded_differences_table(title: str, differences: Sequence[Difference]) -> Table:
    """One row per key with its distinct values and how many runs have each, however many there are."""
    columns = (Column("key", importance="essential"), Column("values", importance="essential"), _CLASS)
    rows = [
        (Cell(_keys_text(echoes)), Cell(_folded(echoes[0], "runs")), _class_cell(echoes[0]))
        for echoes in _echoes(differences)
    ]
    return Table(title, columns, tuple(rows))


def diff_tables(diff: RunDiff, shown: Sequence[Difference]) -> list[Table]:
    """Differences between runs, one table per section: a column for each of up to ten runs, else folded."""
    tables = []
    for section in get_args(Section):
        part = [difference for difference in shown if difference.section == section]
        if part and len(diff.names) > MAX_RUN_COLUMNS:
            tables.append(folded_differences_table(section.capitalize(), part))
        elif part:
            tables.append(differences_table(section.capitalize(), part, diff.names, diff.reference))
    return tables


def circumstances_table(comparison: Comparison) -> Table:
    """What differs between all runs in code and environment: distinct values and how many runs have each."""
    return _causes_table("Code and environment", comparison.diff.in_section("code", "environment"), unit="runs")


def _causes_table(title: str, differences: Sequence[Difference], *, unit: str) -> Table:
    """One row for the keys that vary together, however many they are, with the values of the first one."""
    together: dict[Hashable, list[Difference]] = {}
    for index, one in enumerate(differences):
        together.setdefault(frozenset((one.key, *one.aliases)) if one.aliases else index, []).append(one)
    columns = (Column("key", importance="essential"), Column("values", importance="essential"), _CLASS)
    rows = [
        (Cell(_keys_text(keys, " ~ ")), Cell(_folded(keys[0], unit)), _class_cell(keys[0]))
        for keys in together.values()
    ]
    caption = "keys with ~ between them vary together, so that none can be told from the others; values are the first's"
    return Table(title, columns, tuple(rows), caption if any(len(keys) > 1 for keys in together.values()) else "")


def alias_sentences(diff: RunDiff, shown: Sequence[Difference]) -> list[str]:
    """A sentence for each set of causes that vary together and has one that is shown, its keys named once."""
    return [
        f"cannot be told apart, since they vary together here: {_equated(cause)}"
        for cause in diff.causes
        if len(cause) > 1 and any(one in shown for one in cause)
    ]


def _equated(cause: Sequence[Difference]) -> str:
    more = f" and {len(cause) - MAX_KEYS_IN_SENTENCE} more" if len(cause) > MAX_KEYS_IN_SENTENCE else ""
    return " = ".join(one.key for one in cause[:MAX_KEYS_IN_SENTENCE]) + more


def layers_text(descent: Descent) -> str:
    """How many layers came along, of how many, and whether the top did; "-" where no weights were taken."""
    if descent.layers is None:
        return "-"
    came, there_are = descent.layers
    return f"{came} of {there_are}" + (" and the top" if "top" in descent.carried else "")


def group_text(score: GroupScore) -> str:
    """A group's mean and sd; says so where some of its runs have no score that counts."""
    if not (score.scores.n or score.n_degenerate or score.n_halted):
        return "-"
    partial = f" ({score.scores.n} of {score.n_runs} runs)" if score.scores.n < score.n_runs else ""
    return mean_text(score.scores.mean, score.scores.sd) + partial


def steps_trained(run: RunRecord) -> int:
    """The last step any metric was logged at."""
    return max((one.last_step for one in run.metrics.values()), default=0)


def status_cell(run: RunRecord) -> Cell:
    """The run's status, in the tone that belongs to it."""
    tones: dict[str, Literal["good", "bad", "busy"]] = {"finished": "good", "running": "busy"}
    return Cell(run.status, tone=tones.get(run.status, "bad"))


def _leading_columns(metric: MetricComparison) -> list[Column]:
    common = (
        [Column(f"at {metric.common.unit} {metric.common.number}", "right", "useful")] if _is_unequal(metric) else []
    )
    return [
        Column(f"best {metric.name}", "right", "essential"),
        Column("at step", "right"),
        Column("last", "right", "essential"),
        *common,
    ]


def _leading_cells(metric: MetricComparison, run: RunRecord) -> list[Cell]:
    score = metric.run(run.run_id)
    best, last, common = (score.best, score.last, score.common) if score else (None, None, None)
    cells = [_point_cell(best), Cell(str(best.step) if best else "-"), _point_cell(last)]
    return [*cells, _point_cell(common)] if _is_unequal(metric) else cells


def _is_unequal(metric: MetricComparison) -> bool:
    """True where the last common position is not the end of every run, so that it has something to tell."""
    return any(score.common is None or score.common.step != score.last.step for score in metric.runs)


def _shared_seeds(runs: Sequence[RunRecord]) -> tuple[Seeds, list[Seeds]]:
    """The seeds that all runs share, and per run those that not all share."""
    names = [one.name for one in fields(Seeds)]
    shared = [name for name in names if len(runs) > 1 and len({getattr(run.seeds, name) for run in runs}) == 1]
    own = [replace(run.seeds, **dict.fromkeys(shared, None)) for run in runs]
    return replace(runs[0].seeds, **{name: None for name in names if name not in shared}), own


def _point_cell(point: Point | None) -> Cell:
    return Cell("-", tone="muted") if point is None else Cell(number_text(point.value))


def _score_text(comparison: Comparison, metric: str, run: RunRecord) -> str:
    score = comparison.metrics[metric].run(run.run_id)
    point = score.at(comparison.at) if score else None
    return number_text(point.value if point else None)


def _difference_text(difference: float | None) -> str:
    return "-" if difference is None else f"{difference:+.4g}"


def _range_text(score: GroupScore) -> str:
    if score.scores.n < 2:
        return "-"
    return f"{number_text(score.scores.minimum, 3)} – {number_text(score.scores.maximum, 3)}"


def _value_cell(difference: Difference, index: int, reference: int) -> Cell:
    value = difference.values[index]
    if value is MISSING:
        return Cell("(absent)", tone="muted")
    return Cell(_shortened(value), tone="changed" if difference.is_changed(index, reference) else "plain")


def _echoes(differences: Sequence[Difference]) -> list[list[Difference]]:
    """The differences in lists of those with the same values throughout: aliases that only repeat each other."""
    found: dict[Hashable, list[Difference]] = {}
    for index, one in enumerate(differences):
        mark: Hashable = tuple(map(identity, one.values)) if one.aliases else index
        found.setdefault(mark, []).append(one)
    return list(found.values())


def _keys_text(keys: Sequence[Difference], joint: str = " = ") -> str:
    n_more = len(keys) - MAX_KEYS_IN_CELL
    return joint.join(one.key for one in keys[:MAX_KEYS_IN_CELL]) + (f" and {n_more} more" if n_more > 0 else "")


def _class_cell(difference: Difference) -> Cell:
    """What a difference in scores can be put down to it; the sentences beside a table name those that are aliases."""
    return Cell(difference.attribution + (", type only" if difference.kind == "type_only" else ""), tone="muted")


def _folded(difference: Difference, unit: str) -> str:
    texts = ["(absent)" if one.value is MISSING else _shortened(one.value) for one in difference.distinct()]
    counts = [len(one.runs) for one in difference.distinct()]
    return ", ".join(
        f"{text} ({count} {unit if count > 1 else unit[:-1]})" for text, count in zip(texts, counts, strict=True)
    )


def _shortened(value: Any) -> str:
    text = value_text(value)
    if _DIGEST.fullmatch(text):
        return f"{text[:SHORT_DIGEST]}…"
    return text if len(text) <= MAX_VALUE_CHARS else text[: MAX_VALUE_CHARS - 1] + "…"
