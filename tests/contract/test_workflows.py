"""The CI and release workflows are valid, and do what the docs promise."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from testcluster import binaries

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yaml"))
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def jobs(name: str) -> dict[str, Any]:
    """Return a workflow's jobs."""
    found: dict[str, Any] = yaml.safe_load((ROOT / f".github/workflows/{name}.yaml").read_text())["jobs"]
    return found


def steps(job: dict[str, Any]) -> str:
    """Return everything that a job does, as one text."""
    return "\n".join(
        f"{step.get('uses', '')} {step.get('with', '')} {step.get('run', '')}" for step in job["steps"]
    )


def test_workflows_fit_the_schema():
    """The schema that editors use, without network access."""
    checker = Path(sys.executable).parent / "check-jsonschema"
    command = [str(checker), "--builtin-schema", "vendor.github-workflows", *map(str, WORKFLOWS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name for path in WORKFLOWS} == {"ci.yaml", "release.yaml"}


@pytest.mark.cluster
def test_actionlint_finds_nothing_wrong():
    """It knows the types of expressions, the outputs of steps and the inputs of well-known actions."""
    command = [str(binaries.actionlint()), "-no-color", *map(str, WORKFLOWS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_permissions_are_minimal(path: Path):
    """Read-only by default; no third-party code gets the checkout's token; every job has a time limit."""
    document = yaml.safe_load(path.read_text())
    assert document["permissions"] == {"contents": "read"}
    for job in document["jobs"].values():
        assert job["timeout-minutes"] <= 120
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"] == {"persist-credentials": False}
            assert "${{" not in step.get("run", ""), "a script takes values from its environment"
            assert (
                set(re.findall(r"^(?:sudo .*)?make ([a-z-]+)", step.get("run", ""), re.MULTILINE)) <= TARGETS
            )


def test_ci_runs_make_test():
    """Make test on both Pythons; the harness, advisories and licences beside it."""
    test, audit = jobs("ci")["test"], jobs("ci")["audit"]
    assert test["strategy"]["matrix"]["python"] == ["3.11", "3.12"]
    assert "make test" in steps(test)
    assert "make harness-test" in steps(jobs("ci")["harness"])
    assert "make audit" in steps(audit)
    assert "make licences" in steps(audit)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_tests_run_as_root_with_ci_set(path: Path, tmp_path: Path):
    """With the workflow's Python on the path, and a cache that the user can pack: sudo keeps neither."""
    scripts = [step.get("run", "") for step in jobs(path.stem)["test"]["steps"]]
    [script] = [script for script in scripts if "make test" in script]
    secure = tmp_path / "secure"
    secure.mkdir()
    for program, text in {
        tmp_path / "sudo": f'exec env -i HOME=/root ROOT=yes PATH={secure}:/usr/bin:/bin "$@"',
        tmp_path / "make": f'echo "$ROOT $* $CI $XDG_CACHE_HOME $PATH$KUBERNETES" > {tmp_path}/made',
        secure / "chown": f'echo "$ROOT $*" > {tmp_path}/given',
    }.items():
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    chosen = {"KUBERNETES": ":1.37.2"} if path.stem == "release" else {}
    environ = {"HOME": "/home/runner", "CI": "true", "PATH": f"{tmp_path}:/usr/bin:/bin", **chosen}
    subprocess.run(["bash", "-e", "-c", script], env=environ, check=True)
    assert (
        tmp_path / "made"
    ).read_text() == f"yes test true /home/runner/.cache {''.join((environ['PATH'], *chosen.values()))}\n"
    assert (tmp_path / "given").read_text() == f"yes -R {os.getuid()}:{os.getgid()} /home/runner/.cache\n"


def test_release_is_tested_on_every_kubernetes():
    """Each version that the harness can build, passed on as its setting."""
    job = jobs("release")["test"]
    built = sorted(path.name for path in (ROOT / "tests/cluster/go/kubernetes").iterdir())
    assert job["strategy"]["matrix"]["kubernetes"] == built
    [test] = [step for step in job["steps"] if "make test" in step.get("run", "")]
    assert test["env"] == {"KUBERNETES": "${{ matrix.kubernetes }}"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_edited_harness_test_compiles_nothing_again(path: Path):
    """The key is what decides what is built; where that has changed, what was built before is restored."""
    cache = only(jobs(path.stem)["test"]["steps"], "cache")["with"]
    assert re.findall(r"'(.+?)'", cache["key"]) == ["tests/cluster/go/**", "tests/cluster/testcluster/*.py"]
    assert cache["key"].startswith(cache["restore-keys"])
    assert cache["restore-keys"].endswith("-")


def test_release_is_tested_multi_arch_described_and_signed():
    """In this order: no image without the tests, no chart without the images."""
    found = jobs("release")
    assert "make test" in steps(found["test"])
    assert (found["image"]["needs"], found["chart"]["needs"]) == ("test", "image")
    image = steps(found["image"])
    for word in ("linux/amd64,linux/arm64", "rewrite-timestamp=true", "mode=max", "cosign sign"):
        assert word in image
    for action in ("attest-sbom", "attest-build-provenance"):
        assert action in image
    assert "helm push" in steps(found["chart"])


def only(steps: list[dict[str, Any]], action: str) -> dict[str, Any]:
    """Return the step that uses an action."""
    [found] = [step for step in steps if f"/{action}@" in step.get("uses", "")]
    return found


def test_release_attaches_no_build_record():
    """A build record is uploaded by default; downloading it fails, or it is published."""
    image, chart = jobs("release")["image"]["steps"], jobs("release")["chart"]["steps"]
    assert only(image, "build-push-action")["env"]["DOCKER_BUILD_RECORD_UPLOAD"] == "false"
    uploaded = only(image, "upload-artifact")["with"]["name"].partition("${{")[0]
    assert uploaded == "released-"
    assert only(chart, "download-artifact")["with"]["pattern"] == f"{uploaded}*"


def test_chart_gets_the_digests_of_the_images():
    """They are among the artifacts of the images' job, and exist before the chart is packed."""
    image, chart = jobs("release")["image"]["steps"], jobs("release")["chart"]["steps"]
    [noted] = [step for step in image if '> "$NAME.digest"' in step.get("run", "")]
    assert noted["env"]["DIGEST"] == "${{ steps.build.outputs.digest }}"
    assert only(image, "upload-artifact")["with"]["path"] == f"{noted['env']['NAME']}.*"
    [packed] = [step for step in chart if "helm package" in step.get("run", "")]
    assert chart.index(only(chart, "download-artifact")) < chart.index(packed)


@pytest.mark.parametrize("folder", ["runner", "operator"])
def test_release_sets_every_label_argument(folder: str):
    """Each argument of the labels, and no unknown argument."""
    dockerfile = (ROOT / f"images/{folder}/Dockerfile").read_text()
    arguments = set(re.findall(r"^ARG (\w+)", dockerfile, re.MULTILINE))
    build = only(jobs("release")["image"]["steps"], "build-push-action")
    given = set(re.findall(r"^(\w+)=", build["with"]["build-args"], re.MULTILINE))
    assert given == arguments - {"BASE_IMAGE", "TARGETARCH", "PYQLIB"}
