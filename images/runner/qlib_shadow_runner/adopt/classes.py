"""Which class of ours stands for which of Qlib's, and what the image lacks for the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.adopt.report import RefusedError
from qlib_shadow_runner.workflow import class_paths
from qlib_shadow_runner.workflow.class_paths import INSTEAD_OF, ON_ARRAYS, ClassPath
from qlib_shadow_runner.workflow.shapes import class_path_of, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

Part = dict[str, Any]
HANDLER_MODULE: Final = "qlib.contrib.data.handler"
STRATEGY_MODULES: Final = (
    "qlib.contrib.strategy",
    "qlib.contrib.strategy.signal_strategy",
    "qlib.contrib.strategy.strategy",
)
RECORD_MODULE: Final = "qlib.workflow.record_temp"


def _with_ours(qlibs: Mapping[ClassPath, ClassPath]) -> dict[ClassPath, ClassPath]:
    """Return a table that also has our own classes, which stand for themselves."""
    return {**qlibs, **{ours: ours for ours in qlibs.values()}}


MODELS: Final = _with_ours({old: new for old, new in INSTEAD_OF.items() if old[0] != RECORD_MODULE})
DATASETS: Final = {("qlib.data.dataset", "DatasetH"): ("qlib.data.dataset", "DatasetH")}
HANDLERS: Final = _with_ours(
    {
        **{(HANDLER_MODULE, name): (class_paths.HANDLERS, name) for name in ON_ARRAYS[class_paths.HANDLERS]},
        ("qlib.data.dataset.handler", "DataHandlerLP"): (class_paths.HANDLERS, "DataHandlerLP"),
    }
)
LOADERS: Final = {(module := "qlib.data.dataset.loader", "QlibDataLoader"): (module, "QlibDataLoader")}
STRATEGIES: Final = _with_ours(
    {
        (module, "TopkDropoutStrategy"): (class_paths.STRATEGY, "TopkDropoutStrategy")
        for module in STRATEGY_MODULES
    }
)
EXECUTORS: Final = _with_ours(
    {("qlib.backtest.executor", "SimulatorExecutor"): (class_paths.EXECUTOR, "SimulatorExecutor")}
)
EXCHANGES: Final = _with_ours({("qlib.backtest.exchange", "Exchange"): (class_paths.EXCHANGE, "Exchange")})
PACKAGES: Final = {
    "qlib.contrib.model.pytorch_": "PyTorch",
    "qlib.contrib.model.catboost_model": "CatBoost",
    "qlib.contrib.model.xgboost": "XGBoost",
    "qlib.contrib.model.linear": "scikit-learn",
}
"""Beginnings of Qlib's modules, and the package that each imports and the image does not have."""


def take(
    what: str, part: object, place: str, taken: Mapping[ClassPath, ClassPath], default: str | None = None
) -> tuple[ClassPath, Part]:
    """Return our class for a part of the file, and a copy of its arguments; refuse any other class."""
    if isinstance(part, str) and default:  # Qlib takes a name alone for a class without arguments
        part = {"class": part}
    if not isinstance(part, dict) or not isinstance(part.get("class"), str):
        raise RefusedError(
            f"{place} is {shown(part)}; it must be a mapping with class, module_path and kwargs"
        )
    path = class_path_of({key: value for key, value in part.items() if value is not None}, default)
    if path not in taken:
        raise _missing(what, path, taken)
    given = part.get("kwargs")
    if given is not None and not isinstance(given, dict):
        raise RefusedError(f"{place}.kwargs is {shown(given)}; it must be a mapping of arguments")
    return taken[path], {str(key): value for key, value in (given or {}).items()}


def _missing(what: str, path: ClassPath, taken: Mapping[ClassPath, ClassPath]) -> RefusedError:
    module, name = path
    package = next((package for start, package in PACKAGES.items() if module.startswith(start)), None)
    if package:
        why = f"which the image does not have: it needs {package}"
    elif module.startswith("qlib."):
        why = f"which a run does not take, although {module} has it"
    else:
        why = f"which the image does not have: {module} is not Qlib's, and a run imports no code of its user"
    known = " or ".join(dict.fromkeys(known for _, known in taken))
    return RefusedError(f"needs the {what} {name}, {why}; take {known}", f"the {what} {name}")


def written(path: ClassPath, arguments: Mapping[str, object]) -> Part:
    """Return a part as a workflow has it."""
    return {"class": path[1], "module_path": path[0], **({"kwargs": dict(arguments)} if arguments else {})}
