"""What is known of each series, and what needs a person."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.runner.nights.rows import FRIDAY, MORNING, morning, night, nights, outcome

from qlib_shadow_runner.nights.documents import snapshot_document, trend_document
from qlib_shadow_runner.nights.markdown import snapshot_page, trend_page
from qlib_shadow_runner.nights.morning import weekdays_between
from qlib_shadow_runner.nights.needs import needs_of
from qlib_shadow_runner.nights.trend import weeks_of

if TYPE_CHECKING:
    from qlib_shadow_runner.catalog.run_columns import Row

DAY = timedelta(days=1)


def test_a_series_has_its_last_run_its_model_and_its_live_ic():
    """The live IC is over the days of the label, and of a day with two runs the mean."""
    rows = nights(4, label_horizon_days=5)
    again = {**rows[1], "run_id": "again"}
    judged = [
        *(outcome(run, 0.9) for run in rows),
        *(outcome(run, ic, 5) for run, ic in zip(rows[1:], (0.1, 0.2, None), strict=True)),
        outcome(again, 0.3, 5),
        outcome(rows[2], 0.7, 5, live=False),
        outcome(night(FRIDAY, run_id="removed"), 0.8, 5),
    ]
    [us] = morning([*rows[:2], again, *rows[2:]], judged).awake
    assert us.live == {rows[2]["universe_end"]: 0.2, rows[1]["universe_end"]: pytest.approx(0.2)}
    assert us.live_ic == pytest.approx(0.2)
    assert us.model is not None
    assert (us.model.model, us.model.ic, len(us.model.runs)) == (rows[3]["run_id"], 0.04, 5)
    document: Any = snapshot_document(morning(rows, judged))["series"]
    [told] = document
    assert (told["runId"], told["modelAgeDays"], told["modelKept"]) == (rows[0]["run_id"], 3, True)
    assert (told["dataEnd"], told["dataAgeWeekdays"]) == (FRIDAY.date(), 0)


def test_a_live_ic_is_a_figure_over_the_labels_own_days():
    """Another horizon was never promised, and an edited file may have no figure."""
    rows = nights(3)
    judged = [outcome(run, ic) for run, ic in zip(rows, (float("inf"), float("nan"), -7.0), strict=True)]
    assert list(morning(rows, judged).awake[0].live.values()) == [-1.0]
    others = nights(3, label_horizon_days=6)
    assert morning(others, [outcome(others[0], 0.1, 5)]).awake[0].live == {}


def test_an_identical_training_is_taken_over():
    """It is not trained again."""
    assert "0 d, taken over" in snapshot_page(morning([night(FRIDAY, model_trained_by="us-1")]))
    assert "0 d, trained" in snapshot_page(morning([night(FRIDAY)]))


def test_a_retrained_model_is_another_one():
    """With its own live IC; the one used last comes first."""
    rows = [night(FRIDAY), *nights(3, FRIDAY - DAY)]
    [us] = morning(rows, [outcome(rows[1], 0.1), outcome(rows[0], -0.1)]).awake
    assert [(one.model, one.live_ic) for one in us.models] == [
        (rows[0]["run_id"], -0.1),
        (rows[3]["run_id"], 0.1),
    ]


def test_what_was_promised_of_a_model_outlives_the_run_that_trained():
    """Each later run passes it on."""
    rows = nights(3, promised_ic=0.05)
    [us] = morning(rows[:2]).awake
    assert [one.ic for one in us.models] == [0.05]
    [us] = morning(rows).awake
    assert [one.ic for one in us.models] == [0.04]


NEEDS: dict[str, tuple[dict[str, Any], str]] = {
    "failed": (
        {"status": "failed", "reason": "OutOfDisk", "message": "no\nspace"},
        r"OutOfDisk · no\nspace.",
    ),
    "not-golden": ({"status": "not-golden"}, "the run is not-golden."),
    "interrupted": ({"status": "interrupted", "reason": "Interrupted"}, "Interrupted."),
    "damaged": ({"status": "damaged", "message": "metrics.json is a link"}, "metrics.json is a link."),
    "old data": ({"universe_end": date(2026, 11, 13)}, "its data ends on 2026-11-13, 5 weekdays ago."),
    "decayed": (
        {"decay": "decayed", "decay_live_ic": 0.01, "decay_days": 1, "promised_ic": 0.04},
        "the model has decayed: live IC 0.010 on 1 day, 0.040 on its test.",
    ),
    "drift": ({"drift": "drifting"}, "features, scores or turnover have moved away"),
    "not kept": ({"model_not_kept": "the model of the run x is not kept: bad"}, "the model of the run x is"),
}


@pytest.mark.parametrize("name", NEEDS)
def test_what_needs_a_person_is_said(name: str):
    """Once, with the run that shows it; without it there is nothing to do."""
    values, sentence = NEEDS[name]
    rows = nights(8)
    judged = [outcome(rows[1], 0.02)]
    assert needs_of(morning(rows, judged)) == []
    [need] = needs_of(morning([rows[0] | values, *rows[1:]], judged))
    assert need.sentence.startswith(sentence)
    assert (need.series, need.run_id) == ("research/us", rows[0]["run_id"])


@pytest.mark.parametrize(
    "values",
    [{"drift": "unknown", "decay": "unknown"}, {"dataset_source": "synthetic x", "universe_end": None}],
)
def test_what_is_not_known_needs_no_person(values: dict[str, Any]):
    """Nor does the age of data that is made up."""
    rows = nights(8, FRIDAY)
    assert needs_of(morning([rows[0] | values, *rows[1:]])) == []


def test_a_missing_run_needs_a_person_until_the_series_has_ended():
    """After four weeks no further run is expected."""
    rows = nights(8)
    [need, *_] = needs_of(morning(rows, now=MORNING + 4 * DAY))
    assert (need.kind, need.run_id) == ("no run", None)
    late = morning(rows, now=MORNING + 40 * DAY)
    assert needs_of(late) == []
    assert [one.series.name for one in late.resting] == ["us"]


def test_a_damaged_run_without_a_start_needs_a_person():
    """Neither its series nor its day is known, so it may be the last one."""
    lost = night(
        FRIDAY, status="damaged", started_at=None, series=None, recipe_sha256=None, message="no JSON"
    )
    facts = morning([*nights(8), lost])
    [need] = needs_of(facts)
    assert need.sentence == "the run us-20261120 is damaged: no JSON."
    assert "is damaged" in snapshot_page(facts)


def test_a_start_in_the_future_is_unknown():
    """It keeps no series awake, and hides no missing run."""
    rows = [night(FRIDAY + 365 * 100 * DAY), *nights(8)]
    assert needs_of(morning(rows, now=MORNING + 4 * DAY))[0].kind == "no run"
    assert morning(rows, now=MORNING + 40 * DAY).awake == []


def test_a_series_rests_after_twice_its_usual_distance():
    """A quarterly one is awake for longer than four weeks."""
    rows = [night(FRIDAY - 90 * number * DAY) for number in range(6)]
    assert [len(morning(rows, now=MORNING + days * DAY).awake) for days in (100, 200)] == [1, 0]


def test_the_age_of_data_is_of_the_run_that_read_it():
    """A failed night has no source: made-up data has no age all the same."""
    rows = nights(8, dataset_source="synthetic x", universe_end=date(2026, 1, 2))
    failed = rows[0] | {"dataset_source": None, "universe_end": None, "status": "failed"}
    assert [one.data_age for one in morning([failed, *rows[1:]]).awake] == [None]


def test_a_failure_that_a_later_run_has_made_good_needs_no_person():
    """And a run in progress does not hide the one before."""
    good, failed = night(FRIDAY), night(FRIDAY - DAY, status="failed")
    assert needs_of(morning([good, failed])) == []
    running = night(FRIDAY, status="running")
    assert [need.run_id for need in needs_of(morning([running, failed]))] == [failed["run_id"]]


def test_the_weeks_of_a_series_begin_on_monday():
    """With runs, failures, trainings, live IC and turnover of each."""
    rows = [
        *nights(7, drift_turnover=0.2, drift="drifting"),
        night(FRIDAY - 14 * DAY, status="failed", model_trained_by=None),
    ]
    [us] = morning(rows, [outcome(rows[0], 0.1), outcome(rows[1], 0.3), outcome(rows[5], 0.5)]).awake
    this, before, earlier = weeks_of(us, 3)
    assert (this.monday, this.runs, this.failures, this.trained) == (date(2026, 11, 16), 5, 0, 0)
    assert [this.live_ic, this.turnover_drift] == pytest.approx([0.2, 0.2])
    assert (this.days_judged, this.drifting) == (2, 5)
    assert (before.runs, before.trained, before.live_ic) == (2, 1, 0.5)
    assert (earlier.runs, earlier.failures, earlier.live_ic, earlier.turnover_drift) == (1, 1, None, None)
    document: Any = trend_document([us], 1)
    [week] = document[0]["weeks"]
    assert (week["monday"], week["trained"], week["daysJudged"]) == (date(2026, 11, 16), 0, 2)


HOSTILE = "](http://x)<script>|a|\x1b[31m\n# head`" + "x" * 500


def hostile() -> Row:
    """Return a run of which every text is hostile."""
    texts = (
        "name",
        "namespace",
        "reason",
        "message",
        "model_not_kept",
        "drift",
        "decay",
        "live",
        "dataset_source",
    )
    return night(FRIDAY, series=None, recipe_sha256=None, status="failed", **dict.fromkeys(texts, HOSTILE))


def test_markdown_of_hostile_runs_is_only_text():
    """No link, no tag, no new line, no escape of a terminal; bounded."""
    whole = hostile() | {"status": "complete", "trained": True, "run_id": "us-1", "started_at": FRIDAY - DAY}
    for page in (
        snapshot_page(morning([hostile(), whole])),
        trend_page(morning([hostile()]).awake, 2),
    ):
        assert "<script" not in page
        assert "\x1b" not in page
        assert "](" not in page.replace(r"\](", "")
        assert [line for line in page.splitlines() if line.startswith("# head")] == []
        assert max(map(len, page.splitlines())) < 2000
    table = [line for line in snapshot_page(morning([hostile(), whole])).splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in table} == {11}


def test_a_morning_without_runs_says_so():
    """In words."""
    assert "There are no runs yet." in snapshot_page(morning([]))
    assert "no runs in this time" in trend_page([], 4)
    assert snapshot_document(morning([]))["series"] == []


def test_hundreds_of_series_are_listed_in_part():
    """The page is for a mail; the JSON has all."""
    rows = [
        night(FRIDAY, run_id=f"r-{number}", series=f"s{number}", status="failed") for number in range(200)
    ]
    page = snapshot_page(morning(rows))
    assert "And 100 more." in page
    assert "- and 100 more" in page
    series: Any = snapshot_document(morning(rows))["series"]
    assert len(series) == 200


@pytest.mark.parametrize(("days", "expected"), [(0, 0), (1, 0), (3, 1), (7, 5), (10, 6), (-1, 0)])
def test_weekdays_are_counted_after_a_friday(days: int, expected: int):
    """To a day, which counts."""
    assert weekdays_between(FRIDAY.date(), FRIDAY.date() + days * DAY) == expected
