"""How each table is found in what the recorder's file describes."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.pickles.answer import NO_NAME, Coded, packed
from qlib_shadow_runner.pickles.arrays import day_of, number_of
from qlib_shadow_runner.pickles.files import (
    ACCOUNT,
    DRIFT,
    GAINS,
    IC,
    LABELS,
    LIVE,
    NAMES,
    POSITIONS,
    PREDICTIONS,
    RANK_IC,
    RECORDED_IN,
    RISK,
    ROUNDS,
    SEGMENT_IC,
)
from qlib_shadow_runner.pickles.frames import frame_of, is_of_days, is_of_texts
from qlib_shadow_runner.pickles.nodes import Made, Pairs, Unrecognised, described, state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qlib_shadow_runner.pickles.answer import Column

    Columns = list[tuple[str, Column]]

CASH: Final = frozenset({"cash", "now_account_value", "cash_delay"})
"""Keys of a position that are not instruments."""
OF_HOLDING: Final = ("price", "weight", "amount")
NOTHING: Final = (None, math.nan, math.nan, math.nan)
"""What is held on a day without holdings."""


def _by_day_and_instrument(name: str) -> Callable[[object], Columns]:
    """Return what finds the first column of a table by day and instrument."""

    def find(node: object) -> Columns:
        frame = frame_of(node)
        if not frame.rows.length:
            return [("date", []), ("instrument", []), (name, [])]
        levels = frame.rows.levels
        if len(levels) != 2 or not is_of_days(levels[0]) or not is_of_texts(levels[1]):  # noqa: PLR2004
            raise Unrecognised("its rows are not days and instruments")
        return [("date", levels[0]), ("instrument", levels[1]), (name, frame.column(0))]

    return find


def _by_day(name: str) -> Callable[[object], Columns]:
    """Return what finds the first column of a table by day."""

    def find(node: object) -> Columns:
        frame = frame_of(node)
        if not frame.rows.length:
            return [("date", []), (name, [])]
        return [("date", _days(frame.rows.levels)), (name, frame.column(0))]

    return find


def _by_day_and_segment(node: object) -> Columns:
    """Return IC and Rank IC by day and segment."""
    frame = frame_of(node)
    levels, names = frame.rows.levels, ("ic", "rank_ic")
    if len(levels) != 2 or not is_of_days(levels[0]) or not is_of_texts(levels[1]):  # noqa: PLR2004
        raise Unrecognised("its rows are not days and segments")
    if tuple(frame.names) != names:
        raise Unrecognised("it has no IC and Rank IC")
    values = [(name, frame.column(place)) for place, name in enumerate(names)]
    return [("date", levels[0]), ("segment", levels[1]), *values]


def _days(levels: list[Column]) -> Column:
    if len(levels) != 1 or not is_of_days(levels[0]):
        raise Unrecognised("its rows are not days")
    return levels[0]


def _account(node: object) -> Columns:
    """Return every column of the daily account."""
    frame = frame_of(node)
    days = _days(frame.rows.levels) if frame.rows.length else []
    return [("date", days), *((name, frame.column(place)) for place, name in enumerate(frame.names))]


def _risk(node: object) -> Columns:
    """Return the risk figures by group and name."""
    group, figure, value = _by_two_texts(node, "risk", "groups and figures")
    return [("group", group), ("figure", figure), ("value", value)]


def _drift(node: object) -> Columns:
    """Return how far each measure of drift is, by its name."""
    measure, name, value = _by_two_texts(node, "value", "measures and names")
    return [("measure", measure), ("name", name), ("value", value)]


def _by_two_texts(node: object, column: str, expected: str) -> tuple[Any, Any, Any]:
    """Return the two texts of each row of a frame, and a column."""
    frame = frame_of(node)
    levels = frame.rows.levels
    if len(levels) != 2 or not all(map(is_of_texts, levels)) or column not in frame.names:  # noqa: PLR2004
        raise Unrecognised(f"its rows are not {expected}")
    return levels[0], levels[1], frame.column(frame.names.index(column))


def _positions(node: object) -> Columns:
    """Return what was held at the end of each day; a day without holdings has a row without an instrument."""
    if type(node) is not Pairs:
        raise Unrecognised(f"it holds no positions by day, but {described(node)}")
    positions = {day_of(day): _held(state_of(position).get("position")) for day, position in node}
    if len(positions) != len(node):
        raise Unrecognised("a day has two positions")
    days = sorted(positions)
    rows: list[Any] = [
        (number, *one) for number, day in enumerate(days) for one in positions[day] or [NOTHING]
    ]
    names = list(dict.fromkeys(name for _, name, *_ in rows if name is not None))
    code: dict[str | None, int] = {None: NO_NAME}
    code.update((name, number) for number, name in enumerate(names))
    return [
        ("date", Coded(packed("i", [row[0] for row in rows]), days)),
        ("instrument", Coded(packed("i", [code[row[1]] for row in rows]), names)),
        *(
            (name, packed("d", [row[place] for row in rows]))
            for place, name in enumerate(OF_HOLDING, start=2)
        ),
    ]


def _held(position: object) -> list[tuple[str | None, float, float, float]]:
    """Return each instrument with its price, its share of the account and its amount."""
    if type(position) is not Pairs:
        raise Unrecognised("a day has no position")
    return [(name, *_holding(held)) for name, held in position.by_text().items() if name not in CASH]


def _holding(held: object) -> tuple[float, float, float]:
    found = held.by_text() if type(held) is Pairs else {}
    if "weight" not in found:
        raise Unrecognised("an instrument is held without a weight")
    price, weight, amount = (number_of(found[name]) if name in found else math.nan for name in OF_HOLDING)
    return price, weight, amount


def _model(node: object) -> dict[str, Columns]:
    """Return the gains of the features and the rounds of training, from LightGBM's text of the model."""
    text = _attribute(node, "model", "_handle")
    if type(text) is not str:
        return {}
    best, trained = (
        _attribute(node, "model", "best_iteration"),
        len(re.findall(r"^Tree=", text, re.MULTILINE)),
    )
    used = best if type(best) is int and 0 < best <= trained else trained
    return {GAINS: _gains(text), ROUNDS: [("trained", [trained]), ("used", [used])]}


def _gains(text: str) -> Columns:
    """Return the gain of each feature over all splits."""
    names = re.search(r"^feature_names=(.*)$", text, re.MULTILINE)
    features = names[1].split(" ") if names else []
    gains = [0.0] * len(features)
    for split, gained in re.findall(r"^split_feature=(.*)\nsplit_gain=(.*)$", text, re.MULTILINE):
        for feature, gain in _splits(split.split(), gained.split(), len(features)):
            gains[feature] += gain
    return [("feature", features), ("gain", gains)]


def _splits(features: list[str], gains: list[str], count: int) -> list[tuple[int, float]]:
    try:
        found = [(int(feature), float(gain)) for feature, gain in zip(features, gains, strict=True)]
    except ValueError:
        raise Unrecognised("a tree of the model has a split that is no number") from None
    if any(not 0 <= feature < count or not math.isfinite(gain) for feature, gain in found):
        raise Unrecognised("a tree of the model splits a feature that it does not have")
    return found


def _attribute(node: object, *path: str) -> Any:
    """Return an attribute of an attribute; None where there is none."""
    for name in path:
        state = node.state if type(node) is Made else None
        node = state.by_text().get(name) if type(state) is Pairs else None
    return node


def _feature_names(node: object) -> dict[str, Columns]:
    """Return the names of the dataset's features, if it tells them."""
    fields = _attribute(node, "handler", "data_loader", "fields")
    feature = fields.by_text().get("feature") if type(fields) is Pairs else None
    names = feature[1] if isinstance(feature, tuple | list) and len(feature) > 1 else None
    if not isinstance(names, tuple | list) or any(type(name) is not str for name in names):
        return {}
    return {NAMES: [("name", list(names))]}


def _one(table: str, find: Callable[[object], Columns]) -> tuple[str, Callable[[object], dict[str, Columns]]]:
    """Return a file with what finds the one table that it gives."""
    return RECORDED_IN[table], lambda node: {table: find(node)}


FINDERS: Final[Mapping[str, Callable[[object], dict[str, Columns]]]] = {
    **dict(
        (
            _one(PREDICTIONS, _by_day_and_instrument("score")),
            _one(LIVE, _by_day_and_instrument("score")),
            _one(LABELS, _by_day_and_instrument("label")),
            _one(IC, _by_day("ic")),
            _one(RANK_IC, _by_day("rank_ic")),
            _one(ACCOUNT, _account),
            _one(RISK, _risk),
            _one(POSITIONS, _positions),
            _one(SEGMENT_IC, _by_day_and_segment),
            _one(DRIFT, _drift),
        )
    ),
    RECORDED_IN[GAINS]: _model,
    RECORDED_IN[NAMES]: _feature_names,
}
"""What finds the tables in each file."""
