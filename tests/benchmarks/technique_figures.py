"""
What each technique did on real data: the tables and the pictures of docs/techniques.md, from the runs of its studies.

    for study in cola_techniques cola_stages cola_features cola_early_stopping cola_folds sst2_pseudo_labels; do
        trackbridge finetune examples/studies/measured/$study.yaml --root ROOT --jobs 3
    done
    python tests/benchmarks/technique_figures.py ROOT [--pictures docs]

Prints tables in Markdown: mean and standard deviation over seeds of the runs that count, n, the
difference from the first variant with its interval, p, and the verdict. Each run is taken at its best by the set that
chose its weights, and the other set is read there. All comparisons of a table are one family (Holm).
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trackbridge.comparison.align import group_curve
from trackbridge.comparison.comparison import Comparison, compare
from trackbridge.comparison.groups import ReplicateGroup
from trackbridge.comparison.scores import MetricComparison
from trackbridge.comparison.sweep import Sweep, SweepLine, SweepPoint
from trackbridge.report.chart import Band, Chart, Line, draw_chart
from trackbridge.report.groups import group_strip
from trackbridge.report.strip import draw_strip
from trackbridge.report.sweep import sweep_chart
from trackbridge.store.records import RunRecord
from trackbridge.store.store import Store, open_store

COLA = ("eval_in_domain/mcc", "eval_out_of_domain/mcc")
SST2 = ("eval_dev/accuracy", "eval_test/accuracy")
TECHNIQUES = (
    "plain",
    "long (4 epochs)",
    "without bias correction",
    "re-init 1",
    "layer-wise decay .95",
    "SWA from .5",
    "EMA .99",
    "mean-pooled head",
    "feature extraction",
    "LoRA",
    "WikiText-2 first (MLM)",
    "BLiMP first",
    "BLiMP first, 3 layers carried",
)
MINUS = "\N{MINUS SIGN}"
WIDTH = 880


@dataclass(frozen=True)
class Family:
    """Variants that are judged together, against that of the first run."""

    title: str
    metrics: tuple[str, str]
    runs: tuple[RunRecord, ...]

    def compared(self) -> Comparison:
        """The comparison."""
        return compare(self.runs, baseline=self.runs[0], metrics=self.metrics)


def main() -> None:
    """Print the tables; with `--pictures`, also draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="the folder of the runs")
    parser.add_argument("--pictures", type=Path, help="a folder to draw the pictures into")
    given = parser.parse_args()
    store = open_store(given.root)
    families = list(families_of(store))
    compared = {family.title: family.compared() for family in families}
    for family in families:
        print(f"## {family.title}\n\n{table(compared[family.title], family.metrics)}\n")
        for verdict in compared[family.title].verdicts:
            print(f"- {verdict.sentence}")
        print()
    print(f"## averaging, at the last update\n\n{averaging_table(compared['techniques'])}\n")
    print(f"## folds\n\n{folds_table(store.runs(group='folds'))}")
    if given.pictures:
        draw(compared, given.pictures)


def families_of(store: Store) -> Iterator[Family]:
    """The studies that are judged; the later ones against trainings of the first."""
    of_variant: dict[str, list[RunRecord]] = defaultdict(list)
    for group in ("techniques", "stages", "features", "early-stopping"):
        for run in sorted(store.runs(project="cola", group=group), key=lambda run: run.started_ns):
            of_variant[variant_of(run)].append(run)
    techniques = [run for name in TECHNIQUES for run in of_variant[name]]
    features = [run for name, runs in of_variant.items() if name.startswith("layer ") for run in runs]
    plain, longer = of_variant["plain"], of_variant["long (4 epochs)"]
    pseudo = sorted(store.runs(project="sst2", group="pseudo-labels"), key=lambda run: variant_of(run) != "plain")
    yield Family("techniques", COLA, tuple(techniques))
    yield Family("features", COLA, (*plain, *features))
    yield Family("early stopping", COLA, (*plain, *of_variant["patience 3"]))
    yield Family("early stopping of the long training", COLA, (*longer, *of_variant["long, patience 5"]))
    yield Family("pseudo-labels", SST2, tuple(pseudo))


def variant_of(run: RunRecord) -> str:
    """The name of a run's variant: that of the run without its seeds."""
    return run.name.partition(" init ")[0].partition(" seed ")[0]


def table(comparison: Comparison, metrics: Sequence[str]) -> str:
    """One row for each group: both metrics, then the differences from the plain training and what they amount to."""
    names = [metric.partition("/")[0].removeprefix("eval_").replace("_", "-") for metric in metrics]
    head = ["variant", "n", *names, *(f"{name}: difference, p, verdict" for name in names)]
    rows = []
    for index, group in enumerate(comparison.groups):
        measured = [comparison.metrics[metric] for metric in metrics]
        scored = [score_text(metric, index) for metric in measured]
        rows.append([group.label, str(len(group.runs)), *scored, *(verdict_text(metric, index) for metric in measured)])
    return markdown(head, rows)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def score_text(metric: MetricComparison, index: int) -> str:
    """Mean and sd of the runs of a group that count, and how many learned nothing."""
    group = metric.groups[index]
    failed = f"{group.n_degenerate} of {group.n_runs} learned nothing"
    if group.scores.mean is None or group.scores.sd is None:
        return failed
    return f"{short(group.scores.mean)} ± {short(group.scores.sd)}" + (f" ({failed})" if group.n_degenerate else "")


def verdict_text(metric: MetricComparison, index: int) -> str:
    """The difference from the baseline with its interval, p before Holm, and the verdict."""
    verdict = next((one for one in metric.verdicts if one.one.group == index), None)
    if verdict is None:
        return ""
    if verdict.effect is None or verdict.interval is None or verdict.p is None:
        return verdict.verdict
    between = f"[{signed(verdict.interval.low)}, {signed(verdict.interval.high)}]"
    return f"{signed(verdict.effect)} {between}, p = {short(verdict.p, 2)}, {verdict.verdict}"


def short(value: float, digits: int = 3) -> str:
    """A number below one without its leading zero; p below .01 with one digit more."""
    digits += digits == 2 and value < 0.01
    return f"{value:.{digits}f}".replace("0.", ".", 1).replace("-", MINUS)


def signed(value: float) -> str:
    """A number with its sign."""
    return ("+" if value >= 0 else "") + short(value)


def averaging_table(comparison: Comparison) -> str:
    """The trained and the averaged weights of the same runs, as the last evaluation scored both: mean ± sd."""
    metrics = [name for metric in COLA for name in (metric.replace("eval_", "eval_plain_"), metric)]
    rows = []
    for group in averaged_groups(comparison):
        lasts = np.array([[float(run.series(metric).values[-1]) for run in group.runs] for metric in metrics])
        rows.append([group.label, *(f"{short(last.mean())} ± {short(last.std(ddof=1))}" for last in lasts)])
    return markdown(["variant", *metrics], rows)


def averaged_groups(comparison: Comparison) -> list[ReplicateGroup]:
    """The groups whose runs average their weights: these score both models."""
    plain = COLA[0].replace("eval_", "eval_plain_")
    return [group for group in comparison.groups if plain in group.runs[0].metrics]


def folds_table(folds: Sequence[RunRecord]) -> str:
    """Each fold with its scores, at the update that was best on the fold, and their mean and sd."""
    names = ["fold", "in_domain", "out_of_domain"]
    folds = sorted(folds, key=lambda run: run.name)
    scores = np.array([[float(run.summary[f"best/eval_{name}/mcc"]) for name in names] for run in folds])
    rows = [[run.name, *map(short, row)] for run, row in zip(folds, scores.tolist(), strict=True)]
    ends = zip(scores.mean(axis=0).tolist(), scores.std(axis=0, ddof=1).tolist(), strict=True)
    return markdown(
        ["run", *names], [*rows, ["mean ± sd", *(f"{short(mean)} ± {short(deviation)}" for mean, deviation in ends)]]
    )


def draw(compared: dict[str, Comparison], folder: Path) -> None:
    """Draw every picture of the page."""
    techniques = compared["techniques"]
    pictures = {
        "techniques": draw_strip(group_strip(techniques, COLA[0]), width=WIDTH),
        "techniques-out-of-domain": draw_strip(group_strip(techniques, COLA[1]), width=WIDTH),
        "averaging": draw_chart(averaging_chart(techniques)),
        "stages": draw_chart(stages_chart(techniques)),
        "pseudo-label-rates": draw_chart(sweep_chart(rates(compared["pseudo-labels"]))),
    }
    for name, picture in pictures.items():
        (folder / f"{name}.svg").write_text(picture + "\n", encoding="utf-8")


def averaging_chart(comparison: Comparison) -> Chart:
    """The trained and the averaged model of the same runs, for SWA and EMA: means over seeds, and each run."""
    metric, beside = COLA[0], COLA[0].replace("eval_", "eval_plain_")
    shown = [
        (f"{group.label[:3]}: {what}", group.runs, name)
        for group in averaged_groups(comparison)
        for what, name in (("trained weights", beside), ("averaged weights", metric))
    ]
    return curves(metric, shown)


def stages_chart(comparison: Comparison) -> Chart:
    """CoLA after another task or further pre-training, beside the plain training: means over seeds with bands."""
    wanted = [group for group in comparison.groups if group.label == "plain" or " first" in group.label]
    return curves(COLA[0], [(group.label, group.runs, COLA[0]) for group in wanted])


def curves(title: str, shown: Sequence[tuple[str, Sequence[RunRecord], str]]) -> Chart:
    """The mean over runs of a metric, with a band of one standard deviation, for each label, runs and metric."""
    lines, bands, told = [], [], []
    for style, (label, runs, metric) in enumerate(shown):
        curve = group_curve([run.series(metric) for run in runs])
        lines.append(Line(label, curve.steps, curve.mean, style))
        bands.append(Band(curve.steps, curve.mean - curve.sd, curve.mean + curve.sd, style))
        told.append(f"{label} ends at {curve.mean[-1]:.3f}, sd {curve.sd[-1]:.3f} over {len(runs)} runs")
    return Chart(title, tuple(lines), tuple(bands), x_title="update", summary="; ".join(told))


def rates(comparison: Comparison) -> Sweep:
    """Accuracy against the share of pseudo-labels that is drawn; a rate of 0 is the training without them, bitwise."""
    at_rate = {"plain": 0.0, "rate .25": 0.25, "rate 1": 1.0}
    lines = []
    for metric, told in zip(SST2, ("dev, which chose the weights", "test"), strict=True):
        scores = comparison.metrics[metric].groups
        points = [
            SweepPoint(at_rate[score.label], tuple(score.counted.values()), score.scores)
            for score in scores
            if score.label in at_rate
        ]
        lines.append(SweepLine(told, tuple(sorted(points, key=lambda point: point.value))))
    return Sweep("share of pseudo-labels drawn", "accuracy", tuple(lines), n_without=0)


if __name__ == "__main__":
    main()
