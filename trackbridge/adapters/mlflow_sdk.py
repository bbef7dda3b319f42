"""The MLflow SDK, loaded so that it keeps to itself, and its errors in our words."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from trackbridge.adapters.shaping import warn_if_untested
from trackbridge.errors import (
    AdapterBug,
    DeliveryError,
    DeliveryRefused,
    MissingDependencyError,
    TransientDeliveryError,
)
from trackbridge.events.redact import mask_text

TESTED_VERSIONS = ("3.1.4", "3.17.2")
WAY_OUT = (
    "set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, to what the server expects,"
    " then deliver again"
)

# Timeout, conflict of two writers, too early, too many requests, and MLflow's "cancelled".
_PASSING = (408, 409, 425, 429, 499)


def load_sdk() -> None:
    """Import mlflow without its words on the terminal, its reports to its makers and its own retries.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import mlflow
        from mlflow import environment_variables as settings
    except ImportError as error:
        raise MissingDependencyError.for_extra("the mlflow adapter", "mlflow", "mlflow") from error
    warn_if_untested("mlflow", mlflow.__version__, TESTED_VERSIONS)
    # The relay knows when to try again. The SDK repeats requests whose answer was lost, which can make two runs of one.
    settings.MLFLOW_HTTP_REQUEST_MAX_RETRIES.set(0)
    settings.MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT.set(True)
    settings.MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.set(False)
    _stop_telemetry()
    for name in ("mlflow", "alembic"):
        log = logging.getLogger(name)
        log.handlers[:], log.propagate = [logging.NullHandler()], True
        log.setLevel(logging.WARNING)


def _stop_telemetry() -> None:
    # A relay's calls are no sign of how a person uses MLflow, and nobody asked that person.
    try:
        from mlflow.environment_variables import MLFLOW_DISABLE_TELEMETRY
        from mlflow.telemetry import set_telemetry_client
    except ImportError:
        return  # before mlflow 3.2 there was none
    MLFLOW_DISABLE_TELEMETRY.set(True)
    set_telemetry_client()


@contextmanager
def told_as_delivery_errors() -> Iterator[None]:
    """Whatever the SDK raises inside becomes one of our errors."""
    try:
        yield
    except (DeliveryError, MissingDependencyError):
        raise
    except Exception as error:
        raise delivery_error(error) from error


def delivery_error(error: Exception) -> DeliveryError | MissingDependencyError:
    """What an error of the SDK, or of the libraries below it, means for a delivery."""
    from mlflow.exceptions import InvalidUrlException

    told = mask_text(str(error))
    if isinstance(error, ImportError):
        return MissingDependencyError.for_extra("mlflow:offline", str(error.name), "mlflow")
    if isinstance(error, InvalidUrlException):
        return DeliveryRefused(f"MLFLOW_TRACKING_URI is no address of an MLflow server: {told}")
    status = answered_status(error)
    if status in (401, 403):
        return DeliveryRefused(f"MLflow refuses the key, {status} ({told}): {WAY_OUT}")
    if status is not None and 400 <= status < 500 and status not in _PASSING:
        return DeliveryRefused(f"MLflow refuses the run, {status}: {told}")
    if status is not None or isinstance(error, OSError) or type(error).__module__.startswith("sqlalchemy"):
        return TransientDeliveryError(f"MLflow cannot be reached: {told}")
    return AdapterBug(f"the MLflow SDK failed in a way nobody foresaw: {type(error).__name__}: {told}")


def answered_status(error: Exception) -> int | None:
    """The HTTP status that an error stands for; 500 where the SDK does not tell an outage from a server's bug."""
    import requests
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        return int(error.get_http_status_code())
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return error.response.status_code
    return None


def error_code(error: Exception) -> str:
    """MLflow's word for what happened, such as `RESOURCE_DOES_NOT_EXIST`; empty for errors of other libraries."""
    return str(getattr(error, "error_code", ""))
