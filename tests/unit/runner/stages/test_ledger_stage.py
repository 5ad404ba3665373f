"""The ledger stage of a real run: what it brings to its book, and what it refuses."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from qlib_shadow_runner.catalog.model_uses import LiveSignals, models_of
from qlib_shadow_runner.catalog.signals_table import signal_file
from qlib_shadow_runner.catalog.tables import current_runs
from qlib_shadow_runner.cli import main
from qlib_shadow_runner.contract import (
    ARTIFACTS,
    ENV_DATA,
    ENV_GIT_COMMIT,
    ENV_REQUEST,
    ENV_TERMINATION_LOG,
    ExitCode,
    Stage,
)
from qlib_shadow_runner.contract.deadlines import DEFAULT_SECONDS
from qlib_shadow_runner.dataset.qlib_layout import Dataset
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.export.ranked_signals import encode_signals, read_signals, with_ranks
from qlib_shadow_runner.ledger.account import Account
from qlib_shadow_runner.ledger.lock import WAIT_SECONDS
from qlib_shadow_runner.ledger.night import record_night
from qlib_shadow_runner.ledger.plan import make_plan
from qlib_shadow_runner.ledger.quotes import Quotes
from qlib_shadow_runner.ledger.settle import settle_day
from qlib_shadow_runner.runs.request import Identity
from qlib_shadow_runner.spec import parse_spec
from qlib_shadow_runner.stages import steps
from qlib_shadow_runner.stages.ledger_night import RunOfTheNight
from qlib_shadow_runner.stages.ledger_rules import rules_of
from qlib_shadow_runner.stages.ledger_step import keep_ledger, ledger_result
from qlib_shadow_runner.storage.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from qlib_shadow_runner.contract.spec.ledger import LedgerSpec

    Edit = Callable[[dict[str, Any]], object]

DAY = "2020-02-03"
SPEC: dict[str, Any] = {
    "dataset": {
        "path": "/data/qlib/qlib_data/nights",
        "source": {"synthetic": {"symbols": 10, "days": 300, "until": DAY}},
    },
    "workflow": {
        "window": {"train": "122d", "valid": "30d", "test": "40d"},
        "model": {"num_boost_round": 12, "min_child_samples": 5},
    },
}
TRAINS_OR_REACHES_OUT = ("qlib", "mlflow", "lightgbm", "requests", "urllib3")
LEDGER: dict[str, Any] = {"book": "us", "capital": 1e6, "targets": {"topk": 3, "nDrop": 1}}


def run(data: Path, run_id: str, *options: str, **more: Any) -> tuple[str, dict[str, Any]]:
    """Run a manifest on this machine; return what is printed, and the metadata."""
    spec = {"runId": run_id, **SPEC, **more}
    document = {"apiVersion": "qlibshadow.io/v1alpha1", "kind": "QlibShadowRun", "metadata": {"name": run_id}}
    command = [sys.executable, "-m", "qlib_shadow_runner", "run", "-", "--data", str(data), *options]
    # A known commit, or no run is identical to another one.
    environ = {**os.environ, ENV_GIT_COMMIT: "0" * 40}
    text = json.dumps(document | {"spec": spec})
    done = subprocess.run(command, input=text, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    metadata = json.loads((data / ARTIFACTS / run_id / "RUN_METADATA.json").read_text())
    return done.stdout, metadata


@pytest.fixture(scope="module")
def printed(data: Path) -> str:
    """Return what the first run of the volume has printed."""
    return (data / "printed").read_text()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a volume with a run that has kept a book."""
    found = tmp_path_factory.mktemp("data")
    (found / "printed").write_text(run(found, "one", ledger=LEDGER)[0])
    return found


def a_copy(data: Path, tmp_path: Path, edit: Edit = dict) -> Path:
    """Return a copy of the run folder as the ledger stage finds it, with edited metadata."""
    folder = shutil.copytree(data / ARTIFACTS / "one", tmp_path / "one")
    file = folder / "RUN_METADATA.json"
    metadata = json.loads(file.read_text()) | {"status": "running", "finished_at_utc": None}
    edit(metadata)
    file.write_text(json.dumps(metadata))
    return folder


def asked(**fields: Any) -> LedgerSpec:
    """Return a ledger's spec."""
    found = parse_spec({"ledger": {**LEDGER, **fields}}).ledger
    assert found is not None
    return found


def brought(folder: Path, data: Path, spec: LedgerSpec | None = None) -> RunOfTheNight:
    """Return what a run folder brings."""
    return RunOfTheNight.of(folder, data, Identity("one", "uid", "one", "local"), spec or asked())


def rewrite_signals(folder: Path, change: Callable[[Any], Any]) -> None:
    """Change the rows of the signals, with ranks that fit."""
    path = folder / "signals_ranked.parquet"
    table, identity = read_signals(path)
    changed = change(table)[["date", "instrument", "score"]]
    path.write_bytes(encode_signals(with_ranks(changed.reset_index(drop=True)), path.name, identity or {}))


def test_a_run_with_a_ledger_is_a_golden_run_and_says_what_was_recorded(data: Path):
    """Three stages, each with its result; the metadata tell of the book, too."""
    folder = data / ARTIFACTS / "one"
    metadata = json.loads((folder / "RUN_METADATA.json").read_text())
    assert list(metadata["stages"]) == ["download", "qrun", "ledger"]
    result = json.loads((folder / "results/ledger.json").read_text())
    assert result["ledger"] == metadata["ledger"]["result"]
    told = result["ledger"]
    assert (told["book"], told["day"], told["decision"], told["recorded"]) == ("us", DAY, "Decided", "new")
    assert (told["orders"], told["nav"], told["entries"], told["missed"]) == (3, 1e6, 1, 0)
    assert "closedGates" not in told
    assert result["message"].startswith("book us: ")
    assert metadata["network_guard"]
    assert metadata["stages"]["ledger"]["network_guard"]


def retried(data: Path, code: int, **fields: Any) -> dict[str, Any]:
    """Run the ledger stage of the run once more, as a Job does; return the metadata."""
    metadata = json.loads((data / ARTIFACTS / "one/RUN_METADATA.json").read_text())
    identity = {key: metadata[key] for key in ("name", "namespace", "uid")}
    request = {**identity, "runId": "one", "spec": {**SPEC, "ledger": {**LEDGER, **fields}}}
    environ = {
        **os.environ,
        ENV_DATA: str(data),
        ENV_REQUEST: json.dumps(request),
        ENV_GIT_COMMIT: "1" * 40,
        ENV_TERMINATION_LOG: str(data / "termination-log"),
    }
    command = [sys.executable, "-m", "qlib_shadow_runner", "stage", "ledger"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    found: dict[str, Any] = json.loads((data / ARTIFACTS / "one/RUN_METADATA.json").read_text())
    return found


def test_an_attempt_at_the_ledger_leaves_what_is_known_of_the_training(data: Path, tmp_path: Path):
    """Its protection, code and limits: a retry, also in another image, finds a golden run.

    The run has failed, and its model and signals are those of any other run.
    """
    shutil.copytree(data, volume := tmp_path / "data", symlinks=True)
    before = json.loads((volume / ARTIFACTS / "one/RUN_METADATA.json").read_text())
    failed = retried(volume, ExitCode.BAD_CONFIG, capital=-1)  # it ends before its child begins
    known = ("network_guard", "git_commit", "limits", "packages")
    assert {key: failed[key] for key in known} == {key: before[key] for key in known}
    assert failed["stages"]["ledger"]["network_guard"] == []
    assert brought(a_copy(volume, tmp_path), volume).night().facts.golden == "passed"
    assert failed["status"] == "failed"
    [row] = current_runs(Volume(volume))
    assert (row["status"], row["trained"], row["reason"]) == ("failed", True, "InvalidSpec")
    assert signal_file(Volume(volume), row) == volume / ARTIFACTS / "one/signals_ranked.parquet"
    assert [one.model for one in models_of([row], LiveSignals({}))] == ["one"]
    done = retried(volume, ExitCode.DONE)
    assert {key: done[key] for key in known} == {key: before[key] for key in known}
    assert main(["verify", str(volume / ARTIFACTS / "one"), "--data", str(volume)]) == 0


def test_the_end_of_a_run_has_figures_and_book(printed: str):
    """Each in a line of its own."""
    ends = [line.strip() for line in printed.splitlines()][-4:]
    assert ends[0].startswith("IC ")
    assert ends[0].endswith("golden run: PASS (17/17)")
    assert ends[2].startswith("book us: decided 3 orders on 2020-02-03")


def test_a_ledger_changes_nothing_that_the_training_follows_from(data: Path):
    """A run without one asks the same: it takes the training over, and has neither stage nor book."""
    said, metadata = run(data, "two", "--json", reuse="IfIdentical")
    one = json.loads((data / ARTIFACTS / "one/RUN_METADATA.json").read_text())
    assert metadata["reused_from"] == "one"
    same = ("config_hash", "computation", "recipe_sha256", "signals_sha256", "workflow_sha256")
    assert {key: metadata[key] for key in same} == {key: one[key] for key in same}
    assert list(metadata["stages"]) == ["download", "qrun"]
    assert "ledger" not in metadata
    assert "ledger" not in json.loads(said)


def test_a_night_has_what_its_decision_follows_from(data: Path, tmp_path: Path):
    """Signals of the last day, best first; facts; the backtest's promise; the rules of the run's exchange."""
    bring = brought(a_copy(data, tmp_path), data)
    night = bring.night()
    assert night.day == date.fromisoformat(DAY)
    scores = list(night.scores.values())
    assert (len(scores), scores) == (10, sorted(scores, reverse=True))
    facts = night.facts
    assert (facts.golden, facts.signals, facts.coverage, facts.synthetic) == ("passed", "passed", 1.0, True)
    assert (facts.golden_why, facts.drift, facts.live_ic) == ("", "unknown", "unknown")
    assert (night.promise["days"], len(night.benchmark)) == (39, 40)
    assert max(night.benchmark) == night.day, "where the backtest has ended already"
    assert bring.account is not None
    known = bring.account["bench"]
    bench = dict(zip((day.date() for day in known.index), known, strict=True))
    assert {day: night.benchmark[day] for day in bench} == pytest.approx(bench, abs=1e-6)
    rules = night.rules
    assert (rules.targets.topk, rules.targets.n_drop, rules.targets.risk_degree) == (3, 1, 0.95)
    assert (rules.costs.open_cost, rules.costs.min_cost, rules.calendar) == (0.0005, 5, "XNYS")
    assert all(night.run[key] for key in ("signalsSha256", "modelSha256", "configHash", "datasetFingerprint"))


def test_the_backtest_of_a_run_is_the_account_of_its_signals(data: Path, tmp_path: Path):
    """By the run's own rules, on every day of its backtest."""
    own = parse_spec({"ledger": {"book": "us"}}).ledger
    whole: Any = brought(a_copy(data, tmp_path), data, own)
    backtest, quotes, signals = whole.account, whole.quotes, whole.evidence.signals[0]
    scores = {
        day.date(): dict(zip(rows["instrument"], rows["score"], strict=True))
        for day, rows in signals.groupby("date")
    }
    account = Account(float(whole.metadata["exchange"]["account"]))
    values = []
    for day in (one.date() for one in backtest.index):
        before = quotes.calendar[quotes.index(day) - 1]
        plan = make_plan(account, scores.get(before, {}), {}, whole.rules, quotes, day=before, book="us")
        account = settle_day(account, plan.orders, whole.rules, quotes, before=before, day=day).account
        values.append(account.value)
    assert len(values) > 30
    assert values == pytest.approx(backtest["account"].to_list(), rel=1e-9, abs=0)


def test_the_difference_from_the_backtest_is_split(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """A book of the same signals and costs differs by its own topk, and by what the backtest held before."""
    whole = brought(a_copy(data, tmp_path), data)
    signals: Any = whole.evidence.signals[0].sort_values(["date", "rank"])
    days = sorted(signals["date"].unique())[-25:]
    night = replace(whole.night(), folder=data / ARTIFACTS / "ledgers" / "from-cash", expected={})
    for day, rows in signals[signals["date"].isin(days)].groupby("date"):
        scores = dict(zip(rows["instrument"], rows["score"], strict=True))
        last = replace(night, day=date.fromisoformat(str(day)[:10]), scores=scores)
        recorded = record_night(last, whole.dataset)
    told = ledger_result(last, recorded, whole.closes())
    printed = diff(data, capsys, "from-cash", "one", "--json")
    assert (printed["runId"], printed["days"], printed["to"]) == ("one", 23, "2020-01-31")
    parts = printed["parts"]
    assert list(parts) == ["data", "timing", "costs", "rules", "signals", "start"]
    assert sum(parts.values()) == pytest.approx(printed["total"], abs=1e-12)
    assert printed["total"] == pytest.approx(printed["paper"] - printed["backtest"], abs=1e-12)
    assert printed["total"] != 0
    assert told["tracking"] == pytest.approx(printed["total"], abs=1e-12)
    assert told["beyondTracking"] is printed["beyond"]
    assert [parts[name] for name in ("data", "timing", "costs", "signals")] == pytest.approx(
        [0.0] * 4, abs=1e-9
    )
    assert 0.0 not in (parts["rules"], parts["start"])
    assert main(["ledger", "diff", "from-cash", "one", "--data", str(data)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "from-cash against the backtest of one, 23 days to 2020-01-31"
    assert [line.split()[0] for line in lines[1:]] == ["paper", "backtest", "difference", *parts, "The"]
    assert max(map(len, lines)) <= 80
    shutil.rmtree(night.folder)


def test_a_book_that_nothing_can_be_compared_with_says_so(data: Path, capsys: pytest.CaptureFixture[str]):
    """The newest run of a book is found; a book of one day shares no two days with it."""
    refused = "the backtest of one have no two days in common"
    assert refused in diff(data, capsys, "us", "--json")["message"]
    assert 'there is no run "noe"' in diff(data, capsys, "us", "noe", "--json")["message"]


def diff(data: Path, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """Return the JSON of `qlib-shadow ledger diff`."""
    main(["ledger", "diff", *words, "--data", str(data)])
    return json.loads(capsys.readouterr().out)


def test_a_limit_that_no_night_keeps_is_told_with_the_night(data: Path, tmp_path: Path):
    """Before the same gate has held the book for days."""
    identity = Identity("one", "uid", "one", "local")
    found = keep_ledger(a_copy(data, tmp_path), data, identity, asked(limits={"minNames": 10_000}))
    [note] = [one for one in found["notes"] if "limits.minNames is 10000" in one]
    assert "set it to at most" in note


def test_the_same_night_again_is_recorded_already(data: Path, tmp_path: Path):
    """As after a crash between record and result."""
    identity = Identity("one", "uid", "one", "local")
    again = keep_ledger(a_copy(data, tmp_path), data, identity, asked())
    assert again["result"]["recorded"] == "already"
    assert again["result"]["entries"] == 1
    assert "recorded already" in again["message"]


def test_the_step_loads_no_library_that_trains_or_reaches_out(data: Path, tmp_path: Path):
    """Besides what the code itself imports, which lint checks: nothing is loaded by others either."""
    folder = a_copy(data, tmp_path)
    program = (
        "import json, os, sys\n"
        "from qlib_shadow_runner.stages import steps\n"
        f"found = steps.ledger({{'folder': {str(folder)!r}, 'mount': {str(data)!r}, "
        "'run_id': 'one', 'uid': 'uid', 'namespace': 'local'})\n"
        f"loaded = {set(TRAINS_OR_REACHES_OUT)!r} & {{*sys.modules}}\n"
        "print(json.dumps([found['result']['recorded'], sorted(loaded)]))"
    )
    request = {"name": "one", "namespace": "local", "uid": "uid", "runId": "one", "spec": {"ledger": LEDGER}}
    environ = {**os.environ, ENV_REQUEST: json.dumps(request)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == ["already", []]


def test_a_night_before_the_book_decides_nothing(data: Path, tmp_path: Path):
    """It is behind, which is no failure; no decision is told of it."""
    folder = a_copy(data, tmp_path)
    rewrite_signals(folder, lambda table: table[table["date"] < table["date"].max()])
    told = keep_ledger(folder, data, Identity("one", "uid", "one", "local"), asked())["result"]
    assert told["recorded"] == "behind"
    assert not {"decision", "orders", "nav"} & set(told)


def test_signals_that_the_model_did_not_give_are_told_to_the_gates(data: Path, tmp_path: Path):
    """Also where the golden run is not asked for: orders follow from nothing else."""
    folder = a_copy(data, tmp_path)
    rewrite_signals(folder, lambda table: table.assign(score=table["score"] / 2))
    facts = brought(folder, data).night().facts
    assert (facts.golden, facts.signals) == ("failed", "failed")
    facts = brought(folder, data, asked(gates={"golden": False})).night().facts
    assert (facts.golden, facts.signals) == ("unknown", "failed")
    assert "do not follow from the recorder's predictions" in facts.signals_why


def test_another_outcome_of_an_identical_run_is_told_to_the_gates(data: Path, tmp_path: Path):
    """The sentence names that run."""
    folder = a_copy(data, tmp_path, lambda found: found.update(identical_signals=False, identical_to="zero"))
    facts = brought(folder, data).night().facts
    assert (facts.signals, facts.signals_why) == ("failed", "the identical run zero has other signals")


def test_coverage_counts_traded_instruments_without_a_signal(data: Path, tmp_path: Path):
    """Of the universe of the day, without the benchmark."""
    folder = a_copy(data, tmp_path)
    rewrite_signals(folder, lambda table: table[~table["instrument"].isin(["SYN001", "SYN002", "SYN003"])])
    assert brought(folder, data).coverage() == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda found: found.pop("signals_sha256"), "RUN_METADATA.json lacks signals_sha256"),
        (lambda found: found.pop("market"), "RUN_METADATA.json lacks market"),
        (
            lambda found: found.update(dataset_resolved_path="/data/qlib/gone"),
            "there is no ",
        ),
    ],
    ids=["hash", "market", "dataset"],
)
def test_a_missing_piece_is_one_sentence(data: Path, tmp_path: Path, edit: Edit, words: str):
    """And nothing is written."""
    with pytest.raises(StageError, match=words):
        brought(a_copy(data, tmp_path, edit), data).night()


FORGED: dict[str, Any] = {
    "strategy": {"topk": 3, "n_drop": -3, "risk_degree": 1e6},
    "exchange": {"open_cost": -1, "close_cost": -1, "min_cost": -5, "trade_unit": 1},
    "backtest": 7,
    "model_age_days": -50,
    "signals_sha256": "f" * 64,
    "dataset_source": "prices content=1",
}


def test_gates_and_rules_follow_from_files_and_not_from_what_the_metadata_tell(data: Path, tmp_path: Path):
    """Which the training can write: from the vetted workflow, signals, model and the dataset's manifest."""
    honest = brought(a_copy(data, tmp_path), data).night()
    shutil.rmtree(tmp_path / "one")
    forged = brought(a_copy(data, tmp_path, lambda found: found.update(FORGED)), data).night()
    assert (forged.rules, forged.run) == (honest.rules, honest.run)
    told = (forged.facts.model_age_days, forged.facts.synthetic, forged.facts.coverage)
    assert told == (0, True, 1.0)
    assert (forged.facts.golden, forged.facts.signals) == ("failed", "failed")
    assert "do not hash to what RUN_METADATA.json says" in forged.facts.signals_why


def test_a_list_of_outputs_that_is_none_fails_the_golden_run(data: Path, tmp_path: Path):
    """And is no error of the program."""
    folder = a_copy(data, tmp_path, lambda found: found.update(outputs=["model/model.txt"]))
    assert brought(folder, data).night().facts.golden == "failed"


def test_a_workflow_that_no_run_can_have_is_one_sentence(data: Path, tmp_path: Path):
    """The ranges of a workflow hold for the rules that follow from it."""
    folder = a_copy(data, tmp_path)
    text = (folder / "workflow.yaml").read_text()
    (folder / "workflow.yaml").write_text(text.replace("open_cost: 0.0005", "open_cost: -0.5"))
    with pytest.raises(StageError, match=r"workflow.yaml is not one that a run can have: .*open_cost"):
        brought(folder, data).night()


def test_signals_that_are_gone_are_one_sentence(data: Path, tmp_path: Path):
    """The run is to be applied again."""
    folder = a_copy(data, tmp_path)
    (folder / "signals_ranked.parquet").unlink()
    with pytest.raises(StageError, match="Apply the run again") as refused:
        brought(folder, data).night()
    assert refused.value.reason == "OutputIncomplete"


def test_a_score_without_a_number_is_refused(data: Path, tmp_path: Path):
    """An entry has finite numbers alone, and no order can follow from another one."""
    folder = a_copy(data, tmp_path)
    rewrite_signals(folder, lambda table: table.assign(score=math.inf))
    with pytest.raises(StageError, match="ends with scores that are no finite numbers"):
        brought(folder, data).night()


def test_capital_comes_from_spec_portfolio_or_the_book_itself(data: Path, tmp_path: Path):
    """In this order; a new book without any is refused, and the sentence says what to write."""
    folder, books = a_copy(data, tmp_path), data / ARTIFACTS / "ledgers"
    night = brought(folder, data, asked(capital=None)).night()
    assert (night.capital, night.share) == (None, None)
    identity = Identity("one", "uid", "one", "local")
    with pytest.raises(StageError, match="neither is its capital given nor its share"):
        keep_ledger(folder, data, identity, asked(capital=None, book="new"))
    assert not (books / "new/BOOK.json").exists()
    (books / "PORTFOLIO.json").write_text('{"capital": 1000, "shares": {"new": 0.25}}')
    try:
        night = brought(folder, data, asked(capital=None, book="new")).night()
    finally:
        (books / "PORTFOLIO.json").unlink()
    assert (night.capital, night.share) == (250, 0.25)


REFUSALS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"calendar": "XNYX"}, {}, "there is no exchange XNYX; did you mean"),
    ({"decideBefore": "09:00 America/New_Yorc"}, {}, '"America/New_Yorc" is no time zone; did you mean'),
    ({"targets": {"nDrop": 999}}, {}, "would replace 999 instruments a day and hold"),
    ({"capital": None}, {}, "neither is its capital given nor its share in the portfolio file"),
    ({"book": "us", "capital": 2e6}, {}, "is 2,000,000.00, and the book us has begun with 1,000,000.00"),
    ({"book": "us"}, {"namespace": "research"}, "the book us belongs to the namespace local; name another"),
]
"""Fields of a ledger, what else the run has, and what is said of it."""


def request_of(namespace: str = "local", **fields: Any) -> str:
    """Return the request of a run with other fields in its ledger."""
    spec = {**SPEC, "ledger": {"book": "early", "capital": 1e6, **fields}}
    return json.dumps({"name": "two", "namespace": namespace, "uid": "u2", "runId": "two", "spec": spec})


@pytest.mark.parametrize(("fields", "other", "sentence"), REFUSALS)
def test_what_a_person_can_correct_is_refused_before_anything_is_trained(
    data: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], other: dict[str, Any], sentence: str
):
    """Each in one sentence with its remedy; of a book that is there, what does not fit it."""
    monkeypatch.setenv(ENV_REQUEST, request_of(**other, **fields))
    arguments = {"ledgers": str(data / ARTIFACTS / "ledgers"), "namespace": other.get("namespace", "local")}
    with pytest.raises(StageError, match=re.escape(sentence)) as refused:
        steps.ledger_asked(arguments)
    assert refused.value.reason == "LedgerRefused"
    monkeypatch.setenv(ENV_REQUEST, request_of())
    assert steps.ledger_asked({**arguments, "namespace": "local"}) == {}


@pytest.mark.parametrize(
    ("stage", "dataset"),
    [("download", {}), ("qrun", {"version": "0123456789ab"})],
)
def test_the_first_stage_of_a_run_refuses_its_ledger(tmp_path: Path, stage: str, dataset: dict[str, str]):
    """Before the data is fetched or looked for, whichever stage is the first one."""
    request = json.loads(request_of(calendar="XNYX"))
    request["spec"] = {**request["spec"], "dataset": {"path": SPEC["dataset"]["path"], **dataset}}
    environ = {
        **os.environ,
        ENV_DATA: str(tmp_path),
        ENV_REQUEST: json.dumps(request),
        ENV_TERMINATION_LOG: str(tmp_path / "termination-log"),
    }
    command = [sys.executable, "-m", "qlib_shadow_runner", "stage", stage]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == ExitCode.BAD_CONFIG, done.stdout + done.stderr
    result = json.loads((tmp_path / ARTIFACTS / f"two/results/{stage}.json").read_text())
    assert result["reason"] == "LedgerRefused"
    assert not (tmp_path / "qlib").exists()


@pytest.mark.parametrize(("fields", "other", "sentence"), REFUSALS[:3])
def test_validate_finds_what_is_wrong_with_a_ledger(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    fields: dict[str, Any],
    other: dict[str, Any],
    sentence: str,
):
    """Without data or a book."""
    assert not other
    spec = json.loads(request_of(**fields))["spec"]
    document = {"apiVersion": "qlibshadow.io/v1alpha1", "kind": "QlibShadowRun", "metadata": {"name": "two"}}
    (tmp_path / "run.yaml").write_text(json.dumps(document | {"spec": spec}))
    assert main(["validate", str(tmp_path / "run.yaml")]) != 0
    assert sentence in " ".join(capsys.readouterr().err.split())


EXCHANGE = {"open_cost": 0.0005, "close_cost": 0.0015, "min_cost": 5, "trade_unit": 100}
OTHER = {"topk": 50, "n_drop": 5, "only_tradable": True}


def rules(tmp_path: Path, strategy: dict[str, Any], exchange: dict[str, Any], **fields: Any) -> Any:
    """Return the rules that follow from a spec over a run's strategy and exchange."""
    metadata = {"strategy": strategy, "exchange": exchange}
    return rules_of(asked(**fields), metadata, "cn", Quotes.of(Dataset(tmp_path)), ())


def test_the_spec_is_laid_over_the_runs_own_rules(tmp_path: Path):
    """What it leaves out is as in the backtest."""
    own = rules(tmp_path, {"topk": 50, "n_drop": 5, "hold_thresh": 3}, EXCHANGE, targets={})
    assert (own.targets.topk, own.targets.n_drop, own.targets.hold_days) == (50, 5, 3)
    assert (own.costs.trade_unit, own.calendar, own.costs.forbid_all_at_limit) == (100, "XSHG", True)
    at_limit = {"topk": 50, "n_drop": 5, "forbid_all_trade_at_limit": False}
    assert not rules(tmp_path, at_limit, EXCHANGE, targets={}).costs.forbid_all_at_limit
    over = rules(
        tmp_path, {"topk": 50, "n_drop": 5}, EXCHANGE, targets={"topk": 9}, gates={"drift": "Ignored"}
    )
    assert (over.targets.topk, over.targets.n_drop) == (9, 5)
    assert (over.gates.drift, over.gates.live_ic) == (False, True)


@pytest.mark.parametrize(
    ("strategy", "exchange", "targets", "words"),
    [
        (
            OTHER,
            EXCHANGE,
            {},
            r"only_tradable\), so the ledger does .* set spec.ledger.targets.topk",
        ),
        ({}, EXCHANGE, {}, "has no topk and n_drop"),
        ({"topk": 50, "n_drop": 5}, EXCHANGE, {"topk": 4}, "would replace 5 instruments a day and hold 4"),
        ({"topk": 50, "n_drop": 5}, {}, {}, "does not say open_cost and close_cost and min_cost"),
    ],
)
def test_rules_that_do_not_follow_are_refused(
    tmp_path: Path, strategy: dict[str, Any], exchange: dict[str, Any], targets: dict[str, Any], words: str
):
    """In one sentence that says what to write."""
    with pytest.raises(StageError, match=words) as refused:
        rules(tmp_path, strategy, exchange, targets=targets)
    assert refused.value.reason == "LedgerRefused"


def test_a_hung_book_is_named_before_the_deadline_of_the_stage():
    """Three attempts that wait, with the Job's pauses and two minutes for each pod, take less."""
    pauses, pod, attempts = 10 + 20, 120, 3
    assert attempts * (WAIT_SECONDS + pod) + pauses < DEFAULT_SECONDS[Stage.LEDGER]


def test_a_book_without_a_limit_of_its_own_borrows_nothing(tmp_path: Path):
    """The default of maxGross is asked, as api.md says."""
    assert rules(tmp_path, {"topk": 50, "n_drop": 5}, EXCHANGE, targets={}).limits.max_gross == 1


def test_another_strategy_is_taken_with_targets_of_ones_own(tmp_path: Path):
    """The book follows these, whatever the backtest did."""
    found = rules(tmp_path, OTHER, EXCHANGE, targets={"topk": 7, "nDrop": 2})
    assert (found.targets.topk, found.targets.n_drop) == (7, 2)
