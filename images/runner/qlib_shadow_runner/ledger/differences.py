"""Where two documents differ: fields by their path, exactly or but for rounding and restated prices."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

CLOSE: Final = 1e-6
"""Prices are float32, so that restated ones differ from a plain multiple by some 1e-7."""
OF_SCALE: Final = frozenset(
    {"amount", "price", "factor", "adjusted", "notes", "carried", "id", "order", "slices"}
)
"""Fields that change with the scale of adjusted prices, whatever the account is worth."""
MONEY: Final = frozenset({"cash", "nav", "value", "cost", "costs", "traded", "pnl", "shortfall"})


def differences(
    recorded: Any, expected: Any, where: str = "", *, rescaled: float | None = None
) -> Iterator[tuple[str, Any, Any]]:
    """Yield each field that differs, with its recorded and its expected value.

    `rescaled` is the account's value where prices were restated since: then what changes with their scale is
    left out, and the rest is compared but for rounding.
    """
    if isinstance(recorded, dict) and isinstance(expected, dict):
        if rescaled is not None and expected.keys() >= {"amount", "price"}:
            worth = [one["amount"] * one["price"] for one in (recorded, expected)]
            if not math.isclose(*worth, rel_tol=CLOSE, abs_tol=CLOSE * rescaled):
                yield f"{where}.amount at its price", *worth
        for name in dict.fromkeys([*expected, *recorded]):
            if rescaled is None or name not in OF_SCALE:
                inside = f"{where}.{name}" if where else name
                yield from differences(recorded.get(name), expected.get(name), inside, rescaled=rescaled)
    elif isinstance(recorded, list) and isinstance(expected, list) and len(recorded) == len(expected):
        for number, (one, other) in enumerate(zip(recorded, expected, strict=True)):
            yield from differences(one, other, f"{where}[{number}]", rescaled=rescaled)
    elif not _equal(recorded, expected, where.rpartition(".")[2], rescaled):
        yield where, recorded, expected


def _equal(recorded: Any, expected: Any, name: str, rescaled: float | None) -> bool:
    if type(recorded) is bool or type(expected) is bool:
        return recorded is expected
    if rescaled is None or not (isinstance(recorded, int | float) and isinstance(expected, int | float)):
        return bool(recorded == expected)
    scale = rescaled if name in MONEY else 1.0
    return math.isclose(recorded, expected, rel_tol=CLOSE, abs_tol=CLOSE * scale)
