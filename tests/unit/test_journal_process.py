"""Which process wrote a journal, told so that a reader can see whether it is still the same one."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from trackbridge.journal.process import boot_id, started_s

on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells by /proc")


@on_linux
def test_the_start_of_a_process_is_told_in_seconds_since_the_epoch() -> None:
    before_s = time.time()
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        started = started_s(process.pid)
        assert started is not None
        # The kernel tells the boot in whole seconds.
        assert before_s - 1.5 <= started <= time.time() + 1.5
        assert started_s(process.pid) == pytest.approx(started, abs=0.01)
        assert started > (started_s(os.getpid()) or 0.0)
    finally:
        process.communicate(b"\n")


@on_linux
def test_a_process_name_with_spaces_and_parentheses_does_not_hide_its_start() -> None:
    script = "open('/proc/self/comm', 'w').write('a) S 1 (b'); print(flush=True); input()"
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        assert started_s(process.pid) == pytest.approx(time.time(), abs=30)
    finally:
        process.communicate(b"\n")


@on_linux
def test_a_process_that_is_gone_has_no_start() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert started_s(process.pid) is None
    assert started_s(2**31) is None


@on_linux
def test_the_boot_has_one_id() -> None:
    assert boot_id() == boot_id() != None  # noqa: E711 - all three at once
