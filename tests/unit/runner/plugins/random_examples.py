"""The number of random examples: a few that are always the same, or as many new ones as a variable says."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings


def rounds(variable: str, usual: int) -> settings:
    """Return settings with the number of examples that an environment variable gives, or the usual number.

    Failing examples are not reduced: each takes Qlib up to a second.
    """
    return settings(
        max_examples=int(os.environ.get(variable, usual)),
        deadline=None,
        derandomize=variable not in os.environ,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
