"""Qlib's executor for daily bars, whose account keeps its books faster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib.backtest import executor

from qlib_shadow_runner.fast.backtest.bookkeeping import DailyAccount

if TYPE_CHECKING:
    from qlib.backtest.utils import CommonInfrastructure


class SimulatorExecutor(executor.SimulatorExecutor):  # type: ignore[misc]
    """Qlib's executor with the same arguments."""

    def reset_common_infra(
        self,
        common_infra: CommonInfrastructure,
        copy_trade_account: bool = False,  # noqa: FBT001, FBT002 - Qlib's argument
    ) -> None:
        """Take the account over, before anybody has traded on it."""
        if common_infra.has("trade_account"):
            account = common_infra.get("trade_account")
            if not isinstance(account, DailyAccount):
                common_infra.reset_infra(trade_account=DailyAccount.of(account))
        super().reset_common_infra(common_infra, copy_trade_account=copy_trade_account)
