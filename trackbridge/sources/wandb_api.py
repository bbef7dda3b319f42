"""W&B's public API: GraphQL questions, and files."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any, BinaryIO
from urllib.request import Request

from trackbridge.errors import SourceUnavailable
from trackbridge.settings import vendor_setting
from trackbridge.sources.web import Server

HOSTED = "https://api.wandb.ai"


class WandbApi:
    """One server of W&B's."""

    def __init__(self, base_url: str, key: str) -> None:
        token = b64encode(f"api:{key}".encode()).decode()
        self._server = Server("W&B", base_url.rstrip("/"), key, f"Basic {token}", "WANDB_API_KEY", "WANDB_BASE_URL")
        self.base_url = self._server.base_url

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
        answer = self._server.ask(Request(f"{self.base_url}/graphql", body, {"Content-Type": "application/json"}))
        answer = answer if isinstance(answer, dict) else {}
        if errors := answer.get("errors"):
            told = errors[0].get("message") if isinstance(errors[0], dict) else errors[0]
            raise self._server.trouble(f"refuses the question: {told}")
        data = answer.get("data")
        if not isinstance(data, dict):
            raise self._server.trouble("gives an answer without data")
        return data

    def download(self, url: str, size_bytes: int | None) -> BinaryIO:
        """The bytes of a file that the server named.

        Raises:
            OSError: it cannot be had, or is cut off.
        """
        return self._server.download(url, size_bytes)
