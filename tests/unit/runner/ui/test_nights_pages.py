"""The first page tells of last night, and each series has a page: with no run, one, many and hostile ones."""

from __future__ import annotations

import html
import json
import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import pytest
from tests.unit.runner.catalog.volumes import SmallVolume
from tests.unit.runner.ui.conftest import served

from qlib_shadow_runner.catalog.update import update
from qlib_shadow_runner.contract import ARTIFACTS, METADATA_FILE
from qlib_shadow_runner.ui.nights_chart import MOST_MARKS, SPARK_DAYS, live_chart, spark_bars

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

RECIPE: Final = "5a" * 32
NIGHTS: Final = 200


def leave_night(small: SmallVolume, number: int, days: int, run_id: str = "", /, **values: Any) -> None:
    """Leave a night of the series us, which began so many days ago."""
    began = datetime.now(UTC) - timedelta(days=number, hours=1)
    model: dict[str, Any] = {
        "series": "us",
        "namespace": "research",
        "recipe_sha256": RECIPE,
        "model_trained_by": f"us-{number - number % 20 + 19:03}",
        "model_kept": number % 20 != 19,
        "model_trained_through": "2025-06-30",
        "model_age_days": 19 - number % 20,
        "drift": {"state": "drifting" if number == 0 else "none"},
        "decay": {"gave_up": "us-039"} if number == 19 else {"state": "holds"},
        "started_at_utc": f"{began:%Y-%m-%dT%H:%M:%SZ}",
        "dataset_source": "synthetic 1",
    }
    small.add_run(run_id or f"us-{number:03}", days, **{**model, **values})


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the pages of a volume with many nights, among them a failed one of another series."""
    small = SmallVolume(tmp_path_factory.mktemp("nights") / "data")
    small.add_dataset(80)
    for number in range(20):
        leave_night(small, number, 60 + max(0, 15 - number))
    for number in range(20, NIGHTS):  # without outputs: a signals file of each would take seconds
        folder = small.data / ARTIFACTS / f"us-{number:03}"
        began = f"{datetime.now(UTC) - timedelta(days=number):%Y-%m-%dT%H:%M:%SZ}"
        night = {"run_id": folder.name, "series": "us", "namespace": "research", "started_at_utc": began}
        folder.mkdir()
        (folder / METADATA_FILE).write_text(json.dumps(night | {"status": "complete"}))
    world = {"series": "world", "status": "failed", "reason": "OutOfDisk", "model_trained_by": None}
    leave_night(small, 0, 60, "world-1", **world)
    update(small.volume)
    with served(small) as pages:
        return {
            path: pages.get(path).text
            for path in ("/", "/series?of=research%2Fseries%2Fus", "/series?of=research%2Fseries%2Fworld")
        }


def test_what_needs_a_person_comes_first(texts: dict[str, str]):
    """The most urgent first, then the series; the list of runs is one click away."""
    text = texts["/"]
    assert "2 things need a person" in text
    assert re.findall(r'<span class="badge">([^<]+)</span>', text) == ["ended badly", "drift"]
    assert text.index("OutOfDisk") < text.index('id="h-series"')
    assert '<a href="/runs/world-1">world-1</a>' in text
    assert '<a href="/series?of=research%2Fseries%2Fus">us</a>' in text
    assert "2025-06-30<small>kept, 19 days old</small>" in text
    assert 'class="warn">drifting<' in text
    assert '<svg class="spark"' in text
    assert '<a href="/runs">All runs</a>' in text


def test_a_series_has_its_live_ic_its_models_and_its_runs(texts: dict[str, str]):
    """Bounded: the last runs are listed."""
    text = texts["/series?of=research%2Fseries%2Fus"]
    assert f"60 of {NIGHTS} runs" in text
    assert text.count('<td data-label="Status">') == 60
    assert "Live IC from " in text
    assert '<th scope="row"><a href="/runs/us-019">us-019</a></th>' in text
    assert text.count('data-label="Ended badly"') == 6
    assert text.count("trained: the one before had decayed") == 1
    assert "No run has said which model it used" in texts["/series?of=research%2Fseries%2Fworld"]


@pytest.mark.parametrize("count", [0, 1])
def test_a_volume_with_no_run_or_one_is_told_of(tmp_path: Path, count: int):
    """The first says how to make a run; a series that there is not is refused."""
    small = SmallVolume(tmp_path / "data")
    small.data.mkdir()
    if count:
        leave_night(small, 0, 60, series=None, recipe_sha256=None, drift=None, model_trained_by=None)
    with served(small) as pages:
        text = pages.get("/").text
        refused = pages.get("/series?of=%1b%3Cimg%3E" + "x" * 900)
    assert ("There are no runs on this volume yet" in text) is (count == 0)
    assert ("Nothing needs a person" in text) is (count == 1)
    assert refused.status == 404
    assert "&lt;img&gt;" in refused.text
    assert len(refused.text) < 3000


HOSTILE: Final = "<img src=x onerror=alert(1)>\x1b[31m\u202e" + "y" * 3000


def test_a_hostile_run_is_only_text(tmp_path: Path):
    """In every field of its metadata that the pages show; nothing is longer than a page can show."""
    small = SmallVolume(tmp_path / "data")
    names = ("name", "namespace", "status", "reason", "series", "recipe_sha256", "model_trained_by", "live")
    more = ("model_trained_through", "model_not_kept", "universe_end", "dataset_source", "dataset_end")
    evil: dict[str, Any] = dict.fromkeys((*names, *more), HOSTILE)
    small.add_run("evil-1", 60, **evil)
    lists: dict[str, Any] = {
        "drift": [HOSTILE],
        "decay": {"state": {HOSTILE: 1}},
        "model_kept": HOSTILE,
        "series": [HOSTILE],
    }
    small.add_run("evil-2", 60, started_at_utc="9999-12-31T23:59:59-12:00", model_age_days=1e300, **lists)
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    small.add_run(
        "evil-3", 60, namespace=HOSTILE, name=HOSTILE, status="failed", reason=HOSTILE, started_at_utc=now
    )
    with served(small) as pages:
        first = pages.get("/")
        addresses = re.findall(r'href="(/series\?of=[^"]+)"', first.text)
        assert len(addresses) >= 3
        shown = [first.text, *(pages.get(html.unescape(address)).text for address in addresses)]
    for text in shown:
        assert "<img" not in text
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "y" * 700 not in text
    assert all("h-runs" in text for text in shown[1:])


def test_a_key_of_a_series_is_any_text(tmp_path: Path):
    """Also with letters that an address must escape."""
    small = SmallVolume(tmp_path / "data")
    leave_night(small, 0, 60, series=None, recipe_sha256=None, name="a/b&c=ü", namespace="x y")
    with served(small) as pages:
        assert "<h1>a/b&amp;c=ü</h1>" in pages.get(f"/series?of={quote('x y/name/a/b&c=ü', safe='')}").text


def test_the_morning_fits_a_phone_and_has_its_picture(browser: Browser, tmp_path: Path):
    """With the longest names that there can be, and many series."""
    small = SmallVolume(tmp_path / "data")
    small.add_dataset(70)
    for number in range(60):
        series = f"{'long-' * 12}{number:02}"
        leave_night(small, number % 20, 60 + number % 5, f"n-{number}", series=series, status="failed")
    update(small.volume)
    with served(small) as pages:
        page = browser.new_context(base_url=pages.url, viewport={"width": 390, "height": 844}).new_page()
        page.goto("/")
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert page.locator(".need").count() == 30
        assert page.get_by_text("and 10 more series").count() == 1
        page.locator("tbody th a").first.click()
        page.wait_for_load_state()
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.context.close()


def test_a_chart_has_a_bar_for_each_day_and_marks_where_a_run_trained():
    """Too many marks would hide the bars; one day is no chart."""
    days = [date(2026, 1, 1) + timedelta(days=number) for number in range(40)]
    live = {day: (-1) ** number * 0.01 * number for number, day in enumerate(days)}
    chart = live_chart(live, [days[0], days[20], days[20], date(2020, 1, 1), date(2030, 1, 1)])
    assert chart is not None
    assert len(chart.bars) == len(chart.mean.split(" ")) == 40
    assert len(chart.marks) == 3
    assert all(chart.left <= x <= chart.right for x in chart.marks)
    assert all(chart.top <= bar.y <= bar.y + bar.height <= chart.bottom + 1 for bar in chart.bars)
    assert [bar.is_positive for bar in chart.bars[1:3]] == [False, True]
    assert live_chart(dict.fromkeys(days, 0.0), []) is not None
    assert live_chart(live, days[: MOST_MARKS + 1]).marks == []  # type: ignore[union-attr]
    assert live_chart({days[0]: 1.0}, []) is None
    assert len(spark_bars(live)) == SPARK_DAYS
    assert spark_bars({}) == []
