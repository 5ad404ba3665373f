"""Verify a dataset: read every file once, and check and hash it in the same pass."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from qlib_shadow_runner.dataset.fingerprint import content_of, dataset_files, merkle_root
from qlib_shadow_runner.dataset.qlib_layout import (
    ALL,
    BIN_SUFFIX,
    CALENDAR,
    FLOAT_BYTES,
    Dataset,
    feature_folder,
    invalid,
)
from qlib_shadow_runner.dataset.tickers import same_but_for_case, ticker_fault

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PRICES: Final = frozenset({"open", "high", "low", "close", "vwap"})
REMEDY: Final = "Rename it in every list, and its folder in features/."


@dataclass(frozen=True)
class Verified:
    """The size and the fingerprint of a valid dataset."""

    fingerprint: str
    rows: int
    files: int
    size: int


def verify_dataset(folder: Path, look: Callable[[str, bytes], None] | None = None) -> Verified:
    """Check every file of a dataset; raise the first fault with the file's name.

    `look` receives each valid bin file, so that the quality checks do not read it again.
    """
    dataset = Dataset(folder)
    _check_calendar(dataset)
    _check_universes(dataset)
    digests: dict[str, str] = {}
    rows = size = 0
    for name in dataset_files(folder):
        content = content_of(folder, name)
        size += len(content)
        digests[name] = hashlib.sha256(content).hexdigest()
        if not (name.startswith("features/") and name.endswith(BIN_SUFFIX)):
            continue
        rows += _check_bin(folder / name, content, len(dataset.calendar))
        if look is not None:
            look(name, content)
    _check_features(dataset, digests)
    return Verified(merkle_root(digests), rows, len(digests), size)


def _check_calendar(dataset: Dataset) -> None:
    path, days = dataset.folder / CALENDAR, dataset.calendar
    if not days:
        raise invalid(path, "is empty: there are no trading days.")
    for before, after in pairwise(days):
        if before >= after:
            raise invalid(path, f"has {after} after {before}; days must be sorted and unique.")


def _check_universes(dataset: Dataset) -> None:
    folder = dataset.folder / "instruments"
    if not any(dataset.universes.values()):
        raise invalid(folder, "holds no instruments: at least one *.txt with lines is needed.")
    first, last = dataset.calendar[0], dataset.calendar[-1]
    for name, spans in dataset.universes.items():
        path = folder / f"{name}.txt"
        _check_tickers(path, [span.symbol for span in spans])
        for span in spans:
            if span.last < first or span.first > last:
                raise invalid(
                    path,
                    f"has {span.symbol} from {span.first} to {span.last}, "
                    f"outside the calendar {first} to {last}.",
                )


def _check_tickers(path: Path, symbols: list[str]) -> None:
    for symbol in symbols:
        if fault := ticker_fault(symbol):
            raise invalid(path, f'lists the symbol "{symbol[:40]}", {fault}. {REMEDY}')
    if pair := same_but_for_case(symbols):
        raise invalid(
            path,
            f'lists "{pair[0]}" and "{pair[1]}", which Qlib reads from one folder, since it ignores case '
            "there. Leave one of them out.",
        )


def _check_bin(path: Path, content: bytes, days: int) -> int:
    """Check one file and return the rows that it adds; only a symbol's close adds rows."""
    if len(content) % FLOAT_BYTES or len(content) < 2 * FLOAT_BYTES:
        raise invalid(
            path, f"has {len(content)} bytes; a bin file is float32: a start index and at least one value."
        )
    values = np.frombuffer(content, "<f4")
    start, count = float(values[0]), len(values) - 1
    if not (start >= 0 and start.is_integer()):
        raise invalid(path, f"begins with the start index {start}, which is not a day's number.")
    if start + count > days:
        raise invalid(
            path, f"covers days {start:.0f} to {start + count - 1:.0f}, but the calendar has {days} days."
        )
    if np.isinf(values).any():
        raise invalid(path, "holds infinite values.")
    return _check_prices(path, values[1:])


def _check_prices(path: Path, values: np.ndarray[tuple[int], np.dtype[np.float32]]) -> int:
    field = path.name.removesuffix(BIN_SUFFIX)
    if field in PRICES and (values <= 0).any():
        raise invalid(
            path, f"holds a price of {values[values <= 0][0]:g}; prices are above zero, or missing (NaN)."
        )
    return int((~np.isnan(values)).sum()) if field == "close" else 0


def _check_features(dataset: Dataset, files: dict[str, str]) -> None:
    folder = dataset.folder / "features"
    with_close = {
        name.split("/")[1]
        for name in files
        if name.startswith("features/") and name.endswith("/close.day.bin")
    }
    if not with_close:
        raise invalid(folder, "holds no close.day.bin of any symbol: there are no prices.")
    for name, spans in dataset.universes.items():
        if spans and not any(feature_folder(span.symbol) in with_close for span in spans):
            raise invalid(folder, f"holds none of the {len(spans)} symbols of instruments/{name}.txt.")


def universe_counts(dataset: Dataset) -> dict[str, int]:
    """Return the number of distinct symbols in each universe."""
    return {name: len({span.symbol for span in spans}) for name, spans in dataset.universes.items()}


def instrument_count(dataset: Dataset) -> int:
    """Return the number of symbols in the whole dataset."""
    return universe_counts(dataset).get(ALL) or len(dataset.symbols)
