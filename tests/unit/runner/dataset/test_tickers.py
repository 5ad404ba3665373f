"""Tickers that Qlib cannot read are renamed in prices and refused in a user's dataset."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.contract import ARTIFACTS, ENV_DATA, METADATA_FILE, Reason
from qlib_shadow_runner.dataset.tickers import READ_AS_MISSING
from qlib_shadow_runner.dataset.verification import verify_dataset
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.runner.conftest import MakeDataset

ASK_QLIB = """
import json, sys, qlib
from qlib.data import D
def ask(folder):
    qlib.init(provider_uri=folder, region="us", kernels=1, logging_level=50)
    try:
        found = D.features(D.instruments("all"), ["$close"], freq="day")
    except Exception:
        return None
    return sorted(set(found.index.get_level_values(0)))
print(json.dumps([ask(folder) for folder in sys.argv[1:]]))
"""


def ask_qlib(*folders: Path) -> list[list[str] | None]:
    """Let the real D.features read datasets; None where it fails."""
    words = [sys.executable, "-c", ASK_QLIB, *map(str, folders)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found: list[list[str] | None] = json.loads(done.stdout)
    return found


def test_missing_value_texts_are_those_of_pandas():
    """A new pandas may take more words for nothing."""
    words = importlib.import_module("pandas._libs.parsers").STR_NA_VALUES
    assert words - {""} == READ_AS_MISSING


FAULTS = {
    "NA": "which Qlib reads as missing",
    "NULL": "which Qlib reads as missing",
    "NaN": "which Qlib reads as missing",
    "None": "which Qlib reads as missing",
    "BRK/B": "which would be a path in features/",
    "..": "which would be a path in features/",
    "..\\x": "which would be a path in features/",
    '"B': "whose quotation mark makes the list unreadable",
    " AAB": "which has a space at its edge",
    "AAB ": "which has a space at its edge",
    "A\x00B": "or a control character",
}


@pytest.mark.parametrize(("symbol", "sentence"), FAULTS.items(), ids=map(ascii, FAULTS))
def test_list_with_an_unreadable_ticker_is_refused(make_dataset: MakeDataset, symbol: str, sentence: str):
    """With the file, the ticker and what to do."""
    folder = make_dataset(30).folder
    path = folder / "instruments" / "all.txt"
    path.write_text(path.read_text() + f"{symbol}\t2020-01-01\t2020-01-10\n")
    with pytest.raises(StageError) as caught:
        verify_dataset(folder)
    assert caught.value.reason is Reason.DATASET_INVALID
    assert str(path) in caught.value.message
    assert sentence in caught.value.message
    assert "Rename it in every list" in caught.value.message


def test_two_tickers_that_differ_in_case_are_refused(make_dataset: MakeDataset):
    """Qlib would give both the same prices."""
    folder = make_dataset(30, {"all": ("AAA", "aaa")}).folder
    with pytest.raises(StageError, match='lists "AAA" and "aaa", which Qlib reads from one folder'):
        verify_dataset(folder)


def test_qlib_fails_on_refused_tickers_and_reads_the_others(make_dataset: MakeDataset, tmp_path: Path):
    """Otherwise the refusals would be in the way; numbers and words of programming languages are tickers."""
    bad = ("NA", "NULL", "nan", '"B')
    good = ("AAA", "NAN", "NONE", "TRUE", "1E5", "000001", "B C", 'A"B', "INF", "BRK-B", "^GSPC")
    folders = [
        make_dataset(30, {"all": ("AAA", ticker)}, tmp_path / f"bad{n}") for n, ticker in enumerate(bad)
    ]
    sound = make_dataset(30, {"all": good}, tmp_path / "good")
    verify_dataset(sound.folder)
    found = ask_qlib(*(dataset.folder for dataset in [*folders, sound]))
    assert found == [None, None, None, None, sorted(good)]


def test_renamed_tickers_are_noted_by_the_run(tmp_path: Path, stage_environ: Callable[..., dict[str, str]]):
    """In the log, in the dataset's manifest and in the run's metadata; Qlib reads them by the new names."""
    inbox = tmp_path / "data" / "inbox"
    inbox.mkdir(parents=True)
    tickers = ("AAA", "NA", "null", "NaN", "BRK/B", "GONE")
    rows = [
        f"2024-01-{day:02},{ticker},1,2,1,2,{0 if ticker == 'GONE' else 5}"
        for day in range(2, 30)
        for ticker in tickers
    ]
    (inbox / "us.csv").write_text("\n".join(["date,symbol,open,high,low,close,volume", *rows]) + "\n")
    environ = stage_environ({"dataset": {"source": {"prices": {"path": "inbox/us.csv"}}}})
    words = [sys.executable, "-m", "qlib_shadow_runner", "stage", "download"]
    done = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    renamed = "NA is NA_, null is NULL_, NaN is NAN_, BRK/B is BRK-B"
    notes = [
        f"symbols renamed from the files (4): {renamed}",
        "symbols left out because they have no bar (1): GONE",
        "rows left out because they have no volume (28)",
    ]
    assert all(f"note: {note}" in done.stdout for note in notes)
    volume = tmp_path / "data"
    dataset = volume / "qlib" / "qlib_data" / "us_data_1d"
    manifest = dataset.resolve().with_name(dataset.resolve().name + ".manifest.json")
    metadata = json.loads((volume / ARTIFACTS / "demo-1" / METADATA_FILE).read_text())
    assert json.loads(manifest.read_text())["notes"] == metadata["dataset_notes"] == notes
    assert ask_qlib(dataset) == [["AAA", "BRK-B", "NAN_", "NA_", "NULL_"]]
    assert environ[ENV_DATA] == str(volume)
