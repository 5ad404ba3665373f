"""Where the parts of a vetted workflow are. Vetting has seen to it that they are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.contract.spec import Engine
from qlib_shadow_runner.discovery.segments import Reach
from qlib_shadow_runner.workflow.allowed.alpha158 import look_back
from qlib_shadow_runner.workflow.allowed.plugins import engine_of
from qlib_shadow_runner.workflow.expression_reach import fields_of, reach_of
from qlib_shadow_runner.workflow.read_yaml import refuse
from qlib_shadow_runner.workflow.shapes import class_path_of, expressions_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.spec import RunSpec

Part = dict[str, Any]


def model_of(document: Mapping[str, Any]) -> Part:
    """Give the model with its class."""
    return _part(document, "task", "model")


def handler_of(document: Mapping[str, Any]) -> Part:
    """Give what makes features and labels, with its class."""
    return _part(document, "task", "dataset", "kwargs", "handler")


def segments_of(document: Mapping[str, Any]) -> Part:
    """Give the spans of days."""
    return _part(document, "task", "dataset", "kwargs", "segments")


def portfolio_of(document: Mapping[str, Any]) -> Part:
    """Give the strategy and the backtest."""
    record = document["task"]["record"][-1]
    return _part(record, "kwargs", "config")


def exchange_arguments_of(document: Mapping[str, Any]) -> Part:
    """Give what the simulated exchange is given, be it Qlib's own or one by class path."""
    given = _part(portfolio_of(document), "backtest", "exchange_kwargs")
    return _part(given, "exchange", "kwargs") if "exchange" in given else given


def _part(node: Any, *keys: str) -> Part:
    for key in keys:
        node = node[key]
    assert isinstance(node, dict), "it was vetted"
    return node


def engines_of(document: Mapping[str, Any]) -> dict[str, Engine]:
    """Return the engine of each part of a vetted workflow; a part that it does not name is Qlib's own."""
    portfolio = portfolio_of(document)
    parts = {
        "features": handler_of(document),
        "analysis": document["task"]["record"][1],
        "strategy": portfolio["strategy"],
        "executor": portfolio.get("executor", {}),
        "exchange": portfolio["backtest"]["exchange_kwargs"].get("exchange", {}),
    }
    return {name: engine_of(class_path_of(part)) for name, part in parts.items()}


def check_engine(document: Mapping[str, Any], spec: RunSpec, template: str) -> None:
    """Refuse a template that has any part from another engine than the one that is asked for."""
    asked = spec.workflow.engine
    others = [name for name, engine in engines_of(document).items() if asked not in (None, engine)]
    if others:
        refuse(
            f"spec.workflow.engine is {asked}, and {template} has another engine's {', '.join(others)}; let "
            'each class path follow {% if engine == "fast" %}, or remove engine from the manifest'
        )


FEATURES_LOOK_BACK: Final[Mapping[str, int]] = {
    "Alpha158": 60,
    "QlibAlpha158": 60,
    "Alpha158vwap": 60,
    "Alpha360": 59,
    "Alpha360vwap": 59,
}
"""The longest window of the handlers whose features are made in Qlib."""
LABEL: Final = ["Ref($close, -2)/Ref($close, -1) - 1"]
LABEL_OF_VWAP: Final = ["Ref($vwap, -2)/Ref($vwap, -1) - 1"]
"""Their labels, where a workflow gives none."""


def workflow_reach(document: Mapping[str, object]) -> Reach:
    """Measure a vetted workflow."""
    features, label = _expressions(document)
    known = _ready_made(document)
    ahead = Reach.widest(map(reach_of, label)).ahead
    return Reach(Reach.widest([Reach(known), *map(reach_of, [*features, *label])]).back, ahead)


def workflow_fields(document: Mapping[str, object]) -> set[str]:
    """Name the fields that the workflow itself asks for; those of Qlib's own features may be missing."""
    features, label = _expressions(document)
    price = exchange_arguments_of(document)["deal_price"]
    return {price}.union(*map(fields_of, [*features, *label]))


def _ready_made(document: Mapping[str, object]) -> int:
    chosen = handler_of(document)["kwargs"].get("features")
    return look_back(chosen) if chosen else FEATURES_LOOK_BACK.get(_handler_name(document), 0)


def _expressions(document: Mapping[str, object]) -> tuple[list[str], list[str]]:
    arguments, name = handler_of(document)["kwargs"], _handler_name(document)
    if name in FEATURES_LOOK_BACK:
        usual = LABEL_OF_VWAP if name.endswith("vwap") else LABEL
        return [], _texts(arguments.get("label", usual))
    own = arguments["data_loader"]["kwargs"]["config"]
    return _texts(own["feature"]), _texts(own["label"])


def _handler_name(document: Mapping[str, object]) -> str:
    return str(handler_of(document)["class"]).rpartition(".")[2]


def _texts(fields: object) -> list[str]:
    return [str(one) for one in expressions_in(fields)]
