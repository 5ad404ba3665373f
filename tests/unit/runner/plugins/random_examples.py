"""How many random examples are tried: a few, always the same, or as many new ones as somebody asks for."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings


def rounds(variable: str, usual: int) -> settings:
    """Try as many as a variable of the environment says; where it says nothing, the usual ones.

    What fails is not made smaller: each example takes up to a second, by Qlib.
    """
    return settings(
        max_examples=int(os.environ.get(variable, usual)),
        deadline=None,
        derandomize=variable not in os.environ,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
