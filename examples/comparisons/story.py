"""
Three comparisons that fool people: a lucky seed, a run that trained longer, and too few seeds.

    python examples/comparisons/story.py story

records their runs below `story/runs`, draws `pair.svg`, `longer.svg` and `layers.svg` beside them, and prints what is
to be read from them. The scores in `cola_scores.json` are what real trainings on CoLA logged, of the studies
`cola_seeds.yaml`, `cola_layers.yaml` and `measured/cola_techniques.yaml`; only the runs of unequal length are made up.
"""

from __future__ import annotations

import json
import random
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import trackbridge as tb
from trackbridge.report.chart import Chart, Size, draw_chart
from trackbridge.report.curves import metric_chart
from trackbridge.report.groups import group_strip
from trackbridge.report.strip import Strip, draw_strip

METRIC = "eval_in_domain/mcc"
WIDE = Size(880, 300)
LUCKY, OTHER = "dropout 12345", "dropout 12346"


def main(folder: Path) -> None:
    """Record all runs, draw the three pictures, and print what the comparisons say."""
    record_measured(folder / "runs")
    record_longer(folder / "runs")
    store = tb.open_store(folder / "runs")
    dropout, layers = store.runs(group="dropout"), store.runs(group="layers")

    two = [replace(run, config={"script": {"idea": run.name}}) for run in dropout if run.name in (LUCKY, OTHER)]
    pair = tb.compare(two, metrics=[METRIC], noise_from=[*dropout, *store.runs(group="techniques")])
    longer = tb.compare(store.runs(group="longer"), metrics=[METRIC])
    three = tb.compare([run for run in layers if (run.seeds.init or 0) <= 3], metrics=[METRIC])
    ten = tb.compare(layers, metrics=[METRIC])

    draw(folder / "pair.svg", dropout_chart(tb.compare(dropout, metrics=[METRIC])))
    draw(folder / "longer.svg", metric_chart(longer, METRIC))
    (folder / "layers.svg").write_text(draw_strip(both(three, ten), width=WIDE.width), encoding="utf-8")
    for comparison in (pair, longer, three, ten):
        for verdict in comparison.verdicts:
            print(verdict.sentence)
        for finding in comparison.findings():
            if finding.severity == "warning":
                print(finding.sentence)


def record_measured(root: Path) -> None:
    """The runs whose scores were measured, as if they were trained now."""
    for told in json.loads(Path(__file__).with_name("cola_scores.json").read_text(encoding="utf-8")):
        config = {"setting": told["setting"]}
        with tb.start_run("cola", name=told["name"], group=told["group"], root=root, config=config) as run:
            run.log_seeds(tb.Seeds(**told["seeds"]))
            for step, score in zip(told["steps"], told["scores"], strict=True):
                run.log({METRIC: score}, step=step)


def record_longer(root: Path) -> None:
    """Four runs of one setting, and one of another that trained two fifths longer and jumped at its end."""
    for seed in range(1, 6):
        luck = random.Random(seed)
        setting, n_evaluations = ("longer", 70) if seed == 5 else ("usual", 50)
        with tb.start_run(
            "cola", name=f"{setting} {seed}", group="longer", root=root, config={"setting": setting}
        ) as run:
            run.log_seeds(tb.Seeds(init=1, data=1, dropout=seed))
            for evaluation in range(1, n_evaluations + 1):
                jump = 0.12 if evaluation > 60 else 0.0
                score = 0.56 * (1 - 0.9**evaluation) + luck.gauss(0, 0.006) + jump
                run.log({METRIC: score}, step=20 * evaluation)


def dropout_chart(comparison: tb.Comparison) -> Chart:
    """The two runs in bold before the other replicates."""
    chart = metric_chart(comparison, METRIC)
    runs = [line for line in chart.lines if line.weight == "thin"]
    styles = {LUCKY: 1, OTHER: 0}
    bold = [replace(line, weight="bold", style=styles[line.label]) for line in runs if line.label in styles]
    others = [replace(line, style=6) for line in runs if line.label not in styles]
    return replace(chart, lines=(*others, *bold), bands=tuple(replace(band, style=6) for band in chart.bands))


def both(three: tb.Comparison, ten: tb.Comparison) -> Strip:
    """The groups of both comparisons below one another."""
    rows = [
        replace(row, label=f"{row.label}, {len(row.dots)} seeds")
        for comparison in (three, ten)
        for row in group_strip(comparison, METRIC).rows
    ]
    verdicts: list[Any] = [*three.verdicts, *ten.verdicts]
    return Strip(f"{METRIC}, each run at its best", tuple(rows), "; ".join(one.sentence for one in verdicts))


def draw(file: Path, chart: Chart) -> None:
    """One chart as a file."""
    file.write_text(draw_chart(chart, size=WIDE), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
