"""Where an archive is: a URL, and how it may be shown.

What follows a "?" may be a signature, so that it is never shown and is no part of what the archive is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit


@dataclass(frozen=True)
class ArchiveAddress:
    """One URL."""

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
