"""Texts of models that another run has written: which are read, and which are refused first."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import lightgbm
import numpy as np
import pytest

from qlib_shadow_runner.stages import steps

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Return what the child says of a model's text; it says nothing of a good one."""
    monkeypatch.setattr(steps, "hold_memory", lambda: None)
    arguments = json.dumps({"folder": str(tmp_path), "files": ["model.txt"]})

    def said(text: str) -> str:
        (tmp_path / "model.txt").write_text(text)
        assert steps.main("model", arguments, str(tmp_path / "report.json")) == 0
        return str(json.loads((tmp_path / "report.json").read_text()).get("message", ""))

    return said


@pytest.fixture(scope="module")
def good_text() -> str:
    """Return a small model as LightGBM writes it."""
    data = lightgbm.Dataset(np.arange(400.0).reshape(100, 4) % 17, np.arange(100.0) % 5)
    asked = {"verbosity": -1, "num_leaves": 8, "min_data_in_leaf": 5}
    return str(lightgbm.train(asked, data, 3).model_to_string())


def with_sizes(text: str) -> str:
    """Return a text whose tree_sizes are those of its trees, as LightGBM needs them."""
    trees = re.findall(r"(?s)Tree=\d+\n.*?(?=Tree=\d+\n|end of trees)", text)
    return re.sub(r"tree_sizes=.*", f"tree_sizes={' '.join(str(len(tree)) for tree in trees)}", text, count=1)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (r"left_child=\S+", "left_child=0", "leads to no later node and to no leaf"),
        (r"right_child=\S+", "right_child=-99", "leads to no later node and to no leaf"),
        (r"right_child=\S+ ", "right_child=", "right_child has"),
        (r"split_feature=\S+", "split_feature=4", "asks for a feature that there is not"),
        (r"split_feature=\S+", "split_feature=-1", "asks for a feature that there is not"),
        (r"threshold=\S+", "threshold=x", "threshold is no list of numbers"),
        (r"(left_child=.*\n)", r"left_child=0 0 0 0 0 0 0\n \1", "a line that LightGBM does not write"),
        (r"(left_child=.*\n)", r"\1\1", "or one twice"),
        (r"(left_child=\S+) ", r"\1\t", "a line that LightGBM does not write"),
        (r"(left_child=\S+) ", r"\1  ", "left_child has"),
        (r"left_child=1", "left_child=1_0", "left_child is no list of numbers"),
        (r"\nshrinkage", "\n\nshrinkage", "a line that LightGBM does not write"),
        (r"\nshrinkage", "\r\nshrinkage", "a line that LightGBM does not write"),
        (r"shrinkage=\S+", "x=1 Tree=0", "does not lie where tree_sizes says"),
        (r"tree_sizes=\S+", "tree_sizes=9", "does not lie where tree_sizes says"),
        (r"tree_sizes=.*\n", "", "tree_sizes is no list of numbers"),
        (r"tree_sizes=(\S+) .*", r"tree_sizes=\1", "goes on where tree_sizes says that it ends"),
        (r"num_class=1", "num_class=3", "several trees for one round"),
        (r"num_cat=0", "num_cat=1", "has other leaves than numbers"),
        (r"is_linear=0", "is_linear=1", "has other leaves than numbers"),
        (r"decision_type=\S+", "decision_type=1", "decides by categories"),
        (r"num_leaves=\S+", "num_leaves=999999999", "too many"),
        (r"num_leaves=\S+", "num_leaves=many", "num_leaves is no list of numbers"),
        (r"max_feature_idx=\S+", "max_feature_idx=-1", "no features or no trees"),
        (r"(?s)Tree=0.*", "end of trees", "does not lie where tree_sizes says"),
        (r"version=v4", "version=v9", ""),
        (r"objective=\S+", "objective=nothing", "LightGBM cannot read model.txt"),
    ],
)
def test_a_text_whose_trees_cannot_be_followed_is_refused(
    parsed: Callable[[str], str], good_text: str, old: str, new: str, fault: str
):
    """LightGBM reads most of these, and would predict for ever or beyond its arrays."""
    text, changed = re.subn(old, new, good_text, count=1)
    assert changed
    if not old.startswith(("tree_sizes", "(?s)")):
        text = with_sizes(text)
    said = parsed(text)
    assert fault in said
    assert bool(said) == bool(fault)


def test_a_good_text_passes(parsed: Callable[[str], str], good_text: str):
    """As LightGBM writes it."""
    assert parsed(good_text) == ""
