"""Whether a text is a model of LightGBM's whose trees can be followed.

LightGBM reads a text that another run has written without asking whether its trees end, or name features that
there are; such a tree is followed for ever, or beyond its arrays. What is checked here must be what LightGBM
reads. So only the form in which LightGBM itself writes is accepted: each field once, and each tree where
`tree_sizes` says that it lies.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_LEAVES: Final = 1 << 17
CATEGORICAL: Final = 1
"""The bit of a decision that looks into a set of categories."""
FIELD: Final = re.compile(r"[a-z_]{1,40}")
END_OF_TREE: Final = "\n\n\n"
END: Final = "end of trees\n"
WHOLE: Final = re.compile(r"-?[0-9]{1,10}")
NUMBER: Final = re.compile(r"[-+.0-9eE]{1,40}|-?inf|-?nan")
OF_A_TREE: Final = frozenset(
    {
        *("num_leaves", "num_cat", "split_feature", "split_gain", "threshold", "decision_type"),
        *("left_child", "right_child", "leaf_value", "leaf_weight", "leaf_count"),
        *("internal_value", "internal_weight", "internal_count", "is_linear", "shrinkage"),
    }
)
"""The fields of a tree of numbers; LightGBM reads no more than 22 lines of one."""


class TreeError(ValueError):
    """A tree that cannot be followed."""


def check_text(content: bytes) -> int:
    """Return the number of features of a model, or raise TreeError."""
    try:
        text = content.decode("ascii")
    except UnicodeDecodeError:
        raise TreeError("it has other letters than LightGBM writes") from None
    head, _, trees = text.partition("\n\n")
    fields = _fields("the head", head.removeprefix("tree\n").split("\n"))
    features = _whole(fields, "max_feature_idx") + 1
    sizes = [int(size) for size in _numbers(fields, "tree_sizes", None, WHOLE)]
    if features < 1 or not sizes or min(sizes) < 1:
        raise TreeError("it has no features or no trees")
    if (_whole(fields, "num_class"), _whole(fields, "num_tree_per_iteration")) != (1, 1):
        raise TreeError("it has several trees for one round")
    place = 0
    for number, size in enumerate(sizes):
        head = f"tree {number}"
        tree = trees[place : place + size]
        begin = f"Tree={number}\n"
        if not tree.startswith(begin) or not tree.endswith(END_OF_TREE):
            raise TreeError(f"{head} does not lie where tree_sizes says")
        lines = tree.removeprefix(begin).removesuffix(END_OF_TREE).split("\n")
        _check_tree(head, _fields(head, lines, OF_A_TREE), features)
        place += size
    if not trees.startswith(END, place):
        raise TreeError("it goes on where tree_sizes says that it ends")
    return features


def _fields(where: str, lines: list[str], known: frozenset[str] | None = None) -> dict[str, str]:
    """Return the fields of a section, each of which is there once and is written as LightGBM writes it."""
    fields: dict[str, str] = {}
    for line in lines:
        key, equals, value = line.partition("=")
        named = FIELD.fullmatch(key) if known is None else key in known
        if not named or not equals or key in fields or value != value.strip() or not value.isprintable():
            raise TreeError(f"{where} has a line that LightGBM does not write, or one twice")
        fields[key] = value
    return fields


def _check_tree(head: str, fields: Mapping[str, str], features: int) -> None:
    leaves = _whole(fields, "num_leaves")
    if not 1 <= leaves <= MOST_LEAVES or _whole(fields, "num_cat") or fields.get("is_linear", "0") != "0":
        raise TreeError(f"{head} has other leaves than numbers, or too many")
    _numbers(fields, "leaf_value", leaves, NUMBER)
    inner = leaves - 1
    if not inner:
        return
    _numbers(fields, "threshold", inner, NUMBER)
    for place in ("left_child", "right_child"):
        for node, child in enumerate(_numbers(fields, place, inner, WHOLE)):
            # A node is made by splitting a leaf, so its children have higher numbers; leaves are negative.
            if not (node < child < inner or -leaves <= child < 0):
                raise TreeError(f"{head} has a branch that leads to no later node and to no leaf")
    if any(not 0 <= feature < features for feature in _numbers(fields, "split_feature", inner, WHOLE)):
        raise TreeError(f"{head} asks for a feature that there is not")
    if any(int(decision) & CATEGORICAL for decision in _numbers(fields, "decision_type", inner, WHOLE)):
        raise TreeError(f"{head} decides by categories")


def _whole(fields: Mapping[str, str], name: str) -> int:
    return int(_numbers(fields, name, 1, WHOLE)[0])


def _numbers(fields: Mapping[str, str], name: str, count: int | None, form: re.Pattern[str]) -> list[float]:
    """Return the values of a field, which are parted by one space each; None for any number of them."""
    words = fields.get(name, "").split(" ")
    if count is not None and len(words) != count:
        raise TreeError(f"{name} has {len(words)} values, not {count}")
    if not all(map(form.fullmatch, words)):
        raise TreeError(f"{name} is no list of numbers")
    return [float(word) if form is NUMBER else int(word) for word in words]
