"""What the API server refuses in a Job is said in the fields of the run and the settings of the chart."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.contract.wrong_forms import nodes
from tests.unit.operator.builders import NOW, Scene, a_run
from tests.unit.operator.test_jobs import WITH_SECRET, WITH_TEMPLATE

from qlib_shadow_operator.runs.allowed import Allowed, AllowedSecret
from qlib_shadow_operator.runs.causes import why_no_pod, why_waiting
from qlib_shadow_operator.runs.defaults import Defaults
from qlib_shadow_operator.runs.job_fields import FIELDS, in_words_of_the_run
from qlib_shadow_operator.runs.jobs import build_job
from qlib_shadow_operator.runs.model import Pod
from qlib_shadow_operator.runs.queries import WarningEvent
from qlib_shadow_operator.runs.start_reasons import job_name_taken
from qlib_shadow_runner.contract import Stage
from qlib_shadow_runner.contract.fields import Object, fields_of
from qlib_shadow_runner.contract.spec import RunFields
from qlib_shadow_runner.contract.spec.jobs import ImagePullSecret, OpenStageSpec, StagesSpec, StorageSpec

VALUES = Path(__file__).parents[3] / "helm/qlib-shadow-operator/values.yaml"
WHOLE = OpenStageSpec(
    resources={"limits": {"memory": "2Gi"}},
    node_selector={"disk": "fast"},
    tolerations=({"key": "gpu"},),
    affinity=nodes({"key": "disk", "operator": "Exists"}),
    topology_spread_constraints=({"maxSkew": 1},),
    priority_class_name="batch",
    runtime_class_name="gvisor",
    service_account_name="reader",
    labels={"team": "a"},
    annotations={"team": "a"},
    scratch="9Gi",
    active_deadline_seconds=60,
    retries=1,
)
LISTS: dict[str, Any] = {one.name: ("*",) for one in fields_of(Allowed)}
SECRETS = (AllowedSecret(name="archive", url="https://data.example/"),)
ALLOWED = Allowed(**{**LISTS, "secrets": SECRETS, "images": ("own",)})
OWN_RUN = a_run(
    image="own",
    image_pull_policy="Never",
    image_pull_secrets=(ImagePullSecret("registry"),),
    storage=StorageSpec("own"),
    stages=StagesSpec(download=WHOLE, qrun=WHOLE),
    dataset=WITH_SECRET,
    workflow=WITH_TEMPLATE,
)
OWN: Scene = replace(OWN_RUN, defaults=Defaults(allowed=ALLOWED))
CONTAINER = "spec.template.spec.containers[0]"
RESOURCES = "stages.download.resources"
SAID = {
    "more requested than allowed": (
        f'{CONTAINER}.resources.requests: Invalid value: "4Gi"',
        f'spec.{RESOURCES}.requests: Invalid value: "4Gi". Correct spec.{RESOURCES}',
        (
            f'the chart\'s runner.{RESOURCES}.requests: Invalid value: "4Gi". '
            f"Correct the chart's runner.{RESOURCES}"
        ),
    ),
    "two at once": (
        f"[{CONTAINER}.imagePullPolicy: x, spec.template.spec.tolerations[0].operator: y]",
        (
            "[spec.imagePullPolicy: x, spec.stages.download.tolerations[0].operator: y]. "
            "Correct spec.imagePullPolicy and spec.stages.download.tolerations"
        ),
        (
            "[the chart's runner.image.pullPolicy: x, the chart's runs.tolerations[0].operator: y]. "
            "Correct the chart's runner.image.pullPolicy and the chart's runs.tolerations"
        ),
    ),
    "scratch space": (
        "spec.template.spec.volumes[1].emptyDir.sizeLimit: x",
        "spec.stages.download.scratch: x. Correct spec.stages.download.scratch",
        "the chart's runner.workSize: x. Correct the chart's runner.workSize",
    ),
    "labels of the pod": (
        'spec.template.labels: Invalid value: "a..b/c": prefix part must be a name',
        (
            'spec.stages.download.labels: Invalid value: "a..b/c": prefix part must be a name. '
            "Correct spec.stages.download.labels"
        ),
        (
            'the chart\'s runs.labels: Invalid value: "a..b/c": prefix part must be a name. '
            "Correct the chart's runs.labels"
        ),
    ),
    "a policy's own words": (
        "denied: no",
        *["denied: no. Correct what it names, in the run or in the namespace's policies"] * 2,
    ),
}


@pytest.mark.parametrize(("detail", "by_run", "by_chart"), SAID.values(), ids=SAID.keys())
def test_refusal_names_what_the_user_wrote(detail: str, by_run: str, by_chart: str):
    """The run's field where the run has a value, else the setting of the chart."""
    for scene, said in ((OWN, by_run), (a_run(), by_chart)):
        refused = scene.seen().rejected(
            Stage.DOWNLOAD, f'Job.batch "demo-a1b2c3d4-download" is invalid: {detail}', permanent=True
        )
        message = refused.decide(minutes=1).status.stages[0].message
        assert message == f"the API server refuses the Job of stage download: {said}"


def test_refused_pod_names_what_the_user_wrote():
    """The same fields, without the path to the Job's template."""
    detail = 'pods "x" is forbidden: spec.containers[0].resources.limits[cpu]: Invalid value'
    told, names = in_words_of_the_run(detail, OWN.run, Stage.QRUN)
    assert told.endswith("forbidden: spec.stages.qrun.resources.limits[cpu]: Invalid value")
    assert names == ("spec.stages.qrun.resources",)


@pytest.mark.parametrize(
    ("detail", "field"),
    [
        ('pods "x" is forbidden: no PriorityClass with name a was found', "priorityClassName"),
        ('pods "x" is forbidden: pod rejected: RuntimeClass "a" not found', "runtimeClassName"),
        (
            'pods "x" is forbidden: error looking up service account r/a: serviceaccount "a" not found',
            "serviceAccountName",
        ),
    ],
)
def test_missing_object_is_told_by_the_field_that_names_it(detail: str, field: str):
    """Pod Security and the namespace's policies have nothing to do with it."""
    for scene, where in ((OWN, "spec.stages.download"), (a_run(), "the chart's runs")):
        event = WarningEvent("FailedCreate", f"Error creating: {detail}", NOW)
        message = why_no_pod(event, scene.run, Stage.DOWNLOAD).message
        assert message.startswith("the pod of stage download names what does not exist: ")
        assert message.endswith(f" found. Create it, or correct {where}.{field}")


def test_remedies_name_the_fields_of_a_run_that_has_them():
    """Where it has chosen the image, the claim and the nodes itself."""
    pod = Pod(name="p", uid="p", created_at=NOW, image="own", waiting_reason="ErrImagePull")
    nowhere = Pod(name="p", uid="p", created_at=NOW, unschedulable="0/1 nodes are available")
    unclaimed = replace(nowhere, unschedulable='persistentvolumeclaim "own" not found')
    said = [
        cause.message
        for one in (pod, nowhere, unclaimed)
        if (cause := why_waiting(one, OWN.run, Stage.QRUN, "own"))
    ]
    assert "Correct spec.image, or see that the Secret" in said[0]
    assert "topologySpreadConstraints of spec.stages.qrun or the chart's runs, or add" in said[1]
    assert said[2].endswith("name another one in spec.storage.claimName")


def test_job_name_that_is_taken_is_not_blamed_on_a_field():
    """Its sentence has its own remedy."""
    text = job_name_taken("demo-a1b2c3d4-download")
    scene = a_run().seen().rejected(Stage.DOWNLOAD, text, name_taken=True)
    assert scene.decide(minutes=1).status.stages[0].message == text


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.path)
def test_every_field_is_one_of_a_job_and_of_a_run_or_the_chart(field: Any):
    """A path that no Job has would never be said, and a name that nothing has could not be corrected."""
    jobs = [build_job(OWN.run, stage, Defaults()) for stage in Stage]
    # Kubernetes names elements of lists by their index.
    assert any(re.fullmatch(field.path, path) for job in jobs for path in paths(job))
    if field.run:
        found: Any = Object(RunFields)
        for key in field.run.format(stage="download").split("."):
            found = next(one.kind for one in fields_of(found.cls) if one.key == key)
    if field.chart:
        value = yaml.safe_load(VALUES.read_text())
        for key in field.chart.format(stage="download").split("."):
            value = value[key]


def paths(document: Any, prefix: str = "") -> list[str]:
    """Return the paths of all values of a document, as the API server writes them."""
    if isinstance(document, dict):
        parts = [(f"{prefix}.{key}" if prefix else key, value) for key, value in document.items()]
    elif isinstance(document, list):
        parts = [(f"{prefix}[{number}]", value) for number, value in enumerate(document)]
    else:
        return [prefix]
    return [prefix, *(path for name, value in parts for path in paths(value, name))]
