"""The URL of an archive and its printable forms.

The query may be a signature, so it is never shown and is not part of the archive's identity.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit


@dataclass(frozen=True)
class ArchiveAddress:
    """The URL of an archive."""

    url: str = field(repr=False)

    @property
    def parts(self) -> SplitResult:
        """Return the URL in parts."""
        return urlsplit(self.url)

    @property
    def host(self) -> str:
        """Return the host's name."""
        return self.parts.hostname or ""

    @property
    def plain(self) -> str:
        """Return the URL without its query, which stays the same when a signature is renewed."""
        return self.parts._replace(query="", fragment="").geturl()

    @property
    def shown(self) -> str:
        """Return the URL for logs and messages."""
        return self.plain + ("?…" if self.parts.query else "")

    @property
    def name(self) -> str:
        """Return the file's name."""
        return self.parts.path.rpartition("/")[2] or self.host
