"""A tracker's server, asked with the standard library: answers in JSON, and files."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, cast
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from trackbridge.errors import SourceUnavailable

TIMEOUT_S = 30.0
TRIES = 3
# After the first failure; twice as long after the next.
PAUSE_S = 1.0
MAX_ANSWER_BYTES = 1 << 28
_BLOCK_BYTES = 1 << 20
_MAX_REASON_BYTES = 1 << 14
_PASSES = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Server:
    """One server. The key goes to it and nowhere else, and into no error.

    Attributes:
        tracker: whose it is, for errors.
        base_url: what every address at it begins with, without a slash at its end.
        key: the user's; `authorization` is the header that carries it.
        key_variable, url_variable: where the user sets the key and the address.
    """

    tracker: str
    base_url: str
    key: str = field(repr=False)
    authorization: str = field(repr=False)
    key_variable: str
    url_variable: str

    def ask(self, request: Request) -> Any:
        """The JSON in the answer to a request; trouble that may pass is waited for a little.

        Raises:
            SourceUnavailable: the server does not answer, or does not take the key or the question.
        """
        for number in range(1, TRIES + 1):
            try:
                with self._open(request) as response:
                    content = response.read(MAX_ANSWER_BYTES + 1)
                if len(content) > MAX_ANSWER_BYTES:
                    raise self.trouble(f"gives an answer of more than {MAX_ANSWER_BYTES >> 20} MB")
                return json.loads(content)
            except HTTPError as error:
                if error.code not in _PASSES or number == TRIES:
                    raise self._refusal(error) from None
                error.close()
            except (URLError, HTTPException, OSError) as error:
                if number == TRIES:
                    raise self.trouble(f"cannot be reached: {getattr(error, 'reason', error)}") from None
            except (ValueError, RecursionError):
                raise self.trouble(f"answers with something else than JSON: check {self.url_variable}") from None
            time.sleep(PAUSE_S * 2 ** (number - 1))
        raise AssertionError("the last try returns or raises")

    def download(self, url: str, size_bytes: int | None) -> BinaryIO:
        """The bytes of a file that the server named.

        Raises:
            OSError: it cannot be had, or is cut off.
        """
        # `urlopen` reads local files too.
        if urlsplit(url).scheme not in ("http", "https"):
            raise OSError(f"the server names a file at {url[:60]!r}, which is no web address")
        with ExitStack() as until_whole:
            file = cast(BinaryIO, until_whole.enter_context(SpooledTemporaryFile(_BLOCK_BYTES)))
            try:
                with self._open(Request(url)) as response:
                    shutil.copyfileobj(response, file, _BLOCK_BYTES)
            except HTTPError as error:
                error.close()
                raise
            except HTTPException as error:
                raise OSError(f"the download broke off: {error}") from error
            if size_bytes is not None and file.tell() != size_bytes:
                raise OSError(f"{file.tell()} bytes arrived of {size_bytes}")
            file.seek(0)
            until_whole.pop_all()
            return file

    def trouble(self, what: str) -> SourceUnavailable:
        """An error that says what the server does."""
        return SourceUnavailable(f"{self.tracker} at {self.base_url} {what}".replace(self.key, "***"))

    def _open(self, request: Request) -> HTTPResponse:
        if request.full_url.startswith(f"{self.base_url}/"):
            # Unredirected: another host has no business with it.
            request.add_unredirected_header("Authorization", self.authorization)
        return cast(HTTPResponse, urlopen(request, timeout=TIMEOUT_S))

    def _refusal(self, error: HTTPError) -> SourceUnavailable:
        with error:
            if error.code in (401, 403):
                return self.trouble(
                    f"does not take the key in {self.key_variable} (HTTP {error.code}): set it to a key of yours"
                )
            if error.code == 404:
                return self.trouble(f"has no {self.tracker} (HTTP 404): check {self.url_variable}")
            if error.code in _PASSES:
                return self.trouble(f"answers with HTTP {error.code}: try again later")
            return self.trouble(f"refuses the question (HTTP {error.code}): {_reason(error)}")


def _reason(error: HTTPError) -> str:
    try:
        told = json.loads(error.read(_MAX_REASON_BYTES))
        return str(told.get("msg") or told.get("message") or error.reason)[:200]
    except (ValueError, AttributeError, OSError, HTTPException):
        return str(error.reason)
