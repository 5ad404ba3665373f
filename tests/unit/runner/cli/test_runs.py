"""`qlib-shadow runs`: lists the runs on the volume, and nothing else that is there."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.cli.run_folders import make_run

from qlib_shadow_runner.cli import main
from qlib_shadow_runner.contract import ENV_DATA
from qlib_shadow_runner.storage.files import write_json

if TYPE_CHECKING:
    from pathlib import Path


def test_runs_are_listed_newest_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """With the figures that runs are compared by."""
    make_run(tmp_path, "old", day=1)
    make_run(tmp_path, "new", day=2, status="running")
    assert main(["runs", "--data", str(tmp_path)]) == 0
    head, new, old = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["RUN", "STATUS"]
    assert new.split()[:2] == ["new", "running"]
    assert old.split()[:7] == ["old", "complete", "2025-01-03", "0.037", "4.1%", "2026-11-01", "10:00"]


def test_other_files_and_folders_are_not_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Other files, folders without metadata, links, and copies under another name."""
    root = make_run(tmp_path, "mine").parent
    (root / "notes.txt").write_text("hello")
    (root / "empty").mkdir()
    (root / "link").symlink_to("mine")
    (root / "copy").mkdir()
    (root / "copy" / "RUN_METADATA.json").write_bytes((root / "mine" / "RUN_METADATA.json").read_bytes())
    assert main(["runs", "--data", str(tmp_path), "--json"]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert (found["runId"], found["ic"], found["annualizedReturn"]) == ("mine", 0.0368, 0.041)
    assert found["size"] > 100


def test_control_characters_in_metadata_are_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """They cannot move the cursor; a figure that is too large for a float is not shown."""
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


def test_empty_volume_is_not_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A sentence says that there are no runs."""
    assert main(["runs", "--data", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"there are no runs in {tmp_path}\n"


def test_data_option_overrides_environment_and_default(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """Without the option the environment decides; without both it is ./data."""
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


@pytest.mark.parametrize("words", [["runs"], ["show", "x"]])
def test_missing_data_folder_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
):
    """It is named, and not created."""
    data = tmp_path / "none"
    assert main([*words, "--data", str(data)]) == 10
    assert f"{data} is not a folder; name the data folder with --data" in capsys.readouterr().err
    assert not data.exists()


def test_listing_runs_loads_no_large_package(tmp_path: Path):
    """So that it answers at once."""
    code = (
        "import sys\nfrom qlib_shadow_runner.cli import main\n"
        f"main(['runs', '--data', {str(tmp_path)!r}, '--json'])\n"
        "print(*{'numpy', 'pandas', 'qlib', 'yaml', 'rich', 'jinja2'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n\n"


def make_runs_with_figure(data: Path, **figures: float) -> None:
    """Write runs whose information ratio is given by name."""
    for run_id, value in figures.items():
        folder = make_run(data, run_id)
        result = {
            "reason": "Succeeded",
            "message": "fine",
            "metrics": {"informationRatio": value, "ic": -value},
        }
        write_json(folder / "results" / "qrun.json", result)


def test_runs_are_sorted_by_a_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The best first, those without the figure last; the figure gets a column."""
    make_runs_with_figure(tmp_path, middle=0.5, best=1.5, worst=-2.0)
    write_json(make_run(tmp_path, "none") / "results" / "qrun.json", {"reason": "TrainingFailed"})
    assert main(["runs", "--data", str(tmp_path), "--sort", "informationRatio"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert "INFORMATIONRATIO" in head
    assert [line.split()[0] for line in lines] == ["best", "middle", "worst", "none"]
    assert "1.5000" in lines[0]
    assert main(["runs", "--data", str(tmp_path), "--sort", "maxDrawdown"]) == 0
    assert "DRAWDOWN OF SUMMED EXCESS" in capsys.readouterr().out.splitlines()[0]
    assert main(["runs", "--data", str(tmp_path), "--sort", "ic", "--json"]) == 0
    assert [run["runId"] for run in json.loads(capsys.readouterr().out)] == [
        "worst",
        "middle",
        "best",
        "none",
    ]


def test_unknown_figure_is_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The nearest known figure is suggested."""
    assert main(["runs", "--data", str(tmp_path), "--sort", "rankic"]) == 2
    assert """invalid choice: 'rankic'; did you mean "rankIc"?""" in capsys.readouterr().err


def listed(data: Path, capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """Return the ids that are listed."""
    assert main(["runs", "--data", str(data), "--json", *words]) == 0
    return [run["runId"] for run in json.loads(capsys.readouterr().out)]


def test_downloads_are_listed_only_where_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """They have no figures; an empty list says that they are there."""
    make_run(tmp_path, "prices", status="downloaded")
    assert main(["runs", "--data", str(tmp_path)]) == 0
    assert "but 1 downloads: qlib-shadow runs --status downloaded" in capsys.readouterr().out
    make_run(tmp_path, "trained")
    assert listed(tmp_path, capsys) == ["trained"]
    assert listed(tmp_path, capsys, "--status", "downloaded") == ["prices"]
    both = listed(tmp_path, capsys, "--status", "downloaded", "--status", "complete")
    assert sorted(both) == ["prices", "trained"]


def test_runs_are_filtered_by_status_and_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """With a day, or a number of days until now."""
    for day in (1, 2, 3):
        make_run(tmp_path, f"day-{day}", day=day, status="failed" if day == 2 else "complete")
    assert listed(tmp_path, capsys, "--status", "failed") == ["day-2"]
    assert listed(tmp_path, capsys, "--since", "2026-11-02") == ["day-3", "day-2"]
    assert len(listed(tmp_path, capsys, "--since", "36500d")) == 3
    assert main(["runs", "--data", str(tmp_path), "--status", "interrupted"]) == 0
    assert capsys.readouterr().out.startswith("none of the 3 runs in ")


@pytest.mark.parametrize("since", ["7", "yesterday", "2026-13-01", "99999999d", ""])
def test_wrong_times_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], since: str):
    """With both forms."""
    assert main(["runs", "--data", str(tmp_path), "--since", since]) == 10
    assert capsys.readouterr().err == (
        f'qlib-shadow: InvalidSpec: --since "{since}" is neither a day nor a number of days; '
        "write 2026-11-20, or 7d\n"
    )


def test_settings_become_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Of the metadata and of the workflow, by their path or its end; unknown ones are refused."""
    for name, leaves in (("small", 8), ("large", 64)):
        folder = make_run(tmp_path, name, strategy={"topk": leaves // 4})
        (folder / "workflow.yaml").write_text(f"task:\n  model:\n    kwargs: {{num_leaves: {leaves}}}\n")
    words = ["runs", "--data", str(tmp_path), "--column", "num_leaves", "--column", "strategy.topk"]
    assert main(words) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert "NUM_LEAVES  STRATEGY.TOPK" in head
    assert sorted(row.split()[5:7] for row in rows) == [["64", "16"], ["8", "2"]]
    assert main([*words, "--json"]) == 0
    assert sorted(run["num_leaves"] for run in json.loads(capsys.readouterr().out)) == ["64", "8"]
    assert main(["runs", "--data", str(tmp_path), "--column", "num_leafs"]) == 10
    assert 'no run has a setting "num_leafs"; did you mean "num_leaves"?' in capsys.readouterr().err


def test_a_failed_golden_run_is_no_complete_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The list says so, and a later verify that fails or passes changes it."""
    folder = make_run(tmp_path, "wrong")
    write_json(folder / "results" / "golden.json", {"passed": False, "checks": []})
    assert main(["runs", "--data", str(tmp_path)]) == 0
    assert "not-golden" in capsys.readouterr().out
    assert listed(tmp_path, capsys, "--status", "complete") == []
    write_json(folder / "results" / "golden.json", {"passed": True, "checks": []})
    assert listed(tmp_path, capsys, "--status", "complete") == ["wrong"]
    assert main(["verify", "wrong", "--data", str(tmp_path), "--json"]) == 1
    capsys.readouterr()
    assert listed(tmp_path, capsys, "--status", "not-golden") == ["wrong"]
