"""Five nights of the sample, made small: one trains, two keep its model, one trains again, one keeps."""

from __future__ import annotations

import json
import re
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml
from tests.unit.runner.catalog.volumes import SmallVolume
from tests.unit.runner.ui.conftest import served

from local_stages import LocalVolume
from qlib_shadow_runner.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT: Final = Path(__file__).parents[4]
SAMPLE: Final = ROOT / "manifests/samples/nights.yaml"
FIRST: Final = date(2020, 2, 3)
"""A Monday in the sample's market, made small."""
SMALL: Final[dict[str, Any]] = {
    "window": {"train": "122d", "valid": "30d", "test": "40d"},
    "model": {"num_boost_round": 12, "min_child_samples": 5},
}


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> LocalVolume:
    """Run five nights, each with one more day of data."""
    volume = LocalVolume(tmp_path_factory.mktemp("five"))
    spec = yaml.safe_load(SAMPLE.read_text())["spec"]
    spec["workflow"] |= SMALL
    for number in range(5):
        until = str(FIRST + timedelta(days=number))
        spec["dataset"]["source"]["synthetic"] = {"symbols": 10, "days": 300, "until": until}
        volume.spec = spec
        volume.run(f"night-{number + 1}")
    return volume


@pytest.fixture
def said(five: LocalVolume, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Return a function that asks a command for JSON."""

    def ask(*words: str) -> Any:
        assert main([*words, "--json", "--data", str(five.mount)]) == 0
        return json.loads(capsys.readouterr().out)

    return ask


def test_a_series_trains_and_keeps_as_it_was_asked(five: LocalVolume):
    """Every third night trains; each folder verifies golden and says whose model it has."""
    trained = [five.metadata(f"night-{number}")["model_trained_by"] for number in range(1, 6)]
    assert trained == ["night-1"] * 3 + ["night-4"] * 2
    for number in range(1, 6):
        assert five.faults(f"night-{number}") == []
        assert five.metadata(f"night-{number}")["series"] == "demo-nights"


def test_the_live_ic_of_earlier_nights_is_known(five: LocalVolume, said: Callable[..., Any]):
    """Of the first three nights, from the data of the fifth; their model has the mean."""
    rows = said("query", "select run_id, ic from followup where live and horizon = 1 order by run_id")
    assert [row["run_id"] for row in rows] == ["night-1", "night-2", "night-3"]
    newest, first = said("models")
    assert (newest["usedBy"], newest["liveIc"]) == (["night-5", "night-4"], None)
    assert first["usedBy"] == ["night-3", "night-2", "night-1"]
    assert first["liveIc"] == pytest.approx(sum(row["ic"] for row in rows) / 3)
    assert first["ic"] == pytest.approx(five.result("night-1")["metrics"]["ic"])


def test_the_morning_after_says_the_same_in_each_form(five: LocalVolume, said: Callable[..., Any]):
    """The snapshot, the trend, the page and the JSON show one module's facts."""
    snapshot = said("snapshot")
    assert (snapshot["needs"], snapshot["lastNight"]) == ([], {"complete": 5})
    [series] = snapshot["series"]
    assert (series["runId"], series["modelTrainedBy"], series["modelAgeDays"]) == ("night-5", "night-4", 1)
    assert (series["dataEnd"], series["liveDays"]) == (str(FIRST + timedelta(days=4)), 3)
    [trend] = said("trend", "--weeks", "2")
    assert sum(week["trained"] for week in trend["weeks"]) == 2
    with served(SmallVolume(five.mount)) as pages:
        page = pages.get("/").text
    assert "Nothing needs a person" in page
    assert re.search(r"kept, 1 day old", page)


def test_the_demo_asks_for_nights_in_the_samples_market():
    """Five days in a row, of which the sample names the first."""
    nights = re.search(r"^NIGHTS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert nights is not None
    days = [date.fromisoformat(day) for day in nights[1].split()]
    assert [day - days[0] for day in days] == [timedelta(days=number) for number in range(5)]
    assert {day.weekday() for day in days} == set(range(5))
    assert f"until: {days[0]}" in SAMPLE.read_text()
