"""Which file system holds a folder, by what the kernel says of its mounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from trackbridge.store import filesystem
from trackbridge.store.filesystem import filesystem_of, lies_on_network

MOUNTS = r"""22 1 252:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:44 / /home rw,relatime shared:7 - nfs4 server:/home rw,vers=4.2
31 30 0:45 / /home/scratch rw - lustre mds:/scratch rw
32 22 0:46 / /mnt/my\040disk rw - cifs //server/share rw
33 22 0:47 / /mnt/covered rw - nfs server:/old rw
34 22 0:48 / /mnt/covered rw - xfs /dev/vdb rw
35 22 0:49 / /mnt/été rw - fuse.sshfs me@there: rw
a line that is no mount
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/runs", "ext4"),
        ("/home/me/runs", "nfs4"),
        ("/homeless/runs", "ext4"),
        ("/home/scratch", "lustre"),
        ("/mnt/my disk/runs", "cifs"),
        ("/mnt/covered/runs", "xfs"),
        ("/mnt/été/runs", "fuse.sshfs"),
    ],
)
def test_innermost_and_latest_mount_names_the_file_system(path: str, kind: str) -> None:
    assert filesystem_of(Path(path), MOUNTS) == kind


def test_network_and_fuse_file_systems_share_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS, encoding="utf-8")
    monkeypatch.setattr(filesystem, "_MOUNTS", mounts)

    shared = [lies_on_network(Path(folder)) for folder in ("/var", "/home/me", "/home/scratch", "/mnt/été")]
    assert shared == [False, True, True, True]


def test_system_that_does_not_tell_its_mounts_counts_as_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystem, "_MOUNTS", tmp_path / "missing")

    assert not lies_on_network(tmp_path)
