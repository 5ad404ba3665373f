"""Open a URL: proxies and private authorities from the usual variables, redirects only over https."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from urllib.request import (
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
    getproxies,
)

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.urls import is_encrypted_or_local, is_loopback
from qlib_shadow_runner.dataset.archive.time_limit import LimitedResponse
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.refusals import refuse

if TYPE_CHECKING:
    from collections.abc import Mapping
    from http.client import HTTPMessage, HTTPResponse
    from typing import IO
    from urllib.parse import SplitResult

    from qlib_shadow_runner.dataset.archive.credentials import Credentials
    from qlib_shadow_runner.dataset.archive.time_limit import TimeLimit
    from qlib_shadow_runner.dataset.archive.url import ArchiveAddress

CA_BUNDLES: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""The variables of other tools; OpenSSL itself reads SSL_CERT_FILE and SSL_CERT_DIR."""
AUTHORIZATION: Final = "Authorization"
LEAST_TIMEOUT: Final = 0.01
"""Zero would mean that a socket does not wait at all."""
USER_AGENT: Final = "qlib-shadow"


class _HttpConnection(HTTPConnection):
    """A connection whose answers are read within the download's limits."""

    def __init__(self, *arguments: Any, limit: TimeLimit, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.response_class = partial(LimitedResponse, limit=limit)  # type: ignore[assignment]


class _HttpsConnection(_HttpConnection, HTTPSConnection):
    """The same over TLS."""


class _Limited(HTTPHandler, HTTPSHandler):
    """Opens the connections of both schemes."""

    def __init__(self, context: ssl.SSLContext, limit: TimeLimit) -> None:
        HTTPSHandler.__init__(self, context=context)
        self._tls = context
        self._limit = limit

    def http_open(self, req: Request) -> HTTPResponse:
        return self.do_open(_HttpConnection, req, limit=self._limit)  # type: ignore[arg-type]

    def https_open(self, req: Request) -> HTTPResponse:
        return self.do_open(_HttpsConnection, req, context=self._tls, limit=self._limit)  # type: ignore[arg-type]


class CautiousRedirects(HTTPRedirectHandler):
    """Follows redirects, but never to plain http and never with credentials to another host."""

    def http_error_302(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage
    ) -> HTTPResponse | None:
        """Follow the redirect; where its address is none, close the answer, as the library does not."""
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except ValueError:
            fp.close()
            raise

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(  # noqa: D102, PLR0917 - the library's hook
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        target = urlsplit(newurl)
        _ = target.port  # raises where it is no port; the resolver would take another one
        if not is_encrypted_or_local(target) or (
            target.scheme == "http" and not is_loopback(urlsplit(req.full_url).hostname or "")
        ):
            fp.close()
            raise StageError(
                Reason.DOWNLOAD_REFUSED,
                f"{req.host} redirects to {target.scheme}://{target.hostname}, and only https is followed. "
                "Name an address that stays with https.",
            )
        fp.close()  # urllib reads its body into memory, whatever its size
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        secret = req.unredirected_hdrs.get(AUTHORIZATION)
        if request is not None and secret and _origin(target) == _origin(urlsplit(req.full_url)):
            request.add_unredirected_header(AUTHORIZATION, secret)
        return request


@dataclass(frozen=True)
class Connection:
    """The settings for requests to one address."""

    address: ArchiveAddress
    credentials: Credentials
    timeout: float
    limit: TimeLimit

    def get(self, headers: Mapping[str, str]) -> HTTPResponse:
        """Send a request and return the response; raise what urllib raises."""
        wanted = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
        request = Request(self.address.url, headers=wanted)  # noqa: S310 - the address was checked
        if self.credentials.authorization:
            request.add_unredirected_header(AUTHORIZATION, self.credentials.authorization)
        timeout = max(LEAST_TIMEOUT, min(self.timeout, self.limit.left))
        response: HTTPResponse = self._opener().open(request, timeout=timeout)
        self.limit.begin_body()
        return response

    def _opener(self) -> OpenerDirector:
        proxies = {} if is_loopback(self.address.host) else _proxies()
        limited = _Limited(_trust(os.environ), self.limit)
        return build_opener(ProxyHandler(proxies), limited, CautiousRedirects())


def _proxies() -> dict[str, str]:
    """Return the proxies of the environment; the sentence about a wrong one does not repeat its password."""
    found = getproxies()
    for scheme in ("http", "https", "all"):
        proxy = found.get(scheme)
        if proxy and not _is_address(proxy if "://" in proxy else f"//{proxy}"):
            refuse(f"{scheme.upper()}_PROXY is not the address of a proxy; write it as http://host:port")
    return found


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _trust(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Return a TLS context that trusts the system's authorities and those in the named bundles."""
    context = ssl.create_default_context()
    for name in CA_BUNDLES:
        if bundle := environ.get(name):
            try:
                context.load_verify_locations(**{"capath" if Path(bundle).is_dir() else "cafile": bundle})
            except OSError:  # includes SSLError
                refuse(f"{name} is {bundle}, which holds no certificates in PEM form")
    return context


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)
