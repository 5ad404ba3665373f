"""The columns of the table of runs, and where in the run folder each value is.

The documents may have been edited: a value of another type than promised is empty.
Standard library only, because listing runs must be quick.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from qlib_shadow_runner.contract import Metrics
from qlib_shadow_runner.contract.spec import run_id_fault, series_of
from qlib_shadow_runner.contract.stages import is_trained
from qlib_shadow_runner.runs.values import day, flag, moment, number, text, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date

    from qlib_shadow_runner.runs.listing import ListedRun

Row = dict[str, Any]
"""One run: its values by column."""


@dataclass(frozen=True)
class RunDocuments:
    """A run folder's documents, each read once."""

    run: ListedRun
    metadata: Mapping[str, object]
    results: Sequence[Mapping[str, object]]
    """The results of the run's stages, in order."""
    metrics: Mapping[str, object]
    """The metrics in the result of the training's stage."""
    figures: Mapping[str, float]
    """Every number of metrics.json, by its name there."""

    @classmethod
    def by(cls, run: ListedRun) -> Self:
        """Return the documents of a run folder."""
        numbers = {name: number(value) for name, value in run.figures.items()}
        results = [run.result(stage) for stage in run.stages]
        return cls(
            run,
            run.metadata,
            results,
            next((_mapping(found["metrics"]) for found in results if "metrics" in found), {}),
            {name: value for name, value in numbers.items() if value is not None},
        )

    def metric(self, name: str) -> float | None:
        """Return one figure of the last stage."""
        return number(self.metrics.get(name))

    @property
    def message(self) -> str | None:
        """Return what is damaged, else the message of the last stage that has ended."""
        if self.run.damage:
            return self.run.damage
        messages = [text(result.get("message")) for result in self.results]
        return next((message for message in reversed(messages) if message), None)

    @property
    def seconds(self) -> float | None:
        """Return the sum of the stages' durations, without the waits between them."""
        stages = _mapping(self.metadata.get("stages")).values()
        taken = [number(_mapping(stage).get("seconds")) for stage in stages]
        known = [seconds for seconds in taken if seconds is not None]
        return round(sum(known), 3) if known else None


@dataclass(frozen=True)
class CatalogColumn:
    """A column: its name, its type, and the function that reads it."""

    name: str
    kind: str
    """text, whole, number, flag, day, moment, or figures: a map from names to numbers."""
    read: Callable[[RunDocuments], object]


def snake(name: str) -> str:
    """Return a metric's name in SQL: `rankIcir` is `rank_icir`."""
    return re.sub(r"(?<!^)([A-Z])", lambda found: f"_{found[1].lower()}", name)


def _metadata(key: str, take: Callable[[object], object]) -> Callable[[RunDocuments], object]:
    return lambda documents: take(documents.metadata.get(key))


def _inside(key: str, inner: str, take: Callable[[object], object]) -> Callable[[RunDocuments], object]:
    return lambda documents: take(_mapping(documents.metadata.get(key)).get(inner))


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _metric(name: str) -> Callable[[RunDocuments], object]:
    return lambda documents: documents.metric(name)


def _segment(name: str, end: int) -> Callable[[RunDocuments], object]:
    def read(documents: RunDocuments) -> date | None:
        bounds = _mapping(documents.metadata.get("segments")).get(name)
        return (
            day(bounds[end]) if isinstance(bounds, list) and len(bounds) == len(("first", "last")) else None
        )

    return read


def _universe_end(documents: RunDocuments) -> date | None:
    """Return the last day on which the universe traded; a run without signals has only its data's end."""
    return day(documents.metadata.get("universe_end") or documents.metadata.get("dataset_end"))


def _word(value: object) -> str | None:
    """Return one word of letters."""
    return value if isinstance(value, str) and re.fullmatch("[A-Za-z]{1,20}", value) else None


def _recipe(documents: RunDocuments) -> str | None:
    """Return the recipe; only a hash can be one, because pages and addresses are made from it."""
    found = text(documents.metadata.get("recipe_sha256"))
    return found if found and re.fullmatch("[0-9a-f]{64}", found) else None


def _run_name(value: object) -> str | None:
    """Return a text, if a run can have this name."""
    return value if isinstance(value, str) and run_id_fault(value) is None else None


def _trained(documents: RunDocuments) -> bool:
    """Return whether the run has model and signals; a ledger that failed leaves them as they are."""
    return not documents.run.damage and is_trained(documents.metadata)


def _texts(*keys: str) -> list[CatalogColumn]:
    return [CatalogColumn(key, "text", _metadata(key, text)) for key in keys]


def _wholes(*keys: str) -> list[CatalogColumn]:
    return [CatalogColumn(key, "whole", _metadata(key, whole)) for key in keys]


COLUMNS: Final[tuple[CatalogColumn, ...]] = (
    CatalogColumn("run_id", "text", lambda documents: documents.run.run_id),
    *_texts("name", "namespace", "uid"),
    CatalogColumn("status", "text", lambda documents: documents.run.status),
    *_texts("reason"),
    CatalogColumn("message", "text", lambda documents: documents.message),
    CatalogColumn("trained", "flag", _trained),
    CatalogColumn("started_at", "moment", _metadata("started_at_utc", moment)),
    CatalogColumn("finished_at", "moment", _metadata("finished_at_utc", moment)),
    CatalogColumn("seconds", "number", lambda documents: documents.seconds),
    *(CatalogColumn(snake(name), "number", _metric(name)) for name in Metrics.__annotations__),
    *_texts("dataset_path", "dataset_resolved_path", "dataset_fingerprint", "dataset_source", "dataset_feed"),
    CatalogColumn("dataset_start", "day", _metadata("dataset_start", day)),
    CatalogColumn("dataset_end", "day", _metadata("dataset_end", day)),
    CatalogColumn("universe_end", "day", _universe_end),
    *_wholes("dataset_days", "dataset_instruments"),
    CatalogColumn("quality", "text", _inside("dataset_quality", "overall_state", text)),
    CatalogColumn("quality_reason", "text", _inside("dataset_quality", "reason_code", text)),
    *_texts("template", "model", "handler", "market"),
    *_wholes("market_size"),
    *_texts("benchmark"),
    *_wholes("seed"),
    CatalogColumn("topk", "whole", _inside("strategy", "topk", whole)),
    *(
        CatalogColumn(f"{name}_{which}", "day", _segment(name, end))
        for name in ("train", "valid", "test")
        for end, which in enumerate(("first", "last"))
    ),
    *_texts("config_hash", "workflow_sha256", "computation", "git_commit", "image"),
    *_texts("signals_file", "signals_sha256"),
    *_wholes("signals_rows"),
    CatalogColumn("signals_first", "day", _metadata("signals_first", day)),
    CatalogColumn("signals_last", "day", _metadata("signals_last", day)),
    *_texts("reused_from", "identical_to"),
    CatalogColumn("series", "text", lambda documents: series_of(documents.metadata)),
    CatalogColumn("recipe_sha256", "text", _recipe),
    CatalogColumn("model_trained_by", "text", _metadata("model_trained_by", _run_name)),
    CatalogColumn("model_kept", "flag", _metadata("model_kept", flag)),
    CatalogColumn("model_trained_through", "day", _metadata("model_trained_through", day)),
    CatalogColumn("model_data_end", "day", _metadata("model_data_end", day)),
    *_wholes("model_age_days"),
    *_texts("model_not_kept"),
    CatalogColumn("live", "text", _metadata("live", _word)),
    CatalogColumn("live_model_trained_through", "day", _metadata("live_model_trained_through", day)),
    CatalogColumn("drift", "text", _inside("drift", "state", _word)),
    *(
        CatalogColumn(f"drift_{name}", "number", _inside("drift", name, number))
        for name in ("features", "scores", "turnover")
    ),
    CatalogColumn("decay", "text", _inside("decay", "state", _word)),
    CatalogColumn("decay_live_ic", "number", _inside("decay", "live_ic", number)),
    CatalogColumn("decay_days", "whole", _inside("decay", "days", whole)),
    CatalogColumn("promised_ic", "number", _inside("decay", "promised_ic", number)),
    CatalogColumn("gave_up", "text", _inside("decay", "gave_up", _run_name)),
    *_wholes("label_horizon_days"),
    *_wholes("peak_memory_bytes"),
    CatalogColumn("metrics", "figures", lambda documents: documents.figures),
)
"""The columns in the order of the table."""
