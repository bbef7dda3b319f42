"""
`Run`: what a training loop holds. Every verb writes one event to the journal and returns.

Misuse raises at once, with the value and the fix. Trouble with the disk never raises unless `strict` is set.
"""

from __future__ import annotations

import hashlib
import math
import traceback as traceback_module
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, get_args

from trackbridge.errors import MisuseError, RunClosedError
from trackbridge.events.models import (
    ArtifactLogged,
    CheckpointSaved,
    ConfigLogged,
    KnownEvent,
    MediaLogged,
    MetricsLogged,
    RunFinished,
    SeedsLogged,
    Status,
    SummaryLogged,
    TagsSet,
)
from trackbridge.events.names import check_metric_name, check_scope
from trackbridge.events.redact import mask_text, mask_value
from trackbridge.events.values import (
    as_json_object,
    as_label,
    as_labels,
    as_scalar,
    as_step,
    as_text,
    clean_text,
    shown,
)
from trackbridge.journal.paths import kept_folder
from trackbridge.journal.sidecar import Sidecar, write_sidecar
from trackbridge.run import files
from trackbridge.run.companion import Companion
from trackbridge.run.console import stop_recording
from trackbridge.run.credentials import credentials
from trackbridge.run.media import Media, as_media
from trackbridge.run.nowhere import Journal, Nowhere
from trackbridge.run.seeds import Seeds

_MAX_TRACEBACK = 20_000


class Run:
    """A run being recorded. Made by `trackbridge.start_run`; use it as a context manager.

    Attributes:
        run_id: 32 hex digits, for ever.
        project, name: the folder of runs it belongs to, and its label.
        path: the run's folder.
        is_recording: False on ranks that do not write, and for the run outside of any run.
        seeds: the seeds logged so far, or None.
    """

    def __init__(self, *, run_id: str, project: str, name: str, path: Path, journal: Journal) -> None:
        self.run_id = run_id
        self.project = project
        self.name = name
        self.path = path
        self.is_recording = not isinstance(journal, Nowhere)
        self.seeds: Seeds | None = None
        self.is_closed = False
        self.companion: Companion | None = None
        self._journal = journal
        self._names: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        """For a spawned worker, which logs too; the run and its relays stay this process's to end."""
        return {**self.__dict__, "companion": None}

    def log(self, metrics: Mapping[str, Any], *, step: int, epoch: float | None = None) -> None:
        """Record scalars and media at a step (optimizer updates completed).

        A value is a number, a numpy or torch value of one element, `tb.Table`, `tb.Image`, `tb.Histogram`,
        `tb.Text`, or a matplotlib, PIL or plotly figure. NaN and infinities are recorded as such.

        Raises:
            MisuseError: a value is a bool, a string, an array; a name is no string; the step no integer.
            RunClosedError: the run has ended.
        """
        # This runs at every step of a training: finite floats under known names go straight to the journal.
        if (
            type(metrics) is dict
            and metrics
            and type(step) is int
            and not step >> 63
            # A float minus itself is 0.0 only when it is finite.
            and (epoch is None or (type(epoch) is float and not epoch - epoch))
            and not self.is_closed
        ):
            known = self._names
            for name, value in metrics.items():
                if type(value) is not float or value - value or name not in known:
                    break
            else:
                self._journal.append_finite(step, metrics, epoch)
                return
        self._log_checked(metrics, as_step(step), None if epoch is None else as_scalar("epoch", epoch))

    def _log_checked(self, metrics: Mapping[str, Any], step: int, epoch: float | None) -> None:
        if not isinstance(metrics, Mapping):
            raise MisuseError(f"log takes a mapping such as {{'train/loss': 0.5}}, not {shown(metrics)}")
        scalars: dict[str, float] = {}
        media: dict[str, Media] = {}
        for name, value in metrics.items():
            if name not in self._names:
                check_metric_name(name)
            if type(value) is float:
                scalars[name] = value
            elif (found := as_media(value)) is None:
                scalars[name] = as_scalar(name, value)
            else:
                media[name] = found
        self._require_open("log")
        if scalars and all(map(math.isfinite, (epoch or 0.0, *scalars.values()))):
            self._journal.append_finite(step, scalars, epoch)
        elif scalars:
            self._journal.append(MetricsLogged, step=step, metrics=scalars, epoch=epoch)
        self._names.update(scalars)
        if media:
            self._log_media(media, step)

    def log_config(self, config: Any, *, scope: str = "script") -> None:
        """Record nested config under a scope: a mapping, dataclass, pydantic model or argparse.Namespace.

        Secrets are masked. Keys logged again under the same scope replace the old values.

        Raises:
            MisuseError: it is none of these, or contains itself; the scope is no plain word.
        """
        copied = mask_value(as_json_object("config", config), secrets=credentials())
        self.append(ConfigLogged, scope=check_scope(scope), config=copied)

    def log_seeds(self, seeds: Seeds) -> None:
        """Record the seeds of the run.

        Raises:
            MisuseError: it is no `tb.Seeds`.
        """
        if not isinstance(seeds, Seeds):
            raise MisuseError(f"log_seeds takes tb.Seeds(init=, data=, dropout=), not {shown(seeds)}")
        self.append(SeedsLogged, init=seeds.init, data=seeds.data, dropout=seeds.dropout, all=seeds.all)
        self.seeds = seeds

    def log_summary(self, values: Mapping[str, Any]) -> None:
        """Record values without a step, such as a final score or a note; later values replace earlier ones.

        Raises:
            MisuseError: it is no mapping.
        """
        if not isinstance(values, Mapping):
            raise MisuseError(f"summary is {shown(values)} ({type(values).__name__}); expected a mapping")
        plain = {name: _number_or_self(value) for name, value in values.items()}
        self.append(SummaryLogged, values=mask_value(as_json_object("summary", plain), secrets=credentials()))

    def log_checkpoint(
        self, path: str | Path, *, step: int, metrics: Mapping[str, Any] | None = None, keep: bool = False
    ) -> None:
        """Record a checkpoint directory and its scores, and put `trackbridge.json` into it for a later resume.

        With `keep=True` the run folder gets a copy of its own under `files/checkpoints/`, which survives when the
        original is rotated away. Where the file system allows, the copy of a folder that has the step in its name
        (`checkpoint-500`) is made of hard links; `trackbridge doctor` tells when it was overwritten through them.

        Raises:
            MisuseError: there is no such directory; a score is no number.
            RunClosedError: the run has ended.
        """
        folder, at = Path(path), as_step(step)
        if not folder.is_dir():
            raise MisuseError(f"checkpoint {str(folder)!r} is no directory: save it first, then log it")
        scores = {check_metric_name(name): as_scalar(name, value) for name, value in (metrics or {}).items()}
        self._require_open("log_checkpoint")
        if not self.is_recording:
            return
        kept, size_bytes = None, None
        try:
            write_sidecar(folder, self._sidecar(at))
            size_bytes = files.size_bytes(folder)
        except OSError as error:
            self._journal.tell(error)
        if keep:
            kept = files.keep_folder(folder, kept_folder(self.path, at))
        self.append(
            CheckpointSaved,
            step=at,
            path=clean_text(str(folder.resolve())),
            metrics=scores,
            size_bytes=size_bytes,
            kept=None if kept is None else kept.relative_to(self.path).as_posix(),
        )
        self._journal.sync()

    def log_artifact(self, path: str | Path, *, type: str = "file", name: str | None = None) -> None:  # noqa: A002 - the field's word
        """Record a file or folder by reference: its place, size and SHA-256. It is read whole, and not copied.

        Raises:
            MisuseError: there is no such file; the type or the name is no text.
        """
        file, kind = Path(path), as_label("artifact type", type)
        if not file.exists():
            raise MisuseError(f"artifact {str(file)!r} does not exist: write it first, then log it")
        label = as_label("artifact name", file.name or str(file) if name is None else name)
        self._require_open("log_artifact")
        try:
            size_bytes, sha256 = files.digest(file)
        except OSError as error:
            self._journal.drop(ArtifactLogged, error)
            return
        where = clean_text(str(file.resolve()))
        self.append(ArtifactLogged, name=label, type=kind, path=where, size_bytes=size_bytes, sha256=sha256)

    def set_tags(self, *tags: str) -> None:
        """Make these the run's tags, instead of those it had.

        Raises:
            MisuseError: a tag is no text.
        """
        self.append(TagsSet, tags=as_labels("tags", tags))

    def finish(self, status: Status = "finished", error: str | None = None) -> None:
        """End the run with a status: `finished`, `failed` or `killed`. Calling it again does nothing.

        Raises:
            MisuseError: another status; an error that is no text.
        """
        if status not in get_args(Status):
            raise MisuseError(f"status {status!r} is not one of {', '.join(get_args(Status))}")
        told = None if error is None else as_text("error", error)
        self._end(status, exit_code=0 if status == "finished" else None, error=told)

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.finish()
        else:
            self.end_by(error)

    def __repr__(self) -> str:
        return f"<Run {self.project}/{self.name} {self.run_id} {'closed' if self.is_closed else 'open'}>"

    def append(self, kind: type[KnownEvent], **fields: Any) -> None:
        """Write one event of any kind: for integrations, not for training code.

        Raises:
            RunClosedError: the run has ended.
        """
        self._require_open(str(kind.__struct_config__.tag))
        self._journal.append(kind, **fields)

    def _log_media(self, media: Mapping[str, Media], step: int) -> None:
        for name, item in media.items() if self.is_recording else ():
            encoded = item.encode()
            sha256 = hashlib.sha256(encoded.content).hexdigest()
            relative = f"files/media/{sha256[:24]}.{encoded.suffix}"
            try:
                files.write_once(self.path / relative, encoded.content)
            except OSError as error:
                self._journal.drop(MediaLogged, error)
                continue
            self.append(
                MediaLogged,
                name=name,
                step=step,
                media=item.media,
                path=relative,
                size_bytes=len(encoded.content),
                sha256=sha256,
                caption=item.caption,
            )

    def _sidecar(self, step: int) -> Sidecar:
        root = clean_text(str(self.path.resolve().parent.parent))
        return Sidecar(run_id=self.run_id, project=self.project, name=self.name, step=step, root=root)

    def end_by(self, error: BaseException) -> None:
        """End the run with the status an exception stands for; nothing happens when it has ended."""
        if isinstance(error, KeyboardInterrupt):
            self._end("killed", exit_code=130, error="KeyboardInterrupt (Ctrl-C)")
        elif isinstance(error, SystemExit) and error.code in (None, 0):
            self._end("finished", exit_code=0)
        elif isinstance(error, SystemExit):
            code = error.code if isinstance(error.code, int) else 1
            self._end("failed", exit_code=code, error=f"SystemExit: {error.code}")
        else:
            text = "".join(traceback_module.format_exception(type(error), error, error.__traceback__))
            self._end("failed", exit_code=1, error=_described(error), traceback=text)

    def end_killed(self, reason: str, exit_code: int) -> None:
        """End the run from a thread beside the training one, just before the process dies."""
        self._journal.end_for_death(RunFinished, status="killed", exit_code=exit_code, error=reason)

    def _end(
        self, status: Status, *, exit_code: int | None = None, error: str | None = None, traceback: str | None = None
    ) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        stop_recording(self.path)
        self._journal.end(
            RunFinished,
            status=status,
            exit_code=exit_code,
            error=None if error is None else _without_secrets(error)[:_MAX_TRACEBACK],
            traceback=None if traceback is None else _without_secrets(traceback)[-_MAX_TRACEBACK:],
        )
        if self.companion is not None:
            self.companion.see_off()

    def _require_open(self, verb: str) -> None:
        if self.is_closed:
            raise RunClosedError(
                f"run {self.name!r} has ended, so {verb} records nothing: log before finish(), or continue it with"
                f" start_run({self.project!r}, run_id={self.run_id!r})"
            )


def _without_secrets(text: str) -> str:
    # An exception may quote the address or header that a key was sent in.
    return mask_text(clean_text(text), secrets=credentials())


def _described(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - a broken __str__ must not take the place of the error itself
        return f"{type(error).__name__}: <exception str() failed>"


def _number_or_self(value: object) -> object:
    # A one-element tensor in a summary is its number; anything else keeps its own JSON form.
    is_tensor = callable(getattr(value, "item", None)) and not isinstance(value, (bool, int, float, type))
    if not is_tensor:
        return value
    try:
        return as_scalar("summary", value)
    except MisuseError:
        return value
