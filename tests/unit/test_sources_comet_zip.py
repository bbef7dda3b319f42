"""Archives read without unpacking: whole, torn at any byte, changed, and made by other writers of zip."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from trackbridge.errors import SourceRefused
from trackbridge.sources.comet_zip import zip_holds, zip_members

CONTENTS = {"first": bytes(range(256)) * 300, "empty": b"", "messages.json": b'{"type": "log_other"}\n' * 5000}


@pytest.fixture(params=[zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    with zipfile.ZipFile(tmp_path / "run.zip", "w", request.param) as made:
        for name, content in CONTENTS.items():
            made.writestr(name, content)
    return tmp_path / "run.zip"


def read(path: Path, name: str) -> tuple[bytes, str]:
    """What can be read of a member, and the error behind it."""
    found = b""
    with zip_members(path)[name].open() as file:
        try:
            while block := file.read(1000):
                found += block
        except OSError as error:
            return found, str(error)
    return found, ""


def test_members_read_as_they_were_written(archive: Path) -> None:
    assert {name: read(archive, name) for name in zip_members(archive)} == {
        name: (content, "") for name, content in CONTENTS.items()
    }


def test_a_torn_archive_gives_what_is_there_and_says_that_it_ends(archive: Path) -> None:
    content = archive.read_bytes()
    n_partial = 0

    for size in range(0, len(content), len(content) // 60):
        archive.write_bytes(content[:size])
        for name in zip_members(archive):
            found, told = read(archive, name)
            assert CONTENTS[name].startswith(found)
            assert told if len(found) < len(CONTENTS[name]) else not told
            n_partial += 0 < len(found) < len(CONTENTS[name])

    assert n_partial


def test_changed_bytes_are_told_behind_what_was_read(archive: Path) -> None:
    content = bytearray(archive.read_bytes())
    content[content.index(b"first") + 20] ^= 1
    archive.write_bytes(content)

    assert read(archive, "first")[1]
    assert read(archive, "messages.json") == (CONTENTS["messages.json"], "")


def test_sizes_that_stand_behind_a_member_are_found(tmp_path: Path) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("messages.json", CONTENTS["messages.json"])
    path = tmp_path / "piped.zip"
    path.write_bytes(pipe.getvalue())

    assert read(path, "messages.json") == (CONTENTS["messages.json"], "")
    path.write_bytes(pipe.getvalue()[:-60])
    assert zip_holds(path, "messages.json")


def test_of_two_members_of_one_name_the_last_counts(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "run.zip", "w") as made:
        made.writestr("messages.json", b"old")
        with pytest.warns(UserWarning, match="Duplicate name"):
            made.writestr("messages.json", b"new")

    assert read(tmp_path / "run.zip", "messages.json") == (b"new", "")


def test_a_way_of_packing_that_comet_never_uses_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "run.zip", "w", zipfile.ZIP_LZMA) as made:
        made.writestr("messages.json", b"{}")

    with pytest.raises(SourceRefused, match="method 14"):
        zip_members(tmp_path / "run.zip")
