"""One relay per run and target, whatever became of the one before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from trackbridge.journal import lock as lock_module
from trackbridge.journal.lock import held, local_stand_in

HOLDER = """
import subprocess, sys
from pathlib import Path
from trackbridge.journal.lock import held
with held(Path(sys.argv[1])) as is_ours:
    # What an SDK starts lives on after its relay was killed, and must not hold the lock for it.
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    print(is_ours, child.pid, flush=True)
    sys.stdin.read()
"""


def test_only_one_holder_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "wandb.lock"
    with held(path) as first, held(path) as second:
        pass
    with held(path) as third:
        pass

    assert (first, second, third) == (True, False, True)


def test_a_killed_holder_leaves_no_lock_behind_though_its_child_lives(tmp_path: Path) -> None:
    path = tmp_path / "wandb.lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        told, child = holder.stdout.readline().split()
        with held(path) as while_it_lives:
            pass
        holder.send_signal(signal.SIGSTOP)
        with held(path) as while_it_hangs:
            pass
        holder.kill()
        holder.wait()
        with held(path) as after_its_death:
            os.kill(int(child), signal.SIGKILL)

    assert (told, while_it_lives, while_it_hangs, after_its_death) == ("True", False, False, True)


def test_a_file_system_without_locks_is_guarded_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "wandb.lock"
    real = lock_module._try_lock

    def no_locks_here(fd: int) -> bool:
        if os.path.samestat(os.fstat(fd), path.stat()):
            raise OSError(38, "Function not implemented")
        return real(fd)

    monkeypatch.setattr(lock_module, "_try_lock", no_locks_here)
    try:
        with held(path) as first, held(path) as second:
            pass
    finally:
        local_stand_in(path).unlink()

    assert (first, second) == (True, False)
    assert "cannot be locked (Function not implemented)" in caplog.text


def test_the_lock_of_a_deleted_run_does_not_bring_it_back(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), held(tmp_path / "gone" / "delivery" / "wandb.lock"):
        pass

    assert not (tmp_path / "gone").exists()
