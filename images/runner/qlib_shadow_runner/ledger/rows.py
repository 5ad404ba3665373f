"""A book's chain as rows of tables, for SQL, for Parquet and for the command line."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.ledger.chain import DECISION
from qlib_shadow_runner.ledger.entries import is_closed
from qlib_shadow_runner.ledger.gates import closed
from qlib_shadow_runner.ledger.record import days_of
from qlib_shadow_runner.runs import values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from qlib_shadow_runner.ledger.chain import Chain
    from qlib_shadow_runner.ledger.record import Day

    Row = dict[str, Any]

DAY: Final = {"namespace": "text", "book": "text", "day": "day"}
ORDER: Final = {
    "order_id": "text",
    "instrument": "text",
    "side": "text",
    "shares": "number",
    "amount": "number",
    "price": "number",
}
COLUMNS: Final[Mapping[str, Mapping[str, str]]] = {
    "decisions": {
        **DAY,
        "decision": "text",
        "late": "flag",
        "recorded_at": "moment",
        "decide_before": "moment",
        "era": "whole",
        "run_id": "text",
        "live": "flag",
        "orders": "whole",
        "gates_closed": "whole",
        "nav": "number",
        "drawdown": "number",
        "turnover": "number",
        "gross": "number",
        "names": "whole",
        "max_weight": "number",
        "participation": "number",
        "promised_mean": "number",
        "promised_deviation": "number",
        "signals_sha256": "text",
        "model_sha256": "text",
        "config_hash": "text",
        "dataset_fingerprint": "text",
        "rules_sha256": "text",
        "number": "whole",
        "sha256": "text",
    },
    "gates": {
        **DAY,
        "gate": "text",
        "verdict": "text",
        "closed": "flag",
        "figure": "text",
        "limit_value": "text",
        "sentence": "text",
    },
    "orders": {
        **DAY,
        **ORDER,
        "money_share": "number",
        "slices": "whole",
        "late": "flag",
    },
    "fills": {
        **DAY,
        "decided": "day",
        **ORDER,
        "value": "number",
        "cost": "number",
        "shortfall": "number",
        "why": "text",
    },
    "positions": {
        **DAY,
        "instrument": "text",
        "shares": "number",
        "amount": "number",
        "price": "number",
        "value": "number",
        "weight": "number",
        "priced": "day",
        "days": "whole",
    },
    "nav": {
        **DAY,
        "nav": "number",
        "cash": "number",
        "pnl": "number",
        "day_return": "number",
        "costs": "number",
        "traded": "number",
        "turnover": "number",
        "shortfall": "number",
        "benchmark": "number",
        "counts": "flag",
    },
}
"""The columns of each table, with the kind of each."""
READ: Final[Mapping[str, Callable[[object], Any]]] = {
    "text": values.text,
    "whole": values.whole,
    "number": values.number,
    "flag": values.flag,
    "day": values.day,
    "moment": values.moment,
}


def rows_by_day(chain: Chain) -> Iterator[Mapping[str, list[Row]]]:
    """Yield the rows of each table day by day, so that one day of a chain alone is in memory.

    A value of another type than its column's is None.
    """
    book = {"namespace": chain.book["namespace"], "book": chain.book["book"]}
    known = {day.day: day for day in days_of(entry.brief for entry in chain.entries)}
    for _, entries in groupby(chain.entries, key=lambda entry: entry.day):
        found: dict[str, list[Row]] = {name: [] for name in COLUMNS}
        document: Mapping[str, Any] = {}
        for entry in entries:
            document = entry.document
            if entry.kind == DECISION:
                found["decisions"].append(_decision(document, entry.sha256))
                found["gates"] += _gates(document)
                found["orders"] += _orders(document)
            else:
                found["fills"] += _fills(document)
        found["positions"] += _positions(document)  # the decision of a day has the account of its fills
        found["nav"].append(_nav(document, known.get(document["day"])))
        yield {name: [_typed({**book, **row}, COLUMNS[name]) for row in found[name]] for name in COLUMNS}


def _typed(row: Row, kinds: Mapping[str, str]) -> Row:
    return {name: READ[kind](row.get(name)) for name, kind in kinds.items()}


def _decision(document: Mapping[str, Any], sha256: str) -> Row:
    run, figures = document["run"], document["figures"]
    return {
        "day": document["day"],
        "decision": document["decision"],
        "late": document["late"],
        "recorded_at": document["recordedAt"],
        "decide_before": document["decideBefore"],
        "era": document["era"],
        "run_id": run.get("runId"),
        "live": run.get("live"),
        "orders": len(document["orders"]),
        "gates_closed": len(closed(document["gates"])),
        "nav": document["account"]["nav"],
        **{name: figures.get(name) for name in ("drawdown", "turnover", "gross", "participation")},
        "names": _whole(figures.get("names")),
        "max_weight": figures.get("maxWeight"),
        "promised_mean": document["promise"].get("mean"),
        "promised_deviation": document["promise"].get("deviation"),
        "signals_sha256": run.get("signalsSha256"),
        "model_sha256": run.get("modelSha256"),
        "config_hash": run.get("configHash"),
        "dataset_fingerprint": run.get("datasetFingerprint"),
        "rules_sha256": document["rulesSha256"],
        "number": document["number"],
        "sha256": sha256,
    }


def _gates(document: Mapping[str, Any]) -> Iterator[Row]:
    for gate in document["gates"]:
        yield {
            "day": document["day"],
            "gate": gate["gate"],
            "verdict": gate["verdict"],
            "closed": is_closed(gate["verdict"]),
            "figure": _text(gate["figure"]),
            "limit_value": _text(gate["limit"]),
            "sentence": gate["sentence"],
        }


def _orders(document: Mapping[str, Any]) -> Iterator[Row]:
    for order in document["orders"]:
        more = {"order_id": order["id"], "slices": len(order["slices"])}
        yield {**order, **more, "day": document["day"], "late": document["late"]}


def _fills(document: Mapping[str, Any]) -> Iterator[Row]:
    for fill in document["fills"]:
        yield {
            **fill,
            "day": document["day"],
            "decided": document["decision"],
            "order_id": fill["order"],
        }


def _positions(document: Mapping[str, Any]) -> Iterator[Row]:
    for one in document["account"]["positions"]:
        yield {**one, "day": document["day"], "value": one["amount"] * one["price"]}


def _nav(document: Mapping[str, Any], known: Day | None) -> Row:
    account = document["account"]
    more = {**vars(known), "turnover": known.turnover} if known else {}
    return {**more, "day": document["day"], "nav": account["nav"], "cash": account["cash"]}


def _text(value: object) -> str | None:
    return None if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value
