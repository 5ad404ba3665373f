"""The name of a run's folder on the volume."""

from __future__ import annotations

from typing import Final

from qlib_shadow_runner.contract import RESERVED_RUN_IDS, RUN_ID_MAX, RUN_ID_PATTERN
from qlib_shadow_runner.contract.kinds import Text, TextCheck, matches

RUN_ID: Final = Text(
    RUN_ID_MAX,
    (
        matches(
            RUN_ID_PATTERN,
            'must be lower-case letters, digits, "-" and ".", and begin and end with a letter or digit, '
            "for example us-2026-11-20",
        ),
        TextCheck(
            f"is reserved on the volume, as {', '.join(sorted(RESERVED_RUN_IDS))} are; choose another one",
            lambda run_id: run_id not in RESERVED_RUN_IDS,
            f"!(self in {sorted(RESERVED_RUN_IDS)})",
        ),
    ),
)
