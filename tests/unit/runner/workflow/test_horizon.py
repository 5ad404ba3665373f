"""Over how many days a label reaches, read from its expression."""

from __future__ import annotations

import pytest

from qlib_shadow_runner.workflow.horizon import horizon_of

LABELS = {
    "Ref($close, -2)/Ref($close, -1) - 1": 1,
    "Ref($close, -1)/$close - 1": 1,
    "Ref($close, -6)/Ref($close, -1) - 1": 5,
    "Log(Ref($close, -21)) - Log(Ref($close, -1))": 20,
    "Mean(Ref($close, -5), 5)/$close - 1": 5,
    "Max(Ref($high, -10), 10)/Ref($close, -1) - 1": 10,
    "Delta(Ref($close, -21), 20)": 20,
    "Delta($close, -5)/$close": 5,
    "Ref($close, -1)/Ref($open, -1) - 1": 1,
    "Ref($close, -5)/Ref($open, -1) - 1": 5,
    "(Ref($close, -2)/Ref($close, -1) - 1)/Std($close, 20)": 2,
    "$close": 1,
}


@pytest.mark.parametrize(("label", "days"), LABELS.items(), ids=LABELS)
def test_horizon_is_what_the_label_reaches_over(label: str, days: int):
    """From one price to another; what is known when the score is does not count."""
    assert horizon_of([label]) == days


def test_widest_of_several_labels_counts():
    """Without a label it is a day."""
    assert horizon_of(list(LABELS)) == 20
    assert horizon_of([]) == 1
