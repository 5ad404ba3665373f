"""`qlib-shadow cache ls|clear`: lists what is kept, oldest first, and removes it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from qlib_shadow_runner.cache.matrices import MatrixStore
from qlib_shadow_runner.cache.places import FEATURES_CACHE
from qlib_shadow_runner.cache.store import STAGING, Store, StoreDraft
from qlib_shadow_runner.cli import main
from qlib_shadow_runner.contract import ExitCode
from qlib_shadow_runner.plugins._lightgbm_bins import BinnedStore


@pytest.fixture
def data(tmp_path: Path) -> str:
    """Return a volume with features and binned data; the features were used first."""
    for number, (letter, store) in enumerate({"a": MatrixStore, "b": BinnedStore}.items()):
        home = store(tmp_path / FEATURES_CACHE)
        draft = StoreDraft(home.staging(letter * 64), letter * 64)
        draft.folder.mkdir(parents=True)
        (draft.folder / "file").write_bytes(bytes(100))
        home.publish(draft, {})
        os.utime(home.home / (letter * 64), (1e9 + number, 1e9 + number))
    return str(tmp_path)


def test_entries_are_listed(data: str, capsys: pytest.CaptureFixture[str]):
    """With kind, size and time of use."""
    assert main(["cache", "ls", "--data", data]) == ExitCode.DONE
    first, second, total = capsys.readouterr().out.splitlines()
    assert first.startswith("aaaaaaaaaaaa  features ")
    assert first.endswith("last used 2001-09-09T01:46:40Z")
    assert second.startswith("bbbbbbbbbbbb  binned data ")
    assert total.startswith("2 kept, ")


def test_entries_are_listed_as_json(data: str, capsys: pytest.CaptureFixture[str]):
    """With whole keys, kinds and bytes."""
    assert main(["cache", "ls", "--data", data, "--json"]) == ExitCode.DONE
    document = json.loads(capsys.readouterr().out)
    assert [one["key"] for one in document["kept"]] == ["a" * 64, "b" * 64]
    assert [one["kind"] for one in document["kept"]] == ["features", "binned data"]
    assert document["size"] == sum(one["size"] for one in document["kept"])
    assert document["kept"][0]["lastUsed"] == "2001-09-09T01:46:40Z"


def test_clear_removes_all_or_what_does_not_fit(data: str, capsys: pytest.CaptureFixture[str]):
    """The longest unused first."""
    one = Store(Path(data) / FEATURES_CACHE).entries()[1].size
    assert main(["cache", "clear", "--data", data, "--max-size", str(one)]) == ExitCode.DONE
    assert capsys.readouterr().out.startswith("aaaaaaaaaaaa ")
    assert main(["cache", "clear", "--data", data, "--json"]) == ExitCode.DONE
    assert [one["key"] for one in json.loads(capsys.readouterr().out)["removed"]] == ["b" * 64]
    assert main(["cache", "clear", "--data", data]) == ExitCode.DONE
    assert capsys.readouterr().out == "0 removed, 0 B\n"


def test_incomplete_entry_of_a_killed_run_is_listed_and_removed(
    data: str, capsys: pytest.CaptureFixture[str]
):
    """It takes space and is of no use."""
    (Path(data) / FEATURES_CACHE / f"{STAGING}cccc-0").mkdir()
    assert main(["cache", "ls", "--data", data]) == ExitCode.DONE
    assert capsys.readouterr().out.startswith(".making-cccc  incomplete ")
    assert main(["cache", "clear", "--data", data, "--max-size", "1G"]) == ExitCode.DONE
    assert capsys.readouterr().out.endswith("1 removed, 0 B\n")


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["lss"], 2, 'did you mean "ls"?'),
        (["ls", "--max-size", "1G"], ExitCode.BAD_CONFIG, "leave it out with ls"),
        (["clear", "--max-size", "big"], ExitCode.BAD_CONFIG, "--max-size must be a size such as"),
        (["clear", "--data", "/nowhere"], ExitCode.BAD_CONFIG, "/nowhere is not a folder"),
    ],
)
def test_wrong_arguments_are_explained(
    data: str, words: list[str], code: int, sentence: str, capsys: pytest.CaptureFixture[str]
):
    """The sentence says what to write instead."""
    arguments = words if "--data" in words else [*words, "--data", data]
    assert main(["cache", *arguments]) == code
    assert sentence in capsys.readouterr().err
    assert len(Store(Path(data) / FEATURES_CACHE).entries()) == 2
