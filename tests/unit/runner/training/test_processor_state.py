"""The state of fitted processors as a document: exact, and refused where no fit gives it."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from qlib_shadow_runner.training.processor_state import ProcessorState, document_of, read_states
from qlib_shadow_runner.training.trained import Unusable

COLUMNS = [["feature", "A"], ["feature", "B"], ["feature", "C"]]
MEANS = [float(np.float32(0.1)), -0.0, math.nan]
SPREADS = [float(np.float32(1e-30)), 3.0, math.nan]


def state() -> ProcessorState:
    """Return a state with a column that has no values in train."""
    return ProcessorState("RobustZScoreNorm", "float32", COLUMNS, {"mean_train": MEANS, "std_train": SPREADS})


def test_what_is_written_is_read_to_the_last_bit():
    """Through the text of a file."""
    [found] = read_states(json.loads(json.dumps(document_of([state()]), allow_nan=False)))
    assert (found.kind, found.dtype, found.columns) == ("RobustZScoreNorm", "float32", COLUMNS)
    for name, values in state().figures.items():
        assert np.array(found.figures[name]).tobytes() == np.array(values).tobytes()


def changed(**values: Any) -> dict[str, Any]:
    """Return the document with other values of its processor."""
    return {"processors": [json.loads(json.dumps(state().document)) | values]}


GOOD = [one.hex() for one in (1.0, 2.0, 3.0)]
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "lists no processors"),
    "more": ({"processors": [], "more": 1}, "lists no processors"),
    "too many": ({"processors": [{}] * 51}, "lists no processors"),
    "no object": ({"processors": ["ZScoreNorm"]}, "names no processor that is fitted"),
    "unknown": (changed(**{"class": "Fillna"}), "names no processor that is fitted"),
    "other class": (changed(**{"class": "MinMaxNorm"}), "has other fields of MinMaxNorm"),
    "no type": (changed(dtype="object"), "has no columns of RobustZScoreNorm"),
    "list as type": (changed(dtype=[]), "has no columns"),
    "no columns": (changed(columns=[]), "has no columns"),
    "column": (changed(columns=[["feature", 1], *COLUMNS[1:]]), "has no columns"),
    "deep column": (changed(columns=[["a", "b", "c"], *COLUMNS[1:]]), "has no columns"),
    "long column": (changed(columns=[["x" * 1001], *COLUMNS[1:]]), "has no columns"),
    "too many columns": (changed(columns=COLUMNS * 4000), "has no columns"),
    "short": (
        changed(mean_train=GOOD[:2]),
        "has not one figure of RobustZScoreNorm.mean_train for each of 3",
    ),
    "long": (changed(std_train=[*GOOD, GOOD[0]]), "has not one figure of RobustZScoreNorm.std_train"),
    "no list": (changed(std_train="0x1p+0"), "has not one figure"),
    "number": (changed(std_train=[1.0, *GOOD[1:]]), "is no finite float32"),
    "text": (changed(std_train=["one", *GOOD[1:]]), "is no finite float32"),
    "NaN": (changed(std_train=["nan", *GOOD[1:]]), "is no finite float32"),
    "infinite": (changed(mean_train=["inf", *GOOD[1:]]), "is no finite float32"),
    "huge": (changed(mean_train=["0x1p+2000", *GOOD[1:]]), "is no finite float32"),
    "more digits than it has": (changed(mean_train=[(0.1).hex(), *GOOD[1:]]), "is no finite float32"),
    "zero": (
        changed(std_train=[(0.0).hex(), GOOD[1], None]),
        "has figures of RobustZScoreNorm that no fit gives",
    ),
    "negative": (changed(std_train=["-0x1p+0", GOOD[1], None]), "that no fit gives"),
    "half a column": (changed(std_train=GOOD), "that no fit gives"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_no_fit_gives_is_refused(name: str):
    """One sentence, whatever another run has written."""
    document, fault = FAULTS[name]
    with pytest.raises(Unusable, match=r"processors\.json ") as caught:
        read_states(document)
    assert fault in str(caught.value)
