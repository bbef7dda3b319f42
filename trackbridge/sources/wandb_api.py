"""W&B's public API, asked with the standard library: GraphQL questions, and files."""

from __future__ import annotations

import json
import shutil
import time
from base64 import b64encode
from contextlib import ExitStack
from http.client import HTTPException, HTTPResponse
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, cast
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from trackbridge.errors import SourceUnavailable
from trackbridge.settings import vendor_setting

HOSTED = "https://api.wandb.ai"
TIMEOUT_S = 30.0
TRIES = 3
# After the first failure; twice as long after the next.
PAUSE_S = 1.0
MAX_ANSWER_BYTES = 1 << 28
_BLOCK_BYTES = 1 << 20
_PASSES = (408, 425, 429, 500, 502, 503, 504)


class WandbApi:
    """One server. The key goes to it and nowhere else, and into no error."""

    def __init__(self, base_url: str, key: str) -> None:
        self.base_url = base_url.rstrip("/")
        self._key = key

    @classmethod
    def from_environment(cls) -> WandbApi:
        """The server and the key of `WANDB_BASE_URL` and `WANDB_API_KEY`.

        Raises:
            SourceUnavailable: there is no key.
        """
        key = vendor_setting("WANDB_API_KEY")
        if key is None:
            raise SourceUnavailable("there is no W&B API key: set WANDB_API_KEY to a key of yours")
        return cls(vendor_setting("WANDB_BASE_URL") or HOSTED, key)

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The `data` of the answer to a GraphQL question.

        Raises:
            SourceUnavailable: the server does not answer, or does not take the key or the question.
        """
        body = json.dumps({"query": query, "variables": variables}).encode()
        answer = self._answer(Request(f"{self.base_url}/graphql", body, {"Content-Type": "application/json"}))
        if errors := answer.get("errors"):
            told = errors[0].get("message") if isinstance(errors[0], dict) else errors[0]
            raise self._trouble(f"refuses the question: {told}")
        data = answer.get("data")
        if not isinstance(data, dict):
            raise self._trouble("gives an answer without data")
        return data

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
            except HTTPException as error:
                raise OSError(f"the download broke off: {error}") from error
            if size_bytes is not None and file.tell() != size_bytes:
                raise OSError(f"{file.tell()} bytes arrived of {size_bytes}")
            file.seek(0)
            until_whole.pop_all()
            return file

    def _answer(self, request: Request) -> dict[str, Any]:
        for number in range(1, TRIES + 1):
            try:
                with self._open(request) as response:
                    content = response.read(MAX_ANSWER_BYTES + 1)
                if len(content) > MAX_ANSWER_BYTES:
                    raise self._trouble(f"gives an answer of more than {MAX_ANSWER_BYTES >> 20} MB")
                answer = json.loads(content)
                return answer if isinstance(answer, dict) else {}
            except HTTPError as error:
                if error.code not in _PASSES or number == TRIES:
                    raise self._refusal(error) from None
            except (URLError, HTTPException, OSError) as error:
                if number == TRIES:
                    raise self._trouble(f"cannot be reached: {getattr(error, 'reason', error)}") from None
            except (ValueError, RecursionError):
                raise self._trouble("answers with something else than JSON: check WANDB_BASE_URL") from None
            time.sleep(PAUSE_S * 2 ** (number - 1))
        raise AssertionError("the last try returns or raises")

    def _open(self, request: Request) -> HTTPResponse:
        if request.full_url.startswith(f"{self.base_url}/"):
            token = b64encode(f"api:{self._key}".encode()).decode()
            # Unredirected: another host has no business with it.
            request.add_unredirected_header("Authorization", f"Basic {token}")
        return cast(HTTPResponse, urlopen(request, timeout=TIMEOUT_S))

    def _refusal(self, error: HTTPError) -> SourceUnavailable:
        if error.code in (401, 403):
            return self._trouble(
                f"does not take the key in WANDB_API_KEY (HTTP {error.code}): set it to a key of yours"
            )
        if error.code == 404:
            return self._trouble("has no W&B (HTTP 404): check WANDB_BASE_URL")
        return self._trouble(f"answers with HTTP {error.code}: try again later")

    def _trouble(self, what: str) -> SourceUnavailable:
        return SourceUnavailable(f"W&B at {self.base_url} {what}".replace(self._key, "***"))
