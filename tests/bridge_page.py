"""
`docs/bridges.md`, made from what becomes of one run of each source at each tracker:

    python tests/bridge_page.py

makes all crossings anew, which takes a minute, and writes the page.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from bridge_kit import Crossings, all_crossings

PAGE = Path(__file__).resolve().parent.parent / "docs" / "bridges.md"
REGENERATE = "if that is right, run: python tests/bridge_page.py"
HEAD = """# What survives the way from one tracker to another?

For every source and every tracker, one run was made with the source's own SDK, offline, and imported; delivered by
the tracker's adapter to the tracker's own offline files; and imported from these. Then the two journals were compared
field by field, with `trackbridge.testing.crossing`. The tables below are what came out. A test makes them anew, and
fails when a crossing gets worse, or better.

**kept**: everything is as it was. **changed**: everything is there, some of it in other words.
**lost in part**, **lost**: some or all of it is gone. **-**: the run of this source has nothing of it.
Why a cell says other than "kept" or "-" is told [below](#what-is-changed-or-lost).

Times count as kept when they are the same to the millisecond: few trackers keep more.
Points are compared with those that a resume superseded, and in the order in which those of one step were logged.
What an import adds of its own (a config scope with the source's name, `import` in the environment) does not count.

How runs get in: [import](import.md). How they get out: [delivery](delivery.md).
What each tracker shows of a run: [support](support.md).
"""
UNCROSSED = """## What is not crossed here

- Deliveries to a server. The contract tests of the adapters read the same runs back from servers as from offline files.
- MLflow's file store is the source, its SQLite database the target.
- What an SDK cannot log: Neptune's takes no NaN, TensorBoard knows no tags, MLflow no histograms. Such cells are "-".
"""

RULES: Mapping[str, Mapping[str, str]] = {
    "wandb": {
        "config": "the id that the run had at W&B before, in the scope `wandb`, gives way to the new one",
        "histograms": "of more than 512 bins, neighbours are put together; where the source told no count of values"
        " that are not finite, it is 0",
    },
    "comet": {},
    "neptune": {"histograms": "where the source told no count of values that are not finite, it is 0"},
    "mlflow": {},
    "tensorboard": {"files": "TensorBoard keeps no files: each is a rejection, which `trackbridge status` lists"},
}
"""Why a field is not kept, by target and field."""

_ONLY_SOURCES = "`trainer_state`, `table`, `trackio` and `neptune_export`: nothing is delivered to these."
NOT_CROSSED: Mapping[str, str] = {
    "trainer_state": _ONLY_SOURCES,
    "table": _ONLY_SOURCES,
    "trackio": _ONLY_SOURCES,
    "neptune_export": _ONLY_SOURCES,
    "memory": "`memory` keeps rows for tests, and no source reads them.",
}
"""Sources and trackers that have no place in the tables, and why."""

Fates = Mapping[str, Mapping[str, Mapping[str, str]]]
"""What becomes of each field, in a word, by source and target."""


def fates_of(crossings: Crossings) -> Fates:
    """The words of the tables."""
    return {
        source: {target: {field: one.fate for field, one in fields.items()} for target, fields in by_target.items()}
        for source, by_target in crossings.items()
    }


def read_fates(page: str) -> Fates:
    """What the tables of a page say."""
    fates: dict[str, dict[str, dict[str, str]]] = {}
    source, targets = "", [""]
    for line in page.splitlines():
        if line.startswith("## From "):
            source, targets = line.split("`")[1], []
        elif line.startswith("| ") and source:
            first, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            if not targets:
                targets = [cell.split("`")[1] for cell in cells]
                fates[source] = {target: {} for target in targets}
            else:
                for target, cell in zip(targets, cells, strict=True):
                    fates[source][target][first] = cell
    return fates


def page(fates: Fates) -> str:
    """The page as Markdown."""
    lines = [HEAD]
    for source, by_target in fates.items():
        lines += [f"## From `{source}`", "", *_table(by_target), ""]
    lines += ["## What is changed or lost", ""]
    for target in _targets(fates):
        rules = [f"- {field}: {RULES[target][field]}" for field in _unkept(fates, target)]
        lines += [f"**To `{target}`**", "", *(rules or ["- nothing"]), ""]
    return "\n".join([*lines, UNCROSSED + "\n".join(f"- {why}" for why in dict.fromkeys(NOT_CROSSED.values()))]) + "\n"


def unexplained(fates: Fates) -> list[str]:
    """Fields that are not kept without a rule that says why, and rules that explain nothing."""
    wanted = {(target, field) for target in _targets(fates) for field in _unkept(fates, target)}
    told = {(target, field) for target in _targets(fates) for field in RULES[target]}
    return sorted(f"{target}: {field}" for target, field in wanted ^ told)


def differences(page_fates: Fates, crossings: Crossings) -> list[str]:
    """One line for each cell in which the page does not say what became of a field."""
    return [
        f"{source} to {target}, {field}: the page says {_said(page_fates, source, target, field)!r}, it is {one.fate!r}"
        + "".join(f"\n    {difference}" for difference in one.differences[:5])
        for source, by_target in crossings.items()
        for target, fields in by_target.items()
        for field, one in fields.items()
        if _said(page_fates, source, target, field) != one.fate
    ]


def _said(fates: Fates, source: str, target: str, field: str) -> str | None:
    return fates.get(source, {}).get(target, {}).get(field)


def _table(by_target: Mapping[str, Mapping[str, str]]) -> list[str]:
    fields = next(iter(by_target.values()))
    head = [f"| | {' | '.join(f'to `{target}`' for target in by_target)} |", f"|---|{'---|' * len(by_target)}"]
    return head + [f"| {field} | {' | '.join(one[field] for one in by_target.values())} |" for field in fields]


def _targets(fates: Fates) -> Iterable[str]:
    return dict.fromkeys(target for by_target in fates.values() for target in by_target)


def _unkept(fates: Fates, target: str) -> list[str]:
    """The fields that some run does not keep at a target, in the order of the tables."""
    found = (
        field for by_target in fates.values() for field, fate in by_target[target].items() if fate not in ("kept", "-")
    )
    fields = list(next(iter(fates.values()))[target])
    return sorted(set(found), key=fields.index)


def main() -> None:
    """Make all crossings and write the page."""
    os.environ["WANDB_ERROR_REPORTING"] = "false"
    with tempfile.TemporaryDirectory() as folder:
        # Here, changes that are not committed would go with the run.
        os.chdir(folder)
        crossings = all_crossings(Path(folder))
    fates = fates_of(crossings)
    for line in differences(read_fates(PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""), crossings):
        print(line)
    if missing := unexplained(fates):
        sys.exit("RULES says nothing of, or too much about:\n" + "\n".join(missing))
    PAGE.write_text(page(fates), encoding="utf-8")


if __name__ == "__main__":
    main()
