"""Checks every request before a page is made: its method, its host name and its token.

A page of another site can make a browser send requests to this server. It learns nothing: such a request has
no token, or another host name (DNS rebinding), and the headers of an answer forbid other sites to embed it.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from qlib_shadow_runner.ui.pages import page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from qlib_shadow_runner.ui.tokens import Token

METHODS: Final = ("GET", "HEAD")
PARAMETER: Final = "token"
BEARER: Final = "Bearer "
OPEN: Final = frozenset({"/healthz", "/static/ui.css"})
"""Addresses that say nothing about any run."""
POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Gate:
    """The application, behind these checks."""

    app: ASGIApp
    names: frozenset[str] | None
    """The host names that a request may have; None where every request must have the token instead."""
    token: Token | None
    cookie: str
    """The cookie's name, with the port: a browser shares cookies among the ports of a host."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request or pass it to the application; add the headers to the answer."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await (self.refusal(scope) or self.app)(scope, receive, guarded)

    def refusal(self, scope: Scope) -> Response | None:
        """Return the answer that refuses a request; None if it is allowed."""
        headers = Headers(scope=scope)
        if scope["method"] not in METHODS:
            sentence = "These pages change nothing: only GET and HEAD are answered.\n"
            return PlainTextResponse(sentence, HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": ", ".join(METHODS)})
        if self.names is not None and _host(headers) not in self.names:
            sentence = f"This server is called {', '.join(sorted(self.names))}, and nothing else.\n"
            return PlainTextResponse(sentence, HTTPStatus.MISDIRECTED_REQUEST)
        if self.token is None or scope["path"] in OPEN:
            return None
        return self._check_token(scope, headers, self.token)

    def _check_token(self, scope: Scope, headers: Headers, token: Token) -> Response | None:
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        words = [value for name, value in query if name == PARAMETER]
        if words and token.matches(words[0]):
            return self._set_token_cookie(
                scope["path"], [pair for pair in query if pair[0] != PARAMETER], token
            )
        shown = headers.get("authorization", "")
        if shown.startswith(BEARER) and token.matches(shown.removeprefix(BEARER)):
            return None
        if token.matches_cookie(_cookie(headers, self.cookie)):
            return None
        return HTMLResponse(page("token.html.j2", wrong=bool(words)), HTTPStatus.UNAUTHORIZED)

    def _set_token_cookie(self, path: str, query: list[tuple[str, str]], token: Token) -> Response:
        """Set the cookie that replaces the token, and redirect to the address without the token."""
        target = quote("/" + path.lstrip("/"))  # never //host, which is another site
        answer = RedirectResponse(f"{target}?{urlencode(query)}" if query else target, HTTPStatus.SEE_OTHER)
        answer.set_cookie(self.cookie, token.cookie, httponly=True, samesite="lax", path="/")
        return answer


def _host(headers: Headers) -> str:
    """Return the host name of the request, without the port."""
    hosts = headers.getlist("host")
    name, colon, port = hosts[0].rpartition(":") if len(hosts) == 1 else ("", "", "")
    whole = not colon or not port.isdigit()
    return ((hosts[0] if whole else name) if hosts else "").lower()


def _cookie(headers: Headers, name: str) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return found.value if found else ""
