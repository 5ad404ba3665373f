"""What a reader must know of a model that a run uses and has not trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.dataset.qlib_layout import Dataset
from qlib_shadow_runner.dataset.restated import restated
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.storage.untrusted import is_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.stages.model_question import ModelQuestion
    from qlib_shadow_runner.training.model_folder import ModelFolder

SHOWN: Final = 3


def model_caveats(question: ModelQuestion, model: ModelFolder) -> list[str]:
    """Return the caveats of a model, as sentences."""
    found = made_elsewhere(model, question.made_with), _other_past(question, model)
    return [caveat for caveat in found if caveat]


def made_elsewhere(model: ModelFolder, made_with: Mapping[str, object]) -> str | None:
    """Return the caveat of a model that was made with other packages or on another machine, or None."""
    others = model.made_otherwise(made_with)
    if not others:
        return None
    return (
        f"The model was made with other {' and '.join(others)} than this run's, so that it may predict "
        "otherwise than it did there."
    )


def _other_past(question: ModelQuestion, model: ModelFolder) -> str | None:
    """Return the caveat of prices that were restated since; None where its dataset is no longer there."""
    now, name = question.resolved, model.text("dataset")
    if name == now.folder.name or not is_folder(now.folder.parent, name):
        return None
    symbols = question.research.plan.market.symbols
    try:
        others = restated(Dataset(now.folder.parent / name), now.dataset, symbols)
    except StageError:  # its calendar cannot be read: what it was cannot be told
        return None
    if not others:
        return None
    named = ", ".join(others[:SHOWN]) + (" …" if len(others) > SHOWN else "")
    return (
        f"The prices of {len(others)} of {len(symbols)} instruments ({named}) were restated since the model "
        "learnt from them: it stays the same, and its features are now of the new prices."
    )
