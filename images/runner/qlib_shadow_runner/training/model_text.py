"""Whether a text is a model of LightGBM's whose trees can be followed.

LightGBM reads a text that another run has written without asking whether its trees end, or name features that
there are; such a tree is followed for ever, or beyond its arrays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MOST_LEAVES: Final = 1 << 17
CATEGORICAL: Final = 1
"""The bit of a decision that looks into a set of categories."""


class TreeError(ValueError):
    """A tree that cannot be followed."""


def check_text(lines: Iterable[str]) -> int:
    """Return the number of features of a model, or raise TreeError."""
    features, trees = -1, 0
    for head, fields in _sections(lines):
        if not head:
            features = _whole(fields, "max_feature_idx") + 1
        else:
            _check_tree(head, fields, features)
            trees += 1
    if features < 1 or not trees:
        raise TreeError("it has no features or no trees")
    return features


def _sections(lines: Iterable[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the fields before the first tree, then those of each tree; what follows the trees is not read."""
    head, fields = "", dict[str, str]()
    for line in lines:
        key, _, value = line.strip().partition("=")
        if key == "end of trees":
            break
        if key == "Tree":
            yield head, fields
            head, fields = f"tree {value[:20]}", {}
        elif value:
            fields[key] = value
    yield head, fields


def _check_tree(head: str, fields: Mapping[str, str], features: int) -> None:
    leaves = _whole(fields, "num_leaves")
    if not 1 <= leaves <= MOST_LEAVES or _whole(fields, "num_cat") or fields.get("is_linear", "0") != "0":
        raise TreeError(f"{head} has other leaves than numbers, or too many")
    _numbers(fields, "leaf_value", leaves, float)
    inner = leaves - 1
    if not inner:
        return
    _numbers(fields, "threshold", inner, float)
    for place in ("left_child", "right_child"):
        for node, child in enumerate(_numbers(fields, place, inner, int)):
            # A node is made by splitting a leaf, so its children have higher numbers; leaves are negative.
            if not (node < child < inner or -leaves <= child < 0):
                raise TreeError(f"{head} has a branch that leads to no later node and to no leaf")
    if any(not 0 <= feature < features for feature in _numbers(fields, "split_feature", inner, int)):
        raise TreeError(f"{head} asks for a feature that there is not")
    if any(int(decision) & CATEGORICAL for decision in _numbers(fields, "decision_type", inner, int)):
        raise TreeError(f"{head} decides by categories")


def _whole(fields: Mapping[str, str], name: str) -> int:
    return int(_numbers(fields, name, 1, int)[0])


def _numbers(fields: Mapping[str, str], name: str, count: int, kind: type[int | float]) -> list[float]:
    words = fields.get(name, "").split()
    if len(words) != count:
        raise TreeError(f"{name} has {len(words)} values, not {count}")
    try:
        return [kind(word) for word in words]
    except ValueError:
        raise TreeError(f"{name} is no list of numbers") from None
