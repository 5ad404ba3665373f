"""The ranked signals: one row per day and instrument, best first, up to the dataset's last day."""

from __future__ import annotations

import hashlib
import io
import json
import math
from math import nan
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.storage.untrusted import GIB, TABLE, open_file
from qlib_shadow_runner.storage.untrusted_tables import TableLimits, read_table
from qlib_shadow_runner.tables.signals import scores_to_rank

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

    from qlib_shadow_runner.analysis.facts import RunFacts
    from qlib_shadow_runner.tables.layout import Tables

SCHEMA: Final = pa.schema(
    [
        ("date", pa.date32()),
        ("instrument", pa.string()),
        ("score", pa.float64()),
        ("rank", pa.int32()),
        ("percentile", pa.float64()),
        ("expected_return", pa.float64()),
    ]
)
LIMITS: Final = TableLimits(rows=50_000_000, size=2 * GIB)
"""10,000 instruments on each day of 20 years."""
METADATA_KEY: Final = b"qlib_shadow"
IDENTITY: Final = ("run_id", "config_hash", "dataset_fingerprint", "git_commit")


def rank_signals(tables: Tables) -> pd.DataFrame:
    """Return the scores ranked by day: 1 is best; equal scores are ordered by name."""
    table: pd.DataFrame = scores_to_rank(tables).to_pandas(date_as_object=False)
    if table.empty or table["score"].isna().any():
        raise StageError(
            Reason.OUTPUT_INCOMPLETE, "the model gave no score for some instruments; see stdout.log."
        )
    if table.duplicated(["date", "instrument"]).any():
        raise StageError(
            Reason.OUTPUT_INCOMPLETE, "the model scored an instrument twice on one day; see stdout.log."
        )
    return with_ranks(
        table.sort_values(["date", "score", "instrument"], ascending=[True, False, True], ignore_index=True)
    )


def with_ranks(table: pd.DataFrame) -> pd.DataFrame:
    """Return sorted rows with rank and percentile; the best percentile is 1, the worst just above 0.

    No return is expected yet.
    """
    days = table.groupby("date", sort=False)["score"]
    rank = days.cumcount() + 1
    count = days.transform("size")
    return table.assign(rank=rank.astype("int32"), percentile=(count - rank + 1) / count, expected_return=nan)


def with_expected_returns(table: pd.DataFrame, labels: pd.Series | None, facts: RunFacts) -> pd.DataFrame:
    """Return ranked rows with what each expects over the label's horizon, beyond the universe's mean."""
    # Readers of signals need not import pandas for this.
    import pandas as pd  # noqa: PLC0415

    from qlib_shadow_runner.analysis.expected import Scored, expected_returns  # noqa: PLC0415

    if labels is None:
        return table
    known = labels.reindex(pd.MultiIndex.from_frame(table[["date", "instrument"]])).to_numpy("f8")
    scored = Scored(pd.factorize(table["date"])[0], table["percentile"].to_numpy("f8"), known)
    return table.assign(expected_return=expected_returns(scored, facts.ahead, facts.horizon))


def encode_signals(table: pd.DataFrame, name: str, metadata: Mapping[str, object]) -> bytes:
    """Return the file: Parquet, with the run's identity in its schema, or CSV, which has no place for it.

    Only Parquet's footer holds the identity: the bytes before it are the same in every run of these signals.
    """
    if name.endswith(".csv"):
        return _as_csv(table)
    identity = json.dumps({key: metadata.get(key) for key in IDENTITY})
    arrow = pa.Table.from_pandas(table, schema=SCHEMA, preserve_index=False)
    buffer = io.BytesIO()
    pq.write_table(
        arrow.replace_schema_metadata({METADATA_KEY: identity.encode()}), buffer, compression="zstd"
    )
    return buffer.getvalue()


def scores_and_returns(rows: pd.DataFrame) -> tuple[dict[str, float], dict[str, float]]:
    """Return the scores of one day's signals, and their expected returns that are known."""
    names, returns = rows["instrument"], rows["expected_return"].astype("f8").tolist()
    scores = dict(zip(names, rows["score"].tolist(), strict=True))
    return scores, {name: one for name, one in zip(names, returns, strict=True) if math.isfinite(one)}


def signals_sha256(table: pd.DataFrame) -> str:
    """Return the hash of the signals as CSV, every score to its last bit, without the run's identity."""
    return hashlib.sha256(_as_csv(table)).hexdigest()


def _as_csv(table: pd.DataFrame) -> bytes:
    arrow = pa.Table.from_pandas(table, schema=SCHEMA, preserve_index=False)
    buffer = io.BytesIO()
    pa_csv.write_csv(arrow.replace_schema_metadata(None), buffer)
    return buffer.getvalue()


def read_signals(path: Path) -> tuple[pd.DataFrame, dict[str, object] | None]:
    """Return the signals of a file, with the run's identity where the format keeps it."""
    if path.suffix == ".csv":
        options = pa_csv.ConvertOptions(column_types=SCHEMA)
        with open_file(path.parent, path.name, TABLE) as stream:
            return pa_csv.read_csv(stream, convert_options=options).to_pandas(date_as_object=False), None
    table = read_table(path.parent, path.name, SCHEMA, LIMITS)
    identity = (table.schema.metadata or {}).get(METADATA_KEY)
    table = table.replace_schema_metadata(None)  # what pandas would do as it says
    return table.to_pandas(date_as_object=False), json.loads(identity) if identity else {}
