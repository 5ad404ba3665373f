"""qrun renders its file from the environment; what it need not see it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib_shadow_runner.process.environment import child_environment, drawing_environment

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


def test_what_is_set_for_openblas_passes_except_its_threads(tmp_path: Path):
    """Its processor type decides the last bits, so that a run must see the one that its user set."""
    seen = child_environment(
        {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_NUM_THREADS": "64"}, threads=2, scratch=str(tmp_path)
    )
    assert (seen["OPENBLAS_CORETYPE"], seen["OPENBLAS_NUM_THREADS"]) == ("Haswell", "2")


def test_mlflow_reports_nothing_home_without_ci_variables(tmp_path: Path):
    """Its telemetry is off by our word, not by the environment's accident."""
    seen = child_environment({}, threads=1, scratch=str(tmp_path))
    assert (seen["MLFLOW_DISABLE_TELEMETRY"], seen["MLFLOW_ALLOW_FILE_STORE"]) == ("true", "true")


def test_the_order_of_sets_is_fixed_whatever_the_user_set(tmp_path: Path):
    """The backtest's last bits follow it."""
    assert (
        child_environment({"PYTHONHASHSEED": "5"}, threads=1, scratch=str(tmp_path))["PYTHONHASHSEED"] == "0"
    )


def test_a_list_of_fonts_is_made_once(tmp_path: Path):
    """What an image brings is used though nobody may write there; on a laptop the user's own is."""
    image, scratch = tmp_path / "image", tmp_path / "scratch"
    image.mkdir()
    scratch.mkdir()
    (image / "fontlist-v390.json").write_text("{}")
    assert drawing_environment({"MPLCONFIGDIR": str(image)}, str(scratch)) == {"MPLCONFIGDIR": str(scratch)}
    assert [path.name for path in scratch.iterdir()] == ["fontlist-v390.json"]
    assert drawing_environment({"HOME": "/home/me"}, str(scratch)) == {}
