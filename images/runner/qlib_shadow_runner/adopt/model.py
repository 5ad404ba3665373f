"""The model: LightGBM's parameters by the names of the allow-list, and what makes the result repeatable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.adopt.classes import MODELS, Part, take, written
from qlib_shadow_runner.adopt.report import RefusedError
from qlib_shadow_runner.adopt.write import Parameter
from qlib_shadow_runner.workflow.allowed.models import MODELS as ALLOWED
from qlib_shadow_runner.workflow.shapes import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.adopt.report import Report

PLACE: Final = "task.model.kwargs"
ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "loss": ("objective", "objective_type", "app", "application"),
    "learning_rate": ("eta", "shrinkage_rate"),
    "num_leaves": ("num_leaf", "max_leaves", "max_leaf", "max_leaf_nodes"),
    "lambda_l1": ("reg_alpha", "l1_regularization"),
    "lambda_l2": ("reg_lambda", "lambda", "l2_regularization"),
    "colsample_bytree": ("feature_fraction", "sub_feature"),
    "subsample": ("bagging_fraction", "sub_row", "bagging"),
    "subsample_freq": ("bagging_freq",),
    "min_child_samples": (*("min_data_in_leaf", "min_data_per_leaf", "min_data", "min_samples_leaf"),),
    "min_split_gain": ("min_gain_to_split",),
    "max_bin": ("max_bins",),
    "min_child_weight": (
        *("min_sum_hessian_in_leaf", "min_sum_hessian_per_leaf", "min_sum_hessian", "min_hessian"),
    ),
    "feature_fraction_bynode": ("sub_feature_bynode", "colsample_bynode"),
    "extra_trees": ("extra_tree",),
    "linear_tree": ("linear_trees",),
    "boosting": ("boosting_type", "boost"),
    "verbosity": ("verbose",),
    "num_threads": ("num_thread", "nthread", "nthreads", "n_jobs"),
    "seed": ("random_seed", "random_state"),
    "num_boost_round": (
        *("num_iterations", "num_iteration", "n_iter", "num_tree", "num_trees", "num_round", "num_rounds"),
        *("nrounds", "n_estimators", "max_iter"),
    ),
}
"""The allow-list's name of each parameter, and LightGBM's other names for it."""
NAMES: Final = {alias: name for name, aliases in ALIASES.items() for alias in aliases}
SQUARES: Final = (
    *("regression", "regression_l2", "l2", "mean_squared_error", "mse"),
    *("l2_root", "root_mean_squared_error", "rmse"),
)
"""LightGBM's names for squared errors, which Qlib calls mse."""
REPEATABLE: Final = {"deterministic": True, "force_col_wise": True}
OURS: Final = ("force_row_wise", "device", "device_type", *REPEATABLE)
"""What decides how trees are computed, and is the run's to say."""
THREADS: Final = Parameter("num_threads")
SEED: Final = Parameter("seed")


def adopt_model(part: object, report: Report) -> tuple[Part, int | None]:
    """Return the model of the template, and the seed of the run if the file has one."""
    path, given = take("model", part, "task.model", MODELS)
    report.change("task.model", f"{path[1]} of {path[0]}, which keeps a checkpoint for an interrupted run")
    arguments = _named(given, "epochs" if "epochs" in ALLOWED.classes[path].fields else "num_boost_round")
    if arguments.get("loss") in SQUARES:
        arguments["loss"] = "mse"
    seed = arguments.pop("seed", None)
    threads = arguments.pop("num_threads", None)
    allowed = ALLOWED.classes[path].fields
    kept = {name: value for name, value in arguments.items() if name in allowed and name not in OURS}
    _note_others({name: value for name, value in arguments.items() if name not in allowed}, report)
    _note_repeatable(seed, threads, arguments, report)
    if "enable_fs" in allowed and arguments.get("enable_fs", True):
        report.change(f"{PLACE}.enable_fs", "the features are drawn by the seed; Qlib draws them without one")
    return written(path, {**kept, "seed": SEED, **REPEATABLE, "num_threads": THREADS}), _seed_of(seed)


def _named(given: Part, rounds: str) -> Part:
    """Return the arguments by the names of the allow-list."""
    found: Part = {}
    for key, value in given.items():
        name = NAMES.get(key, key)
        name = rounds if name == "num_boost_round" else name
        if name in found:
            raise RefusedError(f"{PLACE} has {name} twice, the second time as {key}; leave one of them")
        if value is not None:
            found[name] = value
    return found


def _note_others(others: Mapping[str, Any], report: Report) -> None:
    for name, value in others.items():
        if name in OURS:
            continue
        if name == "metric" and value in SQUARES:
            continue  # what LightGBM measures anyway
        report.leave_out(
            f"{PLACE}.{name}",
            f"{shown(value)} is not passed on: a run does not take this argument; docs/classes.md lists "
            "those that it takes",
        )


def _note_repeatable(seed: object, threads: object, arguments: Part, report: Report) -> None:
    if seed is None:
        report.change(
            f"{PLACE}.seed",
            "spec.workflow.seed, 7 by default: with a seed LightGBM samples otherwise than without one",
        )
    else:
        report.change(f"{PLACE}.seed", f"{shown(seed)} is spec.workflow.seed")
    report.change(
        PLACE, "deterministic and force_col_wise are true: the same trees with any number of threads"
    )
    if threads is not None:
        report.change(f"{PLACE}.num_threads", f"{shown(threads)} is the number of CPUs that the run has")
    device = arguments.get("device", arguments.get("device_type", "cpu"))
    if device != "cpu":
        report.leave_out(f"{PLACE}.device", f"{shown(device)}: a run trains on CPUs, which gives other trees")


def _seed_of(seed: object) -> int | None:
    if seed is None:
        return None
    if type(seed) is not int:
        raise RefusedError(f"{PLACE}.seed is {shown(seed)}; it must be a whole number")
    return seed
