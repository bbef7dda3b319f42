"""
How long the import of a Neptune export takes, and how much memory.

    python tests/benchmarks/import_neptune_export.py --runs 1000 --points 1000

The export is written by the exporter's documented schema: per run twenty fields and three series of so many points,
a file for each run. The import runs in a process of its own, whose peak memory is told.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from export_kit import row, write_file, write_run

SERIES = ("train/loss", "train/grad_norm", "eval/accuracy")
STARTED_MS = 1_700_000_000_000
IMPORT = """
import json, resource, sys, time
from trackbridge.sources.importing import import_runs
began = time.perf_counter()
seen = []
report = import_runs(sys.argv[1], root=sys.argv[2], on_progress=lambda run, of: seen.append(of))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
unit = 1 if sys.platform == "darwin" else 1024
assert len(seen) == len(report.runs) and not any(run.problems for run in report.runs)
n_points = sum(run.n_points for run in report.runs)
print(json.dumps({"seconds": time.perf_counter() - began, "peak_bytes": peak * unit, "points": n_points}))
"""


def write_export(place: Path, n_runs: int, n_points: int) -> None:
    """An export of so many runs."""
    for number in range(n_runs):
        run_id = f"BEN-{number}"
        fields = [row("sys/name", "string", f"run {number}"), row("sys/creation_time", "datetime", STARTED_MS)]
        fields += [row(f"parameters/p{at}", "float", at / 7) for at in range(18)]
        fields.append(row("model", "file", {"path": f"ws/bench/{run_id}/model"}))
        points = [
            row(name, "float_series", 1 / (step + 1), step, STARTED_MS + step)
            for name in SERIES
            for step in range(n_points)
        ]
        write_run(place / "data", "ws/bench", run_id, [*fields, *points], group_rows=100_000)
        write_file(place / "files", "ws/bench", f"ws/bench/{run_id}/model", bytes(1000))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--points", type=int, default=1000, help="of each of the three series of a run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for n_runs in (max(1, options.runs // 10), options.runs):
            place = Path(folder) / f"export {n_runs}"
            began = time.perf_counter()
            write_export(place, n_runs, options.points)
            print(f"{n_runs} runs written in {time.perf_counter() - began:.0f} s", file=sys.stderr)
            command = [sys.executable, "-c", IMPORT, str(place), str(Path(folder) / f"runs {n_runs}")]
            told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            seconds, peak_mb = told["seconds"], told["peak_bytes"] / 1e6
            print(f"{n_runs:>6} runs {told['points']:>10} points {seconds:>8.1f} s  peak {peak_mb:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
