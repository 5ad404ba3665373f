"""Find the model of an earlier run that a run may keep instead of training."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import METADATA_FILE
from qlib_shadow_runner.storage.untrusted import read_object
from qlib_shadow_runner.training.finished_runs import finished_runs_with
from qlib_shadow_runner.training.model_folder import ModelFolder
from qlib_shadow_runner.training.trained import Unusable, require_unchanged

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date
    from pathlib import Path


SHOWN: Final = 3
"""Fields that a sentence names."""


@dataclass(frozen=True)
class Wanted:
    """What a model must be so that a run may keep it."""

    recipe_sha256: str
    namespace: str
    series: str | None
    made_with: Mapping[str, object]
    """Machine, packages and code: others could predict otherwise."""
    every_days: int | None
    """A model is kept for fewer trading days than these; None where its age does not matter."""
    fields: frozenset[str]
    """The prices and other fields that the data has."""
    calendar: Sequence[date]
    """Of the run's dataset, to the last day on which the universe trades."""
    test_begins: date
    ahead: int
    """How many days the label looks ahead."""
    look_back: int
    """How many days features look back."""
    processors: tuple[str, ...] = ()
    """The processors of features that were fitted to train, in their order."""
    live: bool = False
    """Whether the run has days whose outcome is not known yet, and a live model makes their signals."""

    def is_due(self, model: ModelFolder) -> bool:
        """Return whether a model is so old that a run trains anyway."""
        return self.every_days is not None and self.age(model) >= self.every_days

    def age(self, model: ModelFolder) -> int:
        """Return how many trading days have come since the data ended with which it was trained."""
        return len(self.calendar) - bisect_right(self.calendar, model.day("data_end"))

    def fault(self, model: ModelFolder) -> str | None:
        """Return why a model is not kept, or None."""
        if fault := self._stranger(model):
            return fault
        if others := model.made_otherwise(self.made_with):
            return f"it was made with other {', '.join(others)}"
        if missing := sorted(set(model.document["fields"]) - self.fields):
            named = " and ".join(f"${one}" for one in missing[:SHOWN])
            return f"it was made with {named}, which the data does not have"
        has = tuple(one.kind for one in model.processors())
        if has != self.processors:
            return (
                f"it has the state of {_listed(has)}, and this run needs that of {_listed(self.processors)}"
            )
        return self._fault_of_days(model)

    def _fault_of_days(self, model: ModelFolder) -> str | None:
        if model.day("data_end") > self.calendar[-1]:
            return f"its data ends on {model.day('data_end')}, later than this run's"
        known = bisect_right(self.calendar, model.day("validated_through")) - 1 + self.ahead
        if known >= len(self.calendar) or self.calendar[known] >= self.test_begins:
            return f"it has learnt from days to {model.day('validated_through')}, which this run tests"
        if self.is_due(model):
            return f"it is {self.age(model)} trading days old, and every {self.every_days} a run trains"
        return self._anchor_fault(model) or (self._live_fault(model) if self.live else None)

    def _live_fault(self, model: ModelFolder) -> str | None:
        """Return why a model cannot make the live days' signals.

        Its labels were known when its data ended, and this run's data ends no earlier. So no day that it has
        learnt from reaches into the outcome of a live day, be it this night's or a later one's.
        """
        through = model.live_through
        if through is None:
            return "it has no live model"
        known = bisect_right(self.calendar, through) - 1 + self.ahead
        if known > bisect_right(self.calendar, model.day("data_end")) - 1:
            return f"its live model has learnt from days to {through}, whose labels its data did not have"
        return None

    def _anchor_fault(self, model: ModelFolder) -> str | None:
        """Return why its features cannot begin where they began for the model, or None."""
        anchor, before = model.day("features_anchor"), model.document["features_days_before"]
        place = bisect_left(self.calendar, anchor)
        if anchor not in self.calendar[place : place + 1]:
            return f"its features begin on {anchor}, which is no day of this run's data"
        if min(place, self.look_back) != before:
            return f"its features knew {before} days before {anchor}, and this run's data has {place}"
        return None

    def _stranger(self, model: ModelFolder) -> str | None:
        """Return why a model is not of this run's nights, or None."""
        if (model.text("recipe_sha256"), model.text("namespace")) != (self.recipe_sha256, self.namespace):
            return "it is of another recipe or namespace"
        return None


def _listed(processors: tuple[str, ...]) -> str:
    return " and ".join(processors) or "no processors"


@dataclass(frozen=True)
class Found:
    """The model to keep, and what is to be said of those that are not."""

    model: ModelFolder | None = None
    source: str | None = None
    notes: list[str] = field(default_factory=list)
    unexpected: str | None = None
    """Where none is kept and no training is due, the first note on a model."""


class DueError(Unusable):
    """A model is not kept because it is old: the run trains as it was asked to."""


def find_model(folder: Path, wanted: Wanted) -> Found:
    """Return the model of a recipe with the newest data, the last to be made, or why none is kept."""
    notes, candidates, unexpected, due = [], [], [], False
    for run, metadata in finished_runs_with(folder, "recipe_sha256", wanted.recipe_sha256):
        if (metadata.get("namespace"), metadata.get("series")) == (wanted.namespace, wanted.series):
            try:
                candidates.append((_read(run).day("data_end"), run))
            except (Unusable, OSError) as why:
                notes.append(_note(run, str(why)))
                unexpected.append(notes[-1])
    for _, run in sorted(candidates, key=lambda one: one[0])[::-1]:
        try:
            return Found(examine(run, wanted), run.name, notes)
        except (Unusable, OSError) as why:
            notes.append(_note(run, str(why)))
            due = due or isinstance(why, DueError)
            unexpected += [] if isinstance(why, DueError) else notes[-1:]
    return Found(notes=notes, unexpected=None if due else next(iter(unexpected), None))


def examine(run: Path, wanted: Wanted) -> ModelFolder:
    """Return the model of a run, whole and fit to be kept, or raise Unusable with the reason."""
    model = _read(run)
    if fault := wanted.fault(model):
        raise (DueError if wanted.is_due(model) else Unusable)(fault)
    outputs = read_object(run.parent, f"{run.name}/{METADATA_FILE}").get("outputs")
    listed = {name: outputs.get(name) for name in model.listed()} if isinstance(outputs, dict) else {}
    require_unchanged(run, listed)
    return model


def _read(run: Path) -> ModelFolder:
    model = ModelFolder.read(run)
    if model is None:
        raise Unusable("it has none")
    return model


def _note(run: Path, why: str) -> str:
    return f"the model of the run {run.name} is not kept: {why}"
