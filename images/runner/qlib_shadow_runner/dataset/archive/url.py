"""Where an archive is: an https URL, and how it may be shown.

Plain http is for this machine alone (tests, a port-forward): anywhere else it can be changed on the
way and would carry credentials in the clear. What follows a "?" may be a signature, so that it is
never shown and is no part of what the archive is.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import SplitResult, urlsplit

from qlib_shadow_runner.fields import refuse, text


@dataclass(frozen=True)
class ArchiveAddress:
    """One URL that has passed the checks."""

    url: str = field(repr=False)

    @property
    def parts(self) -> SplitResult:
        """Give the URL in parts."""
        return urlsplit(self.url)

    @property
    def host(self) -> str:
        """Give the host's name."""
        return self.parts.hostname or ""

    @property
    def plain(self) -> str:
        """Give the URL without its query: what stays the same when a signature is renewed."""
        return self.parts._replace(query="", fragment="").geturl()

    @property
    def shown(self) -> str:
        """Give the URL as logs and messages may have it."""
        return self.plain + ("?…" if self.parts.query else "")

    @property
    def name(self) -> str:
        """Give the file's name."""
        return self.parts.path.rpartition("/")[2] or self.host


def parse_address(value: object, where: str) -> ArchiveAddress:
    """Take an https URL, or refuse it without repeating what may be secret."""
    url = text(value, where)
    if not re.fullmatch(r"[!-~]+", url):
        refuse(f"{where} must be printable ASCII without spaces; percent-encode the rest")
    parts = _split(url, where)
    if not parts.hostname:
        refuse(f"{where} names no host; write it as https://host/path")
    if parts.username is not None:
        refuse(
            f"{where} carries a user name; put it and the password into a Secret, named in credentialsSecret"
        )
    if not is_encrypted_or_local(parts):
        refuse(f"{where} must begin with https://; http:// is for this machine alone (localhost)")
    return ArchiveAddress(url)


def is_encrypted_or_local(parts: SplitResult) -> bool:
    """Say whether nobody between here and there can read or change what travels."""
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine by its name alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _split(url: str, where: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - the property raises on a port that is no number
    except ValueError:
        _malformed(where)
    return parts


def _malformed(where: str) -> NoReturn:
    refuse(f"{where} is not a URL; write it as https://host/path")
