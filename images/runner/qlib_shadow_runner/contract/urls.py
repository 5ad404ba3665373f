"""The URLs that a run can name: https, and plain http only for localhost (tests, a port-forward).

Over any other connection http can be changed in transit and exposes credentials.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from qlib_shadow_runner.contract.kinds import Text, TextCheck, matches

if TYPE_CHECKING:
    from collections.abc import Callable


def is_encrypted_or_local(parts: SplitResult) -> bool:
    """Return whether a connection to the URL cannot be read or changed in transit."""
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))


def is_loopback(host: str) -> bool:
    """Return whether a host name or address means this machine, without a DNS lookup."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_url(url: str) -> bool:
    try:
        urlsplit(url).port  # noqa: B018 - the property raises on a port that is no number
    except ValueError:
        return False
    return True


def url(*more: TextCheck, clean: Callable[[str], str] = str) -> Text:
    """Return the kind of a URL; error sentences do not repeat it, because its query may hold a signature."""
    checks = (
        matches(r"[!-~]+", "must be printable ASCII without spaces; percent-encode the rest"),
        TextCheck("is not a URL; write it as https://host/path", _is_url),
        TextCheck("names no host; write it as https://host/path", lambda url: urlsplit(url).hostname),
        TextCheck(
            "carries a user name; put it and the password into a Secret, named in credentialsSecret",
            lambda url: urlsplit(url).username is None,
        ),
        TextCheck(
            "must begin with https://; http:// is for this machine alone (localhost)",
            lambda url: is_encrypted_or_local(urlsplit(url)),
            "self.startsWith('https://')",
        ),
    )
    return Text(2048, (*checks, *more), secret=True, clean=clean)
