"""Check the ranked signals against the recorder's predictions and the dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib_shadow_runner.analysis.facts import RunFacts
from qlib_shadow_runner.contract import METADATA_FILE
from qlib_shadow_runner.dataset.qlib_layout import Dataset
from qlib_shadow_runner.discovery.market import describe_market
from qlib_shadow_runner.discovery.traded_days import traded_days

if TYPE_CHECKING:
    import pandas as pd

    from qlib_shadow_runner.verify.evidence import Evidence


def check_signals(evidence: Evidence) -> tuple[str | None, str]:
    """Return the first fault or None, and a description of the signals."""
    from qlib_shadow_runner.analysis.outputs import Outputs  # noqa: PLC0415 - pandas only when needed
    from qlib_shadow_runner.export.ranked_signals import (  # noqa: PLC0415
        rank_signals,
        signals_sha256,
        with_expected_returns,
    )

    table = evidence.signals[0]
    if table.empty:
        return "it has no rows", "no rows"
    last = f"{table['date'].max():%Y-%m-%d}"
    # A table that equals the ranked predictions has no other fault; looking for one takes as long again.
    labels, facts = Outputs(evidence.tables).labels, RunFacts.of(evidence.metadata)
    same = table.equals(with_expected_returns(rank_signals(evidence.tables), labels, facts))
    fault = None if same else _own_fault(table)
    fault = fault or _other_end(last, evidence) or _strangers(table, evidence)
    if fault is None and not same:
        fault = "its rows do not follow from the recorder's predictions and labels"
    if fault is None and signals_sha256(table) != evidence.metadata.get("signals_sha256"):
        fault = f"its rows do not hash to what {METADATA_FILE} says"
    return fault, f"{len(table):,} rows to {last}"


def _own_fault(table: pd.DataFrame) -> str | None:
    """Return what is wrong within the table, or None."""
    from qlib_shadow_runner.export.ranked_signals import with_ranks  # noqa: PLC0415

    if not _is_sorted(table):
        return "its rows are not sorted by day and rank"
    if table.duplicated(["date", "instrument"]).any():
        return "it ranks an instrument twice on one day"
    if not with_ranks(table[["date", "instrument", "score"]])["rank"].equals(table["rank"]):
        return "its ranks do not follow its scores"
    return None


def _is_sorted(table: pd.DataFrame) -> bool:
    """Compare each row with the one before it, which is faster than sorting."""
    (day, next_day), (score, next_score), (name, next_name) = (
        (column[:-1], column[1:])
        for column in (table[key].to_numpy() for key in ("date", "score", "instrument"))
    )
    within = (next_score < score) | ((next_score == score) & (next_name >= name))
    return bool(((next_day > day) | ((next_day == day) & within)).all())


def _strangers(table: pd.DataFrame, evidence: Evidence) -> str | None:
    dataset = Dataset(evidence.dataset)
    benchmark = str(evidence.metadata["benchmark"]).lower()
    held = {str(name).lower() for name in table["instrument"].unique()}
    if benchmark in held:
        return f"it ranks the benchmark {evidence.metadata['benchmark']}"
    universe = {span.symbol.lower() for span in dataset.universes[str(evidence.metadata["market"])]}
    if held - universe:
        return f"it ranks {min(held - universe)}, which is not in the universe"
    return None


def _other_end(found: str, evidence: Evidence) -> str | None:
    segments = evidence.metadata["segments"]
    assert isinstance(segments, dict), "the metadata is complete"
    chosen = evidence.metadata.get("segments_chosen_by") == "auto"
    dataset = Dataset(evidence.dataset)
    market = describe_market(
        dataset, str(evidence.metadata["market"]), "", str(evidence.metadata["benchmark"])
    )
    last = str(traded_days(dataset, market).days[-1])
    if not chosen:
        last = min(last, str(segments["test"][1]))
    return None if found == last else f"it ends on {found}, not on {last}"
