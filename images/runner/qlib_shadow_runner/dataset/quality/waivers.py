"""Take waived occurrences out of findings, and keep what was waived on record."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypedDict

from qlib_shadow_runner.dataset.quality.checks import EXAMPLES, Finding, Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qlib_shadow_runner.contract.spec.dataset import WaiverSpec


class Waived(TypedDict):
    """One waiver of the spec as the metadata record it."""

    finding: str
    instrument: str | None
    day: str | None
    why: str
    count: int
    """The number of occurrences that it took away."""


def without_waived(
    findings: Iterable[Finding], waivers: Sequence[WaiverSpec]
) -> tuple[list[Finding], list[Waived]]:
    """Return the findings that are left, and the record of every waiver."""
    left = {finding.name: finding for finding in findings}
    record = []
    for waiver in waivers:
        before = left.get(waiver.finding, Finding(waiver.finding, 0))
        after = _without(before, waiver)
        if waiver.finding in left:
            left[waiver.finding] = after
        record.append(
            Waived(
                finding=waiver.finding,
                instrument=waiver.instrument,
                day=str(waiver.day) if waiver.day else None,
                why=waiver.why,
                count=before.count - after.count,
            )
        )
    return list(left.values()), record


def sentence_of(waived: Waived) -> str:
    """Return what a waiver did."""
    what = " ".join(filter(None, (waived["finding"], waived["instrument"], waived["day"])))
    if not waived["count"]:
        return f"dataset.quality.waive: there is no {what} to waive"
    return f"waived: {what} ({waived['count']}): {waived['why']}"


def _without(finding: Finding, waiver: WaiverSpec) -> Finding:
    if waiver.instrument is None and waiver.day is None:
        return replace(finding, count=0, examples=[], places=[])
    if not finding.places:
        return finding
    texts = [*finding.examples, *(" ".join(filter(None, place)) for place in finding.places[EXAMPLES:])]
    kept = [
        (text, place)
        for text, place in zip(texts, finding.places, strict=False)
        if not _is_meant(place, waiver)
    ]
    return replace(
        finding,
        count=finding.count - (len(finding.places) - len(kept)),
        examples=[text for text, _ in kept][:EXAMPLES],
        places=[place for _, place in kept],
    )


def _is_meant(place: Place, waiver: WaiverSpec) -> bool:
    is_instrument = waiver.instrument is None or waiver.instrument.upper() == place.instrument.upper()
    return is_instrument and (waiver.day is None or str(waiver.day) == place.day)
