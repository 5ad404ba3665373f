"""The kinds of columns in tables of plain values, as Arrow's types."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

PLAIN_KINDS: Final = {
    "text": pa.string(),
    "whole": pa.int64(),
    "number": pa.float64(),
    "flag": pa.bool_(),
    "day": pa.date32(),
    "moment": pa.timestamp("ms"),
}
