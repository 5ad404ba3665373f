"""The model's clock: whole seconds that pass when a story says so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

BEGINNING = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


@dataclass
class Clock:
    """Seconds since the start."""

    now: int = 0

    @property
    def time(self) -> datetime:
        """Return the time as the operator's clock does, with a fraction of a second."""
        return BEGINNING + timedelta(seconds=self.now, microseconds=137)

    @property
    def text(self) -> str:
        """Return the time as the API writes it."""
        return (BEGINNING + timedelta(seconds=self.now)).strftime("%Y-%m-%dT%H:%M:%SZ")

    @staticmethod
    def read(text: str) -> int:
        """Return the seconds of a time of the API."""
        return int((datetime.fromisoformat(text) - BEGINNING).total_seconds())
