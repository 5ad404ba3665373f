"""The state of a book, and the sentence that says what it means."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.ledger import halts
from qlib_shadow_runner.ledger.entries import Decision, is_closed
from qlib_shadow_runner.ledger.notes import for_nights
from qlib_shadow_runner.runs import values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HALT_GATE: Final = "halt"
"""The gate that asks for the kill switch."""
LIFTED: Final = "a halt that was lifted since"
AGAIN: Final = "decides again on the next night"


class State(StrEnum):
    """What is to be said first of a book."""

    NEW = "New"
    """It has begun, and nothing is decided yet."""
    DECIDED = "Decided"
    LATE = "Late"
    """The last decision was recorded too late, and none of its orders is ever filled."""
    HELD = "Held"
    REDUCING = "Reducing"
    HALTED = "Halted"
    """The kill switch is set."""
    DAMAGED = "Damaged"


@dataclass(frozen=True)
class Gate:
    """A gate's answer in the last decision."""

    name: str
    verdict: str
    sentence: str
    figure: float | str | None
    limit: float | str | None

    @property
    def is_closed(self) -> bool:
        """Return whether it held the day, or let only sales pass."""
        return is_closed(self.verdict)


def are_of_a_halt(closed: Sequence[Gate]) -> bool:
    """Return whether the kill switch alone is among the closed gates."""
    return [gate.name for gate in closed] == [HALT_GATE]


def when(moment: str | None) -> str:
    """Return a recorded time in words."""
    found = values.moment(moment)
    return "an unknown time" if found is None else f"{found:%Y-%m-%d %H:%M} UTC"


def state_of(halt: Mapping[str, Any] | None, last: Mapping[str, Any] | None) -> State:
    """Return what is to be said first: the kill switch, or what was decided last."""
    if halt is not None:
        return State.REDUCING if halt["state"] == halts.REDUCING else State.HALTED
    if last is None:
        return State.NEW
    return State.LATE if last["late"] and last["orders"] else State(last["decision"])


def sentence_of(
    state: State,
    halt: Mapping[str, Any] | None,
    last: Mapping[str, Any] | None,
    gates: Sequence[Gate],
    held: int,
) -> str:
    """Return what the state means, with the reasons; `held` counts the nights in a row that were held."""
    if halt is not None:
        what = "only sales are recorded" if state is State.REDUCING else "no orders are recorded"
        return f"{what} since {when(halt['at'])}: {halt['why'] or 'no reason is given'}"
    if last is None:
        return "nothing is decided yet"
    decision, closed = Decision(last["decision"]), [gate for gate in gates if gate.is_closed]
    why = "; ".join(LIFTED if gate.name == HALT_GATE else gate.sentence for gate in closed)
    if are_of_a_halt(closed):
        said = f"{'held' if decision is Decision.HELD else 'only sales'} by {LIFTED}; {AGAIN}"
    else:
        orders = f"{len(last['orders'])} order{'s' * (len(last['orders']) != 1)}"
        if state is State.LATE:
            return f"{orders} recorded too late, so that none is ever filled" + (f"; {why}" if why else "")
        said = {
            Decision.DECIDED: f"{orders} recorded",
            Decision.REDUCING: f"{orders}, only sales: {why}",
            Decision.HELD: ", ".join([*filter(None, [for_nights(held)]), f"positions stay: {why}"]),
        }[decision]
    return f"{said}; recorded too late" if last["late"] else said
