"""Decay of the model that a stage could keep, and what the stage's result says of its model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.printing import print_error
from qlib_shadow_runner.runs.values import number, text, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.contract import ModelResult, Reason
    from qlib_shadow_runner.stages.outcome import StageContext
    from qlib_shadow_runner.training.model_folder import ModelFolder

SHORT_RECIPE: Final = 12
STATE_MAX: Final = 16
DECAYED: Final = "decayed"


def decay_of(
    context: StageContext, horizon: int, source: str, model: ModelFolder, passing: frozenset[Reason]
) -> dict[str, Any]:
    """Return the decay of a model that a run has, found in a child, since others have written what it reads.

    `horizon` is that of the label. A reason that has nothing to do with the model ends the attempt; after any
    other nothing is known.
    """
    arguments = {
        "mount": str(context.stage_input.volume.mount),
        "folder": str(context.folder.path),
        "source": source,
        "trained_by": model.trained_by,
        "namespace": context.stage_input.identity.namespace,
        "horizon": horizon,
    }
    try:
        return context.supervisor.step("decay", arguments, environ=context.environ, cwd=str(context.scratch))
    except StageError as error:
        if error.reason in passing:
            raise
        print_error(f"warning: whether the model of the run {source} has decayed is unknown: {error.message}")
        return {"state": "unknown", "why": error.message}


def has_decayed(decay: Mapping[str, Any]) -> bool:
    """Return whether a model has decayed."""
    return decay.get("state") == DECAYED


def decay_in_words(decay: Mapping[str, Any]) -> str:
    """Return what is told of a model that has decayed."""
    return (
        f"has decayed: its live IC is {decay['live_ic']:.4f} on {decay['days']} days, and "
        f"{decay['promised_ic']:.4f} was promised"
    )


def decayed_sentence(metadata: Mapping[str, object]) -> str:
    """Return the note about a model that was given up for the end of the result's message."""
    decay = metadata.get("decay")
    before = decay.get("gave_up") if isinstance(decay, dict) else None
    return f" · trained, since the model of the run {before} had decayed" if before else ""


def model_result(metadata: Mapping[str, object]) -> ModelResult:
    """Return what the result says of the model; what is unknown is absent."""
    decay, drift = metadata.get("decay"), metadata.get("drift")
    found: dict[str, object] = {
        "recipe": (text(metadata.get("recipe_sha256")) or "")[:SHORT_RECIPE] or None,
        "trainedBy": text(metadata.get("model_trained_by")),
        "trainedThrough": text(metadata.get("model_trained_through")),
        "ageDays": whole(metadata.get("model_age_days")),
        "kept": metadata.get("model_kept") is True,
        "liveIc": number(decay.get("live_ic")) if isinstance(decay, dict) else None,
        "drift": _state(drift),
        "decay": _state(decay),
    }
    return cast("ModelResult", {key: value for key, value in found.items() if value is not None})


def _state(document: object) -> str:
    state = text(document.get("state")) if isinstance(document, dict) else None
    return (state or "unknown")[:STATE_MAX]
