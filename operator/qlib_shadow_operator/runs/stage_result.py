"""Parse a stage's result from a termination message, which any image may have written."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import Any, Final, get_type_hints

from qlib_shadow_operator.runs.model import NOTHING, Figures
from qlib_shadow_operator.runs.reasons import MESSAGE_MAX, shorten
from qlib_shadow_runner.contract import DatasetResult, LedgerResult, Metrics, ModelResult, Reason, Stage

DATASET_FIELDS: Final = get_type_hints(DatasetResult)
METRIC_FIELDS: Final = get_type_hints(Metrics)
MODEL_FIELDS: Final = get_type_hints(ModelResult)
LEDGER_FIELDS: Final = get_type_hints(LedgerResult)
TEXT_MAX: Final = 512
REASON_MAX: Final = 64
SHORTER: Final = {
    **dict.fromkeys(("calendarStart", "calendarEnd"), 32),
    **dict.fromkeys(("engineeringState", "sourceState", "policyState", "overallState"), 16),
    "reasonCode": 64,
    **dict.fromkeys(("recipe", "trainedThrough"), 32),
    **dict.fromkeys(("drift", "decay"), 16),
    **dict.fromkeys(("day", "decision", "recorded"), 16),
    **dict.fromkeys(("book", "head"), 64),
}
"""The fields for which the CRD allows fewer characters than TEXT_MAX."""
WHOLE_MAX: Final = 2**63 - 1
"""The largest whole number that the API server takes."""
FLOAT_MAX: Final = sys.float_info.max
DIGITS_SHOWN: Final = 20


@dataclass(frozen=True)
class StageResult:
    """The well-formed parts of a stage's result."""

    reason: str
    message: str
    dataset: Figures = field(default_factory=dict)
    metrics: Figures = field(default_factory=dict)
    model: Figures = field(default_factory=dict)
    ledger: Figures = field(default_factory=dict)
    config_hash: str | None = None
    git_commit: str | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the stage reports success."""
        return self.reason == Reason.SUCCEEDED


class MalformedResultError(ValueError):
    """The message is not a result of this run's stage."""


def parse_result(message: str, *, stage: Stage, uid: str) -> StageResult:
    """Return the result, or raise a MalformedResultError that says what is wrong."""
    document = _document(message)
    _check_origin(document, stage, uid)
    return StageResult(
        reason=shorten(_text(document, "reason") or "", REASON_MAX) or _missing_field("reason"),
        message=shorten(_text(document, "message") or "", MESSAGE_MAX),
        dataset=_figures(document.get("dataset"), DATASET_FIELDS),
        metrics=_figures(document.get("metrics"), METRIC_FIELDS),
        model=_figures(document.get("model"), MODEL_FIELDS),
        ledger=_figures(document.get("ledger"), LEDGER_FIELDS),
        config_hash=_text(document, "configHash"),
        git_commit=_text(document, "gitCommit"),
    )


def _document(message: str) -> dict[str, Any]:
    if not message.strip():
        raise MalformedResultError("it is empty")
    try:
        document = json.loads(message)
    except (ValueError, RecursionError) as error:
        raise MalformedResultError("it is not JSON") from error
    if not isinstance(document, dict):
        raise MalformedResultError("it is not a JSON object")
    return document


def _check_origin(document: dict[str, Any], stage: Stage, uid: str) -> None:
    if document.get("stage") != stage:
        raise MalformedResultError(
            f"it is of stage {str(document.get('stage'))[:REASON_MAX]!r}, not of {stage}"
        )
    if document.get("uid") not in {uid, None}:
        raise MalformedResultError("it is of another run")


def _missing_field(name: str) -> str:
    raise MalformedResultError(f"it has no {name}")


def _text(document: dict[str, Any], name: str) -> str | None:
    value = document.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise MalformedResultError(f"{name} is not text")
    return shorten(value, MESSAGE_MAX if name == "message" else TEXT_MAX)


def _figures(raw: object, fields: dict[str, Any]) -> Figures:
    """Return the known fields of the right type; unknown fields of a newer runner are ignored."""
    if raw is None:
        return NOTHING
    if not isinstance(raw, dict):
        raise MalformedResultError("dataset, metrics, model and ledger must be objects")
    return {
        name: _figure(name, raw[name], kind) for name, kind in fields.items() if raw.get(name) is not None
    }


def _figure(name: str, value: object, kind: type) -> str | int | float:
    if kind is bool and isinstance(value, bool):
        return value
    if kind is str and isinstance(value, str):
        return shorten(value, SHORTER.get(name, TEXT_MAX))
    if isinstance(value, bool) or not isinstance(value, int | float) or kind in (str, bool):
        raise MalformedResultError(f"{name} is not of type {kind.__name__}")
    if not (-WHOLE_MAX <= value <= WHOLE_MAX if kind is int else -FLOAT_MAX <= value <= FLOAT_MAX):
        raise MalformedResultError(f"{name} is {shorten(str(value), DIGITS_SHOWN)}")  # NaN is not within, too
    if kind is int and value != int(value):
        raise MalformedResultError(f"{name} is {value}")
    return int(value) if kind is int else float(value)
