"""The credentials for an archive, read from the environment and sent in one header.

Their values appear in no message, log line, manifest or repr.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from qlib_shadow_runner.contract import ENV_ARCHIVE_PASSWORD, ENV_ARCHIVE_TOKEN, ENV_ARCHIVE_USERNAME
from qlib_shadow_runner.refusals import refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLES: Final = (ENV_ARCHIVE_TOKEN, ENV_ARCHIVE_USERNAME, ENV_ARCHIVE_PASSWORD)


@dataclass(frozen=True)
class Credentials:
    """The Authorization header for the server, if there is one."""

    authorization: str | None = field(default=None, repr=False)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Return the credentials in the variables, without the newline at the end of many Secrets."""
        token, user, password = (environ.get(name, "").strip() for name in VARIABLES)
        if token and (user or password):
            refuse("the archive's Secret has both token and username or password; keep one kind")
        if bool(user) != bool(password):
            refuse("the archive's Secret must have username and password, or token")
        if token:
            return cls(_bearer(token))
        if not user:
            return cls()
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        return cls(f"Basic {pair}")


def _bearer(token: str) -> str:
    if not token.isascii() or not token.isprintable() or " " in token:
        refuse("the token in the archive's Secret holds characters that a token cannot have")
    return f"Bearer {token}"
