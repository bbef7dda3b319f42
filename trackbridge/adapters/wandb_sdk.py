"""The W&B SDK: started quietly, for one run at a time, and its errors in our words."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from trackbridge.adapters.base import RunHeader
from trackbridge.adapters.shaping import version_numbers, warn_if_untested
from trackbridge.errors import (
    AdapterBug,
    DeliveryError,
    DeliveryRefused,
    MissingDependencyError,
    TransientDeliveryError,
)
from trackbridge.settings import vendor_variable

TESTED_VERSIONS = ("0.30.0", "0.31.0")
# Older ones keep the rows of an offline run in memory until its end, so nothing could be confirmed before.
_FIRST_VERSION = {"online": TESTED_VERSIONS[0], "offline": "0.31.0"}
WAY_OUT = "set WANDB_API_KEY to a key of yours, or run `wandb login`, then deliver again"
FINISH_TIMEOUT_S = 600.0
INIT_TIMEOUT_S = 30.0
STEP, EPOCH, SYSTEM_STEP = "trainer/step", "trainer/epoch", "system/seconds"
OURS = "trackbridge"
MAX_TAG = 64

_SERVICE_GONE = {"HandleAbandonedError", "MailboxClosedError", "WandbServiceConnectionError", "AlreadyJoinedError"}
_STATUS = re.compile(r"(?:error|HTTP|upload:) (\d{3})\b")
_PASSES = re.compile(
    r"giving up after|while retrying|timed? ?out|deadline|connection (refused|reset)|did not respond|EOF|no such host",
    re.IGNORECASE,
)


def load_sdk(mode: Literal["online", "offline"]) -> None:
    """Import the SDK and keep it from writing on the terminal.

    Raises:
        MissingDependencyError: it is not installed.
        DeliveryRefused: it is too old.
    """
    try:
        import wandb
    except ImportError as error:
        raise MissingDependencyError.for_extra("the wandb adapter", "wandb", "wandb") from error
    first = _FIRST_VERSION[mode]
    if version_numbers(wandb.__version__) < version_numbers(first):
        raise DeliveryRefused(f"wandb {wandb.__version__} is too old to deliver {mode}: pip install 'wandb>={first}'")
    _set_up()
    warn_if_untested("wandb", wandb.__version__, TESTED_VERSIONS)


def check_key() -> None:
    """Make sure that there is an API key, without asking the person at the terminal for one.

    Raises:
        DeliveryRefused: there is none, or it has no valid form.
    """
    import wandb

    with sdk_calls():
        if not wandb.login(prompt=False, verify=False):
            raise DeliveryRefused(f"there is no W&B API key: {WAY_OUT}")


def start(header: RunHeader, folder: Path, mode: Literal["online", "offline"], *, settings: Mapping[str, Any]) -> Any:
    """A run of the SDK with this header, taken up where the server has it; `settings` go to `wandb.Settings`.

    Raises:
        DeliveryError: the server cannot be reached, or refuses.
    """
    import wandb

    folder.mkdir(parents=True, exist_ok=True)
    with sdk_calls():
        try:
            run = wandb.init(
                mode=mode,
                dir=folder,
                id=header.run_id,
                project=header.project,
                group=header.group,
                resume="allow",
                settings=wandb.Settings(**_QUIET, **settings),
            )
        except BaseException:
            reset()
            raise
    if OURS not in run.config:
        # Once only: what a person renames or tags at W&B afterwards stays.
        run.name, run.notes, run.tags = header.name, header.notes or "", fitting_tags(header.tags)
        started = {"started_at": _iso_time(header.started_ns)} if header.started_ns else {}
        run.config.update({OURS: {"run_id": header.run_id, **started}})
    run.define_metric(STEP)
    run.define_metric(SYSTEM_STEP)
    # In every session, because the last one's definitions replace the others. Without `step_sync`, which would put
    # a step of one axis into rows of the other: of two patterns that match, the SDK takes now one and now the other.
    run.define_metric("system/*", step_metric=SYSTEM_STEP, step_sync=False)
    run.define_metric("*", step_metric=STEP, step_sync=False)
    return run


def reset() -> None:
    """End the SDK's service: after a failed start it keeps the run's id in use, and no public call frees it.

    Other runs of this process break off too, and are taken up again by their relays.
    """
    import wandb

    try:
        wandb.teardown(exit_code=0)
    except SystemExit:
        pass  # the SDK ends the program when its service ended with an error
    _set_up()


@contextmanager
def sdk_calls() -> Iterator[None]:
    """Whatever the SDK raises inside becomes one of our errors, and what it hooks into the process is taken out."""
    # The SDK replaces both and never puts them back; the statuses it wants from them come from the journal here.
    hooks = sys.exit, sys.excepthook
    try:
        yield
    except DeliveryError:
        raise
    except Exception as error:
        raise delivery_error(error) from error
    finally:
        sys.exit, sys.excepthook = hooks


def delivery_error(error: Exception) -> DeliveryError:
    """What an error of the SDK means for a delivery. The private ones are known by name: they move between versions."""
    import wandb

    name = type(error).__name__
    message = str(error) or name
    if isinstance(error, (wandb.errors.AuthenticationError, wandb.errors.UsageError)):
        return DeliveryRefused(f"W&B does not take the API key ({message}): {WAY_OUT}")
    if isinstance(error, wandb.errors.WandbCoreNotAvailableError):
        return DeliveryRefused(f"the W&B SDK is incomplete ({message}): pip install --force-reinstall wandb")
    if isinstance(error, OSError) or name in _SERVICE_GONE or "is in use" in message:
        return TransientDeliveryError(f"the W&B service of this process is gone ({name}: {message})")
    if isinstance(error, wandb.errors.Error) or name == "WandbApiFailedError":
        return refusal_or_outage(message)
    return AdapterBug(f"the W&B SDK failed in a way nobody foresaw: {name}: {message}")


def refusal_or_outage(message: str) -> DeliveryError:
    """The error that a message of the SDK's service stands for: it has texts, no types."""
    found = _STATUS.search(message)
    status = int(found[1]) if found else None
    if status in (401, 403):
        return DeliveryRefused(f"W&B refuses the API key ({message}): {WAY_OUT}")
    if status in (408, 425, 429) or (status or 0) >= 500 or (status is None and _PASSES.search(message)):
        return TransientDeliveryError(f"W&B cannot be reached: {message}")
    return DeliveryRefused(f"W&B refuses the run: {message}. Mend it, check WANDB_ENTITY, then deliver again")


def fitting_tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    """The tags, none longer than W&B takes, none twice."""
    return tuple(dict.fromkeys(tag[:MAX_TAG] for tag in tags if tag))


_QUIET = {
    "console": "off",
    "disable_code": True,
    "disable_git": True,
    "disable_job_creation": True,
    "finish_timeout": FINISH_TIMEOUT_S,
    "init_timeout": INIT_TIMEOUT_S,
    "reinit": "create_new",
    "save_code": False,
    "silent": True,
    "symlink": False,
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    # The relay knows when to try again; this only bridges a hiccup.
    "x_graphql_retry_max": 1,
    "x_graphql_retry_wait_max_seconds": 1.0,
    "x_graphql_retry_wait_min_seconds": 0.2,
    "x_save_requirements": False,
}


def _set_up() -> None:
    import wandb

    # A training that uses W&B itself leaves this variable to its children; its service would die with it.
    with vendor_variable("WANDB_SERVICE", ""), sdk_calls():
        shared = wandb.setup(settings=wandb.Settings(mode="online", silent=True)).settings
    # Variables such as WANDB_TAGS are meant for the user's own runs; these here have names, tags and notes already.
    shared.run_name = shared.run_notes = shared.run_tags = shared.run_group = shared.run_job_type = None
    logging.getLogger("wandb").setLevel(logging.WARNING)


def _iso_time(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, timezone.utc).isoformat()
