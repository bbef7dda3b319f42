"""In this folder a test that is skipped has failed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SKIPPED = """
import pytest

@pytest.mark.skip(reason="no SDK")
def test_marked(): ...

def test_inside(): pytest.skip("no SDK")
"""


@pytest.mark.parametrize(
    ("tests", "told"), [(SKIPPED, "1 failed, 1 error"), ("import pytest\npytest.importorskip('no_sdk')", "1 error")]
)
def test_a_skip_is_a_failure(tmp_path: Path, tests: str, told: str) -> None:
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "test_adapter.py").write_text(tests)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]

    done = subprocess.run(command, capture_output=True, text=True)

    assert done.returncode != 0
    assert told in done.stdout
