"""qrun renders its file from the environment; what it need not see it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib_shadow_runner.environment import child_environment

if TYPE_CHECKING:
    from pathlib import Path


def test_secrets_and_settings_stay_outside(tmp_path: Path):
    """Only names on the list pass."""
    seen = child_environment(
        {
            "PATH": "/bin",
            "TZ": "Asia/Tokyo",
            "AWS_SECRET_ACCESS_KEY": "s",
            "QLIB_SHADOW_REQUEST": "{}",
            "CI": "true",
        },
        threads=3,
        scratch=str(tmp_path),
    )
    assert {"AWS_SECRET_ACCESS_KEY", "QLIB_SHADOW_REQUEST", "CI"}.isdisjoint(seen)
    assert (seen["PATH"], seen["TZ"], seen["OMP_NUM_THREADS"]) == ("/bin", "Asia/Tokyo", "3")


def test_mlflow_reports_nothing_home_without_ci_variables(tmp_path: Path):
    """Its telemetry is off by our word, not by the environment's accident."""
    seen = child_environment({}, threads=1, scratch=str(tmp_path))
    assert (seen["MLFLOW_DISABLE_TELEMETRY"], seen["MLFLOW_ALLOW_FILE_STORE"]) == ("true", "true")


def test_the_order_of_sets_is_fixed_whatever_the_user_set(tmp_path: Path):
    """The backtest's last bits follow it."""
    assert (
        child_environment({"PYTHONHASHSEED": "5"}, threads=1, scratch=str(tmp_path))["PYTHONHASHSEED"] == "0"
    )
