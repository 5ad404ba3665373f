"""A book's chain as rows of tables, for SQL, for Parquet and for the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.ledger.entries import Verdict
from qlib_shadow_runner.ledger.record import days_of
from qlib_shadow_runner.runs import values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from qlib_shadow_runner.ledger.chain import Chain

    Row = dict[str, Any]

DAY: Final = {"namespace": "text", "book": "text", "day": "day"}
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
        "order_id": "text",
        "instrument": "text",
        "side": "text",
        "shares": "number",
        "amount": "number",
        "price": "number",
        "money_share": "number",
        "slices": "whole",
        "late": "flag",
    },
    "fills": {
        **DAY,
        "decided": "day",
        "order_id": "text",
        "instrument": "text",
        "side": "text",
        "shares": "number",
        "amount": "number",
        "price": "number",
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


def rows_of(chain: Chain, table: str) -> list[Row]:
    """Return the rows of one table; a value of another type than its column's is None."""
    book = {"namespace": chain.book["namespace"], "book": chain.book["book"]}
    kinds = COLUMNS[table]
    return [
        {name: READ[kind](row.get(name)) for name, kind in kinds.items()}
        for row in ({**book, **one} for one in ROWS[table](chain))
    ]


def _decisions(chain: Chain) -> Iterator[Row]:
    for document, sha256 in _entries(chain, "decision"):
        run, figures = document["run"], document["figures"]
        yield {
            "day": document["day"],
            "decision": document["decision"],
            "late": document["late"],
            "recorded_at": document["recordedAt"],
            "decide_before": document["decideBefore"],
            "era": document["era"],
            "run_id": run.get("runId"),
            "live": run.get("live"),
            "orders": len(document["orders"]),
            "gates_closed": sum(map(_is_closed, document["gates"])),
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


def _gates(chain: Chain) -> Iterator[Row]:
    for document, _ in _entries(chain, "decision"):
        for gate in document["gates"]:
            yield {
                "day": document["day"],
                "gate": gate["gate"],
                "verdict": gate["verdict"],
                "closed": _is_closed(gate),
                "figure": _text(gate["figure"]),
                "limit_value": _text(gate["limit"]),
                "sentence": gate["sentence"],
            }


def _orders(chain: Chain) -> Iterator[Row]:
    for document, _ in _entries(chain, "decision"):
        for order in document["orders"]:
            more = {"order_id": order["id"], "slices": len(order["slices"])}
            yield {**order, **more, "day": document["day"], "late": document["late"]}


def _fills(chain: Chain) -> Iterator[Row]:
    for document, _ in _entries(chain, "fills"):
        for fill in document["fills"]:
            yield {
                **fill,
                "day": document["day"],
                "decided": document["decision"],
                "order_id": fill["order"],
            }


def _positions(chain: Chain) -> Iterator[Row]:
    for day, account in _accounts(chain).items():
        for one in account["positions"]:
            yield {**one, "day": day, "value": one["amount"] * one["price"]}


def _nav(chain: Chain) -> Iterator[Row]:
    days = {day.day: day for day in days_of(entry.document for entry in chain.entries)}
    for day, account in _accounts(chain).items():
        known = days.get(day)
        more = {**vars(known), "turnover": known.turnover} if known else {}
        yield {**more, "day": day, "nav": account["nav"], "cash": account["cash"]}


def _accounts(chain: Chain) -> dict[str, Mapping[str, Any]]:
    """Return the account at the end of each day; the decision of a day has that of its fills."""
    return {entry.document["day"]: entry.document["account"] for entry in chain.entries}


def _entries(chain: Chain, kind: str) -> Iterable[tuple[Mapping[str, Any], str]]:
    return ((entry.document, entry.sha256) for entry in chain.entries if entry.document["kind"] == kind)


def _is_closed(gate: Mapping[str, Any]) -> bool:
    return gate["verdict"] in (Verdict.CLOSED, Verdict.REDUCE)


def _text(value: object) -> str | None:
    return None if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


ROWS: Final[Mapping[str, Callable[[Chain], Iterator[Row]]]] = {
    "decisions": _decisions,
    "gates": _gates,
    "orders": _orders,
    "fills": _fills,
    "positions": _positions,
    "nav": _nav,
}
