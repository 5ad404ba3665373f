"""`qlib-shadow models`, `snapshot` and `trend`: what they print, and one sentence for wrong input."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.runner.catalog.volumes import SmallVolume

from qlib_shadow_runner.cli import main
from qlib_shadow_runner.contract import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = "ab" * 32
OTHER = "cd" * 32


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallVolume:
    """Return a volume with three nights of one series, one night of another recipe, and a damaged run."""
    volume = SmallVolume(tmp_path_factory.mktemp("models") / "data")
    volume.add_dataset(64)
    now = datetime.now(UTC)
    for number in range(3):
        model: dict[str, Any] = {
            "series": "us",
            "recipe_sha256": RECIPE,
            "model_trained_by": "night-0" if number < 2 else "night-2",
            "model_kept": number == 1,
            "model_trained_through": "2025-06-30",
            "model_data_end": "2026-03-25",
            "model_age_days": number % 2,
            "drift": {"state": "drifting" if number == 2 else "none", "turnover": 0.25},
            "started_at_utc": f"{now - timedelta(hours=50 - 24 * number):%Y-%m-%dT%H:%M:%SZ}",
        }
        volume.add_run(f"night-{number}", 60 + number, **model)
    volume.add_run("alone-1", 60, recipe_sha256=OTHER, model_trained_by="alone-1", model_kept=False)
    volume.add_run("torn-1", 60).joinpath("metrics.json").write_text("{")
    return volume


def answer(small: SmallVolume, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """Return the JSON that a command prints."""
    assert main([*words, "--json", "--data", str(small.data)]) == ExitCode.DONE
    return json.loads(capsys.readouterr().out)


def test_models_are_listed_with_what_became_of_them(small: SmallVolume, capsys: pytest.CaptureFixture[str]):
    """As a table and as JSON; damaged runs are named, and a query says the same."""
    assert main(["models", "--data", str(small.data)]) == ExitCode.DONE
    printed = capsys.readouterr()
    heads, *rows = [line.split() for line in printed.out.splitlines()]
    assert heads[:3] == ["SERIES", "RECIPE", "TRAINED"]
    assert [(row[0], row[1]) for row in rows] == [
        ("us", "abababab"),
        ("us", "abababab"),
        ("alone", "cdcdcdcd"),
    ]
    assert printed.err == "note: 1 damaged run is left out; see: qlib-shadow runs --status damaged\n"
    newest, first, _ = found = answer(small, capsys, "models")
    assert (newest["model"], newest["usedBy"]) == ("night-2", ["night-2"])
    assert (first["model"], first["usedBy"]) == ("night-0", ["night-1", "night-0"])
    assert (first["trainedThrough"], first["dataEnd"], first["ageDays"]) == ("2025-06-30", "2026-03-25", 1)
    assert (first["ic"], first["daysJudged"]) == (0.036, 2)
    live = "select model, ic, live_ic, days_judged from models order by model"
    asked = answer(small, capsys, "query", live)
    assert [row["live_ic"] for row in asked] == [
        one["liveIc"] for one in sorted(found, key=lambda one: one["model"])
    ]
    assert first["liveIc"] is not None


def test_models_of_one_recipe_are_chosen_by_its_beginning(
    small: SmallVolume, capsys: pytest.CaptureFixture[str]
):
    """One that there is not is refused with the nearest."""
    assert [one["model"] for one in answer(small, capsys, "models", "--recipe", "cd")] == ["alone-1"]
    for wrong in ("cdce", "", "x" * 500):
        assert main(["models", "--recipe", wrong, "--data", str(small.data)]) == ExitCode.BAD_CONFIG
        said = capsys.readouterr().err
        assert "no model in" in said
        assert "cdcdcdcd" in said
        assert len(said) < 400


def test_snapshot_says_what_needs_a_person_and_how_each_series_went(
    small: SmallVolume, capsys: pytest.CaptureFixture[str]
):
    """Runs that rest are only counted."""
    assert main(["snapshot", "--data", str(small.data)]) == ExitCode.DONE
    page = capsys.readouterr().out
    assert "things need a person" in page
    assert "- **us**, drift (night-2): features, scores or turnover have moved away" in page
    assert "| us | night-2 | complete |" in page
    found = answer(small, capsys, "snapshot", "--series", "us")
    assert [one["series"] for one in found["series"]] == ["us"]
    assert [one["kind"] for one in found["needs"]] == ["old data", "drift"]
    assert found["lastNight"] == {"complete": 1}


def test_trend_says_how_the_weeks_went(small: SmallVolume, capsys: pytest.CaptureFixture[str]):
    """In Markdown and in JSON."""
    [us] = answer(small, capsys, "trend", "--series", "us", "--weeks", "2")
    assert sum(week["runs"] for week in us["weeks"]) == 3
    assert sum(week["trained"] for week in us["weeks"]) == 2
    assert sum(week["drifting"] for week in us["weeks"]) == 1
    assert {week["turnoverDrift"] for week in us["weeks"]} <= {0.25, None}
    assert main(["trend", "--data", str(small.data)]) == ExitCode.DONE
    assert "## us\n\n| Week of | Runs |" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["snapshot", "trend"])
def test_a_file_is_written_whole_or_not_at_all(
    small: SmallVolume, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
):
    """With nothing on stdout."""
    target = tmp_path / "day.md"
    for words in ([], ["--json"]):
        target.unlink(missing_ok=True)
        assert main([command, "--out", str(target), "--data", str(small.data), *words]) == ExitCode.DONE
        assert capsys.readouterr().out == ""
        assert target.read_text().startswith(("{", "[") if words else "#")
        assert [path.name for path in tmp_path.iterdir()] == ["day.md"]
    for wrong in (tmp_path, tmp_path / "no" / "day.md"):
        assert main([command, "--out", str(wrong), "--data", str(small.data)]) == ExitCode.BAD_CONFIG
        assert "is a folder" in (said := capsys.readouterr().err) or "is not a folder" in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["trend", "--weeks", "0"], '--weeks must be a whole number from 1 to 52, not "0"'),
        (["trend", "--weeks", "53"], "from 1 to 52"),
        (["trend", "--weeks", "a few"], "--weeks must be a whole number"),
        (["trend", "--series", "su"], 'did you mean "us"?'),
        (["snapshot", "--series", ""], 'there is no series ""'),
        (["snapshot", "--series", "x" * 900], "there is no series"),
    ],
)
def test_wrong_input_is_one_sentence(
    small: SmallVolume, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
):
    """With what to write instead."""
    assert main([*words, "--data", str(small.data)]) == ExitCode.BAD_CONFIG
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("command", ["models", "snapshot", "trend"])
def test_a_volume_without_runs_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str):
    """It is no error."""
    assert main([command, "--data", str(tmp_path)]) == ExitCode.DONE
    assert "no runs" in capsys.readouterr().out
