"""The values of RUN_METADATA.json that pages show, each of the type that the runner writes.

A file may have been edited, or come from another program. A value of another type is shown as missing, so
that one wrong value costs itself and not the page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from qlib_shadow_runner.contract.strict_json import WHOLE
from qlib_shadow_runner.texts import ABSENT, is_number

Reader = Callable[[object], object]
"""Returns a value, or what stands for one of another type."""


def well_typed(document: Mapping[str, object]) -> dict[str, object]:
    """Return the metadata with every value that pages show of its type."""
    return {key: READERS.get(key, _plain)(value) for key, value in document.items()}


def _plain(value: object) -> object:
    """Return a text, a number or a boolean."""
    if isinstance(value, int) and value not in WHOLE:
        return ABSENT
    return value if value is None or isinstance(value, str) or is_number(value) else ABSENT


def _list(of: Reader) -> Reader:
    return lambda value: [of(one) for one in value] if isinstance(value, list) else []


def _mapping(of: Reader) -> Reader:
    return lambda value: {key: of(one) for key, one in value.items()} if isinstance(value, dict) else {}


def _span(value: object) -> list[object]:
    """Return the first and the last day."""
    both = isinstance(value, list) and len(value) == len(("first", "last"))
    return [_plain(day) for day in value] if both and isinstance(value, list) else [ABSENT, ABSENT]


def _quality(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        return {}
    return {
        **{name: _plain(value.get(name, ABSENT)) for name in QUALITY},
        "checks": [_check(one) for one in _objects(value.get("checks"))],
        "waived": [_waived(one) for one in _objects(value.get("waived"))],
    }


def _objects(value: object) -> list[Mapping[str, object]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _check(value: Mapping[str, object]) -> dict[str, object]:
    return {
        **{name: str(_plain(value.get(name, ABSENT))) for name in ("name", "state")},
        "hint": _plain(value.get("hint")),
        "count": _plain(value.get("count", ABSENT)),
        "examples": [str(one) for one in _list(_plain)(value.get("examples"))],  # type: ignore[attr-defined]
    }


def _waived(value: Mapping[str, object]) -> dict[str, object]:
    return {
        **{name: _plain(value.get(name)) for name in ("instrument", "day")},
        **{name: str(_plain(value.get(name, ABSENT))) for name in ("finding", "why")},
        "count": _plain(value.get("count", ABSENT)),
    }


QUALITY: Final = (
    *("engineering_state", "source_state", "policy_state", "overall_state"),
    *("reason_code", "action_hint"),
)
READERS: Final[Mapping[str, Reader]] = {
    "dataset_quality": _quality,
    "segments": _mapping(_span),
    "live_days": _span,
    "stages": _mapping(_mapping(_plain)),
    **dict.fromkeys(("backtest", "caveats", "dataset_notes"), _list(_plain)),
    **dict.fromkeys(
        ("segment_days", "packages", "limits", "strategy", "exchange", "engines", "market_lives", "outputs"),
        _mapping(_plain),
    ),
}
"""How each value is read that is not a text or a number."""
