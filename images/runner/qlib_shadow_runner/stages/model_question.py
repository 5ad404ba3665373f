"""What a run asks of a model: its recipe, and the data that it would be trained on or kept for."""

from __future__ import annotations

import functools
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.contract.spec.workflow import Live
from qlib_shadow_runner.discovery.live_days import NO_LIVE_DAY
from qlib_shadow_runner.printing import print_line
from qlib_shadow_runner.stages.live import known_days, live_days_of
from qlib_shadow_runner.storage.source_code import sources_sha256
from qlib_shadow_runner.training.checkpoints import HOME
from qlib_shadow_runner.training.keep import Wanted
from qlib_shadow_runner.training.recipe import Origin, Recipe, recipe_of
from qlib_shadow_runner.workflow.anchor import anchor_of, anchored, days_before
from qlib_shadow_runner.workflow.parsed import class_of

if TYPE_CHECKING:
    from datetime import date

    from qlib_shadow_runner.dataset.ensure import ResolvedDataset
    from qlib_shadow_runner.discovery.live_days import LiveDays
    from qlib_shadow_runner.stages.outcome import StageContext
    from qlib_shadow_runner.training.model_folder import ModelFolder
    from qlib_shadow_runner.workflow.parsed import Workflow
    from qlib_shadow_runner.workflow.prepare import Research
    from qlib_shadow_runner.workflow.templates import Template

STAGING: Final = "model-draft"
PRICES: Final = frozenset({"open", "high", "low", "close", "volume", "vwap"})
"""The fields that ready-made features read."""
OF_A_MODEL: Final = ("engine", "plugins", "workflow")
"""The packages that a model and its predictions follow from."""


@dataclass(frozen=True)
class ModelQuestion:
    """A run's recipe, and the data that its model would be trained on or kept for."""

    context: StageContext
    research: Research
    """With the days of the live model, if there is one."""
    resolved: ResolvedDataset
    recipe: Recipe
    rendered: Research
    """Without them, as the template gave it."""
    live: LiveDays | None

    @classmethod
    def of(
        cls, context: StageContext, research: Research, resolved: ResolvedDataset, template: Template
    ) -> ModelQuestion:
        """Return the question of a run."""
        dataset, workflow = context.spec.dataset, research.workflow
        origin = Origin(dataset.path, resolved.manifest.feed, dataset.region, research.plan.market.name)
        asked = context.spec.workflow
        recipe = recipe_of(asked, template.text, workflow.model, workflow.handler, origin)
        live = live_days_of(asked.live, research, resolved)
        asking = research
        if live is not None:
            asking = research.refitting(live, resolved.manifest.fingerprint, kept=False)
        elif asked.live is Live.REFIT:
            print_line(f"the model is not refitted: {NO_LIVE_DAY}")
        return cls(context, asking, resolved, recipe, research, live)

    @property
    def staging(self) -> Path:
        """Return where the model is put together."""
        return self.context.folder.path / HOME / STAGING

    @property
    def made_with(self) -> dict[str, object]:
        """Return what else decides a prediction's bits: machine, packages and this package's own code."""
        packages = self.context.folder.metadata.get("packages")
        return {"machine": platform.machine(), "packages": packages, "code": _code_version()}

    @property
    def fields(self) -> frozenset[str]:
        """Return the fields that the universe's data has."""
        symbols, named = self.research.plan.market.symbols, PRICES | self.research.workflow.fields
        dataset = self.resolved.dataset
        return frozenset(one for one in named if any(dataset.bin_span(symbol, one) for symbol in symbols))

    def wanted(self, every_days: int | None) -> Wanted:
        """Return what a model must be so that this run may keep it."""
        return Wanted(
            recipe_sha256=self.recipe.sha256,
            namespace=self.context.stage_input.identity.namespace,
            series=self.context.spec.series,
            made_with=self.made_with,
            every_days=every_days,
            fields=self.fields,
            calendar=known_days(self.research, self.resolved),
            test_begins=self.test_begins,
            ahead=self.research.workflow.reach.ahead,
            look_back=self.research.workflow.reach.back,
            processors=tuple(self.research.workflow.fitted_processors),
            live=self.live is not None,
        )

    @property
    def test_begins(self) -> date:
        """Return the first day of test."""
        first: date = self.research.plan.days.segments.test[0]
        return first

    @property
    def anchor(self) -> date:
        """Return the first day of the features of a model that this run trains."""
        return anchor_of(self.research.workflow, self.resolved.dataset.calendar)

    def workflow_with(self, model: ModelFolder) -> Workflow | None:
        """Return the workflow whose features begin where they began for a model, or None."""
        workflow, anchor = self.rendered.workflow, model.day("features_anchor")
        return workflow if anchor == self.anchor else anchored(workflow, anchor)

    def keeping(self, model: ModelFolder) -> Research:
        """Return the research of a run that keeps a model: its workflow states the model's hashes."""
        workflow = self.workflow_with(model)
        assert workflow is not None, "the model would not have been kept"
        if self.live is not None:
            workflow = workflow.refitting(self.live, kept=True)
        return self.rendered.keeping(model.pinned, workflow, self.resolved.manifest.fingerprint)

    def facts(self, details: dict[str, Any], live: dict[str, Any] | None) -> dict[str, object]:
        """Return what MODEL.json says of a model that this run trains, and of its live model."""
        segments = self.research.plan.days.segments
        manifest, calendar = self.resolved.manifest, self.resolved.dataset.calendar
        look_back = self.research.workflow.reach.back
        end = self.research.plan.universe_end or self.resolved.dataset.calendar[-1]
        return {
            "recipe": self.recipe.document,
            "recipe_sha256": self.recipe.sha256,
            "class": class_of(self.research.workflow.model),
            "trained_by": self.context.stage_input.identity.run_id,
            "namespace": self.context.stage_input.identity.namespace,
            "series": self.context.spec.series,
            "trained_through": str(segments.train[1]),
            "validated_through": str(segments.valid[1]),
            "data_end": str(end),
            "features_anchor": str(self.anchor),
            "features_days_before": days_before(self.anchor, calendar, look_back),
            "config_hash": self.research.config_hash,
            "dataset": self.resolved.folder.name,
            "dataset_fingerprint": manifest.fingerprint,
            "fields": sorted(self.fields),
            "made_with": self.made_with,
            "details": details,
            "live": live,
        }


@functools.cache
def _code_version() -> str:
    """Return the hash of the code that features, labels, models and defaults follow from."""
    home = Path(__file__).parents[1]
    return sources_sha256(home, [home / package for package in OF_A_MODEL])
