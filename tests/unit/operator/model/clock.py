"""The model's time: whole seconds that pass when the story says so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

BEGINNING = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


@dataclass
class Clock:
    """Seconds since the beginning."""

    now: int = 0

    @property
    def time(self) -> datetime:
        """Give the time as the operator's clock does, which is never on the second."""
        return BEGINNING + timedelta(seconds=self.now, microseconds=137)

    @property
    def text(self) -> str:
        """Give the time as the API writes it."""
        return (BEGINNING + timedelta(seconds=self.now)).strftime("%Y-%m-%dT%H:%M:%SZ")

    @staticmethod
    def read(text: str) -> int:
        """Read a time of the API."""
        return int((datetime.fromisoformat(text) - BEGINNING).total_seconds())
