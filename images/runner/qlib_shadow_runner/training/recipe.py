"""The recipe of a model: all that it follows from, without the data's days, the instruments and the machine.

Two nights of one manifest have the same recipe. What decides only the portfolio or the form of the output is
no part of it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.contract.escapes import in_one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qlib_shadow_runner.contract.spec.workflow import Segments, Window, WorkflowSpec

OF_ONE_NIGHT: Final = frozenset(
    {"start_time", "end_time", "fit_start_time", "fit_end_time", "instruments", "num_threads"}
)
"""Arguments that follow from the data or the machine."""
SCALED: Final = frozenset({"lambda_l1", "lambda_l2"})
"""Parameters that follow from the number of rows; what the manifest asks of them is in `asked`."""
SHOWN: Final = 60
"""Characters of a value in a sentence."""


@dataclass(frozen=True)
class Recipe:
    """What a model follows from, besides days and machine."""

    document: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        """Return the hash by which models of one recipe are found."""
        return hashlib.sha256(json.dumps(self.document, sort_keys=True).encode()).hexdigest()

    def difference(self, other: object) -> str | None:
        """Return in which part another recipe differs first, with both values; None where it is the same."""
        found = next(_differences(self.document, other, ""), None)
        return found and f"its recipe has another {found}"


@dataclass(frozen=True)
class Origin:
    """Where the data comes from, whatever it holds tonight."""

    path: str
    """Of the dataset, without a version."""
    feed: str
    region: str
    market: str


def recipe_of(
    asked: WorkflowSpec, template: str, model: Mapping[str, Any], handler: Mapping[str, Any], origin: Origin
) -> Recipe:
    """Return the recipe of a run: what its manifest asks, and model and handler as they were rendered."""
    return Recipe(
        {
            "template_sha256": hashlib.sha256(template.encode()).hexdigest(),
            "dataset": vars(origin),
            "asked": asked.model_parameters,
            "seed": asked.seed,
            "live": str(asked.live),
            "window": _window(asked.window),
            "segments": _learnt_from(asked.segments),
            "model": _of_every_night(model, OF_ONE_NIGHT | SCALED),
            "handler": _of_every_night(handler, OF_ONE_NIGHT),
        }
    )


def _differences(ours: object, theirs: object, where: str) -> Iterator[str]:
    """Yield the paths of values that differ; a recipe of another run may hold anything."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        # In our order: what the manifest asks comes before what was made of it.
        for key in dict.fromkeys([*ours, *theirs]):
            inside = f"{where}.{_cut(key)}" if where else _cut(key)
            yield from _differences(ours.get(key), theirs.get(key), inside)
    elif ours != theirs:
        yield f"{where}: {_shown(theirs)} there, {_shown(ours)} here"


def _shown(value: object) -> str:
    return _cut("nothing" if value is None else json.dumps(value))


def _cut(text: object) -> str:
    return in_one_line(str(text)[:SHOWN]) + ("…" if len(str(text)) > SHOWN else "")


def _window(window: Window | None) -> dict[str, str] | None:
    """Return a window as the manifest writes it."""
    if window is None:
        return None
    return {name: str(period) for name, period in window.values().items() if period is not None}


def _learnt_from(segments: Segments | None) -> dict[str, list[str | None]] | None:
    """Return train and valid as the manifest writes them; test decides nothing about a model."""
    if segments is None:
        return None
    spans = {"train": segments.train, "valid": segments.valid}
    return {name: [day and str(day) for day in span] for name, span in spans.items()}


def _of_every_night(value: Any, without: frozenset[str]) -> Any:
    """Return a part of a workflow without some arguments, wherever they are in it."""
    if isinstance(value, dict):
        return {str(key): _of_every_night(one, without) for key, one in value.items() if key not in without}
    if isinstance(value, list):
        return [_of_every_night(one, without) for one in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
