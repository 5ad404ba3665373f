"""Alpha158, computed when somebody asks for it: a run whose model and predictions are there asks for nothing.

Qlib's handler computes all features when it is made, minutes before anything needs them. Loaded by qrun, by
class path.
"""

from __future__ import annotations

from typing import Any

from qlib.contrib.data import handler

from qlib_shadow_runner.training.factors import ChosenFactors


class Alpha158(ChosenFactors, handler.Alpha158):  # type: ignore[misc]
    """Qlib's features and labels, or some of them, unchanged."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs, init_data=False)

    def _get_df_by_key(self, data_key: str = handler.DataHandlerLP.DK_I) -> Any:
        """Compute everything before the first look at anything."""
        if "_learn" not in self.__dict__:
            self.setup_data()
        return super()._get_df_by_key(data_key)
