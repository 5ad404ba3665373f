"""How far a workflow's features look back and its label looks ahead: what segments must keep clear of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.discovery.reach import Reach
from qlib_shadow_runner.workflow.contents import handler_of
from qlib_shadow_runner.workflow.expressions import reach_of
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
"""Their label, where a workflow gives none; with $vwap it reaches as far."""


def workflow_reach(document: Mapping[str, object]) -> Reach:
    """Measure a vetted workflow."""
    handler = handler_of(document)
    arguments = handler["kwargs"]
    name = str(handler["class"]).rpartition(".")[2]
    if name in FEATURES_LOOK_BACK:
        back, label = FEATURES_LOOK_BACK[name], arguments.get("label", LABEL)
    else:
        fields = arguments["data_loader"]["kwargs"]["config"]
        back, label = _widest(fields["feature"]).back, fields["label"]
    return Reach(max(back, _widest(label).back), _widest(label).ahead)


def _widest(fields: object) -> Reach:
    return Reach.widest(reach_of(str(one)) for one in expressions_in(fields))
