"""`qlib-shadow query`: SQL over all runs and their signals, with no access to anything else."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.unit.runner.catalog.volumes import SYMBOLS, SmallVolume, closes

from qlib_shadow_runner.catalog.books import VIEWS as BOOKS
from qlib_shadow_runner.cli import main
from qlib_shadow_runner.export.ranked_signals import SCHEMA

DAYS = 60
PAGE = (Path(__file__).parents[4] / "docs" / "catalog.md").read_text()
YESTERDAY = next(line for line in PAGE.splitlines() if "qualify" in line).split('"')[1]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallVolume:
    """Return a volume with three nights, one of them in CSV, a failed run, and the data of the last night."""
    volume = SmallVolume(tmp_path_factory.mktemp("query") / "data")
    volume.add_dataset(DAYS + 2)
    volume.add_run("nightly-1", DAYS)
    volume.add_run("nightly-2", DAYS + 1, signals_format="csv")
    volume.add_run("nightly-3", DAYS + 2)
    volume.add_run("nightly-4", DAYS + 3, status="failed", reason="TrainingFailed")
    return volume


def ask(small: SmallVolume, sql: str, capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """Ask as a program does."""
    assert main(["query", sql, "--json", "--data", str(small.data)]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert isinstance(rows, list)
    return rows


def test_yesterdays_top_20_with_their_returns_is_one_query(
    small: SmallVolume, capsys: pytest.CaptureFixture[str]
):
    """The line of the page; yesterday's run wrote CSV."""
    found = ask(small, YESTERDAY, capsys)
    folder = small.data / "artifacts/trading-ops/qlib-shadow/nightly-2"
    signals = pd.read_csv(folder / "signals_ranked.csv")
    best = signals[signals["date"] == signals["date"].max()].head(20)
    prices = {symbol: closes(number, DAYS + 2) for number, symbol in enumerate(SYMBOLS)}
    did = [prices[symbol][-1] / prices[symbol][-2] - 1 for symbol in best["instrument"]]
    assert [row["instrument"] for row in found] == list(best["instrument"])
    assert [row["rank"] for row in found] == list(range(1, 21))
    assert [row["next_day"] for row in found] == pytest.approx(did, rel=1e-5)
    assert {row["date"] for row in found} == {signals["date"].max()}


def test_views_have_runs_metrics_and_followup(small: SmallVolume, capsys: pytest.CaptureFixture[str]):
    """Each as the page says."""
    runs = ask(small, "select run_id, status, ic, started_at from runs order by run_id", capsys)
    assert [row["status"] for row in runs] == ["complete"] * 3 + ["failed"]
    assert (runs[0]["ic"], runs[0]["started_at"]) == (0.036, "2026-03-25 22:00:00")
    [metric] = ask(small, "from metrics where run_id = 'nightly-1' and name = 'annualizedReturn'", capsys)
    assert metric["value"] == 0.08
    judged = ask(small, "select run_id, horizon, live, ic from followup where live and horizon = 1", capsys)
    assert [row["run_id"] for row in judged] == ["nightly-1"]  # the second night's wait for one more close
    judged = ask(small, "select distinct run_id from followup order by 1", capsys)
    assert [row["run_id"] for row in judged] == ["nightly-1", "nightly-2"]


def test_the_signals_of_all_complete_runs_are_one_table(
    small: SmallVolume, capsys: pytest.CaptureFixture[str]
):
    """Parquet and CSV alike, with the run's id and whether they say what to do next."""
    sql = (
        "select run_id, count(*) as n, sum(live::int) as live, max(date) as last"
        " from signals group by 1 order by 1"
    )
    found = ask(small, sql, capsys)
    size = len(SYMBOLS)
    assert [(row["run_id"], row["n"], row["live"]) for row in found] == [
        (f"nightly-{number}", 10 * size, size) for number in (1, 2, 3)
    ]
    assert len({str(row["last"]) for row in found}) == 3


def test_returns_are_those_of_the_prices(small: SmallVolume, capsys: pytest.CaptureFixture[str]):
    """In the convention of the label."""
    sql = "select * from returns where instrument = 'S03' order by date desc limit 3"
    found = ask(small, sql, capsys)
    walk = closes(3, DAYS + 2)
    assert [row["next_day"] for row in found] == [
        None,
        pytest.approx(walk[-1] / walk[-2] - 1),
        pytest.approx(walk[-2] / walk[-3] - 1),
    ]
    assert [row["return_1d"] for row in found] == [None, None, pytest.approx(walk[-1] / walk[-2] - 1)]


def test_every_view_and_column_of_the_page_exists(small: SmallVolume, capsys: pytest.CaptureFixture[str]):
    """No other view exists, except those behind the signals."""
    told = {line.split("`")[1] for line in PAGE.splitlines() if line.startswith("| `") and "|---" not in line}
    for view in ("runs", "metrics", "signals", "followup", "models", "returns"):
        assert view in told
        columns = [str(row["column_name"]) for row in ask(small, f"describe {view}", capsys)]
        assert [name for name in columns if f"`{name}`" not in PAGE and f"`{view}.{name}`" not in PAGE] == []
    shown = {row["name"] for row in ask(small, "show tables", capsys)}
    assert shown == {"runs", "metrics", "signals", "followup", "models", "returns", "signal_rows", *BOOKS}
    assert [view for view in BOOKS if f"`{view}`" not in PAGE] == []


def test_answers_are_tables_csv_and_json(small: SmallVolume, capsys: pytest.CaptureFixture[str]):
    """With missing values, and values that JSON does not have."""
    sql = (
        "select 1 as n, 0.1::double as x, null as nothing, 'a,\nb' as words,"
        " 'nan'::double as no, 1.5 as y, [1, null] as l"
    )
    words = ["query", sql, "--data", str(small.data)]
    assert main(words) == 0
    assert (
        capsys.readouterr().out
        == "n    x  nothing  words   no    y  l\n1  0.1  -        a, b   nan  1.5  [1, None]\n"
    )
    assert main([*words, "--csv"]) == 0
    head, row = csv.reader(io.StringIO(capsys.readouterr().out))
    assert (head[:4], row[:4]) == (["n", "x", "nothing", "words"], ["1", "0.1", "", "a,\nb"])
    assert main([*words, "--json"]) == 0
    [told] = json.loads(capsys.readouterr().out)
    assert told == {"n": 1, "x": 0.1, "nothing": None, "words": "a,\nb", "no": None, "y": 1.5, "l": [1, None]}


def test_no_rows_is_a_success(small: SmallVolume, capsys: pytest.CaptureFixture[str]):
    """The columns are shown all the same."""
    words = ["query", "select run_id, ic from runs where ic > 5", "--data", str(small.data)]
    assert main(words) == 0
    assert capsys.readouterr().out == "run_id  ic\n"


def test_sql_comes_from_stdin(small: SmallVolume):
    """For questions of many lines."""
    command = [sys.executable, "-m", "qlib_shadow_runner", "query", "-", "--csv", "--data", str(small.data)]
    sql = "-- how many\nselect count(*) as n\nfrom runs;\n"
    done = subprocess.run(command, input=sql, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "n\n4\n", "")


WRONG = {
    "no SQL": ("", "a query is one SELECT; this holds no statements"),
    "two statements": ("select 1; select 2", "a query is one SELECT; this holds 2 statements"),
    "a word misspelt": ("selct 1", 'Parser Error: syntax error at or near "selct"'),
    "an unknown view": (
        "from signal",
        "there are the views runs, metrics, followup, models, returns, signals",
    ),
    "an unknown column": ("select icc from runs", 'Referenced column "icc" not found'),
    "a wrong type": ("select run_id::int from runs", "Could not convert string"),
    "writing": (
        "create table t as select 1",
        "a query only reads: it begins with SELECT, FROM, WITH or EXPLAIN, not CREATE",
    ),
    "a file to write": ("copy runs to '{there}/new'", "not COPY"),
    "an export": ("export database '{there}/new'", "not EXPORT"),
    "another database": ("attach '{there}/new'", "not ATTACH"),
    "a setting": ("set enable_external_access = true", "not SET"),
    "an extension": ("install httpfs", "not INSTALL"),
    "a dropped view": ("drop view signals", "not DROP"),
    "a file by name": ("from '{there}/secret.csv'", "a query reads the views and nothing else"),
    "a file by function": ("from read_csv('{there}/secret.csv')", "a query reads the views and nothing else"),
    "a file's text": ("from read_text('{there}/secret.csv')", "a query reads the views and nothing else"),
    "a folder": ("from glob('{there}/*')", "a query reads the views and nothing else"),
    "an address": ("from read_csv('http://127.0.0.1:9/x.csv')", "a query reads the views and nothing else"),
    "hidden in a query": ("from query('copy runs to ''{there}/new''')", "Expected a single SELECT statement"),
    "a Python variable": ("from sys", "does not exist"),
    "two columns of one name": (
        "select 1 as a, 2 as a",
        "two columns are called a; give one another name with AS",
    ),
}


@pytest.mark.parametrize(("sql", "sentence"), WRONG.values(), ids=WRONG)
def test_wrong_sql_fails_in_one_sentence_with_code_10(
    small: SmallVolume, tmp_path: Path, capsys: pytest.CaptureFixture[str], sql: str, sentence: str
):
    """It reads, writes and changes nothing."""
    (tmp_path / "secret.csv").write_text("secret\n42\n")
    words = ["query", sql.format(there=tmp_path), "--json", "--data", str(small.data)]
    assert main(words) == 10
    said = json.loads(capsys.readouterr().out)
    assert (said["reason"], said["exitCode"]) == ("InvalidSpec", 10)
    assert sentence in said["message"]
    assert "\n" not in said["message"]
    assert [path.name for path in tmp_path.iterdir()] == ["secret.csv"]


def test_truncated_signals_are_left_out_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The signals of other runs are still read."""
    small = SmallVolume(tmp_path / "data")
    small.add_run("whole", DAYS)
    for run_id, content in (("cut", b"PAR1 and then the power went"), ("gone", None)):
        path = small.add_run(run_id, DAYS) / "signals_ranked.parquet"
        path.unlink() if content is None else path.write_bytes(content)
    assert main(["query", "select distinct run_id from signals", "--csv", "--data", str(small.data)]) == 0
    shown = capsys.readouterr()
    assert shown.out == "run_id\nwhole\n"
    for sentence in (
        "cut/signals_ranked.parquet is not a complete Parquet file",
        "gone/signals_ranked.parquet is missing",
    ):
        assert f"{sentence}, so its run has no signals here\n" in shown.err


def test_a_volume_without_runs_has_empty_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A new volume is empty; one that does not exist is named."""
    for view in ("runs", "metrics", "signals", "followup", "returns"):
        assert main(["query", f"select count(*) as n from {view}", "--csv", "--data", str(tmp_path)]) == 0
        assert capsys.readouterr().out == "n\n0\n"
    assert main(["query", "from runs", "--data", str(tmp_path / "none")]) == 10
    assert "none is not a folder; name the data folder with --data" in capsys.readouterr().err


def test_signals_that_expand_to_gigabytes_are_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """A few kilobytes in which one long name repeats."""
    small = SmallVolume(tmp_path / "data")
    small.add_run("whole", DAYS)
    path = small.add_run("bomb", DAYS) / "signals_ranked.parquet"
    rows, name = 200_000, pa.array(["x" * 50_000])
    same = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), name)
    columns = [field.name for field in SCHEMA]
    values = [pa.array([0] * rows, pa.date32()), same, *([number] * rows for number in (0.0, 1, 1.0, 0.0))]
    table = pa.table(
        [*values[:2], *(pa.array(values[at], SCHEMA[at].type) for at in (2, 3, 4, 5))], names=columns
    )
    pq.write_table(table, path, store_schema=False, compression="zstd")
    assert path.stat().st_size < 100_000
    assert main(["query", "select distinct run_id from signals", "--csv", "--data", str(small.data)]) == 0
    shown = capsys.readouterr()
    assert shown.out == "run_id\nwhole\n"
    assert "bomb/signals_ranked.parquet has 9.3 GiB of texts; it may have 2.0 GiB, so its run" in shown.err


@pytest.mark.parametrize("signals_format", ["parquet", "csv"])
def test_signals_damaged_in_the_middle_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], signals_format: str
):
    """Their footer is whole, or they have none: the damage is found when they are read."""
    small = SmallVolume(tmp_path / "data")
    small.add_run("whole", DAYS)
    folder = small.add_run("torn", DAYS, signals_format=signals_format)
    path = folder / f"signals_ranked.{signals_format}"
    content = path.read_bytes()
    path.write_bytes(content[:200] + b"\0" * 600 + content[800:])
    asked = "select run_id, count(*), max(instrument) as n from signals group by 1"
    assert main(["query", asked, "--csv", "--data", str(small.data)]) == 0
    shown = capsys.readouterr()
    assert [line.partition(",")[0] for line in shown.out.splitlines()] == ["run_id", "whole"]
    assert f"note: {path} cannot be read" in shown.err


@pytest.mark.parametrize("name", ["../whole/signals_ranked.parquet", "/etc/passwd", "a\nb", "x\0y", 7])
def test_a_signals_file_of_another_name_is_never_opened(tmp_path: Path, name: object):
    """A run's metadata may name anything."""
    small = SmallVolume(tmp_path / "data")
    small.add_run("whole", DAYS)
    small.add_run("other", DAYS, signals_file=name)
    assert main(["query", "select distinct run_id from signals", "--csv", "--data", str(small.data)]) == 0


@pytest.mark.parametrize(
    "path", ["/data/../../etc", "/data/x\0y", "/data/a\\b", "/etc", "/data/out", "/data/loop", ""]
)
def test_a_dataset_path_of_another_run_leads_nowhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], path: str
):
    """Not out of the volume, and not into an error."""
    small = SmallVolume(tmp_path / "data")
    small.add_dataset(DAYS)
    small.add_run("whole", DAYS)
    (tmp_path / "outside").mkdir()
    (small.data / "out").symlink_to(tmp_path / "outside")
    (small.data / "loop").symlink_to("loop")
    small.add_run("other", DAYS, dataset_path=path, dataset_resolved_path=path)
    for asked in ("select count(*) > 0 as n from returns", "select count(*) > 0 as n from runs"):
        assert main(["query", asked, "--csv", "--data", str(small.data)]) == 0
        assert capsys.readouterr().out == "n\nTrue\n"
    assert main(["followup", "--data", str(small.data)]) == 0
    assert main(["prune", "--datasets", "--dry-run", "--data", str(small.data)]) == 0
