"""`qlib-shadow show`: which run is shown, and what of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.cli.run_folders import make_run

from qlib_shadow_runner.cli import main
from qlib_shadow_runner.contract import ARTIFACTS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["demo-1", "demo-1a", "other", "o"])
def test_run_is_found_by_its_id_or_the_beginning_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
):
    """An exact id is preferred to longer ids that begin with it."""
    for run_id in ("demo-1", "demo-1ab", "other"):
        make_run(tmp_path, run_id, seed=7)
    assert main(["show", name, "--data", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    wanted = {"demo-1a": "demo-1ab", "o": "other"}.get(name, name)
    folder = tmp_path / ARTIFACTS / wanted
    assert shown.startswith(f"{folder}  complete  ")
    assert f"{folder}/stderr.log" in shown
    assert "Succeeded: fine" in shown


def test_run_is_found_by_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Also when the folder was moved out of the volume."""
    moved = make_run(tmp_path, "mine", seed=7).rename(tmp_path / "elsewhere")
    assert main(["show", str(moved), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["metadata"]["seed"], shown["metrics"]["ic"]) == (7, 0.0368)
    assert shown["files"] == {"stderr": str(moved / "stderr.log")}


FAULTS = {
    "unknown": ("nothing", 'there is no run "nothing" in '),
    "misspelt": ("demo-1x", 'did you mean "demo-1'),
    "ambiguous": ("demo", '"demo" is the beginning of 2 runs: demo-1b, demo-1a'),
    "no run folder": ("./demo", "demo is not a run folder: it holds no RUN_METADATA.json"),
}


@pytest.mark.parametrize(("name", "sentence"), FAULTS.values(), ids=FAULTS)
def test_unknown_run_is_one_sentence_and_exit_code_10(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, sentence: str
):
    """The sentence names what is wrong, and what is close to it."""
    make_run(tmp_path, "demo-1a", day=1)
    make_run(tmp_path, "demo-1b", day=2)
    assert main(["show", name, "--data", str(tmp_path)]) == 10
    output = capsys.readouterr().err
    assert output.startswith("qlib-shadow: InvalidSpec: ")
    assert sentence in output
    assert output.count("\n") == 1
