"""Limits that the targets of the same rules cannot keep: a book with such a one is held night after night."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib_shadow_runner.texts import percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qlib_shadow_runner.ledger.rules import Limits, Targets

ROUNDING = 1e-9


def contradictions(targets: Targets, limits: Limits, instruments: int | None = None) -> list[str]:
    """Return a sentence for each limit that the targets exceed by themselves, whatever the signals are.

    `instruments` is how many there are to choose from, where that is known.
    """
    held = targets.topk if instruments is None else min(targets.topk, instruments)
    return [*_sentences(targets, limits, held)] if held > 0 else []


def _sentences(targets: Targets, limits: Limits, held: int) -> Iterator[str]:
    invested = targets.risk_degree
    each, replaced = invested / held, 2 * invested * min(targets.n_drop, held) / held
    if _is_below(limits.max_weight, each):
        yield _sentence(
            f"maxWeight is {percent(limits.max_weight)}",
            f"{held} instruments have {percent(each)} of the account each",
            f"set it well above {percent(each)}, or hold more instruments (targets.topk)",
        )
    if limits.min_names is not None and limits.min_names > held:
        yield _sentence(
            f"minNames is {limits.min_names}",
            f"at most {held} instruments are held",
            f"set it to at most {held}, or hold more instruments (targets.topk)",
        )
    if _is_below(limits.max_turnover, replaced):
        yield _sentence(
            f"maxTurnover is {percent(limits.max_turnover)}",
            f"replacing {targets.n_drop} of {held} instruments trades {percent(replaced)} of the account",
            f"set it well above {percent(replaced)}, or replace fewer (targets.nDrop)",
        )
    if _is_below(limits.max_gross, invested):
        yield _sentence(
            f"maxGross is {percent(limits.max_gross)}",
            f"{percent(invested)} of the account is invested",
            f"set it to at least {percent(invested)}",
        )


def _is_below(limit: float | None, figure: float) -> bool:
    return limit is not None and limit < figure * (1 - ROUNDING)


def _sentence(limit: str, but: str, remedy: str) -> str:
    return f"spec.ledger.limits.{limit}, and {but}, so that nights would be held again and again; {remedy}"
