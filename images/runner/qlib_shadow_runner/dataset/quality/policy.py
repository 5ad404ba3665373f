"""`spec.dataset.quality`: which checks a run does not let pass."""

from __future__ import annotations

from dataclasses import dataclass

from qlib_shadow_runner.dataset.quality.checks import RULES, STRUCTURAL
from qlib_shadow_runner.fields import check_keys, mapping, refuse
from qlib_shadow_runner.texts import did_you_mean

WHERE = "spec.dataset.quality"
EVERYTHING = "all"


@dataclass(frozen=True)
class Policy:
    """The checks that block; the others warn."""

    block: tuple[str, ...] = STRUCTURAL


def parse_policy(value: object) -> Policy:
    """Read `{block: [names…]}`; the structural checks block in any case, `[all]` is every check."""
    raw = mapping(value, WHERE)
    check_keys(raw, {"block"}, WHERE)
    names = raw.get("block", [])
    if not isinstance(names, list | tuple):
        refuse(
            f"{WHERE}.block must be a list of checks, such as [split_jumps, missing_days], or [{EVERYTHING}]"
        )
    if list(names) == [EVERYTHING]:
        return Policy(tuple(RULES))
    for name in names:
        if not isinstance(name, str) or name not in RULES:
            refuse(f'{WHERE}.block has no check "{name}"; {did_you_mean(str(name), RULES)}')
    return Policy(tuple(name for name in RULES if name in names or name in STRUCTURAL))
