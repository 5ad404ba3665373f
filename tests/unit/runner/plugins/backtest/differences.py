"""The differences between two results of a backtest: types, order, and the bits of every number."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterator

UNSEEN = ("logger",)


def differences(one: Any, other: Any, where: str = "") -> Iterator[str]:
    """Return the places where two objects differ."""
    if type(one) is not type(other):
        yield f"{where}: {type(one).__name__} and {type(other).__name__}"
    elif isinstance(one, pd.DataFrame | pd.Series):
        yield from _frames(one, other, where)
    elif isinstance(one, dict):
        if list(one) != list(other):
            yield f"{where}: other keys, {list(one)[:5]} and {list(other)[:5]}"
            return
        yield from _all((f"{where}[{key}]", one[key], other[key]) for key in one)
    elif isinstance(one, list | tuple):
        if len(one) != len(other):
            yield f"{where}: {len(one)} and {len(other)} items"
            return
        yield from _all((f"{where}[{i}]", *pair) for i, pair in enumerate(zip(one, other, strict=True)))
    elif not isinstance(one, str | int | np.generic | pd.Timestamp) and hasattr(one, "__dict__"):
        seen = [
            {key: value for key, value in vars(side).items() if key not in UNSEEN} for side in (one, other)
        ]
        yield from differences(seen[0], seen[1], f"{where}.{type(one).__name__}")
    elif not _same(one, other):
        yield f"{where}: {one!r} and {other!r}"


def _all(pairs: Iterator[tuple[str, Any, Any]]) -> Iterator[str]:
    for where, one, other in pairs:
        yield from islice(differences(one, other, where), 3)


def _frames(one: Any, other: Any, where: str) -> Iterator[str]:
    if not one.index.equals(other.index) or one.index.names != other.index.names:
        yield f"{where}: other rows"
    if isinstance(one, pd.DataFrame):
        if not one.columns.equals(other.columns):
            yield f"{where}: other columns, {list(one.columns)} and {list(other.columns)}"
            return
        for name in one.columns:
            yield from differences(one[name], other[name], f"{where}[{name}]")
    elif one.dtype != other.dtype or not _same(one.to_numpy(), other.to_numpy()):
        yield f"{where}: other values, {one.tolist()[:5]} and {other.tolist()[:5]}"


def _same(one: Any, other: Any) -> bool:
    """Return whether all bits are equal, except in NaN."""
    left, right = np.asarray(one), np.asarray(other)
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    if left.dtype.kind == "O" and left.ndim == 0:
        return one is other or bool(one == other)
    if left.dtype.kind == "O":
        return all(not any(differences(*pair)) for pair in zip(left.ravel(), right.ravel(), strict=True))
    if left.dtype.kind != "f":
        return bool((left == right).all())
    return bool((np.isnan(left) == np.isnan(right)).all()) and np.array_equal(
        np.where(np.isnan(left), 0, left).view(f"u{left.itemsize}"),
        np.where(np.isnan(right), 0, right).view(f"u{right.itemsize}"),
    )
