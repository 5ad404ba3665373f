"""Quality checks count findings in a dataset, and a run's policy assesses them."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pytest

from qlib_shadow_runner.dataset.manifest import DatasetOrigin, describe
from qlib_shadow_runner.dataset.prices.conversion_notes import Count, Notes
from qlib_shadow_runner.dataset.qlib_layout import Dataset
from qlib_shadow_runner.dataset.quality.assess import age, assess, reassess
from qlib_shadow_runner.dataset.quality.checks import RULES, STRUCTURAL, CheckKind, Finding, Place, State
from qlib_shadow_runner.dataset.quality.policy import Policy
from qlib_shadow_runner.dataset.quality.survey import survey
from qlib_shadow_runner.dataset.synthetic import Market, write_market
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.spec import parse_spec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DAYS = 60


@pytest.fixture
def folder(make_dataset: Callable[..., Dataset]) -> Path:
    """Return a dataset without a fault: constant prices, four symbols."""
    return make_dataset(DAYS, {"all": ("AAA", "BBB", "CCC", "^GSPC")}).folder


def put(folder: Path, symbol: str, field: str, values: np.ndarray, start: int = 0) -> None:
    """Replace one bin file."""
    home = folder / "features" / symbol
    np.concatenate([[start], values]).astype("<f4").tofile(home / f"{field}.day.bin")


def counted(folder: Path) -> dict[str, Finding]:
    """Count, and leave out what was not found."""
    return {finding.name: finding for finding in survey(folder) if finding.count}


def ones(count: int = DAYS) -> np.ndarray:
    """Return a constant price."""
    return np.ones(count)


def test_clean_dataset_has_no_findings(folder: Path):
    """Every check that needs nothing else is made and finds nothing."""
    quality = assess(survey(folder))
    assert {check["state"] for check in quality.checks} == {"ok"}
    assert quality.overall_state is State.OK
    assert (quality.reason_code, quality.action_hint, quality.refusal, quality.warnings) == (
        "Ok",
        "",
        None,
        [],
    )


def test_synthetic_data_has_no_findings(tmp_path: Path):
    """The demo must not begin with a warning; gaps, splits and delistings are in it."""
    write_market(tmp_path, Market(7, 60, date(2019, 1, 2), 1512), 1512)
    assert counted(tmp_path) == {}


def test_calendar_out_of_order_is_counted(folder: Path):
    """The day that is out of order is the example."""
    path = folder / "calendars" / "day.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:10], lines[3], *lines[11:]]) + "\n")
    assert counted(folder)["calendar_order"] == Finding("calendar_order", 1, [lines[3]])


@pytest.mark.parametrize("fault", ["too long", "torn", "no start", "empty"])
def test_bin_file_outside_the_calendar_is_counted(fault: str, folder: Path):
    """A file that cannot be what it should be is named, and read no further."""
    path = folder / "features" / "aaa" / "close.day.bin"
    content = path.read_bytes()
    bad = {
        "too long": content + b"\0" * 8,
        "torn": content[:-1],
        "no start": np.array([np.nan, 1], "<f4").tobytes(),
        "empty": b"",
    }
    path.write_bytes(bad[fault])
    assert counted(folder)["bin_bounds"] == Finding("bin_bounds", 1, ["features/aaa/close.day.bin"])


def test_impossible_prices_are_counted(folder: Path):
    """Zero, negative and infinite ones, each with symbol, field and day; NaN is a gap and no fault."""
    values = ones()
    values[[3, 4, 5, 6]] = [0, -1, np.inf, np.nan]
    put(folder, "aaa", "open", values)
    found = counted(folder)["invalid_prices"]
    calendar = Dataset(folder).calendar
    assert found == Finding("invalid_prices", 3, [f"AAA open {calendar[day]}" for day in (3, 4, 5)])


def test_listed_instruments_without_prices_are_counted(make_dataset: Callable[..., Dataset]):
    """By the name in the list, while folders are in lower case. It warns, since Qlib leaves them out."""
    universes = {"all": ("AAA", "BBB", "CON"), "some": ("aaa", "ZZZ")}
    folder = make_dataset(DAYS, universes, without_features=("BBB", "ZZZ")).folder
    (folder / "features" / "con").rename(folder / "features" / "_qlib_con")
    assert counted(folder) == {
        "no_prices": Finding("no_prices", 2, ["BBB", "ZZZ"], [Place("BBB"), Place("ZZZ")])
    }
    quality = assess(survey(folder))
    assert quality.refusal is None
    [warning] = quality.warnings
    assert "no_prices found 2 instruments that a list names and that have no close" in warning
    assert assess(survey(folder), Policy(("no_prices",))).refusal is not None


def test_missing_days_are_counted(folder: Path):
    """More than a twentieth between first and last; before the first day nothing is missing."""
    values = ones()
    values[10:14] = np.nan
    put(folder, "aaa", "close", values)
    put(folder, "bbb", "close", ones(DAYS - 30), start=30)
    assert counted(folder)["missing_days"] == Finding("missing_days", 1, ["AAA lacks 4 of 60 days"])


def test_high_below_the_close_is_counted(folder: Path):
    """Rounding is forgiven, more is not."""
    high, low = ones(), ones()
    high[7] = 0.9
    low[8] = 1.00001
    put(folder, "aaa", "high", high)
    put(folder, "aaa", "low", low)
    assert counted(folder)["high_low"] == Finding("high_low", 1, [f"AAA {Dataset(folder).calendar[7]}"])


def test_unadjusted_split_is_counted(folder: Path):
    """Half the price over night at the same factor; with the factor moving too, it is none."""
    close, factor = ones(), ones()
    close[40:] = 0.51
    factor[40:] = 2
    for symbol in ("aaa", "bbb"):
        put(folder, symbol, "close", close)
    put(folder, "bbb", "factor", factor)
    put(folder, "ccc", "close", np.where(np.arange(DAYS) < 20, 1, 0.6))  # bad, but no whole multiple
    assert counted(folder)["split_jumps"] == Finding(
        "split_jumps", 1, [f"AAA {Dataset(folder).calendar[40]}"]
    )


def test_partial_last_day_is_counted(folder: Path):
    """Many symbols that end a day early count; those that ended long ago were delisted."""
    calendar = Dataset(folder).calendar
    put(folder, "aaa", "close", ones(DAYS - 1))
    put(folder, "bbb", "close", ones(DAYS - 20))
    assert counted(folder)["partial_end"] == Finding("partial_end", 1, [f"AAA until {calendar[DAYS - 2]}"])


def test_instruments_that_ended_together_long_ago_are_counted(folder: Path):
    """An index may go on alone for years; one instrument that ended was delisted."""
    calendar = Dataset(folder).calendar
    put(folder, "aaa", "close", ones(DAYS - 30))
    put(folder, "bbb", "close", ones(DAYS - 28))
    shown = [f"AAA until {calendar[DAYS - 31]}", f"BBB until {calendar[DAYS - 29]}"]
    assert counted(folder)["partial_end"] == Finding("partial_end", 2, shown)


def test_rows_changed_by_the_conversion_are_counted(folder: Path):
    """The notes beside the data count rows that are not in it."""
    Notes(duplicates=Count(3, ["AAA 2020-01-01"]), rejected=Count(2, ["BBB 2020-01-02"])).write(folder)
    found = counted(folder)
    assert found["duplicate_rows"] == Finding("duplicate_rows", 3, ["AAA 2020-01-01"])
    assert found["rejected_rows"] == Finding("rejected_rows", 2, ["BBB 2020-01-02"])


def test_number_of_examples_is_limited(folder: Path):
    """The manifest stays small."""
    put(folder, "aaa", "close", -ones())
    put(folder, "bbb", "close", -ones())
    found = counted(folder)["invalid_prices"]
    assert (found.count, len(found.examples)) == (2 * DAYS, 5)


@pytest.mark.parametrize(("days", "count"), [(-2, 2), (-1, 0), (0, 0), (10, 0), (11, 11)])
def test_age_is_counted(days: int, count: int):
    """More than ten days, or more than a time zone ahead."""
    end = date(2024, 6, 30)
    assert age(end, date.fromordinal(end.toordinal() + days)).count == count


SPLIT = Finding("split_jumps", 2, ["AAA 2020-01-01"])
ZERO = Finding("invalid_prices", 1, ["BBB 2020-01-02"])


def test_only_structural_checks_block_by_default():
    """The other checks warn."""
    quality = assess([SPLIT])
    assert (quality.engineering_state, quality.source_state) == (State.OK, State.WARN)
    assert (quality.policy_state, quality.overall_state) == (State.OK, State.WARN)
    assert quality.reason_code == "UnadjustedSplits"
    assert quality.refusal is None
    [warning] = quality.warnings
    assert warning == (
        "the dataset's quality: split_jumps found 2 closes that moved by a whole multiple while the factor "
        "stayed: unadjusted splits (AAA 2020-01-01). "
        "Deliver adj_close or factor with the prices, or adjusted prices; waive the finding for a real move."
    )


def test_what_the_policy_blocks_fails():
    """The failure comes before any warning."""
    quality = assess([SPLIT, Finding("missing_days", 1)], Policy((*STRUCTURAL, "split_jumps")))
    assert (quality.policy_state, quality.overall_state) == (State.FAIL, State.FAIL)
    assert quality.reason_code == "UnadjustedSplits"
    assert quality.refusal is not None
    assert "split_jumps found 2" in quality.refusal
    assert "missing_days" not in quality.refusal
    assert quality.warnings == []


@pytest.mark.parametrize("name", RULES)
def test_each_check_blocks_only_where_the_policy_names_it(name: str):
    """By its own code, and with its own advice."""
    rule, findings = RULES[name], [Finding(name, 3, ["here"])]
    blocked = assess(findings, policy({"block": [name]}))
    assert (blocked.policy_state, blocked.overall_state) == (State.FAIL, State.FAIL)
    assert (blocked.reason_code, blocked.action_hint) == (rule.reason, rule.hint)
    assert blocked.refusal is not None
    assert f"{name} found 3 {rule.finds} (here). {rule.hint}" in blocked.refusal
    default = assess(findings)
    expected = State.FAIL if rule.kind is CheckKind.ENGINEERING else State.WARN
    assert default.overall_state is expected
    states = {CheckKind.ENGINEERING: default.engineering_state, CheckKind.SOURCE: default.source_state}
    assert states.pop(rule.kind) is expected
    assert set(states.values()) == {State.OK}


def test_structural_faults_set_the_engineering_state():
    """The states say where to look."""
    quality = assess([ZERO])
    assert (quality.engineering_state, quality.source_state) == (State.FAIL, State.OK)
    assert quality.refusal is not None


def test_recorded_findings_are_assessed_by_each_runs_policy():
    """The manifest keeps facts; it survives JSON, and age is of the day of the run."""
    recorded = json.loads(json.dumps(assess([SPLIT]).record()))
    again = reassess(recorded, Policy(("stale_end",)), end=date(2024, 1, 1), today=date(2024, 3, 1))
    assert again.reason_code == "StaleData"
    assert again.overall_state is State.FAIL
    assert reassess({}, Policy()).overall_state is State.OK


def test_manifest_records_the_states(folder: Path):
    """Programs read them there."""
    quality = describe(folder, DatasetOrigin("existing")).quality
    assert {
        "engineering_state",
        "source_state",
        "policy_state",
        "overall_state",
        "reason_code",
        "action_hint",
    } < quality.keys()
    assert quality["overall_state"] == "ok"


def policy(raw: object) -> Policy:
    """Read `spec.dataset.quality`."""
    return Policy.of(parse_spec({"dataset": {"quality": raw}}).dataset.quality)


def test_policy_is_read():
    """Names add to what blocks anyhow; `all` is everything."""
    assert policy({}) == Policy(STRUCTURAL)
    assert set(policy({"block": ["split_jumps"]}).block) == {*STRUCTURAL, "split_jumps"}
    assert policy({"block": ["all"]}).block == tuple(RULES)
    assert policy({"block": ["split_jumps", "all"]}).block == tuple(RULES)


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (
            {"block": ["split_jump"]},
            "stale_end, all, not 'split_jump'; did you mean \"split_jumps\"?",
        ),
        (
            {"block": "split_jumps"},
            "spec.dataset.quality.block must be a list of at most 16 checks, such as",
        ),
        ({"blocks": []}, 'spec.dataset.quality has no field "blocks"; did you mean "block"?'),
        ({"block": [["x"]]}, "spec.dataset.quality.block[0] must be one of calendar_order, bin_bounds"),
    ],
)
def test_invalid_policy_is_refused(raw: object, sentence: str):
    """Unknown names are refused with the nearest known one."""
    with pytest.raises(StageError) as caught:
        policy(raw)
    assert sentence in caught.value.message


def test_check_descriptions_are_complete():
    """Codes are unique, hints are sentences, and the structural ones are the engineering ones."""
    assert len({rule.reason for rule in RULES.values()}) == len(RULES)
    assert all(rule.hint.endswith(".") for rule in RULES.values())
    assert {name for name, rule in RULES.items() if rule.kind is CheckKind.ENGINEERING} == set(STRUCTURAL)
