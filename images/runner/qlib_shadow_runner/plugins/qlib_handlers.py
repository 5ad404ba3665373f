"""Alpha158, computed when somebody asks for it: a run whose model and predictions are there asks for nothing.

Qlib's handler computes all features when it is made, minutes before anything needs them. Loaded by qrun, by
class path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qlib.contrib.data import handler
from qlib.contrib.data.loader import Alpha158DL

from qlib_shadow_runner.workflow.allowed.alpha158 import FACTORS

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


class Alpha158(ChosenFactors, handler.Alpha158):  # type: ignore[misc]
    """Qlib's features and labels, or some of them, unchanged."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs, init_data=False)

    def _get_df_by_key(self, data_key: str = handler.DataHandlerLP.DK_I) -> Any:
        """Compute everything before the first look at anything."""
        if "_learn" not in self.__dict__:
            self.setup_data()
        return super()._get_df_by_key(data_key)
