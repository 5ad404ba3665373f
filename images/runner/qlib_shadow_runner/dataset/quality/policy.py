"""The quality policy of a run, from `spec.dataset.quality`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from qlib_shadow_runner.contract.spec.dataset import EVERYTHING
from qlib_shadow_runner.dataset.quality.checks import RULES, STRUCTURAL

if TYPE_CHECKING:
    from qlib_shadow_runner.contract.spec.dataset import QualitySpec, WaiverSpec


@dataclass(frozen=True)
class Policy:
    """The checks that block the run, and the findings that are waived; other findings only warn."""

    block: tuple[str, ...] = STRUCTURAL
    waive: tuple[WaiverSpec, ...] = ()

    @classmethod
    def of(cls, asked: QualitySpec) -> Self:
        """Return the policy with the spec's checks and the structural ones, which always block."""
        named = tuple(RULES) if EVERYTHING in asked.block else asked.block
        return cls(tuple(name for name in RULES if name in named or name in STRUCTURAL), asked.waive)
