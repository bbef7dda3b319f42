"""The Comet SDK, loaded so that it keeps to itself, and its errors in our words."""

from __future__ import annotations

import logging
import re
import sys
import warnings
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

TESTED_VERSIONS = ("3.49.12", "3.58.8")
WAY_OUT = "set COMET_API_KEY to a key of yours, or run `comet login`, then deliver again"
_QUIET = logging.NullHandler()


def load_sdk() -> None:
    """Import comet_ml without what it does to a process: hooks, patches of other libraries, logs on the terminal.

    Raises:
        MissingDependencyError: it is not installed.
        DeliveryRefused: it is too old.
    """
    sdk_log, exception_hook = logging.getLogger("comet_ml"), sys.excepthook
    if _QUIET in sdk_log.handlers:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import comet_ml
    except ImportError as error:
        raise MissingDependencyError.for_extra("the comet adapter", "comet_ml", "comet") from error
    sys.excepthook = exception_hook
    sys.meta_path[:] = [finder for finder in sys.meta_path if not type(finder).__module__.startswith("comet_ml")]
    # Its loggers print to the terminal and may report to the vendor; now they go where everything here goes.
    sdk_log.handlers[:] = [_QUIET]
    sdk_log.propagate = True
    sdk_log.setLevel(logging.WARNING)
    warn_if_untested("comet_ml", comet_ml.__version__, TESTED_VERSIONS)
    _leave_retries_to_the_relay(comet_ml.__version__)


def _leave_retries_to_the_relay(version: str) -> None:
    try:
        from comet_ml.config.config_map import CONFIG_MAP
    except ImportError as error:
        wanted = f"pip install 'comet_ml>={TESTED_VERSIONS[0]}'"
        raise DeliveryRefused(f"comet_ml {version} cannot be used ({error}): {wanted}") from error
    # Without this an outage at the start takes the SDK 21 seconds to tell. COMET_GET_OR_ADD_EXPERIMENT_* still count.
    for reason in ("connect", "read", "status", "total"):
        CONFIG_MAP[f"comet.get_or_add_experiment.retry_{reason}"]["default"] = 0


@contextmanager
def told_as_delivery_errors() -> Iterator[None]:
    """Whatever the SDK raises inside becomes one of our errors."""
    try:
        yield
    except DeliveryError:
        raise
    except Exception as error:  # noqa: BLE001 - told to the relay, in our words
        # Some of the SDK's errors hold the key they were refused with, and a traceback would show it.
        raise delivery_error(error) from (None if _holds_key(error) else error)


def delivery_error(error: Exception) -> DeliveryError:
    """What an error of the SDK, or of the HTTP client below it, means for a delivery."""
    import requests
    from comet_ml import exceptions

    if isinstance(error, exceptions.CometRestApiException):
        return _answer_error(error)
    if isinstance(error, (exceptions.InvalidAPIKey, exceptions.AuthenticationError)):
        return DeliveryRefused(f"Comet does not know the API key: {WAY_OUT}")
    if isinstance(error, exceptions.InvalidWorkspace):
        return DeliveryRefused(f"Comet has no workspace {error.workspace!r}: set COMET_WORKSPACE to one of yours")
    if isinstance(error, exceptions.SDKVersionIsTooOldException):
        return DeliveryRefused(f"Comet refuses this SDK as too old ({error}): pip install --upgrade comet_ml")
    if isinstance(error, exceptions.CometException):
        return DeliveryRefused(f"Comet refuses the run ({type(error).__name__}): {_text_of(error)}")
    if isinstance(error, requests.exceptions.InvalidHeader):
        return DeliveryRefused(f"the Comet API key holds a character that cannot be sent: {WAY_OUT}")
    if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema)):
        return DeliveryRefused(f"COMET_URL_OVERRIDE is no address of a Comet server: {error}")
    if isinstance(error, (requests.exceptions.RequestException, OSError)):
        return TransientDeliveryError(f"Comet cannot be reached: {error}")
    return AdapterBug(f"the Comet SDK failed in a way nobody foresaw: {type(error).__name__}: {error}")


def is_limit(error: Exception) -> bool:
    """True for the answer that one file is too large, or that the experiment is full of its kind."""
    from comet_ml import exceptions

    if not isinstance(error, exceptions.CometRestApiException):
        return False
    limits = {code for name, code in vars(exceptions).items() if name.endswith("_LIMIT_REACHED")}
    return error.response.status_code == 413 or error.sdk_error_code in limits


def _answer_error(error: Exception) -> DeliveryError:
    from comet_ml import exceptions

    assert isinstance(error, exceptions.CometRestApiException)
    status, message = error.response.status_code, error.safe_msg or error.response.reason
    told = f"Comet answered {status} ({message})"
    if status in (401, 403) or error.sdk_error_code == exceptions.API_KEY_NOT_REGISTERED:
        return DeliveryRefused(f"{told}: {WAY_OUT}")
    if status in (408, 425, 429) or status >= 500:
        wish = error.response.headers.get("Retry-After", "")
        return TransientDeliveryError(told, retry_after_s=float(wish) if re.fullmatch(r"\d+(\.\d+)?", wish) else None)
    return DeliveryRefused(f"{told} to {error.method} {error.response.url}")


def _text_of(error: Exception) -> str:
    try:
        return str(error) or str(getattr(error, "log_message", ""))
    except TypeError:
        # Some of the SDK's errors have a __str__ that fails, such as AnonymousModeException in 3.58.
        return "it says no more"


def _holds_key(error: Exception) -> bool:
    import requests
    from comet_ml import exceptions

    return isinstance(error, (exceptions.InvalidAPIKey, exceptions.Unauthorized, requests.exceptions.InvalidHeader))
