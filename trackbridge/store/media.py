"""The files of pictures, tables, histograms and texts that a run logged."""

from __future__ import annotations

from pathlib import Path

from trackbridge.errors import NotFoundError
from trackbridge.store.records import Media, RunRecord


def read_media(run: RunRecord, media: Media) -> bytes:
    """The bytes of a media file.

    A journal is data from somewhere else: a path in it that leads out of the run's folder is not followed.

    Raises:
        NotFoundError: the file is gone, or not in the run's folder.
    """
    folder = Path(run.path).resolve()
    file = (folder / media.path).resolve()
    if not file.is_relative_to(folder):
        raise NotFoundError(f"{media.path!r} of {media.name!r} lies outside the folder of its run")
    try:
        return file.read_bytes()
    except OSError as error:
        raise NotFoundError(f"{media.path!r} of {media.name!r} cannot be read: {error.strerror or error}") from error
