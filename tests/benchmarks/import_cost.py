"""
What `import trackbridge` and the first use of each name add to a bare interpreter.

    python tests/benchmarks/import_cost.py --rounds 20

Whole processes are timed, by turns, so that all see the same machine.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

IMPORT_LIMIT_MS = 80.0
SCRIPTS = {
    "python -c pass": "pass",
    "import trackbridge": "import trackbridge",
    "... tb.start_run": "import trackbridge; trackbridge.start_run",
    "... tb.open_store": "import trackbridge; trackbridge.open_store",
    "... tb.compare": "import trackbridge; trackbridge.compare",
}


def process_ms(script: str) -> float:
    """How long an interpreter takes from its start to its end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", script], check=True)
    return (time.perf_counter() - began) * 1e3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="processes per script (default: 15)")
    options = parser.parse_args()
    took: dict[str, list[float]] = {name: [] for name in SCRIPTS}
    for _ in range(options.rounds + 1):
        for name, script in SCRIPTS.items():
            took[name].append(process_ms(script))
    # The first round fills the file cache and writes the byte code.
    medians = {name: statistics.median(times[1:]) for name, times in took.items()}
    bare = medians["python -c pass"]
    print(f"{'':<20}{'process':>10}{'adds':>9}")
    for name, median in medians.items():
        print(f"{name:<20}{median:>7.0f} ms{median - bare:>6.0f} ms")
    added = medians["import trackbridge"] - bare
    print(f"\nimport trackbridge adds {added:.0f} ms (at most {IMPORT_LIMIT_MS:.0f} ms)")
    return int(added > IMPORT_LIMIT_MS)


if __name__ == "__main__":
    sys.exit(main())
