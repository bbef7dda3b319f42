"""Roots for the page to show, its server, and what every page must not do: ask another machine, or complain."""

from __future__ import annotations

import math
import random
import re
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import parse_qsl, quote_plus, urlsplit

import trackbridge as tb
from trackbridge.events.models import ConfigLogged, RunFinished, RunStarted, SeedsLogged
from trackbridge.testing.journals import ToldJournal
from trackbridge.web.guard import Access

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open: TypeAlias = Callable[..., "Page"]

# Without these Chromium looks for its maker's servers at every start; a test machine may have no sandbox to offer.
CHROMIUM_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
# Charts out of sight wait until they are scrolled to.
IN_SIGHT_IS_DRAWN = """() => [...document.querySelectorAll(".chart")].every((chart) => {
  const { top, bottom, height } = chart.getBoundingClientRect();
  return !height || top > innerHeight || bottom < 0 || chart.getAttribute("aria-busy") === "false";
})"""
HOSTILE = '<img src=x onerror="window.owned=1"><script>window.owned=2</script><b>\x1b[2J\u202e../../etc/passwd'
# The name of a metric may be anything but control characters; a comma would part two names of an address.
METRIC = "<img src=x onerror='window.owned=1'>, 100%2C\u202e"


def told_run(
    root: Path, name: str, *, number: int = 0, lr: float = 2e-5, layers: int = 0, seed: int = 0, n_steps: int = 40,
    every: int = 10, group: str = "study", status: Any = "finished", width: int = 0,
) -> str:  # fmt: skip
    """A run told straight into a journal: losses at every step, a score every few, its level set by the config."""
    random_ = random.Random(f"{lr}{layers}{seed}")
    journal = ToldJournal(f"writer {name} {number}", run=f"run {name} {number}", started_s=float(number))
    journal.tell(RunStarted, name=name, project="cola", group=group)
    extra = {f"key_{index}": index for index in range(width)}
    journal.tell(
        ConfigLogged, scope="script", config={"lr": lr, "reinit_layers": layers, "optimizer": "adamw", **extra}
    )
    journal.tell(SeedsLogged, init=1, data=2, dropout=seed)
    level = 0.4 + 0.08 * layers - abs(math.log10(lr / 2e-5)) * 0.1 + random_.gauss(0, 0.02)
    for step in range(1, n_steps + 1):
        metrics = {"train/loss": 2 / (1 + step / 8) + random_.gauss(0, 0.05) + 0.3}
        if step % every == 0:
            metrics["eval/mcc"] = level * (1 - math.exp(-3 * step / n_steps)) + random_.gauss(0, 0.006)
        journal.log(step, metrics, epoch=step / 20)
    if status:
        journal.tell(RunFinished, status=status)
    journal.write(root, "cola")
    return journal.run_id


def told_study(root: Path, *, n_seeds: int = 4, n_steps: int = 40) -> list[str]:
    """Two learning rates with 0 and 2 layers re-initialised, some seeds each; the runs' ids, the oldest first."""
    variants = [(lr, layers) for lr in (2e-5, 1e-4) for layers in (0, 2)]
    told = list(product(variants, range(n_seeds)))
    return [
        told_run(root, f"lr{lr:g}-re{layers}-s{seed}", number=at, lr=lr, layers=layers, seed=seed, n_steps=n_steps)
        for at, ((lr, layers), seed) in enumerate(told)
    ]


def full_run(root: Path, name: str = "with everything") -> str:
    """A run with pictures, tables, histograms, texts, checkpoints and an error."""
    checkpoint = root.parent / "checkpoint-20"
    checkpoint.mkdir(exist_ok=True)
    (checkpoint / "model.bin").write_bytes(b"weights")
    run = tb.start_run("cola", name=name, root=root, config={"lr": 1e-5, "tokenizer": {"do_lower_case": True}})
    run.log_seeds(tb.Seeds(init=1, data=2, dropout=3))
    for step in (10, 20, 30):
        right = 40 + step
        rows = [["acceptable", right, 80 - right], ["unacceptable", 30 - step // 2, 50 + step]]
        matrix = tb.Table(["truth", "acceptable", "unacceptable"], rows, caption=f"confusion at step {step}")
        run.log({"train/loss": 3 / step, "eval/mcc": step / 60, "eval/confusion": matrix}, step=step)
        texts = tb.Table(
            ["sentence", "label", "score"], [["The cat sat.", "acceptable", 0.97], ["Cat the sat.", "not", 0.12]]
        )
        run.log({"eval/predictions": texts, "weights": tb.Histogram([math.sin(i) for i in range(500)])}, step=step)
        picture = tb.Image([[(x * y % 255) / 255 for x in range(64)] for y in range(48)], caption="attention")
        run.log({"attention": picture, "sample": tb.Text(f"A sentence at step {step}.")}, step=step)
    run.log_checkpoint(checkpoint, step=20, metrics={"eval/mcc": 0.33})
    run.log_summary({"judged_by": "eval/mcc", "best": 0.5})
    run.finish("failed")
    return run.run_id


def hostile_run(root: Path) -> str:
    """A run in which every text that can be told is hostile; its id."""
    name = HOSTILE
    run = tb.start_run(
        "cola", name=name, root=root, config={name: name, "huge": "y" * 200_000, "lr": 2e-5}, tags=[name], notes=name
    )
    rows = [[name, 1], ["z" * 50_000, 2]]
    run.log({f"eval/{METRIC}": tb.Table([name, "n"], rows, caption=name)}, step=1)
    run.log({"text": tb.Text(name * 1000, caption=name), "picture": tb.Image([[0.0, 1.0]], caption=name)}, step=1)
    run.log({"hist": tb.Histogram([1.0, 2.0, 3.0], caption=name)}, step=1)
    for step in (1, 2):
        run.log({f"eval/{METRIC}": step / 4}, step=step)
    run.finish("failed", error=name)
    return run.run_id


def is_answering(access: Access) -> bool:
    """True while something listens there."""
    with socket.socket() as asking:
        return asking.connect_ex((access.host, access.port)) == 0


def broken_run(root: Path) -> str:
    """A run that printed something and ended with an exception."""
    run = tb.start_run("cola", name="divides by zero", root=root)
    with suppress(ZeroDivisionError), run:
        run.log({"train/loss": 0.5}, step=1)
        print("about to divide")
        run.log({"train/loss": 1 / 0}, step=2)
    return run.run_id


@dataclass
class Watched:
    """What a page did besides showing itself."""

    complaints: list[str] = field(default_factory=list)
    asked_elsewhere: list[str] = field(default_factory=list)


def watch(page: Page, home: str) -> Watched:
    """Notes every message on the page's console, every error, and every request to another place."""
    seen = Watched()
    page.on(
        "console",
        lambda message: seen.complaints.append(message.text) if message.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on(
        "request", lambda request: None if request.url.startswith(home) else seen.asked_elsewhere.append(request.url)
    )
    return seen


def settle(page: Page) -> None:
    """Waits until the page has what it asked for."""
    from playwright.sync_api import expect

    if page.locator("#table").count():
        expect(page.locator("#table[aria-busy=false]")).to_have_count(1)
    page.wait_for_function(IN_SIGHT_IS_DRAWN)
    expect(page.locator("[aria-busy=true]")).to_have_count(0)


def names(page: Page) -> Sequence[str]:
    """The names of the runs in the table, from the top."""
    return page.locator("#table tbody th.name a").all_inner_texts()


def parameter(page: Page, name: str) -> str:
    """A parameter of the page's address; empty where it has none."""
    return dict(parse_qsl(urlsplit(page.url).query)).get(name, "")


def re_parameter(name: str, value: str) -> re.Pattern[str]:
    """Matches an address that has this parameter."""
    return re.compile(f"[?&]{name}={re.escape(quote_plus(value))}(&|$)")
