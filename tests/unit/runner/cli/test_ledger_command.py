"""`qlib-shadow ledger`: what it prints of books, and one sentence for wrong input."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
import pytest
from tests.unit.runner.cli.run_folders import make_run
from tests.unit.runner.ledger.sample_book import FIRST, SampleBook, write_book
from tests.unit.runner.ledger.small_market import SmallMarket

from qlib_shadow_runner.cli import main
from qlib_shadow_runner.cli.commands_of_nights import LEDGER_ACTIONS
from qlib_shadow_runner.cli.ledger_command import ACTIONS
from qlib_shadow_runner.contract import ARTIFACTS, ExitCode
from qlib_shadow_runner.dataset.fingerprint import fingerprint
from qlib_shadow_runner.export.ranked_signals import encode_signals, signals_sha256, with_ranks
from qlib_shadow_runner.ledger.account import Account, Holding
from qlib_shadow_runner.ledger.documents import MEANS
from qlib_shadow_runner.runs.listing import existing_volume
from qlib_shadow_runner.stages.ledger_tracking import newest_run_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Ask = Callable[..., tuple[int, str, str]]

BOOKS: Final[dict[str, dict[str, Any]]] = {
    "us-shadow": {"held": (4,), "late": (6,), "missed": (8,)},
    "cn-shadow": {"reducing": (11,)},
}


@pytest.fixture(scope="module")
def read_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder with two sound books and a damaged one, which no test changes."""
    data = tmp_path_factory.mktemp("ledger") / "data"
    ledgers = data / ARTIFACTS / "ledgers"
    for name, nights in BOOKS.items():
        write_book(ledgers, name, 12, **nights)
    write_book(ledgers, "torn", 2, held=(1,))
    (ledgers / "torn" / "chain" / "000001.json").write_text("{")
    (ledgers / "PORTFOLIO.json").write_text(
        json.dumps({"capital": 400_000, "shares": {"us-shadow": 0.25, "eu-shadow": 0.5}})
    )
    return data


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a data folder with one sound book."""
    write_book(tmp_path / "data" / ARTIFACTS / "ledgers", nights=4)
    return tmp_path / "data"


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    """Return a function that runs `qlib-shadow ledger` and returns its code and what it printed."""

    def run(data: Path, *words: str) -> tuple[int, str, str]:
        code = main(["ledger", *words, "--data", str(data)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_the_actions_of_the_help_are_those_that_there_are():
    """The table of commands imports nothing, so that it lists them again."""
    assert tuple(ACTIONS) == LEDGER_ACTIONS


def test_all_books_are_listed_with_their_state_and_their_sum(read_only: Path, ask: Ask):
    """A damaged one has its sentence below, and does not end the list."""
    code, out, _ = ask(read_only, "show")
    heads, *rows = out.splitlines()
    assert code == ExitCode.DONE
    assert heads.split() == ["BOOK", "STATE", "DAY", "NAV", "P&L", "RETURN", "DRAWDOWN", "CLOSED"]
    assert [row.split()[:3] for row in rows[:3]] == [
        ["cn-shadow", "Reducing", "2026-11-17"],
        ["torn", "Damaged", "-"],
        ["us-shadow", "Decided", "2026-11-17"],
    ]
    assert rows[3].startswith("all ")
    text = " ".join(out.split())
    assert "cn-shadow: 1 order, only sales: the loss since the highest value is 12.0%" in text
    assert "chain/000001.json" in text
    assert "us-shadow: 1 decision came too late; 1 night missed" in text


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(
    "words",
    [
        *(("show",), ("show", "us-shadow"), ("show", "--portfolio"), ("orders", "us-shadow")),
        *(("positions", "us-shadow"), ("nav", "us-shadow"), ("trend", "us-shadow")),
    ],
    ids=" ".join,
)
def test_what_is_printed_fits_the_terminal(
    read_only: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch, width: int, words: tuple[str, ...]
):
    """Only a path, which is not cut, may be longer."""
    monkeypatch.setenv("COLUMNS", str(width))
    code, out, _ = ask(read_only, *words)
    assert code == ExitCode.DONE
    assert [line for line in out.splitlines() if len(line) > width and str(read_only) not in line] == []


def test_one_book_is_shown_whole(read_only: Path, ask: Ask):
    """Days, account, record, gates, late and missed nights, and the head."""
    code, out, _ = ask(read_only, "show", "us-shadow")
    text = " ".join(out.split())
    assert code == ExitCode.DONE
    for part in (
        "us-shadow Decided (namespace research)",
        "decided 2026-11-17: Decided, 2 orders, by run us-20261117",
        "9 days after a decision in time; the benchmark made +0.90% on the same",
        "too early to hold against the band of",
        " traded, costs ",
        "late 2026-11-10 missed 2026-11-12",
        "era 1: topk 2, nDrop 1, weights of the backtest, fills at close",
        "unknown liveIc too few judged days; it passes",
    ):
        assert part in text
    document = json.loads(ask(read_only, "show", "us-shadow", "--json")[1])
    assert document["head"] in text
    assert (document["closedGates"], document["missedDays"]) == ([], ["2026-11-12"])


def test_orders_are_shown_with_what_they_came_to(read_only: Path, ask: Ask):
    """Of the last decision, unless a day is named; a late one has no fills."""
    last = json.loads(ask(read_only, "orders", "us-shadow", "--json")[1])
    assert (last["day"], len(last["orders"]), last["fills"]) == ("2026-11-17", 2, [])
    first = json.loads(ask(read_only, "orders", "us-shadow", "--day", "2026-11-02", "--json")[1])
    assert [one["order"] for one in first["fills"]] == [one["id"] for one in first["orders"]]
    code, out, _ = ask(read_only, "orders", "us-shadow", "--day", "2026-11-10")
    assert code == ExitCode.DONE
    assert out.startswith("us-shadow  2026-11-10  Decided, too late to be filled  2 orders\n")
    assert ask(read_only, "orders", "us-shadow", "--day", "2026-11-06")[1] == (
        "us-shadow  2026-11-06  Held  no orders\n"
        "closed: liveIc  the live IC has decayed\n"
        "next: qlib-shadow ledger show us-shadow says what holds it now\n"
    )


def test_an_order_sized_on_its_day_is_an_estimate_and_its_plan_is_shown(tmp_path: Path, ask: Ask):
    """The cash after the day's sales decides how many shares it buys."""
    data = tmp_path / "data"
    book = SampleBook(data / ARTIFACTS / "ledgers" / "sized", "sized").begin()
    slices = [
        {"id": f"{number}", "time": f"2026-11-03T1{4 + number}:30:00Z", "shares": 600.0} for number in (0, 1)
    ]
    order = book._order(FIRST, 0, "buy", "AAA", 1200.0)
    sized = replace(order, money_share=0.19, slices=tuple(slices))
    book.decide(FIRST, orders=[sized.document()])
    text = " ".join(ask(data, "orders", "sized")[1].split())
    assert "buy AAA about 1,200 " in text
    assert "AAA: for 19% of the cash after the day's sales; 2 slices: " in text
    assert "600 at 2026-11-03T14:30:00Z, 600 at 2026-11-03T15:30:00Z" in text


def test_raw_shares_that_are_whole_but_for_rounding_are_whole(tmp_path: Path, ask: Ask):
    """An amount times its factor is whole only nearly; the entry stays as it is."""
    data = tmp_path / "data"
    book = SampleBook(data / ARTIFACTS / "ledgers" / "sized", "sized").begin()
    book.account = Account(1.0, {"AAA": Holding(3264.0000000000005, 50.0, 1.0, f"{FIRST}")})
    book.decide(FIRST)
    found = json.loads(ask(data, "positions", "sized", "--json")[1])
    assert found["positions"][0]["shares"] == 3264.0
    assert found["positions"][0]["amount"] == 3264.0000000000005


def test_positions_and_cash_are_the_account(read_only: Path, ask: Ask):
    """At the end of the last day, or of one that is named: also one without a decision."""
    found = json.loads(ask(read_only, "positions", "us-shadow", "--day", "2026-11-12", "--json")[1])
    values = sum(one["amount"] * one["price"] for one in found["positions"])
    assert values + found["cash"] == pytest.approx(found["nav"])
    assert ask(read_only, "positions", "us-shadow", "--day", "2026-11-02")[1] == (
        "us-shadow  2026-11-02  NAV 100,000.00, of it 100,000.00 in cash, 0 positions\n"
    )


UNCOUNTED: Final = ["2026-11-11", "2026-11-13"]


def test_nav_marks_days_that_are_no_part_of_the_record(read_only: Path, ask: Ask):
    """The days after the late decision and the missed night."""
    _, out, _ = ask(read_only, "nav", "us-shadow")
    assert [line.split()[0] for line in out.splitlines() if " * " in line] == UNCOUNTED
    assert out.splitlines()[-1].startswith("* after a late decision")
    days = json.loads(ask(read_only, "nav", "us-shadow", "--json")[1])
    assert [one["day"] for one in days if not one["counts"]] == UNCOUNTED
    assert len(days) == 11


def test_trend_counts_back_from_the_last_week_of_the_book(read_only: Path, ask: Ask):
    """Whatever day it is today."""
    weeks = json.loads(ask(read_only, "trend", "us-shadow", "--weeks", "2", "--json")[1])
    assert [(one["week"], one["decided"], one["missed"]) for one in weeks] == [
        ("2026-11-16", 2, 0),
        ("2026-11-09", 4, 1),
    ]
    assert "4 decided, 1 late, 1 missed" in ask(read_only, "trend", "us-shadow")[1]


def test_the_portfolio_shows_what_is_shared(read_only: Path, ask: Ask):
    """Also a book that has not begun, books without a share, and what is left."""
    code, out, _ = ask(read_only, "show", "--portfolio")
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines()}
    assert code == ExitCode.DONE
    assert rows["eu-shadow"] == ["50.0%", "200,000", "-", "-", "not", "begun"]
    assert rows["us-shadow"][:3] == ["25.0%", "100,000", "100,000"]
    assert rows["torn"][-1] == "Damaged"
    assert rows["unshared"] == ["25.0%", "100,000"]
    document = json.loads(ask(read_only, "show", "--portfolio", "--json")[1])
    assert (document["unshared"], document["total"]["damaged"]) == (0.25, 1)


WRONG: Final = {
    "orders": "there are 3 books in",
    "show us-shade": 'did you mean "us-shadow"?',
    "nav ../us-shadow": 'there is no book "../us-shadow"',
    "trend us-shadow --weeks 0": "--weeks must be a whole number from 1 to 520",
    "trend us-shadow --weeks many": "--weeks must be a whole number",
    "orders us-shadow --day tomorrow": 'the day must be one such as 2026-11-17, not "tomorrow"',
    "orders us-shadow --day 2026-11-12": "us-shadow decided nothing on 2026-11-12; the last day is",
    "positions us-shadow --day 2020-01-01": "has no account on 2020-01-01",
    "verify us-shadow --head abc": "--head must be the 64 digits of a SHA-256",
    "halt us-shadow": "ledger halt needs --why",
    "resume us-shadow --why": None,
    "resume us-shadow --why done": "us-shadow is not halted, so there is nothing to resume",
    "resume us-shadow --why x --reset-drawdown": "us-shadow is not halted, so there is nothing to resume",
    "resume cn-shadow --why done": "cn-shadow is not halted, and its drawdown lets only sales pass, which "
    "--reset-drawdown ends",
    "halt us-shadow --why x --reset-drawdown": "--reset-drawdown is an option of ledger resume",
    "nav us-shadow --day 2026-11-17": "--day is an option of ledger orders and ledger positions",
    "show us-shadow --why no": "--why is an option of ledger halt and ledger resume",
    "resume us-shadow --why x --reducing": "--reducing is an option of ledger halt",
    "orders us-shadow --portfolio": "--portfolio is an option of ledger show",
    "nav us-shadow run-1": "ledger nav takes one book",
    "show us-shadow --portfolio": "--portfolio shows all books",
    "diff us-shadow": "no complete run of the book us-shadow is in",
    "diff us-shadow night-1": 'there is no run "night-1"',
    "shwo": None,
    "--why x": None,
    "nav --weak us-shadow": None,
    "nav us-shadow run-1 more": None,
}


@pytest.mark.parametrize(("words", "says"), WRONG.items())
def test_wrong_input_is_one_sentence(read_only: Path, ask: Ask, words: str, says: str | None):
    """What is wrong, and what to write instead; None where the parser of arguments refuses it."""
    before = sorted(path.name for path in (read_only / ARTIFACTS / "ledgers" / "us-shadow").iterdir())
    code, out, err = ask(read_only, *words.split())
    assert (code, out) == (ExitCode.BAD_CONFIG if says else 2, "")
    assert (says or "shadow") in err
    assert err.count("\n") == 1 or not says
    failure = json.loads(ask(read_only, *words.split(), "--json")[1])
    assert failure["exitCode"] == code
    assert before == sorted(path.name for path in (read_only / ARTIFACTS / "ledgers" / "us-shadow").iterdir())


@pytest.mark.parametrize("action", ["show", "orders", "positions", "nav", "trend", "diff"])
def test_a_damaged_book_ends_a_reader_with_its_own_code(read_only: Path, ask: Ask, action: str):
    """And the sentence names the file."""
    code, out, err = ask(read_only, action, "torn")
    assert (code, out) == (ExitCode.LEDGER_DAMAGED, "")
    assert err.startswith("qlib-shadow: LedgerDamaged: ")
    assert "torn/chain/000001.json" in err


def test_without_books_and_without_data_it_says_so(tmp_path: Path, ask: Ask):
    """A list is empty, and a reader of one book has none."""
    assert ask(tmp_path, "show")[:2] == (
        0,
        f"there are no books in {tmp_path}; a run with spec.ledger begins one\n",
    )
    assert json.loads(ask(tmp_path, "show", "--json")[1])["books"] == []
    assert "there are no books" in ask(tmp_path, "nav")[2]
    assert "there are no books" in ask(tmp_path, "nav", "us-shadow")[2]
    assert "there is no " in ask(tmp_path, "show", "--portfolio")[2]
    assert ask(tmp_path / "none", "show")[0] == ExitCode.BAD_CONFIG
    (tmp_path / ARTIFACTS).mkdir(parents=True)
    (tmp_path / ARTIFACTS / "ledgers").write_text("")
    assert "there are no books" in ask(tmp_path, "nav")[2]


def test_a_volume_that_cannot_be_read_is_one_sentence(data: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch):
    """For one that may read everything, reading is made to fail."""

    def refuse(*_: object) -> list[str]:
        raise PermissionError(13, "Permission denied", str(data / ARTIFACTS / "ledgers"))

    monkeypatch.setattr("qlib_shadow_runner.ledger.overview.names_in", refuse)
    code, _, err = ask(data, "show")
    assert code == ExitCode.BAD_CONFIG
    assert "the books cannot be listed" in err
    assert "cannot be read (Permission denied)" in err
    assert ask(data, "nav")[0] == ExitCode.BAD_CONFIG


def test_the_only_book_need_not_be_named(data: Path, ask: Ask):
    """For readers and for the kill switch."""
    assert "2026-11-05" in ask(data, "orders")[1]
    assert ask(data, "halt", "--why", "look")[0] == ExitCode.DONE


@pytest.mark.parametrize(
    "words",
    [
        ("halt", "us-shadow", "--why", "look"),
        ("halt", "--why", "look", "us-shadow"),
        ("--why", "look", "halt", "us-shadow"),
        ("--why=look", "halt", "--json", "us-shadow"),
        ("--reducing", "halt", "us-shadow", "--why", "look"),
    ],
    ids=" ".join,
)
def test_words_and_options_stand_in_any_order(data: Path, ask: Ask, words: tuple[str, ...]):
    """One who halts a book is in a hurry."""
    assert ask(data, *words)[::2] == (ExitCode.DONE, "")
    assert json.loads(ask(data, "show", "--json", "us-shadow")[1])["halt"]["why"] == "look"


def test_a_halt_is_obeyed_until_it_is_resumed(data: Path, ask: Ask):
    """A weaker one does not replace it, a stronger one does; the history keeps both reasons."""
    code, out, _ = ask(data, "halt", "us-shadow", "--why", "a  wide\nspread", "--reducing")
    assert (code, out) == (
        0,
        "us-shadow is reducing from now on, only sales are recorded: a wide spread\n",
    )
    assert "us-shadow is reducing already since" in ask(data, "halt", "--why", "b", "--reducing")[2]
    assert ask(data, "halt", "us-shadow", "--why", "a strike")[0] == ExitCode.DONE
    assert "halted already" in ask(data, "halt", "--why", "c")[2]
    assert "resume it and halt it with --reducing" in ask(data, "halt", "--why", "c", "--reducing")[2]
    shown = json.loads(ask(data, "show", "us-shadow", "--json")[1])
    assert (shown["state"], shown["halt"]["why"]) == ("Halted", "a strike")
    assert json.loads(ask(data, "resume", "--why", "it is over", "--json")[1])["book"] == "us-shadow"
    shown = json.loads(ask(data, "show", "us-shadow", "--json")[1])
    assert (shown["state"], shown["halt"], shown["halts"][0]["resumedWhy"]) == ("Decided", None, "it is over")
    assert "has at most 500" in ask(data, "halt", "--why", "x" * 501)[2]


def test_a_damaged_book_can_be_halted(data: Path, ask: Ask):
    """The kill switch needs no chain."""
    shutil.rmtree(data / ARTIFACTS / "ledgers" / "us-shadow" / "chain")
    assert ask(data, "halt", "--why", "damaged")[0] == ExitCode.DONE
    assert (data / ARTIFACTS / "ledgers" / "us-shadow" / "HALT").exists()


def test_a_book_that_only_sells_after_a_drawdown_can_be_resumed(tmp_path: Path, ask: Ask):
    """Without a kill switch, and only with the word that forgives the loss."""
    write_book(tmp_path / ARTIFACTS / "ledgers", nights=4, reducing=(3,))
    code, out, _ = ask(tmp_path, "resume", "--why", "accepted", "--reset-drawdown")
    assert (code, out) == (
        ExitCode.DONE,
        "us-shadow goes on from the next night, and drawdown counts from 2026-11-05 on: accepted\n",
    )


def test_a_resume_forgives_a_loss_only_where_that_is_asked(data: Path, ask: Ask):
    """And the book keeps which it was."""
    assert ask(data, "halt", "--why", "a look")[0] == ExitCode.DONE
    assert ask(data, "resume", "--why", "fine")[1] == (
        "us-shadow goes on from the next night, and drawdown counts as before: fine\n"
    )
    assert ask(data, "halt", "--why", "more")[0] == ExitCode.DONE
    made = json.loads(ask(data, "resume", "--why", "forgiven", "--reset-drawdown", "--json")[1])
    assert (made["resumedWhy"], made["resetDrawdown"]) == ("forgiven", True)
    shown = json.loads(ask(data, "show", "us-shadow", "--json")[1])["halts"]
    assert [one["resetDrawdown"] for one in shown] == [True, False]


def test_the_drawdown_is_one_figure_wherever_it_is_told(tmp_path: Path, ask: Ask):
    """Show and nav: a reset changes what the gate counts, and that stands beside it."""
    write_book(tmp_path / ARTIFACTS / "ledgers", nights=7, reducing=(6,))
    assert ask(tmp_path, "resume", "--why", "forgiven", "--reset-drawdown")[0] == ExitCode.DONE
    shown = json.loads(ask(tmp_path, "show", "us-shadow", "--json")[1])
    last = json.loads(ask(tmp_path, "nav", "--json")[1])[-1]
    assert shown["drawdown"] == pytest.approx(last["drawdown"])
    assert (shown["drawdownSinceReset"], shown["resetDay"]) == (0.0, last["day"])
    assert shown["drawdown"] > 0
    text = " ".join(ask(tmp_path, "show", "us-shadow")[1].split())
    assert f"the gate counts from {last['day']}, its reset: 0.00%" in text
    assert f"drawdown {shown['drawdown']:.2%} below its highest value" in text
    assert f" {shown['drawdown']:.2%} " in ask(tmp_path, "nav")[1].splitlines()[-1]


def test_the_part_of_the_signals_names_the_refitted_model():
    """Backtests are of the evaluated one, so that the two differ on a night of the same data, too."""
    assert {"refitted", "evaluated"} <= set(MEANS["signals"].replace(";", "").split())


def test_the_backtest_compared_is_of_the_run_whose_signals_reach_furthest(data: Path):
    """Not of one that was made later over older data; of equal ones, the newest."""
    for number, day in enumerate(("2026-11-04", "2026-11-06", "2026-11-06", "2026-11-05"), 1):
        told = {"result": {"book": "us-shadow", "day": day}}
        make_run(data, f"night-{number}", day=number, ledger=told)
    make_run(data, "other", day=9, ledger={"result": {"book": "cn-shadow", "day": "2026-11-09"}})
    found = newest_run_of(existing_volume(data), "us-shadow")
    assert found is not None
    assert found.run_id == "night-3"


def test_a_wrong_portfolio_file_is_noted_below_the_list(data: Path, ask: Ask):
    """The list is whole."""
    (data / ARTIFACTS / "ledgers" / "PORTFOLIO.json").write_text("{}")
    code, out, err = ask(data, "show")
    assert (code, out.split()[8]) == (ExitCode.DONE, "us-shadow")
    assert 'PORTFOLIO.json has no "capital"' in err
    assert ask(data, "show", "--portfolio")[0] == ExitCode.BAD_CONFIG


@pytest.fixture
def verified(tmp_path: Path) -> tuple[Path, list[str]]:
    """Return a data folder with a book of four real nights and its dataset, and the head of each night."""
    market = SmallMarket(tmp_path / "data" / "qlib")
    book = tmp_path / "data" / ARTIFACTS / "ledgers" / "us-shadow"
    heads = [market.record(book, day).head for day in market.days[:4]]
    (tmp_path / "data" / "qlib" / "us").symlink_to(market.dataset(market.days[3]).folder.name)
    return tmp_path / "data", heads


def test_a_sound_book_is_verified_in_one_line(verified: tuple[Path, list[str]], ask: Ask):
    """With its prices, and with the head that a run's status has: the last, or one before it."""
    data, heads = verified
    code, out, err = ask(data, "verify")
    assert out.endswith(". A forged chain is only found with --head\n")
    assert (code, out.count("\n"), err) == (ExitCode.DONE, 1, "")
    assert out.startswith("us-shadow holds: 7 entries, with the prices of now")
    for head in heads:
        assert ask(data, "verify", "us-shadow", "--head", head)[0] == ExitCode.DONE
    document = json.loads(ask(data, "verify", "--head", heads[-1], "--json")[1])
    assert (document["sound"], document["findings"], document["head"]) == (True, [], heads[-1])
    assert (data / ARTIFACTS / "ledgers" / "us-shadow" / "tables" / "nav.parquet").is_file()


def test_without_its_dataset_a_book_is_verified_from_its_files(verified: tuple[Path, list[str]], ask: Ask):
    """And it says so; nor is a dataset outside of the volume read."""
    data, _ = verified
    (data / "qlib" / "us").unlink()
    assert "without prices, since its dataset is not here" in ask(data, "verify")[1]
    outside = data.parent / "outside"
    (data / "qlib").rename(outside)
    (data / "qlib").symlink_to(outside)
    assert "without prices" in ask(data, "verify")[1]


def test_a_book_is_held_to_the_data_and_signals_of_its_nights_while_they_are_there(tmp_path: Path, ask: Ask):
    """Then to the prices of now, whose differences are told and are no damage."""
    data, days = tmp_path / "data", SmallMarket(tmp_path).days[:3]
    market = SmallMarket(data / "qlib")
    book = data / ARTIFACTS / "ledgers" / "us-shadow"
    for day in days:
        version, scores = market.dataset(day).folder, market.night(book, day).scores
        rows = {"date": pd.Timestamp(day), "instrument": list(scores), "score": list(scores.values())}
        table = with_ranks(pd.DataFrame(rows))
        folder = data / ARTIFACTS / f"us-{day}"
        folder.mkdir(parents=True)
        (folder / "signals_ranked.parquet").write_bytes(encode_signals(table, "signals_ranked.parquet", {}))
        run = {
            "dataset": f"/data/qlib/{version.name}",
            "datasetFingerprint": fingerprint(version),
            "signalsSha256": signals_sha256(table),
        }
        market.record(book, day, run=run)
    code, out, _ = ask(data, "verify")
    assert (code, out.count("\n")) == (ExitCode.DONE, 1)
    assert out.startswith("us-shadow holds: 5 entries, 5 of them with the data of their night.")
    path = market.dataset(days[2]).folder / "features" / "aaa" / "close.day.bin"
    path.write_bytes(path.read_bytes()[:4] + bytes(4) * 3)
    code, out, _ = ask(data, "verify")
    assert code == ExitCode.DONE
    assert "3 of them with the data of their night, the others with the prices of now" in out
    assert "come from that, and no damage:" in out
    document = json.loads(ask(data, "verify", "--json")[1])
    assert (document["sound"], document["exact"]) == (True, 3)
    assert document["ofDataCount"] >= len(document["ofData"]) > 0


def test_a_book_of_a_newer_version_cannot_be_checked_and_is_not_called_damaged(
    verified: tuple[Path, list[str]], ask: Ask
):
    """That version can check it."""
    data, _ = verified
    path = data / ARTIFACTS / "ledgers" / "us-shadow" / "BOOK.json"
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 2'))
    code, out, _ = ask(data, "verify")
    assert code == ExitCode.BAD_CONFIG
    assert "us-shadow cannot be checked:" in out
    assert "was written by a newer version" in out


def test_what_does_not_hold_is_found_with_its_own_code(verified: tuple[Path, list[str]], ask: Ask):
    """A head that no entry has, and a chain that was changed; nothing is written."""
    data, heads = verified
    folder = data / ARTIFACTS / "ledgers" / "us-shadow"
    code, out, _ = ask(data, "verify", "--head", "0" * 64)
    assert code == ExitCode.LEDGER_DAMAGED
    assert out.splitlines()[0] == "us-shadow does not hold:"
    assert "no entry has the hash 000" in out
    last = max((folder / "chain").iterdir())
    last.write_text(last.read_text().replace('"cash": ', '"cash": 1'))
    code, out, _ = ask(data, "verify", "--json")
    document = json.loads(out)
    assert (code, document["sound"]) == (ExitCode.LEDGER_DAMAGED, False)
    assert any(last.name in finding for finding in document["findings"])
    assert document["head"] != heads[-1]
    assert not (folder / "tables").exists()


def test_what_is_shown_of_real_nights_is_what_was_recorded(verified: tuple[Path, list[str]], ask: Ask):
    """The head, and an account that the sum of its parts is."""
    data, heads = verified
    shown = json.loads(ask(data, "show", "us-shadow", "--json")[1])
    assert (shown["head"], shown["entries"], shown["state"]) == (heads[-1], 7, "Decided")
    assert shown["nav"] == pytest.approx(shown["cash"] + shown["gross"])
    days = json.loads(ask(data, "nav", "--json")[1])
    assert shown["nav"] - shown["capital"] == pytest.approx(sum(one["pnl"] for one in days))
