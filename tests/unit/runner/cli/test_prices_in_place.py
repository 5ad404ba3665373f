"""`--prices` reads the files of a person's machine where they lie, into the dataset that the inbox makes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from qlib_shadow_runner.cli import main
from qlib_shadow_runner.contract import ENV_PRICES, METADATA_FILE

MANIFEST = """
apiVersion: qlibshadow.io/v1alpha1
kind: QlibShadowRun
metadata: {name: mine}
spec:
  dataset:
    source: {prices: {path: inbox/us}}
    quality: {waive: [{finding: stale_end, why: a test}]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Write a manifest that names a folder in the inbox."""
    path = tmp_path / "run.yaml"
    path.write_text(MANIFEST)
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a folder outside of any volume with a file for each of two symbols, one of them a link."""
    days = pd.bdate_range("2020-01-02", periods=30)
    for name in ("AAA", "BBB"):
        (tmp_path / "home/us").mkdir(parents=True, exist_ok=True)
        prices = dict.fromkeys(("open", "high", "low", "close", "volume"), 10.0)
        pd.DataFrame({"date": days, **prices}).to_csv(tmp_path / f"home/us/{name}.csv", index=False)
    (tmp_path / "home/us/BBB.csv").rename(tmp_path / "home/elsewhere.csv")
    (tmp_path / "home/us/BBB.csv").symlink_to(tmp_path / "home/elsewhere.csv")
    return tmp_path / "home"


def downloaded(
    capsys: pytest.CaptureFixture[str], *arguments: object
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run `download` and return the dataset's facts and the metadata."""
    assert main(["download", *map(str, arguments), "--json"]) == 0, capsys.readouterr().out
    found = json.loads(capsys.readouterr().out)
    metadata = json.loads((Path(found["folder"]) / METADATA_FILE).read_text())
    return found["dataset"], metadata


def test_files_in_place_make_the_dataset_of_the_same_files_on_the_volume(
    tmp_path: Path,
    file: Path,
    home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    """All facts are equal, nothing is copied, and the metadata say where the files were read."""
    monkeypatch.chdir(home)
    found, metadata = downloaded(capsys, file, "--prices", "us", "--data", tmp_path / "here")
    assert metadata["dataset_prices_read_from"] == str(home / "us")
    assert not (tmp_path / "here/inbox").exists()
    [waived] = metadata["dataset_quality"]["waived"]
    assert (waived["finding"], waived["why"], waived["count"] > 0) == ("stale_end", "a test", True)
    assert found["overallState"] == "ok"
    monkeypatch.setenv(ENV_PRICES, "nowhere")  # a variable of the shell is no option
    shutil.copytree(home / "us", tmp_path / "there/inbox/us")
    other, metadata = downloaded(capsys, file, "--data", tmp_path / "there")
    assert metadata["dataset_prices_read_from"] is None
    assert found == other
    assert main(["render", str(file), "--prices", "us", "--data", str(tmp_path / "here")]) != 0
    assert "days" in capsys.readouterr().err  # the dataset is found, and too short to train on


FAULTS = {
    "nothing there": ("gone", "there is nothing at {}. Name a Parquet or CSV file with --prices"),
    "a column is missing": ("bad", "{}/AAA.csv has no column for low; its columns are"),
}


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(("prices", "sentence"), FAULTS.values(), ids=FAULTS)
def test_prices_that_cannot_be_read_in_place_are_refused_by_validate(
    prices: str, sentence: str, tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
):
    """Before anything is made."""
    bad = tmp_path / "bad/AAA.csv"
    bad.parent.mkdir()
    bad.write_text("date,open,high,close,volume\n2024-01-02,1,1,1,1\n")
    assert main(["validate", str(file)]) == 0
    assert main(["validate", str(file), "--prices", str(tmp_path / prices)]) == 11
    assert sentence.format(tmp_path / prices) in capsys.readouterr().err


def test_prices_beside_another_source_are_refused(file: Path, home: Path, capsys: pytest.CaptureFixture[str]):
    """They would have no effect."""
    file.write_text(MANIFEST.replace("prices: {path: inbox/us}", "existing: {}"))
    assert main(["run", str(file), "--prices", str(home), "--data", str(home / "data")]) == 10
    assert "has no spec.dataset.source.prices, whose files --prices" in capsys.readouterr().err
    assert not (home / "data").exists()


def test_missing_files_of_the_volume_are_refused_with_the_option(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
):
    """Who has the files elsewhere learns of it."""
    assert main(["download", str(file), "--data", str(tmp_path / "data")]) == 11
    assert "there is nothing at /data/inbox/us on the volume" in (err := capsys.readouterr().err)
    assert "the option --prices reads files that lie elsewhere" in err
