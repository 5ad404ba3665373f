"""What a workflow's features and label reach for: days back and ahead, and fields of the dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.discovery.reach import Reach
from qlib_shadow_runner.workflow.allowed.factors import look_back
from qlib_shadow_runner.workflow.contents import exchange_arguments_of, handler_of
from qlib_shadow_runner.workflow.expressions import fields_of, reach_of
from qlib_shadow_runner.workflow.shapes import expressions_in

if TYPE_CHECKING:
    from collections.abc import Mapping

FEATURES_LOOK_BACK: Final[Mapping[str, int]] = {
    "Alpha158": 60,
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
