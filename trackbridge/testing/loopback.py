"""
A server on loopback that can be made to fail in the ways real ones do; a vendor's fake gives it the answers.

Trouble is switched on with context managers and can be limited to some requests:

    with server.outage(): ...                     # connection refused, open connections cut
    with server.trouble(status=503): ...          # every request is answered 503
    with server.trouble(status=403, where="file_stream"): ...
    with server.trouble(delay_s=2.0): ...         # answers are late
    with server.trouble(cut="after"): ...         # the request counts, but its answer never arrives
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR, socket
from threading import RLock, Thread
from types import TracebackType
from typing import Any, Literal, TypeVar
from urllib.parse import parse_qsl, urlsplit

Server = TypeVar("Server", bound="LoopbackServer")


@dataclass(frozen=True, slots=True)
class Request:
    """What came in; the body is unpacked when it was gzipped."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Response:
    """What goes out."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


@dataclass(frozen=True, slots=True)
class Trouble:
    """What happens to requests whose path or body contains `where`."""

    where: str = ""
    status: int | None = None
    delay_s: float = 0.0
    cut: Literal["before", "after"] | None = None

    def meets(self, request: Request) -> bool:
        """True when the request is concerned."""
        return self.where in request.path or self.where.encode() in request.body


def json_response(value: Any, status: int = 200) -> Response:
    """The value as a JSON answer."""
    return Response(status, json.dumps(value).encode())


class LoopbackServer:
    """Serves `answer(request)` on 127.0.0.1; a context manager. Requests are answered one at a time, and an error
    in `answer` is raised when the context ends.

    Attributes:
        port: chosen when it is made, and kept through outages.
        requests: every request so far, those in trouble too.
    """

    def __init__(self, answer: Callable[[Request], Response]) -> None:
        self._answer = answer
        self._lock = RLock()
        self._troubles: list[Trouble] = []
        self._open: set[socket] = set()
        self._defects: list[Exception] = []
        self.requests: list[Request] = []
        self.port = 0

    @property
    def url(self) -> str:
        """Where the server is, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self: Server) -> Server:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()
        if error is None and self._defects:
            raise self._defects[0]

    @contextmanager
    def outage(self) -> Iterator[None]:
        """While it lasts, connections are refused and those that were open are cut."""
        self._stop()
        try:
            yield
        finally:
            self._start()

    @contextmanager
    def trouble(self, **kind: Any) -> Iterator[None]:
        """While it lasts, requests meet this `Trouble`."""
        trouble = Trouble(**kind)
        self._troubles.append(trouble)
        try:
            yield
        finally:
            self._troubles.remove(trouble)

    def received(self) -> bytes:
        """The bodies of all requests so far."""
        return b"\n".join(request.body for request in self.requests)

    def handle(self, request: Request) -> Response | None:
        """The answer, or None when the connection is cut instead."""
        self.requests.append(request)
        met = [trouble for trouble in self._troubles if trouble.meets(request)]
        time.sleep(sum(trouble.delay_s for trouble in met))
        if any(trouble.cut == "before" for trouble in met):
            return None
        for trouble in met:
            if trouble.status is not None:
                return json_response({"errors": [{"message": "refused by the fake server"}]}, trouble.status)
        try:
            with self._lock:
                response = self._answer(request)
        except Exception as error:  # noqa: BLE001 - kept, and raised where the test can see it
            self._defects.append(error)
            return json_response({"errors": [{"message": f"defect of the fake server: {error!r}"}]}, 500)
        return None if any(trouble.cut == "after" for trouble in met) else response

    def _start(self) -> None:
        self._server = _Server(("127.0.0.1", self.port), _handler_for(self), self._open)
        self.port = self._server.server_address[1]
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def _stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        for connection in list(self._open):
            with suppress(OSError):  # its client may have closed it first
                connection.shutdown(SHUT_RDWR)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], opened: set[socket]) -> None:
        super().__init__(address, handler)
        self._opened = opened

    def process_request(self, request: Any, client_address: Any) -> None:
        self._opened.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._opened.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that vanish in the middle of a request are what these servers are for."""


def _handler_for(server: LoopbackServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Two small writes without this cost 40 ms per answer: Nagle's algorithm waits for the delayed ACK.
        disable_nagle_algorithm = True

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the parent's name
            pass

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            parts = urlsplit(self.path)
            query = dict(parse_qsl(parts.query))
            response = server.handle(Request(self.command, parts.path, query, dict(self.headers), body))
            if response is None:
                self.close_connection = True
                return
            self.send_response(response.status)
            for name, value in response.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(response.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(response.body)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = _serve  # noqa: N815 - names of http.server

    return Handler
