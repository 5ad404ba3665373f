"""`qlib-shadow compare` and `report`: pages of runs, and sentences about missing ones."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest
from tests import chromium
from tests.unit.runner.report.pages import read_page
from tests.unit.runner.report.recorded_runs import Shape, make_run

from qlib_shadow_runner.cli import main
from qlib_shadow_runner.report.comparison import MEASURES, Compared, _row, folded
from qlib_shadow_runner.verify import verify_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Browser

SMALL = Shape(days=60, symbols=12)
PNG = b"\x89PNG\r\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a volume with three runs: one with skill, one without, one of other days."""
    data = tmp_path_factory.mktemp("data")
    make_run(data, "skilled", replace(SMALL, skill=0.5))
    make_run(data, "lucky", replace(SMALL, seed=9, skill=0.0), template="mine")
    make_run(data, "short", replace(SMALL, days=30), label_horizon_days=5)
    make_run(data, "busy", SMALL, status="running", stages={})
    return data


def figures(
    data: Path, capsys: pytest.CaptureFixture[str], page: Path, *runs: str
) -> dict[str, dict[str, object]]:
    """Compare, as a program does."""
    assert main(["compare", *runs, "--data", str(data), "--output", str(page), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["runs"], document["page"]) == (list(runs), str(page))
    return {found["name"]: found for found in document["figures"]}


def test_best_value_of_each_line_is_marked(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """More is better, except for losses and costs; equal values are not marked."""
    found = figures(data, capsys, tmp_path / "page.html", "skilled", "lucky")
    for name, best in (
        ("IC", max),
        ("Maximum drawdown", max),
        ("Volatility a year", min),
        ("Turnover a year", min),
    ):
        values = found[name]["values"]
        assert isinstance(values, dict)
        assert found[name]["best"] == [best(values, key=values.__getitem__)], name
    assert found["IC"]["best"] == ["skilled"]
    assert found["Days"]["best"] == []


def test_values_shown_as_equal_are_marked_as_equal():
    """Two runs with the best figure have both the star; where all have it, none has."""
    for values, best in (
        ([0.1, 0.10000001, 0.05], {0, 1}),
        ([0.1, 0.10000001], set()),
        ([0.1, None, math.inf], set()),
        ([None, None], set()),
        ([None, 0.2, 0.1], {1}),
    ):
        runs = [Mock(spec=Compared, metrics={"annualizedReturn": figure}) for figure in values]
        assert _row(MEASURES[0], runs).best == best


def test_table_and_page_have_the_same_figures(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Figures, differences and cautions."""
    page = tmp_path / "compare.html"
    assert main(["compare", "skilled", "lucky", "short", "--data", str(data), "--output", str(page)]) == 0
    printed = capsys.readouterr().out
    shown = read_page(page.read_text())
    for name, *cells in shown.tables["table-figures"][1:]:
        [line] = [line for line in printed.splitlines() if line.strip().startswith(f"{name}  ")]
        assert [word for word in line.removeprefix(f" {name}").split() if word != "★"] == cells
    for words in ("The backtests are of different days", "2023-01-02 to 2023-03-24"):
        assert words in " ".join(printed.split())
        assert words in shown.text
    differing = [cell for row in shown.tables["table-parameters"][1:] for cell in row]
    assert differing[:5] == ["template", "1, 3", "lightgbm-alpha158", "2", "mine"]
    for name in ("seed", "task.model.kwargs.seed"):
        place = differing.index(name)
        assert differing[place + 1 : place + 5] == ["1, 3", "1", "2", "9"]
    assert not any("num_threads" in name or "run_id" in name or "end_time" in name for name in differing)
    parameters, origin = printed.index("parameters that differ"), printed.index("data and code that differ")
    assert parameters < origin < printed.index("Excess return a year")
    assert "  task.model.kwargs.seed\n    1, 3  1\n       2  9\n" in printed
    assert printed.rstrip().endswith(str(page))


def test_differences_to_the_first_run_have_an_interval(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """On the days of both; half the days, with a label of five, are too few blocks."""
    page = tmp_path / "compare.html"
    words = ["compare", "skilled", "lucky", "short", "--data", str(data), "--output", str(page)]
    assert main(words) == 0
    printed = capsys.readouterr().out
    [lucky_ic, lucky_return, short_ic, _] = printed[printed.index("against 1,") :].splitlines()[1:5]
    assert "beyond chance (p = 0.00)" in lucky_ic
    assert lucky_return.startswith("  2  return a year")
    assert "too few to judge" in short_ic
    assert main([*words, "--json"]) == 0
    lucky, short = json.loads(capsys.readouterr().out)["againstTheFirst"]
    assert lucky["ic"]["mean"] < lucky["ic"]["high"] < 0
    assert (short["ic"]["days"], short["ic"]["p"]) == (28, None)
    cells = read_page(page.read_text()).tables["table-against"]
    assert [row[0] for row in cells[1:]] == ["2", "3"]
    assert "beyond chance" in cells[1][2]


def test_more_runs_than_curves_have_a_row_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Nine copies of one run: no row is cut, and the page draws the first eight."""
    for number in range(9):
        make_run(tmp_path / "many", f"run-{number}", replace(SMALL, days=30, seed=number))
    page = tmp_path / "compare.html"
    names = [f"run-{number}" for number in range(9)]
    assert main(["compare", *names, "--data", str(tmp_path / "many"), "--output", str(page)]) == 0
    printed = capsys.readouterr().out
    assert "  task.model.kwargs.seed\n    1  0\n" in printed
    table = printed[printed.index("Rank IC") :]
    assert [line.split()[0] for line in table.splitlines()[2:11]] == list(map(str, range(1, 10)))
    shown = page.read_text()
    assert "Of the first 8 runs." in shown
    assert "--run9" not in shown


def test_long_lists_are_folded():
    """A universe of hundreds is told by its beginning and its size."""
    assert folded(json.dumps([f"S{number:03}" for number in range(500)])) == (
        '["S000", "S001", "S002", "S003", … 495 more …, "S499"]'
    )
    for whole in ("[1, 2, 3]", "a text", '{"a": 1}'):
        assert folded(whole) == whole


def test_comparison_page_fits_a_phone(browser: Browser, data: Path, tmp_path: Path):
    """One curve for each run, and no network requests."""
    page = tmp_path / "compare.html"
    assert main(["compare", "skilled", "lucky", "--data", str(data), "--output", str(page), "--json"]) == 0
    context = browser.new_context(viewport={"width": 360, "height": 700})
    context.set_default_timeout(chromium.PATIENCE)
    opened, heard = context.new_page(), []
    opened.on("console", lambda message: heard.append(message.text))
    opened.on("request", lambda request: heard.append(request.url))
    opened.goto(page.as_uri())
    assert heard == [page.as_uri()]
    assert opened.evaluate("document.documentElement.scrollWidth") == 360
    for number in (1, 2):
        curves = opened.locator(f"svg:visible path[style*='--run{number})']")
        assert curves.count() >= 3
    context.close()


FAULTS = {
    "one run": (["skilled"], 10, "name two runs or more"),
    "too many": (["skilled"] * 51, 10, "51 runs are more than can be compared; name at most 50"),
    "twice": (["skilled", "skill"], 10, '"skilled" is named twice'),
    "unknown": (["skilled", "luky"], 10, 'there is no run "luky"'),
    "a folder that is none": (["skilled", "./lucky"], 10, "lucky is not a run folder"),
    "a folder as page": (["skilled", "lucky", "--output", "."], 10, ". is a folder; name a file"),
    "no folder for the page": (["skilled", "lucky", "--output", "no/where.html"], 10, "no is not a folder"),
    "nothing": ([], 2, "the following arguments are required: RUN"),
}


@pytest.fixture
def type_in(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Type words in an empty folder, and give the code and what is said last."""
    monkeypatch.chdir(tmp_path)

    def typed(*words: str) -> tuple[int, str]:
        code = main([*words, "--data", str(data)])
        return code, capsys.readouterr().err.splitlines()[-1]

    return typed


@pytest.mark.parametrize(("words", "code", "sentence"), FAULTS.values(), ids=FAULTS)
def test_runs_that_cannot_be_compared_fail_in_one_sentence(
    type_in: Callable[..., tuple[int, str]], tmp_path: Path, words: list[str], code: int, sentence: str
):
    """And nothing is written."""
    ended, said = type_in("compare", *words)
    assert ended == code
    assert sentence in said
    assert list(tmp_path.iterdir()) == []


def test_report_is_made_again(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """In the run folder, where the metadata says which it is; with pictures where they are wanted."""
    pictures = tmp_path / "png"
    assert main(["report", "skilled", "--data", str(data), "--png", str(pictures), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    folder = data / "artifacts/trading-ops/qlib-shadow/skilled"
    assert said["report"] == f"{folder}/report.html"
    [line] = [line for line in verify_run(folder) if line.name == "report"]
    assert line.passed
    assert len(said["png"]) == 18
    assert {path.read_bytes()[:6] for path in pictures.iterdir()} == {PNG}


def test_report_written_elsewhere_does_not_change_the_run(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """For those who may only read the volume."""
    folder = data / "artifacts/trading-ops/qlib-shadow/lucky"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert main(["report", "lucky", "--data", str(data), "--output", str(tmp_path / "r.html")]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/r.html\n"
    assert 'content="lucky"' in (tmp_path / "r.html").read_text()
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


REPORT_FAULTS = {
    "at work": (["busy"], "the run busy is running; it makes its report itself when it is done"),
    "unknown": (["skiled"], 'there is no run "skiled"'),
    "a folder as page": (["skilled", "--output", "."], ". is a folder; name a file"),
    "a file as folder": (
        ["skilled", "--png", "file", "--output", "r.html"],
        "is a file where a folder is needed",
    ),
}


@pytest.mark.parametrize(("words", "sentence"), REPORT_FAULTS.values(), ids=REPORT_FAULTS)
def test_run_without_a_report_fails_in_one_sentence(
    type_in: Callable[..., tuple[int, str]], tmp_path: Path, words: list[str], sentence: str
):
    """With the code for what was typed."""
    (tmp_path / "file").write_text("")
    code, said = type_in("report", *words)
    assert code == 10
    assert sentence in said
