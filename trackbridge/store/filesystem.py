"""
Whether a folder lies on a network file system, where memory cannot be shared through a file.

SQLite's WAL mode maps a file into memory. Across hosts that does not work at all (https://sqlite.org/wal.html),
and on NFS, Lustre and WekaFS it has killed processes with SIGBUS (gradio-app/trackio#555).
"""

from __future__ import annotations

import re
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_OCTAL = re.compile(r"\\([0-7]{3})")
_NETWORK_TYPES = frozenset(
    "9p afs beegfs ceph cifs gfs2 glusterfs gpfs lustre ncpfs nfs nfs4 ocfs2 panfs pvfs2 smb3 smbfs wekafs".split()
)


def lies_on_network(folder: Path) -> bool:
    """True on a network or FUSE file system; False where the system does not tell."""
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return False
    kind = filesystem_of(folder.resolve(), mounts)
    return kind in _NETWORK_TYPES or kind.startswith("fuse")


def filesystem_of(path: Path, mounts: str) -> str:
    """The type of the file system that holds a path, by the text of `/proc/self/mountinfo` (see proc(5))."""
    found, depth = "", -1
    for line in mounts.splitlines():
        place, _, source = line.partition(" - ")
        fields = place.split(" ")
        if len(fields) < 5 or not source:
            continue
        # Spaces and the like stand as three octal digits. A later mount on the same point covers the earlier.
        point = Path(_OCTAL.sub(lambda match: chr(int(match[1], 8)), fields[4]))
        if path.is_relative_to(point) and len(point.parts) >= depth:
            found, depth = source.split(" ")[0], len(point.parts)
    return found
