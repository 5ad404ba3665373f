"""spec.workflow.model: LightGBM's parameters that a run may set."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.fields import check_keys, integer, number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MODEL_PARAMETERS: Final[Mapping[str, tuple[type, float, float]]] = {
    "learning_rate": (float, 1e-5, 1),
    "num_leaves": (int, 2, 4096),
    "max_depth": (int, -1, 64),
    "lambda_l1": (float, 0, 1e6),
    "lambda_l2": (float, 0, 1e6),
    "colsample_bytree": (float, 0.01, 1),
    "subsample": (float, 0.01, 1),
    "subsample_freq": (int, 0, 1000),
    "min_child_samples": (int, 1, 10_000_000),
    "min_split_gain": (float, 0, 1e6),
    "max_bin": (int, 15, 4095),
    "num_boost_round": (int, 1, 100_000),
    "early_stopping_rounds": (int, 1, 100_000),
}
"""Each with its range; threads, seeds and devices are ours."""


def parse_model(raw: Mapping[str, object]) -> Mapping[str, float]:
    """Read the parameters that are given."""
    where = "spec.workflow.model"
    check_keys(raw, set(MODEL_PARAMETERS), where)
    checks: Mapping[type, Callable[[object, float, float, str], float]] = {int: integer, float: number}
    values = {}
    for name, value in raw.items():
        kind, low, high = MODEL_PARAMETERS[name]
        values[name] = checks[kind](value, low, high, f"{where}.{name}")
    return MappingProxyType(values)
