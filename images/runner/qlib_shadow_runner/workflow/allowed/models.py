"""The models, and LightGBM's parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract.fields import fields_of
from qlib_shadow_runner.contract.kinds import Number, Whole
from qlib_shadow_runner.contract.spec.workflow import ModelParameters
from qlib_shadow_runner.workflow import class_paths
from qlib_shadow_runner.workflow.shapes import (
    BOOLEAN,
    Keys,
    Listed,
    Named,
    Plain,
    Shape,
    exactly,
    number,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

BOOSTING: Final[Mapping[str, Shape]] = {
    **{
        one.name: Plain(one.kind.words, one.kind.fits)
        for one in fields_of(ModelParameters)
        if isinstance(one.kind, Whole | Number)
        and one.name not in ("num_boost_round", "early_stopping_rounds")
    },
    "min_child_weight": number(0, 1e6),
    "feature_fraction_bynode": number(0.01, 1),
    "min_data_in_bin": whole(1, 1_000_000),
    "extra_trees": BOOLEAN,
    "path_smooth": number(0, 1e6),
    "linear_tree": BOOLEAN,
    "boosting": exactly("gbdt", "dart"),
    "verbosity": whole(-1, 2),
    "num_threads": whole(1, 1024),
    "seed": whole(0, 2**31 - 1),
    "deterministic": exactly(True),  # noqa: FBT003 - the value itself
    "force_col_wise": exactly(True),  # noqa: FBT003
}
"""LightGBM's parameters, without those that open files or sockets, such as machines."""
REPEATABLE: Final = frozenset({"seed", "deterministic", "force_col_wise"})
"""Without these, the result depends on the number of cores."""
ROUNDS: Final = whole(1, 100_000)
BOOSTED: Final = Keys(
    {
        "loss": exactly("mse", "binary"),
        "num_boost_round": ROUNDS,
        "early_stopping_rounds": ROUNDS,
        **BOOSTING,
    },
    REPEATABLE,
)
ENSEMBLE: Final = Keys(
    {
        "base_model": exactly("gbm"),
        "loss": exactly("mse"),
        "num_models": whole(1, 50),
        "enable_sr": BOOLEAN,
        "enable_fs": BOOLEAN,
        "alpha1": number(0, 100),
        "alpha2": number(0, 100),
        "bins_sr": whole(2, 100),
        "bins_fs": whole(2, 50),
        "decay": number(0.01, 1),
        "sample_ratios": Listed(number(0.01, 1), 2, 50),
        "sub_weights": Listed(number(0, 1000), 1, 50),
        "epochs": ROUNDS,
        "early_stopping_rounds": ROUNDS,
        **BOOSTING,
    },
    REPEATABLE | {"decay"},
)
MODELS: Final = Named(
    "models",
    {
        # Ours alone: Qlib's LGBModel may fail on a busy machine while its metrics are recorded, and Qlib's
        # ensemble draws features without a seed and fails on features without a name.
        (class_paths.MODEL, "LGBModel"): BOOSTED,
        (class_paths.ENSEMBLE, "DEnsembleModel"): ENSEMBLE,
    },
)
