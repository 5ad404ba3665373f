"""`qlib-shadow runs` and `show`: what lies on the volume, and nothing that only looks like it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.cli import main
from qlib_shadow_runner.contract import ARTIFACTS, ENV_DATA
from qlib_shadow_runner.storage.files import write_json

if TYPE_CHECKING:
    from pathlib import Path


def make_run(data: Path, run_id: str, *, day: int = 1, status: str = "complete", **more: object) -> Path:
    """Leave what a run leaves."""
    folder = data / ARTIFACTS / run_id
    (folder / "results").mkdir(parents=True)
    metadata = {"schema": 1, "run_id": run_id, "status": status, "dataset_end": "2025-01-03"}
    started = {"started_at_utc": f"2026-11-{day:02}T10:00:00.000Z"}
    write_json(folder / "RUN_METADATA.json", {**metadata, **started, **more})
    (folder / "stderr.log").write_text("x" * 100)
    result = {"reason": "Succeeded", "message": "fine", "metrics": {"ic": 0.0368, "annualizedReturn": 0.041}}
    write_json(folder / "results" / "qrun.json", result)
    return folder


def test_runs_are_listed_newest_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """With the figures that one compares."""
    make_run(tmp_path, "old", day=1)
    make_run(tmp_path, "new", day=2, status="running")
    assert main(["runs", "--data", str(tmp_path)]) == 0
    head, new, old = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["RUN", "STATUS"]
    assert new.split()[:2] == ["new", "running"]
    assert old.split()[:7] == ["old", "complete", "2025-01-03", "0.037", "4.1%", "2026-11-01", "10:00"]


def test_what_is_no_run_is_not_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Foreign files, halves of runs, links, and copies under another name."""
    root = make_run(tmp_path, "mine").parent
    (root / "notes.txt").write_text("hello")
    (root / "empty").mkdir()
    (root / "link").symlink_to("mine")
    (root / "copy").mkdir()
    (root / "copy" / "RUN_METADATA.json").write_bytes((root / "mine" / "RUN_METADATA.json").read_bytes())
    (root / "broken").mkdir()
    (root / "broken" / "RUN_METADATA.json").write_text("{")
    assert main(["runs", "--data", str(tmp_path), "--json"]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert (found["runId"], found["ic"], found["annualizedReturn"]) == ("mine", 0.0368, 0.041)
    assert found["size"] > 100


def test_no_run_draws_anothers_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Whoever wrote the metadata moves no cursor; a figure too large for a number is none."""
    evil = "x\x1b[2J\nother-1  complete\x9b\u202e"
    folder = make_run(tmp_path, "demo-1", status=evil, dataset_end=evil)
    (folder / "results").mkdir(exist_ok=True)
    (folder / "results" / "qrun.json").write_text(f'{{"metrics": {{"ic": 1{"0" * 400}}}}}')
    assert main(["runs", "--data", str(tmp_path)]) == 0
    listed = capsys.readouterr().out
    assert len(listed.splitlines()) == 2
    assert r"x\x1b[2J\nother-1  complete\x9b\u202e" in listed
    assert main(["show", "demo-1", "--data", str(tmp_path)]) == 0
    assert all((letter + "x").isprintable() for letter in capsys.readouterr().out.replace("\n", ""))


def test_no_runs_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A volume begins empty."""
    assert main(["runs", "--data", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"there are no runs in {tmp_path}\n"


def test_the_flag_beats_the_environment_which_beats_the_default(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """Everywhere the same."""
    for place in ("flag", "environment", "data"):
        make_run(tmp_path / place, f"from-{place}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(ENV_DATA, raising=False)
    assert main(["runs"]) == 0
    assert "from-data" in capsys.readouterr().out
    monkeypatch.setenv(ENV_DATA, "environment")
    assert main(["runs"]) == 0
    assert "from-environment" in capsys.readouterr().out
    assert main(["runs", "--data", "flag"]) == 0
    assert "from-flag" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["demo-1", "demo-1a", "other", "o"])
def test_a_run_is_shown_by_its_id_or_the_beginning_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
):
    """A whole id wins over longer ones that begin with it."""
    for run_id in ("demo-1", "demo-1ab", "other"):
        make_run(tmp_path, run_id, seed=7)
    assert main(["show", name, "--data", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    wanted = {"demo-1a": "demo-1ab", "o": "other"}.get(name, name)
    folder = tmp_path / ARTIFACTS / wanted
    assert shown.startswith(f"{folder}  complete  ")
    assert f"{folder}/stderr.log" in shown
    assert "Succeeded: fine" in shown


def test_a_run_is_shown_by_its_folder_wherever_that_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Moved out of the volume, too."""
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
def test_a_wrong_run_is_one_sentence_and_ten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, sentence: str
):
    """Whatever is wrong about it."""
    make_run(tmp_path, "demo-1a", day=1)
    make_run(tmp_path, "demo-1b", day=2)
    assert main(["show", name, "--data", str(tmp_path)]) == 10
    said = capsys.readouterr().err
    assert said.startswith("qlib-shadow: InvalidSpec: ")
    assert sentence in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("words", [["runs"], ["show", "x"]])
def test_a_missing_data_folder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]):
    """And not made."""
    data = tmp_path / "none"
    assert main([*words, "--data", str(data)]) == 10
    assert f"{data} is not a folder; name the data folder with --data" in capsys.readouterr().err
    assert not data.exists()


def test_listing_loads_nothing_heavy(tmp_path: Path):
    """It answers at once."""
    code = (
        "import sys\nfrom qlib_shadow_runner.cli import main\n"
        f"main(['runs', '--data', {str(tmp_path)!r}, '--json'])\n"
        "print(*{'numpy', 'pandas', 'qlib', 'yaml', 'rich', 'jinja2'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n\n"


def with_figures(data: Path, **figures: float) -> None:
    """Leave runs of some figure, each by its name."""
    for run_id, value in figures.items():
        folder = make_run(data, run_id)
        result = {
            "reason": "Succeeded",
            "message": "fine",
            "metrics": {"informationRatio": value, "ic": -value},
        }
        write_json(folder / "results" / "qrun.json", result)


def test_runs_are_listed_by_a_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The best first, those without one last; a figure that is not always shown is shown then."""
    with_figures(tmp_path, middle=0.5, best=1.5, worst=-2.0)
    write_json(make_run(tmp_path, "none") / "results" / "qrun.json", {"reason": "TrainingFailed"})
    assert main(["runs", "--data", str(tmp_path), "--sort", "informationRatio"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert "INFORMATIONRATIO" in head
    assert [line.split()[0] for line in lines] == ["best", "middle", "worst", "none"]
    assert "1.5000" in lines[0]
    assert main(["runs", "--data", str(tmp_path), "--sort", "ic", "--json"]) == 0
    assert [run["runId"] for run in json.loads(capsys.readouterr().out)] == [
        "worst",
        "middle",
        "best",
        "none",
    ]


def test_a_figure_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """With the nearest that is."""
    assert main(["runs", "--data", str(tmp_path), "--sort", "rankic"]) == 2
    assert """invalid choice: 'rankic'; did you mean "rankIc"?""" in capsys.readouterr().err
