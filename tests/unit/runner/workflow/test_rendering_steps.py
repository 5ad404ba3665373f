"""docs/decisions/0017: a rendering calls the functions that the page lists, in that order."""

from __future__ import annotations

import importlib
import re
import sys
from types import FunctionType
from typing import TYPE_CHECKING, Any

import yaml
from tests.unit.runner.workflow.workflow_builders import ROOT

from qlib_shadow_runner.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PAGE = (ROOT / "docs" / "decisions" / "0017-one-walk.md").read_text()
STEPS = re.findall(r"^\d+\. `([\w.]+)`", PAGE, re.MULTILINE)
MANIFEST = {
    "apiVersion": "qlibshadow.io/v1alpha1",
    "kind": "QlibShadowRun",
    "metadata": {"name": "walk"},
    "spec": {"dataset": {"source": {"synthetic": {"symbols": 10, "days": 300}}}},
}


def function_of(step: str) -> FunctionType:
    """Return the function that a step names by its module and its name."""
    names = step.split(".")
    found: Any = importlib.import_module(f"qlib_shadow_runner.{'.'.join(names[:2])}")
    for name in names[2:]:
        found = getattr(found, name)
    assert isinstance(found, FunctionType)
    return found


def test_rendering_calls_the_functions_of_the_page_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Each is called, and none before the one above it."""
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(MANIFEST))
    options = [str(file), "--data", str(tmp_path / "data")]
    assert main(["download", *options]) == 0
    steps = {function_of(step).__code__: step for step in STEPS}
    called: list[str] = []

    def note(frame: Any, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code in steps and steps[frame.f_code] not in called:
            called.append(steps[frame.f_code])

    sys.setprofile(note)
    try:
        code = main(["render", *options])
    finally:
        sys.setprofile(None)
    assert (code, called) == (0, STEPS)
    assert "qlib_init:" in capsys.readouterr().out


def test_page_names_at_most_ten_steps():
    """More would be a longer way than a reader can keep in mind."""
    assert 1 < len(STEPS) <= 10
