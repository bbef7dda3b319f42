"""The Neptune SDK, loaded so that it keeps to itself, and its errors and its server's answers in our words."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from trackbridge.adapters.shaping import warn_if_untested
from trackbridge.errors import (
    AdapterBug,
    DeliveryError,
    DeliveryRefused,
    MissingDependencyError,
    TransientDeliveryError,
)

if TYPE_CHECKING:
    from requests import Response

TESTED_VERSIONS = ("1.14.0", "1.14.0")
WAY_OUT = (
    "export NEPTUNE_API_TOKEN=<the token from the user menu of your Neptune server>"
    " and NEPTUNE_PROJECT=<workspace>/<project>, then deliver again"
)
_BANNER = re.compile(r"\x1b\[\d*m|-{2,}\w*-{2,}")


class NotThere(Exception):
    """What was asked for is not at the server; told apart because that is sometimes expected."""


def load_sdk() -> None:
    """Import neptune without its warnings, and let its loggers write where everything here is logged.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import neptune
            import neptune.internal.backends.hosted_neptune_backend
    except ImportError as error:
        raise MissingDependencyError.for_extra("the neptune adapter", "neptune", "neptune") from error
    _quiet(str(neptune.__version__))


@contextmanager
def told_by(address: str) -> Iterator[None]:
    """Whatever the SDK raises inside becomes one of our errors; `address` is the server's."""
    try:
        yield
    except DeliveryError:
        raise
    except NotThere as error:
        anew = "if the run was deleted there, `trackbridge sync` delivers it anew"
        raise DeliveryRefused(f"{error}: {anew}") from error
    except Exception as error:
        raise delivery_error(error, address) from error


def delivery_error(error: Exception, address: str) -> DeliveryError:
    """What an error of the SDK, or of the HTTP client below it, means for a delivery."""
    import requests
    from neptune import exceptions

    connection = (requests.RequestException, exceptions.NeptuneConnectionLostException, exceptions.InternalServerError)
    if isinstance(error, (requests.exceptions.SSLError, exceptions.NeptuneSSLVerificationError)):
        trust = "install its certificate, or export NEPTUNE_ALLOW_SELF_SIGNED_CERTIFICATE=TRUE"
        return DeliveryRefused(f"the certificate of {address} is not trusted: {trust}")
    if isinstance(error, (*connection, exceptions.CannotResolveHostname, OSError)):
        return TransientDeliveryError(f"no answer from {address} ({_cause(error)}){told_of_closing(address)}")
    if type(error).__name__ == "InsecureTransportError":
        return DeliveryRefused(f"{address} is no https address: export OAUTHLIB_INSECURE_TRANSPORT=1 if that is meant")
    sentence = _REFUSALS.get(type(error).__name__)
    if sentence is not None:
        return DeliveryRefused(f"{sentence} ({type(error).__name__} from {address}): {WAY_OUT}")
    if isinstance(error, exceptions.NeptuneException) and not isinstance(error, exceptions.InternalClientError):
        return DeliveryRefused(f"Neptune refuses ({type(error).__name__}): {_told(error)}")
    return AdapterBug(f"the Neptune SDK failed in a way nobody foresaw: {type(error).__name__}: {error}")


def told_of_closing(address: str) -> str:
    """What to add to a complaint about this address: a sentence, when it is one of the hosted service."""
    host = urlsplit(address).hostname or ""
    return _HOSTED if host == "neptune.ai" or host.endswith(".neptune.ai") else ""


def check_answer(response: Response, call: str) -> None:
    """Nothing, when the server did what `call` asked for.

    Raises:
        NotThere: it has no such thing.
        DeliveryError: it did not do it, for now or until a person mends it.
    """
    status = response.status_code
    if status < 300:
        return
    fields = _fields(response)
    told = f"Neptune answered {status} to {call} ({fields.get('title') or response.reason})"
    if status == 404:
        raise NotThere(told)
    if status in (408, 425, 429) or status >= 500 or fields.get("errorType") == "AUTHORIZATION_TOKEN_EXPIRED":
        wish = response.headers.get("Retry-After", "")
        raise TransientDeliveryError(told, retry_after_s=float(wish) if wish.isdigit() else None)
    if status in (401, 403):
        raise DeliveryRefused(f"{told}: {WAY_OUT}")
    if status in (402, 409, 422):
        raise DeliveryRefused(f"{told}: free the quota, or restore the run from the trash, then deliver again")
    raise AdapterBug(f"{told}: {response.text[:500]}")


@cache
def _quiet(version: str) -> None:
    for name in ("neptune", "neptune_no_prefix"):
        sdk_log = logging.getLogger(name)
        sdk_log.handlers[:] = []
        sdk_log.propagate = True
        sdk_log.setLevel(logging.WARNING)
    # At the level DEBUG these write the API token, or the tokens that it was exchanged for.
    for name in ("bravado.client", "requests_oauthlib", "oauthlib"):
        logging.getLogger(name).setLevel(logging.INFO)
    warn_if_untested("neptune", version, TESTED_VERSIONS)


def _fields(response: Response) -> dict[str, Any]:
    try:
        fields = response.json()
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _cause(error: Exception) -> str:
    """What lies at the bottom: `requests` wraps a refused connection three times."""
    cause: BaseException = getattr(error, "cause", None) or error
    while cause.__context__ is not None:
        cause = cause.__context__
    return f"{type(cause).__name__}: {_told(cause)}"


def _told(error: BaseException) -> str:
    """The first sentence of the SDK's coloured banners, or all of a message of another kind."""
    lines = [line.strip() for line in _BANNER.sub("", str(error)).splitlines()]
    return " ".join(line for line in lines if line)[:300]


_HOSTED = " (Neptune's hosted service closed on 5 March 2026: use a server of your own, or deliver to neptune:offline)"
_NO_TOKEN = "Neptune needs the API token of a self-hosted server, as the hosted service closed on 5 March 2026"
_NO_PROJECT = "Neptune needs the name of a project that exists"
_REFUSALS = {
    "NeptuneMissingApiTokenException": _NO_TOKEN,
    "NeptuneInvalidApiTokenException": _NO_TOKEN,
    "Unauthorized": _NO_TOKEN,
    "Forbidden": "the API token has no permission for the project",
    "NeptuneMissingProjectNameException": _NO_PROJECT,
    "ProjectNotFound": _NO_PROJECT,
    "ProjectNotFoundWithSuggestions": _NO_PROJECT,
    "AmbiguousProjectName": _NO_PROJECT,
    "WritingToArchivedProjectException": "the project is archived",
    "NeptuneLegacyProjectException": "the project is of Neptune's old kind, which this client cannot write to",
}
