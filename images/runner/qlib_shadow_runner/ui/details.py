"""What the page of one run shows, read from the documents in its folder.

The documents may have been edited by hand. A value of an unexpected type is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.contract import REPORT_FILE, Stage
from qlib_shadow_runner.contract.spec.ledger import BOOK_NAME
from qlib_shadow_runner.dataset.quality.checks import RULES
from qlib_shadow_runner.runs.values import moment, number, text, whole
from qlib_shadow_runner.ui.run_files import LOGS, ShownFile, shown_files
from qlib_shadow_runner.ui.run_table import RUNNING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from qlib_shadow_runner.runs.listing import ListedRun

FIGURES: Final = (
    ("IC", "ic", "figure"),
    ("Rank IC", "rankIc", "figure"),
    ("Excess return a year", "annualizedReturn", "percent"),
    ("Information ratio", "informationRatio", "figure"),
    ("Drawdown of summed excess returns", "maxDrawdown", "percent"),
)
"""The most important figures: Qlib's, of the return in excess of the benchmark, with cost."""
WITHOUT_COST: Final = "WithoutCost"
IDENTITY: Final = {
    "Run": ("name", "namespace", "uid", "started_at_utc", "finished_at_utc"),
    "Question": (
        "config_hash",
        "workflow_sha256",
        "template",
        "model",
        "handler",
        "market",
        "benchmark",
        "seed",
    ),
    "Model": (
        "series",
        "recipe_sha256",
        "model_trained_by",
        "model_kept",
        "model_trained_through",
        "model_age_days",
        "model_not_kept",
        "live",
    ),
    "Provenance": (
        "git_commit",
        "image",
        "python",
        "platform",
        "signals_file",
        "signals_sha256",
        "reused_from",
    ),
}


@dataclass(frozen=True)
class StageLine:
    """The state of one stage."""

    name: str
    state: str
    attempts: int | None
    began: datetime | None
    seconds: float | None
    is_running: bool
    message: str


@dataclass(frozen=True)
class Tile:
    """One figure, with and without cost."""

    name: str
    value: float | None
    without_cost: float | None
    form: str


@dataclass(frozen=True)
class CheckLine:
    """One check of the dataset's quality."""

    name: str
    state: str
    count: int | None
    finds: str
    examples: str
    hint: str


@dataclass(frozen=True)
class Details:
    """Everything that the page of a run shows, except its logs."""

    run_id: str
    status: str
    message: str
    stages: Sequence[StageLine]
    tiles: Sequence[Tile]
    dataset: Mapping[str, object]
    checks: Sequence[CheckLine]
    quality: str
    notes: Sequence[str]
    caveats: Sequence[str]
    identity: Mapping[str, Mapping[str, str]]
    files: Sequence[ShownFile]
    logs: Sequence[str]
    book: str | None
    """The book in which it has recorded."""

    @property
    def has_report(self) -> bool:
        """Return whether there is a report to embed."""
        return any(file.name == REPORT_FILE for file in self.files)

    @property
    def is_running(self) -> bool:
        """Return whether the page will still change."""
        return self.status == RUNNING


def details(run: ListedRun, now: datetime) -> Details:
    """Return what the page of a run shows."""
    metadata = run.metadata
    stages = [_stage(run, stage, now) for stage in run.stages]
    quality = _mapping(metadata.get("dataset_quality"))
    files = shown_files(run.folder)
    return Details(
        run_id=run.run_id,
        status=run.status,
        message=run.damage or next((stage.message for stage in reversed(stages) if stage.message), ""),
        stages=stages,
        tiles=[_tile(run, *one) for one in FIGURES],
        dataset=_dataset(metadata),
        checks=[
            *(line for check in _list(quality.get("checks")) if (line := _check(_mapping(check)))),
            *(line for record in _list(quality.get("waived")) if (line := _waived(_mapping(record)))),
        ],
        quality=text(quality.get("overall_state")) or "",
        notes=_texts(metadata.get("dataset_notes")),
        caveats=_texts(metadata.get("caveats")),
        identity={
            head: {name: str(metadata[name]) for name in names if metadata.get(name) not in (None, "")}
            for head, names in IDENTITY.items()
        },
        files=files,
        logs=[name for name, file in LOGS.items() if any(shown.name == file for shown in files)],
        book=_book(metadata),
    )


def _book(metadata: Mapping[str, object]) -> str | None:
    name = text(_mapping(_mapping(metadata.get("ledger")).get("result")).get("book"))
    return name if name and re.fullmatch(BOOK_NAME, name) else None


def _stage(run: ListedRun, stage: Stage, now: datetime) -> StageLine:
    record = _mapping(_mapping(run.metadata.get("stages")).get(stage))
    state, began = _state(run, record), moment(record.get("started_at_utc"))
    is_running = state == RUNNING and began is not None
    return StageLine(
        str(stage),
        state,
        whole(record.get("attempts")),
        began,
        max(0.0, (now - began).total_seconds()) if is_running and began else number(record.get("seconds")),
        is_running,
        (text(run.result(stage).get("message")) or "") if "finished_at_utc" in record else "",
    )


def _state(run: ListedRun, record: Mapping[str, Any]) -> str:
    """Return the state of a stage in the words of a run's status."""
    if not record:
        return "waiting" if run.status == RUNNING else "not reached"
    if "finished_at_utc" not in record:
        return run.status
    reason = record.get("reason")
    return "complete" if reason == "Succeeded" else "interrupted" if reason == "Interrupted" else "failed"


def _tile(run: ListedRun, name: str, key: str, form: str) -> Tile:
    return Tile(name, run.metric(key), run.metric(f"{key}{WITHOUT_COST}"), form)


def _dataset(metadata: Mapping[str, object]) -> dict[str, object]:
    first, last = metadata.get("dataset_start"), metadata.get("dataset_end")
    known: dict[str, object] = {
        "days": f"{first} to {last}" if first and last else None,
        "trading days": metadata.get("dataset_days"),
        "instruments": metadata.get("dataset_instruments"),
        "source": metadata.get("dataset_source"),
        "prices read in place from": metadata.get("dataset_prices_read_from"),
        "path": metadata.get("dataset_path"),
        "version": metadata.get("dataset_resolved_path"),
        "fingerprint": metadata.get("dataset_fingerprint"),
    }
    return {name: value for name, value in known.items() if value is not None}


def _check(check: Mapping[str, Any]) -> CheckLine | None:
    name, state = text(check.get("name")), text(check.get("state"))
    if not name or not state:
        return None
    rule = RULES.get(name)
    return CheckLine(
        name,
        state,
        whole(check.get("count")),
        rule.finds if rule else "",
        ", ".join(_texts(check.get("examples"))),
        text(check.get("hint")) or "",
    )


def _waived(record: Mapping[str, Any]) -> CheckLine | None:
    """Return a waiver of the spec as a line beside the checks."""
    name = text(record.get("finding"))
    if not name:
        return None
    place = " ".join(filter(None, (text(record.get("instrument")), text(record.get("day")))))
    return CheckLine(name, "waived", whole(record.get("count")), text(record.get("why")) or "", place, "")


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _texts(value: object) -> list[str]:
    return [one for one in _list(value) if isinstance(one, str)]
