"""Children see only the variables that they need, because qrun renders its file from all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib_shadow_runner.process.environment import child_environment, drawing_environment

if TYPE_CHECKING:
    from pathlib import Path


def test_only_listed_variables_are_passed_on(tmp_path: Path):
    """Secrets and settings are not."""
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


def test_the_variables_of_openblas_are_passed_on_except_its_threads(tmp_path: Path):
    """Its processor type decides the last bits, so a run must see what its user set."""
    seen = child_environment(
        {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_NUM_THREADS": "64"}, threads=2, scratch=str(tmp_path)
    )
    assert (seen["OPENBLAS_CORETYPE"], seen["OPENBLAS_NUM_THREADS"]) == ("Haswell", "2")


def test_the_telemetry_of_mlflow_is_off(tmp_path: Path):
    """By our own variables, not because CI happens to be set."""
    seen = child_environment({}, threads=1, scratch=str(tmp_path))
    assert (seen["MLFLOW_DISABLE_TELEMETRY"], seen["MLFLOW_ALLOW_FILE_STORE"]) == ("true", "true")


def test_the_hash_seed_is_fixed(tmp_path: Path):
    """The backtest's last bits follow it."""
    assert (
        child_environment({"PYTHONHASHSEED": "5"}, threads=1, scratch=str(tmp_path))["PYTHONHASHSEED"] == "0"
    )


def test_the_list_of_fonts_of_an_image_is_used(tmp_path: Path):
    """It is read-only there, so it is copied; without one, Matplotlib uses the one in the user's home."""
    image, scratch = tmp_path / "image", tmp_path / "scratch"
    image.mkdir()
    scratch.mkdir()
    (image / "fontlist-v390.json").write_text("{}")
    assert drawing_environment({"MPLCONFIGDIR": str(image)}, str(scratch)) == {"MPLCONFIGDIR": str(scratch)}
    assert [path.name for path in scratch.iterdir()] == ["fontlist-v390.json"]
    assert drawing_environment({"HOME": "/home/me"}, str(scratch)) == {}
