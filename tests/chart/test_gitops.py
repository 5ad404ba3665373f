"""What Argo CD and Flux say of a run by the texts of docs/gitops.md, evaluated by the engines they use."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.operator.builders import Scene, a_run
from tests.unit.operator.documents import a_run_document

from qlib_shadow_operator.kube.status_document import render_status
from qlib_shadow_operator.runs.names import ConditionType
from qlib_shadow_runner.contract import Stage
from testcluster import binaries
from testcluster.commands import run
from testcluster.errors import UnavailableError

PAGE = Path(__file__).parents[2] / "docs/gitops.md"
pytestmark = pytest.mark.cluster
RUNS: dict[str, tuple[Scene, str, str]] = {
    "complete": (a_run().succeeded(Stage.DOWNLOAD).succeeded(Stage.QRUN), "Healthy", "Current"),
    "failed": (a_run().failed(Stage.DOWNLOAD, 1), "Degraded", "Failed"),
    "suspended": (a_run().spec(suspend=True), "Suspended", "InProgress"),
    "running": (a_run().running(Stage.DOWNLOAD), "Progressing", "InProgress"),
    "waiting": (
        a_run().pod(Stage.DOWNLOAD, unschedulable="0/1 nodes are available"),
        "Progressing",
        "InProgress",
    ),
}


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    """Return the script and the expressions of the page."""
    blocks = re.findall(r"```yaml \S+\n(.*?)```", PAGE.read_text(), re.DOTALL)
    argo, flux = map(yaml.safe_load, blocks)
    [script] = argo["data"].values()
    [exprs] = flux["spec"]["healthCheckExprs"]
    return {"lua": script, "failed": exprs["failed"], "current": exprs["current"]}


def health(texts: dict[str, str], document: dict[str, Any]) -> dict[str, str]:
    """Return what both say."""
    try:
        program = binaries.health()
    except UnavailableError as why:
        pytest.fail(str(why))
    [found] = json.loads(run(program, stdin=json.dumps({**texts, "objects": [document]})))
    answer: dict[str, str] = found
    return answer


@pytest.mark.parametrize(("scene", "argo", "flux"), RUNS.values(), ids=RUNS)
def test_health_of_a_run(texts: dict[str, str], scene: Scene, argo: str, flux: str):
    """As the operator writes its status; one whose spec has just changed is not judged by its old status."""
    seen = scene.seen().run
    document = a_run_document(status=render_status(seen.status), metadata={"generation": seen.generation})
    said = health(texts, document)
    assert (said["argo"], said["flux"]) == (argo, flux)
    if argo == "Degraded":
        failed = seen.status.condition(ConditionType.FAILED)
        assert failed
        assert said["message"] == f"{failed.reason}: {failed.message}"
    later = {**document, "metadata": document["metadata"] | {"generation": seen.generation + 1}}
    assert health(texts, later)["flux"] == "InProgress"


def test_run_that_the_operator_has_not_seen_is_not_healthy(texts: dict[str, str]):
    """Without a health check both would call it so at once."""
    said = health(texts, a_run_document())
    assert said == {
        "argo": "Progressing",
        "message": "the operator has not seen the run yet",
        "flux": "Unknown",
    }
