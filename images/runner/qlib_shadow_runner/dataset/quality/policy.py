"""`spec.dataset.quality`: which checks a run does not let pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from qlib_shadow_runner.contract.spec import EVERYTHING
from qlib_shadow_runner.dataset.quality.checks import RULES, STRUCTURAL

if TYPE_CHECKING:
    from qlib_shadow_runner.contract.spec import QualitySpec


@dataclass(frozen=True)
class Policy:
    """The checks that block; the others warn."""

    block: tuple[str, ...] = STRUCTURAL

    @classmethod
    def of(cls, asked: QualitySpec) -> Self:
        """Add what is named to the structural checks, which block in any case."""
        named = tuple(RULES) if EVERYTHING in asked.block else asked.block
        return cls(tuple(name for name in RULES if name in named or name in STRUCTURAL))
