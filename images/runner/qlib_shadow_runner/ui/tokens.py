"""The word that lets somebody in where others could reach the pages too."""

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
SHORTEST: Final = 16
WRITTEN: Final = re.compile(r"[\x21-\x7e]+")
"""What can be typed into an address: printable ASCII without spaces."""


@dataclass(frozen=True, repr=False)
class Token:
    """What must be shown, and what a browser keeps instead of it."""

    word: str
    generated: bool = False

    @classmethod
    def find(cls, file: Path | None, environ: Mapping[str, str]) -> Self | None:
        """Take the word from the file, else from the environment; None where there is neither."""
        if file is not None:
            try:
                return cls._checked(file.read_text(encoding="utf-8").strip(), f"the token in {file}")
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is not text"
                raise StageError(
                    Reason.INVALID_SPEC, f"the token cannot be read from {file}: {reason}"
                ) from error
        word = environ.get(ENV_TOKEN, "")
        return cls._checked(word.strip(), ENV_TOKEN) if word else None

    @classmethod
    def make(cls) -> Self:
        """Make one that nobody guesses."""
        return cls(secrets.token_urlsafe(24), generated=True)

    @classmethod
    def _checked(cls, word: str, what: str) -> Self:
        if len(word) < SHORTEST or not WRITTEN.fullmatch(word):
            raise StageError(
                Reason.INVALID_SPEC,
                f"{what} must have at least {SHORTEST} characters, without spaces or letters beyond ASCII; "
                "make one with: openssl rand -hex 24",
            )
        return cls(word)

    @property
    def cookie(self) -> str:
        """Give the word's stand-in, from which the word cannot be told."""
        return hmac.new(self.word.encode(), b"qlib-shadow ui cookie", hashlib.sha256).hexdigest()

    def matches(self, word: str) -> bool:
        """Compare in a time that tells nothing."""
        return hmac.compare_digest(word.encode(), self.word.encode())

    def matches_cookie(self, value: str) -> bool:
        """Compare a browser's cookie."""
        return hmac.compare_digest(value.encode(), self.cookie.encode())
