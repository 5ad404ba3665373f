"""Write what processors have learnt from train beside the model's texts, and restore it for a kept model."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
from qlib.data.dataset import processor as qlibs
from qlib.data.dataset.processor import get_group_columns

from qlib_shadow_runner.printing import print_line
from qlib_shadow_runner.storage.untrusted import read_object
from qlib_shadow_runner.training.checkpoints import ENV_KEPT_MODEL, Checkpoints, TrainingStep
from qlib_shadow_runner.training.processor_state import (
    FITTED,
    PROCESSORS,
    ProcessorState,
    document_of,
    read_states,
)
from qlib_shadow_runner.training.trained import Unusable

if TYPE_CHECKING:
    import pandas as pd

    from qlib_shadow_runner.training.checkpoints import CheckpointDraft


def fitted_processors(handler: Any) -> list[Any]:
    """Return the processors of features that are fitted to train, in the order in which they work."""
    steps = [*handler.shared_processors, *handler.infer_processors]
    return [
        step for step in steps if type(step).__module__ == qlibs.__name__ and type(step).__name__ in FITTED
    ]


def keep_states_of(dataset: Any, draft: CheckpointDraft) -> None:
    """Write what a dataset's processors have learnt from train, if any is fitted."""
    handler = dataset.handler
    if not hasattr(handler, "infer_processors"):
        return
    states = [_state_of(step) for step in fitted_processors(handler)]
    if not states:
        return
    document = document_of(states)
    try:
        read_states(document)
    except Unusable as why:
        print_line(f"later runs cannot keep this model: {why}")
        return
    draft.path(PROCESSORS).write_text(json.dumps(document, indent=1, allow_nan=False), encoding="utf-8")


def kept_states(handler: Any) -> dict[int, ProcessorState]:
    """Return the state of each processor by its identity, where the model of another run is kept."""
    checkpoints, fitted = Checkpoints.from_environ(), fitted_processors(handler)
    if not fitted or checkpoints is None or not os.environ.get(ENV_KEPT_MODEL):
        return {}
    found = checkpoints.find(TrainingStep.MODEL)
    assert found is not None, "the stage has seeded it"
    states = read_states(read_object(found.folder, PROCESSORS))
    print_line(f"processors: restored as the kept model has them, {', '.join(one.kind for one in states)}")
    return {id(step): state for step, state in zip(fitted, states, strict=True)}


def restore(step: Any, state: ProcessorState, frame: pd.DataFrame) -> None:
    """Give a processor what it had learnt, in the place of a fit to this frame."""
    columns = get_group_columns(frame, step.fields_group)
    if type(step).__name__ != state.kind or _named(columns) != list(state.columns):
        raise ValueError(f"{state.kind} of the kept model was fitted to other columns than these")
    step.cols = columns
    for name, values in state.figures.items():
        setattr(step, name, np.array(values, state.dtype))


def _state_of(step: Any) -> ProcessorState:
    kind = type(step).__name__
    figures = {name: np.asarray(getattr(step, name)) for name in FITTED[kind]}
    [dtype] = {str(values.dtype) for values in figures.values()}
    return ProcessorState(
        kind, dtype, _named(step.cols), {name: values.tolist() for name, values in figures.items()}
    )


def _named(columns: pd.Index) -> list[list[str]]:
    return [[str(part) for part in (name if isinstance(name, tuple) else (name,))] for name in columns]
