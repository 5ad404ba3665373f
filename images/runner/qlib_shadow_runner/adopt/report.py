"""What an adoption changes and leaves out, each with its reason, and what ends it."""

from __future__ import annotations

from dataclasses import dataclass, field


class RefusedError(ValueError):
    """Why a file is not adopted: a sentence without its full stop, and the one thing that it needs."""

    def __init__(self, sentence: str, need: str = "") -> None:
        super().__init__(sentence)
        self.need = need


@dataclass(frozen=True)
class Note:
    """One change: the place in the file, and what became of it and why."""

    place: str
    what: str


@dataclass
class Report:
    """The notes of one adoption."""

    changed: list[Note] = field(default_factory=list)
    """What is written differently, so that the question stays the same and its answer can be repeated."""
    left_out: list[Note] = field(default_factory=list)
    """What the run does not do, and what to do instead: figures may differ."""

    def change(self, place: str, what: str) -> None:
        """Note what is written differently."""
        self.changed.append(Note(place, what))

    def leave_out(self, place: str, what: str) -> None:
        """Note what the run does not do."""
        self.left_out.append(Note(place, what))
