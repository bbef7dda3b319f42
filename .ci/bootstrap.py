"""
Sets everything up in `.venv` and runs one job: `python3 .ci/bootstrap.py demo` or `... test`.

Needs only Python 3.10 or later and a package index, and for the tests of the web page a Chromium, which it installs
where there is none. Safe to run again: what is installed stays.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
ENVIRONMENT = REPOSITORY / ".venv"
EXTRAS = {"demo": "transformers,compare", "test": "all,dev"}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main(arguments: list[str]) -> int:
    """Set up for the job named first, then run it with the remaining arguments; the job's exit code."""
    if not arguments or arguments[0] not in EXTRAS:
        sys.stderr.write("usage: python3 .ci/bootstrap.py demo|test [arguments passed on]\n")
        return 2
    job, *passed_on = arguments
    if not python().exists():
        venv.create(ENVIRONMENT, with_pip=True)
    # torch first and pinned: resolved later, as a dependency, it may come as another build of many gigabytes.
    install("--constraint", "constraints.txt", "torch")
    install("--constraint", "constraints.txt", "--editable", f".[{EXTRAS[job]}]")
    if job == "test":
        provide_browser()
    # One thread per process: two processes of one thread train faster than one of two, and repeat bit for bit.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    return subprocess.call([str(python()), *command(job), *passed_on], cwd=REPOSITORY, env=environment)


def python() -> Path:
    """The environment's interpreter."""
    return ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def install(*arguments: str) -> None:
    """Install quietly, or stop with pip's own words."""
    quiet = ("--quiet", "--disable-pip-version-check")
    subprocess.run([str(python()), "-m", "pip", "install", *quiet, *arguments], cwd=REPOSITORY, check=True)


def provide_browser() -> None:
    """A Chromium for the tests of the web page: the system's, from Debian's packages, or the one of Playwright."""
    if any(map(shutil.which, BROWSERS)):
        return
    if shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        chromium = ["apt-get", "install", "-qq", "--no-install-recommends", "chromium"]
        subprocess.run(chromium, check=True, env=environment, stdout=subprocess.DEVNULL)
    else:
        subprocess.run([str(python()), "-m", "playwright", "install", "chromium"], check=True)


def command(job: str) -> list[str]:
    """The module to run for a job."""
    # Half of the tests wait for processes of their own: two cores are busy with four workers.
    workers = str(max(4, os.cpu_count() or 1))
    return {"demo": ["-m", "trackbridge", "demo"], "test": ["-m", "pytest", "-n", workers]}[job]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
