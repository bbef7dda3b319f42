"""
Who may ask: the `Host` a request names, the token it shows, and what its answer allows a browser to do.

The Host check stops DNS rebinding, by which a page elsewhere makes a browser ask a server on loopback. No header lets
another site read an answer, and nothing here changes anything: only GET and HEAD are answered.
"""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
WILDCARDS = frozenset({"", "0.0.0.0", "::", "[::]"})
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types trackbridge"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Access:
    """Where the server listens, and the token that a browser has to show; None where it needs none."""

    host: str
    port: int
    token: str | None = None

    @property
    def url(self) -> str:
        """The address to open, with the token where there is one."""
        name = "localhost" if self.host in WILDCARDS else f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{name}:{self.port}/" + (f"?{urlencode({'token': self.token})}" if self.token else "")

    def knows_host(self, name: str) -> bool:
        """True for the names under which this server is meant to be asked.

        One that listens on every address has names it cannot know; its token cannot be had by rebinding, since a
        browser keeps cookies by name.
        """
        if self.host in WILDCARDS:
            return True
        return name in LOOPBACK_NAMES or name in (self.host.lower(), f"[{self.host.lower()}]")


def is_loopback(host: str) -> bool:
    """True when nobody on another machine can reach a server that listens there."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Guard:
    """Answers what must not pass, and puts headers on what does."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access
        self._cookie = f"trackbridge-{access.port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = self._refusal(scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in {**_HEADERS, "Content-Security-Policy": POLICY}.items():
                    headers.setdefault(name, value)
            await send(message)

        await (answer or self._app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        name = headers.get("host", "").lower()
        # What follows the last colon is a port, unless the colon is one of an IPv6 address.
        name = name if name.endswith("]") else name.rpartition(":")[0] or name
        if not self._access.knows_host(name):
            return PlainTextResponse("this server does not answer to that Host", 421)
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("only GET and HEAD are answered", 405, {"Allow": "GET, HEAD"})
        return None if self._access.token is None else self._without_token(scope, headers)

    def _without_token(self, scope: Scope, headers: Headers) -> Response | None:
        asked = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        shown = dict(asked).get("token")
        if shown is not None and self._is_right(shown):
            # The token leaves the address bar, so that a copied link does not carry it.
            rest = urlencode([pair for pair in asked if pair[0] != "token"])
            # One slash: a browser takes what follows two for the name of another host.
            path = "/" + scope["path"].lstrip("/")
            answer = RedirectResponse(path + (f"?{rest}" if rest else ""), 303)
            answer.set_cookie(self._cookie, shown, httponly=True, samesite="strict")
            return answer
        if self._is_right(cookie_parser(headers.get("cookie", "")).get(self._cookie, "")):
            return None
        return PlainTextResponse("open the address that trackbridge ui printed: it ends with ?token=...", 401)

    def _is_right(self, shown: str) -> bool:
        return hmac.compare_digest(shown.encode(), (self._access.token or "").encode())
