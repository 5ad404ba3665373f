"""A spec can waive findings that are known, by check, instrument and day; what is waived stays on record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.contract.spec.dataset import ALWAYS_BLOCKING
from qlib_shadow_runner.dataset.quality.assess import assess, reassess
from qlib_shadow_runner.dataset.quality.checks import STRUCTURAL, Finding, Place, State
from qlib_shadow_runner.dataset.quality.policy import Policy
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.spec import parse_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

FALLS = [
    Place("AAPL", "2000-09-29"),
    Place("ENE", "2001-11-28"),
    *[Place("ZZZ", f"2008-10-{day}") for day in range(10, 18)],
]
SPLITS = Finding("split_jumps", 10, [" ".join(place) for place in FALLS[:5]], FALLS)
AAPL = {"finding": "split_jumps", "instrument": "aapl", "day": "2000-09-29", "why": "a profit warning"}


def policy(*waive: Mapping[str, object], block: tuple[str, ...] = ()) -> Policy:
    """Read `spec.dataset.quality`."""
    quality = {"waive": list(waive), "block": list(block)}
    return Policy.of(parse_spec({"dataset": {"quality": quality}}).dataset.quality)


def test_waived_occurrence_is_not_counted_and_stays_on_record():
    """The other occurrences still block, and the next one moves up into the examples."""
    quality = assess([SPLITS], policy(AAPL, block=("split_jumps",)))
    [check] = quality.checks
    assert (check["count"], check["state"]) == (9, State.FAIL)
    assert check["examples"][0] == "ENE 2001-11-28"
    assert check["examples"][4] == "ZZZ 2008-10-13"
    assert quality.document()["waived"] == [{**AAPL, "count": 1}]
    assert quality.remarks == ["waived: split_jumps aapl 2000-09-29 (1): a profit warning"]


def test_finding_of_which_everything_is_waived_does_not_block():
    """By instrument, by day, or the whole check; recorded findings are waived too."""
    recorded = json.loads(json.dumps(assess([SPLITS]).record()))
    waivers = [{"finding": "split_jumps", "instrument": name, "why": "real"} for name in ("ENE", "ZZZ")]
    quality = reassess(recorded, policy(AAPL, *waivers, block=("split_jumps",)))
    assert (quality.overall_state, quality.refusal, quality.warnings) == (State.OK, None, [])
    assert [waived["count"] for waived in quality.waived] == [1, 1, 8]
    whole = reassess(recorded, policy({"finding": "split_jumps", "why": "checked"}))
    assert (whole.overall_state, whole.waived[0]["count"]) == (State.OK, 10)


def test_places_of_findings_are_in_the_manifest_and_not_in_a_run():
    """A run records counts and examples."""
    quality = assess([SPLITS])
    assert len(quality.record()["checks"][0]["places"]) == 10  # type: ignore[index]
    assert "places" not in quality.document()["checks"][0]  # type: ignore[index]


def test_waiver_without_a_finding_says_so():
    """The data may have been corrected, or the day mistyped."""
    quality = assess([SPLITS], policy({**AAPL, "day": "2000-09-28"}))
    assert quality.checks[0]["count"] == 10
    assert quality.remarks == ["dataset.quality.waive: there is no split_jumps aapl 2000-09-28 to waive"]


def test_each_finding_has_its_own_advice():
    """Not only the worst one."""
    quality = assess([SPLITS, Finding("missing_days", 1, ["AAA"])], policy())
    assert [warning.rpartition(". ")[2] for warning in quality.warnings] == [
        "Ask the source for the missing days; a model sees them as gaps.",
        "Deliver adj_close or factor with the prices, or adjusted prices; waive the finding for a real move.",
    ]
    refusal = assess([SPLITS, Finding("missing_days", 1, ["AAA"])], policy(block=("all",))).refusal
    assert refusal is not None
    assert "a model sees them as gaps. split_jumps found 10" in refusal
    assert [check["hint"][:8] for check in quality.checks] == ["Ask the ", "Deliver "]


@pytest.mark.parametrize(
    ("waiver", "sentence"),
    [
        ({"finding": "split_jumps"}, "waive[0] lacks why"),
        ({"finding": "split_jump", "why": "x"}, 'did you mean "split_jumps"?'),
        ({"finding": "invalid_prices", "why": "x"}, "must be one of no_prices"),
        ({"finding": "split_jumps", "why": "x", "day": "29.9.2000"}, '"29.9.2000" is not a date'),
        (
            {"finding": "rejected_rows", "why": "x", "day": "2000-09-29"},
            "takes neither instrument nor day for duplicate_rows, rejected_rows, stale_end",
        ),
    ],
)
def test_invalid_waiver_is_refused(waiver: Mapping[str, object], sentence: str):
    """What makes figures wrong without a sign cannot be waived, and a reason is needed."""
    with pytest.raises(StageError) as caught:
        policy(waiver)
    assert sentence in caught.value.message


def test_checks_that_always_block_are_the_structural_ones():
    """The table of fields and the checks agree."""
    assert ALWAYS_BLOCKING == STRUCTURAL
