"""The scores that are ranked: the evaluated model's, and on the live days the live model's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.pickles.files import LIVE, PREDICTIONS

if TYPE_CHECKING:
    from qlib_shadow_runner.tables.layout import Tables

ROW = ["date", "instrument"]


def scores_to_rank(tables: Tables) -> pa.Table:
    """Return the scores by day and instrument; refuse a live model that scored other instruments."""
    evaluated, live = tables.require(PREDICTIONS), tables.found.get(LIVE)
    if live is None:
        return evaluated
    of_live_days = pc.is_in(evaluated["date"], live["date"].unique())
    if _rows(evaluated.filter(of_live_days)) != _rows(live):
        raise StageError(
            Reason.OUTPUT_INCOMPLETE,
            "the live model scored other days or instruments than the evaluated one; see stdout.log.",
        )
    return pa.concat_tables([evaluated.filter(pc.invert(of_live_days)), live])


def _rows(table: pa.Table) -> pa.Table:
    return table.select(ROW).sort_by([(name, "ascending") for name in ROW]).combine_chunks()
