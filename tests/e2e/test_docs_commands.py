"""The kubectl and helm blocks of the docs, run on a real control plane, page by page.

There is no node, so that no pod starts: where a page waits for a run, a substitute for the operator writes
the status that tests/e2e/test_run.py gets from the real one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest
from tests.unit.docs.blocks import PAGES, Block, name, read, write_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testcluster import Cluster

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
CRD = "qlibshadowruns.qlibshadow.io"
NAMESPACES = ("research", "qlib-shadow", "desk-b")
MAY_WORK = (
    "timeout 60 sh -c 'until kubectl auth can-i create jobs -n qlib-shadow"
    " --as=system:serviceaccount:qlib-shadow:qlib-shadow-operator; do sleep 0.2; done'"
)
"""The API server needs a moment to apply a new role."""
COUNTED = """
timeout 120 sh -c 'until kubectl create quota probe -n research --hard=count/qlibshadowruns.qlibshadow.io=1 &&
  kubectl wait -n research resourcequota/probe --for="jsonpath={.status.used}" --timeout=3s; do
  kubectl delete quota probe -n research; done; kubectl delete quota probe -n research'
"""
"""The quota controller needs half a minute to learn of a new kind."""
BEFORE = {
    "docs/alerts.md": "helm install qlib-shadow helm/qlib-shadow-operator -n research",
    "docs/cleaning-up.md": "kubectl apply -n research -f manifests/samples/demo.yaml",
    "docs/large-clusters.md": COUNTED,
    "docs/schedules.md": "kubectl apply -k manifests",
    "docs/security.md": f"kubectl apply -k manifests; {MAY_WORK}",
    "docs/upgrading.md": "helm install qlib-shadow helm/qlib-shadow-operator -n research",
    "docs/waiting.md": "kubectl apply -n research -f manifests/samples/demo.yaml",
}
"""What the reader of a page has done before."""
WITHOUT_STATUS = '{.metadata.namespace}/{.metadata.name}/{.status.phase}{"\\n"}'


def here(block: Block) -> bool:
    """Return whether a block needs a cluster."""
    return block.is_run and block.wants_a_cluster


SHOWN = [page for page in PAGES if any(here(block) for block in read(page))]


class Terminal:
    """A shell in a copy of the repository's files, with a cluster."""

    def __init__(self, cluster: Cluster, helm: Path, folder: Path) -> None:
        """Copy the files that pages name."""
        self.cluster = cluster
        self.folder = folder
        for entry in ("manifests", "helm"):
            shutil.copytree(ROOT / entry, folder / entry)
        programs = (Path(sys.executable).parent, cluster.kubectl_program.parent, helm.parent)
        path = os.pathsep.join([*map(str, programs), os.environ["PATH"]])
        self.environment = {"PATH": path, "HOME": str(folder), "KUBECONFIG": str(cluster.kubeconfig)}

    def type(self, commands: str) -> subprocess.CompletedProcess[str]:
        """Run commands, and stop at the first that fails."""
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def must(self, commands: str) -> None:
        """Run commands that must succeed."""
        done = self.type(commands)
        assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"


def status(condition: str) -> str:
    """Return the final status that the operator writes."""
    now = "2026-01-02T03:04:05Z"
    reason = {"Complete": "Succeeded", "Failed": "DatasetStale"}[condition]
    told = {"type": condition, "status": "True", "reason": reason, "message": "a sentence"}
    ended = {
        "phase": condition,
        "completionTime": now,
        "artifactPath": "/data/artifacts/x",
        "metrics": {"ic": 0.1},
    }
    return json.dumps({"status": ended | {"conditions": [told | {"lastTransitionTime": now}]}})


@contextmanager
def stand_in(cluster: Cluster, condition: str) -> Iterator[None]:
    """Let every run end in this way as soon as it exists."""
    where = f"--kubeconfig={cluster.kubeconfig}"
    what = ("get", "qsr", "--all-namespaces", "--watch", f"--output=jsonpath={WITHOUT_STATUS}")
    command = [str(cluster.kubectl_program), where, *what]

    def finish(watch: subprocess.Popen[str]) -> None:
        for line in watch.stdout or ():
            namespace, run, phase = line.strip().split("/")
            if not phase:
                patch = ("--subresource=status", "--type=merge", f"--patch={status(condition)}")
                cluster.kubectl("patch", "qsr", run, f"--namespace={namespace}", *patch, check=False)

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
        thread = Thread(target=finish, args=(watch,))
        thread.start()
        try:
            yield
        finally:
            watch.terminate()
            thread.join()


@pytest.fixture(scope="module")
def plane(start_control_plane: Callable[[], Cluster]) -> Cluster:
    """Return a control plane with the namespaces that pages name."""
    cluster = start_control_plane()
    for namespace in NAMESPACES:
        cluster.kubectl("create", "namespace", namespace)
    return cluster


@pytest.fixture
def terminal(plane: Cluster, helm: Path, tmp_path: Path) -> Iterator[Terminal]:
    """Yield a shell with the CRD; delete what the blocks created in the namespaces."""
    terminal = Terminal(plane, helm, tmp_path)
    terminal.must("kubectl apply -f manifests/crd/qlibshadowruns.yaml")
    plane.wait_until_served(CRD)
    yield terminal
    for namespace in NAMESPACES:
        terminal.must(f"helm list -n {namespace} -q | xargs -r helm uninstall -n {namespace}")
        terminal.must(f"kubectl delete cronjobs,jobs,persistentvolumeclaims --all -n {namespace}")
    terminal.must("kubectl delete clusterroles,clusterrolebindings -l app.kubernetes.io/name=qlib-shadow")
    terminal.must(f"kubectl delete crd {CRD} --ignore-not-found")


@pytest.mark.parametrize("page", SHOWN, ids=name)
def test_commands_of_a_page_work(page: Path, terminal: Terminal):
    """All blocks of a page, in order."""
    write_files(page, terminal.folder)
    terminal.must(BEFORE.get(name(page), "true"))
    with stand_in(terminal.cluster, "Complete"):
        for block in filter(here, read(page)):
            terminal.must(block.commands)


def test_pages_are_found():
    """A pattern that matches no page would pass all of the above."""
    assert {"README.md", "docs/install.md", "docs/waiting.md"} <= {name(page) for page in SHOWN}
    assert BEFORE.keys() <= {name(page) for page in SHOWN}


def test_waiting_distinguishes_failed_from_complete(terminal: Terminal):
    """For a failed run, the page's commands end with 1 at once, and print the reason and the sentence."""
    wait, why, *_ = (block for block in read(ROOT / "docs/waiting.md") if here(block))
    terminal.must(BEFORE["docs/waiting.md"])
    with stand_in(terminal.cluster, "Failed"):
        waited = terminal.type(wait.commands)
    assert waited.returncode == 1
    assert "condition met" in waited.stdout
    assert terminal.type(why.commands).stdout == "DatasetStalea sentence"
