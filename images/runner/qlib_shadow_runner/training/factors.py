"""Handlers of Alpha158 that are told which of its factors to make; Qlib's makes all. Loaded by qrun."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qlib.contrib.data.loader import Alpha158DL

from qlib_shadow_runner.workflow.allowed.factors import FACTORS

if TYPE_CHECKING:
    from collections.abc import Mapping


class ChosenFactors:
    """Stands before a handler of Qlib's; names and expressions stay Qlib's."""

    def __init__(self, *given: Any, features: Mapping[str, Any] | None = None, **named: Any) -> None:
        if features is not None:
            FACTORS.check(features, "the handler's features")
        self._chosen = features
        super().__init__(*given, **named)

    def get_feature_config(self) -> Any:
        """Name the expressions and their columns, as Qlib's handlers ask themselves."""
        if self._chosen is None:
            return super().get_feature_config()  # type: ignore[misc]
        return Alpha158DL.get_feature_config(self._chosen)
