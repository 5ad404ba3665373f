"""The model of a run: that of an earlier run of the same recipe where the spec allows it, else its own.

The first attempt writes down which model it keeps, and later attempts hold to it. Whatever cannot be kept is
named, and the run trains.
"""

from __future__ import annotations

import functools
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.contract import MODEL, RESULTS, Reason
from qlib_shadow_runner.contract.spec.workflow import OrIf
from qlib_shadow_runner.crash_points import ModelPoint, fault_point
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.printing import print_error, print_line
from qlib_shadow_runner.stages.alarms import decay_in_words, decay_of, has_decayed
from qlib_shadow_runner.stages.live import known_days, live_days_of, live_metadata
from qlib_shadow_runner.storage.files import read_json_object, write_json
from qlib_shadow_runner.storage.removal import discard
from qlib_shadow_runner.storage.source_code import sources_sha256
from qlib_shadow_runner.training.checkpoints import HOME, Checkpoints, TrainingStep
from qlib_shadow_runner.training.keep import Found, Wanted, examine, find_model
from qlib_shadow_runner.training.model_folder import ModelFolder, copy_model, restored_details, write_model
from qlib_shadow_runner.training.recipe import Origin, Recipe, recipe_of
from qlib_shadow_runner.training.trained import Trained, Unusable
from qlib_shadow_runner.workflow.anchor import anchor_of, anchored, days_before
from qlib_shadow_runner.workflow.parsed import class_of

if TYPE_CHECKING:
    from datetime import date

    from qlib_shadow_runner.dataset.ensure import ResolvedDataset
    from qlib_shadow_runner.discovery.live_days import LiveDays
    from qlib_shadow_runner.stages.outcome import StageContext
    from qlib_shadow_runner.training.reuse import IdenticalRun
    from qlib_shadow_runner.workflow.parsed import Workflow
    from qlib_shadow_runner.workflow.prepare import Research
    from qlib_shadow_runner.workflow.templates import Template

CHOICE_FILE: Final = "kept_model.json"
STAGING: Final = "model-draft"
TRAINS: Final = "this run trains"
PASSING: Final = frozenset(
    {
        Reason.INTERRUPTED,
        Reason.SUPERSEDED,
        Reason.SHADOW_PROMISE_BROKEN,
        Reason.OUT_OF_DISK,
        Reason.VOLUME_NOT_WRITABLE,
    }
)
"""Reasons that have nothing to do with the model."""
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
        return self.rendered.keeping(model.files, workflow, self.resolved.manifest.fingerprint)

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


def keep_model(question: ModelQuestion) -> ModelFolder | None:
    """Return the model that this run keeps, in its own folder and checked, or None where it trains."""
    context = question.context
    retrain = context.spec.workflow.retrain
    if retrain is None:
        return None
    if lost := question.research.workflow.lost_processors:
        print_line(
            f"no model can be kept: {' and '.join(lost)} of Qlib's own handler would be fitted to other days "
            f"than the model's; {TRAINS}"
        )
        return None
    wanted = question.wanted(retrain.every_days)
    choice = earlier_choice(question)
    if choice is None:
        found = find_model(context.folder.path, wanted)
        for note in found.notes:
            print_line(note)
        context.folder.update_metadata(model_not_kept=found.unexpected)
        choice = _chosen(question, found, retrain.or_if)
        write_choice(context, choice)
        fault_point(ModelPoint.CHOSEN)
    source = choice["from"]
    if not isinstance(source, str):
        print_line(f"no model of an earlier run is kept; {TRAINS}")
        return None
    try:
        kept = own_copy(question, wanted, source, choice["files"])
    except (Unusable, OSError, StageError) as why:
        if isinstance(why, StageError) and why.reason in PASSING:
            raise
        _train_instead(question, f"the model of the run {source} cannot be kept: {why}; {TRAINS}")
        return None
    print_line(
        f"the model of the run {kept.trained_by} is kept: it has learnt from days to "
        f"{kept.day('trained_through')}, and {wanted.age(kept)} trading days have come since its data ended"
    )
    return kept


def _chosen(question: ModelQuestion, found: Found, or_if: OrIf | None) -> dict[str, object]:
    """Return the choice of a model with its decay, or of none where it has decayed and that is asked for."""
    if found.model is None or found.source is None:
        return choice_of(question, None, None)
    decay = decay_of(question.context, question.research.workflow.horizon, found.source, found.model, PASSING)
    if or_if is OrIf.DECAYED and has_decayed(decay):
        before = found.model.trained_by
        print_line(f"the model of the run {before} {decay_in_words(decay)}; {TRAINS}")
        return {**choice_of(question, None, None), "decay": {"gave_up": before}}
    return {**choice_of(question, found.source, found.model), "decay": decay}


def give_up_model(question: ModelQuestion, kept: ModelFolder) -> None:
    """Let the next attempt train: with the kept model this one has failed, for no reason that passes."""
    _train_instead(
        question, f"with the model of the run {kept.trained_by} this attempt failed; the next one trains"
    )


def _train_instead(question: ModelQuestion, why: str) -> None:
    """Remove the kept model first: a choice without it would leave it as the run's own."""
    print_error(f"warning: {why}")
    question.context.folder.update_metadata(model_not_kept=why)
    discard(question.context.folder.path / MODEL)
    write_choice(question.context, choice_of(question, None, None))


def leave_model(
    question: ModelQuestion, computation: str, identical_run: IdenticalRun | None
) -> ModelFolder | None:
    """Return the model that this run leaves for later ones: what it trained, or the identical run had."""
    folder = question.context.folder.path
    try:
        left = _trained_now(question, computation) or _left_before(question)
        if left is None and identical_run is not None:
            of_other = ModelFolder.read(identical_run.folder)
            same = of_other is not None and of_other.text("recipe_sha256") == question.recipe.sha256
            left = copy_model(of_other, folder, question.staging) if of_other and same else None
    except (Unusable, OSError) as why:
        print_error(f"warning: the run leaves no {MODEL}/ for later runs: {why}")
        left = None
    if left is None:
        discard(folder / MODEL)
    fault_point(ModelPoint.LEFT)
    return left


def _left_before(question: ModelQuestion) -> ModelFolder | None:
    """Return what an earlier attempt has left of this configuration: trained or taken over by this run."""
    folder = question.context.folder.path
    own = ModelFolder.read_whole(folder)
    if own is None or own.text("config_hash") != question.research.config_hash:
        return None
    try:
        trained = Trained.read(folder)
    except Unusable:
        return None
    taken_over = trained is not None and trained.reused_from is not None
    return own if taken_over or own.trained_by == question.context.stage_input.identity.run_id else None


def _trained_now(question: ModelQuestion, computation: str) -> ModelFolder | None:
    """Return what the step of this computation has trained, if its checkpoint is still there."""
    folder = question.context.folder.path
    checkpoints = Checkpoints.of(folder, computation)
    trained = checkpoints.find(TrainingStep.MODEL)
    if trained is None:
        return None
    kind = class_of(question.research.workflow.model)
    texts, live = [trained.folder], None
    if question.live is not None:
        refitted = checkpoints.find(TrainingStep.LIVE)
        if refitted is None:
            return None
        texts.append(refitted.folder)
        details = restored_details(kind, refitted.details)
        live = {"trained_through": str(question.live.train[1]), "details": details}
    facts = question.facts(restored_details(kind, trained.details), live)
    return write_model(folder, texts, facts, question.staging)


def model_metadata(
    question: ModelQuestion, model: ModelFolder | None, kept: ModelFolder | None
) -> dict[str, object]:
    """Return the fields of RUN_METADATA.json that tell which model made the signals."""
    age = question.wanted(1).age(kept) if kept else 0
    return {
        "recipe_sha256": question.recipe.sha256,
        "model_kept": kept is not None,
        "model_trained_by": model.trained_by if model else None,
        "model_trained_through": model.document["trained_through"] if model else None,
        "model_data_end": model.document["data_end"] if model else None,
        "model_age_days": age if model else None,
        "model_dataset": model.document["dataset"] if model else None,
        "decay": (earlier_choice(question) or {}).get("decay"),
        "model_sha256": model.sha256() if model else None,
        **live_metadata(question.context.spec.workflow.live, question.live, model),
        "features_anchor": str(model.day("features_anchor") if kept and model else question.anchor),
    }


def own_copy(question: ModelQuestion, wanted: Wanted, source: str, files: object = None) -> ModelFolder:
    """Return the kept model in this run's folder: an earlier attempt's where it is whole, else copied now.

    `files` are the hashes that an earlier choice recorded, if there is one.
    """
    folder = question.context.folder.path
    own = ModelFolder.read_whole(folder)
    if own is None or files is None or own.files != files:
        found = examine(folder.parent / source, wanted)
        if files is not None and found.files != files:
            raise Unusable("it is another one now")
        own = copy_model(found, folder, question.staging)
    if fault := wanted.fault(own):
        raise Unusable(fault)
    if question.workflow_with(own) is None:
        raise Unusable("the template has the first day of its features in several places at once")
    _parse(question.context, own)
    fault_point(ModelPoint.COPIED)
    return own


def _parse(context: StageContext, kept: ModelFolder) -> None:
    """Read the texts in a child with limits, since another run wrote them."""
    arguments = {"folder": str(kept.folder), "files": kept.texts}
    context.supervisor.step("model", arguments, environ=context.environ, cwd=str(context.scratch))


def choice_of(question: ModelQuestion, source: str | None, model: ModelFolder | None) -> dict[str, object]:
    """Return what is written down of the model that a run keeps, or of none."""
    files = model.files if model else {}
    return {"recipe_sha256": question.recipe.sha256, "from": source, "files": files}


def earlier_choice(question: ModelQuestion) -> dict[str, object] | None:
    """Return what an earlier attempt chose for this recipe, or None."""
    choice = read_json_object(question.context.folder.path / RESULTS / CHOICE_FILE)
    if choice is None or choice.get("recipe_sha256") != question.recipe.sha256:
        return None
    return choice if {"from", "files"} <= choice.keys() else None


def write_choice(context: StageContext, choice: dict[str, object]) -> None:
    """Write down which model the run keeps, for later attempts."""
    write_json(context.folder.path / RESULTS / CHOICE_FILE, choice)


@functools.cache
def _code_version() -> str:
    """Return the hash of the code that features, labels, models and defaults follow from."""
    home = Path(__file__).parents[1]
    return sources_sha256(home, [home / package for package in OF_A_MODEL])
