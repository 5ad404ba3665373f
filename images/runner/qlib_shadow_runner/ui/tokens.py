"""The token that a request needs where other machines or users could reach the pages."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ENV_TOKEN: Final = "QLIB_SHADOW_UI_TOKEN"  # noqa: S105 - the variable's name
LENGTH_MIN: Final = 16
ALLOWED: Final = re.compile(r"[\x21-\x7e]+")
"""Printable ASCII without spaces, which can be typed into an address."""


@dataclass(frozen=True, repr=False)
class Token:
    """The token, and the cookie that a browser keeps instead of it."""

    text: str
    generated: bool = False

    @classmethod
    def find(cls, file: Path | None, environ: Mapping[str, str]) -> Self | None:
        """Return the token of the file, else of the environment; None where there is neither."""
        if file is not None:
            try:
                return cls._checked(file.read_text(encoding="utf-8").strip(), f"the token in {file}")
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is not text"
                raise StageError(
                    Reason.INVALID_SPEC, f"the token cannot be read from {file}: {reason}"
                ) from error
        text = environ.get(ENV_TOKEN, "")
        return cls._checked(text.strip(), ENV_TOKEN) if text else None

    @classmethod
    def make(cls) -> Self:
        """Return a new random token."""
        return cls(secrets.token_urlsafe(24), generated=True)

    @classmethod
    def _checked(cls, text: str, what: str) -> Self:
        if len(text) < LENGTH_MIN or not ALLOWED.fullmatch(text):
            raise StageError(
                Reason.INVALID_SPEC,
                f"{what} must have at least {LENGTH_MIN} characters, without spaces or letters beyond ASCII; "
                "make one with: openssl rand -hex 24",
            )
        return cls(text)

    @property
    def cookie(self) -> str:
        """Return the value of the cookie, from which the token cannot be computed."""
        return hmac.new(self.text.encode(), b"qlib-shadow ui cookie", hashlib.sha256).hexdigest()

    def matches(self, text: str) -> bool:
        """Return whether this is the token; the comparison takes the same time for every text."""
        return hmac.compare_digest(text.encode(), self.text.encode())

    def matches_cookie(self, value: str) -> bool:
        """Return whether this is the cookie."""
        return hmac.compare_digest(value.encode(), self.cookie.encode())
