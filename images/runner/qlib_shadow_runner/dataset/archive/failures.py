"""Errors of a download: DownloadFailed is retried, DownloadRefused is not.

The sentences show the URL without its query and never repeat long texts of a server or a library, which
may contain credentials.
"""

from __future__ import annotations

import socket
import ssl
from http.client import HTTPException, IncompleteRead, InvalidURL
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from urllib.error import HTTPError, URLError

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.dataset.archive.time_limit import EndlessHeadersError, SlowServerError
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.dataset.archive.url import ArchiveAddress

LINE_ERRORS: Final = (OSError, HTTPException)
"""The exceptions of a request; URLError, timeouts and TLS errors are OSErrors."""
ADDRESS_ERRORS: Final = (ValueError, OverflowError)
"""What the library raises for an address: a port beyond 65535, half of an IPv6 address, an overlong name."""
RETRYABLE_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
LOGIN_ADVICE: Final = (
    "Name a Secret with username and password, or token, in spec.dataset.source.archive.credentialsSecret "
    "(without a cluster: QLIB_SHADOW_ARCHIVE_USERNAME and _PASSWORD, or QLIB_SHADOW_ARCHIVE_TOKEN)."
)
TRUST_ADVICE: Final = "For a private authority, set SSL_CERT_FILE or REQUESTS_CA_BUNDLE to its certificates."
OTHER_ADVICE: Final = "Ask the server's owner, or name another URL."
LINE_ADVICE: Final = "Check the address, the proxy (HTTPS_PROXY) and the server."
REDIRECTS: Final = (301, 302, 303, 307, 308)
ADVICE: Final[Mapping[int, str]] = MappingProxyType(
    {
        **dict.fromkeys(REDIRECTS, "It redirects again and again; correct the URL."),
        401: LOGIN_ADVICE,
        403: "These credentials, or none, may not read it; a signed URL may have expired. " + LOGIN_ADVICE,
        404: "Correct the URL; some servers also say this to those who may not know.",
        407: "The proxy wants credentials: put them into HTTPS_PROXY.",
        410: "It was there once and is gone for good: name another URL.",
    }
)

TRANSIENT_ERRORS: Final = (
    (SlowServerError, "the server sends less than 1 KiB a second"),
    (EndlessHeadersError, "the server's answer has headers without an end"),
    (socket.gaierror, "the name {host} was not found (DNS)"),
    (TimeoutError, "the server did not answer in time"),
    (ConnectionRefusedError, "{host} refused the connection"),
    (ConnectionError, "the connection was cut"),
    (IncompleteRead, "the connection was cut"),
)


def failed(message: str) -> StageError:
    """Return an error that is retried."""
    return StageError(Reason.DOWNLOAD_FAILED, message)


def refused(message: str) -> StageError:
    """Return an error that is not retried, because only the user or the server's owner can solve it."""
    return StageError(Reason.DOWNLOAD_REFUSED, message)


def explain(error: BaseException, address: ArchiveAddress) -> StageError:
    """Return an exception of a request as an error with reason and sentence."""
    if isinstance(error, HTTPError):
        return _answered(error, address)
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, InvalidURL):
        return wrong_address(address)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return refused(
            f"{address.shown}: the certificate of {address.host} is not trusted ({cause.verify_message}). "
            + TRUST_ADVICE
        )
    if isinstance(cause, OSError) and str(cause).startswith("Tunnel connection failed"):
        return _proxied(str(cause), address)
    return failed(f"{address.shown}: {_transient_error(cause, address)}.")


def wrong_address(address: ArchiveAddress) -> StageError:
    """Return the error of an address that is none; the library's text may hold a password or a signature."""
    return refused(
        f"{address.shown}: this address is none, or the one that its server redirects to, or the proxy's. "
        "Correct the URL or HTTPS_PROXY, or have the server's owner correct the redirect."
    )


def _answered(error: HTTPError, address: ArchiveAddress) -> StageError:
    code = error.code
    error.close()
    sentence = f"{address.shown}: the server answered {code}."
    if code in RETRYABLE_STATUSES:
        return failed(sentence)
    return refused(f"{sentence} {ADVICE.get(code, OTHER_ADVICE)}")


def _proxied(said: str, address: ArchiveAddress) -> StageError:
    code = next((word for word in said.split() if word.isdecimal()), "no code")
    sentence = f"{address.shown}: the proxy answered {code}."
    if code in {"403", "407"}:
        return refused(f"{sentence} {ADVICE[407] if code == '407' else 'It does not let this host through.'}")
    return failed(sentence)


def _transient_error(cause: object, address: ArchiveAddress) -> str:
    """Return the description of an error that may be temporary."""
    known = (sentence for kind, sentence in TRANSIENT_ERRORS if isinstance(cause, kind))
    if sentence := next(known, None):
        return sentence.format(host=address.host)
    if isinstance(cause, ssl.SSLError):
        return f"TLS failed ({cause.reason or 'the connection was cut'})"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.lower()
    return f"the answer made no sense ({type(cause).__name__})"
