"""The chart that a release publishes installs the images of that release, by digest."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from testcluster.commands import run

ROOT = Path(__file__).parents[2]
REGISTRY = "ghcr.io/example"
DIGESTS = {"qlib-runner": f"sha256:{'a' * 64}", "qlib-shadow-operator": f"sha256:{'b' * 64}"}
EVERYTHING = (
    "--set=ui.enabled=true",
    '--set-json=schedules=[{"name":"n","cron":"0 0 * * *","run":{"spec":{}}}]',
)


@pytest.fixture
def digests(tmp_path: Path) -> Path:
    """Return the artifacts of the images' job."""
    folder = tmp_path / "released"
    folder.mkdir()
    for name, digest in DIGESTS.items():
        (folder / f"{name}.digest").write_text(f"{digest}\n")
    return folder


def pin(chart: Path, digests: Path) -> subprocess.CompletedProcess[str]:
    """Run the script as the workflow does: without installed packages."""
    command = (sys.executable, "-S", ROOT / "helm/pin.py", chart, REGISTRY, digests)
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_only_registry_and_digest_change(tmp_path: Path, digests: Path):
    """In the values and their table; every other file is unchanged."""
    done = pin(tmp_path / "chart", digests)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    source = ROOT / "helm/qlib-shadow-operator"
    changed = [
        path.name
        for path in source.rglob("*")
        if path.is_file()
        and path.read_bytes() != (tmp_path / "chart" / path.relative_to(source)).read_bytes()
    ]
    assert sorted(changed) == ["README.md", "values.yaml"]
    values = yaml.safe_load((tmp_path / "chart/values.yaml").read_text())
    readme = (tmp_path / "chart/README.md").read_text()
    for part in ("runner", "operator"):
        image = values[part]["image"]
        assert (image["registry"], image["digest"]) == (REGISTRY, DIGESTS[image["repository"]])
        assert f'| `{part}.image.digest` | `"{image["digest"]}"` |' in readme
        assert f'| `{part}.image.registry` | `"{REGISTRY}"` |' in readme
        image.update(registry="", digest="")
    assert values == yaml.safe_load((source / "values.yaml").read_text())


@pytest.mark.parametrize(
    ("content", "told"), [(None, "nothing, since it is not there"), ("", ""), ("sha256:0", "sha256:0")]
)
def test_invalid_digest_ends_the_release(content: str | None, told: str, tmp_path: Path, digests: Path):
    """A chart with one image by tag would look like one by digest."""
    file = digests / "qlib-runner.digest"
    file.unlink() if content is None else file.write_text(content)
    done = pin(tmp_path / "chart", digests)
    sentence = f"{file} must hold the digest of an image, sha256: and 64 digits; it holds {told}\n"
    assert (done.returncode, done.stderr) == (1, sentence)
    assert not (tmp_path / "chart").exists()


@pytest.mark.cluster
@pytest.mark.usefixtures("digests")
def test_pushed_chart_installs_its_images_by_digest(helm: Path, tmp_path: Path):
    """The workflow's own script, with the real helm and without a registry."""
    shutil.copytree(ROOT / "helm", tmp_path / "helm")
    programs = {
        # `registry login` reads the password, or the pipe breaks for its writer.
        "helm": f'case $1 in registry) cat;; push) echo "Digest: $*";; *) exec {helm} "$@";; esac',
        "cosign": "true",
    }
    for name, text in programs.items():
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yaml").read_text())
    [script] = [
        step["run"] for step in workflow["jobs"]["chart"]["steps"] if "helm push" in step.get("run", "")
    ]
    path = os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]])
    told = {"TAG": "v1.2.3", "REGISTRY": REGISTRY, "USERNAME": "user", "PASSWORD": "nothing"}
    environ = {"PATH": path, "HOME": str(tmp_path), **told}
    subprocess.run(["bash", "-eo", "pipefail", "-c", script], cwd=tmp_path, env=environ, check=True)
    package = tmp_path / "qlib-shadow-operator-1.2.3.tgz"
    rendered = run(helm, "template", "us", package, "--kube-version=1.34.0", *EVERYTHING)
    named = set(re.findall(r"[\w./-]*qlib-(?:runner|shadow-operator)[@:][\w:.]+", rendered))
    assert named == {f"{REGISTRY}/{name}@{digest}" for name, digest in DIGESTS.items()}
    images = set(re.findall(r"^ +(?:- )?image: \"?([^\s\"{]+)", rendered, re.MULTILINE))
    assert images <= named
