"""Which URLs a run may name: https, and plain http for this machine alone (tests, a port-forward).

Anywhere else http can be changed on the way and would carry credentials in the clear.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from qlib_shadow_runner.contract.kinds import Check, Text, matches

if TYPE_CHECKING:
    from collections.abc import Callable


def is_encrypted_or_local(parts: SplitResult) -> bool:
    """Say whether nobody between here and there can read or change what travels."""
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine by its name alone."""
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


def url(*more: Check, clean: Callable[[str], str] = str) -> Text:
    """Return the kind of a URL, which no sentence repeats: what follows a "?" may be a signature."""
    checks = (
        matches(r"[!-~]+", "must be printable ASCII without spaces; percent-encode the rest"),
        Check("is not a URL; write it as https://host/path", _is_url),
        Check("names no host; write it as https://host/path", lambda url: urlsplit(url).hostname),
        Check(
            "carries a user name; put it and the password into a Secret, named in credentialsSecret",
            lambda url: urlsplit(url).username is None,
        ),
        Check(
            "must begin with https://; http:// is for this machine alone (localhost)",
            lambda url: is_encrypted_or_local(urlsplit(url)),
            "self.startsWith('https://')",
        ),
    )
    return Text(2048, (*checks, *more), secret=True, clean=clean)
