"""`make lint` refuses an import that leads up a floor, or round in a circle."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUNNER, OPERATOR = "images/runner/qlib_shadow_runner", "operator/qlib_shadow_operator"
Lint = Callable[[dict[str, str]], subprocess.CompletedProcess[str]]


@pytest.fixture
def lint(tmp_path: Path) -> Lint:
    """Return a function that adds lines to modules of a copy, and runs the import contracts on it."""
    for package in (RUNNER, OPERATOR):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = os.pathsep.join(str((tmp_path / package).parent) for package in (RUNNER, OPERATOR))

    def run(added: dict[str, str]) -> subprocess.CompletedProcess[str]:
        for module, line in added.items():
            with (tmp_path / module).open("a") as stream:
                stream.write(line)
        command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
        environ = {**os.environ, "PYTHONPATH": path}
        return subprocess.run(
            command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=240
        )

    return run


WRONG = {
    "up a floor": (
        {f"{RUNNER}/storage/files.py": "from qlib_shadow_runner.cli import main\n"},
        "qlib_shadow_runner.storage is not allowed to import qlib_shadow_runner.cli",
    ),
    "up a floor, for types alone": (
        {
            f"{RUNNER}/dataset/ensure.py": "if TYPE_CHECKING:\n"
            "    from qlib_shadow_runner.workflow.parsed import Workflow\n"
        },
        "qlib_shadow_runner.dataset is not allowed to import qlib_shadow_runner.workflow",
    ),
    "up a floor, within a function": (
        {f"{OPERATOR}/kube/times.py": "def f() -> None:\n    import qlib_shadow_operator.loop.reconcile\n"},
        "qlib_shadow_operator.kube is not allowed to import qlib_shadow_operator.loop",
    ),
    "to a neighbour": (
        {f"{RUNNER}/catalog/sql.py": "from qlib_shadow_runner.verify import verify\n"},
        "qlib_shadow_runner.catalog is not allowed to import qlib_shadow_runner.verify",
    ),
    "round in a circle": (
        {f"{RUNNER}/storage/volume.py": "from qlib_shadow_runner.storage.lock import locked\n"},
        "No cycles are allowed in qlib_shadow_runner.storage",
    ),
    "Qlib in the engine": (
        {f"{RUNNER}/engine/layout.py": "import qlib\n"},
        "qlib_shadow_runner.engine is not allowed to import qlib",
    ),
    "a package on no floor": (
        {f"{RUNNER}/novelty.py": '"""A module that no floor has."""\n'},
        "novelty",
    ),
}


@pytest.mark.parametrize(("added", "sentence"), WRONG.values(), ids=WRONG)
def test_wrong_import_breaks_the_contract(lint: Lint, added: dict[str, str], sentence: str):
    """The linter exits with 1 and names the two packages."""
    done = lint(added)
    output = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 1, output
    assert sentence in output


def test_packages_as_they_are_keep_the_contracts(lint: Lint):
    """Otherwise the tests above would show nothing."""
    done = lint({})
    assert done.returncode == 0, done.stdout
