"""
How long the web page takes: until its first rows and its first chart, for a click, a filter, and a table of all groups.

    python tests/benchmarks/page_speed.py [--runs 1000 5000] [--shown 20] [--points 2000] [--keys 30] [--repeats 5]

Writes roots of so many runs, of which the newest have curves of so many points, opens the page of each in headless
Chromium, and prints medians in milliseconds as the browser counts them: from the beginning of the navigation until
rows or curves are in the page, and from a click or a key until what it changes is. The journals are read before the
page is opened; how long that takes is printed too.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.browser.page_kit import CHROMIUM_FLAGS, told_run
from tests.web_kit import serving
from trackbridge.store.store import open_store

ROWS = "() => document.querySelector('#table tbody tr[data-row]') && performance.now()"
CHART = "() => document.querySelectorAll('.chart svg.tb-chart').length >= 1 && performance.now()"
AFTER_CLICK = """(button) => new Promise((done) => {
  const started = performance.now();
  const seen = new MutationObserver((changes) => {
    if (!changes.some((change) => [...change.addedNodes].some((node) => node.matches?.(button.wanted)))) return;
    seen.disconnect();
    requestAnimationFrame(() => done(performance.now() - started));
  });
  seen.observe(document.querySelector("main"), { childList: true, subtree: true });
  const control = document.querySelector(button.control);
  if (button.text === undefined) return control.click();
  control.value = button.text;
  control.dispatchEvent(new Event("input"));
})"""


def main() -> None:
    """Print one line per measurement."""
    parser = argparse.ArgumentParser(description="Speed of the web page.")
    parser.add_argument("--runs", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--shown", type=int, default=20)
    parser.add_argument("--points", type=int, default=2000)
    parser.add_argument("--keys", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        for n_runs in arguments.runs:
            with tempfile.TemporaryDirectory() as folder:
                shown = write_runs(Path(folder), n_runs, arguments.shown, arguments.points, arguments.keys)
                measure(browser, Path(folder), shown, n_runs, arguments.repeats)
        browser.close()


def write_runs(root: Path, n_runs: int, n_shown: int, n_points: int, n_keys: int) -> list[str]:
    """Settings with five seeds each; the ids of the runs with long curves, the newest."""
    ids = []
    for number in range(n_runs):
        setting, seed = divmod(number, 5)
        ids.append(
            told_run(
                root, f"run-{number:05}", number=number, lr=1e-5 * (1 + setting % 17), layers=setting % 7, seed=seed,
                n_steps=n_points if number >= n_runs - n_shown else 20, every=10, width=n_keys,
            )
        )  # fmt: skip
    return ids[-n_shown:]


def measure(browser: Browser, root: Path, shown: list[str], n_runs: int, repeats: int) -> None:
    """Every measurement on one root."""
    started = time.perf_counter()
    open_store(root).runs()
    print(f"{n_runs} runs, {len(shown)} of them shown: read first in {1000 * (time.perf_counter() - started):.0f} ms")
    path = "/?metrics=train/loss&runs=" + ",".join(shown)
    with serving(root) as access:
        home = f"http://127.0.0.1:{access.port}"

        def opened(wanted: str) -> float:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(home + path)
            taken = float(page.wait_for_function(wanted, timeout=60_000).json_value())
            page.close()
            return taken

        opened(CHART)
        show("first rows", lambda: opened(ROWS), repeats, aim_ms=600)
        show("first chart", lambda: opened(CHART), repeats, aim_ms=700)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(home + path)
        page.wait_for_function(CHART)
        pick = "#table tbody input[data-pick]"
        show("a run ticked, until the chart is drawn", lambda: click(page, pick, "svg"), repeats, aim_ms=200)
        show("sorted by a score", lambda: click(page, "thead th:nth-child(4) button", "tr"), repeats)
        texts = iter([f"lr = 1e-5 and name~{digit}" for digit in range(9)] + ["x"])
        show("a filter, its 200 ms of waiting included", lambda: click(page, "#where", "tr", next(texts)), repeats)
        page.goto(home + path)
        page.wait_for_function(CHART)
        show("replicates grouped or not", lambda: click(page, "#group", "tr"), repeats)
        page.close()


def click(page: Page, control: str, wanted: str, text: str | None = None) -> float:
    """Milliseconds from a click on a control, or a text put into it, until elements that are wanted are there."""
    asked = {"control": control, "wanted": wanted} | ({} if text is None else {"text": text})
    taken = float(page.evaluate(AFTER_CLICK, asked))
    # What else the click changed is drawn before the next one.
    page.wait_for_timeout(300)
    return taken


def show(what: str, measured: Callable[[], float], repeats: int, aim_ms: float | None = None) -> None:
    """Print the median of several measurements, and the longest."""
    taken = [measured() for _ in range(repeats)]
    aim = f" (aim: under {aim_ms:.0f})" if aim_ms else ""
    print(f"  {what}: {statistics.median(taken):.0f} ms, at most {max(taken):.0f}{aim}", flush=True)


if __name__ == "__main__":
    main()
