"""`trackbridge finetune` and `trackbridge demo`: run a training or a study, and lay out what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trackbridge.cli.exits import FOUND_PROBLEMS
from trackbridge.cli.selection import RootOption, open_root
from trackbridge.errors import MissingDependencyError, MisuseError

if TYPE_CHECKING:
    from rich.console import Console

    from trackbridge.comparison.run_scores import At
    from trackbridge.finetune.outcome import Outcome
    from trackbridge.finetune.plan import Plan

HtmlOption = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Also write a report with curves.")]


class Engine(str, Enum):
    """Where the runs of a study are trained."""

    LOCAL = "local"
    RAY = "ray"


def finetune(
    config: Annotated[Path, typer.Argument(help="A YAML file: one training, or a study of variants and seeds.")],
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a dotted key, such as training.epochs=1."),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Runs trained at once, each in its process.")] = 1,
    engine: Annotated[
        Engine, typer.Option("--engine", help="This machine, or a Ray cluster, which decides how many at once.")
    ] = Engine.LOCAL,
    ray_address: Annotated[
        str, typer.Option("--ray-address", metavar="ADDRESS", help="Of the Ray cluster; auto is the one running here.")
    ] = "auto",
    html: HtmlOption = None,
    root: RootOption = None,
) -> None:
    """Fine-tune as a config says, and record every run. Called again, it goes on where it was stopped."""
    from trackbridge.finetune.config_file import read_overrides
    from trackbridge.finetune.plan import read_plan
    from trackbridge.finetune.study import run_study, run_study_on_ray

    _refuse_contradictions(jobs, engine, ray_address)
    plan = read_plan(config, read_overrides(assignments or []))
    if engine is Engine.RAY:
        _run(plan, partial(run_study_on_ray, address=ray_address), root, html)
    else:
        _run(plan, partial(run_study, jobs=jobs), root, html)


def _refuse_contradictions(jobs: int, engine: Engine, ray_address: str) -> None:
    """What would otherwise be passed over in silence, or start every run once for each process of a launcher."""
    from trackbridge.finetune.ranks import n_processes

    is_on_ray, n_together = engine is Engine.RAY, n_processes()
    if is_on_ray and jobs > 1:
        raise MisuseError(f"--jobs {jobs} with --engine ray: Ray decides how many run at once; leave --jobs out")
    if ray_address != "auto" and not is_on_ray:
        raise MisuseError(f"--ray-address {ray_address} without --engine ray: add it, or leave the address out")
    if n_together > 1 and (is_on_ray or jobs > 1):
        raise MisuseError(
            f"{n_together} processes were launched to train each run together, so runs cannot be trained beside each"
            " other: leave out --jobs and --engine, or the launcher"
        )


def demo(html: HtmlOption = Path("trackbridge-demo.html"), root: RootOption = None) -> None:
    """Train eight tiny models, two variants with four seeds each, and compare them. Nothing is downloaded."""
    from trackbridge.finetune.demo import demo_plan
    from trackbridge.finetune.study import run_study

    _run(demo_plan(), run_study, root, html)


def _require_training_libraries() -> None:
    for library in ("torch", "transformers", "accelerate"):
        if find_spec(library) is None:
            raise MissingDependencyError.for_extra("training", library, "transformers")


def _run(plan: Plan, run_study: Callable[..., list[Outcome]], root: Path | None, html: Path | None) -> None:
    """Run the plan, then lay what finished side by side."""
    from trackbridge.cli.render import make_console, print_line, print_table
    from trackbridge.finetune.display import display_for
    from trackbridge.finetune.ranks import is_first_rank
    from trackbridge.finetune.tables import chosen_scores_table
    from trackbridge.report.text import counted, duration_text

    _require_training_libraries()
    started_s = time.monotonic()
    console = make_console()
    console.quiet = not is_first_rank()
    outcomes = run_study(plan, root=root, display=display_for(console, plan))
    print_line(console)
    if any(len(outcome.scores) > 1 for outcome in outcomes):
        print_table(console, chosen_scores_table(outcomes))
    _compare(outcomes, console, root, html if is_first_rank() else None)
    print_line(console, f"{counted(len(outcomes), 'run')} in {duration_text(time.monotonic() - started_s)}")
    failed = [outcome.planned.name for outcome in outcomes if outcome.ending == "failed"]
    if failed:
        print_line(console, f"{len(failed)} of them failed, for the reasons above: {', '.join(failed)}", style="red")
        raise typer.Exit(FOUND_PROBLEMS)


def _compare(outcomes: Sequence[Outcome], console: Console, root: Path | None, html: Path | None) -> None:
    """The comparison by the score the runs are judged by: any other one's best step is not the run's."""
    from trackbridge.cli.comparison import print_comparison
    from trackbridge.cli.report import write_page
    from trackbridge.comparison.comparison import compare

    judged = [outcome for outcome in outcomes if outcome.judged_by]
    if not judged:
        return
    ids = {outcome.record.run_id for outcome in judged if outcome.record}
    runs = [run for run in open_root(root).runs() if run.run_id in ids]
    # beside runs that keep their last weights, the best of the others would be flattered
    at: At = "best" if all(outcome.chosen_by for outcome in judged) else "last"
    comparison = compare(runs, metrics=[str(judged[0].judged_by)], at=at)
    print_comparison(comparison, console)
    if html is not None:
        write_page(comparison, html)
